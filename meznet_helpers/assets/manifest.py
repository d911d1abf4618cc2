"""The manifest: what is known of every asset, read from a JSON file and checked."""

import functools
import json
import re
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath

from meznet_helpers.errors import MeznetError

_NAME = re.compile(r"(?!\.)[\w.@+-]+(/(?!\.)[\w.@+-]+)*", re.ASCII)
_HASH = re.compile(r"sha256:[0-9a-f]{64}|md5:[0-9a-f]{32}")


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
        ``"sha256:..."`` or ``"md5:..."``.
    bytes : int or None
        The size of the file.
    licence : str
        What one may do with it.
    source : str
        Where it comes from.
    card : str
        Its description, relative to ``data/``.

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

    def __post_init__(self) -> None:
        """Check every field."""
        if not (isinstance(self.name, str) and _NAME.fullmatch(self.name)):
            raise MeznetError(f"asset {self.name!r}: name must be letters, digits and . _ @ + - /")
        for field in ("path", "card"):
            value = getattr(self, field)
            if not (value is None and field == "path") and not _is_inside(value):
                self._refuse(f"{field} must stay inside data/, not {value!r}.")
        if not all(isinstance(url, str) and url.startswith(("http://", "https://"))
                   for url in self.urls):  # fmt: skip
            self._refuse("every url must begin with http:// or https://.")
        if self.path is None and not self.urls:
            self._refuse("it needs a path or a url.")
        if not (isinstance(self.hash, str) and _HASH.fullmatch(self.hash)):
            self._refuse('hash must be "sha256:" or "md5:" and lower-case hexadecimal digits.')
        if not (self.bytes is None or (type(self.bytes) is int and self.bytes >= 0)):
            self._refuse(f"bytes must be a whole number or null, not {self.bytes!r}.")
        for field in ("licence", "source"):
            if not (isinstance(getattr(self, field), str) and getattr(self, field).strip()):
                self._refuse(f"{field} must not be empty.")

    def _refuse(self, message: str) -> None:
        raise MeznetError(f'asset "{self.name}": {message}')


def _is_inside(path: object) -> bool:
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
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MeznetError(f"{path} is not valid JSON: {error}.") from error
    entries = content.get("assets") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise MeznetError(f'{path} is not a manifest; it must be JSON: {{"assets": [...]}}.')
    wanted = {field.name for field in fields(Asset)}
    assets = {}
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict) or set(entry) != wanted:
            keys = ", ".join(sorted(wanted))
            raise MeznetError(f"{path}: entry {number} must have exactly the keys {keys}.")
        if not isinstance(entry["urls"], list):
            raise MeznetError(f"{path}: entry {number}: urls must be a list.")
        try:
            asset = Asset(**entry | {"urls": tuple(entry["urls"])})
        except MeznetError as error:
            raise MeznetError(f"{path}: entry {number}: {error}") from error
        if asset.name in assets:
            raise MeznetError(f'{path}: entry {number}: "{asset.name}" is there twice.')
        assets[asset.name] = asset
    return assets
