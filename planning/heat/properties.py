"""How tissue holds, leads and loses heat: every value with its source, its spread and its doubt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from planning.errors import PlanRefused
from planning.heat.damage import DamageSet


@dataclass(frozen=True, slots=True)
class ThermalValue:
    """One number with where it comes from; ``assumed`` where no measurement backs it for this tissue."""

    value: float
    source: str
    spread_pct: float
    assumed: bool

    def to_dict(self) -> dict:
        """As in a tissue file."""
        return {"value": self.value, "source": self.source, "spread_pct": self.spread_pct, "assumed": self.assumed}


@dataclass(frozen=True, slots=True)
class ThermalTissue:
    """Conductivity for heat, density, specific heat, perfusion (volume of blood per volume of tissue and second),
    heat of metabolism, and the relative rise of electrical conductivity per kelvin.

    ``damage_set`` names the Arrhenius set its damage is counted by. Refuses numbers that are not finite
    (``not_a_number``), negative ones, and no density or heat capacity (``bad_thermal``).
    """

    name: str
    conductivity_w_per_m_k: ThermalValue
    density_kg_per_m3: ThermalValue
    heat_capacity_j_per_kg_k: ThermalValue
    perfusion_per_s: ThermalValue
    metabolic_heat_w_per_m3: ThermalValue
    sigma_rise_per_k: ThermalValue
    damage_set: str

    def __post_init__(self) -> None:
        for key in THERMAL_KEYS:
            number = getattr(self, key).value
            if not math.isfinite(number):
                raise PlanRefused(f"Tissue {self.name!r}: {key} is not a finite number.", code="not_a_number")
            if number < 0 or (number == 0 and key in ("density_kg_per_m3", "heat_capacity_j_per_kg_k")):
                raise PlanRefused(f"Tissue {self.name!r}: {key} must not be {number:g}.", code="bad_thermal")

    @property
    def heat_capacity_j_per_m3_k(self) -> float:
        """Density times specific heat."""
        return self.density_kg_per_m3.value * self.heat_capacity_j_per_kg_k.value

    @property
    def assumed(self) -> tuple[str, ...]:
        """Names of the values that no measurement backs for this tissue."""
        return tuple(key for key in THERMAL_KEYS if getattr(self, key).assumed)

    def to_dict(self) -> dict:
        """As in a tissue file, under ``thermal``."""
        return {key: getattr(self, key).to_dict() for key in THERMAL_KEYS} | {"damage_set": self.damage_set}


THERMAL_KEYS = tuple(f.name for f in fields(ThermalTissue) if f.name not in ("name", "damage_set"))


@dataclass(frozen=True, slots=True)
class HeatSettings:
    """What the heat of a plan assumes beside tissue.

    ``pause_s``: between pairs; ``cooling_s``: followed after the last pulse. ``needle_*``: steel of needles, shaft
    included. ``perfusion_factor``: 0 for tissue whose vessels have closed.
    """

    body_c: float = 37.0
    blood_heat_capacity_j_per_m3_k: float = 3.8e6
    needle_conductivity_w_per_m_k: float = 16.3
    needle_heat_capacity_j_per_m3_k: float = 4.0e6
    pause_s: float = 5.0
    cooling_s: float = 60.0
    perfusion_factor: float = 1.0

    def __post_init__(self) -> None:
        for f in fields(self):
            number = getattr(self, f.name)
            if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
                raise PlanRefused(f"Heat setting {f.name} is not a finite number.", code="not_a_number")
            if number < 0 or (number == 0 and "capacity" in f.name):
                raise PlanRefused(f"Heat setting {f.name} must not be {number:g}.", code="bad_thermal")
        if not 20.0 <= self.body_c <= 42.0:
            raise PlanRefused(f"A body temperature of {self.body_c:g} °C is not a patient's.", code="bad_thermal")


@dataclass(frozen=True, slots=True)
class HeatData:
    """All that a heat calculation needs beside the plan: tissues by name (``default`` for a law that names none),
    damage sets by name, settings."""

    tissues: Mapping[str, ThermalTissue]
    damage_sets: Mapping[str, DamageSet]
    settings: HeatSettings = HeatSettings()

    def __post_init__(self) -> None:
        if "default" not in self.tissues:
            raise PlanRefused("The heat data have no default tissue.", code="bad_thermal")
        for tissue in self.tissues.values():
            if tissue.damage_set not in self.damage_sets:
                raise PlanRefused(f"Tissue {tissue.name!r} names the damage set {tissue.damage_set!r}, which is unknown.", code="bad_thermal")

    def tissue(self, preset: str | None) -> ThermalTissue:
        """The tissue of that name, else the default."""
        return self.tissues.get(preset, self.tissues["default"]) if preset else self.tissues["default"]


def thermal_from_dict(name: str, d) -> ThermalTissue:
    """Read the ``thermal`` object of a tissue file: each value ``{"value", "source", "spread_pct", "assumed"}``."""
    if not isinstance(d, Mapping):
        raise PlanRefused(f"Tissue {name!r} has no thermal values.", code="bad_thermal")
    values = {}
    for key in THERMAL_KEYS:
        entry = d.get(key)
        if not isinstance(entry, Mapping) or not entry.get("source") or "assumed" not in entry:
            raise PlanRefused(f"Tissue {name!r}: {key} needs value, source, spread_pct and assumed.", code="bad_thermal")
        values[key] = ThermalValue(_number(entry, "value", name, key), str(entry["source"]), _number(entry, "spread_pct", name, key), bool(entry["assumed"]))
    if not isinstance(d.get("damage_set"), str):
        raise PlanRefused(f"Tissue {name!r} names no damage set.", code="bad_thermal")
    return ThermalTissue(name, **values, damage_set=d["damage_set"])


def _number(d: Mapping, key: str, name: str, what: str) -> float:
    value = d.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PlanRefused(f"Tissue {name!r}: {what} {key} must be a number.", code="not_a_number")
    return float(value)


def heat_data_from_dict(d: Mapping, thermal: Mapping[str, Mapping]) -> HeatData:
    """From the content of the heat file (``settings``, ``damage_sets``, ``default``) and the ``thermal`` objects of the
    tissues by name. Raises ``PlanRefused``."""
    sets = {}
    for name, entry in d.get("damage_sets", {}).items():
        values = (_number(entry, "a_per_s", name, "damage set"), _number(entry, "ea_j_per_mol", name, "damage set"))
        sets[name] = DamageSet(name, *values, str(entry.get("title", name)), str(entry.get("source", "")), bool(entry.get("assumed", True)))
    tissues = {"default": thermal_from_dict("default", d.get("default"))} | {name: thermal_from_dict(name, t) for name, t in thermal.items()}
    known = {f.name for f in fields(HeatSettings)}
    given = {key: entry["value"] for key, entry in d.get("settings", {}).items()}
    if unknown := sorted(set(given) - known):
        raise PlanRefused(f"Heat settings {', '.join(unknown)} are not known.", code="bad_thermal")
    return HeatData(tissues, sets, HeatSettings(**given))
