"""What an ablation was meant to reach, beside what is seen on ultrasound later: the zone that the kept plan of Day 0 predicts, cut through
the middle of the node it was planned for.

The plane of an ultrasound loop in the patient is not known. So this compares sizes: nothing here says where in the picture the zone lay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from app import __version__
from app.study.clinical import standing, zone_stated_ml
from app.study.model import ABLATION_KINDS, PlanRun, TargetNode, Visit
from app.study.store import StudyStore
from app.usecases.contrast_draft import load_contrast
from app.usecases.kept_plans import drawn, is_thermal, open_run
from app.usecases.picture_draft import load_draft
from app.usecases.readings import find_node, find_visit
from app.usecases.thermal_runs import open_thermal_run
from planning.compare import compare_delivery
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.section import Section, cut, largest_normal, outline_section, own_long_axis

LONG, SHORT, LARGEST = "longitudinal", "transverse", "largest"
LEAST_V_PER_CM = 1e-3  # keeps the logarithm of a field finite
PLANE_OPEN = Finding("loop_plane_not_stated", "Whether the loop is longitudinal or transverse was not stated: the planned zone is shown in the plane of its largest section.", "info")
SIZE_ONLY = "Sizes only: where the plane of the ultrasound picture lay in the patient, and where in it the planned zone was, is not known."


@dataclass(frozen=True, slots=True, eq=False)
class PlannedZone:
    """The predicted zone of a kept run. ``sections`` by plane (``LONG``, ``SHORT``, ``LARGEST``) through the middle of the node that was
    planned for; of a nearly round node there is the largest alone. ``zone_ml`` is the whole zone as the run kept it, ``node_ml``
    the outline that was planned for."""

    run_id: str
    kind: str
    session: str | None
    is_delivered: bool
    delivered_on: str | None
    zone_ml: float | None
    node_ml: float | None
    sections: Mapping[str, Section]
    findings: tuple[Finding, ...] = ()

    def in_plane(self, stated: str | None) -> tuple[str, Section | None]:
        """(plane, section) for a loop whose plane was stated so: of the largest section where none was, or the zone has none there."""
        plane = stated if stated in self.sections else LARGEST
        return plane, self.sections.get(plane)

    def to_dict(self, stated: str | None) -> dict[str, Any]:
        """As printed by ``nodus study contrast-compare --json``."""
        plane, section = self.in_plane(stated)
        return {
            "run": self.run_id, "kind": self.kind, "session": self.session, "delivered": self.is_delivered, "delivered_on": self.delivered_on, "plane": plane,
            **section_dict(section), "zone_ml": self.zone_ml, "node_ml": self.node_ml,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class MeasuredZone:
    """The ablation zone of a node as it was measured on the day of its first ablation, logged with that event."""

    ml: float
    date: str
    source: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DrawnShape:
    """What a reader drew of a node on ultrasound at an earlier visit: the ablated zone, else the node's outline."""

    visit: str
    is_zone: bool
    section: Section
    points_mm: np.ndarray  # as it lay in the picture, about the middle of its box


# ---- the kept plan ---------------------------------------------------------------------------------
def run_to_compare(store: StudyStore, node: TargetNode, visit: Visit) -> tuple[PlanRun, tuple[PlanRun, ...], tuple] | None:
    """(run, runs kept after it, records of what was delivered): of the node's runs of Day 0, or of no stated session, on pictures up
    to this visit, the newest that was delivered, else the newest. A run that names no node counts where a target bears the node's
    label."""
    order = {v.visit_id: v.order for v in store.visits(node.subject_id)}
    runs = [
        r for r in store.list_plan_runs(node.subject_id)
        if r.session != "salvage" and order.get(r.visit_id, visit.order) <= visit.order and (node.node_id in _nodes_of(r) or (not _nodes_of(r) and node.label in _targets_of(r)))
    ]  # fmt: skip
    if not runs:
        return None
    records: dict[str, list] = {}
    for record in store.deliveries():
        records.setdefault(record.plan_run_id, []).append(record)
    given = [n for n, r in enumerate(runs) if r.plan_run_id in records or r.planned_id in records]
    at = given[-1] if given else len(runs) - 1
    run = runs[at]
    return run, tuple(runs[at + 1 :]), tuple(records.get(run.plan_run_id) or records.get(run.planned_id or "") or ())


