"""Undo: one stack a case. A command holds what it changed, never a copy of everything."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtGui import QUndoCommand


class StepCommand(QUndoCommand):
    """One step that was already done when it is pushed; later redo and undo call the functions."""

    def __init__(self, text: str, redo: Callable[[], None], undo: Callable[[], None]):
        super().__init__(text)
        self._redo, self._undo = redo, undo
        self._fresh = True

    def redo(self) -> None:
        """Qt calls this once on push; the step is already on screen then."""
        if self._fresh:
            self._fresh = False
            return
        self._redo()

    def undo(self) -> None:
        """Take the step back."""
        self._undo()
