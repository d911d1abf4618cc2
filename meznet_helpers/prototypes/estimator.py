"""The nearest prototype as a classifier of scikit-learn, for pipelines and learning curves."""

from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from meznet_helpers.labels import from_names
from meznet_helpers.prototypes.index import PrototypeIndex


class PrototypeClassifier(ClassifierMixin, BaseEstimator):
    """Give each image the class of the nearest prototype.

    Parameters
    ----------
    metric, kind, count
        Those of `PrototypeIndex` and its `fit`.

    Attributes
    ----------
    classes_ : ndarray
        The labels, sorted.
    index_ : PrototypeIndex

    Examples
    --------
    >>> model = PrototypeClassifier().fit([[1, 0], [1, 0.1], [0, 1]], ["cat", "cat", "dog"])
    >>> model.predict([[3, 1], [1, 2]]).tolist()
    ['cat', 'dog']
    """

    def __init__(self, metric: str = "cosine", kind: str = "mean", count: int = 1) -> None:
        """Keep the parameters, as scikit-learn wants it."""
        self.metric, self.kind, self.count = metric, kind, count

    def fit(self, X: np.ndarray, y: np.ndarray) -> Self:
        """Make the prototypes of embeddings (images, d) and their labels (images,)."""
        self.classes_, truth = np.unique(y, return_inverse=True)
        labels = from_names([f"class {number}" for number in range(len(self.classes_))])
        self.index_ = PrototypeIndex.fit(X, truth, labels, **self.get_params())
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the label of each embedding, shape (images,)."""
        check_is_fitted(self)
        return self.classes_[self.index_.search(X).classes[:, 0]]