def _nodes_of(run: PlanRun) -> tuple[str, ...]:
    return tuple(dict.fromkeys(n for n in (run.node_id, *run.content.get("nodes", ())) if n))


def _targets_of(run: PlanRun) -> list[str]:
    plan = run.content.get("plan", {})
    return [r.get("name") for r in plan.get("regions", ()) if r.get("role") == "target"] + [r.get("name") for r in plan.get("lesions", ())]


def planned_zone(store: StudyStore, node: TargetNode, visit: Visit) -> PlannedZone | None:
    """The predicted zone of the run to compare with, cut; None where the node has no run. It reads the run's field: work for a job.
    Refuses what a damaged run is refused with."""
    chosen = run_to_compare(store, node, visit)
    if chosen is None:
        return None
    run, later, records = chosen
    opened = (open_thermal_run if is_thermal(run) else open_run)(store, run.plan_run_id)
    answer = opened.run.content["assessment"]
    if is_thermal(run):
        grid, level, zone_ml = opened.levels.grid, opened.levels.whole, answer.get("zone_ml")
        geometry = ImageGeometry.from_spacing(grid.shape, (grid.spacing_mm,) * 3, grid.origin_mm)
        targets = [(p.name, p.shape) for p in opened.plan.lesions]
    else:
        geometry, level, zone_ml = None, None, answer.get("ablation_ml")
        if opened.field is not None:
            geometry = opened.field.geometry
            # the logarithm of the field is nearly linear around a needle: better between voxel centres
            level = np.log(np.maximum(opened.field.e_max_v_per_cm, LEAST_V_PER_CM) / np.float32(opened.plan.lethal_v_per_cm))
        targets = [(r.name, r.shape) for r in opened.plan.regions if r.role == "target"]
    findings = list(_doubts(run, later, records, node, len(targets)))
    named = next((s for name, s in targets if name == node.label), targets[0][1] if targets else None)
    mask = None if named is None else getattr(named, "mask", None) or drawn(node.label, named)
    sections, more = {}, ()
    if level is None:
        more = (Finding("planned_zone_not_kept", "The run holds no field: its zone has a volume, and no section.", "warning"),)
    elif not (level > 0).any():
        more = (Finding("planned_zone_empty", "Nothing reaches the lethal level in this plan: it predicts no zone.", "warning"),)
    else:
        sections, more = zone_sections(level, geometry, None if mask is None else own_long_axis(mask.array, mask.geometry))
    node_ml = None if mask is None else float(mask.array.sum()) * mask.geometry.voxel_size_mm3 / 1000.0
    days = [r.date for r in records if r.date]
    return PlannedZone(run.plan_run_id, run.kind or "planned", run.session, bool(records), max(days, default=None), zone_ml, node_ml, sections, (*findings, *more))


def zone_sections(level: np.ndarray, geometry: ImageGeometry, middle_and_axis=None) -> tuple[dict[str, Section], tuple[Finding, ...]]:
    """Sections of what is above 0 in ``level`` [k, j, i] through the middle of a node (LPS mm; without one the zone's own): across the
    node's longest axis, the largest along it, and the largest of all. Refuses ``empty_mask``: nothing is above 0."""
    middle, axis = middle_and_axis or (own_long_axis(level > 0, geometry)[0], None)
    normals = {LARGEST: largest_normal(level, geometry, middle)}
    findings = []
    if axis is not None:
        normals |= {LONG: largest_normal(level, geometry, middle, along=axis), SHORT: axis}
    else:
        findings.append(Finding("planned_plane_open", "The node that was planned for is nearly round: it has no plane along or across. The zone is shown in the plane of its largest section.", "info"))
    sections = {plane: found for plane, normal in normals.items() if (found := cut(level, geometry, middle, normal)) is not None}
    if any(s.parts > 1 for s in sections.values()):
        findings.append(Finding("planned_zone_in_parts", "The predicted zone falls into parts; the section is of the part at the node, the volume of all of them.", "warning"))
    return sections, tuple(findings)


