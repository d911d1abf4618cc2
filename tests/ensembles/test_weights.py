"""Tests of meznet_helpers.ensembles.combining."""

import numpy as np
import pytest

from meznet_helpers.ensembles import accuracy_weights, class_weights, information_weights
from meznet_helpers.ensembles.combining import shares, to_one, truth_probs
from meznet_helpers.errors import MeznetError
from meznet_helpers.measure import FLOOR

FITS = [accuracy_weights, information_weights, class_weights]

# Two nets, four images, three labels: the first net is right 3 times, the second 2 times.
PROBS = np.array(
    [
        [[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.7, 0.2, 0.1], [0.1, 0.1, 0.8]],
        [[0.4, 0.5, 0.1], [0.5, 0.2, 0.3], [0.2, 0.6, 0.2], [0.3, 0.5, 0.2]],
    ]
)
TRUTH = [0, 0, 1, 2]


def test_accuracy_weights_by_hand():
    np.testing.assert_allclose(accuracy_weights(PROBS, TRUTH), [81 / 97, 16 / 97])
    np.testing.assert_allclose(accuracy_weights(PROBS[:, 2:3], [2]), [1 / 2, 1 / 2])


def test_information_weights_as_scikit_learn():
    from sklearn.metrics import log_loss

    know = [max(0, np.log(3) - log_loss(TRUTH, each, labels=range(3))) for each in PROBS]
    assert min(know) > 0
    np.testing.assert_allclose(information_weights(PROBS, TRUTH), know / np.sum(know), rtol=1e-5)


def test_who_knows_less_than_equal_probabilities_weighs_nothing():
    probs = np.array([[[0.5, 0.5, 0]], [[0.3, 0.3, 0.4]], [[1, 0, 0]]])
    np.testing.assert_allclose(information_weights(probs, [0]), [0.2696, 0, 0.7304], atol=1e-4)
    np.testing.assert_allclose(information_weights(probs[1:2].repeat(2, 0), [0]), [0.5, 0.5])
    assert np.isfinite(information_weights(probs, [1])).all()  # a zero for the truth


def test_class_weights_by_hand():
    # hits + 1 of images + 2: label 0 has two images, the others one each.
    first, second = np.array([3 / 4, 1 / 3, 2 / 3]), np.array([2 / 4, 2 / 3, 1 / 3])
    expected = np.stack([first, second]) / (first + second)
    np.testing.assert_allclose(class_weights(PROBS, TRUTH), expected)
    wider = np.concatenate([PROBS, np.zeros((2, 4, 1))], axis=2)
    np.testing.assert_allclose(class_weights(wider, TRUTH)[:, 3], [0.5, 0.5])  # without images


@pytest.mark.parametrize("fit", FITS)
def test_weights_sum_to_one_and_follow_the_nets(fit):
    rng = np.random.default_rng(0)
    raw = rng.random((4, 50, 5))
    probs, truth = raw / raw.sum(axis=2, keepdims=True), rng.integers(5, size=50)
    weights, turned = fit(probs, truth), rng.permutation(4)
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    np.testing.assert_allclose(fit(probs[turned], truth), weights[turned])
    assert weights.shape == ((4, 5) if fit is class_weights else (4,))


@pytest.mark.parametrize("fit", [*FITS, truth_probs])
def test_fits_refuse(fit):
    for probs, truth, match in [
        (PROBS[0], TRUTH, "shape"),
        (PROBS, TRUTH[:-1], "shape"),
        (PROBS, [0, 0, 1, 3], "between 0 and 2"),
        (PROBS, [0.0, 0, 1, 2], "int"),
        (PROBS[:, :0], [], "empty"),
    ]:
        with pytest.raises(MeznetError, match=match):
            fit(probs, truth)


def test_truth_probs():
    np.testing.assert_allclose(truth_probs(PROBS, TRUTH)[0], [0.6, 0.5, 0.2, 0.8], rtol=1e-6)
    assert truth_probs(np.array([[[0.0, 1.0]]]), [0]) == FLOOR


def test_shares():
    assert shares(None, 4, 2).tolist() == [[0.25]] * 4
    per_label = shares([[1, 0], [3, 2]], 2, 2)
    assert per_label.tolist() == [[0.25, 0], [0.75, 1]]
    assert per_label.dtype == np.float32


def test_to_one():
    values = np.array([[2.0, 0.0], [6.0, 0.0]])
    assert to_one(values).tolist() == [[0.25, 0.5], [0.75, 0.5]]
    assert to_one(values, axis=1).tolist() == [[1, 0], [1, 0]]
    assert np.isnan(to_one(np.array([1.0, np.nan]))).all()
