"""Judges: language models that choose among the nets' first labels without seeing the picture."""

import functools
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from meznet_helpers.ensembles import soft
from meznet_helpers.ensembles.combining import to_one
from meznet_helpers.errors import MeznetError, MeznetWarning
from meznet_helpers.labelers import Served, pretrained
from meznet_helpers.labels import LabelSpace
from meznet_helpers.llm.answers import Reader
from meznet_helpers.llm.asking import Asker
from meznet_helpers.llm.request import Request
from meznet_helpers.predictions import Predictions, top_indices
from meznet_helpers.progress import bar

if TYPE_CHECKING:
    import pandas as pd

CHECKPOINTS = {"tiny": "models/judge/model.safetensors"}
BATCH = 250  # questions that are answered at a time
K = 5  # labels that are put before the judge
INTRODUCTION = (
    "Image nets looked at a picture that you cannot see. Each line is a label, with the percent "
    "that each net gives it."
)
QUESTION = "Which label is right? Answer with its number and nothing else."
ANSWER = "Answer:"


def candidates(predictions: Predictions, k: int = K) -> np.ndarray:
    """Choose the labels that a judge decides among: the first of the nets' mean.

    Parameters
    ----------
    predictions : Predictions
    k : int
        How many for each image; at most 9, so that a number is one digit.

    Returns
    -------
    ndarray of int, shape (images, k)
        Positions of labels, in the order of their names: their order must not tell.

    Raises
    ------
    MeznetError
        If `k` is not from 2 to 9, or there are fewer labels.

    Examples
    --------
    >>> from meznet_helpers.labels import from_names
    >>> three = from_names(["owl", "cat", "dog"])
    >>> candidates(Predictions([[[0.5, 0.3, 0.2]]], ["net"], ["a.jpg"], three), 2).tolist()
    [[1, 0]]
    """
    names = predictions.labels.names
    if not 2 <= k <= min(9, len(names)):
        raise MeznetError(f"k is {k}; it must be from 2 to {min(9, len(names))}.")
    first = top_indices(soft(predictions.probs), k)
    place = np.argsort(np.argsort(names))
    return np.take_along_axis(first, place[first].argsort(1), 1)


def questions(predictions: Predictions, chosen: np.ndarray) -> list[str]:
    """Write the question about each image.

    Parameters
    ----------
    predictions : Predictions
    chosen : ndarray of int, shape (images, k)
        From `candidates`.

    Returns
    -------
    list of str

    Examples
    --------
    >>> from meznet_helpers.labels import from_names
    >>> pets = from_names(["cat", "dog"])
    >>> two = Predictions([[[0.9, 0.1]], [[0.25, 0.75]]], ["net", "other"], ["a.jpg"], pets)
    >>> print(questions(two, candidates(two, 2))[0])
    Image nets looked at a picture that you cannot see. Each line is a label, with the percent \
that each net gives it.
    1. cat: 90 25
    2. dog: 10 75
    Which label is right? Answer with its number and nothing else.
    Answer:
    """
    names = predictions.labels.names
    percents = np.rint(100 * np.take_along_axis(predictions.probs, chosen[None], 2)).astype(int)
    return [
        written([names[label] for label in row], percents[:, image].T)
        for image, row in enumerate(chosen)
    ]


def written(names: Sequence[str], percents: np.ndarray) -> str:
    """Write one question.

    Parameters
    ----------
    names : sequence of str
    percents : ndarray of int, shape (labels, nets)
    """
    lines = [
        f"{number}. {name}: {' '.join(map(str, row))}"
        for number, (name, row) in enumerate(zip(names, percents.tolist(), strict=True), 1)
    ]
    return "\n".join([INTRODUCTION, *lines, QUESTION, ANSWER])


