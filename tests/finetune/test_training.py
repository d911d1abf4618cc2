"""Tests of data/models/train_*.py and export_keras.py, on random pictures.

Training runs on torch, so whatever trains does so in another process.
"""

import csv
import importlib.util
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from meznet_helpers import emojizoo, labels, measure
from meznet_helpers.assets import profile, store
from meznet_helpers.finetune.run import KIND
from meznet_helpers.images import read_many
from meznet_helpers.labelers import MODES, Backbone, registry, scale
from meznet_helpers.labelers.keras import KerasLabeler, untrained
from meznet_helpers.measure import rank_of_truth

pytestmark = pytest.mark.nets

SCRIPTS = profile.data() / "models"
FOLDERS = sorted(path.parent for path in SCRIPTS.glob("*/net.json"))
CLASSES, PER_CLASS = 200, 12
ON_TORCH = (
    f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); import training, train_keras as script\n"
)


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
    return script("training")


def recipe(training, **changes):
    facts = {"application": "MobileNet", "mode": "caffe", "options": {"alpha": 0.25}, "size": 32}
    facts |= {"epochs": 3, "rate": 0.5, "batch": 64, "area": 0.75, "decay": 0.02}
    return training.Recipe(**facts | changes)


# ---- crops


@pytest.mark.parametrize("area", [0.6, 0.75])
def test_crops_cover_what_they_say(training, area):
    maps = training.crops(np.random.default_rng(4), 2000, area)
    assert maps.shape == (2000, 2, 3) and maps.dtype == np.float32
    width, height = np.abs(maps[:, 0, 0]), maps[:, 1, 1]
    assert (maps[:, 0, 1] == 0).all() and (maps[:, 1, 0] == 0).all()  # upright
    assert (height > 0).all() and 0.45 < (maps[:, 0, 0] < 0).mean() < 0.55
    for reach, middle in ((width, maps[:, 0, 2]), (height, maps[:, 1, 2])):
        assert (np.abs(middle) + reach).max() <= 1 + 1e-6  # inside the image
        assert (np.abs(middle) + reach).max() > 0.99 and abs(middle.mean()) < 0.02
    covered, aspect = width * height, width / height
    assert 0.79 < aspect.min() < 0.82 and 1.22 < aspect.max() < 1.26
    assert area - 0.01 < covered.min() < area + 0.02 and covered.max() > 0.95


@pytest.mark.parametrize("size", [64, 128])
def test_the_whole_image_is_enlarged_as_a_labeler_does_it(size, tmp_path, torch_python):
    """Straight and mirrored, by the step's `forward.crop` and by `Backbone.resize`."""
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    net = Backbone("MobileNet", "tiny", size, "raw", "tiny_imagenet")
    np.savez(tmp_path / "in.npz", pixels=pixels)
    code = f"""
import numpy as np
from meznet_helpers.finetune import forward
pixels = np.load({str(tmp_path / "in.npz")!r})["pixels"]
maps = np.float32([[[side, 0, 0], [0, 1, 0]] for side in (1, -1)])
found = forward.crop(forward.pixels(np.stack([pixels] * 2), "cpu"), maps, {size})
np.save({str(tmp_path / "out.npy")!r}, found.permute(0, 2, 3, 1).numpy())
"""
    torch_python(ON_TORCH + code)
    straight, mirrored = np.load(tmp_path / "out.npy")
    expected = net.resize(pixels).astype(np.float32)  # rounded to whole numbers
    np.testing.assert_allclose(straight, expected, atol=1.01)
    np.testing.assert_allclose(mirrored, straight[:, ::-1], atol=0.01)


# ---- split, rates, recipes


def test_split(training):
    truth = np.random.default_rng(5).permutation(np.repeat(np.arange(7), 25))
    kept, held_out = training.split(truth)
    assert sorted([*kept, *held_out]) == list(range(len(truth)))
    assert np.bincount(truth[held_out]).tolist() == [10] * 7
    for label in range(7):
        last = kept[truth[kept] == label].max()
        assert (held_out[truth[held_out] == label] > last).all()


