"""Tests of data/models/train_clip.py, train_captioner.py and what they share, on random pictures.

They run in a process of their own, because they need torch.
"""

import json

import pytest

from meznet_helpers.assets import profile

pytestmark = pytest.mark.nets

SCRIPTS = profile.data() / "models"
START = f"""
import dataclasses, json, sys
from pathlib import Path
sys.path.insert(0, {str(SCRIPTS)!r})
import numpy as np, torch
import captions, drawings, training

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
drawings.SETS = 1
rng = np.random.default_rng(0)
y = np.arange(96) % 4 + 3
base = rng.integers(0, 256, (200, 1, 1, 3))
x = np.clip(base[y] + rng.integers(-40, 41, (96, 64, 64, 3)), 0, 255).astype(np.uint8)


def recipe(name, **changes):
    small = {{"batch": 64, "emoji": 2, "epochs": 3, "rate": 1e-3}}
    return dataclasses.replace(training.recipes()[name], **small | changes)


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first.weights().values(),
                                                  second.weights().values(), strict=True))


def resumed(kind, name, folder):
    # Three epochs at a stretch, and with a new process' eyes after each.
    first = kind(recipe(name), folder / "one" / f"{{name}}.safetensors", 0)
    first.file.parent.mkdir(parents=True)
    losses = []
    for _ in range(3):
        losses.append(float(first.epoch(x, y, np.arange(96), 0)[0]))
        first.log.append({{"epoch": len(first.log) + 1}})
        first.save()
        second = kind(recipe(name), first.file, 0)
        assert same(first, second)
        first = second
    whole = kind(recipe(name), folder / "two" / f"{{name}}.safetensors", 0)
    whole.file.parent.mkdir(parents=True)
    again = []
    for _ in range(3):
        again.append(float(whole.epoch(x, y, np.arange(96), 0)[0]))
        whole.log.append({{}})
    assert losses == again and same(first, whole)
    return losses
"""


@pytest.mark.parametrize(("script", "kind", "name"), [("train_clip", "ClipRun", "clip")])
def test_a_run_learns_and_goes_on_where_it_was(script, kind, name, tmp_path, torch_python):
    """The loss falls; weights, optimizer and tokenizer are those of a run at a stretch."""
    code = f"""
import shutil, {script}
folder = Path({str(tmp_path)!r})
kept = {script}.tokenizer
shared = folder / "tokenizer"
{script}.tokenizer = lambda own: kept(shared)  # it is drawn by chance, once for each run
print(json.dumps(resumed({script}.{kind}, {name!r}, folder)))
"""
    losses = json.loads(torch_python(START + code).splitlines()[-1])
    assert losses[-1] < losses[0]


def test_a_captioner_learns_and_goes_on_where_it_was(tmp_path, torch_python):
    """As a CLIP; and the decoder alone, from towers whose words were others."""
    code = f"""
import train_captioner
training.WARM_UP = 1  # step
folder = Path({str(tmp_path)!r})
kind, plain = train_captioner.CaptionerRun, recipe
losses = resumed(kind, "captioner-towers", folder)
first = kind(plain("captioner-towers"), folder / "one" / "captioner-towers.safetensors", 0)
second = kind(plain("captioner"), folder / "one" / "captioner.safetensors", 5)
changed = {{name: not torch.equal(weight, first.weights()[name])
           for name, weight in second.weights().items()}}
learned = set(second.parameters())
second.epoch(x, y, np.arange(96), 0)
still = all(torch.equal(second.weights()[name], first.weights()[name])
            for name in first.weights() if name.startswith("vision_model"))
print(json.dumps([losses, sorted(name for name in changed if changed[name]),
                  any(name.startswith("vision_model") for name in learned), still]))
"""
    losses, changed, sees, still = json.loads(torch_python(START + code).splitlines()[-1])
    assert losses[-1] < losses[0] and not sees and still
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in changed} <= {
        "word_embeddings", "predictions",
    }  # fmt: skip
    assert changed


def test_a_captioner_is_judged_by_what_follows_its_prompt(tmp_path, torch_python):
    """The loss of a pair is that of the tokens behind the prompt; names are weighed by it."""
    code = f"""
import train_captioner
from meznet_helpers import labels
run = train_captioner.CaptionerRun(recipe("captioner-towers"), Path({str(tmp_path)!r}) / "a", 0)
pixels = torch.from_numpy(x[:2]).permute(0, 3, 1, 2).float()
with torch.inference_mode():
    seen = run.seen(pixels)
    pair = ("a photo of", "a photo of a school bus")
    found = run.losses(seen[:1], **run.encoded([pair])).item()
    ids = run.tokens(pair[1], return_tensors="pt").input_ids
    logp = run.model.text_decoder(ids, encoder_hidden_states=seen[:1]).logits.log_softmax(-1)
    wanted = -sum(logp[0, at, ids[0, at + 1]].item() for at in range(3, ids.shape[1] - 1))
    weighed = run.logits(pixels, False)
at = labels.tiny_imagenet().names.index("school bus")
print(json.dumps([found, wanted, weighed.shape, -weighed[0, at].item()]))
"""
    found, wanted, shape, weighed = json.loads(torch_python(START + code).splitlines()[-1])
    assert found == pytest.approx(wanted, rel=1e-4) == weighed and shape == [2, 200]


