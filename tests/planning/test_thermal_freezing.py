"""Freezing and heating against closed forms; the kernels against their twins; the books of energy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import erf, erfc

from planning.errors import PlanRefused
from planning.field.conductors import add_conductor
from planning.field.grid import FieldGrid
from planning.field.problem import ProblemParts
from planning.heat.damage import TABLE_PER_K, DamageSet, cem43_min_per_s, rate_tables
from planning.kernels import freezing as kf
from planning.thermal.freezing import FreezeSolver, FreezeTissue, ProbeWall
from planning.tissue import Conductivity
from tests.reference import freezing_twins as twin
from volumetry.errors import Cancelled

ICE = FreezeTissue(2.0, 0.5, 1.8e6, 3.8e6, 250e6)
NO_BLOOD_ON = (37.0,) * 6
INNER = (slice(1, -1),) * 3


def coaxial(spacing_mm: float, outer_mm: float = 12.0):
    """A probe of 2.6 mm along z in a tube, as conductors 0 and 1."""
    width = 2 * outer_mm + 4 * spacing_mm
    grid = FieldGrid.around((0, 0, 0), (width, width, 3 * spacing_mm), spacing_mm)
    parts = ProblemParts.on(grid, 0, [Conductivity("constant", 1.0).law_row()])
    parts.add_needles(np.array([[0.13, 0.08, -500.0, 0.0, 0.0, 1.0, 1.3, 1000.0]]))
    add_conductor(parts, lambda p: outer_mm - np.hypot(p[..., 0] - 0.13, p[..., 1] - 0.08))
    return grid, parts.finish()


def stefan(spacing_mm: float, length_mm: float = 60.0, seconds: float = 300.0, step_s: float | None = None) -> tuple[float, float]:
    """``(solved, exact)`` ice front (mm) in a half space at 37 °C whose wall is at -100 °C; Neumann's similarity solution."""
    tissue = FreezeTissue(2.0, 0.5, 1.8e6, 3.8e6, 250e6, freezing_from_c=0.0, freezing_to_c=-0.02)
    solver = FreezeSolver((1, 1, round(length_mm / spacing_mm)), spacing_mm, tissue, walls=(-100.0, 37.0, None, None, None, None))
    solver.run(seconds, step_s=step_s)
    ice, water = 2.0 / 1.8e6, 0.5 / 3.8e6

    def balance(x):
        melt = 2.0 * 100.0 * np.exp(-x * x) / (np.sqrt(ice) * erf(x)) - 0.5 * 37.0 * np.exp(-x * x * ice / water) / (np.sqrt(water) * erfc(x * np.sqrt(ice / water)))
        return melt - 250e6 * x * np.sqrt(ice * np.pi)

    front = 2 * brentq(balance, 1e-3, 3.0) * np.sqrt(ice * seconds) * 1e3
    assert solver.imbalance() < 1e-9
    return float(solver.frozen_share().sum()) * spacing_mm, front


def test_that_the_ice_front_follows_the_similarity_solution():
    solved, exact = stefan(0.5)
    assert solved == pytest.approx(exact, rel=0.01)


def test_that_the_ice_front_converges_with_the_grid():
    errors = [np.mean([abs(s / e - 1) for s, e in (stefan(h, 40.0, t) for t in (200.0, 250.0, 300.0))]) for h in (1.0, 0.5)]
    assert errors[1] < 0.7 * errors[0]


def test_that_the_step_changes_the_ice_front_little():
    whole, half = stefan(1.0)[0], stefan(1.0, step_s=0.1)[0]
    assert half == pytest.approx(whole, rel=0.003)


def test_that_a_wide_freezing_range_keeps_its_own_heat():
    tissue = FreezeTissue(2.0, 0.5, 1.8e6, 3.8e6, 250e6, stasis_c=-8)
    p = tissue.row
    for c in (50.0, 37.0, -1.0, -3.0, -8.0, -60.0):
        assert kf.temperature_of(tissue.enthalpy(c), p) == pytest.approx(c)
    assert tissue.enthalpy(-1.0) - tissue.enthalpy(-8.0) == pytest.approx(250e6 + 7 * 0.5 * (1.8e6 + 3.8e6))


def test_that_steady_conduction_around_a_frozen_probe_is_the_closed_form():
    grid, problem = coaxial(1.0)
    tissue = FreezeTissue(2.0, 0.5, 1.8e6, 3.8e6, 1e3)  # hardly any latent heat: the steady state comes soon
    solver = FreezeSolver(grid.shape, 1.0, tissue, problem=problem)
    walls = {0: ProbeWall(-80.0), 1: ProbeWall(37.0)}
    solver.run(900.0, walls)
    before = solver.probe_j
    cells, weights = solver.probes[0]
    flux = kf.coupling_sums(solver.theta, cells, weights)
    watts = (flux[0] * kf.theta_at(-80.0, solver.p) - flux[1]) * solver.cell_m3
    length = grid.shape[0] * 1e-3
    exact = 2 * np.pi * length * (kf.theta_at(-80.0, solver.p) - kf.theta_at(37.0, solver.p)) / np.log(12.0 / 1.3)
    assert watts == pytest.approx(exact, rel=0.015)
    assert before < 0
    j, i = np.meshgrid(grid.axis_mm(1), grid.axis_mm(0), indexing="ij")
    r = np.hypot(i - 0.13, j - 0.08)
    wall, outer = kf.theta_at(-80.0, solver.p), kf.theta_at(37.0, solver.p)
    want = wall + (outer - wall) * np.log(r / 1.3) / np.log(12.0 / 1.3)
    ring = (r > 2.5) & (r < 11)
    assert np.abs(solver.theta[2, 1:-1, 1:-1] - want)[ring].max() < 0.012 * (outer - wall)


