"""The mapping of a trial: OIDs, event and field names under which its EDC knows what Nodus measures.

One file per protocol, ``resources/edc/<protocol id>.json`` (schema ``nodus.edc/1``, described in the
page on the EDC), or a file of the sponsor's own. Nothing of a trial's naming is written into code.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from app.edc.items import ADDED_LATER, FORMS
from app.study.errors import StudyRefused
from app.study.model import MODALITIES, SESSIONS

SCHEMA = "nodus.edc/1"
DATES = ("as_stored", "shifted")
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,25}")  # REDCap: lower case, 26 characters at most
_EVENT = re.compile(r"[a-z0-9_]{1,18}_arm_[0-9]{1,2}[a-z]?")
_SDTM_KEYS = ("studyid", "lesion", "tu_result", "trgrpid", "prdecod", "devices")
_SUMS = ("volume", "diameter", "both")


@dataclass(frozen=True, slots=True)
class Event:
    """Where something belongs in the EDC's calendar. ``visitnum`` is SDTM's; ``repeating`` for what has no place of its own."""

    oid: str
    name: str
    redcap: str
    visitnum: float
    repeating: bool = False


@dataclass(frozen=True, slots=True)
class EdcMapping:
    """A checked mapping. ``fields`` maps (form, item) to (OID, REDCap field); an item that the trial does not send is absent."""

    protocol_id: str
    version: str
    study_oid: str
    study_name: str
    study_description: str
    location_oid: str
    location_name: str
    dates: str
    visits: dict[str, Event]
    sessions: dict[str, Event]
    unscheduled: Event
    forms: dict[str, dict[str, str]]
    fields: dict[tuple[str, str], tuple[str, str]]
    record_id: str
    sdtm: dict[str, Any]

    def event_of_visit(self, name: str) -> Event:
        """The event of a visit by its name; the unscheduled one for a visit that the trial does not plan."""
        return self.visits.get(name, self.unscheduled)

    def event_of_session(self, session: str | None, visit: str | None) -> Event:
        """The event of a treatment: of its session, else of its visit, else the unscheduled one."""
        return self.sessions.get(session or "") or self.event_of_visit(visit or "")

    def events(self) -> tuple[Event, ...]:
        """Every event once, by place in the calendar."""
        found = {e.oid: e for e in (*self.visits.values(), *self.sessions.values(), self.unscheduled)}
        return tuple(sorted(found.values(), key=lambda e: (e.visitnum, e.oid)))

    def items(self, form: str) -> tuple[str, ...]:
        """Names of the items of a form that this trial sends, in the form's order."""
        return tuple(i.name for i in FORMS[form] if (form, i.name) in self.fields)


def available() -> tuple[str, ...]:
    """Ids of the protocols whose mapping ships with the program."""
    folder = resources.files("resources") / "edc"
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".json")))


def load_mapping(name: str, path: Path | None = None, *, protocol_id: str | None = None) -> EdcMapping:
    """The shipped mapping ``name``, or the one in the file ``path``; it must be for the protocol ``protocol_id`` (``name``
    without it), or be the one that this protocol names. Raises ``mapping_missing`` or ``mapping_refused``."""
    if path is not None:
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise StudyRefused(f"The mapping {Path(path).name} cannot be read.", code="mapping_missing") from error
    elif name in available():
        text = (resources.files("resources") / "edc" / f"{name}.json").read_text("utf-8")
    else:
        raise StudyRefused(
            f"There is no EDC mapping {name!r}.",
            code="mapping_missing",
            hint="Give the trial's own mapping file with --mapping (see the page on the EDC).",
        )
    try:
        content = json.loads(text)
    except ValueError as error:
        raise StudyRefused(f"The EDC mapping is not valid JSON: {error}.", code="mapping_refused") from error
    made = mapping_from(content)
    if made.protocol_id not in (name, protocol_id):
        raise StudyRefused(f"This EDC mapping is for {made.protocol_id}, the study is of {protocol_id or name}.", code="mapping_refused")
    return made


