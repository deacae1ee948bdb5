"""Reading RTSTRUCT outlines onto the grid of the series they were drawn on.

A voxel is in when its centre lies inside the polygon; contours of one slice are XORed (holes). Where the
series' slices are unevenly spaced its grid has more planes than were stored: each takes the outlines of
the stored slice nearest to it, and the volume of the outlines counts every stored slice half-way to the
next, by true positions. Only where this program wrote the outlines, on every plane of such a grid, does each
plane take its own; their slab thickness says so.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from dicom_io.headers import Header, integer, items, number, numbers, read_header, text
from dicom_io.stack import StackLayout
from dicom_io.writing import MANUFACTURER
from volumetry.errors import GeometryRefused, MeasurementRefused, NodusError
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask
from volumetry.outline_origin import OutlineOrigin
from volumetry.planimetry import plane_distance_mm, planimetry

RTSTRUCT_SOP_CLASS = "1.2.840.10008.5.1.4.1.1.481.3"
MAX_MASK_BYTES = 4 << 30


def referenced_series(ds: Dataset) -> list[str]:
    """SeriesInstanceUIDs that the structure set was drawn on."""
    out = []
    for frame in items(ds, "ReferencedFrameOfReferenceSequence"):
        for study in items(frame, "RTReferencedStudySequence"):
            out += [text(s, "SeriesInstanceUID") for s in items(study, "RTReferencedSeriesSequence")]
    return list(dict.fromkeys(uid for uid in out if uid))


def _crossings(polygons: list[np.ndarray], y: float) -> np.ndarray:
    """Sorted x where the edges of all polygons cross the line at ``y`` (half-open edges)."""
    out = []
    for polygon in polygons:
        x0, y0 = polygon[:, 0], polygon[:, 1]
        x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
        hit = (y0 <= y) != (y1 <= y)
        out.append(x0[hit] + (y - y0[hit]) * (x1[hit] - x0[hit]) / (y1[hit] - y0[hit]))
    return np.sort(np.concatenate(out)) if out else np.empty(0)


def fill_even_odd(polygons: list[np.ndarray], rows: int, columns: int) -> np.ndarray:
    """Bool ``[row, column]``: pixel centres inside an odd number of the closed polygons (n, 2) of (x, y)."""
    out = np.zeros((rows, columns), dtype=np.bool_)
    if not polygons:
        return out
    low = max(0, math.ceil(min(p[:, 1].min() for p in polygons)))
    high = min(rows - 1, math.floor(max(p[:, 1].max() for p in polygons)))
    for row in range(low, high + 1):
        xs = _crossings(polygons, float(row))
        for a, b in zip(xs[::2], xs[1::2], strict=False):
            # Inside is a <= column < b, so that touching outlines share no pixel.
            out[row, max(0, math.ceil(a)) : max(0, min(columns, math.ceil(b)))] = True
    return out


def _contours(roi: Dataset, geometry: ImageGeometry, stored_k: np.ndarray, name: str) -> tuple[dict[int, list[tuple[float, np.ndarray]]], list[Finding]]:
    """Polygons in pixels by nearest stored slice, each with its exact k; what could not be used."""
    by_slice: dict[int, list[tuple[float, np.ndarray]]] = {}
    outside = other = 0
    for contour in items(roi, "ContourSequence"):
        kind = (text(contour, "ContourGeometricType") or "").upper()
        data = numbers(contour, "ContourData")
        if kind not in ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR") or data is None or len(data) % 3 or len(data) < 9:
            other += 1
            continue
        index = geometry.world_to_index(np.array(data).reshape(-1, 3))
        depth = index[:, 2]
        if depth.max() - depth.min() > 0.5:
            raise GeometryRefused(f"An outline of {name} does not lie in one slice of the image.", code="contour_not_in_plane")
        exact = float(depth.mean())
        if not -0.5 <= exact <= geometry.shape[0] - 0.5:
            outside += 1
            continue
        by_slice.setdefault(int(np.abs(stored_k - exact).argmin()), []).append((exact, index[:, :2]))
    findings = []
    if outside:
        findings.append(Finding("contours_outside_image", f"{outside} outline(s) of {name} lie outside the image and are left out.", "serious"))
    if other:
        findings.append(Finding("contours_not_closed", f"{other} outline(s) of {name} are points or open lines and enclose nothing.", "info"))
    return by_slice, findings


def _volume_ml(by_slice: dict[int, list[tuple[float, np.ndarray]]], geometry: ImageGeometry, stored_k: np.ndarray | None) -> tuple[float, tuple[Finding, ...]]:
    """Volume of the outlines at their true positions; each stands for one slice at most. ``stored_k``
    says where the slices lie where they are uneven."""
    # each outline is laid flat at its mean depth: files round the third coordinate
    lines = [geometry.index_to_world(np.column_stack([flat, np.full(len(flat), exact)])) for found in by_slice.values() for exact, flat in found]
    try:
        if stored_k is None:
            result = planimetry(lines, slice_mm=plane_distance_mm(geometry))
        else:
            result = planimetry(lines, slices_at_mm=geometry.index_to_world([(0.0, 0.0, k) for k in stored_k]))
    except MeasurementRefused as refusal:
        if refusal.code != "bad_contour":
            raise
        return 0.0, ()  # lines without any area between them
    return result.volume_ml, result.findings


def _stored_k(geometry: ImageGeometry, layout: StackLayout | None) -> np.ndarray | None:
    """Where the stored slices lie on the grid, in ascending order; None where every k is a stored slice."""
    if layout is None or layout.source_index is None:
        return None
    along = layout.offsets_mm
    return (along - along[0]) / (along[-1] - along[0]) * (geometry.shape[0] - 1)


def _drawn_on_grid(ds: Dataset, roi: Dataset | None, geometry: ImageGeometry) -> bool:
    """True where we wrote this ROI on the planes of an uneven series' grid: each outline stands for one step."""
    slabs = [number(c, "ContourSlabThickness") for c in items(roi, "ContourSequence")] if roi is not None else []
    step_mm = plane_distance_mm(geometry)
    return text(ds, "Manufacturer") == MANUFACTURER and bool(slabs) and all(s is not None and abs(s - step_mm) < 1e-3 * step_mm for s in slabs)


