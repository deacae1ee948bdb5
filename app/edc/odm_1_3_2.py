"""CDISC ODM 1.3.2: a snapshot for import, and the transactions with who, when, why and the signature.

ODM has no place for an old value: it stands in the earlier transaction. The study's own audit trail stays the master.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby
from pathlib import Path
from typing import Any

from lxml import etree

from app.edc.forms import Filled
from app.edc.items import FORMS, Item
from app.edc.mapping import EdcMapping
from app.edc.odm_parts import (
    SNAPSHOT,
    TEXT_LENGTH,
    Change,
    Content,
    audit_parts,
    forms_sent,
    items_sent,
    root_of,
    sent_texts,
    signature_defs,
    sub,
    user_oid,
    words,
    write_odm,
)
from app.edc.redcap import choice_label
from app.edc.xsd import checked, document_bytes
from app.study.model import StudySnapshot

NAMESPACE = "http://www.cdisc.org/ns/odm/v1.3"
METADATA_OID = "MDV.NODUS.1"
_TYPES = {"text": ("text", TEXT_LENGTH, None), "integer": ("integer", "10", None), "number": ("float", "24", "17"), "date": ("date", None, None), "datetime": ("datetime", None, None)}


def write_odm_1_3_2(snapshot: StudySnapshot, mapping: EdcMapping, out: Path, *, accepted: Collection[tuple[str, int]] | None = None) -> dict[str, Any]:
    """Write ``snapshot.xml`` and ``transactional.xml``, both valid by the official schema; returns the receipt.

    Raises ``nothing_locked``, ``export_invalid``, ``export_failed``.
    """
    return write_odm(snapshot, mapping, out, odm_bytes, accepted)


def odm_bytes(content: Content, kind: str) -> bytes:
    """The document of a kind (``Snapshot`` or ``Transactional``)."""
    root = root_of(NAMESPACE, content, kind, "1.3.2", Granularity="All")
    _study(root, content.mapping)
    _people(root, content)
    clinical = sub(root, "ClinicalData", StudyOID=content.mapping.study_oid, MetaDataVersionOID=METADATA_OID)
    if kind == SNAPSHOT:
        _snapshot(clinical, content)
    else:
        for change in content.changes:
            _transaction(clinical, change, content)
    return checked(document_bytes(root), "odm-1.3.2", "The ODM file")


def unit_oid(unit: str) -> str:
    """The OID of a unit."""
    return "MU." + {"%": "PERCENT", "V/cm": "V_PER_CM"}.get(unit, unit.upper())


def _study(root: etree._Element, mapping: EdcMapping) -> None:
    study = sub(root, "Study", OID=mapping.study_oid)
    names = sub(study, "GlobalVariables")
    sub(names, "StudyName", mapping.study_name)
    sub(names, "StudyDescription", mapping.study_description)
    sub(names, "ProtocolName", mapping.protocol_id)
    units = sorted({i.unit for form in forms_sent(mapping) for i in items_sent(mapping, form) if i.unit})
    if units:
        basic = sub(study, "BasicDefinitions")
        for unit in units:
            words(sub(basic, "MeasurementUnit", OID=unit_oid(unit), Name=unit), "Symbol", unit)
    version = sub(study, "MetaDataVersion", OID=METADATA_OID, Name=f"Mapping {mapping.version} of {mapping.protocol_id}")
    protocol = sub(version, "Protocol")
    for number, event in enumerate(mapping.events(), start=1):
        sub(protocol, "StudyEventRef", StudyEventOID=event.oid, OrderNumber=number, Mandatory="No")
    for event in mapping.events():
        made = sub(version, "StudyEventDef", OID=event.oid, Name=event.name, Repeating="Yes" if event.repeating else "No", Type="Unscheduled" if event.repeating else "Scheduled")
        for number, form in enumerate(forms_sent(mapping), start=1):
            sub(made, "FormRef", FormOID=mapping.forms[form]["oid"], OrderNumber=number, Mandatory="No")
    for form in forms_sent(mapping):
        made = sub(version, "FormDef", OID=mapping.forms[form]["oid"], Name=mapping.forms[form]["name"], Repeating="Yes")
        sub(made, "ItemGroupRef", ItemGroupOID=mapping.forms[form]["group_oid"], OrderNumber=1, Mandatory="Yes")
    for form in forms_sent(mapping):
        group = sub(version, "ItemGroupDef", OID=mapping.forms[form]["group_oid"], Name=mapping.forms[form]["name"], Repeating="No")
        for number, item in enumerate(items_sent(mapping, form), start=1):
            sub(group, "ItemRef", ItemOID=mapping.fields[form, item.name][0], OrderNumber=number, Mandatory="Yes" if item.required else "No")
    for form in forms_sent(mapping):
        for item in items_sent(mapping, form):
            _item(version, mapping, form, item)
    for form in forms_sent(mapping):
        for item in items_sent(mapping, form):
            if item.codes:
                _codes(version, f"CL.{mapping.fields[form, item.name][0]}", item)


def _item(version: etree._Element, mapping: EdcMapping, form: str, item: Item) -> None:
    kind, length, digits = _TYPES[item.kind]
    oid, field = mapping.fields[form, item.name]
    made = sub(version, "ItemDef", OID=oid, Name=field, DataType=kind, Length=length, SignificantDigits=digits)
    words(made, "Question", item.label)
    if item.unit:
        sub(made, "MeasurementUnitRef", MeasurementUnitOID=unit_oid(item.unit))
    if item.codes:
        sub(made, "CodeListRef", CodeListOID=f"CL.{oid}")


def _codes(version: etree._Element, oid: str, item: Item) -> None:
    made = sub(version, "CodeList", OID=oid, Name=item.label[:200], DataType="integer" if item.kind == "integer" else "text")
    for number, code in enumerate(item.codes, start=1):
        words(sub(made, "CodeListItem", CodedValue=code, OrderNumber=number), "Decode", choice_label(code))


def _people(root: etree._Element, content: Content) -> None:
    admin = sub(root, "AdminData", StudyOID=content.mapping.study_oid)
    for user, name in content.people:
        made = sub(admin, "User", OID=user_oid((user, name)), UserType="Other")
        sub(made, "LoginName", user)
        sub(made, "FullName", name)
    place = sub(admin, "Location", OID=content.mapping.location_oid, Name=content.mapping.location_name, LocationType="Other")
    sub(place, "MetaDataVersionRef", StudyOID=content.mapping.study_oid, MetaDataVersionOID=METADATA_OID, EffectiveDate=content.created[:10])
    signature_defs(admin, content)


def _snapshot(clinical: etree._Element, content: Content) -> None:
    for subject, mine in groupby(content.forms, key=lambda f: f.subject):
        data = sub(clinical, "SubjectData", SubjectKey=subject)
        for (_oid, _repeat), forms in groupby(mine, key=lambda f: (f.event.oid, f.event_repeat)):
            event: etree._Element | None = None
            for filled in forms:
                if event is None:
                    event = sub(data, "StudyEventData", StudyEventOID=filled.event.oid, StudyEventRepeatKey=filled.event_repeat)
                form = sub(event, "FormData", FormOID=content.mapping.forms[filled.form]["oid"], FormRepeatKey=filled.instance)
                _values(form, filled, sent_texts(filled, content.mapping), content)


def _values(form: etree._Element, filled: Filled, texts: dict[str, str], content: Content, *, kind: str | None = None, gone: tuple[str, ...] = ()) -> None:
    group = sub(form, "ItemGroupData", ItemGroupOID=content.mapping.forms[filled.form]["group_oid"], TransactionType=None if kind is None else ("Insert" if kind == "Insert" else "Context"))
    for item in FORMS[filled.form]:
        if item.name in texts:
            made = sub(group, "ItemData", ItemOID=content.mapping.fields[filled.form, item.name][0], TransactionType=_item_kind(kind), Value=texts[item.name])
            if item.unit:
                sub(made, "MeasurementUnitRef", MeasurementUnitOID=unit_oid(item.unit))
        elif item.name in gone:
            sub(group, "ItemData", ItemOID=content.mapping.fields[filled.form, item.name][0], TransactionType="Remove")


def _item_kind(kind: str | None) -> str | None:
    # What a correction brings may be new to the form or replace a value: a receiver takes either.
    return "Upsert" if kind == "Update" else kind


def _transaction(clinical: etree._Element, change: Change, content: Content) -> None:
    filled = change.filled
    kind = "Insert" if change.first else "Update"
    data = sub(clinical, "SubjectData", SubjectKey=filled.subject, TransactionType="Context")
    event = sub(data, "StudyEventData", StudyEventOID=filled.event.oid, StudyEventRepeatKey=filled.event_repeat, TransactionType="Context")
    form = sub(event, "FormData", FormOID=content.mapping.forms[filled.form]["oid"], FormRepeatKey=filled.instance, TransactionType=kind)
    audit_parts(form, filled, content)
    _values(form, filled, change.values, content, kind=kind, gone=change.gone)
