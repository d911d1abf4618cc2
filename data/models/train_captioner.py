"""Train a small captioner on photographs and drawings, on two CPU cores or a GPU.

    python data/models/train_captioner.py captioner-towers --images tiny-imagenet-200 --out runs
    python data/models/train_captioner.py captioner --images tiny-imagenet-200 --out runs

It is a BLIP (Li et al., "BLIP: bootstrapping language-image pre-training", 2022) of random weights:
a vision transformer, and a text decoder that looks at its patches. It learns to write a caption,
one token after the other, and to answer three questions. `sentences.py` writes both. Batches are
those of CLIP: photographs of Tiny-ImageNet, drawings of Emoji Zoo that show no animal. The first
run trains all of it, the second goes on with the decoder alone, and learns its words anew.
"""

from typing import Any

import drawings
import numpy as np
import sentences
import wordlist
from training import SIDE, Run, main, normalized

from meznet_helpers import labels
from meznet_helpers.finetune import forward
from meznet_helpers.finetune import run as runs
from meznet_helpers.words import frame

MEAN, DEVIATION = (122.771, 116.746, 104.094), (68.501, 66.632, 70.323)  # CLIP's, of 0 to 255
CONTEXT = 48  # tokens of a text
AT_ONCE = 20  # names that are weighed at once


def untrained(options: dict[str, Any], tokens: Any) -> Any:
    """Build the net at random."""
    from transformers import BlipConfig, BlipForConditionalGeneration

    text = {
        "vocab_size": len(tokens),
        "max_position_embeddings": CONTEXT,
        "bos_token_id": tokens.cls_token_id,
        "eos_token_id": tokens.sep_token_id,
        "sep_token_id": tokens.sep_token_id,
        "pad_token_id": tokens.pad_token_id,
        "encoder_hidden_size": options["vision"]["hidden_size"],
    }
    config = BlipConfig(
        text_config=text | options["text"],
        vision_config={"image_size": SIDE} | options["vision"],
        image_text_hidden_size=options["text"]["hidden_size"],
    )
    return BlipForConditionalGeneration(config)


class CaptionerRun(Run):
    """A captioner, its tokenizer and its sentences."""

    framework = "transformers-blip"

    def build(self, seed: int) -> None:
        """Build the net at random."""
        import torch

        torch.manual_seed(seed)
        self.tokens = wordlist.tokenizer(sentences.all_texts(), CONTEXT)
        self.model = untrained(self.recipe.options, self.tokens).to(self.device)
        self.photos, self.drawn = sentences.photographs(), sentences.drawn()

    def parameters(self) -> dict[str, Any]:
        """Return what is trained, by name: all of it at first, then the decoder alone."""
        named = dict(self.model.named_parameters())  # the head is the words' embeddings
        if self.recipe.start:
            named = {key: each for key, each in named.items() if key.startswith("text_decoder")}
        return named

    def weights(self) -> dict[str, Any]:
        """Return all of it: the net has no running statistics."""
        return dict(self.model.named_parameters())

    def go_on_from(self, start: str) -> None:
        """Take another run's weights, but for those that belong to its words."""
        earlier = runs.read(self.file.with_name(f"{start}.safetensors"))[0]
        words = ("word_embeddings.weight", "cls.predictions.bias")
        kept = {name: own for name, own in self.weights().items() if not name.endswith(words)}
        runs.fill(kept, runs.below(earlier, "weights/"))

    def seen(self, images: Any) -> Any:
        """Embed pixels (images, 3, 64, 64): one vector for the picture, one for each patch."""
        import torch

        images = normalized(images, MEAN, DEVIATION)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.recipe.start):
            return self.model.vision_model(images).last_hidden_state

    def encoded(self, pairs: list[tuple[str, str]]) -> dict[str, Any]:
        """Turn prompts and the texts that begin with them into tokens, the last as what is right.

        A prompt's own tokens count as padding there: nobody has to guess them.
        """
        prompts, texts = map(list, zip(*pairs, strict=True))
        batch = self.tokens(texts, padding=True, return_tensors="pt")
        right = batch.input_ids[:, 1:].clone()
        for row, asked in zip(right, self.tokens(prompts).input_ids, strict=True):
            row[: len(asked) - 2] = self.tokens.pad_token_id  # without [CLS] and [SEP]
        ids, mask = batch.input_ids[:, :-1], batch.attention_mask[:, :-1]
        parts = {"ids": ids, "mask": mask, "right": right}
        return {key: tensor.to(self.device) for key, tensor in parts.items()}

    def losses(self, seen: Any, ids: Any, mask: Any, right: Any) -> Any:
        """Return each text's loss, summed over the tokens that follow its prompt."""
        from torch.nn import functional

        said = self.model.text_decoder(ids, attention_mask=mask, encoder_hidden_states=seen)
        return functional.cross_entropy(
            said.logits.float().transpose(1, 2),
            right,
            ignore_index=self.tokens.pad_token_id,
            reduction="none",
        ).sum(1)

    def logits(self, images: Any, training: bool) -> Any:
        """Weigh each of the 200 names as the end of "a photo of"; see `Run.logits`."""
        import torch

        names = labels.tiny_imagenet().names
        texts = self.encoded([("a photo of", frame("a photo of {a}", name)) for name in names])
        seen, columns = self.seen(images), []
        for start in range(0, len(names), AT_ONCE):
            some = {key: value[start : start + AT_ONCE] for key, value in texts.items()}
            count = len(some["ids"])
            repeated = {key: value.repeat(len(seen), 1) for key, value in some.items()}
            losses = self.losses(seen.repeat_interleave(count, 0), **repeated)
            columns.append(-losses.view(len(seen), count))
        return torch.cat(columns, 1)

    def epoch(self, x: np.ndarray, y: np.ndarray, training: np.ndarray, seed: int) -> np.ndarray:
        """Train one epoch; returns mean loss, and the share of pictures named right, sampled."""
        import torch

        seen = []
        for pixels, maps, photos, drawn, rate, rng in drawings.batches(self, x, y, training, seed):
            pairs = self.photos.write(rng, photos) + self.drawn.write(rng, drawn)
            with torch.autocast(self.device.type, torch.bfloat16):
                embedded = self.seen(forward.crop(pixels, maps, self.size))
                losses = self.losses(embedded, **self.encoded(pairs))
            self.update(losses.mean(), rate)
            sure = (losses[: len(photos)] < np.log(2)).float().mean()
            seen.append((losses.mean().item(), sure.item()))
        return np.mean(seen, 0)


if __name__ == "__main__":
    main(CaptionerRun, __doc__)
