"""Gestures of the drawing tools worked out: from an outline as it stands to the one after, without any window.

Each function takes the voxels before (bool ``[k, j, i]``, left as they are) and gives a ``Drawn``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

from app.usecases.segment import segment_volume
from app.usecases.segment_methods import stroke_ball
from volumetry.errors import NodusError, SegmentationRefused
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.mask import MaskPatch, NodeMask, around_boxes
from volumetry.outline_origin import OutlineOrigin
from volumetry.planimetry import enclosed_area
from volumetry.segmentation.drawn_outlines import DrawnOutlines, interpolate_outlines, outlines_of_mask, plane_metric
from volumetry.segmentation.editing import Box, bounding_box, cut_by_plane, fill_holes, grow, keep_largest, paint, paint_line, smooth, threshold_in_ball
from volumetry.segmentation.history import OutlineClick
from volumetry.segmentation.interpolation import mask_from_contours

SMALLEST_BALL_MM = 8.0  # of strokes: a short first stroke does not fence the node in
OPEN_END = 0.25  # share of the largest section from which an end counts as open
BEYOND_SHARE = 0.2  # of the surroundings, from which a limit is moved towards them
WAITING = ("scribble_missing", "no_boundary")  # refusals that the next stroke may mend
MOST_POINTS = 200_000  # shown while a cut is aimed; beyond it every n-th voxel stands for n


@dataclass(frozen=True, slots=True, eq=False)
class Stroke:
    """A scribble: LPS points (n, 3), half its width in mm, and on which side of the border it lies."""

    points_mm: np.ndarray
    radius_mm: float
    outside: bool


@dataclass(frozen=True, slots=True)
class Strokes:
    """All strokes that an outline was found with."""

    strokes: tuple[Stroke, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Ball:
    """A region in a ball: ``how`` is anew, add or take_away; ``hu_range`` None grows from the click.
    ``patch`` turns the outline before it into the one with it."""

    seed_mm: tuple[float, float, float]
    radius_mm: float
    how: str = "anew"
    hu_range: tuple[float, float] | None = None
    patch: MaskPatch | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """What a gesture gave. ``repairs`` is True where it changed an outline of another origin.
    ``value`` is what the outline as a whole was drawn with, ``problem`` why it could not be found yet.
    ``click`` and ``surface`` (vertices_mm, faces) are those of an outline by a click."""

    array: np.ndarray
    origin: OutlineOrigin
    value: object | None = None
    coverage_volume_ml: float | None = None
    repairs: bool = False
    findings: tuple[Finding, ...] = field(default=())
    problem: NodusError | None = None
    click: OutlineClick | None = None
    surface: tuple[np.ndarray, np.ndarray] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Memo:
    """What an outline was drawn with (None: not known), by its voxels: the box around them and their number."""

    box: Box | None
    voxels: np.ndarray | None
    count: int
    value: object

    @classmethod
    def of(cls, array: np.ndarray, value: object) -> Memo:
        """The memo of an outline as it stands."""
        box = bounding_box(array)
        voxels = None if box is None else array[box].copy()
        return cls(box, voxels, 0 if voxels is None else int(np.count_nonzero(voxels)), value)


def recall(memos: Iterable[Memo], array: np.ndarray, box: Box | None = None):
    """The value of the latest memo of exactly these voxels; None where there is none. ``box`` holds all
    of them, where the caller knows it."""
    count = None
    for memo in reversed(tuple(memos)):
        if count is None:
            count = int(np.count_nonzero(array if box is None else array[box]))
        if memo.count == count and (memo.box is None or np.array_equal(array[memo.box], memo.voxels)):
            return memo.value
    return None


# ---- clicks and repairs of the whole -------------------------------------------------------------
def clicked(image: ImageVolume, click: OutlineClick) -> Drawn:
    """The outline of a click and the points that pull it."""
    result = segment_volume(image, *click)
    mask = result.mask
    return Drawn(mask.array, mask.origin, coverage_volume_ml=mask.coverage_volume_ml, findings=result.findings, click=click, surface=(result.vertices_mm, result.faces))


def repaired(before: np.ndarray, geometry: ImageGeometry, operation: str, step_mm: float) -> Drawn:
    """The outline after ``fill``, ``keep_largest``, ``grow`` and ``shrink`` (by ``step_mm``), ``smooth`` or ``clear``."""
    if operation in ("grow", "shrink"):
        array = grow(before, geometry, step_mm if operation == "grow" else -step_mm)
    else:
        array = {"fill": fill_holes, "keep_largest": keep_largest, "clear": np.zeros_like, "smooth": lambda old: smooth(old, geometry)}[operation](before)
    return Drawn(array, OutlineOrigin("by_hand"), repairs=True)


# ---- contours ------------------------------------------------------------------------------------
def contour(before: np.ndarray, known, geometry: ImageGeometry, axis: int, number: int, points: np.ndarray, take_away: bool) -> Drawn:
    """A closed line (n, 2) of (column, row) added to a slice, or taken away from it.

    While the whole outline was drawn so in one direction, it stays lines with the volume of their
    areas; else voxels are joined and the volume is that of the voxels.
    """
    lines = known if isinstance(known, DrawnOutlines) else DrawnOutlines(axis)
    if lines.axis == axis and (isinstance(known, DrawnOutlines) or not before.any()):
        return _of_lines(lines.with_outline(number, points, geometry, take_away=take_away), geometry)
    part = DrawnOutlines(axis).with_outline(number, points, geometry).mask(geometry)
    array = before & ~part if take_away else before | part
    findings = ()
    if isinstance(known, DrawnOutlines):
        findings = (Finding("drawn_across", "Drawn across another plane than before: the volume is now counted in voxels, and slices are no longer filled from the lines.", "info"),)
    return Drawn(array, OutlineOrigin("contours"), repairs=True, findings=findings)


def between(before: np.ndarray, known, geometry: ImageGeometry) -> Drawn:
    """The slices between drawn ones filled; of painted slices those in the direction that has gaps."""
    if isinstance(known, DrawnOutlines):
        lines = known.filled(geometry)
        return replace(_of_lines(lines, geometry), findings=_open_ends(lines, geometry))
    for axis in range(3):
        occupied = np.flatnonzero(before.any(axis=tuple(a for a in range(3) if a != axis)))
        if occupied.size > 1 and (np.diff(occupied) > 1).any():
            made = interpolate_outlines(outlines_of_mask(before, axis), geometry, axis=axis)
            filled = mask_from_contours({n: list(x) for n, x in made.items()}, geometry, axis=axis, interpolate=False)
            return Drawn(before | filled, OutlineOrigin("contours"), repairs=True)
    raise SegmentationRefused("There is no gap to fill.", code="too_few_contours", hint="Draw the outline on a few slices, leave those between out, then fill.")


def _of_lines(lines: DrawnOutlines, geometry: ImageGeometry) -> Drawn:
    volume = lines.planimetry(geometry)
    origin = OutlineOrigin("contours", details={"axis": lines.axis, "drawn_slices": sorted(lines.drawn), "filled_slices": sorted(lines.between)})
    return Drawn(lines.mask(geometry), origin, lines, None if volume is None else volume.volume_ml)


def _open_ends(lines: DrawnOutlines, geometry: ImageGeometry) -> tuple[Finding, ...]:
    """Said where the first or last slice is far from the node's end: nothing is added beyond it."""
    metric = plane_metric(geometry, lines.axis)
    areas = {n: enclosed_area([line @ metric.T for line in found]) for n, found in lines.outlines.items()}
    largest = max(areas.values())
    ends = [areas[n] for n in (min(areas), max(areas)) if 0 < n < geometry.shape[lines.axis] - 1 and areas[n] > OPEN_END * largest]
    if not ends:
        return ()
    share = 100 * max(ends) / largest
    return (Finding("open_end", f"Nothing is added beyond the first and last drawn slice, and there the outline still has {share:.0f} % of its largest area. Draw the last slices that show the node, then fill again (I).", "info"),)


