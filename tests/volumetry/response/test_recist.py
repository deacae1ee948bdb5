"""RECIST 1.1: published cases, the tables row by row, and the rules that are often got wrong."""

from __future__ import annotations

import datetime as dt

import pytest

from volumetry.errors import MeasurementRefused
from volumetry.response.recist import (
    Lesion,
    NonTarget,
    Response,
    Role,
    Seen,
    Target,
    VisitFindings,
    best_overall,
    check_targets,
    choose_targets,
    follow,
    non_target_response,
    overall_response,
    role_of,
    sum_change,
    target_response,
)

START = dt.date(2026, 1, 1)
R = Response


def lung(name: str = "L1") -> Lesion:
    return Lesion(name, "lung")


def node(name: str = "N1") -> Lesion:
    return Lesion(name, "neck", nodal=True)


def sized(lesion: Lesion, mm: float | None) -> Target:
    return Target(lesion, Seen.NOT_EVALUATED) if mm is None else Target(lesion, Seen.MEASURED, mm) if mm else Target(lesion, Seen.ABSENT)


def course(sums: list, lesion: Lesion | None = None, **visit) -> list[str]:
    """Overall responses of one lesion of these sizes, the first being baseline, two months apart."""
    lesion = lesion or lung()
    visits = [VisitFindings(START + dt.timedelta(60 * n), (sized(lesion, mm),), **visit) for n, mm in enumerate(sums[1:], 1)]
    return [str(v.overall) for v in follow([sized(lesion, sums[0])], visits)]


# -- published cases ------------------------------------------------------------------------------


def test_that_eortcs_165_63_65_stays_a_partial_response():
    # 63/165 = -62 %: PR. 65 is 3 % and 2 mm above the nadir: no PD, and still -61 % from baseline.
    assert course([165, 63, 65]) == ["PR", "PR"]


def test_that_eortcs_100_70_70_80_80_80_stays_a_partial_response():
    # 70 is -30 %: PR. 80 is -20 %, and 14 % above 70: once reached, PR stays while it is no PD.
    assert course([100, 70, 70, 80, 80, 80]) == ["PR"] * 5


def test_that_a_node_from_9_to_11_mm_is_not_by_itself_a_progression():
    # 16 to 9 mm: normal, CR. 11 mm is 22 % but 2 mm above the nadir: no PD; a second look is asked for.
    visits = [VisitFindings(START + dt.timedelta(60 * n), (sized(node(), mm),)) for n, mm in enumerate((9, 11, 15), 1)]
    first, second, third = follow([sized(node(), 16)], visits)
    assert [str(v.overall) for v in (first, second, third)] == ["CR", "PR", "PD"]  # 15 mm: 67 % and 6 mm above 9
    assert [f.code for f in second.findings] == ["node_back"]
    assert first.findings == third.findings == ()


def test_that_the_example_of_the_tr_domain_comes_out():
    # SDTMIG, TR, example 2: 62 to 30 mm. (30 - 62) / 62 = -51.6 %, printed as -52; the nadir is baseline, -32 mm.
    lesions = [lung("T01"), lung("T02"), node("T03")]
    baseline = [sized(x, mm) for x, mm in zip(lesions, (21, 25, 16))]
    (visit,) = follow(baseline, [VisitFindings(START, tuple(sized(x, mm) for x, mm in zip(lesions, (9, 11, 10))))])
    assert (visit.change.baseline_mm, visit.change.sum_mm) == (62, 30)
    assert round(visit.change.pcbsd_pct) == -52
    assert visit.change.acnsd_mm == -32
    assert visit.target is R.PR


# -- which lesions --------------------------------------------------------------------------------


@pytest.mark.parametrize(("mm", "role"), [(15.0, Role.TARGET), (14.9, Role.NON_TARGET), (10.0, Role.NON_TARGET), (9.9, Role.NORMAL)])
def test_that_a_node_is_sorted_by_its_short_axis(mm, role):
    assert role_of(node(), modality="CT", long_axis_mm=40, short_axis_mm=mm)[0] is role


