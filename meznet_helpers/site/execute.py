"""Executes copies of the chapters in fresh kernels; the source notebooks are only read."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import re
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from meznet_helpers.errors import MeznetError

_INLINE = re.compile(r"`\{python\} ([^`]+)`")
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LOOP = asyncio.SelectorEventLoop  # what the kernel's sockets want on every system
_QUIET = {
    "MEZNET_PROGRESS": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "1"),
    "TQDM_DISABLE": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}


class ExecutionError(MeznetError):
    """A chapter that did not run: three lines, naming the chapter, the cell and the error."""

    def __init__(self, chapter: str, cell: str, error: str) -> None:
        """Keep the three facts; the message is one line for each."""
        self.chapter, self.cell = chapter, cell
        self.error = " ".join(_ANSI.sub("", error).split())
        super().__init__(f"chapter: {chapter}\ncell: {cell}\nerror: {self.error}")


@dataclasses.dataclass(frozen=True)
class Executed:
    """An executed copy of a notebook, with what the execution cost."""

    notebook: Any
    seconds: float
    peak_mb: float


class _Memory(threading.Thread):
    """Watches a process and its children and keeps the largest size in memory that it saw.

    Pages that several of them share are counted once where the system can tell (Linux): a process
    that has just been forked shares all of its parent's.
    """

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak, self._stop_asked = pid, 0, threading.Event()

    def run(self) -> None:
        import psutil

        try:
            process = psutil.Process(self.pid)
        except psutil.Error:
            return
        stopped = False
        while not stopped:
            stopped = self._stop_asked.wait(0.2)  # one more look when the end is asked for
            total = 0
            try:
                for member in (process, *process.children(recursive=True)):
                    sizes = member.memory_full_info()
                    total += getattr(sizes, "pss", sizes.rss)
            except psutil.Error:
                continue
            self.peak = max(self.peak, total)

    def stop(self) -> float:
        """End the watch and return the peak in megabytes (10**6 bytes)."""
        self._stop_asked.set()
        self.join(timeout=5)
        return round(self.peak / 1e6, 1)


def cell_name(index: int, cell: Any) -> str:
    """Return how messages call a cell: its number from 1 and its label, or else its id.

    Examples
    --------
    >>> import nbformat
    >>> cell = nbformat.v4.new_code_cell("#| label: fig-nets\\nplot()", id="abc")
    >>> cell_name(2, cell)
    '3 (fig-nets)'
    """
    label = re.search(r"^#\|\s*label:\s*(\S+)", cell.source, flags=re.MULTILINE)
    return f"{index + 1} ({label[1] if label else cell.get('id', 'no id')})"


def _refuse_empty(chapter: str, notebook: Any) -> None:
    """Raise if a notebook has no code or no prose."""
    kinds = {cell.cell_type for cell in notebook.cells if cell.source.strip()}
    for kind, words in (("code", "no code cell"), ("markdown", "no prose")):
        if kind not in kinds:
            raise ExecutionError(chapter, "none", f"empty chapter: it has {words}")


class _CellError(Exception):
    """What went wrong in a cell."""


async def _inline_values(client: Any, cell: Any) -> None:
    """Replace each ``{python}`` expression in a markdown cell by its value, Quarto's way."""
    expressions = {f"e{n}": code for n, code in enumerate(_INLINE.findall(cell.source))}
    if not expressions:
        return
    reply = await client.kc.execute_interactive(
        "", store_history=False, user_expressions=expressions, output_hook=lambda message: None
    )
    values = []
    for name, code in expressions.items():
        answer = reply["content"]["user_expressions"][name]
        if answer["status"] != "ok":
            error = f"{answer['ename']}: {answer['evalue']}"
            raise _CellError(f"{error} (inline expression {code!r})")
        data = answer["data"]
        text = data.get("text/markdown") or data["text/plain"]
        quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
        values.append(text[1:-1] if quoted and "text/markdown" not in data else text)
    cell.source = _INLINE.sub(lambda _: values.pop(0), cell.source)


def _check_outputs(cell: Any) -> None:
    """Raise if a cell failed or wrote to its error stream without leave."""
    tags = cell.metadata.get("tags", [])
    for output in cell.outputs:
        if output.output_type == "error":
            raise _CellError(f"{output.ename}: {output.evalue}")
        if output.get("name") == "stderr" and "stderr-ok" not in tags:
            raise _CellError(f"wrote to stderr without the tag stderr-ok: {output.text}")


