"""Checks the rendered pages, whichever renderer made them."""

from __future__ import annotations

import dataclasses
import itertools
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from meznet_helpers.errors import MeznetError
from meznet_helpers.site.book import Book

_CSS_URL = re.compile(
    r"""url\(\s*["']?((?:https?:)?//[^"')\s]+)|@import\s*["']((?:https?:)?//[^"']+)"""
)
_JS_IMPORT = re.compile(r"""import\s[^;]*?["'](https?://[^"']+)""")
_RAW = (
    (re.compile(r"(?<![\w:]):{3,}"), "raw div marker"),
    (re.compile(r"@(?:fig|tbl|sec|eq)-\w+"), "raw reference"),
    (re.compile(r"\?(?:fig|tbl|sec|eq)-[\w-]+|\?@\w[\w-]*"), "unresolved reference"),
    (re.compile(r"\{python\} "), "inline expression without value"),
    (re.compile(r"^#\|\s*\S", re.MULTILINE), "cell option line"),
)
_LOADED = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "iframe": ("src",),
    "video": ("src", "poster"),
    "audio": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "image": ("href", "{http://www.w3.org/1999/xlink}href"),
}
_FETCHED_RELS = {"stylesheet", "icon", "preload", "modulepreload", "preconnect", "manifest"}


class CheckError(MeznetError):
    """What is wrong with the rendered site: one line for each finding, page first."""


@dataclasses.dataclass(frozen=True)
class _Page:
    """One parsed page."""

    name: str
    tree: Any
    ids: set[str]


def page_names(site: str | Path) -> list[str]:
    """Return the pages of a rendered site, without what belongs to a theme."""
    names = sorted(path.relative_to(site).as_posix() for path in Path(site).rglob("*.html"))
    return [name for name in names if name.split("/")[0] not in ("site_libs", "_static")]


def _parse(site: Path) -> dict[str, _Page]:
    import lxml.html

    pages = {}
    for name in page_names(site):
        parser = lxml.html.HTMLParser(encoding="utf-8", huge_tree=True)
        tree = lxml.html.document_fromstring((site / name).read_bytes(), parser=parser)
        ids = set(tree.xpath("//@id")) | set(tree.xpath("//a/@name"))
        pages[name] = _Page(name, tree, ids)
    return pages


def _other_host(address: str) -> bool:
    return bool(re.match(r"\s*(?:https?:)?//", address, flags=re.IGNORECASE))


def _loads(page: _Page) -> Iterator[str]:
    """Give what a page loads from other hosts."""
    for element in page.tree.iter("*"):
        for name in _LOADED.get(element.tag, ()):
            value = element.get(name, "")
            if value and any(_other_host(part) for part in value.split(",")):
                yield f"<{element.tag}> loads {value.strip()} from another host"
        rels = set(element.get("rel", "").lower().split())
        if element.tag == "link" and rels & _FETCHED_RELS and _other_host(element.get("href", "")):
            yield f"<link> loads {element.get('href')} from another host"
        text = element.text or ""
        for address in _styled(element.get("style", "") + text * (element.tag == "style")):
            yield f"style loads {address} from another host"
        if element.tag == "script" and element.get("type", "") in ("", "module", "text/javascript"):
            for address in _JS_IMPORT.findall(text):
                yield f"<script> loads {address} from another host"


def _styled(css: str) -> list[str]:
    """Return the addresses on other hosts in a style sheet."""
    return [match[1] or match[2] for match in _CSS_URL.finditer(css)]


def _pictures(page: _Page) -> Iterator[str]:
    """Give the pictures of a page that say nothing to who cannot see them."""
    for image in page.tree.iter("img"):
        source = image.get("src", "")
        name = source if len(source) < 80 else f"{source[:40]}..."
        decorative = image.get("aria-hidden") == "true" or image.get("role") == "presentation"
        if not decorative and not (image.get("alt") or "").strip():
            yield f"picture {name} has no alt text"


