"""EfficientNet-Lite: Google's weights in two frameworks and in ONNX Runtime, fed rightly."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from meznet_helpers.assets import package_photographs, store
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import read
from meznet_helpers.labelers import backbone, lite, registry, scale, squeeze
from meznet_helpers.labelers.backbones import crop
from meznet_helpers.names import labeler

pytestmark = pytest.mark.skipif(
    not all(store.is_here(f"efficientnet-lite{number}") for number in range(3)),
    reason="the published nets are not on this machine; meznet fetch gets them",
)
NETS = [f"keras/EfficientNetLite{number}@imagenet" for number in range(3)]
#: What a glance shows, by the photographs of installed packages.
SHOWN = {
    "cat": {"tabby", "tiger cat", "Egyptian cat"},
    "coffee": {"espresso"},
    "rocket": {"missile", "projectile"},
    "motorcycle": {"moped", "motor scooter"},
    "china": {"palace"},
    "cheetah": {"cheetah"},
    "lion": {"lion"},
}


@pytest.fixture(scope="module")
def photographs() -> dict[str, np.ndarray]:
    return {name: read(path) for name, path in package_photographs(more=True).items()}


GOLDEN = """
import numpy as np
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.functional import InterpolationMode
with np.load("{file}") as images:
    for size in (224, 240, 260):
        transform = v2.Compose([
            v2.Resize(size + 32, InterpolationMode.BICUBIC), v2.CenterCrop(size)
        ])
        cut = {{name: np.asarray(transform(Image.fromarray(images[name]))) for name in images}}
        np.savez(f"{folder}/{{size}}.npz", **cut)
"""


@pytest.mark.contract
def test_pictures_are_resized_and_cropped_as_torchvision_does(torch_python, tmp_path, photographs):
    rng = np.random.default_rng(0)
    shapes = [
        (300, 451),
        (451, 300),
        (500, 500),
        (31, 97),
        (256, 256),
        (257, 999),
        (1, 2),
        (292, 5),
    ]
    images = {f"{h}x{w}": rng.integers(0, 256, (h, w, 3), np.uint8) for h, w in shapes}
    images |= {name: photographs[name] for name in ("cat", "rocket")}
    np.savez(tmp_path / "images.npz", **images)
    torch_python(GOLDEN.format(file=tmp_path / "images.npz", folder=tmp_path))
    for name in NETS:
        net = backbone(name)
        with np.load(tmp_path / f"{net.size}.npz") as expected:
            for key, image in images.items():
                np.testing.assert_array_equal(crop(image, net.size, 32), expected[key], err_msg=key)
                scaled = (expected[key].astype(np.float64) - 127) / 128
                np.testing.assert_allclose(net.prepare([image])[0], scaled, atol=1e-6)


#: Each net again, by nothing but torch's functions: the arithmetic of those who converted it.
FUNCTIONAL = """
import json
import numpy as np
import torch
from torch.nn import functional as F
from safetensors import safe_open

