"""The margin that an ablation reached, in the follow-up step: lesion and zone from the two visits laid beside each other."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCheckBox, QComboBox, QGridLayout, QLabel, QPushButton, QSizePolicy

from app.ui.models.records import Column
from app.ui.session_ablation_margin import MEASURING
from app.ui.text import t
from app.ui.widgets.figures import DASH, Figure, number_text
from app.ui.widgets.findings import FindingsList
from app.ui.widgets.job_line import JobLine
from app.ui.widgets.labels import BigFigure, WrapLabel
from app.ui.widgets.palette import DANGER, MUTED
from app.ui.widgets.sections import Section
from app.ui.widgets.tables import ValueTable
from app.usecases.ablation_margin import POOR_MM


@dataclass(frozen=True, slots=True)
class MarginRow:
    """One figure of the whole surface and of the surface away from the capsule (None: not known)."""

    name: str
    unit: str
    decimals: int
    whole: float | None
    away: float | None
    tip: str
    bad_below_zero: bool = False


def margin_figures(row: dict, capsule_mm: float) -> list[MarginRow]:
    """Rows from a lesion of ``MarginAnswer.to_dict``."""
    away = row["without_capsule"] or {}

    def both(*keys: str) -> tuple[float | None, float | None]:
        found = []
        for value in (row, away):
            for key in keys:
                value = (value or {}).get(key)
            found.append(value)
        return found[0], found[1]

    out = [
        MarginRow(t("Smallest"), "mm", 1, *both("minimal_margin_mm"), t("Smallest signed distance from the lesion's surface to the zone's; negative where the lesion lies outside the zone"), True),
        MarginRow(t("5th percentile"), "mm", 1, *both("margin_mm_percentiles", "5"), t("5 % of the lesion's surface, by area, has a smaller margin"), True),
        MarginRow(t("Median"), "mm", 1, *both("margin_mm_percentiles", "50"), t("Half of the lesion's surface, by area, has a smaller margin"), True),
    ]
    for mm in ("0", "5", "10"):
        out.append(MarginRow(t("Surface < {mm} mm").format(mm=mm), "%", 1, *both("surface_below_pct", mm), t("Share of the lesion's surface, by area, with a margin below {mm} mm").format(mm=mm)))
    return out


def margin_columns(capsule_mm: float) -> tuple[Column, ...]:
    """Figure, whole surface, surface away from the capsule."""

    def colour(r: MarginRow, value: float | None):
        return MUTED if value is None else DANGER if r.bad_below_zero and value < 0 else None

    def text(r: MarginRow, value: float | None) -> str:
        return DASH if value is None else f"{number_text(value, r.decimals)} {r.unit}"

    away = t("The surface farther than {mm} mm from the liver's capsule; a dash where no liver is outlined, or nothing of the surface is left").format(mm=f"{capsule_mm:g}")
    return (
        Column(t("Margin"), lambda r: r.name, tip=lambda r: r.tip, weight=11),
        Column(t("All"), lambda r: r.whole, lambda r: text(r, r.whole), tip=lambda r: r.tip, right=True, heading_tip=t("The whole surface of the lesion"), colour=lambda r: colour(r, r.whole), weight=7),
        Column(t("Off capsule"), lambda r: r.away, lambda r: text(r, r.away), tip=lambda r: r.tip, right=True, heading_tip=away, colour=lambda r: colour(r, r.away), weight=8),
    )


class AblationMarginSection(Section):
    """Lesion, zone and liver, the key that measures, and what was found."""

    def __init__(self, session, parent=None):
        super().__init__(t("Margin after ablation"), parent=parent)
        self.session = session
        self.boxes: dict[str, QComboBox] = {}
        self.captions: dict[str, QLabel] = {}
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(6)
        grid.setColumnStretch(1, 1)
        for n, (key, text, tip) in enumerate((
            ("lesion", t("&Lesion"), t("The lesion as it was outlined before the ablation, at the earlier visit")),
            ("zone", t("&Zone"), t("The ablation zone as it was outlined after it, at the later visit; not what is left of the lesion")),
            ("liver", t("Li&ver"), t("Outline of the liver at the earlier visit: its surface is the capsule, where a zone cannot reach beyond the liver")),
        )):  # fmt: skip
            box = QComboBox()
            box.setToolTip(tip)
            box.setAccessibleName(text.replace("&", ""))
            box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            box.wheelEvent = lambda event: event.ignore()  # scrolling the panel changes nothing
            box.activated.connect(lambda _n, key=key, box=box: session.choose_ablation(**{key: box.currentData()}))
            caption = QLabel(text)
            caption.setBuddy(box)
            grid.addWidget(caption, n, 0)
            grid.addWidget(box, n, 1)
            self.boxes[key], self.captions[key] = box, caption
        self.words = WrapLabel(small=True, tone="muted")
        self.doubt = WrapLabel(small=True, tone="warning")
        self.why = WrapLabel(small=True, tone="warning")
        self.measure = QPushButton(t("Measure margin"))
        self.measure.setAccessibleName(t("Measure margin"))
        self.measure.clicked.connect(lambda _checked=False: self._measure())
        self.job = JobLine(session, MEASURING, t("Stop"), t("End it; nothing of it is kept"), session.stop_ablation_margin)
        self.smallest = BigFigure(t("Smallest margin"))
        self.table = ValueTable(margin_columns(5.0), t("Margin after ablation"), max_rows=6)
        self.table.setSortingEnabled(False)
        self.error = WrapLabel(small=True)
        self.warnings = FindingsList(t("Warnings about the margin"), "")
        self.in_scene = QCheckBox(t("Bands on the lesion in 3D"))
        self.in_scene.setToolTip(t("The lesion's surface in bands of its margin, on the pictures on screen"))
        self.in_scene.clicked.connect(session.show_ablation_in_scene)
        self.body.addLayout(grid)
        for part in (self.words, self.doubt, self.why, self.measure, self.job, self.smallest, self.table, self.error, self.in_scene, self.warnings):
            self.body.addWidget(part)
        for signal in (session.ablation_changed, session.visit_changed, session.study_changed, session.image_changed):
            signal.connect(self.refresh)
        self.refresh()

    def refresh(self, *_args) -> None:
        """Follow the session."""
        s = self.session
        self.setVisible(bool(s.comparable_visits()) or s.comparison is not None)
        sides, choice, result = s.ablation_sides(), s.ablation_choice, s.ablation
        for key, box in self.boxes.items():
            box.setVisible(sides is not None)
            self.captions[key].setVisible(sides is not None)
        self.words.show_text("")
        if sides is not None:
            earlier, later = sides
            self._fill("lesion", earlier, choice.lesion, [])
            self._fill("zone", later, choice.zone, [])
            self._fill("liver", earlier, choice.liver, [(t("not outlined"), None)])
            self.words.show_text(t("Lesion of {earlier}, carried to {later}, against the zone outlined there.").format(earlier=earlier.visit.name, later=later.visit.name))
        self.doubt.show_text(s.ablation_doubt())
        why = s.why_no_ablation_margin()
        self.why.show_text(s.ablation_refusal or why, "danger" if s.ablation_refusal else "muted" if sides is None else "warning")
        self.measure.setEnabled(not why and not s.is_measuring_ablation)
        self.measure.setToolTip(why or t("Signed distances below the voxel, in mm; a job that can be stopped"))
        self.measure.setVisible(sides is not None and result is None)
        if not s.is_measuring_ablation:
            self.job.hide()
        for part in (self.smallest, self.table, self.in_scene):
            part.setVisible(result is not None)
        self.error.show_text("")
        self.warnings.setVisible(False)
        if result is not None:
            self._show(result)

    def _show(self, result) -> None:
        answer = result.answer.to_dict()
        row, residual = answer["lesions"][0], answer["registration"]["residual_mm"]
        least, less = row["minimal_margin_mm"], row["margin_less_residual_mm"]
        if residual is None:
            words = t("The registration's error is not known: the margin may be off by more than it says.")
        else:
            words = t("{low} mm if the registration is off by its error just there").format(low=number_text(less, 1))
        self.smallest.show_figure(Figure(t("Smallest margin of {name}").format(name=result.labels[0]), least, "mm", 1, source=words, reason=t("Not known.")))
        self.table.set_rows(margin_figures(row, answer["capsule_mm"]))
        how = {"automatic": t("by content"), "landmarks": t("by landmarks")}.get(answer["registration"]["method"], answer["registration"]["method"])
        error = t("error not known") if residual is None else t("error {mm} mm").format(mm=number_text(residual, 1))
        capsule = t(" No liver is chosen: surface at its capsule counts, where no zone can reach farther.") if row["without_capsule"] is None else ""
        self.error.show_text(t("Registered {how}, {error}.").format(how=how, error=error) + capsule, "warning" if residual is None or residual > POOR_MM else "muted")
        self.in_scene.blockSignals(True)
        self.in_scene.setChecked(self.session.ablation_in_scene)
        self.in_scene.blockSignals(False)
        notes = [{"code": w["code"], "severity": w.get("severity", "warning"), "message": w["message"]} for w in answer["warnings"]]
        self.warnings.show_findings(notes)
        self.warnings.setVisible(bool(notes))

    def _fill(self, key: str, side, current: str | None, first: list) -> None:
        box, items = self.boxes[key], [*first, *((f"{label} · {side.visit.name}", i) for i, label in side.labels.items())]
        box.blockSignals(True)
        box.clear()
        for text, data in items:
            box.addItem(text, data)
        box.setCurrentIndex(next((n for n, (_, data) in enumerate(items) if data == current), -1))
        box.setPlaceholderText(t("Choose"))
        box.blockSignals(False)

    def _measure(self) -> None:
        self.job.begin()
        self.session.measure_ablation_margin()
