"""An audit head signed with a key outside the study: what it proves, and where the key may lie."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.study.anchors import KEY_SETTING, key_from_file, new_key_file, signature_state, signer_for
from app.study.audit import verify
from app.study.store import StudyStore
from tests.conftest import skip_or_fail
from tests.secret_service import missing, secret_service
from tests.study.builders import CaseBuilder
from tests.study.test_store import refused

ROOT = Path(__file__).resolve().parents[2]
PHRASE = "a passphrase of the key"


def test_that_a_signed_head_is_good_and_any_change_of_it_is_told(case: CaseBuilder, tmp_path: Path) -> None:
    signer = new_key_file(tmp_path / "key.pem", PHRASE)
    case.store.signer = signer
    content = case.store.anchor()
    assert signature_state(content) == ("good", signer.fingerprint)
    for name, value in (("events", 1), ("sha256", "0" * 64), ("study_id", "ST-x"), ("written_utc", "2020")):
        assert signature_state({**content, name: value}) == ("broken", None)
    other = new_key_file(tmp_path / "other.pem", PHRASE).sign({k: v for k, v in content.items() if k != "signature"})
    forged = {**content, "signature": {**content["signature"], "public_key": other["signature"]["public_key"]}}
    assert signature_state(forged) == ("broken", None)
    assert signature_state({**content, "signature": "x"}) == ("broken", None)
    assert signature_state({k: v for k, v in content.items() if k != "signature"}) == ("unsigned", None)


def test_that_a_key_file_needs_its_passphrase_and_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    with refused("passphrase_refused"):
        new_key_file(path, "short")
    made = new_key_file(path, PHRASE)
    assert path.stat().st_mode & 0o077 == 0
    assert key_from_file(path, PHRASE).fingerprint == made.fingerprint
    with refused("key_file_refused"):
        key_from_file(path, "another passphrase")
    with refused("key_exists"):
        new_key_file(path, PHRASE)
    (tmp_path / "none").write_text("no key")
    with refused("key_file_refused"):
        key_from_file(tmp_path / "none", PHRASE)


def test_that_a_study_signs_by_itself_where_its_key_is_at_hand_and_only_with_its_own(case: CaseBuilder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = case.store
    signer = new_key_file(tmp_path / "key.pem", PHRASE)
    store.set_setting(KEY_SETTING + signer.fingerprint, {"public_key": signer.public_key, "kept_in": "file"})
    store.close()
    head = store.folder / "audit-head.json"
    for path, phrase, good in ((tmp_path / "key.pem", PHRASE, True), (tmp_path / "key.pem", "wrong phrase", False), (tmp_path / "gone.pem", PHRASE, False)):
        monkeypatch.setenv("NODUS_AUDIT_KEY", str(path))
        monkeypatch.setenv("NODUS_AUDIT_PASSPHRASE", phrase)
        with StudyStore.open(store.folder) as again:
            again.write_anchor()
            assert (again.snapshot().head_signature is not None) == good
            report = verify(again, head)
        assert report.ok
        assert (report.anchor_signature, report.anchor_key_known) == (("good", True) if good else ("unsigned", None))
        assert (report.anchor_note is None) == good
    stranger = new_key_file(tmp_path / "stranger.pem", PHRASE)
    monkeypatch.setenv("NODUS_AUDIT_KEY", str(tmp_path / "stranger.pem"))
    monkeypatch.setenv("NODUS_AUDIT_PASSPHRASE", PHRASE)
    assert signer_for({signer.fingerprint: {"kept_in": "file"}}) is None
    with StudyStore.open(store.folder) as again:
        again.signer = stranger
        report = verify(again, again.write_anchor(tmp_path / "foreign.json"))
    assert report.ok
    assert stranger.fingerprint in report.anchor_note


def test_that_the_receipt_of_an_export_is_an_anchor_too(case: CaseBuilder, tmp_path: Path) -> None:
    case.store.signer = new_key_file(tmp_path / "key.pem", PHRASE)
    case.lock()
    head = case.store.snapshot().head_signature
    receipt = tmp_path / "receipt.json"
    receipt.write_text(json.dumps({"files": [], "audit_head": head}))
    report = verify(case.store, receipt)
    assert (report.ok, report.anchor_signature) == (True, "good")
    receipt.write_text(json.dumps({"files": [], "audit_head": {**head, "sha256": "0" * 64}}))
    assert {f.code for f in verify(case.store, receipt).faults} == {"anchor_signature_broken", "anchor_mismatch"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the keyring is started as on a Linux desktop")
def test_that_the_systems_keyring_keeps_the_key(tmp_path: Path) -> None:
    if missing():
        skip_or_fail(missing())
    folder = tmp_path / "study"
    StudyStore.create(folder).close()
    with secret_service(tmp_path / "home") as environment:

        def nodus(*words: str) -> dict:
            run = subprocess.run([sys.executable, "-m", "app", *words, "--json"], cwd=ROOT, env={**environment, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120)
            assert run.returncode == 0, run.stdout + run.stderr
            return json.loads(run.stdout)

        made = nodus("audit", "key", str(folder))
        assert made["kept_in"] == "keyring"
        anchor = nodus("audit", "anchor", str(folder), "--out", str(tmp_path / "anchor.json"))
        assert anchor["signature"]["fingerprint"] == made["fingerprint"]
    found = [path for path in tmp_path.rglob("*") if path.is_file() and "home" not in path.parts and made["public_key"].encode() in path.read_bytes()]
    assert {p.name for p in found} <= {"study.sqlite", "study.sqlite-wal", "audit-head.json", "anchor.json"}
    assert "NODUS_AUDIT_KEY" not in os.environ
