"""What Dataset-JSON 1.1 requires, as a JSON Schema.

A transcription made for this project of the final specification (2024-12-05): members in its order, required ones, data types, patterns, least
lengths. The official schema file is not part of the project. The drafts' ``isReferenceData``, ``dbQueryDateTime`` and ITEMGROUPDATASEQ were
taken out before the final version.
"""

from __future__ import annotations

_TIME = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?(([+-]([01][0-9]|2[0-3]):[0-5][0-9])|Z)?$"
_TEXT = {"type": "string", "minLength": 1}

SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "additionalProperties": False,
    "required": ["datasetJSONCreationDateTime", "datasetJSONVersion", "itemGroupOID", "records", "name", "label", "columns"],
    "properties": {
        "datasetJSONCreationDateTime": {"type": "string", "pattern": _TIME},
        "datasetJSONVersion": {"type": "string", "pattern": r"^1\.1(\.(0|([1-9][0-9]*)))?$"},
        "fileOID": _TEXT,
        "dbLastModifiedDateTime": {"type": "string", "pattern": _TIME},
        "originator": {"type": "string"},
        "sourceSystem": {"type": "object", "additionalProperties": False, "required": ["name", "version"], "properties": {"name": {"type": "string"}, "version": {"type": "string"}}},
        "studyOID": _TEXT,
        "metaDataVersionOID": _TEXT,
        "metaDataRef": {"type": "string"},
        "itemGroupOID": _TEXT,
        "records": {"type": "integer", "minimum": 0},
        "name": _TEXT,
        "label": {"type": "string"},
        "columns": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["itemOID", "name", "label", "dataType"],
                "properties": {
                    "itemOID": _TEXT,
                    "name": _TEXT,
                    "label": {"type": "string"},
                    "dataType": {"enum": ["string", "integer", "decimal", "float", "double", "boolean", "datetime", "date", "time", "URI"]},
                    "targetDataType": {"enum": ["integer", "decimal"]},
                    "length": {"type": "integer", "minimum": 1},
                    "displayFormat": {"type": "string"},
                    "keySequence": {"type": "integer", "minimum": 1},
                },
            },
        },
        "rows": {"type": "array", "items": {"type": "array", "items": {"type": ["string", "number", "boolean", "null"]}}},
    },
}
