"""What may be stated of a lesion, and which protocol asks for what."""

import pytest

from app.study.lesions import BASELINE, BY_NAME, FIELDS, FOLLOW_UP, fields_asked, lesion_findings, lesion_statement
from app.study.model import ReadingStatus
from app.study.protocol import load_protocol
from volumetry.errors import NodusError

RECIST = {"role", "organ", "nodal", "treated", "progressed", "state", "parts_mm", "new_lesion_certain"}


def names(protocol: str, **more) -> set[str]:
    return {f.name for f in fields_asked(load_protocol(protocol), **more)}


def test_that_each_protocol_asks_for_what_its_own_criteria_look_at():
    assert names("latc-neoadjuvant") == RECIST
    assert names("rfa-crlm") == RECIST | {"control"}
    assert names("mtt-liver") == {"role", "organ", "nodal", "state", "new_lesion_certain", "viable_diameter_mm", "control"}
    assert names("ire-cervical-ln", modality="CT") == RECIST
    assert names("ire-cervical-ln", modality="CEUS") == set()  # ultrasound is no method of RECIST


def test_that_a_look_before_and_one_after_treatment_are_asked_different_things():
    first, later = names("rfa-crlm", when=BASELINE), names("rfa-crlm", when=FOLLOW_UP)
    assert "organ" in first - later
    assert {"control", "state", "parts_mm", "new_lesion_certain"} <= later - first
    assert first | later == names("rfa-crlm")


def test_that_a_statement_keeps_what_was_said_and_nothing_else():
    said = lesion_statement({"control": "viable", "organ": "  liver ", "viable_diameter_mm": 0, "role": None, "parts_mm": (), "nodal": False})
    assert said == {"organ": "liver", "nodal": False, "viable_diameter_mm": 0.0, "control": "viable"}
    assert list(said) == [f.name for f in FIELDS if f.name in said]
    assert lesion_statement({}) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("role", "targets"), ("state", "worse"), ("control", "partial"), ("nodal", "yes"), ("nodal", 1), ("viable_diameter_mm", -0.1), ("viable_diameter_mm", float("nan")), ("viable_diameter_mm", "12"),
        ("viable_diameter_mm", 501), ("viable_diameter_mm", True), ("parts_mm", [8]), ("parts_mm", [8, 0]), ("parts_mm", "8, 6"), ("organ", "x" * 61), ("organ", "li\nver"),
    ],
)  # fmt: skip
def test_that_a_value_of_another_kind_is_refused(name, value):
    with pytest.raises(NodusError) as refused:
        lesion_statement({name: value})
    assert refused.value.code == "lesion_value_refused"
    assert name in str(refused.value)


def test_that_an_unknown_field_is_refused():
    with pytest.raises(NodusError) as refused:
        lesion_statement({"viable_mm": 3})
    assert refused.value.code == "lesion_field_unknown"
    assert set(BY_NAME) == RECIST | {"viable_diameter_mm", "control"}


@pytest.mark.parametrize(
    ("status", "given"),
    [
        ("measured", {"role": "target", "state": "present"}),
        ("measured", {"role": "target", "new_lesion_certain": True}),
        ("measured", {"role": "new", "treated": True}),
        ("measured", {"control": "complete", "viable_diameter_mm": 4}),
        ("not_evaluable", {"viable_diameter_mm": 4}),
        ("not_imaged", {"control": "complete"}),
        ("not_evaluable", {"state": "gone"}),
        ("disappeared_assessed", {"viable_diameter_mm": 4}),
        ("disappeared_assessed", {"state": "progressed"}),
        ("disappeared_assessed", {"role": "new"}),
        ("too_small", {"parts_mm": [3, 4]}),
    ],
)
def test_that_a_contradiction_is_refused_and_not_resolved(status, given):
    with pytest.raises(NodusError) as refused:
        lesion_statement(given, status=ReadingStatus(status))
    assert refused.value.code == "lesion_contradiction"


def test_that_viable_tumour_without_arterial_enhancement_can_be_stated():
    assert lesion_statement({"control": "viable", "viable_diameter_mm": 0}) == {"viable_diameter_mm": 0.0, "control": "viable"}
    assert lesion_statement({"control": "not_evaluable", "state": "not_evaluated"}, status="not_evaluable") == {
        "state": "not_evaluated",
        "control": "not_evaluable",
    }


def test_that_an_enhancing_diameter_beyond_the_long_axis_is_a_doubt_and_no_refusal():
    assert [f.code for f in lesion_findings({"viable_diameter_mm": 21}, long_axis_mm=20)] == ["viable_above_axis"]
    assert lesion_findings({"viable_diameter_mm": 20}, long_axis_mm=20) == ()
    assert lesion_findings({"viable_diameter_mm": 20}) == ()
