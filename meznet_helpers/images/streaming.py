"""Images read in a stream: a batch at a time, with the next one being decoded meanwhile."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import chain
from typing import Any

from meznet_helpers.images.pixels import ImageError
from meznet_helpers.images.reading import (
    THREADS,
    Images,
    array_or_error,
    as_sources,
    display_names,
    size_of,
    sorted_out,
)

BATCH = 32
"""Images in a batch at most."""

PIXELS = 24_000_000
"""Pixels in a batch at most; an image that has more is a batch of its own."""


def stream(
    sources: Iterable[Any],
    *,
    names: Sequence[str] | None = None,
    side: int | None = None,
    batch_size: int = BATCH,
) -> Iterator[Images]:
    """Read any number of images, a batch at a time.

    Files are decoded in threads ahead of who takes the batches. Memory is bounded in pixels: what
    was taken last, and one batch more, each of at most `PIXELS`.

    Parameters
    ----------
    sources : iterable
        Anything that `meznet_helpers.images.read` takes.
    names : sequence of str, optional
        One for each source; by default those that `meznet_helpers.images.read_many` gives them.
    side : int, optional
        JPEGs may be decoded smaller; see `meznet_helpers.images.read`.
    batch_size : int
        Sources in a batch at most.

    Yields
    ------
    Images
        In the order of `sources`. What can't be read is in ``.errors`` of its batch, which may be
        without any image.

    Raises
    ------
    ImageError
        If `names` do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> some = [np.zeros((2, 2)), b"broken", np.ones((2, 2)), np.ones((2, 2))]
    >>> [(batch.names, len(batch.errors)) for batch in stream(some, batch_size=2)]
    [(('image 1',), 1), (('image 3', 'image 4'), 0)]
    """
    sources = as_sources(sources)
    names = display_names(sources) if names is None else list(names)
    if len(names) != len(sources):
        raise ImageError(f"{len(sources)} images need as many names, not {len(names)}.")
    if len(sources) == 1:  # threads would take longer to begin than to read it
        yield sorted_out(names, [array_or_error(sources[0], names[0], side)])
        return
    pool = ThreadPoolExecutor(THREADS)
    try:
        before: list[int] = []
        waiting: list[Future] = []
        for batch in chain(_batches(pool, sources, side, batch_size), [[]]):
            # decoded while the batch before it was worked on
            results = [future.result() for future in waiting]
            read = sorted_out([names[place] for place in before], results)
            waiting = [
                pool.submit(array_or_error, sources[place], names[place], side) for place in batch
            ]
            if before:
                yield read
            before = batch
    finally:
        pool.shutdown(cancel_futures=True)


def _batches(pool: Executor, sources: list, side: int | None, most: int) -> Iterator[list[int]]:
    """Part the places of sources so that no batch has too many pixels; one at least is in each."""
    batch: list[int] = []
    pixels = 0
    for place, size in enumerate(_ahead(pool, lambda each: size_of(each, side), sources, most)):
        if batch and (len(batch) == most or pixels + size > PIXELS):
            yield batch
            batch, pixels = [], 0
        batch.append(place)
        pixels += size
    if batch:
        yield batch


def _ahead(pool: Executor, function: Callable, items: Iterable, count: int) -> Iterator[Any]:
    """Yield what `function` returns for each item, in order, with a few computed ahead."""
    waiting: deque[Future] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > count:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
