"""The training loop: any torch net from pixels to logits, on any labeled images."""

import dataclasses
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.finetune import forward
from meznet_helpers.finetune.recipe import Recipe
from meznet_helpers.finetune.run import Run, fill
from meznet_helpers.images import Dataset
from meznet_helpers.labelers import sha256
from meznet_helpers.progress import bar

if TYPE_CHECKING:
    import pandas as pd


def fit(
    net: Any,
    train: Dataset,
    valid: Dataset,
    recipe: Recipe,
    *,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    source: str = "",
    progress: bool = False,
) -> "pd.DataFrame":
    """Fine-tune a net, and leave it with the weights of its best epoch.

    Parameters
    ----------
    net : torch.nn.Module
        From pixels, float32 (images, 3, size, size) from 0 to 255, to logits (images, labels); its
        preprocessing is inside. `meznet_helpers.finetune.nets` makes such nets. It is trained
        where its weights lie, on a CPU or a GPU; weights that need no gradient stay as they are.
    train, valid : Dataset
        To learn from, and to judge by; both with the same labels.
    recipe : Recipe
    seed : int
        With one thread on a CPU, the same seed gives the same weights, bit for bit.
    checkpoint : str or Path, optional
        A file that keeps the training after each epoch. If it is there, the training goes on from
        it, and ends with the weights of one that was never broken off.
    source : str
        A digest of what the net was made of. A checkpoint of other images, labels, recipe, seed or
        source is refused.
    progress : bool
        Show a bar for each epoch where there is a terminal or a notebook.

    Returns
    -------
    DataFrame
        One row for each epoch: `epoch`, from 1; `loss` and `accuracy` on the training images while
        they were learned, mean cross entropy and a share; `valid_loss` and `valid_accuracy` after
        the epoch; `rate` of its last step; `steps` that the optimizer took; `seconds` of training;
        `best`, True for the epoch whose weights are kept: of the highest validation accuracy, and
        of those the one of the lowest validation loss.

    Raises
    ------
    MeznetError
        If the data sets or the net don't fit, the checkpoint is of another training, or the
        loss is no number any more.

    Notes
    -----
    The validation images choose the epoch, so the best epoch's accuracy on them is a little too
    high.
    """
    import pandas as pd

    path = None if checkpoint is None else Path(checkpoint)
    run = _Run(net, train, valid, recipe, seed, path, source)
    name = "Training" if run.path is None else run.path.stem
    while not run.done:
        label = f"{name}, epoch {len(run.log) + 1} of {recipe.epochs}"
        run.epoch(partial(bar, label=label) if progress else iter)
        run.save()
    fill(run.weights(), run.best)
    table = pd.DataFrame(run.log)
    return table.assign(best=table["epoch"] == run.best_epoch)


