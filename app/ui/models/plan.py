"""Rows of the plan's tables and its results as named values."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from app.ui.models.records import Column
from app.ui.text import t
from app.ui.widgets.figures import Figure, number_text, volume_decimals
from app.ui.widgets.palette import DANGER, MUTED
from app.usecases.plan import NeedleDraft, PairDraft, PlanDraft
from volumetry.errors import NodusError


def assessment_dict(assessment) -> dict:
    """A ``PlanAssessment`` (or its dict) as the answer of ``nodus plan --json``; {} for None."""
    if assessment is None:
        return {}
    return assessment if isinstance(assessment, dict) else assessment.to_dict()


def has_target_outline(session) -> bool:
    """True where the plan's target (the node chosen for it, else the current one) is outlined."""
    state = session.nodes.get(session.plan_target_id or session.current_node_id or "")
    return state is not None and state.draft is not None and not state.draft.is_empty


TARGET_TISSUE = "node"


@dataclass(frozen=True, slots=True)
class NeedleRow:
    """A needle and its depth: entry to tip, mm."""

    needle: NeedleDraft
    depth_mm: float


@dataclass(frozen=True, slots=True)
class PairRow:
    """A pulse train with what follows from the needles' places and, once solved, the field."""

    index: int
    pair: PairDraft
    distance_mm: float | None
    voltage_v: float | None
    current_a: float | None
    trouble: str = ""

    @property
    def name(self) -> str:
        """Anode to cathode."""
        return f"{self.pair.anode} → {self.pair.cathode}"


def needle_rows(plan: PlanDraft) -> list[NeedleRow]:
    """One row a needle."""
    return [NeedleRow(n, float(np.linalg.norm(np.subtract(n.entry_mm, n.tip_mm)))) for n in plan.needles]


def pair_rows(plan: PlanDraft, answer: dict) -> list[PairRow]:
    """One row a pulse train; the current is that of the solved plan, None before."""
    currents = {(p.get("anode"), p.get("cathode")): p.get("current_a") for p in answer.get("pairs", ())}
    rows = []
    for n, pair in enumerate(plan.pairs):
        try:
            distance, voltage, trouble = plan.pair_distance_mm(pair), plan.voltage_v(pair), ""
        except NodusError as refusal:
            distance, voltage, trouble = None, None, refusal.message
        rows.append(PairRow(n, pair, distance, voltage, currents.get((pair.anode, pair.cathode)), trouble))
    return rows


def gating_names() -> dict[bool | None, str]:
    """ECG gating of a pair in a cell."""
    return {None: "–", True: t("yes"), False: t("no")}


def needle_columns(change) -> tuple[Column, ...]:
    """``change(needle, field, value)`` is called when exposure or diameter is edited."""
    return (
        Column(t("Needle"), lambda r: r.needle.id, weight=5),
        Column(t("Depth"), lambda r: r.depth_mm, lambda r: number_text(r.depth_mm, 0), unit="mm", tip=lambda r: t("Entry to tip: {d} mm").format(d=number_text(r.depth_mm, 1)), weight=7),
        Column(
            t("Exposed"),
            lambda r: r.needle.exposure_mm,
            lambda r: number_text(r.needle.exposure_mm, 1),
            unit="mm",
            tip=lambda r: t("Exposed metal from the tip: {d} mm. Double click or F2 to change.").format(d=number_text(r.needle.exposure_mm, 1)),
            edit=lambda r, v: change(r.needle, "exposure_mm", v),
            weight=9,
        ),
        Column(
            t("Dia."),
            lambda r: r.needle.diameter_mm,
            lambda r: number_text(r.needle.diameter_mm, 2),
            unit="mm",
            tip=lambda r: t("Diameter of the needle: {d} mm").format(d=number_text(r.needle.diameter_mm, 2)),
            edit=lambda r, v: change(r.needle, "diameter_mm", v),
            weight=7,
        ),
    )


