"""Bring labels together: by id, which is right, and as the source exhibit did, which is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from meznet_helpers.errors import MeznetError

if TYPE_CHECKING:
    import pandas as pd

    from meznet_helpers.labels.spaces import LabelSpace


def join(
    table: pd.DataFrame | Mapping[str, str] | Iterable[tuple[str, str]], space: LabelSpace
) -> pd.DataFrame:
    """Join images that carry a label id with the words for it, by id.

    Parameters
    ----------
    table : DataFrame, mapping, or iterable of pairs
        A data frame with columns ``image`` and ``label_id``; or image name to id; or pairs of them.
    space : LabelSpace
        Where the words come from.

    Returns
    -------
    DataFrame
        Columns ``image``, ``label_id``, ``words``, in the order of `table`, with one row for each
        of its rows. Further columns of a data frame stay, before ``words``.

    Raises
    ------
    MeznetError
        If an id is not in `space` (all such are named), or a column is missing.

    Examples
    --------
    >>> from meznet_helpers.labels.spaces import tiny_imagenet
    >>> join({"val_63.JPEG": "n03355925", "val_1536.JPEG": "n02793495"}, tiny_imagenet())
              image   label_id                words
    0   val_63.JPEG  n03355925  flagpole, flagstaff
    1  val_1536.JPEG  n02793495                 barn
    """
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        pairs = list(table.items() if isinstance(table, Mapping) else table)
        table = pd.DataFrame(pairs, columns=["image", "label_id"], dtype=str)
    for column in ("image", "label_id"):
        if column not in table.columns:
            raise MeznetError(
                f'The table has no column "{column}"; its columns are {", ".join(table.columns)}.'
            )
    missing = [label_id for label_id in table["label_id"].unique() if label_id not in space]
    if missing:
        shown = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise MeznetError(f"{space.name} has no label id {shown}; the join needs each id.")
    return table.assign(words=[space.words(label_id) for label_id in table["label_id"]])


def map_between(left: LabelSpace, right: LabelSpace) -> tuple[np.ndarray, np.ndarray]:
    """Find the labels that two spaces share, by id.

    Parameters
    ----------
    left, right : LabelSpace
        Two spaces with ids of one kind.

    Returns
    -------
    in_left, in_right : ndarray of int64, shape (number of shared ids,)
        Positions of the shared ids in either space, in the order of `left`; empty if none is
        shared. ``probs[..., in_left]`` are then probabilities for the labels ``in_right``.

    Examples
    --------
    >>> from meznet_helpers.labels.spaces import from_names
    >>> map_between(from_names(["ant", "bee", "cat"]), from_names(["cat", "dog", "ant"]))
    (array([0, 2]), array([2, 0]))
    """
    shared = [label_id for label_id in left.ids if label_id in right]
    return left.indices(shared), right.indices(shared)
