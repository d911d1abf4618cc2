"""An index of prototypes: a classifier that learns a class by adding a row."""

import warnings
from collections.abc import Sequence
from typing import Self

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.labels import LabelSpace
from meznet_helpers.prototypes.search import Matches, check_metric, lengths, nearest

#: What stands for a class: the mean of its examples (Snell et al. 2017, arXiv:1703.05175); the
#: means of k-means clusters; or of each cluster the example that is nearest to the others.
KINDS = ("mean", "k-means", "medoid")
LONGEST = 1e15  # of an embedding; squares of more overflow 32 bits
SCALE = 20.0  # of scores, before softmax makes probabilities of them, unless it is fitted
_SHARPEST = 1e4  # of a scale
HELD_OUT = 5  # every so-manieth image of a class is held out to calibrate an index


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
    vectors = check_features(vectors, "the examples of one class together", metric=metric)
    return vectors, np.array([len(group) for group in groups])


def _clusters(features: np.ndarray, count: int, seed: int) -> list[np.ndarray]:
    """Return the places of each cluster, that of the first example first."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    if count == 1:
        return [np.arange(len(features))]
    # the order of sums, and so the clusters, must not hang on threads
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of fewer different points than asked
        owner = KMeans(count, n_init=1, random_state=seed).fit_predict(features)
    return [np.flatnonzero(owner == cluster) for cluster in dict.fromkeys(owner.tolist())]


def _medoid(features: np.ndarray, metric: str) -> np.ndarray:
    """Return the example whose distances to all others add up to the least."""
    from sklearn.metrics import pairwise_distances

    distance = pairwise_distances(features, metric="euclidean" if metric == "l2" else "cosine")
    return features[distance.sum(axis=1).argmin()]


def check_features(
    features: np.ndarray, what: str, width: int | None = None, *, metric: str = "cosine"
) -> np.ndarray:
    """Refuse embeddings that can't be compared.

    Parameters
    ----------
    features : array of float, shape (images, d)
    what : str
        Whose, for the sentence.
    width : int, optional
        The d that they must have.
    metric : str
        By which they are compared.

    Returns
    -------
    ndarray of float32, shape (images, d)

    Raises
    ------
    MeznetError
        If they have another shape or width, or one is not finite, is zero though cosines are asked
        for, or is longer than `LONGEST`.

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
        ((largest == 0) & (metric == "cosine"), "is zero, so it has no direction"),
        (largest > LONGEST / features.shape[1], "holds numbers that are too large"),
    ):
        if wrong.any():
            raise MeznetError(f"{what}: embedding {wrong.argmax()} {why}; was its image read?")
    return features


