"""What Dataset-JSON 1.1 requires, as a JSON Schema.

A transcription made for this project of the published model (members, required ones, data types, patterns). The official
schema file is not part of the project.
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
        "originator": _TEXT,
        "sourceSystem": {"type": "object", "additionalProperties": False, "required": ["name", "version"], "properties": {"name": _TEXT, "version": _TEXT}},
        "studyOID": _TEXT,
        "metaDataVersionOID": _TEXT,
        "metaDataRef": _TEXT,
        "itemGroupOID": _TEXT,
        "isReferenceData": {"type": "boolean"},
        "records": {"type": "integer", "minimum": 0},
        "name": _TEXT,
        "label": _TEXT,
        "columns": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["itemOID", "name", "label", "dataType"],
                "properties": {
                    "itemOID": _TEXT,
                    "name": _TEXT,
                    "label": _TEXT,
                    "dataType": {"enum": ["string", "integer", "decimal", "float", "double", "boolean", "datetime", "date", "time", "URI"]},
                    "targetDataType": {"enum": ["integer", "decimal"]},
                    "length": {"type": "integer", "minimum": 1},
                    "displayFormat": _TEXT,
                    "keySequence": {"type": "integer", "minimum": 1},
                },
            },
        },
        "rows": {"type": "array", "items": {"type": "array", "items": {"type": ["string", "number", "boolean", "null"]}}},
    },
}
