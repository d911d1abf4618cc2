"""Chapter 3: what it computes is what scikit-learn computes, and what it says is what it found."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    LeaveOneGroupOut,
    RepeatedStratifiedKFold,
    cross_val_predict,
    train_test_split,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from meznet_helpers import emojizoo
from meznet_helpers.assets import profile
from meznet_helpers.book import validation_set
from meznet_helpers.features import embed

LR = "logistic regression"
PIXELS = ("gray pixels", "color pixels")

CHAPTER = "03-multiclass-and-features"
PROBE = """
import json
tidy = lambda frame: frame.to_dict("records")
print(json.dumps({
    "nets": NETS,
    "by_hand": (points @ rest.coef.T + rest.intercept).tolist(),
    "by_library": wrapper.decision_function(points).tolist(),
    "rest": rest.predict(points).tolist(), "one": one.predict(points).tolist(),
    "raced": tidy(raced), "open": [open_rest, open_one],
    "guessed": tidy(guessed), "halves": tidy(halves), "styles": tidy(new_style),
    "flat": tidy(flat_curve), "curve": tidy(held_out), "sure": tidy(sure),
    "gain": [gain, low, high], "enough": enough,
    "shapes": {name: rows.shape for name, rows in features.items()},
    "strong": tidy(probing.accuracy(
        probing.by_picture(pixels, strong, zoo.truth, seed=SEED), seed=SEED)),
    "hard": tidy(probing.accuracy(
        probing.by_picture({"hard": embed(hard, NETS[both])}, {kind: lr}, hard.truth, seed=SEED),
        seed=SEED)),
    "known": list(fits["name"]), "foreign": list(weather["name"]),
    "favorite": [favorite.index[0], int(favorite.iloc[0]), int(favorite.sum())],
}, default=float))
"""


@pytest.fixture(scope="module")
def zoo():
    """The chapter's pictures."""
    return emojizoo.faces()


def scores(rows: list[dict]) -> dict[tuple[str, str], dict]:
    """Rows by features and classifier."""
    return {(row["features"], row["classifier"]): row for row in rows}


def test_third_cost(chapter: SimpleNamespace, report_cost) -> None:
    """What the run took stands in the table of budgets."""
    report_cost(chapter)


# ---- strategies


def blobs():
    """The points of the chapter: to learn from, and the five that are asked about."""
    x, y = make_blobs(centers=3, n_samples=120, random_state=42)
    x, _, y, _ = train_test_split(x, y, test_size=0.2, random_state=123)
    return x, y, np.array([[-4, 12], [-2, 0], [-8, 3], [4, 8.5], [0, -7]])


def test_scores_by_hand_are_the_librarys(chapter: SimpleNamespace) -> None:
    """And both are what scikit-learn says here."""
    x, y, points = blobs()
    theirs = OneVsRestClassifier(LogisticRegression()).fit(x, y)
    np.testing.assert_allclose(chapter.values.by_hand, theirs.decision_function(points), atol=1e-3)
    np.testing.assert_allclose(
        chapter.values.by_library, theirs.decision_function(points), atol=1e-3
    )
    assert chapter.values.rest == theirs.predict(points).tolist()
    pairs = OneVsOneClassifier(LogisticRegression()).fit(x, y)
    assert chapter.values.one == pairs.predict(points).tolist()
    claims = np.stack([each.predict(points) for each in theirs.estimators_], axis=1).sum(axis=1)
    assert chapter.values.open == [(claims != 1).sum(), 0]
    agree = (theirs.predict(points) == pairs.predict(points)).sum()
    text = chapter.cells["ties-text"].source
    assert f"leave {chapter.values.open[0]} of the five points open; one against one, 0" in text
    assert f"agree on {agree} of the five" in text


