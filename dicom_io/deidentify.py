"""Taking identifying values out of headers before anything is written into a study.

Fail closed: free text, names, dates, private elements and unknown elements go unless they are on a
list of what an image needs (after the Basic Application Level Confidentiality Profile, PS3.15
annex E; everything its table removes or replaces is removed or replaced here too). UIDs are mapped
by a keyed hash, the same for the same key, so that files of a study still refer to each other.
Pixels are not examined: text drawn into a picture stays.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID

from dicom_io.headers import DicomRefused, ProgressReport, check_cancelled, read_header, report, text
from dicom_io.pixels import storage_fault, surplus_bytes
from dicom_io.ultrasound import acquired_on, is_synthetic, iso_date
from volumetry.errors import NodusError

STANDARD_UIDS = "1.2.840.10008."
# Identifies this program's files in the file meta; a fixed UUID under 2.25.
IMPLEMENTATION_UID = "2.25.161204911217482651894236573124519034527"
IMPLEMENTATION_NAME = "NODUS"

# Text that an image needs and that names nobody.
KEEP_TEXT = frozenset(
    [
        "SpecificCharacterSet",
        "Manufacturer",
        "ManufacturerModelName",
        "ConvolutionKernel",
        "FilterType",
        "RescaleType",
        "SequenceName",
        "PulseSequenceName",
        "StackID",
        "DimensionDescriptionLabel",
        "SegmentLabel",
        "SegmentAlgorithmName",
        "CodeValue",
        "LongCodeValue",
        "CodingSchemeDesignator",
        "CodingSchemeVersion",
        "CodeMeaning",
        "MappingResource",
    ]
)
# Sequences that carry geometry, scale, colour or references; within functional groups all macros stay.
KEEP_SEQUENCES = frozenset(
    [
        "SequenceOfUltrasoundRegions",
        "SharedFunctionalGroupsSequence",
        "PerFrameFunctionalGroupsSequence",
        "ModalityLUTSequence",
        "VOILUTSequence",
        "DimensionIndexSequence",
        "DimensionOrganizationSequence",
        "SegmentSequence",
        "ReferencedSeriesSequence",
        "ReferencedInstanceSequence",
        "ReferencedImageSequence",
        "SourceImageSequence",
        "DerivationImageSequence",
        "AnatomicRegionSequence",
        "AnatomicRegionModifierSequence",
        "PrimaryAnatomicStructureSequence",
        "SegmentedPropertyCategoryCodeSequence",
        "SegmentedPropertyTypeCodeSequence",
        "RealWorldValueMappingSequence",
        "MeasurementUnitsCodeSequence",
        "PurposeOfReferenceCodeSequence",
        "ReferencedFrameOfReferenceSequence",
        "RTReferencedStudySequence",
        "RTReferencedSeriesSequence",
        "ContourImageSequence",
        "StructureSetROISequence",
        "ROIContourSequence",
        "ContourSequence",
    ]
)
FUNCTIONAL_GROUPS = frozenset({"SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"})
KEEP_BINARY = frozenset(
    ["PixelData", "FloatPixelData", "DoubleFloatPixelData", "LUTData"]
    + [f"{c}PaletteColorLookupTableData" for c in ("Red", "Green", "Blue")]
    + [f"Segmented{c}PaletteColorLookupTableData" for c in ("Red", "Green", "Blue")]
)
# Numbers and codes about the person.
DROP = frozenset(
    [
        "PatientAge",
        "PatientSize",
        "PatientWeight",
        "PatientSex",
        "PatientSexNeutered",
        "PregnancyStatus",
        "SmokingStatus",
        "PatientBodyMassIndex",
        "EthnicGroup",
        "PatientSpeciesDescription",
        "MeasuredAPDimension",
        "MeasuredLateralDimension",
        "PatientState",
        "QualityControlSubject",
        "OtherPatientIDsSequence",
        "IssuerOfPatientID",
        "TypeOfPatientID",
        "AllergySequence",
        "ClinicalTrialTimePointID",
    ]
)
# Present but empty, as the image modules ask for.
BLANK = (
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
    "StudyID",
    "PatientBirthDate",
    "PatientSex",
)
TEXT_VRS = frozenset({"LO", "SH", "ST", "LT", "UT", "UC", "UR"})
NAME_AND_TIME_VRS = frozenset({"PN", "DA", "TM", "DT", "AS", "AE", "UN"})
BINARY_VRS = frozenset({"OB", "OW", "OF", "OD", "OL", "OV"})
DATES = ("AcquisitionDateTime", "AcquisitionDate", "ContentDate", "SeriesDate", "StudyDate")


@dataclass(frozen=True, slots=True)
class CleanedFile:
    """One file written clean: where, its new UIDs, and what only the study store may keep of it."""

    source: Path
    path: Path
    sop_instance_uid: str
    series_instance_uid: str | None
    acquired_on: str | None
    true_dates: tuple[tuple[str, str], ...]
    changed: tuple[str, ...]


def map_uid(uid: str, salt: bytes) -> str:
    """The UID that stands for ``uid`` under this key; standard UIDs stay. Same in, same out."""
    if uid.startswith(STANDARD_UIDS):
        return uid
    digest = hmac.new(salt, uid.encode("ascii", "replace"), hashlib.sha256).digest()
    return "2.25." + str(int.from_bytes(digest[:16], "big"))


def true_dates(ds: Dataset) -> tuple[tuple[str, str], ...]:
    """(element, ISO date) of the header's acquisition dates, for the study store only."""
    found = ((k, iso_date(text(ds, k))) for k in DATES)
    return tuple((k, d) for k, d in found if d)


