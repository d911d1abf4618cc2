"""Pictures about CLIP: prompts, intervals of few pictures, and what tuning gains and costs."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from meznet_helpers.plots.style import MARKERS, WIDTH, color, legend, panel, subplots


def by_prompt(table: pd.DataFrame) -> Figure:
    """Draw accuracy and how often the first label is given, for each prompt.

    Parameters
    ----------
    table : DataFrame
        As `meznet_helpers.book.clip_study.by_prompt` returns it.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels that share their rows: a row for each template, a marker for each wording of the
        last label. Bars are 95 % intervals.

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"words": "thing", "template": "{a}", "accuracy": 0.6, "low": 0.5, "high": 0.7}
    >>> len(by_prompt(pd.DataFrame([row | {"n": 9, "first": 0.4}])).axes)
    2
    """
    templates = list(dict.fromkeys(table["template"]))
    figure, (axes,) = subplots(1, 2, (WIDTH, 1.4 + 0.45 * len(templates)), sharey=True)
    wordings = list(table.groupby("words", sort=False))
    for number, (words, part) in enumerate(wordings):
        shift = 0.16 * (number - (len(wordings) - 1) / 2)
        places = [templates.index(template) + shift for template in part["template"]]
        look = {"fmt": MARKERS[number], "color": color(number), "markersize": 5}
        ends = [part["accuracy"] - part["low"], part["high"] - part["accuracy"]]
        axes[0].errorbar(part["accuracy"], places, xerr=ends, label=words, capsize=2, **look)
        axes[1].errorbar(part["first"], places, **look)
    axes[0].set_yticks(range(len(templates)), templates)
    axes[0].invert_yaxis()
    axes[0].set_xlabel(f"accuracy, n = {table['n'].iloc[0]}")
    axes[1].set_xlabel("share that gets the first label")
    for axis in axes:
        axis.xaxis.set_major_formatter("{x:.0%}")
    legend(figure, axes[0], 2)
    return figure


def interval_widths(table: pd.DataFrame) -> Figure:
    """Draw the interval of one share for several numbers of pictures.

    Parameters
    ----------
    table : DataFrame
        As `meznet_helpers.book.clip_study.interval_widths` returns it.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from meznet_helpers.book.clip_study import interval_widths as widths
    >>> interval_widths(widths(0.7, [10, 100])).axes[0].get_xscale()
    'log'
    """
    figure, axis = panel(3.2)
    ends = [table["accuracy"] - table["low"], table["high"] - table["accuracy"]]
    axis.errorbar(table["n"], table["accuracy"], yerr=ends, fmt="o", color=color(0), capsize=4)
    axis.set(xscale="log", xlabel="pictures, n", ylabel="share of right answers", ylim=(0, 1))
    axis.set_xticks(table["n"], [f"{n:,}" for n in table["n"]], minor=False)
    axis.minorticks_off()
    axis.yaxis.set_major_formatter("{x:.0%}")
    return figure


def price(table: pd.DataFrame) -> Figure:
    """Draw accuracy on the new task against what is left of zero-shot.

    Parameters
    ----------
    table : DataFrame
        As `meznet_helpers.book.clip_study.summary` returns it, of one split.

    Returns
    -------
    matplotlib.figure.Figure
        A point for each way of tuning, with 95 % intervals over seeds; a way with several shares of
        the tuned weights is a line from zero-shot to tuned.

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"way": "full", "share": 1.0} | dict.fromkeys(
    ...     ["accuracy", "accuracy_low", "accuracy_high", "left", "left_low", "left_high"], 0.5)
    >>> price(pd.DataFrame([row])).axes[0].get_ylabel()
    'accuracy on the new task'
    """
    figure, axis = panel(4.2)
    for number, (way, part) in enumerate(table.groupby("way", sort=False)):
        part = part.sort_values("share")
        ends = {
            f"{side}err": [part[of] - part[f"{of}_low"], part[f"{of}_high"] - part[of]]
            for side, of in (("x", "left"), ("y", "accuracy"))
        }
        axis.errorbar(
            part["left"], part["accuracy"], **ends, fmt=f"{MARKERS[number]}-", label=way,
            color=color(number), capsize=2, markersize=6,
        )  # fmt: skip
        if len(part) > 1:
            for row in part.itertuples():
                axis.annotate(
                    f"{row.share:.0%} tuned", (row.left, row.accuracy), (6, -12), fontsize=7,
                    textcoords="offset points",
                )  # fmt: skip
    axis.set(xlabel="zero-shot accuracy left on 200 classes", ylabel="accuracy on the new task")
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_locator(MultipleLocator(0.05))
        scale.set_major_formatter("{x:.0%}")
    axis.legend(fontsize=8, frameon=False)
    return figure
