"""Writes the synthetic pictures as valid DICOM files, the same bytes for the same input."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    UltrasoundImageStorage,
    UltrasoundMultiFrameImageStorage,
)

from app.demo.ultrasound import Box
from volumetry.geometry import ImageGeometry

COMMENT = "SYNTHETIC demonstration data; no patient. Investigational use only"
RESCALE_INTERCEPT = -1024


def uid(*names: object) -> str:
    """A UID under 2.25 that follows from ``names`` alone."""
    number = bytearray(hashlib.sha256("|".join(str(n) for n in ("nodus demo", *names)).encode()).digest()[:16])
    number[6] = (number[6] & 0x0F) | 0x80  # a version 8 UUID: made from a hash
    number[8] = (number[8] & 0x3F) | 0x80
    return f"2.25.{int.from_bytes(number, 'big')}"


@dataclass(frozen=True, slots=True)
class Occasion:
    """One visit as the headers tell it."""

    seed: int
    visit: str
    day: date
    patient_name: str = "SYNTHETIC^DEMO"
    patient_id: str = "SYNTHETIC-001"

    @property
    def study_uid(self) -> str:
        """One study a visit."""
        return uid(self.seed, self.patient_id, self.visit, "study")

    @property
    def frame_uid(self) -> str:
        """Frame of reference of the CT of this visit."""
        return uid(self.seed, self.patient_id, self.visit, "frame")


def header(occasion: Occasion, modality: str, series: str, number: int, sop_class: str, instance: int, time: str) -> Dataset:
    """Everything that all files of the case have in common."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = sop_class
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.ImplementationClassUID = uid("implementation")
    ds.file_meta.ImplementationVersionName = "NODUS_DEMO"
    day = occasion.day.strftime("%Y%m%d")
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID = sop_class
    ds.SOPInstanceUID = uid(occasion.seed, occasion.patient_id, occasion.visit, series, instance)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = day
    ds.StudyTime = "093000"
    ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = time
    ds.AccessionNumber = ""
    ds.Modality = modality
    ds.Manufacturer = "SYNTHETIC"
    ds.ManufacturerModelName = "Nodus demonstration case"
    ds.DeviceSerialNumber = "SYNTHETIC"
    ds.SoftwareVersions = "demo 1"
    ds.InstitutionName = "SYNTHETIC"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = f"SYNTHETIC neck {occasion.visit}"
    ds.SeriesDescription = f"SYNTHETIC {series}"
    ds.PatientName = occasion.patient_name
    ds.PatientID = occasion.patient_id
    ds.PatientBirthDate = "19700101"
    ds.PatientSex = "F"
    ds.PatientAge = f"{occasion.day.year - 1970:03d}Y"
    ds.StudyInstanceUID = occasion.study_uid
    ds.SeriesInstanceUID = uid(occasion.seed, occasion.patient_id, occasion.visit, series, "series")
    ds.StudyID = "1"
    ds.SeriesNumber = number
    ds.AcquisitionNumber = 1
    ds.InstanceNumber = instance
    ds.ImageComments = COMMENT
    ds.BurnedInAnnotation = "NO"  # the word SYNTHETIC is in the picture, nothing that names anybody
    ds.LossyImageCompression = "00"
    return ds


def pixels(ds: Dataset, array: np.ndarray) -> None:
    """Store ``array`` uncompressed: grey ``[..., row, column]``, or RGB as uint8 ``[frame, row, column, 3]``."""
    colour = array.ndim == 4
    ds.SamplesPerPixel = 3 if colour else 1
    ds.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        ds.PlanarConfiguration = 0
    ds.Rows, ds.Columns = array.shape[1:3] if colour else array.shape[-2:]
    bits = 8 * array.dtype.itemsize
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit = bits - 1
    ds.PixelRepresentation = 0
    data = np.ascontiguousarray(array).tobytes()
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OW" if bits == 16 else "OB"


