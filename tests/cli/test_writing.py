"""Tests of meznet_helpers.cli.writing, and of ``meznet label``: killed, gone on, and shown."""

import csv
import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from meznet_helpers import cli
from meznet_helpers import names as all_names
from meznet_helpers.cli import writing
from meznet_helpers.cli.screen import Screen, cells, fit
from meznet_helpers.errors import MeznetWarning
from meznet_helpers.labelers import Labeler
from meznet_helpers.labels import from_file, from_names

# The command with a stub in the place of every labeler; it takes its time for each batch.
PROGRAM = """
import sys, time
import numpy as np
from meznet_helpers import cli, names
from meznet_helpers.errors import MeznetWarning
from meznet_helpers.labelers import Labeler
from meznet_helpers.labels import from_names

class Slow(Labeler):
    name, labels = "test/Slow", from_names(["dark", "bright", "a, b"])
    def _probabilities(self, images):
        time.sleep(float(sys.argv[1]))
        bright = np.array([image.mean() / 255 for image in images], np.float32)
        return np.stack([0.9 - 0.9 * bright, 0.9 * bright, np.full_like(bright, 0.1)], 1)

names.labeler = lambda name, download=False: Slow()
sys.exit(cli.main(sys.argv[2:]))
"""
COUNT = 150


class Brightness(Labeler):
    """Stands for a network: is the picture dark or bright? It may stop after some batches."""

    labels = from_names(["dark", "bright", "a, b"])

    def __init__(self, name="test/Brightness", error=None, after=1):
        self.name, self.error, self.after = name, error, after

    def _probabilities(self, images):
        self.after -= 1
        if self.error is not None and self.after < 0:
            raise self.error
        bright = np.array([image.mean() / 255 for image in images], np.float32)
        return np.stack([0.9 - 0.9 * bright, 0.9 * bright, np.full_like(bright, 0.1)], 1)


@pytest.fixture
def net(monkeypatch):
    """Say which labeler stands in the place of all."""

    def put(**settings):
        monkeypatch.setattr(
            all_names, "labeler", lambda name, download=False: Brightness(name, **settings)
        )

    put()
    return put


