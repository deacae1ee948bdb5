"""Sums over a subject's lesions at a visit: of volumes, and of diameters with their change from baseline and nadir.

A sum stands only where every lesion of the baseline has a value at the visit: nothing is imputed. One evaluator, modality
and method a sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.study.model import LEVELS, Reading, ReadingStatus
from volumetry.response.recist import SumChange

if TYPE_CHECKING:
    from app.edc.sdtm_tumour import Tumours


@dataclass(frozen=True, slots=True)
class Sum:
    """One value of a sum or of its change; ``count`` lesions are in it."""

    subject: str
    role: str
    reader: str
    modality: str
    method: str
    visit_id: str
    test: str
    value: float
    unit: str
    count: int
    accepted: bool
    of_volume: bool


def diameter_mm(reading: Reading, *, is_node: bool, too_small_mm: float | None) -> float | None:
    """What a lesion adds to the sum of diameters: the short axis of a node, the long axis of any other lesion; 0 where
    it has disappeared, the stated length where it is too small to measure. None: no value."""
    if reading.status is ReadingStatus.DISAPPEARED_ASSESSED:
        return 0.0
    axis = reading.short_axis_mm if is_node else reading.long_axis_mm
    if reading.status is ReadingStatus.TOO_SMALL and axis is None:
        return too_small_mm
    return axis if reading.status in (ReadingStatus.MEASURED, ReadingStatus.TOO_SMALL) else None


def sums_of(tumours: Tumours) -> list[Sum]:
    """All sums of a study, by subject, evaluator, modality, method and visit."""
    sdtm = tumours.mapping.sdtm
    groups: dict[tuple, dict[str, dict[str, Reading]]] = {}
    for r in tumours.readings:
        groups.setdefault((r.subject_id, r.role, r.reader, r.modality, r.method), {}).setdefault(r.visit_id, {})[r.node_id] = r
    out: list[Sum] = []
    for key in sorted(groups):
        visits = groups[key]
        base = {n: r for found in visits.values() for n, r in found.items() if (r.reading_id, r.version) in tumours.last_before}
        if not base:
            continue

        def place(visit_id: str) -> tuple:
            visit = tumours.visits[visit_id]
            return (visit.order, visit.actual_date or "", visit_id)

        # Each lesion's own last reading before its ablation makes up the baseline; it stands at the last of their visits.
        baseline = max((r.visit_id for r in base.values()), key=place)
        looks = [(baseline, base)] + [(v, visits[v]) for v in sorted(visits, key=place) if place(v) > place(baseline)]
        if sdtm.get("sums") in ("volume", "both"):
            out += _volumes(tumours, key, looks, sorted(base))
        if sdtm.get("sums") in ("diameter", "both"):
            out += _diameters(tumours, key, looks, sorted(base), sdtm.get("too_small_mm"))
    return out


def _accepted(tumours: Tumours, found: list[Reading]) -> bool:
    return all((r.reading_id, r.version) in tumours.accepted for r in found)


def _volumes(tumours: Tumours, key: tuple, looks: list, lesions: list[str]) -> list[Sum]:
    out: list[Sum] = []
    first: float | None = None
    for visit_id, there in looks:
        found = [there[n] for n in lesions if n in there]
        values = [r.volume_ml for r in found]
        if len(found) < len(lesions) or any(v is None for v in values):
            continue
        total = float(sum(values))
        common = {"count": len(found), "accepted": _accepted(tumours, found), "of_volume": True}
        out.append(Sum(*key, visit_id, "SUMVOL", total, "mL", **common))
        if first is None:
            first = total
        elif first > 0:
            out.append(Sum(*key, visit_id, "PCBSV", 100.0 * (total - first) / first, "%", **common))
    return out


def _diameters(tumours: Tumours, key: tuple, looks: list, lesions: list[str], small: float | None) -> list[Sum]:
    out: list[Sum] = []
    sums: list[float] = []
    for visit_id, there in looks:
        found = [there[n] for n in lesions if n in there]
        values = [diameter_mm(r, is_node=tumours.nodes[r.node_id].level in LEVELS, too_small_mm=small) for r in found]
        if len(found) < len(lesions) or any(v is None for v in values):
            continue
        total = float(sum(values))
        common = {"count": len(found), "accepted": _accepted(tumours, found), "of_volume": False}
        out.append(Sum(*key, visit_id, "SUMDIAM", total, "mm", **common))
        if sums:
            change = SumChange(sums[0], min(sums), total, total)
            for test, value, unit in (("PCBSD", change.pcbsd_pct, "%"), ("PCNSD", change.pcnsd_pct, "%"), ("ACNSD", change.acnsd_mm, "mm")):
                if value is not None:
                    out.append(Sum(*key, visit_id, test, value, unit, **common))
        sums.append(total)
    return out
