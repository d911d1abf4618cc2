"""Tests of meznet_helpers.images.streaming, and of what it reads: drafts, AVIF, HEIC."""

import base64
import io
import sys
import threading
import weakref

import numpy as np
import pytest
from PIL import Image, ImageOps

from meznet_helpers import images
from meznet_helpers.images import ImageError, reading, streaming

# 64 x 32, the left half red and the right half blue, to be turned by 90 degrees to the right;
# written by pillow-heif 1.8.1, which encodes what pi-heif only decodes.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAA"
    "AAAAAAAAADRpbG9jAAAAAERAAAIAAQAAAAAB7AABAAAAAAAAAEkAAgAAAAACNQABAAAAAAAAACQAAAA4aWluZgAAAAAA"
    "AgAAABVpbmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADm"
    "aXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAq"
    "QgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQAN"
    "AAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAAEAAAAABAAAAIAAAAAEAAAAAAAAAAv///+AAAAACAAAAEHBp"
    "eGkAAAAAAwgICAAAAAlpcm90AwAAABlpcG1hAAAAAAAAAAEAAQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEA"
    "AQAAAHVtZGF0AAAARSgBrxOA9SeBP//aBR//AJnh96AcxP/57BI/o3rf/lgWduAwsyS2QKLscf2WVO9EFEn89WJSUIFF"
    "7pmEEjmp92gC/YETHAAAAAZFeGlmAABNTQAqAAAACAABARIAAwAAAAEABgAAAAAAAA=="
)


def encoded(array, kind="PNG", **options):
    """The bytes of a file."""
    file = io.BytesIO()
    Image.fromarray(array).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    """Forty files of two sizes in two folders with the same names; some can't be read."""
    rng = np.random.default_rng(0)
    for number in range(40):
        path = tmp_path / "ab"[number % 2] / f"{number // 2:02}.png"
        path.parent.mkdir(exist_ok=True)
        array = rng.integers(0, 256, (8 + number % 3, 9, 3), np.uint8)
        path.write_bytes(b"broken" if number % 13 == 5 else encoded(array))
    return tmp_path


# ---- order, names, batches


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
def test_a_stream_is_what_read_many_reads(size, folder):
    files = [*images.find(folder), folder / "gone.png"]
    whole, batches = images.read_many(files), list(images.stream(files, batch_size=size))
    assert sum((batch.names for batch in batches), ()) == whole.names
    assert [str(error) for batch in batches for error in batch.errors] == list(
        map(str, whole.errors)
    )
    arrays = [array for batch in batches for array in batch.arrays]
    for array, expected in zip(arrays, whole.arrays, strict=True):
        np.testing.assert_array_equal(array, expected)
    sizes = [len(batch) + len(batch.errors) for batch in batches]
    assert sizes[:-1] == [size] * (len(sizes) - 1) and sum(sizes) == 41 and sizes[-1] <= size


def test_names_may_be_those_of_a_longer_list():
    black = np.zeros((2, 2, 3), np.uint8)
    (batch,) = images.stream([black, black], names=["8.png", "9.png"])
    assert batch.names == ("8.png", "9.png")
    with pytest.raises(ImageError, match="2 images need as many names, not 1"):
        next(images.stream([black, black], names=["8.png"]))


def test_sources_of_every_kind(folder):
    file = folder / "a" / "00.png"
    array = images.read(file)
    with file.open("rb") as opened, Image.open(file) as image:
        (batch,) = images.stream([file, str(file), file.read_bytes(), image, opened, None, array])
    assert len(batch) == 6 and len(batch.errors) == 1
    for each in batch:
        np.testing.assert_array_equal(each, array)
    assert list(images.stream([])) == []
    (one,) = images.stream(file)
    assert one.names == ("00.png",)


