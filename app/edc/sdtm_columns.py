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
    repeating: bool = True  # several records a subject
    sparse: bool = False  # a variable that no record has a value for is left out


def _v(*rows: tuple) -> tuple[Variable, ...]:
    return tuple(Variable(*row) for row in rows)


_STUDY = ("STUDYID", "Study Identifier", "text", "Req", "Identifier", 1)
_DOMAIN = ("DOMAIN", "Domain Abbreviation", "text", "Req", "Identifier")
_SUBJECT = ("USUBJID", "Unique Subject Identifier", "text", "Req", "Identifier", 2)
_OF_SUBJECT = (_STUDY, _DOMAIN, _SUBJECT)
_VISITS = (("VISITNUM", "Visit Number", "float", "Exp", "Timing"), ("VISIT", "Visit Name", "text", "Perm", "Timing"))


# What several datasets have in common; ``p`` is the prefix of the domain.


def _sequence(p: str, key: int = 3) -> tuple:
    return (f"{p}SEQ", "Sequence Number", "integer", "Req", "Identifier", key)


def _device(core: str, *key: int) -> tuple:
    return ("SPDEVID", "Sponsor Device Identifier", "text", core, "Identifier", *key)


def _ids(p: str, *names: str, expected: str = "") -> list[tuple]:
    """Identifiers by the end of their name; the one ``expected`` is expected, the others permissible."""
    labels = {"GRPID": "Group ID", "REFID": "Reference ID", "SPID": "Sponsor-Defined Identifier", "LNKID": "Link ID", "LNKGRP": "Link Group ID"}
    return [(f"{p}{name}", labels[name], "text", "Exp" if name == expected else "Perm", "Identifier") for name in names]


def _test(p: str, code: str, name: str) -> list[tuple]:
    return [(f"{p}TESTCD", code, "text", "Req", "Topic"), (f"{p}TEST", name, "text", "Req", "Synonym Qualifier")]


def _values(p: str) -> list[tuple]:
    return [
        (f"{p}ORRES", "Result or Finding in Original Units", "text", "Exp", "Result Qualifier"),
        (f"{p}ORRESU", "Original Units", "text", "Exp", "Variable Qualifier"),
        (f"{p}STRESC", "Character Result/Finding in Std Format", "text", "Exp", "Result Qualifier"),
        (f"{p}STRESN", "Numeric Result/Finding in Standard Units", "float", "Exp", "Result Qualifier"),
        (f"{p}STRESU", "Standard Units", "text", "Exp", "Variable Qualifier"),
    ]


def _not_done(p: str) -> list[tuple]:
    return [(f"{p}STAT", "Completion Status", "text", "Perm", "Record Qualifier"), (f"{p}REASND", "Reason Not Done", "text", "Perm", "Record Qualifier")]


def _judged(p: str, when: str, core: str = "Exp") -> list[tuple]:
    """Who judged, whether that is the accepted record, and when."""
    return [
        (f"{p}LOBXFL", "Last Observation Before Exposure Flag", "text", "Exp", "Record Qualifier"),
        (f"{p}EVAL", "Evaluator", "text", core, "Record Qualifier"),
        (f"{p}EVALID", "Evaluator Identifier", "text", "Perm", "Variable Qualifier"),
        (f"{p}ACPTFL", "Accepted Record Flag", "text", "Perm", "Record Qualifier"),
        *_VISITS,
        (f"{p}DTC", f"Date/Time of {when}", "datetime", "Exp", "Timing"),
    ]


def _place(p: str, label: str, core: str) -> list[tuple]:
    return [(f"{p}LOC", label, "text", core, "Record Qualifier"), (f"{p}LAT", "Laterality", "text", "Perm", "Variable Qualifier")]


def _related(first: str, *rest: tuple) -> list[tuple]:
    """What ties records to those of another domain, or to none."""
    return [
        _STUDY,
        ("RDOMAIN", "Related Domain Abbreviation", "text", "Req", "Identifier", 2),
        ("USUBJID", "Unique Subject Identifier", "text", first, "Identifier", 3),
        *rest,
    ]


