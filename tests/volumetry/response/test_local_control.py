"""Local control: residual against progression, primary against secondary efficacy, by tumour, session and patient."""

from __future__ import annotations

import datetime as dt

import pytest

from volumetry.errors import MeasurementRefused
from volumetry.response.local_control import Control, TreatedTumour, local_control, tumour_course


def day(n: int) -> dt.date:
    return dt.date(2026, 1, 1) + dt.timedelta(n)


def course(ablations: list[int], controls: list[tuple[int, bool | None]], **options):
    treated = TreatedTumour("T1", "P1", tuple((day(n), f"round {k}") for k, n in enumerate(ablations, 1)), tuple(Control(day(n), v) for n, v in controls))
    return tumour_course(treated, **options)


def test_that_viable_tumour_at_the_first_control_is_residual_and_never_progression():
    found = course([0], [(30, True), (120, True)])
    assert (found.residual, found.primary, found.progression_date, found.secondary) == (True, False, None, False)


def test_that_viable_tumour_after_completeness_is_progression_from_its_first_scan():
    found = course([0], [(30, False), (120, False), (210, True), (300, True)])
    assert (found.residual, found.primary, found.complete_date, found.progression_date) == (False, True, day(30), day(210))
    assert found.secondary is False


def test_that_a_retreated_residual_is_a_secondary_success_only():
    found = course([0, 40], [(30, True), (70, False)])
    assert (found.primary, found.secondary, found.retreated, found.complete_date) == (False, True, True, day(70))


def test_that_a_course_of_two_sessions_is_judged_after_the_second():
    found = course([0, 40], [(30, True), (70, False)], course_sessions=2)
    assert (found.primary, found.first_control, found.retreated) == (True, day(70), False)


def test_that_a_session_after_completeness_is_no_part_of_the_first_course():
    found = course([0, 200], [(30, False), (180, True), (230, False)], course_sessions=2)
    assert (found.primary, found.progression_date, found.secondary) == (True, day(180), True)


def test_that_what_could_not_be_judged_is_missing_with_its_reason():
    assert (course([0], []).missing, course([0], []).primary) == ("no_control", None)
    assert course([0], [(30, None)]).missing == "control_not_evaluable"
    assert course([0, 20], [(30, False)]).missing == "retreated_before_control"
    assert course([0], [(30, None), (60, False)]).primary is True
    with pytest.raises(MeasurementRefused):
        tumour_course(TreatedTumour("T", "P", ()))


def test_that_rates_are_counted_by_tumour_session_and_patient():
    # P1: two tumours in one session, one complete, one residual. P2: one complete, one never controlled. P3: complete.
    def one(tumour, patient, controls):
        return tumour_course(TreatedTumour(tumour, patient, ((day(0), "round 1"),), tuple(Control(day(n), v) for n, v in controls)))

    found = local_control([one("A", "P1", [(30, False)]), one("B", "P1", [(30, True)]), one("C", "P2", [(30, False)]), one("D", "P2", []), one("E", "P3", [(30, False), (90, True)])])
    by = found.by_tumour["primary_efficacy"]
    assert (by.numerator, by.denominator, dict(by.missing)) == (3, 4, {"no_control": 1})
    for unit in (found.by_session, found.by_patient):
        assert (unit["primary_efficacy"].numerator, unit["primary_efficacy"].denominator, dict(unit["primary_efficacy"].missing)) == (1, 2, {"not_all_judged": 1})
    lost = found.by_tumour["local_progression"]
    assert (lost.numerator, lost.denominator, dict(lost.missing)) == (1, 3, {"never_complete": 1, "no_control": 1})
    assert found.by_patient["local_progression"].interval_from == "Wilson"
    assert set(found.to_dict()) == {"by_tumour", "by_session", "by_patient"}
