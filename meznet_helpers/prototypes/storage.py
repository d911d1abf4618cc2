"""The files of an index: one that is written aside and renamed, and a zipped table.

A safetensors file with the tensors ``vectors``, ``owners``, ``counts`` and ``norms``, and one entry
of metadata, ``meznet``: JSON of all else. One process writes at a time, any number read; a reader
keeps the version that it opened.

I. Sivchek, Similarity search for an image classification task, 2025: a zip file with one CSV file
in it, whose first column is called ``target`` and whose other columns are 0, 1, 2 and so on.
"""

import contextlib
import csv
import dataclasses
import io
import os
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from meznet_helpers import stored
from meznet_helpers.errors import MeznetError, reason
from meznet_helpers.files import aside
from meznet_helpers.labels import from_fields, from_names
from meznet_helpers.prototypes.index import KINDS, LONGEST, PrototypeIndex, check_features
from meznet_helpers.prototypes.search import lengths

KIND = "meznet-index-1"
FIELDS = ("metric", "kind", "count", "backbone", "digest", "threshold", "scale")
PATIENCE = 60.0  # seconds until a writer gives up waiting for another
TURN = 0.01  # seconds after which one that writes again and again may do so
#: Type and number of axes of each tensor.
TENSORS = {"vectors": ("<f4", 2), "owners": ("<i8", 1), "counts": ("<i8", 1), "norms": ("<f8", 1)}


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
    file = Path(file)
    own = {name: getattr(index, name) for name in FIELDS}
    own["threshold"] = None if np.isneginf(index.threshold) else index.threshold
    labels = {name: getattr(index.labels, name) for name in ("name", "ids", "names")}
    tensors = {
        "vectors": np.ascontiguousarray(index.vectors),
        "owners": index.owners,
        "counts": index.counts,
        "norms": index.norms(),
    }
    with aside(file) as part:
        stored.write(part, tensors, {"kind of file": KIND, "labels": labels} | own)
    return file


def load(file: str | Path, *, mapped: bool = False) -> PrototypeIndex:
    """Read an index.

    Parameters
    ----------
    file : str or Path
    mapped : bool
        Leave the vectors in the file and read them block by block in each search, for an index
        that is larger than memory. All of it is read through twice here all the same, for its
        digest and for the lengths of its vectors: some seconds for each gigabyte.

    Returns
    -------
    PrototypeIndex

    Raises
    ------
    MeznetError
        If the file is not there, is cut off or damaged, or is no such index.

    Examples
    --------
    >>> load("nowhere.safetensors")
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: nowhere.safetensors is not there; meznet index build makes \
it.
    """
    file = Path(file)
    if not file.is_file():
        raise MeznetError(f"{file} is not there; meznet index build makes it.")
    with stored.telling(f"{file} is cut off, or no index of prototypes"):
        tensors, about = stored.unpack(stored.mapped(file))
        index = _described(about)
        for name, (dtype, axes) in TENSORS.items():
            part = tensors[name]
            if (part.dtype, part.ndim, len(part)) != (dtype, axes, len(tensors["vectors"])):
                raise ValueError(f"its {name} are {part.dtype} of shape {part.shape}")
            if not (mapped and name == "vectors"):
                tensors[name] = np.array(part)
        _check(index, **tensors)
        index.replace(index.labels, **tensors)
    return index


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

    file = Path(os.path.realpath(file))  # writers by a link and without take turns, too
    if not file.is_file():
        load(file)  # says what is wrong
    try:
        lock = FileLock(file.with_name(f".{file.name}.lock"), PATIENCE, poll_interval=TURN / 4)
        with lock:
            index = load(file)
            yield index
            save(index, file)
        time.sleep(TURN)  # others look for the lock meanwhile
    except Timeout as error:
        raise MeznetError(f"{file} is being changed by another process; try again.") from error
    except OSError as error:
        raise MeznetError(f"{file} can't be changed ({reason(error)}).") from error


