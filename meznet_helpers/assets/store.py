"""Where the assets lie: in the repository, or in the cache, once they were got.

An asset is a file the package needs that is not code: weights, images, tables.
``data/manifest.json`` lists them all; ``data/make_manifest.py`` writes it.
"""

import functools
import os
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from meznet_helpers.assets import profile, wheels
from meznet_helpers.assets.download import fetch, hash_matches, readable_size
from meznet_helpers.assets.manifest import Asset, read
from meznet_helpers.errors import MeznetError, did_you_mean


def manifest() -> dict[str, Asset]:
    """Read the manifest, ``data/manifest.json``.

    Returns
    -------
    dict of str to Asset
        By name, in the manifest's order (sorted). Reading it again costs nothing while the file
        is unchanged.

    Raises
    ------
    MeznetError
        If the file is missing or an entry is wrong; the message names the file and the entry.

    Examples
    --------
    >>> manifest()["tiny-imagenet-200"].bytes
    248100043
    """
    path = profile.data() / "manifest.json"
    if not path.is_file():
        raise MeznetError(
            f"{path} is not there; meznet works from a checkout of its repository, installed with "
            "pip install -e."
        )
    return dict(read(path, path.stat().st_mtime_ns))


def cache() -> Path:
    """Return the folder that downloads go to.

    Returns
    -------
    Path
        The environment variable ``MEZNET_CACHE``, or the usual place of the operating system. It
        need not be there yet.

    Examples
    --------
    >>> import os
    >>> from unittest import mock
    >>> with mock.patch.dict(os.environ, {"MEZNET_CACHE": "/tmp/meznet"}):
    ...     cache().name
    'meznet'
    """
    import pooch

    given = os.environ.get("MEZNET_CACHE", "").strip()
    return Path(given).expanduser().absolute() if given else Path(pooch.os_cache("meznet"))


def location(name: str) -> Path:
    """Return where an asset lies or would lie; look at nothing but the manifest.

    Parameters
    ----------
    name : str
        A name of the manifest.

    Returns
    -------
    Path
        In ``data/`` for a bundled asset, else in the cache. A folder for the archive of a wheel.

    Raises
    ------
    MeznetError
        If the manifest has no such asset.

    Examples
    --------
    >>> location("tiny-imagenet-200").name
    'tiny-imagenet-200.zip'
    """
    asset = _asset(name)
    if asset.path is not None:
        return profile.data() / asset.path
    if asset.wheel is not None:
        return wheels.location(asset, cache())
    return cache() / asset.name / (PurePosixPath(urlsplit(asset.urls[0]).path).name or "file")


def resolve(name: str) -> Path:
    """Return the path of an asset that is on this machine; download nothing.

    A bundled asset comes from the repository, any other from the cache. Those of the
    repository are checked by hash, once in a process; others by size, and those of wheels also by
    the time of their last change.

    Parameters
    ----------
    name : str
        A name of the manifest, for instance ``"keras/MobileNetV2@tiny"``.

    Returns
    -------
    Path
        An existing file; for the archive of a wheel, the folder of its files.

    Raises
    ------
    MeznetError
        If the manifest has no such asset, or if it is missing or damaged; the message says how
        many bytes it has and what gets it.

    Examples
    --------
    >>> resolve("labels/tiny-imagenet-200.txt").is_file()
    True
    >>> resolve("tiny-imagenet")
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: The manifest has no asset "tiny-imagenet"; did you mean ...
    """
    asset, path = _asset(name), location(name)
    if (wrong := _flaw(asset, path)) is None:
        return path
    if asset.path is not None:
        raise MeznetError(
            f'asset "{name}" {wrong}; git checkout restores it, or data/make_manifest.py writes '
            "the manifest anew if the file is meant to have changed."
        )
    command = "meznet fetch" if asset.wheel else f"meznet fetch {name}"
    again = "" if wrong == wheels.MISSING else " anew"
    raise MeznetError(
        f'asset "{name}" ({readable_size(asset.bytes)}) {wrong}; {command} gets it{again}.'
    )


def is_here(name: str) -> bool:
    """Say whether `resolve` finds an asset.

    Parameters
    ----------
    name : str
        A name of the manifest.

    Returns
    -------
    bool

    Raises
    ------
    MeznetError
        If the manifest has no such asset.

    Examples
    --------
    >>> is_here("labels/tiny-imagenet-200.txt")
    True
    """
    return _flaw(_asset(name), location(name)) is None


def get(name: str, *, folder: str | Path | None = None) -> Path:
    """Get an asset onto this machine, unless it is there.

    A wheel is had by pip, any other file from the first of its URLs that works.

    Parameters
    ----------
    name : str
        A name of the manifest.
    folder : str or Path, optional
        A folder of wheels: the asset's wheel is taken from there, without a network.

    Returns
    -------
    Path
        As `resolve` returns it.

    Raises
    ------
    MeznetError
        If the manifest has no such asset, or if it can't be had: ``MEZNET_OFFLINE`` is set, no
        URL works, pip can't get the wheel, the bytes are not the right ones, there is no space,
        the cache can't be written. The message says which.

    Examples
    --------
    >>> get("labels/tiny-imagenet-200.txt").name
    'tiny-imagenet-200.txt'
    """
    asset, path = _asset(name), location(name)
    if asset.path is not None or (asset.wheel is None and _flaw(asset, path) is None):
        return resolve(name)
    if asset.wheel is not None:
        return wheels.get(asset, cache(), folder=folder)
    if profile.offline():
        raise MeznetError(
            f'asset "{name}" ({readable_size(asset.bytes)}) is not on this machine and '
            f"MEZNET_OFFLINE is set; it would have to lie at {path}."
        )
    problems = []
    for url in asset.urls:
        try:
            return fetch(url, path, known_hash=asset.hash, size=asset.bytes)
        except MeznetError as error:
            problems.append(str(error))
    raise MeznetError(f'asset "{name}" cannot be had: {" ".join(problems)}')


def _flaw(asset: Asset, path: Path) -> str | None:
    """Say what is wrong with an asset on this machine; None if nothing is."""
    if asset.wheel is not None:
        return wheels.flaw(asset, cache())
    if not path.is_file():
        return f"is missing ({path})" if asset.path else wheels.MISSING
    size, changed = path.stat().st_size, path.stat().st_mtime_ns
    if asset.bytes not in (None, size):
        return f"is damaged ({path} has {size} bytes instead of {asset.bytes})"
    if asset.path and not _matches(path, asset.hash, changed):
        return f"is damaged ({path} has the wrong hash)"
    return None


@functools.cache
def _matches(path: Path, known_hash: str, changed: int) -> bool:
    """Say whether a file has its hash; it is read once, as long as it does not change."""
    return hash_matches(path, known_hash)


def _asset(name: str) -> Asset:
    assets = manifest()
    if name not in assets:
        hint = did_you_mean(name, assets, f"; it lists {len(assets)} assets.")
        raise MeznetError(f'The manifest has no asset "{name}"{hint}')
    return assets[name]
