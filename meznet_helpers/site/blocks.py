"""Block markdown: headings, callouts, tabs, figures, tables and equations, Quarto's to MyST's."""

from __future__ import annotations

import re
from typing import Any

from meznet_helpers.site.inline import WORDS, Inline, Label

LIST = "<!-- list of references -->"  # where the page wants its list
CALLOUTS = {
    "note": "info",
    "tip": "success",
    "important": "primary",
    "warning": "warning",
    "caution": "danger",
}
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*(\{[^{}]*\})?\s*$")
_CAPTION = re.compile(r"^:\s+(?=\S)(.*?)\s*(\{#tbl-[^}]*\})?\s*$")
_UNKNOWN_LINES = (
    (re.compile(r"^\s+:{3,}"), "indented div"),
    (re.compile(r"^\+[-=+:]{3,}\+\s*$"), "grid table"),
    (re.compile(r"^=+\s*$"), "underlined heading"),
    (re.compile(r"^\|\s(?!.*\|\s*$)"), "line block"),
    (re.compile(r"^\s*\((?:@|\w+)\)\s"), "parenthesized list"),
)


class Blocks(Inline):
    """Translates the markdown cells of one page; open divs carry over from cell to cell.

    Parameters
    ----------
    page, number, keys
        As in `Inline`.
    """

    def __init__(self, page: str, number: str | None, keys: set[str]) -> None:
        """Start an empty page."""
        super().__init__(page, number, keys)
        self.sections: list[int] = []
        self.counts = dict.fromkeys(WORDS, 0)
        self.labels: dict[str, Label] = {}
        self.out: list[str] = []
        self.open: list[dict[str, Any]] = []
        self.title = ""

    def label(self, name: str, kind: str, number: str = "") -> str:
        """Note a label that is defined here and return its number: the next, such as ``1.2``."""
        if not re.fullmatch(rf"{kind}-[\w-]+", name):
            self.fail(f"label {name!r} should look like {kind}-name")
        if name in self.labels:
            self.fail(f"label {name!r} is defined twice")
        self.counts[kind] += 1
        number = number or ".".join(filter(None, (self.number, str(self.counts[kind]))))
        self.labels[name] = Label(name, self.page, number)
        return number

    def section(self, level: int) -> str:
        """Return the number of the next heading of a level (1 is the title); empty if none.

        Examples
        --------
        >>> page = Blocks("chapters/03-nets", "3", set())
        >>> [page.section(level) for level in (1, 2, 3, 3, 2, 3)]
        ['3', '3.1', '3.1.1', '3.1.2', '3.2', '3.2.1']
        """
        if not self.number:
            return ""
        self.sections = (self.sections + [0] * level)[: level - 1]
        if self.sections:
            self.sections[-1] += 1
        return ".".join(map(str, (self.number, *self.sections)))

    def figure(self, kind: str, name: str, caption: str, body: list[str]) -> None:
        """Write a figure or table with its caption; a name gives it a number and an anchor."""
        words = self.text(caption) if caption else ""
        if name:
            number = self.label(name, kind)
            words = f"**{WORDS[kind]} {number}**" + (f": {words}" if words else "")
        anchor = f' id="{name}"' if name else ""
        lines = ["<figcaption>", "", words, "", "</figcaption>", ""] if words else []
        inside = [*lines, *body] if kind == "tbl" else [*body, *lines]
        self.out += ["", f'<figure class="book-{kind}"{anchor}>', "", *inside, "</figure>", ""]

    def markdown(self, source: str) -> None:
        """Translate the text of one markdown cell."""
        lines, run, start = source.splitlines(), [], 0
        while start < len(lines):
            taken = self._block(lines, start, run)
            if not taken:
                run.append(lines[start])
            start += taken or 1
        self._flush(run)
        self.out.append("")

    def _flush(self, run: list[str]) -> None:
        """Write the ordinary lines gathered so far."""
        if run:
            self.out += self.text("\n".join(run)).split("\n")
            run.clear()

    def _block(self, lines: list[str], start: int, run: list[str]) -> int:
        """Translate the block that begins at a line; return how many lines it took, or 0."""
        for pattern, name in _UNKNOWN_LINES:
            if pattern.match(lines[start]):
                self.fail(f"unknown construct: {name} {lines[start].strip()!r}")
        for pattern, handle in self._KINDS:
            if match := re.match(pattern, lines[start]):
                self._flush(run)
                return handle(self, match, lines, start)
        return 0

    def _fence(self, match: re.Match[str], lines: list[str], start: int) -> int:
        indent, ticks, info = match.groups()
        closing = re.compile(rf"^\s*{ticks[0]}{{{len(ticks)},}}\s*$")
        end = next((n for n in range(start + 1, len(lines)) if closing.match(lines[n])), None)
        if end is None:
            self.fail(f"code fence {match[0]!r} is never closed")
        body = lines[start + 1 : end]
        if info == "{=html}":
            self.out += ["", f"{indent}{ticks}{{raw}} html", *body, f"{indent}{ticks}", ""]
        elif info.startswith("{"):
            language = re.fullmatch(r"\{\.([\w-]+)\}", info)
            if not language:
                self.fail(f"unknown construct: code block {info!r}")
            self.out += [f"{indent}{ticks}{language[1]}", *body, lines[end]]
        else:
            self.out += lines[start : end + 1]
        return end + 1 - start

    def _title(self, match: re.Match[str], lines: list[str], start: int) -> int:
        marks, words, given = match.groups()
        options = self.attributes(given)
        unnumbered = options.pop("class", "") in ("unnumbered", "unnumbered unlisted")
        name = options.pop("id", "")
        if options or (given and not (unnumbered or name)):
            self.fail(f"unknown construct: heading attributes {given!r}")
        if self.open and len(marks) <= self.open[-1].get("level", 0):
            self._tab(words, len(marks))
        elif self.open:
            self.out += ["", f"**{self.text(words)}**", ""]
        else:
            self.heading(len(marks), words, name, unnumbered)
        return 1

    def heading(self, level: int, words: str, name: str = "", unnumbered: bool = False) -> None:
        """Write a heading, numbered unless told otherwise; level 1 is the page's title."""
        number = "" if unnumbered else self.section(level)
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

    def _equation(self, match: re.Match[str], lines: list[str], start: int) -> int:
        text, end = lines[start], start + 1
        while not re.search(r"\$\$\s*(\{[^}]*\})?\s*$", text[2:]):
            if end == len(lines):
                self.fail("display math is never closed")
            text, end = f"{text}\n{lines[end]}", end + 1
        formula, tail = text[2:].rsplit("$$", 1)
        name = self.attributes(tail).get("id", "")
        if tail.strip() and not name:
            self.fail(f"unknown construct: {tail.strip()!r} after display math")
        shown = ["", "$$", re.sub(r"\n\s*\n", "\n", formula.strip()), "$$", ""]
        if name:
            mark = f'<span class="number">({self.label(name, "eq")})</span>'
            shown = ["", f'<div class="equation" id="{name}">', *shown, mark, "", "</div>", ""]
        self.out += shown
        return end - start

    def _picture(self, match: re.Match[str], lines: list[str], start: int) -> int:
        caption, source, given = match.groups()
        options = self.attributes(given)
        name = options.pop("id", "")
        beside = lines[max(0, start - 1) : start] + lines[start + 1 : start + 2]
        alone = not any(line.strip() for line in beside)
        if name or (alone and caption):
            self.figure("fig", name, caption, self.image(source, caption, options))
        else:
            self.out.append(self.text(lines[start]))
        return 1

    def image(self, source: str, alt: str, options: dict[str, str]) -> list[str]:
        """Return the lines that show a picture file."""
        alt, size = self.picture(source, alt, options)
        sizes = [f":{k}: {v}px" if str(v).isdigit() else f":{k}: {v}" for k, v in size.items()]
        return [f"```{{image}} {source}", f":alt: {' '.join(alt.split())}", *sizes, "```", ""]

    def _table(self, match: re.Match[str], lines: list[str], start: int) -> int:
        end = start
        while end < len(lines) and lines[end].startswith("|"):
            end += 1
        body = [*self.text("\n".join(lines[start:end])).split("\n"), ""]
        after = next((n for n in range(end, len(lines)) if lines[n].strip()), None)
        caption = _CAPTION.match(lines[after]) if after is not None else None
        if caption:
            self.figure("tbl", self.attributes(caption[2]).get("id", ""), caption[1], body)
            return after + 1 - start
        self.out += ["", *body]
        return end - start

    def _div(self, match: re.Match[str], lines: list[str], start: int) -> int:
        info = match[2]
        if not info:
            if not self.open:
                self.fail("':::' closes a div that was never opened")
            div = self.open.pop()
            self.out += ["", *([div["inner"]] if div.get("inner") else []), div["fence"], ""]
            return 1
        options = self.attributes(info if info.startswith("{") else f"{{.{info}}}")
        kind, colons = options.pop("class", ""), ":" * max(4, 24 - 2 * len(self.open))
        if kind.startswith("callout-") and kind[8:] in CALLOUTS:
            return self._callout(kind[8:], options, colons, lines, start)
        div = {"kind": kind, "fence": colons}
        if kind == "panel-tabset":
            options.pop("group", None)
            self.refuse(options, "tabset options")
            div |= {"level": 6, "inner": ""}
            opening = f"{colons}{{tab-set}}"
        elif kind in ("column-margin", "aside") and not options:
            opening = f"{colons}{{margin}}"
        elif options == {"id": "refs"} and not kind:
            div, opening = {"kind": "refs", "fence": ""}, LIST
        else:
            self.fail(f"unknown construct: div {info!r}")
        self.open.append(div)
        self.out += ["", opening, ""]
        return 1

    def _callout(
        self, kind: str, options: dict[str, str], colons: str, lines: list[str], start: int
    ) -> int:
        title, taken = options.pop("title", ""), 1
        collapse = options.pop("collapse", "")
        options.pop("icon", ""), options.pop("appearance", "")
        self.refuse(options, "callout options")
        if not title:
            first = next((n for n in range(start + 1, len(lines)) if lines[n].strip()), len(lines))
            heading = _HEADING.match(lines[first]) if first < len(lines) else None
            title, taken = (heading[2], first + 1 - start) if heading else ("", first - start)
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
        closing, inner = tabs["inner"], ":" * (len(tabs["fence"]) - 1)
        tabs |= {"level": level, "inner": inner}
        self.out += ["", closing] if closing else []
        self.out += ["", f"{inner}{{tab-item}} {self.text(words)}", ""]

    _KINDS = (  # the first that fits
        (r"^(\s*)(`{3,}|~{3,})\s*(.*?)\s*$", _fence),
        (r"^(:{3,})\s*(.*?)\s*:*\s*$", _div),
        (_HEADING, _title),
        (r"^\$\$", _equation),
        (r"^!\[(.*)\]\(([^()\s]+)\)(\{[^}]*\})?\s*$", _picture),
        (r"^\|.*\|\s*$", _table),
    )
