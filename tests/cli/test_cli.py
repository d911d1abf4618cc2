"""Tests of meznet_helpers.cli: exit statuses, and one line for each error."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import binomtest

from meznet_helpers import __version__, cli
from meznet_helpers import names as all_names
from meznet_helpers import site as sites
from meznet_helpers.assets import store
from meznet_helpers.book import validation_set as relabeling
from meznet_helpers.book import validation_set as validation
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import Labeler
from meznet_helpers.labels import from_names, tiny_imagenet


class Brightness(Labeler):
    """Stands for a network: is the picture dark or bright?"""

    name, labels = "test/Brightness@tiny", from_names(["dark", "bright", "a, b"])

    def _probabilities(self, images):
        bright = np.array([image.mean() / 255 for image in images], np.float32)
        return np.stack([0.9 - 0.9 * bright, 0.9 * bright, np.full_like(bright, 0.1)], 1)


@pytest.fixture
def asked(monkeypatch):
    """Put Brightness in the place of every labeler, and note the names asked for."""
    names = []
    monkeypatch.setattr(
        all_names, "labeler", lambda name, download=False: names.append(name) or Brightness()
    )
    return names


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (6, 6), (255, 255, 255)).save(folder / "white.png")
    Image.new("RGB", (6, 6), (51, 51, 51)).save(folder / "gray.png")
    return folder


def run(capsys, *argv):
    """Exit status, standard output, and the lines of standard error."""
    status = cli.main([str(each) for each in argv])
    out, err = capsys.readouterr()
    return status, out, err.splitlines()


# ---- label


def test_label(asked, folder, capsys):
    status, out, err = run(capsys, "label", folder, "--top", 2)
    assert (status, err) == (0, [])
    assert list(csv.reader(io.StringIO(out))) == [
        ["image", "rank", "label_id", "label", "score"],
        ["gray.png", "1", "dark", "dark", "0.7200"],
        ["gray.png", "2", "bright", "bright", "0.1800"],
        ["white.png", "1", "bright", "bright", "0.9000"],
        ["white.png", "2", "a-b", "a, b", "0.1000"],
    ]
    assert asked == ["keras/EfficientNetLite0@imagenet"]


def test_label_with_another_model(asked, folder, capsys):
    assert run(capsys, "label", folder / "white.png", "--model", "keras/X@tiny")[0] == 0
    assert asked == ["keras/X@tiny"]


def test_label_with_a_bad_file(asked, folder, capsys):
    (folder / "bad.png").write_bytes(b"nothing")
    status, out, err = run(capsys, "label", folder, "--top", 1)
    assert status == 1 and len(out.splitlines()) == 3
    assert len(err) == 1 and err[0].startswith("meznet: ") and "bad.png" in err[0]


def test_label_bad_files_only(asked, tmp_path, capsys):
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(b"")
    status, out, err = run(capsys, "label", tmp_path)
    assert (status, out, len(err)) == (2, "", 2)
    assert run(capsys, "label", tmp_path, "--out", tmp_path / "table.csv")[0] == 2
    assert not list(tmp_path.glob("table*"))


def one_line(capsys, said, *argv):
    status, out, err = run(capsys, *argv)
    assert (status, out, len(err)) == (2, "", 1), err
    assert err[0].startswith("meznet: ") and said in err[0]


def test_label_a_missing_file(asked, tmp_path, capsys):
    one_line(capsys, "gone.jpg", "label", tmp_path / "gone.jpg")


def test_label_goes_on_without_what_is_missing(asked, folder, tmp_path, capsys):
    """A shell's pattern also finds broken links, and folders that are named like files."""
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "folder.jpg").mkdir()
    files = sorted(folder.glob("*.png"))
    paths = [tmp_path / "gone.png", *files, tmp_path / "folder.jpg", "missing.jpg", ""]
    status, out, err = run(capsys, "label", *paths, "--top", 1)
    assert (status, len(out.splitlines())) == (1, 1 + len(files))
    assert [line.partition(";")[0] for line in err] == [
        f"meznet: {tmp_path / 'gone.png'}: is a link to what is not there.",
        f"meznet: {tmp_path / 'folder.jpg'}: is a folder, not an image",
        "meznet: missing.jpg: is not there",
        'meznet: "": is not there',
    ]