@pytest.fixture
def folder(tmp_path):
    """Photographs, two of them bad."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(COUNT):
        Image.new("RGB", (6, 6), (number,) * 3).save(folder / f"{number:03}.png")
    for number in (40, 41):
        (folder / f"{number:03}.png").write_bytes(b"nothing")
    return folder


def run(capsys, *argv):
    """Exit status, standard output, and the lines of standard error."""
    status = cli.main([str(each) for each in argv])
    out, err = capsys.readouterr()
    return status, out, err.splitlines()


def content(path):
    """The bytes of a file, or the rows of a folder of Parquet."""
    if path.is_dir():
        return pd.read_parquet(path).to_csv(index=False).encode()
    return path.read_bytes()


def broken(capsys, net, folder, out, *argv, batches=2):
    """Label some batches and stop as by Ctrl+C."""
    net(error=KeyboardInterrupt(), after=batches)
    status, printed, err = run(capsys, "label", folder, "--out", out, *argv)
    assert (status, printed) == (130, "")
    net()
    return err


# ---- kill -9


@pytest.mark.nets
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_killed_run_goes_on(suffix, folder, tmp_path):
    """The file is, byte for byte, that of a run that nobody killed."""
    whole, out = tmp_path / f"whole.{suffix}", tmp_path / f"labels.{suffix}"
    part, sidecar = tmp_path / f"{out.name}.part", tmp_path / f"{out.name}.part.json"
    command = [sys.executable, "-c", PROGRAM]
    argv = ["label", str(folder), "--top", "2", "--out"]
    done = subprocess.run(
        [*command, "0", *argv, str(whole)], capture_output=True, encoding="utf-8", timeout=300
    )
    assert done.returncode == 1 and not done.stdout and done.stderr.count("\n") == 2, done.stderr
    assert not list(tmp_path.glob("whole*.part*"))
    slow = subprocess.Popen([*command, "1", *argv, str(out)], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not sidecar.exists() or sidecar.read_bytes().count(b"\n") < 3:
        assert slow.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    slow.kill()
    assert slow.wait(60) == -signal.SIGKILL and part.exists() and not out.exists()
    with part.open("ab") as file:
        file.write(b"half a li")
    with sidecar.open("ab") as file:
        file.write(b'{"done": 1')
    done = subprocess.run(
        [*command, "0", *argv, str(out)], capture_output=True, encoding="utf-8", timeout=300
    )
    first, *errors = done.stderr.splitlines()
    assert re.fullmatch(
        rf"meznet: {part} holds (64|96|128) of 150 photographs; going on from there; --restart "
        "begins anew.",
        first,
    )
    assert done.returncode == 1 and len(errors) == 2 and "040.png" in errors[0]
    assert out.read_bytes() == whole.read_bytes()
    assert not part.exists() and not sidecar.exists()


# ---- broken off and gone on


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("batches", [1, 2, 4])
def test_it_goes_on(suffix, batches, net, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(writing, "SHARD", 32)
    whole, out = tmp_path / f"whole.{suffix}", tmp_path / f"labels.{suffix}"
    status, _, errors = run(capsys, "label", folder, "--out", whole)
    assert status == 1 and len(errors) == 2
    *said, kept, last = broken(capsys, net, folder, out, batches=batches)
    part = tmp_path / f"{out.name}.part"
    held = batches * 32
    assert kept == (
        f"meznet: {part} holds {held} of 150 photographs; the same command goes on from there."
    )
    assert last == "meznet: interrupted."
    assert said == errors and not out.exists()
    status, _, err = run(capsys, "label", folder, "--out", out)
    assert status == 1 and err == [
        f"meznet: {part} holds {held} of 150 photographs; going on from there; --restart begins "
        "anew.",
        *errors,
    ]
    assert content(out) == content(whole)
    assert {path.name for path in tmp_path.iterdir()} == {"pictures", whole.name, out.name}


def test_two_runs_do_not_write_one_file(net, folder, tmp_path, capsys):
    """The second is refused, with --restart, too, and the first one's rows are all there."""
    whole, out = tmp_path / "whole.csv", tmp_path / "labels.csv"
    run(capsys, "label", folder, "--out", whole)
    columns = {"image": "string", "score": "float32"}
    with writing.Writer(str(out), columns, [folder / "000.png"], {}) as writer:
        for more in ([], ["--restart"]):
            status, _, err = run(capsys, "label", folder, "--out", out, *more)
            assert status == 2 and err[-1].endswith(".part is being written by another run.")
        writer.add(1, [("a", 0.5)])
    assert out.read_text(encoding="utf-8") == "image,score\na,0.5000\n"
    assert run(capsys, "label", folder, "--out", out)[0] == 1
    assert content(out) == content(whole)
    assert {path.name for path in tmp_path.iterdir()} == {"pictures", whole.name, out.name}


# ---- what nobody foresaw

UNFORESEEN = {
    "stack": (RecursionError("maximum recursion depth exceeded"), "RecursionError: maximum rec"),
    "zlib": (zlib.error("Error -3 while decompressing"), "error: Error -3 while decompressing. T"),
    "memory": (MemoryError(), "the memory of this machine is not enough for that."),
    "file": (PermissionError(13, "Permission denied", "/x/y"), "/x/y can't be read or written (P"),
    "name": (UnicodeEncodeError("utf-8", "\udce9", 0, 1, "surrogates not allowed"), "UnicodeEnc"),
    "type": (TypeError("expected str,\ngot list"), "TypeError: expected str, got list. That was"),
}


