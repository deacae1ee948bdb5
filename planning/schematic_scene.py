"""A schematic's shapes, placed so that the distances measured come out of them, and the plan they make."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import lru_cache
from itertools import combinations

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from planning.anatomy import Anatomy, StatedClear
from planning.electrode import Electrode, distance_to_needle_mm, pair_distance_mm, segment_distance_mm
from planning.errors import PlanRefused
from planning.schematic import KINDS, SCHEMA, NeedleMeasure, Schematic, StructureMeasure
from planning.shapes import Ellipsoid, Rod
from planning.source import SCHEMATIC_MARK, SCHEMATIC_WARNING

AROUND_MM = 25.0  # of tissue around metal and target, as in a plan drawn in the window
TOUCH_SLACK_MM = 1e-6
SKIN_NAME = "air beyond the skin"
FRAME = (
    "Origin at the skin mark. x: {x}; y: depth from the skin, at right angles to it; z: cranial. The skin is the plane y = 0. "
    "Lateral runs along the skin away from the midline. The frame is not registered to any image."
)


def axes_of(side: str) -> np.ndarray:
    """Rows: the local frame's lateral, cranial and depth in the plan's LPS-like axes."""
    return np.array([[-1.0 if side == "right" else 1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])


def frame_words(side: str) -> str:
    """The local frame in a sentence."""
    return FRAME.format(x={"right": "minus lateral (the patient's left)", "left": "lateral (the patient's left)"}.get(side, "the patient's left"))


def node_shape(schematic: Schematic) -> Ellipsoid:
    """The node's ellipsoid in plan axes. Its near surface, the point nearest to the skin, lies at the measured depth."""
    node, axes = schematic.node, axes_of(schematic.side)
    turn, tilt = math.radians(node.turn_deg), math.radians(node.tilt_deg)
    along_skin = np.array([math.sin(turn), math.cos(turn), 0.0])
    down = np.array([0.0, 0.0, 1.0])
    length = math.cos(tilt) * along_skin + math.sin(tilt) * down
    width = np.array([math.cos(turn), -math.sin(turn), 0.0])
    thickness = math.cos(tilt) * down - math.sin(tilt) * along_skin
    size = (node.width_mm, node.thickness_mm, node.length_mm)
    half_depth = 0.5 * math.hypot(*(s * v[2] for s, v in zip(size, (width, thickness, length), strict=True)))
    depth = node.depth_mm + (half_depth if node.depth_to == "near_surface" else 0.0)
    if depth - half_depth <= 0:
        raise PlanRefused(f"The node reaches through the skin: its near surface lies at {depth - half_depth:.1f} mm.", code="through_skin")
    centre = np.array([node.lateral_mm, node.cranial_mm, depth]) @ axes
    rows = None if node.turn_deg == 0 and node.tilt_deg == 0 else [list(v @ axes) for v in (width, thickness, length)]
    return Ellipsoid(tuple(centre), size, rows)


def ellipsoid_distance_mm(shape: Ellipsoid, point) -> float:
    """Exact distance of a point to an ellipsoid's surface, 0 inside: root of Σ (a p / (t + a²))² = 1, a falling convex function that Newton
    reaches from below (Eberly, Distance from a Point to an Ellipsoid, 2013)."""
    p = np.asarray(point, float) - shape.center_mm
    if shape.rotation is not None:
        p = np.asarray(shape.rotation) @ p
    a = 0.5 * np.asarray(shape.axes_mm)
    if ((p / a) ** 2).sum() <= 1.0:
        return 0.0
    t = max(0.0, float((a * np.abs(p) - a * a).max()))
    for _ in range(100):
        terms = (a * p / (t + a * a)) ** 2
        step = (terms.sum() - 1.0) / (2.0 * (terms / (t + a * a)).sum())
        t += step
        if step <= 1e-15 * max(t, 1.0):
            break
    return float(np.linalg.norm(p - a * a * p / (t + a * a)))


def _least_along(rod: Rod, distance) -> float:
    """Smallest value of a convex ``distance(point)`` over a rod's axis."""
    a, b = np.asarray(rod.from_mm), np.asarray(rod.to_mm)
    found = minimize_scalar(lambda s: distance(a + s * (b - a)), bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-10})
    return min(float(found.fun), distance(a), distance(b))