def test_that_a_lesion_is_measurable_from_10_mm_or_twice_a_thick_slice():
    assert role_of(lung(), modality="CT", long_axis_mm=10)[0] is Role.TARGET
    assert role_of(lung(), modality="MR", long_axis_mm=9.9)[0] is Role.NON_TARGET
    assert role_of(lung(), modality="CT", long_axis_mm=14, slice_mm=7.5)[1].code == "below_measurable"
    assert role_of(node(), modality="CT", short_axis_mm=15, slice_mm=8)[0] is Role.NON_TARGET


def test_that_a_lesion_treated_locally_is_not_measurable_unless_it_progressed():
    assert role_of(Lesion("L1", "liver", treated=True), modality="CT", long_axis_mm=30)[1].code == "locally_treated"
    assert role_of(Lesion("L1", "liver", treated=True, progressed=True), modality="CT", long_axis_mm=30) == (Role.TARGET, None)


@pytest.mark.parametrize(("modality", "code"), [("US", "ultrasound_not_accepted"), ("CEUS", "ultrasound_not_accepted"), ("PT", "modality_refused")])
def test_that_ultrasound_is_refused_as_a_measuring_method(modality, code):
    with pytest.raises(MeasurementRefused) as refused:
        role_of(node(), modality=modality, short_axis_mm=20)
    assert refused.value.code == code


def test_that_five_nodes_cannot_all_be_targets_because_nodes_are_one_organ():
    nodes = [Lesion(f"N{n}", place, nodal=True) for n, place in enumerate(("II", "III", "IV", "V", "VI"))]
    assert "all nodes count as one organ" in check_targets(nodes)[0].message
    assert check_targets(nodes[:2]) == ()
    mixed = [(x, 20.0 + n) for n, x in enumerate([*nodes, lung("L1"), lung("L2"), lung("L3"), Lesion("A", "adrenal"), Lesion("B", "bone"), Lesion("C", "liver")])]
    assert [x.lesion_id for x in choose_targets(mixed)] == ["C", "B", "A", "L3", "L2"]
    assert [f.code for f in check_targets([x for x, _ in mixed])] == ["too_many_targets"] * 3


# -- the sum --------------------------------------------------------------------------------------


def test_that_each_way_of_finding_a_lesion_adds_what_it_must():
    assert [Target(lung(), s).counts_mm for s in (Seen.TOO_SMALL, Seen.ABSENT, Seen.MERGED, Seen.NOT_EVALUATED)] == [5, 0, 0, None]
    assert Target(lung(), Seen.MEASURED, 3.0).counts_mm == 3.0  # measurable below 5 mm keeps its value
    assert Target(lung(), Seen.SPLIT, parts_mm=(8.0, 6.5)).counts_mm == 14.5
    with pytest.raises(MeasurementRefused):
        Target(lung(), Seen.SPLIT)
    with pytest.raises(MeasurementRefused):
        Target(lung(), Seen.MEASURED, 0.0)


@pytest.mark.parametrize(("now", "nadir", "answer"), [(24.9, 20, "SD"), (25.0, 20, "PD"), (12.0, 9, "SD"), (60.0, 50, "PD"), (59.9, 50, "SD"), (5.0, 0, "PD")])
def test_that_progression_needs_20_percent_and_5_mm(now, nadir, answer):
    targets = [Target(lung(), Seen.MEASURED, now)]
    assert target_response(targets, sum_change(targets, 80.0, nadir)).value in ((answer,) if answer == "PD" else ("SD", "PR"))


def test_that_the_nadir_includes_baseline_and_leaves_out_incomplete_sums():
    # Growth from the start: nadir is baseline. 50, 49 (nadir), not evaluated, 59: 20 % and 10 mm above 49.
    assert course([50, 60]) == ["PD"]
    assert course([50, 49, None, 59]) == ["SD", "NE", "PD"]


def test_that_one_missing_target_is_not_evaluable_unless_the_others_alone_progress():
    pair = [lung("L1"), lung("L2")]
    base = [sized(pair[0], 30), sized(pair[1], 20)]
    ne, pd = follow(base, [VisitFindings(START, (sized(pair[0], 10), sized(pair[1], None))), VisitFindings(START + dt.timedelta(60), (sized(pair[0], 61), sized(pair[1], None)))])
    assert (ne.target, ne.change.sum_mm, ne.change.evaluated_mm) == (R.NE, None, 10)
    assert pd.target is R.PD


