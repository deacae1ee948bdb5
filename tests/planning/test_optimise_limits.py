"""Hard limits: read strictly, kept exactly."""

from __future__ import annotations

import pytest

from app.usecases.optimise import read_limits
from app.usecases.plan import tissue_presets
from planning import PlanRefused, TreatmentPlan
from planning.optimise.limits import breaches_of, find_obstacles
from tests.planning.helpers import plan_dict
from tests.planning.necks import neck


def test_that_limits_are_the_devices_unless_narrowed():
    own = read_limits(None)
    assert (own.voltage_most_v, own.current_most_a, own.needles_most, own.path_clearance_mm) == (3000.0, 45.0, 6, 2.0)
    assert own.exposures_mm[0] == 5.0
    some = read_limits({"spacing_mm": [12, 20], "voltage_v": 2500, "current_a": 30, "exposure_mm": [15, 25], "needles": 4, "path_clearance_mm": 3})
    assert (some.spacing_least_mm, some.spacing_most_mm, some.voltage_most_v, some.current_most_a) == (12.0, 20.0, 2500.0, 30.0)
    assert (some.exposures_mm, some.needles_least, some.needles_most, some.path_clearance_mm) == ((15.0, 20.0, 25.0), 2, 4, 3.0)
    assert read_limits({"exposure_mm": [10, 12, 20]}).exposures_mm == (10.0, 12.0, 20.0)


def test_that_limits_never_go_beyond_the_device():
    wide = read_limits({"voltage_v": 10000, "current_a": 500, "needles": 12, "spacing_mm": [1, 100], "exposure_mm": 90, "path_clearance_mm": 0.1})
    assert wide == read_limits(None)


@pytest.mark.parametrize("bad", [
    {"voltage": 3}, {"voltage_v": "3000"}, {"voltage_v": -1}, {"voltage_v": [1, 2, 3]}, {"voltage_v": 100}, {"needles": 2.5}, {"needles": 1}, {"exposure_mm": []},
    {"exposure_mm": [100, 200, 300]}, {"current_a": True}, {"current_a": float("nan")}, {"cone_deg": 120}, [],
])  # fmt: skip
def test_that_limits_that_make_no_sense_are_refused(bad):
    with pytest.raises(PlanRefused) as refusal:
        read_limits(bad)
    assert refusal.value.code == "bad_limits"


def with_rod(x_mm: float, *, role="at_risk", name="carotid", **more) -> TreatmentPlan:
    rod = {"name": name, "role": role, "shape": {"type": "cylinder", "from_mm": [x_mm, -20, 18], "to_mm": [x_mm, 20, 18], "diameter_mm": 4}} | more
    return TreatmentPlan.from_dict(plan_dict(regions=[rod]), tissue_presets())


def test_that_the_whole_path_keeps_its_distance():
    # The rod lies 8 mm above the bare metal; needles at x = -7.5 and 7.5 with a radius of 0.5 mm.
    def codes(x_mm):
        plan = with_rod(x_mm)
        return {b.code: b.value for b in breaches_of(plan, None, read_limits(None), find_obstacles(plan))}

    assert codes(12.1) == {}
    assert codes(11.5) == {"path_clearance": pytest.approx(1.5, abs=0.05)}
    assert codes(8.5) == {"path_crosses": 0.0}


def test_that_bone_airway_and_named_structures_are_obstacles_and_outside_air_is_not():
    def held(**more):
        plan = with_rod(11.5, **({"role": "tissue"} | more))
        return [b.code for b in breaches_of(plan, None, read_limits(None), find_obstacles(plan))]

    assert held(name="left jugular vein") == ["path_clearance"]
    assert held(name="something") == []
    assert held(name="something", conductivity={"preset": "bone"}) == ["path_clearance"]
    assert held(name="something", conductivity={"preset": "air"}) == ["path_clearance"]
    plan = TreatmentPlan.from_dict(neck(3), tissue_presets())
    obstacles = find_obstacles(plan)
    assert [plan.regions[n].name for n in obstacles.outside] == ["air"]
    assert set(obstacles.names.values()) == {"vertebra", "carotid", "jugular", "trachea"}


def test_that_device_limits_are_hard_for_the_optimiser():
    plan = TreatmentPlan.from_dict(plan_dict(d=26.0, volts=3500.0, length=21.0), {})
    assert {b.code for b in breaches_of(plan, None, read_limits(None), find_obstacles(plan))} == {"spacing", "voltage", "exposure"}
    near = TreatmentPlan.from_dict(plan_dict(d=8.0, volts=300.0), {})
    assert {b.code for b in breaches_of(near, None, read_limits({"needles": [3, 4]}), find_obstacles(near))} == {"spacing", "voltage_low", "needles"}
