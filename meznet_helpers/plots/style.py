"""What all pictures share: figures that no window shows, colors, markers and lines."""

import re
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 8.0  # inches; the text column of the page
MARKERS = "os^Dv<>PX*"  # one for each class or net, so that color is not all that tells them apart
LINES = ("-", "--", ":", "-.")
WRONG = "#a33000"  # of the frame around a picture that was labeled wrong


def short(name: str) -> str:
    """Leave framework and tag out of a backbone's name, for an axis or a table.

    Examples
    --------
    >>> short("keras/MobileNetV2@tiny"), short("clip/zero-shot@tiny")
    ('MobileNetV2', 'clip/zero-shot')
    """
    return re.sub(r"^(keras|timm|torchvision)/|@\w+$", "", name)


def color(number: int) -> tuple[float, float, float]:
    """Return the color of a class or net."""
    palette = sns.color_palette("colorblind")
    return palette[number % len(palette)]


def subplots(
    rows: int, columns: int, size: tuple[float, float], style: str | None = "whitegrid", **how: Any
) -> "tuple[Figure, np.ndarray]":
    """Make a figure of so many inches that pyplot does not keep, and its axes (rows, columns)."""
    with sns.axes_style(style):
        figure, axes = plt.subplots(
            rows, columns, squeeze=False, figsize=size, layout="constrained", **how
        )
    plt.close(figure)
    return figure, axes


def panel(height: float) -> tuple[Figure, Axes]:
    """Make a figure of one panel on a grid."""
    figure, axes = subplots(1, 1, (WIDTH, height))
    return figure, axes[0, 0]


def panels(
    count: int, columns: int, head: float, largest: float = WIDTH, share: bool = False, **how: Any
) -> "tuple[Figure, np.ndarray]":
    """Make square panels, so many in a row, and `head` inches of room for what stands outside."""
    rows, side = -(-count // columns), min(WIDTH / columns, largest)
    size = (columns * side, rows * side + head)
    figure, axes = subplots(rows, columns, size, sharex=share, sharey=share, **how)
    for axis in axes.flat[count:]:
        axis.remove()
    return figure, axes.ravel()[:count]


def grid(count: int, columns: int) -> "tuple[Figure, np.ndarray]":
    """Make bare panels for pictures, so many in a row, each with room for a line of text."""
    head = 0.15 * -(-count // columns) * WIDTH / columns
    figure, axes = panels(count, columns, head, style=None)
    for axis in axes:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    return figure, axes


def frame(axis: Axes) -> None:
    """Put a frame around a picture that was labeled wrong."""
    axis.spines[:].set(visible=True, color=WRONG, linewidth=3)


def legend(figure: Figure, axis: Axes, ncols: int, fontsize: int = 8) -> None:
    """Put what the lines and markers of one of the panels mean above all of them."""
    handles, names = axis.get_legend_handles_labels()
    place = {"loc": "outside upper center", "frameon": False}
    figure.legend(handles, names, ncols=ncols, fontsize=fontsize, **place)
