"""mRECIST: what enhances in the arterial phase, by rules of its own."""

from __future__ import annotations

import datetime as dt

import pytest

from volumetry.errors import MeasurementRefused
from volumetry.response.mrecist import (
    Answer,
    ViableTarget,
    ViableVisit,
    best_viable,
    controlled,
    follow_viable,
    may_be_target,
    new_lesion_counts,
    overall_answer,
)

START = dt.date(2026, 1, 1)
A = Answer


def course(*sizes: tuple) -> list[str]:
    """Overall responses of lesions of these viable diameters; the first tuple is baseline."""

    def targets(mm):
        return tuple(ViableTarget(f"H{n}", x) for n, x in enumerate(mm))

    return [str(v.overall) for v in follow_viable(targets(sizes[0]), [ViableVisit(START + dt.timedelta(30 * n), targets(mm)) for n, mm in enumerate(sizes[1:], 1)])]


def test_that_only_the_enhancing_part_counts():
    # 40 mm enhancing to 28: exactly -30 %, PR. To 0: CR, however large the zone is. Back to 3: PD, whatever its size.
    assert course((40,), (28,), (0,), (3,)) == ["PR", "CR", "PD"]


def test_that_20_percent_above_the_smallest_is_progression_without_a_limit_in_mm():
    # 20, 10 (-50 %, PR), 12: 2 mm, but 20 % above 10: PD here, and none by RECIST 1.1.
    assert course((20,), (10,), (12,)) == ["PR", "PD"]
    assert course((20,), (10,), (11.9,)) == ["PR", "PR"]
    assert course((20,), (15,)) == ["SD"]


def test_that_a_missed_phase_is_not_evaluable_unless_the_rest_progresses():
    assert course((20, 10), (0, None), (36, None)) == ["NE", "PD"]


@pytest.mark.parametrize(
    ("target", "non_target", "new", "overall"),
    [
        (A.CR, A.CR, False, A.CR), (A.CR, A.NONE, False, A.CR), (A.CR, A.IR_SD, False, A.PR), (A.CR, A.NE, False, A.PR), (A.PR, A.IR_SD, False, A.PR),
        (A.PR, A.CR, False, A.PR), (A.SD, A.IR_SD, False, A.SD), (A.SD, A.CR, False, A.SD), (A.PD, A.CR, False, A.PD), (A.CR, A.PD, False, A.PD), (A.CR, A.CR, True, A.PD),
        (A.NE, A.CR, False, A.NE), (A.NONE, A.IR_SD, False, A.IR_SD), (A.NONE, A.NONE, False, A.NE),
    ],
)  # fmt: skip
def test_that_the_overall_response_is_that_of_the_published_table(target, non_target, new, overall):
    assert overall_answer(target, non_target, new) is overall


def test_that_non_targets_and_new_lesions_take_part():
    base = [ViableTarget("H0", 30.0)]
    visits = [
        ViableVisit(START, (ViableTarget("H0", 0.0),), (True, False)),
        ViableVisit(START + dt.timedelta(30), (ViableTarget("H0", 0.0),), (False, None)),
        ViableVisit(START + dt.timedelta(60), (ViableTarget("H0", 0.0),), (False, False)),
        ViableVisit(START + dt.timedelta(90), (ViableTarget("H0", 0.0),), (False,), new_lesion=True),
    ]
    assert [(str(v.non_target), str(v.overall)) for v in follow_viable(base, visits)] == [("IR/SD", "PR"), ("NE", "PR"), ("CR", "CR"), ("CR", "PD")]


def test_that_what_hardly_enhances_cannot_be_a_target():
    assert may_be_target("H1", 30.0, arterially_enhancing=False).code == "hypovascular"
    assert may_be_target("H1", 9.9, arterially_enhancing=True).code == "below_measurable"
    assert may_be_target("H1", 10.0, arterially_enhancing=True) is None
    assert new_lesion_counts(12, typical_pattern=True)
    assert not new_lesion_counts(9, typical_pattern=True)
    assert not new_lesion_counts(12, typical_pattern=False)
    assert new_lesion_counts(22, typical_pattern=False, grew_mm=10)


def test_that_the_best_response_ends_at_the_first_progression():
    days = [START + dt.timedelta(30 * n) for n in range(4)]
    assert best_viable(list(zip(days, (A.SD, A.PR, A.PD, A.CR)))) == (A.PR, days[1])
    assert best_viable([]) == (A.NE, None)
    assert [controlled(a) for a in (A.CR, A.SD, A.PD, A.NE)] == [True, True, False, None]


def test_that_impossible_input_is_refused():
    for wrong in (lambda: ViableTarget("H", -1), lambda: follow_viable([], []), lambda: follow_viable([ViableTarget("H", 10.0)], [ViableVisit(START, ())])):
        with pytest.raises(MeasurementRefused):
            wrong()
