"""Whatever is changed behind the program's back is found."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from app.study.audit import read_anchor, verify, verify_folder
from app.study.store import StudyStore
from app.study.trail import event_sha256
from tests.study.builders import CaseBuilder
from tests.study.test_store import refused


@pytest.fixture
def closed(case: CaseBuilder) -> Path:
    """The folder of a closed study with locked readings, a correction, a picture series and a plan."""
    store = case.store
    mask = store.put_blob(b"mask")
    first = case.lock(mask_sha256=mask)
    case.lock("Day 30", volume_ml=1.0, volume_interval_ml=None)
    store.correct_reading(first.reading_id, "slip", volume_ml=2.2)
    store.lock_reading(first.reading_id, "Dr A", "corrected")
    store.add_event("S-001", "IRE", "2026-01-07")
    store.save_plan_run({"v": 1}, subject_id="S-001", blobs={"field": store.put_blob(b"field")})
    with store.stage_series() as staged:
        (staged / "1.dcm").write_bytes(b"picture")
        visit = case.visits["Baseline"].visit_id
        store.add_series(visit, series_uid="1.2.3", modality="CT", kind="volume", staged=staged)
    store.close()
    return store.folder


def tamper(folder: Path, *statements: str) -> None:
    """Change the database directly, with every rule taken away first and put back after."""
    connection = sqlite3.connect(folder / "study.sqlite")
    triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _sql in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    for _name, sql in triggers:
        connection.execute(sql)
    connection.commit()
    connection.close()


def codes(folder: Path, anchor: Path | None = None) -> tuple[list[str], int | None]:
    """Fault codes and first bad event."""
    with StudyStore.open(folder) as store:
        report = verify(store, anchor)
    assert report.ok == (not report.faults)
    return [fault.code for fault in report.faults], report.first_bad_event


def test_that_an_untouched_study_verifies_with_and_without_an_anchor(closed: Path) -> None:
    with StudyStore.open(closed) as store:
        answer = verify(store).to_dict()
        assert answer["ok"]
        assert answer["faults"] == []
        assert answer["first_bad_event"] is None
        assert answer["head_sha256"] == store.head().sha256
        assert answer["events"] == store.head().events
        assert answer["anchor"] is None
        assert "cut off" in answer["anchor_note"]
        anchored = verify(store, closed / "audit-head.json").to_dict()
        assert anchored["ok"]
        assert anchored["anchor"]["events"] == answer["events"]
        assert anchored["anchor_note"] is None
        assert verify(store, store.head()).ok


def test_that_an_older_anchor_still_fits_a_study_that_went_on(closed: Path, tmp_path: Path) -> None:
    anchor = tmp_path / "kept.json"
    anchor.write_bytes((closed / "audit-head.json").read_bytes())
    with StudyStore.open(closed) as store:
        store.add_subject("S-777")
    assert codes(closed, anchor) == ([], None)


def test_that_an_altered_event_is_found(closed: Path) -> None:
    tamper(closed, "UPDATE audit_events SET user = 'somebody' WHERE seq = 5")
    assert codes(closed) == (["event_altered"], 5)


def test_that_a_removed_event_is_found(closed: Path) -> None:
    tamper(closed, "DELETE FROM audit_events WHERE seq = 6")
    found, first = codes(closed)
    assert "event_missing" in found
    assert first == 6


def test_that_a_removed_and_renumbered_event_is_found(closed: Path) -> None:
    tamper(
        closed,
        "DELETE FROM audit_events WHERE seq = 6",
        "UPDATE audit_events SET seq = -seq WHERE seq > 6",
        "UPDATE audit_events SET seq = -seq - 1 WHERE seq < 0",
    )
    found, first = codes(closed)
    assert "chain_broken" in found
    assert first == 6


def test_that_two_swapped_events_are_found(closed: Path) -> None:
    tamper(
        closed,
        "UPDATE audit_events SET seq = -1 WHERE seq = 4",
        "UPDATE audit_events SET seq = 4 WHERE seq = 5",
        "UPDATE audit_events SET seq = 5 WHERE seq = -1",
    )
    found, first = codes(closed)
    assert "chain_broken" in found
    assert "event_altered" in found
    assert first == 4


def test_that_an_inserted_event_is_found_though_its_own_hash_is_right(closed: Path) -> None:
    connection = sqlite3.connect(closed / "study.sqlite")
    connection.row_factory = sqlite3.Row
    row = dict(connection.execute("SELECT * FROM audit_events WHERE seq = 5").fetchone())
    connection.close()
    row.update(seq=6, reason="made up", previous_sha256=row["sha256"])
    row["sha256"] = event_sha256(row)
    columns = ", ".join(f'"{name}"' for name in row)
    values = ", ".join("NULL" if v is None else repr(v) if isinstance(v, int) else "'" + v.replace("'", "''") + "'" for v in row.values())
    tamper(
        closed,
        "UPDATE audit_events SET seq = -seq WHERE seq > 5",
        "UPDATE audit_events SET seq = -seq + 1 WHERE seq < 0",
        f"INSERT INTO audit_events ({columns}) VALUES ({values})",
    )
    found, first = codes(closed)
    assert "chain_broken" in found
    assert first == 7


def test_that_a_reading_changed_by_sql_is_found_though_the_trail_is_whole(closed: Path) -> None:
    tamper(closed, "UPDATE readings SET volume_ml = 0.5 WHERE version = 2")
    with StudyStore.open(closed) as store:
        report = verify(store)
    assert [f.code for f in report.faults] == ["record_altered"]
    assert report.faults[0].where.startswith("readings:R-")
    assert report.faults[0].where.endswith("@2")


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE subjects SET dates_shifted = 1", "record_altered"),
        ("UPDATE visits SET actual_date = '2026-01-06' WHERE name = 'Baseline'", "record_altered"),
        ("UPDATE nodes SET side = 'right'", "record_altered"),
        ("UPDATE clinical_events SET date = '2025-01-01'", "record_altered"),
        ("UPDATE plan_runs SET content = '{}'", "record_altered"),
        ("UPDATE settings SET value = '{}' WHERE key = 'study2' OR key = 'protocol' AND 0", None),
        ("DELETE FROM clinical_events", "record_missing"),
        ("DELETE FROM readings WHERE version = 1", "record_missing"),
        ("INSERT INTO subjects VALUES ('S-999', 0, 'x')", "record_inserted"),
    ],
)
def test_that_a_record_changed_removed_or_put_in_by_sql_is_found(closed: Path, statement: str, code: str | None) -> None:
    tamper(closed, statement)
    found, _first = codes(closed)
    assert (code in found) if code else found == []


def test_that_an_altered_or_missing_file_is_found(closed: Path) -> None:
    blobs = sorted(p for p in (closed / "blobs").rglob("*") if p.is_file())
    data = bytearray(blobs[0].read_bytes())
    data[0] ^= 1
    blobs[0].write_bytes(bytes(data))
    blobs[1].unlink()
    picture = next((closed / "images").rglob("1.dcm"))
    picture.write_bytes(b"another")
    found, first = codes(closed)
    assert sorted(found) == ["blob_altered", "blob_missing", "image_altered"]
    assert first is None
    picture.unlink()
    assert "image_missing" in codes(closed)[0]


def test_that_a_trail_cut_off_with_its_records_is_found_by_the_anchor_only(closed: Path, tmp_path: Path) -> None:
    with StudyStore.open(closed) as store:
        before = store.head().events
        store.log_event("signed_in", "user:a")
    anchor = tmp_path / "kept.json"
    anchor.write_bytes((closed / "audit-head.json").read_bytes())
    tamper(closed, f"DELETE FROM audit_events WHERE seq > {before}")
    assert codes(closed) == ([], None)
    assert codes(closed, anchor) == (["truncated"], before + 1)


def test_that_a_rebuilt_trail_is_found_by_the_anchor(closed: Path, tmp_path: Path) -> None:
    anchor = tmp_path / "kept.json"
    anchor.write_bytes((closed / "audit-head.json").read_bytes())
    connection = sqlite3.connect(closed / "study.sqlite")
    connection.row_factory = sqlite3.Row
    rows = [dict(r) for r in connection.execute("SELECT * FROM audit_events ORDER BY seq")]
    connection.close()
    previous, statements = "0" * 64, []
    for row in rows:
        row.update(user="somebody else", previous_sha256=previous)
        row["sha256"] = previous = event_sha256(row)
        statements.append(
            f"UPDATE audit_events SET user = 'somebody else', previous_sha256 = '{row['previous_sha256']}', sha256 = '{row['sha256']}' WHERE seq = {row['seq']}"
        )
    tamper(closed, *statements)
    assert codes(closed) == ([], None)
    assert codes(closed, anchor)[0] == ["anchor_mismatch"]


def test_that_a_removed_rule_is_reported(closed: Path) -> None:
    connection = sqlite3.connect(closed / "study.sqlite")
    connection.execute("DROP TRIGGER audit_events_no_delete")
    connection.commit()
    connection.close()
    assert codes(closed) == (["guard_removed"], None)


def test_that_an_anchor_that_is_none_is_refused(closed: Path, tmp_path: Path) -> None:
    with refused("anchor_missing"):
        read_anchor(tmp_path / "nowhere.json")
    (tmp_path / "bad.json").write_text("{}")
    with refused("anchor_refused"):
        read_anchor(tmp_path / "bad.json")
    other = tmp_path / "other"
    StudyStore.create(other).close()
    assert "anchor_of_other_study" in codes(closed, other / "audit-head.json")[0]


def test_that_random_tampering_is_always_found(closed: Path, tmp_path: Path) -> None:
    rng = random.Random(20260105)
    whole = (closed / "study.sqlite").read_bytes()
    anchor = tmp_path / "kept.json"
    anchor.write_bytes((closed / "audit-head.json").read_bytes())
    connection = sqlite3.connect(closed / "study.sqlite")
    count = connection.execute("SELECT count(*) FROM audit_events").fetchone()[0]
    connection.close()
    columns = ["utc", "user", "software_version", "action", "object", "field", "old", "new", "reason", "content_sha256", "previous_sha256", "sha256"]  # fmt: skip

    def alter() -> list[str]:
        return [f"UPDATE audit_events SET {rng.choice(columns)} = 'tampered' WHERE seq = {rng.randint(1, count)}"]

    def remove() -> list[str]:
        return [f"DELETE FROM audit_events WHERE seq = {rng.randint(1, count)}"]

    def truncate() -> list[str]:
        return [f"DELETE FROM audit_events WHERE seq > {rng.randint(0, count - 1)}"]

    def swap() -> list[str]:
        a, b = rng.sample(range(1, count + 1), 2)
        return [f"UPDATE audit_events SET seq = CASE seq WHEN {a} THEN -1 ELSE seq END", f"UPDATE audit_events SET seq = {a} WHERE seq = {b}", f"UPDATE audit_events SET seq = {b} WHERE seq = -1"]  # fmt: skip

    def value() -> list[str]:
        return [f"UPDATE readings SET long_axis_mm = long_axis_mm + {rng.uniform(1e-9, 1):.12f} WHERE version = {rng.randint(1, 2)}"]  # fmt: skip

    kinds: list[Callable[[], list[str]]] = [alter, remove, truncate, swap, value]
    for number in range(60):
        kind = kinds[number % len(kinds)]
        statements = kind()
        tamper(closed, *statements)
        found, _first = codes(closed, anchor)
        assert found, f"not found: {statements}"
        (closed / "study.sqlite").write_bytes(whole)


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("UPDATE settings SET value = '{}' WHERE key = 'protocol'", "record_altered"),
        ("UPDATE settings SET value = 'x' WHERE key = 'study'", "record_altered"),
        ("DELETE FROM settings", "record_missing"),
        ("DROP TABLE draft_masks", "database_damaged"),
        ("DROP TABLE audit_events", "database_damaged"),
        ("UPDATE series SET file_sha256 = 'x'", "record_altered"),
        ("UPDATE plan_runs SET blobs = '[1, 2]'", "blob_missing"),
    ],
)
def test_that_a_study_tampered_with_until_it_does_not_open_still_gets_a_report(closed: Path, statement: str, code: str) -> None:
    connection = sqlite3.connect(closed / "study.sqlite")
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute(statement)
    connection.commit()
    connection.close()
    report = verify_folder(closed)
    assert not report.ok
    assert code in {fault.code for fault in report.faults}


def test_that_a_file_that_is_no_database_is_reported_and_a_missing_one_refused(closed: Path, tmp_path: Path) -> None:
    assert verify_folder(closed, closed / "audit-head.json").ok
    with refused("study_missing"):
        verify_folder(tmp_path / "nowhere")
    (closed / "study.sqlite").write_bytes(b"nothing of the kind" * 1000)
    assert next(f.code for f in verify_folder(closed).faults) == "database_damaged"