class PrototypeIndex:
    """Prototypes of classes, each added, updated and removed without touching the others.

    Parameters
    ----------
    metric : {"cosine", "inner", "l2"}
        How a query is compared with a prototype.
    kind : {"mean", "k-means", "medoid"}
        What stands for a class; see `meznet_helpers.prototypes.index.summarize`.
    count : int
        Prototypes of each class.
    name : str
        Of the label space.
    backbone, digest : str
        Which network made the embeddings, and the digest of its weights and settings.

    Attributes
    ----------
    labels : LabelSpace
        The classes, in the order in which they were added.
    vectors : ndarray of float32, shape (prototypes, d)
    owners : ndarray of int64, shape (prototypes,)
        Position of each prototype's class.
    counts : ndarray of int64, shape (prototypes,)
        How many examples each prototype stands for.
    threshold : float
        Below this score the answer is "none of these"; minus infinity until it is fitted.
    scale : float
        What scores are multiplied by before softmax.

    Raises
    ------
    MeznetError
        If the metric is unknown.

    Examples
    --------
    >>> index = PrototypeIndex(name="pets")
    >>> index.add("cat", np.array([[1.0, 0.0], [0.9, 0.1]]))
    >>> index.add("dog", np.array([[0.0, 1.0]]))
    >>> index.search(np.array([[0.8, 0.3]]), k=2).names()
    [['cat', 'dog']]
    >>> index.remove("cat")
    >>> index
    PrototypeIndex('pets', 1 class, 1 prototype of 2 numbers)
    """

    def __init__(
        self,
        *,
        metric: str = "cosine",
        kind: str = "mean",
        count: int = 1,
        name: str = "index",
        backbone: str = "",
        digest: str = "",
    ) -> None:
        """Make an index without classes."""
        self.metric, self.kind, self.count = check_metric(metric), kind, count
        self.backbone, self.digest = backbone, digest
        self.threshold, self.scale = -np.inf, SCALE
        none = np.zeros(0, np.int64)
        self.replace(LabelSpace(name, (), ()), np.zeros((0, 0), np.float32), none, none)

    @classmethod
    def fit(
        cls,
        features: np.ndarray,
        truth: Sequence[int] | np.ndarray,
        labels: LabelSpace,
        *,
        seed: int = 0,
        **options: str | int,
    ) -> Self:
        """Make an index of all classes of a data set.

        Parameters
        ----------
        features : ndarray of float, shape (images, d)
        truth : array of int, shape (images,)
            Position of each image's label.
        labels : LabelSpace
        seed : int
            Of k-means.
        **options
            Those of `PrototypeIndex`, but for `name`.

        Returns
        -------
        PrototypeIndex

        Raises
        ------
        MeznetError
            If a class has no image, or an embedding can't be compared.

        Examples
        --------
        >>> pets = LabelSpace("pets", ["cat", "dog"], ["cat", "dog"])
        >>> PrototypeIndex.fit(np.eye(3)[:, :2] + 0.1, [0, 1, 1], pets).counts.tolist()
        [1, 2]
        """
        index, truth = cls(name=labels.name, **options), np.asarray(truth)
        features = check_features(features, labels.name, metric=index.metric)
        if truth.shape != (len(features),):
            raise MeznetError(
                f"{labels.name}: {len(features)} embeddings need as many labels, not {truth.shape}."
            )
        parts = []
        for label, label_id in enumerate(labels.ids):
            own = features[truth == label]
            if not len(own):
                raise MeznetError(f'"{label_id}" has no image; give one or more, or leave it out.')
            parts.append(index._summarize(own, seed))
        vectors, counts = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        owners = np.repeat(np.arange(len(parts)), [len(part[1]) for part in parts])
        index.replace(labels, vectors, owners, counts)
        return index

    @classmethod
    def fit_calibrated(
        cls,
        features: np.ndarray,
        truth: Sequence[int] | np.ndarray,
        labels: LabelSpace,
        **options: str | int,
    ) -> Self:
        """Make an index whose scale and threshold are fitted, without images beyond those given.

        Prototypes of four fifths of each class's images set both on the others; then all of them
        make the prototypes.

        Parameters
        ----------
        features, truth, labels, **options
            Those of `fit`.

        Returns
        -------
        PrototypeIndex
            Not calibrated if no class has five images.

        Raises
        ------
        MeznetError
            As `fit` does.

        Examples
        --------
        >>> pets = LabelSpace("pets", ["cat", "dog"], ["cat", "dog"])
        >>> features = np.eye(2).repeat(5, 0) + np.arange(10)[:, None] / 10
        >>> round(PrototypeIndex.fit_calibrated(features, [0] * 5 + [1] * 5, pets).threshold, 3)
        0.989
        """
        features, truth = np.asarray(features), np.asarray(truth)
        index = cls.fit(features, truth, labels, **options)
        judged = held_out(truth)
        if judged.any():
            part = cls.fit(features[~judged], truth[~judged], labels, **options)
            index.scale = part.fit_scale(features[judged], truth[judged])
            index.threshold = part.fit_threshold(features[judged])
        return index

    def __len__(self) -> int:
        """Return the number of classes."""
        return len(self.labels)

    def __repr__(self) -> str:
        """Say what is in it."""
        classes = f"{len(self)} class{'' if len(self) == 1 else 'es'}"
        prototypes = f"{len(self.owners)} prototype{'' if len(self.owners) == 1 else 's'}"
        name, width = self.labels.name, self.vectors.shape[1]
        return f"PrototypeIndex({name!r}, {classes}, {prototypes} of {width} numbers)"

    def add(self, label_id: str, features: np.ndarray, name: str = "") -> None:
        """Add a class.

        Parameters
        ----------
        label_id : str
            A new id.
        features : ndarray of float, shape (images, d)
            Of one image or more.
        name : str, optional
            By default the id.

        Raises
        ------
        MeznetError
            If the class is there already, or an embedding can't be compared.
        """
        if label_id in self.labels:
            raise MeznetError(
                f'{self.labels.name} has a class "{label_id}" already; update it, or remove it '
                "first."
            )
        features = self._checked(features, f'"{label_id}"')
        if not len(features):
            raise MeznetError(f'"{label_id}" has no image; give one or more.')
        self.add_prototypes(label_id, *self._summarize(features), name)

    def add_prototypes(
        self, label_id: str, vectors: np.ndarray, counts: np.ndarray, name: str = ""
    ) -> None:
        """Add a class by its prototypes, shapes (prototypes, d) and (prototypes,); see `add`."""
        vectors, labels = self._checked(vectors, f'"{label_id}"'), self.labels
        more = ((label_id,), (name or label_id,), ((name or label_id,),), ("",))
        fields = (labels.ids, labels.names, labels.lemmas, labels.definitions)
        self.replace(
            LabelSpace(labels.name, *(old + new for old, new in zip(fields, more, strict=True))),
            np.concatenate([self.vectors if len(self) else vectors[:0], vectors]),
            np.concatenate([self.owners, np.full(len(counts), len(self))]),
            np.concatenate([self.counts, counts]),
        )

    def update(self, label_id: str, features: np.ndarray) -> None:
        """Give a class more examples: its running mean moves, nothing else does.

        With several prototypes each example goes to the nearest one by Euclidean distance, as in
        MacQueen's k-means (1967).

        Parameters
        ----------
        label_id : str
        features : ndarray of float, shape (images, d)

        Raises
        ------
        MeznetError
            If there is no such class, an embedding can't be compared, or the index holds medoids.
        """
        own = np.flatnonzero(self.owners == self.labels.index(label_id))
        if self.kind == "medoid":
            raise MeznetError(
                "a medoid is one of its class's examples, and the others are not kept; remove "
                f'"{label_id}" and add it with all its images.'
            )
        vectors, counts = np.array(self.vectors), self.counts.copy()
        means = vectors[own].astype(np.float64)
        for row in self._checked(features, f'"{label_id}"').astype(np.float64):
            near = int(((means - row) ** 2).sum(axis=1).argmin())
            counts[own[near]] += 1
            means[near] += (row - means[near]) / counts[own[near]]
        vectors[own] = means
        self.replace(self.labels, vectors, self.owners, counts)

    def remove(self, label_id: str) -> None:
        """Forget a class.

        Parameters
        ----------
        label_id : str

        Raises
        ------
        MeznetError
            If there is no such class.
        """
        label = self.labels.index(label_id)
        others = self.owners != label
        fields = (self.labels.ids, self.labels.names, self.labels.lemmas, self.labels.definitions)
        labels = LabelSpace(
            self.labels.name, *(field[:label] + field[label + 1 :] for field in fields)
        )
        owners = self.owners[others]
        self.replace(labels, self.vectors[others], owners - (owners > label), self.counts[others])

    def search(self, features: np.ndarray, k: int = 1) -> Matches:
        """Find the nearest classes, exactly.

        Parameters
        ----------
        features : ndarray of float, shape (queries, d)
        k : int
            Classes for each query.

        Returns
        -------
        Matches

        Raises
        ------
        MeznetError
            If `k` is below 1, the index has fewer classes, or an embedding can't be compared.
        """
        if not 1 <= k <= len(self):
            raise MeznetError(
                f"k is {k}; {self.labels.name} has {len(self)} classes, so it must lie between 1 "
                f"and {len(self)}."
                if len(self)
                else f"{self.labels.name} has no class yet; add one before you search."
            )
        queries, how = self._checked(features, "queries"), {"k": k, "metric": self.metric}
        classes, scores = nearest(queries, self.vectors, self.owners, norms=self.norms(), **how)
        return Matches(classes, scores, scores[:, 0] >= self.threshold, self.labels)

    def all_scores(self, features: np.ndarray) -> np.ndarray:
        """Compare each query with each class.

        Parameters
        ----------
        features : ndarray of float, shape (queries, d)

        Returns
        -------
        ndarray of float64, shape (queries, classes)
            In the order of `labels`.

        Raises
        ------
        MeznetError
            As `search` does.

        Examples
        --------
        >>> index = PrototypeIndex()
        >>> index.add("up", [[0, 1]])
        >>> index.add("right", [[1, 0]])
        >>> index.all_scores([[3, 0]]).tolist()
        [[0.0, 1.0]]
        """
        matches = self.search(features, k=len(self))
        scores = np.empty(matches.scores.shape)
        np.put_along_axis(scores, matches.classes, matches.scores, axis=1)
        return scores

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Turn scores into probabilities: softmax of `scale` times the scores.

        Parameters
        ----------
        features : ndarray of float, shape (queries, d)

        Returns
        -------
        ndarray of float32, shape (queries, classes)

        Examples
        --------
        >>> index = PrototypeIndex()
        >>> index.add("up", [[0, 1]])
        >>> index.add("right", [[1, 0]])
        >>> index.probabilities([[1, 1]]).tolist()
        [[0.5, 0.5]]
        """
        from scipy.special import softmax

        return softmax(self.scale * self.all_scores(features), axis=1).astype(np.float32)

    def fit_threshold(self, features: np.ndarray, keep: float = 0.95) -> float:
        """Set the threshold that a share of pictures of known classes reaches.

        Parameters
        ----------
        features : ndarray of float, shape (images, d)
            Of images of its classes that it has not learned from.
        keep : float
            Share of them that must not be rejected, above 0 and at most 1.

        Returns
        -------
        float
            The threshold: so many of these images score it or more.

        Raises
        ------
        MeznetError
            If `keep` is out of bounds, or there are no images.

        Examples
        --------
        >>> index = PrototypeIndex()
        >>> index.add("up", [[0, 1]])
        >>> round(index.fit_threshold([[0, 1], [1, 1], [1, 0]], keep=0.6), 3)
        0.707
        >>> index.search([[1, 0.5]]).known.tolist()
        [False]
        """
        if not 0 < keep <= 1 or not len(features):
            raise MeznetError(
                f"keep is {keep} and there are {len(features)} images; keep must lie above 0 and "
                "at most at 1, with one image or more."
            )
        first = np.sort(self.search(features).scores[:, 0])
        count = int(np.ceil(keep * len(first) - 1e-9))  # 0.9 of 200 are 180, however it rounds
        self.threshold = float(first[-count])
        return self.threshold

    def fit_scale(self, features: np.ndarray, truth: Sequence[int] | np.ndarray) -> float:
        """Set the scale that makes the log loss of the probabilities smallest.

        Parameters
        ----------
        features : ndarray of float, shape (images, d)
            Of images that it has not learned from.
        truth : array of int, shape (images,)
            Positions in `labels`.

        Returns
        -------
        float
            From 0.01 to 10,000.

        Examples
        --------
        >>> index = PrototypeIndex()
        >>> index.add("up", [[0, 1]])
        >>> index.add("right", [[1, 0]])
        >>> index.fit_scale([[0, 1], [1, 0], [1, 2]], [0, 1, 1]) < 2
        True
        """
        from scipy.optimize import minimize_scalar
        from scipy.special import logsumexp

        scores, truth = self.all_scores(features), np.asarray(truth)
        right = scores[np.arange(len(truth)), truth]

        def loss(power: float) -> float:
            scale = np.exp(power)
            return float((logsumexp(scale * scores, axis=1) - scale * right).mean())

        best = minimize_scalar(loss, bounds=(np.log(0.01), np.log(_SHARPEST)), method="bounded")
        self.scale = float(np.exp(best.x))
        return self.scale

    def norms(self) -> np.ndarray:
        """Return the length of each prototype, float64, shape (prototypes,)."""
        if self._norms is None:
            self._norms = lengths(self.vectors)
        return self._norms

    def replace(
        self,
        labels: LabelSpace,
        vectors: np.ndarray,
        owners: np.ndarray,
        counts: np.ndarray,
        norms: np.ndarray | None = None,
    ) -> None:
        """Hold these classes and prototypes instead; for the fields see the class."""
        self.labels, self.vectors, self._norms = labels, vectors, norms
        self.owners, self.counts = owners, counts

    def _summarize(self, features: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        return summarize(features, self.kind, self.count, metric=self.metric, seed=seed)

    def _checked(self, features: np.ndarray, what: str) -> np.ndarray:
        width = self.vectors.shape[1] if len(self) else None
        return check_features(features, what, width, metric=self.metric)


def held_out(truth: Sequence[int] | np.ndarray) -> np.ndarray:
    """Choose images to calibrate by: the fifth of each class, the tenth and so on.

    Parameters
    ----------
    truth : array of int, shape (images,)

    Returns
    -------
    ndarray of bool, shape (images,)
        False throughout where no class has five images.

    Examples
    --------
    >>> held_out([0, 0, 1, 0, 0, 0, 0]).tolist()
    [False, False, False, False, False, True, False]
    """
    truth = np.asarray(truth)
    chosen = np.zeros(len(truth), bool)
    for label in np.unique(truth):
        chosen[np.flatnonzero(truth == label)[HELD_OUT - 1 :: HELD_OUT]] = True
    return chosen
