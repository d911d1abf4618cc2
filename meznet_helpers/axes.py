"""Named axes: names that are unique, places by name, values that are probabilities."""

import difflib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from meznet_helpers.errors import MeznetError


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
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
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
            near = difflib.get_close_matches(str(name), there, n=1)
            hint = f' did you mean "{near[0]}"?' if near else f" there are {len(there)} others."
            raise MeznetError(f'there is no {what} "{name}";{hint}')
    return [place[name] for name in names], names


def check_same(axis: str, first: tuple[str, ...], other: tuple[str, ...], what: str) -> None:
    """Check that two axes have the same names in the same order.

    Parameters
    ----------
    axis : str
        What the axis is called in an error.
    first, other : tuple of str
        The names.
    what : str
        What the other belongs to, in an error.

    Raises
    ------
    MeznetError
        If they differ; the message names a name that only one of them has.

    Examples
    --------
    >>> check_same("images", ("a", "b"), ("a", "c"), "part 2")
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: part 2 has other images than part 1: 'b' is in one only.
    """
    if first == other:
        return
    if sorted(first) == sorted(other):
        why = f"in another order; select({axis}=...) brings them into one"
    else:
        why = f"{min(set(first) ^ set(other))!r} is in one only"
    raise MeznetError(f"{what} has other {axis} than part 1: {why}.")


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
        raise MeznetError(f"probs must be an array of numbers: {error}.") from error


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
