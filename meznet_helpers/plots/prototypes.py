"""Pictures about prototypes: partitions, classes that fail, what was found, and what is foreign."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from meznet_helpers.images import Dataset
from meznet_helpers.measure import repeats
from meznet_helpers.plots.style import LINES, MARKERS, WRONG, color, frame, grid, panel
from meznet_helpers.prototypes import Matches


def runs(judged: Mapping[str, pd.DataFrame]) -> Figure:
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
    figure, axis = panel(1.1 + 0.75 * len(judged))
    for row, table in enumerate(judged.values()):
        values = repeats.by_run(table, 1)["accuracy"].to_numpy()
        spread = np.linspace(-0.25, 0.05, len(values))
        axis.plot(values, row + spread, ".", color=color(row), alpha=0.7)
        mean = repeats.accuracy(table, 1).iloc[0]
        ends = [[mean["accuracy"] - mean["low"]], [mean["high"] - mean["accuracy"]]]
        look = {"fmt": MARKERS[row], "color": color(row), "capsize": 3}
        axis.errorbar(mean["accuracy"], row + 0.25, xerr=ends, **look)
    axis.set_yticks(range(len(judged)), list(judged))
    axis.invert_yaxis()
    axis.set_xlabel(f"top-1 accuracy, {len(values)} partitions")
    axis.xaxis.set_major_formatter("{x:.0%}")
    return figure


def cumulative_accuracy(accuracies: Mapping[str, Sequence[float]]) -> Figure:
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
    figure, axis = panel(4)
    for row, (name, values) in enumerate(accuracies.items()):
        steps = repeats.cumulative_accuracy(values)
        look = {"color": color(row), "linestyle": LINES[row % 4], "linewidth": 2}
        axis.stairs(
            steps["accuracy"], [0, *steps["share"]], baseline=None, label=name, **look
        )  # fmt: skip
    axis.set(xlim=(0, 1), ylim=(0, 1.02), xlabel=f"share of the {len(values)} classes")
    axis.set_ylabel("accuracy that they do not exceed")
    axis.xaxis.set_major_formatter("{x:.0%}")
    axis.yaxis.set_major_formatter("{x:.0%}")
    axis.legend(frameon=False, loc="lower right")
    return figure


def found(dataset: "Dataset", places: Sequence[int], matches: "Matches") -> Figure:
    """Draw queries, four in a row, with the nearest classes below them.

    Parameters
    ----------
    dataset : Dataset
    places : sequence of int
        Of the queries.
    matches : Matches
        What was found for them, in the same order; its labels are those of `dataset`.

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
    figure, axes = grid(len(places), 4)
    names = dataset.labels.names
    for axis, place, classes, scores in zip(
        axes, places, matches.classes, matches.scores, strict=True
    ):
        right = dataset.truth[place]
        axis.imshow(dataset.images[place])
        lines = [
            f"{'✓' if label == right else '✗'} {names[label]}, {score:.2f}"
            for label, score in zip(classes, scores, strict=True)
        ]
        wrong = classes[0] != right
        axis.set_title(names[right], fontsize=9, color=WRONG if wrong else "black")
        axis.set_xlabel("\n".join(lines), fontsize=8)
        if wrong:
            frame(axis)
    return figure


def first_places(scores: Mapping[str, np.ndarray], threshold: float) -> Figure:
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
    figure, axis = panel(3.4)
    everything = np.concatenate(list(scores.values()))
    bins = np.linspace(everything.min(), everything.max(), 41)
    for row, (name, values) in enumerate(scores.items()):
        shares = np.histogram(values, bins)[0] / len(values)
        look = {"color": color(row), "linestyle": LINES[row % 4], "linewidth": 2}
        axis.stairs(shares, bins, label=f"{name}, n = {len(values):,}", **look)
    axis.axvline(threshold, color="0.2", linewidth=1)
    axis.annotate(
        "none of these", (threshold, 1), (-4, -4), xycoords=("data", "axes fraction"),
        textcoords="offset points", ha="right", va="top", fontsize=9,
    )  # fmt: skip
    axis.set(xlabel="score of the nearest class", ylabel="share of the pictures")
    axis.yaxis.set_major_formatter("{x:.0%}")
    axis.legend(frameon=False, fontsize=9, loc="upper left")
    return figure


def recall(table: pd.DataFrame) -> Figure:
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
    figure, axis = panel(3.2)
    for number, (name, part) in enumerate(table.groupby("search", sort=False)):
        look = {"color": color(number), "label": name}
        axis.plot(part["time"], part["recall"], MARKERS[number], **look)
        for row in part[part["effort"] > 0].itertuples():
            above = {"textcoords": "offset points", "fontsize": 8}
            axis.annotate(row.effort, (row.time, row.recall), (5, -11), **above)
    axis.set(xlabel="time of a query; exact search takes 1", ylabel="recall of the 10 nearest")
    axis.yaxis.set_major_formatter("{x:.2%}")
    axis.legend(frameon=False)
    return figure
