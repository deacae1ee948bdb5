"""The potential of one pulse pair: nonlinear conjugate gradients with a multigrid preconditioner.

The residual is that of the nonlinear equation itself, ``div(sigma(|grad u|) grad u) = 0`` with the
conductivity of the current potential, so convergence is judged on the field and not on a current
that settles early. A fixed point on sigma with a full step does not converge for steep tissue laws;
here the step along each direction is the exact Newton step of the energy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from planning.errors import FieldNotConverged
from planning.field.multigrid import Hierarchy
from planning.field.problem import FieldProblem
from planning.kernels import conductivity as kc
from planning.kernels import multigrid as km
from volumetry.errors import Cancelled

STEPS_MOST = 60
DAMPED_STEPS_MOST = 60
DAMPED_INNER = 0.1  # of the residual that a step begins with
HINT = "Check for needles that nearly touch and for a tissue law with a step."
FIELD_CHANGE_MOST = 2e-3  # largest relative change of |E| in the last step, where |E| counts
FIELD_COUNTS_FROM_V_PER_CM = 50.0
OVERSHOOT_MOST = 0.3  # of the slope at the start of a step, met with the other sign at its end
STIFF_FROM = 5.0
REBUILD_DOWN_TO = 1e-4  # relative residual: nearer the end the conductivity hardly moves, and the coarse levels are kept
FOLLOW_FIELD_FROM = 10.0  # times the tolerance: from here on |E| is compared step by step


@dataclass(frozen=True, slots=True)
class StepReport:
    """One solve: V-cycles used, true relative residual at the end, largest relative change of |E|
    in the last step (None for a linear solve)."""

    iterations: int
    relative_residual: float
    field_change: float | None


def onsets_of(law: np.ndarray) -> np.ndarray:
    """Field strength (V/cm) below which each row of ``law`` is at rest to 1e-4 of its rise; infinity for a constant."""
    out = np.full(len(law), np.inf, np.float32)
    for n, (kind, _, _, low, high) in enumerate(law):
        if kind == kc.RAMP:
            out[n] = low
        elif kind == kc.SIGMOID:  # 10 exp(-x) = 1e4
            out[n] = max(0.5 * (low + high) - np.log(1e3) * (high - low) / 8, 0.0)
    return out


class PotentialSolver:
    """Workspace and iteration for one ``FieldProblem``; solves are made one after another.

    ``potential`` (float64), ``sigma``, ``floor`` (S/m) and ``weights`` stay readable after a solve.
    """

    keeps_rest = True  # False in a solver whose conductivity is changed from outside

    def __init__(self, problem: FieldProblem, should_cancel: Callable[[], bool] | None = None):
        self.problem = problem
        self.should_cancel = should_cancel
        shape = problem.grid.padded_shape
        self.potential = np.zeros(shape, np.float64)
        self.sigma, self.floor = np.zeros(shape, np.float32), np.zeros((3, 3, 3), np.float32)
        self.use_floor = False
        self.wx, self.wy, self.wz = (np.zeros(shape, np.float32) for _ in range(3))
        self.di, self.r, self.r_old, self.z, self.p = (np.zeros(shape, np.float32) for _ in range(5))
        self.weights = np.zeros(problem.coupling_cell.size, np.float32)
        self.hierarchy = Hierarchy(problem.grid.shape)
        self.scale = 5.0 / problem.grid.spacing_mm
        self.v_cycles = 0
        self.at_rest = False  # weights and coarse levels are those of the tissue at rest: a linear solve can take them up
        self.resting_law = problem.law.copy()
        self.resting_law[:, 0] = kc.CONSTANT
        self.never = np.full(shape[:2], np.inf, np.float32)
        self.onset = self.never.copy()
        kc.row_onsets(problem.label, onsets_of(problem.law), self.onset)

    def check_cancelled(self) -> None:
        """Raise ``Cancelled`` if the caller asked to stop."""
        if self.should_cancel is not None and self.should_cancel():
            raise Cancelled

    # -- pieces of one step ---------------------------------------------------------------------

    def _coupling_values(self, electrode_values: np.ndarray) -> np.ndarray:
        """Potential behind each coupling: its electrode's, or the posed boundary value."""
        p = self.problem
        if p.conductors == 0:
            return p.coupling_value
        return np.where(p.coupling_conductor >= 0, electrode_values[p.coupling_conductor], p.coupling_value)

    def _update_operator(self, law: np.ndarray) -> None:
        """Conductivity of the present potential, face weights, couplings."""
        p = self.problem
        km.mirror_ghosts(self.potential)
        kc.tissue_conductivity(self.potential, p.label, law, self.floor, self.use_floor, self.scale, self.onset if law is p.law else self.never, self.sigma)
        kc.special_conductivity(self.potential, p.label, law, self.floor, self.use_floor, self.scale,
                                p.special_cell, p.special_factor, self.sigma)
        kc.face_weights(self.sigma, self.wx, self.wy, self.wz)
        kc.scale_faces(self.wx, self.wy, self.wz, p.face_axis, p.face_cell, p.face_factor)
        kc.coupling_weights(self.sigma, p.coupling_cell, p.coupling_factor, self.weights)

    def _residual(self, values: np.ndarray, floating: np.ndarray) -> tuple[float, np.ndarray, float]:
        """Write ``r``; return its norm (with the floating needles' net currents), those currents
        with the sign of a residual, and the dot product of ``r`` with the direction ``p``."""
        p = self.problem
        km.flux_residual(self.potential, self.wx, self.wy, self.wz, self.r)
        coupled = self._coupling_values(values)
        km.coupling_residual(self.potential, self.r, p.coupling_cell, self.weights, coupled)
        rv = -self.currents(values)[floating] if floating.size else np.zeros(0)
        square, along = km.two_dots(self.r, self.r, self.p)
        return float(np.sqrt(square + (rv**2).sum())), rv, along

    def currents(self, values: np.ndarray) -> np.ndarray:
        """Net current of each conductor into the tissue in weight x volt; the last entry is that
        of posed boundaries."""
        p = self.problem
        out = np.zeros(p.conductors + 1)
        km.coupling_currents(self.potential, p.coupling_cell, self.weights, self._coupling_values(values), p.coupling_conductor, out)
        return out

    def _scale_of_residual(self, values: np.ndarray, active: np.ndarray) -> float:
        """Norm of the right-hand side: couplings times potentials about their mean.

        Cells that all but lie on the metal have couplings of thousands; they are taken as
        STIFF_FROM times the conductivity, or they would make any residual look small.
        """
        p = self.problem
        coupled = self._coupling_values(values)
        used = (p.coupling_conductor < 0) | np.isin(p.coupling_conductor, active)
        if not used.any():
            return 0.0
        level = 0.5 * (coupled[used].min() + coupled[used].max())
        cells, inverse = np.unique(p.coupling_cell[used], return_inverse=True)
        soft = self.weights[used] * np.minimum(1.0, STIFF_FROM / np.maximum(p.coupling_factor[used], 1e-30))
        return float(np.linalg.norm(np.bincount(inverse, soft * (coupled[used] - level), minlength=cells.size)))

    # -- the iteration --------------------------------------------------------------------------

    def solve(self, values: np.ndarray, floating: np.ndarray, *, tolerance: float, linear: bool = False,
              basis: np.ndarray | None = None, conductance: np.ndarray | None = None,
              field_now: np.ndarray | None = None, field_before: np.ndarray | None = None, frozen: bool = False) -> StepReport:
        """Bring ``potential`` (its present content is the starting guess) to a relative residual of
        ``tolerance``.

        ``values``: potential of each conductor (V), changed in place for those in ``floating``,
        which carry no net current. ``linear``: keep the resting conductivity (never below
        ``floor``). ``basis``/``conductance``: unit solutions of all conductors
        (conductor, then the grid) and the conductance matrix of the floating ones, used as a coarse space. ``field_now``/``field_before``: workspace in
        which |E| is followed near the end (nonlinear). ``frozen``: a linear solve with the conductivity as it stands.
        Raises ``FieldNotConverged`` after 60 steps and as many damped ones, ``Cancelled``.
        """
        p = self.problem
        linear = linear or frozen or p.is_linear
        law = self.resting_law if linear else p.law
        floating = np.asarray(floating, np.int64)
        fixed = np.setdiff1d(np.arange(p.conductors), floating)
        metal_values = lambda v: v[p.metal_conductor] if p.conductors else np.zeros(0)  # noqa: E731
        km.set_cells(self.potential, p.metal_cell, metal_values(values))
        ready = self.at_rest and linear and not frozen
        if not (frozen or ready):
            self.at_rest = False
            self._update_operator(law)
        self.p[:] = 0.0
        norm, rv, _ = self._residual(values, floating)
        zr_old, ahead, change, followed = 0.0, 0.0, None, False
        direction, rhs = np.zeros(p.conductors), np.zeros(floating.size)
        for step in range(STEPS_MOST + 1):
            scale = self._scale_of_residual(values, fixed)
            relative = norm / scale if scale > 0 else 0.0
            if not np.isfinite(relative):
                raise FieldNotConverged("The field solver met a value that is not a number; there is no result to show.")
            settled = linear or field_now is None or (change is not None and change <= FIELD_CHANGE_MOST)
            if relative <= tolerance and settled:
                return StepReport(step, relative, change)
            if step == STEPS_MOST:
                break
            self.check_cancelled()
            if (step == 0 and not ready) or (not linear and relative > REBUILD_DOWN_TO):
                self.at_rest = self.keeps_rest and linear and not frozen and not self.use_floor
                self.hierarchy.rebuild(self.wx, self.wy, self.wz, self.di, p.coupling_cell, self.weights)
            self.hierarchy.precondition(self.r, self.z)
            self.v_cycles += 1
            zr, zq = km.two_dots(self.z, self.r, self.r_old)
            zv = np.zeros(floating.size)
            if floating.size:
                rhs_old, rhs = rhs, rv if basis is None else rv + km.bank_dots(basis, floating, self.r)
                zv = self._coarse_floating(rhs, basis, conductance)
                zr, zq = zr + zv @ rhs, zq + zv @ rhs_old
            beta = max(0.0, (zr - zq) / zr_old) if zr_old > 0 else 0.0
            self._set_direction(beta, basis, floating, zv)
            direction *= beta
            direction[floating] += zv
            km.set_cells(self.p, p.metal_cell, metal_values(direction))
            zr_old = zr
            slope = zr + beta * ahead  # p.r: the new direction is z and beta times the old one
            if slope <= 0.0:  # lost the way: start again from the preconditioned residual
                zr_old = 0.0
                self._set_direction(0.0, basis, floating, zv)
                direction[:] = 0.0
                direction[floating] = zv
                km.set_cells(self.p, p.metal_cell, metal_values(direction))
                slope = zr
            bend = km.face_energy(self.p, self.wx, self.wy, self.wz)
            coupled = np.where(p.coupling_conductor >= 0, direction[p.coupling_conductor], 0.0) if p.conductors else np.zeros(p.coupling_cell.size)
            bend += km.coupling_energy(self.p, p.coupling_cell, self.weights, coupled)
            if not linear:
                km.mirror_ghosts(self.p)
                bend += kc.curvature(self.potential, self.p, p.label, p.special_flag, law, self.floor, self.use_floor, self.scale, self.onset)
                bend += kc.special_curvature(self.potential, self.p, p.label, law, self.floor, self.use_floor, self.scale, p.special_cell, p.special_factor)
            if not bend > 0.0:
                raise FieldNotConverged("The electrodes touch no conducting tissue; there is no field to show.", code="no_current_path")
            self.r, self.r_old = self.r_old, self.r
            length = slope / bend
            norm, rv, ahead = self._advance(length, values, direction, floating, law, linear)
            if not linear:
                for _ in range(3):  # a kink of the tissue law can carry the step past the minimum
                    if ahead >= -OVERSHOOT_MOST * slope:
                        break
                    back = length * ahead / (slope - ahead)
                    length += back
                    norm, rv, ahead = self._advance(back, values, direction, floating, law, linear)
                if field_now is not None and norm <= FOLLOW_FIELD_FROM * tolerance * scale:
                    field_before, field_now = field_now, field_before
                    self.field_strength(field_now)
                    if followed:
                        change = kc.largest_relative_change(field_before, field_now, FIELD_COUNTS_FROM_V_PER_CM)
                    followed = True
        if not linear and field_now is not None:
            return self._settle(values, floating, fixed, tolerance, basis, conductance, field_now, field_before)
        raise FieldNotConverged(f"The field did not settle in {STEPS_MOST} steps (residual {relative:.1e}); it is not shown.", hint=HINT)

    def _settle(self, values, floating, fixed, tolerance, basis, conductance, field_now, field_before) -> StepReport:
        """What conjugate gradients could not bring to rest, by a damped fixed point: solve with the conductivity as it
        stands, go half of the way, look again. Slow, but a kink of a tissue law in one cell cannot throw it about."""
        p, change, before = self.problem, None, self.potential.copy()
        for step in range(DAMPED_STEPS_MOST + 1):
            self._update_operator(p.law)
            norm, _, _ = self._residual(values, floating)
            scale = self._scale_of_residual(values, fixed)
            relative = norm / scale if scale > 0 else 0.0
            field_before, field_now = field_now, field_before
            self.field_strength(field_now)
            if step:
                change = kc.largest_relative_change(field_before, field_now, FIELD_COUNTS_FROM_V_PER_CM)
            if relative <= tolerance and change is not None and change <= FIELD_CHANGE_MOST:
                return StepReport(STEPS_MOST + step, relative, change)
            if step == DAMPED_STEPS_MOST:
                break
            np.copyto(before, self.potential)
            values_before = values.copy()
            self.solve(values, floating, tolerance=max(DAMPED_INNER * relative, 0.1 * tolerance), basis=basis, conductance=conductance, frozen=True)
            self.potential += before
            self.potential *= 0.5
            values += values_before
            values *= 0.5
        raise FieldNotConverged(f"The field did not settle in {STEPS_MOST} steps and {DAMPED_STEPS_MOST} damped ones (residual {relative:.1e}); it is not shown.", hint=HINT)

    def _advance(self, length, values, direction, floating, law, linear) -> tuple[float, np.ndarray, float]:
        km.add_scaled64(self.potential, self.p, length)
        values += length * direction
        km.set_cells(self.potential, self.problem.metal_cell, values[self.problem.metal_conductor] if values.size else np.zeros(0))
        if not linear:
            self._update_operator(law)
        norm, rv, along = self._residual(values, floating)
        return norm, rv, along + float(direction[floating] @ rv)

    def _coarse_floating(self, rhs, basis, conductance) -> np.ndarray:
        """Amounts of the floating needles' unit solutions that belong to the preconditioned residual.

        Without unit solutions each floating needle is preconditioned by its own couplings.
        """
        if basis is None:
            return rhs / np.maximum(conductance, 1e-30)
        return np.linalg.lstsq(conductance, rhs, rcond=1e-9)[0]

    def _set_direction(self, beta: float, basis, floating: np.ndarray, amounts: np.ndarray) -> None:
        if basis is None or not floating.size:
            km.direction_update(self.p, self.z, beta)
        else:
            km.direction_with_bank(self.p, self.z, beta, basis, floating, amounts)

    def field_strength(self, out: np.ndarray) -> None:
        """|E| (V/cm) of the present potential into a padded float32 array; 0 in needles."""
        p = self.problem
        km.mirror_ghosts(self.potential)
        kc.field_strength(self.potential, p.label, self.scale, out)
        kc.special_field_strength(self.potential, p.label, self.scale, p.special_cell, p.special_factor, out)
