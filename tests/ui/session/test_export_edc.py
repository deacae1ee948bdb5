"""Exports in their window: the preview shows what the export then writes, what stays is counted with its reason, refusals come in words."""

from __future__ import annotations

import hashlib
import json
import threading
from importlib import resources

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication

from app.study.store import StudyStore
from app.ui.dialogs.export_edc import BY_SUBJECT, FORMATS, MAPPED, ExportWindow, open_export
from app.usecases import export_edc, export_preview
from tests.study.builders import CaseBuilder
from tests.study.people import add_people, as_user
from tests.study.test_store import refused
from tests.ui.session.hands import Told


@pytest.fixture
def store(tmp_path):
    """A study with a locked baseline, a Month 3 that was corrected, one reading in work and one of a trainee."""
    with StudyStore.create(tmp_path / "study", user="reader-a") as made:
        case = CaseBuilder(made)
        case.lock()
        later = case.lock("Month 3", volume_ml=0.5, volume_interval_ml=(0.4, 0.6))
        again = made.correct_reading(later.reading_id, "outline was too tight", volume_ml=0.55)
        made.lock_reading(again.reading_id, "Dr Reader", "I have reviewed this")
        case.save("Day 30")
        case.lock("Day 30", reader="learner", role="training")
        yield made


@pytest.fixture
def at_work(session, store):
    """A session with that study open."""
    session.study = store
    yield session
    session.jobs.close()
    session.study = None


def opened(qtbot, session) -> ExportWindow:
    window = open_export(session)
    window.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(window)
    qtbot.waitUntil(lambda: window.preview is not None)
    return window


def choose(qtbot, window, format_: str) -> None:
    window.formats.setCurrentRow([name for name, _title, _what in FORMATS].index(format_))
    qtbot.waitUntil(lambda: window.preview is not None or not window.refused.isHidden())


def test_that_the_dialog_has_every_format_of_the_command_line():
    assert tuple(name for name, _title, _what in FORMATS) == export_edc.FORMATS
    assert MAPPED == export_edc.MAPPED_FORMATS
    assert BY_SUBJECT == export_preview.BY_SUBJECT


def test_that_a_preview_is_the_beginning_of_what_the_export_writes_and_leaves_no_trace(store, tmp_path):
    before = store.head()
    shown = {name: export_preview.preview_export(store, name) for name in ("csv", *MAPPED)}
    assert store.head() == before
    for name, preview in shown.items():
        receipt = export_edc.export_study(store, name, tmp_path / name)
        assert [(f.name, f.records) for f in preview.files] == [(f["path"], f["rows"]) for f in receipt["files"]]
        assert preview.readings == receipt["readings"], name
        assert [f.size_bytes for f in preview.files] == [(tmp_path / name / f["path"]).stat().st_size for f in receipt["files"]]
    first = shown["csv"].files[0]
    lines = (tmp_path / "csv" / "readings.csv").read_text().splitlines()
    assert ",".join(first.head) == lines[0]
    assert len(first.rows) == len(lines) - 1
    tr = next(f for f in shown["sdtm-xpt"].files if f.name == "tr.xpt")
    assert tr.head[:2] == ("STUDYID", "DOMAIN")
    assert "<ODM" in "".join(shown["odm-1.3.2"].files[0].lines)


def test_that_what_stays_is_counted_with_its_reason(store):
    table, mapped = (export_preview.preview_export(store, name) for name in ("csv", "redcap"))
    assert (table.readings, mapped.readings) == (3, 2)
    assert {(x.code, x.count) for x in table.left_out} == {("not_locked", 1), ("superseded", 1)}
    assert {(x.code, x.count) for x in mapped.left_out} == {("not_locked", 1), ("superseded", 1), ("training", 1)}
    one = export_preview.preview_export(store, "pdf", subject_id="S-001")
    assert [row[2] for row in one.files[0].rows].count("Month 3") == 1


def test_that_a_preview_needs_the_right_to_export(store):
    add_people(store, "monitor")
    as_user(store, "monitor")
    with refused("right_missing"):
        export_preview.preview_export(store, "csv")


def test_that_the_window_previews_then_writes_and_shows_the_receipt(qtbot, at_work, store, tmp_path, monkeypatch):
    threads, begun = [], export_preview.preview_export

    def noted(*args, **options):
        threads.append(threading.current_thread())
        return begun(*args, **options)

    monkeypatch.setattr(export_preview, "preview_export", noted)
    window = opened(qtbot, at_work)
    choose(qtbot, window, "redcap")
    assert threading.main_thread() not in threads
    assert "2 locked readings" in window.goes_out.text()
    assert "1: made for training" in window.stays.text()
    assert "shipped with Nodus" in window.mapping.text()
    assert window.cells.columnCount() > 10
    assert window.cells.rowCount() == window.preview.files[0].records
    window.write(tmp_path / "out")
    qtbot.waitUntil(lambda: window.receipt is not None)
    written = window.written.model_.rows[0]
    assert written["sha256"] == hashlib.sha256((tmp_path / "out" / written["path"]).read_bytes()).hexdigest()
    assert store.events()[-1]["object"] == "export:redcap"
    window.copy_receipt.click()
    assert written["sha256"] in QGuiApplication.clipboard().text()
    assert at_work.last_exports[-1] == window.receipt


def test_that_a_report_can_be_of_a_visit_or_a_reading(qtbot, at_work, tmp_path):
    window = opened(qtbot, at_work)
    choose(qtbot, window, "redcap")
    assert not window.form.isRowVisible(window.per)
    choose(qtbot, window, "pdf")
    assert window.form.isRowVisible(window.per)
    window.per.setCurrentIndex(window.per.findData("reading"))
    window.write(tmp_path / "out")
    qtbot.waitUntil(lambda: window.receipt is not None)
    assert [f["rows"] for f in window.receipt["files"]] == [1] * window.preview.readings
    assert all(f["path"].startswith("reading-") and (tmp_path / "out" / f["path"]).is_file() for f in window.receipt["files"])


def test_that_a_refusal_comes_in_words_and_nothing_can_be_written(qtbot, at_work, tmp_path):
    content = json.loads((resources.files("resources") / "edc" / "mtt-liver.json").read_text("utf-8"))
    (tmp_path / "other.json").write_text(json.dumps(content))
    window = opened(qtbot, at_work)
    choose(qtbot, window, "odm-2.0")
    assert window.shown.currentWidget() is window.lines
    window.use_mapping(tmp_path / "other.json")
    qtbot.waitUntil(lambda: not window.refused.isHidden())
    assert "mtt-liver" in window.refused.text()
    assert not window.go.isEnabled()
    window.shipped_mapping.click()
    qtbot.waitUntil(lambda: window.preview is not None)
    assert window.refused.isHidden()
    assert window.go.isEnabled()


def test_that_the_window_goes_with_the_right_to_export(qtbot, at_work, store):
    window = opened(qtbot, at_work)
    told = Told(at_work)
    add_people(store, "judge")
    as_user(store, "judge")
    at_work.user_changed.emit()
    assert not window.isVisible()
    assert open_export(at_work) is None
    assert told.has("export")
