"""Agreement statistics against their published worked examples."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from volumetry.agreement import agreement_from_rows, bland_altman, intraclass_correlations, mean_squares, within_subject_sd
from volumetry.errors import MeasurementRefused
from volumetry.selfcheck import SHROUT_FLEISS

# Peak expiratory flow of 17 subjects, twice by each of two meters (Bland and Altman, Lancet 1986).
WRIGHT_1 = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
WRIGHT_2 = [490, 397, 512, 401, 470, 611, 415, 431, 638, 429, 420, 633, 275, 492, 165, 372, 421]
MINI_1 = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
MINI_2 = [525, 415, 508, 444, 500, 625, 460, 390, 642, 432, 420, 605, 227, 467, 268, 370, 443]


def test_that_the_mean_squares_of_shrout_and_fleiss_are_reproduced():
    m = mean_squares(SHROUT_FLEISS)
    assert [round(v, 2) for v in (m.between_items, m.within_items, m.between_readers, m.residual)] == [11.24, 6.26, 32.49, 1.02]


@pytest.mark.parametrize(
    ("form", "value", "low", "high"),
    [
        ("ICC(1,1)", 0.166, -0.133, 0.723),
        ("ICC(2,1)", 0.290, 0.019, 0.761),
        ("ICC(3,1)", 0.715, 0.342, 0.946),
        ("ICC(1,k)", 0.443, -0.884, 0.912),
        ("ICC(2,k)", 0.620, 0.071, 0.927),
        ("ICC(3,k)", 0.909, 0.676, 0.986),
    ],
)
def test_that_the_six_forms_and_their_intervals_are_reproduced(form, value, low, high):
    estimate = intraclass_correlations(SHROUT_FLEISS)[form]
    assert estimate.value == pytest.approx(value, abs=5e-4)
    assert estimate.interval == pytest.approx((low, high), abs=1e-3)


def test_that_perfect_agreement_is_one_and_no_variation_is_unknown():
    same = [[1, 1], [2, 2], [5, 5]]
    assert all(e.value == 1.0 for e in intraclass_correlations(same).values())
    flat = intraclass_correlations([[3, 3], [3, 3]])
    assert all(e.value is None and e.interval is None for e in flat.values())


def test_that_a_constant_shift_between_readers_lowers_agreement_but_not_consistency():
    table = [[v, v + 2.0] for v in (1.0, 3.0, 7.0, 9.0)]
    icc = intraclass_correlations(table)
    assert icc["ICC(3,1)"].value == pytest.approx(1.0)
    assert icc["ICC(2,1)"].value < 0.95


def test_that_the_limits_of_bland_and_altman_are_reproduced():
    m = bland_altman(WRIGHT_1, MINI_1)
    assert (round(m.mean, 2), round(m.sd, 2)) == (-2.12, 38.77)
    assert m.limits == pytest.approx((-78.1, 73.9), abs=0.05)
    assert bland_altman(WRIGHT_1, MINI_1, multiplier=2).limits == pytest.approx((-79.6, 75.4), abs=0.06)
    # The paper's intervals: mean -22.0 to 17.8, lower limit -114.3 to -45.1, upper 40.9 to 110.1 (with 2 SD)
    assert m.mean_interval == pytest.approx((-22.0, 17.8), abs=0.1)
    two = bland_altman(WRIGHT_1, MINI_1, multiplier=2).limits_intervals
    assert [*two[0], *two[1]] == pytest.approx([-114.3, -45.1, 40.9, 110.1], abs=0.4)


def test_that_the_repeatability_of_both_meters_is_reproduced():
    for first, second, twice_rms in ((WRIGHT_1, WRIGHT_2, 43.3), (MINI_1, MINI_2, 56.3)):
        wsd = within_subject_sd(zip(first, second, strict=True))
        # root mean square difference = sqrt(2) wSD for pairs
        assert 2 * math.sqrt(2) * wsd == pytest.approx(twice_rms, abs=0.05)


def test_that_log_limits_are_ratios():
    rng = np.random.default_rng(0)
    truth = np.exp(rng.normal(0, 1, 400))
    a, b = truth * np.exp(rng.normal(0.1, 0.1, 400)), truth * np.exp(rng.normal(0, 0.1, 400))
    m = bland_altman(a, b, log=True)
    assert m.ratios[0] == pytest.approx(math.exp(0.1), rel=0.03)
    assert m.ratios[2] == pytest.approx(math.exp(0.1 + 1.96 * 0.1 * math.sqrt(2)), rel=0.05)
    assert "ratios" in m.to_dict()
    assert bland_altman(a, b).ratios is None


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: bland_altman([1, 2], [1, 2]), "too_few"),
        (lambda: bland_altman([1, 2, 3], [1, 2, math.nan]), "not_a_number"),
        (lambda: bland_altman([1, 2, 0], [1, 2, 3], log=True), "not_positive"),
        (lambda: mean_squares([[1, 2]]), "too_few"),
        (lambda: mean_squares([[1, math.inf], [2, 3]]), "not_a_number"),
        (lambda: within_subject_sd([[1], [2]]), "too_few"),
        (lambda: agreement_from_rows([("a", "r", "1", 1.0), ("b", "r", "1", 2.0)]), "too_few"),
        (lambda: agreement_from_rows([("a", "r", "1", 1.0), ("a", "r", "1", 2.0)]), "duplicate_reading"),
        (lambda: agreement_from_rows([("a", "r", "1", math.nan)]), "not_a_number"),
    ],
)
def test_that_impossible_tables_are_refused(call, code):
    with pytest.raises(MeasurementRefused) as refused:
        call()
    assert refused.value.code == code


def _rows():
    for reader, readings in (("Wright", (WRIGHT_1, WRIGHT_2)), ("mini", (MINI_1, MINI_2))):
        for replicate, values in enumerate(readings, 1):
            for item, value in enumerate(values):
                yield str(item), reader, str(replicate), value


def test_that_the_table_answer_holds_every_field():
    answer = agreement_from_rows(_rows())
    assert set(answer["icc"]) == {"ICC(1,1)", "ICC(2,1)", "ICC(3,1)", "ICC(1,k)", "ICC(2,k)", "ICC(3,k)"}
    assert {"mean", "sd", "limits", "limits_intervals"} <= set(answer["bland_altman"])
    assert answer["bland_altman"]["mean"] == pytest.approx(-2.12, abs=0.005)
    assert answer["readers"] == ["Wright", "mini"]
    pooled = math.sqrt((43.294**2 + 56.316**2) / 2 / 8)
    assert answer["within_subject_sd"] == pytest.approx(pooled, rel=1e-3)
    assert answer["repeatability_coefficient"] == pytest.approx(2.772 * pooled, rel=1e-3)
    assert json.loads(json.dumps(answer)) == answer


def test_that_items_not_read_by_all_are_left_out_and_counted():
    answer = agreement_from_rows([*_rows(), ("extra", "Wright", "1", 400.0)])
    assert answer["items"] == 17
    assert [w["code"] for w in answer["warnings"]] == ["incomplete_items"]


def test_that_three_readers_are_compared_pair_by_pair():
    rows = [*_rows(), *((str(n), "third", "1", v + 5) for n, v in enumerate(MINI_1))]
    answer = agreement_from_rows(rows)
    assert [p["readers"] for p in answer["bland_altman_pairs"]] == [["Wright", "mini"], ["Wright", "third"], ["mini", "third"]]
    assert answer["bland_altman_pairs"][2]["mean"] == pytest.approx(-5.0)
