"""Tables of accuracies, with n and their intervals."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from meznet_helpers.plots import short
from meznet_helpers.tables.base import plain

if TYPE_CHECKING:
    import pandas as pd
    from great_tables import GT


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
    >>> from meznet_helpers.book.spell import reference
    >>> "27.0%" in accuracy(reference(), "Hits").as_raw_html()
    True
    """
    interval = [
        f"{low:.1%} to {high:.1%}" for low, high in zip(table["low"], table["high"], strict=True)
    ]
    shown = table.drop(columns=["low", "high"]).assign(interval=interval)
    shown["model"] = shown["model"].map(short)
    return plain(shown, title).fmt_percent("accuracy", decimals=1).fmt_integer(["n", "hits"])


def shares(table: "pd.DataFrame", n: str, hits: dict[str, str], title: str) -> "GT":
    """Show counts of hits as accuracies with intervals.

    Parameters
    ----------
    table : DataFrame
        With a column of counts n, and columns of hits; a column `model` is shown in short.
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
    from meznet_helpers.measure import proportion

    shown = table[[column for column in table.columns if column not in hits]].copy()
    if "model" in shown:
        shown["model"] = shown["model"].map(short)
    for column, heading in hits.items():
        share = proportion(table[column].to_numpy(), table[n].to_numpy())
        shown[heading] = _with_interval(share["accuracy"], share["low"], share["high"])
    table = plain(shown.rename(columns={n: "n"}), title).fmt_integer("n")
    return (
        table.fmt_number("parameters", decimals=2, pattern="{x} M")
        if "parameters" in shown
        else table
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


def gains(table: "pd.DataFrame", title: str) -> "GT":
    """Show accuracies beside what they gain on one of the models.

    Parameters
    ----------
    table : DataFrame
        As `meznet_helpers.measure.against` returns it.
    title : str

    Returns
    -------
    great_tables.GT
        `gain` in points, with the 95 % interval of a paired bootstrap; `p` of McNemar's test.

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"model": "soft", "n": 9, "hits": 7, "accuracy": 7 / 9, "low": 0.4, "high": 0.9}
    >>> row |= {"gain": 0.02, "gain_low": 0.01, "gain_high": 0.03, "p": 1e-5}
    >>> row |= {"log_loss": 1.0, "ece": 0.1}
    >>> "+2.0 (+1.0 to +3.0)" in gains(pd.DataFrame([row]), "Gains").as_raw_html()
    True
    """
    top1 = _with_interval(table["accuracy"], table["low"], table["high"])
    gain = [
        f"{100 * a:+.1f} ({100 * b:+.1f} to {100 * c:+.1f})" if p < 1 or b < c else "-"
        for a, b, c, p in table[["gain", "gain_low", "gain_high", "p"]].itertuples(index=False)
    ]
    p = ["< 0.0001" if value < 1e-4 else f"{value:.4f}" for value in table["p"]]
    shown = table[["model", "n"]].assign(**{"top-1": top1, "gain": gain, "p": p})
    shown = shown.assign(log_loss=table["log_loss"], ece=table["ece"])
    shown["model"] = shown["model"].map(short)
    return (
        plain(shown, title).fmt_integer("n").fmt_number(["log_loss"], decimals=2)
        .fmt_number(["ece"], decimals=3)
    )  # fmt: skip


def bookkeeping(table: "pd.DataFrame", title: str) -> "GT":
    """Show hits by id beside matches of words.

    Parameters
    ----------
    table : DataFrame
        As `meznet_helpers.book.bookkeeping.count` returns it.
    title : str

    Returns
    -------
    great_tables.GT

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"model": "a", "n": 20, "hits": 3, "rows": 5, "false_rows": 2}
    >>> row |= {"weight": 0.25, "weight_by_words": 0.5}
    >>> "25.0%" in bookkeeping(pd.DataFrame([row]), "Hits").as_raw_html()
    True
    """
    shown = plain(table.assign(model=table["model"].map(short)), title)
    shown = shown.fmt_integer(["n", "hits", "rows", "false_rows"])
    return shown.fmt_percent(["weight", "weight_by_words"], decimals=1)


def _with_interval(
    share: Iterable[float], low: Iterable[float], high: Iterable[float]
) -> list[str]:
    """Write shares as ``30.0% (29.1 to 30.9)``."""
    return [
        f"{a:.1%} ({100 * b:.1f} to {100 * c:.1f})"
        for a, b, c in zip(share, low, high, strict=True)
    ]