def test_rates_warm_up_and_fall_as_a_cosine(training, monkeypatch):
    monkeypatch.setattr(training, "WARM_UP", 4)
    one = recipe(training, epochs=3)
    found = [rate for epoch in range(3) for rate in training.rates(one, 20, epoch)]
    assert len(found) == 60
    np.testing.assert_allclose(found[:4], [0.125, 0.25, 0.375, 0.5])
    np.testing.assert_allclose(found[4], 0.5)
    np.testing.assert_allclose(found[32], 0.25)  # half-way between 4 and 60
    np.testing.assert_allclose(found[-1], 0.25 * (1 + np.cos(np.pi * 55 / 56)))
    assert (np.diff(found[4:]) < 0).all() and found[-1] < 0.001


def test_recipes(training):
    for net in training.recipes().values():
        assert 0 <= net.small < net.epochs
        assert net.framework in {"keras", "timm", "transformers", "transformers-blip"}
        if net.framework == "keras":
            assert net.mode in MODES and f"keras/{net.application}@imagenet" in registry()
        assert net.epochs > 0 and net.size % 32 == 0 and 0 < net.area <= 1


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_trained_nets_have_a_recipe_and_a_log(folder, training):
    facts = json.loads((folder / "net.json").read_text(encoding="utf-8"))
    net = training.recipes()[folder.name]
    assert (facts["application"], facts["mode"]) == (net.application, net.mode)
    assert facts["options"] == net.options
    assert facts.get("framework", "keras") == net.framework
    with (folder / "log.csv").open(encoding="utf-8", newline="") as file:
        log = list(csv.DictReader(file))
    assert len(log) == net.epochs
    assert facts["epochs"] == len(log) or (net.start and facts["epochs"] > len(log))
    assert [int(row["epoch"]) for row in log] == list(range(1, len(log) + 1))


def test_weights_of_a_commit(training):
    with pytest.raises(SystemExit, match=r"X/y can't be read from commit nowhere: fatal: .+"):
        training.committed("nowhere", "X/y")
    head = training.committed("HEAD", "recipes.json").decode("utf-8")
    assert "MobileNet" in json.loads(head)


# ---- the net on torch


def test_kernels_start_by_their_own_fan_in(torch_python):
    code = """
import json
recipe = training.Recipe("MobileNetV3Small", "raw", {}, 32, 1, 0.1, 64, 0.5, 0.0)
model = script.build(recipe, 32)
script.he_start(model, seed=1)
kernels = [v for v in model.trainable_variables if v.name == "kernel" and v.value.numel() > 500]
print(json.dumps([(v.path, list(v.shape), float(v.value.std())) for v in kernels]))
script.he_start(model, seed=1)
again = [float(v.value.std()) for v in kernels]
print(json.dumps(again))
"""
    kernels, again = map(json.loads, torch_python(ON_TORCH + code).splitlines())
    depthwise = [shape for path, shape, _ in kernels if "depthwise" in path]
    assert len(depthwise) >= 8 and again == [deviation for *_, deviation in kernels]
    for path, shape, deviation in kernels:
        fan_in = np.prod(shape[:-1]) if "depthwise" not in path else np.prod(shape[:2])
        assert deviation == pytest.approx(np.sqrt(2 / fan_in), rel=0.15), path


def test_small_pictures_come_first(training):
    one = recipe(training, small=2, size=96)
    assert [one.size_at(epoch) for epoch in range(4)] == [64, 64, 96, 96]
    assert recipe(training).size_at(0) == 32


