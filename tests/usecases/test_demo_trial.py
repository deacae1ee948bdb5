"""``nodus demo --trial``: a study by one command, with an export of every format there is."""

from __future__ import annotations

import json
from pathlib import Path

import argon2
import pytest

from app.cli import main
from app.study import users
from app.usecases.export_edc import FORMATS


def test_that_a_trial_that_cannot_be_is_refused_before_anything_is_written(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["demo", "--trial", "--out", str(tmp_path / "t"), "--subjects", "0"]) == 3
    assert "1 to 999 subjects" in capsys.readouterr().err
    assert not (tmp_path / "t").exists()
    assert main(["demo", "--headless", "--seed", "1"]) == 3
    assert "--trial" in capsys.readouterr().err
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["demo", "--trial", "--out", str(tmp_path), "--subjects", "1"]) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_that_one_command_makes_a_trial_and_every_format_of_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(users, "_HASHER", argon2.PasswordHasher.from_parameters(argon2.profiles.CHEAPEST))
    assert main(["demo", "--trial", "--out", str(tmp_path), "--subjects", "2", "--nodes", "2", "--seed", "3"]) == 0
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    assert {name: e.get("message") for name, e in summary["exports"].items() if "refused" in e} == {}
    assert set(summary["exports"]) == set(FORMATS)
    assert all(len(list((tmp_path / "exports" / name).iterdir())) == e["files"] > 0 for name, e in summary["exports"].items())
    assert summary["audit"]["ok"]
    record = json.loads((tmp_path / "trial.json").read_text("utf-8"))
    assert [s["subject_id"] for s in record["subjects"]] == ["S-001", "S-002"]
    assert (tmp_path / "cohort" / "cohort.json").is_file()
    assert json.loads((tmp_path / "response.json").read_text("utf-8"))["records"] == "accepted"
