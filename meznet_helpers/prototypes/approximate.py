"""Exact search beside an approximate one: what is lost, and what it saves."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from meznet_helpers.prototypes.search import nearest

if TYPE_CHECKING:
    import pandas as pd


def compare_searches(
    vectors: np.ndarray,
    queries: np.ndarray,
    efforts: Sequence[int],
    *,
    k: int = 10,
    rounds: int = 3,
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
    rounds : int
        The fastest of so many counts.

    Returns
    -------
    DataFrame
        `search`, `effort` (0 for exact), `recall` (share of the k nearest that is found), `time`
        (of exact search, which is 1), and `build`: how many exact searches for one query the
        making of the graph takes.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> vectors = rng.normal(size=(200, 8)).astype(np.float32)
    >>> table = compare_searches(vectors, vectors, [64], k=3, rounds=1)
    >>> table["search"].tolist(), table["recall"].round(1).tolist()
    (['exact', 'approximate'], [1.0, 1.0])
    """
    import pandas as pd
    from threadpoolctl import threadpool_limits
    from usearch.index import Index

    owners = np.arange(len(vectors))
    with threadpool_limits(1):
        exact = min(_seconds(lambda: nearest(queries, vectors, owners, k=k)) for _ in range(rounds))
        wanted = nearest(queries, vectors, owners, k=k)[0]
    graph = Index(ndim=vectors.shape[1], metric="cos", dtype="f32")
    build = _seconds(lambda: graph.add(owners, vectors, threads=1)) / (exact / len(queries))
    rows = [["exact", 0, 1.0, 1.0, 0.0]]
    for effort in efforts:
        graph.expansion_search = effort
        took = min(_seconds(lambda: graph.search(queries, k, threads=1)) for _ in range(rounds))
        near = graph.search(queries, k, threads=1).keys
        recall = (near[:, :, None] == wanted[:, None]).any(axis=2).mean()
        rows.append(["approximate", effort, float(recall), took / exact, build])
    return pd.DataFrame(rows, columns=["search", "effort", "recall", "time", "build"])


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
