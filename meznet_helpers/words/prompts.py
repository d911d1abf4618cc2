"""Prompts: what a label is wrapped in before CLIP reads it."""

import re
from collections.abc import Iterable, Sequence

from meznet_helpers.errors import MeznetError

#: The sentence of the paper that made CLIP (Radford et al. 2021, arXiv:2103.00020, section 3.1.4).
PHOTO = ("a photo of {a}",)

#: Sentences that are averaged; the paper averages 80 of that kind for ImageNet.
PHOTOS = (
    *PHOTO,
    "{a}",
    "a photo of the {}",
    "a small photo of {a}",
    "a blurry photo of {a}",
    "a picture of {a}",
    "an image of {a}",
    "this is {a}",
)

#: The same for drawings.
DRAWINGS = (
    "a drawing of {a}",
    "an emoji of {a}",
    "an icon of {a}",
    "a cartoon of {a}",
    "a picture of {a}",
    "this is {a}",
)

# A word that begins with the sound of a vowel: not one with that of "you" or "one" (European,
# unicorn, user, one-way street; but unimpressed, unnamed, under), and some with a mute h.
_TAKES_AN = re.compile(
    r"(?!eu|ew|uni(?!n|m|de)|u[krst][aeiou]|onc?e\b)[aeiou]|hour|heir|honest|honou?r", re.IGNORECASE
)


def frame(template: str, label: str) -> str:
    """Put a label into a template.

    Parameters
    ----------
    template : str
        ``{}`` stands for the label, ``{a}`` for the label with *a* or *an* before it.
    label : str

    Returns
    -------
    str

    Examples
    --------
    >>> frame("a photo of {a}", "apple"), frame("the {}", "apple")
    ('a photo of an apple', 'the apple')
    """
    article = "an" if _TAKES_AN.match(label) else "a"
    words = {"{a}": f"{article} {label}", "{}": label}
    return re.sub(r"\{a?\}", lambda place: words[place[0]], template)


def prompts(labels: Iterable[str], templates: Sequence[str] = PHOTO) -> list[list[str]]:
    """Write the prompts of each label.

    Parameters
    ----------
    labels : iterable of str
    templates : sequence of str

    Returns
    -------
    list of list of str
        One list for each label, with one prompt for each template.

    Raises
    ------
    MeznetError
        If there is no template, or one has no place for the label.

    Examples
    --------
    >>> prompts(["cat", "owl"], ["a photo of {a}", "the {}"])
    [['a photo of a cat', 'the cat'], ['a photo of an owl', 'the owl']]
    >>> prompts(["cat"], ["a photo"])
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: the template "a photo" has no {} or {a} for the label.
    """
    templates = [templates] if isinstance(templates, str) else list(templates)
    if not templates:
        raise MeznetError('templates is empty; give at least one, such as "a photo of {a}".')
    for template in templates:
        if "{}" not in template and "{a}" not in template:
            raise MeznetError(f'the template "{template}" has no {{}} or {{a}} for the label.')
    return [[frame(template, label) for template in templates] for label in labels]
