"""Labelers: anything that gives probabilities over a label space for images."""

from meznet_helpers.labelers.backbones import (
    INTERPOLATIONS,
    MODES,
    Backbone,
    backbone,
    registry,
    scale,
    squeeze,
)
from meznet_helpers.labelers.base import Labeler, Served, choices, largest_side, living, readable
from meznet_helpers.labelers.network import BackboneLabeler, NetworkLabeler, sha256
