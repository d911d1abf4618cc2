"""Tests of meznet_helpers.labelers.backbones; the goldens hold it to Keras' own modules."""

import inspect
import json

import numpy as np
import pytest
from PIL import Image

from meznet_helpers.assets import profile, store
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import (
    INTERPOLATIONS,
    MODES,
    Backbone,
    backbone,
    backbones,
    registry,
    scale,
)
from meznet_helpers.labels import tiny_imagenet
from meznet_helpers.names import labeler

PUBLISHED = sorted(
    name for name, net in registry().items() if net.tag == "imagenet" and not net.asset
)
OWN = sorted(name for name, net in registry().items() if net.tag in ("tiny", "photos"))


def application(name):
    """Keras' builder of a registered backbone, and the module it comes from."""
    import keras

    builder = getattr(keras.applications, registry()[name].application)
    return builder, inspect.getmodule(builder)


@pytest.fixture(scope="module")
def pixels():
    """Every value a pixel can have, in every channel, and random ones."""
    every = np.stack([np.arange(256), np.arange(256)[::-1], np.roll(np.arange(256), 100)], -1)
    random = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3))
    return np.concatenate([every.reshape(1, 16, 16, 3), random]).astype(np.uint8)


def net(**changes):
    facts = {"application": "A", "tag": "t", "size": 8, "mode": "raw", "labels": ""}
    return Backbone(**facts | changes)


# ---- goldens


@pytest.mark.contract
@pytest.mark.parametrize("name", PUBLISHED)
def test_scale_is_the_modules_own_preprocessing(name, pixels):
    _, module = application(name)
    expected = module.preprocess_input(pixels.astype(np.float32))
    found = scale(pixels, registry()[name].mode)
    assert found.dtype == expected.dtype == np.float32
    assert found.tobytes() == np.ascontiguousarray(expected).tobytes()


@pytest.mark.contract
def test_every_application_of_keras_is_registered_and_no_more():
    import keras

    exported = {
        name
        for name, value in vars(keras.applications).items()
        if inspect.isfunction(value) and "weights" in inspect.signature(value).parameters
    }
    assert {registry()[name].application for name in PUBLISHED} == exported


class Asked(Exception):
    """Carries the default size out of a builder before it builds anything."""


@pytest.mark.contract
@pytest.mark.parametrize("name", [name for name in PUBLISHED if "MobileNetV3" not in name])
def test_input_size_is_the_builders_default(name, monkeypatch):
    from keras.src.applications import imagenet_utils

    def obtain_input_shape(*args, default_size, **kwargs):
        raise Asked(default_size)

    monkeypatch.setattr(imagenet_utils, "obtain_input_shape", obtain_input_shape)
    builder, _ = application(name)
    with pytest.raises(Asked) as asked:
        builder(weights=None)
    assert asked.value.args == (registry()[name].size,)


@pytest.mark.contract
@pytest.mark.parametrize("name", ["MobileNetV3Small", "MobileNetV3Large"])
def test_mobilenet_v3_takes_any_size_and_was_trained_at_this_one(name):
    _, module = application(f"keras/{name}@imagenet")
    weights = [key for key in module.WEIGHTS_HASHES if key.startswith(f"{name[11:].lower()}_")]
    size = registry()[f"keras/{name}@imagenet"].size
    assert weights and all(f"_{size}_" in key for key in weights)


@pytest.mark.contract
@pytest.mark.parametrize("name", ["MobileNetV3Small", "EfficientNetB0"])
def test_raw_networks_scale_inside(name):
    import keras

    assert registry()[f"keras/{name}@imagenet"].mode == "raw"
    model = getattr(keras.applications, name)(weights=None, input_shape=(32, 32, 3))
    kinds = {type(layer).__name__ for layer in model.layers[:4]}
    assert kinds & {"Rescaling", "Normalization"}


