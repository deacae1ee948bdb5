"""The optimiser's quick model against slow twins and against the solver."""

from __future__ import annotations

import math

import numpy as np
import pytest

from planning.kernels import quick_field as kq
from planning.optimise.scene import all_pairs
from tests.reference import quick_field_twins as twin

UP = np.array([0.36, -0.48, 0.8])


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def columns(points) -> np.ndarray:
    return np.ascontiguousarray(points.T)


def test_that_the_closed_field_of_a_line_is_the_sum_of_its_pieces(rng):
    points = rng.uniform(-20, 20, (40, 3))
    points = points[[np.linalg.norm(twin.pieces((1, 2, -8), UP, 20.0, 400) - p, axis=1).min() > 0.5 for p in points]]
    out = np.zeros((3, len(points)))
    kq.line_field(columns(points), np.array([1.0, 2.0, -8.0]), UP, 20.0, out)
    want = twin.line_field(points, (1, 2, -8), UP, 20.0)
    assert np.abs(out.T - want).max() < 1e-4 * np.abs(want).max()


@pytest.mark.parametrize(("la", "lb", "shift", "distance"), [(20, 20, 0, 0.5), (20, 20, 0, 15), (20, 15, 4, 12), (10, 30, -7, 11)])
def test_that_mean_potentials_are_double_integrals(la, lb, shift, distance):
    assert kq.mean_potential(float(la), float(lb), float(shift), float(distance)) == pytest.approx(twin.mean_potential(la, lb, shift, distance), rel=2e-4)


def test_that_the_gap_of_a_path_is_that_of_its_points(rng):
    points = rng.uniform(-15, 15, (60, 3))
    for reach in (5.0, 30.0):
        assert kq.path_gap(columns(points), np.zeros(3), UP, reach) == pytest.approx(twin.path_gap(points, np.zeros(3), UP, reach), abs=1e-4)
    assert math.isinf(kq.path_gap(np.zeros((3, 0)), np.zeros(3), UP, 10.0))


def test_that_voltages_go_as_low_as_cover_allows(rng):
    unit = rng.uniform(0.05, 0.5, (6, 200))
    cap = rng.uniform(2000.0, 3000.0, 6)
    order = np.argsort(-cap)
    volts, others = cap.copy(), np.zeros(200)
    kq.least_voltages(unit, cap, 500.0, 500.0, order, 2, volts, others)
    assert volts == pytest.approx(twin.least_voltages(unit, cap, 500.0, 500.0, order))
    covered = (volts[:, None] * unit).max(0) >= 500.0 * (1 - 1e-12)
    assert covered.all() == ((cap[:, None] * unit).max(0) >= 500.0).all()
    assert volts.sum() < cap.sum()


def test_that_the_quick_model_knows_the_reference_row():
    # Row F1: 51.78 A per S/m and 818 V/cm midway, from an independent finite-element solver.
    needles = np.array([[-7.5, 0.0, -10.0, 20.0], [7.5, 0.0, -10.0, 20.0]])
    z, pairs = np.array([0.0, 0.0, 1.0]), all_pairs(2)
    share, distance, lines, unit = np.zeros(1), np.zeros(1), np.zeros((2, 3, 1)), np.zeros((1, 1))
    kq.pair_shares(needles, z, pairs, 0.5, 10.0, 24.0, share, distance)
    kq.pair_fields(np.zeros((3, 1)), np.ones(1), needles, z, pairs, share, lines, unit)
    assert distance[0] == pytest.approx(15.0)
    assert 2250.0 * 4 * math.pi * share[0] * 1e-3 == pytest.approx(51.78, rel=0.04)
    assert 2250.0 * unit[0, 0] == pytest.approx(818.0, rel=0.06)


def scored(needles, direction, obstacles=(), most_a=45.0, goal=500.0, target=((0.0, 0.0, 0.0),)):
    place = np.array([[-40.0] * 3, [40.0] * 3, [0, 0, 30.0], [0, 0, 1.0], [2.0, 2.0, 10.0], [24.0, 0, 0]])
    figures, volts = np.zeros((1, kq.FIGURES)), np.zeros((1, len(needles) * (len(needles) - 1) // 2))
    target = columns(np.array(target, float))
    none = np.zeros((3, 0))
    tissue = columns(np.array([[0, 0, 0], [0, 15.0, 0]], float))
    kq.score_candidates(np.array(needles, float)[None], np.array(direction, float)[None], all_pairs(len(needles)), 0.5, place, columns(np.array(obstacles, float).reshape(-1, 3)), none,
                        np.array([3000.0, 500.0, most_a, 4 * math.pi]), target, np.ones(target.shape[1]), none, np.zeros(0), np.zeros(0),
                        tissue, np.ones(2), np.ones(2), goal, 500.0, figures, volts)
    return figures[0], volts[0]


def test_that_a_candidate_is_judged_by_limits_then_cover_then_harm():
    pair = [[-7.5, 0, -10, 20], [7.5, 0, -10, 20]]
    figures, volts = scored(pair, (0, 0, 1))
    assert (figures[kq.VIOLATION], figures[kq.UNCOVERED], figures[kq.PAIRS]) == (0.0, 0.0, 1.0)
    assert volts[0] == pytest.approx(2250 * 500 / 818, rel=0.06)  # the least that holds the middle
    assert figures[kq.COLLATERAL_ML] == pytest.approx(0.5, abs=0.01)  # the point at the threshold itself counts half
    assert scored(pair, (0, 0, 1), obstacles=[(-7.5, 1.5, 20.0)])[0][kq.VIOLATION] == pytest.approx(1.0)  # 1 mm from the shaft
    assert scored(pair, (0, 0, 1), obstacles=[(-7.5, 1.5, -20.0)])[0][kq.VIOLATION] == 0.0  # beyond the tip
    assert scored([[-4, 0, -10, 20], [4, 0, -10, 20]], (0, 0, 1))[0][kq.VIOLATION] == pytest.approx(2.0)  # 8 mm apart
    short, volts = scored(pair, (0, 0, 1), most_a=15.0)
    assert short[kq.UNCOVERED] == 1.0
    assert volts[0] * 51.78 / 2250 == pytest.approx(15.0, rel=0.04)  # as much as the current allows


def test_that_threads_do_not_change_a_bit(rng):
    import numba

    needles, target = [[-7, -7, -9, 20], [7, -7, -10, 20], [-7, 7, -10, 20], [7, 7, -11, 20]], rng.uniform(-8, 8, (50, 3))
    answers = []
    before = numba.get_num_threads()
    try:
        for threads in (1, before):
            numba.set_num_threads(threads)
            answers.append(scored(needles, (0, 0, 1), target=target))
    finally:
        numba.set_num_threads(before)
    assert answers[0][0].tobytes() == answers[1][0].tobytes()
    assert answers[0][1].tobytes() == answers[1][1].tobytes()
    assert answers[0][0][kq.PAIRS] > 0
