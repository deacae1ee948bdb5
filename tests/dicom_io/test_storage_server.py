"""The door for what a scanner sends: who may come in, what is kept, and what is said about it."""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pynetdicom import AE, build_context

from dicom_io import storage_server
from dicom_io.pacs import DimsePacs
from dicom_io.peer import Limits, PacsRefused, Peer, door_context
from dicom_io.storage_server import Received, StorageServer
from dicom_io.transfer import PARTIAL, send_files
from tests.dicom_io.certificates import Authority
from tests.dicom_io.made import CT, ct_slice, save
from tests.dicom_io.orthanc import SERIES, STUDY, free_port, write_series

LIMITS = Limits(connect_s=2.0, idle_s=5.0, attempts=1)


@pytest.fixture
def series(tmp_path) -> Path:
    return write_series(tmp_path / "series", slices=4)


@pytest.fixture
def server(tmp_path):
    with StorageServer("NODUS", allow=("SCANNER",), port=free_port(), folder=tmp_path / "in") as made:
        yield made


def sender(server: StorageServer, ours: str = "SCANNER", theirs: str = "NODUS") -> DimsePacs:
    return DimsePacs(Peer("receiver", "127.0.0.1", server.port, theirs, our_ae_title=ours), limits=LIMITS)


def test_that_a_listed_scanner_is_answered_and_its_pictures_kept_as_sent(server, series):
    assert sender(server).echo() > 0
    result = send_files(sender(server), [series])
    assert (result.sent, result.left_out) == (4, ())
    kept = sorted((server.folder / STUDY / SERIES).iterdir())
    assert {p.stem: pydicom.dcmread(p) for p in kept} == {d.SOPInstanceUID: d for d in map(pydicom.dcmread, series.iterdir())}
    assert (server.received.kept, server.received.refused) == (4, 0)


def test_that_it_listens_on_this_computer_only_unless_told_otherwise(server):
    assert server.host == "127.0.0.1"
    assert not server.is_open_to_network
    own = next((a[4][0] for a in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET) if not a[4][0].startswith("127.")), None)
    if own is not None:
        with socket.socket() as caller:
            caller.settimeout(1.0)
            assert caller.connect_ex((own, server.port)) != 0


@pytest.mark.parametrize(("ours", "theirs"), [("STRANGER", "NODUS"), ("SCANNER", "ANOTHER")])
def test_that_nobody_else_comes_in_and_the_log_names_no_patient(server, series, caplog, ours, theirs):
    with caplog.at_level(logging.DEBUG), pytest.raises(PacsRefused) as caught:
        send_files(sender(server, ours, theirs), [series])
    assert caught.value.code == "pacs_rejected"
    assert not server.folder.exists()
    assert server.received.rejected_callers >= 1
    lines = [r.getMessage() for r in caplog.records if r.name == "nodus.pacs"]
    assert any(ours in line and "rejected" in line for line in lines)
    everything = "\n".join(r.getMessage() for r in caplog.records)
    for secret in ("INV-77", "Erfunden", "CT neck", STUDY, "20250113"):
        assert secret not in everything


def test_that_receiving_writes_no_patient_data_into_any_log(server, series, caplog):
    with caplog.at_level(logging.DEBUG):
        send_files(sender(server), [series])
    everything = "\n".join(r.getMessage() for r in caplog.records)
    for secret in ("INV-77", "Erfunden", "CT neck", "20250113"):
        assert secret not in everything


def test_that_a_list_of_nobody_is_refused_instead_of_letting_everybody_in(tmp_path):
    with pytest.raises(PacsRefused) as caught:
        StorageServer("NODUS", allow=(), port=free_port(), folder=tmp_path)
    assert caught.value.code == "pacs_allow_list_empty"


def test_that_a_port_in_use_is_said(server, tmp_path):
    with pytest.raises(PacsRefused) as caught:
        StorageServer("NODUS", allow=("SCANNER",), port=server.port, folder=tmp_path).start()
    assert caught.value.code == "pacs_port_taken"


