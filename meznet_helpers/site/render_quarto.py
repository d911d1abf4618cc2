"""Renders the executed chapters with Quarto, where it is installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from meznet_helpers.errors import MeznetError
from meznet_helpers.site import offline
from meznet_helpers.site.book import Book
from meznet_helpers.site.render_sphinx import begin

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_TROUBLE = re.compile(r"^\s*(?:\[?WARN(?:ING)?\b|\[?ERROR\b)", flags=re.IGNORECASE)


def find() -> Path | None:
    """Return Quarto's program, or None.

    The environment variable ``MEZNET_QUARTO`` names it; without it the search path is looked
    through.

    Raises
    ------
    MeznetError
        If ``MEZNET_QUARTO`` names a file that does not exist.
    """
    named = os.environ.get("MEZNET_QUARTO", "")
    if named and not Path(named).is_file():
        raise MeznetError(f"MEZNET_QUARTO names {named}, which does not exist")
    program = named or shutil.which("quarto")
    return Path(program) if program else None


def _run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run Quarto, which must be there."""
    program = find()
    if program is None:
        raise MeznetError("Quarto was not found: put it on PATH or name it in MEZNET_QUARTO")
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, **options
    )


def version() -> str:
    """Return the version that Quarto tells."""
    done = _run("--version")
    if done.returncode:
        raise MeznetError(f"quarto --version failed: {done.stderr.strip() or 'no message'}")
    return done.stdout.strip()


def render(book: Book, notebooks: dict[str, Any], staging: Path, target: Path) -> None:
    """Render the book with Quarto from executed notebooks.

    Parameters
    ----------
    book : Book
        The book.
    notebooks : dict of str to NotebookNode
        Executed notebooks by chapter name.
    staging : Path
        Folder for a copy of the project; emptied first.
    target : Path
        Folder for the HTML; emptied first.

    Raises
    ------
    MeznetError
        If Quarto is absent, fails or warns; the message is what it said first.
    """
    import nbformat

    begin(book, staging, target)
    settings = yaml.safe_load((book.root / "_quarto.yml").read_text(encoding="utf-8"))
    settings["execute"] = (settings.get("execute") or {}) | {"enabled": False, "warning": True}
    for name in ("pre-render", "post-render"):
        settings["project"].pop(name, None)
    settings["project"]["output-dir"] = "_site"
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
    (staging / "_quarto.yml").write_text(text, encoding="utf-8")
    styles = staging / "meznet_helpers" / "site"
    styles.mkdir(parents=True)
    for name in ("quarto.scss", "tables.css"):
        shutil.copyfile(Path(__file__).with_name(name), styles / name)
    for path in (book.preface, *book.bibliography):
        shutil.copyfile(path, staging / path.relative_to(book.root))
    for chapter in book.chapters:
        path = staging / chapter.path.relative_to(book.root)
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebooks[chapter.name], path)
    done = _run("render", ".", cwd=staging, env=os.environ | {"QUARTO_PYTHON": sys.executable})
    lines = _ANSI.sub("", f"{done.stderr}\n{done.stdout}").splitlines()
    trouble = [line.strip() for line in lines if _TROUBLE.match(line)]
    if done.returncode or trouble:
        words = trouble or [line.strip() for line in lines if line.strip()] or ["no message"]
        raise MeznetError(f"Quarto: {words[0]}")
    shutil.move(staging / "_site", target)
    offline.prepare(target, {c.path.relative_to(book.root).as_posix() for c in book.chapters})
