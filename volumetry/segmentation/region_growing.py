"""The plain fallback: connected voxels of like intensity inside the drag ball.

It knows no shape; it is for nodes that no star of rays can describe. The outline is that of the
voxels, so there is no sub-voxel volume.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from volumetry.errors import SegmentationRefused
from volumetry.finding import Finding
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.segmentation.editing import fill_holes, grow, keep_touching, paint, widened
from volumetry.segmentation.result import SegmentationQuality, SegmentationResult


def grow_region(
    image: ImageVolume, seed_mm, radius_mm: float, *, reach: float = 1.5, width_sd: float = 2.5, label: int = 1, name: str | None = None
) -> SegmentationResult:
    """Voxels like those around the click, connected to it, within ``reach`` drag radii.

    The range is the median of the inner 40 % of the drag +- ``width_sd`` robust sd of a 3 x 3
    in-plane mean; bridges thinner than about two voxels are cut; the rim is then taken up to half-way
    to the surroundings, where the blur has its border; holes are filled. Raises
    ``SegmentationRefused`` (``no_boundary``) where nothing grows or all of the ball does.
    """
    whole = np.zeros(image.geometry.shape, dtype=bool)
    box = paint(whole, image.geometry, seed_mm, reach * radius_mm)
    if box is None:
        raise SegmentationRefused("The click lies outside the picture.", code="seed_outside")
    # Everything happens in and close around the ball: a pass over a whole large picture takes a second.
    wide = widened(box, 3, whole.shape)
    geometry, ball = image.geometry.cropped(wide), whole[wide].copy()
    core = np.zeros_like(ball)
    paint(core, geometry, seed_mm, max(0.4 * radius_mm, 1.2 * min(geometry.spacing_mm)))
    part = np.asarray(image.array[box], dtype=np.float32)
    if not np.isfinite(part).all():
        raise SegmentationRefused("The picture has undefined values (NaN) around the click.", code="nan")
    soft = ndimage.uniform_filter(part, size=(1, 3, 3))
    box = tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, wide, strict=True))
    inside = soft[core[box]]
    middle = float(np.median(inside))
    spread = max(1.4826 * float(np.median(np.abs(inside - middle))), 0.02 * float(np.ptp(part)), 1e-6)
    near = ball.copy()
    near[box] &= np.abs(soft - middle) <= width_sd * spread
    thinnest = min(geometry.spacing_mm)
    opened = grow(near, geometry, -thinnest)
    chosen = near & grow(keep_touching(opened, geometry, seed_mm), geometry, thinnest) if opened.any() else near
    chosen = keep_touching(chosen, geometry, seed_mm)
    chosen[box] = _to_half_way(chosen[box], ball[box], soft, middle)
    array = fill_holes(chosen)
    share = array.sum() / max(int(ball.sum()), 1)
    if not array.any() or share > 0.95:
        raise SegmentationRefused(
            "No boundary was found around the click: the surroundings look like the node.",
            code="no_boundary",
            hint="Use the star tool with anchors, or draw the outline by hand.",
        )
    findings = []
    rim = array & ~grow(ball, geometry, -1.5 * thinnest)
    if rim.sum() > 0.02 * array.sum():
        findings.append(Finding("search_limit", "The region was stopped at the limit of the drag; cut the leak or drag anew."))
    centre = geometry.index_to_world(np.argwhere(array).mean(axis=0)[::-1])
    shell = grow(array, geometry, thinnest) & ~array
    contrast = float(np.median(np.abs(image.array[wide][shell].astype(np.float32) - middle))) if shell.any() else 0.0
    whole[wide] = array
    return SegmentationResult(
        NodeMask(whole, image.geometry, label=label, name=name),
        np.empty((0, 3)),
        np.empty((0, 3), dtype=np.int64),
        tuple(float(v) for v in centre),
        None,
        (middle, spread),
        SegmentationQuality(1.0 - float(rim.sum()) / float(array.sum()), contrast / spread, float("nan"), (float("nan"), float("nan"))),
        tuple(findings),
        "region_growing",
    )


def _to_half_way(region: np.ndarray, ball: np.ndarray, soft: np.ndarray, middle: float) -> np.ndarray:
    """Two more layers of voxels, as far as they are nearer to the node than to what lies around."""
    for _ in range(2):
        outer = ndimage.binary_dilation(region, iterations=3) & ball & ~region
        if not outer.any():
            return region
        half = 0.5 * float(np.median(np.abs(soft[outer] - middle)))
        region = region | (ndimage.binary_dilation(region) & ball & (np.abs(soft - middle) < half))
    return region
