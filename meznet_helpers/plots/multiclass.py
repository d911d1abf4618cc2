"""Pictures of strategies for many classes, on points in the plane."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from meznet_helpers.features.multiclass import REST, BinaryLines
from meznet_helpers.plots.style import MARKERS, color, legend, panels

_STEPS = 300  # of the grid that regions are computed on, to each side


def lines(
    lines: BinaryLines,
    x: np.ndarray,
    truth: Sequence[int] | np.ndarray,
    *,
    points: Sequence[Sequence[float]] = (),
) -> Figure:
    """Draw binary classifiers as lines, where their votes decide, and what is predicted.

    Parameters
    ----------
    lines : BinaryLines
    x : ndarray of float, shape (points, 2)
    truth : array of int, shape (points,)
        Classes 0 to k - 1.
    points : sequence of (float, float)
        More points, named a, b, c and so on.

    Returns
    -------
    matplotlib.figure.Figure
        Left the votes: a class has its color where it alone has the most of them; where several
        have, the ground is hatched. Right the predictions, which leave nothing undecided.

    Examples
    --------
    >>> from meznet_helpers.features.multiclass import one_vs_rest
    >>> x = np.array([[0.0, 1.0], [1.0, 0.0], [5.0, 5.0], [6.0, 5.0], [0.0, 9.0], [1.0, 9.0]])
    >>> figure = lines(one_vs_rest(x, [0, 0, 1, 1, 2, 2]), x, [0, 0, 1, 1, 2, 2])
    >>> [axis.get_title() for axis in figure.axes]
    ['votes', 'prediction']
    """
    figure, axes, grid = _plane(2, x, points)
    across, down, flat = grid
    votes = lines.votes(flat).argmax(1)
    undecided = lines.undecided(flat).reshape(across.shape)
    ground = np.where(undecided, np.nan, votes.reshape(across.shape))
    for axis, classes in zip(
        axes, (ground, lines.predict(flat).reshape(across.shape)), strict=True
    ):
        _ground(axis, classes, grid, lines.k)
        for (label, other), raw in zip(lines.pairs, lines.raw(flat).T, strict=True):
            shade = color(label) if other == REST else "0.3"
            axis.contour(across, down, raw.reshape(across.shape), [0], colors=[shade])
        _scatter(axis, x, truth)
        _name(axis, points)
    hatches = {"colors": "none", "hatches": ["////"]}
    hatched = axes[0].contourf(across, down, undecided, [0.5, 1.5], **hatches)
    hatched.set_edgecolor("0.5")
    axes[0].set_title("votes", fontsize=10)
    axes[1].set_title("prediction", fontsize=10)
    legend(figure, axes[0], 5, 9)
    return figure


def regions(models: Mapping[str, Any], x: np.ndarray, truth: Sequence[int] | np.ndarray) -> Figure:
    """Draw what classifiers predict, a panel for each.

    Parameters
    ----------
    models : mapping of str to estimator
        Fitted, with a method ``predict`` that returns classes 0 to k - 1.
    x : ndarray of float, shape (points, 2)
    truth : array of int, shape (points,)

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from meznet_helpers.features.multiclass import strategies
    >>> x = np.array([[0.0, 1.0], [1.0, 0.0], [5.0, 5.0], [6.0, 5.0], [0.0, 9.0], [1.0, 9.0]])
    >>> fitted = {name: model.fit(x, [0, 0, 1, 1, 2, 2]) for name, model in strategies().items()}
    >>> len(regions(fitted, x, [0, 0, 1, 1, 2, 2]).axes)
    3
    """
    figure, axes, grid = _plane(len(models), x)
    for axis, (name, model) in zip(axes, models.items(), strict=True):
        classes = np.asarray(model.predict(grid[2])).reshape(grid[0].shape)
        _ground(axis, classes, grid, int(np.max(truth)) + 1)
        _scatter(axis, x, truth)
        axis.set_title(name, fontsize=10)
    legend(figure, axes[0], 5, 9)
    return figure


def _plane(
    count: int, x: np.ndarray, points: Sequence[Sequence[float]] = ()
) -> tuple[Figure, np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Make panels of one range, and a grid of that range: across, down, and both flat."""
    everything = np.concatenate([np.asarray(x), np.reshape(points, (-1, 2))])
    margin = 0.15 * np.ptp(everything, axis=0)
    low, high = everything.min(0) - margin, everything.max(0) + margin
    figure, axes = panels(count, count, 0.5, share=True, style=None)
    axes[0].set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), ylabel="feature 1")
    for axis in axes:
        axis.set_xlabel("feature 0")
    ranges = [np.linspace(start, end, _STEPS) for start, end in zip(low, high, strict=True)]
    across, down = np.meshgrid(*ranges)
    return figure, axes, (across, down, np.stack([across.ravel(), down.ravel()], axis=1))


def _ground(axis: Axes, classes: np.ndarray, grid: tuple, k: int) -> None:
    """Color the ground by class; white where there is none."""
    axis.pcolormesh(
        *grid[:2], classes, cmap=ListedColormap([color(label) for label in range(k)]),
        vmin=-0.5, vmax=k - 0.5, alpha=0.25, shading="nearest", rasterized=True,
    )  # fmt: skip


def _scatter(axis: Axes, x: np.ndarray, truth: Sequence[int] | np.ndarray) -> None:
    """Draw points, with a color and a marker for each class."""
    for label in np.unique(truth):
        marker = MARKERS[label % len(MARKERS)]
        axis.scatter(
            *np.asarray(x)[np.asarray(truth) == label].T, s=18, marker=marker, color=color(label),
            edgecolor="white", linewidth=0.4, label=f"class {label}", zorder=3,
        )  # fmt: skip


def _name(axis: Axes, points: Sequence[Sequence[float]]) -> None:
    """Draw points with letters."""
    for number, place in enumerate(points):
        axis.plot(*place, "k+", markersize=9, markeredgewidth=2, zorder=4)
        axis.annotate(
            chr(ord("a") + number), place, (6, 4), textcoords="offset points", zorder=4,
            fontweight="bold",
        )  # fmt: skip
