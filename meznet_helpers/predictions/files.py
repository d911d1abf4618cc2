"""The file that `Predictions.save` writes: safetensors, with the names as JSON metadata.

Under a name that ends in ``.gz`` the file is compressed. The bytes of the numbers then lie sorted:
first all of the one end, then all of the next, and so on. Exponents are much alike and compress
well that way; in between mantissas, which look like chance, they would not.
"""

import gzip
import json
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.files import aside
from meznet_helpers.labels import LabelSpace

KIND = "meznet-predictions-1"


def write(path: Path, probs: np.ndarray, names: dict[str, Any]) -> Path:
    """Write probabilities and their names aside, then rename.

    Parameters
    ----------
    path : Path
        The file. Missing folders are made.
    probs : ndarray of float32 or float16, shape (models, images, labels)
    names : dict
        models and images (sequences of str), labels (LabelSpace), tolerance (float or None).

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    MeznetError
        If the file cannot be written.

    Examples
    --------
    See `Predictions.save`.
    """
    from safetensors.numpy import save

    names = names | {"kind": KIND, "labels": asdict(names["labels"])}
    # One metadata key only: safetensors does not keep the order of several.
    packed = path.suffix == ".gz"
    tensors = {"planes": _planes(probs)} if packed else {"probs": probs}
    content = save(tensors, {"meznet": json.dumps(names)})
    with aside(path) as part:
        part.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    return path


def read(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """Read what `write` wrote.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    probs : ndarray of float32 or float16, shape (models, images, labels)
    names : dict
        As given to `write`.

    Raises
    ------
    MeznetError
        If the file is missing, damaged, or something else.

    Examples
    --------
    See `Predictions.load`.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if not path.is_file():
        raise MeznetError(f"{path} is not there; it should be a file of predictions.")
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        names, tensors = json.loads(_metadata(content)["meznet"]), load(content)
        if names.pop("kind") != KIND:
            raise KeyError("kind")
        probs = _numbers(tensors["planes"]) if "planes" in tensors else tensors["probs"]
        return probs, names | {"labels": LabelSpace(**names["labels"])}
    except (SafetensorError, zlib.error, OSError, EOFError, LookupError, TypeError, ValueError,
            AttributeError) as error:  # fmt: skip
        raise MeznetError(
            f"{path} holds no predictions; it should be a safetensors file that Predictions.save "
            "wrote."
        ) from error


def _metadata(content: bytes) -> dict[str, str]:
    """Read the metadata of safetensors in memory: a length, then a header in JSON."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length])["__metadata__"]


def _planes(probs: np.ndarray) -> np.ndarray:
    """Sort the bytes of numbers (models, images, labels): (bytes, models, images, labels)."""
    single = np.ascontiguousarray(probs).view(np.uint8).reshape(*probs.shape, probs.itemsize)
    return np.ascontiguousarray(np.moveaxis(single, -1, 0))


def _numbers(planes: np.ndarray) -> np.ndarray:
    """Put the bytes that `_planes` sorted together again."""
    single = np.ascontiguousarray(np.moveaxis(planes, 0, -1))
    return single.view({2: np.float16, 4: np.float32}[len(planes)])[..., 0]
