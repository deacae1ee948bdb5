"""A real PACS, asked, filled and emptied by DIMSE and DICOMweb, and killed in the middle."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import shutil
import signal
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import RLELossless

from dicom_io.dicomweb import DicomWebPacs
from dicom_io.pacs import DimsePacs
from dicom_io.peer import Limits, PacsRefused, Query
from dicom_io.transfer import PARTIAL, retrieve_series, send_files
from tests.conftest import skip_or_fail
from tests.dicom_io.made import ct_slice, save
from tests.dicom_io.orthanc import SERIES, SLICES, STUDY, Orthanc, free_port, missing, peer_for, write_series
from volumetry.errors import Cancelled

pytestmark = pytest.mark.slow
LIMITS = Limits(connect_s=10.0, idle_s=30.0, attempts=2, pause_s=0.05)  # only silence waits so long
WAYS = ("get", "move", "web")
BREAKS = ("pacs_unreachable", "pacs_interrupted", "pacs_timeout")


def speak(server: Orthanc, how: str, *, limits: Limits = LIMITS, **changes):
    peer = peer_for(server, how, **changes)
    return DicomWebPacs(peer, limits=limits) if how == "web" else DimsePacs(peer, limits=limits)


@pytest.fixture(scope="module")
def series(tmp_path_factory) -> Path:
    return write_series(tmp_path_factory.mktemp("series"))


@pytest.fixture(scope="module")
def pacs(tmp_path_factory, series):
    """A PACS that holds the series and one study more; tests only read it."""
    if missing():
        skip_or_fail(missing())
    server = Orthanc(tmp_path_factory.mktemp("orthanc"))
    try:
        server.start()
        send_files(speak(server, "get"), [series])
        other = tmp_path_factory.mktemp("other")
        for n in range(3):
            save(ct_slice((0, 0, n), n + 1, series=40 + n, Modality="MR", StudyInstanceUID="2.25.1.9.2", PatientID="INV-78", PatientName="Other^Otto", AccessionNumber="B1", StudyDate="20240630", StudyDescription="MR liver"), other / f"{n}.dcm")
        send_files(speak(server, "get"), [other])
        yield server
    finally:
        server.kill()


@pytest.fixture
def own_pacs(tmp_path, series):
    """A PACS of one test's own, to be killed; it holds the series."""
    if missing():
        skip_or_fail(missing())
    server = Orthanc(tmp_path / "orthanc")
    try:
        server.start()
        send_files(speak(server, "get"), [series])
        yield server
    finally:
        server.kill()


def refused(code: str):
    return pytest.raises(PacsRefused, check=lambda error: error.code == code)


