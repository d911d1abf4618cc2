"""From decoded pixels of any kind (Pillow image or array) to one kind: upright uint8 RGB."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import ExifTags, Image

from meznet_helpers.errors import MeznetError, reason

MAX_PIXELS = 89_478_485
"""Pixels an image may have; the number at which Pillow, too, begins to suspect an attack."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PHOTOMETRIC = 262  # tag of TIFF
_DARK = 4096  # 16-bit pixels that stay below it are nearly black; mostly they hold twelve bits
_TOO_DARK = "uses 12 bits of 16 at most and would be black; stretch them, or save it as 8-bit."
_LOCK = threading.RLock()
logging.getLogger("PIL").addHandler(logging.NullHandler())  # what it logs it also raises
# What decoders say of files that are whole, and of a kind they were not made for; a number is that
# of a compression.
_KIND = re.compile(
    r"unknown|unsupported|not (yet )?supported|cannot handle|not available|samples per pixel|"
    r"index out of range|MemoryError|^\d+$",
    re.IGNORECASE,
)


class ImageError(MeznetError):
    """An image that cannot be read; the sentence names it and says what is wrong."""


def fault(error: Exception) -> str:
    """Say what a decoder's error means: that a kind can't be read, or that a file is damaged.

    Examples
    --------
    >>> fault(SyntaxError("unknown pixel mode")), fault(EOFError("no more data"))
    ("is of a kind that can't be read here (unknown pixel mode); save it as PNG or JPEG", 'is \
corrupt or cut short (no more data)')
    """
    why = reason(error)
    if _KIND.search(why):
        return f"is of a kind that can't be read here ({why}); save it as PNG or JPEG"
    return f"is corrupt or cut short ({why})"


@contextlib.contextmanager
def quiet(max_pixels: int) -> Iterator[None]:
    """Let Pillow read headers without warnings, and with `max_pixels` as its own bound.

    Warning filters and Pillow's bound belong to the whole process, so only one thread at a time
    comes in here. Pixels are decoded outside, in parallel; only TIFF files, whose decoder reads
    more headers on its way, are decoded in here.
    """
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bound, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = bound


def check_size(size: tuple[int, int], name: str, max_pixels: int) -> None:
    """Refuse a (width, height) without pixels or with more than `max_pixels` of them."""
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"{name}: has no pixels (it is {width} wide and {height} high).")
    if width * height > max_pixels:
        raise ImageError(too_large(name, max_pixels, f" ({width} x {height})"))


def too_large(name: str, max_pixels: int, size: str = "") -> str:
    """Say that an image has too many pixels."""
    return f"{name}: has more pixels{size} than the allowed {max_pixels:,}; shrink it."


