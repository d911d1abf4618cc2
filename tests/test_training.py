"""Tests of data/models/train_keras.py and export_keras.py, on random pictures."""

import csv
import importlib.util
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from meznet_helpers import evaluate, labels, profile, store
from meznet_helpers.backbones import MODES, Backbone, registry
from meznet_helpers.images import read_many
from meznet_helpers.labelers.keras import KerasLabeler

SCRIPTS = profile.data() / "models"
TINY = sorted(name for name in registry() if name.endswith("@tiny"))
CLASSES, PER_CLASS = 200, 12


def script(name, **others):
    """Import a script of data/models by its path."""
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        for other, value in {**others, name: module}.items():
            patch.setitem(sys.modules, other, value)
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def training():
    return script("train_keras")


# ---- crops


class Chosen:
    """Stands for a generator: `uniform` as `rng` draws it, or in the middle; `random` is fixed."""

    def __init__(self, mirrored, rng=None):
        self.mirrored, self.rng = mirrored, rng

    def uniform(self, low, high, size=None):
        if self.rng:
            return self.rng.uniform(low, high, size)
        middle = (np.asarray(low) + high) / 2
        return middle if size is None else np.full(size, middle)

    def random(self, count):
        return np.full(count, 0.0 if self.mirrored else 1.0)


def crops(pixels, boxes, size):
    """What the training step does with its boxes."""
    import tensorflow as tf

    pixels = np.broadcast_to(np.float32(pixels), (len(boxes), 64, 64, 3))
    return tf.image.crop_and_resize(pixels, boxes, tf.range(len(boxes)), [size, size]).numpy()


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (64, 64, 3))


def test_the_whole_image_at_its_own_size_is_itself(training, pixels):
    straight = crops(pixels, training.random_boxes(Chosen(False), 2, 64, 1.0), 64)
    np.testing.assert_allclose(straight, [pixels, pixels], atol=0.01)
    mirrored = crops(pixels, training.random_boxes(Chosen(True), 2, 64, 1.0), 64)
    np.testing.assert_allclose(mirrored, [pixels[:, ::-1]] * 2, atol=0.01)


@pytest.mark.parametrize("size", [32, 48, 56])
def test_the_whole_image_is_sampled_as_resizing_does_it(training, pixels, size):
    import tensorflow as tf

    found = crops(pixels, training.random_boxes(Chosen(False), 1, size, 1.0), size)[0]
    expected = tf.image.resize(np.float32(pixels), [size, size]).numpy()
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_mirrored_crops_are_mirror_images(training, pixels):
    straight, mirrored = (
        crops(
            pixels,
            training.random_boxes(Chosen(turned, np.random.default_rng(3)), 20, 48, 0.6),
            48,
        )
        for turned in (False, True)
    )
    np.testing.assert_allclose(mirrored, straight[:, :, ::-1], atol=0.05)
    assert np.abs(mirrored - straight).mean() > 10


@pytest.mark.parametrize("area", [0.6, 0.75])
def test_crops_cover_what_they_say(training, area):
    """On a ramp, a pixel of the crop says where it was taken from."""
    y, x = np.mgrid[:64, :64]
    ramp = np.stack([y, x, y], -1)
    boxes = training.random_boxes(np.random.default_rng(4), 400, 48, area)
    found = crops(ramp, boxes, 48)
    rows, columns = found[:, :, 0, 0], found[:, 0, :, 1]
    for places in (rows, columns):
        assert places.min() >= 0 and places.max() <= 63
        steps = np.diff(places, axis=1)
        np.testing.assert_allclose(steps, steps[:, :1].repeat(47, 1), atol=1e-3)
    height, width = ((each[:, -1] - each[:, 0]) / 47 * 48 / 64 for each in (rows, columns))
    mirrored, width = width < 0, np.abs(width)
    assert 0.4 < mirrored.mean() < 0.6
    assert (height > 0).all() and height.max() <= 1.001 and width.max() <= 1.001
    covered, aspect = height * width, width / height
    assert area - 0.01 < covered.min() < area + 0.05 and covered.max() > 0.9
    assert 0.79 < aspect.min() < 0.85 and 1.2 < aspect.max() < 1.26
    top = rows[:, 0] + 0.5 - height * 64 / 48 / 2  # edge of the crop, pixels
    assert top.min() > -0.1 and (top + height * 64).max() < 64.1
    assert np.corrcoef(top, mirrored)[0, 1] < 0.2


# ---- split, rates, recipes


