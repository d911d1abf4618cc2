"""Probing: how far do simple classifiers get on features of images, or on their pixels?

Images are judged by classifiers that did not learn from them: from the other half of the images, or
from all that do not belong to the same group. See Alain and Bengio (2016), arXiv:1610.01644.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from threadpoolctl import threadpool_limits

from meznet_helpers.errors import MeznetError
from meznet_helpers.images import Dataset, Images
from meznet_helpers.labelers import squeeze
from meznet_helpers.measure import bootstrap, proportion

HALVINGS = 5  #: How often `by_picture` halves the images.
_LECTURE = [  # of 150 photographs
    ("lecture: gray pixels, 200 x 200", 100),
    ("lecture: features of DenseNet121", 135),
]


def flatten(images: Dataset | Images, size: int = 64, *, gray: bool = False) -> np.ndarray:
    """Lay the pixels of each image in one row.

    Parameters
    ----------
    images : Dataset or Images
    size : int
        Side of the square that each image is squeezed to first, pixels.
    gray : bool
        One number for each pixel, as Pillow's mode ``"L"``, instead of three.

    Returns
    -------
    ndarray, shape (images, numbers), float32
        From 0 to 1.

    Examples
    --------
    >>> red = Images([np.full((2, 2, 3), (255, 0, 0), np.uint8)], ["red"])
    >>> flatten(red, 2).tolist()[0][:4], flatten(red, 2, gray=True).round(2).tolist()[0]
    ([1.0, 0.0, 0.0, 1.0], [0.30..., 0.30..., 0.30..., 0.30...])
    """
    arrays = (images.images if isinstance(images, Dataset) else images).arrays
    squares = [squeeze(array, size) for array in arrays]
    if gray:
        squares = [np.asarray(Image.fromarray(square).convert("L")) for square in squares]
    return np.stack(squares).reshape(len(squares), -1).astype(np.float32) / 255


def classifiers(seed: int = 0) -> dict[str, Any]:
    """Return scikit-learn's classifiers that the book probes with, not fitted yet.

    Parameters
    ----------
    seed : int
        Of the random forest.

    Returns
    -------
    dict of str to estimator
        ``"guessing"`` always names the most frequent class. For logistic regression and the five
        nearest neighbors each feature is brought to mean 0 and variance 1 first.

    Examples
    --------
    >>> list(classifiers())
    ['guessing', 'logistic regression', 'random forest', 'nearest neighbors']
    """
    from sklearn.dummy import DummyClassifier
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return {
        "guessing": DummyClassifier(strategy="most_frequent"),
        "logistic regression": make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000)),
        "random forest": RandomForestClassifier(random_state=seed),
        "nearest neighbors": make_pipeline(StandardScaler(), KNeighborsClassifier(5)),
    }


def by_picture(
    features: Mapping[str, np.ndarray],
    models: Mapping[str, Any],
    truth: Sequence[int] | np.ndarray,
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """Learn from one half of the images and judge the other, both ways, `HALVINGS` times over.

    Each class is halved.

    Parameters
    ----------
    features : mapping of str to ndarray, shape (images, d)
    models : mapping of str to estimator
        They are cloned, not changed.
    truth : array of int, shape (images,)
    seed : int
        Of the halving.

    Returns
    -------
    DataFrame of float, one row for each image
        For each pair of features and model (two levels of columns) the share of the repeats in
        which the image was named right.

    Raises
    ------
    MeznetError
        If there is one class, one has fewer than two images, or features don't fit.

    Examples
    --------
    >>> x, lr = np.array([[0.0], [1.0], [9.0], [8.0]]), classifiers()["logistic regression"]
    >>> by_picture({"x": x}, {"lr": lr}, [0, 0, 1, 1])["x", "lr"].tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    from sklearn.model_selection import RepeatedStratifiedKFold

    truth = np.asarray(truth)
    if np.unique(truth, return_counts=True)[1].min() < 2:
        raise MeznetError("Each class needs two images or more, one for each half.")
    halving = RepeatedStratifiedKFold(n_splits=2, n_repeats=HALVINGS, random_state=seed)
    return _judge(features, models, truth, list(halving.split(truth, truth)))


