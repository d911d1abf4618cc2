"""The label space: what predictions are about, in the order of a network's outputs."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from meznet_helpers.errors import MeznetError


@dataclass(frozen=True, eq=False, repr=False)
class LabelSpace:
    """An ordered set of labels; position i is output i of a network.

    Two label spaces are equal when their ids are, in the same order.

    Parameters
    ----------
    name : str
        How the space is called.
    ids : sequence of str
        One id for each label, all different: WordNet ids or slugs.
    names : sequence of str
        One display name for each label. Two labels may share one (ImageNet has two cranes).
    lemmas : sequence of sequences of str, optional
        All the words for each label; by default its name alone.
    definitions : sequence of str, optional
        One definition for each label; by default empty.

    Raises
    ------
    MeznetError
        If the fields differ in length, or an id is empty or comes twice.

    Examples
    --------
    >>> pets = LabelSpace("pets", ids=["cat", "dog"], names=["house cat", "dog"])
    >>> len(pets), pets.index("dog"), "cow" in pets, pets.words("cat")
    (2, 1, False, 'house cat')
    """

    name: str
    ids: tuple[str, ...]
    names: tuple[str, ...]
    lemmas: tuple[tuple[str, ...], ...] = ()
    definitions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Make the fields tuples and check them."""
        fields = {
            "ids": tuple(self.ids),
            "names": tuple(self.names),
            "lemmas": tuple(map(tuple, self.lemmas or ([name] for name in self.names))),
            "definitions": tuple(self.definitions or [""] * len(self.ids)),
        }
        for field, values in fields.items():
            object.__setattr__(self, field, values)
            if len(values) != len(self.ids):
                raise MeznetError(
                    f"{self.name}: {len(self.ids)} ids need as many {field}, not {len(values)}."
                )
        for label_id in self.ids:
            if not isinstance(label_id, str) or not label_id:
                raise MeznetError(f"{self.name}: an id must be a text, not {label_id!r}.")
        if len(self._positions) < len(self.ids):
            twice = next(each for each in self.ids if self.ids.count(each) > 1)
            raise MeznetError(f'{self.name}: the id "{twice}" comes twice; ids must differ.')

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {label_id: position for position, label_id in enumerate(self.ids)}

    def __len__(self) -> int:
        """Return the number of labels."""
        return len(self.ids)

    def __contains__(self, label_id: object) -> bool:
        """Say whether `label_id` is an id of this space."""
        return label_id in self._positions

    def __eq__(self, other: object) -> bool:
        """Compare the ids."""
        return self.ids == other.ids if isinstance(other, LabelSpace) else NotImplemented

    def __hash__(self) -> int:
        """Hash the ids."""
        return hash(self.ids)

    def __repr__(self) -> str:
        """Say which space it is and how large."""
        return f"LabelSpace({self.name!r}, {len(self)} labels)"

    def index(self, label_id: str) -> int:
        """Return the position of an id; of an unknown one the error names the nearest.

        Parameters
        ----------
        label_id : str
            An id, not a name.

        Returns
        -------
        int
            From 0 to ``len(self) - 1``.

        Raises
        ------
        MeznetError
            If the id is not in this space.

        Examples
        --------
        >>> from meznet_helpers.labels import imagenet
        >>> imagenet().index("n02123045")
        281
        >>> imagenet().index("tiger cat")
        Traceback (most recent call last):
        meznet_helpers.errors.MeznetError: imagenet has no label id "tiger cat"; \
nearest: n02123159 (tiger cat).
        """
        if label_id not in self._positions:
            raise MeznetError(f'{self.name} has no label id "{label_id}"{self._nearest(label_id)}.')
        return self._positions[label_id]

    def indices(self, ids: Iterable[str]) -> np.ndarray:
        """Return the positions of several ids.

        Parameters
        ----------
        ids : iterable of str
            Ids, in any order, repeated or not.

        Returns
        -------
        ndarray of int64, shape (number of ids,)
            Their positions.

        Raises
        ------
        MeznetError
            If an id is not in this space.

        Examples
        --------
        >>> pets = LabelSpace("pets", ids=["cat", "dog"], names=["Cat", "Dog"])
        >>> pets.indices(["dog", "dog", "cat"])
        array([1, 1, 0])
        """
        return np.array([self.index(label_id) for label_id in ids], dtype=np.int64)

    def words(self, label_id: str) -> str:
        """Return all words for an id, separated by commas, as in WordNet's lists.

        Examples
        --------
        >>> from meznet_helpers.labels import tiny_imagenet
        >>> tiny_imagenet().words("n03355925")
        'flagpole, flagstaff'
        """
        return ", ".join(self.lemmas[self.index(label_id)])

    def _nearest(self, text: object) -> str:
        """Suggest up to three labels by id or word, as the end of a sentence."""
        text = normalize(str(text))
        close = [
            position
            for position, lemmas in enumerate(self.lemmas)
            if text in {normalize(word) for word in lemmas}
        ] or [
            self._positions[label_id]
            for label_id in difflib.get_close_matches(str(text), self.ids, n=3, cutoff=0.7)
        ]
        found = ", ".join(f"{self.ids[each]} ({self.names[each]})" for each in close[:3])
        return f"; nearest: {found}" if found else ""


def normalize(text: str) -> str:
    """Bring a word into the form in which words are compared.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        In lower case, without accents, with one space for each run of spaces, underscores and
        hyphens, and none at the ends.

    Examples
    --------
    >>> normalize("  Ping-pong_Ball "), normalize("Bouvier des Flandres"), normalize("crêpe")
    ('ping pong ball', 'bouvier des flandres', 'crepe')
    """
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).lower())
    return " ".join(
        "".join(
            " " if letter == "_" or unicodedata.category(letter) == "Pd" else letter
            for letter in letters
            if not unicodedata.combining(letter)
        ).split()
    )
