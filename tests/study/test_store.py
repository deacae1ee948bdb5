"""The study folder: made once, opened again, refused where it cannot be trusted."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.study import migrations, schema
from app.study.audit import verify
from app.study.errors import StudyRefused
from app.study.model import ReadingState, ReadingStatus
from app.study.store import StudyStore
from tests.study.builders import CaseBuilder


def refused(code: str):
    """Expect a refusal with this code."""
    return pytest.raises(StudyRefused, check=lambda error: error.code == code)


def writing(store: StudyStore):
    """A connection that may write, past the store."""
    return store._engine.execution_options(nodus_write=True).begin()


def test_that_a_new_study_opens_again_with_its_identity_and_protocol(tmp_path: Path) -> None:
    with StudyStore.create(tmp_path / "s", name="Trial 1") as made:
        study_id = made.study_id
    with StudyStore.open(tmp_path / "s") as opened:
        assert (opened.study_id, opened.name) == (study_id, "Trial 1")
        assert opened.protocol.stamp == "ire-cervical-ln/2"
        assert opened.protocol.visit("Day 30").window_days == (-7, 7)


def test_that_a_study_is_not_made_over_another_or_over_foreign_files(tmp_path: Path) -> None:
    StudyStore.create(tmp_path / "s").close()
    with refused("study_exists"):
        StudyStore.create(tmp_path / "s")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with refused("folder_not_empty"):
        StudyStore.create(tmp_path / "other")
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["notes.txt"]


def test_that_a_missing_a_damaged_and_a_newer_study_are_refused_by_name(tmp_path: Path) -> None:
    with refused("study_missing"):
        StudyStore.open(tmp_path / "nowhere")
    StudyStore.create(tmp_path / "s").close()
    database = tmp_path / "s" / "study.sqlite"
    whole = database.read_bytes()

    database.write_bytes(b"this is not a database" * 100)
    with refused("study_damaged"):
        StudyStore.open(tmp_path / "s")
    database.write_bytes(whole[: len(whole) // 2])
    with refused("study_damaged"):
        StudyStore.open(tmp_path / "s")

    database.write_bytes(whole)
    connection = sqlite3.connect(database)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    before = database.read_bytes()
    with refused("study_newer"):
        StudyStore.open(tmp_path / "s")
    assert database.read_bytes() == before


def test_that_the_migrations_make_exactly_the_schema_the_program_uses(store: StudyStore) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    with store._read() as connection:
        context = MigrationContext.configure(connection)
        differences = compare_metadata(context, schema.metadata)
        dialect = connection.dialect.name
        there = {"sqlite": "SELECT name FROM sqlite_master WHERE type = 'trigger'", "postgresql": "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"}
        assert sorted(row[0] for row in connection.exec_driver_sql(there[dialect])) == sorted(schema.guards(dialect))
    assert differences == []
    config = Config()
    config.set_main_option("script_location", str(migrations.FOLDER))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    assert [r.revision for r in script.walk_revisions()][::-1] == list(migrations.REVISIONS)


@pytest.mark.sqlite_only
@pytest.mark.parametrize("name", ["DOE^JANE", "", "  ", "Jane Doe", "a/b", "x" * 33, "S-1\n"])
def test_that_only_pseudonyms_become_subjects_and_a_name_is_not_repeated(store: StudyStore, name: str) -> None:
    with pytest.raises(StudyRefused) as caught:
        store.add_subject(name)
    assert caught.value.code == "pseudonym_refused"
    assert not name.strip() or name not in caught.value.message
    assert store.subjects() == []


def test_that_records_come_back_as_they_were_given(case: CaseBuilder) -> None:
    store = case.store
    assert [v.name for v in store.visits("S-001")] == ["Baseline", "Day 30", "Month 3"]
    assert store.nodes("S-001") == [case.node]
    store.add_event("S-001", "IRE", "2026-01-07", node_id=case.node.node_id, detail={"pairs": 3})
    assert store.clinical_events()[0].detail == {"pairs": 3}
    run = store.save_plan_run({"coverage_pct": 99.5}, subject_id="S-001")
    assert store.list_plan_runs("S-001") == [run]
    store.set_setting("layout", {"columns": [1, 2]})
    store.set_setting("layout", {"columns": [2, 1]})
    assert store.get_setting("layout") == {"columns": [2, 1]}
    assert verify(store).ok


def test_that_a_visit_or_node_changes_with_a_reason_only(case: CaseBuilder) -> None:
    store, visit = case.store, case.visits["Day 30"]
    with refused("reason_missing"):
        store.update_visit(visit.visit_id, reason=" ", actual_date="2026-02-07")
    store.update_visit(visit.visit_id, reason="read from the scan", actual_date="2026-02-07")
    assert store.visit(visit.visit_id).actual_date == "2026-02-07"
    event = store.events()[-1]
    assert (event["field"], event["old"], event["new"]) == ("actual_date", "2026-02-06", "2026-02-07")
    assert event["reason"] == "read from the scan"
    with refused("identity_fixed"):
        store.update_node(case.node.node_id, reason="x", node_id="N-other")
    with refused("level_refused"):
        store.update_node(case.node.node_id, reason="x", level="VIII")


def test_that_nothing_is_added_to_what_is_not_there(case: CaseBuilder) -> None:
    store = case.store
    with refused("subject_missing"):
        store.add_visit("S-404", "Baseline")
    with refused("visit_missing"):
        case.save(visit_id="V-404")
    with refused("node_missing"):
        store.add_event("S-001", "IRE", "2026-01-07", node_id="N-404")
    other = CaseBuilder(store, "S-002")
    with refused("subject_mismatch"):
        case.save(node_id=other.node.node_id)


@pytest.mark.sqlite_only
def test_that_a_blob_is_named_by_its_content_and_verified_on_reading(store: StudyStore) -> None:
    sha256 = store.put_blob(b"mask")
    assert store.get_blob(sha256) == b"mask"
    assert store.put_blob(b"mask") == sha256
    path = store.blobs.path(sha256)
    assert path.relative_to(store.folder).parts == ("blobs", sha256[:2], sha256)
    path.write_bytes(b"mosk")
    with refused("blob_altered"):
        store.get_blob(sha256)
    assert store.put_blob(b"mask") == sha256  # storing it again puts it right
    assert store.get_blob(sha256) == b"mask"
    path.unlink()
    with refused("blob_missing"):
        store.get_blob(sha256)
    with refused("blob_name_bad"):
        store.get_blob("../../etc/passwd")


def test_that_a_series_lies_in_its_folder_only_when_it_is_recorded(case: CaseBuilder) -> None:
    store, visit = case.store, case.visits["Baseline"]
    with store.stage_series() as staged:
        (staged / "1.dcm").write_bytes(b"one")
        (staged / "2.dcm").write_bytes(b"two")
        record = store.add_series(visit.visit_id, series_uid="1.2.3", modality="CT", kind="volume", staged=staged)
    assert record.files == ("1.dcm", "2.dcm")
    assert (store.series_folder(record) / "2.dcm").read_bytes() == b"two"
    assert record.folder == f"images/{visit.visit_id}/{record.series_id}"
    assert store.series(visit.visit_id) == [record]

    with store.stage_series() as staged:
        (staged / "1.dcm").write_bytes(b"again")
        with refused("series_exists"):
            store.add_series(visit.visit_id, series_uid="1.2.3", modality="CT", kind="volume", staged=staged)
    assert [p.name for p in (store.folder / "images").iterdir()] == [visit.visit_id]
    assert [p.name for p in (store.folder / "images" / visit.visit_id).iterdir()] == [record.series_id]


def test_that_a_mask_in_work_survives_with_its_steps(case: CaseBuilder) -> None:
    store, node, visit = case.store, case.node.node_id, case.visits["Baseline"].visit_id
    for step in range(60):
        store.save_draft_mask(node, visit, b"step %d" % step)
    store.close()
    with StudyStore.open(store.folder, user="tester") as again:
        history = again.draft_mask_history(node, visit)
        assert len(history) == 50
        assert again.load_draft_mask(node, visit) == b"step 59"
        assert again.get_blob(history[-2]) == b"step 58"
        assert again.load_draft_mask(node, visit, reader="somebody else") is None
        again.clear_draft_mask(node, visit)
        assert again.load_draft_mask(node, visit) is None
        assert verify(again).ok


def test_that_several_threads_save_at_once_and_nothing_is_lost(case: CaseBuilder) -> None:
    store, errors = case.store, []

    def work(number: int) -> None:
        try:
            for i in range(5):
                store.add_subject(f"T-{number}-{i}")
                store.readings()
        except Exception as error:  # handed to the test's thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(store.subjects()) == 21
    report = verify(store)
    assert report.ok
    assert report.events == store.head().events


def test_that_two_programs_may_write_to_one_study(case: CaseBuilder) -> None:
    with StudyStore.open(case.store.folder, user="second") as other:
        other.add_subject("S-100")
        case.store.add_subject("S-101")
        other.add_subject("S-102")
        assert [s.subject_id for s in case.store.subjects()] == ["S-001", "S-100", "S-101", "S-102"]
        assert verify(other).ok


def test_that_a_failing_transaction_leaves_no_trace(case: CaseBuilder, monkeypatch: pytest.MonkeyPatch) -> None:
    from app.study import trail

    before = case.store.head()

    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(trail.TrailWriter, "append", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        case.store.add_subject("S-009")
    monkeypatch.undo()
    assert [s.subject_id for s in case.store.subjects()] == ["S-001"]
    assert case.store.head() == before
    assert verify(case.store).ok


@pytest.mark.sqlite_only
def test_that_opening_removes_what_a_dead_writer_left_and_nothing_else(case: CaseBuilder) -> None:
    store = case.store
    sha256 = store.put_blob(b"kept")
    from app.study.blobs import _HOST

    dead = store.blobs.path(sha256).with_name(f"{sha256}.tmp-{_HOST}-999999999-00aa")
    dead.write_bytes(b"half")
    dead_series = store.folder / "images" / f"series.tmp-{_HOST}-999999999-00ab"
    dead_series.mkdir()
    (dead_series / "1.dcm").write_bytes(b"half")
    mine = store.folder / "notes.txt"
    mine.write_text("kept")
    with store.stage_series() as alive:
        with StudyStore.open(store.folder) as again:
            assert again.get_blob(sha256) == b"kept"
        assert alive.exists()
    assert not dead.exists()
    assert not dead_series.exists()
    assert mine.exists()


@pytest.mark.sqlite_only
def test_that_values_no_database_can_hold_are_refused(case: CaseBuilder) -> None:
    with refused("not_storable"):
        case.save(measurement={"volume": float("nan")})
    with refused("value_refused"):
        case.save(volume_ml=float("nan"))


def test_that_a_direct_change_of_what_is_final_meets_a_rule(case: CaseBuilder, backend: str) -> None:
    locked = case.lock()
    case.store.save_plan_run({}, subject_id="S-001")
    for statement in (
        "UPDATE audit_events SET action = 'x' WHERE seq = 1",
        "DELETE FROM audit_events WHERE seq = 1",
        *(["INSERT OR REPLACE INTO audit_events SELECT * FROM audit_events WHERE seq = 1"] if backend == "sqlite" else ["TRUNCATE audit_events", "TRUNCATE readings"]),
        "UPDATE readings SET volume_ml = 9",
        "UPDATE readings SET state = 'draft'",
        "UPDATE readings SET state = 'superseded', volume_ml = 9",
        "DELETE FROM readings",
        "UPDATE plan_runs SET content = '{}'",
        "DELETE FROM plan_runs",
    ):
        with pytest.raises(sa.exc.IntegrityError), writing(case.store) as connection:
            connection.exec_driver_sql(statement)
    assert case.store.reading(locked.reading_id) == locked


def test_that_a_zero_volume_cannot_be_put_in_by_sql_either(case: CaseBuilder) -> None:
    case.save(state=ReadingState.DRAFT)
    with pytest.raises(sa.exc.IntegrityError), writing(case.store) as connection:
        connection.exec_driver_sql("UPDATE readings SET volume_ml = 0")
    saved = case.save("Day 30", status=ReadingStatus.DISAPPEARED_ASSESSED, volume_ml=None, volume_interval_ml=None)
    assert replace(saved).volume_ml == 0.0
