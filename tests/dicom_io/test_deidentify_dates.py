"""Dates move by one number of days a subject; within a study, times keep their distance from its beginning."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_io.deidentify import clean_copy, clean_dataset, days_back
from dicom_io.deidentify.dates import NOON, DateShift, parse_date, parse_time, shift_iso
from tests.dicom_io.made import ct_slice, save

KEY = b"0123456789abcdef0123456789abcdef"


def _moment(ds, date: str, time: str) -> dt.datetime:
    day, since = parse_date(ds.get(date)), parse_time(ds.get(time))
    return dt.datetime.combine(day, dt.time()) + since[0]


def test_that_intervals_between_visits_are_exact_and_the_days_are_the_subjects_own():
    visits = [
        ct_slice((0, 0, 0), 1, StudyDate=f"{day:%Y%m%d}", StudyTime=time, AcquisitionDate=f"{day:%Y%m%d}", AcquisitionTime=time)
        for day, time in ((dt.date(2024, 2, 28), "073000"), (dt.date(2024, 3, 1), "185959.5"), (dt.date(2025, 12, 31), "120000"))
    ]
    moved = [parse_date(clean_dataset(v, subject="S-1", salt=KEY).StudyDate) for v in visits]
    true = [parse_date(v.StudyDate) for v in visits]
    assert [b - a for a, b in pairwise(moved)] == [b - a for a, b in pairwise(true)] == [dt.timedelta(days=2), dt.timedelta(days=670)]
    assert {a - b for a, b in zip(true, moved, strict=True)} == {dt.timedelta(days=days_back("S-1", KEY))}
    assert [clean_dataset(v, subject="S-1", salt=KEY).AcquisitionDate for v in visits] == [f"{d:%Y%m%d}" for d in moved]
    assert days_back("S-1", KEY) != days_back("S-2", KEY)
    assert days_back("S-1", KEY) != days_back("S-1", b"another key")
    assert all(366 <= days_back(f"S-{n}", KEY) < 366 + 3285 for n in range(200))


def test_that_a_study_begins_at_noon_and_its_times_keep_their_distance():
    ds = ct_slice(
        (0, 0, 0), 1, StudyDate="20240301", StudyTime="091733", SeriesDate="20240301", SeriesTime="092001.25", ContentDate="20240301", ContentTime="091500",
        AcquisitionDateTime="20240301092102.123456+0100", ContrastBolusStartTime="092000",
    )  # fmt: skip
    out = clean_dataset(ds, subject="S-1", salt=KEY)
    assert out.StudyTime == "120000"
    for date, time in (("SeriesDate", "SeriesTime"), ("ContentDate", "ContentTime")):
        assert _moment(out, date, time) - _moment(out, "StudyDate", "StudyTime") == _moment(ds, date, time) - _moment(ds, "StudyDate", "StudyTime")
    assert out.SeriesTime == "120228.25"
    assert out.AcquisitionDateTime == f"{out.SeriesDate}120329.123456"  # its zone is gone
    assert out.ContrastBolusStartTime == "120227"
    assert out.LongitudinalTemporalInformationModified == "MODIFIED"


def test_that_a_study_over_midnight_keeps_its_order():
    ds = ct_slice((0, 0, 0), 1, StudyDate="20240301", StudyTime="235000", AcquisitionDate="20240302", AcquisitionTime="001000")
    out = clean_dataset(ds, subject="S-1", salt=KEY)
    assert _moment(out, "AcquisitionDate", "AcquisitionTime") - _moment(out, "StudyDate", "StudyTime") == dt.timedelta(minutes=20)


def test_that_times_go_where_there_is_no_study_time_to_count_from():
    ds = ct_slice((0, 0, 0), 1, StudyDate="20240301", AcquisitionDate="20240301", AcquisitionTime="091733", AcquisitionDateTime="20240301091733")
    out = clean_dataset(ds, subject="S-1", salt=KEY)
    assert (out.AcquisitionTime, out.StudyTime) == ("", "")
    assert out.AcquisitionDateTime == out.AcquisitionDate == out.StudyDate


@pytest.mark.parametrize("odd", ["2024", "hash9f3a", "00000000", "20241399", "2024030", "20240301-20240302"])
def test_that_a_date_that_cannot_be_told_is_taken_out(odd):
    out = clean_dataset(ct_slice((0, 0, 0), 1, StudyDate=odd, ContentDate=odd), subject="S-1", salt=KEY)
    assert (out.StudyDate, out.ContentDate) == ("", "19000101")  # one may be empty, the other may not


def test_that_birth_dates_never_move_but_go():
    out = clean_dataset(ct_slice((0, 0, 0), 1, PatientBirthDate="19310203", LastMenstrualDate="20240101", StudyDate="20240301"), subject="S-1", salt=KEY)
    assert out.PatientBirthDate == ""
    assert "LastMenstrualDate" not in out


def test_that_the_basic_profile_takes_dates_out():
    ds = ct_slice((0, 0, 0), 1, StudyDate="20240301", StudyTime="091733", ContentDate="20240301", AcquisitionDate="20240301", SeriesDate="20240301")
    out = clean_dataset(ds, subject="S-1", salt=KEY, profile="basic")
    assert (out.StudyDate, out.StudyTime, out.ContentDate) == ("", "", "19000101")
    assert "AcquisitionDate" not in out
    assert "SeriesDate" not in out
    assert out.LongitudinalTemporalInformationModified == "REMOVED"


def test_that_the_file_tells_when_its_dates_were_moved_before(tmp_path):
    before = save(ct_slice((0, 0, 0), 1, StudyDate="20240301", LongitudinalTemporalInformationModified="MODIFIED"), tmp_path / "a.dcm")
    true = save(ct_slice((0, 0, 0), 2, StudyDate="20240301"), tmp_path / "b.dcm")
    a, b = clean_copy([before, true], tmp_path / "out", "S-1", KEY)
    assert (a.dates_arrived_shifted, b.dates_arrived_shifted) == (True, False)
    assert pydicom.dcmread(a.path).StudyDate not in ("20240301", "")


@given(st.datetimes(dt.datetime(1995, 1, 1), dt.datetime(2030, 1, 1)), st.datetimes(dt.datetime(1995, 1, 1), dt.datetime(2030, 1, 1)), st.integers(366, 3650), st.integers(0, 86399))
def test_that_any_two_moments_keep_their_distance(a, b, days, began):
    shift = DateShift(days, NOON - dt.timedelta(seconds=began))
    moved = [shift.pair(f"{m:%Y%m%d}", f"{m:%H%M%S.%f}") for m in (a, b)]
    told = [dt.datetime.strptime("".join(m), "%Y%m%d%H%M%S.%f") for m in moved]
    assert told[1] - told[0] == b - a
    assert shift.moment(f"{a:%Y%m%d%H%M%S.%f}") == "".join(moved[0])


def test_that_iso_stamps_move_by_whole_days():
    assert shift_iso("2024-03-01T10:20:30Z", 366) == "2023-03-01T10:20:30Z"
    assert shift_iso("2024-03-01", 1) == "2024-02-29"
    assert shift_iso(None, 5) is None
