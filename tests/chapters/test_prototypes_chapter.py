"""Chapter 5: what it says is what the networks, scikit-learn and the stored results say."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from meznet_helpers import emojizoo, features
from meznet_helpers.assets import profile
from meznet_helpers.measure import partitions
from meznet_helpers.prototypes import study

CHAPTER = "05-prototypes"
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
def zoo():
    return emojizoo.animals()


@pytest.fixture(scope="module")
def vectors(zoo) -> dict[str, np.ndarray]:
    import keras  # noqa: F401 (so that torch stays out of this process)

    return {name: features.embed(zoo, net) for name, net in NETS.items()}


def by(rows: list[dict], *columns: str) -> dict:
    """Rows by the values of some columns."""
    return {tuple(row[each] for each in columns): row for row in rows}


def test_fifth_cost(chapter: SimpleNamespace, report_cost) -> None:
    """What the run took stands in the table of budgets."""
    report_cost(chapter)


def test_twenty_partitions(chapter: SimpleNamespace, zoo, vectors) -> None:
    """The table, computed here from the embeddings, with SciPy's interval."""
    weights = partitions.random(zoo.truth, 20)
    text = chapter.cells["partitions-table"].outputs[0]["data"]["text/html"]
    for name, x in vectors.items():
        judged = study.judge(x, zoo.truth, weights)
        values = (judged["rank"] == 1).groupby(judged["run"]).mean().to_numpy()
        assert chapter.values.single[name] == pytest.approx(values, abs=2e-3)
        low, high = stats.t.interval(0.95, 19, values.mean(), stats.sem(values))
        row = by(chapter.values.accuracies[name], "k")[1,]
        assert [row["low"], row["high"]] == pytest.approx([low, high], abs=2e-3)
        assert f"{row['accuracy']:.1%} ({100 * row['low']:.1f} to {100 * row['high']:.1f})" in text
    for printed in ("95.1% (94.9 to 95.3)", "97.3% (97.1 to 97.5)", "99.6% (99.5 to 99.7)"):
        assert printed in text, "the document's figures"


def test_one_split_misleads(chapter: SimpleNamespace) -> None:
    first, second = (np.array(chapter.values.single[name]) for name in NETS)
    assert chapter.values.ahead == (second > first).sum()
    assert 0 < chapter.values.ahead < 20, "the text says that the seed would have decided"
    assert first.max() > second.min() and second.max() > first.min(), "the figure's alt text"
    text = chapter.cells["runs-words"].source
    assert f"from {first.min():.1%} to {first.max():.1%}" in text
    row = by(chapter.values.accuracies["RegNetX"], "k")[1,]
    ratio = (chapter.values.wide["high"] - chapter.values.wide["low"]) / (row["high"] - row["low"])
    assert ratio == pytest.approx(np.sqrt(1 + 20 / 4))


def test_what_encoding_once_saves(chapter: SimpleNamespace) -> None:
    """The stored measurement: fifteen times at least, and the very same accuracies."""
    table = pd.read_csv(profile.data() / "results" / "prototypes" / "encode-once.csv")
    assert (table["ratio"] >= 15).all() and (table["same"] == table["partitions"]).all()
    for row in table.itertuples():
        name = next(name for name, net in NETS.items() if net == row.model)
        stored = by(chapter.values.accuracies[name], "k")[1,]["accuracy"]
        assert row.accuracy == pytest.approx(stored, abs=2e-3)
    times = pd.read_csv(profile.data() / "results" / "prototypes" / "search.csv")
    assert (times.query("classes == 1000")[["ms", "ms_mapped"]] <= 0.15).all(axis=None)
    assert (times.query("classes == 50000")[["ms", "ms_mapped"]] <= 10).all(axis=None)
    assert "a tenth of a millisecond" in chapter.cells["search-words"].source
    assert 0.05 < times.query("classes == 1000 and at_once == 1")["ms"].item() < 0.15


def test_the_grid_has_a_wrong_answer(chapter: SimpleNamespace, zoo) -> None:
    first = np.array(chapter.values.found)[:, 0]
    wrong = first != zoo.truth[chapter.values.shown]
    assert len(wrong) == 12 and 0 < wrong.sum() < 6


