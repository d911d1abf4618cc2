"""Code cells: their options, and their outputs as MyST text and picture files."""

from __future__ import annotations

import base64
import dataclasses
import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PICTURES = {"image/svg+xml": "svg", "image/png": "png", "image/jpeg": "jpg"}
_SHOWN = ("text/html", *_PICTURES, "text/markdown", "text/plain")
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
    """One output as the page shows it: ``html``, ``markdown``, ``text`` or a picture's file."""

    kind: str
    content: str
    size: dict[str, str] = dataclasses.field(default_factory=dict)


def split(source: str, fail: Callable[[str], Any]) -> tuple[dict[str, Any], str]:
    """Separate the ``#|`` option lines of a code cell from its code.

    Parameters
    ----------
    source : str
        The cell's source.
    fail : callable
        Called with a description of an option that is not known; must raise.

    Returns
    -------
    tuple of dict and str
        The options and the code.

    Examples
    --------
    >>> split("#| echo: false\\n1 + 1", print)
    ({'echo': False}, '1 + 1')
    """
    lines = source.splitlines()
    count = next((n for n, line in enumerate(lines) if not line.startswith("#|")), len(lines))
    try:
        options = yaml.safe_load("\n".join(line[2:] for line in lines[:count])) or {}
    except yaml.YAMLError as error:
        fail(f"cell options are not YAML: {' '.join(str(error).split())}")
    for name, value in options.items():
        if name not in _OPTIONS:
            fail(f"unknown construct: cell option {name!r}")
        if not isinstance(value, _OPTIONS[name]):
            fail(f"unknown construct: cell option {name}: {value!r}")
    return options, "\n".join(lines[count:]).strip("\n")


def raw(content: str) -> list[str]:
    """Return the lines that pass HTML through MyST unchanged."""
    ticks = "`" * max(3, 1 + max(map(len, re.findall(r"`+", content)), default=0))
    return ["", f"{ticks}{{raw}} html", content, ticks, ""]


def code(source: str, options: dict[str, Any], *, fold: bool | str = False) -> list[str]:
    """Return the lines that show a cell's code, folded where its options or the book say so."""
    if not source or options.get("echo") is False:
        return []
    ticks = "`" * max(3, 1 + max(map(len, re.findall(r"`+", source)), default=0))
    block = [f"{ticks}python", source, ticks, ""]
    fold = options.get("code-fold", fold)
    if fold in (False, "none"):
        return ["", '<div class="cell-code">', "", *block, "</div>", ""]
    summary = html.escape(options.get("code-summary", "Code"))
    opened = " open" if fold == "show" else ""
    head = f'<details class="cell-code"{opened}><summary>{summary}</summary>'
    return ["", head, "", *block, "</details>", ""]


def pieces(outputs: list[Any], stem: str, folder: Path, fail: Callable[[str], Any]) -> list[Piece]:
    """Return what a cell's outputs show; pictures are written as files.

    Parameters
    ----------
    outputs : list
        The cell's outputs, as in the notebook format.
    stem : str
        Path of the pictures relative to `folder`, without number and ending.
    folder : Path
        Folder of the page.
    fail : callable
        Called with a description of an output that is not known; must raise.
    """
    shown: list[Piece] = []
    for number, output in enumerate(outputs, start=1):
        if output.output_type == "stream":
            text = _ANSI.sub("", output.text).rstrip("\n")
            before = shown.pop().content + "\n" if shown and shown[-1].kind == "text" else ""
            shown.append(Piece("text", before + text))
            continue
        data = output.get("data", {})
        if not data or all(kind.startswith("application/") for kind in data):
            fail(f"unknown output: {sorted(data) or output.output_type}")
        if any("widget-view" in kind for kind in data):
            fail("unknown output: a widget, which a page cannot show")
        kind = next((kind for kind in _SHOWN if kind in data), None)
        if kind is None:
            fail(f"unknown output: {sorted(data)}")
        content = data[kind] if isinstance(data[kind], str) else "".join(data[kind])
        if kind in _PICTURES:
            name = f"{stem}-{number}.{_PICTURES[kind]}"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            binary = content.encode() if kind == "image/svg+xml" else base64.b64decode(content)
            (folder / name).write_bytes(binary)
            facts = output.get("metadata", {}).get(kind, {})
            size = {k: str(facts[k]) for k in ("width", "height") if facts.get(k)}
            shown.append(Piece("picture", name, size))
        elif kind == "text/plain":
            shown.append(Piece("text", _ANSI.sub("", content)))
        else:
            shown.append(Piece(kind.removeprefix("text/"), content))
    return shown


def text_lines(content: str) -> list[str]:
    """Return the lines that show plain output, escaped."""
    escaped = html.escape(content, quote=False)
    return raw(f'<pre class="cell-output" tabindex="0">{escaped}</pre>')


def html_lines(content: str) -> list[str]:
    """Return the lines that show HTML output, in a box that scrolls when it is too wide."""
    reach = "" if 'tabindex="0"' in content else ' tabindex="0"'  # by keyboard, to scroll it
    return raw(f'<div class="cell-html"{reach}>\n{content}\n</div>')
