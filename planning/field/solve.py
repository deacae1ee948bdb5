"""From a plan to its field: pairs in list order, conductivity never falling within the list."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from planning.electrode import segment_distance_mm
from planning.errors import FieldNotConverged, PlanRefused
from planning.field.grid import FieldGrid
from planning.field.interfaces import interface_faces
from planning.field.nonlinear import PotentialSolver
from planning.field.problem import MATERIALS_MOST, ProblemParts
from planning.field.solution import FieldSolution, PairResult, SolverReport
from planning.kernels import conductivity as kc
from planning.kernels import multigrid as km
from planning.kernels import sampling as ks
from planning.plan import Domain, TreatmentPlan
from planning.threads import ONE_AT_A_TIME
from planning.tissue import AIR_BELOW_S_PER_M
from planning.tissue_map import sample_materials

TOLERANCE = 1e-6
START_TOLERANCE = 1e-3
PREVIEW_SPACING_MM = 1.0
PREVIEW_REACH_MM = 22.0
BALANCE_MOST = 1e-3


def solve_plan(plan: TreatmentPlan, *, spacing_mm: float | None = None, preview: bool = False, keep_pair_fields: bool = False,
               tolerance: float = TOLERANCE, progress: Callable[[str, float], None] | None = None,
               should_cancel: Callable[[], bool] | None = None) -> FieldSolution:
    """Solve ``div(sigma(|E|) grad phi) = 0`` for every pair of a plan.

    ``spacing_mm`` overrides the plan's grid. ``preview`` solves with resting conductivities on a
    1 mm grid cut to the needles' surroundings: fast enough to follow a dragged needle, and marked
    so in the report. ``keep_pair_fields`` keeps each pair's own |E|. ``progress(text, 0..1)`` and
    ``should_cancel()`` are called between V-cycles' ends.

    Raises ``PlanRefused`` (needles nearer than two cells), ``FieldNotConverged`` (there is then no
    result), ``volumetry.errors.Cancelled``. One solve runs at a time; others wait.
    """
    if preview:
        plan = _cut_to_needles(plan.with_spacing(spacing_mm or PREVIEW_SPACING_MM))
        tolerance = max(tolerance, START_TOLERANCE)
    elif spacing_mm is not None:
        plan = plan.with_spacing(spacing_mm)
    with ONE_AT_A_TIME:
        return _solve(plan, preview, keep_pair_fields, tolerance, progress or (lambda text, part: None), should_cancel)


def solve_at_rest(plan: TreatmentPlan, should_cancel: Callable[[], bool] | None = None) -> FieldSolution:
    """The plan on its own grid with resting conductivities, to 1e-4: for comparing boxes, never a result."""
    with ONE_AT_A_TIME:
        return _solve(plan, True, False, 1e-4, lambda text, part: None, should_cancel)


def _cut_to_needles(plan: TreatmentPlan) -> TreatmentPlan:
    """The domain cut to what matters near the exposed metal and the targets, in whole cells."""
    h = plan.domain.spacing_mm
    points = np.array([p for e in plan.electrodes for p in (e.tip_mm, e.exposed_end_mm)]
                      + [c for r in plan.regions if r.role == "target" for c in r.shape.bounds_mm()])
    low = np.maximum(plan.domain.low_mm, np.floor((points.min(0) - PREVIEW_REACH_MM) / h) * h)
    high = np.minimum(plan.domain.high_mm, np.ceil((points.max(0) + PREVIEW_REACH_MM) / h) * h)
    return replace(plan, domain=Domain(tuple(0.5 * (low + high)), tuple(high - low), h))


def _check_gaps(plan: TreatmentPlan) -> None:
    h = plan.domain.spacing_mm
    for n, a in enumerate(plan.electrodes):
        for b in plan.electrodes[:n]:
            gap = segment_distance_mm(a.tip_mm, plan.shaft_end_mm(a), b.tip_mm, plan.shaft_end_mm(b)) - 0.5 * (a.diameter_mm + b.diameter_mm)
            if gap < 2 * h:
                raise PlanRefused(f"Needles {b.id} and {a.id} come within {gap:.1f} mm, less than two cells of the grid.",
                                  code="needles_too_close", hint="Move them apart, or use a finer spacing.")


def build_problem(plan: TreatmentPlan, *, coarse: bool = False):
    """The solver's problem of a plan (``planning.field.problem.FieldProblem``); ``coarse`` takes surfaces between
    tissues as the staircase of the cells."""
    _check_gaps(plan)
    grid = FieldGrid.around(plan.domain.center_mm, plan.domain.size_mm, plan.domain.spacing_mm)
    near = None if coarse else np.zeros(grid.shape, np.uint8)
    material, laws = sample_materials(plan, grid, near)
    if len(laws) > MATERIALS_MOST:
        raise PlanRefused("The plan has too many different tissues.", code="too_many_regions")
    parts = ProblemParts.on(grid, material, [law.law_row() for law in laws])
    if near is not None and len(laws) > 1:
        parts.add_interfaces(*interface_faces(plan, grid, material, near, laws))
    parts.add_needles(np.array([e.kernel_row() for e in plan.electrodes]))
    return parts.finish()


def _solve(plan, preview, keep_pair_fields, tolerance, progress, should_cancel) -> FieldSolution:
    start = time.perf_counter()
    progress("placing needles on the grid", 0.0)
    problem = build_problem(plan, coarse=preview)
    grid, h = problem.grid, problem.grid.spacing_mm
    linear = preview or problem.is_linear
    solver = PotentialSolver(problem, should_cancel)
    ids = [e.id for e in plan.electrodes]
    everyone = np.arange(len(ids))
    done, stages = 0, len(plan.pulses) + (len(ids) - 1 if len(ids) > 2 else 0)

    basis, conductance = None, np.zeros((0, 0))
    if len(ids) > 2:
        basis, conductance = _unit_solutions(solver, len(ids), tolerance if linear else START_TOLERANCE, progress, stages)
        done = len(ids) - 1

    e_max = np.zeros(grid.padded_shape, np.float32)
    e_now = np.zeros_like(e_max)
    e_before = np.zeros_like(e_max) if not linear else None
    results = []
    silent = problem.law[:, 1:3].max(axis=1) < AIR_BELOW_S_PER_M
    if not linear and len(plan.pulses) > 1:
        solver.floor = np.zeros(grid.padded_shape, np.float32)
    for _n, pulse in enumerate(plan.pulses):
        progress(f"pair {pulse.anode}-{pulse.cathode}", done / stages)
        cycles = solver.v_cycles
        a, c = ids.index(pulse.anode), ids.index(pulse.cathode)
        floating = np.setdiff1d(everyone, [a, c])
        values = np.zeros(len(ids))
        values[a], values[c] = 0.5 * pulse.voltage_v, -0.5 * pulse.voltage_v
        if basis is not None:
            _superpose(solver, basis, conductance, values, floating)
        else:
            solver.potential[:] = 0.0
            if not linear:
                solver.solve(values, floating, tolerance=START_TOLERANCE, linear=True)
        block = None if basis is None else conductance[np.ix_(floating, floating)]
        if linear:
            report = solver.solve(values, floating, tolerance=tolerance, linear=True, basis=basis, conductance=block)
            solver.field_strength(e_now)
        else:
            e_now[:] = 0.0
            report = solver.solve(values, floating, tolerance=tolerance, basis=basis, conductance=block, field_now=e_now, field_before=e_before)
            solver.field_strength(e_now)
            if len(plan.pulses) > 1:
                np.maximum(solver.floor, solver.sigma, out=solver.floor)
                solver.use_floor = True
        current = solver.currents(values)[:-1] * h * 1e-3
        strongest = max(abs(current[a]), abs(current[c]))
        if strongest < 1e-9 * pulse.voltage_v:
            raise FieldNotConverged(f"No current flows from {pulse.anode} to {pulse.cathode}: tissue that conducts must join them.", code="no_current_path")
        balance = float(abs(current.sum()) / strongest)
        if not preview and balance > BALANCE_MOST:
            raise FieldNotConverged(f"Currents of pair {pulse.anode}-{pulse.cathode} do not balance ({100 * balance:.2f} %); the field is not shown.")
        kc.take_maximum(e_max, e_now)
        kept = None
        if keep_pair_fields:
            kept = _for_interpolation(e_now, problem.label, silent)
        results.append(PairResult(pulse.anode, pulse.cathode, pulse.voltage_v, float(0.5 * (current[a] - current[c])), balance,
                                  tuple(float(v) for v in values), solver.v_cycles - cycles, 0 if linear else report.iterations,
                                  report.relative_residual, report.field_change, kept))
        done += 1
    label = np.ascontiguousarray(problem.label[1:-1, 1:-1, 1:-1])
    field = _for_interpolation(e_max, problem.label, silent)
    field.setflags(write=False)
    label.setflags(write=False)
    report = SolverReport(grid.shape[::-1], h, solver.v_cycles, max(r.relative_residual for r in results),
                          sum(r.nonlinear_steps for r in results), max(r.current_balance for r in results),
                          time.perf_counter() - start, preview)
    progress("field solved", 1.0)
    return FieldSolution(grid.geometry, field, label, grid.counted_mm, tuple(results), report, air_labels=tuple(int(n) for n in np.flatnonzero(silent)))


def _for_interpolation(e: np.ndarray, label: np.ndarray, silent: np.ndarray) -> np.ndarray:
    """|E| without ghosts, with air and needles given values that do not disturb the tissue beside them."""
    inner = (slice(1, -1),) * 3
    out, label = np.ascontiguousarray(e[inner]), np.ascontiguousarray(label[inner])
    if silent.any():
        ks.quiet_air(out, label, silent.astype(np.uint8), kc.FIRST_NEEDLE_LABEL)
    ks.fill_needles(out, label, kc.FIRST_NEEDLE_LABEL, kc.METAL)
    return out


def _unit_solutions(solver: PotentialSolver, count: int, tolerance: float, progress, stages: int) -> tuple[np.ndarray, np.ndarray]:
    """``(phi, G)``: linear solutions with one needle at 1 V and the others at 0, and the
    conductance matrix ``G[e, f]`` = current from e with f at 1 V (weight x volt). The last unit
    solution follows from the others, which sum to 1."""
    shape = solver.problem.grid.padded_shape
    basis, columns = np.zeros((count, *shape), np.float32), []
    none = np.zeros(0, np.int64)
    basis[-1] = 1.0
    for f in range(count - 1):
        progress(f"unit solution {f + 1} of {count - 1}", f / stages)
        values = np.zeros(count)
        values[f] = 1.0
        solver.potential[:] = 0.0
        solver.solve(values, none, tolerance=tolerance, linear=True)
        basis[f] = solver.potential
        basis[-1] -= basis[f]
        columns.append(solver.currents(values)[:-1])
    g = np.array(columns).T
    g = np.column_stack([g, -g.sum(axis=1)])
    return basis, 0.5 * (g + g.T)


def _superpose(solver: PotentialSolver, basis: np.ndarray, conductance: np.ndarray, values: np.ndarray, floating: np.ndarray) -> None:
    """Potentials of the floating needles (no net current) into ``values``, and the linear
    superposition into the solver as its starting guess."""
    if floating.size:
        fixed = np.setdiff1d(np.arange(values.size), floating)
        # least squares: a needle shut in by air is joined to nothing, and any potential will do
        values[floating] = np.linalg.lstsq(conductance[np.ix_(floating, floating)], -conductance[np.ix_(floating, fixed)] @ values[fixed], rcond=1e-9)[0]
    solver.potential[:] = 0.0
    for phi, v in zip(basis, values, strict=True):
        km.add_scaled64(solver.potential, phi, v)
