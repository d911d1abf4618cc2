"""Tests of meznet_helpers.labelers: the contract, and Keras behind it."""

import ast
import csv
import dataclasses
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meznet_helpers.assets import profile, store
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import as_images, find, read_many
from meznet_helpers.labelers import Labeler, backbone, registry
from meznet_helpers.labelers import keras as keras_labelers
from meznet_helpers.labelers.keras import KerasLabeler, load_weights
from meznet_helpers.labels import from_names, imagenet, tiny_imagenet
from meznet_helpers.names import labeler

pytestmark = pytest.mark.contract

TINY = sorted(name for name in registry() if name[:6] == "keras/" and name.endswith("@tiny"))
FIRST = pytest.param(
    next(iter(TINY), None), marks=pytest.mark.skipif(not TINY, reason="there is no tiny net yet")
)


@pytest.fixture(scope="module")
def photographs():
    """Thirty-five pieces of photographs, of different sizes and shapes."""
    rng = np.random.default_rng(0)
    whole = as_images(list(profile.package_photographs().values()))
    pieces = []
    for number in range(35):
        picture = whole[number % len(whole)]
        height, width = rng.integers(60, 200, 2)
        top, left = (int(rng.integers(0, side - 200)) for side in picture.shape[:2])
        pieces.append(np.ascontiguousarray(picture[top : top + height, left : left + width]))
    return pieces


@pytest.fixture(scope="module")
def nets():
    """Labelers by name, each built once."""
    made = {}

    def get(name):
        return made.setdefault(name, labeler(name))

    return get


# ---- any labeler


class Means(Labeler):
    """Labels an image by its mean colors, and notes its batches."""

    name, labels = "means", from_names(["red", "green", "blue"])

    def __init__(self):
        self.batches = []

    def _probabilities(self, images):
        self.batches.append(len(images))
        sums = np.array([image.sum((0, 1), dtype=np.float32) + 1 for image in images])
        return sums / sums.sum(1, keepdims=True)


@pytest.mark.parametrize(("size", "batches"), [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (32, [7])])
def test_batches(size, batches, photographs):
    net = Means()
    found = net.predict(photographs[:7], batch_size=size)
    assert net.batches == batches
    expected = Means().probabilities(photographs[:7])
    np.testing.assert_array_equal(found.probs, expected[None])
    assert found.probs.dtype == np.float32
    assert found.models == ("means",) and found.labels == Means.labels
    assert found.images == tuple(f"image {number}" for number in range(1, 8))


@pytest.mark.parametrize("size", [0, -3])
def test_batch_size_must_be_positive(size):
    with pytest.raises(MeznetError, match=f"batch_size is {size}; it must be 1 or more"):
        Means().predict([np.zeros((8, 8, 3), np.uint8)], batch_size=size)


def test_no_images():
    assert Means().predict([]).probs.shape == (1, 0, 3)


def test_a_single_image_and_its_name():
    path = profile.package_photographs()["cat"]
    assert Means().predict(path).images == (path.name,)


def test_what_cannot_be_read(tmp_path):
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nothing")
    with pytest.raises(MeznetError, match=r"bad\.png"):
        Means().predict(bad)
    with pytest.warns(UserWarning, match=r"bad\.png: is not an image") as warned:
        found = Means().predict([bad, np.zeros((8, 8, 3), np.uint8)])
    assert found.images == ("image 2",) and warned[0].filename == __file__
    Means().predict(read_many([bad, np.zeros((8, 8, 3), np.uint8)]))  # its errors are known


# ---- labeler()


def test_labeler_gives_the_backbone_of_that_name():
    net = labeler("keras/ResNet50@imagenet")
    assert isinstance(net, KerasLabeler)
    assert net.backbone == backbone("keras/ResNet50@imagenet")
    assert net.name == "keras/ResNet50@imagenet" and net.labels == imagenet()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mode": "cafe"}, 'mode is "cafe"; choose from tf, torch, caffe, lite, raw.'),
        (
            {"interpolation": "cubic"},
            'interpolation is "cubic"; choose from nearest, bilinear, bicubic.',
        ),
    ],
)
def test_unknown_changes(changes, said):
    with pytest.raises(MeznetError) as error:
        labeler("keras/ResNet50@imagenet", **changes)
    assert str(error.value) == said


