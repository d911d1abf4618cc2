"""A chapter runs from top to bottom in JupyterLab, as a reader runs it.

One is enough to see that the kernel and the menu work; ``tests/chapters`` runs all in the same
kernel.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest

CHAPTER = Path(__file__).resolve().parents[2] / "chapters" / "01-keras-applications.ipynb"


def notebook(folder: Path, name: str, *sources: str) -> Path:
    """Write a notebook of code cells and return its path."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    path = folder / f"{name}.ipynb"
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), path)
    return path


def test_a_chapter(check) -> None:
    """All cells run, and none of them ends in an error."""
    before = CHAPTER.read_bytes()
    check(CHAPTER)
    assert CHAPTER.read_bytes() == before, "the source was written"


def test_kernel_is_this_interpreter(check, tmp_path: Path) -> None:
    """The kernel that opens by itself has the package, and is that of the tests."""

    check(
        notebook(
            tmp_path,
            "kernel",
            "import sys, meznet_helpers",
            f"assert sys.prefix == {sys.prefix!r}, sys.prefix",
        )
    )


def test_a_failing_cell_fails(check, tmp_path: Path) -> None:
    """The check itself can fail: it names the cell and the error."""
    path = notebook(tmp_path, "failing", "1 + 1", "1 / 0", "2 + 2")
    with pytest.raises(AssertionError, match=r"cell 1: ZeroDivisionError"):
        check(path)


def test_a_cell_that_does_not_end_fails(check, tmp_path: Path) -> None:
    """The check does not wait forever."""
    path = notebook(tmp_path, "endless", "import time", "time.sleep(3600)")
    with pytest.raises(AssertionError, match="still to run"):
        check(path, seconds=10)