def test_twenty_classes(chapter: SimpleNamespace, report) -> None:
    """Accuracies of the wrappers; pairs take longest, and the rest is worst."""
    x, y = make_blobs(n_samples=1000, centers=20, random_state=300)
    x, x_test, y, y_test = train_test_split(x, y, random_state=0)
    model = LogisticRegression(max_iter=1000)
    wrapped = {
        "multinomial": model,
        "one against the rest": OneVsRestClassifier(model),
        "one against one": OneVsOneClassifier(model),
    }
    rows = {row["model"]: row for row in chapter.values.raced}
    assert list(rows) == list(wrapped)
    for name, estimator in wrapped.items():
        hits = int((estimator.fit(x, y).predict(x_test) == y_test).sum())
        assert rows[name]["hits"] == hits and rows[name]["n"] == 250
        interval = stats.binomtest(hits, 250).proportion_ci(method="wilson")
        assert (rows[name]["low"], rows[name]["high"]) == pytest.approx(
            (interval.low, interval.high)
        )
    ratio = rows["one against one"]["time"] / rows["one against the rest"]["time"]
    report(f"{CHAPTER}: one against one / one against the rest", ratio, at_least=2)
    hardest = min(rows, key=lambda name: rows[name]["accuracy"])
    assert hardest == "one against the rest"
    apart = min(row["high"] for row in rows.values()) < max(row["low"] for row in rows.values())
    assert ("do not all overlap" in chapter.cells["twenty-text"].source) == apart


# ---- pixels


def test_flattened_pixels(chapter: SimpleNamespace, zoo) -> None:
    """Logistic regression on gray pixels, once more with scikit-learn alone."""
    gray = [np.asarray(Image.fromarray(array).convert("L")).ravel() for array in zoo.images]
    x, right = np.stack(gray).astype(np.float32) / 255, np.zeros(300)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000))
    halving = RepeatedStratifiedKFold(n_splits=2, n_repeats=5, random_state=0)
    for train, valid in halving.split(x, zoo.truth):
        right[valid] += model.fit(x[train], zoo.truth[train]).predict(x[valid]) == zoo.truth[valid]
    row = scores(chapter.values.halves)["gray pixels", LR]
    assert row["accuracy"] == pytest.approx(right.mean() / 5, abs=0.01) and row["n"] == 300
    for name in PIXELS:
        assert scores(chapter.values.halves)[name, LR]["accuracy"] < 0.65


def test_overfitting(chapter: SimpleNamespace) -> None:
    """All examples are known by heart, and little is learned."""
    for row in chapter.values.flat:
        if row["part"] == "learned":
            assert row["accuracy"] == 1
    last = {r["features"]: r for r in chapter.values.flat if r["examples"] == 50}
    text = chapter.cells["flat-text"].source
    for name, words in (("gray pixels", "from gray pixels"), ("color pixels", "from color")):
        assert last[name]["part"] == "held_out" and last[name]["n"] == 10
        assert f"{last[name]['accuracy']:.0%} of new pictures right {words}" in text or (
            f"{last[name]['accuracy']:.0%} {words}" in text
        )
        assert last[name]["accuracy"] < 0.65


# ---- a net as it is


def test_a_net_as_it_is(chapter: SimpleNamespace) -> None:
    """The stored predictions, and scores that are no warning."""
    photographs, drawings, weather = chapter.values.sure
    probs = validation_set.table("keras/MobileNetV2@tiny").probs[0]
    truth = validation_set.tables()[1]
    assert photographs["hits"] == (probs.argmax(1) == truth).sum() and photographs["n"] == 10_000
    assert drawings["hits"] / drawings["n"] < photographs["hits"] / photographs["n"] / 2
    assert weather["hits"] == 0 and not {*chapter.values.known} & {*chapter.values.foreign}
    mean = [float(row["mean score"]) for row in chapter.values.sure]
    assert max(mean) - min(mean) < 0.1 and mean[2] > mean[1] - 0.05
    name, count, n = chapter.values.favorite
    assert f"calls {count / n:.0%} a {name}" in chapter.cells["sure-text"].source


# ---- features


def test_features_of_drawings(chapter: SimpleNamespace, zoo) -> None:
    """Logistic regression on RegNetX's features, once more with scikit-learn alone."""
    name = "RegNetX, and drawings"
    x = embed(zoo, chapter.values.nets[name])
    assert list(x.shape) == chapter.values.shapes[name]
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000))
    right = np.zeros(300)
    halving = RepeatedStratifiedKFold(n_splits=2, n_repeats=5, random_state=0)
    for train, valid in halving.split(x, zoo.truth):
        right[valid] += model.fit(x[train], zoo.truth[train]).predict(x[valid]) == zoo.truth[valid]
    row = scores(chapter.values.halves)[name, LR]
    assert row["accuracy"] == pytest.approx(right.mean() / 5, abs=0.01)
    said = cross_val_predict(model, x, zoo.truth, groups=zoo.groups, cv=LeaveOneGroupOut())
    held = scores(chapter.values.styles)[name, LR]
    assert held["accuracy"] == pytest.approx((said == zoo.truth).mean(), abs=0.01)


