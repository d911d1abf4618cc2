"""One image from whatever it comes as: a path, bytes, a binary file, a Pillow image, an array."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from meznet_helpers import pixels
from meznet_helpers.pixels import MAX_PIXELS, ImageError

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
    "JPEG2000": (".jp2", ".j2k"),
    "QOI": (".qoi",),
}
SUFFIXES = frozenset(suffix for suffixes in _FORMATS.values() for suffix in suffixes)
"""Suffixes, in lower case, by which image files are found."""

_BEGINNINGS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"BM": "BMP",
}


def read(source: Any, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read one image, whatever it comes as.

    Parameters
    ----------
    source : str, Path, bytes, binary file, PIL.Image.Image or array
        A string is a path. Of an animated file the first frame is read, of a TIFF file the first
        page. For the arrays that are understood see `meznet_helpers.pixels.from_array`.
    name : str, optional
        How errors call the image; by default its path.
    max_pixels : int
        Images with more pixels are refused before they are decoded.

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
    meznet_helpers.pixels.ImageError: letter.gif: is not an image of a kind that can be read here.
    """
    name = path_of(source) or "the image" if name is None else name
    if isinstance(source, Image.Image):
        return pixels.from_pil(source, name, max_pixels)
    if isinstance(source, bytes | bytearray | memoryview):
        return _decode(io.BytesIO(source), name, max_pixels)
    if isinstance(source, str | os.PathLike):
        return _from_path(Path(source), name, max_pixels)
    if hasattr(source, "read"):
        return _decode(io.BytesIO(_content(source, name)), name, max_pixels)
    if hasattr(source, "__array__"):
        try:
            array = np.asarray(source)
        except Exception as error:
            raise ImageError(f"{name}: cannot be made an array ({_reason(error)}).") from error
        return pixels.from_array(array, name, max_pixels)
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
    return path if isinstance(path, str) and path else None


def is_file(path: Path) -> bool:
    """Say whether `path` is a file, for any text that somebody may take for a path."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or with a null character
        return False


def _from_path(path: Path, name: str, max_pixels: int) -> np.ndarray:
    """Read a file on disk."""
    if not is_file(path):
        raise ImageError(f"{name}: {_why_no_file(path)}.")
    try:
        with path.open("rb") as file:
            return _decode(file, name, max_pixels)
    except OSError as error:
        raise ImageError(f"{name}: cannot be opened ({error.strerror}).") from error


def _why_no_file(path: Path) -> str:
    """Say what is at `path` instead of a file."""
    if path.as_posix().startswith(("http:/", "https:/")):
        return "is a web address; download the image and give its path"
    try:
        if path.is_dir():
            return "is a folder; meznet_helpers.images.find lists the images in it"
        return "is no regular file" if path.exists() else "is not there; check the path"
    except (OSError, ValueError):
        return "is not there; check the path"


def _content(file: IO[bytes], name: str) -> bytes:
    """Read a binary file object from its beginning, where it can be rewound."""
    try:
        if hasattr(file, "seekable") and file.seekable():
            file.seek(0)
        content = file.read()
    except Exception as error:
        raise ImageError(f"{name}: cannot be read ({_reason(error)}).") from error
    if not isinstance(content, bytes):
        raise ImageError(f'{name}: is open as text; open it with mode "rb".')
    return content


def _decode(file: IO[bytes], name: str, max_pixels: int) -> np.ndarray:
    """Decode a seekable binary file."""
    beginning = file.read(2048)
    if not beginning:
        raise ImageError(f"{name}: is empty.")
    try:
        with pixels.quiet(max_pixels):
            Image.init()
            known = [each for each in _FORMATS if each in Image.OPEN]
            image = Image.open(file, formats=known)
    except Image.DecompressionBombError as error:
        raise ImageError(pixels.too_large(name, max_pixels)) from error
    except Image.UnidentifiedImageError as error:
        raise ImageError(f"{name}: {_what_instead(beginning)}.") from error
    except Exception as error:
        raise ImageError(f"{name}: the image is corrupt ({_reason(error)}).") from error
    return pixels.from_pil(image, name, max_pixels)


def _what_instead(beginning: bytes) -> str:
    """Say what a file that Pillow cannot identify seems to be."""
    if b"<svg" in beginning.lower():
        return "is an SVG drawing, not a picture of pixels; export it as PNG"
    if beginning[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"):
        return "is a HEIC photograph, which cannot be read here; export it as JPEG"
    if beginning[4:12] in (b"ftypavif", b"ftypavis"):
        return "begins like an AVIF image, but is corrupt or cut short, or AVIF is not supported"
    if beginning[:4] == b"RIFF" and beginning[8:12] == b"WEBP":
        return "begins like a WebP image, but is corrupt or cut short"
    for magic, kind in _BEGINNINGS.items():
        if beginning.startswith(magic):
            return f"begins like a {kind} image, but is corrupt or cut short"
    return "is not an image of a kind that can be read here"


def _reason(error: Exception) -> str:
    """Return an error's text on one line."""
    return " ".join(str(error).split()) or type(error).__name__