def test_a_batch_closes_where_pixels_are_many(monkeypatch):
    monkeypatch.setattr(streaming, "PIXELS", 100)
    sizes = [40, 40, 20, 1, 99, 100, 250, 10, 10, 90]
    batches = images.stream([np.zeros((1, size, 3), np.uint8) for size in sizes])
    assert [[array.shape[1] for array in batch] for batch in batches] == [
        [40, 40, 20],
        [1, 99],
        [100],
        [250],
        [10, 10],
        [90],
    ]


def test_pixels_in_flight_are_bounded(tmp_path, monkeypatch):
    """What was decoded and is still alive fills two batches at most, whoever is the slower."""
    file = tmp_path / "100.png"
    file.write_bytes(encoded(np.zeros((10, 10, 3), np.uint8)))
    monkeypatch.setattr(streaming, "PIXELS", 350)
    alive, most, lock = set(), [], threading.Lock()
    real = reading.read

    def read(*arguments, **settings):
        array = real(*arguments, **settings)
        with lock:
            alive.add(id(array))
            weakref.finalize(array, alive.discard, id(array))
            most.append(len(alive))
        return array

    monkeypatch.setattr(reading, "read", read)
    seen = 0
    for batch in images.stream([file] * 60):
        assert len(batch) == 3
        seen += len(batch)
        threading.Event().wait(0.01)
    assert seen == 60 and 3 < max(most) <= 9, max(most)
    assert sorted(most)[-len(most) // 4] <= 6  # the third one only while a batch changes hands


def test_the_next_batch_is_decoded_meanwhile(monkeypatch):
    begun = threading.Semaphore(0)
    real = reading.read
    monkeypatch.setattr(
        reading, "read", lambda *given, **more: (begun.release(), real(*given, **more))[1]
    )
    batches = images.stream([np.zeros((2, 2, 3), np.uint8)] * 6, batch_size=2)
    next(batches)
    for _ in range(4):
        assert begun.acquire(timeout=60)  # two taken, two more
    assert not begun.acquire(timeout=0.2)
    batches.close()


def test_a_stream_that_is_left_ends_its_threads():
    before = threading.active_count()
    batches = images.stream([np.zeros((2, 2, 3), np.uint8)] * 200, batch_size=2)
    next(batches)
    batches.close()
    assert threading.active_count() == before


# ---- drafts


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("size", "side", "decoded"),
    [
        ((800, 640), 80, (100, 80)),
        ((803, 645), 80, (101, 81)),
        ((800, 639), 80, (200, 160)),
        ((800, 640), 320, (400, 320)),
        ((800, 640), 321, (800, 640)),
        ((80, 64), 224, (80, 64)),
    ],
)
def test_drafts_keep_the_short_side(size, side, decoded, orientation):
    """A smooth picture looks the same, upright, whatever the size it was decoded at."""
    width, height = size
    across, down = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    picture = Image.fromarray(np.stack([across, down, 0 * down], 2).astype(np.uint8))
    exif = Image.Exif()
    exif[0x112] = orientation
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=95, exif=exif)
    found = images.read(file, side=side)
    turned = orientation > 4
    assert found.shape == ((decoded[::-1], decoded)[turned] + (3,))
    assert min(found.shape[:2]) >= min(side, height)
    whole = ImageOps.exif_transpose(Image.open(file)).convert("RGB")
    small = whole.resize(found.shape[1::-1], Image.Resampling.BOX)
    assert np.abs(np.asarray(small, int) - found).mean() < 2
    (streamed,) = images.stream([file], side=side)
    np.testing.assert_array_equal(streamed[0], found)
    assert reading.size_of(file.getvalue(), side) == decoded[0] * decoded[1]


