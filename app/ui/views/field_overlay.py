"""The electric field over a slice: colour wash, labelled iso-lines, uncovered target.

Values are sampled from the solution's own grid at the pane's pixels, so that the picture shows
what was computed and not a second interpolation of a picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPen

from app.ui import kernels
from app.ui.style import DANGER, WARNING, pixel_font, shadow_text
from app.ui.text import t
from app.ui.views.colour_tables import field_range, field_table, line_colour, shown_levels
from app.ui.views.field_legend import EDGE_PX, ColourBar, Tick, bar_box, bar_height, draw_colour_bar
from app.ui.views.overlays import HALO
from app.ui.views.plane import PlaneView

HATCH = np.uint32(0xFFFF4A40)
LETHAL_MARK = " ◂"  # beside the colour and the weight of the lethal line


@dataclass(slots=True, eq=False)
class FieldPicture:
    """The field on one slice of one pane, ready to draw. ``step`` is pixels a sample."""

    wash: QImage
    hatch: QImage
    uncovered: int
    lines: list  # (level, segments in samples)
    step: float
    keep: tuple  # the arrays that the pictures look into


def sample(solution, image_geometry, view: PlaneView, number: int, step: float) -> np.ndarray:
    """|E| in V/cm at every ``step``-th pixel of the pane, float32 [y, x], NaN outside the grid."""
    width, height = max(2, math.ceil(view.width / step) + 1), max(2, math.ceil(view.height / step) + 1)
    points = [view.index_point(x, y, number) for x, y in ((0.0, 0.0), (step, 0.0), (0.0, step))]
    start, right, below = solution.geometry.world_to_index(image_geometry.index_to_world(np.array(points)))
    out = np.empty((height, width), np.float32)
    field = solution.e_max_v_per_cm
    if field.dtype != np.float32 or not field.flags.c_contiguous:
        field = np.ascontiguousarray(field, np.float32)
    kernels.sample_volume(field, np.ascontiguousarray(start), right - start, below - start, out)
    return out


def make(solution, image_geometry, view: PlaneView, number: int, *, levels, lethal: float, opacity: float, target=None) -> FieldPicture:
    """Sample and colour the field for a pane. ``target`` is a NodeMask on the image's grid or None."""
    step = 1.0 if view.width * view.height <= 420_000 else 2.0
    field = sample(solution, image_geometry, view, number, step)
    low, high = field_range(levels)
    wash = np.empty(field.shape, np.uint32)
    kernels.colour_wash(field, field_table(), low, high, opacity, wash)
    hatch, uncovered = np.zeros((1, 1), np.uint32), 0
    if target is not None:
        a = view.axes
        plane = a.slice_of(target.array, number).view(np.uint8)
        across0, down0 = view.to_index(0, 0)
        across1, down1 = view.to_index(step, step)
        hatch = np.empty(field.shape, np.uint32)
        uncovered = kernels.hatch_uncovered(field, plane, across0, across1 - across0, down0, down1 - down0, lethal, max(4, int(8 / step)), HATCH, hatch)
    lines = [(level, kernels.contour_segments(field, level)) for level in shown_levels(levels, lethal)]
    return FieldPicture(_image(wash), _image(hatch), uncovered, lines, step, (wash, hatch))


def _image(pixels: np.ndarray) -> QImage:
    h, w = pixels.shape
    return QImage(pixels.data, w, h, 4 * w, QImage.Format.Format_ARGB32_Premultiplied)


def draw(painter: QPainter, picture: FieldPicture, lethal: float) -> None:
    """Wash, hatch and lines; the lethal line is bold."""
    h, w = picture.keep[0].shape
    whole = QRectF(0, 0, w * picture.step, h * picture.step)
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, True)
    painter.drawImage(whole, picture.wash)
    if picture.uncovered:
        painter.drawImage(whole, picture.hatch)
    levels = [level for level, _ in picture.lines]
    for level, segments in picture.lines:
        if len(segments) == 0:
            continue
        bold = level == lethal
        colour = QColor(line_colour(level, levels, lethal))
        points = segments * picture.step
        lines = [QLineF(*four) for four in points.tolist()]
        for pen in (QPen(HALO, 4.2 if bold else 2.4), QPen(colour, 2.6 if bold else 1.1)):
            pen.setCapStyle(Qt.PenCapStyle.RoundCap)
            painter.setPen(pen)
            painter.drawLines(lines)


def name_lines(painter: QPainter, picture: FieldPicture, view: PlaneView, lethal: float, avoid: list[QRectF]) -> None:
    """Name every line once, each in another direction, where the name covers nothing of ``avoid``
    and no other name; a line without such a place stays unnamed in this pane."""
    painter.setFont(pixel_font(11, bold=True))
    taken = list(avoid)
    metrics = painter.fontMetrics()
    levels = [level for level, _ in picture.lines]
    for n, (level, segments) in enumerate(picture.lines):
        if len(segments) == 0:
            continue
        text = f"{level:g} V/cm" + (LETHAL_MARK if level == lethal else "")
        size = metrics.boundingRect(text)
        points = segments[:, :2] * picture.step
        inside = points[(points[:, 0] > 4) & (points[:, 0] < view.width - size.width() - 12)]
        for turn in range(24):
            if len(inside) == 0:
                break
            angle = -1.2 + 0.7 * n + 0.37 * turn
            best = inside[int(np.argmax(inside @ np.array([math.cos(angle), math.sin(angle)])))]
            box = QRectF(best[0] + 3, best[1] - size.height() / 2, size.width() + 4, size.height())
            if not any(box.intersects(other) for other in taken):
                taken.append(box)
                shadow_text(painter, QPointF(box.left(), box.bottom() - 3), text, line_colour(level, levels, lethal))
                break


def colour_bar(levels, lethal: float) -> ColourBar:
    """The bar of the field's wash: ticks at the thresholds, the lethal one bold and marked."""
    low, high = field_range(levels)
    shown = shown_levels(levels, lethal)
    ticks = tuple(Tick(v, f"{v:g}", v == lethal, line_colour(v, levels, lethal), LETHAL_MARK if v == lethal else "") for v in shown if low <= v <= high)
    return ColourBar("|E|", "V/cm", low, high, field_table(), (*ticks, Tick(high, f"{high:g}")), open_above=True)


def legend_box(width: int, height: int, levels, lethal: float) -> QRectF:
    """Where ``draw_legend`` will draw; empty where there is no room."""
    tall = bar_height(height)
    return bar_box(colour_bar(levels, lethal), width - EDGE_PX, 44.0, tall) if tall and width > 220 else QRectF()


def draw_legend(painter: QPainter, width: int, height: int, levels, lethal: float) -> QRectF:
    """The bar at the right edge below the corner's lines; an empty box where the pane is too low for it."""
    tall = bar_height(height)
    return draw_colour_bar(painter, colour_bar(levels, lethal), width - EDGE_PX, 44.0, tall) if tall and width > 220 else QRectF()


def notes(picture: FieldPicture, lethal: float, *, preview: bool) -> list[tuple[str, str]]:
    """Words that go with the colours: what is hatched, and that a coarse field is no result."""
    out = [(t("▨ hatched: target below {v} V/cm").format(v=f"{lethal:g}"), DANGER)] if picture.uncovered else []
    return [*out, *([(t("coarse preview of the field, no result"), WARNING)] if preview else [])]
