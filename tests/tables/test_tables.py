"""Tests of meznet_helpers.tables: what the reader finds in the cells."""

import base64
import io

import numpy as np
import pandas as pd
import pytest
from lxml import html
from PIL import Image

from meznet_helpers import tables
from meznet_helpers.book.published import keras_applications, rows
from meznet_helpers.book.spell import reference
from meznet_helpers.labels import from_names
from meznet_helpers.predictions import Predictions

EVIL = "<script>alert(1)</script>&"


def parsed(table):
    """The page's element, the column headings, and the body's cells as text."""
    page = html.fromstring(table.as_raw_html())
    heads = [cell.text_content() for cell in page.xpath("//th[@scope='col']")]
    body = [[cell.text_content() for cell in row.xpath("./td")] for row in page.xpath("//tbody/tr")]
    return page, heads, body


def title(page):
    return page.xpath("//td[contains(@class, 'gt_title')]")[0]


def guess(models=("keras/A@tiny", "keras/B@tiny"), images=("a.png", "b.png"), names="cat dog owl"):
    """Predictions that differ in every cell."""
    labels = from_names(names.split() if isinstance(names, str) else names)
    raw = np.random.default_rng(0).random((len(models), len(images), len(labels)))
    return Predictions((raw / raw.sum(2, keepdims=True)).astype(np.float32), models, images, labels)


# ---- one table each


def test_published():
    chosen = rows(keras_applications(), ["VGG16", "EfficientNetV2B0", "MobileNetV3Small"])
    page, heads, body = parsed(tables.published(chosen, "Some models"))
    assert title(page).text_content() == "Some models"
    assert heads == ["model", "MB", "top-1", "top-5", "parameters", "depth", "ms, CPU", "ms, GPU"]
    assert body == [
        ["VGG16", "528", "71.3%", "90.1%", "138.4 M", "16", "69.5", "4.2"],
        ["EfficientNetV2B0", "29", "78.7%", "94.3%", "7.2 M", "-", "-", "-"],
        ["MobileNetV3Small", *"-------"],
    ]


def test_accuracy():
    page, heads, body = parsed(tables.accuracy(reference().query("n == 500 and k == 10"), "Hits"))
    assert title(page).text_content() == "Hits"
    assert heads == ["condition", "model", "k", "n", "hits", "accuracy", "95 % interval"]
    assert [row[0] for row in body] == ["caffe, nearest", "own, nearest", "own, bilinear"]
    assert body[2][1:] == ["MobileNetV2 1.0", "10", "500", "315", "63.0%", "58.7% to 67.1%"]


def test_accuracy_of_thousands_and_of_registered_names():
    row = {"model": "keras/A@tiny", "n": 10_000, "hits": 4512, "accuracy": 0.4512}
    _, _, body = parsed(tables.accuracy(pd.DataFrame([row | {"low": 0.4415, "high": 0.461}]), ""))
    assert body == [["A", "10,000", "4,512", "45.1%", "44.1% to 46.1%"]]


def test_labels_beside():
    predictions = guess()
    picture = np.full((30, 60, 3), (200, 10, 10), np.uint8)
    page, heads, body = parsed(tables.labels_beside(picture, predictions, "b.png", k=2))
    assert heads == ["rank", "A", "B"]
    top = predictions.select(images=["b.png"]).top(2)
    for column, model in enumerate(predictions.models, 1):
        part = top[top["model"] == model]
        expected = [f"{row.label} {row.score:.2f}" for row in part.itertuples()]
        assert [row[column] for row in body] == expected
    assert [row[0] for row in body] == ["1", "2"]
    (image,) = title(page).xpath(".//img")
    assert image.get("alt") == "The picture b.png, labeled below"
    assert title(page).text_content() == "b.png"
    kind, data = image.get("src").split(",")
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
    assert kind == "data:image/jpeg;base64" and shown.shape == (30, 60, 3)
    np.testing.assert_allclose(shown[15, 30], (200, 10, 10), atol=6)


