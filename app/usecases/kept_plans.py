"""Kept plan runs as a reader meets them again: listed, opened as a draft of exactly what was kept, carried to another visit."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace

import numpy as np

from app.study.errors import StudyRefused
from app.study.model import PlanRun
from app.study.store import StudyStore
from app.usecases.plan import NeedleDraft, PairDraft, PlanDraft, tissue_presets
from app.usecases.readings import unpack_mask
from planning.compare import compare_plans
from planning.plan import TreatmentPlan
from volumetry.errors import NodusError
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask

DRAWN_SPACING_MM = 0.5  # a shape of numbers becomes a mask of this spacing, coarser where it would be large
DRAWN_VOXELS_MOST = 4_000_000


@dataclass(frozen=True, slots=True)
class KeptRun:
    """A row of the list of runs. ``coverage_pct`` is the least covered target's; ``refused`` holds the codes that refuse
    approval; ``deliveries`` counts records that stand. ``thermal``: a plan of heat or cold, of that ``modality`` (else
    ``ire``) and those ``rounds``."""

    plan_run_id: str
    created_utc: str
    kind: str
    session: str | None
    node_id: str | None
    visit_id: str | None
    predecessor_id: str | None
    planned_id: str | None
    coverage_pct: float | None
    lethal_v_per_cm: float | None
    refused: tuple[str, ...]
    deliveries: int
    thermal: bool = False
    modality: str = "ire"
    rounds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class KeptField:
    """The field of a run as it was kept: ``e_max_v_per_cm`` float32 [k, j, i] on its own grid, nothing solved anew."""

    geometry: ImageGeometry
    e_max_v_per_cm: np.ndarray

    def moved(self, matrix: np.ndarray) -> KeptField:
        """The same field carried by a 4x4 matrix that maps its LPS points to others."""
        return replace(self, geometry=ImageGeometry(self.geometry.shape, np.asarray(matrix, float) @ self.geometry.affine))


@dataclass(frozen=True, slots=True, eq=False)
class KeptAnswer:
    """The answer of a run as it was kept. ``margins`` is empty until ``margins_of`` works it out: maps are not kept."""

    answer: dict
    margins: dict

    def to_dict(self) -> dict:
        """As in ``nodus plan --json``."""
        return self.answer

    @property
    def can_be_approved(self) -> bool:
        """False where a constraint refuses."""
        return not any(c.get("level") == "refuse" for c in self.answer.get("constraints", ()))


@dataclass(frozen=True, slots=True, eq=False)
class OpenedRun:
    """A run with the draft that holds its needles, pairs, thresholds and regions. ``notes`` are sentences on what the
    draft cannot hold exactly."""

    run: PlanRun
    plan: TreatmentPlan
    draft: PlanDraft
    field: KeptField | None
    answer: KeptAnswer
    notes: tuple[str, ...] = ()


THERMAL_SCHEMA = "nodus.thermal/1"


def is_thermal(run: PlanRun | KeptRun) -> bool:
    """True for a plan of RFA or cryo + RF: it has zones and no electric field."""
    return run.thermal if isinstance(run, KeptRun) else run.content.get("schema") == THERMAL_SCHEMA


def need_electric(run: PlanRun) -> PlanRun:
    """The run itself. Raises ``run_is_thermal`` for a plan of heat or cold."""
    if is_thermal(run):
        raise StudyRefused(f"Plan run {run.plan_run_id} is a plan of RFA or cryo + RF: it has zones, and no electric field, pairs or pulses.", code="run_is_thermal", hint="Choose a run of an electric field.")
    return run


def kept_runs(store: StudyStore, subject_id: str) -> tuple[KeptRun, ...]:
    """All runs of a subject, oldest first."""
    counts: dict[str, int] = {}
    for record in store.deliveries():
        counts[record.plan_run_id] = counts.get(record.plan_run_id, 0) + 1
    return tuple(kept_run(run, counts.get(run.plan_run_id, 0)) for run in store.list_plan_runs(subject_id))


def kept_run(run: PlanRun, deliveries: int = 0) -> KeptRun:
    """The row of one run."""
    answer = run.content.get("assessment", {})
    thermal = is_thermal(run)
    covered = [x["coverage_pct"] for x in answer.get("lesions" if thermal else "targets", ()) if x.get("coverage_pct") is not None]
    refused = tuple(dict.fromkeys(c["code"] for c in answer.get("constraints", ()) if c.get("level") == "refuse"))
    return KeptRun(
        run.plan_run_id, run.created_utc, run.kind or "planned", run.session, run.node_id, run.visit_id, run.predecessor_id, run.planned_id,
        min(covered, default=None), run.content.get("plan", {}).get("lethal_v_per_cm"), refused, deliveries, thermal,
        next(iter(run.content.get("modality") or ()), "") if thermal else "ire", tuple(r["round"] for r in run.content.get("rounds", ())) if thermal else (),
    )  # fmt: skip


def proposed_predecessor(runs, node_id: str | None, session: str | None, *, thermal: bool = False):
    """Of runs, oldest first, the one that a new plan of this node and session most likely follows: the newest plan of the
    same session, else, for salvage, the newest of Day 0 (its needles as they lie, where those were kept). A ``thermal``
    plan follows the node's newest one; a plan of one kind never follows one of the other."""
    runs = [r for r in runs if node_id is not None and r.node_id == node_id and is_thermal(r) == thermal]
    if thermal:
        return runs[-1] if runs else None
    same = [r for r in runs if session is not None and r.session == session and r.kind != "actual"]
    if same:
        return same[-1]
    return next((r for r in reversed(runs) if r.session == "day0"), None) if session == "salvage" else None


