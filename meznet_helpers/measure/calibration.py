"""Can one believe the probabilities themselves?

What gives one value per image takes the probabilities of one model or of several; what sums up
or fits a model takes those of one, shape (images, labels). Bins, calibration error and temperature
are those of C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger, On calibration of modern neural
networks, ICML (2017).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.measure.accuracies import FLOOR, check_truth, of_truth
from meznet_helpers.measure.intervals import proportion

if TYPE_CHECKING:
    import pandas as pd

BINS = 15  # of equal width, from confidence 0 to 1
COLDEST, HOTTEST = 0.05, 20.0  # the temperatures among which `temperature` looks
_OFF = 0.01  # how far a sum of probabilities may lie from 1; float16 is off by 0.001 at most


def log_loss(probs: np.ndarray, truth: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return the log loss of each image; its mean over the images is a model's log loss.

    Parameters
    ----------
    probs : ndarray of float, shape (models, images, labels) or (images, labels)
        Probabilities, for instance ``predictions.probs``.
    truth : array of int, shape (images,)
        Index of each image's true label.

    Returns
    -------
    ndarray of float64, shape (models, images) or (images,)
        Minus the natural logarithm of the true label's probability, or of `FLOOR` if that is
        larger: 17.3 at most.

    Raises
    ------
    MeznetError
        If the shapes do not fit, an index is not a label, or `probs` does not hold probabilities.

    Examples
    --------
    >>> log_loss(np.array([[0.5, 0.5], [0.75, 0.25]]), [0, 1]).mean().round(4)
    np.float64(1.0397)
    """
    probs, truth = _checked(probs, truth)
    return -np.log(np.maximum(of_truth(probs, truth), FLOOR))


def reliability(probs: np.ndarray, truth: Sequence[int] | np.ndarray) -> "pd.DataFrame":
    """Return how often a model is right at each level of confidence.

    Parameters
    ----------
    probs : ndarray of float, shape (images, labels)
        Probabilities by one model.
    truth : array of int, shape (images,)
        Index of each image's true label.

    Returns
    -------
    DataFrame
        One row for each of `BINS` equally wide bins that holds images: columns bin_low, bin_high,
        n, hits (int64), confidence (mean probability of the first label), accuracy (share of images
        where that is the true one), low, high (its Wilson 95 % interval). An edge belongs to the
        lower bin.

    Raises
    ------
    MeznetError
        If the shapes do not fit or there are no images, an index is not a label, or `probs` does
        not hold probabilities.

    Examples
    --------
    >>> probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> table = reliability(probs, [0, 0, 0])
    >>> table[["bin_low", "bin_high", "n", "hits", "accuracy"]].round(2).values.tolist()
    [[0.53, 0.6, 1.0, 1.0, 1.0], [0.73, 0.8, 1.0, 0.0, 0.0], [0.87, 0.93, 1.0, 1.0, 1.0]]
    """
    import pandas as pd

    probs, truth = _checked(probs, truth, one_model=True)
    first = probs.argmax(axis=1)
    confidence = of_truth(probs, first)
    edges = np.linspace(0, 1, BINS + 1)
    place = np.searchsorted(edges[1:-1], confidence)
    full, place, n = np.unique(place, return_inverse=True, return_counts=True)
    right = np.bincount(place[first == truth], minlength=len(n))
    edges = {"bin_low": edges[full], "bin_high": edges[full + 1], "n": n, "hits": right}
    confidence = np.bincount(place, weights=confidence) / n
    return pd.DataFrame(edges | {"confidence": confidence} | proportion(right, n))


def expected_calibration_error(probs: np.ndarray, truth: Sequence[int] | np.ndarray) -> float:
    """Return how far a model's confidence lies from its accuracy, on average.

    Parameters
    ----------
    probs, truth
        As for `reliability`.

    Returns
    -------
    float
        Between 0 and 1: the distance of accuracy and mean confidence in each bin of
        `reliability`, weighted by the bin's images.

    Raises
    ------
    MeznetError
        As for `reliability`.

    Examples
    --------
    >>> probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> round(expected_calibration_error(probs, [0, 0, 0]), 3)
    0.433
    """
    table = reliability(probs, truth)
    gaps = (table["accuracy"] - table["confidence"]).abs()
    return float(np.average(gaps, weights=table["n"]))


