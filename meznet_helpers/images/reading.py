"""From a path, bytes, a binary file, a Pillow image or an array to upright uint8 RGB arrays."""

from __future__ import annotations

import io
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, overload

import numpy as np
from PIL import Image

from meznet_helpers.errors import reason, shown
from meznet_helpers.images import pixels
from meznet_helpers.images.pixels import MAX_PIXELS, ImageError
from meznet_helpers.progress import bar

# What Pillow may open: no format that calls another program (EPS), none without a signature (TGA).
_FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".mpo",),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp",),
    "DIB": (".dib",),
    "ICO": (".ico",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "AVIF": (".avif",),
    "HEIF": (".heic", ".heif"),
    "JPEG2000": (".jp2", ".j2k"),
    "QOI": (".qoi",),
}
SUFFIXES = frozenset(suffix for suffixes in _FORMATS.values() for suffix in suffixes)
"""Suffixes, in lower case, by which image files are found."""

THREADS = min(8, 2 * (os.cpu_count() or 1))
"""How many files are decoded at a time."""

_HEVC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_BEGINNINGS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    rb"II\*\x00|MM\x00\*": "TIFF",
    b"BM": "BMP",
    b"RIFF....WEBP": "WEBP",
    b"....ftypavi[fs]": "AVIF",
}


def read(
    source: Any,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    side: int | None = None,
) -> np.ndarray:
    """Read one image, whatever it comes as.

    Parameters
    ----------
    source : str, Path, bytes, binary file, PIL.Image.Image or array
        A string is a path. Of an animated file the first frame is read, of a TIFF file the first
        page. For the arrays that are understood see `meznet_helpers.images.pixels.from_array`.
    name : str, optional
        How errors call the image; by default its path.
    max_pixels : int
        Images with more pixels are refused before they are decoded. Only a JPEG, which a telephone
        may have made, is decoded to a part of its size, if it has no more than four times as many.
    side : int, optional
        A JPEG may be decoded to a half, a quarter or an eighth of its size, several times as fast,
        while its short side keeps this many pixels. Other kinds of sources ignore it.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        RGB, upright (the EXIF orientation is applied), C-contiguous, and new: changing it does
        not change the source. Transparent pixels are laid on white.

    Raises
    ------
    ImageError
        In one sentence, if the image is missing, empty, corrupt, too large or none at all.

    Examples
    --------
    >>> read(np.full((2, 2), 0.5)).tolist()[0]
    [[128, 128, 128], [128, 128, 128]]
    >>> read(b"GIF, or not?", name="letter.gif")
    Traceback (most recent call last):
    meznet_helpers.images.pixels.ImageError: letter.gif: is not an image of a kind that ...
    """
    name = shown(path_of(source) or "the image" if name is None else name)
    try:
        return _read(source, name, max_pixels, side)
    except ImageError:
        raise
    except Image.DecompressionBombError as error:
        raise ImageError(pixels.too_large(name, max_pixels)) from error
    except Exception as error:  # decoders raise nearly every type there is
        raise ImageError(f"{name}: {pixels.fault(error)}.") from error


def _read(source: Any, name: str, max_pixels: int, side: int | None) -> np.ndarray:
    """Read one image by what it comes as."""
    if isinstance(source, Image.Image):
        return pixels.from_pil(source, name, max_pixels)
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode(io.BytesIO(source), name, max_pixels, side)
    if isinstance(source, str | os.PathLike):
        return _from_path(Path(source), name, max_pixels, side)
    if hasattr(source, "read"):
        return _decode(io.BytesIO(_content(source, name)), name, max_pixels, side)
    if hasattr(source, "__array__"):
        return pixels.from_array(np.asarray(source), name, max_pixels)
    raise ImageError(
        f"{name}: a {type(source).__name__} is no image; give a path, bytes, a binary file, "
        "a Pillow image or an array."
    )


def path_of(source: Any) -> str | None:
    """Return the path of a source that is a path, or that was opened from one.

    Examples
    --------
    >>> path_of("photos/cat.jpg"), path_of(b"content")
    ('photos/cat.jpg', None)
    """
    if isinstance(source, Image.Image):
        source = getattr(source, "filename", None)
    elif hasattr(source, "read"):
        source = getattr(source, "name", None)
    path = os.fspath(source) if isinstance(source, str | os.PathLike) else None
    if not isinstance(path, str) or not path:
        return None
    return re.sub("^(https?:)/(?!/)", r"\1//", path)  # pathlib takes a slash off an address


