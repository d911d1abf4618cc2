"""Train one Keras application on Tiny-ImageNet, on two CPU cores or a GPU.

    python data/models/train_keras.py MobileNetV2 --images tiny-imagenet-200 --out runs

`--images` is the unpacked data set (train/<wnid>/images/*.JPEG). After each epoch the run is saved
to `--out`; the same command goes on from there. `export_keras.py` turns a finished run into an
asset. To train a bundled net further, append a phase to its recipe and add `--further`.
One single-threaded process per core trains more images per second than one process with
two threads (870 against 700 for MobileNet), so run two nets side by side.
"""

import argparse
import csv
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from meznet_helpers.progress import bar

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

HERE = Path(__file__).parent
SIDE = 64  # pixels of a Tiny-ImageNet photograph
HELD_OUT = 10  # training images per class that choose the input size, and train nothing


@dataclass(frozen=True)
class Phase:
    """One stretch of a recipe: warm up, then a cosine down to zero.

    `sizes` holds the input size of each epoch. `length` is the number of epochs the cosine was
    drawn for; a phase that is shorter was cut off there. A new phase starts a new optimizer.
    """

    sizes: tuple[int, ...]
    rate: float
    batch: int
    area: float
    smoothing: float
    decay: float
    length: int = 0
    warm_up: int = 300
    start: int = 0

    @property
    def epochs(self) -> int:
        """Epochs of the whole cosine."""
        return self.length or self.start + len(self.sizes)


def recipes() -> dict[str, dict[str, Any]]:
    """Read `recipes.json`: what was really run for each net."""
    text = (HERE / "recipes.json").read_text(encoding="utf-8")
    nets = json.loads(text)
    for net in nets.values():
        net["phases"] = [Phase(**{**p, "sizes": tuple(p["sizes"])}) for p in net["phases"]]
    return nets


