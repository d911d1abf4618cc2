"""Combine the predictions of several nets into one, with equal weights or by their record.

Every method takes the probabilities of all nets, shape (models, images, labels), and returns those
of the ensemble: float32, shape (images, labels), each row with the sum 1.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from meznet_helpers.errors import MeznetError, did_you_mean
from meznet_helpers.measure import FLOOR, check_truth, hits, of_truth, rank_of_truth
from meznet_helpers.predictions import Predictions, float_array, top_indices

if TYPE_CHECKING:
    import pandas as pd


TIE = np.float32(1e-3)  #: What the mean probability adds to votes that sum to 1.


def soft(probs: np.ndarray, weights: ArrayLike | None = None) -> np.ndarray:
    """Average the probabilities.

    Parameters
    ----------
    probs : ndarray of float, shape (models, images, labels)
    weights : array of float, shape (models,) or (models, labels), optional
        How much each net counts (for each label), scaled to the sum 1. None: all the same.

    Returns
    -------
    ndarray of float32, shape (images, labels)

    Raises
    ------
    MeznetError
        If `probs` has not three axes, or the weights have the wrong shape, are 0 for all nets,
        negative, NaN or infinite.

    Notes
    -----
    The linear opinion pool: M. Stone, The opinion pool, Annals of Mathematical Statistics 32
    (1961) 1339-1342.

    Examples
    --------
    >>> probs = np.array([[[0.5, 0.5]], [[0.0, 1.0]]])
    >>> soft(probs).tolist(), soft(probs, weights=[1, 0]).tolist()
    ([[0.25, 0.75]], [[0.5, 0.5]])
    """
    return to_one(_weighted(three_axes(probs), weights), axis=1)


def hard(probs: np.ndarray, weights: ArrayLike | None = None, k: int = 1) -> np.ndarray:
    """Count votes: each net votes for its first `k` labels.

    Parameters
    ----------
    probs, weights
        As in `soft`.
    k : int
        How many labels a net votes for, from 1 on. Equal scores count in label order.

    Returns
    -------
    ndarray of float32, shape (images, labels)
        Shares of the votes, plus `TIE`, a thousandth, times the mean probability (`soft` with the
        same weights): of labels with equal votes the one with the larger mean wins.

    Raises
    ------
    MeznetError
        As `soft`, or if `k` is no whole number from 1 on.

    Notes
    -----
    L. K. Hansen and P. Salamon, Neural network ensembles, IEEE Transactions on Pattern Analysis
    and Machine Intelligence 12 (1990) 993-1001. With `k` above 1: S. J. Brams and P. C. Fishburn,
    Approval voting, American Political Science Review 72 (1978) 831-847.

    Examples
    --------
    >>> hard(np.array([[[0.6, 0.4, 0]], [[0.2, 0.8, 0]]])).round(4).tolist()
    [[0.4999..., 0.5001..., 0.0]]
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise MeznetError(f"k must be a whole number from 1 on, not {k!r}.")
    probs = three_axes(probs)
    votes = _points(probs, np.ones(min(k, probs.shape[2])), weights)
    votes += TIE * votes.sum(axis=1, keepdims=True) * soft(probs, weights)
    return to_one(votes, axis=1)


def geometric(probs: np.ndarray, weights: ArrayLike | None = None) -> np.ndarray:
    """Average the logarithms of the probabilities: a label needs the support of every net.

    Parameters
    ----------
    probs, weights
        As in `soft`. A probability below `meznet_helpers.measure.FLOOR`, about 3e-8, counts as
        that, so that no net can rule out a label alone.

    Returns
    -------
    ndarray of float32, shape (images, labels)

    Raises
    ------
    MeznetError
        As `soft`.

    Notes
    -----
    The logarithmic opinion pool: C. Genest and J. V. Zidek, Combining probability distributions,
    Statistical Science 1 (1986) 114-135; a product of experts: G. E. Hinton, Training products of
    experts by minimizing contrastive divergence, Neural Computation 14 (2002) 1771-1800.

    Examples
    --------
    >>> geometric(np.array([[[0.5, 0.5]], [[0.1, 0.9]]])).tolist()
    [[0.25..., 0.75...]]
    """
    logs = np.log(np.maximum(three_axes(probs), FLOOR))
    return to_one(np.exp(_weighted(logs, weights)), axis=1)


