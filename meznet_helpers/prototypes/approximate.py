"""Exact search beside an approximate one: what is lost, and what it saves."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from meznet_helpers.measure.timing import milliseconds
from meznet_helpers.prototypes.search import nearest

if TYPE_CHECKING:
    import pandas as pd

ROUNDS = 3  # how often each search is timed


def compare_searches(
    vectors: np.ndarray,
    queries: np.ndarray,
    efforts: Sequence[int],
    *,
    k: int = 10,
) -> "pd.DataFrame":
    """Compare exact search with an approximate index, a graph of neighbors.

    HNSW (Malkov and Yashunin 2018, arXiv:1603.09320), as the library USearch has it, in one
    thread.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
        Each of them stands for itself.
    queries : ndarray of float32, shape (queries, d)
    efforts : sequence of int
        How many candidates the graph keeps while it searches (``expansion_search``).
    k : int

    Returns
    -------
    DataFrame
        `search`, `effort` (0 for exact), `recall` (share of the k nearest that is found), `time`
        (of exact search, which is 1; the medians of `ROUNDS`), and `build`: how many exact searches
        for one query the making of the graph takes.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> vectors = rng.normal(size=(200, 8)).astype(np.float32)
    >>> table = compare_searches(vectors, vectors, [64], k=3)
    >>> table["search"].tolist(), table["recall"].round(1).tolist()
    (['exact', 'approximate'], [1.0, 1.0])
    """
    import pandas as pd
    from threadpoolctl import threadpool_limits
    from usearch.index import Index

    owners = np.arange(len(vectors))
    with threadpool_limits(1):
        wanted, _ = nearest(queries, vectors, owners, k=k)
        (exact,) = milliseconds(lambda: nearest(queries, vectors, owners, k=k), repeats=ROUNDS)
    graph, start = Index(ndim=vectors.shape[1], metric="cos", dtype="f32"), time.perf_counter()
    graph.add(owners, vectors, threads=1)
    build = 1000 * (time.perf_counter() - start) / (exact / len(queries))
    rows = [["exact", 0, 1.0, 1.0, 0.0]]
    for effort in efforts:
        graph.expansion_search = effort
        keys = graph.search(queries, k, threads=1).keys
        recall = (keys[:, :, None] == wanted[:, None]).any(axis=2).mean()
        (ms,) = milliseconds(lambda: graph.search(queries, k, threads=1), repeats=ROUNDS)
        rows.append(["approximate", effort, float(recall), ms / exact, build])
    return pd.DataFrame(rows, columns=["search", "effort", "recall", "time", "build"])
