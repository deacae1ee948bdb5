"""A picture with what will be masked hatched over, and a rectangle that says otherwise."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QPointF, QRect, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QBrush, QColor, QImage, QPainter, QPen, QRegion
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.ui.painting import painting
from app.ui.text import t
from app.ui.widgets.palette import BACKGROUND, DANGER, LINE, MUTED, WARNING

WIDTH_PX, HEIGHT_PX = 520, 390
LEAST_BOX_PX = 8


class MaskPreview(QWidget):
    """Shows one frame. Dragging draws the part that is kept; ``kept(box)`` follows, in pixels of the picture, or
    ``kept_also(box)`` with Shift or while ``adding`` is set: one more part."""

    kept = Signal(object)
    kept_also = Signal(object)

    def __init__(self, parent: QWidget | None = None):
        super().__init__(parent)
        self.setMinimumSize(WIDTH_PX, HEIGHT_PX)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setCursor(Qt.CursorShape.CrossCursor)
        self.setAccessibleName(t("Picture with the part that is masked"))
        self._image: QImage | None = None
        self._boxes: tuple = ()
        self._marks: tuple = ()
        self._message = ""
        self.adding = False
        self._from: QPointF | None = None
        self._to: QPointF | None = None

    def sizeHint(self) -> QSize:
        """Four by three."""
        return QSize(WIDTH_PX, HEIGHT_PX)

    def show_picture(self, rgb: np.ndarray) -> None:
        """Another frame."""
        rows, columns = rgb.shape[:2]
        self._image = QImage(np.ascontiguousarray(rgb).data, columns, rows, 3 * columns, QImage.Format.Format_RGB888).copy()
        self._message = ""
        self.update()

    def show_message(self, text: str) -> None:
        """Words in place of a picture."""
        self._image, self._message = None, text
        self.update()

    def show_boxes(self, boxes: tuple, marks: tuple = ()) -> None:
        """What stays (empty: nothing is known, all is hatched) and where writing was found; boxes include their last pixel."""
        self._boxes, self._marks = tuple(boxes), tuple(marks)
        self.update()

    # ---- places -------------------------------------------------------------------------------
    def _scale(self) -> float:
        return min(self.width() / self._image.width(), self.height() / self._image.height())

    def picture_rect(self) -> QRectF:
        """Where the picture lies in the widget."""
        scale = self._scale()
        size = (self._image.width() * scale, self._image.height() * scale)
        return QRectF((self.width() - size[0]) / 2, (self.height() - size[1]) / 2, *size)

    def _on_screen(self, box) -> QRectF:
        scale, place = self._scale(), self.picture_rect()
        x0, y0, x1, y1 = box
        return QRectF(place.x() + x0 * scale, place.y() + y0 * scale, (x1 + 1 - x0) * scale, (y1 + 1 - y0) * scale)

    def _in_picture(self, point: QPointF) -> tuple[int, int]:
        scale, place = self._scale(), self.picture_rect()
        x, y = (point.x() - place.x()) / scale, (point.y() - place.y()) / scale
        return int(min(max(x, 0), self._image.width() - 1)), int(min(max(y, 0), self._image.height() - 1))

    # ---- drawing ------------------------------------------------------------------------------
    def paintEvent(self, _event) -> None:
        """The picture, hatching over what goes, frames around what stays and what looks like writing."""
        with painting(self) as painter:
            self._paint(painter)

    def _paint(self, painter: QPainter) -> None:
        painter.fillRect(self.rect(), QColor(BACKGROUND))
        if self._image is None:
            painter.setPen(QColor(MUTED))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, self._message)
            return
        place = self.picture_rect()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(place, self._image)
        gone = QRegion(place.toAlignedRect())
        for box in self._boxes:
            gone -= QRegion(self._on_screen(box).toAlignedRect())
        painter.setClipRegion(gone)
        painter.fillRect(place, QColor(0, 0, 0, 150))
        painter.fillRect(place, QBrush(QColor(WARNING), Qt.BrushStyle.BDiagPattern))
        painter.setClipping(False)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(QColor(LINE), 1))
        for box in self._boxes:
            painter.drawRect(self._on_screen(box))
        painter.setPen(QPen(QColor(DANGER), 2))
        for x0, y0, x1, y1 in self._marks:
            painter.drawRect(self._on_screen((x0 - 3, y0 - 3, x1 + 3, y1 + 3)))
        if self._from is not None:
            painter.setPen(QPen(QColor(WARNING), 2, Qt.PenStyle.DashLine))
            painter.drawRect(QRectF(self._from, self._to).normalized())

    # ---- the mouse -----------------------------------------------------------------------------
    def mousePressEvent(self, event) -> None:
        """Begin a rectangle."""
        if self._image is not None and event.button() == Qt.MouseButton.LeftButton:
            self._from = self._to = event.position()

    def mouseMoveEvent(self, event) -> None:
        """Draw it out."""
        if self._from is not None:
            self._to = event.position()
            self.update()

    def mouseReleaseEvent(self, event) -> None:
        """Keep what lies in it; a click without a drag changes nothing."""
        if self._from is None:
            return
        start, end = self._in_picture(self._from), self._in_picture(event.position())
        self._from = self._to = None
        box = (min(start[0], end[0]), min(start[1], end[1]), max(start[0], end[0]), max(start[1], end[1]))
        if QRect(box[0], box[1], box[2] - box[0], box[3] - box[1]).width() >= LEAST_BOX_PX and box[3] - box[1] >= LEAST_BOX_PX:
            (self.kept_also if self.adding or event.modifiers() & Qt.KeyboardModifier.ShiftModifier else self.kept).emit(box)
        self.update()
