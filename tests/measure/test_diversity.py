"""Tests of meznet_helpers.measure.comparison."""

import numpy as np
import pytest

from meznet_helpers.errors import MeznetError
from meznet_helpers.measure import disagreement, error_correlation

MEASURES = [disagreement, error_correlation]


def made(seed=1, models=5, images=60):
    return np.random.default_rng(seed).integers(1, 6, (models, images))


@pytest.mark.parametrize("seed", range(3))
def test_against_loops(seed):
    ranks = made(seed)
    names = list("abcde")
    tables = [measure(ranks, models=names) for measure in MEASURES]
    for table in tables:
        assert list(table.index) == list(table.columns) == names
        assert set(table.dtypes) == {np.dtype(float)}
        np.testing.assert_array_equal(table, table.T)
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            apart = sum((x > 1) != (y > 1) for x, y in zip(ranks[i], ranks[j], strict=True))
            expected = [apart / 60, np.corrcoef(ranks[i] > 1, ranks[j] > 1)[0, 1]]
            assert [table.loc[a, b] for table in tables] == pytest.approx(expected)


def test_identical_models():
    ranks = made()
    ranks[3] = ranks[0]
    for measure, same in zip(MEASURES, [0, 1], strict=True):
        table = measure(ranks).to_numpy()
        assert table[0, 3] == same
        assert (np.diag(table) == same).all()


def test_opposite_models():
    ranks = np.array([[1, 1, 2, 1], [2, 2, 1, 2]])
    assert [measure(ranks).loc["0", "1"] for measure in MEASURES] == [1, -1]


@pytest.mark.parametrize("rank", [1, 9])
def test_a_model_that_is_always_right_or_always_wrong(rank):
    ranks = made()
    ranks[2] = rank
    expected = np.zeros((5, 5), bool)
    expected[2] = expected[:, 2] = True
    np.testing.assert_array_equal(np.isnan(error_correlation(ranks).to_numpy()), expected)
    share = np.mean((ranks[0] == 1) != (rank == 1))
    assert disagreement(ranks).loc["0", "2"] == pytest.approx(share)


@pytest.mark.parametrize("measure", MEASURES)
def test_refuses(measure):
    with pytest.raises(MeznetError, match="shape"):
        measure(np.array([1, 2]))
    with pytest.raises(MeznetError, match="shape"):
        measure(np.ones((2, 0), int))
    with pytest.raises(MeznetError, match="5 models, but 1"):
        measure(made(), models=["a"])
