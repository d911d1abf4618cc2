"""Tests of meznet_helpers.measure: ranks, accuracies and intervals."""

import json
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meznet_helpers.errors import MeznetError
from meznet_helpers.labels import from_names
from meznet_helpers.measure import (
    accuracy,
    bootstrap,
    comparison,
    hits,
    intervals,
    mcnemar,
    paired_difference,
    proportion,
    rank_of_truth,
    wilson,
)
from meznet_helpers.predictions import Predictions


def made(seed, models=2, images=40, labels=7, steps=None):
    """Random probabilities; few `steps` make many ties."""
    rng = np.random.default_rng(seed)
    raw = rng.random((models, images, labels))
    if steps:
        raw = rng.integers(1, steps + 1, raw.shape).astype(float)
    return (raw / raw.sum(axis=2, keepdims=True)).astype(np.float32), rng.integers(
        labels, size=images
    )


@pytest.mark.parametrize("steps", [None, 2])
def test_rank_is_the_rank_in_the_table(steps):
    probs, truth = made(1, steps=steps)
    space = from_names([f"label {i}" for i in range(7)])
    predictions = Predictions(probs, ["a", "b"], [f"{i}" for i in range(40)], space)
    table = predictions.top(7)
    true_id = dict(zip(predictions.images, (space.ids[i] for i in truth), strict=True))
    found = table[table["label_id"] == table["image"].map(true_id)]
    wide = found.pivot(index="model", columns="image", values="rank")
    wide = wide.loc[list(predictions.models), list(predictions.images)]
    np.testing.assert_array_equal(rank_of_truth(probs, truth), wide.to_numpy())


def test_rank_of_one_model():
    probs, truth = made(2)
    np.testing.assert_array_equal(rank_of_truth(probs[0], truth), rank_of_truth(probs, truth)[0])


@pytest.mark.parametrize("k", [1, 3, 5])
def test_top_k_as_scikit_learn(k):
    from sklearn.metrics import top_k_accuracy_score

    probs, truth = made(3, models=1, images=300)
    expected = top_k_accuracy_score(truth, probs[0], k=k, labels=range(7))
    table = accuracy(rank_of_truth(probs, truth), k)
    assert table.loc[0, "accuracy"] == pytest.approx(expected)
    assert 0 < expected < 1


def test_rank_refuses():
    probs, truth = made(4)
    for bad, match in [
        (truth[:-1], "shape"),
        (truth[None], "shape"),
        (truth + 7, "between 0 and 6"),
        (truth - 7, "between 0 and 6"),
        (np.full(40, 7), "between 0 and 6"),
        (truth.astype(float), "int"),
        (truth.astype(str), "int"),
    ]:
        with pytest.raises(MeznetError, match=match):
            rank_of_truth(probs, bad)
    with pytest.raises(MeznetError, match="axes"):
        rank_of_truth(probs[0, 0], truth)


def test_no_images():
    assert rank_of_truth(np.zeros((2, 0, 3)), []).shape == (2, 0)
    with pytest.raises(MeznetError, match="shape"):
        accuracy(np.zeros((2, 0), int))


def test_hits():
    assert hits(np.array([[1, 2], [5, 6]]), 5).tolist() == [[True, True], [True, False]]
    with pytest.raises(MeznetError, match="k must"):
        hits(np.array([1]), 0)


@given(st.integers(1, 20_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_as_scipy(case):
    from scipy.stats import binomtest

    expected = binomtest(*case).proportion_ci(method="wilson")
    assert wilson(*case) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_ends_exactly_where_nothing_more_can_happen():
    n = np.arange(1, 200)
    assert (wilson(n, n)[1] == 1).all()
    assert (wilson(0 * n, n)[0] == 0).all()


@pytest.mark.parametrize("case", [(7, 10), (np.array([0, 7, 10]), np.array([10, 10, 10]))])
def test_proportion_is_a_part_of_a_table(case):
    share = proportion(*case)
    assert list(share) == ["n", "hits", "accuracy", "low", "high"]
    assert share["n"] is case[1] and share["hits"] is case[0]
    np.testing.assert_array_equal(share["accuracy"], case[0] / np.asarray(case[1]))
    np.testing.assert_array_equal((share["low"], share["high"]), wilson(*case))
    assert np.ndim(case[0]) or json.loads(json.dumps(share)) == share


def test_accuracy_table():
    ranks = np.array([[1, 1, 4, 9], [6, 6, 6, 6]])
    table = accuracy(ranks, models=["good", "bad"])
    assert list(table.columns) == ["model", "k", "n", "hits", "accuracy", "low", "high"]
    assert table["model"].tolist() == ["good", "good", "bad", "bad"]
    assert table["k"].tolist() == [1, 5, 1, 5]
    assert table["hits"].tolist() == [2, 3, 0, 0]
    assert (table["n"] == 4).all()
    assert table["accuracy"].tolist() == [0.5, 0.75, 0, 0]
    assert ((table["low"] <= table["accuracy"]) & (table["accuracy"] <= table["high"])).all()
    assert table["low"].iloc[-1] == 0 < table["high"].iloc[-1] < 1
    assert accuracy(ranks)["model"].tolist() == ["0", "0", "1", "1"]


def test_accuracy_refuses():
    with pytest.raises(MeznetError, match="shape"):
        accuracy(np.array([1, 2]))
    with pytest.raises(MeznetError, match="2 models, but 1"):
        accuracy(np.ones((2, 3), int), models=["a"])


def test_paired_difference_is_seeded_and_signed():
    rng = np.random.default_rng(5)
    good, bad = rng.integers(1, 3, 500), rng.integers(1, 5, 500)
    difference, low, high = paired_difference(good, bad, seed=1)
    assert difference == pytest.approx(np.mean(good == 1) - np.mean(bad == 1))
    assert 0 < low < difference < high < 1
    assert paired_difference(good, bad, seed=1) == (difference, low, high)
    assert paired_difference(good, bad, seed=2) != (difference, low, high)
    back = paired_difference(bad, good, seed=1)
    assert back[0] == pytest.approx(-difference)
    assert paired_difference(good, good) == (0, 0, 0)


def test_paired_difference_as_resampling_of_images(monkeypatch):
    monkeypatch.setattr(comparison, "SAMPLES", 20_000)
    rng = np.random.default_rng(6)
    a, b = rng.integers(1, 3, 200), rng.integers(1, 4, 200)
    steps = (a == 1).astype(float) - (b == 1)
    picks = rng.integers(200, size=(20_000, 200))
    expected = np.quantile(steps[picks].mean(axis=1), [0.025, 0.975])
    _, low, high = paired_difference(a, b, seed=7)
    np.testing.assert_allclose([low, high], expected, atol=0.0101)  # two steps of 1/200


def test_paired_interval_is_narrower_than_an_unpaired_one():
    rng = np.random.default_rng(8)
    a = rng.integers(1, 3, 1000)
    b = np.where(rng.random(1000) < 0.05, 3 - a, a)  # errs on nearly the same images
    _, low, high = paired_difference(a, b)
    assert high - low < 0.5 * 2 * 1.96 * np.sqrt(2 * 0.25 / 1000)


def test_paired_difference_refuses():
    one = np.array([1, 2])
    for a, b in [(one, one[:1]), (one[None], one[None]), (one[:0], one[:0])]:
        with pytest.raises(MeznetError, match="same shape"):
            paired_difference(a, b)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 5))
