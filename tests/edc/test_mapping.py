"""The mapping files: the shipped ones are whole, a wrong one is refused with every fault."""

from __future__ import annotations

import copy
import json
from importlib import resources
from pathlib import Path

import pytest

from app.edc.items import FORMS
from app.edc.mapping import available, check_mapping, load_mapping
from app.study.errors import StudyRefused
from app.study.protocol import available as protocols
from app.study.protocol import load_protocol


def content(name: str = "ire-cervical-ln") -> dict:
    return json.loads((resources.files("resources") / "edc" / f"{name}.json").read_text("utf-8"))


def test_that_every_shipped_protocol_has_a_mapping_that_knows_all_its_visits() -> None:
    assert set(protocols()) <= set(available())
    for name in protocols():
        mapping, protocol = load_mapping(name), load_protocol(name)
        assert [v.name for v in protocol.visits if v.name not in mapping.visits] == []
        assert (protocol.content.get("edc") or {}).get("mapping", name) == name
        assert {form for form, _item in mapping.fields} == set(FORMS)


def test_that_events_stand_in_the_order_of_their_visit_numbers() -> None:
    mapping = load_mapping("ire-cervical-ln")
    names = [e.name for e in mapping.events()]
    assert names[:5] == ["Screening", "Baseline", "Day 0", "Day 30", "Salvage"]
    assert mapping.event_of_visit("Extra look").repeating
    assert mapping.event_of_session("salvage", None).oid == "SE.SALV"
    assert mapping.event_of_session(None, "Month 3").oid == "SE.M03"


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda c: c.update(schema="x"), "schema must be"),
        (lambda c: c.update(dates="maybe"), "dates must be"),
        (lambda c: c["study"].pop("oid"), "study.oid"),
        (lambda c: c["visits"]["Day 30"].update(oid="SE.BL"), "is that of visits['Baseline']"),
        (lambda c: c["visits"]["Day 30"].update(redcap="Day 30"), "unique event name"),
        (lambda c: c["sessions"].update(day9=c["unscheduled"]), "is no session"),
        (lambda c: c["forms"]["reading"]["items"].pop("volume_ml"), "volume_ml is not mapped"),
        (lambda c: c["forms"]["reading"]["items"].update(reading_id=None), "reading_id must be sent"),
        (lambda c: c["forms"]["reading"]["items"].update(more={"oid": "X", "redcap": "x"}), "more is not known"),
        (lambda c: c["forms"]["reading"]["items"]["side"].update(redcap="rd_level"), "rd_level is that of"),
        (lambda c: c["forms"]["reading"]["items"]["side"].update(redcap="Side Of The Neck"), "at most 26 characters"),
        (lambda c: c["sdtm"].update(studyid="X" * 30), "at most 20 characters"),
        (lambda c: c["sdtm"].update(sums="all"), "sdtm.sums"),
        (lambda c: c["sdtm"]["devices"][0]["parameters"].pop("DEVTYPE"), "DEVTYPE"),
    ],
)
def test_that_a_fault_is_told_by_its_place(spoil, told: str) -> None:
    spoiled = copy.deepcopy(content())
    spoil(spoiled)
    assert any(told in fault for fault in check_mapping(spoiled)), check_mapping(spoiled)


def test_that_a_file_that_is_no_mapping_or_of_another_trial_is_refused(tmp_path: Path) -> None:
    for text, code in (("{", "mapping_refused"), ("[]", "mapping_refused"), (json.dumps(content("mtt-liver")), "mapping_refused")):
        (tmp_path / "m.json").write_text(text, "utf-8")
        with pytest.raises(StudyRefused) as caught:
            load_mapping("ire-cervical-ln", tmp_path / "m.json")
        assert caught.value.code == code
    for name, path in (("no-such-trial", None), ("ire-cervical-ln", tmp_path / "absent.json")):
        with pytest.raises(StudyRefused) as caught:
            load_mapping(name, path)
        assert caught.value.code == "mapping_missing"


def test_that_an_item_that_is_not_sent_is_no_field() -> None:
    spoiled = content()
    spoiled["forms"]["reading"]["items"]["series_uid"] = None
    from app.edc.mapping import mapping_from

    assert "series_uid" not in mapping_from(spoiled).items("reading")