def _links(page: _Page, pages: dict[str, _Page], site: Path) -> Iterator[str]:
    """Give the links of a page into this site that lead nowhere."""
    for element in page.tree.iter("a", "link", "script", "img", "source"):
        address = element.get("href") or element.get("src") or ""
        parts = urlsplit(address)
        if not address or parts.scheme or parts.netloc:
            continue
        folder, path = posixpath.dirname(page.name), unquote(parts.path)
        target = posixpath.normpath(posixpath.join(folder, path)) if path else page.name
        if (site / target).is_dir():
            target = posixpath.join(target, "index.html")
        anchor = unquote(parts.fragment)
        if target.startswith("..") or not (site / target).is_file():
            yield f"dead link {address}"
        elif element.tag == "a" and anchor and target in pages and anchor not in pages[target].ids:
            yield f"dead anchor {address}"


def _text(page: _Page) -> Iterator[str]:
    """Give markers in a page's text that a renderer should have resolved."""
    for text in page.tree.xpath("//body//text()[not(ancestor::script or ancestor::style)]"):
        inside = {e.tag for e in text.getparent().iterancestors()} | {text.getparent().tag}
        for pattern, words in _RAW:
            if inside & {"code", "pre"} and words != "cell option line":
                continue
            if match := pattern.search(str(text)):
                shown = " ".join(str(text)[match.start() : match.start() + 60].split())
                yield f"{words} {shown!r}"
    for element in page.tree.xpath("//*[contains(@class, 'quarto-unresolved-ref')]"):
        yield f"unresolved reference {element.text_content().strip()!r}"


def _references(page: _Page) -> Iterator[str]:
    """Give lists of references without entries, and citations that lead elsewhere."""
    for refs in page.tree.xpath("//*[@id='refs']"):
        hidden = re.search(r"display:\s*none", refs.get("style", ""))
        if hidden or not refs.text_content().strip():
            yield "the list of references is empty"
    for link in page.tree.xpath("//*[contains(@class, 'citation')]//a[@href]"):
        address = urlsplit(link.get("href"))
        if address.path and not address.netloc:  # entries of the list may link to their papers
            yield f"citation leads to another page: {link.get('href')}"


def _is_empty(page: _Page) -> bool:
    """Say whether a chapter's page has hardly any words."""
    main = page.tree.xpath("//main | //article") or [page.tree]
    return not any(len(p.text_content().strip()) > 20 for p in main[0].iter("p"))


def findings(site: str | Path, book: Book) -> list[str]:
    """Return everything that is wrong with a rendered site.

    Parameters
    ----------
    site : str or Path
        Folder of the pages.
    book : Book
        The book they were rendered from.

    Returns
    -------
    list of str
        One line for each finding, beginning with the page; empty if all is well.

    Notes
    -----
    Looked for are pages that are missing or empty, pictures without alt text, links and anchors
    inside the site that lead nowhere, scripts, styles, fonts and pictures from other hosts,
    references or markup that stayed unresolved, and lists of references that stayed empty.
    """
    site = Path(site)
    pages = _parse(site)
    lines = []
    for path in (book.preface, *(chapter.path for chapter in book.chapters)):
        name = path.relative_to(book.root).with_suffix(".html").as_posix()
        if name not in pages:
            lines.append(f"{name}: the page was not rendered")
        elif _is_empty(pages[name]):
            lines.append(f"{name}: the page has no prose")
    for page in pages.values():
        looked_at = (_loads(page), _pictures(page), _links(page, pages, site), _text(page))
        problems = itertools.chain(*looked_at, _references(page))
        lines += [f"{page.name}: {words}" for words in problems]
    for path in sorted(site.rglob("*.css")):
        name = path.relative_to(site).as_posix()
        addresses = _styled(path.read_text(encoding="utf-8", errors="replace"))
        lines += [f"{name}: loads {address} from another host" for address in addresses]
    return list(dict.fromkeys(lines))


def check(site: str | Path, book: Book) -> None:
    """Raise if anything is wrong with a rendered site.

    Parameters
    ----------
    site : str or Path
        Folder of the pages.
    book : Book
        The book they were rendered from.

    Raises
    ------
    CheckError
        With one line for each of `findings`.

    Examples
    --------
    >>> from meznet_helpers.site import book
    >>> check("_site", book.read("."))  # doctest: +SKIP
    """
    if lines := findings(site, book):
        raise CheckError("\n".join(lines))
