"""Chapter 2: what it computes is what the stored predictions say, by other code."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, log_loss

from meznet_helpers.book import validation_set
from meznet_helpers.ensembles import METHODS

ROOT = Path(__file__).resolve().parents[2]

CHAPTER = "02-ensembling"
PROBE = """
import json
print(json.dumps({
    "best": best, "fed": fed,
    "simple": simple_table.to_dict("records"),
    "learned": table.to_dict("records"),
    "results": results.to_dict("records"),
    "nonsense": nonsense.to_dict("records"),
    "sizes": sizes.assign(members=sizes["members"].map(list)).to_dict("records"),
    "votes": votes[["gain", "gain_low", "gain_high"]].to_dict(),
    "many": many.to_dict("records"),
    "priced": chosen.drop(columns="members").to_dict("records"),
    "against_soft": against_soft.reset_index().to_dict("records"),
    "weights": {name: w.tolist() for name, w in learned.items() if w.ndim == 1},
    "sure": sure.max(),
    "firsts": together.predict(photographs).top(1)["label"].tolist(),
    "means": new.select(models="soft").top(1)["label"].tolist(),
}, default=float))
"""


def stored(condition: str = "own, bilinear") -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Probabilities of each net on the judging images, float64, and the truth."""
    predictions, truth = validation_set.tables("judge", condition)
    probs = dict(zip(predictions.models, predictions.probs.astype(float), strict=True))
    return probs, truth


def test_second_cost(chapter: SimpleNamespace, report_cost) -> None:
    """What the run took stands in the table of budgets."""
    report_cost(chapter)


def test_the_net_to_beat_is_the_best_of_the_fitting_half(chapter: SimpleNamespace) -> None:
    """It is not chosen among the answers."""
    predictions, truth = validation_set.tables("fit")
    scores = [accuracy_score(truth, probs.argmax(1)) for probs in predictions.probs]
    assert chapter.values.best == predictions.models[int(np.argmax(scores))]


def test_simple_ways(chapter: SimpleNamespace) -> None:
    """Accuracy, gain, interval, p and log loss of the nets, the mean and the geometric mean."""
    probs, truth = stored()
    rows = {row["model"]: row for row in chapter.values.simple}
    ways = probs | {"soft": np.mean(list(probs.values()), axis=0)}
    logs = np.mean([np.log(np.maximum(p, 2.0**-25)) for p in probs.values()], axis=0)
    geometric = np.exp(logs)
    ways["geometric"] = geometric / geometric.sum(1, keepdims=True)
    base = probs[chapter.values.best].argmax(1) == truth
    for name, p in ways.items():
        row, right = rows[name], p.argmax(1) == truth
        assert row["n"] == 5000 and abs(row["hits"] - right.sum()) <= 2, name
        interval = binomtest(row["hits"], 5000).proportion_ci(method="wilson")
        assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
        assert row["gain"] == pytest.approx(right.mean() - base.mean(), abs=5e-4)
        assert row["gain_low"] <= row["gain"] <= row["gain_high"]
        better, worse = int((right & ~base).sum()), int((base & ~right).sum())
        if better + worse:
            p_value = binomtest(better, better + worse).pvalue
            assert row["p"] == pytest.approx(p_value, rel=0.3, abs=1e-3)
        clipped = np.maximum(p, 2.0**-25)
        clipped /= clipped.sum(1, keepdims=True)
        assert row["log_loss"] == pytest.approx(
            log_loss(truth, clipped, labels=np.arange(200)), rel=1e-2
        )


def test_learned_weights(chapter: SimpleNamespace) -> None:
    """They sum to 1; the likelihood's are better than equal ones and than each net, on `fit`."""
    predictions, truth = validation_set.tables("fit")
    of_truth = predictions.probs[:, np.arange(len(truth)), truth].astype(float)

    def likelihood(weights: np.ndarray) -> float:
        return float(np.log(np.maximum(np.asarray(weights) @ of_truth, 1e-12)).mean())

    for name, weights in chapter.values.weights.items():
        assert sum(weights) == pytest.approx(1) and min(weights) >= 0, name
    best = likelihood(chapter.values.weights["likelihood"])
    others = [np.full(len(of_truth), 1 / len(of_truth)), *np.eye(len(of_truth))]
    others += [w for name, w in chapter.values.weights.items() if name != "likelihood"]
    assert all(best >= likelihood(weights) - 1e-9 for weights in others)


