"""Tests of meznet_helpers.labelers.timm: timm's own numbers, beside Keras, one line per error.

Torch never comes into this process: TensorFlow lives here, so that each net runs in a worker.
"""

import functools
import json

import numpy as np
import psutil
import pytest

from meznet_helpers import labelers
from meznet_helpers.assets import profile
from meznet_helpers.ensembles import EnsembleLabeler, combine
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import backbones, nets, registry
from meznet_helpers.labelers.timm import TimmLabeler, TrainedLabeler
from meznet_helpers.labels import imagenet, tiny_imagenet
from meznet_helpers.names import labeler

pytestmark = pytest.mark.contract

NET = "test_efficientnet"  # 150,000 weights
KERAS = "keras/MobileNet@tiny"

MADE = """
import sys
import numpy as np, timm, torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.transforms import functional as f
folder, net = sys.argv[1:]
torch.manual_seed(0)
model = timm.create_model(net, num_classes=200, pad_type="same").eval()
images = np.load(f"{folder}/images.npz")
batch = []
for key in images.files:
    image = Image.fromarray(images[key])
    side = int(160 / 0.95)  # resize the shorter side, crop the middle
    image = f.center_crop(f.resize(image, side, f.InterpolationMode.BICUBIC), 160)
    batch.append(f.normalize(f.to_tensor(image), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
batch = torch.stack(batch)
with torch.no_grad():  # without the statistics and scale of a trained net, all images look alike
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    model.train()(batch)
    model.classifier.weight.mul_(2 / model.eval()(batch).std())
    np.save(f"{folder}/probs.npy", model(batch).softmax(1).numpy())
save_file(model.state_dict(), f"{folder}/weights.safetensors")
"""


