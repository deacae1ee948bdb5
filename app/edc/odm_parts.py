"""What both versions of ODM have in common: their content, people, signatures, the order of transactions, and the study's head."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from lxml import etree

from app.edc.forms import Filled, all_versions
from app.edc.items import FORMS, Item
from app.edc.mapping import EdcMapping
from app.edc.output import created_utc
from app.study.canonical import canonical_json
from app.study.model import StudySnapshot

SNAPSHOT, TRANSACTIONAL = "Snapshot", "Transactional"
XML = "http://www.w3.org/XML/1998/namespace"
METADATA_OID = "MDV.NODUS.1"
TEXT_LENGTH = "2000"


@dataclass(frozen=True, slots=True)
class Change:
    """One version of a form and what it changed: ``values`` the items that are new or different, ``gone`` those that the
    version before had and this one has not."""

    filled: Filled
    values: dict[str, str]
    gone: tuple[str, ...]
    first: bool


@dataclass(frozen=True, slots=True)
class Content:
    """Everything that a file is made of. ``forms`` are the newest versions, ``changes`` all of them in order of time."""

    mapping: EdcMapping
    created: str
    forms: tuple[Filled, ...]
    changes: tuple[Change, ...]
    people: tuple[tuple[str, str], ...]  # (user, name as it was typed or signed with)
    signatures: dict[tuple[str, str], str]  # (meaning, note) -> OID

    def file_oid(self, kind: str, version: str) -> str:
        """An identity that follows from the content alone."""
        told: Iterable[Filled] = self.forms if kind == SNAPSHOT else (c.filled for c in self.changes)
        # The hash of one long list in canonical JSON, taken piece by piece.
        sha256 = hashlib.sha256(b"[")
        for number, f in enumerate(told):
            sha256.update((("," if number else "") + canonical_json((*f.place, f.version, f.texts()))).encode("utf-8"))
        sha256.update(b"]")
        return f"{self.mapping.study_oid}.{version}.{kind}.{sha256.hexdigest()[:16]}"


def content_of(snapshot: StudySnapshot, mapping: EdcMapping, accepted: Collection[tuple[str, int]] | None = None) -> Content:
    """What goes into the files. Raises ``nothing_locked``."""
    created = created_utc(snapshot)
    sent = {form: frozenset(mapping.items(form)) for form in FORMS}
    versions = [f for f in all_versions(snapshot, mapping, accepted) if sent[f.form]]
    people = tuple(sorted({person(f) for f in versions}))
    meant = sorted({(f.meaning, f.note or "") for f in versions if f.meaning})
    signatures = {pair: f"SIG.{hashlib.sha256(repr(pair).encode()).hexdigest()[:12].upper()}" for pair in meant}
    return Content(mapping, created, tuple(f for f in versions if f.newest), tuple(_changes(versions, sent)), people, signatures)


def _changes(versions: list[Filled], sent: dict[str, frozenset[str]]) -> list[Change]:
    before: dict[tuple, dict[str, str]] = {}
    out = []
    for filled in sorted(versions, key=lambda f: (f.place, f.version)):
        texts = sent_texts(filled, sent[filled.form])
        old = before.get(filled.place)
        values = texts if old is None else {k: v for k, v in texts.items() if old.get(k) != v}
        gone = () if old is None else tuple(k for k in old if k not in texts)
        out.append(Change(filled, values, gone, old is None))
        before[filled.place] = texts
    return sorted(out, key=lambda c: (c.filled.utc, c.filled.place, c.filled.version))


def sent_texts(filled: Filled, names: frozenset[str]) -> dict[str, str]:
    """The items of a form that this trial sends (``names``) and that hold something."""
    texts = filled.texts()
    return texts if texts.keys() <= names else {name: text for name, text in texts.items() if name in names}


def person(filled: Filled) -> tuple[str, str]:
    """Who is behind a form: the user, and the name that it was locked with."""
    return filled.user, filled.signed_by or filled.user


def user_oid(who: tuple[str, str]) -> str:
    """An OID for a person that no later person changes."""
    return f"USR.{hashlib.sha256(repr(who).encode('utf-8')).hexdigest()[:12].upper()}"


def items_sent(mapping: EdcMapping, form: str) -> list[Item]:
    """The items of a form that this trial sends."""
    names = set(mapping.items(form))
    return [i for i in FORMS[form] if i.name in names]


def forms_sent(mapping: EdcMapping) -> list[str]:
    """The forms of which this trial sends anything."""
    return [f for f in FORMS if mapping.items(f)]


def sub(parent: etree._Element, tag: str, text: str | None = None, **attributes: Any) -> etree._Element:
    """A child in the parent's namespace; attributes that are None are left out."""
    made = etree.SubElement(parent, f"{{{etree.QName(parent).namespace}}}{tag}", {k: str(v) for k, v in attributes.items() if v is not None})
    made.text = text
    return made