def median(probs: np.ndarray) -> np.ndarray:
    """Take the median of the probabilities, and scale each row to the sum 1.

    Parameters
    ----------
    probs : ndarray of float, shape (models, images, labels)

    Returns
    -------
    ndarray of float32, shape (images, labels)
        An image whose medians are all 0 gets the mean instead.

    Raises
    ------
    MeznetError
        If `probs` has not three axes.

    Notes
    -----
    The median rule of J. Kittler, M. Hatef, R. P. W. Duin and J. Matas, On combining classifiers,
    IEEE Transactions on Pattern Analysis and Machine Intelligence 20 (1998) 226-239.

    Examples
    --------
    >>> median(np.array([[[0.5, 0.5]], [[0.25, 0.75]], [[1.0, 0.0]]])).tolist()
    [[0.5, 0.5]]
    """
    probs = three_axes(probs)
    middle = np.median(probs, axis=0)
    none = ~middle.any(axis=1)
    middle[none] = probs[:, none].mean(axis=0)
    return to_one(middle, axis=1)


def borda(probs: np.ndarray, weights: ArrayLike | None = None) -> np.ndarray:
    """Give points by rank: a net's last label gets 1, and each better one gets 1 more.

    Parameters
    ----------
    probs, weights
        As in `soft`. Of a net's scores only the order counts; equal ones count in label order.

    Returns
    -------
    ndarray of float32, shape (images, labels)

    Raises
    ------
    MeznetError
        As `soft`.

    Notes
    -----
    J.-C. de Borda, Mémoire sur les élections au scrutin, Histoire de l'Académie royale des
    sciences (1781).

    Examples
    --------
    >>> (6 * borda(np.array([[[0.1, 0.7, 0.2]]]))).round().tolist()
    [[1.0, 3.0, 2.0]]
    """
    probs = three_axes(probs)
    return to_one(_points(probs, np.arange(probs.shape[2], 0, -1), weights), axis=1)


def reciprocal_rank(probs: np.ndarray, weights: ArrayLike | None = None) -> np.ndarray:
    """Give points by rank: one divided by 60 plus the rank.

    Parameters
    ----------
    probs, weights
        As in `soft`. Of a net's scores only the order counts; equal ones count in label order.

    Returns
    -------
    ndarray of float32, shape (images, labels)

    Raises
    ------
    MeznetError
        As `soft`.

    Notes
    -----
    G. V. Cormack, C. L. A. Clarke and S. Buettcher, Reciprocal rank fusion outperforms Condorcet
    and individual rank learning methods, SIGIR (2009) 758-759, where the 60 comes from.

    Examples
    --------
    >>> (123 * reciprocal_rank(np.array([[[0.3, 0.7]]]))).round().tolist()
    [[61.0, 62.0]]
    """
    probs = three_axes(probs)
    points = 1 / (60 + np.arange(1, probs.shape[2] + 1))
    return to_one(_points(probs, points, weights), axis=1)


#: Name -> method.
METHODS: dict[str, Callable[..., np.ndarray]] = {
    method.__name__: method for method in (soft, hard, geometric, median, borda, reciprocal_rank)
}


def find(method: str) -> Callable[..., np.ndarray]:
    """Return the method of a name."""
    if method not in METHODS:
        known = f"; there are {', '.join(METHODS)}."
        raise MeznetError(f'there is no method "{method}"{did_you_mean(method, METHODS, known)}')
    return METHODS[method]


def combine(
    predictions: Predictions,
    method: str | Callable[..., np.ndarray] = "soft",
    *,
    name: str | None = None,
    **options: object,
) -> Predictions:
    """Combine the nets of some predictions into one.

    Parameters
    ----------
    predictions : Predictions
        Of two nets or more.
    method : str or callable
        A key of `METHODS`, or a function like them, such as a `LogisticStack`.
    name : str, optional
        What to call the ensemble; None: as the method is called.
    **options
        For the method, such as ``weights`` or ``k``.

    Returns
    -------
    Predictions
        Of one model, for the same images and labels.

    Raises
    ------
    MeznetError
        If there is no such method, there are fewer than two nets, or an option is off.

    Examples
    --------
    >>> from meznet_helpers.labels import from_names
    >>> p = Predictions([[[1]], [[1]]], ["a", "b"], ["x.png"], from_names(["cat"]))
    >>> combine(p, weights=[3, 1], name="mostly a")
    Predictions(1 model x 1 image x 1 label: mostly a)
    """
    run = method if callable(method) else find(method)
    if len(predictions.models) < 2:
        raise MeznetError(f"an ensemble needs at least two nets, not {len(predictions.models)}.")
    name = name or getattr(run, "__name__", type(run).__name__)
    probs = run(predictions.probs, **options)
    return Predictions(probs[None], [name], predictions.images, predictions.labels)


