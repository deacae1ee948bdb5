"""Every command that works on a study, found in the command tree itself: who may, who may not, and that nobody may without signing in."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import shutil
from pathlib import Path

import pytest

import app.cli
from app.cli import _leaves, build_parser, main
from app.study.blinding import case_code
from app.study.store import StudyStore
from app.study.users import DEFAULT_TIMEOUT_S
from tests.planning.helpers import plan_dict
from tests.study.builders import CaseBuilder
from tests.study.people import PASSWORD, add_people
from tests.study.test_command_line import parser

OTHER = "another long phrase"
EVERYBODY = frozenset({"admin", "manager", "site", "reader-a", "trainee", "judge", "monitor"})
BLINDED = frozenset({"reader-a", "trainee", "judge"})
ENTERS = frozenset({"manager", "site"})  # what belongs to a subject
SEES = frozenset({"manager", "monitor"})
# What a command that says no for want of a sign-in, a right or sight says; every other refusal is about what was asked for.
NO = {"sign_in_needed", "right_missing", "hidden_from_reader", "not_your_reading", "case_missing", "other_site", "cohort_not_shown"}
# Commands that open a study without asking who it is, and why.
OPEN = {
    "study init": "there is no study yet",
    "audit verify": "anybody who has the folder may check it, also where it no longer opens: hashes and names of records, no values",
}
OWN_OPTION = {"pacs get": "--study-user"}  # --user is the PACS's there
SUBJECT = ("--subject", "{subject}")
READ = (*SUBJECT, "--visit", "Month 3", "--node", "N1", "--reader", "{user}", "--modality", "CT", "--volume-ml", "1", "--reason", "x")
# Command -> (its words after the study, who may). {subject} is what the user knows the subject by.
TABLE: dict[str, tuple[tuple[str, ...], frozenset[str]]] = {
    "deidentify": (("{tmp}/in", "{tmp}/out-{user}", "--study", "{study}"), ENTERS),
    "pacs get": (("--study-uid", "1.2.3", "--host", "127.0.0.1", "--port", "9", "--aet", "X", *SUBJECT, "--visit", "Baseline", "--study", "{study}"), ENTERS),
    "pacs import-received": (("1.2.3", *SUBJECT, "--visit", "Baseline", "--from", "{tmp}/in", "--study", "{study}"), ENTERS),
    "study import": (("{study}", "{tmp}/in", *SUBJECT, "--visit", "Baseline"), ENTERS),
    "study add-visit": (("{study}", *SUBJECT, "--visit", "Month 6"), ENTERS),
    "study set-visit": (("{study}", *SUBJECT, "--visit", "Month 3", "--date", "2026-04-11", "--reason", "x"), ENTERS),
    "study add-node": (("{study}", *SUBJECT, "--node", "N-{user}", "--side", "left", "--level", "II"), ENTERS | {"reader-a"}),
    "study set-node": (("{study}", *SUBJECT, "--node", "N1", "--side", "left", "--level", "II", "--reason", "x"), ENTERS),
    "study add-event": (("{study}", *SUBJECT, "--kind", "SALVAGE", "--date", "2026-02-10"), ENTERS),
    "study add-reading": (("{study}", *READ, "--role", "{role}"), frozenset({"site", "reader-a", "trainee"})),
    "study propagate": (("{study}", *SUBJECT, "--node", "N1", "--reader", "{user}", "--from", "Baseline", "--to", "Month 3", "--role", "{role}"), frozenset({"site", "reader-a", "trainee"})),
    "study lock": (("{study}", *SUBJECT, "--visit", "Baseline"), frozenset({"site", "reader-a", "trainee", "judge"})),
    "study status": (("{study}",), EVERYBODY),
    "study response": (("{study}",), EVERYBODY - BLINDED),
    "study agreement": (("{study}",), EVERYBODY - BLINDED),
    "study readers": (("{study}",), EVERYBODY - BLINDED),
    "study cohort": (("{study}",), SEES | {"site"}),
    "study backup": (("{study}", "--out", "{tmp}/backup-{user}"), frozenset({"admin", "manager"})),
    "study save-plan": (("{study}", "{tmp}/plan.json", *SUBJECT, "--no-heat"), frozenset({"site"})),
    "study add-delivery": (("{study}", "--run", "{run}", "--pairs", "{tmp}/pairs.json", "--name", "Sue"), frozenset({"site"})),
    "study plans": (("{study}",), EVERYBODY),
    "study plan-sheet": (("{study}", "--run", "{run}", "--out", "{tmp}/sheet.pdf"), SEES | {"site"}),
    "study plan-dicom": (("{study}", "--run", "{run}", "--out", "{tmp}/dicom-{user}"), SEES | {"site"}),
    "study compare-plan": (("{study}", "--run", "{run}"), SEES | {"site"}),
    "study adjudicate": (("{study}",), SEES | {"judge"}),
    "study worklist": (("{study}",), EVERYBODY),
    "study reconcile": (("{study}", "{tmp}/edc.csv"), frozenset({"manager"})),
    "study eligibility": (("{study}", *SUBJECT), EVERYBODY),
    "study pair-planes": (("{study}", *SUBJECT, "--visit", "Month 3"), frozenset({"site", "reader-a", "trainee", "judge"})),
    "study contrast-compare": (("{study}", *SUBJECT, "--visit", "Month 3", "--node", "N1", "--reader", "reader-a"), SEES | {"site"}),
    "study pain": (("{study}", *SUBJECT), EVERYBODY),
    "export": (("{study}", "--format", "csv", "--out", "{tmp}/export-{user}"), frozenset({"manager"})),
    "audit key": (("{study}", "--file", "{tmp}/key-{user}.pem"), frozenset({"admin", "manager"})),
    "audit anchor": (("{study}", "--out", "{tmp}/anchor-{user}.json"), EVERYBODY),  # a count and a hash
    "audit list": (("{study}",), frozenset({"admin", "manager", "monitor"})),
    "users add": (("{study}", "new-{user}", "--name", "New", "--role", "monitor"), frozenset({"admin"})),
    "users list": (("{study}",), frozenset({"admin", "manager", "monitor"})),
    "users disable": (("{study}", "spare", "--reason", "x"), frozenset({"admin"})),
    "users enable": (("{study}", "spare", "--reason", "x"), frozenset({"admin"})),
    "users role": (("{study}", "spare", "--role", "monitor", "--reason", "x"), frozenset({"admin"})),
    "users site": (("{study}", "spare", "--every-site", "--reason", "x"), frozenset({"admin"})),
    "users password": (("{study}", "spare"), frozenset({"admin"})),
}  # fmt: skip


def commands_on_a_study() -> set[str]:
    """Every command of the tree that is given a study."""
    (tree,) = [a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return {leaf.prog.removeprefix("nodus ") for leaf in _leaves(tree) if any(a.dest == "study" for a in leaf._actions)}


def test_that_every_command_on_a_study_is_in_the_table() -> None:
    assert commands_on_a_study() == set(TABLE) | set(OPEN)


def test_that_every_command_on_a_study_can_be_given_a_user() -> None:
    (tree,) = [a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    for leaf in _leaves(tree):
        options = {o for a in leaf._actions for o in a.option_strings}
        assert (bool({"--user", "--study-user"} & options) and "--password-stdin" in options) == any(a.dest == "study" for a in leaf._actions), leaf.prog
        assert "--password" not in options


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with users, a subject with readings that wait to be locked, a plan; and files to hand to commands."""
    import argon2

    from app.study import users

    folder = tmp_path_factory.mktemp("roles")
    hasher, users._HASHER = users._HASHER, argon2.PasswordHasher.from_parameters(argon2.profiles.CHEAPEST)
    try:
        with StudyStore.create(folder / "study", user="tester") as store:
            case = CaseBuilder(store)
            for reader, role in (("reader-a", "central"), ("site", "site")):
                case.save(reader=reader, role=role)
            run = store.save_plan_run({"plan": {"electrodes": []}, "assessment": {}}, subject_id="S-001", node_id=case.node.node_id, session="day0")
            add_people(store)
            store.sign_in("admin", PASSWORD)
            store.add_user("trainee", "Tom Trainee", ("trainee",), PASSWORD)
            store.add_user("spare", "Sam Spare", ("monitor",), PASSWORD)
            store.sign_out()
            cases = {user: case_code(store.order_seed(user), "S-001") if user in BLINDED else "S-001" for user in EVERYBODY}
    finally:
        users._HASHER = hasher
    (folder / "in").mkdir()
    (folder / "plan.json").write_text(json.dumps(plan_dict(spacing=6.0)))
    (folder / "pairs.json").write_text(json.dumps([{"anode": "E1", "cathode": "E2", "pulses": 1, "voltage_v": 1}]))
    (folder / "edc.csv").write_text("record_id\n")
    (folder / "known.json").write_text(json.dumps({"run": run.plan_run_id, "cases": cases}))
    return folder


