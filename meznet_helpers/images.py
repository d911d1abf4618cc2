"""Images: from files, bytes, arrays and Pillow images to upright uint8 RGB arrays."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from PIL import Image

from meznet_helpers.imagefile import SUFFIXES, is_file, path_of, read
from meznet_helpers.pixels import MAX_PIXELS, ImageError
from meznet_helpers.progress import bar

__all__ = (
    "MAX_PIXELS",
    "SUFFIXES",
    "ImageError",
    "Images",
    "as_images",
    "find",
    "read",
    "read_many",
)


@dataclass(frozen=True, eq=False, repr=False)
class Images(Sequence):
    """Some images, their names, and what could not be read.

    Parameters
    ----------
    arrays : sequence of ndarray of uint8, each of shape (height, width, 3)
        The images; sizes may differ.
    names : sequence of str
        One display name for each image, all different.
    errors : sequence of ImageError
        One for each source that is not among the images.

    Raises
    ------
    ImageError
        If an array is no image, or the names do not fit.

    Examples
    --------
    >>> pair = Images([np.zeros((2, 3, 3), np.uint8), np.ones((4, 4, 3), np.uint8)], ["a", "b"])
    >>> len(pair), pair.names, pair[1].shape, pair[:1].names
    (2, ('a', 'b'), (4, 4, 3), ('a',))
    """

    arrays: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    errors: tuple[ImageError, ...] = ()

    def __post_init__(self) -> None:
        """Make the fields tuples and check them."""
        for field in ("arrays", "names", "errors"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        if len(self.arrays) != len(self.names):
            raise ImageError(f"{len(self.arrays)} images need as many names, not {self.names}.")
        for name, count in Counter(self.names).items():
            if count > 1:
                raise ImageError(f"{name}: {count} images have this name; names must differ.")
        for name, array in zip(self.names, self.arrays, strict=True):
            if getattr(array, "dtype", None) != np.uint8 or array.shape[2:] != (3,):
                raise ImageError(f"{name}: must be a uint8 array of shape (height, width, 3).")

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.arrays)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice) -> Images: ...

    def __getitem__(self, index: int | slice) -> np.ndarray | Images:
        """Return one array, or for a slice the images in it (without the errors)."""
        if isinstance(index, slice):
            return Images(self.arrays[index], self.names[index])
        return self.arrays[index]

    def __repr__(self) -> str:
        """Say how many there are."""
        errors = f", {len(self.errors)} errors" if self.errors else ""
        return f"Images({len(self)} images{errors})"


def read_many(
    sources: Iterable[Any],
    *,
    workers: int | None = None,
    progress: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Images:
    """Read many images in threads; those that cannot be read become errors.

    Parameters
    ----------
    sources : iterable
        Anything that `read` takes. A folder's files come from `find`.
    workers : int, optional
        Number of threads, by default two for each processor and at most eight.
    progress : bool
        Show a progress bar.
    max_pixels : int
        As in `read`, for each image.

    Returns
    -------
    Images
        In the order of `sources`. Files are named by their file name, with as many parent folders
        before it as it takes to tell them apart; other sources ``image 1``, ``image 2`` and on.

    Raises
    ------
    ImageError
        If `sources` is no list of sources. Bad images do not raise; they are in ``.errors``.

    Examples
    --------
    >>> images = read_many([np.zeros((2, 2)), b"broken", np.ones((2, 2))])
    >>> images.names
    ('image 1', 'image 3')
    >>> print(images.errors[0])
    image 2: is not an image of a kind that can be read here.
    """
    if isinstance(sources, str | bytes | os.PathLike) or not isinstance(sources, Iterable):
        raise ImageError(f"read_many wants a list of images, not {sources!r:.60}; see find.")
    sources = list(sources)
    names = _display_names(sources)

    def one(source: Any, name: str) -> np.ndarray | ImageError:
        try:
            return read(source, name=path_of(source) or name, max_pixels=max_pixels)
        except ImageError as error:
            return error

    with ThreadPoolExecutor(workers or min(8, 2 * (os.cpu_count() or 1))) as pool:
        results = pool.map(one, sources, names)
        if progress:
            results = bar(results, total=len(sources), label="Reading images", unit="img")
        results = list(results)
    good = [index for index, result in enumerate(results) if isinstance(result, np.ndarray)]
    return Images(
        arrays=[results[index] for index in good],
        names=[names[index] for index in good],
        errors=[result for result in results if isinstance(result, ImageError)],
    )


def as_images(images: Any) -> Images:
    """Turn one image, or a list of them, into `Images`.

    Parameters
    ----------
    images : Images, one source, or an iterable of sources
        `Images` come back as they are. A source is anything that `read` takes; an array of four
        dimensions is a list of images.

    Returns
    -------
    Images
        Of a list, what could not be read is in ``.errors``, as with `read_many`.

    Raises
    ------
    ImageError
        If a single image cannot be read, or nothing of a list.

    Examples
    --------
    >>> as_images(np.zeros((8, 8, 3), np.uint8)), as_images(np.zeros((5, 8, 8, 3), np.uint8))
    (Images(1 images), Images(5 images))
    """
    if isinstance(images, Images):
        return images
    single = isinstance(images, str | bytes | bytearray | memoryview | os.PathLike | Image.Image)
    single = single or hasattr(images, "read") or not isinstance(images, Iterable)
    single = single or len(getattr(images, "shape", ())) in (2, 3)
    found = read_many([images] if single else images)
    if found.errors and not found.arrays:
        raise found.errors[0]
    return found


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
    found, nothing = {}, []
    for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
        path = Path(path).expanduser()
        files = [path] if is_file(path) else _below(path)
        if not files and glob.has_magic(str(path)):
            matches = glob.glob(str(path), recursive=True)  # noqa: PTH207 (takes absolute patterns)
            for match in sorted(Path(text) for text in matches):
                known = match.suffix.lower() in SUFFIXES and match.is_file()
                files += [match] if known else _below(match)
        found.update({file.absolute(): file for file in files if file.absolute() not in found})
        if not files:
            nothing.append(str(path))
    if nothing:
        raise ImageError(f"{', '.join(nothing)}: no image is found there.")
    return list(found.values())


def _below(folder: Path) -> list[Path]:
    """List the image files in `folder` and its folders, sorted, without hidden ones."""
    files = (
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
        and is_file(file)
    )
    return sorted(files)


def _display_names(sources: list[Any]) -> list[str]:
    """Name sources by the end of their path, as short as tells them apart."""
    paths = [path_of(source) for source in sources]
    parts = [
        (f"image {number}",) if path is None else Path(path).absolute().parts
        for number, path in enumerate(paths, start=1)
    ]
    short = {part: part[-1:] for part in parts}
    while True:
        counts = Counter(short.values())
        longer = {
            part: part[-len(tail) - 1 :] if counts[tail] > 1 else tail
            for part, tail in short.items()
        }
        if longer == short:
            break
        short = longer
    names: dict[str, None] = {}
    for part in parts:
        name, number = "/".join(short[part]), 1
        while (numbered := name if number == 1 else f"{name} ({number})") in names:
            number += 1  # the same file more than once
        names[numbered] = None
    return list(names)
