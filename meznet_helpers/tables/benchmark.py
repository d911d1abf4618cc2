"""The table of nets that were fine-tuned on one task."""

from typing import TYPE_CHECKING

from meznet_helpers.tables.accuracies import _with_interval
from meznet_helpers.tables.base import plain

if TYPE_CHECKING:
    import pandas as pd
    from great_tables import GT

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


def fine_tuned(table: "pd.DataFrame", title: str) -> "GT":
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
        shown["top-1"] = _with_interval(table["accuracy"], table["low"], table["high"])
    if "weights" in table:
        shown["weights"] = table["weights"].str.rpartition("@")[2]
    columns = {column: head for column, head in _COLUMNS.items() if column in shown}
    integers = [column for column in ("size", "n") if column in columns]
    result = plain(shown[list(columns)], title).cols_label(columns)
    result = result.fmt_number("loss", decimals=2).fmt_integer(integers)
    result = result.fmt_number(["size_mb", "train_s", "predict_s"], decimals=1)
    result = result.fmt_number(["train_ms", "predict_ms"], decimals=0)
    if "parameters" in columns:
        result = result.fmt_number("parameters", decimals=2, pattern="{x} M")
    return result
