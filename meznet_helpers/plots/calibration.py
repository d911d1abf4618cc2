"""Pictures of probabilities: whether they keep their word, and how alike two nets err."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from meznet_helpers.plots.style import LINES, WIDTH, color, panel, panels, short, subplots


def reliability(tables: dict[str, pd.DataFrame]) -> Figure:
    """Draw accuracy against confidence, a panel for each model.

    Parameters
    ----------
    tables : dict of str to DataFrame
        Name of the model -> table as `meznet_helpers.measure.reliability` returns it.

    Returns
    -------
    matplotlib.figure.Figure
        Dots on the diagonal keep their word; below it, the model is too confident.

    Examples
    --------
    >>> import numpy as np
    >>> from meznet_helpers import measure
    >>> table = measure.reliability(np.array([[0.7, 0.3], [0.8, 0.2]]), [0, 1])
    >>> reliability({"net": table}).axes[0].get_title()
    'net'
    """
    figure, axes = panels(len(tables), min(len(tables), 3), 0.4, share=True)
    for axis, (name, table) in zip(axes, tables.items(), strict=True):
        ends = (table["accuracy"] - table["low"], table["high"] - table["accuracy"])
        axis.plot([0, 1], [0, 1], color="0.5", linewidth=1)
        axis.errorbar(table["confidence"], table["accuracy"], yerr=ends, fmt="o", markersize=4)
        axis.set_title(short(name), fontsize=9)
        axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    figure.supxlabel("probability of the first label", fontsize=9)
    figure.supylabel("share of them that are right", fontsize=9)
    return figure


def first_scores(scores: Mapping[str, np.ndarray]) -> Figure:
    """Draw how sure a model is of its first labels, a curve for each heap of images.

    Parameters
    ----------
    scores : mapping of str to ndarray of float, shape (images,)
        Name of the heap -> the highest probability of each image.

    Returns
    -------
    matplotlib.figure.Figure
        The share of the images whose first score is at least so high.

    Examples
    --------
    >>> import numpy as np
    >>> axis = first_scores({"all": np.array([0.2, 0.6, 0.9])}).axes[0]
    >>> axis.get_xlabel()
    'score of the first label'
    """
    figure, axis = panel(3.6)
    for number, (name, values) in enumerate(scores.items()):
        look = {"color": color(number), "linestyle": LINES[number % 4], "label": name}
        sns.ecdfplot(x=values, complementary=True, ax=axis, **look)
    axis.set(xlim=(0, 1), xlabel="score of the first label", ylabel="share of the images")
    axis.yaxis.set_major_formatter("{x:.0%}")
    axis.legend(frameon=False, fontsize=9)
    return figure


def pairs(table: pd.DataFrame, title: str) -> Figure:
    """Draw a number for each pair of models.

    Parameters
    ----------
    table : DataFrame
        Models as index and columns, such as `meznet_helpers.measure.error_correlation` gives.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> import pandas as pd
    >>> names = ["keras/A@tiny", "keras/B@tiny"]
    >>> pairs(pd.DataFrame([[1, 0.5], [0.5, 1]], names, names), "r").axes[0].get_title()
    'r'
    """
    side = min(WIDTH, 2 + 0.8 * len(table))
    figure, ((axis,),) = subplots(1, 1, (side, 0.75 * side), style=None)
    shown = table.rename(index=short, columns=short).iloc[1:, :-1]
    upper = np.triu(np.ones(shown.shape, bool), 1)  # each pair once, no model with itself
    sns.heatmap(shown, mask=upper, annot=True, fmt=".2f", cmap="crest", cbar=False, ax=axis)
    axis.set_title(title, fontsize=10)
    axis.tick_params(axis="x", rotation=30)
    axis.set(xlabel="", ylabel="")
    return figure
