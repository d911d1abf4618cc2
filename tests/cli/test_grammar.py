"""Tests of the grammar of ``meznet``: an option means the same everywhere, and the help is true."""

import inspect
import io
import json
import re
import shlex
import sys

import numpy as np
import pandas as pd
import pytest
import typer
from huggingface_hub import constants
from scipy.stats import binomtest

from meznet_helpers import cli
from meznet_helpers.assets import profile, store
from meznet_helpers.cli import llm, models, options
from meznet_helpers.errors import MeznetError
from meznet_helpers.finetune import clip as tuning
from meznet_helpers.llm.asking import WORKERS
from meznet_helpers.llm.endpoint import TIMEOUT
from meznet_helpers.names import labeler


def walk(command, *path):
    """Each command with the words that call it."""
    yield path, command
    for name, child in getattr(command, "commands", {}).items():
        yield from walk(child, *path, name)


COMMANDS = [path for path, _ in walk(typer.main.get_command(cli.app))]


def run(capsys, *argv):
    """Exit status, standard output and standard error."""
    status = cli.main([str(word) for word in argv])
    return status, *capsys.readouterr()


def refused(capsys, words, *argv):
    """One line on standard error and nothing on standard output."""
    status, out, err = run(capsys, *argv)
    assert (status, out, err.count("\n")) == (2, "", 1), (out, err)
    assert err.startswith("meznet: ") and words in err, err


# ---- the help


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_ends_with_examples_that_parse(path, root, capsys, monkeypatch):
    """They are taken apart as a shell and `meznet` do; what they call is not run."""
    monkeypatch.chdir(root)
    status, out, err = run(capsys, *path, "--help")
    assert (status, err) == (0, "")
    examples = out.partition("\n  Examples:\n")[2].splitlines()
    assert len(examples) == 2 and len(set(examples)) == 2
    command = typer.main.get_command(cli.app)
    called = []
    for words, child in walk(command):
        if not hasattr(child, "commands"):
            child.callback = lambda words=words, **values: called.append(words)
    for example in examples:
        program, *argv = shlex.split(example)
        with command.make_context(program, argv) as context:
            command.invoke(context)
        assert program == "meznet" and called[-1][: len(path)] == path
    assert len(called) == 2


def test_examples_that_need_nothing_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for example in ("models --json", "fetch --list", "index info photographs@tiny",
                    "index export animals@tiny --out tiny.zip"):  # fmt: skip
        assert run(capsys, *example.split())[0] == 0
    assert (tmp_path / "tiny.zip").is_file()


def test_the_help_says_true_defaults(capsys):
    defaults = inspect.signature(llm.label).parameters
    assert (defaults["workers"].default, defaults["timeout"].default) == (WORKERS, TIMEOUT)
    text = " ".join(run(capsys, "clip", "finetune", "--help")[1].split())
    (epochs,) = {recipe.epochs for recipe in tuning.RECIPES.values()}
    (batch,) = {recipe.batch for recipe in tuning.RECIPES.values()}
    assert f"How long. [default: ({epochs})]" in text
    assert f"Images at a time. [default: ({batch})]" in text
    text = " ".join(run(capsys, "label", "--help")[1].split())
    assert f"[default: ({options.MODEL})]" in text


def test_help_loads_nothing_large(fresh_python):
    loaded = fresh_python(
        "import sys; from meznet_helpers.cli import main; main(['--help']); print(*sys.modules)"
    ).split()
    assert "typer" in loaded and not {"numpy", "pandas", "PIL", "torch", "rich"} & set(loaded)


# ---- --out and --json


TABLE = pd.DataFrame(
    {"label": ["New York, USA", "caf\u00e9"], "score": np.float32([2 / 3, np.nan]), "rank": [1, 2]}
)


def test_one_table_in_all_forms(tmp_path, capsys):
    for suffix in ("csv", "json", "parquet"):
        options.write(TABLE, str(tmp_path / f"table.{suffix}"))
    text = (tmp_path / "table.csv").read_text(encoding="utf-8")
    assert text == 'label,score,rank\n"New York, USA",0.6667,1\ncaf\u00e9,,2\n'
    assert json.loads((tmp_path / "table.json").read_text(encoding="utf-8")) == [
        {"label": "New York, USA", "score": 0.6667, "rank": 1},
        {"label": "caf\u00e9", "score": None, "rank": 2},
    ]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "table.parquet"), TABLE)
    options.write(TABLE)
    assert capsys.readouterr().out == text
    options.write(TABLE, as_json=True)
    assert capsys.readouterr().out == (tmp_path / "table.json").read_text(encoding="utf-8")
    assert len(list(tmp_path.iterdir())) == 3, "something is left beside the files"


