"""Judge prototypes over many partitions of images that were embedded once."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.prototypes.index import check_features, summarize
from meznet_helpers.prototypes.search import check_metric, nearest

if TYPE_CHECKING:
    import pandas as pd

K = 10  # of the nearest classes are looked at
BEYOND = 1_000_000  # the rank of a label that is not among the nearest


def judge(
    features: np.ndarray,
    truth: Sequence[int] | np.ndarray,
    weights: np.ndarray,
    *,
    metric: str = "cosine",
    kind: str = "mean",
    count: int = 1,
    seed: int = 0,
) -> "pd.DataFrame":
    """Make prototypes of a part of the images and judge the rest, for each partition.

    The network is not asked again: means over a part are one product of matrices.

    Parameters
    ----------
    features : ndarray of float, shape (images, d)
    truth : array of int, shape (images,)
        Classes from 0 on, each of them there.
    weights : ndarray of int, shape (runs, images)
        From `meznet_helpers.measure.partitions`: how often each image is learned from; 0 to judge.
        -1 leaves it out of that run.
    metric, kind, count, seed
        Those of `meznet_helpers.prototypes.PrototypeIndex`.

    Returns
    -------
    DataFrame
        Judgments; see `meznet_helpers.measure.repeats`. Ranks after the tenth are `BEYOND`.

    Raises
    ------
    MeznetError
        If the shapes do not fit, a run learns nothing of a class, or an image is drawn twice and
        `kind` is not ``"mean"``.

    Examples
    --------
    >>> from meznet_helpers.measure import partitions
    >>> features, truth = np.eye(2).repeat(5, 0) + 0.1, [0] * 5 + [1] * 5
    >>> judge(features, truth, partitions.random(truth, 3))["rank"].tolist()
    [1, 1, 1, 1, 1, 1]
    """
    import pandas as pd

    features, truth = check_features(features, "features"), np.asarray(truth)
    weights = np.asarray(weights)
    if truth.shape != (len(features),) or weights.shape[1:] != truth.shape:
        raise MeznetError(
            f"{len(features)} embeddings need as many labels and weights, not {truth.shape} and "
            f"{weights.shape}."
        )
    members = np.arange(truth.max() + 1)[:, None] == truth
    parts = []
    for run, weight in enumerate(weights):
        learned = members * np.maximum(weight, 0)
        if not learned.any(axis=1).all():
            label = int(learned.any(axis=1).argmin())
            raise MeznetError(f"run {run} learns from no image of class {label}.")
        if kind == "mean":
            vectors = (learned @ features / learned.sum(axis=1, keepdims=True)).astype(np.float32)
            owners = np.arange(len(vectors))
        else:
            vectors, owners = _several(features, learned, metric, kind, count, seed)
        image = np.flatnonzero(weight == 0)
        classes, _ = nearest(
            features[image], vectors, owners, k=min(K, len(members)), metric=check_metric(metric)
        )
        right = classes == truth[image, None]
        rank = np.where(right.any(axis=1), 1 + right.argmax(axis=1), BEYOND)
        columns = {"run": run, "image": image, "truth": truth[image], "guess": classes[:, 0]}
        parts.append(pd.DataFrame(columns | {"rank": rank}))
    return pd.concat(parts, ignore_index=True)


def _several(
    features: np.ndarray, learned: np.ndarray, metric: str, kind: str, count: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Choose prototypes of each class one by one."""
    if learned.max() > 1:
        raise MeznetError(f'an image that is drawn twice has a mean only; kind is "{kind}".')
    vectors = [
        summarize(features[own > 0], kind, count, metric=metric, seed=seed)[0] for own in learned
    ]
    owners = np.repeat(np.arange(len(vectors)), list(map(len, vectors)))
    return np.concatenate(vectors), owners
