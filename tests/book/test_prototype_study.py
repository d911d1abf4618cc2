"""Tests of chapter 5's experiments, pictures and tables, on data whose answer is known."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import StepPatch
from PIL import Image
from sklearn.base import clone
from sklearn.neighbors import NearestCentroid
from sklearn.preprocessing import normalize

from meznet_helpers import emojizoo, plots, tables
from meznet_helpers.book import prototype_study
from meznet_helpers.errors import MeznetError
from meznet_helpers.measure import partitions, repeats
from meznet_helpers.prototypes import PrototypeIndex, compare_searches, study
from meznet_helpers.prototypes.estimator import PrototypeClassifier

TRUTH = np.repeat(np.arange(10), 20)


def features(noise: float = 0.5, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (np.eye(10, 16)[TRUTH] + noise * rng.normal(size=(200, 16))).astype(np.float32)


def test_the_networks():
    from meznet_helpers.names import labeler

    assert [labeler(name).name for name in prototype_study.backbones().values()] == [
        "timm/regnetx_002@photos", "timm/regnetx_002@tiny", "timm/tiny_vit_5m_224@tiny",
    ]  # fmt: skip


def test_a_tree_of_photographs(tmp_path):
    from meznet_helpers.images import write_tree

    zoo = emojizoo.render(["cat-face", "octopus"], 3, size=16)
    tree = prototype_study.animals(str(write_tree(zoo, tmp_path / "zoo")))
    assert tree.labels.ids == ("cat-face", "octopus") and len(tree) == 6


def test_several_is_judge_for_each_way():
    weights = partitions.random(TRUTH, 3)
    table = prototype_study.several(features(), TRUTH, weights, [("mean", 1), ("k-means", 2)])
    judged = study.judge(features(), TRUTH, weights, kind="k-means", count=2)
    assert table.loc[1, "accuracy"] == repeats.accuracy(judged, 1).loc[0, "accuracy"]
    assert table[["kind", "count"]].values.tolist() == [["mean", 1], ["k-means", 2]]


def test_augmented_mirrors_half_and_changes_colors():
    gray = np.tile(np.linspace(40, 200, 32).astype(np.uint8)[:, None], (32, 1, 3))
    zoo = emojizoo.render(["cat-face"], 200, size=32)
    zoo = type(zoo)(type(zoo.images)([gray] * 200, zoo.images.names), zoo.truth, zoo.labels)
    changed = prototype_study.augmented(zoo, 0)
    rising = np.array([image[0, -1, 0] > image[0, 0, 0] for image in changed.images])
    assert 80 <= rising.sum() <= 120, "half of them are mirrored"
    means = np.array([image.mean() for image in changed.images])
    assert means.min() > 0.55 * gray.mean() and means.max() < 1.45 * gray.mean()
    assert means.std() > 0.15 * gray.mean(), "brightness changes"
    again = prototype_study.augmented(zoo, 0)
    assert all(np.array_equal(a, b) for a, b in zip(changed.images, again.images, strict=True))
    red = Image.new("RGB", (4, 4), (200, 100, 100))
    assert np.asarray(red).shape == changed.images[0][:4, :4].shape


def test_augmentation_keeps_the_two_sorts_apart():
    """Changed pictures carry no information here, so only clean prototypes work."""
    clean, weights = features(0.1), partitions.random(TRUTH, 3)
    noise = np.random.default_rng(1).normal(size=clean.shape).astype(np.float32)
    table = prototype_study.augmentation(clean, noise, TRUTH, weights)
    found = table.set_index(["prototypes", "judged"])
    assert found.loc[("clean", "clean"), "accuracy"] == 1
    assert found.loc[("changed", "clean"), "accuracy"] < 0.4
    assert found.loc[("changed", "changed"), "accuracy"] < 0.4
    assert found.loc[("both", "clean"), "accuracy"] > 0.6
    assert (found["n"] == 40).all()
    weights = weights[:2]
    both = np.concatenate([clean, noise])
    by_hand = []
    for weight in weights:
        own = np.flatnonzero(np.concatenate([weight, weight]))
        index = PrototypeIndex.fit(
            both[own], np.concatenate([TRUTH, TRUTH])[own], emojizoo.render(
                emojizoo.table().slug.head(10), 1, size=8).labels
        )  # fmt: skip
        said = index.search(clean[weight == 0]).classes[:, 0]
        by_hand.append((said == TRUTH[weight == 0]).mean())
    table = prototype_study.augmentation(clean, noise, TRUTH, weights)
    row = table.query("prototypes == 'both'").iloc[0]
    assert row["accuracy"] == pytest.approx(np.mean(by_hand))


def test_open_set():
    """Strangers elsewhere are rejected; those of the same kind are not."""
    x = features(0.2)
    far = -x
    table, scores, threshold = prototype_study.open_set(x, TRUTH, {"far": far}, known=6)
    rows = table.set_index("pictures")
    assert rows.loc["known classes", "n"] == 24 and rows.loc["other classes", "n"] == 80
    assert rows.loc["far", "rejected"] > 0.98 and rows.loc["far", "auroc"] > 0.98
    assert rows.loc["known classes", "auroc"] == 0.5
    for name, found in scores.items():
        assert rows.loc[name, "rejected"] == (found < threshold).mean()
        pairs = scores["known classes"][:, None] - found
        wins = (pairs > 0).mean() + (pairs == 0).mean() / 2
        assert rows.loc[name, "auroc"] == pytest.approx(wins)
    with pytest.raises(MeznetError, match="must leave some on each side"):
        prototype_study.open_set(x, TRUTH, {}, known=10)


def test_judged_pictures_make_no_prototypes():
    """Nothing here is like anything but itself: a picture is found where it was learned."""
    table, scores, threshold = prototype_study.open_set(np.eye(200), TRUTH, {}, known=6)
    assert table.loc[0, "n"] == 24 and not scores["known classes"].any()
    assert threshold <= 0, "what sets the threshold is not learned either"


def test_approximate_search_is_measured_against_exact():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3000, 32)).astype(np.float32)
    table = compare_searches(vectors, vectors[:100], [1, 200], k=10)
    rows = table.set_index(["search", "effort"])
    assert rows.loc[("exact", 0), ["recall", "time"]].tolist() == [1, 1]
    assert rows.loc[("approximate", 200), "recall"] > rows.loc[("approximate", 1), "recall"]
    assert rows.loc[("approximate", 200), "recall"] > 0.95
    assert (table["build"][1:] > 0).all()


def test_the_classifier_is_scikit_learns():
    """On vectors of length 1, the nearest mean by distance is that of NearestCentroid."""
    x, names = normalize(features()), np.array([f"label {9 - each}" for each in TRUTH])
    ours = clone(PrototypeClassifier(metric="l2")).fit(x[::2], names[::2])
    theirs = NearestCentroid().fit(x[::2], names[::2])
    assert ours.predict(x[1::2]).tolist() == theirs.predict(x[1::2]).tolist()
    assert ours.score(x[1::2], names[1::2]) > 0.5


def test_staircases_are_exact():
    accuracies = [0.5, 1.0, 0.25, 1.0]
    (axis,) = plots.cumulative_accuracy({"net": accuracies}).axes
    (stairs,) = [each for each in axis.patches if isinstance(each, StepPatch)]
    values, edges, _ = stairs.get_data()
    assert values.tolist() == [0.25, 0.5, 1.0] and edges.tolist() == [0, 0.25, 0.5, 1.0]


def test_pictures_and_tables():
    zoo = emojizoo.render(["cat-face", "octopus"], 2, size=16)
    index = PrototypeIndex.fit(np.array([[1, 0], [0, 1.0]]), [0, 1], zoo.labels)
    matches = index.search(np.array([[1, 0.1], [1, 0.2]]), 2)
    figure = plots.found(zoo, [0, 2], matches)
    right, wrong = figure.axes
    assert right.get_xlabel().startswith("✓ cat face, 1.00\n✗ octopus")
    assert wrong.get_title() == "octopus" and wrong.spines["left"].get_linewidth() == 3
    assert not right.spines["left"].get_visible() or right.spines["left"].get_linewidth() < 3

    judged = study.judge(features(), TRUTH, partitions.random(TRUTH, 4))
    (axis,) = plots.runs({"net": judged}).axes
    dots = axis.lines[0].get_xdata()
    assert dots.tolist() == repeats.by_run(judged, 1)["accuracy"].tolist()
    row = repeats.accuracy(judged, 1).iloc[0]
    document = pd.DataFrame(
        [{"model": "theirs", "accuracy": 0.951, "half": 0.002, "top4": 0.9, "top4_half": 0.1}]
    )
    text = tables.partitions({"net": judged}, "T", beside=document).as_raw_html()
    assert f"{row['accuracy']:.1%} ({100 * row['low']:.1f} to" in text
    assert "95.1% (94.9 to 95.3)" in text and f"{row['least']:.1%} to {row['most']:.1%}" in text
