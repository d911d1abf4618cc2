"""Features: what the classifier at a network's end sees of an image, pooled over the picture.

A network that has learned to name some things describes other things well enough for a small
classifier: Donahue et al. (2014), arXiv:1310.1531.
"""

import contextlib
import hashlib
import json
import logging
import os
import uuid
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from meznet_helpers.assets import store
from meznet_helpers.errors import MeznetError, reason
from meznet_helpers.files import aside
from meznet_helpers.images import Dataset, ImageError, Images, as_images, find, read
from meznet_helpers.labelers import Backbone, Labeler, NetworkLabeler, nets
from meznet_helpers.names import labeler
from meznet_helpers.progress import bar

AT_ONCE = 8  # batches that go to the network, and then to the cache, together
log = logging.getLogger(__name__)
_digests: dict[str, str] = {}  # of published weights, which are loaded to know them


def embed(
    images: Any,
    backbone: str | Backbone | Labeler,
    *,
    batch_size: int = 64,
    half: bool = False,
    progress: bool = False,
    cache: bool = True,
) -> np.ndarray:
    """Describe images by features of a pretrained network.

    A folder may be larger than memory: its files are read in threads, a batch or two ahead of the
    network. Where another framework lives in this process, the network works in a process of its
    own. On a CPU, nets on torch run with the channels last in memory: convolutional ones are then
    1.2 to 1.5 times as fast, with the same features. All figures here were measured on one core of
    an AMD EPYC with torch 2.15.

    Parameters
    ----------
    images : Dataset, Images, a list of images, or paths
        Paths are a folder, a file, or a list of them; folders are searched as by
        `meznet_helpers.images.find`, and their files come in its order.
    backbone : str, Backbone or Labeler
        ``"keras/MobileNetV2@tiny"``, ``"timm/resnet18@imagenet"``, or another network that
        `meznet_helpers.names.labeler` knows. It is loaded and released again; a labeler that
        you made stays loaded for the next call.
    batch_size : int
        Images per call of the network; it changes speed and memory, not the features.
    half : bool
        Compute in bfloat16, on torch only. RegNetX-002 at 96 pixels is 2.1 times as fast and
        TinyViT-5M at 64 pixels 1.8 times, with features that differ by 0.5 % and 1.3 % of their
        length. Keras' nets on TensorFlow gain nothing by it (MobileNetV2 is half as fast), and
        a processor without instructions for bfloat16 loses.
    progress : bool
        Show a bar where there is a terminal or a notebook.
    cache : bool
        Keep features below `meznet_helpers.assets.store.cache`, in ``features``, by the
        contents of the image or file and of the network's weights and settings, and take from
        there what is known and not damaged. Published weights are loaded once in each process to
        know them. Where it can't be written, a line says so and nothing is kept.

    Returns
    -------
    ndarray, shape (images, d), float32

    Raises
    ------
    MeznetError
        If there are no images; the backbone is unknown, has no features, or can't work at its
        size of input; or a file can't be read. All others are encoded, and cached, before that.

    Examples
    --------
    >>> gray = [np.full((64, 64, 3), level, np.uint8) for level in (0, 128, 255)]
    >>> embed(gray, "keras/MobileNetV2@tiny").shape
    (3, 1280)
    """
    if batch_size < 1:
        raise MeznetError(f"batch_size is {batch_size}; it must be 1 or more.")
    net, sources = _network(backbone), _sources(images)
    if not sources:
        raise MeznetError("There are no images to describe; give one or more.")
    step = AT_ONCE * batch_size
    starts = range(0, len(sources), step)
    rows: list[np.ndarray] = []
    errors: list[ImageError] = []
    try:
        stored = _Stored(_digest(net) + "-half" * half) if cache else None
        for start in bar(starts, label=net.name, unit="batch") if progress else starts:
            some = sources[start : start + step]
            new = _encode(net, some, stored, {"batch_size": batch_size, "half": half})
            for source, row in zip(some, new, strict=True):
                errors += _unreadable(source) if np.isnan(row).all() else ()
            rows += new
    finally:
        if net is not backbone:
            net.release()
    if len(errors) > 1:
        raise MeznetError(f"{len(errors)} images can't be read; the first: {errors[0]}")
    if errors:
        raise errors[0]
    return np.stack(rows)


def _network(backbone: str | Backbone | Labeler) -> NetworkLabeler:
    """Return the labeler that encodes."""
    if isinstance(backbone, Backbone):
        return nets.of_backbone(backbone)
    net = labeler(backbone) if isinstance(backbone, str) else backbone
    if not isinstance(net, NetworkLabeler):
        name = net.name if isinstance(net, Labeler) else repr(net)
        raise MeznetError(f"{name} has no features; take a net of Keras, timm or torchvision.")
    return net


