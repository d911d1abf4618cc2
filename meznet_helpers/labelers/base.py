"""The one contract of the book: a labeler gives probabilities over a label space for images."""

import contextlib
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self

import numpy as np

from meznet_helpers.errors import MeznetError, MeznetWarning
from meznet_helpers.images import ImageError, Images, as_images, stream
from meznet_helpers.images.reading import as_sources
from meznet_helpers.labelers import calibration
from meznet_helpers.labelers.calibration import Calibration
from meznet_helpers.labels import LabelSpace, from_names
from meznet_helpers.measure import temper
from meznet_helpers.predictions import Predictions
from meznet_helpers.progress import bar


class Served:
    """What may work in a process of its own, because it needs a framework.

    Its public methods work in every process: one that another framework lives in hands them over
    to a worker process, where the private ones do the work. So one with a `framework` also has a
    `recipe`.

    Attributes
    ----------
    name : str
    framework : str or None
        What its work imports: ``"tensorflow"``, ``"torch"``, or nothing of the kind.
    """

    name: str
    framework: str | None = None
    _worker: Any = None

    def recipe(self) -> dict[str, Any]:
        """Return what `from_recipe` makes this of again, for JSON.

        Returns
        -------
        dict

        Raises
        ------
        MeznetError
            If it has no recipe and so can't work in another process.
        """
        raise MeznetError(
            f"{self.name} needs {self.framework}, but this process runs another framework and "
            f"{type(self).__name__} has no recipe for a worker process; use it in a fresh process."
        )

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any]) -> Self:
        """Make one of the recipe of another; the fields of a LabelSpace are one again."""
        if "labels" in recipe:
            recipe = recipe | {"labels": LabelSpace(**recipe["labels"])}
        return cls(**recipe)

    def release(self) -> None:
        """Free the memory that the work took, and end the worker process if there is one.

        The next call loads it all again.
        """
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    def _served(
        self, work: Callable[..., np.ndarray], *given: Sequence, **settings: Any
    ) -> np.ndarray:
        """Call a private method of this here, or in a worker process if it can't work here.

        Parameters
        ----------
        work : callable
            A method of this, such as ``self._probabilities``.
        *given : sequence of ndarray or Path
            Its images or other arrays, if it takes any.
        **settings
            Its other arguments, for JSON.

        Raises
        ------
        MeznetError
            If the worker can't do it, or ends in the middle.
        """
        if self._worker is None or not self._worker.alive:
            if self.framework is None or living() <= {self.framework}:
                return work(*given, **settings)
            from meznet_helpers.labelers.worker import Worker

            self._worker = Worker(self)
        return self._worker.call(work.__name__, *given, **settings)


