"""What a reader states of a lesion beyond its axes, field by field: what each may say, when it is asked, and which criteria look at it.

A statement is a plain dict in the reading's ``measurement["lesion"]``; every field is optional, and what is not stated is never guessed
(``app.study.criteria`` says what follows from axes and status alone). Command line and window both go through ``lesion_statement``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.study.errors import StudyRefused
from app.study.model import Reading, ReadingStatus
from app.study.protocol import StudyProtocol
from volumetry.finding import Finding

RECIST, MRECIST, CONTROL = "RECIST_1_1", "MRECIST", "LOCAL_CONTROL"
BASELINE, FOLLOW_UP = "baseline", "follow_up"  # before and after the start of treatment
CHOICE, FLAG, LENGTH_MM, LENGTHS_MM, TEXT = "choice", "flag", "length_mm", "lengths_mm", "text"  # kinds of value

LARGEST_MM = 500.0  # a longer lesion is a slip of the keyboard
LONGEST_TEXT = 60
_UNSEEN = (ReadingStatus.NOT_EVALUABLE, ReadingStatus.NOT_IMAGED)


@dataclass(frozen=True, slots=True)
class LesionField:
    """One field of a statement. ``kind``: ``choice`` (one of ``choices``), ``flag`` (true or false), ``length_mm`` (0 and more), ``lengths_mm``
    (a list, each above 0) or ``text``. ``asked``: at which looks it is asked; ``criteria``: which of the protocol's criteria look at it."""

    name: str
    kind: str
    meaning: str
    criteria: tuple[str, ...]
    asked: tuple[str, ...] = (BASELINE, FOLLOW_UP)
    choices: tuple[str, ...] = ()


FIELDS: tuple[LesionField, ...] = (
    LesionField("role", CHOICE, "what the lesion counts as: target, non_target (followed by eye), new (came after the start of treatment)", (RECIST, MRECIST), choices=("target", "non_target", "new")),
    LesionField("organ", TEXT, "the organ it lies in, as the protocol names it; two targets an organ at most", (RECIST, MRECIST), (BASELINE,)),
    LesionField("nodal", FLAG, "whether it is a lymph node (short axis counts) or not (long axis counts)", (RECIST, MRECIST), (BASELINE,)),
    LesionField("treated", FLAG, "whether it was treated locally before the baseline scan", (RECIST,), (BASELINE,)),
    LesionField("progressed", FLAG, "whether a locally treated lesion has progressed since its treatment", (RECIST,)),
    LesionField("state", CHOICE, "how a non-target lesion is: gone, present, progressed (unequivocally), not_evaluated", (RECIST, MRECIST), (FOLLOW_UP,), ("gone", "present", "progressed", "not_evaluated")),
    LesionField("parts_mm", LENGTHS_MM, "axes of the pieces of a lesion that has split, in mm: two at least", (RECIST,), (FOLLOW_UP,)),
    LesionField("new_lesion_certain", FLAG, "whether a new lesion is certain; false where it is suspected only", (RECIST, MRECIST), (FOLLOW_UP,)),
    LesionField("viable_diameter_mm", LENGTH_MM, "longest diameter that enhances in the arterial phase, in mm; 0 where nothing does", (MRECIST,)),
    LesionField("control", CHOICE, "an ablated lesion at its control: complete, viable (tumour at or next to the zone), not_evaluable", (CONTROL,), (FOLLOW_UP,), ("complete", "viable", "not_evaluable")),
)  # fmt: skip
BY_NAME = {f.name: f for f in FIELDS}


def fields_asked(protocol: StudyProtocol, *, modality: str | None = None, when: str | None = None) -> tuple[LesionField, ...]:
    """The fields that the protocol's response criteria look at, in the order of ``FIELDS``; none where it has no such criteria.

    ``modality`` leaves out criteria that the protocol does not read on it; ``when`` (``baseline`` or ``follow_up``) what is not asked at that look.
    """
    named = {e.get("criteria") for e in protocol.terms.get("response") or () if modality is None or modality in (e.get("modalities") or (modality,))}
    return tuple(f for f in FIELDS if named & set(f.criteria) and (when is None or when in f.asked))


