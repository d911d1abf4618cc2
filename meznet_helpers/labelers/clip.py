"""CLIP as a labeler: by the words of any labels, or with a classifier that was learned."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meznet_helpers import labels as spaces
from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import checkpoint as checkpoints
from meznet_helpers.labelers import tuned
from meznet_helpers.labelers.network import sha256
from meznet_helpers.labelers.torch import TorchLabeler
from meznet_helpers.labels import LabelSpace
from meznet_helpers.prompts import PHOTO, prompts


class ClipLabeler(TorchLabeler):
    """What zero-shot and tuned labelers share: a checkpoint of CLIP looks at the image.

    Attributes
    ----------
    source : str
        The checkpoint, as `meznet_helpers.labelers.checkpoint.load` takes it.
    """

    source: str

    @property
    def checkpoint(self) -> checkpoints.Checkpoint:
        """The loaded checkpoint."""
        return checkpoints.load(self.source)

    def preparation(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return what the checkpoint's own processor does to an image."""
        return self.checkpoint.prepare

    def seen(self, images: list[np.ndarray]) -> np.ndarray:
        """Return what the processor cuts out; see `NetworkLabeler.seen`."""
        return np.stack([self.checkpoint.crop(image) for image in images])

    def pooled(self, batch: Any) -> Any:
        """Return embeddings of length 1, those that texts are compared with."""
        return self.model.features(batch)

    def release(self) -> None:
        """Free the checkpoint, too; see `Labeler.release`."""
        super().release()
        checkpoints.load.cache_clear()


class ZeroShotLabeler(ClipLabeler):
    """CLIP with a classifier made of words (Radford et al. 2021, arXiv:2103.00020).

    Each label is put into each template. The embeddings of a label's prompts are averaged, and
    the cosine of that mean with the image's embedding, times the scale that CLIP has learned, is
    the label's logit. Texts are embedded once.

    Parameters
    ----------
    source : str, optional
        ``"tiny"``, ``"openai"``, a name of the hub or a folder; by default the profile chooses
        between the first two.
    labels : LabelSpace or sequence of str, optional
        Two names or more; by default Tiny-ImageNet's 200 for ``"tiny"``, and ImageNet's 1,000.
    templates : sequence of str
        As `meznet_helpers.prompts.prompts` takes them.
    name : str, optional
        How predictions call it; ``clip/zero-shot@SOURCE`` by default.

    Raises
    ------
    MeznetError
        If there are fewer than two labels, two of them are the same, or a template has no place
        for the label.

    Examples
    --------
    >>> net = ZeroShotLabeler("tiny", ["dog", "school bus"])
    >>> net.name, net.labels.ids, net.prompts[1]
    ('clip/zero-shot@tiny', ('dog', 'school-bus'), ['a photo of a school bus'])
    """

    def __init__(
        self,
        source: str | None = None,
        labels: LabelSpace | Sequence[str] | None = None,
        *,
        templates: Sequence[str] = PHOTO,
        name: str | None = None,
    ) -> None:
        """Write the prompts; nothing is loaded yet."""
        self.source = source or checkpoints.default()
        if labels is None:
            labels = spaces.tiny_imagenet() if self.source == "tiny" else spaces.imagenet()
        self.labels = labels if isinstance(labels, LabelSpace) else spaces.from_names(labels)
        if len(self.labels) < 2:
            raise MeznetError(
                f'"{self.labels.names[0]}" alone leaves CLIP no choice; give it two labels or more.'
            )
        self.templates = list(templates)
        self.prompts = prompts(self.labels.names, templates)
        self.name = name or f"clip/zero-shot@{self.source}"

    def recipe(self) -> dict[str, Any]:
        """Return the arguments; see `Labeler.recipe`."""
        labels = dataclasses.asdict(self.labels)
        about = {"templates": self.templates, "name": self.name}
        return {"source": self.source, "labels": labels} | about

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any]) -> "ZeroShotLabeler":
        """Make a labeler of such arguments."""
        return cls(**recipe | {"labels": LabelSpace(**recipe["labels"])})

    def build(self) -> Any:
        """Embed the prompts and make the classifier of them."""
        found = self.checkpoint
        weight = text_classifier(found, self.prompts)
        return classifier(found.model, weight)


