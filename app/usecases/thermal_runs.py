"""Plans of RFA and cryo + RF kept in the study as plan runs: written once with their zones and hashes, opened again as they were kept."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.study.canonical import canonical_json, sha256_text
from app.study.errors import StudyRefused
from app.study.model import PlanRun
from app.study.store import StudyStore
from app.usecases.kept_plans import KeptAnswer, is_thermal, mask_of_blob, proposed_predecessor
from app.usecases.readings import pack_mask
from app.usecases.thermal import ThermalResult, thermal_devices, thermal_limits
from planning.compare import both_of
from planning.field.grid import FieldGrid
from planning.thermal.plan import SCHEMA, ThermalPlan
from planning.thermal.zones import ZoneLevels
from volumetry.errors import NodusError

KEPT_MM = 15.0  # levels are kept to this distance from a zone's surface
LESION_KEYS = ("coverage_pct", "minimal_margin_mm", "volume_ml")


@dataclass(frozen=True, slots=True, eq=False)
class KeptCourse:
    """Zones of the solved course as they were kept, by criterion."""

    levels: Mapping[str, ZoneLevels]


@dataclass(frozen=True, slots=True, eq=False)
class KeptThermal:
    """A thermal run as it was kept, with what panes and tables ask of a ``ThermalResult``; nothing is solved anew."""

    run: PlanRun
    plan: ThermalPlan
    levels: ZoneLevels
    bioheat: KeptCourse | None
    kept: KeptAnswer
    notes: tuple[str, ...] = ()

    def answer(self) -> dict:
        """As in ``nodus thermal --json``."""
        return self.kept.to_dict()


def save_thermal_run(
    store: StudyStore, subject_id: str, visit_id: str | None, result: ThermalResult, *, node_ids: Sequence[str] = (), session: str | None = None,
    predecessor_id: str | None = None, note: Mapping | None = None, devices: Sequence[Mapping] = (),
) -> PlanRun:  # fmt: skip
    """Keep a thermal plan with its zones for good. ``node_ids`` are its lesions' identities, the first the one that the run
    belongs to; rounds and sessions of treatment are those of its applications. ``devices`` are charts that the plan file
    brought itself. Refuses ``plan_kinds_differ`` (the predecessor is a plan of another kind), and what
    ``StudyStore.save_plan_run`` refuses."""
    if predecessor_id is not None and not is_thermal(store.plan_run(predecessor_id)):
        raise StudyRefused("A plan of heat or cold follows one of its kind, not a plan of an electric field.", code="plan_kinds_differ", hint="Name another predecessor, or none.")
    blobs = {"zone": store.put_blob(pack_levels(result.levels))}
    if result.bioheat is not None:
        blobs |= {f"course: {name}": store.put_blob(pack_levels(level)) for name, level in result.bioheat.levels.items()}
    plan, answer = _written(result.plan, store, blobs), result.answer()
    if devices:
        plan["devices"] = list(devices)
    modality = sorted({result.plan.device(a).modality for a in result.plan.applications})
    rounds = [{"round": n, "sessions": sorted({a.session for a in result.plan.applications if a.round == n})} for n in result.plan.rounds]
    inputs = {"plan_sha256": sha256_text(canonical_json(plan)), "assessment_sha256": sha256_text(canonical_json(answer)), **(note or {})}
    content = {"schema": SCHEMA, "modality": modality, "rounds": rounds, "nodes": list(node_ids), "plan": plan, "assessment": answer, "inputs": inputs}
    if result.bioheat is not None:
        content["course"] = list(result.bioheat.levels)  # criteria in their order: an object's keys are kept by name
    return store.save_plan_run(content, subject_id=subject_id, visit_id=visit_id, blobs=blobs, node_id=next(iter(node_ids), None), session=session, predecessor_id=predecessor_id)


def newest_thermal(store: StudyStore, subject_id: str, node_id: str | None) -> PlanRun | None:
    """The run that a new thermal plan of this node most likely follows."""
    return proposed_predecessor(store.list_plan_runs(subject_id), node_id, None, thermal=True)


def open_thermal_run(store: StudyStore, plan_run_id: str) -> KeptThermal:
    """A thermal run as it was kept. Raises ``plan_run_missing``, ``run_is_electric`` (a plan of an electric field),
    ``plan_run_damaged``, and what a damaged plan is refused with."""
    run = store.plan_run(plan_run_id)
    if not is_thermal(run):
        raise StudyRefused(f"Plan run {plan_run_id} is of an electric field; it has no zones of heat or cold.", code="run_is_electric")
    plan = _plan_of(store, run.content["plan"])
    course = {name.removeprefix("course: "): unpack_levels(store.get_blob(digest)) for name, digest in run.blobs.items() if name.startswith("course: ")}
    names = run.content.get("course", ())
    ordered, kept_answer = _in_order(course, names), run.content["assessment"]
    if (heat := kept_answer.get("bioheat")) is not None:
        kept_answer = kept_answer | {"bioheat": heat | {"zones": _in_order(heat["zones"], names)}}
    notes = []
    for a, kept in zip(plan.applications, run.content["assessment"].get("applications", ()), strict=False):
        if json.loads(canonical_json(plan.row(a).to_dict())) != kept.get("chart"):
            notes.append(f"The chart of {plan.device(a).title}, {a.setting}, is another one now; the zones shown are those that were kept.")
    zone = unpack_levels(store.get_blob(run.blobs["zone"]))
    return KeptThermal(run, plan, zone, KeptCourse(ordered) if ordered else None, KeptAnswer(kept_answer, {}), tuple(dict.fromkeys(notes)))


def _in_order(found: Mapping, names: Sequence[str]) -> dict:
    return {name: found[name] for name in names if name in found} | dict(found)


def compare_thermal(first: PlanRun, second: PlanRun) -> dict:
    """Figures of two thermal runs, as ``compare_answers`` with their names. Raises ``plan_kinds_differ`` where one of them is
    a plan of an electric field."""
    if not (is_thermal(first) and is_thermal(second)):
        raise kinds_differ()
    return {"first": first.plan_run_id, "second": second.plan_run_id, **compare_answers(first.content["assessment"], second.content["assessment"])}


def compare_answers(one: Mapping, two: Mapping) -> dict:
    """Figures of two thermal answers: ``{"planned", "actual", "difference"}`` of first and second, second less first. Zones,
    lesions by name, structures at risk by name, share of the liver; ``refused`` names what refuses each."""

    def share(answer: Mapping) -> float | None:
        return None if answer.get("liver") is None else 100.0 * answer["liver"]["ablated_fraction"]

    def matched(key: str, wanted: tuple[str, ...]) -> list[dict]:
        rows = [{r["name"]: r for r in answer.get(key, ())} for answer in (one, two)]
        return [{"name": name, **{k: both_of(rows[0].get(name, {}).get(k), rows[1].get(name, {}).get(k)) for k in wanted}} for name in dict.fromkeys([*rows[0], *rows[1]])]

    return {
        "zone_ml": both_of(one.get("zone_ml"), two.get("zone_ml")), "collateral_ml": both_of(one.get("collateral_ml"), two.get("collateral_ml")),
        "liver_pct": both_of(share(one), share(two)), "lesions": matched("lesions", LESION_KEYS), "at_risk": matched("at_risk", ("overlap_ml", "zone_distance_mm")),
        "applications": both_of(len(one.get("applications", ())), len(two.get("applications", ()))),
        "refused": [[c["code"] for c in a.get("constraints", ()) if c["level"] == "refuse"] for a in (one, two)],
    }  # fmt: skip


def kinds_differ() -> StudyRefused:
    """The refusal of setting a plan of heat or cold against one of an electric field."""
    return StudyRefused("A plan of heat or cold and a plan of an electric field have no figures in common; each is compared with its like.", code="plan_kinds_differ", hint="Choose two runs of one kind.")


def pack_levels(levels: ZoneLevels) -> bytes:
    """Zones as compressed float32 levels (mm, positive inside), kept to 15 mm from the surface, with their grid."""
    arrays = {"whole": levels.whole, **{f"round_{n}": level for n, level in levels.by_round.items()}}
    arrays |= {name: level for name, level in (("small", levels.small), ("large", levels.large)) if level is not None}
    grid, stream = levels.grid, io.BytesIO()
    np.savez_compressed(
        stream, spacing_mm=grid.spacing_mm, origin_mm=grid.origin_mm, counted_mm=grid.counted_mm,
        **{name: np.clip(np.nan_to_num(level, nan=-KEPT_MM), -KEPT_MM, KEPT_MM).astype(np.float32) for name, level in arrays.items()},
    )  # fmt: skip
    return stream.getvalue()


def unpack_levels(data: bytes) -> ZoneLevels:
    """The zones of ``pack_levels``. Raises ``plan_run_damaged``."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as z:
            whole, counted = z["whole"], z["counted_mm"]
            grid = FieldGrid(whole.shape, float(z["spacing_mm"]), tuple(map(float, z["origin_mm"])), (tuple(map(float, counted[0])), tuple(map(float, counted[1]))))
            by_round = {int(name.removeprefix("round_")): z[name] for name in z.files if name.startswith("round_")}
            return ZoneLevels(grid, whole, by_round, *(z[name] if name in z.files else None for name in ("small", "large")))
    except Exception as problem:  # a damaged archive raises whatever its parser meets
        raise NodusError(f"A zone kept with this run cannot be read ({type(problem).__name__}).", code="plan_run_damaged", hint="Restore a backup.") from problem


def _written(plan: ThermalPlan, store: StudyStore, blobs: dict[str, str]) -> dict:
    """The plan as JSON: each mask becomes a blob named by its hash."""
    out = plan.to_dict()
    entries = [*out["lesions"], *out["at_risk"], *([out["liver"] | {"name": "liver"}] if out["liver"] else [])]
    shapes = [*(p.shape for p in plan.lesions), *(p.shape for p in plan.at_risk), *([plan.liver] if out["liver"] else [])]
    for entry, shape in zip(entries, shapes, strict=True):
        if (mask := getattr(shape, "mask", None)) is not None:
            mask = replace(mask, label=1)
            digest = store.put_blob(pack_mask(mask))
            blobs[f"mask: {entry['name']}"] = digest
            entry["shape"].update(path=f"blob:{digest}", label=1)
    return out


def _plan_of(store: StudyStore, content: Mapping) -> ThermalPlan:
    limits, capsule_mm = thermal_limits()
    return ThermalPlan.from_dict(content, thermal_devices(), limits, lambda path, _label: mask_of_blob(store, path), capsule_mm)
