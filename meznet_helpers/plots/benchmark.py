"""Pictures of nets that were fine-tuned on one task."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from meznet_helpers.errors import MeznetError
from meznet_helpers.plots.pictures import _grid
from meznet_helpers.plots.style import MARKERS, WIDTH

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from meznet_helpers.images import Dataset

_COSTS = {
    "size_mb": "size of the weights, MB",
    "train_ms": "training, ms per step",
    "predict_ms": "prediction, ms per step",
}


def against_costs(table: "pd.DataFrame") -> "Figure":
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
    import matplotlib.pyplot as plt
    import seaborn as sns
    from matplotlib.ticker import LogLocator

    with sns.axes_style("whitegrid"):
        figure, axes = plt.subplots(
            2, 3, sharex="col", sharey="row", figsize=(WIDTH, 5.6), layout="constrained"
        )
    colors = sns.color_palette("colorblind", len(MARKERS))
    for row, measure in zip(axes, ("accuracy", "loss"), strict=True):
        for axis, cost in zip(row, _COSTS, strict=True):
            for number, net in enumerate(table.to_dict("records")):
                ends = None
                if measure == "accuracy" and "low" in net:
                    ends = ([net["accuracy"] - net["low"]], [net["high"] - net["accuracy"]])
                place = number % len(MARKERS)
                axis.errorbar(
                    net[cost], net[measure], yerr=ends, fmt=MARKERS[place], markersize=7,
                    color=colors[place], label=net["model"], capsize=3, markeredgecolor="0.2",
                    markeredgewidth=0.5,
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
    markers = [each.lines[0] for each in handles]
    figure.legend(markers, names, loc="outside lower center", ncols=5, fontsize=8, frameon=False)
    plt.close(figure)
    return figure


def learning_curves(history: "pd.DataFrame", measure: str = "accuracy") -> "Figure":
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
    import seaborn as sns

    if measure not in ("accuracy", "loss"):
        raise MeznetError(f'measure is "{measure}"; it must be "accuracy" or "loss".')
    figure, axes = _panels(history["model"].nunique(), 5, share=True)
    learned, judged = sns.color_palette("colorblind")[1], sns.color_palette("colorblind")[0]
    for axis, (model, part) in zip(axes, history.groupby("model", sort=False), strict=True):
        kept = part[part["best"]]
        axis.plot(part["epoch"], part[measure], "--", color=learned, label="training")
        axis.plot(part["epoch"], part[f"valid_{measure}"], "-", color=judged, label="validation")
        axis.plot(
            kept["epoch"], kept[f"valid_{measure}"], "o", color=judged, fillstyle="none",
            label="weights kept",
        )  # fmt: skip
        axis.set_title(model, fontsize=8)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.tick_params(labelsize=7)
        if measure == "accuracy":
            axis.yaxis.set_major_formatter("{x:.0%}")
    figure.supxlabel("epoch", fontsize=9)
    figure.supylabel(measure, fontsize=9)
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8,
        frameon=False,
    )  # fmt: skip
    return figure


def confusion_grid(counts: "Mapping[str, pd.DataFrame]") -> "Figure":
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
    from matplotlib.colors import PowerNorm

    figure, axes = _panels(len(counts), 4, head=1.2)
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


def prediction_grid(
    dataset: "Dataset", predictions: "pd.DataFrame", *, count: int = 15, seed: int = 0
) -> "Figure":
    """Draw pictures with the right label and the one that a net gives.

    Parameters
    ----------
    dataset : Dataset
        With the images that were predicted, and others perhaps.
    predictions : DataFrame
        Of `meznet_helpers.book.benchmark.Results`, of one net.
    count : int
        How many, drawn at random.
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
    chosen = predictions.sample(min(count, len(predictions)), random_state=seed).sort_index()
    name = dict(zip(dataset.labels.ids, dataset.labels.names, strict=True))
    columns = min(5, len(chosen))
    figure, axes = _grid(-(-len(chosen) // columns), columns, WIDTH / columns)
    for axis, row in zip(axes.flat, chosen.itertuples(), strict=False):
        axis.imshow(dataset.images[place[row.image]])
        if row.label == row.truth:
            axis.set_title(f"✓ {name[row.truth]}, {row.score:.2f}", fontsize=8)
        else:
            given = f"✗ {name[row.label]}, {row.score:.2f}\n({name[row.truth]})"
            axis.set_title(given, fontsize=8, color="#a33000", fontweight="bold")
            axis.spines[:].set(visible=True, color="#a33000", linewidth=3)
    for axis in axes.flat[len(chosen) :]:
        axis.remove()
    return figure


def _panels(
    count: int, columns: int, *, share: bool = False, head: float = 0.7
) -> "tuple[Figure, Sequence]":
    """Make a panel for each net, so many in a row, and room for a legend."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    columns = min(columns, count)
    rows, side = -(-count // columns), min(WIDTH / columns, WIDTH / 3)
    with sns.axes_style("whitegrid" if share else "white"):
        figure, axes = plt.subplots(
            rows, columns, squeeze=False, sharex=share, sharey=share, layout="constrained",
            figsize=(columns * side, head + rows * side),
        )  # fmt: skip
    for axis in axes.flat[count:]:
        axis.remove()
    plt.close(figure)
    return figure, axes.flat[:count]
