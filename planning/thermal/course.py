"""The course of a thermal plan in tissue: every step frozen and heated by its probes, and the zones that come of it.

Steps follow each other; each begins in tissue at the body's temperature, and what earlier steps killed counts as perfused
again. Both are simplifications: a sequence without pause is colder or hotter than this.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from planning.errors import PlanRefused
from planning.field.grid import FieldGrid
from planning.field.problem import ProblemParts
from planning.heat.damage import DamageSet, rate_tables
from planning.kernels import conductivity as kc
from planning.thermal.chart import ThermalDevice
from planning.thermal.freezing import FreezeSolver, FreezeTissue, ProbeWall
from planning.thermal.margins import grid_around
from planning.thermal.plan import Application, ThermalPlan
from planning.tissue import Conductivity
from planning.tissue_map import cell_points

REACH_MM = 30.0
SPACING_MM = 1.0
CEM43_MIN = 240.0
HOT_C = 60.0
NEAR_WALL_K = 1.0
CELLS_MOST = 4_000_000
LEAST_DOSE = 1e-30


@dataclass(frozen=True, slots=True, eq=False)
class CourseData:
    """Tissue with the sources of its values (``about``: as printed), damage sets (``own_set`` stops perfusion and counts the
    heat zone), time of cooling after the heat, and the isotherms of cold (°C)."""

    tissue: FreezeTissue
    sets: tuple[DamageSet, ...]
    own_set: str
    cooling_s: float = 60.0
    isotherms_c: tuple[float, ...] = (0.0, -20.0, -40.0)
    lethal_cold_c: float = -40.0
    about: Mapping = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class StepResult:
    """One step. Arrays over ``grid`` (°C, log10 of damage, log10 of minutes); in probes the values of the tissue beside."""

    grid: FieldGrid
    round: int
    session: int
    applications: tuple[Application, ...]
    coldest_c: np.ndarray
    hottest_c: np.ndarray
    log_omega: dict[str, np.ndarray]
    log_cem43: np.ndarray
    figures: dict


def steps_of(plan: ThermalPlan) -> list[tuple[Application, ...]]:
    """Applications that run at once, by round, session and step."""
    groups: dict[tuple, list[Application]] = {}
    for n, a in enumerate(plan.applications):
        key = (a.round, a.session, 0, a.step) if a.step is not None else (a.round, a.session, 1, n)
        groups.setdefault(key, []).append(a)
    for together in groups.values():
        names = [a.needle for a in together]
        if len(set(names)) != len(names):
            raise PlanRefused("A needle is used twice in one step.", code="bad_round", hint="Give pull-backs of one needle steps of their own.")
    return [tuple(groups[key]) for key in sorted(groups)]


def active_row(plan: ThermalPlan, a: Application) -> np.ndarray:
    """``(tip xyz, direction xyz, radius, active length)`` of a probe as the embedding kernels take it."""
    device, (tip, entry) = plan.device(a), plan.placed(a)
    direction = (entry - tip) / np.linalg.norm(entry - tip)
    return np.array([*(tip + a.pull_back_mm * direction), *direction, 0.5 * device.diameter.value, device.active.value])


def course_grid(plan: ThermalPlan, spacing_mm: float) -> FieldGrid:
    """A grid over the surroundings of all active tips, and over all lesions."""
    ends = [p for a in plan.applications for row in (active_row(plan, a),) for p in (row[:3], row[:3] + row[7] * row[3:6])]
    boxes = [(p - REACH_MM, p + REACH_MM) for p in ends] + [part.shape.bounds_mm() for part in plan.lesions]
    return grid_around(np.min([b[0] for b in boxes], axis=0), np.max([b[1] for b in boxes], axis=0), spacing_mm, 2 * spacing_mm)


def _part_of(whole: FieldGrid, rows: np.ndarray) -> tuple[FieldGrid, tuple[slice, slice, slice]]:
    ends = np.concatenate([rows[:, :3], rows[:, :3] + rows[:, 7:8] * rows[:, 3:6]])
    box = whole.box_of(ends.min(0) - REACH_MM, ends.max(0) + REACH_MM, pad_cells=0)
    shape = tuple(s.stop - s.start for s in box)
    if math.prod(shape) > CELLS_MOST:
        raise PlanRefused("A step of the plan needs more than 4 million cells.", code="domain_too_fine", hint="Use a coarser bioheat spacing, or steps with needles nearer to each other.")
    origin = tuple(whole.origin_mm[axis] + whole.spacing_mm * box[2 - axis].start for axis in range(3))
    half = 0.5 * whole.spacing_mm
    high = tuple(origin[a] + whole.spacing_mm * (shape[2 - a] - 1) + half for a in range(3))
    return FieldGrid(shape, whole.spacing_mm, origin, (tuple(o - half for o in origin), high)), box


def line_heat(points_mm: np.ndarray, row: np.ndarray) -> np.ndarray:
    """Joule heat around an electrode up to a factor: the square of the field of an even line of charge along its active
    tip, 0 inside it. ``points_mm``: ``(..., 3)``."""
    d = points_mm - row[:3]
    s = d @ row[3:6]
    r2 = np.maximum((d * d).sum(-1) - s * s, 1e-12)
    length = row[7]
    near, far = np.sqrt(r2 + s * s), np.sqrt(r2 + (s - length) ** 2)
    radial2 = (s / near - (s - length) / far) ** 2 / r2
    axial2 = (1.0 / far - 1.0 / near) ** 2
    inside = (r2 < row[6] ** 2) & (s >= 0)
    return np.where(inside, 0.0, radial2 + axial2)


def power_source(grid: FieldGrid, row: np.ndarray, tissue: np.ndarray, power_w: float) -> np.ndarray:
    """W/m3 in each cell, together ``power_w``; mean over eight points a cell."""
    points = cell_points(grid, tuple(slice(0, n) for n in grid.shape))
    q = np.zeros(grid.shape)
    quarter = 0.25 * grid.spacing_mm
    for signs in np.ndindex(2, 2, 2):
        q += line_heat(points + quarter * (2.0 * np.array(signs) - 1.0), row)
    q[~tissue] = 0.0
    return q * (power_w / (q.sum() * (grid.spacing_mm * 1e-3) ** 3))


def _physics(device: ThermalDevice, a: Application, freeze_s: float, heat_s: float) -> None:
    if (freeze_s > 0 and device.freeze is None) or (heat_s > 0 and device.heat is None):
        raise PlanRefused(f"{device.title} has no physical values: its bioheat cannot be solved.", code="no_physics", hint="Add physics to the device, or leave out the bioheat.")


def solve_step(plan: ThermalPlan, applications: tuple[Application, ...], data: CourseData, whole: FieldGrid,
               progress: Callable[[str, float], None] | None = None, should_cancel: Callable[[], bool] | None = None) -> StepResult:
    """Freeze, heat and cool one step on its part of ``whole``. Raises ``PlanRefused``, ``Cancelled``."""
    started = time.perf_counter()
    tell = progress or (lambda text, part: None)
    rows = np.array([active_row(plan, a) for a in applications])
    grid, _ = _part_of(whole, rows)
    parts = ProblemParts.on(grid, 0, [Conductivity("constant", 1.0).law_row()])
    parts.add_needles(rows)
    problem = parts.finish()
    tables = rate_tables(data.sets, data.tissue.body_c)
    own = [s.name for s in data.sets].index(data.own_set)
    solver = FreezeSolver(grid.shape, grid.spacing_mm, data.tissue, walls=(data.tissue.body_c,) * 6, problem=problem, tables=tables, killed_by=own, should_cancel=should_cancel)
    tissue = problem.label[1:-1, 1:-1, 1:-1] < kc.FIRST_NEEDLE_LABEL
    times = []
    for a in applications:
        device, chart = plan.device(a), plan.row(a)
        _physics(device, a, chart.freeze_s, chart.heat_s)
        times.append((chart.freeze_s, chart.freeze_s + chart.heat_s))
    marks = sorted({0.0, *(t for pair in times for t in pair)})
    total = marks[-1] + data.cooling_s
    coldest_wall = [None] * len(applications)
    for start, stop in itertools.pairwise(marks):
        walls, source, limit = {}, None, None
        for n, a in enumerate(applications):
            device, chart = plan.device(a), plan.row(a)
            if stop <= times[n][0]:
                area_m2 = math.pi * rows[n, 6] * (2 * rows[n, 7] + rows[n, 6]) * 1e-6
                walls[n] = ProbeWall(device.freeze.bath.value, None if device.freeze.transfer is None else device.freeze.transfer.value * area_m2)
            elif stop <= times[n][1]:
                if device.heat.wall is not None:
                    walls[n] = ProbeWall(device.heat.wall.value)
                if device.heat.model == "power":
                    mine = power_source(grid, rows[n], tissue, device.heat.power.value if chart.power_w is None else chart.power_w)
                    source = mine if source is None else source + mine
                    limit = device.heat.limit.value if limit is None else min(limit, device.heat.limit.value)
        word = "Freezing" if any(stop <= t[0] for t in times) else "Heating"
        solver.run(stop - start, walls, source_w_per_m3=source, limit_c=limit, progress=lambda part, a=start, b=stop, word=word: tell(word, (a + part * (b - a)) / total))
        for n, _wall in walls.items():
            if stop <= times[n][0]:
                coldest_wall[n] = solver.probe_c[n]
    solver.run(data.cooling_s, progress=lambda part: tell("Cooling", (marks[-1] + part * data.cooling_s) / total))
    return _result(solver, problem, plan, applications, data, grid, coldest_wall, time.perf_counter() - started)


def _result(solver, problem, plan, applications, data, grid, coldest_wall, seconds) -> StepResult:
    inner = (slice(1, -1),) * 3
    here = solver.here[inner] == 1
    nearest = ndimage.distance_transform_edt(~here, return_distances=False, return_indices=True)

    def filled(values: np.ndarray) -> np.ndarray:
        out = np.ascontiguousarray(values[tuple(nearest)], dtype=np.float32)
        out.setflags(write=False)
        return out

    names = [s.name for s in data.sets]
    logs = [np.log10(np.maximum(d[inner], LEAST_DOSE)) for d in solver.dose]
    coldest, hottest = solver.coldest[inner], solver.hottest[inner]
    shell = np.ones(grid.shape, bool)
    shell[1:-1, 1:-1, 1:-1] = False
    at_wall = float(max(data.tissue.body_c - coldest[shell & here].min(), hottest[shell & here].max() - data.tissue.body_c))
    figures = {
        "round": applications[0].round, "session": applications[0].session, "applications": [a.to_dict() for a in applications],
        "coldest_c": float(coldest[here].min()), "hottest_c": float(hottest[here].max()), "probe_wall_c_end_of_freezing": coldest_wall,
        "seconds_of_course": solver.seconds, "probe_j": solver.probe_j, "power_j": solver.source_j, "blood_j": solver.blood_j,
        "energy_imbalance": solver.imbalance(), "step_s": solver.longest_step_s(), "cells": int(here.sum()), "change_at_walls_k": at_wall, "seconds": seconds,
    }
    return StepResult(grid, applications[0].round, applications[0].session, applications, filled(coldest), filled(hottest),
                      {name: filled(log) for name, log in zip(names, logs, strict=False)}, filled(logs[-1]), figures)


def solve_course(plan: ThermalPlan, data: CourseData, *, spacing_mm: float = SPACING_MM, progress: Callable[[str, float], None] | None = None,
                 should_cancel: Callable[[], bool] | None = None) -> tuple[FieldGrid, list[StepResult]]:
    """``(grid over all, results of the steps)``. Raises ``PlanRefused`` (``no_physics``, ``domain_too_fine``), ``Cancelled``."""
    groups, whole = steps_of(plan), course_grid(plan, spacing_mm)
    for group in groups:
        for a in group:
            _physics(plan.device(a), a, plan.row(a).freeze_s, plan.row(a).heat_s)
    results = []
    for n, group in enumerate(groups):
        def tell(text: str, part: float, n=n) -> None:
            if progress is not None:
                progress(f"{text}, step {n + 1} of {len(groups)}", (n + part) / len(groups))

        results.append(solve_step(plan, group, data, whole, tell, should_cancel))
    return whole, results


def mm_level(values: np.ndarray, threshold: float, below: bool, spacing_mm: float) -> np.ndarray:
    """A field as a level: positive where it is at or beyond a threshold, in mm near the surface (by its slope), cut off three
    cells away."""
    v = values.astype(np.float32) - np.float32(threshold)
    if below:
        v = -v
    v = np.clip(v, -200.0, 200.0)
    slope = np.sqrt(sum(g * g for g in np.gradient(v, spacing_mm)))
    return np.clip(v / np.maximum(slope, 1e-6), -3 * spacing_mm, 3 * spacing_mm).astype(np.float32)


Pick = Callable[[StepResult], tuple[np.ndarray, float, bool]]


def criteria(plan: ThermalPlan, data: CourseData) -> dict[str, tuple[Pick, ...]]:
    """Name of each criterion -> ``(field, threshold, below)`` of a step, several where any of them counts. Cold is left out
    where nothing is frozen, heat where nothing is heated."""
    rows = [plan.row(a) for a in plan.applications]
    cold = {f"cold_{c:g}_c": (lambda r, c=c: (r.coldest_c, c, True),) for c in data.isotherms_c} if any(r.freeze_s > 0 for r in rows) else {}
    heat = {}
    if any(r.heat_s > 0 for r in rows):
        heat = {"omega_1": (lambda r: (r.log_omega[data.own_set], 0.0, False),), "cem43_240_min": (lambda r: (r.log_cem43, math.log10(CEM43_MIN), False),),
                f"hot_{HOT_C:g}_c": (lambda r: (r.hottest_c, HOT_C, False),)}
    both = {"cold_or_heat": ((lambda r: (r.coldest_c, data.lethal_cold_c, True)), *heat["omega_1"])} if cold and heat else {}
    return {**cold, **heat, **both}


def zone_levels(plan: ThermalPlan, whole: FieldGrid, results: list[StepResult], data: CourseData) -> dict[str, dict[int, np.ndarray]]:
    """Level of each criterion on the grid over all, by round."""
    out: dict[str, dict[int, np.ndarray]] = {}
    for name, picks in criteria(plan, data).items():
        by_round = out.setdefault(name, {})
        for r in results:
            level = by_round.setdefault(r.round, np.full(whole.shape, -3 * whole.spacing_mm, np.float32))
            start = [round((r.grid.origin_mm[a] - whole.origin_mm[a]) / whole.spacing_mm) for a in (2, 1, 0)]
            box = tuple(slice(s, s + n) for s, n in zip(start, r.grid.shape, strict=True))
            for pick in picks:
                level[box] = np.maximum(level[box], mm_level(*pick(r), r.grid.spacing_mm))
    return out
