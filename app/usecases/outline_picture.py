"""A node outlined on one ultrasound picture: by a click, or by a wire along its edge; and what the
outline measures.

A picture has no thickness, so there is no volume here. Millimetres are given only where one
calibrated part of the picture holds the whole outline; elsewhere pixels, and why.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from volumetry.calibration import Calibration, CalibrationRefused
from volumetry.ellipse_fit import EllipseFit, fit_ellipse
from volumetry.errors import SegmentationRefused
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.image import Cine
from volumetry.mask import NodeMask
from volumetry.ultrasound_length import LengthScale, resolve_length

NO_THICKNESS = "A single picture has no thickness: no volume can be measured on it."
SAME_POINT_PX = 0.75  # two clicks nearer than this are one
KEPT_WAYS = 500  # most of them are places the cursor passed by


@dataclass(frozen=True, slots=True, eq=False)
class PictureOutline:
    """A closed outline on one frame of a picture.

    ``points_px`` (n, 2) are (column, row), pixel centres at whole numbers, the first not repeated;
    ``shape`` (rows, columns) of the frame. ``method`` is ``polar`` (``seed_px`` and ``radius_px`` of
    the click, ``anchors_px`` it was pulled through) or ``livewire`` (``anchors_px`` are the clicks).
    """

    points_px: np.ndarray
    shape: tuple[int, int]
    method: str
    anchors_px: tuple[tuple[float, float], ...] = ()
    seed_px: tuple[float, float] | None = None
    radius_px: float | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def area_px(self) -> float:
        """Area of the polygon in pixels (shoelace)."""
        x, y = self.points_px.T
        return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2.0

    def mask(self) -> np.ndarray:
        """Bool ``[row, column]``: pixels whose centre lies inside."""
        from volumetry.segmentation.polar import outline_mask

        return outline_mask(self.points_px, self.shape)


@dataclass(frozen=True, slots=True)
class OutlineAxes:
    """What an outline measures: its area, and the axes of the ellipse that fits it best.

    Millimetres are None where the picture refuses them; ``refusal`` then says why. ``off_pct`` is
    how far the outline lies from the ellipse (root mean square) in percent of the short axis;
    ``tilt_deg`` (0 to 90) the angle of the long axis against the picture's rows, in mm where there are any.
    ``long_px`` and ``short_px`` are the end points (x, y) of the axes on the picture.
    """

    area_px: float
    long_axis_px: float
    short_axis_px: float
    off_pct: float
    tilt_deg: float
    long_px: tuple[tuple[float, float], tuple[float, float]]
    short_px: tuple[tuple[float, float], tuple[float, float]]
    area_mm2: float | None = None
    long_axis_mm: float | None = None
    short_axis_mm: float | None = None
    refusal: str | None = None
    findings: tuple[Finding, ...] = ()

    def as_dict(self) -> dict:
        """For JSON: areas, axes, fit and warnings."""
        names = ("area_mm2", "long_axis_mm", "short_axis_mm", "area_px", "long_axis_px", "short_axis_px")
        out: dict = {name: getattr(self, name) for name in names}
        return {**out, "ellipse_off_pct": self.off_pct, "warnings": [f.as_warning() for f in self.findings if f.severity != "info"]}


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredOutline:
    """An outline and what it measures."""

    outline: PictureOutline
    axes: OutlineAxes


def measured_outline(outline: PictureOutline, calibration: Calibration) -> MeasuredOutline:
    """The outline with its area and axes; refusals of ``outline_axes``."""
    return MeasuredOutline(outline, outline_axes(outline, calibration))


def anchors_with(outline: PictureOutline, point) -> tuple[tuple[float, float], ...]:
    """The outline's anchors and one more, for a wire in its place along the way."""
    new = tuple(float(v) for v in point)
    if outline.method != "livewire":
        return (*outline.anchors_px, new)
    ways = [int(np.linalg.norm(outline.points_px - p, axis=1).argmin()) for p in (*outline.anchors_px, new)]
    before = sum(1 for way in ways[:-1] if way <= ways[-1])
    return (*outline.anchors_px[:before], new, *outline.anchors_px[before:])


