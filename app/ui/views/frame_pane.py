"""One frame of an ultrasound still or cine: the picture, what is drawn on it, the mouse and its keys."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QImage, QPainter, QPen

from app.ui.painting import painting
from app.ui.style import ACCENT, MUTED, TEXT, WARNING, pixel_font
from app.ui.text import t
from app.ui.tools.base import PaneEvent
from app.ui.tools.scale import draw_scale_lines
from app.ui.views import overlays, picture_outlines
from app.ui.views.calibration_words import calibration_state, pixel_aspect, region_words
from app.ui.views.contrast_overlay import ContrastOverlay
from app.ui.views.frame_ahead import FramesAhead
from app.ui.views.pane import Pane, Pointer, times

DECODING = 2  # frames decoded at a time: enough to keep up, and a thread is left for the hand
CORNER_ROOM = 38


class FramePane(Pane):
    """The picture itself. Points are pixels (column, row) with centres at whole numbers."""

    wheel_sense = -1
    tool_pressed = Signal()  # a tool began on the frame on screen

    def __init__(self, session, toolbox, parent=None):
        super().__init__(session, toolbox, parent)
        self.px_per_px = 1.0  # screen pixels a picture column
        self.aspect = 1.0  # height of a picture pixel over its width
        self.middle = (0.0, 0.0)
        self._fitted = 1.0
        self._frames = FramesAhead()
        self._shown: int | None = None
        self._qimage: QImage | None = None
        self._decoding: set[tuple[int, int]] = set()  # (id of the cine, frame) on their way
        self.problem = ""
        self.setObjectName("pane_picture")
        self.setAccessibleName(t("Ultrasound picture"))
        session.picture_changed.connect(self._take_picture)
        session.frame_changed.connect(self.want)
        session.calipers_changed.connect(self.update)
        session.outlines_changed.connect(self.update)
        session.nodes_changed.connect(self.update)
        session.tool_changed.connect(self._take_tool)
        toolbox.changed.connect(self.update)
        self.contrast = ContrastOverlay(self)
        self._take_picture()
        self._take_tool()

    # ---- frames ----------------------------------------------------------------------
    def _take_picture(self) -> None:
        self._shown = None
        self._qimage = None
        self.problem = ""
        cine = self.session.picture
        self._frames = FramesAhead()
        if cine is not None:
            self._frames = FramesAhead(cine.frame_count, 3 * cine.shape[0] * cine.shape[1])
            self.aspect = pixel_aspect(cine.calibration_at(self.session.frame_index))
            self.fit()
            self.want(self.session.frame_index)
        self._take_tool()

    def want(self, index: int) -> None:
        """Show frame ``index`` as soon as it is decoded. Those that follow it are decoded ahead, a few at a time;
        frames that nobody waits for any more are skipped."""
        self._frames.want(index)
        if index in self._frames:
            self._show(index)
        self._decode_on()

    def _decode_on(self) -> None:
        cine = self.session.picture
        while cine is not None and len(self._decoding) < DECODING:
            index = self._frames.next_to_decode({n for c, n in self._decoding if c == id(cine)})
            if index is None:
                return
            self._decoding.add((id(cine), index))
            self.session.jobs.start(
                t("Reading frame"), lambda _, cine=cine, index=index: cine.read_frame(index), quiet=True,
                on_done=lambda pixels, cine=cine, index=index: self._decoded(cine, index, pixels),
                on_refused=lambda error, cine=cine, index=index: self._refused(cine, index, error),
            )  # fmt: skip

    def _refused(self, cine, index: int, error) -> None:
        self._decoding.discard((id(cine), index))
        if cine is self.session.picture:
            self._frames.fail(index)
            if index == self._frames.wanted:
                self.problem = error.message
                self._qimage = None  # no other frame stands in for it
                self.update()
                return
        self._decode_on()

    def _decoded(self, cine, index: int, pixels: np.ndarray) -> None:
        self._decoding.discard((id(cine), index))
        if cine is self.session.picture:
            self._frames.put(index, np.ascontiguousarray(pixels))  # QImage looks into it
            if index == self._frames.wanted:
                self._show(index)
        self._decode_on()

    def _show(self, index: int) -> None:
        pixels = self._frames[index]
        self.problem = ""
        h, w = pixels.shape[:2]
        if pixels.ndim == 2:
            self._qimage = QImage(pixels.data, w, h, w, QImage.Format.Format_Grayscale8)
        else:
            self._qimage = QImage(pixels.data, w, h, 3 * w, QImage.Format.Format_RGB888)
        self._kept = pixels
        self._shown = index
        self.update()

    @property
    def shown_frame(self) -> int | None:
        """The frame on screen, which may lag behind ``session.frame_index`` for a moment."""
        return self._shown

    # ---- coordinates -----------------------------------------------------------------
    @property
    def view(self):
        """For tools that draw a size: screen pixels a millimetre make no sense here, so none."""
        return None

    def fit(self) -> None:
        """Whole picture."""
        cine = self.session.picture
        if cine is None:
            return
        rows, columns = cine.shape
        self.middle = ((columns - 1) / 2, (rows - 1) / 2)
        # Machines write into the picture's edges: the corners get room of their own above and below.
        self.px_per_px = min(0.98 * self.width() / columns, max(40, self.height() - 2 * CORNER_ROOM) / (rows * self.aspect))
        self._fitted = self.px_per_px
        self.update()

    def centre_on_crosshair(self) -> None:
        """A picture has no place in the patient: nothing to centre on."""

    def point_at(self, x: float, y: float) -> np.ndarray:
        """Picture pixel (column, row) of a screen pixel."""
        return np.array([
            self.middle[0] + (x - self.width() / 2) / self.px_per_px,
            self.middle[1] + (y - self.height() / 2) / (self.px_per_px * self.aspect),
        ])  # fmt: skip

    def screen_of(self, point) -> tuple[float, float]:
        """Screen pixel of a picture pixel."""
        return (
            self.width() / 2 + (point[0] - self.middle[0]) * self.px_per_px,
            self.height() / 2 + (point[1] - self.middle[1]) * self.px_per_px * self.aspect,
        )

    @property
    def has_picture(self) -> bool:
        """True while a still or cine is open."""
        return self.session.picture is not None

    def zoom(self, factor: float, x: float | None = None, y: float | None = None) -> None:
        """Zoom about a screen pixel."""
        x, y = (self.width() / 2 if x is None else x), (self.height() / 2 if y is None else y)
        before = self.point_at(x, y)
        self.px_per_px = float(np.clip(self.px_per_px * factor, 0.05, 40))
        after = self.point_at(x, y)
        self.middle = (self.middle[0] + before[0] - after[0], self.middle[1] + before[1] - after[1])
        self.update()

    def scroll(self, steps: int) -> None:
        """Go by frames."""
        self.session.set_frame(self.session.frame_index + steps)

    # ---- painting --------------------------------------------------------------------
    def resizeEvent(self, event) -> None:
        """A picture that was whole stays whole."""
        if abs(self.px_per_px / self._fitted - 1) < 1e-6:
            self.fit()

    def paintEvent(self, event) -> None:
        """Frame, calipers, corners, tool."""
        whole = False
        with painting(self) as painter:
            whole = self._paint(painter)
        if whole:
            self._was_painted()

    def _paint(self, painter: QPainter) -> bool:
        """Paint what there is; True where a picture is among it."""
        painter.fillRect(self.rect(), QColor("#0A0C0D"))
        cine = self.session.picture
        if cine is None or self._qimage is None:
            painter.setPen(QColor(WARNING if self.problem else MUTED))
            painter.setFont(pixel_font(12))
            text = self.problem or (t("Reading the picture") if cine is not None else t("No picture is open"))
            painter.drawText(self.rect().adjusted(20, 0, -20, 0), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, text)
            return False
        rows, columns = cine.shape
        left, top = self.screen_of((-0.5, -0.5))
        painter.setRenderHints(QPainter.RenderHint.Antialiasing | QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(QRectF(left, top, columns * self.px_per_px, rows * self.px_per_px * self.aspect), self._qimage)
        self.contrast.paint_under(painter, self._qimage)
        tool = self.toolbox.current
        still = self.session.still_of(self._shown)
        stored = not self.contrast.is_corrected()  # what was drawn on the frame does not lie on one that was moved
        if stored:
            picture_outlines.draw_outlines(painter, self, still, handles=tool.shows_anchors)
        for caliper in self.session.calipers_on(still) if stored else ():
            a, b = (QPointF(*self.screen_of(p)) for p in caliper.points)
            overlays.draw_length(painter, a, b, overlays.caliper_text(caliper))
            if caliper.refusal:
                painter.setFont(pixel_font(11))
                overlays.shadow_text(painter, QRectF(min(a.x(), b.x()), max(a.y(), b.y()) + 8, 320, 34), caliper.refusal, WARNING, Qt.TextFlag.TextWordWrap)
        draw_scale_lines(painter, self, self.session)
        self.contrast.paint_over(painter)
        tool.paint(painter, self)
        self._draw_corners(painter, cine)
        if tool.at is not None and tool.at.pane is self:
            lines = tool.live_lines()
            if lines:
                overlays.draw_cursor_box(painter, tool.at.x, tool.at.y, self.width(), self.height(), lines)
        return True

    def _draw_corners(self, painter: QPainter, cine) -> None:
        w, h = self.width(), self.height()
        left = overlays.source_lines(self.session, cine.source)
        if cine.is_still:
            frame = [(t("still"), MUTED)]
        else:
            times = cine.frame_times_ms
            when = f" · {times[self._shown] / 1000:.2f} s" if times is not None else " · " + t("times unknown")
            frame = [(f"{self._shown + 1} / {cine.frame_count}{when}", TEXT)]
        plane = self.session.plane_of_still(self.session.still_of(self._shown))
        if plane is not None:
            frame.append((t("longitudinal, as stated") if plane == "longitudinal" else t("transverse, as stated"), ACCENT))
        overlays.draw_corners(painter, w, h, {
            "tl": left + overlays.finding_lines(cine.findings)[:1],
            "tr": frame,
            "bl": [calibration_state(cine.calibration_at(self._shown))],
            "br": [(t("Investigational use"), MUTED)],
        })  # fmt: skip
        if self._drag is None and self.underMouse():
            self._outline_region(painter, cine)

    def _outline_region(self, painter: QPainter, cine) -> None:
        at = self.toolbox.current.at
        if at is None or at.pane is not self or not self.toolbox.current.works_on_pictures:
            return
        for region in cine.calibration_at(self._shown).regions:
            if region.holds(*at.point):
                x0, y0 = self.screen_of((region.x0 - 0.5, region.y0 - 0.5))
                x1, y1 = self.screen_of((region.x1 + 0.5, region.y1 + 0.5))
                pen = QPen(QColor(ACCENT), 1)
                pen.setDashPattern([2, 4])
                painter.setPen(pen)
                painter.drawRect(QRectF(x0, y0, x1 - x0, y1 - y0))

    # ---- mouse and keys --------------------------------------------------------------
    def _take_tool(self, *_) -> None:
        tool = self.toolbox.current
        self.setCursor(Qt.CursorShape.CrossCursor if tool.works_on_pictures else Qt.CursorShape.ArrowCursor)
        self.update()

    def _event(self, event) -> PaneEvent:
        p = event.position()
        return PaneEvent(self, p.x(), p.y(), self.point_at(p.x(), p.y()), event.modifiers(), None)

    def mousePressEvent(self, event) -> None:
        """Middle or Space pans; left is the tool where it works on pictures."""
        if self.session.picture is None or self._qimage is None:  # nothing is drawn on a frame that is not seen
            return
        button = event.button()
        if self._pans(event):
            self._drag = ("pan", event.position())
        elif button == Qt.MouseButton.LeftButton and self.toolbox.current.works_on_pictures:
            self._drag = ("tool", event.position())
            self.tool_pressed.emit()
            self.toolbox.current.press(self._event(event))
            self.update()

    def mouseMoveEvent(self, event) -> None:
        """Drag on, or hover."""
        if self.session.picture is None:
            return
        self._tell_pointer(event.position())
        if self._drag is None:
            if self.toolbox.current.works_on_pictures:
                self.toolbox.current.hover(self._event(event))
        elif self._drag[0] == "pan":
            p, at = event.position(), self._drag[1]
            self.middle = (self.middle[0] - (p.x() - at.x()) / self.px_per_px, self.middle[1] - (p.y() - at.y()) / (self.px_per_px * self.aspect))
            self._drag = ("pan", p)
        else:
            self.toolbox.current.move(self._event(event))
        self.update()

    def mouseReleaseEvent(self, event) -> None:
        """End of a drag."""
        if self._drag is not None and self._drag[0] == "tool":
            self.toolbox.current.release(self._event(event))
        self._drag = None
        self.update()

    def mouseDoubleClickEvent(self, event) -> None:
        """With a tool in hand the second click is a click."""
        if self.toolbox.current.works_on_pictures:
            self.mousePressEvent(event)

    def keyPressEvent(self, event) -> None:
        """Keys of the tool in hand; PgUp, PgDn and arrows go by frames; Space pans."""
        if self.toolbox.current.works_on_pictures and self.toolbox.current.key_pressed(self, event.key()):
            self.update()
            return
        key, steps = event.key(), times(event)
        if key in (Qt.Key.Key_PageDown, Qt.Key.Key_Down, Qt.Key.Key_Right):
            self.scroll(steps)
        elif key in (Qt.Key.Key_PageUp, Qt.Key.Key_Up, Qt.Key.Key_Left):
            self.scroll(-steps)
        elif key == Qt.Key.Key_Home:
            self.session.set_frame(0)
        elif key == Qt.Key.Key_End and self.session.picture is not None:
            self.session.set_frame(self.session.picture.frame_count - 1)
        elif not self._space_pressed(event):
            super().keyPressEvent(event)

    def _tell_pointer(self, position) -> None:
        cine = self.session.picture
        x, y = self.point_at(position.x(), position.y())
        text = t("column {x:.0f}  row {y:.0f}").format(x=x, y=y)
        rows, columns = cine.shape
        if 0 <= round(x) < columns and 0 <= round(y) < rows:
            text += " · " + region_words(cine.calibration_at(self._shown or 0), float(x), float(y))
        text += f" · {t('zoom')} {100 * self.px_per_px / self._fitted:.0f} %"
        self.hovered.emit(Pointer(text))
