"""What the training of the captioner writes about a picture: captions, and answers to questions.

A photograph of a tabby is "a photo of a tabby cat" at one step, "a tabby, a kind of cat" at
another; asked what kind of thing it is, the answer is "cat". Words and kinds are those of CLIP's
captions.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import captions
import numpy as np

from meznet_helpers.words import frame

FIRST = 0.8  # how often a class is called by its first word
WHAT, KIND, MEDIUM = (
    "question: what is this? answer:",
    "question: what kind of thing is this? answer:",
    "question: is this a photo or a drawing? answer:",
)
#: How often each form is chosen: two captions, a longer one, and the three questions.
SHARES = (0.35, 0.1, 0.2, 0.2, 0.1, 0.05)


@dataclass(frozen=True)
class Sentences:
    """Words and kinds of the classes of one sort of picture."""

    medium: str  # "photo" or "drawing"
    words: tuple[tuple[str, ...], ...]  # the first is the name
    kinds: tuple[tuple[str, ...], ...]  # of each level: a word for each class

    def write(self, rng: np.random.Generator, which: np.ndarray) -> list[tuple[str, str]]:
        """Write a prompt, mostly empty, and the whole text for each class of an array."""
        forms = rng.choice(len(SHARES), len(which), p=SHARES)
        pairs = []
        for label, form in zip(which, forms, strict=True):
            words = self.words[label]
            word = words[0 if rng.random() < FIRST else rng.integers(len(words))]
            pairs.append(self.form(form, word, self.kinds[rng.integers(2)][label]))
        return pairs

    def form(self, form: int, word: str, kind: str) -> tuple[str, str]:
        """Write one form of sentence about a word and its kind."""
        caption = frame("{a}", word)
        return (
            ("", f"a {self.medium} of {caption}"),
            ("", word),
            ("", f"a {self.medium} of {caption}, a kind of {kind}"),
            (WHAT, f"{WHAT} {word}"),
            (KIND, f"{KIND} {kind}"),
            (MEDIUM, f"{MEDIUM} {self.medium}"),
        )[form]


def photographs() -> Sentences:
    """Return the words for Tiny-ImageNet's 200 classes, WordNet's."""
    own = captions.photographs()
    return Sentences("photo", own.words, own.kinds)


def drawn() -> Sentences:
    """Return the words for Emoji Zoo's classes that are no animals: names and keywords."""
    own = captions.drawn()
    return Sentences("drawing", own.words, own.kinds)


def all_texts() -> Iterator[str]:
    """Yield each form of each word: what the tokenizer is made for."""
    for sort in (photographs(), drawn()):
        for label, words in enumerate(sort.words):
            for word in words:
                for form in range(len(SHARES)):
                    yield sort.form(form, word, sort.kinds[form % 2][label])[1]
