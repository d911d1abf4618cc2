"""Tests of the one table: the stored one against the bundled predictions and scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, top_k_accuracy_score

from meznet_helpers import cli, names, plots, tables
from meznet_helpers.assets import profile, store
from meznet_helpers.book import leaderboard, validation_set
from meznet_helpers.ensembles import logistic_lasso
from meznet_helpers.predictions import Predictions

QUALITY = ["n", "top1", "top1_low", "top1_high", "top5", "top5_low", "top5_high", "log_loss", "ece"]


@pytest.fixture(scope="module")
def rows() -> Predictions:
    """What each row says; torch stays in a worker."""
    import keras  # noqa: F401

    return leaderboard.predictions()


@pytest.fixture(scope="module")
def stored() -> pd.DataFrame:
    return leaderboard.read().set_index("labeler")


@pytest.mark.contract
def test_the_stored_table_is_what_the_predictions_say(rows, stored):
    """By scikit-learn, row by row; and a row for each labeler of the book, the best first."""
    _, truth = validation_set.tables("judge")
    assert set(stored.index) == set(rows.models)
    assert stored["top1"].is_monotonic_decreasing and (stored["n"] == 5000).all()
    for name, probs in zip(rows.models, rows.probs, strict=True):
        row, labels = stored.loc[name], np.arange(200)
        for k in (1, 5):
            wanted = top_k_accuracy_score(truth, probs, k=k, labels=labels)
            ties = 1e-3 if k > 1 else 6e-4  # half precision makes some
            assert row[f"top{k}"] == pytest.approx(wanted, abs=ties), (name, k)
            assert row[f"top{k}_low"] < row[f"top{k}"] < row[f"top{k}_high"]
        probs = np.maximum(probs.astype(float), 3e-8)
        wanted = log_loss(truth, probs / probs.sum(1, keepdims=True), labels=labels)
        assert row["log_loss"] == pytest.approx(wanted, rel=2e-3), name
        confidence, right = probs.max(1), probs.argmax(1) == truth
        bins = np.digitize(confidence, np.linspace(0, 1, 16)[1:-1], right=True)
        gaps = [abs(right[bins == b].sum() - confidence[bins == b].sum()) for b in range(15)]
        assert row["ece"] == pytest.approx(sum(gaps) / 5000, abs=1e-3), name


@pytest.mark.contract
def test_the_command_rebuilds_it(monkeypatch, tmp_path, capsys, rows, stored):
    """What it writes is the stored table, but for the milliseconds, which are this machine's."""
    monkeypatch.setattr(leaderboard, "predictions", lambda: rows)
    monkeypatch.setattr(leaderboard, "times", lambda: dict.fromkeys(rows.models, 1.5))
    assert cli.main(["leaderboard", "--out", str(tmp_path / "board.csv")]) == 0
    written = pd.read_csv(tmp_path / "board.csv")
    lost = capsys.readouterr()
    assert not lost.out and lost.err.splitlines() == [
        f"meznet: {name} is not here and was not timed; meznet fetch."
        for name in validation_set.absent()
    ]
    assert cli.main(["leaderboard"]) == 0
    assert capsys.readouterr().out == (tmp_path / "board.csv").read_text(encoding="utf-8")
    assert written["labeler"].tolist() == stored.index.tolist()
    np.testing.assert_allclose(written[QUALITY], stored[QUALITY], rtol=2e-3, atol=2e-4)
    np.testing.assert_allclose(written["mb"], stored["mb"])
    assert (written["ms"] == 1.5).all()
    assert cli.main(["leaderboard", "--out", str(tmp_path / "no" / "board.csv")]) == 2
    assert capsys.readouterr().err == f"meznet: --out: {tmp_path / 'no'} is no folder.\n"


def test_the_rows():
    """All nets and all later labelers alone, each with a name that makes it; then what combines."""
    found = leaderboard.entries()
    single = [entry for entry in found if entry.combine is None]
    own = validation_set.models() + list(validation_set.LATER)
    assert [entry.name for entry in single] == own + list(validation_set.PUBLISHED)
    for entry in single:
        assert names.labeler(entry.name).name == entry.name and entry.members == (entry.name,)
        assert 1 <= entry.chapter <= 6
    combined = [entry for entry in found if entry.combine is not None]
    assert sorted(len(entry.members) for entry in combined) == [7, 7, 7, 11, 11]
    assert all(set(entry.members) <= set(own) and not entry.seen for entry in combined)


def test_published_nets_stand_apart(stored, rows):
    """They may have seen these photographs, so they are marked, and in no ensemble."""
    marked = stored.index[stored["seen"] == "possibly"]
    assert sorted(marked) == list(validation_set.PUBLISHED)
    assert set(stored["seen"]) == {"", "possibly"} and (stored.loc[marked, "chapter"] == 1).all()
    for number, name in enumerate(validation_set.PUBLISHED):
        size = store.manifest()[f"efficientnet-lite{number}"].bytes
        assert stored.loc[name, "mb"] == pytest.approx(size / 1e6, rel=1e-4)
        (predictions, truth) = validation_set.tables("judge", "published")
        hits = (predictions.select(models=name).probs[0].argmax(1) == truth).sum()
        assert stored.loc[name, "top1"] == pytest.approx(hits / 5000, abs=6e-4)


