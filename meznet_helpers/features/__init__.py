"""Features: what the classifier at a network's end sees, and what is learned from it."""

from meznet_helpers.features.embedding import embed
from meznet_helpers.features.learning_curve import by_examples, over_seeds
from meznet_helpers.features.probing import classifiers