@pytest.mark.parametrize("kind", UNFORESEEN)
def test_any_error_is_one_sentence_and_loses_no_row(kind, net, folder, tmp_path, capfd):
    error, sentence = UNFORESEEN[kind]
    out = tmp_path / "labels.csv"
    net(error=error, after=2)
    status, printed, err = run(capfd, "label", folder, "--json")
    assert status == 2 and len(printed.splitlines()) == 62 * 3
    assert err[-1].startswith(f"meznet: {sentence}") and "Traceback" not in "".join(err)
    net(error=error, after=2)
    status, _, err = run(capfd, "label", folder, "--out", out)
    assert status == 2 and err[-1].startswith(f"meznet: {sentence}")
    assert "labels.csv.part holds 64 of 150 photographs; the same command goes on" in err[-2]
    net(error=error, after=0)
    status, _, err = run(capfd, "label", folder, "--debug")
    assert status == 2 and err[-1].startswith(f"meznet: {sentence}")
    assert "Traceback (most recent call last):" in err


def test_own_warnings_are_told_and_those_of_libraries_are_not(net, folder, capsys, monkeypatch):
    def warn(self, images):
        warnings.warn("a library is old", DeprecationWarning, stacklevel=1)
        warnings.warn("a file of answers is torn.", MeznetWarning, stacklevel=1)
        return np.full((len(images), 3), 1 / 3, np.float32)

    monkeypatch.setattr(Brightness, "_probabilities", warn)
    assert run(capsys, "label", folder / "000.png")[2] == ["meznet: a file of answers is torn."]


def test_debug_is_no_image(net, folder, capsys, monkeypatch):
    """Behind -- the word is a file's name."""
    monkeypatch.chdir(folder)
    status, printed, _ = run(capsys, "--debug", "label", "000.png")
    assert status == 0 and printed.count("\n") == 4
    assert run(capsys, "label", "--", "000.png", "--debug")[2] == [
        "meznet: --debug: is not there; check the path."
    ]


@pytest.mark.nets
@pytest.mark.parametrize(
    ("shell", "status", "words"),
    [
        ("label {folder} >/dev/full", 2, "the output can't be read or written (No space left"),
        ("label {folder} --json >/dev/full", 2, "the output can't be read or written (No space"),
        ("label {folder} >&-", 2, "the output can't be read or written (not writable)"),
        ("label {folder} --out {folder}/../x.csv >&-", 1, "041.png: is not an image of a kind"),
        ("label {folder} | head -1", 0, ""),
        ("--version >/dev/full", 2, "the output can't be read or written (No space left"),
    ],
)
def test_outputs_that_take_nothing(shell, status, words, folder, tmp_path):
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    text = f"{sys.executable} {program} 0 {shell.format(folder=folder)}"
    done = subprocess.run(
        ["bash", "-c", text], capture_output=True, encoding="utf-8", timeout=300, check=False
    )
    lines = done.stderr.splitlines()
    assert done.returncode == status, done
    assert len(lines) <= 3 and "Traceback" not in done.stderr, done.stderr
    assert not words or words in lines[-1]


@pytest.mark.nets
def test_what_a_library_writes_past_python_is_not_shown(tmp_path):
    """libtiff has words of its own for a broken file; --debug lets them through."""
    content = io.BytesIO()
    Image.effect_noise((40, 30), 90).convert("RGB").save(content, "TIFF", compression="tiff_lzw")
    bad = bytearray(content.getvalue())
    bad[20:40] = b"\xff" * 20
    (tmp_path / "bad.tif").write_bytes(bad)
    command = [sys.executable, "-m", "meznet_helpers.cli", "label", str(tmp_path / "bad.tif")]
    command += ["--model", "keras/MobileNet@tiny"]
    plain, debug = (
        subprocess.run([*command, *more], capture_output=True, encoding="utf-8", timeout=300).stderr
        for more in ([], ["--debug"])
    )
    assert plain.count("\n") == 1 and plain.startswith("meznet: ") and "corrupt" in plain
    assert debug.splitlines()[-1] == plain.strip() and debug.count("\n") > 1


def test_an_output_that_knows_few_letters(net, folder, monkeypatch, capsys):
    """Letters that it lacks are escaped."""
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    name = folder / "crème \udce9.png"
    Image.new("RGB", (6, 6)).save(name)
    assert cli.main(["label", str(name), "--json", "--top", "1"]) == 0
    stream.seek(0)
    assert json.loads(stream.read().replace("\\xe8", "\\u00e8"))["image"] == r"crème \udce9.png"


