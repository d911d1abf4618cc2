"""Weights in files: 16-bit floats, or 8-bit integers with one scale for each output channel."""

from pathlib import Path

import numpy as np

from meznet_helpers.errors import MeznetError, reason

SCALE = ".scale"


def pack(weights: dict[str, np.ndarray], bits: int) -> dict[str, np.ndarray]:
    """Store weights in lower precision.

    Parameters
    ----------
    weights : dict of str to ndarray, float
        By torch's names; the first axis of a kernel counts its outputs.
    bits : {8, 16}
        16: all as 16-bit floats. 8: kernels (names that end in ``weight``, of two dimensions or
        more) as whole numbers from -127 to 127, symmetric about zero, with a 16-bit scale for each
        output, as in Jacob et al. (2018), arXiv:1712.05877; the rest as 16-bit floats.

    Returns
    -------
    dict of str to ndarray, float16 or int8
        What `read` turns back; the scales of ``NAME`` are called ``NAME.scale``.

    Raises
    ------
    MeznetError
        If a weight is too large for 16 bits.

    Examples
    --------
    >>> kernel = np.array([[0.5, -1.0], [3.0, 0.0]], np.float32)
    >>> packed = pack({"fc.weight": kernel, "fc.bias": kernel[0]}, 8)
    >>> packed["fc.weight"].tolist(), packed["fc.bias"].dtype
    ([[64, -127], [127, 0]], dtype('float16'))
    """
    packed = {}
    for name, values in weights.items():
        if bits == 8 and values.ndim > 1 and name.endswith("weight"):
            largest = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True)
            scale = _half(np.maximum(largest / 127, np.finfo(np.float16).smallest_subnormal))
            packed[name] = np.clip(np.rint(values / scale), -127, 127).astype(np.int8)
            packed[name + SCALE] = scale
        else:
            packed[name] = _half(values)
    for name, values in packed.items():
        if not np.isfinite(values).all():
            raise MeznetError(f'weight "{name}" is too large for 16 bits.')
    return packed


def _half(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return values.astype(np.float16)


def unpack(packed: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Turn what `pack` returned into 32-bit floats.

    Examples
    --------
    >>> unpack({"a": np.array([[4], [2]], np.int8), "a.scale": np.array([[0.5], [2]], np.float16)})
    {'a': array([[2.], [4.]], dtype=float32)}
    """
    return {
        name: values.astype(np.float32) * packed[name + SCALE].astype(np.float32)
        if values.dtype == np.int8
        else values.astype(np.float32)
        for name, values in packed.items()
        if not name.endswith(SCALE)
    }


def read(path: Path) -> dict[str, np.ndarray]:
    """Read weights from a safetensors file, whatever precision it stores.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict of str to ndarray, float32

    Raises
    ------
    MeznetError
        If the file can't be read, or lacks a scale.

    Examples
    --------
    >>> read(Path("nowhere"))
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: nowhere is no readable safetensors file: ...
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return unpack(load_file(path))
    except (OSError, SafetensorError) as error:
        raise MeznetError(f"{path} is no readable safetensors file: {reason(error)}.") from error
    except KeyError as error:
        raise MeznetError(f"{path} lacks the tensor {error}.") from error


def check(path: Path, net: str, wanted: dict[str, tuple], values: dict[str, np.ndarray]) -> None:
    """Compare names and shapes of weights.

    Parameters
    ----------
    path : Path
        Where they come from, for the sentence.
    net : str
        What they are for.
    wanted : dict of str to tuple of int
        Shape by name.
    values : dict of str to ndarray

    Raises
    ------
    MeznetError
        If they differ; it names the first weight that does.

    Examples
    --------
    >>> check(Path("file"), "net", {"a": (2,)}, {"a": np.zeros(2)})
    >>> check(Path("file"), "net", {"a": (2,), "b": (1,)}, {"a": np.zeros(2)})
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: file does not fit net: weight "b" differs.
    """
    shapes = {name: tensor.shape for name, tensor in values.items()}
    if wanted != shapes:
        odd = sorted(set(wanted.items()) ^ set(shapes.items()))[0][0]
        raise MeznetError(f'{path} does not fit {net}: weight "{odd}" differs.')
