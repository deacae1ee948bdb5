"""What a solved plan does: coverage, margins, structures at risk, limits."""

from __future__ import annotations

from copy import copy, deepcopy
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from planning.electrode import angle_deg, pair_distance_mm
from planning.field.box import MATTERS_FROM_PCT, box_effect_pct
from planning.field.grid import FieldGrid
from planning.field.solution import FieldSolution
from planning.field_volume import field_volume_histogram, margin_figures
from planning.heat.answer import HeatCounter, heat_answer, heat_constraints, region_heat, tissue_names
from planning.heat.train import HeatSolution
from planning.kernels import sampling as ks
from planning.margin import MarginMap, around_needles, distance_outside_mm, lethal_surface, region_surface, signed_margin
from planning.plan import TreatmentPlan
from planning.pulse import PulsePair
from planning.safety import DeviceLimits, anatomy_constraints, device_constraints, needle_distance_mm, path_constraints, tissue_constraints
from planning.threads import ONE_AT_A_TIME
from planning.tissue_map import RegionBits, clear, clear_cells, needle_bits, outer_bits, own_field, sample_bits, tissue_rows

RISK_THRESHOLDS_V_PER_CM = (100.0, 200.0, 400.0)
PERCENTILES = (2, 5, 10, 25, 50, 75, 90, 95, 98)


@dataclass(frozen=True, slots=True, eq=False)
class PlanAssessment:
    """The answer of ``nodus plan`` (``to_dict``) and the margin map of each target by name, for
    pictures."""

    answer: dict
    margins: dict[str, MarginMap]

    def to_dict(self) -> dict:
        """The answer object, field names as documented."""
        return self.answer

    @property
    def can_be_approved(self) -> bool:
        """False where any constraint refuses."""
        return not any(c["level"] == "refuse" for c in self.answer["constraints"])


class _Counter:
    """Counts sub-points of one solved field."""

    def __init__(self, solution: FieldSolution):
        self.e, self.label = solution.e_max_v_per_cm, solution.label
        self.point_ml = solution.geometry.voxel_size_mm3 / ks.POINTS / 1000.0

    def above_ml(self, region: RegionBits, thresholds: list[float]) -> list[float]:
        """Volume of the region at or above each threshold."""
        counts = np.zeros((region.bits.shape[0], len(thresholds)), np.int64)
        if region.bits.size:
            ks.count_above(self.e, region.bits, *region.start, np.array(thresholds, np.float64), counts)
        return [float(c) * self.point_ml for c in counts.sum(axis=0)]

    def within(self, region: RegionBits, row: int) -> tuple[_Counter, RegionBits]:
        """The same for a region of tissue ``row`` by its own tissue's field (``own_field``), and the region on that array."""
        out = copy(self)
        out.e, region = own_field(self.e, self.label, region, row)
        return out, region

    def volume_ml(self, region: RegionBits) -> float:
        """Volume of the region."""
        return ks.count_bits(region.bits) * self.point_ml

    def spread(self, region: RegionBits) -> tuple[np.ndarray, float, float]:
        """``(histogram, smallest, largest)`` of |E| over the region."""
        bins = np.zeros((region.bits.shape[0], ks.BINS), np.int64)
        extremes = np.zeros((region.bits.shape[0], 2))
        ks.histogram(self.e, region.bits, *region.start, bins, extremes)
        return bins.sum(axis=0), float(extremes[:, 0].min()), float(extremes[:, 1].max())


def percentiles_of(histogram: np.ndarray, wanted=PERCENTILES) -> dict[str, float]:
    """Percentiles from a histogram with logarithmic bins, linear within a bin: the value below
    which p % lies (to 0.2 %)."""
    total = np.concatenate([[0], np.cumsum(histogram)])
    edges = ks.LOWEST * (ks.HIGHEST / ks.LOWEST) ** (np.arange(ks.BINS + 1) / ks.BINS)
    out = {}
    for p in wanted:
        goal = p / 100.0 * total[-1]
        n = int(np.clip(np.searchsorted(total, goal, side="left") - 1, 0, ks.BINS - 1))
        inside_bin = histogram[n]
        out[f"{p:g}"] = float(edges[n] + (edges[n + 1] - edges[n]) * ((goal - total[n]) / inside_bin if inside_bin else 0.0))
    return out


