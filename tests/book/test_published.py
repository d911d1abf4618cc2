"""Tests of meznet_helpers.book.published."""

import csv
import http.server
import json
import re
import socket

import numpy as np
import pandas as pd
import pytest

from meznet_helpers.assets import profile
from meznet_helpers.book import published
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import registry

HEADS = ["Model", "Size (MB)", "Top-1 Accuracy", "Top-5 Accuracy", "Parameters", "Depth"]
HEADS += ["Time (ms) per inference step (CPU)", "Time (ms) per inference step (GPU)"]
SHAPES = {
    "model": r"[A-Z]\w+",
    "size_mb": r"\d+(\.\d+)?",
    "top1": r"\d\d\.\d%|-",
    "top5": r"\d\d\.\d%|-",
    "parameters": r"\d+\.\d+M",
    "depth": r"\d+|-",
    "ms_cpu": r"\d+\.\d+|-",
    "ms_gpu": r"\d+\.\d+|-",
}


@pytest.fixture(scope="module")
def printed():
    """The rows of the file as Keras prints them."""
    path = profile.data() / "published" / "keras-applications.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def page(rows):
    """A page as Keras' site has it, with the table of these rows."""
    head = "".join(f"<th>{name}</th>" for name in HEADS)
    body = "".join(
        "<tr>" + "".join(f"<td>{v}</td>" for v in row.values()) + "</tr>" for row in rows
    )
    return f"<h1>Keras Applications</h1><table><tr>{head}</tr>{body}</table>"


