"""Everything that can be done, as data: menus, tool strip, shortcuts and the list of keys come from here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PySide6.QtCore import Qt
from PySide6.QtGui import QAction, QKeySequence

from app.ui import style
from app.ui.session import STEPS, WINDOW_PRESETS
from app.ui.text import t
from app.ui.tools.brush import step_size

STEP_TITLES = {"images": "Images", "measure": "Measure", "plan": "Plan", "follow_up": "Follow-up", "report": "Report"}


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done. ``menu`` is study, edit, view, tools or help; ``group`` separates
    within a menu. ``enabled`` and ``checked`` are asked whenever something changed."""

    id: str
    title: str
    menu: str
    callback: Callable[[], object]
    shortcuts: tuple[str, ...] = ()
    icon: str = ""
    tip: str = ""
    group: int = 0
    enabled: Callable[[], bool] | None = None
    checked: Callable[[], bool] | None = None

    @property
    def shortcut_text(self) -> str:
        """The first shortcut as people read it."""
        if not self.shortcuts:
            return ""
        return QKeySequence(self.shortcuts[0]).toString(QKeySequence.SequenceFormat.NativeText)


# Mouse and keys that are not menu entries: (gesture, what it does).
GESTURES = (
    ("Wheel, PgUp PgDn, arrows", "Next and previous slice or frame; Shift: five at a time"),
    ("Ctrl + wheel", "Zoom"),
    ("Right drag", "Window and level"),
    ("Middle drag, Space + drag", "Pan"),
    ("Click", "Crosshair everywhere; Shift + click also centres every pane"),
    ("Double click", "One pane large, and back"),
    ("Node: drag", "Outline from the seed to the border; Shift: also from the border of an outline"),
    ("Node: drag border or point, click", "Pulls the outline there; Alt + click or Delete removes a point, Backspace the last"),
    ("Node or wire on ultrasound: Backspace", "Takes the last point back; Enter closes the wire"),
    ("Brush, eraser: Ctrl + drag", "The other one for this stroke"),
    ("Contour: drag, or clicks", "Freehand, or corners closed by Enter, a double click or the first corner; Ctrl: take away; Backspace: one back"),
    ("Scribble: drag, Ctrl + drag", "Inside the node, outside it; Backspace: last stroke away"),
    ("Region, threshold: drag", "Ball around the node; Shift: add; Ctrl: take away; [ ]: narrower, wider range; H: limits half-way to the surroundings"),
    ("Contrast region: click, drag, 1 to 6", "Corners or round it, in either picture; digits choose what it stands for; Enter closes; Backspace: one back"),
    ("Scale by hand: drag, Shift + drag", "Along the scale drawn into the picture; the part of the picture it holds for"),
    ("Cut: drag a line", "The smaller side goes; Ctrl: the larger one"),
    ("Needle: drag or two clicks", "Entry to tip in any panes; Shift: tip first; Alt: parallel to the last needle"),
    ("Needle: drag end or shaft", "Move it in the pane's plane"),
    ("Landmark: click, drag", "The same anatomical point in either visit, then in the other; a drag moves it"),
    ("3D: drag, middle drag, wheel", "Turn, pan, zoom"),
)