class TunedLabeler(ClipLabeler):
    """CLIP with a classifier that was learned from pictures, and a tower that perhaps was, too.

    Parameters
    ----------
    folder : str or Path
        As `meznet_helpers.labelers.tuned.write` leaves it; of this repository ``"tiny"``, which
        tells drawn animals from other things, and ``"tiny-photographs"``, which knows the 200
        classes of Tiny-ImageNet.
    name : str, optional
        How predictions call it; ``clip/tuned@FOLDER`` by default.

    Raises
    ------
    MeznetError
        If the folder holds no tuned CLIP.

    Examples
    --------
    >>> TunedLabeler("tiny").labels.ids
    ('animal', 'not-animal')
    """

    def __init__(self, folder: str | Path = "tiny", *, name: str | None = None) -> None:
        """Read what the folder says of itself; no weights are loaded yet."""
        self.folder = tuned.find(folder)
        self.about = tuned.read(self.folder)
        self.labels = LabelSpace(**self.about["labels"])
        self.source = str(self.folder) if tuned.whole(self.folder) else self.about["base"]
        self.name = name or f"clip/tuned@{folder if folder in tuned.BUNDLED else self.folder.name}"

    def recipe(self) -> dict[str, Any]:
        """Return the arguments; see `Labeler.recipe`."""
        return {"folder": str(self.folder), "name": self.name}

    def build(self) -> Any:
        """Load the tower and the classifier."""
        found = self.checkpoint
        if self.source == self.about["base"] and digest(found.model) != self.about["digest"]:
            raise MeznetError(
                f"{self.folder} was tuned on other weights than {self.source} has now; tune anew."
            )
        weight, bias = tuned.head(self.folder, len(self.labels), width(found.model))
        return classifier(found.model, weight, bias)


def text_classifier(found: checkpoints.Checkpoint, texts: Sequence[Sequence[str]]) -> Any:
    """Make the weights of a classifier out of words.

    Parameters
    ----------
    found : Checkpoint
    texts : sequence of sequences of str
        The prompts of each label, equally many for each.

    Returns
    -------
    torch.Tensor of float32, shape (labels, d)
        Means of the prompts' embeddings, all as long as CLIP's scale.
    """
    from torch.nn import functional

    read = found.read([text for each in texts for text in each])
    means = functional.normalize(read.view(len(texts), -1, read.shape[1]).mean(1))
    return means * found.model.logit_scale.exp()


def classifier(clip: Any, weight: Any, bias: Any = None) -> Any:
    """Put a linear classifier on CLIP's embeddings of images.

    Parameters
    ----------
    clip : transformers.CLIPModel
        It is not copied.
    weight : torch.Tensor, shape (labels, d)
    bias : torch.Tensor, shape (labels,), optional
        Zeros by default.

    Returns
    -------
    torch.nn.Module
        From prepared pixels (images, 3, size, size) to logits (images, labels); its `features`
        gives the embeddings, each of length 1. Its `weight` and `bias` are those given by their
        common `scale`, which is not trained: so they and the tower can learn at one rate.
    """
    import torch
    from torch.nn import functional

    class Classifier(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vision_model, self.visual_projection = clip.vision_model, clip.visual_projection
            scale = weight.norm(dim=1).mean()
            self.register_buffer("scale", scale, persistent=False)
            zeros = torch.zeros(len(weight), device=weight.device)
            self.weight = torch.nn.Parameter(weight / scale)
            self.bias = torch.nn.Parameter(zeros if bias is None else bias / scale)

        def features(self, pixels: Any) -> Any:
            pooled = self.vision_model(pixel_values=pixels).pooler_output
            return functional.normalize(self.visual_projection(pooled))

        def forward(self, pixels: Any) -> Any:
            return self.scale * functional.linear(self.features(pixels), self.weight, self.bias)

    return Classifier().eval()


def width(clip: Any) -> int:
    """Return the length of the embeddings of a CLIP."""
    return clip.config.projection_dim


def digest(clip: Any) -> str:
    """Return the sha256 of the weights that look at images, hexadecimal.

    Parameters
    ----------
    clip : transformers.CLIPModel
    """
    parts = (clip.vision_model.state_dict(), clip.visual_projection.state_dict())
    weights = (weight.float().cpu().numpy() for part in parts for weight in part.values())
    return sha256(weights).hexdigest()
