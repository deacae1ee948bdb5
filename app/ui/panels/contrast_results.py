"""What a contrast loop says of the current node: curves, numbers, maps, what still enhances, and the way into the reading."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QScrollArea, QSlider, QWidget

from app.ui.models.contrast import MAPPED, parameter_names, parameter_rows, region_name, region_refusal, unit_words
from app.ui.models.records import Column
from app.ui.panels.contrast_chart import ContrastChart
from app.ui.panels.contrast_earlier import EarlierSizes
from app.ui.text import said, t
from app.ui.widgets.figure_table import FigureTable
from app.ui.widgets.figures import Figure, number_text, volume_decimals
from app.ui.widgets.findings import FindingsList
from app.ui.widgets.key_button import key_button
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.palette import MUTED
from app.ui.widgets.sections import Section
from app.ui.widgets.tables import ValueTable
from app.usecases.perfusion_reading import holds_loop, is_joined

_key = partial(key_button, tab_only=True)


def parameter_columns() -> tuple[Column, ...]:
    """Quantity, value with its interval, ratio to the reference."""
    return (
        Column(t("Measure"), lambda r: r.label, lambda r: r.short + (f" {unit_words(r.unit)}" if r.unit == "s" else ""), tip=lambda r: r.tip, weight=8),
        Column(t("Value [95 %]"), lambda r: r.value, lambda r: r.value_text, tip=lambda r: r.tip, colour=lambda r: MUTED if r.value is None else None, weight=16, right=True),
        Column(t("Ratio [95 %]"), lambda r: r.ratio, lambda r: r.ratio_text, tip=lambda r: r.tip, colour=lambda r: MUTED if r.ratio is None else None, weight=13, right=True, heading_tip=t("To the reference region; of times of the loop the difference in s")),
    )


def residual_figures(result, node_ml: float | None, source: str) -> list[Figure]:
    """Vt, Va, Vv with ratios as figures, by the section's share."""
    found = result.assessment
    if found is None:
        return []
    share, interval = found.viable_pct, found.viable_interval_pct
    why = t("Not evaluable on this loop.") if share is None else t("The node has no volume at this visit yet: outline it, or draw its three diameters.")
    of = t("Share of this section, times the node's volume ({source}).").format(source=source) if source else ""
    viable = None if share is None or node_ml is None else share / 100 * node_ml
    viable_interval = None if viable is None or interval is None else tuple(v / 100 * node_ml for v in interval)
    rows = [
        Figure(t("Vt, the node"), node_ml, "ml", volume_decimals(node_ml), source=source, reason=why),
        Figure(t("Va, not enhancing"), None if viable is None else node_ml - viable, "ml", volume_decimals(None if viable is None else node_ml - viable), source=of, reason=why),
        Figure(t("Vv, enhancing"), viable, "ml", volume_decimals(viable), viable_interval, of, why),
        Figure(t("Vv / Vt of the section"), share, "%", 0, interval, t("Border at 0.6 and 0.4 instead of 0.5 of the level: the interval."), why),
        Figure(t("Va / Vt of the section"), None if share is None else 100 - share, "%", 0, reason=why),
    ]
    if found.rim_mm2:
        rows.append(Figure(t("Rim, not counted"), found.rim_mm2, "mm²", 1, source=t("Smooth and thin all round: expected after electroporation.")))
    return rows


