"""Train one Keras application on Tiny-ImageNet, on two CPU cores or a GPU.

    python data/models/train_keras.py MobileNetV2 --images tiny-imagenet-200 --out runs

`--images` is the unpacked data set (train/<wnid>/images/*.JPEG). After each epoch the run is saved
to `--out`; the same command goes on from there. `export_keras.py` turns a finished run into an
asset. On a CPU run two nets side by side: one thread for each trains more images per second than
two threads for one.

Training runs on Keras' torch backend, with the channels first in shape and last in memory, and
with torch's own batch normalization. Side by side on one core each, at 64 pixels, it trains 340
images per second of MobileNetV2 where the TensorFlow backend trains 347, and 687 of
MobileNetV3Small where that trains 850. The weights are the same in both backends and layouts.
"""

import os
from typing import Any

import numpy as np
from training import Recipe, Run, committed, main

from meznet_helpers.finetune import nets


def build(recipe: Recipe, size: int) -> Any:
    """Build the application on the torch backend, channels first, with logits at the end."""
    import keras

    keras.utils.clear_session()  # a second build gives its weights the same names
    keras.config.set_image_data_format("channels_first")
    return getattr(keras.applications, recipe.application)(
        input_shape=(3, size, size),
        weights=None,
        classes=200,
        classifier_activation=None,
        **recipe.options,
    )


def depthwise(weight: Any) -> bool:
    """Tell a depthwise kernel: one filter for each channel."""
    return weight.name == "kernel" and len(weight.shape) == 4 and weight.shape[3] == 1


def he(weight: Any) -> float:
    """Standard deviation of a kernel at the start: He et al. (2015), arXiv:1502.01852, by fan-in.

    Keras counts every channel into the fan-in of a depthwise kernel, although each output sees
    one channel. Its kernels start ten times too small, and a step of the optimizer is ten times
    too large for them.
    """
    fan_in = weight.shape[:2] if depthwise(weight) else weight.shape[:-1]
    return float(np.sqrt(2 / np.prod(fan_in)))


def he_start(model: Any, seed: int) -> None:
    """Draw the kernels anew."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_variables:
        if weight.name == "kernel":
            weight.assign(rng.normal(0, he(weight), weight.shape))


class KerasRun(Run):
    """A Keras application on the torch backend."""

    framework = "keras"

    def build(self, seed: int) -> None:
        """Build the application, its kernels drawn anew."""
        self.model = build(self.recipe, self.size)
        he_start(self.model, seed)
        self.net = nets.as_torch(self.model, self.recipe.mode, first=True)

    def parameters(self) -> dict[str, Any]:
        """Return what is trained, by Keras' paths."""
        return {weight.path: weight.value for weight in self.model.trainable_variables}

    def weights(self) -> dict[str, Any]:
        """Return all weights by Keras' paths."""
        return {weight.path: weight.value for weight in self.model.weights}

    def go_on_from(self, start: str) -> None:
        """Take the weights that an earlier commit bundles for this net."""
        from safetensors.numpy import load

        earlier = load(committed(start, f"{self.file.stem}/weights.safetensors"))
        for weight in self.model.weights:
            values = earlier[weight.path].astype(np.float32)
            if self.recipe.rescale and depthwise(weight):  # batch norm takes the factor out again
                values *= he(weight) / values.std()
            weight.assign(values)

    def logits(self, images: Any, training: bool) -> Any:
        """Preprocess pixels and run the net on them; see `Run.logits`."""
        return self.net.train(training)(images)


if __name__ == "__main__":
    os.environ["KERAS_BACKEND"] = "torch"
    main(KerasRun, __doc__)
