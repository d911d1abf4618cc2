"""Tests of meznet_helpers.measure.calibration."""

import numpy as np
import pytest

from meznet_helpers.errors import MeznetError
from meznet_helpers.measure import (
    FLOOR,
    calibration,
    expected_calibration_error,
    log_loss,
    reliability,
    temper,
    temperature,
)
from meznet_helpers.measure.calibration import COLDEST, HOTTEST

PER_MODEL = [reliability, expected_calibration_error, temperature]


def softmax(scores):
    """In float64, the plain way."""
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def scores_and_truth(seed, images=300, labels=6, models=3):
    """Scores of nets that are calibrated: the truth is drawn from the first one's softmax."""
    rng = np.random.default_rng(seed)
    scores = 2 * rng.standard_normal((models, images, labels))
    truth = [rng.choice(labels, p=row) for row in softmax(scores[0])]
    return scores, np.array(truth)


def made(seed, **sizes):
    scores, truth = scores_and_truth(seed, **sizes)
    return softmax(scores).astype(np.float32), truth


def test_log_loss_as_scikit_learn():
    from sklearn.metrics import log_loss as expected

    probs, truth = made(1)
    values = log_loss(probs, truth)
    assert values.shape == (3, 300) and values.dtype == np.float64
    for model, part in zip(probs, values, strict=True):
        double = model.astype(float)
        double /= double.sum(axis=1, keepdims=True)
        assert part.mean() == pytest.approx(expected(truth, double, labels=range(6)), rel=1e-6)


def test_log_loss_has_a_ceiling():
    probs = np.array([[1, 0, 0], [1, 0, 0], [1 - 1e-12, 1e-12, 0], [0.9, 0.1, 0]])
    values = log_loss(probs, [0, 2, 1, 1])
    assert values == pytest.approx([0, -np.log(FLOOR), -np.log(FLOOR), -np.log(0.1)])
    assert np.float16(FLOOR) == 0 < np.float16(1.01 * FLOOR)


def test_one_model_as_several():
    probs, truth = made(4)
    np.testing.assert_array_equal(log_loss(probs[1], truth), log_loss(probs, truth)[1])
    assert log_loss(probs[:, :0], truth[:0]).shape == (3, 0)


def bins_by_hand(probs, truth, bins):
    """Return bin -> list of (confidence, right), with a loop over images and bins."""
    found = {}
    for row, label in zip(probs, truth, strict=True):
        confidence = float(max(row))
        for number in range(bins):
            low, high = number / bins, (number + 1) / bins
            if low < confidence <= high or (number == bins - 1 and confidence > 1):
                right = list(row).index(max(row)) == label
                found.setdefault(number, []).append((confidence, right))
    return found


@pytest.mark.parametrize("bins", [1, 4, 15])
def test_reliability_by_hand(bins, monkeypatch):
    monkeypatch.setattr(calibration, "BINS", bins)
    from scipy.stats import binomtest

    probs, truth = made(5)
    probs = probs[0]
    expected = bins_by_hand(probs, truth, bins)
    table = reliability(probs, truth)
    columns = ["bin_low", "bin_high", "n", "hits", "confidence", "accuracy", "low", "high"]
    assert list(table.columns) == columns
    assert len(table) == len(expected) and table["n"].sum() == 300
    for row, (number, pairs) in zip(
        table.itertuples(index=False), sorted(expected.items()), strict=True
    ):
        n, right = len(pairs), sum(right for _, right in pairs)
        assert (row.n, row.hits) == (n, right)
        assert (row.bin_low, row.bin_high) == pytest.approx((number / bins, (number + 1) / bins))
        assert row.confidence == pytest.approx(sum(one for one, _ in pairs) / n)
        interval = binomtest(right, n).proportion_ci(method="wilson")
        shares = (row.accuracy, row.low, row.high)
        assert shares == pytest.approx((right / n, interval.low, interval.high))
    gaps = [abs(sum(b - a for a, b in pairs)) for pairs in expected.values()]
    assert expected_calibration_error(probs, truth) == pytest.approx(sum(gaps) / 300)


def test_reliability_on_the_edges(monkeypatch):
    """An edge belongs to the lower bin; what float32 makes of 1 may be more than 1."""
    monkeypatch.setattr(calibration, "BINS", 4)
    probs = np.array([[0.5, 0.5, 0], [0.75, 0.25, 0], [1, 0, 0], [1 + 1e-7, 0, 0]], np.float32)
    table = reliability(probs, [0, 0, 0, 1])
    assert table["bin_high"].tolist() == [0.5, 0.75, 1]
    assert table["n"].tolist() == [1, 1, 2]
    assert table["hits"].tolist() == [1, 1, 1]  # of equal probabilities the first label counts


@pytest.mark.parametrize("sharpened", [1, 2.5])
def test_calibration_error_knows_a_calibrated_model(sharpened):
    scores, truth = scores_and_truth(6, images=20_000, models=1)
    error = expected_calibration_error(softmax(sharpened * scores[0]), truth)
    assert error < 0.02 if sharpened == 1 else error > 0.1


