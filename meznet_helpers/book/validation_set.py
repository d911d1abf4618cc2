"""Tiny-ImageNet's 10,000 validation images: right labels, and what the book's nets say of them.

The predictions lie in ``data/validation``, so that ensembles can be judged on thousands of images
without having any. The images are split once, half of each class: what is learned from predictions
(weights, temperatures, stacks) is learned on ``fit`` and judged on ``judge``.
"""

import functools
import hashlib
import re
from pathlib import Path

import numpy as np
import pandas as pd

from meznet_helpers import labels
from meznet_helpers.assets import profile, store
from meznet_helpers.book import spell
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import Images, read_many
from meznet_helpers.labelers import backbone
from meznet_helpers.names import labeler
from meznet_helpers.predictions import Predictions, positions

#: Condition of `spell.CONDITIONS`, or what stands beside the nets -> folder of its tables.
FOLDERS = {
    "own, bilinear": "own",
    "caffe, nearest": "spelled",
    "later chapters": "later",
    "published": "published",
}

#: Published nets, as they are; among their 1,000 labels are all 200 of Tiny-ImageNet.
PUBLISHED = tuple(f"keras/EfficientNetLite{number}@imagenet" for number in range(3))

#: Labelers of later chapters -> the assets that they are made of.
LATER = {
    "clip/zero-shot@tiny": ("models/clip/model.safetensors",),
    "clip/tuned@tiny-photographs": (
        "models/clip/model.safetensors",
        "models/clip-tuned-photographs/head.safetensors",
    ),
    "prototypes/photographs@tiny": (
        "timm/regnetx_002@tiny",
        "models/prototypes/photographs.safetensors",
    ),
    "llm/captioner@tiny": ("models/captioner/model.safetensors",),
}


def read(folder: str | Path) -> tuple[Images, np.ndarray]:
    """Read the validation images and their right labels.

    Parameters
    ----------
    folder : str or Path
        The unpacked data set, with ``val/images`` and ``val/val_annotations.txt``.

    Returns
    -------
    images : Images
        In the order of the annotations, 64 x 64 pixels; 10,000 of them in the full data set.
    truth : ndarray of int, shape (images,)
        Positions in the label space `meznet_helpers.labels.tiny_imagenet`.

    Raises
    ------
    MeznetError
        If the folder is no such data set, or one of its images can't be read.

    Examples
    --------
    >>> read("nowhere")
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: nowhere has no val/val_annotations.txt; name the folder ...
    """
    annotations = Path(folder) / "val" / "val_annotations.txt"
    if not annotations.is_file():
        raise MeznetError(
            f"{folder} has no val/val_annotations.txt; name the folder tiny-imagenet-200."
        )
    lines = annotations.read_text(encoding="utf-8").splitlines()
    names, wnids = zip(*(line.split("\t")[:2] for line in lines), strict=True)
    images = read_many([annotations.parent / "images" / name for name in names])
    if images.errors:
        raise images.errors[0]
    return images, labels.tiny_imagenet().indices(wnids)


@functools.cache
def split() -> pd.DataFrame:
    """Return which image belongs to which half.

    Returns
    -------
    DataFrame
        Index `image`; columns `label_id` (WordNet) and `part`, which is ``fit`` or ``judge``.
        10,000 rows; 25 of each class in each half.

    Examples
    --------
    >>> (split()["part"] == "judge").sum()
    np.int64(5000)
    """
    return pd.read_csv(folder() / "images.csv.gz", index_col="image", encoding="utf-8")


def folder() -> Path:
    """Return the folder of the tables.

    Examples
    --------
    >>> folder().name
    'validation'
    """
    return profile.data() / "validation"


def models(condition: str = "own, bilinear") -> list[str]:
    """Return the names of the nets that have a table of a condition.

    Parameters
    ----------
    condition : {"own, bilinear", "caffe, nearest", "later chapters", "published"}
        As in `table`. The spell was cast on this project's nets of Keras alone.

    Examples
    --------
    >>> "keras/MobileNet@tiny" in models()
    True
    """
    positions("condition", [condition], tuple(FOLDERS))
    return sources().query("condition == @condition")["model"].tolist()


def sources() -> pd.DataFrame:
    """Return what each table was made from.

    Returns
    -------
    DataFrame
        Columns `model`, `condition`, `n`, `hits` (top-1), `weights` (sha256 of the weights file)
        and `images` (sha256 of the pixels of all images, in the table's order).

    Examples
    --------
    >>> sources()["n"].max()
    np.int64(10000)
    """
    return pd.read_csv(folder() / "sources.csv", encoding="utf-8")


def file(model: str, condition: str) -> Path:
    """Return the file of one table.

    Examples
    --------
    >>> file("keras/MobileNet@tiny", "own, bilinear").name
    'MobileNet.safetensors.gz'
    """
    name = re.sub(r"\W+", "-", model) if model in LATER else backbone(model).application
    return folder() / FOLDERS[condition] / f"{name}.safetensors.gz"


