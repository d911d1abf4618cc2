"""Tests of meznet_helpers.book.spell."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from meznet_helpers.assets import profile
from meznet_helpers.book import spell
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import Images
from meznet_helpers.labelers import backbone, registry
from meznet_helpers.labels import imagenet, tiny_imagenet

TINY = [name for name in registry() if name[:6] == "keras/" and name.endswith("@tiny")]


# ---- conditions


def test_conditions_change_what_they_say():
    names = ["keras/ResNet50@imagenet", "keras/MobileNetV2@imagenet"]
    found = {
        condition: [(net.backbone.mode, net.backbone.interpolation) for net in under]
        for condition in spell.CONDITIONS
        for under in [spell.under(condition, names)]
    }
    assert found == {
        "caffe, nearest": [("caffe", "nearest"), ("caffe", "nearest")],
        "own, nearest": [("caffe", "nearest"), ("tf", "nearest")],
        "own, bilinear": [("caffe", "bilinear"), ("tf", "bilinear")],
    }


def test_the_registry_is_not_changed():
    spell.under("caffe, nearest", ["keras/MobileNetV2@imagenet"])
    assert backbone("keras/MobileNetV2@imagenet").mode == "tf"


def test_unknown_condition():
    with pytest.raises(MeznetError, match='No condition "own"; choose from caffe, nearest; own'):
        spell.under("own", [])


def test_no_names():
    with pytest.raises(MeznetError, match="names is empty"):
        spell.predict("own, nearest", [], [np.zeros((8, 8, 3), np.uint8)])


@pytest.mark.contract
@pytest.mark.skipif(len(TINY) < 2, reason="needs two tiny nets")
def test_predict_joins_the_nets_in_order():
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    names = TINY[1::-1]
    found = spell.predict("caffe, nearest", names, iter(images))
    assert found.models == tuple(names) and found.probs.shape == (2, 3, 200)
    for name, net in zip(names, spell.under("caffe, nearest", names), strict=True):
        alone = net.predict(images)
        np.testing.assert_array_equal(found.select(models=[name]).probs, alone.probs)


# ---- the exhibit


def test_exhibit_images():
    table = spell.exhibit_images()
    assert list(table.columns) == ["image", "label_id", "words"]
    assert len(table) == 20 and table["image"].is_unique
    assert table["image"].str.fullmatch(r"val_\d{1,4}\.JPEG").all()
    for row in table.itertuples():
        assert row.label_id in tiny_imagenet() and row.label_id in imagenet()
        assert row.words == tiny_imagenet().words(row.label_id)


def test_exhibit_hits():
    table = spell.exhibit_hits().set_index("model")["hits"]
    assert table.to_dict() == {
        "ResNet50": 20,
        "EfficientNetB0": 3,
        "MobileNetV2": 3,
        "DenseNet121": 1,
        "NASNetMobile": 1,
    }


def test_exhibit_scores():
    table = pd.read_csv(profile.data() / "exhibit" / "jellyfish.csv", encoding="utf-8")
    assert table["score"].is_monotonic_decreasing and table["score"].between(0, 1).all()
    for row in table.itertuples():
        assert imagenet().names[imagenet().index(row.label_id)] == row.label


def test_reference():
    table = spell.reference()
    wide = table.pivot(index="condition", columns=["n", "k"], values="accuracy")
    wide = wide.loc[list(spell.CONDITIONS)]
    np.testing.assert_allclose(wide[20, 1], [0, 0.10, 0.40])
    np.testing.assert_allclose(wide[20, 10], [0.05, 0.30, 0.95])
    np.testing.assert_allclose(wide[500, 1], [0.004, 0.02, 0.27])
    np.testing.assert_allclose(wide[500, 10], [0.03, 0.14, 0.63])
    assert len(table) == 12 and table["model"].unique().tolist() == ["MobileNetV2 1.0"]


# ---- pictures


def test_pictures():
    pictures = spell.pictures()
    files = [path.name for path in profile.package_photographs().values()]
    assert list(pictures.names) == files and not pictures.errors
    assert {picture.shape for picture in pictures} == {(64, 64, 3)}


def test_small_images_are_means():
    rng = np.random.default_rng(1)
    coarse = rng.integers(0, 256, (64, 64, 3), np.uint8)
    fine = coarse.repeat(4, 0).repeat(4, 1)
    tall = Images([fine, np.full((200, 100, 3), 7, np.uint8)], ["a", "b"])
    found = spell.small(tall)
    assert found.names == ("a", "b") and (found[1] == 7).all() and found[1].shape == (64, 64, 3)
    # A triangle of twice the width: half of each mean comes from the pixel's own block.
    assert np.corrcoef(found[0].ravel(), coarse.ravel())[0, 1] > 0.9
    assert found[0].mean() == pytest.approx(fine.mean(), abs=0.5)


# ---- ranks and their summary


def test_ranks_cover_every_tiny_net_and_image():
    table = spell.ranks()
    assert table.shape == (10_000, len(spell.CONDITIONS) * len(TINY))
    assert set(table.columns) == {
        (condition, net) for condition in spell.CONDITIONS for net in TINY
    }
    assert set(table.index) == {f"val_{number}.JPEG" for number in range(10_000)}
    assert table.dtypes.unique().tolist() == [np.uint8]
    assert table.min(axis=None) == 1 and table.max(axis=None) <= 200


@pytest.mark.parametrize("name", TINY)
def test_ranks_agree_with_the_accuracies_on_the_cards(name):
    at = spell.ranks()["own, bilinear", name]
    path = profile.data() / "models" / backbone(name).application / "net.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    for k in (1, 5):
        assert (at <= k).sum() == pytest.approx(facts[f"hits{k}"], abs=5)  # of 10,000


def test_summary_against_counting():
    rng = np.random.default_rng(0)
    columns = [("own, bilinear", "a"), ("caffe, nearest", "a"), ("own, bilinear", "b")]
    ranks = pd.DataFrame({column: rng.integers(1, 13, 50) for column in columns})
    table = spell.summary(ranks, k=(1, 3, 12))
    assert len(table) == 9
    for row in table.itertuples():
        hits = sum(rank <= row.k for rank in ranks[row.condition, row.model])
        assert (row.hits, row.n, row.accuracy) == (hits, 50, hits / 50)
        interval = binomtest(hits, 50).proportion_ci(method="wilson")
        assert (row.low, row.high) == pytest.approx(interval)
    keys = list(table[["condition", "model", "k"]].itertuples(index=False, name=None))
    assert keys == [(*column, k) for column in columns for k in (1, 3, 12)]