def write_ct_series(
    folder: Path, occasion: Occasion, hu: np.ndarray, geometry: ImageGeometry, series: str = "CT neck venous 1.25 mm", before_slice=None
) -> str:
    """Write ``hu[k, j, i]`` (int16) as one axial CT series into ``folder``; gives the series UID.

    ``geometry`` must be axial (i to the left, j to the back, k up). ``before_slice(n, total)`` is
    called for progress and may raise to stop.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ds = header(occasion, "CT", series, 2, CTImageStorage, 1, "093512")
    dx, dy, dz = geometry.spacing_mm
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.BodyPartExamined = "NECK"
    ds.ScanOptions = "HELICAL MODE"
    ds.KVP = 120
    ds.SliceThickness = round(dz, 6)
    ds.SpacingBetweenSlices = round(dz, 6)
    ds.DataCollectionDiameter = 500
    ds.ReconstructionDiameter = round(dx * geometry.shape[2], 3)
    ds.DistanceSourceToDetector = 949
    ds.DistanceSourceToPatient = 541
    ds.GantryDetectorTilt = 0
    ds.TableHeight = 150
    ds.RotationDirection = "CW"
    ds.ExposureTime = 700
    ds.XRayTubeCurrent = 260
    ds.Exposure = 182
    ds.FilterType = "BODY"
    ds.ConvolutionKernel = "SOFT"
    ds.PatientPosition = "HFS"
    ds.ContrastBolusAgent = "Iodinated contrast (SYNTHETIC)"
    ds.ContrastBolusRoute = "INTRAVENOUS"
    ds.ContrastBolusVolume = 80
    ds.FrameOfReferenceUID = occasion.frame_uid
    ds.PositionReferenceIndicator = "SN"
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [round(dy, 6), round(dx, 6)]
    ds.RescaleIntercept = RESCALE_INTERCEPT
    ds.RescaleSlope = 1
    ds.RescaleType = "HU"
    ds.WindowCenter = 40
    ds.WindowWidth = 400
    for k in range(geometry.shape[0]):
        if before_slice is not None:
            before_slice(k, geometry.shape[0])
        x, y, z = geometry.index_to_world((0, 0, k))
        ds.InstanceNumber = geometry.shape[0] - k  # numbered from the head down, as scanners often do
        ds.SOPInstanceUID = uid(occasion.seed, occasion.patient_id, occasion.visit, series, int(ds.InstanceNumber))
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.ImagePositionPatient = [round(float(v), 4) for v in (x, y, z)]
        ds.SliceLocation = round(float(z), 4)
        pixels(ds, (hu[k].astype(np.int32) - RESCALE_INTERCEPT).clip(0, 65535).astype(np.uint16))
        ds.save_as(folder / f"CT{int(ds.InstanceNumber):04d}.dcm", enforce_file_format=True)
    return str(ds.SeriesInstanceUID)


def region(box: Box, data_type: int = 1) -> Dataset:
    """An item of the ultrasound regions: tissue (1) with its scale, else (a colour bar, 14) a box alone."""
    item = Dataset()
    item.RegionSpatialFormat = 1 if data_type == 1 else 0  # 2D, none
    item.RegionDataType = data_type
    item.RegionFlags = 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = box.x0, box.y0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = box.x1, box.y1
    if data_type != 1:
        item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 0
        item.PhysicalDeltaX = item.PhysicalDeltaY = 0.0
        return item
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3  # cm
    item.PhysicalDeltaX = item.PhysicalDeltaY = box.mm_per_pixel / 10
    item.ReferencePixelX0, item.ReferencePixelY0 = (box.x1 - box.x0) // 2, 0
    item.ReferencePixelPhysicalValueX = item.ReferencePixelPhysicalValueY = 0.0
    item.TransducerFrequency = 10000  # kHz
    return item


def ultrasound(ds: Dataset, regions: list[Dataset]) -> None:
    """What ultrasound files have of their own; ``regions`` from ``region``, none: no scale."""
    ds.BodyPartExamined = "NECK"
    ds.PatientOrientation = ""
    ds.TransducerData = ["LINEAR", "SYNTHETIC", ""]
    ds.UltrasoundColorDataPresent = 0
    if regions:
        ds.SequenceOfUltrasoundRegions = Sequence(regions)


def multi_frame(ds: Dataset, intervals_ms: np.ndarray | None, frames: int) -> None:
    """Number of frames, and their true times as a Frame Time Vector; None: no time anywhere."""
    ds.NumberOfFrames = frames
    ds.StartTrim, ds.StopTrim = 1, frames
    ds.PreferredPlaybackSequencing = 0
    if intervals_ms is None:
        return
    ds.FrameIncrementPointer = 0x00181065
    ds.FrameTimeVector = [round(float(v), 3) for v in intervals_ms]
    mean = float(np.mean(intervals_ms[1:]))
    ds.CineRate = ds.RecommendedDisplayFrameRate = max(1, round(1000 / mean))
    ds.ActualFrameDuration = round(mean)


def contrast_agent(ds: Dataset) -> None:
    """The bubbles that were given."""
    ds.ContrastBolusAgent = "Sulphur hexafluoride microbubbles (SYNTHETIC)"
    ds.ContrastBolusRoute = "INTRAVENOUS"
    ds.ContrastBolusVolume = 2.4
    ds.ContrastBolusStartTime = "104500"


def write_still(path: Path, occasion: Occasion, image: np.ndarray, boxes, instance: int, comment: str) -> None:
    """Write one B-mode picture (uint8) with its calibrated regions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ds = header(occasion, "US", "US stills", 3, UltrasoundImageStorage, instance, f"10{instance:02d}30")
    ds.ImageType = ["ORIGINAL", "PRIMARY", "SMALL PARTS", "0001"]
    ds.ImageComments = f"{COMMENT}; {comment}"
    ultrasound(ds, [region(box) for box in boxes])
    pixels(ds, image)
    ds.save_as(path, enforce_file_format=True)


def write_cine(
    path: Path, occasion: Occasion, frames: np.ndarray, intervals_ms: np.ndarray, boxes, comment: str, contrast: bool = True, range_db: float | None = None
) -> None:
    """Write ``frames[n, row, column]`` (uint8) with their true times as a Frame Time Vector; ``range_db`` as Dynamic Range (0018,5030)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ds = header(occasion, "US", "US contrast cine", 4, UltrasoundMultiFrameImageStorage, 1, "104500")
    ds.ImageType = ["ORIGINAL", "PRIMARY", "SMALL PARTS", "0001"]
    ds.ImageComments = f"{COMMENT}; {comment}"
    ultrasound(ds, [region(box) for box in boxes])
    multi_frame(ds, intervals_ms, frames.shape[0])
    if contrast:
        contrast_agent(ds)
    if range_db is not None:
        ds.DynamicRange = f"{range_db:g}"
    pixels(ds, frames)
    ds.save_as(path, enforce_file_format=True)
