"""The key of a chapter changes with what the chapter reaches, and with nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from meznet_helpers.site import builder, freshness
from meznet_helpers.site.execute import Executed

MODULES = {
    "__init__": "import importlib\n\n_FACE = {'draw': 'plots'}\n\n\ndef __getattr__(name):\n"
    "    return importlib.import_module(f'{__name__}.{_FACE[name]}')",
    "base": "",
    "plots": "def draw():\n    from meznet_helpers import base\n    return base",
    "tables": "from . import lazy as _lazy",
    "lazy": "import importlib\n\nfar = importlib.import_module('.far', __package__)",
    "far": "",
    "nets/__init__": "",
    "nets/load": "import importlib\n\n\ndef get(n):\n    return importlib.import_module(n)",
    "nets/keras": "",
    "alone": "",
}


@pytest.fixture
def helpers(tmp_path: Path) -> Path:
    """A book folder with a small helper package of its own."""
    for name, source in MODULES.items():
        path = tmp_path / "meznet_helpers" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import os", set()),
        ("import meznet_helpers", {""}),
        ("from meznet_helpers import plots", {"", "plots", "base"}),
        ("from meznet_helpers.plots import draw", {"", "plots", "base"}),
        ("from meznet_helpers import draw", {"", "plots", "base"}),
        ("import meznet_helpers as m\nm.draw()", {"", "plots", "base"}),
        ("import meznet_helpers.tables as t", {"", "tables", "lazy", "far"}),
        ("import meznet_helpers as m\nm.alone.x()", {"", "alone"}),
        ("from meznet_helpers import nets\nnets.keras.x", {"", "nets", "nets.keras"}),
        ("run('meznet_helpers.alone')", {"", "alone"}),
        ("import meznet_helpers.nets.load", {"", "nets", "nets.load", "nets.keras"}),
        ("%time\nfrom meznet_helpers import alone", {"", "alone"}),
    ],
)
def test_reached(
    helpers: Path, notebook: Callable[..., Path], source: str, expected: set[str]
) -> None:
    """Imports count wherever they stand: in functions, by attribute, by name in a string."""
    path = notebook(("code", source))
    names = {f"meznet_helpers.{name}".rstrip(".") for name in expected}
    if expected:
        names.add("meznet_helpers")
    found = set(freshness.reached(path, helpers))
    assert found == names


def test_imports_and_use_in_two_cells(helpers: Path, notebook: Callable[..., Path]) -> None:
    """An alias of one cell is understood in the next."""
    path = notebook(("code", "import meznet_helpers as m"), ("code", "m.alone.x()"))
    assert "meznet_helpers.alone" in freshness.reached(path, helpers)


def test_key_covers_inputs(
    helpers: Path, notebook: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Helper, asset, lock and notebook each change the key; an unused helper does not."""
    path = notebook(("code", "from meznet_helpers import plots"))

    def key() -> str:
        return freshness.key(
            path, helpers, assets_hash=freshness.assets(helpers, helpers / "memory.json")
        )

    keys = [key()]
    (helpers / "meznet_helpers" / "alone.py").write_text("x = 1", encoding="utf-8")
    assert key() == keys[0]
    (helpers / "meznet_helpers" / "base.py").write_text("x = 1", encoding="utf-8")
    keys.append(key())
    (helpers / "data").mkdir()
    (helpers / "data" / "manifest.json").write_text("{}", encoding="utf-8")
    keys.append(key())
    (helpers / "requirements.lock").write_text("numpy==2", encoding="utf-8")
    keys.append(key())
    notebook(("code", "from meznet_helpers import base, plots"))
    keys.append(key())
    assert len(set(keys)) == 5


def test_assets_remembered_by_size_and_time(tmp_path: Path) -> None:
    """A file whose size and time stand is not read again; one that changed is."""
    file, memory = tmp_path / "data" / "a.bin", tmp_path / "memory.json"
    file.parent.mkdir()
    file.write_bytes(b"one")
    os.utime(file, ns=(1, 1))
    first = freshness.assets(tmp_path, memory)
    file.write_bytes(b"two")
    os.utime(file, ns=(1, 1))
    assert freshness.assets(tmp_path, memory) == first
    os.utime(file, ns=(2, 2))
    assert freshness.assets(tmp_path, memory) != first


def test_exactly_the_chapters(
    helpers: Path, make_book: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change in one helper executes the chapters that reach it again, and no other."""
    sources = {"01-a": "plots", "02-b": "tables", "03-c": "plots"}
    chapters = {
        name: [("markdown", "# T"), ("code", f"from meznet_helpers import {module}")]
        for name, module in sources.items()
    }
    make_book(helpers, chapters, preface="# P")
    ran: list[str] = []

    threads: set[int] = set()

    def execute(path: Path, **options: object) -> Executed:
        import nbformat

        ran.append(path.stem)
        threads.add(options["threads"])
        return Executed(nbformat.read(path, as_version=4), 1.0, 2.0)

    monkeypatch.setattr(builder.execute, "execute", execute)
    book, cache = builder.books.read(helpers), helpers / ".cache"

    def again(module: str = "", force: bool = False) -> set[str]:
        ran.clear()
        threads.clear()
        if module:
            (helpers / "meznet_helpers" / module).write_text(f"# {module}", encoding="utf-8")
        runs, _ = builder._run_all(book, cache, force)
        assert {run.name for run in runs if run.executed} == set(ran)
        return set(ran)

    assert again() == set(sources)
    assert again() == set()
    assert again("base.py") == {"01-a", "03-c"}
    assert threads == {max(1, os.cpu_count() // 2)}, "two kernels share the cores"
    assert again("far.py") == {"02-b"}
    assert threads == {os.cpu_count()}
    assert again("alone.py") == set()
    assert again("__init__.py") == set(sources)
    assert again(force=True) == set(sources)
