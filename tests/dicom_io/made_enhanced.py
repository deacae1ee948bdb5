"""Enhanced multi-frame files for tests: frames with their own place, direction, scale and marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from tests.dicom_io.made import AXIAL, add_pixels, base, uid

ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
ENHANCED_PET = "1.2.840.10008.5.1.4.1.1.130"


def item(**elements) -> DicomSequence:
    """A sequence of one item."""
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return DicomSequence([ds])


@dataclass(frozen=True)
class Frame:
    """One frame: position, values, and what tells it from others."""

    position: Sequence[float]
    values: np.ndarray
    orientation: Sequence[float] = AXIAL
    slope: float = 1.0
    intercept: float = 0.0
    macros: dict[str, DicomSequence] = field(default_factory=dict)


def enhanced(
    frames: Sequence[Frame], *, sop_class: str = ENHANCED_CT, modality: str = "CT", pixel_spacing=(0.8, 0.5), series: int = 60, sop: int = 1, shared: bool = True
) -> Dataset:
    """A multi-frame file; ``shared`` says whether direction and spacing stand once or with each frame."""
    ds = base(sop_class, uid(series, sop), uid(series), modality)
    ds.PatientID = ds.PatientName = "S1"
    ds.InstanceNumber = sop
    common = {
        "PixelMeasuresSequence": lambda: item(PixelSpacing=list(pixel_spacing), SliceThickness=9.0),
        "PlaneOrientationSequence": lambda f=frames[0]: item(ImageOrientationPatient=list(f.orientation)),
    }
    top = Dataset()
    per_frame = []
    for frame in frames:
        one = Dataset()
        one.PlanePositionSequence = item(ImagePositionPatient=[float(v) for v in frame.position])
        one.PixelValueTransformationSequence = item(RescaleSlope=frame.slope, RescaleIntercept=frame.intercept, RescaleType="HU" if modality == "CT" else "US")
        if not shared:
            one.PixelMeasuresSequence = common["PixelMeasuresSequence"]()
            one.PlaneOrientationSequence = item(ImageOrientationPatient=list(frame.orientation))
        for keyword, value in frame.macros.items():
            setattr(one, keyword, value)
        per_frame.append(one)
    if shared:
        for keyword, made in common.items():
            setattr(top, keyword, made())
    ds.SharedFunctionalGroupsSequence = DicomSequence([top])
    ds.PerFrameFunctionalGroupsSequence = DicomSequence(per_frame)
    add_pixels(ds, np.stack([f.values for f in frames]), frames=len(frames))
    return ds