def test_a_run_grows_with_its_weights_and_its_optimizer(training, tmp_path, torch_python):
    net = vars(recipe(training, small=1, size=96))
    code = f"""
import numpy as np, pathlib
recipe, file = training.Recipe(**{net!r}), pathlib.Path({str(tmp_path / "x")!r})
run = script.KerasRun(recipe, file, seed=0)
assert (run.size, run.model.input_shape) == (64, (None, 3, 64, 64))
rng = np.random.default_rng(0)
pixels = rng.integers(0, 256, (8, 64, 64, 3), np.uint8)
run.step(pixels, training.crops(rng, 8, 0.5), np.arange(8), 0.01)
run.log.append(dict(epoch=1))
run.save()
grown = script.KerasRun(recipe, file, seed=0)
assert grown.log == [dict(epoch=1)]
assert (grown.size, grown.model.input_shape) == (96, (None, 3, 96, 96))
for one, other in zip(run.model.weights, grown.model.weights, strict=True):
    assert one.path == other.path and one.value.equal(other.value), one.path
for path, parameter in run.parameters().items():
    before = run.optimizer.state[parameter]["exp_avg"]
    assert grown.optimizer.state[grown.parameters()[path]]["exp_avg"].equal(before), path
grown.step(pixels, training.crops(rng, 8, 0.5), np.arange(8), 0.01)
assert 0 <= grown.accuracy(pixels, np.arange(8)) <= 1
"""
    torch_python(ON_TORCH + code)


@pytest.mark.parametrize("rescale", [False, True])
def test_a_run_goes_on_from_the_weights_of_a_commit(rescale, training, tmp_path, torch_python):
    net = {**vars(training.recipes()["MobileNet"]), "start": "HEAD", "rescale": rescale}
    code = f"""
import numpy as np, pathlib
recipe, file = training.Recipe(**{net!r}), pathlib.Path({str(tmp_path / "MobileNet.x")!r})
run = script.KerasRun(recipe, file, 0)
assert run.log == []
np.savez({str(tmp_path / "w.npz")!r}, **{{w.path: w.numpy() for w in run.model.weights}})
"""
    torch_python(ON_TORCH + code)
    (tmp_path / "head").write_bytes(training.committed("HEAD", "MobileNet/weights.safetensors"))
    head = load_file(tmp_path / "head")
    with np.load(tmp_path / "w.npz") as found:
        assert set(found.files) == head.keys()
        for path in found.files:
            expected = head[path].astype(np.float32)
            if rescale and path.endswith("kernel") and "_dw_" in path:
                expected *= np.sqrt(2 / 9) / expected.std()
            np.testing.assert_allclose(found[path], expected, rtol=1e-5, err_msg=path)


def test_torchs_batch_norm_is_keras_own(torch_python):
    """Outputs in training and afterwards, and running statistics."""
    code = """
import numpy as np, torch
import keras
from meznet_helpers.finetune import nets
images = torch.rand(64, 3, 32, 32)
for scale, center in ((True, True), (False, True), (True, False)):
    layer = keras.layers.BatchNormalization(
        axis=1, momentum=0.97, epsilon=0.01, scale=scale, center=center
    )
    pixels = keras.Input((3, 32, 32))
    model = keras.Model(pixels, layer(pixels))
    start = layer.get_weights()
    results = []
    for call in (model, lambda images, training: net.train(training)(images)):
        layer.set_weights(start)
        trained = call(images, training=True).detach()
        kept = [layer.moving_mean.value.clone(), layer.moving_variance.value.clone()]
        results.append([trained, *kept, call(images, training=False).detach()])
        net = nets.as_torch(model, "raw", True)
    assert (results[0][1] != 0).all()
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
"""
    torch_python(code)


@pytest.mark.parametrize("mode", sorted(MODES))
def test_preprocessing_is_that_of_the_labeler(mode, tmp_path, torch_python):
    pixels = np.random.default_rng(1).integers(0, 256, (2, 8, 8, 3), np.uint8)
    np.save(tmp_path / "in.npy", pixels)
    code = f"""
import keras, numpy as np
from meznet_helpers.finetune import forward, nets
given = keras.Input((3, 8, 8))
net = nets.as_torch(keras.Model(given, keras.layers.Identity()(given)), {mode!r}, True)
planes = forward.pixels(np.load({str(tmp_path / "in.npy")!r}), "cpu")
before = planes.clone()
np.save({str(tmp_path / "out.npy")!r}, net(planes).permute(0, 2, 3, 1).numpy())
assert planes.equal(before)
"""
    torch_python(code)
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), scale(pixels, mode), atol=1e-4)