@pytest.mark.contract
def test_other_networks_do_not_scale_inside():
    import keras

    model = keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3), alpha=0.35)
    assert not {type(each).__name__ for each in model.layers} & {"Rescaling", "Normalization"}


# ---- scale


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_scale_leaves_its_input_alone(mode, dtype, pixels):
    given = pixels.astype(dtype)
    found = scale(given, mode)
    np.testing.assert_array_equal(given, pixels)
    assert not np.shares_memory(found, given)
    assert found.dtype == np.float32 and found.flags.c_contiguous
    np.testing.assert_array_equal(found, scale(pixels, mode))


def test_scale_of_a_known_color():
    orange = np.array([[255, 127.5, 0]])
    np.testing.assert_allclose(scale(orange, "tf"), [[1, 0, -1]])
    np.testing.assert_allclose(scale(orange, "caffe"), [[-103.939, 127.5 - 116.779, 255 - 123.68]])
    expected = [[0.515 / 0.229, 0.044 / 0.224, -0.406 / 0.225]]
    np.testing.assert_allclose(scale(orange, "torch"), expected, rtol=1e-5)
    np.testing.assert_array_equal(scale(orange, "raw"), orange)


def test_unknown_mode():
    with pytest.raises(MeznetError, match=r'"cafe" is no .* tf, torch, caffe, lite, raw\.'):
        scale(np.zeros((1, 3)), "cafe")


# ---- resize and prepare


@pytest.mark.parametrize("how", INTERPOLATIONS)
@pytest.mark.parametrize("shape", [(5, 7), (64, 64), (100, 30)])
def test_resize_is_pillows(how, shape):
    image = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    filters = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}
    expected = np.asarray(Image.fromarray(image).resize((24, 24), filters[how]))
    found = net(size=24, interpolation=how).resize(image)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected)


def test_nearest_repeats_pixels_and_bilinear_blends_them():
    image = np.random.default_rng(2).integers(0, 256, (16, 16, 3), np.uint8)
    nearest = net(size=64, interpolation="nearest").resize(image)
    np.testing.assert_array_equal(nearest, image.repeat(4, 0).repeat(4, 1))
    bilinear = net(size=64, interpolation="bilinear").resize(image)
    steps = [np.abs(np.diff(each.astype(int), axis=0)).max() for each in (nearest, bilinear)]
    assert steps[1] < steps[0] / 2


def test_an_image_of_the_right_size_stays_as_it_is():
    image = np.random.default_rng(3).integers(0, 256, (8, 8, 3), np.uint8)
    assert net().resize(image) is image


@pytest.mark.parametrize("how", INTERPOLATIONS)
def test_detail_is_lost_smoothly_before_the_image_is_enlarged(how):
    image = np.random.default_rng(5).integers(0, 256, (90, 60, 3), np.uint8)
    coarse = Image.fromarray(image).resize((16, 16), Image.BILINEAR)
    filters = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}
    found = net(size=40, interpolation=how, detail=16).resize(image)
    np.testing.assert_array_equal(found, np.asarray(coarse.resize((40, 40), filters[how])))
    fine = net(size=90, detail=16).resize(image[:, :60].repeat(3, 1)[:, ::2])  # its own size
    assert np.abs(np.diff(fine.astype(int), axis=0)).max() < 60


def test_tiny_nets_lose_the_detail_that_they_never_saw():
    assert OWN and {registry()[name].detail for name in OWN} == {64}
    assert {registry()[name].detail for name in PUBLISHED} == {None}


@pytest.mark.parametrize("mode", MODES)
def test_prepare_keeps_the_order(mode):
    rng = np.random.default_rng(4)
    images = [rng.integers(0, 256, (8 + i, 20 - i, 3), np.uint8) for i in range(12)]
    one = net(mode=mode)
    batch = one.prepare(images)
    assert batch.shape == (12, 8, 8, 3) and batch.dtype == np.float32
    for image, row in zip(images, batch, strict=True):
        np.testing.assert_array_equal(row, scale(one.resize(image), mode))


