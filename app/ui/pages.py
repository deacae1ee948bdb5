"""What fills the middle of the window: the work (rail, pictures, panel), or one view in its place that Esc leaves."""

from __future__ import annotations

from importlib import import_module

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QStackedWidget, QWidget

WORK = "work"
LOCK = "lock"
_PLACES = {
    "visit_board": ("app.ui.views.visit_board", "VisitBoardView"),
    "worklist": ("app.ui.panels.worklist", "WorklistView"),
    LOCK: ("app.ui.views.lock_screen", "LockScreen"),
}


class Pages(QStackedWidget):
    """The work and the views in its place, made when first asked for. A view has ``entered()`` and ``left()``, and may
    emit ``leave``."""

    changed = Signal(str)

    def __init__(self, session, work: QWidget, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.name = WORK
        self._made: dict[str, QWidget] = {WORK: work}
        self._focus: QWidget | None = None
        self._under_lock = WORK
        self.addWidget(work)
        session.user_changed.connect(self._take_lock)
        session.case_opened.connect(self.back)
        session.study_changed.connect(self._take_study)
        self._take_lock()

    def page(self, name: str) -> QWidget:
        """The view of that name."""
        if name not in self._made:
            module, kind = _PLACES[name]
            made = self._made[name] = getattr(import_module(module), kind)(self.session)
            self.addWidget(made)
            if hasattr(made, "leave"):
                made.leave.connect(self.back)
        return self._made[name]

    def show_page(self, name: str) -> None:
        """Put a view in place of what is there; asked for again, it goes. A locked window shows nothing else."""
        if self.session.is_locked and name != LOCK:
            return
        if name == self.name:
            name = WORK if name != LOCK else LOCK
        if name == self.name:
            return
        before = self._made[self.name]
        if self.name == WORK:
            focused = self.window().focusWidget()
            self._focus = focused if focused is not None and before.isAncestorOf(focused) else None
        self.name = name
        page = self.page(name)
        if hasattr(before, "left"):
            before.left()
        self.setCurrentWidget(page)
        if hasattr(page, "entered"):
            page.entered()
        elif self._focus is not None:
            self._focus.setFocus(Qt.FocusReason.OtherFocusReason)
        self.changed.emit(name)

    def back(self) -> bool:
        """To the work; True where something was left."""
        if self.name in (WORK, LOCK):
            return False
        self.show_page(WORK)
        return True

    def _take_lock(self) -> None:
        if self.session.is_locked and self.name != LOCK:
            self._under_lock = self.name
            self.show_page(LOCK)
        elif not self.session.is_locked and self.name == LOCK:
            there, self._under_lock = self._under_lock, WORK
            self.show_page(there if self.session.study is not None else WORK)
        elif self.session.is_blinded and self.session.case_item is None:
            self._worklist_first()

    def _take_study(self) -> None:
        if self.name == "visit_board" and self.session.why_no_board():
            self.back()
        if self.name == "worklist" and self.session.signed_in is None:
            self.back()

    def _worklist_first(self) -> None:
        if self.name != "worklist":
            self.show_page("worklist")
