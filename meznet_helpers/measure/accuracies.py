"""Where does the true label stand in each list of labels, and how often is it among the first?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.labels import as_truth
from meznet_helpers.measure.intervals import proportion

if TYPE_CHECKING:
    import pandas as pd


#: What a smaller probability counts as where its logarithm is taken, about 3e-8: float16, in which
#: tables are stored, makes 0 of it and of all below.
FLOOR = 2.0**-25


def check_truth(
    probs: np.ndarray, truth: Sequence[int] | np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Check that each image has scores and the index of a true label.

    Parameters
    ----------
    probs : ndarray of float, shape (models, images, labels) or (images, labels)
    truth : array of int, shape (images,)
        Index of each image's true label on the last axis of `probs`.

    Returns
    -------
    probs, truth : ndarray
        The same as arrays, `truth` as int64.

    Raises
    ------
    MeznetError
        If the shapes do not fit or an index is not a label.

    Examples
    --------
    >>> check_truth(np.ones((2, 3)), [2, 3])
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: truth must lie between 0 and 2, the last label.
    """
    probs = np.asarray(probs)
    if probs.ndim not in (2, 3):
        raise MeznetError(f"probs must have two or three axes, not {probs.ndim}.")
    return probs, as_truth(truth, *probs.shape[-2:])


def of_truth(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the value of each image's true label.

    Parameters
    ----------
    values : ndarray, shape (models, images, labels) or (images, labels)
    truth : ndarray of int, shape (images,)
        Both from `check_truth`.

    Returns
    -------
    ndarray of float64, shape (models, images) or (images,)

    Examples
    --------
    >>> of_truth(np.array([[0.25, 0.75], [1, 0]]), np.array([1, 0])).tolist()
    [0.75, 1.0]
    """
    return values[..., np.arange(len(truth)), truth].astype(np.float64)


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
    probs, truth = check_truth(probs, truth)
    column = truth[:, None]
    earlier = np.arange(probs.shape[-1]) < column

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


def named_ranks(
    ranks: np.ndarray, models: Sequence[str] | None = None
) -> tuple[np.ndarray, list[str]]:
    """Check the ranks of several models and name the models.

    Parameters
    ----------
    ranks : ndarray of int, shape (models, images)
        From `rank_of_truth`.
    models : sequence of str, optional
        Names; else "0", "1" and so on.

    Returns
    -------
    ranks : ndarray
    models : list of str

    Raises
    ------
    MeznetError
        If `ranks` has not two axes or no images, or the names do not fit.

    Examples
    --------
    >>> named_ranks(np.ones((2, 5), int))[1]
    ['0', '1']
    """
    ranks = np.asarray(ranks)
    if ranks.ndim != 2 or not ranks.shape[1]:
        raise MeznetError(f"ranks must have shape (models, images), not {ranks.shape}.")
    names = [str(i) for i in range(len(ranks))] if models is None else list(models)
    if len(names) != len(ranks):
        raise MeznetError(f"ranks has {len(ranks)} models, but {len(names)} are named.")
    return ranks, names


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

    ranks, names = named_ranks(ranks, models)
    ks = [k] if isinstance(k, int | np.integer) else list(k)
    right = np.stack([hits(ranks, first).sum(axis=1) for first in ks], axis=1).ravel()
    model = np.repeat(np.array(names, dtype=object), len(ks))
    rows = {"model": model, "k": np.tile(ks, len(names))}
    return pd.DataFrame(rows | proportion(right, np.full(len(right), ranks.shape[1])))
