"""Slow twin of ``app.edc.odm_write``: the same document as one tree, made by lxml and written by lxml."""

from __future__ import annotations

from itertools import groupby

from lxml import etree

from app.edc.forms import Filled
from app.edc.items import FORMS
from app.edc.odm_parts import METADATA_OID, SNAPSHOT, Change, Content, person, sub, user_oid
from app.edc.odm_write import Dialect, unit_oid


def tree_bytes(content: Content, kind: str, dialect: Dialect, root: etree._Element) -> bytes:
    """The document of a kind; ``root`` is the element ODM with its head."""
    clinical = sub(root, "ClinicalData", StudyOID=content.mapping.study_oid, MetaDataVersionOID=METADATA_OID)
    if kind == SNAPSHOT:
        for subject, mine in groupby(content.forms, key=lambda f: f.subject):
            data = sub(clinical, "SubjectData", SubjectKey=subject)
            for (oid, repeat), forms in groupby(mine, key=lambda f: (f.event.oid, f.event_repeat)):
                event = sub(data, "StudyEventData", StudyEventOID=oid, StudyEventRepeatKey=repeat)
                for filled in forms:
                    _form(event, content, dialect, filled)
    else:
        for change in content.changes:
            data = sub(clinical, "SubjectData", SubjectKey=change.filled.subject, TransactionType="Context")
            event = sub(data, "StudyEventData", StudyEventOID=change.filled.event.oid, StudyEventRepeatKey=change.filled.event_repeat, TransactionType="Context")
            _form(event, content, dialect, change.filled, change)
    etree.indent(root, space="  ")
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8") + b"\n"


def _form(event: etree._Element, content: Content, dialect: Dialect, filled: Filled, change: Change | None = None) -> None:
    kind = None if change is None else "Insert" if change.first else "Update"
    of_items = "Upsert" if kind == "Update" else kind
    mapping = content.mapping
    texts = {n: t for n, t in filled.texts().items() if n in mapping.items(filled.form)} if change is None else change.values
    form = sub(event, dialect.form_tag, **{dialect.form_oid: mapping.forms[filled.form]["oid"], dialect.form_repeat: filled.instance, "TransactionType": kind})
    if change is not None and dialect.audit_first:
        _audit(form, content, filled)
    group = sub(form, "ItemGroupData", ItemGroupOID=mapping.forms[filled.form]["group_oid"], TransactionType="Context" if kind == "Update" else kind)
    for item in FORMS[filled.form]:
        oid = mapping.fields.get((filled.form, item.name), ("", ""))[0]
        if item.name in texts and dialect.value_elements:
            sub(sub(group, "ItemData", ItemOID=oid, TransactionType=of_items), "Value", texts[item.name])
        elif item.name in texts:
            made = sub(group, "ItemData", ItemOID=oid, TransactionType=of_items, Value=texts[item.name])
            if item.unit and dialect.units:
                sub(made, "MeasurementUnitRef", MeasurementUnitOID=unit_oid(item.unit))
        elif change is not None and item.name in change.gone:
            sub(group, "ItemData", ItemOID=oid, TransactionType="Remove")
    if change is not None and not dialect.audit_first:
        _audit(form, content, filled)


def _audit(form: etree._Element, content: Content, filled: Filled) -> None:
    record = sub(form, "AuditRecord")
    sub(record, "UserRef", UserOID=user_oid(person(filled)))
    sub(record, "LocationRef", LocationOID=content.mapping.location_oid)
    sub(record, "DateTimeStamp", filled.utc)
    if filled.reason:
        sub(record, "ReasonForChange", filled.reason)
    sub(record, "SourceID", f"{filled.key}@{filled.version}")
    if filled.meaning:
        signature = sub(form, "Signature")
        sub(signature, "UserRef", UserOID=user_oid(person(filled)))
        sub(signature, "LocationRef", LocationOID=content.mapping.location_oid)
        sub(signature, "SignatureRef", SignatureOID=content.signatures[filled.meaning, filled.note or ""])
        sub(signature, "DateTimeStamp", filled.utc)
