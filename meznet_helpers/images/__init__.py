"""Images: read from files and folders to upright uint8 RGB, and labeled sets of them."""

from meznet_helpers.images.datasets import Dataset
from meznet_helpers.images.folders import find, match, read_tree, survey, write_tree
from meznet_helpers.images.pixels import MAX_PIXELS, ImageError
from meznet_helpers.images.reading import SUFFIXES, Images, as_images, read, read_many
from meznet_helpers.images.streaming import stream
