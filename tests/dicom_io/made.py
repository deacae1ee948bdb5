"""Small genuine DICOM files for tests, each with just the trouble a test wants."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import UID, ExplicitVRLittleEndian

from dicom_io.writing import Stamp

CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
US = "1.2.840.10008.5.1.4.1.1.6.1"
US_LOOP = "1.2.840.10008.5.1.4.1.1.3.1"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
STAMP = Stamp("0.1")
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def uid(*parts: int) -> UID:
    """A UID that is the same in every run."""
    return UID("2.25.1." + ".".join(str(p) for p in parts))


def base(sop_class: str, sop_uid: UID, series_uid: UID, modality: str) -> Dataset:
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    ds.file_meta.MediaStorageSOPInstanceUID = sop_uid
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID, ds.SOPInstanceUID = UID(sop_class), sop_uid
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid(9, 1), series_uid
    ds.FrameOfReferenceUID = uid(9, 9)
    ds.Modality = modality
    return ds


def add_pixels(ds: Dataset, array: np.ndarray, *, frames: int | None = None) -> Dataset:
    colour = array.ndim >= 3 and array.shape[-1] == 3
    ds.Rows, ds.Columns = (array.shape[-3:-1]) if colour else array.shape[-2:]
    ds.SamplesPerPixel = 3 if colour else 1
    ds.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = ds.BitsStored = 8 * array.itemsize
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(array.dtype.kind == "i")
    if frames is not None:
        ds.NumberOfFrames = frames
    raw = array.tobytes()
    ds.PixelData = raw + b"\0" * (len(raw) % 2)
    ds["PixelData"].VR = "OB" if array.itemsize == 1 else "OW"
    return ds


def save(ds: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def ct_slice(
    position: Sequence[float],
    number: int,
    *,
    orientation: Sequence[float] = AXIAL,
    series: int = 1,
    pixel_spacing: Sequence[float] = (0.8, 0.5),
    array: np.ndarray | None = None,
    sop: int | None = None,
    **elements,
) -> Dataset:
    """One CT slice of 6 rows x 5 columns whose stored values are 1000 + number."""
    ds = base(CT, uid(series, sop if sop is not None else number), uid(series), "CT")
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.ImagePositionPatient = [float(v) for v in position]
    ds.ImageOrientationPatient = [float(v) for v in orientation]
    ds.PixelSpacing = list(pixel_spacing)
    ds.SliceThickness = 7.5
    ds.InstanceNumber = number
    ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    add_pixels(ds, np.full((6, 5), 1000 + number, dtype=np.int16) if array is None else array)
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def ct_stack(folder: Path, offsets: Sequence[float], **elements) -> Path:
    """Axial slices at these z, numbered from 1 in the given order."""
    for n, z in enumerate(offsets, start=1):
        save(ct_slice((10.0, 20.0, z), n, **elements), folder / f"slice{n:03d}.dcm")
    return folder


def region(box, *, delta=(0.01, 0.02), units=(3, 3), spatial=1, data=1, flags=0) -> Dataset:
    ds = Dataset()
    ds.RegionSpatialFormat, ds.RegionDataType, ds.RegionFlags = spatial, data, flags
    ds.RegionLocationMinX0, ds.RegionLocationMinY0, ds.RegionLocationMaxX1, ds.RegionLocationMaxY1 = box
    ds.PhysicalUnitsXDirection, ds.PhysicalUnitsYDirection = units
    ds.PhysicalDeltaX, ds.PhysicalDeltaY = delta
    return ds


def us_picture(regions: Sequence[Dataset] = (), *, frames: int | None = None, rows: int = 60, columns: int = 80, number: int = 1, **elements) -> Dataset:
    """An RGB ultrasound still or loop; frame n is filled with n."""
    ds = base(US if frames is None else US_LOOP, uid(50, number), uid(50), "US")
    shape = (rows, columns, 3) if frames is None else (frames, rows, columns, 3)
    array = np.zeros(shape, dtype=np.uint8)
    if frames is not None:
        array += np.arange(frames, dtype=np.uint8)[:, None, None, None]
    add_pixels(ds, array, frames=frames)
    if regions:
        ds.SequenceOfUltrasoundRegions = DicomSequence(regions)
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def _item(**elements) -> DicomSequence:
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return DicomSequence([ds])


def seg_file(
    frames: Sequence[tuple[int, float, np.ndarray]],
    *,
    segments: Sequence[int],
    spacing_between: float | None = None,
    fractional: bool = False,
    thickness: float = 9.0,
) -> Dataset:
    """A SEG of (segment, z, plane) frames; binary planes are packed bit by bit across frames."""
    ds = base(SEG, uid(70, 1), uid(70), "SEG")
    ds.SegmentationType = "FRACTIONAL" if fractional else "BINARY"
    described = []
    for n in segments:
        entry = Dataset()
        entry.SegmentNumber, entry.SegmentLabel = n, f"node {n}"
        described.append(entry)
    ds.SegmentSequence = DicomSequence(described)
    measures = {"PixelSpacing": [0.5, 0.5], "SliceThickness": thickness}
    if spacing_between is not None:
        measures["SpacingBetweenSlices"] = spacing_between
    shared = Dataset()
    shared.PixelMeasuresSequence = _item(**measures)
    shared.PlaneOrientationSequence = _item(ImageOrientationPatient=list(AXIAL))
    ds.SharedFunctionalGroupsSequence = DicomSequence([shared])
    per_frame = []
    for segment, z, _ in frames:
        one = Dataset()
        one.PlanePositionSequence = _item(ImagePositionPatient=[0.0, 0.0, float(z)])
        one.SegmentIdentificationSequence = _item(ReferencedSegmentNumber=segment)
        per_frame.append(one)
    ds.PerFrameFunctionalGroupsSequence = DicomSequence(per_frame)
    planes = np.stack([p for _, _, p in frames])
    ds.Rows, ds.Columns = planes.shape[1:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.NumberOfFrames = len(frames)
    ds.PixelRepresentation = 0
    if fractional:
        ds.MaximumFractionalValue = 200
        ds.BitsAllocated = ds.BitsStored = 8
        raw = planes.astype(np.uint8).tobytes()
    else:
        ds.BitsAllocated = ds.BitsStored = 1
        raw = np.packbits(planes.astype(np.uint8).ravel(), bitorder="little").tobytes()
    ds.HighBit = ds.BitsStored - 1
    ds.PixelData = raw + b"\0" * (len(raw) % 2)
    ds["PixelData"].VR = "OB"
    return ds