def mapping_from(content: Any) -> EdcMapping:
    """The checked value of a mapping's content. Raises ``mapping_refused`` naming every fault."""
    faults = check_mapping(content)
    if faults:
        raise StudyRefused("The EDC mapping has faults: " + "; ".join(faults) + ".", code="mapping_refused")
    study = content["study"]

    def event(given: dict, name: str, repeating: bool = False) -> Event:
        return Event(given["oid"], given.get("name", name), given["redcap"], float(given["visitnum"]), repeating)

    return EdcMapping(
        protocol_id=content["protocol"],
        version=content["version"],
        study_oid=study["oid"],
        study_name=study["name"],
        study_description=study["description"],
        location_oid=study["location_oid"],
        location_name=study["location_name"],
        dates=content["dates"],
        visits={name: event(e, name) for name, e in content["visits"].items()},
        sessions={name: event(e, name) for name, e in content["sessions"].items()},
        unscheduled=event(content["unscheduled"], "Unscheduled", True),
        forms={name: {k: form[k] for k in ("oid", "name", "redcap", "group_oid")} for name, form in content["forms"].items()},
        fields={(form, item): (f["oid"], f["redcap"]) for form, given in content["forms"].items() for item, f in given["items"].items() if f is not None},
        record_id=content["record_id"],
        sdtm=content["sdtm"],
    )


def check_mapping(content: Any) -> list[str]:
    """What is wrong with a mapping's content, one plain sentence each; empty if nothing is."""
    if not isinstance(content, dict):
        return ["the file is not an object"]
    faults: list[str] = []
    if content.get("schema") != SCHEMA:
        faults.append(f"schema must be {SCHEMA!r}")
    faults += [f"{key} must be text" for key in ("protocol", "version", "record_id") if not _text(content.get(key))]
    if content.get("dates") not in DATES:
        faults.append(f"dates must be one of {', '.join(DATES)}")
    study = content.get("study")
    if not isinstance(study, dict):
        faults.append("study must be an object")
    else:
        faults += [f"study.{key} must be text" for key in ("oid", "name", "description", "location_oid", "location_name") if not _text(study.get(key))]
    faults += _event_faults(content) + _form_faults(content) + _sdtm_faults(content.get("sdtm"))
    return faults


def _text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _event_faults(content: dict) -> list[str]:
    faults, places = [], []
    for group in ("visits", "sessions"):
        given = content.get(group)
        if not isinstance(given, dict):
            faults.append(f"{group} must be an object")
            continue
        places += [(f"{group}[{name!r}]", e) for name, e in given.items()]
    for name in content.get("sessions") or ():
        if name not in SESSIONS:
            faults.append(f"sessions[{name!r}] is no session; use {', '.join(SESSIONS)}")
    places.append(("unscheduled", content.get("unscheduled")))
    seen: dict[tuple[str, Any], str] = {}
    for where, event in places:
        if not isinstance(event, dict) or not _text(event.get("oid")) or not _text(event.get("redcap")):
            faults.append(f"{where} must have oid and redcap")
            continue
        if not _EVENT.fullmatch(event["redcap"]):
            faults.append(f"{where}.redcap is no unique event name of REDCap (name_arm_1, the name at most 18 characters)")
        if isinstance(event.get("visitnum"), bool) or not isinstance(event.get("visitnum"), (int, float)):
            faults.append(f"{where}.visitnum must be a number")
        for key in ("oid", "redcap", "visitnum"):
            if (key, event.get(key)) in seen:
                faults.append(f"{where}.{key} is that of {seen[key, event.get(key)]}")
            seen[key, event.get(key)] = where
    return faults