def node_gap_mm(node: Ellipsoid, rod: Rod) -> float:
    """Between the surfaces of node and structure; negative (minus the radius at most) where they overlap."""
    return _least_along(rod, lambda p: ellipsoid_distance_mm(node, p)) - 0.5 * rod.diameter_mm


def needle_gap_mm(rod: Rod, electrode: Electrode) -> float:
    """Between the surfaces of structure and needle, from tip to entry; 0 where they meet."""
    return max(0.0, _least_along(rod, lambda p: max(0.0, float(distance_to_needle_mm(p, electrode, electrode.length_mm)))) - 0.5 * rod.diameter_mm)


def structure_shape(schematic: Schematic, measure: StructureMeasure, node: Ellipsoid | None = None) -> Rod:
    """The rod that keeps the measured distance. Refuses one that overlaps the node (``structure_overlaps_node``) or reaches through the
    skin (``through_skin``)."""
    return _placed(schematic.side, node or node_shape(schematic), measure)


@lru_cache(maxsize=256)  # while a needle is dragged the structures stay
def _placed(side: str, node: Ellipsoid, measure: StructureMeasure) -> Rod:
    axes = axes_of(side)
    along, towards = measure.course_vector() @ axes, measure.direction_vector() @ axes
    half = 0.5 * measure.length_mm * along

    def at(off_mm: float) -> Rod:
        middle = start + off_mm * towards
        return Rod(tuple(middle - half), tuple(middle + half), measure.diameter_mm, round_ends=True)

    if measure.measured_from == "mark":
        start = np.zeros(3)
        rod = at(measure.distance_mm + 0.5 * measure.diameter_mm)
        gap = node_gap_mm(node, rod)
        if gap < -TOUCH_SLACK_MM:
            raise PlanRefused(f"The {measure.kind} overlaps the node as both were measured from the mark.", code="structure_overlaps_node", hint="Measure its distance from the node's surface.")
    else:
        start = np.asarray(node.center_mm)
        most = max(node.axes_mm) + measure.diameter_mm + measure.distance_mm
        rod = at(brentq(lambda off: node_gap_mm(node, at(off)) - measure.distance_mm, 0.0, most, xtol=1e-12, rtol=1e-14))
    shallowest = min(rod.from_mm[1], rod.to_mm[1]) - 0.5 * rod.diameter_mm
    if shallowest <= 0:
        raise PlanRefused(f"The {measure.kind} reaches through the skin by {-shallowest:.1f} mm.", code="through_skin", hint="Check its distance, direction and diameter, and the node's depth.")
    return rod


def needle_shape(schematic: Schematic, measure: NeedleMeasure, node: Ellipsoid | None = None) -> Electrode:
    """The needle with its entry on the skin. Refuses ``needle_not_through_skin``."""
    node, axes = node or node_shape(schematic), axes_of(schematic.side)
    tip = np.asarray(node.center_mm) + np.array([measure.lateral_mm, measure.cranial_mm, measure.deep_mm]) @ axes
    if tip[1] <= 0:
        raise PlanRefused(f"Needle {measure.id} does not enter through the skin: its tip lies {-tip[1]:.1f} mm above it.", code="needle_not_through_skin")
    up = measure.direction() @ axes
    entry = tip - up * tip[1] / up[1]
    entry[1] = 0.0
    return Electrode(measure.id, tuple(tip), tuple(entry), measure.exposure_mm, measure.diameter_mm)


def needle_measure(schematic: Schematic, electrode) -> NeedleMeasure:
    """The numbers of a needle as it lies (anything with ``id``, ``tip_mm``, ``entry_mm``, ``exposure_mm``, ``diameter_mm``): the way back from
    ``needle_shape``. Refuses ``needle_not_through_skin``."""
    axes, node = axes_of(schematic.side), node_shape(schematic)
    off = axes @ (np.asarray(electrode.tip_mm, float) - node.center_mm)
    up = axes @ np.subtract(electrode.entry_mm, electrode.tip_mm)
    if up[2] >= 0:
        raise PlanRefused(f"Needle {electrode.id} does not enter through the skin: it points away from it.", code="needle_not_through_skin")
    lean = (math.degrees(math.atan2(up[n], -up[2])) for n in (0, 1))
    return NeedleMeasure(electrode.id, float(off[0]), float(off[1]), float(off[2]), *lean, float(electrode.exposure_mm), float(electrode.diameter_mm))


