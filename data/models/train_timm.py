"""Train one net of timm on Tiny-ImageNet, then on Emoji Zoo as well, on two CPU cores or a GPU.

    python data/models/train_timm.py regnetx_002-photos --images tiny-imagenet-200 --out runs
    python data/models/train_timm.py regnetx_002 --images tiny-imagenet-200 --out runs

The first learns from photographs alone. The second goes on from it, half of each batch photographs
and half pictures of Emoji Zoo, whose labels a second head learns. It sees no animal of Emoji Zoo:
those, and what shows a part of one, are left out. The second head is not kept. Checkpoints, options
and the rest are those of `train_keras.py`.
"""

from typing import Any

import drawings
import numpy as np
from training import Run, crops, main, normalized, rates

from meznet_helpers.finetune import forward
from meznet_helpers.finetune import run as runs
from meznet_helpers.progress import bar

MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # ImageNet's, as timm's
SHARPNESS = 16.0  # what the second head's cosines are multiplied by


class TimmRun(Run):
    """A net of timm with its head for photographs, and a second one for Emoji Zoo."""

    framework = "timm"

    def build(self, seed: int) -> None:
        """Build the net with timm's own random weights."""
        import timm
        import torch

        torch.manual_seed(seed)
        net = timm.create_model(self.recipe.application, num_classes=200, **self.recipe.options)
        self.model = torch.nn.ModuleDict({"net": net})
        if self.recipe.emoji:
            self.model["emoji"] = torch.nn.Linear(
                net.num_features, len(drawings.classes()), bias=False
            )
        self.model.to(self.device, memory_format=torch.channels_last)

    def parameters(self) -> dict[str, Any]:
        """Return what is trained, by torch's names."""
        return dict(self.model.named_parameters())

    def weights(self) -> dict[str, Any]:
        """Return parameters and running statistics by torch's names."""
        return self.model.state_dict()

    def go_on_from(self, start: str) -> None:
        """Take the weights of another recipe's finished run, which lies beside this one."""
        file = self.file.with_name(f"{start}.safetensors")
        if not file.exists():
            raise SystemExit(f"{file} is missing: train {start} first, with the same --out.")
        self.model["net"].load_state_dict(runs.below(runs.read(file)[0], "weights/net."))

    def features(self, images: Any, training: bool) -> Any:
        """Preprocess pixels (images, 3, size, size); returns what the heads see."""
        import torch

        images = normalized(images, MEAN, DEVIATION).contiguous(memory_format=torch.channels_last)
        net = self.model.train(training)["net"]
        return net.forward_head(net.forward_features(images), pre_logits=True)

    def logits(self, images: Any, training: bool) -> Any:
        """Run the net and its head for photographs; see `Run.logits`."""
        return self.model["net"].get_classifier()(self.features(images, training))

    def epoch(self, x: np.ndarray, y: np.ndarray, training: np.ndarray, seed: int) -> np.ndarray:
        """Train one epoch; returns mean loss and accuracy on the photographs."""
        if not self.recipe.emoji:
            return super().epoch(x, y, training, seed)
        import torch
        from torch.nn import functional

        done, half = len(self.log), self.recipe.batch // 2
        rng = np.random.default_rng([seed, done])
        pictures, truth = drawings.render(self.recipe.emoji, seed + 1 + done)
        steps, seen = len(pictures) // half, []
        photos, order = rng.permutation(training), rng.permutation(len(pictures))
        label = f"{self.file.stem}, {done + 1} of {self.recipe.epochs}"
        for step, rate in zip(
            bar(range(steps), label=label), rates(self.recipe, steps, done), strict=True
        ):
            drawn = order[step * half : (step + 1) * half]
            chosen = np.sort(photos.take(range(step * half, (step + 1) * half), mode="wrap"))
            pixels = np.concatenate([x[chosen], pictures[drawn]])
            maps = crops(rng, 2 * half, self.recipe.area)
            images = forward.crop(forward.pixels(pixels, self.device), maps, self.size)
            features = self.features(images, training=True)
            right = torch.from_numpy(np.concatenate([y[chosen], truth[drawn]])).to(self.device)
            logits = self.model["net"].get_classifier()(features[:half])
            loss = functional.cross_entropy(logits, right[:half])
            other = functional.cross_entropy(self.emoji_logits(features[half:]), right[half:])
            self.update(loss + other, rate)
            hits = (logits.argmax(1) == right[:half]).float().mean()
            seen.append((loss.item(), hits.item()))
        return np.mean(seen, 0)

    def emoji_logits(self, features: Any) -> Any:
        """Run the second head: `SHARPNESS` times the cosine of features and a class's weights.

        Features that are told apart by their direction suit searches by cosine (Chen et al., "A
        closer look at few-shot classification", 2019).
        """
        from torch.nn import functional

        kernel = functional.normalize(self.model["emoji"].weight)
        return SHARPNESS * functional.linear(functional.normalize(features), kernel)


if __name__ == "__main__":
    main(TimmRun, __doc__)
