"""What a solved field leaves of a target, and how far it reaches beyond it, as surfaces. Pictures, never the source of a number."""

from __future__ import annotations

import numpy as np

from app.ui.scene.surfaces import Surface, iso_surface
from volumetry.geometry import ImageGeometry
from volumetry.segmentation.editing import bounding_box

NOTHING: Surface = (np.empty((0, 3), np.float32), np.empty((0, 3), np.int64))
PAD = 3
OUTWARD = 0.07  # of the smoothed mask: the red lies a hair outside the target's own surface and is not cut up by it


def uncovered_surface(mask: np.ndarray, geometry: ImageGeometry, field_v_per_cm: np.ndarray, field_geometry: ImageGeometry, lethal_v_per_cm: float) -> Surface:
    """Closed surface of the part of ``mask`` [k, j, i] where the field is below ``lethal_v_per_cm``; empty where all of
    it is covered. Beyond the field's grid counts as uncovered."""
    from scipy.ndimage import gaussian_filter, map_coordinates

    box = bounding_box(mask)
    if box is None:
        return NOTHING
    inside = np.pad(mask[box].astype(np.float32), PAD)
    corner = np.array([box[2].start - PAD, box[1].start - PAD, box[0].start - PAD], float)
    affine = geometry.affine.copy()
    affine[:3, 3] = geometry.index_to_world(corner)
    here = ImageGeometry(inside.shape, affine)
    k, j, i = np.indices(inside.shape)
    at = field_geometry.world_to_index(here.index_to_world(np.stack([i, j, k], -1).reshape(-1, 3)))
    values = map_coordinates(np.nan_to_num(field_v_per_cm), at.T[::-1], order=1, mode="constant", cval=0.0).reshape(inside.shape)
    below = np.log(lethal_v_per_cm / np.maximum(values, 1.0))  # nearly linear around a needle, unlike the field itself
    if not ((below > 0) & (inside > 0.5)).any():
        return NOTHING
    return iso_surface(np.minimum(gaussian_filter(inside, 0.7) - (0.5 - OUTWARD), below).astype(np.float32), here, 0.0)


def label_point(surface: Surface) -> np.ndarray | None:
    """The vertex of a surface nearest to its own middle: a place on it for a name; None where it is empty."""
    vertices = surface[0]
    if len(vertices) == 0:
        return None
    return vertices[int(np.argmin(((vertices - vertices.mean(axis=0)) ** 2).sum(axis=1)))].astype(float)
