"""Chapter 5: what it says is what the networks, scikit-learn and the stored results say."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from meznet_helpers import emojizoo, features, partitions, profile
from meznet_helpers.prototypes import study

PROBE = """
import json
table = lambda frame: frame.to_dict("records")
print(json.dumps({
    "accuracies": {name: table(repeats.accuracy(each, (1, 4))) for name, each in results.items()},
    "single": {name: each.tolist() for name, each in single.items()},
    "wide": wide.to_dict(), "shown": shown.tolist(), "found": matches.classes.tolist(),
    "more": table(more), "new_style": table(new_style), "styles": len(styles),
    "named": float(named.mean()), "stolen": stolen, "judged": len(judged), "old": float(old),
    "new": float(new), "rejected": table(rejected), "sharper": table(sharper),
    "compared": table(compared), "shaken": table(shaken), "curve": table(curve),
    "fitted": fitted, "white_style": float(white_style["accuracy"]), "gained": gained,
    "metrics": by_metric, "worst": table(worst[net]), "booted": float(booted["n"]),
    "folds": folds.to_dict(), "alone": float(alone), "ahead": ahead,
}, default=float))
"""
NETS = {"RegNetX": "timm/regnetx_002@tiny", "TinyViT": "timm/tiny_vit_5m_224@tiny"}


@pytest.fixture(scope="module")
def fifth(run_chapter) -> SimpleNamespace:
    """The chapter, run in a fresh kernel: its cells by id, its values, its cost."""
    return run_chapter("05-prototypes", PROBE)


@pytest.fixture(scope="module")
def zoo():
    return emojizoo.animals()


@pytest.fixture(scope="module")
def vectors(zoo) -> dict[str, np.ndarray]:
    import keras  # noqa: F401 (so that torch stays out of this process)

    return {name: features.embed(zoo, net) for name, net in NETS.items()}


def by(rows: list[dict], *columns: str) -> dict:
    """Rows by the values of some columns."""
    return {tuple(row[each] for each in columns): row for row in rows}


def test_fifth_is_cheap(fifth: SimpleNamespace, cheap) -> None:
    """Two minutes and three gigabytes are enough."""
    cheap(fifth)


def test_twenty_partitions(fifth: SimpleNamespace, zoo, vectors) -> None:
    """The table, computed here from the embeddings, with SciPy's interval."""
    weights = partitions.random(zoo.truth, 20)
    text = fifth.cells["partitions-table"].outputs[0]["data"]["text/html"]
    for name, x in vectors.items():
        judged = study.judge(x, zoo.truth, weights)
        values = (judged["rank"] == 1).groupby(judged["run"]).mean().to_numpy()
        assert fifth.values.single[name] == pytest.approx(values, abs=2e-3)
        low, high = stats.t.interval(0.95, 19, values.mean(), stats.sem(values))
        row = by(fifth.values.accuracies[name], "k")[1,]
        assert [row["low"], row["high"]] == pytest.approx([low, high], abs=2e-3)
        assert f"{row['accuracy']:.1%} ({100 * row['low']:.1f} to {100 * row['high']:.1f})" in text
    for printed in ("95.1% (94.9 to 95.3)", "97.3% (97.1 to 97.5)", "99.6% (99.5 to 99.7)"):
        assert printed in text, "the document's figures"


def test_one_split_misleads(fifth: SimpleNamespace) -> None:
    first, second = (np.array(fifth.values.single[name]) for name in NETS)
    assert fifth.values.ahead == (second > first).sum()
    assert 0 < fifth.values.ahead < 20, "the text says that the seed would have decided"
    assert first.max() > second.min() and second.max() > first.min(), "the figure's alt text"
    text = fifth.cells["runs-words"].source
    assert f"from {first.min():.1%} to {first.max():.1%}" in text
    row = by(fifth.values.accuracies["RegNetX"], "k")[1,]
    ratio = (fifth.values.wide["high"] - fifth.values.wide["low"]) / (row["high"] - row["low"])
    assert ratio == pytest.approx(np.sqrt(1 + 20 / 4))


def test_what_encoding_once_saves(fifth: SimpleNamespace) -> None:
    """The stored measurement: fifteen times at least, and the very same accuracies."""
    table = pd.read_csv(profile.data() / "results" / "prototypes" / "encode-once.csv")
    assert (table["ratio"] >= 15).all() and (table["same"] == table["partitions"]).all()
    for row in table.itertuples():
        name = next(name for name, net in NETS.items() if net == row.model)
        stored = by(fifth.values.accuracies[name], "k")[1,]["accuracy"]
        assert row.accuracy == pytest.approx(stored, abs=2e-3)
    times = pd.read_csv(profile.data() / "results" / "prototypes" / "search.csv")
    assert (times.query("classes == 1000")[["ms", "ms_mapped"]] <= 0.15).all(axis=None)
    assert (times.query("classes == 50000")[["ms", "ms_mapped"]] <= 10).all(axis=None)
    assert "a tenth of a millisecond" in fifth.cells["search-words"].source
    assert 0.05 < times.query("classes == 1000 and at_once == 1")["ms"].item() < 0.15