class Labeler(Served, ABC):
    """Anything that labels images.

    A labeler has a `name`, a label space `labels`, and the method `_probabilities`, which labels
    one batch; `predict` does the rest: reading, batching, progress, names.

    Attributes
    ----------
    labels : LabelSpace
    side : int or None
        The short side, in pixels, to which it brings images. None: unknown, so that files are
        always decoded whole.
    """

    labels: LabelSpace
    side: int | None = None

    @abstractmethod
    def _probabilities(self, images: list[np.ndarray]) -> np.ndarray:
        """Label one batch in this process; see `probabilities`."""

    def probabilities(self, images: list[np.ndarray]) -> np.ndarray:
        """Label one batch, here or in a worker process.

        Parameters
        ----------
        images : list of ndarray, each (height, width, 3), uint8

        Returns
        -------
        ndarray, shape (images, labels), float32
            Each row sums to 1.

        Raises
        ------
        MeznetError
            If the network can't be had or can't work on the images, or the worker process ends in
            the middle.
        """
        return self._served(self._probabilities, images)

    @property
    def calibration(self) -> Calibration | None:
        """What is known of its scores from photographs with known labels; None if nothing is."""
        return calibration.find(self.name, self.labels.name)

    def predict(
        self,
        images: Any,
        *,
        batch_size: int = 32,
        progress: bool = False,
        calibrated: bool = False,
    ) -> Predictions:
        """Label images.

        Parameters
        ----------
        images : Images, or anything `meznet_helpers.images.as_images` takes
            Paths, arrays (height, width, 3) uint8, Pillow images, or a mix of them. One that
            can't be read is left out, with a warning that names it.
        batch_size : int
            Images per call of the network; it changes speed and memory, not the result.
        progress : bool
            Show a bar where there is a terminal or a notebook.
        calibrated : bool
            Temper the probabilities as `calibration` says, where something is known.

        Returns
        -------
        Predictions
            Of one model: `probs` has shape (1, images, labels), float32.

        Raises
        ------
        MeznetError
            If `batch_size` is not positive, or no image can be read.
        """
        check_batch_size(batch_size)
        images = images if isinstance(images, Images) else as_sources(images)
        names, probs, errors = self._predicted(images, batch_size, progress, calibrated)
        if errors and not names:
            raise errors[0]
        for error in errors:
            warnings.warn(str(error), MeznetWarning, stacklevel=2)
        return Predictions(probs[None], (self.name,), names, self.labels)

    def _predicted(
        self, images: Images | list, batch_size: int, progress: bool, calibrated: bool
    ) -> tuple[list[str], np.ndarray, list[ImageError]]:
        """Return names and probabilities of what can be read, and what is wrong with the rest."""
        names, errors = [], []
        parts = [np.zeros((0, len(self.labels)), np.float32)]
        steps = bar(total=len(images), label=self.name, unit="img") if progress else None
        with steps or contextlib.nullcontext():
            for batch, probs in self.stream(images, batch_size=batch_size, calibrated=calibrated):
                names += batch.names
                errors += batch.errors
                parts.append(probs)
                if steps is not None:
                    steps.update(len(batch) + len(batch.errors))
        return names, np.concatenate(parts), errors

    def stream(
        self,
        sources: Images | Iterable[Any],
        *,
        batch_size: int = 32,
        draft: bool = False,
        calibrated: bool = False,
    ) -> Iterator[tuple[Images, np.ndarray]]:
        """Label any number of images, a batch at a time; files are decoded ahead of the network.

        Parameters
        ----------
        sources : Images, or an iterable of what `meznet_helpers.images.read` takes
        batch_size : int
            Images per call of the network, at most; see `meznet_helpers.images.stream`.
        draft : bool
            Decode large JPEGs at a part of their size, but with a short side of at least twice
            `side`. That is several times as fast and changes probabilities a little.
        calibrated : bool
            As for `predict`.

        Yields
        ------
        images : Images
            In the order of `sources`. What can't be read is in ``.errors`` of its batch, which may
            be without any image.
        probs : ndarray, shape (images, labels), float32

        Raises
        ------
        MeznetError
            If `batch_size` is not positive, or the network can't work on the images.

        Examples
        --------
        >>> from meznet_helpers.labelers import nets
        >>> net = nets.net("keras/MobileNetV2@tiny")
        >>> pictures = [np.full((64, 64, 3), level, np.uint8) for level in (0, 128, 255)]
        >>> [(batch.names, probs.shape) for batch, probs in net.stream(pictures, batch_size=2)]
        [(('image 1', 'image 2'), (2, 200)), (('image 3',), (1, 200))]
        """
        check_batch_size(batch_size)
        if isinstance(sources, Images):
            starts = range(0, len(sources), batch_size)
            batches = (sources[start : start + batch_size] for start in starts)
        else:
            side = 2 * self.side if draft and self.side else None
            batches = stream(sources, side=side, batch_size=batch_size)
        for batch in batches:
            yield self._labeled(batch, calibrated)

    def _labeled(self, images: Images, calibrated: bool) -> tuple[Images, np.ndarray]:
        """Label one batch of a stream; what may fail at single images makes errors of them."""
        return images, self.batch(images, calibrated=calibrated)

    def batch(self, images: Images, *, calibrated: bool = False) -> np.ndarray:
        """Label the images of one batch of a stream, which may be without any.

        Parameters
        ----------
        images : Images
        calibrated : bool
            As for `predict`.

        Returns
        -------
        ndarray, shape (images, labels), float32
        """
        if not len(images):
            return np.zeros((0, len(self.labels)), np.float32)
        probs = self.probabilities(list(images.arrays))
        known = self.calibration if calibrated else None
        return probs if known is None else temper(probs, known.temperature)


def check_batch_size(size: int) -> None:
    """Refuse a size of batches that is not positive.

    Examples
    --------
    >>> check_batch_size(0)
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: batch_size is 0; it must be 1 or more.
    """
    if size < 1:
        raise MeznetError(f"batch_size is {size}; it must be 1 or more.")


def largest_side(labelers: Iterable[Labeler]) -> int | None:
    """Return the largest of the sides to which labelers bring images; None if one is unknown.

    Examples
    --------
    >>> from meznet_helpers.labelers import nets
    >>> largest_side([nets.net("keras/MobileNet@tiny"), nets.net("keras/EfficientNetLite0")])
    256
    """
    sides = [labeler.side for labeler in labelers]
    return None if None in sides else max(sides)


def choices(labels: LabelSpace | Sequence[str]) -> LabelSpace:
    """Return the labels that something shall choose among.

    Parameters
    ----------
    labels : LabelSpace or sequence of str

    Raises
    ------
    MeznetError
        If there are fewer than two, or two of them are the same.

    Examples
    --------
    >>> choices(["cat"])
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: "cat" alone leaves no choice; give it two labels or more.
    """
    labels = labels if isinstance(labels, LabelSpace) else from_names(labels)
    if len(labels) < 2:
        raise MeznetError(
            f'"{labels.names[0]}" alone leaves no choice; give it two labels or more.'
        )
    return labels


def living() -> set[str]:
    """Return the frameworks that this process has imported, of those that bear no other.

    TensorFlow, and after it torch with torchvision or timm, abort the interpreter.

    Returns
    -------
    set of str
        ``"tensorflow"``, ``"torch"``, both, or none.

    Examples
    --------
    >>> living() <= {"tensorflow", "torch"}
    True
    """
    return {"tensorflow", "torch"} & sys.modules.keys()


def readable(images: Any) -> Images:
    """Read images for a labeler; warn of those that can't be read, unless they are `Images`.

    Parameters
    ----------
    images : Images, or anything `meznet_helpers.images.as_images` takes

    Returns
    -------
    Images

    Raises
    ------
    MeznetError
        If no image can be read.
    """
    given, images = images, as_images(images)
    for error in () if images is given else images.errors:
        warnings.warn(str(error), MeznetWarning, stacklevel=3)
    return images
