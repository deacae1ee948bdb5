"""Hands and eyes of the walk: waiting in Qt's event loop, mouse and keys, pictures, complaints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtCore import QDeadlineTimer, QEvent, QEventLoop, QObject, QPointF, Qt, QTimer
from PySide6.QtGui import QKeySequence, QMouseEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from app.ui.walk.aloud import Listener
from volumetry.errors import NodusError

PATIENCE_SECONDS = 600.0


class WalkFailed(NodusError):
    """Something that the walk waited for did not happen."""

    default_code = "walk_failed"


def wait_until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Run the event loop until ``condition()``; raises ``WalkFailed`` naming ``what`` when it takes
    longer than ``seconds``."""
    pulse = QTimer()
    pulse.start(15)  # wakes the loop, so that the condition is asked again
    deadline = QDeadlineTimer(int(seconds * 1000))
    while not condition():
        if deadline.hasExpired():
            raise WalkFailed(f"Waited {seconds:.0f} s in vain for {what}.")
        QApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents)
    pulse.stop()


def settle(session) -> None:
    """Wait until no job runs and everything is painted."""
    wait_until(lambda: not session.jobs.is_busy(), "jobs to end")
    for _ in range(6):
        QApplication.processEvents()


def mouse(pane: QWidget, kind: QEvent.Type, x: float, y: float, *, buttons=Qt.MouseButton.LeftButton, modifiers=Qt.KeyboardModifier.NoModifier) -> None:
    """Send one mouse event to a pane, in its logical pixels."""
    here = QPointF(x, y)
    button = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseMove else Qt.MouseButton.LeftButton
    held = Qt.MouseButton.NoButton if kind == QEvent.Type.MouseButtonRelease else buttons
    QApplication.sendEvent(pane, QMouseEvent(kind, here, QPointF(pane.mapToGlobal(here.toPoint())), button, held, modifiers))


def keys(widget: QWidget, *sequences: str) -> None:
    """Press keys as they are written on them, for example ``Ctrl+Alt+A``; shortcuts of the widget's window answer."""
    for sequence in sequences:
        QTest.keySequence(widget, QKeySequence(sequence))
        QApplication.processEvents()


def type_in(text: str) -> None:
    """Type into whatever has the focus."""
    focused = QApplication.focusWidget()
    if focused is None:
        raise WalkFailed("Nothing on screen takes what is typed.")
    QTest.keyClicks(focused, text)
    QApplication.processEvents()


def in_front(window: QWidget) -> None:
    """Wait until a window has the keyboard."""
    window.activateWindow()
    window.raise_()
    wait_until(window.isActiveWindow, f"the window {window.windowTitle()} in front", 20.0)


def shown_window(kind: type[QWidget]) -> QWidget:
    """The window of a kind that is on screen, in front; waits for it."""

    def there() -> list[QWidget]:
        return [w for w in QApplication.topLevelWidgets() if isinstance(w, kind) and w.isVisible()]

    wait_until(lambda: bool(there()), f"the window {kind.__name__}", 30.0)
    found = there()[-1]
    in_front(found)
    return found


class Drag:
    """Press at one place and move along; ``release`` ends it."""

    def __init__(self, pane: QWidget, start, *, modifiers=Qt.KeyboardModifier.NoModifier):
        self.pane, self.at, self.modifiers = pane, np.asarray(start, float), modifiers
        mouse(pane, QEvent.Type.MouseMove, *self.at, buttons=Qt.MouseButton.NoButton, modifiers=modifiers)
        mouse(pane, QEvent.Type.MouseButtonPress, *self.at, modifiers=modifiers)

    def to(self, end, steps: int = 10) -> Drag:
        """Move in small steps, as a hand does."""
        start, end = self.at, np.asarray(end, float)
        for n in range(1, steps + 1):
            self.at = start + (end - start) * n / steps
            mouse(self.pane, QEvent.Type.MouseMove, *self.at, modifiers=self.modifiers)
            QApplication.processEvents()
        return self

    def release(self) -> None:
        """Let go."""
        mouse(self.pane, QEvent.Type.MouseButtonRelease, *self.at, modifiers=self.modifiers)


class Album:
    """Writes the pictures ``01_images.png`` … and remembers them; at each the window is read for words of another language."""

    def __init__(self, folder: Path, listener: Listener | None = None):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.listener = listener or Listener()
        self.pictures: list[Path] = []

    def take(self, widget: QWidget, name: str) -> Path:
        """Picture of a widget as it is on screen now."""
        QApplication.processEvents()
        self.listener.hear(widget, name)
        place = self.folder / f"{len(self.pictures) + 1:02d}_{name}.png"
        if not widget.grab().save(str(place)):
            raise WalkFailed(f"The picture {place.name} could not be written.")
        self.pictures.append(place)
        return place


class Complaints(QObject):
    """Bugs in jobs end the walk; refusals are kept for the message."""

    def __init__(self, session):
        super().__init__()
        self.failures: list[str] = []
        self.refusals: list[str] = []
        session.jobs.failed.connect(lambda _problem, trace: self.failures.append(trace))
        session.jobs.refused.connect(lambda refusal: self.refusals.append(refusal.message))

    def check(self) -> None:
        """Raise where a job failed."""
        if self.failures:
            raise WalkFailed(self.failures[0])