def words(parent: etree._Element, tag: str, text: str) -> etree._Element:
    """A child with a text in English."""
    made = sub(parent, tag)
    sub(made, "TranslatedText", text).set(f"{{{XML}}}lang", "en")
    return made


def event_def(version: etree._Element, mapping: EdcMapping, number: int, ref: str, ref_oid: str) -> None:
    """The definition of the event at place ``number`` of the calendar, with a reference ``ref`` (its OID in the attribute ``ref_oid``) to every form."""
    event = mapping.events()[number]
    made = sub(version, "StudyEventDef", OID=event.oid, Name=event.name, Repeating="Yes" if event.repeating else "No", Type="Unscheduled" if event.repeating else "Scheduled")
    for place, form in enumerate(forms_sent(mapping), start=1):
        sub(made, ref, **{ref_oid: mapping.forms[form]["oid"], "OrderNumber": place, "Mandatory": "No"})


def item_group(version: etree._Element, mapping: EdcMapping, form: str, **more: str) -> None:
    """The group of all items of a form."""
    group = sub(version, "ItemGroupDef", OID=mapping.forms[form]["group_oid"], Name=mapping.forms[form]["name"], Repeating="No", **more)
    for number, item in enumerate(items_sent(mapping, form), start=1):
        sub(group, "ItemRef", ItemOID=mapping.fields[form, item.name][0], OrderNumber=number, Mandatory="Yes" if item.required else "No")


def each_item(mapping: EdcMapping) -> list[tuple[str, str, Item]]:
    """(OID, EDC field name, item) of everything that is sent, form by form."""
    return [(*mapping.fields[form, item.name], item) for form in forms_sent(mapping) for item in items_sent(mapping, form)]


def code_list(version: etree._Element, oid: str, item: Item) -> etree._Element:
    """The code list of an item, without its codes."""
    return sub(version, "CodeList", OID=f"CL.{oid}", Name=item.label[:200], DataType="integer" if item.kind == "integer" else "text")


def admin_data(root: etree._Element, content: Content, login: str, user_type: str, **place: str) -> None:
    """People (their user name in the element ``login``), the reading centre, and what the signatures mean. A lock that is no electronic
    signature says so."""
    admin = sub(root, "AdminData", StudyOID=content.mapping.study_oid)
    for user, name in content.people:
        made = sub(admin, "User", OID=user_oid((user, name)), UserType=user_type)
        sub(made, login, user)
        sub(made, "FullName", name)
    centre = sub(admin, "Location", OID=content.mapping.location_oid, Name=content.mapping.location_name, **place)
    sub(centre, "MetaDataVersionRef", StudyOID=content.mapping.study_oid, MetaDataVersionOID=METADATA_OID, EffectiveDate=content.created[:10])
    for (meaning, note), oid in content.signatures.items():
        made = sub(admin, "SignatureDef", OID=oid, Methodology="Electronic")
        sub(made, "Meaning", meaning)
        sub(made, "LegalReason", note if note else "electronic signature")
