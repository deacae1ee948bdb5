"""Logging values of a subject, and what they and the pictures say: eligibility, pain."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from app.jobs import JobContext
from app.study.clinical import check_detail, clearance_of, pain_of, standing
from app.study.eligibility import VERDICTS, EligibilityRow, Facts, NodeFact, eligibility_rows
from app.study.errors import StudyRefused
from app.study.followup import counting_readings
from app.study.model import ClinicalEvent, Reading, ReadingState, ReadingStatus, StudySnapshot
from app.study.protocol import StudyProtocol
from app.study.schedule import anchors_of, arm_of, day_of, up_to
from app.study.store import StudyStore
from app.usecases.import_images import open_record
from app.usecases.readings import find_node, mask_of_reading
from volumetry.metal import MetalNear, metal_near

METAL_WORDS = "CT of {visit}, outline of {reader}"


def log_event(store: StudyStore, subject: str, kind: str, date: str, *, node: str | None = None, detail: Mapping[str, Any] | None = None, zones_ml: Mapping[str, float] | None = None) -> ClinicalEvent:
    """Log an event whose detail was checked. ``zones_ml`` (label of a node -> ml) is the zone of an ablation as it was measured that day. Raises what ``check_detail`` and ``add_event`` refuse, ``arm_unknown`` for an arm that the protocol
    does not have, ``replaced_event_missing`` where ``replaces`` names no event of this kind and subject."""
    detail = {**(detail or {}), **zone_detail(store, subject, node, zones_ml or {})}
    checked = check_detail(kind, detail)
    arms = [a["name"] for a in store.protocol.terms.get("arms", [])]
    if kind == "ALLOCATION" and checked["arm"] not in arms:
        raise StudyRefused(f"This protocol has no arm {checked['arm']!r}; it has {', '.join(arms) or 'none'}.", code="arm_unknown")
    opinions = [o["name"] for o in store.protocol.section("limits").get("opinions") or ()]
    if kind == "ELIGIBILITY" and checked["criterion"] not in opinions:
        raise StudyRefused(f"This protocol asks for no opinion {checked['criterion']!r}; it asks for {', '.join(opinions) or 'none'}.", code="detail_refused")
    replaced = checked.get("replaces")
    if replaced is not None and not any(e.event_id == replaced and e.kind == kind for e in store.clinical_events(subject)):
        raise StudyRefused("The event that is to be replaced is not there.", code="replaced_event_missing", hint="Name an event of the same subject and kind.")
    return store.add_event(subject, kind, date, node_id=find_node(store, subject, node).node_id if node else None, detail=checked)


def zone_detail(store: StudyStore, subject: str, node: str | None, zones_ml: Mapping[str, float]) -> dict[str, Any]:
    """Zones by label as an event keeps them: of one node its own volume, of several by their identity. Raises ``node_missing``, ``zone_refused``
    for the zone of another node than the event's."""
    if not zones_ml:
        return {}
    by_id = {find_node(store, subject, label).node_id: volume for label, volume in zones_ml.items()}
    if node is None:
        return {"zones_ml": by_id}
    own = find_node(store, subject, node).node_id
    if set(by_id) != {own}:
        raise StudyRefused("The event is of one node; the zone of another cannot belong to it.", code="zone_refused")
    return {"zone_volume_ml": by_id[own]}


def pain_of_subject(store: StudyStore, subject: str) -> dict[str, Any]:
    """The pain series as ``nodus study pain --json`` prints it. Raises ``pain_not_planned`` where the protocol keeps none, ``pain_refused``."""
    rule = store.protocol.section("pain")
    if not rule:
        raise StudyRefused("The protocol of this study keeps no pain series.", code="pain_not_planned")
    known_subject(store, subject)
    return {"subject": subject, "scale": rule["scale"], "sustained_from": rule["sustained_from"], "sustained_consecutive": rule["sustained_consecutive"]} | pain_of(
        store.clinical_events(subject), rule
    ).to_dict()


def known_subject(store: StudyStore, subject: str) -> None:
    """Refuse ``subject_missing``."""
    if subject not in {s.subject_id for s in store.subjects()}:
        raise StudyRefused("There is no such subject in this study.", code="subject_missing")


