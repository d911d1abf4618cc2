"""The one contract of the book: a labeler gives probabilities over a label space for images."""

import dataclasses
import warnings
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from meznet_helpers.backbones import backbone
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import Images, as_images
from meznet_helpers.labels import LabelSpace
from meznet_helpers.predictions import Predictions
from meznet_helpers.progress import bar


class Labeler(ABC):
    """Anything that labels images.

    A labeler has a `name`, a label space `labels`, and the method `probabilities`; `predict`
    does the rest: reading, batching, progress, names.

    Attributes
    ----------
    name : str
    labels : LabelSpace
    """

    name: str
    labels: LabelSpace

    @abstractmethod
    def probabilities(self, images: list[np.ndarray]) -> np.ndarray:
        """Label one batch.

        Parameters
        ----------
        images : list of ndarray, each (height, width, 3), uint8

        Returns
        -------
        ndarray, shape (images, labels), float32
            Each row sums to 1.
        """

    def predict(self, images: Any, *, batch_size: int = 32, progress: bool = False) -> Predictions:
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

        Returns
        -------
        Predictions
            Of one model: `probs` has shape (1, images, labels), float32.

        Raises
        ------
        MeznetError
            If `batch_size` is not positive, or no image can be read.
        """
        if batch_size < 1:
            raise MeznetError(f"batch_size is {batch_size}; it must be 1 or more.")
        images = readable(images)
        starts = range(0, len(images), batch_size)
        parts = [
            self.probabilities(list(images.arrays[start : start + batch_size]))
            for start in (bar(starts, label=self.name, unit="batch") if progress else starts)
        ]
        probs = np.concatenate(parts) if parts else np.zeros((0, len(self.labels)), np.float32)
        return Predictions(probs[None], (self.name,), images.names, self.labels)


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
        warnings.warn(str(error), stacklevel=3)
    return images


def labeler(name: str, *, mode: str | None = None, interpolation: str | None = None) -> Labeler:
    """Make a labeler by name.

    Parameters
    ----------
    name : str
        A backbone of the registry: ``"keras/MobileNetV2@tiny"``. Without ``@tag`` the profile
        chooses the weights.
    mode, interpolation : str, optional
        Put the network under another network's preprocessing. The book does so to show what it
        costs; leave both out to get the right ones.

    Returns
    -------
    Labeler

    Raises
    ------
    MeznetError
        If no labeler has that name, or the mode or interpolation is unknown.

    Examples
    --------
    >>> net = labeler("keras/MobileNetV2@tiny")
    >>> net.predict([np.zeros((64, 64, 3), np.uint8)]).probs.shape
    (1, 1, 200)
    """
    from meznet_helpers.backbones import INTERPOLATIONS, MODES
    from meznet_helpers.labelers.keras import KerasLabeler

    changes = {"mode": mode, "interpolation": interpolation}
    changes = {key: value for key, value in changes.items() if value is not None}
    for key, known in (("mode", MODES), ("interpolation", INTERPOLATIONS)):
        if key in changes and changes[key] not in known:
            raise MeznetError(f'{key} is "{changes[key]}"; choose from {", ".join(known)}.')
    return KerasLabeler(dataclasses.replace(backbone(name), **changes))
