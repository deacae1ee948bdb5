"""The official XML schemas that ``odmlib`` bundles, and what of a document does not fit them."""

from __future__ import annotations

from functools import cache
from importlib import resources

from lxml import etree

from app.study.errors import StudyRefused

SCHEMAS = {"odm-1.3.2": "odm/1.3.2/ODM1-3-2.xsd", "odm-2.0": "odm/2.0/ODM.xsd", "define-2.1": "define/2.1/define2-1-0.xsd"}


@cache
def _schema(name: str) -> etree.XMLSchema:
    place = resources.files("odmlib") / "schemas" / SCHEMAS[name]
    with resources.as_file(place) as path:
        return etree.XMLSchema(etree.parse(str(path)))


def schema_faults(data: bytes, name: str) -> list[str]:
    """Every place where a document does not fit the schema ``name`` (of ``SCHEMAS``); empty if it is valid."""
    schema = _schema(name)
    document = etree.fromstring(data)
    return [] if schema.validate(document) else [f"line {e.line}: {e.message}" for e in schema.error_log]


def checked(data: bytes, name: str, what: str) -> bytes:
    """The document itself, once it is known to be valid. Raises ``export_invalid``."""
    faults = schema_faults(data, name)
    if faults:
        raise StudyRefused(f"{what} does not fit the schema {name}: {'; '.join(faults[:3])}", code="export_invalid")
    return data


def document_bytes(root: etree._Element) -> bytes:
    """An element as a document in UTF-8 with line feeds, the same every time."""
    etree.indent(root, space="  ")
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8") + b"\n"
