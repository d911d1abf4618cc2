"""Tests of meznet_helpers.evaluate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meznet_helpers.errors import MeznetError
from meznet_helpers.evaluate import accuracy, hits, paired_difference, rank_of_truth, wilson
from meznet_helpers.labels import from_names
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


def test_paired_difference_as_resampling_of_images():
    rng = np.random.default_rng(6)
    a, b = rng.integers(1, 3, 200), rng.integers(1, 4, 200)
    steps = (a == 1).astype(float) - (b == 1)
    picks = rng.integers(200, size=(20_000, 200))
    expected = np.quantile(steps[picks].mean(axis=1), [0.025, 0.975])
    _, low, high = paired_difference(a, b, seed=7, n_boot=20_000)
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
    with pytest.raises(MeznetError, match="n_boot"):
        paired_difference(one, one, n_boot=0)
