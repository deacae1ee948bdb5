"""``nodus bench planning``: the field solver against algebraic multigrid and plain conjugate gradients.

The peers get the very matrix that our solver works on, already assembled; their set-up counts, because it must be
repeated whenever the conductivity changes, as ours is. Tolerances mean different things in different solvers, so each
side runs at the loosest that brings its current within 1e-5 of the converged one: equal work for an equal answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

from app.jobs import JobContext
from app.usecases.bench_rows import Row, best_of, compare
from app.usecases.plan import solve_and_assess, tissue_presets
from app.usecases.robustness import assess_robustness
from planning.field.nonlinear import PotentialSolver
from planning.field.solve import build_problem, solve_plan
from planning.kernels import multigrid
from planning.plan import TreatmentPlan
from planning.robustness import Spread

TOLERANCES = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)  # tried from the loosest
CONVERGED = 1e-8  # of ours: what "the" current is
SAME_CURRENT = 1e-5
DAMPING, PICARD_STEPS_MOST = 0.65, 40
PICARD_CURRENT = 1e-3  # a nonlinear solve may stop when its current is this near to the converged one


def bench_planning() -> list[Row]:
    """Every row: one linear pair, one nonlinear pair, whole plans, the preview under a moving needle."""
    return [row for spacing in (1.0, 0.5) for row in _linear_rows(spacing)] + [_roofline_row(0.5)] + _nonlinear_rows(1.0) + _whole_rows()


# -- the plans that are timed -----------------------------------------------------------------------


def needle_plan(spacing_mm: float, needles: int = 2, *, nonlinear: bool = False, size_mm: float = 64.0) -> TreatmentPlan:
    """Needles on a circle with 20 mm exposed, every pair at 1500 V/cm up to 3000 V; uniform 1 S/m, or liver with a node,
    a vessel and fat whose conductivities rise with the field. Two needles stand 15 mm apart (reference row F1)."""
    radius = 7.5 if needles == 2 else 10.0 * np.sqrt(2)
    turn = np.pi if needles == 2 else np.pi / 4
    places = [(radius * np.cos(turn + 2 * np.pi * n / needles), radius * np.sin(turn + 2 * np.pi * n / needles)) for n in range(needles)]
    pulses = []
    for a in range(needles):
        for b in range(a + 1, needles):
            apart_cm = 0.1 * float(np.hypot(places[a][0] - places[b][0], places[a][1] - places[b][1]))
            pulses.append({"anode": f"E{a + 1}", "cathode": f"E{b + 1}", "voltage_v": min(3000.0, 1500.0 * apart_cm), "pulses": 90, "width_us": 70, "rate_hz": 1})
    regions = [
        {"name": "node", "role": "target", "shape": {"type": "ellipsoid", "center_mm": [0, 0, 0], "axes_mm": [22, 18, 16]}, "conductivity": {"preset": "tumour"}},
        {"name": "vessel", "role": "at_risk", "shape": {"type": "cylinder", "from_mm": [19, -32, 0], "to_mm": [19, 32, 5], "diameter_mm": 7}, "conductivity": {"preset": "blood"}},
        {"name": "fat", "role": "tissue", "shape": {"type": "box", "center_mm": [-26, 0, 0], "size_mm": [12, 60, 60]}, "conductivity": {"preset": "fat"}},
    ]
    return TreatmentPlan.from_dict({
        "schema": "nodus.plan/1",
        "domain": {"center_mm": [0, 0, 0], "size_mm": [size_mm] * 3, "spacing_mm": spacing_mm},
        "background": {"preset": "liver"} if nonlinear else {"model": "constant", "sigma_s_per_m": 1.0},
        "regions": regions if nonlinear else [],
        "electrodes": [{"id": f"E{n + 1}", "tip_mm": [float(x), float(y), -10], "entry_mm": [float(x), float(y), 30], "exposure_mm": 20, "diameter_mm": 1.0} for n, (x, y) in enumerate(places)],
        "pulses": pulses,
        "thresholds_v_per_cm": [500, 680], "lethal_v_per_cm": 500, "boundary": "insulating", "margin_mm": 5,
    }, tissue_presets(), None)  # fmt: skip


# -- one system, ours and the peers' ----------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class System:
    """Our solver with one pair posed (others float where there are any), and its operator as a sparse matrix."""

    solver: PotentialSolver
    values: np.ndarray

    @classmethod
    def of(cls, plan: TreatmentPlan) -> System:
        """The first pair of a plan of two needles."""
        pulse = plan.pulses[0]
        return cls(PotentialSolver(build_problem(plan)), np.array([0.5, -0.5]) * pulse.voltage_v)

    def solve(self, tolerance: float, *, linear: bool) -> tuple[float, int]:
        """From zero to ``tolerance``: net current of the first needle (weight x volt), V-cycles."""
        solver, nobody = self.solver, np.zeros(0, np.int64)
        before = solver.v_cycles
        solver.potential[:] = 0.0
        work = {} if linear else {"field_now": np.zeros_like(solver.sigma), "field_before": np.zeros_like(solver.sigma)}
        if not linear:
            solver.solve(self.values, nobody, tolerance=1e-3, linear=True)
        solver.solve(self.values, nobody, tolerance=tolerance, linear=linear, **work)
        return float(solver.currents(self.values)[0]), solver.v_cycles - before

    def assemble(self) -> tuple[sparse.csr_matrix, np.ndarray, np.ndarray]:
        """The operator of the solver's present conductivity: matrix and right-hand side of the cells that hold an unknown,
        and their flat indices."""
        s, p = self.solver, self.solver.problem
        unknown = np.flatnonzero(s.di > 0)
        number = np.full(s.di.size, -1, np.int64)
        number[unknown] = np.arange(unknown.size)
        diagonal, rows, columns, entries = np.zeros(unknown.size), [], [], []
        stride = (1, s.di.shape[2], s.di.shape[1] * s.di.shape[2])
        for w, step in zip((s.wx, s.wy, s.wz), stride, strict=True):
            upper = unknown[w.reshape(-1)[unknown] > 0]
            upper = upper[number[upper - step] >= 0]
            weight, a, b = w.reshape(-1)[upper].astype(float), number[upper], number[upper - step]
            diagonal += np.bincount(a, weight, diagonal.size) + np.bincount(b, weight, diagonal.size)
            rows += [a, b]
            columns += [b, a]
            entries += [-weight, -weight]
        at, weight = number[p.coupling_cell], s.weights.astype(float)
        diagonal += np.bincount(at, weight, diagonal.size)
        right = np.bincount(at, weight * self.values[p.coupling_conductor], diagonal.size)
        everyone = np.arange(unknown.size)
        matrix = sparse.coo_matrix((np.concatenate([*entries, diagonal]), (np.concatenate([*rows, everyone]), np.concatenate([*columns, everyone]))))
        return matrix.tocsr(), right, unknown

    def current_of(self, solution: np.ndarray, unknown: np.ndarray) -> float:
        """Net current of the first needle with a peer's potential."""
        self.solver.potential.reshape(-1)[unknown] = solution
        return float(self.solver.currents(self.values)[0])


