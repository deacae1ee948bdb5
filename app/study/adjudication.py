"""Where two blinded readers differ so much that a third person must choose, and what was chosen.

An adjudicator *selects* a reader for a node's baseline and visit; nothing is averaged or measured anew. The selected
reader's baseline then stays the node's baseline, because a rate of volume reduction uses one reader's readings only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app import __version__
from app.study import rows, rules, schema
from app.study.canonical import canonical_json, content_sha256
from app.study.errors import StudyRefused
from app.study.ids import new_id
from app.study.lesions import lesion_said
from app.study.model import Adjudication, Reading, ReadingStatus, StudySnapshot
from app.study.pairs import Key, ReaderPairs
from app.study.protocol import protocol_from
from app.study.signing import check_meaning, write_signature

# Where a protocol states none: the figures of the main trial's protocol.
DEFAULT_TRIGGERS = {
    "vrr_difference_points": 15,
    "volume_relative_difference_pct": 30,
    "volume_difference_ml": 0.05,
    "vrr_class_bounds_pct": [50],
    "vrr_class_differs": True,
    "disappearance_differs": True,
    "residual_enhancement_differs": True,
    "new_lesion_differs": True,
    "evaluability_differs": True,
    "response_differs": True,
    "response_date_differs": True,
}
RESPONSE_TRIGGERS = ("response_differs", "response_date_differs")
NO_RESPONSE = (None, None)
NOT_EVALUABLE = (ReadingStatus.NOT_EVALUABLE, ReadingStatus.NOT_IMAGED)


@dataclass(frozen=True, slots=True)
class Difference:
    """One node at one visit, read by several readers, and what differs (``triggers``, empty where nothing does).

    ``readings`` maps each reader to their locked reading of the visit, ``baselines`` to their locked baseline of the same
    modality and method or None.
    """

    subject_id: str
    node_id: str
    visit_id: str
    modality: str
    method: str
    readings: Mapping[str, Reading]
    baselines: Mapping[str, Reading | None]
    triggers: tuple[str, ...]

    @property
    def key(self) -> Key:
        """The node with modality and method: what one adjudication settles for good."""
        return (self.node_id, self.modality, self.method)

    def candidates(self) -> dict[str, dict[str, list | None]]:
        """Identity and version of what each reader had when it was compared."""

        def named(r: Reading | None) -> list | None:
            return None if r is None else [r.reading_id, r.version]

        return {reader: {"baseline": named(self.baselines.get(reader)), "visit": named(r)} for reader, r in sorted(self.readings.items())}


def triggers_of(protocol_content: dict) -> dict[str, Any]:
    """The protocol's triggers; null switches one off, and one that is not named is off too."""
    stated = protocol_from(protocol_content).section("adjudication").get("triggers")
    return dict(stated) if isinstance(stated, dict) and stated else dict(DEFAULT_TRIGGERS)


def compare_readers(
    snapshot: StudySnapshot, responses: Mapping[tuple[str, str, str], tuple[str, str | None]] | None = None, pairs: ReaderPairs | None = None
) -> list[Difference]:
    """Every node and visit that two or more central readers have locked, in a fixed order, with what differs.

    ``responses`` is (subject, visit id, reader) -> (overall response, date of progression so far) for the triggers on response; worked out of
    the snapshot where it is not given, so that no trigger of the protocol is passed over. ``pairs`` are the snapshot's own, where they are at hand.
    """
    from app.study.reader_answers import answered_modalities, reader_responses  # the criteria know who counts, which is decided here

    rules_ = triggers_of(snapshot.protocol)
    pairs = pairs or ReaderPairs(snapshot)
    answered = answered_modalities(snapshot.protocol)
    if responses is None:
        asked = any(rules_.get(name) for name in RESPONSE_TRIGGERS)
        responses = reader_responses(snapshot, subjects=_read_twice(pairs)) if asked else {}
    found = []
    for (node_id, modality, method), by_visit in pairs.by_node.items():
        for visit_id, of_reader in by_visit.items():
            if len(of_reader) < 2:
                continue
            first = next(iter(of_reader.values()))
            baselines = {reader: pairs.baseline(reader, (node_id, modality, method), visit_id) for reader in of_reader}
            told = _differs(rules_, of_reader, baselines, responses if modality in answered else {})
            found.append(Difference(first.subject_id, node_id, visit_id, modality, method, of_reader, baselines, told))
    if rules_.get("new_lesion_differs"):
        found += _new_lesions(pairs)
    return sorted(found, key=lambda d: (d.subject_id, pairs.label(d.node_id), pairs.order(d.visit_id), d.modality, d.method))


