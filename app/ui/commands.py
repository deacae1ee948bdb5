"""Undo: one stack a case. A command holds what it changed, never a copy of everything."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtGui import QUndoCommand


class StepCommand(QUndoCommand):
    """One step that was already done when it is pushed; later redo and undo call the functions.

    ``is_valid`` is asked before each of them: a step that may no longer be taken back (its reading
    was locked) leaves the stack without effect. With ``is_done`` False the step was taken back before
    it came here: it is pushed, and stepped back over once, without effect; then it can be redone.
    """

    def __init__(self, text: str, redo: Callable[[], None], undo: Callable[[], None], is_valid: Callable[[], bool] | None = None, *, is_done: bool = True):
        super().__init__(text)
        self._redo, self._undo, self._is_valid = redo, undo, is_valid
        self._fresh, self._taken_back = True, not is_done

    def again(self) -> StepCommand:
        """The same step, done, as a new command: a stack gives none of its own away."""
        return StepCommand(self.text(), self._redo, self._undo, self._is_valid)

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
        if self._taken_back:
            self._taken_back = False
            return
        if self._holds():
            self._undo()
