"""Files are there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os

import pytest

from app.usecases.files import FileRefused, read_json, replacing, sha256_of, write_bytes, write_json, write_text


def write_halfway(target, failure: BaseException) -> None:
    with replacing(target) as partial:
        partial.write_text("half of the new")
        raise failure


def test_that_a_failure_leaves_the_old_file_and_no_leftover(tmp_path):
    target = tmp_path / "report.txt"
    write_text(target, "old")
    with pytest.raises(RuntimeError, match="in the middle"):
        write_halfway(target, RuntimeError("in the middle"))
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.txt"]


def test_that_a_failure_where_nothing_was_before_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write_halfway(tmp_path / "new.json", KeyboardInterrupt())
    assert os.listdir(tmp_path) == []


def test_that_readers_never_see_the_file_before_it_is_whole(tmp_path):
    target = tmp_path / "a.txt"
    with replacing(target) as partial:
        partial.write_text("half")
        assert not target.exists()
        assert partial.parent == tmp_path  # the same disk, so that the move is one step
    assert target.read_text() == "half"


def test_that_the_suffix_by_which_writers_choose_a_format_is_kept(tmp_path):
    with replacing(tmp_path / "mask.nii.gz") as partial:
        assert partial.name.endswith(".nii.gz")
        partial.write_bytes(b"x")


def test_that_folders_are_made_and_the_file_can_be_read_by_others(tmp_path):
    path = write_bytes(tmp_path / "deep" / "er" / "a.bin", b"\x00\x01")
    assert path.read_bytes() == b"\x00\x01"
    assert path.stat().st_mode & 0o777 == 0o644


def test_that_json_is_written_whole_and_without_what_json_has_not(tmp_path):
    write_json(tmp_path / "a.json", {"größe": 1.5})
    assert read_json(tmp_path / "a.json") == {"größe": 1.5}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"größe": 1.5}
    assert os.listdir(tmp_path) == ["a.json"]


def test_that_what_cannot_be_read_is_refused_with_its_name(tmp_path):
    (tmp_path / "bad.json").write_bytes(b"{\xff}")
    for path, code in ((tmp_path / "none.json", "file_missing"), (tmp_path / "bad.json", "not_json"), (tmp_path, "file_unreadable")):
        with pytest.raises(FileRefused) as refused:
            read_json(path)
        assert refused.value.code == code
        assert path.name in refused.value.message


def test_that_a_hash_is_that_of_the_bytes(tmp_path):
    data = os.urandom(3 << 20)
    write_bytes(tmp_path / "a.bin", data)
    assert sha256_of(tmp_path / "a.bin") == hashlib.sha256(data).hexdigest()
