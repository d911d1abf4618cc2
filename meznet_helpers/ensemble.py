"""Combine the predictions of several nets into one.

Every method takes the probabilities of all nets, shape (models, images, labels), and returns those
of the ensemble: float32, shape (images, labels), each row with the sum 1.
"""

import difflib
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from meznet_helpers.errors import MeznetError
from meznet_helpers.predictions import Predictions
from meznet_helpers.ranking import top_indices
from meznet_helpers.truth import FLOOR
from meznet_helpers.weights import shares, three_axes, to_one

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
        As in `soft`. A probability below `meznet_helpers.truth.FLOOR`, about 3e-8, counts as
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


def reciprocal_rank(
    probs: np.ndarray, weights: ArrayLike | None = None, constant: float = 60
) -> np.ndarray:
    """Give points by rank: one divided by a constant plus the rank.

    Parameters
    ----------
    probs, weights
        As in `soft`. Of a net's scores only the order counts; equal ones count in label order.
    constant : float
        From 0 on. The larger, the less the first ranks stand out.

    Returns
    -------
    ndarray of float32, shape (images, labels)

    Raises
    ------
    MeznetError
        As `soft`, or if `constant` is negative.

    Notes
    -----
    G. V. Cormack, C. L. A. Clarke and S. Buettcher, Reciprocal rank fusion outperforms Condorcet
    and individual rank learning methods, SIGIR (2009) 758-759.

    Examples
    --------
    >>> (1.5 * reciprocal_rank(np.array([[[0.3, 0.7]]]), constant=0)).tolist()
    [[0.5, 1.0]]
    """
    if not 0 <= constant < np.inf:
        raise MeznetError(f"constant must be 0 or more, not {constant}.")
    probs = three_axes(probs)
    points = 1 / (constant + np.arange(1, probs.shape[2] + 1))
    return to_one(_points(probs, points, weights), axis=1)


#: Name -> method.
METHODS: dict[str, Callable[..., np.ndarray]] = {
    method.__name__: method for method in (soft, hard, geometric, median, borda, reciprocal_rank)
}


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
        For the method, such as ``weights``, ``k`` or ``constant``.

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
    if not callable(method) and method not in METHODS:
        near = difflib.get_close_matches(str(method), METHODS, n=1, cutoff=0)[0]
        raise MeznetError(f'no method "{method}"; nearest is "{near}", of {", ".join(METHODS)}.')
    if len(predictions.models) < 2:
        raise MeznetError(f"an ensemble needs at least two nets, not {len(predictions.models)}.")
    run = method if callable(method) else METHODS[method]
    name = name or getattr(run, "__name__", type(run).__name__)
    probs = run(predictions.probs, **options)
    return Predictions(probs[None], [name], predictions.images, predictions.labels)


def _weighted(scores: np.ndarray, weights: ArrayLike | None) -> np.ndarray:
    """Average over the models."""
    parts = shares(weights, len(scores), scores.shape[2])
    return sum(part * each for part, each in zip(parts, scores, strict=True))


def _points(probs: np.ndarray, points: np.ndarray, weights: ArrayLike | None) -> np.ndarray:
    """Average over the models what each label gets for its rank, the first len(points) ranks."""
    labels, points = probs.shape[2], points.astype(np.float32)
    scores, rows = np.zeros(probs.shape[1:], np.float32), np.arange(probs.shape[1])[:, None]
    for each, part in zip(probs, shares(weights, len(probs), labels), strict=True):
        top = top_indices(each, len(points))
        scores[rows, top] += points * np.broadcast_to(part, labels)[top]
    return scores
