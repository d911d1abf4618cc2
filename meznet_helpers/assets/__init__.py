"""Assets: the files that the package needs and that are not code, and where they lie."""

from meznet_helpers.assets.profile import package_photographs
