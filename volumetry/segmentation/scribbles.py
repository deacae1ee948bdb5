"""The fallback for shapes that no ray describes: strokes inside and outside, and the ridges between.

The strokes flood the gradient of the picture (marker watershed; Meyer and Beucher, J Vis Commun Image
Represent 1990;1:21) and meet on its ridges, which are the borders. What lies at the border of
a ball around the node always counts as outside, so nothing leaks farther than the ball reaches.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from volumetry.errors import SegmentationRefused
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.segmentation.editing import fill_holes, grow, paint, paint_line, smooth
from volumetry.segmentation.result import SegmentationQuality, SegmentationResult

REACH = 1.7
"""The ball's radius over the drag radius (the promise is that nothing lies beyond 2)."""
LARGEST_MM = 60.0
CLEAR_SHARE = 0.6  # below this the outline is said to be weak
FINE_MM = 0.5
LOCAL_MM = 2.0  # how far around a voxel its inside and outside are averaged
SOFT_MM = 0.8  # sd of the smoothing before the gradient: about the blur of a CT


def segment_scribbles(
    image: ImageVolume, inside, outside=None, *, centre_mm, radius_mm: float, label: int = 1, name: str | None = None
) -> SegmentationResult:
    """Outline what the inside strokes mark, as far as the nearest border from the outside strokes.

    ``inside`` and ``outside`` are each a bool array ``[k, j, i]`` on the picture's grid, or a list of
    strokes ``(points_mm, radius_mm)``: LPS points ``(n, 3)`` joined to a line of that half-width.
    ``outside`` may be absent. ``centre_mm`` and ``radius_mm`` are the drag; the ball is ``REACH`` times as
    large and nothing beyond it is ever taken. A voxel outline: no sub-voxel volume, no surface.

    Raises ``SegmentationRefused``: ``nan``, ``seed_outside``, ``radius_too_small``, ``radius_too_large``,
    ``bad_shape``, ``bad_stroke``, ``scribble_missing`` (nothing marked inside the ball),
    ``scribbles_overlap`` (a voxel marked both ways), ``no_boundary``. Findings: ``search_limit``,
    ``weak_boundary``, ``touches_border``.
    """
    geometry = image.geometry
    centre = _checked(geometry, centre_mm, radius_mm)
    ball = np.zeros(geometry.shape, dtype=bool)
    box = paint(ball, geometry, centre, REACH * radius_mm)
    if box is None:
        raise SegmentationRefused("The click lies outside the picture.", code="seed_outside")
    ball = ball[box]
    wanted = _marked(inside, geometry)[box] & ball
    unwanted = _marked(outside, geometry)[box]
    if not wanted.any():
        raise SegmentationRefused("No stroke marks the node within the drag.", code="scribble_missing", hint="Draw a stroke inside the node.")
    if (wanted & unwanted).any():
        raise SegmentationRefused("A stroke inside and a stroke outside cross.", code="scribbles_overlap", hint="Undo one of them and draw it beside the other.")
    part = np.asarray(image.array[box], dtype=np.float32)
    if not np.isfinite(part).all():
        raise SegmentationRefused("The picture has undefined values (NaN) around the click.", code="nan")
    array, clear = _flooded(part, geometry, ball, wanted, unwanted)
    depth_mm = ndimage.distance_transform_edt(np.pad(ball, 1, mode="edge"), sampling=geometry.spacing_mm[::-1])[1:-1, 1:-1, 1:-1]
    rim = array & (depth_mm <= 1.6 * min(geometry.spacing_mm)) & (not ball.all())
    if array.sum() > 0.8 * ball.sum():
        raise SegmentationRefused(
            "No boundary was found between the strokes: the surroundings look like the node.",
            code="no_boundary",
            hint="Draw strokes outside the node where it touches its neighbours.",
        )
    findings = []
    if rim.sum() > 0.02 * array.sum():
        findings.append(Finding("search_limit", "The outline was stopped at the limit of the drag: draw a stroke outside, or drag a larger radius."))
    if clear < CLEAR_SHARE:
        findings.append(Finding("weak_boundary", f"Only {100 * clear:.0f} % of the outline rests on a clear edge; check it on each slice."))
    full = np.zeros(geometry.shape, dtype=bool)
    full[box] = array
    at_edge = [(b.start == 0, b.stop == n) for b, n in zip(box, geometry.shape, strict=True)]
    if any(there and array.take(end, axis=axis).any() for axis, pair in enumerate(at_edge) for end, there in zip((0, -1), pair, strict=True)):
        findings.append(Finding("touches_border", "The node reaches the edge of the picture; a part of it may lie outside."))
    middle, spread = float(np.median(part[array])), 1.4826 * float(np.median(np.abs(part[array] - np.median(part[array]))))
    around = grow(array, geometry.cropped(box), 1.5 * min(geometry.spacing_mm)) & ~array
    contrast = float(np.median(np.abs(part[around] - middle))) if around.any() else 0.0
    place = geometry.index_to_world((np.argwhere(array).mean(axis=0) + [s.start for s in box])[::-1])
    return SegmentationResult(
        NodeMask(full, geometry, label=label, name=name),
        np.empty((0, 3)),
        np.empty((0, 3), dtype=np.int64),
        tuple(float(v) for v in place),
        None,
        (middle, spread),
        SegmentationQuality(clear, contrast / max(spread, 1e-6), float("nan"), (float("nan"), float("nan"))),
        tuple(findings),
        "scribbles",
    )