# ---- timm's nets

ON_TIMM = (
    f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); import training, train_timm as script\n"
)
PHOTOS = {"framework": "timm", "application": "regnetx_002", "mode": "torch", "options": {}}
PHOTOS |= {"size": 32, "epochs": 2, "rate": 0.01, "batch": 16, "area": 0.5, "decay": 0.05}


def test_timm_nets_see_pixels_as_timm_prepares_them(tmp_path, torch_python):
    code = f"""
import pathlib, numpy as np, timm, torch
from PIL import Image
run = script.TimmRun(training.Recipe(**{PHOTOS!r}), pathlib.Path({str(tmp_path / "x")!r}), 0)
pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
config = timm.data.resolve_model_data_config(run.model["net"]) | dict(
    input_size=(3, 32, 32), crop_pct=1.0
)
transform = timm.data.create_transform(**config, is_training=False)
prepared = torch.stack([transform(Image.fromarray(each)) for each in pixels])
with torch.no_grad():
    found = run.logits(torch.from_numpy(pixels).permute(0, 3, 1, 2).float(), training=False)
    expected = run.model["net"].eval()(prepared)
torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
"""
    torch_python(ON_TIMM + code)


def test_the_second_head_goes_on_from_photographs_and_learns_drawings(tmp_path, torch_python):
    both = PHOTOS | {"start": "photos", "emoji": 2}
    code = f"""
import pathlib, numpy as np, torch
from safetensors.torch import load_file
folder = pathlib.Path({str(tmp_path)!r})
recipe = training.Recipe(**{both!r})
try:
    script.TimmRun(recipe, folder / "both.safetensors", 0)
except SystemExit as error:
    assert str(error).endswith("photos.safetensors is missing: train photos first, "
                               "with the same --out."), error
photos = script.TimmRun(training.Recipe(**{PHOTOS!r}), folder / "photos.safetensors", 0)
x = np.random.default_rng(0).integers(0, 256, (40, 64, 64, 3), np.uint8)
y = np.arange(40) % 2
x[y == 1] //= 4
photos.epoch(x, y, np.arange(40), 0)
photos.log.append(dict(epoch=1))
photos.save()
run = script.TimmRun(recipe, folder / "both.safetensors", 1)
for name, each in photos.model["net"].state_dict().items():
    assert run.model["net"].state_dict()[name].equal(each), name
assert not any(name.startswith("weights/emoji") for name in load_file(photos.file))
import drawings
pictures = drawings.render(2, 0)
classes = drawings.classes()
assert pictures[0].shape == (2 * len(classes), 64, 64, 3) and set(pictures[1]) == set(
    range(len(classes)))
few = np.concatenate([np.flatnonzero(pictures[1] == label) for label in range(20)])
drawings.render = lambda count, seed: (pictures[0][few], pictures[1][few])
before = [each.clone() for each in (run.model["emoji"].weight, run.model["net"].head.fc.weight)]
loss, hits = run.epoch(x, y, np.arange(40), 0)
for one, other in zip(before, (run.model["emoji"].weight, run.model["net"].head.fc.weight)):
    assert (one != other).float().mean() > 0.5
assert 0 < loss < 20 and 0 <= hits <= 1
some, kernel = torch.randn(3, run.model["emoji"].in_features), run.model["emoji"].weight
cosines = torch.nn.functional.cosine_similarity(some[:, None], kernel[None], dim=2)
assert torch.allclose(run.emoji_logits(some), 16 * cosines, atol=1e-4)
run.log.append(dict(epoch=1))
run.save()
again = script.TimmRun(recipe, run.file, 1)
for name, each in run.weights().items():
    assert again.weights()[name].equal(each), name
"""
    torch_python(ON_TIMM + code)


