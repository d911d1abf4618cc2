"""Tests of meznet_helpers.labelers.torchvision: its own numbers, beside Keras, one line per error.

Torch never comes into this process: TensorFlow lives here, so that each net runs in a worker.
"""

import json

import numpy as np
import pytest

from meznet_helpers.errors import MeznetError
from meznet_helpers.features import embed
from meznet_helpers.labelers.torchvision import TorchvisionLabeler
from meznet_helpers.labels import imagenet
from meznet_helpers.names import labeler

pytestmark = pytest.mark.contract

# Random weights lie where torch keeps what it downloaded, under the names it gives them.
MADE = """
import sys
import numpy as np, torch
from pathlib import Path
from PIL import Image
from torchvision import models
from torchvision.transforms import functional as f
folder = Path(FOLDER)
kept = folder / "hub" / "checkpoints"
kept.mkdir(parents=True)
images = [Image.fromarray(one) for one in np.load(folder / "images.npz").values()]
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

def prepared(image, large, size):
    image = f.center_crop(f.resize(image, large), size)
    return f.normalize(f.to_tensor(image), MEAN, DEVIATION)

for name, weights, large in (
    ("shufflenet_v2_x0_5", models.ShuffleNet_V2_X0_5_Weights.IMAGENET1K_V1, 256),
    ("mobilenet_v2", models.MobileNet_V2_Weights.IMAGENET1K_V2, 232),
):
    torch.manual_seed(0)
    net = models.get_model(name).eval()
    batch = torch.stack([prepared(image, large, 224) for image in images])
    with torch.no_grad():  # the statistics of a trained net, so that images do not look alike
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = 1.0
        net.train()(batch)
        net.eval()
        layer = net.fc if name[0] == "s" else net.classifier[1]
        layer.weight.mul_(2 / net(batch).std())
        probs = net(batch).softmax(1)
        if name[0] == "s":
            net.fc = torch.nn.Identity()
        else:
            net.classifier = torch.nn.Identity()
        found = net(batch)
    np.savez(folder / f"{name}.npz", probs=probs.numpy(), features=found.numpy())
    state = models.get_model(name).state_dict() | net.state_dict()
    last = "fc" if name[0] == "s" else "classifier.1"
    state |= {f"{last}.weight": layer.weight.data, f"{last}.bias": layer.bias.data}
    torch.save(state, kept / Path(weights.url).name)

class Evil:
    def __reduce__(self):
        return (print, ("code ran",))

torch.save({"x": Evil()}, kept / Path(models.ResNet18_Weights.IMAGENET1K_V1.url).name)
(kept / Path(models.ResNet34_Weights.IMAGENET1K_V1.url).name).write_bytes(b"no weights")
torch.save({"fc.bias": torch.zeros(3)}, kept / Path(models.ResNet50_Weights.IMAGENET1K_V1.url).name)
"""


