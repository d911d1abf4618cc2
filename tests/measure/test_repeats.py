"""Tests of partitions and of what repeated judging says, against scikit-learn, SciPy and NumPy."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import LeaveOneGroupOut
from sklearn.neighbors import NearestCentroid

from meznet_helpers.errors import MeznetError
from meznet_helpers.measure import partitions, repeats
from meznet_helpers.prototypes import PrototypeIndex, study

TRUTH = np.repeat(np.arange(6), [60, 60, 10, 5, 33, 60])


def pictures(seed: int = 0, width: int = 12) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(len(TRUTH), width)) + 1.2 * np.eye(width)[TRUTH]).astype(np.float32)


def test_random_holds_out_a_share_of_each_class():
    weights = partitions.random(TRUTH, 7, seed=3)
    held = np.array([np.bincount(TRUTH[run == 0], minlength=6) for run in weights])
    assert (held == [12, 12, 2, 1, 6, 12]).all()  # rounded down, as the document does
    assert len({run.tobytes() for run in weights}) == 7
    assert np.array_equal(weights, partitions.random(TRUTH, 7, seed=3))
    assert not np.array_equal(weights, partitions.random(TRUTH, 7, seed=4))


def test_folds_judge_each_image_once():
    weights = partitions.folds(TRUTH, 5)
    assert ((weights == 0).sum(axis=0) == 1).all()
    for run in weights:
        counts = np.bincount(TRUTH[run == 0], minlength=6)
        assert (np.abs(counts - np.bincount(TRUTH) / 5) < 1).all()


def test_resampled_draws_as_many_as_there_are():
    weights = partitions.resampled(TRUTH, 200)
    for label in range(6):
        own = np.flatnonzero(label == TRUTH)
        assert (weights[:, own].sum(axis=1) == len(own)).all()
    left = (weights[:, :60] == 0).mean()
    assert abs(left - (1 - 1 / 60) ** 60) < 0.01  # about 37 %


def test_by_group_holds_out_what_scikit_learn_does():
    groups = np.random.default_rng(0).choice(["flat", "3d", "lines"], len(TRUTH))
    theirs = LeaveOneGroupOut().split(TRUTH, TRUTH, groups)
    for run, (learn, ask) in zip(partitions.by_group(groups), theirs, strict=True):
        assert np.flatnonzero(run).tolist() == learn.tolist()
        assert np.flatnonzero(run == 0).tolist() == ask.tolist()


def test_partitions_refuse():
    for words, call in {
        "class 1 has 1 image; with a fifth": lambda: partitions.random([0, 0, 0, 0, 0, 1]),
        "class 0 has 4 images; with a fifth": lambda: partitions.random([0] * 4),
        "0 runs": lambda: partitions.random([0] * 5, 0),
        "can't be cut into 3 folds": lambda: partitions.folds([0, 0], 3),
        "which would always be drawn": lambda: partitions.resampled([0, 1, 1]),
    }.items():
        with pytest.raises(MeznetError, match=words):
            call()


@pytest.mark.parametrize(
    "weights",
    [partitions.random(TRUTH, 3), partitions.folds(TRUTH), partitions.resampled(TRUTH, 3)],
)
def test_judge_is_an_index_for_each_partition(weights):
    """As matrix work, and as one index after the other: the same guesses and ranks."""
    from meznet_helpers.labels import from_names

    x, labels, metric = pictures(), from_names(list("abcdef")), {"metric": "l2"}
    judged = study.judge(x, TRUTH, weights, **metric)
    for run, weight in enumerate(weights):
        learned = np.repeat(np.arange(len(x)), weight)
        index = PrototypeIndex.fit(x[learned], TRUTH[learned], labels, **metric)
        own = judged[judged["run"] == run]
        assert own["image"].tolist() == np.flatnonzero(weight == 0).tolist()
        found = index.search(x[own["image"]], 6).classes
        assert own["guess"].tolist() == found[:, 0].tolist()
        rank = 1 + (found == own["truth"].to_numpy()[:, None]).argmax(axis=1)
        assert own["rank"].tolist() == rank.tolist()


def test_judge_by_distance_is_the_nearest_centroid():
    x, (weight,) = pictures(), partitions.random(TRUTH, 1)
    judged = study.judge(x, TRUTH, weight[None], metric="l2")
    wanted = NearestCentroid().fit(x[weight > 0], TRUTH[weight > 0]).predict(x[weight == 0])
    assert judged["guess"].tolist() == wanted.tolist()


def test_judge_with_several_prototypes():
    x, weights = pictures(), partitions.random(TRUTH, 2)
    for kind in ("k-means", "medoid"):
        judged = study.judge(x, TRUTH, weights, kind=kind, count=3, metric="cosine")
        assert repeats.accuracy(judged, 1).loc[0, "accuracy"] > 0.4
    with pytest.raises(MeznetError, match="drawn twice has a mean only"):
        study.judge(x, TRUTH, partitions.resampled(TRUTH, 1), kind="medoid")
    with pytest.raises(MeznetError, match="run 0 learns from no image of class 2"):
        study.judge(x, TRUTH, (TRUTH != 2).astype(int)[None])


@pytest.fixture(scope="module")
def judged() -> pd.DataFrame:
    return study.judge(pictures(), TRUTH, partitions.random(TRUTH, 20))


def test_accuracy_over_runs(judged):
    """Student's interval is SciPy's, for any number of runs."""
    for runs in (2, 5, 20):
        part = judged[judged["run"] < runs]
        table = repeats.accuracy(part, [1, 4]).set_index("k")
        for k in (1, 4):
            values = (part["rank"] <= k).groupby(part["run"]).mean().to_numpy()
            low, high = stats.t.interval(0.95, runs - 1, values.mean(), stats.sem(values))
            row = table.loc[k]
            assert [row["low"], row["accuracy"], row["high"]] == pytest.approx(
                [low, values.mean(), high]
            )
            assert (row["least"], row["most"]) == (values.min(), values.max())
    values = (judged["rank"] == 1).groupby(judged["run"]).mean().to_numpy()
    error = np.sqrt((1 / 20 + 0.25) * values.var(ddof=1))  # Nadeau and Bengio's, section 5
    half = stats.t.ppf(0.975, 19) * error
    wide = repeats.accuracy(judged, 1, overlap=0.25).iloc[0]
    assert (wide["high"] - wide["low"]) / 2 == pytest.approx(half)
    with pytest.raises(MeznetError, match="two or more"):
        repeats.accuracy(judged[judged["run"] == 0])


def test_by_class_and_confused_pairs(judged):
    labels = list("abcdef")
    counts = confusion_matrix(judged["truth"], judged["guess"], labels=range(6))
    table = repeats.by_class(judged, labels)
    assert table["accuracy"].is_monotonic_increasing
    for row in table.itertuples():
        at = labels.index(row.label)
        assert row.accuracy == counts[at, at] / counts[at].sum()
        wrong = counts[at].copy()
        wrong[at] = 0
        assert row.mistaken == (labels[int(wrong.argmax())] if wrong.any() else "")
    pairs = repeats.confused(judged, labels)
    both = counts + counts.T
    np.fill_diagonal(both, 0)
    share = both / (counts.sum(axis=1)[:, None] + counts.sum(axis=1))
    first = pairs.iloc[0]
    assert first["share"] == share.max()
    a, b = labels.index(first["first"]), labels.index(first["second"])
    assert (first["there"], first["back"]) == (counts[a, b], counts[b, a])
    assert pairs["share"].is_monotonic_decreasing and len(pairs) == 10


@settings(deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.floats(0.001, 1))
def test_cumulative_accuracy_is_the_inverse_distribution(hits, share):
    """At every share of the classes, not at ten: NumPy's inverted distribution function."""
    accuracies = np.array(hits) / 12
    steps = repeats.cumulative_accuracy(accuracies)
    value = steps["accuracy"][np.searchsorted(steps["share"], share - 1e-12)]
    assert value == np.quantile(accuracies, share, method="inverted_cdf")
    assert steps["share"].iloc[-1] == 1


def test_cumulative_accuracy_refuses():
    for wrong in ([], [1.2], [np.nan], [[0.5]]):
        with pytest.raises(MeznetError, match="from 0 to 1"):
            repeats.cumulative_accuracy(wrong)


def test_error_reduction_is_the_documents():
    """Its two figures: from 5M to 11M parameters, and on to 21M."""
    assert round(repeats.error_reduction(0.951, 0.966), 3) == 0.306
    assert round(repeats.error_reduction(0.966, 0.973), 3) == 0.206
    assert repeats.error_reduction(0.5, 0.4) == pytest.approx(-0.2)
    with pytest.raises(MeznetError, match="must leave an error"):
        repeats.error_reduction(1.0, 1.0)
