"""What the page does with a picture: read it, make a labeler, label it."""

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.images import read
from meznet_helpers.labelers import Labeler, pretrained, registry
from meznet_helpers.llm import captioner
from meznet_helpers.names import MODEL, labeler
from meznet_helpers.words import PHOTO, ZeroShotLabeler, clip

TOP = 5  # bars
MAX_PIXELS = 50_000_000  # of a picture
MAX_KEPT = 200_000_000  # bytes of the files of all visitors together
FOREIGN = re.compile(r"(timm|torchvision)/[\w.]+(@imagenet)?$")
OWN = ("@tiny", "@photos")
WORDS, TUNED, MANY = "CLIP, your words", "CLIP, animal or not", "Ensemble of nets"
ANIMALS = "Prototypes, 90 drawn animals"
#: What is no net, and what it is good for.
KINDS = {
    WORDS: f"Whatever you type: {WORDS}",
    ANIMALS: f"Drawings of animals: {ANIMALS}",
    TUNED: f"Drawings: {TUNED}",
    MANY: f"Several nets at once: {MANY}",
}


def nets() -> list[str]:
    """Return what the page offers by name: published nets, this project's own, CLIP, captioners.

    Published ones are offered where they are on this machine, real ones first.

    Returns
    -------
    list of str

    Examples
    --------
    >>> "keras/MobileNetV2@tiny" in nets()
    True
    """
    own = [name for name, net in registry().items() if net.tag in ("tiny", "photos")]
    published = [
        name
        for name, net in registry().items()
        # one net in two frameworks is offered once
        if name not in own and not (net.asset and net.framework == "timm") and labeler(name).here()
    ]
    hub = {"clip/zero-shot@openai": clip, "llm/captioner@blip": captioner}
    there = [
        name
        for name, kind in hub.items()
        if pretrained.here(kind.CHECKPOINTS[name.partition("@")[2]])
    ]
    return [*published, *there, *own, "clip/zero-shot@tiny", "llm/captioner@tiny"]


def offers(checkpoints: Sequence[str]) -> list[tuple[str, str]]:
    """Return all choices, each with what it is good for; the first one is taken at the beginning.

    Parameters
    ----------
    checkpoints : sequence of str
        Names of folders and files that the page was started with.

    Returns
    -------
    list of (str, str)
        The text to show, and the choice.

    Examples
    --------
    >>> offers(["my-clip"])[-1][1]
    'llm/captioner@tiny'
    """
    found = {name: _good_for(name) for name in nets()}
    real = [(text, name) for name, text in found.items() if not name.endswith(OWN)]
    real.sort(key=lambda offer: offer[1] != MODEL)
    return [
        *real,
        *((f"Yours: {name}", name) for name in checkpoints),
        *((text, kind) for kind, text in KINDS.items()),
        *((text, name) for name, text in found.items() if name.endswith(OWN)),
    ]


def _good_for(name: str) -> str:
    """Say what a net is good for, and name it."""
    if name.startswith("clip/"):
        return f"Any words, the default ones: {name}"
    if name.startswith("llm/"):
        return f"Words of a captioner: {name}"
    if name.endswith(OWN):
        return f"Small pictures, 200 kinds: {name}"
    how = ", quickly" if name.endswith("@int8") else ""
    return f"Photographs, 1,000 kinds of things and animals{how}: {name}"


def choose(
    kind: str,
    words: str,
    template: str,
    members: Sequence[str],
    method: str,
    checkpoints: dict[str, Path],
) -> Labeler:
    """Make the labeler that the page's fields ask for.

    Parameters
    ----------
    kind : str
        `WORDS`, `TUNED`, `ANIMALS`, `MANY`, a net, or the name of a checkpoint.
    words : str
        Labels with commas between them, for `WORDS`.
    template : str
        For `WORDS`.
    members : sequence of str
        Nets, for `MANY`.
    method : str
        A key of `meznet_helpers.ensembles.METHODS`, for `MANY`.
    checkpoints : dict of str to Path
        Folders of tuned CLIPs, and files of indexes.

    Returns
    -------
    Labeler

    Raises
    ------
    MeznetError
        If a field is wrong. Only nets and checkpoints that the page offers can be chosen, and
        published nets of timm and torchvision by name that are on this machine.

    Examples
    --------
    >>> choose(WORDS, "cat, dog", "a photo of {a}", [], "soft", {}).labels.names
    ('cat', 'dog')
    """
    from meznet_helpers.ensembles import EnsembleLabeler

    if kind == WORDS:
        names = [word.strip() for word in words.split(",") if word.strip()]
        if not names:
            raise MeznetError("Type your labels, with commas between them: cat, dog.")
        return ZeroShotLabeler("tiny", names, templates=[template.strip() or PHOTO[0]])
    if kind in (TUNED, ANIMALS):
        return labeler("clip/tuned@tiny" if kind == TUNED else "prototypes/animals@tiny")
    if kind in checkpoints:
        return opened(checkpoints[kind])
    for name in members if kind == MANY else [kind]:
        if name not in nets() and not (FOREIGN.match(name) and labeler(name).here()):
            raise MeznetError(f'"{name}" is not on the list of this page.')
    if kind == MANY:
        return EnsembleLabeler([labeler(name) for name in members], method)
    return labeler(kind)


