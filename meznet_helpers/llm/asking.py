"""Questions to a model behind a server: a few at a time, once more if the answer is no label."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from meznet_helpers.errors import MeznetError
from meznet_helpers.llm.answers import Answer, Reader
from meznet_helpers.llm.endpoint import Endpoint
from meznet_helpers.llm.recording import Recording, Reply, mode
from meznet_helpers.llm.request import Request
from meznet_helpers.progress import bar

if TYPE_CHECKING:
    import pandas as pd

CUT = ("length", "max_tokens", "content_filter")  # why an answer is not whole
AGAIN = "\nYour answer was not one of the labels. Answer with exactly one of them."
WORKERS = 4  # requests at a time
COLUMNS = (
    *("image", "label_id", "label", "how", "text", "tries"),
    *("tokens_in", "tokens_out", "ms", "price", "error"),
)


class Asker:
    """A model behind an OpenAI-compatible server, and how it is asked.

    Parameters
    ----------
    endpoint : Endpoint or str
        A server, or its address.
    model : str
    recording : str or Path, optional
        A file of recorded answers; ``MEZNET_LLM`` says whether it is read, written or neither.
    workers : int
        Requests at a time.
    price : (float, float)
        Of a million tokens that are read and written.

    Raises
    ------
    MeznetError
        If `workers` is below 1, the recording is damaged, or ``MEZNET_LLM`` asks for one and there
        is none.

    Examples
    --------
    >>> Asker("http://127.0.0.1:11434/v1", "llava").endpoint.url
    'http://127.0.0.1:11434/v1'
    """

    def __init__(
        self,
        endpoint: Endpoint | str,
        model: str,
        *,
        recording: str | Path | None = None,
        workers: int = WORKERS,
        price: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Keep the arguments; nobody is asked yet."""
        if workers < 1:
            raise MeznetError(f"workers is {workers}; it must be 1 or more.")
        mode(recording)
        self.endpoint = Endpoint(endpoint) if isinstance(endpoint, str) else endpoint
        self.model, self.workers, self.price = model, workers, price
        self.recording = None if recording is None else Recording(recording)

    def ask(
        self,
        images: Sequence[str],
        question: Callable[[int], tuple[Request, Reader]],
        *,
        progress: bool = False,
    ) -> "pd.DataFrame":
        """Ask about images.

        Parameters
        ----------
        images : sequence of str
            Their names, for the table; they are not sent.
        question : callable
            From the place of an image to what is asked about it, and what understands the answer.
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
        table = self.tried(images, question, progress=progress)
        if len(table) and table["error"].all():
            raise MeznetError(table["error"][0])
        return table

    def tried(
        self,
        images: Sequence[str],
        question: Callable[[int], tuple[Request, Reader]],
        *,
        progress: bool = False,
    ) -> "pd.DataFrame":
        """Ask about images, and return the table of `ask` even if the server failed at all."""
        import pandas as pd

        with ThreadPoolExecutor(self.workers) as pool:
            rows = pool.map(lambda row: self.row(images[row], *question(row)), range(len(images)))
            rows = list(bar(rows, total=len(images), label=self.model) if progress else rows)
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def row(self, image: str, request: Request, reader: Reader) -> dict:
        """Ask about one image, once more if the answer is off the list; see `ask`."""
        row = dict.fromkeys(COLUMNS, "") | {"image": image, "tries": 0}
        row |= dict.fromkeys(("tokens_in", "tokens_out"), 0) | {"ms": 0.0, "price": 0.0}
        answer = Answer(None, "empty")
        for more in ("", AGAIN):
            prompt = request.prompt + more
            try:
                reply = self._reply(
                    Request(request.model, prompt, request.picture, request.choices)
                )
            except MeznetError as error:
                return row | {"error": str(error)}
            cut = reply.finish in CUT
            answer = Answer(None, "cut off") if cut else reader.read(reply.text)
            row["tries"] += 1
            for count in ("tokens_in", "tokens_out", "ms"):
                row[count] += getattr(reply, count)
            row |= {"text": reply.text, "how": answer.how}
            row["price"] = sum(
                million * row[count] / 1e6
                for million, count in zip(self.price, ("tokens_in", "tokens_out"), strict=True)
            )
            if answer.position is not None:
                labels, label = reader.labels, answer.position
                return row | {"label_id": labels.ids[label], "label": labels.names[label]}
        return row

    def _reply(self, request: Request) -> Reply:
        if self.recording is None:
            mode(None)
            return self.endpoint.ask(request)
        return self.recording.ask(request, self.endpoint.ask)