def test_unknown_name():
    with pytest.raises(
        MeznetError, match=r'"keras/ResNet5@imagenet"; did you mean "keras/ResNet50'
    ):
        labeler("keras/ResNet5@imagenet")


@pytest.mark.parametrize("name", [FIRST])
def test_mode_and_interpolation_change_the_pixels_only(name, nets, photographs):
    own = nets(name)
    other = "tf" if own.backbone.mode != "tf" else "caffe"
    changed = labeler(name, mode=other, interpolation="nearest")
    expected = dataclasses.replace(own.backbone, mode=other, interpolation="nearest")
    assert changed.backbone == expected and changed.name == own.name
    changed.model = own.model  # the same network, fed other pixels
    given = own.model.predict(expected.prepare(photographs[:4]), verbose=0)
    found = changed.predict(photographs[:4]).probs[0]
    np.testing.assert_allclose(found, given, atol=1e-5)
    assert np.abs(found - own.predict(photographs[:4]).probs[0]).max() > 0.01


# ---- the tiny nets


@pytest.mark.parametrize("name", TINY)
def test_probabilities_are_keras_own(name, nets, photographs):
    net = nets(name)
    found = net.predict(photographs[:5])
    expected = net.model.predict(net.backbone.prepare(photographs[:5]), verbose=0)
    np.testing.assert_allclose(found.probs[0], expected, atol=1e-5)
    np.testing.assert_allclose(found.probs.sum(2), 1, atol=1e-5)
    assert found.probs.dtype == np.float32 and found.probs.shape == (1, 5, 200)
    assert found.models == (name,) and found.labels == tiny_imagenet()
    assert found.probs.max() > 0.05  # trained: not the same for every label


@pytest.mark.parametrize("name", TINY)
def test_weights_are_those_of_the_file(name, nets):
    from safetensors.numpy import load_file

    stored = load_file(store.resolve(name))
    weights = {weight.path: weight.numpy() for weight in nets(name).model.weights}
    assert weights.keys() == stored.keys()
    for path, values in stored.items():
        np.testing.assert_array_equal(weights[path], values.astype(np.float32))


@pytest.mark.parametrize("name", [FIRST])
def test_batch_size_does_not_change_the_result(name, nets, photographs):
    at_once = nets(name).predict(photographs, batch_size=35).probs
    for size in (1, 3, 32):
        found = nets(name).predict(photographs, batch_size=size).probs
        np.testing.assert_allclose(found, at_once, atol=1e-6)


@pytest.mark.parametrize("name", [FIRST])
def test_order_is_kept(name, nets, photographs):
    forth = nets(name).predict(photographs[:9], batch_size=4).probs[0]
    back = nets(name).predict(photographs[:9][::-1], batch_size=4).probs[0]
    np.testing.assert_allclose(back[::-1], forth, atol=1e-6)
    assert np.abs(forth - forth[::-1]).max() > 0.01


@pytest.mark.parametrize("name", [FIRST])
def test_release(name, photographs):
    net = labeler(name)
    before = net.predict(photographs[:2]).probs
    first = net.model
    net.release()
    net.release()
    assert not {"model", "_run"} & net.__dict__.keys()
    np.testing.assert_array_equal(net.predict(photographs[:2]).probs, before)
    assert net.model is not first


@pytest.mark.parametrize("name", [FIRST])
def test_torch_backend_agrees(name, nets, photographs, tmp_path, fresh_python):
    np.savez(tmp_path / "images.npz", *photographs[:6])
    code = f"""
import numpy as np
from meznet_helpers.names import labeler
images = np.load({str(tmp_path / "images.npz")!r})
found = labeler({name!r}).predict([images[key] for key in images.files], batch_size=4)
import keras, sys
assert keras.backend.backend() == "torch" and "tensorflow" not in sys.modules
np.save({str(tmp_path / "probs.npy")!r}, found.probs)
"""
    fresh_python(code, KERAS_BACKEND="torch")
    expected = nets(name).predict(photographs[:6]).probs
    np.testing.assert_allclose(np.load(tmp_path / "probs.npy"), expected, atol=1e-4)


