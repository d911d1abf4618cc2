"""Pictures of nets that were fine-tuned on one task."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from meznet_helpers.errors import MeznetError
from meznet_helpers.images import Dataset
from meznet_helpers.plots.style import (
    MARKERS,
    WIDTH,
    WRONG,
    color,
    frame,
    grid,
    legend,
    panels,
    subplots,
)

PICTURES = 15  #: How many `prediction_grid` draws, at most.
_COSTS = {
    "size_mb": "size of the weights, MB",
    "train_ms": "training, ms per step",
    "predict_ms": "prediction, ms per step",
}


def against_costs(table: pd.DataFrame) -> Figure:
    """Draw accuracy and loss against size, training time and prediction time.

    Parameters
    ----------
    table : DataFrame
        As `meznet_helpers.book.benchmark.run` or `published` returns it.

    Returns
    -------
    matplotlib.figure.Figure
        Six panels, each net with one color and one marker in all; accuracies with their intervals
        where the table has them.

    Examples
    --------
    >>> from meznet_helpers.book.benchmark import published
    >>> len(against_costs(published()).axes)
    6
    """
    figure, axes = subplots(2, 3, (WIDTH, 5.6), sharex="col", sharey="row")
    for row, measure in zip(axes, ("accuracy", "loss"), strict=True):
        for axis, cost in zip(row, _COSTS, strict=True):
            for number, net in enumerate(table.to_dict("records")):
                ends = None
                if measure == "accuracy" and "low" in net:
                    ends = ([net["accuracy"] - net["low"]], [net["high"] - net["accuracy"]])
                axis.errorbar(
                    net[cost], net[measure], yerr=ends, fmt=MARKERS[number % len(MARKERS)],
                    color=color(number), label=net["model"], capsize=3, markersize=7,
                    markeredgecolor="0.2", markeredgewidth=0.5,
                )  # fmt: skip
            axis.set_xscale("log")
            axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.xaxis.set_major_formatter("{x:g}")
            axis.xaxis.set_minor_formatter("")
    for axis, label in zip(axes[1], _COSTS.values(), strict=True):
        axis.set_xlabel(label, fontsize=9)
    axes[0, 0].set_ylabel("accuracy")
    axes[0, 0].yaxis.set_major_formatter("{x:.0%}")
    axes[1, 0].set_ylabel("loss, cross entropy")
    handles, names = axes[0, 0].get_legend_handles_labels()
    markers = [handle.lines[0] for handle in handles]
    figure.legend(markers, names, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    return figure


def learning_curves(history: pd.DataFrame, measure: str = "accuracy") -> Figure:
    """Draw accuracy or loss against epochs, a panel for each net.

    Parameters
    ----------
    history : DataFrame
        Of `meznet_helpers.book.benchmark.Results`.
    measure : {"accuracy", "loss"}

    Returns
    -------
    matplotlib.figure.Figure
        Training dashed, validation solid; a ring marks the epoch whose weights were kept.

    Raises
    ------
    MeznetError
        If the measure is neither.

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"model": "A", "epoch": 1, "loss": 2.0, "valid_loss": 3.0, "best": True}
    >>> learning_curves(pd.DataFrame([row]), "loss").axes[0].get_title()
    'A'
    """
    if measure not in ("accuracy", "loss"):
        raise MeznetError(f'measure is "{measure}"; it must be "accuracy" or "loss".')
    count = history["model"].nunique()
    figure, axes = panels(count, min(count, 5), 0.7, largest=WIDTH / 3, share=True)
    for axis, (model, part) in zip(axes, history.groupby("model", sort=False), strict=True):
        best, valid = part[part["best"]], f"valid_{measure}"
        axis.plot(part["epoch"], part[measure], "--", color=color(1), label="training")
        axis.plot(part["epoch"], part[valid], "-", color=color(0), label="validation")
        ring = {"color": color(0), "fillstyle": "none", "label": "weights kept"}
        axis.plot(best["epoch"], best[valid], "o", **ring)
        axis.set_title(model, fontsize=8)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.tick_params(labelsize=7)
        if measure == "accuracy":
            axis.yaxis.set_major_formatter("{x:.0%}")
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel(measure, fontsize=9)
    legend(figure, axes[0], 3)
    return figure


def confusion_grid(counts: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw the confusion matrix of each net as an image.

    Parameters
    ----------
    counts : mapping of str to DataFrame of int
        As `meznet_helpers.book.benchmark.confusions` returns it: right labels by given ones.

    Returns
    -------
    matplotlib.figure.Figure
        The darker a cell, the larger the share of a right label's images that got the given label;
        the scale follows the square root, so that rare confusions are seen. A net that is always
        right has a dark diagonal and nothing else; a dark column is a label given to everything.

    Examples
    --------
    >>> import pandas as pd
    >>> counts = pd.DataFrame([[3, 1], [0, 4]])
    >>> confusion_grid({"A": counts}).axes[0].images[0].get_array().tolist()
    [[0.75, 0.25], [0.0, 1.0]]
    """
    columns = min(len(counts), 4)
    figure, axes = panels(len(counts), columns, 1.2, largest=WIDTH / 3, style="white")
    for axis, (model, matrix) in zip(axes, counts.items(), strict=True):
        shares = matrix.to_numpy() / matrix.to_numpy().sum(axis=1, keepdims=True).clip(1)
        drawn = axis.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1))
        axis.set_title(model, fontsize=8)
        axis.set(xticks=[], yticks=[])
    figure.supxlabel("given label", fontsize=9)
    figure.supylabel("right label", fontsize=9)
    bar = figure.colorbar(drawn, ax=list(axes), location="top", aspect=60, format="{x:.0%}")
    bar.ax.tick_params(labelsize=7)
    return figure