def test_names_do_not_steer_a_terminal(asked, folder, tmp_path, capsys):
    bad = tmp_path / "\x1b[31m\u202egpj\n.png"
    bad.write_bytes(b"nothing")
    status, _, err = run(capsys, "label", folder, bad, "--top", 1)
    assert (status, len(err)) == (1, 1) and r"\x1b[31m\u202egpj\n.png: is not an image" in err[0]


def test_label_an_empty_folder(asked, tmp_path, capsys):
    one_line(capsys, f"{tmp_path}: no image", "label", tmp_path)


def test_label_a_pattern_without_files(asked, folder, capsys):
    one_line(capsys, "*.webp", "label", folder / "*.webp")


@pytest.mark.parametrize("top", [0, -1])
def test_label_with_top_zero(top, asked, folder, capsys):
    one_line(capsys, "'--top': Input should be greater", "label", folder, "--top", top)


def test_label_with_an_unknown_model(folder, capsys):
    one_line(capsys, 'called "keras/Nothing@x"', "label", folder, "--model", "keras/Nothing@x")


# ---- several models, ensembles, JSON


@pytest.fixture
def several(monkeypatch):
    """Put a Brightness of that name in the place of every labeler; "other" sees it inverted."""
    made = []

    def make(name, **_):
        net = Brightness()
        net.name, net.released = name, 0
        if name == "other":
            net.probabilities = lambda images: Brightness.probabilities(
                net, [255 - i for i in images]
            )
        if name == "animals":
            net.labels = from_names(["dog", "cat", "cow"])
        net.release = lambda: setattr(net, "released", net.released + 1)
        made.append(net)
        return net

    monkeypatch.setattr(all_names, "labeler", make)
    return made


def test_label_with_several_models(several, folder, capsys):
    argv = ("label", folder, "--model", "one", "--model", "animals", "--top", 1)
    status, out, err = run(capsys, *argv)
    assert (status, err) == (0, [])
    assert list(csv.reader(io.StringIO(out))) == [
        ["image", "model", "rank", "label_id", "label", "score"],
        ["gray.png", "one", "1", "dark", "dark", "0.7200"],
        ["gray.png", "animals", "1", "dog", "dog", "0.7200"],
        ["white.png", "one", "1", "bright", "bright", "0.9000"],
        ["white.png", "animals", "1", "cat", "cat", "0.9000"],
    ]
    assert [net.released for net in several] == [1, 1]


@pytest.mark.parametrize("models", [["one"], ["one", "other"]])
def test_label_as_json(models, several, folder, capsys):
    argv = ["label", folder, "--top", 2]
    for name in models:
        argv += ["--model", name]
    rows = list(csv.DictReader(io.StringIO(run(capsys, *argv)[1])))
    status, out, err = run(capsys, *argv, "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert (status, err) == (0, []) and len(found) == 4 * len(models)
    for row, record in zip(rows, found, strict=True):
        assert list(record) == list(row)
        assert record["score"] == float(row["score"]) and record["rank"] == int(row["rank"])
        assert record["label"] == row["label"] and record["image"] == row["image"]


def test_label_with_an_ensemble(several, folder, capsys):
    argv = ("label", folder, "--model", "one", "--model", "other", "--ensemble", "soft")
    status, out, err = run(capsys, *argv, "--top", 3)
    rows = list(csv.reader(io.StringIO(out)))
    assert (status, err) == (0, [])
    assert rows[0] == ["image", "rank", "label_id", "label", "score"]
    assert [row[2:] for row in rows[1:4]] == [
        ["dark", "dark", "0.4500"],
        ["bright", "bright", "0.4500"],
        ["a-b", "a, b", "0.1000"],
    ]
    assert all(net.released for net in several)


def test_an_ensemble_of_the_published_nets(several, folder, capsys):
    assert run(capsys, "label", folder, "--ensemble", "borda")[0] == 0
    names = [f"keras/EfficientNetLite{number}@imagenet" for number in range(3)]
    assert [net.name for net in several] == names


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--ensemble", "sift"), '"sift"; did you mean "soft"'),
        (("--ensemble", "soft", "--model", "one"), "two labelers or more, not 1."),
        (("--model", "one", "--model", "one"), 'but "one" is there more than once.'),
        (("--ensemble", "soft", "--model", "one", "--model", "animals"), "must share their labels"),
    ],
)
def test_models_that_do_not_fit(argv, said, several, folder, capsys):
    one_line(capsys, said, "label", folder, *argv)


