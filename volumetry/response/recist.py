"""RECIST 1.1: which lesions are targets, their sum, the response at a visit, the overall response, the best one.

Eisenhauer et al., Eur J Cancer 2009;45:228, with the clarifications of the EORTC. Diameters in mm: long axis of a lesion,
short axis of a node. Volumes have no part in it; the volume reduction rate is another engine. Lesions in the liver judged by
enhancement follow ``mrecist``.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from volumetry.errors import MeasurementRefused
from volumetry.finding import Finding

MAX_TARGETS, MAX_PER_ORGAN = 5, 2
LESION_MM, NODE_TARGET_MM, NODE_NORMAL_MM, TOO_SMALL_MM = 10.0, 15.0, 10.0, 5.0
PR_PCT, PD_PCT, PD_MM = -30.0, 20.0, 5.0
THICK_SLICE_MM = 5.0
MODALITIES = ("CT", "MR")
NODES = "lymph nodes"  # one organ, whatever their level and side
_EPS = 1e-9


class Role(StrEnum):
    """What a lesion may be at baseline."""

    TARGET = "target"
    NON_TARGET = "non_target"
    NORMAL = "normal"


class Seen(StrEnum):
    """How a target lesion was found at a visit."""

    MEASURED = "measured"
    TOO_SMALL = "too_small"
    ABSENT = "absent"
    MERGED = "merged_into"  # its extent is within the diameter of another target
    SPLIT = "split"  # ``parts_mm`` holds the pieces
    NOT_EVALUATED = "not_evaluated"


class Response(StrEnum):
    """Of targets, non-targets, a visit or the whole course. ``NONE``: there are no such lesions."""

    CR = "CR"
    PR = "PR"
    SD = "SD"
    NON_CR_NON_PD = "NON-CR/NON-PD"
    PD = "PD"
    NE = "NE"
    NONE = "NONE"


@dataclass(frozen=True, slots=True)
class Lesion:
    """A lesion as it was at baseline. ``organ`` as the protocol names it; all nodes count as one. ``treated`` locally
    (ablated, irradiated) before baseline; ``progressed`` since then."""

    lesion_id: str
    organ: str
    nodal: bool = False
    treated: bool = False
    progressed: bool = False

    @property
    def place(self) -> str:
        """The organ it counts for."""
        return NODES if self.nodal else self.organ


@dataclass(frozen=True, slots=True)
class Target:
    """A target lesion at one visit: ``diameter_mm`` is the long axis, of a node the short axis."""

    lesion: Lesion
    seen: Seen
    diameter_mm: float | None = None
    parts_mm: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.seen is Seen.MEASURED and not (self.diameter_mm is not None and self.diameter_mm > 0):
            raise MeasurementRefused(f"{self.lesion.lesion_id}: a measured lesion needs a diameter.", code="value_refused")
        if self.seen is Seen.SPLIT and not (self.parts_mm and all(p > 0 for p in self.parts_mm)):
            raise MeasurementRefused(f"{self.lesion.lesion_id}: a split lesion needs the diameters of its parts.", code="value_refused")

    @property
    def counts_mm(self) -> float | None:
        """What it adds to the sum. Measured: its diameter, also below 5 mm. Present but too small to measure: 5 mm.
        Split: its parts together. Merged: 0, its extent is in the other lesion's diameter. Not evaluated: None."""
        return {
            Seen.MEASURED: self.diameter_mm, Seen.TOO_SMALL: TOO_SMALL_MM, Seen.ABSENT: 0.0, Seen.MERGED: 0.0,
            Seen.SPLIT: sum(self.parts_mm), Seen.NOT_EVALUATED: None,
        }[self.seen]  # fmt: skip

    @property
    def gone(self) -> bool:
        """A node of less than 10 mm is normal; any other lesion must have disappeared."""
        if self.lesion.nodal and self.seen not in (Seen.MERGED, Seen.NOT_EVALUATED):
            largest = max(self.parts_mm) if self.seen is Seen.SPLIT else self.counts_mm
            return largest < NODE_NORMAL_MM
        return self.seen is Seen.ABSENT


class NonTarget(StrEnum):
    """A non-target lesion at a visit; ``PROGRESSED`` only where it is unequivocal."""

    GONE = "gone"
    PRESENT = "present"
    PROGRESSED = "progressed"
    NOT_EVALUATED = "not_evaluated"


