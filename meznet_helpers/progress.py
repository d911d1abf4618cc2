"""One progress bar for the whole package: on a terminal or in a notebook, silent elsewhere."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm.std import tqdm

# huggingface_hub, which timm imports, would ask each reader of a notebook to install ipywidgets.
warnings.filterwarnings("ignore", "IProgress not found")


def wanted() -> bool:
    """Say whether a bar would be seen by somebody.

    Returns
    -------
    bool
        False when the variable ``MEZNET_PROGRESS`` is ``0``, or when standard error is neither a
        terminal nor the output of a notebook kernel; True otherwise.

    Examples
    --------
    >>> import os
    >>> from unittest import mock
    >>> with mock.patch.dict(os.environ, {"MEZNET_PROGRESS": "0"}):
    ...     wanted()
    False
    """
    if os.environ.get("MEZNET_PROGRESS", "").strip() == "0":
        return False
    return _is_terminal() or _is_notebook()


def bar(
    iterable: Iterable[Any] | None = None,
    *,
    total: float | None = None,
    label: str = "",
    unit: str = "it",
) -> tqdm:
    """Wrap `iterable` in a bar on standard error that disappears when it is done.

    Parameters
    ----------
    iterable : iterable, optional
        What to go through. Leave it out to move the bar by hand with ``.update(n)``.
    total : float, optional
        How many steps there are, where `iterable` has no length.
    label : str
        What is being done, in a word or two; it stands before the bar.
    unit : str
        What is counted. ``"B"`` stands for bytes, shown as kB, MB and GB.

    Returns
    -------
    tqdm.std.tqdm
        Iterable, and a context manager with ``.update(n)`` and ``.close()``. Where nobody would
        see a bar (see `wanted`) it passes the items on and shows nothing.

    Examples
    --------
    >>> [number * number for number in bar([1, 2, 3], label="Squaring")]
    [1, 4, 9]
    >>> with bar(total=10, unit="B") as steps:
    ...     _ = steps.update(10)
    """
    from tqdm.std import tqdm

    return tqdm(
        iterable,
        total=total,
        desc=label or None,
        unit=unit,
        unit_scale=unit == "B",
        leave=False,
        dynamic_ncols=True,
        disable=not wanted(),
    )


def _is_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):  # no standard error at all, or a closed one
        return False


def _is_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