@pytest.fixture(scope="module", autouse=True)
def _tensorflow_lives_here():
    import keras  # noqa: F401


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    shapes = [(300, 260), (64, 64), (240, 400), (90, 50)]
    return [
        np.kron(rng.integers(0, 256, (h // 10, w // 10, 3)), np.ones((10, 10, 1))).astype(np.uint8)
        for h, w in shapes
    ]


@pytest.fixture(scope="module")
def made(images, tmp_path_factory, fresh_python):
    """Torch's cache with weights in it, and what torchvision makes of the images."""
    folder = tmp_path_factory.mktemp("torch")
    np.savez(folder / "images.npz", *images)
    fresh_python(MADE.replace("FOLDER", repr(str(folder))))
    return folder


@pytest.fixture(autouse=True)
def _no_downloads(made, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(made))
    monkeypatch.setenv("MEZNET_OFFLINE", "1")


@pytest.mark.parametrize("net", ["shufflenet_v2_x0_5", "mobilenet_v2"])
def test_numbers_are_torchvisions_own(net, made, images, tmp_path, monkeypatch):
    """`mobilenet_v2` has two sets of weights; without a name the second is meant."""
    monkeypatch.setenv("MEZNET_CACHE", str(tmp_path))
    one, expected = labeler(f"torchvision/{net}@imagenet"), np.load(made / f"{net}.npz")
    found = one.predict(images, batch_size=3)
    np.testing.assert_allclose(found.probs[0], expected["probs"], atol=1e-5)
    assert found.models == (f"torchvision/{net}@imagenet",) and found.labels == imagenet()
    assert np.abs(np.diff(expected["probs"], axis=0)).max() > 0.001  # the images are told apart
    for _ in range(2):
        seen = embed(images, one, batch_size=3)
        np.testing.assert_allclose(seen, expected["features"], atol=1e-5)
    assert one._worker.alive
    one.release()


def test_weights_that_are_not_here(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    one = labeler("torchvision/mobilenet_v2@imagenet")
    assert not one.here()
    one.release()


def test_weights_by_name(made, images):
    one = labeler("torchvision/mobilenet_v2.IMAGENET1K_V2@imagenet")
    assert one.here()
    expected = np.load(made / "mobilenet_v2.npz")["probs"]
    np.testing.assert_allclose(one.predict(images).probs[0], expected, atol=1e-5)
    one.release()


ALONE = """
import json, sys
import numpy as np
from meznet_helpers.errors import MeznetError
from meznet_helpers.names import labeler
image, said = np.zeros((8, 8, 3), np.uint8), {}
for name in NAMES:
    try:
        labeler(f"torchvision/{name}@imagenet").predict([image])
    except MeznetError as error:
        said[name] = str(error)
assert "tensorflow" not in sys.modules
net = labeler("torchvision/shufflenet_v2_x0_5@imagenet")
found = net.predict(list(np.load(IMAGES).values()))
assert net._worker is None
np.save(IMAGES.replace("images.npz", "alone.npy"), found.probs[0])
print(json.dumps(said))
"""

NAMES = [
    "resnet_18",
    "resnet18.IMAGENET1K_V9",
    "fasterrcnn_resnet50_fpn",
    "mobilenet_v2.IMAGENET1K_V1",
    "resnet18",
    "resnet34",
    "resnet50.IMAGENET1K_V1",
]


@pytest.fixture(scope="module")
def alone(made, fresh_python):
    """What a process without TensorFlow says, offline."""
    code = ALONE.replace("NAMES", repr(NAMES)).replace("IMAGES", repr(str(made / "images.npz")))
    out = fresh_python(code, MEZNET_OFFLINE="1", TORCH_HOME=str(made))
    assert "code ran" not in out
    return json.loads(out.splitlines()[-1])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("resnet_18", 'torchvision has no net "resnet_18"; did you mean "resnet'),
        ("resnet18.IMAGENET1K_V9", 'IMAGENET1K_V9"; did you mean "resnet18.IMAGENET1K_V1"?'),
        ("fasterrcnn_resnet50_fpn", "torchvision has no net"),  # it finds things, and labels none
        ("mobilenet_v2.IMAGENET1K_V1", "are not on this machine and MEZNET_OFFLINE is on; unset"),
        ("resnet18", "torchvision's resnet18 can't be built with its weights: Weights only load"),
        ("resnet34", "torchvision's resnet34 can't be built with its weights: "),
        ("resnet50.IMAGENET1K_V1", "can't be built with its weights: Error(s) in loading"),
    ],
)
def test_what_is_refused(name, said, alone):
    text = alone[name]
    assert said in text and text.endswith((".", "?")) and "\n" not in text and len(text) < 400


def test_without_tensorflow_it_runs_in_the_process(alone, made):
    expected = np.load(made / "shufflenet_v2_x0_5.npz")["probs"]
    np.testing.assert_allclose(np.load(made / "alone.npy"), expected, atol=1e-5)


def test_the_classifier_is_found(fresh_python):
    """In every net; and in some what it is given makes the scores, by the net's own way on."""
    code = """
import torch
from torchvision import models
from meznet_helpers.labelers.torchvision import TorchvisionLabeler, classifier
names = models.list_models(module=models)
assert len(names) > 60
for name in names:  # RegNets compute with tensors while they are built
    where = "cpu" if name == "regnet_x_400mf" else "meta"
    if where == "meta" and name.startswith("regnet"):
        continue
    with torch.device(where):
        layer = classifier(models.get_model(name))
    assert 1000 in (getattr(layer, "out_features", 0), getattr(layer, "out_channels", 0)), name
batch = torch.rand(2, 3, 64, 64)
for name in ("googlenet", "squeezenet1_1", "mobilenet_v3_small"):
    one = TorchvisionLabeler(name)
    one.model = models.get_model(name, **({"init_weights": False} if name[0] == "g" else {})).eval()
    with torch.inference_mode():
        seen, scores = one._pooled(batch), one.model(batch)
        if name == "squeezenet1_1":
            torch.testing.assert_close(seen, one.model.features(batch).mean((2, 3)))
        else:
            torch.testing.assert_close(classifier(one.model)(seen), scores, msg=name)
"""
    fresh_python(code)


# ---- names, without torchvision


def test_labeler():
    net = labeler(" torchvision/resnet18.IMAGENET1K_V1@imagenet ")
    assert isinstance(net, TorchvisionLabeler) and net.net == "resnet18.IMAGENET1K_V1"
    assert net.labels == imagenet()
    assert vars(TorchvisionLabeler.from_recipe(json.loads(json.dumps(net.recipe())))) == vars(net)
    with pytest.raises(MeznetError) as error:
        labeler("torchvision/resnet18@tiny")
    assert str(error.value) == (
        'No backbone is called "torchvision/resnet18@tiny"; torchvision\'s nets have names like '
        '"torchvision/resnet18@imagenet".'
    )
    assert labeler("torchvision/resnet18").name == "torchvision/resnet18@imagenet"
    with pytest.raises(MeznetError, match="mode is for nets of the registry; torchvision/resnet18"):
        labeler("torchvision/resnet18@imagenet", mode="tf")


@pytest.mark.parametrize("name", ["torchvision/", "torchvision/@imagenet", "torchvision/vgg11@x"])
def test_wrong_names(name):
    with pytest.raises(MeznetError, match=r'"torchvision/\w+@imagenet"\.'):
        labeler(name)
