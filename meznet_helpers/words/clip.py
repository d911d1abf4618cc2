"""CLIP: checkpoints, and labelers by words or with a classifier that was learned."""

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.labelers import pretrained, sha256
from meznet_helpers.labels import LabelSpace, from_fields
from meznet_helpers.words import tuned
from meznet_helpers.words.prompts import PHOTO, prompts

#: Short names of checkpoints: the one of this repository, and the one its readers know.
CHECKPOINTS = {"tiny": "models/clip/model.safetensors", "openai": "openai/clip-vit-base-patch32"}

#: With which activation the checkpoints of a publisher were trained. A net under the other one
#: answers, and answers worse.
ACTIVATIONS = {"openai/": "quick_gelu", "laion/": "gelu", "models/clip/": "gelu"}

DEFAULT = "quick_gelu"  # transformers', where a config names none
PARTS = ("text_config", "vision_config")

TEXTS = 256  # that are read at a time
OLD_END = 2  # in old configs, whose models take the highest token for the end of a text


class Checkpoint(pretrained.Checkpoint):
    """A CLIP (``transformers.CLIPModel``) in evaluation mode."""

    @property
    def size(self) -> int:
        """Side of the images that the model takes, pixels."""
        return self.model.config.vision_config.image_size

    def read(self, texts: Sequence[str]) -> Any:
        """Embed texts.

        Parameters
        ----------
        texts : sequence of str

        Returns
        -------
        torch.Tensor of float32, shape (texts, d)
            Of length 1 each.

        Raises
        ------
        MeznetError
            If a text is longer than the model reads.
        """
        import torch
        from torch.nn import functional

        limit, vectors = self.model.config.text_config.max_position_embeddings, []
        for start in range(0, len(texts), TEXTS):
            batch = self.tokenizer(list(texts[start : start + TEXTS]), padding=True)
            for text, tokens in zip(texts[start:], batch["attention_mask"], strict=False):
                if sum(tokens) > limit:
                    raise MeznetError(
                        f'"{text[:60]}" is {sum(tokens)} tokens long; {self.name} reads {limit}.'
                    )
            batch = batch.convert_to_tensors("pt").to(self.model.device)
            with torch.inference_mode():
                vectors.append(self.model.get_text_features(**batch).pooler_output)
        return functional.normalize(torch.cat(vectors)).clone()

    def check(self) -> None:
        """Refuse a tokenizer or a processor that is another model's, or none: it would answer.

        Raises
        ------
        MeznetError
            See above.
        """
        text, prepared = self.model.config.text_config, self.processor
        cat, dog = self.tokenizer(["cat", "dog"])["input_ids"]
        end = max(cat) if text.eos_token_id == OLD_END else text.eos_token_id
        if cat == dog or max(cat + dog) >= text.vocab_size or end != cat[-1]:
            raise MeznetError(f"{self.name} has no tokenizer that fits its config.json.")
        shades = [self.prepare(np.full((9, 9, 3), shade, np.uint8)) for shade in (0, 255)]
        wanted = [(shade - np.array(prepared.image_mean)) / prepared.image_std for shade in (0, 1)]
        shape = (3, self.size, self.size)
        if shades[0].shape != shape or not np.allclose(
            np.mean(shades, axis=(2, 3)), wanted, atol=1e-3
        ):
            raise MeznetError(f"{self.name} has no image processor that fits its config.json.")


@functools.lru_cache(maxsize=1)
def load(name: str) -> Checkpoint:
    """Load a checkpoint; the last one stays in memory until `load.cache_clear()`.

    Parameters
    ----------
    name : str
        ``"tiny"``, ``"openai"``, a name of the hub such as ``"openai/clip-vit-large-patch14"``, or
        a folder that ``CLIPModel.save_pretrained`` wrote.

    Returns
    -------
    Checkpoint

    Raises
    ------
    MeznetError
        If there is no such checkpoint, a file of it is missing or of another shape, its parts do
        not fit together, it can't be downloaded, or its activation is not the one it was trained
        with.
    """
    from transformers import CLIPConfig, CLIPModel

    with pretrained.loading(name, CHECKPOINTS, "CLIP checkpoint") as source:
        check(name, CLIPConfig.get_config_dict(source, **pretrained.where(source))[0])
        loaded = Checkpoint.of(CLIPModel, source, name)
    loaded.check()
    return loaded


def find(name: str) -> Path | str:
    """Say where a checkpoint lies: a folder, or a name of the hub.

    Raises
    ------
    MeznetError
        If the name is that of a folder that is not there, or no name.

    Examples
    --------
    >>> find("tiny").name, find("openai")
    ('clip', 'openai/clip-vit-base-patch32')
    """
    return pretrained.find(name, CHECKPOINTS, "CLIP checkpoint")


def check(name: str, config: dict[str, Any]) -> None:
    """Refuse what is no CLIP, or one whose activation is not the one that it was trained with.

    Parameters
    ----------
    name : str
        As it was asked for.
    config : dict
        What ``config.json`` holds.

    Raises
    ------
    MeznetError
        See above.

    Examples
    --------
    >>> gelu = {"hidden_act": "gelu"}
    >>> check("openai", {"model_type": "clip", "text_config": gelu, "vision_config": gelu})
    Traceback (most recent call last):
    meznet_helpers.errors.MeznetError: openai comes from openai/clip-vit-base-patch32, which was \
trained with quick_gelu, but its config.json says gelu; under that it labels wrongly.
    """
    if config.get("model_type") != "clip":
        raise MeznetError(f"{name} is a model of type {config.get('model_type')}, not a CLIP.")
    text, vision = (config[part].get("hidden_act", DEFAULT) for part in PARTS)
    if text != vision:
        raise MeznetError(
            f"{name} has the activation {text} for texts and {vision} for images; a CLIP is "
            "trained with one for both."
        )
    for source in (CHECKPOINTS.get(name, name), config.get("_name_or_path") or ""):
        for publisher, right in ACTIVATIONS.items():
            if source.startswith(publisher) and text != right:
                raise MeznetError(
                    f"{name} comes from {source}, which was trained with {right}, but its "
                    f"config.json says {text}; under that it labels wrongly."
                )


