"""On an ultrasound picture: the plane the reader states, the outline's numbers, and its axes as calipers."""

from __future__ import annotations

from functools import partial

from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QSizePolicy, QToolButton, QWidget

from app.study.model import ReadingState
from app.ui.session import Session
from app.ui.style import icon
from app.ui.text import t
from app.ui.widgets.figure_table import FigureTable
from app.ui.widgets.figures import Figure, number_text
from app.ui.widgets.key_button import key_button
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.sections import Section

FAIR_PCT, POOR_PCT = 5.0, 10.0  # of the short axis: how far the outline lies from its ellipse
OBLIQUE_DEG = (30.0, 60.0)  # between these it is not plain which axis is the depth

_key = partial(key_button, tab_only=True)  # a click must not take the focus, or the next letter would not reach the tools


class PictureSection(Section):
    """Which plane the still shows (nothing is preset), what its outline measures, and one button that
    takes the axes over as the two diameters of that plane."""

    def __init__(self, session: Session, parent: QWidget | None = None):
        super().__init__(t("Outline on this picture"), parent=parent)
        self.session = session
        self.plane_buttons: dict[str, QToolButton] = {}
        group = QButtonGroup(self)
        planes = QHBoxLayout()
        planes.setSpacing(4)
        for plane, name, key in (("longitudinal", t("Longitudinal"), "Shift+L"), ("transverse", t("Transverse"), "Shift+T")):
            button = _key(name, t("You state that this still shows the node's {plane} plane ({key})").format(plane=name.lower(), key=key))
            button.setCheckable(True)
            group.addButton(button)
            button.clicked.connect(lambda _checked=False, plane=plane: session.state_plane(plane))
            planes.addWidget(button, 1)
            self.plane_buttons[plane] = button
        group.setExclusive(False)  # none is a state too: nothing is guessed
        self.plane_note = WrapLabel(tone="warning", small=True)
        self.figures = FigureTable(t("Outline on this still"), max_rows=4)
        self.note = WrapLabel(tone="muted", small=True)
        self.warning = WrapLabel(tone="warning", small=True)
        self.use = _key(t("Use as calipers") + " U", t("The outline's axes become the two diameters of this still (U)"))
        self.use.clicked.connect(session.use_as_calipers)
        self.remove = _key(t("Remove outline"), t("Take this node's outline off this still; undo brings it back"))
        self.remove.clicked.connect(session.remove_picture_outline)
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        buttons.addWidget(self.use, 1)
        buttons.addWidget(self.remove, 1)
        self.tools: dict[str, QToolButton] = {}
        tools = QHBoxLayout()
        tools.setSpacing(4)
        entries = (
            ("node", t("Node") + " N", t("Press in the node and drag to its border; then clicks pull the outline, points can be dragged (N)")),
            ("livewire", t("Wire") + " W", t("Click along the border, the wire follows the edge; Enter closes, Backspace takes a point back (W)")),
        )
        for tool, name, tip in entries:
            button = _key(name, tip)
            button.setCheckable(True)
            button.clicked.connect(lambda _checked=False, tool=tool: self._take(tool))
            tools.addWidget(button, 1)
            self.tools[tool] = button
        stack = session.undo_stack
        self.undo, self.redo = (_key("", tip) for tip in (t("Undo (Ctrl+Z)"), t("Redo (Shift+Ctrl+Z)")))
        for button, name, do in ((self.undo, "undo", stack.undo), (self.redo, "redo", stack.redo)):
            button.setIcon(icon(name))
            button.setAccessibleName(t("Undo") if name == "undo" else t("Redo"))
            button.clicked.connect(do)
            button.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
            button.setMinimumWidth(36)
            tools.addWidget(button)
        stack.canUndoChanged.connect(self.refresh)
        stack.canRedoChanged.connect(self.refresh)
        self.body.addLayout(planes)
        self.body.addWidget(self.plane_note)
        self.body.addLayout(tools)
        for part in (self.figures, self.note, self.warning):
            self.body.addWidget(part)
        self.body.addLayout(buttons)
        for signal in (session.outlines_changed, session.calipers_changed, session.picture_changed, session.nodes_changed):
            signal.connect(self.refresh)
        session.frame_changed.connect(self.refresh)
        session.tool_changed.connect(self.refresh)
        self.refresh()

    def refresh(self, *_) -> None:
        """Show the still on screen; hidden while there is none."""
        session = self.session
        self.setVisible(session.picture is not None)
        if session.picture is None:
            return
        plane, state, measured = session.plane_of_still(), session.current, session.outline_on()
        locked = state is not None and state.reading is not None and state.reading.state == ReadingState.LOCKED
        for name, button in self.plane_buttons.items():
            button.setChecked(plane == name)
        for tool, button in self.tools.items():
            button.setChecked(session.tool == tool)
            button.setEnabled(not locked)
        self.undo.setEnabled(session.undo_stack.canUndo())
        self.redo.setEnabled(session.undo_stack.canRedo())
        self.plane_note.show_text("" if plane is not None else t("Which plane does it show? Diameters need your statement."))
        self.figures.setVisible(measured is not None)
        if measured is not None:
            self.figures.show_figures(outline_figures(measured.axes))
        self.note.show_text(*self._note(measured))
        self.warning.show_text(self._doubts(measured))
        proposed = session.proposed_calipers()
        self.use.setEnabled(bool(proposed) and not locked and not session.uses_outline())
        self.remove.setEnabled(measured is not None and not locked)

    def _take(self, tool: str) -> None:
        # Pressing the tool in hand puts it down, as Esc does.
        self.session.set_tool("crosshair" if self.session.tool == tool else tool)
        self.refresh()

    def _note(self, measured) -> tuple[str, str]:
        """What the button would do, or what is missing; and its tone."""
        session = self.session
        if session.wire_on():
            if session.tool == "livewire":
                return t("Enter, a double click or the first point closes the wire."), "muted"
            return t("A wire is open here: take the wire (W) and close it with Enter."), "muted"
        if measured is None:
            return t("No outline on this still yet."), "muted"
        if session.uses_outline():
            return t("These axes are the calipers of this still."), "good"
        proposed = session.proposed_calipers()
        if not proposed:
            return "", "muted"
        axes = {"long": t("long axis"), "short": t("short axis")}
        roles = {"length": t("Length"), "width": t("Width"), "depth": t("Depth")}
        lines = [f"{roles[p.role]} {number_text(p.length_mm, 1)} mm ({axes[p.axis]})" for p in proposed]
        took = any((c.source, c.frame) == session.still for c in session.current.calipers.values()) if session.current is not None else False
        start = t("U replaces this still's calipers by:") if took else t("U takes as calipers:")
        return "\n".join([start, *lines]), "muted"

    def _doubts(self, measured) -> str:
        if measured is None:
            return ""
        axes = measured.axes
        lines = [axes.refusal] if axes.refusal else []
        lines += [f.message for f in axes.findings if f.severity != "info"]
        if self.session.proposed_calipers() and OBLIQUE_DEG[0] < axes.tilt_deg < OBLIQUE_DEG[1]:
            lines.append(t("The axes lie oblique ({angle:.0f}°): is the depth the right one of them?").format(angle=axes.tilt_deg))
        return "\n".join(dict.fromkeys(lines))


def outline_figures(axes) -> list[Figure]:
    """Axes, area and fit of an outline; pixels where the picture refuses millimetres."""
    in_mm = axes.long_axis_mm is not None
    source = t("Ellipse with the least squared distance to the outline.")
    if in_mm:
        rows = [(t("Long axis"), axes.long_axis_mm, "mm", 1), (t("Short axis"), axes.short_axis_mm, "mm", 1), (t("Area"), axes.area_mm2, "mm²", 0)]
    else:
        rows = [(t("Long axis"), axes.long_axis_px, "px", 0), (t("Short axis"), axes.short_axis_px, "px", 0), (t("Area"), axes.area_px, "px²", 0)]
    figures = [Figure(label, value, unit, decimals, source=source if label != t("Area") else t("Area inside the outline.")) for label, value, unit, decimals in rows]
    words = t("good") if axes.off_pct < FAIR_PCT else t("fair") if axes.off_pct < POOR_PCT else t("poor")
    fit = f"{words}, {number_text(axes.off_pct, 1)} %"
    return [*figures, Figure(t("Ellipse fit"), fit, source=t("How far the outline lies from the ellipse on average, in percent of the short axis."))]