def test_every_subset(chapter: SimpleNamespace) -> None:
    """One row for each ensemble, and the accuracy of its plain mean."""
    probs, truth = stored()
    rows = {tuple(row["members"]): row for row in chapter.values.sizes}
    assert len(rows) == 2 ** len(probs) - 1
    for count in (1, 2, len(probs)):
        for members in combinations(probs, count):
            mean = np.mean([probs[name] for name in members], axis=0)
            accuracy = accuracy_score(truth, mean.argmax(1))
            assert rows[members]["accuracy"] == pytest.approx(accuracy, abs=5e-4), members


def test_under_the_spell_votes_beat_the_mean(chapter: SimpleNamespace) -> None:
    """What the chapter says of the mesmerized nets."""
    probs, truth = stored("caffe, nearest")
    rows = {row["model"]: row for row in chapter.values.nonsense}
    mean = np.mean(list(probs.values()), axis=0).argmax(1) == truth
    assert rows["soft"]["accuracy"] == pytest.approx(mean.mean(), abs=1e-3)
    votes = np.zeros((len(truth), 200))
    for p in probs.values():
        top = np.argsort(-p, axis=1, kind="stable")[:, :10]
        np.add.at(votes, (np.arange(len(truth))[:, None], top), 1)
    votes += 1e-3 * np.mean(list(probs.values()), axis=0)
    assert rows["hard, first ten"]["accuracy"] == pytest.approx(
        (votes.argmax(1) == truth).mean(), abs=2e-3
    )
    first = np.zeros((len(truth), 200))
    for p in probs.values():
        first[np.arange(len(truth)), p.argmax(1)] += 1
    first += 1e-3 * np.mean(list(probs.values()), axis=0)
    gain = (first.argmax(1) == truth).mean() - mean.mean()
    assert chapter.values.votes["gain"] == pytest.approx(gain, abs=2e-3)
    assert chapter.values.votes["gain_low"] > 0
    assert (
        json.loads(
            (ROOT / "data/models" / chapter.values.fed[6:-5] / "net.json").read_text("utf-8")
        )["mode"]
        == "caffe"
    )
    best = rows[chapter.values.fed]
    assert all(row["high"] < best["low"] for name, row in rows.items() if name not in probs)


def test_with_the_spell_broken_the_mean_beats_the_ranks(chapter: SimpleNamespace) -> None:
    """What the chapter says of nets with their own preprocessing."""
    rows = {row["model"]: row for row in chapter.values.simple}
    assert rows["soft"]["gain_low"] > 0
    lead = rows["soft"]["accuracy"] - rows["hard"]["accuracy"]
    assert f"against the mean they stand at {-100 * lead:+.1f} points" in (
        chapter.cells["spelled-text"].source
    )
    for other in ("borda", "reciprocal_rank"):
        assert rows["soft"]["accuracy"] > rows[other]["accuracy"] > rows["soft"]["accuracy"] - 0.01
    ensembles = [row for row in chapter.values.results if "/" not in row["model"]]
    assert all(row["gain_low"] > 0 and 0.04 < row["gain"] < 0.06 for row in ensembles)
    assert max(row["low"] for row in ensembles) < min(row["high"] for row in ensembles)
    simple = [rows[name]["gain"] for name in METHODS]
    words = f"between the six ways is {100 * (max(simple) - min(simple)):.1f} points"
    assert words in chapter.cells["simple-text"].source


