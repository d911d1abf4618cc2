"""Appendix A: what it says of the ten nets is what their files say."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score

from meznet_helpers.assets import profile
from meznet_helpers.book import benchmark

FOLDER = profile.data() / "results" / "benchmark"

CHAPTER = "a-ten-nets"
PROBE = """
import json
print(json.dumps({
    "best": best, "worst": worst, "small": small, "odd": odd, "alike": alike, "slow": slow,
    "spread": spread, "live": live.to_dict("records"),
    "order": results["model"].tolist(), "ends": ends.reset_index().to_dict("records"),
    "gain": [gain, low, high], "pair": [first, second],
}, default=float))
"""


@pytest.fixture(scope="module")
def ten() -> pd.DataFrame:
    """The table as it lies there, by net."""
    return pd.read_csv(FOLDER / "benchmark.csv").set_index("model")


def test_appendix_cost(chapter: SimpleNamespace, report_cost) -> None:
    """What the run took stands in the table of budgets."""
    report_cost(chapter)


def test_the_files_agree(ten: pd.DataFrame) -> None:
    """Hits, intervals and best epochs of the table are those of predictions and history."""
    predictions = pd.read_csv(FOLDER / "predictions.csv.gz")
    history = pd.read_csv(FOLDER / "history.csv")
    assert list(ten.index) == list(benchmark.NETS)
    for name, row in ten.iterrows():
        own = predictions[predictions["model"] == name]
        assert len(own) == row["n"] == 2700 and own["image"].is_unique
        assert row["hits"] == accuracy_score(own["truth"], own["label"], normalize=False)
        interval = stats.binomtest(int(row["hits"]), 2700).proportion_ci(method="wilson")
        assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high), abs=1e-5)
        epochs = history[history["model"] == name].set_index("epoch")
        kept = epochs[epochs["best"]]
        assert kept.index.tolist() == [row["best"]] == [epochs["valid_accuracy"].idxmax()]
        assert kept["valid_accuracy"].item() == pytest.approx(row["accuracy"], abs=1e-5)
        assert epochs["seconds"].sum() == pytest.approx(row["train_s"], rel=1e-4)


def test_starts_explain_more_than_architectures(chapter: SimpleNamespace, ten) -> None:
    """What the page says of the nets that began at random."""
    began = ten["weights"] == "random"
    assert began.sum() == 6
    assert ten.loc[~began, "low"].min() > ten.loc[began, "high"].max()
    text = chapter.cells["ten-text"].source
    best, worst = ten["accuracy"].idxmax(), ten["accuracy"].idxmin()
    assert (chapter.values.best, chapter.values.worst) == (best, worst)
    assert f"The best is {best} with {ten.accuracy[best]:.1%}" in text
    assert f"the last {worst} with {ten.accuracy[worst]:.1%}" in text
    assert chapter.values.order == ten["accuracy"].sort_values(ascending=False).index.tolist()


def test_costs(chapter: SimpleNamespace, ten: pd.DataFrame) -> None:
    """Ratios of times in one run, and the smallest net."""
    spread = ten["train_ms"].max() / ten["train_ms"].min()
    small = ten["size_mb"].idxmin()
    text = chapter.cells["costs-text"].source
    assert f"takes {spread:.0f} times as long" in text and f"the smallest net, {small} with" in text
    assert spread > 5 and ten.accuracy[small] > 0.8


def test_the_document(chapter: SimpleNamespace, ten: pd.DataFrame) -> None:
    """Spearman's correlations, and the pattern of the spell."""
    theirs = benchmark.published().set_index("model").loc[ten.index]
    for value, column in ((chapter.values.alike, "accuracy"), (chapter.values.slow, "train_ms")):
        expected = stats.spearmanr(ten[column], theirs[column]).statistic
        assert value == pytest.approx(expected)
    inside = ["MobileNetV3Small", "MobileNetV3Large", "EfficientNetV2B0", "EfficientNetV2S"]
    outside = ["MobileNetV2", "Xception", "InceptionV3", "NASNetMobile"]
    assert theirs.accuracy[inside].min() > theirs.accuracy[outside].max()
    ends = {row["mode"]: (row["min"], row["max"]) for row in chapter.values.ends}
    assert ends == {
        "raw": (theirs.accuracy[inside].min(), theirs.accuracy[inside].max()),
        "tf": (theirs.accuracy[outside].min(), theirs.accuracy[outside].max()),
    }


def test_one_loss_is_odd(chapter: SimpleNamespace, ten: pd.DataFrame) -> None:
    """High accuracy and high loss at once, because of a few pictures."""
    odd = chapter.values.odd
    assert ten.accuracy[odd] > ten.accuracy.median() and ten.loss[odd] > 2 * ten.loss.median()
    assert (
        f"{odd} has an accuracy of {ten.accuracy[odd]:.1%} and a loss of {ten.loss[odd]:.2f}"
        in (chapter.cells["loss-text"].source)
    )


def test_live(chapter: SimpleNamespace, ten: pd.DataFrame) -> None:
    """The smallest net was trained, on the same pictures, and learned much in two epochs."""
    (row,) = chapter.values.live
    assert row["model"] == chapter.values.small and row["epochs"] == 2 and row["n"] == 2700
    assert row["weights"] == ten.weights[row["model"]]
    assert 20 / 90 < row["accuracy"] < ten.accuracy[row["model"]] + 0.02


def test_the_best_two(chapter: SimpleNamespace) -> None:
    """The gain of the best net on the next is that of their hits."""
    predictions = pd.read_csv(FOLDER / "predictions.csv.gz")
    right = [
        (part["truth"] == part["label"]).to_numpy()
        for name in chapter.values.pair
        for part in [predictions[predictions["model"] == name]]
    ]
    gain, low, high = chapter.values.gain
    assert gain == pytest.approx(np.mean(right[0]) - np.mean(right[1]))
    assert low <= gain <= high and gain >= 0
