"""Volume from outlines in parallel planes: area times true distance, no voxels in between.

Each plane's area (even-odd: an outline inside another is a hole, two side by side are two parts) is
multiplied by the extent it stands for: half-way to the plane below and half-way to the plane above,
by their true positions, and at both ends as far outward as inward. On even spacing this is the sum
of areas times the slice distance, the Cavalieri estimate, which is unbiased over where the slices fall
(Gundersen and Jensen, J Microsc 1987;147:229).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from volumetry.errors import MeasurementRefused
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.uncertainty import VolumeUncertainty, sections_uncertainty

FLAT_MM = 0.5  # how far a point may lie off its outline's plane
PARALLEL_DEG = 1.0
SAME_PLANE_MM = 0.01  # rounding of positions in files
WIDE_GAP = 1.5  # times the usual distance
CHUNK = 4_000_000  # numbers held at once while areas are summed

Rule = Literal["even_odd", "signed"]


@dataclass(frozen=True, slots=True)
class SectionPlane:
    """One plane: ``position_mm`` along the common normal, ``area_mm2`` inside its outlines,
    ``outline_mm`` their length and ``extent_mm``, the thickness it stands for."""

    position_mm: float
    area_mm2: float
    outline_mm: float
    extent_mm: float


@dataclass(frozen=True, slots=True)
class Planimetry:
    """``volume_ml`` and the planes it is summed over, in ascending order of position."""

    volume_ml: float
    planes: tuple[SectionPlane, ...]
    normal: tuple[float, float, float]
    findings: tuple[Finding, ...] = ()

    @property
    def surface_mm2(self) -> float:
        """Surface estimated from the outlines: 4/pi x sum of length x extent, right on average over
        all directions of cutting (Baddeley and Jensen, Stereology for Statisticians, 2005)."""
        return 4.0 / math.pi * sum(p.outline_mm * p.extent_mm for p in self.planes)

    def uncertainty(self, outlined: str = "manual") -> VolumeUncertainty:
        """95 % interval and its causes: how many planes there are, and the reader's hand (a key of
        ``volumetry.uncertainty.OUTLINED``) along the whole surface. The widest extent counts, so
        that unevenly drawn planes are not taken for more than they are."""
        extents = [p.extent_mm for p in self.planes]
        return sections_uncertainty(self.volume_ml, self.surface_mm2, max(1, int(sum(extents) / max(extents) + 1e-6)), outlined)

    def interval_ml(self, outlined: str = "manual") -> tuple[float, float]:
        """Only the interval (low, high) in ml of ``uncertainty``."""
        return self.uncertainty(outlined).interval_ml


def _crossing_heights(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y where edges ``a[n]``-``b[n]`` (n, 2) cross one another inside."""
    d = b - a
    out = []
    rows = max(1, CHUNK // max(len(a), 1))
    for start in range(0, len(a), rows):
        p, r = a[start : start + rows, None, :], d[start : start + rows, None, :]
        across = r[..., 0] * d[None, :, 1] - r[..., 1] * d[None, :, 0]
        gap = a[None] - p
        with np.errstate(divide="ignore", invalid="ignore"):
            t = (gap[..., 0] * d[None, :, 1] - gap[..., 1] * d[None, :, 0]) / across
            u = (gap[..., 0] * r[..., 1] - gap[..., 1] * r[..., 0]) / across
        hit = (across != 0) & (t > 0) & (t < 1) & (u > 0) & (u < 1)
        first = np.nonzero(hit)[0] + start
        out.append(a[first, 1] + t[hit] * d[first, 1])
    return np.concatenate(out) if out else np.empty(0)


def enclosed_area(polygons: Iterable[np.ndarray], rule: Rule = "even_odd") -> float:
    """Area inside closed polygons (n, 2), in their unit squared.

    ``even_odd`` counts what lies inside an odd number of them, exactly, also where they cross or
    share an edge. ``signed`` sums their signed areas: holes run the other way round.
    """
    polygons = [np.asarray(p, dtype=np.float64) for p in polygons]
    if not polygons:
        return 0.0
    # relative to one corner, so that far from the origin no digits are lost
    corner = polygons[0][0]
    a = np.concatenate([p - corner for p in polygons])
    b = np.concatenate([np.roll(p, -1, axis=0) - corner for p in polygons])
    if rule == "signed":
        return float(abs((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / 2.0)
    # between two heights where anything happens every width is linear: its middle gives the strip
    heights = np.unique(np.concatenate([a[:, 1], _crossing_heights(a, b)]))
    middle, strip = (heights[:-1] + heights[1:]) / 2.0, np.diff(heights)
    low, high = np.minimum(a[:, 1], b[:, 1]), np.maximum(a[:, 1], b[:, 1])
    total = 0.0
    rows = max(1, CHUNK // max(len(a), 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (b[:, 0] - a[:, 0]) / (b[:, 1] - a[:, 1])
        for start in range(0, len(middle), rows):
            y = middle[start : start + rows, None]
            hit = (low < y) & (y < high)
            x = np.sort(np.where(hit, a[:, 0] + (y - a[:, 1]) * slope, np.inf), axis=1)
            sign = np.where(np.arange(x.shape[1]) % 2 == 0, -1.0, 1.0)
            width = np.where(np.isfinite(x), x, 0.0) @ sign
            total += float((width * strip[start : start + rows]).sum())
    return total


def _own_normal(points: np.ndarray) -> np.ndarray:
    """Area vector of a closed outline (Newell): direction of its normal, length its area."""
    p = points - points[0]
    return np.cross(p, np.roll(p, -1, axis=0)).sum(axis=0) / 2.0


def planimetry(
    contours: Iterable[np.ndarray], *, slice_mm: float | None = None, slices_at_mm: np.ndarray | None = None, rule: Rule = "even_odd"
) -> Planimetry:
    """Volume of a body from closed planar outlines, (n, 3) LPS mm each, in any order.

    ``slice_mm`` is the distance of the slices that the outlines were drawn on: no plane then stands
    for more than its own slice, so a slice without an outline counts as empty, and one plane alone
    is enough. ``slices_at_mm`` (n, 3) says the same of unevenly spaced slices: a point of each; every
    slice reaches half-way to the next, drawn on or not, and an outline stands for the slice nearest to
    it. Without either each plane reaches half-way to its neighbours. Warning ``contour_gaps`` where
    planes lie unusually far apart.

    Refuses ``bad_contour`` (fewer than three points, not finite, no area at all), ``contour_not_in_plane``,
    ``contours_not_parallel``, ``too_few_contours`` (one plane and nothing said about slices) and
    ``bad_spacing`` (``slice_mm`` not above 0; fewer than two different slices in ``slices_at_mm``).
    """
    lines = []
    for contour in contours:
        points = np.asarray(contour, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 3 or len(points) < 3 or not np.isfinite(points).all():
            raise MeasurementRefused("An outline needs at least three points in space.", code="bad_contour")
        lines.append(points)
    if slice_mm is not None and not (np.isfinite(slice_mm) and slice_mm > 0):
        raise MeasurementRefused(f"A slice distance of {slice_mm} mm cannot be.", code="bad_spacing")
    normals = [_own_normal(p) for p in lines]
    sizes = np.array([np.linalg.norm(n) for n in normals])
    if not len(lines) or sizes.max() <= 0:
        raise MeasurementRefused("The outlines enclose nothing.", code="bad_contour")
    normal = normals[int(sizes.argmax())] / sizes.max()
    normal = normal * np.sign(normal[np.abs(normal).argmax()])
    for own, size, points in zip(normals, sizes, lines, strict=True):
        # a sliver or a figure of eight has no normal of its own; flatness still holds for it
        if size > 0.05 * np.ptp(points, axis=0).max() ** 2 and abs(own @ normal) < size * np.cos(np.radians(PARALLEL_DEG)):
            raise MeasurementRefused("The outlines do not lie in parallel planes.", code="contours_not_parallel", hint="Outline the node in one direction only.")
        if np.ptp(points @ normal) > 2 * FLAT_MM:
            raise MeasurementRefused("An outline does not lie in one plane.", code="contour_not_in_plane")
    helper = np.eye(3)[int(np.abs(normal).argmin())]
    u = np.cross(normal, helper)
    u /= np.linalg.norm(u)
    frame = np.stack([u, np.cross(normal, u)], axis=1)
    heights = np.array([float((p @ normal).mean()) for p in lines])
    groups: list[list[int]] = []
    for n in np.argsort(heights, kind="stable"):
        if groups and heights[n] - heights[groups[-1][0]] <= SAME_PLANE_MM:
            groups[-1].append(int(n))
        else:
            groups.append([int(n)])
    positions = np.array([heights[g].mean() for g in groups])
    areas = np.array([enclosed_area([lines[n] @ frame for n in g], rule) for g in groups])
    gaps = np.diff(positions)
    if len(gaps) == 0 and slice_mm is None and slices_at_mm is None:
        raise MeasurementRefused("Outlines in one plane alone give no volume.", code="too_few_contours", hint="Outline the node on a second slice.")
    lengths = [float(sum(np.linalg.norm(lines[n] - np.roll(lines[n], 1, axis=0), axis=1).sum() for n in g)) for g in groups]
    if slices_at_mm is not None:
        extents, empty_mm = _extents_in_stack(positions, np.asarray(slices_at_mm, dtype=np.float64) @ normal)
        wide, usual = empty_mm > 0, float(np.median(extents))
    else:
        extents = _extents(gaps, slice_mm)
        usual = slice_mm if slice_mm is not None else float(np.median(gaps))
        wide = len(gaps) > 0 and float(gaps.max()) > WIDE_GAP * usual
    findings = []
    if wide:
        what = "is bridged" if slice_mm is None and slices_at_mm is None else "counts as empty"
        findings.append(Finding("contour_gaps", f"Between two outlines {gaps.max():.3g} mm are not drawn (usually {usual:.3g} mm); the gap {what}."))
    planes = tuple(SectionPlane(float(p), float(a), length, float(e)) for p, a, length, e in zip(positions, areas, lengths, extents, strict=True))
    return Planimetry(float(areas @ extents) / 1000.0, planes, tuple(float(v) for v in normal), tuple(findings))


def _extents(gaps: np.ndarray, slice_mm: float | None) -> np.ndarray:
    """Thickness in mm that each plane stands for."""
    if len(gaps) == 0:
        return np.array([slice_mm])
    half = gaps / 2.0
    if slice_mm is not None:
        half = np.minimum(half, slice_mm / 2.0)
    return np.concatenate([half[:1], half]) + np.concatenate([half, half[-1:]])


def _extents_in_stack(positions: np.ndarray, slices_at: np.ndarray) -> tuple[np.ndarray, float]:
    """Thickness in mm of the slice that each plane lies on, slices reaching half-way to one another; and
    how much of the stack between the first and the last plane nobody drew on. Several planes on one
    slice share its thickness."""
    slices_at = np.unique(slices_at)
    if len(slices_at) < 2 or not np.isfinite(slices_at).all():
        raise MeasurementRefused("The slices of the stack do not lie apart.", code="bad_spacing")
    half = np.diff(slices_at) / 2.0
    thickness = np.concatenate([half[:1], half]) + np.concatenate([half, half[-1:]])
    nearest = np.abs(positions[:, None] - slices_at[None, :]).argmin(axis=1)
    between = np.arange(nearest.min(), nearest.max() + 1)
    empty_mm = float(thickness[np.setdiff1d(between, nearest)].sum())
    return thickness[nearest] / np.bincount(nearest)[nearest], empty_mm


def planimetry_of_slices(
    contours: Mapping[int, Iterable[np.ndarray]], geometry: ImageGeometry, *, axis: int = 0, only_drawn: bool = False, rule: Rule = "even_odd"
) -> Planimetry:
    """``planimetry`` of outlines drawn on a picture's slices.

    ``contours`` maps a slice number along ``axis`` (0, 1, 2 cuts across k, j, i) to closed outlines
    (n, 2) of (column, row) in that plane, in index units, as ``mask_from_contours`` takes them.
    With ``only_drawn`` each outline stands for its own slice; else gaps are bridged. Sheared stacks
    follow the true distance between their planes.
    """
    along, down, across = ((0, 1, 2), (0, 2, 1), (1, 2, 0))[axis]
    lines = []
    for number, outlines in contours.items():
        for outline in outlines:
            flat = np.asarray(outline, dtype=np.float64)
            if flat.ndim != 2 or flat.shape[1] != 2 or len(flat) < 3:
                raise MeasurementRefused("An outline needs at least three points.", code="bad_contour")
            index = np.empty((len(flat), 3))
            index[:, along], index[:, down], index[:, across] = flat[:, 0], flat[:, 1], number
            lines.append(geometry.index_to_world(index))
    return planimetry(lines, slice_mm=plane_distance_mm(geometry, axis) if only_drawn else None, rule=rule)


def plane_distance_mm(geometry: ImageGeometry, axis: int = 0) -> float:
    """Distance between neighbouring slices at right angles to them; right for sheared grids."""
    steps = [geometry.affine[:3, n] for n in range(3) if n != 2 - axis]
    return geometry.voxel_size_mm3 / float(np.linalg.norm(np.cross(*steps)))
