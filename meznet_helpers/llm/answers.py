"""From what a language model wrote to a label, or to the finding that it is none."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meznet_helpers.labels import LabelSpace, normalize

if TYPE_CHECKING:
    import pandas as pd

_LEADS = re.compile(
    r"^(?:(?:the )?(?:answer|label|image|picture|photo|photograph)(?: (?:is|shows|of)\b)?:?"
    r"|this is|it is|its|it s|i see|there is|a (?:photo|picture|drawing|image) of|an image of"
    r"|an?|the)[:\s]+"
)

_GENITIVE = re.compile(r"(?<=\w) ?['\u2019] ?(?=s\b)")  # small models write "potter ' s wheel"


@dataclass(frozen=True)
class Answer:
    """What was understood.

    Attributes
    ----------
    position : int or None
        Of the label; None if the answer is off the list.
    how : str
        ``"id"``, ``"name"``, ``"synonym"`` or ``"inside"`` (one label alone stands in a longer
        text); or why it is off the list: ``"empty"``, ``"several"`` labels, ``"cut off"`` by the
        server, or ``"other"``.
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
    """

    def __init__(self, labels: LabelSpace) -> None:
        """List what each label may be called; a word of two labels stands for neither."""
        self.labels = labels
        self._known: dict[str, tuple[int, str] | None] = {}
        for how, words in (
            ("name", [[name] for name in labels.names]),
            ("id", [[label_id] for label_id in labels.ids]),
            ("synonym", labels.lemmas),
        ):
            owners: dict[str, set[int]] = {}
            for position, own in enumerate(words):
                for word in own:
                    owners.setdefault(normalize(word), set()).add(position)
            for word, positions in owners.items():
                only = (min(positions), how) if len(positions) == 1 else None
                self._known.setdefault(word, only)
        longest_first = sorted(self._known, key=len, reverse=True)
        words = "|".join(re.escape(word) for word in longest_first if word)
        self._inside = re.compile(rf"(?<!\w)(?:{words})(?!\w)") if words else None

    def read(self, text: str) -> Answer:
        """Understand an answer.

        Parameters
        ----------
        text : str
            A label, a sentence with one, or a JSON object with the key ``label``.

        Returns
        -------
        Answer
        """
        words = _bare(_GENITIVE.sub("'", normalize(_plain(text))))
        if not words:
            return Answer(None, "empty")
        while True:
            if words in self._known:
                known = self._known[words]
                return Answer(*known) if known else Answer(None, "several")
            shorter = _bare(_LEADS.sub("", words))
            if shorter == words:
                break
            words = shorter
        inside = {self._known[word] for word in self._inside.findall(words)} if self._inside else {}
        positions = {known and known[0] for known in inside}
        if len(positions) == 1 and None not in positions:
            return Answer(positions.pop(), "inside")
        return Answer(None, "several" if positions else "other")

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


def _bare(text: str) -> str:
    """Take spaces, quotes and the marks of a sentence off both ends."""
    return text.strip(" \n\t.,;:!?'\"`*")


def _plain(text: str) -> str:
    """Take the label out of a JSON object, if the text is one."""
    match = re.search(r"\{.*\}", text, re.DOTALL)
    if match:
        try:
            label = json.loads(match[0])
        except ValueError:
            return text
        if isinstance(label, dict) and isinstance(label.get("label"), str):
            return label["label"]
    return text
