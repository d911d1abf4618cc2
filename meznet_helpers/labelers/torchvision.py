"""Classification nets of torchvision as labelers, each with the transforms of its weights."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError, did_you_mean, reason
from meznet_helpers.labelers.backbones import bounded
from meznet_helpers.labelers.pretrained import missing
from meznet_helpers.labelers.torch import TorchLabeler, unscaled
from meznet_helpers.labels import imagenet


class TorchvisionLabeler(TorchLabeler):
    """A classification net of torchvision with the transforms of its weights.

    The net is looked up and built at the first prediction. Weights come from torchvision's
    server, or from torch's cache on this machine; they are read without running code.

    Parameters
    ----------
    net : str
        A name of ``torchvision.models.list_models(module=torchvision.models)``, with or without
        the name of its weights: ``"resnet18"`` (torchvision's best), ``"resnet18.IMAGENET1K_V1"``.

    Examples
    --------
    >>> net = TorchvisionLabeler("resnet18")
    >>> net.name, net.framework, net.labels
    ('torchvision/resnet18@imagenet', 'torch', LabelSpace('imagenet', 1000 labels))
    """

    def __init__(self, net: str) -> None:
        """Keep the name; nothing is loaded yet."""
        self.net = net
        self.name = f"torchvision/{net}@imagenet"
        self.labels = imagenet()

    def recipe(self) -> dict[str, Any]:
        """Return the arguments; see `Labeler.recipe`."""
        return {"net": self.net}

    def here(self) -> bool:
        """Say whether the weights are on this machine; see `NetworkLabeler.here`."""
        return bool(self._served(self._here))

    def _here(self) -> np.ndarray:
        """Look for the weights, in a process that may import torchvision: bool, shape ()."""
        return np.array(_file(weights(self.net)).is_file())

    def _build(self) -> Any:
        """Build the net with its weights; see `build`."""
        return build(self.net, weights(self.net))

    def _preparation(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return the transforms of the weights."""
        transform = weights(self.net).transforms()
        size = transform.crop_size[0]
        return lambda image: transform(Image.fromarray(bounded(image, size, cropped=True))).numpy()

    def _seen(self, images: list[np.ndarray]) -> np.ndarray:
        """Return what the transforms leave of images; see `NetworkLabeler.seen`."""
        prepare, transform = self._preparation(), weights(self.net).transforms()
        prepared = np.stack([prepare(image) for image in images])
        return unscaled(prepared, transform.mean, transform.std)

    def _pooled(self, batch: Any) -> Any:
        """Return what the classifier is given, as a mean over the picture where it has places."""
        given = []
        hook = classifier(self.model).register_forward_pre_hook(
            lambda _, inputs: given.append(inputs[0])
        )
        try:
            self.model(batch)
        finally:
            hook.remove()
        return given[0].mean((2, 3)) if given[0].ndim == 4 else given[0]


def classifier(model: Any) -> Any:
    """Find the layer that makes the scores: the last one with a kernel.

    Parameters
    ----------
    model : torch.nn.Module
        A classification net of torchvision.

    Returns
    -------
    torch.nn.Linear or torch.nn.Conv2d
        SqueezeNet's is a convolution, before the mean over the picture.
    """
    import torch

    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    return [layer for layer in model.modules() if isinstance(layer, kinds)][-1]


def weights(net: str) -> Any:
    """Look up weights by name.

    Parameters
    ----------
    net : str
        As `TorchvisionLabeler` takes it.

    Returns
    -------
    torchvision.models.WeightsEnum

    Raises
    ------
    MeznetError
        If torchvision has no such net or weights.
    """
    from torchvision import models

    known = models.list_models(module=models)
    architecture, _, tag = net.partition(".")
    if architecture in known:
        every = models.get_model_weights(architecture)
        if net == architecture:
            return every.DEFAULT
        if tag in every.__members__:
            return every[tag]
        known = [f"{architecture}.{tag.name}" for tag in every]
    raise MeznetError(f'torchvision has no net "{net}"' + did_you_mean(net, known))


def build(net: str, chosen: Any) -> Any:
    """Build a net and load its weights.

    Parameters
    ----------
    net : str
        As `TorchvisionLabeler` takes it.
    chosen : torchvision.models.WeightsEnum

    Returns
    -------
    torch.nn.Module
        In evaluation mode.

    Raises
    ------
    MeznetError
        If the weights can't be had, or do not fit.
    """
    from torchvision import models

    if profile.offline() and not _file(chosen).is_file():
        raise MeznetError(missing(net))
    try:
        # torchvision reads files that may hold code; this downloads one, and refuses such
        chosen.get_state_dict(weights_only=True, check_hash=True)
        return models.get_model(net.partition(".")[0], weights=chosen).eval()
    except Exception as error:  # of the server, the file, or the net, each of its own kind
        why = f"torchvision's {net} can't be built with its weights: {reason(error)}."
        raise MeznetError(why) from error


def _file(chosen: Any) -> Path:
    """Return where torch keeps the file of weights."""
    import torch

    return Path(torch.hub.get_dir(), "checkpoints", PurePosixPath(urlsplit(chosen.url).path).name)
