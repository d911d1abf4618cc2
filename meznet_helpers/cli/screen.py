"""Labels in a terminal: one line for each photograph, in columns that are as wide as it is."""

import shutil
import unicodedata
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from meznet_helpers.errors import shown

GAP = "  "
NONE = ("Mn", "Me", "Cf")  # kinds of letters that take no cell


class Screen:
    """Makes lines for a terminal of the rows of ``meznet label``.

    Parameters
    ----------
    names : sequence of str
        Of all photographs, which say how wide the first column must be.
    models : sequence of str
        Of the labelers, if there are several.
    labels : sequence of str
        Of all that may be found.
    count : int
        How many labels a line has.
    width : int, optional
        Of the terminal.

    Examples
    --------
    >>> show = Screen(["cat.jpg", "dog.jpg"], [], ["cat", "dog"], 2, width=60)
    >>> print(show([("cat.jpg", 1, "cat", "cat", 0.83), ("cat.jpg", 2, "dog", "dog", 0.1)]), end="")
    cat.jpg  cat  83 %  dog  10 %
    """

    def __init__(
        self,
        names: Sequence[str],
        models: Sequence[str],
        labels: Sequence[str],
        count: int,
        width: int | None = None,
    ) -> None:
        """Share the width among the columns."""
        width = width or shutil.get_terminal_size().columns
        self.models = bool(models)
        first = [max(map(cells, column)) for column in (names, models) if column]
        share = max(8, width * 3 // 10 // len(first))
        self.first = [min(wide, share) for wide in first]
        left = width - sum(wide + len(GAP) for wide in self.first)
        score = len(" 100 %" + GAP)
        self.count = max(1, min(count, (left + len(GAP)) // (score + 8)))
        each = (left + len(GAP)) // self.count - score
        self.label = max(4, min(each, max(map(cells, labels))))

    def __call__(self, rows: Sequence[tuple[Any, ...]]) -> str:
        """Return a line for each image, and each model."""
        keys = 2 if self.models else 1
        lines = []
        for key, some in groupby(rows, lambda row: row[:keys]):
            line = [fit(text, wide) for text, wide in zip(key, self.first, strict=True)]
            for *_, label, score in list(some)[: self.count]:
                if label is None:
                    line.append("-")
                else:
                    line.append(f"{fit(label, self.label)} {100 * score:3.0f} %")
            lines.append(GAP.join(line) + "\n")
        return "".join(lines)


def cells(text: str) -> int:
    """Return how many cells of a terminal a text takes.

    Examples
    --------
    >>> cells("cat"), cells("\\u732b"), cells("e\\u0301")
    (3, 2, 1)
    """
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.category(letter) in NONE for letter in text)


def fit(text: str, width: int) -> str:
    r"""Bring a text to a width: spaces behind it, or its middle left out.

    Examples
    --------
    >>> fit("cat", 5), fit("holiday/IMG_20250611_1.jpg", 16)
    ('cat  ', 'holiday/\u20261_1.jpg')
    """
    text = shown(text)
    if cells(text) > width:
        tail = ""
        while cells(text[-len(tail) - 1 :]) <= (width - 1) // 2:
            tail = text[-len(tail) - 1 :]
        head = ""
        while cells(text[: len(head) + 1]) + 1 + cells(tail) <= width:
            head = text[: len(head) + 1]
        text = f"{head}\u2026{tail}"
    return text + " " * (width - cells(text))