def test_the_second_head_learns_no_animal():
    table = emojizoo.table().set_index("slug")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(SCRIPTS)
        learned = script("drawings").classes()
    assert len(learned) > 600 and set(table.animal[learned]) == {"no"}
    assert not {*learned} & {*emojizoo.animals(each=1, size=8).labels.ids}


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


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Train a small net by command for three epochs, at a stretch and killed in between."""
    base = tmp_path_factory.mktemp("training")
    shutil.copy(SCRIPTS / "training.py", base)
    program = shutil.copy(SCRIPTS / "train_keras.py", base)
    net = {"application": "MobileNet", "mode": "caffe", "options": {"alpha": 0.25}, "size": 32}
    net |= {"epochs": 3, "rate": 0.05, "batch": 64, "area": 0.75, "decay": 0.02}
    (base / "recipes.json").write_text(json.dumps({"Small": net}), encoding="utf-8")
    rng = np.random.default_rng(6)
    truth = np.repeat(np.arange(CLASSES, dtype=np.int64), PER_CLASS)
    pictures = rng.integers(0, 256, (len(truth), 64, 64, 3), np.uint8)
    pictures[..., 0] = truth[:, None, None]  # something to learn
    for out in ("stretch", "killed"):
        (base / out / "cache").mkdir(parents=True)
        np.save(base / out / "cache" / "train_x.npy", pictures)
        np.save(base / out / "cache" / "train_y.npy", truth)

    def command(out, name="Small"):
        return [sys.executable, program, name, "--images", base, "--out", base / out]

    def trained(out):
        return subprocess.run(
            command(out), cwd=base, check=True, capture_output=True, text=True, encoding="utf-8"
        ).stdout.splitlines()

    printed = trained("stretch")
    with subprocess.Popen(
        command("killed"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        process.stdout.readline()  # the first epoch is done and saved
        process.kill()
    broken_off = stored(base / "killed")
    resumed = trained("killed")
    return SimpleNamespace(
        base=base,
        printed=printed,
        resumed=resumed,
        broken_off=broken_off,
        truth=truth,
        pictures=pictures,
        command=command,
    )


def stored(out):
    with safe_open(out / "Small.safetensors", "np") as file:
        log = json.loads(file.metadata()["meznet"])["log"]
    return SimpleNamespace(
        tensors=load_file(out / "Small.safetensors"),
        log=[{**line, "seconds": 0} for line in log],
    )


def test_a_resumed_run_equals_one_at_a_stretch(run):
    stretch, killed = stored(run.base / "stretch"), stored(run.base / "killed")
    assert 1 <= len(run.broken_off.log) < 3
    assert len(stretch.log) == len(killed.log) == 3
    assert stretch.tensors.keys() == killed.tensors.keys() == run.broken_off.tensors.keys()
    for key, values in stretch.tensors.items():
        np.testing.assert_allclose(killed.tensors[key], values, rtol=1e-3, atol=1e-5, err_msg=key)
    changed = [
        key
        for key, values in stretch.tensors.items()
        if not np.allclose(run.broken_off.tensors[key], values)
    ]
    assert len(changed) > 0.9 * len(stretch.tensors)  # the other epochs did train


def test_the_log_has_one_line_for_each_epoch(run):
    stretch, killed = stored(run.base / "stretch").log, stored(run.base / "killed").log
    assert [line["epoch"] for line in killed] == [1, 2, 3]
    for line, other in zip(stretch, killed, strict=True):
        assert other["loss"] == pytest.approx(line["loss"], abs=0.01)
        assert other["held_out"] == pytest.approx(line["held_out"], abs=0.003)
    assert stretch[-1]["loss"] < stretch[0]["loss"]
    assert len(run.printed) == 3 and run.printed[0].startswith("Small epoch 1 loss ")
    assert len(run.resumed) == 3 - len(run.broken_off.log)


def test_the_labeler_reaches_what_the_log_says(training, run):
    """The trained weights on the TensorFlow backend, channels last, through a backbone."""
    net = Backbone("MobileNet", "tiny", 32, "caffe", "tiny_imagenet", options={"alpha": 0.25})
    labeler = KerasLabeler(net)
    labeler.model = untrained(net)
    end = stored(run.base / "stretch")
    for weight in labeler.model.weights:
        weight.assign(end.tensors[f"weights/{weight.path}"])
    _, held_out = training.split(run.truth)
    probs = labeler.predict(list(run.pictures[held_out]), batch_size=250).probs[0]
    found = (probs.argmax(1) == run.truth[held_out]).mean()
    assert found == pytest.approx(end.log[-1]["held_out"], abs=0.005)


def test_a_finished_run_has_nothing_left_to_train(run):
    before = (run.base / "stretch" / "Small.safetensors").read_bytes()
    again = subprocess.run(
        run.command("stretch"), cwd=run.base, check=True, capture_output=True, text=True
    )
    assert again.stdout == ""
    assert (run.base / "stretch" / "Small.safetensors").read_bytes() == before


def test_a_net_without_a_recipe(run):
    asked = subprocess.run(
        run.command("stretch", "Big"), capture_output=True, text=True, encoding="utf-8"
    )
    assert asked.returncode == 2 and "invalid choice: 'Big'" in asked.stderr
    assert "Traceback" not in asked.stderr


# ---- export


@pytest.fixture
def finished(training, tmp_path):
    """A finished run of MobileNet 0.25 as `train` leaves it, and a data set of 30 pictures."""
    rng = np.random.default_rng(2)
    net = Backbone("MobileNet", "tiny", 32, "caffe", "tiny_imagenet", options={"alpha": 0.25})
    weights = {w.path: np.abs(rng.normal(1, 0.1, w.shape)) for w in untrained(net).weights}
    weights = {path: values.astype(np.float32) for path, values in weights.items()}
    for path, values in weights.items():
        if path.endswith("kernel"):
            values -= 1
    out = tmp_path / "out"
    (out / "cache").mkdir(parents=True)
    line = {"epoch": 1, "loss": 5.1, "train": 0.1, "held_out": 0.2, "seconds": 1800}
    header = {"kind": KIND, "log": [line | {"epoch": epoch} for epoch in (1, 2)]}
    tensors = {f"weights/{path}": values for path, values in weights.items()}
    save_file(
        {**tensors, "step/x": np.zeros(1)},
        out / "Small.safetensors",
        {"meznet": json.dumps(header)},
    )
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
    one = recipe(training, epochs=2)
    return SimpleNamespace(recipe=one, out=out, images=tmp_path / "tiny", weights=weights)


@pytest.fixture
def exporting(training, finished, tmp_path, monkeypatch):
    """The module that both scripts share, writing to a folder of its own."""
    module = script("exporting", training=training)
    monkeypatch.setattr(module, "recipes", lambda: {"Small": finished.recipe})
    monkeypatch.setattr(module, "HERE", tmp_path / "models")
    (tmp_path / "models").mkdir()
    return module


def test_export(training, exporting, finished, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "ENLARGED", (0,))
    exporter = script("export_keras", training=training, exporting=exporting)
    exporter.export("Small", finished.images, finished.out)

    folder = tmp_path / "models" / "Small"
    facts = json.loads((folder / "net.json").read_text(encoding="utf-8"))
    net = Backbone("MobileNet", "tiny", 32, "caffe", "tiny_imagenet", options={"alpha": 0.25})
    for key in ("application", "size", "mode", "labels", "interpolation", "options"):
        assert facts[key] == getattr(net, key)
    assert facts["n"] == 30 and facts["epochs"] == 2

    monkeypatch.setattr(store, "resolve", lambda name: folder / "weights.safetensors")
    labeler = KerasLabeler(net)
    assert facts["parameters"] == labeler.model.count_params()
    for weight in labeler.model.weights:
        np.testing.assert_array_equal(weight, finished.weights[weight.path].astype(np.float16))

    def hits(turn, k):
        files = [finished.images / "val" / "images" / f"val_{number}.JPEG" for number in range(30)]
        pictures = [np.ascontiguousarray(picture[::turn]) for picture in read_many(files)]
        ranks = rank_of_truth(labeler.predict(pictures).probs, np.arange(30))[0]
        return measure.hits(ranks, k)

    expected = {"hits1": hits(1, 1), "hits5": hits(1, 5), "hits1_upside_down": hits(-1, 1)}
    assert {key: facts[key] for key in expected} == {k: v.sum() for k, v in expected.items()}
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert all(exporting.share(each) in card for each in expected.values())
    assert "1.0 hours" in card and f"{facts['parameters']:,}" in card
    assert "Keras' own weights for MobileNet want mode `tf`; these want `caffe`" in card
    rows = (folder / "log.csv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "epoch,loss,train,held_out,seconds" and len(rows) == 3


def test_export_of_an_unfinished_run(training, exporting, finished, monkeypatch):
    monkeypatch.setattr(exporting, "recipes", lambda: {"Small": recipe(training, epochs=9)})
    with pytest.raises(SystemExit, match="Small is at epoch 2 of 9: train it to the end"):
        exporting.finished("Small", finished.out, "weights/")


def test_the_input_size_is_the_best_of_those_tried(exporting, finished, tmp_path):
    run = exporting.finished("Small", finished.out, "weights/")
    exporting.export(
        run,
        lambda net, _, images, truth: np.full(len(truth), abs(net.size - 64)),
        finished.images,
        finished.out,
    )
    facts = json.loads((tmp_path / "models/Small/net.json").read_text(encoding="utf-8"))
    assert facts["size"] == 64
    card = (tmp_path / "models/Small/README.md").read_text(encoding="utf-8")
    assert "0.0% at 32, 100.0% at 64, 0.0% at 96" in card
    assert "| input | the whole picture at 64 x 64 pixels |" in card  # not enlarged


@pytest.mark.parametrize(("bits", "worse"), [(8, 2), (16, 2), (8, 1)])
def test_bits_that_cost_too_much(bits, worse, exporting, finished, tmp_path):
    """Of 30 images one is more than 0.3 %; none is not."""
    run = exporting.finished("Small", finished.out, "weights/")

    def ranks(net, weights, images, truth):
        full = all(weights[path] is values for path, values in run.weights.items())
        return np.where(np.arange(len(truth)) < 10, 1 if full else worse, 3)

    if worse == 1:
        exporting.export(run, ranks, finished.images, finished.out, bits)
        assert (tmp_path / "models/Small/weights.safetensors").exists()
        return
    with pytest.raises(SystemExit, match=f"{bits} bits cost Small 10 of 30 images: store more"):
        exporting.export(run, ranks, finished.images, finished.out, bits)
    assert not (tmp_path / "models/Small").exists()


def test_a_call_is_written_as_python(exporting):
    assert exporting.call("f", '"net"', {"a": 1, "b": [2]}) == 'f("net", a=1, b=[2])'
    assert exporting.call("f", "", {}) == "f()"


@pytest.mark.parametrize(("recipe_name", "bits"), [("net", 8), ("net-photos", 16)])
def test_export_of_a_net_of_timm(recipe_name, bits, finished, tmp_path, fresh_python):
    """A run with a second head, and one on photographs; the loader gives what the card says."""
    both = recipe_name == "net"
    net = PHOTOS | ({"start": "net-photos", "emoji": 64, "epochs": 3} if both else {})
    code = f"""
