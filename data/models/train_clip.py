"""Train a small CLIP on photographs and drawings with captions, on a GPU or two CPU cores.

    python data/models/train_clip.py clip --images tiny-imagenet-200 --out runs --threads 2

Each batch holds photographs of Tiny-ImageNet and drawings of Emoji Zoo. Photographs are compared
with the captions of photographs, drawings with those of drawings: if they were compared with each
other's, the net would learn that no drawing shows an animal, for it is shown none that does.

Several pictures of a batch may share a caption, so all of them count as right (UniCL: Yang et al.,
"Unified contrastive learning in image-text-label space", 2022).
"""

import json
from pathlib import Path
from typing import Any

import captions
import drawings
import numpy as np
from training import SIDE, Run, main, normalized

from meznet_helpers import labels
from meznet_helpers.finetune import forward
from meznet_helpers.words import frame

MEAN, DEVIATION = (122.771, 116.746, 104.094), (68.501, 66.632, 70.323)  # CLIP's, of 0 to 255
SCALE = np.log(100)  # the most that cosines are multiplied by, as a logarithm
KINDS = 0.3  # weight of a comparison with kinds; one with words counts once
WORDS = 3000  # of the tokenizer, before each byte is one
CONTEXT = 32  # tokens of a text


def tokenizer(folder: Path) -> Any:
    """Read a run's tokenizer; make it at the run's beginning: byte pairs of the captions' words.

    Each byte is a token of its own, within a word and at its end, so that no text is unknown. Pairs
    that are equally frequent come in another order each time they are counted, so it is kept.
    """
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    if not (folder / "tokenizer.json").exists():
        trained = CLIPTokenizer().train_new_from_iterator([captions.all_texts()], WORDS)
        merges = json.loads(trained.backend_tokenizer.to_str())["model"]["merges"]
        letters = sorted(ByteLevel.alphabet())
        tokens = [trained.bos_token, trained.eos_token, *letters]
        tokens += [f"{letter}</w>" for letter in letters] + ["".join(pair) for pair in merges]
        vocabulary = {token: place for place, token in enumerate(dict.fromkeys(tokens))}
        pairs = [tuple(pair) for pair in merges]
        CLIPTokenizer(vocabulary, pairs, model_max_length=CONTEXT).save_pretrained(folder)
    return CLIPTokenizer.from_pretrained(folder)


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
    """A CLIP and its tokenizer."""

    framework = "transformers"

    def build(self, seed: int) -> None:
        """Build the net at random."""
        import torch

        torch.manual_seed(seed)
        self.tokens = tokenizer(self.file.with_name(f"{self.file.stem}-tokenizer"))
        self.model = untrained(self.recipe.options, self.tokens).to(self.device)
        self.photos, self.drawn = captions.photographs(), captions.drawn()

    def parameters(self) -> dict[str, Any]:
        """Return what is trained, by name."""
        return dict(self.model.named_parameters())

    def weights(self) -> dict[str, Any]:
        """Return the same: the net has no running statistics."""
        return self.parameters()

    def seen(self, images: Any) -> Any:
        """Embed pixels (images, 3, 64, 64)."""
        from torch.nn import functional

        pooled = self.model.vision_model(normalized(images, MEAN, DEVIATION)).pooler_output
        return functional.normalize(self.model.visual_projection(pooled))

    def read(self, texts: list[str]) -> Any:
        """Embed captions."""
        from torch.nn import functional

        batch = self.tokens(texts, padding=True, truncation=True, return_tensors="pt").to(
            self.device
        )
        pooled = self.model.text_model(**batch).pooler_output
        return functional.normalize(self.model.text_projection(pooled))

    def logits(self, images: Any, training: bool) -> Any:
        """Compare photographs with the names of the 200 classes; see `Run.logits`."""
        names = [frame("a photo of {a}", name) for name in labels.tiny_imagenet().names]
        return self.model.logit_scale.exp() * self.seen(images) @ self.read(names).T

    def epoch(self, x: np.ndarray, y: np.ndarray, training: np.ndarray, seed: int) -> np.ndarray:
        """Train one epoch; returns mean loss and accuracy on the photographs."""
        import torch

        seen = []
        for pixels, maps, photos, drawn, rate, rng in drawings.batches(self, x, y, training, seed):
            with torch.autocast(self.device.type, torch.bfloat16):
                loss, hits = self.loss(forward.crop(pixels, maps, self.size), photos, drawn, rng)
            self.update(loss, rate)
            with torch.no_grad():
                self.model.logit_scale.clamp_(max=SCALE)
            seen.append((loss.item(), hits))
        return np.mean(seen, 0)

    def loss(
        self, images: Any, photos: np.ndarray, drawn: np.ndarray, rng: np.random.Generator
    ) -> tuple[Any, float]:
        """Compare photographs, then drawings, with captions of their class and of its kinds."""
        import torch
        from torch.nn import functional

        embedded = self.seen(images)
        every = np.arange(len(self.photos.words))
        there, place = np.unique(drawn, return_inverse=True)
        jobs = [
            (self.photos, photos, every, photos, embedded[: len(photos)]),
            (self.drawn, drawn, there, place, embedded[len(photos) :]),
        ]
        comparisons = []  # texts, which of them is right of each picture, pictures, weight
        for words, classes, named, right, part in jobs:
            comparisons.append((words.write(rng, named), right, part, 1.0))
            for level in words.kinds:
                kinds, of = np.unique(np.array(level)[classes], return_inverse=True)
                comparisons.append(([words.framed(rng, kind) for kind in kinds], of, part, KINDS))
        texts = [text for some, *_ in comparisons for text in some]
        embedded_texts = self.read(texts).split([len(some) for some, *_ in comparisons])
        scale, total, hits = self.model.logit_scale.exp(), 0.0, []
        for (some, of, part, weight), read in zip(comparisons, embedded_texts, strict=True):
            logits = (scale * part @ read.T).float()
            right = functional.one_hot(torch.from_numpy(of).to(self.device), len(some)).float()
            hits.append((logits.argmax(1) == right.argmax(1)).float().mean().item())
            total = total + weight * contrast(logits, right)
        return total, hits[0]


if __name__ == "__main__":
    main(ClipRun, __doc__)
