"""Structures at risk by one click: a contrast-filled vessel or an airway grown inside a ball."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from volumetry.errors import SegmentationRefused
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask

REACH_MM = 45.0


def grow_structure(image: ImageVolume, seed_mm, name: str, *, reach_mm: float = REACH_MM) -> NodeMask:
    """Connected region around a click whose values stay near the click's own.

    The window is half-way between the click's level and soft tissue (60 HU), open on the far side:
    a vessel brighter than muscle grows upwards, an airway downwards. Nothing farther than
    ``reach_mm`` from the click is taken. Refuses a click outside the image (``seed_outside``) and
    one on soft tissue, where no level separates the structure from its neighbours (``no_contrast``).
    """
    g = image.geometry
    if not g.contains(seed_mm):
        raise SegmentationRefused("The click lies outside the image.", code="seed_outside")
    index = np.clip(np.rint(g.world_to_index(seed_mm)).astype(int), 0, np.array(g.shape[::-1]) - 1)
    half = np.ceil(reach_mm / np.array(g.spacing_mm)).astype(int)
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, np.array(g.shape[::-1]))
    box = tuple(slice(int(a), int(b)) for a, b in zip(low[::-1], high[::-1]))
    crop = image.array[box].astype(np.float32)
    local = tuple(int(v) for v in (index - low)[::-1])
    near = tuple(slice(max(0, c - 1), c + 2) for c in local)
    level = float(np.median(crop[near]))
    soft_tissue = 60.0
    edge = (level + soft_tissue) / 2
    if abs(level - soft_tissue) < 60.0:
        raise SegmentationRefused(f"At {level:.0f} HU {name} does not stand out from soft tissue; outline it with the brush.", code="no_contrast")
    inside = crop >= edge if level > soft_tissue else crop <= edge
    k, j, i = np.ogrid[box[0], box[1], box[2]]
    points = [g.affine[a, 0] * i + g.affine[a, 1] * j + g.affine[a, 2] * k + g.affine[a, 3] - seed_mm[a] for a in range(3)]
    inside &= points[0] ** 2 + points[1] ** 2 + points[2] ** 2 <= reach_mm**2
    labels, _count = ndimage.label(inside)
    if labels[local] == 0:
        raise SegmentationRefused("Nothing connected was found at the click.", code="no_contrast")
    array = np.zeros(g.shape, bool)
    array[box] = labels == labels[local]
    return NodeMask(array, g, name=name)
