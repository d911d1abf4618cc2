"""The table of what simple classifiers reach on several kinds of features."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from meznet_helpers.tables.accuracies import _with_interval
from meznet_helpers.tables.base import plain

if TYPE_CHECKING:
    import pandas as pd
    from great_tables import GT


def probed(splits: "Mapping[str, pd.DataFrame]", title: str) -> "GT":
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
    import pandas as pd

    columns = {}
    for name, table in splits.items():
        rows = table.set_index(["features", "classifier", "n"])
        cells = _with_interval(rows["accuracy"], rows["low"], rows["high"])
        columns[name] = pd.Series(cells, rows.index)
    shown = pd.concat(columns, axis=1, sort=False).reset_index()
    return plain(shown, title).fmt_integer("n")
