"""The heat of a solved plan: pair after pair, temperature raising the current that makes it.

Each pair's field is solved again on the heat's own grid (1 mm or so) with the tissue as the plan's field opened it,
and again every few seconds of the train with the conductivity that the temperature has reached by then: so the heat
put in is voltage times current of a field that fits its temperature. What opened stays open; a rise of the field
above the plan's own, by heat alone, opens no more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from planning.errors import PlanRefused
from planning.field.grid import FieldGrid
from planning.field.nonlinear import PotentialSolver
from planning.field.problem import FieldProblem
from planning.field.solution import FieldSolution
from planning.field.solve import build_problem
from planning.heat.bioheat import BioheatSolver, ThermalGrid
from planning.heat.damage import TABLE_PER_K, DamageSet, rate_tables
from planning.heat.properties import HeatData, HeatSettings, ThermalTissue
from planning.kernels import conductivity as kc
from planning.kernels import heat as kh
from planning.kernels import sampling as ks
from planning.plan import TreatmentPlan
from planning.threads import ONE_AT_A_TIME
from planning.tissue import Conductivity
from planning.tissue_map import needle_bits, sample_materials, sample_role
from volumetry.errors import Cancelled

SPACING_MM = 1.0
SEGMENT_S = 10.0
STEP_S = 1.5
TOLERANCE = 1e-4
MATTERS_FROM_K = 0.05  # of heating without any loss: the box reaches REACH_MM beyond it
REACH_MM = 12.0
BOILING_C = 100.0
LEAST_DOSE = 1e-30
TRAIN_MOST_S = 7200.0


@dataclass(frozen=True, slots=True)
class HeatPair:
    """One train: its time, the current (A) in tissue at body temperature, at its first and after its last pulse, the
    energy given (J), the hottest tissue (°C) and the mean of targets (°C; None without) at its end."""

    anode: str
    cathode: str
    seconds: float
    current_cold_a: float
    current_start_of_train_a: float
    current_end_of_train_a: float
    energy_j: float
    peak_c: float
    target_mean_c: float | None

    def to_dict(self) -> dict:
        """As in the answer of ``nodus plan``."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, eq=False)
class HeatSolution:
    """Heat over the whole of ``grid`` (float32, [k, j, i]): ``hottest_c`` and ``end_c`` (°C, needles with their own
    temperature), ``log_omega`` (log10 of Arrhenius damage by each set's name), ``log_cem43`` (log10 of minutes).
    ``material`` is a row of ``tissues`` (and ``laws``), ``needle_share`` how much of a cell is needle."""

    grid: FieldGrid
    hottest_c: np.ndarray
    end_c: np.ndarray
    log_omega: dict[str, np.ndarray]
    log_cem43: np.ndarray
    material: np.ndarray
    needle_share: np.ndarray
    laws: tuple[Conductivity, ...]
    tissues: tuple[ThermalTissue, ...]
    sets: tuple[DamageSet, ...]
    settings: HeatSettings
    pairs: tuple[HeatPair, ...]
    seconds_of_train: float
    pulse_rise_k: float
    imbalance: float
    seconds: float

    def omega_at_rest(self, name: str) -> float:
        """Damage that the body's own temperature does by that set in the same time: a measure of the set, not of the plan."""
        damage = next(s for s in self.sets if s.name == name)
        return float(damage.rate_per_s(self.settings.body_c)) * self.seconds_of_train


class WarmTissueSolver(PotentialSolver):
    """A linear field in tissue whose conductivity is given cell by cell."""

    keeps_rest = False

    def __init__(self, problem: FieldProblem, should_cancel=None):
        super().__init__(problem, should_cancel)
        self.tissue = np.ascontiguousarray(problem.label < kc.FIRST_NEEDLE_LABEL)

    def set_conductivity(self, s_per_m: np.ndarray) -> None:
        """Conductivity (S/m) of every cell of the grid; needles keep none."""
        self.sigma[1:-1, 1:-1, 1:-1] = s_per_m
        self.sigma[~self.tissue] = 0.0

    def _update_operator(self, law: np.ndarray) -> None:
        p = self.problem
        kc.face_weights(self.sigma, self.wx, self.wy, self.wz)
        kc.scale_faces(self.wx, self.wy, self.wz, p.face_axis, p.face_cell, p.face_factor)
        kc.coupling_weights(self.sigma, p.coupling_cell, p.coupling_factor, self.weights)

    def solve_pair(self, values: np.ndarray, anode: int, cathode: int) -> float:
        """Solve with the other needles floating (``values`` changed in place); return the current in A."""
        p = self.problem
        floating = np.setdiff1d(np.arange(p.conductors), [anode, cathode])
        owners = p.coupling_conductor
        own = np.bincount(owners, self.sigma.reshape(-1)[p.coupling_cell] * p.coupling_factor, minlength=p.conductors)[floating]
        self.solve(values, floating, tolerance=TOLERANCE, linear=True, conductance=own)
        current = self.currents(values)[:-1] * p.grid.spacing_mm * 1e-3
        return float(0.5 * (current[anode] - current[cathode]))

    def heat_w(self, values: np.ndarray) -> np.ndarray:
        """Joule heat of each cell (W) while the voltage is on; their sum is voltage times current."""
        p = self.problem
        out = np.zeros(p.grid.padded_shape)
        kh.joule_heat(self.potential, self.wx, self.wy, self.wz, out)
        drop = self.potential.reshape(-1)[p.coupling_cell] - values[p.coupling_conductor]
        np.add.at(out.reshape(-1), p.coupling_cell, self.weights * drop**2)
        return out[1:-1, 1:-1, 1:-1] * p.grid.spacing_mm * 1e-3