def _weighted(scores: np.ndarray, weights: ArrayLike | None) -> np.ndarray:
    """Average over the models."""
    parts = shares(weights, len(scores), scores.shape[2])
    return sum(part * net for part, net in zip(parts, scores, strict=True))


def _points(probs: np.ndarray, points: np.ndarray, weights: ArrayLike | None) -> np.ndarray:
    """Average over the models what each label gets for its rank, the first len(points) ranks."""
    labels, points = probs.shape[2], points.astype(np.float32)
    scores, rows = np.zeros(probs.shape[1:], np.float32), np.arange(probs.shape[1])[:, None]
    for net, part in zip(probs, shares(weights, len(probs), labels), strict=True):
        top = top_indices(net, len(points))
        scores[rows, top] += points * np.broadcast_to(part, labels)[top]
    return scores


def by_size(predictions: Predictions, truth: Sequence[int] | np.ndarray) -> "pd.DataFrame":
    """Measure every soft ensemble that can be made of some nets.

    Parameters
    ----------
    predictions : Predictions
        Of a few nets: with m of them there are 2^m - 1 ensembles.
    truth : array of int, shape (images,)

    Returns
    -------
    DataFrame
        One row per ensemble, small ones first: `nets` (how many), `members` (tuple of str),
        `accuracy`, and `best`, the accuracy of the best single member.

    Examples
    --------
    >>> from meznet_helpers.labels import from_names
    >>> probs = [[[0.9, 0.1], [0.9, 0.1]], [[0.8, 0.2], [0.0, 1.0]]]
    >>> two = Predictions(probs, ["a", "b"], ["x", "y"], from_names(["cat", "dog"]))
    >>> by_size(two, [0, 1])[["nets", "accuracy"]].values.tolist()
    [[1.0, 0.5], [1.0, 1.0], [2.0, 1.0]]
    """
    import pandas as pd

    def accuracy(probs: np.ndarray) -> float:
        return float(hits(rank_of_truth(probs, truth)).mean())

    names, single = predictions.models, [accuracy(probs) for probs in predictions.probs]
    rows = []
    for count in range(1, len(names) + 1):
        for members in itertools.combinations(range(len(names)), count):
            together = accuracy(soft(predictions.probs[list(members)]))
            best = max(single[net] for net in members)
            rows.append([count, tuple(names[net] for net in members), together, best])
    return pd.DataFrame(rows, columns=["nets", "members", "accuracy", "best"])


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


def accuracy_weights(probs: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Weigh nets by the fourth power of their accuracy.

    Parameters
    ----------
    probs : ndarray of float, shape (models, images, labels)
        Predictions for images that are not those to be judged later.
    truth : array of int, shape (images,)

    Returns
    -------
    ndarray of float64, shape (models,)
        They sum to 1; all are equal if no net is ever right.

    Raises
    ------
    MeznetError
        As `truth_probs`.

    Notes
    -----
    J. Large, J. Lines and A. Bagnall, A probabilistic classifier ensemble weighting scheme based
    on cross-validated accuracy estimates, Data Mining and Knowledge Discovery 33 (2019)
    1674-1709; they take the fourth power.

    Examples
    --------
    >>> probs = np.array([[[0.9, 0.1], [0.8, 0.2]], [[0.6, 0.4], [0.3, 0.7]]])
    >>> accuracy_weights(probs, [0, 0]).round(3).tolist()
    [0.941, 0.059]
    """
    return to_one(_right(probs, truth).mean(axis=1) ** 4)


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
    counts = np.stack([np.bincount(truth, net, minlength=labels) for net in right])
    return to_one(counts + 1.0)


def _right(probs: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Say which nets are right about which images, shape (models, images)."""
    truth_probs(probs, truth)  # refuses what does not fit
    return hits(rank_of_truth(probs, truth))
