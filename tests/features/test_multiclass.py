"""Tests of meznet_helpers.features.multiclass and meznet_helpers.features.multiclass."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier

from meznet_helpers.errors import MeznetError
from meznet_helpers.features import multiclass

CASES = [(3, 2, 42), (5, 2, 1), (7, 4, 2)]


def blobs(k, features, seed):
    x, truth = make_blobs(40 * k, features, centers=k, cluster_std=3.0, random_state=seed)
    far = np.random.default_rng(seed).uniform(-20, 20, (500, features))
    return x, truth, far


@pytest.mark.parametrize(("k", "features", "seed"), CASES)
def test_one_vs_rest_is_scikit_learns(k, features, seed):
    x, truth, far = blobs(k, features, seed)
    lines = multiclass.one_vs_rest(x, truth, C=0.5)
    theirs = OneVsRestClassifier(LogisticRegression(C=0.5)).fit(x, truth)
    assert lines.against_rest and lines.k == k and lines.coef.shape == (k, features)
    np.testing.assert_allclose(lines.raw(far), theirs.decision_function(far), atol=1e-3)
    np.testing.assert_array_equal(lines.predict(far), theirs.predict(far))


@pytest.mark.nets
@pytest.mark.parametrize(("k", "features", "seed"), CASES)
def test_one_vs_one_is_scikit_learns(k, features, seed):
    x, truth, far = blobs(k, features, seed)
    lines = multiclass.one_vs_one(x, truth)
    theirs = OneVsOneClassifier(LogisticRegression()).fit(x, truth)
    assert not lines.against_rest and lines.k == k and len(lines.pairs) == k * (k - 1) / 2
    np.testing.assert_allclose(lines.scores(far), theirs.decision_function(far), atol=1e-3)
    np.testing.assert_array_equal(lines.predict(far), theirs.predict(far))
    for (high, low), coef, intercept in zip(lines.pairs, lines.coef, lines.intercept, strict=True):
        rows = (truth == high) | (truth == low)
        pair = LogisticRegression().fit(x[rows], truth[rows])
        assert pair.classes_.tolist() == [low, high]
        np.testing.assert_allclose(pair.coef_[0], coef, atol=1e-6)
        np.testing.assert_allclose(pair.intercept_, intercept, atol=1e-6)


TRIANGLE = np.array([[0.0, -1.0], [np.sqrt(3) / 2, 0.5], [-np.sqrt(3) / 2, 0.5]])  # unit vectors


@pytest.mark.parametrize("offset", [-1.0, 1.0])
def test_votes_against_the_rest(offset):
    """Three lines around a triangle: nobody claims its inside, or all do."""
    pairs = np.array([(label, multiclass.REST) for label in range(3)])
    lines = multiclass.BinaryLines(pairs, TRIANGLE, np.full(3, offset))
    points = np.array([[0.0, 0.0], [0.0, -5.0], [0.0, 5.0]])
    expected = {
        -1.0: [[0, 0, 0], [1, 0, 0], [0, 1, 1]],
        1.0: [[1, 1, 1], [1, 0, 0], [0, 1, 1]],
    }[offset]
    assert lines.votes(points).tolist() == expected
    assert lines.undecided(points).tolist() == [True, False, True]
    assert lines.predict(np.array([[0.0, -0.1], [0.1, 0.1]])).tolist() == [0, 1]  # still decided


def test_votes_one_against_one():
    """A beats B, B beats C, C beats A: one vote each; the raw scores break the tie."""
    lines = multiclass.BinaryLines(
        np.array([(1, 0), (2, 0), (2, 1)]), np.zeros((3, 1)), np.array([-3.0, 1.0, -0.5])
    )
    assert lines.votes([[0.0]]).tolist() == [[1, 1, 1]] and lines.undecided([[0.0]]).all()
    speaks = np.array([3.0 - 1.0, -3.0 + 0.5, 1.0 - 0.5])
    np.testing.assert_allclose(lines.scores([[0.0]])[0], 1 + speaks / (3 * (abs(speaks) + 1)))
    assert lines.predict([[0.0]]).tolist() == [0]


@pytest.mark.nets
def test_counts():
    for k in (3, 4, 20):
        x, truth, _ = blobs(k, 2, 0)
        counted = multiclass.count(k)
        assert counted["one against the rest"] == len(multiclass.one_vs_rest(x, truth).pairs)
        assert counted["one against one"] == len(multiclass.one_vs_one(x, truth).pairs)


@pytest.mark.nets
def test_compare():
    x, truth, _ = blobs(5, 2, 3)
    models = multiclass.strategies(seed=0, max_iter=300)
    table = multiclass.compare(models, (x[:150], truth[:150]), (x[150:], truth[150:]))
    assert table["model"].tolist() == list(multiclass.count(5)) and table["time"][0] == 1
    for name, hits in zip(table["model"], table["hits"], strict=True):
        assert hits == round(50 * models[name].score(x[150:], truth[150:]))
    assert (table["n"] == 50).all() and (table["low"] < table["accuracy"]).all()
    assert (table["high"] > table["accuracy"]).all()


@pytest.mark.budget
def test_time_of_pairs(report):
    x, truth, _ = blobs(20, 2, 300)
    models = multiclass.strategies(max_iter=2000)
    table = multiclass.compare(models, (x, truth), (x, truth))
    times = table.set_index("model")["time"]
    ratio = times["one against one"] / times["one against the rest"]
    report("20 classes: one against one / one against the rest", ratio, at_least=1.5)


def test_wrong_classes():
    x = np.zeros((4, 2))
    with pytest.raises(MeznetError, match="2 classes need no strategy; give three or more"):
        multiclass.one_vs_rest(x, [0, 0, 1, 1])
    with pytest.raises(MeznetError, match="numbered 0 to 2, each with a point, not 0, 2, 3"):
        multiclass.one_vs_one(x, [0, 2, 3, 3])
