"""The nearest prototype as a classifier of scikit-learn, for pipelines and learning curves."""

from typing import Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from meznet_helpers.labels import from_names
from meznet_helpers.prototypes.index import PrototypeIndex


class PrototypeClassifier(ClassifierMixin, BaseEstimator):
    """Give each image the class of the nearest prototype.

    Under cosine, a row of zeros has no direction: none is learned from it, and it is given the
    first class, for all are equally near.

    Parameters
    ----------
    metric, kind, count
        Those of `PrototypeIndex` and its `fit`.

    Attributes
    ----------
    classes_ : ndarray
        The labels, sorted.
    index_ : PrototypeIndex
    n_features_in_ : int
        Numbers of each embedding.

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
        X, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        self.classes_, truth = np.unique(y, return_inverse=True)
        labels = from_names([f"class {number}" for number in range(len(self.classes_))])
        some = self._comparable(X)
        self.index_ = PrototypeIndex.fit(X[some], truth[some], labels, **self.get_params())
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the label of each embedding, shape (images,)."""
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False)
        some, places = self._comparable(X), np.zeros(len(X), np.int64)
        places[some] = self.index_.search(X[some]).classes[:, 0]
        return self.classes_[places]

    def _comparable(self, X: np.ndarray) -> np.ndarray:
        """Say which rows the metric can compare, bool, shape (images,)."""
        return X.any(axis=1) | (self.metric != "cosine")
