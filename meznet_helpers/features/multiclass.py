"""Many classes from classifiers that know two: one against the rest, and one against one.

Both are spelled out here to be read; `sklearn.multiclass` does the same, and the tests compare.
Multinomial regression, which needs neither, is what scikit-learn's `LogisticRegression` does now.
"""

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from meznet_helpers.errors import MeznetError
from meznet_helpers.measure import proportion, timing

REST = -1  # stands for all other classes
FITS = 5  # how often each classifier is fitted to time it


@dataclass(frozen=True, eq=False)
class BinaryLines:
    """Binary linear classifiers that together tell k classes apart.

    Attributes
    ----------
    pairs : ndarray of int, shape (classifiers, 2)
        The class on the positive side of each line, and the one on the other side: `REST` for
        all the others.
    coef : ndarray of float, shape (classifiers, features)
    intercept : ndarray of float, shape (classifiers,)

    Examples
    --------
    >>> x = np.array([[0.0], [1.0], [5.0], [6.0], [10.0], [11.0]])
    >>> lines = one_vs_one(x, [0, 0, 1, 1, 2, 2])
    >>> lines.pairs.tolist(), lines.coef.shape, lines.predict([[0.4], [10.2]]).tolist()
    ([[1, 0], [2, 0], [2, 1]], (3, 1), [0, 2])
    """

    pairs: np.ndarray
    coef: np.ndarray
    intercept: np.ndarray

    @property
    def k(self) -> int:
        """The number of classes."""
        return int(self.pairs.max()) + 1

    @property
    def against_rest(self) -> bool:
        """Whether each classifier has one class against all others."""
        return bool((self.pairs[:, 1] == REST).all())

    def raw(self, x: Any) -> np.ndarray:
        """Return the score of each classifier: positive on its first class' side.

        Parameters
        ----------
        x : array of float, shape (points, features)

        Returns
        -------
        ndarray of float64, shape (points, classifiers)
        """
        return np.asarray(x) @ self.coef.T + self.intercept

    def votes(self, x: Any) -> np.ndarray:
        """Count for each class the classifiers that choose it.

        Against the rest, a class has one vote or none; a point may get no vote at all, or
        several.

        Parameters
        ----------
        x : array of float, shape (points, features)

        Returns
        -------
        ndarray of int, shape (points, k)
        """
        chosen = np.where(self.raw(x) > 0, self.pairs[:, 0], self.pairs[:, 1])
        return np.stack([(chosen == label).sum(1) for label in range(self.k)], axis=1)

    def undecided(self, x: Any) -> np.ndarray:
        """Say which points the votes alone don't decide: several classes have the most.

        Parameters
        ----------
        x : array of float, shape (points, features)

        Returns
        -------
        ndarray of bool, shape (points,)
        """
        votes = self.votes(x)
        return (votes == votes.max(1, keepdims=True)).sum(1) > 1

    def scores(self, x: Any) -> np.ndarray:
        """Return one score for each class; the highest wins.

        Against the rest they are the raw scores: the most confident classifier wins, whatever the
        votes. One against one they are the votes, and to break ties, less than one vote's worth of
        the raw scores that speak for the class, summed, as scikit-learn's ``OneVsOneClassifier``
        has it.

        Parameters
        ----------
        x : array of float, shape (points, features)

        Returns
        -------
        ndarray of float64, shape (points, k)
        """
        raw = self.raw(x)
        if self.against_rest:
            return raw
        speaks = np.zeros((len(raw), self.k))
        for (label, other), score in zip(self.pairs, raw.T, strict=True):
            speaks[:, label] += score
            speaks[:, other] -= score
        return self.votes(x) + speaks / (3 * (np.abs(speaks) + 1))

    def predict(self, x: Any) -> np.ndarray:
        """Return the class with the highest score.

        Parameters
        ----------
        x : array of float, shape (points, features)

        Returns
        -------
        ndarray of int, shape (points,)
        """
        return self.scores(x).argmax(1)


def one_vs_rest(x: Any, truth: Sequence[int] | np.ndarray, **options: Any) -> BinaryLines:
    """Fit one binary logistic regression for each class: this class, or another?

    Parameters
    ----------
    x : array of float, shape (points, features)
    truth : array of int, shape (points,)
        Classes 0 to k - 1.
    **options
        Of ``sklearn.linear_model.LogisticRegression``.

    Returns
    -------
    BinaryLines
        k classifiers, each fitted on all points.

    Raises
    ------
    MeznetError
        If there are fewer than three classes, or one of them has no point.

    Examples
    --------
    >>> x = np.array([[0.0, 1.0], [1.0, 0.0], [5.0, 5.0], [6.0, 5.0], [0.0, 9.0], [1.0, 9.0]])
    >>> lines = one_vs_rest(x, [0, 0, 1, 1, 2, 2])
    >>> lines.coef.shape, lines.intercept.shape, lines.predict(x).tolist()
    ((3, 2), (3,), [0, 0, 1, 1, 2, 2])
    """
    truth = _classes(truth)
    pairs = [(label, REST) for label in range(truth.max() + 1)]
    return _fit(pairs, [(np.asarray(x), truth == label) for label, _ in pairs], options)


