"""Answers of language models on file: recorded once, replayed for readers without a server."""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from meznet_helpers.errors import MeznetError
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


def mode() -> str:
    """Return what ``MEZNET_LLM`` says: ``"live"`` (the default), ``"record"`` or ``"replay"``.

    Raises
    ------
    MeznetError
        If it holds anything else.

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
    return value


class Recording:
    """A file of answers, one JSON object a line.

    Parameters
    ----------
    file : str or Path
        Need not be there to record.

    Raises
    ------
    MeznetError
        If a line of it is no answer; it names the line.

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
        self.file, self._lock = Path(file), threading.Lock()
        self.replies: dict[str, Reply] = {}
        if not self.file.is_file():
            return
        lines = self.file.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                self.replies[entry["request"]] = Reply(**entry["reply"])
            except (ValueError, KeyError, TypeError) as error:
                raise MeznetError(
                    f"{self.file}, line {number}, is no recorded answer ({error!r})."
                ) from error

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
        reply = live(request)
        if how == "record":
            self._keep(request, reply)
        return reply

    def _keep(self, request: Request, reply: Reply) -> None:
        """Append a line; a whole one or none."""
        date = reply.date or datetime.now(UTC).isoformat(timespec="seconds")
        reply = replace(reply, date=date)
        line = {"request": request.digest, "model": request.model, "prompt": request.prompt}
        text = json.dumps(line | {"reply": asdict(reply)}, ensure_ascii=False)
        with self._lock, self.file.open("a", encoding="utf-8") as out:
            out.write(text + "\n")
            out.flush()
            self.replies[request.digest] = reply
