"""What tissue conducts: a law of conductivity over field strength, with its source and its doubt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from planning.errors import PlanRefused
from planning.kernels.conductivity import CONSTANT, RAMP, SIGMOID, STEEPNESS

MODELS = {"constant": CONSTANT, "ramp": RAMP, "sigmoid": SIGMOID}
AIR_BELOW_S_PER_M = 1e-6
LARGEST = 1e12
RISE_MOST_PER_C = 0.2  # tissue: 0.01 to 0.03; more is per cent written for a share


@dataclass(frozen=True, slots=True)
class Conductivity:
    """Conductivity (S/m) over |E| (V/cm).

    ``constant``: sigma0. ``ramp``: sigma0 below e_low, sigma1 above e_high, linear between.
    ``sigmoid``: sigma0 + (sigma1 - sigma0) / (1 + 10 exp(-(E - A) / B)), A = (e_low + e_high) / 2,
    B = (e_high - e_low) / 8 (form of Sel et al. 2005). ``assumed`` is True where no measurement
    backs the law for this tissue; ``spread_pct`` is the doubt about it. ``preset`` names the entry
    it came from. Refuses negative, falling or non-finite laws.
    """

    model: str
    sigma0_s_per_m: float
    sigma1_s_per_m: float | None = None
    e_low_v_per_cm: float | None = None
    e_high_v_per_cm: float | None = None
    temperature_coefficient_per_c: float | None = None
    source: str | None = None
    spread_pct: float | None = None
    assumed: bool = True
    preset: str | None = None

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise PlanRefused(f"Conductivity model {self.model!r} is unknown; known are {', '.join(MODELS)}.", code="unknown_model")
        names = ["sigma0_s_per_m"] + ([] if self.model == "constant" else ["sigma1_s_per_m", "e_low_v_per_cm", "e_high_v_per_cm"])
        for name in names:
            value = getattr(self, name)
            if value is None or not math.isfinite(value):
                raise PlanRefused(f"Conductivity: {name} must be a finite number.", code="not_a_number")
            if value < 0:
                raise PlanRefused(f"Conductivity: {name} is negative.", code="bad_conductivity")
        if self.model != "constant":
            if self.sigma1_s_per_m < self.sigma0_s_per_m:
                raise PlanRefused("Conductivity must not fall with the field (sigma1 below sigma0).", code="bad_conductivity")
            if self.e_high_v_per_cm <= self.e_low_v_per_cm:
                raise PlanRefused("Conductivity: e_high must lie above e_low.", code="bad_conductivity")
        if self.spread_pct is not None and not 0 <= self.spread_pct < math.inf:
            raise PlanRefused("Conductivity: spread_pct must be a finite number, 0 or more.", code="bad_conductivity")
        rise = self.temperature_coefficient_per_c
        if rise is not None and not 0 <= rise <= RISE_MOST_PER_C:
            raise PlanRefused(f"Conductivity: temperature_coefficient_per_c must lie between 0 and {RISE_MOST_PER_C:g}, not {rise:g}.", code="bad_conductivity",
                              hint="2 % per degree is written 0.02.")

    @property
    def is_air(self) -> bool:
        """True where no current flows at all."""
        return max(self.sigma0_s_per_m, self.sigma1_s_per_m or 0.0) < AIR_BELOW_S_PER_M

    def law_row(self) -> tuple[float, float, float, float, float]:
        """(kind, sigma0, sigma1, e_low, e_high) as the kernels take it."""
        if self.model == "constant":
            return (CONSTANT, self.sigma0_s_per_m, self.sigma0_s_per_m, 0.0, 1.0)
        return (MODELS[self.model], self.sigma0_s_per_m, self.sigma1_s_per_m, self.e_low_v_per_cm, self.e_high_v_per_cm)

    def at(self, e_v_per_cm) -> np.ndarray:
        """Conductivity (S/m) at a field strength (V/cm, any shape)."""
        e = np.asarray(e_v_per_cm, float)
        if self.model == "constant":
            return np.full_like(e, self.sigma0_s_per_m)
        s0, s1, lo, hi = self.law_row()[1:]
        if self.model == "ramp":
            return s0 + (s1 - s0) * np.clip((e - lo) / (hi - lo), 0, 1)
        x = np.clip((e - 0.5 * (lo + hi)) / ((hi - lo) / 8), -60, 60)
        return s0 + (s1 - s0) / (1 + STEEPNESS * np.exp(-x))

    def scaled(self, factor: float) -> Conductivity:
        """The same law with both conductivities multiplied (robustness)."""
        return replace(self, sigma0_s_per_m=self.sigma0_s_per_m * factor,
                       sigma1_s_per_m=None if self.sigma1_s_per_m is None else self.sigma1_s_per_m * factor)

    def to_dict(self) -> dict:
        """As in a plan file: the preset's name where there is one, else the law."""
        if self.preset is not None:
            return {"preset": self.preset}
        out = {"model": self.model}
        if self.model == "constant":
            out["sigma_s_per_m"] = self.sigma0_s_per_m
        else:
            out |= {"sigma0_s_per_m": self.sigma0_s_per_m, "sigma1_s_per_m": self.sigma1_s_per_m,
                    "e_low_v_per_cm": self.e_low_v_per_cm, "e_high_v_per_cm": self.e_high_v_per_cm}
        for name in ("temperature_coefficient_per_c", "source", "spread_pct"):
            if getattr(self, name) is not None:
                out[name] = getattr(self, name)
        if not self.assumed:
            out["assumed"] = False
        return out


