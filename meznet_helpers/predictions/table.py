"""Predictions: what labelers give, probabilities with three named axes, and their files."""

import gzip
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from meznet_helpers import stored
from meznet_helpers.errors import MeznetError, did_you_mean, reason
from meznet_helpers.files import aside
from meznet_helpers.labels import LabelSpace, from_fields

if TYPE_CHECKING:
    import pandas as pd


def unique_names(axis: str, given: Sequence[str]) -> tuple[str, ...]:
    """Return the names of an axis as a tuple, each of them there once.

    Parameters
    ----------
    axis : str
        What the axis is called in an error.
    given : sequence of str
        The names; one bare str stands for itself.

    Returns
    -------
    tuple of str

    Raises
    ------
    MeznetError
        If a name is no str or is there twice.

    Examples
    --------
    >>> unique_names("models", ["a", "b"])
    ('a', 'b')
    """
    names = (given,) if isinstance(given, str) else tuple(given)
    for name in names:
        if not isinstance(name, str):
            raise MeznetError(f"{axis} must be names (str), not {type(name).__name__}.")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise MeznetError(f'{axis} must be unique, but "{twice[0]}" is there more than once.')
    return names


def positions(
    what: str, wanted: Sequence[str] | None, there: tuple[str, ...]
) -> tuple[list[int], tuple[str, ...]]:
    """Find names on an axis.

    Parameters
    ----------
    what : str
        What one name stands for, in an error.
    wanted : sequence of str, or str, or None
        The names to find; None means all.
    there : tuple of str
        The names of the axis.

    Returns
    -------
    places : list of int
    names : tuple of str
        Both in the order of `wanted`.

    Raises
    ------
    MeznetError
        If a name is not there.

    Examples
    --------
    >>> positions("model", ["b"], ("a", "b"))
    ([1], ('b',))
    """
    if wanted is None:
        return list(range(len(there))), there
    names = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    place = {name: number for number, name in enumerate(there)}
    for name in names:
        if name not in place:
            hint = did_you_mean(name, there, f"; there are {len(there)} others.")
            raise MeznetError(f'there is no {what} "{name}"{hint}')
    return [place[name] for name in names], names


def float_array(values: ArrayLike) -> np.ndarray:
    """Return values as a float32 array, without copying one that is so already.

    Parameters
    ----------
    values : array-like
        Numbers. What is too large for float32 becomes infinite.

    Returns
    -------
    ndarray of float32
        A view, so that making it read-only leaves the caller's array as it is.

    Raises
    ------
    MeznetError
        If the values are no numbers, or rows have different lengths.

    Examples
    --------
    >>> float_array([[1, 2]]).dtype
    dtype('float32')
    """
    try:
        with np.errstate(over="ignore"):
            return np.asarray(values, dtype=np.float32, order="C").view()
    except (TypeError, ValueError) as error:
        raise MeznetError(f"probs must be an array of numbers: {reason(error)}.") from error


def check_probabilities(
    probs: np.ndarray, models: tuple[str, ...], images: tuple[str, ...], tolerance: float | None
) -> None:
    """Check that every image has finite probabilities, none negative, that sum to 1.

    Parameters
    ----------
    probs : ndarray of float32, shape (models, images, labels)
    models, images : tuple of str
        Names for the error.
    tolerance : float or None
        How far a sum may lie from 1; None: any sum will do.

    Raises
    ------
    MeznetError
        For the first image that breaks the rule.

    Examples
    --------
    >>> probs = np.ones((1, 1, 2), np.float32)
    >>> check_probabilities(probs, ("net",), ("a.png",), 1e-3)
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: probs sums to 2 instead of 1 for image "a.png" by ...
    """

    def first(bad: np.ndarray) -> str:
        model, image = np.argwhere(bad)[0]
        more = int(bad.sum()) - 1
        name = f'image "{images[image]}" by model "{models[model]}"'
        return name + (f" and {more} more" if more else "")

    sums = probs.sum(axis=2, dtype=np.float64)  # every NaN and infinity shows in its row's sum
    if not np.isfinite(sums).all():
        raise MeznetError(f"probs is NaN or infinite for {first(~np.isfinite(sums))}.")
    if probs.size and probs.min() < 0:
        raise MeznetError(f"probs is negative for {first((probs < 0).any(axis=2))}.")
    off = np.zeros(1, dtype=bool) if tolerance is None else np.abs(sums - 1) > tolerance
    if off.any():
        raise MeznetError(
            f"probs sums to {sums[off][0]:.4g} instead of 1 for {first(off)}; "
            "pass tolerance=None if these are not meant to sum to 1."
        )


