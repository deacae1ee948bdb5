"""The drawing tools as buttons with their keys."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDoubleSpinBox, QGridLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from app.ui.panels.value_range import RangeRow
from app.ui.session import Session
from app.ui.style import icon
from app.ui.text import said, t
from app.ui.widgets.labels import WrapLabel

DRAWING_TOOLS = ("node", "contour", "scribble", "region", "threshold", "brush", "eraser", "cut")
OPERATIONS = ("cut", "fill_between", "fill", "keep_largest", "grow", "shrink", "smooth", "clear")
COLUMNS = 8  # a common key takes two, undo and redo one


class ToolKeys(QWidget):
    """The ways to an outline, hand drawing, and repairs; checked buttons are the tool in hand."""

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(parent)
        self.session = session
        self.buttons: dict[str, QToolButton] = {}
        self._grid = QGridLayout()
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(4)
        for column in range(COLUMNS):
            self._grid.setColumnStretch(column, 1)
            self._grid.setColumnMinimumWidth(column, 1)
        self._make_outline()
        self._make_draw()
        self._make_repair()
        self.range = RangeRow(session)
        self.why_not = WrapLabel(tone="muted", small=True)
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(6)
        box.addLayout(self._grid)
        box.addWidget(self.range)
        box.addWidget(self.why_not)
        self._locked, self._has_node = False, False
        stack = session.undo_stack
        stack.canUndoChanged.connect(self.refresh)  # bound methods: they end with this widget
        stack.canRedoChanged.connect(self.refresh)
        stack.undoTextChanged.connect(self.refresh)
        session.tool_changed.connect(self.refresh)
        session.display_changed.connect(self.refresh)
        session.image_changed.connect(self.refresh)
        self.refresh()

    # ---- keys ----------------------------------------------------------------------------------
    def _make_outline(self) -> None:
        self._row, self._column = 0, 0  # the section's own title stands above these
        self._tool("node", t("Node"), "N", t("Click the node and drag a radius; the outline appears while you drag"))
        self._tool("contour", t("Contour"), "O", t("Draw round the node on a few slices; Ctrl takes away"))
        self._key("fill_between", t("Between"), "I", t("Fill the slices between those that were drawn"), self.session.fill_between)
        self._tool("region", t("Region"), "G", t("Drag a ball; what is like its middle is outlined. Shift adds, Ctrl takes away"))
        self._tool("scribble", t("Scribble"), "S", t("Strokes inside the node, with Ctrl outside it; the border between them is found"), wide=True)
        self._tool("threshold", t("Threshold"), "T", t("Drag a ball; a range of values in it is outlined. Shift adds, Ctrl takes away"), wide=True)

    def _make_draw(self) -> None:
        session = self.session
        self._caption(t("Draw"))
        self._tool("brush", t("Brush"), "B", t("Paint voxels in; Ctrl is the eraser; [ and ] change the size"))
        self._tool("eraser", t("Eraser"), "E", t("Paint voxels out; Ctrl is the brush; [ and ] change the size"))
        self._key("3d", t("Ball"), "D", t("Brush and eraser reach into the neighbouring slices"), self._toggle_3d)
        self.buttons["3d"].setCheckable(True)
        self.size = QDoubleSpinBox()
        self.size.setRange(0.5, 20.0)
        self.size.setSingleStep(0.5)
        self.size.setDecimals(1)
        self.size.setSuffix(" mm")
        self.size.setValue(session.brush_radius_mm)
        self.size.setMinimumHeight(28)
        self.size.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.size.setToolTip(t("Radius of brush and eraser ([ and ])"))
        self.size.setAccessibleName(t("Brush radius in millimetres"))
        self.size.valueChanged.connect(self._set_size)
        self._place(self.size, 2)

    def _make_repair(self) -> None:
        edit = self.session.edit_mask
        self._caption(t("Repair"))
        self._tool("cut", t("Cut"), "⇧X", t("Drag a line across the outline: the smaller side goes, with Ctrl the larger"))
        self.buttons["cut"].setToolTip(self.buttons["cut"].toolTip().replace("⇧X", "Shift+X"))
        self._key("fill", t("Fill"), "F", t("Fill holes in the outline"), lambda: edit("fill"))
        self._key("keep_largest", t("Keep"), "K", t("Keep the largest piece only"), lambda: edit("keep_largest"))
        self._key("smooth", t("Smooth"), "Shift+F", t("Round off corners smaller than a voxel or two"), lambda: edit("smooth"))
        self._key("grow", t("Grow"), "+", t("Grow the outline by 0.5 mm, at least a voxel"), lambda: edit("grow"))
        self._key("shrink", t("Shrink"), "−", t("Shrink the outline by 0.5 mm, at least a voxel"), lambda: edit("shrink"))
        self._key("clear", t("Clear"), "Ctrl+Backspace", t("Remove the outline of this node at this visit; undo brings it back"), lambda: edit("clear"))
        for name, text, key, tip, do in (("undo", t("Undo"), "Ctrl+Z", t("Undo the last edit"), self.session.undo), ("redo", t("Redo"), "Shift+Ctrl+Z", t("Redo what was undone"), self.session.redo)):
            button = self._key(name, text, key, tip, do, columns=1)
            button.setIcon(icon(name))
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonIconOnly)
            button.setStyleSheet("padding: 4px 2px;")

    def _caption(self, text: str) -> None:
        """A new row with the group's name above its keys."""
        self._row, self._column = self._row + 2, 0
        label = QLabel(text)
        label.setObjectName("groupCaption")
        label.setProperty("tone", "muted")
        label.setStyleSheet("font-size: 11px;")
        self._grid.addWidget(label, self._row - 1, 0, 1, COLUMNS)

    def _place(self, widget: QWidget, columns: int) -> None:
        if self._column + columns > COLUMNS:
            self._row, self._column = self._row + 1, 0
        self._grid.addWidget(widget, self._row, self._column, 1, columns)
        self._column += columns

    def _key(self, name: str, text: str, key: str, tip: str, do, *, columns: int = 2) -> QToolButton:
        button = QToolButton()
        button.setObjectName("ToolKey")
        button.setText(f"{text} {key}" if key and len(key) < 3 else text)
        button.setToolTip(f"{tip} ({key})" if key else tip)
        button.setAccessibleName(text)
        button.setAccessibleDescription(button.toolTip())
        button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        button.setMinimumHeight(28)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.clicked.connect(lambda _checked=False, do=do: do())
        self._place(button, columns)
        self.buttons[name] = button
        return button

    def _tool(self, name: str, text: str, key: str, tip: str, *, wide: bool = False) -> None:
        self._key(name, text, key, tip, lambda: self._take(name), columns=4 if wide else 2).setCheckable(True)

    # ---- showing -------------------------------------------------------------------------------
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
        for name in DRAWING_TOOLS:
            self.buttons[name].setChecked(session.tool == name)
            self.buttons[name].setEnabled(can_draw)
        if session.picture is not None:
            self.buttons["node"].setEnabled(not self._locked)
        self.buttons["3d"].setChecked(session.brush_3d)
        self.buttons["3d"].setEnabled(can_draw)
        self.size.setEnabled(can_draw)
        self.range.refresh(can_draw and session.tool == "threshold")
        for name in OPERATIONS:
            self.buttons[name].setEnabled(can_draw and has_outline)
        self.buttons["undo"].setEnabled(stack.canUndo())
        self.buttons["redo"].setEnabled(stack.canRedo())
        for name, key, text in (("undo", "Ctrl+Z", stack.undoText()), ("redo", "Shift+Ctrl+Z", stack.redoText())):
            word = t("Undo") if name == "undo" else t("Redo")
            self.buttons[name].setToolTip(f"{word}: {said(text)} ({key})" if text else f"{word} ({key})")
        if abs(self.size.value() - session.brush_radius_mm) > 1e-6 and not self.size.hasFocus():
            self.size.blockSignals(True)
            self.size.setValue(session.brush_radius_mm)
            self.size.blockSignals(False)
        if self._locked:
            self.why_not.show_text(t("The reading is locked, so its outline does not change."))
        elif session.picture is not None:
            self.why_not.show_text(t("On ultrasound: node (N), wire (W) and calipers (C). The other tools work on a volume (CT or MR)."))
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
