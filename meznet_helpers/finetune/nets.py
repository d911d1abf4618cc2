"""Nets ready for fine-tuning: the best weights there are, a new head, and preprocessing inside."""

import types
from collections.abc import Sequence
from functools import partial
from typing import Any

from meznet_helpers.assets import profile, store
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import Backbone, registry

MOMENTUM = 0.03  # Keras' 0.01 and 0.001 lag behind so short a training


def weights_for(name: str) -> str:
    """Say which weights `build` starts from in the profile that is on.

    Parameters
    ----------
    name : str
        ``keras/APPLICATION``, or ``timm/NET``.

    Returns
    -------
    str
        In the full profile ``NAME@imagenet``, published ones; in the tiny profile ``NAME@tiny``,
        this project's, or where there are none ``"random"``.

    Examples
    --------
    >>> weights_for("keras/MobileNetV2"), weights_for("timm/vit_tiny_patch16_224")
    ('keras/MobileNetV2@tiny', 'random')
    """
    if profile.active() == "full":
        return f"{name}@imagenet"
    return f"{name}@tiny" if f"{name}@tiny" in registry() else "random"


def build(name: str, outputs: int, size: int) -> Any:
    """Build a net for `meznet_helpers.finetune.fit`.

    What is random in it comes from the random numbers of Keras or torch as they stand.

    Parameters
    ----------
    name : str
        ``keras/APPLICATION``, or ``timm/NET``.
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
    framework, _, architecture = name.partition("/")
    weights = weights_for(name)
    try:
        net = {"keras": _keras, "timm": _timm}[framework](architecture, weights, outputs, size)
    except (ValueError, AssertionError) as error:
        why = " ".join(str(error).split()).rstrip(".")
        raise MeznetError(f"{name} can't be built for images of {size} pixels: {why}.") from error
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

    class Scaled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net
            for key, values in (("mean", mean), ("deviation", deviation)):
                tensor = 255 * torch.tensor(values, dtype=torch.float32).view(3, 1, 1)
                self.register_buffer(key, tensor, persistent=False)

        def forward(self, pixels: Any) -> Any:
            return self.net((pixels - self.mean) / self.deviation)

    return Scaled()


def _timm(architecture: str, weights: str, outputs: int, size: int) -> Any:
    """Build a net of timm; one that needs to know the size of its images is told."""
    import timm
    import torch

    from meznet_helpers.labelers import timm as labelers

    if not timm.is_model(architecture):
        raise MeznetError(f'timm has no net "{architecture}"; see timm.list_models().')
    options = {"img_size": size} if "vit" in architecture or "deit" in architecture else {}
    if weights == "random":
        net = timm.create_model(architecture, num_classes=outputs, **options)
    else:
        net = labelers.build(architecture, 1000, options)
        net.reset_classifier(outputs)
    config = timm.data.resolve_model_data_config(net)
    net = net.to(memory_format=torch.channels_last)
    return scaled(net, config["mean"], config["std"])


def _keras(architecture: str, weights: str, outputs: int, size: int) -> Any:
    """Build a Keras application on the torch backend, with mean pooling and a new dense layer.

    The channels come first in shape, which is up to 1.4 times faster in training; NASNet alone
    knows no such thing. Batch normalization is torch's own. Nothing drops out, as in timm's nets.
    """
    import keras

    if keras.backend.backend() != "torch":
        raise MeznetError(
            f"keras/{architecture} is fine-tuned on Keras' torch backend; set KERAS_BACKEND=torch "
            "in a process of its own."
        )
    net = registry().get(weights) or registry()[f"keras/{architecture}@imagenet"]
    first = not architecture.startswith("NASNet")
    before = keras.config.image_data_format()
    keras.utils.clear_session()  # the layers of a second build are called as those of the first
    keras.config.set_image_data_format("channels_first" if first else "channels_last")
    try:
        body = _body(net, weights, (3, size, size) if first else (size, size, 3))
        model = keras.Model(body.input, keras.layers.Dense(outputs, name="head")(body.output))
    finally:
        keras.config.set_image_data_format(before)
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.call = types.MethodType(_batch_norm, layer)
        elif isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return _as_torch(model, net.mode, first)


def _body(net: Backbone, weights: str, shape: tuple[int, int, int]) -> Any:
    """Build an application without its head, and fill it."""
    import keras

    from meznet_helpers.labelers import packing
    from meznet_helpers.labelers.keras import place_published

    make = getattr(keras.applications, net.application)
    if net.application == "NASNetMobile":
        # Keras refuses it on torch; what it builds gives the same numbers there as on TensorFlow.
        from keras.src.applications.nasnet import NASNet

        make = partial(
            NASNet,
            penultimate_filters=1056,
            num_blocks=4,
            stem_block_filters=32,
            skip_reduction=False,
            filter_multiplier=2,
            default_size=224,
            name="nasnet_mobile",
        )
    published = "imagenet" if weights.endswith("@imagenet") else None
    if published:
        place_published(net.application, max(shape), top=False)
    body = make(
        input_shape=shape, include_top=False, pooling="avg", weights=published, **net.options
    )
    if weights.endswith("@tiny"):
        found = packing.read(store.resolve(weights))
        for weight in body.weights:
            weight.assign(found[weight.path])
    return body


def _batch_norm(self: Any, inputs: Any, training: bool = False, mask: Any = None) -> Any:
    """Stand for ``keras.layers.BatchNormalization.call``."""
    from torch.nn import functional

    last = self.axis in (-1, inputs.ndim - 1)
    x = functional.batch_norm(
        inputs.movedim(-1, 1) if last else inputs,
        self.moving_mean.value,
        self.moving_variance.value,
        self.gamma.value if self.scale else None,
        self.beta.value if self.center else None,
        bool(training),
        MOMENTUM,
        self.epsilon,
    )
    return x.movedim(1, -1) if last else x


def _as_torch(model: Any, mode: str, first: bool) -> Any:
    """Wrap a Keras model so that torch's own `train` and `eval` count, preprocessing inside."""
    import torch
    from keras.applications import imagenet_utils

    class KerasNet(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            model.torch_params  # noqa: B018 (it makes the weights known to torch)

        def forward(self, pixels: Any) -> Any:
            if mode != "raw":
                # It changes what it is given.
                pixels = imagenet_utils.preprocess_input(pixels.clone(), "channels_first", mode)
            pixels = pixels.contiguous(memory_format=torch.channels_last)
            inputs = pixels if first else pixels.permute(0, 2, 3, 1)
            return self.model(inputs, training=self.training)

    return KerasNet()
