"""What is done to which element: the standard's table for what it lists, "nothing is kept unless it is known to be
harmless" for the rest.

``resources/deidentify/actions.json`` holds the basic profile of PS3.15 Table E.1-1; the profiles beside it name the
options that are taken with it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import Enum
from functools import cache
from importlib import resources

from pydicom.datadict import dictionary_keyword, dictionary_VM, dictionary_VR
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from dicom_io.headers import numbers, text
from volumetry.errors import NodusError


class Action(Enum):
    """What becomes of one element."""

    KEEP = "keep"
    ENTER = "enter"  # a sequence: its items are cleaned
    REMOVE = "removed"
    EMPTY = "emptied"
    DUMMY = "replaced"
    MAP = "mapped"
    SHIFT = "shifted"


@dataclass(frozen=True, slots=True)
class Profile:
    """The basic profile with some of its options. ``codes`` are (CID 7050 code, meaning)."""

    name: str
    title: str
    codes: tuple[tuple[str, str], ...]
    kept: frozenset[str]

    @property
    def shifts_dates(self) -> bool:
        """True where dates are moved, False where they are taken out."""
        return any(code == "113107" for code, _ in self.codes)


def _folder():
    return resources.files("resources") / "deidentify"


def profile_names() -> tuple[str, ...]:
    """The profiles that ship with the program."""
    return tuple(sorted(f.name[:-5] for f in _folder().iterdir() if f.name.endswith(".json") and f.name != "actions.json"))


@cache
def load_profile(name: str) -> Profile:
    """A profile by name. Raises ``NodusError`` (``profile_missing``)."""
    if name not in profile_names():
        raise NodusError(f"There is no de-identification profile {name!r}.", code="profile_missing", hint=f"Use one of {', '.join(profile_names())}.")
    content = json.loads((_folder() / f"{name}.json").read_text("utf-8"))
    return Profile(name, content["title"], tuple(content["options"].items()), frozenset(content["kept_elements"]))


@cache
def table() -> dict[int, tuple[str, str, str]]:
    """The standard's table: tag -> (keyword, VR, action of the basic profile). VR is empty where the dictionary has none."""
    content = json.loads((_folder() / "actions.json").read_text("utf-8"))
    return {int(tag, 16): tuple(row) for tag, row in content["actions"].items()}


# Text that an image needs and that names nobody.
KEEP_TEXT = frozenset(
    [
        "Manufacturer", "ManufacturerModelName", "ConvolutionKernel", "FilterType", "RescaleType", "SequenceName", "PulseSequenceName", "StackID",
        "DimensionDescriptionLabel", "SegmentAlgorithmName", "AlgorithmName", "AlgorithmVersion", "ModalityLUTType", "ImagedNucleus", "ContrastBolusRoute",
        "MIMETypeOfEncapsulatedDocument", "RadiopharmaceuticalRoute", "AttenuationCorrectionMethod", "ReconstructionMethod", "ScatterCorrectionMethod",
    ]
)  # fmt: skip
# Tables of a picture, with the element that says how long they are; kept only at that length.
TABLES = {"LUTData": "LUTDescriptor"} | {f"{c}PaletteColorLookupTableData": f"{c}PaletteColorLookupTableDescriptor" for c in ("Red", "Green", "Blue")}
SEGMENTED_TABLES = frozenset(f"Segmented{c}PaletteColorLookupTableData" for c in ("Red", "Green", "Blue"))
# Pixels are written apart, after the header.
PIXELS = frozenset(["PixelData", "FloatPixelData", "DoubleFloatPixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"])
# About the person or the place, though the standard's table does not list them.
DROP = frozenset(
    [
        "PatientSpeciesDescription", "PatientBreedDescription", "MeasuredAPDimension", "MeasuredLateralDimension", "PatientBodyMassIndex", "QualityControlSubject",
        "TypeOfPatientID", "PatientBirthDateInAlternativeCalendar", "PatientDeathDateInAlternativeCalendar", "PatientAlternativeCalendar", "BodyPartThickness",
        "CodingSchemeURL", "ContextIdentifier", "ContextGroupVersion", "ContextGroupLocalVersion", "ContextGroupExtensionFlag", "ContextGroupExtensionCreatorUID",
        "ContextUID", "MappingResourceUID", "MappingResourceName", "CodingSchemeResourcesSequence", "EquivalentCodeSequence",
        "GraphicAnnotationSequence", "WaveformAnnotationSequence", "FlowIdentifierSequence", "WaveformSequence", "PersonIdentificationCodeSequence",
        "OperatorIdentificationSequence", "SpecificCharacterSet", "TimezoneOffsetFromUTC", "ReferencedFileID", "EncryptedAttributesSequence",
    ]
)  # fmt: skip
# Dates that say nothing about when a picture was made, or too much about a person: never moved, always taken out.
NEVER_SHIFTED = frozenset(
    ["PatientBirthDate", "PatientBirthTime", "LastMenstrualDate", "GPSDateStamp", "GPSTimeStamp", "FunctionalSyncPulse", "TemplateVersion", "TemplateLocalVersion",
     "CurveDate", "CurveTime", "OverlayDate", "OverlayTime", "EthicsCommitteeApprovalEffectivenessStartDate", "EthicsCommitteeApprovalEffectivenessEndDate"]
)  # fmt: skip
# Elements that images of the newer kinds may not leave empty get a dummy where something stood.
PREFER_DUMMY = frozenset(
    ["ContentDate", "ContentTime", "DeviceSerialNumber", "AcquisitionDateTime", "StartAcquisitionDateTime", "EndAcquisitionDateTime", "SoftwareVersions"]
)