class _Run(Run):
    """A training on a data set, which keeps the weights of its best epoch."""

    def __init__(
        self,
        net: Any,
        train: Dataset,
        valid: Dataset,
        recipe: Recipe,
        seed: int,
        path: Path | None,
        source: str,
    ) -> None:
        """Check all that can be checked before the first step."""
        import torch

        self.net, self.recipe, self.seed = net, recipe, seed
        self.device = next(net.parameters()).device
        self.class_weight = _check(train, valid, recipe)
        self.x = forward.stack(train.images, recipe.size)
        self.truth = torch.from_numpy(train.truth)
        self.valid_x = forward.stack(valid.images, recipe.size)
        self.valid_truth = torch.from_numpy(valid.truth)
        outputs = forward.logits(net, self.valid_x[:1], recipe).shape[1]
        if outputs != len(train.labels):
            raise MeznetError(f"the net has {outputs} outputs, but there are {train.labels!r}.")
        facts = {
            "recipe": dataclasses.asdict(recipe),
            "labels": train.labels.ids,
            "training images": _contents(train, self.x),
            "validation images": _contents(valid, self.valid_x),
            "seed": seed,
            "source": [source],
        }
        learned = {name: weight for name, weight in net.named_parameters() if weight.requires_grad}
        options = {"decay": recipe.decay, "mixed": recipe.mixed}
        super().__init__(path, facts, net.state_dict, learned, **options)

    @property
    def best_epoch(self) -> int:
        """The epoch of the highest validation accuracy, from 1; 0 before the first."""
        merits = [(line["valid_accuracy"], -line["valid_loss"]) for line in self.log]
        return merits.index(max(merits)) + 1 if merits else 0

    @property
    def done(self) -> bool:
        """Whether all epochs are trained, or nothing has got better for long enough."""
        waited = len(self.log) - self.best_epoch
        return len(self.log) == self.recipe.epochs or waited == self.recipe.patience

    def epoch(self, watch: Callable) -> None:
        """Train one epoch, judge it, and keep the weights if they are the best so far."""
        import torch

        start, batch = time.perf_counter(), self.recipe.batch
        rng = np.random.default_rng([self.seed, len(self.log)])
        order = rng.permutation(len(self.x))
        batches = order[: len(order) // batch * batch].reshape(-1, batch)
        total, before, seen = len(batches) * self.recipe.epochs, self.steps, []
        gpus = [self.device] if self.device.type == "cuda" else []
        self.net.train()
        with torch.random.fork_rng(devices=gpus):  # the net may drop out at random
            torch.manual_seed(int(rng.integers(2**31)))
            for chosen in watch(batches):
                rate = self.recipe.rate_at(min(self.steps, total - 1), total)
                seen.append(self.step(chosen, rng, rate))
        loss, accuracy = np.mean(seen, axis=0).tolist()
        seconds = time.perf_counter() - start
        logits = forward.logits(self.net, self.valid_x, self.recipe)
        valid_loss, valid_accuracy = forward.judge(logits, self.valid_truth)
        if not np.isfinite(valid_loss):
            raise MeznetError(
                f"the validation loss is {valid_loss} after epoch {len(self.log) + 1}; "
                f"lower the rate, {self.recipe.rate}."
            )
        self.log.append(
            {
                "epoch": len(self.log) + 1,
                "loss": loss,
                "accuracy": accuracy,
                "valid_loss": valid_loss,
                "valid_accuracy": valid_accuracy,
                "rate": rate,
                "steps": self.steps - before,
                "seconds": seconds,
            }
        )
        if self.best_epoch == len(self.log):
            self.best = {name: weight.clone() for name, weight in self.weights().items()}

    def step(
        self, chosen: np.ndarray, rng: np.random.Generator, rate: float
    ) -> tuple[float, float]:
        """Train on one batch; returns its plain loss and its accuracy before the step."""
        from torch.nn import functional

        images = forward.varied(forward.pixels(self.x[chosen], self.device), self.recipe, rng)
        truth = self.truth[chosen].to(self.device)
        with forward.autocast(self.device, self.recipe.mixed):
            logits = self.net(images)
        weight = None if self.class_weight is None else self.class_weight.to(self.device)
        loss = functional.cross_entropy(
            logits.float(), truth, weight, label_smoothing=self.recipe.smoothing
        )
        self.update(loss, rate)
        return forward.judge(logits.detach().float(), truth)


def _contents(dataset: Dataset, x: np.ndarray) -> list[str]:
    """Digest the names, pixels and labels of images, in their order."""
    names = np.frombuffer(json.dumps(dataset.images.names).encode(), np.uint8)
    return [sha256([names, x, dataset.truth]).hexdigest()]


def _check(train: Dataset, valid: Dataset, recipe: Recipe) -> Any:
    """Refuse what can't be learned from; return the weight of each class, if any."""
    import torch

    if train.labels != valid.labels:
        raise MeznetError("the training and the validation images must have the same labels.")
    if len(train.labels) < 2:
        raise MeznetError(f"{train!r} has nothing to tell apart; two labels are the least.")
    counts = train.counts()
    if (counts == 0).any():
        raise MeznetError(f'"{counts.idxmin()}" has no training image; each label needs one.')
    if len(train) < recipe.batch:
        raise MeznetError(
            f"{len(train)} training images are less than one batch of {recipe.batch}; "
            f"choose a batch of {len(train)} or less."
        )
    if not len(valid):
        raise MeznetError("there are no validation images; hold some out.")
    if recipe.class_weight is None:
        return None
    if isinstance(recipe.class_weight, tuple):
        if len(recipe.class_weight) != len(train.labels):
            raise MeznetError(
                f"class_weight has {len(recipe.class_weight)} numbers, but there are "
                f"{len(train.labels)} labels: {', '.join(train.labels.ids[:5])}."
            )
        return torch.tensor(recipe.class_weight)
    weight = len(train) / (len(counts) * counts.to_numpy())
    return torch.from_numpy(weight.astype(np.float32))
