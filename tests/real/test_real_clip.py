"""CLIP's real tokenizer and processor, and the document's own 735 photographs."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from meznet_helpers.errors import MeznetError
from meznet_helpers.finetune import read_parts, summary
from meznet_helpers.labelers.timm import TimmLabeler

OURS = """
import json, sys
import numpy as np, torch
from pathlib import Path
from PIL import Image
from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPTokenizer
from meznet_helpers.images import read_many
from meznet_helpers.words import clip as checkpoint
from meznet_helpers.words import ZeroShotLabeler

folder, real, pictures = map(Path, sys.argv[1:4])
torch.manual_seed(0)
small = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2)
config = CLIPConfig(
    text_config=small | dict(vocab_size=49408, bos_token_id=49406, eos_token_id=49407,
                             projection_dim=32),
    vision_config=small | dict(image_size=224, patch_size=32, projection_dim=32),
    projection_dim=32,
)
model = CLIPModel(config).eval()
with torch.no_grad():  # random weights that are not indifferent
    model.logit_scale.fill_(4.0)
model.save_pretrained(folder)
images = read_many(sorted(pictures.glob("*"))[:8])
names = ["animal", "not animal", "city street"]
net = ZeroShotLabeler(str(folder), names)
found = net.predict(images).probs[0]

processor = CLIPImageProcessorPil.from_pretrained(real)
tokenizer = CLIPTokenizer.from_pretrained(real)
texts = ["a photo of an animal", "a photo of a not animal", "a photo of a city street"]
batch = tokenizer(texts, padding=True, return_tensors="pt")
pixels = processor([Image.fromarray(image) for image in images], return_tensors="pt")
with torch.no_grad():
    wanted = model(**batch, **pixels).logits_per_image.softmax(1).numpy()
np.testing.assert_allclose(found, wanted, atol=1e-5)
assert net.seen(list(images)).shape == (8, 224, 224, 3)
# The ids of OpenAI's own tokenizer for the sentence of its paper.
ids = net.checkpoint.tokenizer("a photo of a cat").input_ids
assert ids == [49406, 320, 1125, 539, 320, 2368, 49407], ids
"""


@pytest.fixture(scope="module", autouse=True)
def _tensorflow_lives_here():
    import keras  # noqa: F401 (so that torch works in other processes)


@pytest.fixture(scope="module")
def tree(real, tmp_path_factory):
    """The document's pictures, split as it split them, but for the one that has no label."""
    copy = tmp_path_factory.mktemp("document") / "animal-or-not"
    shutil.copytree(real / "animal-or-not", copy)
    assert len(list((copy / "test" / "Unlabeled").iterdir())) == 1
    with pytest.raises(MeznetError, match='folder "Unlabeled" is no label of train'):
        read_parts(str(copy), 0)
    shutil.rmtree(copy / "test" / "Unlabeled")
    return copy


@pytest.fixture(scope="module")
def photographs(tree):
    """The document's pictures, read."""
    return read_parts(str(tree), 0)


def test_real_tokenizer_and_processor(real, fresh_python, tmp_path):
    """A CLIP of openai's kind, random but for these two, gives what transformers gives."""
    folder = shutil.copytree(real / "clip" / "tokenizer", tmp_path / "clip")
    pictures = real / "animal-or-not" / "test" / "animal"
    arguments = [str(folder), str(real / "clip" / "tokenizer"), str(pictures)]
    fresh_python(f"import sys; sys.argv[1:] = {arguments!r}\n{OURS}")


def test_the_documents_photographs(photographs, real, capsys):
    """Features of the real MobileNetV2 and logistic regression, on the document's own split."""
    train, judged = photographs
    counts = [part.counts().to_dict() for part in (train, *judged.values())]
    assert sum(sum(each.values()) for each in counts) == 734
    file = str(real / "timm" / "mobilenetv2_100_google_rebuilt.pth")
    overlay = {"file": file, "mean": [0.5] * 3, "std": [0.5] * 3}
    net = TimmLabeler(
        "mobilenetv2_100", pad_type="same", bn_eps=1e-3, pretrained_cfg_overlay=overlay
    )
    x = {name: net.features(list(part.images.arrays))
         for name, part in (("train", train), *judged.items())}  # fmt: skip
    net.release()
    model = make_pipeline(
        StandardScaler(), LogisticRegression(class_weight="balanced", max_iter=2000)
    ).fit(x["train"], train.truth)
    for name, part in judged.items():
        found = summary(part.truth, model.predict_proba(x[name]))
        with capsys.disabled():
            print(f"\n{name}: MobileNetV2 features, logistic regression: {json.dumps(found)}")
        assert found["low"] > 0.8, found


def test_the_small_clip_is_tuned_on_them(tree, tmp_path, capsys):
    """The command, from the photographs to a folder; better than always saying the same."""
    command = [sys.executable, "-m", "meznet_helpers.cli", "clip", "finetune", "--method", "full"]
    command += ["--data", str(tree), "--out", str(tmp_path / "clip"), "--source", "tiny"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)["metrics"]
    with capsys.disabled():
        print(f"\nthe small CLIP, tuned fully: {json.dumps(metrics)}")
    assert metrics["test"]["balanced"] > 0.6
    assert np.sum(metrics["test"]["confusion"]) == metrics["test"]["n"]
