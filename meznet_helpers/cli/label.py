"""The command ``meznet label``: images in, a table out."""

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from meznet_helpers.cli import options
from meznet_helpers.cli.screen import Screen
from meznet_helpers.cli.writing import Row, Writer, write_all

if TYPE_CHECKING:
    import numpy as np

    from meznet_helpers.images import Images
    from meznet_helpers.labelers import Labeler
    from meznet_helpers.labels import LabelSpace

COLUMNS = {
    "image": "string",
    "rank": "int64",
    "label_id": "string",
    "label": "string",
    "score": "float32",
}
SHOWN = 3
"""Labels of a photograph in a terminal."""

app = options.group()


@options.command(app)
def label(
    images: options.Images,
    model: options.Models = None,
    ensemble: options.Ensemble = None,
    download: options.Download = False,
    top: options.Top = 5,
    least: options.Min = 0,
    out: options.RowsOut = "-",
    as_json: options.RowsJson = False,
    restart: options.Restart = False,
) -> int:
    """Label images.

    In a terminal a line for each, with three labels at most; else a row for each label.

    Examples
    --------
    meznet label holiday/ more/*.jpg --out labels.csv
    meznet label cat.jpg --model keras/MobileNet@tiny --model keras/MobileNetV2@tiny --top 3 --json
    """
    return write_labels(
        images, lambda: options.nets(model, ensemble, download), top, least, out, as_json, restart
    )


def rows(
    names: Sequence[str], probs: "np.ndarray", labels: "LabelSpace", top: int, least: float = 0
) -> list[list[Row]]:
    """Return rows of the table: image, rank, label id, label, score.

    Parameters
    ----------
    names : sequence of str
    probs : ndarray, shape (images, labels)
    labels : LabelSpace
    top : int
        Labels per image.
    least : float
        Labels with less are left out; an image with no others keeps one row, without a label.

    Returns
    -------
    list of list of tuple
        For each image its rows.

    Examples
    --------
    >>> import numpy as np
    >>> from meznet_helpers.labels import from_names
    >>> rows(["a.png"], np.array([[0.25, 0.75]]), from_names(["Cat", "Dog"]), 2, 0.5)
    [[('a.png', 1, 'dog', 'Dog', 0.75)]]
    """
    from meznet_helpers.predictions import top_indices

    table = []
    for name, row, places in zip(names, probs, top_indices(probs, top), strict=True):
        kept = [place for place in places if row[place] >= row.dtype.type(least)]
        table.append([
            (name, rank, labels.ids[place], labels.names[place], float(row[place]))
            for rank, place in enumerate(kept, 1)
        ] or [(name, None, None, None, None)])  # fmt: skip
    return table


def write_labels(
    patterns: list[str],
    make: "Callable[[], list[Labeler]]",
    top: int,
    least: float,
    out: str,
    as_json: bool,
    restart: bool,
    **settings: Any,
) -> int:
    """Label images in a stream and write image, rank, label id, label and score.

    Parameters
    ----------
    patterns : list of str
        Files, folders or patterns.
    make : callable
        Makes the labelers, once there are images; with several of them there is a column for the
        model.
    top : int
        Labels per image; in a terminal three at most are shown.
    least : float
        As `rows` takes it.
    out : str
    as_json, restart : bool
        As `meznet_helpers.cli.writing.Writer` takes them.
    **settings
        What else the labels depend on, for JSON.

    Returns
    -------
    int
        0, or 1 if some images could not be read, 2 if none could.
    """
    from meznet_helpers.images.reading import display_names
    from meznet_helpers.labelers import largest_side

    files = options.find(patterns, out)
    nets = make()
    several = len(nets) > 1
    columns = {"image": "string", "model": "string"} if several else {}
    columns |= COLUMNS
    shown = None
    if out == "-" and not as_json and sys.stdout.isatty():
        top = min(top, SHOWN)
        models = [net.name for net in nets] if several else []
        labels = [name for net in nets for name in net.labels.names]
        shown = Screen(display_names(files), models, labels, top)
    settings |= {
        "model": [net.name for net in nets],
        "labels": [[*net.labels.ids] for net in nets],
        "top": top,
        "min": least,
    }
    side = largest_side(nets)

    def work(images: "Images") -> list[Row]:
        each = [rows(images.names, net.batch(images), net.labels, top, least) for net in nets]
        return [
            (row[0], net.name, *row[1:]) if several else row
            for image in zip(*each, strict=True)
            for net, some in zip(nets, image, strict=True)
            for row in some
        ]

    given = {"as_json": as_json, "restart": restart, "shown": shown}
    try:
        writer = Writer(out, columns, files, settings, **given)
        return write_all(writer, work, side=2 * side if side else None)
    finally:
        for net in nets:
            net.release()
