"""Tests of meznet_helpers.book.clip_study: splits, intervals, sums over seeds; what it measures."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from meznet_helpers import emojizoo, plots, tables
from meznet_helpers.assets import profile
from meznet_helpers.book import clip_study
from meznet_helpers.errors import MeznetError
from meznet_helpers.finetune import summary


@pytest.fixture(scope="module")
def zoo():
    return emojizoo.animal_or_not(size=8)


@pytest.mark.parametrize("kind", ["picture", "style"])
@pytest.mark.parametrize("seed", [0, 3, 9])
def test_splits_share_nothing(zoo, kind, seed):
    parts = clip_study.split(zoo, kind, seed)
    names = [set(part.images.names) for part in parts]
    assert not names[0] & names[1] and not names[0] & names[2] and not names[1] & names[2]
    assert set().union(*names) == set(zoo.images.names)
    assert all((part.counts() > 0).all() for part in parts)
    styles = [set(part.groups) for part in parts]
    if kind == "style":
        assert len(styles[2]) == 1 and not styles[2] & (styles[0] | styles[1])
    else:
        assert styles[2] == styles[0]
    again = clip_study.split(zoo, kind, seed)
    assert [part.images.names for part in parts] == [part.images.names for part in again]


def test_seeds_split_otherwise(zoo):
    styles = {clip_study.split(zoo, "style", seed)[2].groups[0] for seed in range(7)}
    assert styles == set(zoo.groups)
    first, second = (set(clip_study.split(zoo, "picture", n)[2].images.names) for n in (0, 1))
    assert first != second
    with pytest.raises(MeznetError, match='split is "group"; choose picture or style'):
        clip_study.split(zoo, "group", 0)


def test_measure_is_scikit_learn():
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix

    rng = np.random.default_rng(0)
    truth = rng.choice(3, 200, p=[0.7, 0.2, 0.1])
    probs = rng.dirichlet([1, 1, 1], 200)
    probs[np.arange(200), truth] += 0.3
    found, guesses = summary(truth, probs), probs.argmax(1)
    assert found["accuracy"] == accuracy_score(truth, guesses)
    assert found["balanced"] == pytest.approx(balanced_accuracy_score(truth, guesses))
    assert found["confusion"] == confusion_matrix(truth, guesses).tolist()
    right = int((truth == guesses).sum())
    ends = stats.binomtest(right, 200).proportion_ci(method="wilson")
    assert (found["low"], found["high"]) == pytest.approx((ends.low, ends.high))
    # A label without images counts for nothing.
    only = summary(np.zeros(4, int), np.eye(3)[[0, 0, 1, 0]])
    assert only["balanced"] == 0.75 and len(only["confusion"]) == 3


def test_interval_widths():
    table = clip_study.interval_widths(0.7, [10, 734])
    for row in table.itertuples():
        ends = stats.binomtest(row.right, row.n).proportion_ci(method="wilson")
        assert (row.low, row.high) == pytest.approx((ends.low, ends.high))
    assert table["right"].tolist() == [7, 514]


def runs():
    rng = np.random.default_rng(1)
    rows = [
        {
            "split": kind,
            "way": way,
            "share": share,
            "seed": seed,
            "n": 147,
            "seconds": 2.0,
            "confusion": str([[50 + seed, 6], [20, 71 - seed]]),
        }
        | dict(zip(("accuracy", "balanced", "left"), rng.uniform(0.5, 0.9, 3), strict=True))
        for kind in ("picture", "style")
        for way, share in (("probe", 1.0), ("full", 0.0), ("full", 0.5), ("full", 1.0))
        for seed in range(5)
    ]
    return pd.DataFrame(rows)


def test_summary_is_students_interval():
    table = runs()
    summed = clip_study.summary(table)
    assert summed["n"].tolist() == [735] * 8 and summed["runs"].tolist() == [5] * 8
    for row in summed.itertuples():
        part = table.query("split == @row.split and way == @row.way and share == @row.share")
        for column in ("accuracy", "balanced", "left"):
            found = stats.ttest_1samp(part[column], 0).confidence_interval(0.95)
            low, high = (getattr(row, f"{column}_{end}") for end in ("low", "high"))
            assert (low, high) == pytest.approx((found.low, found.high))
            assert getattr(row, column) == pytest.approx(part[column].mean())


def test_what_the_page_shows():
    """Numbers of the table are those of the rows; the line of the figure joins the shares."""
    summed = clip_study.summary(runs())
    html = tables.tuned(summed, "All").as_raw_html()
    row = summed.query("split == 'style' and way == 'full' and share == 0.5").iloc[0]
    ends = f"({100 * row.accuracy_low:.1f} to {100 * min(row.accuracy_high, 1):.1f})"
    assert f"{row.accuracy:.1%} {ends}" in html and "full, 50%" in html
    assert "260 of 290" in html and "345 of 445" in html  # 50 + 51 + ... of 5 times 56 and more
    axis = plots.price(summed.query("split == 'picture'")).axes[0]
    lines = {each.get_label(): each.lines[0] for each in axis.containers}
    path = summed.query("split == 'picture' and way == 'full'")
    np.testing.assert_allclose(np.array(lines["full"].get_xdata(), float), path["left"])
    np.testing.assert_allclose(np.array(lines["full"].get_ydata(), float), path["accuracy"])
    assert {text.get_text() for text in axis.texts} == {"0% tuned", "50% tuned", "100% tuned"}


def test_ticks_are_escaped():
    shown = tables.ticks(["<b>a"], {"x": ["<i>cat"]}, {"x": [False]}, "T").as_raw_html()
    assert "<b>a" not in shown and "<i>cat" not in shown and "0 of 1" in shown
    assert "&lt;i&gt;cat ✗" in shown


def test_final_ten():
    ten = clip_study.final_ten()
    assert ten.counts().to_dict() == {"animal": 3, "not-animal": 7} and len(ten) == 10
    animals = np.array(ten.images.names)[ten.truth == 0]
    assert animals.tolist() == ["cat", "cheetah", "lion"]
    assert set(profile.package_photographs(more=True)) > set(profile.package_photographs())


def test_by_prompt_is_the_labeler(fresh_python):
    """A pair of words gives what the zero-shot labeler gives; of more words the rest add up."""
    found = fresh_python(
        """
