"""Tests of meznet_helpers.cli: exit statuses, and one line for each error."""

import csv
import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from meznet_helpers import __version__, cli, labelers, store
from meznet_helpers import site as sites
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import Labeler
from meznet_helpers.labels import from_names


class Brightness(Labeler):
    """Stands for a network: is the picture dark or bright?"""

    name, labels = "test/Brightness@tiny", from_names(["dark", "bright", "a, b"])

    def probabilities(self, images):
        bright = np.array([image.mean() / 255 for image in images], np.float32)
        return np.stack([0.9 - 0.9 * bright, 0.9 * bright, np.full_like(bright, 0.1)], 1)


@pytest.fixture
def asked(monkeypatch):
    """Put Brightness in the place of every labeler, and note the names asked for."""
    names = []
    monkeypatch.setattr(labelers, "labeler", lambda name: names.append(name) or Brightness())
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
    assert asked == ["keras/MobileNetV2"]


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
    assert (status, out, len(err), asked) == (2, "", 2, [])


def one_line(capsys, said, *argv):
    status, out, err = run(capsys, *argv)
    assert (status, out, len(err)) == (2, "", 1), err
    assert err[0].startswith("meznet: ") and said in err[0]


def test_label_a_missing_file(asked, tmp_path, capsys):
    one_line(capsys, "gone.jpg", "label", tmp_path / "gone.jpg")


def test_label_an_empty_folder(asked, tmp_path, capsys):
    one_line(capsys, f"{tmp_path}: no image", "label", tmp_path)


def test_label_a_pattern_without_files(asked, folder, capsys):
    one_line(capsys, "*.webp", "label", folder / "*.webp")


@pytest.mark.parametrize("top", [0, -1])
def test_label_with_top_zero(top, asked, folder, capsys):
    one_line(capsys, f"--top is {top}; it must be 1 or more.", "label", folder, "--top", top)


def test_label_with_an_unknown_model(folder, capsys):
    one_line(capsys, 'called "keras/Nothing@x"', "label", folder, "--model", "keras/Nothing@x")


def test_label_with_a_wrong_profile(folder, capsys, monkeypatch):
    monkeypatch.setenv("MEZNET_PROFILE", "huge")
    one_line(capsys, 'MEZNET_PROFILE is "huge"', "label", folder)


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


def test_fetch_lists_what_can_be_downloaded(capsys):
    status, out, err = run(capsys, "fetch")
    remote = [name for name, asset in store.manifest().items() if asset.urls]
    assert (status, err) == (0, [])
    assert [line.split("\t")[0] for line in out.splitlines()] == remote
    assert "tiny-imagenet-200\t248.1 MB\t" in out


def test_fetch_names_the_file(capsys):
    name = "labels/tiny-imagenet-200.txt"
    assert run(capsys, "fetch", name) == (0, f"{store.location(name)}\n", [])


def test_fetch_an_unknown_asset(capsys):
    one_line(capsys, 'no asset "tiny-imagenet"', "fetch", "tiny-imagenet")


def test_fetch_offline(capsys, monkeypatch):
    monkeypatch.setenv("MEZNET_OFFLINE", "1")
    one_line(capsys, "MEZNET_OFFLINE is set", "fetch", "tiny-imagenet-200")


# ---- the command itself


@pytest.mark.parametrize("argv", [(), ("label",), ("nothing",), ("site", "--renderer", "word")])
def test_wrong_usage(argv, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(argv)
    out, err = capsys.readouterr()
    assert (stopped.value.code, out) == (2, "")
    assert err.startswith("usage: meznet") and err.splitlines()[-1].startswith("meznet")


@pytest.mark.parametrize("command", ["label", "site", "fetch"])
def test_help(command, capsys):
    for argv in (["--help"], [command, "--help"]):
        with pytest.raises(SystemExit) as stopped:
            cli.main(argv)
        out, err = capsys.readouterr()
        assert (stopped.value.code, err) == (0, "") and command in out


def test_interrupted(asked, folder, capsys, monkeypatch):
    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(Brightness, "probabilities", stop)
    assert run(capsys, "label", folder) == (130, "", ["meznet: interrupted."])


def process(*argv, **options):
    command = [sys.executable, "-m", "meznet_helpers.cli", *argv]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, **options)


def test_version_of_the_installed_command():
    done = process("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"meznet {__version__}\n", "")


def test_no_traceback(tmp_path):
    done = process("label", "gone.jpg", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "meznet: gone.jpg: no image is found there.\n"


def test_a_reader_that_has_seen_enough():
    command = [sys.executable, "-m", "meznet_helpers.cli", "fetch"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    running.stdout.close()
    err = running.stderr.read()
    running.stderr.close()
    assert (running.wait(60), err) == (0, b"")
