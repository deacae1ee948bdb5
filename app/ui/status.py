"""The status bar: where the mouse is, what runs, what is saved; and the bar for notices above it."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QHBoxLayout, QLabel, QProgressBar, QSizePolicy, QToolButton, QWidget

from app import INVESTIGATIONAL_NOTICE
from app.ui.job_runner import JobEvent
from app.ui.style import DANGER, WARNING
from app.ui.text import said, t
from app.ui.widgets.labels import ElidedLabel

NOTICE_SECONDS = 8


class StatusBar(QWidget):
    """Pointer · job with progress and cancel · saved and the investigational notice."""

    def __init__(self, session, parent=None):
        super().__init__(parent)
        self.session = session
        self.setObjectName("statusBar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setFixedHeight(28)
        self.pointer = ElidedLabel("")
        self.pointer.setAccessibleName(t("Position under the mouse"))
        self.pointer.setMinimumWidth(120)
        self.job = ElidedLabel("")
        self.job.setObjectName("job")
        self.job.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.progress = QProgressBar()
        self.progress.setFixedWidth(110)
        self.progress.setTextVisible(False)
        self.progress.setAccessibleName(t("Progress"))
        self.cancel = QToolButton()
        self.cancel.setText(t("Cancel"))
        self.cancel.setAccessibleName(t("Cancel the running job"))
        self.cancel.clicked.connect(self._cancel)
        self.saved = ElidedLabel("")
        self.saved.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.notice = QLabel(t(INVESTIGATIONAL_NOTICE))
        self.notice.setObjectName("notice")
        self.notice.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Preferred)
        self.saved.hide()
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 0, 10, 0)
        row.setSpacing(8)
        row.addWidget(self.pointer, 4)
        row.addWidget(self.job, 4)
        row.addWidget(self.progress)
        row.addWidget(self.cancel)
        row.addWidget(self.saved, 3)
        row.addWidget(self.notice)
        self._hint = ""
        self._running: dict[int, JobEvent] = {}
        session.jobs.progressed.connect(self._show_job)
        session.saved.connect(self._show_saved)
        self._draw()

    def show_pointer(self, pointer) -> None:
        """Place under the mouse, or nothing."""
        self.pointer.setText("" if pointer is None else pointer.text)

    def show_hint(self, text: str) -> None:
        """What the tool in hand waits for; it gives way to a running job."""
        if text != self._hint:
            self._hint = text
            self._draw()

    def _show_saved(self, what: str) -> None:
        what = said(what)
        self.saved.setText(what)
        self.saved.show()
        self.saved.setToolTip(what)

    def _show_job(self, event: JobEvent) -> None:
        if event.finished:
            self._running.pop(event.job_id, None)
        else:
            self._running[event.job_id] = event
        self._draw()

    def _draw(self) -> None:
        busy = bool(self._running)
        self.progress.setVisible(busy)
        self.cancel.setVisible(busy)
        self.job.setProperty("tone", "" if busy else "muted")
        if not busy:
            self.job.setText(self._hint)
            return
        event = next(reversed(self._running.values()))
        known = event.fraction is not None
        self.progress.setRange(0, 100 if known else 0)
        if known:
            self.progress.setValue(round(100 * event.fraction))
        more = f" (+{len(self._running) - 1})" if len(self._running) > 1 else ""
        text = said(event.title) + (f": {said(event.message)}" if event.message and event.message != event.title else "")
        self.job.setText(text + (f"  {100 * event.fraction:.0f} %" if known else "") + more)

    def _cancel(self) -> None:
        if self._running:
            self.session.jobs.cancel(next(reversed(self._running)))


class NoticeBar(QWidget):
    """A sentence with its severity; warnings stay until they are read or replaced, the rest leaves by itself."""

    def __init__(self, parent=None):
        super().__init__(parent)
        self.setObjectName("noticeBar")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.sign = QLabel()
        self.label = QLabel()
        self.label.setWordWrap(True)
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.label.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Minimum)
        self.dismiss = QToolButton()
        self.dismiss.setText("✕")
        self.dismiss.setToolTip(t("Dismiss"))
        self.dismiss.setAccessibleName(t("Dismiss"))
        self.dismiss.clicked.connect(self.hide)
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 4, 8, 4)
        row.addWidget(self.sign)
        row.addWidget(self.label, 1)
        row.addWidget(self.dismiss)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.hide)
        self.hide()

    def tell(self, severity: str, sentence: str) -> None:
        """Show a sentence; ``severity`` is info, warning or serious."""
        sentence = said(sentence)
        self.setProperty("severity", severity)
        self.style().unpolish(self)
        self.style().polish(self)
        sign, colour = {"info": ("i", ""), "warning": ("!", WARNING), "serious": ("!!", DANGER)}[severity]
        self.sign.setText(sign)
        self.sign.setStyleSheet(f"font-weight: bold; color: {colour};" if colour else "font-weight: bold;")
        self.label.setText(sentence)
        self.setAccessibleName(sentence)
        self.show()
        self._timer.stop()
        if severity == "info":
            self._timer.start(NOTICE_SECONDS * 1000)