def open_run(store: StudyStore, plan_run_id: str) -> OpenedRun:
    """A run and the draft of exactly what it holds. Raises ``plan_run_missing``, ``run_is_thermal``, ``plan_run_damaged`` (a
    blob is gone or is none), and what a damaged plan is refused with."""
    run = need_electric(store.plan_run(plan_run_id))
    plan = TreatmentPlan.from_dict(run.content["plan"], tissue_presets(), lambda path, _label: mask_of_blob(store, path))
    digest = run.blobs.get("field_v_per_cm")
    draft, notes = draft_of(plan)
    return OpenedRun(run, plan, draft, None if digest is None else unpack_field(store.get_blob(digest)), KeptAnswer(run.content["assessment"], {}), notes)


def margins_of(opened: OpenedRun) -> KeptAnswer:
    """The answer of a run with its margin maps, worked out anew from the field and the plan that were kept: by the target's
    name, points (LPS mm) and signed distances (mm) as in ``planning.margin``. Figures stay those that were kept."""
    from planning.field.grid import FieldGrid
    from planning.margin import lethal_surface, region_surface, signed_margin

    kept, plan, maps = opened.field, opened.plan, {}
    if kept is None:
        return opened.answer
    size = np.array(kept.geometry.shape[::-1]) * kept.geometry.spacing_mm
    low = np.asarray(kept.geometry.origin_mm) - 0.5 * np.asarray(kept.geometry.spacing_mm)
    grid = FieldGrid(kept.geometry.shape, float(kept.geometry.spacing_mm[0]), tuple(map(float, kept.geometry.origin_mm)), (tuple(map(float, low)), tuple(map(float, low + size))))
    zone = lethal_surface(kept, plan.lethal_v_per_cm)
    for n, region in enumerate(plan.regions):
        if region.role == "target" and (found := signed_margin(region_surface(plan, n, grid), zone)) is not None:
            maps[region.name if region.name not in maps else f"{region.name} ({n + 1})"] = found
    return replace(opened.answer, margins=maps)


def mask_of_blob(store: StudyStore, path: str) -> NodeMask:
    """The mask that ``blob:SHA256`` names. Raises ``plan_run_damaged``."""
    if not path.startswith("blob:"):
        raise NodusError("A region of this run names a file that was not kept with it.", code="plan_run_damaged")
    return unpack_mask(store.get_blob(path.removeprefix("blob:")))


