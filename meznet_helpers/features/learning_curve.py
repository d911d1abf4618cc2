"""Learning curves: how accuracy grows with the number of examples."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from meznet_helpers.errors import MeznetError
from meznet_helpers.measure import student_t


@threadpool_limits.wrap(limits=1)  # else threads wait for each other longer than they compute
def by_examples(
    features: Mapping[str, np.ndarray],
    model: Any,
    truth: Sequence[int] | np.ndarray,
    counts: Sequence[int],
    *,
    held_out: int,
    seeds: Sequence[int],
) -> pd.DataFrame:
    """Measure how accuracy grows with the number of examples.

    ``sklearn.model_selection.learning_curve`` does not stand here: it counts examples of all
    classes together, and judges by whatever is left.

    Parameters
    ----------
    features : mapping of str to ndarray, shape (images, d)
    model : estimator
        It is cloned, not changed.
    truth : array of int, shape (images,)
    counts : sequence of int
        Examples of each class to learn from.
    held_out : int
        Images of each class to judge, the same ones for all counts and features of a seed.
    seeds : sequence of int
        Each draws anew which images to learn from and which to judge.

    Returns
    -------
    DataFrame
        Columns `features`, `examples`, `seed`, `learned` and `held_out`: accuracy on the
        examples themselves and on the images held out.

    Raises
    ------
    MeznetError
        If a class has too few images.

    Examples
    --------
    >>> x, truth = {"x": np.array([[0.0], [1.0], [9.0], [8.0]])}, [0, 0, 1, 1]
    >>> from meznet_helpers.features.probing import classifiers
    >>> lr = classifiers()["logistic regression"]
    >>> by_examples(x, lr, truth, [1], held_out=1, seeds=[0]).values.tolist()
    [['x', 1, 0, 1.0, 1.0]]
    """
    from sklearn.base import clone

    truth = np.asarray(truth)
    places = [np.flatnonzero(truth == label) for label in np.unique(truth)]
    fewest = min(map(len, places))
    if min(counts) < 1 or held_out < 1 or max(counts) + held_out > fewest:
        raise MeznetError(
            f"The smallest class has {fewest} images; {max(counts)} to learn from and {held_out} "
            "to judge must be 1 or more each, and no more together."
        )
    rows = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        order = [rng.permutation(place) for place in places]
        valid = np.concatenate([place[-held_out:] for place in order])
        for name, x in features.items():
            for count in counts:
                train = np.concatenate([place[:count] for place in order])
                fitted = clone(model).fit(x[train], truth[train])
                scores = [fitted.score(x[part], truth[part]) for part in (train, valid)]
                rows.append([name, count, seed, *scores])
    return pd.DataFrame(rows, columns=["features", "examples", "seed", "learned", "held_out"])


def over_seeds(curve: pd.DataFrame) -> pd.DataFrame:
    """Average a learning curve over its seeds.

    Parameters
    ----------
    curve : DataFrame
        As `by_examples` returns it; two seeds or more.

    Returns
    -------
    DataFrame
        One row for each `features`, `part` (``"learned"`` or ``"held_out"``) and number of
        `examples`: `n` seeds, the mean `accuracy`, `low` and `high` (Student's 95 % interval).

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"features": "x", "examples": 5, "learned": 1.0}
    >>> curve = pd.DataFrame([row | {"held_out": 0.5}, row | {"held_out": 0.7}])
    >>> over_seeds(curve).round(2).values.tolist()
    [['x', 'learned', 5, 2, 1.0, 1.0, 1.0], ['x', 'held_out', 5, 2, 0.6, -0.67, 1.87]]
    """
    rows = []
    for (name, count), part in curve.groupby(["features", "examples"], sort=False):
        for kind in ("learned", "held_out"):
            rows.append([name, kind, count, len(part), *student_t(part[kind])])
    columns = ["features", "part", "examples", "n", "accuracy", "low", "high"]
    return pd.DataFrame(rows, columns=columns)