TEXT_VRS = frozenset({"LO", "SH", "ST", "LT", "UT", "UC", "UR"})
NUMBER_VRS = frozenset({"US", "SS", "UL", "SL", "UV", "SV", "FL", "FD", "AT"})
BINARY_VRS = frozenset({"OB", "OW", "OF", "OD", "OL", "OV"})
DATE_VRS = frozenset({"DA", "TM", "DT"})
_LEGAL = {
    "CS": re.compile(r"[A-Z0-9 _]{0,16}"),
    "DS": re.compile(r" *([+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?)? *"),
    "IS": re.compile(r" *([+-]?\d+)? *"),
}
_ASCII = re.compile(r"[ -~]{0,64}")
_LABEL = re.compile(r"[A-Za-z]{0,3}[-_ ]?\d{1,3}[A-Za-z]?|[Nn]ode \d{1,3}|[Ss]egment \d{1,3}")


def is_left_out_whole(tag: BaseTag) -> bool:
    """Private elements, group lengths, command, file and directory groups, curves, overlays, signatures and padding."""
    return tag.is_private or tag.elem == 0 or tag.group in (0x0000, 0x0002, 0x0004, 0x0006, 0xFFFA, 0xFFFC) or tag.group & 0xFF00 in (0x5000, 0x6000)


def values_of(value) -> list:
    """The values of an element as a list."""
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue" else [value]


def is_label(text: str) -> bool:
    """True for names like N1, A 12 or node 3: too short and too plain to name a person."""
    return bool(_LABEL.fullmatch(text.strip()))


def _known(tag: BaseTag) -> tuple[str, frozenset[str]] | None:
    """(keyword, VRs) of the dictionary; None for an element that it does not know."""
    try:
        return dictionary_keyword(tag), frozenset(dictionary_VR(tag).replace(" or ", " ").split())
    except KeyError:
        return None


def _reads_as_text(value, vrs: frozenset[str]) -> bool:
    """True where numbers are text in disguise: whole numbers whose bytes are all letters, others of a size that nothing has."""
    values = [v for v in values_of(value) if isinstance(v, (int, float))]
    if vrs & {"FL", "FD"}:
        return any(v != 0 and not 1e-20 <= abs(v) <= 1e20 for v in values)
    raw = value if isinstance(value, bytes) else b"".join(abs(int(v)).to_bytes(8, "little").rstrip(b"\0") for v in values)
    return len(raw) >= 8 and all(32 <= b < 127 for b in raw)


