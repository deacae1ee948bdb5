"""From a closed surface to voxels."""

from __future__ import annotations

import numpy as np

from volumetry.geometry import ImageGeometry
from volumetry.kernels.segmentation_raster import surface_coverage


def coverage_of_surface(
    vertices_mm: np.ndarray, faces: np.ndarray, geometry: ImageGeometry, *, lines: int = 4
) -> tuple[tuple[slice, slice, slice], np.ndarray]:
    """Share of each voxel (0 to 1) inside a closed, outward-winding surface.

    Returns the (k, j, i) box around the surface, clipped to the grid, and the coverage in it
    (float64). ``lines`` is the number of lines per voxel and side; along i it is exact. Parts of
    the surface outside the grid are not counted. The box is empty where nothing lies inside.
    """
    index = geometry.world_to_index(vertices_mm)
    low = np.floor(index.min(axis=0)).astype(int) - 1
    high = np.ceil(index.max(axis=0)).astype(int) + 2
    shape = tuple(int(n) for n in (high - low)[::-1])
    coverage = np.zeros(shape)
    # A flip of the axes (determinant below zero) turns the triangles inside out.
    winding = faces if np.linalg.det(geometry.affine[:3, :3]) > 0 else faces[:, ::-1]
    surface_coverage(np.ascontiguousarray(index - low), np.ascontiguousarray(winding), shape, lines, coverage)
    start = low[::-1]
    box, inner = [], []
    for axis in range(3):
        a = max(0, int(start[axis]))
        b = max(a, min(geometry.shape[axis], int(start[axis]) + shape[axis]))
        box.append(slice(a, b))
        inner.append(slice(a - int(start[axis]), b - int(start[axis])))
    return tuple(box), np.clip(coverage[tuple(inner)], 0.0, 1.0)


def mask_of_surface(vertices_mm: np.ndarray, faces: np.ndarray, geometry: ImageGeometry) -> np.ndarray:
    """Bool ``[k, j, i]``: voxels at least half inside the surface."""
    mask = np.zeros(geometry.shape, dtype=bool)
    box, coverage = coverage_of_surface(vertices_mm, faces, geometry)
    mask[box] = coverage >= 0.5
    return mask
