"""A model that writes captions as a labeler: it weighs each label as the end of a sentence."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import pretrained, readable
from meznet_helpers.labels import LabelSpace
from meznet_helpers.progress import bar
from meznet_helpers.words import frame

if TYPE_CHECKING:
    import pandas as pd

#: Short names of checkpoints: the one of this repository, and a large one of the same kind.
CHECKPOINTS = {
    "tiny": "models/captioner/model.safetensors",
    "blip": "Salesforce/blip-image-captioning-base",
}

PROMPT = "a photo of {a}"
ROW = 256  # tokens that the decoder reads side by side
BATCH = 32  # images that are captioned at a time
LONGEST = 20  # tokens of a caption


class Captioner(pretrained.Checkpoint):
    """A BLIP (Li et al. 2022, arXiv:2201.12086), ``transformers.BlipForConditionalGeneration``."""

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text, the one that begins each text first, no end."""
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return [self.model.config.text_config.bos_token_id, *ids]


@functools.lru_cache(maxsize=1)
def load(name: str) -> Captioner:
    """Load a captioner; the last one stays in memory until `load.cache_clear()`.

    Parameters
    ----------
    name : str
        ``"tiny"``, ``"blip"``, a name of the hub, or a folder that
        ``BlipForConditionalGeneration.save_pretrained`` wrote.

    Returns
    -------
    Captioner

    Raises
    ------
    MeznetError
        If there is no such checkpoint, it is of another kind, a file of it is missing or of
        another shape, or it can't be downloaded.
    """
    with pretrained.loading(name, CHECKPOINTS, "captioner") as source:
        from transformers import BlipConfig, BlipForConditionalGeneration

        kind = BlipConfig.get_config_dict(source, **pretrained.where(source))[0].get("model_type")
        if kind != "blip":
            raise MeznetError(f"{name} is a model of type {kind}, not a BLIP.")
        return Captioner.of(BlipForConditionalGeneration, source, name)


class CaptionLabeler(pretrained.CheckpointLabeler):
    """A captioner that must choose among labels, or says what it likes.

    The label's place in the prompt decides: the probability of each label, and of the text's end
    after it, given the picture and the words before, is the product of those of its tokens. These
    are divided by their sum over the labels. All labels are weighed in one pass, side by side.

    Parameters
    ----------
    source : str, optional
        As `meznet_helpers.llm.captioner.load` takes it; by default ``"blip"``.
    labels : LabelSpace or sequence of str, optional
        Two names or more; by default Tiny-ImageNet's 200 for ``"tiny"``, and ImageNet's 1,000.
    prompt : str
        Ends with ``{}`` for the label, or with ``{a}`` for the label after *a* or *an*.

    Raises
    ------
    MeznetError
        If there are fewer than two labels, two of them are the same, or the prompt does not end
        with the label.

    Examples
    --------
    >>> net = CaptionLabeler("tiny", ["dog", "school bus"])
    >>> net.name, net.texts[1]
    ('llm/captioner@tiny', ('a photo of', 'a school bus'))
    """

    bundled = CHECKPOINTS
    load = staticmethod(load)

    def __init__(
        self,
        source: str | None = None,
        labels: LabelSpace | Sequence[str] | None = None,
        *,
        prompt: str = PROMPT,
    ) -> None:
        """Write the texts; nothing is loaded yet."""
        self.source = source or "blip"
        self.labels = pretrained.labels_for(self.source, labels)
        place = "{a}" if prompt.endswith("{a}") else "{}"
        before = prompt.removesuffix(place)
        if before == prompt or "{}" in before or "{a}" in before:
            raise MeznetError(f'the prompt "{prompt}" must end with {{}} or {{a}}, for the label.')
        self.prompt = prompt
        self.texts = [(before.rstrip(), frame(place, label)) for label in self.labels.names]
        self.name = f"llm/captioner@{self.source}"

    def recipe(self) -> dict[str, Any]:
        """Return the arguments; see `Labeler.recipe`."""
        labels = dataclasses.asdict(self.labels)
        return {"source": self.source, "labels": labels, "prompt": self.prompt}

    def _build(self) -> Any:
        """Return the checkpoint's model."""
        return self.checkpoint.model

    @functools.cached_property
    def _rows(self) -> list["_Row"]:
        """The labels' tokens, side by side."""
        return rows(self.checkpoint, self.texts)

    def _scores(self, batch: Any) -> Any:
        """Return the log probability of each text."""
        return weigh(self.model, batch, self._rows)

    def _pooled(self, batch: Any) -> Any:
        """Return the tower's vector for the whole picture."""
        return self.model.vision_model(pixel_values=batch).pooler_output

    def describe(self, images: Any, prompt: str = "", *, progress: bool = False) -> "pd.DataFrame":
        """Let the captioner say what it likes about images, the likeliest word at each step.

        Parameters
        ----------
        images : Images, or anything `meznet_helpers.images.as_images` takes
        prompt : str
            How its text begins.
        progress : bool
            Show a bar where there is a terminal or a notebook.

        Returns
        -------
        DataFrame
            Columns `image` and `text`, which is without the prompt; a row for each image.

        Raises
        ------
        MeznetError
            If no image can be read, or the prompt is longer than the captioner reads.
        """
        import pandas as pd

        images = readable(images)
        starts = range(0, len(images), BATCH)
        texts = [
            str(text)
            for start in (bar(starts, label=self.name, unit="batch") if progress else starts)
            for text in self._served(
                self._captions, list(images.arrays[start : start + BATCH]), prompt=prompt
            )
        ]
        return pd.DataFrame({"image": list(images.names), "text": texts})

    def _captions(self, images: list[np.ndarray], prompt: str) -> np.ndarray:
        """Caption one batch in this process: an ndarray of str, shape (images,)."""
        import torch

        captioner = self.checkpoint
        start, device = captioner.tokens(prompt), captioner.model.device
        longest = captioner.model.config.text_config.max_position_embeddings
        if len(start) >= longest:
            raise MeznetError(
                f'"{prompt[:60]}" is {len(start)} tokens long; {self.name} reads {longest - 1}.'
            )
        pixels = torch.from_numpy(np.stack([captioner.prepare(image) for image in images]))
        # transformers takes the last token away, which ends a text that a tokenizer gives
        ids = torch.tensor([[*start, 0]] * len(images), device=device)
        with torch.inference_mode(), pretrained.quiet():
            ids = captioner.model.generate(
                pixels.to(device),
                ids,
                do_sample=False,
                num_beams=1,
                max_new_tokens=min(LONGEST, longest - len(start)),
            )
        texts = captioner.tokenizer.batch_decode(ids[:, len(start) :], skip_special_tokens=True)
        return np.array([text.strip() for text in texts])


