"""What judging over several runs says: accuracy, classes that fail, and pairs that are confused.

A table of judgments has one row for each image judged in each run: columns `run`, `image` (its
place), `truth`, `guess` (positions of labels) and `rank` (of the true label, 1 for the top).
`meznet_helpers.prototypes.study.judge` makes such tables.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.measure.intervals import student_t

if TYPE_CHECKING:
    import pandas as pd


def by_run(judged: "pd.DataFrame", k: int | Sequence[int] = (1, 4)) -> "pd.DataFrame":
    """Return the top-k accuracies of each run.

    Parameters
    ----------
    judged : DataFrame
        A table of judgments.
    k : int or sequence of int

    Returns
    -------
    DataFrame
        One row for each run and k: `run`, `k`, `n` images judged, `accuracy`.

    Examples
    --------
    >>> import pandas as pd
    >>> judged = pd.DataFrame({"run": [0, 0, 1], "rank": [1, 3, 1]})
    >>> by_run(judged).values.tolist()
    [[0.0, 1.0, 2.0, 0.5], [0.0, 4.0, 2.0, 1.0], [1.0, 1.0, 1.0, 1.0], [1.0, 4.0, 1.0, 1.0]]
    """
    import pandas as pd

    ks = [k] if isinstance(k, int | np.integer) else list(k)
    rows = [
        [run, first, len(ranks), (ranks <= first).mean()]
        for run, ranks in judged.groupby("run")["rank"]
        for first in ks
    ]
    return pd.DataFrame(rows, columns=["run", "k", "n", "accuracy"])


def accuracy(
    judged: "pd.DataFrame", k: int | Sequence[int] = (1, 4), *, overlap: float = 0.0
) -> "pd.DataFrame":
    """Average top-k accuracies over the runs.

    Parameters
    ----------
    judged, k
        As for `by_run`; two runs or more.
    overlap : float
        Images judged in a run divided by those it learns from, if the runs share images: 0.25 where
        a fifth is held out. It makes the interval wider, by the square root of 1 + runs * overlap
        (Nadeau and Bengio, Inference for the generalization error, Machine Learning 52, 2003). At
        0 runs count as independent.

    Returns
    -------
    DataFrame
        One row for each k: `k`, `runs`, `n` images judged in each run (on average), `accuracy`,
        `low`, `high` (Student's 95 % interval over the runs), `least` and `most` (of a single
        run).

    Raises
    ------
    MeznetError
        If there is one run only.

    Examples
    --------
    >>> import pandas as pd
    >>> judged = pd.DataFrame({"run": [0, 0, 1, 1], "rank": [1, 3, 1, 1]})
    >>> accuracy(judged, 1)[["runs", "accuracy", "least", "most"]].values.tolist()
    [[2.0, 0.75, 0.5, 1.0]]
    """
    import pandas as pd

    rows = []
    for first, part in by_run(judged, k).groupby("k", sort=False):
        values = part["accuracy"]
        mean, low, high = student_t(values)
        wider = np.sqrt(1 + len(values) * overlap)
        ends = (mean - wider * (mean - low), mean + wider * (high - mean))
        rows.append([first, len(part), part["n"].mean(), mean, *ends, values.min(), values.max()])
    columns = ["k", "runs", "n", "accuracy", "low", "high", "least", "most"]
    return pd.DataFrame(rows, columns=columns)


def by_class(judged: "pd.DataFrame", labels: Sequence[str]) -> "pd.DataFrame":
    """Return the accuracy of each class over all runs together, the least accurate first.

    Parameters
    ----------
    judged : DataFrame
    labels : sequence of str
        Names of all classes.

    Returns
    -------
    DataFrame
        `label`, `n` judgments, `images` (different ones), `accuracy`, and `mistaken`: the name of
        the class that is most often given instead, or none.

    Examples
    --------
    >>> import pandas as pd
    >>> judged = pd.DataFrame({"run": 0, "image": [0, 1, 2], "truth": [0, 0, 1]})
    >>> judged = judged.assign(guess=[1, 0, 1], rank=[2, 1, 1])
    >>> by_class(judged, ["cat", "dog"]).values.tolist()
    [['cat', 2, 2, 0.5, 'dog'], ['dog', 1, 1, 1.0, '']]
    """
    import pandas as pd

    rows = []
    for truth, part in judged.groupby("truth"):
        wrong = part.loc[part["rank"] > 1, "guess"].value_counts()
        mistaken = labels[wrong.sort_index(kind="stable").idxmax()] if len(wrong) else ""
        right = (part["rank"] == 1).mean()
        rows.append([labels[truth], len(part), part["image"].nunique(), right, mistaken])
    table = pd.DataFrame(rows, columns=["label", "n", "images", "accuracy", "mistaken"])
    return table.sort_values("accuracy", kind="stable", ignore_index=True)


def confused(judged: "pd.DataFrame", labels: Sequence[str], count: int = 10) -> "pd.DataFrame":
    """Return the pairs of classes that are taken for each other most often, either way.

    Parameters
    ----------
    judged : DataFrame
    labels : sequence of str
    count : int
        Pairs, at most.

    Returns
    -------
    DataFrame
        `first`, `second` (names), `there` (the first taken for the second), `back`, and `share`
        of the two classes' judgments that are such mistakes.

    Examples
    --------
    >>> import pandas as pd
    >>> judged = pd.DataFrame({"run": 0, "truth": [0, 0, 1, 1], "guess": [0, 1, 1, 1]})
    >>> confused(judged, ["cat", "dog"]).values.tolist()
    [['cat', 'dog', 1, 0, 0.25]]
    """
    import pandas as pd
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(judged["truth"], judged["guess"], labels=range(len(labels)))
    both, sums = np.triu(counts + counts.T, 1), counts.sum(axis=1)
    first, second = np.nonzero(both)
    names = np.array(labels, dtype=object)
    table = pd.DataFrame(
        {
            "first": names[first],
            "second": names[second],
            "there": counts[first, second],
            "back": counts[second, first],
            "share": both[first, second] / (sums[first] + sums[second]),
        }
    )
    return table.sort_values("share", ascending=False, kind="stable", ignore_index=True).head(count)


def cumulative_accuracy(accuracies: Sequence[float] | np.ndarray) -> "pd.DataFrame":
    """Return the cumulative accuracy function, exactly.

    At a share of the classes it says which accuracy those of them that fail most do not exceed:
    the inverse of the distribution function of the classes' accuracies. It is a staircase with one
    step for each different accuracy.

    Parameters
    ----------
    accuracies : array of float, shape (classes,)
        In any order.

    Returns
    -------
    DataFrame
        One row for each step: `accuracy`, and `share`, of the classes whose accuracy is not
        greater. Between the share of the row before it and its own the function has the value of
        a row.

    Raises
    ------
    MeznetError
        If there is no accuracy, or one does not lie between 0 and 1.

    Notes
    -----
    I. Sivchek, Similarity search for an image classification task, 2025, defines it, and samples
    it at ten places, where a step can be missed by a tenth of the classes.

    Examples
    --------
    >>> cumulative_accuracy([1.0, 0.5, 1.0, 0.75]).values.tolist()
    [[0.5, 0.25], [0.75, 0.5], [1.0, 1.0]]
    """
    import pandas as pd

    values = np.asarray(accuracies, dtype=float)
    if values.ndim != 1 or not values.size or not ((values >= 0) & (values <= 1)).all():
        raise MeznetError(
            f"accuracies must be numbers from 0 to 1, one for each class, not {accuracies!r}."
        )
    steps, counts = np.unique(values, return_counts=True)
    return pd.DataFrame({"accuracy": steps, "share": counts.cumsum() / len(values)})


def error_reduction(before: float, after: float) -> float:
    """Return by which share the errors become fewer from one accuracy to another.

    Parameters
    ----------
    before, after : float
        Accuracies, below 1 and up to 1.

    Returns
    -------
    float
        1 if no error is left, 0 if all are, below 0 if there are more.

    Raises
    ------
    MeznetError
        If there is no error to begin with.

    Examples
    --------
    >>> round(error_reduction(0.951, 0.966), 3)
    0.306
    """
    if not 0 <= before < 1 or not 0 <= after <= 1:
        raise MeznetError(
            f"from an accuracy of {before} to {after}: the first must leave an error, and both lie "
            "between 0 and 1."
        )
    return (after - before) / (1 - before)
