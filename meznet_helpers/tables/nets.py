"""Tables of nets: what is published of them, and what they cost."""

from typing import TYPE_CHECKING

from meznet_helpers.plots import short
from meznet_helpers.tables.base import plain

if TYPE_CHECKING:
    import pandas as pd
    from great_tables import GT


def published(table: "pd.DataFrame", title: str) -> "GT":
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


def cost(table: "pd.DataFrame", title: str) -> "GT":
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
