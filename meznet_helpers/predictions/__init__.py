"""Predictions: what labelers give, probabilities with three named axes, and their files."""

from meznet_helpers.predictions.table import (
    Predictions,
    float_array,
    positions,
    top_indices,
    unique_names,
)
