"""Tables of labels beside the picture they belong to."""

import base64
import html
import io

import numpy as np
from great_tables import GT
from great_tables import html as raw

from meznet_helpers.plots import short
from meznet_helpers.predictions import Predictions
from meznet_helpers.tables.base import plain


def labels_beside(picture: np.ndarray, predictions: "Predictions", image: str, k: int = 5) -> GT:
    """Show an image in the header and the top labels of every model side by side below it.

    Parameters
    ----------
    picture : ndarray, shape (height, width, 3), uint8
    predictions : Predictions
    image : str
        Which image of the predictions it is.
    k : int
        Labels per model.

    Returns
    -------
    great_tables.GT
        One row per rank, one column per model; the score stands behind each label.

    Examples
    --------
    >>> from meznet_helpers.labels import from_names
    >>> from meznet_helpers.predictions import Predictions
    >>> probs = np.array([[[0.75, 0.25]]], np.float32)
    >>> guess = Predictions(probs, ("net",), ("a.png",), from_names(["cat", "dog"]))
    >>> shown = labels_beside(np.zeros((4, 4, 3), np.uint8), guess, "a.png", k=2)
    >>> "cat 0.75" in shown.as_raw_html()
    True
    """
    top = predictions.select(images=[image]).top(k)
    top["cell"] = top["label"] + top["score"].map(" {:.2f}".format)
    top["model"] = top["model"].map(short)
    wide = top.pivot(index="rank", columns="model", values="cell")[top["model"].unique()]
    name = html.escape(image, quote=True)
    words = f"The picture {name}, labeled below"
    header = f'{name}<br><img src="{_data_uri(picture)}" alt="{words}" style="height:120px">'
    return plain(wide.reset_index(), raw(header))


def _data_uri(picture: np.ndarray) -> str:
    """Put a picture, 240 pixels high at most, into an address."""
    from PIL import Image

    small = Image.fromarray(picture)
    small.thumbnail((2400, 240))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
