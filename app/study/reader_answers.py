"""What each reader's own readings say of a subject by the protocol's response criteria: for the triggers of adjudication on response."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from app.study.criteria import cases_of
from app.study.endpoint_criteria import course_of
from app.study.model import StudySnapshot
from app.study.protocol import StudyProtocol, protocol_from

ENGINES = ("RECIST_1_1", "MRECIST")


def answered_by(protocol: StudyProtocol) -> Mapping[str, Any] | None:
    """The entry of the protocol whose responses readers are compared by: its primary criteria, else the first with an overall response at each
    visit; None where it has none."""
    named = [e for e in protocol.terms.get("response") or () if e.get("criteria") in ENGINES]
    return next((e for e in named if e.get("primary")), named[0] if named else None)


def answered_modalities(content: dict) -> frozenset[str]:
    """Modalities whose readings the response is worked out of; a reading by another one is not compared by response."""
    entry = answered_by(protocol_from(content))
    return frozenset() if entry is None else frozenset(entry.get("modalities") or ("CT", "MR")) & {"CT", "MR"}


def reader_responses(snapshot: StudySnapshot, *, subjects: Collection[str] | None = None) -> dict[tuple[str, str, str], tuple[str, str | None]]:
    """(subject, visit id, reader) -> (overall response there, date of the first scan with progression up to that visit or None), from locked
    central readings alone. ``subjects`` leaves the others out."""
    protocol = protocol_from(snapshot.protocol)
    entry = answered_by(protocol)
    if entry is None:
        return {}
    found = {}
    for case in cases_of(snapshot, modalities=answered_modalities(snapshot.protocol), subjects=subjects):
        progressed = None
        for visit in course_of(case, protocol, entry["criteria"]).visits:
            progressed = progressed or (visit["date"] if visit["overall"] == "PD" else None)
            found[case.subject, visit["visit_id"], case.reader] = (visit["overall"], progressed)
    return found
