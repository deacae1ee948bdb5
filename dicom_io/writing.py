"""What every object we write shares: whose it is, who made it, and that it is read back before it counts."""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import os
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from dicom_io.sources import open_bounded
from volumetry.errors import NodusError

LOG = logging.getLogger(__name__)
MANUFACTURER = "Nodus"
MODEL = "Nodus, investigational use only"
INVESTIGATIONAL = "Investigational use only"
# Patient and General Study (PS3.3 C.7.1.1, C.7.2.1), type 2 at least: empty where the source has none.
PATIENT = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
STUDY = ("StudyInstanceUID", "StudyDate", "StudyTime", "ReferringPhysicianName", "StudyID", "AccessionNumber")
# Kept where the source has them: a trial's identity (C.7.1.3, C.7.2.3) and what was done to hide another.
KEPT = (
    "ClinicalTrialSponsorName", "ClinicalTrialProtocolID", "ClinicalTrialProtocolName", "ClinicalTrialSiteID", "ClinicalTrialSiteName", "ClinicalTrialSubjectID",
    "ClinicalTrialSubjectReadingID", "ClinicalTrialTimePointID", "ClinicalTrialTimePointDescription", "LongitudinalTemporalOffsetFromEvent",
    "LongitudinalTemporalEventType", "PatientIdentityRemoved", "DeidentificationMethod",
    "DeidentificationMethodCodeSequence", "LongitudinalTemporalInformationModified", "StudyDescription",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who writes an object and when. ``seed`` names what is written (a study, a reading and its version): the same
    seed gives the same identities, so that writing the same thing twice gives the same bytes; without one they are random.
    ``now`` is UTC; the clock's without it."""

    software_version: str
    seed: str | None = None
    now: dt.datetime | None = None

    @property
    def when(self) -> dt.datetime:
        """The time that goes into the object."""
        return self.now or dt.datetime.now(dt.UTC)

    def uid(self, what: str) -> UID:
        """The UID of one part (``series``, ``instance`` ...), under the 2.25 root (PS3.5 B.2)."""
        if self.seed is None:
            return UID(generate_uid(prefix=None))
        digest = hashlib.sha256(f"{self.seed}|{what}".encode()).digest()
        return UID(f"2.25.{uuid.UUID(bytes=digest[:16], version=4).int}")


def identify(ds: Dataset, stamp: Stamp, what: str, source: Dataset | None = None) -> None:
    """Give an object that a library made our identities and times, and none of its own; from the header ``source`` what
    is said of the trial and of what was hidden (that dates were moved, say), where the library left it out."""
    for keyword in KEPT:
        if source is not None and keyword in source and keyword not in ds:
            setattr(ds, keyword, source.get(keyword))
    ds.SeriesInstanceUID, ds.SOPInstanceUID = stamp.uid(f"{what} series"), stamp.uid(f"{what} instance")
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    for item in [*ds.get("DimensionOrganizationSequence", []), *ds.get("DimensionIndexSequence", [])]:
        item.DimensionOrganizationUID = stamp.uid(f"{what} dimensions")
    for item in ds.get("ContributingEquipmentSequence", []):
        item.ContributionDateTime = f"{stamp.when:%Y%m%d%H%M%S}"
    ds.InstanceCreationDate = ds.ContentDate = f"{stamp.when:%Y%m%d}"
    ds.InstanceCreationTime = ds.ContentTime = f"{stamp.when:%H%M%S}"
    ds.TimezoneOffsetFromUTC = "+0000"
    for keyword in ("SeriesDate", "SeriesTime"):
        if keyword in ds:
            setattr(ds, keyword, f"{stamp.when:%Y%m%d}" if keyword == "SeriesDate" else f"{stamp.when:%H%M%S}")


def read_headers(paths: Sequence[Path]) -> list[Dataset]:
    """Headers, without pixels, of the pictures that a written object belongs to. Raises ``NodusError`` (``not_dicom``)."""
    out = []
    for path in paths:
        try:
            with open_bounded(Path(path)) as fp:
                out.append(pydicom.dcmread(fp, stop_before_pixels=True))
        except Exception as error:  # a damaged header raises whatever its parser meets
            raise NodusError(f"{Path(path).name} cannot be read as DICOM.", code="not_dicom") from error
    return out


def new_object(sop_class: str, modality: str, source: Dataset, stamp: Stamp, *, series_number: int, description: str) -> Dataset:
    """A data set of ``sop_class`` in a new series of the study that ``source`` (a header) belongs to.

    It has the Patient, Study, Series, Equipment and SOP Common modules. The caller adds the rest.
    """
    when = stamp.when
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = UID(sop_class), stamp.uid(f"{modality} instance")
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    for keyword in PATIENT + STUDY:
        setattr(ds, keyword, source.get(keyword) or "")
    if not ds.StudyInstanceUID:
        raise NodusError("The pictures name no study to which this could belong.", code="study_uid_missing")
    for keyword in KEPT:
        if keyword in source:  # also an empty one: a module that is there asks for some of its elements at least empty
            setattr(ds, keyword, source.get(keyword))
    ds.Modality = modality
    ds.SeriesInstanceUID = stamp.uid(f"{modality} series")
    ds.SeriesNumber = series_number
    ds.SeriesDescription = f"{description[:38]} ({INVESTIGATIONAL[:24]})"
    ds.InstanceNumber = 1
    ds.Manufacturer, ds.ManufacturerModelName = MANUFACTURER, MODEL
    ds.DeviceSerialNumber = "0"
    ds.SoftwareVersions = stamp.software_version
    ds.InstanceCreationDate = ds.ContentDate = ds.SeriesDate = f"{when:%Y%m%d}"
    ds.InstanceCreationTime = ds.ContentTime = ds.SeriesTime = f"{when:%H%M%S}"
    ds.TimezoneOffsetFromUTC = "+0000"
    return ds


@contextmanager
def damaged_sources_refused(what: str) -> Iterator[None]:
    """Refuse (``source_header_damaged``) where the headers of the pictures that ``what`` refers to hold values that
    cannot be written or that the writing libraries stumble over; also a decorator."""
    try:
        yield
    except (NodusError, OSError, MemoryError):
        raise
    except Exception as error:  # each library has its own kinds for what it did not expect
        LOG.warning("%s cannot be written", what, exc_info=error)
        raise NodusError(
            f"The headers of the pictures are damaged: {what} that refers to them cannot be written ({type(error).__name__}).",
            code="source_header_damaged",
            hint="Get the pictures again, then export.",
        ) from error


@contextmanager
def replaced_when_checked(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside ``path``. Where the block ends well the file is flushed to disk and
    moved into place; where it raises, nothing is left. Raises ``NodusError`` (``write_failed``) where
    the disk refuses."""
    partial = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".writing-", suffix=".dcm", dir=path.parent)
        os.close(handle)
        partial = Path(name)
        yield partial
        with partial.open("rb+") as stream:
            os.fsync(stream.fileno())
        partial.chmod(0o644)
        os.replace(partial, path)
    except OSError as error:
        raise NodusError(f"{path.name} cannot be written: {error.strerror or error}.", code="write_failed") from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def not_as_written(path: Path, what: str) -> NodusError:
    """The refusal where what was read back is not what was meant."""
    return NodusError(f"{path.name}: {what} did not read back as it was written.", code="write_failed")
