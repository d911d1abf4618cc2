"""Exact nearest-prototype search: the same answer as comparing each query with each prototype.

Fast products in 32 bits narrow the choice down, with a bound on their rounding errors; what is left
is compared in 64 bits, in an order that depends on nothing but the two vectors. So neither the
number of queries at a time nor that of prototypes changes a single bit of the answer.
"""

from dataclasses import dataclass

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.labels import LabelSpace

#: How two vectors are compared. Of each, more is nearer: `l2` is minus the Euclidean distance.
METRICS = ("cosine", "inner", "l2")
ROWS, COLUMNS = 256, 32_768  # queries and prototypes compared at a time: 32 MB
_PAIRS = 2_048  # compared in 64 bits at a time
_ROUNDING = 2.0**-24  # of 32-bit floats, relative


@dataclass(frozen=True)
class Matches:
    """What a search found.

    Attributes
    ----------
    classes : ndarray of int64, shape (queries, k)
        Positions in `labels`, the nearest first.
    scores : ndarray of float64, shape (queries, k)
        By the index's metric; higher is nearer.
    known : ndarray of bool, shape (queries,)
        Whether the first score reaches the index's threshold; if not, the answer is "none of
        these".
    labels : LabelSpace
    """

    classes: np.ndarray
    scores: np.ndarray
    known: np.ndarray
    labels: LabelSpace

    def names(self) -> list[list[str]]:
        """Return the names of the classes found, the nearest first."""
        return [[self.labels.names[label] for label in row] for row in self.classes]


def nearest(
    queries: np.ndarray,
    vectors: np.ndarray,
    owners: np.ndarray,
    *,
    k: int,
    metric: str = "cosine",
    norms: np.ndarray | None = None,
    rows: int = ROWS,
    columns: int = COLUMNS,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the classes whose nearest prototype is nearest to each query.

    Parameters
    ----------
    queries : ndarray of float32, shape (queries, d)
    vectors : ndarray of float32, shape (prototypes, d)
        May be mapped from a file that is larger than memory.
    owners : ndarray of int, shape (prototypes,)
        The class of each prototype, rising: 0, 0, 1, 2, 2 and so on, without a gap.
    k : int
        Classes for each query, at most as many as there are.
    metric : {"cosine", "inner", "l2"}
    norms : ndarray of float64, shape (prototypes,), optional
        Lengths of `vectors`, as `lengths` returns them.
    rows, columns : int
        Queries and prototypes compared at a time. They change speed and memory, not the result.

    Returns
    -------
    classes : ndarray of int64, shape (queries, k)
        The nearest first; of two that are equally near the one that comes first in the index.
    scores : ndarray of float64, shape (queries, k)
        By `metric`; higher is nearer.

    Examples
    --------
    >>> vectors = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    >>> classes, scores = nearest(vectors[:1] * 2, vectors, np.array([0, 1, 2]), k=2)
    >>> classes.tolist(), scores.round(3).tolist()
    ([[0, 2]], [[1.0, 0.707]])
    """
    norms = lengths(vectors) if norms is None else norms
    classes, scores = [np.empty((0, k), np.int64)], [np.empty((0, k))]
    for row in _slices(len(queries), rows):
        some = np.ascontiguousarray(queries[row], np.float32)
        parts = [
            _block(some, vectors[part], norms[part], owners[part], k, metric)
            for part in _slices(len(vectors), columns)
        ]  # fmt: skip
        query, owner, score = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        _, owner, score = _best(query, owner, score, k)
        classes.append(owner.reshape(-1, k))
        scores.append(score.reshape(-1, k))
    return np.concatenate(classes), np.concatenate(scores)


def lengths(vectors: np.ndarray) -> np.ndarray:
    """Return the Euclidean length of each vector.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)

    Returns
    -------
    ndarray of float64, shape (n,)

    Examples
    --------
    >>> lengths(np.array([[3, 4]], np.float32)).tolist()
    [5.0]
    """
    parts = [_pairwise(vectors[part], vectors[part]) for part in _slices(len(vectors), COLUMNS)]
    return np.sqrt(np.concatenate(parts)) if parts else np.zeros(0)


def _slices(length: int, size: int) -> list[slice]:
    """Divide a length into slices of one size; the last may be shorter."""
    return [slice(start, start + size) for start in range(0, length, size)]


def _block(
    queries: np.ndarray,
    vectors: np.ndarray,
    norms: np.ndarray,
    owners: np.ndarray,
    k: int,
    metric: str,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the k best classes of some prototypes, as (query, class, score) in rows."""
    own = lengths(queries)
    near, error = _rough(queries, own, vectors, norms, metric)
    first = np.flatnonzero(np.diff(owners, prepend=-1))
    by_class = near if len(first) == len(owners) else np.maximum.reduceat(near, first, axis=1)
    k = min(k, by_class.shape[1])
    worst = np.partition(by_class, -k, axis=1)[:, -k]
    query, column = np.nonzero(near >= (worst - 2 * error)[:, None])
    score = np.empty(len(query))
    for part in _slices(len(query), _PAIRS):
        a, b = queries[query[part]], np.asarray(vectors[column[part]])
        if metric == "l2":
            gap = a.astype(np.float64) - b
            score[part] = -np.sqrt(_pairwise(gap, gap))
        else:
            score[part] = _pairwise(a, b)
    if metric == "cosine":
        score /= own[query] * norms[column]
    return _best(query, owners[column], score, k)


def _rough(
    queries: np.ndarray, own: np.ndarray, vectors: np.ndarray, norms: np.ndarray, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """Compare in 32 bits; return scores (queries, prototypes) and how far each row may be off.

    A sum of d products is off by d roundings at most, relative to the product of the lengths
    (Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1). In place of a
    distance its square is compared, which has the same order.
    """
    off = (queries.shape[1] + 16) * _ROUNDING
    if metric == "cosine":
        unit = (queries / own[:, None]).astype(np.float32)
        return unit @ vectors.T * (1 / norms).astype(np.float32), np.full(len(own), off)
    longest = norms.max()
    near = queries @ vectors.T
    if metric == "inner":
        return near, off * own * longest
    near *= 2
    near -= (norms**2).astype(np.float32)
    near -= (own**2).astype(np.float32)[:, None]
    return near, 4 * off * (own + longest) ** 2


def _pairwise(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the inner product of each row of `a` with that of `b`, in 64 bits.

    NumPy adds each row up by itself, always in the same order.
    """
    return np.multiply(a, b, dtype=np.float64).sum(axis=1)


def _best(
    query: np.ndarray, owner: np.ndarray, score: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep the k best classes of each query, each of them once."""
    order = np.lexsort((owner, -score, query))
    query, owner, score = query[order], owner[order], score[order]
    pair = query * (owner.max() + 1) + owner
    once = np.sort(np.unique(pair, return_index=True)[1])
    query, owner, score = query[once], owner[once], score[once]
    start = np.searchsorted(query, query)
    best = np.arange(len(query)) - start < k
    return query[best], owner[best], score[best]


def check_metric(metric: str) -> str:
    """Return the metric if it is one.

    Examples
    --------
    >>> check_metric("l1")
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: metric is "l1"; choose from cosine, inner, l2.
    """
    if metric not in METRICS:
        raise MeznetError(f'metric is "{metric}"; choose from {", ".join(METRICS)}.')
    return metric
