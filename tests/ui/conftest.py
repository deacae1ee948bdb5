"""A Qt platform for tests: the X server where there is one, else Qt's own off-screen one."""

from __future__ import annotations

import os
import sys

import pytest

if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


@pytest.fixture(scope="session")
def styled_qapp(qapp):
    """The application in the window's style, set once: a style sheet repolishes every widget."""
    from app.ui.style import apply_style

    apply_style(qapp)
    return qapp


@pytest.fixture
def session(styled_qapp):
    """A session with nothing open; its threads end with the test, and the widgets of the test
    before it are gone."""
    from PySide6.QtCore import QEvent

    from app.ui.session import Session

    styled_qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    made = Session()
    yield made
    made.jobs.close()
    made.deleteLater()


# A wait ends when what it waits for is there. How long that takes belongs to the machine and to
# whatever else it is doing: no test fails by it before this.
PATIENCE_MS = 120_000


@pytest.fixture
def qtbot(qtbot):
    """The hands and eyes of pytest-qt, with patience."""
    until, signal = qtbot.waitUntil, qtbot.waitSignal
    qtbot.waitUntil = lambda callback, *, timeout=0: until(callback, timeout=max(timeout, PATIENCE_MS))
    qtbot.waitSignal = lambda awaited, *, timeout=0, **more: signal(awaited, timeout=max(timeout, PATIENCE_MS), **more)
    return qtbot
