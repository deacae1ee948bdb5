"""What a contrast loop's picture carries: panes, the linked cursor, regions in both panes, the frame moved back, maps and what enhances."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFontMetrics, QImage, QPainter, QPainterPath, QPen, QPolygonF, QTransform

from app.ui.models.contrast import RIM_RGB, ROLE_LOOKS, VIABLE_RGB, magnitude_text, map_picture, parameter_names, region_name, unit_words
from app.ui.style import ACCENT, CALIPER_COLOUR, CROSSHAIR_COLOUR, TEXT, WARNING, node_colour, pixel_font
from app.ui.text import t
from app.ui.views import overlays
from app.usecases.field_colours import field_table
from app.usecases.perfusion_regions import across, pane_of
from volumetry.section import long_axis, turned

BAR_WIDTH, CURSOR_PX = 12, 9


class ContrastOverlay(QObject):
    """Paints for one ``FramePane``; watches its mouse for the linked cursor."""

    def __init__(self, pane):
        super().__init__(pane)
        self.pane, self.session = pane, pane.session
        self.pointer: tuple[float, float] | None = None
        self._images: dict[tuple, tuple] = {}  # what was made of a result: kept while it is on screen
        pane.installEventFilter(self)
        self.session.contrast_changed.connect(pane.update)

    def eventFilter(self, _watched, event) -> bool:
        """Follow the mouse; nothing is taken away from the pane."""
        if event.type() == QEvent.Type.MouseMove:
            p = event.position()
            self.pointer = (p.x(), p.y())
        elif event.type() == QEvent.Type.Leave:
            self.pointer = None
        return False

    # ---- where ---------------------------------------------------------------------------
    def state(self):
        """The loop on screen, while its step is at work; None else."""
        return self.session.contrast if self.session.step == "measure" else None

    def is_corrected(self) -> bool:
        """True while the picture on screen is moved back to the reference frame."""
        state = self.state()
        return state is not None and state.corrected and state.index_of(self.pane.shown_frame) is not None

    def _to_screen(self) -> QTransform:
        """Picture pixels (centres at whole numbers) to the screen."""
        x, y = self.pane.screen_of((0.0, 0.0))
        return QTransform(self.pane.px_per_px, 0, 0, self.pane.px_per_px * self.pane.aspect, x, y)

    def _screen_box(self, box) -> QRectF:
        a, b = QPointF(*self.pane.screen_of((box.x0 - 0.5, box.y0 - 0.5))), QPointF(*self.pane.screen_of((box.x1 + 0.5, box.y1 + 0.5)))
        return QRectF(a, b)

    def _matrix(self, state, at: int) -> QTransform:
        """Pane pixels of the reference frame to those of frame ``at`` of the loop."""
        m = state.motion.matrices[at]
        return QTransform(m[0, 0], m[1, 0], m[0, 1], m[1, 1], m[0, 2], m[1, 2])

    # ---- under everything else ------------------------------------------------------------
    def paint_under(self, painter: QPainter, qimage: QImage) -> None:
        """The panes moved back to the reference frame where that is wanted, and what lies over the contrast."""
        state = self.state()
        if state is None or not state.is_read:
            return
        at = state.index_of(self.pane.shown_frame)
        if at is None:
            return
        if state.corrected:
            for box in (state.panes.contrast, state.panes.bmode):
                if box is not None:
                    self._paint_moved(painter, qimage, box, self._matrix(state, at).inverted()[0])
        if state.motion.accepted[at] or state.corrected:
            self._paint_result(painter, state, at)

    def _paint_moved(self, painter: QPainter, qimage: QImage, box, back: QTransform) -> None:
        painter.save()
        whole = self._screen_box(box).adjusted(-1, -1, 1, 1)  # nothing of the stored frame shines through at the edge
        painter.setClipRect(whole)
        painter.fillRect(whole, QColor("#0A0C0D"))
        origin = QTransform.fromTranslate(box.x0, box.y0)
        painter.setTransform(origin.inverted()[0] * back * origin * self._to_screen())
        source = QRectF(box.x0, box.y0, box.x1 - box.x0 + 1, box.y1 - box.y0 + 1)
        painter.drawImage(source.translated(-0.5, -0.5), qimage, source)
        painter.restore()

    def _paint_result(self, painter: QPainter, state, at: int) -> None:
        session, result = self.session, self.session.contrast_result()
        if result is None or session.contrast_overlay == "none":
            return
        box = state.panes.contrast
        painter.save()
        painter.setClipRect(self._screen_box(box))
        moved = QTransform() if state.corrected else self._matrix(state, at)
        place = moved * QTransform.fromTranslate(box.x0, box.y0) * self._to_screen()
        if session.contrast_overlay == "map":
            made = self._map_image(result)
            if made is not None:
                painter.setOpacity(session.contrast_opacity)
                painter.setTransform(place)
                painter.drawImage(QRectF(-0.5, -0.5, made[0].width(), made[0].height()), made[0])
                painter.resetTransform()
                painter.setOpacity(1.0)
                self._paint_bar(painter, made[1], self._screen_box(box))
        elif result.assessment is not None:
            for path, rgb, pattern in self._enhancing_paths(result.assessment):
                shown = place.map(path)
                tint, line = QColor(*rgb), QColor(*rgb).lighter(140)
                tint.setAlpha(int(150 * session.contrast_opacity))
                for brush in (QBrush(tint), QBrush(line, pattern)):
                    painter.fillPath(shown, brush)
                painter.setPen(QPen(overlays.HALO, 2.6))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawPath(shown)
                painter.setPen(QPen(line, 1.2))
                painter.drawPath(shown)
        painter.restore()

    def _map_image(self, result):
        key = ("map", id(result), self.session.contrast_map)
        if key not in self._images:
            self._images = {k: v for k, v in self._images.items() if k[1] == id(result)}
            made = map_picture(result, self.session.contrast_map)
            image = None if made is None else QImage(made.rgba.data, made.rgba.shape[1], made.rgba.shape[0], 4 * made.rgba.shape[1], QImage.Format.Format_RGBA8888)
            self._images[key] = (result, None if made is None else (image, made))
        return self._images[key][1]

    def _enhancing_paths(self, assessment):
        key = ("paths", id(assessment))
        if key not in self._images:
            self._images = {k: v for k, v in self._images.items() if k[0] != "paths"}
            looks = ((assessment.viable, VIABLE_RGB, Qt.BrushStyle.BDiagPattern), (assessment.rim, RIM_RGB, Qt.BrushStyle.Dense6Pattern))
            self._images[key] = (assessment, [(mask_path(mask), rgb, pattern) for mask, rgb, pattern in looks if mask.any()])
        return self._images[key][1]

    def _paint_bar(self, painter: QPainter, made, box: QRectF) -> None:
        """The colour bar of a map at the pane's right side: name, unit, both ends."""
        table = field_table()
        height = int(min(150, 0.45 * box.height()))
        x, y = box.right() - BAR_WIDTH - 10, box.top() + 26
        strip = QImage(1, 256, QImage.Format.Format_RGB888)
        for n in range(256):
            strip.setPixelColor(0, 255 - n, QColor(*(int(v) for v in table[n])))
        painter.drawImage(QRectF(x, y, BAR_WIDTH, height), strip)
        painter.setPen(QPen(overlays.HALO, 1.0))
        painter.drawRect(QRectF(x, y, BAR_WIDTH, height))
        name = parameter_names().get(made.name, made.name)
        self._label(painter, box.right() - 8, box.top() + 17, f"{name} ({unit_words(made.unit)})", TEXT, from_right=True)
        for value, base in ((made.high, y + 12), (made.low, y + height)):
            self._label(painter, x - 5, base, magnitude_text(value, made.unit), TEXT, from_right=True)

    # ---- over everything else -----------------------------------------------------------
    def paint_over(self, painter: QPainter) -> None:
        """Boxes of the panes, regions, what the other pane shows of outlines and calipers, and the linked cursor."""
        state = self.state()
        if state is None or state.panes is None:
            return
        drawing = state.drawing is not None or self.session.tool == "contrast_panes"
        if not state.confirmed or drawing:
            self._paint_panes(painter, state)
        if self.session.tool == "contrast_panes":
            return
        self._paint_mirrored(painter, state)
        self._paint_regions(painter, state)
        self._paint_cursor(painter, state)
        if self.is_corrected():
            box = self._screen_box(state.panes.contrast)
            self._label(painter, box.left() + 6, box.bottom() - 8, t("motion corrected"), ACCENT)

    def _paint_panes(self, painter: QPainter, state) -> None:
        boxes = [(state.drawing, t("Contrast"))] if state.drawing is not None else [(state.panes.contrast, t("Contrast"))]
        if state.drawing is None and state.panes.bmode is not None:
            boxes.append((state.panes.bmode, t("B-mode")))
        for (box, name), dash in zip(boxes, ([], [6, 4]), strict=False):
            colour = QColor(ACCENT)
            pen = QPen(colour, 1.6)
            if dash:
                pen.setDashPattern(dash)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            for p in (QPen(overlays.HALO, 3.2), pen):
                painter.setPen(p)
                painter.drawRect(self._screen_box(box))
            words = name if state.confirmed or state.drawing is not None else name + " ?"
            corner = self._screen_box(box).topLeft()
            self._label(painter, corner.x() + 8, corner.y() + 20, words, ACCENT, size=13)

    def _other_pane(self, points, state) -> np.ndarray | None:
        """Points of one pane at the same place in the other; None where they lie in no one pane, or there is no other."""
        own = pane_of(points, state.panes)
        if own is None or state.panes.bmode is None:
            return None
        return across(np.asarray(points, float), state.panes, own, "bmode" if own == "contrast" else "contrast")

    def _paint_mirrored(self, painter: QPainter, state) -> None:
        """Outlines and calipers of this frame, dashed, in the pane where they were not drawn."""
        if not state.confirmed or self.is_corrected():
            return
        session, still = self.session, self.session.still_of(self.pane.shown_frame)
        lines = [(m.outline.points_px, True, node_id) for (node_id, name, frame), m in session.picture_outlines.items() if (name, frame) == still and node_id in session.nodes]
        lines += [(np.array(c.points), False, None) for c in session.calipers_on(still)]
        for points, closed, node_id in lines:
            other = self._other_pane(points, state)
            if other is None:
                continue
            colour = QColor(CALIPER_COLOUR) if node_id is None else node_colour(list(session.nodes).index(node_id))
            self._line(painter, other, colour, 1.2, (5.0, 4.0), closed)

    def _paint_regions(self, painter: QPainter, state) -> None:
        session, frame = self.session, self.pane.shown_frame
        if frame is None or not state.is_read:
            return
        panes = ("contrast",) if state.panes.bmode is None else ("contrast", "bmode")
        still = session.still_of(frame)
        drawn_here = session.outline_on(still) is not None and not self.is_corrected()
        for region in session.regions_of():
            if region.role == "node" and drawn_here and region not in state.regions.get(session.current_node_id, ()):
                continue  # the outline itself is on this frame
            colour, dash, _symbol = ROLE_LOOKS[region.role]
            for n, pane in enumerate(panes):
                points = session.region_points(region.polygon_px, frame, pane=pane)
                if points is None:
                    continue
                self._line(painter, points, QColor(colour), 1.8 if n == 0 else 1.3, dash, True)
                if n == 0:
                    x, y = min((self.pane.screen_of(p) for p in points), key=lambda p: p[0] - p[1])
                    text = region_name(region)
                    shown = self._screen_box(state.panes.contrast)
                    self._label(painter, min(max(x - 4, shown.left() + 4), shown.right() - 60), min(y + 16, shown.bottom() - 4), text, colour)
        self._paint_earlier(painter, state, frame, panes)
        if session.open_region:
            for pane in panes:
                points = session.region_points(session.open_region, frame, pane=pane)
                if points is not None:
                    self._line(painter, points, QColor(ROLE_LOOKS[session.region_role][0]), 1.6, (), False)
                    for p in points:
                        at = QPointF(*self.pane.screen_of(p))
                        painter.setBrush(QColor(ACCENT))
                        painter.setPen(QPen(overlays.HALO, 1.5))
                        painter.drawEllipse(at, 3.5, 3.5)
        if session.contrast_overlay != "none" and session.result_is_stale():
            box = self._screen_box(state.panes.contrast)
            self._label(painter, box.left() + 6, box.top() + 18, t("analysed before the last change"), WARNING)

    def _paint_earlier(self, painter: QPainter, state, frame: int, panes) -> None:
        """The shape of an earlier visit in its true size about the middle of today's node, dashed."""
        shape, scale = self.session.earlier_shape, state.panes.mm_per_pixel
        node = next((r for r in self.session.regions_of() if r.role in ("node", "ablated_zone")), None)
        if shape is None or scale is None or node is None:
            return
        own = shape.points_mm if not shape.along_node else turned(shape.points_mm, long_axis(np.asarray(node.polygon_px) * np.asarray(scale))[1])
        for n, pane in enumerate(panes):
            points = self.session.region_points(node.polygon_px, frame, pane=pane)
            if points is None:
                continue
            there = 0.5 * (points.min(axis=0) + points.max(axis=0)) + own / np.asarray(scale)
            box = self._screen_box(state.panes.contrast if n == 0 else state.panes.bmode)
            painter.save()
            painter.setClipRect(box)  # a zone may be wider than the picture
            self._line(painter, there, QColor("#FFFFFF"), 1.6, (7.0, 5.0), True)
            painter.restore()
            if n == 0:
                on_screen = np.array([self.pane.screen_of(p) for p in there])
                width = QFontMetrics(pixel_font(11, bold=True)).horizontalAdvance(shape.label)
                x = 0.5 * (on_screen[:, 0].min() + on_screen[:, 0].max() - width)
                self._label(painter, max(box.left() + 6, min(x, box.right() - width - 6)), min(on_screen[:, 1].max() + 18, box.bottom() - 28), shape.label, "#FFFFFF")

    def _paint_cursor(self, painter: QPainter, state) -> None:
        """The pointer's place in the other pane: the same place in the patient."""
        if self.pointer is None or state.panes.bmode is None or not self.pane.underMouse():
            return
        point = self.pane.point_at(*self.pointer)
        other = self._other_pane(point[None], state)
        if other is None:
            return
        x, y = self.pane.screen_of(other[0])
        lines = ((x - CURSOR_PX, y, x - 3, y), (x + 3, y, x + CURSOR_PX, y), (x, y - CURSOR_PX, x, y - 3), (x, y + 3, x, y + CURSOR_PX))
        for pen in (QPen(overlays.HALO, 3.4), QPen(QColor(CROSSHAIR_COLOUR), 1.6)):
            painter.setPen(pen)
            for four in lines:
                painter.drawLine(QPointF(*four[:2]), QPointF(*four[2:]))

    def _label(self, painter: QPainter, x: float, base: float, text: str, colour: str, *, size: int = 11, from_right: bool = False) -> None:
        """A word on a dark ground: speckle is as bright as letters."""
        painter.setFont(pixel_font(size, bold=True))
        metrics = painter.fontMetrics()
        width = metrics.horizontalAdvance(text)
        left = x - width if from_right else x
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(10, 12, 13, 185))
        painter.drawRoundedRect(QRectF(left - 4, base - metrics.ascent() - 1, width + 8, metrics.height() + 2), 3, 3)
        painter.setPen(QColor(colour))
        painter.drawText(QPointF(left, base), text)

    def _line(self, painter: QPainter, points, colour: QColor, width: float, dash, closed: bool) -> None:
        line = QPolygonF([QPointF(*self.pane.screen_of(p)) for p in points])
        pen = QPen(colour, width)
        if dash:
            pen.setDashPattern(list(dash))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for p in (QPen(overlays.HALO, width + 1.6), pen):
            painter.setPen(p)
            if closed:
                painter.drawPolygon(line)
            else:
                painter.drawPolyline(line)


def mask_path(mask: np.ndarray) -> QPainterPath:
    """The border of a mask as a path in its pixels (centres at whole numbers)."""
    path = QPainterPath()
    rows, columns = np.nonzero(mask)
    for row, first, last in overlays.voxel_runs(columns, rows):
        path.addRect(QRectF(first - 0.5, row - 0.5, last - first + 1, 1.0))
    return path.simplified()
