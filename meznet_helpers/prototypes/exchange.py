"""Indexes as zipped CSV, one row for each prototype: the layout that the document stores them in.

I. Sivchek, Similarity search for an image classification task, 2025: a zip file with one CSV file
in it, whose first column is called ``target`` and whose other columns are 0, 1, 2 and so on.
"""

import zipfile
from pathlib import Path

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.labels import from_names
from meznet_helpers.prototypes.index import PrototypeIndex

MAX_BYTES = 2 * 10**9  # of the unpacked table


def write_csv(index: PrototypeIndex, file: str | Path) -> Path:
    """Export an index.

    Parameters
    ----------
    index : PrototypeIndex
    file : str or Path
        ``NAME.zip``; what is there is replaced.

    Returns
    -------
    Path
        The file. Names and vectors are in it, exactly; counts, ids, threshold and the name of the
        backbone have no place in this layout.

    Raises
    ------
    MeznetError
        If it can't be written.

    Examples
    --------
    >>> import tempfile
    >>> index = PrototypeIndex()
    >>> index.add("big-cat", [[1.0, 0.5]], "big cat")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     back = read_csv(write_csv(index, Path(folder, "pets.zip")))
    >>> back.labels.ids, back.vectors.tolist()
    (('big-cat',), [[1.0, 0.5]])
    """
    import pandas as pd

    file = Path(file)
    table = pd.DataFrame(np.asarray(index.vectors))
    table.insert(0, "target", np.array(index.labels.names, object)[index.owners])
    packing = {"method": "zip", "archive_name": f"{file.stem}.csv"}
    aside = file.with_name(f".{file.name}.part")
    try:
        table.to_csv(aside, index=False, encoding="utf-8", compression=packing)
        aside.replace(file)
    except OSError as error:
        raise MeznetError(f"{file} can't be written ({error.strerror}).") from error
    finally:
        aside.unlink(missing_ok=True)
    return file


def read_csv(file: str | Path, **options: str) -> PrototypeIndex:
    """Import an index.

    Parameters
    ----------
    file : str or Path
        As `write_csv` writes it. Several rows with one target are several prototypes.
    **options
        ``metric``, ``backbone`` and ``digest`` of `PrototypeIndex`, which the layout does not say.

    Returns
    -------
    PrototypeIndex
        Each prototype counts as one example, for the layout does not say of how many it is the
        mean. The order of the classes is that of their first rows.

    Raises
    ------
    MeznetError
        If the file is not there, or is not of that layout.

    Examples
    --------
    >>> read_csv("nowhere.zip")
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: nowhere.zip is not there, or can't be read.
    """
    import pandas as pd

    file = Path(file)
    try:
        with zipfile.ZipFile(file) as packed:
            (member,) = packed.infolist()
            if member.file_size > MAX_BYTES:
                raise MeznetError(f"{file} unpacks to more than {MAX_BYTES / 1e9:.0f} GB.")
            with packed.open(member) as stream:
                table = pd.read_csv(
                    stream, dtype={"target": str}, encoding="utf-8", keep_default_na=False
                )
    except OSError as error:
        raise MeznetError(f"{file} is not there, or can't be read.") from error
    except (zipfile.BadZipFile, ValueError, RuntimeError, pd.errors.ParserError) as error:
        raise MeznetError(f"{file} is no zip file with one CSV file in it: {error}.") from error
    width = len(table.columns) - 1
    if list(table.columns) != ["target", *map(str, range(width))] or not width:
        raise MeznetError(
            f'{file} has other columns than "target", 0, 1, 2 and so on, one for each number.'
        )
    try:
        vectors = table.drop(columns="target").to_numpy(np.float32)
    except ValueError as error:
        raise MeznetError(f"{file} holds what is no number: {error}.") from error
    labels = from_names(list(dict.fromkeys(table["target"])))
    most = int(table["target"].value_counts().max())
    kind = "mean" if most == 1 else "k-means"
    index = PrototypeIndex(kind=kind, count=most, name=file.stem, **options)
    for label_id, name in zip(labels.ids, labels.names, strict=True):
        own = vectors[(table["target"] == name).to_numpy()]
        index.add_prototypes(label_id, own, np.ones(len(own), np.int64), name)
    return index
