"""Pictures about prototypes: partitions, classes that fail, what was found, and what is foreign."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from meznet_helpers.measure import repeats
from meznet_helpers.plots.pictures import _grid
from meznet_helpers.plots.style import MARKERS, WIDTH

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from meznet_helpers.images import Dataset
    from meznet_helpers.prototypes import Matches


def runs(judged: "Mapping[str, pd.DataFrame]") -> "Figure":
    """Draw the accuracy of each partition, and the mean with its interval.

    Parameters
    ----------
    judged : mapping of str to DataFrame
        Judgments by network, over the same partitions; see `meznet_helpers.measure.repeats`.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each network, a small dot for each partition.

    Examples
    --------
    >>> import pandas as pd
    >>> judged = pd.DataFrame({"run": [0, 0, 1, 1], "rank": [1, 3, 1, 1]})
    >>> runs({"net": judged}).axes[0].get_xlabel()
    'top-1 accuracy, 2 partitions'
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    colors = sns.color_palette("colorblind")
    with sns.axes_style("whitegrid"):
        height = 1.1 + 0.75 * len(judged)
        figure, axis = plt.subplots(figsize=(WIDTH, height), layout="constrained")
    for row, table in enumerate(judged.values()):
        values = repeats.by_run(table, 1)["accuracy"].to_numpy()
        spread = np.linspace(-0.25, 0.05, len(values))
        axis.plot(values, row + spread, ".", color=colors[row], alpha=0.7)
        mean = repeats.accuracy(table, 1).iloc[0]
        ends = [[mean["accuracy"] - mean["low"]], [mean["high"] - mean["accuracy"]]]
        axis.errorbar(
            mean["accuracy"], row + 0.25, xerr=ends, fmt=MARKERS[row], color=colors[row], capsize=3
        )
    axis.set_yticks(range(len(judged)), list(judged))
    axis.invert_yaxis()
    axis.set_xlabel(f"top-1 accuracy, {len(values)} partitions")
    axis.xaxis.set_major_formatter("{x:.0%}")
    plt.close(figure)
    return figure