def prediction_grid(dataset: "Dataset", predictions: pd.DataFrame, *, seed: int = 0) -> Figure:
    """Draw `PICTURES`, chosen at random, with the right label and the one that a net gives.

    Parameters
    ----------
    dataset : Dataset
        With the images that were predicted, and others perhaps.
    predictions : DataFrame
        Of `meznet_helpers.book.benchmark.Results`, of one net.
    seed : int

    Returns
    -------
    matplotlib.figure.Figure
        Above each picture a check mark and the label, or a cross, the label given, and the right
        one in brackets; behind the given label its probability. Wrong ones have a frame.

    Raises
    ------
    MeznetError
        If the predictions are of several nets, or of images that are not there.

    Examples
    --------
    >>> import pandas as pd
    >>> from meznet_helpers import emojizoo
    >>> zoo = emojizoo.render(["cat-face"], 1, size=16)
    >>> row = {"model": "A", "image": zoo.images.names[0], "truth": "cat-face"}
    >>> row |= {"label": "cat-face", "score": 0.9}
    >>> prediction_grid(zoo, pd.DataFrame([row])).axes[0].get_title()
    '✓ cat face, 0.90'
    """
    models = predictions["model"].unique()
    if len(models) != 1:
        raise MeznetError(f"predictions must be of one net, not of {len(models)}.")
    place = {name: number for number, name in enumerate(dataset.images.names)}
    missing = predictions.loc[~predictions["image"].isin(place), "image"]
    if len(missing):
        raise MeznetError(f'the data set has no image "{missing.iloc[0]}", which was predicted.')
    chosen = predictions.sample(min(PICTURES, len(predictions)), random_state=seed).sort_index()
    name = dict(zip(dataset.labels.ids, dataset.labels.names, strict=True))
    figure, axes = grid(len(chosen), min(5, len(chosen)))
    for axis, row in zip(axes, chosen.itertuples(), strict=True):
        axis.imshow(dataset.images[place[row.image]])
        if row.label == row.truth:
            axis.set_title(f"✓ {name[row.truth]}, {row.score:.2f}", fontsize=8)
        else:
            given = f"✗ {name[row.label]}, {row.score:.2f}\n({name[row.truth]})"
            axis.set_title(given, fontsize=8, color=WRONG, fontweight="bold")
            frame(axis)
    return figure
