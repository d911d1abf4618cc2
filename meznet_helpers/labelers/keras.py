"""Keras applications as labelers, with one compiled function instead of ``model.predict``."""

import contextlib
import functools
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from meznet_helpers.assets import download, profile, store
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import packing
from meznet_helpers.labelers.backbones import Backbone
from meznet_helpers.labelers.network import SPACES, BackboneLabeler


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

    @functools.cached_property
    def model(self) -> Any:
        """The Keras model, with weights (``keras.Model``)."""
        return build(self.backbone)

    @functools.cached_property
    def _run(self) -> Callable[[np.ndarray], np.ndarray]:
        return compiled(self.model)

    def probabilities(self, images: list[np.ndarray]) -> np.ndarray:
        """Label one batch; see `Labeler.probabilities`."""
        return self._run(self.backbone.prepare(images))

    @functools.cached_property
    def _encode(self) -> Callable[[np.ndarray], np.ndarray]:
        return compiled(headless(self.model))

    def encoder(self, half: bool) -> Callable[[np.ndarray], np.ndarray]:
        """Return the function to features; see `NetworkLabeler.encoder`."""
        if half:
            raise MeznetError(f"half is for nets on torch; {self.name} computes in 32 bits.")
        return self._encode

    def tensors(self) -> Iterable[np.ndarray]:
        """Yield the weights; see `NetworkLabeler.tensors`."""
        return self.model.get_weights()

    def release(self) -> None:
        """Forget the network and free its memory; the next prediction builds it again."""
        self.__dict__.pop("_run", None)
        self.__dict__.pop("_encode", None)
        self.__dict__.pop("model", None)
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
        If weights are missing and may not be downloaded.
    """
    if backbone.tag == "imagenet":
        with _downloads_by_store():
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
    builder = getattr(keras.applications, backbone.application)
    try:
        return builder(input_shape=(side, side, 3), **settings, **backbone.options)
    except ValueError as error:
        why = " ".join(str(error).split())[:200].rstrip(".")
        said = f"{backbone.name} can't be built for pictures of {side} x {side} pixels ({why})."
        raise MeznetError(said) from error


def _import_keras() -> Any:
    """Import Keras without the notes that TensorFlow writes before its log level counts."""
    if "keras" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        sys.stderr.flush()
        kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        try:
            import keras
        finally:
            os.dup2(kept, 2)
            os.close(kept)
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
    found = packing.read(path)
    packing.check(path, model.name, {w.path: tuple(w.shape) for w in model.weights}, found)
    for weight in model.weights:
        weight.assign(found[weight.path])


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


def downloaded(backbone: Backbone) -> bool:
    """Say whether published weights lie where Keras puts them, by what it calls such files.

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
    name = re.compile(rf"(weights)?{backbone.application.lower()}(weights.*|\d{{3}}.*)?")
    files = (re.sub(r"[\W_]", "", path.stem.lower()) for path in _home().glob("models/*.h5"))
    return any(name.fullmatch(file) and "notop" not in file for file in files)


@contextlib.contextmanager
def _downloads_by_store() -> Iterator[None]:
    """Send Keras' weight downloads through the store: sized, resumable, atomic, or offline."""
    from keras.src.utils import file_utils

    def get_file(
        fname: str, origin: str, *, cache_subdir: str, file_hash: str | None = None
    ) -> str:
        target = _home() / cache_subdir / fname
        if not target.exists():
            if profile.offline():
                raise MeznetError(
                    f"{target} is missing and MEZNET_OFFLINE is on; put the file there, or unset"
                    f" the variable to download it from {origin}."
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            known = f"md5:{file_hash}" if file_hash else None
            download.fetch(origin, target, known_hash=known)
        return str(target)

    original, file_utils.get_file = file_utils.get_file, get_file
    try:
        yield
    finally:
        file_utils.get_file = original
