"""Label spaces for ImageNet, Tiny-ImageNet and any list of names, and joins between them."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from meznet_helpers import profile
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelspace import LabelSpace, normalize
from meznet_helpers.matching import exhibit_fuzzy_match, join, map_between

__all__ = (
    "LabelSpace",
    "exhibit_fuzzy_match",
    "from_names",
    "imagenet",
    "join",
    "map_between",
    "normalize",
    "tiny_imagenet",
)


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
        raise MeznetError(f"{path}: cannot be read ({error.strerror}).") from error


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
        Ids are slugs: the normalized names with hyphens between the words.

    Raises
    ------
    MeznetError
        If a name is empty, or two have the same slug.

    Examples
    --------
    >>> from_names(["Crème brûlée", "hot_dog"]).ids
    ('creme-brulee', 'hot-dog')
    """
    if isinstance(names, str):
        raise MeznetError(f'{name}: names must be a list of names, not the text "{names}".')
    slugs: dict[str, str] = {}
    for each in names:
        slug = re.sub(r"[\W_]+", "-", normalize(each)).strip("-") if isinstance(each, str) else ""
        if not slug:
            raise MeznetError(f"{name}: {each!r} is no name; a name has letters or digits.")
        if slug in slugs:
            raise MeznetError(
                f'{name}: "{slugs[slug]}" and "{each}" are the same label ("{slug}"); '
                "names must differ."
            )
        slugs[slug] = each
    if not slugs:
        raise MeznetError(f"{name}: the list of names is empty.")
    return LabelSpace(name, ids=tuple(slugs), names=tuple(slugs.values()))


def _wordnet(name: str, ids: Sequence[str]) -> LabelSpace:
    """Make a label space of WordNet ids with timm's words and definitions."""
    lemmas = _timm_table("imagenet_synset_to_lemma.txt", ids)
    definitions = _timm_table("imagenet_synset_to_definition.txt", ids)
    words = [tuple(lemmas[each].split(", ")) for each in ids]
    return LabelSpace(
        name,
        ids=tuple(ids),
        names=tuple(each[0] for each in words),
        lemmas=tuple(words),
        definitions=tuple(definitions[each] for each in ids),
    )


def _timm_table(file: str, ids: Sequence[str]) -> Mapping[str, str]:
    """Read the lines of one of timm's tables (id, tabulator, text) that are about `ids`."""
    wanted = set(ids)
    lines = (line.partition("\t") for line in _timm_file(file).splitlines())
    table = {label_id: text for label_id, _, text in lines if label_id in wanted}
    if missing := sorted(wanted - table.keys()):
        raise MeznetError(f"timm's {file} lacks {missing[0]}; install timm 1.0.15 or later.")
    return table


def _timm_file(file: str) -> str:
    """Read one of timm's data files; importing timm would import torch."""
    spec = importlib.util.find_spec("timm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "data" / "_info" / file
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise MeznetError(f"{file} comes with timm; install timm 1.0.15 or later.")
