"""The drawings of Emoji Zoo, the table of what they show, and who drew them."""

import io
import zipfile
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

SIDE = 128  # pixels of a drawing


def table() -> "pd.DataFrame":
    """Return what is drawn: one row for each emoji, in Unicode's order.

    Returns
    -------
    DataFrame
        Columns ``slug``, ``name``, ``group`` and ``subgroup`` (Unicode's), ``animal`` (``"yes"``,
        ``"no"``, or ``"partly"`` for a part of an animal and for things that show one),
        ``keywords`` and ``styles`` (tuples), ``code_point`` (hexadecimal, with hyphens between).

    Raises
    ------
    MeznetError
        If the table can't be read.

    Examples
    --------
    >>> row = table().set_index("slug").loc["jellyfish"]
    >>> row.subgroup, row.animal, row.code_point, len(row.styles)
    ('animal-marine', 'yes', '1FABC', 5)
    """
    return _table().copy()


def styles() -> "pd.DataFrame":
    """Return the art styles: one row for each icon set, with its author and license.

    Returns
    -------
    DataFrame
        Columns ``slug``, ``name``, ``author``, ``source``, ``license`` (SPDX), ``license_url``,
        ``package`` (the npm package and the version that was drawn).

    Raises
    ------
    MeznetError
        If the table can't be read.

    Examples
    --------
    >>> styles().slug.tolist()[:3], sorted(set(styles().license))
    (['noto', 'noto-v1', 'twemoji'], ['Apache-2.0', 'CC-BY-4.0', 'CC-BY-SA-4.0', 'MIT'])
    """
    return _read("styles.csv")


@lru_cache(maxsize=2048)
def drawing(slug: str, style: str) -> Image.Image:
    """Return one drawing.

    Parameters
    ----------
    slug : str
        As in `table`.
    style : str
        As in `styles`.

    Returns
    -------
    PIL.Image.Image
        Mode ``"RGBa"`` (the colors are multiplied by alpha), 128 x 128 pixels. It is shared: copy
        it before you change it.

    Raises
    ------
    MeznetError
        If there is no such drawing.

    Examples
    --------
    >>> picture = drawing("cat-face", "openmoji")
    >>> picture.mode, picture.size
    ('RGBa', (128, 128))
    """
    if style not in (there := styles_of(slug)):
        raise MeznetError(f'"{slug}" is not drawn in "{style}"; there are {", ".join(there)}.')
    encoded = io.BytesIO(_archive()[f"{style}/{slug}.webp"])
    return Image.open(encoded).convert("RGBA").convert("RGBa")


def styles_of(slug: str) -> tuple[str, ...]:
    """Return the styles an emoji is drawn in.

    Parameters
    ----------
    slug : str
        As in `table`.

    Returns
    -------
    tuple of str

    Raises
    ------
    MeznetError
        If there is no such emoji; the nearest are named.

    Examples
    --------
    >>> styles_of("zebra")
    ('noto', 'twemoji', 'openmoji', 'fluent-emoji', 'fluent-emoji-flat')
    >>> styles_of("cat face")
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: Emoji Zoo has no "cat face"; did you mean "cat-face" or ...
    """
    known = _styles_by_slug()
    if slug not in known:
        raise MeznetError(f'Emoji Zoo has no "{slug}"{did_you_mean(slug, known)}')
    return known[slug]


@cache
def _styles_by_slug() -> dict[str, tuple[str, ...]]:
    return dict(zip(_table().slug, _table().styles, strict=True))


@cache
def _table() -> "pd.DataFrame":
    frame = _read("emoji.csv")
    for column in ("keywords", "styles"):
        frame[column] = [tuple(words.split("; ")) if words else () for words in frame[column]]
    return frame


@cache
def _archive() -> dict[str, bytes]:
    """Read all drawings, still encoded."""
    with zipfile.ZipFile(_file("artwork.zip")) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _read(name: str) -> "pd.DataFrame":
    import pandas as pd

    return pd.read_csv(_file(name), dtype=str, keep_default_na=False, encoding="utf-8")


def _file(name: str) -> Path:
    path = profile.data() / "emojizoo" / name
    if not path.is_file():
        raise MeznetError(f"{path} is missing; check the repository out again.")
    return path
