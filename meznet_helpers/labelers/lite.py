"""EfficientNet-Lite: Google's published weights, in the nets that timm and Keras build.

The weights are those of Google's TensorFlow checkpoints, converted for torch; their padding and the
epsilon of batch normalization belong to them. So timm's ``tf_efficientnet_lite0`` is the right net,
and its ``efficientnet_lite0``, which takes the same weights without complaint, is not.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from meznet_helpers.errors import MeznetError, reason

_GROWTH = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2))  # of width and depth: EfficientNet-Lite0, 1, 2


def read(path: Path) -> list[np.ndarray]:
    """Read the published weights in the order of the net.

    Parameters
    ----------
    path : Path
        The file of an asset ``efficientnet-liteN``, whose metadata keep the order.

    Returns
    -------
    list of ndarray, float32
        Kernels (outputs, inputs, height, width), and behind each scale, offset, mean and variance
        of its normalization; last the classifier's kernel and bias.

    Raises
    ------
    MeznetError
        If the file can't be read.

    Examples
    --------
    >>> read(Path("nowhere"))
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: nowhere holds no weights of EfficientNet-Lite: ...
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            values = [file.get_tensor(key) for key in json.loads(file.metadata()["keys"])]
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        why = f"{path} holds no weights of EfficientNet-Lite: {reason(error)}."
        raise MeznetError(why) from error
    return [value for value in values if value.dtype.kind == "f"]  # without counts of batches


def keras_model(number: int, size: int) -> Any:
    """Build EfficientNet-Lite by Keras' own builder, with random weights.

    Parameters
    ----------
    number : {0, 1, 2}
        Which of the three.
    size : int
        Side of the pictures, pixels.

    Returns
    -------
    keras.Model
        From pixels, 127 taken off and divided by 128, to probabilities of 1,000 labels. The layers
        that scale pixels in other EfficientNets leave them as they are.
    """
    from keras.src.applications.efficientnet import DEFAULT_BLOCKS_ARGS, EfficientNet

    width, depth = _GROWTH[number]

    def filters(count: int) -> int:
        """Round to a multiple of 8, but not down by more than a tenth."""
        near = max(8, int(count * width + 4) // 8 * 8)
        return near + 8 if near < 0.9 * count * width else near

    blocks = [
        stage
        | {
            "se_ratio": 0,
            "repeats": math.ceil(stage["repeats"] * depth),
            "filters_in": filters(stage["filters_in"]),
            "filters_out": filters(stage["filters_out"]),
        }
        for stage in DEFAULT_BLOCKS_ARGS
    ]
    # the ends of the net do not grow
    blocks[0] |= {"repeats": 1, "filters_in": DEFAULT_BLOCKS_ARGS[0]["filters_in"]}
    blocks[-1]["repeats"] = 1
    model = EfficientNet(
        1.0, 1.0, size, activation="relu6", blocks_args=blocks, weights=None,
        input_shape=(size, size, 3), name=f"efficientnet_lite{number}",
    )  # fmt: skip
    normalization = _normalization(model)
    normalization.adapt_variance.assign([255.0**-2] * 3)  # undoes the division by 255 before it
    normalization.finalize_state()
    return model


def _normalization(model: Any) -> Any:
    """Find the layer that scales pixels."""
    return next(layer for layer in model.layers if type(layer).__name__ == "Normalization")


def fill(model: Any, values: list[np.ndarray], path: Path) -> None:
    """Fill a Keras model of `keras_model`.

    Parameters
    ----------
    model : keras.Model
    values : list of ndarray
        As `read` returns them.
    path : Path
        Where they come from, for the sentence.

    Raises
    ------
    MeznetError
        If there are others than the model has.
    """
    scaling = {id(weight) for weight in _normalization(model).weights}
    weights = [weight for weight in model.weights if id(weight) not in scaling]
    values = [_as_keras(value) for value in values]
    shapes = [tuple(weight.shape) for weight in weights]
    if shapes != [value.shape for value in values]:
        raise MeznetError(f"{path} does not fit {model.name}.")
    for weight, value in zip(weights, values, strict=True):
        weight.assign(value)


def _as_keras(value: np.ndarray) -> np.ndarray:
    """Turn a kernel of torch into one of Keras: outputs last, or, by depth, inputs last but one."""
    if value.ndim == 4:
        return value.transpose((2, 3, 0, 1) if value.shape[1] == 1 else (2, 3, 1, 0))
    return value.T