def same(x, kernel, stride, groups):
    # TensorFlow's padding: as much as it takes, the odd pixel right and below
    size, k = x.shape[-1], kernel.shape[-1]
    pad = max((-(-size // stride) - 1) * stride + k - size, 0)
    x = F.pad(x, (pad // 2, pad - pad // 2) * 2)
    return F.conv2d(x, kernel, stride=stride, groups=groups)

for number in range(3):
    x = torch.from_numpy(np.load("{folder}/%d.npy" % number)).permute(0, 3, 1, 2)
    with safe_open("{file}" % number, "pt") as file:
        values = [file.get_tensor(key) for key in json.loads(file.metadata()["keys"])]
    values = iter(value for value in values if value.is_floating_point())
    depth = (1.0, 1.1, 1.2)[number]
    repeats = [1, *(int(np.ceil(n * depth)) for n in (2, 2, 3, 3, 4)), 1]

    def layer(x, stride=1, groups=1, bend=True):
        x = same(x, next(values), stride, groups)
        scale, offset, mean, variance = (next(values) for _ in range(4))
        x = F.batch_norm(x, mean, variance, scale, offset, eps=1e-3)
        return x.clamp(0, 6) if bend else x

    with torch.inference_mode():
        x = layer(x, 2)
        for stage, stride in enumerate((1, 2, 2, 2, 1, 2, 1)):
            for block in range(repeats[stage]):
                before = x
                x = layer(x) if stage else x
                x = layer(x, stride if block == 0 else 1, x.shape[1])
                x = layer(x, bend=False)
                x = x + before if block else x
        x = layer(x).mean((2, 3))
        probs = F.linear(x, next(values), next(values)).softmax(1)
    assert next(values, None) is None
    np.save("{folder}/functional%d.npy" % number, probs)
    np.save("{folder}/features%d.npy" % number, x)

from meznet_helpers.names import labeler
for number in range(3):
    net = labeler("timm/tf_efficientnet_lite%d" % number)
    x = torch.from_numpy(np.load("{folder}/%d.npy" % number)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        np.save("{folder}/timm%d.npy" % number, net.model.cpu()(x).softmax(1))
"""


@pytest.mark.contract
def test_two_frameworks_onnx_and_the_converters_arithmetic_agree(
    torch_python, tmp_path, photographs
):
    nets = [labeler(name) for name in NETS]
    images = [*photographs.values()][:6]
    for number, net in enumerate(nets):
        np.save(tmp_path / f"{number}.npy", net.backbone.prepare(images))
    file = str(store.resolve("efficientnet-lite0")).replace("lite0", "lite%d")
    torch_python(FUNCTIONAL.format(folder=tmp_path, file=file))
    for number, net in enumerate(nets):
        found = net.predict(images).probs[0]  # by ONNX Runtime
        features = net.features(images)
        given = np.load(tmp_path / f"{number}.npy")
        expected = np.load(tmp_path / f"functional{number}.npy")
        np.testing.assert_allclose(np.load(tmp_path / f"timm{number}.npy"), expected, atol=1e-5)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        np.testing.assert_allclose(features, np.load(tmp_path / f"features{number}.npy"), atol=1e-3)
        np.testing.assert_allclose(net.model(given, training=False), expected, atol=1e-5)
        # the framework's own net is what works, once it was asked for
        np.testing.assert_allclose(net.predict(images).probs[0], expected, atol=1e-5)
        np.testing.assert_allclose(net.features(images), features, atol=1e-3)
        net.release()


@pytest.mark.parametrize("name", NETS)
def test_ordinary_photographs_are_called_what_they_show(name, photographs):
    table = labeler(name).predict([photographs[each] for each in SHOWN]).top(5)
    table["image"] = table["image"].map(
        {f"image {number}": each for number, each in enumerate(SHOWN, 1)}
    )
    five = table.groupby("image")["label"].agg(set)
    first = table[table["rank"] == 1].set_index("image")["label"]
    assert all(five[each] & shown for each, shown in SHOWN.items()), five
    assert sum(first[each] in shown for each, shown in SHOWN.items()) >= len(SHOWN) - 1, first


#: Each wrong way of feeding, on pixels that were cut rightly.
WRONG = {
    "squeezed instead of cropped": None,
    "0 to 1": lambda x: x / np.float32(255),
    "ImageNet's mean and deviation": lambda x: scale(x, "torch"),
    "caffe": lambda x: scale(x, "caffe"),
    "0 to 255": lambda x: x.astype(np.float32),
}


@pytest.mark.contract
@pytest.mark.parametrize("way", WRONG)
def test_each_wrong_way_of_feeding_tells(way, photographs):
    net = labeler(NETS[0])
    images = [photographs[name] for name in ("cat", "rocket", "china", "lion")]
    right = net.backbone.prepare(images)
    if way == "squeezed instead of cropped":
        wrong = scale(np.stack([squeeze(image, 224, "bicubic") for image in images]), "lite")
    else:
        wrong = WRONG[way](np.stack([net.backbone.resize(image) for image in images]))
    assert wrong.shape == right.shape and np.abs(wrong - right).mean() > 0.05
    probs = [net._graph(np.ascontiguousarray(batch))[0] for batch in (right, wrong)]
    assert np.abs(probs[0] - probs[1]).max() > 0.05
    np.testing.assert_allclose(net.predict(images).probs[0], probs[0], atol=1e-6)


def test_the_other_net_of_timm_takes_the_weights_and_says_something_else(torch_python, photographs):
    answer = torch_python(
        "import json, numpy as np, timm, torch\n"
        "from meznet_helpers.labelers import backbone, lite\n"
        "from meznet_helpers.assets import store\n"
        "values = lite.read(store.resolve('efficientnet-lite0'))\n"
        f"image = np.array({photographs['cat'].tolist()}, np.uint8)\n"
        "x = torch.from_numpy(backbone('timm/tf_efficientnet_lite0').prepare([image]))\n"
        "for name in ('tf_efficientnet_lite0', 'efficientnet_lite0'):\n"
        "    net = timm.create_model(name).eval()\n"
        "    state = net.state_dict()\n"
        "    names = [key for key, each in state.items() if each.is_floating_point()]\n"
        "    new = {key: torch.from_numpy(each) for key, each in zip(names, values)}\n"
        "    net.load_state_dict(state | new)\n"
        "    with torch.inference_mode():\n"
        "        print(net(x.permute(0, 3, 1, 2)).softmax(1)[0].tolist())\n"
    )
    right, wrong = map(json.loads, answer.splitlines())
    assert np.abs(np.subtract(right, wrong)).sum() > 0.1


def test_bad_weights_are_refused(tmp_path, monkeypatch):
    from safetensors.numpy import save_file

    file = tmp_path / "net.safetensors"
    file.write_bytes(b"half a net")
    with pytest.raises(MeznetError, match="holds no weights of EfficientNet-Lite"):
        lite.read(file)
    save_file({"a": np.zeros(3, np.float32)}, file)  # without the order
    with pytest.raises(MeznetError, match="holds no weights of EfficientNet-Lite"):
        lite.read(file)
    save_file({"a": np.zeros(3, np.float32)}, file, metadata={"keys": '["a"]'})
    with pytest.raises(MeznetError, match=r"net.safetensors does not fit efficientnet_lite1\."):
        lite.fill(lite.keras_model(1, 240), lite.read(file), file)


def test_registry_holds_them_in_two_frameworks():
    for number, size in enumerate((224, 240, 260)):
        for name in (f"keras/EfficientNetLite{number}", f"timm/tf_efficientnet_lite{number}"):
            net = backbone(name)
            assert (net.size, net.side, net.mode, net.margin) == (size, size + 32, "lite", 32)
            assert net.interpolation == "bicubic" and net.labels == "imagenet"
            quick = registry()[f"{name}@int8"]
            assert dataclasses.replace(quick, tag="imagenet") == net


def test_crop_of_a_picture_of_the_right_size_is_the_middle():
    image = np.random.default_rng(1).integers(0, 256, (256, 300, 3), np.uint8)
    np.testing.assert_array_equal(crop(image, 224, 32), image[16:240, 38:262])
    assert Image.fromarray(crop(image, 224, 32)).size == (224, 224)
