"""The plane in the patient of every frame of a file, single or multi-frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from dicom_io.headers import integer, item, items, number, numbers, text


@dataclass(frozen=True, slots=True)
class FramePlane:
    """Where one frame lies: centre of its first pixel, row and column directions (LPS), pixel
    spacing (between rows, between columns) in mm, and what tells it from frames at the same place."""

    frame: int
    position_mm: tuple[float, float, float]
    orientation: tuple[float, ...]
    pixel_spacing_mm: tuple[float, float]
    thickness_mm: float | None
    slope: float
    intercept: float
    marks: tuple = ()


def _orthonormal(orientation: list[float]) -> bool:
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    return bool(abs(np.linalg.norm(row) - 1) < 1e-2 and abs(np.linalg.norm(column) - 1) < 1e-2 and abs(float(row @ column)) < 1e-2)


def plane(ds: Dataset, frame: int, position, orientation, spacing, thickness, slope, intercept, marks=()) -> FramePlane | None:
    """A plane of checked numbers; None where position, direction or spacing is absent or impossible."""
    if position is None or orientation is None or spacing is None or min(spacing) <= 0 or not _orthonormal(orientation):
        return None
    unit = np.array(orientation).reshape(2, 3)
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    return FramePlane(
        frame,
        tuple(position),
        tuple(float(v) for v in unit.ravel()),
        tuple(spacing),
        thickness if thickness and thickness > 0 else None,
        1.0 if slope is None or slope == 0 else slope,
        intercept or 0.0,
        marks,
    )


# What tells apart slices that lie in the same place, most telling first.
MARKS = (
    "AcquisitionNumber",
    "EchoNumbers",
    "EchoTime",
    "TemporalPositionIdentifier",
    "ImageType",
    "ConvolutionKernel",
    "KVP",
    "TriggerTime",
    "DiffusionBValue",
    "AcquisitionTime",
)


def _single(ds: Dataset) -> FramePlane | None:
    return plane(
        ds,
        0,
        numbers(ds, "ImagePositionPatient", 3),
        numbers(ds, "ImageOrientationPatient", 6),
        numbers(ds, "PixelSpacing", 2),
        number(ds, "SliceThickness"),
        number(ds, "RescaleSlope"),
        number(ds, "RescaleIntercept"),
        tuple(text(ds, k) for k in MARKS),
    )


def _group(frame: Dataset | None, shared: Dataset | None, keyword: str) -> Dataset:
    """A functional group macro of a frame, else the shared one, else an empty data set."""
    for holder in (frame, shared):
        found = item(holder, keyword) if holder is not None else None
        if found is not None:
            return found
    return Dataset()


def frame_planes(ds: Dataset, frames: int) -> list[FramePlane | None]:
    """One entry a frame, None where a frame's place in the patient is not given.

    Enhanced Ultrasound volumes give their planes in the volume's own frame of reference.
    """
    per_frame = items(ds, "PerFrameFunctionalGroupsSequence")
    shared = item(ds, "SharedFunctionalGroupsSequence")
    if not per_frame and shared is None:
        return [_single(ds)] if frames == 1 else [None] * frames
    out: list[FramePlane | None] = []
    for n in range(frames):
        one = per_frame[n] if n < len(per_frame) else None
        measures = _group(one, shared, "PixelMeasuresSequence")
        rescale = _group(one, shared, "PixelValueTransformationSequence")
        position = numbers(_group(one, shared, "PlanePositionSequence"), "ImagePositionPatient", 3)
        orientation = numbers(_group(one, shared, "PlaneOrientationSequence"), "ImageOrientationPatient", 6)
        if position is None:
            position = numbers(_group(one, shared, "PlanePositionVolumeSequence"), "ImagePositionVolume", 3)
            orientation = numbers(_group(one, shared, "PlaneOrientationVolumeSequence"), "ImageOrientationVolume", 6)
        content = _group(one, shared, "FrameContentSequence")
        echo = _group(one, shared, "MREchoSequence")
        timing = number(_group(one, shared, "TemporalPositionSequence"), "TemporalPositionTimeOffset")
        marks = (
            text(content, "FrameAcquisitionNumber"),
            None,
            text(echo, "EffectiveEchoTime"),
            text(content, "TemporalPositionIndex") or (str(timing) if timing is not None else None),
            text(_group(one, shared, "CTImageFrameTypeSequence"), "FrameType") or text(_group(one, shared, "MRImageFrameTypeSequence"), "FrameType"),
            text(_group(one, shared, "CTReconstructionSequence"), "ConvolutionKernel"),
            text(_group(one, shared, "CTXRayDetailsSequence"), "KVP"),
            text(_group(one, shared, "CardiacSynchronizationSequence"), "NominalCardiacTriggerDelayTime"),
            text(_group(one, shared, "MRDiffusionSequence"), "DiffusionBValue"),
            None,
        )
        out.append(
            plane(
                ds,
                n,
                position,
                orientation,
                numbers(measures, "PixelSpacing", 2),
                number(measures, "SliceThickness"),
                number(rescale, "RescaleSlope") if rescale else number(ds, "RescaleSlope"),
                number(rescale, "RescaleIntercept") if rescale else number(ds, "RescaleIntercept"),
                marks,
            )
        )
    return out


def frame_time_offset_ms(ds: Dataset, frame: int) -> float | None:
    """Time of an enhanced frame within its acquisition, where the header gives one."""
    per_frame = items(ds, "PerFrameFunctionalGroupsSequence")
    if frame >= len(per_frame):
        return None
    offset = number(_group(per_frame[frame], None, "TemporalPositionSequence"), "TemporalPositionTimeOffset")
    return None if offset is None else 1000.0 * offset


def instance_number(ds: Dataset) -> int | None:
    """InstanceNumber, None where absent or not a number."""
    return integer(ds, "InstanceNumber")
