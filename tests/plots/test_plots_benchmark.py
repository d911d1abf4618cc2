"""Tests of meznet_helpers.plots.benchmark: the figures show the numbers of their tables."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from meznet_helpers import emojizoo, plots
from meznet_helpers.book import benchmark
from meznet_helpers.errors import MeznetError


@pytest.fixture(autouse=True)
def _nothing_stays_open():
    before = plt.get_fignums()
    yield
    assert plt.get_fignums() == before


@pytest.fixture
def table():
    """Made-up results, as benchmark.run returns them."""
    rng = np.random.default_rng(0)
    ten = pd.DataFrame({"model": list(benchmark.NETS), "accuracy": rng.uniform(0.2, 0.9, 10)})
    ten["low"], ten["high"] = ten["accuracy"] - 0.1, ten["accuracy"] + 0.05
    for column in ("loss", "size_mb", "train_ms", "predict_ms"):
        ten[column] = rng.uniform(1, 500, 10)
    return ten


@pytest.fixture
def history():
    rows = [
        {"model": model, "epoch": epoch, "best": epoch == best}
        for model, best in (("B", 2), ("A", 3), ("C", 1))
        for epoch in (1, 2, 3)
    ]
    rng = np.random.default_rng(1)
    columns = ("accuracy", "valid_accuracy", "loss", "valid_loss")
    return pd.DataFrame(rows).assign(**{column: rng.random(9) for column in columns})


def test_against_costs(table):
    figure = plots.against_costs(table)
    figure.canvas.draw()
    looks = set()
    for number, axis in enumerate(figure.axes):
        measure = ("accuracy", "loss")[number // 3]
        cost = ("size_mb", "train_ms", "predict_ms")[number % 3]
        assert axis.get_xscale() == "log" and len(axis.containers) == 10
        for container, row in zip(axis.containers, table.to_dict("records"), strict=True):
            point, _, bars = container.lines
            assert container.get_label() == row["model"]
            assert point.get_xydata()[0].tolist() == pytest.approx([row[cost], row[measure]])
            looks.add((row["model"], point.get_marker(), tuple(point.get_color())))
            if measure == "accuracy":
                (segment,) = bars[0].get_segments()
                np.testing.assert_allclose(segment[:, 1], [row["low"], row["high"]])
            else:
                assert not bars
        assert sum(bool(text.get_text()) for text in axis.get_xticklabels()) >= 2 or number < 3
    assert len(looks) == len({look[1] for look in looks}) == len({look[2] for look in looks}) == 10
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == table["model"].tolist()
    below = [axis.get_xlabel() for axis in figure.axes[3:]]
    assert below == [
        "size of the weights, MB",
        "training, ms per step",
        "prediction, ms per step",
    ]
    assert figure.axes[0].get_yticklabels()[0].get_text().endswith("%")


def test_against_costs_of_a_table_without_intervals():
    figure = plots.against_costs(benchmark.published())
    points = [each.lines[0].get_xydata()[0].tolist() for each in figure.axes[4].containers]
    assert points[0] == [260, 0.3474] and points[7] == [857, 3.2046]
    assert not any(each.lines[2] for each in figure.axes[0].containers)


@pytest.mark.parametrize("measure", ["accuracy", "loss"])
def test_learning_curves(history, measure):
    figure = plots.learning_curves(history, measure)
    assert [axis.get_title() for axis in figure.axes] == ["B", "A", "C"]
    for axis, (_, part) in zip(figure.axes, history.groupby("model", sort=False), strict=True):
        learned, judged, kept = axis.lines
        np.testing.assert_allclose(learned.get_ydata(), part[measure])
        np.testing.assert_allclose(judged.get_ydata(), part[f"valid_{measure}"])
        np.testing.assert_allclose(judged.get_xdata(), [1, 2, 3])
        best = part[part["best"]].iloc[0]
        assert kept.get_xydata().tolist() == [[best["epoch"], best[f"valid_{measure}"]]]
        assert learned.get_linestyle() != judged.get_linestyle()
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["training", "validation", "weights kept"]
    assert figure.get_supylabel() == measure


def test_learning_curves_of_ten_nets_stand_in_two_rows(history):
    many = pd.concat([history[history["model"] == "A"].assign(model=name) for name in "abcdefghij"])
    axes = plots.learning_curves(many).axes
    places = [axis.get_subplotspec() for axis in axes]
    assert {(each.rowspan.start, each.colspan.start) for each in places} == {
        (row, column) for row in range(2) for column in range(5)
    }


def test_learning_curves_of_something_else(history):
    with pytest.raises(MeznetError, match='measure is "speed"; it must be "accuracy" or "loss"'):
        plots.learning_curves(history, "speed")


def test_confusion_grid():
    counts = {"A": pd.DataFrame([[3, 1], [0, 4]]), "B": pd.DataFrame([[0, 0], [2, 2]])}
    figure = plots.confusion_grid(counts)
    first, second, bar = figure.axes
    assert [first.get_title(), second.get_title()] == ["A", "B"]
    assert first.images[0].get_array().tolist() == [[0.75, 0.25], [0, 1]]
    assert second.images[0].get_array().tolist() == [[0, 0], [0.5, 0.5]]  # a label without images
    assert {axis.images[0].get_clim() for axis in (first, second)} == {(0, 1)}
    shades = [first.images[0].cmap(first.images[0].norm(share))[0] for share in (0, 0.02, 0.2, 1)]
    assert shades == sorted(shades, reverse=True) and shades[0] - shades[1] > 0.08  # rare, but seen
    assert (figure.get_supxlabel(), figure.get_supylabel()) == ("given label", "right label")
    assert bar.get_xticklabels()[0].get_text() == "0%"


def test_confusions_of_ten_nets_are_large_enough_to_read():
    figure = plots.confusion_grid({str(n): pd.DataFrame(np.eye(90)) for n in range(10)})
    figure.canvas.draw()
    sides = [axis.get_window_extent().width / figure.dpi for axis in figure.axes[:10]]
    assert min(sides) * 144 > 2 * 90  # two dots of a common screen for each label


@pytest.fixture
def predicted():
    zoo = emojizoo.render(["cat-face", "dog-face", "fox"], 4, size=16)
    rows = pd.DataFrame(
        {
            "model": "A",
            "image": zoo.images.names,
            "truth": [zoo.labels.ids[at] for at in zoo.truth],
            "label": ["cat-face"] * 6 + ["fox"] * 6,
            "score": np.linspace(0.1, 0.9, 12),
        }
    )
    return zoo, rows


def test_prediction_grid_marks_the_wrong_ones_by_sign_words_and_frame(predicted):
    zoo, rows = predicted
    figure = plots.prediction_grid(zoo, rows)
    assert len(figure.axes) == 12
    names = dict(zip(zoo.labels.ids, zoo.labels.names, strict=True))
    for axis, row, image in zip(figure.axes, rows.to_dict("records"), zoo.images, strict=True):
        np.testing.assert_array_equal(axis.images[0].get_array(), image)
        given = f"{names[row['label']]}, {row['score']:.2f}"
        right = row["label"] == row["truth"]
        expected = f"✓ {given}" if right else f"✗ {given}\n({names[row['truth']]})"
        assert axis.get_title() == expected
        assert all(spine.get_visible() is not right for spine in axis.spines.values())


def test_prediction_grid_draws_by_chance(predicted, monkeypatch):
    zoo, rows = predicted
    monkeypatch.setattr(plots.benchmark, "PICTURES", 5)
    titles = [
        [axis.get_title() for axis in plots.prediction_grid(zoo, rows, seed=seed).axes]
        for seed in (0, 0, 1)
    ]
    assert titles[0] == titles[1] != titles[2] and len(titles[0]) == 5


def test_prediction_grid_of_what_does_not_fit(predicted):
    zoo, rows = predicted
    both = pd.concat([rows, rows.assign(model="B")])
    with pytest.raises(MeznetError, match="predictions must be of one net, not of 2"):
        plots.prediction_grid(zoo, both)
    with pytest.raises(MeznetError, match='has no image "cat-face/'):
        plots.prediction_grid(zoo.take(range(4, 12)), rows)
