"""Values of a subject that are no pictures: creatinine clearance and the pain series, from what was logged.

They are clinical events with a ``detail``: ``LAB`` (``test`` CREATININE, ``value``, ``unit``, ``age_years``, ``weight_kg``, ``sex``; age and weight on
the event's date, no birth date is kept), ``NRS`` (``hours`` as scheduled, ``actual_hours``, ``score`` or null with ``reason``), ``ALLOCATION`` (``arm``), ``ELIGIBILITY``
(``criterion``, ``met``, ``note``). An ablation may state the volume of its zone of that day, as measured (``zone_volume_ml``, of several nodes ``zones_ml``) and on what (``zone_source``). A wrong entry is corrected by a new event that names it in ``replaces``.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from app.study.errors import StudyRefused
from app.study.model import ABLATION_KINDS, ClinicalEvent
from volumetry.finding import Finding

UMOL_PER_L_PER_MG_PER_DL = 88.4  # creatinine, 113.12 g/mol
UNITS = {"mg/dL": 1.0, "umol/L": UMOL_PER_L_PER_MG_PER_DL, "µmol/L": UMOL_PER_L_PER_MG_PER_DL, "μmol/L": UMOL_PER_L_PER_MG_PER_DL}
LARGEST_ZONE_ML = 2000.0  # more than that is a slip of the keyboard, or a whole liver
SEX_FACTOR = {"M": 1.0, "F": 0.85}
# Beyond these a value in mg/dL is more likely one in µmol/L, or the other way round.
_LIKELY_MG_PER_DL = (0.2, 15.0)
_KEYS = {
    "LAB": {"test": True, "value": True, "unit": True, "age_years": True, "weight_kg": True, "sex": True},
    "NRS": {"hours": True, "actual_hours": False, "score": False, "reason": False},
    "ALLOCATION": {"arm": True},
    "ELIGIBILITY": {"criterion": True, "met": True, "note": False},
}


@dataclass(frozen=True, slots=True)
class Clearance:
    """Creatinine clearance with everything it was worked out of."""

    ml_per_min: float
    creatinine_mg_per_dl: float
    creatinine: float
    unit: str
    age_years: float
    weight_kg: float
    sex: str
    findings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class PainPoint:
    """One scheduled score: ``hours`` planned and ``actual_hours`` since the procedure, ``score`` None where it was not taken."""

    hours: float
    actual_hours: float | None
    score: int | None


@dataclass(frozen=True, slots=True)
class PainSeries:
    """The pain of one subject. ``auc`` (score × hours) and ``mean`` (over time) are None where a scheduled value is missing; ``auc_one_gap`` is
    the area with a single value inside the series bridged by its neighbours, never over more than one gap nor at an end. ``sustained`` None: the missing values could decide it."""

    points: tuple[PainPoint, ...]
    missing_hours: tuple[float, ...]
    auc: float | None
    mean: float | None
    auc_one_gap: float | None
    sustained: bool | None
    largest: int | None
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As printed by ``nodus study pain --json``."""
        return {
            "points": [{"hours": p.hours, "actual_hours": p.actual_hours, "score": p.score} for p in self.points],
            "missing_hours": list(self.missing_hours), "auc": self.auc, "time_weighted_mean": self.mean, "auc_one_gap_bridged": self.auc_one_gap,
            "sustained": self.sustained, "largest": self.largest, "note": self.note,
        }  # fmt: skip


def age_on(birth: dt.date, on: dt.date) -> int:
    """Completed years on a day; somebody born on 29 February completes a year on 1 March of other years. Raises ``clinical_value_refused`` before birth."""
    if on < birth:
        raise _refused("The day lies before the birth.")
    return on.year - birth.year - ((on.month, on.day) < (birth.month, birth.day))


