"""Thermal plans: from a file or the window to zones with their cover, and the margin after an ablation."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from app import __version__
from app.jobs import JobContext
from app.usecases.files import read_json, write_json
from planning.errors import PlanRefused
from planning.safety import Constraint
from planning.thermal.chart import ThermalDevice, device_from_dict
from planning.thermal.course import CourseData, StepResult, solve_course, zone_levels
from planning.thermal.freezing import FreezeTissue
from planning.thermal.liver import LiverShare, fraction_constraint
from planning.thermal.plan import ThermalPlan
from planning.thermal.zones import ZoneAssessment, ZoneLevels, applications_answer, assess_zones, chart_levels, warnings_of
from volumetry.mask import NodeMask

USED_OF_LIVER = ("conductivity_w_per_m_k", "density_kg_per_m3", "heat_capacity_j_per_kg_k", "perfusion_per_s", "damage_set")


@cache
def thermal_devices() -> Mapping[str, ThermalDevice]:
    """The charts of ``resources/devices/thermal_*.json`` by id."""
    found = {}
    for entry in sorted(resources.files("resources").joinpath("devices").iterdir(), key=lambda e: e.name):
        if entry.name.startswith("thermal_") and entry.name.endswith(".json"):
            content = json.loads(entry.read_text(encoding="utf-8"))
            if content.get("schema") == "nodus.thermal-device/1":
                device = device_from_dict(content)
                found[device.id] = device
    return found


@cache
def thermal_limits() -> tuple[Mapping[str, float], float]:
    """``(limits, capsule_mm)`` of ``resources/devices/thermal_limits.json``."""
    content = json.loads(resources.files("resources").joinpath("devices", "thermal_limits.json").read_text(encoding="utf-8"))
    return {key: entry["value"] for key, entry in content["limits"].items()}, content["capsule_mm"]["value"]


def thermal_plan(content: Mapping, folder: Path | None = None) -> ThermalPlan:
    """Validate a ``nodus.thermal/1`` object; masks are found relative to ``folder``. Raises ``PlanRefused``."""
    from dicom_io.masks import read_masks

    def load_mask(mask_path: str, label: int) -> NodeMask:
        if folder is None:
            raise PlanRefused("Masks cannot be read here.", code="mask_unreadable")
        for mask in read_masks(folder / mask_path, image=None):
            if mask.label == label:
                return mask
        raise PlanRefused(f"The mask {mask_path} has no label {label}.", code="label_missing")

    limits, capsule_mm = thermal_limits()
    return ThermalPlan.from_dict(content, thermal_devices(), limits, load_mask, capsule_mm)


def load_thermal_plan(path: Path) -> ThermalPlan:
    """Read and validate a ``nodus.thermal/1`` file."""
    return thermal_plan(read_json(path, code="not_a_plan"), path.parent)


@cache
def course_data() -> CourseData:
    """Liver that freezes: values of ``resources/heat/freezing.json`` and of the liver's tissue file, with their sources."""
    from app.usecases.plan import heat_data

    content = json.loads(resources.files("resources").joinpath("heat", "freezing.json").read_text(encoding="utf-8"))
    heat = heat_data()
    liver, settings = heat.tissue(content["tissue"]), heat.settings
    value = {key: entry["value"] for key, entry in content.items() if isinstance(entry, dict)}
    tissue = FreezeTissue(
        value["frozen_conductivity_w_per_m_k"], liver.conductivity_w_per_m_k.value, value["frozen_heat_capacity_j_per_m3_k"], liver.heat_capacity_j_per_m3_k,
        value["latent_heat_j_per_m3"], value["freezing_from_c"], value["freezing_to_c"],
        liver.perfusion_per_s.value * settings.perfusion_factor * settings.blood_heat_capacity_j_per_m3_k, settings.body_c, value["stasis_below_c"])  # fmt: skip
    about = {key: entry for key, entry in content.items() if isinstance(entry, dict)} | {key: entry for key, entry in liver.to_dict().items() if key in USED_OF_LIVER}
    return CourseData(tissue, tuple(heat.damage_sets.values()), liver.damage_set, value["cooling_s"], tuple(float(c) for c in value["isotherms_c"]), value["lethal_cold_c"], about)


