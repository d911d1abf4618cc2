"""A labeler in a process of its own, for a framework that can't live beside another.

The two processes talk in frames: a length of eight bytes, then an ``.npz`` file of plain arrays.
Nothing is pickled, and the caller's ``__main__`` is not imported again. The worker ends when its
standard input does, so it never outlives its caller.
"""

import contextlib
import functools
import importlib
import io
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np

from meznet_helpers.errors import MeznetError, reason
from meznet_helpers.labelers.base import Served


class Worker:
    """A process that makes a labeler of its recipe and works on what it is sent.

    Parameters
    ----------
    labeler : Served
        It is not used itself, but for its name, class and recipe.
    **environment : str
        Variables of the process besides those of this one.

    Raises
    ------
    MeznetError
        If the labeler has no recipe, or its class can't be imported.

    Examples
    --------
    >>> from meznet_helpers.names import labeler
    >>> worker = Worker(labeler("keras/MobileNetV2@tiny"))
    >>> worker.call("_probabilities", [np.zeros((64, 64, 3), np.uint8)]).shape
    (1, 200)
    >>> worker.end()
    """

    def __init__(self, labeler: Served, **environment: str) -> None:
        """Start the process; it loads the network when it gets the first images."""
        self.name = labeler.name
        kind, recipe = type(labeler), labeler.recipe()
        if kind.__module__ == "__main__" or "." in kind.__qualname__:
            raise MeznetError(
                f"{self.name} needs a worker process, which can't import {kind.__qualname__}; "
                "define the class at the top of a module."
            )
        first = {"module": kind.__module__, "kind": kind.__name__, "recipe": recipe}
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (_end closes it)
        folder = tempfile.mkdtemp(prefix="meznet-worker-")  # frameworks leave files where they can
        places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), folder)
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, self.name, folder],
            env=os.environ | environment | places,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if _on_terminal() else self._log,  # bars of downloads are to be seen
            start_new_session=True,  # Ctrl+C is for the caller, who then ends the worker
        )
        self._end = weakref.finalize(self, _end, self._process, self._log, folder)
        with contextlib.suppress(OSError):  # if it is gone already, the first images tell
            _send(self._process.stdin, labeler=np.array(json.dumps(first, default=str)))

    @property
    def alive(self) -> bool:
        """Whether it can be sent images."""
        return self._end.alive and self._process.poll() is None

    def call(self, method: str, *given: Sequence, **settings: Any) -> np.ndarray:
        """Call a method of the labeler; see `Served._served`.

        Raises
        ------
        MeznetError
            With the worker's own sentence, or because the process has ended.
        """
        order = np.array(json.dumps([method, len(given), settings]))
        images = [str(image) if isinstance(image, Path) else image for image in chain(*given)]
        try:
            _send(self._process.stdin, *images, order=order)
            reply = _receive(self._process.stdout)
        except (OSError, ValueError):  # the pipe is broken, or closed here
            reply = None
        except BaseException:
            self.end()
            raise
        if reply is None:
            raise MeznetError(self._last_words())
        if "error" in reply:
            raise MeznetError(str(reply["error"]))
        return reply["result"]

    def end(self) -> None:
        """End the process and free its memory; nothing happens if it has ended."""
        self._end()

    def _last_words(self) -> str:
        """Say in one sentence how the process ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        code, lines = self._process.returncode, []
        if not self._log.closed:
            self._log.seek(0)
            lines = self._log.read().decode(errors="replace").split("\n")
        lines = [" ".join(line.split()) for line in lines if line.strip()]
        self.end()
        how = f"exit status {code}"
        if code is not None and code < 0:
            how = signal.Signals(-code).name
        last = f": {lines[-1].rstrip('.')}" if lines else ""
        hint = "; there may be too little memory for it" if how == "SIGKILL" else ""
        return f"The worker process of {self.name} ended in the middle ({how}){last}{hint}."


def _end(process: subprocess.Popen, log: IO[bytes], folder: str) -> None:
    """Kill a worker, which has nothing to lose; close its pipes and empty its folder."""
    with contextlib.suppress(OSError), process:
        process.kill()
    log.close()
    shutil.rmtree(folder, ignore_errors=True)


def _on_terminal() -> bool:
    try:
        return os.isatty(2)
    except OSError:
        return False


def _send(pipe: IO[bytes], *arrays: np.ndarray, **named: np.ndarray) -> None:
    """Write arrays as one frame."""
    content = io.BytesIO()
    np.savez(content, *arrays, **named)
    pipe.write(len(content.getbuffer()).to_bytes(8, "little"))
    pipe.write(content.getbuffer())
    pipe.flush()


def _receive(pipe: IO[bytes]) -> dict[str, np.ndarray] | None:
    """Read one frame, by name; None where there is no whole one any more."""
    size = int.from_bytes(pipe.read(8), "little")
    content = pipe.read(size)
    if not size or len(content) < size:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return dict(arrays)


@functools.cache
def _made(first: str) -> Served:
    """Make the labeler of the first frame."""
    labeler = json.loads(first)
    kind = getattr(importlib.import_module(labeler["module"]), labeler["kind"])
    return kind.from_recipe(labeler["recipe"])


def _answer(first: str, order: str, images: list[np.ndarray]) -> dict[str, np.ndarray]:
    """Do what is asked, or say in one sentence why not."""
    try:
        method, given, settings = json.loads(order)
        images = [image if image.ndim else Path(str(image)) for image in images]
        return {"result": getattr(_made(first), method)(*[images] * given, **settings)}
    except MeznetError as error:
        return {"error": np.array(str(error))}
    except Exception as error:
        kind = type(error).__name__
        why = kind if reason(error) == kind else f"{kind}: {reason(error)}"
        return {"error": np.array(f"The worker process of {sys.argv[1]} failed ({why}).")}


def _listen(frames: IO[bytes], orders: "queue.SimpleQueue[dict[str, np.ndarray]]") -> None:
    """Take frames while there are any; then end the process, whatever it is working on."""
    while (frame := _receive(frames)) is not None:
        orders.put(frame)
    shutil.rmtree(sys.argv[2], ignore_errors=True)  # the caller may have been killed
    os._exit(0)


def _main() -> None:
    """Answer frames; `_listen` ends the process."""
    frames, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)  # what a library prints goes to standard error, not between the frames
    orders: queue.SimpleQueue[dict[str, np.ndarray]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(frames, orders), daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        first = orders.get()
        while True:
            frame = orders.get()
            order = str(frame.pop("order"))
            _send(answers, **_answer(str(first["labeler"]), order, list(frame.values())))
    os._exit(0)  # at once, without the farewells of the frameworks


if __name__ == "__main__":
    _main()
