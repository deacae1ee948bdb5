"""Define-XML 2.1: what the exported SDTM datasets hold, variable by variable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lxml import etree

from app import __version__
from app.edc.mapping import EdcMapping
from app.edc.sdtm import Dataset
from app.edc.sdtm_columns import Variable
from app.edc.sdtm_terms import CT_VERSION, EVALUATORS, METHODS, RS_TESTS, TR_TESTS, TU_TESTS, UNITS
from app.edc.xsd import checked, document_bytes

ODM = "http://www.cdisc.org/ns/odm/v1.3"
DEF = "http://www.cdisc.org/ns/def/v2.1"
XLINK = "http://www.w3.org/1999/xlink"
_XML = "http://www.w3.org/XML/1998/namespace"
METADATA_OID = "MDV.NODUS.SDTM"
_IG, _MD, _CT = "STD.SDTMIG", "STD.SDTMIG-MD", "STD.CT"
_DEVICE_DOMAINS = ("DI", "DU")
_TYPES = {"text": "text", "integer": "integer", "float": "float", "datetime": "datetime"}
# Variables with a codelist of the exported terms: (codelist name, its C-code, terms with C-code or None, coded values have decodes).
_LISTS: dict[str, tuple[str, str | None, dict[str, tuple[str | None, str | None]]]] = {
    "TUTESTCD": ("Tumor or Lesion Identification Test Code", "C96784", TU_TESTS),
    "TRTESTCD": ("Tumor or Lesion Properties Test Code", "C96779", TR_TESTS),
    "RSTESTCD": ("Oncology Response Assessment Test Code", "C96782", RS_TESTS),
    "METHOD": ("Method", "C85492", {name: (None, code) for name, code in METHODS.values()}),
    "EVAL": ("Evaluator", "C78735", {name: (None, code) for name, _prefix, code in EVALUATORS.values()}),
    "UNIT": ("Unit", "C71620", {name: (None, code) for name, code in UNITS.items()}),
    "SEX": ("Sex", "C66731", {"F": (None, "C16576"), "M": (None, "C20197"), "U": (None, "C17998")}),
    "NY": ("Yes", "C66742", {"Y": (None, "C49488")}),
    "ND": ("Not Done", "C66789", {"NOT DONE": (None, "C49484")}),
}


def item_oid(domain: str, variable: str) -> str:
    """The OID of a variable, the same in Define-XML and in Dataset-JSON."""
    return f"IT.{domain}.{variable}"


def group_oid(domain: str) -> str:
    """The OID of a dataset."""
    return f"IG.{domain}"


def define_bytes(sets: tuple[Dataset, ...], mapping: EdcMapping, created: str, *, suffix: str) -> bytes:
    """Define-XML of the datasets; ``suffix`` is that of their files (``xpt`` or ``json``). Valid by its schema, or
    refused ``export_invalid``."""
    root = etree.Element(f"{{{ODM}}}ODM", nsmap={None: ODM, "def": DEF, "xlink": XLINK})
    for key, value in (
        ("FileType", "Snapshot"), ("FileOID", f"{mapping.study_oid}.DEFINE"), ("ODMVersion", "1.3.2"), ("CreationDateTime", created), ("SourceSystem", "Nodus"),
        ("SourceSystemVersion", __version__),
    ):  # fmt: skip
        root.set(key, value)
    root.set(f"{{{DEF}}}Context", "Other")
    study = _sub(root, "Study", OID=mapping.study_oid)
    names = _sub(study, "GlobalVariables")
    for tag, text in (("StudyName", mapping.study_name), ("StudyDescription", mapping.study_description), ("ProtocolName", mapping.protocol_id)):
        _sub(names, tag).text = text
    version = _sub(study, "MetaDataVersion", OID=METADATA_OID, Name=f"SDTM of {mapping.study_name}", Description="Readings and treatments as exported")
    version.set(f"{{{DEF}}}DefineVersion", "2.1.0")
    standards = _sub(version, "Standards", DEF)
    _sub(standards, "Standard", DEF, OID=_IG, Name="SDTMIG", Type="IG", Version="3.4", Status="Final")
    _sub(standards, "Standard", DEF, OID=_MD, Name="SDTMIG-MD", Type="IG", Version="1.1", Status="Final")
    _sub(standards, "Standard", DEF, OID=_CT, Name="CDISC/NCI", Type="CT", PublishingSet="SDTM", Version=CT_VERSION, Status="Final")
    for one in sets:
        _group(version, one, suffix)
    used: set[str] = set()
    for one in sets:
        for variable in one.domain.variables:
            _item(version, one, variable, used)
    for name in sorted(used):
        _codelist(version, name, _values_of(sets, name))
    method = _sub(version, "MethodDef", OID="MT.CHANGE", Name="Change from baseline or nadir", Type="Computation")
    _describe(method, "100 x (value - baseline) / baseline, the baseline being the same evaluator's last evaluable reading before the first ablation by the same modality and method; absolute change from nadir: value - smallest earlier sum.")
    return checked(document_bytes(root), "define-2.1", "define.xml")


def _sub(parent: etree._Element, tag: str, namespace: str = ODM, **attributes: str) -> etree._Element:
    return etree.SubElement(parent, f"{{{namespace}}}{tag}", **attributes)


def _describe(parent: etree._Element, text: str) -> None:
    words = _sub(_sub(parent, "Description"), "TranslatedText")
    words.set(f"{{{_XML}}}lang", "en")
    words.text = text


def _group(version: etree._Element, one: Dataset, suffix: str) -> None:
    domain = one.domain
    parent = domain.name[4:] if domain.name.startswith("SUPP") else domain.name
    group = _sub(
        version, "ItemGroupDef", OID=group_oid(domain.name), Name=domain.name, Repeating="Yes" if domain.repeating else "No", IsReferenceData="Yes" if domain.reference else "No",
        SASDatasetName=domain.name, Domain=parent, Purpose="Tabulation",
    )  # fmt: skip
    group.set(f"{{{DEF}}}Structure", domain.structure)
    group.set(f"{{{DEF}}}ArchiveLocationID", f"LF.{domain.name}")
    if domain.standard:
        group.set(f"{{{DEF}}}StandardOID", _MD if domain.name in _DEVICE_DOMAINS else _IG)
    else:
        group.set(f"{{{DEF}}}IsNonStandard", "Yes")
    _describe(group, domain.label)
    for number, v in enumerate(domain.variables, start=1):
        ref = _sub(group, "ItemRef", ItemOID=item_oid(domain.name, v.name), OrderNumber=str(number), Mandatory="Yes" if v.core == "Req" else "No", Role=v.role)
        if v.key is not None:
            ref.set("KeySequence", str(v.key))
    kind = _sub(group, "Class", DEF, Name=domain.class_name)
    kind.tail = None
    leaf = _sub(group, "leaf", DEF, ID=f"LF.{domain.name}")
    leaf.set(f"{{{XLINK}}}href", f"{domain.name.lower()}.{suffix}")
    _sub(leaf, "title", DEF).text = f"{domain.name.lower()}.{suffix}"


def _item(version: etree._Element, one: Dataset, v: Variable, used: set[str]) -> None:
    item = _sub(version, "ItemDef", OID=item_oid(one.domain.name, v.name), Name=v.name, DataType=_TYPES[v.kind], SASFieldName=v.name)
    if v.kind == "text":
        item.set("Length", str(one.length(v.name)))
    elif v.kind == "integer":
        item.set("Length", "8")
    elif v.kind == "float":
        digits = max([len(repr(float(x)).split(".")[1].split("e")[0]) for x in one.distinct(v.name) if x is not None] or [1])
        item.set("Length", "24")
        item.set("SignificantDigits", str(digits))
    _describe(item, v.label)
    name = list_of(v.name)
    if name is not None and _values_of((one,), name):
        used.add(name)
        _sub(item, "CodeListRef", CodeListOID=f"CL.{name}")
    origin, source = _origin(v)
    attributes = {"Type": origin} | ({"Source": source} if source else {})
    _sub(item, "Origin", DEF, **attributes)


def _origin(v: Variable) -> tuple[str, str | None]:
    if v.name in ("SUBJID", "SITEID", "ARMCD", "ARM", "ARMNRS", "COUNTRY", "AGSPID", "STUDYID", "RDOMAIN", "DOMAIN", "SPDEVID", "VISITNUM", "VISIT") or v.name.endswith(("SEQ", "TESTCD", "TEST", "LNKID", "LNKGRP", "GRPID", "CAT")):
        return "Assigned", "Sponsor"
    if v.name.startswith("RF") or v.name.endswith(("FL", "STRESC", "STRESN")):
        return "Derived", "Sponsor"
    return "Collected", "Investigator"


def list_of(variable: str) -> str | None:
    """The codelist that a variable's values are of."""
    if variable in _LISTS:
        return variable
    for ending, name in (("METHOD", "METHOD"), ("DOSU", "UNIT"), ("ORRESU", "UNIT"), ("STRESU", "UNIT"), ("FL", "NY"), ("STAT", "ND")):
        if len(variable) == len(ending) + 2 and variable.endswith(ending):
            return name
    if variable[2:] in ("ACPTFL", "LOBXFL"):
        return "NY"
    return "EVAL" if variable[2:] == "EVAL" and variable != "QEVAL" else None