@pytest.mark.parametrize("cut", [1, 5, 700, 100_000])
def test_what_is_not_whole_is_cut_off(cut, net, folder, tmp_path, capsys):
    whole, out = tmp_path / "whole.csv", tmp_path / "labels.csv"
    run(capsys, "label", folder, "--out", whole)
    broken(capsys, net, folder, out, batches=4)
    part = tmp_path / "labels.csv.part"
    os.truncate(part, max(0, part.stat().st_size - cut))
    assert run(capsys, "label", folder, "--out", out)[0] == 1
    assert out.read_bytes() == whole.read_bytes()


def test_nothing_is_labeled_twice(net, folder, tmp_path, capsys, monkeypatch):
    out = tmp_path / "labels.csv"
    broken(capsys, net, folder, out, batches=3)
    seen = []
    real = Brightness._probabilities
    monkeypatch.setattr(
        Brightness,
        "_probabilities",
        lambda self, images: (seen.append(len(images)), real(self, images))[1],
    )
    run(capsys, "label", folder, "--out", out)
    assert seen == [32, 22]


def test_a_run_that_was_killed_before_the_last_step(net, folder, tmp_path, capsys, monkeypatch):
    out = tmp_path / "labels.csv"
    monkeypatch.setattr(writing.Writer, "_finish", lambda self: self._close())
    run(capsys, "label", folder, "--out", out)
    monkeypatch.undo()
    monkeypatch.setattr(
        all_names, "labeler", lambda name, download=False: Brightness(name, KeyError(), 0)
    )
    assert not out.exists() and run(capsys, "label", folder, "--out", out)[0] == 1
    assert out.read_bytes().count(b"\n") == 1 + 3 * (COUNT - 2)


def test_an_error_in_the_middle_keeps_the_part(net, folder, tmp_path, capsys):
    out = tmp_path / "labels.csv"
    net(error=writing.MeznetError("The worker has died."), after=2)
    status, _, err = run(capsys, "label", folder, "--out", out)
    assert (status, err[-1]) == (2, "meznet: The worker has died.")
    assert (tmp_path / "labels.csv.part").read_bytes().count(b"\n") == 1 + 3 * 62
    net(error=writing.MeznetError("The worker has died."), after=0)
    other = tmp_path / "other.csv"
    assert run(capsys, "label", folder, "--out", other)[0] == 2
    assert not list(tmp_path.glob("other*")), "nothing was known, but something is left"


def test_a_full_disk(net, folder, tmp_path, capsys, monkeypatch):
    out = tmp_path / "labels.csv"

    def full(*arguments, **settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "text", full)
    status, _, err = run(capsys, "label", folder, "--out", out)
    assert status == 2 and err[-1] == (
        f"meznet: {tmp_path / 'labels.csv.part'} can't be written (No space left on device)."
    )


# ---- what must not differ


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--top", 4), "top: 5 then, 4 now"),
        (("--min", 0.5), "min: 0.0 then, 0.5 now"),
        (("--model", "other"), 'model: ["keras/EfficientNetLite0@imagenet"] then, ["other"] now'),
    ],
)
def test_other_settings_are_refused(argv, words, net, folder, tmp_path, capsys):
    out, part = tmp_path / "labels.csv", tmp_path / "labels.csv.part"
    broken(capsys, net, folder, out)
    before = part.read_bytes(), (tmp_path / "labels.csv.part.json").read_bytes()
    status, _, err = run(capsys, "label", folder, "--out", out, *argv)
    assert (status, err) == (
        2,
        [
            f"meznet: {part} was begun otherwise ({words}); do as then and it goes on, --restart "
            "throws it away."
        ],
    )
    assert (part.read_bytes(), (tmp_path / "labels.csv.part.json").read_bytes()) == before
    status, _, err = run(capsys, "label", folder, "--out", out, *argv, "--restart")
    assert status == 1 and len(err) == 2 and not part.exists()
    whole = tmp_path / "whole.csv"
    run(capsys, "label", folder, "--out", whole, *argv)
    assert out.read_bytes() == whole.read_bytes()


