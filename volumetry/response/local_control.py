"""Local control after ablation: what was left, what came back, whether a course of treatment worked.

Terms after Ahmed et al., Radiology 2014;273:241 and Puijk et al. (SIO, DATECAN), Radiology 2021: viable tumour at the first control is
residual unablated tumour; viable tumour after a control showed completeness is local tumour progression. Efficacy is
primary for the first course, secondary with what was treated again. Counted by tumour, by session and by patient.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from volumetry.errors import MeasurementRefused
from volumetry.response.statistics import Rate, node_rate, subject_rate

NO_CONTROL, NOT_EVALUABLE = "no_control", "control_not_evaluable"


@dataclass(frozen=True, slots=True)
class Control:
    """One control scan of one tumour. ``viable``: tumour at or next to the zone; None where it could not be judged."""

    date: dt.date
    viable: bool | None


@dataclass(frozen=True, slots=True)
class TreatedTumour:
    """A tumour with its ablations, each as (date, session name), and its controls."""

    tumour_id: str
    patient_id: str
    ablations: tuple[tuple[dt.date, str], ...]
    controls: tuple[Control, ...] = ()


@dataclass(frozen=True, slots=True)
class TumourCourse:
    """What became of one tumour. None: no control could tell (``missing`` says why). ``residual``: at the first evaluable control
    after the first course. ``primary``: that control showed completeness. ``progression_date``: the first control with
    viable tumour after completeness. ``secondary``: complete at the end, retreatment included, judged at the last evaluable control.
    """

    tumour_id: str
    patient_id: str
    session: str
    first_control: dt.date | None
    residual: bool | None
    primary: bool | None
    complete_date: dt.date | None
    progression_date: dt.date | None
    retreated: bool
    secondary: bool | None
    last_control: dt.date | None
    missing: str | None = None

    def to_dict(self) -> dict:
        """Plain values, dates as ISO text."""
        return {name: (v.isoformat() if isinstance(v := getattr(self, name), dt.date) else v) for name in self.__dataclass_fields__}


def tumour_course(tumour: TreatedTumour, *, course_sessions: int = 1) -> TumourCourse:
    """Follow one tumour. ``course_sessions`` is how many sessions the protocol counts as its first course; a further one
    before it was complete is retreatment. A control on the day of an ablation belongs before it. Refuses ``tumour_not_treated``."""
    ablations = sorted(tumour.ablations)
    if not ablations:
        raise MeasurementRefused(f"{tumour.tumour_id} has no ablation.", code="tumour_not_treated")
    course, later = ablations[:course_sessions], ablations[course_sessions:]
    controls = sorted((c for c in tumour.controls if c.date > ablations[0][0]), key=lambda c: c.date)
    usable = [c for c in controls if c.viable is not None]
    session = ablations[0][1]
    # The first course ends with its last session that was done before a control showed completeness.
    done = next((c.date for c in usable if not c.viable), None)
    course_end = max(d for d, _ in course if done is None or d < done)
    first = next((c for c in usable if c.date > course_end), None)
    if first is None:
        missing = NO_CONTROL if not [c for c in controls if c.date > course_end] else NOT_EVALUABLE
        return TumourCourse(tumour.tumour_id, tumour.patient_id, session, None, None, None, None, None, bool(later), None, usable[-1].date if usable else None, missing)
    # Retreatment before any control of the course leaves the course unjudged: the control shows both.
    if any(course_end < d < first.date for d, _ in later):
        last = usable[-1]
        return TumourCourse(tumour.tumour_id, tumour.patient_id, session, None, None, None, None, None, True, not last.viable, last.date, "retreated_before_control")
    complete = next((c.date for c in usable if c.date >= first.date and not c.viable), None)
    progression = next((c.date for c in usable if complete is not None and c.date > complete and c.viable), None)
    last_ablation = ablations[-1][0]
    after_last = [c for c in usable if c.date > last_ablation]
    secondary = (not after_last[-1].viable) if after_last else (False if usable[-1].viable else None)
    return TumourCourse(tumour.tumour_id, tumour.patient_id, session, first.date, first.viable, not first.viable, complete, progression, bool(later), secondary, usable[-1].date)


@dataclass(frozen=True, slots=True)
class LocalControl:
    """Rates by tumour, session and patient: a session or patient counts where all its tumours do, and is missing where none
    failed but one could not be judged. Keys: ``residual``, ``primary_efficacy``, ``local_progression``, ``secondary_efficacy``."""

    by_tumour: Mapping[str, Rate]
    by_session: Mapping[str, Rate]
    by_patient: Mapping[str, Rate]

    def to_dict(self) -> dict:
        """Plain values."""
        return {unit: {k: r.to_dict() for k, r in getattr(self, unit).items()} for unit in ("by_tumour", "by_session", "by_patient")}


def local_control(courses: Sequence[TumourCourse], *, seed: int | None = None) -> LocalControl:
    """Rates over tumours (interval by resampling patients), sessions and patients (patients: Wilson)."""
    options = {} if seed is None else {"seed": seed}

    def answers(course: TumourCourse) -> dict[str, bool | None]:
        progressed = None if course.complete_date is None else course.progression_date is not None
        return {"residual": course.residual, "primary_efficacy": course.primary, "local_progression": progressed, "secondary_efficacy": course.secondary}

    def why(course: TumourCourse, key: str) -> str:
        return "never_complete" if key == "local_progression" and course.missing is None else course.missing or "no_control_after_last"

    tumours, sessions, patients = {}, {}, {}
    for key in ("residual", "primary_efficacy", "local_progression", "secondary_efficacy"):
        known = [(c, a) for c in courses if (a := answers(c)[key]) is not None]
        missing: dict[str, int] = {}
        for c in courses:
            if answers(c)[key] is None:
                missing[why(c, key)] = missing.get(why(c, key), 0) + 1
        tumours[key] = node_rate([a for _, a in known], [c.patient_id for c, _ in known], of="tumours", missing=missing, **options)
        # One failing tumour decides a unit; success needs every one.
        bad = key in ("residual", "local_progression")
        for units, made, name in ((lambda c: (c.patient_id, c.session), sessions, "sessions"), (lambda c: (c.patient_id,), patients, "patients")):
            groups: dict[tuple, list[bool | None]] = {}
            for c in courses:
                groups.setdefault(units(c), []).append(answers(c)[key])
            decided = {unit: _unit(values, bad) for unit, values in groups.items()}
            yes = [(u, v) for u, v in decided.items() if v is not None]
            lost = {"not_all_judged": len(decided) - len(yes)} if len(decided) > len(yes) else {}
            made[key] = subject_rate([v for _, v in yes], of=name, missing=lost) if name == "patients" else node_rate([v for _, v in yes], [u[0] for u, _ in yes], of=name, missing=lost, **options)
    return LocalControl(tumours, sessions, patients)


def _unit(values: Sequence[bool | None], bad: bool) -> bool | None:
    """Of a session or patient: ``bad`` if any is, good only if all are; None where it hangs on what was not judged."""
    if bad in values:
        return bad
    return None if None in values else not bad