def _described(about: dict[str, Any]) -> PrototypeIndex:
    """Make an index without prototypes of what a file says of it."""
    stored.demand(
        about,
        dict.fromkeys(("kind of file", "metric", "kind", "backbone", "digest"), str)
        | {"labels": dict, "count": int, "scale": int | float, "threshold": int | float | None},
    )
    if about["kind of file"] != KIND or about["kind"] not in KINDS:
        raise ValueError(f"it is of kind {about['kind of file']}, {about['kind']}")
    if not about["scale"] > 0 or about["count"] < 1:
        raise ValueError(f"its scale is {about['scale']} and its count {about['count']}")
    own = {name: about[name] for name in ("metric", "kind", "count", "backbone", "digest")}
    index = PrototypeIndex(**own)
    index.labels, index.scale = from_fields(about["labels"]), float(about["scale"])
    if about["threshold"] is not None:
        index.threshold = float(about["threshold"])
    return index


def _check(
    index: PrototypeIndex,
    *,
    vectors: np.ndarray,
    owners: np.ndarray,
    counts: np.ndarray,
    norms: np.ndarray,
) -> None:
    """Refuse tensors that do not fit together: a search would answer by them all the same."""
    steps = np.diff(owners, prepend=-1, append=len(index.labels))
    if not (np.isin(steps, (0, 1)).all() and steps[-1] == 1) or (counts < 1).any():
        raise ValueError("its tensors do not fit its labels")
    if not np.allclose(norms, lengths(vectors), rtol=1e-9, atol=0):
        raise ValueError("its norms are not those of its vectors, or these are not finite")
    if (norms > LONGEST).any() or ((norms == 0).any() and index.metric == "cosine"):
        raise ValueError("one of its vectors is zero or too long")


MAX_BYTES = 2 * 10**9  # of the unpacked table
MAX_RATIO = 100  # of its bytes by those of the zip file, where it is large


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
    meznet_helpers.errors.MeznetError: nowhere.zip is no zipped table of prototypes: No such file \
or directory.
    """
    file = Path(file)
    with stored.telling(f"{file} is no zipped table of prototypes"):
        names, vectors = _table(file)
        classes = list(dict.fromkeys(names))
        labels = dataclasses.replace(from_names(classes), name=file.stem)
        place = {name: number for number, name in enumerate(classes)}
        owners = np.array([place[name] for name in names])
        vectors = check_features(vectors, "its rows", metric=options.get("metric", "cosine"))
    order, most = np.argsort(owners, kind="stable"), int(np.bincount(owners).max())
    index = PrototypeIndex(kind="mean" if most == 1 else "k-means", count=most, **options)
    index.replace(labels, vectors[order], owners[order], np.ones(len(order), np.int64))
    return index


def _table(file: Path) -> tuple[list[str], list[np.ndarray]]:
    """Read the targets and the numbers of a zipped table; each row must be whole."""
    with zipfile.ZipFile(file) as packed:
        members = [
            member
            for member in packed.infolist()
            if not (member.is_dir() or Path(member.filename).name.startswith("._"))  # of a Mac
        ]
        if len(members) != 1:
            raise ValueError(f"it holds {len(members)} files instead of one")
        size, small = members[0].file_size, members[0].compress_size
        if size > MAX_BYTES or size > max(MAX_RATIO * small, MAX_BYTES / 100):
            raise ValueError(f"its {small:,} bytes unpack to {size:,}")
        with packed.open(members[0]) as stream:
            rows = csv.reader(io.TextIOWrapper(stream, "utf-8-sig", newline=""))
            head, names, vectors = next(rows, []), [], []
            if len(head) < 2 or head != ["target", *map(str, range(len(head) - 1))]:
                raise ValueError('its columns are not "target", 0, 1, 2 and so on')
            for row in filter(None, rows):
                if len(row) != len(head) or any(letter < " " for letter in row[0]):
                    raise ValueError(f"line {rows.line_num} is no name and {len(head) - 1} numbers")
                names.append(row[0])
                vectors.append(np.array(row[1:], np.float64).astype(np.float32))
    return names, vectors
