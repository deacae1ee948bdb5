"""What a DICOMDIR says lies on its medium.

The records form a tree by byte offsets (PS3.3 F.3); files in circulation have wrong offsets or
none, so the order in which records are stored (each parent before its children) stands in for them.
"""

from __future__ import annotations

from dataclasses import dataclass

import pydicom
from pydicom.dataset import Dataset

from dicom_io.headers import DicomRefused, integer, items, text, value_of
from dicom_io.sources import Source, open_bounded

MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
# Records of a series below these types name files.
SERIES = "SERIES"


@dataclass(frozen=True, slots=True)
class ListedFile:
    """One file that a directory names: its path relative to the directory's folder with forward
    slashes, the kind of record, and the series it belongs to where the tree says so."""

    name: str
    record_type: str
    series_uid: str | None
    sop_uid: str | None


@dataclass(frozen=True, slots=True)
class Directory:
    """The files of a DICOMDIR in its order, and how many of its records name a place outside it."""

    files: tuple[ListedFile, ...]
    outside: int = 0


def read_dicomdir(source: Source) -> Directory:
    """The files that a DICOMDIR lists; records out of use are left out.

    Raises ``DicomRefused`` (``unreadable``, ``not_dicom``) where it is no DICOMDIR or too damaged.
    """
    try:
        with open_bounded(source) as fp:
            ds = pydicom.dcmread(fp, stop_before_pixels=True)
        records = items(ds, "DirectoryRecordSequence")
    except pydicom.errors.InvalidDicomError:
        raise DicomRefused(f"{source.name} is not a DICOM file.", code="not_dicom") from None
    except OSError as error:
        raise DicomRefused(f"{source.name} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # whatever a damaged directory makes the parser raise
        raise DicomRefused(f"{source.name} is a damaged DICOM directory ({type(error).__name__}).") from error
    if text(ds.file_meta, "MediaStorageSOPClassUID") != MEDIA_STORAGE_DIRECTORY:
        raise DicomRefused(f"{source.name} is not a DICOM directory.", code="not_dicom")
    series = _series_of_records(records)
    files, outside = [], 0
    for n, record in enumerate(records):
        parts = _file_id(record)
        if not parts or integer(record, "RecordInUseFlag") == 0:
            continue
        if any(p in ("", ".", "..") or "/" in p or "\\" in p or ":" in p for p in parts):
            outside += 1
            continue
        files.append(ListedFile("/".join(parts), (text(record, "DirectoryRecordType") or "").upper(), series[n], text(record, "ReferencedSOPInstanceUIDInFile")))
    return Directory(tuple(files), outside)


def _file_id(record: Dataset) -> list[str]:
    value = value_of(record, "ReferencedFileID")
    if value is None:
        return []
    return [str(v).strip() for v in ([value] if isinstance(value, str) else value)]


def _series_of_records(records: list[Dataset]) -> list[str | None]:
    """The series each record belongs to: by the offsets where they lead to records, else by order."""
    at = {getattr(r, "seq_item_tell", None): n for n, r in enumerate(records)}
    at.pop(None, None)
    out: list[str | None] = [None] * len(records)
    known = [False] * len(records)
    for record in records:
        if _type(record) != SERIES:
            continue
        uid, seen = text(record, "SeriesInstanceUID"), set()
        child = at.get(integer(record, "OffsetOfReferencedLowerLevelDirectoryEntity") or None)
        while child is not None and child not in seen:
            seen.add(child)
            out[child], known[child] = uid, True
            child = at.get(integer(records[child], "OffsetOfTheNextDirectoryRecord") or None)
    current = None
    for n, record in enumerate(records):
        kind = _type(record)
        if kind == SERIES:
            current = text(record, "SeriesInstanceUID")
        elif kind in ("PATIENT", "STUDY"):
            current = None
        elif not known[n]:
            out[n] = current
    return out


def _type(record: Dataset) -> str:
    return (text(record, "DirectoryRecordType") or "").upper()