def test_what_learning_adds(chapter: SimpleNamespace) -> None:
    """Next to nothing: no way leads or trails the mean by half a point, or beyond chance."""
    gains = {row["model"]: row for row in chapter.values.against_soft}
    assert {*chapter.values.weights, "class-wise", "logistic lasso"} < gains.keys()
    assert all(row["gain_low"] <= 0 <= row["gain_high"] for row in gains.values())
    assert max(abs(row["gain"]) for row in gains.values()) < 0.005
    assert "beyond chance: none of them" in chapter.cells["gains-text"].source
    weighted = [gains[name]["gain"] for name in (*chapter.values.weights, "class-wise")]
    text = chapter.cells["what-not"].source
    assert f"@tbl-learned gains {100 * max(weighted):.1f} points on the plain mean" in text
    assert f"a net's say away, {100 * gains['logistic lasso']['gain']:.1f} (" in text
    nets = [row["accuracy"] for row in chapter.values.simple if "/" in row["model"]]
    assert len(nets) == 7 and max(nets) - min(nets) < 0.06  # "not far apart"


def test_more_nets_help_less_and_less(chapter: SimpleNamespace) -> None:
    """What the picture of all ensembles is said to show."""
    sizes = range(1, 1 + max(row["nets"] for row in chapter.values.sizes))
    scores = [[r["accuracy"] for r in chapter.values.sizes if r["nets"] == n] for n in sizes]
    means, best = [np.mean(s) for s in scores], [max(s) for s in scores]
    assert (np.diff(means) > 0).all() and (np.diff(means, 2) < 0).all()
    steps = np.diff(best)
    assert steps[0] > 2 * steps[1] > 4 * steps[2] and (np.abs(steps[2:]) < 0.005).all()
    probs, truth = stored()
    best_of_all = next(r["members"] for r in chapter.values.sizes if r["accuracy"] == max(best))
    right = [
        np.mean([probs[name] for name in names], axis=0).argmax(1) == truth
        for names in (best_of_all, probs)
    ]
    gained, lost = int((right[0] & ~right[1]).sum()), int((right[1] & ~right[0]).sum())
    assert binomtest(gained, gained + lost).pvalue > 0.05  # "is chance"


def test_false_hits_flatter_the_bad_nets(chapter: SimpleNamespace) -> None:
    """What the chapter says of matching words."""
    own = next(row for row in chapter.values.many if row["model"] == chapter.values.fed)
    assert own["weight_by_words"] < own["weight"] - 0.05
    false = sum(row["false_rows"] for row in chapter.values.many)
    rows = sum(row["rows"] for row in chapter.values.many)
    prose = chapter.cells["bookkeeping-text"].source
    assert f"Of {rows:,} rows, {false:,} ({false / rows:.0%}) are false" in prose


def test_prose(chapter: SimpleNamespace) -> None:
    """The numbers in the sentences are those of the tables."""
    simple = {row["model"]: row for row in chapter.values.simple}
    gain = simple["soft"]["gain"]
    assert f"The mean gains {100 * gain:.1f} points" in chapter.cells["simple-text"].source
    rows = {row["model"]: row for row in chapter.values.nonsense}
    text = chapter.cells["spelled-text"].source
    shares = [f"{rows[name]['accuracy']:.1%}" for name in ("soft", "hard")]
    assert f"The mean names {shares[0]}, one vote per net {shares[1]}" in text
    assert f"the votes gain {100 * chapter.values.votes['gain']:.1f} points" in text
    assert f"{chapter.values.sure:.0%} on its first label" in text
    worse = sum(row["accuracy"] < row["best"] for row in chapter.values.sizes)
    assert f"best member: {worse} of the " in chapter.cells["sizes-text"].source
    top = max(chapter.values.against_soft, key=lambda row: row["gain"])
    assert f"is {top['model']}, with a gain of {100 * top['gain']:.1f} points" in (
        chapter.cells["gains-text"].source
    )


def test_the_live_ensemble_says_what_its_members_say(chapter: SimpleNamespace) -> None:
    """The ensemble by name, and the mean of the nets one by one."""
    assert chapter.values.firsts == chapter.values.means


def test_results_hold_all_ways(chapter: SimpleNamespace) -> None:
    """Best first, each way once."""
    names = [row["model"] for row in chapter.values.results]
    assert len(names) == len(set(names)) and {"soft", "logistic lasso", "greedy"} <= set(names)
    scores = [row["accuracy"] for row in chapter.values.results]
    assert scores == sorted(scores, reverse=True)
