"""Tests of CLIP as a labeler: transformers' own numbers, refusals, and life beside Keras.

Torch never comes into this process: what needs it runs in fresh interpreters and workers.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from meznet_helpers import emojizoo
from meznet_helpers.assets import profile
from meznet_helpers.ensembles import EnsembleLabeler
from meznet_helpers.errors import MeznetError
from meznet_helpers.labels import tiny_imagenet
from meznet_helpers.names import labeler
from meznet_helpers.words import DRAWINGS, PHOTO, PHOTOS, TunedLabeler, ZeroShotLabeler, frame
from meznet_helpers.words import clip as checkpoint
from meznet_helpers.words.prompts import prompts

pytestmark = pytest.mark.contract

CLIP = profile.data() / "models" / "clip"

PRELUDE = """
import json, sys
import numpy as np, torch
from pathlib import Path
from meznet_helpers import emojizoo
from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import read_many
from meznet_helpers.words import clip as checkpoint
from meznet_helpers.words import TunedLabeler, ZeroShotLabeler
from meznet_helpers.words import PHOTOS
from meznet_helpers.words.prompts import prompts

torch.set_num_threads(1)
CLIP = profile.data() / "models" / "clip"
images = read_many(profile.package_photographs().values())

def refused(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except MeznetError as error:
        return str(error)
    raise AssertionError("not refused")
"""


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """Copies of the checkpoint, with one file changed."""

    def make(name: str, **config: object) -> Path:
        folder = tmp_path_factory.mktemp("clip") / name
        shutil.copytree(CLIP, folder)
        about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        for key, value in config.items():
            part, _, inner = key.partition("__")
            if inner:
                about[part][inner] = value
            else:
                about[part] = value
        (folder / "config.json").write_text(json.dumps(about), encoding="utf-8")
        return folder

    return make


def test_the_same_numbers_as_transformers(torch_python):
    """Its own model, tokenizer and processor, asked for `logits_per_image`; any shape of image."""
    torch_python(
        PRELUDE
        + """
from PIL import Image
from transformers import CLIPModel, CLIPProcessor
model = CLIPModel.from_pretrained(CLIP, dtype=torch.float32).eval()
processor = CLIPProcessor.from_pretrained(CLIP, backend="pil")
names = ["cat", "espresso", "rocket", "owl"]
texts = [f"a photo of {'an' if name[0] in 'aeiou' else 'a'} {name}" for name in names]
pictures = [Image.fromarray(image) for image in images]
batch = processor(text=texts, images=pictures, padding=True, return_tensors="pt")
with torch.no_grad():
    wanted = model(**batch).logits_per_image.softmax(1).numpy()
found = ZeroShotLabeler("tiny", names).predict(images)
np.testing.assert_allclose(found.probs[0], wanted, atol=1e-5)
assert np.ptp(wanted) > 0.2, "the test needs a net that is not indifferent"
assert found.models == ("clip/zero-shot@tiny",)
"""
    )


def test_templates_are_averaged_on_the_sphere(torch_python):
    torch_python(
        PRELUDE
        + """
found = checkpoint.load("tiny")
names = ["dog", "school bus", "lemon"]
total = np.zeros((3, 128))
for template in PHOTOS:
    read = found.read([text for (text,) in prompts(names, [template])]).numpy()
    np.testing.assert_allclose(np.linalg.norm(read, axis=1), 1, atol=1e-5)
    total += read
mean = total / np.linalg.norm(total, axis=1, keepdims=True)
net = ZeroShotLabeler("tiny", names, templates=PHOTOS)
embedded = net.features(list(images))
np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, atol=1e-5)
logits = float(found.model.logit_scale.exp()) * embedded @ mean.T
wanted = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
np.testing.assert_allclose(net.predict(images).probs[0], wanted, atol=1e-5)
one = ZeroShotLabeler("tiny", names).predict(images).probs[0]
assert np.abs(one - wanted).max() > 1e-3, "templates make no difference"
"""
    )


def test_texts_are_read_once_and_in_any_number(torch_python):
    """A thousand labels in two chunks; each label's text is embedded as it is alone."""
    torch_python(
        PRELUDE
        + """
from unittest import mock
names = [f"label {number}" for number in range(1000)]
net = ZeroShotLabeler("tiny", names)
with mock.patch.object(checkpoint.Checkpoint, "read", autospec=True,
                       side_effect=checkpoint.Checkpoint.read) as read:
    first = net.predict(images)
    second = net.predict(images[:2], batch_size=1)
assert read.call_count == 1, read.call_count
assert first.probs.shape == (1, len(images), 1000)
np.testing.assert_allclose(first.probs[:, :2], second.probs, atol=1e-6)
found = checkpoint.load("tiny")
texts = [text for (text,) in prompts(names)]
np.testing.assert_allclose(found.read(texts)[700], found.read([texts[700]])[0], atol=1e-5)
long = refused(ZeroShotLabeler("tiny", ["cat", "very " * 40 + "long"]).predict, images)
assert "tokens long; tiny reads 32." in long and "\\n" not in long, long
# Any text at all has tokens, none of them an end before the end.
for text in ["Crème brûlée, 7!", "猫", "a\\tb", "<|x|>", "ünïcödé №5"]:
    ids = found.tokenizer(text).input_ids
    end = found.tokenizer.eos_token_id
    assert ids.count(end) == 1 and ids[-1] == end, (text, ids)
"""
    )