def test_labels_beside_shrinks_big_pictures():
    page, *_ = parsed(tables.labels_beside(np.zeros((2400, 1200, 3), np.uint8), guess(), "a.png"))
    data = page.xpath("//img/@src")[0].split(",")[1]
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (120, 240)


def test_shares():
    table = pd.DataFrame(
        {
            "model": ["keras/A@tiny", "keras/B@tiny"],
            "parameters": [1.234, 0.5],
            "count": [10_000, 10],
            "hits1": [4500, 7],
            "hits5": [10_000, 0],
        }
    )
    headings = {"hits1": "top-1", "hits5": "top-5"}
    page, heads, body = parsed(tables.shares(table, "count", headings, "Nets"))
    assert title(page).text_content() == "Nets"
    assert heads == ["model", "parameters", "n", "top-1", "top-5"]
    assert body == [
        ["A", "1.23 M", "10,000", "45.0% (44.0 to 46.0)", "100.0% (100.0 to 100.0)"],
        ["B", "0.50 M", "10", "70.0% (39.7 to 89.2)", "0.0% (0.0 to 27.8)"],
    ]


def test_cost():
    row = {"model": "keras/A@tiny", "size": 64, "parameters": 1.234, "size_mb": 4.94, "ms": 2.04}
    _, heads, body = parsed(tables.cost(pd.DataFrame([row | {"ratio": 1.26}]), "Cost"))
    assert heads == ["model", "input, px", "parameters", "MB", "ms", "times the first"]
    assert body == [["A", "64", "1.23 M", "4.9", "2.0", "1.3"]]


def test_percent():
    table = pd.DataFrame({"model": ["keras/A@tiny", "B"], "own": [0.25, 1], "caffe": [np.nan, 0]})
    _, heads, body = parsed(tables.percent(table, "Top-1"))
    assert heads == ["model", "own", "caffe"]
    assert body == [["A", "25.0%", "-"], ["B", "100.0%", "0.0%"]]
    assert table["model"].tolist() == ["keras/A@tiny", "B"]


def test_plain():
    table = guess().top(1).assign(note=["x", None, "", "y"])
    page, heads, body = parsed(tables.plain(table))
    assert heads == ["image", "model", "rank", "WordNet id", "label", "score", "note"]
    assert not page.xpath("//*[contains(@class, 'gt_title')]")
    assert [row[6] for row in body] == ["x", "-", "", "y"]
    assert [row[5] for row in body] == [f"{score:.3f}" for score in table["score"]]


# ---- what a file or a user wrote is escaped


def evil_tables():
    """Every function of the module, with markup wherever a name can stand."""
    one = {"model": [EVIL], "size_mb": [1.0], "parameters": [1.0]}
    facts = one | {"top1": [0.5], "top5": [0.5], "depth": [1], "ms_cpu": [1.0], "ms_gpu": [1.0]}
    hits = {"model": [EVIL], "condition": [EVIL], "n": [9], "hits": [4], "accuracy": [0.4]}
    picture = np.zeros((4, 4, 3), np.uint8)
    bad = guess((EVIL, "b"), (EVIL,), [EVIL, "dog"])
    yield "published", tables.published(pd.DataFrame(facts), EVIL)
    yield "accuracy", tables.accuracy(pd.DataFrame(hits | {"low": [0.2], "high": [0.6]}), EVIL)
    yield "labels_beside", tables.labels_beside(picture, bad, EVIL)
    yield "cost", tables.cost(pd.DataFrame(one | {"size": [1], "ms": [1], "ratio": [1.0]}), EVIL)
    yield "percent", tables.percent(pd.DataFrame({"model": [EVIL], EVIL: [0.1]}), EVIL)
    counts = pd.DataFrame({"model": [EVIL], "n": [9], "hits": [4]})
    yield "shares", tables.shares(counts, "n", {"hits": EVIL}, EVIL)
    yield "plain", tables.plain(pd.DataFrame({"image": [EVIL], EVIL: [EVIL]}), EVIL)


