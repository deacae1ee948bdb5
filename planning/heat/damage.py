"""What heat does to tissue: Arrhenius damage and equivalent minutes at 43 °C, as rates over temperature."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from planning.errors import PlanRefused

# Kinetic sets are published and compared with the constant in four figures; in full it would shorten times by 1 %.
GAS_J_PER_MOL_K = 8.314
ZERO_C_IN_K = 273.15
CEM43_FROM_C = 39.0
TABLE_PER_K = 64
TABLE_TO_C = 150.0


@dataclass(frozen=True, slots=True)
class DamageSet:
    """First-order kinetics ``d omega / dt = a exp(-ea / (R T))``: ``omega`` 1 leaves 37 % alive.

    ``source`` and ``assumed`` as of any tissue value: sets differ more than a thousandfold at 43 °C.
    """

    name: str
    a_per_s: float
    ea_j_per_mol: float
    title: str
    source: str
    assumed: bool = True

    def __post_init__(self) -> None:
        for value in (self.a_per_s, self.ea_j_per_mol):
            if not math.isfinite(value):
                raise PlanRefused(f"Damage set {self.name!r}: a value is not a finite number.", code="not_a_number")
            if value <= 0:
                raise PlanRefused(f"Damage set {self.name!r}: its values must be more than 0.", code="bad_thermal")

    def rate_per_s(self, temperature_c) -> np.ndarray:
        """Rate of damage (1/s) at a temperature (°C, any shape)."""
        t = np.asarray(temperature_c, float) + ZERO_C_IN_K
        return np.exp(math.log(self.a_per_s) - self.ea_j_per_mol / (GAS_J_PER_MOL_K * t))

    def seconds_to_damage(self, temperature_c: float) -> float:
        """Time (s) until ``omega`` is 1 at a steady temperature."""
        return 1.0 / float(self.rate_per_s(temperature_c))

    def to_dict(self) -> dict:
        """As in the answer of ``nodus plan``."""
        return {"name": self.name, "a_per_s": self.a_per_s, "ea_j_per_mol": self.ea_j_per_mol, "title": self.title,
                "source": self.source, "assumed": self.assumed}


def cem43_min_per_s(temperature_c) -> np.ndarray:
    """Equivalent minutes at 43 °C gathered in a second: ``R^(43 - T) / 60``, R 0.5 from 43 °C on and 0.25 below,
    0 below 39 °C (Sapareto and Dewey 1984)."""
    t = np.asarray(temperature_c, float)
    rate = np.where(t >= 43.0, 0.5, 0.25) ** (43.0 - t) / 60.0
    return np.where(t >= CEM43_FROM_C, rate, 0.0)


def rate_tables(sets: tuple[DamageSet, ...], body_c: float) -> np.ndarray:
    """float64 rows of rates every 1/64 K above the body's temperature, up to 150 °C: each set's rate less that at
    the body's own temperature, then CEM43. What body temperature does alone is added once, for the whole time."""
    t = body_c + np.arange(int((TABLE_TO_C - body_c) * TABLE_PER_K) + 1) / TABLE_PER_K
    rows = [s.rate_per_s(t) - s.rate_per_s(body_c) for s in sets]
    return np.ascontiguousarray([*rows, cem43_min_per_s(t)])
