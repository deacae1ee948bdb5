"""REDCap: rows that fit their own dictionary, numbered so that nothing is renumbered later."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from app.edc.items import plain_number
from app.edc.redcap import DICTIONARY_HEAD, check_rows, write_redcap
from app.study.errors import StudyRefused
from app.study.store import StudyStore
from app.usecases.export_edc import export_study
from tests.edc.conftest import Whole


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"), newline="")))


@pytest.fixture(scope="module")
def out(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("redcap")
    write_redcap(whole.snapshot, whole.mapping, folder)
    return folder


def test_that_the_dictionary_has_redcaps_columns_and_unique_short_names(out: Path) -> None:
    rows = read(out / "data_dictionary.csv")
    assert tuple(rows[0]) == DICTIONARY_HEAD
    names = [r["Variable / Field Name"] for r in rows]
    assert names[0] == "record_id"
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 26


def test_that_every_cell_fits_its_field_checked_by_its_own_words(out: Path) -> None:
    fields = {r["Variable / Field Name"]: r for r in read(out / "data_dictionary.csv")}
    rows = read(out / "import.csv")
    assert len(rows) == 14  # 11 readings (that of training stays), 3 pairs
    checked = 0
    for row in rows:
        for name, text in row.items():
            if not text or name not in fields or name == "record_id":
                continue
            spec = fields[name]
            kind = spec["Text Validation Type OR Show Slider Number"]
            if spec["Field Type"] == "radio":
                assert text in [c.split(",")[0].strip() for c in spec["Choices, Calculations, OR Slider Labels"].split("|")], name
            elif kind == "number":
                assert "e" not in text, name
                assert float(text) == float(text), name
            elif kind == "integer":
                assert str(int(text)) == text
            elif kind.startswith("date"):
                assert text[4] == text[7] == "-"
                assert len(text) == (10 if kind == "date_ymd" else 19)
            checked += 1
        for name, spec in fields.items():
            if spec["Required Field?"] == "y" and spec["Form Name"] == row["redcap_repeat_instrument"]:
                assert row[name], name
    assert checked > 300


def test_that_locked_readings_go_with_their_flag_and_a_small_volume_has_no_exponent(out: Path) -> None:
    rows = {(r["record_id"], r["rd_node"], r["rd_visit"], r["rd_reader"]): r for r in read(out / "import.csv") if r["redcap_repeat_instrument"] == "node_reading"}
    assert len(rows) == 11
    assert not [k for k in rows if k[3] == "trainee"]
    assert rows["S-002", "N1", "Baseline", "reader-a"]["rd_volume_ml"] == "0.00000025"
    corrected = rows["S-001", "N1", "Day 30", "reader-a"]
    assert (corrected["rd_version"], corrected["rd_volume_ml"], corrected["rd_change_reason"], corrected["rd_locked_by"]) == ("2", "0.15", "vessel included", "李 医生")
    gone = rows["S-001", "N1", "Month 3", "reader-a"]
    assert (gone["rd_status"], gone["rd_volume_ml"], gone["rd_accepted"]) == ("disappeared_assessed", "0", "1")
    assert rows["S-001", "N1", "Day 30", "site-1"]["rd_accepted"] == ""
    assert rows["S-001", "N1", "Baseline", "reader-a"]["rd_volume_ml"] == repr(0.1 + 0.2)
    assert all(r["node_reading_complete"] == "2" and r["treated_pair_complete"] == "" for r in rows.values())


def test_that_an_unscheduled_visit_has_its_own_event(out: Path) -> None:
    events = {r["rd_visit"]: r["redcap_event_name"] for r in read(out / "import.csv") if r["rd_visit"]}
    assert (events["Extra look"], events["Day 30"]) == ("unscheduled_arm_1", "day_30_arm_1")
    known = {r["unique_event_name"] for r in read(out / "events.csv")}
    assert {r["redcap_event_name"] for r in read(out / "import.csv")} <= known


def test_that_planned_stands_beside_delivered_and_a_plan_without_record_is_no_treatment(out: Path) -> None:
    pairs = [r for r in read(out / "import.csv") if r["redcap_repeat_instrument"] == "treated_pair"]
    assert [(r["redcap_repeat_instance"], r["tx_anode"], r["tx_cathode"], r["tx_planned"]) for r in pairs] == [("1", "E1", "E2", "1"), ("2", "E1", "E3", "1"), ("3", "E2", "E3", "0")]
    first = pairs[0]
    assert (first["tx_planned_voltage_v"], first["tx_delivered_voltage_v"], first["tx_planned_pulses"], first["tx_delivered_pulses"]) == ("2250", "2200", "90", "90")
    assert (first["tx_planned_distance_mm"], first["tx_actual_distance_mm"], first["tx_current_end_a"], first["tx_complete"]) == ("15", "16.25", "38.25", "0")
    assert (pairs[1]["tx_delivered_pulses"], pairs[1]["tx_aborted"]) == ("0", "")
    assert (pairs[2]["tx_aborted"], pairs[2]["tx_abort_reason"]) == ("1", "over current")


def test_that_later_readings_renumber_nothing(opened: StudyStore, whole: Whole, tmp_path: Path) -> None:
    export_study(opened, "redcap", tmp_path / "a")
    before = {r["rd_reading_id"]: (r["redcap_event_name"], r["redcap_repeat_instance"]) for r in read(tmp_path / "a" / "import.csv") if r["rd_reading_id"]}
    waiting = opened.readings(reader="reader-b", state="measured")
    opened.lock_reading(waiting[0].reading_id, "Dr B", "reviewed")
    site = opened.readings(reader="site-1")[0]
    opened.correct_reading(site.reading_id, "typing", volume_ml=0.24)
    opened.lock_reading(site.reading_id, "Dr S", "reviewed")
    export_study(opened, "redcap", tmp_path / "b")
    after = {r["rd_reading_id"]: (r["redcap_event_name"], r["redcap_repeat_instance"]) for r in read(tmp_path / "b" / "import.csv") if r["rd_reading_id"]}
    assert len(after) == len(before) + 1
    assert {k: after[k] for k in before} == before


def test_that_a_row_that_does_not_fit_is_found(out: Path) -> None:
    dictionary = read(out / "data_dictionary.csv")
    with open(out / "import.csv", encoding="utf-8", newline="") as handle:
        head, *rows = list(csv.reader(handle))
    assert check_rows(head, rows, dictionary) == []
    for name, text, told in (("rd_status", "gone", "does not take"), ("rd_volume_ml", "1e-7", "does not take"), ("rd_scan_date", "2026-02-30", "does not take"), ("rd_node", "", "is required"), ("tx_anode", "E1", "is not of the form")):
        spoiled = [list(r) for r in rows]
        spoiled[0][head.index(name)] = text
        assert any(told in fault for fault in check_rows(head, spoiled, dictionary)), name
    assert any("twice" in fault for fault in check_rows(head, [rows[0], rows[0]], dictionary))


def test_that_a_study_without_a_locked_reading_is_refused(tmp_path: Path, whole: Whole) -> None:
    with StudyStore.create(tmp_path / "empty") as store, pytest.raises(StudyRefused) as caught:
        export_study(store, "redcap", tmp_path / "out")
    assert caught.value.code == "nothing_locked"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("value", "text"), [(1e-7, "0.0000001"), (2.0, "2"), (0.30000000000000004, "0.30000000000000004"), (-0.0, "0"), (1e22, "10000000000000000000000"), (100.0, "100")])
def test_that_numbers_are_written_whole(value: float, text: str) -> None:
    assert plain_number(value) == text
    assert float(text) == value
