"""The folder of a tuned CLIP: classifier, labels, recipe, metrics and card, and CLIP itself.

``head.safetensors`` is the classifier, ``meznet.json`` says all else, digests of the other files
too. If the tower that sees images was tuned, too, the whole CLIP lies beside them as
``CLIPModel.save_pretrained`` writes it; if not, the folder names the checkpoint, with a digest of
its weights.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from meznet_helpers import stored
from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError, reason
from meznet_helpers.files import aside
from meznet_helpers.labels import from_fields

KIND = "meznet-clip-1"
ABOUT, HEAD, CARD = "meznet.json", "head.safetensors", "README.md"
#: The tuned CLIPs of this repository: drawn animals or not, and Tiny-ImageNet's photographs.
BUNDLED = {"tiny": "clip-tuned", "tiny-photographs": "clip-tuned-photographs"}
KEYS = dict.fromkeys(("base", "digest", "method"), str) | dict.fromkeys(
    ("labels", "metrics", "recipe"), dict
)


def find(folder: str | Path) -> Path:
    """Return the folder of a tuned CLIP; `BUNDLED` names those of this repository."""
    if folder in BUNDLED:
        return profile.data() / "models" / BUNDLED[folder]
    return Path(folder).expanduser()


def holds(folder: str | Path) -> bool:
    """Say whether a folder holds a tuned CLIP."""
    return (Path(folder).expanduser() / ABOUT).is_file()


def whole(folder: Path) -> bool:
    """Say whether a folder holds CLIP itself, not only a classifier for it."""
    return (folder / "config.json").is_file()


def read(folder: Path) -> dict[str, Any]:
    """Read what a folder says of itself.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    dict
        `base` (str), `digest` (str), `labels` (dict of the fields of a LabelSpace), `method` (str),
        `recipe` (dict) and `metrics` (dict).

    Raises
    ------
    MeznetError
        If it is no such folder, or one of its files is missing or not as it was written.

    Examples
    --------
    >>> read(find("tiny"))["labels"]["ids"]
    ['animal', 'not-animal']
    """
    if not holds(folder):
        raise MeznetError(f"{folder} holds no {ABOUT}, so it is no tuned CLIP.")
    what = f'no description of a tuned CLIP of kind "{KIND}"'
    metadata = stored.read_json(folder / ABOUT, what)
    with stored.telling(f"{folder / ABOUT} is {what}"):
        stored.demand(metadata, {"kind": str} | KEYS)
        if metadata["kind"] != KIND:
            raise ValueError(f"it is of kind {metadata['kind'][:60]}")
        from_fields(metadata["labels"])
        if (known := metadata.get("files")) is not None and known != _files(folder):
            there = _files(folder)
            odd = min(name for name in known | there if known.get(name) != there.get(name))
            raise ValueError(f"{odd} is not as it was written")
    if metadata["base"] in ("", "clip/zero-shot"):
        raise MeznetError(
            f"{folder / ABOUT} does not say which CLIP was tuned; tune anew, with --source tiny or "
            "--source openai."
        )
    return metadata


def _files(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file of weights or settings in a folder, but for `ABOUT`."""
    kinds = {".json", ".safetensors", ".txt", ".model"}
    return {
        path.name: stored.digest(path)
        for path in sorted(folder.iterdir())
        if path.suffix in kinds and path.name != ABOUT and not path.name.startswith(".")
    }


def head(folder: Path, labels: int, width: int) -> tuple[Any, Any]:
    """Read the classifier.

    Parameters
    ----------
    folder : Path
    labels, width : int
        The shape that it must have.

    Returns
    -------
    weight, bias : torch.Tensor of float32, shapes (labels, width) and (labels,)

    Raises
    ------
    MeznetError
        If the file can't be read or the shape is another.
    """
    import torch
    from safetensors.torch import load_file

    path = folder / HEAD
    with stored.telling(f"{path} is no readable classifier"):
        tensors = load_file(path)
        weight, bias = tensors["weight"].float(), tensors["bias"].float()
    if weight.shape != (labels, width) or bias.shape != (labels,):
        raise MeznetError(
            f"{path} has the shape {tuple(weight.shape)}; for {labels} labels on this CLIP it must "
            f"be {(labels, width)}."
        )
    if not torch.isfinite(torch.cat([weight, bias[:, None]], 1)).all():
        raise MeznetError(f"{path} holds weights that are no finite numbers; tune anew.")
    return weight, bias


def write(
    folder: Path,
    weight: Any,
    bias: Any,
    metadata: dict[str, Any],
    card: str,
    save: Callable[[Path], None] | None = None,
) -> Path:
    """Write the folder of a tuned CLIP aside, then rename it.

    Parameters
    ----------
    folder : Path
        Must not be there yet.
    weight, bias : torch.Tensor, shapes (labels, d) and (labels,)
    metadata : dict
        What `read` returns.
    card : str
        Text of ``README.md``.
    save : callable, optional
        Writes CLIP itself into a folder.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    MeznetError
        If the folder is there already or can't be written; nothing is left behind then.
    """
    from safetensors.torch import save_file

    check(folder)
    tensors = {"weight": weight.detach().cpu().contiguous(), "bias": bias.detach().cpu()}
    with aside(folder) as part:
        part.mkdir()
        if save is not None:
            save(part)
        save_file(tensors, part / HEAD)
        (part / CARD).write_text(card, encoding="utf-8")
        text = stored.text({"kind": KIND, "files": _files(part), **metadata}, indent=2)
        (part / ABOUT).write_bytes(stored.sealed(text))
    return folder


def check(folder: Path) -> None:
    """Refuse a folder that is there already, or that can't be made.

    Raises
    ------
    MeznetError
        See above.

    Examples
    --------
    >>> check(Path("meznet_helpers"))
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: meznet_helpers is there already; name a new folder.
    """
    if folder.exists():
        raise MeznetError(f"{folder} is there already; name a new folder.")
    above = next(parent for parent in folder.absolute().parents if parent.exists())
    try:
        tempfile.TemporaryDirectory(dir=above).cleanup()
    except OSError as error:
        raise MeznetError(f"{folder} can't be written ({reason(error)}).") from error