def pair_columns(change) -> tuple[Column, ...]:
    """``change(index, field, value)`` is called when V/cm, pulses or width is edited."""

    def voltage_tip(r: PairRow) -> str:
        if r.voltage_v is None:
            return r.trouble
        how = t("Set by hand.") if r.pair.voltage_v is not None else t("V/cm × distance, rounded to whole volts.")
        return f"{r.name}: {number_text(r.voltage_v, 0)} V\n{how}"

    return (
        Column(t("Pair"), lambda r: r.name, tip=lambda r: t("Anode {a} to cathode {c}").format(a=r.pair.anode, c=r.pair.cathode), weight=8),
        Column("mm", lambda r: r.distance_mm, lambda r: number_text(r.distance_mm, 1), tip=lambda r: r.trouble or t("Between the middles of the exposed parts: {d} mm").format(d=number_text(r.distance_mm, 1)), right=True, heading_tip=t("Distance in mm"), colour=lambda r: DANGER if r.trouble else None, weight=5),
        Column("V/cm", lambda r: r.pair.v_per_cm, lambda r: number_text(r.pair.v_per_cm, 0), tip=lambda r: t("Voltage over distance. Double click or F2 to change."), edit=lambda r, v: change(r.index, "v_per_cm", v), right=True, heading_tip=t("Voltage over distance, in V/cm; can be changed"), weight=6),
        Column("V", lambda r: r.voltage_v, lambda r: number_text(r.voltage_v, 0), tip=voltage_tip, right=True, heading_tip=t("Voltage in V"), weight=5),
        Column("×", lambda r: r.pair.pulses, tip=lambda r: t("{n} pulses").format(n=r.pair.pulses), edit=lambda r, v: change(r.index, "pulses", int(v)), right=True, heading_tip=t("Number of pulses; can be changed"), weight=4),
        Column("µs", lambda r: r.pair.width_us, lambda r: number_text(r.pair.width_us, 0), tip=lambda r: t("Pulse width {w} µs").format(w=number_text(r.pair.width_us, 0)), edit=lambda r, v: change(r.index, "width_us", v), right=True, heading_tip=t("Pulse width in µs; can be changed"), weight=4),
        Column("ECG", lambda r: gating_names()[r.pair.ecg_gated], tip=lambda r: t("Whether pulses wait for the heart beat: {state}. Double click or F2 to change.").format(state=gating_names()[r.pair.ecg_gated]), edit=lambda r, v: change(r.index, "ecg_gated", next((k for k, name in gating_names().items() if name == v), None)), heading_tip=t("ECG gating; – : not stated"), weight=4),
    )


@dataclass(frozen=True, slots=True)
class StructureRow:
    """A target or a structure at risk of the plan, with its tissue preset."""

    role: str
    name: str
    tissue: str
    assumed: bool


def structure_rows(plan: PlanDraft, target: str | None, presets) -> list[StructureRow]:
    """The target (label of its node) first. A tissue is assumed where its preset says so."""
    rows = [] if target is None else [StructureRow("target", target, TARGET_TISSUE, is_assumed(presets, TARGET_TISSUE))]
    return rows + [StructureRow("at_risk", name, tissue, is_assumed(presets, tissue)) for name, _, tissue in plan.at_risk]


def is_assumed(presets, tissue: str) -> bool:
    """True where no measurement backs the conductivity of a tissue preset."""
    preset = presets.get(tissue)
    return bool(preset.get("assumed", False) if isinstance(preset, dict) else getattr(preset, "assumed", False))


def structure_columns() -> tuple[Column, ...]:
    """Name, role and tissue."""
    roles = {"target": t("Target"), "at_risk": t("At risk")}
    return (
        Column(t("Structure"), lambda r: r.name, weight=9),
        Column(t("Role"), lambda r: r.role, lambda r: roles.get(r.role, r.role), weight=4),
        Column(t("Tissue"), lambda r: r.tissue, lambda r: t(r.tissue).replace("_", " ") + (" *" if r.assumed else ""), tip=lambda r: t(r.tissue).replace("_", " ") + ("\n" + t("Assumed: no measured conductivity for this tissue.") if r.assumed else ""), weight=6),
    )


