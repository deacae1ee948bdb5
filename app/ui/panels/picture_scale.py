"""A scale by hand, where the header gives a picture none: draw, state, see what it makes of the picture, take back."""

from __future__ import annotations

import math

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCheckBox, QDoubleSpinBox, QGridLayout, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QToolButton, QWidget

from app.ui.session import Session
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.sections import Section
from volumetry.errors import NodusError


class ScaleSection(Section):
    """Shown only for pictures without a scale of their own."""

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(t("Scale by hand"), parent=parent)
        self.session = session
        self._lines: tuple = ()
        self.note = WrapLabel(tone="warning", small=True)
        self.draw = QToolButton()
        self.draw.setObjectName("ToolKey")
        self.draw.setText(t("Draw scale") + " ⇧S")
        self.draw.setToolTip(t("Drag along marks drawn into the picture, then state the length (Shift+S)"))
        self.draw.setAccessibleName(t("Draw scale"))
        self.draw.setCheckable(True)
        self.draw.setMinimumHeight(28)
        self.draw.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.draw.clicked.connect(lambda: session.set_tool("crosshair" if session.tool == "scale" else "scale"))
        self.back = QPushButton(t("Take back"))
        self.back.setToolTip(t("Lengths on this picture go back to pixels; undo brings the scale back"))
        self.back.setAccessibleName(t("Take the scale back"))
        self.back.clicked.connect(session.remove_reader_scale)
        keys = QHBoxLayout()
        keys.setSpacing(4)
        keys.addWidget(self.draw, 1)
        keys.addWidget(self.back, 1)
        self.labels, self.lengths = [], []
        self.form = QWidget()
        grid = QGridLayout(self.form)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(6)
        for n, name in enumerate((t("Length of the first line"), t("Length of the second line"))):
            label, length = QLabel(), QDoubleSpinBox()
            length.setRange(0.0, 500.0)
            length.setDecimals(1)
            length.setSingleStep(5.0)
            length.setSuffix(" mm")
            length.setSpecialValueText(t("state mm"))  # nothing is preset
            length.setAccessibleName(name)
            length.setToolTip(t("What the marks say, in millimetres: 1 cm is 10 mm"))
            length.setMinimumHeight(28)
            length.valueChanged.connect(self._show_effect)
            label.setBuddy(length)
            grid.addWidget(label, n, 0)
            grid.addWidget(length, n, 1)
            self.labels.append(label)
            self.lengths.append(length)
        grid.setColumnStretch(1, 1)
        self.frame_only = QCheckBox(t("This frame only"))
        self.frame_only.setToolTip(t("Else the scale holds for every frame of the loop. Check that the depth does not change in it."))
        grid.addWidget(self.frame_only, 2, 0, 1, 2)
        self.part = WrapLabel(tone="muted", small=True)
        self.whole = QPushButton(t("Whole picture"))
        self.whole.setToolTip(t("Let the scale hold for the whole picture again"))
        self.whole.setAccessibleName(t("Scale for the whole picture"))
        self.whole.clicked.connect(session.drop_scale_box)
        self.effect = WrapLabel(tone="muted", small=True)
        self.use = QPushButton(t("Use this scale"))
        self.use.setAccessibleName(t("Use this scale"))
        self.use.setToolTip(t("For this picture only; every length made with it is marked as yours"))
        self.use.clicked.connect(self._use)
        self.body.addWidget(self.note)
        self.body.addLayout(keys)
        self.body.addWidget(self.form)
        self.body.addWidget(self.part)
        self.body.addWidget(self.whole)
        self.body.addWidget(self.effect)
        self.body.addWidget(self.use)
        for signal in (session.picture_changed, session.frame_changed, session.outlines_changed, session.tool_changed, session.study_changed):
            signal.connect(self.refresh)
        self.refresh()

    def refresh(self, *_) -> None:
        """Show what is drawn and what is in use."""
        session = self.session
        self.setVisible(session.needs_scale())
        if not session.needs_scale():
            return
        used, lines = session.scale_in_use(), session.scale_lines
        if lines != self._lines:
            for n, length in enumerate(self.lengths):
                if lines[n : n + 1] != self._lines[n : n + 1]:
                    length.setValue(0.0)  # another line: nothing is taken over silently
            self._lines = lines
            if lines:
                self.lengths[len(lines) - 1].setFocus(Qt.FocusReason.OtherFocusReason)
                self.lengths[len(lines) - 1].selectAll()
        self.draw.setChecked(session.tool == "scale")
        self.back.setEnabled(used is not None)
        self.note.show_text(self._state(used), "warning")
        self.form.setVisible(bool(lines))
        self.part.show_text(self._part_words(session.scale_box) if lines or session.scale_box is not None else "", "muted")
        self.whole.setVisible(session.scale_box is not None)
        self.use.setVisible(bool(lines))
        for n, (label, length) in enumerate(zip(self.labels, self.lengths, strict=True)):
            label.setVisible(n < len(lines))
            length.setVisible(n < len(lines))
            if n < len(lines):
                (x0, y0), (x1, y1) = lines[n]
                label.setText((t("Down, {px:.0f} px") if abs(y1 - y0) > abs(x1 - x0) else t("Across, {px:.0f} px")).format(px=math.hypot(x1 - x0, y1 - y0)))
        self.frame_only.setVisible(not session.picture.is_still)
        self._show_effect()

    def _part_words(self, box) -> str:
        if box is None:
            return t("Holds for the whole picture. Two panes, or an inset? Shift + drag over the part that the scale belongs to.")
        return t("Holds only within the dashed part, {w:.0f} × {h:.0f} px.").format(w=box[2] - box[0], h=box[3] - box[1])

    def _state(self, used) -> str:
        if used is None:
            return t("The header gives no scale here. Where marks are drawn into the picture, you can state one.")
        frame, scale = used
        x, y = scale.mm_per_pixel
        pixel = f"{x:.4f} mm" if len(scale.lines) == 1 else f"{x:.4f} × {y:.4f} mm"
        where = "" if self.session.picture.is_still else t(" (frame {n})").format(n=frame + 1) if frame is not None else t(" (all frames)")
        square = t(" Pixels are taken as square.") if len(scale.lines) == 1 else ""
        part = t(" It holds within the dashed part only.") if scale.box is not None else ""
        return t("By hand{where}: a pixel is {pixel}.{square} Every length made with it says so.").format(where=where, pixel=pixel, square=square) + part

    def _stated(self) -> list[float]:
        return [length.value() for length in self.lengths[: len(self.session.scale_lines)]]

    def _show_effect(self, *_) -> None:
        """What the scale would make of the picture, before it is used."""
        session = self.session
        if session.picture is None or not session.scale_lines:
            self.effect.show_text("")
            return
        if not all(self._stated()):
            self.effect.show_text(t("State what the marks say. Longer is surer: draw over as many marks as there are."), "muted")
            self.use.setEnabled(False)
            return
        try:
            scale = session.proposed_scale(self._stated())
        except NodusError as refusal:
            self.effect.show_text(refusal.message, "warning")
            self.use.setEnabled(False)
            return
        (x, y), (rows, columns) = scale.mm_per_pixel, session.picture.shape
        words = t("A pixel is {x:.4f} × {y:.4f} mm, the whole picture {w:.0f} × {h:.0f} mm; one pixel off is {percent:.1f} %.")
        if scale.box is not None:
            columns, rows = scale.box[2] - scale.box[0] + 1, scale.box[3] - scale.box[1] + 1
            words = t("A pixel is {x:.4f} × {y:.4f} mm, the dashed part {w:.0f} × {h:.0f} mm; one pixel off is {percent:.1f} %.")
        self.effect.show_text(words.format(x=x, y=y, w=x * columns, h=y * rows, percent=scale.one_pixel_pct), "muted")
        self.use.setEnabled(True)

    def _use(self) -> None:
        self.session.set_reader_scale(self._stated(), frame_only=self.frame_only.isChecked())
