"""Prediction sets against MAPIE, and what the thresholds promise."""

import warnings

import numpy as np
import pytest

from meznet_helpers.errors import MeznetError
from meznet_helpers.measure import none_threshold, prediction_sets, set_threshold


def made(n: int, labels: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Make float probabilities, and labels drawn from a flatter version of them."""
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(labels, 0.3), n)
    truth = np.array([rng.choice(labels, p=row) for row in 0.7 * probs + 0.3 / labels])
    return probs, truth


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.97])
@pytest.mark.parametrize("n", [99, 100, 250])
def test_sets_are_those_of_mapie(coverage, n):
    from mapie.classification import SplitConformalClassifier
    from sklearn.base import BaseEstimator, ClassifierMixin

    class Given(ClassifierMixin, BaseEstimator):
        """A classifier whose input are its probabilities."""

        def fit(self, x, y):
            self.classes_ = np.arange(x.shape[1])
            self.n_features_in_ = x.shape[1]
            return self

        def predict_proba(self, x):
            return x

        def predict(self, x):
            return x.argmax(axis=1)

    (probs, truth), (others, _) = made(n, 6, seed=n), made(300, 6, seed=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mapie = SplitConformalClassifier(
            Given().fit(probs, truth), confidence_level=coverage, conformity_score="lac"
        )
        mapie.conformalize(probs, truth)
        _, expected = mapie.predict_set(others)
    threshold = set_threshold(probs[np.arange(n), truth], coverage)
    np.testing.assert_array_equal(prediction_sets(others, threshold), expected[..., 0])


def test_sets_hold_the_right_label_as_often_as_promised():
    probs, truth = made(4000, 8, seed=3)
    new, true = made(20_000, 8, seed=4)
    sets = prediction_sets(new, set_threshold(probs[np.arange(len(truth)), truth], 0.9))
    assert sets[np.arange(len(true)), true].mean() == pytest.approx(0.9, abs=0.015)


def test_none_of_these_is_said_of_as_many_as_risked():
    first = np.random.default_rng(0).beta(5, 2, 999)
    assert (first < none_threshold(first, 0.05)).sum() == 49  # the fiftieth of 999 is the threshold


def test_too_few_images_leave_every_label_in():
    few = np.array([0.9, 0.8])
    assert set_threshold(few, 0.9) == 0 and none_threshold(few, 0.1) == 0
    assert prediction_sets(np.array([0.0, 1.0]), 0).all()


@pytest.mark.parametrize("call", [set_threshold, none_threshold])
def test_bad_shares_and_no_images_are_refused(call):
    for share in (0, 1, -0.5, 90, float("nan")):
        with pytest.raises(MeznetError, match=r"must lie between 0 and 1"):
            call(np.array([0.5]), share)
    with pytest.raises(MeznetError, match="needs images whose labels are known"):
        call(np.array([]), 0.5)
