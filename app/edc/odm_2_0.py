"""CDISC ODM 2.0: the same content as 1.3.2 with nested item groups, values in elements, and audit behind the values."""

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

NAMESPACE = "http://www.cdisc.org/ns/odm/v2.0"
METADATA_OID = "MDV.NODUS.1"
_TYPES = {"text": ("text", TEXT_LENGTH), "integer": ("integer", "10"), "number": ("double", None), "date": ("date", None), "datetime": ("datetime", None)}


def write_odm_2_0(snapshot: StudySnapshot, mapping: EdcMapping, out: Path, *, accepted: Collection[tuple[str, int]] | None = None) -> dict[str, Any]:
    """Write ``snapshot.xml`` and ``transactional.xml``, both valid by the official schema; returns the receipt.

    Raises ``nothing_locked``, ``export_invalid``, ``export_failed``.
    """
    return write_odm(snapshot, mapping, out, odm_bytes, accepted)


def odm_bytes(content: Content, kind: str) -> bytes:
    """The document of a kind (``Snapshot`` or ``Transactional``)."""
    root = root_of(NAMESPACE, content, kind, "2.0", Granularity="All", Context="Exchange")
    _study(root, content.mapping)
    _people(root, content)
    clinical = sub(root, "ClinicalData", StudyOID=content.mapping.study_oid, MetaDataVersionOID=METADATA_OID)
    if kind == SNAPSHOT:
        _snapshot(clinical, content)
    else:
        for change in content.changes:
            _transaction(clinical, change, content)
    return checked(document_bytes(root), "odm-2.0", "The ODM file")


def _text(parent: etree._Element, tag: str, text: str) -> None:
    made = words(parent, tag, text)
    made[0].set("Type", "text/plain")


def _study(root: etree._Element, mapping: EdcMapping) -> None:
    study = sub(root, "Study", OID=mapping.study_oid, StudyName=mapping.study_name, ProtocolName=mapping.protocol_id)
    _text(study, "Description", mapping.study_description)
    version = sub(study, "MetaDataVersion", OID=METADATA_OID, Name=f"Mapping {mapping.version} of {mapping.protocol_id}")
    for event in mapping.events():
        made = sub(version, "StudyEventDef", OID=event.oid, Name=event.name, Repeating="Yes" if event.repeating else "No", Type="Unscheduled" if event.repeating else "Scheduled")
        for number, form in enumerate(forms_sent(mapping), start=1):
            sub(made, "ItemGroupRef", ItemGroupOID=mapping.forms[form]["oid"], OrderNumber=number, Mandatory="No")
    for form in forms_sent(mapping):
        given = mapping.forms[form]
        made = sub(version, "ItemGroupDef", OID=given["oid"], Name=given["name"], Repeating="Simple", Type="Form")
        sub(made, "ItemGroupRef", ItemGroupOID=given["group_oid"], OrderNumber=1, Mandatory="Yes")
        group = sub(version, "ItemGroupDef", OID=given["group_oid"], Name=given["name"], Repeating="No", Type="Section")
        for number, item in enumerate(items_sent(mapping, form), start=1):
            sub(group, "ItemRef", ItemOID=mapping.fields[form, item.name][0], OrderNumber=number, Mandatory="Yes" if item.required else "No")
    for form in forms_sent(mapping):
        for item in items_sent(mapping, form):
            _item(version, mapping, form, item)
    for form in forms_sent(mapping):
        for item in items_sent(mapping, form):
            if item.codes:
                oid = mapping.fields[form, item.name][0]
                made = sub(version, "CodeList", OID=f"CL.{oid}", Name=item.label[:200], DataType="integer" if item.kind == "integer" else "text")
                for code in item.codes:
                    _text(sub(made, "CodeListItem", CodedValue=code), "Decode", choice_label(code))


def _item(version: etree._Element, mapping: EdcMapping, form: str, item: Item) -> None:
    kind, length = _TYPES[item.kind]
    oid, field = mapping.fields[form, item.name]
    made = sub(version, "ItemDef", OID=oid, Name=field, DataType=kind, Length=length)
    _text(made, "Question", item.label)
    if item.codes:
        sub(made, "CodeListRef", CodeListOID=f"CL.{oid}")
    if item.unit:
        # Version 2.0 has no measurement units of its own.
        sub(made, "Alias", Context="Unit", Name=item.unit)


def _people(root: etree._Element, content: Content) -> None:
    admin = sub(root, "AdminData", StudyOID=content.mapping.study_oid)
    for user, name in content.people:
        made = sub(admin, "User", OID=user_oid((user, name)), UserType="Assessor")
        sub(made, "UserName", user)
        sub(made, "FullName", name)
    place = sub(admin, "Location", OID=content.mapping.location_oid, Name=content.mapping.location_name)
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
                form = sub(event, "ItemGroupData", ItemGroupOID=content.mapping.forms[filled.form]["oid"], ItemGroupRepeatKey=filled.instance)
                _values(form, filled, sent_texts(filled, content.mapping), content)


def _values(form: etree._Element, filled: Filled, texts: dict[str, str], content: Content, *, kind: str | None = None, gone: tuple[str, ...] = ()) -> None:
    group = sub(form, "ItemGroupData", ItemGroupOID=content.mapping.forms[filled.form]["group_oid"], TransactionType="Context" if kind == "Update" else kind)
    for item in FORMS[filled.form]:
        if item.name in texts:
            made = sub(group, "ItemData", ItemOID=content.mapping.fields[filled.form, item.name][0], TransactionType="Upsert" if kind == "Update" else kind)
            sub(made, "Value", texts[item.name])
        elif item.name in gone:
            sub(group, "ItemData", ItemOID=content.mapping.fields[filled.form, item.name][0], TransactionType="Remove")


def _transaction(clinical: etree._Element, change: Change, content: Content) -> None:
    filled = change.filled
    kind = "Insert" if change.first else "Update"
    data = sub(clinical, "SubjectData", SubjectKey=filled.subject, TransactionType="Context")
    event = sub(data, "StudyEventData", StudyEventOID=filled.event.oid, StudyEventRepeatKey=filled.event_repeat, TransactionType="Context")
    form = sub(event, "ItemGroupData", ItemGroupOID=content.mapping.forms[filled.form]["oid"], ItemGroupRepeatKey=filled.instance, TransactionType=kind)
    _values(form, filled, change.values, content, kind=kind, gone=change.gone)
    audit_parts(form, filled, content)
