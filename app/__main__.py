"""``nodus`` and ``python -m app``: the command line; without a subcommand, the window."""

from __future__ import annotations

import multiprocessing
import sys


def main() -> int:
    """Start. Settings that libraries read once at import are made first."""
    multiprocessing.freeze_support()
    from app.settings import prepare_process

    prepare_process()
    from app.cli import main as command_line

    return command_line(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