def by_group(
    features: Mapping[str, np.ndarray],
    models: Mapping[str, Any],
    truth: Sequence[int] | np.ndarray,
    groups: Sequence[str],
) -> pd.DataFrame:
    """Learn from all groups but one and judge that one, for each group in turn.

    Parameters
    ----------
    features, models, truth
        As in `by_picture`.
    groups : sequence of str, shape (images,)
        For instance ``dataset.groups``, Emoji Zoo's art styles.

    Returns
    -------
    DataFrame of float, one row for each image
        As in `by_picture`, 0 or 1.

    Raises
    ------
    MeznetError
        If there are fewer than two groups, or features or groups don't fit, or outside a group
        there is one class only.

    Examples
    --------
    >>> x, lr = np.array([[0.0], [1.0], [9.0], [8.0]]), classifiers()["logistic regression"]
    >>> by_group({"x": x}, {"lr": lr}, [0, 0, 1, 1], list("abab"))["x", "lr"].tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    from sklearn.model_selection import LeaveOneGroupOut

    truth = np.asarray(truth)
    if len(groups) != len(truth) or len(set(groups)) < 2:
        there = f"{len(groups)} of {len(set(groups))} kinds"
        raise MeznetError(
            f"{len(truth)} images need as many groups, of 2 kinds or more, not {there}."
        )
    folds = LeaveOneGroupOut().split(truth, truth, groups)
    return _judge(features, models, truth, list(folds))


@threadpool_limits.wrap(limits=1)  # else threads wait for each other longer than they compute
def _judge(
    features: Mapping[str, np.ndarray],
    models: Mapping[str, Any],
    truth: np.ndarray,
    folds: list[tuple[np.ndarray, np.ndarray]],
) -> pd.DataFrame:
    """Fit on each fold's first part and count right answers in its second."""
    from sklearn.base import clone

    if any(len(np.unique(truth[train])) < 2 for train, _ in folds):
        raise MeznetError("There is one class to learn from; give images of two or more.")
    judged = np.bincount(np.concatenate([valid for _, valid in folds]), minlength=len(truth))
    right = {}
    for name, x in features.items():
        if len(x) != len(truth):
            raise MeznetError(f'"{name}" has features of {len(x)} images, not of {len(truth)}.')
        for kind, model in models.items():
            hits = np.zeros(len(truth))
            for train, valid in folds:
                answer = clone(model).fit(x[train], truth[train]).predict(x[valid])
                hits[valid] += answer == truth[valid]
            right[name, kind] = hits / judged
    return pd.DataFrame(right).rename_axis(columns=["features", "classifier"])


def accuracy(right: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Summarize what `by_picture` or `by_group` returned.

    Parameters
    ----------
    right : DataFrame
    seed : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        One row for each column: `features`, `classifier`, `n` images, `accuracy`, `low`, `high`
        (95 % bootstrap interval over the images).

    Examples
    --------
    >>> import pandas as pd
    >>> right = pd.DataFrame({("pixels", "forest"): [1.0, 0.5, 0.0, 0.5]})
    >>> accuracy(right)[["features", "classifier", "n", "accuracy"]].values.tolist()
    [['pixels', 'forest', 4, 0.5]]
    """
    rows = [[*name, len(right), *bootstrap(right[name], seed=seed)] for name in right]
    return pd.DataFrame(rows, columns=["features", "classifier", "n", "accuracy", "low", "high"])


def lecture() -> pd.DataFrame:
    """Return the accuracies that the lecture prints for 150 photographs of animal faces.

    V. Kolhatkar and A. Roth, CPSC 330, Lecture 18, University of British Columbia, 2023-24: cat,
    dog or wild, learned from 150 other photographs by logistic regression.

    Returns
    -------
    DataFrame
        As `accuracy` returns it, with 95 % Wilson intervals, which the lecture does not give.

    Examples
    --------
    >>> lecture()["accuracy"].round(3).tolist()
    [0.667, 0.9]
    """
    features, hits = zip(*_LECTURE, strict=True)
    shares = proportion(np.array(hits), np.array([150, 150]))
    table = {"features": features, "classifier": "logistic regression"} | shares
    return pd.DataFrame(table).drop(columns="hits")


def neighbors(
    x: np.ndarray, places: Sequence[int], k: int = 3, *, groups: Sequence[str]
) -> np.ndarray:
    """Find the images whose features point the same way, in other groups.

    Parameters
    ----------
    x : ndarray, shape (images, d)
    places : sequence of int
        Whose neighbors.
    k : int
    groups : sequence of str, shape (images,)
        Images of the same group are passed over: of the same drawing, or in the same style.

    Returns
    -------
    ndarray of int, shape (len(places), k)
        Places of the neighbors by cosine, the nearest first.

    Examples
    --------
    >>> x = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.9, 0.2]])
    >>> neighbors(x, [0], 2, groups=list("aabb")).tolist()
    [[3, 2]]
    """
    from sklearn.metrics.pairwise import cosine_similarity

    groups, places = np.asarray(groups), np.asarray(places)
    near = cosine_similarity(x[places], x)
    near[groups[places][:, None] == groups] = -np.inf
    return np.argsort(-near, axis=1, kind="stable")[:, :k]
