"""Nets ready for fine-tuning: the best weights there are, a new head, and preprocessing inside."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from typing import Any

from meznet_helpers.assets import store
from meznet_helpers.errors import MeznetError, reason
from meznet_helpers.labelers import backbone
from meznet_helpers.labelers.backbones import tagged

MOMENTUM = 0.03  # Keras' 0.01 and 0.001 lag behind so short a training


def build(name: str, outputs: int, size: int) -> Any:
    """Build a net for `meznet_helpers.finetune.fit`.

    What is random in it comes from the random numbers of Keras or torch as they stand.

    Parameters
    ----------
    name : str
        ``keras/APPLICATION@TAG`` or ``timm/NET@TAG``. The tag says which weights it starts from:
        ``imagenet``, published ones, as without a tag; ``tiny``, this project's, of Keras alone;
        ``random``, none.
    outputs : int
        Number of labels.
    size : int
        Side of the images, pixels.

    Returns
    -------
    torch.nn.Module
        From pixels, float32 (images, 3, size, size) from 0 to 255, to logits (images, outputs). It
        lies on the GPU if there is one.

    Raises
    ------
    MeznetError
        If the net can't be built for this size, its weights can't be had, or Keras has another
        backend than torch.
    """
    net, _, tag = tagged(name).partition("@")
    framework, _, architecture = net.partition("/")
    try:
        net = {"keras": _keras, "timm": _timm}[framework](architecture, tag, outputs, size)
    except (ValueError, AssertionError) as error:
        raise MeznetError(
            f"{name} can't be built for images of {size} pixels: {reason(error)}."
        ) from error
    import torch

    return net.to("cuda" if torch.cuda.is_available() else "cpu")


def scaled(net: Any, mean: Sequence[float], deviation: Sequence[float]) -> Any:
    """Put the scaling of pixels before a net.

    Parameters
    ----------
    net : torch.nn.Module
        From scaled pixels (images, 3, size, size).
    mean, deviation : sequence of three floats
        Taken off, and divided by, after pixels are brought from 0..255 to 0..1.

    Returns
    -------
    torch.nn.Module
        From pixels; the scaling has no weights.
    """
    import torch
    from torchvision.transforms import Normalize

    scale = Normalize(*((255 * torch.tensor(values)).tolist() for values in (mean, deviation)))
    return torch.nn.Sequential(OrderedDict(scale=scale, net=net))


def _timm(architecture: str, tag: str, outputs: int, size: int) -> Any:
    """Build a net of timm; one that needs to know the size of its images is told."""
    import timm
    import torch

    from meznet_helpers.labelers import timm as labelers

    if not timm.is_model(architecture):
        raise MeznetError(f'timm has no net "{architecture}"; see timm.list_models().')
    if tag not in ("random", "imagenet"):
        raise MeznetError(f"timm/{architecture} starts from @imagenet or @random, not from @{tag}.")
    options = {"img_size": size} if "vit" in architecture or "deit" in architecture else {}
    if tag == "random":
        net = timm.create_model(architecture, num_classes=outputs, **options)
    else:
        net = labelers.build(architecture, 1000, options)
        net.reset_classifier(outputs)
    config = timm.data.resolve_model_data_config(net)
    net = net.to(memory_format=torch.channels_last)
    return scaled(net, config["mean"], config["std"])


def _keras(architecture: str, tag: str, outputs: int, size: int) -> Any:
    """Build a Keras application on the torch backend, with mean pooling and a new dense layer.

    The channels come first in shape, which is up to 1.4 times faster in training; NASNet alone
    knows no such thing. Batch normalization is torch's own. Nothing drops out, as in timm's nets.
    """
    import keras

    from meznet_helpers.labelers import packing, private
    from meznet_helpers.labelers.keras import place_published

    if keras.backend.backend() != "torch":
        raise MeznetError(
            f"keras/{architecture} is fine-tuned on Keras' torch backend; set KERAS_BACKEND=torch "
            "in a process of its own."
        )
    weights = f"keras/{architecture}@{tag}"
    net = backbone(f"keras/{architecture}@imagenet" if tag == "random" else weights)
    nasnet = architecture == "NASNetMobile"
    make = private.nasnet_mobile() if nasnet else getattr(keras.applications, net.application)
    published = "imagenet" if tag == "imagenet" else None
    options = {"include_top": False, "pooling": "avg", "weights": published, **net.options}
    before = keras.config.image_data_format()
    keras.utils.clear_session()  # the layers of a second build are called as those of the first
    keras.config.set_image_data_format("channels_last" if nasnet else "channels_first")
    if published:
        place_published(net.application, size, top=False)
    try:
        body = make(input_shape=(size, size, 3) if nasnet else (3, size, size), **options)
        model = keras.Model(body.input, keras.layers.Dense(outputs, name="head")(body.output))
    finally:
        keras.config.set_image_data_format(before)
    if tag not in ("random", "imagenet"):
        stored = packing.read(store.resolve(weights))
        for weight in body.weights:
            weight.assign(stored[weight.path])
    return as_torch(model, net.mode, first=not nasnet)


def as_torch(model: Any, mode: str, first: bool) -> Any:
    """Make a net of torch of a Keras model on the torch backend, preprocessing inside.

    Batch normalization is torch's own, and nothing drops out.

    Parameters
    ----------
    model : keras.Model
    mode : str
        Of its preprocessing.
    first : bool
        Whether its channels come first in shape.

    Returns
    -------
    torch.nn.Module
        From pixels, as `build` has them. Torch's own `train` and `eval` count.
    """
    import keras
    import torch

    model.torch_params  # noqa: B018 (it makes the weights known to torch)
    net = torch.nn.Sequential(OrderedDict(model=model))
    net.register_forward_pre_hook(partial(_prepared, mode=mode, first=first))
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.call = partial(_batch_norm, layer, net)
        elif isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return net


def _prepared(net: Any, given: tuple[Any], *, mode: str, first: bool) -> Any:
    """Preprocess pixels, where Keras has a function for it with that."""
    import torch
    from keras.applications import imagenet_utils

    (pixels,) = given
    if mode == "lite":
        pixels = (pixels - 127) / 128
    elif mode != "raw":  # it changes what it is given
        pixels = imagenet_utils.preprocess_input(pixels.clone(), "channels_first", mode)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    return pixels if first else pixels.permute(0, 2, 3, 1)


def _batch_norm(layer: Any, net: Any, inputs: Any, **_: Any) -> Any:
    """Stand for a layer's ``call``: normalize by the batch if the net is being trained."""
    from torch.nn import functional

    last = layer.axis in (-1, inputs.ndim - 1)
    x = functional.batch_norm(
        inputs.movedim(-1, 1) if last else inputs,
        layer.moving_mean.value,
        layer.moving_variance.value,
        layer.gamma.value if layer.scale else None,
        layer.beta.value if layer.center else None,
        net.training,
        MOMENTUM,
        layer.epsilon,
    )
    return x.movedim(1, -1) if last else x
