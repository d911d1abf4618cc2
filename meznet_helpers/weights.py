"""How much each net counts in an ensemble: weights by its record on images with known labels."""

import numpy as np
from numpy.typing import ArrayLike

from meznet_helpers.axes import float_array
from meznet_helpers.errors import MeznetError
from meznet_helpers.truth import FLOOR, check_truth, hits, of_truth, rank_of_truth


def three_axes(probs: ArrayLike) -> np.ndarray:
    """Return the probabilities of nets as float32, copied only where they are not so already.

    Parameters
    ----------
    probs : array-like of numbers, shape (models, images, labels)

    Returns
    -------
    ndarray of float32, shape (models, images, labels)

    Raises
    ------
    MeznetError
        If there are not three axes, or there is no net.

    Examples
    --------
    >>> three_axes([[0.4, 0.6]])
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: probs must have shape (models, images, labels), ...
    """
    probs = float_array(probs)
    if probs.ndim != 3 or not len(probs):
        raise MeznetError(
            f"probs must have shape (models, images, labels), with some net, not {probs.shape}."
        )
    return probs


def shares(weights: ArrayLike | None, models: int, labels: int) -> np.ndarray:
    """Check weights and scale them to sum to 1 over the nets.

    Parameters
    ----------
    weights : array of float, shape (models,) or (models, labels), or None
        None: all nets count the same.
    models, labels : int

    Returns
    -------
    ndarray of float32, shape (models, 1) or (models, labels)

    Raises
    ------
    MeznetError
        If the shape is wrong, a weight is negative, NaN or infinite, or all nets have 0.

    Examples
    --------
    >>> shares([1, 3], models=2, labels=5).tolist()
    [[0.25], [0.75]]
    """
    given = np.ones(models) if weights is None else np.asarray(weights, dtype=float)
    if given.shape not in ((models,), (models, labels)):
        raise MeznetError(
            f"weights must have shape ({models},), one per net, or ({models}, {labels}), "
            f"one per net and label; not {given.shape}."
        )
    if not (np.isfinite(given).all() and (given >= 0).all()):
        raise MeznetError("weights must be 0 or more, neither NaN nor infinite.")
    given = given.reshape(models, -1)
    sums = given.sum(axis=0)
    if not sums.all():
        where = f" for label {int(np.argmin(sums))}" if given.shape[1] > 1 else ""
        raise MeznetError(f"weights must be above 0 for some net, but all are 0{where}.")
    return (given / sums).astype(np.float32)


