"""From scores to a decision: probabilities over all classes, and "none of these"."""

from collections.abc import Sequence

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.labelspace import LabelSpace
from meznet_helpers.prototypes.index import PrototypeIndex

HELD_OUT = 5  # every so-manieth image of a class is held out to calibrate an index
_SHARPEST = 1e4  # of a scale


def all_scores(index: PrototypeIndex, features: np.ndarray) -> np.ndarray:
    """Compare each query with each class.

    Parameters
    ----------
    index : PrototypeIndex
    features : ndarray of float, shape (queries, d)

    Returns
    -------
    ndarray of float64, shape (queries, classes)
        In the order of ``index.labels``.

    Raises
    ------
    MeznetError
        As `PrototypeIndex.search` does.

    Examples
    --------
    >>> index = PrototypeIndex()
    >>> index.add("up", [[0, 1]])
    >>> index.add("right", [[1, 0]])
    >>> all_scores(index, [[3, 0]]).tolist()
    [[0.0, 1.0]]
    """
    found = index.search(features, k=len(index))
    scores = np.empty(found.scores.shape)
    np.put_along_axis(scores, found.classes, found.scores, axis=1)
    return scores


def probabilities(index: PrototypeIndex, features: np.ndarray) -> np.ndarray:
    """Turn scores into probabilities: softmax of ``index.scale`` times the scores.

    Parameters
    ----------
    index : PrototypeIndex
    features : ndarray of float, shape (queries, d)

    Returns
    -------
    ndarray of float32, shape (queries, classes)

    Examples
    --------
    >>> index = PrototypeIndex()
    >>> index.add("up", [[0, 1]])
    >>> index.add("right", [[1, 0]])
    >>> probabilities(index, [[1, 1]]).tolist()
    [[0.5, 0.5]]
    """
    from scipy.special import softmax

    return softmax(index.scale * all_scores(index, features), axis=1).astype(np.float32)


def fit_threshold(index: PrototypeIndex, features: np.ndarray, keep: float = 0.95) -> float:
    """Set the threshold that a share of pictures of known classes reaches.

    Parameters
    ----------
    index : PrototypeIndex
        Its `threshold` is set.
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
    >>> round(fit_threshold(index, [[0, 1], [1, 1], [1, 0]], keep=0.6), 3)
    0.707
    >>> index.search([[1, 0.5]]).known.tolist()
    [False]
    """
    if not 0 < keep <= 1 or not len(features):
        raise MeznetError(
            f"keep is {keep} and there are {len(features)} images; keep must lie above 0 and at "
            "most at 1, with one image or more."
        )
    first = np.sort(index.search(features).scores[:, 0])
    kept = int(np.ceil(keep * len(first) - 1e-9))  # 0.9 of 200 are 180, whatever the rounding
    index.threshold = float(first[-kept])
    return index.threshold


def fit_scale(
    index: PrototypeIndex, features: np.ndarray, truth: Sequence[int] | np.ndarray
) -> float:
    """Set the scale that makes the log loss of the probabilities smallest.

    Parameters
    ----------
    index : PrototypeIndex
        Its `scale` is set.
    features : ndarray of float, shape (images, d)
        Of images that it has not learned from.
    truth : array of int, shape (images,)
        Positions in ``index.labels``.

    Returns
    -------
    float
        From 0.01 to 10,000.

    Examples
    --------
    >>> index = PrototypeIndex()
    >>> index.add("up", [[0, 1]])
    >>> index.add("right", [[1, 0]])
    >>> fit_scale(index, [[0, 1], [1, 0], [1, 2]], [0, 1, 1]) < 2
    True
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    scores, truth = all_scores(index, features), np.asarray(truth)
    right = scores[np.arange(len(truth)), truth]

    def loss(power: float) -> float:
        scale = np.exp(power)
        return float((logsumexp(scale * scores, axis=1) - scale * right).mean())

    found = minimize_scalar(loss, bounds=(np.log(0.01), np.log(_SHARPEST)), method="bounded")
    index.scale = float(np.exp(found.x))
    return index.scale


def fit_calibrated(
    features: np.ndarray,
    truth: Sequence[int] | np.ndarray,
    labels: LabelSpace,
    **options: str | int,
) -> PrototypeIndex:
    """Make an index whose scale and threshold are fitted, without images beyond those given.

    Prototypes of four fifths of each class's images set both on the others; then all of them make
    the prototypes.

    Parameters
    ----------
    features, truth, labels, **options
        Those of `PrototypeIndex.fit`.

    Returns
    -------
    PrototypeIndex
        Not calibrated if no class has five images.

    Raises
    ------
    MeznetError
        As `PrototypeIndex.fit` does.

    Examples
    --------
    >>> pets = LabelSpace("pets", ["cat", "dog"], ["cat", "dog"])
    >>> features = np.eye(2).repeat(5, 0) + np.arange(10)[:, None] / 10
    >>> round(fit_calibrated(features, [0] * 5 + [1] * 5, pets).threshold, 3)
    0.989
    """
    features, truth = np.asarray(features), np.asarray(truth)
    index = PrototypeIndex.fit(features, truth, labels, **options)
    judged = held_out(truth)
    if judged.any():
        part = PrototypeIndex.fit(features[~judged], truth[~judged], labels, **options)
        index.scale = fit_scale(part, features[judged], truth[judged])
        index.threshold = fit_threshold(part, features[judged])
    return index


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
