"""Structures at risk by one click: a contrast-filled vessel or an airway grown inside a ball."""

from __future__ import annotations

import numpy as np

from volumetry.errors import SegmentationRefused
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.segmentation.editing import threshold_in_ball

REACH_MM = 45.0
# What a click or an outline in the neck can be, with its tissue preset: names that the rule on unknown structures
# (``planning.anatomy``) understands. The first two are required in every neck plan.
NECK_STRUCTURES = (
    ("carotid", "blood"), ("jugular", "blood"), ("other vessel", "blood"), ("trachea", "air"), ("larynx", "cartilage"),
    ("oesophagus", "oesophagus"), ("vagus nerve", "nerve"), ("recurrent laryngeal nerve", "nerve"), ("bone", "bone"),
)  # fmt: skip
SIDED = ("carotid", "jugular", "vagus nerve", "recurrent laryngeal nerve")
SOFT_TISSUE_HU = 60.0
CLEARLY_APART_HU = 60.0


def structure_name(kind: str, side: str = "unknown", used: tuple[str, ...] | set[str] = ()) -> str:
    """What a structure of this kind is called in a plan: with its side (``left``, ``right``) where it has one and it is
    known, numbered where the name is taken."""
    name = f"{side} {kind}" if kind in SIDED and side in ("left", "right") else kind
    return next(n for n in (name, *(f"{name} {i}" for i in range(2, 1000))) if n not in used)


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
    i, j, k = (round(float(v)) for v in np.clip(g.world_to_index(seed_mm), 0, np.array(g.shape[::-1]) - 1))
    level = float(np.median(image.array[max(0, k - 1) : k + 2, max(0, j - 1) : j + 2, max(0, i - 1) : i + 2]))
    if abs(level - SOFT_TISSUE_HU) < CLEARLY_APART_HU:
        raise SegmentationRefused(f"At {level:.0f} HU {name} does not stand out from soft tissue; outline it with the brush.", code="no_contrast")
    edge = (level + SOFT_TISSUE_HU) / 2
    low, high = (edge, np.inf) if level > SOFT_TISSUE_HU else (-np.inf, edge)
    array = threshold_in_ball(image, seed_mm, reach_mm, low, high, connected=True)
    if not array.any():
        raise SegmentationRefused("Nothing connected was found at the click.", code="no_contrast")
    return NodeMask(array, g, name=name)
