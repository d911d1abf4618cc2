"""Pictures of what classifiers have to learn from: pixels, features, and how many examples."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from meznet_helpers.errors import MeznetError
from meznet_helpers.images import Dataset
from meznet_helpers.plots.style import MARKERS, color, grid, legend, panel, panels

_SIDE = 10  # of the part that `numbers` draws, pixels


def numbers(picture: np.ndarray, top: int, left: int) -> Figure:
    """Draw a picture in gray, and a part of it as the numbers that a computer has.

    Parameters
    ----------
    picture : ndarray, shape (height, width, 3), uint8
    top, left : int
        Where the part begins, pixels. It is 10 pixels high and wide.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MeznetError
        If the part does not lie inside the picture.

    Examples
    --------
    >>> figure = numbers(np.full((16, 16, 3), 7, np.uint8), 2, 3)
    >>> len(figure.axes[1].texts), figure.axes[1].texts[0].get_text()
    (100, '7')
    """
    from PIL import Image

    gray = np.asarray(Image.fromarray(picture).convert("L"))
    part = gray[top : top + _SIDE, left : left + _SIDE]
    if min(top, left) < 0 or part.shape != (_SIDE, _SIDE):
        raise MeznetError(
            f"A part of {_SIDE} pixels at ({top}, {left}) leaves the picture, which has "
            f"{gray.shape[0]} x {gray.shape[1]}."
        )
    figure, (whole, close) = grid(2, 2)
    whole.imshow(gray, cmap="gray", vmin=0, vmax=255)
    box = (left - 0.5, top - 0.5), _SIDE, _SIDE
    whole.add_patch(Rectangle(*box, fill=False, edgecolor="tab:red", linewidth=2))
    close.imshow(part, cmap="gray", vmin=0, vmax=255)
    for (row, column), value in np.ndenumerate(part):
        ink = "black" if value > 127 else "white"
        close.text(column, row, value, ha="center", va="center", fontsize=8, color=ink)
    return figure


def learning_curve(table: pd.DataFrame) -> Figure:
    """Draw accuracy against the number of examples of each class.

    Parameters
    ----------
    table : DataFrame
        As `meznet_helpers.features.learning_curve.over_seeds` returns it, or rows of that.

    Returns
    -------
    matplotlib.figure.Figure
        A color for each kind of features: solid on images held out, dashed on the examples
        themselves; the bands are the intervals.

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"features": "pixels", "part": "held_out", "examples": 5, "n": 3}
    >>> table = pd.DataFrame([row | {"accuracy": 0.5, "low": 0.4, "high": 0.6}])
    >>> learning_curve(table).axes[0].get_xlabel()
    'examples of each class, 3 seeds'
    """
    parts = {"held_out": ("-", "held out"), "learned": ("--", "on the examples themselves")}
    names = list(dict.fromkeys(table["features"]))
    figure, axis = panel(4)
    for (name, part), rows in table.groupby(["features", "part"], sort=False):
        number = names.index(name)
        line, words = parts[part]
        axis.plot(
            rows["examples"], rows["accuracy"], line, color=color(number), marker=MARKERS[number],
            label=name if table["part"].nunique() == 1 else f"{name}, {words}",
        )  # fmt: skip
        band = {"color": color(number), "alpha": 0.2, "linewidth": 0}
        axis.fill_between(rows["examples"], rows["low"], rows["high"], **band)
    axis.set_xscale("log")
    ticks = sorted(set(table["examples"]))
    axis.set_xticks(ticks, ticks)
    axis.set_xticks([], minor=True)
    axis.set(xlabel=f"examples of each class, {table['n'].iloc[0]} seeds", ylabel="accuracy")
    axis.yaxis.set_major_formatter("{x:.0%}")
    axis.legend(frameon=False, fontsize=9)
    return figure


def neighbors(
    dataset: "Dataset", places: Sequence[int], nearest: Mapping[str, np.ndarray]
) -> Figure:
    """Draw images, and beside each its nearest neighbors by several kinds of features.

    Parameters
    ----------
    dataset : Dataset
    places : sequence of int
        Of the images asked for, one for each row.
    nearest : mapping of str to ndarray of int, shape (len(places), k)
        As `meznet_helpers.features.probing.neighbors` returns it, for each kind of features.

    Returns
    -------
    matplotlib.figure.Figure
        Below each neighbor its label, with a check mark where it is that of the image asked for.

    Examples
    --------
    >>> from meznet_helpers import emojizoo
    >>> zoo = emojizoo.render(["cat-face", "dog-face"], 2, size=16)
    >>> figure = neighbors(zoo, [0], {"pixels": np.array([[1, 2]])})
    >>> [axis.get_xlabel() for axis in figure.axes]
    ['cat face', '✓ cat face', '✗ dog face']
    """
    columns = 1 + sum(others.shape[1] for others in nearest.values())
    figure, axes = grid(len(places) * columns, columns)
    axes, names = axes.reshape(-1, columns), dataset.labels.names
    for row, place in zip(axes, places, strict=True):
        row[0].imshow(dataset.images[place])
        row[0].set_xlabel(names[dataset.truth[place]], fontsize=8, fontweight="bold")
    column = 1
    for title, table in nearest.items():
        axes[0, column].set_title(title, fontsize=9, loc="left")
        for row, place, others in zip(axes[:, column:], places, table, strict=True):
            for axis, other in zip(row, others, strict=False):
                same = dataset.truth[other] == dataset.truth[place]
                axis.imshow(dataset.images[other])
                mark, ink = ("✓", "black") if same else ("✗", "tab:red")
                text = f"{mark} {names[dataset.truth[other]]}"
                axis.set_xlabel(text, fontsize=8, color=ink)
        column += table.shape[1]
    axes[0, 0].set_title("picture", fontsize=9, loc="left")
    return figure


def plane(features: Mapping[str, np.ndarray], dataset: "Dataset") -> Figure:
    """Draw features in the plane of their two principal components.

    Parameters
    ----------
    features : mapping of str to ndarray, shape (images, d)
    dataset : Dataset
        The images, in the same order.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each kind of features, a dot for each image, a color and a marker for each
        class. Above it, the share of the variance that the plane keeps. Each feature is brought
        to mean 0 and variance 1 first, as logistic regression has it in
        `meznet_helpers.features.probing.classifiers`.

    Examples
    --------
    >>> from meznet_helpers import emojizoo
    >>> from meznet_helpers.features import probing
    >>> zoo = emojizoo.render(["cat-face", "dog-face"], 4, size=8)
    >>> plane({"pixels": probing.flatten(zoo)}, zoo).axes[0].get_title()
    'pixels, ...%'
    """
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    figure, axes = panels(len(features), min(len(features), 3), 0.4, style=None)
    for axis, (name, x) in zip(axes, features.items(), strict=True):
        components = PCA(2, svd_solver="full")
        with threadpool_limits(1):  # else threads wait for each other longer than they compute
            places = make_pipeline(StandardScaler(), components).fit_transform(x)
        for label in np.unique(dataset.truth):
            axis.scatter(
                *places[dataset.truth == label].T, s=14, alpha=0.7, linewidth=0, color=color(label),
                marker=MARKERS[label % len(MARKERS)], label=dataset.labels.names[label],
            )  # fmt: skip
        share = components.explained_variance_ratio_.sum()
        axis.set_title(f"{name}, {share:.0%}", fontsize=9)
        axis.set(xticks=[], yticks=[])
    legend(figure, axes[0], 5, 9)
    return figure
