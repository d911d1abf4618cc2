"""What a labeler costs: bytes, parameters, and milliseconds on this machine."""

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from meznet_helpers.labelers import BackboneLabeler, Labeler


def latency(net: "Labeler", image: np.ndarray, *, batch: int = 1, repeats: int = 20) -> float:
    """Measure how long a labeler takes, preprocessing included.

    A network that works in a process of its own, because another framework lives here, is sent the
    images there; that takes a fraction of a millisecond for a small one.

    Parameters
    ----------
    net : Labeler
    image : ndarray, shape (height, width, 3), uint8
    batch : int
        How many copies of the image go through at once.
    repeats : int

    Returns
    -------
    float
        Milliseconds per image: the median of the repeats, after one run that is not counted.

    Examples
    --------
    >>> from meznet_helpers.names import labeler
    >>> latency(labeler("keras/MobileNetV2@tiny"), np.zeros((64, 64, 3), np.uint8)) > 0
    True
    """
    images = [image] * batch
    (ms,) = milliseconds(lambda: net.probabilities(images), repeats=repeats)
    return ms / batch


def milliseconds(*works: Callable[[], object], repeats: int) -> list[float]:
    """Measure how long things take. All times of the book are measured here.

    Parameters
    ----------
    *works : callable
        They take turns, so that a busy moment of the machine does not hit one of them alone.
    repeats : int
        How often each is run and counted, after one run that is not.

    Returns
    -------
    list of float
        Of each, the median.

    Examples
    --------
    >>> milliseconds(lambda: None, lambda: sum(range(100_000)), repeats=3)[0] < 1
    True
    """
    seconds = np.empty((1 + repeats, len(works)))
    for turn in seconds:
        for number, work in enumerate(works):
            start = time.perf_counter()
            work()
            turn[number] = time.perf_counter() - start
    return (1000 * np.median(seconds[1:], axis=0)).tolist()


def measure(nets: Sequence["BackboneLabeler"], image: np.ndarray) -> "pd.DataFrame":
    """Measure several nets in one run, each released before the next.

    Parameters
    ----------
    nets : sequence of BackboneLabeler
    image : ndarray, shape (height, width, 3), uint8

    Returns
    -------
    DataFrame
        Columns `model`; `size`, input side in pixels; `parameters` in millions; `size_mb`, MB of
        the parameters as 32-bit floats; `ms` per image, one at a time; `ratio`, `ms` in multiples
        of the first net's. Milliseconds are this machine's; ratios travel better.
    """
    import pandas as pd

    rows = []
    for net in nets:
        millions = net.parameters() / 1e6
        row = {"model": net.name, "size": net.backbone.size, "parameters": millions}
        rows.append(row | {"size_mb": 4 * millions, "ms": latency(net, image)})
        net.release()
    table = pd.DataFrame(rows)
    return table.assign(ratio=table["ms"] / table["ms"].iloc[0])
