"""Every great-tables table of the book. Names that a file or a user chose are escaped."""

import base64
import html
import io
from typing import TYPE_CHECKING, Any

import numpy as np

from meznet_helpers.plots import short

if TYPE_CHECKING:
    import pandas as pd
    from great_tables import GT

    from meznet_helpers.predictions import Predictions

_HEADINGS = {
    "model": "model",
    "size_mb": "MB",
    "top1": "top-1",
    "top5": "top-5",
    "depth": "depth",
    "parameters": "parameters",
    "ms_cpu": "ms, CPU",
    "ms_gpu": "ms, GPU",
    "ms": "ms",
    "condition": "condition",
    "hits": "hits",
    "accuracy": "accuracy",
    "interval": "95 % interval",
    "image": "image",
    "label_id": "WordNet id",
    "words": "words",
    "rank": "rank",
    "label": "label",
    "score": "score",
    "ratio": "times the first",
    "size": "input, px",
}


def published(table: "pd.DataFrame", title: str) -> "GT":
    """Show rows of Keras' published table.

    Parameters
    ----------
    table : DataFrame
        As `meznet_helpers.published.keras_applications` returns it.
    title : str

    Returns
    -------
    great_tables.GT
        Figures Keras does not publish show as a dash.

    Examples
    --------
    >>> from meznet_helpers.published import keras_applications
    >>> "71.3%" in published(keras_applications(), "All").as_raw_html()
    True
    """
    return (
        plain(table, title)
        .fmt_percent(["top1", "top5"], decimals=1)
        .fmt_number("size_mb", decimals=0)
        .fmt_number(["ms_cpu", "ms_gpu"], decimals=1)
        .fmt_number("parameters", decimals=1, pattern="{x} M")
        .fmt_integer("depth")
    )


def accuracy(table: "pd.DataFrame", title: str) -> "GT":
    """Show hits and accuracy with n and interval.

    Parameters
    ----------
    table : DataFrame
        With columns `model`, `n`, `hits`, `accuracy`, `low`, `high`; `k` and `condition` if wanted.
    title : str

    Returns
    -------
    great_tables.GT

    Examples
    --------
    >>> from meznet_helpers.spell import reference
    >>> "27.0%" in accuracy(reference(), "Hits").as_raw_html()
    True
    """
    interval = [
        f"{low:.1%} to {high:.1%}" for low, high in zip(table["low"], table["high"], strict=True)
    ]
    shown = table.drop(columns=["low", "high"]).assign(interval=interval)
    shown["model"] = shown["model"].map(short)
    return plain(shown, title).fmt_percent("accuracy", decimals=1).fmt_integer(["n", "hits"])


def labels_beside(picture: np.ndarray, predictions: "Predictions", image: str, k: int = 5) -> "GT":
    """Show an image in the header and the top labels of every model side by side below it.

    Parameters
    ----------
    picture : ndarray, shape (height, width, 3), uint8
    predictions : Predictions
    image : str
        Which image of the predictions it is.
    k : int
        Labels per model.

    Returns
    -------
    great_tables.GT
        One row per rank, one column per model; the score stands behind each label.

    Examples
    --------
    >>> from meznet_helpers.labels import from_names
    >>> from meznet_helpers.predictions import Predictions
    >>> probs = np.array([[[0.75, 0.25]]], np.float32)
    >>> guess = Predictions(probs, ("net",), ("a.png",), from_names(["cat", "dog"]))
    >>> shown = labels_beside(np.zeros((4, 4, 3), np.uint8), guess, "a.png", k=2)
    >>> "cat 0.75" in shown.as_raw_html()
    True
    """
    from great_tables import html as raw

    top = predictions.select(images=[image]).top(k)
    top["cell"] = [
        f"{label} {score:.2f}" for label, score in zip(top["label"], top["score"], strict=True)
    ]
    top["model"] = top["model"].map(short)
    wide = top.pivot(index="rank", columns="model", values="cell")[
        list(dict.fromkeys(top["model"]))
    ]
    name = html.escape(image, quote=True)
    words = f"The picture {name}, labeled below"
    header = f'{name}<br><img src="{_data_uri(picture)}" alt="{words}" style="height:120px">'
    return plain(wide.reset_index(), raw(header))


