"""CDISC ODM 2.0: the same content as 1.3.2 with nested item groups, values in elements, and audit behind the values."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from lxml import etree

from app.edc.items import Item
from app.edc.mapping import EdcMapping
from app.edc.odm_parts import METADATA_OID, TEXT_LENGTH, Content, admin_data, code_list, each_item, event_def, forms_sent, item_group, sub, words
from app.edc.odm_write import Dialect, write_odm
from app.edc.redcap import choice_label
from app.study.model import StudySnapshot

NAMESPACE = "http://www.cdisc.org/ns/odm/v2.0"
_TYPES = {"text": ("text", TEXT_LENGTH), "integer": ("integer", "10"), "number": ("double", None), "date": ("date", None), "datetime": ("datetime", None)}


def write_odm_2_0(snapshot: StudySnapshot, mapping: EdcMapping, out: Path, *, accepted: Collection[tuple[str, int]] | None = None) -> dict[str, Any]:
    """Write ``snapshot.xml`` and ``transactional.xml``, both valid by the official schema; returns the receipt.

    Raises ``nothing_locked``, ``export_invalid``, ``export_failed``.
    """
    return write_odm(snapshot, mapping, out, DIALECT, accepted)


def _text(parent: etree._Element, tag: str, text: str) -> None:
    made = words(parent, tag, text)
    made[0].set("Type", "text/plain")


def _head(root: etree._Element, content: Content) -> None:
    mapping = content.mapping
    study = sub(root, "Study", OID=mapping.study_oid, StudyName=mapping.study_name, ProtocolName=mapping.protocol_id)
    _text(study, "Description", mapping.study_description)
    version = sub(study, "MetaDataVersion", OID=METADATA_OID, Name=f"Mapping {mapping.version} of {mapping.protocol_id}")
    for number, _event in enumerate(mapping.events()):
        event_def(version, mapping, number, "ItemGroupRef", "ItemGroupOID")
    for form in forms_sent(mapping):
        made = sub(version, "ItemGroupDef", OID=mapping.forms[form]["oid"], Name=mapping.forms[form]["name"], Repeating="Simple", Type="Form")
        sub(made, "ItemGroupRef", ItemGroupOID=mapping.forms[form]["group_oid"], OrderNumber=1, Mandatory="Yes")
        item_group(version, mapping, form, Type="Section")
    for oid, field, item in each_item(mapping):
        _item(version, oid, field, item)
    for oid, _field, item in each_item(mapping):
        if item.codes:
            made = code_list(version, oid, item)
            for code in item.codes:
                _text(sub(made, "CodeListItem", CodedValue=code), "Decode", choice_label(code))
    admin_data(root, content, "UserName", "Assessor")


def _item(version: etree._Element, oid: str, field: str, item: Item) -> None:
    kind, length = _TYPES[item.kind]
    made = sub(version, "ItemDef", OID=oid, Name=field, DataType=kind, Length=length)
    _text(made, "Question", item.label)
    if item.codes:
        sub(made, "CodeListRef", CodeListOID=f"CL.{oid}")
    if item.unit:
        # Version 2.0 has no measurement units of its own.
        sub(made, "Alias", Context="Unit", Name=item.unit)


DIALECT = Dialect(
    schema="odm-2.0", version="2.0", namespace=NAMESPACE, root={"Granularity": "All", "Context": "Exchange"}, head=_head, form_tag="ItemGroupData", form_oid="ItemGroupOID",
    form_repeat="ItemGroupRepeatKey", audit_first=False, value_elements=True, units=False,
)  # fmt: skip
