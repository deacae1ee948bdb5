"""An EDC's export set against the study: nothing to tell where both agree, every difference by its kind where not."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli import main
from app.study.errors import StudyRefused
from app.study.store import StudyStore
from app.usecases.export_edc import export_study
from app.usecases.reconcile import reconcile, same_value
from tests.edc.conftest import Whole


def export(whole: Whole, format_: str, out: Path) -> Path:
    with StudyStore.open(whole.folder) as store:
        export_study(store, format_, out)
    return out / {"redcap": "import.csv", "csv": "readings.csv"}[format_]


def changed(path: Path, change: Callable[[list[dict[str, str]]], list[dict[str, str]]]) -> Path:
    """A copy of a table after ``change``."""
    with open(path, encoding="utf-8", newline="") as handle:
        reader = csv.DictReader(handle)
        head, rows = list(reader.fieldnames or ()), list(reader)
    out = path.with_name("edc.csv")
    with open(out, "w", encoding="utf-8-sig", newline="") as handle:  # as Excel writes it
        writer = csv.DictWriter(handle, head)
        writer.writeheader()
        writer.writerows(change(rows))
    return out


def differences(whole: Whole, path: Path) -> list[tuple]:
    with StudyStore.open(whole.folder) as store:
        answer = reconcile(store, path)
    assert answer["ok"] is (not answer["differences"])
    return [(d["kind"], d["field"], d["edc"], d["study"]) for d in answer["differences"]]


@pytest.mark.parametrize("format_", ["redcap", "csv"])
def test_that_what_was_exported_agrees(whole: Whole, tmp_path: Path, format_: str) -> None:
    path = export(whole, format_, tmp_path)
    assert differences(whole, path) == []
    with StudyStore.open(whole.folder) as store:
        answer = reconcile(store, changed(path, lambda rows: rows[::-1]))
    assert (answer["ok"], answer["format"], answer["compared"]) == (True, format_, {"redcap": 14, "csv": 12}[format_])


@pytest.mark.parametrize(("format_", "prefix"), [("redcap", "rd_"), ("csv", "")])
def test_that_every_kind_of_difference_is_told_with_both_values(whole: Whole, tmp_path: Path, format_: str, prefix: str) -> None:
    path = export(whole, format_, tmp_path)

    def spoil(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        mine = [r for r in rows if "S-001" in (r.get("record_id"), r.get("subject"))]
        by = {(r[f"{prefix}reader"], r[f"{prefix}visit"], r[f"{prefix}node"]): r for r in mine}
        by["reader-a", "Baseline", "N1"][f"{prefix}volume_ml"] = "0.3"  # rounded by the EDC
        by["reader-a", "Day 30", "N1"][f"{prefix}version"] = "1"
        by["reader-b", "Baseline", "N1"][f"{prefix}reading_id"] = "R-unknown"
        by["site-1", "Day 30", "N1"][f"{prefix}status"] = ""
        return [*rows, dict(by["reader-b", "Day 30", "N1"])]

    found = differences(whole, changed(path, spoil))
    assert ("value_differs", "volume_ml", "0.3", repr(0.1 + 0.2)) in found
    assert ("newer_version_in_study", "version", "1", "2") in found
    assert ("value_differs", "status", "", "measured") in found
    assert sorted(f[0] for f in found) == ["missing_in_edc", "missing_in_study", "newer_version_in_study", "twice_in_edc", "value_differs", "value_differs"]


def test_that_a_treated_pair_and_a_wrong_subject_are_compared_too(whole: Whole, tmp_path: Path) -> None:
    path = export(whole, "redcap", tmp_path)

    def spoil(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        pair = next(r for r in rows if r["tx_pair_key"])
        pair["tx_delivered_pulses"] = "80"
        next(r for r in rows if r["rd_reader"] == "site-1")["record_id"] = "S-002"
        return rows

    assert sorted(differences(whole, changed(path, spoil))) == [("value_differs", "delivered_pulses", "80", "90"), ("value_differs", "subject", "S-002", "S-001")]


def test_that_labels_and_other_ways_to_write_a_number_are_the_same_value(whole: Whole, tmp_path: Path) -> None:
    path = export(whole, "redcap", tmp_path)

    def relabel(rows: list[dict[str, str]]) -> list[dict[str, str]]:
        for row in rows:
            row["rd_status"] = row["rd_status"].replace("_", " ").capitalize()
            row["rd_dates_shifted"] = {"N": "No"}.get(row["rd_dates_shifted"], row["rd_dates_shifted"])
            row["rd_long_axis_mm"] = row["rd_long_axis_mm"] and f"{float(row['rd_long_axis_mm']):.3f}"
        return rows

    assert differences(whole, changed(path, relabel)) == []
    assert not same_value("0.30", "0.31", None)


def test_that_columns_an_edc_leaves_out_are_named_not_judged(whole: Whole, tmp_path: Path) -> None:
    path = export(whole, "redcap", tmp_path)
    with open(path, encoding="utf-8", newline="") as handle:
        rows = list(csv.reader(handle))
    place = rows[0].index("rd_series_uid")
    with open(tmp_path / "less.csv", "w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([r[:place] + r[place + 1 :] for r in rows])
    with StudyStore.open(whole.folder) as store:
        answer = reconcile(store, tmp_path / "less.csv")
    assert (answer["ok"], answer["fields_not_in_export"]) == (True, ["reading.series_uid"])


@pytest.mark.parametrize("data", [b"", b"a,b\n1,2\n", b"record_id,redcap_event_name\nS-001,x\n", "reading_id,reader,volume_ml\n李".encode("gb18030"), b"reading_id,reader,volume_ml\n1,2\n"])
def test_that_a_file_that_is_no_such_export_is_refused(whole: Whole, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.csv").write_bytes(data)
    with StudyStore.open(whole.folder) as store, pytest.raises(StudyRefused) as caught:
        reconcile(store, tmp_path / "x.csv")
    assert caught.value.code == "edc_export_refused"


def test_that_the_command_ends_with_4_where_there_is_a_difference(whole: Whole, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = export(whole, "csv", tmp_path)
    assert main(["study", "reconcile", str(whole.folder), str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    less = changed(path, lambda rows: rows[1:])
    assert main(["study", "reconcile", str(whole.folder), str(less), "--json"]) == 4
    told = json.loads(capsys.readouterr().out)
    assert [d["kind"] for d in told["differences"]] == ["missing_in_edc"]
    assert main(["study", "reconcile", str(whole.folder), str(less)]) == 4
    assert "missing_in_edc" in capsys.readouterr().out
