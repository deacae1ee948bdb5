"""The window: what stands in it follows the session; opening, showing, closing."""

from __future__ import annotations

import sys

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QMainWindow, QWidget

from app.ui import actions as actions_module
from app.ui.actions import STEP_TITLES, make_qactions, window_actions
from app.ui.actions_study import UserWatch, limit
from app.ui.main_window_asks import WindowAsks
from app.ui.main_window_language import WindowLanguage
from app.ui.main_window_parts import SIDE_WIDTH, STRIP_LAYOUTS, STRIP_TOOLS, WindowParts
from app.ui.pages import WORK
from app.ui.rail import Rail
from app.ui.session import Session
from app.ui.status import NoticeBar, StatusBar
from app.ui.text import language, said, t
from app.ui.tools.box import ToolBox
from app.ui.views.pane_grid import PaneGrid
from app.ui.views.scene_pane import load_libraries

WIDE_STRIP = 1040  # from this width on the tools show their names
WIDE_TOP = 1120  # from this width on the steps show their names


class MainWindow(WindowParts, WindowAsks, WindowLanguage, QMainWindow):
    """Holds the parts together; all state is the session's.

    ``ready`` comes once the slow libraries and kernels are in memory and the 3D view stands.
    """

    ready = Signal()
    replaced = Signal(object)  # by a window in another language

    def __init__(self, session: Session, parent=None):
        super().__init__(parent)
        self.session = session
        self.setWindowTitle("Nodus")
        self.setMinimumSize(800, 500)
        self.resize(1280, 800)
        self.is_ready = False
        self.toolbox = ToolBox(session, self, centre_all=lambda: self.panes.centre_all())
        self.panes = PaneGrid(session, self.toolbox)
        self.layout_on_screen = self.panes.layout_name
        self.tips: dict[str, str] = {}
        self.actions_list = window_actions(self)
        self.qactions = make_qactions(self, self.actions_list)
        self.rail = Rail(session)
        self.status = StatusBar(session)
        self.notice_bar = NoticeBar()
        self._dialogs: list = []
        self._panels: dict[str, QWidget] = {}
        self._closed = False
        self.spoken = language()
        self.successor: MainWindow | None = None  # in another language, on the same session
        self._language_to_come: str | None = None
        self._build()
        self._connect()
        self.watch = UserWatch(self)
        self._take_step(session.step)
        self._take_study()
        self.refresh_actions()
        self.panes.panes["axial"].setFocus()

    def _connect(self) -> None:
        s = self.session
        self.panes.hovered.connect(self.status.show_pointer)
        # What was under the mouse belonged to the picture that has just gone.
        s.picture_changed.connect(self._forget_pointer)
        s.step_changed.connect(self._forget_pointer)
        self.panes.layout_changed.connect(self._take_layout)
        self.toolbox.changed.connect(self._show_hint)
        s.step_changed.connect(self._take_step)
        s.notice.connect(self.notice_bar.tell)
        s.series_found.connect(self.ask_series)
        s.jobs.failed.connect(self._tell_failure)
        s.study_changed.connect(self._take_study)
        s.visit_changed.connect(self._take_study)
        s.image_changed.connect(self._take_study)
        s.picture_changed.connect(self._take_study)
        for signal in (
            s.tool_changed,
            s.image_changed,
            s.picture_changed,
            s.nodes_changed,
            s.mask_changed,
            s.calipers_changed,
            s.plan_changed,
            s.field_changed,
            s.display_changed,
            s.study_changed,
            s.comparison_changed,
            s.contrast_changed,
        ):
            signal.connect(self.refresh_actions)
        for signal in (s.nodes_changed, s.readings_changed, s.field_changed, s.plan_changed, s.image_changed, s.picture_changed, s.measurement_changed):
            signal.connect(self._show_needs)
        s.window_changed.connect(self._show_preset)
        for change in (s.undo_stack.canUndoChanged, s.undo_stack.canRedoChanged, s.undo_stack.undoTextChanged, s.undo_stack.redoTextChanged):
            change.connect(self.refresh_actions)
        self._show_preset()

    # ---- showing ---------------------------------------------------------------------
    def refresh_actions(self, *_) -> None:
        """Menus and buttons say what can be done now."""
        if self._closed:
            return
        actions_module.refresh(self.actions_list, self.qactions)
        limit(self)
        stack = self.session.undo_stack
        self.qactions["undo"].setText(t("Undo") + (f": {said(stack.undoText())}" if stack.undoText() else ""))
        self.qactions["redo"].setText(t("Redo") + (f": {said(stack.redoText())}" if stack.redoText() else ""))
        self._show_hint()

    def _show_hint(self) -> None:
        self.status.show_hint("" if self.pages.name != WORK else self.toolbox.current.hint())

    def _show_preset(self) -> None:
        row = next((n for n in range(self.presets.count()) if self.presets.itemData(n) == self.session.window), -1)
        self.presets.setCurrentIndex(row)
        self.presets.setPlaceholderText(t("Own window"))
        self.refresh_actions()

    def _take_layout(self, name: str) -> None:
        self.layout_on_screen = name
        self.refresh_actions()

    def _take_study(self) -> None:
        what = self.session.case_words()
        self.case.setText(what)
        self.setWindowTitle(f"Nodus – {what}")
        self._show_needs()

    def _take_step(self, step: str) -> None:
        panel = self._panels.get(step)
        if panel is None:
            from app.ui.panels import make_panel

            panel = self._panels[step] = make_panel(step, self.session)
            self.side.addWidget(panel)
        self.side.setCurrentWidget(panel)
        self.step_buttons[step].setChecked(True)
        self._show_needs()
        self.refresh_actions()

    def _show_needs(self, *_) -> None:
        """Step buttons: their names, a dot where something is still needed, and what it is."""
        wide = self.width() >= WIDE_TOP
        for n, (step, button) in enumerate(self.step_buttons.items()):
            needs = said(self.session.step_needs(step))
            name = t(STEP_TITLES[step])
            button.setText((f"{n + 1} {name}" if wide else f"{n + 1}") + (" •" if needs else ""))
            button.setToolTip(f"{n + 1} {name}  (Ctrl+{n + 1})" + (f"\n{t('Still needs')}: {needs}" if needs else ""))
            button.setAccessibleName(name)
            button.setAccessibleDescription(needs)
            if bool(button.property("needs")) != bool(needs):
                button.setProperty("needs", bool(needs))
                button.style().unpolish(button)
                button.style().polish(button)

    def resizeEvent(self, event) -> None:
        """Names where there is room, icons and numbers where there is not."""
        super().resizeEvent(event)
        self._show_needs()
        room = self.width() - SIDE_WIDTH - self.rail.width()
        style = Qt.ToolButtonStyle.ToolButtonTextBesideIcon if room >= WIDE_STRIP else Qt.ToolButtonStyle.ToolButtonIconOnly
        for name in STRIP_TOOLS:
            self.tool_buttons[name].setToolButtonStyle(style)
        for name, button in self.tool_buttons.items():
            icon_only = name in STRIP_LAYOUTS or style == Qt.ToolButtonStyle.ToolButtonIconOnly
            button.setMinimumWidth(32 if icon_only else 0)
            button.setMaximumWidth(32 if icon_only else 200)
        self.rail.setVisible(self.width() >= 980)

    def _tell_failure(self, problem: Exception, trace: str) -> None:
        """A bug in a job: say so, write it down, keep working."""
        from app.ui.application import write_failure

        place = write_failure(trace)
        self.notice_bar.tell("serious", t("Something went wrong in a job; your work is kept. What happened is written to {place}.").format(place=place))
        print(trace, file=sys.stderr)

    # ---- start and end ---------------------------------------------------------------
    def prepare(self) -> None:
        """Load what is slow in a job; the window can be used meanwhile."""

        self.session.jobs.start(t("Preparing the 3D view"), load_libraries, key="prepare", on_done=self._libraries_loaded)

    def _libraries_loaded(self, _result) -> None:
        self.panes.scene.prepare()

        def work(context):
            from app.usecases.warm_up import warm_up

            return warm_up(context)

        self.session.jobs.start(t("Preparing"), work, key="prepare", on_done=self._prepared)

    def _forget_pointer(self, *_what) -> None:
        self.status.show_pointer(None)

    def _prepared(self, _result) -> None:
        self.is_ready = True
        self.ready.emit()

    def closeEvent(self, event) -> None:
        """Let writes finish, stop jobs, free the graphics context. Where something could not be
        written the window stays: nothing is thrown away behind the reader's back."""
        if not self._closed:
            self.toolbox.current.cancel()
            if self.session.when_drawn(self.close):  # an outline that was asked for is finished first
                event.ignore()
                return
            problems = self.session.close()
            if problems:
                event.ignore()
                why = getattr(problems[0], "message", None) or str(problems[0])
                self.session.notice.emit("serious", t("Not closed: something could not be saved. {why} Mend the cause and close again.").format(why=why))
                return
            self._closed = True
            for dialog in self.findChildren(QDialog):
                dialog.done(QDialog.DialogCode.Rejected)  # an open question would hold every other window of the program
            self.panes.shutdown()
        super().closeEvent(event)
