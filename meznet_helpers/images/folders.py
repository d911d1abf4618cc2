"""Images in a tree of folders, one folder for each label."""

import glob
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from meznet_helpers.errors import MeznetError, did_you_mean, reason, shown
from meznet_helpers.files import aside, expanded
from meznet_helpers.images.datasets import Dataset
from meznet_helpers.images.pixels import ImageError
from meznet_helpers.images.reading import SUFFIXES, Images, is_file, path_of, read, read_many
from meznet_helpers.labels import LabelSpace, from_names, normalize, slug
from meznet_helpers.progress import bar

# Parts of a data set, as downloads call them.
_PARTS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev"}
_LITTER = {"__macosx", "thumbs.db", "desktop.ini"}
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)  # on Windows


def read_tree(
    folder: str | os.PathLike, labels: LabelSpace | None = None, *, progress: bool = False
) -> Dataset:
    """Read a tree of images whose folders say what the images show.

    Parameters
    ----------
    folder : str or Path
        Holds one folder for each label, of those that there are images of. It is called by the
        label's id or name, as `match` understands it; images may lie deeper inside it. Hidden
        folders, and files beside the folders, do not count.
    labels : LabelSpace, optional
        By default the folders' names are the labels, sorted; there must be two at least.
        Parts of a data set, such as ``train`` and ``test``, are no labels.
    progress : bool
        Show a bar where there is a terminal or a notebook.

    Returns
    -------
    Dataset
        Images are named ``folder/file`` and sorted by folder. What can't be read is in
        ``.images.errors``.

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
    ...     food = read_tree(root, from_names(["Hot dog", "Apple"]))
    >>> food.images.names, food.truth.tolist()
    (('apple/1.png', 'hot_dog/1.png'), [1, 0])
    """
    folder = expanded(folder)
    if not folder.is_dir():
        raise MeznetError(f"{folder} is no folder; name one that holds a folder for each label.")
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir() and not _litter(path))
    except OSError as error:
        raise MeznetError(f"{folder} can't be read ({reason(error)}).") from error
    if not inside:
        raise MeznetError(f"{folder} holds no folders; it needs one for each label.")
    parts = [path for path in inside if path.name.lower() in _PARTS]
    if len(parts) > 1 or parts == inside:
        names = ", ".join(path.name for path in parts)
        one = next((path for path in parts if path.name.lower().startswith("train")), parts[0])
        raise MeznetError(f"{folder} holds parts ({names}), not labels; name one, such as {one}.")
    if labels is None:
        if len(inside) < 2:
            raise MeznetError(f"{folder} holds one folder, {inside[0].name}; it needs two or more.")
        labels = from_names([shown(path.name) for path in inside], name=folder.name)
    places = match([shown(path.name) for path in inside], labels)
    arrays, names, errors, truth = [], [], [], []
    files = [_files(path) for path in inside]  # complain before the long part
    steps = list(zip(inside, places, files, strict=True))
    for path, place, below in bar(steps, label="Reading images") if progress else steps:
        images = read_many(below)
        arrays += images.arrays
        names += [f"{shown(path.name)}/{name}" for name in images.names]
        errors += images.errors
        truth += [place] * len(images)
    return Dataset(Images(arrays, names, errors), truth, labels)


def write_tree(dataset: Dataset, folder: str | os.PathLike) -> Path:
    """Write labeled images as a tree that `read_tree` reads, and other tools, too.

    Parameters
    ----------
    dataset : Dataset
    folder : str or Path
        Must not be there yet. It appears when all is written.

    Returns
    -------
    Path
        `folder`, with ``label id/name.png`` for each image. What a file system may not take, as
        slashes, becomes hyphens; no two images get the same name.

    Raises
    ------
    MeznetError
        If the folder is there already or can't be written.

    Examples
    --------
    >>> import tempfile
    >>> from meznet_helpers.emojizoo import render
    >>> with tempfile.TemporaryDirectory() as root:
    ...     folder = write_tree(render(["fox", "lion"], 2, size=8), Path(root) / "cats")
    ...     sorted(path.name for path in folder.rglob("*.png"))
    ['fox-fluent-emoji-flat-001.png', 'fox-twemoji-000.png', 'lion-emojione-000.png', ...]
    """
    folder = expanded(folder)
    if folder.exists():
        raise MeznetError(f"{folder} is there already; name a new folder.")
    folders: dict[int, Path] = {}
    taken: set[str] = set()
    with aside(folder) as part:
        for image, name, label in zip(
            dataset.images, dataset.images.names, dataset.truth, strict=True
        ):
            label_id = dataset.labels.ids[label]
            if label not in folders:
                folders[label] = _free(part, label_id, taken)
                folders[label].mkdir(parents=True)
            file = _free(folders[label], name.removeprefix(f"{label_id}/"), taken)
            Image.fromarray(image).save(file.with_name(f"{file.name}.png"))
    return folder


