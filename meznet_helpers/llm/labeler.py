"""Language models as labelers: they are shown the picture and asked for a label of a list."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

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
    the probability evenly.

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
        If there are fewer than two labels, `workers` is below 1, or the recording is damaged.

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
        names, reader = images.names, self.reader
        return self.asker.ask(
            names, lambda row: (self.question(images[row]), reader), progress=progress
        )

    def _probabilities(self, images: list[np.ndarray]) -> np.ndarray:
        """Label one batch; see `Labeler.probabilities`."""
        probs = np.full((len(images), len(self.labels)), 1 / len(self.labels), np.float32)
        if images:
            for row, label_id in zip(probs, self.ask(images)["label_id"], strict=True):
                if label_id:
                    row[:] = 0
                    row[self.labels.index(label_id)] = 1
        return probs
