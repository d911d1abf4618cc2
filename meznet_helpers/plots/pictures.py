"""Pictures that show images."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from meznet_helpers.plots.style import WIDTH

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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


def what_nets_see(
    picture: np.ndarray, ways: Sequence[tuple[str, str]], *, size: int = 224
) -> "Figure":
    """Draw one image as networks receive it, the numbers stretched to visible colors.

    Parameters
    ----------
    picture : ndarray, shape (height, width, 3), uint8
    ways : sequence of (mode, interpolation)
        As `meznet_helpers.labelers.Backbone` has them.
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
    from meznet_helpers.labelers import Backbone

    figure, axes = _grid(1, len(ways), WIDTH / len(ways))
    for axis, (mode, interpolation) in zip(axes.flat, ways, strict=True):
        net = Backbone("", "", size, mode, "", interpolation)
        x = net.prepare([picture])[0]
        axis.imshow((x - x.min()) / max(float(np.ptp(x)), 1e-9))
        axis.set_title(f"{mode}, {interpolation}", fontsize=9)
        axis.set_xlabel(f"{x.min():.1f} to {x.max():.1f}", fontsize=9)
    return figure


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
