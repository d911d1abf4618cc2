"""Strategies for many classes as scikit-learn has them, compared: accuracy, and time in one run."""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from meznet_helpers.intervals import wilson

if TYPE_CHECKING:
    import pandas as pd


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
    models: Mapping[str, Any],
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    *,
    repeats: int = 5,
) -> "pd.DataFrame":
    """Fit classifiers and compare accuracy and time in one run.

    Parameters
    ----------
    models : mapping of str to estimator
        The first one is the measure of time.
    train, test : (array (points, features), array of int (points,))
    repeats : int
        How often each is fitted; the fastest counts, and the models take turns.

    Returns
    -------
    DataFrame
        One row for each model: `model`, `n` test points, `hits`, `accuracy`, `low`, `high` (95 %
        Wilson interval), and `time`, how many times as long as the first the fit took.

    Examples
    --------
    >>> x, truth = np.array([[0.0], [1.0], [5.0], [6.0], [10.0], [11.0]]), [0, 0, 1, 1, 2, 2]
    >>> table = compare(strategies(), (x, truth), (x, truth), repeats=1)
    >>> table.columns.tolist(), table["hits"].tolist()
    (['model', 'n', 'hits', 'accuracy', 'low', 'high', 'time'], [6, 6, 6])
    """
    import pandas as pd

    seconds = dict.fromkeys(models, np.inf)
    for _ in range(repeats):
        for name, model in models.items():
            start = time.perf_counter()
            model.fit(*train)
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    n, first = len(test[1]), next(iter(seconds.values()))
    rows = []
    for name, model in models.items():
        hits = int((model.predict(test[0]) == np.asarray(test[1])).sum())
        low, high = wilson(hits, n)
        rows.append([name, n, hits, hits / n, float(low), float(high), seconds[name] / first])
    return pd.DataFrame(rows, columns=["model", "n", "hits", "accuracy", "low", "high", "time"])
