"""What is seen of a solved plan: surfaces or margin in 3D, margin figures, field over volume; and what leaves the study of it."""

from __future__ import annotations

from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QToolButton, QVBoxLayout, QWidget

from app.ui.models.plan import assessment_dict
from app.ui.models.records import Column
from app.ui.text import t
from app.ui.widgets.field_volume_chart import FieldVolumeChart, curves_of
from app.ui.widgets.figure_table import FigureTable
from app.ui.widgets.figures import Figure, number_text
from app.ui.widgets.key_button import key_button
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.sections import Section
from app.ui.widgets.tables import ValueTable


def margin_rows(answer: dict) -> list[Figure]:
    """Signed margins of each target: smallest, percentiles, shares of the surface."""
    out = []
    targets = answer.get("targets") or []
    for target in targets:
        shares, percentiles = target.get("margin_surface_below_pct") or {}, target.get("margin_percentiles_mm") or {}
        prefix = f"{target['name']}: " if len(targets) > 1 else ""
        if not shares:
            continue
        out.append(Figure(prefix + t("Smallest margin"), target.get("minimal_margin_mm"), "mm", 1, source=t("Signed distance from the target's surface to the lethal surface, below the voxel; negative where uncovered.")))
        for p, value in sorted(percentiles.items(), key=lambda kv: float(kv[0])):  # a kept run holds them by their letters
            if p in ("5", "25", "50"):
                out.append(Figure(prefix + t("Margin, {p}th percentile").format(p=p), value, "mm", 1, source=t("{p} % of the target's surface, by area, has a smaller margin.").format(p=p)))
        for limit, value in sorted(shares.items(), key=lambda kv: float(kv[0])):
            label = t("Surface not covered") if limit == "0" else t("Surface below {mm} mm").format(mm=limit)
            out.append(Figure(prefix + label, value, "%", 1, source=t("Share of the target's surface, by area, with a margin below {mm} mm.").format(mm=limit)))
    return out


def exposure_columns() -> tuple[Column, ...]:
    """What each structure gets at the low fields that are always told, and of heat."""

    def volume(level: str) -> Column:
        return Column(
            f"≥{level}", lambda r: (r.get("volume_ml_by_v_per_cm") or {}).get(level), lambda r: number_text((r.get("volume_ml_by_v_per_cm") or {}).get(level), 2),
            right=True, heading_tip=t("Volume at or above {v} V/cm, in ml").format(v=level), weight=5,
        )  # fmt: skip

    return (
        Column(t("At risk"), lambda r: r.get("name"), tip=lambda r: str(r.get("name")), weight=8),
        *(volume(level) for level in ("100", "200", "400")),
        Column("°C", lambda r: r.get("max_temperature_c"), lambda r: number_text(r.get("max_temperature_c"), 1), right=True, heading_tip=t("Hottest place in it, in °C"), weight=5),
        Column("Ω≥1", lambda r: r.get("thermal_damage_ml"), lambda r: number_text(r.get("thermal_damage_ml"), 2), right=True, heading_tip=t("Volume with thermal damage (Arrhenius 1 or more), in ml"), weight=5),
    )


