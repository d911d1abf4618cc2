"""Tables of nets: what is published of them, what they cost, and what fine-tuning makes of them."""

import pandas as pd
from great_tables import GT

from meznet_helpers.plots import short
from meznet_helpers.tables.base import interval_cells, plain

_COLUMNS = {
    "model": "model",
    "weights": "from weights",
    "size": "input, px",
    "parameters": "parameters",
    "size_mb": "MB",
    "n": "n",
    "top-1": "accuracy",
    "loss": "loss",
    "train_s": "training, s",
    "train_ms": "training, ms/step",
    "predict_s": "prediction, s",
    "predict_ms": "prediction, ms/step",
}


def published(table: pd.DataFrame, title: str) -> GT:
    """Show rows of Keras' published table.

    Parameters
    ----------
    table : DataFrame
        As `meznet_helpers.book.published.keras_applications` returns it.
    title : str

    Returns
    -------
    great_tables.GT
        Figures Keras does not publish show as a dash.

    Examples
    --------
    >>> from meznet_helpers.book.published import keras_applications
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


def cost(table: pd.DataFrame, title: str) -> GT:
    """Show what nets cost.

    Parameters
    ----------
    table : DataFrame
        As `meznet_helpers.measure.timing.measure` returns it.
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


def fine_tuned(table: pd.DataFrame, title: str) -> GT:
    """Show how accurate fine-tuned nets are, and what they cost.

    Parameters
    ----------
    table : DataFrame
        As `meznet_helpers.book.benchmark.run` or `published` returns it.
    title : str

    Returns
    -------
    great_tables.GT
        Accuracies with their 95 % intervals where the table has them. Of the weights a net started
        from, the tag: `tiny`, `imagenet`, or `random`. Columns that the table lacks are left out.

    Examples
    --------
    >>> from meznet_helpers.book.benchmark import published
    >>> "99.3%" in fine_tuned(published(), "The document's").as_raw_html()
    True
    """
    shown = table.assign(**{"top-1": table["accuracy"].map("{:.1%}".format)})
    if "low" in table:
        shown["top-1"] = interval_cells(table["accuracy"], table["low"], table["high"])
    if "weights" in table:
        shown["weights"] = table["weights"].str.rpartition("@")[2]
    columns = {column: head for column, head in _COLUMNS.items() if column in shown}
    integers, millions = (
        [column for column in wanted if column in columns]
        for wanted in (("size", "n"), ("parameters",))
    )
    return (
        plain(shown[list(columns)], title)
        .cols_label(columns)
        .fmt_number("loss", decimals=2)
        .fmt_integer(integers)
        .fmt_number(["size_mb", "train_s", "predict_s"], decimals=1)
        .fmt_number(["train_ms", "predict_ms"], decimals=0)
        .fmt_number(millions, decimals=2, pattern="{x} M")
    )
