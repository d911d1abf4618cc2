"""Label spaces: what predictions are about, for ImageNet, Tiny-ImageNet and any list of names."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from meznet_helpers import stored
from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError, did_you_mean, reason

_LATIN = "\u0250"  # letters before it have accents, decomposed; those behind it have other marks
_HYPHENS = re.compile(r"(?<=[^\s-])-+(?=[^\s-])|-*\s-*")  # between words
_APOSTROPHE = re.compile(r"^'(?=[=+@-])")  # with which tables hold what is no formula
_UNSEEN = {0xFE0E: None, 0xFE0F: None}  # they say whether an emoji is shown as text or as a picture


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
            twice = next(label_id for label_id in self.ids if self.ids.count(label_id) > 1)
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
        >>> imagenet().index("n02123045")
        281
        >>> imagenet().index("tiger cat")
        Traceback (most recent call last):
        meznet_helpers.errors.MeznetError: imagenet has no label id "tiger cat"; \
nearest: n02123159 (tiger cat).
        """
        if label_id not in self._positions:
            raise MeznetError(f'{self.name} has no label id "{label_id}"{self._nearest(label_id)}')
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
        >>> tiny_imagenet().words("n03355925")
        'flagpole, flagstaff'
        """
        return ", ".join(self.lemmas[self.index(label_id)])

    def _nearest(self, text: object) -> str:
        """Suggest up to three labels by id or word, as the end of a sentence."""
        word = normalize(str(text))
        named = [
            f"{label_id} ({name})"
            for label_id, name, lemmas in zip(self.ids, self.names, self.lemmas, strict=True)
            if word in map(normalize, lemmas)
        ]
        return f"; nearest: {', '.join(named[:3])}." if named else did_you_mean(text, self.ids)


def normalize(text: str) -> str:
    """Bring a word into the form in which words are compared.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    str
        In lower case, with one space for each run of spaces, underscores and hyphens, and none at
        the ends; only a hyphen that begins or ends the text stays, for it may be a minus. Latin
        letters lose their accents. Marks of other scripts, which make other words, stay.

    Examples
    --------
    >>> normalize("  Ping-pong_Ball "), normalize("Bouvier des Flandres"), normalize("crêpe")
    ('ping pong ball', 'bouvier des flandres', 'crepe')
    >>> normalize("A-"), normalize("\u0915\u093f") == normalize("\u0915\u0940")
    ('a-', False)
    """
    letters = unicodedata.normalize("NFKD", text.translate(_UNSEEN)).lower()
    kept = base = ""
    for letter in unicodedata.normalize("NFKD", letters):
        if not unicodedata.combining(letter):
            base = letter = "-" if unicodedata.category(letter) == "Pd" else letter
        kept += letter if base >= _LATIN or letter == base else ""
    return " ".join(_HYPHENS.sub(" ", kept.replace("_", " ").strip()).split())


def slug(text: str) -> str:
    """Make an id of a name: its words, and the code points of signs such as emoji, # and +.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        Normalized, with hyphens between the parts. Marks of punctuation do not count, unless there
        is nothing else.

    Examples
    --------
    >>> slug("five o'clock"), slug("C++"), slug("C#"), slug("!?")
    ('five-o-clock', 'c-u002b-u002b', 'c-u0023', 'u0021-u003f')
    """
    letters = normalize(text)
    kinds = [(letter, unicodedata.category(letter)) for letter in letters]
    parts = "".join(
        letter if letter.isalnum() or kind[0] == "M"
        else f" u{ord(letter):04x} " if kind[0] == "S" or kind == "Pd" or letter in "#%*@"
        else " "
        for letter, kind in kinds
    ).split()  # fmt: skip
    return "-".join(parts or [f"u{ord(letter):04x}" for letter in letters.replace(" ", "")])


@cache
def imagenet() -> LabelSpace:
    """Return the 1,000 classes of ImageNet-1k in the order of the networks' outputs.

    Ids are WordNet 3.0 ids, sorted. Words and definitions are read from the files of the
    installed timm package (``timm/data/_info``), which is located, not imported.

    Returns
    -------
    LabelSpace
        The first word for a class is its name, as in Keras' class index.

    Raises
    ------
    MeznetError
        If timm is not installed or has no such files.

    Examples
    --------
    >>> space = imagenet()
    >>> len(space), space.ids[0], space.names[0]
    (1000, 'n01440764', 'tench')
    >>> space.definitions[0]
    'freshwater dace-like game fish of Europe and western Asia noted for ability to survive \
outside water'
    """
    return _wordnet("imagenet", _timm_file("imagenet_synsets.txt").split())


@cache
def tiny_imagenet() -> LabelSpace:
    """Return the 200 classes of Tiny-ImageNet, sorted by WordNet id.

    The ids lie in ``data/labels``; words and definitions are timm's, as for `imagenet`.

    Returns
    -------
    LabelSpace
        All its ids are ImageNet's, too.

    Raises
    ------
    MeznetError
        If the list of ids or timm is missing.

    Examples
    --------
    >>> space = tiny_imagenet()
    >>> len(space), space.names[space.index("n02793495")]
    (200, 'barn')
    """
    path = profile.data() / "labels" / "tiny-imagenet-200.txt"
    try:
        return _wordnet("tiny_imagenet", path.read_text(encoding="utf-8").split())
    except OSError as error:
        raise MeznetError(f"{path}: cannot be read ({reason(error)}).") from error


def from_names(names: Iterable[str], *, name: str = "labels") -> LabelSpace:
    """Make a label space of any names.

    Parameters
    ----------
    names : iterable of str
        Display names, in the order of the outputs.
    name : str
        How the space is called.

    Returns
    -------
    LabelSpace
        Ids are made by `slug`; names that differ in punctuation alone are numbered.

    Raises
    ------
    MeznetError
        If a name is empty, or two are the same when they are normalized.

    Examples
    --------
    >>> from_names(["Crème brûlée", "hot_dog"]).ids
    ('creme-brulee', 'hot-dog')
    """
    if isinstance(names, str):
        raise MeznetError(f'{name}: names must be a list of names, not the text "{names}".')
    known: dict[str, str] = {}
    ids: dict[str, str] = {}
    for label in names:
        word = normalize(label) if isinstance(label, str) else ""
        if not word:
            raise MeznetError(f"{name}: {label!r} is no name; a name has letters, digits or signs.")
        if word in known:
            both = f'"{known[word]}" and "{label}"'
            raise MeznetError(f'{name}: {both} are the same label ("{word}"); names must differ.')
        known[word] = label
        label_id, number = slug(label), 1
        while (numbered := label_id if number == 1 else f"{label_id}-{number}") in ids:
            number += 1  # they differ in punctuation alone
        ids[numbered] = label
    if not ids:
        raise MeznetError(f"{name}: the list of names is empty.")
    return LabelSpace(name, ids=tuple(ids), names=tuple(ids.values()))


def from_row(text: str) -> LabelSpace:
    """Make a label space of one row of CSV.

    Parameters
    ----------
    text : str
        Names with commas between them; one that holds a comma stands in quotes.

    Returns
    -------
    LabelSpace

    Raises
    ------
    MeznetError
        If it is no CSV, there are fewer than two names, or two are the same or none.

    Examples
    --------
    >>> from_row('cat, "New York, USA"').names
    ('cat', 'New York, USA')
    """
    return _from_words([(word,) for word in _fields(text)], "labels")


def from_file(path: str | Path) -> LabelSpace:
    """Make a label space of a file of CSV: in each line a label, then its synonyms.

    Parameters
    ----------
    path : str or Path
        UTF-8, with or without a byte order mark. Empty lines, and lines that begin with ``#``, do
        not count.

    Returns
    -------
    LabelSpace
        Called as the file, without its suffix.

    Raises
    ------
    MeznetError
        If it can't be read, holds fewer than two labels, or a word that stands for two of them.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "labels.csv")
    ...     _ = path.write_text("school bus\\ncat, tabby\\n", encoding="utf-8")
    ...     from_file(path).lemmas
    (('school bus',), ('cat', 'tabby'))
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
        if any("\0" in line for line in lines):
            raise UnicodeError
    except UnicodeError as error:
        raise MeznetError(
            f"{path} can't be read (it is no UTF-8 text; save it as such)."
        ) from error
    except (OSError, ValueError) as error:
        raise MeznetError(f"{path} can't be read ({reason(error)}).") from error
    rows = [_fields(line) for line in lines if not line.lstrip().startswith("#")]
    words = [tuple(filter(None, row)) for row in rows]
    return _from_words([row for row in words if row], str(path))


