"""Tests of meznet_helpers.images.datasets."""

import numpy as np
import pytest
from sklearn.model_selection import StratifiedShuffleSplit

from meznet_helpers.errors import MeznetError
from meznet_helpers.images import Dataset, Images
from meznet_helpers.labels import from_names

PETS = from_names(["cat", "dog"])


def dataset(truth, groups=(), labels=PETS):
    """Make images whose value is their place."""
    arrays = [np.full((2, 2, 3), at, np.uint8) for at in range(len(truth))]
    return Dataset(Images(arrays, [f"i{at}" for at in range(len(truth))]), truth, labels, groups)


def places(part):
    """Return where each image was, and check that all that belongs to it came along."""
    found = [int(image[0, 0, 0]) for image in part.images]
    assert part.images.names == tuple(f"i{at}" for at in found)
    return found


def test_fields():
    pets = dataset([0, 1, 1], ["x", "y", "x"])
    assert len(pets) == 3 and repr(pets) == "Dataset(3 images, 2 labels)"
    assert pets.truth.dtype == np.int64 and pets.counts().to_dict() == {"cat": 1, "dog": 2}
    assert dataset([1, 1]).counts().tolist() == [0, 2]


@pytest.mark.parametrize("chosen", [[2, 0], np.array([True, False, True])])
def test_take(chosen):
    part = dataset([0, 1, 1], ["x", "y", "z"]).take(chosen)
    expected = [2, 0] if isinstance(chosen, list) else [0, 2]
    assert places(part) == expected and part.labels == PETS
    assert part.truth.tolist() == [[0, 1, 1][at] for at in expected]
    assert part.groups == tuple("xyz"[at] for at in expected)


@pytest.mark.parametrize("valid", [0.25, 10])
def test_by_picture_is_scikit_learns_split(valid):
    truth = np.repeat([0, 1], [10, 30])
    train, held_out = dataset(truth).by_picture(valid=valid, seed=3)
    split = StratifiedShuffleSplit(1, test_size=valid, random_state=3)
    expected = [sorted(part) for part in next(split.split(truth, truth))]
    assert [places(train), places(held_out)] == expected
    assert held_out.counts().tolist() in ([2, 8], [3, 7])  # a quarter of 10 and of 30
    other, _ = dataset(truth).by_picture(valid=valid, seed=4)
    assert places(other) != places(train)


def test_by_group():
    train, held_out = dataset([0, 1, 0, 1], ["x", "y", "y", "x"]).by_group("y")
    assert (places(train), places(held_out)) == ([0, 3], [1, 2])
    assert set(held_out.groups) == {"y"} and train.truth.tolist() == [0, 1]


def test_errors():
    with pytest.raises(MeznetError, match=r"truth must have shape \(2,\)"):
        Dataset(dataset([0, 1]).images, [0], PETS)
    with pytest.raises(MeznetError, match="truth must lie between 0 and 1"):
        dataset([0, 2])
    with pytest.raises(MeznetError, match="2 images need as many groups, not 1"):
        dataset([0, 1], ["x"])
    with pytest.raises(MeznetError, match=r'"z" is no group of Dataset.*; there are x, y'):
        dataset([0, 1], ["x", "y"]).by_group("z")
    with pytest.raises(MeznetError, match="there are no groups"):
        dataset([0, 1]).by_group("z")
    for lonely, valid in (([0, 1, 1, 1], 0.5), ([0, 0, 1, 1], 0.1), ([0, 0, 1, 1], 9)):
        with pytest.raises(MeznetError, match=r"can't be split.*both parts; \"cat\" has \d"):
            dataset(lonely).by_picture(valid=valid)