def _checked(geometry: ImageGeometry, centre_mm, radius_mm: float) -> np.ndarray:
    centre = np.asarray(centre_mm, dtype=np.float64).reshape(-1)
    if centre.shape != (3,) or not np.isfinite(centre).all() or not np.isfinite(radius_mm):
        raise SegmentationRefused("The click or its radius is not a number.", code="nan")
    if not geometry.contains(centre):
        raise SegmentationRefused("The click lies outside the picture.", code="seed_outside")
    if radius_mm < 2 * min(geometry.spacing_mm):
        raise SegmentationRefused("The drag is too short to tell a node from noise; drag to the node's edge.", code="radius_too_small")
    if radius_mm > LARGEST_MM:
        raise SegmentationRefused(f"The drag is larger than any node ({LARGEST_MM:.0f} mm).", code="radius_too_large")
    return centre


def _marked(strokes, geometry: ImageGeometry) -> np.ndarray:
    """Bool grid of what strokes cover; a bool array is taken as it is."""
    if isinstance(strokes, np.ndarray):
        if strokes.shape != geometry.shape:
            raise SegmentationRefused(f"Strokes {strokes.shape} do not fit the picture's grid {geometry.shape}.", code="bad_shape")
        return strokes if strokes.dtype == bool else strokes != 0
    out = np.zeros(geometry.shape, dtype=bool)
    for points_mm, width_mm in strokes or ():
        points = np.asarray(points_mm, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0 or not np.isfinite(points).all() or not width_mm > 0:
            raise SegmentationRefused("A stroke needs points with a position and a width above 0.", code="bad_stroke")
        for start, end in zip(points, points[1:] if len(points) > 1 else points, strict=False):
            paint_line(out, geometry, start, end, float(width_mm))
    return out


def _flooded(part: np.ndarray, geometry: ImageGeometry, ball: np.ndarray, wanted: np.ndarray, unwanted: np.ndarray) -> tuple[np.ndarray, float]:
    """What the inside strokes flood within the ball, holes filled, free of single-voxel teeth; and the
    share (0 to 1) of its border that rests on a clear edge."""
    from skimage.segmentation import watershed  # a tenth of a second to import; only who scribbles pays it

    spacing = geometry.spacing_mm[::-1]
    soft = ndimage.gaussian_filter(part, [SOFT_MM / s for s in spacing], mode="nearest")
    ridge = np.sqrt(sum(g**2 for g in np.gradient(soft, *spacing))) if min(part.shape) > 1 else np.hypot(*np.gradient(soft[0], *spacing[1:]))[None]
    # the outermost layer of the ball, and all that is not ball
    edge = ~ndimage.binary_erosion(ball, border_value=1) & ~wanted
    markers = np.zeros(part.shape, dtype=np.int32)
    markers[edge | unwanted] = 2
    markers[wanted] = 1
    array = watershed(ridge, markers) == 1
    fine = ndimage.gaussian_filter(part, [FINE_MM / s for s in spacing], mode="nearest")
    for _ in range(2):
        array = _half_way(array, fine, spacing)[0] & ball & ~edge & ~unwanted | wanted
    array = fill_holes(smooth(array, ImageGeometry(part.shape, geometry.affine), FINE_MM)) & ball & ~unwanted | wanted
    labels, _ = ndimage.label(array)
    kept = np.unique(labels[wanted])
    array = np.isin(labels, kept[kept > 0])
    return array, _half_way(array, fine, spacing)[1]


def _half_way(array: np.ndarray, fine: np.ndarray, spacing) -> tuple[np.ndarray, float]:
    """(new outline, share of the border with a clear edge): one layer to either side of the outline decided anew: nearer to the mean inside or outside it, here.

    A blurred ridge lies inside a curved border; half-way between the two sides does not. Where the sides
    differ by less than the spread inside, the picture does not say and the ridge stays.
    """
    core, out = ndimage.binary_erosion(array, border_value=1), ~ndimage.binary_dilation(array)
    band = ~core & ~out
    if not core.any():
        return array, 0.0
    sigma = [LOCAL_MM / s for s in spacing]

    def mean(where: np.ndarray) -> np.ndarray:
        weight = ndimage.gaussian_filter(where.astype(np.float32), sigma)
        return np.where(weight > 1e-3, ndimage.gaussian_filter(fine * where, sigma) / np.maximum(weight, 1e-3), np.nan)

    within, beyond = mean(core), mean(out)
    clear = band & (np.abs(within - beyond) > 2 * fine[core].std())
    return np.where(clear, np.abs(fine - within) < np.abs(fine - beyond), array), float(clear[band].mean())