def test_sentences(torch_python):
    """A text begins with its prompt; a class is called by its own words or its kind."""
    code = """
import sentences, wordlist
from meznet_helpers import labels
photos, space, rng = sentences.photographs(), labels.tiny_imagenet(), np.random.default_rng(3)
which = np.repeat(np.arange(200), 20)
pairs = photos.write(rng, which)
wrong = [text for at, (_, text) in zip(which, pairs)
         if not any(word in text for word in (*space.lemmas[at], *(k[at] for k in photos.kinds),
                                              "photo"))]
drawn = sentences.drawn().write(rng, np.arange(100))
first, second = (wordlist.tokenizer(sentences.all_texts(), 48) for _ in range(2))
unknown = [text for text in sentences.all_texts()
           if first.unk_token_id in first(text)["input_ids"]]
print(json.dumps([all(text.startswith(start) for start, text in pairs + drawn), wrong[:3],
                  sorted({start for start, _ in pairs}), first.get_vocab() == second.get_vocab(),
                  len(unknown)]))
"""
    begins, wrong, prompts, same, unknown = json.loads(torch_python(START + code).splitlines()[-1])
    assert begins and not wrong and len(prompts) == 4 and same and unknown == 0


def test_a_run_keeps_its_tokenizer(tmp_path, fresh_python):
    """Made anew, it may number its pieces otherwise; a run reads the one that it began with."""
    code = f"""
import train_clip
folder = Path({str(tmp_path / "clip-tokenizer")!r})
made = train_clip.tokenizer(folder)
file = folder / "tokenizer.json"
about = json.loads(file.read_text(encoding="utf-8"))
vocabulary = about["model"]["vocab"]
a, b = [piece for piece in vocabulary if piece.endswith("</w>") and len(piece) > 8][:2]
vocabulary[a], vocabulary[b] = vocabulary[b], vocabulary[a]
file.write_text(json.dumps(about), encoding="utf-8")
again = train_clip.tokenizer(folder)
print(json.dumps([made.get_vocab()[a], again.get_vocab()[a], again.get_vocab()[b],
                  made("a photo of a zyzzyva").input_ids.count(made.unk_token_id)]))
"""
    first, swapped, other, unknown = json.loads(fresh_python(START + code).splitlines()[-1])
    assert first != swapped and first == other
    assert unknown == 1, "the end alone"


def test_contrast_is_both_ways_of_a_contingency(torch_python):
    """Against sums written out: pictures to captions, and back where a caption has a picture."""
    code = """
import train_clip
rng = np.random.default_rng(1)
logits = torch.from_numpy(rng.normal(size=(5, 4)))
of = np.array([0, 1, 1, 3, 0])
right = torch.eye(4, dtype=torch.float64)[of]
found = train_clip.contrast(logits, right).item()
scores = np.exp(logits.numpy())
rows = scores / scores.sum(1, keepdims=True)
columns = scores / scores.sum(0, keepdims=True)
there = -np.mean([np.log(rows[i, c]) for i, c in enumerate(of)])
back = []
for c in (0, 1, 3):  # nobody shows caption 2
    own = np.flatnonzero(of == c)
    back.append(-np.mean([np.log(columns[i, c]) for i in own]))
print(json.dumps([found, (there + np.mean(back)) / 2]))
"""
    found, wanted = json.loads(torch_python(START + code).splitlines()[-1])
    assert found == pytest.approx(wanted)


def test_captions(torch_python):
    """Each class is called by its own words, and no drawing's caption comes from an animal."""
    code = """
from meznet_helpers import emojizoo, labels
photos, drawn = captions.photographs(), captions.drawn()
rng = np.random.default_rng(2)
space, table = labels.tiny_imagenet(), emojizoo.table().set_index("slug")
texts = photos.write(rng, np.repeat(np.arange(200), 20))
wrong = [text for at, text in zip(np.repeat(np.arange(200), 20), texts)
         if not any(word in text for word in space.lemmas[at])]
first = np.mean([space.names[at] in text for at, text in zip(np.repeat(np.arange(200), 20), texts)])
animals = set(table[table["animal"] == "yes"].name)
print(json.dumps([len(texts), wrong[:3], float(first), len(drawn.words),
                  sorted({words[0] for words in drawn.words} & animals)]))
"""
    count, wrong, first, drawn, animals = json.loads(torch_python(START + code).splitlines()[-1])
    assert count == 4000 and not wrong and first > 0.6
    assert drawn > 700 and animals == []


def test_batches_are_photographs_then_drawings(tmp_path, torch_python):
    """Three quarters of a batch, each photograph once an epoch; drawings come from the cache."""
    code = f"""
import train_clip
from types import SimpleNamespace
run = SimpleNamespace(log=[], recipe=recipe("clip"), device=torch.device("cpu"),
                      file=Path({str(tmp_path)!r}) / "clip.safetensors")
seen, labels = [], []
for pixels, maps, photos, drawn, rate, _ in drawings.batches(run, x, y, np.arange(96), 5):
    assert pixels.shape == (64, 3, 64, 64) and len(maps) == 64 and len(photos) == 48
    assert len(drawn) == 16 and rate > 0
    for at, picture in enumerate(pixels[:48].permute(0, 2, 3, 1).numpy().astype(np.uint8)):
        place = next(i for i in range(96) if np.array_equal(x[i], picture))
        assert y[place] == photos[at]
        seen.append(place)
    cached, what = drawings.rendered(2, 6, run.file.parent / "cache")
    for at, picture in enumerate(pixels[48:].permute(0, 2, 3, 1).numpy().astype(np.uint8)):
        labels.append(any(np.array_equal(cached[i], picture)
                          for i in np.flatnonzero(what == drawn[at])))
files = sorted(file.name for file in (run.file.parent / "cache").iterdir())
print(json.dumps([sorted(seen), labels, files]))
"""
    seen, labels, files = json.loads(torch_python(START + code).splitlines()[-1])
    assert seen == list(range(96)) and all(labels) and len(labels) == 32
    assert files == ["drawings-2-6-classes.npy", "drawings-2-6-pixels.npy"]
