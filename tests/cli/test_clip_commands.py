"""Tests of ``meznet clip``: through the command itself, in processes of its own."""

import csv
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from meznet_helpers import emojizoo
from meznet_helpers.assets import profile
from meznet_helpers.cli import clip
from meznet_helpers.errors import MeznetError
from meznet_helpers.finetune import read_parts
from meznet_helpers.images import write_tree
from meznet_helpers.labels import from_names

pytestmark = pytest.mark.nets

COMMAND = [sys.executable, "-m", "meznet_helpers.cli", "clip"]
TINY = ("--source", "tiny")
CAT = str(profile.package_photographs()["cat"])


def run(*args: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*COMMAND, *map(str, args)], capture_output=True, text=True, encoding="utf-8", timeout=600
    )


def refused(done: subprocess.CompletedProcess, *parts: str) -> None:
    """One line on standard error, nothing on standard output, status 2."""
    assert done.returncode == 2, done
    assert not done.stdout and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("meznet: ")
    for part in parts:
        assert part in done.stderr, done.stderr


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """Pictures of two labels in train, valid and test."""
    root = tmp_path_factory.mktemp("tree")
    zoo = emojizoo.render({"cat": ["cat-face"], "fruit": ["lemon", "banana"]}, (24, 36), size=64)
    rest, test = zoo.by_picture(valid=10, seed=1)
    for name, part in zip(("train", "valid"), rest.by_picture(valid=10, seed=2), strict=True):
        write_tree(part, root / name)
    write_tree(test, root / "test")
    return root


def test_label(tmp_path):
    """The labels are those that were typed; the file holds what the terminal would show."""
    options = [
        "--model",
        "tiny",
        "--labels",
        "cat, school bus,owl",
        "--template",
        "a photo of {a}",
        "--top",
        "3",
    ]
    done = run("label", CAT, *options)
    assert done.returncode == 0 and not done.stderr, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert {row["label_id"] for row in rows} == {"cat", "school-bus", "owl"}
    assert sum(float(row["score"]) for row in rows) == pytest.approx(1, abs=1e-3)
    (tmp_path / "bad.png").write_text("no picture", encoding="utf-8")
    table = tmp_path / "table.csv"
    done = run("label", CAT, tmp_path / "bad.png", *options, "--out", table)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.count("\n") == 1 and "bad.png" in done.stderr
    assert list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8")))) == rows


