"""The bioheat equation of Pennes on a grid of cubes, stepped by stabilised explicit stages.

    rho c dT/dt = div(k grad T) + q - rho_b c_b w (T - T_body) + q_m

Finite volumes with harmonic means of ``k`` on the faces. A needle's steel leads heat thirty times better than tissue
and would force forward Euler to a tenth of a second; an RKL2 step of s stages (Meyer, Balsara and Aslam, J Comput
Phys 2014) is of second order, and stable over (s^2 + s - 2) / 4 of its steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from planning.errors import PlanRefused
from planning.kernels import heat as kh
from planning.kernels.conductivity import face_weights
from volumetry.errors import Cancelled

STEP_MOST_S = 1.0
SAFETY = 0.95
COUNTS_FROM_K = 0.05  # above the body's temperature: below, a cell gathers only what body temperature does
OPEN_WALLS = (True,) * 6


@dataclass(frozen=True, slots=True, eq=False)
class ThermalGrid:
    """Properties of cubic cells ``[k, j, i]``: ``conductivity`` (W/(m K)), ``heat_capacity`` (J/(m3 K)), ``blood`` (heat
    that blood takes, W/(m3 K)), ``metabolic`` (W/m3). ``closed``: cells without heat of their own (air), which insulate.
    ``walls``: for x low, x high, y low, ... z high: True holds the body's temperature there, False insulates.
    Refuses negative and non-finite values."""

    spacing_mm: float
    conductivity: np.ndarray
    heat_capacity: np.ndarray
    blood: np.ndarray
    metabolic: np.ndarray
    closed: np.ndarray | None = None
    walls: tuple[bool, ...] = OPEN_WALLS

    def __post_init__(self) -> None:
        for name in ("conductivity", "heat_capacity", "blood", "metabolic"):
            values = getattr(self, name)
            if not np.isfinite(values).all():
                raise PlanRefused(f"Heat: the {name} of some tissue is not a finite number.", code="not_a_number")
            if (values < 0).any() or (name == "heat_capacity" and (values <= 0).any()):
                raise PlanRefused(f"Heat: the {name} of some tissue is negative or missing.", code="bad_thermal")
        if not self.spacing_mm > 0:
            raise PlanRefused("Heat: the spacing must be more than 0.", code="bad_thermal")


def padded(values, dtype=np.float32) -> np.ndarray:
    """A copy with a ghost layer of zeros."""
    return np.pad(np.asarray(values, dtype), 1)


class BioheatSolver:
    """Temperature above the body's (``rise``, K, one ghost layer) over time, with dose and the books of energy.

    ``tables``: rates (1/s) over the rise, rows as from ``planning.heat.damage.rate_tables``; ``dose[n]`` gathers
    them, ``hottest`` the largest rise met. Energies in joules: ``given_j`` (source and metabolism), ``lost_j`` (to
    blood and through walls).
    """

    def __init__(self, grid: ThermalGrid, tables: np.ndarray | None = None, per_k: float = 64.0, should_cancel: Callable[[], bool] | None = None):
        self.grid, self.per_k, self.should_cancel = grid, per_k, should_cancel
        self.shape = grid.conductivity.shape
        h = grid.spacing_mm * 1e-3
        self.cell_m3 = h**3
        k = padded(grid.conductivity)
        closed = padded(np.zeros(self.shape, bool) if grid.closed is None else grid.closed, bool)
        k[closed] = 0.0
        self.wx, self.wy, self.wz = (np.zeros(k.shape, np.float32) for _ in range(3))
        face_weights(k, self.wx, self.wy, self.wz)
        self.walls = []
        for n, held in enumerate(grid.walls):
            w = (self.wx, self.wy, self.wz)[n // 2]
            inner, face = [slice(1, -1)] * 3, [slice(1, -1)] * 3
            inner[2 - n // 2], face[2 - n // 2] = (1, 1) if n % 2 == 0 else (-2, -1)
            if held:  # half a cell from the centre to the wall
                w[tuple(face)] = 2.0 * k[tuple(inner)]
                self.walls.append((tuple(inner), 2.0 * k[tuple(inner)].astype(np.float64) * h))
        for w in (self.wx, self.wy, self.wz):
            w /= np.float32(h * h)
        self.capacity = padded(grid.heat_capacity)
        self.r = np.where(closed | (self.capacity == 0), 0.0, 1.0 / np.maximum(self.capacity, 1e-30)).astype(np.float32)
        self.capacity[closed] = 0.0
        self.b = padded(grid.blood)
        self.b[closed] = 0.0
        self.metabolic = padded(grid.metabolic)
        self.metabolic[closed] = 0.0
        self.rise, self.spare, self.other, self.rate, self.source = (np.zeros(k.shape, np.float32) for _ in range(5))
        self.tables = np.zeros((0, 2)) if tables is None else np.ascontiguousarray(tables, np.float64)
        self.dose = np.zeros((len(self.tables), *k.shape), np.float32)
        self.hottest = np.zeros(k.shape, np.float32)
        self.seconds = self.given_j = self.lost_j = 0.0
        self.stable_s = self._stable_s()
        self.given_w = 0.0
        self.set_source(np.zeros(self.shape))

    def _stable_s(self) -> float:
        """Longest stable step of forward Euler: 2 over the largest eigenvalue, by Gershgorin's circles."""
        c = (slice(1, -1),) * 3
        total = self.b[c] + self.wx[c] + self.wy[c] + self.wz[c]
        total = total + self.wx[1:-1, 1:-1, 2:] + self.wy[1:-1, 2:, 1:-1] + self.wz[2:, 1:-1, 1:-1]
        worst = float((total * self.r[c]).max())
        return SAFETY / worst if worst > 0 else math.inf

    def set_source(self, q_w_per_m3: np.ndarray) -> None:
        """Heat put into each cell from now on (W/m3), metabolism apart."""
        if not np.isfinite(q_w_per_m3).all():
            raise PlanRefused("Heat: the source is not a finite number everywhere.", code="not_a_number")
        q = padded(q_w_per_m3) + self.metabolic
        self.given_w = float(q[self.r > 0].sum(dtype=np.float64)) * self.cell_m3
        np.multiply(q, self.r, out=self.source)

    def _loss_w(self) -> float:
        """Heat leaving at this moment: to the blood and through the walls (W)."""
        loss = kh.weighted_sum(self.rise, self.b) * self.cell_m3
        return loss + sum(float((self.rise[face] * w).sum()) for face, w in self.walls)

    def stored_j(self) -> float:
        """Heat stored above the body's temperature (J)."""
        return kh.weighted_sum(self.rise, self.capacity) * self.cell_m3

    def imbalance(self, stored_before_j: float = 0.0) -> float:
        """What is missing in the books, as a share of the heat given."""
        return abs(self.stored_j() - stored_before_j + self.lost_j - self.given_j) / max(self.given_j, 1e-30)

    def run(self, seconds: float, step_s: float = STEP_MOST_S, progress: Callable[[float], None] | None = None) -> None:
        """Go on for ``seconds`` in equal steps of at most ``step_s``; ``progress(0..1)``. Raises ``Cancelled``."""
        if not (math.isfinite(seconds) and seconds >= 0):
            raise PlanRefused("Heat: the time must be a finite number, 0 or more.", code="not_a_number")
        steps = math.ceil(seconds / step_s - 1e-9)
        for n in range(steps):
            if self.should_cancel is not None and self.should_cancel():
                raise Cancelled
            self._step(seconds / steps)
            if progress is not None:
                progress((n + 1) / steps)

    def _step(self, dt: float) -> None:
        loss_before = self._loss_w()
        y0, y1, y2 = self.rise, self.spare, self.other
        arrays = (self.wx, self.wy, self.wz, self.b, self.r, self.source)
        ratio = dt / self.stable_s
        stages = max(3, math.ceil(0.5 * (math.sqrt(9.0 + 16.0 * ratio) - 1.0)))
        stages += 1 - stages % 2  # an odd number damps the shortest waves
        w = 4.0 / (stages * stages + stages - 2)
        b = [1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0] + [(j * j + j - 2.0) / (2.0 * j * (j + 1.0)) for j in range(3, stages + 1)]
        kh.first_stage(y0, *arrays, self.rate, y1, b[1] * w * dt)
        y2[:] = y0
        for j in range(2, stages + 1):
            mu = (2.0 * j - 1.0) / j * b[j] / b[j - 1]
            nu = -(j - 1.0) / j * b[j] / b[j - 2]
            kh.next_stage(y1, y2, y0, self.rate, *arrays, mu, nu, mu * w * dt, -(1.0 - b[j - 1]) * mu * w * dt)
            y1, y2 = y2, y1
        kh.accumulate(y0, y1, dt, COUNTS_FROM_K, self.per_k, self.tables, self.dose, self.hottest)
        self.rise, self.spare, self.other = y1, y2, y0
        self.seconds += dt
        self.given_j += self.given_w * dt
        self.lost_j += 0.5 * (loss_before + self._loss_w()) * dt
