"""Open the window, wait for its first frame, close: what ``nodus bench window`` times."""

from __future__ import annotations

import sys

from app.settings import prepare_process


def main() -> int:
    """0 once the window was on screen with its first frame and answered one event after it."""
    prepare_process()
    from PySide6.QtCore import QTimer

    from app.ui.application import make_application, open_window

    application = make_application()
    window = open_window(prepare=False)
    # A zero timer fires when the event loop is idle, that is after the first paint.
    QTimer.singleShot(0, lambda: QTimer.singleShot(0, window.close))
    application.setQuitOnLastWindowClosed(True)
    return application.exec()


if __name__ == "__main__":
    sys.exit(main())
