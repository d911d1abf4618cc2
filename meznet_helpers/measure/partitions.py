"""Ways to divide images, again and again, into those to learn from and those to judge.

Each way returns how often each image is learned from in each run; an image that is not learned from
is judged. All of them divide each class by itself, so that every class is in both parts.

scikit-learn's splitters do not stand here: for the same seed they give other parts, so that the
book's numbers would change. Its `StratifiedShuffleSplit` holds out a share of all images, not of
each class and rounded down, and nothing of it draws with replacement. `by_group` gives the parts of
its `LeaveOneGroupOut`, in the form that the others have.
"""

from collections.abc import Sequence

import numpy as np

from meznet_helpers.errors import MeznetError


def random(truth: Sequence[int] | np.ndarray, runs: int = 20, *, seed: int = 0) -> np.ndarray:
    """Hold out a fifth of each class at random, rounded down, anew in each run.

    The document of chapter 5 does so.

    Parameters
    ----------
    truth : array of int, shape (images,)
    runs : int
    seed : int

    Returns
    -------
    ndarray of int64, shape (runs, images)
        1 to learn from, 0 to judge.

    Raises
    ------
    MeznetError
        If a class would be left without an image in one of the parts, or there is no run.

    Examples
    --------
    >>> random([0] * 5 + [1] * 5, 2).sum(axis=1).tolist()
    [8, 8]
    """
    places, rng = _places(truth, runs), np.random.default_rng(seed)
    weights = np.ones((runs, len(truth)), np.int64)
    for label, place in places.items():
        if len(place) < 5:
            raise MeznetError(
                f"class {label} has {len(place)} image{'s'[: len(place) - 1]}; with a fifth held "
                "out one part would have none of it."
            )
        for run in weights:
            run[rng.permutation(place)[: len(place) // 5]] = 0
    return weights


def folds(truth: Sequence[int] | np.ndarray, count: int = 5, *, seed: int = 0) -> np.ndarray:
    """Cross-validate: each image is judged in one of `count` runs.

    Parameters
    ----------
    truth : array of int, shape (images,)
    count : int
        Two or more.
    seed : int

    Returns
    -------
    ndarray of int64, shape (count, images)
        As `random`.

    Raises
    ------
    MeznetError
        If a class has fewer images than there are folds.

    Examples
    --------
    >>> (folds([0] * 6, 3) == 0).sum(axis=1).tolist()
    [2, 2, 2]
    """
    places, rng = _places(truth, count), np.random.default_rng(seed)
    weights = np.ones((count, len(truth)), np.int64)
    for label, place in places.items():
        if not 2 <= count <= len(place):
            raise MeznetError(
                f"class {label} has {len(place)} images, which can't be cut into {count} folds; "
                "take two folds or more, and as many images at least."
            )
        for run, part in zip(weights, np.array_split(rng.permutation(place), count), strict=True):
            run[part] = 0
    return weights


def resampled(truth: Sequence[int] | np.ndarray, runs: int = 20, *, seed: int = 0) -> np.ndarray:
    """Bootstrap: draw as many images of each class as it has, with replacement.

    What was not drawn is judged, about 37 % of the images (Efron 1983, the out-of-bag estimate).

    Parameters
    ----------
    truth : array of int, shape (images,)
    runs : int
    seed : int

    Returns
    -------
    ndarray of int64, shape (runs, images)
        How often each image was drawn; 0 to judge.

    Raises
    ------
    MeznetError
        If a class has one image: it would always be drawn.

    Examples
    --------
    >>> drawn = resampled([0] * 50 + [1] * 50, 3)
    >>> drawn[:, :50].sum(axis=1).tolist(), bool((drawn == 0).any())
    ([50, 50, 50], True)
    """
    places, rng = _places(truth, runs), np.random.default_rng(seed)
    weights = np.zeros((runs, len(truth)), np.int64)
    for label, place in places.items():
        if len(place) < 2:
            raise MeznetError(f"class {label} has one image, which would always be drawn.")
        for run in weights:
            run[place] = np.bincount(rng.integers(len(place), size=len(place)), None, len(place))
    return weights


def by_group(groups: Sequence[str]) -> np.ndarray:
    """Hold out each group in turn, such as each of Emoji Zoo's art styles.

    Parameters
    ----------
    groups : sequence of str, shape (images,)

    Returns
    -------
    ndarray of int64, shape (groups, images)
        As `random`; the groups in alphabetical order.

    Raises
    ------
    MeznetError
        If there is one group only.

    Examples
    --------
    >>> by_group(["old", "new", "old"]).tolist()
    [[1, 0, 1], [0, 1, 0]]
    """
    names = np.unique(groups)
    if len(names) < 2:
        raise MeznetError(f"there are {len(names)} groups; it takes two or more to hold one out.")
    return (np.asarray(groups) != names[:, None]).astype(np.int64)


def _places(truth: Sequence[int] | np.ndarray, runs: int) -> dict[int, np.ndarray]:
    """Return the places of each class."""
    truth = np.asarray(truth)
    if runs < 1 or truth.ndim != 1 or not truth.size:
        raise MeznetError(
            f"{runs} runs over labels of shape {truth.shape}: take one run or more, of one label "
            "for each image."
        )
    return {int(label): np.flatnonzero(truth == label) for label in np.unique(truth)}