def test_mcnemar_as_scipy(better, worse, rest):
    from scipy.stats import binomtest

    if better + worse == 0:
        return
    a = np.repeat([1, 2, 1], [better, worse, rest])
    b = np.repeat([2, 1, 1], [better, worse, rest])
    expected = binomtest(better, better + worse).pvalue
    assert mcnemar(a, b) == pytest.approx(expected, rel=1e-9)
    assert mcnemar(b, a) == mcnemar(a, b)


def test_mcnemar_by_hand():
    rng = np.random.default_rng(10)
    a, b = rng.integers(1, 8, 90), rng.integers(1, 12, 90)
    better = sum(x <= 1 < y for x, y in zip(a, b, strict=True))
    worse = sum(y <= 1 < x for x, y in zip(a, b, strict=True))
    n = better + worse
    tail = sum(comb(n, i) for i in range(min(better, worse) + 1)) / 2**n
    assert mcnemar(a, b) == pytest.approx(min(1, 2 * tail))
    assert mcnemar(a, a) == 1  # no image on which only one is right


def test_mcnemar_refuses():
    one = np.array([1, 2])
    for a, b in [(one, one[:1]), (one[None], one[None]), (one[:0], one[:0])]:
        with pytest.raises(MeznetError, match="same shape"):
            mcnemar(a, b)


def test_bootstrap_as_scipy(monkeypatch):
    from scipy import stats

    monkeypatch.setattr(intervals, "SAMPLES", 20_000)
    values = np.random.default_rng(11).exponential(size=150)
    mean, low, high = bootstrap(values, seed=1)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="percentile", rng=2
    ).confidence_interval
    assert mean == pytest.approx(values.mean())
    np.testing.assert_allclose([low, high], expected, atol=0.05 * (high - low))
    assert low < mean < high


def test_bootstrap_is_seeded():
    values = np.random.default_rng(12).normal(size=100)
    assert bootstrap(values, seed=3) == bootstrap(list(values), seed=3)
    assert bootstrap(values, seed=3) != bootstrap(values, seed=4)
    assert bootstrap(values) == bootstrap(values, seed=0)
    assert bootstrap([0.25] * 9) == (0.25, 0.25, 0.25)
    for place in range(4):  # each image is drawn
        assert bootstrap(np.eye(4)[place])[::2] == (0.25, 0.75)


def test_bootstrap_draws_a_part_at_a_time(monkeypatch):
    """The last part may be smaller, and a part holds at least one sample."""
    values = np.random.default_rng(13).normal(size=100)
    whole = bootstrap(values, seed=5)
    for chunk in (7_000, 50):
        monkeypatch.setattr(intervals, "_CHUNK", chunk)
        assert bootstrap(values, seed=5) == pytest.approx(whole)


def test_bootstrap_of_hits_as_paired_difference(monkeypatch):
    monkeypatch.setattr(intervals, "SAMPLES", 20_000)
    monkeypatch.setattr(comparison, "SAMPLES", 20_000)
    rng = np.random.default_rng(14)
    a, b = rng.integers(1, 3, 400), rng.integers(1, 4, 400)
    steps = hits(a).astype(float) - hits(b)
    expected = paired_difference(a, b)
    np.testing.assert_allclose(bootstrap(steps), expected, atol=0.0051)


def test_bootstrap_refuses():
    for bad in [[], [[1.0]], 1.0, [1, np.nan], [1, np.inf]]:
        with pytest.raises(MeznetError, match="values must"):
            bootstrap(bad)