def with_needles(schematic: Schematic, electrodes) -> Schematic:
    """The schematic with these needles and without pulses (the plan that is made keeps its own)."""
    return replace(schematic, needles=tuple(needle_measure(schematic, e) for e in electrodes), pulses=())


def structures_of(schematic: Schematic) -> list[tuple[str, Rod, str]]:
    """``(name, rod, tissue preset)`` of every structure placed; names are numbered where two are alike."""
    node, out = node_shape(schematic), []
    for measure in schematic.structures:
        name, used = measure.label(schematic.side), {n for n, _, _ in out}
        name = next(n for n in (name, *(f"{name} {i}" for i in range(2, 1000))) if n not in used)
        out.append((name, structure_shape(schematic, measure, node), KINDS[measure.kind][0]))
    return out


def needles_of(schematic: Schematic) -> list[Electrode]:
    """Every needle."""
    node = node_shape(schematic)
    return [needle_shape(schematic, n, node) for n in schematic.needles]


def check_scene(schematic: Schematic) -> None:
    """Refuse what cannot lie so: shapes that overlap the node or reach through the skin, needles that do not enter, pairs of unknown
    needles, names used twice."""
    structures_of(schematic)
    needles = needles_of(schematic)
    ids = [n.id for n in needles]
    if len(set(ids)) != len(ids):
        raise PlanRefused("Two needles have the same id.", code="duplicate_electrode")
    for p in schematic.pulses:
        for id in (p.anode, p.cathode):
            if id not in ids:
                raise PlanRefused(f"The pulses name needle {id}, which the schematic does not have.", code="unknown_electrode")
    for far in schematic.far:
        if schematic.side == "midline" and KINDS[far.kind][1] and far.side is None:
            raise PlanRefused(f"The {far.kind} beside a midline node must say its side.", code="side_unstated", hint="Add left or right as its side.")


def distances(schematic: Schematic) -> dict:
    """What the shapes measure (mm): node to structures, mark to structures, needles to structures and to each other; the node's volume (ml)."""
    node, placed, needles = node_shape(schematic), structures_of(schematic), needles_of(schematic)
    return {
        "node": {"name": schematic.node.name, "volume_ml": math.pi / 6.0 * math.prod(node.axes_mm) / 1000.0, "centre_mm": list(node.center_mm),
                 "near_surface_mm": float(node.bounds_mm()[0][1]), "far_surface_mm": float(node.bounds_mm()[1][1])},
        "structures": [{"name": name, "from_node_mm": node_gap_mm(node, rod),
                        "from_mark_mm": _least_along(rod, lambda p: float(np.linalg.norm(p))) - 0.5 * rod.diameter_mm,
                        "needles": [{"id": e.id, "distance_mm": needle_gap_mm(rod, e)} for e in needles]} for name, rod, _ in placed],
        "needles": [{"id": e.id, "depth_mm": e.length_mm, "tip_depth_mm": e.tip_mm[1]} for e in needles],
        "pairs": [{"anode": a.id, "cathode": b.id, "distance_mm": pair_distance_mm(a, b)} for a, b in combinations(needles, 2)],
    }  # fmt: skip


def warnings_of(schematic: Schematic) -> list[dict]:
    """That this is a schematic, and structures that overlap each other as measured."""
    out = [{"code": "schematic", "message": SCHEMATIC_WARNING}]
    for (a, one, _), (b, two, _) in combinations(structures_of(schematic), 2):
        gap = segment_distance_mm(one.from_mm, one.to_mm, two.from_mm, two.to_mm) - 0.5 * (one.diameter_mm + two.diameter_mm)
        if gap < -TOUCH_SLACK_MM:
            out.append({"code": "structures_overlap", "message": f"As measured, {a} and {b} overlap by {-gap:.1f} mm: check their distances; the later one is taken where they do."})
    return out