import exporting, export_timm, timm, torch
import json, pathlib
import numpy as np
from safetensors.numpy import load_file
from safetensors.torch import save_file
from meznet_helpers.assets import store
from meznet_helpers.measure import hits, rank_of_truth
from meznet_helpers.images import read_many
from meznet_helpers.labelers.packing import pack, unpack
from meznet_helpers.labelers.timm import TrainedLabeler
from meznet_helpers.labelers import Backbone
name, bits, models = {recipe_name!r}, {bits}, pathlib.Path({str(tmp_path / "models")!r})
out, images = pathlib.Path({str(finished.out)!r}), pathlib.Path({str(finished.images)!r})
recipes = {{name: training.Recipe(**{net!r}), "net-photos": training.Recipe(**{PHOTOS!r})}}
exporting.recipes = export_timm.recipes = lambda: recipes
exporting.HERE, exporting.ENLARGED, exporting.COST = models, (0, 32), 1
torch.manual_seed(0)
model = timm.create_model("regnetx_002", num_classes=200)
tensors = {{f"weights/net.{{key}}": each for key, each in model.state_dict().items()}}
tensors |= {{"weights/emoji.weight": torch.zeros(5, 3), "step/net.head.fc.bias": torch.zeros(1)}}
line = {{"epoch": 1, "loss": 5.1, "train": 0.1, "held_out": 0.2, "seconds": 1800}}
log = [line | {{"epoch": n + 1}} for n in range(recipes[name].epochs)]
save_file(tensors, out / f"{{name}}.safetensors",
          {{"meznet": json.dumps({{"kind": {KIND!r}, "log": log}})}})