def test_labels_must_leave_a_choice():
    with pytest.raises(MeznetError, match=r'^"cat" alone leaves no choice; .* two labels'):
        ZeroShotLabeler("tiny", ["cat"])
    with pytest.raises(MeznetError, match=r"the list of names is empty"):
        ZeroShotLabeler("tiny", [])
    with pytest.raises(MeznetError, match=r'"Cat" and "cat" are the same label'):
        ZeroShotLabeler("tiny", ["Cat", "cat"])
    with pytest.raises(MeznetError, match="templates is empty"):
        ZeroShotLabeler("tiny", ["cat", "dog"], templates=[])


def test_names():
    net = labeler("clip/zero-shot@tiny")
    assert net.name == "clip/zero-shot@tiny" and net.labels == tiny_imagenet()
    assert labeler("clip/tuned@tiny").labels.ids == ("animal", "not-animal")
    hub = labeler("clip/zero-shot@openai/clip-vit-large-patch14")
    assert hub.source == "openai/clip-vit-large-patch14" and len(hub.labels) == 1000
    with pytest.raises(MeznetError, match='No labeler is called "clip/tiny"; those of CLIP are'):
        labeler("clip/tiny")
    with pytest.raises(MeznetError, match='"clip/tuned@tiny" and "clip/tuned@FOLDER"'):
        labeler("clip/tuned")
    with pytest.raises(MeznetError, match="mode is for nets of the registry"):
        labeler("clip/zero-shot@tiny", mode="caffe")
    with pytest.raises(MeznetError, match=r"nowhere holds no meznet\.json"):
        labeler("clip/tuned@nowhere")


def test_without_a_tag_weights_are_published():
    assert ZeroShotLabeler(labels=["cat", "dog"]).name == "clip/zero-shot@openai"
    net = labeler("clip/zero-shot")
    assert (net.name, net.source) == ("clip/zero-shot@openai", "openai")
    assert checkpoint.find("openai") == "openai/clip-vit-base-patch32"


def test_offline_hub_is_one_sentence(fresh_python, tmp_path):
    fresh_python(
        PRELUDE
        + """
said = refused(checkpoint.load, "openai")
assert said == ("The weights of openai are not on this machine and MEZNET_OFFLINE is on; "
                "unset the variable to download them once."), said
""",
        MEZNET_OFFLINE="1",
        HF_HOME=str(tmp_path),
    )


@pytest.mark.parametrize(
    "name", ["nowhere", "./openai/clip", "a/b/c", "~/none/such"], ids=lambda name: name
)
def test_no_such_checkpoint(name):
    with pytest.raises(MeznetError, match=r"is no CLIP checkpoint: neither tiny nor openai, nor"):
        checkpoint.find(name)


def test_activations(copies, torch_python):
    """Under another activation a CLIP answers and is wrong, so it is refused."""
    mixed = copies("mixed", vision_config__hidden_act="quick_gelu")
    both = {"text_config__hidden_act": "quick_gelu", "vision_config__hidden_act": "quick_gelu"}
    laion = copies("laion", _name_or_path="laion/CLIP-ViT-B-32", **both)
    openai = copies("openai", _name_or_path="openai/clip-vit-base-patch32")
    fine = copies("fine", _name_or_path="laion/CLIP-ViT-B-32")
    torch_python(
        PRELUDE
        + f"""
said = refused(checkpoint.load, {str(mixed)!r})
assert "has the activation gelu for texts and quick_gelu for images" in said, said
said = refused(checkpoint.load, {str(laion)!r})
assert "was trained with gelu, but its config.json says quick_gelu" in said, said
said = refused(checkpoint.load, {str(openai)!r})
assert "was trained with quick_gelu, but its config.json says gelu" in said, said
right = checkpoint.load({str(fine)!r})
# The difference that goes unnoticed otherwise:
import transformers
wrong = transformers.CLIPModel.from_pretrained({str(laion)!r}, dtype=torch.float32).eval()
x = torch.from_numpy(right.prepare(images[0]))[None]
with torch.no_grad():
    a, b = (each.get_image_features(x).pooler_output for each in (right.model, wrong))
assert (a - b).abs().max() > 1e-3
"""
    )