def shares(table: "pd.DataFrame", n: str, hits: dict[str, str], title: str) -> "GT":
    """Show counts of hits as accuracies with intervals.

    Parameters
    ----------
    table : DataFrame
        With a column `model`, a column of counts n, and columns of hits.
    n : str
        Name of the column of n.
    hits : dict of str to str
        Column of hits -> heading.
    title : str

    Returns
    -------
    great_tables.GT
        Each cell reads ``30.0% (29.1 to 30.9)``: accuracy and 95 % Wilson interval.

    Examples
    --------
    >>> import pandas as pd
    >>> row = pd.DataFrame({"model": ["keras/A@tiny"], "n": [10], "hits1": [7]})
    >>> "70.0% (39.7 to 89.2)" in shares(row, "n", {"hits1": "top-1"}, "Hits").as_raw_html()
    True
    """
    from meznet_helpers.evaluate import wilson

    shown = table[[column for column in table.columns if column not in hits]].copy()
    shown["model"] = shown["model"].map(short)
    for column, heading in hits.items():
        low, high = wilson(table[column].to_numpy(), table[n].to_numpy())
        share = table[column] / table[n]
        shown[heading] = [
            f"{a:.1%} ({100 * b:.1f} to {100 * c:.1f})"
            for a, b, c in zip(share, low, high, strict=True)
        ]
    table = plain(shown.rename(columns={n: "n"}), title).fmt_integer("n")
    return (
        table.fmt_number("parameters", decimals=2, pattern="{x} M")
        if "parameters" in shown
        else table
    )


def cost(table: "pd.DataFrame", title: str) -> "GT":
    """Show what nets cost.

    Parameters
    ----------
    table : DataFrame
        As `meznet_helpers.cost.measure` returns it.
    title : str

    Returns
    -------
    great_tables.GT

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"model": "keras/A@tiny", "size": 64, "parameters": 1.234, "size_mb": 4.9, "ms": 2.0}
    >>> "1.23 M" in cost(pd.DataFrame([row | {"ratio": 1.0}]), "Cost").as_raw_html()
    True
    """
    return (
        plain(table.assign(model=table["model"].map(short)), title)
        .fmt_number("parameters", decimals=2, pattern="{x} M")
        .fmt_number(["size_mb", "ms", "ratio"], decimals=1)
    )


def percent(table: "pd.DataFrame", title: str) -> "GT":
    """Show shares as percentages, one column per condition.

    Parameters
    ----------
    table : DataFrame
        Column `model`, and columns of numbers from 0 to 1.
    title : str

    Returns
    -------
    great_tables.GT

    Examples
    --------
    >>> import pandas as pd
    >>> "25.0%" in percent(pd.DataFrame({"model": ["a"], "own": [0.25]}), "Top-1").as_raw_html()
    True
    """
    numbers = [column for column in table.columns if column != "model"]
    return plain(table.assign(model=table["model"].map(short)), title).fmt_percent(
        numbers, decimals=1
    )


def plain(table: "pd.DataFrame", title: Any = None) -> "GT":
    """Show a data frame as it is, with plain headings and dashes for missing values.

    Parameters
    ----------
    table : DataFrame
    title : str, or great_tables.html, optional

    Returns
    -------
    great_tables.GT

    Examples
    --------
    >>> import pandas as pd
    >>> "95 % interval" in plain(pd.DataFrame({"interval": ["a"]})).as_raw_html()
    True
    """
    from great_tables import GT

    labels = {column: _HEADINGS.get(column, column) for column in table.columns}
    shown = GT(table).cols_label(labels).sub_missing(missing_text="-")
    shown = shown.tab_options(table_font_size="90%", table_margin_left="0px")
    if "score" in table.columns:
        shown = shown.fmt_number("score", decimals=3)
    return shown.tab_header(title) if title is not None else shown


def _data_uri(picture: np.ndarray, height: int = 240) -> str:
    from PIL import Image

    small = Image.fromarray(picture)
    small.thumbnail((10 * height, height))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