def test_the_worst_classes(chapter: SimpleNamespace, zoo, vectors) -> None:
    judged = study.judge(vectors["RegNetX"], zoo.truth, partitions.random(zoo.truth, 20))
    right = (judged["rank"] == 1).groupby(judged["truth"]).mean()
    worst = zoo.labels.names[right.idxmin()]
    row = chapter.values.worst[0]
    assert (row["label"], row["accuracy"]) == (worst, pytest.approx(right.min(), abs=0.02))
    text = chapter.cells["add-text"].source
    below = np.mean([each["accuracy"] < 0.5 for each in chapter.values.worst])
    assert f"{below:.0%} of the animals are named right less than half" in text


def test_the_ninety_first(chapter: SimpleNamespace) -> None:
    """It is learned from five pictures, and takes little from the others."""
    values = chapter.values
    assert values.named > 0.5 and values.stolen < 0.05 * values.judged
    assert abs(values.old - values.new) < 0.02
    assert "(91, 90, " in chapter.text_of(chapter.cells["file"])


def test_several_prototypes_know_drawings_not_animals(chapter: SimpleNamespace) -> None:
    """The turn of the chapter: a triumph on random partitions, and not in a new style."""
    at_random, new = by(chapter.values.more, "kind", "count"), by(
        chapter.values.new_style, "kind", "count"
    )  # fmt: skip
    mean, seven = ("mean", 1), ("k-means", 7)
    assert at_random[seven]["low"] > at_random[mean]["high"] + 0.2
    assert at_random[seven]["accuracy"] > 0.97
    assert chapter.values.styles == 7, "seven is the number of styles"
    for one, other in ((mean, seven), (seven, mean)):
        assert new[one]["low"] < new[other]["accuracy"] < new[one]["high"]
    assert at_random["medoid", 1]["high"] < at_random[mean]["low"]


def test_the_probe(chapter: SimpleNamespace) -> None:
    """As good as the mean with two examples, far ahead with 48, less so in a new style."""
    curve = by(chapter.values.curve, "features", "examples")
    few = [curve[name, 2] for name in ("one mean", "logistic regression")]
    assert max(row["low"] for row in few) < min(row["high"] for row in few)
    gap = curve["logistic regression", 48]["accuracy"] - curve["one mean", 48]["accuracy"]
    mean = by(chapter.values.new_style, "kind", "count")["mean", 1]["accuracy"]
    assert gap > 0.2 and 0 < np.mean(chapter.values.fitted) - mean < gap / 2


def test_whitening(chapter: SimpleNamespace) -> None:
    """Much on random partitions, hardly anything in a new style."""
    base = {name: by(rows, "k")[1,]["accuracy"] for name, rows in chapter.values.accuracies.items()}
    assert all(chapter.values.gained[name] > base[name] + 0.05 for name in base)
    mean = by(chapter.values.new_style, "kind", "count")["mean", 1]["accuracy"]
    assert abs(chapter.values.white_style - mean) < 0.03


def test_none_of_these(chapter: SimpleNamespace) -> None:
    one, seven = by(chapter.values.rejected, "pictures"), by(chapter.values.sharper, "pictures")
    known, other, things = ("known classes",), ("other classes",), ("things",)
    assert one[known]["low"] < 0.05 < one[known]["high"] + 0.02
    assert one[other]["rejected"] < 0.5 < one[things]["rejected"]
    assert seven[other]["rejected"] > 0.8
    assert one[known]["n"] == 720 and one[other]["n"] == 1800


def test_exact_first(chapter: SimpleNamespace, report) -> None:
    rows = by(chapter.values.compared, "search", "effort")
    assert rows["exact", 0]["recall"] == 1
    assert all(0.99 < row["recall"] <= 1 for row in rows.values())
    quick = rows["approximate", 4]
    report(f"{CHAPTER}: approximate search / exact", quick["time"], at_most=1)
    report(f"{CHAPTER}: building the approximate index / a search", quick["build"], at_least=1000)


def test_what_did_not_help(chapter: SimpleNamespace) -> None:
    metrics, shaken = chapter.values.metrics, by(chapter.values.shaken, "prototypes", "judged")
    assert metrics["inner"] < metrics["l2"] < metrics["cosine"]
    clean = shaken["clean", "clean"]
    assert max(row["accuracy"] for row in shaken.values()) == clean["accuracy"]
    assert shaken["changed", "clean"]["high"] < clean["low"]


def test_exercises(chapter: SimpleNamespace) -> None:
    row = by(chapter.values.accuracies["RegNetX"], "k")[1,]
    assert chapter.values.folds["low"] < row["accuracy"] < chapter.values.folds["high"]
    assert chapter.values.booted == pytest.approx(5400 * (1 - 1 / 60) ** 60, rel=0.02)
