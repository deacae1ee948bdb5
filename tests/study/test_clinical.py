"""Creatinine clearance and pain: known answers, and nothing where a value is missing."""

from __future__ import annotations

import datetime as dt

import pytest

from app.study.clinical import PainPoint, age_on, check_detail, clearance_of, cockcroft_gault, nrs_series, pain_of, standing
from app.study.model import ClinicalEvent
from app.study.protocol import load_protocol
from volumetry.errors import NodusError

HOURS = (0, 4, 8, 24, 48, 72)


def series(scores, actual=None, **more):
    points = [PainPoint(h, None if actual is None else actual[n], s) for n, (h, s) in enumerate(zip(HOURS, scores, strict=True))]
    return nrs_series(points, HOURS, **more)


def refusal(work) -> str:
    with pytest.raises(NodusError) as caught:
        work()
    return caught.value.code


def event(kind: str, date: str, number: int = 0, **detail) -> ClinicalEvent:
    return ClinicalEvent(f"E-{number}", "S-1", kind, date, None, detail)


def test_that_the_published_pain_series_has_its_area_and_mean() -> None:
    told = series([2, 5, 4, 3, 1, 0])
    assert told.auc == 148.0
    assert told.mean == pytest.approx(148 / 72)
    assert round(told.mean, 2) == 2.06
    assert (told.sustained, told.largest, told.missing_hours, told.note) == (True, 5, (), "")


def test_that_the_area_follows_the_actual_times() -> None:
    told = series([2, 5, 4, 3, 1, 0], actual=[0, 5, 8, 25, 48, 70])
    assert told.auc == pytest.approx(5 * 3.5 + 3 * 4.5 + 17 * 3.5 + 23 * 2 + 22 * 0.5)
    assert told.mean == pytest.approx(told.auc / 70)
    assert refusal(lambda: series([2, 5, 4, 3, 1, 0], actual=[0, 9, 8, 25, 48, 70])) == "pain_refused"


def test_that_a_missing_value_leaves_no_area_and_one_inside_may_be_bridged() -> None:
    inside = series([2, 5, None, 3, 1, 0])
    assert (inside.auc, inside.mean, inside.missing_hours) == (None, None, (8,))
    assert inside.auc_one_gap == pytest.approx(4 * 3.5 + 20 * 4 + 24 * 2 + 24 * 0.5)
    assert series([2, None, None, 3, 1, 0]).auc_one_gap is None
    assert series([2, 5, None, 3, None, 0]).auc_one_gap is None
    assert series([None, 5, 4, 3, 1, 0]).auc_one_gap is None
    assert series([2, 5, 4, 3, 1, None]).auc_one_gap is None
    assert nrs_series([], HOURS).auc is None


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([4, 4, 0, 0, 0, 0], True),
        ([4, 3, 4, 3, 4, 3], False),
        ([0, 0, 0, 0, 4, 4], True),
        ([5, None, 5, 0, 0, 0], None),  # the missing one decides
        ([0, None, 0, 0, 0, 0], False),  # whatever it was, the ones beside are low
        ([4, 4, None, None, None, None], True),
        ([None] * 6, None),
    ],
)
def test_that_sustained_pain_is_two_consecutive_scheduled_values(scores, expected) -> None:
    assert series(scores).sustained is expected


def test_that_scores_that_cannot_be_are_refused() -> None:
    for bad in (11, -1, 2.5, True):
        assert refusal(lambda bad=bad: nrs_series([PainPoint(0, None, bad)], HOURS)) == "pain_refused"
    assert refusal(lambda: nrs_series([PainPoint(5, None, 1)], HOURS)) == "pain_refused"
    assert refusal(lambda: nrs_series([PainPoint(0, None, 1), PainPoint(0, None, 2)], HOURS)) == "pain_refused"
    assert refusal(lambda: nrs_series([PainPoint(0, float("nan"), 1)], HOURS)) == "pain_refused"


def test_that_pain_is_read_from_events_and_a_correction_replaces() -> None:
    rule = load_protocol("ire-cervical-ln").section("pain")
    logged = [event("NRS", "2025-01-31", n, hours=h, score=s) for n, (h, s) in enumerate(zip(HOURS, (2, 5, 9, 3, 1, 0), strict=True))]
    right = event("NRS", "2025-01-31", 9, hours=8, score=4, replaces="E-2")
    assert pain_of([*logged, right], rule).auc == 148.0
    assert [e.event_id for e in standing([*logged, right])] == ["E-0", "E-1", "E-3", "E-4", "E-5", "E-9"]


def test_that_creatinine_clearance_is_cockcroft_and_gaults() -> None:
    male = cockcroft_gault(1.0, "mg/dL", age_years=40, weight_kg=72, sex="M")
    assert male.ml_per_min == pytest.approx(100.0)
    assert cockcroft_gault(1.0, "mg/dL", age_years=40, weight_kg=72, sex="F").ml_per_min == pytest.approx(85.0)
    assert cockcroft_gault(88.4, "umol/L", age_years=40, weight_kg=72, sex="M").ml_per_min == pytest.approx(100.0)
    assert cockcroft_gault(176.8, "µmol/L", age_years=60, weight_kg=60, sex="F").ml_per_min == pytest.approx(80 * 60 * 0.85 / 144)
    assert male.findings == ()


