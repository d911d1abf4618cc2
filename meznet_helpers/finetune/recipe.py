"""How a net is fine-tuned: the options, and what follows from them without a framework."""

import math
from dataclasses import dataclass

import numpy as np

from meznet_helpers.errors import MeznetError


@dataclass(frozen=True)
class Recipe:
    """The options of a training.

    Parameters
    ----------
    epochs : int
        At most this many.
    rate : float
        Highest learning rate of AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101). It rises
        over the first tenth of the steps and falls to zero along a cosine.
    batch : int
        Images of a step.
    size : int
        Side to which images are squeezed, pixels.
    decay : float
        Weight decay; vectors (biases, scales) have none.
    smoothing : float
        Label smoothing, 0 to 1, exclusive.
    class_weight : "balanced" or sequence of float, optional
        One factor of the loss for each label, or: the more, the fewer training images a label
        has, as in scikit-learn.
    patience : int, optional
        Stop after so many epochs in a row that are no better on the validation images.
    crop : float
        Least share of an image's area that a random square crop covers; 1 for no crops.
    flip : bool
        Mirror every other image.
    rotation : float
        Turn each image by at most so many degrees, either way.
    color : float
        Multiply brightness, contrast and saturation of each image by factors from ``1 - color`` to
        ``1 + color``.
    mixed : bool
        Mixed precision: bfloat16 on a CPU, float16 with scaled gradients on a GPU.

    Raises
    ------
    MeznetError
        If a number is out of its range.

    Examples
    --------
    >>> [round(Recipe(rate=1.0).rate_at(step, 100), 2) for step in (0, 9, 55, 99)]
    [0.1, 1.0, 0.5, 0.0]
    """

    epochs: int = 5
    rate: float = 1e-3
    batch: int = 32
    size: int = 96
    decay: float = 0.05
    smoothing: float = 0.1
    class_weight: str | tuple[float, ...] | None = None
    patience: int | None = None
    crop: float = 0.75
    flip: bool = True
    rotation: float = 0.0
    color: float = 0.0
    mixed: bool = False

    def __post_init__(self) -> None:
        """Check the fields."""
        weights = self.class_weight
        named = weights is None or isinstance(weights, str)
        if not named:
            weights = tuple(map(float, weights))
            object.__setattr__(self, "class_weight", weights)
        fine = weights in (None, "balanced") if named else all(0 < w < math.inf for w in weights)
        for field, holds, want in (
            ("epochs", self.epochs >= 1, "1 or more"),
            ("rate", 0 < self.rate < math.inf, "more than 0"),
            ("batch", self.batch >= 1, "1 or more"),
            ("size", self.size >= 1, "1 or more"),
            ("decay", 0 <= self.decay < math.inf, "0 or more"),
            ("smoothing", 0 <= self.smoothing < 1, "from 0 to below 1"),
            ("class_weight", fine, 'None, "balanced" or positive numbers'),
            ("patience", self.patience is None or self.patience >= 1, "None, or 1 or more"),
            ("crop", 0 < self.crop <= 1, "above 0 and at most 1"),
            ("rotation", 0 <= self.rotation <= 180, "from 0 to 180 degrees"),
            ("color", 0 <= self.color < 1, "from 0 to below 1"),
        ):
            if not holds:
                raise MeznetError(f"{field} is {getattr(self, field)!r}; it must be {want}.")

    def rate_at(self, step: int, total: int) -> float:
        """Return the learning rate of a step, counted from 0.

        Parameters
        ----------
        step : int
            How many steps the optimizer has taken.
        total : int
            How many it takes in all.
        """
        rising = max(1, total // 10)
        if step < rising:
            return self.rate * (step + 1) / rising
        return self.rate * 0.5 * (1 + math.cos(math.pi * (step - rising) / (total - rising)))

    def crops(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draw square crops that lie inside the image, some of them mirrored or turned.

        Parameters
        ----------
        rng : numpy.random.Generator
        count : int

        Returns
        -------
        ndarray of float32, shape (count, 2, 3)
            Affine maps as ``torch.nn.functional.affine_grid`` takes them: from the crop to the
            image, whose coordinates run from -1 to 1.
        """
        side = np.sqrt(rng.uniform(self.crop, 1.0, count))
        mirror = np.where(rng.random(count) < 0.5, -1, 1) if self.flip else 1
        maps = np.zeros((count, 2, 3), np.float32)
        maps[:, 0, 0], maps[:, 1, 1] = mirror * side, side
        maps[:, :, 2] = rng.uniform(side - 1, 1 - side, (2, count)).T
        if self.rotation:
            angle = np.radians(rng.uniform(-self.rotation, self.rotation, count))
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            maps[:, :, :2] = turn.transpose(2, 0, 1) @ maps[:, :, :2]
        return maps

    def colors(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Draw the factors that change colors.

        Parameters
        ----------
        rng : numpy.random.Generator
        count : int

        Returns
        -------
        ndarray of float32, shape (3, count)
            Of brightness, contrast and saturation.
        """
        return rng.uniform(1 - self.color, 1 + self.color, (3, count)).astype(np.float32)
