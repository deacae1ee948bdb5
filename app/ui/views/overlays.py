"""What is drawn over a slice: outlines, calipers, needles, crosshair, corners. QPainter only.

Every function takes the painter, the slice's ``PlaneView``, and values; none keeps state.
"""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QPainter, QPen

from app.ui import kernels
from app.ui.style import ACCENT, CALIPER_COLOUR, CROSSHAIR_COLOUR, DANGER, MUTED, TEXT, WARNING, pixel_font, shadow_text
from app.ui.text import t
from app.ui.views.plane import PlaneView
from planning.source import SCHEMATIC_MARK
from volumetry.geometry import ImageGeometry
from volumetry.segmentation.editing import bounding_box

HALO = QColor(0, 0, 0, 150)


def outline_segments(mask, geometry: ImageGeometry, view: PlaneView, number: int) -> np.ndarray:
    """Border of a mask on slice ``number`` as in-plane index segments (n, 4): across0, down0,
    across1, down1. ``mask`` is a NodeMask or a draft; it may lie on another grid than the image."""
    axes = view.axes
    start = geometry.world_to_index(mask.geometry.origin_mm)
    whole = np.rint(start)
    if np.abs(start - whole).max() > 0.01 or not np.allclose(mask.geometry.affine[:3, :3], geometry.affine[:3, :3], atol=1e-4):
        return _resampled_segments(mask, geometry, axes, number)
    whole = whole.astype(int)
    number -= int(whole[axes.through])
    if not 0 <= number < mask.array.shape[2 - axes.through]:
        return np.empty((0, 4))
    box = getattr(mask, "box", (slice(None),) * 3)  # a draft knows where its voxels are; most of a large slice is empty
    if box is None:
        return np.empty((0, 4))
    across_from, down_from = box[2 - axes.across].start or 0, box[2 - axes.down].start or 0
    plane = axes.slice_of(mask.array, number)[box[2 - axes.down], box[2 - axes.across]]
    down, across = np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0))
    if down.size == 0:
        return np.empty((0, 4))
    crop = plane[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
    segments = kernels.contour_segments(np.pad(crop.astype(np.float32), 1), 0.5)
    corner = (across_from + across[0] + whole[axes.across] - 1, down_from + down[0] + whole[axes.down] - 1)
    return segments + np.array(corner * 2)


def _resampled_segments(mask, geometry: ImageGeometry, axes, number: int) -> np.ndarray:
    """The same for a mask on a grid of another spacing or direction: the slice is sampled in it."""
    box = bounding_box(mask.array, 1)  # of a large picture only what is outlined is turned into numbers
    if box is None:
        return np.empty((0, 4))
    corners = np.zeros((3, 3))
    corners[:, axes.through] = number
    corners[1, axes.across] = corners[2, axes.down] = 1
    start, right, below = mask.geometry.world_to_index(geometry.index_to_world(corners))
    right, below, start = right - start, below - start, start - [s.start for s in box[::-1]]
    samples = np.empty((axes.rows, axes.columns), np.float32)
    kernels.sample_volume(np.ascontiguousarray(mask.array[box], np.float32), np.ascontiguousarray(start), right, below, samples)
    return kernels.contour_segments(np.nan_to_num(samples), 0.5)


def draw_segments(painter: QPainter, view: PlaneView, segments: np.ndarray, colour: QColor, width: float = 1.6, *, dotted: bool = False) -> None:
    """Draw in-plane index segments with a dark edge; ``dotted`` leaves out every other one."""
    if len(segments) == 0:
        return
    x0, y0 = view.to_screen(segments[:, 0], segments[:, 1])
    x1, y1 = view.to_screen(segments[:, 2], segments[:, 3])
    lines = [QLineF(*four) for four in np.stack([x0, y0, x1, y1], 1).tolist()]
    if dotted:
        # Segments come unordered, so a pen's dash pattern would begin anew at each; their place decides.
        lines = [line for line in lines if (round(line.x1() / 4) + round(line.y1() / 4)) % 2 == 0]
    for pen in (QPen(HALO, width + 1.8), QPen(colour, width)):
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        painter.setPen(pen)
        painter.drawLines(lines)


def voxel_runs(across: np.ndarray, down: np.ndarray) -> list[tuple[int, int, int]]:
    """Voxels of a slice, given by whole in-plane indices, as runs (down, first across, last across)."""
    order = np.lexsort((across, down))
    across, down = across[order], down[order]
    breaks = np.flatnonzero((np.diff(down) != 0) | (np.diff(across) != 1)) + 1
    starts, ends = np.r_[0, breaks], np.r_[breaks, len(down)] - 1
    return [(int(down[s]), int(across[s]), int(across[e])) for s, e in zip(starts, ends, strict=True)] if len(down) else []


def draw_enhancing(painter: QPainter, geometry: ImageGeometry, view: PlaneView, number: int, enhancing, colour: QColor) -> None:
    """Tint and hatch the voxels of an outline that count as enhancing, true to their edges, on slice ``number``.

    ``enhancing`` is a ``session_enhancing.Enhancing``; nothing is drawn where nothing is assessed or its
    outline lies on another grid.
    """
    marked = None if enhancing is None else enhancing.marked()
    if marked is None or not marked[0].same_grid(geometry):
        return
    axes, index = view.axes, marked[1]
    here = index[index[:, axes.through] == number]
    boxes = []
    for down, first, last in voxel_runs(here[:, axes.across], here[:, axes.down]):
        a, b = QPointF(*view.to_screen(first - 0.5, down - 0.5)), QPointF(*view.to_screen(last + 0.5, down + 0.5))
        boxes.append(QRectF(a, b).normalized())
    if not boxes:
        return
    tint, line = QColor(colour), QColor(colour).lighter(135)
    tint.setAlpha(46)
    line.setAlpha(190)
    painter.save()
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)  # no seams between rows
    painter.setPen(Qt.PenStyle.NoPen)
    for brush in (QBrush(tint), QBrush(line, Qt.BrushStyle.BDiagPattern)):
        painter.setBrush(brush)
        painter.drawRects(boxes)
    painter.restore()