@pytest.mark.parametrize("shape", [(3, 500_000), (500_000, 3), (1, 5_000_000), (5_000_000, 1)])
def test_thin_pictures_take_no_more_than_others(shape, monkeypatch):
    real, most = Image.Image.resize, 8_000_000

    def resize(image, size, *arguments, **settings):
        assert size[0] * image.height < most or image.width == size[0]  # Pillow widens rows first
        assert size[0] * size[1] < most
        return real(image, size, *arguments, **settings)

    monkeypatch.setattr(Image.Image, "resize", resize)
    line = np.zeros((*shape, 3), np.uint8)
    assert backbones.squeeze(line, 224).shape == (224, 224, 3)
    assert backbones.crop(line, 224, 32).shape == (224, 224, 3)


@pytest.mark.parametrize("shape", [(3, 450), (3, 451), (450, 3), (2, 999), (1, 777), (5, 502)])
def test_thin_pictures_are_what_others_would_be(shape, monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(image).resize(shape[::-1], Image.Resampling.BOX))
    found = [backbones.crop(smooth, 64, 8), backbones.squeeze(smooth, 64)]
    monkeypatch.setattr(backbones, "THIN", 10**6)
    for thin, plain in zip(
        found, [backbones.crop(smooth, 64, 8), backbones.squeeze(smooth, 64)], strict=True
    ):
        assert np.abs(thin.astype(int) - plain).mean() < 2


def test_prepare_nothing():
    assert net().prepare([]).shape == (0, 8, 8, 3)


# ---- the registry


def test_names():
    for name, one in registry().items():
        assert one.name == name
        assert one.mode in MODES and one.interpolation in INTERPOLATIONS


FOLDERS = sorted(path.parent for path in (profile.data() / "models").glob("*/net.json"))


def test_there_is_one_net_in_each_folder():
    assert len(OWN) == len(FOLDERS)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_tiny_nets_come_from_their_files(folder):
    facts = json.loads((folder / "net.json").read_text(encoding="utf-8"))
    facts = {"framework": "keras", "tag": "tiny"} | facts
    one = registry()[f"{facts['framework']}/{facts['application']}@{facts['tag']}"]
    assert folder.name == one.application or one.framework == "timm"
    for key in ("application", "size", "mode", "labels", "interpolation", "options", "licence"):
        assert getattr(one, key) == facts[key]
    assert facts["parameters"] > 100_000 and facts["n"] == 10_000
    assert one.labels == tiny_imagenet().name
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"mode `{one.mode}`" in card and f"{facts['hits1'] / facts['n']:.1%}" in card


def test_without_a_tag_weights_are_published():
    assert backbone("keras/MobileNet").name == "keras/MobileNet@imagenet"
    assert backbone("keras/MobileNet@tiny").tag == "tiny"
    assert backbones.tagged("timm/x") == "timm/x@imagenet"
    assert backbones.tagged("timm/regnetx_002@photos") == "timm/regnetx_002@photos"


def test_near_names_are_named():
    with pytest.raises(MeznetError, match=r"did you mean .*keras/ResNet50@imagenet"):
        backbone("keras/Resnet50@imagenet")


def test_without_near_names_the_shape_of_a_name_is_shown():
    with pytest.raises(MeznetError) as error:
        backbone("zzz@9")
    text = 'No backbone is called "zzz@9"; a name looks like "keras/MobileNetV2@tiny".'
    assert str(error.value) == text


@pytest.mark.parametrize("name", [net.name for net in registry().values() if net.asset])
def test_a_net_of_an_asset_is_here_where_the_asset_is(name, monkeypatch):
    """Of both frameworks and precisions; neither Keras nor the hub is asked."""
    asset = registry()[name].asset
    for fetched in ({asset}, set()):
        monkeypatch.setattr(store, "is_here", fetched.__contains__)
        assert labeler(name).here() == bool(fetched)
    assert labeler("keras/MobileNet@tiny").here()