import json
import numpy as np
from meznet_helpers import emojizoo
from meznet_helpers.book import clip_study
from meznet_helpers.words import ZeroShotLabeler
zoo = emojizoo.render({"animal": ["fox", "owl"], "other": ["lemon", "bus"]}, 20, size=64)
words = ("animal", "fruit", "bus", "tool")
table = clip_study.by_prompt(zoo, [words[:2], words], ["a drawing of {a}", "{}"], source="tiny")
rows = table.to_dict("records")
for row, some in zip(rows, [words[:2]] * 2 + [words] * 2):
    net = ZeroShotLabeler("tiny", list(some), templates=[row["template"]])
    probs = net.predict(zoo.images).probs[0]
    said = (probs[:, 0] <= probs[:, 1:].sum(1)).astype(int)
    assert row["accuracy"] == (said == zoo.truth).mean(), row
    assert row["first"] == (said == 0).mean(), row
    assert row["n"] == 40 and row["words"] == ", ".join(some[1:]), row
print(json.dumps(len({row["accuracy"] for row in rows})))
"""
    )
    assert json.loads(found) > 1, "the wording makes no difference"


def test_stored_results():
    """What the chapter reads holds together; the start is one and the same net."""
    table = pd.read_csv(profile.data() / "results" / "clip" / "tuned.csv", encoding="utf-8")
    ways = {(way, 1.0) for way in clip_study.WAYS} | {
        ("full", share) for share in clip_study.SHARES
    }
    for kind in ("picture", "style"):
        part = table[table["split"] == kind]
        assert set(zip(part["way"], part["share"], strict=True)) == ways
        assert (
            part.groupby(["way", "share"])["seed"].apply(sorted).map(tuple) == (0, 1, 2, 3, 4)
        ).all()
    there = table[table["split"] == "picture"]
    assert (there["left_n"] == 2500).all() and table.drop(there.index)["left"].isna().all()
    for row in table.itertuples():
        counts = np.array(json.loads(row.confusion))
        assert counts.sum() == row.n
        assert row.accuracy == pytest.approx(np.trace(counts) / row.n, abs=1e-5)
    untouched = there[(there["way"] == "linear probe") | (there["share"] == 0)]["left"]
    assert untouched.nunique() == 1
    card = (profile.data() / "models" / "clip" / "README.md").read_text(encoding="utf-8")
    stated = re.search(r"\| 200 classes of photographs, one prompt \| ([\d.]+)%", card)[1]
    assert untouched.iloc[0] == pytest.approx(float(stated) / 100, abs=0.025)  # 2,500 of 10,000
