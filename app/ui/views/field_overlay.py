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
from app.ui.style import DANGER, pixel_font, shadow_text
from app.ui.views.colour_tables import field_table
from app.ui.views.overlays import HALO
from app.ui.views.plane import PlaneView

HATCH = np.uint32(0xFFFF4A40)
LINE_COLOURS = ("#9FC7FF", "#FFFFFF", "#FFE08A", "#FFB46B")


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
    low, high = float(min(levels)), float(max(levels)) * 1.75
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
    lines = [(level, kernels.contour_segments(field, level)) for level in sorted({*levels, lethal})]
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
    for n, (level, segments) in enumerate(picture.lines):
        if len(segments) == 0:
            continue
        bold = level == lethal
        colour = QColor("#FFFFFF" if bold else LINE_COLOURS[n % len(LINE_COLOURS)])
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
    for n, (level, segments) in enumerate(picture.lines):
        if len(segments) == 0:
            continue
        text = f"{level:g} V/cm" + (" ◂" if level == lethal else "")
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
                colour = "#FFFFFF" if level == lethal else LINE_COLOURS[n % len(LINE_COLOURS)]
                shadow_text(painter, QPointF(box.left(), box.bottom() - 3), text, colour)
                break


def uncovered_note(picture: FieldPicture) -> list[tuple[str, str]]:
    """The words that go with the hatching, since colour is never the only sign."""
    return [("▨ target below lethal here", DANGER)] if picture.uncovered else []