# ---- evaluate


@pytest.fixture
def tree(tmp_path):
    """Seven images: four dark ones of which one looks bright, three bright ones, one looks dark."""
    for name, shades in (("Dark", (0, 10, 20, 250)), ("bright", (255, 240, 30))):
        (tmp_path / "tree" / name).mkdir(parents=True)
        for shade in shades:
            Image.new("RGB", (6, 6), (shade,) * 3).save(tmp_path / "tree" / name / f"{shade}.png")
    return tmp_path / "tree"


def tables(out):
    """The two tables of the output."""
    return [list(csv.DictReader(io.StringIO(part))) for part in out.split("\n\n")]


def test_evaluate(several, tree, tmp_path, capsys):
    file = tmp_path / "confusion.csv"
    argv = ("evaluate", "--model", "one", "--model", "other", "--data", tree, "--confusion", file)
    status, out, err = run(capsys, *argv)
    assert (status, err) == (0, [])
    accuracy, confusions = tables(out)
    assert list(accuracy[0]) == ["model", "k", "n", "hits", "accuracy", "low", "high"]
    counts = [tuple(row[key] for key in ("model", "k", "n", "hits")) for row in accuracy]
    assert counts == [
        ("one", "1", "7", "5"),
        ("one", "5", "7", "7"),
        ("other", "1", "7", "2"),
        ("other", "5", "7", "7"),
    ]
    assert accuracy[0]["accuracy"] == "0.7143"
    interval = binomtest(5, 7).proportion_ci(method="wilson")
    assert (accuracy[0]["low"], accuracy[0]["high"]) == tuple(f"{each:.4f}" for each in interval)
    assert [tuple(row.values()) for row in confusions] == [
        ("one", "dark", "bright", "1"),
        ("one", "bright", "dark", "1"),
        ("other", "dark", "bright", "3"),
        ("other", "bright", "dark", "2"),
    ]
    assert file.read_text(encoding="utf-8").splitlines() == [
        "model,truth,dark,bright,a-b",
        "one,dark,3,1,0",
        "one,bright,1,2,0",
        "one,a-b,0,0,0",
        "other,dark,1,3,0",
        "other,bright,2,1,0",
        "other,a-b,0,0,0",
    ]
    one = run(capsys, "evaluate", "--model", "one", "--data", tree, "--confusion", file)
    assert one[0] == 0
    assert file.read_text(encoding="utf-8").splitlines()[:2] == [
        "truth,dark,bright,a-b",
        "dark,3,1,0",
    ]


def test_evaluate_as_json(several, tree, capsys):
    argv = ("evaluate", "--model", "one", "--model", "other", "--data", tree)
    argv += ("--ensemble", "geometric")
    status, out, err = run(capsys, *argv, "--json")
    assert (status, err) == (0, [])
    found = json.loads(out)
    name = "ensemble/geometric(one, other)"
    assert [(row["model"], row["k"], row["n"]) for row in found["accuracy"]] == [
        (name, 1, 7),
        (name, 5, 7),
    ]
    as_text = tables(run(capsys, *argv)[1])
    for rows, records in zip(as_text, found.values(), strict=True):
        for row, record in zip(rows, records, strict=True):
            assert list(record) == list(row)
            for key, value in record.items():
                assert row[key] == (f"{value:.4f}" if isinstance(value, float) else str(value))


def test_evaluate_two_label_spaces(monkeypatch, tmp_path, capsys):
    def make(name, **_):
        net = Brightness()
        net.name = name
        net.labels = from_names(
            ["dark", "bright", "other"] if name == "a" else ["x", "dark", "bright"]
        )
        return net

    monkeypatch.setattr(all_names, "labeler", make)
    for name in ("dark", "bright"):
        (tmp_path / name).mkdir()
        Image.new("RGB", (6, 6)).save(tmp_path / name / "black.png")
    argv = ("evaluate", "--model", "a", "--model", "b", "--data", tmp_path)
    out = run(capsys, *argv)[1]
    assert [row["hits"] for row in tables(out)[0]] == ["1", "2", "0", "2"]
    one_line(capsys, "different labels", *argv, "--confusion", tmp_path / "c.csv")


