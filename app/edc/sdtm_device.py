"""PR, DU, DI and measured currents: what was done to the subject, with which device and settings."""

from __future__ import annotations

from typing import Any

from app.edc.items import plain_number
from app.edc.sdtm_terms import CURRENTS, DEVICE_ELEMENTS, SETTINGS
from app.edc.sdtm_tumour import Row, Tumours
from app.edc.treatment_rows import treatment_rows
from app.study.model import ABLATION_KINDS, ClinicalEvent

VERBATIM = {"IRE": "IRREVERSIBLE ELECTROPORATION", "SALVAGE": "SALVAGE IRREVERSIBLE ELECTROPORATION", "RFA": "RADIOFREQUENCY ABLATION", "CRYO_RF": "CRYOTHERAPY AND RADIOFREQUENCY HEATING"}
PLANNED, DELIVERED = "PLANNED", "DELIVERED"


def device_rows(tumours: Tumours) -> dict[str, list[Row]]:
    """Rows of DI, PR, DU and XD. A session and its settings share the link group; of a pair, settings as planned and as
    delivered share the group id and differ by their category."""
    out: dict[str, list[Row]] = {"DI": _devices(tumours), "PR": [], "DU": [], "XD": []}
    pairs = treatment_rows(tumours.snapshot)
    for row in pairs:
        _settings(tumours, row, out)
    generator = _generator(tumours)
    for number, event in _numbered(tumours, pairs):
        out["PR"].append(_procedure(tumours, event, number, generator))
    return out


def link_group(subject: str, node: str | None, date: str | None) -> str:
    """PRLNKGRP and DULNKGRP of a session: the node and the day."""
    return f"{node or 'ALL'}-{date or 'UNKNOWN'}"


def _generator(tumours: Tumours) -> str | None:
    return next((d["spdevid"] for d in tumours.mapping.sdtm["devices"] if d.get("generator")), None)


def _devices(tumours: Tumours) -> list[Row]:
    rows: list[Row] = []
    for device in tumours.mapping.sdtm["devices"]:
        known = [(code, name) for code, name in DEVICE_ELEMENTS.items() if device["parameters"].get(code)]
        for number, (code, name) in enumerate(known, start=1):
            rows.append(
                {"STUDYID": tumours.mapping.sdtm["studyid"], "DOMAIN": "DI", "SPDEVID": device["spdevid"], "DISEQ": number, "DIPARMCD": code, "DIPARM": name, "DIVAL": device["parameters"][code]}
            )
    return rows


