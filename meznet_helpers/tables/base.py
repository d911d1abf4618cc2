"""The table that all others are made of."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from great_tables import GT

HEADINGS = {
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
    "gain": "gain",
    "log_loss": "log loss",
    "ece": "ECE",
    "ms_per_point": "ms per point",
    "rows": "rows by words",
    "false_rows": "of these, false",
    "weight": "weight by id",
    "weight_by_words": "weight by words",
}


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

    labels = {column: HEADINGS.get(column, column) for column in table.columns}
    shown = GT(table).cols_label(labels).sub_missing(missing_text="-")
    shown = shown.tab_options(table_font_size="90%", table_margin_left="0px")
    if "score" in table.columns:
        shown = shown.fmt_number("score", decimals=3)
    return shown.tab_header(title) if title is not None else shown
