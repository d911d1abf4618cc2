"""The table that all others are made of."""

from collections.abc import Iterable
from typing import Any

import pandas as pd
from great_tables import GT

HEADINGS = {  # of columns that are not called as they read
    "size_mb": "MB",
    "top1": "top-1",
    "top5": "top-5",
    "ms_cpu": "ms, CPU",
    "ms_gpu": "ms, GPU",
    "interval": "95 % interval",
    "label_id": "WordNet id",
    "ratio": "times the first",
    "size": "input, px",
    "log_loss": "log loss",
    "ece": "ECE",
    "ms_per_point": "ms per point",
    "rows": "rows by words",
    "false_rows": "of these, false",
    "weight": "weight by id",
    "weight_by_words": "weight by words",
}


def interval_cells(
    share: Iterable[float], low: Iterable[float], high: Iterable[float]
) -> list[str]:
    """Write shares as ``30.0% (29.1 to 30.9)``."""
    return [
        f"{a:.1%} ({100 * b:.1f} to {100 * c:.1f})"
        for a, b, c in zip(share, low, high, strict=True)
    ]


def plain(table: pd.DataFrame, title: Any = None) -> GT:
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
    labels = {column: HEADINGS.get(column, column) for column in table.columns}
    shown = GT(table).cols_label(labels).sub_missing(missing_text="-")
    shown = shown.tab_options(table_font_size="90%", table_margin_left="0px")
    if "score" in table.columns:
        shown = shown.fmt_number("score", decimals=3)
    return shown.tab_header(title) if title is not None else shown