def test_that_a_unit_is_never_guessed_and_a_doubtful_one_is_told() -> None:
    for unit in ("", "mg/L", None):
        assert refusal(lambda unit=unit: cockcroft_gault(1.0, unit, age_years=40, weight_kg=70, sex="M")) == "creatinine_unit_refused"
    assert [f.code for f in cockcroft_gault(90, "mg/dL", age_years=40, weight_kg=70, sex="M").findings] == ["creatinine_unit_doubtful"]
    assert [f.code for f in cockcroft_gault(1.0, "umol/L", age_years=40, weight_kg=70, sex="M").findings] == ["creatinine_unit_doubtful"]


@pytest.mark.parametrize("change", [{"creatinine": 0}, {"creatinine": float("nan")}, {"weight_kg": -1}, {"age_years": 140}, {"sex": "x"}, {"creatinine": True}])
def test_that_values_that_cannot_be_are_refused(change) -> None:
    values = {"creatinine": 1.0, "unit": "mg/dL", "age_years": 40, "weight_kg": 70, "sex": "M"} | change
    assert refusal(lambda: cockcroft_gault(values.pop("creatinine"), values.pop("unit"), **values)) == "clinical_value_refused"


@pytest.mark.parametrize(
    ("birth", "on", "age"),
    [("1980-06-15", "2025-06-14", 44), ("1980-06-15", "2025-06-15", 45), ("2000-02-29", "2025-02-28", 24), ("2000-02-29", "2025-03-01", 25), ("2000-02-29", "2024-02-29", 24)],
)
def test_that_age_is_in_completed_years_on_the_stated_day(birth: str, on: str, age: int) -> None:
    assert age_on(dt.date.fromisoformat(birth), dt.date.fromisoformat(on)) == age


def test_that_no_age_is_given_before_birth() -> None:
    assert refusal(lambda: age_on(dt.date(2025, 1, 2), dt.date(2025, 1, 1))) == "clinical_value_refused"


def test_that_the_last_creatinine_before_the_treatment_counts() -> None:
    def lab(date: str, number: int, value: float, **more) -> ClinicalEvent:
        return event("LAB", date, number, test="CREATININE", value=value, unit="mg/dL", age_years=40, weight_kg=72, sex="M", **more)

    events = [lab("2025-01-05", 1, 2.0), lab("2025-01-20", 2, 1.0), lab("2025-03-01", 3, 4.0)]
    told, source = clearance_of(events, on=dt.date(2025, 6, 1), before=dt.date(2025, 1, 31))
    assert (told.ml_per_min, source.event_id) == (pytest.approx(100.0), "E-2")
    assert clearance_of(events, on=dt.date(2025, 1, 10))[1].event_id == "E-1"
    assert clearance_of([*events, lab("2025-01-20", 4, 1.25, replaces="E-2")], before=dt.date(2025, 1, 31))[0].ml_per_min == pytest.approx(80.0)
    assert clearance_of(events, on=dt.date(2025, 1, 1)) is None


@pytest.mark.parametrize(
    ("kind", "detail", "code"),
    [
        ("NRS", {"score": 3}, "detail_refused"),
        ("NRS", {"hours": 4}, "detail_refused"),
        ("NRS", {"hours": 4, "score": 12}, "pain_refused"),
        ("NRS", {"hours": "4", "score": 2}, "detail_refused"),
        ("NRS", {"hours": 4, "score": 2, "colour": 1}, "detail_refused"),
        ("LAB", {"test": "CREATININE", "value": 1.0, "age_years": 40, "weight_kg": 70, "sex": "M"}, "detail_refused"),
        ("LAB", {"test": "TG", "value": 1.0, "unit": "mg/dL", "age_years": 40, "weight_kg": 70, "sex": "M"}, "detail_refused"),
        ("LAB", {"test": "CREATININE", "value": 1.0, "unit": "mg", "age_years": 40, "weight_kg": 70, "sex": "M"}, "creatinine_unit_refused"),
        ("ALLOCATION", {"arm": 3}, "detail_refused"),
        ("ELIGIBILITY", {"criterion": "needles_placeable", "met": "yes"}, "detail_refused"),
    ],
)
def test_that_nothing_wrong_is_logged(kind: str, detail: dict, code: str) -> None:
    assert refusal(lambda: check_detail(kind, detail)) == code


def test_that_right_details_are_kept_as_given() -> None:
    for kind, detail in (("NRS", {"hours": 4, "actual_hours": 4.5, "score": 2}), ("NRS", {"hours": 4, "score": None, "reason": "asleep"}), ("IRE", {"note": "left side"})):
        assert check_detail(kind, detail) == detail