def test_other_photographs_are_refused(net, folder, tmp_path, capsys):
    out = tmp_path / "labels.csv"
    broken(capsys, net, folder, out)

    def refused(words):
        status, _, err = run(capsys, "label", folder, "--out", out)
        assert status == 2 and len(err) == 1 and words in err[0], err

    new = folder / "new.png"
    new.write_bytes((folder / "001.png").read_bytes())
    refused(f"({new} is new)")
    new.unlink()
    old = (folder / "001.png").rename(tmp_path / "001.png")
    refused(f"({folder / '001.png'} is not among the photographs now)")
    Image.new("RGB", (7, 7)).save(folder / "001.png")
    refused(f"({folder / '001.png'} has changed)")
    old.rename(folder / "001.png")
    assert run(capsys, "label", folder, "--out", out)[0] == 1
    broken(capsys, net, folder, out)
    files = sorted(folder.iterdir(), reverse=True)
    status, _, err = run(capsys, "label", *files, "--out", out)
    assert status == 2 and "the photographs come in another order" in err[0]


def test_a_part_without_its_sidecar(net, folder, tmp_path, capsys):
    out, sidecar = tmp_path / "labels.csv", tmp_path / "labels.csv.part.json"
    broken(capsys, net, folder, out)
    for change in (lambda: sidecar.write_bytes(b"nothing"), sidecar.unlink):
        change()
        status, _, err = run(capsys, "label", folder, "--out", out)
        assert status == 2 and "says what it depends on, is not or is damaged" in err[0]
    assert run(capsys, "label", folder, "--out", out, "--restart")[0] == 1


# ---- forms


