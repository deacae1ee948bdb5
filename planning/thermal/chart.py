"""Charts of thermal devices: which ellipsoid a setting leaves in animal liver, and where it lies about the needle.

A chart is a prior. Its sizes come from normal animal liver and do not predict volumes in patients (Ruiter 2018), so each
row carries a spread and a source, and every answer made from one says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from planning.errors import PlanRefused
from planning.shapes import Ellipsoid

DEVICE_SCHEMA = "nodus.thermal-device/1"
MODALITIES = ("rfa", "cryo_rf")
PRIOR = ("chart_is_prior", "Chart zones are a prior from normal animal liver; they do not predict volumes in patients.")


@dataclass(frozen=True, slots=True)
class Known:
    """A value with its source; ``spread`` is in the value's own unit (one standard deviation, or a guess where ``assumed``)."""

    value: float
    spread: float
    source: str
    assumed: bool


@dataclass(frozen=True, slots=True)
class ChartRow:
    """One setting: diameters of an ellipsoid of revolution along and across the needle (mm), and how far its centre lies
    behind the tip (mm, towards the entry; negative beyond the tip). ``power_w`` None: the source does not state it."""

    setting: str
    along: Known
    across: Known
    centre_behind_tip: Known
    power_w: float | None
    freeze_s: float
    heat_s: float
    source: str
    assumed: bool

    def to_dict(self) -> dict:
        """As reported beside each application."""
        return {"setting": self.setting, "along_mm": self.along.value, "along_spread_mm": self.along.spread, "across_mm": self.across.value,
                "across_spread_mm": self.across.spread, "centre_behind_tip_mm": self.centre_behind_tip.value,
                "centre_behind_tip_source": self.centre_behind_tip.source, "power_w": self.power_w, "freeze_s": self.freeze_s, "heat_s": self.heat_s,
                "source": self.source, "assumed": self.assumed or self.centre_behind_tip.assumed}


@dataclass(frozen=True, slots=True)
class FreezePhysics:
    """Cold probe: temperature of the nitrogen (°C) and the coefficient of heat transfer to the wall (W/(m2 K));
    None holds the wall at the nitrogen's temperature."""

    bath: Known
    transfer: Known | None


@dataclass(frozen=True, slots=True)
class HeatPhysics:
    """Hot phase. ``surface``: the probe's wall is held at ``wall`` (°C). ``power``: ``power`` watts spread like the Joule heat
    of an even line source along the active tip, lowered where tissue nears ``limit`` (°C); ``wall`` (°C) is then the
    temperature of a cooled electrode, None for one without cooling."""

    model: str
    wall: Known | None = None
    power: Known | None = None
    limit: Known | None = None


@dataclass(frozen=True, slots=True)
class ThermalDevice:
    """A needle that heats, or freezes and heats, with its chart. ``vendor_chart`` is False where the rows are no chart of its
    manufacturer's (the program itself brings none)."""

    id: str
    title: str
    modality: str
    diameter: Known
    active: Known
    rows: tuple[ChartRow, ...]
    vendor_chart: bool = False
    note: str = ""
    freeze: FreezePhysics | None = None
    heat: HeatPhysics | None = None

    def row(self, setting: str) -> ChartRow:
        """The row of that name. Raises ``PlanRefused`` (``unknown_setting``)."""
        for row in self.rows:
            if row.setting == setting:
                return row
        raise PlanRefused(f"{self.title} has no setting {setting!r}.", code="unknown_setting", hint="Known: " + ", ".join(r.setting for r in self.rows) + ".")


def zone_of(row: ChartRow, tip_mm, entry_mm, pull_back_mm: float = 0.0, spread: float = 0.0) -> Ellipsoid:
    """The row's ellipsoid about a needle pulled back by ``pull_back_mm`` along its shaft; ``spread`` (-1, 0, 1) times its
    spread larger, both diameters together and never below a tenth of the chart's."""
    tip, entry = np.asarray(tip_mm, float), np.asarray(entry_mm, float)
    direction = (entry - tip) / np.linalg.norm(entry - tip)
    along, across = (max(k.value + spread * k.spread, 0.1 * k.value) for k in (row.along, row.across))
    center = tip + (row.centre_behind_tip.value + pull_back_mm) * direction
    side = np.eye(3)[int(np.argmin(np.abs(direction)))]
    first = np.cross(direction, side)
    first /= np.linalg.norm(first)
    return Ellipsoid(tuple(center), (across, across, along), (tuple(first), tuple(np.cross(direction, first)), tuple(direction)))


# -- reading ---------------------------------------------------------------------------------------


def _bad(where: str, what: str) -> PlanRefused:
    return PlanRefused(f"{where}: {what}", code="bad_chart", hint="See the page on thermal zones for the form of a device.")


