"""Tests of meznet_helpers.book.benchmark: nets fine-tuned for seconds, at 32 pixels."""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import psutil
import pytest
from safetensors import safe_open
from scipy.stats import binomtest

from meznet_helpers import cli, emojizoo
from meznet_helpers.assets import profile
from meznet_helpers.book import benchmark
from meznet_helpers.errors import MeznetError

pytestmark = pytest.mark.nets

TINY = {"size": 32, "epochs": 2}


@pytest.fixture(scope="module", autouse=True)
def _few_images_and_one_thread():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "EACH", 2)
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A Keras net and one of timm, on 90 images, asked for in another order than the table's."""
    out = tmp_path_factory.mktemp("benchmark")
    table = benchmark.run(["ViT", "MobileNetV3Small"], out, **TINY)
    return out, table


def test_a_row_says_what_the_predictions_say(done):
    out, table = done
    results = benchmark.results(out)
    assert table["model"].tolist() == ["ViT", "MobileNetV3Small"]  # as asked for
    assert results.table["model"].tolist() == ["MobileNetV3Small", "ViT"]  # as the ten stand
    _, valid = emojizoo.animals(each=2, size=32).by_picture()
    for row in table.to_dict("records"):
        part = results.predictions[results.predictions["model"] == row["model"]]
        assert part["image"].tolist() == list(valid.images.names)
        assert part["truth"].tolist() == [valid.labels.ids[at] for at in valid.truth]
        assert set(part["label"]) <= set(valid.labels.ids) and part["score"].between(0, 1).all()
        hits = int((part["truth"] == part["label"]).sum())
        assert (row["hits"], row["n"], row["n_train"]) == (hits, 90, 90)
        low, high = binomtest(hits, 90).proportion_ci(method="wilson")
        assert [row["accuracy"], row["low"], row["high"]] == pytest.approx(
            [hits / 90, low, high], rel=1e-4, abs=1e-9
        )
        assert {key: row[key] for key in ("size", "epochs", "seed", "batch")} == {
            "size": 32,
            "epochs": 2,
            "seed": 0,
            "batch": 32,
        }
        assert "torch " in row["versions"] and "threads" in row["machine"]
        assert row["train_ms"] == pytest.approx(1000 * row["train_s"] / 4, rel=1e-4)  # 2 of 32 each
        assert row["predict_ms"] == pytest.approx(1000 * row["predict_s"] / 3, rel=1e-4)
        assert row["size_mb"] == pytest.approx(2 * row["parameters"], rel=0.05)
    assert table["framework"].tolist() == ["timm", "keras"]
    assert table["weights"].tolist() == ["random", "keras/MobileNetV3Small@tiny"]


def test_a_row_says_what_the_history_says(done):
    out, table = done
    history = benchmark.results(out).history
    assert history["model"].tolist() == ["MobileNetV3Small"] * 2 + ["ViT"] * 2
    assert history["epoch"].tolist() == [1, 2, 1, 2] and history["steps"].tolist() == [2] * 4
    for row in table.to_dict("records"):
        part = history[history["model"] == row["model"]].set_index("epoch")
        assert part.index[part["best"]].tolist() == [row["best"]]
        assert part.loc[row["best"], "valid_accuracy"] == pytest.approx(row["accuracy"], rel=1e-4)
        assert part.loc[row["best"], "valid_loss"] == row["loss"]
        assert part["seconds"].sum() == pytest.approx(row["train_s"], rel=1e-4)


def test_the_parameters_are_those_of_the_application(done):
    import keras

    body = keras.applications.MobileNetV3Small(
        input_shape=(32, 32, 3), include_top=False, pooling="avg", weights=None
    )
    row = done[1].set_index("model").loc["MobileNetV3Small"]
    assert row["parameters"] == pytest.approx(
        (body.count_params() + 90 * (576 + 1)) / 1e6, rel=1e-5
    )


def test_nothing_else_is_left(done):
    names = sorted(path.name for path in done[0].iterdir())
    assert names == ["benchmark.csv", "history.csv", "predictions.csv.gz"]


def test_finished_nets_are_not_trained_again(done, monkeypatch):
    out, table = done
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    pd.testing.assert_frame_equal(benchmark.run(["ViT", "MobileNetV3Small"], out, **TINY), table)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"epochs": 3}, "epochs 2 and not 3"),
        ({"size": 64}, "size 32 and not 64"),
        ({"seed": 1}, "seed 0 and not 1"),
    ],
)
def test_results_of_other_settings(changed, said, done):
    with pytest.raises(MeznetError, match=said) as caught:
        benchmark.run(["ViT"], done[0], **TINY | changed)
    assert "benchmark.csv" in str(caught.value) and "name another folder" in str(caught.value)


def test_results_of_fewer_images(done, monkeypatch):
    monkeypatch.setattr(benchmark, "EACH", 4)
    with pytest.raises(MeznetError, match="images 180 and not 360"):
        benchmark.run(["ViT"], done[0], **TINY)