def label_outline(painter: QPainter, view: PlaneView, segments: np.ndarray, text: str, colour: QColor, taken: list[QRectF] | None = None) -> None:
    """Name an outline at its upper right, clear of the names in ``taken``, which learns its place."""
    if len(segments) == 0:
        return
    x, y = view.to_screen(segments[:, 0], segments[:, 1])
    best = int(np.argmax(x - y))
    painter.setFont(pixel_font(12, bold=True))
    shadow_text(painter, free_place(painter, view.width, view.height, float(x[best]) + 5, float(y[best]) - 4, text, [] if taken is None else taken), text, colour)


def inside_pane(painter: QPainter, width: int, height: int, x: float, y: float, text: str) -> QPointF:
    """Baseline start for a name, moved so far that all of it can be read."""
    metrics = painter.fontMetrics()
    room = width - metrics.horizontalAdvance(text) - 5
    return QPointF(max(5.0, min(x, room)), max(float(metrics.ascent()) + 3, min(y, height - 6.0)))


EDGE = 26.0  # kept free of the crosshair for orientation letters


def free_place(painter: QPainter, width: int, height: int, x: float, y: float, text: str, taken: list[QRectF]) -> QPointF:
    """As ``inside_pane``, moved on where another name stands already; ``taken`` learns the place."""
    metrics = painter.fontMetrics()
    place = inside_pane(painter, width, height, x, y, text)
    wide, high = metrics.horizontalAdvance(text) + 4.0, metrics.ascent() + 3.0
    for step in range(12):
        shift = high * ((step + 1) // 2) * (1 if step % 2 else -1)
        moved = inside_pane(painter, width, height, place.x(), place.y() + shift, text)
        box = QRectF(moved.x() - 2, moved.y() - metrics.ascent(), wide, high)
        if not any(box.intersects(other) for other in taken):
            break
    taken.append(box)
    return moved


def draw_crosshair(painter: QPainter, view: PlaneView, x: float, y: float, *, gap: float = 10.0) -> None:
    """Two thin lines that leave the point itself and the letters at the edges free."""
    colour = QColor(CROSSHAIR_COLOUR)
    colour.setAlpha(170)
    painter.setPen(QPen(colour, 1.0))
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)  # straight lines: sharper so, and much quicker
    right, bottom = view.width - EDGE, view.height - EDGE
    lines = [(EDGE, y, x - gap, y), (x + gap, y, right, y), (x, EDGE, x, y - gap), (x, y + gap, x, bottom)]
    lines = [(min(max(a, EDGE), right), min(max(b, EDGE), bottom), min(max(c, EDGE), right), min(max(d, EDGE), bottom)) for a, b, c, d in lines]
    whole = [0 <= y <= view.height] * 2 + [0 <= x <= view.width] * 2
    painter.drawLines([QLineF(*four) for four, on in zip(lines, whole, strict=True) if on and (four[0] < four[2] or four[1] < four[3])])
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)


