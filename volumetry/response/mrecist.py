"""mRECIST for liver cancer: the part of a lesion that still enhances in the arterial phase.

Lencioni and Llovet, Semin Liver Dis 2010;30:52. An engine of its own beside RECIST 1.1: other diameters, no limit of 5 mm
for progression, complete response without anything left to measure. Made for hepatocellular carcinoma; metastases that
hardly enhance cannot be judged by it (``hypovascular``), which the protocol must settle.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from volumetry.errors import MeasurementRefused
from volumetry.finding import Finding

PR_PCT, PD_PCT = -30.0, 20.0
VIABLE_MM = 10.0  # smallest enhancing diameter of a target, and of a new lesion with the typical pattern
MAX_TARGETS, MAX_PER_ORGAN = 5, 2
_EPS = 1e-9


class Answer(StrEnum):
    """Response of targets, non-targets, a visit. ``IR_SD``: incomplete response or stable disease."""

    CR = "CR"
    PR = "PR"
    SD = "SD"
    IR_SD = "IR/SD"
    PD = "PD"
    NE = "NE"
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class ViableTarget:
    """``viable_mm``: longest diameter of what enhances in the arterial phase, 0 where nothing does, None where it was not
    evaluated (phase missed)."""

    lesion_id: str
    viable_mm: float | None

    def __post_init__(self) -> None:
        if self.viable_mm is not None and not self.viable_mm >= 0:
            raise MeasurementRefused(f"{self.lesion_id}: {self.viable_mm} mm is no diameter.", code="value_refused")


@dataclass(frozen=True, slots=True)
class ViableVisit:
    """What one reader found at one visit. ``non_targets``: for each whether it still enhances (None: not evaluated).
    ``non_target_progressed`` only where unequivocal."""

    date: dt.date
    targets: tuple[ViableTarget, ...]
    non_targets: tuple[bool | None, ...] = ()
    non_target_progressed: bool = False
    new_lesion: bool = False


@dataclass(frozen=True, slots=True)
class ViableResponse:
    """Responses at one visit and the sum of viable diameters (SDTM's SUMVDIAM) with its changes in percent."""

    date: dt.date
    sum_mm: float | None
    baseline_mm: float
    nadir_mm: float
    target: Answer
    non_target: Answer
    new_lesion: bool
    overall: Answer

    @property
    def from_baseline_pct(self) -> float | None:
        """Change from baseline, negative is smaller."""
        return None if self.sum_mm is None or self.baseline_mm == 0 else 100 * (self.sum_mm - self.baseline_mm) / self.baseline_mm

    @property
    def from_nadir_pct(self) -> float | None:
        """Change from the smallest sum so far; None where that is 0."""
        return None if self.sum_mm is None or self.nadir_mm == 0 else 100 * (self.sum_mm - self.nadir_mm) / self.nadir_mm

    def to_dict(self) -> dict:
        """Plain values."""
        return {
            "date": self.date.isoformat(), "sumvdiam_mm": self.sum_mm, "baseline_mm": self.baseline_mm, "nadir_mm": self.nadir_mm, "from_baseline_pct": self.from_baseline_pct,
            "from_nadir_pct": self.from_nadir_pct, "target": str(self.target), "non_target": str(self.non_target), "new_lesion": self.new_lesion, "overall": str(self.overall),
        }  # fmt: skip


def may_be_target(lesion_id: str, viable_mm: float | None, *, arterially_enhancing: bool) -> Finding | None:
    """None where the lesion can be a target, else why not: it does not enhance in the arterial phase (``hypovascular``), or
    the enhancing part is below 10 mm (``below_measurable``)."""
    if not arterially_enhancing:
        return Finding("hypovascular", f"{lesion_id} does not enhance in the arterial phase: mRECIST cannot judge it.")
    if viable_mm is None or viable_mm < VIABLE_MM:
        return Finding("below_measurable", f"{lesion_id}: the enhancing part is below {VIABLE_MM:g} mm.", "info")
    return None


def new_lesion_counts(longest_mm: float, *, typical_pattern: bool, grew_mm: float = 0.0) -> bool:
    """Is a new nodule of the liver a new lesion? From 10 mm with washin and washout, or when it has grown by 10 mm or more;
    its date is that of the first detection."""
    return longest_mm >= VIABLE_MM and (typical_pattern or grew_mm >= VIABLE_MM)


def target_answer(sum_mm: float | None, evaluated_mm: float, baseline_mm: float, nadir_mm: float) -> Answer:
    """By the sum of viable diameters: 0 is CR; 20 % above nadir PD (also where the evaluated ones alone reach it, and whatever
    enhances again after 0); 30 % below baseline PR."""
    if sum_mm == 0:
        return Answer.CR
    if evaluated_mm > 0 and evaluated_mm >= (1 + PD_PCT / 100) * nadir_mm - _EPS:
        return Answer.PD
    if sum_mm is None:
        return Answer.NE
    return Answer.PR if sum_mm <= (1 + PR_PCT / 100) * baseline_mm + _EPS else Answer.SD


def overall_answer(target: Answer, non_target: Answer, new_lesion: bool) -> Answer:
    """Overall response at a visit, first matching row of the published table."""
    if new_lesion or Answer.PD in (target, non_target):
        return Answer.PD
    if target is Answer.NONE:
        return Answer.NE if non_target is Answer.NONE else non_target
    if target is Answer.CR:
        return Answer.CR if non_target in (Answer.CR, Answer.NONE) else Answer.PR
    return target


def follow_viable(baseline: Sequence[ViableTarget], visits: Sequence[ViableVisit]) -> tuple[ViableResponse, ...]:
    """Responses in the order of dates. Refuses ``targets_differ``: a target without viable diameter at baseline, or other
    targets at a visit than at baseline."""
    if not baseline or any(not t.viable_mm for t in baseline):
        raise MeasurementRefused("Every target has a viable diameter at baseline.", code="targets_differ")
    names = sorted(t.lesion_id for t in baseline)
    first = nadir = float(sum(t.viable_mm for t in baseline))
    out = []
    for visit in sorted(visits, key=lambda v: v.date):
        if sorted(t.lesion_id for t in visit.targets) != names:
            raise MeasurementRefused(f"The targets on {visit.date} are not those of baseline.", code="targets_differ", hint="Enter each target at each visit, as not evaluated where it was not.")
        known = [t.viable_mm for t in visit.targets if t.viable_mm is not None]
        total = float(sum(known)) if len(known) == len(names) else None
        target = target_answer(total, float(sum(known)), first, nadir)
        non_target = _non_targets(visit)
        out.append(ViableResponse(visit.date, total, first, nadir, target, non_target, visit.new_lesion, overall_answer(target, non_target, visit.new_lesion)))
        if total is not None:
            nadir = min(nadir, total)
    return tuple(out)


def _non_targets(visit: ViableVisit) -> Answer:
    if visit.non_target_progressed:
        return Answer.PD
    if not visit.non_targets:
        return Answer.NONE
    if True in visit.non_targets:
        return Answer.IR_SD
    return Answer.NE if None in visit.non_targets else Answer.CR


def best_viable(visits: Sequence[tuple[dt.date, Answer]]) -> tuple[Answer, dt.date | None]:
    """The best response up to the first progression, and its date: CR, PR, SD, PD, else NE."""
    seen: list[tuple[dt.date, Answer]] = []
    for date, answer in sorted(visits, key=lambda v: v[0]):
        seen.append((date, answer))
        if answer is Answer.PD:
            break
    for wanted in (Answer.CR, Answer.PR, Answer.SD, Answer.IR_SD, Answer.PD):
        for date, answer in seen:
            if answer is wanted:
                return wanted, date
    return Answer.NE, seen[0][0] if seen else None


def controlled(answer: Answer) -> bool | None:
    """Local disease control: CR, PR or SD; None where not evaluable."""
    return None if answer in (Answer.NE, Answer.NONE) else answer is not Answer.PD
