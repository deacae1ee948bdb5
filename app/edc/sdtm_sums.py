"""Sums over a subject's lesions at a visit: of volumes, and of diameters with their change from baseline and nadir.

A sum stands only where every lesion of the baseline has a value at the visit: nothing is imputed. Volumes are summed within
one modality and method. Diameters are those of RECIST: CT or MR, each lesion by the modality of its own baseline; of a
lesion that split its parts together, of one that merged nothing, since the other has its extent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.study.model import LEVELS, Reading, ReadingStatus
from volumetry.response.recist import SumChange

if TYPE_CHECKING:
    from app.edc.sdtm_tumour import Tumours

_RECIST = ("CT", "MR")
_WITH_AXIS = (ReadingStatus.MEASURED, ReadingStatus.TOO_SMALL, ReadingStatus.SPLIT_FROM)


@dataclass(frozen=True, slots=True)
class Sum:
    """One value of a sum or of its change. ``modality`` and ``method`` are None where lesions differ in them; ``count``
    lesions of the baseline are in it."""

    subject: str
    role: str
    reader: str
    visit_id: str
    test: str
    value: float
    unit: str
    modality: str | None
    method: str | None
    count: int
    accepted: bool


def diameter_mm(reading: Reading, *, is_node: bool, too_small_mm: float | None) -> float | None:
    """What a lesion adds to the sum of diameters: the short axis of a node, the long axis of any other lesion; 0 where
    it has disappeared or merged, the stated length where it is too small to measure. None: no value."""
    if reading.status in (ReadingStatus.DISAPPEARED_ASSESSED, ReadingStatus.MERGED_INTO):
        return 0.0
    axis = reading.short_axis_mm if is_node else reading.long_axis_mm
    if reading.status is ReadingStatus.TOO_SMALL and axis is None:
        return too_small_mm
    return axis if reading.status in _WITH_AXIS else None


def volume_ml(reading: Reading) -> float | None:
    """What a lesion adds to the sum of volumes. None: no value."""
    return 0.0 if reading.status in (ReadingStatus.DISAPPEARED_ASSESSED, ReadingStatus.MERGED_INTO) else reading.volume_ml


class _Lesions:
    """One evaluator's readings of one subject's lesions, each lesion by one modality and method."""

    def __init__(self, tumours: Tumours, readings: Iterable[Reading]) -> None:
        self.tumours = tumours
        readings = list(readings)
        before = sorted((r for r in readings if (r.reading_id, r.version) in tumours.last_before), key=self._preferred)
        self.base: dict[str, Reading] = {}
        for r in before:
            self.base.setdefault(r.node_id, r)
        labels = {tumours.nodes[n].label: n for n in self.base}
        self.parts: dict[str, set[str]] = {n: set() for n in self.base}
        for r in readings:
            whole = labels.get(r.status_reason or "") if r.status is ReadingStatus.SPLIT_FROM else None
            if whole is not None and r.node_id != whole:
                self.parts[whole].add(r.node_id)
        by_visit: dict[str, dict[str, list[Reading]]] = {}
        for r in readings:
            by_visit.setdefault(r.visit_id, {}).setdefault(r.node_id, []).append(r)
        self.looks: list[tuple[str, dict[str, list[Reading]]]] = []
        if self.base:
            # Each lesion's own last reading before its ablation makes up the baseline; it stands at the last of their visits.
            first = max((r.visit_id for r in self.base.values()), key=self._place)
            self.looks = [(first, {n: [r] for n, r in self.base.items()}), *((v, by_visit[v]) for v in sorted(by_visit, key=self._place) if self._place(v) > self._place(first))]

    def _preferred(self, r: Reading) -> tuple:
        return (_RECIST.index(r.modality) if r.modality in _RECIST else len(_RECIST), r.modality, r.method, r.reading_id)

    def _place(self, visit_id: str) -> tuple:
        visit = self.tumours.visits[visit_id]
        return (visit.order, visit.actual_date or "", visit_id)

    def at(self, there: dict[str, list[Reading]]) -> list[Reading] | None:
        """The readings that a sum is made of at a visit, None where a lesion of the baseline has none."""
        found: list[Reading] = []
        for node_id, base in sorted(self.base.items()):
            mine = [r for n in (node_id, *sorted(self.parts[node_id])) for r in there.get(n, ()) if (r.modality, r.method) == (base.modality, base.method)]
            if not mine:
                return None
            found += mine
        return found


def sums_of(tumours: Tumours) -> list[Sum]:
    """All sums of a study, by subject, evaluator and visit."""
    wanted = tumours.mapping.sdtm.get("sums")
    out: list[Sum] = []
    if wanted in ("volume", "both"):
        out += _volumes(tumours)
    if wanted in ("diameter", "both"):
        out += _diameters(tumours)
    return out


def _grouped(readings: Iterable[Reading], *names: str) -> list[tuple[tuple, list[Reading]]]:
    groups: dict[tuple, list[Reading]] = {}
    for r in readings:
        groups.setdefault(tuple(getattr(r, n) for n in names), []).append(r)
    return sorted(groups.items())


def _accepted(tumours: Tumours, found: list[Reading]) -> bool:
    return all((r.reading_id, r.version) in tumours.accepted for r in found)


def _volumes(tumours: Tumours) -> list[Sum]:
    out: list[Sum] = []
    for (*who, modality, method), readings in _grouped(tumours.readings, "subject_id", "role", "reader", "modality", "method"):
        lesions = _Lesions(tumours, readings)
        first: float | None = None
        for visit_id, there in lesions.looks:
            found = lesions.at(there)
            values = [volume_ml(r) for r in found or ()]
            if found is None or any(v is None for v in values):
                continue
            total = float(sum(values))
            common = (modality, method, len(lesions.base), _accepted(tumours, found))
            out.append(Sum(*who, visit_id, "SUMVOL", total, "mL", *common))
            if first is None:
                first = total
            elif first > 0:
                out.append(Sum(*who, visit_id, "PCBSV", 100.0 * (total - first) / first, "%", *common))
    return out


def _diameters(tumours: Tumours) -> list[Sum]:
    out: list[Sum] = []
    small = tumours.mapping.sdtm.get("too_small_mm")
    for who, readings in _grouped((r for r in tumours.readings if r.modality in _RECIST), "subject_id", "role", "reader"):
        lesions = _Lesions(tumours, readings)
        sums: list[float] = []
        for visit_id, there in lesions.looks:
            found = lesions.at(there)
            values = [diameter_mm(r, is_node=tumours.nodes[r.node_id].level in LEVELS, too_small_mm=small) for r in found or ()]
            if found is None or any(v is None for v in values):
                continue
            total = float(sum(values))
            modalities = {r.modality for r in found}
            common = (modalities.pop() if len(modalities) == 1 else None, None, len(lesions.base), _accepted(tumours, found))
            out.append(Sum(*who, visit_id, "SUMDIAM", total, "mm", *common))
            if sums:
                change = SumChange(sums[0], min(sums), total, total)
                for test, value, unit in (("PCBSD", change.pcbsd_pct, "%"), ("PCNSD", change.pcnsd_pct, "%"), ("ACNSD", change.acnsd_mm, "mm")):
                    if value is not None:
                        out.append(Sum(*who, visit_id, test, value, unit, *common))
            sums.append(total)
    return out
