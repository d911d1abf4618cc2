"""Labeled images, and ways to split them into a part to learn from and a part to judge by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.images.reading import Images
from meznet_helpers.labels import LabelSpace, as_truth

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Images with their labels.

    Parameters
    ----------
    images : Images
    truth : sequence of int, shape (images,)
        Position of each image's label in `labels`.
    labels : LabelSpace
    groups : sequence of str, optional
        What else an image belongs to, one for each image: Emoji Zoo's art styles.

    Raises
    ------
    MeznetError
        If the fields do not fit.

    Examples
    --------
    >>> from meznet_helpers.labels import from_names
    >>> gray = Images([np.zeros((2, 2, 3), np.uint8)] * 4, ["a", "b", "c", "d"])
    >>> four = Dataset(gray, [0, 0, 1, 1], from_names(["cat", "dog"]), ["x", "y", "x", "y"])
    >>> four.counts().to_dict(), four.by_group("x")[1].images.names
    ({'cat': 2, 'dog': 2}, ('a', 'c'))
    """

    images: Images
    truth: np.ndarray
    labels: LabelSpace
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the fields."""
        truth = as_truth(self.truth, len(self.images), len(self.labels))
        object.__setattr__(self, "truth", truth)
        object.__setattr__(self, "groups", tuple(self.groups))
        if self.groups and len(self.groups) != len(self.images):
            raise MeznetError(
                f"{len(self.images)} images need as many groups, not {len(self.groups)}."
            )

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __repr__(self) -> str:
        """Say how many images and labels there are."""
        return f"Dataset({len(self)} images, {len(self.labels)} labels)"

    def counts(self) -> pd.Series:
        """Count the images of each label.

        Returns
        -------
        Series of int
            By label id, in the order of the label space.
        """
        import pandas as pd

        counted = np.bincount(self.truth, minlength=len(self.labels))
        return pd.Series(counted, index=list(self.labels.ids), name="images")

    def take(self, places: Sequence[int] | np.ndarray) -> Dataset:
        """Return some of the images.

        Parameters
        ----------
        places : sequence of int, or mask of bool
            Which; in this order.

        Returns
        -------
        Dataset
            With the same label space.
        """
        chosen = np.arange(len(self))[np.asarray(places)]
        arrays, names = self.images.arrays, self.images.names
        images = Images([arrays[i] for i in chosen], [names[i] for i in chosen])
        groups = [self.groups[i] for i in chosen] if self.groups else ()
        return Dataset(images, self.truth[chosen], self.labels, groups)

    def by_picture(self, *, valid: float | int = 0.5, seed: int = 0) -> tuple[Dataset, Dataset]:
        """Split at random, each label in the same proportion.

        Parameters
        ----------
        valid : float or int
            Share or number of the images that are held out.
        seed : int

        Returns
        -------
        train, valid : Dataset

        Raises
        ------
        MeznetError
            If a label has fewer than two images, or a part would lack a label.
        """
        from sklearn.model_selection import train_test_split

        try:
            parts = train_test_split(
                np.arange(len(self)), test_size=valid, stratify=self.truth, random_state=seed
            )
        except ValueError as error:
            fewest = self.labels.ids[int(self.counts().to_numpy().argmin())]
            raise MeznetError(
                f"{self!r} can't be split with {valid} held out: each label must have an image in "
                f'both parts; "{fewest}" has {self.counts()[fewest]}.'
            ) from error
        return self.take(np.sort(parts[0])), self.take(np.sort(parts[1]))

    def by_group(self, group: str) -> tuple[Dataset, Dataset]:
        """Hold a group out: the harder split, where nothing judged looks like what was learned.

        Parameters
        ----------
        group : str
            One of ``.groups``.

        Returns
        -------
        train, valid : Dataset
            All the others, and this one.

        Raises
        ------
        MeznetError
            If there is no such group.
        """
        held_out = np.array(self.groups) == group
        if not held_out.any():
            there = ", ".join(sorted(set(self.groups))) or "no groups"
            raise MeznetError(f'"{group}" is no group of {self!r}; there are {there}.')
        return self.take(~held_out), self.take(held_out)
