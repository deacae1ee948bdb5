"""Sums of a subject's volumes at a visit, within one evaluator, modality and method.

A sum stands only where every lesion of the baseline has a value at the visit: nothing is imputed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from app.edc.responses import Sum
from app.study.model import Reading, ReadingStatus

if TYPE_CHECKING:
    from app.edc.sdtm_tumour import Tumours


def volume_ml(reading: Reading) -> float | None:
    """What a lesion adds to the sum: 0 where it has disappeared, or merged with one that has its extent. None: no value."""
    return 0.0 if reading.status in (ReadingStatus.DISAPPEARED_ASSESSED, ReadingStatus.MERGED_INTO) else reading.volume_ml


def volume_sums(tumours: Tumours) -> list[Sum]:
    """All sums of volumes of a study with their change from baseline, by subject, evaluator, modality, method and visit."""
    out: list[Sum] = []
    for (*who, modality, method), readings in _grouped(tumours.readings, "subject_id", "role", "reader", "modality", "method"):
        base = {r.node_id: r for r in readings if (r.reading_id, r.version) in tumours.last_before}
        if not base:
            continue

        def place(visit_id: str) -> tuple:
            visit = tumours.visits[visit_id]
            return (visit.order, visit.actual_date or "", visit_id)

        # Each lesion's own last reading before its ablation makes up the baseline; it stands at the last of their visits.
        first_visit = max((r.visit_id for r in base.values()), key=place)
        looks: dict[str, dict[str, Reading]] = {first_visit: base}
        for r in sorted(readings, key=lambda r: place(r.visit_id)):
            if place(r.visit_id) > place(first_visit):
                looks.setdefault(r.visit_id, {})[r.node_id] = r
        first: float | None = None
        for visit_id, there in looks.items():
            found = [there[n] for n in sorted(base) if n in there]
            values = [volume_ml(r) for r in found]
            if len(found) < len(base) or any(v is None for v in values):
                continue
            total = float(sum(values))
            common = (modality, method, len(base), all((r.reading_id, r.version) in tumours.accepted for r in found))
            out.append(Sum(*who, visit_id, "SUMVOL", total, "mL", *common))
            if first is None:
                first = total
            elif first > 0:
                out.append(Sum(*who, visit_id, "PCBSV", 100.0 * (total - first) / first, "%", *common))
    return out


def _grouped(readings: Iterable[Reading], *names: str) -> list[tuple[tuple, list[Reading]]]:
    groups: dict[tuple, list[Reading]] = {}
    for r in readings:
        groups.setdefault(tuple(getattr(r, n) for n in names), []).append(r)
    return sorted(groups.items())
