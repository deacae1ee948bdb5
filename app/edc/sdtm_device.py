"""PR, DU, DI and measured currents: what was done to the subject, with which device and settings."""

from __future__ import annotations

from typing import Any

from app.edc.items import plain_number
from app.edc.sdtm_terms import CURRENTS, DEVICE_ELEMENTS, SETTINGS
from app.edc.sdtm_tumour import Row, Tumours
from app.edc.treatment_rows import treatment_rows
from app.study.model import ABLATION_KINDS

VERBATIM = {"IRE": "IRREVERSIBLE ELECTROPORATION", "SALVAGE": "SALVAGE IRREVERSIBLE ELECTROPORATION", "RFA": "RADIOFREQUENCY ABLATION", "CRYO_RF": "CRYOTHERAPY AND RADIOFREQUENCY HEATING"}
NOT_STATED = "ABLATION, KIND NOT STATED"
PLANNED, DELIVERED = "PLANNED", "DELIVERED"


def device_rows(tumours: Tumours) -> dict[str, list[Row]]:
    """Rows of DI, PR, DU and XD. A session and its settings share the link group; of a pair, settings as planned and as
    delivered share the group id and differ by their category."""
    out: dict[str, list[Row]] = {"DI": _devices(tumours), "PR": [], "DU": [], "XD": []}
    pairs = treatment_rows(tumours.snapshot)
    generator = _generator(tumours)
    told = _told_nodes(tumours)
    counts: dict[tuple[str, str], int] = {}
    for row in pairs:
        _settings(tumours, row, out, generator, told, counts)
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
    nodes = tumours.nodes
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


def _kind(tumours: Tumours, one: dict[str, Any]) -> str | None:
    """The kind of a procedure: as logged, else the trial's own treatment; None where the trial states none, which is not guessed."""
    if one["kind"]:
        return one["kind"]
    treatment = tumours.snapshot.protocol.get("treatment")
    return treatment if treatment in ABLATION_KINDS else None


def _procedure(tumours: Tumours, one: dict[str, Any], number: int, generator: str | None) -> Row:
    kind = _kind(tumours, one)
    location, side, _detail = (None, None, None) if one["node_id"] is None else tumours.place(one["node_id"])
    return {
        "STUDYID": tumours.mapping.sdtm["studyid"], "DOMAIN": "PR", "USUBJID": tumours.usubjid(one["subject"]), "SPDEVID": generator, "PRSEQ": number, "PRSPID": one["id"],
        "PRLNKID": one["node"], "PRLNKGRP": link_group(one["subject"], one["node"], one["date"]), "PRTRT": NOT_STATED if kind is None else VERBATIM[kind],
        "PRDECOD": tumours.mapping.sdtm["prdecod"].get(kind), "PRCAT": None if kind is None else "SALVAGE" if kind == "SALVAGE" else "STUDY TREATMENT", "PRLOC": location, "PRLAT": side,
        "PRSTDTC": one["date"],
    }  # fmt: skip


def _settings(tumours: Tumours, row: dict[str, Any], out: dict[str, list[Row]], generator: str | None, told: dict[tuple, set[str | None]], counts: dict[tuple[str, str], int]) -> None:
    event = tumours.mapping.event_of_session(row["session"], row["visit"])
    group = f"{row['pair_key']} {row['anode']}-{row['cathode']}"
    # The node as the procedure of the day names it: an event for all nodes has none.
    of_day = told.get((row["subject"], row["treatment_date"]))
    node = None if of_day is not None and row["node"] not in of_day else row["node"]
    subject, link = tumours.usubjid(row["subject"]), link_group(row["subject"], node, row["treatment_date"])

    def add(p: str, code: str, name: str, value: Any, unit: str | None, category: str) -> None:
        is_number = not isinstance(value, str)
        text = plain_number(float(value)) if is_number else value
        number = counts[p, subject] = counts.get((p, subject), 0) + 1
        out[p].append(
            {
                "STUDYID": tumours.mapping.sdtm["studyid"], "USUBJID": subject, "SPDEVID": generator, "VISITNUM": event.visitnum, "VISIT": event.name.upper(), "DOMAIN": p,
                f"{p}SEQ": number, f"{p}GRPID": group, f"{p}LNKGRP": link, f"{p}TESTCD": code, f"{p}TEST": name, f"{p}CAT": category, f"{p}ORRES": text, f"{p}ORRESU": unit,
                f"{p}STRESC": text, f"{p}STRESN": float(value) if is_number else None, f"{p}STRESU": unit, f"{p}DTC": row["treatment_date"],
            }
        )  # fmt: skip

    for planned, delivered, code, name, unit, _c_code in SETTINGS:
        for category, item in ((PLANNED, planned), (DELIVERED, delivered)):
            if item is not None and row[item] is not None:
                add("DU", code, name, row[item], unit, category)
    for item, code, name in CURRENTS:
        if row[item] is not None:
            add("XD", code, name, row[item], "amp", "MEASURED")
    if row["aborted"] is not None:
        add("DU", "ABORTED", "Delivery Aborted", "Y" if row["aborted"] else "N", None, DELIVERED)


def _told_nodes(tumours: Tumours) -> dict[tuple, set[str | None]]:
    """(subject, day) -> labels of the nodes that ablations of the day name; an event for all nodes names none."""
    out: dict[tuple, set[str | None]] = {}
    for event in tumours.snapshot.events:
        if event.kind in ABLATION_KINDS:
            named = out.setdefault((event.subject_id, event.date), set())
            if event.node_id is not None:
                named.add(tumours.nodes[event.node_id].label)
    return out
