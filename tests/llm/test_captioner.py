"""Tests of the captioner as a labeler: transformers' own numbers, refusals, life beside Keras.

Torch never comes into this process: what needs it runs in fresh interpreters and workers.
"""

import json
import re
import shutil

import numpy as np
import pytest

from meznet_helpers.assets import profile
from meznet_helpers.book import validation_set
from meznet_helpers.ensembles import EnsembleLabeler
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import read_many
from meznet_helpers.llm import CaptionLabeler, captioner
from meznet_helpers.measure import hits, rank_of_truth
from meznet_helpers.names import labeler

pytestmark = pytest.mark.contract

BLIP = profile.data() / "models" / "captioner"
PRELUDE = """
import json, shutil, sys
import numpy as np, torch
from pathlib import Path
from meznet_helpers.assets import profile
from meznet_helpers.labels import spaces as labels
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import read_many
from meznet_helpers.llm import captioner as blip
from meznet_helpers.llm import CaptionLabeler
from meznet_helpers.words import frame

torch.set_num_threads(1)
BLIP = profile.data() / "models" / "captioner"
images = read_many(profile.package_photographs().values())

def refused(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except MeznetError as error:
        return str(error)
    raise AssertionError("not refused")
"""


@pytest.fixture(scope="module")
def photographs():
    return read_many(profile.package_photographs().values())


def test_the_same_numbers_as_transformers(torch_python):
    """Each label alone through the model's own loss; in one row, and in rows of few tokens."""
    torch_python(
        PRELUDE
        + """
from PIL import Image
from transformers import BlipForConditionalGeneration, BlipProcessor
model = BlipForConditionalGeneration.from_pretrained(BLIP, dtype=torch.float32).eval()
processor = BlipProcessor.from_pretrained(BLIP, backend="pil")
names = ["dog", "school bus", "owl", "sports car with a very long name", "rocket"]
pictures = [Image.fromarray(image) for image in images][:4]
for prompt in ("a photo of {a}", "{}", "question: what is this? answer: {}"):
    before = prompt.partition("{")[0].strip()
    start = len(processor.tokenizer(before).input_ids) - 1  # without the end
    wanted = np.zeros((4, len(names)))
    for at, name in enumerate(names):
        batch = processor(images=pictures, text=[frame(prompt, name)] * 4, return_tensors="pt")
        told = batch.input_ids.clone()
        told[:, :start] = -100
        for row in range(4):
            one = {key: value[row : row + 1] for key, value in batch.items()}
            with torch.no_grad():
                loss = model(**one, labels=told[row : row + 1]).loss.item()
            wanted[row, at] = -loss * (told[row] != -100).sum().item()
    wanted = np.exp(wanted) / np.exp(wanted).sum(1, keepdims=True)
    for blip.ROW in (256, 5):
        found = CaptionLabeler("tiny", names, prompt=prompt).predict(images[:4]).probs[0]
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.ptp(wanted) > 0.2, "the test needs a net that is not indifferent"
"""
    )


def test_free_text_is_what_generate_writes(torch_python):
    torch_python(
        PRELUDE
        + """
from PIL import Image
from transformers import BlipForConditionalGeneration, BlipProcessor
model = BlipForConditionalGeneration.from_pretrained(BLIP, dtype=torch.float32).eval()
processor = BlipProcessor.from_pretrained(BLIP, backend="pil")
net = CaptionLabeler("tiny")
for prompt in ("", "a photo of", "question: what is this? answer:"):
    wanted = []
    for image in images:
        batch = processor(images=Image.fromarray(image), text=prompt, return_tensors="pt")
        said = model.generate(**batch, max_new_tokens=20, do_sample=False, num_beams=1)[0]
        whole = processor.decode(said, skip_special_tokens=True)
        wanted.append(whole[len(processor.decode(
            processor.tokenizer(prompt).input_ids, skip_special_tokens=True)):].strip())
    found = net.describe(images, prompt)
    assert found["text"].tolist() == wanted, (found["text"].tolist(), wanted)
    assert found["image"].tolist() == list(images.names) and len(set(wanted)) > 3
assert "llm/captioner@tiny reads 47" in refused(net.describe, images, "word " * 60)
"""
    )


