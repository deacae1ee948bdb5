"""Rules of anatomy and device: what is not known refuses, what is near a limit warns, with value and limit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import resources
from planning import TreatmentPlan
from planning.anatomy import Anatomy, StatedClear, is_named, side_named
from planning.electrode import Electrode, bipolar_electrodes, on_one_shaft
from planning.errors import PlanRefused
from planning.pulse import PulsePair
from planning.safety import DeviceLimits, anatomy_constraints, device_constraints
from tests.planning.helpers import make_plan, plan_dict

DEVICES = Path(resources.__file__).parent / "devices"


def vessel(name: str, role: str = "at_risk") -> dict:
    """A region of that name beside the needles."""
    return {"name": name, "role": role, "shape": {"type": "capsule", "from_mm": [0, 14, -15], "to_mm": [0, 14, 15], "diameter_mm": 6}}


def rules(anatomy: dict | None, *names: str, distance_mm: float | None = 11.0, role: str = "at_risk", move_mm: float = 0.0) -> list:
    """Constraints of a plan with outlined structures of these names, as ``(code, level, value, limit)``."""
    d = plan_dict(regions=[vessel(n, role) for n in names])
    if anatomy is not None:
        d["anatomy"] = anatomy
    plan = TreatmentPlan.from_dict(d, {})
    if move_mm:
        first = plan.electrodes[0]
        plan = replace(plan, electrodes=(replace(first, tip_mm=(first.tip_mm[0], first.tip_mm[1] + move_mm, first.tip_mm[2])), *plan.electrodes[1:]))
    rows = [{"name": n, "distance_mm": distance_mm} for n in names] if role == "at_risk" else []
    return [(c.code, c.level, c.value, c.limit) for c in anatomy_constraints(plan, {e.id: rows for e in plan.electrodes})]


UNKNOWN = ("structure_unknown", "refuse", None, 15.0)


def neck(side: str = "left", *stated: str, **more) -> dict:
    """The anatomy of a neck plan; ``stated`` are structures said to be far."""
    return {"site": "neck", "side": side, "stated_clear": [{"name": n, "by": "Dr A", **more} for n in stated]}


@pytest.mark.parametrize(
    ("anatomy", "names", "unknown"),
    [
        (None, (), 0),  # a plan that says nothing of its anatomy is judged as before
        ({"site": "liver"}, (), 0),
        (neck(), (), 2),
        (neck(), ("carotid",), 1),
        (neck(), ("carotid", "jugular"), 0),
        (neck(), ("left carotid", "IJV left"), 0),
        (neck(), ("right carotid", "jugular"), 1),  # the other side's carotid answers nothing
        (neck(), ("vessel 1", "vessel 2"), 2),  # names that do not say what they are
        (neck(), ("jugular chain node", "carotid body"), 2),
        (neck(), ("LICA", "lijv"), 0),
        (neck("midline"), ("left carotid", "left jugular"), 2),
        (neck("midline"), ("carotid", "carotid", "jugular", "right jugular"), 0),
        (neck("left", "carotid"), ("jugular",), 0),
        (neck("left", "right carotid"), ("jugular",), 1),
        (neck("midline", "carotid", "left jugular"), (), 1),
        ({**neck(), "required": ["trachea"]}, ("carotid", "jugular"), 1),
        ({**neck(), "required": ["trachea"]}, ("carotid", "jugular", "Trachea lumen"), 0),
        ({**neck(), "required": []}, (), 2),  # what a site requires cannot be taken away
    ],
)
def test_that_a_structure_neither_outlined_nor_stated_far_refuses(anatomy, names, unknown):
    assert rules(anatomy, *names) == [UNKNOWN] * unknown


def test_that_an_outline_that_is_not_at_risk_answers_nothing():
    assert rules(neck(), "carotid", "jugular", role="tissue") == [UNKNOWN] * 2


def test_that_without_a_side_an_outline_answers_and_the_doubt_is_said():
    assert rules(neck("unknown")) == [UNKNOWN] * 2
    assert [c[:2] for c in rules(neck("unknown"), "right carotid", "jugular")] == [("side_unstated", "warn")] * 2


@pytest.mark.parametrize(("reserve_mm", "move_mm", "holds"), [(15.0, 0.0, True), (15.0, 0.5, False), (20.0, 5.0, True), (20.0, 5.5, False)])
def test_that_a_statement_holds_only_as_long_as_needles_stay_within_it(reserve_mm, move_mm, holds):
    needles = make_plan().electrodes
    stated = [StatedClear.of(name, "Dr A", needles, farther_than_mm=reserve_mm, utc="2026-01-05T08:00:00Z").to_dict() for name in ("carotid", "jugular")]
    assert rules({"site": "neck", "side": "left", "stated_clear": stated}, move_mm=move_mm) == ([] if holds else [UNKNOWN] * 2)


def test_that_a_statement_does_not_hold_for_a_needle_placed_later():
    plan = make_plan()
    stated = StatedClear.of("carotid", "Dr A", plan.electrodes[:1])
    assert stated.no_longer_holds_for(plan.electrodes) == ["E2"]


def test_that_a_statement_disproved_by_an_outline_refuses_with_the_distance():
    found = rules(neck("left", "carotid"), "carotid left", "jugular", distance_mm=8.0)
    assert found == [("stated_clear_wrong", "refuse", 8.0, 15.0)] * 2  # once a needle
    assert rules(neck("left", "left carotid"), "right carotid", "jugular", distance_mm=8.0) == []
    assert rules(neck("left", "carotid"), "carotid left", "jugular", distance_mm=15.0) == []


def test_that_the_anatomy_comes_back_as_it_was_written():
    plan = make_plan()
    anatomy = Anatomy.of_site("neck", "left", (StatedClear.of("jugular", "Dr A", plan.electrodes, farther_than_mm=18.0),))
    plan = replace(plan, anatomy=anatomy)
    again = TreatmentPlan.from_dict(json.loads(json.dumps(plan.to_dict())), {})
    assert again.anatomy == anatomy
    assert not [n for n in again.notes if n[0] == "unknown_key"]
    assert "anatomy" not in make_plan().to_dict()


@pytest.mark.parametrize(
    "anatomy",
    [
        "neck", {}, {"site": "foot"}, {"site": "neck", "side": "port"}, {"site": "neck", "sides": "left"}, {"site": "neck", "required": "carotid"},
        {"site": "neck", "stated_clear": [{"name": "carotid"}]}, {"site": "neck", "stated_clear": [{"name": "carotid", "by": " "}]},
        {"site": "neck", "stated_clear": [{"name": "carotid", "by": "A", "farther_than_mm": 14.9}]},
        {"site": "neck", "stated_clear": [{"name": "carotid", "by": "A", "farther_than_mm": float("nan")}]},
        {"site": "neck", "stated_clear": [{"name": "carotid", "by": "A", "needles": [{"id": "E1", "tip_mm": [0, 0]}]}]},
    ],
)  # fmt: skip
def test_that_an_anatomy_that_cannot_be_read_is_refused(anatomy):
    with pytest.raises(PlanRefused) as refused:
        TreatmentPlan.from_dict({**plan_dict(), "anatomy": anatomy}, {})
    assert refused.value.code == "bad_anatomy"


def test_that_names_are_taken_by_their_words():
    assert is_named("A. carotis communis sin.", "carotid")
    assert side_named("A. carotis communis sin.") == "left"
    assert is_named("carotid_L", "carotid")
    assert side_named("carotid_L") == "left"
    assert not is_named("pericarotid fat", "carotid")
    assert is_named("left vagus nerve", "vagus")
    assert side_named("carotid, left and right") is None


def constraints(**more) -> dict:
    """Device constraints of a plan by code."""
    d = plan_dict()
    for e in d["electrodes"]:
        e |= more
    return {c.code: c for c in device_constraints(TreatmentPlan.from_dict(d, {}), None, DeviceLimits())}


def test_that_depth_and_bare_metal_near_the_entry_warn_with_value_and_limit():
    assert constraints() == {}
    near = {c.code: c for c in device_constraints(_entries_at(11.5), None, DeviceLimits())}["exposure_near_entry"]
    assert (near.level, near.value, near.limit) == ("warn", pytest.approx(1.5), 2.0)
    deep = {c.code: c for c in device_constraints(_entries_at(145.0), None, DeviceLimits())}["depth"]
    assert (deep.level, deep.value, deep.limit) == ("warn", pytest.approx(155.0), 150.0)
    beyond = {c.code: c for c in device_constraints(_entries_at(8.0), None, DeviceLimits())}
    assert beyond["exposure_beyond_entry"].level == "refuse"
    assert "exposure_near_entry" not in beyond


def _entries_at(z: float) -> TreatmentPlan:
    d = plan_dict()
    for e in d["electrodes"]:
        e["entry_mm"] = [e["tip_mm"][0], 0.0, z]
    return TreatmentPlan.from_dict(d, {})


def test_that_the_device_file_says_what_the_program_keeps():
    content = json.loads((DEVICES / "ire_generator.json").read_text("utf-8"))
    assert DeviceLimits.from_dict(content) == DeviceLimits()


def test_that_the_energy_of_a_train_is_volts_amperes_width_and_number():
    assert PulsePair("E1", "E2", 2000.0, 90, 100.0).energy_j(-30.0) == pytest.approx(540.0)


def test_that_gating_is_noted_and_kept():
    d = plan_dict()
    assert "ecg_gated" not in TreatmentPlan.from_dict(d, {}).to_dict()["pulses"][0]
    d["pulses"][0]["ecg_gated"] = True
    assert TreatmentPlan.from_dict(d, {}).to_dict()["pulses"][0]["ecg_gated"] is True
    d["pulses"][0]["ecg_gated"] = "yes"
    with pytest.raises(PlanRefused, match="ecg_gated"):
        TreatmentPlan.from_dict(d, {})


def test_that_a_bipolar_probe_is_two_electrodes_on_one_shaft_that_a_plan_refuses_by_name():
    probe = json.loads((DEVICES / "probe_bipolar_16g.json").read_text("utf-8"))
    assert probe["verified"] is False
    low, high = bipolar_electrodes(probe, "B", (0.0, 0.0, -11.0), (0.0, 0.0, 40.0))
    assert on_one_shaft(low, high)
    assert on_one_shaft(high, low)
    assert high.tip_mm[2] - low.exposed_end_mm[2] == pytest.approx(probe["gap_mm"])
    with pytest.raises(PlanRefused) as refused:
        replace(make_plan(), electrodes=(low, high), pulses=(PulsePair("Ba", "Bb", 2700.0),))
    assert refused.value.code == "one_shaft"
    crossing = Electrode("E2", (0.0, -10.0, 0.0), (0.0, 30.0, 0.0), 20.0, 1.65)
    with pytest.raises(PlanRefused) as refused:
        replace(make_plan(), electrodes=(replace(low, id="E1"), crossing))
    assert refused.value.code == "needles_touch"
    with pytest.raises(PlanRefused) as refused:
        bipolar_electrodes({"kind": "monopolar", "electrode_mm": 7, "gap_mm": 8, "diameter_mm": 1}, "B", (0, 0, 0), (0, 0, 1))
    assert refused.value.code == "bad_device"
