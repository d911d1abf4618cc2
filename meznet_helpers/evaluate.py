"""How often is the net right, and how sure can one be of that number?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.intervals import bootstrap, wilson
from meznet_helpers.truth import hits, named_ranks, rank_of_truth

if TYPE_CHECKING:
    import pandas as pd

__all__ = (
    "accuracy",
    "bootstrap",
    "class_accuracy",
    "hits",
    "mcnemar",
    "paired_difference",
    "rank_of_truth",
    "wilson",
)


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
    ranks, names = named_ranks(ranks, models)
    ks = [k] if isinstance(k, int | np.integer) else list(k)
    right = np.stack([hits(ranks, one).sum(axis=1) for one in ks], axis=1).ravel()
    model = np.repeat(np.array(names, dtype=object), len(ks))
    first = {"model": model, "k": np.tile(ks, len(names))}
    return _shares(first, np.full(len(right), ranks.shape[1]), right)


def class_accuracy(
    ranks: np.ndarray,
    truth: Sequence[int] | np.ndarray,
    k: int = 1,
    *,
    labels: Sequence[str] | None = None,
) -> "pd.DataFrame":
    """Return one model's top-k accuracy for each true label, with n and Wilson's 95 % intervals.

    Parameters
    ----------
    ranks : ndarray of int, shape (images,)
        From `rank_of_truth`, of one model.
    truth : array of int, shape (images,)
        Index of each image's true label.
    k : int
        How many labels each image may have to be right.
    labels : sequence of str, optional
        Names of all labels, for instance ``predictions.labels.names``; else "0", "1" and so on.

    Returns
    -------
    DataFrame
        One row for each label that some image has, in label order: columns index (int64, the
        label's place in the label space), label, n, hits (int64), accuracy, low, high (float64,
        between 0 and 1).

    Raises
    ------
    MeznetError
        If `ranks` and `truth` are not of one shape (images,), `truth` does not hold indices of
        labels, or `k` is below 1.

    Examples
    --------
    >>> table = class_accuracy(np.array([1, 3, 1]), [0, 0, 2], labels=["cat", "dog", "owl"])
    >>> table[["label", "n", "hits", "accuracy"]].values.tolist()
    [['cat', 2, 1, 0.5], ['owl', 1, 1, 1.0]]
    """
    ranks, truth = np.asarray(ranks), np.asarray(truth)
    if ranks.ndim != 1 or ranks.shape != truth.shape or not ranks.size:
        raise MeznetError(
            "ranks and truth must have the same shape (images,), "
            f"not {ranks.shape} and {truth.shape}."
        )
    if not np.issubdtype(truth.dtype, np.integer) or truth.min() < 0:
        raise MeznetError("truth must hold indices of labels (int, from 0 on).")
    if labels is not None and truth.max() >= len(labels):
        raise MeznetError(f"truth has label {truth.max()}, but {len(labels)} labels are named.")
    n = np.bincount(truth)
    right = np.bincount(truth[hits(ranks, k)], minlength=len(n))
    index = np.flatnonzero(n)
    names = [str(i) if labels is None else labels[i] for i in index]
    return _shares({"index": index, "label": names}, n[index], right[index])


def _shares(first: dict, n: np.ndarray, right: np.ndarray) -> "pd.DataFrame":
    import pandas as pd

    low, high = wilson(right, n)
    last = {"n": n, "hits": right, "accuracy": right / n, "low": low, "high": high}
    return pd.DataFrame(first | last)


def mcnemar(ranks_a: np.ndarray, ranks_b: np.ndarray, k: int = 1) -> float:
    """Test whether two models are equally accurate on the same images.

    Parameters
    ----------
    ranks_a, ranks_b : ndarray of int, shape (images,)
        From `rank_of_truth`, for the same images in the same order.
    k : int
        How many labels each image may have to be right.

    Returns
    -------
    float
        The exact two-sided p value; 1 where both are right on the same images.

    Raises
    ------
    MeznetError
        If the two are not of one shape (images,) or are empty, or `k` is below 1.

    Notes
    -----
    Q. McNemar, Note on the sampling error of the difference between correlated proportions or
    percentages, Psychometrika 12 (1947) 153-157, in its exact form: of the images on which only
    one is right, either model has each with probability 1/2, so their number is binomial; the
    same as ``scipy.stats.binomtest``.

    Examples
    --------
    >>> a, b = np.array([1, 1, 1, 1, 1, 1, 2]), np.array([2, 2, 2, 2, 2, 2, 2])
    >>> mcnemar(a, b)
    0.03125
    """
    from scipy.special import bdtr

    better, worse, _ = _outcomes(ranks_a, ranks_b, k)
    return min(1.0, 2 * float(bdtr(min(better, worse), better + worse, 0.5)))


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
    if n_boot < 1:
        raise MeznetError(f"n_boot must be 1 or more, not {n_boot}.")
    counts = np.array(_outcomes(ranks_a, ranks_b, k))
    n = counts.sum()
    draws = np.random.default_rng(seed).multinomial(n, counts / n, size=n_boot)
    low, high = np.quantile((draws[:, 0] - draws[:, 1]) / n, [0.025, 0.975])
    return float((counts[0] - counts[1]) / n), float(low), float(high)


def _outcomes(ranks_a: np.ndarray, ranks_b: np.ndarray, k: int) -> tuple[int, int, int]:
    """Count the images on which `a` alone is right, `b` alone, and both or neither."""
    ranks_a, ranks_b = np.asarray(ranks_a), np.asarray(ranks_b)
    if ranks_a.ndim != 1 or ranks_a.shape != ranks_b.shape or not ranks_a.size:
        raise MeznetError(
            "ranks_a and ranks_b must have the same shape (images,), "
            f"not {ranks_a.shape} and {ranks_b.shape}."
        )
    right_a, right_b = hits(ranks_a, k), hits(ranks_b, k)
    better, worse = int(np.sum(right_a & ~right_b)), int(np.sum(right_b & ~right_a))
    return better, worse, len(ranks_a) - better - worse
