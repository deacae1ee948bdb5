"""The plane in the patient of every frame of a file, single or multi-frame."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from dicom_io.elements import Elements
from dicom_io.headers import integer, item, items, number, numbers, text, value_of
from volumetry.finding import Finding

# A gantry nearer to upright than this is not called tilted.
TILT_DEG = 0.5


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
    group: str | None = None  # planes of different groups (data types of an ultrasound volume) never share a stack
    rescaled_to: str | None = None  # what slope and intercept turn stored values into; None where the header does not say how


def _unit_directions(orientation: Sequence[float]) -> tuple[float, ...] | None:
    """Row and column directions of length one; None where they are not unit vectors at right angles."""
    row, column = orientation[:3], orientation[3:]
    lengths = math.hypot(*row), math.hypot(*column)
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(sum(map(operator.mul, row, column)))) >= 1e-2:
        return None
    return (*(float(v) / lengths[0] for v in row), *(float(v) / lengths[1] for v in column))


def _rescaled_to(ds: Dataset | dict, slope: float | None, intercept: float | None, units: str | None) -> str | None:
    """The unit of rescaled values: the one stated (``units`` in PET), else HU, which is what a CT without a type means
    (PS3.3 C.8.2.1); None without a usable slope and intercept, or where a table stands in their place."""
    if not slope or value_of(ds, "ModalityLUTSequence") is not None:
        return None
    if units is not None:
        return units.upper()
    if intercept is None:
        return None
    return (text(ds, "RescaleType") or "HU").upper()


def plane(ds: Dataset, frame: int, position, orientation, spacing, thickness, slope, intercept, marks=(), rescaled_to=None) -> FramePlane | None:
    """A plane of checked numbers; None where position, direction or spacing is absent or impossible."""
    if position is None or orientation is None or spacing is None or min(spacing) <= 0:
        return None
    unit = _unit_directions(orientation)
    if unit is None:
        return None
    return FramePlane(
        frame,
        tuple(position),
        unit,
        tuple(spacing),
        thickness if thickness and thickness > 0 else None,
        1.0 if slope is None or slope == 0 else slope,
        intercept or 0.0,
        marks,
        rescaled_to=rescaled_to,
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
    slope, intercept = number(ds, "RescaleSlope"), number(ds, "RescaleIntercept")
    return plane(
        ds,
        0,
        numbers(ds, "ImagePositionPatient", 3),
        numbers(ds, "ImageOrientationPatient", 6),
        numbers(ds, "PixelSpacing", 2),
        number(ds, "SliceThickness"),
        slope,
        intercept,
        tuple(text(ds, k) for k in MARKS),
        _rescaled_to(ds, slope, intercept, text(ds, "Units")),
    )


def group_of(frame: Dataset | None, shared: Dataset | None, keyword: str) -> Dataset | dict:
    """A functional group macro of a frame, else the shared one, else an empty mapping."""
    for holder in (frame, shared):
        found = item(holder, keyword) if holder is not None else None
        if found is not None:
            return found
    return {}


def _groups(shared: Dataset | None) -> Callable[[Dataset | None, str], Dataset | dict]:
    """``group_of`` for many frames of one file: what is shared is looked up once, and what a frame does
    not have is not asked for."""
    known: dict[str, tuple[BaseTag, Dataset | dict]] = {}

    def find(frame: Dataset | None, keyword: str) -> Dataset | dict:
        if keyword not in known:
            known[keyword] = (BaseTag(tag_for_keyword(keyword)), group_of(None, shared, keyword))
        tag, common = known[keyword]
        there = frame is not None and (keyword in frame if isinstance(frame, Elements) else tag in frame.keys())  # noqa: SIM118 - asking the data set itself is slow
        own = item(frame, keyword) if there else None
        return common if own is None else own

    return find


def frame_planes(ds: Dataset, frames: int) -> list[FramePlane | None]:
    """One entry a frame, None where a frame's place in the patient is not given.

    Enhanced Ultrasound volumes give their planes in the volume's own frame of reference.
    """
    per_frame = items(ds, "PerFrameFunctionalGroupsSequence")
    shared = item(ds, "SharedFunctionalGroupsSequence")
    if not per_frame and shared is None:
        return [_single(ds)] if frames == 1 else [None] * frames
    group = _groups(shared)
    units = text(ds, "Units")
    out: list[FramePlane | None] = []
    for n in range(frames):
        one = per_frame[n] if n < len(per_frame) else None
        measures = group(one, "PixelMeasuresSequence")
        rescale = group(one, "PixelValueTransformationSequence") or ds
        slope, intercept = number(rescale, "RescaleSlope"), number(rescale, "RescaleIntercept")
        position = numbers(group(one, "PlanePositionSequence"), "ImagePositionPatient", 3)
        orientation = numbers(group(one, "PlaneOrientationSequence"), "ImageOrientationPatient", 6)
        if position is None:
            position = numbers(group(one, "PlanePositionVolumeSequence"), "ImagePositionVolume", 3)
            orientation = numbers(group(one, "PlaneOrientationVolumeSequence"), "ImageOrientationVolume", 6)
        content = group(one, "FrameContentSequence")
        echo = group(one, "MREchoSequence")
        timing = number(group(one, "TemporalPositionSequence"), "TemporalPositionTimeOffset")
        marks = (
            text(content, "FrameAcquisitionNumber"),
            None,
            text(echo, "EffectiveEchoTime"),
            text(content, "TemporalPositionIndex") or (str(timing) if timing is not None else None),
            text(group(one, "CTImageFrameTypeSequence"), "FrameType") or text(group(one, "MRImageFrameTypeSequence"), "FrameType"),
            text(group(one, "CTReconstructionSequence"), "ConvolutionKernel"),
            text(group(one, "CTXRayDetailsSequence"), "KVP"),
            text(group(one, "CardiacSynchronizationSequence"), "NominalCardiacTriggerDelayTime"),
            text(group(one, "MRDiffusionSequence"), "DiffusionBValue"),
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
                slope,
                intercept,
                marks,
                _rescaled_to(rescale, slope, intercept, units),
            )
        )
    return out


def tilt_findings(gantry_deg: float | None, planes: Sequence[FramePlane | None]) -> tuple[Finding, ...]:
    """A gantry that the header calls tilted, though the planes it gives stand upright on the table: one of both is wrong,
    and with it the shape of every voxel."""
    if not gantry_deg or abs(gantry_deg) <= TILT_DEG or abs(gantry_deg) > 60:
        return ()
    if not all(p is not None and max(abs(p.orientation[2]), abs(p.orientation[5])) < 0.01 for p in planes) or not planes:
        return ()
    told = f"The header says that the gantry was tilted by {abs(gantry_deg):.1f} degrees, but the positions it gives are those of an upright one; lengths and volumes follow the positions."
    return (Finding("tilt_contradicted", told, "warning"),)


def frame_time_offset_ms(ds: Dataset, frame: int) -> float | None:
    """Time of an enhanced frame within its acquisition, where the header gives one."""
    per_frame = items(ds, "PerFrameFunctionalGroupsSequence")
    if frame >= len(per_frame):
        return None
    offset = number(group_of(per_frame[frame], None, "TemporalPositionSequence"), "TemporalPositionTimeOffset")
    return None if offset is None else 1000.0 * offset


def instance_number(ds: Dataset) -> int | None:
    """InstanceNumber, None where absent or not a number."""
    return integer(ds, "InstanceNumber")
