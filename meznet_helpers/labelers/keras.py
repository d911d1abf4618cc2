"""Keras applications as labelers, with one compiled function instead of ``model.predict``."""

import dataclasses
import functools
import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from meznet_helpers.assets import download, store
from meznet_helpers.errors import MeznetError, reason
from meznet_helpers.labelers import lite, onnx, packing
from meznet_helpers.labelers.backbones import Backbone
from meznet_helpers.labelers.network import SPACES, BackboneLabeler
from meznet_helpers.labelers.timm import TrainedLabeler

#: The files of each application, with the classifier and without: name, address and hash. Keras
#: keeps them in its code; its own downloader can neither go on nor be kept off the network.
PUBLISHED = Path(__file__).with_name("keras_weights.json")
#: Widths (alpha) that Keras has weights for, and what its files' names say instead of 1.
WIDTHS = {
    "MobileNet": {0.25: "2_5", 0.5: "5_0", 0.75: "7_5"},
    "MobileNetV2": {alpha: str(alpha) for alpha in (0.35, 0.5, 0.75, 1.3, 1.4)},
}


class KerasLabeler(BackboneLabeler):
    """A Keras application with its own preprocessing.

    The network is built at the first prediction. On the TensorFlow backend it runs as one
    compiled graph with its weights frozen in; on the torch backend in inference mode.

    Parameters
    ----------
    backbone : Backbone

    Examples
    --------
    >>> from meznet_helpers.labelers.backbones import backbone
    >>> net = KerasLabeler(backbone("keras/MobileNetV2@tiny"))
    >>> net.predict([np.zeros((64, 64, 3), np.uint8)]).probs.shape
    (1, 1, 200)
    """

    @property
    def framework(self) -> str:
        """Keras' backend: of this process, or the one that Keras will take when it is imported."""
        if "keras" in sys.modules:
            return sys.modules["keras"].config.backend()
        if os.environ.get("KERAS_BACKEND"):
            return os.environ["KERAS_BACKEND"]
        try:
            settings = json.loads((_home() / "keras.json").read_text(encoding="utf-8"))
            return settings.get("backend", "tensorflow")
        except (OSError, ValueError):
            return "tensorflow"

    def here(self) -> bool:
        """Say whether the weights are on this machine; see `NetworkLabeler.here`."""
        if self.backbone.tag == "imagenet" and not self.backbone.asset:
            return downloaded(self.backbone)
        return super().here()

    @functools.cached_property
    def model(self) -> Any:
        """The Keras model, with weights (``keras.Model``)."""
        return build(self.backbone)

    @functools.cached_property
    def _run(self) -> Callable[[np.ndarray], np.ndarray]:
        return compiled(self.model)

    def _probabilities(self, images: list[np.ndarray]) -> np.ndarray:
        """Label one batch; see `Labeler.probabilities`."""
        return self._run(self.backbone.prepare(images))

    @functools.cached_property
    def _encode(self) -> Callable[[np.ndarray], np.ndarray]:
        return compiled(headless(self.model))

    def _encoder(self, half: bool) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function to features; see `NetworkLabeler._encoder`."""
        if half:
            raise MeznetError(f"half is for nets on torch; {self.name} computes in 32 bits.")
        return self._encode

    def _tensors(self) -> Iterable[np.ndarray]:
        """Yield the weights; see `NetworkLabeler._tensors`."""
        return self.model.get_weights()

    def weights_digest(self) -> str:
        """Return the hash of the source; see `BackboneLabeler.weights_digest`."""
        if self.backbone.tag != "imagenet" or self.backbone.asset:
            return super().weights_digest()
        return " ".join(map(str, _published(self.backbone.application, self.backbone.size)[0]))

    def _export(self, path: str) -> np.ndarray:
        """Write the net by Keras on torch; see `BackboneLabeler._export`.

        EfficientNet-Lite is one net in two frameworks; timm's is written, which turns no axes.
        """
        if self.backbone.asset:
            twin = {
                "framework": "timm",
                "application": f"tf_{self.backbone.asset}".replace("-", "_"),
            }
            return TrainedLabeler(dataclasses.replace(self.backbone, **twin))._export(path)
        model = build(self.backbone)
        import torch

        both = _import_keras().Model(model.inputs, [*model.outputs, *headless(model).outputs])

        class Net(torch.nn.Module):
            """Both outputs, in a form that torch exports."""

            def __init__(self) -> None:
                """Hold the Keras model, whose variables are torch's."""
                super().__init__()
                self.model = both

            def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
                """Return probabilities and features."""
                return tuple(self.model(batch, training=False))

        return onnx.write(Net(), self.backbone.size, Path(path))

    def release(self) -> None:
        """Forget the network and free its memory; the next prediction builds it again."""
        for made in ("_run", "_encode", "model"):
            self.__dict__.pop(made, None)
        super().release()


def build(backbone: Backbone) -> Any:
    """Build a Keras application and load its weights.

    Parameters
    ----------
    backbone : Backbone

    Returns
    -------
    keras.Model
        From inputs (images, size, size, 3) float32 to probabilities (images, labels).

    Raises
    ------
    MeznetError
        If weights are missing and may not be downloaded, or published ones are asked for with
        other options than the application's own.
    """
    if backbone.asset:
        path, model = store.resolve(backbone.asset), untrained(backbone)
        lite.fill(model, lite.read(path), path)
        return model
    if backbone.tag == "imagenet":
        alpha, files = backbone.options.get("alpha"), WIDTHS.get(backbone.application, {})
        if backbone.options and (len(backbone.options) > 1 or alpha not in files):
            raise MeznetError(f"{backbone.name} has published weights for its own options alone.")
        place_published(backbone.application, backbone.size, width=files.get(alpha))
        return _application(backbone, weights="imagenet")
    model = untrained(backbone)
    load_weights(model, store.resolve(backbone.name))
    return model


