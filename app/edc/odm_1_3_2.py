"""CDISC ODM 1.3.2: a snapshot for import, and the transactions with who, when, why and the signature.

ODM has no place for an old value: it stands in the earlier transaction. The study's own audit trail stays the master.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from lxml import etree

from app.edc.items import Item
from app.edc.mapping import EdcMapping
from app.edc.odm_parts import METADATA_OID, TEXT_LENGTH, Content, admin_data, code_list, each_item, event_def, forms_sent, item_group, sub, words
from app.edc.odm_write import Dialect, unit_oid, write_odm
from app.edc.redcap import choice_label
from app.study.model import StudySnapshot

NAMESPACE = "http://www.cdisc.org/ns/odm/v1.3"
_TYPES = {"text": ("text", TEXT_LENGTH, None), "integer": ("integer", "10", None), "number": ("float", "24", "17"), "date": ("date", None, None), "datetime": ("datetime", None, None)}


def write_odm_1_3_2(snapshot: StudySnapshot, mapping: EdcMapping, out: Path, *, accepted: Collection[tuple[str, int]] | None = None) -> dict[str, Any]:
    """Write ``snapshot.xml`` and ``transactional.xml``, both valid by the official schema; returns the receipt.

    Raises ``nothing_locked``, ``export_invalid``, ``export_failed``.
    """
    return write_odm(snapshot, mapping, out, DIALECT, accepted)


def _head(root: etree._Element, content: Content) -> None:
    mapping = content.mapping
    study = sub(root, "Study", OID=mapping.study_oid)
    names = sub(study, "GlobalVariables")
    sub(names, "StudyName", mapping.study_name)
    sub(names, "StudyDescription", mapping.study_description)
    sub(names, "ProtocolName", mapping.protocol_id)
    units = sorted({item.unit for _oid, _field, item in each_item(mapping) if item.unit})
    if units:
        basic = sub(study, "BasicDefinitions")
        for unit in units:
            words(sub(basic, "MeasurementUnit", OID=unit_oid(unit), Name=unit), "Symbol", unit)
    version = sub(study, "MetaDataVersion", OID=METADATA_OID, Name=f"Mapping {mapping.version} of {mapping.protocol_id}")
    protocol = sub(version, "Protocol")
    for number, event in enumerate(mapping.events(), start=1):
        sub(protocol, "StudyEventRef", StudyEventOID=event.oid, OrderNumber=number, Mandatory="No")
    for number, _event in enumerate(mapping.events()):
        event_def(version, mapping, number, "FormRef", "FormOID")
    for form in forms_sent(mapping):
        made = sub(version, "FormDef", OID=mapping.forms[form]["oid"], Name=mapping.forms[form]["name"], Repeating="Yes")
        sub(made, "ItemGroupRef", ItemGroupOID=mapping.forms[form]["group_oid"], OrderNumber=1, Mandatory="Yes")
    for form in forms_sent(mapping):
        item_group(version, mapping, form)
    for oid, field, item in each_item(mapping):
        _item(version, oid, field, item)
    for oid, _field, item in each_item(mapping):
        if item.codes:
            made = code_list(version, oid, item)
            for number, code in enumerate(item.codes, start=1):
                words(sub(made, "CodeListItem", CodedValue=code, OrderNumber=number), "Decode", choice_label(code))
    admin_data(root, content, "LoginName", "Other", LocationType="Other")


def _item(version: etree._Element, oid: str, field: str, item: Item) -> None:
    kind, length, digits = _TYPES[item.kind]
    made = sub(version, "ItemDef", OID=oid, Name=field, DataType=kind, Length=length, SignificantDigits=digits)
    words(made, "Question", item.label)
    if item.unit:
        sub(made, "MeasurementUnitRef", MeasurementUnitOID=unit_oid(item.unit))
    if item.codes:
        sub(made, "CodeListRef", CodeListOID=f"CL.{oid}")


DIALECT = Dialect(
    schema="odm-1.3.2", version="1.3.2", namespace=NAMESPACE, root={"Granularity": "All"}, head=_head, form_tag="FormData", form_oid="FormOID", form_repeat="FormRepeatKey",
    audit_first=True, value_elements=False, units=True,
)  # fmt: skip
