"""Nets by ONNX Runtime: exported once, equal to their framework, and without it when they label."""

import dataclasses
import shutil
import warnings

import numpy as np
import pytest

from meznet_helpers.assets import store
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import backbone, onnx, registry, worker
from meznet_helpers.labelers.nets import of_backbone
from meznet_helpers.names import labeler

TINY = "keras/MobileNetV2@tiny"
LITE = "keras/EfficientNetLite0"
fetched = pytest.mark.skipif(
    not store.is_here("efficientnet-lite0"), reason="meznet fetch gets the net that this needs"
)


def pictures(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (80, 60 + n, 3), np.uint8) for n in range(count)]


@pytest.mark.nets
@pytest.mark.parametrize("name", [TINY, "keras/EfficientNetV2B0@tiny", "keras/MobileNet@tiny"])
def test_keras_nets_say_the_same_by_onnx(name):
    images, exported, own = pictures(5), labeler(name), labeler(name)
    _ = own.model  # from now on the framework works
    assert exported._exported() and not own._exported()
    found = exported.predict(images).probs
    np.testing.assert_allclose(found, own.predict(images).probs, atol=1e-5)
    np.testing.assert_allclose(exported.features(images), own.features(images), atol=2e-4)
    np.testing.assert_array_equal(found, exported.predict(images, batch_size=2).probs)


def test_timm_nets_say_the_same_by_onnx(torch_python):
    said = torch_python(
        "import numpy as np\n"
        "from meznet_helpers.labelers import registry\n"
        "from meznet_helpers.names import labeler\n"
        "rng = np.random.default_rng(0)\n"
        "images = [rng.integers(0, 256, (80, 60, 3), np.uint8) for _ in range(3)]\n"
        "for name, net in registry().items():\n"
        "    if net.framework == 'timm' and not net.asset:\n"
        "        one, own = labeler(name), labeler(name)\n"
        "        _ = own.model\n"
        "        assert one._exported() and not own._exported()\n"
        "        for a, b in ((one.predict(images).probs, own.predict(images).probs),\n"
        "                     (one.features(images), own.features(images))):\n"
        "            print(float(np.abs(a - b).max()))\n"
    )
    differences = [float(line) for line in said.split()]
    assert len(differences) == 6 and max(differences) < 2e-4


def test_labeling_and_features_import_no_framework(fresh_python):
    names = [TINY, "timm/regnetx_002@tiny"]
    for name in names:
        onnx.export(labeler(name))
    fresh_python(
        "import sys\n"
        "import numpy as np\n"
        "from meznet_helpers.names import labeler\n"
        f"for name in {names}:\n"
        "    net = labeler(name)\n"
        "    image = np.zeros((64, 64, 3), np.uint8)\n"
        "    net.predict([image]), net.features([image]), net.digest()\n"
        "    assert net._worker is None\n"
        "heavy = {'tensorflow', 'keras', 'torch', 'timm', 'pandas'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )


def test_a_file_is_called_by_what_it_is_made_of(monkeypatch):
    one = labeler(TINY)
    place = onnx.place(one)
    assert place == onnx.place(labeler(TINY, mode="caffe"))  # the net is the same
    others = [labeler("keras/MobileNet@tiny")]
    for change in ({"size": 96}, {"options": {"alpha": 0.7}}, {"application": "MobileNetV3Small"}):
        changed = of_backbone(dataclasses.replace(one.backbone, **change))
        monkeypatch.setattr(changed, "weights_file", one.weights_file)
        others.append(changed)
    assert place not in [onnx.place(other) for other in others]
    monkeypatch.setattr(one, "weights_digest", lambda: "other weights")
    assert onnx.place(one) != place
    quick, whole, twin = (
        onnx.place(labeler(name)) for name in (f"{LITE}@int8", LITE, "timm/tf_efficientnet_lite0")
    )
    assert quick.name == whole.name.replace(".onnx", "-int8.onnx") and whole == twin


def test_what_cannot_be_exported_works_in_its_framework_and_says_so_once(monkeypatch):
    def refuse(net):
        raise onnx.NotExportable(f"{net.name} can't be exported to ONNX (so it goes).")

    monkeypatch.setattr(onnx, "session", refuse)
    net, images = labeler(TINY), pictures(2)
    with pytest.warns(UserWarning, match=r"MobileNetV2@tiny can.t .* works in its framework"):
        found = net.predict(images).probs
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(net.predict(images).probs, found)
    with pytest.raises(MeznetError, match="so it goes"):  # no 32 bits under the name of 8
        labeler(f"{LITE}@int8").predict(images)


def test_a_store_that_cannot_be_written(monkeypatch, tmp_path):
    (tmp_path / "onnx").write_text("a file where a folder should be", encoding="utf-8")
    monkeypatch.setenv("MEZNET_CACHE", str(tmp_path))
    with pytest.raises(onnx.NotExportable, match=r"onnx can't be written, .*\)\.$"):
        onnx.export(labeler(TINY))


def test_a_damaged_file_is_made_anew(monkeypatch, tmp_path):
    net = labeler(TINY)
    whole = onnx.export(net)
    monkeypatch.setenv("MEZNET_CACHE", str(tmp_path))
    damaged = onnx.place(net)
    damaged.parent.mkdir()
    made = []

    class Copying:
        """Stands for the process that exports."""

        def __init__(self, one, **_):
            made.append(one.name)

        def call(self, method, *, path):
            assert method == "_export"
            shutil.copy(whole, path)
            return ""

        def end(self):
            """There is nothing to end."""

    monkeypatch.setattr(worker, "Worker", Copying)
    content = whole.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for bad in (content[:5000], bytes(flipped)):
        damaged.write_bytes(bad)
        damaged.with_suffix(".sha256").write_bytes(whole.with_suffix(".sha256").read_bytes())
        assert onnx.session(net)(net.backbone.prepare(pictures(1)))[0].shape == (1, 200)
        assert damaged.read_bytes() == content
    assert made == [TINY, TINY]


def test_without_weights_nothing_is_made(monkeypatch, tmp_path):
    monkeypatch.setenv("MEZNET_CACHE", str(tmp_path))
    for name in (LITE, f"{LITE}@int8"):
        with pytest.raises(MeznetError, match=r"18\.8 MB\) is not on this machine; meznet fetch"):
            labeler(name).predict(pictures(1))
    assert not list(tmp_path.iterdir())


@fetched
@pytest.mark.nets
def test_eight_bits_keep_most_first_labels():
    from meznet_helpers.assets import package_photographs
    from meznet_helpers.images import read

    images = [read(path) for path in package_photographs(more=True).values()]
    whole, quick = labeler(LITE), labeler(f"{LITE}@int8")
    one, other = (net.predict(images).probs[0] for net in (whole, quick))
    assert (one.argmax(1) == other.argmax(1)).mean() >= 0.8
    assert 0.001 < np.abs(one - other).max() < 0.25
    assert onnx.place(quick).stat().st_size < 0.6 * onnx.place(whole).stat().st_size
    with pytest.raises(MeznetError, match=f"features are float32; take them of {LITE}@imagenet"):
        quick.features(images)


@fetched
def test_release_forgets_the_net():
    net = labeler(LITE)
    net.predict(pictures(1))
    assert "_graph" in net.__dict__
    net.release()
    assert "_graph" not in net.__dict__ and net.predict(pictures(1)).probs.shape == (1, 1, 1000)


def test_eight_bits_are_there_for_published_nets_alone():
    quick = [name for name, net in registry().items() if net.tag == "int8"]
    assert len(quick) == 6 and all(backbone(name).asset for name in quick)