def _fields(line: str) -> list[str]:
    """Read a row of CSV."""
    try:
        rows = csv.reader([line.strip()], skipinitialspace=True, strict=True)
        return [_APOSTROPHE.sub("", field.strip()) for field in next(rows, [])]
    except csv.Error as error:
        raise MeznetError(
            f'{line} is no row of CSV ({reason(error)}); it must be like cat,"New York, USA".'
        ) from error


def _from_words(words: list[tuple[str, ...]], name: str) -> LabelSpace:
    """Make a label space of labels with their synonyms; each word may stand for one label only."""
    if len(words) < 2:
        given = f" ({words[0][0]})" if words else ""
        raise MeznetError(f"{name}: there must be two labels or more, not {len(words)}{given}.")
    space = from_names([row[0] for row in words], name=name)
    labels: dict[str, str] = {}
    for row in words:
        for word in row:
            other = labels.setdefault(normalize(word), row[0])
            if other != row[0]:
                raise MeznetError(
                    f'{name}: "{word}" stands for "{other}" and for "{row[0]}"; an answer could '
                    "not tell them apart."
                )
    return LabelSpace(Path(name).stem, space.ids, space.names, tuple(words))


def _wordnet(name: str, ids: Sequence[str]) -> LabelSpace:
    """Make a label space of WordNet ids with timm's words and definitions."""
    lemmas = [words.split(", ") for words in _timm_table("imagenet_synset_to_lemma.txt", ids)]
    definitions = _timm_table("imagenet_synset_to_definition.txt", ids)
    return LabelSpace(name, ids, [words[0] for words in lemmas], lemmas, definitions)