def _origin(roi_observed: Dataset | None, drawn_slices: list[int] | None) -> OutlineOrigin:
    """What the file says about how an ROI was made, and on which stored slices where others were filled in."""
    details = {} if drawn_slices is None else {"axis": 0, "drawn_slices": drawn_slices}
    word = None if roi_observed is None else text(roi_observed, "ROIGenerationAlgorithm")
    return OutlineOrigin("file", details={**details, **({"generation": word.upper()} if word else {})})


def read_rtstruct(path: Path | str | Header, geometry: ImageGeometry, layout: StackLayout | None = None) -> tuple[NodeMask, ...]:
    """One ``NodeMask`` an ROI in ascending order of ROI number, on the referenced series' grid.

    ``layout`` is how the series' slices lie on that grid; what is seriously wrong with it
    (``uneven_spacing``, ``missing_slice``) stands among the findings of every mask.
    ``coverage_volume_ml`` is the volume by planimetry: areas enclosed by the outlines times the
    distance they stand for, by their true positions. ROIs without an outline are present and empty.
    Raises ``GeometryRefused`` (``contour_not_in_plane``) or ``NodusError`` (``not_a_mask``).
    """
    header = path if isinstance(path, Header) else read_header(path)
    ds = header.ds
    described = {integer(r, "ROINumber"): r for r in items(ds, "StructureSetROISequence")}
    named = {n: text(r, "ROIName") for n, r in described.items()}
    drawn = {integer(r, "ReferencedROINumber"): r for r in items(ds, "ROIContourSequence")}
    labels = sorted(n for n in {*named, *drawn} if n is not None)
    if not labels:
        raise NodusError(f"{header.path.name} holds no outlines.", code="not_a_mask")
    if len(labels) * int(np.prod(geometry.shape, dtype=np.int64)) > MAX_MASK_BYTES:
        raise NodusError(f"{header.path.name}: its outlines span more than 4 GB of voxels.", code="too_large")
    gaps = _stored_k(geometry, layout)
    every_k = np.arange(geometry.shape[0], dtype=np.float64)
    doubts = [f for f in (layout.findings if layout is not None else ()) if f.severity == "serious"]
    out = []
    for label in labels:
        name = named.get(label)
        array = np.zeros(geometry.shape, dtype=np.bool_)
        volume_ml = 0.0
        findings: list[Finding] = []
        by_slice: dict[int, list[tuple[float, np.ndarray]]] = {}
        uneven = None if gaps is None or _drawn_on_grid(ds, drawn.get(label), geometry) else gaps
        stored_k = every_k if uneven is None else uneven
        # The stored slice that each plane of the grid takes its outlines from.
        source = np.abs(every_k[:, None] - stored_k[None, :]).argmin(axis=1)
        if label in drawn:
            by_slice, findings = _contours(drawn[label], geometry, stored_k, name or f"ROI {label}")
            off = False
            for n, found in by_slice.items():
                nearest = min((exact for exact, _ in found), key=lambda e, at=stored_k[n]: abs(e - at))
                # Outlines of other planes that fall on the same slice would cancel out under XOR.
                chosen = [polygon for exact, polygon in found if abs(exact - nearest) < 0.1]
                off = off or len(chosen) < len(found) or abs(nearest - stored_k[n]) > 0.1
                array[source == n] = fill_even_odd(chosen, *geometry.shape[1:])
            volume_ml, noted = _volume_ml(by_slice, geometry, uneven)
            findings += noted
            if off:
                findings.append(Finding("contours_off_slices", "Some outlines lie between the image's slices; each slice takes the nearest one.", "warning"))
        out.append(
            NodeMask(
                array,
                geometry,
                label=label,
                name=name,
                coverage_volume_ml=volume_ml,
                findings=(*findings, *doubts),
                origin=_origin(described.get(label), None if uneven is None else sorted(by_slice)),
            )
        )
    return tuple(out)