class PlanDisplay(QWidget):
    """Three sections of the plan panel; hidden until there is a field to look at."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.dialog: QFileDialog | None = None
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(10)
        for section in (self._make_space(), self._make_exposure(), self._make_margins(), self._make_out()):
            box.addWidget(section)
        for signal in (session.plan_changed, session.field_changed, session.display_changed, session.study_changed, session.readings_changed):
            signal.connect(self.refresh)
        self.refresh()

    # ---- parts -----------------------------------------------------------------------------
    def _make_space(self) -> Section:
        section = Section(t("In 3D"))
        self.shows: dict[str, QToolButton] = {}
        row = QHBoxLayout()
        row.setSpacing(4)
        for what, title, tip in (
            ("field", t("Field surfaces"), t("Surfaces of the field, and the part of the target that it leaves")),
            ("margin", t("Margin map"), t("The target's surface in colours of its distance to the lethal surface, in mm")),
        ):
            button = key_button(title, tip)
            button.setCheckable(True)
            button.clicked.connect(lambda _on=False, what=what: self._show_what(what))
            self.shows[what] = button
            row.addWidget(button, 1)
        section.body.addLayout(row)
        self.levels_row = QHBoxLayout()
        self.levels_row.setSpacing(4)
        self.levels: dict[float, QToolButton] = {}
        self.levels_box = QWidget()
        self.levels_box.setLayout(self.levels_row)
        self.levels_row.setContentsMargins(0, 0, 0, 0)
        section.body.addWidget(self.levels_box)
        self.space = section
        return section

    def _make_exposure(self) -> Section:
        section = Section(t("Exposure of structures at risk"))
        self.exposed = ValueTable(exposure_columns(), t("Exposure of structures at risk"), max_rows=8)
        section.body.addWidget(self.exposed)
        section.body.addWidget(WrapLabel(t("ml at or above 100, 200, 400 V/cm; hottest; ml with thermal damage. No lower limit of harm is known for nerves."), tone="muted", small=True))
        self.exposure = section
        return section

    def _make_margins(self) -> Section:
        section = Section(t("Margins and field over volume"))
        self.margins = FigureTable(t("Margins of the target"), max_rows=16)
        self.chart = FieldVolumeChart()
        section.body.addWidget(self.margins)
        section.body.addWidget(self.chart)
        self.numbers = section
        return section

    def _make_out(self) -> Section:
        section = Section(t("Plan sheet and DICOM"))
        self.why = WrapLabel(tone="muted", small=True)
        self.sheet_button = QPushButton(t("Plan sheet…"))
        self.sheet_button.setAccessibleName(t("Plan sheet"))
        self.sheet_button.clicked.connect(lambda _on=False: self.ask_sheet())
        self.dicom_button = QPushButton(t("Field and zone as DICOM…"))
        self.dicom_button.setAccessibleName(t("Field and zone as DICOM"))
        self.dicom_button.clicked.connect(lambda _on=False: self.ask_dicom())
        for part in (self.why, self.sheet_button, self.dicom_button):
            section.body.addWidget(part)
        self.out = section
        return section

    # ---- showing ---------------------------------------------------------------------------
    def refresh(self) -> None:
        """Follow the field on screen."""
        session, plan = self.session, self.session.plan
        answer = assessment_dict(session.assessment)
        self.space.setVisible(session.solution is not None)
        has_margin = bool(getattr(session.assessment, "margins", None))
        for what, button in self.shows.items():
            button.setChecked(session.scene_shows == what)
        self.shows["margin"].setEnabled(has_margin or session.scene_shows == "margin")
        self.shows["margin"].setToolTip(
            t("The target's surface in colours of its distance to the lethal surface, in mm") if has_margin else t("The margin map is there for a field solved here with a target that it reaches.")
        )
        self._show_levels(tuple(sorted({*plan.thresholds_v_per_cm, plan.lethal_v_per_cm})))
        self.levels_box.setVisible(session.scene_shows == "field")
        self.exposed.set_rows(answer.get("at_risk") or [])
        self.exposure.setVisible(bool(answer.get("at_risk")))
        rows, curves = margin_rows(answer), curves_of(answer)
        self.margins.show_figures(rows)
        self.margins.setVisible(bool(rows))
        self.chart.setVisible(bool(curves))
        if curves:
            self.chart.show_curves(curves, plan.thresholds_v_per_cm, plan.lethal_v_per_cm)
        self.numbers.setVisible(bool(rows or curves))
        self._show_out(answer)

    def _show_levels(self, levels: tuple[float, ...]) -> None:
        session, lethal = self.session, self.session.plan.lethal_v_per_cm
        if tuple(self.levels) != levels:
            for button in self.levels.values():
                self.levels_row.removeWidget(button)
                button.deleteLater()
            self.levels = {}
            for level in levels:
                button = key_button(number_text(level, 0), "")
                button.setCheckable(True)
                button.clicked.connect(lambda on, level=level: session.show_surface(level, on))
                self.levels[level] = button
                self.levels_row.addWidget(button, 1)
        shown = session.surfaces_in_scene()
        for level, button in self.levels.items():
            button.setChecked(level in shown)
            button.setEnabled(level != lethal)
            button.setAccessibleName(t("Surface at {v} V/cm").format(v=number_text(level, 0)))
            button.setToolTip(t("The lethal surface is always shown") if level == lethal else t("Show the surface at {v} V/cm").format(v=number_text(level, 0)))

    def _show_out(self, answer: dict) -> None:
        session = self.session
        final = bool(answer) and not session.field_is_preview
        self.out.setVisible(final)
        if not final:
            return
        refused = [c for c in answer.get("constraints", ()) if c.get("level") == "refuse"]
        kept = session.shown_run_id
        busy = session.jobs.is_busy("plan-out")
        need = t("An export is being written.") if busy else "" if kept is not None else t("Save the plan run first: sheet and DICOM name the run that they belong to.")
        no_sheet = t("This plan is refused: it has no plan sheet.") if refused else need
        self.why.show_text(no_sheet or t("Of plan run {run}.").format(run=kept), "danger" if refused else "muted")
        self.sheet_button.setEnabled(not no_sheet)
        self.sheet_button.setToolTip(no_sheet or t("Needles, pairs, coverage, structures at risk, doubts and pictures on A4 pages, as PDF"))
        self.dicom_button.setEnabled(not need)
        self.dicom_button.setToolTip(need or t("Field as Parametric Map (V/m) and the lethal zone as Segmentation, on the volume of this visit; no treatment sheet"))

    # ---- doing -----------------------------------------------------------------------------
    def _show_what(self, what: str) -> None:
        self.session.show_in_scene(what)
        self.refresh()  # a second press on the same key must not switch it off

    def ask_sheet(self) -> None:
        """Ask for the file; the dialog does not block the window."""
        chooser = self._chooser(t("Plan sheet"))
        chooser.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        chooser.setDefaultSuffix("pdf")
        chooser.setNameFilter(t("PDF files (*.pdf)"))
        chooser.selectFile(f"plan-{self.session.subject_id}-{self.session.shown_run_id}.pdf")
        chooser.fileSelected.connect(self.session.export_plan_sheet)
        chooser.open()

    def ask_dicom(self) -> None:
        """Ask for the folder."""
        chooser = self._chooser(t("Folder for the DICOM files"))
        chooser.setFileMode(QFileDialog.FileMode.Directory)
        chooser.setOption(QFileDialog.Option.ShowDirsOnly, True)
        chooser.fileSelected.connect(self.session.export_plan_dicom)
        chooser.open()

    def _chooser(self, title: str) -> QFileDialog:
        from PySide6.QtCore import Qt

        self.dialog = QFileDialog(self.window(), title)
        self.dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        return self.dialog
