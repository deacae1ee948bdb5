"""Needles over a slice: exposed part bright and thick, shaft thin, both dashed off the slice."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from app.ui.style import NEEDLE_COLOUR, NEEDLE_SHAFT_COLOUR, pixel_font, shadow_text
from app.ui.views.overlays import HALO, free_place
from app.ui.views.plane import PlaneView
from volumetry.geometry import ImageGeometry

ON_SLICE_MM = 1.5  # parts closer to the slice than this are drawn whole
HANDLE_PX = 9.0


@dataclass(frozen=True, slots=True)
class ProjectedNeedle:
    """A needle on a pane: pixel ends and the distance of each end from the slice in mm."""

    needle: object
    tip: QPointF
    entry: QPointF
    bare: QPointF  # where the exposed metal ends
    tip_off_mm: float
    entry_off_mm: float
    bare_off_mm: float


def project(needle, view: PlaneView, geometry: ImageGeometry, number: float) -> ProjectedNeedle:
    """Where a ``NeedleDraft`` falls on slice ``number``."""
    tip, entry = np.asarray(needle.tip_mm, float), np.asarray(needle.entry_mm, float)
    length = float(np.linalg.norm(entry - tip))
    bare = tip if length < 1e-6 else tip + (entry - tip) * min(1.0, needle.exposure_mm / length)
    out = []
    for point in (tip, entry, bare):
        x, y, slice_ = view.from_index_point(geometry.world_to_index(point))
        out.append((QPointF(x, y), (slice_ - number) * view.axes.through_mm))
    (t, td), (e, ed), (b, bd) = out
    return ProjectedNeedle(needle, t, e, b, td, ed, bd)


def draw_needle(painter: QPainter, p: ProjectedNeedle, view: PlaneView, taken: list[QRectF], *, selected: bool = False, keep_off: QRectF | None = None) -> None:
    """Draw a projected needle with its name at the entry and handles at both ends; names keep clear
    of the boxes in ``taken`` and are added to them, and stand to the left of ``keep_off`` (a legend at the right edge)."""
    _part(painter, p.bare, p.entry, p.bare_off_mm, p.entry_off_mm, QColor(NEEDLE_SHAFT_COLOUR), 1.3)
    _part(painter, p.tip, p.bare, p.tip_off_mm, p.bare_off_mm, QColor(NEEDLE_COLOUR), 3.4)
    for point, off, filled in ((p.tip, p.tip_off_mm, True), (p.entry, p.entry_off_mm, False)):
        colour = QColor(NEEDLE_COLOUR)
        if abs(off) > ON_SLICE_MM:
            colour.setAlpha(120)
        painter.setPen(QPen(colour, 1.4))
        painter.setBrush(colour if filled and selected else Qt.BrushStyle.NoBrush)
        painter.drawEllipse(point, 4.0, 4.0)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setFont(pixel_font(12, bold=True))
    x, y, wide = p.entry.x() + 7, p.entry.y() - 6, painter.fontMetrics().horizontalAdvance(p.needle.id)
    if keep_off is not None and keep_off.top() < y < keep_off.bottom() + 12 and x + wide > keep_off.left():
        x = keep_off.left() - wide - 6  # beside its needle, not below the legend
    shadow_text(painter, free_place(painter, view.width, view.height, x, y, p.needle.id, taken), p.needle.id, NEEDLE_COLOUR)


def draw_ghost(painter: QPainter, p: ProjectedNeedle, colour: str) -> None:
    """A needle that is not the plan's own: thin and dashed, a square at the tip, so that nobody takes it for one."""
    for a, b, off, width, dashes in ((p.bare, p.entry, p.entry_off_mm, 1.0, [2, 4]), (p.tip, p.bare, p.bare_off_mm, 2.3, [3, 2])):
        shade = QColor(colour)
        shade.setAlpha(230 if min(abs(off), abs(p.tip_off_mm)) <= ON_SLICE_MM else 145)
        for pen in (QPen(HALO, width + 1.6), QPen(shade, width)):
            pen.setDashPattern([d / pen.widthF() * width for d in dashes])
            pen.setCapStyle(Qt.PenCapStyle.FlatCap)
            painter.setPen(pen)
            painter.drawLine(a, b)
    painter.setPen(QPen(QColor(colour), 1.2))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawRect(QRectF(p.tip.x() - 3, p.tip.y() - 3, 6, 6))


def _part(painter, a: QPointF, b: QPointF, off_a: float, off_b: float, colour: QColor, width: float) -> None:
    """One part of a needle, whole near the slice and dashed away from it."""
    cuts = [0.0, 1.0]
    if off_a != off_b:
        cuts += [c for level in (-ON_SLICE_MM, ON_SLICE_MM) if 0 < (c := (level - off_a) / (off_b - off_a)) < 1]
    cuts.sort()
    for start, stop in itertools.pairwise(cuts):
        middle = off_a + (start + stop) / 2 * (off_b - off_a)
        near = abs(middle) <= ON_SLICE_MM
        pen = QPen(colour, width)
        pen.setCapStyle(Qt.PenCapStyle.FlatCap)
        if not near:
            dim = QColor(colour)
            dim.setAlpha(150)
            pen = QPen(dim, max(1.0, width * 0.55))
            pen.setDashPattern([5, 4])
        p, q = a + (b - a) * start, a + (b - a) * stop
        if near:
            painter.setPen(QPen(HALO, width + 1.8))
            painter.drawLine(p, q)
        painter.setPen(pen)
        painter.drawLine(p, q)


def grab(p: ProjectedNeedle, x: float, y: float) -> str | None:
    """What a pixel takes hold of: ``tip``, ``entry``, ``shaft`` or None."""
    here = QPointF(x, y)
    for name, point in (("tip", p.tip), ("entry", p.entry)):
        d = here - point
        if d.x() ** 2 + d.y() ** 2 <= HANDLE_PX**2:
            return name
    along = p.entry - p.tip
    length2 = along.x() ** 2 + along.y() ** 2
    if length2 < 1:
        return None
    d = here - p.tip
    s = (d.x() * along.x() + d.y() * along.y()) / length2
    off = d - along * s
    return "shaft" if 0 < s < 1 and off.x() ** 2 + off.y() ** 2 <= (HANDLE_PX * 0.7) ** 2 else None
