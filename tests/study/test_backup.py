"""A copy of a study is whole or it is refused."""

from __future__ import annotations

import pytest

from app.study.audit import verify
from app.study.backup import backup, restore
from app.study.errors import StudyRefused
from app.study.store import StudyStore


@pytest.fixture
def store(tmp_path):
    with StudyStore.create(tmp_path / "study") as store:
        store.add_subject("S-001")
        store.add_visit("S-001", "Baseline")
        store.put_blob(b"an outline")
        with store.stage_series() as staged:
            (staged / "one.dcm").write_bytes(b"a picture")
            store.add_series(store.visits()[0].visit_id, series_uid="1.2", modality="CT", kind="volume", staged=staged)
        yield store


def test_that_a_restored_study_is_the_study(store, tmp_path):
    backup(store, tmp_path / "copy")
    store.add_subject("S-002")  # after the copy
    with restore(tmp_path / "copy", tmp_path / "again") as again:
        assert [s.subject_id for s in again.subjects()] == ["S-001"]
        assert again.study_id == store.study_id
        record = again.series()[0]
        assert (again.series_folder(record) / record.files[0]).read_bytes() == b"a picture"
        assert verify(again).ok


def test_that_a_changed_backup_is_refused_by_the_files_name(store, tmp_path):
    backup(store, tmp_path / "copy")
    blob = next(p for p in (tmp_path / "copy" / "blobs").rglob("*") if p.is_file())
    blob.write_bytes(b"another")
    with pytest.raises(StudyRefused) as refusal:
        restore(tmp_path / "copy", tmp_path / "again")
    assert refusal.value.code == "backup_damaged"
    assert blob.name in refusal.value.message
    assert not (tmp_path / "again").exists()


def test_that_neither_way_writes_over_anything(store, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    backup(store, tmp_path / "copy")
    for act in (lambda: backup(store, tmp_path / "full"), lambda: restore(tmp_path / "copy", tmp_path / "full")):
        with pytest.raises(StudyRefused) as refusal:
            act()
        assert refusal.value.code == "folder_not_empty"
    assert (tmp_path / "full" / "mine.txt").read_text() == "mine"


def test_that_a_folder_without_a_backup_is_refused(tmp_path):
    with pytest.raises(StudyRefused) as refusal:
        restore(tmp_path, tmp_path / "again")
    assert refusal.value.code == "backup_missing"