def conductivity_from_dict(d, presets: Mapping[str, Conductivity], where: str) -> Conductivity:
    """Read ``{"preset": NAME}`` or a law; ``where`` names the place in a refusal.

    A law written into a plan without a ``source`` counts as assumed.
    """
    if not isinstance(d, Mapping):
        raise PlanRefused(f"{where}: conductivity must be an object with a preset or a model.", code="bad_conductivity")
    if "preset" in d:
        name = d["preset"]
        if not isinstance(name, str) or name not in presets:
            raise PlanRefused(f"{where}: tissue {name!r} is unknown.", code="unknown_tissue",
                              hint=f"Known tissues: {', '.join(sorted(presets)) or 'none'}.")
        return replace(presets[name], preset=name)
    model = d.get("model")
    first = "sigma_s_per_m" if model == "constant" else "sigma0_s_per_m"

    def number(key):
        value = d.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise PlanRefused(f"{where}: {key} must be a number.", code="not_a_number")
        if abs(value) > LARGEST:
            raise PlanRefused(f"{where}: {key} is no number that a tissue has.", code="not_a_number")
        return float(value)

    if not isinstance(model, str) or model not in MODELS:
        raise PlanRefused(f"{where}: conductivity model {model!r} is unknown; known are {', '.join(MODELS)}.", code="unknown_model")
    if number(first) is None:
        raise PlanRefused(f"{where}: {first} is missing.", code="missing_field")
    source, assumed = d.get("source"), d.get("assumed")
    if not isinstance(source, str | None) or not isinstance(assumed, bool | None):
        raise PlanRefused(f"{where}: the source of a conductivity is a text, and assumed is true or false.", code="bad_conductivity")
    law = () if model == "constant" else tuple(number(k) for k in ("sigma1_s_per_m", "e_low_v_per_cm", "e_high_v_per_cm"))
    return Conductivity(model, number(first), *law, temperature_coefficient_per_c=number("temperature_coefficient_per_c"),
                        source=source, spread_pct=number("spread_pct"), assumed=not source if assumed is None else assumed)


def preset_from_dict(d: Mapping) -> tuple[str, Conductivity]:
    """``(name, law)`` from the content of a tissue file: ``{"name", "conductivity", "source",
    "spread_pct", "assumed"}``."""
    if not isinstance(d, Mapping) or not {"name", "conductivity", "source", "assumed"} <= set(d):
        raise PlanRefused("A tissue entry needs name, conductivity, source and assumed.", code="bad_tissue")
    law = conductivity_from_dict(d["conductivity"], {}, f"tissue {d['name']}")
    return d["name"], replace(law, source=d["source"], spread_pct=d.get("spread_pct"), assumed=bool(d["assumed"]), preset=d["name"])
