"""Every picture of the book. Each function returns a matplotlib figure and shows nothing itself."""

from meznet_helpers.plots.accuracies import (
    accuracy_against_size,
    by_size,
    gains,
    leaderboard,
    spell,
)
from meznet_helpers.plots.benchmark import (
    against_costs,
    confusion_grid,
    learning_curves,
    prediction_grid,
)
from meznet_helpers.plots.calibration import first_scores, pairs, reliability
from meznet_helpers.plots.clip import by_prompt, interval_widths, price
from meznet_helpers.plots.multiclass import lines, regions
from meznet_helpers.plots.networks import layers, network
from meznet_helpers.plots.pictures import images, what_nets_see
from meznet_helpers.plots.probing import learning_curve, neighbors, numbers, plane
from meznet_helpers.plots.prototypes import cumulative_accuracy, first_places, found, recall, runs
from meznet_helpers.plots.style import short
