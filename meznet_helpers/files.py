"""Files and folders that are whole or not there: written aside, and renamed at the end."""

import contextlib
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from meznet_helpers.errors import MeznetError, reason

try:
    import fcntl
except ImportError:  # Windows: what killed writers left stays
    fcntl = None


def expanded(path: str | Path) -> Path:
    """Return a path below the home folder for one that begins with ``~/``; ``~x.jpg`` is a name.

    Examples
    --------
    >>> expanded("~x.jpg").name, expanded("~/x.jpg") == Path.home() / "x.jpg"
    ('~x.jpg', True)
    """
    path = Path(path)
    return path.expanduser() if path.parts[:1] == ("~",) else path


@contextlib.contextmanager
def aside(path: str | Path) -> Iterator[Path]:
    """Give a place beside a file or folder to write to, which takes its name when it is whole.

    Parameters
    ----------
    path : str or Path
        A file is replaced, and keeps its mode; a link stays, and the file that it leads to is
        replaced. A folder must not be there, or be empty. Folders above it are made.

    Yields
    ------
    Path
        Of the same name, in a folder beside it. Write a file there, or make a folder of it.
        Whatever happens, nothing is left of it: what a killed process leaves, the next writer
        sweeps.

    Raises
    ------
    MeznetError
        If the file system refuses.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with aside(Path(folder, "a.txt")) as part:
    ...         _ = part.write_text("whole", encoding="utf-8")
    ...         during = [path.name.startswith(".a.txt") for path in Path(folder).iterdir()]
    ...     during, [path.name for path in Path(folder).iterdir()]
    ([True], ['a.txt'])
    """
    path = Path(os.path.realpath(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        with _room(path) as room:
            part = room / path.name
            yield part
            _settle(part, path if path.is_file() else room)
            part.replace(path)
        _sync(path.parent)
    except Exception as error:
        # safetensors raises an error of its own for what the file system refuses
        if isinstance(error, OSError) or type(error).__name__ == "SafetensorError":
            raise MeznetError(f"{path} can't be written ({reason(error)}).") from error
        raise


def _start(path: Path) -> str:
    """Return how the names of all rooms beside a file begin."""
    return f".{path.name[:50]}."


@contextlib.contextmanager
def _room(path: Path) -> Iterator[Path]:
    """Make a folder beside a path that is locked as long as this process works in it."""
    while True:
        room = path.with_name(f"{_start(path)}{uuid.uuid4().hex[:8]}.part")
        room.mkdir()
        handle = _hold(room, wait=True)
        if handle is None or room.exists():  # else it was swept before it was held
            break
        os.close(handle)
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def _hold(path: Path, *, wait: bool = False) -> int | None:
    """Lock a file or folder until its handle is closed; None if that can't be."""
    if fcntl is None:
        return None
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            return handle
        except OSError:  # another process has it, or the file system has no locks
            os.close(handle)
    return None


def _sweep(path: Path) -> None:
    """Remove what killed writers have left: rooms that no process holds."""
    left = re.compile(re.escape(_start(path)) + r"[0-9a-f]+\.part")
    with contextlib.suppress(OSError):
        for old in path.parent.iterdir():
            if left.fullmatch(old.name) and (handle := _hold(old)) is not None:
                with contextlib.suppress(OSError):
                    shutil.rmtree(old) if old.is_dir() else old.unlink()
                os.close(handle)


def _settle(part: Path, like: Path) -> None:
    """Bring files to the disk, with the mode of another: some libraries hide what they write."""
    mode = like.stat().st_mode & (0o777 if like.is_file() else 0o666)
    for file in (part, *part.rglob("*")):
        if file.is_file():
            with file.open("rb+") as stream:
                os.fsync(stream.fileno())
            with contextlib.suppress(OSError):  # not every file system has modes
                file.chmod(mode)


def _sync(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    with contextlib.suppress(OSError):  # Windows can't
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
