"""Tests of meznet_helpers.ensembles.stacking and meznet_helpers.ensembles.stacking."""

from itertools import pairwise

import numpy as np
import pytest

from meznet_helpers.ensembles import (
    auc_weights,
    combine,
    greedy_weights,
    likelihood_weights,
    logistic_lasso,
    soft,
    stacking,
)
from meznet_helpers.ensembles.combining import truth_probs
from meznet_helpers.ensembles.stacking import LogisticStack, macro_auc
from meznet_helpers.errors import MeznetError
from meznet_helpers.labels import from_names
from meznet_helpers.predictions import Predictions

WEIGHTS = [likelihood_weights, auc_weights, greedy_weights]


def made(seed, strengths, images=400, labels=6):
    """Nets that see the truth with the strength given, and noise of their own."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(labels, size=images)
    logits = rng.normal(0, 1, (len(strengths), images, labels))
    for net, strength in zip(logits, strengths, strict=True):
        net[np.arange(images), truth] += strength
    probs = np.exp(logits)
    return (probs / probs.sum(axis=2, keepdims=True)).astype(np.float32), truth


def loss(weights, probs, truth):
    return -np.log(weights @ truth_probs(probs, truth)).mean()


# ---- weights


@pytest.mark.parametrize("fit", WEIGHTS)
def test_a_planted_good_net_is_found(fit):
    probs, truth = made(1, [0, 0, 3, 0])
    weights = fit(probs, truth)
    assert weights.shape == (4,)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    assert weights.argmax() == 2
    assert weights[2] > 0.7


@pytest.mark.parametrize("fit", WEIGHTS)
def test_weights_help_on_other_images(fit):
    probs, truth = made(2, [2, 1.5, 1, 0, 0], images=800)
    weights = fit(probs[:, :400], truth[:400])
    combined, equal = soft(probs[:, 400:], weights), soft(probs[:, 400:])
    right, alone = (each.argmax(axis=1) == truth[400:] for each in (combined, probs[0, 400:]))
    assert right.mean() > alone.mean()
    assert macro_auc(combined, truth[400:]) > macro_auc(equal, truth[400:])


@pytest.mark.parametrize("seed", range(4))
def test_likelihood_weights_as_scipy(seed, monkeypatch):
    from scipy.optimize import minimize

    probs, truth = made(seed, [2, 1.5, 1, 0.2, 0])
    start = np.full(5, 0.2)
    best = minimize(
        loss,
        start,
        args=(probs, truth),
        method="SLSQP",
        bounds=[(0, 1)] * 5,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
        options={"ftol": 1e-12, "maxiter": 500},
    )
    weights = likelihood_weights(probs, truth)
    assert loss(weights, probs, truth) <= best.fun + 1e-6
    assert loss(start, probs, truth) > best.fun + 1e-3
    monkeypatch.setattr(stacking, "TOLERANCE", 1e-9)
    np.testing.assert_allclose(likelihood_weights(probs, truth), best.x, atol=2e-3)


def test_likelihood_weights_stop(monkeypatch):
    probs, truth = made(3, [2, 1, 0])
    after = []
    for steps in range(6):
        monkeypatch.setattr(stacking, "STEPS", steps)
        after.append(likelihood_weights(probs, truth))
    losses = [loss(weights, probs, truth) for weights in after]
    assert all(later < earlier for earlier, later in pairwise(losses))
    np.testing.assert_allclose(after[0], 1 / 3)
    given = truth_probs(probs, truth)
    step = (given / given.sum(axis=0)).mean(axis=1)  # who has most likely said the truth
    np.testing.assert_allclose(after[1], step)
    monkeypatch.setattr(stacking, "TOLERANCE", 9)
    np.testing.assert_allclose(likelihood_weights(probs, truth), 1 / 3)


def test_auc_weights_are_seeded_and_beat_a_grid():
    probs, truth = made(4, [1.5, 1.2, 0], images=200)
    weights = auc_weights(probs, truth, seed=1)
    np.testing.assert_array_equal(auc_weights(probs, truth, seed=1), weights)
    grid = [(a, b, 10 - a - b) for a in range(11) for b in range(11 - a)]
    best = max(macro_auc(soft(probs, each), truth) for each in grid)
    assert macro_auc(soft(probs, weights), truth) >= best
    assert best > macro_auc(soft(probs), truth)


@pytest.mark.parametrize("seed", range(5))
def test_auc_weights_are_no_worse_than_each_net_and_equal_weights(seed, monkeypatch):
    probs, truth = made(seed, [2, 1.5, 0, 0], images=100)
    simple = max(macro_auc(soft(probs, each), truth) for each in (*np.eye(4), np.ones(4)))
    monkeypatch.setattr(stacking, "STARTS", 0)
    searched = macro_auc(soft(probs, auc_weights(probs, truth)), truth)
    monkeypatch.setattr(stacking, "TRIES", 1)
    assert searched > macro_auc(soft(probs, auc_weights(probs, truth)), truth) >= simple


@pytest.mark.parametrize("seed", range(5))
def test_greedy_weights_by_loops(seed, monkeypatch):
    monkeypatch.setattr(stacking, "PICKS", 12)
    probs, truth = made(seed, [1.5, 1.2, 1, 0], images=40)
    chosen = []
    for _ in range(12):

        def merit(model):
            mean = np.mean([probs[m].astype(float) for m in [*chosen, model]], axis=0)
            own = mean[np.arange(40), truth]
            return np.sum(mean.argmax(axis=1) == truth), np.log(own).sum()

        chosen.append(max(range(4), key=merit))
    assert len(set(chosen)) > 1
    np.testing.assert_allclose(greedy_weights(probs, truth), np.bincount(chosen, minlength=4) / 12)


def test_auc_weights_may_be_one_net_alone(monkeypatch):
    monkeypatch.setattr(stacking, "STARTS", 0)
    monkeypatch.setattr(stacking, "TRIES", 1)
    good, bad = [[0.501, 0.499], [0.499, 0.501]], [[0, 1], [1, 0]]  # a hundredth of `bad` spoils it
    weights = auc_weights(np.array([bad, good]), [0, 1])
    np.testing.assert_array_equal(weights, [0, 1])


def test_greedy_weights_of_nets_that_are_always_right_follow_the_log_loss():
    probs = np.array([[[0.99, 0.01], [0.55, 0.45]], [[0.55, 0.45], [0.99, 0.01]]])
    np.testing.assert_array_equal(greedy_weights(probs, [0, 0]), [0.5, 0.5])


@pytest.mark.parametrize("fit", [*WEIGHTS, logistic_lasso])
def test_fits_refuse(fit):
    probs, truth = made(6, [1, 0], images=10)
    for bad, labels, match in [
        (probs[0], truth, "shape"),
        (probs, truth[1:], "shape"),
        (probs, truth + 6, "between 0 and 5"),
        (probs, truth.astype(float), "int"),
        (probs[:, :0], truth[:0], "empty"),
    ]:
        with pytest.raises(MeznetError, match=match):
            fit(bad, labels)


def test_options_are_checked():
    probs, truth = made(6, [1, 0], images=10)
    for strength in (0, np.nan):
        with pytest.raises(MeznetError, match="strength must be above 0"):
            logistic_lasso(probs, truth, strength)
    with pytest.raises(MeznetError, match="two labels"):
        logistic_lasso(np.ones((2, 3, 1)), [0, 0, 0])


# ---- the area under the curve


@pytest.mark.parametrize("digits", [1, 2, 7])
def test_macro_auc_as_scikit_learn(digits):
    from sklearn.metrics import roc_auc_score

    probs, truth = made(7, [1], images=300)
    scores = probs[0].astype(float).round(digits)  # few digits: many ties
    scores /= scores.sum(axis=1, keepdims=True)
    expected = roc_auc_score(truth, scores, multi_class="ovr", average="macro")
    assert macro_auc(scores, truth) == pytest.approx(expected, abs=1e-12)
    assert 0.6 < expected < 0.95


def test_macro_auc_leaves_labels_without_images_out():
    probs, truth = made(8, [1], labels=4)
    wider = np.insert(probs[0], 2, 0.5, axis=1)
    assert macro_auc(wider, truth + (truth >= 2)) == macro_auc(probs[0], truth)


def test_macro_auc_refuses():
    probs, truth = made(9, [1], images=10)
    for scores, given, match in [
        (probs, truth, "scores must"),
        (probs[0], truth[1:], "shape"),
        (probs[0], truth * 0, "two different labels"),
    ]:
        with pytest.raises(MeznetError, match=match):
            macro_auc(scores, given)


# ---- the logistic lasso


def rows(probs, truth):
    """Features and targets of all images and labels, one row after the other."""
    pairs = [(i, j) for i in range(probs.shape[1]) for j in range(probs.shape[2])]
    p = np.array([probs[:, i, j] for i, j in pairs], dtype=float)
    return np.log(p / (1 - p)), np.array([truth[i] == j for i, j in pairs])


@pytest.mark.parametrize("strength", [1e-4, 0.03, 0.3])
def test_logistic_lasso_minimizes_what_it_says(strength):
    from scipy.optimize import minimize

    probs, truth = made(10, [1.5, 1, 0, 0], images=300)
    x, y = rows(probs, truth)
    sign = np.where(y, 1, -1)

    def objective(split):  # coefficients as the difference of two positive parts
        z = split[0] + x @ (split[1:5] - split[5:])
        return np.logaddexp(0, -sign * z).sum() / 300 + strength * split[1:].sum()

    bounds = [(None, None)] + [(0, None)] * 8
    options = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 5000, "maxfun": 10**6}
    best = minimize(objective, np.zeros(9), bounds=bounds, method="L-BFGS-B", options=options)
    stack = logistic_lasso(probs, truth, strength)
    np.testing.assert_allclose(stack.coefficients, best.x[1:5] - best.x[5:], atol=5e-3)
    assert stack.intercept == pytest.approx(best.x[0], abs=0.02)


def test_stronger_penalties_leave_nets_out():
    probs, truth = made(11, [1.5, 1, 0, 0])
    left = [
        np.count_nonzero(logistic_lasso(probs, truth, strength).coefficients)
        for strength in (1e-6, 0.05, 0.5, 50)
    ]
    assert left == sorted(left, reverse=True)
    assert left[0] == 4
    assert left[-1] == 0
    assert logistic_lasso(probs, truth, 0.5).coefficients.argmax() == 0


def test_a_net_with_true_probabilities_stays_as_it_is():
    rng = np.random.default_rng(12)
    raw = rng.random((1, 20_000, 3)) + 0.05
    probs = raw / raw.sum(axis=2, keepdims=True)
    truth = (rng.random((20_000, 1)) > probs[0].cumsum(axis=1)).sum(axis=1)
    stack = logistic_lasso(probs, truth, 1e-6)
    assert stack.coefficients == pytest.approx([1], abs=0.05)
    assert stack.intercept == pytest.approx(0, abs=0.05)


def test_sampled_wrong_labels_stand_for_all(monkeypatch):
    probs, truth = made(13, [2, 1.5, 0], images=3000, labels=40)
    monkeypatch.setattr(stacking, "WRONG", 39)
    everything = logistic_lasso(probs, truth)
    monkeypatch.setattr(stacking, "WRONG", 8)
    sampled = [logistic_lasso(probs, truth, seed=seed) for seed in range(4)]
    assert sampled[0].intercept == logistic_lasso(probs, truth, seed=0).intercept
    assert sampled[0].intercept != sampled[1].intercept
    mean = np.mean([stack.coefficients for stack in sampled], axis=0)
    np.testing.assert_allclose(mean, everything.coefficients, atol=0.06)
    intercept = np.mean([stack.intercept for stack in sampled])
    assert intercept == pytest.approx(everything.intercept, abs=0.1)


def test_logistic_stack_by_hand():
    probs = np.array([[[0.5, 0.25, 0.25]], [[0.8, 0.1, 0.1]]])
    chances = 1 / (1 + np.exp(-(0.5 + 2 * np.log(probs[0] / (1 - probs[0])))))
    got = LogisticStack(np.array([2.0, 0.0]), 0.5)(probs)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, chances / chances.sum(), rtol=1e-5)


def test_logistic_stack_survives_certainty_and_strong_coefficients():
    certain = np.stack([np.eye(3, dtype=np.float32)] * 2)
    for coefficient in (1.0, 100.0, -100.0):
        got = LogisticStack(np.array([coefficient, 0.0]), -3.0)(certain)
        assert np.isfinite(got).all()
        np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-6)


def test_logistic_stack_refuses_other_nets():
    with pytest.raises(MeznetError, match="2 nets, not 3"):
        LogisticStack(np.ones(2), 0.0)(made(14, [1, 1, 1])[0])
    with pytest.raises(MeznetError, match="shape"):
        LogisticStack(np.ones(2), 0.0)(made(14, [1, 1])[0][0])


def test_logistic_stack_combines_predictions():
    probs, truth = made(15, [2, 0.5])
    space = from_names([f"label {i}" for i in range(6)])
    given = Predictions(probs, ["a", "b"], [f"{i}" for i in range(400)], space)
    stack = logistic_lasso(probs, truth)
    assert combine(given, stack).models == ("LogisticStack",)
    got = combine(given, stack, name="logistic lasso")
    assert got.models == ("logistic lasso",)
    np.testing.assert_array_equal(got.probs[0], stack(probs))
