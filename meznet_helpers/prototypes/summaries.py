"""From the embeddings of a class to its prototypes: a mean, several means, or examples."""

import numpy as np

from meznet_helpers.errors import MeznetError

#: What stands for a class: the mean of its examples (Snell et al. 2017, arXiv:1703.05175); the
#: means of k-means clusters; or of each cluster the example that is nearest to the others.
KINDS = ("mean", "k-means", "medoid")
LONGEST = 1e15  # of an embedding; squares of more overflow 32 bits


def summarize(
    features: np.ndarray,
    kind: str = "mean",
    count: int = 1,
    *,
    metric: str = "cosine",
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose prototypes for one class.

    Parameters
    ----------
    features : ndarray of float32, shape (images, d)
        Of that class.
    kind : {"mean", "k-means", "medoid"}
    count : int
        Prototypes; fewer where there are fewer examples. A mean is always one.
    metric : {"cosine", "inner", "l2"}
        By which a medoid is nearest: by Euclidean distance for ``"l2"``, else by cosine.
    seed : int
        Of k-means.

    Returns
    -------
    vectors : ndarray of float32, shape (prototypes, d)
    counts : ndarray of int64, shape (prototypes,)
        How many examples each stands for.

    Raises
    ------
    MeznetError
        If the kind is unknown, `count` does not fit it, or examples cancel each other out.

    Examples
    --------
    >>> summarize(np.array([[0, 1], [0, 3]], np.float32))
    (array([[0., 2.]], dtype=float32), array([2]))
    >>> summarize(np.array([[0, 1], [0, 3], [9, 9]], np.float32), "k-means", 2)[1].tolist()
    [2, 1]
    """
    if kind not in KINDS:
        raise MeznetError(f'kind is "{kind}"; choose from {", ".join(KINDS)}.')
    if count < 1 or (kind == "mean" and count != 1):
        raise MeznetError(f'count is {count}; it must be 1 or more, and 1 for kind "mean".')
    groups = _clusters(features, min(count, len(features)), seed)
    if kind == "medoid":
        vectors = [_medoid(features[group], metric) for group in groups]
    else:
        vectors = [features[group].mean(axis=0, dtype=np.float64) for group in groups]
    vectors = check_features(vectors, "the examples of one class together")
    return vectors, np.array([len(group) for group in groups])


def _clusters(features: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """Return the places of each cluster, that of the first example first."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    if count == 1:
        return [np.arange(len(features))]
    with threadpool_limits(1):  # the order of sums, and so the clusters, must not hang on threads
        found = KMeans(count, n_init=1, random_state=seed).fit_predict(features)
    return [np.flatnonzero(found == each) for each in dict.fromkeys(found.tolist())]


def _medoid(features: np.ndarray, metric: str) -> np.ndarray:
    """Return the example whose distances to all others add up to the least."""
    from sklearn.metrics import pairwise_distances

    distance = pairwise_distances(features, metric="euclidean" if metric == "l2" else "cosine")
    return features[distance.sum(axis=1).argmin()]


def check_features(features: np.ndarray, what: str, width: int | None = None) -> np.ndarray:
    """Refuse embeddings that can't be compared.

    Parameters
    ----------
    features : array of float, shape (images, d)
    what : str
        Whose, for the sentence.
    width : int, optional
        The d that they must have.

    Returns
    -------
    ndarray of float32, shape (images, d)

    Raises
    ------
    MeznetError
        If they have another shape or width, or one is not finite, is zero, or is longer than
        `LONGEST`.

    Examples
    --------
    >>> check_features(np.zeros((1, 2)), '"cat"')
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: "cat": embedding 0 is zero, so it has no direction; was its \
image read?
    """
    features = np.asarray(features, np.float32)
    if features.ndim != 2 or not features.shape[1]:
        raise MeznetError(f"{what}: embeddings must have shape (images, d), not {features.shape}.")
    if width is not None and features.shape[1] != width:
        raise MeznetError(
            f"{what}: embeddings have {features.shape[1]} numbers each; this index has {width}."
        )
    largest = np.abs(features).max(axis=1)
    for wrong, why in (
        (~np.isfinite(largest), "holds NaN or infinity"),
        (largest == 0, "is zero, so it has no direction"),
        (largest > LONGEST / features.shape[1], "holds numbers that are too large"),
    ):
        if wrong.any():
            at = int(wrong.argmax())
            raise MeznetError(f"{what}: embedding {at} {why}; was its image read?")
    return features
