"""Genuine Enhanced US Volume files (PS3.3 A.59) of analytic ellipsoids: anisotropic, oblique, several time points
and data types."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

from tests.dicom_io.made import uid

ENHANCED_US_VOLUME = "1.2.840.10008.5.1.4.1.1.6.2"
BACKGROUND, INSIDE = 60, 180
DICOM = "DCM"
# Columns: directions of i, j, k in the volume's frame, turned about all three axes.
OBLIQUE = np.linalg.qr(np.array([[0.8, -0.5, 0.3], [0.55, 0.8, -0.2], [-0.15, 0.35, 0.9]]))[0] * [-1, -1, 1]


def code(value: str, scheme: str, meaning: str) -> Dataset:
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = value, scheme, meaning
    return ds


def group(**elements) -> list[Dataset]:
    """A sequence of one item."""
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return [ds]


def ellipsoid_ml(axes_mm: Sequence[float]) -> float:
    """True volume of full axes."""
    return math.pi / 6 * math.prod(axes_mm) / 1000.0


def ellipsoid_array(shape, spacing_mm, axes_mm, *, turn: np.ndarray | None = None, inside: int = INSIDE) -> np.ndarray:
    """Grey values [k, j, i] of an ellipsoid in the middle of a grid; ``turn`` (3x3) turns it against the grid. The
    edge is a voxel wide, its middle value on the surface."""
    nk, nj, ni = shape
    k, j, i = np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in (nk, nj, ni)), indexing="ij")
    points = np.stack([i * spacing_mm[0], j * spacing_mm[1], k * spacing_mm[2]], axis=-1)
    half = np.array(axes_mm) / 2
    local = points @ (np.eye(3) if turn is None else turn)
    level = np.linalg.norm(local / half, axis=-1)
    # Signed distance to the surface to first order: (level - 1) over the gradient of the level.
    gradient = np.linalg.norm(local / half**2, axis=-1) / np.maximum(level, 1e-9)
    distance = (level - 1) / np.maximum(gradient, 1e-9)
    share = np.clip(0.5 - distance / np.mean(spacing_mm), 0, 1)
    return np.rint(BACKGROUND + (inside - BACKGROUND) * share)


def enhanced_us_volume(
    axes_mm: Sequence[float] = (18.0, 12.0, 9.0),
    *,
    shape: tuple[int, int, int] = (30, 50, 60),
    spacing_mm: tuple[float, float, float] = (0.45, 0.4, 0.6),
    direction: np.ndarray | None = None,
    origin_mm: Sequence[float] = (-12.0, 3.0, 25.0),
    turn: np.ndarray | None = None,
    offsets_s: Sequence[float] = (0.0,),
    data_types: Sequence[str] = ("TISSUE_INTENSITY",),
    growth: float = 1.0,
    bits: int = 8,
    number: int = 1,
    to_transducer: np.ndarray | None = None,
    shuffle: bool = False,
) -> Dataset:
    """One file: each time point and data type a stack of ``shape`` (k, j, i) planes.

    ``growth`` multiplies the axes from one time point to the next. ``direction`` has the unit vectors of i, j and k as
    columns. ``shuffle`` stores the planes in a mixed order, as the standard allows.
    """
    direction = np.eye(3) if direction is None else direction
    nk, nj, ni = shape
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = UID(ENHANCED_US_VOLUME)
    ds.file_meta.MediaStorageSOPInstanceUID = uid(62, number)
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = UID(ENHANCED_US_VOLUME), uid(62, number)
    ds.PatientName, ds.PatientID, ds.PatientBirthDate, ds.PatientSex = "Synthetic^Ellipsoid", "SYN-3D", "", ""
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid(62, 0, 1), uid(62, 0, number + 1)
    ds.StudyDate, ds.StudyTime, ds.StudyID, ds.AccessionNumber, ds.ReferringPhysicianName = "20250105", "101500", "1", "", ""
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber = "US", 1, number
    ds.SeriesDescription = "SYNTHETIC ellipsoid"
    ds.SeriesDate, ds.SeriesTime = "20250105", "101500"
    ds.PerformedProtocolCodeSequence = [code("10", "99TEST", "Neck nodes in 3D")]
    ds.PerformedProtocolType = "STAGED"
    ds.StageNumber, ds.NumberOfStages = 1, 1
    ds.StageCodeSequence = [code("128975004", "SCT", "Resting State")]
    ds.Manufacturer, ds.ManufacturerModelName, ds.DeviceSerialNumber, ds.SoftwareVersions = "Nodus tests", "Ellipsoid", "1", "1"
    # Ultrasound Frame of Reference (C.8.24.2)
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid(62, 6), ""
    ds.VolumeFrameOfReferenceUID = uid(62, 9)
    ds.UltrasoundAcquisitionGeometry = "APEX"
    ds.ApexPosition = [0.0, 0.0, -40.0]
    ds.VolumeToTransducerRelationship = "FIXED"
    ds.VolumeToTransducerMappingMatrix = [float(v) for v in (np.eye(4) if to_transducer is None else to_transducer).ravel()]
    # Synchronization
    ds.SynchronizationFrameOfReferenceUID = uid(62, 8)
    ds.SynchronizationTrigger, ds.AcquisitionTimeSynchronized = "NO TRIGGER", "N"
    # Image
    ds.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    ds.ContentDate, ds.ContentTime, ds.AcquisitionDateTime = "20250105", "101500", "20250105101500"
    ds.AcquisitionDuration = 1000.0 * float(offsets_s[-1]) + 250.0
    ds.BurnedInAnnotation, ds.LossyImageCompression, ds.PresentationLUTShape = "NO", "00", "IDENTITY"
    ds.RescaleIntercept, ds.RescaleSlope = "0", "1"
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.Rows, ds.Columns = 1, "MONOCHROME2", nj, ni
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit, ds.PixelRepresentation = bits - 1, 0
    ds.PositionMeasuringDeviceUsed = "RIGID"
    ds.AcquisitionContextSequence = []
    ds.PatientOrientation = ""  # not known: the volume lies in its own frame
    ds.AnatomicRegionSequence = [code("45048000", "SCT", "Neck")]
    ds.ViewCodeSequence = [code("399067008", "SCT", "Medio-lateral")]
    ds.ProcessingFunction, ds.MechanicalIndex = "OTHER", 0.6
    ds.BoneThermalIndex = ds.CranialThermalIndex = ds.SoftTissueThermalIndex = 0.3
    ds.DepthsOfFocus = [20.0]
    ds.DepthOfScanField = 40
    ds.TransducerGeometryCodeSequence = [code("125252", DICOM, "Linear ultrasound transducer geometry")]
    ds.TransducerScanPatternCodeSequence = [code("125241", DICOM, "Volume scan pattern")]
    ds.TransducerBeamSteeringCodeSequence = [code("125259", DICOM, "Mechanical beam steering")]
    ds.TransducerApplicationCodeSequence = [code("125261", DICOM, "External Transducer")]
    # Dimensions: data type, time, place
    organization = Dataset()
    organization.DimensionOrganizationUID = uid(62, 7)
    ds.DimensionOrganizationSequence = [organization]
    ds.DimensionOrganizationType = "3D_TEMPORAL" if len(offsets_s) > 1 else "3D"
    ds.DimensionIndexSequence = [
        group(DimensionIndexPointer=pointer, FunctionalGroupPointer=holder, DimensionOrganizationUID=uid(62, 7), DimensionDescriptionLabel=label)[0]
        for pointer, holder, label in ((0x00189808, 0x00189807, "Data type"), (0x0020930D, 0x00209310, "Time"), (0x00209301, 0x0020930E, "Place"))
    ]
    # Shared
    shared = Dataset()
    shared.PixelMeasuresSequence = group(PixelSpacing=[spacing_mm[1], spacing_mm[0]], SliceThickness=spacing_mm[2] * 1.7)
    shared.PlaneOrientationVolumeSequence = group(ImageOrientationVolume=[float(v) for v in (*direction[:, 0], *direction[:, 1])])
    shared.FrameVOILUTSequence = group(WindowCenter=2 ** (bits - 1), WindowWidth=2**bits)
    shared.USImageDescriptionSequence = group(FrameType=["ORIGINAL", "PRIMARY", "VOLUME", "NONE"], VolumetricProperties="VOLUME", VolumeBasedCalculationTechnique="NONE")
    ds.SharedFunctionalGroupsSequence = [shared]
    per_frame, planes = [], []
    for t, type_ in enumerate(data_types):
        for n, offset in enumerate(offsets_s):
            array = ellipsoid_array(shape, spacing_mm, [a * growth**n for a in axes_mm], turn=turn, inside=INSIDE if type_ == "TISSUE_INTENSITY" else 220)
            for k in range(nk):
                one = Dataset()
                one.FrameContentSequence = group(
                    FrameAcquisitionDateTime=f"20250105101500.{round(offset * 1000):03d}", FrameReferenceDateTime="20250105101500", FrameAcquisitionDuration=10.0,
                    DimensionIndexValues=[t + 1, n + 1, k + 1],
                )  # fmt: skip
                one.PlanePositionVolumeSequence = group(ImagePositionVolume=[float(v) for v in np.asarray(origin_mm) + direction[:, 2] * spacing_mm[2] * k])
                one.TemporalPositionSequence = group(TemporalPositionTimeOffset=float(offset))
                one.ImageDataTypeSequence = group(DataType=type_, AliasedDataType="NO", ZeroVelocityPixelValue=0 if "VELOCITY" in type_ else None)
                if one.ImageDataTypeSequence[0].ZeroVelocityPixelValue is None:
                    del one.ImageDataTypeSequence[0].ZeroVelocityPixelValue
                per_frame.append(one)
                planes.append(array[k])
    order = np.random.default_rng(5).permutation(len(planes)) if shuffle else range(len(planes))
    ds.PerFrameFunctionalGroupsSequence = [per_frame[n] for n in order]
    ds.NumberOfFrames = len(planes)
    stacked = np.stack([planes[n] for n in order])
    raw = (stacked.astype(np.uint8) if bits == 8 else (stacked * 257).astype(np.uint16)).tobytes()
    ds.PixelData = raw + b"\0" * (len(raw) % 2)
    ds["PixelData"].VR = "OB" if bits == 8 else "OW"
    return ds
