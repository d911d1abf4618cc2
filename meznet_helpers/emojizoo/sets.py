"""Emoji Zoo's data sets: balanced by class, and rendered anew from a seed."""

import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from meznet_helpers.emojizoo.artwork import drawing, styles_of, table
from meznet_helpers.emojizoo.composition import HARD, MILD, compose
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import Dataset, Images
from meznet_helpers.labels import LabelSpace

_FACES = {
    "cat": ["cat-face", "cat", "black-cat"],
    "dog": ["dog-face", "dog", "poodle"],
    "wild": [
        *("bear", "fox", "koala", "leopard", "lion", "panda"),
        *("polar-bear", "raccoon", "tiger", "tiger-face", "wolf"),
    ],
}
_ANIMALS = 90  # classes, as in the data set of photographs that chapter 5 is about


def render(
    classes: Iterable[str] | Mapping[str, Sequence[str]],
    count: int | Sequence[int],
    *,
    size: int = 96,
    seed: int = 0,
    hard: bool = False,
) -> Dataset:
    """Render a data set.

    An image depends on the arguments, its class and its place within it, not on other classes.
    Each class goes through its drawings in a random order, again and again, so that all styles are
    about equally frequent.

    Parameters
    ----------
    classes : iterable of str, or mapping of str to sequence of str
        Slugs of emoji, each a class of its own; or names of classes with the slugs of each.
    count : int or sequence of int
        Images of each class.
    size : int
        Side of an image, pixels.
    seed : int
        From 0.
    hard : bool
        Compose the `HARD` variant instead of the `MILD` one: small and large, loud backgrounds,
        strong rotation, shift, tint and noise, every other image partly covered.

    Returns
    -------
    Dataset
        Images are named ``class/slug-style-number``; their groups are the art styles.

    Raises
    ------
    MeznetError
        If a class holds no emoji or what is none, or is asked for less than once.

    Examples
    --------
    >>> pets = render(["cat-face", "dog-face"], 14, size=32, seed=1)
    >>> len(pets), pets.labels.names, pets.images[0].shape
    (28, ('cat face', 'dog face'), (32, 32, 3))
    >>> sorted(pets.groups)[:4]
    ['emojione', 'emojione', 'emojione', 'emojione']
    """
    groups, labels = _classes(classes)
    counts = [count] * len(groups) if isinstance(count, int | np.integer) else list(count)
    if len(counts) != len(groups) or min(counts) < 1 or size < 1:
        raise MeznetError(
            f"count and size must be positive, and count one number or one for each of the "
            f"{len(groups)} classes, not {count!r} and {size!r}."
        )
    variant = HARD if hard else MILD
    arrays, names, drawn = [], [], []
    for label, slugs, number in zip(labels.ids, groups, counts, strict=True):
        salt = zlib.crc32(label.encode())
        for place, (slug, style) in enumerate(_drawings(label, slugs, number, [seed, salt])):
            rng = np.random.default_rng([seed, salt, place])
            arrays.append(compose(drawing(slug, style), rng, size=size, variant=variant))
            names.append(f"{label}/{slug}-{style}-{place:03d}")
            drawn.append(style)
    truth = np.repeat(np.arange(len(groups)), counts)
    return Dataset(Images(arrays, names), truth, labels, groups=drawn)


def faces(*, size: int = 64, seed: int = 0, hard: bool = False) -> Dataset:
    """Render cats, dogs and eleven wild animals, some as faces, some whole: 100 of each.

    Half of them are as many photographs of faces as the lecture of chapter 3 trains on.

    Parameters
    ----------
    size, seed, hard
        As in `render`.

    Returns
    -------
    Dataset
        300 images, labels ``cat``, ``dog``, ``wild``.

    Examples
    --------
    >>> faces(size=16).counts().tolist()
    [100, 100, 100]
    """
    return render(_FACES, 100, size=size, seed=seed, hard=hard)


def animals(*, each: int = 60, size: int = 64, seed: int = 0, hard: bool = False) -> Dataset:
    """Render 90 animals: those drawn in all seven styles, then others in Unicode's order.

    Parameters
    ----------
    each : int
        Images of each animal.
    size, seed, hard
        As in `render`.

    Returns
    -------
    Dataset
        ``90 * each`` images.

    Examples
    --------
    >>> zoo = animals(each=1, size=16)
    >>> len(zoo.labels), "octopus" in zoo.labels
    (90, True)
    """
    whole = table().query("animal == 'yes'")
    most = whole.assign(drawn=whole.styles.map(len)).sort_values(
        "drawn", ascending=False, kind="stable"
    )
    chosen = most.slug.head(_ANIMALS)
    return render(chosen.sort_index(), each, size=size, seed=seed, hard=hard)


def animal_or_not(*, size: int = 64, seed: int = 0, hard: bool = False) -> Dataset:
    """Render 282 animals and 452 other things, as many as chapter 4's document has photographs of.

    Parameters
    ----------
    size, seed, hard
        As in `render`.

    Returns
    -------
    Dataset
        734 images, labels ``animal`` and ``not-animal``. Things that show a part of an animal
        are in neither.

    Examples
    --------
    >>> animal_or_not(size=16).counts().to_dict()
    {'animal': 282, 'not-animal': 452}
    """
    slugs = table().groupby("animal").slug.apply(list)
    classes = {"animal": slugs["yes"], "not-animal": slugs["no"]}
    return render(classes, (282, 452), size=size, seed=seed, hard=hard)


def _classes(
    classes: Iterable[str] | Mapping[str, Sequence[str]],
) -> tuple[list[Sequence[str]], LabelSpace]:
    """Return the slugs of each class, and the label space."""
    if isinstance(classes, Mapping):
        groups, ids = list(classes.values()), tuple(classes)
        names = tuple(label.replace("-", " ") for label in ids)
    else:
        ids = (classes,) if isinstance(classes, str) else tuple(classes)
        groups = [[slug] for slug in ids]
        known = table().set_index("slug").name
        names = tuple(known.get(slug, slug) for slug in ids)
    if not ids:
        raise MeznetError("classes is empty; name at least one emoji.")
    return groups, LabelSpace("emoji_zoo", ids, names)


def _drawings(
    label: str, slugs: Sequence[str], count: int, seed: list[int]
) -> list[tuple[str, str]]:
    """Choose `count` drawings, as (slug, style): all of them in a random order, and again."""
    drawings = [(slug, style) for slug in slugs for style in styles_of(slug)]
    if not drawings:
        raise MeznetError(f'class "{label}" has no drawing.')
    rng = np.random.default_rng(seed)
    rounds = -(-count // len(drawings))
    order = np.concatenate([rng.permutation(len(drawings)) for _ in range(rounds)])[:count]
    return [drawings[place] for place in order]