def test_that_a_bath_behind_a_resistance_gives_what_the_tissue_takes():
    grid, problem = coaxial(1.0)
    tissue = FreezeTissue(2.0, 0.5, 1.8e6, 3.8e6, 1e3)
    solver = FreezeSolver(grid.shape, 1.0, tissue, problem=problem)
    length = grid.shape[0] * 1e-3
    transfer = 2000.0 * 2 * np.pi * 1.3e-3 * length
    solver.run(900.0, {0: ProbeWall(-196.0, transfer), 1: ProbeWall(37.0)})
    p = solver.p
    exact = brentq(lambda t: transfer * (-196.0 - t) - 2 * np.pi * length * (kf.theta_at(t, p) - kf.theta_at(37.0, p)) / np.log(12.0 / 1.3), -196.0, 37.0)
    assert solver.probe_c[0] == pytest.approx(exact, abs=1.0)
    assert solver.imbalance() < 1e-9


def test_that_blood_keeps_ice_small_and_stops_where_it_froze():
    grid, problem = coaxial(1.0)
    sizes = []
    for blood in (0.0, 6e4):
        solver = FreezeSolver(grid.shape, 1.0, FreezeTissue(2.0, 0.5, 1.8e6, 3.8e6, 250e6, blood_w_per_m3_k=blood), problem=problem)
        solver.run(200.0, {0: ProbeWall(-150.0)})
        sizes.append(float((solver.coldest[INNER] < -1).sum()))
        assert solver.imbalance() < 1e-9
        assert (solver.blood_j > 0) == (blood > 0)
    assert sizes[1] < sizes[0]
    cold = solver.coldest <= -8.0
    was = solver.h.copy()
    sums = np.zeros(solver.h.shape[0])
    solver.h[:] = solver.tissue.enthalpy(20.0)  # thawed everywhere: only what froze through stays without blood
    kf.fill_theta(solver.h, solver.p, solver.theta)
    kf.explicit_step(solver.h, solver.theta, solver.wx, solver.wy, solver.wz, solver.here, 6e4, 37.0, -8.0, solver.coldest, solver.killed, 0.1, solver.p, sums)
    warmed = solver.h > solver.tissue.enthalpy(20.0) + 1.0
    here = solver.here == 1
    assert was.min() < solver.tissue.enthalpy(-8.0)
    assert (here & cold).any()
    assert not (warmed & cold).any()
    assert warmed[here & ~cold].all()


def test_that_a_source_never_passes_its_limit_and_every_joule_is_booked():
    solver = FreezeSolver((12, 12, 12), 1.0, ICE, walls=NO_BLOOD_ON)
    source = np.zeros((12, 12, 12))
    source[5:7, 5:7, 5:7] = 5e8
    solver.run(30.0, source_w_per_m3=source, limit_c=98.0)
    assert solver.temperature_c().max() == pytest.approx(98.0, abs=1e-6)
    assert 0 < solver.source_j < 5e8 * 8e-9 * 30.0
    assert solver.imbalance() < 1e-9


def test_that_dose_follows_the_named_kinetics():
    sets = (DamageSet("liver", 7.39e39, 2.577e5, "", ""),)
    tables = rate_tables(sets, 37.0)
    solver = FreezeSolver((3, 3, 3), 1.0, ICE, tables=tables)
    solver.start_from(50.0)
    solver.run(61.4)
    assert solver.dose[0][INNER] == pytest.approx(np.ones((3, 3, 3)), rel=0.03)  # row C8: omega 1 after 61.4 s at 50 degrees
    assert solver.dose[1][INNER] == pytest.approx(np.full((3, 3, 3), 61.4 * float(cem43_min_per_s(50.0))), rel=0.01)


def random_state():
    rng = np.random.default_rng(4)
    shape = (7, 6, 8)
    solver = FreezeSolver(shape, 1.0, FreezeTissue(2.0, 0.5, 1.8e6, 3.8e6, 250e6, blood_w_per_m3_k=5e4), walls=(37.0, None, -20.0, None, 37.0, None), tables=rate_tables((DamageSet("liver", 7.39e39, 2.577e5, "", ""),), 37.0))
    solver.start_from(rng.uniform(-60, 70, shape))
    solver.coldest[INNER] = np.minimum(solver.coldest[INNER], rng.uniform(-20, 37, shape))
    solver.killed[INNER] = rng.uniform(0, 2, shape)
    solver.source[INNER] = rng.uniform(0, 1e6, shape)
    return solver


