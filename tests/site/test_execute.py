"""Chapters run as copies, in fresh kernels, and fail in three lines."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from meznet_helpers.site import builder
from meznet_helpers.site.clean import clean
from meznet_helpers.site.execute import ExecutionError, execute

PROSE = ("markdown", "# Title")


def test_runs_a_copy(notebook: Callable[..., Path], tmp_path: Path) -> None:
    """The copy has outputs and values; the source keeps its bytes; the kernel is this Python."""
    path = notebook(
        ("markdown", "# Title"),
        ("code", "import os, sys; x = 42; b = bytearray(150_000_000)"),
        ("markdown", "Value `{python} x`, word `{python} 'net'`."),
        ("code", "print(sys.executable, os.getcwd(), os.environ['MEZNET_PROGRESS'])"),
        ("code", "class P:\n    def _repr_mimebundle_(self, **k):\n"
         "        return {'image/png': 'iVBORw0K'}, {'image/png': {'alt': 'A dot.'}}\nP()"),
    )  # fmt: skip
    before = path.read_bytes()
    log = tmp_path / "kernel.log"
    done = execute(path, log=log)
    assert path.read_bytes() == before
    cells = done.notebook.cells
    assert cells[2].source == "Value 42, word net."
    assert cells[3].outputs[0].text.split() == [sys.executable, str(path.parent), "0"]
    assert cells[4].source.startswith('#| fig-alt: "A dot."\n')
    assert [cell.id for cell in cells] == ["c0", "c1", "c2", "c3", "c4"]
    assert done.seconds > 0
    assert 150 < done.peak_mb < 1000


@pytest.mark.parametrize(
    ("source", "tags", "cell", "error"),
    [
        ("x = 1\n1 / 0", [], "2 (c1)", "ZeroDivisionError: division by zero"),
        ("#| label: fig-x\nraise ValueError('a\\nb')", [], "2 (fig-x)", "ValueError: a b"),
        ("import sys; print('oops', file=sys.stderr)", [], "2 (c1)", "wrote to stderr.*oops"),
        ("import warnings; warnings.warn('old')", [], "2 (c1)", "wrote to stderr.*UserWarning"),
        ("def f(:", [], "2 (c1)", "SyntaxError"),
    ],
)
def test_fails_in_three_lines(
    notebook: Callable[..., Path], source: str, tags: list[str], cell: str, error: str
) -> None:
    """A failing cell is named with its chapter and error, without a traceback."""
    path = notebook(PROSE, ("code", source), ("code", "2"), tags={1: tags})
    with pytest.raises(ExecutionError) as caught:
        execute(path)
    lines = str(caught.value).split("\n")
    assert len(lines) == 3
    assert lines[0] == "chapter: 01-a"
    assert lines[1] == f"cell: {cell}"
    assert re.match(f"error: .*{error}", lines[2])


def test_inline_failure_and_stderr_tag(notebook: Callable[..., Path]) -> None:
    """A cell may be allowed to write to stderr; an inline expression may not fail."""
    noisy = ("code", "import sys; print('fine', file=sys.stderr)")
    path = notebook(PROSE, noisy, ("markdown", "`{python} unknown`"), tags={1: ["stderr-ok"]})
    with pytest.raises(ExecutionError, match=r"cell: 3 \(c2\)\nerror: NameError.*unknown"):
        execute(path)


@pytest.mark.parametrize(
    ("cells", "words"), [([PROSE], "no code cell"), ([("code", "1")], "no prose"), ([], "no code")]
)
def test_empty_chapter(notebook: Callable[..., Path], cells: list, words: str) -> None:
    """A chapter without code or without prose is refused before a kernel starts."""
    with pytest.raises(ExecutionError, match=f"empty chapter: it has {words}"):
        execute(notebook(*cells))


def test_native_output_goes_to_the_log(notebook: Callable[..., Path], tmp_path: Path) -> None:
    """What a native library writes past Python's streams is kept, but not in the chapter."""
    log = tmp_path / "kernel.log"
    done = execute(notebook(PROSE, ("code", "import os; _ = os.write(2, b'I0000 note')")), log=log)
    assert not done.notebook.cells[1].outputs
    assert "I0000 note" in log.read_text(encoding="utf-8")


def test_first_failure_stops_the_others(make_book: Callable[..., Path], tmp_path: Path) -> None:
    """The build does not wait for a long chapter once another has failed."""
    end = tmp_path / "end"
    wait = f"import time; time.sleep(600); open({str(end)!r}, 'w').close()"
    slow = [PROSE, ("code", wait)]
    folder = make_book(tmp_path / "b", {"01-slow": slow, "02-bad": [PROSE, ("code", "1 / 0")]})
    with pytest.raises(ExecutionError, match="chapter: 02-bad"):
        builder.build(folder, renderer="sphinx")
    assert not end.exists()
    assert not (folder / "_site").exists()


def test_clean_restores_a_notebook(notebook: Callable[..., Path]) -> None:
    """After a plain Quarto render the notebook is as it was, byte for byte."""
    import nbformat

    path = notebook(PROSE, ("code", "print('é')"))
    before = path.read_bytes()
    assert not clean(path)
    nbformat.write(execute(path).notebook, path)
    assert path.read_bytes() != before
    assert clean(path)
    assert path.read_bytes() == before