@pytest.fixture
def server(serving, monkeypatch):
    """A server on this machine; `answer` holds what it says: status and text."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *args):
            """Say nothing."""

        def do_GET(self):
            status, text = self.server.answer
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(text.encode())

    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as running:
        monkeypatch.setattr(published, "PAGE", running.url)
        yield running


# ---- the table in the repository


def test_the_file_has_the_shape_of_keras_table(printed):
    assert list(printed[0]) == list(published.COLUMNS) == list(SHAPES)
    for row in printed:
        for column, text in row.items():
            assert re.fullmatch(SHAPES[column], text), (row["model"], column, text)


def test_the_numbers_are_those_printed(printed):
    table = published.keras_applications()
    assert table["model"].tolist() == [row["model"] for row in printed]
    for column in published.COLUMNS[1:]:
        for text, value in zip((row[column] for row in printed), table[column], strict=True):
            if text == "-":
                assert np.isnan(value)
            elif text.endswith("%"):
                assert f"{value:.1%}" == text
            else:
                assert float(text.removesuffix("M")) == value


def test_a_dash_is_not_a_number_and_nothing_else_is(printed):
    dashes = sum(text == "-" for row in printed for text in row.values())
    assert dashes > 12
    assert published.keras_applications().isna().sum().sum() == dashes


def test_every_row_is_a_registered_application(printed):
    names = [row["model"] for row in printed]
    assert len(set(names)) == len(names) == 38
    applications = {
        one.application for one in registry().values() if one.tag == "imagenet" and not one.asset
    }
    assert set(names) <= applications
    assert applications - set(names) == {"MobileNetV3Small", "MobileNetV3Large"}


def test_bigger_files_hold_more_parameters():
    table = published.keras_applications()
    ratio = (table["size_mb"] / table["parameters"]).to_numpy()  # 32-bit floats: four bytes each
    np.testing.assert_allclose(ratio[table["model"] != "EfficientNetB0"], 4, rtol=0.1)
    both = table.dropna(subset=["top1", "top5"])
    assert len(both) == 33 and (both["top5"] > both["top1"]).all()


# ---- rows of it


def test_best_below():
    table = published.keras_applications()
    found = published.best_below(table, 100)
    assert (found["size_mb"] < 100).all()
    others = table[(table["size_mb"] < 100) & ~table["model"].isin(found["model"])]
    assert found["top5"].min() >= others["top5"].max()
    assert found["top5"].is_monotonic_decreasing


def test_best_below_puts_the_unknown_last_and_keeps_it():
    table = pd.DataFrame(
        {"model": list("abcd"), "size_mb": [1, 100, 2, 3], "top5": [np.nan, 0.99, 0.8, 0.9]}
    )
    assert published.best_below(table, 100)["model"].tolist() == ["d", "c", "a"]
    assert len(published.best_below(pd.concat([table] * 4), 100)) == 10


def test_rows_keep_the_order_and_the_missing():
    found = published.rows(published.keras_applications(), ["VGG16", "Nowhere", "MobileNet"])
    assert found["model"].tolist() == ["VGG16", "Nowhere", "MobileNet"]
    assert found.iloc[1, 1:].isna().all() and found.iloc[[0, 2], 1:].notna().all(axis=None)


# ---- the project's own nets


def test_tiny_nets(tmp_path, monkeypatch):
    facts = {"mode": "tf", "size": 64, "epochs": 9, "n": 100, "hits1": 40, "hits5": 70}
    facts |= {"n_turned": 20, "hits1_upright": 8, "hits1_upside_down": 2, "options": {}}
    nets = {
        "B": {"parameters": 2_500_000},
        "A": {"parameters": 1_000_000},
        "C": {"parameters": 3_000_000, "framework": "timm", "tag": "tiny"},
        "C-photos": {"parameters": 3_000_000, "framework": "timm", "tag": "photos"},
    }
    for name, net in nets.items():
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        text = json.dumps(facts | {"application": name[0]} | net)
        (folder / "net.json").write_text(text, encoding="utf-8")
    monkeypatch.setattr(profile, "data", lambda: tmp_path)
    table = published.tiny_nets()
    assert table["model"].tolist() == ["keras/A@tiny", "keras/B@tiny", "timm/C@tiny"]
    assert table["folder"].tolist() == ["A", "B", "C"]
    assert table["parameters"].tolist() == [1.0, 2.5, 3.0]
    every = published.tiny_nets(every_tag=True)
    assert every["model"].tolist() == [*table["model"], "timm/C@photos"]
    assert every["folder"].tolist() == ["A", "B", "C", "C-photos"]
    assert table.loc[1, ["n", "hits1", "hits5", "n_turned"]].tolist() == [100, 40, 70, 20]


# ---- refresh


def test_refresh(server, printed):
    server.answer = 200, "<table><tr><th>Model</th></tr><tr><td>x</td></tr></table>" + page(printed)
    pd.testing.assert_frame_equal(published.refresh(), published.keras_applications())


def test_refresh_reads_what_is_new(server, printed):
    server.answer = 200, page([*printed[:2], printed[0] | {"model": "New", "top1": "91.5%"}])
    assert published.refresh()["top1"].tolist() == [0.79, 0.713, 0.915]


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (500, "", "gave no table (HTTPError)"),
        (404, "gone", "gave no table (HTTPError)"),
        (200, "<p>Moved.</p>", "gave no table (ValueError)"),
        (200, "", "gave no table (XMLSyntaxError)"),
        (200, "<table><tr><th>Model</th></tr><tr><td>x</td></tr></table>", "no table of 8 columns"),
    ],
)
def test_refresh_says_what_is_wrong(server, status, text, said):
    server.answer = status, text
    with pytest.raises(MeznetError) as error:
        published.refresh()
    assert said in str(error.value) and server.url in str(error.value)
    assert str(error.value).endswith("The table in data/published stays as it is.")


def test_refresh_of_a_table_with_other_figures(server, printed):
    server.answer = 200, page([printed[0] | {"depth": "deep"}])
    with pytest.raises(MeznetError, match="gave no table"):
        published.refresh()


def test_refresh_without_a_server(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setattr(published, "PAGE", f"http://127.0.0.1:{port}/")
    with pytest.raises(MeznetError, match=r"gave no table \(ConnectionError\)"):
        published.refresh()


def test_refresh_offline(server, printed, monkeypatch):
    server.answer = 200, page(printed)
    monkeypatch.setenv("MEZNET_OFFLINE", "1")
    with pytest.raises(MeznetError, match="MEZNET_OFFLINE is on"):
        published.refresh()
