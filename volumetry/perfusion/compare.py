"""Two regions against each other: ratios with their intervals, and whether they may be compared at all.

Echo power is no concentration in a unit of its own: it changes with depth, lateral position, gain, transmit power and
system, by more than half in phantoms. Two regions of one loop at one depth share all of that; times do not depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.perfusion.curves import AcquisitionFacts
from volumetry.perfusion.fit import LEVEL, CurveFit
from volumetry.perfusion.models import DERIVED

DEPTH_APART_MM = 5.0
LATERAL_APART_MM = 15.0
NEAR_PCT = 1.0  # settings that differ by less are the same
_TIMES_OF_LOOP = ("arrival_s", "ttp_s")


@dataclass(frozen=True, slots=True)
class Ratio:
    """``value`` of a region over the reference's, with its 95 % interval; of the two times of the loop (``arrival_s``,
    ``ttp_s``) it is the difference in seconds. None with a ``reason`` where either has no value."""

    name: str
    value: float | None
    interval: tuple[float, float] | None
    reason: str = ""


def ratios(region: CurveFit, reference: CurveFit) -> dict[str, Ratio]:
    """Every derived value of ``region`` against that of ``reference``. The two are taken as independent, which makes the
    intervals rather too wide where both share the breathing. Raises ``NodusError`` (``unlike_curves``) for different models."""
    if region.model is not reference.model:
        raise NodusError("Only curves of the same model are compared: their numbers mean different things.", code="unlike_curves")
    tail = 100 * (1 - LEVEL) / 2
    order = np.random.default_rng(11).permutation(0 if region.draws is None else len(region.draws))
    found = {}
    for quantity in DERIVED:
        name = quantity.name
        mine, other = region.derived[name], reference.derived[name]
        if mine is None or other is None:
            reason = region.reasons.get(name) if mine is None else reference.reasons.get(name)
            found[name] = Ratio(name, None, None, reason or "no_value")
            continue
        draws, others = region.draws_of(name), reference.draws_of(name)[order]
        if name in _TIMES_OF_LOOP:
            value, drawn = mine - other, draws - others
        elif other <= 0:
            found[name] = Ratio(name, None, None, "reference_not_positive")
            continue
        else:
            value, drawn = mine / other, draws / others
        low, high = np.percentile(drawn[np.isfinite(drawn)], [tail, 100 - tail])
        found[name] = Ratio(name, value, (float(low), float(high)))
    return found


def comparability(curve: AcquisitionFacts, other: AcquisitionFacts) -> tuple[Finding, ...]:
    """What stands against comparing amplitudes (peak, rates, areas) of two curves, as warnings; empty where nothing does.

    Codes: ``unlike_depth``, ``unlike_lateral``, ``unlike_system``, ``unlike_transducer``, ``unlike_range``, ``unlike_gain``,
    ``unlike_mechanical_index``, ``unlike_frequency``, and ``settings_unknown`` (info) for curves of two loops that do not
    state them.
    """
    found: list[Finding] = []

    def _warn(code: str, what: str) -> None:
        found.append(Finding(code, f"{what}: peak, rates and areas of the two curves are not comparable; times are."))

    same_loop = curve.loop is not None and curve.loop == other.loop
    if _apart(curve.depth_mm, other.depth_mm, DEPTH_APART_MM):
        _warn("unlike_depth", f"The regions lie {abs(curve.depth_mm - other.depth_mm):.0f} mm apart in depth")
    if _apart(curve.lateral_mm, other.lateral_mm, LATERAL_APART_MM):
        _warn("unlike_lateral", f"The regions lie {abs(curve.lateral_mm - other.lateral_mm):.0f} mm apart across the picture")
    if same_loop:
        return tuple(found)
    if curve.system and other.system and curve.system != other.system:
        _warn("unlike_system", "The loops come from different systems")
    if curve.transducer and other.transducer and curve.transducer != other.transducer:
        _warn("unlike_transducer", "The loops come from different probes")
    if _changed(curve.range_db, other.range_db):
        _warn("unlike_range", f"The dynamic range changed ({curve.range_db:g} and {other.range_db:g} dB)")
    if _changed(curve.gain_db, other.gain_db):
        _warn("unlike_gain", f"The gain changed ({curve.gain_db:g} and {other.gain_db:g} dB)")
    if _changed(curve.mechanical_index, other.mechanical_index):
        _warn("unlike_mechanical_index", f"The mechanical index changed ({curve.mechanical_index:g} and {other.mechanical_index:g})")
    if _changed(curve.frequency_mhz, other.frequency_mhz):
        _warn("unlike_frequency", f"The transmit frequency changed ({curve.frequency_mhz:g} and {other.frequency_mhz:g} MHz)")
    words = {"system": "system", "range_db": "dynamic range", "gain_db": "gain", "mechanical_index": "mechanical index"}
    missing = [word for name, word in words.items() if getattr(curve, name) is None or getattr(other, name) is None]
    if missing:
        found.append(Finding("settings_unknown", f"Not stated for both loops: {', '.join(missing)}. Whether amplitudes are comparable is not known; ratios within one loop are.", "info"))
    return tuple(found)


def _apart(a: float | None, b: float | None, most: float) -> bool:
    return a is not None and b is not None and abs(a - b) > most


def _changed(a: float | None, b: float | None) -> bool:
    return a is not None and b is not None and abs(a - b) > NEAR_PCT / 100 * max(abs(a), abs(b))
