"""How good is a labeler, and how sure is that? Accuracies, intervals, comparisons, calibration."""

from meznet_helpers.measure.accuracies import (
    FLOOR,
    accuracy,
    check_truth,
    hits,
    named_ranks,
    of_truth,
    rank_of_truth,
)
from meznet_helpers.measure.calibration import (
    expected_calibration_error,
    log_loss,
    reliability,
    temper,
    temperature,
)
from meznet_helpers.measure.comparison import (
    against,
    disagreement,
    error_correlation,
    mcnemar,
    paired_difference,
)
from meznet_helpers.measure.conformal import none_threshold, prediction_sets, set_threshold
from meznet_helpers.measure.confusions import mixed_up
from meznet_helpers.measure.intervals import bootstrap, proportion, student_t, wilson
