"""Code cells: their options, and their outputs as MyST text and picture files."""

from __future__ import annotations

import base64
import dataclasses
import html
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from meznet_helpers.errors import reason
from meznet_helpers.site.blocks import Blocks

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PICTURES = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}
_SHOWN = ("text/html", *_PICTURES, "text/markdown", "text/plain")
_CAPTIONED = {"fig": ("picture",), "tbl": ("html", "markdown")}
_OPTIONS = {
    "label": str,
    "fig-cap": str,
    "fig-alt": (str, list),
    "tbl-cap": str,
    "echo": bool,
    "output": bool,
    "include": bool,
    "code-fold": (bool, str),
    "code-summary": str,
    "warning": bool,
}


@dataclasses.dataclass(frozen=True)
class Piece:
    """One output as the page shows it: ``html``, ``markdown``, ``text`` or a ``picture``'s file."""

    kind: str
    content: str
    size: dict[str, str] = dataclasses.field(default_factory=dict)


class Cells(Blocks):
    """Translates the code cells of one page, too.

    Parameters
    ----------
    page, number, keys
        As in `Inline`.
    folder : Path
        Where pages and pictures lie; pictures of ``chapters/01-nets`` go to
        ``chapters/01-nets_files/``.
    fold : bool or str
        The book's own setting of ``code-fold``.
    """

    def __init__(
        self, page: str, number: str | None, keys: set[str], folder: Path, fold: bool | str = False
    ) -> None:
        """Start an empty page."""
        super().__init__(page, number, keys)
        self.folder, self.fold = folder, fold

    def code(self, cell: Any, index: int) -> None:
        """Write a code cell and its outputs."""
        for tag in cell.metadata.get("tags", []):
            if tag.startswith(("hide", "remove", "skip")):
                self.fail(f"unknown construct: cell tag {tag!r}")
        options, source = self._split(cell.source)
        label = options.get("label", "")
        kind = label.partition("-")[0] if "-" in label else ""
        if kind in ("eq", "lst", "sec"):
            self.fail(f"unknown construct: code cell labeled {label!r}")
        name = label if kind in _CAPTIONED else ""
        if options.get("include") is False:
            return
        self.out += self._source(source, options)
        if options.get("output") is False:
            return
        pieces = self._pieces(cell.outputs, f"{Path(self.page).name}_files/cell-{index + 1}")
        captions = [prefix for prefix in _CAPTIONED if options.get(f"{prefix}-cap")]
        kind = kind if name else next(iter(captions), "")
        wanted = [piece for piece in pieces if piece.kind in _CAPTIONED.get(kind, ())]
        if name and kind == "fig" and not wanted:
            wanted = [piece for piece in pieces if piece.kind == "html"]
        if kind and len(wanted) != 1:
            words = f"the cell shows {len(wanted)} of them, not one"
            self.fail(f"{label or f'{kind}-cap'}: {words}")
        if name and kind not in captions:
            self.fail(f"{label} has no {kind}-cap")
        alts = options.get("fig-alt", [])
        alts = itertools.repeat(alts) if isinstance(alts, str) else iter(alts)
        for piece in pieces:
            lines = self._lines(piece, alts)
            if kind and piece is wanted[0]:
                self.figure(kind, name, options[f"{kind}-cap"], lines)
            else:
                self.out += lines

    def _split(self, source: str) -> tuple[dict[str, Any], str]:
        """Separate the ``#|`` option lines of a code cell from its code."""
        lines = source.splitlines()
        count = next((n for n, line in enumerate(lines) if not line.startswith("#|")), len(lines))
        try:
            options = yaml.safe_load("\n".join(line[2:] for line in lines[:count])) or {}
        except yaml.YAMLError as error:
            self.fail(f"cell options are not YAML: {reason(error)}")
        for name, value in options.items():
            if name not in _OPTIONS:
                self.fail(f"unknown construct: cell option {name!r}")
            if not isinstance(value, _OPTIONS[name]):
                self.fail(f"unknown construct: cell option {name}: {value!r}")
        return options, "\n".join(lines[count:]).strip("\n")

    def _source(self, source: str, options: dict[str, Any]) -> list[str]:
        """Return the lines that show a cell's code, folded where its options or the book say so."""
        if not source or options.get("echo") is False:
            return []
        block = ["", *_fenced("python", source)]
        fold = options.get("code-fold", self.fold)
        if fold in (False, "none"):
            return ["", '<div class="cell-code">', *block, "</div>", ""]
        summary = html.escape(options.get("code-summary", "Code"))
        opened = " open" if fold == "show" else ""
        head = f'<details class="cell-code"{opened}><summary>{summary}</summary>'
        return ["", head, *block, "</details>", ""]

    def _pieces(self, outputs: list[Any], stem: str) -> list[Piece]:
        """Return what a cell's outputs show; pictures are written as files."""
        shown: list[Piece] = []
        for number, output in enumerate(outputs, start=1):
            if output.output_type == "stream":
                text = _ANSI.sub("", output.text).rstrip("\n")
                before = shown.pop().content + "\n" if shown and shown[-1].kind == "text" else ""
                shown.append(Piece("text", before + text))
                continue
            data = output.get("data", {})
            if any("widget-view" in kind for kind in data):
                self.fail("unknown output: a widget, which a page cannot show")
            kind = next((kind for kind in _SHOWN if kind in data), None)
            if kind is None:
                self.fail(f"unknown output: {sorted(data) or output.output_type}")
            content, size = "".join(data[kind]), {}
            if kind in _PICTURES:
                file = self.folder / Path(self.page).parent / f"{stem}-{number}.{_PICTURES[kind]}"
                file.parent.mkdir(parents=True, exist_ok=True)
                binary = content.encode() if kind == "image/svg+xml" else base64.b64decode(content)
                file.write_bytes(binary)
                facts = output.get("metadata", {}).get(kind, {})
                size = {side: str(facts[side]) for side in ("width", "height") if facts.get(side)}
                kind, content = "picture", f"{stem}-{number}.{_PICTURES[kind]}"
            elif kind == "text/plain":
                kind, content = "text", _ANSI.sub("", content)
            shown.append(Piece(kind.removeprefix("text/"), content, size))
        return shown

    def _lines(self, piece: Piece, alts: Iterator[str]) -> list[str]:
        """Return the lines that show one output."""
        if piece.kind == "picture":
            alt = str(next(alts, ""))
            if not alt.strip():
                self.fail("a picture without alt text: give the cell fig-alt")
            return self.image(piece.content, alt, dict(piece.size))
        if piece.kind == "html":  # in a box that scrolls, by keyboard too, when it is too wide
            reach = "" if 'tabindex="0"' in piece.content else ' tabindex="0"'
            return raw(f'<div class="cell-html"{reach}>\n{piece.content}\n</div>')
        if piece.kind == "text":
            escaped = html.escape(piece.content, quote=False)
            return raw(f'<pre class="cell-output" tabindex="0">{escaped}</pre>')
        before, self.out = self.out, []
        self.markdown(piece.content)
        lines, self.out = self.out, before
        return lines


def raw(content: str) -> list[str]:
    """Return the lines that pass HTML through MyST unchanged."""
    return ["", *_fenced("{raw} html", content)]


def _fenced(kind: str, content: str) -> list[str]:
    """Return a block of code, in a fence longer than any inside it."""
    ticks = "`" * max(3, 1 + max(map(len, re.findall(r"`+", content)), default=0))
    return [f"{ticks}{kind}", content, ticks, ""]
