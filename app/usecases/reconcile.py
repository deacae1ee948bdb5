"""Reconcile an EDC's export with the study: what either side has alone, and where a value differs.

Reads REDCap's flat CSV (through the trial's mapping) or Nodus's own ``readings.csv``. Nothing is changed on either side.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.edc.csv_text import guarded, unguarded
from app.edc.dictionary import READINGS, Column
from app.edc.forms import filled_forms
from app.edc.items import FORMS, Item
from app.edc.mapping import EdcMapping
from app.edc.redcap import KEYS, choice_label, field_text
from app.edc.rows import reading_rows
from app.study.errors import StudyRefused
from app.study.store import StudyStore
from app.usecases.export_edc import mapping_of, outgoing_snapshot

MISSING_IN_EDC, MISSING_IN_STUDY, VALUE_DIFFERS, NEWER_IN_STUDY, NEWER_IN_EDC, TWICE = (
    "missing_in_edc", "missing_in_study", "value_differs", "newer_version_in_study", "newer_version_in_edc", "twice_in_edc",
)  # fmt: skip
_FORM_KEYS = {"reading": "reading_id", "treatment": "pair_key"}


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. ``field`` is the item that differs, with both values as text; None for a record as a whole."""

    kind: str
    form: str
    subject: str
    visit: str
    node: str
    key: str
    field: str | None = None
    edc: str | None = None
    study: str | None = None


@dataclass(frozen=True, slots=True)
class _Side:
    """Records of one side: key -> (place, item -> text). ``twice`` lists keys that stood twice."""

    records: dict[tuple[str, str], dict[str, str]]
    twice: tuple[tuple[str, str], ...] = ()
    fields: frozenset[tuple[str, str]] = frozenset()


def reconcile(
    store: StudyStore, export: Path, *, mapping_file: Path | None = None, accepted: Collection[tuple[str, int]] | None = None
) -> dict[str, Any]:
    """Compare an EDC's export with the study's locked readings.

    Returns ``{"ok", "format", "records_in_edc", "records_in_study", "compared", "differences": [...], "fields_not_in_export"}``.
    Raises ``edc_export_refused`` for a file that is neither form, and what the mapping and the file refuse.
    """
    store.require("export")
    head, rows = _read(export)
    snapshot = store.snapshot()
    mapping = mapping_of(store, mapping_file, needed=False)
    if {"reading_id", "reader", "volume_ml"} <= set(head):
        kind, edc = "csv", _own(head, rows)
        ours = reading_rows(outgoing_snapshot(store, mapping, snapshot), accepted)
        columns = {c.name: c for c in READINGS}
        study = _Side({("reading", r["reading_id"]): {n: columns[n].text(r[n]) for n in columns} for r in ours})
        kinds: dict[tuple[str, str], Column | Item] = {("reading", n): c for n, c in columns.items()}
    else:
        mapping = mapping or mapping_of(store, mapping_file)
        if mapping.record_id not in head or KEYS[0] not in head or mapping.fields["reading", "reading_id"][1] not in head:
            raise StudyRefused(
                "This file is neither a flat export of REDCap in this trial's mapping nor a readings.csv of Nodus.",
                code="edc_export_refused",
                hint=f"It needs the columns {mapping.record_id}, {KEYS[0]} and {mapping.fields['reading', 'reading_id'][1]}.",
            )
        kind, edc = "redcap", _redcap(head, rows, mapping)
        study = _Side({(f.form, f.key): _sent(f, mapping) for f in filled_forms(outgoing_snapshot(store, mapping, snapshot), mapping, accepted)})
        kinds = {(form, i.name): i for form, items in FORMS.items() for i in items}
    differences = _compare(edc, study, kinds)
    return {
        "ok": not differences,
        "export": export.name,
        "format": kind,
        "records_in_edc": len(edc.records),
        "records_in_study": len(study.records),
        "compared": len(set(edc.records) & set(study.records)),
        "differences": [asdict(d) for d in differences],
        "fields_not_in_export": sorted(f"{form}.{item}" for form, item in _sent_fields(mapping, kind, kinds) - edc.fields),
    }


