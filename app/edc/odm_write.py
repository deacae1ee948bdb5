"""Writing ODM: the head as a tree, the clinical data as text that flows to the disk subject by subject.

A trial of a hundred participants is hundreds of megabytes of XML: as one tree it would take ten times that. So only the head is a
tree; forms are written line by line in the same shape, and the finished file is held by the official schema while it is read back, again
without a tree of the whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

from lxml import etree

from app import __version__
from app.edc.forms import Filled
from app.edc.items import FORMS
from app.edc.mapping import EdcMapping
from app.edc.odm_parts import METADATA_OID, SNAPSHOT, TRANSACTIONAL, Change, Content, content_of, person, sent_texts, sub, user_oid
from app.edc.output import OutFile, write_files
from app.edc.xsd import check_file, document_bytes
from app.study.errors import StudyRefused
from app.study.model import StudySnapshot

PIECE = 1 << 20  # bytes of text that go to the disk at once, about
# What an attribute's value cannot hold as it is, and what no XML can hold at all.
_AWKWARD = re.compile('[\x00-\x1f&<>"\ud800-\udfff\ufffe\uffff]')
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;", "\r": "&#13;", "\t": "&#9;"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a version of ODM tells the content. ``head`` fills in what stands before the clinical data; ``form_tag``, ``form_oid`` and ``form_repeat`` name a filled-in
    form's element and attributes; ``audit_first``: who and when stand before the values; ``value_elements``: a value is an element's text, not an attribute;
    ``units``: a value names its unit."""

    schema: str
    version: str
    namespace: str
    root: dict[str, str]
    head: Callable[[etree._Element, Content], None]
    form_tag: str
    form_oid: str
    form_repeat: str
    audit_first: bool
    value_elements: bool
    units: bool


def write_odm(snapshot: StudySnapshot, mapping: EdcMapping, out: Path, dialect: Dialect, accepted: Collection[tuple[str, int]] | None) -> dict[str, Any]:
    """Write ``snapshot.xml`` and ``transactional.xml``; returns the receipt. An ``out`` ending in ``.xml`` names the snapshot, the
    transactions lie beside it."""
    content = content_of(snapshot, mapping, accepted)
    names = {SNAPSHOT: "snapshot.xml", TRANSACTIONAL: "transactional.xml"}
    if out.suffix.lower() == ".xml":
        names = {SNAPSHOT: out.name, TRANSACTIONAL: f"{out.stem}-transactional.xml"}
        out = out.parent

    def check(path: Path) -> None:
        check_file(path, dialect.schema, "The ODM file")

    counts = {SNAPSHOT: len(content.forms), TRANSACTIONAL: len(content.changes)}
    files = [OutFile(name, document(content, kind, dialect), counts[kind], check) for kind, name in names.items()]
    return write_files(out, files, snapshot, readings=sum(f.form == "reading" for f in content.forms), accepted=accepted)


def document(content: Content, kind: str, dialect: Dialect) -> Iterator[bytes]:
    """The document of a kind (``Snapshot`` or ``Transactional``) in UTF-8, piece by piece."""
    root = _root(content, kind, dialect)
    dialect.head(root, content)
    sub(root, "ClinicalData", StudyOID=content.mapping.study_oid, MetaDataVersionOID=METADATA_OID)
    head, _open, tail = document_bytes(root).rpartition(b"/>")  # the last element is the clinical data, still empty
    writer = _Forms(content, dialect)
    pieces = _pieces(writer.snapshot() if kind == SNAPSHOT else writer.transactions())
    first = next(pieces, None)
    if first is None:
        yield head + b"/>" + tail
        return
    yield head + b">\n" + first
    yield from pieces
    yield b"  </ClinicalData>" + tail


def _pieces(texts: Iterable[str]) -> Iterator[bytes]:
    """Texts as bytes, many at once."""
    held: list[str] = []
    size = 0
    for text in texts:
        held.append(text)
        size += len(text)
        if size > PIECE:
            yield "".join(held).encode("utf-8")
            held, size = [], 0
    if held:
        yield "".join(held).encode("utf-8")


