"""Metal near a target on CT: voxels at or above a density, within a distance of the target.

Plates, screws and fixed catheters distort the field and are an exclusion of the trial. The density and the distance are the
protocol's; enamel and dense bone can reach them too, so what is found is shown to a person, who decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from volumetry.errors import MeasurementRefused
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask


@dataclass(frozen=True, slots=True)
class MetalNear:
    """What was found. ``nearest_mm`` is from the centre of the nearest such voxel to the nearest of the target's (None: none found);
    ``whole`` False: the picture ends within the distance, so that metal beyond its edge would not be seen."""

    voxels: int
    max_hu: float
    nearest_mm: float | None
    hu_from: float
    within_mm: float
    whole: bool


def metal_near(image: ImageVolume, target: NodeMask | np.ndarray, *, hu_from: float, within_mm: float) -> MetalNear:
    """Voxels of ``image`` (HU) at or above ``hu_from`` whose centre lies within ``within_mm`` of the target.

    ``target``: a mask on the grid of the image, or points ``(n, 3)`` LPS mm. Sheared grids are right too. ``max_hu`` is the
    largest value within the distance. Refuses ``metal_needs_ct`` (values are no HU), ``empty_mask``, ``wrong_grid``, ``target_outside`` (a target beyond the picture), ``value_refused``.
    """
    if image.unit != "HU":
        raise MeasurementRefused("Metal is looked for on CT: these values are not in HU.", code="metal_needs_ct")
    if not (np.isfinite(hu_from) and np.isfinite(within_mm) and within_mm > 0):
        raise MeasurementRefused("Density and distance must be numbers, the distance above zero.", code="value_refused")
    points = _points(image, target)
    index = image.geometry.world_to_index(points)
    limits = np.array(image.geometry.shape[::-1])
    if (index < -0.5).any() or (index > limits - 0.5).any():
        raise MeasurementRefused("The target lies outside the picture.", code="target_outside")
    # How far a ball of that radius reaches along each index axis: the row lengths of the inverse map, right for any grid.
    reach = within_mm * np.linalg.norm(np.linalg.inv(image.geometry.affine[:3, :3]), axis=1)
    low, high = index.min(axis=0) - reach, index.max(axis=0) + reach
    whole = bool((low >= -0.5).all() and (high <= limits - 0.5).all())
    first = np.maximum(np.ceil(low), 0).astype(int)
    stop = np.minimum(np.floor(high) + 1, limits).astype(int)
    crop = image.array[first[2] : stop[2], first[1] : stop[1], first[0] : stop[0]]
    tree = cKDTree(points)
    largest = _largest_within(crop, first, image, tree, within_mm)
    hot = np.argwhere(crop >= hu_from)[:, ::-1] + first
    if not len(hot):
        return MetalNear(0, largest, None, float(hu_from), float(within_mm), whole)
    distance, _ = tree.query(image.geometry.index_to_world(hot), distance_upper_bound=within_mm * (1 + 1e-9))
    near = distance[np.isfinite(distance)]
    return MetalNear(len(near), largest, float(near.min()) if len(near) else None, float(hu_from), float(within_mm), whole)


def _points(image: ImageVolume, target: NodeMask | np.ndarray) -> np.ndarray:
    """Centres of the target's voxels, LPS mm, or the points as given."""
    if not isinstance(target, NodeMask):
        points = np.atleast_2d(np.asarray(target, dtype=np.float64))
        if points.shape[-1] != 3 or not np.isfinite(points).all():
            raise MeasurementRefused("The target's points must be three finite millimetres each.", code="value_refused")
        return points
    if not target.geometry.same_grid(image.geometry):
        raise MeasurementRefused("The outline does not lie on the slices of this picture.", code="wrong_grid")
    if target.bounding_slices() is None:
        raise MeasurementRefused("There is no outline: nothing to look near.", code="empty_mask")
    return image.geometry.index_to_world(np.argwhere(target.array)[:, ::-1])


def _largest_within(crop: np.ndarray, first: np.ndarray, image: ImageVolume, tree: cKDTree, within_mm: float) -> float:
    """The largest value within the distance: looked for from the top down, so that few distances are worked out."""
    order = np.argsort(crop, axis=None)[::-1]
    for start in range(0, order.size, 4096):
        part = order[start : start + 4096]
        k, j, i = np.unravel_index(part, crop.shape)
        distance, _ = tree.query(image.geometry.index_to_world(np.stack([i, j, k], axis=1) + first), distance_upper_bound=within_mm * (1 + 1e-9))
        inside = np.flatnonzero(np.isfinite(distance))
        if inside.size:
            return float(crop.flat[part[inside[0]]])
    return float("-inf")
