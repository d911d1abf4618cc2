"""A real JupyterLab, driven in a real browser."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import pytest

START_SECONDS = 600
QUIET = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    "docmanager-extension/plugin": {"autosave": False},
}


class Lab:
    """One JupyterLab server, with settings and copies of notebooks in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        """Start the server; `wait` says when it answers."""
        self.books = folder / "books"
        self.books.mkdir()
        self.token = secrets.token_hex(16)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        for name, values in QUIET.items():
            path = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(values), encoding="utf-8")
        own = {
            "JUPYTER_CONFIG_DIR": folder / "config",
            "JUPYTER_DATA_DIR": folder / "data",
            "JUPYTER_RUNTIME_DIR": folder / "runtime",
            "JUPYTERLAB_SETTINGS_DIR": folder / "settings",
            "JUPYTERLAB_WORKSPACES_DIR": folder / "workspaces",
            "IPYTHONDIR": folder / "ipython",
        }
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": self.port,
            "ServerApp.port_retries": 0,
            "ServerApp.root_dir": self.books,
            "ServerApp.allow_root": True,
            "IdentityProvider.token": self.token,
        }
        self.log = folder / "lab.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyter", "lab", "--no-browser"]
                + [f"--{name}={value}" for name, value in options.items()],
                env=os.environ
                | {"JUPYTER_PREFER_ENV_PATH": "1", "OMP_NUM_THREADS": "1"}  # two run side by side
                | {name: str(path) for name, path in own.items()},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def ask(self, path: str) -> object:
        """Return the JSON that the server gives for an address of its REST interface."""
        url = f"http://127.0.0.1:{self.port}/api/{path}?token={self.token}"
        with urllib.request.urlopen(url, timeout=120) as reply:
            return json.load(reply)

    def wait(self) -> None:
        """Return when the server answers."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.ask("status")
                return
            except OSError:
                time.sleep(0.3)
        log = self.log.read_text(encoding="utf-8", errors="replace")
        raise AssertionError(f"JupyterLab did not answer:\n{log[-3000:]}")

    def stop(self) -> None:
        """End the server and its kernels."""
        self.process.terminate()
        try:
            self.process.wait(120)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def run_all(self, browser, *sources: Path, seconds: float) -> dict[Path, nbformat.NotebookNode]:
        """Open copies of notebooks, run all of their cells by the menu, return what was saved.

        Parameters
        ----------
        browser
            Playwright's Chromium.
        *sources
            The notebooks; they are copied, never written. They run side by side.
        seconds
            How long the cells may take together.
        """
        with contextlib.ExitStack() as pages:
            opened = {
                source: pages.enter_context(
                    browser.new_page(viewport={"width": 1400, "height": 900})
                )
                for source in sources
            }
            for source, page in opened.items():
                page.set_default_timeout(1000 * START_SECONDS)
                self._begin(page, source)
            deadline, saved = time.monotonic() + seconds, {}
            while len(saved) < len(sources):
                for source in set(sources) - set(saved):
                    found = self._saved_if_done(opened[source], source, deadline)
                    if found is not None:
                        saved[source] = found
        for session in self.ask("sessions"):
            self._end_kernel(session["kernel"]["id"])
        return saved

    def _begin(self, page, source: Path) -> None:
        """Open a copy of a notebook in a page and run all of its cells."""
        shutil.copyfile(source, self.books / source.name)
        own = f"/lab/workspaces/{source.stem}/tree/{source.name}"
        page.goto(f"http://127.0.0.1:{self.port}{own}?token={self.token}&reset")
        page.locator(".jp-NotebookPanel .jp-Cell").first.wait_for()
        self._until_connected(page, source.name)
        dialogs = page.locator(".jp-Dialog").all_inner_texts()
        assert not dialogs, f"{source.name}: JupyterLab asks: {dialogs}"
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        prompts = page.locator(".jp-CodeCell .jp-InputPrompt", has_text=re.compile(r"\[[*\d]"))
        prompts.first.wait_for()

    def _kernel(self, name: str) -> dict | None:
        """Return what the server says of a notebook's kernel, if it has one."""
        for session in self.ask("sessions"):
            if session["path"] == name:
                return session["kernel"]
        return None

    def _until_connected(self, page, name: str) -> None:
        """Wait for a kernel that the page talks to: before that, the Lab swallows Run All."""
        for _ in range(3000):
            kernel = self._kernel(name)
            if kernel and kernel["connections"] and kernel["execution_state"] == "idle":
                break
            page.wait_for_timeout(100)
        page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()

    def _saved_if_done(self, page, source: Path, deadline: float) -> nbformat.NotebookNode | None:
        """Save by the keyboard; return the file's notebook if it is that of a finished run."""
        kernel = self._kernel(source.name)
        saved = self._save(page, self.books / source.name)
        idle = kernel is not None and kernel["execution_state"] == "idle"
        if saved and idle and (errors(saved) or not unrun(saved)):
            return saved
        if time.monotonic() > deadline:
            left = ", ".join(cell["id"] for cell in unrun(saved)) if saved else "not saved"
            raise AssertionError(f"{source.name}: after its time still to run: {left}")
        page.wait_for_timeout(500)
        return None

    def _save(self, page, copy: Path) -> nbformat.NotebookNode | None:
        """Return what one save wrote, or None where it wrote nothing in five seconds."""
        written = copy.stat().st_mtime_ns
        page.keyboard.press("Control+s")
        for _ in range(50):
            page.wait_for_timeout(100)
            if copy.stat().st_mtime_ns != written:
                with contextlib.suppress(nbformat.reader.NotJSONError):  # caught half written
                    return nbformat.read(copy, as_version=4)
        return None

    def _end_kernel(self, kernel_id: str) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/kernels/{kernel_id}?token={self.token}",
            method="DELETE",
        )
        urllib.request.urlopen(request, timeout=120).close()


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the code cells that hold something to run."""
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def unrun(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return the code cells without an execution count."""
    return [cell for cell in code_cells(notebook) if cell.execution_count is None]


def errors(notebook: nbformat.NotebookNode) -> list[str]:
    """Return one line for each error output: the cell's number among all cells, and the error."""
    return [
        f"cell {number}: {output.ename}: {output.evalue}"
        for number, cell in enumerate(notebook.cells)
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "error"
    ]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A running JupyterLab."""
    server = Lab(tmp_path_factory.mktemp("lab"))
    try:
        server.wait()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="module")
def check(browser, lab: Lab) -> Callable[..., None]:
    """Run notebooks in the Lab; fail on an error output or on a cell that did not run."""

    def run(*sources: Path, seconds: float = 1800) -> None:
        for source, saved in lab.run_all(browser, *sources, seconds=seconds).items():
            assert code_cells(saved), f"{source.name} has no code cell"
            problems = errors(saved) + [f"cell {cell['id']} did not run" for cell in unrun(saved)]
            assert not problems, f"{source.name}: " + "; ".join(problems)

    return run