def unit_oid(unit: str) -> str:
    """The OID of a unit."""
    return "MU." + {"%": "PERCENT", "V/cm": "V_PER_CM"}.get(unit, unit.upper())


def _root(content: Content, kind: str, dialect: Dialect) -> etree._Element:
    root = etree.Element(f"{{{dialect.namespace}}}ODM", nsmap={None: dialect.namespace})
    attributes = {
        "FileType": kind, **dialect.root, "FileOID": content.file_oid(kind, dialect.version), "CreationDateTime": content.created, "AsOfDateTime": content.created,
        "ODMVersion": dialect.version, "Originator": content.mapping.location_name, "SourceSystem": "Nodus", "SourceSystemVersion": __version__,
    }  # fmt: skip
    for key, value in attributes.items():
        root.set(key, value)
    return root


def attribute_text(text: str) -> str:
    """A text as it stands between double quotes. Raises ``export_invalid`` for a character that no XML holds."""
    return text if _AWKWARD.search(text) is None else _AWKWARD.sub(lambda found: _entity(found.group(), text), text)


def _entity(character: str, text: str) -> str:
    if character not in _ENTITIES:
        raise StudyRefused(f"A text holds the character U+{ord(character):04X}, which XML cannot hold: {text[:40]!r}.", code="export_invalid", hint="Correct the text in the study.")
    return _ENTITIES[character]


def element_text(text: str) -> str:
    """A text as it stands between tags: there quotes, tabs and line feeds need no entity."""
    return attribute_text(text).replace("&quot;", '"').replace("&#10;", "\n").replace("&#9;", "\t")


def _pair(name: str, value: Any) -> str:
    return "" if value is None else f' {name}="{attribute_text(str(value))}"'


