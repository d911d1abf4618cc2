"""Pictures of accuracies, with their intervals."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from meznet_helpers.plots.style import MARKERS, color, panel, short


def accuracy_against_size(table: pd.DataFrame, *, named: Sequence[str] = ()) -> Figure:
    """Draw published top-1 accuracy against the size of the weights.

    Parameters
    ----------
    table : DataFrame
        As `meznet_helpers.book.published.keras_applications` returns it.
    named : sequence of str
        Models to write the names of.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from meznet_helpers.book.published import keras_applications
    >>> accuracy_against_size(keras_applications()).axes[0].get_xscale()
    'log'
    """
    family = table["model"].str.extract(
        r"^(VGG|ResNet|DenseNet|MobileNet|NASNet|EfficientNetV2|"
        r"EfficientNet|ConvNeXt|Inception|Xception)"
    )[0]
    figure, axis = panel(4.8)
    sns.scatterplot(
        table.assign(family=family), x="size_mb", y="top1", hue="family", style="family", s=60,
        ax=axis,
    )  # fmt: skip
    axis.set(xscale="log", xlabel="size of the weights, MB", ylabel="top-1 accuracy, ImageNet")
    axis.xaxis.set_major_formatter("{x:.0f}")
    axis.yaxis.set_major_formatter("{x:.0%}")
    sns.move_legend(
        axis, "center left", bbox_to_anchor=(1, 0.5), title="", fontsize=8, frameon=False
    )
    for row in table[table["model"].isin(named)].itertuples():
        axis.annotate(
            row.model, (row.size_mb, row.top1), (5, -11), textcoords="offset points", fontsize=8
        )
    return figure


def spell(summary: pd.DataFrame) -> Figure:
    """Draw top-1 accuracy with its interval, per net and condition.

    Parameters
    ----------
    summary : DataFrame
        As `meznet_helpers.book.spell.summary` returns it.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from meznet_helpers.book.spell import reference
    >>> spell(reference().query("n == 500")).axes[0].get_ylabel()
    'top-1 accuracy, n = 500'
    """
    rows = summary[summary["k"] == 1]
    conditions, models = rows["condition"].unique(), rows["model"].unique()
    figure, axis = panel(3.8)
    width = 0.8 / len(conditions)
    for number, condition in enumerate(conditions):
        part = rows[rows["condition"] == condition].set_index("model").loc[models]
        axis.bar(
            np.arange(len(models)) + (number - (len(conditions) - 1) / 2) * width,
            part["accuracy"],
            width,
            label=condition,
            color=color(number),
            yerr=(part["accuracy"] - part["low"], part["high"] - part["accuracy"]),
            capsize=3,
        )
    axis.set_xticks(range(len(models)), [short(name) for name in models])
    axis.set_ylabel(f"top-1 accuracy, n = {rows['n'].iloc[0]:,}")
    axis.yaxis.set_major_formatter("{x:.0%}")
    above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1), "ncols": len(conditions)}
    axis.legend(title="", fontsize=9, frameon=False, **above)
    return figure


def gains(table: pd.DataFrame, base: str) -> Figure:
    """Draw how much more accurate models are than one of them, with intervals.

    Parameters
    ----------
    table : DataFrame
        As `meznet_helpers.measure.against` returns it.
    base : str
        The model that the others were compared with; it is the line at zero.

    Returns
    -------
    matplotlib.figure.Figure
        An interval that crosses the line at zero is gray.

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"model": "soft", "n": 5, "gain": 0.1, "gain_low": 0.05, "gain_high": 0.2}
    >>> gains(pd.DataFrame([row]), "keras/A@tiny").axes[0].get_xlabel()
    'points of top-1 accuracy gained on A, n = 5'
    """
    rows = table[table["model"] != base].iloc[::-1]
    figure, axis = panel(1 + 0.28 * len(rows))
    for place, row in enumerate(rows.itertuples()):
        sure = color(0) if row.gain_low > 0 else color(3) if row.gain_high < 0 else "0.55"
        ends = ([100 * (row.gain - row.gain_low)], [100 * (row.gain_high - row.gain)])
        axis.errorbar(100 * row.gain, place, xerr=ends, fmt="o", color=sure, capsize=3)
    axis.axvline(0, color="0.2", linewidth=1)
    axis.set_yticks(range(len(rows)), [short(name) for name in rows["model"]])
    n = int(table["n"].iloc[0])
    axis.set_xlabel(f"points of top-1 accuracy gained on {short(base)}, n = {n:,}")
    return figure


def by_size(table: pd.DataFrame) -> Figure:
    """Draw the accuracy of ensembles against the number of their nets.

    Parameters
    ----------
    table : DataFrame
        As `meznet_helpers.ensembles.by_size` returns it.

    Returns
    -------
    matplotlib.figure.Figure
        A dot for each ensemble; a line through the means.

    Examples
    --------
    >>> import pandas as pd
    >>> by_size(pd.DataFrame({"nets": [1, 1, 2], "accuracy": [0.1, 0.2, 0.3]})).axes[0].get_xlabel()
    'nets in the ensemble'
    """
    figure, axis = panel(3.8)
    axis.plot(table["nets"], table["accuracy"], "o", color="0.6", label="one ensemble")
    means = table.groupby("nets")["accuracy"].agg(["mean", "max"])
    axis.plot(means.index, means["mean"], "-", label="mean of all of that size")
    axis.plot(means.index, means["max"], "--", label="best of that size")
    axis.set_xticks(means.index)
    axis.set(xlabel="nets in the ensemble", ylabel="top-1 accuracy")
    axis.yaxis.set_major_formatter("{x:.0%}")
    axis.legend(frameon=False, fontsize=9)
    return figure


def leaderboard(table: pd.DataFrame) -> Figure:
    """Draw the top-1 accuracy of each labeler with its interval.

    Parameters
    ----------
    table : DataFrame
        As `meznet_helpers.book.leaderboard.build` returns it.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each labeler, in the table's order; a color and a marker for each chapter, hollow
        where the images were possibly seen in training, with a star behind the name.

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"labeler": "a", "chapter": 1, "n": 9, "top1": 0.5, "top1_low": 0.2, "top1_high": 0.8}
    >>> leaderboard(pd.DataFrame([row | {"seen": ""}])).axes[0].get_xlabel()
    'top-1 accuracy, n = 9'
    """
    figure, axis = panel(1.1 + 0.3 * len(table))
    chapters = sorted(table["chapter"].unique())
    for (chapter, seen), rows in table.groupby(["chapter", table["seen"] != ""]):
        ends = [rows["top1"] - rows["top1_low"], rows["top1_high"] - rows["top1"]]
        number = chapters.index(chapter)
        axis.errorbar(
            rows["top1"], rows.index, xerr=ends, fmt=MARKERS[number], color=color(number),
            capsize=3, label=f"chapter {chapter}" + ", published *" * seen,
            markerfacecolor="none" if seen else color(number),
        )  # fmt: skip
    axis.set_yticks(range(len(table)), table["labeler"] + np.where(table["seen"] != "", " *", ""))
    axis.invert_yaxis()
    axis.set_xlabel(f"top-1 accuracy, n = {int(table['n'].iloc[0]):,}")
    axis.xaxis.set_major_formatter("{x:.0%}")
    axis.legend(frameon=False, loc="lower right")
    return figure
