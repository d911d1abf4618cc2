"""Inline markdown: references, citations, links and math, from Quarto's form to MyST's."""

from __future__ import annotations

import dataclasses
import html
import posixpath
import re
from typing import NoReturn

from meznet_helpers.errors import MeznetError

WORDS = {"fig": "Figure", "tbl": "Table", "eq": "Equation", "sec": "Section"}
_TOKENS = re.compile(
    r"""(?P<escape>\\[^\w\s])
    |(?P<code>(?P<ticks>`+)(?!`)(?P<codetext>.+?)(?<!`)(?P=ticks)(?!`)(?P<codeattr>\{[^}\n]*\})?)
    |(?P<role>\{[\w:.-]+\}`)
    |(?P<comment><!--.*?-->)
    |(?P<math>\$(?=[^\s$])[^$]*?[^\s$\\]\$(?!\d)|\$[^\s$]\$(?!\d))
    |(?P<html></?[A-Za-z][^<>]*>|<(?:https?|mailto):[^<>\s]+>)
    |(?P<shortcode>\{\{<.*?>\}\})
    |(?P<footnote>\[\^[^\]\s]+\])
    |(?P<image>!\[(?P<alt>[^\]]*)\]\((?P<src>[^()\s]+)\)(?P<imgattr>\{[^}]*\})?)
    |(?P<link>(?<!!)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^()\s]+)\)
        (?P<linkattr>\{[^}]*\})?)
    |(?P<cites>\[(?P<keys>-?@[^\[\]]*|[^\[\]@]*\s-?@[^\[\]]*)\](?!\())
    |(?P<bare>(?<![\w@./])@(?P<key>[A-Za-z][\w:-]*\w))
    |(?P<span>\](?P<spanattr>\{[^}\n]*\}))
    |(?P<inlinenote>\^\[)
    |(?P<super>\^[^\s^\[\]]+\^)
    |(?P<sub>(?<!~)~[^\s~]+~(?!~))
    |(?P<attr>\{[.\#=%][^}\n]*\})
    """,
    re.VERBOSE | re.DOTALL,
)
_PENDING = re.compile("\0@(.*?)\0(.*?)\0")  # a reference and its cell, until labels are known
_ATTRIBUTE = re.compile(
    r"""\#(?P<id>[\w:.-]+)|\.(?P<cls>[\w-]+)|(?P<key>[\w-]+)=(?:"(?P<dq>(?:\\.|[^"])*)"
    |'(?P<sq>[^']*)'|(?P<raw>[^\s"']+))|(?P<bad>\S+)""",
    re.VERBOSE,
)
_UNKNOWN = {
    "shortcode": "shortcode",
    "role": "role",
    "span": "bracketed span with attributes",
    "inlinenote": "inline footnote",
    "super": "superscript",
    "sub": "subscript",
    "attr": "attributes",
}


class TranslationError(MeznetError):
    """A construct that the translator does not know, named with its page and cell."""

    def __init__(self, page: str, cell: str, problem: str) -> None:
        """Say where and what in one line."""
        super().__init__(f"{page}, cell {cell}: {problem}")


@dataclasses.dataclass(frozen=True)
class Label:
    """A place that can be referred to: its id, its page (``chapters/01-x``) and its number."""

    name: str
    page: str
    number: str

    @property
    def text(self) -> str:
        """What a reference to it reads, such as ``Figure 1.2``.

        Examples
        --------
        >>> Label("sec-cost", "chapters/01-nets", "1").text
        'Chapter 1'
        """
        kind = self.name.partition("-")[0]
        if kind == "sec" and "." not in self.number:
            return f"{'Chapter' if self.number.isdigit() else 'Appendix'} {self.number}"
        return f"{WORDS[kind]} {self.number}"


