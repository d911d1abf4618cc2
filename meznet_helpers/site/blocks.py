"""Block markdown: headings, callouts, tabs, figures, tables and equations, Quarto's to MyST's."""

from __future__ import annotations

import re
from typing import Any, NoReturn

from meznet_helpers.site import references
from meznet_helpers.site.inline import Inline, attributes

CALLOUTS = {
    "note": "info",
    "tip": "success",
    "important": "primary",
    "warning": "warning",
    "caution": "danger",
}
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*(\{[^{}]*\})?\s*$")
_FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*(.*?)\s*$")
_DIV = re.compile(r"^(:{3,})\s*(.*?)\s*:*\s*$")
_CAPTION = re.compile(r"^:\s+(.*?)\s*(\{#tbl-[^}]*\})\s*$")
_FIGURE = re.compile(r"^!\[(.*)\]\(([^()\s]+)\)(\{[^}]*\})?\s*$")
_UNKNOWN_LINES = (
    (re.compile(r"^\s+:{3,}"), "indented div"),
    (re.compile(r"^\+[-=+:]{3,}\+\s*$"), "grid table"),
    (re.compile(r"^=+\s*$"), "underlined heading"),
    (re.compile(r"^\|\s(?!.*\|\s*$)"), "line block"),
    (re.compile(r"^\s*\((?:@|\w+)\)\s"), "parenthesized list"),
)