def role_of(lesion: Lesion, *, modality: str, long_axis_mm: float | None = None, short_axis_mm: float | None = None, slice_mm: float | None = None) -> tuple[Role, Finding | None]:
    """What a lesion may be at baseline, and why it is no target where it is not.

    Nodes by short axis: 15 mm and more target, 10 to below 15 non-target, below 10 normal. Other lesions are measurable from
    a long axis of 10 mm, with slices thicker than 5 mm from twice their thickness. A lesion treated locally before is
    not measurable unless it has progressed since. Ultrasound is refused as a measuring method,
    ``ultrasound_not_accepted``; a missing axis is refused, ``value_refused``.
    """
    check_modality(modality)
    size = short_axis_mm if lesion.nodal else long_axis_mm
    if size is None or size <= 0:
        raise MeasurementRefused(f"{lesion.lesion_id} has no {'short' if lesion.nodal else 'long'} axis.", code="value_refused")
    if lesion.nodal and size < NODE_NORMAL_MM:
        return Role.NORMAL, Finding("node_normal", f"{lesion.lesion_id}: a node with a short axis below {NODE_NORMAL_MM:g} mm is normal.", "info")
    if lesion.treated and not lesion.progressed:
        return Role.NON_TARGET, Finding("locally_treated", f"{lesion.lesion_id} was treated locally and has not progressed since: it is not measurable.")
    thick = slice_mm is not None and slice_mm > THICK_SLICE_MM
    least = NODE_TARGET_MM if lesion.nodal else 2 * slice_mm if thick else LESION_MM
    if lesion.nodal and thick:
        least = max(least, 2 * slice_mm)
    if size < least - _EPS:
        return Role.NON_TARGET, Finding("below_measurable", f"{lesion.lesion_id}: {size:g} mm is below {least:g} mm; it is followed as a non-target lesion.", "info")
    return Role.TARGET, None


def check_modality(modality: str) -> None:
    """Refuses ``ultrasound_not_accepted`` and any other modality than CT and MR, ``modality_refused``."""
    if modality.upper() in ("US", "CEUS"):
        raise MeasurementRefused("RECIST 1.1 does not accept ultrasound as a measuring method.", code="ultrasound_not_accepted", hint="Read the visit on CT or MR; volumes by ultrasound have a rate of their own.")
    if modality.upper() not in MODALITIES:
        raise MeasurementRefused(f"RECIST 1.1 is measured on CT or MR, not on {modality}.", code="modality_refused")


def check_targets(lesions: Sequence[Lesion]) -> tuple[Finding, ...]:
    """What is wrong with a choice of targets: more than five, more than two in an organ. Nodes are one organ."""
    found = []
    if len(lesions) > MAX_TARGETS:
        found.append(Finding("too_many_targets", f"{len(lesions)} targets are chosen; at most {MAX_TARGETS} may be.", "serious"))
    for organ, n in sorted(Counter(x.place for x in lesions).items()):
        if n > MAX_PER_ORGAN:
            found.append(Finding("too_many_targets", f"{n} targets are chosen in {organ}; at most {MAX_PER_ORGAN} may be{' (all nodes count as one organ)' if organ == NODES else ''}.", "serious"))
    return tuple(found)


def choose_targets(sized: Sequence[tuple[Lesion, float]]) -> tuple[Lesion, ...]:
    """The largest lesions within the limits, by (lesion, mm); at equal size the earlier in the list. A proposal only."""
    taken: list[Lesion] = []
    for lesion, _ in sorted(sized, key=lambda s: -s[1]):
        if len(taken) < MAX_TARGETS and sum(t.place == lesion.place for t in taken) < MAX_PER_ORGAN:
            taken.append(lesion)
    return tuple(taken)


@dataclass(frozen=True, slots=True)
class SumChange:
    """The sum of target diameters at a visit against baseline and nadir. ``sum_mm`` is None where a target was not
    evaluated; ``evaluated_mm`` is the sum of the others. ``pcbsd_pct``, ``pcnsd_pct`` and ``acnsd_mm`` are SDTM's
    PCBSD, PCNSD and ACNSD (negative is smaller)."""

    baseline_mm: float
    nadir_mm: float
    sum_mm: float | None
    evaluated_mm: float

    @property
    def pcbsd_pct(self) -> float | None:
        """Change from baseline in percent."""
        return None if self.sum_mm is None or self.baseline_mm == 0 else 100 * (self.sum_mm - self.baseline_mm) / self.baseline_mm

    @property
    def pcnsd_pct(self) -> float | None:
        """Change from nadir in percent; None where the nadir is 0."""
        return None if self.sum_mm is None or self.nadir_mm == 0 else 100 * (self.sum_mm - self.nadir_mm) / self.nadir_mm

    @property
    def acnsd_mm(self) -> float | None:
        """Change from nadir in mm."""
        return None if self.sum_mm is None else self.sum_mm - self.nadir_mm

    @property
    def progressed(self) -> bool:
        """At least 20 % and at least 5 mm above the nadir; with some targets not evaluated, where the others alone are."""
        more = self.evaluated_mm - self.nadir_mm
        return more >= PD_MM - _EPS and more >= PD_PCT / 100 * self.nadir_mm - _EPS


