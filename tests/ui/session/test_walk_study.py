"""The walk through a study with users, bounded: by keys, in Chinese, with nothing on screen left in English."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication

from app.jobs import JobContext
from app.study.store import StudyStore
from app.ui.languages import use_language
from app.ui.main_window import MainWindow
from app.ui.walk.aloud import Listener, english_in
from app.ui.walk.command import study_steps
from app.ui.walk.hands import Album
from app.ui.walk.study_steps import StudyWalk
from app.ui.walk.trial import READERS, SIGNED, People, make_trial
from app.usecases.import_images import open_record
from app.usecases.readings import save_reading
from tests.factories import ellipsoid_image
from tests.ui.session.users import no_more_of

TAKEN = ("sign_in_refused", "visit_board_as_of", "cohort_spider", "audit_filtered", "export_receipt", "locked", "worklist_blinded", "blinded_signature", "adjudicate_reason", "worklist_site", "visit_board_event")  # fmt: skip


class Ear(Album):
    """Pictures are read aloud and not kept: what is on them is looked at in the walk itself."""

    def take(self, widget, name):
        QApplication.processEvents()
        self.listener.hear(widget, name)
        self.pictures.append(self.folder / name)
        return self.pictures[-1]


@pytest.fixture
def trial(study):
    """The study of one subject with pictures, which a first reader outlined at both visits, and a few more subjects."""
    with StudyStore.open(study) as store:
        node, truth = store.nodes()[0], replace(ellipsoid_image().truth, coverage_volume_ml=None)
        for visit in store.visits("S-001"):
            record = next(r for r in store.series(visit.visit_id) if r.kind == "volume")
            kept = save_reading(store, visit, node, reader=READERS[0], modality="CT", mask=truth, image=open_record(store, record, JobContext()))
            store.lock_reading(kept.reading_id, READERS[0], SIGNED)
    people = People()
    make_trial(study, people, subjects=3, with_readings=1)
    return study, people


@pytest.fixture
def chinese(styled_qapp, tmp_path, monkeypatch):
    monkeypatch.setenv("NODUS_SETTINGS", str(tmp_path / "settings.json"))
    use_language("zh-CN")
    yield
    use_language("en")


def test_that_a_study_is_walked_through_by_keys_with_nothing_left_in_english(chinese, session, told, trial, tmp_path, qtbot):
    window = MainWindow(session)
    window.is_ready = True  # the 3D view is no part of this walk
    window.show()
    qtbot.waitExposed(window)
    album = Ear(tmp_path / "album", Listener())
    walker = StudyWalk(window, album, *trial)
    try:
        for _name, step in study_steps(walker, tmp_path / "export"):
            step()
            walker.complaints.check()
    finally:
        no_more_of(window)
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert set(TAKEN) <= {place.name for place in album.pictures}
    assert album.listener.heard > 5000
    assert not album.listener.english, "\n".join(f"{text!r}: {where}" for text, where in album.listener.english.items())
    assert {"S-001", "T-001", "Baseline", "Month 3", READERS[0]} <= album.listener.names
    assert (tmp_path / "export" / "readings.csv").stat().st_size > 0
    with StudyStore.open(trial[0]) as store:
        store.sign_in("admin", trial[1].word)
        done = [(e["user"], e["action"]) for e in store.events()]
        assert ("adjudicator", "adjudicated") in done
        assert ("reader", "signed") in done
        assert [user for user, action in done if action == "sign_in_failed"] == ["manager", "manager"]  # the dialog, and the lock screen


def test_that_a_listener_tells_words_from_records():
    names = ("Baseline", "Month 3")
    assert english_in("阅片 Baseline · DICOM · 12.3 mm", names) == []
    assert english_in("C-0801CCDD · Baseline", {"08", "Baseline"}) == []  # a code stays whole where a name is a part of it
    assert english_in("Open the study", names) == ["Open", "the", "study"]
    assert english_in("R-996cdb3a7de9@1 " + "0123456789abcdef" * 4 + " readings.csv (Alt+Left)") == []
    listener = Listener()
    assert listener.english == {}
