"""What both versions of ODM have in common: names, people, signatures, and the order of transactions."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lxml import etree

from app import __version__
from app.edc.forms import Filled, all_versions
from app.edc.items import FORMS, Item
from app.edc.mapping import EdcMapping
from app.edc.output import OutFile, created_utc, write_files
from app.study.canonical import canonical_json, sha256_text
from app.study.model import StudySnapshot

SNAPSHOT, TRANSACTIONAL = "Snapshot", "Transactional"
XML = "http://www.w3.org/XML/1998/namespace"
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
        told = [(*f.place, f.version, f.texts()) for f in (self.forms if kind == SNAPSHOT else [c.filled for c in self.changes])]
        return f"{self.mapping.study_oid}.{version}.{kind}.{sha256_text(canonical_json(told))[:16]}"


def content_of(snapshot: StudySnapshot, mapping: EdcMapping, accepted: Collection[tuple[str, int]] | None = None) -> Content:
    """What goes into the files. Raises ``nothing_locked``."""
    created = created_utc(snapshot)
    versions = [f for f in all_versions(snapshot, mapping, accepted) if mapping.items(f.form)]
    people = tuple(sorted({person(f) for f in versions}))
    meant = sorted({(f.meaning, f.note or "") for f in versions if f.meaning})
    signatures = {pair: f"SIG.{hashlib.sha256(repr(pair).encode()).hexdigest()[:12].upper()}" for pair in meant}
    return Content(mapping, created, tuple(f for f in versions if f.newest), tuple(_changes(versions, mapping)), people, signatures)


def _changes(versions: list[Filled], mapping: EdcMapping) -> list[Change]:
    before: dict[tuple, dict[str, str]] = {}
    out = []
    for filled in sorted(versions, key=lambda f: (f.place, f.version)):
        texts = sent_texts(filled, mapping)
        old = before.get(filled.place)
        values = texts if old is None else {k: v for k, v in texts.items() if old.get(k) != v}
        gone = () if old is None else tuple(k for k in old if k not in texts)
        out.append(Change(filled, values, gone, old is None))
        before[filled.place] = texts
    return sorted(out, key=lambda c: (c.filled.utc, c.filled.place, c.filled.version))


def sent_texts(filled: Filled, mapping: EdcMapping) -> dict[str, str]:
    """The items of a form that this trial sends and that hold something."""
    names = mapping.items(filled.form)
    return {name: text for name, text in filled.texts().items() if name in names}


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


def root_of(namespace: str, content: Content, kind: str, version: str, **more: str) -> etree._Element:
    """The element ODM with its attributes."""
    root = etree.Element(f"{{{namespace}}}ODM", nsmap={None: namespace})
    attributes = {
        "FileType": kind, **more, "FileOID": content.file_oid(kind, version), "CreationDateTime": content.created, "AsOfDateTime": content.created, "ODMVersion": version,
        "Originator": content.mapping.location_name, "SourceSystem": "Nodus", "SourceSystemVersion": __version__,
    }  # fmt: skip
    for key, value in attributes.items():
        root.set(key, value)
    return root


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


def audit_parts(parent: etree._Element, filled: Filled, content: Content) -> None:
    """AuditRecord and, where it was locked with a meaning, Signature."""
    record = sub(parent, "AuditRecord")
    sub(record, "UserRef", UserOID=user_oid(person(filled)))
    sub(record, "LocationRef", LocationOID=content.mapping.location_oid)
    sub(record, "DateTimeStamp", filled.utc)
    if filled.reason:
        sub(record, "ReasonForChange", filled.reason)
    sub(record, "SourceID", f"{filled.key}@{filled.version}")
    if filled.meaning:
        signature = sub(parent, "Signature")
        sub(signature, "UserRef", UserOID=user_oid(person(filled)))
        sub(signature, "LocationRef", LocationOID=content.mapping.location_oid)
        sub(signature, "SignatureRef", SignatureOID=content.signatures[filled.meaning, filled.note or ""])
        sub(signature, "DateTimeStamp", filled.utc)


def signature_defs(admin: etree._Element, content: Content) -> None:
    """What the signatures mean. A lock that is no electronic signature says so."""
    for (meaning, note), oid in content.signatures.items():
        made = sub(admin, "SignatureDef", OID=oid, Methodology="Electronic")
        sub(made, "Meaning", meaning)
        sub(made, "LegalReason", note if note else "electronic signature")


def write_odm(
    snapshot: StudySnapshot, mapping: EdcMapping, out: Path, build: Any, accepted: Collection[tuple[str, int]] | None
) -> dict[str, Any]:
    """Write ``snapshot.xml`` and ``transactional.xml`` with ``build(content, kind)``; returns the receipt. An ``out`` ending
    in ``.xml`` names the snapshot, the transactions lie beside it."""
    content = content_of(snapshot, mapping, accepted)
    names = {SNAPSHOT: "snapshot.xml", TRANSACTIONAL: "transactional.xml"}
    if out.suffix.lower() == ".xml":
        names = {SNAPSHOT: out.name, TRANSACTIONAL: f"{out.stem}-transactional.xml"}
        out = out.parent
    files = [OutFile(names[SNAPSHOT], build(content, SNAPSHOT), len(content.forms)), OutFile(names[TRANSACTIONAL], build(content, TRANSACTIONAL), len(content.changes))]
    return write_files(out, files, snapshot, readings=sum(f.form == "reading" for f in content.forms), accepted=accepted)
