"""Tests of meznet_helpers.tables.benchmark: what the reader finds in the cells."""

import pandas as pd
from lxml import html

from meznet_helpers import tables
from meznet_helpers.book import benchmark

EVIL = "<script>alert(1)</script>&"


def parsed(table):
    page = html.fromstring(table.as_raw_html())
    heads = [cell.text_content() for cell in page.xpath("//th[@scope='col']")]
    body = [[cell.text_content() for cell in row.xpath("./td")] for row in page.xpath("//tbody/tr")]
    return page, heads, body


def test_fine_tuned():
    row = {"model": "ViT", "framework": "timm", "weights": "random", "size": 96, "n": 2700}
    row |= {"n_train": 2700, "loss": 2.3456, "hits": 675, "accuracy": 0.25, "low": 0.234}
    row |= {"high": 0.267, "parameters": 5.52882, "size_mb": 11.072, "train_s": 312.44}
    row |= {"train_ms": 743.9, "predict_s": 12.06, "predict_ms": 141.9, "machine": "m"}
    other = row | {"model": "MobileNetV2", "weights": "keras/MobileNetV2@tiny"}
    page, heads, body = parsed(tables.fine_tuned(pd.DataFrame([row, other]), "Ten"))
    assert page.xpath("//td[contains(@class, 'gt_title')]")[0].text_content() == "Ten"
    assert heads == [
        "model",
        "from weights",
        "input, px",
        "parameters",
        "MB",
        "n",
        "accuracy",
        "loss",
        "training, s",
        "training, ms/step",
        "prediction, s",
        "prediction, ms/step",
    ]
    cells = ["96", "5.53 M", "11.1", "2,700", "25.0% (23.4 to 26.7)", "2.35", "312.4", "744"]
    assert body == [
        ["ViT", "random", *cells, "12.1", "142"],
        ["MobileNetV2", "tiny", *cells, "12.1", "142"],
    ]


def test_fine_tuned_of_the_document():
    _, heads, body = parsed(tables.fine_tuned(benchmark.published(), "The document's"))
    assert heads[:4] == ["model", "MB", "accuracy", "loss"] and len(body) == 10
    assert body[0] == ["MobileNetV3Small", "16.8", "91.8%", "0.35", "75.0", "260", "7.0", "76"]


def test_names_are_escaped():
    evil = benchmark.published().assign(model=EVIL, weights=EVIL)
    page, _, body = parsed(tables.fine_tuned(evil, EVIL))
    assert not page.xpath("//script") and body[0][:2] == [EVIL, EVIL]