def whole_files(folder: Path) -> dict[str, pydicom.Dataset]:
    """What a folder holds; every file must be readable to its end and nothing else may be there."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    assert [p.name for p in files if not p.name.endswith(".dcm")] == []
    read = [pydicom.dcmread(p) for p in files]
    assert all(d.pixel_array.size == 30 for d in read)
    assert [p.stem for p in files] == [d.SOPInstanceUID for d in read]
    return {d.SOPInstanceUID: d for d in read}


# ---- asking --------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", WAYS[1:])
def test_that_a_pacs_that_is_there_answers(pacs, how):
    assert speak(pacs, how).echo() > 0


@pytest.mark.parametrize("how", ["get", "web"])
@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["INV-77", "INV-78"]),
        ({"patient_id": "INV-77"}, ["INV-77"]),
        ({"patient_id": "INV-*"}, ["INV-77", "INV-78"]),
        ({"patient_name": "Erf*"}, ["INV-77"]),
        ({"patient_name": "Erfunden^Änne"}, ["INV-77"]),
        ({"patient_name": "?ther*"}, ["INV-78"]),
        ({"date_from": dt.date(2025, 1, 1)}, ["INV-77"]),
        ({"date_to": dt.date(2024, 12, 31)}, ["INV-78"]),
        ({"date_from": dt.date(2024, 6, 30), "date_to": dt.date(2024, 6, 30)}, ["INV-78"]),
        ({"date_from": dt.date(2024, 7, 1), "date_to": dt.date(2025, 1, 12)}, []),
        ({"modality": "MR"}, ["INV-78"]),
        ({"modality": "US"}, []),
        ({"description": "*neck*"}, ["INV-77"]),
        ({"patient_id": "nobody"}, []),
        ({"accession": "A24-00310"}, ["INV-77"]),
        ({"accession": "A24-00311"}, []),
    ],
)
def test_that_studies_are_found_by_what_a_radiologist_knows(pacs, how, asked, found):
    answer = speak(pacs, how).find(Query(**asked))
    assert sorted(r.patient_id for r in answer.results) == found
    assert not answer.more


@pytest.mark.parametrize("how", ["get", "web"])
def test_that_an_answer_says_what_a_radiologist_recognises(pacs, how):
    (study,) = speak(pacs, how).find(Query(patient_id="INV-77")).results
    assert (study.level, study.patient_name, study.study_date, study.description, study.modality, study.accession) == ("study", "Erfunden^Änne", "2025-01-13", "CT neck", "CT", "A24-00310")
    assert (study.series_count, study.instance_count, study.study_uid) == (1, SLICES, STUDY)
    (one,) = speak(pacs, how).find(Query(study_uid=STUDY)).results
    assert (one.level, one.series_uid, one.description, one.modality, one.series_number, one.instance_count) == ("series", SERIES, "axial", "CT", 3, SLICES)


@pytest.mark.parametrize("how", ["get", "web"])
def test_that_more_than_asked_for_is_said_and_not_taken(pacs, how):
    answer = speak(pacs, how).find(Query(study_uid="2.25.1.9.2", limit=2))
    assert (len(answer.results), answer.more) == (2, True)
    assert not speak(pacs, how).find(Query(study_uid="2.25.1.9.2", limit=3)).more


# ---- getting -------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", WAYS)
def test_that_a_series_arrives_as_it_was_stored(pacs, how, tmp_path, series):
    told = []
    result = retrieve_series(speak(pacs, how), STUDY, SERIES, tmp_path, progress=lambda text, f: told.append(f))
    assert (result.fetched, result.already_there) == (SLICES, 0)
    arrived, sent = whole_files(tmp_path), {d.SOPInstanceUID: d for d in map(pydicom.dcmread, series.iterdir())}
    assert arrived == sent
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.mark.parametrize("how", WAYS)
def test_that_what_is_there_is_not_fetched_again(pacs, how, tmp_path):
    retrieve_series(speak(pacs, how), STUDY, SERIES, tmp_path)
    files = sorted((tmp_path / SERIES).iterdir())
    for path in files[:5]:
        path.unlink()
    before = {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in files[5:]}
    again = retrieve_series(speak(pacs, how), STUDY, SERIES, tmp_path)
    assert (again.fetched, again.already_there) == (5, SLICES - 5)
    assert {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in files[5:]} == before
    assert len(whole_files(tmp_path)) == SLICES
    third = retrieve_series(speak(pacs, how), STUDY, SERIES, tmp_path)
    assert (third.fetched, third.already_there) == (0, SLICES)


@pytest.mark.parametrize("how", WAYS)
def test_that_a_series_that_does_not_exist_is_said(pacs, how, tmp_path):
    with refused("pacs_nothing_found"):
        retrieve_series(speak(pacs, how), STUDY, "2.25.404", tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("how", WAYS)
def test_that_a_compressed_picture_comes_in_its_compression(own_pacs, how, tmp_path):
    ds = ct_slice((0, 0, 0), 1, series=60, array=np.arange(64 * 64, dtype=np.int16).reshape(64, 64))
    ds.compress(RLELossless, generate_instance_uid=False)
    path = save(ds, tmp_path / "in" / "rle.dcm")
    assert send_files(speak(own_pacs, how), [path]).sent == 1
    result = retrieve_series(speak(own_pacs, how), STUDY, "2.25.1.60", tmp_path / "out")
    back = pydicom.dcmread(next(result.folder.iterdir()))
    assert back.file_meta.TransferSyntaxUID == RLELossless
    assert back.PixelData == pydicom.dcmread(path).PixelData


# ---- the PACS dies -------------------------------------------------------------------------------
def killing(server: Orthanc, after: int, then=None):
    """A progress listener that kills the PACS once so many are done, once."""
    done: list[float] = []

    def listen(_text: str, fraction: float | None) -> None:
        if fraction is not None and fraction >= after / SLICES and not done:
            done.append(fraction)
            server.kill()
            if then is not None:
                then()

    return listen


@pytest.mark.parametrize("how", WAYS)
def test_that_a_retrieve_whose_pacs_is_killed_leaves_whole_files_and_completes_later(own_pacs, how, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(PacsRefused, match="nothing was imported") as caught:
        retrieve_series(speak(own_pacs, how), STUDY, SERIES, out, progress=killing(own_pacs, 4))
    assert caught.value.code in BREAKS
    came = whole_files(out)
    assert 4 <= len(came) < SLICES
    assert f"{len(came)} of {SLICES}" in caught.value.message
    own_pacs.start()
    again = retrieve_series(speak(own_pacs, how), STUDY, SERIES, out)
    assert (again.fetched, again.already_there) == (SLICES - len(came), len(came))
    assert len(whole_files(out)) == SLICES


@pytest.mark.parametrize("how", WAYS)
def test_that_a_retrieve_goes_on_by_itself_when_the_pacs_is_back(own_pacs, how, tmp_path):
    result = retrieve_series(speak(own_pacs, how), STUDY, SERIES, tmp_path / "out", progress=killing(own_pacs, 4, own_pacs.start))
    assert result.instances == SLICES
    assert len(whole_files(tmp_path / "out")) == SLICES


@pytest.mark.parametrize("how", ["get", "web"])
def test_that_a_send_whose_pacs_is_killed_says_how_far_it_came_and_completes_later(own_pacs, how, series):
    own_pacs.empty()
    with pytest.raises(PacsRefused, match=f"of {SLICES} files are at the PACS") as caught:
        send_files(speak(own_pacs, how), [series], progress=killing(own_pacs, 4))
    assert caught.value.code in BREAKS
    own_pacs.start()
    there = own_pacs.count()
    assert 4 <= there < SLICES
    again = send_files(speak(own_pacs, how), [series])
    assert (again.sent, again.already_there, again.left_out) == (SLICES - there, there, ())
    assert own_pacs.count() == SLICES


@pytest.mark.parametrize("how", WAYS)
def test_that_leftovers_of_a_killed_program_are_swept_and_taken_for_nothing(pacs, how, tmp_path):
    (tmp_path / SERIES).mkdir()
    (tmp_path / SERIES / f"{PARTIAL}abc").write_bytes(b"half of a picture")
    (tmp_path / SERIES / "2.25.1.1.1.dcm").write_bytes(b"")  # a name without content, as after a power cut
    result = retrieve_series(speak(pacs, how), STUDY, SERIES, tmp_path)
    assert result.fetched == SLICES
    assert len(whole_files(tmp_path)) == SLICES


# ---- the user stops, the PACS falls silent -------------------------------------------------------
@pytest.mark.parametrize("how", WAYS)
def test_that_a_cancelled_retrieve_stops_and_can_be_taken_up(pacs, how, tmp_path):
    there: list[float] = []
    with pytest.raises(Cancelled):
        retrieve_series(speak(pacs, how), STUDY, SERIES, tmp_path, progress=lambda _text, f: there.append(f), should_cancel=lambda: bool(there) and there[-1] >= 3 / SLICES)
    kept = whole_files(tmp_path)
    assert 3 <= len(kept) < SLICES
    assert retrieve_series(speak(pacs, how), STUDY, SERIES, tmp_path).fetched == SLICES - len(kept)


@pytest.mark.parametrize("how", WAYS)
def test_that_a_listener_that_stops_the_job_stops_the_retrieve(pacs, how, tmp_path):
    def listen(_text: str, fraction: float | None) -> None:
        if fraction is not None and fraction >= 3 / SLICES:
            raise Cancelled

    with pytest.raises(Cancelled):
        retrieve_series(speak(pacs, how), STUDY, SERIES, tmp_path, progress=listen)
    assert 3 <= len(whole_files(tmp_path)) < SLICES


@pytest.fixture
def frozen(own_pacs):
    """Freeze the PACS in the middle of whatever it does."""

    def freeze(*_how) -> None:
        os.kill(own_pacs.process.pid, signal.SIGSTOP)

    yield freeze
    if own_pacs.process is not None:
        os.kill(own_pacs.process.pid, signal.SIGCONT)


@pytest.mark.parametrize("how", ["get", "web"])
def test_that_a_pacs_that_falls_silent_is_given_up(own_pacs, how, frozen, tmp_path):
    frozen()
    with refused("pacs_timeout"):
        speak(own_pacs, how, limits=Limits(connect_s=1.0, idle_s=1.0, attempts=1)).find(Query())


@pytest.mark.parametrize("how", WAYS)
def test_that_silence_in_the_middle_of_a_retrieve_is_given_up(own_pacs, how, frozen, tmp_path):
    silent: list[float] = []

    def listen(_text: str, fraction: float) -> None:
        if fraction >= 4 / SLICES and not silent:
            silent.append(fraction)
            frozen()

    with refused("pacs_timeout"):
        retrieve_series(speak(own_pacs, how, limits=Limits(connect_s=1.0, idle_s=1.0, attempts=1)), STUDY, SERIES, tmp_path / "out", progress=listen)
    assert 4 <= len(whole_files(tmp_path / "out")) < SLICES


@pytest.mark.parametrize("how", ["get", "move"])
def test_that_cancel_works_while_the_pacs_is_silent(own_pacs, how, frozen, tmp_path):
    stop = threading.Event()
    timer = threading.Timer(0.8, stop.set)

    def listen(_text: str, fraction: float) -> None:
        if fraction >= 4 / SLICES and not timer.is_alive() and not stop.is_set():
            frozen()
            timer.start()

    with pytest.raises(Cancelled):
        retrieve_series(speak(own_pacs, how, limits=Limits(idle_s=60.0)), STUDY, SERIES, tmp_path / "out", progress=listen, should_cancel=stop.is_set)
    timer.join()


def test_that_no_connection_leaves_a_thread_behind(pacs, tmp_path):
    before = set(threading.enumerate())
    retrieve_series(speak(pacs, "move"), STUDY, SERIES, tmp_path)
    with pytest.raises(Cancelled):
        speak(pacs, "get").find(Query(), should_cancel=lambda: True)
    until = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < until:
        time.sleep(0.05)
    assert set(threading.enumerate()) - before == set()


# ---- it is not there, or does not know us --------------------------------------------------------
@pytest.mark.parametrize("how", ["get", "web"])
def test_that_a_wrong_port_is_said(pacs, how):
    peer = dataclasses.replace(peer_for(pacs, how), **({"url": f"http://127.0.0.1:{free_port()}/dicom-web"} if how == "web" else {"port": free_port()}))
    with refused("pacs_unreachable"):
        (DicomWebPacs if how == "web" else DimsePacs)(peer, limits=LIMITS).echo()


@pytest.mark.parametrize("how", ["get", "web"])
def test_that_a_port_that_says_nothing_is_given_up(how, pacs):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        peer = dataclasses.replace(peer_for(pacs, how), **({"url": f"http://127.0.0.1:{port}/dicom-web"} if how == "web" else {"port": port}))
        with refused("pacs_timeout"):
            (DicomWebPacs if how == "web" else DimsePacs)(peer, limits=Limits(connect_s=1.0, idle_s=1.5, attempts=1)).echo()


def test_that_a_host_that_does_not_exist_is_said(pacs, monkeypatch):
    def unknown(*_how, **_named):
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with refused("pacs_unreachable"):
        DimsePacs(dataclasses.replace(peer_for(pacs, "get"), host="nowhere.invalid"), limits=LIMITS).echo()


def test_that_a_pacs_that_does_not_know_our_title_rejects_us_in_plain_words(pacs):
    with refused("pacs_rejected") as caught:
        speak(pacs, "get", our_ae_title="STRANGER").find(Query())
    assert "STRANGER" in caught.value.message


def test_that_a_wrong_title_of_the_pacs_is_told_from_ours(pacs):
    with refused("pacs_rejected") as caught:
        speak(pacs, "get", ae_title="ANOTHER").echo()
    assert "ANOTHER" in caught.value.message


def test_that_an_address_without_dicomweb_is_said(pacs):
    for tail, codes in (("/nothing-here", {"pacs_nothing_found", "pacs_not_supported"}), ("/app/explorer.html", {"pacs_not_supported", "pacs_nothing_found", "pacs_refused"})):
        peer = dataclasses.replace(peer_for(pacs, "web"), url=f"http://127.0.0.1:{pacs.http_port}{tail}")
        with pytest.raises(PacsRefused) as caught:
            DicomWebPacs(peer, limits=LIMITS).echo()
        assert caught.value.code in codes


# ---- sending -------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["get", "web"])
def test_that_what_the_pacs_has_is_not_sent_again_and_other_files_are_named(own_pacs, how, tmp_path, series):
    folder = shutil.copytree(series, tmp_path / "mixed")
    write_series(folder / "more", slices=2, series=2)
    (folder / "readme.txt").write_text("no DICOM")
    result = send_files(speak(own_pacs, how), [folder])
    assert (result.sent, result.already_there) == (2, SLICES)
    assert [(x.file, x.code) for x in result.left_out] == [("readme.txt", "not_dicom")]
    assert own_pacs.count() == SLICES + 2


def test_that_nothing_to_send_is_said(pacs, tmp_path):
    (tmp_path / "note.txt").write_text("no DICOM")
    with refused("nothing_to_send"):
        send_files(speak(pacs, "get"), [tmp_path])
    with refused("file_missing"):
        send_files(speak(pacs, "get"), [tmp_path / "absent"])


def test_that_a_cancelled_send_stops_between_files(own_pacs, series):
    own_pacs.empty()
    done: list[float] = []
    with pytest.raises(Cancelled):
        send_files(speak(own_pacs, "get"), [series], progress=lambda _text, f: done.append(f), should_cancel=lambda: bool(done) and done[-1] >= 3 / SLICES)
    assert 3 <= own_pacs.count() < SLICES
