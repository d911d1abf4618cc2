"""Train a small CLIP on photographs and drawings with captions, on two CPU cores or a GPU.

    python data/models/train_clip.py clip --images tiny-imagenet-200 --out runs --threads 2

Each batch holds photographs of Tiny-ImageNet and drawings of Emoji Zoo. Photographs are compared
with the captions of photographs, drawings with those of drawings: if they were compared with each
other's, the net would learn that no drawing shows an animal, for it is shown none that does.

Several pictures of a batch may share a caption, so all of them count as right (UniCL: Yang et al.,
"Unified contrastive learning in image-text-label space", 2022). Half of what is right is what a net
of timm says of the same crop (Touvron et al., "Training data-efficient image transformers", 2021).
In the first epochs the net sees half of the patches, and so twice as many pictures in the time
(FLIP: Li et al., "Scaling language-image pre-training via masking", 2023).
"""

import json
from typing import Any

import captions
import drawings
import numpy as np
from train_timm import DEVIATION as TIMM_DEVIATION
from train_timm import MEAN as TIMM_MEAN
from training import SIDE, Run, crops, enlarged, main, planes, rates

from meznet_helpers import labelers, labels
from meznet_helpers.progress import bar
from meznet_helpers.prompts import frame

MEAN, DEVIATION = (122.771, 116.746, 104.094), (68.501, 66.632, 70.323)  # CLIP's, of 0 to 255
SCALE = np.log(100)  # the most that cosines are multiplied by, as a logarithm
TAUGHT = 0.5  # how much of what is right is the teacher's word
PHOTOS = 0.75  # of a batch
WORDS = 3000  # of the tokenizer, before each byte is one
CONTEXT = 32  # tokens of a text


def tokenizer() -> Any:
    """Make the tokenizer: byte pairs of the captions' words, as CLIP's.

    Each byte is a token of its own, within a word and at its end, so that no text is unknown.
    """
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    trained = CLIPTokenizer().train_new_from_iterator([captions.all_texts()], WORDS)
    merges = json.loads(trained.backend_tokenizer.to_str())["model"]["merges"]
    letters = sorted(ByteLevel.alphabet())
    tokens = [trained.bos_token, trained.eos_token, *letters, *(f"{one}</w>" for one in letters)]
    tokens += ["".join(pair) for pair in merges]
    vocabulary = {token: at for at, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocabulary, [tuple(pair) for pair in merges], model_max_length=CONTEXT)


def untrained(options: dict[str, Any], tokens: Any) -> Any:
    """Build the net at random."""
    from transformers import CLIPConfig, CLIPModel

    text = {
        "vocab_size": len(tokens),
        "max_position_embeddings": CONTEXT,
        "bos_token_id": tokens.bos_token_id,
        "eos_token_id": tokens.eos_token_id,
        "pad_token_id": tokens.pad_token_id,
    }
    vision = {"image_size": SIDE} | options["vision"]
    size = options["projection"]
    return CLIPModel(
        CLIPConfig(
            text_config=text | options["text"] | {"projection_dim": size},
            vision_config=vision | {"projection_dim": size},
            projection_dim=size,
        )
    )


def contrast(logits: Any, right: Any) -> Any:
    """Loss of pictures against captions and of captions against pictures.

    Parameters
    ----------
    logits, right : torch.Tensor, shape (pictures, captions)
        `right` holds the shares that each picture's captions have in what is right of it.
    """
    from torch.nn import functional

    asked = right.sum(0) > 0.5  # captions that have a picture here
    columns = right[:, asked] / right[:, asked].sum(0)
    return (
        functional.cross_entropy(logits, right)
        + functional.cross_entropy(logits[:, asked].T, columns.T)
    ) / 2


