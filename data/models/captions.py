"""What the training of CLIP writes under a picture: words, synonyms and kinds, in templates.

A photograph of a tabby is "a photo of a tabby cat" at one step and "this is a tabby" at another,
and also "a photo of a cat" and "a photo of an animal". `kinds.csv` says what a class is a kind of.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from drawings import classes

from meznet_helpers import emojizoo, labels
from meznet_helpers.words import frame

SHARED = ("{}", "{a}", "this is {a}", "a picture of {a}", "an image of {a}")
PHOTO = ("a photo of {a}", "a photo of the {}", "a small photo of {a}", "a blurry photo of {a}")
DRAWING = ("a drawing of {a}", "an emoji of {a}", "an icon of {a}", "a cartoon of {a}")
FIRST = 0.6  # how often a class is called by its first word


@dataclass(frozen=True)
class Captions:
    """Words for the classes of one sort of picture, and for their kinds on two levels."""

    words: tuple[tuple[str, ...], ...]  # the first is the name
    kinds: tuple[tuple[str, ...], ...]  # of each level: a word for each class
    templates: tuple[str, ...]

    def write(self, rng: np.random.Generator, which: np.ndarray) -> list[str]:
        """Write one caption for each class of an array, anew each time."""
        chosen = [self.words[label] for label in which]
        return [
            self.framed(rng, words[0 if rng.random() < FIRST else rng.integers(len(words))])
            for words in chosen
        ]

    def framed(self, rng: np.random.Generator, word: str) -> str:
        """Put a word into a template drawn at random."""
        return frame(self.templates[rng.integers(len(self.templates))], word)


def photographs() -> Captions:
    """Return the words for Tiny-ImageNet's 200 classes, WordNet's."""
    space = labels.tiny_imagenet()
    return Captions(space.lemmas, _kinds(space.ids), SHARED + PHOTO)


def drawn() -> Captions:
    """Return the words for Emoji Zoo's classes that are no animals: names and keywords."""
    table = emojizoo.table().set_index("slug").loc[classes()]
    words = [(name, *keywords) for name, keywords in zip(table.name, table.keywords, strict=True)]
    return Captions(tuple(words), _kinds(table.subgroup), SHARED + DRAWING)


def all_texts() -> list[str]:
    """Return each word in each template: what the tokenizer is made for."""
    texts = []
    for captions in (photographs(), drawn()):
        words = sorted({word for group in (*captions.words, *captions.kinds) for word in group})
        texts += [frame(template, word) for word in words for template in captions.templates]
    return texts


def _kinds(of: pd.Series | tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    table = pd.read_csv(Path(__file__).with_name("kinds.csv"), index_col="of")
    return tuple(tuple(table.loc[list(of), level]) for level in ("kind", "broad"))
