"""How the tests run a chapter, and what it may cost."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from meznet_helpers.site import builder, freshness
from meznet_helpers.site.execute import Executed, execute

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache" / "site"
AT_ONCE = 2
SECONDS, MEGABYTES = 120, 3000  # on two cores, and here even beside another chapter


def text_of(cell: nbformat.NotebookNode) -> str:
    """Return what a code cell printed or showed as text."""
    parts = [out.get("text") or out.get("data", {}).get("text/plain", "") for out in cell.outputs]
    return "".join(parts).strip()


@pytest.fixture(scope="session")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, tuple[Future[Executed], str]]]:
    """Begin to run the chapters of all modules that are tested, two at a time, as `meznet site`.

    A module's `CHAPTER` names its chapter, and its `PROBE` is a last cell that prints some values
    as JSON. Without that cell, what was executed is kept for the site's tests.
    """
    modules = {getattr(item, "module", None) for item in request.session.items}
    mine = [each for each in modules if hasattr(each, "CHAPTER") and hasattr(each, "PROBE")]
    probes = {each.CHAPTER: each.PROBE for each in mine}
    folder, stop = tmp_path_factory.mktemp("chapters"), threading.Event()
    assets = freshness.assets(ROOT, CACHE / "assets.json")
    keys = {
        name: freshness.key(ROOT / "chapters" / f"{name}.ipynb", ROOT, assets_hash=assets)
        for name in sorted(probes)
    }
    threads = max(1, (os.cpu_count() or 1) // min(AT_ONCE, len(probes)))

    def run(name: str) -> Executed:
        notebook = nbformat.read(ROOT / "chapters" / f"{name}.ipynb", as_version=4)
        notebook.cells.append(nbformat.v4.new_code_cell(probes[name], id="probe"))
        nbformat.write(notebook, folder / f"{name}.ipynb")
        return execute(folder / f"{name}.ipynb", root=ROOT, stop=stop, threads=threads)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = {name: pool.submit(run, name) for name in keys}
        yield {name: (future, keys[name]) for name, future in waiting.items()}
        stop.set()
        pool.shutdown(cancel_futures=True)


@pytest.fixture(scope="module")
def chapter(request: pytest.FixtureRequest, runs: dict) -> SimpleNamespace:
    """The module's chapter, run in a fresh kernel: its cells by id, its values, its cost."""
    name = request.module.CHAPTER
    future, key = runs[name]
    done = future.result()
    values = SimpleNamespace(**json.loads(text_of(done.notebook.cells.pop())))
    builder.keep(done, name, key, CACHE)
    cells = {cell.id: cell for cell in done.notebook.cells}
    cost = {"seconds": done.seconds, "peak_mb": done.peak_mb}
    return SimpleNamespace(cells=cells, values=values, text_of=text_of, **cost)


@pytest.fixture(scope="session")
def cheap() -> Callable[[SimpleNamespace], None]:
    """Hold a chapter that was run to its bounds."""

    def check(chapter: SimpleNamespace) -> None:
        assert chapter.seconds <= SECONDS
        assert chapter.peak_mb <= MEGABYTES

    return check
