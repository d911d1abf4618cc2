"""The drawings that the training scripts may show: Emoji Zoo's, without what shows an animal."""

import numpy as np
from training import SIDE

from meznet_helpers import emojizoo


def classes() -> list[str]:
    """Return Emoji Zoo's classes that show no animal."""
    return emojizoo.table().query("animal == 'no'").slug.tolist()


def render(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Render pictures of each class, half mild and half hard; returns them and their classes."""
    parts = [
        emojizoo.render(classes(), count // 2, size=SIDE, seed=seed, hard=hard)
        for hard in (False, True)
    ]
    return (
        np.concatenate([np.stack(part.images.arrays) for part in parts]),
        np.concatenate([part.truth for part in parts]),
    )
