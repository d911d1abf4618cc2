"""Turn a checkpoint of torch into a safetensors file: once, in a process of its own.

``python -m meznet_helpers.assets.convert net.pth net.safetensors`` does it. A process that has
TensorFlow must not load torch, so `meznet_helpers.assets.wheels` starts another.
"""

import json
import sys
from pathlib import Path

from meznet_helpers.errors import MeznetError, reason


def convert(source: str | Path, target: str | Path) -> None:
    """Write the tensors of a checkpoint as safetensors.

    Parameters
    ----------
    source : str or Path
        What ``torch.save`` wrote of a state dictionary. It is read with ``weights_only=True``:
        nothing in it is run.
    target : str or Path
        The safetensors file. Its tensors have the names, types, shapes and values of the source
        and are contiguous; its metadata hold ``keys``, a JSON list of the names in their order,
        which safetensors themselves do not keep.

    Raises
    ------
    MeznetError
        If the source can't be read, or holds anything but named tensors.

    Examples
    --------
    >>> convert("gone.pth", "gone.safetensors")
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: gone.pth is no checkpoint of torch (No such ...
    """
    source = Path(source)
    try:
        data = source.open("rb")
    except OSError as error:
        raise MeznetError(f"{source} is no checkpoint of torch ({reason(error)}).") from error
    import torch
    from safetensors.torch import save_file

    with data:
        try:
            table = torch.load(data, map_location="cpu", weights_only=True)
        except Exception as error:  # of pickle, zip files, torch
            raise MeznetError(f"{source} is no checkpoint of torch ({reason(error)}).") from error
    if not (isinstance(table, dict) and table) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in table.items()
    ):
        raise MeznetError(f"{source} holds something else than named tensors.")
    tensors = {
        key: value.detach().clone(memory_format=torch.contiguous_format)
        for key, value in table.items()
    }
    save_file(tensors, target, metadata={"keys": json.dumps(list(tensors))})


if __name__ == "__main__":
    try:
        convert(*sys.argv[1:])
    except Exception as error:  # one line for the process that started this one
        sys.exit(reason(error))
