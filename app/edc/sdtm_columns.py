"""The variables of the exported SDTM datasets (SDTMIG 3.4, SDTMIG-MD 1.1), declared once.

XPT, Dataset-JSON and Define-XML derive from this list. Names have at most 8 characters, labels at most 40, values of
text at most 200: the limits of a SAS transport file of version 5.
"""

from __future__ import annotations

from dataclasses import dataclass

NAME_LONGEST, LABEL_LONGEST, TEXT_LONGEST = 8, 40, 200


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable. ``kind`` is ``text``, ``integer``, ``float`` or ``datetime``; ``core`` Req, Exp or Perm; ``key`` its
    place among the keys of the dataset, or None."""

    name: str
    label: str
    kind: str
    core: str
    role: str
    key: int | None = None

    @property
    def is_number(self) -> bool:
        """True for what is a number in a transport file."""
        return self.kind in ("integer", "float")


@dataclass(frozen=True, slots=True)
class Domain:
    """One dataset: its name, label, class in Define-XML, one record per what, and its variables in order."""

    name: str
    label: str
    class_name: str
    structure: str
    variables: tuple[Variable, ...]
    reference: bool = False  # no subject data
    standard: bool = True  # of the implementation guide; False: sponsor-defined


def _v(*rows: tuple) -> tuple[Variable, ...]:
    return tuple(Variable(*row) for row in rows)


_STUDY = ("STUDYID", "Study Identifier", "text", "Req", "Identifier", 1)
_DOMAIN = ("DOMAIN", "Domain Abbreviation", "text", "Req", "Identifier")
_SUBJECT = ("USUBJID", "Unique Subject Identifier", "text", "Req", "Identifier", 2)
_DEVICE = ("SPDEVID", "Sponsor Device Identifier", "text", "Exp", "Identifier")
_VISITNUM = ("VISITNUM", "Visit Number", "float", "Exp", "Timing")
_VISIT = ("VISIT", "Visit Name", "text", "Perm", "Timing")


def _supp(name: str, parent: str) -> Domain:
    return Domain(
        name,
        f"Supplemental Qualifiers for {parent}",
        "RELATIONSHIP",
        "One record per supplemental qualifier per record",
        _v(
            ("STUDYID", "Study Identifier", "text", "Req", "Identifier", 1),
            ("RDOMAIN", "Related Domain Abbreviation", "text", "Req", "Identifier", 2),
            ("USUBJID", "Unique Subject Identifier", "text", "Req", "Identifier", 3),
            ("IDVAR", "Identifying Variable", "text", "Exp", "Identifier", 4),
            ("IDVARVAL", "Identifying Variable Value", "text", "Exp", "Identifier", 5),
            ("QNAM", "Qualifier Variable Name", "text", "Req", "Topic", 6),
            ("QLABEL", "Qualifier Variable Label", "text", "Req", "Synonym Qualifier"),
            ("QVAL", "Data Value", "text", "Req", "Result Qualifier"),
            ("QORIG", "Origin", "text", "Req", "Record Qualifier"),
            ("QEVAL", "Evaluator", "text", "Exp", "Record Qualifier"),
        ),
    )


def _device_findings(prefix: str, what: str, *, currents: bool) -> tuple[Variable, ...]:
    rows = [
        _STUDY,
        _DOMAIN,
        _SUBJECT,
        _DEVICE,
        (f"{prefix}SEQ", "Sequence Number", "integer", "Req", "Identifier", 3),
        (f"{prefix}GRPID", "Group ID", "text", "Perm", "Identifier"),
        (f"{prefix}LNKGRP", "Link Group ID", "text", "Perm", "Identifier"),
        (f"{prefix}TESTCD", f"{what} Test Short Name", "text", "Req", "Topic"),
        (f"{prefix}TEST", f"{what} Test Name", "text", "Req", "Synonym Qualifier"),
        (f"{prefix}CAT", f"Category for {what}", "text", "Perm", "Grouping Qualifier"),
        (f"{prefix}ORRES", "Result or Finding in Original Units", "text", "Exp", "Result Qualifier"),
        (f"{prefix}ORRESU", "Original Units", "text", "Exp", "Variable Qualifier"),
        (f"{prefix}STRESC", "Character Result/Finding in Std Format", "text", "Exp", "Result Qualifier"),
        (f"{prefix}STRESN", "Numeric Result/Finding in Standard Units", "float", "Exp", "Result Qualifier"),
        (f"{prefix}STRESU", "Standard Units", "text", "Exp", "Variable Qualifier"),
        _VISITNUM,
        _VISIT,
        (f"{prefix}DTC", f"Date/Time of {what}", "datetime", "Perm" if not currents else "Exp", "Timing"),
    ]
    return _v(*rows)


TU = Domain(
    "TU",
    "Tumor/Lesion Identification",
    "FINDINGS",
    "One record per identified tumor or lesion per evaluator",
    _v(
        _STUDY,
        _DOMAIN,
        _SUBJECT,
        ("TUSEQ", "Sequence Number", "integer", "Req", "Identifier", 3),
        ("TUREFID", "Reference ID", "text", "Perm", "Identifier"),
        ("TULNKID", "Link ID", "text", "Exp", "Identifier"),
        ("TUTESTCD", "Tumor/Lesion ID Short Name", "text", "Req", "Topic"),
        ("TUTEST", "Tumor/Lesion ID Test Name", "text", "Req", "Synonym Qualifier"),
        ("TUORRES", "Tumor/Lesion ID Result", "text", "Exp", "Result Qualifier"),
        ("TUSTRESC", "Tumor/Lesion ID Result Std. Format", "text", "Exp", "Result Qualifier"),
        ("TULOC", "Location of the Tumor/Lesion", "text", "Exp", "Record Qualifier"),
        ("TULAT", "Laterality", "text", "Perm", "Variable Qualifier"),
        ("TUMETHOD", "Method of Identification", "text", "Exp", "Record Qualifier"),
        ("TULOBXFL", "Last Observation Before Exposure Flag", "text", "Exp", "Record Qualifier"),
        ("TUEVAL", "Evaluator", "text", "Exp", "Record Qualifier"),
        ("TUEVALID", "Evaluator Identifier", "text", "Perm", "Variable Qualifier"),
        ("TUACPTFL", "Accepted Record Flag", "text", "Perm", "Record Qualifier"),
        _VISITNUM,
        _VISIT,
        ("TUDTC", "Date/Time of Tumor/Lesion Identification", "datetime", "Exp", "Timing"),
    ),
)
# No location stands in TR: it belongs to the tumour (TU), not to the measurement.
TR = Domain(
    "TR",
    "Tumor/Lesion Results",
    "FINDINGS",
    "One record per tumor measurement or assessment per visit per evaluator",
    _v(
        _STUDY,
        _DOMAIN,
        _SUBJECT,
        ("TRSEQ", "Sequence Number", "integer", "Req", "Identifier", 3),
        ("TRGRPID", "Group ID", "text", "Perm", "Identifier"),
        ("TRREFID", "Reference ID", "text", "Perm", "Identifier"),
        ("TRSPID", "Sponsor-Defined Identifier", "text", "Perm", "Identifier"),
        ("TRLNKID", "Link ID", "text", "Exp", "Identifier"),
        ("TRLNKGRP", "Link Group ID", "text", "Perm", "Identifier"),
        ("TRTESTCD", "Tumor/Lesion Assessment Short Name", "text", "Req", "Topic"),
        ("TRTEST", "Tumor/Lesion Assessment Test Name", "text", "Req", "Synonym Qualifier"),
        ("TRORRES", "Result or Finding in Original Units", "text", "Exp", "Result Qualifier"),
        ("TRORRESU", "Original Units", "text", "Exp", "Variable Qualifier"),
        ("TRSTRESC", "Character Result/Finding in Std Format", "text", "Exp", "Result Qualifier"),
        ("TRSTRESN", "Numeric Result/Finding in Standard Units", "float", "Exp", "Result Qualifier"),
        ("TRSTRESU", "Standard Units", "text", "Exp", "Variable Qualifier"),
        ("TRSTAT", "Completion Status", "text", "Perm", "Record Qualifier"),
        ("TRREASND", "Reason Not Done", "text", "Perm", "Record Qualifier"),
        ("TRMETHOD", "Method Used to Identify the Tumor/Lesion", "text", "Exp", "Record Qualifier"),
        ("TRLOBXFL", "Last Observation Before Exposure Flag", "text", "Exp", "Record Qualifier"),
        ("TREVAL", "Evaluator", "text", "Exp", "Record Qualifier"),
        ("TREVALID", "Evaluator Identifier", "text", "Perm", "Variable Qualifier"),
        ("TRACPTFL", "Accepted Record Flag", "text", "Perm", "Record Qualifier"),
        _VISITNUM,
        _VISIT,
        ("TRDTC", "Date/Time of Tumor/Lesion Measurement", "datetime", "Exp", "Timing"),
    ),
)
RS = Domain(
    "RS",
    "Disease Response and Clin Classification",
    "FINDINGS",
    "One record per response assessment per visit per evaluator",
    _v(
        _STUDY,
        _DOMAIN,
        _SUBJECT,
        ("RSSEQ", "Sequence Number", "integer", "Req", "Identifier", 3),
        ("RSLNKID", "Link ID", "text", "Perm", "Identifier"),
        ("RSLNKGRP", "Link Group ID", "text", "Perm", "Identifier"),
        ("RSTESTCD", "Assessment Short Name", "text", "Req", "Topic"),
        ("RSTEST", "Assessment Name", "text", "Req", "Synonym Qualifier"),
        ("RSCAT", "Category for Assessment", "text", "Exp", "Grouping Qualifier"),
        ("RSORRES", "Result or Finding in Original Units", "text", "Exp", "Result Qualifier"),
        ("RSSTRESC", "Character Result/Finding in Std Format", "text", "Exp", "Result Qualifier"),
        ("RSSTAT", "Completion Status", "text", "Perm", "Record Qualifier"),
        ("RSREASND", "Reason Not Done", "text", "Perm", "Record Qualifier"),
        ("RSLOBXFL", "Last Observation Before Exposure Flag", "text", "Exp", "Record Qualifier"),
        ("RSEVAL", "Evaluator", "text", "Perm", "Record Qualifier"),
        ("RSEVALID", "Evaluator Identifier", "text", "Perm", "Variable Qualifier"),
        ("RSACPTFL", "Accepted Record Flag", "text", "Perm", "Record Qualifier"),
        _VISITNUM,
        _VISIT,
        ("RSDTC", "Date/Time of Assessment", "datetime", "Exp", "Timing"),
    ),
)
PR = Domain(
    "PR",
    "Procedures",
    "INTERVENTIONS",
    "One record per recorded procedure per occurrence per subject",
    _v(
        _STUDY,
        _DOMAIN,
        _SUBJECT,
        ("SPDEVID", "Sponsor Device Identifier", "text", "Perm", "Identifier"),
        ("PRSEQ", "Sequence Number", "integer", "Req", "Identifier", 3),
        ("PRSPID", "Sponsor-Defined Identifier", "text", "Perm", "Identifier"),
        ("PRLNKID", "Link ID", "text", "Perm", "Identifier"),
        ("PRLNKGRP", "Link Group ID", "text", "Perm", "Identifier"),
        ("PRTRT", "Reported Name of Procedure", "text", "Req", "Topic"),
        ("PRDECOD", "Standardized Procedure Name", "text", "Perm", "Synonym Qualifier"),
        ("PRCAT", "Category for Procedure", "text", "Perm", "Grouping Qualifier"),
        ("PRLOC", "Location of Procedure", "text", "Perm", "Record Qualifier"),
        ("PRLAT", "Laterality", "text", "Perm", "Variable Qualifier"),
        ("PRSTDTC", "Start Date/Time of Procedure", "datetime", "Exp", "Timing"),
    ),
)
DU = Domain("DU", "Device-In-Use", "FINDINGS", "One record per setting per pair of electrodes per session", _device_findings("DU", "Device-In-Use", currents=False))
# Measured currents are results, not settings: they have a findings dataset of the sponsor's own, linked by device and pair.
XD = Domain(
    "XD", "Device Measurements", "FINDINGS", "One record per measured value per pair of electrodes per session", _device_findings("XD", "Device Measurement", currents=True), standard=False
)
DI = Domain(
    "DI",
    "Device Identifiers",
    "STUDY REFERENCE",
    "One record per device identifier per device",
    _v(
        _STUDY,
        _DOMAIN,
        ("SPDEVID", "Sponsor Device Identifier", "text", "Req", "Identifier", 2),
        ("DISEQ", "Sequence Number", "integer", "Req", "Identifier", 3),
        ("DIPARMCD", "Device Identifier Element Short Name", "text", "Req", "Topic"),
        ("DIPARM", "Device Identifier Element Name", "text", "Req", "Synonym Qualifier"),
        ("DIVAL", "Device Identifier Element Value", "text", "Req", "Result Qualifier"),
    ),
    reference=True,
)
RELREC = Domain(
    "RELREC",
    "Related Records",
    "RELATIONSHIP",
    "One record per related record, group of records or dataset",
    _v(
        ("STUDYID", "Study Identifier", "text", "Req", "Identifier", 1),
        ("RDOMAIN", "Related Domain Abbreviation", "text", "Req", "Identifier", 2),
        ("USUBJID", "Unique Subject Identifier", "text", "Exp", "Identifier", 3),
        ("IDVAR", "Identifying Variable", "text", "Req", "Identifier", 4),
        ("IDVARVAL", "Identifying Variable Value", "text", "Exp", "Identifier", 5),
        ("RELTYPE", "Relationship Type", "text", "Exp", "Record Qualifier"),
        ("RELID", "Relationship Identifier", "text", "Req", "Record Qualifier", 6),
    ),
)
SUPPTU, SUPPTR = _supp("SUPPTU", "TU"), _supp("SUPPTR", "TR")
DOMAINS: tuple[Domain, ...] = (DI, PR, DU, XD, TU, SUPPTU, TR, SUPPTR, RS, RELREC)
