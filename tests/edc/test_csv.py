"""What reaches the EDC: locked readings, the same bytes every time, and a dictionary that fits."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest

from app.edc.csv_writer import write_csv
from app.edc.dictionary import TABLES
from app.study.audit import verify
from app.study.errors import StudyRefused
from app.study.model import ReadingStatus
from app.study.store import StudyStore
from app.usecases.export_edc import export_study
from tests.study.builders import CaseBuilder


@pytest.fixture
def case(tmp_path: Path):
    """A study with a locked baseline and two locked follow-ups, one of them after a correction."""
    with StudyStore.create(tmp_path / "study", name="Trial, one", user="tester") as store:
        made = CaseBuilder(store)
        store.add_event("S-001", "IRE", "2026-01-07")
        made.lock("Baseline", volume_ml=0.1 + 0.2)
        day30 = made.lock("Day 30", volume_ml=0.2, warnings=({"code": "few_slices", "message": "Thin."},))
        store.correct_reading(day30.reading_id, 'vessel "included", twice', volume_ml=0.15)
        store.lock_reading(day30.reading_id, "李 医生", "reviewed")
        gone = {"volume_ml": None, "volume_interval_ml": None, "long_axis_mm": None, "short_axis_mm": None}
        made.lock("Month 3", status=ReadingStatus.DISAPPEARED_ASSESSED, **gone)
        made.save("Month 3", reader="reader-b")  # not locked: stays at home
        yield made


def table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV file."""
    with open(path, encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_that_locked_readings_and_only_those_are_exported(case: CaseBuilder, tmp_path: Path) -> None:
    receipt = write_csv(case.store.snapshot(), tmp_path / "out")
    rows = table(tmp_path / "out" / "readings.csv")
    assert [(r["visit"], r["reader"], r["version"]) for r in rows] == [
        ("Baseline", "reader-a", "1"),
        ("Day 30", "reader-a", "2"),
        ("Month 3", "reader-a", "1"),
    ]
    assert receipt["readings"] == 3
    assert float(rows[0]["volume_ml"]) == 0.1 + 0.2  # all digits
    assert rows[1]["change_reason"] == 'vessel "included", twice'
    assert (rows[1]["locked_by"], rows[1]["lock_note"]) == ("李 医生", "not an electronic signature")
    assert (rows[1]["warnings"], rows[1]["study"]) == ("few_slices", "Trial, one")
    assert (rows[2]["status"], rows[2]["volume_ml"], rows[2]["volume_lo_ml"]) == ("disappeared_assessed", "0.0", "")


def test_that_the_rates_are_those_of_the_response(case: CaseBuilder, tmp_path: Path) -> None:
    write_csv(case.store.snapshot(), tmp_path / "out")
    rows = table(tmp_path / "out" / "vrr.csv")
    assert [(r["visit"], r["comparable"], r["days_from_first"]) for r in rows] == [("Day 30", "1", "30"), ("Month 3", "1", "93")]
    assert float(rows[0]["vrr_pct"]) == pytest.approx(50.0)
    assert float(rows[1]["vrr_pct"]) == 100.0


def test_that_the_dictionary_lists_every_column_of_every_file_in_order(case: CaseBuilder, tmp_path: Path) -> None:
    write_csv(case.store.snapshot(), tmp_path / "out")
    listed: dict[str, list[str]] = {}
    for row in table(tmp_path / "out" / "data_dictionary.csv"):
        assert row["label"]
        assert row["type"] in ("text", "integer", "number", "date", "datetime")
        listed.setdefault(row["file"], []).append(row["column"])
    for name in TABLES:
        with open(tmp_path / "out" / name, encoding="utf-8", newline="") as handle:
            assert listed[name] == next(csv.reader(handle))


def test_that_coded_columns_hold_their_codes_and_numbers_are_numbers(case: CaseBuilder, tmp_path: Path) -> None:
    write_csv(case.store.snapshot(), tmp_path / "out")
    for name in ("readings.csv", "vrr.csv"):
        for row in table(tmp_path / "out" / name):
            for column in TABLES[name]:
                text = row[column.name]
                if text and column.codes:
                    assert text in column.codes, column.name
                if text and column.kind == "number":
                    assert float(text) == float(text)
                if text and column.kind == "integer":
                    assert int(text) is not None


def test_that_two_exports_are_the_same_bytes_and_the_receipt_tells_their_hashes(case: CaseBuilder, tmp_path: Path) -> None:
    first = export_study(case.store, "csv", tmp_path / "a")
    second = export_study(case.store, "csv", tmp_path / "b")
    assert first == second
    for entry in first["files"]:
        data = (tmp_path / "a" / entry["path"]).read_bytes()
        assert data == (tmp_path / "b" / entry["path"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert entry["rows"] == data.decode().count("\n") - 1
    assert not [p for p in (tmp_path / "a").iterdir() if p.suffix != ".csv"]
    assert [e["action"] for e in case.store.events()[-2:]] == ["exported", "exported"]
    assert verify(case.store, case.store.folder / "audit-head.json").ok


def test_that_the_study_hash_moves_with_the_content_only(case: CaseBuilder, tmp_path: Path) -> None:
    before = export_study(case.store, "csv", tmp_path / "a")["study_sha256"]
    case.save("Day 30", reader="reader-b")  # measured, not locked
    assert export_study(case.store, "csv", tmp_path / "b")["study_sha256"] == before
    case.lock("Baseline", reader="reader-b")
    assert export_study(case.store, "csv", tmp_path / "c")["study_sha256"] != before


def test_that_formats_that_are_unknown_or_not_written_are_refused_and_nothing_is_made(case: CaseBuilder, tmp_path: Path) -> None:
    for name, code in (("xlsx", "format_unknown"), ("odm-9", "format_unknown")):
        with pytest.raises(StudyRefused) as caught:
            export_study(case.store, name, tmp_path / "out")
        assert caught.value.code == code
    with pytest.raises(StudyRefused) as caught:
        export_study(case.store, "pdf", tmp_path / "out", subject_id="S-404")
    assert caught.value.code == "subject_missing"
    assert not (tmp_path / "out").exists()


def test_that_parts_have_columns_and_rates_of_their_own_and_empty_means_not_assessed(case: CaseBuilder, tmp_path: Path) -> None:
    by_hu = {"reader": "reader-c", "viable_from": "hu_threshold", "ablated_from": "derived", "enhancing_above_hu": 70.0, "enhancing_source": "charter 4.2"}
    case.lock("Baseline", volume_ml=2.0, viable_ml=1.6, ablated_ml=0.4, **by_hu)
    case.lock("Day 30", volume_ml=1.8, viable_ml=0.0, ablated_ml=1.8, **by_hu)
    write_csv(case.store.snapshot(), tmp_path / "out")
    readings = {(r["reader"], r["visit"]): r for r in table(tmp_path / "out" / "readings.csv")}
    zero = readings["reader-c", "Day 30"]
    assert (zero["volume_ml"], zero["viable_ml"], zero["viable_from"], zero["ablated_ml"], zero["ablated_from"]) == ("1.8", "0.0", "hu_threshold", "1.8", "derived")
    assert (zero["enhancing_above_hu"], zero["enhancing_source"]) == ("70.0", "charter 4.2")
    assert [readings["reader-a", v]["viable_ml"] for v in ("Baseline", "Day 30", "Month 3")] == ["", "", ""]
    rates = {(r["reader"], r["visit"]): r for r in table(tmp_path / "out" / "vrr.csv")}
    assert (rates["reader-c", "Day 30"]["vrr_viable_pct"], rates["reader-c", "Day 30"]["parts_comparable"]) == ("100.0", "1")
    assert float(rates["reader-c", "Day 30"]["vrr_pct"]) == pytest.approx(10.0)
    assert (rates["reader-a", "Day 30"]["vrr_viable_pct"], rates["reader-a", "Day 30"]["parts_comparable"]) == ("", "")


def test_that_every_rate_tells_its_interval_or_why_none_and_whether_it_counts(case: CaseBuilder, tmp_path: Path) -> None:
    case.lock("Baseline", reader="reader-s", role="site")
    case.lock("Day 30", reader="reader-s", role="site", volume_ml=1.0)
    case.lock("Month 3", method="contour", volume_ml=0.1)
    write_csv(case.store.snapshot(), tmp_path / "out")
    rates = {(r["reader"], r["visit"], r["method"]): r for r in table(tmp_path / "out" / "vrr.csv")}
    day30 = rates["reader-a", "Day 30", "voxel"]
    assert (day30["cv_pct"], day30["in_endpoints"], day30["left_out_because"]) == ("15.9", "1", "")
    assert day30["cv_source"] in day30["interval_note"]
    gone = rates["reader-a", "Month 3", "voxel"]
    assert (gone["vrr_lo_pct"], gone["in_endpoints"]) == ("", "1")
    assert gone["interval_note"].startswith("No interval: a node that has disappeared")
    unlike = rates["reader-a", "Month 3", "contour"]
    assert (unlike["comparable"], unlike["vrr_lo_pct"], unlike["in_endpoints"], unlike["left_out_because"]) == ("0", "", "0", "not_comparable")
    assert rates["reader-s", "Day 30", "voxel"]["left_out_because"] == "role"
