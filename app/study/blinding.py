"""What a blinded reader may see of a study: case codes instead of pseudonyms, and nothing that the protocol hides.

The hiding is done here, on values, and the store hands out nothing else to a blinded user; window, files and command
line only show what they get.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from app.study.adjudication import compare_readers, open_differences, reader_codes, settled
from app.study.errors import StudyRefused
from app.study.model import Reading, ReadingState, StudySnapshot, TargetNode, Visit
from app.study.permissions import BLINDED_ROLES
from app.study.protocol import protocol_from

EVERYTHING = frozenset({"identity", "site", "arm", "dates", "earlier_volumes", "other_reader", "site_reading", "clinical_data"})
_IN_WORK = (ReadingState.DRAFT, ReadingState.MEASURED)
# Settings that say where a subject is treated or how; a blinded user gets none of them.
HIDDEN_SETTINGS = ("site/", "arm/", "order/", "first_reader", "uid_key")
# What a reader stated or drew and no reading holds yet; the key ends with whose it is.
_OWN_SETTINGS = ("enhancing:", "stated:", "contrast_draft/", "picture_draft/")


def hides_setting(key: str, user: str) -> bool:
    """Is this setting none that a blinded user may see?"""
    return key.startswith(HIDDEN_SETTINGS) or (key.startswith(_OWN_SETTINGS) and not key.endswith((f":{user}", f"/{user}")))


def hidden_by(protocol_content: dict) -> frozenset[str]:
    """What the protocol hides from its readers; everything where it does not say."""
    stated = protocol_from(protocol_content).section("reading").get("hide")
    return EVERYTHING if stated is None else frozenset(stated)


def case_code(seed: str, subject_id: str) -> str:
    """The code of a subject for one reader: the same at each visit, another for each reader."""
    return "C-" + hashlib.sha256(f"{seed}|{subject_id}".encode()).hexdigest()[:8].upper()


@dataclass(frozen=True, slots=True)
class BlindedView:
    """A study through the eyes of one reader. ``snapshot`` holds what may be seen, with case codes in place of
    pseudonyms; ``codes`` maps pseudonym to case code and is not for the reader."""

    reader: str
    snapshot: StudySnapshot
    codes: dict[str, str]

    def case_of(self, subject_id: str) -> str:
        """The case code of a subject."""
        return self.codes[subject_id]

    def subject_of(self, case: str) -> str:
        """The subject of a case code. Raises ``case_missing``."""
        return subject_of(self.codes, case)


def subject_of(codes: dict[str, str], case: str) -> str:
    """The subject of a case code. Raises ``case_missing``."""
    for subject_id, code in codes.items():
        if code == case:
            return subject_id
    raise StudyRefused("There is no such case on your worklist.", code="case_missing")


def blind(snapshot: StudySnapshot, reader: str, seed: str, *, role: str = "central", visit_id: str | None = None) -> BlindedView:
    """What ``reader`` may see. ``seed`` makes the case codes; ``visit_id`` is the visit that is read now.

    Of the reader's own readings only those in work are seen, and those of the visit that is read: a locked volume of
    another visit is an earlier volume. An adjudicator sees the pairs that wait, under codes, and nobody's name.
    """
    hide = hidden_by(snapshot.protocol)
    codes = {s.subject_id: case_code(seed, s.subject_id) if "identity" in hide else s.subject_id for s in snapshot.subjects}
    readings = of_adjudicator(snapshot) if role == "adjudicator" else seen_by(snapshot.readings, reader, hide, visit_id)
    known = {r.subject_id for r in readings} if role == "adjudicator" else set(codes)
    keeps_events = not hide & {"dates", "arm", "clinical_data"}
    return BlindedView(
        reader,
        replace(
            snapshot,
            name="" if "site" in hide else snapshot.name,
            subjects=tuple(sorted((replace(s, subject_id=codes[s.subject_id]) for s in snapshot.subjects if s.subject_id in known), key=lambda s: s.subject_id)),
            visits=tuple(replace(v, subject_id=codes[v.subject_id]) for v in blind_visits(snapshot.visits, hide) if v.subject_id in known),
            nodes=tuple(replace(n, subject_id=codes[n.subject_id]) for n in blind_nodes(snapshot.nodes, reader, role) if n.subject_id in known),
            readings=tuple(replace(r, subject_id=codes[r.subject_id]) for r in readings),
            events=tuple(replace(e, subject_id=codes[e.subject_id]) for e in snapshot.events) if keeps_events else (),
            plan_runs=(),
            deliveries=(),
            head_events=0,
            head_sha256="",
            head_signature=None,
            signatures=(),
            adjudications=(),
            settings={},
        ),
        codes,
    )


def seen_by(readings: Iterable[Reading], reader: str, hide: frozenset[str], visit_id: str | None = None) -> list[Reading]:
    """Of ``readings``, what a blinded reader may see."""
    found = []
    for r in readings:
        own = r.reader == reader and r.role != "site"
        if (own and (r.state in _IN_WORK or r.visit_id == visit_id or "earlier_volumes" not in hide)) or (not own and r.role == "site" and "site_reading" not in hide) or (not own and r.role != "site" and "other_reader" not in hide):
            found.append(r)
    return found


def of_adjudicator(snapshot: StudySnapshot) -> list[Reading]:
    """Baselines and readings of the pairs that wait for an adjudicator, their readers under codes and unsigned."""
    found: dict[tuple[str, int], Reading] = {}
    for d in open_differences(snapshot):
        codes = reader_codes(d.node_id, d.readings)
        for reader, r in d.readings.items():
            for shown in (d.baselines.get(reader), r):
                if shown is not None:
                    found[(shown.reading_id, shown.version)] = replace(
                        shown, reader=codes[reader], locked_by=None, locked_utc=None, created_utc=None, signature_id=None, change_reason=None
                    )
    return list(found.values())


def blind_visits(visits: Iterable[Visit], hide: frozenset[str]) -> list[Visit]:
    """Visits without their dates, where the protocol hides dates."""
    return [replace(v, actual_date=None) if "dates" in hide else v for v in visits]


def blind_nodes(nodes: Iterable[TargetNode], reader: str, role: str = "central") -> list[TargetNode]:
    """Nodes that everybody knows and those that this reader found; another reader's find is that reader's reading."""
    if role == "adjudicator":
        return [replace(n, found_by=None) for n in nodes]
    return [n for n in nodes if n.found_by in (None, reader)]


class BlindingPart:
    """The part of ``StudyStore`` that hides what the user at work must not see."""

    _eyes: tuple[str, str] | None = None

    @property
    def blinded(self) -> bool:
        """True while a blinded reader is signed in, or somebody looks through a reader's eyes."""
        return self._eyes is not None or (self.session is not None and self.session.blinded)

    @property
    def _is_adjudicator(self) -> bool:
        if self._eyes is not None:
            return self._eyes[1] == "adjudicator"
        return self.session is not None and "adjudicator" in self.session.roles

    @property
    def _looks(self) -> str:
        """Through whose eyes the study is seen."""
        return self.user if self._eyes is None else self._eyes[0]

    def look_as(self, reader: str) -> None:
        """From now on hand out only what this reader may see: oneself, or, with the right to it, another. A site reader's
        look stays as it is. Raises ``right_missing``, ``user_missing``."""
        if self.has_users():
            if self.session is None or self.session.user_id != reader:
                self.require("see_as")
            account = self._account_roles(reader)
            if account is None:
                raise StudyRefused("There is no such user in this study.", code="user_missing")
            if not set(account) & set(BLINDED_ROLES):
                if self.session is not None and self.session.user_id == reader:
                    return
                raise StudyRefused("This user does not read blinded.", code="not_a_blinded_reader")
            role = "adjudicator" if "adjudicator" in account else "central"
        else:
            role = "central"
        self._eyes = (reader, role)

    def view_as(self, reader: str, *, role: str = "central", visit_id: str | None = None) -> BlindedView:
        """The study through a reader's eyes: one's own, or, with the right to it, another's."""
        if self.has_users() and (self.session is None or self.session.user_id != reader):
            self.require("see_as")
        else:
            self._check_may()
        return blind(self.site_snapshot(self._whole_snapshot(), reader), reader, self.order_seed(reader), role=role, visit_id=visit_id)

    def as_seen(self, snapshot: StudySnapshot) -> StudySnapshot:
        """A snapshot as the user at work may see it."""
        snapshot = self.site_snapshot(snapshot)
        if self.blinded:
            return blind(snapshot, self._looks, self.order_seed(self._looks), role="adjudicator" if self._is_adjudicator else "central").snapshot
        if self._sees_site_only:
            return replace(snapshot, readings=tuple(self.seen_readings(snapshot.readings)), adjudications=())
        return snapshot

    @property
    def _sees_site_only(self) -> bool:
        """True for who treats: everything clinical, but no central reading."""
        return self.session is not None and self.session.may("see_clinical") and not self.session.may("see_all")

    def seen_readings(self, readings: Iterable[Reading]) -> list[Reading]:
        """Of ``readings``, those that the user at work may see."""
        readings = self.of_site(readings)
        if self._is_adjudicator:
            shown = {(r.reading_id, r.version): r for r in of_adjudicator(self._whole_snapshot())}
            return [shown[key] for r in readings if (key := (r.reading_id, r.version)) in shown]
        if self.blinded:
            return seen_by(readings, self._looks, hidden_by(self.protocol.content))
        if self._sees_site_only:
            return [r for r in readings if r.role in ("site", "training")]
        if self.session is not None and not self.session.may("see_all"):
            return []
        return list(readings)

    def seen_reading(self, reading: Reading) -> Reading:
        """This reading as it may be seen, else ``reading_missing``: that it exists is not told either."""
        found = self.seen_readings([reading])
        if not found:
            raise StudyRefused("There is no such reading in this study.", code="reading_missing")
        return found[0]

    def seen_visits(self, visits: Iterable[Visit]) -> list[Visit]:
        """Visits as they may be seen."""
        visits = self.of_site(visits)
        return blind_visits(visits, hidden_by(self.protocol.content)) if self.blinded else visits

    def seen_nodes(self, nodes: Iterable[TargetNode]) -> list[TargetNode]:
        """Nodes as they may be seen."""
        nodes = self.of_site(nodes)
        return blind_nodes(nodes, self._looks, "adjudicator" if self._is_adjudicator else "central") if self.blinded else nodes

    def check_own(self, reader: str) -> None:
        """Refuse work under another reader's name, in a study with users: ``not_your_reading``."""
        if self.session is not None and self.has_users() and reader != self.session.user_id:
            raise StudyRefused("A reading is saved under the name of who signed in.", code="not_your_reading", hint=f"You are signed in as {self.session.user_id}.")

    def subject_of_case(self, case: str) -> str:
        """The subject that the user at work knows as ``case``; a pseudonym is given back where pseudonyms are shown.
        Raises ``case_missing``."""
        with self._read() as connection:
            known = [row[0] for row in connection.exec_driver_sql("SELECT subject_id FROM subjects ORDER BY subject_id")]
        if not self.blinded or "identity" not in hidden_by(self.protocol.content):
            return case
        seed = self.order_seed(self._looks)
        return subject_of({s: case_code(seed, s) for s in known}, case)