Peer = Callable[[sparse.csr_matrix, np.ndarray, np.ndarray, float], np.ndarray]


def _peers() -> dict[str, Peer]:
    """Name and ``solve(matrix, right, start, tolerance)``, set-up included; those that are installed."""

    def jacobi(matrix, right, start, tolerance):
        scale = 1.0 / matrix.diagonal()
        return linalg.cg(matrix, right, x0=start, rtol=tolerance, atol=0.0, M=linalg.LinearOperator(matrix.shape, lambda v: scale * v))[0]

    peers: dict[str, Peer] = {"SciPy CG with the diagonal": jacobi}
    try:
        import pyamg
    except ImportError:
        return peers
    peers["pyamg smoothed aggregation + CG"] = lambda matrix, right, start, tolerance: pyamg.smoothed_aggregation_solver(matrix).solve(right, x0=start, tol=tolerance, accel="cg")
    peers["pyamg Ruge-Stuben + CG"] = lambda matrix, right, start, tolerance: pyamg.ruge_stuben_solver(matrix).solve(right, x0=start, tol=tolerance, accel="cg")
    return peers


def _loosest(attempt: Callable[[float], float], current: float, same: float) -> tuple[float, bool]:
    """The loosest tolerance at which ``attempt`` gives the current and at the next one still does (an error may pass through
    zero on its way), and whether any did (else the tightest)."""
    held = False
    for n, tolerance in enumerate(TOLERANCES):
        good = abs(attempt(tolerance) / current - 1.0) < same
        if good and held:
            return TOLERANCES[n - 1], True
        held = good
    return TOLERANCES[-1], held


def _linear_rows(spacing_mm: float) -> list[Row]:
    system = System.of(needle_plan(spacing_mm))
    current, _ = system.solve(CONVERGED, linear=True)
    tolerance, _ = _loosest(lambda t: system.solve(t, linear=True)[0], current, SAME_CURRENT)
    ours_s, (_, cycles) = best_of(lambda: system.solve(tolerance, linear=True), 5)
    matrix, right, unknown = system.assemble()
    cells = "x".join(map(str, system.solver.problem.grid.shape))
    task = f"linear field of one pair, {cells}, current to 1e-5: set-up and solve ({cycles} V-cycles)"
    rows = []
    for name, peer in _peers().items():
        tolerance, same = _loosest(lambda t, peer=peer: system.current_of(peer(matrix, right, np.zeros(unknown.size), t), unknown), current, SAME_CURRENT)
        peer_s, _ = best_of(lambda peer=peer, t=tolerance: peer(matrix, right, np.zeros(unknown.size), t), 1)
        rows.append(compare(task, ours_s, name, peer_s, same))
    return rows