def test_broken_checkpoints(copies, torch_python):
    """Each is one sentence that names the checkpoint and what is wrong with it."""
    resnet = copies("resnet", model_type="resnet")
    wide = copies("wide", projection_dim=64)
    lacking = copies("lacking")
    weights = load_file(lacking / "model.safetensors")
    weights.pop("visual_projection.weight")
    save_file(weights, lacking / "model.safetensors", {"format": "pt"})
    cut = copies("cut")
    whole = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    bare = copies("bare")
    (bare / "processor_config.json").unlink()
    dumb = copies("dumb")
    (dumb / "tokenizer.json").unlink()
    narrow, infinite = copies("narrow"), copies("infinite")
    weights = load_file(CLIP / "model.safetensors")
    projection = weights["visual_projection.weight"]
    for folder, values in ((narrow, projection[:, :-1]), (infinite, projection + np.inf)):
        weights["visual_projection.weight"] = np.ascontiguousarray(values)
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((CLIP / "config.json").read_text(encoding="utf-8"))
    heads = copies("heads", text_config=config["text_config"] | {"num_attention_heads": 3})
    listed = copies("listed")
    (listed / "config.json").write_text("[]", encoding="utf-8")
    torch_python(
        PRELUDE
        + f"""
for folder, part in {{
    {str(resnet)!r}: "is a model of type resnet, not a CLIP.",
    {str(wide)!r}: "does not fit its config.json",
    {str(lacking)!r}: "visual_projection.weight is not as it says.",
    {str(narrow)!r}: "visual_projection.weight is not as it says.",
    {str(infinite)!r}: "visual_projection.weight holds what is no finite number.",
    {str(dumb)!r}: "has no tokenizer that fits its config.json.",
    {str(cut)!r}: "can't be loaded: ",
    {str(bare)!r}: "can't be loaded: ",
    {str(heads)!r}: "can't be loaded: ",
    {str(listed)!r}: "can't be loaded: ",
}}.items():
    said = refused(checkpoint.load, folder)
    assert said.startswith(folder) and part in said and "\\n" not in said, said
"""
    )


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("processor_config.json", {"image_processor_type": "Odd", "AutoImageProcessor": "odd.Odd"}),
        ("tokenizer_config.json", {"tokenizer_class": "Odd", "AutoTokenizer": ["odd.Odd", None]}),
        (
            "config.json",
            {"architectures": ["Odd"], "AutoConfig": "odd.Odd", "AutoModel": "odd.Odd"},
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else value,
)
def test_code_that_comes_with_a_checkpoint_is_neither_run_nor_asked_about(
    file, change, copies, torch_python
):
    """The folder is refused in one sentence, or read without its code; nobody is asked."""
    folder = copies("odd")
    ran = folder / "ran"
    code = f"open({str(ran)!r}, 'w')\nclass Odd: pass\n"
    (folder / "odd.py").write_text(code, encoding="utf-8")
    about = json.loads((folder / file).read_text(encoding="utf-8"))
    named = {key: value for key, value in change.items() if key.startswith("Auto")}
    for part in (about, about.get("image_processor", {})):
        part |= {key: value for key, value in change.items() if key not in named}
        part["auto_map"] = named
    (folder / file).write_text(json.dumps(about), encoding="utf-8")
    torch_python(
        PRELUDE
        + f"""
from unittest import mock
asked = []
with mock.patch("builtins.input", side_effect=lambda *words: asked.append(words) or "y"):
    try:
        found = ZeroShotLabeler({str(folder)!r}, ["cat", "dog"]).predict(images).probs
        wanted = ZeroShotLabeler("tiny", ["cat", "dog"]).predict(images).probs
        np.testing.assert_array_equal(found, wanted)
    except MeznetError as error:
        assert str(error).startswith({str(folder)!r}) and "\\n" not in str(error), error
assert not asked, asked
"""
    )
    assert not ran.exists()


def test_the_checkpoint_is_as_the_card_says():
    size = sum(file.stat().st_size for file in CLIP.iterdir())
    assert size <= 10e6
    config = json.loads((CLIP / "config.json").read_text(encoding="utf-8"))
    assert config["model_type"] == "clip" and config["vision_config"]["hidden_act"] == "gelu"
    card = (CLIP / "README.md").read_text(encoding="utf-8")
    count = sum(values.size for values in load_file(CLIP / "model.safetensors").values())
    assert f"{count:,} parameters" in card


