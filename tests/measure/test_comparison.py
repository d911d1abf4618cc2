"""Tests of meznet_helpers.measure.comparison."""

import itertools

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, log_loss

from meznet_helpers.ensembles import by_size
from meznet_helpers.errors import MeznetError
from meznet_helpers.labels import from_names
from meznet_helpers.measure import against, expected_calibration_error
from meznet_helpers.predictions import Predictions

SPACE = from_names([f"label {i}" for i in range(6)])
N = 300


@pytest.fixture(scope="module")
def nets():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 6, N)
    scores = rng.normal(size=(4, N, 6))
    for strength, net in zip((0.5, 1, 1.5, 2), scores, strict=True):
        net[np.arange(N), truth] += strength
    probs = np.exp(scores)
    probs /= probs.sum(-1, keepdims=True)
    names = [f"net {i}" for i in range(4)], [f"image {i}" for i in range(N)]
    return Predictions(probs, *names, SPACE), truth


def test_against_one_of_them(nets):
    predictions, truth = nets
    table = against(predictions, truth, "net 2", seed=3).set_index("model")
    assert table.index.tolist() == list(predictions.models) and (table["n"] == N).all()
    base = predictions.probs[2].argmax(-1) == truth
    for model, probs in zip(predictions.models, predictions.probs, strict=True):
        row, right = table.loc[model], probs.argmax(-1) == truth
        assert row["accuracy"] == pytest.approx(accuracy_score(truth, probs.argmax(-1)))
        interval = binomtest(int(right.sum()), N).proportion_ci(method="wilson")
        assert (row["low"], row["high"]) == pytest.approx(tuple(interval))
        assert row["gain"] == pytest.approx(right.mean() - base.mean())
        better, worse = int((right & ~base).sum()), int((base & ~right).sum())
        expected = binomtest(better, better + worse).pvalue if better + worse else 1
        assert row["p"] == pytest.approx(expected)
        draws = np.random.default_rng(0).integers(0, N, (4000, N))
        boot = (right[draws].mean(1) - base[draws].mean(1)).tolist()
        assert row[["gain_low", "gain_high"]].tolist() == pytest.approx(
            np.quantile(boot, [0.025, 0.975]).tolist(), abs=0.012
        )
        assert row["log_loss"] == pytest.approx(log_loss(truth, probs, labels=range(6)), rel=1e-4)
        assert row["ece"] == pytest.approx(expected_calibration_error(probs, truth))
    assert table.loc["net 2", ["gain", "gain_low", "gain_high", "p"]].tolist() == [0, 0, 0, 1]


def test_against_a_model_that_is_not_there(nets):
    with pytest.raises(MeznetError, match=r'no model "net 9"'):
        against(*nets, "net 9")


def test_every_ensemble_of_some_nets(nets):
    predictions, truth = nets
    table = by_size(predictions, truth)
    assert len(table) == 15 and table["nets"].is_monotonic_increasing
    expected = [
        members
        for count in range(1, 5)
        for members in itertools.combinations(predictions.models, count)
    ]
    assert table["members"].tolist() == expected
    single = (predictions.probs.argmax(-1) == truth).mean(1)
    for row in table.itertuples():
        places = [predictions.models.index(name) for name in row.members]
        assert row.nets == len(places) and row.best == pytest.approx(single[places].max())
        mean = predictions.probs[places].mean(0)
        assert row.accuracy == pytest.approx((mean.argmax(-1) == truth).mean(), abs=1 / N)
    assert table["accuracy"][:4].tolist() == pytest.approx(single.tolist())
