"""TU, TR and RS with their qualifiers: what evaluators identified, measured and concluded.

TRDTC is the scan's date, never the reader's. Volumes are in mL, lengths in mm, changes in percent: PCHGBL is negative for
shrinkage, VRR = -PCHGBL. A volume of 0 stands only where the reader looked and the lesion had disappeared.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from app.edc.accepted import accepted_records, first_locks
from app.edc.forms import event_repeats, sent_readings
from app.edc.items import plain_number
from app.edc.mapping import EdcMapping
from app.edc.responses import Flags, courses_of, diameter_sums, response_rows
from app.edc.rows import locked_response
from app.edc.sdtm_sums import volume_sums
from app.edc.sdtm_terms import EVALUATORS, LATERALITY, LOCATIONS, METHODS, RS_TESTS, TR_TESTS, TU_TESTS
from app.study.criteria import stated
from app.study.followup import NodeResponse
from app.study.model import ABLATION_KINDS, ClinicalEvent, Reading, ReadingStatus, StudySnapshot
from app.study.protocol import protocol_from

Row = dict[str, Any]
_GROUPS = {"NON-TARGET": "NON-TARGET", "NEW": "NEW"}
_KINDS = {"target": "TARGET", "non_target": "NON-TARGET", "new": "NEW"}
_SEEN = (ReadingStatus.MEASURED, ReadingStatus.TOO_SMALL, ReadingStatus.DISAPPEARED_ASSESSED)


class Tumours:
    """Makes the datasets of one study. ``rows`` maps each dataset's name to its rows, numbered within the subject."""

    def __init__(self, snapshot: StudySnapshot, mapping: EdcMapping, accepted: Collection[tuple[str, int]] | None = None) -> None:
        self.snapshot, self.mapping = snapshot, mapping
        self.visits = {v.visit_id: v for v in snapshot.visits}
        self._shifted = {s.subject_id: s.dates_shifted for s in snapshot.subjects}
        self.nodes = {n.node_id: n for n in snapshot.nodes}
        self.accepted = accepted_records(snapshot, accepted)
        self.readings = sent_readings(snapshot)
        self.numbers = _evaluator_numbers(snapshot, self.readings)
        self.repeats = event_repeats(snapshot, mapping)
        self.last_before = _last_before(snapshot, self.readings)
        self.rows: dict[str, list[Row]] = {name: [] for name in ("TU", "SUPPTU", "TR", "SUPPTR", "RS")}
        self._seq: dict[tuple[str, str], int] = {}
        self.courses = courses_of(snapshot)
        self.flags = Flags(snapshot, self.readings, self.accepted)
        self._targets = {(c.subject, c.reader): c.targets for c in self.courses if c.targets}
        protocol = protocol_from(snapshot.protocol)
        planned = {v.visit_id: protocol.visit(v.name) for v in snapshot.visits}
        self._known_before = {r.node_id for r in self.readings if (p := planned[r.visit_id]) is not None and p.phase == "pre"}
        rates = {(r.reading_id, r.version): r for r in locked_response(snapshot).nodes}
        self._identified()
        for reading in self.readings:
            self._measured(reading, rates.get((reading.reading_id, reading.version)))
        self._sums()
        self._responses(rates)

    # -- what all rows have in common -------------------------------------------------------------

    def visit(self, visit_id: str) -> tuple[float, str]:
        """Visit number and name; unscheduled visits count on behind the unscheduled event's number."""
        visit = self.visits[visit_id]
        event = self.mapping.event_of_visit(visit.name)
        return event.visitnum + 0.01 * self.repeats.get(visit_id, 0), visit.name.upper()

    def evaluator(self, role: str, reader: str) -> tuple[str, str | None, str]:
        """--EVAL, --EVALID and the prefix of link ids. Site readings have no evaluator identifier."""
        name, prefix, _code = EVALUATORS[role]
        number = self.numbers.get((role, reader), 1)
        if role == "site":
            return name, None, prefix if number == 1 else f"{prefix}{number}"
        return name, f"{'READER' if role == 'central' else 'ADJUDICATOR'} {number}", f"{prefix}{number}"

    def link(self, reading: Reading) -> str:
        """TULNKID and TRLNKID: the evaluator and the node, ``R1-N1``."""
        return f"{self.evaluator(reading.role, reading.reader)[2]}-{self.nodes[reading.node_id].label}"

    def group(self, role: str, reader: str, visit_id: str) -> str:
        """TRLNKGRP and RSLNKGRP: the evaluator and the visit."""
        return f"{self.evaluator(role, reader)[2]}-{plain_number(round(self.visit(visit_id)[0], 2))}"

    def usubjid(self, subject: str) -> str:
        """STUDYID and the pseudonym."""
        return f"{self.mapping.sdtm['studyid']}-{subject}"

    def _add(self, domain: str, subject: str, **values: Any) -> int:
        number = self._next(domain, self.usubjid(subject))
        self.rows[domain].append({"STUDYID": self.mapping.sdtm["studyid"], "DOMAIN": domain, "USUBJID": self.usubjid(subject), f"{domain}SEQ": number, **values})
        return number

    def _next(self, domain: str, usubjid: str) -> int:
        """The next sequence number of a subject in a dataset."""
        number = self._seq[domain, usubjid] = self._seq.get((domain, usubjid), 0) + 1
        return number

    def _qualify(self, domain: str, subject: str, of: int | str, name: str, label: str, value: Any, origin: str, evaluator: str = "") -> None:
        if value in (None, ""):
            return
        text = plain_number(value) if isinstance(value, float) else str(value)
        self.rows[f"SUPP{domain}"].append(
            {
                "STUDYID": self.mapping.sdtm["studyid"], "RDOMAIN": domain, "USUBJID": self.usubjid(subject), "IDVAR": f"{domain}{'SEQ' if isinstance(of, int) else 'SPID'}", "IDVARVAL": str(of),
                "QNAM": name, "QLABEL": label, "QVAL": text, "QORIG": origin, "QEVAL": evaluator,
            }
        )  # fmt: skip

    def _common(self, prefix: str, role: str, reader: str, visit_id: str) -> Row:
        number, name = self.visit(visit_id)
        evaluator, who, _ = self.evaluator(role, reader)
        return {f"{prefix}EVAL": evaluator, f"{prefix}EVALID": who, "VISITNUM": number, "VISIT": name, f"{prefix}DTC": self.visits[visit_id].actual_date}

    def _flag(self, reading: Reading) -> str | None:
        """--ACPTFL: of the independent assessor only."""
        return "Y" if (reading.reading_id, reading.version) in self.accepted else None

    # -- TU ---------------------------------------------------------------------------------------

    def _identified(self) -> None:
        first: dict[tuple[str, str, str], Reading] = {}
        for reading in self.readings:
            if reading.status is ReadingStatus.NOT_IMAGED:
                continue
            key = (reading.node_id, reading.role, reading.reader)
            known = first.get(key)
            if known is None or self._when(reading) < self._when(known):
                first[key] = reading
        ordered = sorted(first.values(), key=lambda r: (r.subject_id, self.nodes[r.node_id].label, self.link(r)))
        for reading in ordered:
            self._tumour(reading, "TUMIDENT", self.kind(reading), self.link(reading))
        for reading in self.readings:
            if reading.status in (ReadingStatus.SPLIT_FROM, ReadingStatus.MERGED_INTO):
                self._tumour(reading, "TUSPLIT" if reading.status is ReadingStatus.SPLIT_FROM else "TUMERGE", "TARGET", self.link(reading))

    def kind(self, reading: Reading) -> str:
        """TARGET, NON-TARGET or NEW where lesions are chosen by criteria: as the reader stated, else as the criteria's engine
        chose. Where nodes are the lesions, all are what the mapping says."""
        said = stated(reading).get("role")
        if said in _KINDS:
            return _KINDS[said]
        if self.mapping.sdtm["lesion"] == "node":
            return self.mapping.sdtm["tu_result"]
        if reading.node_id not in self._known_before:
            return "NEW"
        chosen = self._targets.get((reading.subject_id, reading.reader))
        return self.mapping.sdtm["tu_result"] if chosen is None or self.nodes[reading.node_id].label in chosen else "NON-TARGET"

    def _when(self, reading: Reading) -> tuple:
        return (self.visits[reading.visit_id].order, reading.visit_id, reading.modality, reading.reading_id)

    def place(self, node_id: str) -> tuple[str | None, str | None, str | None]:
        """Location, laterality, and what the location's term does not say."""
        node = self.nodes[node_id]
        known = LOCATIONS.get(node.level)
        location, detail = known or (self.mapping.sdtm.get("lesion_location"), None)
        return location, LATERALITY.get(str(node.side)), detail

    def _tumour(self, reading: Reading, test: str, result: str, link: str) -> None:
        location, side, detail = self.place(reading.node_id)
        number = self._add(
            "TU", reading.subject_id, TUREFID=reading.series_uid, TULNKID=link, TUTESTCD=test, TUTEST=TU_TESTS[test][0], TUORRES=result, TUSTRESC=result, TULOC=location,
            TULAT=side, TUMETHOD=METHODS[reading.modality][0], TULOBXFL="Y" if test == "TUMIDENT" and self._before(reading) else None, TUACPTFL=self._flag(reading),
            **self._common("TU", reading.role, reading.reader, reading.visit_id),
        )  # fmt: skip
        self._qualify("TU", reading.subject_id, number, "LOCDTL", "Location Detail", detail, "Assigned")
        self._qualify("TU", reading.subject_id, number, "HIGHRISK", "Structures at Risk Nearby", ";".join(self.nodes[reading.node_id].high_risk), "Collected")
        if test != "TUMIDENT":
            self._qualify("TU", reading.subject_id, number, "OTHERTU", "Other Tumor of Split or Merge", reading.status_reason, "Collected")

    def _before(self, reading: Reading) -> bool:
        return (reading.reading_id, reading.version) in self.last_before

    # -- TR ---------------------------------------------------------------------------------------

    def _measured(self, reading: Reading, rate: NodeResponse | None) -> None:
        made: list[int] = []
        of = self._of_reading(reading)
        small = self.mapping.sdtm.get("too_small_mm")
        if reading.status not in _SEEN:
            words = {ReadingStatus.NOT_IMAGED: "NOT IMAGED", ReadingStatus.NOT_EVALUABLE: "NOT EVALUABLE", ReadingStatus.MERGED_INTO: "MERGED", ReadingStatus.SPLIT_FROM: "SPLIT"}
            why = words[reading.status] + (f": {reading.status_reason}" if reading.status_reason else "")
            if reading.volume_ml is None and reading.long_axis_mm is None and reading.short_axis_mm is None:
                made.append(self._result(of, "VOLUME", TRSTAT="NOT DONE", TRREASND=why))
        if reading.volume_ml is not None:
            number = self._result(of, "VOLUME", value=reading.volume_ml, unit="mL")
            made.append(number)
            who = self.evaluator(reading.role, reading.reader)[0]
            self._qualify("TR", reading.subject_id, number, "VOLMETH", "Volumetry Method", reading.method.upper(), "Assigned", who)
            for name, label, value in zip(("VOLLO", "VOLHI"), ("Volume 95 % Interval Low", "Volume 95 % Interval High"), reading.volume_interval_ml or (), strict=False):
                self._qualify("TR", reading.subject_id, number, name, label, value, "Derived", who)
        if reading.status is ReadingStatus.TOO_SMALL and reading.long_axis_mm is None:
            made.append(self._result(of, "LDIAM", value=small, unit="mm" if small else None, TRORRES="TOO SMALL TO MEASURE", TRORRESU=None))
        elif reading.long_axis_mm is not None:
            made.append(self._result(of, "LDIAM", value=reading.long_axis_mm, unit="mm"))
        if reading.short_axis_mm is not None:
            made.append(self._result(of, "LPERP", value=reading.short_axis_mm, unit="mm"))
        if reading.viable_ml is not None:
            made.append(self._result(of, "VIAVOL", value=reading.viable_ml, unit="mL"))
        if reading.ablated_ml is not None:
            made.append(self._result(of, "ABLVOL", value=reading.ablated_ml, unit="mL"))
        if reading.status in (*_SEEN, ReadingStatus.SPLIT_FROM):
            made.append(self._result(of, "TUMSTATE", text="ABSENT" if reading.status is ReadingStatus.DISAPPEARED_ASSESSED else "PRESENT"))
        if reading.enhancement_grade is not None:
            made.append(self._result(of, "RESENH", text=reading.enhancement_grade))
        if rate is not None and rate.vrr_pct is not None and rate.comparable:
            number = self._result(of, "PCHGBL", value=-rate.vrr_pct, unit="%")
            made.append(number)
            self._qualify("TR", reading.subject_id, number, "PCHGOF", "Measurement That Changed", "VOLUME", "Assigned")
            self._qualify("TR", reading.subject_id, number, "BLREADID", "Identity of Baseline Reading", rate.baseline_reading_id, "Assigned")
        if rate is not None and rate.vrr_viable_pct is not None and rate.parts_comparable:
            made.append(self._result(of, "PCHGVIA", value=-rate.vrr_viable_pct, unit="%"))
        if made:
            self._record(reading)

    def _record(self, reading: Reading) -> None:
        """What ties the rows of a reading (by TRSPID) to the signed record in the study."""
        for name, label, value in (
            ("READVER", "Version of the Reading", reading.version),
            ("LOCKUTC", "When the Reading Was Locked (UTC)", reading.locked_utc),
            ("SFTWRVER", "Software Version", reading.software_version),
            ("MASKSHA", "SHA-256 of the Outline", reading.mask_sha256),
            ("DTSHIFT", "Dates Were Shifted", "Y" if self._shifted[reading.subject_id] else "N"),
        ):
            self._qualify("TR", reading.subject_id, reading.reading_id, name, label, value, "Assigned")

    def _of_reading(self, reading: Reading) -> Row:
        """What all results of a reading have in common."""
        return {
            "STUDYID": self.mapping.sdtm["studyid"], "DOMAIN": "TR", "USUBJID": self.usubjid(reading.subject_id),
            "TRGRPID": _GROUPS.get(self.kind(reading), self.mapping.sdtm["trgrpid"]), "TRREFID": reading.series_uid, "TRSPID": reading.reading_id, "TRLNKID": self.link(reading),
            "TRLNKGRP": self.group(reading.role, reading.reader, reading.visit_id), "TRMETHOD": METHODS[reading.modality][0],
            "TRLOBXFL": "Y" if self._before(reading) else None, "TRACPTFL": self._flag(reading), **self._common("TR", reading.role, reading.reader, reading.visit_id),
        }  # fmt: skip

    def _result(self, of: Row, test: str, *, value: float | None = None, unit: str | None = None, text: str | None = None, **more: Any) -> int:
        written = text if value is None else plain_number(float(value))
        number = self._next("TR", of["USUBJID"])
        self.rows["TR"].append(
            {
                **of, "TRSEQ": number, "TRTESTCD": test, "TRTEST": TR_TESTS[test][0], "TRORRES": written, "TRORRESU": unit, "TRSTRESC": written,
                "TRSTRESN": None if value is None else float(value) + 0.0, "TRSTRESU": unit, **more,
            }
        )  # fmt: skip
        return number

    def _sums(self) -> None:
        wanted = self.mapping.sdtm.get("sums")
        found = volume_sums(self) if wanted in ("volume", "both") else []
        if wanted in ("diameter", "both"):
            found += diameter_sums(self.courses, self.flags)
        for one in found:
            values = {
                "TRGRPID": self.mapping.sdtm["trgrpid"], "TRLNKGRP": self.group(one.role, one.reader, one.visit_id), "TRTESTCD": one.test, "TRTEST": TR_TESTS[one.test][0],
                "TRORRES": plain_number(one.value), "TRORRESU": one.unit, "TRSTRESC": plain_number(one.value), "TRSTRESN": one.value + 0.0, "TRSTRESU": one.unit,
                "TRMETHOD": None if one.modality is None else METHODS[one.modality][0], "TRACPTFL": "Y" if one.accepted else None, **self._common("TR", one.role, one.reader, one.visit_id),
            }  # fmt: skip
            number = self._add("TR", one.subject, **values)
            self._qualify("TR", one.subject, number, "SUMOF", "Number of Tumors in the Sum", one.count, "Assigned")
            self._qualify("TR", one.subject, number, "VOLMETH", "Volumetry Method", one.method and one.method.upper(), "Assigned")

    # -- RS ---------------------------------------------------------------------------------------

    def _responses(self, rates: dict[tuple[str, int], NodeResponse]) -> None:
        """Complete disappearance node by node, where there is a baseline to compare with; and the protocol's criteria."""
        if self.mapping.sdtm["lesion"] == "node":
            for reading in self.readings:
                rate = rates.get((reading.reading_id, reading.version))
                if rate is not None and rate.baseline_reading_id is not None and reading.status in _SEEN:
                    gone = "Y" if reading.status is ReadingStatus.DISAPPEARED_ASSESSED else "N"
                    self._response(reading.subject_id, reading.role, reading.reader, reading.visit_id, "CMPLDIS", gone, "PROTOCOL DEFINED RESPONSE CRITERIA", self._flag(reading), self.link(reading))
        for one in response_rows(self.courses, self.flags):
            self._response(one.subject, "central", one.reader, one.visit_id, one.testcd, one.result, one.category, "Y" if one.accepted else None, None, one.date)

    def _response(self, subject: str, role: str, reader: str, visit_id: str, test: str, result: str, category: str, flag: str | None, link: str | None, date: str | None = None) -> None:
        values = {
            "RSLNKID": link, "RSLNKGRP": self.group(role, reader, visit_id), "RSTESTCD": test, "RSTEST": RS_TESTS[test][0], "RSCAT": category, "RSORRES": result,
            "RSSTRESC": result, "RSACPTFL": flag, **self._common("RS", role, reader, visit_id),
        }  # fmt: skip
        self._add("RS", subject, **(values if date is None else values | {"RSDTC": date}))


