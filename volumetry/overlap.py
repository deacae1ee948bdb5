"""How far two outlines of one node agree: Dice, Hausdorff and mean surface distance.

Distances are between voxel centres in mm (true positions, also on oblique and sheared grids).
Hausdorff is the larger of the two directed distances between the voxel sets; since a voxel inside
the other set is at distance 0, only the others are looked at. The mean surface distance is between the voxels
of each mask that touch its outside (six neighbours), averaged over both surfaces together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from volumetry.errors import MeasurementRefused
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask


@dataclass(frozen=True, slots=True)
class Overlap:
    """Agreement of two masks. ``dice`` and ``jaccard`` 0 to 1, distances in mm, volumes in ml.

    The distances are None where one mask is empty and the other is not. ``hausdorff_95_mm`` is the
    larger of both directed 95th percentiles over the surface voxels.
    """

    dice: float
    jaccard: float
    hausdorff_mm: float | None
    hausdorff_95_mm: float | None
    mean_surface_distance_mm: float | None
    first_ml: float
    second_ml: float
    common_ml: float


def _surface(array: np.ndarray) -> np.ndarray:
    """Voxels of ``array`` with a six-neighbour outside it; the picture's edge counts as outside."""
    return array & ~ndimage.binary_erosion(array)


def _points(array: np.ndarray, geometry: ImageGeometry) -> np.ndarray:
    return geometry.index_to_world(np.argwhere(array)[:, ::-1])


def overlap(first: NodeMask, second: NodeMask) -> Overlap:
    """Agreement of two masks on one grid; the order does not matter.

    Two empty masks agree fully (Dice 1, no distances). Refuses ``bad_shape`` where the grids differ:
    bring one onto the other's grid first.
    """
    if not first.geometry.same_grid(second.geometry):
        raise MeasurementRefused("The two outlines lie on different grids and cannot be compared voxel by voxel.", code="bad_shape")
    boxes = [m.bounding_slices() for m in (first, second)]
    found = [b for b in boxes if b is not None]
    if not found:
        return Overlap(1.0, 1.0, None, None, None, 0.0, 0.0, 0.0)
    box = tuple(slice(min(b[n].start for b in found), max(b[n].stop for b in found)) for n in range(3))
    a, b = first.array[box], second.array[box]
    geometry = first.geometry.cropped(box)
    n_a, n_b, n_common = int(a.sum()), int(b.sum()), int((a & b).sum())
    ml = geometry.voxel_size_mm3 / 1000.0
    hausdorff = percentile = mean = None
    if n_a and n_b:
        surfaces = [_points(_surface(v), geometry) for v in (a, b)]
        trees = [cKDTree(points) for points in surfaces]
        # the nearest voxel of a body seen from outside it always lies on its surface
        outside = [_points(v, geometry) for v in (a & ~b, b & ~a)]
        directed = [tree.query(points)[0].max(initial=0.0) for points, tree in zip(outside, trees[::-1], strict=True)]
        hausdorff = float(max(directed))
        between = [tree.query(points)[0] for points, tree in zip(surfaces, trees[::-1], strict=True)]
        percentile = float(max(np.percentile(d, 95) for d in between))
        mean = float(np.concatenate(between).mean())
    return Overlap(
        2 * n_common / (n_a + n_b), n_common / (n_a + n_b - n_common), hausdorff, percentile, mean, n_a * ml, n_b * ml, n_common * ml
    )
