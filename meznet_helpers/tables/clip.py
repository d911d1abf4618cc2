"""Tables about CLIP: ticks and crosses, and what each way of tuning gains and costs."""

from collections.abc import Mapping, Sequence

import pandas as pd
from great_tables import GT

from meznet_helpers.tables.base import interval_cells, plain


def ticks(
    images: Sequence[str],
    said: Mapping[str, Sequence[str]],
    right: Mapping[str, Sequence[bool]],
    title: str,
) -> GT:
    """Show what was said of each image, with a tick or a cross.

    Parameters
    ----------
    images : sequence of str
        Names.
    said : mapping of str to sequence of str
        A column for each labeler: the label of each image.
    right : mapping of str to sequence of bool
        Whether it is right, by the same columns.
    title : str

    Returns
    -------
    great_tables.GT
        The last row counts.

    Examples
    --------
    >>> shown = ticks(["a", "b"], {"net": ["cat", "dog"]}, {"net": [True, False]}, "Two")
    >>> "cat ✓" in shown.as_raw_html(), "1 of 2" in shown.as_raw_html()
    (True, True)
    """
    columns = {"image": [*images, "right"]}
    for name, labels in said.items():
        marks = ["✓" if fine else "✗" for fine in right[name]]
        cells = [f"{label} {mark}" for label, mark in zip(labels, marks, strict=True)]
        columns[name] = [*cells, f"{marks.count('✓')} of {len(images)}"]
    return plain(pd.DataFrame(columns), title)


def tuned(table: pd.DataFrame, title: str) -> GT:
    """Show the ways of tuning: accuracy on both splits, zero-shot left, seconds.

    Parameters
    ----------
    table : DataFrame
        What `meznet_helpers.book.clip_study.summary` returns, of the splits ``picture``, ``style``.
    title : str

    Returns
    -------
    great_tables.GT
        Means over seeds with Student's 95 % intervals; for each of two labels, how many of its
        pictures were named right, all seeds together, in new pictures.

    Examples
    --------
    >>> import pandas as pd
    >>> numbers = {f"{of}{end}": 0.5 for of in ("accuracy", "balanced", "left")
    ...            for end in ("", "_low", "_high")}
    >>> numbers |= {"confusion": [[4, 1], [2, 2]], "seconds": 3.0}
    >>> rows = [{"split": kind, "way": "full", "share": 1.0} | numbers
    ...         for kind in ("picture", "style")]
    >>> shown = tuned(pd.DataFrame(rows), "All").as_raw_html()
    >>> "50.0% (50.0 to 50.0)" in shown, "4 of 5" in shown
    (True, True)
    """
    first, second = (
        table[table["split"] == kind].set_index(["way", "share"]) for kind in ("picture", "style")
    )
    second = second.loc[first.index]
    names = [f"{way}, {share:.0%}" if share < 1 else way for way, share in first.index]
    columns = {"tuning": names}
    for heading, part, of in (
        ("new pictures", first, "accuracy"),
        ("balanced", first, "balanced"),
        ("new style", second, "accuracy"),
        ("zero-shot left", first, "left"),
    ):
        ends = (part[f"{of}_low"].clip(0), part[f"{of}_high"].clip(upper=1))
        columns[heading] = interval_cells(part[of], *ends)
    for label, heading in enumerate(("animals right", "others right")):
        rows = [counts[label] for counts in first["confusion"]]
        columns[heading] = [f"{row[label]} of {sum(row)}" for row in rows]
    shown = pd.DataFrame(columns | {"seconds": first["seconds"].to_numpy()})
    return plain(shown, title).fmt_number("seconds", decimals=1)


def measured(found: Mapping[str, Mapping], title: str, **more: Sequence[object]) -> GT:
    """Show what `meznet_helpers.finetune.summary` found.

    Parameters
    ----------
    found : mapping of str to dict
        Name -> what was measured.
    title : str
    **more : sequence
        More columns, one value for each row; underscores in their names become spaces.

    Returns
    -------
    great_tables.GT

    Examples
    --------
    >>> one = {"n": 10, "accuracy": 0.7, "low": 0.397, "high": 0.892, "balanced": 0.65}
    >>> "70.0% (39.7 to 89.2)" in measured({"probe": one}, "Ten").as_raw_html()
    True
    """
    rows = pd.DataFrame(found.values())
    columns = {
        "tuning": list(found),
        "n": rows["n"],
        "accuracy": interval_cells(rows["accuracy"], rows["low"], rows["high"]),
        "balanced": rows["balanced"],
    }
    columns |= {name.replace("_", " "): list(values) for name, values in more.items()}
    return plain(pd.DataFrame(columns), title).fmt_integer("n").fmt_percent("balanced", decimals=1)