def result_figures(answer: dict, lethal_v_per_cm: float, margin_mm: float) -> list[Figure]:
    """Coverage, margins and volumes of a solved plan; several targets are named."""
    out: list[Figure] = []
    targets = answer.get("targets", [])
    for target in targets:
        prefix = f"{target['name']}: " if len(targets) > 1 else ""

        def add(label: str, key: str, unit: str, decimals: int, source: str, target=target, prefix=prefix) -> None:
            out.append(Figure(prefix + label, target.get(key), unit, decimals, source=source, reason=t("Not known for this plan.")))

        lethal = number_text(lethal_v_per_cm, 0)
        add(t("Covered at {v} V/cm").format(v=lethal), "coverage_pct", "%", 1, t("Part of the target's tissue at or above the lethal field."))
        add(t("Minimal margin"), "minimal_margin_mm", "mm", 1, t("Smallest distance from the target's surface to the lethal surface; negative where uncovered."))
        add(t("With {m} mm margin").format(m=number_text(margin_mm, 0)), "margin_coverage_pct", "%", 1, t("Part of the target widened by the margin, less structures at risk and air."))
        add(t("Lowest field in target"), "min_v_per_cm", "V/cm", 0, t("Smallest value of the field anywhere in the target."))
        for threshold, value in sorted((target.get("coverage_pct_by_v_per_cm") or {}).items(), key=lambda kv: float(kv[0])):
            if not math.isclose(float(threshold), lethal_v_per_cm):
                out.append(Figure(prefix + t("Covered at {v} V/cm").format(v=number_text(float(threshold), 0)), value, "%", 1, source=t("For comparison with other thresholds."), reason=t("Not known for this plan.")))
        add(t("Target volume"), "volume_ml", "ml", volume_decimals(target.get("volume_ml")), t("As sampled by the field grid, without the needles."))
    for label, key, source in (
        (t("Ablation volume"), "ablation_ml", t("All tissue at or above the lethal field.")),
        (t("Collateral volume"), "collateral_ml", t("Ablation outside all targets.")),
    ):
        if answer:
            out.append(Figure(label, answer.get(key), "ml", volume_decimals(answer.get(key)), source=source, reason=t("Not known for this plan.")))
    if answer:
        heat, later = answer.get("heat") or {}, t("Heat is worked out after the field.")
        damage = heat.get("thermal_damage_ml")
        out.append(Figure(t("Hottest tissue"), heat.get("peak_c"), "°C", 0, source=t("Beside a needle, at the end of the trains; thermal values of tissue are largely assumed."), reason=later))
        out.append(Figure(t("Thermal damage"), damage, "ml", volume_decimals(damage), source=t("Tissue with Arrhenius damage of 1 or more by the set of its own tissue: {sets}.").format(sets=heat.get("damage_set", "")), reason=later))
    return out


def at_risk_columns() -> tuple[Column, ...]:
    """Structures at risk: distance to a needle, highest field, volume above lethal."""
    return (
        Column(t("At risk"), lambda r: r.get("name"), tip=_at_risk_tip, weight=12),
        Column("V/cm", lambda r: r.get("max_v_per_cm"), lambda r: number_text(r.get("max_v_per_cm"), 0), tip=_at_risk_tip, heading_tip=t("Highest field in the structure, in V/cm"), weight=5, right=True),
        Column("ml", lambda r: r.get("volume_above_lethal_ml"), lambda r: number_text(r.get("volume_above_lethal_ml"), 2), tip=_at_risk_tip, right=True, heading_tip=t("Volume at or above the lethal field, in ml"), colour=lambda r: DANGER if (r.get("volume_above_lethal_ml") or 0) > 0 else MUTED, weight=5),
        Column("mm", lambda r: r.get("min_distance_mm"), lambda r: number_text(r.get("min_distance_mm"), 1), tip=_at_risk_tip, right=True, heading_tip=t("Smallest distance to a needle's surface, in mm"), weight=4),
    )


def _at_risk_tip(row: dict) -> str:
    lines = [
        str(row.get("name")),
        t("Highest field: {v} V/cm").format(v=number_text(row.get("max_v_per_cm"), 0)),
        t("At or above the lethal field: {v} ml").format(v=number_text(row.get("volume_above_lethal_ml"), 3)),
        t("Nearest needle surface: {v} mm").format(v=number_text(row.get("min_distance_mm"), 1)),
        t("Hottest: {v} °C").format(v=number_text(row.get("max_temperature_c"), 1)),
    ]
    for threshold, volume in sorted((row.get("volume_ml_by_v_per_cm") or {}).items(), key=lambda kv: float(kv[0])):
        lines.append(f"≥ {number_text(float(threshold), 0)} V/cm: {number_text(volume, 3)} ml")
    return "\n".join(lines)


def solver_figures(answer: dict) -> list[Figure]:
    """How the field was computed."""
    s = answer.get("solver") or {}
    if not s:
        return []

    def words(value) -> str | None:
        return None if value is None else (" × ".join(str(v) for v in value) if isinstance(value, (list, tuple)) else f"{value:.3g}" if isinstance(value, float) else str(value))

    return [
        Figure(t("Grid"), words(s.get("shape")), source=t("Columns, rows and slices of the field's grid.")),
        Figure(t("Spacing"), s.get("spacing_mm") if isinstance(s.get("spacing_mm"), (int, float)) else words(s.get("spacing_mm")), "mm", 2),
        Figure(t("Iterations"), words(s.get("iterations"))),
        Figure(t("Relative residual"), words(s.get("relative_residual")), source=t("Smaller is more exact.")),
        Figure(t("Conductivity steps"), words(s.get("nonlinear_steps")), source=t("Tissue conducts better in a strong field; solved until it settles.")),
        Figure(t("Current balance"), words(s.get("current_balance")), source=t("Current in against current out; 0 is exact.")),
        Figure(t("Time"), s.get("seconds"), "s", 1),
    ]
