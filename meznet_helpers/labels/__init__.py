"""Labels: the spaces that predictions are about, and joins between them."""

from meznet_helpers.labels.matching import join, map_between
from meznet_helpers.labels.spaces import (
    LabelSpace,
    as_truth,
    from_fields,
    from_file,
    from_names,
    from_row,
    imagenet,
    normalize,
    slug,
    tiny_imagenet,
)