class Inline:
    """Translates the inline constructs of one page.

    Parameters
    ----------
    page : str
        Name of the page without its ending, such as ``chapters/01-nets``.
    number : str or None
        The chapter's; None for an unnumbered page.
    keys : set of str
        Keys of the bibliography.
    """

    def __init__(self, page: str, number: str | None, keys: set[str]) -> None:
        """Start before the first cell."""
        self.page, self.number, self.keys = page, number, keys
        self.prefix = f"c{number or 0}-"  # of citation keys, so that every page has its own list
        self.cell, self.cites = "1", False

    def fail(self, problem: str) -> NoReturn:
        """Raise a TranslationError that names this page and the present cell."""
        raise TranslationError(self.page, self.cell, problem)

    def refuse(self, options: dict[str, str], what: str) -> None:
        """Raise a TranslationError if options are left that nobody took."""
        if options:
            self.fail(f"unknown construct: {what} {sorted(options)}")

    def text(self, text: str) -> str:
        """Return a run of text without block constructs in MyST's form.

        References to figures, tables, equations and sections wait for `resolved`.

        Examples
        --------
        >>> page = Inline("index", None, {"he2016"})
        >>> page.text("see [one](chapters/01-x.ipynb) and @he2016")
        'see <a href="chapters/01-x.html">one</a> and {cite:t}`c0-he2016`'
        >>> label = Label("fig-a", "chapters/01-x", "1.1")
        >>> page.resolved(page.text("see @fig-a"), {"fig-a": label})
        'see <a class="crossref" href="chapters/01-x.html#fig-a">Figure 1.1</a>'
        """
        text = _TOKENS.sub(self._token, text)
        return re.sub(r"^(\s*)(%|\+\+\+)", r"\1\\\2", text, flags=re.MULTILINE)  # MyST's own marks

    def resolved(self, text: str, labels: dict[str, Label]) -> str:
        """Return a translated text with its references to the book's labels as links."""

        def link(match: re.Match[str]) -> str:
            name, self.cell = match.groups()
            if name not in labels:
                self.fail(f"unresolved reference @{name}")
            label = labels[name]
            folder = posixpath.dirname(self.page) or "."
            path = posixpath.relpath(f"{label.page}.html", folder)
            path = "" if label.page == self.page else path
            return f'<a class="crossref" href="{path}#{name}">{label.text}</a>'

        return _PENDING.sub(link, text)

    def _token(self, match: re.Match[str]) -> str:
        kind, text = match.lastgroup, match[0]
        if kind in _UNKNOWN:
            self.fail(f"unknown construct: {_UNKNOWN[kind]} {text!r}")
        if kind == "code" and (match["codeattr"] or match["codetext"].startswith("{")):
            self.fail(f"unknown construct: code with attributes {text!r}")
        if kind == "image":
            options = self.attributes(match["imgattr"])
            alt, size = self.picture(match["src"], match["alt"], options)
            tail = " ".join(f"{name}={value}" for name, value in size.items())
            return f"![{alt}]({match['src']})" + (f"{{{tail}}}" if tail else "")
        if kind == "link":
            if match["linkattr"]:
                self.fail(f"unknown construct: link attributes {match['linkattr']!r}")
            return self._link(self.text(match["text"]), match["target"])
        if kind == "bare":
            prefix, dash, _ = match["key"].partition("-")
            if dash and prefix.lower() in WORDS:
                return self._crossref(match["key"])
            return f"{{cite:t}}`{self._cite(match['key'])}`"
        return self._cites(match["keys"], text) if kind == "cites" else text

    def picture(self, source: str, alt: str, options: dict[str, str]) -> tuple[str, dict[str, str]]:
        """Return a picture's alt text and size; no other option is known."""
        if source.startswith("attachment:"):
            self.fail(f"unknown construct: notebook attachment {source!r}")
        alt = options.pop("fig-alt", alt)
        size = {name: options.pop(name) for name in ("width", "height") if name in options}
        self.refuse(options, "image attributes")
        return alt, size

    def _link(self, text: str, target: str) -> str:
        if re.match(r"[a-z]+:", target):
            return f"[{text}]({target})"
        path, _, anchor = target.partition("#")
        stem, ending = posixpath.splitext(path)
        if path and ending not in (".ipynb", ".qmd"):
            self.fail(f"link to {target!r}, which is no page of the book (.ipynb or .qmd)")
        address = (f"{stem}.html" if path else "") + (f"#{anchor}" if anchor else "")
        return f'<a href="{html.escape(address)}">{text}</a>'

    def _crossref(self, name: str) -> str:
        return f"\0@{name}\0{self.cell}\0"

    def _cites(self, inner: str, text: str) -> str:
        keys = [part.strip() for part in inner.split(";")]
        if any(not re.fullmatch(r"@[A-Za-z][\w:-]*", key) for key in keys):
            self.fail(f"unknown construct: citation with more than keys {text!r}")
        keys = [key[1:] for key in keys]
        if all(key.partition("-")[0] in WORDS for key in keys):
            return ", ".join(map(self._crossref, keys))
        return f"{{cite:p}}`{','.join(map(self._cite, keys))}`"

    def _cite(self, key: str) -> str:
        if key not in self.keys:
            self.fail(f"unresolved citation @{key}: the bibliography has no such key")
        self.cites = True
        return self.prefix + key

    def attributes(self, text: str | None) -> dict[str, str]:
        """Read pandoc attributes, ``{#id .class key="value"}``, into a dictionary.

        The id is under ``id`` and the classes, joined by blanks, under ``class``.

        Examples
        --------
        >>> Inline("index", None, set()).attributes('{#fig-a .wide width=50%}')
        {'id': 'fig-a', 'class': 'wide', 'width': '50%'}
        """
        options: dict[str, str] = {}
        inner = (text or "").strip().removeprefix("{").removesuffix("}")
        for match in _ATTRIBUTE.finditer(inner):
            if match["id"]:
                options["id"] = match["id"]
            elif match["cls"]:
                options["class"] = f"{options.get('class', '')} {match['cls']}".strip()
            elif match["bad"]:
                self.fail(f"unknown construct: attribute {match['bad']!r} in {text!r}")
            else:
                value = match["dq"] or match["sq"] or match["raw"] or ""
                options[match["key"]] = value.replace('\\"', '"')
        return options