def assess_plan(plan: TreatmentPlan, solution: FieldSolution, limits: DeviceLimits | None = None, heat: HeatSolution | None = None) -> PlanAssessment:
    """Everything that ``nodus plan`` answers about a solved plan (see the interface's page).

    Volumes are counted on 4 x 4 x 4 sub-points a voxel with |E| trilinear between voxel centres;
    metal and shaft belong to no volume, later regions take sub-points from earlier ones. Thermal
    fields are None without ``heat``.
    """
    with ONE_AT_A_TIME:
        return _assess(plan, solution, limits or DeviceLimits(), heat)


def _assess(plan: TreatmentPlan, solution: FieldSolution, limits: DeviceLimits, heat: HeatSolution | None) -> PlanAssessment:
    grid = FieldGrid(solution.geometry.shape, solution.report.spacing_mm, solution.geometry.origin_mm, solution.counted_mm)
    counter = _Counter(solution)
    warnings = [{"code": code, "message": text} for code, text in (*plan.notes, *solution.warnings)]
    if plan.source is not None:
        warnings = plan.source.warnings() + warnings
    bits = _region_bits(plan, grid)
    thresholds = sorted({*plan.thresholds_v_per_cm})
    lethal = plan.lethal_v_per_cm

    everything = _tissue_near_field(grid, plan, solution, min([*thresholds, lethal]), bits)
    volumes = counter.above_ml(everything, [*thresholds, lethal])
    ablation = volumes[-1]
    zone = lethal_surface(solution, lethal)

    targets, margins, covered = [], {}, 0.0
    for n, region in enumerate(plan.regions):
        if region.role == "target":
            row, margin, inside_ml = _target(plan, n, grid, counter, bits, zone, thresholds, warnings)
            targets.append(row)
            covered += inside_ml
            if margin is not None:
                margins[region.name if region.name not in margins else f"{region.name} ({n + 1})"] = margin
    if not targets:
        warnings.append({"code": "no_target", "message": "The plan has no target region: coverage and margin are not known."})
    elif ablation <= 0:
        warnings.append({"code": "no_ablation", "message": f"The field reaches {lethal:g} V/cm nowhere."})

    surfaces = {n: region_surface(plan, n, grid, room_mm=around_needles(plan)) for n, r in enumerate(plan.regions) if r.role == "at_risk"}
    # Kept by the region's place in the plan: two structures may bear one name.
    rows_of = {n: {e.id: {"name": plan.regions[n].name, "distance_mm": needle_distance_mm(e, _reach(plan, e), s)} for e in plan.electrodes}
               for n, s in surfaces.items()}
    clearances = {e.id: [rows_of[n][e.id] for n in surfaces] for e in plan.electrodes}
    at_risk = [_at_risk(plan, n, counter, bits[n], list(rows_of[n].values()), thresholds, warnings, solution) for n in surfaces]

    if _touches_wall(everything, solution, lethal):
        warnings.append({"code": "domain_too_small", "message": "The lethal zone reaches the wall of the solved box: enlarge the domain."})
    effect = None if solution.report.preview else box_effect_pct(plan)
    if effect is not None and abs(effect) >= MATTERS_FROM_PCT:
        warnings.append({"code": "domain_small", "message": f"The insulating wall of the solved box changes the lethal volume by {effect:+.1f} % against a box 20 mm wider: enlarge the domain."})
    if solution.report.preview:
        warnings.append({"code": "preview", "message": "Coarse linear preview: not a result."})

    constraints = device_constraints(plan, solution, limits) + path_constraints(clearances, limits) + anatomy_constraints(plan, clearances) + tissue_constraints(plan)
    answer = {
        "pairs": [_pair(plan, p, r) for p, r in zip(plan.pulses, solution.pairs, strict=True)],
        "electrodes": [{"id": e.id, "depth_mm": e.length_mm,
                        "max_angle_to_others_deg": max(angle_deg(e, o) for o in plan.electrodes if o.id != e.id),
                        "path_clearance": clearances[e.id]} for e in plan.electrodes],
        "isovolumes_ml": {f"{t:g}": v for t, v in zip(thresholds, volumes, strict=False)},
        "targets": targets,
        "at_risk": at_risk,
        "ablation_ml": ablation,
        "collateral_ml": max(ablation - covered, 0.0),
        "constraints": [c.to_dict() for c in constraints],
        "solver": solution.report.to_dict() | {"box_effect_pct": effect},
        "warnings": warnings,
        "source": None if plan.source is None else plan.source.kind,
        "heat": None,
    }
    assessment = PlanAssessment(answer, margins)
    return assessment if heat is None else _with_heat(plan, assessment, heat, limits, bits if grid == heat.grid else None)


