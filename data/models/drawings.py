"""The drawings that the training scripts may show: Emoji Zoo's, without what shows an animal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from training import SIDE, Run, crops, rates

from meznet_helpers import emojizoo
from meznet_helpers.files import aside
from meznet_helpers.finetune import forward
from meznet_helpers.progress import bar

PHOTOS = 0.75  # of a batch
SETS = 16  # of drawings are rendered, and shown in turn


def classes() -> list[str]:
    """Return Emoji Zoo's classes that show no animal."""
    return emojizoo.table().query("animal == 'no'").slug.tolist()


def render(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Render pictures of each class, half mild and half hard; returns them and their classes."""
    parts = [
        emojizoo.render(classes(), count // 2, size=SIDE, seed=seed, hard=hard)
        for hard in (False, True)
    ]
    return (
        np.concatenate([np.stack(part.images.arrays) for part in parts]),
        np.concatenate([part.truth for part in parts]),
    )


def rendered(count: int, seed: int, cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """Render pictures of each class once; later epochs and runs map them into memory."""
    files = [cache / f"drawings-{count}-{seed}-{part}.npy" for part in ("classes", "pixels")]
    if not files[1].exists():
        for path, array in zip(files, reversed(render(count, seed)), strict=True):
            with aside(path) as part, part.open("wb") as file:  # another run may be at it too
                np.save(file, array)
    return np.load(files[1], mmap_mode="r"), np.load(files[0])


def batches(
    run: Run, x: np.ndarray, y: np.ndarray, training: np.ndarray, seed: int
) -> Iterator[tuple[Any, np.ndarray, np.ndarray, np.ndarray, float, np.random.Generator]]:
    """Yield an epoch's batches of photographs, then drawings.

    Each is pixels (images, 3, 64, 64) on the run's device, a crop for each, the photographs'
    classes, the drawings', the learning rate, and the generator that chose all of it.
    """
    done, batch = len(run.log), run.recipe.batch
    rng = np.random.default_rng([seed, done])
    count = int(PHOTOS * batch)
    steps, others = len(training) // count, batch - count
    cache = run.file.parent / "cache"
    pictures, what = rendered(run.recipe.emoji, seed + 1 + done % SETS, cache)
    photos, order = rng.permutation(training), rng.permutation(len(pictures))
    label = f"{run.file.stem}, {done + 1} of {run.recipe.epochs}"
    for step, rate in zip(
        bar(range(steps), label=label), rates(run.recipe, steps, done), strict=True
    ):
        chosen = np.sort(photos[step * count : (step + 1) * count])
        drawn = np.sort(order.take(range(step * others, (step + 1) * others), mode="wrap"))
        pixels = forward.pixels(np.concatenate([x[chosen], pictures[drawn]]), run.device)
        yield pixels, crops(rng, batch, run.recipe.area), y[chosen], what[drawn], rate, rng
