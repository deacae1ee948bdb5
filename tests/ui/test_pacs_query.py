"""A PACS in the window, by the widgets a reader uses: found, retrieved, cancelled, sent; the window stays alive."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading

import pydicom
import pytest
from PySide6.QtCore import Qt
from shiboken6 import isValid

from app.study.store import StudyStore
from app.ui.dialogs.pacs_peers import PacsPeersDialog
from app.ui.dialogs.pacs_query import PacsQueryDialog
from app.ui.dialogs.pacs_send import PacsSendDialog
from app.ui.models.pacs import begins, days_of, person, within
from app.usecases import pacs as usecase
from app.usecases.pacs import load_peers, save_peer
from dicom_io.pacs import DimsePacs
from dicom_io.peer import Peer
from dicom_io.transfer import send_files
from tests.conftest import skip_or_fail
from tests.dicom_io.made import ct_slice, save, us_picture
from tests.dicom_io.orthanc import SERIES, SLICES, Orthanc, missing, peer_for, write_series

WAIT_MS = 30_000
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    """Nothing of the person who runs the tests is read or changed."""
    monkeypatch.setenv("NODUS_SETTINGS", str(tmp_path / "config" / "settings.json"))
    monkeypatch.setattr(usecase, "cache_folder", lambda: tmp_path / "cache")


@pytest.fixture(scope="module")
def pacs(tmp_path_factory):
    """A PACS with two series of one invented patient and one of another."""
    if missing():
        skip_or_fail(missing())
    server = Orthanc(tmp_path_factory.mktemp("orthanc"))
    folder = tmp_path_factory.mktemp("series")
    write_series(folder / "a")
    write_series(folder / "b", series=2, slices=3, SeriesDescription="venous", SeriesNumber=10)
    save(ct_slice((0, 0, 0), 1, series=40, Modality="MR", StudyInstanceUID="2.25.1.9.2", PatientID="INV-78", PatientName="Other^Otto", StudyDate="20240630", StudyDescription="MR liver"), folder / "c.dcm")
    try:
        server.start()
        send_files(DimsePacs(peer_for(server, "get")), [folder])
        yield server
    finally:
        server.kill()


@pytest.fixture
def study(qtbot, session, tmp_path):
    StudyStore.create(tmp_path / "study", user="tester").close()
    session.open_study(tmp_path / "study")
    qtbot.waitUntil(lambda: session.study is not None and not session.jobs.is_busy(), timeout=WAIT_MS)
    yield session
    session.close()


@pytest.fixture
def told(session):
    lines: list[str] = []
    session.notice.connect(lambda _severity, text: lines.append(text))
    session.jobs.failed.connect(lambda _error, text: lines.append("bug: " + text))
    yield lines
    assert [x for x in lines if x.startswith("bug")] == []


BOTH = pytest.mark.parametrize("dialog", ["get", "web"], indirect=True)  # what the window does is the same; how it is spoken is proved below it


@pytest.fixture
def dialog(request, qtbot, study, pacs, told):
    save_peer(dataclasses.replace(peer_for(pacs, getattr(request, "param", "get")), name="Radiology"))
    made = PacsQueryDialog(study)
    made.show()
    yield made
    if isValid(made):
        made.close()


def settle(qtbot, session) -> None:
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=WAIT_MS)


def rows(dialog) -> list[list[str]]:
    table = dialog.results
    return [[table.topLevelItem(n).text(c) for c in range(8)] for n in range(table.topLevelItemCount())]


def find(qtbot, dialog, **typed) -> None:
    for name, text in typed.items():
        getattr(dialog, name).setText(text)
    qtbot.mouseClick(dialog.search_button, Qt.MouseButton.LeftButton)
    settle(qtbot, dialog.session)


def choose(qtbot, dialog, *, series: int | None = None, subject: str = "S-014", visit: str = "Baseline"):
    """Select the neck CT, or one of its series, and say where to."""
    row = next(r for r in (dialog.results.topLevelItem(n) for n in range(dialog.results.topLevelItemCount())) if r.text(4) == "CT neck")
    if series is not None:
        row.setExpanded(True)
        settle(qtbot, dialog.session)
        row = row.child(series)
    dialog.results.clearSelection()
    row.setSelected(True)
    dialog.subject.setCurrentText(subject)
    dialog.visit.setCurrentText(visit)
    return row


# ---- finding -------------------------------------------------------------------------------------
@BOTH
def test_that_studies_appear_as_a_radiologist_reads_them(qtbot, dialog):
    assert not dialog.isModal()
    find(qtbot, dialog)
    assert rows(dialog) == [["Erfunden, Änne", "INV-77", "2025-01-13", "CT", "CT neck", "A24-00310", "2", "15"], ["Other, Otto", "INV-78", "2024-06-30", "MR", "MR liver", "", "1", "1"]]
    assert "2 studies" in dialog.state.text()


@pytest.mark.parametrize(("typed", "found"), [({"patient_name": "erfunden"}, ["INV-77"]), ({"patient_name": "Other, O"}, ["INV-78"]), ({"patient_id": "INV-78"}, ["INV-78"]), ({"accession": "A24-00310"}, ["INV-77"]), ({"description": "NECK"}, ["INV-77"]), ({"patient_id": "7"}, [])])
def test_that_what_is_typed_is_found(qtbot, dialog, typed, found):
    find(qtbot, dialog, **typed)
    assert [r[1] for r in rows(dialog)] == found
    assert found or "Nothing was found" in dialog.state.text()


def test_that_dates_and_modality_narrow_the_search(qtbot, dialog):
    dialog.modality.setCurrentText("MR")
    find(qtbot, dialog)
    assert [r[1] for r in rows(dialog)] == ["INV-78"]
    dialog.modality.setCurrentIndex(0)
    assert not dialog.first.isVisible()
    dialog.dates.setCurrentIndex(dialog.dates.count() - 1)
    assert dialog.first.isVisible()
    dialog.first.setDate(dt.date(2025, 1, 1))
    dialog.last.setDate(dt.date(2025, 1, 31))
    find(qtbot, dialog)
    assert [r[1] for r in rows(dialog)] == ["INV-77"]
    dialog.last.setDate(dt.date(2024, 1, 31))
    find(qtbot, dialog)
    assert "after the last" in dialog.state.text()


def test_that_the_table_sorts_and_series_keep_their_order(qtbot, dialog):
    find(qtbot, dialog)
    choose(qtbot, dialog, series=0)
    for order in (Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder):
        dialog.results.sortByColumn(7, order)
        assert [r[7] for r in rows(dialog)] == (["1", "15"] if order == Qt.SortOrder.AscendingOrder else ["15", "1"])
        study = next(dialog.results.topLevelItem(n) for n in range(2) if dialog.results.topLevelItem(n).childCount())
        assert [study.child(n).text(0) for n in range(2)] == ["Series 3", "Series 10"]
        assert [study.child(n).text(7) for n in range(2)] == [str(SLICES), "3"]


# ---- retrieving ----------------------------------------------------------------------------------
@BOTH
def test_that_a_series_is_retrieved_into_the_visit_and_opened(qtbot, dialog, study):
    find(qtbot, dialog)
    assert not dialog.retrieve_button.isEnabled()
    choose(qtbot, dialog, series=0)
    assert "1 series of Erfunden, Änne (INV-77) into S-014, Baseline" in dialog.why_not.text()
    qtbot.mouseClick(dialog.retrieve_button, Qt.MouseButton.LeftButton)
    assert dialog.running.isVisible()
    assert not dialog.retrieve_button.isEnabled()
    qtbot.waitUntil(lambda: study.image is not None, timeout=WAIT_MS)
    settle(qtbot, study)
    assert (study.subject_id, study.visit.name, study.image.array.shape[0]) == ("S-014", "Baseline", SLICES)
    assert not dialog.running.isVisible()
    assert "imported" in dialog.state.text()


def test_that_a_whole_study_is_retrieved(qtbot, dialog, study):
    find(qtbot, dialog)
    choose(qtbot, dialog)
    dialog.retrieve()
    qtbot.waitUntil(lambda: study.visit is not None, timeout=WAIT_MS)
    settle(qtbot, study)
    assert sorted(s.description for s in study.series) == ["CT volume, 12 slices", "CT volume, 3 slices"]


def test_that_pictures_of_two_patients_are_not_put_under_one_pseudonym(qtbot, dialog):
    find(qtbot, dialog)
    choose(qtbot, dialog)
    dialog.results.selectAll()
    assert not dialog.retrieve_button.isEnabled()
    assert "several patients" in dialog.why_not.text()


@pytest.mark.parametrize(("subject", "visit", "words"), [("", "Baseline", "pseudonym"), ("Änne E", "Baseline", "Never a name"), ("S-014", " ", "which visit")])
def test_that_what_is_missing_is_said(qtbot, dialog, subject, visit, words):
    find(qtbot, dialog)
    choose(qtbot, dialog, subject=subject, visit=visit)
    assert not dialog.retrieve_button.isEnabled()
    assert words in dialog.why_not.text()


@pytest.fixture
def held(monkeypatch):
    """Hold a retrieve after three pictures until it is let go."""
    from dicom_io.transfer import Incoming

    go, reached, take = threading.Event(), threading.Event(), Incoming.take

    def slow(self, content, wanted):
        uid = take(self, content, wanted)
        if len(self.have()) == 3:
            reached.set()
            go.wait(20)
        return uid

    monkeypatch.setattr(Incoming, "take", slow)
    yield reached, go
    go.set()


@BOTH
def test_that_a_retrieve_is_cancelled_imports_nothing_and_goes_on_later(qtbot, dialog, study, held, tmp_path):
    reached, go = held
    find(qtbot, dialog)
    choose(qtbot, dialog, series=0)
    dialog.retrieve()
    qtbot.waitUntil(reached.is_set, timeout=WAIT_MS)
    qtbot.mouseClick(dialog.cancel_button, Qt.MouseButton.LeftButton)
    go.set()
    settle(qtbot, study)
    assert "nothing was imported" in dialog.state.text()
    assert study.study.subjects() == []
    assert len(list((tmp_path / "cache").rglob("*.dcm"))) == 3
    dialog.retrieve()
    qtbot.waitUntil(lambda: study.image is not None, timeout=WAIT_MS)
    settle(qtbot, study)
    assert study.image.array.shape[0] == SLICES
    assert list((tmp_path / "cache").rglob("*.dcm")) == []


def test_that_a_slow_pacs_holds_up_no_writing_and_no_window(qtbot, dialog, study, held):
    reached, go = held
    find(qtbot, dialog)
    choose(qtbot, dialog, series=0)
    dialog.retrieve()
    qtbot.waitUntil(reached.is_set, timeout=WAIT_MS)
    with qtbot.waitSignal(study.saved, timeout=WAIT_MS):
        study.save()
    assert not go.is_set()  # saved while the PACS still keeps us waiting
    go.set()
    settle(qtbot, study)


def test_that_closing_the_dialog_stops_no_retrieve(qtbot, dialog, study, held):
    reached, go = held
    find(qtbot, dialog)
    choose(qtbot, dialog, series=0)
    dialog.retrieve()
    qtbot.waitUntil(reached.is_set, timeout=WAIT_MS)
    dialog.close()
    go.set()
    qtbot.waitUntil(lambda: study.image is not None, timeout=WAIT_MS)
    settle(qtbot, study)
    assert study.visit.name == "Baseline"


def test_that_a_study_closed_meanwhile_gets_nothing(qtbot, dialog, study, held, told, tmp_path):
    reached, go = held
    find(qtbot, dialog)
    choose(qtbot, dialog, series=0)
    dialog.retrieve()
    qtbot.waitUntil(reached.is_set, timeout=WAIT_MS)
    StudyStore.create(tmp_path / "another", user="tester").close()
    first = study.study
    study.open_study(tmp_path / "another")
    qtbot.waitUntil(lambda: study.study is not first, timeout=WAIT_MS)
    go.set()
    settle(qtbot, study)
    assert study.study.subjects() == []
    assert any("nothing was imported" in x for x in told)


def test_that_closing_a_dialog_that_searches_is_harmless(qtbot, dialog, study):
    dialog.search()
    dialog.close()
    settle(qtbot, study)


def test_that_what_may_show_a_name_is_shown_before_it_is_imported(qtbot, dialog, study, pacs, tmp_path):
    from app.ui.dialogs.review_pictures import PICTURE, ReviewDialog

    save(us_picture(StudyInstanceUID="2.25.1.9.1", SeriesInstanceUID="2.25.1.80", PatientID="INV-77", PatientName="Erfunden^Änne", SpecificCharacterSet="ISO_IR 192", StudyDescription="CT neck", StudyDate="20250113", SeriesNumber=80), tmp_path / "us" / "us.dcm")
    send_files(DimsePacs(peer_for(pacs, "get")), [tmp_path / "us"])
    try:
        find(qtbot, dialog)
        choose(qtbot, dialog, series=2)
        dialog.retrieve()
        qtbot.waitUntil(lambda: dialog.findChild(ReviewDialog) is not None, timeout=WAIT_MS)
        assert study.study.subjects() == []
        asked = dialog.findChild(ReviewDialog)
        asked.list.topLevelItem(0).setCheckState(PICTURE, Qt.CheckState.Checked)
        asked.accept()
        qtbot.waitUntil(lambda: study.visit is not None, timeout=WAIT_MS)
        settle(qtbot, study)
        assert [r.kind for r in study.series] == ["still"]
    finally:
        (one,) = pacs.rest("/tools/lookup", "POST", b"2.25.1.80")
        pacs.rest(one["Path"], "DELETE")


# ---- trouble, and the list of PACS ---------------------------------------------------------------
def test_that_a_pacs_that_is_not_there_is_said_in_the_dialog(qtbot, study, told):
    save_peer(Peer("Gone", "127.0.0.1", 1, "GONE"))
    dialog = PacsQueryDialog(study)
    dialog.show()
    find(qtbot, dialog)
    assert "nothing listens" in dialog.state.text()
    assert dialog.state.property("tone") == "danger"
    qtbot.mouseClick(dialog.test_button, Qt.MouseButton.LeftButton)
    settle(qtbot, study)
    assert "nothing listens" in dialog.state.text()
    dialog.close()


def test_that_a_pacs_is_entered_asked_changed_and_removed(qtbot, study, pacs, told):
    query = PacsQueryDialog(study)
    query.show()
    assert not query.search_button.isEnabled()
    assert "PACS list" in query.state.text()
    query.list_button.click()
    dialog = query.findChild(PacsPeersDialog)
    assert not dialog.accept_button.isEnabled()
    for field, text in ((dialog.name, "Radiology"), (dialog.host, "127.0.0.1"), (dialog.ae_title, "ORTHANC")):
        field.setText(text)
    dialog.port.setValue(pacs.dicom_port)
    assert dialog.accept_button.isEnabled()
    dialog.test_button.click()
    settle(qtbot, study)
    assert "answers" in dialog.answer.text()
    dialog.ae_title.setText("WRONG")
    dialog.test_button.click()
    settle(qtbot, study)
    assert "WRONG" in dialog.answer.text()
    dialog.ae_title.setText("ORTHANC")
    dialog.accept()
    settle(qtbot, study)
    assert load_peers() == [Peer("Radiology", "127.0.0.1", pacs.dicom_port, "ORTHANC")]
    assert query.peer.currentText() == "Radiology"
    query.list_button.click()
    qtbot.waitUntil(lambda: any(d.isVisible() for d in query.findChildren(PacsPeersDialog)), timeout=5000)
    dialog = next(d for d in query.findChildren(PacsPeersDialog) if d.isVisible())
    assert dialog.name.isReadOnly()
    dialog.remove_button.click()
    settle(qtbot, study)
    assert load_peers() == []
    assert not query.search_button.isEnabled()
    dialog.reject()
    query.close()


def test_that_a_token_is_typed_hidden_and_asks_for_https(qtbot, study):
    dialog = PacsPeersDialog(study)
    dialog.open()
    dialog.name.setText("Archive")
    dialog.kind.setCurrentIndex(1)
    dialog.url.setText("http://pacs.example/dicom-web")
    dialog.sign_in.setCurrentIndex(2)
    assert dialog.secret.echoMode() == dialog.secret.EchoMode.Password
    assert "without encryption" in dialog.missing.text()
    dialog.url.setText("https://pacs.example/dicom-web")
    assert dialog.accept_button.isEnabled()
    assert not dialog.host.isVisible()
    dialog.reject()


# ---- sending -------------------------------------------------------------------------------------
def test_that_a_folder_is_sent_after_a_warning(qtbot, study, pacs, told, tmp_path):
    save_peer(dataclasses.replace(peer_for(pacs, "get"), name="Radiology"))
    write_series(tmp_path / "more", series=9, slices=2, StudyInstanceUID="2.25.1.9.3", StudyDescription="sent")
    before = pacs.count()
    dialog = PacsSendDialog(study)
    dialog.open()
    dialog.what.setCurrentIndex(dialog.what.count() - 1)
    assert "every name and date" in dialog.says.text()
    assert not dialog.accept_button.isEnabled()
    dialog.folder.setText(str(tmp_path / "more"))
    dialog.accept_button.click()
    settle(qtbot, study)
    assert pacs.count() == before + 2
    assert any("2 files sent to Radiology" in x for x in told)


def test_that_an_export_without_a_locked_reading_is_refused_and_nothing_leaves(qtbot, study, pacs, told):
    save_peer(dataclasses.replace(peer_for(pacs, "get"), name="Radiology"))
    before = pacs.count()
    dialog = PacsSendDialog(study)
    dialog.open()
    dialog.accept_button.click()
    settle(qtbot, study)
    assert pacs.count() == before
    assert any("no locked reading" in x for x in told)


def test_that_the_study_menu_offers_both(qtbot, study):
    from app.ui.main_window import MainWindow

    window = MainWindow(study)
    qtbot.addWidget(window)
    window.show()
    texts = [a.text() for a in window.menus["study"].menu().actions()]
    assert {"Query the PACS…", "Receive from a scanner…", "Send to the PACS…"} <= set(texts)
    window.qactions["pacs_query"].trigger()
    dialog = window.findChild(PacsQueryDialog)
    assert dialog.isVisible()
    assert not dialog.isModal()
    dialog.close()
    window.close()


# ---- words ---------------------------------------------------------------------------------------
def test_that_names_and_searches_are_words():
    assert [person(x) for x in ("DOE^JANE", "DOE", "DOE^JANE^M^Dr", "Yamada^Tarou=山田^太郎", "")] == ["DOE, JANE", "DOE", "DOE, JANE M", "Yamada, Tarou", ""]
    assert [begins(x) for x in ("", " doe ", "doe, j", "d?e", "*oe")] == ["", "doe*", "doe^j*", "d?e", "*oe"]
    assert [within(x) for x in ("", "neck", "ct*")] == ["", "*neck*", "ct*"]
    day = dt.date(2025, 3, 1)
    assert days_of("week", day, day, day) == (dt.date(2025, 2, 23), day)
    assert days_of("today", day, day, day) == (day, day)
    assert days_of("any", day, day, day) == (None, None)


def test_that_what_was_retrieved_is_the_series_asked_for(qtbot, dialog, study):
    find(qtbot, dialog)
    choose(qtbot, dialog, series=1, visit="Month 3")
    dialog.retrieve()
    qtbot.waitUntil(lambda: study.image is not None, timeout=WAIT_MS)
    settle(qtbot, study)
    assert study.image.array.shape[0] == 3
    stored = [pydicom.dcmread(study.study.series_folder(r) / f) for r in study.series for f in r.files]
    assert all(d.PatientID == "S-014" and d.SeriesInstanceUID != SERIES for d in stored)
