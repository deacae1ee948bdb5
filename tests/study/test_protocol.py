"""Protocols are data: checked before they are trusted, frozen into the study."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest

from app.study.protocol import available, check_protocol, load_protocol
from app.study.store import StudyStore
from tests.study.test_store import refused


def test_that_every_shipped_protocol_has_no_fault_and_names_what_is_open() -> None:
    assert "ire-cervical-ln" in available()
    for name in available():
        protocol = load_protocol(name)
        assert protocol.protocol_id == name
        for entry in protocol.content["open"]:
            assert entry["field"]
            assert entry["note"]


def test_that_the_neck_protocol_has_its_visits_windows_and_limits() -> None:
    protocol = load_protocol("ire-cervical-ln")
    assert [v.name for v in protocol.visits if v.phase == "post"] == ["Day 30", *(f"Month {m}" for m in range(3, 25, 3))]
    assert protocol.visit("Day 30").window_days == (-7, 7)
    assert protocol.visit("Month 12").window_days == (-28, 28)
    limits = protocol.content["limits"]
    assert (limits["nodes_per_side"], limits["long_axis_below_mm"], limits["levels_excluded"]) == (5, 30, ["VII"])
    assert protocol.content["salvage"] == {"allowed": 1, "after_visit": "Day 30", "within_days": 14, "counted_from": "scan"}
    assert protocol.cv_pct("CT", "voxel") is None
    assert protocol.visit("Unscheduled") is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda p: p.update(schema="x"), "schema"),
        (lambda p: p.update(id=""), "id must be text"),
        (lambda p: p.update(visits=[]), "visits must be a list"),
        (lambda p: p["visits"][0].update(name=" "), "visits[0]: name"),
        (lambda p: p["visits"][1].update(phase="during"), "visits[1]: phase"),
        (lambda p: p["visits"][1].update(order=True), "visits[1]: order"),
        (lambda p: p["visits"][2].update(anchor="enrolment"), "visits[2]: anchor"),
        (lambda p: p["visits"][2].update(months=1), "visits[2]: exactly one"),
        (lambda p: p["visits"][2].update(window_days=[7, -7]), "visits[2]: window_days"),
        (lambda p: p["visits"][2].update(name="Baseline"), "same name"),
        (lambda p: p["visits"][2].update(order=0), "same order"),
        (lambda p: p["visits"].append(7), "is not an object"),
        (lambda p: p.pop("reading"), "reading must be an object"),
        (lambda p: p["reading"].update(methods=["guess"]), "reading.methods"),
        (lambda p: p["reading"].update(repeatability_cv_pct={"CT/voxel": -1}), "CT/voxel"),
    ],
)
def test_that_a_fault_is_named_in_a_plain_sentence(change, sentence: str) -> None:
    content = copy.deepcopy(load_protocol("ire-cervical-ln").content)
    change(content)
    assert any(sentence in fault for fault in check_protocol(content))


def test_that_all_faults_are_told_at_once_and_the_file_is_refused(tmp_path: Path) -> None:
    content = copy.deepcopy(load_protocol("ire-cervical-ln").content)
    content["visits"][0]["phase"] = "x"
    content["visits"][1]["anchor"] = "y"
    path = tmp_path / "p.json"
    path.write_text(json.dumps(content))
    with refused("protocol_refused"):
        StudyStore.create(tmp_path / "s", protocol=path)
    assert not (tmp_path / "s").exists()
    assert len(check_protocol(content)) == 2
    path.write_text("{")
    with refused("protocol_refused"):
        load_protocol(path)
    with refused("protocol_missing"):
        load_protocol("no-such-trial")
    assert check_protocol([]) == ["the file is not an object"]


def test_that_a_study_keeps_the_protocol_it_was_made_with(tmp_path: Path) -> None:
    content = copy.deepcopy(load_protocol("ire-cervical-ln").content)
    content.update(id="own-trial", version="3")
    content["reading"]["repeatability_cv_pct"] = {"CT/voxel": 5}
    path = tmp_path / "p.json"
    path.write_text(json.dumps(content))
    StudyStore.create(tmp_path / "s", protocol=path).close()
    path.unlink()
    with StudyStore.open(tmp_path / "s") as store:
        assert store.protocol.stamp == "own-trial/3"
        assert store.protocol.cv_pct("CT", "voxel") == 5.0
        with refused("setting_fixed"):
            store.set_setting("protocol", content)