def _doubts(run: PlanRun, later: Sequence[PlanRun], records: Sequence, node: TargetNode, targets: int) -> Iterable[Finding]:
    """What has to be known of a prediction before it is compared with."""
    if not records:
        yield Finding("planned_not_delivered", "No delivery of this plan is recorded: the zone is what was meant, not what was done.", "info" if is_thermal(run) else "warning")
    elif not compare_delivery(run.content["plan"], [p.to_dict() for r in records for p in r.pairs])["complete"]:
        yield Finding("delivered_otherwise", "Not everything was delivered as planned; the predicted zone is that of the whole plan.", "warning")
    if any((r.kind or "planned") == "planned" for r in later):
        yield Finding("planned_zone_superseded", f"The plan was changed later: {later[-1].plan_run_id} was kept after it, without a record of delivery.", "warning")
    refused = list(dict.fromkeys(c["code"] for c in run.content.get("assessment", {}).get("constraints", ()) if c.get("level") == "refuse"))
    if refused:
        yield Finding("planned_zone_refused", f"This plan cannot be approved: {', '.join(refused)}.", "warning")
    if run.software_version not in (None, __version__):
        yield Finding("planned_zone_older_version", f"The zone was predicted by version {run.software_version} and is shown as it was kept.", "info")
    if targets > 1:
        yield Finding("planned_zone_of_several", f"The plan covers {targets} targets: its volume is of all of them.", "info")
    if not _nodes_of(run):
        yield Finding("planned_for_label", f"The run names no node; one of its targets is called {node.label}.", "info")
    if run.session is None:
        yield Finding("planned_session_open", "The run does not say whether it is of Day 0.", "info")


# ---- what was logged and drawn ------------------------------------------------------------------------
def measured_zone(store: StudyStore, node: TargetNode, visit: Visit) -> tuple[MeasuredZone | None, tuple[Finding, ...]]:
    """The zone of the node's first ablation, where its volume was logged; and whether the node was ablated again since."""
    events = sorted((e for e in standing(store.clinical_events(node.subject_id)) if e.kind in ABLATION_KINDS and e.node_id in (None, node.node_id)), key=lambda e: e.date)
    if visit.actual_date is not None:
        events = [e for e in events if e.date <= visit.actual_date]
    if not events:
        return None, ()
    first = [e for e in events if e.date == events[0].date]
    ml = zone_stated_ml(first, node.node_id)
    again = next((e for e in events if e.kind == "SALVAGE" or e.date > events[0].date), None)
    findings = () if again is None else (Finding("ablated_again", "The node was ablated again after Day 0: its zone today is of both.", "warning"),)
    if ml is None:
        return None, findings
    return MeasuredZone(ml, events[0].date, next((str(e.detail["zone_source"]) for e in first if e.detail.get("zone_source")), None)), findings


def drawn_earlier(store: StudyStore, visits: Iterable[Visit], node_id: str, reader: str) -> DrawnShape | None:
    """The newest ablated zone that this reader drew of a node on a loop of these visits (newest first), else the newest outline on a picture."""
    visits = tuple(visits)
    for visit in visits:
        found = drawn_on_loop(store, visit, node_id, reader, "ablated_zone")
        if found is not None:
            return DrawnShape(visit.name, True, outline_section(found[1]), _about_middle(found[1]))
    for visit in visits:
        found = _outlined(store, visit, node_id, reader)
        if found is not None:
            return DrawnShape(visit.name, False, outline_section(found[1]), _about_middle(found[1]))
    return None


def drawn_on_loop(store: StudyStore, visit: Visit, node_id: str, reader: str, role: str) -> tuple[tuple[str, int], np.ndarray] | None:
    """(loop and frame, points in mm) of a region of this role that the reader drew of a node on a loop of the visit; None without one."""
    draft = load_contrast(store, visit.visit_id, reader)
    for name, loop in () if draft is None else draft.loops.items():
        region = next((r for r in loop.regions.get(node_id, ()) if r.role == role), None)
        if region is not None and loop.panes is not None and loop.panes.mm_per_pixel is not None:
            return (name, loop.region_frame or 0), np.asarray(region.polygon_px, float) * np.asarray(loop.panes.mm_per_pixel, float)
    return None


def _outlined(store: StudyStore, visit: Visit, node_id: str, reader: str) -> tuple[tuple[str, int], np.ndarray] | None:
    kept = load_draft(store, node_id, visit.visit_id, reader)
    for still, measured in () if kept is None else kept.outlines.items():
        axes = measured.axes
        if axes.long_axis_mm is not None and axes.long_axis_px:
            return still, np.asarray(measured.outline.points_px, float) * (axes.long_axis_mm / axes.long_axis_px)
    return None


