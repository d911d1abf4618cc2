"""Labelers: anything that gives probabilities over a label space for images."""

from meznet_helpers.labelers.base import Labeler
from meznet_helpers.labelers.names import labeler

__all__ = ["Labeler", "labeler"]
