"""A thousand random changes behind the program's back, on both databases: every one is found."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.study.anchors import new_key_file
from app.study.audit import verify
from app.study.store import StudyStore
from tests.study.builders import CaseBuilder
from tests.study.people import PASSWORD, add_people, as_user
from tests.study.tampering import KINDS, tamper_many


@pytest.fixture
def whole(case: CaseBuilder, tmp_path: Path) -> tuple[StudyStore, Path]:
    """A study with everything in it, and an anchor signed with a key that lies elsewhere."""
    store = case.store
    store.add_event("S-001", "IRE", "2026-01-07")
    store.save_plan_run({"plan": {"electrodes": []}}, subject_id="S-001", blobs={"field": store.put_blob(b"field" * 50)})
    store.save_draft_mask(case.node.node_id, case.visits["Baseline"].visit_id, b"draft" * 40)
    add_people(store)
    for reader, volumes in (("reader-a", (2.0, 1.9, 1.0)), ("reader-b", (2.05, 1.85, 0.3))):
        as_user(store, reader)
        for visit, volume in zip(("Baseline", "Day 30", "Month 3"), volumes, strict=True):
            mask = store.put_blob(f"{reader} {visit}".encode() * 20)
            saved = case.save(visit, reader=reader, volume_ml=volume, volume_interval_ml=None, mask_sha256=mask)
            store.lock_reading(saved.reading_id, "", "reading", password=PASSWORD)
        store.correct_reading(saved.reading_id, "slip", volume_ml=volume * 0.9)
        store.lock_reading(saved.reading_id, "", "correction", password=PASSWORD)
    as_user(store, "judge")
    store.adjudicate(case.node.node_id, case.visits["Month 3"].visit_id, "A", reason="rim", password=PASSWORD)
    store.signer = new_key_file(tmp_path / "key.pem", "a passphrase of the key")
    anchor = store.write_anchor(tmp_path / "kept" / "anchor.json")
    report = verify(store, anchor)
    assert report.ok, report.faults
    assert report.signatures_checked == 9
    return store, anchor


def check(whole: tuple[StudyStore, Path], count: int, seed: int):
    store, anchor = whole
    made, missed = tamper_many(store, anchor, count, seed)
    assert missed == []
    assert verify(store, anchor).ok  # every change was taken back: none was found for another's sake
    return made


def test_that_a_hundred_random_tamperings_are_all_found(whole, backend: str) -> None:
    made = check(whole, 100, 20260611)
    assert set(made) == set(KINDS)


@pytest.mark.long
def test_that_a_thousand_random_tamperings_are_all_found(whole, backend: str, record_result) -> None:
    made = check(whole, 1000, 20260612)
    rows = "\n".join(f"| {kind} | {made[kind]} | {made[kind]} |" for kind in KINDS)
    record_result(f"tampering-{backend}", f"Random tampering with a study ({backend})", f"Each change was made behind the program's back, past the database's rules, then checked and taken back.\n\n| kind | made | found |\n| --- | --- | --- |\n{rows}\n| all | {sum(made.values())} | {sum(made.values())} |")