def cockcroft_gault(creatinine: float, unit: str, *, age_years: float, weight_kg: float, sex: str) -> Clearance:
    """Creatinine clearance, ml/min: (140 − age) × kg × F / (creatinine mg/dL × 72), F = 1 for males, 0.85 for females (Cockcroft and Gault, 1976).

    ``unit`` must be stated, ``mg/dL`` or ``umol/L`` (÷ 88.4): nothing is guessed from the size of the number; a number that fits the other unit
    better has the finding ``creatinine_unit_doubtful``. ``age_years`` on the day of the sample. Raises ``creatinine_unit_refused``, ``clinical_value_refused``.
    """
    if unit not in UNITS:
        raise StudyRefused("State the unit of creatinine: mg/dL or umol/L.", code="creatinine_unit_refused")
    for what, value, low, high in (("creatinine", creatinine, 0.0, math.inf), ("weight", weight_kg, 0.0, 500.0), ("age", age_years, 0.0, 139.0)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or not low < value <= high:
            raise _refused(f"The {what} must be a number above {low:g}" + ("." if math.isinf(high) else f" and at most {high:g}."))
    if sex not in SEX_FACTOR:
        raise _refused("Sex must be M or F: the formula has a factor for each.")
    mg_per_dl = creatinine / UNITS[unit]
    found = ()
    if not _LIKELY_MG_PER_DL[0] <= mg_per_dl <= _LIKELY_MG_PER_DL[1]:
        found = (Finding("creatinine_unit_doubtful", f"A creatinine of {creatinine:g} {unit} is unusual: check the unit.", "serious"),)
    return Clearance((140.0 - age_years) * weight_kg * SEX_FACTOR[sex] / (mg_per_dl * 72.0), mg_per_dl, float(creatinine), unit, float(age_years), float(weight_kg), sex, found)


def nrs_series(points: Iterable[PainPoint], scheduled_hours: Sequence[float], *, sustained_from: float = 4, sustained_consecutive: int = 2) -> PainSeries:
    """Area under the NRS curve by trapezoids over the actual times, its time-weighted mean, and whether pain was sustained.

    A point without an actual time stands at its scheduled one. ``sustained``: that many consecutive scheduled values of at
    least ``sustained_from``. Scores are whole, 0 to 10. Raises ``pain_refused`` for other scores, an hour that is not scheduled, one given twice, times out of order.
    """
    given: dict[float, PainPoint] = {}
    for point in points:
        _check_point(point, scheduled_hours)
        if point.hours in given:
            raise StudyRefused(f"Pain at {point.hours:g} h is given twice; a correction replaces the earlier one.", code="pain_refused")
        given[point.hours] = point
    series = tuple(given.get(h, PainPoint(h, None, None)) for h in scheduled_hours)
    known = [(p.hours if p.actual_hours is None else p.actual_hours, p.score) for p in series if p.score is not None]
    if any(b[0] <= a[0] for a, b in pairwise(known)):
        raise StudyRefused("The actual times of the pain scores are not in the order of the schedule.", code="pain_refused")
    gaps = [n for n, p in enumerate(series) if p.score is None]
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(known))
    complete = not gaps and len(series) > 1
    one_gap = len(gaps) == 1 and 0 < gaps[0] < len(series) - 1
    return PainSeries(
        points=series,
        missing_hours=tuple(series[n].hours for n in gaps),
        auc=float(area) if complete else None,
        mean=area / (known[-1][0] - known[0][0]) if complete else None,
        auc_one_gap=float(area) if one_gap else None,
        sustained=_sustained(series, sustained_from, sustained_consecutive),
        largest=max((s for _, s in known), default=None),
        note="" if not gaps else f"No area: {len(gaps)} of {len(series)} scheduled values are missing." + (" The one inside can be bridged by its neighbours." if one_gap else ""),
    )


def _check_point(point: PainPoint, scheduled: Sequence[float]) -> None:
    if point.hours not in scheduled:
        raise StudyRefused(f"Pain at {point.hours:g} h is not scheduled; the hours are {', '.join(f'{h:g}' for h in scheduled)}.", code="pain_refused")
    if point.score is not None and (isinstance(point.score, bool) or point.score not in range(11)):
        raise StudyRefused("A pain score is a whole number from 0 to 10.", code="pain_refused")
    if point.actual_hours is not None and not (math.isfinite(point.actual_hours) and point.actual_hours >= 0):
        raise StudyRefused("The actual time is hours after the procedure, zero or more.", code="pain_refused")


def _sustained(series: Sequence[PainPoint], level: float, run: int) -> bool | None:
    """True where a run of scheduled values reaches the level, None where only missing values keep one from doing so."""
    windows = [series[n : n + run] for n in range(len(series) - run + 1)]
    if any(all(p.score is not None and p.score >= level for p in w) for w in windows):
        return True
    return None if any(all(p.score is None or p.score >= level for p in w) for w in windows) else False


# -- what is logged -----------------------------------------------------------------------------------