class ClipRun(Run):
    """A CLIP, its tokenizer and its teacher."""

    framework = "transformers"

    def build(self, seed: int) -> None:
        """Build the net at random, and the teacher as it is."""
        import torch

        torch.manual_seed(seed)
        self.tokens = tokenizer()
        self.model = untrained(self.recipe.options, self.tokens).to(self.device)
        self.photos, self.drawn = captions.photographs(), captions.drawn()
        labeler = labelers.labeler(f"timm/{self.recipe.teacher}@tiny")
        self.teacher, self.teacher_size = labeler.model.to(self.device), labeler.backbone.size

    def parameters(self) -> dict[str, Any]:
        """Return what is trained, by name."""
        return dict(self.model.named_parameters())

    def weights(self) -> dict[str, Any]:
        """Return the same: the net has no running statistics."""
        return self.parameters()

    def go_on_from(self, start: str) -> None:
        """No recipe goes on from another."""
        raise NotImplementedError

    def seen(self, images: Any, rng: np.random.Generator | None = None) -> Any:
        """Embed pixels (images, 3, 64, 64), with half of the patches where `rng` is given."""
        import torch
        from torch.nn import functional

        mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in (MEAN, DEVIATION))
        images = (images - mean.to(images.device)) / deviation.to(images.device)
        tower = self.model.vision_model
        patches = tower.embeddings(images)
        if rng is not None:
            count = patches.shape[1] - 1
            kept = np.argsort(rng.random((len(images), count)), 1)[:, : count // 2] + 1
            kept = np.concatenate([np.zeros((len(images), 1), int), kept], 1)
            at = torch.from_numpy(kept).to(images.device)
            patches = patches.gather(1, at[..., None].expand(-1, -1, patches.shape[2]))
        found = tower.encoder(inputs_embeds=tower.pre_layrnorm(patches)).last_hidden_state[:, 0]
        return functional.normalize(self.model.visual_projection(tower.post_layernorm(found)))

    def read(self, texts: list[str]) -> Any:
        """Embed captions."""
        from torch.nn import functional

        batch = self.tokens(texts, padding=True, truncation=True, return_tensors="pt").to(
            self.device
        )
        found = self.model.text_projection(self.model.text_model(**batch).pooler_output)
        return functional.normalize(found)

    def logits(self, images: Any, training: bool) -> Any:
        """Compare photographs with the names of the 200 classes; see `Run.logits`."""
        names = [frame("a photo of {a}", name) for name in labels.tiny_imagenet().names]
        return self.model.logit_scale.exp() * self.seen(images) @ self.read(names).T

    def epoch(self, x: np.ndarray, y: np.ndarray, training: np.ndarray, seed: int) -> np.ndarray:
        """Train one epoch; returns mean loss and accuracy on the photographs."""
        import torch

        done, batch = len(self.log), self.recipe.batch
        rng = np.random.default_rng([seed, done])
        count = int(PHOTOS * batch)
        steps, others = len(training) // count, batch - count
        pictures, what = drawings.render(self.recipe.emoji, seed + 1 + done)
        photos, order, seen = rng.permutation(training), rng.permutation(len(pictures)), []
        label = f"{self.file.stem}, {done + 1} of {self.recipe.epochs}"
        for at, rate in zip(
            bar(range(steps), label=label), rates(self.recipe, steps, done), strict=True
        ):
            chosen = np.sort(photos[at * count : (at + 1) * count])
            drawn = order.take(range(at * others, (at + 1) * others), mode="wrap")
            pixels = planes(np.concatenate([x[chosen], pictures[drawn]]), self.device)
            maps = crops(rng, batch, self.recipe.area)
            taught = self.taught(enlarged(pixels[:count], maps[:count], self.teacher_size))
            with torch.autocast(self.device.type, torch.bfloat16):
                loss, hits = self.loss(
                    enlarged(pixels, maps, self.size), y[chosen], what[drawn], taught, rng
                )
            self.update(loss, rate)
            with torch.no_grad():
                self.model.logit_scale.clamp_(max=SCALE)
            seen.append((loss.item(), hits))
        return np.mean(seen, 0)

    def taught(self, images: Any) -> Any:
        """Return the teacher's probabilities of photographs (images, 3, size, size)."""
        import torch

        mean, deviation = (torch.tensor(each).view(3, 1, 1) for each in (TIMM_MEAN, TIMM_DEVIATION))
        images = (images - mean.to(images.device)) / deviation.to(images.device)
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16),
        ):
            images = images.contiguous(memory_format=torch.channels_last)
            found = self.teacher(images).float().softmax(1)
        return found.clone()

    def loss(
        self, images: Any, y: np.ndarray, drawn: np.ndarray, taught: Any, rng: np.random.Generator
    ) -> tuple[Any, float]:
        """Compare photographs, then drawings, with captions of their class and of its kinds."""
        import torch
        from torch.nn import functional

        masked = len(self.log) < self.recipe.masked
        embedded = self.seen(images, rng if masked else None)
        every = np.arange(len(self.photos.words))
        there, place = np.unique(drawn, return_inverse=True)
        jobs = [(self.photos, y, self.photos.write(rng, every), y, embedded[: len(y)])]
        jobs += [(self.drawn, drawn, self.drawn.write(rng, there), place, embedded[len(y) :])]
        comparisons = []  # texts, which of them is right of each picture, pictures
        for words, classes, texts, right, part in jobs:
            comparisons.append((texts, right, part))
            for level in words.kinds:
                kinds, of = np.unique(np.array(level)[classes], return_inverse=True)
                comparisons.append(([words.framed(rng, kind) for kind in kinds], of, part))
        texts = [text for some, _, _ in comparisons for text in some]
        embedded_texts = self.read(texts).split([len(some) for some, _, _ in comparisons])
        scale, total, hits = self.model.logit_scale.exp(), 0.0, 0.0
        for at, ((some, of, part), read) in enumerate(
            zip(comparisons, embedded_texts, strict=True)
        ):
            logits = (scale * part @ read.T).float()
            right = functional.one_hot(torch.from_numpy(of).to(self.device), len(some)).float()
            if at == 0:
                hits = (logits.argmax(1) == right.argmax(1)).float().mean().item()
                right = TAUGHT * taught + (1 - TAUGHT) * right
            total = total + contrast(logits, right) * (1.0 if at % 3 == 0 else 0.3)
        return total, hits


if __name__ == "__main__":
    main(ClipRun, __doc__)
