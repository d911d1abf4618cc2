"""Photographs of 47 animals, judged by ImageNet's 1,000 labels."""

from pathlib import Path

import numpy as np
import pandas as pd

from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import find
from meznet_helpers.labels import imagenet


def labels_of(*, same: bool = False) -> dict[str, list[int]]:
    """Return which of ImageNet's labels are kinds of each animal.

    Parameters
    ----------
    same : bool
        Only labels that mean the animal itself.

    Returns
    -------
    dict of str to list of int
        Positions in `meznet_helpers.labels.imagenet`, by animal; without those that have none.
        ``data/labels/README.md`` says how they were found.

    Examples
    --------
    >>> [imagenet().names[place] for place in labels_of()["elephant"]]
    ['Indian elephant', 'African elephant']
    >>> "elephant" in labels_of(same=True)
    False
    """
    table = pd.read_csv(profile.data() / "labels" / "animals-imagenet.csv", encoding="utf-8")
    if same:
        table = table[table["same"] == 1]
    places = table.groupby("animal")["label_id"].apply(lambda ids: list(imagenet().indices(ids)))
    return {animal: [int(place) for place in found] for animal, found in places.items()}


def photographs(folder: str | Path) -> tuple[list[Path], np.ndarray]:
    """List the photographs, a folder for each animal.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    files : list of Path
    animals : ndarray of str, shape (files,)

    Raises
    ------
    MeznetError
        If there are none.

    Examples
    --------
    >>> photographs("nowhere")
    Traceback (most recent call last):
    meznet_helpers.images.pixels.ImageError: nowhere: no image is found there.
    """
    files = find(folder)
    animals = np.array([file.parent.name for file in files])
    if strange := sorted(set(labels_of()) - set(animals)):
        raise MeznetError(f"{folder} has no folder {strange[0]}; name the one of the 47 animals.")
    return files, animals


def halves(groups: np.ndarray, seed: int = 0) -> np.ndarray:
    """Split by chance, half of each group into each half.

    Parameters
    ----------
    groups : ndarray, shape (images,)
    seed : int

    Returns
    -------
    ndarray of bool, shape (images,)
        True in the first half, which is the smaller one of an odd group.

    Examples
    --------
    >>> halves(np.array(["fox", "fox", "owl", "owl", "owl"])).sum()
    np.int64(2)
    """
    rng = np.random.default_rng(seed)
    first = np.zeros(len(groups), bool)
    for group in np.unique(groups):
        members = rng.permutation(np.flatnonzero(groups == group))
        first[members[: len(members) // 2]] = True
    return first
