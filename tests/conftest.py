"""What the tests share.

One framework per process: TensorFlow and torch in one interpreter abort it, so this process may
import TensorFlow and never torch. A test that needs torch (or Keras on another backend) runs its
code in another interpreter: one that the tests of a file share (``torch_python``) or a fresh one
(``fresh_python``). Nothing here imports either.

What takes time or memory is measured and given to ``report``; no test fails for it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER_MARKERS = ("chapters", "site", "lab", "real")
PROGRAMS = {"fresh_python", "torch_python", "browser"}  # fixtures that start one
KEPT = {"MEZNET_QUARTO", "MEZNET_REAL"}  # they say where things lie on this machine
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM_ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Where workers share the cores, more threads than there are cores would wait for each other.
if workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "0")):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

# An interpreter that runs the snippets it is sent, each in a namespace of its own.
SNIPPETS = """
import contextlib, io, json, linecache, os, sys, traceback
snippets = os.fdopen(os.dup(0), encoding="utf-8")
answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
os.dup2(2, 1)  # what a library prints stands in the log, not between the answers
for number, line in enumerate(snippets):
    code, name, printed, error = json.loads(line), f"<snippet {number}>", io.StringIO(), ""
    linecache.cache[name] = len(code), None, code.splitlines(keepends=True), name
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile(code, name, "exec"), {"__name__": "__main__"})
        except BaseException:
            error = traceback.format_exc()
    print(json.dumps([printed.getvalue(), error]), file=answers, flush=True)
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark a test by its folder or its fixtures; a test without any kind is a unit test."""
    kinds = {*FOLDER_MARKERS, "unit", "nets", "examples", "contract", "budget"}
    for item in items:
        parts = item.path.relative_to(ROOT).parts
        if parts[0] == "tests" and parts[1] in FOLDER_MARKERS:
            item.add_marker(parts[1])
        if isinstance(item, pytest.DoctestItem):
            item.add_marker("examples")
        if not any(mark.name in kinds for mark in item.iter_markers()):
            item.add_marker("nets" if PROGRAMS & {*item.fixturenames} else "unit")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Collecting the tests loads no framework: the test modules import theirs inside functions."""
    loaded = sorted({"tensorflow", "torch"} & sys.modules.keys())
    if loaded:
        raise pytest.UsageError(f"collecting the tests imported {', '.join(loaded)}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what was measured beside its budget; a program that runs beside the tests is in it."""
    rows = [
        row
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for name, row in report.user_properties
        if name == "budget" and report.when == "call"
    ]
    if not rows:
        return
    rows = [("what", "measured", "budget", ""), *sorted(rows)]
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    terminalreporter.section("budgets: reported, nothing fails by them")
    for what, measured, budget, kept in rows:
        line = f"{what:{wide[0]}}  {measured:>{wide[1]}}  {budget:>{wide[2]}}  {kept}"
        terminalreporter.write_line(line.rstrip())


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a cache of its own, empty but for exported nets, which take long to make."""
    from meznet_helpers.assets import store

    exported, own = (store.cache() / "onnx").resolve(), tmp_path / "cache"
    own.mkdir()
    (own / "onnx").symlink_to(exported, target_is_directory=True)
    monkeypatch.setenv("MEZNET_CACHE", str(own))
    return own


@pytest.fixture
def report(record_property) -> Callable[..., None]:
    """Put a measured figure beside its budget in the table at the end of the run."""

    def add(
        what: str,
        measured: float,
        *,
        at_most: float | None = None,
        at_least: float | None = None,
    ) -> None:
        sign, budget = ("<=", at_most) if at_least is None else (">=", at_least)
        kept = measured <= budget if sign == "<=" else measured >= budget
        word = "kept" if kept else "missed"
        record_property("budget", (what, f"{measured:,.4g}", f"{sign} {budget:,g}", word))

    return add


@pytest.fixture(autouse=True)
def _no_torch() -> Iterator[None]:
    """Name the test that brings torch into this process, before a later one aborts it."""
    before = "torch" in sys.modules
    yield
    if not before and "torch" in sys.modules:
        pytest.fail("this test imported torch: run that code through the torch_python fixture")


@pytest.fixture(autouse=True, scope="session")
def _own_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Take the user's MEZNET_* settings and cache away, so that tests see the defaults.

    What `meznet fetch` got for the user is linked into the tests' own cache, and read there; so are
    exported nets, which are called by what they are made of.
    """
    from meznet_helpers.assets import store

    own, there = tmp_path_factory.getbasetemp() / "meznet-cache", store.cache()
    (there / "onnx").mkdir(parents=True, exist_ok=True)
    fetched = [name for name, asset in store.manifest().items() if asset.wheel]
    for name in ["onnx", *filter(store.is_here, fetched)]:
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            (own / name).symlink_to(there / name, target_is_directory=True)
        except OSError:  # Windows lets not every user make links
            shutil.copytree(there / name, own / name)
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("MEZNET_")]:
            if name not in KEPT:
                patch.delenv(name)
        patch.setenv("MEZNET_CACHE", str(own))
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real weights and photographs: MEZNET_REAL, else ../shared/real."""
    folder = Path(os.environ.get("MEZNET_REAL") or ROOT.parent / "shared" / "real")
    if not folder.is_dir():
        pytest.skip(f"no real weights and photographs: {folder} is no folder (set MEZNET_REAL)")
    return folder


@pytest.fixture(scope="session")
def fresh_python() -> Callable[..., str]:
    """Run code in a fresh interpreter and return what it printed; keywords set its environment."""

    def run(code: str, *, timeout: float = 600, **env: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=ROOT,
            env=os.environ | {"PYTHONIOENCODING": "utf-8"} | env,
            encoding="utf-8",
        )
        assert done.returncode == 0, f"exit status {done.returncode}\n{done.stderr[-4000:]}"
        return done.stdout

    return run


@pytest.fixture(scope="module")
def torch_python(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], str]]:
    """Run code in an interpreter that the tests of a file share, and return what it printed.

    It loads torch once, with one thread, and Keras on torch. A test that sets the environment, or
    changes a library for good, takes `fresh_python` instead.
    """
    path = tmp_path_factory.mktemp("torch") / "log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SNIPPETS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=ROOT,
            env=os.environ | {"KERAS_BACKEND": "torch", "OMP_NUM_THREADS": "1"},
            encoding="utf-8",
        )

    def run(code: str) -> str:
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(code), file=process.stdin, flush=True)
        answer = process.stdout.readline()
        assert answer, "the interpreter has ended:\n" + path.read_text("utf-8", "replace")[-4000:]
        printed, error = json.loads(answer)
        assert not error, error
        return printed

    with process:
        yield run
        process.stdin.close()


@pytest.fixture(scope="session")
def serving() -> Callable[..., AbstractContextManager]:
    """Run a server of this machine while a `with` lasts; it gets its address as `url`.

    Errors of its threads are kept in `failed` and not printed: to show where it happened, a
    traceback parses source, and where two threads parse at a time Python 3.11 fails in the other
    ("AST constructor recursion depth mismatch").
    """

    @contextmanager
    def serve(server: ThreadingHTTPServer) -> Iterator[ThreadingHTTPServer]:
        server.url = f"http://127.0.0.1:{server.server_port}/"
        server.failed = []
        server.handle_error = lambda *where: server.failed.append(sys.exception())
        with server:
            thread = threading.Thread(target=server.serve_forever, args=(0.01,))
            thread.start()
            try:
                yield server
            finally:  # a thread that serves on would keep the whole run from ending
                server.shutdown()
                thread.join()

    return serve


@pytest.fixture(scope="session")
def serving_folder(serving) -> Callable[[Path], AbstractContextManager]:
    """Serve the files of a folder while a `with` lasts."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Say nothing."""

    return lambda folder: serving(
        ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    )


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium of this machine; skips where there is none."""
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=list(CHROMIUM_ARGS))
        yield chromium
        chromium.close()
