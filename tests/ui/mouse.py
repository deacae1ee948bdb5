"""A mouse for tests: sends a pane the events that a hand would cause, at exact places."""

from __future__ import annotations

from itertools import pairwise

from PySide6.QtCore import QCoreApplication, QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent, QWheelEvent

LEFT, RIGHT, MIDDLE = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton, Qt.MouseButton.MiddleButton
NONE, SHIFT, CTRL, ALT = (
    Qt.KeyboardModifier.NoModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.AltModifier,
)


def send(widget, kind, at, button=Qt.MouseButton.NoButton, buttons=Qt.MouseButton.NoButton, modifiers=NONE) -> None:
    place = QPointF(*map(float, at))
    QCoreApplication.sendEvent(widget, QMouseEvent(kind, place, QPointF(widget.mapToGlobal(place.toPoint())), button, buttons, modifiers))


def press(widget, at, button=LEFT, modifiers=NONE) -> None:
    send(widget, QEvent.Type.MouseButtonPress, at, button, button, modifiers)


def move(widget, at, button=LEFT, modifiers=NONE) -> None:
    send(widget, QEvent.Type.MouseMove, at, Qt.MouseButton.NoButton, button, modifiers)


def release(widget, at, button=LEFT, modifiers=NONE) -> None:
    send(widget, QEvent.Type.MouseButtonRelease, at, button, Qt.MouseButton.NoButton, modifiers)


def click(widget, at, button=LEFT, modifiers=NONE) -> None:
    press(widget, at, button, modifiers)
    release(widget, at, button, modifiers)


def double_click(widget, at) -> None:
    click(widget, at)
    send(widget, QEvent.Type.MouseButtonDblClick, at, LEFT, LEFT)
    release(widget, at)


def drag(widget, *places, button=LEFT, modifiers=NONE, steps: int = 4) -> None:
    press(widget, places[0], button, modifiers)
    for a, b in pairwise(places):
        for n in range(1, steps + 1):
            move(widget, (a[0] + (b[0] - a[0]) * n / steps, a[1] + (b[1] - a[1]) * n / steps), button, modifiers)
    release(widget, places[-1], button, modifiers)


def wheel(widget, at, notches: int, modifiers=NONE) -> None:
    place = QPointF(*map(float, at))
    event = QWheelEvent(place, QPointF(widget.mapToGlobal(place.toPoint())), QPoint(), QPoint(0, 120 * notches), Qt.MouseButton.NoButton, modifiers, Qt.ScrollPhase.NoScrollPhase, False)
    QCoreApplication.sendEvent(widget, event)


def activate(qtbot, window) -> None:
    """Keys reach only the active window; on a real X server that takes a moment."""
    window.activateWindow()
    window.raise_()
    qtbot.waitUntil(window.isActiveWindow, timeout=5000)
