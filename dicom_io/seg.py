"""Reading DICOM Segmentation objects of any maker: binary, fractional, label map; sparse, overlapping.

Spacing between planes: SpacingBetweenSlices where every step between plane positions is a whole
multiple of it within 0.5 %, else the smallest consistent step; never SliceThickness.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from dicom_io.headers import DicomRefused, Header, integer, item, items, number, read_header, text
from dicom_io.pixels import FrameDecoder, storage_fault
from dicom_io.planes import FramePlane, frame_planes
from dicom_io.stack import normal_of
from volumetry.errors import GeometryRefused, NodusError
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask
from volumetry.outline_origin import OutlineOrigin

STEP_SHARE = 0.005
# Planes nearer than this share of a step are one plane (positions of two makers differ in the fifth digit).
SAME_PLANE_SHARE = 0.1
SAME_PLANE_MM = 0.01
DRIFT_MM = 0.005
# All masks of one file together; beyond this the file is refused instead of filling the memory.
MAX_MASK_BYTES = 4 << 30
# No patient is longer than this, and no scanner steps by less: such numbers are damage, and a grid made of them would
# fill the memory with nothing.
LONGEST_MM, SMALLEST_STEP_MM = 2500.0, 0.05


@dataclass(frozen=True, slots=True)
class _Frame:
    index: int
    segment: int | None  # None in a label map
    plane: int


def plane_step_mm(offsets_mm: np.ndarray, spacing_between_slices_mm: float | None) -> float | None:
    """Step between planes at sorted, distinct ``offsets_mm``; None for a single plane without a
    given spacing. Raises ``GeometryRefused`` (``uneven_spacing``) where no step fits."""
    given = spacing_between_slices_mm if spacing_between_slices_mm and spacing_between_slices_mm >= SMALLEST_STEP_MM else None
    if len(offsets_mm) < 2:
        return given
    steps = np.diff(offsets_mm)

    def fits(step: float) -> bool:
        ratio = steps / step
        whole = np.round(ratio)
        return bool((whole >= 1).all() and (np.abs(ratio - whole) <= np.minimum(STEP_SHARE * whole, 0.25)).all())

    if given is not None and fits(given):
        return given
    smallest = float(steps.min())
    for parts in range(1, 11):
        if fits(smallest / parts):
            # The mean over all steps is closer than one rounded step.
            step = smallest / parts
            return float(steps.sum() / np.round(steps / step).sum())
    raise GeometryRefused(f"The planes of this segmentation are {steps.min():.3f} to {steps.max():.3f} mm apart and fit no common step.", code="uneven_spacing")


def _distinct(offsets: np.ndarray, tolerance: float) -> np.ndarray:
    """Sorted offsets with near-equal ones merged to their first."""
    out: list[float] = []
    for value in np.sort(offsets):
        if not out or value - out[-1] > tolerance:
            out.append(float(value))
    return np.array(out)


def _spacing_between(ds: Dataset) -> float | None:
    shared = item(ds, "SharedFunctionalGroupsSequence")
    holders = [shared] if shared is not None else []
    holders += items(ds, "PerFrameFunctionalGroupsSequence")[:1]
    for holder in holders:
        measures = item(holder, "PixelMeasuresSequence")
        if measures is not None:
            found = number(measures, "SpacingBetweenSlices")
            if found is not None:
                return abs(found)
    return None


def _segment_of(ds: Dataset, n: int, shared: Dataset | None, per_frame: list[Dataset]) -> int | None:
    for holder in (per_frame[n] if n < len(per_frame) else None, shared):
        ident = item(holder, "SegmentIdentificationSequence") if holder is not None else None
        if ident is not None:
            return integer(ident, "ReferencedSegmentNumber")
    return None


def _doubt(offsets_mm: np.ndarray, step_mm: float | None, given_mm: float | None) -> tuple[Finding, ...]:
    """What a reader must know about the step between planes: that none is known, or that planes lie
    unevenly and the file does not say whether those in between are empty or were never there."""
    if step_mm is None:
        return (Finding("spacing_unknown", "A single plane has no spacing of its own: no volume can be measured on it.", "warning"),)
    steps = np.diff(offsets_mm)
    if len(steps) == 0 or (given_mm is not None and step_mm == given_mm) or steps.max() - steps.min() < 0.5 * step_mm:
        return ()
    return (
        Finding(
            "uneven_spacing",
            f"The planes of this segmentation are {steps.min():.3f} to {steps.max():.3f} mm apart and it states no step that fits; each counts {step_mm:.3f} mm, what lies between is taken as empty.",
            "serious",
        ),
    )


def _grid(planes: list[FramePlane], spacing_mm: float | None, rows: int, columns: int) -> tuple[ImageGeometry, list[int], tuple[Finding, ...]]:
    """Grid of all planes, the k of each frame, and what is doubtful about the third spacing."""
    orientation = np.array(planes[0].orientation)
    for p in planes:
        if np.abs(np.array(p.orientation) - orientation).max() > 1e-3 or np.abs(np.subtract(p.pixel_spacing_mm, planes[0].pixel_spacing_mm)).max() > 1e-3 * max(
            planes[0].pixel_spacing_mm
        ):
            raise GeometryRefused("The frames of this segmentation have different directions or spacings.", code="mixed_frames")
    normal = normal_of(orientation)
    positions = np.array([p.position_mm for p in planes])
    along = positions @ normal
    rough = _distinct(along, SAME_PLANE_MM)
    tolerance = SAME_PLANE_MM
    if spacing_mm:
        tolerance = max(tolerance, SAME_PLANE_SHARE * spacing_mm)
        rough = _distinct(along, tolerance)
    if not rough[-1] - rough[0] <= LONGEST_MM:
        raise DicomRefused(f"The planes of this segmentation lie {(rough[-1] - rough[0]) / 1000:.3g} m apart; no picture of a patient is that long.", code="too_large")
    step = plane_step_mm(rough, spacing_mm)
    findings = _doubt(rough, step, spacing_mm)
    step = step or 1.0
    base = rough[0]
    ks = [round(float(a - base) / step) for a in along]
    count = max(ks) + 1
    first, last = int(np.argmin(along)), int(np.argmax(along))
    sideways = np.zeros(3)
    if count > 1:
        drift = positions[last] - positions[first]
        drift = drift - normal * float(drift @ normal)
        # A tilt is what adds up over the planes; a few hundredths are the last decimal of the positions.
        sideways = drift / (count - 1) if np.linalg.norm(drift) > DRIFT_MM else np.zeros(3)
    direction = normal * step + sideways
    expected = positions[first] + np.outer(ks, direction)
    inplane = (positions - expected) - np.outer((positions - expected) @ normal, normal)
    if np.linalg.norm(inplane, axis=1).max() > 0.5 * min(planes[0].pixel_spacing_mm):
        raise GeometryRefused("The frames of this segmentation are shifted sideways against each other.", code="mixed_frames")
    affine = np.eye(4)
    row_mm, column_mm = planes[0].pixel_spacing_mm
    affine[:3, 0] = orientation[:3] * column_mm
    affine[:3, 1] = orientation[3:] * row_mm
    affine[:3, 2] = direction
    affine[:3, 3] = positions[first]
    return ImageGeometry((count, rows, columns), affine), ks, findings


class _Frames:
    """Frames of a segmentation as arrays; packed bits are unpacked one frame at a time."""

    def __init__(self, header: Header):
        self.header = header
        self.rows, self.columns = header.rows, header.columns
        self.bits = integer(header.ds, "BitsAllocated") or 8
        self.decoder = None
        if self.bits == 1 and not header.is_encapsulated:
            fault = storage_fault(header)
            if fault is not None:
                raise fault
        else:
            self.decoder = FrameDecoder(header)

    def __getitem__(self, n: int) -> np.ndarray:
        if self.decoder is not None:
            return self.decoder.raw(n)[0]
        # Frames follow each other bit by bit, without padding to whole bytes.
        size = self.rows * self.columns
        start = n * size
        first, last = start // 8, -(-(start + size) // 8)
        block = self.header.pixels
        if block.inline is not None:
            data = block.inline[first:last]
        else:
            with self.header.path.open("rb") as fp:
                fp.seek(block.start + first)
                data = fp.read(last - first)
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        skip = start - 8 * first
        return bits[skip : skip + size].reshape(self.rows, self.columns)


def read_seg(path: Path | str | Header) -> tuple[NodeMask, ...]:
    """One ``NodeMask`` a segment in ascending order of segment number, all on one grid.

    Segments without a frame are present and empty. FRACTIONAL: a voxel is in where its fraction is
    at least 0.5, ``coverage_volume_ml`` sums the fractions. A single plane without
    SpacingBetweenSlices carries the finding ``spacing_unknown``, planes at uneven distances without a
    stated step that fits carry ``uneven_spacing``. Raises ``DicomRefused``,
    ``GeometryRefused`` or ``NodusError`` (``not_a_mask``).
    """
    header = path if isinstance(path, Header) else read_header(path)
    ds = header.ds
    fault = storage_fault(header)
    if fault is not None:
        raise fault
    described, made_by = {}, {}
    for entry in items(ds, "SegmentSequence"):
        n = integer(entry, "SegmentNumber")
        if n is not None:
            made_by[n] = (text(entry, "SegmentAlgorithmType") or "").upper()
            described[n] = text(entry, "SegmentLabel") or text(entry, "SegmentDescription")
    kind = (text(ds, "SegmentationType") or "").upper()
    label_map = kind == "LABELMAP" or header.sop_class == "1.2.840.10008.5.1.4.1.1.66.7"
    shared, per_frame = item(ds, "SharedFunctionalGroupsSequence"), items(ds, "PerFrameFunctionalGroupsSequence")
    planes = frame_planes(ds, header.frames)
    placed = [n for n, p in enumerate(planes) if p is not None]
    if not placed:
        raise GeometryRefused(f"{header.path.name}: the segmentation does not say where its frames lie in the patient.", code="position_missing")
    if len(placed) < header.frames:
        raise GeometryRefused(f"{header.path.name}: some frames do not say where they lie in the patient.", code="position_missing")
    geometry, ks, findings = _grid([planes[n] for n in placed], _spacing_between(ds), header.rows, header.columns)
    numbers_used = set(described)
    segments: list[int | None] = []
    for n in range(header.frames):
        segment = None if label_map else _segment_of(ds, n, shared, per_frame)
        if segment is None and not label_map:
            if len(described) != 1:
                raise NodusError(f"{header.path.name}: frame {n} does not name its segment.", code="not_a_mask")
            segment = next(iter(described))
        segments.append(segment)
        if segment is not None:
            numbers_used.add(segment)
    frames = _Frames(header)
    if label_map:
        found: set[int] = set()
        for n in range(header.frames):
            values = frames[n]
            found |= {int(v) for v in np.unique(values)}
        background = integer(ds, "PixelPaddingValue")
        numbers_used = (numbers_used | found) - {0 if background is None else background}
    count = len(numbers_used)
    voxels = int(np.prod(geometry.shape, dtype=np.int64))
    if voxels * max(1, count) > MAX_MASK_BYTES:
        raise DicomRefused(f"{header.path.name}: its segments span more than 4 GB of voxels.", code="too_large")
    arrays = {n: np.zeros(geometry.shape, dtype=np.bool_) for n in sorted(numbers_used)}
    fraction_sum = dict.fromkeys(arrays, 0.0)
    maximum = number(ds, "MaximumFractionalValue") or 255.0
    for n, k in enumerate(ks):
        values = frames[n]
        if label_map:
            for value in np.unique(values):
                if int(value) in arrays:
                    arrays[int(value)][k] |= values == value
        elif kind == "FRACTIONAL":
            arrays[segments[n]][k] |= 2.0 * values >= maximum
            fraction_sum[segments[n]] += float(values.sum(dtype=np.float64)) / maximum
        else:
            arrays[segments[n]][k] |= values != 0
    return tuple(
        NodeMask(
            arrays[n],
            geometry,
            label=n,
            name=described.get(n),
            coverage_volume_ml=fraction_sum[n] * geometry.voxel_size_mm3 / 1000.0 if kind == "FRACTIONAL" else None,
            findings=findings,
            origin=OutlineOrigin("file", details={"generation": made_by[n]} if made_by.get(n) else {}),
        )
        for n in arrays
    )


def referenced_series(ds: Dataset) -> list[str]:
    """Series that a segmentation was drawn on."""
    return [uid for uid in (text(s, "SeriesInstanceUID") for s in items(ds, "ReferencedSeriesSequence")) if uid]
