"""The command ``meznet label``: images in, a table out."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from meznet_helpers.cli import options

if TYPE_CHECKING:
    from meznet_helpers.images import Images
    from meznet_helpers.labelers import Labeler
    from meznet_helpers.predictions import Predictions

app = options.group()


@options.command(app)
def label(
    images: options.Images,
    model: options.Models = None,
    ensemble: options.Ensemble = None,
    download: options.Download = False,
    top: options.Top = 5,
    out: options.Out = "-",
    as_json: options.Json = False,
) -> int:
    """Label images, one line per label.

    Examples
    --------
    meznet label holiday/ more/*.jpg --out labels.csv
    meznet label cat.jpg --model keras/MobileNet@tiny --model keras/MobileNetV2@tiny --top 3 --json
    """
    return write_labels(images, lambda: options.nets(model, ensemble, download), top, out, as_json)


def write_labels(
    patterns: list[str], make: "Callable[[], list[Labeler]]", top: int, out: str, as_json: bool
) -> int:
    """Label images and write image, rank, label id, label and score.

    Parameters
    ----------
    patterns : list of str
        Files, folders or patterns.
    make : callable
        Makes the labelers, once there are images.
    top : int
        Labels per image.
    out : str
    as_json : bool
        As `options.write` takes them.

    Returns
    -------
    int
        0, or 1 if some images could not be read, 2 if none could.
    """
    images = options.read_images(patterns)
    if not len(images):
        return 2
    import pandas as pd

    predictions = [predict(net, images) for net in make()]
    table = pd.concat([part.top(top) for part in predictions], ignore_index=True)
    places = {name: place for place, name in enumerate(images.names)}
    table = table.sort_values("image", key=lambda names: names.map(places), kind="stable")
    if len(predictions) == 1:
        table = table.drop(columns="model")
    options.write(table, out, as_json)
    return 1 if images.errors else 0


def predict(net: "Labeler", images: "Images") -> "Predictions":
    """Label images and free the memory for the next net."""
    try:
        return net.predict(images, progress=True)
    finally:
        net.release()
