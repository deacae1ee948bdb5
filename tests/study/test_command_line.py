"""Users, signatures, blinding, adjudication and anchors through the command line."""

from __future__ import annotations

import argparse
import functools
import io
import json
import sys
from pathlib import Path

import pytest

import app.cli
from app.cli import build_parser, main
from app.study.store import StudyStore
from tests.study.people import PASSWORD, add_people

OTHER = "another long phrase"


@functools.cache
def parser() -> argparse.ArgumentParser:
    """The command tree, made once: it takes as long as a command."""
    return build_parser()


class Line:
    """The program, called as a script would."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.capsys, self.monkeypatch = folder, capsys, monkeypatch
        monkeypatch.setattr(app.cli, "build_parser", parser)
        for name in ("NODUS_PASSWORD", "NODUS_USER", "NODUS_NEW_PASSWORD", "NODUS_AUDIT_KEY", "NODUS_AUDIT_PASSPHRASE"):
            monkeypatch.delenv(name, raising=False)

    def __call__(self, *words: str, user: str | None = None, typed: str | None = PASSWORD, code: int = 0) -> dict:
        """Run ``nodus A B STUDY ...``; ``user`` signs in with ``typed`` on standard input."""
        head = words[:1] if words[0] == "export" else words[:2]
        who = ["--user", user, "--password-stdin"] if user else []
        self.monkeypatch.setattr(sys, "stdin", io.StringIO(f"{typed}\n{OTHER}\n"))
        given = main([*head, str(self.folder), *words[len(head) :], *who, "--json"])
        out = self.capsys.readouterr().out
        answer = json.loads(out)
        assert given == code, answer
        return answer

    def refused(self, *words: str, **how) -> str:
        return self(*words, code=3, **how)["error"]["code"]


@pytest.fixture
def line(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Line:
    run = Line(tmp_path / "study", capsys, monkeypatch)
    run("study", "init")
    return run


def add(line: Line, reader: str, visit: str, volume: float, **how) -> dict:
    return line("study", "add-reading", "--subject", how.pop("subject", "S-001"), "--visit", visit, "--node", "N1", "--reader", reader, "--modality", "CT", "--volume-ml", str(volume), **how)


def test_that_users_are_added_listed_changed_and_disabled(line: Line) -> None:
    assert line("users", "list")["users"] == []
    assert line.refused("users", "add", "site", "--name", "Sue", "--role", "site_reader", "--new-password-stdin") == "first_user_not_administrator"
    assert line("users", "add", "admin", "--name", "Ann Admin", "--role", "administrator", "--new-password-stdin")["roles"] == ["administrator"]
    assert line.refused("users", "list") == "sign_in_needed"
    assert line.refused("users", "list", user="admin", typed="wrong") == "password_wrong"
    line("users", "add", "kim", "--name", "Kim", "--role", "monitor", "--new-password-stdin", user="admin")
    assert line.refused("users", "role", "kim", "--role", "trial_manager", "--reason", "x", user="kim", typed=OTHER) == "right_missing"
    assert line("users", "role", "kim", "--role", "trial_manager", "--reason", "new post", user="admin")["roles"] == ["trial_manager"]
    line("users", "disable", "kim", "--reason", "left", user="admin")
    assert line.refused("study", "status", user="kim", typed=OTHER) == "user_disabled"
    line("users", "enable", "kim", "--reason", "back", user="admin")
    line("study", "status", user="kim", typed=OTHER)
    line("users", "password", "kim", "--new-password-stdin", user="admin")
    assert [(u["user"], u["disabled"]) for u in line("users", "list", user="admin")["users"]] == [("admin", False), ("kim", False)]
    done = [e["action"] for e in line("audit", "list", "--object", "users:", user="admin")["events"]]
    assert {"user_added", "user_disabled", "user_enabled", "user_roles_changed", "password_set", "sign_in_failed"} <= set(done)
    assert line("audit", "verify")["ok"]


def test_that_the_password_is_never_an_argument(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    line("users", "add", "admin", "--name", "Ann", "--role", "administrator", "--new-password-stdin")
    assert line.refused("users", "list", "--user", "admin", typed=None) == "password_missing"
    monkeypatch.setenv("NODUS_USER", "admin")
    monkeypatch.setenv("NODUS_PASSWORD", PASSWORD)
    assert [u["user"] for u in line("users", "list")["users"]] == ["admin"]
    assert main(["users", "list", str(line.folder), "--password", PASSWORD]) == 2


@pytest.fixture
def staffed(line: Line) -> Line:
    """Two readers who differ at Month 3, an adjudicator, a manager; everything before the users came."""
    for reader, volumes in (("reader-a", (2.0, 1.0)), ("reader-b", (2.0, 0.2))):
        for visit, volume in zip(("Baseline", "Month 3"), volumes, strict=True):
            add(line, reader, visit, volume)
    line("study", "lock", "--name", "Dr Local")
    return line


def test_that_a_pair_that_differs_is_listed_and_a_reader_selected(staffed: Line) -> None:
    (waiting,) = staffed("study", "adjudicate")["waiting"]
    assert (waiting["subject"], waiting["node"], waiting["visit"]) == ("S-001", "N1", "Month 3")
    assert set(waiting["triggers"]) == {"vrr_difference", "volume_difference"}
    shown = next(r["reader"] for r in waiting["readings"] if r["volume_ml"] == 0.2)
    assert staffed.refused("study", "adjudicate", "--select", shown) == "adjudication_unclear"
    made = staffed("study", "adjudicate", "--subject", "S-001", "--node", "N1", "--visit", "Month 3", "--select", shown, "--reason", "rim", "--name", "Dr J")
    assert (made["selected_reader"], made["adjudicator"]) == ("reader-b", "Dr J")
    answer = staffed("study", "adjudicate")
    assert answer["waiting"] == []
    assert answer["adjudicated"][0]["selected_reader"] == "reader-b"
    (pair,) = staffed("study", "readers")["pairs"]
    assert (pair["read_by_both"], pair["adjudication_rate"]) == (2, 0.5)


def test_that_a_blinded_reader_is_shown_cases_and_refused_the_rest(staffed: Line, tmp_path: Path) -> None:
    with StudyStore.open(staffed.folder) as store:
        add_people(store)
    status = staffed("study", "status", user="reader-a")
    (subject,) = status["subjects"]
    case = subject["subject"]
    assert case.startswith("C-")
    assert all(v["actual_date"] is None for v in subject["visits"])
    assert [i["case"] for i in staffed("study", "worklist", user="reader-a")["worklist"]] == [case, case]
    for command in (("study", "response"), ("study", "agreement"), ("study", "readers"), ("export", "--format", "csv", "--out", str(tmp_path / "out"))):
        assert staffed.refused(*command, user="reader-a") == "hidden_from_reader"
        assert staffed.refused(*command) == "sign_in_needed"
    assert not (tmp_path / "out").exists()
    assert staffed.refused("export", "--format", "csv", "--out", str(tmp_path / "out"), user="site") == "right_missing"
    as_manager = staffed("study", "status", "--as", "reader-a", user="manager")
    assert as_manager["subjects"] == status["subjects"]
    assert staffed.refused("study", "status", "--as", "reader-a", user="site") == "right_missing"
    assert staffed.refused("study", "response", "--as", "reader-a", user="manager") == "hidden_from_reader"
    staffed("study", "response", user="manager")
    # the reader works under the case code, and the pseudonym means nothing to them
    assert staffed.refused("study", "add-reading", "--subject", "S-001", "--visit", "Day 30", "--node", "N1", "--reader", "reader-a", "--modality", "CT", "--volume-ml", "1", user="reader-a") == "case_missing"
    assert staffed.refused("study", "worklist", "--reader", "reader-b", user="reader-a") == "right_missing"


def test_that_a_reader_signs_on_the_command_line(staffed: Line) -> None:
    with StudyStore.open(staffed.folder) as store:
        store.add_visit("S-001", "Day 30")
        add_people(store)
    case = staffed("study", "status", user="reader-a")["subjects"][0]["subject"]
    add(staffed, "reader-a", "Day 30", 1.5, subject=case, user="reader-a")
    assert staffed.refused("study", "lock", "--meaning", "because", user="reader-a") == "meaning_refused"
    (locked,) = staffed("study", "lock", "--meaning", "reading", user="reader-a")["locked"]
    assert (locked["locked_by"], locked["note"]) == ("Dr A Reader", "electronic signature")
    assert staffed("audit", "verify")["signatures_checked"] == 1
    judged = staffed("study", "adjudicate", user="judge")
    assert [r["reader"] for r in judged["waiting"][0]["readings"]] == ["Reader A", "Reader B"]
    assert "reader-" not in json.dumps(judged)
    code = judged["waiting"][0]["subject"]
    made = staffed("study", "adjudicate", "--subject", code, "--node", "N1", "--visit", "Month 3", "--select", "A", "--reason", "rim", user="judge")
    assert made["selected_reader"] == "A"
    assert made["signature_id"]


def test_that_a_reader_grades_what_still_enhances(line: Line) -> None:
    add(line, "reader-a", "Baseline", 2.0)
    given = line("study", "add-reading", "--subject", "S-001", "--visit", "Day 30", "--node", "N1", "--reader", "reader-a", "--modality", "CT", "--volume-ml", "1", "--enhancement-grade", "2")
    assert given["enhancement_grade"] == "2"
    with StudyStore.open(line.folder) as store:
        assert [r.enhancement_grade for r in store.readings()] == [None, "2"]


def test_that_a_study_without_users_can_be_looked_at_as_a_reader(staffed: Line) -> None:
    assert staffed("study", "status", "--as", "reader-a")["subjects"][0]["subject"].startswith("C-")
    assert staffed.refused("study", "response", "--as", "reader-a") == "hidden_from_reader"


def test_that_an_anchor_signed_with_a_key_file_is_verified(staffed: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, anchor = tmp_path / "key.pem", tmp_path / "anchor.json"
    monkeypatch.setenv("NODUS_AUDIT_PASSPHRASE", "short")
    assert staffed.refused("audit", "key", "--file", str(key)) == "passphrase_refused"
    monkeypatch.setenv("NODUS_AUDIT_PASSPHRASE", "a passphrase of the key")
    made = staffed("audit", "key", "--file", str(key))
    assert b"ENCRYPTED" in key.read_bytes()
    monkeypatch.setenv("NODUS_AUDIT_KEY", str(key))
    assert staffed("audit", "anchor", "--out", str(anchor))["signature"]["fingerprint"] == made["fingerprint"]
    add(staffed, "reader-a", "Month 6", 0.9)
    answer = staffed("audit", "verify", "--anchor", str(anchor))
    assert (answer["ok"], answer["anchor_signature"], answer["anchor_key"], answer["anchor_note"]) == (True, "good", made["fingerprint"], None)
    content = json.loads(anchor.read_text())
    anchor.write_text(json.dumps({**content, "events": content["events"] - 1}))
    answer = staffed("audit", "verify", "--anchor", str(anchor), code=4)
    assert "anchor_signature_broken" in {f["code"] for f in answer["faults"]}
    monkeypatch.delenv("NODUS_AUDIT_KEY")
    staffed("audit", "anchor", "--out", str(anchor))
    assert "not signed" in staffed("audit", "verify", "--anchor", str(anchor))["anchor_note"]


def test_that_a_server_study_is_used_by_its_url_and_by_its_folder(server, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    files = tmp_path / "files"
    url = Line(f"{server.new_database()}?blobs={files}", capsys, monkeypatch)
    url("study", "init")
    assert url.refused("study", "init") == "study_exists"
    add(url, "reader-a", "Baseline", 2.0)
    by_folder = Line(files, capsys, monkeypatch)
    add(by_folder, "reader-b", "Baseline", 2.0)
    assert by_folder("study", "status")["subjects"][0]["readings"]["measured"] == 2
    assert url("audit", "verify", "--anchor", str(files / "audit-head.json"))["ok"]
    by_folder("study", "backup", "--out", str(tmp_path / "backup"))
    other = Line(f"{server.new_database()}?blobs={tmp_path / 'again'}", capsys, monkeypatch)
    other.monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(["study", "restore", str(tmp_path / "backup"), "--out", str(other.folder)]) == 0
    capsys.readouterr()
    assert other("audit", "verify")["ok"]
    assert other("study", "status") == url("study", "status")