def reader_statistics(snapshot: StudySnapshot) -> dict[str, Any]:
    """How the central readers agree: for each pair the nodes and visits both have locked, how many differed and were
    adjudicated; for each reader the disagreement index (share of their adjudicated pairs in which another was selected)
    and drift (mean signed difference to the other reader, second half of their readings less the first, in percent of
    the mean volume)."""
    every = compare_readers(snapshot)
    fixed = settled(snapshot)
    done = {(key, a.visit_id): a for key, a in fixed.items()}
    both = [d for d in every if len(d.readings) > 1]
    pairs: dict[tuple[str, ...], dict[str, Any]] = {}
    readers: dict[str, dict[str, Any]] = {}
    signed: dict[str, list[tuple[str, float]]] = {}
    for d in both:
        pair = pairs.setdefault(tuple(sorted(d.readings)), {"read_by_both": 0, "differ": 0, "adjudicated": 0, "triggers": {}})
        adjudicated = done.get((d.key, d.visit_id))
        pair["read_by_both"] += 1
        pair["differ"] += bool(d.triggers)
        pair["adjudicated"] += adjudicated is not None
        for trigger in d.triggers:
            pair["triggers"][trigger] = pair["triggers"].get(trigger, 0) + 1
        volumes = {reader: r.volume_ml for reader, r in d.readings.items() if r.volume_ml}
        for reader, r in d.readings.items():
            row = readers.setdefault(reader, {"read": 0, "adjudicated": 0, "not_selected": 0})
            row["read"] += 1
            if adjudicated is not None:
                row["adjudicated"] += 1
                row["not_selected"] += adjudicated.selected_reader != reader
            others = [v for other, v in volumes.items() if other != reader]
            if reader in volumes and others:
                other = sum(others) / len(others)
                signed.setdefault(reader, []).append((r.locked_utc or "", (volumes[reader] - other) / ((volumes[reader] + other) / 2.0) * 100.0))
    return {
        "pairs": [
            {
                "readers": list(names),
                **pair,
                "agreement_rate": 1.0 - pair["differ"] / pair["read_by_both"],
                "adjudication_rate": pair["adjudicated"] / pair["read_by_both"],
            }
            for names, pair in sorted(pairs.items())
        ],
        "readers": [
            {
                "reader": reader,
                **row,
                "disagreement_index": row["not_selected"] / row["adjudicated"] if row["adjudicated"] else None,
                "mean_difference_pct": _mean([v for _, v in signed.get(reader, [])]),
                "drift_pct": _drift([v for _, v in sorted(signed.get(reader, []))]),
            }
            for reader, row in sorted(readers.items())
        ],
    }


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _drift(values: list[float]) -> float | None:
    """Mean of the later half less that of the earlier; None for fewer than four values."""
    if len(values) < 4:
        return None
    half = len(values) // 2
    return _mean(values[-half:]) - _mean(values[:half])