def _timm_table(file: str, ids: Sequence[str]) -> list[str]:
    """Read what one of timm's tables (id, tabulator, text) says about each of `ids`."""
    table = dict(line.split("\t", 1) for line in _timm_file(file).splitlines())
    if missing := sorted(set(ids) - table.keys()):
        raise MeznetError(f"timm's {file} lacks {missing[0]}; install timm 1.0.15 or later.")
    return [table[label_id] for label_id in ids]


def _timm_file(file: str) -> str:
    """Read one of timm's data files; importing timm would import torch."""
    path = profile.installed("timm", f"data/_info/{file}")
    if path is None:
        raise MeznetError(f"{file} comes with timm; install timm 1.0.15 or later.")
    return path.read_text(encoding="utf-8")


def as_truth(truth: Sequence[int] | np.ndarray, images: int, labels: int) -> np.ndarray:
    """Check that each image has the position of a label.

    Parameters
    ----------
    truth : array of int, shape (images,)
    images, labels : int
        How many there are.

    Returns
    -------
    ndarray of int64, shape (images,)

    Raises
    ------
    MeznetError
        If the shape does not fit or a position is not a label's.

    Examples
    --------
    >>> as_truth([2, 3], 2, 3)
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: truth must lie between 0 and 2, the last label.
    """
    truth = np.asarray(truth)
    if truth.shape != (images,):
        raise MeznetError(f"truth must have shape ({images},), one per image, not {truth.shape}.")
    if truth.size and not np.issubdtype(truth.dtype, np.integer):
        raise MeznetError(f"truth must hold indices of labels (int), not {truth.dtype}.")
    if truth.size and (truth.min() < 0 or truth.max() >= labels):
        raise MeznetError(f"truth must lie between 0 and {labels - 1}, the last label.")
    return truth.astype(np.int64)


def from_fields(fields: Any) -> LabelSpace:
    """Make the label space that a file describes.

    Raises
    ------
    ValueError, KeyError, MeznetError
        If its fields are none.

    Examples
    --------
    >>> from_fields({"name": "pets", "ids": "cd", "names": ["cat", "dog"]})
    Traceback (most recent call last):
    ValueError: its "ids" is cd
    """
    fields = dict(fields)
    stored.demand(
        fields, {"name": str} | dict.fromkeys([*fields.keys() - {"name"}, "ids", "names"], list)
    )
    words = [*fields["names"], *fields.get("definitions", [])]
    words += [word for lemmas in fields.get("lemmas", []) for word in lemmas]
    if not all(isinstance(word, str) for word in words):
        raise ValueError("one of its labels is no text")
    return LabelSpace(**fields)
