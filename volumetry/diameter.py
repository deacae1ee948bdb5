"""How long a node is: in the plane of acquisition (RECIST) and along its own three axes.

All lengths run between points of the mask's 0.5 surface: midpoints of the edges between a voxel
of the node and its neighbour outside. Extremes over such points only need the convex hull, and the
hull of all edge midpoints is the hull of the voxel centres moved by half a step along each axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from volumetry.node_numbers import GridFacts, NodeNumbers

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
    first, second = sorted((tuple(a), tuple(b)))
    return first, second


def _placed(numbers: NodeNumbers, grid: GridFacts, points_mm: np.ndarray) -> np.ndarray:
    """Points relative to the box's first voxel, in the patient."""
    k0, _, j0, _, i0, _ = numbers.box
    return points_mm + grid.geometry.index_to_world((i0, j0, k0))


def planar_diameters(numbers: NodeNumbers, grid: GridFacts) -> PlanarDiameters:
    """Longest in-slice distance between outline points over all slices, and the longest chord
    inside the outline at right angles to it in that slice."""
    long, short, k = numbers.planar[:3].tolist()
    a, b, c, d = _placed(numbers, grid, numbers.planar[3:].reshape(4, 3)).tolist()
    return PlanarDiameters(long, short, int(k) + numbers.box[0], _segment(a, b), _segment(c, d))


def oriented_axes(numbers: NodeNumbers, grid: GridFacts) -> OrientedAxes:
    """Largest 3D diameter, the extents at right angles to it, and the convex hull's volume."""
    ends = _placed(numbers, grid, numbers.own[3:9].reshape(2, 3)).tolist()
    directions = numbers.own[9:18].reshape(3, 3).tolist()
    return OrientedAxes(
        axes_mm=tuple(numbers.own[:3].tolist()),
        length_points_mm=_segment(*ends),
        directions=tuple(tuple(d) for d in directions),
        hull_volume_mm3=float(numbers.own[18]) * grid.voxel_size_mm3,
    )
