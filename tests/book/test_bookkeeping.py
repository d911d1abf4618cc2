"""Tests of meznet_helpers.book.bookkeeping."""

import numpy as np
import pytest
from rapidfuzz.distance import OSA

from meznet_helpers.book import bookkeeping, spell
from meznet_helpers.errors import MeznetError
from meznet_helpers.labels import from_names, tiny_imagenet
from meznet_helpers.predictions import Predictions

SPACE = from_names(["harp", "barn", "beacon", "jellyfish", "ping-pong ball", "carp"])


def some(models=3, images=20, space=SPACE, seed=0):
    probs = np.random.default_rng(seed).dirichlet(np.ones(len(space)), (models, images))
    names = [f"net {i}" for i in range(models)], [f"image {i}" for i in range(images)]
    return Predictions(probs, *names, space)


def test_word_matches_of_every_pair_of_labels():
    space = tiny_imagenet()
    found = bookkeeping.word_matches(space)
    for true in range(0, len(space), 7):
        words = space.words(space.ids[true]).split(", ")
        for predicted, name in enumerate(space.names):
            expected = sum(OSA.distance(name.replace("_", " "), word) <= 3 for word in words)
            assert found[true, predicted] == expected, (words, name)
    assert (found.diagonal() >= 1).all()


@pytest.mark.parametrize("k", [1, 3, 6])
def test_count_equals_a_loop(k, monkeypatch):
    monkeypatch.setattr(bookkeeping, "TOP", k)
    predictions = some()
    truth = np.random.default_rng(1).integers(0, len(SPACE), 20)
    table = bookkeeping.count(predictions, truth).set_index("model")
    top = predictions.top(k)
    for model in predictions.models:
        hits = rows = wrong = 0
        for image, true in zip(predictions.images, truth, strict=True):
            for label in top[(top["image"] == image) & (top["model"] == model)]["label"]:
                match = OSA.distance(label, SPACE.names[true]) <= 3
                hits += label == SPACE.names[true]
                rows += match
                wrong += match and label != SPACE.names[true]
        assert table.loc[model, ["n", "hits", "rows", "false_rows"]].tolist() == [
            20, hits, rows, wrong,
        ]  # fmt: skip
    assert table["weight"].sum() == pytest.approx(1)
    np.testing.assert_allclose(table["weight_by_words"], table["rows"] / table["rows"].sum())


def test_a_net_without_hits_has_no_weight(monkeypatch):
    monkeypatch.setattr(bookkeeping, "TOP", 1)
    space = from_names(["jellyfish", "ping-pong ball"])
    probs = [[[0.9, 0.1]], [[0.2, 0.8]]]
    table = bookkeeping.count(Predictions(probs, ["a", "b"], ["x"], space), [0])
    assert table["weight"].tolist() == [1, 0] and table["weight_by_words"].tolist() == [1, 0]


def test_truth_that_does_not_fit():
    with pytest.raises(MeznetError, match=r"truth must have shape \(20,\)"):
        bookkeeping.count(some(), [0])


def test_the_exhibits_barn():
    """By words a harp is a barn; by id it is none."""
    ids = spell.exhibit_images().set_index("image")["label_id"]
    space = tiny_imagenet()
    barn = space.index(ids["val_1536.JPEG"])
    matches = bookkeeping.word_matches(space)
    assert matches[barn, space.names.index("beacon")] and matches[barn, barn]
