"""Tests of meznet_helpers.ensembles.combining."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meznet_helpers.ensembles import (
    METHODS,
    combine,
    geometric,
    hard,
    median,
    soft,
)
from meznet_helpers.errors import MeznetError
from meznet_helpers.labels import from_names
from meznet_helpers.measure import FLOOR
from meznet_helpers.predictions import Predictions

NAMES = sorted(METHODS)
WEIGHTED = sorted(set(NAMES) - {"median"})


def made(seed, models=3, images=20, labels=6, steps=None):
    """Random probabilities; few `steps` make ties and zeros."""
    rng = np.random.default_rng(seed)
    raw = rng.random((models, images, labels)) ** 3
    if steps:
        raw = rng.integers(0, steps, raw.shape) + np.eye(labels)[rng.integers(labels, size=images)]
    return (raw / raw.sum(axis=2, keepdims=True)).astype(np.float32)


def order(row):
    return sorted(range(len(row)), key=lambda label: (-row[label], label))


def by_loops(name, probs, weights=None, k=1):
    """Every method again, image by image and label by label."""
    models, images, labels = probs.shape
    weights = np.ones(models) if weights is None else np.asarray(weights, float)
    weights = np.broadcast_to(weights.reshape(models, -1), (models, labels))
    weights = weights / weights.sum(axis=0)
    out = np.zeros((images, labels))
    for i in range(images):
        rows = [[float(p) for p in probs[m, i]] for m in range(models)]
        mean = [sum(weights[m, j] * rows[m][j] for m in range(models)) for j in range(labels)]
        for j in range(labels):
            column = [rows[m][j] for m in range(models)]
            ranks = [1 + order(row).index(j) for row in rows]
            own = weights[:, j]
            if name == "soft":
                out[i, j] = mean[j]
            elif name == "hard":
                out[i, j] = sum(w for w, rank in zip(own, ranks, strict=True) if rank <= k)
            elif name == "geometric":
                out[i, j] = np.prod(np.maximum(column, FLOOR) ** own)
            elif name == "median":
                column.sort()
                out[i, j] = (column[(models - 1) // 2] + column[models // 2]) / 2
            elif name == "borda":
                out[i, j] = sum(w * (labels + 1 - r) for w, r in zip(own, ranks, strict=True))
            elif name == "reciprocal_rank":
                out[i, j] = sum(w / (60 + r) for w, r in zip(own, ranks, strict=True))
        if not out[i].any():
            out[i] = mean if name == "median" else 1
        if name == "hard":
            out[i] = out[i] / out[i].sum() + np.divide(mean, 1000 * sum(mean))
    return out / out.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("steps", [None, 3])
@pytest.mark.parametrize("models", [2, 3, 4])
@pytest.mark.parametrize("name", NAMES)
def test_methods_as_loops(name, models, steps):
    probs = made(models, models=models, steps=steps)
    got = METHODS[name](probs)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, by_loops(name, probs), rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["per net", "per label", "one net off"])
@pytest.mark.parametrize("name", WEIGHTED)
def test_weighted_methods_as_loops(name, kind):
    probs = made(5, steps=4)
    weights = {
        "per net": [1, 5, 2],
        "per label": np.random.default_rng(0).random((3, 6)),
        "one net off": [1, 0, 2],
    }[kind]
    expected = by_loops(name, probs, weights)
    np.testing.assert_allclose(METHODS[name](probs, weights), expected, rtol=2e-5, atol=1e-7)
    if kind == "one net off":
        np.testing.assert_allclose(METHODS[name](probs[[0, 2]], [1, 2]), expected, atol=1e-6)


@pytest.mark.parametrize("k", [2, 5, 6, 7])
def test_votes_for_several_labels_as_loops(k):
    probs = made(6, steps=3)
    np.testing.assert_allclose(hard(probs, k=k), by_loops("hard", probs, k=k), atol=1e-6)


@pytest.mark.parametrize("weights", [None, [1, 5, 2]])
def test_soft_and_hard_as_scikit_learn(weights):
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.ensemble import VotingClassifier

    class Fixed(ClassifierMixin, BaseEstimator):
        """Looks its probabilities up; an image is its own number."""

        def __init__(self, probs=None):
            self.probs = probs

        def fit(self, images, truth):
            self.classes_ = np.unique(truth)
            return self

        def predict_proba(self, images):
            return self.probs[images[:, 0]]

        def predict(self, images):
            return self.predict_proba(images).argmax(axis=1)

    probs = made(8, images=200)
    images, truth = np.arange(200)[:, None], np.arange(200) % 6
    voting = VotingClassifier(
        [(str(number), Fixed(each)) for number, each in enumerate(probs)], weights=weights
    )
    expected = voting.set_params(voting="soft").fit(images, truth).predict_proba(images)
    np.testing.assert_allclose(soft(probs, weights), expected, atol=1e-6)
    expected = voting.set_params(voting="hard").fit(images, truth).predict(images)
    picks, mine = probs.argmax(axis=2), hard(probs, weights).argmax(axis=1)
    counts = np.stack([np.bincount(each, weights, 6) for each in picks.T])
    one_winner = (counts == counts.max(axis=1, keepdims=True)).sum(axis=1) == 1
    assert one_winner.sum() > 50  # scikit-learn breaks ties by the label's name
    np.testing.assert_array_equal(mine[one_winner], expected[one_winner])


def test_ties_of_votes_go_to_the_larger_mean():
    probs = made(9, images=500, labels=4)
    votes, mean = hard(probs), probs.mean(axis=0)
    picks = probs.argmax(axis=2)
    assert (np.diff(np.sort(picks, axis=0), axis=0) != 0).all(axis=0).any()  # three labels, a tie
    for image in range(500):
        counts = np.bincount(picks[:, image], minlength=4)
        assert votes[image].argmax() == max(range(4), key=lambda j: (counts[j], mean[image, j]))


@given(st.integers(0, 2**31), st.sampled_from(NAMES), st.integers(1, 5), st.integers(1, 7))
def test_order_of_nets_and_labels_does_not_matter(seed, name, models, labels):
    probs, rng = made(seed, models=models, images=3, labels=labels), np.random.default_rng(seed)
    nets, columns = rng.permutation(models), rng.permutation(labels)
    got = METHODS[name](probs)
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-5)
    assert (got >= 0).all()
    np.testing.assert_allclose(METHODS[name](probs[nets]), got, atol=1e-6)
    np.testing.assert_allclose(METHODS[name](probs[:, :, columns]), got[:, columns], atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_copies_of_one_net_keep_its_order(name):
    probs = made(10)[:1]
    got = METHODS[name](probs.repeat(3, axis=0))
    if name == "hard":
        np.testing.assert_array_equal(got.argmax(axis=1), probs[0].argmax(axis=1))
    else:
        np.testing.assert_array_equal(got.argsort(axis=1), probs[0].argsort(axis=1))
    if name in ("soft", "geometric", "median"):
        np.testing.assert_allclose(got, probs[0], atol=1e-6)


def test_what_is_zero_everywhere():
    certain = np.eye(3, dtype=np.float32)[:, None]  # three nets, each sure of another label
    np.testing.assert_allclose(median(certain), np.full((1, 3), 1 / 3), rtol=1e-6)
    np.testing.assert_allclose(geometric(certain), np.full((1, 3), 1 / 3), rtol=1e-6)
    five = np.eye(4, dtype=np.float32)[[0, 0, 1, 2, 3], None]  # two of them agree
    np.testing.assert_allclose(median(five), [[0.4, 0.2, 0.2, 0.2]], rtol=1e-6)
    for method in METHODS.values():
        np.testing.assert_allclose(method(np.zeros((2, 1, 4))).sum(), 1, rtol=1e-6)
        assert method(np.zeros((2, 0, 4))).shape == (0, 4)


@pytest.mark.parametrize("name", NAMES)
def test_methods_leave_their_input_alone(name):
    probs = made(11)
    before = probs.copy()
    probs.flags.writeable = False
    METHODS[name](probs)
    np.testing.assert_array_equal(probs, before)


@pytest.mark.parametrize("name", NAMES)
def test_methods_refuse_arrays_of_other_shapes(name):
    for bad in (made(12)[0], made(12)[None], made(12)[:0]):
        with pytest.raises(MeznetError, match="shape"):
            METHODS[name](bad)


@pytest.mark.parametrize("name", WEIGHTED)
@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ([1, 2], "shape"),
        ([[1], [2], [3]], "shape"),
        (1, "shape"),
        ([1, -1, 1], "0 or more"),
        ([1, np.nan, 1], "NaN"),
        ([1, np.inf, 1], "infinite"),
        ([0, 0, 0], "all are 0"),
        (np.ones((3, 6)) * (np.arange(6) != 4), "label 4"),
    ],
)
def test_methods_refuse_weights(name, weights, match):
    with pytest.raises(MeznetError, match=match):
        METHODS[name](made(13), weights)


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "2"])
def test_hard_refuses_k(k):
    with pytest.raises(MeznetError, match="k must"):
        hard(made(14), k=k)


def predictions(probs):
    models, images, labels = (range(size) for size in probs.shape)
    space = from_names([f"label {i}" for i in labels])
    return Predictions(probs, [f"net {i}" for i in models], [f"{i}.png" for i in images], space)


def test_combine():
    given = predictions(made(15))
    for name, method in METHODS.items():
        got = combine(given, name)
        assert got.models == (name,)
        assert (got.images, got.labels) == (given.images, given.labels)
        np.testing.assert_array_equal(got.probs[0], method(given.probs))
    got = combine(given, "hard", name="votes", k=2, weights=[1, 2, 3])
    assert got.models == ("votes",)
    np.testing.assert_array_equal(got.probs[0], hard(given.probs, [1, 2, 3], k=2))
    assert combine(given).models == ("soft",)
    assert given.join(got).models == (*given.models, "votes")


def test_combine_takes_a_function():
    def first(probs):
        return probs[0]

    given = predictions(made(16))
    assert combine(given, first).models == ("first",)
    assert combine(given, first, name="mine").models == ("mine",)
    np.testing.assert_array_equal(combine(given, first).probs[0], given.probs[0])


def test_combine_refuses():
    given = predictions(made(17))
    with pytest.raises(MeznetError, match='no method "gemoetric"; did you mean "geometric"'):
        combine(given, "gemoetric")
    with pytest.raises(MeznetError, match="an ensemble needs at least two nets, not 1"):
        combine(given.select(models="net 1"))
    with pytest.raises(MeznetError, match="weights must have shape"):
        combine(given, weights=[1, 2])
    bad = made(17)
    bad[1, 2, 3] = np.nan
    with pytest.raises(MeznetError, match="NaN"):
        combine(predictions(bad))
    with pytest.raises(MeznetError, match="sums to 2"):
        combine(predictions(2 * made(17)))