def _free(folder: Path, name: str, taken: set[str]) -> Path:
    """Find a place for a name that each file system takes, and that no other name has."""
    name = re.sub(r'[\\/:*?"<>|]', "-", shown(name)).encode()[:200].decode(errors="ignore")
    name, number = name.strip(" ."), 1
    if not name or _RESERVED.match(name):
        name = f"x-{name}"
    while str(place := folder / (name if number == 1 else f"{name}-{number}")).casefold() in taken:
        number += 1
    taken.add(str(place).casefold())
    return place


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
    meznet_helpers.errors.MeznetError: folder "Flag-pole" is no label of tiny_imagenet; did ...
    """
    known: dict[str, list[int]] = {}
    alike: dict[str, list[int]] = {}
    for place, name in enumerate(labels.names):
        known.setdefault(normalize(name), []).append(place)
        alike.setdefault(slug(name), []).append(place)
    matched: dict[int, str] = {}
    for name in names:
        places = [labels.index(name)] if name in labels else known.get(normalize(name))
        places = places or alike.get(slug(name))
        if not places:
            near = did_you_mean(normalize(name), known)
            raise MeznetError(f'folder "{name}" is no label of {labels.name}{near}')
        if len(places) > 1:
            ids = " or ".join(labels.ids[place] for place in places)
            raise MeznetError(f'folder "{name}" may stand for several labels; call it {ids}.')
        if other := matched.get(places[0]):
            raise MeznetError(
                f'folders "{other}" and "{name}" stand for the same label; join them.'
            )
        matched[places[0]] = name
    return list(matched)


def _files(folder: Path) -> list[Path]:
    """List the images of one label."""
    try:
        return find(folder)
    except MeznetError as error:
        raise MeznetError(f"{folder} holds no images; put some there or remove it.") from error


def find(paths: str | os.PathLike | Iterable[str | os.PathLike]) -> list[Path]:
    """Find image files by name, in folders, and by patterns.

    Parameters
    ----------
    paths : str, Path, or an iterable of them
        Files; folders, which are searched with all that lies in them except hidden files; and
        patterns such as ``photos/**/*.jpg``. In folders and by patterns only files with one of
        `SUFFIXES` (in any case) are found.

    Returns
    -------
    list of Path
        In the order of `paths`; what one of them stands for is sorted. No file comes twice. What
        stands for no image is among them, and so are broken links and folders that can't be read:
        who reads them says what is wrong.

    Raises
    ------
    ImageError
        If all of `paths` stand for no image.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b.PNG", "a.jpg", "notes.txt"):
    ...         _ = (Path(folder) / name).write_bytes(b"")
    ...     [path.name for path in find(folder)]
    ['a.jpg', 'b.PNG']
    """
    return survey(paths)[0]


def survey(
    paths: str | os.PathLike | Iterable[str | os.PathLike],
) -> tuple[list[Path], list[Path]]:
    """Find image files as `find` does, and the files beside them.

    Parameters
    ----------
    paths : str, Path, or an iterable of them

    Returns
    -------
    images : list of Path
        What `find` returns.
    others : list of Path
        Files in the folders, and by the patterns, that have another suffix; without hidden ones.

    Raises
    ------
    ImageError
        If all of `paths` stand for no image.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b.PNG", "raw.cr2", ".hidden"):
    ...         _ = (Path(folder) / name).write_bytes(b"")
    ...     [[path.name for path in files] for files in survey(folder)]
    [['b.PNG'], ['raw.cr2']]
    """
    images, others, nothing = {}, {}, []
    for given in [paths] if isinstance(paths, str | os.PathLike) else paths:
        path = expanded(given) if str(given) else Path('""')  # not the folder that Path makes of it
        named = [path] if os.path.lexists(path) else []
        if not named and glob.has_magic(str(path)):
            top = next(folder for folder in path.parents if os.path.lexists(folder))
            pattern = str(path.relative_to(top))  # a folder's name may hold brackets, too
            named = sorted(top / name for name in glob.glob(pattern, root_dir=top, recursive=True))  # noqa: PTH207
        below = [([path], []) if is_file(path) else _below(each) for each in named]
        if not any(files for files, _ in below):
            nothing.append(path)
            below.append(([path], []))
        for parts in below:
            for files, known in zip(parts, (images, others), strict=True):
                known |= {file.absolute(): file for file in files if file.absolute() not in known}
    if nothing and images.keys() == {path.absolute() for path in nothing}:
        if path_of(nothing[0]).startswith("http"):
            read(nothing[0])  # says what to do
        raise ImageError(f"{', '.join(map(str, nothing))}: no image is found there.")
    return list(images.values()), [file for key, file in others.items() if key not in images]


def _below(path: Path) -> tuple[list[Path], list[Path]]:
    """List images, and what can't be looked into, in a folder and its folders; and other files."""
    images, others, todo, seen = [], [], [path], set()
    while todo:
        here = todo.pop()
        try:
            state = here.stat()
            if not stat.S_ISDIR(state.st_mode):
                (images if here.suffix.lower() in SUFFIXES else others).append(here)
            elif (key := (state.st_dev, state.st_ino)) not in seen:  # links may lead in a circle
                todo += [each for each in here.iterdir() if not _litter(each)]
                seen.add(key)
        except OSError:
            images.append(here)  # who reads it says why
    return sorted(images), sorted(others)


def _litter(path: Path) -> bool:
    """Say whether a file is hidden, or was left by a system for itself."""
    return path.name.startswith(".") or path.name.lower() in _LITTER
