"""Tables of accuracies and other shares, with n and their intervals."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from great_tables import GT, loc, style

from meznet_helpers.measure import proportion, repeats
from meznet_helpers.plots import short
from meznet_helpers.tables.base import interval_cells, plain


def accuracy(table: pd.DataFrame, title: str) -> GT:
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


def shares(table: pd.DataFrame, n: str, hits: dict[str, str], title: str) -> GT:
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
    shown = table[[column for column in table.columns if column not in hits]].copy()
    if "model" in shown:
        shown["model"] = shown["model"].map(short)
    for column, heading in hits.items():
        share = proportion(table[column].to_numpy(), table[n].to_numpy())
        shown[heading] = interval_cells(share["accuracy"], share["low"], share["high"])
    millions = shown.columns.intersection(["parameters"]).tolist()
    table = plain(shown.rename(columns={n: "n"}), title).fmt_integer("n")
    return table.fmt_number(millions, decimals=2, pattern="{x} M")


def percent(table: pd.DataFrame, title: str) -> GT:
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


def gains(table: pd.DataFrame, title: str) -> GT:
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
    top1 = interval_cells(table["accuracy"], table["low"], table["high"])
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


def bookkeeping(table: pd.DataFrame, title: str) -> GT:
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


def leaderboard(table: pd.DataFrame, title: str) -> GT:
    """Show every labeler: accuracies with intervals, calibration and cost.

    A star marks those that may have seen the images in their training.

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
    seen = table["seen"] != ""
    shown = pd.DataFrame({"labeler": table["labeler"] + np.where(seen, " *", "")})
    for k in (1, 5):
        ends = (table[f"top{k}_low"], table[f"top{k}_high"])
        shown[f"top{k}"] = interval_cells(table[f"top{k}"], *ends)
    shown = shown.join(table[["log_loss", "ece", "ms", "mb"]]).rename(columns={"mb": "size_mb"})
    n = int(table["n"].iloc[0])
    board = (
        plain(shown, f"{title}, n = {n:,}")
        .tab_style(style.css("white-space: nowrap"), loc.body(["labeler", "top1", "top5"]))
        .tab_options(table_font_size="80%")  # all columns beside each other on a page
        .fmt_number("log_loss", decimals=2)
        .fmt_percent("ece", decimals=1)
        .fmt_number(["ms", "size_mb"], decimals=1)
    )
    return board.tab_source_note("* possibly seen in training") if seen.any() else board


def probed(splits: Mapping[str, pd.DataFrame], title: str) -> GT:
    """Show accuracies with their intervals, a column for each way of splitting.

    Parameters
    ----------
    splits : mapping of str to DataFrame
        As `meznet_helpers.features.probing.accuracy` returns it, for each way. Where a way lacks a
        row that another has, there is a dash.
    title : str

    Returns
    -------
    great_tables.GT
        Each cell reads ``30.0% (29.1 to 30.9)``.

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"features": "pixels", "classifier": "forest", "n": 10, "accuracy": 0.7}
    >>> table = pd.DataFrame([row | {"low": 0.397, "high": 0.892}])
    >>> "70.0% (39.7 to 89.2)" in probed({"by picture": table}, "Pixels").as_raw_html()
    True
    """
    columns = {}
    for name, table in splits.items():
        rows = table.set_index(["features", "classifier", "n"])
        cells = interval_cells(rows["accuracy"], rows["low"], rows["high"])
        columns[name] = pd.Series(cells, rows.index)
    shown = pd.concat(columns, axis=1, sort=False).reset_index()
    return plain(shown, title).fmt_integer("n")


def partitions(
    judged: Mapping[str, pd.DataFrame], title: str, *, beside: pd.DataFrame | None = None
) -> GT:
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
    rows = []
    for name, table in judged.items():
        ends = repeats.accuracy(table, (1, 4)).set_index("k")
        cells = interval_cells(ends["accuracy"], ends["low"].clip(0), ends["high"].clip(upper=1))
        top = ends.loc[1]
        rows.append([name, *cells, f"{top['least']:.1%} to {top['most']:.1%}", "here"])
    for row in () if beside is None else beside.itertuples():
        means, halves = np.array([row.accuracy, row.top4]), np.array([row.half, row.top4_half])
        cells = interval_cells(means, means - halves, means + halves)
        rows.append([row.model, *cells, "-", "the document"])
    columns = ["backbone", "top-1", "top-4", "single partitions, top-1", "from"]
    return plain(pd.DataFrame(rows, columns=columns), title)


def with_intervals(table: pd.DataFrame, title: str) -> GT:
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
    shown[column] = interval_cells(table[column], *ends)
    others = [name for name in ("least", "most", "auroc") if name in shown]
    whole = [name for name in ("n", "runs") if name in shown]
    return plain(shown, title).fmt_percent(others, decimals=1).fmt_integer(whole)
