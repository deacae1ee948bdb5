"""Peers, questions and transfers as values: what is refused before anything is sent, and what no PACS may do to us."""

from __future__ import annotations

import datetime as dt
import io

import pydicom
import pytest

from dicom_io.dicomweb import DicomWebPacs
from dicom_io.peer import Limits, PacsRefused, Peer, Query, QueryResult, matches
from dicom_io.transfer import retrieve_series
from tests.dicom_io.made import ct_slice
from tests.dicom_io.orthanc import SERIES, STUDY


def content(number: int, **elements) -> bytes:
    """One instance of the series as it arrives."""
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, ct_slice((0, 0, number), number, **elements), enforce_file_format=True)
    return buffer.getvalue()


class Scripted:
    """A PACS that does what a test says."""

    def __init__(self, listings, sends, attempts: int = 2):
        self.peer, self.limits = Peer("scripted", "localhost", 104, "PACS"), Limits(attempts=attempts, pause_s=0.0)
        self.listings, self.sends = iter(listings), iter(sends)

    def instances(self, study_uid, series_uid, *, should_cancel=None):
        return {f"2.25.1.1.{n}": "" for n in next(self.listings)}

    def fetch(self, study_uid, series_uid, wanted, whole, take, *, should_cancel=None):
        for sent in next(self.sends):
            if isinstance(sent, Exception):
                raise sent
            take(sent if isinstance(sent, bytes) else content(sent))


def refused(code: str):
    return pytest.raises(PacsRefused, check=lambda error: error.code == code)


# ---- peers ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "../x"},
        {"host": ""},
        {"host": "a b"},
        {"port": 0},
        {"port": 70000},
        {"ae_title": ""},
        {"ae_title": "    "},
        {"ae_title": "SEVENTEEN_LETTERS"},
        {"ae_title": "A\\B"},
        {"our_ae_title": "Ü"},
        {"tls": "maybe"},
        {"certificate_file": "c.pem"},
        {"url": "ftp://host/x"},
        {"url": "https://"},
        {"url": "https://user:word@host/x"},
        {"url": "https://host/x?token=1"},
        {"url": "https://host/x", "sign_in": "basic"},
    ],
)
def test_that_what_cannot_be_a_peer_is_refused(wrong):
    with refused("pacs_peer_invalid"):
        Peer(**{"name": "a", "host": "localhost", "port": 104, "ae_title": "PACS", **wrong})


@pytest.mark.parametrize("sign_in", ["basic", "bearer"])
def test_that_a_secret_is_not_sent_without_encryption(sign_in):
    with refused("pacs_token_in_clear"):
        Peer("a", url="http://pacs.example/dicom-web", sign_in=sign_in, user="u")
    assert Peer("a", url="http://127.0.0.1:8042/dicom-web", sign_in=sign_in, user="u").sign_in == sign_in


def test_that_a_token_shows_nowhere():
    pacs = DicomWebPacs(Peer("a", url="https://pacs.example/x", sign_in="bearer"), secret="s3cret-token")
    client = pacs._made()
    assert "s3cret" not in repr(pacs) + repr(vars(pacs)) + repr(pacs.peer) + repr(vars(client)) + repr(client._session.auth)


def test_that_a_missing_token_is_said():
    with refused("pacs_token_missing"):
        DicomWebPacs(Peer("a", url="https://pacs.example/x", sign_in="bearer"))


# ---- questions -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("first", "last", "text"),
    [
        (None, None, ""),
        (dt.date(2025, 1, 2), None, "20250102-"),
        (None, dt.date(2025, 1, 2), "-20250102"),
        (dt.date(2025, 1, 2), dt.date(2025, 1, 2), "20250102"),
        (dt.date(2024, 12, 31), dt.date(2025, 1, 2), "20241231-20250102"),
    ],
)
def test_that_dates_are_written_as_dicom_does(first, last, text):
    assert Query(date_from=first, date_to=last).date_range == text