def test_split(training):
    truth = np.random.default_rng(5).permutation(np.repeat(np.arange(7), 25))
    kept, held_out = training.split(truth)
    assert sorted([*kept, *held_out]) == list(range(len(truth)))
    assert np.bincount(truth[held_out]).tolist() == [10] * 7
    for label in range(7):
        last = kept[truth[kept] == label].max()
        assert (held_out[truth[held_out] == label] > last).all()


def phase(training, **changes):
    facts = {"sizes": (32, 32), "rate": 0.5, "batch": 64, "area": 0.75, "smoothing": 0.1}
    return training.Phase(**{**facts, "decay": 0.02, "warm_up": 4} | changes)


def test_rates_warm_up_and_fall_as_a_cosine(training):
    one = phase(training, sizes=(32,) * 3)
    found = [rate for epoch in range(3) for rate in training.rates(one, 20, epoch)]
    assert len(found) == 60
    np.testing.assert_allclose(found[:4], [0.125, 0.25, 0.375, 0.5])
    np.testing.assert_allclose(found[4], 0.5)
    np.testing.assert_allclose(found[32], 0.25)  # half-way between 4 and 60
    np.testing.assert_allclose(found[-1], 0.25 * (1 + np.cos(np.pi * 55 / 56)))
    assert (np.diff(found[4:]) < 0).all() and found[-1] < 0.001


def test_rates_of_a_phase_that_was_cut_off(training):
    whole = phase(training, sizes=(32,) * 6)
    parts = [
        phase(training, sizes=(32,) * 2, length=6),
        phase(training, sizes=(48,) * 3, length=6, start=2),
    ]
    assert [each.epochs for each in (whole, *parts)] == [6, 6, 6]
    for part in parts:
        for epoch in range(part.start, part.start + len(part.sizes)):
            expected = list(training.rates(whole, 10, epoch))
            assert list(training.rates(part, 10, epoch)) == expected
    assert phase(training, start=3).epochs == 5


def test_recipes(training):
    for net in training.recipes().values():
        assert net["mode"] in MODES and f"keras/{net['application']}@imagenet" in registry()
        for one in net["phases"]:
            assert one.sizes and one.start + len(one.sizes) <= one.epochs
            assert 0 < one.area <= 1 and 0 <= one.smoothing < 1


@pytest.mark.parametrize("name", TINY)
def test_trained_nets_have_a_recipe_and_a_log(name, training):
    application = registry()[name].application
    facts = json.loads((SCRIPTS / application / "net.json").read_text(encoding="utf-8"))
    recipe = training.recipes()[application]
    for key in ("application", "mode", "options"):
        assert facts[key] == recipe[key]
    with (SCRIPTS / application / "log.csv").open(encoding="utf-8", newline="") as file:
        log = list(csv.DictReader(file))
    assert len(log) == facts["epochs"]
    assert [int(row["epoch"]) for row in log] == list(range(1, len(log) + 1))


