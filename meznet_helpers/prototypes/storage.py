"""The files of an index: one that is written aside and renamed, and a zipped table.

A safetensors file with the tensors ``vectors``, ``owners``, ``counts`` and ``norms``, and one entry
of metadata, ``meznet``: JSON of all else. One process writes at a time, any number read; a reader
keeps the version that it opened.

I. Sivchek, Similarity search for an image classification task, 2025: a zip file with one CSV file
in it, whose first column is called ``target`` and whose other columns are 0, 1, 2 and so on.
"""

import contextlib
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from meznet_helpers.errors import MeznetError, reason
from meznet_helpers.files import aside
from meznet_helpers.labels import LabelSpace, from_names
from meznet_helpers.prototypes.index import PrototypeIndex

KIND = "meznet-index-1"
FIELDS = ("metric", "kind", "count", "backbone", "digest", "threshold", "scale")
PATIENCE = 60.0  # seconds until a writer gives up waiting for another


def save(index: PrototypeIndex, file: str | Path) -> Path:
    """Write an index to a file, in the place of what was there.

    Parameters
    ----------
    index : PrototypeIndex
    file : str or Path

    Returns
    -------
    Path
        The file. It is on the disk when this function returns.

    Raises
    ------
    MeznetError
        If it can't be written; what was there is still there then.

    Examples
    --------
    >>> import tempfile
    >>> index = PrototypeIndex(name="pets")
    >>> index.add("cat", [[1.0, 0.0]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     load(save(index, Path(folder, "pets.safetensors")))
    PrototypeIndex('pets', 1 class, 1 prototype of 2 numbers)
    """
    from safetensors.numpy import save_file

    file = Path(file)
    own = {name: getattr(index, name) for name in FIELDS}
    own["threshold"] = None if np.isneginf(index.threshold) else index.threshold
    labels = {name: getattr(index.labels, name) for name in ("name", "ids", "names")}
    text = json.dumps({"kind of file": KIND, "labels": labels} | own, ensure_ascii=False)
    tensors = {
        "vectors": np.ascontiguousarray(index.vectors),
        "owners": index.owners,
        "counts": index.counts,
        "norms": index.norms(),
    }
    with aside(file) as part:
        save_file(tensors, part, {"meznet": text})
    return file


def load(file: str | Path, *, mapped: bool = False) -> PrototypeIndex:
    """Read an index.

    Parameters
    ----------
    file : str or Path
    mapped : bool
        Leave the vectors in the file and read them block by block in each search, for an index
        that is larger than memory.

    Returns
    -------
    PrototypeIndex

    Raises
    ------
    MeznetError
        If the file is not there, is cut off, or is no such index.

    Examples
    --------
    >>> load("nowhere.safetensors")
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: nowhere.safetensors is not there; meznet index build makes \
it.
    """
    from safetensors import SafetensorError, safe_open

    file = Path(file)
    if not file.is_file():
        raise MeznetError(f"{file} is not there; meznet index build makes it.")
    try:
        with safe_open(file, "np") as stored:
            metadata = json.loads((stored.metadata() or {}).get("meznet", "{}"))
            if metadata.get("kind of file") != KIND:
                raise MeznetError(f"{file} holds tensors, but no index of prototypes.")
            names = ("owners", "counts", "norms")
            owners, counts, norms = (stored.get_tensor(name) for name in names)
            shape = stored.get_slice("vectors").get_shape()
            vectors = _map(file, shape) if mapped else stored.get_tensor("vectors")
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise MeznetError(
            f"{file} is cut off, or no index of prototypes: {reason(error)}."
        ) from error
    return _made(file, metadata, vectors, owners, counts, norms)


@contextlib.contextmanager
def editing(file: str | Path) -> Iterator[PrototypeIndex]:
    """Change an index in its file, one process at a time.

    The file is read when the other writers are done, and written if no error comes.

    Parameters
    ----------
    file : str or Path

    Yields
    ------
    PrototypeIndex

    Raises
    ------
    MeznetError
        If it can't be read or written, or another process holds it for a minute.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = save(PrototypeIndex(name="pets"), Path(folder, "pets.safetensors"))
    ...     with editing(file) as index:
    ...         index.add("cat", [[1.0, 0.0]])
    ...     load(file).labels.ids
    ('cat',)
    """
    from filelock import FileLock, Timeout

    file = Path(file)
    if not file.is_file():
        load(file)  # says what is wrong
    try:
        with FileLock(file.with_name(f".{file.name}.lock"), timeout=PATIENCE):
            index = load(file)
            yield index
            save(index, file)
    except Timeout as error:
        raise MeznetError(f"{file} is being changed by another process; try again.") from error


def _map(file: Path, shape: list[int]) -> np.ndarray:
    """Map the vectors of a file that safetensors has checked."""
    with file.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        begin = json.loads(stream.read(size))["vectors"]["data_offsets"][0]
    if 0 in shape:
        return np.zeros(shape, np.float32)
    return np.memmap(file, "<f4", "r", offset=8 + size + begin, shape=tuple(shape))


def _made(
    file: Path,
    metadata: dict[str, Any],
    vectors: np.ndarray,
    owners: np.ndarray,
    counts: np.ndarray,
    norms: np.ndarray,
) -> PrototypeIndex:
    """Make an index of what a file holds."""
    try:
        labels = LabelSpace(**metadata["labels"])
        own = {name: metadata[name] for name in ("metric", "kind", "count", "backbone", "digest")}
        index = PrototypeIndex(**own, name=labels.name)
        index.scale = float(metadata["scale"])
        if metadata["threshold"] is not None:
            index.threshold = float(metadata["threshold"])
    except (KeyError, TypeError, ValueError) as error:
        raise MeznetError(f"{file} is no index of prototypes: it lacks {error}.") from error
    sizes = {len(vectors), len(owners), len(counts), len(norms)}
    if len(sizes) > 1 or not np.array_equal(np.unique(owners), np.arange(len(labels))):
        raise MeznetError(f"{file} is no index of prototypes: its tensors do not fit its labels.")
    index.replace(labels, vectors, owners, counts, norms)
    return index


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
    with aside(file) as part:
        table.to_csv(part, index=False, encoding="utf-8", compression=packing)
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
        raise MeznetError(
            f"{file} is no zip file with one CSV file in it: {reason(error)}."
        ) from error
    width = len(table.columns) - 1
    if list(table.columns) != ["target", *map(str, range(width))] or not width:
        raise MeznetError(
            f'{file} has other columns than "target", 0, 1, 2 and so on, one for each number.'
        )
    try:
        vectors = table.drop(columns="target").to_numpy(np.float32)
    except ValueError as error:
        raise MeznetError(f"{file} holds what is no number: {reason(error)}.") from error
    labels = from_names(list(dict.fromkeys(table["target"])))
    most = int(table["target"].value_counts().max())
    kind = "mean" if most == 1 else "k-means"
    index = PrototypeIndex(kind=kind, count=most, name=file.stem, **options)
    for label_id, name in zip(labels.ids, labels.names, strict=True):
        own = vectors[(table["target"] == name).to_numpy()]
        index.add_prototypes(label_id, own, np.ones(len(own), np.int64), name)
    return index