def test_evaluate_tiny_imagenet(monkeypatch, tmp_path, capsys):
    ids = tiny_imagenet().ids

    class Red(Brightness):
        """Names the label whose number the red value is."""

        labels = tiny_imagenet()

        def _probabilities(self, images):
            return np.eye(200, dtype=np.float32)[[image[0, 0, 0] for image in images]]

    monkeypatch.setattr(all_names, "labeler", lambda name, **_: Red())
    images = tmp_path / "val" / "images"
    images.mkdir(parents=True)
    lines = ""
    for number, (red, truth) in enumerate([(7, 7), (3, 3), (3, 5)]):
        Image.new("RGB", (64, 64), (red, 0, 0)).save(images / f"val_{number}.png")
        lines += f"val_{number}.png\t{ids[truth]}\t0\t0\t9\t9\n"
    (tmp_path / "val" / "val_annotations.txt").write_text(lines, encoding="utf-8")
    status, out, err = run(capsys, "evaluate", "--data", tmp_path)
    accuracy, confusions = tables(out)
    assert (status, err, accuracy[0]["n"], accuracy[0]["hits"]) == (0, [], "3", "2")
    names = tiny_imagenet().names
    assert [row["truth"] for row in confusions] == [names[5]]
    assert [row["predicted"] for row in confusions] == [names[3]]


def test_evaluate_with_bad_files(several, tree, capsys):
    (tree / "Dark" / "bad.png").write_bytes(b"nothing")
    (tree / "bright" / "empty.jpg").write_bytes(b"")
    argv = ("evaluate", "--model", "one", "--model", "animals", "--data", tree)
    status, out, err = run(capsys, *argv[:3], *argv[5:])
    assert (status, len(err)) == (1, 2) and "bad.png" in err[0] and "empty.jpg" in err[1]
    assert tables(out)[0][0]["n"] == "7"


def test_evaluate_bad_files_only(several, tmp_path, capsys):
    (tmp_path / "dark").mkdir()
    (tmp_path / "dark" / "bad.png").write_bytes(b"nothing")
    status, out, err = run(capsys, "evaluate", "--model", "one", "--data", tmp_path)
    assert (status, out, len(err)) == (2, "", 1)


def test_evaluate_wrong_folders(several, tree, tmp_path, capsys):
    asked = ("evaluate", "--model", "one", "--data")
    one_line(capsys, f"{tmp_path / 'gone'} is no folder", *asked, tmp_path / "gone")
    one_line(capsys, "holds no folders", *asked, tree / "Dark")
    (tree / "brigth").mkdir()
    one_line(capsys, 'folder "brigth" is no label of labels; did you mean "bright"?', *asked, tree)
    (tree / "brigth").rename(tree / "a-b")
    one_line(capsys, f"{tree / 'a-b'} holds no images", *asked, tree)
    one_line(capsys, "is no folder", *asked, tree, "--confusion", tmp_path / "gone" / "c.csv")
    (tree / "a-b").rmdir()
    one_line(capsys, "must end in .csv, .json or .parquet", *asked, tree, "--confusion", tmp_path)
    one_line(capsys, "--confusion needs a file", *asked, tree, "--confusion", "-")


# ---- site


