"""The drawing tools as buttons with their keys."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDoubleSpinBox, QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from app.ui.session import Session
from app.ui.text import t
from app.ui.widgets.labels import WrapLabel

COLUMNS = 4


class ToolKeys(QWidget):
    """Node, brush, eraser and the operations on an outline; checked buttons are the tool in hand."""

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.buttons: dict[str, QToolButton] = {}
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        stack = session.undo_stack
        entries = (
            ("node", t("Node"), "N", t("Click the node and drag a radius; the outline appears while you drag"), lambda: self._take("node")),
            ("brush", t("Brush"), "B", t("Paint voxels in; Ctrl is the eraser; [ and ] change the size"), lambda: self._take("brush")),
            ("eraser", t("Eraser"), "E", t("Paint voxels out; Ctrl is the brush; [ and ] change the size"), lambda: self._take("eraser")),
            ("3d", t("Ball"), "D", t("Brush and eraser reach into the neighbouring slices"), self._toggle_3d),
            ("fill", t("Fill"), "F", t("Fill holes in the outline"), lambda: session.edit_mask("fill")),
            ("keep_largest", t("Keep"), "K", t("Keep the largest piece only"), lambda: session.edit_mask("keep_largest")),
            ("grow", t("Grow"), "+", t("Grow the outline by 0.5 mm"), lambda: session.edit_mask("grow")),
            ("shrink", t("Shrink"), "−", t("Shrink the outline by 0.5 mm"), lambda: session.edit_mask("shrink")),
            ("smooth", t("Smooth"), "", t("Round off corners smaller than a voxel or two"), lambda: session.edit_mask("smooth")),
            ("clear", t("Clear"), "", t("Remove the outline of this node at this visit; undo brings it back"), lambda: session.edit_mask("clear")),
            ("undo", t("Undo"), "Ctrl+Z", t("Undo the last edit"), stack.undo),
            ("redo", t("Redo"), "Shift+Ctrl+Z", t("Redo what was undone"), stack.redo),
        )
        for n, (name, text, key, tip, do) in enumerate(entries):
            button = QToolButton()
            button.setObjectName("ToolKey")
            button.setText(f"{text} {key}" if len(key) == 1 else text)
            button.setToolTip(f"{tip} ({key})" if key else tip)
            button.setAccessibleName(text)
            button.setAccessibleDescription(button.toolTip())
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            button.setMinimumHeight(28)
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.setCheckable(name in ("node", "brush", "eraser", "3d"))
            button.clicked.connect(lambda _checked=False, do=do: do())
            grid.addWidget(button, n // COLUMNS, n % COLUMNS)
            self.buttons[name] = button
        for column in range(COLUMNS):
            grid.setColumnStretch(column, 1)
        self.size = QDoubleSpinBox()
        self.size.setRange(0.5, 20.0)
        self.size.setSingleStep(0.5)
        self.size.setDecimals(1)
        self.size.setSuffix(" mm")
        self.size.setValue(session.brush_radius_mm)
        self.size.setToolTip(t("Radius of brush and eraser ([ and ])"))
        self.size.setAccessibleName(t("Brush radius in millimetres"))
        self.size.valueChanged.connect(self._set_size)
        caption = QLabel(t("Brush &radius"))
        caption.setBuddy(self.size)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(caption)
        row.addWidget(self.size, 1)
        self.why_not = WrapLabel(tone="muted", small=True)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(6)
        box.addLayout(grid)
        box.addLayout(row)
        box.addWidget(self.why_not)
        self._locked, self._has_node = False, False
        stack.canUndoChanged.connect(self.refresh)  # bound methods: they end with this widget
        stack.canRedoChanged.connect(self.refresh)
        stack.undoTextChanged.connect(self.refresh)
        session.tool_changed.connect(self.refresh)
        session.display_changed.connect(self.refresh)
        session.image_changed.connect(self.refresh)
        self.refresh()

    def set_locked(self, locked: bool, has_node: bool) -> None:
        """A locked reading takes no edits."""
        if (locked, has_node) != (self._locked, self._has_node):
            self._locked, self._has_node = locked, has_node
            self.refresh()

    def refresh(self) -> None:
        """Show the tool in hand and what can be done now."""
        session, stack = self.session, self.session.undo_stack
        can_draw = session.image is not None and not self._locked
        state = session.nodes.get(session.current_node_id) if session.current_node_id else None
        has_outline = state is not None and state.draft is not None
        for name in ("node", "brush", "eraser"):
            self.buttons[name].setChecked(session.tool == name)
            self.buttons[name].setEnabled(can_draw)
        self.buttons["3d"].setChecked(session.brush_3d)
        self.buttons["3d"].setEnabled(can_draw)
        self.size.setEnabled(can_draw)
        for name in ("fill", "keep_largest", "grow", "shrink", "smooth", "clear"):
            self.buttons[name].setEnabled(can_draw and has_outline)
        self.buttons["undo"].setEnabled(stack.canUndo())
        self.buttons["redo"].setEnabled(stack.canRedo())
        for name, key, text in (("undo", "Ctrl+Z", stack.undoText()), ("redo", "Shift+Ctrl+Z", stack.redoText())):
            word = t("Undo") if name == "undo" else t("Redo")
            self.buttons[name].setToolTip(f"{word}: {text} ({key})" if text else f"{word} ({key})")
        if abs(self.size.value() - session.brush_radius_mm) > 1e-6 and not self.size.hasFocus():
            self.size.blockSignals(True)
            self.size.setValue(session.brush_radius_mm)
            self.size.blockSignals(False)
        if self._locked:
            self.why_not.show_text(t("The reading is locked, so its outline does not change."))
        elif session.picture is not None:
            self.why_not.show_text(t("Outlines are drawn on a volume (CT or MR). On ultrasound, use the calipers below."))
        elif session.image is None:
            self.why_not.show_text(t("Open images first."))
        else:
            self.why_not.show_text("")

    def _take(self, tool: str) -> None:
        # Pressing the tool in hand puts it down, as Esc does.
        self.session.set_tool("crosshair" if self.session.tool == tool else tool)
        self.refresh()

    def _toggle_3d(self) -> None:
        self.session.set_brush(ball=not self.session.brush_3d)

    def _set_size(self, radius_mm: float) -> None:
        self.session.set_brush(radius_mm=radius_mm)