def _form_faults(content: dict) -> list[str]:
    forms = content.get("forms")
    if not isinstance(forms, dict) or set(forms) != set(FORMS):
        return [f"forms must be {', '.join(FORMS)}"]
    faults: list[str] = []
    oids: dict[str, str] = {}
    fields: dict[str, str] = {str(content.get("record_id")): "record_id"}
    if not _FIELD.fullmatch(str(content.get("record_id"))):
        faults.append("record_id is no field name of REDCap")
    for name, form in forms.items():
        if not isinstance(form, dict) or any(not _text(form.get(k)) for k in ("oid", "name", "redcap", "group_oid")) or not isinstance(form.get("items"), dict):
            faults.append(f"forms.{name} must have oid, name, redcap, group_oid and items")
            continue
        for oid in (form["oid"], form["group_oid"]):
            if oid in oids:
                faults.append(f"forms.{name}: the OID {oid} is that of {oids[oid]}")
            oids[oid] = f"forms.{name}"
        if not _FIELD.fullmatch(form["redcap"]):
            faults.append(f"forms.{name}.redcap is no form name of REDCap")
        known = {i.name: i for i in FORMS[name]}
        faults += [f"forms.{name}.items: {item} is not known" for item in form["items"] if item not in known]
        for item, spec in known.items():
            where = f"forms.{name}.items.{item}"
            if item not in form["items"]:
                if item in ADDED_LATER:
                    continue
                faults.append(f"{where} is not mapped (null: not sent)")
                continue
            given = form["items"][item]
            if given is None:
                if spec.required:
                    faults.append(f"{where} must be sent")
                continue
            if not isinstance(given, dict) or not _text(given.get("oid")) or not _FIELD.fullmatch(str(given.get("redcap"))):
                faults.append(f"{where} must have oid and redcap (lower case, at most 26 characters)")
                continue
            for key, taken in (("oid", oids), ("redcap", fields)):
                if given[key] in taken:
                    faults.append(f"{where}.{key} {given[key]} is that of {taken[given[key]]}")
                taken[given[key]] = where
    return faults


def _sdtm_faults(sdtm: Any) -> list[str]:
    if not isinstance(sdtm, dict):
        return ["sdtm must be an object"]
    faults = [f"sdtm.{key} is missing" for key in _SDTM_KEYS if key not in sdtm]
    if faults:
        return faults
    if not _text(sdtm["studyid"]) or len(sdtm["studyid"]) > 20:
        faults.append("sdtm.studyid must be text of at most 20 characters")
    if sdtm["lesion"] not in ("node", "lesion"):
        faults.append("sdtm.lesion must be node or lesion")
    small = sdtm.get("too_small_mm")
    if small is not None and (isinstance(small, bool) or not isinstance(small, (int, float)) or small <= 0):
        faults.append("sdtm.too_small_mm must be a positive number or null")
    if sdtm.get("sums") is not None and sdtm["sums"] not in _SUMS:
        faults.append("sdtm.sums must be volume, diameter, both or null")
    if sdtm["lesion"] == "lesion" and not _text(sdtm.get("lesion_location")):
        faults.append("sdtm.lesion_location must be text where lesions are no nodes")
    if sdtm.get("country") is not None and not re.fullmatch("[A-Z]{3}", str(sdtm["country"])):
        faults.append("sdtm.country must be a code of three capital letters (ISO 3166) or null")
    contrast = sdtm.get("contrast")
    if contrast is not None and (not isinstance(contrast, dict) or not set(contrast) <= set(MODALITIES) or not all(_text(v) and len(v) <= 200 for v in contrast.values())):
        faults.append(f"sdtm.contrast must map modalities ({', '.join(MODALITIES)}) to the name of the agent, or be null")
    for key in ("tu_result", "trgrpid"):
        if not _text(sdtm[key]) or len(sdtm[key]) > 200:
            faults.append(f"sdtm.{key} must be text of at most 200 characters")
    if not isinstance(sdtm["prdecod"], dict) or not all(_text(v) for v in sdtm["prdecod"].values()):
        faults.append("sdtm.prdecod must map kinds of events to terms")
    devices = sdtm["devices"]
    if not isinstance(devices, list) or any(not isinstance(d, dict) or not _text(d.get("spdevid")) or not isinstance(d.get("parameters"), dict) or "DEVTYPE" not in d["parameters"] for d in devices):
        faults.append("sdtm.devices must be a list of objects with spdevid and parameters (DEVTYPE at least)")
    elif sum(bool(d.get("generator")) for d in devices) > 1:
        faults.append("sdtm.devices: only one can be the generator")
    return faults
