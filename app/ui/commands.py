"""Undo: one stack a case. A command holds what it changed, never a copy of everything."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtGui import QUndoCommand


class StepCommand(QUndoCommand):
    """One step that was already done when it is pushed; later redo and undo call the functions.

    ``is_valid`` is asked before each of them: a step that may no longer be taken back (its reading
    was locked) leaves the stack without effect.
    """

    def __init__(self, text: str, redo: Callable[[], None], undo: Callable[[], None], is_valid: Callable[[], bool] | None = None):
        super().__init__(text)
        self._redo, self._undo, self._is_valid = redo, undo, is_valid
        self._fresh = True

    def _holds(self) -> bool:
        if self._is_valid is None or self._is_valid():
            return True
        self.setObsolete(True)
        return False

    def redo(self) -> None:
        """Qt calls this once on push; the step is already on screen then."""
        if self._fresh:
            self._fresh = False
            return
        if self._holds():
            self._redo()

    def undo(self) -> None:
        """Take the step back."""
        if self._holds():
            self._undo()
