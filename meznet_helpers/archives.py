"""Unpack zip and tar archives inside their folder or not at all."""

import contextlib
import lzma
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from meznet_helpers.errors import MeznetError

MAX_BYTES = 20 * 10**9
"""Archives that claim to hold more than this are refused."""

_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    ValueError,
    OSError,
)


def unpack(archive: str | Path, folder: str | Path, *, max_bytes: int = MAX_BYTES) -> Path:
    """Unpack a zip or tar archive into a new folder.

    The files are unpacked aside and the folder appears only when all of them are there, so a
    broken archive leaves nothing behind.

    Parameters
    ----------
    archive : str or Path
        A zip file, or a tar file, plain or compressed with gzip, bzip2 or xz.
    folder : str or Path
        The folder to make. It must not be there, or be empty.
    max_bytes : int
        The most bytes the unpacked files may have together.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    MeznetError
        If the archive is missing, damaged, encrypted or too large, if one of its names is
        absolute, leads out of the folder or is a link or a device, or if `folder` holds files.

    Notes
    -----
    Tar members also pass Python's ``data`` filter (PEP 706).

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with zipfile.ZipFile(Path(place, "a.zip"), "w") as packed:
    ...         packed.writestr("words/one.txt", "one")
    ...     out = unpack(Path(place, "a.zip"), Path(place, "a"))
    ...     [path.relative_to(out).as_posix() for path in sorted(out.rglob("*.txt"))]
    ['words/one.txt']
    """
    archive, folder = Path(archive), Path(folder)
    if not archive.is_file():
        raise MeznetError(f"{archive} is not there; it should be a zip or tar archive.")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise MeznetError(f"{folder} is already there; remove it before {archive.name} is unpacked")
    with _told(archive):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as aside:
            inside = Path(aside, "unpacked")
            inside.mkdir()
            if zipfile.is_zipfile(archive):
                _unzip(archive, inside, max_bytes)
            else:
                _untar(archive, inside, max_bytes)
            if folder.is_dir():
                folder.rmdir()
            inside.rename(folder)
    return folder


def _unzip(archive: Path, inside: Path, max_bytes: int) -> None:
    with zipfile.ZipFile(archive) as packed:
        members = packed.infolist()
        for member in members:
            # orig_filename is what the archive says, before zipfile mended it
            _check_name(archive, member.orig_filename)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise MeznetError(f"{archive}: {member.filename} is a link or a device; refused.")
            if member.flag_bits & 1:
                raise MeznetError(f"{archive}: {member.filename} is encrypted; refused.")
        _check_size(archive, sum(member.file_size for member in members), max_bytes)
        packed.extractall(inside)


def _untar(archive: Path, inside: Path, max_bytes: int) -> None:
    with tarfile.open(archive) as packed:
        members = packed.getmembers()
        for member in members:
            _check_name(archive, member.name)
            if not (member.isreg() or member.isdir()):
                raise MeznetError(f"{archive}: {member.name} is a link or a device; refused.")
        _check_size(archive, sum(member.size for member in members), max_bytes)
        packed.extractall(inside, members=members, filter="data")


def _check_name(archive: Path, name: str) -> None:
    """Refuse names that could lead out of the folder on any system."""
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    rooted = posix.is_absolute() or windows.drive or windows.root
    if rooted or ".." in windows.parts or "\0" in name:
        raise MeznetError(f"{archive}: {name!r} leads out of the folder; nothing was unpacked.")


def _check_size(archive: Path, total: int, max_bytes: int) -> None:
    if total > max_bytes:
        raise MeznetError(
            f"{archive} would unpack to {total} bytes; no more than {max_bytes} are allowed."
        )


@contextlib.contextmanager
def _told(archive: Path) -> Iterator[None]:
    """Turn what the archive modules raise for a bad file into one sentence."""
    try:
        yield
    except _BROKEN as error:
        raise MeznetError(
            f"{archive} cannot be unpacked ({type(error).__name__}: {error}); it should be a whole "
            "zip or tar archive, and its folder writable."
        ) from error
