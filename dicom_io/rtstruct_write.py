"""Writing masks as an RT Structure Set on the series they were drawn on, checked voxel for voxel.

Outlines run half-way between the centres of inside and outside pixels, holes as outlines of their
own, so that a reader who counts voxel centres inside an odd number of polygons gets every voxel back.
Where slices are missing, outlines on interpolated planes name no picture, and all state the slab they stand for.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from dicom_io.ct import read_stack, series_of_files
from dicom_io.enhanced_us import as_source
from dicom_io.rtstruct import RTSTRUCT_SOP_CLASS, read_rtstruct
from dicom_io.seg_sources import Reference, plane_reference, stored_slices
from dicom_io.stack import StackLayout
from dicom_io.writing import INVESTIGATIONAL, Stamp, damaged_sources_refused, new_object, not_as_written, replaced_when_checked
from volumetry.errors import NodusError
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask
from volumetry.planimetry import plane_distance_mm
from volumetry.segmentation.contours import outlines_in_slice

SERIES_NUMBER = 901
# Okabe and Ito's colours: told apart by colour-blind readers.
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters to 1e-5 mm (PS3.5 DS)."""
    text = f"{value:.5f}".rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def _picture(reference: tuple[str, str, int | list[int] | None]) -> Dataset:
    """What names a picture: file, and frame or frames within it where it holds several."""
    sop_class, sop_uid, frame = reference
    image = Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = sop_class, sop_uid
    if frame is not None:
        image.ReferencedFrameNumber = frame
    return image


def _contours(mask: NodeMask, planes: Sequence[Reference | None], slab_mm: float | None) -> list[Dataset]:
    """The closed outlines of a mask, slice by slice, each naming the picture it was drawn on where there is one."""
    out = []
    for k in np.flatnonzero(mask.array.any(axis=(1, 2))):
        for index in outlines_in_slice(mask.array, 0, int(k)):
            points = mask.geometry.index_to_world(index[:-1])  # the last repeats the first
            contour = Dataset()
            if planes[int(k)] is not None:
                contour.ContourImageSequence = [_picture(planes[int(k)])]
            if slab_mm is not None:
                contour.ContourSlabThickness = _decimal(slab_mm)  # retired, but the one element that says it
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(points)
            contour.ContourNumber = len(out) + 1
            contour.ContourData = [_decimal(v) for v in points.ravel()]
            out.append(contour)
    return out


def _references(ds: Dataset, source: Dataset, planes: Sequence[Reference | None]) -> None:
    """The frame of reference, study, series and pictures that the outlines lie on."""
    frames: dict[tuple[str, str], list[int]] = {}
    for sop_class, sop_uid, frame in (p for p in planes if p is not None):
        frames.setdefault((sop_class, sop_uid), []).extend([] if frame is None else [frame])
    images = [_picture((*file, sorted(used) or None)) for file, used in frames.items()]
    series = Dataset()
    series.SeriesInstanceUID = source.SeriesInstanceUID
    series.ContourImageSequence = images
    study = Dataset()
    study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"  # retired, but what the module asks for
    study.ReferencedSOPInstanceUID = source.StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = source.FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    ds.ReferencedFrameOfReferenceSequence = [frame]


@damaged_sources_refused("a structure set")
def write_rtstruct(masks: Sequence[NodeMask], source_files: Sequence[Path], path: Path | str, stamp: Stamp, *, label: str = "NODES") -> Path:
    """Write ``masks`` as one structure set (an ROI each, numbered from 1) on the series in ``source_files``.

    The masks must lie on the grid of the series; empty ones are written without outlines. Written under a temporary name, read back, compared voxel for voxel,
    then moved into place. Raises ``NodusError``: ``nothing_to_write``, ``wrong_grid``,
    ``frame_of_reference_missing``, ``write_failed``.
    """
    path = Path(path)
    if not masks:
        raise NodusError("There is no mask to write.", code="nothing_to_write")
    series = series_of_files(list(source_files), on_grid=masks[0].geometry)
    grid, layout = read_stack(series)
    for mask in masks:
        if not mask.geometry.same_grid(grid):
            raise NodusError(f"The mask {mask.name or mask.label} does not lie on the slices of this series.", code="wrong_grid")
    headers = [as_source(pydicom.dcmread(p, stop_before_pixels=True)) for p in series.paths]
    source = headers[0]
    if not source.get("FrameOfReferenceUID"):
        raise NodusError("The series does not say in which frame of reference it lies; outlines cannot be placed in it.", code="frame_of_reference_missing")
    planes = [None if n is None else plane_reference(headers[series.slices[n][0]], series.slices[n][1]) for n in stored_slices(grid, layout)]
    slab_mm = plane_distance_mm(grid) if layout.source_index is not None else None

    ds = new_object(RTSTRUCT_SOP_CLASS, "RTSTRUCT", source, stamp, series_number=SERIES_NUMBER, description="Node outlines")
    ds.OperatorsName = ""
    ds.PositionReferenceIndicator = source.get("PositionReferenceIndicator") or ""
    ds.FrameOfReferenceUID = source.FrameOfReferenceUID
    ds.StructureSetLabel = label[:16]
    ds.StructureSetDescription = INVESTIGATIONAL
    ds.StructureSetDate, ds.StructureSetTime = ds.ContentDate, ds.ContentTime
    del ds.ContentDate, ds.ContentTime  # of images, not of structure sets
    ds.ApprovalStatus = "UNAPPROVED"
    _references(ds, source, planes)
    rois, outlines, observations = [], [], []
    for number, mask in enumerate(masks, start=1):
        roi = Dataset()
        roi.ROINumber, roi.ROIName = number, (mask.name or f"node {mask.label}")[:64]
        roi.ReferencedFrameOfReferenceUID = source.FrameOfReferenceUID
        roi.ROIGenerationAlgorithm = "SEMIAUTOMATIC"
        rois.append(roi)
        drawn = Dataset()
        drawn.ReferencedROINumber = number
        drawn.ROIDisplayColor = list(COLOURS[(number - 1) % len(COLOURS)])
        contours = _contours(mask, planes, slab_mm)
        if contours:
            drawn.ContourSequence = contours
        outlines.append(drawn)
        observation = Dataset()
        observation.ObservationNumber = observation.ReferencedROINumber = number
        observation.RTROIInterpretedType, observation.ROIInterpreter = "", ""
        observations.append(observation)
    ds.StructureSetROISequence, ds.ROIContourSequence, ds.RTROIObservationsSequence = rois, outlines, observations
    with replaced_when_checked(path) as partial:
        ds.save_as(partial, enforce_file_format=True)
        _compare(partial, path, masks, grid, layout)
    return path


def _compare(partial: Path, path: Path, masks: Sequence[NodeMask], grid: ImageGeometry, layout: StackLayout) -> None:
    for mask, back in zip(masks, read_rtstruct(partial, grid, layout), strict=True):
        if not np.array_equal(back.array, mask.array):
            raise not_as_written(path, f"the outline of {mask.name or mask.label}")