class ContrastResultsSection(Section):
    """Shown once the current node was analysed on the loop on screen."""

    def __init__(self, session, parent: QWidget | None = None):
        super().__init__(t("Contrast: what it says"), parent=parent)
        self.session = session
        self._result: object = self
        self.grade = WrapLabel()
        self.reasons = WrapLabel(tone="muted", small=True)
        self.accept = _key("", t("The proposed grade becomes yours (Shift+U); another one is chosen below, under Residual enhancement"))
        self.accept.clicked.connect(session.accept_grade)
        self.take = _key(t("Take into the reading"), t("Enhancing and ablated part in ml, and the curves' numbers, go into this reading (Shift+W)"))
        self.take.clicked.connect(session.take_contrast)
        self.leave = _key(t("Take out again"), t("The reading takes its parts from elsewhere; undo brings it back"))
        self.leave.clicked.connect(lambda: session.drop_contrast_taken(session.current_node_id))
        self.taken = WrapLabel(tone="good", small=True)
        self.residual = FigureTable(t("Enhancing and not enhancing part"), max_rows=6)
        self.overlay = {}
        overlays = QHBoxLayout()
        overlays.setSpacing(4)
        for kind, name, key in (("enhancement", t("Enhancing"), "Y"), ("map", t("Map"), "Shift+Y")):
            button = _key(f"{name} {key}", t("Show it over the contrast picture, or take it away ({key})").format(key=key))
            button.setCheckable(True)
            button.clicked.connect(lambda _on=False, kind=kind: session.show_contrast_overlay(kind))
            overlays.addWidget(button, 1)
            self.overlay[kind] = button
        self.earlier = _key(t("Compare with Day 0") + " Shift+O", t("Zone drawn earlier, then the planned zone, then nothing: true size about the middle of today's node; two planes are never the same"))
        self.earlier.setCheckable(True)
        self.earlier.clicked.connect(lambda _on: session.toggle_earlier_shape())
        self.earlier_sizes = EarlierSizes(session)
        self.parameter = QComboBox()
        self.parameter.setAccessibleName(t("Parameter of the map"))
        names = parameter_names()
        for name in MAPPED:
            self.parameter.addItem(names[name], name)
        self.parameter.activated.connect(lambda _n: session.show_contrast_overlay(name=self.parameter.currentData()))
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(10, 100)
        self.opacity.setAccessibleName(t("Opacity of what lies over the contrast picture"))
        self.opacity.setToolTip(self.opacity.accessibleName())
        self.opacity.valueChanged.connect(lambda v: session.show_contrast_overlay(opacity=v / 100))
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.parameter, 1)
        row.addWidget(self.opacity, 1)
        self.chart = ContrastChart(session)
        self.region = QComboBox()
        self.region.setAccessibleName(t("Region of the table"))
        self.region.activated.connect(lambda _n: self._show_table())
        self.table = ValueTable(parameter_columns(), t("Numbers of the curve"), max_rows=11, row_height=21)
        self.table.setSortingEnabled(False)
        self.table_note = WrapLabel(tone="muted", small=True)
        self.findings = FindingsList(t("Findings of the analysis"), "")
        for part in (self.grade, self.reasons, self.accept, self.residual, self.take, self.leave, self.taken):
            self.body.addWidget(part)
        self.body.addLayout(overlays)
        self.body.addLayout(row)
        self.body.addWidget(self.earlier)
        self.body.addWidget(self.earlier_sizes)
        for part in (self.chart, self.region, self.table, self.table_note, self.findings):
            self.body.addWidget(part)
        for signal in (session.contrast_changed, session.picture_changed, session.nodes_changed, session.measurement_changed, session.readings_changed):
            signal.connect(self.refresh)
        self.refresh()

    # ---- showing ---------------------------------------------------------------------------
    def refresh(self, *_) -> None:
        """Show the analysis of the current node; hidden without one."""
        session, result = self.session, self.session.contrast_result()
        self.setVisible(result is not None)
        if result is None:
            self._result = None
            self.chart.show_result(None)
            return
        fresh = result is not self._result
        self._result = result
        self._show_grade(result)
        node_ml, source = session.contrast_node_ml()
        figures = residual_figures(result, node_ml, source)
        self.residual.show_figures(figures)
        self.residual.setVisible(bool(figures))
        for kind, button in self.overlay.items():
            button.setChecked(session.contrast_overlay == kind)
        self.earlier.setVisible(not session.is_blinded)
        self.earlier.setChecked(session.earlier_found is not None)
        self.earlier_sizes.refresh()
        self.overlay["map"].setEnabled(result.maps is not None)
        self.parameter.setEnabled(session.contrast_overlay == "map")
        self.parameter.setCurrentIndex(self.parameter.findData(session.contrast_map))
        self.opacity.blockSignals(True)
        self.opacity.setValue(round(100 * session.contrast_opacity))
        self.opacity.blockSignals(False)
        self.chart.show_result(result)
        if fresh:
            self._bring_into_view()
            self.region.clear()
            for region in result.regions:
                self.region.addItem(region_name(region), region.name)
            self._show_table()
            maps = () if result.maps is None else result.maps.findings
            own = () if result.assessment is None else result.assessment.findings
            found = dict.fromkeys((*own, *result.findings, *maps))
            self.findings.show_findings(found)
            self.findings.setVisible(bool(found))

    def _bring_into_view(self) -> None:
        """A fresh analysis is what the reader waited for."""
        above = self.parentWidget()
        while above is not None and not isinstance(above, QScrollArea):
            above = above.parentWidget()
        if above is not None:
            QTimer.singleShot(0, above, lambda: above.verticalScrollBar().setValue(self.y()))

    def _show_grade(self, result) -> None:
        session, proposed = self.session, self.session.proposed_grade()
        self.grade.setVisible(proposed is not None)
        self.reasons.setVisible(proposed is not None)
        self.accept.setVisible(proposed is not None)
        if proposed is not None:
            meaning = session.grade_meanings().get(proposed, "")
            self.grade.show_text(t("Proposed: grade {grade}, {meaning}").format(grade=t(proposed), meaning=meaning))
            reasons = [said(result.residual_refusal.message)] if result.assessment is None else [said(r) for r in result.assessment.reasons]
            self.reasons.show_text("\n".join(reasons))
            stated = session.statement_of(session.current_node_id)
            agreed = stated is not None and stated.grade == proposed
            self.accept.setText(t("Grade {grade} is yours").format(grade=t(proposed)) if agreed else t("Accept grade {grade}").format(grade=t(proposed)) + (" (Shift+U)" if session.loops_joined() is None else ""))
            self.accept.setEnabled(not agreed and not session.why_not_accept())
        node = session.current
        record = None if node is None else node.contrast_taken
        why = session.why_not_take()
        same = record is not None and holds_loop(record, result.input_sha256)
        self.take.setEnabled(not why and not same)
        self.take.setToolTip(why or t("Enhancing and ablated part in ml, and the curves' numbers, go into this reading (Shift+W)"))
        self.leave.setVisible(record is not None)
        self.taken.show_text("" if record is None else taken_words(session, node), "good" if same else "warning")

    def _show_table(self) -> None:
        name = self.region.currentData()
        if self._result is None or name is None:
            return
        region = self._result.region(name)
        rows = parameter_rows(region)
        self.table.set_rows(rows)
        self.table.setVisible(bool(rows))
        lines = [region_refusal(region)] if region_refusal(region) else []
        if region.fit is not None and region.fit.r_squared is not None:
            lines.append(t("R² {value} · {pixels} pixels").format(value=number_text(region.fit.r_squared, 3), pixels=int(region.mask.sum())))
        withheld = dict.fromkeys(r.why for r in rows if r.value is None and r.why)
        lines += [t("Withheld: {why}.").format(why=why) for why in withheld]
        lines += [said(f.message) for f in region.findings if f.severity != "info"]
        self.table_note.show_text("\n".join(lines))


def taken_words(session, node) -> str:
    """What a lock would keep of the loop, in one line."""
    part_of, (node_ml, _source) = session.contrast_part_work(node), session.contrast_node_ml(node.node.node_id)
    part = None if part_of is None or node_ml is None else part_of(node_ml)
    if node_ml is None:
        return t("In the reading: the share of the section; millilitres follow once the node has a volume.")
    if part is None or part.viable_ml is None:
        return t("In the reading: the numbers of the loop. Millilitres only where your grade agrees with the share.")
    words = t("In the reading: enhancing {viable} ml, not enhancing {ablated} ml, by both planes on contrast ultrasound") if is_joined(node.contrast_taken) else t("In the reading: enhancing {viable} ml, not enhancing {ablated} ml, by the share on contrast ultrasound")
    return words.format(
        viable=number_text(part.viable_ml, volume_decimals(part.viable_ml)), ablated=number_text(part.ablated_ml, volume_decimals(part.ablated_ml))
    )
