"""Files that say what they are: a kind, and a digest of all their bytes but its own.

They are JSON, or safetensors with JSON under ``meznet`` in their metadata. The first entry of that
JSON is ``sha256``: the digest of the whole file as it is with zeros in that place. So one flipped
bit is noticed wherever it is. Files without that entry are older; they are checked in all else.
"""

import contextlib
import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meznet_helpers.errors import MeznetError, reason

if TYPE_CHECKING:
    import numpy as np

LARGEST = 10**8
"""Bytes of JSON that are read."""

_BLANK = "0" * 64
_MARK = re.compile(rb'"sha256\\?": ?\\?"([0-9a-f]{64})')
_START = 256  # bytes, among which the digest begins
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4"}
_TYPES |= {"U8": "u1", "BOOL": "?"}


@contextlib.contextmanager
def telling(sentence: str) -> Iterator[None]:
    """Say in one sentence that a file is not what it should be, whatever it makes a reader raise.

    Parameters
    ----------
    sentence : str
        Its beginning. The reason is put behind it.

    Raises
    ------
    MeznetError
        In place of any other exception.

    Examples
    --------
    >>> with telling("a.json is no list of pets"):
    ...     {}["cat"]
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: a.json is no list of pets: it lacks 'cat'.
    """
    try:
        yield
    except Exception as error:  # of JSON, zip, zlib, pandas, safetensors, the file system
        lacks = "it lacks " * isinstance(error, KeyError)
        raise MeznetError(f"{sentence}: {lacks}{reason(error)}.") from error


def text(about: Mapping[str, Any], indent: int | None = None) -> str:
    """Return JSON with a blank for the digest, which `sealed` or `write` fills in.

    Examples
    --------
    >>> text({"kind": "pets-1"})[:20], text({"kind": "pets-1"})[-20:]
    ('{"sha256": "00000000', '", "kind": "pets-1"}')
    """
    return json.dumps({"sha256": _BLANK, **about}, indent=indent)


def parse(content: str | bytes) -> dict[str, Any]:
    """Read JSON that must be an object; too deep a nest is a ValueError, too.

    Examples
    --------
    >>> parse("[1]")
    Traceback (most recent call last):
    ValueError: it holds a list and not an object of JSON
    """
    try:
        about = json.loads(content)
    except RecursionError as error:
        raise ValueError("its JSON is nested too deep") from error
    if not isinstance(about, dict):
        raise ValueError(f"it holds a {type(about).__name__} and not an object of JSON")
    return about


def sealed(content: str) -> bytes:
    """Return what `text` made, with a line's end and the digest filled in."""
    content = content.encode() + b"\n"
    return content.replace(_BLANK.encode(), _sums(content)[2].encode(), 1)


def check(content: "bytes | np.ndarray") -> str | None:
    """Compare the digest of a file's bytes with the one that they state.

    Returns
    -------
    str or None
        The digest. None if they state none.

    Raises
    ------
    ValueError
        If they differ.
    """
    _, stated, digest = _sums(content)
    if stated not in (None, digest):
        raise ValueError("it was damaged or changed after it was written, as its sha256 says")
    return stated


def _sums(content: "bytes | np.ndarray") -> tuple[int, str | None, str]:
    """Return the place of the digest, the one that stands there, and the right one."""
    start, place, stated = bytes(content[:_START]), 0, None
    if mark := _MARK.search(start):
        place, stated = mark.start(1), mark[1].decode()
        start = start[:place] + _BLANK.encode() + start[mark.end(1) :]
    digest = hashlib.sha256(start)
    digest.update(content[_START:])
    return place, stated, digest.hexdigest()


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(path: Path, tensors: "Mapping[str, np.ndarray]", about: Mapping[str, Any]) -> None:
    """Write tensors and what is said of them to one safetensors file."""
    import numpy as np
    from safetensors.numpy import save_file

    # one entry of metadata only: safetensors does not keep the order of several
    save_file(dict(tensors), path, {"meznet": text(about)})
    content = np.memmap(path, np.uint8, "r+")
    place, _, digest = _sums(content)
    content[place : place + len(digest)] = list(digest.encode())
    content.flush()


def mapped(path: Path) -> "np.ndarray":
    """Map the bytes of a file: what is read of them later is of the same version."""
    import numpy as np

    return np.memmap(path, np.uint8, "r")


def unpack(content: "np.ndarray") -> "tuple[dict[str, np.ndarray], dict[str, Any]]":
    """Find the parts of what `write` has written, in place: nothing is copied.

    Parameters
    ----------
    content : ndarray of uint8, shape (bytes,)
        A whole file.

    Returns
    -------
    tensors : dict of str to ndarray
        Views of the content.
    about : dict
        Without the digest, which was compared.

    Raises
    ------
    Exception
        Of several kinds, if that is what it is not; use `telling`.

    Examples
    --------
    >>> import numpy as np
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder, "a"), {"one": np.ones(1)}, {"kind": "pets-1"})
    ...     unpack(np.frombuffer(Path(folder, "a").read_bytes(), np.uint8))
    ({'one': array([1.])}, {'kind': 'pets-1'})
    """
    stated, start = check(content), 8 + int.from_bytes(content[:8].tobytes(), "little")
    header = parse(content[8:start].tobytes())
    about = header.pop("__metadata__", {}).get("meznet", "{}")
    tensors, end = {}, 0
    for name, part in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
        if part["data_offsets"][0] != end:
            raise ValueError(f'its tensor "{name}" does not begin where the one before ends')
        end = part["data_offsets"][1]
        values = content[start + part["data_offsets"][0] : start + end]
        tensors[name] = values.view(_TYPES[part["dtype"]]).reshape(part["shape"])
    if start + end != len(content):
        raise ValueError(f"it has {len(content):,} bytes instead of {start + end:,}")
    return tensors, _unsealed(parse(about), stated)


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read a file of JSON, and compare its digest if it states one.

    Examples
    --------
    >>> read_json(Path("nowhere.json"), "no list of pets")
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: nowhere.json is no list of pets: No such file or directory.
    """
    with telling(f"{path} is {what}"), path.open("rb") as file:
        content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"it has more than {LARGEST:,} bytes")
        return _unsealed(parse(content), check(content))


def _unsealed(about: dict[str, Any], stated: str | None) -> dict[str, Any]:
    """Take the digest out of what a file says of itself, if it is the one that `check` found."""
    if about.pop("sha256", None) != stated:
        raise ValueError("its sha256 is none")
    return about


def demand(about: Mapping[str, Any], kinds: Mapping[str, Any]) -> None:
    """Refuse what lacks an entry, or has one of another type.

    Parameters
    ----------
    about : mapping of str
        From JSON.
    kinds : mapping of str to type or union of types
        A number must be finite, and is no bool.

    Raises
    ------
    ValueError, KeyError
        See above.

    Examples
    --------
    >>> demand({"scale": float("nan")}, {"scale": float | int})
    Traceback (most recent call last):
    ValueError: its "scale" is nan
    """
    for key, kind in kinds.items():
        value = about[key]
        number = isinstance(value, float | int)
        if not isinstance(value, kind) or (
            number and (isinstance(value, bool) or not math.isfinite(value))
        ):
            raise ValueError(f'its "{key}" is {str(value)[:60]}')
