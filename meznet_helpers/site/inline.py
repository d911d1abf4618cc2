"""Inline markdown: references, citations, links and math, from Quarto's form to MyST's."""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Callable
from typing import Any

from meznet_helpers.site import references

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
_UNKNOWN = {
    "shortcode": "shortcode",
    "role": "role",
    "span": "bracketed span with attributes",
    "inlinenote": "inline footnote",
    "super": "superscript",
    "sub": "subscript",
    "attr": "attributes",
}


class Inline:
    """Translates the inline constructs of one page.

    Parameters
    ----------
    page : str
        Name of the page without its ending, such as ``chapters/01-nets``.
    labels : dict of str to Label or None
        Every label of the book; None while the labels are still being collected.
    keys : set of str
        Keys of the bibliography.
    prefix : str
        What stands before each citation key, so that every page has its own list.
    """

    def __init__(
        self, page: str, labels: dict[str, references.Label] | None, keys: set[str], prefix: str
    ) -> None:
        """Keep what references resolve to."""
        self.page, self.labels, self.keys, self.prefix = page, labels, keys, prefix
        self.cites = False

    def translate(self, text: str, fail: Callable[[str], Any]) -> str:
        """Return a run of text in MyST's form.

        Parameters
        ----------
        text : str
            Markdown without block constructs.
        fail : callable
            Called with a description of a construct that is not known; must raise.

        Examples
        --------
        >>> labels = {"fig-a": references.Label("fig-a", "chapters/01-x", "1.1")}
        >>> Inline("index", labels, set(), "").translate("see @fig-a", print)
        'see <a class="crossref" href="chapters/01-x.html#fig-a">Figure 1.1</a>'
        """
        text = _TOKENS.sub(lambda match: self._token(match, fail), text)
        return re.sub(r"^(\s*)(%|\+\+\+)", r"\1\\\2", text, flags=re.MULTILINE)  # MyST's own marks

    def _token(self, match: re.Match[str], fail: Callable[[str], Any]) -> str:
        found = match.groupdict()
        kind = next(k for k in _KINDS if found.get(k) is not None)
        text = match.group(0)
        if kind in _UNKNOWN:
            fail(f"unknown construct: {_UNKNOWN[kind]} {text!r}")
        if kind == "code" and (found["codeattr"] or found["codetext"].startswith("{")):
            fail(f"unknown construct: code with attributes {text!r}")
        if kind == "image":
            return self._image(found, fail)
        if kind == "link":
            if found["linkattr"]:
                fail(f"unknown construct: link attributes {found['linkattr']!r}")
            return self._link(self.translate(found["text"], fail), found["target"], fail)
        if kind == "bare":
            return self._bare(found["key"], fail)
        if kind == "cites":
            return self._cites(found["keys"], text, fail)
        return text

    def _image(self, found: dict[str, str], fail: Callable[[str], Any]) -> str:
        options = attributes(found["imgattr"] or "", fail)
        alt = options.pop("fig-alt", found["alt"])
        size = {k: options.pop(k) for k in ("width", "height") if k in options}
        if options:
            fail(f"unknown construct: image attributes {found['imgattr']!r}")
        if found["src"].startswith("attachment:"):
            fail(f"unknown construct: notebook attachment {found['src']!r}")
        tail = " ".join(f"{k}={v}" for k, v in size.items())
        return f"![{alt}]({found['src']})" + (f"{{{tail}}}" if tail else "")

    def _link(self, text: str, target: str, fail: Callable[[str], Any]) -> str:
        if re.match(r"[a-z]+:", target):
            return f"[{text}]({target})"
        path, _, anchor = target.partition("#")
        stem, ending = posixpath.splitext(path)
        if path and ending not in (".ipynb", ".qmd"):
            fail(f"link to {target!r}, which is no page of the book (.ipynb or .qmd)")
        address = (f"{stem}.html" if path else "") + (f"#{anchor}" if anchor else "")
        return f'<a href="{html.escape(address)}">{text}</a>'

    def _bare(self, key: str, fail: Callable[[str], Any]) -> str:
        if key.partition("-")[0].lower() in references.WORDS and "-" in key:
            return self._crossref(key, fail)
        self._known(key, fail)
        return f"{{cite:t}}`{self.prefix}{key}`"

    def _crossref(self, key: str, fail: Callable[[str], Any]) -> str:
        if self.labels is None:
            return key
        label = self.labels.get(key)
        if label is None:
            fail(f"unresolved reference @{key}")
        page = "" if label.page == self.page else references.relative(self.page, label.page)
        return f'<a class="crossref" href="{page}#{label.name}">{label.text}</a>'

    def _cites(self, inner: str, text: str, fail: Callable[[str], Any]) -> str:
        keys = [part.strip() for part in inner.split(";")]
        if any(not re.fullmatch(r"@[A-Za-z][\w:-]*", key) for key in keys):
            fail(f"unknown construct: citation with more than keys {text!r}")
        keys = [key[1:] for key in keys]
        if all(key.partition("-")[0] in references.WORDS for key in keys):
            return ", ".join(self._crossref(key, fail) for key in keys)
        for key in keys:
            self._known(key, fail)
        return f"{{cite:p}}`{','.join(self.prefix + key for key in keys)}`"

    def _known(self, key: str, fail: Callable[[str], Any]) -> None:
        if key not in self.keys:
            fail(f"unresolved citation @{key}: the bibliography has no such key")
        self.cites = True


_PARTS = {"ticks", "codetext", "codeattr", "alt", "src", "imgattr", "text", "target", "linkattr"}
_PARTS |= {"keys", "key", "spanattr"}
_KINDS = tuple(name for name in _TOKENS.groupindex if name not in _PARTS)


def attributes(text: str, fail: Callable[[str], Any]) -> dict[str, str]:
    """Read pandoc attributes, ``{#id .class key="value"}``, into a dictionary.

    The id is under ``id`` and the classes, joined by blanks, under ``class``.

    Examples
    --------
    >>> attributes('{#fig-a .wide width=50%}', print)
    {'id': 'fig-a', 'class': 'wide', 'width': '50%'}
    """
    inner = text.strip().removeprefix("{").removesuffix("}")
    options: dict[str, str] = {}
    pattern = r"""\#(?P<id>[\w:.-]+)|\.(?P<cls>[\w-]+)|(?P<key>[\w-]+)=(?:"(?P<dq>(?:\\.|[^"])*)"
        |'(?P<sq>[^']*)'|(?P<raw>[^\s"']+))|(?P<bad>\S+)"""
    for match in re.finditer(pattern, inner, re.VERBOSE):
        if match["id"]:
            options["id"] = match["id"]
        elif match["cls"]:
            options["class"] = f"{options.get('class', '')} {match['cls']}".strip()
        elif match["key"]:
            value = next(v for v in (match["dq"], match["sq"], match["raw"]) if v is not None)
            options[match["key"]] = value.replace('\\"', '"')
        else:
            fail(f"unknown construct: attribute {match['bad']!r} in {text!r}")
    return options
