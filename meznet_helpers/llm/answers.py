"""From what a language model wrote to a label, or to the finding that it is none."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from meznet_helpers.labels import LabelSpace, normalize

if TYPE_CHECKING:
    import pandas as pd

# Of a sentence that affirms a label: what may stand before it (any other word may make it another
# thing, as in "a hot dog", as some of these do, too: "others"), and at once behind it, as any mark
# may (not a noun, as in "dog house"); and what makes a whole answer a denial or a doubt.
_FILE = Path(__file__).with_name("sentences.json")
_TABLE = json.loads(_FILE.read_text(encoding="utf-8"))
_OTHERS = frozenset(_TABLE.pop("others"))
_BEFORE, _PLACES, _DOING, _DOUBTS = (frozenset(" ".join(it).split()) for it in _TABLE.values())
_ARTICLES, _ENDS = frozenset(["a", "an", "the"]), frozenset(".,;:!")
_SAME = (  # before an answer is cut into words
    (r"[\u2018\u2019]", "'"),
    (r"n't\b", " not"),
    (r"\bblack and white\b", "white"),
    (r"\b(?:classified|identified|labell?ed|recognized) as\b", "is"),
    (r"\b(it|that|this|here|there|what)'s\b", r"\1 is"),
    (r"\b(?:looks? like|(?:appear|seem)s? to be|could well be|can be(?= seen))\b", "is"),
    (r"\bi(?:'d| would| can(?: clearly)?(?= see))\b", "i"),
    (r"</?[a-z][^<>]*>|[\"`*\u201c\u201d]|'(?! ?s\b)", " "),
)
_WORDS = re.compile(r"[^\W\d]\w*(?:\.\w+)+|\d+\.\d+|\w+|[^\w\s]")
_OPEN, _CLOSE = (
    rf"[<\[\u25c1]{slash}(?:\w+:)?(?:think|thinking|thoughts?|reasoning|analysis)\s*[>\]\u25b7]"
    rf"|<\|channel\|>{channel}<\|message\|>"
    for slash, channel in (("", "analysis"), ("/", "final"))
)
_PLURALS = (
    *(("man", "men"), ("mouse", "mice"), ("louse", "lice"), ("goose", "geese"), ("ox", "oxen")),
    *(("foot", "feet"), ("tooth", "teeth"), ("child", "children"), ("person", "people")),
    *(("fe", "ves"), ("f", "ves"), ("y", "ies"), ("us", "i"), ("", "s"), ("", "es")),
)


@dataclass(frozen=True)
class Answer:
    """What was understood.

    Attributes
    ----------
    position : int or None
        Of the label; None if the answer is off the list.
    how : str
        ``"id"``, ``"name"``, ``"synonym"`` or ``"inside"`` (more follows on it); or why it is off
        the list: ``"empty"``, ``"several"`` labels, ``"cut off"`` by the server or within its
        reasoning, or ``"other"``.
    """

    position: int | None
    how: str


class Reader:
    """Reads answers about one label space.

    Parameters
    ----------
    labels : LabelSpace

    Examples
    --------
    >>> pets = LabelSpace("pets", ["cat", "dog"], ["cat", "dog"], [["cat", "tabby"], ["dog"]])
    >>> reader = Reader(pets)
    >>> reader.read('{"label": "dog"}'), reader.read("It is a Tabby.")
    (Answer(position=1, how='name'), Answer(position=0, how='synonym'))
    >>> reader.read("A cat and a dog."), reader.read("an elephant")
    (Answer(position=None, how='several'), Answer(position=None, how='other'))
    >>> reader.read("Two dogs on a sofa."), reader.read("It is not a dog.")
    (Answer(position=1, how='inside'), Answer(position=None, how='other'))
    """

    def __init__(self, labels: LabelSpace) -> None:
        """List what each label may be called; a word of two labels stands for neither."""
        self.labels = labels
        self._exact: dict[str, _Known] = {}
        self._known: dict[tuple[str, ...], _Known] = {}
        called = (
            ("name", [[name] for name in labels.names]),
            ("id", [[label_id] for label_id in labels.ids]),
            ("synonym", labels.lemmas),
        )
        for table, forms in (
            (self._exact, lambda word: [normalize(word)]),
            (self._known, lambda word: [tuple(_words(word)), _without_articles(_words(word))]),
            (self._known, _plurals),
        ):
            for how, words in called:
                owners: dict = {}
                for position, own in enumerate(words):
                    for form in (form for word in own for form in forms(word)):
                        owners.setdefault(form, set()).add(position)
                for form, positions in owners.items():
                    table.setdefault(form, (frozenset(positions), how))
        self._longest = max(map(len, self._known))

    def read(self, text: str) -> Answer:
        """Understand an answer.

        Reasoning is left out. A label in a sentence counts only where the sentence affirms it, and
        where nothing in the answer denies or doubts it.

        Parameters
        ----------
        text : str
            A label, a sentence with one, or a JSON object with the key ``label``.

        Returns
        -------
        Answer
        """
        text, whole = _without_reasoning(text)
        if not whole:
            return Answer(None, "cut off")
        text = _plain(text)
        for form in (text, text.strip(" \n\t.,;:!'\"`*")):
            if known := self._exact.get(normalize(form)):
                return _only([known], known[1])
        # a judge that repeats a line of the question repeats its percents, too
        words = _words(re.sub(r"^(\d+[.)] .*): *\d[\d ]*$", r"\1", text))
        if not {*words} - _ENDS:
            return Answer(None, "empty")
        mentions = [(start, end, known, _affirmed(words, start, end))
                    for start, end, known in self._mentions(words)]  # fmt: skip
        inside = {at for start, end, *_ in mentions for at in range(start, end)}
        doubts = _DOUBTS & {word for at, word in enumerate(words) if at not in inside}
        how, first = "", next((mention for mention in mentions if mention[3]), None)
        if first and not doubts:
            how = "inside" if {*words[first[1] :]} - _ENDS else first[2][1]
        # a number that is not affirmed counts something else
        return _only([known for start, _, known, sure in mentions
                      if sure or not words[start].isdigit()], how)  # fmt: skip

    def _mentions(self, words: list[str]) -> Iterator[tuple[int, int, "_Known"]]:
        """Yield from where to where labels stand, the longest at each place, and which they are."""
        start = 0
        while start < len(words):
            for end in range(min(len(words), start + self._longest + 2), start, -1):
                said = words[start:end]
                known = self._known.get(tuple(said))
                if known is None and not {said[0], said[-1]} & _ARTICLES:
                    known = self._known.get(_without_articles(said))
                if known is not None:
                    yield start, end, known
                    break
            start = end

    def table(self, texts: Iterable[str]) -> "pd.DataFrame":
        """Understand several answers.

        Returns
        -------
        DataFrame
            Columns `answer`; `label`, its name, missing off the list; and `how`.
        """
        import pandas as pd

        rows = []
        for text in texts:
            answer = self.read(text)
            name = None if answer.position is None else self.labels.names[answer.position]
            rows.append([text, name, answer.how])
        return pd.DataFrame(rows, columns=["answer", "label", "how"])


_Known = tuple[frozenset[int], str]  # the labels that a word stands for, and how it is called


def _only(named: list[_Known], how: str) -> Answer:
    """Return the one label that all words stand for, unless none of them is affirmed."""
    places = [positions for positions, _ in named]
    common = frozenset.intersection(*places) if places else frozenset()
    if how and len(common) == 1:
        return Answer(*common, how)
    return Answer(None, "several" if len(frozenset().union(*places)) > 1 else "other")


def _without_reasoning(text: str) -> tuple[str, bool]:
    """Leave out what stands between marks of reasoning; is it whole, or cut off within?"""
    kept, whole = [""], True
    for number, piece in enumerate(re.split(f"({_OPEN}|{_CLOSE})", text, flags=re.IGNORECASE)):
        if number % 2:
            opens = bool(re.fullmatch(_OPEN, piece, re.IGNORECASE))
            if whole and not opens:  # a server may keep the first mark to itself
                kept.clear()
            whole = not opens
        elif whole:
            kept.append(piece)
    return " ".join(kept), whole


def _words(text: str) -> list[str]:
    """Cut a text into words and marks, without markup and quotes."""
    dashes = r"\n+|\s[\u2013\u2014]\s|\u2014|\s-\s(?=(?:an?|the|it|this)\s)"
    plain = normalize(re.sub(dashes, " ; ", text))
    for pattern, same in _SAME:
        plain = re.sub(pattern, same, plain)
    return _WORDS.findall(plain)


def _without_articles(words: list[str]) -> tuple[str, ...]:
    """Leave out articles, if there are other words."""
    return tuple(word for word in words if word not in _ARTICLES) or tuple(words)


def _plurals(word: str) -> Iterator[tuple[str, ...]]:
    """Yield what the plural of a label may be, nonsense included."""
    words = _without_articles(_words(word))
    if words and len(last := words[-1]) > 2 and last.isalpha():
        for end, plural in _PLURALS:
            if last.endswith(end):
                yield (*words[:-1], last.removesuffix(end) + plural)


def _affirmed(words: list[str], start: int, end: int) -> bool:
    """Say whether a sentence affirms what stands from one word to another: "it is a ... on ..."."""
    counts = not words[start].isdigit()
    for at in range(start - 1, -1, -1):
        word = words[at]
        if word in _ENDS:
            break
        if word not in _BEFORE and not (counts and word.lstrip("0").isdigit()):
            return False
    if " ".join(words[max(start - 1, 0) : end]) in _OTHERS:
        return False
    first, second, third, *_ = [*words[end : end + 3], ".", ".", "."]
    if first in ("is", "are"):
        is_answer = third in ("answer", "label", "correct", "right", "best")
        return second in _DOING | _PLACES or (second in ("the", "my") and is_answer)
    if first in _DOING or first == "and":
        more = _ENDS | _PLACES if first != "and" else set()
        return second in more | _ARTICLES | {"its", "his", "her", "their"}
    zero = first == ":" and re.fullmatch(r"0[.0]*", second)
    return first in _ENDS | _PLACES and not zero


def _plain(text: str) -> str:
    """Take the label out of a JSON object, if there is one."""
    match = re.search(r"\{.*\}", text, re.DOTALL)
    if match:
        try:
            label = json.loads(match[0])
        except (ValueError, RecursionError):
            return text
        label = label.get("label")
        if isinstance(label, bool) or not isinstance(label, str | int):
            return "{}"
        around = re.sub(r"```(?:json)?", "", text[: match.start()] + text[match.end() :])
        return f"{label}. {around}" if around.strip() else str(label)
    return text
