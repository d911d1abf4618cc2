"""Judges: language models that choose among the nets' first labels without seeing the picture."""

import functools
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import pretrained
from meznet_helpers.labelers.base import Served
from meznet_helpers.labels import LabelSpace
from meznet_helpers.llm import judging
from meznet_helpers.llm.answers import Reader
from meznet_helpers.llm.asking import Asker
from meznet_helpers.llm.request import Request
from meznet_helpers.predictions import Predictions
from meznet_helpers.progress import bar

if TYPE_CHECKING:
    import pandas as pd

CHECKPOINTS = {"tiny": "models/judge/model.safetensors"}
BATCH = 250  # questions that are answered at a time


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
            From `meznet_helpers.llm.judging.candidates`.
        progress : bool

        Returns
        -------
        ndarray of float, shape (images, k)
            NaN where there is no answer.
        """

    def __call__(self, predictions: Predictions, *, progress: bool = False) -> np.ndarray:
        """Judge images; see `meznet_helpers.llm.judging.dealt`.

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
        chosen = judging.candidates(predictions, self.k)
        return judging.dealt(predictions, chosen, self.decide(predictions, chosen, progress))


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
    >>> LocalJudge().name
    'llm/judge@tiny'
    """

    framework = "torch"

    def __init__(self, source: str = "tiny", k: int = judging.K) -> None:
        """Keep the arguments; nothing is loaded yet."""
        self.source, self.k, self.name = source, k, f"llm/judge@{source}"

    def recipe(self) -> dict[str, Any]:
        """Return the arguments; see `Served.recipe`."""
        return {"source": self.source, "k": self.k}

    def decide(
        self, predictions: Predictions, chosen: np.ndarray, progress: bool = False
    ) -> np.ndarray:
        """Let the model weigh the numbers; see `Judge.decide`."""
        texts = np.array(judging.questions(predictions, chosen), dtype=str)
        starts = range(0, len(texts), BATCH)
        parts = [
            self.call("weigh", [texts[start : start + BATCH]])
            for start in (bar(starts, label=self.name, unit="batch") if progress else starts)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.k))

    def weigh(self, texts: list[np.ndarray]) -> np.ndarray:
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
        given = [tokenizer(str(text), add_special_tokens=False)["input_ids"]
                 for part in texts for text in part]  # fmt: skip
        sizes = torch.tensor([len(one) for one in given])
        longest = int(sizes.max())
        if longest > (limit := model.config.max_position_embeddings):
            raise MeznetError(f"A question is {longest} tokens long; {self.name} reads {limit}.")
        # what stands behind a text's end is not seen from there: each token sees those before it
        ids = torch.tensor([one + [0] * (longest - len(one)) for one in given]).to(model.device)
        with torch.inference_mode():
            hidden = model.base_model(ids).last_hidden_state
            last = hidden[torch.arange(len(given)), sizes - 1]
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

    def __init__(self, asker: Asker, k: int = judging.K) -> None:
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
            From `meznet_helpers.llm.judging.candidates`.
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
        texts, names = judging.questions(predictions, chosen), predictions.labels.names
        numbers = [str(number) for number in range(1, self.k + 1)]

        def question(at: int) -> tuple[Request, Reader]:
            labels = LabelSpace("numbered", numbers, [names[label] for label in chosen[at]])
            return Request(self.asker.model, texts[at], choices=tuple(numbers)), Reader(labels)

        return self.asker.ask(predictions.images, question, progress=progress)

    def decide(
        self, predictions: Predictions, chosen: np.ndarray, progress: bool = False
    ) -> np.ndarray:
        """Give all to the label of the answer; see `Judge.decide`."""
        answers = self.ask(predictions, chosen, progress=progress)["label_id"]
        given = np.full(chosen.shape, np.nan)
        for row, number in zip(given, answers, strict=True):
            if number:
                row[:] = 0
                row[int(number) - 1] = 1
        return given


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
    source = pretrained.find(name, CHECKPOINTS, "language model")
    with pretrained.quiet(), pretrained.told(name):
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = pretrained.weights(AutoModelForCausalLM, source, name)
        return model, AutoTokenizer.from_pretrained(source, **pretrained.where(source))
