"""Every great-tables table of the book. Names that a file or a user chose are escaped."""

from meznet_helpers.tables.accuracies import (
    accuracy,
    bookkeeping,
    gains,
    leaderboard,
    partitions,
    percent,
    probed,
    shares,
    with_intervals,
)
from meznet_helpers.tables.base import plain
from meznet_helpers.tables.clip import measured, ticks, tuned
from meznet_helpers.tables.labels import labels_beside
from meznet_helpers.tables.nets import cost, fine_tuned, published
