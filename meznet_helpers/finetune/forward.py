"""Images through a net: squeezed, in batches, to logits."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np

from meznet_helpers.finetune.recipe import Recipe
from meznet_helpers.labelers import squeeze
from meznet_helpers.progress import bar


def predict(
    net: Any, images: Sequence[np.ndarray], recipe: Recipe, *, progress: bool = False
) -> np.ndarray:
    """Give the probabilities of labels.

    Parameters
    ----------
    net : torch.nn.Module
        As `fit` takes it.
    images : sequence of ndarray, each (height, width, 3), uint8
    recipe : Recipe
        Its size, batch and precision count.
    progress : bool
        Show a bar where there is a terminal or a notebook.

    Returns
    -------
    ndarray of float32, shape (images, labels)
    """
    watch = partial(bar, label="Predicting") if progress else iter
    return logits(net, stack(images, recipe.size), recipe, watch).softmax(1).numpy()


def stack(images: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Squeeze images to squares.

    Parameters
    ----------
    images : sequence of ndarray, each (height, width, 3), uint8
    size : int
        Their side, pixels.

    Returns
    -------
    ndarray of uint8, shape (images, size, size, 3)

    Examples
    --------
    >>> stack([np.zeros((30, 40, 3), np.uint8)], 32).shape
    (1, 32, 32, 3)
    """
    with ThreadPoolExecutor() as pool:
        return np.stack(list(pool.map(partial(squeeze, size=size), images)))


def pixels(x: np.ndarray, device: Any) -> Any:
    """Move images to the device as floats.

    Parameters
    ----------
    x : ndarray of uint8, shape (images, size, size, 3)
    device : torch.device

    Returns
    -------
    torch.Tensor of float32, shape (images, 3, size, size)
        From 0 to 255. The channels come first in shape and last in memory, which is fastest.
    """
    import torch

    return torch.from_numpy(x).to(device).permute(0, 3, 1, 2).float()


def crop(images: Any, maps: np.ndarray, size: int) -> Any:
    """Take one crop of each image, bilinearly.

    Parameters
    ----------
    images : torch.Tensor of float32, shape (images, 3, height, width)
    maps : ndarray of float32, shape (images, 2, 3)
        As `Recipe.crops` returns them.
    size : int
        Side of the crops, pixels.

    Returns
    -------
    torch.Tensor of float32, shape (images, 3, size, size)
    """
    import torch
    from torch.nn import functional

    affine = torch.from_numpy(maps).to(images.device)
    grid = functional.affine_grid(affine, [*images.shape[:2], size, size], align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def varied(images: Any, recipe: Recipe, rng: np.random.Generator) -> Any:
    """Crop, mirror and turn images and change their colors, each its own way.

    Parameters
    ----------
    images : torch.Tensor of float32, shape (images, 3, size, size)
        Pixels from 0 to 255.
    recipe : Recipe
    rng : numpy.random.Generator

    Returns
    -------
    torch.Tensor
        As `images`. What a turn brings in from outside is the nearest pixel of the edge.
    """
    import torch

    images = crop(images, recipe.crops(rng, len(images)), images.shape[-1])
    if not recipe.color:
        return images
    factors = torch.from_numpy(recipe.colors(rng, len(images))).to(images.device)
    brightness, contrast, saturation = factors.view(3, -1, 1, 1, 1)
    images = images * brightness
    middle = _gray(images).mean((1, 2, 3), keepdim=True)
    images = middle + (images - middle) * contrast
    gray = _gray(images)
    return (gray + (images - gray) * saturation).clamp(0, 255)


def _gray(images: Any) -> Any:
    """Return the luma of pixels, as Pillow weighs it (ITU-R 601-2)."""
    red, green, blue = images.unbind(1)
    return (0.299 * red + 0.587 * green + 0.114 * blue).unsqueeze(1)


def logits(net: Any, x: np.ndarray, recipe: Recipe, watch: Callable = iter) -> Any:
    """Run a net on whole images.

    Parameters
    ----------
    net : torch.nn.Module
        As `meznet_helpers.finetune.fit` takes it. It is left in evaluation mode.
    x : ndarray of uint8, shape (images, size, size, 3)
    recipe : Recipe
        Its batch and precision count.
    watch : callable
        What to wrap the batches in.

    Returns
    -------
    torch.Tensor of float32, shape (images, labels)
        On the CPU.
    """
    import torch

    device = next(net.parameters()).device
    net.eval()
    with torch.inference_mode(), autocast(device, recipe.mixed):
        parts = [
            net(pixels(x[start : start + recipe.batch], device)).float().cpu()
            for start in watch(range(0, len(x), recipe.batch))
        ]
    return torch.cat(parts)


def judge(scores: Any, truth: Any) -> tuple[float, float]:
    """Compare logits with the right labels.

    Parameters
    ----------
    scores : torch.Tensor of float32, shape (images, labels)
    truth : torch.Tensor of int64, shape (images,)

    Returns
    -------
    loss, accuracy : float
        Mean cross entropy, neither smoothed nor weighted, and the share of right first labels.
    """
    from torch.nn import functional

    right = (scores.argmax(1) == truth).float().mean()
    return functional.cross_entropy(scores, truth).item(), right.item()


def autocast(device: Any, mixed: bool) -> Any:
    """Return a context of mixed precision: float16 on a GPU, bfloat16 on a CPU.

    Parameters
    ----------
    device : torch.device
    mixed : bool
        False for a context that changes nothing.

    Returns
    -------
    torch.autocast
    """
    import torch

    half = torch.float16 if device.type == "cuda" else torch.bfloat16
    return torch.autocast(device.type, half, enabled=mixed)