def cumulative_accuracy(accuracies: Mapping[str, Sequence[float]]) -> "Figure":
    """Draw cumulative accuracy functions, as the staircases that they are.

    Parameters
    ----------
    accuracies : mapping of str to sequence of float
        The accuracies of the classes, by network.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> cumulative_accuracy({"net": [0.5, 1.0]}).axes[0].get_xlabel()
    'share of the 2 classes'
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    with sns.axes_style("whitegrid"):
        figure, axis = plt.subplots(figsize=(WIDTH, 4), layout="constrained")
    styles = ("-", "--", ":", "-.")
    for row, (name, values) in enumerate(accuracies.items()):
        steps = repeats.cumulative_accuracy(values)
        color = sns.color_palette("colorblind")[row]
        edges = [0, *steps["share"]]
        axis.stairs(
            steps["accuracy"], edges, baseline=None, color=color, label=name,
            linestyle=styles[row % 4], linewidth=2,
        )  # fmt: skip
    axis.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=f"share of the {len(values)} classes")
    axis.set_ylabel("accuracy that they do not exceed")
    for each in (axis.xaxis, axis.yaxis):
        each.set_major_formatter("{x:.0%}")
    axis.legend(frameon=False, loc="lower right")
    plt.close(figure)
    return figure


def found(
    dataset: "Dataset", places: Sequence[int], matches: "Matches", *, columns: int = 4
) -> "Figure":
    """Draw queries with the nearest classes below them.

    Parameters
    ----------
    dataset : Dataset
    places : sequence of int
        Of the queries.
    matches : Matches
        What was found for them, in the same order; its labels are those of `dataset`.
    columns : int

    Returns
    -------
    matplotlib.figure.Figure
        Below each picture the classes found with their scores, a check mark at the right one. A
        picture whose first class is wrong has a frame, and its own label above it.

    Examples
    --------
    >>> from meznet_helpers import emojizoo, prototypes
    >>> zoo = emojizoo.render(["cat-face", "dog-face"], 1, size=16)
    >>> index = prototypes.PrototypeIndex.fit([[1, 0.1], [0, 1]], [0, 1], zoo.labels)
    >>> figure = found(zoo, [0], index.search([[1, 0]], 2))
    >>> figure.axes[0].get_title(), figure.axes[0].get_xlabel().split()[0]
    ('cat face', '✓')
    """
    rows = -(-len(places) // columns)
    figure, axes = _grid(rows, columns, WIDTH / columns)
    names = dataset.labels.names
    for axis, place, classes, scores in zip(
        axes.flat, places, matches.classes, matches.scores, strict=False
    ):
        right = dataset.truth[place]
        axis.imshow(dataset.images[place])
        lines = [
            f"{'✓' if at == right else '✗'} {names[at]}, {score:.2f}"
            for at, score in zip(classes, scores, strict=True)
        ]
        wrong = classes[0] != right
        color = "#a33000" if wrong else "black"
        axis.set_title(names[right], fontsize=9, color=color)
        axis.set_xlabel("\n".join(lines), fontsize=8)
        if wrong:
            axis.spines[:].set(visible=True, color=color, linewidth=3)
    for axis in axes.flat[len(places) :]:
        axis.remove()
    return figure


def first_places(scores: Mapping[str, np.ndarray], threshold: float) -> "Figure":
    """Draw how near the nearest class is, for several sorts of pictures.

    Parameters
    ----------
    scores : mapping of str to ndarray
        The first score of each picture, by sort.
    threshold : float
        Below it a picture is rejected.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> first_places({"known": np.array([0.8, 0.9])}, 0.7).axes[0].get_xlabel()
    'score of the nearest class'
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    with sns.axes_style("whitegrid"):
        figure, axis = plt.subplots(figsize=(WIDTH, 3.4), layout="constrained")
    low = min(float(each.min()) for each in scores.values())
    high = max(float(each.max()) for each in scores.values())
    bins, styles = np.linspace(low, high, 41), ("-", "--", ":", "-.")
    for row, (name, values) in enumerate(scores.items()):
        shares = np.histogram(values, bins)[0] / len(values)
        axis.stairs(
            shares, bins, label=f"{name}, n = {len(values):,}", linestyle=styles[row % 4],
            color=sns.color_palette("colorblind")[row], linewidth=2,
        )  # fmt: skip
    axis.axvline(threshold, color="0.2", linewidth=1)
    axis.annotate(
        "none of these", (threshold, 1), (-4, -4), xycoords=("data", "axes fraction"),
        textcoords="offset points", ha="right", va="top", fontsize=9,
    )  # fmt: skip
    axis.set(xlabel="score of the nearest class", ylabel="share of the pictures")
    axis.yaxis.set_major_formatter("{x:.0%}")
    axis.legend(frameon=False, fontsize=9, loc="upper left")
    plt.close(figure)
    return figure


def recall(table: "pd.DataFrame") -> "Figure":
    """Draw recall against time, for exact and approximate search.

    Parameters
    ----------
    table : DataFrame
        As `meznet_helpers.prototypes.compare_searches` returns it.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"search": "exact", "effort": 0, "recall": 1.0, "time": 1.0}
    >>> recall(pd.DataFrame([row])).axes[0].get_ylabel()
    'recall of the 10 nearest'
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    with sns.axes_style("whitegrid"):
        figure, axis = plt.subplots(figsize=(WIDTH, 3.2), layout="constrained")
    for row, (name, part) in enumerate(table.groupby("search", sort=False)):
        color = sns.color_palette("colorblind")[row]
        axis.plot(part["time"], part["recall"], MARKERS[row], color=color, label=name)
        for each in part.itertuples():
            if each.effort:
                axis.annotate(
                    each.effort, (each.time, each.recall), (5, -11), textcoords="offset points",
                    fontsize=8,
                )  # fmt: skip
    axis.set(xlabel="time of a query; exact search takes 1", ylabel="recall of the 10 nearest")
    axis.yaxis.set_major_formatter("{x:.2%}")
    axis.legend(frameon=False)
    plt.close(figure)
    return figure
