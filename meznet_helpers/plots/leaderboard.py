"""The picture of the one table."""

from typing import TYPE_CHECKING

from meznet_helpers.plots.style import MARKERS, WIDTH

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def leaderboard(table: "pd.DataFrame") -> "Figure":
    """Draw the top-1 accuracy of each labeler with its interval.

    Parameters
    ----------
    table : DataFrame
        As `meznet_helpers.book.leaderboard.build` returns it.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each labeler, in the table's order; a color and a marker for each chapter.

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"labeler": "a", "chapter": 1, "n": 9, "top1": 0.5, "top1_low": 0.2, "top1_high": 0.8}
    >>> leaderboard(pd.DataFrame([row])).axes[0].get_xlabel()
    'top-1 accuracy, n = 9'
    """
    import matplotlib.pyplot as plt
    import seaborn as sns

    colors = sns.color_palette("colorblind")
    with sns.axes_style("whitegrid"):
        height = 1.1 + 0.3 * len(table)
        figure, axis = plt.subplots(figsize=(WIDTH, height), layout="constrained")
    for number, (chapter, rows) in enumerate(table.groupby("chapter")):
        ends = [rows["top1"] - rows["top1_low"], rows["top1_high"] - rows["top1"]]
        axis.errorbar(
            rows["top1"], rows.index, xerr=ends, fmt=MARKERS[number], color=colors[number],
            capsize=3, label=f"chapter {chapter}",
        )  # fmt: skip
    axis.set_yticks(range(len(table)), table["labeler"])
    axis.invert_yaxis()
    axis.set_xlabel(f"top-1 accuracy, n = {int(table['n'].iloc[0]):,}")
    axis.xaxis.set_major_formatter("{x:.0%}")
    axis.legend(frameon=False, loc="lower right")
    plt.close(figure)
    return figure
