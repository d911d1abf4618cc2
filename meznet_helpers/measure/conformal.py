"""Sets of labels that hold the right one as often as promised, and when to give no label at all.

Both are thresholds on probabilities, taken from images whose labels are known. What they promise
holds for images like those, on average, and for no others.
"""

import math

import numpy as np

from meznet_helpers.errors import MeznetError


def set_threshold(true: np.ndarray, coverage: float) -> float:
    """Return the probability from which on labels belong to a prediction set.

    Parameters
    ----------
    true : ndarray of float, shape (images,)
        The probability that each image's right label got.
    coverage : float
        The share of images whose set shall hold the right label, between 0 and 1.

    Returns
    -------
    float
        0, with which every set holds all labels, if there are too few images for that coverage.

    Raises
    ------
    MeznetError
        If `coverage` does not lie between 0 and 1, or there are no images.

    Notes
    -----
    Least ambiguous set-valued classifiers: M. Sadinle, J. Lei and L. Wasserman, Journal of the
    American Statistical Association 114 (2019), made exact for finite samples as in split conformal
    prediction: of n probabilities, the k-th smallest with k = floor((n + 1)(1 - coverage)).

    Examples
    --------
    >>> set_threshold(np.array([0.9, 0.2, 0.6, 0.5]), 0.75)
    0.2
    >>> set_threshold(np.array([0.9, 0.2, 0.6, 0.5]), 0.9)
    0.0
    """
    return _smallest(true, "coverage", coverage, 1 - coverage)


def none_threshold(first: np.ndarray, risk: float) -> float:
    """Return the probability below which the first label is not given.

    Parameters
    ----------
    first : ndarray of float, shape (images,)
        The largest probability of each image, of images that do show one of the labels.
    risk : float
        The share of such images that may be left without a label, between 0 and 1.

    Returns
    -------
    float
        0, with which none is left without, if there are too few images for that risk.

    Raises
    ------
    MeznetError
        If `risk` does not lie between 0 and 1, or there are no images.

    Examples
    --------
    >>> none_threshold(np.array([0.9, 0.2, 0.6, 0.5]), 0.25)
    0.2
    """
    return _smallest(first, "risk", risk, risk)


def _smallest(values: np.ndarray, name: str, given: float, share: float) -> float:
    """Return the value that a new one falls below with a chance of `share` at most."""
    if not 0 < given < 1:
        raise MeznetError(f"{name} is {given}; it must lie between 0 and 1.")
    values = np.sort(np.asarray(values).ravel())
    if not values.size:
        raise MeznetError("a threshold needs images whose labels are known.")
    k = math.floor((values.size + 1) * share + 1e-9)
    return float(values[k - 1]) if k else 0.0


def prediction_sets(probs: np.ndarray, threshold: float) -> np.ndarray:
    """Return which labels belong to the set of each image.

    Parameters
    ----------
    probs : ndarray of float, shape (..., labels)
    threshold : float
        From `set_threshold`.

    Returns
    -------
    ndarray of bool, same shape
        A set may be empty: then no label is likely enough.

    Examples
    --------
    >>> prediction_sets(np.array([[0.5, 0.3, 0.2], [0.9, 0.1, 0.0]]), 0.2).tolist()
    [[True, True, True], [True, False, False]]
    """
    return np.asarray(probs) >= threshold
