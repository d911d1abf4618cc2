"""Prototype search: classes stand as vectors in an index, and the nearest one is the answer."""

from meznet_helpers.prototypes.decision import (
    fit_calibrated,
    fit_scale,
    fit_threshold,
    probabilities,
)
from meznet_helpers.prototypes.exchange import read_csv, write_csv
from meznet_helpers.prototypes.index import PrototypeIndex
from meznet_helpers.prototypes.search import Matches, nearest
from meznet_helpers.prototypes.storage import editing, load, save

__all__ = [
    "Matches",
    "PrototypeIndex",
    "editing",
    "fit_calibrated",
    "fit_scale",
    "fit_threshold",
    "load",
    "nearest",
    "probabilities",
    "read_csv",
    "save",
    "write_csv",
]
