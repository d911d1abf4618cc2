"""An index of prototypes: a classifier that learns a class by adding a row."""

from collections.abc import Sequence
from typing import Self

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.labelspace import LabelSpace
from meznet_helpers.prototypes.search import COLUMNS, ROWS, Matches, check_metric, lengths, nearest
from meznet_helpers.prototypes.summaries import check_features, summarize

SCALE = 20.0  # of scores, before softmax makes probabilities of them, unless it is fitted


class PrototypeIndex:
    """Prototypes of classes, each added, updated and removed without touching the others.

    Parameters
    ----------
    metric : {"cosine", "inner", "l2"}
        How a query is compared with a prototype.
    kind : {"mean", "k-means", "medoid"}
        What stands for a class; see `meznet_helpers.prototypes.summaries.summarize`.
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
        features = check_features(features, labels.name)
        if truth.shape != (len(features),):
            raise MeznetError(
                f"{labels.name}: {len(features)} embeddings need as many labels, not {truth.shape}."
            )
        parts = []
        for at, label_id in enumerate(labels.ids):
            own = features[truth == at]
            if not len(own):
                raise MeznetError(f'"{label_id}" has no image; give one or more, or leave it out.')
            parts.append(index._summarize(own, seed))
        vectors, counts = (np.concatenate(each) for each in zip(*parts, strict=True))
        owners = np.repeat(np.arange(len(parts)), [len(part[1]) for part in parts])
        index.replace(labels, vectors, owners, counts)
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

    def add(self, label_id: str, features: np.ndarray, name: str = "", *, seed: int = 0) -> None:
        """Add a class.

        Parameters
        ----------
        label_id : str
            A new id.
        features : ndarray of float, shape (images, d)
            Of one image or more.
        name : str, optional
            By default the id.
        seed : int
            Of k-means.

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
        self.add_prototypes(label_id, *self._summarize(features, seed), name)

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
            at = int(((means - row) ** 2).sum(axis=1).argmin())
            counts[own[at]] += 1
            means[at] += (row - means[at]) / counts[own[at]]
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
        at = self.labels.index(label_id)
        kept = self.owners != at
        fields = (self.labels.ids, self.labels.names, self.labels.lemmas, self.labels.definitions)
        labels = LabelSpace(self.labels.name, *(field[:at] + field[at + 1 :] for field in fields))
        owners = self.owners[kept]
        self.replace(labels, self.vectors[kept], owners - (owners > at), self.counts[kept])

    def search(
        self, features: np.ndarray, k: int = 1, *, rows: int = ROWS, columns: int = COLUMNS
    ) -> Matches:
        """Find the nearest classes: exactly, whatever the chunks.

        Parameters
        ----------
        features : ndarray of float, shape (queries, d)
        k : int
            Classes for each query.
        rows, columns : int
            Queries and prototypes compared at a time.

        Returns
        -------
        Matches

        Raises
        ------
        MeznetError
            If `k` or a chunk is below 1, the index has fewer classes than `k`, or an embedding
            can't be compared.
        """
        if not 1 <= k <= len(self):
            raise MeznetError(
                f"k is {k}; {self.labels.name} has {len(self)} classes, so it must lie between 1 "
                f"and {len(self)}."
                if len(self)
                else f"{self.labels.name} has no class yet; add one before you search."
            )
        if min(rows, columns) < 1:
            raise MeznetError(f"rows and columns must be 1 or more, not {rows} and {columns}.")
        classes, scores = nearest(
            self._checked(features, "queries"), self.vectors, self.owners,
            k=k, metric=self.metric, norms=self.norms(), rows=rows, columns=columns,
        )  # fmt: skip
        return Matches(classes, scores, scores[:, 0] >= self.threshold, self.labels)

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

    def _summarize(self, features: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        return summarize(features, self.kind, self.count, metric=self.metric, seed=seed)

    def _checked(self, features: np.ndarray, what: str) -> np.ndarray:
        return check_features(features, what, self.vectors.shape[1] if len(self) else None)