def _differs(rules_: dict[str, Any], readings: Mapping[str, Reading], baselines: Mapping[str, Reading | None], responses: Mapping) -> tuple[str, ...]:
    told: list[str] = []

    def trigger(name: str, differs: bool) -> None:
        if rules_.get(name) and differs:
            told.append(name)

    values = list(readings.values())
    evaluable = [r for r in values if r.status not in NOT_EVALUABLE]
    trigger("evaluability_differs", 0 < len(evaluable) < len(values))
    gone = {r.status is ReadingStatus.DISAPPEARED_ASSESSED for r in evaluable}
    trigger("disappearance_differs", len(gone) > 1)
    grades = {r.enhancement_grade for r in evaluable if r.enhancement_grade is not None}
    controls = {said["control"] for r in evaluable if (said := lesion_said(r)).get("control")}
    trigger("residual_enhancement_differs", len(grades) > 1 or len(controls) > 1)
    new = {said.get("role") == "new" and said.get("new_lesion_certain", True) for r in evaluable if {"role", "new_lesion_certain"} & set(said := lesion_said(r))}
    trigger("new_lesion_differs", len(new) > 1)
    volumes = [r.volume_ml for r in evaluable if r.volume_ml is not None]
    if len(volumes) > 1 and _volumes_differ(rules_, min(volumes), max(volumes)):
        told.append("volume_difference")
    rates = [(1.0 - r.volume_ml / b.volume_ml) * 100.0 for reader, r in readings.items() if r.volume_ml is not None and (b := baselines.get(reader)) is not None and b.volume_ml]
    if len(rates) > 1:
        points = rules_.get("vrr_difference_points")
        # Rates are compared as they would be printed to a thousandth, so that 15 points are 15 in floating point too.
        if points is not None and round(max(rates) - min(rates), 6) >= points:
            told.append("vrr_difference")
        bounds = rules_.get("vrr_class_bounds_pct") or []
        trigger("vrr_class_differs", len({sum(round(rate, 6) >= bound for bound in bounds) for rate in rates}) > 1)
    # Who gave nothing that a response could be worked out of differs from who did.
    said = [responses.get((r.subject_id, r.visit_id, reader), NO_RESPONSE) for reader, r in readings.items()]
    trigger("response_differs", len({answer for answer, _ in said}) > 1)
    trigger("response_date_differs", len({date for _, date in said}) > 1)
    return tuple(told)


def _read_twice(pairs: ReaderPairs) -> set[str]:
    """Subjects with something to compare."""
    return {r.subject_id for by_visit in pairs.by_node.values() for of_reader in by_visit.values() if len(of_reader) > 1 for r in of_reader.values()}


def _volumes_differ(rules_: dict[str, Any], low_ml: float, high_ml: float) -> bool:
    """Relative to the mean of both volumes, and larger than the smallest difference that matters: both must be passed."""
    share, least = rules_.get("volume_relative_difference_pct"), rules_.get("volume_difference_ml")
    if share is None and least is None:
        return False
    difference = round(high_ml - low_ml, 9)
    mean = (high_ml + low_ml) / 2.0
    return (share is None or (mean > 0 and round(difference / mean * 100.0, 6) > share)) and (least is None or difference > least)


def _new_lesions(pairs: ReaderPairs) -> list[Difference]:
    """A node without any baseline that one reader has measured at a visit which another reader has read without it."""
    found = []
    for (node_id, modality, method), by_visit in pairs.by_node.items():
        if any(pairs.is_before(visit_id, node_id) for visit_id in by_visit):
            continue
        for visit_id, of_reader in by_visit.items():
            seen = {reader: r for reader, r in of_reader.items() if r.status in (ReadingStatus.MEASURED, ReadingStatus.TOO_SMALL)}
            others = pairs.readers_at(visit_id, modality, method) - set(of_reader)
            if seen and others and len(of_reader) == 1:
                r = next(iter(seen.values()))
                found.append(Difference(r.subject_id, node_id, visit_id, modality, method, dict(of_reader), {}, ("new_lesion_differs",)))
    return found


def settled(snapshot: StudySnapshot) -> dict[Key, Adjudication]:
    """The adjudication that fixed each node's reader, by node, modality and method: the first one."""
    found: dict[Key, Adjudication] = {}
    for a in sorted(snapshot.adjudications, key=lambda a: (a.created_utc, a.adjudication_id)):
        found.setdefault((a.node_id, a.modality, a.method), a)
    return found


def open_differences(snapshot: StudySnapshot, responses: Mapping | None = None) -> list[Difference]:
    """What waits for an adjudicator: differences with triggers (all pairs, where the protocol has each adjudicated) of
    nodes whose reader is not fixed yet."""
    always = protocol_from(snapshot.protocol).section("adjudication").get("without_trigger") == "adjudicate_always"
    fixed = settled(snapshot)
    return [d for d in compare_readers(snapshot, responses) if (d.triggers or always) and d.key not in fixed]