def draw_scale_bar(painter: QPainter, view_width: int, view_height: int, px_per_mm: float, above: int) -> None:
    """A bar of a round length at the lower left, over ``above`` lines of text, named in mm."""
    length_mm = _round_length(0.2 * view_width / px_per_mm)
    y = view_height - 14 - 15 * above
    left, right = 9.0, 9.0 + length_mm * px_per_mm
    lines = [QLineF(left, y, right, y), QLineF(left, y - 4, left, y + 4), QLineF(right, y - 4, right, y + 4)]
    for pen in (QPen(HALO, 3.5), QPen(QColor(TEXT), 1.4)):
        painter.setPen(pen)
        painter.drawLines(lines)
    painter.setFont(pixel_font(11))
    text = f"{length_mm:g} mm" if length_mm < 100 else f"{length_mm / 10:g} cm"
    shadow_text(painter, QPointF(right + 7, y + 4), text, TEXT)


def _round_length(target_mm: float) -> float:
    decade = 10.0 ** math.floor(math.log10(max(target_mm, 1e-6)))
    return max(s * decade for s in (1, 2, 5) if s * decade <= target_mm * 1.0001)


def draw_letters(painter: QPainter, width: int, height: int, letters: tuple[str, str, str, str]) -> None:
    """Orientation letters in the middle of the four edges: left, right, top, bottom."""
    painter.setFont(pixel_font(13, bold=True))
    left, right, top, bottom = letters
    shadow_text(painter, QRectF(8, height / 2 - 10, 40, 20), left, ACCENT, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
    shadow_text(painter, QRectF(width - 48, height / 2 - 10, 40, 20), right, ACCENT, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    shadow_text(painter, QRectF(width / 2 - 40, 5, 80, 18), top, ACCENT, Qt.AlignmentFlag.AlignHCenter)
    shadow_text(painter, QRectF(width / 2 - 40, height - 22, 80, 18), bottom, ACCENT, Qt.AlignmentFlag.AlignHCenter)


def draw_corners(painter: QPainter, width: int, height: int, corners: dict[str, list[tuple[str, str]]]) -> None:
    """Lines ``(text, colour)`` in the corners ``tl tr bl br``. The right ones keep their words; the
    left ones take what is left of the width and are shortened beyond it."""
    painter.setFont(pixel_font(11))
    metrics = painter.fontMetrics()
    for left, right in (("tl", "tr"), ("bl", "br")):
        taken = max((metrics.horizontalAdvance(text) for text, _ in corners.get(right, ())), default=0)
        taken = min(taken + 4, int(width * 0.55))
        for corner, room, x in ((right, taken, width - 8 - taken), (left, width - taken - 28, 8)):
            lines = corners.get(corner, [])
            side = Qt.AlignmentFlag.AlignRight if corner == right else Qt.AlignmentFlag.AlignLeft
            for n, (text, colour) in enumerate(lines):
                y = 7 + 15 * n if corner[0] == "t" else height - 7 - 15 * (len(lines) - n)
                shadow_text(painter, QRectF(x, y, room, 16), metrics.elidedText(text, Qt.TextElideMode.ElideRight, int(room)), colour, side)


def draw_heading(painter: QPainter, width: int, text: str) -> None:
    """What is seen in this pane, over the first line of its upper left corner, which is left free for it."""
    if text:
        painter.setFont(pixel_font(13, bold=True))
        room = width // 2 - 24  # the letter of orientation stands in the middle
        shadow_text(painter, QRectF(8, 5, room, 18), painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, room), TEXT)


def draw_cursor_box(painter: QPainter, x: float, y: float, width: int, height: int, lines: list[tuple[str, str]]) -> None:
    """Live numbers beside the cursor, kept inside the pane."""
    painter.setFont(pixel_font(12))
    metrics = painter.fontMetrics()
    w = max(metrics.horizontalAdvance(text) for text, _ in lines) + 14
    h = 16 * len(lines) + 8
    left = x + 18 if x + 18 + w < width else x - 18 - w
    top = min(max(4.0, y + 14), height - h - 4)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(12, 14, 16, 205))
    painter.drawRoundedRect(QRectF(left, top, w, h), 4, 4)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for n, (text, colour) in enumerate(lines):
        painter.setPen(QColor(colour))
        painter.drawText(QRectF(left + 7, top + 4 + 16 * n, w, 16), Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, text)


