"""SDTM as CDISC Dataset-JSON 1.1, one dataset a file, with their Define-XML.

Numbers are ``integer`` and ``double``: what a double holds goes through unchanged, so no ``decimal`` (which would travel
as text) is needed.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from app import __version__
from app.edc.define_xml import METADATA_OID, group_oid, item_oid
from app.edc.mapping import EdcMapping
from app.edc.sdtm import Dataset
from app.edc.sdtm_columns import Variable
from app.edc.sdtm_files import write_datasets
from app.edc.sdtm_people import Known
from app.study.model import StudySnapshot

VERSION = "1.1.0"
# Dates may be partial, so they are told as text.
_TYPES = {"text": "string", "integer": "integer", "float": "double", "datetime": "string"}


def write_dataset_json(
    snapshot: StudySnapshot, mapping: EdcMapping, out: Path, *, accepted: Collection[tuple[str, int]] | None = None, known: Known | None = None
) -> dict[str, Any]:
    """Write ``tu.json``, ``tr.json`` and so on, as far as there are rows, and ``define.xml``; returns the receipt. ``known``: what is known
    beside the records.

    Raises ``nothing_locked``, ``export_invalid``, ``export_failed``.
    """
    return write_datasets(snapshot, mapping, out, "json", lambda one, created: dataset_bytes(one, mapping, created), accepted=accepted, known=known)


def dataset_bytes(one: Dataset, mapping: EdcMapping, created: str) -> bytes:
    """One dataset as Dataset-JSON 1.1, one record a line."""
    content = {
        "datasetJSONCreationDateTime": created,
        "datasetJSONVersion": VERSION,
        "fileOID": f"{mapping.study_oid}.{one.domain.name}",
        "dbLastModifiedDateTime": created,
        "originator": mapping.location_name,
        "sourceSystem": {"name": "Nodus", "version": __version__},
        "studyOID": mapping.study_oid,
        "metaDataVersionOID": METADATA_OID,
        "metaDataRef": "define.xml",
        "itemGroupOID": group_oid(one.domain.name),
        "records": len(one.rows),
        "name": one.domain.name,
        "label": one.domain.label,
        "columns": [_column(one, v) for v in one.domain.variables],
    }
    head = json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False).removesuffix("\n}")
    cells = zip(*(_cells(one, v) for v in one.domain.variables), strict=True)
    rows = ",\n  ".join(f"[{', '.join(row)}]" for row in cells)
    return f"{head},\n \"rows\": [\n  {rows}\n ]\n}}\n".encode()


def _cells(one: Dataset, v: Variable) -> list[str]:
    """The values of a variable in JSON, row by row; each different one is worked out once."""
    if v.kind == "float":  # 0.0 and -0.0 are equal, yet not the same
        return ["null" if x is None else float.__repr__(float(x)) for x in one.column(v.name)]
    told = {x: json.dumps(_value(x, v), ensure_ascii=False, allow_nan=False) for x in one.distinct(v.name)}
    return [told[x] for x in one.column(v.name)]


def _value(value: Any, v: Variable) -> Any:
    if value is None:
        return None if v.is_number else ""
    return int(value) if v.kind == "integer" else value


def _column(one: Dataset, v: Variable) -> dict[str, Any]:
    column: dict[str, Any] = {"itemOID": item_oid(one.domain.name, v.name), "name": v.name, "label": v.label, "dataType": _TYPES[v.kind]}
    if not v.is_number:
        # Characters here, where a transport file and the define file count bytes.
        column["length"] = max([len(x) for x in one.distinct(v.name) if x] or [1])
    if v.key is not None:
        column["keySequence"] = v.key
    return column