def test_forms_agree(net, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(writing, "SHARD", 60)
    for suffix in ("csv", "jsonl", "parquet"):
        (tmp_path / f"labels.{suffix}").write_bytes(b"of a run before this one")
        assert run(capsys, "label", folder, "--min", 0.3, "--out", tmp_path / f"labels.{suffix}")[
            0
        ] == 1  # fmt: skip
    text = (tmp_path / "labels.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    lines = (tmp_path / "labels.jsonl").read_text(encoding="utf-8").splitlines()
    table = pd.read_parquet(tmp_path / "labels.parquet")
    assert [path.name for path in sorted((tmp_path / "labels.parquet").iterdir())] == [
        f"part-{number:05}.parquet" for number in range(3)
    ]
    assert list(table) == list(rows[0]) == ["image", "rank", "label_id", "label", "score"]
    assert table["score"].dtype == np.float32 and len(table) == len(rows) == len(lines)
    for row, line, (_, cell) in zip(rows, map(json.loads, lines), table.iterrows(), strict=True):
        assert row["image"] == line["image"] == cell["image"]
        assert float(row["score"]) == line["score"] == round(float(cell["score"]), 4)
        assert row["label_id"] == line["label_id"] == cell["label_id"]
        assert int(row["rank"]) == line["rank"] == cell["rank"]
    assert run(capsys, "label", folder, "--min", 0.3)[1] == text
    assert run(capsys, "label", folder, "--min", 0.3, "--json")[1].splitlines() == lines
    again = run(capsys, "label", folder, "--out", tmp_path / "labels.parquet")
    assert again[0] == 1 and len(pd.read_parquet(tmp_path / "labels.parquet")) == 3 * 148


def test_cells_are_inert(net, tmp_path, capsys, monkeypatch):
    """Formulas, escape sequences and bytes that are no UTF-8, in names and in labels."""
    names = ["=1+1.png", "-x.png", "caf\udce9.png", "\x1b[31m\n.png", "\u202egnp.png", "plain.png"]
    for name in names:
        Image.new("RGB", (6, 6)).save(tmp_path / name, "PNG")
    monkeypatch.setattr(Brightness, "labels", from_names(["+/-", "\x9b31m", "@cat"]))
    argv = ("label", tmp_path, "--top", 3)
    status, out, err = run(capsys, *argv)
    assert (status, err) == (0, []) and all(line.isprintable() for line in out.splitlines())
    rows = list(csv.DictReader(io.StringIO(out)))
    shown = {r"caf\udce9.png", r"\x1b[31m\n.png", r"\u202egnp.png", "plain.png"}
    assert {row["image"] for row in rows} == {"'=1+1.png", "'-x.png", *shown}
    assert {row["label"] for row in rows} == {"'+/-", "'@cat", r"\x9b31m"}
    assert {row["score"] for row in rows} == {"0.9000", "0.1000", "0.0000"}
    held = tmp_path / "held.txt"
    held.write_text("\n".join(row["label"] for row in rows[:2]), encoding="utf-8")
    assert from_file(held).names == ("+/-", "@cat")  # as they were
    for suffix in ("csv", "jsonl", "parquet"):
        file = tmp_path / f"out.{suffix}"
        assert run(capsys, *argv, "--out", file)[0] == 0
        if suffix != "parquet":
            text = file.read_bytes().decode("utf-8")
            assert all(line.isprintable() for line in text.splitlines())
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert {line["label"] for line in lines} == {"+/-", "@cat", "\x9b31m"}
    table = pd.read_parquet(tmp_path / "out.parquet")
    assert table["label"].tolist() == [line["label"] for line in lines]
    assert table["image"].tolist() == [line["image"] for line in lines]


def test_tables_of_other_commands_are_inert(tmp_path, capsys):
    table = pd.DataFrame({"=label": ["=1", "a\x1b"], "x": [-0.5, None], "n": [-1, 2]})
    writing.options.write(table)
    assert capsys.readouterr().out == "'=label,x,n\n'=1,-0.5000,-1\na\\x1b,,2\n"
    writing.options.write(table, str(tmp_path / "a.json"))
    held = json.loads((tmp_path / "a.json").read_text("utf-8"))
    assert held[1] == {"=label": "a\x1b", "x": None, "n": 2}


def test_least_keeps_every_photograph(net, folder, tmp_path, capsys):
    argv = ("label", folder / "000.png", folder / "127.png", "--min", 0.9)
    assert run(capsys, *argv)[1].splitlines() == [
        "image,rank,label_id,label,score",
        "000.png,1,dark,dark,0.9000",
        "127.png,,,,",
    ]
    assert json.loads(run(capsys, *argv, "--json")[1].splitlines()[1]) == {
        "image": "127.png", "rank": None, "label_id": None, "label": None, "score": None
    }  # fmt: skip
    run(capsys, *argv, "--out", tmp_path / "labels.parquet")
    assert pd.read_parquet(tmp_path / "labels.parquet").isna().sum().tolist() == [0, 1, 1, 1, 1]
    for least in (-0.1, 1.1, "many"):
        status, _, err = run(capsys, *argv[:-1], least)
        assert status == 2 and len(err) == 1 and "--min" in err[0]


def test_a_folder_of_other_things_is_not_replaced(net, folder, tmp_path, capsys):
    for suffix in ("parquet", "csv"):
        (tmp_path / f"mine.{suffix}").mkdir()
        (tmp_path / f"mine.{suffix}" / "notes.txt").touch()
        status, _, err = run(capsys, "label", folder, "--out", tmp_path / f"mine.{suffix}")
        assert status == 2 and err[0].endswith("is a folder of other things; name a new file.")


def test_what_is_no_image_is_counted(net, folder, tmp_path, capsys):
    for name in ("1.CR2", "2.cr2", "clip.mov", "README", ".hidden"):
        (folder / name).touch()
    out = folder / "labels.csv"
    broken(capsys, net, folder, out)
    _, _, err = run(capsys, "label", folder, "--out", out)
    assert err[0] == (
        "meznet: left aside 4 files that are no images it can read: 2 .cr2, 1 without a suffix, "
        "1 .mov."
    )
    assert len(err) == 4


def test_no_pandas(tmp_path, fresh_python):
    Image.new("RGB", (6, 6)).save(tmp_path / "black.png")
    argv = ["0", "label", str(tmp_path), "--out", str(tmp_path / "labels.csv")]
    assert fresh_python(
        f"import sys; sys.argv[1:] = {argv!r}\n"
        f"try:\n    exec({PROGRAM!r})\nexcept SystemExit as end:\n"
        "    print(end.code, sorted({'pandas', 'pyarrow', 'sklearn'} & {*sys.modules}))"
    ) == "0 []\n"  # fmt: skip


# ---- in a terminal


def in_a_terminal(argv, width):
    """Run the command in a terminal; exit status, what stands on it, and on standard error."""
    fcntl, pty, termios = map(pytest.importorskip, ("fcntl", "pty", "termios"))
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    env = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    running = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "0", *map(str, argv)],
        stdout=theirs,
        stderr=subprocess.PIPE,
        stdin=theirs,
        env=env | {"PYTHONIOENCODING": "utf-8"},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            some = os.read(ours, 4096)
        except OSError:
            break
        if not some:
            break
        shown += some
    os.close(ours)
    err = running.stderr.read().decode()
    running.stderr.close()
    return running.wait(60), shown.decode().replace("\r\n", "\n"), err


@pytest.mark.nets
@pytest.mark.parametrize("width", [40, 72])
def test_a_table_in_a_terminal(width, tmp_path):
    names = ("gray.png", "a_photograph_with_a_long_name_of_its_own.png", "\u732b.png")
    for name in names:
        Image.new("RGB", (6, 6), (51,) * 3).save(tmp_path / name)
    status, shown, err = in_a_terminal(["label", tmp_path], width)
    assert (status, err) == (0, "")
    lines = shown.splitlines()
    assert len(lines) == 3 and all(cells(line) <= width for line in lines), shown
    first = lines[1]
    assert first.startswith("gray.png ") and "dark    72 %" in first
    assert ("a, b    10 %" in first) == (width > 60)
    assert len({cells(line[: line.index("dark")]) for line in lines}) == 1
    assert lines[0].startswith("a_pho") and "\u2026" in lines[0]
    status, shown, _ = in_a_terminal(["label", tmp_path, "--json"], width)
    assert [json.loads(line)["rank"] for line in shown.splitlines()] == [1, 2, 3] * 3


def test_screen():
    show = Screen(["a.png"], ["one", "two"], ["cat", "dog"], 1, width=50)
    rows = [("a.png", "one", 1, "cat", "cat", 0.5), ("a.png", "two", None, None, None, None)]
    assert show(rows) == "a.png  one  cat   50 %\na.png  two  -\n"
    assert Screen(["a" * 200], ["b" * 90, "c"], ["d" * 50], 3, width=30).count == 1
    for text in ("cat", "holiday/IMG_0001.JPG", "\u732b" * 20, "e\u0301" * 20, "\x1b[31mred"):
        for wide in (4, 5, 11, 30):
            assert cells(fit(text, wide)) == wide and fit(text, wide).isprintable()
    assert fit("holiday/IMG_0001.JPG", 11) == "holid\u20261.JPG"


@pytest.mark.nets
def test_the_last_line_in_a_terminal(folder, tmp_path, capsys, monkeypatch, net):
    monkeypatch.setattr("meznet_helpers.progress.wanted", lambda: True)
    status, _, err = run(capsys, "label", folder, "--out", tmp_path / "labels.csv")
    assert status == 1
    assert re.fullmatch(
        r"meznet: 148 photographs labeled in \d s; 2 could not be read\.", err[-1].split("\r")[-1]
    )


def test_printed_rows_come_at_once(net, folder, capsys):
    """A reader at the end of a pipe sees the first batch before the second one is labeled."""
    net(error=KeyboardInterrupt(), after=1)
    status, out, err = run(capsys, "label", folder, "--top", 1)
    assert (status, err[-1]) == (130, "meznet: interrupted.")
    assert len(list(csv.reader(io.StringIO(out)))) == 33
