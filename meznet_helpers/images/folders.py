"""Images in a tree of folders, one folder for each label."""

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from meznet_helpers.errors import MeznetError, did_you_mean
from meznet_helpers.files import aside
from meznet_helpers.images.datasets import Dataset
from meznet_helpers.images.pixels import ImageError
from meznet_helpers.images.reading import SUFFIXES, Images, is_file, read_many
from meznet_helpers.labels import LabelSpace, from_names, normalize
from meznet_helpers.progress import bar


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
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise MeznetError(f"{folder} is no folder; name one that holds a folder for each label.")
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    if not inside:
        raise MeznetError(f"{folder} holds no folders; it needs one for each label.")
    if labels is None:
        if len(inside) < 2:
            raise MeznetError(f"{folder} holds one folder, {inside[0].name}; it needs two or more.")
        labels = from_names([path.name for path in inside], name=folder.name)
    places = match([path.name for path in inside], labels)
    arrays, names, errors, truth = [], [], [], []
    files = [_files(path) for path in inside]  # complain before the long part
    steps = list(zip(inside, places, files, strict=True))
    for path, place, below in bar(steps, label="Reading images") if progress else steps:
        images = read_many(below)
        arrays += images.arrays
        names += [f"{path.name}/{name}" for name in images.names]
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
        `folder`, with ``label id/name.png`` for each image. Slashes in a name become hyphens.

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
    folder = Path(folder).expanduser()
    if folder.exists():
        raise MeznetError(f"{folder} is there already; name a new folder.")
    with aside(folder) as part:
        for image, name, label in zip(
            dataset.images, dataset.images.names, dataset.truth, strict=True
        ):
            label_id = dataset.labels.ids[label]
            file = name.removeprefix(f"{label_id}/").replace("/", "-")
            (part / label_id).mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(part / label_id / f"{file}.png")
    return folder


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
    for place, name in enumerate(labels.names):
        known.setdefault(_key(name), []).append(place)
    matched: dict[int, str] = {}
    for name in names:
        places = [labels.index(name)] if name in labels else known.get(_key(name), [])
        if not places:
            near = did_you_mean(_key(name), known)
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


def _key(text: str) -> str:
    """Bring a name or a slug to the form in which they are compared."""
    return re.sub(r"[\W_]+", " ", normalize(text)).strip()


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
        In the order of `paths`; what one of them stands for is sorted. No file comes twice.

    Raises
    ------
    ImageError
        If one of `paths` stands for no image; all such are named.

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
        If one of `paths` stands for no image; all such are named.

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
        if str(given).startswith(("http://", "https://")):
            raise ImageError(f"{given} is a web address; download the image and give its path.")
        if not str(given):
            raise ImageError('"": no image is found there.')  # not the folder that Path makes of it
        path = Path(given).expanduser()
        files, rest = ([path], []) if is_file(path) else _below(path)
        if not files and glob.has_magic(str(path)):
            matches = glob.glob(str(path), recursive=True)  # noqa: PTH207 (takes absolute patterns)
            for fitting in sorted(map(Path, matches)):
                below = _parted([fitting]) if fitting.is_file() else _below(fitting)
                files += below[0]
                rest += below[1]
        for found, known in ((files, images), (rest, others)):
            for file in found:
                known.setdefault(file.absolute(), file)
        if not files:
            nothing.append(str(path))
    if nothing:
        raise ImageError(f"{', '.join(nothing)}: no image is found there.")
    return list(images.values()), [file for key, file in others.items() if key not in images]


def _below(folder: Path) -> tuple[list[Path], list[Path]]:
    """List the images in `folder` and its folders, and the other files; without hidden ones."""
    files = (
        file
        for file in folder.rglob("*")
        if not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and is_file(file)
    )
    return _parted(sorted(files))


def _parted(files: list[Path]) -> tuple[list[Path], list[Path]]:
    """Part images from other files, by their suffix."""
    parts: tuple[list[Path], list[Path]] = [], []
    for file in files:
        parts[file.suffix.lower() not in SUFFIXES].append(file)
    return parts