def _sent_fields(mapping: EdcMapping | None, kind: str, kinds: dict) -> set[tuple[str, str]]:
    return set(kinds) if kind == "csv" or mapping is None else set(mapping.fields)


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise StudyRefused(f"{path.name} cannot be read: {error.strerror}.", code="edc_export_refused") from error
    except UnicodeDecodeError as error:
        raise StudyRefused(f"{path.name} is not text in UTF-8.", code="edc_export_refused", hint="Export it again as UTF-8.") from error
    lines = list(csv.reader(io.StringIO(text)))
    if not lines or not lines[0]:
        raise StudyRefused(f"{path.name} is empty.", code="edc_export_refused")
    head = lines[0]
    if len(set(head)) != len(head) or any(len(line) != len(head) for line in lines[1:] if line):
        raise StudyRefused(f"{path.name} is no table: a line has another number of cells than the head, or a column stands twice.", code="edc_export_refused")
    return head, [dict(zip(head, line, strict=True)) for line in lines[1:] if line]


def _own(head: list[str], rows: list[dict[str, str]]) -> _Side:
    known = [c.name for c in READINGS if c.name in head]
    texts = {c.name for c in READINGS if c.kind == "text"}
    found = [(("reading", row["reading_id"]), {n: unguarded(row[n]) if n in texts else row[n] for n in known}) for row in rows if row["reading_id"]]
    return _side(found, frozenset(("reading", n) for n in known))


def _redcap(head: list[str], rows: list[dict[str, str]], mapping: EdcMapping) -> _Side:
    fields = {(form, item): name for (form, item), (_oid, name) in mapping.fields.items() if name in head}
    found = []
    for row in rows:
        for form, item in _FORM_KEYS.items():
            key = row.get(mapping.fields.get((form, item), ("", ""))[1], "")
            if key:
                values = {i: row[name] for (f, i), name in fields.items() if f == form}
                found.append(((form, key), values | {"subject": row[mapping.record_id], "_event": row[KEYS[0]]}))
    return _side(found, frozenset(fields))


def _side(found: list[tuple[tuple[str, str], dict[str, str]]], fields: frozenset) -> _Side:
    records: dict[tuple[str, str], dict[str, str]] = {}
    twice = []
    for key, values in found:
        if key in records:
            twice.append(key)
        else:
            records[key] = values
    return _Side(records, tuple(twice), fields)


def _sent(filled: Any, mapping: EdcMapping) -> dict[str, str]:
    texts = filled.texts()
    out = {name: field_text(filled.form, name, texts) for name in mapping.items(filled.form)}
    return out | {"subject": filled.subject, "_event": filled.event.redcap}


def _compare(edc: _Side, study: _Side, kinds: dict) -> list[Difference]:
    out = []
    for key in sorted(set(study.records) | set(edc.records)):
        here, there = study.records.get(key), edc.records.get(key)
        place = _place(key, here or there or {})
        if there is None:
            out.append(Difference(MISSING_IN_EDC, *place))
        elif here is None:
            out.append(Difference(MISSING_IN_STUDY, *place))
        else:
            out += _versions(place, here, there)
            for name in sorted(set(here) & set(there) - {"version"}):
                if not same_value(there[name], here[name], kinds.get((key[0], name))):
                    out.append(Difference(VALUE_DIFFERS, *place, field=name.removeprefix("_"), edc=there[name], study=here[name]))
    out += [Difference(TWICE, *_place(key, edc.records[key])) for key in edc.twice]
    return out


def _versions(place: tuple, here: dict[str, str], there: dict[str, str]) -> list[Difference]:
    ours, theirs = here.get("version", ""), there.get("version", "")
    if not theirs or ours == theirs:
        return []
    try:
        kind = NEWER_IN_STUDY if int(ours) > int(theirs) else NEWER_IN_EDC
    except ValueError:
        kind = VALUE_DIFFERS
    return [Difference(kind, *place, field="version", edc=theirs, study=ours)]


def _place(key: tuple[str, str], values: dict[str, str]) -> tuple[str, str, str, str, str]:
    return key[0], values.get("subject", ""), values.get("visit", "") or values.get("_event", ""), values.get("node", ""), key[1]


def same_value(edc: str, study: str, spec: Column | Item | None) -> bool:
    """Whether two texts say the same: numbers by value, coded values by code or by label, times to the second; a text may stand in the EDC with
    the apostrophe that kept it from running as a formula."""
    kept = guarded(study).strip()
    edc, study = edc.strip(), study.strip()
    if edc == study or spec is None:
        return edc == study
    if spec.kind == "text" and not spec.codes and edc == kept:
        return True
    if not edc or not study:
        return False
    if spec.codes:
        return edc.casefold() == choice_label(study).casefold()
    if spec.kind in ("number", "integer"):
        try:
            left, right = float(edc), float(study)
        except ValueError:
            return False
        return math.isfinite(left) and left == right
    if spec.kind == "datetime":
        return edc[:19].replace("T", " ") == study[:19].replace("T", " ")
    return False
