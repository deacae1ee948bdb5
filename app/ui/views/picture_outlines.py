"""What is drawn over an ultrasound frame: outlines of nodes, the axes of an outline, wires. QPainter only."""

from __future__ import annotations

from PySide6.QtCore import QLineF, QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

from app.ui.style import ACCENT, node_colour, pixel_font
from app.ui.views import overlays

ANCHOR_PX = 4.0


def draw_outlines(painter: QPainter, pane, still, *, handles: bool) -> None:
    """All nodes' outlines on a still, each in the node's colour as on the volume, the current node's with its axes (and, with ``handles``, its
    points); what is being drawn takes the place of the current node's own."""
    session = pane.session
    current = session.current_node_id
    preview = session.picture_preview if session.picture_preview is not None and session.picture_preview[0] == still else None
    for (node_id, name, frame), measured in session.picture_outlines.items():
        if (name, frame) != still or node_id not in session.nodes or (node_id == current and preview is not None and preview[2] is None):
            continue
        mine = node_id == current
        colour = node_colour(list(session.nodes).index(node_id))
        draw_polygon(painter, pane, measured.outline.points_px, colour, 2.0 if mine else 1.3)
        _name(painter, pane, measured.outline.points_px, session.nodes[node_id].node.label, colour)
        if mine and not session.uses_outline():
            draw_axes(painter, pane, measured.axes)
        if mine and handles:
            draw_anchors(painter, pane, measured.outline.anchors_px)
    if preview is not None and preview[2] is None and preview[1] is not None:
        draw_polygon(painter, pane, preview[1].outline.points_px, QColor(ACCENT), 1.6)
        draw_axes(painter, pane, preview[1].axes)
    clicks = session.wire_on(still)
    if clicks:
        path = preview[2] if preview is not None and preview[2] is not None else clicks
        draw_polygon(painter, pane, path, QColor(ACCENT), 1.8, closed=False)
        draw_anchors(painter, pane, clicks, first=len(clicks) >= 3)


def draw_polygon(painter: QPainter, pane, points, colour: QColor, width: float, *, closed: bool = True) -> None:
    """A line through picture points, with a dark edge."""
    line = QPolygonF([QPointF(*pane.screen_of(p)) for p in points])
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for pen in (QPen(overlays.HALO, width + 1.8), QPen(colour, width)):
        pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
        painter.setPen(pen)
        if closed:
            painter.drawPolygon(line)
        else:
            painter.drawPolyline(line)


def draw_axes(painter: QPainter, pane, axes) -> None:
    """Long and short axis of the ellipse, thin and dotted: a proposal, not a caliper yet."""
    colour = QColor(ACCENT)
    colour.setAlpha(200)
    painter.setFont(pixel_font(11))
    for ends, mm, px in ((axes.long_px, axes.long_axis_mm, axes.long_axis_px), (axes.short_px, axes.short_axis_mm, axes.short_axis_px)):
        a, b = (QPointF(*pane.screen_of(p)) for p in ends)
        pen = QPen(colour, 1.2)
        pen.setDashPattern([2, 3])
        painter.setPen(QPen(overlays.HALO, 2.6))
        painter.drawLine(QLineF(a, b))
        painter.setPen(pen)
        painter.drawLine(QLineF(a, b))
        end = max((a, b), key=lambda p: p.x() - 0.2 * p.y())
        overlays.shadow_text(painter, end + QPointF(7, -4), f"{mm:.1f} mm" if mm is not None else f"{px:.0f} px", ACCENT)


def draw_anchors(painter: QPainter, pane, points, *, first: bool = False) -> None:
    """The points an outline was pulled through; ``first`` rings the one that closes a wire."""
    for n, point in enumerate(points):
        at = QPointF(*pane.screen_of(point))
        painter.setPen(QPen(overlays.HALO, 2.4))
        painter.setBrush(QColor(ACCENT))
        painter.drawEllipse(at, ANCHOR_PX, ANCHOR_PX)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if first and n == 0:
            painter.setPen(QPen(QColor(ACCENT), 1.2))
            painter.drawEllipse(at, 2.2 * ANCHOR_PX, 2.2 * ANCHOR_PX)


def _name(painter: QPainter, pane, points, text: str, colour: QColor) -> None:
    """The node's name at the lower left of its outline, away from the axes' lengths."""
    screen = [pane.screen_of(p) for p in points]
    x, y = min(screen, key=lambda p: p[0] - p[1])
    painter.setFont(pixel_font(12, bold=True))
    width = painter.fontMetrics().horizontalAdvance(text)
    overlays.shadow_text(painter, overlays.inside_pane(painter, pane.width(), pane.height(), x - width - 4, y + 12, text), text, colour)