def _mapped(value, salt: bytes):
    if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
        return [map_uid(str(v), salt) for v in value]
    return map_uid(str(value), salt) if value else value


def _keep(keyword: str, vr: str, value, inside_groups: bool) -> bool:
    """True where an element other than a UID may stay as it is (sequences: may be entered)."""
    if not keyword or keyword in DROP:
        return False
    if vr == "SQ":
        return inside_groups or keyword in KEEP_SEQUENCES
    if vr in NAME_AND_TIME_VRS:
        return False
    if vr in TEXT_VRS:
        return keyword in KEEP_TEXT
    if vr in BINARY_VRS or "OW" in vr or "OB" in vr:
        return keyword in KEEP_BINARY
    if vr == "CS":
        values = value if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
        return all(len(str(v)) <= 16 for v in values)
    return True


def _clean(ds: Dataset, salt: bytes, changed: list[str], inside_groups: bool = False) -> Dataset:
    out = Dataset()
    for tag in sorted(ds.keys()):
        if tag.is_private or tag.group in (0x0002, 0x0004, 0xFFFC) or 0x5000 <= tag.group <= 0x50FF or 0x6000 <= tag.group <= 0x60FF:
            changed.append(f"{tag}")
            continue
        try:
            element = ds[tag]
            keyword, vr, value = element.keyword, str(element.VR), element.value
        except Exception:  # an element that cannot be read cannot be vouched for
            changed.append(f"{tag}")
            continue
        if vr == "UI":
            out.add_new(tag, vr, _mapped(value, salt))
            if out[tag].value != value:
                changed.append(keyword or f"{tag}")
        elif not _keep(keyword, vr, value, inside_groups):
            changed.append(keyword or f"{tag}")
        elif vr == "SQ":
            deeper = inside_groups or keyword in FUNCTIONAL_GROUPS
            out.add_new(tag, vr, DicomSequence([_clean(entry, salt, changed, deeper) for entry in value]))
        else:
            out.add(element)
    return out


def clean_dataset(ds: Dataset, *, subject: str, salt: bytes) -> Dataset:
    """A copy of ``ds`` that names nobody but the pseudonym ``subject``; ``ds`` is left as it was.

    Dates and times are taken out (see ``true_dates`` for what the store may keep), private and
    unknown elements too. A SYNTHETIC stamp survives in the series description.
    """
    return _clean_with_report(ds, subject, salt)[0]


