"""Tests of meznet_helpers.features.embedding: the classifier's input, the cache, streams of files.

Torch never comes into this process: TensorFlow lives here, so that nets on torch run in a worker.
"""

import dataclasses
import json
import threading
import time

import numpy as np
import pytest
from PIL import Image

from meznet_helpers.errors import MeznetError
from meznet_helpers.features import embed
from meznet_helpers.features import embedding as features
from meznet_helpers.images import Dataset, Images, find, read
from meznet_helpers.labelers import BackboneLabeler, NetworkLabeler, backbone, network, registry
from meznet_helpers.labelers.keras import KerasLabeler, headless, untrained
from meznet_helpers.labels import from_names, tiny_imagenet
from meznet_helpers.names import labeler

NET = "keras/MobileNetV2@tiny"
KERAS = sorted(name for name in registry() if name.startswith("keras/") and "@tiny" in name)


def pictures(count, seed=0, side=40):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (side + i, side - i % 7, 3), np.uint8) for i in range(count)]


@pytest.fixture(autouse=True)
def cache(fresh_cache, monkeypatch):
    monkeypatch.setattr(features, "_digests", {})
    return fresh_cache / "features"


@pytest.fixture(scope="module")
def net():
    """A net that stays loaded."""
    return labeler(NET)


@pytest.fixture
def encoded(monkeypatch):
    """How many images went to a network, call by call."""
    counts = []

    def counting(kind, original):
        def counted(self, sources, **settings):
            # one that is not exported hands over to the class above, which counts
            if kind is NetworkLabeler or self._exported():
                counts.append(len(sources))
            return original(self, sources, **settings)

        return counted

    for kind in (NetworkLabeler, BackboneLabeler):
        monkeypatch.setattr(kind, "features", counting(kind, kind.features))
    return counts


class Colors(NetworkLabeler):
    """Describes an image by its mean colors, without any framework."""

    name, labels, power = "colors", from_names(["a", "b"]), 1

    def recipe(self):
        return {"power": self.power}

    def _tensors(self):
        yield np.float32([self.power])

    def _preparation(self):
        return lambda image: image.mean((0, 1), dtype=np.float32)

    def _encoder(self, half):
        return lambda batch: batch**self.power

    def _seen(self, images):
        raise NotImplementedError

    def _probabilities(self, images):
        raise NotImplementedError


@pytest.fixture
def folder(tmp_path):
    """A folder of 23 PNG files, their names not in the order of their pictures."""
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    for number, picture in enumerate(pictures(23)):
        Image.fromarray(picture).save(folder / ("deep" * (number % 2)) / f"{7 * number % 23}.png")
    return folder


# ---- what the classifier sees


@pytest.mark.contract
@pytest.mark.parametrize("name", KERAS)
def test_the_classifier_on_top_gives_the_nets_own_probabilities(name):
    net, images = labeler(name), pictures(6, side=64)
    found = embed(images, net)
    classifier = [layer for layer in net.model.layers if layer.get_weights()][-1]
    kernel, bias = classifier.get_weights()
    logits = found @ kernel.reshape(found.shape[1], 200) + bias
    probs = np.exp(logits - logits.max(1, keepdims=True))
    expected = net.predict(images).probs[0]
    np.testing.assert_allclose(probs / probs.sum(1, keepdims=True), expected, atol=1e-5)
    assert found.dtype == np.float32


@pytest.mark.contract
def test_features_are_those_of_keras(net):
    """The layer before the last, and Keras' own net without a top."""
    import keras

    images = pictures(5, side=64)
    found, batch = embed(images, net), net.backbone.prepare(images)
    before = keras.Model(net.model.inputs, net.model.layers[-2].output)
    np.testing.assert_allclose(found, before.predict(batch, verbose=0), atol=1e-5)
    topless = getattr(keras.applications, net.backbone.application)(
        weights=None,
        include_top=False,
        pooling="avg",
        input_shape=(net.backbone.size, net.backbone.size, 3),
        **net.backbone.options,
    )
    topless.set_weights(net.model.get_weights()[:-2])
    np.testing.assert_allclose(found, topless.predict(batch, verbose=0), atol=1e-5)
    assert found.std(0).mean() > 0.01  # the images are told apart


# ---- any batch size, with and without the cache


