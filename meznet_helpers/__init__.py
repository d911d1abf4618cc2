"""Helpers of the meznet book: label images with pretrained networks and measure the result."""

import importlib
from typing import Any

__version__ = "0.1.0"

# What every chapter uses, and the folder or module that has it: loaded at its first use.
_FACE = {
    "LabelSpace": "labels",
    "Predictions": "predictions",
    "accuracy": "measure",
    "embed": "features",
    "labeler": "names",
    "read_many": "images",
    "read_tree": "images",
}


def __getattr__(name: str) -> Any:
    """Load what the face offers when it is asked for."""
    if name not in _FACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_FACE[name]}"), name)
