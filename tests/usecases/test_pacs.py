"""From a real PACS into a study and back: whole series or nothing, pseudonyms only, secrets in the keyring."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend

from app.cli import main
from app.jobs import JobContext
from app.secrets import SecretRefused, forget_secret, keep_secret, read_secret, variable_of
from app.settings import Settings, load_settings, save_settings, settings_file
from app.usecases import pacs as usecase
from app.usecases.import_images import open_record
from app.usecases.pacs import (
    Wanted,
    connect,
    fetch_for_study,
    find,
    find_peer,
    load_peers,
    remove_peer,
    retrieve_into_study,
    save_peer,
    send,
    send_export,
    sweep_waiting,
    waiting_folder,
)
from app.usecases.readings import find_node, find_visit, save_reading
from dicom_io.peer import PacsRefused, Peer, Query
from tests.conftest import skip_or_fail
from tests.dicom_io.made import ct_slice, save
from tests.dicom_io.orthanc import SERIES, SLICES, STUDY, Orthanc, free_port, missing, peer_for, write_series
from tests.factories import write_ellipsoid_ct
from volumetry.errors import Cancelled, NodusError

WAYS = ("get", "web")
ONE = [Wanted(STUDY, SERIES)]


class MemoryRing(KeyringBackend):
    """A keyring that is nowhere but here."""

    priority = 1

    def __init__(self):
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service, username):
        return self.kept.get((service, username))

    def set_password(self, service, username, password):
        self.kept[service, username] = password

    def delete_password(self, service, username):
        from keyring.errors import PasswordDeleteError

        if self.kept.pop((service, username), None) is None:
            raise PasswordDeleteError


@pytest.fixture
def ring():
    before, made = keyring.get_keyring(), MemoryRing()
    keyring.set_keyring(made)
    yield made
    keyring.set_keyring(before)


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    """Nothing of the person who runs the tests is read or changed."""
    monkeypatch.setenv("NODUS_SETTINGS", str(tmp_path / "config" / "settings.json"))
    monkeypatch.setattr(usecase, "cache_folder", lambda: tmp_path / "cache")


@pytest.fixture(scope="module")
def pacs(tmp_path_factory):
    """A PACS with one series of an invented patient."""
    if missing():
        skip_or_fail(missing())
    server = Orthanc(tmp_path_factory.mktemp("orthanc"))
    try:
        server.start()
        send(peer_for(server, "get"), [write_series(tmp_path_factory.mktemp("series"))], JobContext())
        yield server
    finally:
        server.kill()


@pytest.fixture
def own_pacs(tmp_path):
    """One to be killed."""
    if missing():
        skip_or_fail(missing())
    server = Orthanc(tmp_path / "orthanc")
    try:
        server.start()
        send(peer_for(server, "get"), [write_series(tmp_path / "series")], JobContext())
        yield server
    finally:
        server.kill()


def refused(code: str):
    return pytest.raises(NodusError, check=lambda error: error.code == code)


# ---- which PACS there are ------------------------------------------------------------------------
def test_that_peers_are_kept_beside_other_choices():
    assert load_peers() == []
    one, other = Peer("radiology", "pacs.example", 11112, "PACS1"), Peer("archive", url="https://pacs.example/dicom-web", sign_in="bearer")
    save_peer(one)
    save_settings(Settings(True, "models"))
    save_peer(other)
    assert load_peers() == [other, one]
    assert load_settings() == Settings(True, "models")
    changed = Peer("radiology", "pacs2.example", 104, "PACS2")
    save_peer(changed)
    assert find_peer("radiology") == changed
    remove_peer("archive")
    assert find_peer(None) == changed


def test_that_a_damaged_list_switches_nothing_on():
    settings_file().parent.mkdir(parents=True)
    for content in ("", "[]", '{"pacs_peers": 3}', '{"pacs_peers": [1, {"name": "x"}, {"name": "y", "host": "h", "ae_title": "T", "port": "104"}]}'):
        settings_file().write_text(content)
        assert load_peers() == []


def test_that_a_peer_that_is_not_there_is_said():
    with refused("pacs_peer_missing"):
        find_peer(None)
    with refused("pacs_peer_missing"):
        remove_peer("nobody")


# ---- secrets -------------------------------------------------------------------------------------
def test_that_a_secret_lives_in_the_keyring_and_nowhere_else(ring, tmp_path):
    save_peer(Peer("archive", url="https://pacs.example/dicom-web", sign_in="bearer"))
    keep_secret("archive", "t0p-s3cret")
    assert read_secret("archive") == "t0p-s3cret"
    assert connect(find_peer("archive")).peer.name == "archive"
    assert not any(b"t0p-s3cret" in p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    remove_peer("archive")
    assert ring.kept == {}
    forget_secret("archive")


def test_that_the_environment_gives_a_secret_where_there_is_no_keyring(monkeypatch):
    from keyring.backends.fail import Keyring

    before = keyring.get_keyring()
    keyring.set_keyring(Keyring())
    try:
        assert read_secret("my archive.2") is None
        assert variable_of("my archive.2") == "NODUS_PACS_TOKEN_MY_ARCHIVE_2"
        monkeypatch.setenv("NODUS_PACS_TOKEN_MY_ARCHIVE_2", "from outside")
        assert read_secret("my archive.2") == "from outside"
        with pytest.raises(SecretRefused, match="no keyring"):
            keep_secret("my archive.2", "x")
    finally:
        keyring.set_keyring(before)


def test_that_a_keyring_that_keeps_a_plain_file_is_not_used(monkeypatch):
    class Plain(MemoryRing):
        pass

    Plain.__module__ = "keyrings.alt.file"
    before = keyring.get_keyring()
    keyring.set_keyring(Plain())
    try:
        with pytest.raises(SecretRefused):
            keep_secret("a", "x")
    finally:
        keyring.set_keyring(before)


# ---- finding -------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", WAYS)
def test_that_a_name_is_found_however_it_is_typed(pacs, how):
    for typed in ("erfunden*", "ERFUNDEN*", "Erfunden*", "erf*"):
        assert [r.patient_id for r in find(peer_for(pacs, how), Query(patient_name=typed), JobContext()).results] == ["INV-77"]


# ---- into a study --------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["get", "move", "web"])
def test_that_a_series_comes_into_the_study_without_a_name_and_waits_nowhere(pacs, how, store, tmp_path):
    context, told = JobContext(), []
    context.listener = told.append
    result = retrieve_into_study(store, "S-001", "Baseline", peer_for(pacs, how), ONE, context)
    assert [r.kind for r in result.series] == ["volume"]
    image = open_record(store, result.series[0], JobContext())
    assert image.array.shape == (SLICES, 6, 5)
    assert result.visit.actual_date == "2025-01-13"
    assert not waiting_folder(peer_for(pacs, how), ONE).exists()
    fractions = [e.fraction for e in told if e.fraction is not None]
    assert fractions == sorted(fractions)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not any(word in content for word in (b"Erfunden", "Änne".encode(), b"INV-77", b"CT neck")), path


@pytest.mark.slow
@pytest.mark.parametrize("how", ["get", "move", "web"])
def test_that_nothing_is_half_imported_when_the_pacs_is_killed_and_the_retry_completes(own_pacs, how, store):
    context = JobContext()

    def listen(event) -> None:
        if event.fraction is not None and event.fraction > 0.3 and own_pacs.process is not None:
            own_pacs.kill()

    context.listener = listen
    with pytest.raises(PacsRefused, match="nothing was imported"):
        retrieve_into_study(store, "S-001", "Baseline", peer_for(own_pacs, how), ONE, context)
    assert store.subjects() == []
    came = list(waiting_folder(peer_for(own_pacs, how), ONE).rglob("*.dcm"))
    assert 0 < len(came) < SLICES
    inodes = {p.name: p.stat().st_ino for p in came}
    own_pacs.start()
    folder = fetch_for_study(peer_for(own_pacs, how), ONE, JobContext())
    assert inodes.items() <= {p.name: p.stat().st_ino for p in folder.rglob("*.dcm")}.items()
    result = retrieve_into_study(store, "S-001", "Baseline", peer_for(own_pacs, how), ONE, JobContext())
    assert len(result.series) == 1
    assert open_record(store, result.series[0], JobContext()).array.shape[0] == SLICES


def test_that_a_cancelled_retrieve_imports_nothing(pacs, store):
    context = JobContext()
    context.listener = lambda event: context.token.cancel() if (event.fraction or 0) > 0.3 else None
    with pytest.raises(Cancelled):
        retrieve_into_study(store, "S-001", "Baseline", peer_for(pacs, "get"), ONE, context)
    assert store.subjects() == []


def test_that_a_series_that_was_corrected_at_the_pacs_is_fetched_anew(own_pacs, tmp_path):
    folder = fetch_for_study(peer_for(own_pacs, "get"), ONE, JobContext())
    own_pacs.empty()
    for n in range(4):
        save(ct_slice((0, 0, n), n + 1, sop=100 + n), tmp_path / "corrected" / f"{n}.dcm")
    send(peer_for(own_pacs, "get"), [tmp_path / "corrected"], JobContext())
    assert fetch_for_study(peer_for(own_pacs, "get"), ONE, JobContext()) == folder
    assert len(list(folder.rglob("*.dcm"))) == 4


def test_that_what_nobody_takes_up_again_is_removed(tmp_path):
    old, new = (tmp_path / "cache" / "pacs" / name for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "picture.dcm").write_bytes(b"x")
    os.utime(old, (time.time() - 4 * 86_400,) * 2)
    sweep_waiting()
    assert (old.exists(), new.exists()) == (False, True)


def test_that_the_waiting_folder_says_nothing_and_is_the_users_own(pacs, tmp_path):
    folder = fetch_for_study(peer_for(pacs, "get"), ONE, JobContext())
    assert STUDY not in str(folder.relative_to(tmp_path))
    if os.name == "posix":
        assert folder.parent.stat().st_mode & 0o077 == 0


# ---- out of a study ------------------------------------------------------------------------------
def test_that_an_export_goes_to_the_pacs_and_stays_nowhere_else(own_pacs, store, tmp_path):
    from app.usecases.import_images import import_folder

    own_pacs.empty()
    ct = write_ellipsoid_ct(tmp_path / "in")
    import_folder(store, "S-001", "Baseline", tmp_path / "in", JobContext())
    visit = find_visit(store, "S-001", "Baseline")
    store.add_node("S-001", "N1", "left", "III")
    image = open_record(store, store.series(visit.visit_id)[0], JobContext())
    kept = save_reading(store, visit, find_node(store, "S-001", "N1"), reader="Reader A", modality="CT", mask=ct.truth, image=image)
    store.lock_reading(kept.reading_id, "Reader A", "measured by me")
    result = send_export(store, "dicom-sr", peer_for(own_pacs, "get"), JobContext())
    assert (result.sent, result.left_out) == (2, ())
    (study,) = find(peer_for(own_pacs, "web"), Query(), JobContext()).results
    assert sorted(study.modality.split("\\")) == ["SEG", "SR"]
    assert study.patient_id == "S-001"
    again = send_export(store, "dicom-sr", peer_for(own_pacs, "get"), JobContext())
    assert (again.sent, again.already_there) == (0, 2)


# ---- the command line ----------------------------------------------------------------------------
def place(server: Orthanc, how: str) -> list[str]:
    if how == "web":
        return ["--url", server.url]
    return ["--host", "127.0.0.1", "--port", str(server.dicom_port), "--aet", "ORTHANC", "--retrieve", how, "--receive-port", str(server.move_port)]


def said(capsys, *args) -> tuple[int, dict]:
    code = main(["pacs", *map(str, args), "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("how", ["get", "move", "web"])
def test_that_the_command_line_does_all_of_it(pacs, how, capsys, tmp_path):
    code, answer = said(capsys, "echo", *place(pacs, how))
    assert (code, answer["ok"]) == (0, True)
    code, answer = said(capsys, "find", *place(pacs, how), "--patient-id", "INV-77", "--from", "2025-01-01")
    assert (code, answer["level"], answer["results"][0]["study_uid"], answer["more"]) == (0, "study", STUDY, False)
    code, answer = said(capsys, "find", *place(pacs, how), "--study-uid", STUDY)
    assert answer["results"][0]["series_uid"] == SERIES
    code, answer = said(capsys, "get", *place(pacs, how), "--study-uid", STUDY, "--out", tmp_path / "out")
    assert (code, answer["series"][0]["fetched"]) == (0, SLICES)
    code, answer = said(capsys, "get", *place(pacs, how), "--study-uid", STUDY, "--series-uid", SERIES, "--out", tmp_path / "out")
    assert (code, answer["series"][0]["fetched"], answer["series"][0]["already_there"]) == (0, 0, SLICES)
    if how != "move":
        code, answer = said(capsys, "send", *place(pacs, how), tmp_path / "out")
        assert (code, answer) == (0, {"sent": 0, "already_there": SLICES, "left_out": []})


def test_that_the_command_line_fetches_into_a_study(pacs, capsys, tmp_path):
    assert main(["study", "init", str(tmp_path / "s"), "--json"]) == 0
    capsys.readouterr()
    code, answer = said(capsys, "get", *place(pacs, "web"), "--study-uid", STUDY, "--study", tmp_path / "s", "--subject", "S-001", "--visit", "Baseline")
    assert (code, answer["visit"], [s["kind"] for s in answer["series"]]) == (0, "Baseline", ["volume"])
    code, answer = said(capsys, "get", *place(pacs, "web"), "--study-uid", STUDY, "--study", tmp_path / "s")
    assert (code, answer["error"]["code"]) == (3, "pacs_request_invalid")


def test_that_peers_are_added_listed_used_and_removed(pacs, capsys, ring, monkeypatch):
    import io

    assert said(capsys, "add-peer", "local", *place(pacs, "get"))[0] == 0
    assert said(capsys, "echo")[1]["peer"] == "local"
    assert said(capsys, "add-peer", "web", "--url", "https://pacs.example/x", "--sign-in", "bearer")[1]["protocol"] == "dicomweb"
    assert [p["name"] for p in said(capsys, "list-peers")[1]["peers"]] == ["local", "web"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("the token\n"))
    assert said(capsys, "set-token", "web") == (0, {"kept": "web"})
    assert list(ring.kept.values()) == ["the token"]
    assert said(capsys, "echo")[1]["error"]["code"] == "pacs_peer_missing"  # two, and none named
    assert said(capsys, "remove-peer", "web") == (0, {"removed": "web"})
    assert ring.kept == {}


def test_that_what_cannot_be_reached_ends_with_3_and_a_code(capsys):
    code, answer = said(capsys, "echo", "--host", "127.0.0.1", "--port", free_port(), "--aet", "X")
    assert (code, answer["error"]["code"]) == (3, "pacs_unreachable")
    code, answer = said(capsys, "find", "--url", f"http://127.0.0.1:{free_port()}/x", "--patient-name", "Erf*")
    assert (code, answer["error"]["code"]) == (3, "pacs_unreachable")
    assert "Erf" not in json.dumps(answer)


def test_that_files_the_pacs_refuses_end_with_3_and_are_named(capsys, tmp_path):
    from dicom_io.storage_server import StorageServer

    first = save(ct_slice((0, 0, 0), 1), tmp_path / "first.dcm")
    other = save(ct_slice((0, 0, 0), 1, PatientID="X"), tmp_path / "other.dcm")
    with StorageServer("RECV", allow=("NODUS",), port=free_port(), folder=tmp_path / "in") as server:
        to = ["--host", "127.0.0.1", "--port", server.port, "--aet", "RECV"]
        assert said(capsys, "send", *to, first)[1]["sent"] == 1
        code, answer = said(capsys, "send", *to, other)
    assert (code, answer["sent"], answer["error"]["code"], answer["left_out"][0]["file"]) == (3, 0, "pacs_refused", "other.dcm")


@pytest.mark.slow
def test_that_receive_takes_what_a_listed_sender_sends_until_it_is_stopped(tmp_path):
    port = free_port()
    program = subprocess.Popen(
        [sys.executable, "-m", "app", "pacs", "receive", "--port", str(port), "--allow", "SCANNER", "--out", str(tmp_path / "in"), "--json"],
        cwd=Path(__file__).resolve().parents[2], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert "Listening" in program.stderr.readline()
        scanner = Peer("here", "127.0.0.1", port, "NODUS", our_ae_title="SCANNER")
        assert send(scanner, [write_series(tmp_path / "out", slices=3)], JobContext()).sent == 3
        with refused("pacs_rejected"):
            send(Peer("here", "127.0.0.1", port, "NODUS", our_ae_title="STRANGER"), [tmp_path / "out"], JobContext())
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=20)
    finally:
        if program.poll() is None:
            program.kill()
            program.communicate()
    assert json.loads(out) == {"kept": 3, "already_there": 0, "refused": 0, "rejected_callers": 1}
    assert len(list((tmp_path / "in").rglob("*.dcm"))) == 3
    assert "Erfunden" not in err
    assert "INV-77" not in err
