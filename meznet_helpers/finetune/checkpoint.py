"""The file that keeps a training between epochs: safetensors, with all else as JSON beside them.

Nothing in it is pickled. What is left to chance in an epoch follows from the seed and the epoch's
number, so both together are the state of the random numbers.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from meznet_helpers.errors import MeznetError
from meznet_helpers.images import Dataset

KIND = "meznet-finetune-1"
_WHAT = {
    "recipe": "recipe",
    "labels": "labels",
    "train": "training images",
    "valid": "validation images",
    "seed": "seed",
}


def write(path: Path, tensors: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Write a checkpoint aside, then rename it.

    Parameters
    ----------
    path : Path
        Its folder is made if it is missing.
    tensors : mapping of str to torch.Tensor
    about : mapping
        All else; JSON must be able to carry it.

    Raises
    ------
    MeznetError
        If the file can't be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    aside = path.with_name(f"{path.name}.part")
    whole = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(whole, aside, {"meznet": json.dumps({"kind": KIND, **about})})
        aside.replace(path)
    except (OSError, SafetensorError) as error:
        raise MeznetError(f"{path} can't be written: {error}.") from error


def read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read what `write` wrote.

    Parameters
    ----------
    path : Path

    Returns
    -------
    tensors : dict of str to torch.Tensor
        On the CPU.
    about : dict

    Raises
    ------
    MeznetError
        If the file is no checkpoint.
    """
    from safetensors import safe_open

    about = _about(path)
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118


def restore_split(dataset: Dataset, path: str | Path) -> tuple[Dataset, Dataset]:
    """Split a data set the way it was split for a training.

    Parameters
    ----------
    dataset : Dataset
        With all images of that training.
    path : str or Path
        Its checkpoint.

    Returns
    -------
    train, valid : Dataset

    Raises
    ------
    MeznetError
        If the file is no checkpoint, or an image is missing.
    """
    about = _about(Path(path))
    place = {name: number for number, name in enumerate(dataset.images.names)}
    missing = [name for name in about["train"] + about["valid"] if name not in place]
    if missing:
        raise MeznetError(f'{path} is of a training with the image "{missing[0]}"; it is not here.')
    train, valid = ([place[name] for name in about[part]] for part in ("train", "valid"))
    return dataset.take(train), dataset.take(valid)


def check(path: Path, stored: Mapping[str, Any], about: Mapping[str, Any]) -> None:
    """Refuse a checkpoint of another training.

    Parameters
    ----------
    path : Path
        For the sentence.
    stored, about : mapping
        What the file says, and what this training says: recipe, labels, train, valid, seed.

    Raises
    ------
    MeznetError
        If they differ.
    """
    for key, what in _WHAT.items():
        theirs, ours = stored[key], about[key]
        if theirs == ours:
            continue
        if key == "recipe":
            field = next(each for each in ours if theirs.get(each) != ours[each])
            what, theirs, ours = f"{field} in its recipe", theirs.get(field), ours[field]
        how = "" if isinstance(ours, list) else f", {theirs} instead of {ours}"
        raise MeznetError(
            f"{path} is of a training with other {what}{how}; delete it or name another file."
        )


def _about(path: Path) -> dict[str, Any]:
    """Read all but the tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            about = json.loads((file.metadata() or {})["meznet"])
        if about["kind"] == KIND:
            return about
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        pass
    raise MeznetError(f"{path} is no checkpoint of a training; delete it or name another file.")