def _supp(parent: str) -> Domain:
    return Domain(
        f"SUPP{parent}",
        f"Supplemental Qualifiers for {parent}",
        "RELATIONSHIP",
        "One record per supplemental qualifier per record",
        _v(
            *_related("Req", ("IDVAR", "Identifying Variable", "text", "Exp", "Identifier", 4), ("IDVARVAL", "Identifying Variable Value", "text", "Exp", "Identifier", 5)),
            ("QNAM", "Qualifier Variable Name", "text", "Req", "Topic", 6),
            ("QLABEL", "Qualifier Variable Label", "text", "Req", "Synonym Qualifier"),
            ("QVAL", "Data Value", "text", "Req", "Result Qualifier"),
            ("QORIG", "Origin", "text", "Req", "Record Qualifier"),
            ("QEVAL", "Evaluator", "text", "Exp", "Record Qualifier"),
        ),
    )


def _device_findings(p: str, what: str, core: str) -> tuple[Variable, ...]:
    return _v(
        *_OF_SUBJECT,
        _device("Exp"),
        _sequence(p),
        *_ids(p, "GRPID", "LNKGRP"),
        *_test(p, f"{what} Test Short Name", f"{what} Test Name"),
        (f"{p}CAT", f"Category for {what}", "text", "Perm", "Grouping Qualifier"),
        *_values(p),
        *_VISITS,
        (f"{p}DTC", f"Date/Time of {what}", "datetime", core, "Timing"),
    )