def load_images(folder: Path, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """Decode the training images once; later runs map the cached arrays into memory."""
    if not (cache / "train_y.npy").exists():
        files = sorted(folder.glob("train/*/images/*.JPEG"))
        wnids = sorted({file.parts[-3] for file in files})
        if len(wnids) != 200:
            raise SystemExit(
                f"{folder} has {len(wnids)} classes below train/; Tiny-ImageNet has 200."
            )
        cache.mkdir(parents=True, exist_ok=True)
        pixels = np.lib.format.open_memmap(
            cache / "train_x.npy", "w+", np.uint8, (len(files), SIDE, SIDE, 3)
        )
        for at, file in enumerate(bar(files, label="decode", unit="image")):
            pixels[at] = np.asarray(Image.open(file).convert("RGB"))
        pixels.flush()
        np.save(
            cache / "train_y.npy", np.array([wnids.index(f.parts[-3]) for f in files], np.int32)
        )
    return np.load(cache / "train_x.npy", mmap_mode="r"), np.load(cache / "train_y.npy")


def split(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split indices into those to train on and the last few of each class, held out."""
    held_out = np.concatenate([np.flatnonzero(truth == c)[-HELD_OUT:] for c in np.unique(truth)])
    return np.setdiff1d(np.arange(len(truth)), held_out), held_out


def random_boxes(rng: np.random.Generator, count: int, size: int, area: float) -> np.ndarray:
    """Draw crop boxes (y1, x1, y2, x2) for `tf.image.crop_and_resize`; half of them mirrored.

    A crop covers `area` to all of the image, at an aspect from 4:5 to 5:4. The corners are chosen
    so that samples lie at pixel centres, as they do when the whole image is resized later.
    """
    share = rng.uniform(area, 1.0, count)
    aspect = np.exp(rng.uniform(np.log(4 / 5), np.log(5 / 4), count))
    height = np.minimum(np.sqrt(share / aspect), 1.0)
    width = np.minimum(np.sqrt(share * aspect), 1.0)

    def ends(start: np.ndarray, length: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first = (SIDE * (start + 0.5 * length / size) - 0.5) / (SIDE - 1)
        last = (SIDE * (start + (size - 0.5) * length / size) - 0.5) / (SIDE - 1)
        return np.clip(first, 0, 1), np.clip(last, 0, 1)

    y1, y2 = ends(rng.uniform(0, 1 - height), height)
    x1, x2 = ends(rng.uniform(0, 1 - width), width)
    mirrored = rng.random(count) < 0.5
    x1, x2 = np.where(mirrored, x2, x1), np.where(mirrored, x1, x2)
    return np.stack([y1, x1, y2, x2], 1).astype(np.float32)


def preprocess(pixels: Any, mode: str) -> Any:
    """Scale pixels inside the graph, with Keras' own function."""
    from keras.applications import imagenet_utils

    return pixels if mode == "raw" else imagenet_utils.preprocess_input(pixels, mode=mode)


def build(net: dict[str, Any], size: int) -> Any:
    """Build the application for one input size, without weights and with logits at the end."""
    import keras

    return getattr(keras.applications, net["application"])(
        input_shape=(size, size, 3),
        weights=None,
        classes=200,
        classifier_activation=None,
        **net["options"],
    )


def he_start(model: Any, seed: int) -> None:
    """Draw convolutions as He et al. (2015) do, arXiv:1502.01852, by fan-in."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_variables:
        if weight.name == "kernel" and len(weight.shape) == 4:
            channels = 1 if weight.shape[3] == 1 else weight.shape[2]  # depthwise: one filter each
            fan_in = weight.shape[0] * weight.shape[1] * channels
            weight.assign(rng.normal(0, np.sqrt(2 / fan_in), weight.shape))


class Trainer:
    """Model, optimizer and compiled step for one input size, carrying their state over."""

    def __init__(self, net: dict[str, Any], phase: Phase, size: int, state: Any) -> None:
        """Build everything and fill it from `state`: weights, then optimizer variables."""
        import keras
        import tensorflow as tf

        self.model = model = build(net, size)
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.95  # Keras' 0.99 and 0.999 lag behind so short a training
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = 0.0  # ten epochs underfit; nothing to regularize
        self.optimizer = optimizer = keras.optimizers.AdamW(
            phase.rate, weight_decay=phase.decay, beta_2=0.99, epsilon=1e-6
        )
        optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
        optimizer.build(model.trainable_variables)
        for variables, values in zip((model.weights, optimizer.variables), state, strict=True):
            for variable, value in zip(variables, values, strict=bool(values)):
                variable.assign(value)

        @tf.function
        def step(pixels: Any, boxes: Any, truth: Any, rate: Any) -> Any:
            pixels = tf.image.crop_and_resize(
                tf.cast(pixels, tf.float32), boxes, tf.range(tf.shape(pixels)[0]), [size, size]
            )
            optimizer.learning_rate.assign(rate)
            with tf.GradientTape() as tape:
                logits = model(preprocess(pixels, net["mode"]), training=True)
                log_probs = tf.nn.log_softmax(logits)
                right = tf.reduce_mean(tf.gather(log_probs, truth, batch_dims=1))
                loss = -(1 - phase.smoothing) * right - phase.smoothing * tf.reduce_mean(log_probs)
            variables = model.trainable_variables
            optimizer.apply(tape.gradient(loss, variables), variables)
            hit = tf.argmax(logits, 1, output_type=tf.int32) == truth
            return loss, tf.reduce_mean(tf.cast(hit, tf.float32))

        self.step = step

    def state(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Weights and optimizer variables as arrays."""
        return self.model.get_weights(), [v.numpy() for v in self.optimizer.variables]


def rates(phase: Phase, steps: int, epoch: int) -> Iterator[float]:
    """Yield the learning rate of each step of an epoch."""
    total = phase.epochs * steps
    for at in range(epoch * steps, (epoch + 1) * steps):
        if at < phase.warm_up:
            yield phase.rate * (at + 1) / phase.warm_up
        else:
            share = (at - phase.warm_up) / (total - phase.warm_up)
            yield phase.rate * 0.5 * (1 + np.cos(np.pi * share))


def accuracy(net: dict[str, Any], weights: Any, x: np.ndarray, y: np.ndarray, size: int) -> float:
    """Top-1 accuracy on whole images, resized."""
    import tensorflow as tf

    model = build(net, size)
    model.set_weights(weights)

    @tf.function
    def guess(pixels: Any) -> Any:
        resized = tf.image.resize(tf.cast(pixels, tf.float32), [size, size])
        return tf.argmax(model(preprocess(resized, net["mode"]), training=False), 1)

    guesses = [guess(tf.constant(x[at : at + 250])).numpy() for at in range(0, len(y), 250)]
    return float(np.mean(np.concatenate(guesses) == y))


def bundled(name: str, net: dict[str, Any], log: Path) -> tuple[int, Any]:
    """Return epochs done and weights of the net in this folder, and copy its log."""
    from safetensors.numpy import load_file

    stored = load_file(HERE / name / "weights.safetensors")
    with (HERE / name / "log.csv").open(encoding="utf-8", newline="") as file:
        lines = [
            {key: json.loads(value) for key, value in row.items()} for row in csv.DictReader(file)
        ]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    weights = [stored[weight.path].astype(np.float32) for weight in build(net, SIDE).weights]
    return len(lines), (weights, ())


def train(name: str, images: Path, out: Path, seed: int, further: bool = False) -> None:
    """Run a recipe from its last checkpoint, or from the bundled weights, to its end."""
    import keras
    import tensorflow as tf

    net = recipes()[name]
    x, y = load_images(images, out / "cache")
    training, held_out = split(y)
    keras.utils.set_random_seed(seed)
    checkpoint, log = out / f"{name}.npz", out / f"{name}.jsonl"
    done, state = 0, ((), ())
    if checkpoint.exists():
        with np.load(checkpoint) as stored:
            done = int(stored["done"])
            state = tuple(
                [
                    stored[key]
                    for key in sorted(stored.files, key=lambda k: (len(k), k))
                    if key[0] == kind
                ]
                for kind in "wo"
            )
    elif further:
        done, state = bundled(name, net, log)
    plan = [(phase, at) for phase in net["phases"] for at in range(len(phase.sizes))]
    trainer, last = None, None
    for number, (phase, at) in enumerate(plan[done:], done):
        size, epoch = phase.sizes[at], phase.start + at
        if (phase, size) != last:
            if trainer:
                state = trainer.state()
            if at == 0 and phase.start == 0:
                state = (state[0], ())
            trainer, last = Trainer(net, phase, size, state), (phase, size)
            if number == 0 and net.get("he"):
                he_start(trainer.model, seed)
        rng = np.random.default_rng([seed, epoch])
        order, steps = rng.permutation(training), len(training) // phase.batch
        start, seen = time.time(), []
        batches = bar(range(steps), label=f"{name}, epoch {number + 1} of {len(plan)}")
        for batch, rate in zip(batches, rates(phase, steps, epoch), strict=True):
            chosen = np.sort(order[batch * phase.batch : (batch + 1) * phase.batch])
            boxes = random_boxes(rng, phase.batch, size, phase.area)
            arguments = (x[chosen], boxes, y[chosen], np.float32(rate))
            seen.append([float(v) for v in trainer.step(*map(tf.constant, arguments))])
        weights, variables = trainer.state()
        loss, train_accuracy = np.mean(seen, 0)
        line = {
            "epoch": number + 1,
            "size": size,
            "loss": round(float(loss), 4),
            "train": round(float(train_accuracy), 4),
            "held_out": accuracy(net, weights, x[held_out], y[held_out], size),
            "seconds": round(time.time() - start),
        }
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        aside = checkpoint.with_suffix(".part.npz")
        arrays = {f"w{i}": w for i, w in enumerate(weights)}
        np.savez(aside, done=number + 1, **arrays, **{f"o{i}": v for i, v in enumerate(variables)})
        aside.replace(checkpoint)


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=sorted(recipes()))
    parser.add_argument("--images", type=Path, required=True, help="the folder tiny-imagenet-200")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="checkpoints and logs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of this process")
    parser.add_argument("--further", action="store_true", help="begin with the bundled weights")
    args = parser.parse_args()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    train(args.name, args.images, args.out, args.seed, args.further)


if __name__ == "__main__":
    main()