def test_site_of_the_folder_it_runs_in(tmp_path, capsys, monkeypatch):
    asked = []

    def build(root, **options):
        asked.append((root, options))
        return "done"

    monkeypatch.setattr(sites, "build", build)
    (tmp_path / "_quarto.yml").write_text("", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert run(capsys, "site", "--renderer", "sphinx", "--force") == (0, "done\n", [])
    assert asked == [(tmp_path, {"renderer": "sphinx", "force": True})]


def test_site_of_the_repository(root, tmp_path, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(sites, "build", lambda where, **options: asked.append((where, options)))
    monkeypatch.chdir(tmp_path)
    run(capsys, "site")
    assert asked == [(root, {"renderer": "auto", "force": False})]


def test_site_that_fails(capsys, monkeypatch):
    def build(root, **options):
        raise MeznetError("a chapter failed.")

    monkeypatch.setattr(sites, "build", build)
    assert run(capsys, "site") == (2, "", ["meznet: a chapter failed."])


# ---- fetch


def test_fetch_lists_what_can_be_got(capsys):
    status, out, err = run(capsys, "fetch", "--list")
    remote = [name for name, asset in store.manifest().items() if asset.path is None]
    assert (status, err) == (0, [])
    (rows,) = tables(out)
    assert list(rows[0]) == ["asset", "mb", "license", "here"]
    assert [row["asset"] for row in rows] == remote
    assert {"efficientnet-lite0", "smollm2-135m-instruct"} < {*remote}
    assert [row["mb"] for row in rows if row["asset"] == "tiny-imagenet-200"] == ["248.1"]


def test_fetch_names_the_file(capsys):
    name = "labels/tiny-imagenet-200.txt"
    assert run(capsys, "fetch", name) == (0, f"{name} is here: {store.location(name)}\n", [])


def test_fetch_an_unknown_asset(capsys):
    one_line(capsys, 'no asset "tiny-imagenet"', "fetch", "tiny-imagenet")


def test_fetch_offline(capsys, monkeypatch):
    monkeypatch.setenv("MEZNET_OFFLINE", "1")
    one_line(capsys, "MEZNET_OFFLINE is set", "fetch", "tiny-imagenet-200")


# ---- the command itself


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((), "Missing command. meznet --help says more."),
        (("label",), "Missing argument 'IMAGE'. meznet label --help says more."),
        (("evaluate",), "Missing option '--data'. meznet evaluate --help says more."),
        (("labl",), "No such command 'labl'. Did you mean 'label'? meznet --help says more."),
        (("site", "--renderer", "word"), "'--renderer': "),
        (("index", "info"), "Missing argument 'FILE'. meznet index info --help says more."),
        (
            ("clip", "label", "a.png", "--csv", "b.csv"),
            "No such option: --csv; --out FILE.csv writes",
        ),
        (("label", "a.png", "--top", "many"), "'--top': "),
    ],
)
def test_wrong_usage(argv, words, capsys):
    one_line(capsys, words, *argv)


def test_interrupted(asked, folder, capsys, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(Brightness, "probabilities", stop)
    assert run(capsys, "label", folder) == (130, "", ["meznet: interrupted."])


def process(*argv, **options):
    command = [sys.executable, "-m", "meznet_helpers.cli", *argv]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=600, **options)


def test_version_of_the_installed_command():
    done = process("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"meznet {__version__}\n", "")


def test_no_traceback(tmp_path):
    done = process("label", "gone.jpg", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "meznet: gone.jpg: no image is found there.\n"


def test_a_reader_that_has_seen_enough():
    command = [sys.executable, "-m", "meznet_helpers.cli", "fetch", "--list"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    running.stdout.close()
    err = running.stderr.read()
    running.stderr.close()
    assert (running.wait(600), err) == (0, b"")


@pytest.mark.parametrize("agree", [True, False])
def test_evaluate_tables(agree, monkeypatch, tmp_path, capsys):
    row = {"model": "a", "condition": "own, bilinear", "n": 3, "furthest": 0.25, "same": 1.0}
    row["agree"] = agree
    monkeypatch.setattr(validation, "read", lambda folder: (f"images of {folder}", None))
    monkeypatch.setattr(
        relabeling, "compare", lambda images: pd.DataFrame([row | {"model": images}])
    )
    monkeypatch.setattr(relabeling, "absent", lambda: ["net"])
    argv = ("evaluate", "--tables", "--data", tmp_path)
    status, out, err = run(capsys, *argv)
    lost = "meznet: net is not here and was not compared; meznet fetch."
    assert (status, err) == (0 if agree else 1, [lost])
    (found,) = tables(out)[0]
    assert found["model"] == f"images of {tmp_path}" and found["agree"] == str(agree)
    assert json.loads(run(capsys, *argv, "--json")[1])[0]["agree"] is agree


def test_evaluate_tables_of_a_folder_or_a_model_that_it_does_not_take(tmp_path, capsys):
    one_line(capsys, "has no val/val_annotations.txt", "evaluate", "--tables", "--data", tmp_path)
    argv = ("evaluate", "--tables", "--data", tmp_path, "--model", "keras/MobileNet@tiny")
    one_line(capsys, "it takes --data alone", *argv)
