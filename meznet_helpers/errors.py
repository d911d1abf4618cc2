"""The one error that every helper raises for bad input, and the words it is told in."""

import difflib
import re
from collections.abc import Iterable

STEERING = "\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
"""What steers a terminal, or is no letter, for a regular expression: all that JSON leaves so."""


class MeznetError(Exception):
    """Something is wrong with the input, and its text says what, in one line."""


class MeznetWarning(UserWarning):
    """Something went otherwise than asked for, and its text says what, in one line."""


def reason(error: BaseException) -> str:
    """Return an error's text in one line, without its full stop.

    Examples
    --------
    >>> reason(OSError(28, "No space left on device"))
    'No space left on device'
    >>> reason(ValueError("cut\\noff.")), reason(KeyError())
    ('cut off', 'KeyError')
    """
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split())[:300].rstrip(".") or type(error).__name__


def shown(text: str) -> str:
    r"""Return a name as it may be printed: what steers a terminal, or is no letter, is escaped.

    Parameters
    ----------
    text : str
        Of somebody else's; bytes that are no UTF-8 are surrogates in it, as Python has them.

    Returns
    -------
    str
        Valid UTF-8 on one line, without control characters and changes of direction.

    Examples
    --------
    >>> print(shown("a\x1b[31m\n.jpg"), shown("caf\udce9.jpg"), shown("\u732b.jpg") == "\u732b.jpg")
    a\x1b[31m\n.jpg caf\udce9.jpg True
    """
    return re.sub(f"[\0-\x1f{STEERING}]", lambda it: it[0].encode("unicode_escape").decode(), text)


def did_you_mean(name: object, known: Iterable[str], otherwise: str = ".") -> str:
    """Return the end of a sentence about a name that is unknown: the known ones nearest to it.

    Parameters
    ----------
    name : object
    known : iterable of str
    otherwise : str
        The end of the sentence where none is near.

    Returns
    -------
    str

    Examples
    --------
    >>> 'There is no method "sift"' + did_you_mean("sift", ["soft", "hard"])
    'There is no method "sift"; did you mean "soft"?'
    >>> 'There is no method "x"' + did_you_mean("x", ["soft"], "; there are soft and hard.")
    'There is no method "x"; there are soft and hard.'
    """
    near = difflib.get_close_matches(str(name), list(known), n=3, cutoff=0.5)
    words = " or ".join(f'"{neighbor}"' for neighbor in near)
    return f"; did you mean {words}?" if near else otherwise
