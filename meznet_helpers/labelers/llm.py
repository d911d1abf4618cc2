"""Language models as labelers: they are shown the picture and asked for a label of a list."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers.base import Labeler, readable
from meznet_helpers.labels import LabelSpace, from_names
from meznet_helpers.llm.answers import Answer, Reader
from meznet_helpers.llm.endpoint import Endpoint
from meznet_helpers.llm.recording import Recording, Reply
from meznet_helpers.llm.request import Request, png
from meznet_helpers.progress import bar

if TYPE_CHECKING:
    import pandas as pd

PROMPT = "What does the picture show? Answer with one of these labels and nothing else: {labels}."
AGAIN = "\nYour answer was not one of the labels. Answer with exactly one of them."
WORKERS = 4  # requests at a time
COLUMNS = (
    *("image", "label_id", "label", "how", "text", "tries"),
    *("tokens_in", "tokens_out", "ms", "price", "error"),
)


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
    name : str, optional
        How predictions call it; ``llm/MODEL`` by default.

    Raises
    ------
    MeznetError
        If there are fewer than two labels, or `workers` is below 1.

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
        name: str | None = None,
    ) -> None:
        """Keep the arguments; nobody is asked yet."""
        self.endpoint = Endpoint(endpoint) if isinstance(endpoint, str) else endpoint
        self.labels = labels if isinstance(labels, LabelSpace) else from_names(labels)
        if len(self.labels) < 2 or workers < 1:
            raise MeznetError(
                f"{len(self.labels)} labels and {workers} workers: it takes two labels or more, "
                "and one worker."
            )
        self.model, self.prompt, self.price, self.workers = model, prompt, price, workers
        self.recording = None if recording is None else Recording(recording)
        self.reader = Reader(self.labels)
        self.name = name or f"llm/{model}"

    def question(self, image: np.ndarray) -> Request:
        """Return what is asked about an image (height, width, 3), uint8."""
        names = self.labels.names
        prompt = self.prompt.replace("{labels}", ", ".join(names))
        return Request(self.model, prompt, png(image), names)

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
            One row for each image: `image`; `label_id` and `label`, empty off the list; `how` it
            was understood, see `meznet_helpers.llm.answers.Answer`; the last answer's `text`;
            `tries` (1 or 2), and over both of them `tokens_in`, `tokens_out`, `ms` and `price`;
            `error`, empty unless the server failed at this image.

        Raises
        ------
        MeznetError
            If it failed at all of them; the sentence is that of the first.
        """
        import pandas as pd

        images = readable(images)
        with ThreadPoolExecutor(self.workers) as pool:
            found: Iterable[dict] = pool.map(self._row, images.names, images.arrays)
            rows = list(bar(found, total=len(images), label=self.name) if progress else found)
        if rows and all(row["error"] for row in rows):
            raise MeznetError(rows[0]["error"])
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def probabilities(self, images: list[np.ndarray]) -> np.ndarray:
        """Label one batch; see `Labeler.probabilities`."""
        probs = np.full((len(images), len(self.labels)), 1 / len(self.labels), np.float32)
        if images:
            for row, label_id in zip(probs, self.ask(images)["label_id"], strict=True):
                if label_id:
                    row[:] = 0
                    row[self.labels.index(label_id)] = 1
        return probs

    def _row(self, name: str, image: np.ndarray) -> dict:
        """Ask about one image, once more if the answer is off the list."""
        row = dict.fromkeys(COLUMNS, "") | {"image": name, "tries": 0}
        row |= dict.fromkeys(("tokens_in", "tokens_out"), 0) | {"ms": 0.0, "price": 0.0}
        request, answer = self.question(image), Answer(None, "empty")
        for prompt in (request.prompt, request.prompt + AGAIN):
            try:
                reply = self._reply(
                    Request(request.model, prompt, request.picture, request.choices)
                )
            except MeznetError as error:
                return row | {"error": str(error)}
            answer = self.reader.read(reply.text)
            row["tries"] += 1
            for count in ("tokens_in", "tokens_out", "ms"):
                row[count] += getattr(reply, count)
            row |= {"text": reply.text, "how": answer.how}
            if answer.position is not None:
                break
        row["price"] = (self.price[0] * row["tokens_in"] + self.price[1] * row["tokens_out"]) / 1e6
        if answer.position is None:
            return row
        labels = self.labels
        at = answer.position
        return row | {"label_id": labels.ids[at], "label": labels.names[at]}

    def _reply(self, request: Request) -> Reply:
        if self.recording is None:
            return self.endpoint.ask(request)
        return self.recording.ask(request, self.endpoint.ask)
