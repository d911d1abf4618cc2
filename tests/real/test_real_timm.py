"""The same MobileNetV2 by timm and by Keras: two frameworks, the same probabilities."""

import numpy as np
import pytest

from meznet_helpers.ensembles import EnsembleLabeler
from meznet_helpers.images import read_many
from meznet_helpers.labelers import squeeze
from meznet_helpers.labelers.timm import TimmLabeler
from meznet_helpers.names import labeler

KERAS = "keras/MobileNetV2@imagenet"


@pytest.fixture(autouse=True)
def _no_downloads(real, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(real / "keras"))
    monkeypatch.setenv("MEZNET_OFFLINE", "1")


@pytest.fixture(scope="module")
def options(real):
    """What timm is told about the weights on this machine."""
    file = str(real / "timm" / "mobilenetv2_100_google_rebuilt.pth")
    overlay = {"file": file, "mean": [0.5] * 3, "std": [0.5] * 3}
    return {"pad_type": "same", "bn_eps": 1e-3, "pretrained_cfg_overlay": overlay}


@pytest.fixture(scope="module")
def photographs(real):
    """Two photographs of each of 47 animals."""
    folders = sorted((real / "animals47").iterdir())
    return read_many([path for folder in folders for path in sorted(folder.iterdir())[:2]])


def test_both_label_alike(photographs, options):
    keras, timm = labeler(KERAS), TimmLabeler("mobilenetv2_100", **options)
    first, second = keras.predict(photographs), timm.predict(photographs)
    assert keras._worker is None and timm._worker.alive
    top = [found.probs[0].argmax(1) for found in (first, second)]
    assert np.mean(top[0] == top[1]) > 0.65  # timm keeps the shape and cuts the border off
    both = EnsembleLabeler([keras, timm]).predict(photographs)
    mean = (first.probs[0] + second.probs[0]) / 2
    np.testing.assert_allclose(both.probs[0], mean, atol=1e-5)
    assert timm._worker is None


def test_the_same_pixels_give_the_same_labels(photographs, options):
    """Of 256 x 256 pixels timm takes the 224 in the middle; Keras is given those."""
    large = [squeeze(image, 256) for image in photographs[:40]]
    middle = [image[16:240, 16:240] for image in large]
    found = TimmLabeler("mobilenetv2_100", **options).predict(large).probs[0]
    expected = labeler(KERAS).predict(middle).probs[0]
    np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_same_input_gives_the_same_probabilities(photographs, options, fresh_python, tmp_path):
    net = labeler(KERAS)
    batch = net.backbone.prepare(photographs[:40])
    np.save(tmp_path / "batch.npy", batch.transpose(0, 3, 1, 2).copy())
    fresh_python(f"""
import numpy as np, torch
from meznet_helpers.labelers.timm import TimmLabeler
net = TimmLabeler("mobilenetv2_100", **{options!r})
batch = torch.from_numpy(np.load({str(tmp_path / "batch.npy")!r}))
with torch.inference_mode():
    np.save({str(tmp_path / "probs.npy")!r}, net.model(batch).softmax(1).numpy())
""")
    found, expected = np.load(tmp_path / "probs.npy"), net.probabilities(list(photographs[:40]))
    np.testing.assert_array_equal(found.argmax(1), expected.argmax(1))
    np.testing.assert_allclose(found, expected, atol=1e-4)
