"""Responses by the protocol's criteria, reader by reader, as rows of RS and as sums of TR."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from app.study.criteria import Course
from app.study.endpoint_criteria import response_courses
from app.study.model import Reading, StudySnapshot
from app.study.protocol import protocol_from

CATEGORIES = {"RECIST_1_1": "RECIST 1.1", "MRECIST": "MRECIST LENCIONI LIVER CANCER 2010"}
_NONE = ("NONE", "None", "")


@dataclass(frozen=True, slots=True)
class ResponseRow:
    """One response of a subject at a visit by one central reader: ``testcd`` of ``RS_TESTS``."""

    subject: str
    visit_id: str
    reader: str
    testcd: str
    result: str
    category: str
    date: str | None
    accepted: bool


@dataclass(frozen=True, slots=True)
class Sum:
    """One value of a sum over lesions, or of its change. ``modality`` and ``method`` are None where lesions may differ in
    them; ``count`` lesions of the baseline are in it."""

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


def courses_of(snapshot: StudySnapshot) -> list[Course]:
    """The course of every subject by every central reader, by each of the protocol's criteria that go by targets."""
    return response_courses(snapshot)


class Flags:
    """Whether what a reader concluded at a visit rests on accepted records alone."""

    def __init__(self, snapshot: StudySnapshot, readings: list[Reading], accepted: Collection[tuple[str, int]]) -> None:
        visits = {v.visit_id: v for v in snapshot.visits}
        modalities = {e["criteria"]: set(e.get("modalities") or ()) for e in protocol_from(snapshot.protocol).terms.get("response") or ()}
        self._visits, self._accepted, self._modalities = visits, accepted, modalities
        self._of: dict[tuple[str, str], list[Reading]] = {}  # central readings by subject and reader
        for r in readings:
            if r.role == "central":
                self._of.setdefault((r.subject_id, r.reader), []).append(r)

    def accepted(self, subject: str, reader: str, visit_id: str, criteria: str) -> bool:
        """True where every reading of this reader up to and at the visit is the accepted record."""
        order = self._visits[visit_id].order
        wanted = self._modalities.get(criteria)
        mine = [r for r in self._of.get((subject, reader), ()) if self._visits[r.visit_id].order <= order and (not wanted or r.modality in wanted)]
        return bool(mine) and all((r.reading_id, r.version) in self._accepted for r in mine)

    def baseline_visit(self, course: Course) -> str | None:
        """The last visit of this reader before the first one that the course has."""
        first = self._visits[course.visits[0]["visit_id"]]
        before = [self._visits[r.visit_id] for r in self._of.get((course.subject, course.reader), ())]
        earlier = [v for v in before if (v.actual_date or "", v.order) < (first.actual_date or "", first.order)]
        return max(earlier, key=lambda v: (v.actual_date or "", v.order)).visit_id if earlier else None


def response_rows(courses: list[Course], flags: Flags) -> list[ResponseRow]:
    """Target, non-target and overall response and new lesions at each visit, and the best overall response at the last."""
    out: list[ResponseRow] = []
    for course in courses:
        for number, visit in enumerate(course.visits):
            accepted = flags.accepted(course.subject, course.reader, visit["visit_id"], course.criteria)
            told = [("TRGRESP", visit["target"]), ("NTRGRESP", visit["non_target"]), ("NEWLPROG", "Y" if visit["new_lesion"] else None), ("OVRLRESP", visit["overall"])]
            if number == len(course.visits) - 1:
                told.append(("BESTRESP", course.best_confirmed or course.best))
            for test, result in told:
                if result is not None and result not in _NONE:
                    out.append(ResponseRow(course.subject, visit["visit_id"], course.reader, test, result, CATEGORIES[course.criteria], visit["date"], accepted))
    return out


def diameter_sums(courses: list[Course], flags: Flags) -> list[Sum]:
    """Sums of the targets' diameters with their change from baseline and nadir, as the criteria's engine has them. A sum that
    the engine does not give (a target was not evaluated) does not stand."""
    out: list[Sum] = []
    for course in courses:
        name, key = ("SUMDIAM", "sumdiam_mm") if course.criteria == "RECIST_1_1" else ("SUMVDIAM", "sumvdiam_mm")
        told = [v for v in course.visits if v[key] is not None]
        if not course.targets or not course.visits:
            continue

        def add(visit_id: str, test: str, value: float | None, unit: str, course: Course = course) -> None:
            if value is not None:
                accepted = flags.accepted(course.subject, course.reader, visit_id, course.criteria)
                out.append(Sum(course.subject, "central", course.reader, visit_id, test, float(value), unit, None, None, len(course.targets), accepted))

        baseline = flags.baseline_visit(course)
        if baseline is not None:
            add(baseline, name, course.visits[0]["baseline_mm"], "mm")
        for visit in told:
            add(visit["visit_id"], name, visit[key], "mm")
            if name == "SUMDIAM":
                for test, item, unit in (("PCBSD", "pcbsd_pct", "%"), ("PCNSD", "pcnsd_pct", "%"), ("ACNSD", "acnsd_mm", "mm")):
                    add(visit["visit_id"], test, visit[item], unit)
    return out

