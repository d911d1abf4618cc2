"""Download one file: resumed where possible, checked, and only then put in its place."""

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError, reason
from meznet_helpers.progress import bar

try:
    import fcntl
except ImportError:  # Windows: two processes may then download the same file, one after the other
    fcntl = None

TIMEOUT = (10.0, 60.0)
"""Seconds to wait for a connection, and for the next bytes."""

_CHUNK = 64 * 1024


def readable_size(count: int | None) -> str:
    """Write a number of bytes as people read it, in decimal units.

    Parameters
    ----------
    count : int or None
        Bytes; None where nobody knows.

    Returns
    -------
    str
        For instance ``"248.1 MB"``.

    Examples
    --------
    >>> readable_size(248_100_043), readable_size(999), readable_size(None)
    ('248.1 MB', '999 bytes', 'size unknown')
    """
    if count is None:
        return "size unknown"
    for power, unit in ((3, "GB"), (2, "MB"), (1, "kB")):
        if count >= 1000**power:
            return f"{count / 1000**power:.1f} {unit}"
    return f"{count} bytes"


def fetch(
    url: str, target: str | Path, *, known_hash: str | None = None, size: int | None = None
) -> Path:
    """Download a file, unless it is there already.

    The bytes gather in ``<target>.part`` and become ``target`` only when they are all there and
    their hash is right. What an interrupted download left is continued by the next call if the
    server can do so and `known_hash` is given; without a hash nothing could tell a continued file
    from a mixture of two versions, so it begins again.

    Parameters
    ----------
    url : str
        Where the file is, ``http://`` or ``https://``.
    target : str or Path
        Where it shall lie. Missing parent folders are made.
    known_hash : str, optional
        ``"sha256:..."`` or ``"md5:..."``. None where nobody published one: then an existing
        `target` is taken as it is.
    size : int, optional
        Bytes the file must have; shown before the download begins. Without it the server's
        ``Content-Length`` is shown.

    Returns
    -------
    Path
        `target`.

    Raises
    ------
    MeznetError
        If the network is off limits (``MEZNET_OFFLINE``) and the file is not there, if the server
        cannot be reached, refuses, stops early or offers another size, or if the hash is wrong
        (the bytes are removed then; the message names URL, expected and received hash).

    Notes
    -----
    Cache look-up, temporary file and hash check are `pooch.retrieve`'s; the resuming downloader
    is this module's, with the range requests of RFC 9110, section 14.

    Examples
    --------
    A file that is there, with the right hash, needs no network:

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     there = Path(folder) / "hello.txt"
    ...     _ = there.write_bytes(b"hello")
    ...     known = "md5:5d41402abc4b2a76b9719d911017c592"
    ...     fetch("http://localhost:9/hello.txt", there, known_hash=known).name
    'hello.txt'
    """
    import pooch

    target = Path(target)
    if target.is_file() and hash_matches(target, known_hash):
        return target
    if profile.offline():
        raise MeznetError(
            f"{target} is missing or damaged ({readable_size(size)}) and MEZNET_OFFLINE is set; "
            f"unset it to download {url}, or put the file there yourself."
        )
    for attempt in ("continued", "anew"):
        downloader = _Resuming(target, size, known_hash is not None)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with _alone(target.parent), _quiet_pooch():
                pooch.retrieve(url, known_hash, target.name, target.parent, downloader=downloader)
            return target
        except ValueError as error:
            if not (received := re.search(r"got ([0-9a-fA-F]+)", str(error))):
                raise MeznetError(f"{url} cannot be downloaded: {reason(error)}.") from error
            if downloader.resumed and attempt == "continued":
                continue  # the beginning may stem from an older version of the file
            raise MeznetError(
                f"{url} gave a file with the wrong hash: expected {known_hash}, "
                f"got {str(known_hash).partition(':')[0]}:{received[1]}; the file was removed."
            ) from error
        except OSError as error:  # requests' own errors are OSErrors, too
            raise MeznetError(_explain(url, target, downloader, error)) from error
    raise AssertionError("unreachable")


