"""Closed forms solved by the kernels on this machine, in a few seconds: for ``nodus selftest``."""

from __future__ import annotations

import numpy as np

from planning import analytic
from planning.field.conductors import add_conductor
from planning.field.grid import FieldGrid
from planning.field.nonlinear import PotentialSolver
from planning.field.problem import FieldProblem, ProblemParts
from planning.kernels import conductivity as kc
from planning.tissue import Conductivity

NONE = np.zeros(0, np.int64)


def wall_cells(grid: FieldGrid, axes=(0, 1, 2)) -> tuple[np.ndarray, np.ndarray]:
    """``(cells, points)``: flat padded indices of the cells at the grid's walls along ``axes``
    (x, y, z), once per wall, and the LPS centre of the wall's face."""
    cells, points = [], []
    index = np.arange(np.prod(grid.padded_shape), dtype=np.int64).reshape(grid.padded_shape)[1:-1, 1:-1, 1:-1]
    for axis in axes:
        for side in (0, -1):
            pick = [slice(None)] * 3
            pick[2 - axis] = side
            face = index[tuple(pick)].ravel()
            k, j, i = np.unravel_index(face, grid.padded_shape)
            p = np.stack([i, j, k], axis=1) - 1.0
            p = np.asarray(grid.origin_mm) + grid.spacing_mm * p
            p[:, axis] += (0.5 if side else -0.5) * grid.spacing_mm
            cells.append(face)
            points.append(p)
    return np.concatenate(cells), np.concatenate(points)


def two_cylinders_problem(spacing_mm: float, d_mm: float = 15.0, a_mm: float = 0.5, volts: float = 2250.0, width_mm: float = 48.0,
                          shift_mm=(0.0, 0.0), layers: int = 4) -> FieldProblem:
    """C1: two endless needles along z, the exact potential posed on the side walls."""
    grid = FieldGrid.around((shift_mm[0], shift_mm[1], 0.0), (width_mm, width_mm, layers * spacing_mm), spacing_mm)
    parts = ProblemParts.on(grid, 0, [Conductivity("constant", 1.0).law_row()])
    parts.add_needles(np.array([[x, 0.0, -500.0, 0.0, 0.0, 1.0, a_mm, 1000.0] for x in (-d_mm / 2, d_mm / 2)]))
    cells, points = wall_cells(grid, (0, 1))
    potential = analytic.two_cylinders_potential(points[:, 0], points[:, 1], d_mm, a_mm, volts)
    parts.add_boundary_values(cells, np.full(cells.size, 2.0), potential)
    return parts.finish()


def concentric_spheres_problem(spacing_mm: float, law: Conductivity, a_mm: float = 1.0, r_mm: float = 20.0, shift_mm=(0.0, 0.0, 0.0)) -> FieldProblem:
    """C4: a ball in a ball, both posed as signed distances (conductors 0 and 1)."""
    width = 2 * r_mm + 4 * spacing_mm
    grid = FieldGrid.around((0.0, 0.0, 0.0), (width,) * 3, spacing_mm)
    parts = ProblemParts.on(grid, 0, [law.law_row()])
    centre = np.asarray(shift_mm)
    add_conductor(parts, lambda p: np.linalg.norm(p - centre, axis=-1) - a_mm)
    add_conductor(parts, lambda p: r_mm - np.linalg.norm(p - centre, axis=-1))
    return parts.finish()


def coaxial_problem(spacing_mm: float, law: Conductivity, a_mm: float = 0.5, r_mm: float = 20.0, layers: int = 4) -> FieldProblem:
    """C3: an endless needle along z in an endless tube."""
    width = 2 * r_mm + 4 * spacing_mm
    grid = FieldGrid.around((0.0, 0.0, 0.0), (width, width, layers * spacing_mm), spacing_mm)
    parts = ProblemParts.on(grid, 0, [law.law_row()])
    parts.add_needles(np.array([[0.13, 0.08, -500.0, 0.0, 0.0, 1.0, a_mm, 1000.0]]))
    add_conductor(parts, lambda p: r_mm - np.hypot(p[..., 0] - 0.13, p[..., 1] - 0.08))
    return parts.finish()


def solve_posed(problem: FieldProblem, values, tolerance: float = 1e-6) -> tuple[PotentialSolver, np.ndarray, np.ndarray]:
    """``(solver, currents, e)`` of a posed problem with conductor potentials ``values`` (V):
    currents in A, |E| in V/cm ``[k, j, i]``."""
    solver = PotentialSolver(problem)
    values = np.asarray(values, float).copy()
    e = np.zeros(problem.grid.padded_shape, np.float32)
    if problem.is_linear:
        solver.solve(values, NONE, tolerance=tolerance)
    else:
        solver.solve(values, NONE, tolerance=1e-3, linear=True)
        solver.solve(values, NONE, tolerance=tolerance, field_now=e, field_before=np.zeros_like(e))
    solver.field_strength(e)
    return solver, solver.currents(values) * problem.grid.spacing_mm * 1e-3, e[1:-1, 1:-1, 1:-1]


def self_checks() -> list[tuple[str, float, float, float]]:
    """``(name, value, expected, tolerance)`` of each check; under five seconds."""
    out = []
    problem = two_cylinders_problem(0.5)
    _, current, e = solve_posed(problem, (1125.0, -1125.0))
    expected = analytic.two_cylinders_current_a_per_cm(15.0, 0.5, 2250.0)
    out.append(("field: two cylinders, current A/cm", float(current[0] * 10.0 / (4 * 0.5)), expected, 0.01 * expected))
    centres = problem.grid.axis_mm(0)
    x, y = np.meshgrid(centres, problem.grid.axis_mm(1))
    exact = analytic.two_cylinders_field_v_per_cm(x, y, 15.0, 0.5, 2250.0)
    middle = np.unravel_index(np.argmin(x**2 + y**2), x.shape)
    out.append(("field: two cylinders, middle V/cm", float(e[1][middle]), float(exact[middle]), 0.01 * float(exact[middle])))
    tissue = problem.label[2, 1:-1, 1:-1] != kc.METAL
    worst = float(np.abs(e[1] / exact - 1)[tissue & (exact > 200)].max() * 100)
    out.append(("field: two cylinders, largest error above 200 V/cm, %", worst, 0.0, 3.0))
    _, current, _ = solve_posed(concentric_spheres_problem(0.5, Conductivity("constant", 1.0)), (1000.0, 0.0))
    expected = analytic.concentric_spheres_current_a(1.0, 20.0, 1000.0)
    out.append(("field: concentric spheres, current A", float(current[0]), expected, 0.01 * expected))
    law = Conductivity("ramp", 0.08, 0.32, 350.0, 700.0)
    _, current, _ = solve_posed(coaxial_problem(0.5, law), (500.0, 0.0))
    expected = analytic.coaxial_nonlinear(law.at, 0.5, 20.0, 500.0)[0]
    out.append(("field: nonlinear coaxial tube, current A/m", float(current[0] * 1000.0 / (4 * 0.5)), expected, 0.01 * expected))
    return out