@pytest.mark.parametrize("size", [1, 4, 64])
def test_batch_size_and_cache_do_not_change_features(size, net):
    images = pictures(11)
    expected = net.features(images, batch_size=11)
    for cache in (True, True, False):
        found = embed(images, net, batch_size=size, cache=cache)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert found.shape == (11, 1280) and found.dtype == np.float32


@pytest.mark.nets
def test_what_is_known_is_not_encoded_again(net, encoded, cache):
    images = pictures(11)
    first = embed(images, net, batch_size=1)  # 8 at once
    assert encoded == [8, 3]
    again = embed(images, NET)
    assert encoded == [8, 3]
    np.testing.assert_array_equal(again, first)
    changed = [image.copy() for image in images]
    changed[4][0, 0, 0] ^= 255
    third = embed([*changed[::-1], changed[4]], NET)
    assert encoded == [8, 3, 2]  # the changed one, which comes twice
    np.testing.assert_array_equal(np.delete(third[-2::-1], 4, 0), np.delete(first, 4, 0))
    assert np.abs(third[-1] - first[4]).max() > 1e-4
    np.testing.assert_array_equal(third[-1], third[6])
    embed(images, NET, cache=False)
    assert encoded == [8, 3, 2, 11]
    assert not list(cache.rglob("*.part"))


def test_the_shape_counts_and_not_the_bytes_alone(encoded):
    image = pictures(1)[0][:30, :20]
    embed([image, image.reshape(20, 30, 3)], Colors())
    assert encoded == [2]
    embed([image.reshape(60, 10, 3)], Colors())
    assert encoded == [2, 1]


@pytest.mark.nets
def test_another_network_has_features_of_its_own(encoded, monkeypatch):
    images, own = pictures(3), backbone(NET)
    first = embed(images, own)
    for change in ({"mode": "caffe"}, {"interpolation": "nearest"}, {"detail": 32}, {"size": 64}):
        found = embed(images, dataclasses.replace(own, **change))
        assert np.abs(found - first).max() > 0.01, change
    assert encoded == [3] * 5
    embed(images, "keras/MobileNet@tiny")
    assert encoded == [3] * 6


def test_a_name_without_a_tag_has_features_of_its_own():
    """What is kept bears no name: a digest tells published weights from this project's."""
    digests = {labeler(NET.removesuffix("@tiny") + tag).digest() for tag in ("", "@imagenet")}
    assert len(digests) == 1 and labeler(NET).digest() not in digests


def test_other_weights_have_features_of_their_own(encoded, tmp_path, monkeypatch):
    """A file that changed, and published weights, which are digested as they are loaded."""
    images, file = pictures(3), tmp_path / "weights"
    monkeypatch.setattr(Colors, "weights_file", lambda self: file)
    for content, calls in ((b"one", 1), (b"two", 2), (b"one", 2)):
        file.write_bytes(content)
        embed(images, Colors())
        assert len(encoded) == calls
    monkeypatch.undo()
    digests = []
    for power in (1, 2):
        net = Colors()
        net.power = power
        monkeypatch.setattr(net, "recipe", dict)
        digests.append(net.digest())
    assert digests[0] != digests[1]


def test_published_weights_are_digested_once(monkeypatch):
    digested = []
    monkeypatch.setattr(
        Colors, "_weights_digest", lambda self: digested.append(1) or np.zeros(32, np.uint8)
    )
    for _ in range(3):
        embed(pictures(2), Colors())
    assert digested == [1]


@pytest.mark.parametrize("damage", ["cut", "other", "empty"])
def test_a_damaged_cache_is_encoded_anew(damage, cache, encoded):
    images = pictures(3)
    first = embed(images, Colors())
    (file,) = cache.rglob("*.npy")
    if damage == "other":
        np.save(file, np.zeros(3))
    else:
        file.write_bytes(file.read_bytes()[:-8] if damage == "cut" else b"")
    np.testing.assert_array_equal(embed(images, Colors()), first)
    assert encoded == [3, 3]


def test_nothing_half_written_is_read(cache, encoded, monkeypatch):
    def broken(file, table, **_):
        file.write(b"\x93NUMPY")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", broken)
        embed(pictures(2), Colors())
    assert not list(cache.rglob("*.npy"))
    embed(pictures(2), Colors())
    assert encoded == [2, 2]


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MEZNET_CACHE", str(tmp_path / "file"))
    some = pictures(20)  # more than once it is tried, and said once
    found = embed(some, Colors(), batch_size=1)
    np.testing.assert_array_equal(found, embed(some, Colors(), cache=False))
    (line,) = caplog.messages
    assert line.startswith("meznet: features are not kept: ") and "\n" not in line


