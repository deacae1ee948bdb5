"""Reports of a visit and of a reading: what was locked, by whom, which record counts; one file each, the same bytes every time."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from pypdf import PdfReader

from app import INVESTIGATIONAL_NOTICE
from app.cli import main
from app.study.errors import StudyRefused
from app.study.store import StudyStore
from app.usecases.export_edc import export_study
from app.usecases.report_files import file_part
from app.usecases.report_reading import render_reading_report
from app.usecases.report_visit import NodePicture, render_visit_report
from tests.edc.conftest import Whole
from tests.edc.test_report import png


def text_of(data: bytes) -> str:
    """All text of a PDF; every page must be A4, numbered, and say what it is not."""
    reader = PdfReader(io.BytesIO(data))
    pages = [page.extract_text() for page in reader.pages]
    for number, text in enumerate(pages, start=1):
        assert f"page {number} of {len(pages)}" in text
        assert INVESTIGATIONAL_NOTICE in text
        assert "Audit head: event" in text
        assert "Locks" in text
    assert {(round(float(p.mediabox.width)), round(float(p.mediabox.height))) for p in reader.pages} == {(595, 842)}
    return "\n".join(pages)


def visit_id(whole: Whole, name: str) -> str:
    return next(v.visit_id for v in whole.snapshot.visits if (v.subject_id, v.name) == ("S-001", name))


def test_that_a_visit_tells_every_readers_values_and_which_record_counts(whole: Whole) -> None:
    text = text_of(render_visit_report(whole.snapshot, visit_id(whole, "Day 30")))
    for expected in (
        "Subject S-001  ·  Day 30", "Scan 2026-02-06, day 30 from the first ablation", "IRE 2026-01-07", "N1  L III", "N2  R VI", "0.150", "0.160", "0.250", "reader-b", "site-1",
        "trainee", "too small", "version 2, vessel included", "50.0 (", "Counts: the central record", whole.snapshot.head_sha256, "not an electronic signature", "医生",
    ):  # fmt: skip
        assert expected in text, expected
    assert "only one" in text  # of N2 there is one central reader
    assert "0.310" not in text  # a reading of another visit


def test_that_what_is_not_locked_stays_out_of_a_visit(whole: Whole) -> None:
    text = text_of(render_visit_report(whole.snapshot, visit_id(whole, "Month 3")))
    assert "7.7" not in text.replace(whole.snapshot.head_sha256, "")
    assert "disappeared" in text
    assert " ".join(text.split()).count("shadow of the trachea") == 12  # a reason is wrapped, never cut


def test_that_a_reading_tells_measurement_baseline_record_and_every_locked_version(whole: Whole) -> None:
    reading = next(r for r in whole.snapshot.readings if r.version == 2)
    text = text_of(render_reading_report(whole.snapshot, reading.reading_id, picture=png()))
    for expected in (
        "Subject S-001  ·  N1  ·  Day 30", "Read by reader-a (central)", "left, level III", "0.150 (", "grade 1", "Baseline, 0.300 ml", "50.0 (", f"{reading.reading_id}, version 2",
        "vessel included", "0.200 (", "医生", "not an electronic signature", "CV 15.9 %", "ire-cervical-ln",
    ):  # fmt: skip
        assert expected in text, expected
    assert "Accepted record" in text
    assert len(PdfReader(io.BytesIO(render_reading_report(whole.snapshot, reading.reading_id, picture=png()))).pages[0].images) == 1
    site = next(r for r in whole.snapshot.readings if r.role == "site")
    assert "Accepted record" not in text_of(render_reading_report(whole.snapshot, site.reading_id))


def test_that_a_reading_that_is_not_locked_or_not_there_has_no_report(whole: Whole) -> None:
    waiting = next(r for r in whole.snapshot.readings if r.volume_ml == 7.7)
    for reading_id, code in ((waiting.reading_id, "nothing_locked"), ("R-none", "reading_missing")):
        with pytest.raises(StudyRefused) as caught:
            render_reading_report(whole.snapshot, reading_id)
        assert caught.value.code == code
    for wanted, code in (("V-none", "visit_missing"), (next(v.visit_id for v in whole.snapshot.visits if (v.subject_id, v.name) == ("S-002", "Day 30")), "nothing_locked")):
        with pytest.raises(StudyRefused) as caught:
            render_visit_report(whole.snapshot, wanted)
        assert caught.value.code == code


def test_that_many_readings_go_on_on_further_pages_with_all_of_them(whole: Whole) -> None:
    one = next(r for r in whole.snapshot.readings if r.role == "site")
    many = tuple(replace(one, reading_id=f"R-{n}", reader=f"site-{n:02d}", volume_ml=3 + n / 1000) for n in range(70))
    pictures = [NodePicture("N1", f"reader-{n:02d}", png(n)) for n in range(9)]
    data = render_visit_report(replace(whole.snapshot, readings=(*whole.snapshot.readings, *many)), one.visit_id, pictures=pictures)
    text = text_of(data)
    assert len(PdfReader(io.BytesIO(data)).pages) >= 2
    assert all(f"{3 + n / 1000:.3f}" in text for n in range(70))
    assert sum(len(page.images) for page in PdfReader(io.BytesIO(data)).pages) == 9


def test_that_the_command_line_writes_a_file_for_each_with_a_true_receipt(whole: Whole, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    def export(out: str, *more: str) -> dict:
        assert main(["export", str(whole.folder), "--format", "pdf", "--out", str(tmp_path / out), "--json", *more]) == 0
        return json.loads(capsys.readouterr().out)

    subjects, visits, readings = export("a"), export("b", "--per", "visit"), export("c", "--per", "reading")
    assert [f["path"] for f in subjects["files"]] == ["report-S-001.pdf", "report-S-002.pdf"]
    assert [f["path"] for f in visits["files"]] == [f"visit-S-001-{v}.pdf" for v in ("Baseline", "Day_30", "Month_3", "Extra_look")] + ["visit-S-002-Baseline.pdf"]
    assert len(readings["files"]) == 12
    assert subjects["readings"] == visits["readings"] == readings["readings"] == 12
    assert {f["reading_id"] for f in readings["files"]} == {r.reading_id for r in whole.snapshot.readings if r.volume_ml != 7.7}
    again = export("d", "--per", "visit")
    assert [f["sha256"] for f in again["files"]] == [f["sha256"] for f in visits["files"]]
    one = export("one.pdf", "--visit", "Day 30", "--subject", "S-001")
    assert (tmp_path / "one.pdf").read_bytes() == (tmp_path / "b" / "visit-S-001-Day_30.pdf").read_bytes()
    assert (one["readings"], one["files"][0]["visit"]) == (5, "Day 30")
    wanted = readings["files"][0]["reading_id"]
    assert export("e", "--reading", wanted)["files"] == [readings["files"][0]]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"format_": "csv", "visit": "Day 30"}, "report_kind_refused"), ({"format_": "pdf", "per": "subject", "visit": "Day 30"}, "report_kind_refused"),
        ({"format_": "pdf", "visit": "Day 31"}, "visit_missing"), ({"format_": "pdf", "reading_id": "R-none"}, "reading_missing"),
        ({"format_": "pdf", "visit": "Day 30", "subject_id": "S-002"}, "nothing_locked"),
    ],
)  # fmt: skip
def test_that_what_cannot_be_reported_is_refused_and_nothing_is_written(whole: Whole, tmp_path: Path, asked: dict, code: str) -> None:
    with StudyStore.open(whole.folder) as store, pytest.raises(StudyRefused) as caught:
        export_study(store, out=tmp_path / "out", **asked)
    assert caught.value.code == code
    assert not (tmp_path / "out").exists()


def test_that_names_of_visits_make_names_of_files_on_any_system() -> None:
    assert [file_part(name) for name in ("Day 30", "第 30 天", "../a\\b:c", "..", "Month 3 (extra)")] == ["Day_30", "第_30_天", "a_b_c", "_", "Month_3_extra"]
