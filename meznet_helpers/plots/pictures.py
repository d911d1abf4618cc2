"""Every picture of the book. Each function returns a matplotlib figure and shows nothing itself."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

WIDTH = 8.0  # inches; the text column of the page


def images(pictures: Any, *, columns: int = 4, titles: Sequence[str] | None = None) -> "Figure":
    """Draw a contact sheet.

    Parameters
    ----------
    pictures : Images, or anything `meznet_helpers.images.as_images` takes
    columns : int
    titles : sequence of str, optional
        One per picture; the names of the images by default.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> len(images([np.zeros((8, 8, 3), np.uint8)] * 3).axes)
    3
    """
    from meznet_helpers.images import as_images

    pictures = as_images(pictures)
    rows = -(-len(pictures) // columns)
    figure, axes = _grid(rows, columns, WIDTH / columns)
    for axis, picture, title in zip(axes.flat, pictures, titles or pictures.names, strict=False):
        axis.imshow(picture)
        axis.set_title(title, fontsize=9)
    for axis in axes.flat[len(pictures) :]:
        axis.remove()
    return figure


def accuracy_against_size(table: "pd.DataFrame", *, named: Sequence[str] = ()) -> "Figure":
    """Draw published top-1 accuracy against the size of the weights.

    Parameters
    ----------
    table : DataFrame
        As `meznet_helpers.published.keras_applications` returns it.
    named : sequence of str
        Models to write the names of.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from meznet_helpers.published import keras_applications
    >>> accuracy_against_size(keras_applications()).axes[0].get_xscale()
    'log'
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    family = table["model"].str.extract(
        r"^(VGG|ResNet|DenseNet|MobileNet|NASNet|EfficientNetV2|"
        r"EfficientNet|ConvNeXt|Inception|Xception)"
    )[0]
    with sns.axes_style("whitegrid"):
        figure, axis = plt.subplots(figsize=(WIDTH, 4.8), layout="constrained")
        sns.scatterplot(
            table.assign(family=family),
            x="size_mb",
            y="top1",
            hue="family",
            style="family",
            s=60,
            ax=axis,
        )
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
    plt.close(figure)
    return figure


def what_nets_see(
    picture: np.ndarray, ways: Sequence[tuple[str, str]], *, size: int = 224
) -> "Figure":
    """Draw one image as networks receive it, the numbers stretched to visible colors.

    Parameters
    ----------
    picture : ndarray, shape (height, width, 3), uint8
    ways : sequence of (mode, interpolation)
        As `meznet_helpers.backbones.Backbone` has them.
    size : int
        Input size, pixels.

    Returns
    -------
    matplotlib.figure.Figure
        Above each picture, mode and interpolation; below it, the range of the numbers.

    Examples
    --------
    >>> figure = what_nets_see(np.zeros((8, 8, 3), np.uint8), [("caffe", "nearest")])
    >>> figure.axes[0].get_title(), figure.axes[0].get_xlabel()
    ('caffe, nearest', '-123.7 to -103.9')
    """
    from meznet_helpers.backbones import Backbone

    figure, axes = _grid(1, len(ways), WIDTH / len(ways))
    for axis, (mode, interpolation) in zip(axes.flat, ways, strict=True):
        net = Backbone("", "", size, mode, "", interpolation)
        x = net.prepare([picture])[0]
        axis.imshow((x - x.min()) / max(float(np.ptp(x)), 1e-9))
        axis.set_title(f"{mode}, {interpolation}", fontsize=9)
        axis.set_xlabel(f"{x.min():.1f} to {x.max():.1f}", fontsize=9)
    return figure


def spell(summary: "pd.DataFrame", *, k: int = 1) -> "Figure":
    """Draw accuracy with its interval, per net and condition.

    Parameters
    ----------
    summary : DataFrame
        As `meznet_helpers.spell.summary` returns it.
    k : int
        Which of its top-k rows to draw.

    Returns
    -------
    matplotlib.figure.Figure

    Examples
    --------
    >>> from meznet_helpers.spell import reference
    >>> spell(reference().query("n == 500")).axes[0].get_ylabel()
    'top-1 accuracy, n = 500'
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    rows = summary[summary["k"] == k]
    conditions, models = rows["condition"].unique(), rows["model"].unique()
    with sns.axes_style("whitegrid"):
        figure, axis = plt.subplots(figsize=(WIDTH, 3.8), layout="constrained")
    width = 0.8 / len(conditions)
    for number, condition in enumerate(conditions):
        part = rows[rows["condition"] == condition].set_index("model").loc[models]
        axis.bar(
            np.arange(len(models)) + (number - (len(conditions) - 1) / 2) * width,
            part["accuracy"],
            width,
            label=condition,
            color=sns.color_palette("colorblind")[number],
            yerr=(part["accuracy"] - part["low"], part["high"] - part["accuracy"]),
            capsize=3,
        )
    axis.set_xticks(range(len(models)), [short(name) for name in models])
    axis.set_ylabel(f"top-{k} accuracy, n = {rows['n'].iloc[0]:,}")
    axis.yaxis.set_major_formatter("{x:.0%}")
    above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1), "ncols": len(conditions)}
    axis.legend(title="", fontsize=9, frameon=False, **above)
    plt.close(figure)
    return figure


def short(name: str) -> str:
    """Leave framework and tag out of a backbone's name, for an axis or a table.

    Examples
    --------
    >>> short("keras/MobileNetV2@tiny")
    'MobileNetV2'
    """
    return re.sub(r"^\w+/|@\w+$", "", name)


def _grid(rows: int, columns: int, side: float) -> tuple["Figure", np.ndarray]:
    """Make a figure of bare square axes."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        rows,
        columns,
        squeeze=False,
        layout="constrained",
        figsize=(columns * side, rows * side * 1.15),
    )
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    plt.close(figure)
    return figure, axes