@pytest.mark.contract
def test_each_flipped_bit_of_a_cache_is_noticed(cache, encoded):
    images = pictures(3)
    first = embed(images, Colors())
    (file,) = cache.rglob("*.npy")
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    for place in rng.permutation(8 * len(whole))[:150].tolist():
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        file.write_bytes(damaged)
        np.testing.assert_array_equal(embed(images, Colors()), first)
        for new in set(cache.rglob("*.npy")) - {file}:
            new.unlink()
    assert len(encoded) > 100


# ---- what images may be


def test_folders_files_and_data_sets(folder):
    files = find(folder)
    expected = Colors().features([read(file) for file in files])
    assert np.abs(np.diff(expected, axis=0)).min(0).max() > 0
    arrays = [read(file) for file in files]
    together = Images(arrays, [file.name for file in files])
    data = Dataset(together, [0, 1] * 11 + [0], from_names(["x", "y"]))
    forms = [folder, str(folder), files, iter(files), arrays, together, data]
    for form in forms:
        np.testing.assert_allclose(embed(form, Colors(), batch_size=2), expected, atol=1e-5)
    few = embed([files[3], str(files[1]), files[3]], Colors())
    np.testing.assert_allclose(few, expected[[3, 1, 3]], atol=1e-5)
    np.testing.assert_allclose(embed(files[2], Colors()), expected[2:3], atol=1e-5)
    mixed = [arrays[0], files[1], Image.fromarray(arrays[2]), files[3].read_bytes()]
    np.testing.assert_allclose(embed(mixed, Colors()), expected[:4], atol=1e-5)
    np.testing.assert_allclose(embed(arrays[5], Colors()), expected[5:6], atol=1e-5)


def test_a_file_is_known_by_its_content(folder, encoded):
    first = embed(folder, Colors())
    file = find(folder)[0]
    file.rename(folder / "0000000.jpg")
    Image.fromarray(pictures(1, seed=9)[0]).save(find(folder)[5], format="PNG")
    second = embed(folder, Colors())
    assert encoded == [23, 1]
    assert (second != first).any(1).sum() == 1


def test_few_files_are_in_memory_at_a_time(folder, monkeypatch):
    """While a batch is encoded, no more than the next one is being read."""
    files, done, most = find(folder), [], []
    opened = []
    monkeypatch.setattr(network, "read", lambda file: opened.append(file) or read(file))

    class Counting(Colors):
        def _encoder(self, half):
            def encode(batch):
                most.append(len(opened) - len(done))
                done.extend(batch)
                return batch

            return encode

    embed(files, Counting(), batch_size=3, cache=False)
    assert len(done) == len(opened) == 23 and len(most) == 8
    assert max(most) <= 6


def test_the_next_batch_is_read_while_one_is_encoded(folder, monkeypatch):
    opened = threading.Semaphore(0)
    monkeypatch.setattr(network, "read", lambda file: opened.release() or read(file))

    class Waiting(Colors):
        first = True

        def _encoder(self, half):
            def encode(batch):
                if self.first:  # its own three files, and three of the next batch
                    assert all(opened.acquire(timeout=120) for _ in range(6))
                self.first = False
                return batch

            return encode

    assert embed(find(folder)[:6], Waiting(), batch_size=3, cache=False).shape == (6, 3)


# ---- a worker process