def hash_matches(path: Path, known_hash: str | None) -> bool:
    """Say whether a file has the hash it should have.

    Parameters
    ----------
    path : Path
        An existing file.
    known_hash : str or None
        ``"sha256:..."`` or ``"md5:..."``; None matches everything.

    Returns
    -------
    bool

    Examples
    --------
    >>> hash_matches(Path(__file__), "md5:" + 32 * "0")
    False
    """
    import pooch

    if known_hash is None:
        return True
    algorithm, _, expected = known_hash.partition(":")
    return pooch.file_hash(str(path), alg=algorithm).lower() == expected.lower()


class _Resuming:
    """A pooch downloader that gathers the bytes in ``<target>.part`` and continues there."""

    def __init__(self, target: Path, size: int | None, resume: bool) -> None:
        self.target, self.size, self.resume, self.resumed = target, size, resume, False
        self.part = target.with_name(target.name + ".part")

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Leave the whole file at `output_file`, a temporary file in the target's folder."""
        with self.part.open("ab") as file:
            if not self.resume:
                file.truncate(0)
            if self.size and file.seek(0, os.SEEK_END) == self.size:
                self.resumed = True  # all there, only the check was not reached
            else:
                self._stream(url, file)
        self.part.replace(output_file)

    def _stream(self, url: str, file: IO[bytes]) -> None:
        import requests

        start = file.seek(0, os.SEEK_END)
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if start and response.status_code == requests.codes.requested_range_not_satisfiable:
                file.truncate(0)
                return self._stream(url, file)
            response.raise_for_status()
            partial = response.status_code == requests.codes.partial_content
            sent = response.headers.get("Content-Range", "").split("-")[0]
            if partial and sent != f"bytes {start}":
                raise requests.RequestException("it sent another part of the file than asked for")
            self.resumed = partial and start > 0
            start = start if self.resumed else 0
            total = self._total(response.headers, start)
            file.truncate(start)
            label = f"{self.target.name} ({readable_size(total)})"
            with bar(total=total, label=label, unit="B") as steps:
                steps.update(start)
                for chunk in response.iter_content(_CHUNK):
                    if total is not None and file.tell() + len(chunk) > total:
                        file.truncate(0)
                        raise requests.RequestException(f"it sends more than {total} bytes")
                    steps.update(file.write(chunk))
        size = file.tell()
        if total is not None and size != total:
            raise requests.RequestException(f"it closed the connection after {size} bytes")
        return None

    def _total(self, headers: dict[str, str], start: int) -> int | None:
        """Bytes of the whole file as far as known; refuse a file of another size at once."""
        import requests

        length = headers.get("Content-Length", "")
        if headers.get("Content-Encoding", "identity") != "identity" or not length.isdigit():
            return self.size
        total = start + int(length)
        if self.size is not None and total != self.size:
            raise requests.RequestException(f"it offers {total} bytes instead of {self.size}")
        return total


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process downloads into a folder; pooch then finds what it left."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network drives cannot lock
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _quiet_pooch() -> Iterator[None]:
    """Keep pooch's notes (where it downloads from, hashes) off stderr."""
    import pooch

    logger = pooch.get_logger()
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def _explain(url: str, target: Path, downloader: _Resuming, error: OSError) -> str:
    """Say in one sentence what went wrong and what is left of the download."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        why = f"the server answered {error.response.status_code} {error.response.reason}"
    elif isinstance(error, requests.Timeout):
        why = "the server did not answer in time"
    elif type(error) is requests.RequestException:
        why = reason(error)
    elif isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        why = "the connection failed or broke off"
    elif isinstance(error, requests.RequestException):
        why = f"the request failed ({type(error).__name__}: {reason(error)})"
    else:
        why = f"{target.parent} cannot be written ({reason(error)})"
    size = downloader.part.stat().st_size if downloader.part.is_file() else 0
    if size and downloader.resume:
        why += f"; {readable_size(size)} are kept and the next call goes on from there"
    else:
        with contextlib.suppress(OSError):
            downloader.part.unlink(missing_ok=True)
    return f"{url} cannot be downloaded: {why}."
