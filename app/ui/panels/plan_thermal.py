"""RFA and cryo + RF in the Plan step: what is planned with, a setting a needle, the zones and what they cover, the solved course."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from app.ui.models.records import Column
from app.ui.session_thermal import BIOHEAT, COARSE_MM, MODALITIES, NOTHING, modality_names
from app.ui.text import t
from app.ui.views.thermal_zones import criterion_words
from app.ui.widgets.figure_table import FigureTable
from app.ui.widgets.figures import Figure, number_text
from app.ui.widgets.findings import FindingsList
from app.ui.widgets.job_line import JobLine
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.palette import DANGER
from app.ui.widgets.sections import Section
from app.ui.widgets.tables import ValueTable

FULL_PCT = 99.9


def lesion_columns() -> tuple[Column, ...]:
    """Name, cover with its spread, smallest margin, share of the surface below the margin aimed at."""
    def spread(r: dict) -> str:
        low_high = r.get("coverage_pct_spread")
        return "" if low_high is None else t("{low} to {high} % with zones smaller and larger by their spread").format(low=number_text(low_high[0], 1), high=number_text(low_high[1], 1))

    return (
        Column(t("Lesion"), lambda r: r["name"], tip=lambda r: r["name"], weight=8),
        Column(t("ml"), lambda r: r["volume_ml"], lambda r: number_text(r["volume_ml"], 1), right=True, weight=5),
        Column("%", lambda r: r["coverage_pct"], lambda r: number_text(r["coverage_pct"], 1), tip=spread, right=True, heading_tip=t("Share of the lesion inside the zones"), colour=lambda r: DANGER if r["coverage_pct"] < FULL_PCT else None, weight=6),
        Column(t("low %"), lambda r: (r.get("coverage_pct_spread") or [None])[0], lambda r: number_text((r.get("coverage_pct_spread") or [None])[0], 0), tip=spread, right=True, heading_tip=t("The same with zones smaller by their spread"), weight=6),
        Column("mm", lambda r: r["minimal_margin_mm"], lambda r: number_text(r["minimal_margin_mm"], 1), right=True, heading_tip=t("Smallest signed margin, in mm; negative where uncovered"), weight=5),
        Column("<5", lambda r: (r["surface_below_pct"] or {}).get("5"), lambda r: number_text((r["surface_below_pct"] or {}).get("5"), 0), right=True, heading_tip=t("Share of the surface with a margin below 5 mm, in %"), weight=5),
    )


def criterion_columns() -> tuple[Column, ...]:
    """Zones of the solved course: criterion, volume, worst cover, smallest margin."""
    return (
        Column(t("Solved zone"), lambda r: r["name"], tip=lambda r: r["name"], weight=11),
        Column("ml", lambda r: r["ml"], lambda r: number_text(r["ml"], 1), right=True, weight=5),
        Column("%", lambda r: r["cover"], lambda r: number_text(r["cover"], 1), right=True, heading_tip=t("Cover of the lesion that is covered least"), weight=5),
        Column("mm", lambda r: r["margin"], lambda r: number_text(r["margin"], 1), right=True, heading_tip=t("Smallest signed margin of all lesions, in mm"), weight=6),
    )


def zone_figures(answer: dict) -> list[Figure]:
    """Zone, share of the liver, rounds, structures at risk."""
    spread = answer["zone_ml_spread"]
    between = "" if spread is None else t("{low} to {high} ml with the spread of the chart").format(low=number_text(spread[0], 1), high=number_text(spread[1], 1))
    out = [Figure(t("Chart zones together"), answer["zone_ml"], "ml", 1, source=between)]
    liver = answer["liver"]
    if liver is None:
        out.append(Figure(t("Share of the liver"), None, "%", 1, reason=t("No outline is chosen as the liver.")))
    else:
        out.append(Figure(t("Share of the liver"), 100 * liver["ablated_fraction"], "%", 1, source=t("{ml} ml liver with its lesions").format(ml=number_text(liver["volume_ml"], 0))))
    if len(answer["rounds"]) > 1:
        out += [Figure(t("Up to round {n}").format(n=r["round"]), r["cumulative_ml"], "ml", 1) for r in answer["rounds"]]
    for row in answer["at_risk"]:
        out.append(Figure(t("Zone to {name}").format(name=row["name"]), row["zone_distance_mm"], "mm", 1, source=t("Signed distance; negative where a zone reaches in ({ml} ml).").format(ml=number_text(row["overlap_ml"], 2))))
    return out


def criterion_rows(answer: dict) -> list[dict]:
    """One row a criterion of the solved course."""
    heat = answer["bioheat"]
    rows = []
    for name, zone in ({} if heat is None else heat["zones"]).items():
        margins = [x["minimal_margin_mm"] for x in zone["lesions"] if x["minimal_margin_mm"] is not None]
        rows.append({"name": criterion_words(name), "ml": zone["zone_ml"], "cover": min((x["coverage_pct"] for x in zone["lesions"]), default=None), "margin": min(margins, default=None)})
    return rows


class NeedleSetting(QFrame):
    """Device, setting, round and pull-back of one needle."""

    def __init__(self, session, needle_id: str, parent: QWidget | None = None):
        super().__init__(parent)
        self.session, self.needle_id = session, needle_id
        name = QLabel(needle_id)
        self.setting = QComboBox()
        self.setting.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setting.setAccessibleName(t("Device and setting of needle {id}").format(id=needle_id))
        for device in session.thermal_device_list():
            for row in device.rows:
                self.setting.addItem(f"{row.setting}{' *' if row.to_dict()['assumed'] else ''}", (device.id, row.setting))
                size = t("{along} × {across} mm, spread {a} and {b} mm").format(along=f"{row.along.value:g}", across=f"{row.across.value:g}", a=f"{row.along.spread:g}", b=f"{row.across.spread:g}")
                self.setting.setItemData(self.setting.count() - 1, f"{device.title}\n{size}\n{row.source}", Qt.ItemDataRole.ToolTipRole)
        self.setting.activated.connect(lambda _n: self._choose())
        self.round = QSpinBox()
        self.round.setRange(1, 9)
        self.round.setPrefix(t("round "))
        self.round.setAccessibleName(t("Round of needle {id}").format(id=needle_id))
        self.round.valueChanged.connect(lambda n: session.set_needle_choice(needle_id, round=n))
        self.back = QDoubleSpinBox()
        self.back.setRange(0, 60)
        self.back.setDecimals(0)
        self.back.setPrefix(t("back "))
        self.back.setSuffix(" mm")
        self.back.setSpecialValueText(t("no pull-back"))
        self.back.setToolTip(t("Apply a second time after pulling the needle back this far"))
        self.back.setAccessibleName(t("Pull-back of needle {id}").format(id=needle_id))
        self.back.setKeyboardTracking(False)
        self.back.valueChanged.connect(lambda mm: session.set_needle_choice(needle_id, pull_back_mm=mm))
        for box in (self.round, self.back):
            box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            box.wheelEvent = lambda event: event.ignore()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 2)
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(3)
        grid.addWidget(name, 0, 0)
        grid.addWidget(self.setting, 0, 1, 1, 2)
        grid.addWidget(self.round, 1, 1)
        grid.addWidget(self.back, 1, 2)
        grid.setColumnMinimumWidth(0, 24)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(2, 1)

    def _choose(self) -> None:
        device, setting = self.setting.currentData()
        self.session.set_needle_choice(self.needle_id, device=device, setting=setting)

    def refresh(self) -> None:
        """Follow the session."""
        choice = self.session.needle_choice(self.needle_id)
        for n in range(self.setting.count()):
            if tuple(self.setting.itemData(n)) == (choice.device, choice.setting):
                self.setting.setCurrentIndex(n)
        self.setting.setToolTip(str(self.setting.itemData(self.setting.currentIndex(), Qt.ItemDataRole.ToolTipRole)))
        for box, value in ((self.round, choice.round), (self.back, choice.pull_back_mm)):
            box.blockSignals(True)
            box.setValue(value)
            box.blockSignals(False)


class ThermalSection(Section):
    """Settings and zones. ``ModalityBar`` shows it in place of the sections of the electric field."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(t("Zones"), parent=parent)
        self.session = session
        self.prior = WrapLabel(t("A prior from normal animal liver: it does not predict volumes in patients. No setting here is a manufacturer's chart; * : size or place assumed."), tone="warning", small=True)
        self.none = WrapLabel(t("Place a needle; its zone appears at once."), tone="muted")
        self.rows_box = QVBoxLayout()
        self.rows_box.setSpacing(2)
        self.rows: dict[str, NeedleSetting] = {}
        self._rows_of = ""
        self.liver = QComboBox()
        self.liver.setAccessibleName(t("Outline of the liver"))
        self.liver.setToolTip(t("The outline that the ablated share is counted in; all other outlines are lesions"))
        self.liver.activated.connect(lambda _n: session.set_liver(self.liver.currentData()))
        liver_row = QHBoxLayout()
        caption = QLabel(t("&Liver"))
        caption.setBuddy(self.liver)
        liver_row.addWidget(caption)
        liver_row.addWidget(self.liver, 1)
        self.state_text = WrapLabel(small=True)
        self.lesions = ValueTable(lesion_columns(), t("Cover of the lesions"), max_rows=6)
        self.figures = FigureTable(t("Zones"), max_rows=12)
        self.constraints = FindingsList(t("Constraints"), "")
        self.solve = QPushButton(t("Solve freezing and heating"))
        self.solve.setAccessibleName(t("Solve freezing and heating"))
        self.solve.setToolTip(t("The bioheat equation in even liver on cubes of {mm} mm: no large vessels; each application begins at body temperature").format(mm=f"{COARSE_MM:g}"))
        self.solve.clicked.connect(lambda _checked=False: self._solve())
        self.job = JobLine(session, BIOHEAT, t("Stop"), t("End it; the chart zones stay"), session.stop_bioheat)
        self.course = ValueTable(criterion_columns(), t("Zones of the solved course"), max_rows=8)
        self.course_words = WrapLabel(tone="warning", small=True)
        self.save = QPushButton(t("Write zones…"))
        self.save.setAccessibleName(t("Write zones"))
        self.save.setToolTip(t("Label maps of the zones and the plan with its figures, into a folder"))
        self.save.clicked.connect(lambda _checked=False: self._save())
        self.kept = WrapLabel(tone="accent", small=True)
        self.keep = QPushButton(t("Save plan run"))
        self.keep.setAccessibleName(t("Save plan run"))
        self.keep.clicked.connect(lambda _checked=False: session.save_thermal_run())
        self.dialog: QFileDialog | None = None
        self.body.addWidget(self.prior)
        self.body.addWidget(self.none)
        self.body.addLayout(self.rows_box)
        self.body.addLayout(liver_row)
        for part in (self.state_text, self.lesions, self.figures, self.constraints, self.solve, self.job, self.course, self.course_words, self.kept, self.keep, self.save):
            self.body.addWidget(part)
        for signal in (session.thermal_changed, session.plan_changed, session.nodes_changed, session.visit_changed, session.study_changed):
            signal.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Follow the session."""
        s = self.session
        if s.modality in ("ire", NOTHING):
            return
        ids = [n.id for n in s.plan.needles]
        if list(self.rows) != ids or self._rows_of != s.modality:
            for row in self.rows.values():
                self.rows_box.removeWidget(row)
                row.hide()
                row.deleteLater()
            self.rows, self._rows_of = {i: NeedleSetting(s, i, self) for i in ids}, s.modality
            for row in self.rows.values():
                self.rows_box.addWidget(row)
        for row in self.rows.values():
            row.refresh()
        self.none.setVisible(not ids)
        self._show_livers()
        thermal = s.thermal
        answer = None if thermal is None else thermal.answer()
        self.state_text.show_text(s.thermal_refusal or ("" if answer or not ids else t("Joining zones…")), "danger" if s.thermal_refusal else "muted")
        self.lesions.set_rows([] if answer is None else answer["lesions"])
        self.lesions.setVisible(bool(answer and answer["lesions"]))
        self.figures.show_figures([] if answer is None else zone_figures(answer))
        self.figures.setVisible(answer is not None)
        notes = [] if answer is None else [{"code": c["code"], "severity": c["level"], "message": c["message"]} for c in answer["constraints"]]
        self.constraints.show_findings(notes)
        self.constraints.setVisible(bool(notes))
        rows = [] if answer is None else criterion_rows(answer)
        self.course.set_rows(rows)
        self.course.setVisible(bool(rows))
        self.course_words.show_text("" if not rows else " ".join(t(w["message"]) for w in answer["warnings"] if w["code"].startswith("bioheat")).replace("_", " "), "warning")
        self.solve.setEnabled(answer is not None and not s.is_solving_bioheat)
        self.solve.setVisible(bool(ids))
        if not s.is_solving_bioheat:
            self.job.hide()
        self.save.setVisible(answer is not None)
        run, why = s.thermal_run, s.why_no_thermal_save()
        self.kept.show_text("" if run is None else t("On screen: run {run} as it was kept, with its zones. Change anything and it is a new plan.").format(run=run.plan_run_id))
        self.keep.setVisible(answer is not None and run is None)
        self.keep.setEnabled(not why)
        self.keep.setToolTip(why or t("Keep plan, zones and figures in the study; a saved run never changes. Its rounds are those of the needles."))

    def _show_livers(self) -> None:
        s = self.session
        outlined = [(state.node.label, i) for i, state in s.nodes.items() if state.draft is not None and not state.draft.is_empty]
        wanted = [(t("not outlined"), None), *outlined]
        if [(self.liver.itemText(n), self.liver.itemData(n)) for n in range(self.liver.count())] != wanted:
            self.liver.clear()
            for label, node_id in wanted:
                self.liver.addItem(label, node_id)
        self.liver.setCurrentIndex(next((n for n, (_, i) in enumerate(wanted) if i == s.liver_node_id), 0))

    def _solve(self) -> None:
        self.job.begin()
        self.session.solve_bioheat()

    def _save(self) -> None:
        self.dialog = QFileDialog(self, t("Folder for the zones"))
        self.dialog.setFileMode(QFileDialog.FileMode.Directory)
        self.dialog.setOption(QFileDialog.Option.ShowDirsOnly, True)
        self.dialog.fileSelected.connect(self.session.save_thermal)
        self.dialog.open()


class ModalityBar(QWidget):
    """What is planned with, at the head of the panel. ``field_parts`` belong to the electric field alone."""

    def __init__(self, panel, thermal: ThermalSection, field_parts: list[QWidget], parent: QWidget | None = None):
        super().__init__(parent)
        self.panel, self.session, self.thermal, self.field_parts = panel, panel.session, thermal, field_parts
        session = self.session
        self.choice = QComboBox()
        self.choice.setAccessibleName(t("Plan with"))
        self.choice.setToolTip(t("IRE plans the electric field; RFA and cryo + RF plan zones in the liver"))
        names = modality_names()
        for modality in MODALITIES:
            self.choice.addItem(names[modality], modality)
        self.choice.activated.connect(lambda _n: session.set_modality(self.choice.currentData()))
        caption = QLabel(t("Plan &with"))
        caption.setBuddy(self.choice)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(caption)
        row.addWidget(self.choice, 1)
        self._hidden: list[QWidget] = []
        self._shown = "ire"
        for signal in (session.thermal_changed, session.plan_changed, session.visit_changed, session.study_changed, session.nodes_changed, session.field_changed, session.measurement_changed):
            signal.connect(self.refresh)
        self.refresh()

    def refresh(self, *_of) -> None:
        """Show what belongs to the modality. A part that hides itself is not brought back."""
        ire = self.session.modality in ("ire", NOTHING)
        self.choice.setCurrentIndex(self.choice.findData(self.session.modality))
        self.thermal.setVisible(not ire)
        turned, self._shown = (self._shown == "ire") != ire, "ire" if ire else self.session.modality
        if turned and not ire:
            self.panel.refresh()  # the target's tissue is no part of it
        if ire:
            if self._hidden:
                for part in self._hidden:
                    part.setVisible(True)
                self._hidden = []
                self.panel.refresh()
            return
        for part in self.field_parts:
            if not part.isHidden():
                part.setVisible(False)
                if part not in self._hidden:
                    self._hidden.append(part)


def add_thermal(panel) -> ThermalSection:
    """Put the choice at the head of the Plan panel, and the zones below the needles; called when its other parts follow the session."""
    thermal = ThermalSection(panel.session)
    widgets = [panel.content.itemAt(n).widget() for n in range(panel.content.count())]
    needles = next(n for n, w in enumerate(widgets) if w is not None and w.isAncestorOf(panel.needles))
    shared = {n for n, w in enumerate(widgets) if w is None or w.isAncestorOf(panel.target) or n == needles or w is panel.runs}
    field = [w for n, w in enumerate(widgets) if n not in shared] + [panel.anatomy, panel.assumed, panel.target, panel.no_target, panel.primary.parentWidget()]
    panel.content.insertWidget(needles + 1, thermal)
    bar = ModalityBar(panel, thermal, field)
    panel.content.insertWidget(0, bar)
    thermal.bar = bar
    return thermal