@dataclass(frozen=True, eq=False)
class _Row:
    """A beginning and some endings, for the decoder."""

    ids: np.ndarray  # the tokens
    places: np.ndarray  # of each token in its own text
    mask: np.ndarray  # 0 where a token (first axis) sees another, else a very low number
    tells: np.ndarray  # the positions whose outputs count,
    told: np.ndarray  # the token that each of them must foretell,
    of: np.ndarray  # and the text that it belongs to


def rows(captioner: Captioner, texts: Sequence[tuple[str, str]]) -> list[_Row]:
    """Put texts that begin alike side by side, a few in each row.

    Parameters
    ----------
    captioner : Captioner
    texts : sequence of (str, str)
        How each text begins, the same for all, and how it goes on.

    Raises
    ------
    MeznetError
        If a text is longer than the captioner reads.
    """
    text = captioner.model.config.text_config
    begin = captioner.tokens(texts[0][0])
    ends = [captioner.tokens(" ".join(pair).strip())[len(begin) :] for pair in texts]
    for pair, end in zip(texts, ends, strict=True):
        if len(begin) + len(end) > text.max_position_embeddings:
            raise MeznetError(
                f'"{" ".join(pair)[:60]}" is {len(begin) + len(end)} tokens long; the captioner '
                f"reads {text.max_position_embeddings}."
            )
    return [_row(begin, some, text.sep_token_id) for some in _parted(ends)]


def weigh(model: Any, pixels: Any, rows: Sequence[_Row]) -> Any:
    """Weigh texts which begin alike.

    The decoder reads rows of the beginning and many endings, each of which sees the beginning and
    itself. So the picture is looked at once, and the beginning read once for many labels.

    Parameters
    ----------
    model : transformers.BlipForConditionalGeneration
    pixels : torch.Tensor of float32, shape (images, 3, size, size)
        Prepared.
    rows : sequence of _Row
        From `rows`.

    Returns
    -------
    torch.Tensor, shape (images, texts)
        Log probabilities of what follows, the end included, given the beginning.
    """
    import torch

    seen = model.vision_model(pixel_values=pixels).last_hidden_state
    parts = []
    for row in rows:
        tensors = {key: torch.from_numpy(value).to(seen.device) for key, value in vars(row).items()}
        logits = model.text_decoder(
            tensors["ids"].expand(len(seen), -1),
            attention_mask=tensors["mask"][None, None],
            position_ids=tensors["places"][None],
            encoder_hidden_states=seen,
            use_cache=False,
        ).logits
        logs = logits.log_softmax(-1)[:, tensors["tells"], tensors["told"]]
        sums = logs.new_zeros(len(seen), 1 + int(row.of.max()))
        parts.append(sums.index_add(1, tensors["of"], logs))
    return torch.cat(parts, 1)


def _parted(ends: list[list[int]]) -> Iterator[list[list[int]]]:
    """Yield a few endings at a time."""
    part: list[list[int]] = []
    for end in ends:
        if part and sum(map(len, part)) + len(end) > ROW:
            yield part
            part = []
        part.append(end)
    yield part


def _row(begin: list[int], ends: list[list[int]], last: int) -> _Row:
    """Put a beginning and endings side by side; each ends with the token `last`."""
    sizes = [len(end) for end in ends]
    starts = len(begin) + np.cumsum([0, *sizes[:-1]])
    owner = np.repeat([-1, *range(len(ends))], [len(begin), *sizes])
    places = [np.arange(len(begin)), *(len(begin) + np.arange(size) for size in sizes)]
    sees = (owner == -1) | (owner[:, None] == owner)  # the beginning, and one's own
    sees &= np.tri(len(owner), dtype=bool)
    tells = [
        position
        for start, size in zip(starts, sizes, strict=True)
        for position in (len(begin) - 1, *range(start, start + size))
    ]
    return _Row(
        ids=np.array([*begin, *(token for end in ends for token in end)]),
        places=np.concatenate(places),
        mask=np.where(sees, 0, np.finfo(np.float32).min).astype(np.float32),
        tells=np.array(tells),
        told=np.array([token for end in ends for token in (*end, last)]),
        of=np.repeat(np.arange(len(ends)), [size + 1 for size in sizes]),
    )
