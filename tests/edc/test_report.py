"""The report of a subject: one page that says what was locked, by whom, and what does not count."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from pypdf import PdfReader

from app import INVESTIGATIONAL_NOTICE
from app.study.errors import StudyRefused
from app.study.model import ReadingStatus
from app.study.store import StudyStore
from app.usecases.export_edc import export_study
from app.usecases.report import PICTURES, ReportPicture, choose_pictures, render_subject_report
from app.usecases.report_page import fit, text_width, wrap
from tests.study.builders import CaseBuilder


def png(shade: int = 90) -> bytes:
    """A grey picture."""
    stream = io.BytesIO()
    Image.new("RGB", (480, 480), (shade, shade, shade)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def case(tmp_path: Path) -> Iterator[CaseBuilder]:
    """A subject with a locked baseline and two follow-ups, the last by another method."""
    with StudyStore.create(tmp_path / "study", name="Trial one", user="tester") as store:
        made = CaseBuilder(store)
        store.add_event("S-001", "IRE", "2026-01-07")
        made.lock("Baseline", picture_sha256=store.put_blob(png()))
        made.lock("Day 30", volume_ml=1.0, volume_interval_ml=(0.9, 1.1), picture_sha256=store.put_blob(png(120)))
        made.lock("Month 3", volume_ml=0.5, volume_interval_ml=None, modality="US", method="ellipsoid")
        yield made


def text_of(data: bytes) -> str:
    """Text of a PDF that must be one A4 page."""
    reader = PdfReader(io.BytesIO(data))
    assert len(reader.pages) == 1
    box = reader.pages[0].mediabox
    assert (round(float(box.width)), round(float(box.height))) == (595, 842)
    return reader.pages[0].extract_text()


def test_that_the_page_tells_subject_numbers_locks_and_what_it_is_not(case: CaseBuilder) -> None:
    text = text_of(render_subject_report(case.store.snapshot(), "S-001"))
    head = case.store.head(silent=False)
    for expected in (
        "Subject S-001", "Trial one", INVESTIGATIONAL_NOTICE, "IRE 2026-01-07",
        "2.000 (1.900–2.100)", "1.000 (0.900–1.100)", "20.5 × 12.2", "50.0 (", "baseline", "75.0 †",
        "3 readings locked by Dr Reader", "not an electronic signature", head.sha256, f"event {head.events}", "page 1 of 1",
        "No plan is stored",
    ):  # fmt: skip
        assert expected in text, expected


def test_that_a_reading_that_is_not_locked_stays_off_the_page_or_is_marked(case: CaseBuilder) -> None:
    case.save("Month 3", volume_ml=0.25, volume_interval_ml=None)
    snapshot = case.store.snapshot()
    assert "0.250" not in text_of(render_subject_report(snapshot, "S-001"))
    preview = text_of(render_subject_report(snapshot, "S-001", locked_only=False))
    assert "0.250" in preview
    assert "not locked" in preview


def test_that_a_disappeared_node_and_one_that_was_not_imaged_are_told_apart(case: CaseBuilder) -> None:
    none = {"volume_ml": None, "volume_interval_ml": None, "long_axis_mm": None, "short_axis_mm": None}
    case.lock("Month 3", status=ReadingStatus.DISAPPEARED_ASSESSED, **none)
    case.lock("Month 3", reader="reader-b", status=ReadingStatus.NOT_IMAGED, **none)
    text = text_of(render_subject_report(case.store.snapshot(), "S-001"))
    assert "0 (assessed)" in text
    assert "100.0" in text
    assert "not imaged" in text


def test_that_the_newest_plan_is_summed_up_with_what_refuses_it_first(case: CaseBuilder) -> None:
    assessment = {
        "targets": [{"name": "N1", "coverage_pct": 98.73, "minimal_margin_mm": -1.42}],
        "pairs": [{"anode": "E1", "cathode": "E2", "distance_mm": 15.0, "voltage_v": 2250, "v_per_cm": 1500, "current_a": None}],
        "constraints": [
            {"code": "near", "level": "warn", "message": "The carotid is near."},
            {"code": "current", "level": "refuse", "message": "Too much current."},
        ],
    }
    case.store.save_plan_run({"plan": {"lethal_v_per_cm": 500}, "assessment": assessment}, subject_id="S-001")
    text = text_of(render_subject_report(case.store.snapshot(), "S-001"))
    assert "coverage at 500 V/cm 98.7 %" in text
    assert "smallest margin -1.4 mm" in text
    assert "E1 – E2: 2250 V over 15.0 mm, 1500 V/cm" in text
    assert text.index("REFUSED: Too much current.") < text.index("Warning: The carotid is near.")


def test_that_the_same_content_gives_the_same_bytes_even_after_an_export(case: CaseBuilder, tmp_path: Path) -> None:
    first = export_study(case.store, "pdf", tmp_path / "a.pdf")
    second = export_study(case.store, "pdf", tmp_path / "b")
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b" / "report-S-001.pdf").read_bytes()
    assert first["files"][0]["sha256"] == second["files"][0]["sha256"]
    assert (first["readings"], first["files"][0]["rows"]) == (3, 3)
    assert len(PdfReader(tmp_path / "a.pdf").pages[0].images) == 2


def test_that_more_readings_than_fit_are_counted_on_the_page(case: CaseBuilder) -> None:
    for reader in range(40):
        case.lock("Baseline", reader=f"r{reader:02d}")
        case.lock("Day 30", reader=f"r{reader:02d}", volume_ml=1.0)
    text = text_of(render_subject_report(case.store.snapshot(), "S-001", pictures=[ReportPicture("N1", "Baseline", png())] * 9))
    assert "of 83 readings do not fit on this page" in text


def test_that_pictures_show_baseline_and_newest_and_are_never_too_many(case: CaseBuilder) -> None:
    store = case.store
    chosen = choose_pictures(store, store.snapshot(), "S-001")
    assert [(p.node, p.visit) for p in chosen] == [("N1", "Baseline"), ("N1", "Day 30")]
    other = CaseBuilder(store, "S-002")
    for number in range(8):
        node = other.node if number == 0 else store.add_node("S-002", f"N{number + 1}", "left", "II")
        for visit in other.visits:
            other.lock(visit, node_id=node.node_id, picture_sha256=store.put_blob(png(number)))
    chosen = choose_pictures(store, store.snapshot(), "S-002")
    assert [(p.node, p.visit) for p in chosen] == [(f"N{n}", v) for n in (1, 2, 3) for v in ("Baseline", "Month 3")]
    assert len(chosen) <= PICTURES


def test_that_a_subject_without_locked_readings_has_no_report_to_export(case: CaseBuilder, tmp_path: Path) -> None:
    CaseBuilder(case.store, "S-002")
    with pytest.raises(StudyRefused) as caught:
        export_study(case.store, "pdf", tmp_path / "out", subject_id="S-002")
    assert caught.value.code == "nothing_locked"
    assert "No locked reading of this subject" in text_of(render_subject_report(case.store.snapshot(), "S-002"))


def test_that_text_never_leaves_its_column_and_names_in_chinese_are_written(case: CaseBuilder) -> None:
    long = "a very long reason that nobody would ever want to read to its end"
    assert text_width(fit(long, 60, 7), 7) <= 60
    lines = wrap(long, 60, 7, 3)
    assert len(lines) == 3
    assert all(text_width(line, 7) <= 60 for line in lines)
    assert lines[-1].endswith("…")
    reading = case.save("Baseline", reader="reader-b")
    case.store.lock_reading(reading.reading_id, "李医生", "已审阅")
    assert "李医生" in text_of(render_subject_report(case.store.snapshot(), "S-001"))


def test_that_what_a_lock_is_not_and_who_read_are_never_cut(case: CaseBuilder) -> None:
    reading = case.save("Baseline", reader="A reader with a rather long name (demonstration)")
    case.store.lock_reading(reading.reading_id, "Somebody with a long name " * 3, "I have looked at this reading and confirm it " * 9)
    text = " ".join(text_of(render_subject_report(case.store.snapshot(), "S-001")).split())
    assert text.count("not an electronic signature") == 2
    assert "R1 A reader with a rather long name (demonstration); R2 reader-a" in text
    assert "not an electron…" not in text


def test_that_parts_stand_below_their_whole_with_rates_of_their_own(case: CaseBuilder) -> None:
    by_hu = {"reader": "reader-b", "viable_from": "hu_threshold", "ablated_from": "derived", "enhancing_above_hu": 70.0}
    case.lock("Baseline", volume_ml=2.0, viable_ml=1.6, ablated_ml=0.4, **by_hu)
    case.lock("Day 30", volume_ml=1.8, viable_ml=0.4, ablated_ml=1.4, **by_hu)
    case.lock("Month 3", volume_ml=1.0, viable_ml=0.2, ablated_ml=0.8, **{**by_hu, "enhancing_above_hu": 90.0})
    text = text_of(render_subject_report(case.store.snapshot(), "S-001"))
    for expected in ("enh. | not", "1.600 | 0.400", "0.400 | 1.400", "75.0 | -250.0", "87.5 | -100.0 ‡", "from 70 HU", "from 90 HU", "10.0 (", "6 readings locked by Dr Reader"):
        assert expected in text, expected
    assert "Stated repeatability: CV 15.9 % (IEEE Trans Med Imaging 2013;32:888" in text


def test_that_without_an_assessed_part_the_page_speaks_of_none(case: CaseBuilder) -> None:
    assert "enh. | not" not in text_of(render_subject_report(case.store.snapshot(), "S-001"))
