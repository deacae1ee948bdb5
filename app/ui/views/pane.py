"""What every pane with a picture in it has in common: its size, its focus, Space, the wheel, the pointer that leaves."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QSizePolicy, QWidget


@dataclass(frozen=True, slots=True)
class Pointer:
    """What the status bar says about the place under the mouse."""

    text: str


class Pane(QWidget):
    """``hovered`` carries a ``Pointer`` or None; ``enlarge`` asks the grid for one large pane;
    ``first_frame`` comes once, after the first picture was painted.

    Subclasses have ``has_picture``, ``scroll(steps)``, ``zoom(factor, x, y)`` and ``_take_tool()``; in ``_drag``
    stands what the mouse is dragging.
    """

    hovered = Signal(object)
    enlarge = Signal(object)
    first_frame = Signal()
    wheel_sense = 1  # away from the hand goes up (1) or down (-1)

    def __init__(self, session, toolbox, parent=None):
        super().__init__(parent)
        self.session, self.toolbox = session, toolbox
        self._drag: tuple | None = None
        self._space = False
        self._wheel = 0.0
        self._seen = False
        self.setMinimumSize(160, 120)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)

    def _was_painted(self) -> None:
        if not self._seen:
            self._seen = True
            self.first_frame.emit()

    def _pans(self, event) -> bool:
        """True where a press begins to pan: the middle button, or the left one with Space."""
        return event.button() == Qt.MouseButton.MiddleButton or (event.button() == Qt.MouseButton.LeftButton and self._space)

    def wheelEvent(self, event) -> None:
        """Slices or frames; Shift five at a time; Ctrl zooms."""
        if not self.has_picture:
            return
        delta = event.angleDelta().y() or event.angleDelta().x()
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            p = event.position()
            self.zoom(1.2 ** (delta / 120), p.x(), p.y())
        else:
            self._wheel += delta / 120
            steps = int(self._wheel)
            if steps:
                self._wheel -= steps
                self.scroll(self.wheel_sense * steps * times(event))
        self._tell_pointer(event.position())
        event.accept()

    def _space_pressed(self, event) -> bool:
        """True where the key is Space: held down it pans."""
        if event.key() != Qt.Key.Key_Space:
            return False
        if not event.isAutoRepeat():  # held down: the first press counts
            self._space = True
            self.setCursor(Qt.CursorShape.OpenHandCursor)
        return True

    def keyReleaseEvent(self, event) -> None:
        """Space up ends panning."""
        if event.key() == Qt.Key.Key_Space and not event.isAutoRepeat():
            self._space = False
            self._take_tool()
        else:
            super().keyReleaseEvent(event)

    def enterEvent(self, event) -> None:
        """The pane under the mouse takes the keys, unless somebody types in a field."""
        focus = self.window().focusWidget() if self.window().isActiveWindow() else None
        if focus is None or not focus.testAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled):
            self.setFocus(Qt.FocusReason.MouseFocusReason)

    def leaveEvent(self, event) -> None:
        """No pointer, and nothing of a tool that follows it."""
        if self._drag is None and self.toolbox.current.at is not None and self.toolbox.current.at.pane is self:
            self.toolbox.current.at = None
        self.hovered.emit(None)
        self.update()

    def focusOutEvent(self, event) -> None:
        """Space cannot stay down without the keys."""
        self._space = False
        self._take_tool()


def times(event) -> int:
    """How many steps one press or notch goes: five with Shift."""
    return 5 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1
