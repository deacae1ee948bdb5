"""Robustness: what is drawn, what is counted, and that the same seed gives the same figures anywhere."""

from __future__ import annotations

import math

import numpy as np
import pytest

from planning import PlanRefused, TreatmentPlan, assess_plan, solve_plan
from planning.robustness import RobustnessJob, Spread, run_robustness
from planning.robustness.job import PLANNED
from planning.robustness.sampling import TOLERANCE, displacement_mm, draw, moved, sampled_plan, tissues_of
from planning.robustness.summary import percentile_interval, share_interval
from tests.planning.helpers import LIVER, plan_dict

NODE = {"name": "left node", "role": "target", "shape": {"type": "ellipsoid", "center_mm": [0, 0, 0], "axes_mm": [20, 18, 22]}, "conductivity": {"model": "constant", "sigma_s_per_m": 0.3}}
STILL = Spread(0.0, 0.0, 0.0, (500.0, 500.0))


def pair_of_needles(**more) -> TreatmentPlan:
    return TreatmentPlan.from_dict(plan_dict(**({"regions": [NODE], "background": LIVER, "spacing": 2.0} | more)), {})


@pytest.fixture(scope="module")
def plan() -> TreatmentPlan:
    return pair_of_needles()


@pytest.fixture(scope="module")
def doubtful(plan):
    return run_robustness(RobustnessJob.of(plan, samples=8, seed=3, spacing_mm=2.0))


# -- what is drawn


def test_that_tips_fill_the_ball_evenly():
    offsets = np.concatenate([draw(Spread(tip_mm=2.0), 1, n, 6, 1).offset_mm for n in range(300)])
    r = np.linalg.norm(offsets, axis=1)
    assert r.max() <= 2.0
    assert np.quantile((r / 2.0) ** 3, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.04)
    assert np.cov(offsets.T) == pytest.approx(np.eye(3) * 2.0**2 / 5.0, abs=0.08)  # variance of a coordinate in a ball: R²/5
    assert offsets.mean(axis=0) == pytest.approx(np.zeros(3), abs=0.1)