class _Forms:
    """Filled-in forms as lines. What is the same for every form of a kind is worked out once."""

    def __init__(self, content: Content, dialect: Dialect) -> None:
        self.content, self.dialect = content, dialect
        self.mapping = content.mapping
        self.sent = {form: frozenset(self.mapping.items(form)) for form in FORMS}
        self._who = lru_cache(maxsize=None)(self._made_who)
        self._open = lru_cache(maxsize=1000)(self._made_open)
        self._frames: dict[tuple[str, str | None], dict[str, tuple[str, str]]] = {}

    def snapshot(self) -> Iterator[str]:
        """The newest version of every form, subject by subject."""
        for subject, mine in groupby(self.content.forms, key=lambda f: f.subject):
            lines = [f"    <SubjectData{_pair('SubjectKey', subject)}>\n"]
            for (oid, repeat), forms in groupby(mine, key=lambda f: (f.event.oid, f.event_repeat)):
                lines.append(self._open(oid, repeat, None))
                for filled in forms:
                    self._form(lines, filled, sent_texts(filled, self.sent[filled.form]))
                lines.append("      </StudyEventData>\n")
            lines.append("    </SubjectData>\n")
            yield "".join(lines)

    def transactions(self) -> Iterator[str]:
        """Every version of every form, in order of time."""
        for change in self.content.changes:
            filled = change.filled
            lines = [f"    <SubjectData{_pair('SubjectKey', filled.subject)} TransactionType=\"Context\">\n", self._open(filled.event.oid, filled.event_repeat, "Context")]
            self._form(lines, filled, change.values, change)
            lines.append("      </StudyEventData>\n    </SubjectData>\n")
            yield "".join(lines)

    def _made_open(self, oid: str, repeat: int | None, kind: str | None) -> str:
        return f"      <StudyEventData{_pair('StudyEventOID', oid)}{_pair('StudyEventRepeatKey', repeat)}{_pair('TransactionType', kind)}>\n"

    def _form(self, lines: list[str], filled: Filled, texts: dict[str, str], change: Change | None = None) -> None:
        """Append a form to ``lines``."""
        dialect, kind = self.dialect, None if change is None else "Insert" if change.first else "Update"
        lines.append(f"        <{dialect.form_tag}{_pair(dialect.form_oid, self.mapping.forms[filled.form]['oid'])} {dialect.form_repeat}=\"{filled.instance}\"{_pair('TransactionType', kind)}>\n")
        if change is not None and dialect.audit_first:
            lines.append(self._audit(filled))
        lines.append(self._values(filled, texts, kind, () if change is None else change.gone))
        if change is not None and not dialect.audit_first:
            lines.append(self._audit(filled))
        lines.append(f"        </{dialect.form_tag}>\n")

    def _values(self, filled: Filled, texts: dict[str, str], kind: str | None, gone: tuple[str, ...]) -> str:
        # The values are of a group that is there already where a form is corrected.
        group = f"          <ItemGroupData{_pair('ItemGroupOID', self.mapping.forms[filled.form]['group_oid'])}{_pair('TransactionType', 'Context' if kind == 'Update' else kind)}"
        # What a correction brings may be new to the form or replace a value: a receiver takes either.
        frames = self._frame(filled.form, "Upsert" if kind == "Update" else kind)
        told, awkward = element_text if self.dialect.value_elements else attribute_text, _AWKWARD.search
        if gone:
            removed = self._frame(filled.form, "Remove")
            lines = [f"{frames[n][0]}{told(texts[n])}{frames[n][1]}" if n in texts else removed[n][0] for n in (i.name for i in FORMS[filled.form]) if n in texts or n in gone]
        else:  # items stand in the form's order
            lines = [f"{(frame := frames[name])[0]}{told(text) if awkward(text) else text}{frame[1]}" for name, text in texts.items()]
        return f"{group}>\n{''.join(lines)}          </ItemGroupData>\n" if lines else f"{group}/>\n"

    def _frame(self, form: str, kind: str | None) -> dict[str, tuple[str, str]]:
        """Item -> what stands before and behind its value."""
        made = self._frames.get((form, kind))
        if made is None:
            made = self._frames[form, kind] = {item.name: self._item_frame(form, item.name, item.unit, kind) for item in FORMS[form] if item.name in self.sent[form]}
        return made

    def _item_frame(self, form: str, name: str, unit: str, kind: str | None) -> tuple[str, str]:
        start = f"            <ItemData{_pair('ItemOID', self.mapping.fields[form, name][0])}{_pair('TransactionType', kind)}"
        if kind == "Remove":
            return f"{start}/>\n", ""
        if self.dialect.value_elements:
            return f"{start}>\n              <Value>", "</Value>\n            </ItemData>\n"
        if unit and self.dialect.units:
            return f'{start} Value="', f'">\n              <MeasurementUnitRef{_pair("MeasurementUnitOID", unit_oid(unit))}/>\n            </ItemData>\n'
        return f'{start} Value="', '"/>\n'

    def _made_who(self, who: tuple[str, str]) -> str:
        return f"            <UserRef{_pair('UserOID', user_oid(who))}/>\n            <LocationRef{_pair('LocationOID', self.mapping.location_oid)}/>\n"

    def _audit(self, filled: Filled) -> str:
        """AuditRecord and, where it was locked with a meaning, Signature."""
        who, when = self._who(person(filled)), f"            <DateTimeStamp>{element_text(filled.utc)}</DateTimeStamp>\n"
        lines = ["          <AuditRecord>\n", who, when]
        if filled.reason:
            lines.append(f"            <ReasonForChange>{element_text(filled.reason)}</ReasonForChange>\n")
        lines.append(f"            <SourceID>{element_text(f'{filled.key}@{filled.version}')}</SourceID>\n          </AuditRecord>\n")
        if filled.meaning:
            oid = self.content.signatures[filled.meaning, filled.note or ""]
            lines += ["          <Signature>\n", who, f"            <SignatureRef{_pair('SignatureOID', oid)}/>\n", when, "          </Signature>\n"]
        return "".join(lines)
