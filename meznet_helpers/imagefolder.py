"""Images in a tree of folders, one folder for each label."""

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.images import Images, find, read_many
from meznet_helpers.labels import LabelSpace, normalize
from meznet_helpers.progress import bar


def read_tree(
    folder: str | os.PathLike, labels: LabelSpace, *, progress: bool = False
) -> tuple[Images, np.ndarray]:
    """Read a tree of images whose folders say what the images show.

    Parameters
    ----------
    folder : str or Path
        Holds one folder for each label, of those that there are images of. It is called by the
        label's id or name, as `match` understands it; images may lie deeper inside it. Hidden
        folders, and files beside the folders, do not count.
    labels : LabelSpace
    progress : bool
        Show a bar where there is a terminal or a notebook.

    Returns
    -------
    images : Images
        Named ``folder/file``; sorted by folder. What can't be read is in ``.errors``.
    truth : ndarray of int64, shape (images,)
        Position of each image's label in `labels`.

    Raises
    ------
    MeznetError
        If the folder is not there or holds no folder, or if one inside it matches no label, the
        same label as another, or holds no image.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> from meznet_helpers.labels import from_names
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("hot_dog", "apple"):
    ...         (Path(root) / name).mkdir()
    ...         Image.new("RGB", (4, 4)).save(Path(root) / name / "1.png")
    ...     images, truth = read_tree(root, from_names(["Hot dog", "Apple"]))
    >>> images.names, truth.tolist()
    (('apple/1.png', 'hot_dog/1.png'), [1, 0])
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise MeznetError(f"{folder} is no folder; name one that holds a folder for each label.")
    inside = sorted(each for each in folder.iterdir() if each.is_dir() and each.name[0] != ".")
    if not inside:
        raise MeznetError(f"{folder} holds no folders; it needs one for each label.")
    places = match([each.name for each in inside], labels)
    arrays, names, errors, truth = [], [], [], []
    files = {each: _files(each) for each in inside}  # complain before the long part
    steps = zip(inside, places, strict=True)
    for each, place in bar(steps, total=len(inside), label="Reading images") if progress else steps:
        found = read_many(files[each])
        arrays += found.arrays
        names += [f"{each.name}/{name}" for name in found.names]
        errors += found.errors
        truth += [place] * len(found)
    return Images(arrays, names, errors), np.array(truth, dtype=np.int64)


def match(names: Iterable[str], labels: LabelSpace) -> list[int]:
    """Find the labels that folders are called by.

    Parameters
    ----------
    names : iterable of str
        Each an id, or a name in any spelling that differs in capitals, accents, and what stands
        between the words: ``hot_dog``, ``Hot-Dog``.
    labels : LabelSpace

    Returns
    -------
    list of int
        Positions in `labels`.

    Raises
    ------
    MeznetError
        If a name matches no label, several, or one that another name matches, too.

    Examples
    --------
    >>> from meznet_helpers.labels import tiny_imagenet
    >>> match(["n02793495", "Flag-pole"], tiny_imagenet())
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: folder "Flag-pole" is no label of tiny_imagenet; near: ...
    """
    known: dict[str, list[int]] = {}
    for place, name in enumerate(labels.names):
        known.setdefault(_key(name), []).append(place)
    found: dict[int, str] = {}
    for name in names:
        places = [labels.index(name)] if name in labels else known.get(_key(name), [])
        if not places:
            near = difflib.get_close_matches(_key(name), known, n=3)
            hint = ", ".join(labels.names[known[each][0]] for each in near)
            raise MeznetError(
                f'folder "{name}" is no label of {labels.name}'
                + (f"; near: {hint}." if near else ".")
            )
        if len(places) > 1:
            ids = " or ".join(labels.ids[place] for place in places)
            raise MeznetError(f'folder "{name}" may stand for several labels; call it {ids}.')
        if places[0] in found:
            raise MeznetError(
                f'folders "{found[places[0]]}" and "{name}" stand for the same label; join them.'
            )
        found[places[0]] = name
    return list(found)


def _key(text: str) -> str:
    """Bring a name or a slug to the form in which they are compared."""
    return re.sub(r"[\W_]+", " ", normalize(text)).strip()


def _files(folder: Path) -> list[Path]:
    """List the images of one label."""
    try:
        return find(folder)
    except MeznetError as error:
        raise MeznetError(f"{folder} holds no images; put some there or remove it.") from error