def grey_frame(cine: Cine, frame: int = 0) -> np.ndarray:
    """One frame as float32 grey ``[row, column]``; colours are averaged."""
    pixels = cine.read_frame(frame)
    return pixels.astype(np.float32).mean(axis=-1) if pixels.ndim == 3 else pixels.astype(np.float32)


def outline_click(cine: Cine, seed_px, radius_px: float, *, frame: int = 0, anchors_px=()) -> PictureOutline:
    """Outline by one click, a drag radius and points that it must pass; refusals of
    ``volumetry.segmentation.polar.segment_ellipse_2d``. A point beyond its reach does not pull, and
    the finding ``anchor_out_of_reach`` says so."""
    from volumetry.segmentation.polar import REACH, segment_ellipse_2d

    anchors = _pairs(anchors_px)
    found = segment_ellipse_2d(grey_frame(cine, frame), seed_px, radius_px, anchors_px=anchors)
    seed, findings = tuple(float(v) for v in seed_px), found.findings
    if any(np.hypot(*np.subtract(a, seed)) > REACH * radius_px for a in anchors):
        findings = (*findings, Finding("anchor_out_of_reach", "A point lies too far from the click to pull the outline; drag a larger radius.", "warning"))
    return PictureOutline(found.points_px, found.mask.shape, "polar", anchors, seed, float(radius_px), findings)


class PictureWire:
    """The wire on one frame while a reader clicks along an edge. Ways that were worked out are kept,
    so that a further click costs one way. May be asked from any thread."""

    def __init__(self, cine: Cine, frame: int = 0):
        self.cine, self.frame = cine, frame
        self._lock = threading.Lock()
        self._wire = None
        self._ways: dict[tuple, np.ndarray] = {}

    def path(self, points_px) -> np.ndarray:
        """(n, 2) points of the open wire through the clicks, in order. Refuses ``seed_outside``, ``nan``."""
        points = _distinct(points_px)
        with self._lock:
            return self._path(points)

    def closed(self, points_px) -> PictureOutline:
        """The outline through the clicks and along the edge back to the first. Refuses
        ``bad_contour`` (fewer than three different clicks, or nothing enclosed)."""
        points = _distinct(points_px)
        if len(points) > 1 and np.hypot(*np.subtract(points[0], points[-1])) < SAME_POINT_PX:
            points = points[:-1]
        if len(points) < 3:
            raise SegmentationRefused("A wire needs at least three clicks round the node.", code="bad_contour")
        with self._lock:
            drawn = self._path(points)
            outline = self._made().closed(drawn)
        inside = np.clip(outline, -0.5, np.array(self._wire.shape[::-1]) - 0.5)
        made = PictureOutline(inside, self._wire.shape, "livewire", points)
        held = int(made.mask().sum())
        if held == 0:
            raise SegmentationRefused("The wire encloses nothing.", code="bad_contour", hint="Set anchors all the way round the node.")
        if abs(held - made.area_px) > 0.1 * held + 10:
            note = Finding("outline_crosses_itself", "The outline crosses itself: its area and axes are not those of the node.", "warning")
            made = PictureOutline(inside, made.shape, made.method, points, findings=(note,))
        return made

    def _made(self):
        if self._wire is None:
            from volumetry.segmentation.livewire import Livewire

            self._wire = Livewire(grey_frame(self.cine, self.frame))
        return self._wire

    def _path(self, points) -> np.ndarray:
        wire = self._made()
        if len(points) == 1:
            wire.set_anchor(points[0])
            return np.array(points, dtype=np.float64)
        ways = []
        for a, b in pairwise(points):
            if (a, b) not in self._ways:
                if wire.anchor != a:
                    wire.set_anchor(a)
                if len(self._ways) > KEPT_WAYS:
                    self._ways.clear()
                self._ways[a, b] = wire.path_to(b)
            ways.append(self._ways[a, b])
        return np.vstack([ways[0], *(way[1:] for way in ways[1:])])