def test_what_the_nets_have_seen(chapter: SimpleNamespace) -> None:
    """Features beat pixels; drawings help; a new style costs."""
    halves, styles = scores(chapter.values.halves), scores(chapter.values.styles)
    nets = chapter.values.nets
    (guessed,) = chapter.values.guessed
    assert guessed["accuracy"] == pytest.approx(1 / 3) and guessed["classifier"] == "guessing"
    worst = min(halves[name, LR]["accuracy"] for name in nets)
    pixels = [row["accuracy"] for (name, _), row in halves.items() if name in PIXELS]
    assert worst > max(pixels)
    seen = [name for name in nets if name.endswith("drawings")]
    alone = [name for name in nets if name.endswith("photographs")]
    assert len(seen) == len(alone) == 2
    for name in seen:
        assert halves[name, LR]["accuracy"] >= 0.88
        assert halves[name, LR]["low"] > max(halves[other, LR]["high"] for other in alone)
        assert styles[name, LR]["accuracy"] < halves[name, LR]["low"]
    gain, low, high = chapter.values.gain
    text = chapter.cells["probe-words-text"].source
    words = f"gain of {100 * gain:.0f} points ({100 * low:.0f} to {100 * high:.0f})"
    assert low > 0 and words in text
    for name in ("color pixels", "RegNetX, photographs", "RegNetX, and drawings"):
        assert f"{halves[name, LR]['accuracy']:.1%}" in text
    assert f"falls to {styles['RegNetX, and drawings', LR]['accuracy']:.1%}" in text


def test_learning_curves(chapter: SimpleNamespace) -> None:
    """They rise, and a few examples with good features beat many with pixels."""
    at = {(row["features"], row["examples"]): row["accuracy"] for row in chapter.values.curve}
    shots = sorted({count for _, count in at})
    for name in chapter.values.nets:
        assert at[name, shots[-1]] > at[name, shots[0]] + 0.2
    enough = chapter.values.enough
    assert at["RegNetX, and drawings", enough] > at["color pixels", 50]
    assert f"With {enough} examples of each class" in chapter.cells["curve-text"].source
    assert enough <= 10


def test_the_split_that_lied(chapter: SimpleNamespace) -> None:
    """The file's counts, and what is said of them."""
    table = pd.read_csv(profile.data() / "results" / "animal-faces.csv")
    hits = table.set_index(["features", "split", "class"])["hits"].sort_index()
    assert hits["gray pixels", "as in the lecture", "all"] == 100  # the lecture's 0.667
    lecture, anew = (hits["MobileNetV2", split] for split in ("as in the lecture", "anew"))
    assert lecture["cat"] == lecture["dog"] == 50 and lecture["wild"] < 50
    text = chapter.cells["faces-text"].source
    assert f"accuracy is {anew['all'] / 150:.0%} instead of {lecture['all'] / 150:.0%}" in text


def test_what_did_not_help(chapter: SimpleNamespace) -> None:
    """Other classifiers, longer rows, stronger regularization; and how hard the hard ones are."""
    halves = scores(chapter.values.halves)
    kinds = [halves["TinyViT, and drawings", kind]["accuracy"] for kind in (
        LR, "random forest", "nearest neighbors")]  # fmt: skip
    assert max(kinds) - min(kinds) < 0.08
    assert halves["color pixels", "random forest"]["accuracy"] > (
        halves["color pixels", LR]["accuracy"] + 0.05
    )
    long, short = (
        halves[name, LR] for name in ("MobileNetV2, photographs", "RegNetX, photographs")
    )
    assert long["low"] < short["high"] and short["low"] < long["high"]
    weak, strong = chapter.values.strong
    assert weak["low"] < strong["high"] and strong["low"] < weak["high"]
    (hard,) = chapter.values.hard
    mild = halves["RegNetX, and drawings", LR]["accuracy"]
    assert mild - hard["accuracy"] > (mild - halves["color pixels", LR]["accuracy"]) / 2


def test_the_lecture_stands_beside(chapter: SimpleNamespace) -> None:
    """Its two figures are in the table of ours."""
    shown = str(chapter.cells["probe-table"].outputs)
    assert "66.7% (58.8 to 73.7)" in shown and "90.0% (84.2 to 93.8)" in shown
