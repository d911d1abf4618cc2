"""How good is a labeler, and how sure is that? Accuracies, intervals, comparisons, calibration."""

from meznet_helpers.measure.accuracies import (
    FLOOR,
    accuracy,
    check_truth,
    class_accuracy,
    hits,
    named_ranks,
    of_truth,
    rank_of_truth,
)
from meznet_helpers.measure.calibration import (
    brier,
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
    q_statistic,
)
from meznet_helpers.measure.confusions import confusion, mixed_up
from meznet_helpers.measure.intervals import bootstrap, student_t, wilson

__all__ = [
    "FLOOR",
    "accuracy",
    "against",
    "bootstrap",
    "brier",
    "check_truth",
    "class_accuracy",
    "confusion",
    "disagreement",
    "error_correlation",
    "expected_calibration_error",
    "hits",
    "log_loss",
    "mcnemar",
    "mixed_up",
    "named_ranks",
    "of_truth",
    "paired_difference",
    "q_statistic",
    "rank_of_truth",
    "reliability",
    "student_t",
    "temper",
    "temperature",
    "wilson",
]