def test_a_file_is_whole_or_as_it_was(tmp_path, monkeypatch):
    file = tmp_path / "table.CSV"
    options.write(TABLE, str(file))
    before = file.read_bytes()

    def full(self, *args, **options):
        self.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(MeznetError, match=r"can't be written \(No space left on device\)"):
        options.write(TABLE, str(file))
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("command", "suffix"),
    [
        ("label", "jsonl"),
        ("clip label", "jsonl"),
        ("index search zoo", "jsonl"),
        ("llm label", "jsonl"),
    ],
)
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--out", "table.txt"), "--out: table.txt must end in .csv, .SUFFIX or .parquet."),
        (("--out", "table"), "must end in .csv"),
        (("--out", "nowhere/table.csv"), "--out: nowhere is no folder."),
        (("--out", "a.SUFFIX", "--json"), "--json is for standard output; --out FILE.SUFFIX"),
        (("--json", "--out", "a.csv"), "--json is for standard output"),
    ],
)
def test_what_out_refuses(command, suffix, given, words, capsys, tmp_path, monkeypatch):
    """Before anything is read: no picture is there."""
    given = [word.replace("SUFFIX", suffix) for word in given]
    words = words.replace("SUFFIX", suffix)
    monkeypatch.chdir(tmp_path)
    more = ["--endpoint", "x", "--model", "y"] if command == "llm label" else []
    refused(capsys, words, *command.split(), "picture.png", *more, *given)


# ---- labels