class Blocks:
    """Translates the markdown cells of one page; open divs carry over from cell to cell.

    Parameters
    ----------
    page : str
        Name of the page without its ending, such as ``chapters/01-nets``.
    chapter : str or None
        Its number; None for an unnumbered page.
    inline : Inline
        The page's inline translator.
    """

    def __init__(self, page: str, chapter: str | None, inline: Inline) -> None:
        """Start an empty page."""
        self.page, self.inline = page, inline
        self.numbering = references.Numbering(chapter)
        self.labels: dict[str, references.Label] = {}
        self.out: list[str] = []
        self.open: list[dict[str, Any]] = []
        self.title = ""
        self.cell = "1"

    def fail(self, problem: str) -> NoReturn:
        """Raise a TranslationError that names this page and the present cell."""
        raise references.TranslationError(self.page, self.cell, problem)

    def text(self, text: str) -> str:
        """Return inline text in MyST's form."""
        return self.inline.translate(text, self.fail)

    def label(self, name: str, kind: str, number: str | None = None) -> str:
        """Note a label that is defined here and return its number."""
        if not re.fullmatch(rf"{kind}-[\w-]+", name):
            self.fail(f"label {name!r} should look like {kind}-name")
        if name in self.labels:
            self.fail(f"label {name!r} is defined twice")
        number = self.numbering.item(kind) if number is None else number
        self.labels[name] = references.Label(name, self.page, number)
        return number

    def figure(self, kind: str, name: str, caption: str, body: list[str]) -> None:
        """Write a figure or table with its caption; a name gives it a number and an anchor."""
        words = self.text(caption) if caption else ""
        if name:
            number = self.label(name, kind)
            words = f"**{references.WORDS[kind]} {number}**" + (f": {words}" if words else "")
        anchor = f' id="{name}"' if name else ""
        lines = ["<figcaption>", "", words, "", "</figcaption>", ""] if words else []
        inside = [*lines, *body] if kind == "tbl" else [*body, *lines]
        self.out += ["", f'<figure class="book-{kind}"{anchor}>', "", *inside, "</figure>", ""]

    def markdown(self, source: str) -> None:
        """Translate the text of one markdown cell."""
        lines = source.splitlines()
        run: list[str] = []
        at = 0
        while at < len(lines):
            taken = self._block(lines, at, run)
            if not taken:
                run.append(lines[at])
            at += taken or 1
        self._flush(run)
        self.out.append("")

    def _flush(self, run: list[str]) -> None:
        """Write the ordinary lines gathered so far."""
        if run:
            self.out += self.text("\n".join(run)).split("\n")
            run.clear()

    def _block(self, lines: list[str], at: int, run: list[str]) -> int:
        """Translate the block that begins at a line; return how many lines it took, or 0."""
        line = lines[at]
        for pattern, name in _UNKNOWN_LINES:
            if pattern.match(line):
                self.fail(f"unknown construct: {name} {line.strip()!r}")
        for pattern, handle in (
            (_FENCE, self._fence),
            (_DIV, self._div),
            (_HEADING, self._heading),
            (re.compile(r"^\$\$"), self._equation),
            (_FIGURE, self._picture),
            (re.compile(r"^\|.*\|\s*$"), self._table),
        ):
            if match := pattern.match(line):
                self._flush(run)
                return handle(match, lines, at)
        return 0

    def _fence(self, match: re.Match[str], lines: list[str], at: int) -> int:
        indent, ticks, info = match.groups()
        end = at + 1
        closing = re.compile(rf"^\s*{ticks[0]}{{{len(ticks)},}}\s*$")
        while end < len(lines) and not closing.match(lines[end]):
            end += 1
        if end == len(lines):
            self.fail(f"code fence {match.group(0)!r} is never closed")
        body = lines[at + 1 : end]
        if info == "{=html}":
            self.out += ["", f"{indent}{ticks}{{raw}} html", *body, f"{indent}{ticks}", ""]
        elif info.startswith("{"):
            found = re.fullmatch(r"\{\.([\w-]+)\}", info)
            if not found:
                self.fail(f"unknown construct: code block {info!r}")
            self.out += [f"{indent}{ticks}{found.group(1)}", *body, lines[end]]
        else:
            self.out += lines[at : end + 1]
        return end + 1 - at

    def _heading(self, match: re.Match[str], lines: list[str], at: int) -> int:
        marks, words = match.group(1), match.group(2)
        options = attributes(match.group(3) or "", self.fail)
        unnumbered = options.pop("class", "") in ("unnumbered", "unnumbered unlisted")
        name = options.pop("id", "")
        if options or (match.group(3) and not (unnumbered or name)):
            self.fail(f"unknown construct: heading attributes {match.group(3)!r}")
        if self.open and self.open[-1]["kind"] == "tabs" and len(marks) <= self.open[-1]["level"]:
            self._tab(words, len(marks))
            return 1
        if self.open:
            self.out += ["", f"**{self.text(words)}**", ""]
            return 1
        self.heading(len(marks), words, name, unnumbered)
        return 1

    def heading(self, level: int, words: str, name: str = "", unnumbered: bool = False) -> None:
        """Write a heading, numbered unless told otherwise; level 1 is the page's title."""
        number = "" if unnumbered else self.numbering.heading(level)
        if level == 1:
            if self.title:
                self.fail(f"second title {words!r}: a page has one heading of level 1")
            self.title = words
        elif not self.title:
            self.fail(f"heading {words!r} stands before the page's title")
        if name.startswith("sec-"):
            if not number:
                self.fail(f"label {name!r} is on a heading without a number")
            self.label(name, "sec", number)
        anchor = ["", f'<span id="{name}" class="anchor"></span>', ""] if name else [""]
        self.out += [*anchor, f"{'#' * level} {number} {self.text(words)}".replace("  ", " "), ""]

    def _equation(self, match: re.Match[str], lines: list[str], at: int) -> int:
        text, end = lines[at], at
        while not re.search(r"\$\$\s*(\{[^}]*\})?\s*$", text[2:]):
            end += 1
            if end == len(lines):
                self.fail("display math is never closed")
            text += "\n" + lines[end]
        formula, tail = text[2:].rsplit("$$", 1)
        name = attributes(tail, self.fail).get("id", "")
        formula = re.sub(r"\n\s*\n", "\n", formula.strip())
        if not name:
            if tail.strip():
                self.fail(f"unknown construct: {tail.strip()!r} after display math")
            self.out += ["", "$$", formula, "$$", ""]
            return end + 1 - at
        number = self.label(name, "eq")
        mark = f'<span class="number">({number})</span>'
        before = ["", f'<div class="equation" id="{name}">', "", "$$", formula, "$$", ""]
        self.out += [*before, mark, "", "</div>", ""]
        return end + 1 - at

    def _picture(self, match: re.Match[str], lines: list[str], at: int) -> int:
        alone = (at == 0 or not lines[at - 1].strip()) and (
            at + 1 == len(lines) or not lines[at + 1].strip()
        )
        options = attributes(match.group(3) or "", self.fail)
        caption, name = match.group(1), options.pop("id", "")
        if not name and not (alone and caption):
            self.out.append(self.text(lines[at]))
            return 1
        alt = options.pop("fig-alt", caption)
        self.figure("fig", name, caption, self.image(match.group(2), alt, options))
        return 1

    def image(self, source: str, alt: str, options: dict[str, str]) -> list[str]:
        """Return the lines that show a picture file."""
        if source.startswith("attachment:"):
            self.fail(f"unknown construct: notebook attachment {source!r}")
        size = {k: options.pop(k) for k in ("width", "height") if k in options}
        if options:
            self.fail(f"unknown construct: image attributes {sorted(options)}")
        sizes = [f":{k}: {v}px" if str(v).isdigit() else f":{k}: {v}" for k, v in size.items()]
        return [f"```{{image}} {source}", f":alt: {' '.join(alt.split())}", *sizes, "```", ""]

    def _table(self, match: re.Match[str], lines: list[str], at: int) -> int:
        end = at
        while end < len(lines) and lines[end].startswith("|"):
            end += 1
        body = [*self.text("\n".join(lines[at:end])).split("\n"), ""]
        after = end
        while after < len(lines) and not lines[after].strip():
            after += 1
        caption = _CAPTION.match(lines[after]) if after < len(lines) else None
        if caption:
            name = attributes(caption.group(2), self.fail)["id"]
            self.figure("tbl", name, caption.group(1), body)
            return after + 1 - at
        if after < len(lines) and (plain := re.match(r"^:\s+(\S.*)$", lines[after])):
            self.figure("tbl", "", plain.group(1), body)
            return after + 1 - at
        self.out += ["", *body]
        return end - at

    def _div(self, match: re.Match[str], lines: list[str], at: int) -> int:
        info = match.group(2)
        if not info:
            if not self.open:
                self.fail("':::' closes a div that was never opened")
            div = self.open.pop()
            self.out += ["", *([div["inner"]] if div.get("inner") else []), div["fence"], ""]
            return 1
        text = info if info.startswith("{") else f"{{.{info}}}"
        options = attributes(text, self.fail)
        kind, colons = options.pop("class", ""), ":" * max(4, 24 - 2 * len(self.open))
        if kind.startswith("callout-") and kind[8:] in CALLOUTS:
            return self._callout(kind[8:], options, colons, lines, at)
        if kind == "panel-tabset":
            options.pop("group", None)
            self.open.append({"kind": "tabs", "fence": colons, "level": 6, "inner": ""})
            self.out += ["", f"{colons}{{tab-set}}", ""]
        elif kind in ("column-margin", "aside") and not options:
            self.open.append({"kind": "margin", "fence": colons})
            self.out += ["", f"{colons}{{margin}}", ""]
        elif options.pop("id", "") == "refs" and not kind and not options:
            self.open.append({"kind": "refs", "fence": ""})
            self.out += ["", references.LIST, ""]
        else:
            self.fail(f"unknown construct: div {info!r}")
        if kind == "panel-tabset" and options:
            self.fail(f"unknown construct: tabset options {sorted(options)}")
        return 1

    def _callout(
        self, kind: str, options: dict[str, str], colons: str, lines: list[str], at: int
    ) -> int:
        title, taken = options.pop("title", ""), 1
        collapse = options.pop("collapse", "")
        options.pop("icon", ""), options.pop("appearance", "")
        if options:
            self.fail(f"unknown construct: callout options {sorted(options)}")
        while not title and at + taken < len(lines) and not lines[at + taken].strip():
            taken += 1
        first = lines[at + taken] if at + taken < len(lines) else ""
        if not title and (heading := _HEADING.match(first)):
            title, taken = heading.group(2), taken + 1
        title = self.text(title or kind.capitalize())
        self.open.append({"kind": "callout", "fence": colons})
        if collapse:
            shown = [":open:"] if collapse == "false" else []
            self.out += ["", f"{colons}{{dropdown}} {title}", f":color: {CALLOUTS[kind]}", *shown]
        else:
            self.out += ["", f"{colons}{{admonition}} {title}", f":class: {kind}"]
        self.out.append("")
        return taken

    def _tab(self, words: str, level: int) -> None:
        tabs = self.open[-1]
        tabs["level"] = level
        inner = ":" * (len(tabs["fence"]) - 1)
        if tabs["inner"]:
            self.out += ["", inner]
        self.out += ["", f"{inner}{{tab-item}} {self.text(words)}", ""]
        tabs["inner"] = inner
