"""Tests of meznet_helpers.plots: the figures show the numbers of their tables."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from meznet_helpers import plots
from meznet_helpers.book.published import keras_applications
from meznet_helpers.book.spell import reference, summary
from meznet_helpers.images import Images
from meznet_helpers.labelers import MODES, scale
from meznet_helpers.measure import reliability


@pytest.fixture(autouse=True)
def _nothing_stays_open():
    """A figure is returned, not shown: pyplot keeps none."""
    before = plt.get_fignums()
    yield
    assert plt.get_fignums() == before


@pytest.fixture
def table():
    """Three nets under two conditions, as spell.summary makes it."""
    rng = np.random.default_rng(0)
    nets = [f"keras/{name}@tiny" for name in ("B", "A", "C")]
    columns = [(condition, net) for condition in ("wrong", "own") for net in nets]
    return summary(pd.DataFrame({column: rng.integers(1, 30, 80) for column in columns}), k=(1, 10))


def drawn(figure):
    figure.canvas.draw()
    return figure


# ---- images


def test_images():
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 256, (8, 9 + i, 3), np.uint8) for i in range(5)]
    figure = plots.images(Images(pictures, list("abcde")), columns=3)
    assert [axis.get_title() for axis in figure.axes] == list("abcde")
    for axis, picture in zip(figure.axes, pictures, strict=True):
        np.testing.assert_array_equal(axis.images[0].get_array(), picture)
    columns = {axis.get_subplotspec().colspan.start for axis in figure.axes}
    assert columns == {0, 1, 2}


def test_images_with_titles():
    pictures = np.zeros((2, 8, 8, 3), np.uint8)
    figure = plots.images(pictures, titles=["one", "two"])
    assert [axis.get_title() for axis in figure.axes] == ["one", "two"]


# ---- accuracy against size


def test_accuracy_against_size():
    table = keras_applications()
    named = ["MobileNetV2", "ConvNeXtTiny"]
    axis = drawn(plots.accuracy_against_size(table, named=named)).axes[0]
    points = np.concatenate([each.get_offsets() for each in axis.collections])
    known = table.dropna(subset=["size_mb", "top1"])
    assert sorted(map(tuple, points)) == sorted(zip(known["size_mb"], known["top1"], strict=True))
    rows = table.set_index("model")
    assert {text.get_text(): text.xy for text in axis.texts} == {
        name: (rows.loc[name, "size_mb"], rows.loc[name, "top1"]) for name in named
    }
    assert all(label.get_text().endswith("%") for label in axis.get_yticklabels())


def test_every_published_model_has_a_family():
    axis = plots.accuracy_against_size(keras_applications()).axes[0]
    families = [text.get_text() for text in axis.get_legend().get_texts()]
    assert len(families) == len(set(families)) == 10
    assert "nan" not in families and {"EfficientNet", "EfficientNetV2"} <= set(families)


# ---- what nets see


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_what_nets_see(mode, interpolation):
    picture = np.random.default_rng(2).integers(0, 256, (224, 224, 3), np.uint8)
    (axis,) = plots.what_nets_see(picture, [(mode, interpolation)]).axes
    x = scale(picture, mode)
    assert axis.get_title() == f"{mode}, {interpolation}"
    assert axis.get_xlabel() == f"{x.min():.1f} to {x.max():.1f}"
    shown = axis.images[0].get_array()
    np.testing.assert_allclose(shown, (x - x.min()) / (x.max() - x.min()), atol=1e-6)


def test_what_nets_see_of_white():
    ways = [(mode, "nearest") for mode in ("tf", "torch", "caffe", "raw")]
    figure = plots.what_nets_see(np.full((4, 4, 3), 255, np.uint8), ways)
    labels = [axis.get_xlabel() for axis in figure.axes]
    assert labels == ["1.0 to 1.0", "2.2 to 2.6", "131.3 to 151.1", "255.0 to 255.0"]


def test_caffe_shows_blue_where_red_was():
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 255
    (axis,) = plots.what_nets_see(red, [("caffe", "nearest")]).axes
    assert np.argmax(axis.images[0].get_array()[0, 0]) == 2


# ---- the spell


def test_spell_bars_and_whiskers(table):
    axis = plots.spell(table).axes[0]
    rows = table[table["k"] == 1]
    bars = [container for container in axis.containers if hasattr(container, "patches")]
    assert [each.get_label() for each in bars] == ["wrong", "own"]
    for container, condition in zip(bars, ["wrong", "own"], strict=True):
        part = rows[rows["condition"] == condition]
        heights = [patch.get_height() for patch in container.patches]
        np.testing.assert_allclose(heights, part["accuracy"])
        segments = container.errorbar.lines[2][0].get_segments()
        np.testing.assert_allclose([s[0][1] for s in segments], part["low"])
        np.testing.assert_allclose([s[1][1] for s in segments], part["high"])
        middles = [patch.get_x() + patch.get_width() / 2 for patch in container.patches]
        np.testing.assert_allclose([s[0][0] for s in segments], middles)
        np.testing.assert_allclose(np.round(middles), [0, 1, 2])
    assert [label.get_text() for label in axis.get_xticklabels()] == ["B", "A", "C"]
    assert axis.get_ylabel() == "top-1 accuracy, n = 80"


def test_spell_conditions_stand_apart(table):
    axis = plots.spell(table).axes[0]
    spans = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in axis.patches)
    assert all(left[1] <= right[0] + 1e-9 for left, right in itertools.pairwise(spans))
    assert len({to_hex(bar.get_facecolor()) for bar in axis.patches}) == 2
    assert {text.get_text() for text in axis.get_legend().get_texts()} == {"wrong", "own"}


def test_spell_of_the_reference():
    axis = drawn(plots.spell(reference().query("n == 500"))).axes[0]
    heights = [bar.get_height() for bar in axis.patches]
    np.testing.assert_allclose(heights, [2 / 500, 10 / 500, 135 / 500])
    assert axis.get_yticklabels()[0].get_text() == "0%"


def test_short():
    assert plots.short("keras/MobileNetV2@imagenet") == plots.short("MobileNetV2") == "MobileNetV2"


# ---- ensembles


@pytest.fixture
def gained():
    rows = [("keras/A@tiny", 0, 0, 0), ("soft", 0.02, 0.01, 0.04), ("borda", -0.03, -0.05, -0.01)]
    rows.append(("median", 0.01, -0.01, 0.02))
    return pd.DataFrame(rows, columns=["model", "gain", "gain_low", "gain_high"]).assign(n=1234)


def test_gains_have_their_intervals_and_say_by_color_what_is_sure(gained):
    axis = drawn(plots.gains(gained, "keras/A@tiny")).axes[0]
    assert axis.get_xlabel() == "points of top-1 accuracy gained on A, n = 1,234"
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["median", "borda", "soft"]  # the first on top
    colors = {}
    for name, container in zip(names, axis.containers, strict=True):
        row = gained.set_index("model").loc[name]
        (segment,) = container.lines[2][0].get_segments()
        expected = [100 * row["gain_low"], 100 * row["gain_high"]]
        np.testing.assert_allclose(segment[:, 0], expected)
        assert container.lines[0].get_xdata()[0] == pytest.approx(100 * row["gain"])
        colors[name] = to_hex(container.lines[0].get_color())
    assert len(set(colors.values())) == 3 and colors["median"] == to_hex("0.55")


def test_by_size_draws_every_ensemble_and_the_means():
    table = pd.DataFrame({"nets": [1, 1, 2], "accuracy": [0.1, 0.3, 0.35]})
    dots, mean, best = drawn(plots.by_size(table)).axes[0].lines
    np.testing.assert_allclose(dots.get_xydata(), [[1, 0.1], [1, 0.3], [2, 0.35]])
    np.testing.assert_allclose(mean.get_xydata(), [[1, 0.2], [2, 0.35]])
    np.testing.assert_allclose(best.get_xydata(), [[1, 0.3], [2, 0.35]])


@pytest.mark.parametrize("count", [1, 3, 6])
def test_reliability_draws_a_panel_for_each(count):
    rng = np.random.default_rng(0)
    curves = {
        f"keras/N{i}@tiny": reliability(rng.dirichlet(np.ones(3), 200), rng.integers(0, 3, 200))
        for i in range(count)
    }
    figure = drawn(plots.reliability(curves))
    assert [axis.get_title() for axis in figure.axes] == [f"N{i}" for i in range(count)]
    for axis, table in zip(figure.axes, curves.values(), strict=True):
        (container,) = axis.containers
        dots = np.array(container.lines[0].get_xydata(), float)
        np.testing.assert_allclose(dots, table[["confidence", "accuracy"]].to_numpy())
        ends = np.array([s[:, 1] for s in container.lines[2][0].get_segments()], float)
        np.testing.assert_allclose(ends, table[["low", "high"]].to_numpy(float))


def test_pairs_show_each_pair_once():
    names = ["keras/A@tiny", "keras/B@tiny", "keras/C@tiny"]
    values = [[1, 0.25, 0.5], [0.25, 1, 0.75], [0.5, 0.75, 1]]
    axis = drawn(plots.pairs(pd.DataFrame(values, names, names), "r")).axes[0]
    assert sorted(text.get_text() for text in axis.texts) == ["0.25", "0.50", "0.75"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["A", "B"]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["B", "C"]