def test_that_a_picture_comes_twice_without_harm(server, series):
    send_files(sender(server), [series])
    before = {p: p.stat().st_mtime_ns for p in server.folder.rglob("*.dcm")}
    assert send_files(sender(server), [series]).sent == 4  # it answers no question, so all are sent
    assert {p: p.stat().st_mtime_ns for p in server.folder.rglob("*.dcm")} == before
    assert server.received.already_there == 4


def test_that_another_picture_of_the_same_identity_never_replaces_the_first(server, series, tmp_path):
    send_files(sender(server), [series])
    place = server.folder / STUDY / SERIES / "2.25.1.1.1.dcm"
    first = place.read_bytes()
    changed = ct_slice((0, 0, 0), 1, PatientID="INV-99")
    result = send_files(sender(server), [save(changed, tmp_path / "changed.dcm")])
    assert [x.code for x in result.left_out] == ["pacs_refused"]
    assert place.read_bytes() == first
    assert server.received.refused == 1


@pytest.mark.parametrize("uid", ["../../outside", "..", "/etc/passwd", "1.2/3", "", "x" * 70])
def test_that_no_name_leads_out_of_the_folder(server, tmp_path, uid):
    ds = ct_slice((0, 0, 0), 1)
    ds.SeriesInstanceUID = uid
    association = associated(server)
    assert association.send_c_store(ds).Status == 0xA900
    association.release()
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_that_a_picture_of_another_identity_than_announced_is_refused(server, monkeypatch):
    ds = ct_slice((0, 0, 0), 1)
    association = associated(server)
    asked = association.dimse.send_msg

    def announce(message, context_id):
        message.AffectedSOPInstanceUID = "2.25.999"
        asked(message, context_id)

    monkeypatch.setattr(association.dimse, "send_msg", announce)
    assert association.send_c_store(ds).Status == 0xA900
    association.release()
    assert not server.folder.exists()


def test_that_a_disk_that_is_nearly_full_is_not_filled(server, series, monkeypatch):
    monkeypatch.setattr(storage_server, "SPARE_BYTES", 1 << 60)
    result = send_files(sender(server), [series])
    assert result.sent == 0
    assert all("no room" in x.message for x in result.left_out)
    assert list(server.folder.rglob("*.dcm")) == []


def test_that_a_sender_that_breaks_off_leaves_nothing_half(server):
    caller = socket.create_connection(("127.0.0.1", server.port))
    caller.sendall(b"\x01\x00\x00\x00\x40\x00half an association")
    caller.close()
    assert sender(server).echo() > 0
    assert not server.folder.exists()


class PlugPulled(Exception):
    """By the test."""


def broken_off(server: StorageServer, ds) -> None:
    """Send the beginning of a picture and break off."""
    association = associated(server)
    send, sent = association.dul.send_pdu, []

    def some(pdu) -> None:
        if len(sent) == 2:  # the command and a first piece of the data
            raise PlugPulled
        sent.append(pdu)
        send(pdu)

    association.dul.send_pdu = some
    with pytest.raises(PlugPulled):
        association.send_c_store(ds)
    association.dul.send_pdu = send
    association.abort()


def test_that_a_picture_broken_off_in_the_middle_leaves_nothing_and_comes_whole_the_second_time(server):
    ds = ct_slice((0, 0, 0), 1, array=np.zeros((512, 512), dtype=np.int16))
    broken_off(server, ds)
    assert list(server.folder.parent.rglob("*.dcm")) == []
    assert list(server.folder.parent.rglob(PARTIAL + "*")) == []
    association = associated(server)
    assert association.send_c_store(ds).Status == 0
    association.release()
    (kept,) = server.folder.rglob("*.dcm")
    assert pydicom.dcmread(kept).PixelData == ds.PixelData


def test_that_a_disk_that_fills_up_in_the_middle_of_a_picture_is_told_and_nothing_half_stays(server, monkeypatch):
    def full(_handle) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    association = associated(server)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert association.send_c_store(ct_slice((0, 0, 0), 1)).Status == 0xA700
    assert [p for p in server.folder.rglob("*") if p.is_file()] == []
    assert association.send_c_store(ct_slice((0, 0, 0), 1)).Status == 0
    association.release()
    assert server.received == Received(kept=1, refused=1)


