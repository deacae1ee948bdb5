"""Plans that the tests of planning share."""

from __future__ import annotations

from planning import TreatmentPlan

ONE = {"model": "constant", "sigma_s_per_m": 1.0}
LIVER = {"model": "ramp", "sigma0_s_per_m": 0.08, "sigma1_s_per_m": 0.32, "e_low_v_per_cm": 350, "e_high_v_per_cm": 700}


def plan_dict(*, d=15.0, length=20.0, volts=2250.0, diameter=1.0, spacing=1.0, box=48.0, background=None, regions=(), center=(0, 0, 0)):
    """Two parallel needles along z, exposed symmetrically about the origin."""
    return {
        "schema": "nodus.plan/1",
        "domain": {"center_mm": list(center), "size_mm": [box] * 3, "spacing_mm": spacing},
        "background": dict(background or ONE),
        "regions": list(regions),
        "electrodes": [{"id": f"E{n + 1}", "tip_mm": [x, 0.0, -length / 2], "entry_mm": [x, 0.0, 40.0], "exposure_mm": length, "diameter_mm": diameter}
                       for n, x in enumerate((-d / 2, d / 2))],
        "pulses": [{"anode": "E1", "cathode": "E2", "voltage_v": volts, "pulses": 90, "width_us": 70, "rate_hz": 1}],
        "thresholds_v_per_cm": [400, 500, 680],
        "lethal_v_per_cm": 500,
        "boundary": "insulating",
        "margin_mm": 5,
    }


def make_plan(**more) -> TreatmentPlan:
    """The same as a value."""
    return TreatmentPlan.from_dict(plan_dict(**more), {})


def four_needles(**more) -> dict:
    """Four needles on a square of 14 mm with all six pairs."""
    d = plan_dict(**more)
    d["electrodes"] = [{"id": f"E{n + 1}", "tip_mm": [x, y, -10.0], "entry_mm": [x, y, 40.0], "exposure_mm": 20.0, "diameter_mm": 1.0}
                       for n, (x, y) in enumerate([(-7.1, -6.8), (7.0, -7.2), (-6.9, 7.3), (7.2, 6.9)])]
    d["pulses"] = [{"anode": f"E{a}", "cathode": f"E{b}", "voltage_v": 2100.0} for a, b in ((1, 2), (3, 4), (1, 3), (2, 4), (1, 4), (2, 3))]
    return d
