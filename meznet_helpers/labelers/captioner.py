"""A model that writes captions as a labeler: it weighs each label as the end of a sentence."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from meznet_helpers import labels as spaces
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import blip, pretrained
from meznet_helpers.labelers.base import readable
from meznet_helpers.labelers.torch import TorchLabeler, unscaled
from meznet_helpers.labels import LabelSpace
from meznet_helpers.progress import bar
from meznet_helpers.prompts import frame

if TYPE_CHECKING:
    import pandas as pd

PROMPT = "a photo of {a}"
BATCH = 32  # images that are captioned at a time
LONGEST = 20  # tokens of a caption


class CaptionLabeler(TorchLabeler):
    """A captioner that must choose among labels, or says what it likes.

    The label's place in the prompt decides: the probability of each label, and of the text's end
    after it, given the picture and the words before, is the product of those of its tokens. These
    are divided by their sum over the labels. All labels are weighed in one pass, side by side.

    Parameters
    ----------
    source : str, optional
        As `meznet_helpers.labelers.blip.load` takes it; by default the profile chooses between
        ``"tiny"`` and ``"blip"``.
    labels : LabelSpace or sequence of str, optional
        Two names or more; by default Tiny-ImageNet's 200 for ``"tiny"``, and ImageNet's 1,000.
    prompt : str
        Ends with ``{}`` for the label, or with ``{a}`` for the label after *a* or *an*.
    name : str, optional
        How predictions call it; ``llm/captioner@SOURCE`` by default.

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

    def __init__(
        self,
        source: str | None = None,
        labels: LabelSpace | Sequence[str] | None = None,
        *,
        prompt: str = PROMPT,
        name: str | None = None,
    ) -> None:
        """Write the texts; nothing is loaded yet."""
        self.source = source or blip.default()
        if labels is None:
            labels = spaces.tiny_imagenet() if self.source == "tiny" else spaces.imagenet()
        self.labels = labels if isinstance(labels, LabelSpace) else spaces.from_names(labels)
        if len(self.labels) < 2:
            raise MeznetError(
                f'"{self.labels.names[0]}" alone leaves no choice; give it two labels or more.'
            )
        place = "{a}" if prompt.endswith("{a}") else "{}"
        before = prompt.removesuffix(place)
        if before == prompt or "{}" in before or "{a}" in before:
            raise MeznetError(f'the prompt "{prompt}" must end with {{}} or {{a}}, for the label.')
        self.prompt = prompt
        self.texts = [(before.rstrip(), frame(place, label)) for label in self.labels.names]
        self.name = name or f"llm/captioner@{self.source}"

    def recipe(self) -> dict[str, Any]:
        """Return the arguments; see `Labeler.recipe`."""
        labels = dataclasses.asdict(self.labels)
        about = {"prompt": self.prompt, "name": self.name}
        return {"source": self.source, "labels": labels} | about

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any]) -> "CaptionLabeler":
        """Make a labeler of such arguments."""
        return cls(**recipe | {"labels": LabelSpace(**recipe["labels"])})

    def build(self) -> Any:
        """Put the labels' tokens side by side."""
        return blip.weigher(blip.load(self.source), self.texts)

    def preparation(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return what the checkpoint's own processor does to an image."""
        processor = blip.load(self.source).processor
        return lambda image: np.asarray(
            processor(image, return_tensors="np")["pixel_values"][0], np.float32
        )

    def seen(self, images: list[np.ndarray]) -> np.ndarray:
        """Return what the processor cuts out; see `NetworkLabeler.seen`."""
        about, prepare = blip.load(self.source).processor, self.preparation()
        prepared = np.stack([prepare(image) for image in images])
        return unscaled(prepared, about.image_mean, about.image_std)

    def pooled(self, batch: Any) -> Any:
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
            text
            for start in (bar(starts, label=self.name, unit="batch") if progress else starts)
            for text in self.call(
                "captions", list(images.arrays[start : start + BATCH]), prompt=prompt
            )
        ]
        return pd.DataFrame({"image": list(images.names), "text": texts})

    def captions(self, images: list[np.ndarray], prompt: str = "") -> np.ndarray:
        """Caption one batch; see `describe`.

        Parameters
        ----------
        images : list of ndarray, each (height, width, 3), uint8
        prompt : str

        Returns
        -------
        ndarray of str, shape (images,)
        """
        import torch

        found, prepare = blip.load(self.source), self.preparation()
        start = found.tokens(prompt)
        longest = found.model.config.text_config.max_position_embeddings
        if len(start) >= longest:
            raise MeznetError(
                f'"{prompt[:60]}" is {len(start)} tokens long; {self.name} reads {longest - 1}.'
            )
        pixels = torch.from_numpy(np.stack([prepare(image) for image in images]))
        device = found.model.device
        # transformers takes the last token away, which ends a text that a tokenizer gives
        ids = torch.tensor([[*start, 0]] * len(images), device=device)
        with torch.inference_mode(), pretrained.quiet():
            said = found.model.generate(
                pixels.to(device),
                ids,
                do_sample=False,
                num_beams=1,
                max_new_tokens=min(LONGEST, longest - len(start)),
            )
        texts = found.tokenizer.batch_decode(said[:, len(start) :], skip_special_tokens=True)
        return np.array([text.strip() for text in texts])

    def release(self) -> None:
        """Free the checkpoint, too; see `Labeler.release`."""
        super().release()
        blip.load.cache_clear()
