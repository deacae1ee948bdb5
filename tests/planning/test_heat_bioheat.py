"""The bioheat solver against closed forms, its kernels against their twins, its books of energy."""

from __future__ import annotations

import numpy as np
import pytest

from planning.errors import PlanRefused
from planning.heat.bioheat import BioheatSolver, ThermalGrid
from planning.heat.damage import DamageSet, rate_tables
from planning.kernels import heat as kh
from tests.reference import heat_twins as twin
from volumetry.errors import Cancelled

K, RHO_C = 0.5, 3.8e6
INNER = (slice(1, -1),) * 3
SHUT = (False,) * 6


def uniform(shape, spacing_mm, *, k=K, blood=0.0, metabolic=0.0, walls=(True,) * 6) -> ThermalGrid:
    fill = lambda value: np.full(shape, value, float)  # noqa: E731
    return ThermalGrid(spacing_mm, fill(k), fill(RHO_C), fill(blood), fill(metabolic), walls=walls)


def radius_mm(n: int, spacing_mm: float) -> np.ndarray:
    x = spacing_mm * (np.arange(n) - 0.5 * (n - 1))
    return np.sqrt(x[:, None, None] ** 2 + x[:, None] ** 2 + x**2)


@pytest.fixture
def random_system():
    rng = np.random.default_rng(3)
    shape = (9, 8, 13)
    grid = ThermalGrid(1.0, rng.uniform(0.2, 15.0, shape), rng.uniform(2e6, 4e6, shape), rng.uniform(0, 5e4, shape), rng.uniform(0, 500, shape))
    solver = BioheatSolver(grid)
    solver.rise[INNER] = rng.uniform(0, 20, shape)
    solver.set_source(rng.uniform(0, 1e6, shape))
    return solver


def test_that_the_stages_agree_with_their_twins(random_system):
    s = random_system
    arrays = (s.wx, s.wy, s.wz, s.b, s.r, s.source)
    want = twin.rate(s.rise, *arrays)
    kh.first_stage(s.rise, *arrays, s.rate, s.spare, 0.03)
    scale = np.abs(want).max()
    assert np.abs(s.rate - want).max() < 1e-5 * scale
    assert np.abs(s.spare[INNER] - (s.rise + 0.03 * want)[INNER]).max() < 1e-5 * scale
    s.other[INNER] = 1.0
    was = s.other.astype(float)
    kh.next_stage(s.spare, s.other, s.rise, s.rate, *arrays, 1.2, -0.4, 0.02, -0.01)
    expected = 1.2 * s.spare - 0.4 * was + 0.2 * s.rise + 0.02 * twin.rate(s.spare, *arrays) - 0.01 * s.rate
    assert np.abs(s.other - expected)[INNER].max() < 1e-5 * scale


def test_that_joule_heat_and_sums_agree_with_their_twins(random_system):
    s = random_system
    u, out = np.random.default_rng(1).uniform(-1, 1, s.rise.shape), np.zeros(s.rise.shape)
    kh.joule_heat(u, s.wx, s.wy, s.wz, out)
    assert np.allclose(out, twin.joule(u, s.wx, s.wy, s.wz), rtol=1e-6)
    assert kh.weighted_sum(s.rise, s.b) == pytest.approx(float((s.rise[INNER].astype(float) * s.b[INNER]).sum()))


def test_that_dose_agrees_with_its_twin_and_cold_cells_get_none():
    rng = np.random.default_rng(5)
    shape = (6, 5, 7)
    before, after = (rng.uniform(0, 25, shape).astype(np.float32) for _ in range(2))
    after[:] = before + np.clip(after - before, -2, 2)
    before[1, 1, 1] = after[1, 1, 1] = 0.01
    tables = rate_tables((DamageSet("liver", 7.39e39, 2.577e5, "", ""), DamageSet("skin", 3.1e98, 6.28e5, "", "")), 37.0)
    dose, hottest = np.zeros((3, *shape), np.float32), np.zeros(shape, np.float32)
    kh.accumulate(before, after, 1.5, 0.05, 64.0, tables, dose, hottest)
    want = twin.dose(before, after, 1.5, tables, 64.0)
    sure = (before[INNER] > 6.5) & (after[INNER] > 6.5)  # above the kink of equivalent minutes at 43 degrees
    for n in range(3):
        assert dose[n][INNER][sure] == pytest.approx(want[n][INNER][sure], rel=2e-3)
    assert (dose[:, 1, 1, 1] == 0).all()
    assert (hottest[INNER] == np.maximum(before, after)[INNER]).all()