def _heat_problem(plan: TreatmentPlan) -> FieldProblem:
    """The field's problem on the heat's grid: cells of about 1 mm, never finer than the plan's."""
    h = plan.domain.spacing_mm
    factor = max(1, round(SPACING_MM / h))
    if factor > 1:
        try:
            return build_problem(plan.with_spacing(factor * h))
        except PlanRefused:  # needles too near each other, or a box too small, for coarse cells
            pass
    return build_problem(plan)


def _overlap(fine: FieldGrid, coarse: FieldGrid, axis: int) -> np.ndarray:
    """Length that each coarse cell (rows) shares with each fine cell along x, y or z, mm."""
    f, c = fine.axis_mm(axis), coarse.axis_mm(axis)
    low = np.maximum(f - fine.spacing_mm / 2, c[:, None] - coarse.spacing_mm / 2)
    high = np.minimum(f + fine.spacing_mm / 2, c[:, None] + coarse.spacing_mm / 2)
    return np.maximum(high - low, 0.0).astype(np.float32)


def _to_coarse(values: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    out = np.tensordot(weights[0], values, (1, 2))
    out = np.tensordot(weights[1], out, (1, 2))
    return np.tensordot(weights[2], out, (1, 2))


def opened_conductivity(solution: FieldSolution, laws: tuple[Conductivity, ...], coarse: FieldGrid, resting: np.ndarray):
    """For each pair the conductivity (S/m) at its end on the ``coarse`` grid: by the law of each tissue at the largest
    |E| so far, since it never falls. Cells without tissue on the fine grid take ``resting``."""
    g = solution.geometry
    fine = FieldGrid(g.shape, solution.report.spacing_mm, tuple(float(v) for v in g.origin_mm), solution.counted_mm)
    same = fine.shape == coarse.shape and np.allclose(fine.origin_mm, coarse.origin_mm)
    weights = None if same else [_overlap(fine, coarse, axis) for axis in range(3)]
    tissue = solution.label < kc.FIRST_NEEDLE_LABEL
    share = None if same else _to_coarse(tissue.astype(np.float32), weights)
    strongest = np.zeros(fine.shape, np.float32)
    masks = [solution.label == n for n in range(len(laws))]
    for pair in solution.pairs:
        np.maximum(strongest, pair.e_v_per_cm, out=strongest)
        sigma = np.zeros(fine.shape, np.float32)
        for law, mask in zip(laws, masks, strict=True):
            sigma[mask] = law.sigma0_s_per_m if law.model == "constant" else law.at(strongest[mask])
        if same:
            yield np.where(tissue, sigma, resting)
        else:
            yield np.where(share > 0, _to_coarse(sigma, weights) / np.maximum(share, 1e-12), resting).astype(np.float32)


def needle_share(plan: TreatmentPlan, grid: FieldGrid) -> np.ndarray:
    """How much of each cell is needle, metal or shaft (float32)."""
    out = np.zeros(grid.shape, np.float32)
    cells, bits = needle_bits(plan, grid)
    np.add.at(out.reshape(-1), cells, np.array([bin(int(b)).count("1") for b in bits], np.float32) / ks.POINTS)
    return np.minimum(out, 1.0)


def thermal_grid(spacing_mm: float, material: np.ndarray, share: np.ndarray, laws, tissues, settings: HeatSettings) -> ThermalGrid:
    """Properties of cells by tissue, mixed with the needle's steel by volume."""
    def mixed(of_tissue, steel: float) -> np.ndarray:
        return np.array([of_tissue(t) for t in tissues], np.float32)[material] * (1 - share) + steel * share

    s = settings
    air = np.array([law.is_air for law in laws])[material] & (share < 0.5)
    return ThermalGrid(
        spacing_mm, mixed(lambda t: t.conductivity_w_per_m_k.value, s.needle_conductivity_w_per_m_k),
        mixed(lambda t: t.heat_capacity_j_per_m3_k, s.needle_heat_capacity_j_per_m3_k),
        mixed(lambda t: t.perfusion_per_s.value * s.perfusion_factor * s.blood_heat_capacity_j_per_m3_k, 0.0),
        mixed(lambda t: t.metabolic_heat_w_per_m3.value, 0.0), air)


def _box(hot: np.ndarray, spacing_mm: float) -> tuple[slice, slice, slice]:
    """(k, j, i) slices of where ``hot`` holds, widened by REACH_MM; the whole grid where it holds nowhere."""
    pad = math.ceil(REACH_MM / spacing_mm)
    out = []
    for axis in range(3):
        hits = np.flatnonzero(hot.any(axis=tuple(a for a in range(3) if a != axis)))
        out.append(slice(max(0, hits[0] - pad), min(hot.shape[axis], hits[-1] + pad + 1)) if hits.size else slice(0, hot.shape[axis]))
    return tuple(out)


def train_seconds(plan: TreatmentPlan, settings: HeatSettings) -> float:
    """Time of all trains with the pauses between (s)."""
    return sum(p.pulses / p.rate_hz for p in plan.pulses) + settings.pause_s * (len(plan.pulses) - 1)


def solve_heat(plan: TreatmentPlan, solution: FieldSolution, data: HeatData, *, segment_s: float = SEGMENT_S, step_s: float = STEP_S,
               progress: Callable[[str, float], None] | None = None, should_cancel: Callable[[], bool] | None = None) -> HeatSolution:
    """Temperature and damage over the plan's trains in list order, the pauses between and the cooling after.

    ``solution`` must be solved with ``keep_pair_fields=True``. Pulses are spread over their time (``width x rate``).
    Cells at the walls meet tissue at body temperature, air insulates. Raises ``PlanRefused`` (``heat_too_long``,
    bad thermal values), ``FieldNotConverged``, ``Cancelled``; ValueError without pair fields.
    """
    if any(p.e_v_per_cm is None for p in solution.pairs):
        raise ValueError("solve_heat needs the field of every pair: solve_plan(..., keep_pair_fields=True)")
    if not train_seconds(plan, data.settings) <= TRAIN_MOST_S:
        raise PlanRefused(f"The trains take more than {TRAIN_MOST_S / 3600:g} hours: their heat is not solved.", code="heat_too_long",
                          hint="Check number and rate of the pulses.")
    with ONE_AT_A_TIME:
        return _solve(plan, solution, data, segment_s, step_s, progress or (lambda text, part: None), should_cancel)


def _solve(plan, solution, data, segment_s, step_s, progress, should_cancel) -> HeatSolution:
    started = time.perf_counter()
    progress("preparing heat", 0.0)
    problem = _heat_problem(plan)
    grid, spacing = problem.grid, problem.grid.spacing_mm
    settings, cell_m3 = data.settings, (spacing * 1e-3) ** 3
    material, laws = sample_materials(plan, grid)
    tissues = tuple(data.tissue(law.preset) for law in laws)
    share = needle_share(plan, grid)
    resting = np.array([law.sigma0_s_per_m for law in laws], np.float32)[material]
    slope = np.array([t.sigma_rise_per_k.value if law.temperature_coefficient_per_c is None else law.temperature_coefficient_per_c
                      for law, t in zip(laws, tissues, strict=True)], np.float32)[material]

    ids = [e.id for e in plan.electrodes]
    solver = WarmTissueSolver(problem, should_cancel)
    cold, total = [], np.zeros(grid.shape)
    pulse_w = np.zeros(grid.shape)
    properties = thermal_grid(spacing, material, share, laws, tissues, settings)
    for n, sigma in enumerate(opened_conductivity(solution, tuple(laws), grid, resting)):
        progress("heat: the field in cold tissue", 0.1 * n / len(plan.pulses))
        pulse, result = plan.pulses[n], solution.pairs[n]
        values = np.array(result.potentials_v)
        solver.potential[:] = 0.0
        solver.set_conductivity(sigma)
        current = solver.solve_pair(values, ids.index(pulse.anode), ids.index(pulse.cathode))
        watts = solver.heat_w(values) * (result.current_a / current)
        total += watts * pulse.width_us * 1e-6 * pulse.pulses
        pulse_w = np.maximum(pulse_w, watts * pulse.width_us * 1e-6)
        cold.append((sigma, values, solver.potential.astype(np.float32), current))
    box = _box(total / cell_m3 >= MATTERS_FROM_K * properties.heat_capacity, spacing)
    cut = ThermalGrid(spacing, *(np.ascontiguousarray(getattr(properties, name)[box]) for name in ("conductivity", "heat_capacity", "blood", "metabolic", "closed")))
    sets = tuple(data.damage_sets.values())
    heat = BioheatSolver(cut, rate_tables(sets, settings.body_c), TABLE_PER_K, should_cancel)
    whole = train_seconds(plan, settings) + settings.cooling_s

    def run(seconds: float, text: str) -> None:
        heat.run(seconds, step_s, lambda part: progress(text, 0.1 + 0.9 * min(1.0, (heat.seconds) / whole)))

    inner = (slice(1, -1),) * 3
    tissue = share[box] < 0.5
    target = sample_role(plan, grid, "target")[box] & tissue
    rows = []
    for n, pulse in enumerate(plan.pulses):
        if n:
            run(settings.pause_s, "heat: pause between pairs")
        sigma, values, potential, current_cold = cold[n]
        a, c = ids.index(pulse.anode), ids.index(pulse.cathode)
        solver.potential[:] = potential
        scale = solution.pairs[n].current_a / current_cold
        length = pulse.pulses / pulse.rate_hz
        segments = max(1, math.ceil(length / segment_s))
        currents, energy = [], 0.0

        def solve_warm(sigma=sigma, values=values, a=a, c=c, scale=scale) -> float:
            rise = np.zeros(grid.shape, np.float32)
            rise[box] = heat.rise[inner]
            solver.set_conductivity(sigma * (1.0 + slope * np.clip(rise, 0.0, BOILING_C - settings.body_c)))
            return solver.solve_pair(values, a, c) * scale

        for m in range(segments):
            currents.append(solve_warm())
            watts = solver.heat_w(values)[box] * scale
            # the current goes on rising within the segment: half of what it rose over the one before
            ahead = 1.0 + 0.5 * (currents[-1] / currents[-2] - 1.0) if m else 1.0
            watts *= ahead * pulse.width_us * 1e-6 * pulse.rate_hz
            heat.set_source(watts / cell_m3)
            run(length / segments, f"heat: pair {pulse.anode}-{pulse.cathode}")
            energy += float(watts.sum()) * length / segments
        currents.append(solve_warm())
        heat.set_source(np.zeros(cut.conductivity.shape))
        rise = heat.rise[inner]
        rows.append(HeatPair(pulse.anode, pulse.cathode, length, solution.pairs[n].current_a, currents[0], currents[-1], energy,
                             settings.body_c + float(rise[tissue].max(initial=0.0)),
                             settings.body_c + float(rise[target].mean()) if target.any() else None))
    run(settings.cooling_s, "heat: cooling")
    if should_cancel is not None and should_cancel():
        raise Cancelled
    progress("heat solved", 1.0)
    return _solution(grid, box, heat, sets, settings, material, share, laws, tissues, rows, float((pulse_w / cell_m3 / properties.heat_capacity)[share < 0.5].max()), started)


def _solution(grid, box, heat, sets, settings, material, share, laws, tissues, rows, pulse_rise_k, started) -> HeatSolution:
    inner = (slice(1, -1),) * 3

    def whole(values: np.ndarray, elsewhere: float) -> np.ndarray:
        out = np.full(grid.shape, elsewhere, np.float32)
        out[box] = values
        out.setflags(write=False)
        return out

    log_omega = {}
    for n, damage in enumerate(sets):
        rest = float(damage.rate_per_s(settings.body_c)) * heat.seconds
        log_omega[damage.name] = whole(np.log10(np.maximum(heat.dose[n][inner] + rest, LEAST_DOSE)), math.log10(max(rest, LEAST_DOSE)))
    cem43 = whole(np.log10(np.maximum(heat.dose[len(sets)][inner], LEAST_DOSE)), math.log10(LEAST_DOSE))
    return HeatSolution(grid, whole(settings.body_c + heat.hottest[inner], settings.body_c), whole(settings.body_c + heat.rise[inner], settings.body_c),
                        log_omega, cem43, material, share, tuple(laws), tissues, sets, settings, tuple(rows), heat.seconds, pulse_rise_k,
                        heat.imbalance(), time.perf_counter() - started)