def is_file(path: Path, kind: Callable[[Path], bool] = Path.is_file) -> bool:
    """Say whether `path` is a file or of another kind, for any text that may be taken for one."""
    try:
        return kind(path)
    except (OSError, ValueError):  # too long, or with a null character
        return False


def size_of(source: Any, side: int | None = None) -> int:
    """Return how many pixels `read` would make of a source, by the header of its file.

    0 stands for what can't be known, or can't be read; `read` says why.

    Examples
    --------
    >>> size_of(np.zeros((4, 5, 3), np.uint8)), size_of(b"broken")
    (20, 0)
    """
    try:
        if isinstance(source, Image.Image):
            return source.width * source.height
        if isinstance(source, bytes | bytearray | memoryview):
            return _size(io.BytesIO(source), side)
        if isinstance(source, str | os.PathLike) and is_file(Path(source)):
            with Path(source).open("rb") as file:
                return _size(file, side)
        return int(np.prod(getattr(source, "shape", (0,))[:2]))
    except Exception:
        return 0


def _size(file: IO[bytes], side: int | None) -> int:
    """Return how many pixels a file decodes to."""
    width, height = _open(file, "", MAX_PIXELS, side).size
    return width * height


def _from_path(path: Path, name: str, max_pixels: int, side: int | None) -> np.ndarray:
    """Read a file on disk."""
    if not is_file(path):
        raise ImageError(f"{name}: {_why_no_file(path)}.")
    try:
        file = path.open("rb")
    except OSError as error:
        raise ImageError(f"{name}: cannot be opened ({reason(error)}).") from error
    with file:
        return _decode(file, name, max_pixels, side)


def _why_no_file(path: Path) -> str:
    """Say what is at `path` instead of a file."""
    if path.as_posix().startswith(("http:/", "https:/")):
        return "is a web address; download the image and give its path"
    try:
        if path.is_dir():
            next(path.iterdir(), None)
            return "is a folder, not an image; meznet_helpers.images.find lists those in it, if any"
        if path.is_symlink() and not path.exists():
            return "is a link to what is not there"
        return "is no regular file" if path.exists() else "is not there; check the path"
    except PermissionError as error:
        return f"cannot be opened ({reason(error)})"
    except (OSError, ValueError):
        return "is not there; check the path"


def _content(file: IO[bytes], name: str) -> bytes:
    """Read a binary file object from its beginning, where it can be rewound."""
    try:
        if hasattr(file, "seekable") and file.seekable():
            file.seek(0)
        content = file.read()
    except Exception as error:
        raise ImageError(f"{name}: cannot be read ({reason(error)}).") from error
    if not isinstance(content, bytes):
        raise ImageError(f'{name}: is open as text; open it with mode "rb".')
    return content


def _decode(file: IO[bytes], name: str, max_pixels: int, side: int | None) -> np.ndarray:
    """Decode a seekable binary file."""
    try:
        return pixels.from_pil(_open(file, name, max_pixels, side), name, max_pixels)
    except Exception:
        file.seek(0)
        content = file.read()
        if (bare := _bare_png(content)) == content:
            raise
    return pixels.from_pil(_open(io.BytesIO(bare), name, max_pixels, side), name, max_pixels)


def _bare_png(content: bytes) -> bytes:
    """Leave of a PNG the chunks that make its pixels; texts and profiles may be long or broken."""
    place = 8 if content.startswith(b"\x89PNG") else len(content)
    kept = content[:place]
    while place < len(content):
        chunk = content[place : place + 12 + int.from_bytes(content[place : place + 4], "big")]
        whole = zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
        if chunk[4:5].isupper() or chunk[4:8] == b"tRNS" or (chunk[4:8] == b"eXIf" and whole):
            kept += chunk
        place += len(chunk)
    return kept