def table(model: str, condition: str = "own, bilinear") -> Predictions:
    """Load what one net says about the images.

    Parameters
    ----------
    model : str
        One of `models`.
    condition : {"own, bilinear", "caffe, nearest", "later chapters", "published"}
        With its own preprocessing, or under the spell; or one of `LATER`; or one of `PUBLISHED`,
        restricted to the 200 labels.

    Returns
    -------
    Predictions
        Of one model. Stored in half precision. All 10,000 images; under the spell, 2,000 of
        those in the half ``judge``.

    Raises
    ------
    MeznetError
        If there is no such model or condition.

    Examples
    --------
    >>> table("keras/MobileNet@tiny")
    Predictions(1 model x 10000 images x 200 labels: keras/MobileNet@tiny)
    """
    positions("table of the model", [model], tuple(models(condition)))
    return Predictions.load(file(model, condition))


def tables(
    part: str | None = None, condition: str = "own, bilinear"
) -> tuple[Predictions, np.ndarray]:
    """Load what all models of a condition say, and the truth.

    Parameters
    ----------
    part : {"fit", "judge"}, optional
        Half of the images; all of them by default.
    condition : {"own, bilinear", "caffe, nearest", "later chapters", "published"}
        As in `table`.

    Returns
    -------
    predictions : Predictions
    truth : ndarray of int, shape (images,)
        Positions on the label axis.

    Raises
    ------
    MeznetError
        If there is no such part or condition.

    Examples
    --------
    >>> predictions, truth = tables("judge")
    >>> predictions.probs.shape[1:], truth.shape
    ((5000, 200), (5000,))
    """
    if part not in (None, "fit", "judge"):
        raise MeznetError(f'No part "{part}"; choose "fit" or "judge".')
    predictions = Predictions.join(*(table(model, condition) for model in models(condition)))
    rows = split().loc[list(predictions.images)]
    if part:
        rows = rows[rows["part"] == part]
        predictions = predictions.select(images=rows.index)
    return predictions, predictions.labels.indices(rows["label_id"])


def recompute(images: Images, model: str, condition: str = "own, bilinear") -> Predictions:
    """Label the images anew, as the tables have them.

    Parameters
    ----------
    images : Images
        From `meznet_helpers.book.validation_set.read`.
    model, condition : str
        As in `meznet_helpers.book.validation_set.table`.

    Returns
    -------
    Predictions

    Examples
    --------
    >>> recompute(Images([np.zeros((64, 64, 3), np.uint8)], ["a"]), "keras/MobileNet@tiny")
    Predictions(1 model x 1 image x 200 labels: keras/MobileNet@tiny)
    """
    net = labeler(model, **spell.CONDITIONS.get(condition, {}))
    found = net.predict(images, batch_size=250, progress=True)
    return found.restrict(labels.tiny_imagenet()) if model in PUBLISHED else found


def compare(images: Images) -> pd.DataFrame:
    """Label the images anew and compare with the tables.

    Parameters
    ----------
    images : Images
        All of them, from `meznet_helpers.book.validation_set.read`.

    Returns
    -------
    DataFrame
        One row for each table whose labeler is on this machine, see `absent`: `model`, `condition`,
        `n`, `furthest` (largest difference of two probabilities), `same` (share of images with the
        same first label), `agree`.
    """
    rows, place = [], {name: number for number, name in enumerate(images.names)}
    here = sources()[~sources()["model"].isin(absent())]
    for source in here.itertuples():
        stored = table(source.model, source.condition)
        if missing := [name for name in stored.images if name not in place]:
            raise MeznetError(f"{missing[0]} is missing; name the whole of tiny-imagenet-200.")
        chosen = Images([images[place[name]] for name in stored.images], stored.images)
        anew = recompute(chosen, source.model, source.condition)
        furthest = float(np.abs(anew.probs - stored.probs).max())
        same = float((anew.probs.argmax(-1) == stored.probs.argmax(-1)).mean())
        agree = furthest < 0.005 and same > 0.998
        rows.append([source.model, source.condition, len(chosen), furthest, same, agree])
    return pd.DataFrame(rows, columns=["model", "condition", "n", "furthest", "same", "agree"])


def assets_of(model: str) -> tuple[str, ...]:
    """Return the assets that a labeler of the tables is made of.

    Parameters
    ----------
    model : str
        One of `models`, of any condition.

    Returns
    -------
    tuple of str
        Names of the manifest.

    Examples
    --------
    >>> assets_of("keras/MobileNet@tiny"), assets_of("keras/EfficientNetLite0@imagenet")
    (('keras/MobileNet@tiny',), ('efficientnet-lite0',))
    """
    if model in PUBLISHED:
        return (backbone(model).asset,)
    return LATER.get(model, (model,))


def absent() -> list[str]:
    """Return the labelers of the tables that are not on this machine; ``meznet fetch`` gets them.

    Returns
    -------
    list of str
        Published nets alone can be absent; all else lies in the repository.

    Examples
    --------
    >>> set(absent()) <= set(PUBLISHED)
    True
    """
    return [model for model in PUBLISHED if not store.is_here(*assets_of(model))]


def digest(images: Images) -> str:
    """Return the sha256 of the pixels of all images, in order.

    Examples
    --------
    >>> digest(Images([np.zeros((1, 1, 3), np.uint8)], ["a"]))[:8]
    '709e80c8'
    """
    digest = hashlib.sha256()
    for image in images.arrays:
        digest.update(image)
    return digest.hexdigest()


def weights_digest(model: str) -> str:
    """Return the sha256 of a model's weights, as the manifest has it; of several, of all theirs.

    Examples
    --------
    >>> len(weights_digest("keras/MobileNet@tiny"))
    64
    """
    hashes = [store.manifest()[asset].hash.removeprefix("sha256:") for asset in assets_of(model)]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