class Asked:
    """One command, asked by one user after the other in a copy of the study."""

    def __init__(self, prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
        for path in prepared.iterdir():
            (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / path.name)
        self.known = json.loads((tmp_path / "known.json").read_text())
        self.tmp, self.capsys, self.monkeypatch = tmp_path, capsys, monkeypatch
        for name in ("NODUS_USER", "NODUS_AUDIT_KEY"):
            monkeypatch.delenv(name, raising=False)
        for name, value in (("NODUS_PASSWORD", PASSWORD), ("NODUS_NEW_PASSWORD", OTHER), ("NODUS_AUDIT_PASSPHRASE", OTHER)):
            monkeypatch.setenv(name, value)

    def __call__(self, command: str, user: str | None) -> str | None:
        """The code that it refuses with, None where it is done."""
        role = {"site": "site", "trainee": "training"}.get(user or "", "central")
        values = {"study": self.tmp / "study", "tmp": self.tmp, "user": user or "nobody", "role": role, "run": self.known["run"], "subject": self.known["cases"].get(user or "", "S-001")}
        words = [word.format(**values) for word in TABLE[command][0]]
        code = main([*command.split(), *words, *([OWN_OPTION.get(command, "--user"), user] if user else []), "--json"])
        answer = json.loads(self.capsys.readouterr().out)
        assert code in (0, 3, 4), answer
        return answer["error"]["code"] if "error" in answer else None


@pytest.fixture
def asked(prepared: Path, tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Asked:
    monkeypatch.setattr(app.cli, "build_parser", parser)
    return Asked(prepared, tmp_path, capsys, monkeypatch)


@pytest.mark.parametrize("command", TABLE)
def test_that_a_command_is_done_for_whose_role_allows_it_and_for_nobody_else(asked: Asked, command: str) -> None:
    assert asked(command, None) == "sign_in_needed"
    answers = {user: asked(command, user) for user in sorted(EVERYBODY)}
    assert {user for user, code in answers.items() if code not in NO} == TABLE[command][1], answers
    assert asked(command, None) == "sign_in_needed"  # who was signed in is so for one command alone


def test_that_open_commands_show_nothing_of_what_is_in_the_study(asked: Asked, capsys: pytest.CaptureFixture) -> None:
    assert main(["study", "init", str(asked.tmp / "study"), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "study_exists"
    assert main(["audit", "verify", str(asked.tmp / "study"), "--json"]) == 0
    assert "S-001" not in capsys.readouterr().out


def test_that_wrong_passwords_rest_the_account_for_every_command(asked: Asked) -> None:
    asked.monkeypatch.setenv("NODUS_PASSWORD", "not the password")
    assert [asked("study status", "manager") for _ in range(5)] == ["password_wrong"] * 5
    asked.monkeypatch.setenv("NODUS_PASSWORD", PASSWORD)
    assert {asked(command, "manager") for command in ("study status", "export", "study import")} == {"sign_in_paused"}
    assert asked("study status", "site") is None


def test_that_a_command_that_stood_still_for_too_long_changes_nothing(asked: Asked) -> None:
    """The same limit of time as in the window: what comes after it needs the password again."""
    signed_in = StudyStore.sign_in

    def and_wait(store: StudyStore, user: str, password: str):
        signed_in(store, user, password)
        started = store._clock
        store._clock = lambda: started() + dt.timedelta(seconds=waited)

    asked.monkeypatch.setattr(StudyStore, "sign_in", and_wait)
    waited = DEFAULT_TIMEOUT_S - 5
    assert asked("study add-visit", "manager") is None
    waited = DEFAULT_TIMEOUT_S + 5
    for command in ("study add-event", "study status", "export", "study lock"):
        assert asked(command, "site" if command == "study lock" else "manager") == "session_locked"
