"""Readings and treatments as filled-in forms: where each belongs in the EDC, and every version that was ever locked."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from app.edc.accepted import accepted_records, first_locks
from app.edc.items import FORMS
from app.edc.mapping import EdcMapping, Event
from app.edc.rows import Places, locked_readings, vrr_rows
from app.edc.treatment_rows import treatment_rows
from app.study.model import Reading, StudySnapshot

# Readings of these roles go to an EDC. Training readings never do.
ROLES_SENT = ("site", "central", "adjudicator")
# Items of the form that are worked out from other readings as well: they belong to the newest version only.
DERIVED = frozenset(
    {"accepted", "accepted_basis", "baseline_visit", "baseline_volume_ml", "baseline_reading_id", "vrr_pct", "vrr_lo_pct", "vrr_hi_pct", "comparable", "vrr_viable_pct",
     "n_ablations_before_scan", "days_from_first", "days_from_anchor", "baseline_viable_ml", "baseline_ablated_ml", "vrr_ablated_pct", "parts_comparable",
     "zone_volume_ml", "vrr_zone_pct"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Filled:
    """One filled-in form. ``instance`` numbers forms of a kind within subject and event, from 1; it is given by the
    order of first locks, so that no later reading renumbers an earlier one. ``event_repeat`` numbers unscheduled
    visits. ``user``, ``utc``, ``signed_by``, ``meaning``, ``note`` and ``reason`` say who locked it, when, and why it
    was changed."""

    subject: str
    event: Event
    event_repeat: int | None
    form: str
    instance: int
    key: str
    version: int
    newest: bool
    values: dict[str, Any]
    user: str
    utc: str
    signed_by: str | None
    meaning: str | None
    note: str | None
    reason: str | None
    written: dict[str, str] = field(default_factory=dict, repr=False, compare=False)  # what ``texts`` has worked out

    @property
    def place(self) -> tuple:
        """What the same form has in common over its versions."""
        return (self.subject, self.event.oid, self.event_repeat, self.form, self.instance)

    def texts(self) -> dict[str, str]:
        """Items that hold something, as written. Worked out once: callers must not change it."""
        if not self.written:
            values = self.values
            for item in FORMS[self.form]:
                value = values.get(item.name)
                if value is not None and (text := value if value.__class__ is str else item.text(value)) != "":
                    self.written[item.name] = text
        return self.written


def sent_readings(snapshot: StudySnapshot) -> list[Reading]:
    """Locked readings that go to an EDC, in the order of ``locked_readings``."""
    return [r for r in locked_readings(snapshot) if r.role in ROLES_SENT]


def filled_forms(snapshot: StudySnapshot, mapping: EdcMapping, accepted: Collection[tuple[str, int]] | None = None) -> list[Filled]:
    """The newest locked version of every reading and every treated pair, by subject, event, form and instance."""
    return [f for f in all_versions(snapshot, mapping, accepted) if f.newest]


def all_versions(snapshot: StudySnapshot, mapping: EdcMapping, accepted: Collection[tuple[str, int]] | None = None) -> list[Filled]:
    """Every version that was locked, older ones among them; versions of one form follow one another."""
    out = _reading_forms(snapshot, mapping, accepted) + _treatment_forms(snapshot, mapping)
    return sorted(out, key=lambda f: (f.subject, f.event.visitnum, f.event_repeat or 0, f.form, f.instance, f.version))


def event_repeats(snapshot: StudySnapshot, mapping: EdcMapping) -> dict[str, int]:
    """Unscheduled visit -> its number within the subject, by place among the visits, then by identity."""
    out: dict[str, int] = {}
    counts: dict[str, int] = {}
    for visit in sorted(snapshot.visits, key=lambda v: (v.subject_id, v.order, v.visit_id)):
        if mapping.event_of_visit(visit.name).repeating:
            out[visit.visit_id] = counts[visit.subject_id] = counts.get(visit.subject_id, 0) + 1
    return out


def _reading_forms(snapshot: StudySnapshot, mapping: EdcMapping, accepted: Collection[tuple[str, int]] | None) -> list[Filled]:
    places, bases, first = Places(snapshot), accepted_records(snapshot, accepted), first_locks(snapshot)
    rates = {(r["reading_id"], r["version"]): r for r in vrr_rows(snapshot)}
    repeats = event_repeats(snapshot, mapping)
    newest = {(r.reading_id, r.version) for r in sent_readings(snapshot)}
    wanted = {reading_id for reading_id, _ in newest}
    versions = [r for r in snapshot.readings if r.reading_id in wanted and r.locked_utc is not None]
    instances: dict[str, int] = {}
    counts: dict[tuple[str, str], int] = {}
    for reading_id, reading in sorted({r.reading_id: r for r in versions}.items(), key=lambda i: (first[i[0]], i[0])):
        key = (reading.subject_id, mapping.event_of_visit(places.visits[reading.visit_id].name).oid)
        instances[reading_id] = counts[key] = counts.get(key, 0) + 1
    out = []
    for reading in versions:
        is_newest = (reading.reading_id, reading.version) in newest
        values = places.row(reading, bases)
        if is_newest:
            rate = rates.get((reading.reading_id, reading.version), {})
            values.update({name: rate.get(name) for name in DERIVED - {"accepted", "accepted_basis"}})
        else:
            values = {name: value for name, value in values.items() if name not in DERIVED}
        out.append(
            Filled(
                reading.subject_id,
                mapping.event_of_visit(values["visit"]),
                repeats.get(reading.visit_id),
                "reading",
                instances[reading.reading_id],
                reading.reading_id,
                reading.version,
                is_newest,
                values,
                reading.reader,
                reading.locked_utc,
                reading.locked_by,
                reading.lock_meaning,
                values["lock_note"],
                reading.change_reason if reading.version > 1 else None,
            )
        )
    return out


def _treatment_forms(snapshot: StudySnapshot, mapping: EdcMapping) -> list[Filled]:
    repeats = event_repeats(snapshot, mapping)
    # Sessions that the mapping gives no event of their own share one: there plans are numbered through, in the order of their first records.
    places: dict[tuple[str, str | None], dict[str, int]] = {}
    out = []
    for row in treatment_rows(snapshot):
        event = mapping.event_of_session(row["session"], row["visit"])
        repeat = repeats.get(row["visit_id"], 1) if event.repeating else None
        plans = places.setdefault((row["subject"], row["session"] if row["session"] in mapping.sessions else None), {})
        instance = 100 * plans.setdefault(row["plan_run_id"], len(plans)) + int(row["pair_key"].rpartition(":")[2])
        who, when = row["entered_by"], row["entered_utc"]
        out.append(Filled(row["subject"], event, repeat, "treatment", instance, row["pair_key"], 1, True, row, who, when, None, None, None, row["reason"]))
    return out