def test_that_complete_response_needs_every_lesion_gone_and_every_node_below_10():
    def answer(lesion_mm, node_mm):
        both = (sized(lung(), lesion_mm), sized(node(), node_mm))
        return follow([sized(lung(), 20), sized(node(), 16)], [VisitFindings(START, both)])[0]

    assert answer(0, 9.9).target is R.CR
    assert answer(0, 9.9).change.sum_mm == 9.9  # the sum need not be 0
    assert answer(0, 10).target is R.PR
    too_small = follow([sized(lung(), 20)], [VisitFindings(START, (Target(lung(), Seen.TOO_SMALL),))])
    assert too_small[0].target is R.PR


def test_that_a_merged_lesion_is_not_gone():
    pair = [lung("L1"), lung("L2")]
    (visit,) = follow([sized(x, 20) for x in pair], [VisitFindings(START, (Target(pair[0], Seen.MEASURED, 35), Target(pair[1], Seen.MERGED)))])
    assert (visit.target, visit.change.sum_mm) == (R.SD, 35)


def test_that_a_lesion_back_after_complete_response_is_progression_but_not_after_a_partial_one():
    assert course([20, 0, 4]) == ["CR", "PD"]
    pair = [lung("L1"), lung("L2")]
    base = [sized(pair[0], 40), sized(pair[1], 12)]
    back = follow(base, [VisitFindings(START, (sized(pair[0], 20), sized(pair[1], 0))), VisitFindings(START + dt.timedelta(60), (sized(pair[0], 18), sized(pair[1], 5)))])
    assert [v.overall for v in back] == [R.PR, R.PR]  # 20 to 23 mm: 15 %


def test_that_targets_must_be_the_same_at_every_visit():
    for visit in (VisitFindings(START, ()), VisitFindings(START, (sized(lung("L2"), 5),))):
        with pytest.raises(MeasurementRefused) as refused:
            follow([sized(lung(), 20)], [visit])
        assert refused.value.code == "targets_differ"


# -- the tables -----------------------------------------------------------------------------------

ANY_NON_PD = (R.CR, R.NON_CR_NON_PD, R.NE, R.NONE)


@pytest.mark.parametrize(
    ("target", "non_target", "new", "overall"),
    [
        (R.CR, R.CR, False, R.CR),
        (R.CR, R.NONE, False, R.CR),
        (R.CR, R.NON_CR_NON_PD, False, R.PR),
        (R.CR, R.NE, False, R.PR),
        *((R.PR, n, False, R.PR) for n in ANY_NON_PD),
        *((R.SD, n, False, R.SD) for n in ANY_NON_PD),
        *((R.NE, n, False, R.NE) for n in ANY_NON_PD),
        *((R.PD, n, new, R.PD) for n in (*ANY_NON_PD, R.PD) for new in (False, True)),
        *((t, R.PD, new, R.PD) for t in (R.CR, R.PR, R.SD, R.NE) for new in (False, True)),
        *((t, n, True, R.PD) for t in (R.CR, R.PR, R.SD, R.NE) for n in ANY_NON_PD),
        # Non-target disease alone:
        (R.NONE, R.CR, False, R.CR),
        (R.NONE, R.NON_CR_NON_PD, False, R.NON_CR_NON_PD),
        (R.NONE, R.NE, False, R.NE),
        (R.NONE, R.PD, False, R.PD),
        (R.NONE, R.CR, True, R.PD),
    ],
)
def test_that_the_overall_response_is_that_of_the_guidelines_table(target, non_target, new, overall):
    assert overall_response(target, non_target, new) is overall


@pytest.mark.parametrize(
    ("states", "answer"),
    [("", R.NONE), ("g", R.CR), ("gp", R.NON_CR_NON_PD), ("gn", R.NE), ("pn", R.NON_CR_NON_PD), ("gx", R.PD), ("nx", R.PD)],
)
def test_that_non_targets_answer_together(states, answer):
    word = {"g": NonTarget.GONE, "p": NonTarget.PRESENT, "n": NonTarget.NOT_EVALUATED, "x": NonTarget.PROGRESSED}
    assert non_target_response([word[s] for s in states]) is answer


