"""Label the validation images anew, and compare with the tables of `meznet_helpers.validation`."""

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from meznet_helpers import spell, store, validation
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import Images
from meznet_helpers.labelers import labeler
from meznet_helpers.predictions import Predictions

if TYPE_CHECKING:
    import pandas as pd


def recompute(images: Images, model: str, condition: str = "own, bilinear") -> Predictions:
    """Label the images anew, as the tables have them.

    Parameters
    ----------
    images : Images
        From `meznet_helpers.validation.read`.
    model, condition : str
        As in `meznet_helpers.validation.table`.

    Returns
    -------
    Predictions

    Examples
    --------
    >>> recompute(Images([np.zeros((64, 64, 3), np.uint8)], ["a"]), "keras/MobileNet@tiny")
    Predictions(1 model x 1 image x 200 labels: keras/MobileNet@tiny)
    """
    net = labeler(model, **spell.CONDITIONS.get(condition, {}))
    return net.predict(images, batch_size=250, progress=True)


def compare(images: Images) -> "pd.DataFrame":
    """Label the images anew and compare with the tables.

    Parameters
    ----------
    images : Images
        All of them, from `meznet_helpers.validation.read`.

    Returns
    -------
    DataFrame
        One row for each table: `model`, `condition`, `n`, `furthest` (largest difference of two
        probabilities), `same` (share of images with the same first label), `agree`.
    """
    import pandas as pd

    rows, place = [], {name: at for at, name in enumerate(images.names)}
    for source in validation.sources().itertuples():
        stored = validation.table(source.model, source.condition)
        if missing := [name for name in stored.images if name not in place]:
            raise MeznetError(f"{missing[0]} is missing; name the whole of tiny-imagenet-200.")
        chosen = Images([images[place[name]] for name in stored.images], stored.images)
        anew = recompute(chosen, source.model, source.condition)
        furthest = float(np.abs(anew.probs - stored.probs).max())
        same = float((anew.probs.argmax(-1) == stored.probs.argmax(-1)).mean())
        rows.append(
            {
                "model": source.model,
                "condition": source.condition,
                "n": len(chosen),
                "furthest": furthest,
                "same": same,
                "agree": furthest < 0.005 and same > 0.998,
            }
        )
    return pd.DataFrame(rows)


def digest(images: Images) -> str:
    """Return the sha256 of the pixels of all images, in order.

    Examples
    --------
    >>> digest(Images([np.zeros((1, 1, 3), np.uint8)], ["a"]))[:8]
    '709e80c8'
    """
    found = hashlib.sha256()
    for image in images.arrays:
        found.update(image)
    return found.hexdigest()


def weights_digest(model: str) -> str:
    """Return the sha256 of a model's weights, as the manifest has it; of several, of all theirs.

    Examples
    --------
    >>> len(weights_digest("keras/MobileNet@tiny"))
    64
    """
    assets = validation.LATER.get(model, (model,))
    found = [store.manifest()[asset].hash.removeprefix("sha256:") for asset in assets]
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()
