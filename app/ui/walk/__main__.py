"""``python -m app.ui.walk``, as ``nodus walk``."""

import sys

from app.ui.walk.command import main

sys.exit(main())
