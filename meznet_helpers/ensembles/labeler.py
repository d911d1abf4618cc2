"""Ensembles as labelers: several nets label, one set of probabilities comes out."""

import re
from collections.abc import Callable, Sequence

import numpy as np

from meznet_helpers.ensembles import combining
from meznet_helpers.errors import MeznetError
from meznet_helpers.images import ImageError, Images, read_many
from meznet_helpers.images.reading import path_of
from meznet_helpers.labelers import Labeler, largest_side
from meznet_helpers.predictions import Predictions, unique_names


class EnsembleLabeler(Labeler):
    """Several labelers, combined by `meznet_helpers.ensembles.combine`, or by a judge.

    Predictions call it ``ensemble/METHOD(MEMBER, MEMBER)``, or by the judge's name.

    Pictures that are in memory are labeled member by member, and each frees its memory before the
    next one loads. Of files each batch is labeled by all members, so that few lie in memory.

    Parameters
    ----------
    members : sequence of Labeler
        At least two, with different names and one label space. Frameworks may differ.
    method : str or callable
        A key of `meznet_helpers.ensembles.METHODS`; or what makes probabilities (images, labels)
        of `Predictions` and has a `name`, such as `meznet_helpers.llm.LocalJudge`.

    Raises
    ------
    MeznetError
        If there are fewer than two members, two of one name, or other label spaces among them; or
        there is no such method.

    Examples
    --------
    >>> from meznet_helpers.labelers import nets
    >>> members = [nets.net("keras/MobileNet@tiny"), nets.net("keras/MobileNetV2@tiny")]
    >>> pair = EnsembleLabeler(members, "geometric")
    >>> pair.name
    'ensemble/geometric(keras/MobileNet@tiny, keras/MobileNetV2@tiny)'
    """

    def __init__(
        self,
        members: Sequence[Labeler],
        method: str | Callable[[Predictions], np.ndarray] = "soft",
    ) -> None:
        """Check the members and the method before anything is loaded."""
        if isinstance(members, str | Labeler) or not all(isinstance(m, Labeler) for m in members):
            raise MeznetError("members must be a list of labelers; labeler(name) makes one.")
        self.members = list(members)
        names = unique_names("members", [member.name for member in self.members])
        if len(names) < 2:
            raise MeznetError(f"members must be two labelers or more, not {len(names)}.")
        self.labels = self.members[0].labels
        for member in self.members:
            if member.labels != self.labels:
                raise MeznetError(
                    f"members must share their labels, but {names[0]} has {self.labels.name} "
                    f"({len(self.labels)}) and {member.name} {member.labels.name} "
                    f"({len(member.labels)})."
                )
        self.method = method
        self.side = largest_side(self.members)
        self.name = getattr(method, "name", None) or f"ensemble/{method}({', '.join(names)})"
        if not callable(method):
            combining.find(method)

    def _combined(self, probs: Sequence[np.ndarray], images: Sequence[str]) -> Predictions:
        """Combine the members' probabilities, each (images, labels)."""
        names = [member.name for member in self.members]
        together = Predictions(np.stack(probs), names, images, self.labels)
        if callable(self.method):
            judged = self.method(together)
            return Predictions(judged[None], (self.name,), images, self.labels)
        return combining.combine(together, self.method, name=self.name)

    def _probabilities(self, images: list[np.ndarray]) -> np.ndarray:
        """Label one batch by all members; see `Labeler.probabilities`."""
        names = [str(number) for number in range(len(images))]
        probs = [member.probabilities(images) for member in self.members]
        return self._combined(probs, names).probs[0]

    def batch(self, images: Images, *, calibrated: bool = False) -> np.ndarray:
        """Label one batch; with `calibrated`, combine what members say that are calibrated."""
        if not calibrated or not len(images):
            return super().batch(images)
        probs = [member.batch(images, calibrated=True) for member in self.members]
        return self._combined(probs, images.names).probs[0]

    def _predicted(
        self, images: Images | list, batch_size: int, progress: bool, calibrated: bool
    ) -> tuple[list[str], np.ndarray, list[ImageError]]:
        """See `Labeler._predicted`; member by member where all pictures are in memory."""
        if not isinstance(images, Images) and any(path_of(image) for image in images):
            return super()._predicted(images, batch_size, progress, calibrated)
        given = images if isinstance(images, Images) else read_many(images)
        errors = [] if given is images else list(given.errors)
        probs = []
        for member in self.members:
            try:
                some = Images(given.arrays, given.names)
                part = member._predicted(some, batch_size, progress, calibrated)
            finally:
                member.release()
            probs.append(part[1])
        return list(given.names), self._combined(probs, given.names).probs[0], errors

    def release(self) -> None:
        """Release each member, and a judge."""
        for part in (*self.members, self.method):
            if hasattr(part, "release"):
                part.release()


def parse(name: str) -> tuple[str, list[str]]:
    """Take the name of an ensemble apart.

    Parameters
    ----------
    name : str
        ``ensemble/METHOD(NAME, NAME)``, with any white space; a name may be an ensemble's.

    Returns
    -------
    method : str
    members : list of str

    Raises
    ------
    MeznetError
        If the text is not of that form.

    Examples
    --------
    >>> parse("ensemble/soft(keras/A@tiny, ensemble/hard(keras/B@tiny,keras/C@tiny))")
    ('soft', ['keras/A@tiny', 'ensemble/hard(keras/B@tiny,keras/C@tiny)'])
    """
    match = re.fullmatch(r"ensemble/\s*([\w-]+)\s*\((.*)\)", name.strip(), re.DOTALL)
    depth, members = 0, [""]
    for letter in match[2] if match else "":
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            break
        if letter == "," and not depth:
            members.append("")
        else:
            members[-1] += letter
    members = [member.strip() for member in members]
    if depth or not all(members):
        raise MeznetError(
            f'"{name}" is no name of an ensemble; one looks like '
            '"ensemble/soft(keras/MobileNet@tiny, keras/MobileNetV2@tiny)".'
        )
    return match[1], members
