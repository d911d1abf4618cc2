"""Tests of Labeler.stream: the numbers of predict, a batch at a time, whatever the sources."""

import threading

import numpy as np
import pytest
from PIL import Image

from meznet_helpers.ensembles import EnsembleLabeler
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import read_many, reading
from meznet_helpers.labelers import Labeler, largest_side
from meznet_helpers.labels import from_names
from meznet_helpers.names import labeler


class Means(Labeler):
    """Labels an image by its mean colors, and notes the sizes it was given."""

    labels = from_names(["red", "green", "blue"])

    def __init__(self, name="means", side=None):
        self.name, self.side, self.sizes, self.released = name, side, [], 0

    def _probabilities(self, images):
        self.sizes.append([image.shape[:2] for image in images])
        sums = np.array([image.mean((0, 1)) + 1 for image in images], np.float32)
        return sums / sums.sum(1, keepdims=True)

    def release(self):
        self.released += 1


@pytest.fixture
def files(tmp_path):
    """Twenty-three files, two of them bad."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number:02}.jpg" for number in range(23)]
    for path in paths:
        array = rng.integers(0, 256, (96, 128, 3), np.uint8)
        Image.fromarray(array // rng.integers(1, 4, 3, np.uint8)).save(path)
    paths[4].write_bytes(b"nothing")
    paths[22].unlink()
    return paths


@pytest.mark.parametrize("size", [1, 5, 32])
def test_a_stream_is_predict(size, files):
    net = Means()
    expected = Means().predict(read_many(files))
    batches = list(net.stream(files, batch_size=size))
    assert sum((batch.names for batch, _ in batches), ()) == expected.images
    probs = np.concatenate([probs for _, probs in batches])
    assert probs.dtype == np.float32
    np.testing.assert_array_equal(probs, expected.probs[0])
    errors = [str(error) for batch, _ in batches for error in batch.errors]
    assert len(errors) == 2 and "04.jpg" in errors[0] and "22.jpg" in errors[1]
    assert all(1 <= len(sizes) <= size for sizes in net.sizes)
    read = read_many(files)
    for sources in (read, list(read.arrays), iter(read.arrays)):
        found = np.concatenate([probs for _, probs in net.stream(sources, batch_size=size)])
        np.testing.assert_array_equal(found, probs)


@pytest.mark.parametrize("make", [Means, lambda: EnsembleLabeler([Means("a"), Means("b")])])
def test_predict_warns_of_each_bad_file(make, files):
    with pytest.warns(UserWarning) as warned:
        found = make().predict(files, batch_size=4)
    assert [str(each.message).split(":")[0] for each in warned] == [str(files[4]), str(files[22])]
    assert {each.filename for each in warned} == {__file__}
    np.testing.assert_allclose(found.probs, Means().predict(read_many(files)).probs, atol=1e-6)
    with pytest.raises(MeznetError, match=r"04\.jpg"):
        make().predict([files[4], files[22]])
    with pytest.raises(MeznetError, match=r"22\.jpg"):
        make().predict(files[22])


def test_predict_never_holds_all_files(files, monkeypatch):
    """When the first batch is labeled, two batches at most were decoded."""
    decoded, lock = [], threading.Lock()
    real = reading.read

    def read(*given, **settings):
        with lock:
            decoded.append(given)
        return real(*given, **settings)

    monkeypatch.setattr(reading, "read", read)
    seen = []
    member = Means("a")
    member.probabilities = lambda images: (
        seen.append(len(decoded)),
        Means.probabilities(member, images),
    )[1]
    files = [file for file in files if file not in (files[4], files[22])]
    EnsembleLabeler([member, Means("b")]).predict(files, batch_size=3)
    assert seen[0] <= 6 and seen == sorted(seen) and len(seen) == 7


def test_an_ensemble_streams_by_all_members(files):
    members = [Means("a"), Means("b")]
    net = EnsembleLabeler(members, "geometric")
    batches = list(net.stream(files, batch_size=5))
    assert [len(member.sizes) for member in members] == [5, 5]
    assert [member.released for member in members] == [0, 0]
    net.predict(read_many(files))
    assert [member.released for member in members] == [1, 1]
    assert sum(len(batch) for batch, _ in batches) == 21


def test_drafts_have_twice_the_side(files):
    for side, draft, size in (
        (None, True, (96, 128)),
        (12, False, (96, 128)),
        (12, True, (24, 32)),
        (48, True, (96, 128)),
    ):
        net = Means(side=side)
        list(net.stream(files[:2], draft=draft))
        assert net.sizes == [[size] * 2]


def test_the_largest_side():
    assert labeler("keras/MobileNetV2@tiny").side == 64  # it is squeezed to that first
    assert labeler("keras/EfficientNetLite1").side == 272  # and this one's middle is cut out
    assert largest_side([Means(side=3), Means(side=5)]) == 5
    assert largest_side([Means(side=3), Means()]) is None
    assert EnsembleLabeler([Means("a", 3), Means("b", 5)]).side == 5
    assert EnsembleLabeler([Means("a", 3), Means("b")]).side is None


def test_batch_size_must_be_positive():
    with pytest.raises(MeznetError, match="batch_size is 0; it must be 1 or more"):
        next(Means().stream([], batch_size=0))
    assert list(Means().stream([])) == []
