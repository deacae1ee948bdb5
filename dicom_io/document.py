"""Writing a report as Encapsulated PDF and a key image as Secondary Capture, both read back before they count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from dicom_io.headers import integer, read_header, value_of
from dicom_io.writing import MANUFACTURER, Stamp, damaged_sources_refused, new_object, not_as_written, replaced_when_checked
from volumetry.errors import NodusError

ENCAPSULATED_PDF = "1.2.840.10008.5.1.4.1.1.104.1"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
DOCUMENT_SERIES, PICTURE_SERIES = 902, 903


@damaged_sources_refused("a document")
def write_pdf(pdf: bytes, source: Dataset, path: Path | str, stamp: Stamp, *, title: str) -> Path:
    """Write the bytes of a PDF as an Encapsulated PDF object (PS3.3 A.45.1) of the study of ``source``.

    The document says itself whether names are burned in; ours carry pseudonyms only (NO). Raises
    ``NodusError``: ``not_a_pdf``, ``study_uid_missing``, ``write_failed``.
    """
    path = Path(path)
    if not pdf.startswith(b"%PDF-"):
        raise NodusError("What was given as a report is not a PDF file.", code="not_a_pdf")
    ds = new_object(ENCAPSULATED_PDF, "DOC", source, stamp, series_number=DOCUMENT_SERIES, description="Report")
    ds.ConversionType = "WSD"
    ds.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    ds.BurnedInAnnotation = "NO"
    ds.AcquisitionDateTime = ""
    ds.DocumentTitle = title[:1024]
    ds.ConceptNameCodeSequence = []
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds.EncapsulatedDocumentLength = len(pdf)
    ds.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    with replaced_when_checked(path) as partial:
        ds.save_as(partial, enforce_file_format=True)
        back = pydicom.dcmread(partial)
        if bytes(back.EncapsulatedDocument)[: back.EncapsulatedDocumentLength] != pdf:
            raise not_as_written(path, "the document")
    return path


def read_pdf(path: Path | str) -> bytes:
    """The PDF inside an Encapsulated PDF object. Raises ``NodusError`` (``not_a_pdf``, or why the
    file cannot be read)."""
    ds = read_header(path).ds
    data = value_of(ds, "EncapsulatedDocument")
    if not isinstance(data, bytes) or not data.startswith(b"%PDF-"):
        raise NodusError(f"{Path(path).name} holds no PDF document.", code="not_a_pdf")
    length = integer(ds, "EncapsulatedDocumentLength")
    return data[:length] if length and len(b"%PDF-") <= length <= len(data) else data


@damaged_sources_refused("a key image")
def write_key_image(picture: np.ndarray, source: Dataset, path: Path | str, stamp: Stamp, *, description: str) -> Path:
    """Write an RGB picture (uint8 ``[row, column, 3]``) as Secondary Capture (PS3.3 A.8.1) of the study of ``source``.

    The picture carries no scale: nobody is to measure on a copy of a screen. Raises ``NodusError``:
    ``bad_shape``, ``study_uid_missing``, ``write_failed``.
    """
    path = Path(path)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or min(picture.shape[:2]) < 1:
        raise NodusError(f"A key image is 8-bit RGB, not {picture.dtype} {picture.shape}.", code="bad_shape")
    ds = new_object(SECONDARY_CAPTURE, "OT", source, stamp, series_number=PICTURE_SERIES, description=description)
    ds.ConversionType = "WSD"
    ds.SecondaryCaptureDeviceManufacturer = MANUFACTURER
    ds.BurnedInAnnotation = "NO"
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.DerivationDescription = f"{description}; copy of the screen, not for measuring"[:1024]
    ds.PatientOrientation = ds.Laterality = ""
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PlanarConfiguration = 3, "RGB", 0
    ds.Rows, ds.Columns = picture.shape[:2]
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    raw = np.ascontiguousarray(picture).tobytes()
    ds.PixelData = raw + b"\0" * (len(raw) % 2)
    ds["PixelData"].VR = "OB"
    with replaced_when_checked(path) as partial:
        ds.save_as(partial, enforce_file_format=True)
        if not np.array_equal(pydicom.dcmread(partial).pixel_array, picture):
            raise not_as_written(path, "the picture")
    return path
