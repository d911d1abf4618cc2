"""How the tests run a chapter, and what it may cost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS, MEGABYTES = 120, 3000  # two cores


def text_of(cell: nbformat.NotebookNode) -> str:
    """Return what a code cell printed or showed as text."""
    parts = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in cell.outputs]
    return "".join(parts).strip()


@pytest.fixture(scope="module")
def run_chapter(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], SimpleNamespace]:
    """Run a chapter in a fresh kernel, with a last cell that prints some of its values as JSON.

    Without that cell, what was executed is kept for the site's tests, which need not run it again.
    """
    from meznet_helpers.site import builder, freshness
    from meznet_helpers.site.execute import execute

    def run(name: str, probe: str) -> SimpleNamespace:
        chapter = ROOT / "chapters" / f"{name}.ipynb"
        notebook = nbformat.read(chapter, as_version=4)
        notebook.cells.append(nbformat.v4.new_code_cell(probe, id="probe"))
        path = tmp_path_factory.mktemp("chapters") / f"{name}.ipynb"
        nbformat.write(notebook, path)
        cache = ROOT / ".cache" / "site"
        assets = freshness.assets(ROOT, cache / "assets.json")
        key = freshness.key(chapter, ROOT, assets_hash=assets)
        done = execute(path, root=ROOT)
        values = SimpleNamespace(**json.loads(text_of(done.notebook.cells.pop())))
        builder.keep(done, name, key, cache)
        cells = {cell.id: cell for cell in done.notebook.cells}
        cost = {"seconds": done.seconds, "peak_mb": done.peak_mb}
        return SimpleNamespace(cells=cells, values=values, text_of=text_of, **cost)

    return run


@pytest.fixture(scope="session")
def cheap() -> Callable[[SimpleNamespace], None]:
    """Hold a chapter that was run to its bounds."""

    def check(chapter: SimpleNamespace) -> None:
        assert chapter.seconds <= SECONDS
        assert chapter.peak_mb <= MEGABYTES

    return check