def test_that_a_picture_whose_name_is_not_on_the_disk_is_not_confirmed_and_may_come_again(server, monkeypatch):
    def unable(_folder) -> None:
        raise OSError(errno.EIO, "Input/output error")

    association = associated(server)
    with monkeypatch.context() as patched:
        patched.setattr(storage_server, "sync_folder", unable)
        assert association.send_c_store(ct_slice((0, 0, 0), 1)).Status == 0xA700
    assert association.send_c_store(ct_slice((0, 0, 0), 1)).Status == 0
    association.release()
    assert server.received == Received(already_there=1, refused=1)


def test_that_leftovers_of_a_killed_receiver_are_swept(tmp_path):
    place = tmp_path / "in" / STUDY / SERIES
    place.mkdir(parents=True)
    (place / f"{PARTIAL}x").write_bytes(b"half")
    (place / "2.25.5.dcm").write_bytes(b"whole")
    with StorageServer("NODUS", allow=("SCANNER",), port=free_port(), folder=tmp_path / "in"):
        assert [p.name for p in place.iterdir()] == ["2.25.5.dcm"]


def test_that_a_study_is_arriving_as_long_as_its_sender_is_connected(server):
    association = associated(server)
    association.send_c_store(ct_slice((0, 0, 0), 1))
    assert server.arriving == {STUDY}
    association.release()
    until = time.monotonic() + 20
    while server.arriving and time.monotonic() < until:
        time.sleep(0.01)
    assert server.arriving == frozenset()


# ---- encrypted -----------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def ours(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca") / "ours", "authority of the hospital")


@pytest.fixture
def encrypted(tmp_path, ours):
    tls = door_context(*ours.certificate("receiver", "localhost"), ours.ca_file)
    with StorageServer("NODUS", allow=("SCANNER",), port=free_port(), folder=tmp_path / "in", tls=tls) as made:
        yield made


def test_that_a_sender_that_proves_itself_comes_in_encrypted_past_one_that_says_nothing(encrypted, ours, series):
    certificate, key = ours.certificate("scanner")
    peer = Peer("receiver", "localhost", encrypted.port, "NODUS", our_ae_title="SCANNER", tls="own", ca_file=ours.ca_file, certificate_file=certificate, key_file=key)
    with socket.create_connection(("127.0.0.1", encrypted.port)):
        assert send_files(DimsePacs(peer, limits=LIMITS), [series]).sent == 4
    assert encrypted.is_encrypted


@pytest.mark.parametrize("how", ["plain", "no certificate", "strange certificate"])
def test_that_who_does_not_prove_itself_stays_outside(encrypted, ours, tmp_path, series, how):
    strangers = Authority(tmp_path / "strangers", "authority of a stranger")
    certificate, key = strangers.certificate("scanner")
    told = {"plain": {}, "no certificate": {"tls": "own", "ca_file": ours.ca_file}, "strange certificate": {"tls": "own", "ca_file": ours.ca_file, "certificate_file": certificate, "key_file": key}}[how]
    with pytest.raises(PacsRefused):
        send_files(DimsePacs(Peer("receiver", "localhost", encrypted.port, "NODUS", our_ae_title="SCANNER", **told), limits=Limits(connect_s=2.0, idle_s=2.0, attempts=1)), [series])
    assert not encrypted.folder.exists()


def test_that_certificate_files_of_ours_that_cannot_be_used_are_said(tmp_path, ours):
    certificate, _key = ours.certificate("spoiled")
    with pytest.raises(PacsRefused) as caught:
        door_context(certificate, str(tmp_path / "absent.key"))
    assert caught.value.code == "pacs_tls_failed"


def test_that_closing_it_leaves_no_thread(tmp_path, series):
    before = set(threading.enumerate())
    with StorageServer("NODUS", allow=("SCANNER",), port=free_port(), folder=tmp_path / "in") as server:
        send_files(sender(server), [series])
    alive = [t for t in set(threading.enumerate()) - before if t.is_alive()]
    for thread in alive:
        thread.join(5)
    assert [t for t in alive if t.is_alive()] == []


def associated(server: StorageServer):
    association = AE(ae_title="SCANNER").associate("127.0.0.1", server.port, [build_context(CT)], ae_title="NODUS")
    assert association.is_established
    return association
