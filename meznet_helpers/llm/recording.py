"""Answers of language models on file: recorded once, replayed for readers without a server."""

import hashlib
import json
import math
import os
import re
import threading
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from meznet_helpers.errors import MeznetError, MeznetWarning, reason
from meznet_helpers.llm.request import Request

MODES = ("live", "record", "replay")


@dataclass(frozen=True)
class Reply:
    """What came back.

    Attributes
    ----------
    text : str
    model : str
        As the server names it, with its digest where it gives one.
    tokens_in, tokens_out : int
        0 where the server does not count.
    ms : float
        Milliseconds until the whole answer was there.
    finish : str
        Why it ended: ``"stop"``, ``"length"``.
    date : str
        UTC, ISO 8601.
    """

    text: str
    model: str
    tokens_in: int = 0
    tokens_out: int = 0
    ms: float = 0.0
    finish: str = "stop"
    date: str = ""


def mode(file: str | Path | None = "") -> str:
    """Return what ``MEZNET_LLM`` says: ``"live"`` (the default), ``"record"`` or ``"replay"``.

    Parameters
    ----------
    file : str or Path, optional
        Of the answers. None: there is none, so that nothing can be recorded or replayed.

    Raises
    ------
    MeznetError
        If it holds anything else, or takes a file and there is none.

    Examples
    --------
    >>> from unittest import mock
    >>> with mock.patch.dict(os.environ, {"MEZNET_LLM": "replay"}):
    ...     mode()
    'replay'
    """
    value = os.environ.get("MEZNET_LLM", "").strip().lower() or MODES[0]
    if value not in MODES:
        raise MeznetError(f'MEZNET_LLM is "{value}"; it must be live, record or replay.')
    if value != MODES[0] and file is None:
        raise MeznetError(
            f"MEZNET_LLM is {value}, and no file of answers is named: --record FILE, or recording "
            "in Python."
        )
    return value


class Recording:
    """A file of answers, one JSON object a line, with a digest of all that is in it.

    Parameters
    ----------
    file : str or Path
        Need not be there to record.

    Raises
    ------
    MeznetError
        If it can't be read, or written where it shall be, or a line of it is no answer or not as
        it was written; it names the line. Of a last line that was broken off it only warns.

    Examples
    --------
    >>> import tempfile
    >>> from unittest import mock
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     recording = Recording(Path(folder, "answers.jsonl"))
    ...     with mock.patch.dict(os.environ, {"MEZNET_LLM": "record"}):
    ...         first = recording.ask(Request("net", "What?"), lambda _: Reply("a cat", "net"))
    ...         recording.ask(Request("net", "What?"), None).text
    'a cat'
    """

    def __init__(self, file: str | Path) -> None:
        """Read what is there."""
        self.file, self._lock = Path(file).expanduser(), threading.Lock()
        self.replies: dict[str, Reply] = {}
        self._full = ""  # why nothing more can be written
        self._torn: tuple[int, int] | None = None  # where the whole lines end, and the file does
        try:
            data = self.file.read_bytes() if self.file.is_file() else b""
            if mode() == "record":
                self.file.open("ab").close()
        except OSError as error:
            kept = "written" if mode() == "record" else "read"
            raise MeznetError(f"{self.file} can't be {kept} ({reason(error)}).") from error
        *lines, last = data.split(b"\n")
        for number, line in enumerate([*lines, last] if last else lines, 1):
            try:
                digest, self.replies[digest] = _read(line)
            except (ValueError, LookupError, TypeError, RecursionError) as error:
                what = f"{self.file}, line {number}, is no recorded answer ({reason(error)})"
                if number <= len(lines):
                    raise MeznetError(f"{what}.") from error
                self._torn = len(data) - len(last), len(data)
                warnings.warn(
                    f"{what}; it was broken off and is asked again.", MeznetWarning, stacklevel=2
                )
        self._open = bool(last) and self._torn is None

    def ask(self, request: Request, live: Callable[[Request], Reply] | None) -> Reply:
        """Answer a request from the file, or from the server; `mode` says which.

        To record means to ask for what is not in the file yet, and to write it.

        Parameters
        ----------
        request : Request
        live : callable
            Asks the server.

        Returns
        -------
        Reply

        Raises
        ------
        MeznetError
            If ``"replay"`` does not know the request; it names it.
        """
        how = mode()
        if how != "live" and request.digest in self.replies:
            return self.replies[request.digest]
        if how == "replay":
            raise MeznetError(
                f'{self.file} has no answer of {request.model} to "{request.prompt[:60]}" (request '
                f"{request.digest[:12]}); record it with MEZNET_LLM=record."
            )
        if self._full:
            raise MeznetError(self._full)
        reply = live(request)
        if how == "record":
            self._keep(request, reply)
        return reply

    def _keep(self, request: Request, reply: Reply) -> None:
        """Append a line, on the disk before it returns; an answer that can't be kept is not lost.

        A line is one write, so that others may write to the same file.
        """
        date = reply.date or datetime.now(UTC).isoformat(timespec="seconds")
        reply = replace(reply, date=date)
        line = {"request": request.digest, "model": request.model, "prompt": request.prompt}
        line |= {"reply": asdict(reply)}
        text = json.dumps(line | {"sha256": _digest(line)}, ensure_ascii=False) + "\n"
        with self._lock:
            self.replies[request.digest] = reply
            try:
                with self.file.open("ab", buffering=0) as out:
                    if self._torn and self._torn[1] == os.fstat(out.fileno()).st_size:
                        out.truncate(self._torn[0])
                    whole = b"\n" * self._open + text.encode("utf-8", "replace")
                    self._torn, self._open = None, False
                    if out.write(whole) < len(whole):
                        raise OSError("the disk is full")
                    os.fsync(out.fileno())
            except OSError as error:
                self._full = f"{self.file} can't be written ({reason(error)})."
                warnings.warn(self._full, MeznetWarning, stacklevel=2)


def _digest(line: dict[str, Any]) -> str:
    """Return the sha256 of a line's content, hexadecimal."""
    text = json.dumps(line, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _read(text: bytes) -> tuple[str, Reply]:
    """Read a line: the digest of the request, and the reply; lines of old are without their own."""
    line = json.loads(text.decode())
    digest = line.pop("sha256", None)
    if line.keys() != {"request", "model", "prompt", "reply"}:
        raise ValueError("its keys are others")
    if digest is not None and digest != _digest(line):
        raise ValueError("it is not as it was written: its sha256 is another")
    reply = Reply(**line["reply"])
    for name, kind in Reply.__annotations__.items():
        value = getattr(reply, name)
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise TypeError(f"its {name} is {value!r:.40}")
    if not (0 <= reply.ms < math.inf) or min(reply.tokens_in, reply.tokens_out) < 0:
        raise ValueError("its counts are below 0, or no numbers")
    if not re.fullmatch("[0-9a-f]{64}", line["request"]):
        raise ValueError("its request is no digest")
    return line["request"], reply
