"""Step 3: the needles, the pulses, the field they make, and what it covers."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from app.ui.dialogs.new_node import side_names
from app.ui.models.plan import (
    assessment_dict,
    at_risk_columns,
    gating_names,
    is_assumed,
    needle_columns,
    needle_rows,
    pair_columns,
    pair_rows,
    result_figures,
    solver_figures,
    structure_columns,
    structure_rows,
)
from app.ui.panels.plan_anatomy import AnatomyBox
from app.ui.panels.plan_display import PlanDisplay
from app.ui.panels.plan_optimise import OptimiseSection
from app.ui.panels.plan_robustness import RobustnessSection
from app.ui.panels.plan_runs import PlanRunsSection
from app.ui.panels.plan_schematic import SchematicSection
from app.ui.panels.plan_session import SessionAsk
from app.ui.panels.plan_thermal import add_thermal
from app.ui.panels.threshold import ThresholdChooser
from app.ui.session import Session
from app.ui.text import t
from app.ui.widgets.figure_table import FigureTable
from app.ui.widgets.figures import Figure, number_text
from app.ui.widgets.findings import FindingsList
from app.ui.widgets.gauge import CurrentGauge
from app.ui.widgets.key_button import key_button
from app.ui.widgets.labels import BigFigure, WrapLabel
from app.ui.widgets.role_gate import RoleGate
from app.ui.widgets.sections import Section, StepPanel
from app.ui.widgets.tables import ChoiceDelegate, NumberDelegate, ValueTable
from app.usecases.plan import NeedleDraft, tissue_presets
from planning.safety import DeviceLimits

MAX_NEEDLES = 6
SOLVING = "Solving the field"  # title of the session's job


class PlanPanel(StepPanel):
    """Target, needles, pairs, threshold and display; results once the field is solved."""

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(session, "plan", parent)
        self.content.addWidget(self._make_target())
        self.schematic = SchematicSection(session)
        self.content.addWidget(self.schematic)
        self.content.addWidget(self._make_needles())
        self.content.addWidget(self._make_pulses())
        self.optimise = OptimiseSection(session)
        self.content.addWidget(self.optimise)
        self.content.addWidget(self._make_field())
        self.content.addWidget(self._make_results())
        self.display = PlanDisplay(session)
        self.content.addWidget(self.display)
        self.robustness = RobustnessSection(session)
        self.content.addWidget(self.robustness)
        self.runs = PlanRunsSection(session)
        self.content.addWidget(self.runs)
        self.content.addStretch(1)
        self.primary.clicked.connect(lambda _checked=False: session.solve())
        session.plan_changed.connect(self.refresh)
        session.field_changed.connect(self.refresh)
        session.display_changed.connect(self.refresh_display)
        session.nodes_changed.connect(self.refresh)
        session.kept_runs_changed.connect(self._show_primary)
        session.measurement_changed.connect(self._show_outlines)
        session.study_changed.connect(self.refresh)
        session.visit_changed.connect(self.refresh)
        session.tool_changed.connect(self._show_tool)
        session.jobs.progressed.connect(self._job_moved)
        self._shown_solved = False
        self.refresh()
        self.refresh_display()
        self.thermal = add_thermal(self)
        self.gate = RoleGate(session, self._of_planners(), ("plan",), self._refresh_all)

    def _of_planners(self) -> list[QWidget]:
        """What only somebody who may plan has on."""
        own = [*self.suggest.values(), self.place, self.remove, self.add_structure, self.drop_structure, self.primary, self.save_button]
        return [*own, self.optimise.start, self.optimise.take, self.robustness.start, self.schematic.place, self.runs.lay, self.runs.deliver, self.thermal.solve, self.thermal.keep, *self.session_ask.keys.values()]

    def _refresh_all(self) -> None:
        for part in (self, self.optimise, self.robustness, self.schematic, self.runs, self.thermal, self.session_ask):
            part.refresh()

    # ---- parts -----------------------------------------------------------------------------
    def _make_target(self) -> Section:
        section = Section(t("Target and structures"))
        self.target = QComboBox()
        self.target.setAccessibleName(t("Target of the plan"))
        self.target.setToolTip(t("The node that the field must cover; it needs an outline"))
        self.target.activated.connect(lambda _n: self.session.set_plan_target(self.target.currentData()))
        self.no_target = WrapLabel(t("No target: outline a node in step 2 first."), tone="muted")
        self.structures = ValueTable(structure_columns(), t("Target and structures at risk"), max_rows=6)
        self.assumed = WrapLabel(tone="warning", small=True)
        self.add_structure = key_button(t("Add structure"), t("Click inside a vessel or airway that the field must spare (A)"))
        self.add_structure.setCheckable(True)
        self.add_structure.clicked.connect(lambda _checked=False: self._take("structure"))
        self.drop_structure = key_button(t("Remove structure"), "")
        self.drop_structure.clicked.connect(self._remove_structure)
        hand = QHBoxLayout()
        hand.setSpacing(4)
        hand.addWidget(self.add_structure, 1)
        hand.addWidget(self.drop_structure, 1)
        self.structures.selectionModel().selectionChanged.connect(lambda *_: self._show_remove())
        self.anatomy = AnatomyBox(self.session)
        for part in (self.no_target, self.target, self.structures):
            section.body.addWidget(part)
        section.body.addLayout(hand)
        section.body.addWidget(self.anatomy)
        section.body.addWidget(self.assumed)
        return section

    def _make_needles(self) -> Section:
        section = Section(t("Needles"))
        self.needles = ValueTable(needle_columns(self._change_needle), t("Needles"), max_rows=MAX_NEEDLES)
        self.needles.setItemDelegateForColumn(2, NumberDelegate(2.0, 60.0, 1.0, 1, self.needles))
        self.needles.setItemDelegateForColumn(3, NumberDelegate(0.5, 3.0, 0.1, 2, self.needles))
        self.needles.selectionModel().selectionChanged.connect(lambda *_: self._show_remove())
        self.no_needles = WrapLabel(t("No needles yet. Let two be suggested around the current node, or place them yourself."), tone="muted")
        suggest = QHBoxLayout()
        suggest.setSpacing(4)
        caption = QLabel(t("Suggest"))
        suggest.addWidget(caption)
        self.suggest: dict[int, QToolButton] = {}
        for count in (2, 3, 4):
            button = key_button(str(count), t("{n} parallel needles around the target, as a start to be moved").format(n=count))
            button.setAccessibleName(t("Suggest {n} needles").format(n=count))
            button.clicked.connect(lambda _checked=False, count=count: self.session.suggest_needles(count))
            self.suggest[count] = button
            suggest.addWidget(button, 1)
        self.place = key_button(t("Place needle P"), t("Click entry then tip, or tip then entry, in any two panes (P)"))
        self.place.setCheckable(True)
        self.place.clicked.connect(lambda _checked=False: self._take("needle"))
        self.remove = key_button(t("Remove needle"), "")
        self.remove.clicked.connect(self._remove_needle)
        hand = QHBoxLayout()
        hand.setSpacing(4)
        hand.addWidget(self.place, 1)
        hand.addWidget(self.remove, 1)
        section.body.addWidget(self.no_needles)
        section.body.addWidget(self.needles)
        section.body.addLayout(suggest)
        section.body.addLayout(hand)
        return section

    def _make_pulses(self) -> Section:
        section = Section(t("Pulses"))
        self.pairs = ValueTable(pair_columns(self._change_pair), t("Needle pairs and pulses"), max_rows=15)
        self.pairs.setItemDelegateForColumn(2, NumberDelegate(100, 3000, 50, 0, self.pairs))
        self.pairs.setItemDelegateForColumn(4, NumberDelegate(1, 500, 10, 0, self.pairs))
        self.pairs.setItemDelegateForColumn(5, NumberDelegate(1, 200, 5, 0, self.pairs))
        self.pairs.setItemDelegateForColumn(6, ChoiceDelegate(gating_names().values(), self.pairs))
        self.v_per_cm = QDoubleSpinBox()
        self.v_per_cm.setRange(100, 3000)
        self.v_per_cm.setSingleStep(50)
        self.v_per_cm.setDecimals(0)
        self.v_per_cm.setSuffix(" V/cm")
        self.v_per_cm.setValue(1500)
        self.v_per_cm.setKeyboardTracking(False)
        self.v_per_cm.setAccessibleName(t("Voltage over distance for all pairs"))
        self.v_per_cm.setToolTip(t("Voltage over distance for all pairs; a single pair is changed in the table"))
        self.v_per_cm.valueChanged.connect(self._change_all_pairs)
        caption = QLabel(t("&All pairs"))
        caption.setBuddy(self.v_per_cm)
        row = QHBoxLayout()
        row.addWidget(caption)
        row.addWidget(self.v_per_cm, 1)
        self.gauges_box = QWidget()
        self.gauges = QVBoxLayout(self.gauges_box)
        self.gauges.setContentsMargins(0, 2, 0, 0)
        self.gauges.setSpacing(2)
        self.gauge_widgets: list[CurrentGauge] = []
        self.pulses_box = QWidget()
        box = QVBoxLayout(self.pulses_box)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(6)
        box.addLayout(row)
        box.addWidget(self.pairs)
        box.addWidget(self.gauges_box)
        self.no_pairs = WrapLabel(t("Pairs appear with the second needle."), tone="muted")
        section.body.addWidget(self.no_pairs)
        section.body.addWidget(self.pulses_box)
        return section

    def _make_field(self) -> Section:
        section = Section(t("Field"))
        self.lethal = ThresholdChooser()
        self.lethal.changed.connect(self._change_lethal)
        self.margin = QDoubleSpinBox()
        self.margin.setRange(0, 20)
        self.margin.setSingleStep(1)
        self.margin.setDecimals(1)
        self.margin.setSuffix(" mm")
        self.margin.setKeyboardTracking(False)
        self.margin.setAccessibleName(t("Margin around the target"))
        self.margin.valueChanged.connect(self._change_margin)
        self.shown = QCheckBox(t("&Show field"))
        self.shown.toggled.connect(lambda on: self.session.set_field_display(shown=on))
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setPageStep(10)
        self.opacity.setAccessibleName(t("Opacity of the field, percent"))
        self.opacity.valueChanged.connect(lambda v: self.session.set_field_display(opacity=v / 100))
        self.opacity_text = QLabel("45 %")
        self.opacity_text.setMinimumWidth(40)
        self.opacity_text.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        grid = QGridLayout()
        grid.setHorizontalSpacing(8)
        grid.setVerticalSpacing(6)
        lethal_caption, margin_caption = QLabel(t("&Lethal field")), QLabel(t("&Margin"))
        lethal_caption.setBuddy(self.lethal.choice)
        margin_caption.setBuddy(self.margin)
        grid.addWidget(lethal_caption, 0, 0)
        grid.addWidget(self.lethal, 0, 1)
        grid.addWidget(margin_caption, 1, 0)
        grid.addWidget(self.margin, 1, 1)
        grid.addWidget(self.shown, 2, 0)
        slide = QHBoxLayout()
        slide.addWidget(self.opacity, 1)
        slide.addWidget(self.opacity_text)
        grid.addLayout(slide, 2, 1)
        grid.setColumnStretch(1, 1)
        section.body.addLayout(grid)
        return section

    def _make_results(self) -> Section:
        section = Section(t("Result"))
        self.state_text = WrapLabel(small=True)
        self.coverage = BigFigure(t("Target covered"))
        self.constraints = FindingsList(t("Constraints"), "")
        self.figures = FigureTable(t("Result of the plan"), max_rows=30)
        self.at_risk = ValueTable(at_risk_columns(), t("Structures at risk"), max_rows=8)
        self.solver = Section(t("Solver report"), folded=True)
        self.solver_figures = FigureTable(t("Solver report"), max_rows=10)
        self.solver.body.addWidget(self.solver_figures)
        self.save_button = QPushButton(t("Save plan run"))
        self.save_button.setAccessibleName(t("Save plan run"))
        self.save_button.clicked.connect(lambda _checked=False: self.session.save_plan())
        self.session_ask = SessionAsk(self.session)
        for part in (self.state_text, self.coverage, self.constraints, self.session_ask, self.save_button, self.figures, self.at_risk, self.solver):
            section.body.addWidget(part)
        return section

    # ---- showing ---------------------------------------------------------------------------
    def refresh(self) -> None:
        """Show the plan on screen and, where it is solved, its results."""
        session, plan = self.session, self.session.plan
        answer = assessment_dict(session.assessment)
        self._show_target()
        self.needles.set_rows(needle_rows(plan))
        self.needles.setVisible(bool(plan.needles))
        self.no_needles.setVisible(not plan.needles)
        self.pairs.set_rows(pair_rows(plan, answer))
        self.no_pairs.setVisible(not plan.pairs)
        self.pulses_box.setVisible(bool(plan.pairs))
        if plan.pairs and len({p.v_per_cm for p in plan.pairs}) == 1:
            _set_quietly(self.v_per_cm, plan.pairs[0].v_per_cm)
        self.lethal.show_value(plan.lethal_v_per_cm)
        _set_quietly(self.margin, plan.margin_mm)
        self._show_gauges(answer)
        self._show_results(answer)
        self._show_tool()
        self._show_remove()
        self._show_primary()
        self.show_needs()

    def _show_outlines(self) -> None:
        # An outline appeared or went; while a stroke is painted nothing here needs to be rebuilt.
        count = sum(_has_outline(state) for state in self.session.nodes.values())
        if count != self.target.count():
            self.refresh()

    def refresh_display(self) -> None:
        """Opacity and visibility as the session has them."""
        session = self.session
        _set_quietly(self.opacity, round(session.field_opacity * 100))
        self.opacity_text.setText(f"{round(session.field_opacity * 100)} %")
        self.shown.blockSignals(True)
        self.shown.setChecked(session.show_field)
        self.shown.blockSignals(False)

    def _show_target(self) -> None:
        session, plan = self.session, self.session.plan
        outlined = [(node_id, state.node) for node_id, state in session.nodes.items() if _has_outline(state)]
        wanted = session.plan_target_id or session.current_node_id
        self.target.blockSignals(True)
        self.target.clear()
        for node_id, node in outlined:
            self.target.addItem(f"{node.label} · {side_names().get(str(node.side), '')} {node.level}", node_id)
        at = self.target.findData(wanted)
        self.target.setCurrentIndex(at)
        self.target.setPlaceholderText(t("Choose the target"))
        self.target.blockSignals(False)
        self.target.setVisible(bool(outlined))
        self.no_target.setVisible(not outlined and not plan.targets)
        presets = tissue_presets()
        label = next((node.label for node_id, node in outlined if node_id == wanted), None)
        rows = structure_rows(plan, plan.targets[0][0] if session.is_schematic else label, presets)
        if session.modality != "ire":  # the tissue of a target is the electric field's
            rows = [r for r in rows if r.role != "target"]
        self.structures.set_rows(rows)
        self.structures.setVisible(bool(rows))
        self.anatomy.refresh()
        names = {r.tissue for r in rows if r.assumed} | ({plan.background} if is_assumed(presets, plan.background) else set())
        assumed = ", ".join(sorted(t(n).replace("_", " ") for n in names))
        self.assumed.show_text(t("* Assumed conductivity: {names}. The field is an estimate.").format(names=assumed) if assumed and rows else "")

    def _show_gauges(self, answer: dict) -> None:
        limit = DeviceLimits().current_most_a
        pairs = answer.get("pairs", [])
        while len(self.gauge_widgets) < len(pairs):
            gauge = CurrentGauge()
            self.gauges.addWidget(gauge)
            self.gauge_widgets.append(gauge)
        for n, gauge in enumerate(self.gauge_widgets):
            gauge.setVisible(n < len(pairs))
            if n < len(pairs):
                pair = pairs[n]
                gauge.show_current(t("Predicted current {a} → {c}").format(a=pair.get("anode"), c=pair.get("cathode")), pair.get("current_a"), limit, t("Not computed."))
        self.gauges_box.setVisible(bool(pairs))

    def _show_results(self, answer: dict) -> None:
        session, plan = self.session, self.session.plan
        solved = bool(answer)
        targets = answer.get("targets", [])
        self.coverage.setVisible(solved)
        if solved:
            first = min(targets, key=lambda x: x.get("coverage_pct") or 0.0, default=None)
            if first is None:
                self.coverage.show_figure(Figure(t("Target covered"), None, reason=t("The plan has no target.")))
            else:
                margin = first.get("minimal_margin_mm")
                words = t("At or above {v} V/cm, smallest margin {m}").format(v=number_text(plan.lethal_v_per_cm, 0), m="–" if margin is None else f"{number_text(margin, 1)} mm")
                self.coverage.show_figure(Figure(t("{name} covered").format(name=first["name"]), first.get("coverage_pct"), "%", 1, source=words, reason=t("Not known.")))
        notes = [{"code": c["code"], "level": c.get("level", "warn"), "message": _constraint_words(c)} for c in answer.get("constraints", ())]
        notes += [{"code": w["code"], "severity": "warning", "message": w["message"]} for w in answer.get("warnings", ())]
        self.constraints.show_findings(notes)
        self.constraints.setVisible(bool(notes))
        figures = result_figures(answer, plan.lethal_v_per_cm, plan.margin_mm)
        self.figures.show_figures(figures)
        self.figures.setVisible(bool(figures))
        at_risk = answer.get("at_risk", [])
        self.at_risk.set_rows(at_risk)
        self.at_risk.setVisible(bool(at_risk))
        solver = solver_figures(answer)
        self.solver_figures.show_figures(solver)
        self.solver.setVisible(bool(solver))
        if not solved:
            self.state_text.show_text(t("Not solved yet."), "muted")
        elif session.field_is_preview:
            self.state_text.show_text(t("Quick preview while you drag; solve for the numbers that count."), "warning")
        else:
            run = session.field_run
            self.state_text.show_text(t("Solved for the plan on screen.") if run is None else t("As kept in run {run}; nothing was solved anew.").format(run=run.plan_run_id), "good")
        if solved and not session.field_is_preview and not self._shown_solved and self.isVisible():
            self.scroll.ensureWidgetVisible(self.coverage, 0, 40)
        self._shown_solved = solved and not session.field_is_preview

    def _show_primary(self) -> None:
        session, count = self.session, len(self.session.plan.needles)
        final = session.assessment is not None and not session.field_is_preview
        refused = any(c.get("level") == "refuse" for c in assessment_dict(session.assessment).get("constraints", ()))
        if SOLVING in session.jobs.running_titles:
            self.set_primary(t("Solving field…"), False, t("Cancel it in the line below the pictures."))
        elif count < 2:
            self.set_primary(t("Solve field"), False, t("A field needs at least two needles."))
        elif final:
            self.set_primary(t("Field is solved"), False, t("It belongs to the plan on screen; change the plan to solve again."))
        else:
            self.set_primary(t("Solve field"), True, t("Compute the field of this plan"))
        kept = session.field_run
        self.save_button.setVisible(final and kept is None)
        self.save_button.setText(t("Save plan run") if session.placement is None else t("Save needles as they lie"))
        why = session.why_no_plan_save()
        can_save = final and session.study is not None and not why
        self.save_button.setEnabled(can_save)
        if can_save:
            tip = t("Keep this plan and its results in the study; a saved run never changes.")
            if refused:
                tip += "\n" + t("It is kept as refused: it cannot be approved or exported as a treatment sheet.")
        else:
            tip = t("Solve the field first.") if not final else t("Open a study first.") if session.study is None else why
        self.save_button.setToolTip(tip)

    def _show_tool(self) -> None:
        session = self.session
        self.place.setChecked(session.tool == "needle")
        room = len(session.plan.needles) < MAX_NEEDLES
        self.place.setEnabled(session.image is not None and (room or session.tool == "needle"))
        self.add_structure.setChecked(session.tool == "structure")
        self.add_structure.setEnabled(session.image is not None and not session.is_schematic)
        target = session.nodes.get(session.plan_target_id or session.current_node_id or "")
        for button in self.suggest.values():
            button.setEnabled(target is not None and _has_outline(target))

    def _show_remove(self) -> None:
        row = self.needles.current_row()
        self.remove.setEnabled(row is not None and bool(self.session.plan.needles))
        self.remove.setToolTip(t("Remove {id} and its pairs").format(id=row.needle.id) if row is not None else t("Select a needle in the table first"))
        structure = self.structures.current_row()
        can_drop = structure is not None and structure.role == "at_risk"
        self.drop_structure.setEnabled(can_drop)
        self.drop_structure.setToolTip(t("Remove {id} from the plan").format(id=structure.name) if can_drop else t("Select a structure at risk in the table first"))

    def _job_moved(self, event) -> None:
        self._show_primary()

    # ---- doing -----------------------------------------------------------------------------
    def _take(self, tool: str) -> None:
        self.session.set_tool("crosshair" if self.session.tool == tool else tool)
        self._show_tool()

    def _remove_structure(self) -> None:
        row = self.structures.current_row()
        if row is not None and row.role == "at_risk":
            self.session.remove_structure(row.name)

    def _remove_needle(self) -> None:
        row = self.needles.current_row()
        if row is not None:
            self.session.set_plan(self.session.plan.without_needle(row.needle.id), t("Remove needle {id}").format(id=row.needle.id))

    def _change_needle(self, needle: NeedleDraft, field: str, value: float) -> None:
        self.session.set_plan(self.session.plan.with_needle(replace(needle, **{field: float(value)})), t("Change needle {id}").format(id=needle.id))

    def _change_pair(self, index: int, field: str, value: float) -> None:
        plan = self.session.plan
        changes = {field: value}
        if field == "v_per_cm":
            changes["voltage_v"] = None  # V/cm typed now outranks a voltage typed before
        self.session.set_plan(plan.with_pair(index, replace(plan.pairs[index], **changes)), t("Change pulses"))

    def _change_all_pairs(self, v_per_cm: float) -> None:
        plan = self.session.plan
        self.session.set_plan(replace(plan, pairs=tuple(replace(p, v_per_cm=v_per_cm, voltage_v=None) for p in plan.pairs)), t("Change V/cm of all pairs"))

    def _change_lethal(self, v_per_cm: float) -> None:
        if v_per_cm != self.session.plan.lethal_v_per_cm:
            self.session.set_plan(replace(self.session.plan, lethal_v_per_cm=v_per_cm), t("Change lethal field"))

    def _change_margin(self, margin_mm: float) -> None:
        self.session.set_plan(replace(self.session.plan, margin_mm=margin_mm), t("Change margin"))


def _has_outline(state) -> bool:
    return state.draft is not None and not state.draft.is_empty


def _constraint_words(constraint: dict) -> str:
    """The message, with the limit added where the message does not name it."""
    message, limit = constraint.get("message", ""), constraint.get("limit")
    if limit is None or f"{limit:g}" in message:
        return t(message)
    return t("{message} Limit: {limit}.").format(message=t(message), limit=f"{limit:g}".replace("-", "−"))


def _set_quietly(widget, value) -> None:
    """Set a number without telling the session what it told us."""
    if widget.value() != value:
        widget.blockSignals(True)
        widget.setValue(value)
        widget.blockSignals(False)
