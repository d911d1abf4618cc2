"""Compose a drawing onto a background, by chance and yet the same on every machine.

Nothing here depends on how a machine rounds. Pillow resizes with integers; it maps and blends in
double precision, and as all factors are multiples of 1/65536, its sums and products are exact.
Noise, colors and textures are integers.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

_STEPS = 65536  # angles and shifts are rounded to this part


@dataclass(frozen=True)
class Variant:
    """How wild the compositions are.

    Parameters
    ----------
    fill : (float, float)
        Least and greatest side of the drawing, as a share of the image's side.
    rotation : float
        Greatest angle, degrees, to either side.
    shift : float
        How far the drawing's center lies off the image's at most, as a share of the side. Where a
        drawing fills the image, some of it is cut off.
    darkest : int
        Least value of a background's colors, of 255.
    textures : bool
        Whether backgrounds may be stripes, checks and clouds, besides plain and gradients.
    tint : float
        By how much each color channel is made lighter or darker at most, as a share.
    noise : int
        Greatest value that is added to or taken from each number of the image.
    covered : float
        Greatest side of the plain rectangle that covers a part of every other image, as a share of
        the image's side; 0 for none.

    Examples
    --------
    >>> MILD.fill, HARD.textures
    ((0.74, 1.0), True)
    """

    fill: tuple[float, float]
    rotation: float
    shift: float
    darkest: int
    textures: bool
    tint: float
    noise: int
    covered: float


MILD = Variant((0.74, 1.0), 15, 0.08, 190, False, 0.08, 6, 0.0)
HARD = Variant((0.4, 0.9), 40, 0.15, 0, True, 0.25, 24, 0.45)


def compose(
    drawing: Image.Image, rng: np.random.Generator, *, size: int = 96, variant: Variant = MILD
) -> np.ndarray:
    """Compose one image.

    Parameters
    ----------
    drawing : PIL.Image.Image
        Mode ``"RGBa"``, square.
    rng : numpy.random.Generator
        All that is left to chance comes from it.
    size : int
        Side of the image, pixels.
    variant : Variant

    Returns
    -------
    ndarray of uint8, shape (size, size, 3)

    Examples
    --------
    >>> from meznet_helpers.emojizoo.artwork import drawing
    >>> cat = drawing("cat-face", "noto")
    >>> image = compose(cat, np.random.default_rng(0), size=64)
    >>> image.shape, bool((image == compose(cat, np.random.default_rng(0), size=64)).all())
    ((64, 64, 3), True)
    """
    canvas = _background(rng, size, variant)
    placed = np.asarray(_placed(drawing, rng, size, variant), dtype=np.uint16)
    shows_through = canvas * (255 - placed[:, :, 3:])
    canvas = placed[:, :, :3] + (shows_through + 127) // 255
    if variant.covered and rng.random() < 0.5:
        _cover(canvas, rng, variant)
    gain = rng.integers(round(256 * (1 - variant.tint)), round(256 * (1 + variant.tint)) + 1, 3)
    noise = rng.integers(-variant.noise, variant.noise + 1, canvas.shape, dtype=np.int8)
    shaded = (canvas * gain.astype(np.uint32) >> 8).astype(np.int16) + noise
    return np.clip(shaded, 0, 255).astype(np.uint8)


def _placed(
    drawing: Image.Image, rng: np.random.Generator, size: int, variant: Variant
) -> Image.Image:
    """Scale, mirror, rotate and shift the drawing; (size, size) pixels with alpha."""
    low, high = variant.fill
    side = max(1, round(size * (low + (high - low) * rng.random())))
    angle = math.radians(variant.rotation) * _signed(rng)
    mirror = 1 if rng.random() < 0.5 else -1
    center = [size / 2 + round(size * variant.shift * _signed(rng) * 64) / 64 for _ in "xy"]
    cosine, sine = (round(_STEPS * f(angle)) / _STEPS for f in (math.cos, math.sin))
    rows = ((mirror * cosine, mirror * sine), (-sine, cosine))
    offsets = (side / 2 - (row[0] * center[0] + row[1] * center[1]) for row in rows)
    matrix = [value for row, offset in zip(rows, offsets, strict=True) for value in (*row, offset)]
    small = drawing.resize((side, side), Image.Resampling.BILINEAR)
    return small.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def _background(rng: np.random.Generator, size: int, variant: Variant) -> np.ndarray:
    """Paint a background: plain, a gradient, or one of the textures; uint16 (size, size, 3)."""
    first, second = rng.integers(variant.darkest, 256, (2, 3), dtype=np.int32)
    kind = rng.integers(5 if variant.textures else 2)
    if kind == 0:
        share = np.zeros((size, size), np.int32)
    elif kind == 4:
        return _clouds(rng, size, variant)
    else:
        share = _slope(rng, size)
        if kind == 2:  # stripes
            share = _bands(share, rng)
        elif kind == 3:  # checks
            share = _bands(share, rng) ^ _bands(_slope(rng, size), rng)
    return (first + ((second - first) * share[:, :, None] >> 8)).astype(np.uint16)


def _slope(rng: np.random.Generator, size: int) -> np.ndarray:
    """Rise from 0 to 256 across the image, in some direction; int32 (size, size)."""
    across, down = rng.integers(-256, 257, 2)
    steps = np.arange(size)
    rise = steps * across + (steps * down)[:, None]
    return ((rise - rise.min()) * 256 // max(np.ptp(rise), 1)).astype(np.int32)


def _bands(slope: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cut a slope into bands of 0 and 256."""
    return (slope * rng.integers(3, 12) >> 8 & 1) << 8


def _clouds(rng: np.random.Generator, size: int, variant: Variant) -> np.ndarray:
    """Paint clouds of colors: a few random pixels, enlarged."""
    cells = rng.integers(3, 9)
    colors = rng.integers(variant.darkest, 256, (cells, cells, 3), dtype=np.uint8)
    clouds = Image.fromarray(colors).resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(clouds, dtype=np.uint16)


def _cover(canvas: np.ndarray, rng: np.random.Generator, variant: Variant) -> None:
    """Paint a plain rectangle over a part of the image."""
    size = len(canvas)
    most = max(1, round(size * variant.covered))
    height, width = rng.integers(most // 2, most + 1, 2)
    top, left = rng.integers(0, size - height + 1), rng.integers(0, size - width + 1)
    canvas[top : top + height, left : left + width] = rng.integers(0, 256, 3, dtype=np.uint16)


def _signed(rng: np.random.Generator) -> float:
    """Draw from -1 to 1."""
    return 2 * rng.random() - 1
