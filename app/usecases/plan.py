"""Plan the needles: from a draft on screen or a plan file to a solved, assessed field."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from app.jobs import JobContext
from planning.anatomy import NEAR_MM, Anatomy, StatedClear, is_named
from planning.electrode import Electrode
from planning.errors import FieldNotConverged, PlanRefused
from planning.heat.properties import HeatData, heat_data_from_dict
from planning.plan import TreatmentPlan
from planning.schematic import Schematic
from planning.schematic_scene import plan_dict
from planning.tissue import Conductivity, preset_from_dict
from volumetry.mask import NodeMask

if TYPE_CHECKING:  # the solver is loaded by the first that needs it
    from planning.assessment import PlanAssessment
    from planning.field.solution import FieldSolution

Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class NeedleDraft:
    """One needle as drawn: tip and entry in LPS mm, exposed length and diameter in mm."""

    id: str
    tip_mm: Point
    entry_mm: Point
    exposure_mm: float = 20.0
    diameter_mm: float = 1.0


@dataclass(frozen=True, slots=True)
class PairDraft:
    """One pulse train between two needles; the voltage follows from V/cm times their distance
    unless it was set by hand."""

    anode: str
    cathode: str
    v_per_cm: float = 1500.0
    voltage_v: float | None = None
    pulses: int = 90
    width_us: float = 70.0
    rate_hz: float = 1.0
    ecg_gated: bool | None = None  # whether pulses wait for the heart beat; None: not stated


@dataclass(frozen=True, slots=True)
class PlanDraft:
    """What the radiologist edits: needles, pairs, thresholds, and the masks around them.

    Frozen, so that undo is keeping the earlier one. ``targets`` and ``at_risk`` hold
    ``(name, NodeMask, tissue preset)``. ``site`` (``neck``, ``liver``, ``other``) says which structures must be
    known around the needles, ``side`` is the node's; ``stated_clear`` is what the reader states to be far.
    """

    needles: tuple[NeedleDraft, ...] = ()
    pairs: tuple[PairDraft, ...] = ()
    background: str = "muscle"
    targets: tuple[tuple[str, NodeMask, str], ...] = ()
    at_risk: tuple[tuple[str, NodeMask, str], ...] = ()
    lethal_v_per_cm: float = 500.0
    thresholds_v_per_cm: tuple[float, ...] = (400.0, 500.0, 600.0, 800.0)
    margin_mm: float = 5.0
    spacing_mm: float = 1.0
    warnings: tuple[str, ...] = field(default=())
    site: str = "neck"
    side: str = "unknown"
    stated_clear: tuple[StatedClear, ...] = ()
    schematic: Schematic | None = None  # a plan from ultrasound alone: its shapes stand in place of the masks, which are pictures of them

    def with_needle(self, needle: NeedleDraft) -> PlanDraft:
        """Add the needle, or replace the one with its id; pairs are completed to all pairs when a
        needle is new (two to six needles, every pair once)."""
        ids = [n.id for n in self.needles]
        if needle.id in ids:
            return replace(self, needles=tuple(needle if n.id == needle.id else n for n in self.needles))
        v_per_cm = self.pairs[-1].v_per_cm if self.pairs else 1500.0
        extra = tuple(PairDraft(other, needle.id, v_per_cm) for other in ids)
        return replace(self, needles=(*self.needles, needle), pairs=(*self.pairs, *extra))

    def without_needle(self, needle_id: str) -> PlanDraft:
        """Remove a needle and every pair that used it."""
        return replace(
            self,
            needles=tuple(n for n in self.needles if n.id != needle_id),
            pairs=tuple(p for p in self.pairs if needle_id not in (p.anode, p.cathode)),
        )

    def with_pair(self, index: int, pair: PairDraft) -> PlanDraft:
        """Replace the pair at ``index``."""
        return replace(self, pairs=tuple(pair if i == index else p for i, p in enumerate(self.pairs)))

    def with_stated_clear(self, name: str, by: str, *, farther_than_mm: float = NEAR_MM, utc: str | None = None) -> PlanDraft:
        """Note that ``by`` states the structure to lie farther than this from every needle as placed now; replaces an
        earlier statement about it. Raises ``PlanRefused`` (``bad_anatomy``)."""
        stated = StatedClear.of(name, by, self.needles, farther_than_mm=farther_than_mm, utc=utc)
        return replace(self, stated_clear=(*(s for s in self.stated_clear if s.name != name), stated))

    def without_stated_clear(self, name: str) -> PlanDraft:
        """Withdraw the statements about this structure."""
        return replace(self, stated_clear=tuple(s for s in self.stated_clear if not is_named(s.name, name) and s.name != name))

    def next_needle_id(self) -> str:
        """E1, E2 … the first that is free."""
        used = {n.id for n in self.needles}
        return next(f"E{i}" for i in range(1, 100) if f"E{i}" not in used)

    def pair_distance_mm(self, pair: PairDraft) -> float:
        """Distance between the midpoints of the exposed segments."""
        mid = {n.id: exposed_midpoint_mm(n) for n in self.needles}
        return float(np.linalg.norm(mid[pair.anode] - mid[pair.cathode]))

    def voltage_v(self, pair: PairDraft) -> float:
        """Voltage set by hand, else V/cm times distance, rounded to whole volts."""
        if pair.voltage_v is not None:
            return pair.voltage_v
        return float(round(pair.v_per_cm * self.pair_distance_mm(pair) / 10.0))


def exposed_midpoint_mm(needle: NeedleDraft) -> np.ndarray:
    """Middle of the exposed metal, LPS mm."""
    tip, entry = np.asarray(needle.tip_mm, float), np.asarray(needle.entry_mm, float)
    length = np.linalg.norm(entry - tip)
    if length < 1e-6:
        raise PlanRefused("A needle's tip and entry are the same point.", code="needle_without_length")
    return tip + (entry - tip) / length * needle.exposure_mm / 2


@cache
def tissue_presets() -> dict[str, Conductivity]:
    """Tissue conductivity laws by name, from ``resources/tissues``."""
    presets: dict[str, Conductivity] = {}
    for entry in sorted(resources.files("resources").joinpath("tissues").iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".json"):
            name, law = preset_from_dict(json.loads(entry.read_text(encoding="utf-8")))
            presets[name] = law
    return presets


@cache
def heat_data() -> HeatData:
    """Thermal values of the tissues, damage sets and settings, from ``resources/tissues`` and ``resources/heat``."""
    thermal = {}
    for entry in sorted(resources.files("resources").joinpath("tissues").iterdir(), key=lambda e: e.name):
        if entry.name.endswith(".json"):
            tissue = json.loads(entry.read_text(encoding="utf-8"))
            if "thermal" in tissue:
                thermal[tissue["name"]] = tissue["thermal"]
    return heat_data_from_dict(json.loads(resources.files("resources").joinpath("heat", "ire.json").read_text(encoding="utf-8")), thermal)


def draft_to_plan(draft: PlanDraft) -> TreatmentPlan:
    """A validated plan from what is on screen; the domain holds needles' exposed parts, targets
    and at least 25 mm around them. Raises ``PlanRefused`` with a plain reason."""
    if len(draft.needles) < 2:
        raise PlanRefused("A field needs at least two needles.", code="too_few_needles")
    if draft.schematic is not None:
        return _schematic_plan(draft)
    points = []
    for n in draft.needles:
        tip, entry = np.asarray(n.tip_mm, float), np.asarray(n.entry_mm, float)
        axis = entry - tip
        points += [tip, tip + axis / max(np.linalg.norm(axis), 1e-9) * n.exposure_mm]
    for _, mask, _ in draft.targets:
        box = mask.bounding_slices()
        if box is not None:
            corners = [[i, j, k] for k in (box[0].start, box[0].stop - 1) for j in (box[1].start, box[1].stop - 1) for i in (box[2].start, box[2].stop - 1)]
            points += list(mask.geometry.index_to_world(corners))
    points = np.array(points)
    low, high = points.min(0) - 25.0, points.max(0) + 25.0
    size = np.ceil((high - low) / draft.spacing_mm) * draft.spacing_mm
    regions = [
        {"name": name, "role": role, "shape": {"type": "mask", "mask": mask}, "conductivity": {"preset": preset}}
        for role, group in (("target", draft.targets), ("at_risk", draft.at_risk))
        for name, mask, preset in group
    ]
    data = {
        "schema": "nodus.plan/1",
        "domain": {"center_mm": list((low + high) / 2), "size_mm": list(size), "spacing_mm": draft.spacing_mm},
        "background": {"preset": draft.background},
        "regions": regions,
        "electrodes": [
            {"id": n.id, "tip_mm": list(n.tip_mm), "entry_mm": list(n.entry_mm), "exposure_mm": n.exposure_mm, "diameter_mm": n.diameter_mm}
            for n in draft.needles
        ],
        "pulses": [
            {"anode": p.anode, "cathode": p.cathode, "voltage_v": draft.voltage_v(p), "pulses": p.pulses, "width_us": p.width_us, "rate_hz": p.rate_hz, "ecg_gated": p.ecg_gated}
            for p in draft.pairs
        ],
        "thresholds_v_per_cm": list(draft.thresholds_v_per_cm),
        "lethal_v_per_cm": draft.lethal_v_per_cm,
        "boundary": "insulating",
        "margin_mm": draft.margin_mm,
        "anatomy": Anatomy.of_site(draft.site, draft.side, draft.stated_clear).to_dict(),
    }
    return TreatmentPlan.from_dict(data, tissue_presets(), None)


def _schematic_plan(draft: PlanDraft) -> TreatmentPlan:
    """The plan of a draft made from ultrasound alone: analytic shapes, needles as they lie now."""
    needles = [Electrode(n.id, n.tip_mm, n.entry_mm, n.exposure_mm, n.diameter_mm) for n in draft.needles]
    pulses = [
        {"anode": p.anode, "cathode": p.cathode, "voltage_v": draft.voltage_v(p), "pulses": p.pulses, "width_us": p.width_us, "rate_hz": p.rate_hz, "ecg_gated": p.ecg_gated}
        for p in draft.pairs
    ]
    measured = replace(
        draft.schematic, background=draft.background, lethal_v_per_cm=draft.lethal_v_per_cm, thresholds_v_per_cm=draft.thresholds_v_per_cm, margin_mm=draft.margin_mm, spacing_mm=draft.spacing_mm
    )
    anatomy = Anatomy.of_site(measured.site, measured.side, draft.stated_clear)
    return TreatmentPlan.from_dict(plan_dict(measured, needles, pulses, anatomy), tissue_presets(), None)


def load_plan(path: Path) -> TreatmentPlan:
    """Read and validate a ``nodus.plan/1`` file; masks are found relative to it."""
    from app.usecases.files import read_json
    from dicom_io.masks import read_masks

    data = read_json(path, code="not_a_plan")

    def load_mask(mask_path: str, label: int) -> NodeMask:
        masks = read_masks(path.parent / mask_path, image=None)
        for mask in masks:
            if mask.label == label:
                return mask
        raise PlanRefused(f"The mask {mask_path} has no label {label}.", code="label_missing")

    return TreatmentPlan.from_dict(data, tissue_presets(), load_mask)


def solve_and_assess(plan: TreatmentPlan, context: JobContext, spacing_mm: float | None = None, *, heat: bool = True):
    """Solve the field of a plan, with ``heat`` also the temperature of its trains, and judge it; returns
    ``(FieldSolution, PlanAssessment)``."""
    solution, assessment = solve_field(plan, context.part(0.0, 0.5) if heat else context, spacing_mm, keep_pair_fields=heat)
    if heat:
        return add_heat(plan, solution, assessment, context.part(0.5, 1.0))
    return solution, assessment


def solve_field(plan: TreatmentPlan, context: JobContext, spacing_mm: float | None = None, *, keep_pair_fields: bool = False):
    """Solve the field of a plan and judge it without its heat; returns ``(FieldSolution, PlanAssessment)``.
    With ``keep_pair_fields`` the solution can be given to :func:`add_heat`."""
    from planning.assessment import assess_plan
    from planning.field.solve import solve_plan

    solution = solve_plan(
        plan, spacing_mm=spacing_mm, keep_pair_fields=keep_pair_fields, progress=context.part(0.0, 0.9).report, should_cancel=lambda: context.token.is_cancelled
    )
    context.report("Measuring coverage and margins", 0.92)
    assessment = assess_plan(plan, solution)
    context.report("Done", 1.0)
    return solution, assessment


def add_heat(plan: TreatmentPlan, solution: FieldSolution, assessment: PlanAssessment, context: JobContext):
    """The temperature of the trains of a field from :func:`solve_field`, which kept the field of every pair; returns
    ``(FieldSolution, PlanAssessment)`` without those. Where the heat cannot be solved the field stands, with a warning."""
    from planning.assessment import with_heat
    from planning.heat.train import solve_heat

    bare = without_pair_fields(solution)
    try:
        warmth = solve_heat(plan, solution, heat_data(), progress=context.part(0.0, 0.9).report, should_cancel=lambda: context.token.is_cancelled)
    except (PlanRefused, FieldNotConverged) as trouble:
        code, said = "heat_not_solved", f"Temperature and thermal damage are not known: {trouble.message}"
        answer = assessment.answer | {"warnings": [*assessment.answer["warnings"], {"code": code, "message": said}]}
        return replace(bare, warnings=(*bare.warnings, (code, said))), replace(assessment, answer=answer)
    context.report("Measuring what grows warm", 0.92)
    warm = with_heat(plan, assessment, warmth)
    context.report("Done", 1.0)
    return bare, warm


def without_pair_fields(solution: FieldSolution) -> FieldSolution:
    """A solution that is kept and shown: the fields of single pairs are of use to the heat alone."""
    return replace(solution, pairs=tuple(replace(p, e_v_per_cm=None) for p in solution.pairs))
