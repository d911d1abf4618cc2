"""Files and folders that are whole or not there: written aside, and renamed at the end."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from meznet_helpers.errors import MeznetError, reason


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
        A file is replaced. A folder must not be there, or be empty. Folders above it are made.

    Yields
    ------
    Path
        In the same folder. Write a file there, or make a folder of it. Whatever happens, nothing
        is left of it.

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
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        if part.is_file():
            with part.open("rb+") as file:
                os.fsync(file.fileno())
        part.replace(path)
    except Exception as error:
        # safetensors raises an error of its own for what the file system refuses
        if isinstance(error, OSError) or type(error).__name__ == "SafetensorError":
            raise MeznetError(f"{path} can't be written ({reason(error)}).") from error
        raise
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