def copied(done, folder):
    """Copy the results into a folder; return the path of the table."""
    for path in done[0].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder / "benchmark.csv"


@pytest.mark.parametrize("tag", ["", "@imagenet"])
def test_results_of_other_weights(tag, done, tmp_path):
    """A name without a tag, as none is written now, is not taken for one with it."""
    table = copied(done, tmp_path)
    text = table.read_text(encoding="utf-8")
    text = re.sub(r",[0-9a-f]{64}$", ",", text, flags=re.M)  # as written before there were digests
    table.write_text(text.replace("MobileNetV3Small@tiny", f"MobileNetV3Small{tag}"))
    said = f"with weights keras/MobileNetV3Small{tag} and not keras/MobileNetV3Small@tiny; name an"
    with pytest.raises(MeznetError, match=said):
        benchmark.run(["ViT"], tmp_path, **TINY)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("benchmark.csv", ",32,", ",33,"),
        ("history.csv", "ViT,1,", "ViT,7,"),
        ("predictions.csv.gz", None, None),
        ("history.csv", "model,", "net,"),
    ],
)
def test_results_that_were_changed_are_refused(file, old, new, done, tmp_path):
    path = copied(done, tmp_path).with_name(file)
    whole = path.read_bytes()
    if old is None:
        path.write_bytes(whole[:-9])
    else:
        assert old.encode() in whole
        path.write_bytes(whole.replace(old.encode(), new.encode(), 1))
    with pytest.raises(MeznetError, match="holds no whole results of meznet benchmark"):
        benchmark.results(tmp_path)


def test_results_from_other_weights_of_the_same_name_are_refused(done, monkeypatch):
    monkeypatch.setattr(benchmark, "_PICTURES", ())
    with pytest.raises(MeznetError, match=r"holds MobileNetV3Small with made_of .* and not"):
        benchmark.run(["ViT"], done[0], **TINY)


def test_confusions(done):
    predictions = benchmark.results(done[0]).predictions
    counts = benchmark.confusions(predictions)
    assert list(counts) == ["MobileNetV3Small", "ViT"]
    for model, matrix in counts.items():
        part = predictions[predictions["model"] == model]
        assert matrix.shape == (90, 90) and matrix.to_numpy().sum() == 90
        for truth, label in set(zip(part["truth"], part["label"], strict=True)):
            expected = ((part["truth"] == truth) & (part["label"] == label)).sum()
            assert matrix.loc[truth, label] == expected


# ---- broken off