def _roofline_row(spacing_mm: float) -> Row:
    """One iteration against the memory traffic that it cannot avoid: 28 passes over an array of the grid (14 for the
    V-cycle, 14 for conjugate gradients), at the speed of this machine's own triad. The ratio is the share of that speed."""
    system = System.of(needle_plan(spacing_mm))
    seconds, (_, cycles) = best_of(lambda: system.solve(1e-6, linear=True), 5)
    big, other = np.ones((2, 258, 514, 514), np.float32)
    multigrid.direction_update(big, other, 0.5)
    triad_s, _ = best_of(lambda: multigrid.direction_update(big, other, 0.5), 5)
    a_pass = triad_s / 3 / big.size * system.solver.problem.grid.cells  # the triad passes over three
    cells = "x".join(map(str, system.solver.problem.grid.shape))
    return compare(f"one iteration of conjugate gradients with its V-cycle, {cells}", seconds / cycles, "28 passes over memory at this machine's triad speed", 28 * a_pass)


def _nonlinear_rows(spacing_mm: float) -> list[Row]:
    system = System.of(needle_plan(spacing_mm, nonlinear=True))
    current, _ = system.solve(CONVERGED, linear=False)
    tolerance, _ = _loosest(lambda t: system.solve(t, linear=False)[0], current, PICARD_CURRENT)
    ours_s, (_, cycles) = best_of(lambda: system.solve(tolerance, linear=False), 5)
    cells = "x".join(map(str, system.solver.problem.grid.shape))
    task = f"nonlinear field of one pair, {cells}, current to 1e-3 ({cycles} V-cycles)"
    rows = []
    for name, peer in _peers().items():
        peer_s, steps, theirs = _picard(system, peer, current)
        rows.append(compare(task, ours_s, f"{name}: fixed point damped to {DAMPING:g}, {steps} steps, assembly not counted", peer_s, abs(theirs / current - 1.0) < PICARD_CURRENT))
    return rows


def _picard(system: System, peer: Peer, current: float) -> tuple[float, int, float]:
    """Seconds, steps and current of a damped fixed point; it is told our current and may stop near it."""
    solver, p = system.solver, system.solver.problem
    solver.potential[:] = 0.0
    solver._update_operator(solver.resting_law)
    matrix, right, unknown = system.assemble()
    at_rest = system.current_of(peer(matrix, right, np.zeros(unknown.size), TOLERANCES[-1]), unknown)
    tolerance, _ = _loosest(lambda t: system.current_of(peer(matrix, right, np.zeros(unknown.size), t), unknown), at_rest, 0.1 * PICARD_CURRENT)
    u, seconds, theirs = np.zeros(unknown.size), 0.0, 0.0
    for step in range(1, PICARD_STEPS_MOST + 1):
        started = time.perf_counter()
        new = peer(matrix, right, u, tolerance)
        u = new if step == 1 else u + DAMPING * (new - u)
        seconds += time.perf_counter() - started
        solver.potential.reshape(-1)[unknown] = u
        solver.potential.reshape(-1)[p.metal_cell] = system.values[p.metal_conductor]
        solver._update_operator(p.law)
        theirs = system.current_of(u, unknown)
        if step > 1 and abs(theirs / current - 1.0) < PICARD_CURRENT:
            break
        matrix, right, unknown = system.assemble()
    return seconds, step, theirs


# -- whole plans ------------------------------------------------------------------------------------


def _whole_rows() -> list[Row]:
    """Times without a peer: nothing that is installed does the same work."""
    rows = []
    for needles, spacing, times in ((4, 1.0, 3), (4, 0.5, 2), (6, 0.5, 1)):
        plan = needle_plan(spacing, needles, nonlinear=True)
        solve_plan(plan.with_spacing(2.0))
        seconds, solution = best_of(lambda plan=plan: solve_plan(plan), times)
        cells = "x".join(map(str, solution.geometry.shape))
        task = f"{needles} needles, {len(plan.pulses)} nonlinear pairs, others floating, {spacing:g} mm, {cells}, geometry included, residual"
        rows.append(compare(f"{task} 1e-6 ({solution.report.iterations} V-cycles)", seconds))
        seconds, solution = best_of(lambda plan=plan: solve_plan(plan, tolerance=1e-4), times)
        rows.append(compare(f"{task} 1e-4 ({solution.report.iterations} V-cycles)", seconds))
    plan = needle_plan(1.0, 4, nonlinear=True)
    solve_plan(plan, preview=True)
    rows.append(compare("preview under a moving needle: 4 needles, 6 linear pairs, 1 mm, geometry included", best_of(lambda: solve_plan(plan, preview=True), 10)[0]))
    rows.append(compare("plan of 4 needles solved and assessed, without heat, 1 mm", best_of(lambda: solve_and_assess(plan, JobContext(), heat=False), 3)[0]))
    rows.append(compare("200 robustness samples of it, 1 mm, all cores, workers started", best_of(lambda: assess_robustness(plan, Spread(), JobContext(), samples=200), 1)[0]))
    return rows
