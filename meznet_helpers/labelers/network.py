"""What labelers that are one network share: features, and a digest of all that they depend on."""

import dataclasses
import functools
import hashlib
import json
import warnings
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import numpy as np

from meznet_helpers.assets import store
from meznet_helpers.errors import MeznetError, MeznetWarning, reason
from meznet_helpers.images import ImageError, read
from meznet_helpers.labelers import calibration
from meznet_helpers.labelers.backbones import Backbone, registry, scale
from meznet_helpers.labelers.base import Labeler
from meznet_helpers.labelers.calibration import Calibration
from meznet_helpers.labels import imagenet, tiny_imagenet

#: Label space of a backbone, by name.
SPACES = {"imagenet": imagenet, "tiny_imagenet": tiny_imagenet}


class NetworkLabeler(Labeler):
    """A network that labels images, and that can tell what its classifier sees of them."""

    @abstractmethod
    def _preparation(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function from an image to one row of the network's input, float32."""

    @abstractmethod
    def _seen(self, images: list[np.ndarray]) -> np.ndarray:
        """Return what the network sees of images; see `seen`."""

    def seen(self, images: list[np.ndarray]) -> np.ndarray:
        """Return what the network sees of images: resized and cropped, with colors as they are.

        Parameters
        ----------
        images : list of ndarray, each (height, width, 3), uint8

        Returns
        -------
        ndarray, shape (images, size, size, 3), uint8
        """
        return self._served(self._seen, images)

    @abstractmethod
    def _encoder(self, half: bool) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function from input (images, ...) to features (images, d), float32."""

    @abstractmethod
    def _tensors(self) -> Iterable[np.ndarray]:
        """Yield the weights of the loaded network, in its own order."""

    def weights_file(self) -> Path | None:
        """Return the file of weights in this repository; None for published weights."""
        return None

    def here(self) -> bool:
        """Say whether the weights are on this machine, so that nothing is downloaded."""
        return True

    def features(
        self, sources: Sequence[np.ndarray | Path], *, batch_size: int = 64, half: bool = False
    ) -> np.ndarray:
        """Return what the classifier at the network's end sees, pooled over the picture.

        Images are read and prepared in threads, one batch ahead of the network.

        Parameters
        ----------
        sources : sequence of ndarray, each (height, width, 3), uint8, or of Path
        batch_size : int
        half : bool
            Compute in bfloat16.

        Returns
        -------
        ndarray, shape (sources, d), float32
            NaN in the row of a file that can't be read; d is 0 where none can.

        Raises
        ------
        MeznetError
            If the network can't be had, or can't work on pictures of that size.
        """
        settings = {"batch_size": batch_size, "half": half}
        return self._served(self._features, sources, **settings)

    def _features(
        self, sources: Sequence[np.ndarray | Path], batch_size: int, half: bool
    ) -> np.ndarray:
        """Return what the classifier sees, in this process; see `features`."""
        return encoded(sources, self._encoder(half), self._preparation(), batch_size)

    def _weights_digest(self) -> np.ndarray:
        """Return the sha256 of the weights of the loaded network: uint8, shape (32,)."""
        return np.frombuffer(sha256(self._tensors()).digest(), np.uint8)

    def parameters(self) -> int:
        """Count the weights of the network, running statistics included; it is loaded for that."""
        return int(self._served(self._parameters)[0])

    def _parameters(self) -> np.ndarray:
        """Count the weights in this process: int64, shape (1,)."""
        counts = [values.size for values in self._tensors() if values.dtype.kind == "f"]
        return np.array([sum(counts)])

    def digest(self) -> str:
        """Return what features depend on, in one number: the recipe and the weights.

        Published weights must be loaded for it.

        Returns
        -------
        str
            A sha256, hexadecimal.
        """
        digest = hashlib.sha256(json.dumps(self.recipe(), sort_keys=True, default=str).encode())
        file = self.weights_file()
        digest.update(self._served(self._weights_digest) if file is None else file.read_bytes())
        return digest.hexdigest()


def sha256(tensors: Iterable[np.ndarray]) -> "hashlib._Hash":
    """Return the sha256 of weights, one after another.

    Examples
    --------
    >>> sha256([np.zeros(1), np.ones(2)]).digest() == sha256([np.array([0.0, 1.0, 1.0])]).digest()
    True
    """
    digest = hashlib.sha256()
    for values in tensors:
        digest.update(np.ascontiguousarray(values))
    return digest


class BackboneLabeler(NetworkLabeler):
    """A network of the registry, prepared for by its backbone.

    It works by ONNX Runtime, without its framework, unless it can't be exported or its `model` was
    asked for: then that is what works.

    Parameters
    ----------
    backbone : Backbone

    Raises
    ------
    MeznetError
        If the size of its input is not positive.
    """

    def __init__(self, backbone: Backbone) -> None:
        """Keep the backbone; nothing is loaded yet."""
        if backbone.size < 1:
            raise MeznetError(f"{backbone.name} has size {backbone.size}; give it pixels.")
        self.backbone = backbone
        self.name = backbone.name
        self.labels = SPACES[backbone.labels]()
        self.side = backbone.side

    def here(self) -> bool:
        """Say whether the weights are on this machine; see `NetworkLabeler.here`."""
        return not self.backbone.asset or store.is_here(self.backbone.asset)

    @property
    def calibration(self) -> Calibration | None:
        """What is known of its scores, if it is fed as the registry has it."""
        net = self.backbone
        if registry().get(net.name) != net:
            return None
        quick = "-int8" if net.tag == "int8" else ""
        return calibration.find(f"{net.asset}{quick}" if net.asset else net.name, net.labels)

    def recipe(self) -> dict[str, Any]:
        """Return the backbone's fields; see `Labeler.recipe`."""
        recipe = dataclasses.asdict(self.backbone)
        for field in ("margin", "asset"):  # digests of nets without them are older than these
            if recipe[field] is None:
                del recipe[field]
        return recipe

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any]) -> Self:
        """Make a labeler of a backbone's fields."""
        return cls(Backbone(**recipe))

    def _preparation(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return what `Backbone.prepare` does to one image."""
        return lambda image: scale(self.backbone.resize(image), self.backbone.mode)

    @functools.cached_property
    def _graph(self) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None:
        """The net in ONNX Runtime, from input to probabilities and features; None if it can't be.

        Raises
        ------
        MeznetError
            If the weights can't be had, or an 8-bit net can't be made.
        """
        from meznet_helpers.labelers import onnx

        try:
            return onnx.session(self)
        except onnx.NotExportable as error:
            if self.backbone.tag == "int8":
                raise
            warnings.warn(
                f"{reason(error)}; it works in its framework.", MeznetWarning, stacklevel=4
            )
            return None

    def _exported(self) -> bool:
        """Say whether ONNX Runtime does the work; for that the net is exported, if need be."""
        return "model" not in self.__dict__ and self._graph is not None

    @abstractmethod
    def _export(self, path: str) -> np.ndarray:
        """Write the net as an ONNX file, and return what `onnx.write` does."""

    def in_float32(self) -> Self:
        """Return the net that this one, which computes in 8 bits, is made of."""
        return type(self)(dataclasses.replace(self.backbone, tag="imagenet"))

    def probabilities(self, images: list[np.ndarray]) -> np.ndarray:
        """Label one batch; see `Labeler.probabilities`."""
        if images and self._exported():
            return self._graph(self.backbone.prepare(images))[0]
        return super().probabilities(images)

    def features(
        self, sources: Sequence[np.ndarray | Path], *, batch_size: int = 64, half: bool = False
    ) -> np.ndarray:
        """Return what the classifier sees; see `NetworkLabeler.features`."""
        if self.backbone.tag == "int8":
            raise MeznetError(f"features are float32; take them of {self.in_float32().name}.")
        if half or not self._exported():
            return super().features(sources, batch_size=batch_size, half=half)
        prepare = BackboneLabeler._preparation(self)
        return encoded(sources, lambda batch: self._graph(batch)[1], prepare, batch_size)

    def _seen(self, images: list[np.ndarray]) -> np.ndarray:
        """Return images at the input's size; see `NetworkLabeler.seen`."""
        return np.stack([self.backbone.resize(image) for image in images])

    def weights_digest(self) -> str:
        """Return the sha256 of the source of the weights; nothing is loaded for it."""
        if self.backbone.asset:
            return store.manifest()[self.backbone.asset].hash
        return hashlib.sha256(self.weights_file().read_bytes()).hexdigest()

    def digest(self) -> str:
        """Return what features depend on; see `NetworkLabeler.digest`. Nothing is loaded for it."""
        digest = hashlib.sha256(json.dumps(self.recipe(), sort_keys=True, default=str).encode())
        own = self.backbone.tag != "imagenet" and not self.backbone.asset
        digest.update(self.weights_file().read_bytes() if own else self.weights_digest().encode())
        return digest.hexdigest()

    def release(self) -> None:
        """Forget the net, here and in ONNX Runtime; see `Labeler.release`."""
        self.__dict__.pop("_graph", None)
        super().release()

    def weights_file(self) -> Path | None:
        """Return the file of the weights; see `NetworkLabeler.weights_file`."""
        if self.backbone.asset:
            return store.resolve(self.backbone.asset)
        return None if self.backbone.tag == "imagenet" else store.resolve(self.name)


def encoded(
    sources: Sequence[np.ndarray | Path],
    encode: Callable[[np.ndarray], np.ndarray],
    prepare: Callable[[np.ndarray], np.ndarray],
    batch_size: int,
) -> np.ndarray:
    """Read and prepare images in threads, one batch ahead of what encodes them.

    Examples
    --------
    >>> images = [np.full((2, 2, 3), level, np.uint8) for level in (1, 2)]
    >>> encoded([images[0], Path("nowhere.png"), images[1]], lambda batch: batch[:, 0, 0], abs, 2)
    array([[ 1.,  1.,  1.],
           [nan, nan, nan],
           [ 2.,  2.,  2.]], dtype=float32)
    """

    def prepared(source: np.ndarray | Path) -> np.ndarray | None:
        try:
            return prepare(read(source) if isinstance(source, Path) else source)
        except ImageError:
            return None

    parts, good = [], []
    with ThreadPoolExecutor() as pool:
        for batch in _ahead(pool, prepared, sources, batch_size):
            good += [image is not None for image in batch]
            if any(good[-len(batch) :]):
                parts.append(encode(np.stack([image for image in batch if image is not None])))
    rows = np.full((len(good), parts[0].shape[1] if parts else 0), np.nan, np.float32)
    if parts:
        rows[good] = np.concatenate(parts)
    return rows


def _ahead(
    pool: ThreadPoolExecutor, prepared: Callable, sources: Sequence, batch_size: int
) -> Iterator[list]:
    """Yield batches of what `prepared` returns; the next one is being prepared meanwhile."""
    waiting: deque[list[Future]] = deque()
    for start in range(0, len(sources), batch_size):
        batch = sources[start : start + batch_size]
        waiting.append([pool.submit(prepared, source) for source in batch])
        if len(waiting) > 1:
            yield [future.result() for future in waiting.popleft()]
    while waiting:
        yield [future.result() for future in waiting.popleft()]
