"""Tests of meznet_helpers.images: every kind of file is read right or refused in one line."""

import gzip
import io
import itertools
import os
import re
import struct
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import skimage
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageOps

from meznet_helpers import images
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import ImageError, Images, pixels, reading

PHOTO = np.random.default_rng(0).integers(0, 256, (12, 17, 3), dtype=np.uint8)
small_rgb = hnp.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6), st.just(3)))


def encode(image, kind="PNG", **options):
    """Encode an array or a Pillow image as bytes of a file."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width, height, depth, color, rows=b"", **chunks):
    """Write a PNG by hand, for what Pillow does not write."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    extra = b"".join(chunk(kind.encode(), data) for kind, data in chunks.items())
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + body


def check(array, expected):
    """Hold an array to the contract and to its expected values."""
    assert isinstance(array, np.ndarray) and array.dtype == np.uint8
    assert array.flags.c_contiguous and array.flags.writeable and array.flags.owndata
    np.testing.assert_array_equal(array, expected)


def refused(source, pattern, **options):
    """Expect one clear sentence, without warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with pytest.raises(ImageError, match=pattern) as info:
            images.read(source, **options)
    assert caught == []
    text = str(info.value)
    assert "\n" not in text and text.endswith(".")
    return text


# --- sources


@pytest.fixture
def photo_file(tmp_path):
    """A PNG on disk."""
    path = tmp_path / "photo.png"
    path.write_bytes(encode(PHOTO))
    return path


def test_every_source_gives_the_same(photo_file):
    content = photo_file.read_bytes()
    for source in (
        photo_file,
        str(photo_file),
        content,
        bytearray(content),
        memoryview(content),
        io.BytesIO(content),
        PHOTO,
        Image.fromarray(PHOTO),
    ):
        check(images.read(source), PHOTO)
    with photo_file.open("rb") as file:
        check(images.read(file), PHOTO)
        check(images.read(file), PHOTO)  # rewound; still open
    with Image.open(photo_file) as lazy:
        check(images.read(lazy), PHOTO)


def test_unseekable_stream_is_read():
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as file:
        file.write(encode(PHOTO))
    with os.fdopen(reader, "rb") as file:
        check(images.read(file), PHOTO)


def test_result_never_shares_memory_with_an_array():
    source = PHOTO.copy()
    result = images.read(source)
    result[:] = 0
    np.testing.assert_array_equal(source, PHOTO)


def test_a_pillow_image_is_left_as_it_was():
    image = Image.open(io.BytesIO(encode(PHOTO, "JPEG", exif=orientation(6))))
    images.read(image)
    assert image.getexif()[0x0112] == 6
    assert image.size == (17, 12)


@given(small_rgb)
def test_round_trip_through_png(array):
    check(images.read(encode(array)), array)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("BMP", {}),
        ("DIB", {}),
        ("PPM", {}),
        ("QOI", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
        ("JPEG2000", {}),
    ],
)
def test_lossless_formats(kind, options):
    check(images.read(encode(PHOTO, kind, **options)), PHOTO)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "MPO", "GIF", "ICO"])
def test_other_formats(kind):
    gray = np.full((32, 32, 3), 99, np.uint8)
    result = images.read(encode(gray, kind))
    assert np.abs(result.astype(int) - 99).max() <= 2


# --- modes


def test_grayscale_and_one_bit():
    gray = PHOTO[..., 0]
    expected = np.repeat(gray[..., None], 3, axis=2)
    check(images.read(encode(gray)), expected)
    check(images.read(encode(gray, "TIFF")), expected)
    bits = Image.fromarray(gray > 99)
    assert bits.mode == "1"
    check(images.read(encode(bits)), np.repeat(np.where(gray > 99, 255, 0)[..., None], 3, axis=2))


def on_white(color, alpha):
    """Composite on white in floats."""
    alpha = alpha[..., None] / 255
    return color * alpha + 255 * (1 - alpha)


@given(hnp.arrays(np.uint8, (3, 4, 4)))
def test_rgba_is_laid_on_white(array):
    expected = on_white(array[..., :3], array[..., 3])
    for source in (encode(array), Image.fromarray(array), array):
        result = images.read(source)
        assert result.shape == (3, 4, 3)
        np.testing.assert_allclose(result, expected, atol=1)
    clear, solid = array[..., 3] == 0, array[..., 3] == 255
    assert (result[clear] == 255).all()
    np.testing.assert_array_equal(result[solid], array[solid][:, :3])


def test_gray_with_alpha():
    array = np.array([[[10, 255], [10, 0], [10, 128]]], np.uint8)
    for source in (encode(array), Image.fromarray(array), array):
        check(images.read(source), [[[10] * 3, [255] * 3, [132] * 3]])
    premultiplied = Image.fromarray(array[:, :2]).convert("La")
    check(images.read(premultiplied), [[[10] * 3, [255] * 3]])


def test_premultiplied_alpha():
    image = Image.fromarray(np.array([[[10, 20, 30, 255], [0, 0, 0, 0]]], np.uint8)).convert("RGBa")
    check(images.read(image), [[[10, 20, 30], [255] * 3]])


def test_palette_with_and_without_transparency():
    image = Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    for x in range(3):
        image.putpixel((x, 0), x)
    check(images.read(encode(image)), [[[255, 0, 0], [0, 255, 0], [0, 0, 255]]])
    expected = [[[255, 0, 0], [255, 255, 255], [0, 0, 255]]]
    check(images.read(encode(image, transparency=1)), expected)
    check(images.read(encode(image, "GIF", transparency=1)), expected)
    half = images.read(encode(image, transparency=bytes([255, 128, 0])))
    check(half, [[[255, 0, 0], [127, 255, 127], [255, 255, 255]]])


def test_transparent_key_color():
    rgb = np.array([[[1, 2, 3], [9, 9, 9]]], np.uint8)
    check(images.read(encode(rgb, transparency=(1, 2, 3))), [[[255] * 3, [9] * 3]])
    gray = np.array([[1, 9]], np.uint8)
    check(images.read(encode(gray, transparency=1)), [[[255] * 3, [9] * 3]])
    deep = np.array([[5000, 25700]], np.uint16)
    check(images.read(encode(deep, transparency=5000)), [[[255] * 3, [100] * 3]])


def test_cmyk_from_tiff_and_from_jpeg():
    colors = {(0, 255, 255, 0): (255, 0, 0), (0, 0, 0, 255): (0, 0, 0), (0, 0, 0, 0): (255,) * 3}
    for ink, expected in colors.items():
        image = Image.new("CMYK", (16, 16), ink)
        check(images.read(encode(image, "TIFF")), np.full((16, 16, 3), expected, np.uint8))
        result = images.read(encode(image, "JPEG", quality=95))  # Pillow writes Adobe's, inverted
        assert np.abs(result.astype(int) - expected).max() <= 4
        content = encode(image, "JPEG", quality=95)
        assert b"Adobe" in content


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "LAB"])
def test_other_color_models(mode):
    image = Image.new("RGB", (4, 4), (200, 60, 30))
    if mode == "LAB":
        from PIL import ImageCms

        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")
    else:
        image = image.convert(mode)
    result = images.read(image).astype(int)
    assert np.abs(result - [200, 60, 30]).max() <= 6


# --- 16 bits and floats


@given(hnp.arrays(np.uint16, st.tuples(st.integers(1, 5), st.integers(1, 5))))
def test_16_bit_gray_is_scaled_not_clipped(array):
    if 0 < array.max() < 4096:
        for source in (array, encode(array), encode(array, "TIFF"), array.astype(np.int32)):
            source = Image.fromarray(source) if isinstance(source, np.ndarray) else source
            refused(source, "uses 12 bits of 16 at most and would be black; stretch them")
        return
    expected = np.repeat(np.rint(array / 257).astype(np.uint8)[..., None], 3, axis=2)
    check(images.read(array), expected)
    check(images.read(encode(array)), expected)
    check(images.read(encode(array, "TIFF")), expected)
    check(images.read(Image.fromarray(array.astype(np.int32))), expected)
    big_endian = array.astype(">u2")
    check(images.read(Image.fromarray(array).convert("I").convert("I;16B")), expected)
    check(images.read(big_endian), expected)


def test_pgm_with_16_bits():
    check(
        images.read(b"P5 2 1 65535\n" + struct.pack(">HH", 25700, 65535)), [[[100] * 3, [255] * 3]]
    )


def test_16_bit_color_png():
    row = struct.pack(">6H", 0, 25700, 65535, 0x1200, 0x8000, 0xFF00)
    check(images.read(png(2, 1, 16, 2, b"\0" + row)), [[[0, 100, 255], [0x12, 0x80, 0xFF]]])
    row = struct.pack(">8H", 0, 25700, 65535, 65535, 1, 2, 3, 0)
    check(images.read(png(2, 1, 16, 6, b"\0" + row)), [[[0, 100, 255], [255] * 3]])


def test_16_bit_color_with_a_key_is_refused():
    row = struct.pack(">3H", 0x1234, 0xFFFF, 0)
    content = png(1, 1, 16, 2, b"\0" + row, tRNS=row)
    refused(content, "one transparent color is not supported")


@pytest.mark.parametrize("value", [-1, 65536])
def test_32_bit_gray_is_refused(value):
    array = np.array([[0, value]], np.int32)
    refused(Image.fromarray(array), "32-bit gray from")
    refused(encode(array, "TIFF"), "is a TIFF of signed or 32-bit whole numbers")


@given(hnp.arrays(np.float64, (2, 3, 3), elements=st.floats(0, 1)))
def test_floats_from_0_to_1(array):
    check(images.read(array), np.rint(array * 255))
    single = array.astype(np.float32)
    check(images.read(single), np.rint(single.astype(float) * 255))


def test_float_tiff_and_rounding_slack():
    array = np.array([[0, 0.2, 1]], np.float32)
    check(images.read(encode(array, "TIFF")), [[[0] * 3, [51] * 3, [255] * 3]])
    check(images.read(np.array([[-1e-7, 1 + 1e-7]])), [[[0] * 3, [255] * 3]])


@pytest.mark.parametrize("value", [-0.1, 1.01, 200.0, np.nan, np.inf])
def test_other_floats_are_refused(value):
    array = np.array([[0.5, value]])
    refused(array, "float64 pixels must lie from 0 to 1, but these go from")
    refused(encode(array.astype(np.float32), "TIFF"), "float32 pixels must lie from 0 to 1")


# --- kinds of TIFF, against tifffile; and PNG with chunks that are long or broken

RAMP = np.stack([np.arange(24) * 10 + 3 * row for row in range(6)]).astype(np.uint8)
COLOR = np.stack([RAMP, RAMP[::-1], 255 - RAMP], -1)


def tiffs():
    """Yield files of every kind that tifffile writes without other codecs, and what they show."""
    for order, deep, packed, tile in itertools.product("<>", (1, 257), (None, "zlib"), (None, 16)):
        options = {"byteorder": order, "compression": packed, "tile": tile and (tile, tile)}
        color, gray = (
            each.astype(np.uint16) * deep if deep > 1 else each for each in (COLOR, RAMP)
        )
        for name, array, shows, more in (
            ("rgb", color, COLOR, {"photometric": "rgb"}),
            ("planar", color.transpose(2, 0, 1), COLOR, {"photometric": "rgb"}),
            ("black", gray, RAMP, {"photometric": "minisblack"}),
            ("white", gray, 255 - RAMP, {"photometric": "miniswhite"}),
            ("cmyk", np.dstack([255 * deep - color, 0 * gray]), COLOR,
             {"photometric": "separated"}),
            ("cmyk-planar", np.stack([*(255 * deep - color).transpose(2, 0, 1), 0 * gray]), COLOR,
             {"photometric": "separated", "planarconfig": "separate"}),
            ("alpha", np.dstack([color, 0 * gray + 255 * deep]), COLOR,
             {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
            ("alpha-planar", np.stack([*color.transpose(2, 0, 1), 0 * gray + 255 * deep]), COLOR,
             {"photometric": "rgb", "planarconfig": "separate", "extrasamples": ["unassalpha"]}),
            ("gray-alpha", np.dstack([gray, 0 * gray + 255 * deep]), RAMP,
             {"photometric": "minisblack", "extrasamples": ["unassalpha"]}),
            ("bands", np.dstack([gray] * 7), None,
             {"photometric": "minisblack", "planarconfig": "contig"}),
            ("pages", np.stack([gray, gray[::-1]]), RAMP, {"photometric": "minisblack"}),
        ):  # fmt: skip
            yield f"{name} {order} {deep} {packed} {tile}", array, shows, options | more
    for order, packed, kind in itertools.product(
        "<>", (None, "zlib"), ["b", "i2", "i4", "u4", "f2", "f4", "f8"]
    ):
        kind = np.dtype(kind)
        for array in (RAMP, COLOR, COLOR.transpose(2, 0, 1)):
            values = (array / 255 if kind.kind == "f" else array // 2).astype(kind)
            for photometric in ("rgb",) if array.ndim == 3 else ("minisblack", "miniswhite"):
                shows = array if kind.kind == "f" else None
                shows = 255 - array if shows is not None and photometric == "miniswhite" else shows
                shows = COLOR if array.ndim == 3 and shows is not None else shows
                options = {"byteorder": order, "compression": packed, "photometric": photometric}
                yield f"{kind} {options}", values, shows, options
    for deep, array in itertools.product((1, 16), (RAMP, COLOR)):
        photometric = "minisblack" if array.ndim == 2 else "rgb"
        values = array.astype(np.uint16) * deep  # 8 and 12 bits in 16
        yield f"{deep} in 16 {array.ndim}", values, None, {"photometric": photometric}
    palette = np.stack([np.arange(256), 255 - np.arange(256), np.arange(256) // 2]) * 257
    shows = (palette.T[RAMP] // 257).astype(np.uint8)
    options = {"photometric": "palette", "colormap": palette.astype(np.uint16)}
    yield "palette", RAMP, shows, options
    for photometric, shows in (("minisblack", RAMP > 99), ("miniswhite", RAMP <= 99)):
        bits = np.where(shows, 255, 0).astype(np.uint8)
        yield f"bits {photometric}", RAMP > 99, bits, {"photometric": photometric}
    for photometric in ("ycbcr", "icclab", "logl"):
        array = RAMP if photometric == "logl" else COLOR
        yield photometric, array, None, {"photometric": photometric}


def test_every_kind_of_tiff_is_read_right_or_refused_by_name():
    read = set()
    for name, array, shows, options in tiffs():
        file = io.BytesIO()
        tifffile.imwrite(file, array, **options)
        content = file.getvalue()
        np.testing.assert_array_equal(tifffile.imread(io.BytesIO(content)), array)
        try:
            found = images.read(content)
        except ImageError as error:
            assert re.search(r"a kind that can't be read here|uses 12 bits of 16", str(error)), name
            continue
        assert shows is not None, f"{name} has no agreed picture, but was read"
        shows = shows if shows.ndim == 3 else np.repeat(shows[..., None], 3, 2)
        assert np.abs(found.astype(int) - shows).max() <= 1, name
        read.add(name.split()[0])
    assert read >= {"rgb", "planar", "black", "white", "cmyk", "alpha", "pages", "palette", "bits",
                    "float32"}  # fmt: skip


def test_lab_tiff():
    mild = COLOR // 3 + 80
    lab = skimage.color.rgb2lab(mild)
    stored = np.dstack([lab[..., 0] * 2.55, lab[..., 1:].astype(np.int8).view(np.uint8)])
    file = io.BytesIO()
    tifffile.imwrite(file, np.rint(stored).astype(np.uint8), photometric="cielab")
    assert np.abs(images.read(file.getvalue()).astype(int) - mild).max() < 16


def png_chunk(kind, data, wrong=0):
    """Write a chunk of a PNG, perhaps with a wrong checksum."""
    checksum = zlib.crc32(kind + data) ^ wrong
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


LONG = zlib.compress(bytes(3_000_000))


@pytest.mark.parametrize(
    ("kind", "data", "wrong"),
    [
        (b"zTXt", b"workflow\0\0" + LONG, 0),
        (b"iTXt", b"workflow\0\1\0\0\0" + LONG, 0),
        (b"iTXt", b"no more", 0),
        (b"tEXt", b"a\0b", 7),
        (b"iCCP", b"icc\0\0nonsense", 0),
        (b"iCCP", b"icc\0\7nonsense", 0),
        (b"iCCP", b"icc\0\0" + LONG, 0),
        (b"eXIf", b"nonsense", 0),
        (b"eXIf", b"nonsense", 7),
        (b"pHYs", b"", 0),
        (b"acTL", b"", 0),
    ],
)
def test_what_is_beside_the_pixels_of_a_png_may_be_long_or_broken(kind, data, wrong):
    whole = encode(PHOTO, exif=orientation(3))
    end = whole.index(b"IDAT") - 4
    for place in (end, len(whole) - 12):
        content = whole[:place] + png_chunk(kind, data, wrong) + whole[place:]
        found = images.read(content)
        check(found, PHOTO if (found == PHOTO).all() and kind == b"eXIf" else PHOTO[::-1, ::-1])


def test_jpegs_of_kinds_that_nothing_reads():
    content = encode(PHOTO, "JPEG")
    frame = content.index(b"\xff\xc0")
    for place, value in ((9, 2), (4, 12)):  # channels, bits
        strange = content[: frame + place] + bytes([value]) + content[frame + place + 1 :]
        refused(strange, "begins like a JPEG image, but is of a kind that can't be read here")


@pytest.mark.parametrize(
    "error",
    [RecursionError(), MemoryError(), zlib.error("x"), struct.error("x"), SystemError("x"),
     OverflowError(), KeyError("x"), AttributeError("x"), AssertionError()],
)  # fmt: skip
def test_whatever_a_decoder_raises_is_one_sentence(error, photo_file, monkeypatch):
    def raises(*arguments):
        raise error

    for place, name in ((Image, "open"), (Image.Image, "convert"), (pixels.np, "array")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, raises)
            refused(photo_file, r"^.*photo\.png: is ")
            assert len(images.read_many([photo_file, b"nothing"]).errors) == 2
    monkeypatch.setattr(Image, "open", raises)
    assert reading.size_of(photo_file) == 0


# --- arrays


def test_integer_and_bool_arrays():
    for kind in (np.int64, np.int32, np.int16, np.uint32, np.uint64):
        check(images.read(PHOTO.astype(kind)), PHOTO)
    check(images.read(np.array([[True, False]])), [[[255] * 3, [0] * 3]])
    check(images.read(PHOTO[::-1, ::2, ::-1]), PHOTO[::-1, ::2, ::-1])
    check(images.read(np.asfortranarray(PHOTO)), PHOTO)
    check(images.read(PHOTO[..., :1]), np.repeat(PHOTO[..., :1], 3, axis=2))


@pytest.mark.parametrize(
    ("array", "sentence"),
    [
        (np.zeros((0, 4, 3), np.uint8), "has no pixels"),
        (np.zeros((4, 0), np.uint8), "has no pixels"),
        (np.zeros((4, 4, 0), np.uint8), "has no pixels"),
        (np.zeros((), np.uint8), r"shape \(\) is no image"),
        (np.zeros(9, np.uint8), r"shape \(9,\) is no image"),
        (np.zeros((4, 4, 5), np.uint8), r"shape \(4, 4, 5\) is no image"),
        (np.zeros((3, 8, 9), np.uint8), r"Channels come last here: array\.transpose\(1, 2, 0\)"),
        (np.zeros((2, 8, 9, 3), np.uint8), "read with as_images or read_many"),
        (np.array([[0, 256]]), "int64 pixels must lie from 0 to 255, but these go from 0 to 256"),
        (np.array([[-1, 5]]), "from -1 to 5"),
        (np.array([["a"]]), "pixels of type <U1 are not numbers"),
        (np.array([[None]]), "pixels of type object are not numbers"),
        (np.array([[1j]]), "pixels of type complex128 are not numbers"),
    ],
)
def test_arrays_that_are_no_image(array, sentence):
    refused(array, f"^the image: .*{sentence}")


# --- orientation


def orientation(value):
    """Return EXIF data with an orientation."""
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("value", range(1, 9))
def test_orientation_agrees_with_pillow(kind, value):
    blocks = np.zeros((32, 48, 3), np.uint8)
    blocks[:16, :16] = (255, 0, 0)
    blocks[16:, 32:] = (0, 0, 255)
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encode(blocks, kind, exif=orientation(value), **options)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    assert expected.size == ((48, 32) if value < 5 else (32, 48))
    check(images.read(content), np.array(expected))
    check(images.read(Image.open(io.BytesIO(content))), np.array(expected))


def test_orientation_turns_the_picture_itself():
    left_red = np.zeros((1, 2, 3), np.uint8)
    left_red[0, 0] = (255, 0, 0)
    content = encode(left_red, exif=orientation(6))  # the camera's left is the picture's top
    check(images.read(content), [[[255, 0, 0]], [[0, 0, 0]]])


@given(small_rgb, st.integers(0, 20))
def test_orientation_of_any_array(array, value):
    content = encode(array, exif=orientation(value))
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    check(images.read(content), np.array(expected))


@pytest.mark.parametrize("exif", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b"?"])
def test_broken_exif_is_no_orientation(exif):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert images.read(encode(PHOTO, "JPEG", exif=exif)).shape == PHOTO.shape


# --- several frames


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_first_frame_or_page(kind):
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    frames = [Image.new("RGB", (8, 8), color) for color in colors]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert Image.open(io.BytesIO(content)).n_frames == 3
    check(images.read(content), np.full((8, 8, 3), (255, 0, 0), np.uint8))


def test_a_pillow_image_keeps_the_frame_it_is_at():
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime")]
    image = Image.open(
        io.BytesIO(encode(frames[0], "TIFF", save_all=True, append_images=frames[1:]))
    )
    image.seek(1)
    check(images.read(image), np.full((8, 8, 3), (0, 255, 0), np.uint8))


# --- refusals


def test_files_that_are_not_there(tmp_path):
    refused(tmp_path / "cat.jpg", r"cat\.jpg: is not there; check the path")
    refused(tmp_path, f"^{tmp_path}: is a folder, not an image; .*find")
    (tmp_path / "link.png").symlink_to(tmp_path / "gone.png")
    refused(tmp_path / "link.png", r"link\.png: is a link to what is not there")
    refused("null\0character.png", "is not there")
    refused("x" * 5000, "is not there")
    refused("https://example.org/cat.jpg", "^https://example.org/cat.jpg: is a web address")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.png")
        refused(tmp_path / "pipe.png", "is no regular file")


def test_file_without_permission(photo_file, monkeypatch):
    def denied(*arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    refused(photo_file, r"photo\.png: cannot be opened \(Permission denied\)")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"hello, world\n" * 9, "is not an image of a kind that can be read here"),
        (bytes(1000), "is not an image of a kind that can be read here"),
        (b"\x80\x04\x95pickle", "is not an image of a kind that can be read here"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not an image of a kind"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "is an SVG drawing"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "(is|begins like) a HEIC photograph"),
        (b"\xff\xd8\xff\xe0 no more", r"is corrupt or cut short \(Truncated File Read\)"),
        (b"\x89PNG\r\n\x1a\n", "corrupt"),
        (b"GIF89a", "begins like a GIF image, but is corrupt or cut short"),
        (b"\0\0\0\x20ftypavif" + bytes(40), "begins like a AVIF image, but is corrupt"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "corrupt"),
        (b"II*\0\x08\0\0\0", "corrupt"),
        (b"BM" + bytes(20), "is of a kind that can't be read here"),
    ],
)
def test_content_that_is_no_image(content, sentence, tmp_path):
    refused(content, f"^letter.png: .*{sentence}", name="letter.png")
    path = tmp_path / "letter.png"
    path.write_bytes(content)
    refused(path, f"letter.png: .*{sentence}")
    refused(io.BytesIO(content), sentence)


@pytest.mark.parametrize(
    "kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "PPM", "QOI"]
)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_truncated_files(kind, share):
    content = encode(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8), kind)
    refused(content[: int(len(content) * share)], "corrupt|cut short", name="half.img")


@settings(max_examples=150)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "ICO", "PPM"]), st.data())
def test_damaged_files_are_read_or_refused(kind, data):
    content = bytearray(encode(PHOTO, kind))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            result = images.read(bytes(content), max_pixels=1_000_000)
        except ImageError as error:
            assert "\n" not in str(error)
        else:
            assert result.dtype == np.uint8 and result.shape[2] == 3


def test_corrupt_checksum():
    content = bytearray(encode(PHOTO))
    content[-20] ^= 255  # in the last bytes of the pixels or their checksum
    refused(bytes(content), "corrupt or cut short")


@pytest.mark.parametrize("side", [9_500, 14_000, 2_000_000])  # below and above Pillow's own limits
def test_too_many_pixels_by_the_header(side, tmp_path):
    content = png(side, side, 8, 2)
    refused(content, "^bomb.png: has more pixels.* than the allowed 89,478,485", name="bomb.png")
    path = tmp_path / "bomb.png"
    path.write_bytes(content)
    refused(path, "bomb.png: has more pixels")


def test_max_pixels_is_a_choice():
    content, bound = encode(PHOTO), Image.MAX_IMAGE_PIXELS
    check(images.read(content, max_pixels=12 * 17), PHOTO)
    for source in (content, PHOTO, Image.fromarray(PHOTO)):
        refused(source, r"has more pixels \(17 x 12\) than the allowed 203", max_pixels=203)
    refused(content, "than the allowed 50", max_pixels=50)
    assert bound == Image.MAX_IMAGE_PIXELS


def test_more_pixels_than_pillow_allows_when_asked(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in ("PNG", "TIFF", "GIF", "WEBP", "JPEG"):
            assert images.read(encode(PHOTO, kind)).shape == PHOTO.shape
    assert Image.MAX_IMAGE_PIXELS == 20


def test_svgz_and_text_files(tmp_path):
    refused(gzip.compress(b"<svg/>"), "is not an image of a kind")
    path = tmp_path / "letter.txt"
    path.write_text("hello", encoding="utf-8")
    with path.open(encoding="utf-8") as file:
        refused(file, 'letter.txt: is open as text; open it with mode "rb"')
    with path.open("rb") as file:
        pass
    refused(file, r"letter\.txt: cannot be read \(.*closed")


@pytest.mark.parametrize("source", [None, 7, [1, 2], {"a": 1}, object()])
def test_other_objects(source):
    refused(source, f"a {type(source).__name__} is no image; give a path, bytes")


def test_image_error_is_a_meznet_error():
    assert issubclass(ImageError, MeznetError)


# --- read_many and Images


@pytest.fixture
def folder(tmp_path):
    """200 files, ten of them bad, in two folders."""
    for number in range(200):
        path = tmp_path / ("even" if number % 2 == 0 else "odd") / f"{number:03}.png"
        path.parent.mkdir(exist_ok=True)
        array = np.full((4, 5, 3), number, np.uint8)
        path.write_bytes(b"broken" if number % 20 == 7 else encode(array))
    return tmp_path


def test_ten_bad_files_do_not_lose_the_rest(folder):
    paths = sorted(images.find(folder), key=lambda path: path.name)
    assert len(paths) == 200
    found = images.read_many(paths)
    assert len(found) == 190 and len(found.errors) == 10
    good = [number for number in range(200) if number % 20 != 7]
    assert [int(array[0, 0, 0]) for array in found] == good
    assert found.names == tuple(f"{number:03}.png" for number in good)
    assert [str(error).partition(":")[0] for error in found.errors] == [
        str(folder / "odd" / f"{number:03}.png") for number in range(7, 200, 20)
    ]


def test_read_many_uses_threads(monkeypatch):
    barrier = threading.Barrier(2, timeout=120)
    real = pixels.from_array

    def together(*arguments):
        barrier.wait()
        return real(*arguments)

    monkeypatch.setattr(pixels, "from_array", together)
    assert len(images.read_many([PHOTO] * 6)) == 6


def test_read_many_takes_a_generator_and_mixed_sources(photo_file):
    found = images.read_many(
        each for each in (PHOTO, photo_file, None, encode(PHOTO), Image.fromarray(PHOTO))
    )
    assert found.names == ("image 1", "photo.png", "image 4", "image 5")
    assert [str(error)[:7] for error in found.errors] == ["image 3"]
    for array in found:
        check(array, PHOTO)


@pytest.mark.parametrize("sources", ["photos/", b"bytes", Path("photos"), 3, None])
def test_read_many_wants_a_list(sources):
    with pytest.raises(ImageError, match="read_many wants a list of images"):
        images.read_many(sources)


def test_read_many_of_nothing():
    found = images.read_many([])
    assert len(found) == 0 and found.names == () and found.errors == ()


def test_names_take_as_many_folders_as_they_need(tmp_path):
    paths = ["a/x/1.png", "b/x/1.png", "b/y/1.png", "b/y/2.png", "b/y/2.png", "c/3.png"]
    for path in paths:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(encode(PHOTO))
    names = images.read_many([tmp_path / path for path in paths]).names
    assert names == ("a/x/1.png", "b/x/1.png", "y/1.png", "2.png", "2.png (2)", "3.png")


@given(st.lists(st.tuples(*[st.sampled_from(["a", "b", "a (2)"])] * 3), max_size=8))
def test_names_always_differ(parts):
    names = reading.display_names(["/".join(part) for part in parts])
    assert len(set(names)) == len(parts)
    for name, part in zip(names, parts, strict=True):
        bare = re.sub(r" \(\d+\)$", "", name)
        assert any("/".join(part).endswith(each) for each in (name, bare))


def test_progress_is_asked_for(monkeypatch):
    seen = []

    def bar(iterable, **options):
        seen.append(options)
        return iterable

    monkeypatch.setattr(reading, "bar", bar)
    images.read_many([PHOTO, PHOTO])
    assert seen == []
    assert len(images.read_many([PHOTO, PHOTO], progress=True)) == 2
    assert [each["total"] for each in seen] == [2]


def test_images_is_a_frozen_sequence():
    found = Images([PHOTO, PHOTO + 1], ["a", "b"], [ImageError("c: is empty.")])
    assert [array is each for array, each in zip(found, found.arrays, strict=True)] == [True, True]
    assert found[-1] is found.arrays[1]
    assert found[1:].names == ("b",) and found[1:].errors == ()
    assert repr(found) == "Images(2 images, 1 errors)"
    with pytest.raises(AttributeError):
        found.names = ()
    with pytest.raises(IndexError):
        found[2]


@pytest.mark.parametrize(
    ("arrays", "names", "sentence"),
    [
        ([PHOTO], ["a", "b"], "1 images need as many names"),
        ([PHOTO, PHOTO], ["a", "a"], "a: 2 images have this name"),
        ([PHOTO.astype(float)], ["a"], "a: must be a uint8 array"),
        ([PHOTO[0]], ["a"], "a: must be a uint8 array"),
        ([PHOTO[None]], ["a"], "a: must be a uint8 array"),
        ([None], ["a"], "a: must be a uint8 array"),
    ],
)
def test_images_checks_itself(arrays, names, sentence):
    with pytest.raises(ImageError, match=sentence):
        Images(arrays, names)


# --- as_images


def test_as_images_of_one_of_anything(photo_file):
    with photo_file.open("rb") as file:
        for source in (photo_file, str(photo_file), file, Image.open(photo_file)):
            found = images.as_images(source)
            assert found.names == ("photo.png",)
            check(found[0], PHOTO)
    for source in (photo_file.read_bytes(), PHOTO, Image.fromarray(PHOTO), PHOTO[..., 0]):
        assert images.as_images(source).names == ("image 1",)


def test_as_images_of_several(photo_file):
    import pandas as pd

    for source in ([PHOTO, PHOTO], (PHOTO, photo_file), np.stack([PHOTO, PHOTO])):
        assert len(images.as_images(source)) == 2
    assert len(images.as_images(pd.Series([str(photo_file)] * 3))) == 3
    assert len(images.as_images(np.array([str(photo_file)] * 3))) == 3
    found = images.as_images([PHOTO])
    assert images.as_images(found) is found
    assert len(images.as_images(found[:0])) == 0


def test_as_images_raises_when_nothing_is_left():
    with pytest.raises(ImageError, match=r"^nope\.jpg: is not there"):
        images.as_images("nope.jpg")
    with pytest.raises(ImageError, match=r"^nope\.jpg: is not there"):
        images.as_images(["nope.jpg", "neither.jpg"])
    with pytest.raises(ImageError, match="NoneType is no image"):
        images.as_images(None)
    found = images.as_images(["nope.jpg", PHOTO])
    assert len(found) == 1 and len(found.errors) == 1


# --- find


@pytest.fixture
def tree(tmp_path):
    """A folder with images, other files and hidden ones."""
    for name in (
        "b.JPG",
        "a.png",
        "notes.txt",
        "sub/c.webp",
        "sub/deep/d.tiff",
        ".hidden.png",
        ".cache/e.png",
        "other/readme.md",
        "[odd]/f.gif",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    return tmp_path


def relative(paths, tree):
    """Name paths as seen from the tree."""
    return [path.relative_to(tree).as_posix() for path in paths]


def test_find_in_folders(tree):
    found = images.find(tree)
    assert found == sorted(found)  # the folder named like a file is not among them
    assert set(relative(found, tree)) == {
        "a.png",
        "b.JPG",
        "sub/c.webp",
        "sub/deep/d.tiff",
        "[odd]/f.gif",
    }
    assert relative(images.find(str(tree / "[odd]")), tree) == ["[odd]/f.gif"]


def test_find_files_whatever_their_suffix_and_in_order(tree):
    paths = [tree / "notes.txt", tree / "b.JPG", tree / "a.png", tree / "b.JPG"]
    assert relative(images.find(paths), tree) == ["notes.txt", "b.JPG", "a.png"]


def test_find_by_pattern(tree):
    assert relative(images.find(f"{tree}/*.png"), tree) == ["a.png"]
    assert relative(images.find([f"{tree}/**/*.tiff", tree / "s*"]), tree) == [
        "sub/deep/d.tiff",
        "sub/c.webp",
    ]
    assert relative(images.find(f"{tree}/*.[pJ]*"), tree) == ["a.png", "b.JPG"]


def test_find_from_the_working_folder(tree, monkeypatch):
    monkeypatch.chdir(tree)
    assert images.find("*.png") == [Path("a.png")]
    assert images.find(["a.png", tree / "a.png", "sub"]) == [
        Path("a.png"),
        Path("sub/c.webp"),
        Path("sub/deep/d.tiff"),
    ]


def test_find_names_everything_that_matches_nothing(tree):
    paths = [tree / "nope.png", f"{tree}/*.avif", tree / "other", f"{tree}/*.txt"]
    with pytest.raises(ImageError) as info:
        images.find(paths)
    text = str(info.value)
    assert text.endswith(": no image is found there.")
    named = text.removesuffix(": no image is found there.").split(", ")
    assert named == [str(path) for path in paths]
    with pytest.raises(ImageError, match=r"^https://example\.org/cat\.jpg: is a web address; "):
        images.find("https://example.org/cat.jpg")


def test_what_is_missing_does_not_lose_the_rest(tree, monkeypatch):
    """It is among the files, and who reads them gets one line for it."""
    (tree / "a.png").write_bytes(encode(PHOTO))
    monkeypatch.chdir(tree)
    paths = ["nope.png", "a.png", "*.avif", "https://example.org/cat.jpg", "", "other"]
    found = images.read_many(images.find(paths))
    assert found.names == ("a.png",)
    assert [str(error).partition(";")[0] for error in found.errors] == [
        "nope.png: is not there",
        "*.avif: is not there",
        "https://example.org/cat.jpg: is a web address",
        '"": is not there',
        "other: is a folder, not an image",
    ]


def test_find_follows_links_but_no_circle(tree, tmp_path_factory):
    disk = tmp_path_factory.mktemp("disk")
    for name in ("1.png", "2.png"):
        (disk / name).write_bytes(encode(PHOTO))
    (disk / "back").symlink_to(tree, target_is_directory=True)
    (tree / "sub" / "again").symlink_to(tree, target_is_directory=True)
    (tree / "sub" / "more").symlink_to(disk, target_is_directory=True)
    (tree / "sub" / "one.jpg").symlink_to(disk / "1.png")
    new = set(relative(images.find(tree), tree))
    assert len(new) == 8 and new > {"sub/more/1.png", "sub/more/2.png", "sub/one.jpg"}
    for depth in range(3):  # twice two links in a circle: paths without end, but no more folders
        (disk / f"twice{depth}").symlink_to(disk, target_is_directory=True)
    assert len(images.find(disk / "twice1")) == 8


def test_what_can_not_be_looked_into_is_among_the_files(tree, monkeypatch):
    """Broken links, folders without permission, and what is no regular file get one line each."""
    (tree / "gone").symlink_to("nowhere")
    (tree / "gone.jpg").symlink_to("nowhere.jpg")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tree / "pipe.png")
    real = Path.iterdir

    def iterdir(folder):
        if folder.name == "deep":
            raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    found = images.read_many(images.find(tree))
    said = {str(error).removeprefix(f"{tree}/") for error in found.errors}
    assert said >= {
        "gone: is a link to what is not there.",
        "gone.jpg: is a link to what is not there.",
        "pipe.png: is no regular file.",
        "sub/deep: cannot be opened (Permission denied).",
    }
    with pytest.raises(ImageError, match=r"deep: cannot be opened \(Permission denied\)"):
        images.as_images(images.find(tree / "sub" / "deep"))


def test_names_as_people_have_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["~x.jpg", "$HOME.jpg", "a[1].jpg", "-x.jpg", "a\nb.jpg", "\x1b[31mred.jpg"]
    names += [b"caf\xe9.jpg".decode("utf-8", "surrogateescape"), "\u202egpj.jpg", "[1]/x.jpg"]
    Path("[1]").mkdir()
    for name in names:
        Path(name).write_bytes(encode(PHOTO))
    for litter in ("Thumbs.db", "desktop.ini", ".DS_Store", "._a.jpg"):
        Path(litter).touch()
    Path("__MACOSX").mkdir()
    Path("__MACOSX/a.jpg").touch()
    files, others = images.survey(".")
    assert len(files) == len(names) and others == []
    assert images.find(names) == [Path(name) for name in names]
    assert images.find("[1]/*.jpg") == [Path("[1]/x.jpg")]
    for shown in images.read_many(names).names:
        assert shown.isprintable() and shown.encode()
    assert images.read_many(names[4:7]).names == (
        r"a\nb.jpg", r"\x1b[31mred.jpg", r"caf\udce9.jpg"
    )  # fmt: skip
    Path(names[5]).write_bytes(b"nothing")
    refused(names[5], r"^\\x1b\[31mred\.jpg: is not an image")


def test_find_of_no_paths_is_empty():
    assert images.find([]) == []
