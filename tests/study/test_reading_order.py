"""In which order a blinded reader reads: by a seed in the trail, or visit after visit where the protocol says so."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.cli import main
from app.study.audit import verify
from app.study.model import Reading, ReadingState, ReadingStatus
from app.study.store import StudyStore
from tests.study.builders import CaseBuilder
from tests.study.people import PASSWORD, add_people, as_user
from tests.study.test_store import refused

VISITS = {"Baseline": "2026-01-05", "Response scan 1": "2026-02-20", "Month 3": "2026-06-10"}


class Sequence:
    """A subject of the trial that is read in order, with a picture at each of three visits."""

    def __init__(self, folder: Path, subject: str = "R-1", store: StudyStore | None = None) -> None:
        self.store = store or StudyStore.create(folder, protocol="rfa-crlm", user="tester")
        self.subject = subject
        self.store.add_subject(subject)
        self.visits = {name: self.store.add_visit(subject, name, actual_date=day).visit_id for name, day in VISITS.items()}
        for n, visit in enumerate(self.visits.values()):
            self.store.add_series(visit, series_uid=f"1.{subject[-1]}.{n}", modality="CT", kind="volume")
        self.nodes = {label: self.store.add_node(subject, label, "unknown", "unknown").node_id for label in ("A", "B")}

    def save(self, visit: str, node: str, *, reader: str = "reader-a", role: str = "central"):
        draft = Reading("", self.subject, self.visits[visit], self.nodes[node], reader, role, "CT", "voxel", ReadingStatus.MEASURED, ReadingState.MEASURED, volume_ml=2.0, long_axis_mm=20.0)
        return self.store.save_reading(draft)

    def read(self, visit: str, *nodes: str, reader: str = "reader-a") -> None:
        """Save and sign."""
        for node in nodes:
            self.store.lock_reading(self.save(visit, node, reader=reader).reading_id, "", "reading", password=PASSWORD)

    def waits(self) -> dict[str, str | None]:
        return {i.visit: i.waits_for for i in self.store.worklist()}


@pytest.fixture
def trial(tmp_path: Path):
    made = Sequence(tmp_path / "study")
    add_people(made.store)
    as_user(made.store, "reader-a")
    yield made
    made.store.close()


def test_that_a_later_visit_is_neither_opened_nor_read_before_the_earlier_is_locked(trial: Sequence) -> None:
    store, later = trial.store, trial.visits["Response scan 1"]
    assert trial.waits() == {"Baseline": None, "Response scan 1": "Baseline", "Month 3": "Baseline"}
    assert store.series(later) == []
    assert {s.visit_id for s in store.series()} == {trial.visits["Baseline"]}
    for attempt in (lambda: trial.save("Response scan 1", "A"), lambda: store.save_draft_mask(trial.nodes["A"], later, b"x"), lambda: store.check_turn(later)):
        with refused("earlier_visit_open"):
            attempt()
    trial.read("Baseline", "A")
    assert trial.waits()["Response scan 1"] == "Baseline"  # B is not read there yet
    measured = trial.save("Baseline", "B")
    assert measured.state is ReadingState.MEASURED
    assert trial.waits()["Response scan 1"] == "Baseline"  # measured is not locked
    store.lock_reading(measured.reading_id, "", "reading", password=PASSWORD)
    assert trial.waits() == {"Baseline": None, "Response scan 1": None, "Month 3": "Response scan 1"}
    assert [s.visit_id for s in store.series(later)] == [later]
    trial.read("Response scan 1", "A", "B")
    trial.read("Month 3", "A")
    assert verify(store).ok


def test_that_a_lesion_found_later_opens_no_visit_that_was_closed(trial: Sequence) -> None:
    store = trial.store
    trial.read("Baseline", "A", "B")
    trial.nodes["C"] = store.add_node(trial.subject, "C", "unknown", "unknown").node_id
    trial.read("Response scan 1", "A", "C")
    assert trial.waits() == {"Baseline": None, "Response scan 1": None, "Month 3": "Response scan 1"}  # for B, not for C at Baseline
    trial.read("Response scan 1", "B")
    assert trial.waits()["Month 3"] is None


def test_that_each_reader_goes_at_their_own_pace_and_others_are_not_held(trial: Sequence) -> None:
    trial.read("Baseline", "A", "B")
    as_user(trial.store, "reader-b")
    assert trial.waits()["Response scan 1"] == "Baseline"
    as_user(trial.store, "site")
    assert set(trial.waits().values()) == {None}
    trial.save("Month 3", "A", reader="site", role="site")
    as_user(trial.store, "manager")
    assert {i.waits_for for i in trial.store.worklist("reader-b")} == {None, "Baseline"}
    assert len(trial.store.series()) == 3


def test_that_a_correction_of_an_earlier_visit_holds_nothing_up(trial: Sequence) -> None:
    store = trial.store
    trial.read("Baseline", "A", "B")
    first = next(r for r in store._whole_snapshot().readings if r.node_id == trial.nodes["A"])
    store.correct_reading(first.reading_id, "the wrong slice", long_axis_mm=21.0)
    assert trial.waits()["Response scan 1"] is None  # the locked version counts until the correction is locked
    trial.read("Response scan 1", "A")


def test_that_the_command_line_keeps_the_order(trial: Sequence, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    case = trial.store.worklist()[0].case
    trial.store.close()
    monkeypatch.setenv("NODUS_USER", "reader-a")
    monkeypatch.setenv("NODUS_PASSWORD", PASSWORD)

    def line(*words: str) -> dict:
        main([*words, "--json"])
        return json.loads(capsys.readouterr().out)

    def read(visit: str, node: str) -> dict:
        folder = str(trial.store.folder)
        return line("study", "add-reading", folder, "--subject", case, "--visit", visit, "--node", node, "--reader", "reader-a", "--modality", "CT", "--volume-ml", "1")

    assert read("Month 3", "A")["error"]["code"] == "earlier_visit_open"
    for node in "AB":
        assert read("Baseline", node)["state"] == "measured"
    line("study", "lock", str(trial.store.folder))
    assert read("Response scan 1", "A")["state"] == "measured"
    assert {i["visit"]: i["waits_for"] for i in line("study", "worklist", str(trial.store.folder))["worklist"]} == {"Baseline": None, "Response scan 1": None, "Month 3": "Response scan 1"}


def test_that_cases_are_in_an_order_of_the_readers_own_and_visits_in_that_of_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = iter(("5eed" * 4, "0dd5" * 4))
    monkeypatch.setattr("app.study.worklist.secrets", SimpleNamespace(token_hex=lambda _bytes: next(seeds)))
    first = Sequence(tmp_path / "study")
    others = [Sequence(tmp_path, f"R-{n}", first.store) for n in range(2, 8)]
    add_people(first.store)
    orders = {}
    for reader in ("reader-a", "reader-b"):
        items = as_user(first.store, reader).worklist()
        assert [i.visit for i in items] == list(VISITS) * (1 + len(others))
        subject_of = {v: s.subject for s in (first, *others) for v in s.visits.values()}
        orders[reader] = [subject_of[i.visit_id] for i in items[:: len(VISITS)]]
    assert sorted(orders["reader-a"]) == sorted(orders["reader-b"]) == sorted(s.subject for s in (first, *others))
    assert orders["reader-a"] != orders["reader-b"]
    first.store.close()


def test_that_a_random_order_can_be_worked_out_again_from_the_seed_in_the_trail(store: StudyStore) -> None:
    for n in range(1, 6):
        CaseBuilder(store, f"S-{n:03d}").save()
    listed = [i.visit_id for i in store.worklist("reader-a")]
    (event,) = [e for e in store.events() if e["action"] == "reading_order_drawn"]
    assert event["object"] == "settings:order/reader-a"
    seed = json.loads(json.loads(event["new"])["value"])["seed"]
    assert listed == sorted(listed, key=lambda visit: hashlib.sha256(f"{seed}|{visit}".encode()).hexdigest())
    assert len(listed) == 5