def sum_change(targets: Sequence[Target], baseline_mm: float, nadir_mm: float) -> SumChange:
    """The sum at a visit; ``nadir_mm`` is the smallest complete sum before it, baseline included."""
    each = [t.counts_mm for t in targets]
    known = sum(mm for mm in each if mm is not None)
    return SumChange(baseline_mm, min(baseline_mm, nadir_mm), None if None in each else known, known)


def target_response(targets: Sequence[Target], change: SumChange, *, responded: bool = False, complete_before: bool = False) -> Response:
    """The response of the target lesions.

    ``responded``: targets had reached CR or PR before; PR then stays until CR or PD (EORTC: 100, 70, 70, 80, 80, 80 mm is PR
    throughout). ``complete_before``: the overall response had been CR; a lesion other than a node that is back is then PD. A
    node back above 10 mm (9 to 11 mm) is not by itself; it must add 20 % and 5 mm.
    """
    if not targets:
        return Response.NONE
    if all(t.gone for t in targets):
        return Response.CR
    back = complete_before and any(not t.lesion.nodal and t.seen not in (Seen.ABSENT, Seen.NOT_EVALUATED) for t in targets)
    if back or change.progressed:
        return Response.PD
    if change.sum_mm is None:
        return Response.NE
    if responded or (change.pcbsd_pct is not None and change.pcbsd_pct <= PR_PCT + _EPS):
        return Response.PR
    return Response.SD


def non_target_response(lesions: Sequence[NonTarget]) -> Response:
    """The response of the non-target lesions. Nodes count as gone below 10 mm (the reader's entry)."""
    if not lesions:
        return Response.NONE
    for state, answer in ((NonTarget.PROGRESSED, Response.PD), (NonTarget.PRESENT, Response.NON_CR_NON_PD), (NonTarget.NOT_EVALUATED, Response.NE)):
        if state in lesions:
            return answer
    return Response.CR


def overall_response(target: Response, non_target: Response, new_lesion: bool) -> Response:
    """The overall response at one visit: first matching row of the guideline's tables (with targets; non-targets alone)."""
    if new_lesion or Response.PD in (target, non_target):
        return Response.PD
    if target is Response.NONE:
        return Response.NE if non_target is Response.NONE else non_target
    if target is Response.CR:
        return Response.CR if non_target in (Response.CR, Response.NONE) else Response.PR
    return target  # PR and SD with any non-PD or NE; NE


@dataclass(frozen=True, slots=True)
class VisitFindings:
    """What one reader found at one visit. ``new_lesion`` True: unequivocal; one only suspected is not entered until it is
    certain, and then belongs to the visit that first showed it."""

    date: dt.date
    targets: tuple[Target, ...]
    non_targets: tuple[NonTarget, ...] = ()
    new_lesion: bool = False


@dataclass(frozen=True, slots=True)
class VisitResponse:
    """The responses at one visit, with the sum that they rest on and what a reader should look at again."""

    date: dt.date
    change: SumChange
    target: Response
    non_target: Response
    new_lesion: bool
    overall: Response
    findings: tuple[Finding, ...] = ()

    def to_dict(self) -> dict:
        """Plain values under SDTM's names in lower case where there are such."""
        c = self.change
        return {
            "date": self.date.isoformat(), "sumdiam_mm": c.sum_mm, "baseline_mm": c.baseline_mm, "nadir_mm": c.nadir_mm, "pcbsd_pct": c.pcbsd_pct, "pcnsd_pct": c.pcnsd_pct,
            "acnsd_mm": c.acnsd_mm, "target": str(self.target), "non_target": str(self.non_target), "new_lesion": self.new_lesion, "overall": str(self.overall),
            "warnings": [f.as_warning() for f in self.findings],
        }  # fmt: skip


