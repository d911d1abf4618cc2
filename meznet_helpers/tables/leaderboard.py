"""The one table of everything."""

from typing import TYPE_CHECKING

from meznet_helpers.tables.accuracies import _with_interval
from meznet_helpers.tables.base import plain

if TYPE_CHECKING:
    import pandas as pd
    from great_tables import GT


def leaderboard(table: "pd.DataFrame", title: str) -> "GT":
    """Show every labeler: accuracies with intervals, calibration and cost.

    Parameters
    ----------
    table : DataFrame
        As `meznet_helpers.book.leaderboard.build` returns it.
    title : str
        n is added to it.

    Returns
    -------
    great_tables.GT

    Examples
    --------
    >>> from meznet_helpers.book.leaderboard import read
    >>> "llm/captioner@tiny" in leaderboard(read(), "All").as_raw_html()
    True
    """
    from great_tables import loc, style

    shown = table[["labeler"]].copy()
    for k in (1, 5):
        ends = (table[f"top{k}_low"], table[f"top{k}_high"])
        shown[f"top{k}"] = _with_interval(table[f"top{k}"], *ends)
    shown = shown.join(table[["log_loss", "ece", "ms", "mb"]]).rename(columns={"mb": "size_mb"})
    n = int(table["n"].iloc[0])
    return (
        plain(shown, f"{title}, n = {n:,}")
        .tab_style(style.css("white-space: nowrap"), loc.body(["labeler", "top1", "top5"]))
        .tab_options(table_font_size="80%")  # all columns beside each other on a page
        .fmt_number("log_loss", decimals=2)
        .fmt_percent("ece", decimals=1)
        .fmt_number(["ms", "size_mb"], decimals=1)
    )