@pytest.mark.parametrize("sharpened", [0.4, 1, 3])
def test_temperature_undoes_what_made_a_model_too_sure(sharpened):
    scores, truth = scores_and_truth(7, images=20_000, models=1)
    probs = softmax(sharpened * scores[0])
    t = temperature(probs, truth)
    assert t == pytest.approx(sharpened, rel=0.05)
    assert t == temperature(probs.astype(np.float32), truth)
    assert expected_calibration_error(temper(probs, t), truth) < 0.02
    np.testing.assert_allclose(temper(probs, sharpened), softmax(scores[0]), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("sharpened", [0.3, 0.8, 1.5, 6])
def test_temperature_has_the_smallest_log_loss(sharpened):
    """Against a grid, and against the root of the derivative by 1/T, in float64."""
    from scipy.optimize import brentq

    scores, truth = scores_and_truth(8)
    logs = sharpened * scores[0]
    probs = softmax(logs)
    t = temperature(probs, truth)

    def slope(beta):
        expected = (softmax(beta * logs) * logs).sum(axis=1)
        return (expected - logs[np.arange(300), truth]).mean()

    assert t == pytest.approx(1 / brentq(slope, 1 / HOTTEST, 1 / COLDEST), rel=2e-3)
    losses = [log_loss(temper(probs, one), truth).mean() for one in np.geomspace(0.1, 10, 200)]
    assert log_loss(temper(probs, t), truth).mean() <= min(losses) + 1e-6


def test_temperature_leaves_out_what_no_temperature_changes():
    probs, truth = made(8, models=1)
    probs = probs[0]
    lost = np.tile(np.array([[0.9, 0.1, 0, 0, 0, 0]], np.float32), (9, 1))
    both, more = np.concatenate([probs, lost]), np.append(truth, np.full(9, 5))
    assert temperature(both, more) == temperature(probs, truth)
    tiny = np.where(both == 0, 1e-60, both)  # 0 for float32
    assert temperature(tiny, more) == temperature(probs, truth)
    with pytest.raises(MeznetError, match="every true label 0"):
        temperature(lost, more[-9:])


def test_temperature_of_a_model_that_is_always_right_or_always_wrong():
    probs = np.tile([[0.6, 0.4]], (5, 1))
    assert temperature(probs, [0] * 5) == pytest.approx(COLDEST, rel=0.05)
    assert temperature(probs, [1] * 5) == pytest.approx(HOTTEST, rel=0.05)


@pytest.mark.parametrize("t", [0.01, 0.3, 1, 2, 100])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_temper_gives_probabilities(t, dtype):
    probs, _ = made(9)
    probs[0, 0] = [0, 0, 1, 0, 0, 0]
    probs[1, 3] = [1 - 1e-6, 1e-6, 0, 0, 0, 0]
    probs[2, 7] = [0.5, 0.5, 0, 0, 0, 0]
    probs = probs.astype(dtype)
    before = probs.copy()
    out = temper(probs, t)
    assert out.dtype == np.float32 and out.shape == probs.shape
    np.testing.assert_array_equal(probs, before)
    np.testing.assert_allclose(out.sum(axis=-1), 1, atol=1e-6)
    assert (out[probs == 0] == 0).all()
    powers = (probs.astype(float) / probs.max(axis=-1, keepdims=True)) ** (1 / t)
    expected = powers / powers.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(out, expected, rtol=3e-5 / min(t, 1), atol=1e-30)
    np.testing.assert_array_equal(out[1], temper(probs[1], t))


def test_temper_twice():
    probs, _ = made(10)
    np.testing.assert_allclose(temper(temper(probs, 2), 3), temper(probs, 6), rtol=1e-5)


@pytest.mark.parametrize("call", [log_loss, *PER_MODEL])
def test_truth_is_checked(call):
    probs, truth = made(11)
    for bad, match in [(truth[:-1], "shape"), (truth + 6, "0 and 5"), (truth / 1, "int")]:
        with pytest.raises(MeznetError, match=match):
            call(probs[0], bad)


@pytest.mark.parametrize("call", [log_loss, *PER_MODEL, lambda probs, _: temper(probs, 2)])
@pytest.mark.parametrize(
    "bad", [[-0.1, 1.1], [0.5, 0.52], [0.5, 0.48], [np.nan, 1], [np.inf, 0], [np.inf, -np.inf]]
)
def test_what_is_no_probability_is_refused(call, bad):
    with pytest.raises(MeznetError, match="probs must be 0 or more and sum to 1"):
        call(np.array([[0.5, 0.5], bad]), [0, 0])


@pytest.mark.parametrize("call", PER_MODEL)
def test_one_model_is_asked_for(call):
    probs, truth = made(13)
    for some, labels in [(probs, truth), (probs[0, :0], truth[:0])]:
        with pytest.raises(MeznetError, match=r"shape \(images, labels\)"):
            call(some, labels)


@pytest.mark.parametrize("t", [0, -1, 0.001, 1000, np.nan, np.inf])
def test_temper_refuses(t):
    with pytest.raises(MeznetError, match="t must"):
        temper(np.eye(2), t)


def test_import_is_light(fresh_python):
    code = "import sys, meznet_helpers.measure.calibration, meznet_helpers.measure.comparison\n"
    heavy = "{'pandas', 'scipy', 'sklearn', 'tensorflow', 'torch'}"
    assert fresh_python(code + f"print(sorted({heavy} & set(sys.modules)))").strip() == "[]"