def _clean_with_report(ds: Dataset, subject: str, salt: bytes) -> tuple[Dataset, list[str]]:
    if not subject or not salt:
        raise NodusError("Cleaning a header needs a pseudonym and a key.", code="pseudonym_missing")
    changed: list[str] = []
    out = _clean(ds, salt, changed)
    for keyword in BLANK:
        setattr(out, keyword, "")
    out.PatientName = subject
    out.PatientID = subject
    out.PatientIdentityRemoved = "YES"
    out.DeidentificationMethod = "Nodus header cleaning; pixels not examined"
    out.LongitudinalTemporalInformationModified = "REMOVED"
    if is_synthetic(ds):
        out.SeriesDescription = "SYNTHETIC"
    # Everything that is left is plain ASCII or this program's own pseudonym.
    out.SpecificCharacterSet = "ISO_IR 192"
    source = getattr(ds, "file_meta", None) or {}
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = out.get("SOPClassUID") or source.get("MediaStorageSOPClassUID", "")
    meta.MediaStorageSOPInstanceUID = out.get("SOPInstanceUID", "")
    meta.TransferSyntaxUID = source.get("TransferSyntaxUID", UID("1.2.840.10008.1.2.1"))
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_NAME
    out.file_meta = meta
    return out, list(dict.fromkeys(changed))


def _trim(ds: Dataset, keep_bytes: int | None) -> None:
    """Cut bytes beyond the declared pixels, where something could hide."""
    if keep_bytes is not None and "PixelData" in ds and not ds["PixelData"].is_undefined_length:
        ds.PixelData = ds.PixelData[: keep_bytes + keep_bytes % 2]


def clean_copy(
    files: Sequence[Path],
    out_dir: Path,
    subject: str,
    salt: bytes,
    *,
    progress: ProgressReport | None = None,
    should_cancel: Callable[[], bool] | None = None,
) -> tuple[CleanedFile, ...]:
    """Write clean copies of ``files`` into ``out_dir``, named by their mapped UIDs.

    Each is written under a temporary name, read back and moved into place. A refusal or a
    cancellation leaves none of them behind. Raises ``DicomRefused`` or ``NodusError``
    (``write_failed``).
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    done: list[CleanedFile] = []
    try:
        for n, source in enumerate(map(Path, files)):
            check_cancelled(should_cancel)
            report(progress, f"Taking names out of file {n + 1} of {len(files)}", n / len(files))
            done.append(_clean_file(source, out_dir, subject, salt))
    except BaseException:
        for one in done:
            one.path.unlink(missing_ok=True)
        raise
    report(progress, f"{len(files)} files are clean", 1.0)
    return tuple(done)


def _clean_file(source: Path, out_dir: Path, subject: str, salt: bytes) -> CleanedFile:
    header = read_header(source)
    fault = storage_fault(header) if header.pixels is not None else None
    if fault is not None:
        raise fault
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = pydicom.dcmread(source)
            if len(ds) == 0:
                raise DicomRefused(f"{source.name} cannot be read to its end.", code="truncated")
            clean, changed = _clean_with_report(ds, subject, salt)
            if surplus_bytes(header):
                _trim(clean, int(-(-header.frame_bytes() * header.frames // 1)))
    except NodusError:
        raise
    except Exception as error:  # a damaged file raises whatever its parser meets
        raise DicomRefused(f"{source.name} cannot be read ({type(error).__name__}).", code="unreadable") from error
    uid = str(clean.get("SOPInstanceUID", "")) or map_uid(source.name, salt)
    target = out_dir / f"{uid}.dcm"
    partial = out_dir / f".writing-{uid}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pydicom.dcmwrite(partial, clean, enforce_file_format=True)
            back = pydicom.dcmread(partial)
        if back.get("PixelData") != clean.get("PixelData") or str(back.get("PatientID")) != subject:
            raise NodusError(f"{source.name} did not read back as it was written.", code="write_failed")
        os.replace(partial, target)
    except OSError as error:
        raise NodusError(f"The clean copy cannot be written: {error.strerror or error}.", code="write_failed") from error
    finally:
        partial.unlink(missing_ok=True)
    return CleanedFile(
        source=source,
        path=target,
        sop_instance_uid=uid,
        series_instance_uid=text(clean, "SeriesInstanceUID"),
        acquired_on=acquired_on(ds),
        true_dates=true_dates(ds),
        changed=tuple(changed),
    )