def one_vs_one(x: Any, truth: Sequence[int] | np.ndarray, **options: Any) -> BinaryLines:
    """Fit one binary logistic regression for each pair of classes: this one, or that one?

    Parameters
    ----------
    x : array of float, shape (points, features)
    truth : array of int, shape (points,)
        Classes 0 to k - 1.
    **options
        Of ``sklearn.linear_model.LogisticRegression``.

    Returns
    -------
    BinaryLines
        k (k - 1) / 2 classifiers, each fitted on the points of its two classes.

    Raises
    ------
    MeznetError
        If there are fewer than three classes, or one of them has no point.
    """
    x, truth = np.asarray(x), _classes(truth)
    pairs = [(high, low) for low, high in itertools.combinations(range(truth.max() + 1), 2)]
    inside = [np.isin(truth, pair) for pair in pairs]
    parts = [(x[rows], truth[rows] == high) for rows, (high, _) in zip(inside, pairs, strict=True)]
    return _fit(pairs, parts, options)


def _classes(truth: Sequence[int] | np.ndarray) -> np.ndarray:
    """Check that classes are numbered from 0 and none is empty."""
    truth = np.asarray(truth)
    classes = np.unique(truth)
    if len(classes) < 3:
        raise MeznetError(f"{len(classes)} classes need no strategy; give three or more.")
    if classes.tolist() != list(range(len(classes))):
        raise MeznetError(
            f"classes must be numbered 0 to {len(classes) - 1}, each with a point, not "
            f"{', '.join(map(str, classes[:5]))}{' ...' if len(classes) > 5 else ''}."
        )
    return truth


def _fit(
    pairs: list[tuple[int, int]],
    parts: list[tuple[np.ndarray, np.ndarray]],
    options: dict[str, Any],
) -> BinaryLines:
    """Fit one line for each part of the points."""
    from sklearn.linear_model import LogisticRegression

    fitted = [LogisticRegression(**options).fit(*part) for part in parts]
    return BinaryLines(
        np.array(pairs),
        np.concatenate([line.coef_ for line in fitted]),
        np.concatenate([line.intercept_ for line in fitted]),
    )


def count(k: int) -> dict[str, int]:
    """Count the classifiers that each strategy fits.

    Parameters
    ----------
    k : int
        Number of classes.

    Returns
    -------
    dict of str to int

    Examples
    --------
    >>> count(20)
    {'multinomial': 1, 'one against the rest': 20, 'one against one': 190}
    """
    return {
        "multinomial": 1,
        "one against the rest": k,
        "one against one": k * (k - 1) // 2,
    }


def strategies(seed: int = 0, **options: Any) -> dict[str, Any]:
    """Return scikit-learn's classifier for each strategy, not fitted yet.

    Parameters
    ----------
    seed : int
    **options
        Of ``sklearn.linear_model.LogisticRegression``.

    Returns
    -------
    dict of str to estimator
        With the keys of `count`.

    Examples
    --------
    >>> list(strategies()) == list(count(3))
    True
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier

    model = LogisticRegression(random_state=seed, **options)
    wrapped = (model, OneVsRestClassifier(model), OneVsOneClassifier(model))
    return dict(zip(count(2), wrapped, strict=True))


def compare(
    models: Mapping[str, Any], train: tuple[Any, Any], test: tuple[Any, Any]
) -> pd.DataFrame:
    """Fit classifiers and compare accuracy and time in one run.

    Parameters
    ----------
    models : mapping of str to estimator
        The first one is the measure of time.
    train, test : (array (points, features), array of int (points,))

    Returns
    -------
    DataFrame
        One row for each model: `model`, `n` test points, `hits`, `accuracy`, `low`, `high` (95 %
        Wilson interval), and `time`, how many times as long as the first the fit took (the medians
        of `FITS` that were timed).

    Examples
    --------
    >>> x, truth = np.array([[0.0], [1.0], [5.0], [6.0], [10.0], [11.0]]), [0, 0, 1, 1, 2, 2]
    >>> table = compare(strategies(), (x, truth), (x, truth))
    >>> table.columns.tolist(), table["hits"].tolist()
    (['model', 'n', 'hits', 'accuracy', 'low', 'high', 'time'], [6, 6, 6])
    """
    fits = [functools.partial(model.fit, *train) for model in models.values()]
    ms = timing.milliseconds(*fits, repeats=FITS)
    right = [(model.predict(test[0]) == np.asarray(test[1])).sum() for model in models.values()]
    shares = proportion(np.array(right), np.full(len(right), len(test[1])))
    return pd.DataFrame({"model": list(models)} | shares | {"time": np.array(ms) / ms[0]})