def dealt(predictions: Predictions, chosen: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Turn a judge's answers into probabilities of all labels.

    What the nets' mean gives the labels before the judge is dealt among them anew, by the judge;
    the other labels keep theirs.

    Parameters
    ----------
    predictions : Predictions
    chosen : ndarray of int, shape (images, k)
    given : ndarray of float, shape (images, k)
        The judge's shares, which sum to 1; NaN where the answer was none: there the mean stands.

    Returns
    -------
    ndarray of float32, shape (images, labels)

    Examples
    --------
    >>> from meznet_helpers.labels import from_names
    >>> three = from_names(["owl", "cat", "dog"])
    >>> one = Predictions([[[0.5, 0.25, 0.25]]], ["net"], ["a.jpg"], three)
    >>> dealt(one, np.array([[1, 0]]), np.array([[1.0, 0.0]])).tolist()
    [[0.0, 0.75, 0.25]]
    """
    probs = soft(predictions.probs)
    mass = np.take_along_axis(probs, chosen, 1).sum(1, keepdims=True)
    there = ~np.isnan(given).any(1)
    rows = np.flatnonzero(there)[:, None]
    probs[rows, chosen[there]] = mass[there] * given[there]
    return to_one(probs, axis=1)


class Judge(ABC):
    """What makes one set of probabilities of the nets', for `EnsembleLabeler`'s method.

    Attributes
    ----------
    name : str
    k : int
        How many labels it chooses among.
    """

    name: str
    k: int

    @abstractmethod
    def decide(
        self, predictions: Predictions, chosen: np.ndarray, progress: bool = False
    ) -> np.ndarray:
        """Share each image among its labels.

        Parameters
        ----------
        predictions : Predictions
        chosen : ndarray of int, shape (images, k)
            From `meznet_helpers.llm.judge.candidates`.
        progress : bool

        Returns
        -------
        ndarray of float, shape (images, k)
            NaN where there is no answer.
        """

    def __call__(self, predictions: Predictions, *, progress: bool = False) -> np.ndarray:
        """Judge images; see `meznet_helpers.llm.judge.dealt`.

        Parameters
        ----------
        predictions : Predictions
            Of all nets.
        progress : bool
            Show a bar where there is a terminal or a notebook.

        Returns
        -------
        ndarray of float32, shape (images, labels)
        """
        chosen = candidates(predictions, self.k)
        return dealt(predictions, chosen, self.decide(predictions, chosen, progress))


@functools.lru_cache(maxsize=1)
def load(name: str) -> tuple[Any, Any]:
    """Load a causal language model; the last one stays in memory until `load.cache_clear()`.

    Parameters
    ----------
    name : str
        As `LocalJudge` takes it.

    Returns
    -------
    model : transformers.PreTrainedModel
        In evaluation mode.
    tokenizer : of transformers

    Raises
    ------
    MeznetError
        If there is no such model, a file of it is missing or of another shape, or it can't be
        downloaded.
    """
    with pretrained.loading(name, CHECKPOINTS, "language model") as source:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = pretrained.weights(AutoModelForCausalLM, source, name)
        return model, AutoTokenizer.from_pretrained(source, **pretrained.where(source))


class LocalJudge(Judge, Served):
    """A causal language model of transformers on this machine.

    It weighs the numbers of the labels as the next word of the question.

    Parameters
    ----------
    source : str
        ``"tiny"``, a name of the hub, or a folder that ``save_pretrained`` wrote.
    k : int

    Examples
    --------
    >>> LocalJudge("tiny").name
    'llm/judge@tiny'
    """

    framework = "torch"

    def __init__(self, source: str, k: int = K) -> None:
        """Keep the arguments; nothing is loaded yet."""
        self.source, self.k, self.name = source, k, f"llm/judge@{source}"

    def recipe(self) -> dict[str, Any]:
        """Return the arguments; see `Served.recipe`."""
        return {"source": self.source, "k": self.k}

    def decide(
        self, predictions: Predictions, chosen: np.ndarray, progress: bool = False
    ) -> np.ndarray:
        """Let the model weigh the numbers; see `Judge.decide`."""
        texts = np.array(questions(predictions, chosen), dtype=str)
        starts = range(0, len(texts), BATCH)
        parts = [
            self._served(self._weigh, [texts[start : start + BATCH]])
            for start in (bar(starts, label=self.name, unit="batch") if progress else starts)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.k))

    def _weigh(self, texts: list[np.ndarray]) -> np.ndarray:
        """Weigh the numbers 1 to k as what follows texts.

        Parameters
        ----------
        texts : list of ndarray of str, each of shape (some,)

        Returns
        -------
        ndarray of float32, shape (texts, k)

        Raises
        ------
        MeznetError
            If the model can't be loaded, or a text is longer than it reads.
        """
        import torch

        model, tokenizer = load(self.source)
        numbers = [
            tokenizer(f" {number}", add_special_tokens=False)["input_ids"][-1]
            for number in range(1, self.k + 1)
        ]
        rows = [tokenizer(str(text), add_special_tokens=False)["input_ids"]
                for part in texts for text in part]  # fmt: skip
        sizes = torch.tensor([len(row) for row in rows])
        longest = int(sizes.max())
        if longest > (limit := model.config.max_position_embeddings):
            raise MeznetError(f"A question is {longest} tokens long; {self.name} reads {limit}.")
        # what stands behind a text's end is not seen from there: each token sees those before it
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows]).to(model.device)
        with torch.inference_mode():
            hidden = model.base_model(ids).last_hidden_state
            last = hidden[torch.arange(len(rows)), sizes - 1]
            logits = model.get_output_embeddings()(last)[:, numbers]
        return logits.float().softmax(1).cpu().numpy()

    def release(self) -> None:
        """Free the model, too; see `Served.release`."""
        super().release()
        load.cache_clear()


class EndpointJudge(Judge):
    """A model behind a server; it is asked about one image after the other.

    Parameters
    ----------
    asker : Asker
    k : int

    Examples
    --------
    >>> EndpointJudge(Asker("http://127.0.0.1:11434/v1", "mistral")).name
    'llm/judge@mistral'
    """

    def __init__(self, asker: Asker, k: int = K) -> None:
        """Keep the arguments; nobody is asked yet."""
        self.asker, self.k, self.name = asker, k, f"llm/judge@{asker.model}"

    def ask(
        self, predictions: Predictions, chosen: np.ndarray, *, progress: bool = False
    ) -> "pd.DataFrame":
        """Ask about all images.

        Parameters
        ----------
        predictions : Predictions
        chosen : ndarray of int, shape (images, k)
            From `meznet_helpers.llm.judge.candidates`.
        progress : bool

        Returns
        -------
        DataFrame
            As `Asker.ask` returns it; `label_id` is the number of the answer, ``"1"`` to ``"k"``.

        Raises
        ------
        MeznetError
            If the server failed at all images.
        """
        texts, names = questions(predictions, chosen), predictions.labels.names
        numbers = [str(number) for number in range(1, self.k + 1)]

        def question(row: int) -> tuple[Request, Reader]:
            labels = LabelSpace("numbered", numbers, [names[label] for label in chosen[row]])
            return Request(self.asker.model, texts[row], choices=tuple(numbers)), Reader(labels)

        return self.asker.ask(predictions.images, question, progress=progress)

    def decide(
        self, predictions: Predictions, chosen: np.ndarray, progress: bool = False
    ) -> np.ndarray:
        """Give all to the label of the answer; see `Judge.decide`."""
        table = self.ask(predictions, chosen, progress=progress)
        for failed in table[table["error"] != ""].itertuples():
            warnings.warn(
                f"{failed.image}: {failed.error} The nets' mean stands.",
                MeznetWarning,
                stacklevel=2,
            )
        given = np.full(chosen.shape, np.nan)
        for row, number in zip(given, table["label_id"], strict=True):
            if number:
                row[:] = 0
                row[int(number) - 1] = 1
        return given
