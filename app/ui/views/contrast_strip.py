"""Frame by frame below the slider: which count, which do not and why, with the marks and the part that is read."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QLineF, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPixmap, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from app.ui.models.contrast import REASON_LOOKS, frame_reasons, frame_states, mark_names
from app.ui.painting import painting
from app.ui.style import ACCENT, BACKGROUND, GOOD, LINE, MUTED, TEXT, pixel_font
from app.ui.text import t
from app.ui.views import overlays

HEIGHT, MARK_ROOM, LEFT_OFF = 40, 15, "#3A4148"


def short_reasons() -> dict[str, str]:
    """Why a frame takes no part, in a word or two beside the strip."""
    return {"out_of_plane": t("out of plane"), "flash": t("flash"), "outside": t("partly outside"), "not_read": t("not read")}


class ContrastStrip(QWidget):
    """One column a frame, under the slider's own place for it. Accepted frames: a bar as high as their likeness to the reference; others
    stand full, coloured and patterned by the reason. A click goes to the frame."""

    def __init__(self, session, slider, parent=None):
        super().__init__(parent)
        self.session, self.slider = session, slider
        self.setObjectName("contrastStrip")
        self.setAccessibleName(t("Frames of the contrast loop: accepted or left out"))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setMouseTracking(True)
        self._states: list[tuple[str, float | None]] = []
        self._seen: tuple | None = None
        self._painted: tuple[tuple | None, QPixmap | None] = (None, None)
        session.contrast_changed.connect(self.refresh)
        session.step_changed.connect(self.refresh)
        session.frame_changed.connect(self.update)
        self.refresh()

    def sizeHint(self) -> QSize:
        """As wide as there is room."""
        return QSize(200, HEIGHT)

    def refresh(self, *_) -> None:
        """Show the loop on screen; hidden until it was read."""
        state = self.session.contrast
        shown = state is not None and state.is_read and self.session.step == "measure"
        self.setVisible(shown)
        seen = (state.loop, state.motion) if shown else None
        if seen is None or self._seen is None or seen[0] is not self._seen[0] or seen[1] is not self._seen[1]:
            self._seen = seen
            self._states = frame_states(state) if shown else []
            self._painted = (None, None)
        self.update()

    # ---- places --------------------------------------------------------------------------
    def _span(self) -> tuple[float, float]:
        """Where the first and the last frame lie: under the slider's handle."""
        left = self.slider.mapTo(self.parentWidget(), self.slider.rect().topLeft()).x() - self.x()
        margin = 7.0  # half of the slider's handle
        return left + margin, left + self.slider.width() - margin

    def x_of(self, frame: int) -> float:
        """Middle of a frame's column."""
        left, right = self._span()
        return left + (right - left) * frame / max(len(self._states) - 1, 1)

    def frame_at(self, x: float) -> int:
        """The frame whose column is nearest."""
        left, right = self._span()
        return int(min(max(round((x - left) / max(right - left, 1) * (len(self._states) - 1)), 0), len(self._states) - 1))

    # ---- painting ------------------------------------------------------------------------
    def paintEvent(self, event) -> None:
        """Columns, marks, the frame on screen."""
        with painting(self) as painter:
            self._paint(painter)

    def _paint(self, painter: QPainter) -> None:
        painter.fillRect(self.rect(), QColor(BACKGROUND))
        state = self.session.contrast
        if state is None or not self._states:
            return
        left, right = self._span()
        wide = max((right - left) / max(len(self._states) - 1, 1), 1.0)
        top, bottom = float(MARK_ROOM), self.height() - 4.0
        painter.drawPixmap(0, 0, self._columns(left, right, wide, top, bottom))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, True)
        self._paint_marks(painter, state, top, bottom)
        x = self.x_of(self.session.frame_index)
        painter.setPen(QPen(QColor(TEXT), 1.4))
        painter.drawLine(QLineF(x, top - 2, x, bottom + 2))
        self._paint_words(painter, right + wide / 2 + 8.0, top, bottom)

    def _columns(self, left: float, right: float, wide: float, top: float, bottom: float) -> QPixmap:
        """The columns of all frames, painted once: while somebody scrubs through a long loop only the line and the marks change."""
        ratio = self.devicePixelRatioF()
        key = (id(self._states), left, right, self.width(), self.height(), ratio)
        if self._painted[0] != key:
            made = QPixmap(round(self.width() * ratio), round(self.height() * ratio))
            made.setDevicePixelRatio(ratio)
            made.fill(QColor(BACKGROUND))
            painter = QPainter(made)
            try:
                self._paint_columns(painter, left, right, wide, top, bottom)
            finally:
                painter.end()
            self._painted = key, made
        return self._painted[1]

    def _paint_columns(self, painter: QPainter, left: float, right: float, wide: float, top: float, bottom: float) -> None:
        painter.fillRect(QRectF(left - wide / 2, top, right - left + wide, bottom - top), QColor(LINE))
        each = (right - left) / max(len(self._states) - 1, 1)
        for n, (why, likeness) in enumerate(self._states):
            x = left + each * n - wide / 2
            if not why:
                high = (bottom - top) * (0.35 + 0.65 * max(0.0, min(1.0, likeness or 0.0)))
                painter.fillRect(QRectF(x, bottom - high, wide + 0.5, high), QColor(GOOD).darker(130))
            elif why in REASON_LOOKS:
                self._paint_left_out(painter, QRectF(x, top, max(wide, 2.0), bottom - top), why)
            else:
                painter.fillRect(QRectF(x, top + 0.4 * (bottom - top), wide + 0.5, 2), QColor(LEFT_OFF).lighter(140))

    def _paint_words(self, painter: QPainter, left: float, top: float, bottom: float) -> None:
        """Right of the strip: whether the frame on screen counts, and why not."""
        frame = self.session.frame_index
        if not 0 <= frame < len(self._states):
            return
        why = self._states[frame][0]
        painter.setFont(pixel_font(11))
        painter.setPen(QColor(MUTED if not why else REASON_LOOKS[why][0] if why in REASON_LOOKS else TEXT))
        box = QRectF(left, top, self.width() - left - 2.0, bottom - top)
        words = painter.fontMetrics().elidedText(short_reasons().get(why, why) if why else t("counts"), Qt.TextElideMode.ElideRight, int(box.width()))
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, words)

    def _paint_left_out(self, painter: QPainter, box: QRectF, why: str) -> None:
        colour, pattern = REASON_LOOKS[why]
        painter.fillRect(box, QColor(colour).darker(210))
        painter.save()
        painter.setClipRect(box)
        painter.setPen(QPen(QColor(colour), 1.2))
        step, high = 5.0, box.height()
        if pattern == "bars":
            painter.fillRect(QRectF(box.left(), box.top(), box.width(), 4), QColor(colour))
            painter.fillRect(QRectF(box.left(), box.bottom() - 4, box.width(), 4), QColor(colour))
        else:
            # The pattern is fixed to the strip, so that neighbours of one reason make one surface.
            first = int((box.left() - high) // step)
            for k in range(first, int(box.right() // step) + 2):
                painter.drawLine(QLineF(k * step, box.bottom(), k * step + high, box.top()))
                if pattern == "cross":
                    painter.drawLine(QLineF(k * step, box.top(), k * step + high, box.bottom()))
        painter.restore()

    def _paint_marks(self, painter: QPainter, state, top: float, bottom: float) -> None:
        painter.setFont(pixel_font(10, bold=True))
        names, right_of = mark_names(), -1e9
        for name, frame in sorted(state.marks.items(), key=lambda item: item[1]):
            x = self.x_of(frame)
            painter.setPen(QPen(QColor(ACCENT), 1.2))
            painter.drawLine(QLineF(x, top - 3, x, bottom))
            painter.setBrush(QColor(ACCENT))
            painter.setPen(Qt.PenStyle.NoPen)
            painter.drawPolygon(QPolygonF([QPointF(x - 4, top - 4), QPointF(x + 4, top - 4), QPointF(x, top + 2)]))
            text = names[name] + ("" if name in state.moved_marks else " ?")
            width = painter.fontMetrics().horizontalAdvance(text)
            place = x + 6 if x + 6 + width < self.width() else x - 6 - width
            if place > right_of:
                overlays.shadow_text(painter, QPointF(place, top - 4), text, ACCENT)
                right_of = place + width + 4

    # ---- mouse ---------------------------------------------------------------------------
    def words_of(self, frame: int) -> str:
        """What is known of a frame, in a few lines."""
        state = self.session.contrast
        if state is None or not 0 <= frame < len(self._states):
            return ""
        why, likeness = self._states[frame]
        when = state.time_s(frame)
        lines = [t("Frame {n} of {of}").format(n=frame + 1, of=len(self._states)) + ("" if when is None else f" · {when:.2f} s")]
        lines.append(t("accepted") if not why else t("left out: {why}").format(why=frame_reasons().get(why, why)))
        if likeness is not None:
            lines.append(t("likeness to the reference {value:.2f}").format(value=likeness))
        lines += [mark_names()[m] + ("" if m in state.moved_marks else " " + t("(proposed)")) for m, at in state.marks.items() if at == frame]
        return "\n".join(lines)

    def event(self, event) -> bool:
        """The tooltip of the frame under the mouse."""
        if event.type() == QEvent.Type.ToolTip and self._states:
            QToolTip.showText(event.globalPos(), self.words_of(self.frame_at(event.pos().x())), self)
            return True
        return super().event(event)

    def mousePressEvent(self, event) -> None:
        """Go to the frame."""
        if event.button() == Qt.MouseButton.LeftButton and self._states:
            self.session.set_frame(self.frame_at(event.position().x()))

    def mouseMoveEvent(self, event) -> None:
        """Drag through the frames."""
        if event.buttons() & Qt.MouseButton.LeftButton and self._states:
            self.session.set_frame(self.frame_at(event.position().x()))