def test_that_a_step_agrees_with_its_twin():
    s = random_state()
    arguments = (s.theta, s.wx, s.wy, s.wz, s.here, 5e4, 37.0, -8.0, s.coldest, s.killed, 0.05)
    want, blood = twin.explicit_step(s.h, *arguments, s.p)
    sums = np.zeros(s.h.shape[0])
    kf.explicit_step(s.h, *arguments, s.p, sums)
    assert np.allclose(s.h[INNER], want[INNER], rtol=1e-12, atol=1e-3)
    assert sums.sum() == pytest.approx(blood)


def test_that_a_source_is_added_whole_and_only_up_to_its_room():
    s = random_state()
    before, sums, part = s.h.copy(), np.zeros(s.h.shape[0]), np.full(s.h.shape[0], 1e30)
    kf.add_source(s.h, s.source, 0.3, sums)
    assert np.allclose(s.h[INNER], (before + 0.3 * s.source)[INNER], rtol=1e-14)
    assert sums.sum() == pytest.approx(0.3 * s.source[INNER].sum())
    limit = s.tissue.enthalpy(98.0)
    kf.source_room(s.h, s.source, 1e4, limit, 0.05, part)
    counts = s.source[INNER] > 1e4
    assert part.min() == pytest.approx(((limit - s.h[INNER])[counts] / (0.05 * s.source[INNER][counts])).min())


def test_that_temperature_and_transform_agree_with_their_twins():
    p = ICE.row
    h = np.linspace(-5e8, 2e8, 41)
    assert [kf.temperature_of(x, p) for x in h] == pytest.approx(twin.temperature(h, p))
    t = np.linspace(-190, 95, 25)
    assert [kf.theta_at(x, p) for x in t] == pytest.approx(twin.theta(t, p), rel=2e-3, abs=0.05)


@pytest.mark.parametrize("wall", [-196.0, -4.0, 80.0])
def test_that_the_wall_coupling_agrees_with_its_twin(wall):
    p = ICE.row
    for weight in (1e4, 1e6, 1e10):
        for start in (-150.0, -5.0, 37.0):
            h = np.full(1, ICE.enthalpy(start))
            before = float(h[0])
            given = kf.couple(h, np.zeros(1, np.int64), np.array([weight]), kf.theta_at(wall, p), 0.1, p)
            assert h[0] == pytest.approx(twin.coupled(before, weight, kf.theta_at(wall, p), 0.1, p), rel=2e-3, abs=2e5)
            assert given == pytest.approx(h[0] - before)


def test_that_recording_agrees_with_plain_arrays():
    s = random_state()
    coldest, hottest, dose = s.coldest.copy(), s.hottest.copy(), s.dose.copy()
    kf.record(s.h, s.here, 0.5, s.p, 37.0, 37.05, TABLE_PER_K, s.tables, s.theta, s.coldest, s.hottest, s.dose)
    t = s.temperature_c()
    assert np.allclose(s.coldest[INNER], np.minimum(coldest[INNER], t), atol=1e-4)
    assert np.allclose(s.hottest[INNER], np.maximum(hottest[INNER], t), atol=1e-4)
    position = np.clip(t - 37.0, 0, None) * TABLE_PER_K
    rates = np.interp(position, np.arange(s.tables.shape[1]), s.tables[0])
    assert np.allclose(s.dose[0][INNER], dose[0][INNER] + np.where(t > 37.05, 0.5 * rates, 0.0), rtol=1e-4, atol=1e-12)


def test_that_a_run_can_be_cancelled_and_tells_how_far_it_is():
    told = []
    solver = FreezeSolver((8, 8, 8), 1.0, ICE, walls=NO_BLOOD_ON, should_cancel=lambda: len(told) >= 2)
    with pytest.raises(Cancelled):
        solver.run(1000.0, progress=told.append)
    assert len(told) == 2
    assert 0 <= told[0] < told[1] < 1


@pytest.mark.parametrize("change", [{"freezing_to_c": 0.0}, {"frozen_j_per_m3_k": 0.0}, {"latent_j_per_m3": -1.0}])
def test_that_impossible_tissue_is_refused(change):
    values = {"frozen_w_per_m_k": 2.0, "unfrozen_w_per_m_k": 0.5, "frozen_j_per_m3_k": 1.8e6, "unfrozen_j_per_m3_k": 3.8e6, "latent_j_per_m3": 250e6}
    with pytest.raises(PlanRefused) as refusal:
        FreezeTissue(**(values | change))
    assert refusal.value.code == "bad_thermal"


def test_that_numbers_that_are_none_are_refused():
    with pytest.raises(PlanRefused) as refusal:
        FreezeTissue(float("nan"), 0.5, 1.8e6, 3.8e6, 250e6)
    assert refusal.value.code == "not_a_number"
