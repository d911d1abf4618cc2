"""What is known of labelers' scores: how far to trust them, and when to give no label.

``data/calibration`` keeps, for each labeler, a temperature and the scores of photographs whose
labels are known; its page says which photographs, and what came of it on others.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from meznet_helpers import stored
from meznet_helpers.assets import store
from meznet_helpers.measure import none_threshold, set_threshold


@dataclass(frozen=True)
class Calibration:
    """What was learned about a labeler's scores from photographs whose labels are known.

    Attributes
    ----------
    temperature : float
        For `meznet_helpers.measure.temper`.
    photographs : str
        What it was learned from. What follows from it is true of photographs like these.
    labels : str
        Name of the label space; with other labels it is not true.
    n : int
        How many they were.
    first, right : ndarray of float32, shape (n,)
        The tempered probabilities of each photograph's first label, and of its right one.
    """

    temperature: float
    photographs: str
    labels: str
    n: int
    first: np.ndarray
    right: np.ndarray

    def none_below(self, risk: float) -> float:
        """Return the score below which to say none of these; see `measure.none_threshold`."""
        return none_threshold(self.first, risk)

    def in_set_from(self, coverage: float) -> float:
        """Return the score from which on labels are in the set; see `measure.set_threshold`."""
        return set_threshold(self.right, coverage)


def find(name: str, labels: str) -> Calibration | None:
    """Return what is known of a labeler's scores.

    Parameters
    ----------
    name : str
        A labeler's; for EfficientNet-Lite, one net in two frameworks, its asset's.
    labels : str
        Name of its label space.

    Returns
    -------
    Calibration or None
        None if nothing is known.

    Examples
    --------
    >>> find("efficientnet-lite0", "imagenet").temperature < 1  # it is less sure than it may be
    True
    >>> find("keras/ResNet50@imagenet", "imagenet") is None
    True
    """
    known = _all().get(name)
    return known if known is not None and known.labels == labels else None


@functools.cache
def facts() -> dict[str, dict[str, Any]]:
    """Return what the card says of each labeler, by the names that `find` takes.

    Returns
    -------
    dict of str to dict
        As ``data/calibration/make_calibration.py`` writes them. Of published nets `top1` and `top5`
        of `n_all` photographs, with 95 % Wilson intervals (`top1_low`, `top1_high`). Callers share
        it: copy it before changing it.

    Examples
    --------
    >>> facts()["efficientnet-lite0"]["n_all"]
    2204
    """
    path = store.resolve("calibration/calibration.json")
    return stored.read_json(path, "no calibration of labelers")


@functools.cache
def _all() -> dict[str, Calibration]:
    """Read all of them."""
    from safetensors.numpy import load_file

    scores = load_file(store.resolve("calibration/scores.safetensors"))
    return {
        name: Calibration(
            fact["temperature"],
            fact["photographs"],
            fact["labels"],
            fact["n"],
            *(scores[f"{name} {kind}"].astype(np.float32) for kind in ("first", "right")),
        )
        for name, fact in facts().items()
    }