def top_indices(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the indices of the `k` largest values along the last axis, the largest first.

    Parameters
    ----------
    scores : ndarray, shape (..., n)
        Without NaN.
    k : int
        How many, from 1 on; all where `n` is smaller.

    Returns
    -------
    ndarray of int, shape (..., min(k, n))
        Among equal values the smaller index comes first, as a stable sort gives it.

    Examples
    --------
    >>> top_indices(np.array([0.1, 0.4, 0.4, 0.1]), 3).tolist()
    [1, 2, 0]
    """
    count = scores.shape[-1]
    k = min(k, count)
    if k == 1 and count:  # takes the first of equals too, and much faster
        return scores.argmax(axis=-1)[..., None]
    if k == count or scores.size == 0:
        return np.argsort(-scores, axis=-1, kind="stable")[..., :k]
    chosen = np.sort(np.argpartition(scores, count - k, axis=-1)[..., count - k :], axis=-1)
    values = np.take_along_axis(scores, chosen, axis=-1)
    order = np.take_along_axis(chosen, np.argsort(-values, axis=-1, kind="stable"), axis=-1)
    # Where the last place is shared, argpartition picked any of the equals: sort those rows whole.
    least = values.min(axis=-1, keepdims=True)
    shared = np.count_nonzero(scores >= least, axis=-1) > k
    order[shared] = np.argsort(-scores[shared], axis=-1, kind="stable")[..., :k]
    return order


AXES = ("models", "images", "labels")
_KIND = "meznet-predictions-1"
MAX_BYTES = 4 * 10**9  # of a file that is unpacked


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

    def restrict(self, labels: LabelSpace) -> "Predictions":
        """Return the predictions among fewer labels, scaled so that they sum to 1 again.

        Parameters
        ----------
        labels : LabelSpace
            All of them labels of these predictions, by id; their order is that of the result.

        Returns
        -------
        Predictions
            How probable each label is, given that one of these is right.

        Raises
        ------
        MeznetError
            If these predictions lack a label, or an image has no probability for any of them.

        Examples
        --------
        >>> from meznet_helpers.labels import from_names
        >>> p = Predictions([[[0.6, 0.2, 0.2]]], ["net"], ["a"], from_names(["cat", "dog", "owl"]))
        >>> p.restrict(from_names(["owl", "dog"])).probs.tolist()
        [[[0.5, 0.5]]]
        """
        kept = self.probs[..., self.labels.indices(labels.ids)].astype(np.float64)
        sums = kept.sum(axis=2, keepdims=True)
        if not (sums > 0).all():
            image = self.images[np.argwhere(~(sums > 0))[0][1]]
            raise MeznetError(f'image "{image}" has no probability for any label of {labels.name}.')
        return replace(self, probs=kept / sums, labels=labels)

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
            first, other = getattr(self, same), getattr(part, same)
            if sorted(first) != sorted(other):
                why = f"{min(set(first) ^ set(other))!r} is in one only"
                raise MeznetError(f"part {number} has other {same} than part 1: {why}.")
            if first != other:
                why = f"in another order; select({same}=...) brings them into one"
                raise MeznetError(f"part {number} has other {same} than part 1: {why}.")
        tolerances = [part.tolerance for part in parts]
        return Predictions(
            np.concatenate([part.probs for part in parts], axis=0 if along == "models" else 1),
            labels=self.labels,
            tolerance=None if None in tolerances else max(tolerances),
            **{along: sum((getattr(part, along) for part in parts), ()), same: getattr(self, same)},
        )

    def save(self, path: str | Path, *, half: bool = False) -> Path:
        """Write the predictions to one safetensors file, with the names as JSON metadata.

        Parameters
        ----------
        path : str or Path
            The file; it is written aside first and then renamed. Missing folders are made. Under a
            name that ends in ``.gz`` it is compressed. The bytes of the numbers then lie sorted:
            first all of the one end, then all of the next, and so on. Exponents are much alike and
            compress well that way; between mantissas, which look like chance, they would not.
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
        path = Path(path)
        probs = self.probs.astype(np.float16) if half else self.probs
        if half:
            replace(self, probs=probs)  # checks that what is saved can be loaded
        about = {field: getattr(self, field) for field in (*AXES, "tolerance")}
        about |= {"labels": asdict(self.labels), "kind": _KIND}
        packed = path.suffix == ".gz"
        tensors = {"planes": _planes(probs)} if packed else {"probs": probs}
        with aside(path) as part:
            stored.write(part, tensors, about)
            if packed:
                part.write_bytes(gzip.compress(part.read_bytes(), mtime=0))
        return path

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
        meznet_helpers.errors.MeznetError: ...table.py holds no predictions ...
        """
        path = Path(path)
        if not path.is_file():
            raise MeznetError(f"{path} is not there; it should be a file of predictions.")
        with stored.telling(f"{path} holds no predictions that Predictions.save wrote"):
            packed = path.suffix == ".gz"
            content = np.frombuffer(_unpacked(path), np.uint8) if packed else stored.mapped(path)
            tensors, about = stored.unpack(content)
            kinds = {"kind": str, "tolerance": float | int | None, "labels": dict}
            stored.demand(about, kinds | {"models": list, "images": list})
            if about.pop("kind") != _KIND:
                raise ValueError("they are of another kind")
            probs = _numbers(tensors["planes"]) if "planes" in tensors else tensors["probs"]
            if probs.dtype not in (np.float16, np.float32):
                raise ValueError(f"they are {probs.dtype}")
            about["labels"] = from_fields(about["labels"])
            return cls(probs.astype(np.float32), **about)


def _unpacked(path: Path) -> bytearray:
    """Unpack a file, unless it unpacks to more than any predictions have."""
    content = bytearray()
    with gzip.open(path) as file:
        while piece := file.read(1 << 22):
            content += piece
            if len(content) > MAX_BYTES:
                raise ValueError(f"it unpacks to more than {MAX_BYTES / 1e9:.0f} GB")
    return content


def _planes(probs: np.ndarray) -> np.ndarray:
    """Sort the bytes of numbers (models, images, labels): (bytes, models, images, labels)."""
    single = np.ascontiguousarray(probs).view(np.uint8).reshape(*probs.shape, probs.itemsize)
    return np.ascontiguousarray(np.moveaxis(single, -1, 0))


def _numbers(planes: np.ndarray) -> np.ndarray:
    """Put the bytes that `_planes` sorted together again."""
    single = np.ascontiguousarray(np.moveaxis(planes, 0, -1))
    return single.view({2: np.float16, 4: np.float32}[len(planes)])[..., 0]