def to_one(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Scale values to the sum 1 along an axis; where all are 0, make them equal.

    Parameters
    ----------
    values : ndarray of float, none negative
    axis : int

    Returns
    -------
    ndarray, same shape and dtype

    Examples
    --------
    >>> to_one(np.array([[1.0, 3.0], [0.0, 0.0]]), axis=1).tolist()
    [[0.25, 0.75], [0.5, 0.5]]
    """
    sums = values.sum(axis=axis, keepdims=True)
    if not sums.all():  # a mask for every division would take longer than the division
        values, sums = np.where(sums == 0, 1, values), np.where(sums == 0, values.shape[axis], sums)
    return (values / sums).astype(values.dtype, copy=False)


def truth_probs(probs: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the probability that each net gives to the true label of each image.

    Parameters
    ----------
    probs : ndarray of float, shape (models, images, labels)
    truth : array of int, shape (images,)
        Index of each image's true label.

    Returns
    -------
    ndarray of float64, shape (models, images)
        At least `FLOOR`.

    Raises
    ------
    MeznetError
        If the shapes do not fit, an index is not a label, or there are no images.

    Examples
    --------
    >>> truth_probs(np.array([[[0.25, 0.75], [0.5, 0.5]]]), [1, 0]).tolist()
    [[0.75, 0.5]]
    """
    probs, truth = check_truth(three_axes(probs), truth)
    if not truth.size:
        raise MeznetError("truth is empty; weights need images with known labels.")
    return np.maximum(of_truth(probs, truth), FLOOR)


def accuracy_weights(probs: np.ndarray, truth: np.ndarray, power: float = 4) -> np.ndarray:
    """Weigh nets by a power of their accuracy.

    Parameters
    ----------
    probs : ndarray of float, shape (models, images, labels)
        Predictions for images that are not those to be judged later.
    truth : array of int, shape (images,)
    power : float
        From 0 on. The larger, the more the better nets count; 0: all count the same.

    Returns
    -------
    ndarray of float64, shape (models,)
        They sum to 1; all are equal if no net is ever right.

    Raises
    ------
    MeznetError
        As `truth_probs`, or if `power` is negative.

    Notes
    -----
    J. Large, J. Lines and A. Bagnall, A probabilistic classifier ensemble weighting scheme based
    on cross-validated accuracy estimates, Data Mining and Knowledge Discovery 33 (2019)
    1674-1709; they take the fourth power.

    Examples
    --------
    >>> probs = np.array([[[0.9, 0.1], [0.8, 0.2]], [[0.6, 0.4], [0.3, 0.7]]])
    >>> accuracy_weights(probs, [0, 0], power=1).round(3).tolist()
    [0.667, 0.333]
    """
    if not 0 <= power < np.inf:
        raise MeznetError(f"power must be 0 or more, not {power}.")
    return to_one(_right(probs, truth).mean(axis=1) ** power)


def information_weights(probs: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Weigh nets by what they know: the nats they save over equal probabilities.

    A net's information is the logarithm of the number of labels, which is the log loss of equal
    probabilities, less its own log loss; 0 if it does worse than equal probabilities.

    Parameters
    ----------
    probs : ndarray of float, shape (models, images, labels)
        Predictions for images that are not those to be judged later. A probability below `FLOOR`
        counts as `FLOOR`.
    truth : array of int, shape (images,)

    Returns
    -------
    ndarray of float64, shape (models,)
        They sum to 1; all are equal if no net knows anything.

    Raises
    ------
    MeznetError
        As `truth_probs`.

    Notes
    -----
    I. J. Good, Rational decisions, Journal of the Royal Statistical Society B 14 (1952) 107-114.

    Examples
    --------
    >>> probs = np.array([[[1, 0, 0, 0]], [[0.5, 0.5, 0, 0]], [[0.1, 0.9, 0, 0]]])
    >>> information_weights(probs, [0]).round(3).tolist()
    [0.667, 0.333, 0.0]
    """
    loss = -np.log(truth_probs(probs, truth)).mean(axis=1)
    return to_one(np.maximum(np.log(np.shape(probs)[2]) - loss, 0))


def class_weights(probs: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Weigh nets label by label, by their accuracy on the images of that label.

    Parameters
    ----------
    probs : ndarray of float, shape (models, images, labels)
        Predictions for images that are not those to be judged later.
    truth : array of int, shape (images,)

    Returns
    -------
    ndarray of float64, shape (models, labels)
        They sum to 1 over the nets. The accuracy is (hits + 1) / (images + 2), so that none is 0
        and a label without images gets equal weights; what it is divided by cancels out.

    Raises
    ------
    MeznetError
        As `truth_probs`.

    Notes
    -----
    The added one is P.-S. Laplace's rule of succession, Essai philosophique sur les probabilités
    (1814). What a net says weighs by label in L. Xu, A. Krzyzak and C. Y. Suen, Methods of
    combining multiple classifiers and their applications to handwriting recognition, IEEE
    Transactions on Systems, Man, and Cybernetics 22 (1992) 418-435.

    Examples
    --------
    >>> probs = np.array([[[0.9, 0.1], [0.8, 0.2]], [[0.6, 0.4], [0.3, 0.7]]])
    >>> class_weights(probs, [0, 0]).round(2).tolist()
    [[0.6, 0.5], [0.4, 0.5]]
    """
    right, labels = _right(probs, truth), np.shape(probs)[2]
    found = np.stack([np.bincount(truth, each, minlength=labels) for each in right])
    return to_one(found + 1.0)


def _right(probs: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Say which nets are right about which images, shape (models, images)."""
    truth_probs(probs, truth)  # refuses what does not fit
    return hits(rank_of_truth(probs, truth))