def _sources(images: Any) -> list[np.ndarray | Path]:
    """List arrays, or files that are yet to be read."""
    if isinstance(images, Dataset):
        images = images.images
    if isinstance(images, str | os.PathLike):
        return list(find(images))
    if isinstance(images, Iterable) and not isinstance(images, Images | np.ndarray | Image.Image):
        images = list(images)
        if all(isinstance(image, str | os.PathLike) for image in images):
            return [file for path in images for file in find(path)]
    read_now = as_images(images)
    if read_now is not images and read_now.errors:
        raise read_now.errors[0]
    return list(read_now.arrays)


def _encode(
    net: NetworkLabeler, sources: list, stored: "_Stored | None", settings: dict
) -> list[np.ndarray]:
    """Return one row of features for each source, from the cache or from the network."""
    if stored is None:
        return list(net.features(sources, **settings))
    if isinstance(sources[0], Path):  # so are the others
        with ThreadPoolExecutor() as pool:
            keys = list(pool.map(_key, sources))
    else:
        keys = [_key(source) for source in sources]
    rows = [stored.row(key) for key in keys]
    missing = [place for place, row in enumerate(rows) if row is None]
    if missing:
        new = net.features([sources[place] for place in missing], **settings)
        stored.add([keys[place] for place in missing], new)
        for place, row in zip(missing, new, strict=True):
            rows[place] = row
    return rows


def _unreadable(source: np.ndarray | Path) -> list[ImageError]:
    """Say why there is no row for a file; nothing if it can be read."""
    try:
        read(source)
    except ImageError as error:
        return [error]
    return []


def _key(source: np.ndarray | Path) -> str:
    """Digest an image or the content of a file; empty for a file that can't be opened."""
    if isinstance(source, Path):
        try:
            return hashlib.sha256(source.read_bytes()).hexdigest()
        except OSError:
            return ""
    digest = hashlib.sha256(str(source.shape).encode())
    digest.update(np.ascontiguousarray(source))
    return digest.hexdigest()


def _digest(net: NetworkLabeler) -> str:
    """Digest a network; published weights only once in a process."""
    if net.weights_file() is not None:
        return net.digest()
    recipe = json.dumps(net.recipe(), sort_keys=True, default=str)
    if recipe not in _digests:
        _digests[recipe] = net.digest()
    return _digests[recipe]


class _Stored:
    """Features on disk, of one network: files of rows with the digests of their images.

    Each row has a digest of its own, by which a damaged one is known.
    """

    def __init__(self, name: str) -> None:
        """Find what is there."""
        self.folder, self.writable = store.cache() / "features" / name, True
        self.rows: dict[str, tuple[np.ndarray, bytes]] = {}
        with contextlib.suppress(OSError):  # a cache that can't be read saves nothing
            for file in sorted(self.folder.glob("*.npy")):
                with contextlib.suppress(Exception):  # damaged, in whichever way
                    table = np.load(file, mmap_mode="r", allow_pickle=False)
                    rows = zip(table["features"], table["sha256"].tolist(), strict=True)
                    self.rows |= dict(zip(table["image"].tolist(), rows, strict=True))

    def row(self, key: str) -> np.ndarray | None:
        """Return the features of an image; None if there are none, or they are damaged."""
        row, digest = self.rows.get(key, (None, b""))
        return row if row is not None and _seal(key, row) == digest else None

    def add(self, keys: Sequence[str], features: np.ndarray) -> None:
        """Store rows that were computed, in a file of their own."""
        good = (np.array(keys) != "") & ~np.isnan(features).all(axis=1)
        if not good.any() or not self.writable:
            return
        columns = [("image", "U64"), ("features", np.float32, (features.shape[1],))]
        table = np.zeros(good.sum(), [*columns, ("sha256", "S64")])
        table["image"], table["features"] = np.array(keys)[good], features[good]
        table["sha256"] = [_seal(row["image"], row["features"]) for row in table]
        try:
            path = self.folder / f"{uuid.uuid4().hex}.npy"
            with aside(path) as part, part.open("wb") as file:
                np.save(file, table, allow_pickle=False)
        except MeznetError as error:
            self.writable = False
            log.warning("meznet: features are not kept: %s; set MEZNET_CACHE.", reason(error))


def _seal(key: str, row: np.ndarray) -> bytes:
    """Digest a row of the cache and whose it is."""
    return hashlib.sha256(key.encode() + row.tobytes()).hexdigest().encode()
