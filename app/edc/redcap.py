"""REDCap: a flat import file and the project's data dictionary, with its events and repeating forms.

One row a record, event, repeating form and instance. Dates are YMD, times UTC; an empty cell is unknown and, imported
with ``overwriteBehavior=normal``, erases nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from pathlib import Path
from typing import Any

from app.edc.csv_text import csv_bytes, guarded
from app.edc.forms import Filled, filled_forms
from app.edc.items import FORMS, Item
from app.edc.mapping import EdcMapping
from app.edc.output import OutFile, created_utc, write_files
from app.study.errors import StudyRefused
from app.study.model import StudySnapshot

DICTIONARY_HEAD = (
    "Variable / Field Name", "Form Name", "Section Header", "Field Type", "Field Label", "Choices, Calculations, OR Slider Labels", "Field Note",
    "Text Validation Type OR Show Slider Number", "Text Validation Min", "Text Validation Max", "Identifier?", "Branching Logic (Show field only if...)",
    "Required Field?", "Custom Alignment", "Question Number (surveys only)", "Matrix Group Name", "Matrix Ranking?", "Field Annotation",
)  # fmt: skip
VALIDATION = {"integer": "integer", "number": "number", "date": "date_ymd", "datetime": "datetime_seconds_ymd", "text": ""}
KEYS = ("redcap_event_name", "redcap_repeat_instrument", "redcap_repeat_instance")
_TIMES = {(form, i.name) for form, items in FORMS.items() for i in items if i.kind == "datetime"}
_TEXTS = {(form, i.name) for form, items in FORMS.items() for i in items if i.kind == "text" and not i.codes}
COMPLETE = "2"  # REDCap's code for a complete form


def write_redcap(snapshot: StudySnapshot, mapping: EdcMapping, out: Path, *, accepted: Collection[tuple[str, int]] | None = None) -> dict[str, Any]:
    """Write ``import.csv``, ``data_dictionary.csv``, ``events.csv``, ``event_forms.csv`` and ``repeating_forms.csv``.

    Returns the receipt. Raises ``nothing_locked``, ``export_failed``, ``export_invalid``.
    """
    created_utc(snapshot)  # refuses a study without a locked reading
    forms = filled_forms(snapshot, mapping, accepted)
    head, rows = import_rows(forms, mapping)
    dictionary = dictionary_rows(mapping)
    faults = check_rows(head, rows, dictionary)
    if faults:
        raise StudyRefused("The REDCap rows do not fit their own data dictionary: " + "; ".join(faults[:5]) + ".", code="export_invalid")
    sent = [name for name in FORMS if mapping.items(name)]
    events = [[e.name, "1", e.redcap] for e in mapping.events()]
    pairs = [["1", e.redcap, mapping.forms[name]["redcap"]] for e in mapping.events() for name in sent]
    repeating = [[e.redcap, mapping.forms[name]["redcap"], ""] for e in mapping.events() for name in sent]
    tables = (
        ("import.csv", head, rows),
        ("data_dictionary.csv", list(DICTIONARY_HEAD), [[d[c] for c in DICTIONARY_HEAD] for d in dictionary]),
        ("events.csv", ["event_name", "arm_num", "unique_event_name"], events),
        ("event_forms.csv", ["arm_num", "unique_event_name", "form"], pairs),
        ("repeating_forms.csv", ["event_name", "form_name", "custom_form_label"], repeating),
    )
    files = [OutFile(name, csv_bytes(h, r), len(r)) for name, h, r in tables]
    return write_files(out, files, snapshot, readings=sum(f.form == "reading" for f in forms), accepted=accepted)


def import_rows(forms: list[Filled], mapping: EdcMapping) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the flat import file."""
    fields = [(form, item) for form in FORMS for item in mapping.items(form)]
    sent = [form for form in FORMS if mapping.items(form)]
    head = [mapping.record_id, *KEYS, *(mapping.fields[f][1] for f in fields), *(complete_field(mapping, form) for form in sent)]
    done = {name: [COMPLETE if form == name else "" for form in sent] for name in sent}
    rows = []
    for filled in forms:
        if filled.form not in sent:
            continue
        texts = filled.texts()
        cells = [import_text(filled.form, item, texts) if form == filled.form else "" for form, item in fields]
        rows.append([filled.subject, filled.event.redcap, mapping.forms[filled.form]["redcap"], str(filled.instance), *cells, *done[filled.form]])
    return head, rows


def complete_field(mapping: EdcMapping, form: str) -> str:
    """REDCap's own field that says whether a form is complete."""
    return f"{mapping.forms[form]['redcap']}_complete"


def field_text(form: str, item: str, texts: dict[str, str]) -> str:
    """An item as REDCap takes it: times as ``YYYY-MM-DD HH:MM:SS`` in UTC."""
    text = texts.get(item, "")
    if text and (form, item) in _TIMES:
        return text[:19].replace("T", " ")
    return text


