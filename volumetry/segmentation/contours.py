"""Outlines of a mask or a surface in one slice, for drawing and for contour files."""

from __future__ import annotations

import numpy as np
from skimage.measure import find_contours

from volumetry.geometry import ImageGeometry
from volumetry.segmentation.editing import bounding_box


def outlines_in_slice(array: np.ndarray, axis: int, number: int) -> list[np.ndarray]:
    """Closed outlines of the True pixels of one slice of ``array[k, j, i]``.

    ``axis`` 0, 1, 2 cuts across k, j, i. Each outline is (n, 3) index points (i, j, k), first point
    repeated at the end, running half-way between inside and outside pixel centres. Holes come as
    outlines of their own. An empty slice (or a number outside the grid) gives an empty list.
    """
    if not 0 <= number < array.shape[axis]:
        return []
    plane = np.take(array, number, axis=axis)
    box = bounding_box(plane[None])
    if box is None:
        return []
    rows, columns = box[1], box[2]
    padded = np.pad(plane[rows, columns], 1).astype(np.float32)
    out = []
    for line in find_contours(padded, 0.5):
        first = line[:, 0] - 1 + rows.start
        second = line[:, 1] - 1 + columns.start
        index = np.empty((len(line), 3))
        across, down, along = 2 - axis, (1 if axis == 0 else 2), (0 if axis != 2 else 1)
        index[:, across] = number
        index[:, down] = first
        index[:, along] = second
        out.append(index)
    return out


def outlines_mm(array: np.ndarray, geometry: ImageGeometry, axis: int, number: int) -> list[np.ndarray]:
    """``outlines_in_slice`` as LPS millimetre points (n, 3)."""
    return [geometry.index_to_world(line) for line in outlines_in_slice(array, axis, number)]


def surface_segments(vertices_mm: np.ndarray, faces: np.ndarray, point_mm, normal) -> np.ndarray:
    """Where a closed surface meets a plane: (m, 2, 3) line segments in LPS mm, for drawing the
    sub-voxel outline. Empty where they do not meet."""
    n = np.asarray(normal, dtype=np.float64)
    n = n / np.linalg.norm(n)
    height = (vertices_mm - np.asarray(point_mm)) @ n
    height = np.where(height == 0.0, 1e-12, height)  # a vertex in the plane counts as just above it
    corner = height[faces]
    cut = (corner > 0).any(axis=1) & (corner < 0).any(axis=1)
    corner, corners = corner[cut], vertices_mm[faces[cut]]
    if not len(corner):
        return np.empty((0, 2, 3))
    # the corner that stands alone on its side is joined to the other two
    alone = np.where((corner > 0).sum(axis=1) == 1, corner.argmax(axis=1), corner.argmin(axis=1))
    rows = np.arange(len(corner))
    ends = []
    for other in (1, 2):
        b = (alone + other) % 3
        share = corner[rows, alone] / (corner[rows, alone] - corner[rows, b])
        ends.append(corners[rows, alone] + share[:, None] * (corners[rows, b] - corners[rows, alone]))
    return np.stack(ends, axis=1)
