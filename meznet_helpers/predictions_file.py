"""The file that `Predictions.save` writes: safetensors, with the names as JSON metadata."""

import contextlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.labels import LabelSpace

KIND = "meznet-predictions-1"


def write(path: Path, probs: np.ndarray, about: dict[str, Any]) -> Path:
    """Write probabilities and their names aside, then rename.

    Parameters
    ----------
    path : Path
        The file. Missing folders are made.
    probs : ndarray of float32 or float16, shape (models, images, labels)
    about : dict
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

    about = about | {"kind": KIND, "labels": asdict(about["labels"])}
    # One metadata key only: safetensors does not keep the order of several.
    content = save({"probs": probs}, {"meznet": json.dumps(about)})
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(content)
        aside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise MeznetError(f"{path} cannot be written: {error.strerror or error}.") from error
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
    about : dict
        As given to `write`.

    Raises
    ------
    MeznetError
        If the file is missing, damaged, or something else.

    Examples
    --------
    See `Predictions.load`.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise MeznetError(f"{path} is not there; it should be a file of predictions.")
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {})["meznet"])
            if about.pop("kind") != KIND:
                raise KeyError("kind")
            return file.get_tensor("probs"), about | {"labels": LabelSpace(**about["labels"])}
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise MeznetError(
            f"{path} holds no predictions; it should be a safetensors file that Predictions.save "
            "wrote."
        ) from error