def follow(baseline: Sequence[Target], visits: Sequence[VisitFindings]) -> tuple[VisitResponse, ...]:
    """Responses visit by visit, in the order of their dates. Every target must be measured at baseline and be there (if
    only as not evaluated) at every visit; refused otherwise, ``targets_differ``."""
    sizes = [t.counts_mm for t in baseline]
    if None in sizes or any(t.seen is not Seen.MEASURED for t in baseline):
        raise MeasurementRefused("Every target lesion is measured at baseline.", code="targets_differ")
    names = sorted(t.lesion.lesion_id for t in baseline)
    first = nadir = float(sum(sizes))
    responded = complete = False
    out = []
    for visit in sorted(visits, key=lambda v: v.date):
        if sorted(t.lesion.lesion_id for t in visit.targets) != names:
            raise MeasurementRefused(f"The targets on {visit.date} are not those of baseline.", code="targets_differ", hint="Enter each target at each visit, as not evaluated where it was not.")
        change = sum_change(visit.targets, first, nadir)
        target = target_response(visit.targets, change, responded=responded, complete_before=complete)
        non_target = non_target_response(visit.non_targets)
        overall = overall_response(target, non_target, visit.new_lesion)
        out.append(VisitResponse(visit.date, change, target, non_target, visit.new_lesion, overall, _look_again(visit, complete, overall)))
        if change.sum_mm is not None:
            nadir = min(nadir, change.sum_mm)
        responded = responded or target in (Response.CR, Response.PR)
        complete = complete or overall is Response.CR
    return tuple(out)


def _look_again(visit: VisitFindings, complete: bool, overall: Response) -> tuple[Finding, ...]:
    if not complete or overall in (Response.CR, Response.PD):
        return ()
    back = [t.lesion.lesion_id for t in visit.targets if t.lesion.nodal and not t.gone and t.seen is not Seen.NOT_EVALUATED]
    return (Finding("node_back", f"{', '.join(back)}: 10 mm or more again after a complete response. That alone is no progression; image again before deciding."),) if back else ()


@dataclass(frozen=True, slots=True)
class Best:
    """The best overall response, the visit it comes from, and the date of progression where there was one."""

    response: Response
    date: dt.date | None
    progression: dt.date | None = None


def best_overall(start: dt.date, visits: Sequence[tuple[dt.date, Response]], *, confirm_days: int | None = None, stable_days: int = 42, max_ne: int = 1) -> Best:
    """Best overall response up to the first progression.

    ``confirm_days`` None: no confirmation (randomised trials). With it (28: four weeks), CR needs a later CR and PR a later CR or
    PR at least so many days on, with nothing else between but at most ``max_ne`` visits not evaluated; a PR after a CR confirms
    nothing (what had gone was back). SD needs ``stable_days`` from ``start`` (the guideline leaves the number to the
    protocol, commonly six to eight weeks). An unconfirmed response counts as SD where that was met, else as PD where progression
    followed, else as NE.
    """
    seen: list[tuple[dt.date, Response]] = []
    progression = None
    for date, response in sorted(visits, key=lambda v: v[0]):
        seen.append((date, response))
        if response is Response.PD:
            progression = date
            break
    for wanted in (Response.CR, Response.PR):
        for n, (date, response) in enumerate(seen):
            if response is wanted and (confirm_days is None or _confirmed(seen, n, confirm_days, max_ne)):
                return Best(wanted, date, progression)
    stable = next((d for d, r in seen if r in (Response.SD, Response.PR, Response.CR) and (d - start).days >= stable_days), None)
    if stable is not None:
        return Best(Response.SD, stable, progression)
    neither = next((d for d, r in seen if r is Response.NON_CR_NON_PD and (d - start).days >= stable_days), None)
    if neither is not None:
        return Best(Response.NON_CR_NON_PD, neither, progression)
    if progression is not None:
        return Best(Response.PD, progression, progression)
    return Best(Response.NE, seen[0][0] if seen else None)


def _confirmed(seen: Sequence[tuple[dt.date, Response]], first: int, days: int, max_ne: int) -> bool:
    date, wanted = seen[first]
    good = (Response.CR,) if wanted is Response.CR else (Response.CR, Response.PR)
    missing, complete = 0, wanted is Response.CR
    for later, response in seen[first + 1 :]:
        if response is Response.NE:
            missing += 1
            if missing > max_ne:
                return False
            continue
        if response not in good or (complete and response is Response.PR):
            return False
        complete = complete or response is Response.CR
        if (later - date).days >= days:
            return True
    return False
