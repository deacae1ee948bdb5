"""Pulses between two needles."""

from __future__ import annotations

import math
from dataclasses import dataclass

from planning.electrode import Electrode, pair_distance_mm
from planning.errors import PlanRefused


@dataclass(frozen=True, slots=True)
class PulsePair:
    """One train: ``pulses`` pulses of ``width_us`` at ``rate_hz``, ``voltage_v`` from anode to
    cathode (electrode ids). ``ecg_gated`` notes whether pulses wait for the heart beat (then ``rate_hz`` is the
    heart's); None: not stated. Refuses a pair of one needle, numbers that are not positive, and
    pulses longer than their period."""

    anode: str
    cathode: str
    voltage_v: float
    pulses: int = 90
    width_us: float = 70.0
    rate_hz: float = 1.0
    ecg_gated: bool | None = None

    def __post_init__(self) -> None:
        if self.anode == self.cathode:
            raise PlanRefused(f"The pulses name needle {self.anode} as both anode and cathode.", code="same_electrode")
        for name, words in (("voltage_v", "voltage"), ("pulses", "number of pulses"), ("width_us", "pulse width"), ("rate_hz", "pulse rate")):
            value = getattr(self, name)
            if not math.isfinite(value):
                raise PlanRefused(f"Pair {self.anode}-{self.cathode}: the {words} is not a number.", code="not_a_number")
            if value <= 0:
                raise PlanRefused(f"Pair {self.anode}-{self.cathode}: the {words} must be more than 0, not {value:g}.", code="bad_pulses")
        if self.width_us * 1e-6 * self.rate_hz > 1.0:
            raise PlanRefused(f"Pair {self.anode}-{self.cathode}: pulses of {self.width_us:g} us do not fit {self.rate_hz:g} of them into a second.", code="bad_pulses")
        if self.ecg_gated is not None and not isinstance(self.ecg_gated, bool):
            raise PlanRefused(f"Pair {self.anode}-{self.cathode}: ecg_gated is true or false, or left out.", code="bad_pulses")

    @classmethod
    def from_v_per_cm(cls, anode: Electrode, cathode: Electrode, v_per_cm: float, **more) -> PulsePair:
        """Voltage = ``v_per_cm`` times the distance between the exposed midpoints."""
        return cls(anode.id, cathode.id, v_per_cm * pair_distance_mm(anode, cathode) / 10.0, **more)

    def energy_j(self, current_a: float) -> float:
        """Electrical energy of the whole train (J) at one current: voltage, current, width and number multiplied."""
        return self.voltage_v * abs(current_a) * self.width_us * 1e-6 * self.pulses

    def to_dict(self) -> dict:
        """As in a plan file."""
        gating = {} if self.ecg_gated is None else {"ecg_gated": self.ecg_gated}
        return {"anode": self.anode, "cathode": self.cathode, "voltage_v": self.voltage_v, "pulses": self.pulses,
                "width_us": self.width_us, "rate_hz": self.rate_hz, **gating}