def temperature(probs: np.ndarray, truth: Sequence[int] | np.ndarray) -> float:
    """Return the temperature that makes a model's log loss smallest.

    Fit it on images other than those that are then judged.

    Parameters
    ----------
    probs, truth
        As for `reliability`.

    Returns
    -------
    float
        For `temper`: above 1 if the model is too sure of itself, below 1 if not sure enough; from
        `COLDEST` to `HOTTEST`. An image whose true label has probability 0 has it at every
        temperature, and is left out.

    Raises
    ------
    MeznetError
        If the shapes do not fit, an index is not a label, `probs` does not hold probabilities, or
        every true label has probability 0.

    Notes
    -----
    The logarithms of the probabilities differ from the net's outputs by a constant for each image,
    so they do as well. The log loss is convex in 1/T, so it has one minimum.

    scikit-learn's ``CalibratedClassifierCV(method="temperature")`` does not stand here: it returns
    tempered probabilities, and the temperature is in a private class; and since it can't leave out
    an image whose true label has probability 0, its temperatures are others (for the book's
    EfficientNetV2B0 1.070 in place of 1.056).

    Examples
    --------
    >>> probs = np.repeat([[0.9, 0.1]], 4, axis=0)  # sure, but right in three of four
    >>> round(temperature(probs, [0, 0, 0, 1]), 2)
    2.0
    """
    from scipy.optimize import minimize_scalar

    probs, truth = _checked(probs, truth, one_model=True)
    logs = _logs(probs)
    true = of_truth(logs, truth)
    there = np.isfinite(true)
    if not there.any():
        raise MeznetError("probs gives every true label 0, so no temperature is better.")
    logs, true = logs[there], true[there].mean()
    buffer = np.empty_like(logs)

    def loss(log_t: float) -> float:
        t = float(np.exp(log_t))
        np.exp(np.divide(logs, t, out=buffer), out=buffer)
        return np.log(buffer.sum(axis=1)).mean(dtype=np.float64) - true / t

    bounds = np.log([COLDEST, HOTTEST])
    best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return float(np.exp(best.x))


def temper(probs: np.ndarray, t: float) -> np.ndarray:
    """Make probabilities less sure (`t` above 1) or surer (`t` below 1).

    Parameters
    ----------
    probs : ndarray of float, shape (models, images, labels) or (images, labels)
    t : float
        From 0.01 to 100, for instance from `temperature`.

    Returns
    -------
    ndarray of float32, same shape
        The softmax of ``log(probs) / t``: sums to 1 for each image, in float32; 0 stays 0.

    Raises
    ------
    MeznetError
        If `probs` does not hold probabilities or `t` is out of range.

    Examples
    --------
    >>> temper(np.array([[0.9, 0.1, 0.0]]), 2).round(4).tolist()
    [[0.75, 0.25, 0.0]]
    """
    if not 0.01 <= t <= 100:
        raise MeznetError(f"t must lie between 0.01 and 100, not {t}.")
    out = _logs(_probabilities(np.asarray(probs)))
    out /= np.float32(t)
    np.exp(out, out=out)
    out /= out.sum(axis=-1, keepdims=True)
    return out


def _logs(probs: np.ndarray) -> np.ndarray:
    """Return logarithms, float32, with 0 for each image's largest; those of 0 are -inf."""
    with np.errstate(divide="ignore"):
        logs = np.log(probs, dtype=np.float32)
    logs -= logs.max(axis=-1, keepdims=True)
    return logs


def _probabilities(probs: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):
        sums = probs.sum(axis=-1, dtype=np.float32)  # NaN and infinity show in the sum
    if not (np.abs(sums - 1) <= _OFF).all() or (probs.size and probs.min() < 0):
        raise MeznetError("probs must be 0 or more and sum to 1 for each image.")
    return probs


def _checked(
    probs: np.ndarray, truth: Sequence[int] | np.ndarray, *, one_model: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    probs, truth = check_truth(probs, truth)
    if one_model and (probs.ndim != 2 or not truth.size):
        raise MeznetError(f"probs must have shape (images, labels), not {probs.shape}.")
    return _probabilities(probs), truth