def test_the_grid_has_a_wrong_answer(fifth: SimpleNamespace, zoo) -> None:
    first = np.array(fifth.values.found)[:, 0]
    wrong = first != zoo.truth[fifth.values.shown]
    assert len(wrong) == 12 and 0 < wrong.sum() < 6


def test_the_worst_classes(fifth: SimpleNamespace, zoo, vectors) -> None:
    judged = study.judge(vectors["RegNetX"], zoo.truth, partitions.random(zoo.truth, 20))
    right = (judged["rank"] == 1).groupby(judged["truth"]).mean()
    worst = zoo.labels.names[right.idxmin()]
    row = fifth.values.worst[0]
    assert (row["label"], row["accuracy"]) == (worst, pytest.approx(right.min(), abs=0.02))
    text = fifth.cells["add-text"].source
    below = np.mean([each["accuracy"] < 0.5 for each in fifth.values.worst])
    assert f"{below:.0%} of the animals are named right less than half" in text


def test_the_ninety_first(fifth: SimpleNamespace) -> None:
    """It is learned from five pictures, and takes little from the others."""
    values = fifth.values
    assert values.named > 0.5 and values.stolen < 0.05 * values.judged
    assert abs(values.old - values.new) < 0.02
    assert "(91, 90, " in fifth.text_of(fifth.cells["file"])


def test_several_prototypes_know_drawings_not_animals(fifth: SimpleNamespace) -> None:
    """The turn of the chapter: a triumph on random partitions, and not in a new style."""
    at_random, new = by(fifth.values.more, "kind", "count"), by(
        fifth.values.new_style, "kind", "count"
    )  # fmt: skip
    mean, seven = ("mean", 1), ("k-means", 7)
    assert at_random[seven]["low"] > at_random[mean]["high"] + 0.2
    assert at_random[seven]["accuracy"] > 0.97
    assert fifth.values.styles == 7, "seven is the number of styles"
    for one, other in ((mean, seven), (seven, mean)):
        assert new[one]["low"] < new[other]["accuracy"] < new[one]["high"]
    assert at_random["medoid", 1]["high"] < at_random[mean]["low"]


def test_the_probe(fifth: SimpleNamespace) -> None:
    """As good as the mean with two examples, far ahead with 48, less so in a new style."""
    curve = by(fifth.values.curve, "features", "examples")
    few = [curve[name, 2] for name in ("one mean", "logistic regression")]
    assert max(row["low"] for row in few) < min(row["high"] for row in few)
    gap = curve["logistic regression", 48]["accuracy"] - curve["one mean", 48]["accuracy"]
    mean = by(fifth.values.new_style, "kind", "count")["mean", 1]["accuracy"]
    assert gap > 0.2 and 0 < np.mean(fifth.values.fitted) - mean < gap / 2


def test_whitening(fifth: SimpleNamespace) -> None:
    """Much on random partitions, hardly anything in a new style."""
    base = {name: by(rows, "k")[1,]["accuracy"] for name, rows in fifth.values.accuracies.items()}
    assert all(fifth.values.gained[name] > base[name] + 0.05 for name in base)
    mean = by(fifth.values.new_style, "kind", "count")["mean", 1]["accuracy"]
    assert abs(fifth.values.white_style - mean) < 0.03


def test_none_of_these(fifth: SimpleNamespace) -> None:
    one, seven = by(fifth.values.rejected, "pictures"), by(fifth.values.sharper, "pictures")
    known, other, things = ("known classes",), ("other classes",), ("things",)
    assert one[known]["low"] < 0.05 < one[known]["high"] + 0.02
    assert one[other]["rejected"] < 0.5 < one[things]["rejected"]
    assert seven[other]["rejected"] > 0.8
    assert one[known]["n"] == 720 and one[other]["n"] == 1800


def test_exact_first(fifth: SimpleNamespace) -> None:
    rows = by(fifth.values.compared, "search", "effort")
    assert rows["exact", 0]["recall"] == 1
    assert all(0.99 < row["recall"] <= 1 for row in rows.values())
    assert rows["approximate", 4]["time"] < 1 and rows["approximate", 4]["build"] > 1000


def test_what_did_not_help(fifth: SimpleNamespace) -> None:
    metrics, shaken = fifth.values.metrics, by(fifth.values.shaken, "prototypes", "judged")
    assert metrics["inner"] < metrics["l2"] < metrics["cosine"]
    clean = shaken["clean", "clean"]
    assert max(row["accuracy"] for row in shaken.values()) == clean["accuracy"]
    assert shaken["changed", "clean"]["high"] < clean["low"]


def test_exercises(fifth: SimpleNamespace) -> None:
    row = by(fifth.values.accuracies["RegNetX"], "k")[1,]
    assert fifth.values.folds["low"] < row["accuracy"] < fifth.values.folds["high"]
    assert fifth.values.booted == pytest.approx(5400 * (1 - 1 / 60) ** 60, rel=0.02)
