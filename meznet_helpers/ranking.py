"""The largest few of many scores, in a stable order."""

import numpy as np


def top_indices(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the indices of the `k` largest values along the last axis, the largest first.

    Parameters
    ----------
    scores : ndarray, shape (..., n)
        Without NaN.
    k : int
        How many, from 1 on; all where `n` is smaller.

    Returns
    -------
    ndarray of int, shape (..., min(k, n))
        Among equal values the smaller index comes first, as a stable sort gives it.

    Examples
    --------
    >>> top_indices(np.array([0.1, 0.4, 0.4, 0.1]), 3).tolist()
    [1, 2, 0]
    """
    count = scores.shape[-1]
    k = min(k, count)
    if k == 1 and count:  # takes the first of equals too, and much faster
        return scores.argmax(axis=-1)[..., None]
    if k == count or scores.size == 0:
        return np.argsort(-scores, axis=-1, kind="stable")[..., :k]
    chosen = np.sort(np.argpartition(scores, count - k, axis=-1)[..., count - k :], axis=-1)
    values = np.take_along_axis(scores, chosen, axis=-1)
    order = np.take_along_axis(chosen, np.argsort(-values, axis=-1, kind="stable"), axis=-1)
    # Where the last place is shared, argpartition picked any of the equals: sort those rows whole.
    least = values.min(axis=-1, keepdims=True)
    shared = np.count_nonzero(scores >= least, axis=-1) > k
    order[shared] = np.argsort(-scores[shared], axis=-1, kind="stable")[..., :k]
    return order
