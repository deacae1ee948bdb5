"""How long a node is: in the plane of acquisition (RECIST) and along its own three axes.

All lengths run between points of the mask's 0.5 surface: midpoints of the edges between a voxel
of the node and its neighbour outside. Extremes over such points only need the convex hull, and the
hull of all edge midpoints is the hull of the voxel centres moved by half a step along each axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import ConvexHull

from volumetry.geometry import ImageGeometry
from volumetry.kernels.extent import farthest_pairs, longest_chord, planar_hull, slice_outline, surface_corners

TIE = 1e-9  # relative difference below which two lengths count as equal
TIED_PAIRS = 64

Segment = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True, slots=True)
class PlanarDiameters:
    """RECIST pair in one acquisition slice. Of equally long axes the one with the longest
    perpendicular chord counts, then the slice nearest to the node's centre."""

    long_axis_mm: float
    short_axis_mm: float
    slice_index: int
    long_axis_points_mm: Segment
    short_axis_points_mm: Segment


@dataclass(frozen=True, slots=True)
class OrientedAxes:
    """The node's own axes on mesh vertices: L the largest distance, W the largest extent at right
    angles to L, H the extent at right angles to both; with the convex hull they come from."""

    axes_mm: tuple[float, float, float]
    length_points_mm: Segment
    directions: tuple[tuple[float, float, float], ...]
    hull_volume_mm3: float

    @property
    def max_3d_diameter_mm(self) -> float:
        """Largest distance between two mesh vertices (L)."""
        return self.axes_mm[0]


def _segment(a, b) -> Segment:
    """Two points as plain numbers, ordered so that the same line is always written the same way."""
    first, second = sorted((tuple(float(v) for v in a), tuple(float(v) for v in b)))
    return first, second


def planar_diameters(padded: np.ndarray, geometry: ImageGeometry, hulls: tuple[np.ndarray, np.ndarray], first_slice: int = 0) -> PlanarDiameters:
    """Longest in-slice distance between outline points over all slices, and the longest chord
    inside the outline at right angles to it in that slice.

    ``padded`` is uint8 [k, j, i] with one empty voxel around, ``geometry`` its grid and ``hulls``
    the answer of ``slice_hulls(padded)``. ``first_slice`` is added to the slice index.
    """
    starts, corners = hulls
    step_i, step_j = geometry.affine[:3, 0], geometry.affine[:3, 1]
    offsets = np.array([step_i, -step_i, step_j, -step_j]) / 2
    plane_points = corners @ np.stack([step_i, step_j])
    best, candidates = 0.0, []
    for k in np.flatnonzero(np.diff(starts)):
        centres = plane_points[starts[k] : starts[k + 1]]
        points = (centres[:, None, :] + offsets).reshape(-1, 3)
        reach = np.linalg.norm(np.ptp(points, axis=0))
        if reach < best * (1 - TIE):
            continue  # even the box around this slice is shorter
        longest, pairs = farthest_pairs(points, best * (1 - TIE), TIE, TIED_PAIRS)
        if len(pairs) == 0:
            continue
        if longest > best * (1 + TIE):
            candidates = []
        best = max(best, longest)
        candidates.append((int(k), points, pairs))
    middle = np.mean([k for k, _, _ in candidates])
    candidates.sort(key=lambda c: (abs(c[0] - middle), c[0]))
    normal = np.cross(step_i, step_j)
    normal /= np.linalg.norm(normal)
    chosen = None
    for k, points, pairs in candidates[:2]:
        outline = slice_outline(np.ascontiguousarray(padded[k]))
        ends = outline.reshape(-1, 2) @ np.stack([step_i, step_j])
        tried: list[np.ndarray] = []
        for a, b in pairs:
            along = points[b] - points[a]
            along /= np.linalg.norm(along)
            if any(abs(along @ other) > 1 - 1e-12 for other in tried):
                continue  # parallel: the same chord
            tried.append(along)
            across = np.cross(normal, along)
            flat = np.stack([ends @ along, ends @ across], axis=1).reshape(-1, 4)
            chord, t, s0, s1 = longest_chord(flat)
            if chosen is None or chord > chosen[0] * (1 + TIE):
                base = geometry.affine[:3, 3] + k * geometry.affine[:3, 2]
                long_ends = _segment(base + points[a], base + points[b])
                short_ends = _segment(base + t * along + s0 * across, base + t * along + s1 * across)
                chosen = (chord, k, long_ends, short_ends)
    chord, k, long_ends, short_ends = chosen
    return PlanarDiameters(float(best), float(chord), k + first_slice, long_ends, short_ends)


def oriented_axes(geometry: ImageGeometry, hulls: tuple[np.ndarray, np.ndarray]) -> OrientedAxes:
    """Largest 3D diameter, the extents at right angles to it, and the convex hull's volume.

    ``hulls`` is the answer of ``slice_hulls`` for a mask on ``geometry``.
    """
    hull = ConvexHull(surface_corners(*hulls) / 2.0)
    points = np.ascontiguousarray(geometry.index_to_world(hull.points[hull.vertices]))
    length, pairs = farthest_pairs(points, 0.0, TIE, TIED_PAIRS)
    best: tuple | None = None
    tried: list[np.ndarray] = []
    for a, b in pairs:
        first = points[b] - points[a]
        first /= np.linalg.norm(first)
        if any(abs(first @ other) > 1 - 1e-12 for other in tried):
            continue
        tried.append(first)
        if len(tried) > 8:
            break  # a ball: further directions repeat the same extents
        width, height, second, third = _extents_across(points, first)
        rank = (round(width, 7), round(height, 7))
        if best is None or rank > best[0]:
            best = (rank, (float(length), width, height), _segment(points[a], points[b]), (first, second, third))
    _, axes, ends, directions = best
    return OrientedAxes(
        axes_mm=axes,
        length_points_mm=ends,
        directions=tuple(tuple(float(v) for v in d) for d in directions),
        hull_volume_mm3=float(hull.volume) * geometry.voxel_size_mm3,
    )


def _extents_across(points: np.ndarray, first: np.ndarray) -> tuple[float, float, np.ndarray, np.ndarray]:
    """(W, H, direction of W, direction of H) of ``points`` at right angles to unit vector ``first``."""
    helper = np.eye(3)[np.argmin(np.abs(first))]
    u = np.cross(first, helper)
    u /= np.linalg.norm(u)
    v = np.cross(first, u)
    flat = np.ascontiguousarray(points @ np.stack([u, v], axis=1))
    flat = np.ascontiguousarray(flat[planar_hull(flat)])
    width, pairs = farthest_pairs(flat, 0.0, TIE, 16)
    best = None
    for a, b in pairs:
        direction = (flat[b] - flat[a]) / width
        height = float(np.ptp(flat @ np.array([-direction[1], direction[0]])))
        if best is None or height > best[0] * (1 + TIE):
            best = (height, direction)
    height, direction = best
    second = direction[0] * u + direction[1] * v
    return float(width), height, second, np.cross(first, second)
