"""What the training scripts share: the photographs, crops, rates, and runs that resume.

`train_keras.py`, `train_timm.py` and `train_clip.py` each say how a net is built; everything else
is here. All of it runs on torch.
"""

import argparse
import dataclasses
import json
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from meznet_helpers.files import aside
from meznet_helpers.finetune import forward
from meznet_helpers.finetune import run as runs
from meznet_helpers.progress import bar

HERE = Path(__file__).parent
SIDE = 64  # pixels of a Tiny-ImageNet photograph
HELD_OUT = 10  # training images per class that choose the input size, and train nothing
WARM_UP = 300  # steps until the rate is reached


@dataclass(frozen=True)
class Recipe:
    """How one net is trained; `recipes.json` holds one for each."""

    application: str
    mode: str
    options: dict[str, Any]
    size: int
    epochs: int
    rate: float
    batch: int
    area: float
    decay: float
    framework: str = "keras"
    start: str = ""  # a commit whose weights of this net are trained further; timm: another recipe
    rescale: bool = False  # bring its depthwise kernels to the spread of `he_start` first
    small: int = 0  # so many epochs come first at SIDE pixels, not enlarged: Tan and Le (2021)
    emoji: int = 0  # drawings of each of Emoji Zoo's classes; timm: a second head learns them
    machine: str = ""  # CLIP: what it was trained on, for the card

    def size_at(self, epoch: int) -> int:
        """Input size of an epoch, counted from 0."""
        return SIDE if epoch < self.small else self.size


def recipes() -> dict[str, Recipe]:
    """Read `recipes.json`: what was run for each net."""
    text = (HERE / "recipes.json").read_text(encoding="utf-8")
    return {name: Recipe(**recipe) for name, recipe in json.loads(text).items()}