def headless(model: Any) -> Any:
    """Cut a Keras application before its classifier, the last layer with a kernel.

    Parameters
    ----------
    model : keras.Model
        As `build` returns it.

    Returns
    -------
    keras.Model
        From the same inputs to features (images, d): what the classifier sees, pooled.

    Examples
    --------
    >>> net = Backbone("MobileNet", "tiny", 32, "raw", "tiny_imagenet", options={"alpha": 0.25})
    >>> headless(untrained(net)).output_shape
    (None, 256)
    """
    import keras

    classifier = [layer for layer in model.layers if hasattr(layer, "kernel")][-1]
    return keras.Model(model.inputs, keras.layers.Flatten()(classifier.input))


def untrained(backbone: Backbone) -> Any:
    """Build a Keras application with random weights.

    Parameters
    ----------
    backbone : Backbone

    Returns
    -------
    keras.Model
        As `build` returns it.

    Examples
    --------
    >>> options = {"alpha": 0.25}
    >>> net = Backbone("MobileNet", "tiny", 32, "raw", "tiny_imagenet", options=options)
    >>> untrained(net).output_shape
    (None, 200)
    """
    return _application(backbone, weights=None, classes=len(SPACES[backbone.labels]()))


def _application(backbone: Backbone, **settings: Any) -> Any:
    """Build a Keras application for the backbone's size of input."""
    keras, side = _import_keras(), backbone.size
    keras.config.set_image_data_format("channels_last")  # as weights are, whatever keras.json says
    if backbone.asset:
        return lite.keras_model(int(backbone.application[-1]), side)
    builder = getattr(keras.applications, backbone.application)
    try:
        return builder(input_shape=(side, side, 3), **settings, **backbone.options)
    except ValueError as error:
        raise MeznetError(
            f"{backbone.name} can't be built for pictures of {side} x {side} pixels "
            f"({reason(error)})."
        ) from error


def _import_keras() -> Any:
    """Import Keras without the notes that TensorFlow writes before its log level counts."""
    if "keras" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        sys.stderr.flush()
        stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        try:
            import keras
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            os.close(nowhere)
    import keras

    return keras


def load_weights(model: Any, path: Path) -> None:
    """Fill a Keras model from a safetensors file, whatever precision it stores.

    Parameters
    ----------
    model : keras.Model
    path : Path
        One tensor per weight, named by the weight's path in the model.

    Raises
    ------
    MeznetError
        If the file can't be read, or names or shapes do not match the model.
    """
    values = packing.read(path)
    packing.check(path, model.name, {w.path: tuple(w.shape) for w in model.weights}, values)
    for weight in model.weights:
        weight.assign(values[weight.path])


def compiled(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Compile a model's forward pass once, for any number of images.

    ``model.predict`` sets up a data pipeline at each call; for one image that costs several
    times the network itself.

    Parameters
    ----------
    model : keras.Model

    Returns
    -------
    callable
        From float32 (images, size, size, 3) to float32 (images, labels).
    """
    import keras

    if keras.backend.backend() == "torch":
        import torch

        def run(batch: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                return keras.ops.convert_to_numpy(model(batch, training=False))

        return run

    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]
    graph = tf.function(lambda batch: model(batch, training=False), input_signature=signature)
    frozen = convert_variables_to_constants_v2(graph.get_concrete_function())
    return lambda batch: frozen(tf.constant(batch))[0].numpy()


def _home() -> Path:
    """Return Keras' folder of settings and weights."""
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))


def _published(application: str, size: int) -> list[list[str]]:
    """Return name, address and hash of an application's weights, with and without classifier."""
    files = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    return files.get(f"{application} {size}") or files[application]


def downloaded(backbone: Backbone) -> bool:
    """Say whether the weights that Keras publishes lie where it looks for them.

    Examples
    --------
    >>> import tempfile
    >>> from unittest import mock
    >>> from meznet_helpers.labelers.backbones import backbone
    >>> file = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5"
    >>> with tempfile.TemporaryDirectory() as home, mock.patch.dict("os.environ", KERAS_HOME=home):
    ...     Path(home, "models").mkdir()
    ...     Path(home, "models", file).touch()
    ...     names = ["keras/MobileNetV2@imagenet", "keras/MobileNet@imagenet"]
    ...     [downloaded(backbone(name)) for name in names]
    [True, False]
    """
    name, _, _ = _published(backbone.application, backbone.size)[0]
    return (_home() / "models" / name).is_file()


def place_published(
    application: str, size: int, *, top: bool = True, width: str | None = None
) -> None:
    """Put the weights that Keras publishes where it looks for them, so that it downloads nothing.

    Parameters
    ----------
    application : str
        As in ``keras.applications``.
    size : int
        Side of the pictures, pixels; the MobileNets have weights for several.
    top : bool
        With the classifier.
    width : str, optional
        One of `WIDTHS`, as the names of the files have it.

    Raises
    ------
    MeznetError
        If they can't be downloaded, or may not be (``MEZNET_OFFLINE``).
    """
    name, url, known_hash = _published(application, size)[0 if top else 1]
    if width:
        name, url = (re.sub(r"_1[_.]0_", f"_{width}_", text) for text in (name, url))
    file = download.fetch(url, _home().absolute() / "models" / name, known_hash=known_hash)
    # Where its home was another one when it was imported, or can't be written, Keras looks
    # elsewhere: then it copies the file.
    digits = known_hash and known_hash.partition(":")[2]
    keras = _import_keras()
    keras.utils.get_file(name, file.as_uri(), cache_subdir="models", file_hash=digits)
