"""The book as its project file describes it: title, preface, numbered chapters, bibliography."""

from __future__ import annotations

import dataclasses
import string
from itertools import starmap
from pathlib import Path

import yaml

from meznet_helpers.errors import MeznetError


@dataclasses.dataclass(frozen=True)
class Chapter:
    """One notebook of the book: its number (1, 2, ...; A, B, ...), its name and its path."""

    number: str
    path: Path

    @property
    def name(self) -> str:
        """File name without its ending, such as ``01-keras-applications``."""
        return self.path.stem


@dataclasses.dataclass(frozen=True)
class Book:
    """What ``_quarto.yml`` says; all paths are absolute."""

    root: Path
    title: str
    author: str
    fold: bool | str  # its setting of ``code-fold``
    preface: Path
    chapters: tuple[Chapter, ...]
    bibliography: tuple[Path, ...]


def _flat(entries: list) -> list[str]:
    """Return the files of a list of chapters, parts included, in order."""
    files: list[str] = []
    for entry in entries:
        if isinstance(entry, str):
            files.append(entry)
        elif isinstance(entry, dict) and "chapters" in entry:
            files += _flat(entry["chapters"])
        else:
            raise MeznetError(f"_quarto.yml: {entry!r} is neither a file nor a part with chapters")
    return files


def read(root: str | Path) -> Book:
    """Read the project file of the book that lies in a folder.

    Parameters
    ----------
    root : str or Path
        Folder that holds ``_quarto.yml``.

    Returns
    -------
    Book
        Title, preface, chapters in order, appendices after them, and bibliography files.

    Raises
    ------
    MeznetError
        If the project file is absent or not a book, or if a file it names does not exist.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "index.qmd").write_text("# Preface", encoding="utf-8")
    ...     text = "book: {title: Nets, chapters: [index.qmd]}"
    ...     _ = (Path(folder) / "_quarto.yml").write_text(text, encoding="utf-8")
    ...     read(folder).title
    'Nets'
    """
    root = Path(root).resolve()
    project = root / "_quarto.yml"
    if not project.is_file():
        raise MeznetError(f"{root} holds no _quarto.yml: name the folder of the book")
    settings = yaml.safe_load(project.read_text(encoding="utf-8")) or {}
    book = settings.get("book")
    if not book or not book.get("chapters"):
        raise MeznetError("_quarto.yml lists no chapters under 'book'")
    html = (settings.get("format") or {}).get("html")
    main = _flat(book["chapters"])
    files = [root / name for name in [*main, *_flat(book.get("appendices") or [])]]
    sources = settings.get("bibliography") or []
    sources = [sources] if isinstance(sources, str) else sources
    bibliography = tuple(root / name for name in sources)
    for path in (*files, *bibliography):
        if not path.is_file():
            raise MeznetError(f"_quarto.yml names {path.relative_to(root)}, which does not exist")
    if files[0].name != "index.qmd":
        raise MeznetError("_quarto.yml: the first chapter must be index.qmd, the preface")
    for path in files[1:]:
        if path.suffix != ".ipynb":
            raise MeznetError(f"_quarto.yml: {path.name} is not a notebook (.ipynb)")
    if len({path.stem for path in files[1:]}) != len(files) - 1:
        raise MeznetError("_quarto.yml: two chapters have the same file name")
    numbers = [*map(str, range(1, len(main))), *string.ascii_uppercase]
    chapters = tuple(starmap(Chapter, zip(numbers, files[1:], strict=False)))
    return Book(
        root=root,
        title=str(book.get("title", root.name)),
        author=str(book.get("author", "")),
        fold=html.get("code-fold", False) if isinstance(html, dict) else False,
        preface=files[0],
        chapters=chapters,
        bibliography=bibliography,
    )