# ---- weights that do not fit


@pytest.fixture(scope="module")
def small_model():
    import keras

    keras.utils.set_random_seed(0)
    return keras.applications.MobileNet(
        weights=None, alpha=0.25, input_shape=(32, 32, 3), classes=3
    )


@pytest.fixture
def stored(small_model):
    """Its weights, as an asset has them: by path, in 16 bits."""
    return {weight.path: weight.numpy().astype(np.float16) for weight in small_model.weights}


def test_load_weights(small_model, stored, tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "weights.safetensors"
    save_file({name: values + np.float16(1) for name, values in stored.items()}, path)
    load_weights(small_model, path)
    for weight in small_model.weights:
        expected = (stored[weight.path] + np.float16(1)).astype(np.float32)
        np.testing.assert_array_equal(weight.numpy(), expected)


@pytest.mark.parametrize("change", ["shape", "missing", "more"])
def test_weights_that_do_not_fit_are_named(change, small_model, stored, tmp_path):
    from safetensors.numpy import save_file

    name = next(name for name in stored if name.endswith("kernel"))
    if change == "shape":
        stored[name] = stored[name][..., :-1].copy()
    elif change == "missing":
        del stored[name]
    else:
        name = "head/extra"
        stored[name] = np.zeros(3, np.float16)
    path = tmp_path / "weights.safetensors"
    save_file(stored, path)
    before = small_model.get_weights()
    with pytest.raises(MeznetError) as error:
        load_weights(small_model, path)
    for said in (str(path), small_model.name, f'"{name}"'):
        assert said in str(error.value)
    for old, new in zip(before, small_model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("content", [b"", b"not a safetensors file", None])
def test_weights_that_cannot_be_read(content, small_model, tmp_path):
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MeznetError, match=r"weights\.safetensors is no readable safetensors"):
        load_weights(small_model, path)


# ---- weights that Keras publishes


PUBLISHED_CODE = """
import hashlib, json, sys
from pathlib import Path
import h5py, keras
import numpy as np
from keras.src.legacy.saving import legacy_h5_format
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import Backbone
from meznet_helpers.labelers import keras as labelers
served, home, url = Path(SERVED), Path(FOLDER), URL
net = Backbone("MobileNet", "imagenet", 224, "tf", "imagenet")
name = "mobilenet_1_0_224_tf.h5"
images = list(np.random.default_rng(0).integers(0, 256, (3, 50, 60, 3), np.uint8))

def listed(address, known):
    labelers.PUBLISHED = served / "list.json"
    labelers.PUBLISHED.write_text(json.dumps({"MobileNet": [[name, address, known]] * 2}))

def refused():
    try:
        labelers.build(net)
    except MeznetError as error:
        return str(error)

keras.utils.set_random_seed(1)
model = keras.applications.MobileNet(weights=None)
with h5py.File(served / name, "w") as file:
    legacy_h5_format.save_weights_to_hdf5_group(file, model)
right = "sha256:" + hashlib.sha256((served / name).read_bytes()).hexdigest()
target = home / "models" / name
listed(url + "none.h5", right)
assert "none.h5 cannot be downloaded" in refused() and "404" in refused(), refused()
listed(url + name, "md5:" + 32 * "0")
assert "md5:" in refused() and not target.exists(), refused()
listed(url + name, right)
def predicted():
    labeler = labelers.KerasLabeler(net)
    _ = labeler.model  # by Keras itself; a process that exports would ask the real server
    return labeler.predict(images).probs[0]

found = predicted()
assert [path.name for path in (home / "models").iterdir()] == [name]
expected = model.predict(net.prepare(images), verbose=0)
np.testing.assert_allclose(found, expected, atol=1e-5)
import os
os.environ["MEZNET_OFFLINE"] = "1"  # once there, the network is not asked again
np.testing.assert_array_equal(predicted(), found)
os.environ["KERAS_HOME"] = str(served / "other")  # Keras stays where it was
(served / "other" / "models").mkdir(parents=True)
target.rename(served / "other" / "models" / name)
np.testing.assert_array_equal(predicted(), found)
os.environ["KERAS_HOME"] = str(home)
target.write_bytes(b"damaged")
assert str(target) in refused() and "MEZNET_OFFLINE" in refused()
target.unlink()
said = refused()
assert str(target) in said and "MEZNET_OFFLINE" in said and said.endswith(".") and "\\n" not in said
"""


def test_weights_are_downloaded_through_the_store(tmp_path, serving_folder, fresh_python):
    """Keras finds what we put in its folder, and never asks the network itself."""
    served, home = tmp_path / "served", tmp_path / "keras"
    served.mkdir()
    with serving_folder(served) as server:
        code = PUBLISHED_CODE.replace("SERVED", repr(str(served))).replace("URL", repr(server.url))
        fresh_python(code.replace("FOLDER", repr(str(home))), KERAS_HOME=str(home))


def test_our_list_of_published_weights_is_keras_own():
    """A Keras that asks for other files would download them itself: then the list is made anew."""
    from keras.src import applications

    texts = {
        node.value
        for path in Path(applications.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    servers = tuple(text for text in texts if text.startswith("https://storage"))
    listed = json.loads(keras_labelers.PUBLISHED.read_text(encoding="utf-8"))
    nets = [net for net in registry().values() if net.tag == "imagenet" and not net.asset]
    published = {net.application for net in nets}
    assert published == {name for name in listed if " " not in name}
    assert {"mobilenet_%s_%d_tf.h5", "mobilenet_%s_%d_tf_no_top.h5"} <= texts
    for name, versions in listed.items():
        for file, url, known in versions:
            assert url.startswith(servers), f"Keras does not know the address {url} any more"
            if known is None:
                assert name.startswith("MobileNet") and url.endswith(file)
            else:
                digest = known.partition(":")[2]
                assert digest in texts, f"Keras has other weights for {name}: not {known}"


# ---- two hundred files, ten of them bad


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of 200 files, and the names of the ten that are no images."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(5)
    bad = {f"{number:03}.jpg" for number in range(7, 200, 20)}
    for number in range(200):
        path = folder / f"{number:03}.jpg"
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), np.uint8)).save(file, "JPEG")
        content = file.getvalue()
        if path.name in bad:
            kinds = [b"", b"<html>no image</html>", content[: len(content) // 2], content[:20]]
            content = kinds[number // 20 % len(kinds)]
        path.write_bytes(content)
    return folder, bad


@pytest.mark.parametrize("name", [FIRST])
def test_bad_files_do_not_lose_the_rest(name, folder, nets):
    path, bad = folder
    images = read_many(find(path))
    assert len(images) == 190 and len(images.errors) == 10
    for file, error in zip(sorted(bad), images.errors, strict=True):
        assert file in str(error) and "\n" not in str(error)
    found = nets(name).predict(images)
    assert found.probs.shape == (1, 190, 200)
    assert found.images == tuple(
        sorted(file.name for file in path.iterdir() if file.name not in bad)
    )


@pytest.mark.parametrize("name", [FIRST])
def test_bad_files_on_the_command_line(name, folder, nets, root):
    path, bad = folder
    arguments = ["label", str(path), "--model", name, "--top", "3"]
    done = subprocess.run(
        [sys.executable, "-m", "meznet_helpers.cli", *arguments],
        capture_output=True,
        cwd=root,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert len(lines) == 10, done.stderr
    for file, line in zip(sorted(bad), lines, strict=True):
        assert line.startswith("meznet: ") and file in line
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(rows) == 190 * 3
    table = nets(name).predict(read_many(find(path)), calibrated=True).top(3)
    for row, expected in zip(rows, table.itertuples(), strict=True):
        assert row["image"] == expected.image and int(row["rank"]) == expected.rank
        assert float(row["score"]) == pytest.approx(expected.score, abs=1.1e-4)
    assert json.dumps(list(rows[0])) == '["image", "rank", "label_id", "label", "score"]'
