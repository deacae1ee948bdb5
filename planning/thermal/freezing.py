"""The bioheat equation with freezing on a grid of cubes: cold and hot probes, ice, perfusion that stops, dose.

    dh/dt = div(k grad T) + q + rho_b c_b w (T_body - T)

in enthalpy ``h``, with the latent heat spread evenly over the freezing range, and Kirchhoff's transform for the
conductivity (Voller and Cross 1981 for the enthalpy method). Tissue is uniform; a large vessel's own cooling is not in it.
Probes enter as true cylinders by the same faces and couplings as the electric needles: the bare tip at the temperature of
its wall, the shaft without heat flow. Forward Euler in tissue, backward Euler at the wall; every joule is booked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from planning.errors import PlanRefused
from planning.field.problem import FieldProblem
from planning.heat.damage import TABLE_PER_K
from planning.kernels import conductivity as kc
from planning.kernels import freezing as kf
from planning.threads import ONE_AT_A_TIME
from volumetry.errors import Cancelled

SAFETY = 0.9
LARGEST_FACE = 3.0  # of a fitted face near a probe; a larger one would only shorten the step
COUNTS_FROM_K = 0.05
CHUNK = 24  # steps between looks at the cancel button
INSULATED = (None,) * 6


@dataclass(frozen=True, slots=True)
class FreezeTissue:
    """Uniform tissue. ``blood_w_per_m3_k``: heat that blood brings. ``stasis_c``: once colder than this, blood stays away.
    Refuses numbers that are not finite, no heat capacity, and a freezing range without width (``bad_thermal``)."""

    frozen_w_per_m_k: float
    unfrozen_w_per_m_k: float
    frozen_j_per_m3_k: float
    unfrozen_j_per_m3_k: float
    latent_j_per_m3: float
    freezing_from_c: float = -1.0
    freezing_to_c: float = -8.0
    blood_w_per_m3_k: float = 0.0
    body_c: float = 37.0
    stasis_c: float = -8.0

    def __post_init__(self) -> None:
        for f in fields(self):
            if not math.isfinite(getattr(self, f.name)):
                raise PlanRefused(f"Freezing: {f.name} is not a finite number.", code="not_a_number")
        if min(self.frozen_w_per_m_k, self.unfrozen_w_per_m_k, self.frozen_j_per_m3_k, self.unfrozen_j_per_m3_k) <= 0 or min(self.latent_j_per_m3, self.blood_w_per_m3_k) < 0:
            raise PlanRefused("Freezing: conductivities and heat capacities must be more than 0.", code="bad_thermal")
        if not self.freezing_to_c < self.freezing_from_c < self.body_c:
            raise PlanRefused("Freezing: the range must fall from below the body's temperature.", code="bad_thermal")

    @property
    def row(self) -> np.ndarray:
        """As the kernels take it. The heat of the range is the latent heat and the sensible heat of half ice, half not."""
        wide = self.freezing_from_c - self.freezing_to_c
        whole = self.latent_j_per_m3 + 0.5 * (self.frozen_j_per_m3_k + self.unfrozen_j_per_m3_k) * wide
        return np.array([self.freezing_to_c, self.freezing_from_c, self.frozen_j_per_m3_k, self.unfrozen_j_per_m3_k, whole, self.frozen_w_per_m_k, self.unfrozen_w_per_m_k])

    def enthalpy(self, temperature_c: float) -> float:
        """J/m3, 0 at the upper end of the freezing range."""
        p = self.row
        if temperature_c >= p[1]:
            return p[3] * (temperature_c - p[1])
        if temperature_c > p[0]:
            return -p[4] * (p[1] - temperature_c) / (p[1] - p[0])
        return -p[4] + p[2] * (temperature_c - p[0])

    def diffusivity(self, with_ice: bool = True) -> float:
        """Largest d theta / dh (m2/s), which bounds the step; smaller where nothing is frozen."""
        p = self.row
        unfrozen = p[6] / p[3]
        return max(p[5] / p[2], unfrozen, max(p[5], p[6]) * (p[1] - p[0]) / p[4]) if with_ice else unfrozen


@dataclass(frozen=True, slots=True)
class ProbeWall:
    """What a probe does in a phase: its wall is held at ``bath_c``, or, with ``transfer_w_per_k`` (coefficient times area),
    at the one temperature at which the bath gives what the tissue takes."""

    bath_c: float
    transfer_w_per_k: float | None = None


class FreezeSolver:
    """Enthalpy ``h`` over time, with ``coldest`` and ``hottest`` (°C), ``dose`` by each rate table and the books of energy (J):
    ``probe_j``, ``source_j``, ``blood_j``, ``wall_j``, all counted into the tissue.

    ``walls``: temperature (°C) held on the faces x low, x high, y low ... z high; None insulates. ``killed_by``: the row of
    ``tables`` whose dose of 1 stops perfusion. ``problem``: probes as conductors of a field problem on the same grid.
    """

    def __init__(self, shape, spacing_mm: float, tissue: FreezeTissue, *, walls=INSULATED, problem: FieldProblem | None = None, tables: np.ndarray | None = None,
                 killed_by: int = 0, should_cancel: Callable[[], bool] | None = None):
        self.shape, self.spacing_mm, self.tissue, self.p = tuple(shape), spacing_mm, tissue, tissue.row
        self.should_cancel = should_cancel
        size = spacing_mm * 1e-3
        self.cell_m3 = size**3
        padded = tuple(n + 2 for n in self.shape)
        self.here = np.zeros(padded, np.uint8)
        self.here[1:-1, 1:-1, 1:-1] = 1
        if problem is not None:
            self.here[problem.label >= kc.FIRST_NEEDLE_LABEL] = 0
        self.wx, self.wy, self.wz = (np.zeros(padded, np.float64) for _ in range(3))
        for w, axis in ((self.wx, 2), (self.wy, 1), (self.wz, 0)):
            upper, lower = [slice(None)] * 3, [slice(None)] * 3
            upper[axis], lower[axis] = slice(1, None), slice(0, -1)
            w[tuple(upper)] = self.here[tuple(upper)] * self.here[tuple(lower)]
        self.probes: list[tuple[np.ndarray, np.ndarray]] = []
        if problem is not None:
            for axis, w in enumerate((self.wx, self.wy, self.wz)):
                mine = problem.face_axis == axis
                np.multiply.at(w.reshape(-1), problem.face_cell[mine], np.minimum(problem.face_factor[mine], LARGEST_FACE))
            for n in range(problem.conductors):
                mine = problem.coupling_conductor == n
                cells, where = np.unique(problem.coupling_cell[mine], return_inverse=True)
                self.probes.append((cells, np.bincount(where, problem.coupling_factor[mine].astype(float), minlength=cells.size) / size**2))
        self.theta = np.zeros(padded)
        self._set_walls(walls)
        for w in (self.wx, self.wy, self.wz):
            w /= size**2
        c = (slice(1, -1),) * 3
        total = self.wx[c] + self.wy[c] + self.wz[c] + self.wx[1:-1, 1:-1, 2:] + self.wy[1:-1, 2:, 1:-1] + self.wz[2:, 1:-1, 1:-1]
        self.most_faces = float(total.max())
        self.coldest_wall_c = min((w for w in walls if w is not None), default=math.inf)
        self.h = np.full(padded, tissue.enthalpy(tissue.body_c))
        self.coldest, self.hottest = (np.full(padded, tissue.body_c, np.float32) for _ in range(2))
        self.tables = np.zeros((0, 2)) if tables is None else np.ascontiguousarray(tables, np.float64)
        self.dose = np.zeros((len(self.tables), *padded), np.float32)
        self.killed = self.dose[killed_by] if len(self.tables) else np.zeros(padded, np.float32)
        self.source = np.zeros(padded)
        self.seconds = self.probe_j = self.source_j = self.blood_j = self.wall_j = 0.0
        self.probe_c: list[float | None] = [None] * len(self.probes)
        kf.fill_theta(self.h, self.p, self.theta)
        self.start_j = self.stored_j()

    def _set_walls(self, walls) -> None:
        for n, held in enumerate(walls):
            w = (self.wx, self.wy, self.wz)[n // 2]
            face, ghost, inner = [slice(1, -1)] * 3, [slice(None)] * 3, [slice(1, -1)] * 3
            face[2 - n // 2] = inner[2 - n // 2] = 1 if n % 2 == 0 else -2
            ghost[2 - n // 2] = 0 if n % 2 == 0 else -1
            if n % 2:
                face[2 - n // 2] = -1
            w[tuple(face)] = 0.0 if held is None else 2.0 * self.here[tuple(inner)]
            if held is not None:
                self.theta[tuple(ghost)] = kf.theta_at(float(held), self.p)

    def start_from(self, temperature_c) -> None:
        """Begin at this temperature (°C, a number or an array of the inner cells); the books begin anew."""
        values = np.broadcast_to(np.asarray(temperature_c, float), self.shape)
        self.h[1:-1, 1:-1, 1:-1] = np.vectorize(self.tissue.enthalpy, otypes=[float])(np.unique(values))[np.unique(values, return_inverse=True)[1].reshape(self.shape)]
        self.coldest[1:-1, 1:-1, 1:-1] = self.hottest[1:-1, 1:-1, 1:-1] = values
        kf.fill_theta(self.h, self.p, self.theta)
        self.start_j = self.stored_j()

    def longest_step_s(self, with_ice: bool = True) -> float:
        """Below this forward Euler keeps to the largest and smallest temperature around."""
        return SAFETY / (self.most_faces * self.tissue.diffusivity(with_ice) + self.tissue.blood_w_per_m3_k / self.tissue.unfrozen_j_per_m3_k)

    def stored_j(self) -> float:
        """Enthalpy of all tissue (J)."""
        return float((self.h * self.here).sum()) * self.cell_m3

    def imbalance(self) -> float:
        """What is missing in the books, as a share of all heat that moved."""
        moved = self.probe_j + self.source_j + self.blood_j + self.wall_j
        return abs(self.stored_j() - self.start_j - moved) / max(abs(self.probe_j), abs(self.source_j), abs(self.blood_j), abs(self.wall_j), 1e-9)

    def temperature_c(self) -> np.ndarray:
        """°C of the inner cells, NaN in probes."""
        h, p = self.h[1:-1, 1:-1, 1:-1], self.p
        t = np.where(h >= 0, p[1] + h / p[3], np.where(h > -p[4], p[1] + h / p[4] * (p[1] - p[0]), p[0] + (h + p[4]) / p[2]))
        return np.where(self.here[1:-1, 1:-1, 1:-1] == 1, t, np.nan)

    def frozen_share(self) -> np.ndarray:
        """How much of each inner cell's freezing range is passed, 0 to 1."""
        return np.clip(-self.h[1:-1, 1:-1, 1:-1] / self.p[4], 0.0, 1.0)

    def run(self, seconds: float, probes: dict[int, ProbeWall] | None = None, *, source_w_per_m3: np.ndarray | None = None, limit_c: float | None = None,
            step_s: float | None = None, progress: Callable[[float], None] | None = None) -> None:
        """Go on for ``seconds``. ``probes``: walls that are cold or hot meanwhile; the others let no heat through.
        ``source_w_per_m3`` (inner cells) is lowered as a whole so that none of it passes ``limit_c``. Raises ``Cancelled``."""
        probes = probes or {}
        self.source[:] = 0.0
        if source_w_per_m3 is not None:
            self.source[1:-1, 1:-1, 1:-1] = source_w_per_m3
            self.source[self.here == 0] = 0.0
        most = float(self.source.max())
        h_limit = math.inf if limit_c is None else self.tissue.enthalpy(limit_c)
        sums, room = np.zeros(self.h.shape[0]), np.full(self.h.shape[0], 1e30)
        heat_from = self.tissue.body_c + COUNTS_FROM_K
        cold = min([self.coldest_wall_c, *(w.bath_c for w in probes.values())]) < self.tissue.freezing_from_c
        done = 0.0
        while done < seconds * (1 - 1e-12):
            if self.should_cancel is not None and self.should_cancel():
                raise Cancelled
            if progress is not None:
                progress(done / seconds)
            # Ice bounds the step eight times lower than warm tissue does: it is looked for every few steps.
            longest = min(step_s or math.inf, self.longest_step_s(cold or bool((self.h < 0.0).any())))
            steps = max(1, math.ceil((seconds - done) / longest - 1e-9))
            dt, now = (seconds - done) / steps, min(steps, CHUNK)
            with ONE_AT_A_TIME:
                for _ in range(now):
                    self._step(dt, probes, most, h_limit, sums, room, heat_from)
            done += now * dt
        if progress is not None:
            progress(1.0)

    def _step(self, dt, probes, most, h_limit, sums, room, heat_from) -> None:
        t = self.tissue
        self.wall_j += kf.wall_heat(self.theta, self.wx, self.wy, self.wz) * dt * self.cell_m3
        kf.explicit_step(self.h, self.theta, self.wx, self.wy, self.wz, self.here, t.blood_w_per_m3_k, t.body_c, t.stasis_c, self.coldest, self.killed, dt, self.p, sums)
        self.blood_j += float(sums.sum()) * self.cell_m3
        for number, wall in probes.items():
            cells, weights = self.probes[number]
            at = wall.bath_c
            if wall.transfer_w_per_k is not None:
                total, weighted = kf.coupling_sums(self.theta, cells, weights)
                at = kf.wall_temperature(wall.bath_c, wall.transfer_w_per_k, total * self.cell_m3, weighted * self.cell_m3, self.p)
            self.probe_c[number] = at
            self.probe_j += kf.couple(self.h, cells, weights, kf.theta_at(at, self.p), dt, self.p) * self.cell_m3
        if most > 0.0:  # last, so that the hottest cell ends at the limit and not below it by what it led away
            kf.source_room(self.h, self.source, 0.01 * most, h_limit, dt, room)
            kf.add_source(self.h, self.source, dt * min(1.0, float(room.min())), sums)
            self.source_j += float(sums.sum()) * self.cell_m3
        kf.record(self.h, self.here, dt, self.p, t.body_c, heat_from, TABLE_PER_K, self.tables, self.theta, self.coldest, self.hottest, self.dose)
        self.seconds += dt