def with_heat(plan: TreatmentPlan, assessment: PlanAssessment, heat: HeatSolution, limits: DeviceLimits | None = None) -> PlanAssessment:
    """An assessment made without heat, with the heat of the same field: what :func:`assess_plan` answers with both,
    for less work. The assessment that was given stays as it is."""
    with ONE_AT_A_TIME:
        return _with_heat(plan, assessment, heat, limits or DeviceLimits(), None)


def _with_heat(plan: TreatmentPlan, assessment: PlanAssessment, heat: HeatSolution, limits: DeviceLimits, bits: list[RegionBits | None] | None) -> PlanAssessment:
    answer = deepcopy(assessment.answer)
    _add_heat(plan, answer, heat, _region_bits(plan, heat.grid) if bits is None else bits, limits)
    return PlanAssessment(answer, assessment.margins)


def _add_heat(plan: TreatmentPlan, answer: dict, heat: HeatSolution, bits: list[RegionBits | None], limits: DeviceLimits) -> None:
    """Temperature and damage into the answer: of the whole, of targets and structures at risk, of pairs."""
    everything = outer_bits(heat.grid)
    clear_cells(everything, heat.grid, *needle_bits(plan, heat.grid))
    counter = HeatCounter(heat, everything)
    for role, rows in (("target", answer["targets"]), ("at_risk", answer["at_risk"])):
        places = [n for n, r in enumerate(plan.regions) if r.role == role]
        for row, n in zip(rows, places, strict=True):
            row |= region_heat(counter, bits[n], plan.regions[n].conductivity or plan.background)
    answer["heat"] = heat_answer(counter, tissue_names(plan, heat))
    for row, pair in zip(answer["pairs"], heat.pairs, strict=True):
        row |= {"current_end_of_train_a": pair.current_end_of_train_a, "energy_with_heat_j": pair.energy_j}
    answer["constraints"] += [c.to_dict() for c in heat_constraints(answer["heat"], answer["at_risk"], heat.sets, limits.current_most_a)]


def _reach(plan: TreatmentPlan, e) -> float:
    return max(plan.shaft_reach_mm(e), e.length_mm)


def _pair(plan: TreatmentPlan, pulse: PulsePair, r) -> dict:
    distance = pair_distance_mm(plan.electrode(r.anode), plan.electrode(r.cathode))
    return {"anode": r.anode, "cathode": r.cathode, "distance_mm": distance, "voltage_v": r.voltage_v,
            "v_per_cm": r.voltage_v / (distance / 10.0) if distance > 0 else None, "current_a": r.current_a,
            "resistance_ohm": r.voltage_v / r.current_a if r.current_a else None, "energy_j": pulse.energy_j(r.current_a), "ecg_gated": pulse.ecg_gated}


def _region_bits(plan: TreatmentPlan, grid: FieldGrid) -> list[RegionBits | None]:
    """Sub-points of every region, later ones taking from earlier ones, needles from all."""
    out = [sample_bits(r, grid) for r in plan.regions]
    for n, late in enumerate(out):
        for early in out[:n]:
            if late is not None and early is not None:
                clear(early, late)
    cells, taken = needle_bits(plan, grid)
    for n, region in enumerate(out):
        if region is not None and plan.regions[n].role != "tissue":
            clear_cells(region, grid, cells, taken)
            _keep_counted(region, grid)
    return out


def _keep_counted(region: RegionBits, grid: FieldGrid) -> None:
    """Drop sub-points beyond the asked box (only where cells stick out of it)."""
    if all(abs(n * grid.spacing_mm - (h - low)) < 1e-6 for n, low, h in zip(grid.shape[::-1], *grid.counted_mm, strict=True)):
        return
    region.bits[...] &= outer_bits(grid).bits[region.box]


