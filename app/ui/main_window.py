"""The window: top bar, rail, tools, panes, the step's panel, status."""

from __future__ import annotations

import sys

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QMainWindow,
    QMenu,
    QSizePolicy,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.ui import actions as actions_module
from app.ui.actions import STEP_TITLES, make_qactions, window_actions
from app.ui.actions_study import UserButton, UserWatch, limit
from app.ui.pages import WORK, Pages
from app.ui.rail import Rail
from app.ui.session import STEPS, WINDOW_PRESETS, Session
from app.ui.status import NoticeBar, StatusBar
from app.ui.text import language, said, t
from app.ui.tools.box import ToolBox
from app.ui.views.pane_grid import PaneGrid
from app.ui.views.scene_pane import load_libraries
from app.ui.widgets.labels import ElidedLabel

STRIP_TOOLS = ("crosshair", "node", "brush", "eraser", "contour", "caliper", "ellipsoid", "needle")
STRIP_LAYOUTS = ("reset", "layout_1", "layout_1x2", "layout_2x2", "layout_compare")
SIDE_WIDTH = 316
WIDE_STRIP = 1040  # from this width on the tools show their names
WIDE_TOP = 1120  # from this width on the steps show their names


class MainWindow(QMainWindow):
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

    # ---- parts -----------------------------------------------------------------------
    def _build(self) -> None:
        window = QWidget()
        window.setObjectName("window")
        self.side = QStackedWidget()
        self.side.setObjectName("sideColumn")
        self.side.setFixedWidth(SIDE_WIDTH)
        centre = QWidget()
        column = QVBoxLayout(centre)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self._tool_strip())
        column.addWidget(self.panes, 1)
        work = QWidget()
        middle = QHBoxLayout(work)
        middle.setContentsMargins(0, 0, 0, 0)
        middle.setSpacing(0)
        middle.addWidget(self.rail)
        middle.addWidget(centre, 1)
        middle.addWidget(self.side)
        outer = QVBoxLayout(window)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(self._top_bar())
        self.pages = Pages(self.session, work)
        outer.addWidget(self.pages, 1)
        outer.addWidget(self.notice_bar)
        outer.addWidget(self.status)
        self.setCentralWidget(window)

    def _menu_button(self, title: str, menu: str) -> QToolButton:
        button = QToolButton()
        button.setText(title + " ▾")
        button.setAccessibleName(title)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        entries = QMenu(button)
        group = None
        for action in self.actions_list:
            if action.menu == menu:
                if group is not None and action.group != group:
                    entries.addSeparator()
                group = action.group
                entries.addAction(self.qactions[action.id])
        entries.aboutToShow.connect(self.refresh_actions)
        button.setMenu(entries)
        return button

    def _top_bar(self) -> QWidget:
        bar = QWidget()
        bar.setObjectName("topBar")
        bar.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        bar.setFixedHeight(42)
        self.menus = {menu: self._menu_button(t(title), menu) for menu, title in (("study", "Study"), ("edit", "Edit"), ("view", "View"), ("tools", "Tools"))}
        self.case = ElidedLabel("")
        self.case.setObjectName("caseTitle")
        self.help_button = self._menu_button("?", "help")
        self.help_button.setText("?")
        self.help_button.setAccessibleName(t("Help"))
        self.help_button.setToolTip(t("Keys, gestures, about (F1)"))
        row = QHBoxLayout(bar)
        row.setContentsMargins(6, 0, 6, 0)
        row.setSpacing(2)
        for button in self.menus.values():
            row.addWidget(button)
        row.addSpacing(10)
        row.addWidget(self.case, 1)
        self.step_buttons: dict[str, QToolButton] = {}
        self._step_group = QButtonGroup(self)
        for step in STEPS:
            button = QToolButton()
            button.setCheckable(True)
            button.setProperty("step", True)
            button.setObjectName(f"step_{step}")
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.clicked.connect(lambda _checked=False, step=step: self.session.set_step(step))
            self._step_group.addButton(button)
            self.step_buttons[step] = button
            row.addWidget(button)
        row.addSpacing(6)
        self.user_button = UserButton(self)
        row.addWidget(self.user_button)
        row.addWidget(self.help_button)
        return bar

    def _tool_strip(self) -> QWidget:
        self.strip = QWidget()
        self.strip.setObjectName("toolStrip")
        self.strip.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.strip.setFixedHeight(34)
        row = QHBoxLayout(self.strip)
        row.setContentsMargins(6, 0, 6, 0)
        row.setSpacing(1)
        self.tool_buttons: dict[str, QToolButton] = {}
        for name in STRIP_TOOLS:
            row.addWidget(self._strip_button(name))
        row.addStretch(1)
        self.presets = QComboBox()
        self.presets.setAccessibleName(t("Window preset"))
        self.presets.setToolTip(t("Window preset (Alt+1 to Alt+5)"))
        self.presets.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        for name, (centre, width) in WINDOW_PRESETS.items():
            self.presets.addItem(t(name), (centre, width))
        self.presets.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.presets.activated.connect(lambda row: self.session.set_window(*self.presets.itemData(row)))
        row.addWidget(self.presets)
        row.addSpacing(4)
        for name in STRIP_LAYOUTS:
            button = self._strip_button(name)
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
            row.addWidget(button)
        return self.strip

    def _strip_button(self, name: str) -> QToolButton:
        button = QToolButton()
        button.setDefaultAction(self.qactions[name])
        button.setIconSize(QSize(18, 18))
        button.setAccessibleName(self.qactions[name].text())
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.tool_buttons[name] = button
        return button

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
        for signal in (s.tool_changed, s.image_changed, s.picture_changed, s.nodes_changed, s.mask_changed, s.calipers_changed, s.plan_changed, s.field_changed, s.display_changed, s.study_changed, s.comparison_changed):
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

    # ---- what menus do ---------------------------------------------------------------
    def _remember(self, dialog) -> None:
        """Keep a dialog alive while it is open; it never blocks the window."""
        self._dialogs.append(dialog)
        dialog.destroyed.connect(lambda *_: self._dialogs.remove(dialog) if dialog in self._dialogs else None)

    def _ask_folder(self, title: str, then) -> QFileDialog:
        dialog = QFileDialog(self, title)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setOption(QFileDialog.Option.ShowDirsOnly, True)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(then)
        self._remember(dialog)
        dialog.open()
        return dialog

    def ask_new_study(self) -> None:
        """Choose an empty folder for a new study."""
        self._ask_folder(t("Empty folder for the new study"), self.session.create_study)

    def ask_open_study(self) -> None:
        """Choose a study folder."""
        self._ask_folder(t("Study folder"), self.session.open_study)

    def ask_open_folder(self) -> None:
        """Choose a folder, archive, medium or file to look at."""
        from app.ui.dialogs.look_at import LookDialog

        dialog = LookDialog(self)
        dialog.chosen.connect(self.session.open_folder)
        self._remember(dialog)
        dialog.open()

    def ask_series(self, found) -> None:
        """Choose one of several series that were found."""
        from app.ui.dialogs.look_at import SeriesDialog

        dialog = SeriesDialog(found, self)
        dialog.chosen.connect(self.session.open_found)
        self._remember(dialog)
        dialog.open()

    def ask_import(self) -> None:
        """Ask for folder, pseudonym and visit."""
        from app.ui.dialogs.import_images import ImportDialog
        from app.ui.dialogs.review_pictures import import_after_looking

        dialog = ImportDialog(self.session.subject_id, [v.name for v in self.session.visits], self)
        dialog.chosen.connect(lambda *where: import_after_looking(self.session, self, *where))
        self._remember(dialog)
        dialog.open()

    def ask_export_csv(self) -> None:
        """Choose the folder for the tables."""
        self._ask_folder(t("Folder for the exported tables"), lambda folder: self.session.export("csv", folder))

    def ask_export_dicom(self) -> None:
        """Choose the folder for structured reports and segmentations."""
        self._ask_folder(t("Folder for the DICOM files"), lambda folder: self.session.export("dicom-sr", folder))

    def ask_export_pdf(self) -> None:
        """Choose the file of the report."""
        dialog = QFileDialog(self, t("Report"))
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setNameFilter("PDF (*.pdf)")
        dialog.setDefaultSuffix("pdf")
        dialog.selectFile(f"{self.session.subject_id or 'report'}.pdf")
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda path: self.session.export("pdf", path))
        self._remember(dialog)
        dialog.open()

    def remove_last_needle(self) -> None:
        """Take the last needle out of the plan; one undo step."""
        needle = self.session.plan.needles[-1]
        self.session.set_plan(self.session.plan.without_needle(needle.id), t("Remove needle {name}").format(name=needle.id))

    def escape(self) -> None:
        """Leave the view in place of the pictures, else put the tool away."""
        if not self.pages.back():
            self.toolbox.escape()

    def step_slice(self, steps: int) -> None:
        """Slice or frame of the active pane; the 3D view has none, so the axial one goes."""
        pane = self.panes.active_pane()
        (pane if hasattr(pane, "scroll") else self.panes.panes["axial"]).scroll(steps)

    def zoom_to_node(self) -> None:
        """The current node large in every plane, with room for the needles around it."""
        measured = self.session.nodes[self.session.current_node_id].measurement
        if measured is not None and measured.centroid_mm is not None:
            self.panes.zoom_to(measured.centroid_mm, max(35.0, 2.0 * (measured.max_3d_diameter_mm or 0.0)))

    def toggle_linear(self) -> None:
        """Blend between voxels or show them as they are, in every pane."""
        on = not self.panes.slice_panes[0].linear
        for pane in self.panes.slice_panes:
            pane.set_linear(on)

    def enlarge_active(self) -> None:
        """The active pane large, and back."""
        active = self.panes.active_pane()
        self.panes.toggle_large_pane(active)

    def show_keys(self) -> None:
        """The list of keys, beside the work."""
        from app.ui.dialogs.keys import KeysDialog

        dialog = KeysDialog(self.actions_list, self)
        self._remember(dialog)
        dialog.show()

    def show_about(self) -> None:
        """What this program is."""
        from app.ui.dialogs.about import AboutDialog

        dialog = AboutDialog(self)
        self._remember(dialog)
        dialog.show()

    def _tell_failure(self, problem: Exception, trace: str) -> None:
        """A bug in a job: say so, write it down, keep working."""
        from app.ui.application import write_failure

        place = write_failure(trace)
        self.notice_bar.tell("serious", t("Something went wrong in a job; your work is kept. What happened is written to {place}.").format(place=place))
        print(trace, file=sys.stderr)

    # ---- language --------------------------------------------------------------------
    def change_language(self, code: str) -> None:
        """Speak another language from now on: kept for the next start, and the window is made anew on the same session
        once no job is running whose answer this window waits for."""
        from app.ui.languages import keep_language

        if code == language() and self._language_to_come is None:
            return
        try:
            keep_language(code)
        except OSError as problem:
            self.notice_bar.tell("warning", t("The language could not be kept for the next start: {why}.").format(why=problem.strerror or problem))
        waits = self._language_to_come is not None
        self._language_to_come = code
        if self.session.jobs.is_busy():
            self.notice_bar.tell("info", t("The language changes as soon as what is running has ended."))
            if not waits:
                self.session.jobs.ended.connect(self._change_when_idle)
        else:
            self._change_when_idle()

    def _change_when_idle(self, _key=None) -> None:
        # Later, when the answer of the job has been taken up: it may have started another one.
        QTimer.singleShot(0, self, self._change_now)

    def _change_now(self) -> None:
        code = self._language_to_come
        if code is None or self._closed or self.session.jobs.is_busy():
            return
        from app.ui.languages import use_language, window_anew

        self._language_to_come = None
        use_language(code)
        if code != self.spoken:
            self.successor = window_anew(self)
            self.replaced.emit(self.successor)

    def hand_over(self) -> None:
        """Go without closing the session: another window has it now."""
        self.toolbox.release()
        self._closed = True
        for dialog in list(self._dialogs):
            dialog.close()
        self.panes.shutdown()
        self.close()
        self.deleteLater()

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