def from_pil(image: Image.Image, name: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Turn a Pillow image, decoded or not, into an upright uint8 RGB array.

    Parameters
    ----------
    image : PIL.Image.Image
        Any mode; of a file with several frames the current one. It is not changed.
    name : str
        How errors call it.
    max_pixels : int
        More pixels than this are refused before they are decoded.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        A new, C-contiguous array.

    Raises
    ------
    ImageError
        If there are too many pixels, or they do not say what color they are. Decoders raise nearly
        every type there is; `meznet_helpers.images.read` makes an ImageError of it.

    Notes
    -----
    The orientation in the EXIF data is applied (Exif 2.32, tag 0x0112). Transparent pixels are
    laid on white. 16-bit gray is divided by 257 and rounded; of 16-bit color Pillow keeps the
    upper eight bits. CMYK is converted without its color profile.

    Examples
    --------
    >>> from_pil(Image.new("L", (2, 1), 7), "gray").tolist()
    [[[7, 7, 7], [7, 7, 7]]]
    """
    check_size(image.size, name, max_pixels)
    tiff = image.format == "TIFF"
    if tiff and (strange := _strange(image)):
        raise ImageError(
            f"{name}: is a TIFF of {strange}, a kind that can't be read here; save it as PNG."
        )
    # Pillow turns white-is-zero around, but not where pixels have more than eight bits
    negative = tiff and image.mode in ("I;16", "F") and image.tag_v2.get(_PHOTOMETRIC) == 0
    deep = image.mode in ("RGB", "RGBA") and ";16" in str(getattr(image, "tile", ""))
    with quiet(max_pixels) if tiff else contextlib.nullcontext():
        image.load()
    rgb = np.array(_rgb(_upright(image, max_pixels), name))
    if deep and rgb.max() < _DARK >> 8:
        raise ImageError(f"{name}: {_TOO_DARK}")
    return 255 - rgb if negative else rgb


def _strange(image: Image.Image) -> str:
    """Say what makes Pillow read a TIFF wrongly; nothing if it doesn't."""
    tags = image.tag_v2
    packed, photometric = tags.get(259, 1) != 1, tags.get(_PHOTOMETRIC)
    bits, numbers = max(tags.get(258, (1,))), max(tags.get(339, (1,)))
    if numbers == 2 or (numbers == 1 and bits > 16):
        return "signed or 32-bit whole numbers, of which none is agreed to be white"
    if tags.get(284) == 2 and not packed and (bits != 8 or photometric == 0):
        return f"{bits}-bit colors in separate planes"
    if numbers == 3 and packed and tags.prefix == b"MM":
        return "compressed big-endian floats"
    return "YCbCr without compression" if photometric == 6 and not packed else ""


def from_array(array: np.ndarray, name: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Turn an array of gray, RGB or RGBA pixels into a uint8 RGB array.

    Parameters
    ----------
    array : ndarray, shape (height, width) or (height, width, channels)
        1 (gray), 2 (gray and alpha), 3 (RGB) or 4 (RGBA) channels. uint8, bool, uint16 (the full
        range), other integers from 0 to 255, or floats from 0 to 1.
    name : str
        How errors call it.
    max_pixels : int
        More pixels than this are refused.

    Returns
    -------
    ndarray of uint8, shape (height, width, 3)
        A new, C-contiguous array; transparent pixels are laid on white.

    Raises
    ------
    ImageError
        If shape, type or values are none of these.

    Examples
    --------
    >>> from_array(np.array([[0.0, 0.5, 1.0]]), "row")[0, :, 0].tolist()
    [0, 128, 255]
    """
    shape = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and not 1 <= shape[2] <= 4 and array.size):
        hint = ""
        if array.ndim == 4:
            hint = " Several images in one array are read with as_images or read_many."
        elif array.ndim == 3 and shape[0] in (1, 3, 4):
            hint = " Channels come last here: array.transpose(1, 2, 0)."
        raise ImageError(
            f"{name}: an array of shape {shape} is no image; it must be (height, width) or "
            f"(height, width, channels) with 1 to 4 channels.{hint}"
        )
    if array.size == 0:
        raise ImageError(f"{name}: an array of shape {shape} has no pixels.")
    check_size((shape[1], shape[0]), name, max_pixels)
    pixels = _eight_bit(array, name)
    if pixels.ndim == 2:
        pixels = pixels[:, :, np.newaxis]
    if pixels.shape[2] in (2, 4):
        return np.array(_on_white(Image.fromarray(np.ascontiguousarray(pixels))))
    return np.array(np.broadcast_to(pixels, (*shape[:2], 3)), order="C")


def _eight_bit(values: np.ndarray, name: str) -> np.ndarray:
    """Scale or cast `values` to uint8, refusing what has no agreed range."""
    kind = values.dtype.kind
    if values.dtype == np.uint8:
        return values
    if kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    if kind == "u" and values.dtype.itemsize == 2:
        return _from_16_bit(values, name)
    if kind not in "iuf":
        raise ImageError(f"{name}: pixels of type {values.dtype} are not numbers of an image.")
    low, high = values.min(), values.max()
    top = 1 if kind == "f" else 255
    slack = 1e-6 if kind == "f" else 0  # what resizing in floats may add
    if not (low >= -slack and high <= top + slack):  # also true for NaN
        raise ImageError(
            f"{name}: {values.dtype} pixels must lie from 0 to {top}, "
            f"but these go from {low:g} to {high:g}."
        )
    if kind == "f":
        return np.rint(np.clip(values.astype(np.float64), 0, 1) * 255).astype(np.uint8)
    return values.astype(np.uint8)


def _from_16_bit(values: np.ndarray, name: str) -> np.ndarray:
    """Scale 0 to 65535 down to 0 to 255, to the nearest."""
    if 0 < values.max() < _DARK:
        raise ImageError(f"{name}: {_TOO_DARK}")
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _upright(image: Image.Image, max_pixels: int) -> Image.Image:
    """Turn and flip as the EXIF orientation says; unreadable EXIF data says nothing."""
    orientation = 1
    with quiet(max_pixels), contextlib.suppress(Exception):
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    method = _UPRIGHT.get(orientation)
    return image if method is None else image.transpose(method)


def _rgb(image: Image.Image, name: str) -> Image.Image:
    """Convert any mode to RGB."""
    mode, key = image.mode, image.info.get("transparency")
    if mode == "F":
        return Image.fromarray(_eight_bit(np.asarray(image), name)).convert("RGB")
    if mode == "I" or mode.startswith("I;16"):  # Pillow stores 16-bit gray as either
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError(
                f"{name}: 32-bit gray from {values.min()} to {values.max()} has no agreed "
                "brightness; save it as 8-bit or 16-bit."
            )
        gray = _from_16_bit(values, name)
        if isinstance(key, int):
            gray[values == key] = 255
        return Image.fromarray(gray).convert("RGB")
    if mode == "RGB" and isinstance(key, tuple) and max(key) > 255:
        raise ImageError(
            f"{name}: 16-bit color with one transparent color is not supported; "
            "save it with an alpha channel."
        )
    return _on_white(image) if image.has_transparency_data else image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    """Lay an image with transparency on white."""
    if image.mode == "La":
        image = image.convert("LA")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
