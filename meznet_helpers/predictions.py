"""Predictions: what labelers give, probabilities with three named axes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from meznet_helpers import predictions_file
from meznet_helpers.axes import (
    check_probabilities,
    check_same,
    float_array,
    positions,
    unique_names,
)
from meznet_helpers.errors import MeznetError
from meznet_helpers.labels import LabelSpace
from meznet_helpers.ranking import top_indices

if TYPE_CHECKING:
    import pandas as pd

AXES = ("models", "images", "labels")


@dataclass(frozen=True, eq=False, repr=False)
class Predictions:
    """Probabilities over one label space, for some images, by some models.

    Parameters
    ----------
    probs : ndarray of float32, shape (models, images, labels)
        Kept as a read-only view; copied only if it is not a float32 array already.
    models, images : sequence of str
        Names of the first and the second axis, each once.
    labels : LabelSpace
        The third axis.
    tolerance : float or None
        How far the sum of an image's probabilities may lie from 1; None: any sum will do.

    Raises
    ------
    MeznetError
        If an axis does not fit its names, a name comes twice, or a value or a sum is off.

    Examples
    --------
    >>> from meznet_helpers.labels import from_names
    >>> p = Predictions([[[0.2, 0.7, 0.1]]], ["net"], ["a.png"], from_names(["cat", "dog", "owl"]))
    >>> p
    Predictions(1 model x 1 image x 3 labels: net)
    """

    probs: np.ndarray
    models: tuple[str, ...]
    images: tuple[str, ...]
    labels: LabelSpace
    tolerance: float | None = 1e-3

    def __post_init__(self) -> None:
        """Check the three axes and the values."""
        for axis in ("models", "images"):
            object.__setattr__(self, axis, unique_names(axis, getattr(self, axis)))
        if not isinstance(self.labels, LabelSpace):
            raise MeznetError(f"labels must be a LabelSpace, not {type(self.labels).__name__}.")
        probs = float_array(self.probs)
        if probs.ndim != 3:
            raise MeznetError(f"probs must have three axes, {', '.join(AXES)}; not {probs.ndim}.")
        sizes = (len(self.models), len(self.images), len(self.labels))
        for axis, got, named in zip(AXES, probs.shape, sizes, strict=True):
            if got != named:
                raise MeznetError(f"probs has {got} {axis}, but {named} {axis} are named.")
        check_probabilities(probs, self.models, self.images, self.tolerance)
        probs.flags.writeable = False
        object.__setattr__(self, "probs", probs)

    def __repr__(self) -> str:
        """Say the sizes and the first models."""
        sizes = zip(self.probs.shape, AXES, strict=True)
        counts = (f"{size} {axis if size != 1 else axis[:-1]}" for size, axis in sizes)
        names = ", ".join(self.models[:4]) + (", ..." if len(self.models) > 4 else "")
        return f"Predictions({' x '.join(counts)}: {names})"

    def top(self, k: int = 5) -> "pd.DataFrame":
        """Return the `k` most probable labels of every image, as a tidy table.

        Parameters
        ----------
        k : int
            How many; all labels where there are fewer than `k`.

        Returns
        -------
        DataFrame
            Columns image, model, rank (from 1), label_id, label, score (float32); rows by image,
            then model, then rank. Among equal scores the first in the label space comes first.

        Raises
        ------
        MeznetError
            If `k` is not a positive whole number.

        Examples
        --------
        >>> from meznet_helpers.labels import from_names
        >>> p = Predictions([[[0.4, 0.2, 0.4]]], ["net"], ["a"], from_names(["cat", "dog", "owl"]))
        >>> p.top(1).loc[0, "label"]
        'cat'
        """
        import pandas as pd

        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise MeznetError(f"k must be a whole number from 1 on, not {k!r}.")
        scores = self.probs.transpose(1, 0, 2)  # image, model, label: the order of the rows
        order = top_indices(scores, int(k))
        images, models, k = order.shape
        flat = order.ravel()
        return pd.DataFrame(
            {
                "image": np.repeat(np.array(self.images, dtype=object), models * k),
                "model": np.tile(np.repeat(np.array(self.models, dtype=object), k), images),
                "rank": np.tile(np.arange(1, k + 1), images * models),
                "label_id": np.array(self.labels.ids, dtype=object)[flat],
                "label": np.array(self.labels.names, dtype=object)[flat],
                "score": np.take_along_axis(scores, order, axis=2).ravel(),
            }
        )

    def select(
        self, *, models: Sequence[str] | None = None, images: Sequence[str] | None = None
    ) -> "Predictions":
        """Return some of the models and images, in the order asked for.

        Parameters
        ----------
        models, images : sequence of str, or str, optional
            Names to keep; None keeps all.

        Returns
        -------
        Predictions

        Raises
        ------
        MeznetError
            If a name is not there, or is asked for twice.

        Examples
        --------
        >>> from meznet_helpers.labels import from_names
        >>> p = Predictions([[[1.0]], [[1.0]]], ["a", "b"], ["x"], from_names(["cat"]))
        >>> p.select(models="b").models
        ('b',)
        """
        rows, models = positions("model", models, self.models)
        columns, images = positions("image", images, self.images)
        probs = self.probs[np.ix_(rows, columns)]
        return replace(self, probs=probs, models=models, images=images)

    def join(self, *others: "Predictions") -> "Predictions":
        """Put the models of several predictions for the same images together.

        ``Predictions.join(a, b, c)`` and ``a.join(b, c)`` are the same.

        Parameters
        ----------
        *others : Predictions
            For the same images in the same order, over the same labels, by other models.

        Returns
        -------
        Predictions
            With the widest tolerance of the parts.

        Raises
        ------
        MeznetError
            If images or labels differ, or a model is there twice.

        Examples
        --------
        >>> from meznet_helpers.labels import from_names
        >>> a, b = (Predictions([[[1]]], [name], ["x"], from_names(["cat"])) for name in "ab")
        >>> a.join(b)
        Predictions(2 models x 1 image x 1 label: a, b)
        """
        return self._together(others, along="models", same="images")

    def concat(self, *others: "Predictions") -> "Predictions":
        """Put the images of several predictions by the same models together.

        Parameters
        ----------
        *others : Predictions
            By the same models in the same order, over the same labels, for other images.

        Returns
        -------
        Predictions

        Raises
        ------
        MeznetError
            If models or labels differ, or an image is there twice.

        Examples
        --------
        >>> from meznet_helpers.labels import from_names
        >>> a, b = (Predictions([[[1]]], ["net"], [name], from_names(["cat"])) for name in "xy")
        >>> a.concat(b).images
        ('x', 'y')
        """
        return self._together(others, along="images", same="models")

    def _together(self, others: Sequence["Predictions"], *, along: str, same: str) -> "Predictions":
        parts = (self, *others)
        for number, part in enumerate(others, 2):
            if not isinstance(part, Predictions):
                raise MeznetError(f"part {number} is no Predictions but {type(part).__name__}.")
            if part.labels != self.labels:
                raise MeznetError(f"part {number} has other labels than part 1.")
            check_same(same, getattr(self, same), getattr(part, same), f"part {number}")
        tolerances = [part.tolerance for part in parts]
        return Predictions(
            np.concatenate([part.probs for part in parts], axis=0 if along == "models" else 1),
            labels=self.labels,
            tolerance=None if None in tolerances else max(tolerances),
            **{along: sum((getattr(part, along) for part in parts), ()), same: getattr(self, same)},
        )

    def save(self, path: str | Path, *, half: bool = False) -> Path:
        """Write the predictions to one safetensors file.

        Parameters
        ----------
        path : str or Path
            The file; it is written aside first and then renamed. Missing folders are made.
        half : bool
            Store float16, half the bytes. Scores keep three digits (relative error up to 2^-11,
            about 0.05 %), those below 3e-8 become 0, and scores closer than that become equal, so
            ranks far down may change. Nothing is scaled to sum to 1 again.

        Returns
        -------
        Path

        Raises
        ------
        MeznetError
            If the file cannot be written, or if float16 sums would break the tolerance.

        Examples
        --------
        >>> import tempfile
        >>> from meznet_helpers.labels import from_names
        >>> p = Predictions([[[0.25, 0.75]]], ["net"], ["a.png"], from_names(["cat", "dog"]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = p.save(Path(folder) / "p.safetensors", half=True)
        ...     Predictions.load(file).probs.tolist()
        [[[0.25, 0.75]]]
        """
        probs = self.probs.astype(np.float16) if half else self.probs
        if half:
            replace(self, probs=probs)  # checks that what is saved can be loaded
        about = {name: getattr(self, name) for name in (*AXES, "tolerance")}
        return predictions_file.write(Path(path), probs, about)

    @classmethod
    def load(cls, path: str | Path) -> "Predictions":
        """Read predictions that `save` wrote.

        Parameters
        ----------
        path : str or Path
            The file.

        Returns
        -------
        Predictions
            Always float32.

        Raises
        ------
        MeznetError
            If the file is missing, damaged, or something else.

        Examples
        --------
        >>> Predictions.load(__file__)
        Traceback (most recent call last):
        meznet_helpers.errors.MeznetError: ...predictions.py holds no predictions; ...
        """
        probs, about = predictions_file.read(Path(path))
        try:
            return cls(probs.astype(np.float32), **about)
        except (MeznetError, TypeError) as error:
            raise MeznetError(f"{path}: {error}") from error
