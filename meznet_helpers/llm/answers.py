"""From what a language model wrote to a label, or to the finding that it is none."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meznet_helpers.labels import LabelSpace, normalize

if TYPE_CHECKING:
    import pandas as pd


def _all(words: str) -> frozenset[str]:
    return frozenset(words.split())


# What may stand before a label in a sentence that affirms it; any other word there may make it
# another thing, as in "a hot dog", or deny it.
_BEFORE = _all("""
a an the this that these those it they he she there here i we you me my your what which its
is are was be am s m re see seen shown show shows showing depict depicts display displays
contain contains feature features represent represents portray portrays capture captures
picture image photo photograph snapshot drawing sketch illustration scene view close up closeup
main primary central only single object animal creature subject thing item content in of
answer label class category name number option choice right correct best final guess
yes sure okay ok well certainly clearly definitely obviously probably likely most very quite so
think believe say choose pick select classify kind type sort breed species pair couple group herd
flock pack bunch one two three four five six seven eight nine ten several many some both another
small large little tiny huge big giant tall long young old adult baby newborn male female cute
beautiful adorable lovely pretty nice happy sleepy fluffy furry domestic typical ( [ #
black white brown gray grey red blue green yellow orange golden pink purple dark bright spotted
""")
_OTHERS = {"red panda", "big cat", "yellow jacket", "black widow", "green house", "black board"}
# What may follow it at once, as any mark of a sentence may: not a noun, as in "dog house".
_PLACES = _all("""
with in on at by from under over near next beside behind between against among inside outside
above below wearing holding while because since that which who here there too ( ) ] }
""")
_DOING = _all("""
sitting standing lying laying looking sleeping resting running walking jumping playing eating
drinking swimming flying perched parked facing staring grazing shown seen visible pictured
""")
# What makes the whole answer a denial or a doubt, wherever it stands.
_DOUBTS = _all("""
? not no nor non never none nothing neither cannot without hardly barely scarcely unlike unlikely
unsure uncertain unclear unable unknown whether if or either but however though although rather
instead except excluding missing absent lack lacks lacking wrong incorrect false untrue fake
might may maybe perhaps possibly could should difficult impossible resembles resembling similar
like formerly opposite isnt arent wasnt dont doesnt didnt cant wont
""")
_ARTICLES, _ENDS = frozenset(["a", "an", "the"]), frozenset(".,;:!")
_SAME = (  # before an answer is cut into words
    (r"[\u2018\u2019]", "'"),
    (r"n't\b", " not"),
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
        mentions = list(self._mentions(words))
        affirmed = [_affirmed(words, start, end) for start, end, _ in mentions]
        sure = [mention for mention, yes in zip(mentions, affirmed, strict=True) if yes]
        # a number that is not affirmed counts something else
        named = [known for (start, _, known), yes in zip(mentions, affirmed, strict=True)
                 if yes or not words[start].isdigit()]  # fmt: skip
        inside = {at for start, end, _ in mentions for at in range(start, end)}
        doubts = _DOUBTS & {word for at, word in enumerate(words) if at not in inside}
        how = ""
        if sure and not doubts:
            _, end, (_, how) = sure[0]
            how = "inside" if {*words[end:]} - _ENDS else how
        return _only(named, how)

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
    kept, open_ = [], False
    for piece in re.split(f"({_OPEN}|{_CLOSE})", text, flags=re.IGNORECASE):
        if re.fullmatch(_OPEN, piece, re.IGNORECASE):
            open_ = True
        elif re.fullmatch(_CLOSE, piece, re.IGNORECASE):
            if not open_:  # a server may keep the first mark to itself
                kept.clear()
            open_ = False
        elif not open_:
            kept.append(piece)
    return " ".join(kept), not open_


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
    after = [*words[end : end + 4], ".", ".", "."]
    if after[0] in ("is", "are"):
        if after[1] in ("the", "my") and after[2] in (
            "answer",
            "label",
            "right",
            "correct",
            "best",
        ):
            return True
        after = [word for word in after[1:] if word != "clearly"]
        return after[0] in _PLACES or after[0] in _DOING
    if after[0] in _DOING:
        return after[1] in _ENDS | _PLACES | _ARTICLES | {"its", "his", "her", "down", "up", "and"}
    if after[0] == ":" and re.fullmatch(r"0[.0]*", after[1]):
        return False
    return after[0] in _ENDS or after[0] in _PLACES


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
