"""The official XML schemas that ``odmlib`` bundles, and what of a document does not fit them."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path

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
    _refuse(schema_faults(data, name), name, what)
    return data


class _Nothing:
    """What a parser makes of a document that is only to be looked through."""

    def close(self) -> None:
        """Nothing is kept."""


def check_file(path: Path, name: str, what: str) -> None:
    """Hold a file of any size by the schema ``name`` while it is read: no tree of it ever stands in memory. Raises ``export_invalid``."""
    parser = etree.XMLParser(target=_Nothing(), schema=_schema(name))
    broken = ""
    try:
        with open(path, "rb") as handle:
            etree.parse(handle, parser)
    except etree.XMLSyntaxError as error:
        broken = str(error)
    # What the schema refuses does not stop such a parser: it stands in its log.
    faults = [f"line {e.line}: {e.message}" for e in parser.error_log if e.level >= etree.ErrorLevels.ERROR]
    _refuse(faults or ([broken] if broken else []), name, what)


def _refuse(faults: list[str], name: str, what: str) -> None:
    if faults:
        raise StudyRefused(f"{what} does not fit the schema {name}: {'; '.join(faults[:3])}", code="export_invalid")


def document_bytes(root: etree._Element) -> bytes:
    """An element as a document in UTF-8 with line feeds, the same every time."""
    etree.indent(root, space="  ")
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8") + b"\n"
