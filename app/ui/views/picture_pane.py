"""An ultrasound still or cine: the frame pane, and a bar that plays it at its true times."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QElapsedTimer, Qt, QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QSlider, QToolButton, QVBoxLayout, QWidget

from app.ui.style import icon
from app.ui.text import t
from app.ui.views.contrast_strip import ContrastStrip
from app.ui.views.frame_pane import FramePane

ASSUMED_FRAME_MS = 40.0  # only where a cine gives no times; the corner says so


class PicturePane(QWidget):
    """A ``FramePane`` with play button and scrub bar. Playing follows the clock: where decoding is
    slow, frames are dropped and the times stay true."""

    hovered = Signal(object)
    enlarge = Signal(object)
    first_frame = Signal()

    def __init__(self, session, toolbox, parent=None):
        super().__init__(parent)
        self.session = session
        self.frame = FramePane(session, toolbox)
        self.frame.hovered.connect(self.hovered)
        self.frame.first_frame.connect(self.first_frame)
        self.frame.tool_pressed.connect(self.stop)  # what is drawn belongs to the frame it was begun on
        self.bar = QWidget()
        self.play_button = QToolButton()
        self.play_button.setIcon(icon("play"))
        self.play_button.setToolTip(t("Play or stop (L)"))
        self.play_button.setAccessibleName(t("Play or stop"))
        self.play_button.clicked.connect(self.toggle_play)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName(t("Frame"))
        self.slider.valueChanged.connect(self._scrubbed)
        self.time = QLabel()
        self.time.setMinimumWidth(110)
        row = QHBoxLayout(self.bar)
        row.setContentsMargins(8, 4, 8, 4)
        row.addWidget(self.play_button)
        row.addWidget(self.slider, 1)
        row.addWidget(self.time)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addWidget(self.frame, 1)
        box.addWidget(self.bar)
        self.strip = ContrastStrip(session, self.slider, self)
        box.addWidget(self.strip)
        self._clock = QElapsedTimer()
        self._from_ms = 0.0
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(8)
        self._timer.timeout.connect(self._tick)
        session.picture_changed.connect(self._take_picture)
        session.frame_changed.connect(self._frame_changed)
        self._take_picture()

    @property
    def is_playing(self) -> bool:
        """True while the cine runs."""
        return self._timer.isActive()

    def frame_starts_ms(self) -> np.ndarray:
        """When each frame begins, from 0; even steps where the file gives no times."""
        cine = self.session.picture
        if cine.frame_times_ms is not None:
            return np.asarray(cine.frame_times_ms, float)
        return np.arange(cine.frame_count) * ASSUMED_FRAME_MS

    def duration_ms(self) -> float:
        """One round of the cine: the last frame stands as long as the one before it."""
        starts = self.frame_starts_ms()
        return float(2 * starts[-1] - starts[-2]) if len(starts) > 1 else 0.0

    def toggle_play(self) -> None:
        """Play from the frame on screen, or stop there."""
        cine = self.session.picture
        if cine is None or cine.is_still or self.is_playing:
            self.stop()
            return
        self._from_ms = float(self.frame_starts_ms()[self.session.frame_index])
        self._clock.start()
        self._timer.start()
        self.play_button.setIcon(icon("pause"))

    def stop(self) -> None:
        """Stand still."""
        self._timer.stop()
        self.play_button.setIcon(icon("play"))

    def frame_at(self, elapsed_ms: float) -> int:
        """The frame that belongs on screen so long after the start of the round."""
        return int(np.searchsorted(self.frame_starts_ms(), elapsed_ms % self.duration_ms(), side="right") - 1)

    def _tick(self) -> None:
        if self.session.picture is None:
            self.stop()
            return
        index = self.frame_at(self._from_ms + self._clock.nsecsElapsed() / 1e6)
        loop = self.session.contrast
        if loop is not None and loop.trim is not None and not loop.trim[0] <= index <= loop.trim[1]:
            index = loop.trim[0]  # only the part that counts is played, round and round
            self._from_ms = float(self.frame_starts_ms()[index])
            self._clock.restart()
        if index != self.session.frame_index:
            self.session.set_frame(index)

    def _take_picture(self) -> None:
        self.stop()
        cine = self.session.picture
        moving = cine is not None and not cine.is_still
        self.bar.setVisible(moving)
        if moving:
            self.slider.blockSignals(True)
            self.slider.setRange(0, cine.frame_count - 1)
            self.slider.blockSignals(False)
            self._frame_changed(self.session.frame_index)

    def _scrubbed(self, value: int) -> None:
        self.stop()
        self.session.set_frame(value)

    def _frame_changed(self, index: int) -> None:
        self.slider.blockSignals(True)
        self.slider.setValue(index)
        self.slider.blockSignals(False)
        cine = self.session.picture
        if cine is not None and not cine.is_still:
            at = self.frame_starts_ms()[index] / 1000
            self.time.setText(f"{at:.2f} / {self.duration_ms() / 1000:.2f} s" if cine.frame_times_ms is not None else t("times unknown"))

    def shutdown(self) -> None:
        """Stop the clock."""
        self.stop()

    # The grid speaks to all panes alike.
    def fit(self) -> None:
        """Whole picture."""
        self.frame.fit()

    def zoom(self, factor: float) -> None:
        """Zoom about the middle."""
        self.frame.zoom(factor)

    def scroll(self, steps: int) -> None:
        """Go by frames."""
        self.frame.scroll(steps)

    def centre_on_crosshair(self) -> None:
        """Nothing to centre on."""
