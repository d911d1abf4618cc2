"""CLIP checkpoints: found, checked, and loaded with the tokenizer and processor of each."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from meznet_helpers import profile
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import pretrained

#: Short names of checkpoints: the one of this repository, and the one its readers know.
CHECKPOINTS = {"tiny": "models/clip/model.safetensors", "openai": "openai/clip-vit-base-patch32"}

#: With which activation the checkpoints of a publisher were trained. A net under the other one
#: answers, and answers worse.
ACTIVATIONS = {"openai/": "quick_gelu", "laion/": "gelu", "models/clip/": "gelu"}

DEFAULT = "quick_gelu"  # transformers', where a config names none
PARTS = ("text_config", "vision_config")

TEXTS = 256  # that are read at a time


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A CLIP in evaluation mode, and what must not be separated from it.

    Attributes
    ----------
    name : str
        As it was asked for.
    model : transformers.CLIPModel
    tokenizer, processor : of transformers
        What prepares texts and images for this model.
    """

    name: str
    model: Any
    tokenizer: Any
    processor: Any

    @property
    def size(self) -> int:
        """Side of the images that the model takes, pixels."""
        return self.model.config.vision_config.image_size

    def crop(self, image: np.ndarray) -> np.ndarray:
        """Bring an image to what the model sees of it.

        Parameters
        ----------
        image : ndarray, shape (height, width, 3), uint8

        Returns
        -------
        ndarray, shape (size, size, 3), uint8
            The short side is brought to `size`, and the middle is cut out.
        """
        found = self.processor(image, do_rescale=False, do_normalize=False, return_tensors="np")
        return found["pixel_values"][0].transpose(1, 2, 0).astype(np.uint8)

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """Turn an image into the model's input.

        Parameters
        ----------
        image : ndarray, shape (height, width, 3), uint8

        Returns
        -------
        ndarray, shape (3, size, size), float32
        """
        return self.processor(image, return_tensors="np")["pixel_values"][0].astype(np.float32)

    def read(self, texts: Sequence[str]) -> Any:
        """Embed texts.

        Parameters
        ----------
        texts : sequence of str

        Returns
        -------
        torch.Tensor of float32, shape (texts, d)
            Of length 1 each.

        Raises
        ------
        MeznetError
            If a text is longer than the model reads.
        """
        import torch
        from torch.nn import functional

        limit, found = self.model.config.text_config.max_position_embeddings, []
        for start in range(0, len(texts), TEXTS):
            batch = self.tokenizer(list(texts[start : start + TEXTS]), padding=True)
            for text, tokens in zip(texts[start:], batch["attention_mask"], strict=False):
                if sum(tokens) > limit:
                    raise MeznetError(
                        f'"{text[:60]}" is {sum(tokens)} tokens long; {self.name} reads {limit}.'
                    )
            batch = batch.convert_to_tensors("pt").to(self.model.device)
            with torch.inference_mode():
                found.append(self.model.get_text_features(**batch).pooler_output)
        return functional.normalize(torch.cat(found)).clone()


@functools.lru_cache(maxsize=1)
def load(name: str) -> Checkpoint:
    """Load a checkpoint; the last one stays in memory until `load.cache_clear()`.

    Parameters
    ----------
    name : str
        ``"tiny"``, ``"openai"``, a name of the hub such as ``"openai/clip-vit-large-patch14"``, or
        a folder that ``CLIPModel.save_pretrained`` wrote.

    Returns
    -------
    Checkpoint

    Raises
    ------
    MeznetError
        If there is no such checkpoint, a file of it is missing or of another shape, it can't be
        downloaded, or its activation is not the one it was trained with.
    """
    from transformers import CLIPConfig, CLIPModel

    source = find(name)
    with pretrained.quiet(), pretrained.told(name):
        check(name, CLIPConfig.get_config_dict(source, **pretrained.where(source))[0])
        model = pretrained.weights(CLIPModel, source, name)
        return Checkpoint(name, model, *pretrained.preparation(source))


def default() -> str:
    """Return the short name of the checkpoint that the profile chooses.

    Examples
    --------
    >>> default()
    'tiny'
    """
    return "tiny" if profile.active() == "tiny" else "openai"


def find(name: str) -> Path | str:
    """Say where a checkpoint lies: a folder, or a name of the hub.

    Raises
    ------
    MeznetError
        If the name is that of a folder that is not there, or no name.

    Examples
    --------
    >>> find("tiny").name, find("openai")
    ('clip', 'openai/clip-vit-base-patch32')
    """
    return pretrained.find(name, CHECKPOINTS, "CLIP checkpoint")


def check(name: str, config: dict[str, Any]) -> None:
    """Refuse what is no CLIP, or one whose activation is not the one that it was trained with.

    Parameters
    ----------
    name : str
        As it was asked for.
    config : dict
        What ``config.json`` holds.

    Raises
    ------
    MeznetError
        See above.

    Examples
    --------
    >>> gelu = {"hidden_act": "gelu"}
    >>> check("openai", {"model_type": "clip", "text_config": gelu, "vision_config": gelu})
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: openai comes from openai/clip-vit-base-patch32, which was \
trained with quick_gelu, but its config.json says gelu; under that it labels wrongly.
    """
    if config.get("model_type") != "clip":
        raise MeznetError(f"{name} is a model of type {config.get('model_type')}, not a CLIP.")
    text, vision = (config[part].get("hidden_act", DEFAULT) for part in PARTS)
    if text != vision:
        raise MeznetError(
            f"{name} has the activation {text} for texts and {vision} for images; a CLIP is "
            "trained with one for both."
        )
    for source in (CHECKPOINTS.get(name, name), config.get("_name_or_path") or ""):
        for publisher, right in ACTIVATIONS.items():
            if source.startswith(publisher) and text != right:
                raise MeznetError(
                    f"{name} comes from {source}, which was trained with {right}, but its "
                    f"config.json says {text}; under that it labels wrongly."
                )