def test_the_marks_on_the_page_and_in_the_picture(stored):
    table = leaderboard.read()
    page = tables.leaderboard(table, "All").as_raw_html()
    assert page.count("possibly seen in training") == 1
    for name in stored.index:
        assert (f">{name} *<" in page) == (stored.loc[name, "seen"] != "")
    names = [label.get_text() for label in plots.leaderboard(table).axes[0].get_yticklabels()]
    assert [name for name in names if name.endswith(" *")] == [
        f"{name} *" for name in table.loc[table["seen"] != "", "labeler"]
    ]
    own = table[table["seen"] == ""].reset_index(drop=True)
    assert "possibly" not in tables.leaderboard(own, "Own").as_raw_html()
    (axis,) = plots.leaderboard(own).axes
    assert not any("*" in label.get_text() for label in axis.get_yticklabels())
    unknown = table.assign(ms=np.nan)
    assert tables.leaderboard(unknown, "Not timed").as_raw_html().count(">-<") == len(table)


def test_bytes_count_each_file_once(stored):
    """The index of photographs stands on a net that the ensemble of all has already."""
    models = profile.data() / "models"
    weights = list(models.glob("*/weights.safetensors"))
    nets = sum(f.stat().st_size for f in weights if f.parent.name != "regnetx_002-photos")
    others = ["clip/model", "clip-tuned-photographs/head", "prototypes/photographs",
              "captioner/model"]  # fmt: skip
    extra = sum((models / f"{name}.safetensors").stat().st_size for name in others)
    assert stored.loc["soft ensemble of the 7 nets", "mb"] == pytest.approx(nets / 1e6, rel=1e-4)
    assert stored.loc["soft ensemble of all 11", "mb"] == pytest.approx(
        (nets + extra) / 1e6, rel=1e-4
    )


@pytest.mark.nets
def test_times_are_sums(monkeypatch):
    """Two milliseconds for each labeler, and half a one for the judge's own reading."""
    monkeypatch.setattr(leaderboard.timing, "latency", lambda net, image, **how: 2.0)
    monkeypatch.setattr(leaderboard.timing, "milliseconds", lambda work, repeats: [16.0])
    found = leaderboard.times()
    assert found["llm/captioner@tiny"] == 2.0
    assert found["soft ensemble of the 7 nets"] == 14.0
    assert found["llm/judge@tiny"] == 14.5
    assert found["stacked ensemble of all 11"] == 22.0
    real, lost = store.is_here, "efficientnet-lite1"
    monkeypatch.setattr(store, "is_here", lambda name: name != lost and real(name))
    missing = {entry.name for entry in leaderboard.entries()} - leaderboard.times().keys()
    assert missing == set(validation_set.absent()) and validation_set.PUBLISHED[1] in missing


def test_milliseconds_add_up(stored):
    """An ensemble takes as long as its members one after the other."""
    ms = stored["ms"]
    nets = ms[validation_set.models()].sum()
    assert (ms > 0).all()
    assert ms["soft ensemble of the 7 nets"] == pytest.approx(nets, rel=1e-3)
    assert ms["soft ensemble of all 11"] == pytest.approx(
        nets + ms[list(validation_set.LATER)].sum(), rel=1e-3
    )
    assert ms["llm/judge@tiny"] > ms["soft ensemble of the 7 nets"]


@pytest.mark.nets
def test_the_stack_learns_from_the_half_that_does_not_judge(rows):
    (fit, truth), (judge, _) = (validation_set.tables(part) for part in ("fit", "judge"))
    wanted = logistic_lasso(fit.probs, truth, 1e-4)(judge.probs)
    found = rows.select(models="stacked ensemble of the 7 nets").probs[0]
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    assert not set(fit.images) & set(judge.images)


def test_the_readme_quotes_the_table(stored, root):
    """The best single labeler, the plain mean of the nets, and the best of all."""
    text = " ".join((root / "README.md").read_text(encoding="utf-8").split())
    own, published = stored[stored["seen"] == ""], stored[stored["seen"] != ""]
    single = own.loc[validation_set.models() + list(validation_set.LATER), "top1"].max()
    mean = stored.loc["soft ensemble of the 7 nets", "top1"]
    assert f"best single network is right for {100 * single:.1f} %" in text
    assert f"the plain mean of seven for {100 * mean:.1f} %" in text
    assert own.index[0] == "stacked ensemble of all 11"
    assert f"for {100 * own['top1'].iloc[0]:.1f} %" in text
    least, most = (100 * share for share in published["top1"].agg(["min", "max"]))
    assert f"are right for {least:.1f} to {most:.1f} %" in text