def opened(path: Path) -> Labeler:
    """Make a labeler of the folder of a tuned CLIP, or of the file of an index.

    Raises
    ------
    MeznetError
        If it is neither.

    Examples
    --------
    >>> from meznet_helpers.words import tuned
    >>> opened(tuned.find("tiny")).labels.ids
    ('animal', 'not-animal')
    """
    return labeler(f"prototypes/{path}" if path.is_file() else f"clip/tuned@{path}")


def saw(net: Labeler, image: np.ndarray) -> list[tuple[np.ndarray, str]]:
    """Return what a labeler sees of an image, with its name; for an ensemble that of each member.

    Parameters
    ----------
    net : Labeler
    image : ndarray, shape (height, width, 3), uint8

    Returns
    -------
    list of (ndarray of uint8, shape (size, size, 3); str)
    """
    members = getattr(net, "members", [net])
    found = [(member.seen([image])[0], member.name) for member in members]
    return [(seen, f"{name}, {seen.shape[1]} x {seen.shape[0]} pixels") for seen, name in found]


class Desk:
    """Keeps the last picture of each visitor, labels one at a time, keeps the last labeler warm."""

    def __init__(self, checkpoints: dict[str, Path]) -> None:
        """Keep the checkpoints; nothing is loaded yet."""
        self.checkpoints = checkpoints
        self._lock = threading.Lock()
        self._last: tuple[tuple, Labeler | None] = ((), None)
        self._pictures: dict[str, tuple[str, bytes]] = {}

    def keep(self, visitor: str, path: str | None) -> None:
        """Keep the file that a visitor dropped, in place of the one before; None is no file.

        Of all visitors' files the oldest go where there are more than `MAX_KEPT` bytes.

        Parameters
        ----------
        visitor : str
            One tab of one browser.
        path : str or None
            Of the upload.

        Examples
        --------
        >>> desk = Desk({})
        >>> desk.keep("a tab", __file__)
        >>> desk.label("a tab", "keras/MobileNet@tiny", "", "", [], "soft")[2]
        'desk.py: is not an image of a kind that can be read here.'
        >>> desk.keep("a tab", None)
        >>> desk.label("a tab", "keras/MobileNet@tiny", "", "", [], "soft")[2]
        'Drop a picture first.'
        """
        with self._lock:
            self._pictures.pop(visitor, None)
            if path is not None:
                self._pictures[visitor] = Path(path).name, Path(path).read_bytes()
            while sum(len(content) for _, content in self._pictures.values()) > MAX_KEPT:
                del self._pictures[next(iter(self._pictures))]

    def label(self, visitor: str, *fields: Any) -> tuple[dict, list, str]:
        """Return scores by label, what was seen, and a remark, for the page."""
        with self._lock:
            if visitor not in self._pictures:
                return {}, [], "Drop a picture first."
            name, content = self._pictures[visitor]
            try:
                image = read(content, name=name, max_pixels=MAX_PIXELS)
                net = self._labeler(*fields)
                scores = net.predict([image], calibrated=True).probs[0, 0]
                seen = saw(net, image)
            except MeznetError as error:
                return {}, [], str(error)
        best = np.argsort(-scores, kind="stable")[:TOP]
        bars = {_unlike(net, label): float(scores[label]) for label in best}
        return bars, seen, f"{net.name}: {len(net.labels):,} labels.{_scores(net)}"

    def _labeler(self, *fields: Any) -> Labeler:
        key = tuple(tuple(field) if isinstance(field, list) else field for field in fields)
        if key != self._last[0]:
            net = choose(*fields, self.checkpoints)
            if self._last[1] is not None:
                self._last[1].release()
            self._last = key, net
        return self._last[1]


def _scores(net: Labeler) -> str:
    """Say what the scores are worth."""
    known = net.calibration
    return f" Scores are calibrated on {known.photographs}." if known else ""


def _unlike(net: Labeler, label: int) -> str:
    """Return a label's name, with its id where another label has the same name."""
    name = net.labels.names[label]
    return name if net.labels.names.count(name) == 1 else f"{name} ({net.labels.ids[label]})"