def test_beside_keras():
    """One ensemble of a Keras net and CLIP, over the same 200 labels; CLIP runs in a worker."""
    import keras  # noqa: F401

    zoo = emojizoo.faces(size=64).take(range(0, 300, 30))
    clip, other = labeler("clip/zero-shot@tiny"), labeler("keras/MobileNet@tiny")
    alone = [net.predict(zoo.images).probs[0] for net in (clip, other)]
    assert clip._worker.alive
    both = EnsembleLabeler([clip, other]).predict(zoo.images)
    np.testing.assert_allclose(both.probs[0], (alone[0] + alone[1]) / 2, atol=1e-5)
    np.testing.assert_allclose(alone[0].sum(1), 1, atol=1e-5)
    tuned = TunedLabeler("tiny")
    assert tuned.predict(zoo.images[:2]).probs.shape == (1, 2, 2)
    for net in (clip, tuned):
        net.release()


def test_seen_is_what_transformers_prepares(torch_python):
    """The crop, scaled by hand, is the input of the net."""
    torch_python(
        PRELUDE
        + """
net = ZeroShotLabeler("tiny", ["cat", "dog"])
found = net.checkpoint
seen = net.seen(list(images))
assert seen.shape == (len(images), 64, 64, 3) and seen.dtype == np.uint8
mean, deviation = (np.array(getattr(found.processor, key)) for key in ("image_mean", "image_std"))
for image, square in zip(images, seen):
    wanted = (square / 255 - mean) / deviation
    np.testing.assert_allclose(found.prepare(image), wanted.transpose(2, 0, 1), atol=1e-5)
"""
    )


def test_thin_pictures(torch_python):
    """They are not taken for channels-first, and never resized to more than a square needs."""
    torch_python(
        PRELUDE
        + """
import timm, torch
from PIL import Image
from torchvision.transforms import functional as f
from transformers import BlipImageProcessorPil
from meznet_helpers.labelers import pretrained
from meznet_helpers.labelers.timm import TimmLabeler
from meznet_helpers.labelers.torchvision import TorchvisionLabeler
from meznet_helpers.llm import captioner
from meznet_helpers.words import clip

real = Image.Image.resize
def resize(image, size, *args, **settings):
    assert size[0] * size[1] < 20_000_000, size
    return real(image, size, *args, **settings)
Image.Image.resize = resize
shown = [clip.load("tiny").crop, captioner.load("tiny").crop]
shown.append(pretrained.Checkpoint("blip", None, None, BlipImageProcessorPil()).crop)
net = TorchvisionLabeler("resnet18")
shown.append(lambda image: net._seen([image])[0])
for mode in ("center", "squash", "border"):
    other = TimmLabeler("test_efficientnet")
    other.__dict__["model"] = timm.create_model("test_efficientnet")
    other.model.pretrained_cfg["crop_mode"] = mode
    other.model.default_cfg = other.model.pretrained_cfg
    shown.append(lambda image, other=other: other._seen([image])[0])
random = np.random.default_rng(0)
for height, width in ((1, 1), (1, 40), (2, 64), (3, 3), (4, 64), (40, 3), (300_000, 1),
                      (2, 300_001)):
    red = np.full((height, width, 3), (200, 30, 60), np.uint8)
    for see in shown[:6]:
        seen = see(red)
        assert seen.shape[0] == seen.shape[1] > 60
        np.testing.assert_allclose(seen, np.broadcast_to((200, 30, 60), seen.shape), atol=1)
    assert shown[6](red).shape[0] > 60  # with a border
    if max(height, width) < 100:
        noise = random.integers(0, 256, (height, width, 3), np.uint8)
        whole = f.resize(Image.fromarray(noise), 64, f.InterpolationMode.BICUBIC)
        top, left = (whole.height - 64) // 2, (whole.width - 64) // 2
        cut = whole.crop((left, top, left + 64, top + 64))
        np.testing.assert_allclose(shown[0](noise), np.asarray(cut), atol=1)
"""
    )


def test_prompts():
    assert prompts(["owl"], DRAWINGS)[0][0] == "a drawing of an owl"
    assert prompts(["bus"]) == [["a photo of a bus"]] and PHOTO[0] == PHOTOS[0]
    assert prompts(["{a} {}"], ["the {}", "{a}"]) == [["the {a} {}", "a {a} {}"]]


@pytest.mark.parametrize(
    "words",
    [
        *("an owl", "an Airedale", "an ice cream", "an umbrella", "an urchin", "an usher"),
        *("an unlocked door", "an unimportant box", "an unidentified bird", "an onion"),
        *("an hour", "an hourglass", "an heirloom", "an honest face", "an ear", "an emu"),
        *("a cat", "a hen", "a honeycomb", "a hotel", "a yak", "a 7-segment display"),
        *("a unicorn", "a unicycle", "a European gallinule", "a ewe", "a uniform", "a Ural owl"),
        *("a utensil", "a ukulele", "a one-piece swimsuit", "a once-over", "a "),
    ],
)
def test_articles_follow_the_sound(words):
    assert frame("{a}", words.partition(" ")[2]) == words