def text_classifier(checkpoint: Checkpoint, texts: Sequence[Sequence[str]]) -> Any:
    """Make the weights of a classifier out of words.

    Parameters
    ----------
    checkpoint : Checkpoint
    texts : sequence of sequences of str
        The prompts of each label, equally many for each.

    Returns
    -------
    torch.Tensor of float32, shape (labels, d)
        Means of the prompts' embeddings, all as long as CLIP's scale.
    """
    from torch.nn import functional

    vectors = checkpoint.read([text for prompts in texts for text in prompts])
    means = functional.normalize(vectors.view(len(texts), -1, vectors.shape[1]).mean(1))
    return means * checkpoint.model.logit_scale.exp()


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


def digest(clip: Any) -> str:
    """Return the sha256 of the weights that look at images, hexadecimal.

    Parameters
    ----------
    clip : transformers.CLIPModel
    """
    parts = (clip.vision_model.state_dict(), clip.visual_projection.state_dict())
    weights = (weight.float().cpu().numpy() for part in parts for weight in part.values())
    return sha256(weights).hexdigest()


class ClipLabeler(pretrained.CheckpointLabeler):
    """What zero-shot and tuned labelers share: a checkpoint of CLIP looks at the image."""

    bundled = CHECKPOINTS
    load = staticmethod(load)

    def _pooled(self, batch: Any) -> Any:
        """Return embeddings of length 1, those that texts are compared with."""
        return self.model.features(batch)


class ZeroShotLabeler(ClipLabeler):
    """CLIP with a classifier made of words (Radford et al. 2021, arXiv:2103.00020).

    Each label is put into each template. The embeddings of a label's prompts are averaged, and
    the cosine of that mean with the image's embedding, times the scale that CLIP has learned, is
    the label's logit. Texts are embedded once.

    Parameters
    ----------
    source : str, optional
        ``"tiny"``, ``"openai"``, a name of the hub or a folder; by default ``"openai"``.
    labels : LabelSpace or sequence of str, optional
        Two names or more; by default Tiny-ImageNet's 200 for ``"tiny"``, and ImageNet's 1,000.
    templates : sequence of str
        As `meznet_helpers.words.prompts.prompts` takes them.

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
    ) -> None:
        """Write the prompts; nothing is loaded yet."""
        self.source = source or "openai"
        self.labels = pretrained.labels_for(self.source, labels)
        self.templates = list(templates)
        self.prompts = prompts(self.labels.names, templates)
        self.name = f"clip/zero-shot@{self.source}"

    def recipe(self) -> dict[str, Any]:
        """Return the arguments; see `Labeler.recipe`."""
        labels = dataclasses.asdict(self.labels)
        return {"source": self.source, "labels": labels, "templates": self.templates}

    def _build(self) -> Any:
        """Embed the prompts and make the classifier of them."""
        weight = text_classifier(self.checkpoint, self.prompts)
        return classifier(self.checkpoint.model, weight)


class TunedLabeler(ClipLabeler):
    """CLIP with a classifier that was learned from pictures, and a tower that perhaps was, too.

    Parameters
    ----------
    folder : str or Path
        As `meznet_helpers.words.tuned.write` leaves it; of this repository ``"tiny"``, which
        tells drawn animals from other things, and ``"tiny-photographs"``, which knows the 200
        classes of Tiny-ImageNet.
    download : bool
        Whether the CLIP that the folder names may be downloaded.

    Raises
    ------
    MeznetError
        If the folder holds no tuned CLIP, or names a CLIP that is not on this machine and may not
        be downloaded.

    Examples
    --------
    >>> TunedLabeler("tiny").labels.ids
    ('animal', 'not-animal')
    """

    def __init__(self, folder: str | Path, *, download: bool = False) -> None:
        """Read what the folder says of itself; no weights are loaded yet."""
        self.folder = tuned.find(folder)
        self.metadata = tuned.read(self.folder)
        self.labels = from_fields(self.metadata["labels"])
        self.source = str(self.folder) if tuned.whole(self.folder) else self.metadata["base"]
        pretrained.allowed(self.folder, self.source, self.here, download)
        self.download = download
        self.name = f"clip/tuned@{folder if folder in tuned.BUNDLED else self.folder.name}"

    def recipe(self) -> dict[str, Any]:
        """Return the arguments; see `Labeler.recipe`."""
        return {"folder": str(self.folder), "download": self.download}

    def _build(self) -> Any:
        """Load the tower and the classifier."""
        model = self.checkpoint.model
        if self.source == self.metadata["base"] and digest(model) != self.metadata["digest"]:
            raise MeznetError(
                f"{self.folder} was tuned on other weights than {self.source} has now; tune anew."
            )
        weight, bias = tuned.head(self.folder, len(self.labels), model.config.projection_dim)
        return classifier(model, weight, bias)
