"""Coded entries and report content: what names a concept stays, what somebody typed goes (PS3.15 E.3.5).

A text is kept only where its concept says what it holds: a tracking identifier becomes a token that is the same in
the segmentation and the report, the subject's and the trial's names become those of the trial.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydicom.dataset import Dataset

from dicom_io.deidentify.rules import is_label
from dicom_io.deidentify.uids import token
from dicom_io.headers import item, text

REMOVED = "Removed"
# Schemes that an organisation registers and publishes (PS3.16 8): their meanings are not typed by a reader.
PUBLIC_SCHEMES = frozenset(
    ["DCM", "SCT", "SRT", "SNM3", "LN", "UCUM", "NCIt", "UMLS", "FMA", "RADLEX", "MDC", "ICD10", "I10", "ICDO3", "NCDR", "BI", "ACR", "BARI", "NEU", "UBERON", "RXNORM", "ISO3166_1", "RFC5646", "IBSI", "SBSI", "MSH", "NDC", "POS", "PUBCHEM_CID", "ITIS_TSN", "MAYOASRG", "NICIP", "ICD9", "I9C", "ICD11"]
)
OWN_SCHEME = "99NODUS"
_CODE_TEXT = re.compile(r"[ -~]{0,64}")
_CODE_VALUE = re.compile(r"[A-Za-z0-9._:/%\-\[\]{}^*+()' ]{1,64}")

# (code, scheme) of report texts whose concept says what they hold.
TRACKING_IDENTIFIER = ("112039", "DCM")
SUBJECT_ID = ("126070", "DCM")
PROTOCOL_ID = ("126071", "DCM")
TIME_POINT = ("C2348792", "UMLS")
PLAIN_TEXTS = frozenset({("111001", "DCM"), ("111003", "DCM")})  # name and version of an algorithm


@dataclass(frozen=True, slots=True)
class Words:
    """What may stand in place of a text: the pseudonym, and the trial's own names where there is one."""

    key: bytes
    subject: str
    protocol_id: str = ""
    visit: str = ""


def is_coded(ds: Dataset) -> bool:
    """True for the item of a coded entry."""
    return any(k in ds for k in ("CodeValue", "LongCodeValue", "URNCodeValue"))


def clean_code(source: Dataset, out: Dataset) -> bool:
    """Put the code of ``source`` into ``out``, without what a reader may have typed. True where something was changed."""
    scheme = text(source, "CodingSchemeDesignator") or ""
    public = scheme in PUBLIC_SCHEMES or scheme == OWN_SCHEME
    changed = False
    for keyword in ("CodeValue", "LongCodeValue", "URNCodeValue"):
        value = text(source, keyword)
        if value is not None:
            kept = value if _CODE_VALUE.fullmatch(value) and public else "0"
            setattr(out, keyword, kept)
            changed |= kept != value
    if "CodingSchemeDesignator" in source:
        out.CodingSchemeDesignator = scheme if public else "99REMOVED"
        changed |= not public
    version = text(source, "CodingSchemeVersion")
    if version is not None and re.fullmatch(r"[0-9A-Za-z.]{1,16}", version) and public:
        out.CodingSchemeVersion = version
    meaning = text(source, "CodeMeaning")
    kept = meaning if public and meaning is not None and _CODE_TEXT.fullmatch(meaning) else REMOVED
    out.CodeMeaning = kept
    return changed or kept != meaning


def segment_label(label: str | None, number: int | None) -> str:
    """The label of a segment or region: as it is where it names nobody, else its number."""
    return label if label and is_label(label) else f"Segment {number if number is not None else 0}"


def tracking_id(value: str, key: bytes) -> str:
    """A tracking identifier: as it is where it names nobody, else a token."""
    return value if is_label(value) else token(value, key)


def content_text(source: Dataset, words: Words) -> str:
    """What stands in a TEXT item of a report in place of what was typed."""
    concept = item(source, "ConceptNameCodeSequence") or Dataset()
    code = (text(concept, "CodeValue") or text(concept, "LongCodeValue") or "", text(concept, "CodingSchemeDesignator") or "")
    typed = text(source, "TextValue") or ""
    if code == TRACKING_IDENTIFIER:
        return tracking_id(typed, words.key)
    if code == SUBJECT_ID:
        return words.subject
    if code == PROTOCOL_ID:
        return words.protocol_id or REMOVED
    if code == TIME_POINT:
        return words.visit or token(typed, words.key)
    return typed if code in PLAIN_TEXTS and _CODE_TEXT.fullmatch(typed) else REMOVED