@pytest.mark.parametrize("wrong", [{"patient_id": "a\\b"}, {"patient_name": "x" * 65}, {"description": "a\nb"}, {"study_uid": "../x"}, {"limit": 0}, {"date_from": dt.date(2025, 1, 2), "date_to": dt.date(2025, 1, 1)}])
def test_that_what_cannot_be_asked_is_refused(wrong):
    with refused("pacs_request_invalid"):
        Query(**wrong)


def test_that_a_pacs_that_ignores_a_field_is_corrected():
    study = QueryResult("study", "1.2", patient_id="1", study_date="2025-01-13", description="CT neck", modality="CT\\SR")
    assert Query(modality="SR", description="*NECK", date_from=dt.date(2025, 1, 13)).fits(study)
    for other in (Query(modality="US"), Query(description="neck"), Query(date_to=dt.date(2025, 1, 12)), Query(date_from=dt.date(2025, 1, 14))):
        assert not other.fits(study)
    assert Query(modality="US", description="x").fits(QueryResult("study", "1.2"))  # what it does not tell is not held against it


def test_that_patterns_are_dicoms():
    assert matches("DOE^JANE^^", "doe*")
    assert matches("DOE^JANE^^", "Doe^Jane")
    assert matches("a[1]", "a[1]")
    assert not matches("a1", "a[1]")
    assert not matches("doe", "do")


# ---- transfers -----------------------------------------------------------------------------------
def test_that_a_picture_that_was_not_asked_for_is_not_kept(tmp_path):
    strangers = [content(9), content(1, SeriesInstanceUID="2.25.7"), content(1, StudyInstanceUID="2.25.8"), b"no DICOM at all"]
    for stranger in strangers:
        with refused("pacs_mismatch"):
            retrieve_series(Scripted([[1, 2]], [[stranger]]), STUDY, SERIES, tmp_path)
        assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_that_a_series_that_grows_meanwhile_is_fetched_to_its_end(tmp_path):
    result = retrieve_series(Scripted([[1, 2], [1, 2, 3], [1, 2, 3]], [[1, 2], [3]]), STUDY, SERIES, tmp_path)
    assert (result.fetched, result.instances) == (3, 3)


def test_that_a_pacs_that_keeps_pictures_back_is_told_from_one_that_has_fewer(tmp_path):
    with refused("pacs_incomplete") as caught:
        retrieve_series(Scripted([[1, 2, 3]], [[1, 3]]), STUDY, SERIES, tmp_path)
    assert "1 of 3" in caught.value.message
    assert len(list((tmp_path / SERIES).iterdir())) == 2


def test_that_pictures_the_pacs_no_longer_has_are_not_taken_for_part_of_the_series(tmp_path):
    retrieve_series(Scripted([[1, 2], [1, 2]], [[1, 2]]), STUDY, SERIES, tmp_path)
    with refused("pacs_stray_files"):
        retrieve_series(Scripted([[2, 3], [2, 3]], [[3]]), STUDY, SERIES, tmp_path)


def test_that_tries_are_counted_only_while_nothing_new_comes(tmp_path):
    broke = PacsRefused("broke", code="pacs_interrupted")
    every = [1, 2, 3, 4, 5]
    result = retrieve_series(Scripted([every] * 6, [[1, broke], [2, broke], [3, broke], [4, broke], [5]]), STUDY, SERIES, tmp_path)
    assert result.fetched == 5
    with refused("pacs_interrupted"):
        retrieve_series(Scripted([every] * 6, [[1, broke], [broke], [broke], [2, 3, 4, 5]]), STUDY, SERIES, tmp_path / "again")


def test_that_a_refusal_that_will_not_pass_is_not_tried_again(tmp_path):
    with refused("pacs_refused"):
        retrieve_series(Scripted([[1]], [[PacsRefused("no")]]), STUDY, SERIES, tmp_path)


def test_that_a_full_disk_stops_a_retrieve_and_leaves_nothing_half(tmp_path, monkeypatch):
    import os

    def full(*_how):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with refused("write_failed"):
        retrieve_series(Scripted([[1]], [[1]]), STUDY, SERIES, tmp_path)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
