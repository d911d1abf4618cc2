"""How the tests run a chapter, and what it may cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from meznet_helpers.site import builder, freshness
from meznet_helpers.site.execute import execute

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "site"
SECONDS, MEGABYTES = 120, 1800  # on two idle cores


def text_of(cell: nbformat.NotebookNode) -> str:
    """Return what a code cell printed or showed as text."""
    parts = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in cell.outputs]
    return "".join(parts).strip()


@pytest.fixture(scope="module")
def chapter(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> SimpleNamespace:
    """The chapter that the module names, run in a fresh kernel: its cells, its values, its cost.

    `CHAPTER` is the chapter's name in the module, `PROBE` a last cell that prints some values
    as JSON. Without that cell, what was executed is kept for the site's tests.
    """
    name = request.module.CHAPTER
    source = ROOT / "chapters" / f"{name}.ipynb"
    notebook = nbformat.read(source, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(request.module.PROBE, id="probe"))
    path = tmp_path_factory.mktemp("chapters") / f"{name}.ipynb"
    nbformat.write(notebook, path)
    assets = freshness.assets(ROOT, CACHE / "assets.json")
    key = freshness.key(source, ROOT, assets_hash=assets)
    done = execute(path, root=ROOT)
    values = SimpleNamespace(**json.loads(text_of(done.notebook.cells.pop())))
    builder.keep(done, name, key, CACHE)
    cells = {cell.id: cell for cell in done.notebook.cells}
    cost = {"seconds": done.seconds, "peak_mb": done.peak_mb}
    return SimpleNamespace(cells=cells, values=values, text_of=text_of, **cost)


@pytest.fixture
def report_cost(
    request: pytest.FixtureRequest, report: Callable[..., None]
) -> Callable[[SimpleNamespace], None]:
    """Report what the run of a chapter took."""

    def add(chapter: SimpleNamespace) -> None:
        name = request.module.CHAPTER
        report(f"{name}: seconds", chapter.seconds, at_most=SECONDS)
        report(f"{name}: peak megabytes", chapter.peak_mb, at_most=MEGABYTES)

    return add