def test_a_checkpoint_with_a_beginning_of_its_own(torch_python, tmp_path):
    """Larger BLIPs begin with a token that their tokenizer does not write; theirs counts."""
    torch_python(
        PRELUDE
        + f"""
folder = Path({str(tmp_path)!r}) / "copy"
shutil.copytree(BLIP, folder)
about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
about["text_config"]["bos_token_id"] = 7
(folder / "config.json").write_text(json.dumps(about), encoding="utf-8")
assert blip.load(str(folder)).tokens("dog")[0] == 7 != blip.load("tiny").tokens("dog")[0]
other = CaptionLabeler(str(folder), ["dog", "owl", "lemon"]).predict(images).probs
own = CaptionLabeler("tiny", ["dog", "owl", "lemon"]).predict(images).probs
assert np.abs(own - other).max() > 1e-3

about["model_type"] = "clip"
(folder / "config.json").write_text(json.dumps(about), encoding="utf-8")
blip.load.cache_clear()
assert "is a model of type clip, not a BLIP" in refused(blip.load, str(folder))
about |= {{"model_type": "blip"}}
about["text_config"]["hidden_size"] = 96
(folder / "config.json").write_text(json.dumps(about), encoding="utf-8")
assert "does not fit its config.json" in refused(blip.load, str(folder))
long = CaptionLabeler("tiny", ["dog", "word " * 60])
assert "the captioner reads 48" in refused(long.predict, images)
"""
    )


def test_beside_keras(photographs):
    """It works in a process of its own, texts included, and joins an ensemble with a Keras net."""
    import keras  # noqa: F401

    net = labeler("llm/captioner@tiny")
    probs = net.predict(photographs).probs[0]
    assert probs.shape == (len(photographs), 200) and probs.dtype == np.float32
    np.testing.assert_allclose(probs.sum(1), 1, atol=1e-5)
    said = net.describe(photographs, "question: is this a photo or a drawing? answer:")
    assert set(said["text"]) <= {"photo", "drawing"} and len(said) == len(photographs)
    net.release()
    pair = EnsembleLabeler([net, labeler("keras/MobileNetV2@tiny")])
    both = pair.predict(photographs).probs[0]
    keras_net = labeler("keras/MobileNetV2@tiny").predict(photographs).probs[0]
    np.testing.assert_allclose(both, (probs + keras_net) / 2, atol=1e-5)
    net.release()


def test_refusals():
    with pytest.raises(MeznetError, match=r'No labeler is called "llm/llava"; there are'):
        labeler("llm/llava")
    with pytest.raises(MeznetError, match='"llm/judge@tiny" and "llm/judge@SOURCE"'):
        labeler("llm/judge")
    with pytest.raises(MeznetError, match="mode is for nets of the registry, not for llm/"):
        labeler("llm/captioner@tiny", mode="caffe")
    with pytest.raises(MeznetError, match='"cat" alone leaves no choice'):
        CaptionLabeler("tiny", ["cat"])
    for prompt in ("a photo of", "{a} in the snow", "{} and {}"):
        with pytest.raises(MeznetError, match=r"must end with \{\} or \{a\}"):
            CaptionLabeler("tiny", ["cat", "dog"], prompt=prompt)
    with pytest.raises(MeznetError, match="is no captioner: neither tiny nor blip, nor a folder"):
        captioner.load("nowhere")


def test_without_a_tag_weights_are_published():
    assert CaptionLabeler().name == "llm/captioner@blip"
    net = labeler("llm/captioner")
    assert (net.name, len(net.labels)) == ("llm/captioner@blip", 1000)


def test_offline_hub_is_one_sentence(fresh_python, tmp_path):
    fresh_python(
        PRELUDE
        + """
assert refused(blip.load, "blip").startswith("The weights of blip are not on this machine and MEZ")
""",
        MEZNET_OFFLINE="1",
        HF_HOME=str(tmp_path),
    )


def test_the_card_says_what_the_table_says():
    """Top-1 and top-5 of the card are those of the bundled predictions, up to rounding."""
    predictions, truth = validation_set.tables(condition="later chapters")
    ranks = rank_of_truth(predictions.select(models="llm/captioner@tiny").probs, truth)[0]
    card = (BLIP / "README.md").read_text(encoding="utf-8")
    row = next(line for line in card.splitlines() if "200 classes of photographs" in line)
    said = [float(each) for each in re.findall(r"([\d.]+)% \(", row)]
    wanted = [100 * hits(ranks, k).mean() for k in (1, 5)]
    assert said == pytest.approx(wanted, abs=0.1)
    assert (BLIP / "model.safetensors").stat().st_size <= 12e6
    config = json.loads((BLIP / "config.json").read_text(encoding="utf-8"))
    assert config["architectures"] == ["BlipForConditionalGeneration"]


def test_a_folder_without_weights(tmp_path, torch_python):
    shutil.copytree(BLIP, tmp_path / "copy", ignore=shutil.ignore_patterns("*.safetensors"))
    torch_python(
        PRELUDE + f"assert 'can\\'t be loaded' in refused(blip.load, {str(tmp_path / 'copy')!r})"
    )