def test_a_net_that_was_written_half_is_written_once(done, tmp_path):
    """The table comes last. Where it lacks a net, the other files may have it already."""
    for path in done[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    rows = (tmp_path / "benchmark.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "benchmark.csv").write_text("".join(rows[:2]), encoding="utf-8")
    table = benchmark.run(["ViT"], tmp_path, **TINY)
    before, after = benchmark.results(done[0]), benchmark.results(tmp_path)
    assert table["accuracy"].tolist() == done[1]["accuracy"][:1].tolist()
    assert after.history["model"].tolist() == before.history["model"].tolist()
    pd.testing.assert_frame_equal(after.predictions, before.predictions)


def test_a_killed_run_goes_on_from_its_checkpoint(tmp_path):
    """The caller is killed: the process of the net ends too, and a second call goes on."""
    code = f"""
from meznet_helpers.book import benchmark
benchmark.EACH = 2
benchmark.run(["MobileNetV3Small"], {str(tmp_path)!r}, size=32, epochs=8)
"""
    kept = tmp_path / "MobileNetV3Small.safetensors"
    with subprocess.Popen([sys.executable, "-c", code]) as caller:
        until = time.monotonic() + 300
        while not kept.exists() and caller.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        caller.send_signal(signal.SIGKILL)
    changed = -1
    while changed != (changed := kept.stat().st_mtime_ns):
        time.sleep(2)  # nobody writes to it any more
    assert not (tmp_path / "benchmark.csv").exists()
    with safe_open(kept, "np") as file:
        log = json.loads(file.metadata()["meznet"])["log"]
    assert 1 <= len(log) < 8
    benchmark.run(["MobileNetV3Small"], tmp_path, size=32, epochs=8)
    history = benchmark.results(tmp_path).history
    assert history["epoch"].tolist() == list(range(1, 9))
    seconds = [line["seconds"] for line in log]  # no two trainings take the same
    assert history["seconds"][: len(log)].tolist() == pytest.approx(seconds, rel=1e-5)
    assert not kept.exists()


def test_a_net_that_fails_says_why(tmp_path):
    (tmp_path / "ViT.safetensors").write_text("nothing")
    with pytest.raises(MeznetError) as caught:
        benchmark.run(["ViT"], tmp_path, **TINY)
    said = str(caught.value)
    assert said.startswith(f"ViT was not fine-tuned: {tmp_path / 'ViT.safetensors'} is no checkp")
    assert "delete it or name another file: " in said and not (tmp_path / "benchmark.csv").exists()


def test_a_process_that_dies(tmp_path, monkeypatch):
    """The parent's sentence names the net, and how its process ended."""

    def killed():
        (pid,) = (child.pid for child in psutil.Process().children())
        os.kill(pid, signal.SIGKILL)

    threading.Timer(1.0, killed).start()
    with pytest.raises(MeznetError, match=r"^ViT was not fine-tuned: .* ended in the .*\(SIGKILL"):
        benchmark.run(["ViT"], tmp_path, size=32, epochs=500)
    assert not (tmp_path / "benchmark.csv").exists()


def test_ctrl_c_ends_the_process(tmp_path):
    """Ctrl+C reaches the caller alone, which ends the process of the net and then itself."""
    code = f"""
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from meznet_helpers.book import benchmark
benchmark.EACH = 2
benchmark.run(["ViT"], {str(tmp_path)!r}, size=32, epochs=500)
"""
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) as caller:
        until = time.monotonic() + 300
        while not (path := tmp_path / "ViT.safetensors").exists() and time.monotonic() < until:
            time.sleep(0.01)
        (child,) = psutil.Process(caller.pid).children()
        caller.send_signal(signal.SIGINT)
        said = caller.stderr.read().decode()
    assert said.rstrip().endswith("KeyboardInterrupt") and not child.is_running()
    assert path.exists()  # a second call goes on from it


# ---- what is refused


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"models": ["VGG16"]}, '"VGG16" is none of the ten nets: MobileNetV3Small, '),
        ({"models": ["InceptionV3"], "size": 64}, "InceptionV3 takes images of 75 pixels or more"),
        ({"models": ["Xception"], "size": 70}, "Xception takes images of 71 pixels or more"),
        ({"size": 16}, "MobileNetV3Small takes images of 32 pixels or more, not 16"),
        ({"models": ["ViT"], "size": 100}, "ViT takes images of a multiple of 16 pixels"),
        ({"models": ["DeiT"], "size": 40}, "DeiT takes images of a multiple of 16 pixels"),
        ({"epochs": 0}, "epochs is 0; it must be 1 or more"),
    ],
)
def test_wrong_arguments(arguments, said, tmp_path, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    with pytest.raises(MeznetError, match=said):
        benchmark.run(**{"out": tmp_path} | arguments)


def test_results_that_are_not_there(tmp_path):
    with pytest.raises(MeznetError, match=r"benchmark\.csv is not there; meznet benchmark makes"):
        benchmark.results(tmp_path)


# ---- the document


def test_the_document_has_the_same_ten_nets():
    table = benchmark.published().set_index("model")
    assert table.index.tolist() == list(benchmark.NETS)
    assert table.columns.tolist() == [
        "loss",
        "accuracy",
        "size_mb",
        "train_s",
        "train_ms",
        "predict_s",
        "predict_ms",
    ]
    assert table.loc["NASNetMobile"].tolist() == [3.2046, 0.1838, 38.513, 247, 857, 41, 423]
    assert table.loc["DeiT", ["accuracy", "size_mb"]].tolist() == [0.79, 350.737]
    # All were trained on as many images: seconds and milliseconds agree on the number of steps.
    np.testing.assert_allclose(1000 * table["train_s"] / table["train_ms"], 289, atol=9)
    card = (profile.data() / "published" / "README.md").read_text(encoding="utf-8")
    assert "`fine-tuned.csv`" in card


# ---- the command


def test_the_command(monkeypatch, capsys, tmp_path):
    asked = []

    def run(models, out, **options):
        asked.append((models, out, options))
        return pd.DataFrame({"model": ["ViT"], "accuracy": [0.123456]})

    monkeypatch.setattr(benchmark, "run", run)
    assert (
        cli.main(["benchmark", "ViT", "DeiT", "--out", "x", "--epochs", "1", "--size", "64"]) == 0
    )
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [
        ["model", "accuracy"],
        ["ViT", "0.1235"],
    ]
    assert cli.main(["benchmark", "--seed", "3"]) == 0
    assert asked == [
        (["ViT", "DeiT"], "x", {"epochs": 1, "size": 64, "seed": 0}),
        ([], None, {"epochs": benchmark.RECIPE.epochs, "size": benchmark.RECIPE.size, "seed": 3}),
    ]


def test_the_help_says_the_defaults(capsys):
    assert cli.main(["benchmark", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"default: {benchmark.RECIPE.epochs}]" in said
    assert f"default: {benchmark.RECIPE.size}]" in said
    assert benchmark.folder() == profile.data() / "results" / "benchmark"
    assert "data/results/benchmark" in said


def test_the_command_with_a_net_that_is_not_there(capsys):
    assert cli.main(["benchmark", "VGG16"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith('meznet: "VGG16" is none of the ten nets')
    assert len(err.splitlines()) == 1
