"""Where the assets lie: in the repository, in the cache, or on a server.

An asset is a file the package needs that is not code: weights, images, tables.
``data/manifest.json`` lists them all; ``data/make_manifest.py`` writes it.
"""

import os
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from meznet_helpers.assets import profile
from meznet_helpers.assets.download import fetch, readable_size
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
        In ``data/`` for a bundled asset, else in the cache.

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
    return cache() / asset.name / (PurePosixPath(urlsplit(asset.urls[0]).path).name or "file")


def resolve(name: str) -> Path:
    """Return the path of an asset; download it only in the full profile.

    A bundled asset comes from the repository, any other from the cache; what is in neither is
    downloaded in the full profile, from the first of its URLs that works. Files found are checked
    by size; downloads are always compared with their hash.

    Parameters
    ----------
    name : str
        A name of the manifest, for instance ``"keras/MobileNetV2@tiny"``.

    Returns
    -------
    Path
        An existing file.

    Raises
    ------
    MeznetError
        If the manifest has no such asset; if a bundled file is missing or has another size; if a
        file would have to be downloaded but ``MEZNET_OFFLINE`` is set or the profile is tiny (the
        message gives the size and the place, or the command that downloads it); or if no URL
        works.

    Examples
    --------
    >>> resolve("labels/tiny-imagenet-200.txt").is_file()
    True
    >>> resolve("tiny-imagenet")
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: The manifest has no asset "tiny-imagenet"; did you mean ...
    """
    asset, path = _asset(name), location(name)
    size = path.stat().st_size if path.is_file() else None
    if size is not None and asset.bytes in (None, size):
        return path
    if asset.path is not None:
        state = "is missing" if size is None else f"has {size} bytes instead of {asset.bytes}"
        raise MeznetError(
            f'asset "{name}": {path} {state}; git checkout restores it, or data/make_manifest.py '
            "writes the manifest anew if the file is meant to have changed."
        )
    if profile.offline():
        raise MeznetError(
            f'asset "{name}" ({readable_size(asset.bytes)}) is not on this machine and '
            f"MEZNET_OFFLINE is set; it would have to lie at {path}."
        )
    if profile.active() != "full":
        raise MeznetError(
            f'asset "{name}" ({readable_size(asset.bytes)}) is not part of the tiny profile; '
            f"MEZNET_PROFILE=full meznet fetch {name} downloads it once."
        )
    problems = []
    for url in asset.urls:
        try:
            return fetch(url, path, known_hash=asset.hash, size=asset.bytes)
        except MeznetError as error:
            problems.append(str(error))
    raise MeznetError(f'asset "{name}" cannot be had: {" ".join(problems)}')


def _asset(name: str) -> Asset:
    assets = manifest()
    if name not in assets:
        hint = did_you_mean(name, assets, f"; it lists {len(assets)} assets.")
        raise MeznetError(f'The manifest has no asset "{name}"{hint}')
    return assets[name]