def _keep_alt(cell: Any) -> None:
    """Turn alt text that a picture carries in its metadata into the cell's own option."""
    if re.search(r"^#\|\s*fig-alt:", cell.source, flags=re.MULTILINE):
        return
    texts = []
    for output in cell.outputs:
        for kind, facts in output.get("metadata", {}).items():
            if kind.startswith("image/") and facts.get("alt"):
                texts.append(str(facts["alt"]))
    if texts:
        value = texts[0] if len(texts) == 1 else texts
        cell.source = f"#| fig-alt: {json.dumps(value, ensure_ascii=False)}\n{cell.source}"


async def _run(notebook: Any, path: Path, env: dict[str, str], log: Any) -> Executed:
    """Run all cells of a notebook, in place; `log` is an open file."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import DeadKernelError

    cwd = str(path.parent)
    # Where no kernels are installed, Jupyter takes that of the interpreter which runs now.
    manager = AsyncKernelManager(
        kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[])
    )
    client = NotebookClient(
        notebook,
        km=manager,
        extra_arguments=["--IPKernelApp.log_level=40", "--IPKernelApp.capture_fd_output=False"],
        timeout=1800,
        allow_errors=True,
        resources={"metadata": {"path": cwd}},
        store_widget_state=False,
    )
    started = time.perf_counter()
    options = {"env": env, "cwd": cwd, "stdout": log, "stderr": log, "cleanup_kc": True}
    async with client.async_setup_kernel(**options):
        memory = _Memory(manager.provisioner.process.pid)
        memory.start()
        try:
            for index, cell in enumerate(notebook.cells):
                if cell.cell_type == "markdown":
                    await _inline_values(client, cell)
                elif cell.cell_type == "code":
                    await client.async_execute_cell(cell, index)
                    _check_outputs(cell)
                    _keep_alt(cell)
        except (_CellError, DeadKernelError, TimeoutError) as error:
            kind = "" if isinstance(error, _CellError) else f"{type(error).__name__}: "
            raise ExecutionError(path.stem, cell_name(index, cell), f"{kind}{error}") from error
        finally:
            peak = memory.stop()
    return Executed(notebook, round(time.perf_counter() - started, 2), peak)


async def _until(run: Any, stop: threading.Event) -> Executed:
    """Wait for a run, or cancel it when a stop is asked for."""
    task = asyncio.ensure_future(run)
    while not task.done() and not stop.is_set():
        await asyncio.wait({task}, timeout=0.2)
    if not task.done():
        task.cancel()
    return await task


def execute(
    path: str | Path,
    *,
    root: str | Path | None = None,
    log: str | Path | None = None,
    stop: threading.Event | None = None,
    threads: int | None = None,
) -> Executed:
    """Execute a copy of a notebook in a fresh kernel of the running interpreter.

    Parameters
    ----------
    path : str or Path
        The notebook; it is read and never written.
    root : str or Path, optional
        Folder put first on the kernel's import path, so that the book's own helpers are used.
    log : str or Path, optional
        File for what native libraries write past Python's own streams, TensorFlow's notes about
        the processor for example; it is kept out of the pages and does not count as an error.
    stop : threading.Event, optional
        Once set, the kernel is shut down and `asyncio.CancelledError` is raised.
    threads : int, optional
        How many the kernel's mathematics may use; by default as many as there are cores.

    Returns
    -------
    Executed
        The copy with its outputs, the seconds it took and the kernel's peak memory in megabytes,
        child processes included.

    Raises
    ------
    ExecutionError
        If a cell or an inline expression fails, if a cell writes to stderr and does not carry the
        tag ``stderr-ok``, if the kernel dies, or if the notebook has no code or no prose.

    Examples
    --------
    >>> execute("chapters/01-keras-applications.ipynb").seconds  # doctest: +SKIP
    61.5
    """
    import nbformat

    path = Path(path).resolve()
    notebook = nbformat.read(path, as_version=4)
    _refuse_empty(path.stem, notebook)
    with tempfile.TemporaryDirectory(prefix="meznet-ipython-") as home:
        env = {**os.environ, **_QUIET, "IPYTHONDIR": home}
        if threads is not None:
            env["OMP_NUM_THREADS"] = str(threads)
        if root is not None:
            parts = [str(Path(root).resolve()), os.environ.get("PYTHONPATH", "")]
            env["PYTHONPATH"] = os.pathsep.join(part for part in parts if part)
        log = Path(log or Path(home) / "kernel.log")
        with log.open("wb") as file, asyncio.Runner(loop_factory=_LOOP) as runner:
            return runner.run(_until(_run(notebook, path, env, file), stop or threading.Event()))