def draw_length(painter: QPainter, a: QPointF, b: QPointF, text: str, colour: str = CALIPER_COLOUR, *, dashed: bool = False) -> None:
    """A caliper: two end marks, a line and its length."""
    along = math.atan2(b.y() - a.y(), b.x() - a.x())
    dx, dy = -5 * math.sin(along), 5 * math.cos(along)
    ticks = [QLineF(p.x() - dx, p.y() - dy, p.x() + dx, p.y() + dy) for p in (a, b)]
    pen = QPen(QColor(colour), 1.5)
    if dashed:
        pen.setDashPattern([5, 4])
    painter.setPen(QPen(HALO, 3.4))
    painter.drawLines([QLineF(a, b), *ticks])
    painter.setPen(pen)
    painter.drawLine(a, b)
    painter.setPen(QPen(QColor(colour), 1.5))
    painter.drawLines(ticks)
    painter.setFont(pixel_font(12, bold=True))
    end = b if b.x() >= a.x() else a
    room = painter.window().right() - 4 - painter.fontMetrics().horizontalAdvance(text)
    shadow_text(painter, QPointF(min(end.x() + 9, room), end.y() - 5), text, colour)


def draw_caliper(painter: QPainter, view: PlaneView, geometry: ImageGeometry, number: int, caliper) -> None:
    """A caliper on a volume: solid where it lies in this slice, absent elsewhere."""
    ends = [view.from_index_point(geometry.world_to_index(p)) for p in caliper.points]
    if any(abs(slice_ - number) > 0.75 for _, _, slice_ in ends):
        return
    a, b = (QPointF(x, y) for x, y, _ in ends)
    draw_length(painter, a, b, caliper_text(caliper))


def caliper_text(caliper) -> str:
    """Label and length of a caliper; where millimetres were refused, pixels."""
    if caliper.length_mm is not None:
        text = f"{caliper.length_mm:.1f} mm" + (" " + t("(scale by hand)") if any(w.code == "manual_calibration" for w in caliper.warnings) else "")
    else:
        (x0, y0), (x1, y1) = caliper.points[0][:2], caliper.points[1][:2]
        text = f"{math.hypot(x1 - x0, y1 - y0):.0f} px"
    return f"{t(caliper.label)} {text}" if caliper.label else text


def finding_lines(findings) -> list[tuple[str, str]]:
    """The serious findings, for a corner of the picture."""
    return [("! " + t(f.message), DANGER) for f in findings if f.severity == "serious"]


def source_lines(session, source) -> list[tuple[str, str]]:
    """Series name as the study knows it, and the mark of a synthetic picture."""
    if source.description == SCHEMATIC_MARK:
        return [(t("SCHEMATIC – not image-registered"), WARNING), (t("+x: patient's left · +y: deep · +z: cranial"), MUTED)]
    record = next((r for r in session.series if r.series_id == session.current_series_id), None)
    name = (record.description if record is not None else source.description) or source.modality or ""
    lines = [(name, TEXT)] if name and name != "SYNTHETIC" else []
    return [*lines, (t("SYNTHETIC"), WARNING)] if source.synthetic else lines