def _values_of(sets: Iterable[Dataset], name: str) -> list[Any]:
    found = {x for one in sets for v in one.domain.variables if list_of(v.name) == name for x in one.distinct(v.name)}
    return sorted(str(x) for x in found if x not in (None, ""))


def _codelist(version: etree._Element, name: str, values: list[str]) -> None:
    title, c_code, terms = _LISTS[name]
    made = _sub(version, "CodeList", OID=f"CL.{name}", Name=title, DataType="text")
    made.set(f"{{{DEF}}}StandardOID", _CT)
    for number, value in enumerate(values, start=1):
        decode, code = terms.get(value, (None, None))
        item = _sub(made, "CodeListItem" if name.endswith("TESTCD") else "EnumeratedItem", CodedValue=value, OrderNumber=str(number))
        if code is None:
            item.set(f"{{{DEF}}}ExtendedValue", "Yes")
        if name.endswith("TESTCD"):
            words = _sub(_sub(item, "Decode"), "TranslatedText")
            words.set(f"{{{_XML}}}lang", "en")
            words.text = decode or value
        if code is not None:
            _sub(item, "Alias", Context="nci:ExtCodeID", Name=code)
    if c_code is not None:
        _sub(made, "Alias", Context="nci:ExtCodeID", Name=c_code)