def _tissue_near_field(grid: FieldGrid, plan: TreatmentPlan, solution: FieldSolution, lowest: float, bits: list[RegionBits | None]) -> RegionBits:
    """All tissue sub-points in the box of cells where the field may reach the lowest threshold; air is no tissue."""
    hot = solution.e_max_v_per_cm >= 0.5 * lowest
    box = []
    for axis in range(3):
        hits = np.flatnonzero(hot.any(axis=tuple(a for a in range(3) if a != axis)))
        if hits.size == 0:
            return RegionBits((slice(0, 0),) * 3, np.zeros((0, 0, 0), np.uint64))
        box.append(slice(max(0, int(hits[0]) - 2), min(grid.shape[axis], int(hits[-1]) + 3)))
    region = RegionBits(tuple(box), np.full(tuple(s.stop - s.start for s in box), ks.ALL, np.uint64))
    clear_cells(region, grid, *needle_bits(plan, grid))
    for r, held in zip(plan.regions, bits, strict=True):
        if held is not None and r.conductivity is not None and r.conductivity.is_air:
            clear(region, held)
    _keep_counted(region, grid)
    return region


def _touches_wall(region: RegionBits, solution: FieldSolution, lethal: float) -> bool:
    e, label = solution.e_max_v_per_cm, solution.label
    tissue = ~(solution.is_needle | solution.is_air)
    for axis in range(3):
        for n in (0, -1):
            face = [slice(None)] * 3
            face[axis] = n
            if (e[tuple(face)] >= lethal)[tissue[tuple(face)]].any():
                return True
    return label.size == 0


def _target(plan, n, grid, counter, bits, zone, thresholds, warnings) -> tuple[dict, MarginMap | None, float]:
    region, mine = plan.regions[n], bits[n]
    air = region.conductivity is not None and region.conductivity.is_air
    volume = 0.0 if air or mine is None else counter.volume_ml(mine)
    row = {"name": region.name, "volume_ml": volume, "coverage_pct": None, "coverage_pct_by_v_per_cm": {f"{t:g}": None for t in thresholds},
           "min_v_per_cm": None, "v_per_cm_percentiles": None, "minimal_margin_mm": None, "margin_coverage_pct": None, "max_temperature_c": None,
           "field_volume_histogram": None, **margin_figures(None)}
    if volume <= 0:
        why = "it is air" if air else "needles or later regions cover it, or it is too small for the grid"
        warnings.append({"code": "target_empty", "message": f"Target {region.name!r} holds no tissue: {why}."})
        return row, None, 0.0
    own, there = counter.within(mine, tissue_rows(plan)[n])
    above = own.above_ml(there, [*thresholds, plan.lethal_v_per_cm])
    histogram, smallest, _ = own.spread(there)
    row["coverage_pct"] = 100.0 * above[-1] / volume
    row["coverage_pct_by_v_per_cm"] = {f"{t:g}": 100.0 * a / volume for t, a in zip(thresholds, above, strict=False)}
    row["min_v_per_cm"] = smallest
    row["v_per_cm_percentiles"] = percentiles_of(histogram)
    row["field_volume_histogram"] = field_volume_histogram(histogram)
    surface = region_surface(plan, n, grid)
    margin = signed_margin(surface, zone)
    if margin is not None:
        row |= {"minimal_margin_mm": margin.minimal_mm} | margin_figures(margin)
    row["margin_coverage_pct"] = _margin_coverage(plan, n, grid, counter, bits, surface)
    # what the target takes of the whole zone is counted as the zone is, or its rim would be left over as healthy tissue
    return row, margin, counter.above_ml(mine, [plan.lethal_v_per_cm])[0]


def _margin_coverage(plan, n, grid, counter, bits, surface) -> float | None:
    """Coverage (%) of the target dilated by the plan's margin, less structures at risk and air."""
    if surface.tree is None:
        return None
    box, distance = distance_outside_mm(plan, n, grid, surface, plan.margin_mm)
    # sub-points of the dilated rim: whole voxels within, a linear share in the cut ones
    share = np.clip((plan.margin_mm - distance) / grid.spacing_mm + 0.5, 0.0, 1.0)
    rim = RegionBits(box, _share_bits(share))
    own = bits[n]
    for m, other in enumerate(bits):
        law = plan.regions[m].conductivity
        if other is not None and m != n and (plan.regions[m].role == "at_risk" or (law is not None and law.is_air)):
            clear(rim, other)
    common = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(own.box, box, strict=True))
    if all(s.start >= 0 for s in common):
        rim.bits[common] |= own.bits
    clear_cells(rim, grid, *needle_bits(plan, grid))
    _keep_counted(rim, grid)
    volume = counter.volume_ml(rim)
    return 100.0 * counter.above_ml(rim, [plan.lethal_v_per_cm])[0] / volume if volume > 0 else None


