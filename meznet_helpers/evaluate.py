"""How often is the net right, and how sure can one be of that number?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from meznet_helpers.errors import MeznetError

if TYPE_CHECKING:
    import pandas as pd

_Z95 = 1.959963984540054  # the normal distribution's 97.5 % quantile


def rank_of_truth(probs: np.ndarray, truth: Sequence[int] | np.ndarray) -> np.ndarray:
    """Return the rank of the true label in each list of labels, 1 for the top.

    Parameters
    ----------
    probs : ndarray of float, shape (models, images, labels) or (images, labels)
        Scores, for instance ``predictions.probs``.
    truth : array of int, shape (images,)
        Index of each image's true label on the last axis of `probs`.

    Returns
    -------
    ndarray of int64, shape (models, images) or (images,)
        Equal scores count in label order, so a rank is the very rank that `Predictions.top`
        shows: a label with the same score counts as before the true one if it comes first in the
        label space.

    Raises
    ------
    MeznetError
        If the shapes do not fit or an index is not a label.

    Examples
    --------
    >>> rank_of_truth(np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]]), [2, 1]).tolist()
    [2, 2]
    """
    probs, truth = np.asarray(probs), np.asarray(truth)
    if probs.ndim not in (2, 3):
        raise MeznetError(f"probs must have two or three axes, not {probs.ndim}.")
    images, labels = probs.shape[-2:]
    if truth.shape != (images,):
        raise MeznetError(f"truth must have shape ({images},), one per image, not {truth.shape}.")
    if truth.size == 0:
        return np.zeros(probs.shape[:-1], dtype=np.int64)
    if not np.issubdtype(truth.dtype, np.integer):
        raise MeznetError(f"truth must hold indices of labels (int), not {truth.dtype}.")
    if truth.min() < 0 or truth.max() >= labels:
        raise MeznetError(f"truth must lie between 0 and {labels - 1}, the last label.")
    column = truth[:, None]
    earlier = np.arange(labels) < column

    def ranks(scores: np.ndarray) -> np.ndarray:
        true = np.take_along_axis(scores, column, axis=1)
        return 1 + np.count_nonzero((scores > true) | ((scores == true) & earlier), axis=1)

    if probs.ndim == 2:
        return ranks(probs)
    out = np.empty(probs.shape[:2], dtype=np.int64)
    for model, scores in enumerate(probs):  # one model at a time: no large intermediate arrays
        out[model] = ranks(scores)
    return out


def hits(ranks: np.ndarray, k: int = 1) -> np.ndarray:
    """Say which images have their true label among the first `k`.

    Parameters
    ----------
    ranks : ndarray of int, any shape
        From `rank_of_truth`.
    k : int
        From 1 on.

    Returns
    -------
    ndarray of bool, same shape

    Raises
    ------
    MeznetError
        If `k` is below 1.

    Examples
    --------
    >>> hits(np.array([1, 7, 3]), k=5).tolist()
    [True, False, True]
    """
    if k < 1:
        raise MeznetError(f"k must be 1 or more, not {k}.")
    return np.asarray(ranks) <= k


def wilson(successes: np.ndarray | int, n: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    """Return Wilson's 95 % interval of a proportion.

    Parameters
    ----------
    successes, n : int or ndarray of int
        Hits and trials; `n` is 1 or more.

    Returns
    -------
    low, high : ndarray of float64

    Notes
    -----
    E. B. Wilson, Probable inference, the law of succession, and statistical inference, Journal of
    the American Statistical Association 22 (1927) 209-212; without continuity correction, the
    same as ``scipy.stats.binomtest(...).proportion_ci(method="wilson")``.

    Examples
    --------
    >>> low, high = wilson(45, 100)
    >>> f"{low:.3f} to {high:.3f}"
    '0.356 to 0.548'
    """
    successes, n = np.asarray(successes, dtype=float), np.asarray(n, dtype=float)
    share, z2 = successes / n, _Z95**2
    center = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 * np.sqrt(share * (1 - share) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    low = np.where(successes == 0, 0.0, center - half)
    return low, np.where(successes == n, 1.0, center + half)


def accuracy(
    ranks: np.ndarray, k: int | Sequence[int] = (1, 5), *, models: Sequence[str] | None = None
) -> "pd.DataFrame":
    """Return top-k accuracies with n and Wilson's 95 % intervals.

    Parameters
    ----------
    ranks : ndarray of int, shape (models, images)
        From `rank_of_truth`.
    k : int or sequence of int
        How many labels each image may have to be right.
    models : sequence of str, optional
        Names, for instance ``predictions.models``; else "0", "1" and so on.

    Returns
    -------
    DataFrame
        One row for each model and k: columns model, k, n, hits (int64), accuracy, low, high
        (float64, between 0 and 1).

    Raises
    ------
    MeznetError
        If `ranks` has not two axes or no images, the names do not fit, or a k is below 1.

    Examples
    --------
    >>> table = accuracy(np.array([[1, 3, 9, 1]]), k=(1, 5), models=["net"])
    >>> table[["model", "k", "n", "hits", "accuracy"]].values.tolist()
    [['net', 1, 4, 2, 0.5], ['net', 5, 4, 3, 0.75]]
    """
    import pandas as pd

    ranks = np.asarray(ranks)
    if ranks.ndim != 2 or not ranks.shape[1]:
        raise MeznetError(f"ranks must have shape (models, images), not {ranks.shape}.")
    count, n = ranks.shape
    names = [str(i) for i in range(count)] if models is None else list(models)
    if len(names) != count:
        raise MeznetError(f"ranks has {count} models, but {len(names)} are named.")
    ks = [k] if isinstance(k, int | np.integer) else list(k)
    right = np.stack([hits(ranks, one).sum(axis=1) for one in ks], axis=1).ravel()
    low, high = wilson(right, n)
    return pd.DataFrame(
        {
            "model": np.repeat(np.array(names, dtype=object), len(ks)),
            "k": np.tile(ks, count),
            "n": n,
            "hits": right,
            "accuracy": right / n,
            "low": low,
            "high": high,
        }
    )


def paired_difference(
    ranks_a: np.ndarray, ranks_b: np.ndarray, k: int = 1, *, seed: int = 0, n_boot: int = 2000
) -> tuple[float, float, float]:
    """Return how much more accurate `a` is than `b` on the same images, with a 95 % interval.

    Two nets err on the same hard images, so their difference is surer than two separate
    intervals suggest; resampling whole images keeps that.

    Parameters
    ----------
    ranks_a, ranks_b : ndarray of int, shape (images,)
        From `rank_of_truth`, for the same images in the same order.
    k : int
        How many labels each image may have to be right.
    seed : int
        Seed of the bootstrap.
    n_boot : int
        Number of bootstrap samples.

    Returns
    -------
    difference, low, high : float
        Accuracy of `a` minus accuracy of `b`, between -1 and 1, and the percentile interval.

    Raises
    ------
    MeznetError
        If the two are not of one shape (images,) or are empty.

    Notes
    -----
    The percentile bootstrap of B. Efron and R. Tibshirani, An Introduction to the Bootstrap
    (1993), chapter 13. An image counts +1, 0 or -1, so a resample of images is a draw of three
    counts from a multinomial distribution; that is exact, and quick for 10,000 images.

    Examples
    --------
    >>> a, b = np.array([1, 1, 1, 2]), np.array([1, 2, 3, 1])
    >>> paired_difference(a, b)[0]
    0.25
    """
    ranks_a, ranks_b = np.asarray(ranks_a), np.asarray(ranks_b)
    if ranks_a.ndim != 1 or ranks_a.shape != ranks_b.shape or not ranks_a.size:
        raise MeznetError(
            "ranks_a and ranks_b must have the same shape (images,), "
            f"not {ranks_a.shape} and {ranks_b.shape}."
        )
    if n_boot < 1:
        raise MeznetError(f"n_boot must be 1 or more, not {n_boot}.")
    right_a, right_b = hits(ranks_a, k), hits(ranks_b, k)
    n = len(ranks_a)
    better, worse = int(np.sum(right_a & ~right_b)), int(np.sum(right_b & ~right_a))
    shares = np.array([better, worse, n - better - worse]) / n
    draws = np.random.default_rng(seed).multinomial(n, shares, size=n_boot)
    low, high = np.quantile((draws[:, 0] - draws[:, 1]) / n, [0.025, 0.975])
    return (better - worse) / n, float(low), float(high)