def lesion_statement(given: Mapping[str, Any], *, status: ReadingStatus | str = ReadingStatus.MEASURED) -> dict[str, Any]:
    """The statement as it is stored: ``given`` checked and in the order of ``FIELDS``, without what is None, empty text or an empty list.

    Refuses ``lesion_field_unknown``, ``lesion_value_refused`` (a word that is no choice, a length that is none) and ``lesion_contradiction``
    (fields that exclude each other, or what was not seen by ``status``).
    """
    for name in given:
        if name not in BY_NAME:
            raise StudyRefused(f"A lesion has no field '{name}'.", code="lesion_field_unknown", hint="Fields are " + ", ".join(BY_NAME) + ".")
    said = {f.name: value for f in FIELDS if (value := _value(f, given.get(f.name))) is not None}
    _check_together(said, ReadingStatus(status))
    return said


def lesion_said(reading: Reading) -> Mapping[str, Any]:
    """What a stored reading states of its lesion; empty where it states nothing."""
    found = reading.measurement.get("lesion")
    return found if isinstance(found, Mapping) else {}


def lesion_findings(said: Mapping[str, Any], *, long_axis_mm: float | None = None) -> tuple[Finding, ...]:
    """Doubts about a statement that do not forbid it: ``viable_above_axis`` where the enhancing diameter is longer than the lesion's long axis."""
    viable = said.get("viable_diameter_mm")
    if viable is not None and long_axis_mm and viable > long_axis_mm:
        return (Finding("viable_above_axis", f"The enhancing diameter, {viable:g} mm, is longer than the lesion's long axis, {long_axis_mm:g} mm."),)
    return ()


def _value(field: LesionField, value: Any) -> Any:
    if value is None or value == "" or (field.kind == LENGTHS_MM and isinstance(value, Iterable) and not value):
        return None
    if field.kind == CHOICE:
        if value not in field.choices:
            raise _refused(field, value, "one of " + ", ".join(field.choices))
        return str(value)
    if field.kind == FLAG:
        if not isinstance(value, bool):
            raise _refused(field, value, "true or false")
        return value
    if field.kind == LENGTH_MM:
        return _length(field, value, above=-1e-12)
    if field.kind == LENGTHS_MM:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise _refused(field, value, "a list of lengths in mm")
        parts = [_length(field, v, above=0.0) for v in value]
        if len(parts) < 2:
            raise _refused(field, value, "two lengths in mm at least")
        return parts
    text = str(value).strip()
    if len(text) > LONGEST_TEXT or not text.isprintable():
        raise _refused(field, value, f"one line of at most {LONGEST_TEXT} characters")
    return text or None


def _length(field: LesionField, value: Any, *, above: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or not above < value <= LARGEST_MM:
        raise _refused(field, value, f"a length {'above 0' if above == 0 else 'from 0'} to {LARGEST_MM:g} mm")
    return float(value)


def _refused(field: LesionField, value: Any, wanted: str) -> StudyRefused:
    return StudyRefused(f"{field.name} is {wanted}, not {value!r}.", code="lesion_value_refused", hint=f"{field.name}: {field.meaning}.")


def _check_together(said: Mapping[str, Any], status: ReadingStatus) -> None:
    role, viable, control, state = said.get("role"), said.get("viable_diameter_mm"), said.get("control"), said.get("state")

    def exclude(when: bool, text: str) -> None:
        if when:
            raise StudyRefused(text, code="lesion_contradiction", hint="Change the field, or the status of the reading.")

    exclude(role == "target" and state is not None, "A target lesion is measured; only a non-target lesion has a state.")
    exclude(role in ("target", "non_target") and "new_lesion_certain" in said, "A lesion that was there at baseline is not new.")
    exclude(role == "new" and said.get("treated") is True, "A new lesion was not treated before the baseline.")
    if status in _UNSEEN:
        seen = viable is not None or "parts_mm" in said or control in ("complete", "viable") or state not in (None, "not_evaluated")
        exclude(seen, f"The reading is {status}: nothing of the lesion can be stated as seen.")
    if status is ReadingStatus.DISAPPEARED_ASSESSED:
        exclude(bool(viable) or "parts_mm" in said, "A lesion that has disappeared has no diameter.")
        exclude(state in ("present", "progressed"), "A lesion that has disappeared is not present.")
        exclude(role == "new", "A lesion that has disappeared is not new.")
    exclude(
        "parts_mm" in said and status not in (ReadingStatus.MEASURED, ReadingStatus.SPLIT_FROM),
        f"The reading is {status}: only a measured lesion is measured in parts.",
    )
    # The other way round is possible: a metastasis may be viable at the zone and not enhance in the arterial phase.
    exclude(control == "complete" and bool(viable), "A complete ablation leaves no enhancing diameter.")