def plan_dict(schematic: Schematic, needles: list[Electrode] | None = None, pulses: list[dict] | None = None, anatomy: Anatomy | None = None) -> dict:
    """The ``nodus.plan/1`` object: analytic shapes, air beyond the skin as the last region, ``source`` with what was measured.

    ``needles``, ``pulses`` and ``anatomy`` stand in place of the schematic's own where given; needles that do not enter through the skin are
    refused. The source keeps no needles: those of the plan are moved by optimiser and hand, and a copy would soon be wrong.
    """
    if needles is not None:
        schematic = with_needles(schematic, needles)
    else:
        needles = needles_of(schematic)
    measured = {k: v for k, v in schematic.to_dict().items() if k not in ("needles", "pulses")}
    node, placed = node_shape(schematic), structures_of(schematic)
    low, high = (np.array(v, float) for v in node.bounds_mm())
    for e in needles:
        for p in (np.asarray(e.tip_mm), e.exposed_end_mm):
            low, high = np.minimum(low, p), np.maximum(high, p)
    low, high = low - AROUND_MM, high + AROUND_MM
    for _, rod, _ in placed:  # whole structures, so that what is told of them is of all of them
        a, b = rod.bounds_mm()
        low, high = np.minimum(low, a - 1.0), np.maximum(high, b + 1.0)
    low[1] = min(low[1], -5.0)
    h = schematic.spacing_mm
    # Cell faces on the skin's plane: the skin is where it was measured, not half a cell off.
    low, high = np.floor(low / h) * h, np.ceil(high / h) * h
    far = [StatedClear.of(f"{f.side or schematic.side} {f.kind}" if KINDS[f.kind][1] else f.kind, f.by, needles, farther_than_mm=f.farther_than_mm) for f in schematic.far]
    air_size = [float(high[0] - low[0]) + 2.0, float(-low[1]) + 1.0, float(high[2] - low[2]) + 2.0]
    air_centre = [float(0.5 * (low[0] + high[0])), -0.5 * air_size[1], float(0.5 * (low[2] + high[2]))]
    regions = [{"name": schematic.node.name, "role": "target", "shape": node.to_dict(), "conductivity": {"preset": "node"}}]
    regions += [{"name": name, "role": "at_risk", "shape": rod.to_dict(), "conductivity": {"preset": preset}} for name, rod, preset in placed]
    regions.append({"name": SKIN_NAME, "role": "tissue", "shape": {"type": "box", "center_mm": air_centre, "size_mm": air_size}, "conductivity": {"preset": "air"}})
    return {
        "schema": "nodus.plan/1",
        "source": {"kind": "schematic", "schema": SCHEMA, "mark": SCHEMATIC_MARK, "frame": frame_words(schematic.side), "uncertainty_mm": schematic.uncertainty_mm,
                   "schematic": json.loads(json.dumps(measured))},
        "domain": {"center_mm": (0.5 * (low + high)).tolist(), "size_mm": (high - low).tolist(), "spacing_mm": h},
        "background": {"preset": schematic.background},
        "regions": regions,
        "electrodes": [e.to_dict() for e in needles],
        "pulses": _pulses(schematic, needles) if pulses is None else pulses,
        "thresholds_v_per_cm": list(schematic.thresholds_v_per_cm),
        "lethal_v_per_cm": schematic.lethal_v_per_cm,
        "boundary": "insulating",
        "margin_mm": schematic.margin_mm,
        "anatomy": (anatomy or Anatomy.of_site(schematic.site, schematic.side, tuple(far))).to_dict(),
    }  # fmt: skip


def _pulses(schematic: Schematic, needles: list[Electrode]) -> list[dict]:
    by_id, out = {e.id: e for e in needles}, []
    for p in schematic.pulses:
        volts = p.voltage_v if p.voltage_v is not None else round(p.v_per_cm * pair_distance_mm(by_id[p.anode], by_id[p.cathode]) / 10.0)
        gating = {} if p.ecg_gated is None else {"ecg_gated": p.ecg_gated}
        out.append({"anode": p.anode, "cathode": p.cathode, "voltage_v": float(volts), "pulses": p.pulses, "width_us": p.width_us, "rate_hz": p.rate_hz, **gating})
    return out