@pytest.mark.parametrize("name", TINY[:1])
def test_a_bundled_net_is_where_further_training_begins(name, training, tmp_path):
    from meznet_helpers.labelers.keras import build

    application = registry()[name].application
    recipe = training.recipes()[application]
    done, (weights, optimizer) = training.bundled(application, recipe, tmp_path / "log.jsonl")
    lines = (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert done == sum(len(phase.sizes) for phase in recipe["phases"]) == len(lines)
    assert json.loads(lines[-1])["epoch"] == done and optimizer == ()
    for value, weight in zip(weights, build(registry()[name]).weights, strict=True):
        np.testing.assert_array_equal(value, weight.numpy(), err_msg=weight.path)


def test_he_start(training):
    net = {"application": "MobileNetV3Small", "options": {}}
    model = training.build(net, 32)
    training.he_start(model, seed=1)
    for kernel in (each for each in model.trainable_variables if len(each.shape) == 4):
        if kernel.name == "kernel" and np.prod(kernel.shape) > 500:
            shape = kernel.shape
            fan_in = shape[0] * shape[1] * (1 if "depthwise" in kernel.path else shape[2])
            assert kernel.numpy().std() == pytest.approx(np.sqrt(2 / fan_in), rel=0.15)


# ---- decoding


def test_load_images(training, tmp_path):
    wnids = [f"n{number:08}" for number in range(CLASSES)]
    for number, wnid in enumerate(wnids):
        folder = tmp_path / "data" / "train" / wnid / "images"
        folder.mkdir(parents=True)
        mode = "L" if number == 3 else "RGB"
        color = number if mode == "L" else (number, 0, 255 - number)
        Image.new(mode, (64, 64), color).save(folder / f"{wnid}_0.JPEG", quality=95)
    x, y = training.load_images(tmp_path / "data", tmp_path / "cache")
    assert x.shape == (CLASSES, 64, 64, 3) and x.dtype == np.uint8
    assert y.tolist() == list(range(CLASSES))
    assert abs(int(x[100, 5, 5, 0]) - 100) <= 3 and abs(int(x[3, 5, 5, 2]) - 3) <= 3
    again, _ = training.load_images(tmp_path / "gone", tmp_path / "cache")  # decoded already
    np.testing.assert_array_equal(again, x)


def test_load_images_of_another_data_set(training, tmp_path):
    with pytest.raises(SystemExit, match=r"has 0 classes below train/; Tiny-ImageNet has 200\."):
        training.load_images(tmp_path, tmp_path / "cache")


# ---- a run


def small_net(net, size):
    """Stands for `build`: every kind of layer that the trainer treats specially, little work."""
    import keras

    return keras.Sequential(
        [
            keras.layers.Input((size, size, 3)),
            keras.layers.Conv2D(8, 3, strides=4, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.DepthwiseConv2D(3),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(CLASSES),
        ]
    )


@pytest.fixture(scope="module")
def run(training, tmp_path_factory):
    """Train a small net for three epochs, once at a stretch and once with a break in between."""
    rng = np.random.default_rng(6)
    truth = np.repeat(np.arange(CLASSES, dtype=np.int32), PER_CLASS)
    pictures = rng.integers(0, 256, (len(truth), 64, 64, 3), np.uint8)
    second = phase(training, sizes=(40,), rate=0.01, smoothing=0.0)
    recipe = {"application": "None", "mode": "caffe", "options": {}}
    recipe["phases"] = [phase(training, rate=0.02), second]
    outs = [tmp_path_factory.mktemp(name) for name in ("stretch", "breaks")]
    for out in outs:
        (out / "cache").mkdir()
        np.save(out / "cache" / "train_x.npy", pictures)
        np.save(out / "cache" / "train_y.npy", truth)

    def until_the_second_epoch(steps, label=None, unit=None):
        for step in steps:
            if label.endswith("2 of 3") and step == 3:
                raise KeyboardInterrupt
            yield step

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "recipes", lambda: {"Small": recipe})
        patch.setattr(training, "build", small_net)
        training.train("Small", outs[0], outs[0], seed=1)
        with patch.context() as stopping:
            stopping.setattr(training, "bar", until_the_second_epoch)
            with pytest.raises(KeyboardInterrupt):
                training.train("Small", outs[1], outs[1], seed=1)
        broken_off = checkpoint(outs[1])
        training.train("Small", outs[1], outs[1], seed=1)
        return SimpleNamespace(outs=outs, broken_off=broken_off, recipe=recipe)


def checkpoint(out):
    with np.load(out / "Small.npz") as stored:
        return dict(stored)


def log(out):
    lines = (out / "Small.jsonl").read_text(encoding="utf-8").splitlines()
    return [{**json.loads(line), "seconds": 0} for line in lines]


def test_a_resumed_run_equals_one_at_a_stretch(run):
    stretch, breaks = map(checkpoint, run.outs)
    assert run.broken_off["done"] == 1 and stretch["done"] == breaks["done"] == 3
    assert stretch.keys() == breaks.keys() == run.broken_off.keys()
    for key, values in stretch.items():
        np.testing.assert_allclose(breaks[key], values, rtol=1e-3, atol=1e-5, err_msg=key)
    changed = [key for key in stretch if not np.allclose(run.broken_off[key], stretch[key])]
    assert len(changed) > 0.9 * len(stretch)  # the other epochs did train


def test_the_log_has_one_line_for_each_epoch(run):
    stretch, breaks = map(log, run.outs)
    assert [line["epoch"] for line in breaks] == [1, 2, 3]
    assert [line["size"] for line in breaks] == [32, 32, 40]
    for line, other in zip(stretch, breaks, strict=True):
        assert other["loss"] == pytest.approx(line["loss"], abs=0.01)
        assert other["held_out"] == pytest.approx(line["held_out"], abs=0.003)


def test_a_new_phase_starts_a_new_optimizer(run):
    counts = [int(each["o0"]) for each in (run.broken_off, checkpoint(run.outs[0]))]
    assert counts == [6, 6]  # 400 pictures, 64 at a time; the second phase counts anew


def test_accuracy(training, monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr(training, "build", small_net)
    x = np.random.default_rng(7).integers(0, 256, (300, 64, 64, 3), np.uint8)
    model = small_net(None, 32)
    inputs = training.preprocess(tf.image.resize(np.float32(x), [32, 32]), "caffe")
    guesses = model.predict(inputs, verbose=0).argmax(1)
    assert len(set(guesses)) > 2
    truth = np.where(np.arange(300) < 210, guesses, (guesses + 1) % CLASSES)
    found = training.accuracy({"mode": "caffe"}, model.get_weights(), x, truth, 32)
    assert found == pytest.approx(0.7, abs=0.007)


# ---- export


@pytest.fixture
def finished(training, tmp_path):
    """A finished run of MobileNet 0.25 as `train` leaves it, and a data set of 30 pictures."""
    import keras

    keras.utils.set_random_seed(2)
    recipe = {"application": "MobileNet", "mode": "caffe", "options": {"alpha": 0.25}}
    weights = training.build(recipe, 32).get_weights()
    out = tmp_path / "out"
    (out / "cache").mkdir(parents=True)
    np.savez(out / "Small.npz", done=2, **{f"w{i}": w for i, w in enumerate(weights)}, o0=7)
    line = {"epoch": 1, "size": 32, "loss": 5.1, "train": 0.1, "held_out": 0.2, "seconds": 1800}
    lines = [json.dumps(line | {"epoch": epoch}) + "\n" for epoch in (1, 2)]
    (out / "Small.jsonl").write_text("".join(lines), encoding="utf-8")
    rng = np.random.default_rng(8)
    truth = np.repeat(np.arange(2, dtype=np.int32), PER_CLASS)
    np.save(out / "cache" / "train_x.npy", rng.integers(0, 256, (24, 64, 64, 3), np.uint8))
    np.save(out / "cache" / "train_y.npy", truth)
    images = tmp_path / "tiny" / "val" / "images"
    images.mkdir(parents=True)
    lines = []
    for number in range(30):
        name = f"val_{number}.JPEG"
        noise = rng.integers(0, 256, (4, 4, 3), np.uint8)
        Image.fromarray(noise).resize((64, 64)).save(images / name)
        lines.append(f"{name}\t{labels.tiny_imagenet().ids[number]}\t0\t0\t63\t63\n")
    (images.parent / "val_annotations.txt").write_text("".join(lines), encoding="utf-8")
    return SimpleNamespace(recipe=recipe, out=out, images=tmp_path / "tiny", weights=weights)


def test_export(training, finished, tmp_path, monkeypatch):
    exporting = script("export_keras", train_keras=training)
    monkeypatch.setattr(exporting, "recipes", lambda: {"Small": finished.recipe})
    monkeypatch.setattr(exporting, "HERE", tmp_path / "models")
    monkeypatch.setattr(exporting, "SIZES", (32,))
    (tmp_path / "models").mkdir()

    exporting.export("Small", finished.images, finished.out)

    folder = tmp_path / "models" / "Small"
    facts = json.loads((folder / "net.json").read_text(encoding="utf-8"))
    net = Backbone("MobileNet", "tiny", 32, "caffe", "tiny_imagenet", options={"alpha": 0.25})
    for key in ("application", "size", "mode", "labels", "interpolation", "options"):
        assert facts[key] == getattr(net, key)
    assert facts["n"] == 30 and facts["epochs"] == 2

    monkeypatch.setattr(store, "resolve", lambda name: folder / "weights.safetensors")
    labeler = KerasLabeler(net)
    assert facts["parameters"] == labeler.model.count_params()
    for weight, values in zip(labeler.model.get_weights(), finished.weights, strict=True):
        np.testing.assert_array_equal(weight, values.astype(np.float16))

    def hits(turn, k):
        files = [finished.images / "val" / "images" / f"val_{number}.JPEG" for number in range(30)]
        pictures = [np.ascontiguousarray(picture[::turn]) for picture in read_many(files)]
        ranks = evaluate.rank_of_truth(labeler.predict(pictures).probs, np.arange(30))[0]
        return evaluate.hits(ranks, k)

    expected = {"hits1": hits(1, 1), "hits5": hits(1, 5), "hits1_upside_down": hits(-1, 1)}
    assert {key: facts[key] for key in expected} == {k: v.sum() for k, v in expected.items()}
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert all(exporting.share(each) in card for each in expected.values())
    assert "1.0 hours" in card and f"{facts['parameters']:,}" in card
    assert "Keras' own weights for MobileNet want mode `tf`; these want `caffe`" in card
    rows = (folder / "log.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "epoch,size,loss,train,held_out,seconds" and len(rows) == 3
