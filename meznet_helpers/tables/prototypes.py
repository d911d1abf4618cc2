"""Tables about prototypes: accuracies over partitions, and shares with their intervals."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from meznet_helpers.measure import repeats
from meznet_helpers.tables.accuracies import _with_interval
from meznet_helpers.tables.base import plain

if TYPE_CHECKING:
    import pandas as pd
    from great_tables import GT


def partitions(
    judged: "Mapping[str, pd.DataFrame]", title: str, *, beside: "pd.DataFrame | None" = None
) -> "GT":
    """Show top-1 and top-4 accuracy over partitions, the document's below them.

    Parameters
    ----------
    judged : mapping of str to DataFrame
        Tables of judgments by network; see `meznet_helpers.measure.repeats`.
    title : str
    beside : DataFrame, optional
        `model`, `accuracy`, `half`, `top4`, `top4_half`, as the document prints them.

    Returns
    -------
    great_tables.GT
        Means with Student's 95 % intervals, and the least and the most accurate partition.

    Examples
    --------
    >>> import pandas as pd
    >>> judged = pd.DataFrame({"run": [0, 0, 1, 1], "rank": [1, 3, 1, 1]})
    >>> "75.0% (0.0 to 100.0)" in partitions({"net": judged}, "Two").as_raw_html()
    True
    """
    import pandas as pd

    rows = []
    for name, table in judged.items():
        ends = repeats.accuracy(table, (1, 4)).set_index("k")
        cells = _with_interval(ends["accuracy"], ends["low"].clip(0), ends["high"].clip(upper=1))
        top = ends.loc[1]
        rows.append([name, *cells, f"{top['least']:.1%} to {top['most']:.1%}", "here"])
    for row in () if beside is None else beside.itertuples():
        cells = [
            *_with_interval([row.accuracy], [row.accuracy - row.half], [row.accuracy + row.half]),
            *_with_interval([row.top4], [row.top4 - row.top4_half], [row.top4 + row.top4_half]),
        ]
        rows.append([row.model, *cells, "-", "the document"])
    columns = ["backbone", "top-1", "top-4", "single partitions, top-1", "from"]
    return plain(pd.DataFrame(rows, columns=columns), title)


def with_intervals(table: "pd.DataFrame", title: str) -> "GT":
    """Show a table whose accuracies or shares have intervals in columns `low` and `high`.

    Parameters
    ----------
    table : DataFrame
        One of its columns is called `accuracy` or `rejected`; `least`, `most` and `auroc` are shown
        as percentages, too.
    title : str

    Returns
    -------
    great_tables.GT

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"kind": "mean", "accuracy": 0.5, "low": 0.4, "high": 0.6}
    >>> "50.0% (40.0 to 60.0)" in with_intervals(pd.DataFrame([row]), "One").as_raw_html()
    True
    """
    column = "accuracy" if "accuracy" in table else "rejected"
    shown = table.drop(columns=["low", "high"])
    ends = (table["low"].clip(0), table["high"].clip(upper=1))
    shown[column] = _with_interval(table[column], *ends)
    others = [name for name in ("least", "most", "auroc") if name in shown]
    whole = [name for name in ("n", "runs") if name in shown]
    return plain(shown, title).fmt_percent(others, decimals=1).fmt_integer(whole)