def import_text(form: str, item: str, texts: dict[str, str]) -> str:
    """An item as it stands in the import file: no text runs as a formula where somebody opens the file in a spreadsheet."""
    text = field_text(form, item, texts)
    return guarded(text) if (form, item) in _TEXTS else text


def dictionary_rows(mapping: EdcMapping) -> list[dict[str, str]]:
    """The project's data dictionary, one row a field, with REDCap's own column names."""
    empty = dict.fromkeys(DICTIONARY_HEAD, "")
    first = next(name for name in FORMS if mapping.items(name))
    rows = [
        {**empty, "Variable / Field Name": mapping.record_id, "Form Name": mapping.forms[first]["redcap"], "Field Type": "text", "Field Label": "Subject (pseudonym)"}
    ]
    for form, items in FORMS.items():
        for item in items:
            if (form, item.name) in mapping.fields:
                rows.append({**empty, **_field(item, mapping.fields[form, item.name][1], mapping.forms[form]["redcap"])})
    return rows


def _field(item: Item, name: str, form: str) -> dict[str, str]:
    note = " ".join(n for n in (item.unit, "UTC" if item.kind == "datetime" else "") if n)
    out = {
        "Variable / Field Name": name,
        "Form Name": form,
        "Field Type": "text",
        "Field Label": item.label,
        "Field Note": note,
        "Text Validation Type OR Show Slider Number": VALIDATION[item.kind],
        "Required Field?": "y" if item.required else "",
        "Field Annotation": "@READONLY",
    }
    if item.codes:
        out |= {
            "Field Type": "radio",
            "Choices, Calculations, OR Slider Labels": " | ".join(f"{code}, {choice_label(code)}" for code in item.codes),
            "Text Validation Type OR Show Slider Number": "",
        }
    return out


def choice_label(code: str) -> str:
    """What a person reads for a code."""
    return {"0": "No", "1": "Yes", "Y": "Yes", "N": "No"}.get(code, code.replace("_", " "))


def check_rows(head: list[str], rows: list[list[str]], dictionary: list[dict[str, str]]) -> list[str]:
    """Where rows do not fit their data dictionary: unknown fields, choices, types, required fields. Empty if they do."""
    fields = {d["Variable / Field Name"]: d for d in dictionary}
    record = dictionary[0]["Variable / Field Name"]
    forms = {d["Form Name"] for d in dictionary}
    own = {*KEYS, *(f"{form}_complete" for form in forms)}
    faults = [f"{name} is not in the dictionary" for name in head if name not in fields and name not in own]
    told = [(place, name, fields[name]) for place, name in enumerate(head) if name in fields and name != record]
    of_form = {form: [(place, name, spec, _Fits(spec)) for place, name, spec in told if spec["Form Name"] == form] for form in forms}
    foreign = {form: [(place, name) for place, name, spec in told if spec["Form Name"] != form] for form in forms}
    keys = [head.index(name) for name in (record, *KEYS)]
    form_place = head.index("redcap_repeat_instrument")
    seen = set()
    for number, cells in enumerate(rows, start=2):
        key = tuple(cells[place] for place in keys)
        if key in seen:
            faults.append(f"line {number}: the same record, event, form and instance twice")
        seen.add(key)
        form = cells[form_place]
        for place, name, spec, fits in of_form.get(form, ()):
            text = cells[place]
            if text == "":
                faults += [f"line {number}: {name} is required"] if spec["Required Field?"] == "y" else []
            elif not fits[text]:
                faults.append(f"line {number}: {name} does not take {text!r}")
        faults += [f"line {number}: {name} is not of the form {form}" for place, name in foreign.get(form, [(p, n) for p, n, _spec in told]) if cells[place]]
    return faults


class _Fits(dict):
    """Text -> whether a field takes it, worked out once a text."""

    def __init__(self, spec: dict[str, str]) -> None:
        super().__init__()
        self._spec = spec

    def __missing__(self, text: str) -> bool:
        self[text] = found = _fits(text, self._spec)
        return found


def _fits(text: str, spec: dict[str, str]) -> bool:
    if spec["Field Type"] == "radio":
        return text in {c.split(",", 1)[0].strip() for c in spec["Choices, Calculations, OR Slider Labels"].split("|")}
    kind = spec["Text Validation Type OR Show Slider Number"]
    try:
        if kind == "integer":
            int(text)
        elif kind == "number":
            return text.strip("-").replace(".", "", 1).isdigit()
        elif kind == "date_ymd":
            dt.date.fromisoformat(text)
        elif kind == "datetime_seconds_ymd":
            dt.datetime.strptime(text, "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return False
    return True