def test_label_tuned_is_the_labeler():
    done = run("label", CAT, "--model", "tuned@tiny", "--json")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["label"] for row in rows] in (["animal", "not animal"], ["not animal", "animal"])
    folder = profile.data() / "models" / "clip-tuned"
    assert run("label", CAT, "--model", folder, "--json").stdout == done.stdout


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--labels", ","], "--labels: '' is no name"),
        (["--labels", "cat,"], "--labels: '' is no name"),
        (["--labels", "cat"], "--labels: there must be two labels or more, not 1 (cat)."),
        (["--labels", "cat,Cat"], '"cat" and "Cat" are the same label'),
        (["--labels", "cat,dog", "--template", "a photo"], 'template "a photo" has no {} or {a}'),
        (["--model", "nowhere"], '"nowhere" is no CLIP checkpoint'),
        (["--model", "tuned@tiny", "--labels", "cat,dog"], "--labels is for zero-shot; tuned@tiny"),
        (["--model", "tuned"], '"clip/tuned@tiny" and "clip/tuned@FOLDER"'),
        (["--out", "/nowhere/x.csv"], "--out: /nowhere is no folder"),
        (["--top", "0"], "'--top': Input should be greater than or equal to 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_label_refuses(options, part):
    refused(run("label", CAT, *options), part)


def test_finetune(tree, tmp_path):
    """A probe of two labels; its folder labels, and says what it was measured to be."""
    out = tmp_path / "new" / "clip"
    done = run("finetune", *TINY, "--data", tree, "--out", out, "--epochs", 2, "--rate", 0.02)
    assert done.returncode == 0 and not done.stderr, done.stderr
    found = json.loads(done.stdout)
    assert found["folder"] == str(out) and set(found["metrics"]) == {"valid", "test"}
    assert sorted(each.name for each in out.parent.iterdir()) == ["clip"]
    about = json.loads((out / "meznet.json").read_text(encoding="utf-8"))
    assert about["recipe"]["epochs"] == 2 and about["method"] == "probe"
    pictures = sorted((tree / "test").glob("*/*.png"))
    done = run("label", *pictures, "--model", out, "--top", 1)
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    names = [Path(path).parent.name for path in pictures]
    right = sum(row["label_id"] == name for row, name in zip(rows, names, strict=True))
    assert right / len(rows) == found["metrics"]["test"]["accuracy"]
    # What is there is not written over, and is still whole.
    refused(
        run("finetune", *TINY, "--data", tree, "--out", out), "clip is there already; name a new"
    )
    assert json.loads((out / "meznet.json").read_text(encoding="utf-8")) == about


def test_finetune_goes_on(tree, tmp_path):
    """Killed after an epoch, it goes on, and ends with the weights of one that was not."""
    options = ["--data", tree, "--epochs", 4, "--method", "lora"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run("finetune", *TINY, *options, "--out", whole).returncode == 0
    kept = tmp_path / "broken.training"
    command = [*COMMAND, "finetune", *TINY, *map(str, options), "--out", str(broken)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 300
        while not kept.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert kept.exists() and not broken.exists()
    done = run("finetune", *TINY, *options, "--out", broken)
    assert done.returncode == 0 and "going on from" in done.stderr
    assert not kept.exists()
    for name in ("head.safetensors", "model.safetensors"):
        assert (whole / name).read_bytes() == (broken / name).read_bytes(), name


def test_finetune_keeps_on_after_bad_files(tree, tmp_path):
    copy = shutil.copytree(tree, tmp_path / "tree")
    (copy / "train" / "cat" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    out = tmp_path / "out"
    done = run("finetune", *TINY, "--data", copy, "--out", out, "--epochs", 1)
    assert done.returncode == 1 and (out / "meznet.json").exists()
    assert done.stderr.count("\n") == 1 and "broken.png" in done.stderr


def without(tree: Path, copy: Path, *folders: str) -> Path:
    shutil.copytree(tree, copy)
    for folder in folders:
        shutil.rmtree(copy / folder)
    return copy


def test_finetune_refuses_data(tree, tmp_path):
    one = without(tree, tmp_path / "one", "train/cat", "valid/cat", "test/cat")
    lacking = without(tree, tmp_path / "lacking", "valid/cat")
    more = without(tree, tmp_path / "more", "train/cat")
    shutil.copytree(tree / "train" / "cat", more / "train" / "dog")
    alone = without(tree, tmp_path / "alone", "valid", "test")
    hollow = without(tree, tmp_path / "hollow")
    for picture in (hollow / "valid" / "cat").iterdir():
        picture.write_bytes(b"broken")
    for folder, part in (
        (one, "train holds one folder, fruit; it needs two or more."),
        (lacking, 'valid has no readable image of "cat"; each label of'),
        (more, 'folder "cat" is no label of train'),
        (alone, "has a folder train, but none called valid beside it."),
        (hollow, 'valid has no readable image of "cat"'),
        (tmp_path / "nowhere", "nowhere is no folder"),
    ):
        with pytest.raises(MeznetError) as caught:
            read_parts(str(folder), 0)
        assert part in str(caught.value), caught.value
    refused(
        run("finetune", *TINY, "--data", one, "--out", tmp_path / "out"), "it needs two or more"
    )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (["--epochs", "0"], "epochs is 0; it must be 1 or more"),
        (["--rate", "-1"], "rate is -1.0; it must be more than 0"),
        (["--class-weights", "cat=1"], '--class-weights is "cat=1"; it must be auto, none, or'),
        (["--class-weights", "cat=x,fruit=1"], "cat=1,fruit=1"),
        (["--class-weights", "cat=0,fruit=1"], "class_weight is (0.0, 1.0)"),
        (["--batch", "500"], "training images are less than one batch of 500"),
        (["--source", "nowhere"], '"nowhere" is no CLIP checkpoint'),
        (["--out", "/proc/clip"], "/proc/clip can't be written ("),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_finetune_refuses(tree, tmp_path, options, part):
    refused(run("finetune", *TINY, "--data", tree, "--out", tmp_path / "out", *options), part)
    assert not list(tmp_path.iterdir())


def test_a_plain_tree_is_split(tree):
    train, judged = read_parts(str(tree / "train"), 0)
    assert set(judged) == {"valid"} and len(judged["valid"]) == round(0.2 * 40)
    assert not set(train.images.names) & set(judged["valid"].images.names)


def test_class_weights():
    labels = from_names(["Big cat", "dog", "owl"])
    assert clip.weights_of("auto", labels) == "balanced"
    assert clip.weights_of("none", labels) is None
    assert clip.weights_of("owl=3,big_cat=1,dog=2", labels) == (1.0, 2.0, 3.0)
    for text in (
        "owl=3",
        "owl=3,dog=2,owl=1",
        "1,2,3",
        "",
        "owl=3,dog=2,cow=1",
        "owl=,dog=2,cat=1",
    ):
        with pytest.raises(MeznetError, match="it must be auto, none, or like big-cat=1,dog=1"):
            clip.weights_of(text, labels)


def test_export(tmp_path):
    done = run(
        "export", "--model", "zero-shot@tiny", "--labels", "cat,dog", "--out", tmp_path / "net.onnx"
    )
    found = json.loads(done.stdout)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert np.isfinite(found["ratio"]) and found["relative"] <= 1e-4
    refused(run("export", "--out", "/nowhere/net.onnx", "--labels", "a,b"), "/nowhere is no folder")
