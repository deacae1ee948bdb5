"""Enhanced US Volume (PS3.3 A.59): volumes of three-dimensional ultrasound, in a frame of their own.

Positions and directions are those of the Volume Frame of Reference (C.8.24.2): millimetres in a right-handed
frame that the machine chose, not the patient's LPS. Lengths and volumes hold in it; left, right, front and head
are not known. One file may hold several time points and several data types (tissue, flow); each is a volume.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydicom.dataset import Dataset

from dicom_io.headers import DicomRefused, Header, item, items, number, numbers, text
from dicom_io.planes import FramePlane, frame_planes, group_of
from dicom_io.ultrasound import ENHANCED_US_VOLUME
from volumetry.finding import Finding

TISSUE = "TISSUE_INTENSITY"
# Directions of planes of one volume agree within this (about 0.06 degrees), as slices of a CT do.
SAME_DIRECTION = 1e-3
# A mapping printed with a few decimals is still rigid.
RIGID = 1e-3

OWN_FRAME = Finding(
    "own_frame_of_reference",
    "An ultrasound volume in a frame of its own: lengths and volumes hold, but left, right, front and head of the patient are not known, and it lies over no CT or MR.",
    "warning",
)


def is_enhanced_us(header: Header) -> bool:
    """True for an Enhanced US Volume."""
    return header.sop_class == ENHANCED_US_VOLUME


def volume_frame_of_reference(ds: Dataset) -> str | None:
    """The UID of the frame that the planes lie in."""
    return text(ds, "VolumeFrameOfReferenceUID") or text(ds, "FrameOfReferenceUID")


def as_source(ds: Dataset) -> Dataset:
    """A header as the source of objects written on its planes: of an ultrasound volume they lie in the volume's frame,
    not in the other one that its header names. Changes ``ds`` and returns it."""
    if text(ds, "SOPClassUID") == ENHANCED_US_VOLUME and text(ds, "VolumeFrameOfReferenceUID"):
        ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = ds.VolumeFrameOfReferenceUID, ""
    return ds


def transducer_mapping(ds: Dataset) -> np.ndarray | None:
    """4x4 matrix from the volume's frame to the transducer's, mm (0020,9309); None where it is absent or no rigid
    movement (a last row of 0 0 0 1 and axes of unit length at right angles)."""
    values = numbers(ds, "VolumeToTransducerMappingMatrix", 16)
    if values is None:
        return None
    matrix = np.array(values).reshape(4, 4)
    turn = matrix[:3, :3]
    is_rigid = np.abs(matrix[3] - (0, 0, 0, 1)).max() <= RIGID and np.abs(turn @ turn.T - np.eye(3)).max() <= RIGID and np.linalg.det(turn) > 0
    return matrix if is_rigid else None


def _time_s(ds: Dataset, frame: int) -> float | None:
    """When a frame was taken, in seconds from the start of the acquisition; its index where only that is given."""
    per_frame, shared = items(ds, "PerFrameFunctionalGroupsSequence"), item(ds, "SharedFunctionalGroupsSequence")
    one = per_frame[frame] if frame < len(per_frame) else None
    offset = number(group_of(one, shared, "TemporalPositionSequence"), "TemporalPositionTimeOffset")
    return offset if offset is not None else number(group_of(one, shared, "FrameContentSequence"), "TemporalPositionIndex")


def _data_type(ds: Dataset, frame: int) -> str:
    per_frame, shared = items(ds, "PerFrameFunctionalGroupsSequence"), item(ds, "SharedFunctionalGroupsSequence")
    one = per_frame[frame] if frame < len(per_frame) else None
    return text(group_of(one, shared, "ImageDataTypeSequence"), "DataType") or TISSUE


def volume_planes(ds: Dataset, frames: int) -> list[FramePlane]:
    """The planes of all volumes in one file, in order of data type, time and file; frames without a place are left out.

    ``group`` of a plane is its data type, and its one mark the time (or, where every frame has a time of its own, how
    many earlier frames lie in the same place), by which volumes are told apart. Raises ``DicomRefused``
    (``frames_not_parallel``) where the frames fan out, as a rotating probe stores them.
    """
    placed = [p for p in frame_planes(ds, frames) if p is not None]
    if not placed:
        return []
    directions = np.array([p.orientation for p in placed])
    if np.abs(directions - directions[0]).max() > SAME_DIRECTION:
        raise DicomRefused(
            "The frames of this ultrasound volume are not parallel; no volume can be made of them.",
            code="frames_not_parallel",
            hint="Export the volume resampled to parallel slices.",
        )
    known = [(_data_type(ds, p.frame), _time_s(ds, p.frame), p) for p in placed]
    order = sorted(range(len(known)), key=lambda n: (known[n][0] != TISSUE, known[n][0], known[n][1] or 0.0, known[n][2].frame))
    times = [known[n][1] for n in order]
    own_times = len({(known[n][0], known[n][1]) for n in order}) == len(order)
    seen: dict[tuple, int] = {}
    out = []
    for n, time in zip(order, times, strict=True):
        kind, _, plane = known[n]
        place = (kind, *np.round(plane.position_mm, 2))
        seen[place] = seen.get(place, -1) + 1
        out.append(replace(plane, group=kind, marks=(f"{seen[place]} sweep" if own_times or time is None else f"{time:g} s",)))
    return out


def volume_findings(ds: Dataset) -> tuple[Finding, ...]:
    """What a reader must know of every such volume."""
    if text(ds, "VolumeToTransducerMappingMatrix") is not None and transducer_mapping(ds) is None:
        return OWN_FRAME, Finding("transducer_mapping_unusable", "The header's mapping to the transducer is no rigid movement; it is not used.", "info")
    return (OWN_FRAME,)


def part_words(planes: Sequence[FramePlane]) -> str:
    """Which of several volumes of one file these planes are: ``tissue intensity at 0.25 s``."""
    kind, mark = planes[0].group or TISSUE, planes[0].marks[0] if planes[0].marks else ""
    when = f"at {mark}" if mark.endswith(" s") else f"of sweep {int(mark.split()[0]) + 1}" if mark else ""
    return f"{words_of(kind)} {when}".strip()


def part_finding(planes: Sequence[FramePlane]) -> Finding:
    """The same as a finding."""
    return Finding("volume_part", f"The volume of {part_words(planes)}.", "info")


def words_of(data_type: str) -> str:
    """A data type in plain words."""
    return data_type.lower().replace("_", " ")


def unit_of(data_type: str | None) -> str:
    """What a voxel holds: ``grey`` for echo intensity, else the data type, as stored."""
    return "grey" if data_type in (None, TISSUE) else words_of(data_type)