# A subject as far as the study knows it. What it does not know (age, race, consent) has no variable; see ``app.edc.sdtm_people``.
DM = Domain(
    "DM",
    "Demographics",
    "SPECIAL PURPOSE",
    "One record per subject",
    _v(
        *_OF_SUBJECT,
        ("SUBJID", "Subject Identifier for the Study", "text", "Req", "Topic"),
        ("RFSTDTC", "Subject Reference Start Date/Time", "datetime", "Exp", "Record Qualifier"),
        ("RFXSTDTC", "Date/Time of First Study Treatment", "datetime", "Exp", "Record Qualifier"),
        ("RFXENDTC", "Date/Time of Last Study Treatment", "datetime", "Exp", "Record Qualifier"),
        ("RFPENDTC", "Date/Time of End of Participation", "datetime", "Exp", "Record Qualifier"),
        ("DTHDTC", "Date/Time of Death", "datetime", "Exp", "Record Qualifier"),
        ("DTHFL", "Subject Death Flag", "text", "Exp", "Record Qualifier"),
        ("SITEID", "Study Site Identifier", "text", "Exp", "Record Qualifier"),
        ("SEX", "Sex", "text", "Exp", "Record Qualifier"),
        ("ARMCD", "Planned Arm Code", "text", "Exp", "Record Qualifier"),
        ("ARM", "Description of Planned Arm", "text", "Exp", "Synonym Qualifier"),
        ("ARMNRS", "Reason Arm and/or Actual Arm is Null", "text", "Exp", "Record Qualifier"),
        ("COUNTRY", "Country", "text", "Exp", "Record Qualifier"),
    ),
    repeating=False,
    sparse=True,
)
# Contrast agents of the scans that were read. The route and the dose stand only where the pictures tell them.
AG = Domain(
    "AG",
    "Procedure Agents",
    "INTERVENTIONS",
    "One record per agent per scan per subject",
    _v(
        *_OF_SUBJECT,
        _sequence("AG"),
        *_ids("AG", "SPID"),
        ("AGTRT", "Reported Agent Name", "text", "Req", "Topic"),
        ("AGCAT", "Category for Agent", "text", "Perm", "Grouping Qualifier"),
        ("AGDOSE", "Dose", "float", "Exp", "Record Qualifier"),
        ("AGDOSU", "Dose Units", "text", "Exp", "Variable Qualifier"),
        ("AGROUTE", "Route of Administration", "text", "Exp", "Variable Qualifier"),
        *_VISITS,
        ("AGSTDTC", "Start Date/Time of Agent", "datetime", "Exp", "Timing"),
    ),
    sparse=True,
)
TU = Domain(
    "TU",
    "Tumor/Lesion Identification",
    "FINDINGS",
    "One record per identified tumor or lesion per evaluator",
    _v(
        *_OF_SUBJECT,
        _sequence("TU"),
        *_ids("TU", "REFID", "LNKID", expected="LNKID"),
        *_test("TU", "Tumor/Lesion ID Short Name", "Tumor/Lesion ID Test Name"),
        ("TUORRES", "Tumor/Lesion ID Result", "text", "Exp", "Result Qualifier"),
        ("TUSTRESC", "Tumor/Lesion ID Result Std. Format", "text", "Exp", "Result Qualifier"),
        *_place("TU", "Location of the Tumor/Lesion", "Exp"),
        ("TUMETHOD", "Method of Identification", "text", "Exp", "Record Qualifier"),
        *_judged("TU", "Tumor/Lesion Identification"),
    ),
)
# No location stands in TR: it belongs to the tumour (TU), not to the measurement.
TR = Domain(
    "TR",
    "Tumor/Lesion Results",
    "FINDINGS",
    "One record per tumor measurement or assessment per visit per evaluator",
    _v(
        *_OF_SUBJECT,
        _sequence("TR"),
        *_ids("TR", "GRPID", "REFID", "SPID", "LNKID", "LNKGRP", expected="LNKID"),
        *_test("TR", "Tumor/Lesion Assessment Short Name", "Tumor/Lesion Assessment Test Name"),
        *_values("TR"),
        *_not_done("TR"),
        ("TRMETHOD", "Method Used to Identify the Tumor/Lesion", "text", "Exp", "Record Qualifier"),
        *_judged("TR", "Tumor/Lesion Measurement"),
    ),
)
RS = Domain(
    "RS",
    "Disease Response and Clin Classification",
    "FINDINGS",
    "One record per response assessment per visit per evaluator",
    _v(
        *_OF_SUBJECT,
        _sequence("RS"),
        *_ids("RS", "LNKID", "LNKGRP"),
        *_test("RS", "Assessment Short Name", "Assessment Name"),
        ("RSCAT", "Category for Assessment", "text", "Exp", "Grouping Qualifier"),
        ("RSORRES", "Result or Finding in Original Units", "text", "Exp", "Result Qualifier"),
        ("RSSTRESC", "Character Result/Finding in Std Format", "text", "Exp", "Result Qualifier"),
        *_not_done("RS"),
        *_judged("RS", "Assessment", "Perm"),
    ),
)
PR = Domain(
    "PR",
    "Procedures",
    "INTERVENTIONS",
    "One record per recorded procedure per occurrence per subject",
    _v(
        *_OF_SUBJECT,
        _device("Perm"),
        _sequence("PR"),
        *_ids("PR", "SPID", "LNKID", "LNKGRP"),
        ("PRTRT", "Reported Name of Procedure", "text", "Req", "Topic"),
        ("PRDECOD", "Standardized Procedure Name", "text", "Perm", "Synonym Qualifier"),
        ("PRCAT", "Category for Procedure", "text", "Perm", "Grouping Qualifier"),
        *_place("PR", "Location of Procedure", "Perm"),
        ("PRSTDTC", "Start Date/Time of Procedure", "datetime", "Exp", "Timing"),
    ),
)
DU = Domain("DU", "Device-In-Use", "FINDINGS", "One record per setting per pair of electrodes per session", _device_findings("DU", "Device-In-Use", "Perm"))
# Measured currents are results, not settings: they have a findings dataset of the sponsor's own, linked by device and pair.
XD = Domain("XD", "Device Measurements", "FINDINGS", "One record per measured value per pair of electrodes per session", _device_findings("XD", "Device Measurement", "Exp"), standard=False)
DI = Domain(
    "DI",
    "Device Identifiers",
    "STUDY REFERENCE",
    "One record per device identifier per device",
    _v(
        _STUDY,
        _DOMAIN,
        _device("Req", 2),
        _sequence("DI"),
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
        *_related("Exp", ("IDVAR", "Identifying Variable", "text", "Req", "Identifier", 4), ("IDVARVAL", "Identifying Variable Value", "text", "Exp", "Identifier", 5)),
        ("RELTYPE", "Relationship Type", "text", "Exp", "Record Qualifier"),
        ("RELID", "Relationship Identifier", "text", "Req", "Record Qualifier", 6),
    ),
)
SUPPTU, SUPPTR = _supp("TU"), _supp("TR")
DOMAINS: tuple[Domain, ...] = (DM, DI, PR, AG, DU, XD, TU, SUPPTU, TR, SUPPTR, RS, RELREC)