def _evaluator_numbers(snapshot: StudySnapshot, readings: list[Reading]) -> dict[tuple[str, str], int]:
    """(role, reader) -> number within the role, in the order in which they first locked: later readers renumber nobody."""
    first = first_locks(snapshot)
    began: dict[tuple[str, str], str] = {}
    for r in readings:
        key = (r.role, r.reader)
        began[key] = min(began.get(key, first[r.reading_id]), first[r.reading_id])
    numbers: dict[tuple[str, str], int] = {}
    counts: dict[str, int] = {}
    for role, reader in sorted(began, key=lambda k: (began[k], k)):
        counts[role] = numbers[role, reader] = counts.get(role, 0) + 1
    return numbers


def _last_before(snapshot: StudySnapshot, readings: list[Reading]) -> set[tuple[str, int]]:
    """Readings that are the last evaluable one before the node's first ablation, of each evaluator, modality and method.

    By date where both are known, else by the protocol's phase of the visit; a study without ablation goes by phase."""
    protocol = protocol_from(snapshot.protocol)
    visits = {v.visit_id: v for v in snapshot.visits}
    ablations: dict[str, list[ClinicalEvent]] = {}
    for e in snapshot.events:
        if e.kind in ABLATION_KINDS:
            ablations.setdefault(e.subject_id, []).append(e)
    last: dict[tuple, tuple[tuple, Reading]] = {}
    for r in readings:
        if r.status is not ReadingStatus.MEASURED:
            continue
        visit = visits[r.visit_id]
        days = [e.date for e in ablations.get(r.subject_id, ()) if e.node_id in (None, r.node_id)]
        planned = protocol.visit(visit.name)
        by_phase = planned is not None and planned.phase == "pre"
        before = visit.actual_date < min(days) or (visit.actual_date == min(days) and by_phase) if visit.actual_date and days else by_phase
        key = (r.node_id, r.role, r.reader, r.modality, r.method)
        place = (visit.order, visit.actual_date or "", r.reading_id)
        if before and (key not in last or place > last[key][0]):
            last[key] = (place, r)
    return {(r.reading_id, r.version) for _place, r in last.values()}
