"""Classification nets of torchvision as labelers, each with the transforms of its weights."""

import contextlib
import difflib
import functools
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

from meznet_helpers.assets import profile
from meznet_helpers.errors import MeznetError
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

    def build(self) -> Any:
        """Build the net with its weights; see `build`."""
        return build(self.net, weights(self.net))

    def preparation(self) -> Callable[[np.ndarray], np.ndarray]:
        """Return the transforms of the weights."""
        transform = weights(self.net).transforms()
        return lambda image: transform(Image.fromarray(image)).numpy()

    def seen(self, images: list[np.ndarray]) -> np.ndarray:
        """Return what the transforms leave of images; see `NetworkLabeler.seen`."""
        prepare, transform = self.preparation(), weights(self.net).transforms()
        prepared = np.stack([prepare(image) for image in images])
        return unscaled(prepared, transform.mean, transform.std)

    def pooled(self, batch: Any) -> Any:
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
        known = [f"{architecture}.{one.name}" for one in every]
    near = difflib.get_close_matches(net, known, n=3, cutoff=0.5) or known[:3]
    raise MeznetError(f'torchvision has no net "{net}"; did you mean {" or ".join(near)}?')


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

    try:
        with _safely():
            return models.get_model(net.partition(".")[0], weights=chosen).eval()
    except Exception as error:  # of the server, the file, or the net, each of its own kind
        if profile.offline() and isinstance(error, _Offline):
            raise MeznetError(
                f"The weights of {net} are not on this machine and MEZNET_OFFLINE is on; unset "
                "the variable to download them once."
            ) from error
        why = " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
        raise MeznetError(f"torchvision's {net} can't be built with its weights: {why}.") from error


class _Offline(OSError):
    """A download was asked for, and the network is off limits."""


@contextlib.contextmanager
def _safely() -> Iterator[None]:
    """Read weights as tensors only, and keep torch's downloader off the network where asked."""
    import torch

    only = functools.partial(torch.hub.load_state_dict_from_url, weights_only=True)
    with contextlib.ExitStack() as patches:
        patches.enter_context(mock.patch("torchvision.models._api.load_state_dict_from_url", only))
        if profile.offline():
            refuse = mock.patch("torch.hub.download_url_to_file", side_effect=_Offline)
            patches.enter_context(refuse)
        yield
