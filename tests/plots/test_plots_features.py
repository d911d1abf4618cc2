"""Tests of the figures of strategies, small nets, pixels and features: they show their numbers."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Circle
from PIL import Image
from sklearn.datasets import make_blobs
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from meznet_helpers import emojizoo, plots
from meznet_helpers.errors import MeznetError
from meznet_helpers.features import probing
from meznet_helpers.features.multiclass import one_vs_one, one_vs_rest
from meznet_helpers.plots import networks


@pytest.fixture(autouse=True)
def _nothing_stays_open():
    before = plt.get_fignums()
    yield
    assert plt.get_fignums() == before


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(90, centers=3, random_state=42)


def ground(axis):
    """Corners of the cells and the classes that color them."""
    mesh = axis.collections[0]
    x, y = mesh._coordinates[:-1, :-1].transpose(2, 0, 1)
    step = (mesh._coordinates[1, 1] - mesh._coordinates[0, 0]) / 2
    return x + step[0], y + step[1], mesh.get_array().reshape(x.shape)


# ---- strategies


@pytest.mark.nets
@pytest.mark.parametrize("strategy", [one_vs_rest, one_vs_one])
def test_lines(blobs, strategy):
    x, truth = blobs
    found = strategy(x, truth)
    points = [[-4.0, 12.0], [2.0, 0.0]]
    figure = plots.lines(found, x, truth, points=points)
    figure.canvas.draw()
    for axis, name in zip(figure.axes, ("votes", "prediction"), strict=True):
        assert axis.get_title() == name
        across, down, classes = ground(axis)
        some = np.random.default_rng(0).integers(0, classes.size, 400)
        where = np.stack([across.ravel()[some], down.ravel()[some]], axis=1)
        shown = np.ma.filled(classes.ravel()[some].astype(float), np.nan)
        if name == "prediction":
            np.testing.assert_array_equal(shown, found.predict(where))
        else:
            open_ground = found.undecided(where)
            np.testing.assert_array_equal(np.isnan(shown), open_ground)
            votes = found.votes(where).argmax(1)
            np.testing.assert_array_equal(shown[~open_ground], votes[~open_ground])
        lines = [each for each in axis.collections if each.get_array() is not None]
        drawn = [each.get_paths()[0].vertices for each in lines if len(each.get_paths()) == 1]
        for number, vertices in enumerate(drawn[: len(found.pairs)]):
            assert np.abs(found.raw(vertices)[:, number]).max() < 1e-6
        assert len(drawn) >= len(found.pairs)
        assert [each.get_text() for each in axis.texts] == ["a", "b"]
        assert [each.xy for each in axis.texts] == [tuple(point) for point in points] or [
            list(each.xy) for each in axis.texts
        ] == points


def test_regions(blobs):
    x, truth = blobs
    models = {"C = 1": LogisticRegression(), "C = 1e-4": LogisticRegression(C=1e-4)}
    models = {name: model.fit(x, truth) for name, model in models.items()}
    figure = plots.regions(models, x, truth)
    for axis, (name, model) in zip(figure.axes, models.items(), strict=True):
        across, down, classes = ground(axis)
        where = np.stack([across.ravel(), down.ravel()], axis=1)[::97]
        np.testing.assert_array_equal(classes.ravel()[::97], model.predict(where))
        assert axis.get_title() == name
        dots = np.concatenate([each.get_offsets() for each in axis.collections[1:]])
        assert sorted(map(tuple, dots.tolist())) == sorted(map(tuple, x.tolist()))
    (legend,) = figure.legends
    assert [each.get_text() for each in legend.texts] == ["class 0", "class 1", "class 2"]


# ---- small nets


@pytest.mark.parametrize("hidden", [0, 1, 2])
def test_network_has_all_that_mglearn_draws(hidden):
    source = networks._mglearn(networks._GRAPHS[hidden]).source
    figure = plots.network(hidden)
    (axis,) = figure.axes
    arrows = [text for text in axis.texts if getattr(text, "arrow_patch", None)]
    assert len(arrows) == source.count("->") == [4, 15, 24][hidden]
    circles = {tuple(np.round(patch.center, 6)) for patch in axis.patches}
    assert all(isinstance(patch, Circle) for patch in axis.patches)
    assert len(circles) == len(axis.patches) == [5, 8, 11][hidden]
    for arrow in arrows:  # from the rim of one circle to the rim of another, to the right
        start, end = np.array(arrow.xyann), np.array(arrow.xy)
        for place in (start, end):
            gaps = [np.linalg.norm(place - np.array(circle)) for circle in circles]
            assert min(gaps) == pytest.approx(0.36)
        assert start[0] < end[0]
    words = {text.get_text() for text in axis.texts} - {""}
    layers = {0: set(), 1: {"hidden layer"}, 2: {"hidden layer 1", "hidden layer 2"}}[hidden]
    assert {"inputs", "output", "y", "x[0]", "x[3]"} | layers <= words
    assert words == set(re.findall(r'label ?= ?"([^"]+)"', source)) | {"y"} | set(
        re.findall(r'^\t\t"([^"]+)"', source, re.MULTILINE)
    )


def test_no_such_network():
    with pytest.raises(MeznetError, match="mglearn draws 0, 1 or 2 hidden layers, not 3"):
        plots.network(3)


def test_mglearn_is_not_there(monkeypatch):
    monkeypatch.setattr(networks.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MeznetError, match="mglearn is not installed; install it with pip"):
        plots.network()


# ---- pixels and features


def test_numbers():
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    figure = plots.numbers(picture, 4, 7)
    gray = np.asarray(Image.fromarray(picture).convert("L"))
    left, right = figure.axes
    np.testing.assert_array_equal(left.images[0].get_array(), gray)
    np.testing.assert_array_equal(right.images[0].get_array(), gray[4:14, 7:17])
    for text in right.texts:
        column, row = text.get_position()
        assert text.get_text() == str(gray[4 + row, 7 + column])
    assert len(right.texts) == 100
    (frame,) = left.patches
    assert frame.get_bbox().bounds == (6.5, 3.5, 10, 10)


@pytest.mark.parametrize(("top", "left"), [(-1, 0), (11, 0), (0, 21)])
def test_numbers_outside_of_the_picture(top, left):
    with pytest.raises(MeznetError, match="leaves the picture, which has 20 x 30"):
        plots.numbers(np.zeros((20, 30, 3), np.uint8), top, left)


@pytest.mark.parametrize("parts", [["held_out"], ["learned", "held_out"]])
def test_learning_curve(parts):
    rng = np.random.default_rng(0)
    rows = [
        {"features": name, "part": part, "examples": count, "n": 10, "accuracy": rng.random()}
        for name in ("pixels", "net")
        for part in parts
        for count in (1, 5, 20)
    ]
    table = pd.DataFrame(rows).eval("low = accuracy - 0.1").eval("high = accuracy + 0.2")
    (axis,) = plots.learning_curve(table).axes
    groups = list(table.groupby(["features", "part"], sort=False))
    assert len(axis.lines) == len(axis.collections) == len(groups)
    for line, band, ((name, part), some) in zip(axis.lines, axis.collections, groups, strict=True):
        assert line.get_xydata().tolist() == some[["examples", "accuracy"]].values.tolist()
        assert line.get_linestyle() == ("-" if part == "held_out" else "--")
        assert line.get_label().startswith(name)
        assert ("," in line.get_label()) == (len(parts) == 2)
        edges = {tuple(np.round(each, 9)) for each in band.get_paths()[0].vertices}
        for row in some.to_dict("records"):
            assert {(row["examples"], round(row[end], 9)) for end in ("low", "high")} <= edges
    assert axis.get_xticks().tolist() == [1, 5, 20] and axis.get_xscale() == "log"


def test_neighbors():
    zoo = emojizoo.render(["cat-face", "dog-face", "fox"], 3, size=16)
    nearest = {"pixels": np.array([[1, 3], [5, 0]]), "net": np.array([[2], [8]])}
    figure = plots.neighbors(zoo, [0, 4], nearest)
    shown = [[0, 1, 3, 2], [4, 5, 0, 8]]
    for axis, place in zip(figure.axes, np.ravel(shown), strict=True):
        np.testing.assert_array_equal(axis.images[0].get_array(), zoo.images[place])
    names = [axis.get_xlabel() for axis in figure.axes]
    assert names[:4] == ["cat face", "✓ cat face", "✗ dog face", "✓ cat face"]
    assert names[4:] == ["dog face", "✓ dog face", "✗ cat face", "✗ fox"]
    titles = [axis.get_title(loc="left") for axis in figure.axes[:4]]
    assert titles == ["picture", "pixels", "", "net"]


def test_plane():
    zoo = emojizoo.render(["cat-face", "dog-face"], 10, size=8)
    features = {"pixels": probing.flatten(zoo, 8), "gray": probing.flatten(zoo, 8, gray=True)}
    figure = plots.plane(features, zoo)
    for axis, (name, x) in zip(figure.axes, features.items(), strict=True):
        scaled = StandardScaler().fit_transform(x)
        pca = PCA(2, svd_solver="full").fit(scaled)
        assert axis.get_title() == f"{name}, {pca.explained_variance_ratio_.sum():.0%}"
        where = np.concatenate([dots.get_offsets() for dots in axis.collections])
        np.testing.assert_allclose(np.abs(where), np.abs(pca.transform(scaled)), atol=1e-3)
        assert len(axis.collections) == 2


def test_first_scores():
    rng = np.random.default_rng(0)
    scores = {"a": rng.random(50), "b": rng.random(80) ** 2}
    (axis,) = plots.first_scores(scores).axes
    for line, (name, values) in zip(axis.lines, scores.items(), strict=True):
        x, share = line.get_xydata()[1:].T
        expected = [(values > at).mean() for at in x]
        assert line.get_label() == name
        np.testing.assert_allclose(share, expected, atol=1e-9)
    assert len({line.get_linestyle() for line in axis.lines}) == 2