def load_images(folder: Path, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """Decode the training images once; later runs map the cached arrays into memory."""
    if not (cache / "train_y.npy").exists():
        files = sorted(folder.glob("train/*/images/*.JPEG"))
        wnids = sorted({file.parts[-3] for file in files})
        if len(wnids) != 200:
            raise SystemExit(
                f"{folder} has {len(wnids)} classes below train/; Tiny-ImageNet has 200."
            )
        with aside(cache / "train_x.npy") as part:
            pixels = np.lib.format.open_memmap(part, "w+", np.uint8, (len(files), SIDE, SIDE, 3))
            for row, file in enumerate(bar(files, label="decode", unit="image")):
                pixels[row] = np.asarray(Image.open(file).convert("RGB"))
            pixels.flush()
        truth = [wnids.index(file.parts[-3]) for file in files]
        np.save(cache / "train_y.npy", np.array(truth, np.int64))
    return np.load(cache / "train_x.npy", mmap_mode="r"), np.load(cache / "train_y.npy")


def split(truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split indices into those to train on and the last few of each class, held out."""
    held_out = np.concatenate([np.flatnonzero(truth == c)[-HELD_OUT:] for c in np.unique(truth)])
    return np.setdiff1d(np.arange(len(truth)), held_out), held_out


def crops(rng: np.random.Generator, count: int, area: float) -> np.ndarray:
    """Draw crops as affine maps (count, 2, 3) for `affine_grid`; half of them mirrored.

    A crop covers `area` to all of the image, at an aspect from 4:5 to 5:4, and lies inside it.
    Image coordinates run from -1 to 1.
    """
    share = rng.uniform(area, 1.0, count)
    aspect = np.exp(rng.uniform(np.log(4 / 5), np.log(5 / 4), count))
    height = np.minimum(np.sqrt(share / aspect), 1.0)
    width = np.minimum(np.sqrt(share * aspect), 1.0)
    maps = np.zeros((count, 2, 3), np.float32)
    maps[:, 0, 0] = np.where(rng.random(count) < 0.5, -width, width)
    maps[:, 1, 1] = height
    maps[:, 0, 2] = rng.uniform(width - 1, 1 - width)
    maps[:, 1, 2] = rng.uniform(height - 1, 1 - height)
    return maps


def rates(recipe: Recipe, steps: int, epoch: int) -> Iterator[float]:
    """Yield the learning rate of each step of an epoch: a warm-up, then a cosine down to zero."""
    total = recipe.epochs * steps
    for step in range(epoch * steps, (epoch + 1) * steps):
        if step < WARM_UP:
            yield recipe.rate * (step + 1) / WARM_UP
        else:
            yield recipe.rate * 0.5 * (1 + np.cos(np.pi * (step - WARM_UP) / (total - WARM_UP)))


def committed(commit: str, file: str) -> bytes:
    """Read a file of this folder as an earlier commit has it."""
    command = ["git", "-C", HERE, "show", f"{commit}:./{file}"]
    shown = subprocess.run(command, capture_output=True)
    if shown.returncode:
        raise SystemExit(f"{file} can't be read from commit {commit}: {shown.stderr.decode()}")
    return shown.stdout


def normalized(images: Any, mean: tuple[float, ...], deviation: tuple[float, ...]) -> Any:
    """Scale pixels (images, 3, height, width) from 0 to 255 by the channel."""
    import torch

    shift, spread = (torch.tensor(values, device=images.device) for values in (mean, deviation))
    return (images - shift.view(3, 1, 1)) / spread.view(3, 1, 1)


def logged(file: Path) -> list[dict[str, float]]:
    """Read the log of a run's file: one entry for each epoch done, none without a file."""
    return runs.read(file, "np")[1]["log"] if file.exists() else []


class Run(runs.Run, ABC):
    """A net of one framework, trained by one recipe."""

    framework: str  # whose nets these are

    def __init__(self, recipe: Recipe, file: Path, seed: int) -> None:
        """Build the net and fill it: from the file, from earlier weights, or at random."""
        import torch

        self.recipe, self.file = recipe, file
        self.size = recipe.size_at(len(logged(file)))
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.build(seed)
        facts = {"recipe": dataclasses.asdict(recipe), "seed": seed}
        options = {"decay": recipe.decay, "betas": (0.9, 0.99)}
        super().__init__(file, facts, self.weights, self.parameters(), **options)
        if not self.log and recipe.start:
            self.go_on_from(recipe.start)

    @abstractmethod
    def build(self, seed: int) -> None:
        """Make the net at random, for `self.size` pixels."""

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """Return what is trained, by name."""

    @abstractmethod
    def weights(self) -> dict[str, Any]:
        """Return all tensors of the net by name, those that are not trained too."""

    def go_on_from(self, start: str) -> None:
        """Take earlier weights of this net."""
        raise NotImplementedError

    @abstractmethod
    def logits(self, images: Any, training: bool) -> Any:
        """Preprocess pixels (images, 3, size, size) and run the net on them."""

    def step(self, pixels: np.ndarray, maps: np.ndarray, truth: np.ndarray, rate: float) -> Any:
        """Train on one batch; returns its loss and its accuracy before the step."""
        import torch
        from torch.nn import functional

        right = torch.from_numpy(truth).to(self.device)
        images = forward.crop(forward.pixels(pixels, self.device), maps, self.size)
        logits = self.logits(images, training=True)
        loss = functional.cross_entropy(logits, right)
        self.update(loss, rate)
        return loss.item(), (logits.argmax(1) == right).float().mean().item()

    def epoch(self, x: np.ndarray, y: np.ndarray, training: np.ndarray, seed: int) -> np.ndarray:
        """Train one epoch; returns mean loss and mean accuracy."""
        done = len(self.log)
        rng = np.random.default_rng([seed, done])
        batch, steps = self.recipe.batch, len(training) // self.recipe.batch
        order, seen = rng.permutation(training), []
        batches = bar(range(steps), label=f"{self.file.stem}, {done + 1} of {self.recipe.epochs}")
        for step, rate in zip(batches, rates(self.recipe, steps, done), strict=True):
            chosen = np.sort(order[step * batch : (step + 1) * batch])
            maps = crops(rng, batch, self.recipe.area)
            seen.append(self.step(x[chosen], maps, y[chosen], rate))
        return np.mean(seen, 0)

    def accuracy(self, x: np.ndarray, y: np.ndarray) -> float:
        """Top-1 accuracy on whole images."""
        import torch
        from torch.nn import functional

        hits, size = 0, self.size
        with torch.inference_mode():
            for start in range(0, len(y), 250):
                images = forward.pixels(x[start : start + 250], self.device)
                images = functional.interpolate(images, (size, size), mode="bilinear")
                guesses = self.logits(images, training=False).argmax(1).cpu().numpy()
                hits += int((guesses == y[start : start + 250]).sum())
        return hits / len(y)


def train(kind: type[Run], name: str, images: Path, out: Path, seed: int) -> None:
    """Run a recipe from its last checkpoint to its end."""
    x, y = load_images(images, out / "cache")
    training, held_out = split(y)
    run = kind(recipes()[name], out / f"{name}.safetensors", seed)
    while (done := len(run.log)) < run.recipe.epochs:
        if run.recipe.size_at(done) != run.size:
            run = kind(run.recipe, run.file, seed)  # the same net, built at its next size
        start = time.time()
        loss, accuracy = run.epoch(x, y, training, seed)
        line = {
            "epoch": done + 1,
            "loss": round(float(loss), 4),
            "train": round(float(accuracy), 4),
            "held_out": run.accuracy(x[held_out], y[held_out]),
            "seconds": round(time.time() - start),
        }
        run.log.append(line)
        run.save()
        print(name, *(f"{key} {value}" for key, value in line.items()), flush=True)


def named(framework: str) -> list[str]:
    """Return the names of a framework's recipes."""
    return sorted(name for name, recipe in recipes().items() if recipe.framework == framework)


def arguments(description: str) -> argparse.ArgumentParser:
    """Return the options that training and export share."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True, help="the folder tiny-imagenet-200")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="checkpoints and logs")
    return parser


def main(kind: type[Run], description: str) -> None:
    """Parse the command line and train one net of a kind."""
    parser = arguments(description)
    parser.add_argument("name", choices=named(kind.framework))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of this process")
    args = parser.parse_args()
    import torch

    torch.set_num_threads(args.threads)
    train(kind, args.name, args.images, args.out, args.seed)