def eligibility_of(
    store: StudyStore, subject: str, *, on: dt.date, reader: str | None = None, look_for_metal: bool = False,
    liver_fraction: tuple[float, float | None, float | None] | None = None, liver_source: str = "", context: JobContext | None = None,
) -> dict[str, Any]:  # fmt: skip
    """``rows`` of the criteria for one subject, from what was known on ``on``, with how many are met, not met and not known.

    Lengths are of one reader (``reader``, else the site's where it has read, else the only one), the last reading before the first treatment. With
    ``look_for_metal`` the CT of each node's outline is opened. Raises ``subject_missing``, ``several_readers``.
    """
    known_subject(store, subject)
    shot = store.snapshot()
    events = up_to([e for e in shot.events if e.subject_id == subject], on)
    before = treated_on(store.protocol, events)
    readings = baseline_readings(shot, store.protocol, subject, on=on, before=before, reader=reader)
    names = {v.visit_id: v.name for v in shot.visits}
    nodes = tuple(_node_fact(n, readings.get(n.node_id), names) for n in shot.nodes if n.subject_id == subject)
    metal: dict[str, tuple[MetalNear, str]] = {}
    rule = store.protocol.section("limits").get("metal") or {}
    if look_for_metal and rule.get("excluded") and rule.get("hu_from") is not None and rule.get("within_mm") is not None:
        metal = _metal_facts(store, shot, readings, rule, names, context or JobContext())
    clearance = clearance_of(events, on=on, before=before)
    opinions = {e.detail["criterion"]: (e.detail["met"], f"recorded for {e.date}") for e in standing(events) if e.kind == "ELIGIBILITY" and "criterion" in e.detail}
    facts = Facts(
        nodes, metal, liver_fraction, liver_source, None if clearance is None else clearance[0],
        "" if clearance is None else f"creatinine of {clearance[1].date}: {clearance[0].creatinine:g} {clearance[0].unit}, {clearance[0].age_years:g} years, {clearance[0].weight_kg:g} kg, {clearance[0].sex}",
        opinions,
    )  # fmt: skip
    rows = eligibility_rows(store.protocol, facts)
    return {"subject": subject, "on": on.isoformat(), "protocol": store.protocol.stamp, "arm": arm_of(events), "rows": [r.to_dict() for r in rows], "counts": _counts(rows)}


def _counts(rows: tuple[EligibilityRow, ...]) -> dict[str, int]:
    return {word.replace(" ", "_"): sum(r.met is verdict for r in rows) for verdict, word in VERDICTS.items()}


def treated_on(protocol: StudyProtocol, events: list[ClinicalEvent]) -> dt.date | None:
    """Day of the first treatment of one subject: its first ablation, in a trial without ablation what the baseline comes before."""
    days = [day_of(e.date) for e in events if e.kind in protocol.ablation_kinds]
    return min(days) if days else None if protocol.ablation_kinds else anchors_of(protocol, events, {})[protocol.section("reading")["baseline"]["before"]].date


def baseline_readings(shot: StudySnapshot, protocol: StudyProtocol, subject: str, *, on: dt.date, before: dt.date | None, reader: str | None = None) -> dict[str, Reading]:
    """Node id -> the one reader's last reading with a long axis before the treatment. Raises ``several_readers`` where none is named and no site reader has read."""
    visits = {v.visit_id: v for v in shot.visits if v.subject_id == subject}

    def early(reading: Reading) -> bool:
        visit = visits[reading.visit_id]
        planned = protocol.visit(visit.name)
        if visit.actual_date is None:
            return planned is not None and planned.phase == "pre"
        scan = day_of(visit.actual_date)
        return scan <= on and (before is None or scan < before or (scan == before and (planned is None or planned.phase == "pre")))

    fit = [r for r in counting_readings(shot.readings) if r.subject_id == subject and r.status is ReadingStatus.MEASURED and r.long_axis_mm is not None and early(r)]
    fit = [r for r in fit if r.role != "training" and (reader is None or r.reader == reader)]
    if reader is None and any(r.role == "site" for r in fit):
        fit = [r for r in fit if r.role == "site"]
    readers = sorted({r.reader for r in fit})
    if len(readers) > 1:
        raise StudyRefused(f"{len(readers)} readers have measured these targets; name one.", code="several_readers", hint="A length is never mixed from several readers.")
    fit.sort(key=lambda r: (visits[r.visit_id].actual_date or "", visits[r.visit_id].order, r.long_axis_mm))
    return {r.node_id: r for r in fit}


def _node_fact(node, reading: Reading | None, visits: dict[str, str]) -> NodeFact:
    if reading is None:
        return NodeFact(node.label, str(node.side), node.level, None, "")
    state = "signed" if reading.state is ReadingState.LOCKED else "not signed yet"
    return NodeFact(node.label, str(node.side), node.level, reading.long_axis_mm, f"{reading.modality} by {reading.method}, {visits[reading.visit_id]}, {reading.reader}, {state}", reading.short_axis_mm)


def _metal_facts(store: StudyStore, shot: StudySnapshot, readings: dict[str, Reading], rule: Mapping[str, Any], visits: dict[str, str], context: JobContext) -> dict[str, tuple[MetalNear, str]]:
    """What is near each outline drawn on CT; a series is opened once."""
    labels = {n.node_id: n.label for n in shot.nodes}
    opened: dict[str, Any] = {}
    out = {}
    drawn = [r for r in readings.values() if r.modality == "CT" and r.mask_sha256 is not None and r.series_uid is not None]
    for number, reading in enumerate(drawn):
        record = next((s for s in store.series(reading.visit_id) if s.series_uid == reading.series_uid), None)
        if record is None:
            continue
        if record.series_id not in opened:
            opened[record.series_id] = open_record(store, record, context.part(number / len(drawn), (number + 1) / len(drawn)))
        mask = mask_of_reading(store, reading)
        found = metal_near(opened[record.series_id], mask, hu_from=rule["hu_from"], within_mm=rule["within_mm"])
        out[labels[reading.node_id]] = (found, METAL_WORDS.format(visit=visits[reading.visit_id], reader=reading.reader))
    return out