def _about_middle(points_mm) -> np.ndarray:
    points = np.asarray(points_mm, float)
    return points - 0.5 * (points.min(axis=0) + points.max(axis=0))


# ---- the comparison from outside the window -------------------------------------------------------------
def contrast_comparison(store: StudyStore, subject_id: str, visit_name: str, node_label: str, reader: str | None = None) -> dict[str, Any]:
    """Sizes beside each other, as printed by ``nodus study contrast-compare --json``. What was drawn and read at the visit needs the
    ``reader``. Refuses ``node_missing``, ``visit_missing``, and what a damaged run or draft is refused with."""
    node, visit = find_node(store, subject_id, node_label), find_visit(store, subject_id, visit_name)
    before = [v for v in sorted(store.visits(subject_id), key=lambda v: v.order, reverse=True) if v.order < visit.order]
    zone, (measured, findings) = planned_zone(store, node, visit), measured_zone(store, node, visit)
    shape = today = stated = None
    if reader is not None:
        shape = drawn_earlier(store, before, node.node_id, reader)
        today, stated = _today(store, node, visit, reader)
    findings = [*(zone.findings if zone is not None else ()), *findings]
    if zone is None:
        findings.append(Finding("no_planned_zone", f"No kept plan of Day 0 predicts a zone of {node.label}.", "info"))
    elif reader is not None and stated is None and LONG in zone.sections:
        findings.append(PLANE_OPEN)
    return {
        "node": node.label, "visit": visit.name, "reader": reader, "meaning": SIZE_ONLY,
        "planned": None if zone is None else zone.to_dict(stated),
        "measured_day0": None if measured is None else {"zone_ml": measured.ml, "date": measured.date, "source": measured.source},
        "drawn_earlier": None if shape is None else {"visit": shape.visit, "of": "ablated_zone" if shape.is_zone else "node", **section_dict(shape.section)},
        "today": today,
        "warnings": [f.as_warning() for f in findings],
    }  # fmt: skip


def section_dict(section: Section | None) -> dict[str, float | None]:
    """Area and diameters as plain values."""
    return {name: None if section is None else getattr(section, name) for name in ("area_mm2", "long_mm", "across_mm")}


def _today(store: StudyStore, node: TargetNode, visit: Visit, reader: str) -> tuple[dict[str, Any] | None, str | None]:
    """What a reader drew and found of the node at a visit, and the plane that they stated of that picture."""
    found = drawn_on_loop(store, visit, node.node_id, reader, "node") or _outlined(store, visit, node.node_id, reader)
    kept, draft = load_draft(store, node.node_id, visit.visit_id, reader), load_contrast(store, visit.visit_id, reader)
    stated = None if found is None or kept is None else plane_of_loop(kept.planes, *found[0])
    if stated is None and found is not None and draft is not None and found[0][0] in draft.loops:
        stated = draft.loops[found[0][0]].plane
    record = None if draft is None else draft.taken.get(node.node_id)
    readings = store.readings(node.subject_id, visit_id=visit.visit_id, node_id=node.node_id, reader=reader)
    reading = max(readings, key=lambda r: ("perfusion" in (r.measurement or {}), r.modality == "CEUS"), default=None)
    if record is None and reading is not None:
        record = (reading.measurement or {}).get("perfusion")
    if found is None and record is None and reading is None:
        return None, stated
    residual = (record or {}).get("residual") or {}
    whole, enhancing = residual.get("node_mm2"), residual.get("viable_mm2")
    return {
        **section_dict(None if found is None else outline_section(found[1])), "not_enhancing_mm2": None if whole is None or enhancing is None or residual.get("viable_pct") is None else whole - enhancing,
        "not_enhancing_pct": residual.get("ablated_pct"), "node_ml": None if reading is None else reading.volume_ml, "not_enhancing_ml": None if reading is None else reading.ablated_ml,
    }, stated  # fmt: skip


def plane_of_loop(planes: Mapping[tuple[str, int], str], name: str, frame: int) -> str | None:
    """The plane stated of a frame of a loop, else of its other frames where they agree."""
    own = {p for (n, _), p in planes.items() if n == name}
    return planes.get((name, frame)) or (next(iter(own)) if len(own) == 1 else None)