# ---- scribbles -----------------------------------------------------------------------------------
def scribbled(before: np.ndarray, image: ImageVolume, strokes: tuple[Stroke, ...]) -> Drawn:
    """The outline that the strokes give; a later stroke wins where it crosses an earlier one of the
    other side. Where they do not give one yet, the outline stays and the strokes wait for the next."""
    from volumetry.segmentation.scribbles import segment_scribbles

    origin = OutlineOrigin("scribbles", details={"strokes": {"inside": sum(not s.outside for s in strokes), "outside": sum(s.outside for s in strokes)}})
    waiting = Drawn(before, origin, Strokes(strokes), repairs=True)
    inside, outside = (np.zeros(image.geometry.shape, dtype=bool) for _ in range(2))
    for stroke in strokes:
        for mine, other in ((outside, inside),) if stroke.outside else ((inside, outside),):
            for start, end in zip(stroke.points_mm, stroke.points_mm[1:] if len(stroke.points_mm) > 1 else stroke.points_mm, strict=False):
                paint_line(mine, image.geometry, start, end, stroke.radius_mm)
                paint_line(other, image.geometry, start, end, stroke.radius_mm, value=False)
    within, beyond = ([(s.points_mm, s.radius_mm) for s in strokes if s.outside == side] for side in (False, True))
    if not within:
        return waiting
    centre, radius = stroke_ball(within, beyond)
    try:
        result = segment_scribbles(image, inside, outside, centre_mm=centre, radius_mm=float(np.clip(radius, SMALLEST_BALL_MM, 60.0)))
    except SegmentationRefused as refusal:
        if refusal.code not in WAITING:
            raise
        return replace(waiting, problem=refusal)
    return Drawn(result.mask.array, origin, Strokes(strokes), findings=result.findings)


