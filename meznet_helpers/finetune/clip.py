"""Fine-tuning CLIP: what learns, the way back toward zero-shot, and what is left of zero-shot."""

import copy
import dataclasses
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meznet_helpers.errors import MeznetError
from meznet_helpers.finetune import forward, nets
from meznet_helpers.finetune.loop import fit
from meznet_helpers.finetune.recipe import Recipe
from meznet_helpers.images import Dataset, Images
from meznet_helpers.labelers import sha256
from meznet_helpers.labels import LabelSpace
from meznet_helpers.words import PHOTO, clip
from meznet_helpers.words.prompts import prompts

if TYPE_CHECKING:
    import pandas as pd

#: What the source document of chapter 4 states: weights of animals and of others, epochs, batch.
#: It states neither rate nor smoothing; and what it means by flips and the like is ours.
DOCUMENT = Recipe(
    epochs=3,
    batch=12,
    class_weight=(6.1, 2.1),
    rate=3e-4,
    smoothing=0.1,
    crop=1.0,
    rotation=15,
    color=0.2,
)

#: The same with weights for any number of labels, and a rate for each method.
RECIPES = {
    method: dataclasses.replace(DOCUMENT, class_weight="balanced", rate=rate)
    for method, rate in {"probe": 1e-2, "full": 3e-4, "lora": 3e-3}.items()
}
METHODS = tuple(RECIPES)

RANK = 8  # of LoRA's matrices