def check_detail(kind: str, detail: Mapping[str, Any]) -> dict[str, Any]:
    """The detail of an event as it is stored: every value that its kind needs, none that it does not know, each worked out once so that
    nothing wrong is logged. Kinds without rules are stored as given. Raises ``detail_refused`` and what the values' own checks refuse."""
    known = _KEYS.get(kind)
    if known is None:
        return _checked_zones(kind, detail)
    for key in detail:
        if key not in known and key != "replaces":
            raise StudyRefused(f"{kind} knows no {key!r}; it knows {', '.join(known)}.", code="detail_refused")
    for key, needed in known.items():
        if needed and detail.get(key) is None:
            raise StudyRefused(f"{kind} needs {key}.", code="detail_refused", hint=f"It knows {', '.join(known)}.")
    if kind == "LAB":
        if detail["test"] != "CREATININE":
            raise StudyRefused("Of laboratory values only CREATININE is kept here; all others stay in the EDC.", code="detail_refused")
        cockcroft_gault(detail["value"], detail["unit"], age_years=detail["age_years"], weight_kg=detail["weight_kg"], sex=detail["sex"])
    elif kind == "NRS":
        if detail.get("score") is None and not detail.get("reason"):
            raise StudyRefused("A score that was not taken needs a reason.", code="detail_refused")
        _number(detail, "hours"), _number(detail, "actual_hours")
        _check_point(PainPoint(float(detail["hours"]), detail.get("actual_hours"), detail.get("score")), (float(detail["hours"]),))
    elif kind == "ELIGIBILITY" and not isinstance(detail["met"], bool):
        raise StudyRefused("met is true or false.", code="detail_refused")
    elif kind == "ALLOCATION" and not isinstance(detail["arm"], str):
        raise StudyRefused("arm is the name of an arm.", code="detail_refused")
    return dict(detail)


def _checked_zones(kind: str, detail: Mapping[str, Any]) -> dict[str, Any]:
    """The detail of an ablation: what it states of its zone is a volume above 0 ml, and only an ablation has one."""
    several = detail.get("zones_ml") or {}
    if not isinstance(several, Mapping):
        raise StudyRefused("zones_ml holds a volume for each node.", code="zone_refused")
    zones = {**several, **({"zone_volume_ml": detail["zone_volume_ml"]} if "zone_volume_ml" in detail else {})}
    if zones and kind not in ABLATION_KINDS:
        raise StudyRefused(f"Only an ablation has a zone, {kind} has none.", code="zone_refused")
    for name, value in zones.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or not 0 < value <= LARGEST_ZONE_ML:
            raise StudyRefused(f"The zone of an ablation ({name}) is a volume above 0 and at most {LARGEST_ZONE_ML:g} ml.", code="zone_refused")
    return dict(detail)


def zone_stated_ml(events: Iterable[ClinicalEvent], node_id: str) -> float | None:
    """The ablation zone of one node as these events (of one day) state it: ``zone_volume_ml`` of an ablation of this node alone, or the node's entry in
    ``zones_ml`` (node id -> ml) of one of several nodes; the last one stated, None where there is none."""
    found = None
    for event in events:
        value = event.detail.get("zone_volume_ml") if event.node_id == node_id else None
        value = (event.detail.get("zones_ml") or {}).get(node_id, value) if event.node_id in (None, node_id) else value
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
            found = float(value)
    return found


def _number(detail: Mapping[str, Any], key: str) -> None:
    value = detail.get(key)
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value)):
        raise StudyRefused(f"{key} is a number of hours.", code="detail_refused")


def standing(events: Iterable[ClinicalEvent]) -> list[ClinicalEvent]:
    """Events without those that a later one ``replaces``."""
    events = list(events)
    gone = {e.detail.get("replaces") for e in events}
    return [e for e in events if e.event_id not in gone]


def pain_of(events: Iterable[ClinicalEvent], pain: Mapping[str, Any]) -> PainSeries:
    """The pain series of one subject's events, by the protocol's ``pain``. Raises ``pain_refused``."""
    hours = [float(h) for h in pain["hours"]]
    points = [
        PainPoint(float(e.detail["hours"]), None if e.detail.get("actual_hours") is None else float(e.detail["actual_hours"]), e.detail.get("score"))
        for e in standing(events)
        if e.kind == "NRS" and "hours" in e.detail
    ]
    return nrs_series(points, hours, sustained_from=pain["sustained_from"], sustained_consecutive=pain["sustained_consecutive"])


def clearance_of(events: Iterable[ClinicalEvent], *, on: dt.date | None = None, before: dt.date | None = None) -> tuple[Clearance, ClinicalEvent] | None:
    """Clearance of the last creatinine of one subject up to ``on`` and not after ``before`` (the first treatment), with its event; None where there is none."""
    known = [
        e for e in standing(events)
        if e.kind == "LAB" and e.detail.get("test") == "CREATININE" and all(limit is None or dt.date.fromisoformat(e.date) <= limit for limit in (on, before))
    ]  # fmt: skip
    if not known:
        return None
    last = max(known, key=lambda e: (e.date, e.event_id))
    d = last.detail
    return cockcroft_gault(d["value"], d["unit"], age_years=d["age_years"], weight_kg=d["weight_kg"], sex=d["sex"]), last


def _refused(sentence: str) -> StudyRefused:
    return StudyRefused(sentence, code="clinical_value_refused")
