"""Tests of fine-tuning CLIP: what learns, the way back, the folder, ONNX. On torch, elsewhere."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from meznet_helpers import cli
from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError
from meznet_helpers.finetune import Recipe
from meznet_helpers.names import labeler
from meznet_helpers.ui import desk
from meznet_helpers.words import TunedLabeler, tuned

pytestmark = pytest.mark.nets

PRELUDE = """
import dataclasses, json, shutil, sys
import numpy as np, torch
from pathlib import Path
from meznet_helpers import emojizoo
from meznet_helpers.book import clip_study
from meznet_helpers.errors import MeznetError
from meznet_helpers.finetune import Recipe, clip, report
from meznet_helpers.images import read_many
from meznet_helpers.words import clip as checkpoint, tuned
from meznet_helpers.words import TunedLabeler, ZeroShotLabeler

torch.set_num_threads(1)
zoo = emojizoo.render({"cat": ["cat-face"], "fruit": ["lemon", "banana"]}, (24, 36), size=64)
train, valid = zoo.by_picture(valid=12)
SHORT = Recipe(epochs=2, batch=12, rate=1e-3, class_weight="balanced")

def refused(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except MeznetError as error:
        return str(error)
    raise AssertionError("not refused")
"""


def test_what_learns(torch_python):
    """A probe leaves the tower alone bit for bit; full moves it; LoRA moves queries and values."""
    torch_python(
        PRELUDE
        + """
start = checkpoint.load("tiny").model
kept = {name: each.clone() for name, each in start.state_dict().items()}
moved = {}
for method in clip.METHODS:
    found = clip.tune(train, valid, method, SHORT, source="tiny")
    after = found.net.state_dict()
    moved[method] = {name for name, each in found.before.items()
                     if not torch.equal(after[name], each)}
    assert after.keys() == found.before.keys(), method
    assert moved[method] >= {"net.weight", "net.bias"}, method
    assert list(found.history["steps"]) == [4, 4]
head = {"net.weight", "net.bias"}
assert moved["probe"] == head
assert len(moved["full"]) == len(after), set(after) - moved["full"]
lora = moved["lora"] - head
assert lora and all(name.endswith(("q_proj.weight", "v_proj.weight")) for name in lora), lora
assert len(lora) == 2 * start.config.vision_config.num_hidden_layers
for name in lora:  # the change is of low rank
    change = (found.net.state_dict()[name] - found.before[name]).double()
    assert torch.linalg.matrix_rank(change, tol=1e-5) <= clip.RANK, name
for name, each in start.state_dict().items():
    assert torch.equal(each, kept[name]), f"tuning changed the loaded checkpoint: {name}"
said = refused(clip.tune, train, valid, "all")
assert said == 'method is "all"; choose from probe, full, lora.', said
"""
    )


def test_starts_from_zero_shot_and_goes_back_there(torch_python):
    torch_python(
        PRELUDE
        + """
wanted = ZeroShotLabeler("tiny", zoo.labels).predict(valid.images).probs[0]
found = clip.tune(train, valid, "full", SHORT, source="tiny")
end = found.probs(valid.images)
assert np.abs(end - wanted).max() > 0.05
np.testing.assert_allclose(clip.interpolated(found, 0).probs(valid.images), wanted, atol=1e-5)
np.testing.assert_allclose(clip.interpolated(found, 1).probs(valid.images), end, atol=1e-5)
half = clip.interpolated(found, 0.5)
for name, each in half.net.state_dict().items():
    mean = (found.before[name] + found.net.state_dict()[name]) / 2
    torch.testing.assert_close(each, mean, atol=1e-6, rtol=1e-5)
np.testing.assert_array_equal(found.probs(valid.images), end)  # it was not touched
for share in (-0.1, 1.5, float("nan")):
    assert "it must be from 0 to 1" in refused(clip.interpolated, found, share)

# What is left of zero-shot: at the start all of it, whatever labels are asked for.
others = emojizoo.render(["lemon", "teapot", "bus"], 5, size=64)
wanted = ZeroShotLabeler("tiny", others.labels).predict(others.images).probs[0]
net = clip.zero_shot_left(clip.interpolated(found, 0), others.labels)
from meznet_helpers.finetune import predict
recipe = Recipe(size=64)
np.testing.assert_allclose(predict(net, others.images, recipe), wanted, atol=1e-5)
net = clip.zero_shot_left(found, others.labels)
assert np.abs(predict(net, others.images, recipe) - wanted).max() > 1e-3
probe = clip.zero_shot_left(clip.tune(train, valid, "probe", SHORT, source="tiny"), others.labels)
np.testing.assert_allclose(predict(probe, others.images, recipe), wanted, atol=1e-5)
"""
    )


def test_a_probe_finds_what_scikit_learn_finds(torch_python):
    """Trained long enough, on the same embeddings, without variation, both separate alike."""
    torch_python(
        PRELUDE
        + """
from sklearn.linear_model import LogisticRegression
recipe = Recipe(epochs=40, batch=48, rate=0.03, decay=0.0, smoothing=0.0, crop=1.0, flip=False)
found = clip.tune(train, valid, "probe", recipe, source="tiny")
net = ZeroShotLabeler("tiny", zoo.labels)
x, judged = (net.features(list(part.images)) for part in (train, valid))
reference = LogisticRegression(C=1e4, max_iter=10_000).fit(x, train.truth)
agree = (found.probs(valid.images).argmax(1) == reference.predict(judged)).mean()
assert agree >= 11 / 12, agree
assert found.history["loss"].iloc[-1] < 0.3 * found.history["loss"].iloc[0]
"""
    )


def test_a_training_of_another_clip_is_refused(torch_python, tmp_path):
    """A checkpoint with the same names and shapes and other weights; other prompts, too."""
    torch_python(
        PRELUDE
        + f"""
from safetensors.torch import load_file, save_file
from meznet_helpers.assets import profile
other, kept = Path({str(tmp_path)!r}) / "other", Path({str(tmp_path)!r}) / "kept"
shutil.copytree(profile.data() / "models" / "clip", other)
weights = load_file(other / "model.safetensors")
weights["visual_projection.weight"] = weights["visual_projection.weight"].flip(0)
save_file(weights, other / "model.safetensors", {{"format": "pt"}})
go = lambda **changed: clip.tune(train, valid, "probe", SHORT, checkpoint=kept,
                                 **{{"source": "tiny"}} | changed)
go()
before = kept.read_bytes()
for changed in ({{"source": str(other)}}, {{"templates": ["an image of {{}}"]}}):
    said = refused(go, **changed)
    assert said == (f"{{kept}} is of a training with other source; delete it or name another "
                    "file."), said
assert kept.read_bytes() == before
"""
    )


@pytest.mark.parametrize("method", ["full", "lora"])
def test_an_interrupted_training_loses_one_epoch_at_most(method, torch_python, tmp_path):
    """It goes on from the last epoch and ends with the very same weights."""
    torch_python(
        PRELUDE
        + f"""
from unittest import mock
from meznet_helpers.finetune import loop
path, recipe = Path({str(tmp_path / "kept")!r}), dataclasses.replace(SHORT, epochs=3)
whole = clip.tune(train, valid, {method!r}, recipe, source="tiny", seed=3)
epochs = []
def stop(self, watch, real=loop._Run.epoch):
    if len(self.log) == 2:
        raise KeyboardInterrupt
    epochs.append(len(self.log))
    return real(self, watch)
with mock.patch.object(loop._Run, "epoch", stop):
    try:
        clip.tune(train, valid, {method!r}, recipe, source="tiny", seed=3, checkpoint=path)
    except KeyboardInterrupt:
        pass
assert epochs == [0, 1] and path.exists()
again = clip.tune(train, valid, {method!r}, recipe, source="tiny", seed=3, checkpoint=path)
for name, each in whole.net.state_dict().items():
    assert torch.equal(each, again.net.state_dict()[name]), name
if {method!r} == "full":  # its weights are called as a probe's are
    said = refused(clip.tune, train, valid, "probe", recipe, source="tiny", seed=3, checkpoint=path)
    assert "is of a training with other weights that learn; delete it" in said, said
"""
    )


def test_the_folder(torch_python, tmp_path):
    """Through the folder come the same probabilities, and transformers can read what is in it."""
    out = torch_python(
        PRELUDE
        + f"""
from transformers import CLIPModel
base = Path({str(tmp_path)!r})
wide = [np.kron(image, np.ones((2, 3, 1), np.uint8)) for image in valid.images]  # not square
seen = clip.cropped(dataclasses.replace(valid, images=read_many(wide)), "tiny")
for method in ("probe", "lora"):
    found = clip.tune(train, valid, method, SHORT, source="tiny")
    folder = report.save(found, base / method, train, {{"valid": valid, "test": seen}})
    labeled = TunedLabeler(folder).predict(wide).probs[0]
    np.testing.assert_allclose(labeled, found.probs(seen.images), atol=1e-5)
    about = tuned.read(folder)
    right = int((labeled.argmax(1) == valid.truth).sum())
    assert about["metrics"]["test"]["accuracy"] == right / 12, about["metrics"]
    assert (folder / "config.json").exists() == (method == "lora")
    if method == "lora":
        whole = CLIPModel.from_pretrained(folder, dtype=torch.float32)
        tower = found.net.net.vision_model.state_dict()
        for name, each in whole.vision_model.state_dict().items():
            assert torch.equal(each, tower[name]), name
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "| cat |" in card and f"{{method}}" in card
said = refused(report.save, found, base / "lora", train, {{"valid": valid}})
assert said.endswith("lora is there already; name a new folder."), said
assert sorted(each.name for each in base.iterdir()) == ["lora", "probe"]

# A save that breaks off leaves nothing.
from unittest import mock
with mock.patch("safetensors.torch.save_file", side_effect=OSError(28, "No space left on device")):
    said = refused(report.save, found, base / "full", train, {{"valid": valid}})
assert said.endswith("full can't be written (No space left on device)."), said
try:
    with mock.patch.object(tuned.stored, "sealed", side_effect=KeyboardInterrupt):
        report.save(found, base / "full", train, {{"valid": valid}})
except KeyboardInterrupt:
    pass
assert sorted(each.name for each in base.iterdir()) == ["lora", "probe"]
"""
    )
    assert out == ""


@pytest.fixture
def probe(tmp_path):
    """A copy of the classifier of this repository."""
    return shutil.copytree(tuned.find("tiny"), tmp_path / "probe")


def unsealed(folder: Path) -> dict:
    """Return what a folder says of itself, but for its digests."""
    about = json.loads((folder / "meznet.json").read_text(encoding="utf-8"))
    return {key: value for key, value in about.items() if key not in ("sha256", "files")}


def test_broken_folders(probe, torch_python):
    about = unsealed(probe)
    changed = probe.with_name("changed")
    shutil.copytree(probe, changed)
    (changed / "meznet.json").write_text(json.dumps(about | {"digest": "0" * 64}), encoding="utf-8")
    three = probe.with_name("three")
    shutil.copytree(probe, three)
    names = {"name": "three", "ids": ["a", "b", "c"], "names": ["a", "b", "c"]}
    (three / "meznet.json").write_text(json.dumps(about | {"labels": names}), encoding="utf-8")
    cut = probe.with_name("cut")
    shutil.copytree(probe, cut)
    (cut / "meznet.json").write_text(json.dumps(about), encoding="utf-8")
    (cut / "head.safetensors").write_bytes(b"no")
    torch_python(
        PRELUDE
        + f"""
for folder, part in (({str(three)!r}, "for 3 labels on this CLIP it must be (3, 128)."),
                     ({str(cut)!r}, "head.safetensors is no readable classifier: ")):
    said = refused(TunedLabeler(folder).predict, valid.images)
    assert said.startswith(folder) and part in said and "\\n" not in said, said
if not tuned.whole(Path({str(probe)!r})):
    said = refused(TunedLabeler({str(changed)!r}).predict, valid.images)
    assert said.endswith("was tuned on other weights than tiny has now; tune anew."), said
"""
    )
    (probe / "meznet.json").write_text("{", encoding="utf-8")
    with pytest.raises(MeznetError, match=r"meznet\.json is no description of a tuned CLIP"):
        TunedLabeler(probe)
    (probe / "meznet.json").write_text('{"kind": "other"}', encoding="utf-8")
    with pytest.raises(MeznetError, match=r"is no description of a tuned CLIP .* it lacks 'base'"):
        TunedLabeler(probe)


def based_on(folder: Path, base: object) -> Path:
    """Let the folder name another CLIP."""
    about = unsealed(folder) | {"base": base}
    (folder / "meznet.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


@pytest.mark.parametrize("base", ["", "clip/zero-shot"])
def test_a_folder_that_does_not_say_which_clip_is_refused(base, probe):
    for download in (False, True):
        with pytest.raises(MeznetError, match=r"which CLIP was tuned; tune anew, with --source"):
            TunedLabeler(based_on(probe, base), download=download)


@pytest.mark.parametrize("base", ["openai", "nobody/clip"])
def test_a_folder_starts_no_download(base, probe, tmp_path, monkeypatch, capsys):
    """Unless it is allowed; what a folder brings along, or the hub's cache has, is no download."""
    from huggingface_hub import constants

    hub = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    based_on(probe, base)
    said = f"{probe} wants {base}, which is not on this machine; --download (in Python"
    for call in (TunedLabeler, lambda folder: labeler(f"clip/tuned@{folder}"), desk.opened):
        with pytest.raises(MeznetError, match=re.escape(said)):
            call(probe)
    picture = str(profile.package_photographs()["cat"])
    for command in (["clip", "label", picture, "--model", str(probe)],
                    ["clip", "export", "--model", str(probe), "--out", str(tmp_path / "x.onnx")],
                    ["label", picture, "--model", f"clip/tuned@{probe}"]):  # fmt: skip
        assert cli.main(command) == 2
        out, err = capsys.readouterr()
        assert not out and said in err and err.count("\n") == 1
    allowed = labeler(f"clip/tuned@{probe}", download=True)
    assert allowed.source == base and TunedLabeler.from_recipe(allowed.recipe()).source == base
    with monkeypatch.context() as patch:
        patch.setenv("MEZNET_OFFLINE", "1")
        assert TunedLabeler(probe).source == base  # loading says why nothing comes
    repository = {"openai": "openai/clip-vit-base-patch32"}.get(base, base).replace("/", "--")
    file = hub / f"models--{repository}" / "snapshots" / "0" / "model.safetensors"
    file.parent.mkdir(parents=True)
    file.touch()
    assert TunedLabeler(probe).here()


def test_a_folder_looks_up_no_address(probe, torch_python):
    """Of the CLIP that it names, before it is allowed; then it is the hub's."""
    based_on(probe, "nobody/clip")
    torch_python(
        PRELUDE
        + f"""
import socket
from unittest import mock
from meznet_helpers.names import labeler
asked = set()
def look_up(host, *_, **__):
    asked.add(str(host))
    raise socket.gaierror(-2, "Name or service not known")
def use(download):
    return refused(lambda: TunedLabeler({str(probe)!r}, download=download).predict(valid.images))
with mock.patch("socket.getaddrinfo", look_up), mock.patch("time.sleep"):
    assert "wants nobody/clip, which is not on this machine" in use(False)
    refused(labeler, "clip/tuned@" + {str(probe)!r})
    assert not asked, asked
    assert use(True).startswith("nobody/clip can't be loaded")
    assert asked == {{"huggingface.co"}}, asked
"""
    )


@pytest.mark.parametrize("file", ["head.safetensors", "meznet.json"])
def test_a_flipped_bit_is_noticed(file, probe):
    content = (probe / file).read_bytes()
    for seed in range(20):
        bit = int(np.random.default_rng(seed).integers(8 * len(content)))
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        (probe / file).write_bytes(flipped)
        with pytest.raises(MeznetError) as caught:
            TunedLabeler(probe)
        said = str(caught.value)
        assert said.startswith(str(probe / "meznet.json")) and "\n" not in said, (bit, said)
    (probe / file).write_bytes(content)
    assert TunedLabeler(probe).labels.ids == ("animal", "not-animal")


def test_unwritable(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(MeznetError, match=r"out can't be written \("):
        tuned.check(tmp_path / "file" / "out")
    tuned.check(tmp_path / "new" / "out")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_colors_are_pillows(torch_python, tmp_path):
    """Brightness, contrast and saturation as Pillow changes them, but for its rounding."""
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(60, 180, (4, 4, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
    recipe = Recipe(color=0.3, crop=1.0, flip=False)
    draws = np.random.default_rng(7)
    recipe.crops(draws, 1)
    brightness, contrast, saturation = recipe.colors(draws, 1)[:, 0]
    wanted = ImageEnhance.Brightness(Image.fromarray(image)).enhance(brightness)
    wanted = ImageEnhance.Contrast(wanted).enhance(contrast)
    wanted = np.asarray(ImageEnhance.Color(wanted).enhance(saturation))
    np.save(tmp_path / "image.npy", image)
    torch_python(
        PRELUDE
        + f"""
from meznet_helpers.finetune import forward
image = np.load({str(tmp_path / "image.npy")!r})
recipe = Recipe(color=0.3, crop=1.0, flip=False)
found = forward.varied(forward.pixels(image[None], "cpu"), recipe, np.random.default_rng(7))
np.save({str(tmp_path / "found.npy")!r}, found.numpy()[0].transpose(1, 2, 0))
"""
    )
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), wanted, atol=2.5)
    assert np.abs(wanted.astype(int) - image).max() > 10, "the test must change something"


def test_a_turn_is_pillows(torch_python, tmp_path):
    """The middle of a turned picture, as Pillow turns it, either way."""
    y, x = np.mgrid[:64, :64]
    image = np.stack([x * 3, y * 3, (x + y) * 1.5], axis=2).astype(np.uint8)
    np.save(tmp_path / "image.npy", image)
    torch_python(
        PRELUDE
        + f"""
from meznet_helpers.finetune import forward
image = np.load({str(tmp_path / "image.npy")!r})
recipe = Recipe(rotation=40, crop=1.0, flip=False)
found = forward.varied(forward.pixels(image[None].repeat(6, 0), "cpu"), recipe,
                       np.random.default_rng(1))
np.save({str(tmp_path / "found.npy")!r}, found.numpy().transpose(0, 2, 3, 1))
"""
    )
    recipe, draws = Recipe(rotation=40, crop=1.0, flip=False), np.random.default_rng(1)
    maps = recipe.crops(draws, 6)
    angles = np.degrees(np.arctan2(maps[:, 1, 0], maps[:, 0, 0]))
    assert angles.min() < -10 and angles.max() > 10 and np.abs(angles).max() <= 40
    for turned, angle in zip(np.load(tmp_path / "found.npy"), angles, strict=True):
        wanted = Image.fromarray(image).rotate(angle, Image.Resampling.BILINEAR)
        middle = slice(20, 44)
        np.testing.assert_allclose(
            turned[middle, middle], np.asarray(wanted)[middle, middle], atol=2
        )


def test_recipes_refuse():
    for field, value in (("rotation", 181), ("color", 1.0), ("class_weight", (1.0, 0.0))):
        with pytest.raises(MeznetError, match=f"^{field} is "):
            Recipe(**{field: value})


def test_export(torch_python, tmp_path):
    """ONNX Runtime alone, from the file's own metadata, gives torch's labels on other images."""
    out = torch_python(
        PRELUDE
        + f"""
import onnxruntime
from meznet_helpers.words import onnx_export
from PIL import Image
path = Path({str(tmp_path / "net.onnx")!r})
net = TunedLabeler("tiny")
found = onnx_export.export(net, path)
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
about = session.get_modelmeta().custom_metadata_map
mean, deviation = (np.array(json.loads(about[key])) for key in ("mean", "deviation"))
pixels = np.stack(list(valid.images)) / 255
batch = ((pixels - mean) / deviation).transpose(0, 3, 1, 2).astype(np.float32)
(logits,) = session.run(["logits"], {{"pixels": batch}})
odds = np.exp(logits - logits.max(1, keepdims=True))
wanted = net.predict(valid.images).probs[0]
np.testing.assert_allclose(odds / odds.sum(1, keepdims=True), wanted, atol=1e-4)
assert json.loads(about["labels"]) == list(net.labels.ids)
assert len(list(path.parent.iterdir())) == 1, list(path.parent.iterdir())

# A file that computes something else is not left behind.
from unittest import mock
with mock.patch.object(onnx_export, "TOLERANCE", 0.0):
    said = refused(onnx_export.export, net, path.with_name("bad.onnx"))
assert "bad.onnx was not written: ONNX Runtime differs" in said, said
said = refused(onnx_export.export, net, path / "below.onnx")
assert said.startswith(f"{{path / 'below.onnx'}} can't be written"), said
assert len(list(path.parent.iterdir())) == 1
print(json.dumps(found))
"""
    )
    found = json.loads(out)
    assert found["images"] == 100 and found["difference"] <= 1e-4
    assert found["bytes"] == (tmp_path / "net.onnx").stat().st_size < 15e6
    assert 0.1 < found["ratio"] < 100


def test_the_repository_s_own_is_as_it_says():
    folder = profile.data() / "models" / "clip-tuned"
    about = tuned.read(folder)
    card = (folder / "README.md").read_text(encoding="utf-8")
    for name, one in about["metrics"].items():
        right = sum(one["confusion"][label][label] for label in range(2))
        assert one["accuracy"] == right / one["n"]
        assert f"| {name} pictures | {one['accuracy']:.1%} (" in card
