"""Several nets label, one set of probabilities comes out."""

from meznet_helpers.ensembles.combining import (
    METHODS,
    accuracy_weights,
    borda,
    by_size,
    class_weights,
    combine,
    geometric,
    hard,
    information_weights,
    median,
    reciprocal_rank,
    soft,
)
from meznet_helpers.ensembles.labeler import EnsembleLabeler
from meznet_helpers.ensembles.stacking import (
    auc_weights,
    greedy_weights,
    likelihood_weights,
    logistic_lasso,
)
