"""Chapter 4: what it says is what the labelers, the document and the stored results say."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from meznet_helpers import emojizoo
from meznet_helpers.assets import profile
from meznet_helpers.book import clip_study
from meznet_helpers.words import ZeroShotLabeler

CHAPTER = "04-clip"
PROBE = """
import json
print(json.dumps({
    "said": [list(map(str, document[each])) for each in ("zero_shot", "tuned")],
    "same": same, "changed": changed,
    "ten": {way: labels.tolist() for way, labels in said.items()},
    "widths": widths.to_dict("records"), "test": list(test.images.names),
    "measured": measured, "majority": float(majority), "asked": asked.to_dict("records"),
    "averaged": averaged, "history": history.to_dict("records"),
    "summed": summed.to_dict("records"), "lost": float(lost), "gain": float(gain),
    "near": near, "enough": enough, "mixed": mixed, "right_of_ten": right_of_ten,
    "source": net.source,
}, default=float))
"""


def test_fourth_cost(chapter: SimpleNamespace, report_cost) -> None:
    """What the run took stands in the table of budgets."""
    report_cost(chapter)


def test_fourth_source(chapter: SimpleNamespace) -> None:
    """The nets of this repository."""
    assert chapter.values.source == "tiny"


def test_the_documents_tables(chapter: SimpleNamespace) -> None:
    """Seven and ten marks, over ten predictions that did not change."""
    before, after = chapter.values.said
    assert before == after and len(before) == 10
    table = pd.read_csv(profile.data() / "published" / "animal-or-not.csv")
    assert (table["zero_shot_tick"] == "yes").sum() == 7
    assert (table["tuned_tick"] == "yes").all()
    assert (chapter.values.same, chapter.values.changed) == (10, 3)
    text = chapter.cells["document-words"].source
    assert "10 of the ten predictions are the same" in text and "Only 3 marks changed" in text


def test_intervals_of_ten(chapter: SimpleNamespace) -> None:
    text = chapter.cells["width-after"].source
    seven = stats.binomtest(7, 10).proportion_ci(method="wilson")
    ten = stats.binomtest(10, 10).proportion_ci(method="wilson")
    assert f"anything from {seven.low:.0%} to {seven.high:.0%}" in text
    assert f"anything above {ten.low:.0%}" in text
    assert seven.high > ten.low, "the text says that the two overlap"
    for row in chapter.values.widths:
        ends = stats.binomtest(int(row["right"]), int(row["n"])).proportion_ci(method="wilson")
        assert (row["low"], row["high"]) == pytest.approx((ends.low, ends.high))


def test_zero_shot_on_hundreds(chapter: SimpleNamespace) -> None:
    """The labeler, on the test part as it is split here."""
    import keras  # noqa: F401 (so that torch stays out of this process)

    test = clip_study.split(emojizoo.animal_or_not(), "picture", 0)[2]
    assert list(test.images.names) == chapter.values.test
    net = ZeroShotLabeler("tiny", test.labels, templates=clip_study.TEMPLATE)
    said = net.predict(test.images).probs[0].argmax(1)
    start = chapter.values.measured["zero-shot"]
    assert start["n"] == len(test) and start["accuracy"] == (said == test.truth).mean()
    assert f"{start['accuracy']:.1%} of {len(test)} test pictures" in (
        chapter.cells["zero-test-words"].source
    )
    ten = clip_study.final_ten()
    plain = ZeroShotLabeler("tiny", ["animal", "not animal"])
    said = plain.predict(ten.images).probs[0].argmax(1)
    assert chapter.values.ten["zero-shot"] == said.tolist()
    right = int((said == ten.truth).sum())
    assert chapter.values.right_of_ten[0] == right
    text = chapter.cells["ten-again-words"].source
    assert f"{right} of ten were right" in text
    assert f"*animal* as the answer to {(said == 0).sum()} of them" in text
    for labeler in (net, plain):
        labeler.release()


def test_the_wording_decides(chapter: SimpleNamespace) -> None:
    """Eighteen wordings, and more between the best and the worst than chance explains."""
    asked = pd.DataFrame(chapter.values.asked)
    assert len(asked) == 18 and (asked["n"] == 734).all()
    worst, best = asked.loc[asked["accuracy"].idxmin()], asked.loc[asked["accuracy"].idxmax()]
    assert worst["high"] < best["low"]
    text = chapter.cells["wording-after"].source
    assert f"From {worst['accuracy']:.1%} (*{worst['template']}*" in text
    assert f"to {best['accuracy']:.1%} (*{best['template']}*" in text
    assert np.ptp(asked["first"]) > 0.2


def test_tuning(chapter: SimpleNamespace) -> None:
    """Each way has three epochs, and its test counts hold together."""
    assert max(chapter.values.right_of_ten[1:]) <= chapter.values.right_of_ten[0]
    history = pd.DataFrame(chapter.values.history)
    assert set(history["model"]) == set(clip_study.WAYS)
    assert (history.groupby("model").size() == 3).all()
    for found in chapter.values.measured.values():
        counts = np.array(found["confusion"])
        assert counts.sum() == found["n"] == len(chapter.values.test)
        assert found["accuracy"] == pytest.approx(np.trace(counts) / counts.sum())


def test_the_price(chapter: SimpleNamespace) -> None:
    """The words about gain and loss are those of the stored trainings."""
    table = pd.read_csv(profile.data() / "results" / "clip" / "tuned.csv")
    part = table[table["split"] == "picture"].set_index(["way", "share"])
    mean = part.groupby(level=[0, 1])[["accuracy", "left"]].mean()
    start, end = mean.loc["full", 0.0], mean.loc["full", 1.0]
    assert chapter.values.lost == pytest.approx(start["left"] - end["left"])
    assert chapter.values.gain == pytest.approx(end["accuracy"] - start["accuracy"])
    assert mean.loc[("linear probe", 1.0), "left"] == pytest.approx(start["left"])
    rows = {(r["split"], r["way"], r["share"]): r for r in chapter.values.summed}
    whole = [rows["picture", way, 1.0] for way in ("linear probe", "full", "LoRA")]
    assert max(r["accuracy_low"] for r in whole) < min(r["accuracy_high"] for r in whole)
    for way in clip_study.WAYS:
        one, other = (rows[kind, way, 1.0] for kind in ("picture", "style"))
        half = (other["accuracy_high"] - other["accuracy_low"]) / 2
        assert abs(other["accuracy"] - one["accuracy"]) < half, "the text says so"


def test_exercises(chapter: SimpleNamespace) -> None:
    sure = {n: stats.binomtest(round(0.7 * n), n).proportion_ci(method="wilson").low
            for n in range(10, 101, 10)}  # fmt: skip
    assert chapter.values.enough == min(n for n, low in sure.items() if low > 0.5)
    animal, same, thing = chapter.values.near
    assert same == pytest.approx(1, abs=1e-5)
    assert animal > thing + 0.3, "the text says far nearer"
