"""Prototype search: classes stand as vectors in an index, and the nearest one is the answer."""

from meznet_helpers.prototypes.approximate import compare_searches
from meznet_helpers.prototypes.index import PrototypeIndex
from meznet_helpers.prototypes.labeler import PrototypeLabeler
from meznet_helpers.prototypes.search import Matches, nearest
from meznet_helpers.prototypes.storage import editing, load, read_csv, save, write_csv
