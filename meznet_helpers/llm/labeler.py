"""Language models as labelers: they are shown the picture and asked for a label of a list."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from meznet_helpers.images import ImageError, Images
from meznet_helpers.labelers import Labeler, choices, readable
from meznet_helpers.labels import LabelSpace
from meznet_helpers.llm.answers import Reader
from meznet_helpers.llm.asking import WORKERS, Asker
from meznet_helpers.llm.endpoint import Endpoint
from meznet_helpers.llm.request import Request, png

if TYPE_CHECKING:
    import pandas as pd

PROMPT = "What does the picture show? Answer with one of these labels and nothing else: {labels}."


class LlmLabeler(Labeler):
    """A vision model behind an OpenAI-compatible server.

    The picture travels with the question, at most 1,024 pixels wide or high. An answer that is not
    on the list is asked for once more; after that it counts as off the list, and the labels share
    the probability evenly. A picture at which the server failed has none: it is left out, with a
    warning that names it, as one is that can't be read.

    Parameters
    ----------
    endpoint : Endpoint or str
        A server, or its address.
    model : str
    labels : LabelSpace or sequence of str
        Two or more.
    prompt : str
        ``{labels}`` stands for the labels.
    recording : str or Path, optional
        A file of recorded answers; ``MEZNET_LLM`` says whether it is read, written or neither.
    workers : int
        Requests at a time.
    price : (float, float)
        Of a million tokens that are read and written.

    Raises
    ------
    MeznetError
        If there are fewer than two labels, or as `meznet_helpers.llm.Asker` does.

    Examples
    --------
    >>> LlmLabeler("http://127.0.0.1:11434/v1", "llava", ["cat", "dog"]).name
    'llm/llava'
    """

    def __init__(
        self,
        endpoint: Endpoint | str,
        model: str,
        labels: LabelSpace | Sequence[str],
        *,
        prompt: str = PROMPT,
        recording: str | Path | None = None,
        workers: int = WORKERS,
        price: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Keep the arguments; nobody is asked yet."""
        self.labels = choices(labels)
        self.asker = Asker(endpoint, model, recording=recording, workers=workers, price=price)
        self.prompt = prompt
        self.reader = Reader(self.labels)
        self.name = f"llm/{model}"

    def question(self, image: np.ndarray) -> Request:
        """Return what is asked about an image (height, width, 3), uint8."""
        names = self.labels.names
        prompt = self.prompt.replace("{labels}", ", ".join(names))
        return Request(self.asker.model, prompt, png(image), names)

    def ask(self, images: object, *, progress: bool = False) -> "pd.DataFrame":
        """Ask about images, a few at a time.

        Parameters
        ----------
        images : Images, or anything `meznet_helpers.images.as_images` takes
        progress : bool
            Show a bar where there is a terminal or a notebook.

        Returns
        -------
        DataFrame
            As `meznet_helpers.llm.Asker.ask` returns it.

        Raises
        ------
        MeznetError
            If the server failed at all of them; the sentence is that of the first.
        """
        images = readable(images)
        return self.asker.ask(images.names, self._questions(images), progress=progress)

    def row(self, images: Images) -> dict:
        """Ask about the one image of some; the row of it is that of `ask`."""
        return self.asker.row(images.names[0], self.question(images[0]), self.reader)

    def _questions(self, images: Images) -> Callable[[int], tuple[Request, Reader]]:
        return lambda row: (self.question(images[row]), self.reader)

    def _labeled(self, images: Images, calibrated: bool) -> tuple[Images, np.ndarray]:
        """Label one batch, and make errors of the images at which the server failed."""
        table = self.asker.tried(images.names, self._questions(images))
        good = np.flatnonzero(table["error"] == "")
        failed = table[table["error"] != ""].itertuples()
        errors = [*images.errors, *(ImageError(f"{row.image}: {row.error}") for row in failed)]
        arrays, names = ([own[at] for at in good] for own in (images.arrays, images.names))
        return Images(arrays, names, errors), self._shares(table["label_id"][good])

    def _probabilities(self, images: list[np.ndarray]) -> np.ndarray:
        """Label one batch, or none of it; see `Labeler.probabilities`."""
        read, probs = self._labeled(readable(images), False)
        if read.errors:
            raise read.errors[0]
        return probs

    def _shares(self, label_ids: Sequence[str]) -> np.ndarray:
        """Give all to the label of each answer, or to each label the same."""
        probs = np.full((len(label_ids), len(self.labels)), 1 / len(self.labels), np.float32)
        for row, label_id in zip(probs, label_ids, strict=True):
            if label_id:
                row[:] = 0
                row[self.labels.index(label_id)] = 1
        return probs
