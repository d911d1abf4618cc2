"""Labels of figures, tables, equations and sections, numbered as Quarto numbers them."""

from __future__ import annotations

import dataclasses
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


def bibliography_keys(files: tuple[Path, ...]) -> set[str]:
    """Return the keys of the entries of BibTeX files."""
    return {key for path in files for key in _ENTRY.findall(path.read_text(encoding="utf-8"))}
