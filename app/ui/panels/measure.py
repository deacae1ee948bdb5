"""Step 2: outline a node, read its numbers, say what was seen, lock."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QDialog, QHBoxLayout, QLineEdit, QPushButton, QWidget

from app.study.lesions import lesion_findings
from app.study.model import ReadingState, ReadingStatus
from app.study.permissions import ANY_READER, OWN_FIND_RIGHTS
from app.ui.dialogs.lock import LockDialog
from app.ui.dialogs.new_node import NewNodeDialog, NodeDetailsDialog
from app.ui.models.measures import measurement_figures, method_names
from app.ui.models.nodes import measure_columns, node_rows, node_volume, status_names
from app.ui.panels.contrast import ContrastSection
from app.ui.panels.contrast_planes import ContrastPlanesSection
from app.ui.panels.contrast_results import ContrastResultsSection
from app.ui.panels.ellipsoid import EllipsoidSection
from app.ui.panels.enhancing import EnhancingSection, part_words
from app.ui.panels.lesion import GradeSection, LesionSection
from app.ui.panels.picture_outline import PictureSection
from app.ui.panels.picture_scale import ScaleSection
from app.ui.panels.tool_keys import ToolKeys
from app.ui.session import NodeState, Session
from app.ui.session_lesion import statement_words
from app.ui.text import t
from app.ui.widgets.figure_table import FigureTable
from app.ui.widgets.figures import Figure, volume_decimals
from app.ui.widgets.findings import FindingsList
from app.ui.widgets.labels import BigFigure, WrapLabel
from app.ui.widgets.role_gate import RoleGate
from app.ui.widgets.sections import Section, StepPanel
from app.ui.widgets.tables import ValueTable
from app.usecases.carried_outline import carried_findings
from app.usecases.empty_slices import empty_slices

READER_STATUSES = (ReadingStatus.MEASURED, ReadingStatus.TOO_SMALL, ReadingStatus.DISAPPEARED_ASSESSED, ReadingStatus.NOT_EVALUABLE, ReadingStatus.NOT_IMAGED)
NEEDS_REASON = (ReadingStatus.NOT_EVALUABLE,)


def volume_figure(state: NodeState | None, what: str | None = None) -> Figure:
    """The volume that counts for a node at this visit (or what a lock would lock, ``what``), with
    interval and method, or why there is none."""
    if state is None:
        return Figure(t("Volume"), None, reason=t("Choose a node, or add one."))
    value, interval, method = node_volume(state, what)
    title, reading = t("Volume of {label}").format(label=state.node.label), state.reading
    if what != "ellipsoid" and reading is not None and reading.status not in (ReadingStatus.MEASURED, ReadingStatus.TOO_SMALL):
        seen = status_names().get(str(reading.status), "")  # said by the reader, not counted from voxels
        return Figure(title, value, "ml", volume_decimals(value), source=seen, reason=seen)
    drawn = {"voxel": t("outline"), "coverage": t("outline"), "ellipsoid": t("ellipsoid")}.get(method)
    title += f" ({drawn})" if drawn else ""
    if value is None:
        return Figure(title, None, reason=t("No outline at this visit yet: press N, click the node and drag."))
    return Figure(title, value, "ml", volume_decimals(value), tuple(interval) if interval is not None else None, method_names().get(method, method), needs_interval=True)


def outline_findings(state: NodeState) -> tuple:
    """What is to be said of the outline in work and of what is stated beside it, beyond what its measurement says."""
    if state.draft is None:
        return ()
    gap = empty_slices(state.draft.array, state.draft.box)
    lesion = {} if state.statement is None else state.statement.lesion
    doubts = lesion_findings(lesion, long_axis_mm=None if state.measurement is None else state.measurement.long_axis_mm)
    return (*carried_findings(state.draft.origin), *(() if gap is None else (gap,)), *doubts)


class MeasurePanel(StepPanel):
    """Nodes, tools, numbers, status, lock."""

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(session, "measure", parent)
        self.dialog: QDialog | None = None
        self._shown_reading: tuple | None = None
        self.nodes = ValueTable(measure_columns(), t("Nodes of this visit"), max_rows=7)
        self.nodes.chosen.connect(lambda row: session.select_node(row.node.node_id))
        self.no_nodes = WrapLabel(t("No nodes yet. Add one, then outline it."), tone="muted")
        self.add_button = QPushButton(t("Add node…"))
        self.add_button.setAccessibleName(t("Add node"))
        self.add_button.clicked.connect(self.ask_node)
        nodes = Section(t("Nodes"))
        nodes.body.addWidget(self.no_nodes)
        nodes.body.addWidget(self.nodes)
        self.details_button = QPushButton(t("Side and level…"))
        self.details_button.setAccessibleName(t("State or change side and level of the current node"))
        self.details_button.clicked.connect(lambda: self.ask_details())
        buttons = QHBoxLayout()
        buttons.addWidget(self.add_button, 1)
        buttons.addWidget(self.details_button, 1)
        nodes.body.addLayout(buttons)
        self.tools = ToolKeys(session)
        tools = self.volume_tools = Section(t("Outline"))
        tools.body.addWidget(self.tools)
        self.volume = BigFigure(t("Volume"))
        self.scale = ScaleSection(session)
        self.picture = PictureSection(session)
        self.contrast, self.contrast_results = ContrastSection(session), ContrastResultsSection(session)
        self.contrast_planes = ContrastPlanesSection(session)
        self.enhancing = EnhancingSection(session)
        self.grade = GradeSection(session)
        self.lesion = LesionSection(session)
        self.ellipsoid = EllipsoidSection(session)
        self.figures = FigureTable(t("Measurements"), max_rows=20)
        self.numbers = Section(t("Numbers"))
        self.numbers.body.addWidget(self.figures)
        self.warnings = FindingsList(t("Warnings about this node"), "")
        self.status = QComboBox()
        self.status.setAccessibleName(t("What was seen of the node"))
        for status in READER_STATUSES:
            self.status.addItem(status_names()[status.value], status.value)
        self.reason = QLineEdit()
        self.reason.setPlaceholderText(t("Reason (needed)"))
        self.reason.setAccessibleName(t("Reason"))
        self.reason.setMaxLength(200)
        self.set_status = QPushButton(t("Set"))
        self.set_status.setAccessibleName(t("Set status with this reason"))
        row = QHBoxLayout()
        row.addWidget(self.reason, 1)
        row.addWidget(self.set_status)
        self.locked_note = WrapLabel(tone="good", small=True)
        self.correct = QPushButton(t("Correct this reading…"))
        self.correct.setAccessibleName(t("Begin a correction of the locked reading"))
        self.correct.setToolTip(t("Makes a new version that can be edited; the locked one is kept. It needs a reason."))
        self.correct.setCheckable(True)
        self.correct.toggled.connect(self._ask_correction)
        seen = Section(t("Seen at this visit"))
        seen.body.addWidget(self.status)
        seen.body.addWidget(self.locked_note)
        seen.body.addWidget(self.correct)
        seen.body.addLayout(row)
        for part in (nodes, tools, self.scale, self.contrast, self.contrast_results, self.contrast_planes, self.picture, self.volume, self.warnings, self.enhancing, self.grade, self.ellipsoid, seen, self.lesion, self.numbers):
            self.content.addWidget(part)
        self.content.addStretch(1)
        self.status.activated.connect(self._status_chosen)
        self.reason.textChanged.connect(lambda text: self.set_status.setEnabled(bool(text.strip())))
        self.reason.returnPressed.connect(self._send_status)
        self.set_status.clicked.connect(self._send_status)
        self.primary.clicked.connect(self.ask_lock)
        session.node_details_needed.connect(self.ask_details)
        session.nodes_changed.connect(self.refresh)
        session.measurement_changed.connect(self._measured)
        session.readings_changed.connect(self.refresh)
        session.visit_changed.connect(self.refresh)
        session.study_changed.connect(self.refresh)
        session.calipers_changed.connect(self.refresh)
        session.picture_changed.connect(self.refresh)
        session.jobs.refused.connect(self._show_kept_status)
        self.refresh()
        reading = (*self.tools.buttons.values(), self.status, self.set_status, self.correct)
        gated = ((reading, ANY_READER), ((self.add_button,), ("add_nodes",)), ((self.details_button,), OWN_FIND_RIGHTS))
        self.gates = [RoleGate(session, widgets, rights, self.refresh) for widgets, rights in gated]

    # ---- showing ---------------------------------------------------------------------------
    def state(self) -> NodeState | None:
        """The current node at this visit, or None."""
        return self.session.nodes.get(self.session.current_node_id) if self.session.current_node_id else None

    def refresh(self) -> None:
        """Show everything anew."""
        session, state = self.session, self.state()
        rows = node_rows(session)
        self.nodes.set_rows(rows, lambda row: row.node.node_id == session.current_node_id)
        self.nodes.setVisible(bool(rows))
        self.no_nodes.setVisible(not rows)
        self.details_button.setEnabled(state is not None)
        self.volume_tools.setVisible(session.picture is None)  # a picture has its own
        self.ellipsoid.refresh(state)
        self._show_numbers(state)
        self._show_status(state)
        self._show_lock(state)
        self.show_needs()

    def _measured(self, node_id: str) -> None:
        """A measurement changed while the reader draws: numbers only, nothing is rebuilt."""
        session, state = self.session, self.state()
        self.nodes.set_rows(node_rows(session), lambda row: row.node.node_id == session.current_node_id)
        if node_id == session.current_node_id:
            self._show_numbers(state)
            self._show_lock(state)
        self.show_needs()

    def _show_numbers(self, state: NodeState | None) -> None:
        by_ellipsoid = self._shows_ellipsoid(state)
        figure = volume_figure(state, "ellipsoid" if by_ellipsoid else None)
        if self.session.picture is not None and figure.value is None and state is not None and state.reading is None:
            figure = replace(figure, reason=t("Needs two diameters on a longitudinal still and two on a transverse one."))
        self.volume.show_figure(figure)
        for part in (self.enhancing, self.grade, self.lesion):
            part.refresh(state)
        measurement = state.measurement if state is not None else None
        self.figures.show_figures(measurement_figures(measurement) if measurement is not None else [])
        self.numbers.setVisible(measurement is not None)
        found: list = []
        if state is not None and state.reading is not None and state.reading.state == ReadingState.LOCKED:
            found += state.reading.warnings
        elif by_ellipsoid:
            found += state.ellipsoid.warnings
        elif measurement is not None:
            found += (*measurement.warnings, *outline_findings(state))
        if state is not None:
            found += self.session.statement_doubts(state.node.node_id)
        self.warnings.show_findings(found)
        self.warnings.setVisible(bool(found))

    def _shows_ellipsoid(self, state: NodeState | None) -> bool:
        """True where the picture's diameters are what a lock would lock, so what the figure and its warnings are of."""
        return self.session.picture is not None and state is not None and self.session.lockable(state.node.node_id)[0] == "ellipsoid"

    def _show_status(self, state: NodeState | None) -> None:
        reading = state.reading if state is not None else None
        locked = reading is not None and reading.state == ReadingState.LOCKED
        self.tools.set_locked(locked, state is not None)
        self.status.setEnabled(state is not None and not locked)
        status = str(reading.status) if reading is not None else ReadingStatus.MEASURED.value
        shown = state.node.node_id if state is not None else None
        if (shown, reading) != self._shown_reading:  # a half-typed reason survives other refreshes
            self._shown_reading = (shown, reading)
            self.status.setCurrentIndex(self.status.findData(status))
            self.reason.clear()
            self.correct.setChecked(False)
            self._show_reason(False)
        self.correct.setVisible(locked)
        if locked:
            self.locked_note.show_text(
                t("Locked by {name} on {when} UTC: {meaning}. Not an electronic signature.").format(
                    name=reading.locked_by or "–", when=(reading.locked_utc or "–")[:16].replace("T", " "), meaning=t(reading.lock_meaning or "–")
                )
                + (f" {t('Reason')}: {reading.status_reason}." if reading.status_reason else "")
            )
        else:
            self.locked_note.show_text("")

    def _show_kept_status(self, _refusal) -> None:
        """A status that was chosen and refused does not stand there as if it were kept."""
        state = self.state()
        kept = ReadingStatus.MEASURED.value if state is None or state.reading is None else str(state.reading.status)
        if self.status.currentData() != kept and not self.reason.isVisible():
            self.status.setCurrentIndex(self.status.findData(kept))

    def _show_reason(self, shown: bool) -> None:
        self.reason.setVisible(shown)
        self.set_status.setVisible(shown)
        self.set_status.setEnabled(bool(self.reason.text().strip()))

    def _show_lock(self, state: NodeState | None) -> None:
        text = t("Lock reading…")
        if state is None:
            self.set_primary(text, False, t("Choose a node first."))
        elif state.reading is not None and state.reading.state == ReadingState.LOCKED:
            self.set_primary(t("Reading is locked"), False, t("A locked reading never changes."))
        elif self.session.lockable(state.node.node_id)[0] is None:
            self.set_primary(text, False, t(self.session.lockable(state.node.node_id)[1]))
        else:
            self.set_primary(t("Lock reading of {label}…").format(label=state.node.label), True, t("Type your name; the reading cannot change afterwards."))

    # ---- doing -----------------------------------------------------------------------------
    def ask_node(self) -> None:
        """Ask for a new node's name, side and level."""
        labels = [n.label for n in self.session.subject_nodes] + [s.node.label for s in self.session.nodes.values()]
        self.dialog = NewNodeDialog(labels, self.window())
        self.dialog.made.connect(self.session.add_node)
        self.dialog.open()

    def ask_details(self, node_id: str | None = None) -> None:
        """Ask for side and level of a node: of one just made by a click, or to change them; for a new node where there is none (``""``)."""
        if node_id == "":
            self.ask_node()
            return
        state = self.session.nodes.get(node_id or self.session.current_node_id or "")
        if state is None:
            return
        why = self.session.why_not_node(state.node.node_id)
        if why:
            self.session.notice.emit("info", why)
            return
        self.dialog = NodeDetailsDialog(state.node, self.window())
        self.dialog.stated.connect(lambda side, level, reason: self.session.set_node(state.node.node_id, side, level, reason))
        self.dialog.open()

    def ask_lock(self) -> None:
        """Ask for the name and meaning; the lock itself is the session's job."""
        state = self.state()
        if state is None:
            return
        if self.session.is_working_on(state.node.node_id):
            # The dialog must show the number that is locked, not the one before it.
            self.session.notice.emit("info", t("The numbers are still being worked out; lock in a moment."))
            return
        what, why_not = self.session.lockable(state.node.node_id)
        why_not = why_not or self.lesion.commit()  # what was typed last belongs to the lock, or is told
        if what is None or why_not:
            self.session.notice.emit("warning", why_not)
            return
        node, figure = state.node, volume_figure(state, what)
        visit = self.session.visit.name if self.session.visit is not None else "–"
        title = t("{label} · {visit} · reader {reader}").format(label=node.label, visit=visit, reader=self.session.reader)
        value = "\n".join(line for line in (figure.text if figure.value is not None else figure.reason, figure.interval_line, figure.source) if line)
        if what == "outline":
            value += f"\n{part_words(state)}"
        value = "\n".join((value, *statement_words(self.session.statement_of(node.node_id), self.session.grade_meanings())))
        gap = next((f for f in outline_findings(state) if f.code == "empty_slices"), None) if what == "outline" else None
        warnings = [row.message for row in self.warnings.rows if gap is None or row.message != gap.message]
        confirm = "" if gap is None else gap.message + " " + t("Cancel and fill them (I), or lock the outline as it is.")
        dialog = self.dialog = LockDialog(title, value, warnings, self.window(), confirm=confirm, signing=self.session.signing())
        dialog.locked.connect(lambda name, meaning: self.session.lock_reading(node.node_id, name, meaning, **dialog.proof()))
        self.dialog.open()

    def _needs_reason(self, state: NodeState, status: str) -> bool:
        """Not evaluable says why; so does every change of a reading that was saved before."""
        return status in NEEDS_REASON or (state.reading is not None and state.reading.state == ReadingState.MEASURED)

    def _status_chosen(self, _index: int) -> None:
        state, status = self.state(), self.status.currentData()
        if state is None:
            return
        if state.reading is not None and str(state.reading.status) == status:
            self._show_reason(False)
        elif status == ReadingStatus.MEASURED and state.reading is None:
            self._show_reason(False)  # nothing to record yet: the lock saves the measured reading
        elif self._needs_reason(state, status):
            self._show_reason(True)
            self.reason.setFocus(Qt.FocusReason.OtherFocusReason)
        else:
            self._show_reason(False)
            self.session.set_reading_status(state.node.node_id, status)

    def _ask_correction(self, asked: bool) -> None:
        self._show_reason(asked)
        if asked:
            self.reason.setFocus(Qt.FocusReason.OtherFocusReason)

    def _send_status(self) -> None:
        reason, state = self.reason.text().strip(), self.state()
        if state is None or not reason:
            return
        if self.correct.isVisible() and self.correct.isChecked():
            self.session.correct_reading(state.node.node_id, reason)
        else:
            self.session.set_reading_status(state.node.node_id, self.status.currentData(), reason)
