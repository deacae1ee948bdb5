"""Pictures as values: a volume in the patient, a still or cine of an ultrasound machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from volumetry.calibration import Calibration
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Where a picture came from; enough to name it in a reading, nothing that names a patient."""

    series_uid: str | None = None
    study_uid: str | None = None
    frame_of_reference_uid: str | None = None
    modality: str | None = None  # DICOM modality: CT, MR, PT, US
    description: str | None = None
    acquired_on: str | None = None  # ISO date of the true acquisition, kept in the store only
    sop_instance_uids: tuple[str, ...] = ()
    synthetic: bool = False
    in_patient_space: bool = True  # False: a volume in a frame of its own, whose axes are not left, back and head
    pixels_of_colour: tuple[int, int] | None = None  # how many (across, down) share one colour in the file; None: each has its own


@dataclass(frozen=True, slots=True, eq=False)
class ImageVolume:
    """A volume ``array[k, j, i]`` (read-only) on a grid in the patient.

    CT arrays hold HU (int16 or float32). ``unit`` names what a voxel holds.
    """

    array: np.ndarray
    geometry: ImageGeometry
    unit: str = "HU"
    source: ImageSource = field(default_factory=ImageSource)
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        if self.array.shape != self.geometry.shape:
            raise NodusError(f"Array {self.array.shape} does not fit its grid {self.geometry.shape}.", code="bad_shape")
        self.array.setflags(write=False)


@dataclass(frozen=True, slots=True, eq=False)
class Cine:
    """Frames of an ultrasound picture with their true times; a still is a cine of one frame.

    ``read_frame(n)`` decodes frame ``n`` on demand as uint8 ``[row, column]`` or
    ``[row, column, 3]`` (RGB), so that a long cine never has to fit in memory.
    ``frame_times_ms`` starts at 0; None where the file gives no time (then a finding says so) and
    for stills. ``calibration`` answers lengths per point, or refuses; ``frame_calibrations`` holds those of
    frames that differ from it: ask ``calibration_at``.
    """

    frame_count: int
    shape: tuple[int, int]  # rows, columns
    read_frame: Callable[[int], np.ndarray]
    calibration: Calibration
    frame_times_ms: np.ndarray | None = None
    source: ImageSource = field(default_factory=ImageSource)
    findings: tuple[Finding, ...] = ()
    frame_calibrations: Mapping[int, Calibration] = field(default_factory=dict)

    def calibration_at(self, frame: int) -> Calibration:
        """What pixels of frame ``frame`` are worth."""
        return self.frame_calibrations.get(frame, self.calibration)

    @property
    def is_still(self) -> bool:
        """True for a single picture."""
        return self.frame_count == 1