def _numbered(tumours: Tumours, pairs: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """Procedures by subject and date: every ablation in the event log, and every session of which something was delivered
    that no event of its day tells."""
    nodes = {n.node_id: n for n in tumours.snapshot.nodes}
    found: list[dict[str, Any]] = []
    told: set[tuple] = set()
    for event in tumours.snapshot.events:
        if event.kind in ABLATION_KINDS:
            node = None if event.node_id is None else nodes[event.node_id]
            found.append({"subject": event.subject_id, "date": event.date, "kind": event.kind, "node_id": event.node_id, "node": None if node is None else node.label, "id": event.event_id})
            told.add((event.subject_id, event.date, event.node_id))
    labels = {(n.subject_id, n.label): n.node_id for n in tumours.snapshot.nodes}
    for row in pairs:
        node_id = labels.get((row["subject"], row["node"]))
        if row["treatment_date"] is None or {(row["subject"], row["treatment_date"], n) for n in (None, node_id)} & told:
            continue
        told.add((row["subject"], row["treatment_date"], node_id))
        kind = "SALVAGE" if row["session"] == "salvage" else None
        found.append({"subject": row["subject"], "date": row["treatment_date"], "kind": kind, "node_id": node_id, "node": row["node"], "id": row["plan_run_id"]})
    found.sort(key=lambda f: (f["subject"], f["date"], f["node"] or "", f["id"]))
    counts: dict[str, int] = {}
    out = []
    for one in found:
        counts[one["subject"]] = counts.get(one["subject"], 0) + 1
        out.append((counts[one["subject"]], one))
    return out


def procedures(tumours: Tumours) -> list[tuple[int, dict[str, Any]]]:
    """(PRSEQ, what it is of) of every procedure, for the relationships."""
    return _numbered(tumours, treatment_rows(tumours.snapshot))


def _kind(tumours: Tumours, one: dict[str, Any]) -> str:
    if one["kind"]:
        return one["kind"]
    treatment = tumours.snapshot.protocol.get("treatment")
    return treatment if treatment in ABLATION_KINDS else "IRE"


def _procedure(tumours: Tumours, one: dict[str, Any], number: int, generator: str | None) -> Row:
    kind = _kind(tumours, one)
    location, side, _detail = (None, None, None) if one["node_id"] is None else tumours.place(one["node_id"])
    return {
        "STUDYID": tumours.mapping.sdtm["studyid"], "DOMAIN": "PR", "USUBJID": tumours.usubjid(one["subject"]), "SPDEVID": generator, "PRSEQ": number, "PRSPID": one["id"],
        "PRLNKID": one["node"], "PRLNKGRP": link_group(one["subject"], one["node"], one["date"]), "PRTRT": VERBATIM[kind],
        "PRDECOD": tumours.mapping.sdtm["prdecod"].get(kind), "PRCAT": "SALVAGE" if kind == "SALVAGE" else "STUDY TREATMENT", "PRLOC": location, "PRLAT": side,
        "PRSTDTC": one["date"],
    }  # fmt: skip


def _settings(tumours: Tumours, row: dict[str, Any], out: dict[str, list[Row]]) -> None:
    event = tumours.mapping.event_of_session(row["session"], row["visit"])
    common = {
        "STUDYID": tumours.mapping.sdtm["studyid"], "USUBJID": tumours.usubjid(row["subject"]), "SPDEVID": _generator(tumours), "VISITNUM": event.visitnum, "VISIT": event.name.upper(),
    }  # fmt: skip
    group = f"{row['pair_key']} {row['anode']}-{row['cathode']}"
    link = link_group(row["subject"], _told_node(tumours, row), row["treatment_date"])
    for planned, delivered, code, name, unit, _c_code in SETTINGS:
        for category, item in ((PLANNED, planned), (DELIVERED, delivered)):
            if item is not None and row[item] is not None:
                _finding("DU", out, common, group, link, code, name, row[item], unit, row["treatment_date"], category)
    for item, code, name in CURRENTS:
        if row[item] is not None:
            _finding("XD", out, common, group, link, code, name, row[item], "amp", row["treatment_date"], "MEASURED")
    if row["aborted"] is not None:
        _finding("DU", out, common, group, link, "ABORTED", "Delivery Aborted", "Y" if row["aborted"] else "N", None, row["treatment_date"], DELIVERED)


def _told_node(tumours: Tumours, row: dict[str, Any]) -> str | None:
    """The node as the procedure of the day names it: an event for all nodes has none."""
    labels = {n.node_id: n.label for n in tumours.snapshot.nodes}
    of_day: list[ClinicalEvent] = [e for e in tumours.snapshot.events if e.kind in ABLATION_KINDS and e.subject_id == row["subject"] and e.date == row["treatment_date"]]
    named = {labels[e.node_id] for e in of_day if e.node_id is not None}
    return None if of_day and row["node"] not in named else row["node"]


def _finding(domain: str, out: dict[str, list[Row]], common: Row, group: str, link: str, code: str, name: str, value: Any, unit: str | None, date: str | None, category: str) -> None:
    is_number = not isinstance(value, str)
    text = plain_number(float(value)) if is_number else value
    number = sum(r["USUBJID"] == common["USUBJID"] for r in out[domain]) + 1
    p = domain
    out[domain].append(
        {
            **common, "DOMAIN": domain, f"{p}SEQ": number, f"{p}GRPID": group, f"{p}LNKGRP": link, f"{p}TESTCD": code, f"{p}TEST": name, f"{p}CAT": category, f"{p}ORRES": text,
            f"{p}ORRESU": unit, f"{p}STRESC": text, f"{p}STRESN": float(value) if is_number else None, f"{p}STRESU": unit, f"{p}DTC": date,
        }
    )  # fmt: skip