def outline_livewire(cine: Cine, points_px, *, frame: int = 0) -> NodeMask:
    """Outline along the edges through the clicked ``points_px`` (at least three), closed, as a
    one-slice mask; grid and findings as in ``outline_as_mask``, refusals as in ``PictureWire``."""
    return outline_as_mask(PictureWire(cine, frame).closed(points_px), cine.calibration_at(frame))


def outline_scale(outline: PictureOutline, calibration: Calibration) -> LengthScale:
    """Millimetres per pixel that hold for the whole outline, or ``CalibrationRefused``."""
    points = [tuple(float(v) for v in p) for p in outline.points_px]
    return resolve_length(calibration, [*points, points[0]])


def outline_as_mask(outline: PictureOutline, calibration: Calibration) -> NodeMask:
    """The outline as a mask of one slice. Its grid is in millimetres where one calibrated region
    holds the whole outline; otherwise a pixel stands for 1 mm and the finding ``uncalibrated`` says
    so. ``spacing_unknown`` is always among the findings."""
    findings = [Finding("spacing_unknown", NO_THICKNESS), *outline.findings]
    column_mm, row_mm = 1.0, 1.0
    try:
        scale = outline_scale(outline, calibration)
        column_mm, row_mm = scale.mm_per_px_x, scale.mm_per_px_y
        findings += scale.warnings
    except CalibrationRefused as refusal:
        findings.append(Finding("uncalibrated", f"Lengths stay in pixels: {refusal.message}"))
    geometry = ImageGeometry.from_spacing((1, *outline.shape), (column_mm, row_mm, 1.0))
    return NodeMask(outline.mask()[None], geometry, findings=tuple(findings))


def outline_axes(outline: PictureOutline, calibration: Calibration) -> OutlineAxes:
    """Area of the outline, and the long and the perpendicular short axis of its ellipse.

    Axes are perpendicular in millimetres, also where pixels are not square. Where no scale holds
    for the whole outline they are those in pixels and ``refusal`` says why. Refuses ``bad_outline``.
    """
    area_px = outline.area_px
    try:
        scale = outline_scale(outline, calibration)
    except CalibrationRefused as refused:
        fit = fit_ellipse(outline.points_px)
        notes = (*outline.findings, *(Finding(f.code, "The outline is no ellipse: its axes say little about it.", f.severity) for f in fit.findings))
        return _axes(fit, area_px, notes, refusal=refused.message)
    fit = fit_ellipse(outline.points_px, (scale.mm_per_px_x, scale.mm_per_px_y))
    area_mm2 = area_px * scale.mm_per_px_x * scale.mm_per_px_y
    notes = (*outline.findings, *fit.findings, *scale.warnings)
    return _axes(fit, area_px, notes, area_mm2=area_mm2, long_axis_mm=fit.long_axis_mm, short_axis_mm=fit.short_axis_mm)


def _axes(fit: EllipseFit, area_px: float, findings, **in_mm) -> OutlineAxes:
    ends = {which: fit.axis_points(which) for which in ("long", "short")}
    length_px = {which: float(np.hypot(*np.subtract(*ends[which]))) for which in ends}
    off_pct = 100.0 * fit.residual_mm / fit.short_axis_mm
    tilt_deg = 90.0 - abs(90.0 - float(np.degrees(fit.angle_rad)) % 180.0)
    return OutlineAxes(area_px, length_px["long"], length_px["short"], off_pct, tilt_deg, ends["long"], ends["short"], findings=tuple(findings), **in_mm)


def _pairs(points) -> tuple[tuple[float, float], ...]:
    """Points as plain pairs of numbers."""
    try:
        made = np.asarray(list(points), dtype=np.float64).reshape(-1, 2)
    except (TypeError, ValueError) as problem:
        raise SegmentationRefused("Points on a picture are pairs of column and row.", code="bad_contour") from problem
    return tuple((float(x), float(y)) for x, y in made)


def _distinct(points_px) -> tuple[tuple[float, float], ...]:
    """The clicks without those that lie on the one before."""
    points = _pairs(points_px)
    return tuple(p for n, p in enumerate(points) if n == 0 or not np.hypot(*np.subtract(p, points[n - 1])) < SAME_POINT_PX)