@pytest.fixture(scope="module", autouse=True)
def _tensorflow_lives_here():
    import keras  # noqa: F401


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    shapes = [(200, 180), (64, 64), (170, 300), (50, 90), (160, 160)]
    return [
        np.kron(rng.integers(0, 256, (-(-h // 8), -(-w // 8), 3), np.uint8), np.ones((8, 8, 1)))[
            :h, :w
        ].astype(np.uint8)
        for h, w in shapes
    ]


@pytest.fixture(scope="module")
def made(images, tmp_path_factory, fresh_python):
    """A net with random weights in a file, and what timm and torchvision make of the images."""
    folder = tmp_path_factory.mktemp("timm")
    np.savez(folder / "images.npz", *images)
    fresh_python(f"import sys; sys.argv[1:] = {[str(folder), NET]!r}\n{MADE}")
    return folder / "weights.safetensors", np.load(folder / "probs.npy")


@pytest.fixture
def net(made):
    options = {"pretrained_cfg_overlay": {"file": made[0], "num_classes": 200}}
    net = TimmLabeler(NET, labels=tiny_imagenet(), name="timm/own", pad_type="same", **options)
    yield net
    net.release()


def test_numbers_are_timms_own(net, made, images):
    found = net.predict(images, batch_size=2)
    np.testing.assert_allclose(found.probs[0], made[1], atol=1e-5)
    assert found.models == ("timm/own",) and found.labels == tiny_imagenet()
    assert found.probs.dtype == np.float32
    assert np.abs(np.diff(made[1], axis=0)).max() > 0.01  # the images are told apart
    pid = net._worker._process.pid
    assert pid != psutil.Process().pid
    net.release()
    assert not psutil.pid_exists(pid)


def test_an_ensemble_of_two_frameworks(net, images):
    pair = EnsembleLabeler([labeler(KERAS), net])
    assert pair.name == f"ensemble/soft({KERAS}, timm/own)"
    found = pair.predict(images)
    assert net._worker is None  # freed
    apart = labeler(KERAS).predict(images).join(net.predict(images))
    expected = combine(apart, "soft")
    np.testing.assert_allclose(found.probs, expected.probs, atol=1e-6)
    one, other = apart.probs
    np.testing.assert_allclose(found.probs[0], (one + other) / 2, atol=1e-6)


def test_torch_is_refused_here(net, images):
    """Its model can't be had; what it does can, for a worker does it."""
    with pytest.raises(MeznetError, match=r"needs torch, but TensorFlow lives here; predict\(\)"):
        _ = net.model
    np.testing.assert_array_equal(net.probabilities(images), net.predict(images).probs[0])
    assert net.features(images).shape == (5, 256)
    assert net.seen(images).shape == (5, 160, 160, 3) and net.parameters() > 100_000
    assert len(net.digest()) == 64 and net._worker.alive


ALONE = """
import json, sys
import numpy as np
from meznet_helpers.errors import MeznetError
from meznet_helpers.names import labeler
from meznet_helpers.labelers.timm import TimmLabeler
from meznet_helpers.labels import tiny_imagenet
image = np.zeros((8, 8, 3), np.uint8)
said = {}
def ask(key, net):
    try:
        net.predict([image])
    except MeznetError as error:
        said[key] = str(error)
for name in NAMES:
    ask(name, labeler(f"timm/{name}@imagenet"))
file, labels = FILE, tiny_imagenet()
for key, options in {
    "other shape": {"bn_eps": 0.1, "pretrained_cfg_overlay": {"file": file}},
    "no file": {"pretrained_cfg_overlay": {"file": file + ".pth", "num_classes": 200}},
    "no option": {"colour": 3, "pretrained_cfg_overlay": {"file": file, "num_classes": 200}},
    "bad file": {"pretrained_cfg_overlay": {"file": json.__file__, "num_classes": 200}},
}.items():
    ask(key, TimmLabeler("test_efficientnet", labels=labels, **options))
net = TimmLabeler("test_efficientnet", labels=labels, pad_type="same",
                  pretrained_cfg_overlay={"file": file, "num_classes": 200})
images = list(np.load(file.replace("weights.safetensors", "images.npz")).values())
found = net.predict(images, batch_size=3).probs[0]
assert net._worker is None and "timm" in sys.modules and "tensorflow" not in sys.modules
assert found.shape == (5, 200)
first = net.model
net.release()
assert not {"model", "transform"} & net.__dict__.keys() and net.model is not first
np.save(file.replace("weights.safetensors", "alone.npy"), found)
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def alone(made, fresh_python, tmp_path_factory):
    """What a process without TensorFlow says, offline and with an empty cache."""
    names = [
        "resnet_18",
        "resnet18.a9_in1k",
        "resnet18.",
        "vit_base_patch16_224.augreg_in21k",
        "vit_small_patch14_dinov2",
        "botnet50ts_256",
        "test_vit",
        "legacy_seresnet18",
    ]
    home = str(tmp_path_factory.mktemp("home"))
    code = ALONE.replace("NAMES", repr(names)).replace("FILE", repr(str(made[0])))
    out = fresh_python(code, MEZNET_OFFLINE="1", HF_HOME=home, TORCH_HOME=home)
    return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("resnet_18", 'timm has no net "resnet_18"; did you mean "resnet18'),
        ("resnet18.a9_in1k", 'timm has no net "resnet18.a9_in1k"; did you mean "resnet18.a'),
        ("resnet18.", 'timm has no net "resnet18."; did you mean "resnet18'),
        ("vit_base_patch16_224.augreg_in21k", "has 21843 outputs and not one for each of the 1000"),
        ("vit_small_patch14_dinov2", "has 0 outputs and not one for each of the 1000 labels"),
        ("botnet50ts_256", "timm has no weights for botnet50ts_256; see timm.list_models"),
        ("test_vit", "The weights of test_vit are not on this machine and MEZNET_OFFLINE is on"),
        ("legacy_seresnet18", "The weights of legacy_seresnet18 are not on this machine"),
        ("other shape", "has 1000 outputs and not one for each of the 200 labels"),
        ("no file", "timm's test_efficientnet can't be built with its weights: "),
        ("no option", "unexpected keyword argument 'colour'"),
        ("bad file", "timm's test_efficientnet can't be built with its weights: "),
    ],
)
def test_what_is_refused(key, said, alone):
    text = alone[key]
    assert said in text and text.endswith((".", "?")) and "\n" not in text and len(text) < 400


def test_without_tensorflow_it_runs_in_the_process(alone, made):
    found = np.load(made[0].with_name("alone.npy"))
    np.testing.assert_allclose(found, made[1], atol=1e-5)


def test_errors_come_from_the_worker_too(images):
    net = labeler("timm/resnet_18@imagenet")
    with pytest.raises(MeznetError, match=r'^timm has no net "resnet_18"; did you mean "resnet18'):
        net.predict(images[:1])
    net.release()


HUB = """
import os, shutil
from pathlib import Path
from unittest import mock
import numpy as np, timm
from meznet_helpers.labelers.timm import TimmLabeler
from meznet_helpers.labels import tiny_imagenet
made, home = Path(MADE), Path(HOME)
folder = home / "hub" / ("models--" + timm.get_pretrained_cfg(NET).hf_hub_id.replace("/", "--"))
snapshot = folder / "snapshots" / (40 * "1")
for path in (snapshot, folder / "refs"):
    path.mkdir(parents=True)
(folder / "refs" / "main").write_text(40 * "1")
shutil.copy(made, snapshot / "model.safetensors")
net = TimmLabeler(NET, labels=tiny_imagenet(), pad_type="same",
                  pretrained_cfg_overlay={"num_classes": 200})
images = list(np.load(made.with_name("images.npz")).values())
expected = np.load(made.with_name("probs.npy"))
np.testing.assert_allclose(net.predict(images).probs[0], expected, atol=1e-5)
os.environ["MEZNET_OFFLINE"] = "0"
with mock.patch("httpx.Client.send", side_effect=AssertionError("the network was asked")):
    assert net.here() and not TimmLabeler("resnet18").here()
    assert not TimmLabeler("tf_mixnet_s").here()
"""


def test_what_the_hub_has_kept_is_found_without_the_network(made, fresh_python, tmp_path):
    code = HUB.replace("MADE", repr(str(made[0]))).replace("HOME", repr(str(tmp_path)))
    fresh_python(code.replace("NET", repr(NET)), HF_HOME=str(tmp_path), MEZNET_OFFLINE="1")


# ---- the nets of this project

OWN = """
import dataclasses, sys
import numpy as np, timm, torch
from pathlib import Path
from unittest import mock
from PIL import Image
from safetensors.numpy import save_file
from meznet_helpers.assets import store
from meznet_helpers.labelers import Backbone
from meznet_helpers.errors import MeznetError
from meznet_helpers.features import embed
from meznet_helpers.labelers.packing import pack, unpack
from meznet_helpers.labelers.timm import TrainedLabeler
file = Path(FOLDER) / "own.safetensors"
mock.patch.object(store, "resolve", lambda name: file).start()
images = list(np.load(Path(FOLDER) / "images.npz").values())

def refused(net):
    try:
        _ = net.model
        net.predict(images)
    except MeznetError as error:
        return str(error)

for application, options, size in (
    ("regnetx_002", {}, 96),
    ("tiny_vit_5m_224", {"window_sizes": [8, 8, 4, 2]}, 64),
):
    torch.manual_seed(0)
    model = timm.create_model(application, num_classes=200, **options).eval()
    weights = {name: each.numpy() for name, each in model.state_dict().items()
               if each.is_floating_point()}
    net = Backbone(application, "own", size, "torch", "tiny_imagenet", options=options,
                   framework="timm", detail=64)
    small = [Image.fromarray(one).resize((64, 64), Image.BILINEAR) for one in images]
    config = timm.data.resolve_model_data_config(model) | dict(
        input_size=(3, size, size), crop_pct=1.0, crop_mode="squash", interpolation="bilinear"
    )
    transform = timm.data.create_transform(**config, is_training=False)
    batch = torch.stack([transform(one) for one in small])
    for bits in (16, 8):
        packed = pack(weights, bits)
        save_file(packed, file)
        model.load_state_dict({n: torch.from_numpy(w) for n, w in unpack(packed).items()},
                              strict=False)
        with torch.no_grad():
            expected = model.train().eval()(batch).softmax(1).numpy()
            seen = model.forward_head(model.forward_features(batch), pre_logits=True).numpy()
        one = TrainedLabeler(net)
        _ = one.model  # timm's own net works, not one that was exported
        found = one.predict(images, batch_size=2)
        assert found.models == (f"timm/{application}@own",) and len(found.labels) == 200
        np.testing.assert_allclose(found.probs[0], expected, atol=1e-5)
        with torch.no_grad():
            prepared = torch.from_numpy(net.prepare(images)).permute(0, 3, 1, 2)
            np.testing.assert_allclose(one.model(prepared).softmax(1), expected, atol=1e-5)
        for cache in (True, True, False):
            for count in (1, 5):
                given = embed(images, one, batch_size=count, cache=cache)
                np.testing.assert_allclose(given, seen, atol=1e-5)
        assert np.abs(np.diff(seen, axis=0)).max() > 0.01
        again = TrainedLabeler.from_recipe(one.recipe())
        assert again.backbone == net and again.weights_file() == file

said = refused(TrainedLabeler(dataclasses.replace(net, options={})))
assert said.startswith(f"{file} does not fit TinyVit: weight ") and said.endswith("differs."), said
one = TrainedLabeler(dataclasses.replace(net, size=8))
one.model = timm.create_model("vit_tiny_patch16_224", num_classes=200)
said = refused(one)
assert said.startswith("timm/tiny_vit_5m_224@own can't work on pictures of 8 x 8 pixels ("), said
file.write_bytes(b"")
said = refused(TrainedLabeler(net))
assert said.startswith(f"{file} is no readable safetensors file: "), said
"""


def test_nets_of_this_project_are_timms_with_the_stored_weights(made, fresh_python, tmp_path):
    """By timm's own transform, in both precisions, and what the classifier sees."""
    code = OWN.replace("FOLDER", repr(str(made[0].parent)))
    fresh_python(code, MEZNET_CACHE=str(tmp_path))


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """A registry that knows a net of Keras and two of timm."""
    keras = {"application": "A", "size": 64, "mode": "tf", "labels": "tiny_imagenet"}
    timm = {"application": "b_1", "size": 96, "mode": "torch", "labels": "tiny_imagenet"}
    timm |= {"framework": "timm", "options": {"c": [8, 4]}, "detail": 64, "epochs": 3}
    for name, net in {"A": keras, "b": timm, "b-photos": timm | {"tag": "photos"}}.items():
        (tmp_path / "models" / name).mkdir(parents=True)
        path = tmp_path / "models" / name / "net.json"
        path.write_text(json.dumps(net), encoding="utf-8")
    known = functools.cache(registry.__wrapped__)
    with monkeypatch.context() as patch:
        patch.setattr(profile, "data", lambda: tmp_path)
        known()
    for module in (backbones, nets, labelers):
        monkeypatch.setattr(module, "registry", known)
    return known()


def test_the_registry_knows_framework_and_tag(registered):
    assert [name for name in registered if not name.endswith(("@imagenet", "@int8"))] == [
        *("keras/A@tiny", "timm/b_1@tiny", "timm/b_1@photos")
    ]
    net = labeler("timm/b_1@tiny")
    assert isinstance(net, TrainedLabeler) and net.name == "timm/b_1@tiny"
    assert net.labels == tiny_imagenet() and net.framework == "torch"
    assert (net.backbone.options, net.backbone.detail) == ({"c": [8, 4]}, 64)
    assert labeler("timm/b_1@photos").backbone.tag == "photos"
    spelled = labeler("timm/b_1@tiny", mode="caffe", interpolation="nearest").backbone
    assert (spelled.mode, spelled.interpolation) == ("caffe", "nearest")
    pair = labeler("ensemble/soft(keras/A@tiny, timm/b_1@tiny)")
    assert [type(one).__name__ for one in pair.members] == ["KerasLabeler", "TrainedLabeler"]
    assert isinstance(labeler("timm/b_1@imagenet"), TimmLabeler)
    with pytest.raises(MeznetError, match='No backbone is called "timm/b_1@photo"'):
        labeler("timm/b_1@photo")


@pytest.mark.parametrize("exported", [True, False])
@pytest.mark.parametrize("name", [n for n, net in registry().items() if net.framework == "timm"
                                  and not net.asset])  # fmt: skip
def test_bundled_nets_beside_keras(name, exported, images, monkeypatch):
    """Exported or in a worker, alone and in an ensemble; the right answers are on the cards."""
    net = labeler(name)
    if not exported:
        monkeypatch.setattr(net, "_exported", lambda: False)
    found = net.predict(images, batch_size=2)
    assert (net._worker is None) == exported and found.probs.shape == (1, 5, 200)
    both = EnsembleLabeler([labeler(KERAS), net]).predict(images).probs[0]
    np.testing.assert_allclose(
        both, (found.probs[0] + labeler(KERAS).predict(images).probs[0]) / 2, atol=1e-5
    )


# ---- names, without timm


def test_labeler():
    net = labeler(" timm/resnet18.a1_in1k@imagenet ")
    assert isinstance(net, TimmLabeler) and net.net == "resnet18.a1_in1k"
    assert net.name == "timm/resnet18.a1_in1k@imagenet" and net.labels == imagenet()


def test_without_a_tag_weights_are_published():
    assert labeler("timm/resnet18").name == "timm/resnet18@imagenet"
    with pytest.raises(MeznetError) as error:
        labeler("timm/resnet18@tiny")
    assert str(error.value) == (
        'No backbone is called "timm/resnet18@tiny"; timm\'s nets have names like '
        '"timm/resnet18@imagenet".'
    )


@pytest.mark.parametrize("name", ["timm/", "timm/@imagenet", "timm/resnet18@in21k"])
def test_wrong_names(name):
    with pytest.raises(MeznetError, match=r'names like "timm/resnet18@imagenet"\.'):
        labeler(name)


@pytest.mark.parametrize("change", [{"mode": "caffe"}, {"interpolation": "nearest"}])
def test_changes_of_the_registry_do_not_fit(change):
    with pytest.raises(
        MeznetError, match=f"{next(iter(change))} is for nets of the registry; timm/resnet18"
    ):
        labeler("timm/resnet18@imagenet", **change)


def test_recipe():
    net = TimmLabeler("x", labels=tiny_imagenet(), name="n", pretrained_cfg_overlay={"mean": [0.5]})
    again = TimmLabeler.from_recipe(json.loads(json.dumps(net.recipe())))
    assert vars(again) == vars(net)