@pytest.mark.parametrize("number", range(7))
def test_names_are_escaped(number):
    name, table = list(evil_tables())[number]
    page, heads, body = parsed(table)
    assert not page.xpath("//script"), name
    assert EVIL in title(page).text_content()
    assert any(EVIL in text for row in [heads, *body] for text in row), name
    assert "<script" not in table.as_raw_html()


def test_an_image_name_cannot_leave_its_attribute():
    name = '" onerror="alert(1).png'
    shown = tables.labels_beside(np.zeros((4, 4, 3), np.uint8), guess(images=(name,)), name)
    (image,) = parsed(shown)[0].xpath("//img")
    assert image.get("alt") == f"The picture {name}, labeled below"
    assert image.get("onerror") is None


# ---- ensembles


def test_gains_in_points_with_interval_and_p():
    rows = [
        ("keras/A@tiny", 0.36, 0.35, 0.37, 0, 0, 0, 1, 2.7, 0.076),
        (EVIL, 0.38, 0.37, 0.39, 0.02, 0.01, 0.03, 1e-7, 2.6, 0.1),
        ("soft", 0.36, 0.35, 0.37, 0, -0.01, 0.01, 1, 2.6, 0.1),
    ]
    columns = [
        "model",
        "accuracy",
        "low",
        "high",
        "gain",
        "gain_low",
        "gain_high",
        "p",
        "log_loss",
        "ece",
    ]
    page, heads, body = parsed(
        tables.gains(pd.DataFrame(rows, columns=columns).assign(n=5000), "Gains")
    )
    assert heads == ["model", "n", "top-1", "gain", "p", "log loss", "ECE"]
    assert body[0] == ["A", "5,000", "36.0% (35.0 to 37.0)", "-", "1.0000", "2.70", "0.076"]
    assert body[1][3:5] == ["+2.0 (+1.0 to +3.0)", "< 0.0001"]
    assert body[2][3] == "+0.0 (-1.0 to +1.0)"  # the same accuracy, by other images
    assert not page.xpath("//script")


def test_bookkeeping_of_hits_and_words():
    row = {"model": "keras/A@tiny", "n": 2000, "hits": 1200, "rows": 1500, "false_rows": 281}
    row |= {"weight": 0.637, "weight_by_words": 0.538}
    _, heads, body = parsed(tables.bookkeeping(pd.DataFrame([row]), "Hits"))
    assert heads[2:5] == ["hits", "rows by words", "of these, false"]
    assert body == [["A", "2,000", "1,200", "1,500", "281", "63.7%", "53.8%"]]


def test_probed_has_a_column_for_each_way():
    row = {"features": "net", "classifier": "forest", "n": 1200, "accuracy": 0.7}
    one = pd.DataFrame(
        [row | {"low": 0.6, "high": 0.8}, row | {"features": "<b>", "low": 0.1, "high": 0.9}]
    )
    other = pd.DataFrame([row | {"accuracy": 0.5, "low": 0.4, "high": 0.6}])
    shown = tables.probed({"by picture": one, "style held out": other}, "Both").as_raw_html()
    page = html.fromstring(shown)
    cells = [
        [cell.text_content() for cell in line.xpath("./td")] for line in page.xpath("//tbody/tr")
    ]
    assert cells == [
        ["net", "forest", "1,200", "70.0% (60.0 to 80.0)", "50.0% (40.0 to 60.0)"],
        ["<b>", "forest", "1,200", "70.0% (10.0 to 90.0)", "-"],
    ]


def test_shares_without_models():
    shown = tables.shares(
        pd.DataFrame({"pictures": ["x"], "n": [4], "hits": [1]}), "n", {"hits": "right"}, "T"
    )
    assert "25.0% (4.6 to 69.9)" in shown.as_raw_html()
