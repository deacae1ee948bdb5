"""DM and AG: the subjects by pseudonym, as far as the study knows them, and the contrast agents of the scans that were read.

Nothing is made up. Age, race, consent and the treatment actually received are not in a study of Nodus and have no variable. Sex stands where it was
logged with a creatinine; the arm where the protocol has arms; the country and, where the pictures do not tell it, the agent where the trial's
mapping states them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app.edc.sdtm_device import procedures
from app.edc.sdtm_tumour import Row, Tumours
from app.study.clinical import standing
from app.study.model import ClinicalEvent
from app.study.protocol import protocol_from
from app.study.schedule import arm_of

ENDS = ("WITHDRAWAL", "LOST", "DEATH")
UNKNOWN_SEX = "U"
NOT_ASSIGNED = "NOT ASSIGNED"
ARMCD_LONGEST = 20


@dataclass(frozen=True, slots=True)
class Contrast:
    """What the header of a series says of its contrast agent; None where it says nothing."""

    agent: str | None = None
    volume_ml: float | None = None
    route: str | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is known beside the records of a study: subject -> its site's id, series -> its contrast agent."""

    sites: Mapping[str, str] = field(default_factory=dict)
    contrast: Mapping[str, Contrast] = field(default_factory=dict)


def people_rows(tumours: Tumours, known: Known) -> dict[str, list[Row]]:
    """Rows of DM and AG."""
    return {"DM": _subjects(tumours, known), "AG": _agents(tumours, known)}


def _subjects(tumours: Tumours, known: Known) -> list[Row]:
    events: dict[str, list[ClinicalEvent]] = {}
    for event in standing(tumours.snapshot.events):
        events.setdefault(event.subject_id, []).append(event)
    treated: dict[str, list[str]] = {}
    for _number, one in procedures(tumours):
        treated.setdefault(one["subject"], []).append(one["date"])
    sexes = {subject: _sex(of) for subject, of in events.items()}
    arms = {a["name"]: a.get("title") or a["name"] for a in protocol_from(tumours.snapshot.protocol).terms.get("arms") or ()}
    rows = []
    for subject in sorted(s.subject_id for s in tumours.snapshot.subjects):
        mine = events.get(subject, [])
        days = sorted(treated.get(subject, ()))
        died = next((e.date for e in mine if e.kind == "DEATH"), None)
        row: Row = {
            "STUDYID": tumours.mapping.sdtm["studyid"], "DOMAIN": "DM", "USUBJID": tumours.usubjid(subject), "SUBJID": subject, "RFSTDTC": days[0] if days else None,
            "RFXSTDTC": days[0] if days else None, "RFXENDTC": days[-1] if days else None, "RFPENDTC": min((e.date for e in mine if e.kind in ENDS), default=None),
            "DTHDTC": died, "DTHFL": None if died is None else "Y", "SITEID": known.sites.get(subject), "COUNTRY": tumours.mapping.sdtm.get("country"),
            "SEX": sexes.get(subject, UNKNOWN_SEX) if set(sexes.values()) - {UNKNOWN_SEX} else None,
        }  # fmt: skip
        if arms:
            arm = arm_of(mine)
            row |= {"ARMCD": None if arm is None else arm.upper()[:ARMCD_LONGEST], "ARM": None if arm is None else arms.get(arm, arm), "ARMNRS": NOT_ASSIGNED if arm is None else None}
        rows.append(row)
    return rows


def _sex(events: list[ClinicalEvent]) -> str:
    """As logged with a creatinine; unknown where it was not, or where entries contradict each other."""
    told = {e.detail["sex"] for e in events if e.kind == "LAB" and e.detail.get("sex")}
    return told.pop() if len(told) == 1 else UNKNOWN_SEX


def _agents(tumours: Tumours, known: Known) -> list[Row]:
    """One row a series that was read, where an agent is known: from its header, else from the mapping by modality."""
    stated: Mapping[str, str] = tumours.mapping.sdtm.get("contrast") or {}
    first: dict[tuple[str, Any, str], Any] = {}
    for reading in tumours.readings:
        if reading.series_uid is not None:
            first.setdefault((reading.subject_id, tumours.visit(reading.visit_id), reading.series_uid), reading)
    rows: list[Row] = []
    counts: dict[str, int] = {}
    for (subject, (number, name), series), reading in sorted(first.items(), key=lambda item: item[0]):
        header = known.contrast.get(series, Contrast())
        agent = header.agent or stated.get(reading.modality)
        if not agent:
            continue
        counts[subject] = counts.get(subject, 0) + 1
        rows.append(
            {
                "STUDYID": tumours.mapping.sdtm["studyid"], "DOMAIN": "AG", "USUBJID": tumours.usubjid(subject), "AGSEQ": counts[subject], "AGSPID": series, "AGTRT": agent.upper(),
                "AGCAT": "CONTRAST AGENT", "AGDOSE": header.volume_ml, "AGDOSU": None if header.volume_ml is None else "mL", "AGROUTE": header.route, "VISITNUM": number,
                "VISIT": name, "AGSTDTC": tumours.visits[reading.visit_id].actual_date,
            }
        )  # fmt: skip
    return rows