def _share_bits(share: np.ndarray) -> np.ndarray:
    """uint64 with about ``share`` of its 64 bits set, spread over the voxel."""
    table = np.zeros(65, np.uint64)
    order = (np.arange(64) * 37) % 64
    bits = 0
    for m, b in enumerate(order):
        bits |= 1 << int(b)
        table[m + 1] = bits
    return table[np.rint(64 * share).astype(np.int64)]


def _beside_air(name: str, mine: RegionBits, volume_ml: float, thresholds, solution: FieldSolution, warnings) -> dict:
    """Figures of a structure that is air: no volume of it is exposed; the field is that of the tissue at its wall."""
    box = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in mine.box)
    inside = np.zeros(tuple(min(s.stop, n) - s.start for s, n in zip(box, solution.label.shape, strict=True)), bool)
    inside[tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(mine.box, box, strict=True))] = mine.bits != 0
    wall = ndimage.binary_dilation(inside & solution.is_air[box], np.ones((3, 3, 3), bool)) & ~(solution.is_air | solution.is_needle)[box]
    e = solution.e_max_v_per_cm[box][wall]
    warnings.append({"code": "structure_is_air", "message": f"Structure {name!r} is air and holds no tissue: its field is that of the tissue at its wall, its exposed volumes are 0."})
    return {"volume_ml": volume_ml, "volume_above_lethal_ml": 0.0, "volume_ml_by_v_per_cm": {f"{t:g}": 0.0 for t in thresholds},
            "max_v_per_cm": float(e.max()) if e.size else None, "mean_v_per_cm": float(e.mean()) if e.size else None}


def _at_risk(plan, n, counter, mine, distances, thresholds, warnings, solution) -> dict:
    region = plan.regions[n]
    wanted = sorted({*thresholds, *RISK_THRESHOLDS_V_PER_CM})
    known = [c["distance_mm"] for c in distances if c["distance_mm"] is not None]
    row = {"name": region.name, "max_v_per_cm": None, "mean_v_per_cm": None, "volume_ml": 0.0, "volume_above_lethal_ml": None,
           "volume_ml_by_v_per_cm": {f"{t:g}": None for t in wanted}, "min_distance_mm": min(known) if known else None,
           "max_temperature_c": None, "thermal_damage_ml": None, "field_volume_histogram": None}
    volume = counter.volume_ml(mine) if mine is not None else 0.0
    if volume <= 0:
        low, high = region.shape.bounds_mm()
        if (high <= plan.domain.low_mm).any() or (low >= plan.domain.high_mm).any():
            told = "structure_outside", f"Structure {region.name!r} lies outside the solved box: its field is not known."
        else:
            told = "structure_empty", f"Structure {region.name!r} holds no tissue that the grid can see: needles or later regions cover it, or it is too thin. Its field is not known."
        warnings.append({"code": told[0], "message": told[1]})
        return row
    if region.conductivity is not None and region.conductivity.is_air:
        return row | _beside_air(region.name, mine, volume, wanted, solution, warnings)
    counter, mine = counter.within(mine, tissue_rows(plan)[n])
    above = counter.above_ml(mine, [*wanted, plan.lethal_v_per_cm])
    histogram, _, largest = counter.spread(mine)
    edges = ks.LOWEST * (ks.HIGHEST / ks.LOWEST) ** ((np.arange(ks.BINS) + 0.5) / ks.BINS)
    row |= {"max_v_per_cm": largest, "mean_v_per_cm": float((histogram * edges).sum() / histogram.sum()), "volume_ml": volume,
            "field_volume_histogram": field_volume_histogram(histogram), "volume_above_lethal_ml": above[-1], "volume_ml_by_v_per_cm": {f"{t:g}": a for t, a in zip(wanted, above, strict=False)}}
    low, high = region.shape.bounds_mm()
    if (low < plan.domain.low_mm - 1e-6).any() or (high > plan.domain.high_mm + 1e-6).any():
        warnings.append({"code": "structure_clipped", "message": f"Structure {region.name!r} reaches out of the solved box: its figures are for the part inside."})
    return row
