"""What heat says about a plan: the ``heat`` part of the answer, figures of regions, and constraints."""

from __future__ import annotations

import math

import numpy as np

from planning.heat.damage import DamageSet
from planning.heat.train import BOILING_C, HeatSolution
from planning.kernels import sampling as ks
from planning.safety import Constraint
from planning.tissue_map import RegionBits

CEM43_MIN = 240.0


class HeatCounter:
    """Counts sub-points of the heat's grid; ``everything`` is all tissue of it, without needles."""

    def __init__(self, heat: HeatSolution, everything: RegionBits):
        self.heat, self.everything = heat, everything
        self.point_ml = heat.grid.spacing_mm**3 / ks.POINTS / 1000.0

    def above_ml(self, values: np.ndarray, region: RegionBits, threshold: float) -> float:
        """Volume of the region with ``values`` at or above the threshold."""
        counts = np.zeros((region.bits.shape[0], 1), np.int64)
        if region.bits.size:
            ks.count_above(values, region.bits, *region.start, np.array([threshold]), counts)
        return float(counts.sum()) * self.point_ml

    def largest(self, values: np.ndarray, region: RegionBits) -> float | None:
        """Largest value in the region; None where it holds no tissue."""
        if region is None or not region.bits.any():
            return None
        bins, extremes = np.zeros((region.bits.shape[0], ks.BINS), np.int64), np.zeros((region.bits.shape[0], 2))
        ks.histogram(values, region.bits, *region.start, bins, extremes)
        return float(extremes[:, 1].max())

    def damage_ml(self, region: RegionBits, name: str) -> float:
        """Volume of the region with damage of at least 1 by the named set."""
        return self.above_ml(self.heat.log_omega[name], region, 0.0)


def region_heat(counter: HeatCounter, region: RegionBits | None, law) -> dict:
    """``max_temperature_c``, ``thermal_damage_ml`` (by the tissue's own set), ``cem43_240_ml`` and the set's name of a
    region of conductivity law ``law``; None where it holds no tissue."""
    heat = counter.heat
    name = heat.tissues[heat.laws.index(law)].damage_set if law in heat.laws else heat.tissues[0].damage_set
    top = counter.largest(heat.hottest_c, region)
    if top is None:
        return {"max_temperature_c": None, "thermal_damage_ml": None, "cem43_240_ml": None, "damage_set": name}
    return {"max_temperature_c": top, "thermal_damage_ml": counter.damage_ml(region, name),
            "cem43_240_ml": counter.above_ml(heat.log_cem43, region, math.log10(CEM43_MIN)), "damage_set": name}


def heat_answer(counter: HeatCounter, names: list[str]) -> dict:
    """The ``heat`` object: ``names[n]`` is the name of the plan's tissue row n (background first)."""
    heat = counter.heat
    tissue = heat.needle_share < 0.5
    place = np.unravel_index(int(np.argmax(np.where(tissue, heat.hottest_c, -np.inf))), heat.grid.shape)
    used = [heat.tissues[n].damage_set for n in np.unique(heat.material[tissue])]
    own = _own_damage(heat)
    minutes = 10.0 ** float(heat.log_cem43[tissue].max())
    return {
        "peak_c": float(heat.hottest_c[place]),
        "where": {"tissue": names[heat.material[place]], "position_mm": [heat.grid.origin_mm[a] + heat.grid.spacing_mm * int(place[2 - a]) for a in range(3)]},
        "cem43_max_min": minutes if minutes > 1e-6 else 0.0,
        "cem43_240_ml": counter.above_ml(heat.log_cem43, counter.everything, math.log10(CEM43_MIN)),
        "damage_set": ", ".join(dict.fromkeys(used)),
        "thermal_damage_ml": counter.above_ml(own, counter.everything, 0.0),
        "thermal_damage_ml_by_set": {s.name: counter.damage_ml(counter.everything, s.name) for s in heat.sets},
        "omega_at_rest_by_set": {s.name: heat.omega_at_rest(s.name) for s in heat.sets},
        "damage_sets": [s.to_dict() for s in heat.sets],
        "seconds_of_train": heat.seconds_of_train,
        "pulse_rise_k": heat.pulse_rise_k,
        "pairs": [p.to_dict() for p in heat.pairs],
        "tissues": [{"name": name, "properties_of": t.name, "assumed": list(t.assumed), **t.to_dict()} for name, t in zip(names, heat.tissues, strict=True)],
        "spacing_mm": heat.grid.spacing_mm,
        "energy_imbalance": heat.imbalance,
    }


def _own_damage(heat: HeatSolution) -> np.ndarray:
    """log10 of damage, each cell by the set of its own tissue."""
    out = np.empty(heat.grid.shape, np.float32)
    for n, tissue in enumerate(heat.tissues):
        mask = heat.material == n
        out[mask] = heat.log_omega[tissue.damage_set][mask]
    return out


def tissue_names(plan, heat: HeatSolution) -> list[str]:
    """Names for each row of the plan's tissues: the background, or all regions of that law."""
    names: list[list[str]] = [["background"]] + [[] for _ in heat.laws[1:]]
    for region in plan.regions:
        row = heat.laws.index(region.conductivity or plan.background)
        if row and region.name not in names[row]:
            names[row].append(region.name)
    return [", ".join(n) for n in names]


def heat_constraints(answer: dict, at_risk: list[dict], sets: tuple[DamageSet, ...], current_most_a: float) -> list[Constraint]:
    """Warnings that heat gives; they hide no number."""
    out = []
    for p in answer["pairs"]:
        amps = abs(p["current_end_of_train_a"])
        if amps > current_most_a:
            out.append(Constraint("current_end_of_train", "warn", f"Pair {p['anode']}-{p['cathode']}: warmed tissue draws {amps:.1f} A at the end of the train, above the generator's {current_most_a:g} A.", amps, current_most_a))
    if answer["peak_c"] >= BOILING_C:
        out.append(Constraint("boiling", "warn", f"Tissue beside a needle reaches {answer['peak_c']:.0f} °C: water boils there, and no figure of heat or current holds beyond that.", answer["peak_c"], BOILING_C))
    titles = {s.name: s.title for s in sets}
    for row in at_risk:
        hurt = [f"{row['thermal_damage_ml']:.2f} ml by the kinetics of {titles[row['damage_set']]}"] if row["thermal_damage_ml"] else []
        hurt += [f"{row['cem43_240_ml']:.2f} ml by 240 minutes at 43 °C"] if row.get("cem43_240_ml") else []
        if hurt:
            out.append(Constraint("heat_at_risk", "warn", f"Heat may damage {row['name']} ({row['max_temperature_c']:.0f} °C): {', '.join(hurt)}.", row["max_temperature_c"], None))
    doubtful = [t["name"] for t in answer["tissues"] if t["assumed"]]
    if doubtful:
        out.append(Constraint("thermal_assumed", "warn", f"Thermal values of {', '.join(doubtful)} are assumed in part; damage is counted by set {answer['damage_set']}.", None, None))
    return out