def test_that_axes_fill_the_cone_evenly_and_stay_in_it(plan):
    e, spread = plan.electrodes[0], Spread(tip_mm=0.0, angle_deg=30.0)
    draws = [draw(spread, 2, n, 6, 1) for n in range(150)]
    ways = np.array([moved(e, d.offset_mm[n], d.angle_deg[n], d.azimuth_rad[n]).direction for d in draws for n in range(6)])
    cos = ways @ e.direction
    edge = math.cos(math.radians(30.0))
    assert cos.min() >= edge - 1e-9
    # Archimedes: the cosine is uniform over the cap
    assert np.quantile((1.0 - cos) / (1.0 - edge), [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.06)
    across = ways - cos[:, None] * e.direction
    assert across.mean(axis=0) == pytest.approx(np.zeros(3), abs=0.05)


def test_that_factors_and_thresholds_fill_their_intervals():
    draws = [draw(Spread(), 3, n, 2, 3) for n in range(1500)]
    factors, thresholds = np.array([d.sigma_factor for d in draws]), np.array([d.threshold_v_per_cm for d in draws])
    assert (factors.min() >= 0.5, factors.max() <= 1.5, thresholds.min() >= 400.0, thresholds.max() <= 800.0) == (True,) * 4
    assert factors.std(axis=0) == pytest.approx(np.full(3, 1.0 / math.sqrt(12.0)), abs=0.015)
    assert (thresholds.mean(), thresholds.std()) == pytest.approx((600.0, 400.0 / math.sqrt(12.0)), abs=8.0)
    assert abs(np.corrcoef(factors[:, 0], factors[:, 1])[0, 1]) < 0.1


def test_that_a_needle_moves_as_a_rigid_body(plan):
    e = plan.electrodes[0]
    other = moved(e, np.array([1.0, -2.0, 0.5]), 5.0, 1.1)
    assert other.length_mm == pytest.approx(e.length_mm, abs=1e-9)
    assert np.subtract(other.tip_mm, e.tip_mm) == pytest.approx([1.0, -2.0, 0.5])
    assert math.degrees(math.acos(other.direction @ e.direction)) == pytest.approx(5.0, abs=1e-6)
    assert moved(e, np.zeros(3), 0.0, 1.1) == e
    assert displacement_mm(e, moved(e, np.array([0.0, 3.0, 0.0]), 0.0, 0.0)) == pytest.approx(3.0)


def test_that_a_sample_depends_on_its_number_alone_and_stretches_with_the_spread():
    one, other = draw(Spread(tip_mm=1.0), 5, 17, 3, 2), draw(Spread(tip_mm=3.0), 5, 17, 3, 2)
    assert np.allclose(3.0 * one.offset_mm, other.offset_mm)
    assert (one.sigma_factor == other.sigma_factor).all()
    assert one.threshold_v_per_cm == other.threshold_v_per_cm
    assert not np.allclose(one.offset_mm, draw(Spread(tip_mm=1.0), 6, 17, 3, 2).offset_mm)


def test_that_regions_of_one_tissue_share_one_factor():
    law = NODE["conductivity"]
    more = {"name": "more", "role": "tissue", "shape": {"type": "sphere", "center_mm": [0, 15, 0], "diameter_mm": 4}, "conductivity": law}
    plan = pair_of_needles(regions=[more, NODE])
    sample = draw(Spread(), 1, 0, 2, len(tissues_of(plan)))
    got = sampled_plan(plan, sample)
    assert len(tissues_of(plan)) == 2
    assert got.regions[0].conductivity == got.regions[1].conductivity
    assert got.regions[0].conductivity.sigma0_s_per_m == pytest.approx(0.3 * sample.sigma_factor[1])
    assert got.background.sigma1_s_per_m / plan.background.sigma1_s_per_m == pytest.approx(sample.sigma_factor[0])


# -- what is counted


def test_that_no_spread_gives_the_plans_own_coverage_exactly(plan):
    job = RobustnessJob.of(plan, STILL, samples=2, spacing_mm=2.0)
    result = run_robustness(job)
    row = assess_plan(job.plan, solve_plan(job.plan, tolerance=TOLERANCE)).to_dict()["targets"][0]
    cover = result.answer["coverage_pct"]
    assert 5.0 < row["coverage_pct"] < 99.5, "the plan must leave something to count"
    for k in ("planned", "p5", "p50", "p95"):  # a percentile of equal numbers may differ in its last bit
        assert cover["chosen"][k] == pytest.approx(row["coverage_pct"], rel=1e-14)
    assert cover["drawn"]["p50"] == pytest.approx(row["coverage_pct"], rel=1e-14)
    assert set(np.unique(result.probability)) == {0.0, 1.0}
    assert result.answer["worst_needle"] is None


def test_that_a_cut_box_is_measured_against_the_whole_one():
    wide = pair_of_needles(box=96.0)
    job = RobustnessJob.of(wide, STILL, samples=1, spacing_mm=2.0)
    assert max(job.plan.domain.size_mm) < 76.0
    answer = run_robustness(job).answer
    whole = assess_plan(wide, solve_plan(wide)).to_dict()["targets"][0]["coverage_pct"]
    assert answer["planned_in_whole_box_pct"]["chosen"] == pytest.approx(whole, abs=0.01)
    assert answer["coverage_pct"]["chosen"]["planned"] == pytest.approx(whole, abs=1.0)
    shift = max((answer["coverage_pct"][k]["planned"] - answer["planned_in_whole_box_pct"][k] for k in ("chosen", "compared")), key=abs)
    assert ("box_cut" in {w["code"] for w in answer["warnings"]}) == (abs(shift) > 0.3)


def test_that_the_map_is_sure_inside_and_empty_far_away(doubtful):
    share, index = doubtful.probability, lambda p: tuple(np.rint(doubtful.geometry.world_to_index(p)).astype(int)[::-1])
    assert share[index([-7.5, 0.0, 0.0])] == 1.0
    assert share[index([0.0, 20.0, 20.0])] == 0.0
    assert ((share > 0.0) & (share < 1.0)).any()
    assert set(np.unique(share * 8.0)) <= set(range(9))
    assert (doubtful.probability_drawn.shape, doubtful.probability_drawn.max()) == (share.shape, 1.0)


def test_that_a_wider_scatter_is_never_better(plan):
    lows = [run_robustness(RobustnessJob.of(plan, Spread(tip, 0.0, 0.0), samples=6, seed=1, spacing_mm=2.0)).answer["coverage_pct"]["chosen"]["p5"] for tip in (0.0, 1.5, 3.0)]
    assert lows[0] > lows[1] > lows[2]


def test_that_the_worst_needle_is_the_one_that_lies_wrong(plan):
    def only_the_second(job):
        def do(item):
            changed = sampled_plan(job.plan, job.draw(item.index), 0) if item.index != PLANNED and item.placed != 1 else job.plan
            return job._measure(item, changed, solve_plan(changed, tolerance=TOLERANCE))

        return lambda items: map(do, items)

    job = RobustnessJob.of(plan, Spread(3.0, 0.0, 0.0), samples=3, seed=1, spacing_mm=2.0)
    answer = run_robustness(job, only_the_second(job)).answer
    assert answer["worst_needle"] == "E2"
    assert answer["needles"][0]["gain_if_placed_pct"] == pytest.approx(0.0, abs=1e-9)
    assert answer["needles"][1]["gain_if_placed_pct"] > 0.1


def test_that_samples_that_cannot_be_solved_are_told_and_count_as_uncovered():
    tight = pair_of_needles(box=24.0, length=20.0)
    result = run_robustness(RobustnessJob.of(tight, Spread(4.0, 0.0, 0.0), samples=6, seed=2, spacing_mm=2.0))
    answer = result.answer
    assert 0 < answer["failed"]["needle_outside_domain"] <= sum(answer["failed"].values()) == 6 - answer["solved"]
    assert answer["coverage_pct"]["chosen"]["least"] == 0.0
    assert answer["solved"] == 0 or answer["coverage_pct"]["chosen"]["p5_without_failed"] > answer["coverage_pct"]["chosen"]["p5"]
    assert "samples_failed" in {w["code"] for w in answer["warnings"]}
    assert [r["code"] for r in result.samples].count("needle_outside_domain") == answer["failed"]["needle_outside_domain"]


def test_that_nothing_names_the_regions_where_the_work_is_sent(plan):
    job = RobustnessJob.of(plan, samples=1, spacing_mm=2.0)
    assert "left node" not in str(job.work().__self__)
    assert job.names == ("left node",)


# -- what is concluded


def test_that_intervals_are_the_exact_ones():
    assert share_interval(0, 20) == pytest.approx((0.0, 1.0 - 0.025 ** (1.0 / 20.0)))
    assert share_interval(10, 20) == pytest.approx((0.27196, 0.72804), abs=1e-5)
    values = np.arange(1.0, 201.0)
    # binomial(200, 0.05): P(at most 3) = 0.009 <= 0.025 < P(at most 4) = 0.026; P(at most 15) = 0.956 < 0.975 <= P(at most 16) = 0.976
    assert percentile_interval(values, 5) == (4.0, 17.0)
    assert percentile_interval(values[:71], 5)[0] is None
    assert percentile_interval(values[:72], 5)[0] == 1.0


def test_that_intervals_hold_the_percentile_as_often_as_they_say():
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        low, high = percentile_interval(rng.random(200), 5)
        hits += low <= 0.05 <= high
    assert hits / 400 >= 0.93


# -- refusals


@pytest.mark.parametrize(("more", "code"), [
    ({"tip_mm": -1.0}, "bad_spread"), ({"tip_mm": math.nan}, "bad_spread"), ({"angle_deg": 60.0}, "bad_spread"), ({"sigma_pct": 100.0}, "bad_spread"),
    ({"threshold_v_per_cm": (800.0, 400.0)}, "bad_spread"), ({"threshold_v_per_cm": (0.0, 400.0)}, "bad_spread"),
])  # fmt: skip
def test_that_a_senseless_spread_is_refused(more, code):
    with pytest.raises(PlanRefused) as refusal:
        Spread(**more)
    assert refusal.value.code == code


def test_that_a_run_without_samples_or_target_is_refused(plan):
    for samples in (0, 1.5, True):
        with pytest.raises(PlanRefused) as refusal:
            RobustnessJob.of(plan, samples=samples)
        assert refusal.value.code == "bad_samples"
    with pytest.raises(PlanRefused) as refusal:
        RobustnessJob.of(pair_of_needles(regions=[]))
    assert refusal.value.code == "no_target"


def test_that_a_plan_that_cannot_be_solved_is_refused_as_such():
    near = pair_of_needles(d=4.0)
    with pytest.raises(PlanRefused) as refusal:
        run_robustness(RobustnessJob.of(near, STILL, samples=1, spacing_mm=2.0))
    assert refusal.value.code == "needles_too_close"