@dataclass(frozen=True, slots=True, eq=False)
class BioheatResult:
    """Steps of the course, and the zone of each criterion with its assessment."""

    plan: ThermalPlan
    data: CourseData
    steps: list[StepResult]
    levels: Mapping[str, ZoneLevels]
    zones: Mapping[str, ZoneAssessment]

    @property
    def ablating(self) -> str:
        """The criterion that stands for ablation: cold or heat, else the one of them that there is."""
        return next(name for name in ("cold_or_heat", "omega_1", f"cold_{self.data.lethal_cold_c:g}_c", *self.zones) if name in self.zones)

    def answer(self) -> dict:
        """The ``bioheat`` object of the answer."""
        assumed = sorted(key for key, entry in self.data.about.items() if isinstance(entry, dict) and entry.get("assumed"))
        return {"damage_set": self.data.own_set, "lethal_cold_c": self.data.lethal_cold_c, "ablating": self.ablating, "steps": [s.figures for s in self.steps],
                "zones": {name: zone.answer for name, zone in self.zones.items()}, "assumed": assumed, "values": dict(self.data.about)}

    def constraints(self) -> list[Constraint]:
        """The liver's share by the ablating zone."""
        liver = self.zones[self.ablating].answer["liver"]
        share = None if liver is None else LiverShare(liver["volume_ml"], liver["ablated_ml"])
        return [] if share is None else fraction_constraint(share, None, self.plan.limits.liver_fraction, " of the bioheat")

    def warnings(self) -> list[dict]:
        """What the solved course leaves out."""
        out = [{"code": "bioheat_simplified", "message": "The bioheat knows one even tissue: no cooling by large vessels, and each step begins at the body's temperature."},
               {"code": "bioheat_assumed", "message": "Assumed in the bioheat: " + ", ".join(self.answer()["assumed"]) + "."}]
        if max(s.figures["change_at_walls_k"] for s in self.steps) > 1.0:
            out.append({"code": "bioheat_box", "message": "Cold or heat reaches the walls of the solved box; zones may be too large or too small."})
        return out


@dataclass(frozen=True, slots=True, eq=False)
class ThermalResult:
    """Chart zones of a plan with their assessment, and the same of the bioheat where it was asked for."""

    plan: ThermalPlan
    levels: ZoneLevels
    chart: ZoneAssessment
    bioheat: BioheatResult | None = None

    def answer(self) -> dict:
        """As printed by ``nodus thermal --json``."""
        heat = self.bioheat
        warnings = warnings_of(self.plan) + ([] if heat is None else heat.warnings())
        constraints = [c.to_dict() for c in (*self.chart.constraints, *(() if heat is None else heat.constraints()))]
        return {"applications": applications_answer(self.plan), **self.chart.answer, "constraints": constraints,
                "bioheat": None if heat is None else heat.answer(), "warnings": warnings}


def solve_thermal(plan: ThermalPlan, context: JobContext, *, bioheat: bool = False, spacing_mm: float = 1.0) -> ThermalResult:
    """Join and assess the chart zones of a plan; with ``bioheat`` also solve freezing and heating on cubes of
    ``spacing_mm``. Raises ``PlanRefused``, ``Cancelled``."""
    stop = lambda: context.token.is_cancelled  # noqa: E731
    context.report("Joining the zones", 0.0)
    levels = chart_levels(plan, stop)
    context.report("Measuring cover and margins", 0.05)
    chart = assess_zones(plan, levels, stop)
    heat = _solve_bioheat(plan, context.part(0.1, 1.0), spacing_mm) if bioheat else None
    context.report("Done", 1.0)
    return ThermalResult(plan, levels, chart, heat)


def _solve_bioheat(plan: ThermalPlan, context: JobContext, spacing_mm: float) -> BioheatResult:
    stop = lambda: context.token.is_cancelled  # noqa: E731
    data = course_data()
    whole, steps = solve_course(plan, data, spacing_mm=spacing_mm, progress=context.part(0.0, 0.9).report, should_cancel=stop)
    context.report("Measuring the zones of the bioheat", 0.9)
    levels, zones = {}, {}
    for name, by_round in zone_levels(plan, whole, steps, data).items():
        levels[name] = ZoneLevels(whole, np.maximum.reduce(list(by_round.values())), by_round)
        zones[name] = assess_zones(plan, levels[name], stop)
    return BioheatResult(plan, data, steps, levels, zones)


def write_thermal_folder(result: ThermalResult, folder: Path) -> list[Path]:
    """Write ``zone.nii.gz`` (chart zones of all rounds), ``zone_round_N.nii.gz``, masks of the plan and ``thermal.json``."""
    from dicom_io.volume_files import write_volume

    folder.mkdir(parents=True, exist_ok=True)
    grid, paths = result.levels.grid, []

    def put(name: str, array: np.ndarray) -> None:
        paths.append(write_volume(NodeMask(array, grid.geometry, name=name), folder / f"{name}.nii.gz"))

    put("zone", result.levels.whole >= 0)
    for number, level in result.levels.by_round.items():
        put(f"zone_round_{number}", level >= 0)
    if result.bioheat is not None:
        for name, level in result.bioheat.levels.items():
            paths.append(write_volume(NodeMask(level.whole >= 0, level.grid.geometry, name=name), folder / f"bioheat_{name}.nii.gz"))
    written = result.plan.to_dict()
    entries = [*written["lesions"], *written["at_risk"], *([written["liver"]] if written["liver"] else [])]
    shapes = [*(p.shape for p in result.plan.lesions), *(p.shape for p in result.plan.at_risk), *([result.plan.liver] if written["liver"] else [])]
    for n, (entry, shape) in enumerate(zip(entries, shapes, strict=True), 1):
        if (mask := getattr(shape, "mask", None)) is not None:  # beside the plan, so that the folder can be solved again anywhere
            paths.append(write_volume(replace(mask, label=1), folder / f"part_{n}.nii.gz"))
            entry["shape"].update(path=f"part_{n}.nii.gz", label=1)
    write_json(folder / "thermal.json", {**written, "assessment": result.answer(), "software_version": __version__})
    return [*paths, folder / "thermal.json"]