def fits_its_description(keyword: str, value, ds: Dataset) -> bool:
    """True where a table has the length that its descriptor beside it gives, so that nothing else is in it."""
    if keyword in SEGMENTED_TABLES:
        return text(ds, "PhotometricInterpretation") == "PALETTE COLOR"
    described = numbers(ds, TABLES[keyword])
    if not described or len(described) != 3 or (keyword != "LUTData" and text(ds, "PhotometricInterpretation") not in ("PALETTE COLOR", None)):
        return False
    entries = int(described[0]) & 0xFFFF or 65536
    if not isinstance(value, bytes):
        return len(values_of(value)) == entries
    return len(value) in (entries + entries % 2, 2 * entries)


def _too_many(tag: BaseTag, value, vr: str) -> bool:
    """True where more values stand there than the element can have: room to hide something."""
    most = dictionary_VM(tag).split("-")[-1]
    if isinstance(value, bytes):
        return most.isdigit() and len(value) > 2 * int(most)
    return most.isdigit() and len(values_of(value)) > int(most)


def decide(ds: Dataset, tag: BaseTag, profile: Profile) -> Action:
    """What is done to one element of ``ds``. Raises what the parser does where it cannot be read."""
    raw = ds.get_item(tag)
    arrived_as = raw.VR
    element = ds[tag]
    vr, value = str(element.VR), element.value
    if is_left_out_whole(tag):
        return Action.REMOVE
    known, listed = _known(tag), table().get(int(tag))
    if known is None:
        return Action.REMOVE
    keyword, vrs = known
    if keyword in DROP or keyword in PIXELS:
        return Action.REMOVE
    if listed is not None and keyword not in profile.kept:
        return _listed(keyword, listed[2], min(vrs), profile)
    own = frozenset(vr.replace(" or ", " ").split())
    if not own & vrs and not (own <= NUMBER_VRS and vrs <= NUMBER_VRS):
        return Action.REMOVE  # something else than the element is meant to hold
    if arrived_as == "UN" and vrs & (NUMBER_VRS | BINARY_VRS):
        return Action.REMOVE  # bytes that somebody did not know are no numbers yet
    if keyword in TABLES or keyword in SEGMENTED_TABLES:
        return Action.KEEP if fits_its_description(keyword, value, ds) else Action.REMOVE
    return _unlisted(tag, keyword, vrs, value, profile)


def _listed(keyword: str, action: str, vr: str, profile: Profile) -> Action:
    if vr in DATE_VRS and profile.shifts_dates and keyword not in NEVER_SHIFTED:
        return Action.SHIFT
    choices = action.split("/")
    if "U" in choices or "U*" in choices:
        return Action.ENTER if vr == "SQ" else Action.MAP
    if "D" in choices and (len(choices) == 1 or keyword in PREFER_DUMMY):
        return Action.ENTER if vr == "SQ" else Action.DUMMY
    # Names and references that some kinds of object must have stay as empty places; nothing shows in them.
    return Action.REMOVE if "X" in choices and not (vr in ("PN", "SQ") and "Z" in choices) else Action.EMPTY


def _unlisted(tag: BaseTag, keyword: str, vrs: frozenset[str], value, profile: Profile) -> Action:
    if "SQ" in vrs:
        return Action.ENTER
    if "UI" in vrs:
        return Action.MAP
    if vrs & TEXT_VRS:
        plain = all(_ASCII.fullmatch(str(v)) for v in values_of(value))
        if plain and (keyword in KEEP_TEXT or keyword in profile.kept):
            return Action.KEEP
        return Action.DUMMY if keyword in PREFER_DUMMY else Action.EMPTY
    for kind, legal in _LEGAL.items():
        if kind in vrs:
            return Action.KEEP if all(legal.fullmatch(str(v)) for v in values_of(value)) and not _too_many(tag, value, kind) else Action.EMPTY
    if vrs <= NUMBER_VRS:
        return Action.REMOVE if _too_many(tag, value, "US") or _reads_as_text(value, vrs) else Action.KEEP
    return Action.EMPTY if vrs & {"PN", "AE", "AS"} | vrs & DATE_VRS else Action.REMOVE