def _number(d: Mapping, key: str, where: str, least: float | None = None) -> float:
    value = d.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise _bad(where, f"{key} must be a finite number.")
    if least is not None and value < least:
        raise _bad(where, f"{key} must be at least {least:g}, not {value:g}.")
    return float(value)


def known_from_dict(d: Mapping, key: str, where: str, row: Mapping | None = None, least: float | None = None) -> Known:
    """Read ``{"value", "spread_mm" or "spread_pct", "source", "assumed"}``; source and flag of ``row`` where it has none."""
    entry = d.get(key)
    if not isinstance(entry, Mapping):
        raise _bad(where, f"{key} needs value, spread, source and assumed.")
    about = {**({"source": row.get("source"), "assumed": row.get("assumed")} if row else {}), **entry}
    if not about.get("source") or not isinstance(about.get("assumed"), bool):
        raise _bad(where, f"{key} needs a source and the mark whether it is assumed.")
    value = _number(entry, "value", f"{where}, {key}", least)
    spread = _number(entry, "spread_mm", where, 0.0) if "spread_mm" in entry else abs(value) * _number(entry, "spread_pct", f"{where}, {key}", 0.0) / 100.0
    return Known(value, spread, str(about["source"]), about["assumed"])


def _row(d, where: str) -> ChartRow:
    if not isinstance(d, Mapping) or not d.get("setting"):
        raise _bad(where, "a row needs the name of its setting.")
    where = f"{where}, {d['setting']}"
    along, across = (known_from_dict(d, key, where, d) for key in ("along_mm", "across_mm"))
    if min(along.value, across.value) <= 0:
        raise _bad(where, "diameters must be more than 0.")
    power = None if d.get("power_w") is None else _number(d, "power_w", where, 0.0)
    return ChartRow(str(d["setting"]), along, across, known_from_dict(d, "centre_behind_tip_mm", where, d), power,
                    _number(d, "freeze_s", where, 0.0), _number(d, "heat_s", where, 0.0), along.source, along.assumed or across.assumed)


def device_from_dict(d) -> ThermalDevice:
    """Read a ``nodus.thermal-device/1`` object. Raises ``PlanRefused`` (``bad_chart``)."""
    if not isinstance(d, Mapping) or d.get("schema") != DEVICE_SCHEMA:
        raise _bad("A thermal device", f'begins with "schema": "{DEVICE_SCHEMA}".')
    where = str(d.get("id") or "")
    if not where:
        raise _bad("A thermal device", "needs an id.")
    if d.get("modality") not in MODALITIES:
        raise _bad(where, f"modality must be one of {', '.join(MODALITIES)}.")
    if not isinstance(d.get("rows"), list) or not d["rows"]:
        raise _bad(where, "a chart needs at least one row.")
    rows = tuple(_row(r, where) for r in d["rows"])
    if len({r.setting for r in rows}) != len(rows):
        raise _bad(where, "two rows have the same setting.")
    diameter, active = (known_from_dict(d, key, where) for key in ("diameter_mm", "active_mm"))
    if min(diameter.value, active.value) <= 0:
        raise _bad(where, "diameter_mm and active_mm must be more than 0.")
    physics = d.get("physics") or {}
    freeze, heat = physics.get("freeze"), physics.get("heat")
    return ThermalDevice(where, str(d.get("title") or where), d["modality"], diameter, active, rows, bool(d.get("vendor_chart", False)), str(d.get("note", "")),
                         None if freeze is None else _freeze(freeze, where), None if heat is None else _heat(heat, where))


def _freeze(d: Mapping, where: str) -> FreezePhysics:
    transfer = None if d.get("transfer_w_per_m2_k") is None else known_from_dict(d, "transfer_w_per_m2_k", where, least=1.0)
    bath = known_from_dict(d, "bath_c", where)
    if not -270.0 < bath.value < 0.0:
        raise _bad(where, "bath_c must lie between -270 and 0 °C.")
    return FreezePhysics(bath, transfer)


def _heat(d: Mapping, where: str) -> HeatPhysics:
    def maybe(key: str) -> Known | None:
        return None if d.get(key) is None else known_from_dict(d, key, where, least=0.0)

    heat = HeatPhysics(str(d.get("model")), maybe("wall_c"), maybe("power_w"), maybe("limit_c"))
    if heat.model == "surface" and heat.wall is None:
        raise _bad(where, "a hot surface needs wall_c.")
    if heat.model == "power" and (heat.power is None or heat.limit is None):
        raise _bad(where, "heating by power needs power_w and limit_c.")
    if heat.model not in ("surface", "power"):
        raise _bad(where, "the heating model must be surface or power.")
    return heat
