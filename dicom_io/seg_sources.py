"""The pictures a segmentation is written on, as the library that writes it wants them.

It takes single-frame files one for one, but of multi-frame files only one whole file in which all
frames share a direction. A stack that is some frames of a file, or frames of several files, is
therefore handed over as one file with just the frames of the stack, and what the segmentation says
about its sources is put right afterwards (``name_true_frames``). Where slices are missing, the planes
that were interpolated are handed over like the others, and afterwards name no picture.

Positions and spacings are those of the grid that the masks lie on, not the headers': printed
positions wander by their last decimal, SpacingBetweenSlices is often absent or wrong, and sparse
segments would be read back with the distance between their own planes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import generate_uid
from pydicom.valuerep import format_number_as_ds

from dicom_io.enhanced_us import as_source
from dicom_io.scan import SeriesSummary
from dicom_io.stack import StackLayout
from dicom_io.writing import PATIENT, STUDY
from volumetry.errors import NodusError
from volumetry.geometry import ImageGeometry

# (SOP class, SOP instance, frame from 1 or None) of each plane, in order of k.
Reference = tuple[str, str, int | None]


def _ds(values: Sequence[float]) -> list[str]:
    return [format_number_as_ds(float(v) + 0.0) for v in values]


def _plane_distance_mm(grid: ImageGeometry) -> float:
    normal = np.cross(grid.affine[:3, 0], grid.affine[:3, 1])
    return float(abs(grid.affine[:3, 2] @ normal) / np.linalg.norm(normal))


def _header(path: Path) -> Dataset:
    ds = as_source(pydicom.dcmread(path, stop_before_pixels=True))
    for keyword in PATIENT + STUDY:
        if keyword not in ds:
            setattr(ds, keyword, "")
    if not ds.get("FrameOfReferenceUID"):
        raise NodusError("The series does not say in which frame of reference it lies; a segmentation cannot be placed in it.", code="frame_of_reference_missing")
    return ds


def stored_slices(grid: ImageGeometry, layout: StackLayout) -> list[int | None]:
    """Which stored slice (in order of position) each k of the grid is; None where it was interpolated."""
    if layout.source_index is None:
        return list(range(grid.shape[0]))
    return [int(place) if float(place).is_integer() else None for place in layout.source_index]


def segmentation_sources(series: SeriesSummary, grid: ImageGeometry, layout: StackLayout) -> tuple[list[Dataset], list[Reference | None]]:
    """Headers of the stack's pictures in order of k, placed exactly on ``grid``, and what each plane is
    (None: interpolated between stored slices).

    One header a plane for single-frame files, else one for all. Raises ``NodusError``
    (``frame_of_reference_missing``).
    """
    headers = [_header(path) for path in series.paths]
    stored = stored_slices(grid, layout)
    references = [None if n is None else plane_reference(headers[series.slices[n][0]], series.slices[n][1]) for n in stored]
    direction = grid.direction
    orientation = _ds([*direction[:, 0], *direction[:, 1]])
    column_mm, row_mm, _ = grid.spacing_mm
    distance_mm = _plane_distance_mm(grid)
    single = grid.shape[0] == 1
    thickness_mm = series.planes[0].thickness_mm or distance_mm
    centres = grid.index_to_world(np.array([[0, 0, k] for k in range(grid.shape[0])], dtype=float))
    measures = Dataset()
    measures.PixelSpacing = _ds([row_mm, column_mm])
    measures.SliceThickness = _ds([thickness_mm])[0]
    if not single:
        measures.SpacingBetweenSlices = _ds([distance_mm])[0]
    if not any("SharedFunctionalGroupsSequence" in h for h in headers):
        out = []
        for n, centre in zip(stored, centres, strict=True):
            ds = headers[series.slices[n or 0][0]]
            if n is None:
                ds = copy.deepcopy(ds)
                ds.SOPInstanceUID = generate_uid(prefix=None)  # stands for a plane without a picture; is never written
            ds.ImagePositionPatient, ds.ImageOrientationPatient = _ds(centre), orientation
            ds.pop("SpacingBetweenSlices", None)
            for element in measures:
                ds[element.tag] = element
            out.append(ds)
        return out, references
    return [_as_one(headers, series, measures, orientation, centres)], references


def plane_reference(header: Dataset, frame: int) -> Reference:
    """How written objects name frame ``frame`` (from 0) of a file."""
    multi = "SharedFunctionalGroupsSequence" in header or int(header.get("NumberOfFrames") or 1) > 1
    return str(header.SOPClassUID), str(header.SOPInstanceUID), frame + 1 if multi else None


def _as_one(headers: list[Dataset], series: SeriesSummary, measures: Dataset, orientation: list[str], centres: np.ndarray) -> Dataset:
    """A header whose frames are the planes of the stack in order of k."""
    ds = Dataset()
    ds.update(headers[series.slices[0][0]])
    shared = Dataset()
    shared.update(ds.SharedFunctionalGroupsSequence[0] if ds.get("SharedFunctionalGroupsSequence") else Dataset())
    shared.PixelMeasuresSequence = DicomSequence([measures])
    turned = Dataset()
    turned.ImageOrientationPatient = orientation
    shared.PlaneOrientationSequence = DicomSequence([turned])
    frames = []
    for centre in centres:
        place = Dataset()
        place.ImagePositionPatient = _ds(centre)
        frame = Dataset()
        frame.PlanePositionSequence = DicomSequence([place])
        frames.append(frame)
    ds.SharedFunctionalGroupsSequence = DicomSequence([shared])
    ds.PerFrameFunctionalGroupsSequence = DicomSequence(frames)
    ds.NumberOfFrames = len(frames)
    return ds


def name_true_frames(segmentation: Dataset, sources: Sequence[Dataset], references: Sequence[Reference | None]) -> None:
    """Let every frame of a segmentation name the file and frame that it truly lies on, and a plane that was
    interpolated none. ``sources`` is what ``segmentation_sources`` gave."""
    plane_of = {str(source.SOPInstanceUID): k for k, source in enumerate(sources)}
    known: dict[int, bool] = {}  # source items put right, and whether there is a picture: frames of several segments share one item
    for frame in segmentation.PerFrameFunctionalGroupsSequence:
        for derivation in frame.get("DerivationImageSequence", []):
            for source in derivation.get("SourceImageSequence", []):
                if id(source) not in known:
                    known[id(source)] = _name_true_frame(source, plane_of, references)
            derivation.SourceImageSequence = DicomSequence([s for s in derivation.get("SourceImageSequence", []) if known[id(s)]])
        if any(not d.SourceImageSequence for d in frame.get("DerivationImageSequence", [])):
            frame.DerivationImageSequence = DicomSequence([])
    instances = dict.fromkeys(reference[:2] for reference in references if reference is not None)
    listed = []
    for sop_class, sop_uid in instances:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_uid
        listed.append(item)
    for series in segmentation.get("ReferencedSeriesSequence", []):
        series.ReferencedInstanceSequence = DicomSequence(listed)


def _name_true_frame(source: Dataset, plane_of: dict[str, int], references: Sequence[Reference | None]) -> bool:
    """Put right one item that names a source; False where there is no such picture."""
    stated = source.get("ReferencedFrameNumber")
    reference = references[int(stated) - 1 if stated is not None else plane_of[str(source.ReferencedSOPInstanceUID)]]
    if reference is None:
        return False
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID, number = reference
    if number is not None:
        source.ReferencedFrameNumber = number
    else:
        source.pop("ReferencedFrameNumber", None)
    return True
