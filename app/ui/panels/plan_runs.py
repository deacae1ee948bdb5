"""What a plan is kept under, the runs kept so far, and what can be done with one: open it, lay needles as they lie, record, compare."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCheckBox, QComboBox, QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QWidget

from app.ui.models.plan_runs import point_columns, point_rows, run_columns, run_words, session_names, shift_columns
from app.ui.panels.plan_delivered import LookBox
from app.ui.text import t
from app.ui.widgets.key_button import key_button
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.sections import Section
from app.ui.widgets.tables import NumberDelegate, ValueTable

FARTHEST_MM = 2000.0


def line(*widgets: QWidget) -> QHBoxLayout:
    """Widgets side by side, of equal width."""
    row = QHBoxLayout()
    row.setSpacing(4)
    for widget in widgets:
        row.addWidget(widget, 1)
    return row


def set_items(box: QComboBox, items: list[tuple[str, object]], current) -> None:
    """Fill a choice without telling anybody."""
    box.blockSignals(True)
    box.clear()
    for text, data in items:
        box.addItem(text, data)
    box.setCurrentIndex(next((n for n, (_, data) in enumerate(items) if data == current), -1))
    box.blockSignals(False)


class PlacementBox(QWidget):
    """Needles as they lie: every end with its coordinates, and how far each needle is off."""

    def __init__(self, session, parent=None):
        super().__init__(parent)
        self.session = session
        self.words = WrapLabel(tone="accent")
        self.points = ValueTable(point_columns(self._type), t("Ends of the needles as they lie"), max_rows=12)
        for column in (1, 2, 3):
            self.points.setItemDelegateForColumn(column, NumberDelegate(-FARTHEST_MM, FARTHEST_MM, 1.0, 1, self.points))
        self.points.selectionModel().selectionChanged.connect(lambda *_: self._show_pick())
        self.pick = key_button(t("Put at crosshair"))
        self.pick.clicked.connect(lambda _checked=False: self._pick())
        self.stop = key_button(t("Stop laying"), t("The needles stay as drawn and become a plan of their own"))
        self.stop.clicked.connect(lambda _checked=False: session.end_placement())
        self.shifts = ValueTable(shift_columns(), t("Needles as they lie against the plan"), max_rows=6)
        self.still = WrapLabel(tone="warning", small=True)
        box = QGridLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setVerticalSpacing(6)
        box.addWidget(self.words, 0, 0)
        box.addWidget(self.points, 1, 0)
        box.addLayout(line(self.pick, self.stop), 2, 0)
        box.addWidget(self.shifts, 3, 0)
        box.addWidget(self.still, 4, 0)

    def refresh(self) -> None:
        """Follow the session."""
        placement = self.session.placement
        self.setVisible(placement is not None)
        if placement is None:
            return
        self.words.show_text(t("Needles as they lie, of plan {run}. Drag them (P), type, or put an end at the crosshair; then solve and save. Dashed green: as planned.").format(run=placement.run_id))
        self.points.set_rows(point_rows(self.session.plan.needles, placement.planned))
        found = self.session.placement_found()
        self.shifts.set_rows(found["needles"])
        notes = []
        if not any(n["tip_shift_mm"] > 0 or n["angle_deg"] > 1e-6 for n in found["needles"]):
            notes.append(t("No needle was moved yet: kept like this it says that all lie as planned."))
        for ids, words in ((found["needles_only_planned"], t("Planned, not laid: {ids}.")), (found["needles_only_actual"], t("Laid, not planned: {ids}."))):
            if ids:
                notes.append(words.format(ids=", ".join(ids)))
        if placement.picked:
            notes.append(t("Picked in {picture}.").format(picture=placement.picked))
        self.still.show_text(" ".join(notes))
        self._show_pick()

    def _show_pick(self) -> None:
        row, s = self.points.current_row(), self.session
        self.pick.setEnabled(row is not None and s.image is not None and s.picture is None)
        if s.picture is not None:
            tip = t("This ultrasound picture has no place in the volume: show the volume, or type the coordinates.")
        elif row is None:
            tip = t("Select an end in the table first")
        else:
            tip = t("{name} to the crosshair").format(name=row.name)
            link = s._picked_through()
            if link:
                tip += "\n" + t("The crosshair of the visit beside counts here through the registration: {link}").format(link=link)
        self.pick.setToolTip(tip)

    def _pick(self) -> None:
        row = self.points.current_row()
        if row is not None:
            self.session.lay_at_crosshair(row.needle.id, row.end)

    def _type(self, row, axis: int, value: float) -> None:
        point = list(row.point_mm)
        point[axis] = value
        self.session.lay_point(row.needle.id, row.end, point)


class PlanRunsSection(Section):
    """Session and predecessor of the plan on screen, the kept runs of its node, and what to do with one."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(t("Plan runs"), parent=parent)
        self.session = session
        self.which = QComboBox()
        self.which.setToolTip(t("Session of treatment that this plan is for; kept with the run"))
        self.which.activated.connect(lambda _n: session.set_plan_session(self.which.currentData()))
        self.follows = QComboBox()
        self.follows.setToolTip(t("The run that this plan follows; proposed, and yours to change"))
        self.follows.activated.connect(lambda _n: session.set_plan_follows(self.follows.currentData()))
        self.target = QComboBox()
        self.target.setToolTip(t("What the field must cover"))
        self.target.activated.connect(lambda _n: session.set_target_from(self.target.currentData()))
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(1, 1)
        self.captions: list[QLabel] = []
        for row, (text, box) in enumerate(((t("Sessi&on"), self.which), (t("&Follows"), self.follows), (t("Tar&get is"), self.target))):
            caption = QLabel(text)
            caption.setBuddy(box)
            self.captions.append(caption)
            box.setAccessibleName(text.replace("&", ""))
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            box.wheelEvent = lambda event: event.ignore()  # scrolling the panel changes nothing
            grid.addWidget(caption, row, 0)
            grid.addWidget(box, row, 1)
        self.follows_words = WrapLabel(small=True, tone="muted")
        self.target_words = WrapLabel(small=True, tone="warning")
        self.earlier = QCheckBox(t("Show the earlier zone"))
        self.earlier.setToolTip(t("The zone of the run that this plan follows, at its lethal field, in slices and 3D"))
        self.earlier.clicked.connect(session.show_earlier_zone)
        self.earlier_words = WrapLabel(small=True)
        self.mark = WrapLabel(tone="accent", small=True)
        self.placing = PlacementBox(session)
        self.none = WrapLabel(t("No run of this node is kept yet."), tone="muted")
        self.runs = ValueTable(run_columns(self._visit_name), t("Kept plan runs"), max_rows=6)
        self.runs.chosen.connect(lambda row: self._look(row.plan_run_id))
        self.runs.activated_row.connect(lambda row: session.open_plan_run(row.plan_run_id))
        self.selected = WrapLabel(small=True)
        self.open = key_button(t("Open as draft"), t("Copy this run into the plan on screen with the field kept with it; the run never changes"))
        self.open.clicked.connect(lambda _checked=False: self._with(session.open_plan_run))
        self.lay = key_button(t("Needles as they lie"), "")
        self.lay.clicked.connect(lambda _checked=False: self._with(session.start_placement))
        self.deliver = key_button(t("Delivered…"), t("Record what the generator delivered for this run, or correct a record"))
        self.deliver.clicked.connect(lambda _checked=False: self._with(session.ask_delivery))
        self.beside = QComboBox()
        self.beside.setAccessibleName(t("Compare the selected run with"))
        self.beside.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.beside.setMinimumHeight(28)
        self.beside.activated.connect(self._compare)
        self.look = LookBox(session)
        self.body.addLayout(grid)
        for part in (self.follows_words, self.target_words, self.earlier, self.earlier_words, self.placing, self.mark, self.none, self.runs, self.selected):
            self.body.addWidget(part)
        self.body.addLayout(line(self.open, self.lay))
        self.body.addLayout(line(self.deliver, self.beside))
        self.body.addWidget(self.look)
        self._selected_id: str | None = None
        for signal in (session.kept_runs_changed, session.plan_changed, session.field_changed, session.nodes_changed, session.study_changed, session.visit_changed, session.comparison_changed, session.image_changed, session.picture_changed, session.thermal_changed):
            signal.connect(self.refresh)
        session.measurement_changed.connect(self._show_target)
        session.delivery_asked.connect(self._ask_delivery)
        session.plans_side_by_side.connect(self._show_side_by_side)
        self.refresh()

    # ---- showing ---------------------------------------------------------------------------
    def refresh(self, *_args) -> None:
        """Follow the session."""
        s = self.session
        placing = s.placement is not None
        set_items(self.which, [(name, value) for value, name in session_names().items()], s.plan_session)
        for box in (self.which, self.follows, self.target):
            box.setEnabled(not placing)
        electric = s.modality == "ire"
        for part in (self.which, self.captions[0], self.target, self.captions[2]):  # rounds are the needles'; all outlines are lesions
            part.setVisible(electric)
        self._show_follows(placing)
        self._show_target()
        words, tone = s.earlier_words()
        self.earlier.blockSignals(True)
        self.earlier.setChecked(s.earlier_wanted)
        self.earlier.blockSignals(False)
        self.earlier.setVisible(electric and (s.earlier_wanted or s.plan_follows is not None))
        self.earlier_words.show_text(words, tone)
        self.placing.refresh()
        run = s.field_run
        self.mark.show_text("" if run is None else t("On screen: run {run} as it was kept, with its field. Change anything and it is a new plan.").format(run=run.plan_run_id))
        rows = s.node_runs()
        if self._selected_id not in {r.plan_run_id for r in rows}:
            self._selected_id = None
        self.runs.set_rows(rows, lambda r: r.plan_run_id == self._selected_id)
        self.runs.setVisible(bool(rows))
        self.none.setVisible(not rows)
        self._show_selected()

    def _show_follows(self, placing: bool) -> None:
        s = self.session
        rows = [r for r in s.node_runs() if r.node_id is not None and r.thermal == (s.modality != "ire")]
        set_items(self.follows, [(t("No run"), None), *((run_words(r), r.plan_run_id) for r in rows)], s.plan_follows)
        kept = s.kept_run(s.plan_follows)
        if placing:
            text, tone = t("Session and node are those of the plan {run}.").format(run=s.placement.run_id), "muted"
        elif s.plan_session is None and s.modality == "ire":
            text, tone = t("The session is not stated: choose Day 0 or salvage before you save."), "warning"
        elif kept is not None:
            how = t("proposed: the newest that fits") if s.follows_is_proposed else t("your choice")
            text, tone = t("Follows {run}: {words} ({how}).").format(run=kept.plan_run_id, words=run_words(kept), how=how), "muted"
        else:
            text, tone = t("Follows no run: none fits.") if s.follows_is_proposed else t("Follows no run: your choice."), "muted"
        self.follows_words.show_text(text, tone)

    def _show_target(self, *_node) -> None:
        s = self.session
        items = [(t("The outline"), "outline"), (t("Its enhancing part"), "enhancing")]
        if s.target_run is not None and s.plan.targets:
            items.append((t("As kept in {run}").format(run=s.target_run), "run"))
        set_items(self.target, items, s.target_from)
        words = ""
        if s.target_from == "enhancing":
            mask = s.enhancing_target()
            if mask is None:
                words = t("No enhancing part is assessed for this node at this visit: state its threshold in step 2.")
            else:
                ml = float(mask.array.sum()) * mask.geometry.voxel_size_mm3 / 1000.0
                words = t("Residual part of {ml} ml. Only these voxels count as node; the rest of the outline is background tissue in the field.").format(ml=f"{ml:.2f}")
        elif s.target_from == "run":
            words = t("The target as the run holds it, not the outline of now.")
        self.target_words.show_text(words if s.modality == "ire" else "")

    def _show_selected(self) -> None:
        s, run = self.session, self.session.kept_run(self._selected_id)
        for button in (self.open, self.lay, self.deliver):
            button.setEnabled(run is not None)
        why = "" if run is not None else t("Select a run in the table first")
        if run is not None and run.thermal:
            self.deliver.setEnabled(False)
        self.deliver.setToolTip(t("A plan of RFA or cryo + RF has no pulses") if run is not None and run.thermal else t("Record what the generator delivered for this run, or correct a record"))
        planned = run is not None and run.kind != "actual" and not run.thermal
        self.lay.setEnabled(planned and s.placement is None)
        if run is not None and not planned:
            why = t("Needles as they lie are laid for plans of an electric field.") if run.thermal else t("This run holds needles as they lie already; choose its plan.")
        self.lay.setToolTip(why or t("Start from this run's needles and lay them as they were found on CT or ultrasound"))
        for part in (self.selected, self.open, self.lay, self.deliver, self.beside):
            part.setVisible(bool(s.node_runs()))
        self.selected.show_text("" if run is None else f"{run.plan_run_id}: {run_words(run)}. " + (t("Refused: {codes}.").format(codes=", ".join(run.refused)) if run.refused else ""), "danger" if run is not None and run.refused else "")
        others = [(t("Compare with…"), "")]
        if run is not None:
            if s.thermal is not None if run.thermal else s.assessment is not None and not s.field_is_preview:
                others.append((t("The plan on screen"), None))
            others += [(run_words(r), r.plan_run_id) for r in s.node_runs() if r.plan_run_id != run.plan_run_id and r.thermal == run.thermal]
        set_items(self.beside, others, "")
        self.beside.setEnabled(len(others) > 1)

    def _visit_name(self, visit_id: str | None) -> str:
        return next((v.name for v in self.session.visits if v.visit_id == visit_id), "")

    # ---- doing -----------------------------------------------------------------------------
    def select(self, plan_run_id: str) -> None:
        """Stand on a run."""
        self._selected_id = plan_run_id
        self.refresh()
        self.session.look_at_run(plan_run_id)

    def _look(self, plan_run_id: str) -> None:
        self._selected_id = plan_run_id
        self._show_selected()
        self.session.look_at_run(plan_run_id)

    def _with(self, do) -> None:
        if self._selected_id is not None:
            do(self._selected_id)

    def _compare(self, index: int) -> None:
        other = self.beside.itemData(index)
        self.beside.setCurrentIndex(0)
        if self._selected_id is not None and other != "":
            self.session.compare_plan_runs(self._selected_id, other)

    def _ask_delivery(self, run, records) -> None:
        from app.ui.dialogs.delivery import DeliveryDialog

        wrong = records[-1] if records else None  # a session has one record; another value for it is a correction
        dialog = DeliveryDialog(run, self.session.reader, wrong, self.window())
        dialog.given.connect(
            lambda pairs, by, date, note, replaces, reason: self.session.record_delivery(run.plan_run_id, pairs, entered_by=by, date=date, note=note, replaces=replaces, reason=reason)
        )
        self.dialog = dialog
        dialog.destroyed.connect(self._dialog_gone)
        dialog.open()

    def _dialog_gone(self, *_args) -> None:
        self.dialog = None

    def _show_side_by_side(self, found) -> None:
        from app.ui.session_thermal_runs import ThermalSides
        from app.ui.views.compare_plans import ComparePlansWindow
        from app.ui.views.compare_thermal import CompareThermalWindow

        kind = CompareThermalWindow if isinstance(found, ThermalSides) else ComparePlansWindow
        self.comparing = kind(self.session, found, self.window())
        self.comparing.show()