@dataclass
class Tuned:
    """A CLIP with a classifier, after its training.

    Attributes
    ----------
    net : torch.nn.Module
        From pixels, float32 (images, 3, size, size) from 0 to 255, to logits (images, labels).
    before : dict of str to torch.Tensor
        The weights of the same net as the training found them: the zero-shot classifier's.
    history : DataFrame
        As `meznet_helpers.finetune.fit` returns it.
    recipe : Recipe
    """

    source: str
    method: str
    labels: LabelSpace
    net: Any
    before: dict[str, Any]
    history: "pd.DataFrame"
    recipe: Recipe

    def probs(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Give the probabilities of labels.

        Parameters
        ----------
        images : sequence of ndarray, each (height, width, 3), uint8
            As `cropped` leaves them.

        Returns
        -------
        ndarray of float32, shape (images, labels)
        """
        return forward.predict(self.net, images, dataclasses.replace(self.recipe, batch=64))


def cropped(dataset: Dataset, source: str = "openai") -> Dataset:
    """Bring images to what CLIP sees of them, so that training and labeling see the same.

    Parameters
    ----------
    dataset : Dataset
    source : str
        A checkpoint; see `meznet_helpers.words.clip.load`.

    Returns
    -------
    Dataset
        With square images.
    """
    crop, images = clip.load(source).crop, dataset.images
    cropped = Images([crop(image) for image in images], images.names, images.errors)
    return dataclasses.replace(dataset, images=cropped)


def tune(
    train: Dataset,
    valid: Dataset,
    method: str = "full",
    recipe: Recipe | None = None,
    *,
    source: str = "openai",
    templates: Sequence[str] = PHOTO,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    progress: bool = False,
) -> Tuned:
    """Teach CLIP to tell the labels of a data set apart, starting from its zero-shot classifier.

    Parameters
    ----------
    train, valid : Dataset
        As `cropped` leaves them: to learn from, and to choose the epoch by.
    method : {"probe", "full", "lora"}
        What learns. ``"probe"``: the classifier alone. ``"full"``: the tower that sees images,
        too. ``"lora"``: besides the classifier, matrices of rank 8 that are added to the tower's
        queries and values (Hu et al. 2022, arXiv:2106.09685; the library peft). The tower that
        reads texts stays as it is.
    recipe : Recipe, optional
        By default ``RECIPES[method]``; its size is the checkpoint's.
    source : str
        The checkpoint.
    templates : sequence of str
        Of the prompts that the classifier starts from.
    seed : int
    checkpoint : str or Path, optional
        As in `meznet_helpers.finetune.fit`: a file that keeps the training after each epoch.
    progress : bool
        Show a bar for each epoch where there is a terminal or a notebook.

    Returns
    -------
    Tuned

    Raises
    ------
    MeznetError
        If the method is unknown, or the data can't be learned from.
    """
    if method not in METHODS:
        raise MeznetError(f'method is "{method}"; choose from {", ".join(METHODS)}.')
    loaded = clip.load(source)
    recipe = dataclasses.replace(recipe or RECIPES[method], size=loaded.size)
    net = _zero_shot(loaded, copy.deepcopy(loaded.model), train.labels, templates)
    before = {name: weight.clone() for name, weight in net.state_dict().items()}
    _choose(net.net, method, seed)
    digest = sha256(weight.cpu().numpy() for weight in loaded.model.state_dict().values())
    digest.update(json.dumps(list(templates)).encode())
    settings = {"seed": seed, "checkpoint": checkpoint, "progress": progress}
    history = fit(net, train, valid, recipe, source=digest.hexdigest(), **settings)
    if method == "lora":
        net.net.vision_model = net.net.vision_model.merge_and_unload()
    return Tuned(source, method, train.labels, net, before, history, recipe)


def interpolated(tuned: Tuned, share: float) -> Tuned:
    """Go back from tuned weights toward the zero-shot classifier, in a straight line.

    The method is WiSE-FT (Wortsman et al. 2022, arXiv:2109.01903).

    Parameters
    ----------
    tuned : Tuned
    share : float
        Of the tuned weights, 0 to 1: 0 is zero-shot, 1 is tuned.

    Returns
    -------
    Tuned
        Another one, of method ``"METHOD, SHARE"``.

    Raises
    ------
    MeznetError
        If the share is not from 0 to 1.
    """
    import torch

    if not 0 <= share <= 1:
        raise MeznetError(f"share is {share}; it must be from 0 to 1.")
    net = copy.deepcopy(tuned.net)
    state = net.state_dict()
    with torch.no_grad():
        for name, start in tuned.before.items():
            state[name].copy_(torch.lerp(start, state[name], share))
    return dataclasses.replace(tuned, net=net, method=f"{tuned.method}, {share:g}")


def zero_shot_left(tuned: Tuned, labels: LabelSpace) -> Any:
    """Ask the tuned tower what words still mean to it.

    Parameters
    ----------
    tuned : Tuned
    labels : LabelSpace
        Other labels than those it was tuned for.

    Returns
    -------
    torch.nn.Module
        From pixels, as `Tuned.net` takes them, to logits (images, labels): the tuned tower against
        texts as CLIP read them before.
    """
    return _zero_shot(clip.load(tuned.source), copy.copy(tuned.net.net), labels, PHOTO)


def _choose(net: Any, method: str, seed: int) -> None:
    """Let those weights learn that the method is about, and no others."""
    import torch

    net.requires_grad_(method == "full")
    if method == "lora":
        from peft import LoraConfig, get_peft_model

        torch.manual_seed(seed)
        config = LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=["q_proj", "v_proj"])
        with warnings.catch_warnings():  # peft asks transformers for what has a new name there
            warnings.simplefilter("ignore", FutureWarning)
            net.vision_model = get_peft_model(net.vision_model, config)
    net.weight.requires_grad_(True)
    net.bias.requires_grad_(True)


def _zero_shot(
    loaded: clip.Checkpoint, model: Any, labels: LabelSpace, templates: Sequence[str]
) -> Any:
    """Put a classifier on a model's tower: texts as the loaded checkpoint reads them."""
    weight = clip.text_classifier(loaded, prompts(labels.names, templates))
    net, scale = clip.classifier(model, weight), loaded.processor
    return nets.scaled(net, scale.image_mean, scale.image_std).to(loaded.model.device)