def test_drafts_are_for_jpegs_alone(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for kind in ("PNG", "WEBP", "TIFF", "AVIF"):
        options = {"lossless": True} if kind == "WEBP" else {}
        assert images.read(encoded(noise, kind, **options), side=8).shape == (64, 64, 3)
    assert images.read(noise, side=8).shape == (64, 64, 3)
    assert images.read(encoded(noise, "MPO"), side=8).shape == (8, 8, 3)


def test_the_bound_of_pixels_is_that_of_the_file():
    large = encoded(np.zeros((80, 80, 3), np.uint8), "JPEG")
    assert images.read(large, side=8, max_pixels=80 * 80).shape == (10, 10, 3)
    for most, side in ((80 * 80, 80), (80 * 80 - 1, 40), (40 * 40, 40)):
        assert images.read(large, max_pixels=most).shape == (side, side, 3)
    for kind in ("JPEG", "PNG"):
        with pytest.raises(ImageError, match=r"has more pixels.*; shrink it\.$"):
            images.read(encoded(np.zeros((80, 80, 3), np.uint8), kind), max_pixels=40 * 40 - 1)


# ---- AVIF and HEIC


def test_avif_in_a_folder(tmp_path):
    smooth = np.linspace(0, 255, 64 * 48 * 3).reshape(48, 64, 3).astype(np.uint8)
    (tmp_path / "picture.AVIF").write_bytes(encoded(smooth, "AVIF", quality=90))
    (batch,) = images.stream(images.find(tmp_path))
    assert batch.names == ("picture.AVIF",) and batch[0].shape == (48, 64, 3)
    assert np.abs(batch[0].astype(int) - smooth).mean() < 4


def test_heic_is_named_where_nothing_reads_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    file = tmp_path / "IMG_0001.HEIC"
    file.write_bytes(HEIC)
    assert images.find(tmp_path) == [file]
    (batch,) = images.stream([file])
    assert [str(error) for error in batch.errors] == [
        f"{file}: is a HEIC photograph; install what reads it, pip install 'meznet[heic]', or "
        "export it as JPEG."
    ]


def test_heic(tmp_path):
    pytest.importorskip("pi_heif")
    file = tmp_path / "IMG_0001.HEIC"
    file.write_bytes(HEIC)
    found = images.read_many(images.find(tmp_path))
    assert found.errors == () and found.names == ("IMG_0001.HEIC",)
    assert found[0].shape == (64, 32, 3)  # upright
    assert np.abs(found[0][2:29].astype(int) - (200, 40, 30)).max() < 16
    assert np.abs(found[0][35:62].astype(int) - (20, 60, 220)).max() < 16
    for share in (0.2, 0.9):
        with pytest.raises(ImageError, match=r"^cut: .*(corrupt|cut short)"):
            images.read(HEIC[: int(share * len(HEIC))], name="cut")


def test_no_heic_is_read_without_need(fresh_python):
    assert not fresh_python(
        "import sys, io; from PIL import Image; from meznet_helpers import images\n"
        "file = io.BytesIO(); Image.new('RGB', (4, 4)).save(file, 'AVIF')\n"
        "images.read(file); print('pi_heif' if 'pi_heif' in sys.modules else '')"
    ).strip()


# ---- what lies beside the images


def test_survey_tells_what_is_left_aside(tmp_path):
    for name in ("a.jpg", "raw.CR2", "clip.mov", "sub/notes.txt", "sub/b.png", ".DS_Store",
                 ".cache/x.txt", "README"):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found, others = images.survey(tmp_path)
    assert found == images.find(tmp_path) and [file.name for file in found] == ["a.jpg", "b.png"]
    assert sorted(file.name for file in others) == ["README", "clip.mov", "notes.txt", "raw.CR2"]
    assert [file.name for file in images.survey(f"{tmp_path}/*")[1]] == [
        "README",
        "clip.mov",
        "raw.CR2",
        "notes.txt",
    ]
    named = [tmp_path / "sub" / "notes.txt", tmp_path / "sub"]  # asked for, so not left aside
    assert [file.name for file in images.survey(named)[0]] == ["notes.txt", "b.png"]
    assert images.survey(named)[1] == []