def draft_of(plan: TreatmentPlan) -> tuple[PlanDraft, tuple[str, ...]]:
    """The draft that holds this plan, and sentences on what it does not hold exactly. Voltages stay as they were: they
    count as set by hand, and no longer follow a needle that is moved."""
    notes: list[str] = []
    needles = tuple(NeedleDraft(e.id, e.tip_mm, e.entry_mm, e.exposure_mm, e.diameter_mm) for e in plan.electrodes)
    bare = PlanDraft(needles=needles)
    pairs = []
    for p in plan.pulses:
        pair = PairDraft(p.anode, p.cathode, voltage_v=p.voltage_v, pulses=p.pulses, width_us=p.width_us, rate_hz=p.rate_hz, ecg_gated=p.ecg_gated)
        pairs.append(replace(pair, v_per_cm=10.0 * p.voltage_v / max(bare.pair_distance_mm(pair), 1e-6)))
    background = plan.background.preset
    if background is None:
        background = PlanDraft.__dataclass_fields__["background"].default
        notes.append(f"The run's background tissue is a law of its own; solved again it would be {background}.")
    groups: dict[str, list] = {"target": [], "at_risk": []}
    for region in plan.regions:
        preset = background if region.conductivity is None else region.conductivity.preset
        if region.role not in groups or preset is None:
            notes.append(f"{region.name} cannot be drawn here; solved again it would be left out.")
            continue
        mask = getattr(region.shape, "mask", None)
        if mask is None:
            mask = drawn(region.name, region.shape)
            notes.append(f"{region.name} was given as a shape; it is drawn as a mask of {mask.geometry.spacing_mm[0]:.2g} mm here.")
        groups[region.role].append((region.name, mask, preset))
    more = {} if plan.anatomy is None else {"site": plan.anatomy.site, "side": plan.anatomy.side, "stated_clear": plan.anatomy.stated_clear}
    draft = replace(
        bare, pairs=tuple(pairs), background=background, targets=tuple(groups["target"]), at_risk=tuple(groups["at_risk"]), lethal_v_per_cm=plan.lethal_v_per_cm,
        thresholds_v_per_cm=plan.thresholds_v_per_cm, margin_mm=plan.margin_mm, spacing_mm=plan.domain.spacing_mm, **more,
    )  # fmt: skip
    return draft, tuple(notes)


def drawn(name: str, shape) -> NodeMask:
    """A shape of numbers as a mask."""
    low, high = shape.bounds_mm()
    size = np.maximum(high - low, 1e-3)
    spacing = max(DRAWN_SPACING_MM, (float(np.prod(size)) / DRAWN_VOXELS_MOST) ** (1 / 3))
    count = [math.ceil(s / spacing) + 2 for s in size]
    start = (low + high) / 2 - (np.array(count) - 1) / 2 * spacing
    geometry = ImageGeometry.from_spacing(count[::-1], (spacing,) * 3, start)
    k, j, i = np.indices(geometry.shape)
    return NodeMask(shape.level_mm(geometry.index_to_world(np.stack([i, j, k], -1))) > 0, geometry, name=name)


def unpack_field(data: bytes) -> KeptField:
    """The field of ``plan_runs.pack_field``, its metal filled as it was shown; in runs kept without the fill, needles hold
    0. Raises ``plan_run_damaged``."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as z:
            field = np.array(z["e_max_v_per_cm"], np.float32)
            if "needle" in z.files:
                inside = np.unpackbits(z["needle"], count=field.size).astype(bool).reshape(field.shape)
                field[inside] = z["needle_v_per_cm"]
            return KeptField(ImageGeometry(field.shape, z["affine"]), field)
    except Exception as problem:  # a damaged archive raises whatever its parser meets
        raise NodusError(f"The field kept with this run cannot be read ({type(problem).__name__}).", code="plan_run_damaged", hint="Restore a backup.") from problem


def needles_moved(needles, matrix: np.ndarray) -> tuple[NeedleDraft, ...]:
    """Needles carried by a 4x4 matrix of LPS mm points."""
    m = np.asarray(matrix, float)

    def carry(point) -> tuple[float, float, float]:
        return tuple(float(v) for v in m[:3, :3] @ np.asarray(point, float) + m[:3, 3])

    return tuple(replace(n, tip_mm=carry(n.tip_mm), entry_mm=carry(n.entry_mm)) for n in needles)


def placement_so_far(planned, lying) -> dict:
    """Needles as they are drawn now against the planned ones, before anything is solved: ``needles`` and ``spacing`` as in
    ``compare_plans``."""

    def written(needles) -> dict:
        return {"electrodes": [{"id": n.id, "tip_mm": n.tip_mm, "entry_mm": n.entry_mm, "exposure_mm": n.exposure_mm, "diameter_mm": n.diameter_mm} for n in needles]}

    return compare_plans(written(planned), written(lying), {}, {})