@pytest.mark.contract
def test_timm_in_a_worker_beside_keras(tmp_path, folder, net, fresh_python):
    """The numbers of `forward_head`, for arrays and for files that the worker reads."""
    from meznet_helpers.labelers.timm import TimmLabeler

    code = f"""
import numpy as np, timm, torch
from PIL import Image
from safetensors.torch import save_file
from meznet_helpers.images import find
torch.manual_seed(0)
model = timm.create_model("test_efficientnet", num_classes=200).eval()
save_file(model.state_dict(), {str(tmp_path / "w.safetensors")!r})
transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
batch = torch.stack([transform(Image.open(file)) for file in find({str(folder)!r})])
with torch.no_grad():
    found = model.forward_head(model.forward_features(batch), pre_logits=True)
np.save({str(tmp_path / "expected.npy")!r}, found.numpy())
"""
    fresh_python(code)
    expected = np.load(tmp_path / "expected.npy")
    overlay = {"file": str(tmp_path / "w.safetensors"), "num_classes": 200}
    other = TimmLabeler("test_efficientnet", labels=tiny_imagenet(), pretrained_cfg_overlay=overlay)
    embed(pictures(2), net)  # TensorFlow lives here
    found = embed(folder, other, batch_size=5)
    pid = other._worker._process.pid
    np.testing.assert_allclose(found, expected, atol=1e-5)
    arrays = embed([read(file) for file in find(folder)], other, batch_size=7, cache=False)
    np.testing.assert_allclose(arrays, expected, atol=1e-5)
    half = embed(folder, other, half=True)
    far = np.linalg.norm(half - expected) / np.linalg.norm(expected)
    assert 1e-4 < far < 0.05
    np.testing.assert_array_equal(embed(folder, other), found)  # each has its own place
    np.testing.assert_array_equal(embed(folder, other, half=True), half)
    find(folder)[4].write_bytes(b"")
    with pytest.raises(MeznetError, match=r"\.png: is empty\.$"):
        embed(folder, other)
    assert other._worker._process.pid == pid  # one process for all of it
    other.release()