# ---- regions in a ball ---------------------------------------------------------------------------
def suggested_range(image: ImageVolume, point_mm, reach_mm: float = 1.5) -> tuple[float, float]:
    """Limits (low, high) around the values at a click, whole numbers: median +- 2.5 robust sd, at
    least 30 HU to each side on CT."""
    index = np.rint(image.geometry.world_to_index(point_mm)).astype(int)[::-1]
    reach = [max(1, round(reach_mm / s)) for s in image.geometry.spacing_mm[::-1]]
    reach[0] = min(reach[0], 1)
    box = tuple(slice(max(0, c - r), max(0, c + r + 1)) for c, r in zip(index, reach, strict=True))
    values = np.asarray(image.array[box], dtype=np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        raise SegmentationRefused("The click lies outside the picture.", code="seed_outside")
    middle = float(np.median(values))
    width = max(2.5 * 1.4826 * float(np.median(np.abs(values - middle))), 30.0 if image.unit == "HU" else 0.1 * abs(middle))
    return float(np.floor(middle - width)), float(np.ceil(middle + width))


def half_way_range(image: ImageVolume, array: np.ndarray, limits: tuple[float, float]) -> tuple[float, float]:
    """Limits moved half-way from the values inside an outline to those of what lies around it, whole numbers:
    a blurred border stands there, so its rim is taken in. A side moves only where at least a fifth of the
    surroundings, two to four voxels off, lies beyond it; a limit never moves inwards.
    """
    box = bounding_box(array, 5)
    if box is None:
        return limits
    region, values = array[box], np.asarray(image.array[box], dtype=np.float32)
    around = values[ndimage.binary_dilation(region, iterations=4) & ~ndimage.binary_dilation(region, iterations=2)]
    middle, (low, high) = float(np.median(values[region])), limits
    below, above = around[around < low], around[around > high]
    if len(below) >= BEYOND_SHARE * len(around) > 0:
        low = min(low, float(np.floor((middle + float(np.median(below))) / 2)))
    if len(above) >= BEYOND_SHARE * len(around) > 0:
        high = max(high, float(np.ceil((middle + float(np.median(above))) / 2)))
    return low, high


def region_of(image: ImageVolume, ball: Ball) -> tuple[NodeMask, tuple[Finding, ...]]:
    """The region of a ball alone, with what was noticed. Refuses as ``grow_region`` and
    ``threshold_in_ball`` do, and ``no_boundary`` where no voxel lies in the range."""
    if ball.hu_range is None:
        from volumetry.segmentation.region_growing import grow_region

        result = grow_region(image, ball.seed_mm, ball.radius_mm, reach=1.0)
        return result.mask, result.findings
    array = threshold_in_ball(image, ball.seed_mm, ball.radius_mm, *ball.hu_range)
    box = bounding_box(array)
    if box is None:
        raise SegmentationRefused("No voxel in the ball lies within that range.", code="no_boundary", hint="Choose a wider range.")
    inner = np.zeros_like(array)
    paint(inner, image.geometry, ball.seed_mm, max(ball.radius_mm - 1.2 * min(image.geometry.spacing_mm), 1e-3))
    findings = ()
    if (array[box] & ~inner[box]).sum() > 0.02 * array[box].sum():
        findings = (Finding("search_limit", "The region was stopped at the limit of the ball; check it there.", "info"),)
    return NodeMask(array, image.geometry), findings


def grown(before: np.ndarray, image: ImageVolume, ball: Ball) -> Drawn:
    """The outline with the ball's region in its place, added to it or taken away from it."""
    mask, findings = region_of(image, ball)
    array = mask.array if ball.how == "anew" else before | mask.array if ball.how == "add" else before & ~mask.array
    method = "region_growing" if ball.hu_range is None else "threshold"
    details = {"seed_mm": [round(v, 3) for v in ball.seed_mm], "radius_mm": round(ball.radius_mm, 3)}
    if ball.hu_range is not None:
        details["range_hu"] = list(ball.hu_range)
    patch = MaskPatch.between(before, array, around_boxes(bounding_box(before), bounding_box(array)))
    return Drawn(array, OutlineOrigin(method, details=details), replace(ball, patch=patch), repairs=ball.how != "anew", findings=findings)


def without(before: np.ndarray, known) -> np.ndarray:
    """The outline as it was before its ball."""
    base = before.copy()
    if isinstance(known, Ball) and known.patch is not None:
        known.patch.revert(base)
    return base


# ---- cuts ----------------------------------------------------------------------------------------
def cut(before: np.ndarray, geometry: ImageGeometry, point_mm, normal, larger_goes: bool) -> Drawn:
    """The outline without the smaller side of a plane (``larger_goes``: without the larger one)."""
    near = cut_by_plane(before, geometry, point_mm, normal)
    far = before & ~near
    if not near.any() or not far.any():
        raise SegmentationRefused("The line does not cross the outline.", code="bad_plane", hint="Drag it across the outline.")
    smaller, larger = sorted((near, far), key=np.count_nonzero)
    return Drawn(smaller if larger_goes else larger, OutlineOrigin("by_hand"), repairs=True)


def outline_points(array: np.ndarray, geometry: ImageGeometry) -> tuple[np.ndarray, float]:
    """LPS middles (n, 3) of the outline's voxels, or of every n-th, and the ml that each stands for."""
    box = bounding_box(array)
    if box is None:
        return np.empty((0, 3)), 0.0
    index = np.argwhere(array[box])
    every = max(1, len(index) // MOST_POINTS)
    points = geometry.index_to_world((index[::every] + [s.start for s in box])[:, ::-1])
    return points, len(index) / len(points) * geometry.voxel_size_mm3 / 1000.0
