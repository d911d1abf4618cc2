"""Pictures that show images."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from meznet_helpers.plots.style import grid


def images(pictures: Any, *, columns: int = 4, titles: Sequence[str] | None = None) -> Figure:
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
    figure, axes = grid(len(pictures), columns)
    for axis, picture, title in zip(axes, pictures, titles or pictures.names, strict=False):
        axis.imshow(picture)
        axis.set_title(title, fontsize=9)
    return figure


def what_nets_see(picture: np.ndarray, ways: Sequence[tuple[str, str]]) -> Figure:
    """Draw one image as networks of 224 pixels receive it, the numbers stretched to visible colors.

    Parameters
    ----------
    picture : ndarray, shape (height, width, 3), uint8
    ways : sequence of (mode, interpolation)
        As `meznet_helpers.labelers.Backbone` has them.

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

    figure, axes = grid(len(ways), len(ways))
    for axis, (mode, interpolation) in zip(axes, ways, strict=True):
        net = Backbone("", "", 224, mode, "", interpolation)
        x = net.prepare([picture])[0]
        axis.imshow((x - x.min()) / max(float(np.ptp(x)), 1e-9))
        axis.set_title(f"{mode}, {interpolation}", fontsize=9)
        axis.set_xlabel(f"{x.min():.1f} to {x.max():.1f}", fontsize=9)
    return figure