def test_a_name_is_released_and_a_labeler_is_kept(net, monkeypatch):
    released = []
    monkeypatch.setattr(NetworkLabeler, "release", lambda self: released.append(self.name))
    embed(pictures(1), Colors())
    assert released == []
    with monkeypatch.context() as patch:
        patch.setattr(KerasLabeler, "release", lambda self: released.append(self.name))
        patch.setattr(KerasLabeler, "features", lambda self, sources, **_: np.zeros((1, 2)))
        embed(pictures(1, seed=3), NET)
        assert released == [NET]
        patch.setattr(KerasLabeler, "features", lambda self, sources, **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            embed(pictures(1, seed=4), backbone(NET))
    assert released == [NET, NET]


# ---- bad input


def test_files_that_cannot_be_read(folder, encoded, tmp_path):
    good, files = embed(folder, Colors(), cache=False), find(folder)
    encoded.clear()
    files[3].write_bytes(b"no picture")
    with pytest.raises(MeznetError) as error:
        embed(folder, Colors(), batch_size=1)
    assert str(error.value) == f"{files[3]}: is not an image of a kind that can be read here."
    assert encoded == [8, 8, 7]  # the others are encoded all the same, and kept
    files[20].write_bytes(b"")
    with pytest.raises(MeznetError) as error:
        embed(files, Colors())
    assert str(error.value).startswith(f"2 images can't be read; the first: {files[3]}: is not")
    assert encoded == [8, 8, 7, 2]
    rest = [file for place, file in enumerate(files) if place not in (3, 20)]
    np.testing.assert_array_equal(embed(rest, Colors()), np.delete(good, (3, 20), 0))
    assert encoded == [8, 8, 7, 2]


def test_nothing_but_files_that_cannot_be_read(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(b"")
    with pytest.raises(MeznetError, match=r"^3 images can't be read; the first: .*0\.png: is"):
        embed(tmp_path, Colors())


@pytest.mark.nets
@pytest.mark.parametrize(
    ("images", "net", "settings", "said"),
    [
        ([], NET, {}, "There are no images to describe; give one or more."),
        (np.zeros((0, 8, 8, 3), np.uint8), NET, {}, "There are no images to describe"),
        ("nowhere", NET, {}, "nowhere: no image is found there."),
        (["nowhere.png"], NET, {}, "nowhere.png: no image is found there."),
        ([b"broken"], NET, {}, "image 1: is not an image of a kind"),
        (None, "keras/MobileNetV9@tiny", {}, 'did you mean "keras/MobileNetV'),
        (None, "timm/resnet18@tiny", {}, 'No backbone is called "timm/resnet18@tiny"'),
        (None, "timm/resnet_18@imagenet", {}, 'timm has no net "resnet_18"; did you mean'),
        (None, f"ensemble/soft({NET}, keras/MobileNet@tiny)", {}, "has no features; take a net of"),
        (None, 3, {}, "3 has no features; take a net of Keras, timm or torchvision."),
        (None, NET, {"batch_size": 0}, "batch_size is 0; it must be 1 or more."),
        (None, NET, {"half": True}, "half is for nets on torch; keras/MobileNetV2@tiny computes"),
        (None, {"size": 8}, {}, f"{NET} can't be built for pictures of 8 x 8 pixels (Input size"),
        (None, {"size": 0}, {}, f"{NET} has size 0; give it pixels."),
        (None, {"tag": "imagenet", "options": {"alpha": 0.6}}, {}, "for its own options alone."),
    ],
)
def test_one_sentence_each(images, net, settings, said):
    images = pictures(1) if images is None else images
    with pytest.raises(MeznetError) as error:
        if isinstance(net, dict):
            net = dataclasses.replace(backbone(NET), **net)
        embed(images, net, **settings)
    text = str(error.value)
    assert said in text and "\n" not in text and text.endswith((".", "?"))


@pytest.mark.nets
def test_the_last_kernel_is_the_classifier():
    """Of every family of applications that ends in its own way."""
    for name, width in {"MobileNet": 256, "MobileNetV3Small": 1024, "DenseNet121": 1024}.items():
        options = {"alpha": 0.25} if name == "MobileNet" else {}
        net = dataclasses.replace(
            backbone(f"keras/{name}@imagenet"), tag="x", size=32, options=options
        )
        assert headless(untrained(net)).output_shape == (None, width)


# ---- speed

LOOP = """
import json, sys, time
import numpy as np, timm, torch
from pathlib import Path
from PIL import Image
from meznet_helpers.labelers import Backbone
from meznet_helpers.features import embed
from meznet_helpers.images import find
from meznet_helpers.labelers.timm import TrainedLabeler, untrained
torch.set_num_threads(1)
folder = Path(FOLDER)
(folder / "class").mkdir(parents=True)
rng = np.random.default_rng(0)
for number in range(256):
    coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
    coarse.resize((120, 96)).save(folder / "class" / f"{number:03}.jpg")
net = TrainedLabeler(Backbone("regnetx_002", "x", 96, "torch", "tiny_imagenet", framework="timm"))
plain = untrained(net.backbone)
net.model = untrained(net.backbone).to(memory_format=torch.channels_last)
net.model.load_state_dict(plain.state_dict())

def timms(workers, half):
    '''As timm's own inference.py: its data set, its loader, its transform.'''
    loader = timm.data.create_loader(
        timm.data.create_dataset("", root=str(folder)), input_size=(3, 96, 96), batch_size=64,
        is_training=False, use_prefetcher=False, num_workers=workers, crop_pct=1.0,
        crop_mode="squash", interpolation="bilinear",
    )
    found = []
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        for batch, _ in loader:
            found.append(plain.forward_head(plain.forward_features(batch), pre_logits=True))
    return torch.cat(found).float().numpy()

def seconds(run, *arguments, **settings):
    start = time.perf_counter()
    run(*arguments, **settings)
    return time.perf_counter() - start

np.testing.assert_allclose(embed(folder, net, cache=False), timms(0, False), atol=1e-5)
ratios = []
for half in (False, True):
    theirs = min(seconds(timms, workers, half) for workers in (0, 2, 0, 2))
    ours = min(seconds(embed, folder, net, cache=False, half=half) for _ in range(3))
    ratios.append(theirs / ours)
print(json.dumps(ratios))
"""


@pytest.mark.budget
def test_the_features_and_the_time_of_timms_own_loop(tmp_path, fresh_python, report):
    out = fresh_python(LOOP.replace("FOLDER", repr(str(tmp_path / "pictures"))))
    single, half = json.loads(out.splitlines()[-1])
    report("features of RegNetX-002: timm's loop / embed", single, at_least=1)
    report("features of RegNetX-002 in bfloat16: timm's loop / embed", half, at_least=1)


@pytest.mark.budget
def test_time_of_a_second_call(net, report):
    images = Images(pictures(150, side=64), [str(number) for number in range(150)])
    seconds = {False: [], True: []}
    embed(images, net)
    for cache in [False, True] * 4:
        start = time.perf_counter()
        embed(images, net, cache=cache)
        seconds[cache].append(time.perf_counter() - start)
    ratio = min(seconds[False]) / min(seconds[True])
    report("150 images: encoding / reading from the cache", ratio, at_least=10)