def window_actions(window) -> list[Action]:
    """The list for a ``MainWindow``."""
    from app.ui.actions_cohort import cohort_actions
    from app.ui.actions_compare import compare_actions
    from app.ui.actions_contrast import contrast_actions
    from app.ui.actions_drawing import drawing_actions
    from app.ui.actions_enhancing import enhancing_actions
    from app.ui.actions_exports import exports_actions
    from app.ui.actions_language import language_actions
    from app.ui.actions_model import model_actions
    from app.ui.actions_pacs import pacs_actions
    from app.ui.actions_study import study_actions

    s = window.session
    panes = window.panes
    pacs_query, pacs_receive, pacs_send = pacs_actions(window)

    def has_volume() -> bool:
        return s.image is not None and s.picture is None

    def has_picture() -> bool:
        return s.picture is not None

    def has_study() -> bool:
        return s.study is not None

    def has_outline() -> bool:
        state = s.nodes.get(s.current_node_id)
        return has_volume() and state is not None and state.draft is not None and not state.draft.is_empty

    def delete() -> None:
        # A tool that has something under the mouse comes first.
        if not window.toolbox.current.key_pressed(panes.active_pane(), Qt.Key.Key_Delete):
            s.remove_caliper(len(s.calipers) - 1)

    def take(tool: str) -> Callable[[], None]:
        return lambda: s.set_tool("crosshair" if s.tool == tool else tool)

    def holds(tool: str) -> Callable[[], bool]:
        return lambda: s.tool == tool

    actions = [
        Action("open_demo", t("Demonstration case"), "study", s.open_demo, tip=t("Make or reopen the synthetic case"), group=0),
        Action("new_study", t("New study…"), "study", window.ask_new_study, group=0),
        Action("open_study", t("Open study…"), "study", window.ask_open_study, ("Ctrl+O",), group=0),
        Action("open_folder", t("Look at DICOM images…"), "study", window.ask_open_folder, ("Ctrl+Shift+O",), tip=t("Without a study; nothing is saved"), group=0),
        Action("import_images", t("Import images into the study…"), "study", window.ask_import, ("Ctrl+I",), group=1, enabled=has_study),
        pacs_query,
        pacs_receive,
        Action("save", t("Save"), "study", s.save, ("Ctrl+S",), tip=t("Work is also saved by itself after every change"), group=1),
        Action("export_csv", t("Export readings (CSV)…"), "study", window.ask_export_csv, group=2, enabled=has_study),
        Action("export_dicom", t("Export readings (DICOM SR and SEG)…"), "study", window.ask_export_dicom, group=2, enabled=has_study),
        Action("export_pdf", t("Export report (PDF)…"), "study", window.ask_export_pdf, group=2, enabled=has_study),
        *exports_actions(window),
        pacs_send,
        *study_actions(window),
        Action("quit", t("Close Nodus"), "study", window.close, ("Ctrl+Q",), group=6),
        Action("undo", t("Undo"), "edit", s.undo, ("Ctrl+Z",), "undo", enabled=s.undo_stack.canUndo),
        Action("redo", t("Redo"), "edit", s.redo, ("Ctrl+Shift+Z", "Ctrl+Y"), "redo", enabled=s.undo_stack.canRedo),
        Action("fill", t("Fill holes"), "edit", lambda: s.edit_mask("fill"), ("F",), group=1, enabled=has_outline),
        Action("keep_largest", t("Keep the largest piece"), "edit", lambda: s.edit_mask("keep_largest"), ("K",), group=1, enabled=has_outline),
        Action("grow", t("Grow by 0.5 mm"), "edit", lambda: s.edit_mask("grow"), ("+", "="), tip=t("By a voxel where voxels are larger"), group=1, enabled=has_outline),
        Action("shrink", t("Shrink by 0.5 mm"), "edit", lambda: s.edit_mask("shrink"), ("-",), tip=t("By a voxel where voxels are larger"), group=1, enabled=has_outline),
        Action("smooth", t("Smooth the outline"), "edit", lambda: s.edit_mask("smooth"), ("Shift+F",), group=1, enabled=has_outline),
        Action("clear", t("Clear the outline"), "edit", lambda: s.edit_mask("clear"), ("Ctrl+Backspace",), group=1, enabled=has_outline),
        Action("drop_caliper", t("Remove the last caliper"), "edit", delete, ("Delete",), group=2, enabled=lambda: bool(s.calipers)),
        Action("drop_needle", t("Remove the last needle"), "edit", window.remove_last_needle, group=2, enabled=lambda: bool(s.plan.needles)),
        Action("crosshair", t("Crosshair"), "tools", window.escape, ("Esc",), "crosshair", tip=t("Puts any tool away; nothing is lost"), checked=holds("crosshair")),
        Action("node", t("Node"), "tools", take("node"), ("N",), "node", tip=t("Click in a node and drag a radius"), checked=holds("node"), enabled=lambda: has_volume() or has_picture()),
        Action("livewire", t("Wire"), "tools", take("livewire"), ("W",), "", tip=t("Click along a border on an ultrasound picture; the wire follows the edge"), checked=holds("livewire"), enabled=has_picture),
        Action("brush", t("Brush"), "tools", take("brush"), ("B",), "brush", tip=t("Paint the outline; Ctrl erases"), checked=holds("brush"), enabled=has_volume),
        Action("eraser", t("Eraser"), "tools", take("eraser"), ("E",), "eraser", tip=t("Erase from the outline; Ctrl paints"), checked=holds("eraser"), enabled=has_volume),
        *drawing_actions(window, has_volume, has_outline),
        Action("caliper", t("Caliper"), "tools", take("caliper"), ("C",), "caliper", tip=t("Measure a length"), checked=holds("caliper")),
        Action("ellipsoid", t("Ellipsoid"), "tools", take("ellipsoid"), ("Shift+C",), "ellipsoid", tip=t("Three diameters in two planes"), checked=holds("ellipsoid")),
        Action("scale", t("Scale by hand"), "tools", take("scale"), ("Shift+S",), tip=t("Drag along marks drawn into a picture that gives no scale, then state their length"), checked=holds("scale"), enabled=s.needs_scale),
        Action("needle", t("Needle"), "tools", take("needle"), ("P",), "needle", tip=t("Place entry and tip"), checked=holds("needle"), enabled=has_volume),
        Action("structure", t("Structure at risk"), "tools", take("structure"), ("A",), "", tip=t("Click inside a vessel"), checked=holds("structure"), enabled=has_volume),
        Action("plane_longitudinal", t("This still is longitudinal"), "tools", lambda: s.state_plane("longitudinal"), ("Shift+L",), group=1, enabled=has_picture),
        Action("plane_transverse", t("This still is transverse"), "tools", lambda: s.state_plane("transverse"), ("Shift+T",), group=1, enabled=has_picture),
        Action("use_outline", t("Use the outline as calipers"), "tools", s.use_as_calipers, ("U",), tip=t("Its axes become the two diameters of this still"), group=1, enabled=lambda: s.outline_on() is not None),
        Action("brush_larger", t("Larger brush; wider scribble or range"), "tools", lambda: step_size(s, True), ("]",), group=1),
        Action("brush_smaller", t("Smaller brush; narrower scribble or range"), "tools", lambda: step_size(s, False), ("[",), group=1),
        Action("brush_3d", t("Brush in 3D (ball)"), "tools", lambda: s.set_brush(ball=not s.brush_3d), ("D",), group=1, checked=lambda: s.brush_3d),
        Action("suggest", t("Suggest two needles"), "tools", lambda: s.suggest_needles(2), group=2, enabled=has_outline),
        Action("solve", t("Solve the field"), "tools", s.solve, ("Ctrl+Return",), group=2, enabled=lambda: len(s.plan.needles) > 1),
    ]
    for n, step in enumerate(STEPS):
        actions.append(Action(f"step_{step}", t("Step") + f" {n + 1} · " + t(STEP_TITLES[step]), "view", lambda step=step: s.set_step(step), (f"Ctrl+{n + 1}",), group=0, checked=lambda step=step: s.step == step))
    for n, (name, (centre, width)) in enumerate(WINDOW_PRESETS.items()):
        actions.append(
            Action(f"preset_{n + 1}", t("Window: ") + t(name), "view", lambda c=centre, w=width: s.set_window(c, w), (f"Alt+{n + 1}",), group=1, checked=lambda c=centre, w=width: s.window == (c, w))
        )
    actions += [
        Action("reset", t("Reset zoom and pan"), "view", panes.fit_all, ("R",), "fit", tip=t("Every pane shows everything"), group=2),
        Action("zoom_node", t("Zoom to the node"), "view", window.zoom_to_node, ("Z",), tip=t("The current node large in every plane; R goes back"), group=2, enabled=has_outline),
        Action("zoom_in", t("Zoom in"), "view", lambda: panes.active_pane().zoom(1.25), ("Ctrl++", "Ctrl+="), group=2),
        Action("zoom_out", t("Zoom out"), "view", lambda: panes.active_pane().zoom(0.8), ("Ctrl+-",), group=2),
        Action("next_slice", t("Next slice or frame"), "view", lambda: window.step_slice(1), group=2),
        Action("previous_slice", t("Previous slice or frame"), "view", lambda: window.step_slice(-1), group=2),
        Action("linear", t("Smooth between voxels"), "view", window.toggle_linear, group=2, checked=lambda: panes.slice_panes[0].linear),
        Action("layout_1", t("One pane"), "view", lambda: panes.set_layout("1"), ("Ctrl+Alt+1",), "layout1", group=3, checked=lambda: window.layout_on_screen == "1"),
        Action("layout_1x2", t("Two panes"), "view", lambda: panes.set_layout("1x2"), ("Ctrl+Alt+2",), "layout2", group=3, checked=lambda: window.layout_on_screen == "1x2"),
        Action("layout_2x2", t("Four panes"), "view", lambda: panes.set_layout("2x2"), ("Ctrl+Alt+4",), "layout4", group=3, checked=lambda: window.layout_on_screen == "2x2"),
        Action("enlarge", t("Active pane large, and back"), "view", window.enlarge_active, ("X",), group=3),
        Action("show_field", t("Show the field"), "view", lambda: s.set_field_display(shown=not s.show_field), ("V",), group=4, checked=lambda: s.show_field, enabled=lambda: s.solution is not None),
        Action("play", t("Play or stop the cine"), "view", panes.picture.toggle_play, ("L",), group=4, enabled=lambda: s.picture is not None and not s.picture.is_still),
        Action("view_front", t("3D from the front"), "view", lambda: panes.scene.look_from("front"), group=5),
        Action("view_left", t("3D from the patient's left"), "view", lambda: panes.scene.look_from("left"), group=5),
        Action("view_right", t("3D from the patient's right"), "view", lambda: panes.scene.look_from("right"), group=5),
        *compare_actions(window),
        *cohort_actions(window),
        *contrast_actions(window),
        *enhancing_actions(window),
        *language_actions(window),
        *model_actions(window),
        Action("keys", t("Keys and gestures"), "help", window.show_keys, ("F1",)),
        Action("about", t("About Nodus"), "help", window.show_about),
    ]
    return actions


def make_qactions(window, actions: list[Action]) -> dict[str, QAction]:
    """Qt's actions for the list, owned by the window; their shortcuts hold in the whole window."""
    made: dict[str, QAction] = {}
    for action in actions:
        q = QAction(action.title, window)
        q.setObjectName(action.id)
        if action.icon:
            q.setIcon(style.icon(action.icon))
        q.setShortcuts([QKeySequence(k) for k in action.shortcuts])
        q.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
        tip = action.title.rstrip("…") + (f" ({action.shortcut_text})" if action.shortcuts else "")
        q.setToolTip(tip + (f"\n{action.tip}" if action.tip else ""))
        q.setCheckable(action.checked is not None)
        q.triggered.connect(lambda _checked=False, do=action.callback, window=window: (do(), window.refresh_actions()))
        made[action.id] = q
        window.addAction(q)
    return made


def refresh(actions: list[Action], made: dict[str, QAction]) -> None:
    """Ask every action whether it can be used now and whether it is on."""
    for action in actions:
        if action.enabled is not None:
            made[action.id].setEnabled(bool(action.enabled()))
        if action.checked is not None:
            made[action.id].setChecked(bool(action.checked()))