# -- the best response ----------------------------------------------------------------------------


def best(start: str, visits: str, **options) -> tuple[str, str | None]:
    """Best of "2020-01-01 PR, ..."."""
    each = [v.split() for v in visits.split(", ") if v]
    found = best_overall(dt.date.fromisoformat(start), [(dt.date.fromisoformat(d), R(r)) for d, r in each], **options)
    return str(found.response), None if found.date is None else found.date.isoformat()


@pytest.mark.parametrize(
    ("start", "visits", "answer"),
    [  # The response sequences and confirmed best responses of the tests of admiralonco (derive_param_confirmed_bor, test 1).
        ("2020-01-01", "2020-01-01 PR, 2020-02-01 CR, 2020-02-16 NE, 2020-03-01 CR, 2020-04-01 SD", ("CR", "2020-02-01")),
        ("2019-12-12", "2020-01-01 SD, 2020-02-01 PR, 2020-03-01 SD, 2020-03-13 CR", ("SD", "2020-02-01")),
        ("2019-11-11", "2019-11-12 CR, 2019-12-02 CR, 2020-01-01 SD", ("SD", "2020-01-01")),
        ("2019-12-30", "2020-01-01 PR, 2020-03-01 SD, 2020-04-01 SD, 2020-05-01 PR, 2020-05-15 NON-CR/NON-PD", ("SD", "2020-03-01")),
        ("2020-01-01", "2020-01-01 PR, 2020-01-10 SD, 2020-01-20 PR, 2020-05-15 NON-CR/NON-PD", ("NON-CR/NON-PD", "2020-05-15")),
        ("2020-02-02", "2020-02-06 PR, 2020-02-16 CR, 2020-03-30 PR", ("SD", "2020-03-30")),
        ("2020-02-02", "2020-02-06 PR, 2020-02-16 CR, 2020-04-01 NE", ("NE", "2020-02-06")),
        ("2020-02-01", "2020-02-16 PD, 2020-03-06 SD", ("PD", "2020-02-16")),
    ],
)
def test_that_confirmed_best_responses_are_those_of_a_published_test_set(start, visits, answer):
    assert best(start, visits, confirm_days=28, stable_days=28) == answer


@pytest.mark.parametrize(
    ("first", "second", "answer"),
    [  # The guideline's table for trials that need confirmation, first visit on day 56 (so that SD is long enough).
        ("CR", "CR", "CR"), ("CR", "PR", "SD"), ("CR", "SD", "SD"), ("CR", "PD", "SD"), ("CR", "NE", "SD"),
        ("PR", "CR", "PR"), ("PR", "PR", "PR"), ("PR", "SD", "SD"), ("PR", "PD", "SD"), ("PR", "NE", "SD"), ("NE", "NE", "NE"),
    ],
)  # fmt: skip
def test_that_confirmation_follows_the_guidelines_table(first, second, answer):
    assert best("2026-01-01", f"2026-02-26 {first}, 2026-03-26 {second}", confirm_days=28)[0] == answer


@pytest.mark.parametrize(("first", "second", "answer"), [("CR", "PD", "PD"), ("PR", "PD", "PD"), ("CR", "NE", "NE"), ("PR", "NE", "NE"), ("SD", "PD", "PD")])
def test_that_what_came_too_early_for_stable_disease_is_progression_or_not_evaluable(first, second, answer):
    assert best("2026-01-01", f"2026-01-20 {first}, 2026-02-20 {second}", confirm_days=28)[0] == answer


def test_that_without_confirmation_one_look_is_enough_and_nothing_counts_after_progression():
    assert best("2026-01-01", "2026-02-26 PR, 2026-04-26 PD, 2026-06-26 CR") == ("PR", "2026-02-26")
    assert best("2026-01-01", "2026-02-26 PD, 2026-04-26 CR") == ("PD", "2026-02-26")
    assert best("2026-01-01", "") == ("NE", None)
    assert best("2026-01-01", "2026-02-26 PR, 2026-03-25 PR", confirm_days=28)[0] == "SD"  # 27 days