def test_that_a_warm_gaussian_cools_as_in_endless_tissue():
    n, sigma = 40, 4.0
    solver = BioheatSolver(uniform((n, n, n), 1.0))
    r = radius_mm(n, 1.0)
    solver.rise[INNER] = 20 * np.exp(-(r**2) / (2 * sigma**2))
    solver.run(45.0, 1.5)
    spread = sigma**2 + 2 * K / RHO_C * 45.0 * 1e6
    exact = 20 * (sigma**2 / spread) ** 1.5 * np.exp(-(r**2) / (2 * spread))
    assert np.abs(solver.rise[INNER] - exact).max() < 0.01 * exact.max()


def ball_in_perfused_tissue(spacing_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """``(solved, exact)`` steady rise around a ball of 4 mm with a uniform source; decay length 4 mm."""
    a, decay, q = 4.0, 4.0, 2e5
    n = round(48 / spacing_mm)
    r = radius_mm(n, spacing_mm)
    solver = BioheatSolver(uniform((n, n, n), spacing_mm, blood=K / (decay * 1e-3) ** 2))
    share = np.clip((a - r) / spacing_mm + 0.5, 0, 1)  # of the ball in each cell, and together the whole ball
    solver.set_source(q * share * (4 / 3 * np.pi * a**3) / (share.sum() * spacing_mm**3))
    solver.run(1000.0, 25.0)
    x, ax = r / decay, a / decay
    level = q * (decay * 1e-3) ** 2 / K
    inside = 1 - (1 + ax) * np.exp(-ax) * np.sinh(np.minimum(x, ax)) / np.minimum(x, ax)
    outside = (ax * np.cosh(ax) - np.sinh(ax)) * np.exp(-x) / x
    return solver.rise[INNER], level * np.where(r < a, inside, outside)


def test_that_a_source_in_perfused_tissue_decays_over_its_length():
    got, exact = ball_in_perfused_tissue(1.0)
    assert np.abs(got - exact).max() < 0.01 * exact.max()
    r = radius_mm(48, 1.0)
    shell = (r > 5) & (r < 12)
    assert np.polyfit(r[shell], np.log(got[shell] * r[shell]), 1)[0] == pytest.approx(-1 / 4.0, rel=0.01)


@pytest.mark.long
def test_that_halving_the_grid_brings_the_perfused_ball_nearer():
    coarse, (got, exact) = ball_in_perfused_tissue(1.0), ball_in_perfused_tissue(0.5)
    assert np.abs(got - exact).max() < 0.5 * np.abs(coarse[0] - coarse[1]).max()
    r = radius_mm(96, 0.5)
    shell = (r > 5) & (r < 12)
    assert got[shell] == pytest.approx(exact[shell], rel=0.01)


def test_that_uniform_heat_in_perfused_tissue_levels_out_where_blood_takes_it():
    solver = BioheatSolver(uniform((6, 6, 6), 1.0, blood=1.7e4, metabolic=420.0, walls=SHUT))
    solver.set_source(np.full((6, 6, 6), 5e4))
    solver.run(3000.0, 30.0)
    assert solver.rise[INNER] == pytest.approx((5e4 + 420) / 1.7e4, rel=1e-3)
    solver = BioheatSolver(uniform((6, 6, 6), 1.0, blood=1.7e4, walls=SHUT))
    solver.set_source(np.full((6, 6, 6), 5e4))
    solver.run(100.0, 2.0)
    assert solver.rise[INNER] == pytest.approx(5e4 / 1.7e4 * (1 - np.exp(-1.7e4 * 100 / RHO_C)), rel=1e-3)


def test_that_two_layers_take_their_own_slopes():
    n, k1, k2, q, h = 32, 0.2, 0.6, 1e5, 1e-3
    conductivity = np.where(np.arange(n) < n // 2, k1, k2) * np.ones((4, 4, 1))
    fill = lambda v: np.full((4, 4, n), v)  # noqa: E731
    solver = BioheatSolver(ThermalGrid(1.0, conductivity, fill(RHO_C), fill(0.0), fill(0.0), walls=(True, True, False, False, False, False)))
    solver.set_source(np.where(np.arange(n) < n // 2, q, 0.0) * np.ones((4, 4, 1)))
    solver.run(12_000.0, 60.0)
    # -k1 T'' = q on the left, straight on the right; both ends at 0, flux continuous in the middle
    half = n // 2 * h
    middle = q * half**2 / 2 / (k1 + k2)
    x = h * (np.arange(n) + 0.5)
    left = -q * x**2 / (2 * k1) + x * (middle / half + q * half / (2 * k1))
    exact = np.where(x < half, left, middle * (2 * half - x) / half)
    assert np.abs(solver.rise[2, 2, 1:-1] - exact).max() < 0.01 * exact.max()


def test_that_air_insulates_and_stays_cold():
    shape = (6, 6, 12)
    grid = uniform(shape, 1.0, walls=SHUT)
    air = np.zeros(shape, bool)
    air[:, :, 6] = True
    solver = BioheatSolver(ThermalGrid(1.0, grid.conductivity, grid.heat_capacity, grid.blood, grid.metabolic, air, SHUT))
    q = np.zeros(shape)
    q[:, :, :6] = 1e5
    solver.set_source(q)
    solver.run(60.0, 2.0)
    assert (solver.rise[INNER][:, :, 6:] == 0).all()
    assert solver.rise[INNER][:, :, :6] == pytest.approx(1e5 * 60 / RHO_C, rel=1e-4)


def test_that_the_books_of_energy_balance(random_system):
    random_system.rise[:] = 0.0
    random_system.run(40.0, 0.05)
    assert random_system.lost_j > 0.2 * random_system.given_j
    assert random_system.imbalance() < 1e-3


def test_that_the_step_is_of_second_order_and_keeps_a_steel_needle_stable():
    def solved(step_s):
        shape = (16, 16, 16)
        k, capacity, zero = np.full(shape, K), np.full(shape, RHO_C), np.zeros(shape)
        k[:, 8, 8] = 16.3
        solver = BioheatSolver(ThermalGrid(0.5, k, capacity, zero, zero))
        q = np.zeros(shape)
        q[4:12, 7:10, 7:10] = 3e6
        solver.set_source(q)
        solver.run(6.0, step_s)
        return solver.rise[INNER].astype(float)

    fine, middle, coarse = solved(0.1), solved(0.75), solved(1.5)
    assert np.abs(coarse - fine).max() < 0.01 * fine.max()
    assert np.abs(coarse - fine).max() > 2.5 * np.abs(middle - fine).max()


@pytest.mark.parametrize(("name", "value", "code"), [("blood", -1.0, "bad_thermal"), ("conductivity", np.nan, "not_a_number"), ("heat_capacity", 0.0, "bad_thermal")])
def test_that_bad_properties_are_refused(name, value, code):
    fields = {"conductivity": np.full((4, 4, 4), K), "heat_capacity": np.full((4, 4, 4), RHO_C), "blood": np.zeros((4, 4, 4)), "metabolic": np.zeros((4, 4, 4))}
    fields[name] = fields[name].copy()
    fields[name][1, 2, 3] = value
    with pytest.raises(PlanRefused) as refusal:
        ThermalGrid(1.0, **fields)
    assert refusal.value.code == code


def test_that_a_source_or_time_that_is_no_number_is_refused_and_cancel_stops():
    stop = []
    solver = BioheatSolver(uniform((4, 4, 4), 1.0), should_cancel=lambda: bool(stop))
    with pytest.raises(PlanRefused):
        solver.set_source(np.full((4, 4, 4), np.inf))
    with pytest.raises(PlanRefused):
        solver.run(np.nan)
    told = []
    with pytest.raises(Cancelled):
        solver.run(10.0, 1.0, lambda part: (told.append(part), stop.append(1) if part >= 0.3 else None))
    assert told == pytest.approx([0.1, 0.2, 0.3])