def reader_codes(node_id: str, readers: Any) -> dict[str, str]:
    """Readers as an adjudicator sees them: A, B ... in an order that differs from node to node."""
    order = sorted(readers, key=lambda reader: hashlib.sha256(f"{node_id}|{reader}".encode()).hexdigest())
    return {reader: f"Reader {chr(ord('A') + number)}" for number, reader in enumerate(order)}


class AdjudicationPart:
    """The part of ``StudyStore`` that keeps what adjudicators selected."""

    def adjudicate(
        self,
        node_id: str,
        visit_id: str,
        reader: str,
        *,
        reason: str,
        modality: str | None = None,
        method: str | None = None,
        adjudicator: str | None = None,
        password: str | None = None,
        meaning: str = "adjudication",
    ) -> Adjudication:
        """Select ``reader`` (or the code an adjudicator sees, "A" or "Reader A") for this node's baseline and visit.

        Signed where the study has users. Raises ``adjudication_not_needed``, ``adjudication_unclear`` (several modalities
        or methods differ), ``adjudication_exists``, ``baseline_fixed``, ``reader_not_candidate``, ``adjudicator_is_reader``,
        ``reason_missing`` and those of signing.
        """
        reason = rules.check_text(reason, "a reason for the selection", "reason_missing")
        who, name = adjudicator or self.user, adjudicator or self.user
        signing = self.has_users()
        if signing:
            self.require("adjudicate")
            meaning = check_meaning(meaning, self.protocol.content)
            self.check_again(password)
            who, name = self.user, self.signing_name(None)
        with self._write("adjudicate") as trail:
            # Read inside the transaction: nothing can be locked or adjudicated between the look and the choice.
            subject = trail.connection.execute(sa.select(schema.nodes.c.subject_id).where(schema.nodes.c.node_id == node_id)).scalar_one_or_none()
            snapshot = self._snapshot_in(trail.connection, subject)
            chosen = _choose(snapshot, node_id, visit_id, modality, method)
            by_code = {code: r for r, code in reader_codes(node_id, chosen.readings).items()}
            reader = by_code.get(reader, by_code.get(f"Reader {reader}", reader))
            if reader not in chosen.readings:
                raise StudyRefused("This reader has no locked reading that was compared here.", code="reader_not_candidate", hint="One of: " + ", ".join(sorted(by_code)))
            if who in chosen.readings:
                raise StudyRefused("Who has read this node cannot adjudicate it.", code="adjudicator_is_reader")
            row = {
                "adjudication_id": new_id("A"),
                "subject_id": chosen.subject_id,
                "node_id": node_id,
                "visit_id": visit_id,
                "modality": chosen.modality,
                "method": chosen.method,
                "selected_reader": reader,
                "candidates": canonical_json(chosen.candidates()),
                "triggers": canonical_json(list(chosen.triggers)),
                "adjudicator": name,
                "reason": reason,
                "created_utc": trail.utc,
                "signature_id": new_id("SG") if signing else None,
                "software_version": __version__,
            }
            trail.insert(schema.adjudications, row, action="adjudicated", reason=reason)
            if signing:
                stored = trail.stored(schema.adjudications, row)
                write_signature(trail, row["signature_id"], schema.object_name(schema.adjudications, row), content_sha256(stored), user_id=who, name=name, meaning=meaning)
        self.write_anchor()
        return rows.adjudication_from(row)

    def adjudications(self, subject_id: str | None = None) -> list[Adjudication]:
        """What was selected, oldest first; needs a look at all readings."""
        self._check_may("see_all", "adjudicate")
        table = schema.adjudications
        query = sa.select(table).order_by(table.c.created_utc, table.c.adjudication_id)
        if subject_id is not None:
            query = query.where(table.c.subject_id == subject_id)
        with self._read() as connection:
            return self.of_site(rows.adjudication_from(row) for row in connection.execute(query).mappings())


def _choose(snapshot: StudySnapshot, node_id: str, visit_id: str, modality: str | None, method: str | None) -> Difference:
    def fits(key: Key) -> bool:
        return key[0] == node_id and modality in (None, key[1]) and method in (None, key[2])

    here = [d for d in open_differences(snapshot) if d.visit_id == visit_id and fits(d.key)]
    if len(here) == 1:
        return here[0]
    if here:
        raise StudyRefused("Several modalities or methods differ here; say which is meant.", code="adjudication_unclear")
    for key, done in settled(snapshot).items():
        if fits(key):
            if done.visit_id == visit_id:
                raise StudyRefused("This was adjudicated already; a selection is never changed.", code="adjudication_exists")
            raise StudyRefused(
                f"This node's baseline was fixed by an earlier adjudication ({done.adjudication_id}); its reader counts at every visit.", code="baseline_fixed"
            )
    raise StudyRefused("Nothing here waits for an adjudicator.", code="adjudication_not_needed", hint="Two central readers must have locked this node at this visit, and differ.")