def _open(file: IO[bytes], name: str, max_pixels: int, side: int | None) -> Image.Image:
    """Read the header of a seekable binary file; its pixels are yet to be decoded."""
    beginning = file.read(2048)
    if not beginning:
        raise ImageError(f"{name}: is empty.")
    kinds = ["HEIF"] if _is_heic(beginning) else [kind for kind in _FORMATS if kind != "HEIF"]
    with pixels.quiet(2 * max_pixels):  # Pillow takes twice its bound
        Image.init()
        if kinds == ["HEIF"]:
            _register_heic(name)
        try:
            image = Image.open(file, formats=[kind for kind in kinds if kind in Image.OPEN])
        except Image.UnidentifiedImageError as error:
            raise ImageError(f"{name}: {_what_instead(beginning, file)}.") from error
        if image.format in ("JPEG", "MPO"):
            count = image.width * image.height
            part = next((part for part in (1, 2, 4) if count <= max_pixels * part**2), 8)
            image.draft(None, tuple(min(side or edge, edge // part) or 1 for edge in image.size))
    pixels.check_size(image.size, name, max_pixels)
    return image


def _is_heic(beginning: bytes) -> bool:
    """Say whether a file is a HEIC photograph: its box of brands comes first."""
    brands = beginning[8 : int.from_bytes(beginning[:4], "big")]
    return beginning[4:8] == b"ftyp" and brands[:4] in _HEVC and b"avif" not in brands


def _register_heic(name: str) -> None:
    """Teach Pillow to open HEIC photographs."""
    if "HEIF" in Image.OPEN:
        return
    try:
        from pi_heif import register_heif_opener
    except ImportError as error:
        raise ImageError(
            f"{name}: is a HEIC photograph; install what reads it, pip install 'meznet[heic]', "
            "or export it as JPEG."
        ) from error
    register_heif_opener()


def _what_instead(beginning: bytes, file: IO[bytes]) -> str:
    """Say what a file that Pillow cannot identify seems to be."""
    if b"<svg" in beginning.lower():
        return "is an SVG drawing, not a picture of pixels; export it as PNG"
    if _is_heic(beginning):
        return "begins like a HEIC photograph, but is corrupt or cut short"
    for magic, kind in _BEGINNINGS.items():
        if re.match(magic, beginning, re.DOTALL) and kind in Image.OPEN:
            file.seek(0)
            try:
                Image.OPEN[kind][0](file, "")
            except Exception as error:
                return f"begins like a {kind} image, but {pixels.fault(error)}"
    return "is not an image of a kind that can be read here"


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


def read_many(sources: Iterable[Any], *, progress: bool = False) -> Images:
    """Read many images in threads; those that cannot be read become errors.

    Parameters
    ----------
    sources : iterable
        Anything that `read` takes. A folder's files come from `find`.
    progress : bool
        Show a progress bar.

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
    names = display_names(sources)
    with ThreadPoolExecutor(THREADS) as pool:
        results = pool.map(array_or_error, sources, names)
        if progress:
            results = bar(results, total=len(sources), label="Reading images", unit="img")
        results = list(results)
    return sorted_out(names, results)


def array_or_error(source: Any, name: str, side: int | None = None) -> np.ndarray | ImageError:
    """Read a source, or return why it can't be read."""
    try:
        return read(source, name=path_of(source) or name, side=side)
    except ImageError as error:
        return error


def sorted_out(names: Sequence[str], results: Sequence[np.ndarray | ImageError]) -> Images:
    """Part the arrays from the errors."""
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
    readable = read_many(as_sources(images))
    if readable.errors and not readable.arrays:
        raise readable.errors[0]
    return readable


def as_sources(images: Any) -> list[Any]:
    """List the sources that `as_images` would read.

    Examples
    --------
    >>> as_sources("cat.jpg"), len(as_sources(np.zeros((5, 8, 8, 3), np.uint8)))
    (['cat.jpg'], 5)
    """
    single = isinstance(images, str | bytes | bytearray | memoryview | os.PathLike | Image.Image)
    single = single or hasattr(images, "read") or not isinstance(images, Iterable)
    single = single or len(getattr(images, "shape", ())) in (2, 3)
    return [images] if single else list(images)


def display_names(sources: list[Any]) -> list[str]:
    """Name sources by the end of their path, as short as tells them apart."""
    paths = [path_of(source) for source in sources]
    parts = [
        (f"image {number}",) if path is None else Path(path).absolute().parts
        for number, path in enumerate(paths, start=1)
    ]
    short = {part: part[-1:] for part in parts}
    before = None
    while short != before:
        before, counts = short, Counter(short.values())
        short = {
            part: part[-len(tail) - 1 :] if counts[tail] > 1 else tail
            for part, tail in before.items()
        }
    names: dict[str, None] = {}
    for part in parts:
        name, number = shown("/".join(short[part])), 1
        while (numbered := name if number == 1 else f"{name} ({number})") in names:
            number += 1  # the same file more than once
        names[numbered] = None
    return list(names)
