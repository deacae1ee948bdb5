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
from planning.thermal.chart import ThermalDevice, device_from_dict
from planning.thermal.plan import ThermalPlan
from planning.thermal.zones import ZoneAssessment, ZoneLevels, applications_answer, assess_zones, chart_levels, warnings_of
from volumetry.mask import NodeMask


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


@dataclass(frozen=True, slots=True, eq=False)
class ThermalResult:
    """Chart zones of a plan with their assessment, and the same of the bioheat where it was asked for."""

    plan: ThermalPlan
    levels: ZoneLevels
    chart: ZoneAssessment
    bioheat: object | None = None

    def answer(self) -> dict:
        """As printed by ``nodus thermal --json``."""
        heat = self.bioheat
        warnings = warnings_of(self.plan) + ([] if heat is None else heat.warnings())
        constraints = [c.to_dict() for c in self.chart.constraints]
        return {"applications": applications_answer(self.plan), **self.chart.answer, "constraints": constraints,
                "bioheat": None if heat is None else heat.answer(), "warnings": warnings}


def solve_thermal(plan: ThermalPlan, context: JobContext, *, bioheat: bool = False) -> ThermalResult:
    """Join and assess the chart zones of a plan; with ``bioheat`` also solve freezing and heating. Raises ``PlanRefused``,
    ``Cancelled``."""
    stop = lambda: context.token.is_cancelled  # noqa: E731
    context.report("Joining the zones", 0.0)
    levels = chart_levels(plan, stop)
    context.report("Measuring cover and margins", 0.05)
    result = ThermalResult(plan, levels, assess_zones(plan, levels, stop))
    context.report("Done", 1.0)
    return result


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
    written = result.plan.to_dict()
    entries = [*written["lesions"], *written["at_risk"], *([written["liver"]] if written["liver"] else [])]
    shapes = [*(p.shape for p in result.plan.lesions), *(p.shape for p in result.plan.at_risk), *([result.plan.liver] if written["liver"] else [])]
    for n, (entry, shape) in enumerate(zip(entries, shapes, strict=True), 1):
        if (mask := getattr(shape, "mask", None)) is not None:  # beside the plan, so that the folder can be solved again anywhere
            paths.append(write_volume(replace(mask, label=1), folder / f"part_{n}.nii.gz"))
            entry["shape"].update(path=f"part_{n}.nii.gz", label=1)
    write_json(folder / "thermal.json", {**written, "assessment": result.answer(), "software_version": __version__})
    return [*paths, folder / "thermal.json"]
