"""``python -m meznet_helpers.cli`` is the command ``meznet``."""

import sys

from meznet_helpers.cli import main

sys.exit(main())
