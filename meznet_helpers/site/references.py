"""Labels of figures, tables, equations and sections, numbered as Quarto numbers them."""

from __future__ import annotations

import dataclasses
import posixpath
import re
from pathlib import Path

from meznet_helpers.errors import MeznetError

LIST = "<!-- list of references -->"  # where the page wants its list
WORDS = {"fig": "Figure", "tbl": "Table", "eq": "Equation", "sec": "Section"}


class TranslationError(MeznetError):
    """A construct that the translator does not know, named with its page and cell."""

    def __init__(self, page: str, cell: str, problem: str) -> None:
        """Say where and what in one line."""
        super().__init__(f"{page}, cell {cell}: {problem}")


_ENTRY = re.compile(
    r"^\s*@(?!comment|string|preamble)\w+\s*\{\s*([^,\s]+)\s*,", re.MULTILINE | re.IGNORECASE
)


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


class Numbering:
    """Counts the headings, figures, tables and equations of one page.

    Parameters
    ----------
    chapter : str or None
        The chapter's number or the appendix' letter; None for a page without, such as the preface.
    """

    def __init__(self, chapter: str | None) -> None:
        """Start before the first heading."""
        self.chapter = chapter
        self.sections: list[int] = []
        self.counts = dict.fromkeys(WORDS, 0)

    def item(self, kind: str) -> str:
        """Return the next number of a figure, table or equation, such as ``1.2``."""
        self.counts[kind] += 1
        count = str(self.counts[kind])
        return f"{self.chapter}.{count}" if self.chapter else count

    def heading(self, level: int) -> str:
        """Return the number of the next heading of a level (1 is the title); empty if none."""
        if not self.chapter:
            return ""
        depth = level - 1
        self.sections = (self.sections + [0] * depth)[:depth]
        if depth:
            self.sections[-1] += 1
        return ".".join(str(n) for n in (self.chapter, *self.sections))


def bibliography_keys(files: tuple[Path, ...]) -> set[str]:
    """Return the keys of the entries of BibTeX files."""
    keys: set[str] = set()
    for path in files:
        text = path.read_text(encoding="utf-8")
        keys |= set(_ENTRY.findall(text))
    return keys


def relative(page: str, target: str) -> str:
    """Return the address of a page's HTML as seen from another page.

    Examples
    --------
    >>> relative("chapters/01-nets", "index")
    '../index.html'
    """
    return posixpath.relpath(f"{target}.html", posixpath.dirname(page) or ".")