def test_labels_from_a_row_and_from_a_file(tmp_path, capsys, monkeypatch):
    """The same two labels from each; a file as Windows writes it, too."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.txt").write_bytes(
        b'\xef\xbb\xbfcat,tabby\r\n\r\n# a city\r\n"New York, USA"\r\n'
    )
    names = ("cat", "New York, USA")
    assert options.read_labels('cat, "New York, USA"', None).names == names
    space = options.read_labels(None, "labels.txt")
    assert (space.names, space.lemmas[0], space.name) == (names, ("cat", "tabby"), "labels")
    assert options.read_labels(None, None) is None
    model = ["--endpoint", "http://127.0.0.1:9/v1", "--model", "x"]
    for command in (["clip", "label", "a.png"], ["llm", "label", "a.png", *model]):
        for given, words in (
            (["--labels", "labels.txt"], "not 1 (labels.txt). A file is given by --labels-file."),
            (["--labels-file", "cat,dog"], "Labels themselves are given by --labels."),
            (["--labels", "cat,dog", "--labels-file", "labels.txt"], "not from both"),
            (["--labels", 'cat,"dog'], '--labels: cat,"dog is no row of CSV'),
            (["--labels", "x" * 5000], "--labels: there must be two labels or more, not 1"),
            (["--labels", ""], "--labels: there must be two labels or more, not 0."),
        ):
            refused(capsys, words, *command, *given)
    refused(capsys, "give --labels or --labels-file", "llm", "label", "a.png", *model)


# ---- images


@pytest.mark.parametrize(
    ("image", "words"),
    [
        ("", 'meznet: "": no image is found there.'),
        ("https://example.org/cat.jpg", "https://example.org/cat.jpg: is a web address; download"),
    ],
)
def test_arguments_that_are_no_path(image, words, capsys):
    refused(capsys, words, "label", image)


# ---- models


def test_models(capsys, monkeypatch):
    status, out, err = run(capsys, "models")
    assert (status, err) == (0, "")
    table = pd.read_csv(io.StringIO(out)).set_index("model")
    measured = ["accuracy", "n", "low", "high", "measured_on"]
    assert list(table) == ["kind", "labels", "mb", *measured, "here"]
    assert (table["accuracy"].notna() == table["measured_on"].notna()).all()
    own = table[~table.index.str.contains("@imagenet|@int8|@openai|@blip")]
    assert own["here"].all() and len(own) == 15 and len(table) > 50
    for name in ("llm/judge@tiny", "prototypes/animals@tiny", "clip/tuned@tiny"):
        assert len(labeler(name).labels) == table.loc[name, "labels"]
    known = table.dropna(subset=["n"])
    assert ((known["low"] < known["accuracy"]) & (known["accuracy"] < known["high"])).all()
    published = table.loc["keras/MobileNetV2@imagenet"]
    assert (published["accuracy"], published["mb"], published["labels"]) == (0.713, 14, 1000)
    assert np.isnan(published["n"]) and published["measured_on"] == "ImageNet, published"
    assert table.loc["clip/tuned@tiny", ["n", "measured_on"]].tolist() == [147, "Emoji Zoo"]
    assert table.loc["llm/judge@tiny", "measured_on"] == "Tiny-ImageNet"
    net = next(row for row in json.loads(run(capsys, "models", "--json")[1])
               if row["model"] == "keras/MobileNet@tiny")  # fmt: skip
    card = json.loads((profile.data() / "models/MobileNet/net.json").read_text(encoding="utf-8"))
    assert (net["n"], net["accuracy"]) == (card["n"], round(card["hits1"] / card["n"], 4))
    assert net["mb"] == round(store.manifest()["keras/MobileNet@tiny"].bytes / 1e6, 4)


def test_models_in_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    out = run(capsys, "models")[1]
    (line,) = (line for line in out.splitlines() if line.startswith("keras/MobileNet@tiny"))
    assert re.search(r"35.9% \(34.9% to 36.8%, n = 10,000\) +Tiny-ImageNet +yes *$", line)


def test_models_that_are_published_and_fetched(capsys, monkeypatch):
    """Measured on animals; one net in two frameworks and two precisions; those that are here first.

    The interval is SciPy's, of the hits that the rounded share stands for.
    """
    text = (profile.data() / "calibration" / "calibration.json").read_text(encoding="utf-8")
    facts, whole, lost = json.loads(text), "efficientnet-lite1", "efficientnet-lite2"
    monkeypatch.setattr(store, "is_here", lambda name: name != lost)
    monkeypatch.setattr(models, "_downloaded", lambda name: name == "keras/ResNet50@imagenet")
    table = models.labelers().set_index("model")
    assert table["here"].iloc[:9].all() and table.index[0] == "keras/ResNet50@imagenet"
    assert set(table["kind"].iloc[:9]) == {"keras", "timm"}
    assert table["labels"].iloc[:9].tolist() == [1000] * 9 and table["labels"].iloc[9:].min() == 2
    assert not table["here"].iloc[9] and table["here"].sum() == 9 + 15
    names = [name for name in table.index if "ite1@" in name]
    assert sorted(names) == [
        "keras/EfficientNetLite1@imagenet", "keras/EfficientNetLite1@int8",
        "timm/tf_efficientnet_lite1@imagenet", "timm/tf_efficientnet_lite1@int8",
    ]  # fmt: skip
    for name in names:
        row, fact = table.loc[name], facts[whole + "-int8" * name.endswith("int8")]
        assert (row["accuracy"], row["n"]) == (fact["top1"], 2204)
        hits = round(row["accuracy"] * 2204)
        wanted = binomtest(hits, 2204).proportion_ci(method="wilson")
        assert (row["low"], row["high"]) == pytest.approx(tuple(wanted), abs=2e-4)
        assert row["mb"] == store.manifest()[whole].bytes / 1e6
        assert row["measured_on"] == "photographs of 39 animals, by kind"
    assert not table.loc[[name for name in table.index if "ite2@" in name], "here"].any()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    (line,) = (
        line for line in run(capsys, "models")[1].splitlines() if "EfficientNetLite0@int8" in line
    )
    assert "n = 2,204) photographs of 39 animals, by kind  yes" in line


def test_models_that_are_not_here(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "resnet50_weights_tf_dim_ordering_tf_kernels.h5").touch()
    (tmp_path / "models" / "xception_weights_tf_dim_ordering_tf_kernels_notop.h5").touch()
    hub = tmp_path / "hub"
    (hub / "models--Salesforce--blip-image-captioning-base" / "refs").mkdir(parents=True)  # no more
    place = hub / "models--openai--clip-vit-base-patch32" / "snapshots" / "0" / "model.safetensors"
    place.parent.mkdir(parents=True)
    place.touch()
    real = store.location
    lost = "models/captioner/model.safetensors"
    monkeypatch.setattr(
        store, "location", lambda name: tmp_path / "gone" if name == lost else real(name)
    )
    here = models.labelers().set_index("model")["here"]
    assert here["keras/ResNet50@imagenet"] and here["clip/zero-shot@openai"]
    assert not here["keras/ResNet50V2@imagenet"] and not here["keras/Xception@imagenet"]
    assert not here["llm/captioner@tiny"] and not here["llm/captioner@blip"]
