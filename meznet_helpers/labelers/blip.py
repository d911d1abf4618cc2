"""BLIP checkpoints: loaded with what prepares their input, and asked how likely texts are."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from meznet_helpers import profile
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import pretrained

#: Short names of checkpoints: the one of this repository, and a large one of the same kind.
CHECKPOINTS = {
    "tiny": "models/captioner/model.safetensors",
    "blip": "Salesforce/blip-image-captioning-base",
}

ROW = 256  # tokens that the decoder reads side by side


@dataclass(frozen=True, eq=False)
class Captioner:
    """A BLIP (Li et al. 2022, arXiv:2201.12086), and what prepares its input.

    Attributes
    ----------
    model : transformers.BlipForConditionalGeneration
        In evaluation mode.
    tokenizer, processor : of transformers
        For texts and for images.
    """

    model: Any
    tokenizer: Any
    processor: Any

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
    source = pretrained.find(name, CHECKPOINTS, "captioner")
    with pretrained.quiet(), pretrained.told(name):
        from transformers import BlipConfig, BlipForConditionalGeneration

        kind = BlipConfig.get_config_dict(source, **pretrained.where(source))[0].get("model_type")
        if kind != "blip":
            raise MeznetError(f"{name} is a model of type {kind}, not a BLIP.")
        model = pretrained.weights(BlipForConditionalGeneration, source, name)
        return Captioner(model, *pretrained.preparation(source))


def default() -> str:
    """Return the short name of the checkpoint that the profile chooses.

    Examples
    --------
    >>> default()
    'tiny'
    """
    return "tiny" if profile.active() == "tiny" else "blip"


def weigher(found: Captioner, texts: Sequence[tuple[str, str]]) -> Any:
    """Make the net that weighs texts which begin alike.

    Parameters
    ----------
    found : Captioner
    texts : sequence of (str, str)
        How each text begins, the same for all, and how it goes on.

    Returns
    -------
    torch.nn.Module
        From prepared pixels (images, 3, size, size) to log probabilities (images, texts) of what
        follows, the end included, given the beginning. The decoder reads rows of the beginning and
        many endings, each of which sees the beginning and itself. So the picture is looked at once,
        and the beginning read once for many labels.

    Raises
    ------
    MeznetError
        If a text is longer than the captioner reads.
    """
    import torch

    text = found.model.config.text_config
    begin = found.tokens(texts[0][0])
    ends = [found.tokens(" ".join(pair).strip())[len(begin) :] for pair in texts]
    for pair, end in zip(texts, ends, strict=True):
        if len(begin) + len(end) > text.max_position_embeddings:
            raise MeznetError(
                f'"{" ".join(pair)[:60]}" is {len(begin) + len(end)} tokens long; the captioner '
                f"reads {text.max_position_embeddings}."
            )
    rows = [_row(begin, some, text.sep_token_id) for some in _parted(ends)]

    class Weigher(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vision_model, self.decoder = found.model.vision_model, found.model.text_decoder

        def forward(self, pixels: Any) -> Any:
            seen = self.vision_model(pixel_values=pixels).last_hidden_state
            return torch.cat([self.weigh(seen, row) for row in rows], 1)

        def weigh(self, seen: Any, row: _Row) -> Any:
            found = {
                key: torch.from_numpy(value).to(seen.device) for key, value in vars(row).items()
            }
            logits = self.decoder(
                found["ids"].expand(len(seen), -1),
                attention_mask=found["mask"][None, None],
                position_ids=found["places"][None],
                encoder_hidden_states=seen,
                use_cache=False,
            ).logits
            each = logits.log_softmax(-1)[:, found["tells"], found["told"]]
            sums = each.new_zeros(len(seen), 1 + int(row.of.max()))
            return sums.index_add(1, found["of"], each)

    return Weigher().eval()


def _parted(ends: list[list[int]]) -> Iterator[list[list[int]]]:
    """Yield a few endings at a time."""
    part: list[list[int]] = []
    for end in ends:
        if part and sum(map(len, part)) + len(end) > ROW:
            yield part
            part = []
        part.append(end)
    yield part


@dataclass(frozen=True, eq=False)
class _Row:
    """A beginning and some endings, for the decoder."""

    ids: np.ndarray  # the tokens
    places: np.ndarray  # of each token in its own text
    mask: np.ndarray  # 0 where a token (first axis) sees another, else a very low number
    tells: np.ndarray  # the positions whose outputs count,
    told: np.ndarray  # the token that each of them must foretell,
    of: np.ndarray  # and the text that it belongs to


def _row(begin: list[int], ends: list[list[int]], last: int) -> _Row:
    """Put a beginning and endings side by side; each ends with the token `last`."""
    sizes = [len(end) for end in ends]
    starts = len(begin) + np.cumsum([0, *sizes[:-1]])
    owner = np.repeat([-1, *range(len(ends))], [len(begin), *sizes])
    places = [np.arange(len(begin)), *(len(begin) + np.arange(size) for size in sizes)]
    sees = (owner == -1) | (owner[:, None] == owner)  # the beginning, and one's own
    sees &= np.tri(len(owner), dtype=bool)
    tells = [
        at
        for start, size in zip(starts, sizes, strict=True)
        for at in (len(begin) - 1, *range(start, start + size))
    ]
    return _Row(
        ids=np.array([*begin, *(token for end in ends for token in end)]),
        places=np.concatenate(places),
        mask=np.where(sees, 0, np.finfo(np.float32).min).astype(np.float32),
        tells=np.array(tells),
        told=np.array([token for end in ends for token in (*end, last)]),
        of=np.repeat(np.arange(len(ends)), [size + 1 for size in sizes]),
    )