models.mkdir()
export_timm.export(name, images, out, bits)

facts = json.loads((models / name / "net.json").read_text(encoding="utf-8"))
path = models / name / "weights.safetensors"
floats = {{key.removeprefix("weights/net."): each.numpy() for key, each in tensors.items()
          if key.startswith("weights/net.") and each.is_floating_point()}}
packed, stored = pack(floats, bits), load_file(path)
assert packed.keys() == stored.keys()
for key, values in packed.items():
    np.testing.assert_array_equal(stored[key], values)
assert facts["parameters"] == sum(each.size for each in floats.values())

store.resolve = lambda name: path
keys = {{"application", "tag", "size", "mode", "labels", "options", "framework", "detail"}}
net = TrainedLabeler(Backbone(**{{key: facts[key] for key in keys}}))
pictures = read_many([images / f"val/images/val_{{n}}.JPEG" for n in range(30)])
truth = np.arange(30)
for turn, k, key in ((1, 1, "hits1"), (1, 5, "hits5"), (-1, 1, "hits1_upside_down")):
    turned = [np.ascontiguousarray(picture[::turn]) for picture in pictures]
    ranks = rank_of_truth(net.predict(turned).probs, truth)[0]
    assert hits(ranks, k).sum() == facts[key], key
print(path.stat().st_size / facts["parameters"])
"""
    out = fresh_python(ON_TIMM + code)
    assert float(out.splitlines()[-1]) < bits / 8 + 0.05  # bytes for each parameter
    folder = tmp_path / "models" / recipe_name
    facts = json.loads((folder / "net.json").read_text(encoding="utf-8"))
    tag = "tiny" if both else "photos"
    assert (facts["framework"], facts["tag"], facts["bits"]) == ("timm", tag, bits)
    assert facts["epochs"] == (5 if both else 2) and facts["detail"] == 64
    card = " ".join((folder / "README.md").read_text(encoding="utf-8").split())
    assert f'# timm/regnetx_002@{tag} `timm.create_model("regnetx_002", num_classes=200)`' in card
    assert f"cost of {bits} bits" in card and ("8-bit integers" in card) == both
    assert ("has never seen a drawing of an animal" in card) == both
    assert ("photographs alone: drawings are foreign" in card) != both
    assert (", after 2 epochs on photographs alone (`net-photos`)" in card) == both
