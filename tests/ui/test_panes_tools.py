"""Mouse tools: what they tell the session."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt

from app.ui.tools.box import ToolBox
from app.ui.tools.brush import step_size
from app.ui.views.pane_grid import PaneGrid
from app.usecases.plan import NeedleDraft, PlanDraft
from tests.ui import mouse, scenes
from tests.ui.mouse import ALT, CTRL, SHIFT


@pytest.fixture
def grid(qtbot, session):
    toolbox = ToolBox(session)
    panes = PaneGrid(session, toolbox)
    panes.toolbox = toolbox
    qtbot.addWidget(panes, before_close_func=lambda w: w.shutdown())
    panes.resize(800, 600)
    scenes.show_volume(session)
    panes.show()
    qtbot.waitExposed(panes)
    return panes


@pytest.fixture
def axial(grid):
    return grid.panes["axial"]


@pytest.fixture
def told(session, monkeypatch):
    """Calls of the session's methods, in order."""
    calls = []
    for name in ("preview_segmentation", "commit_segmentation", "add_anchor", "begin_stroke", "dab", "end_stroke", "add_caliper", "outline_structure"):
        monkeypatch.setattr(session, name, lambda *args, _name=name, **more: calls.append((_name, args, more)))
    return calls


def names(told) -> list[str]:
    return [name for name, *_ in told]


# ---- node ----------------------------------------------------------------------------------
def test_that_a_drag_outlines_from_the_seed_with_the_radius_in_millimetres(axial, session, told):
    session.set_tool("node")
    seed = axial.screen_of(scenes.CENTRE)
    mouse.drag(axial, seed, (seed[0] + 9.0 * axial.view.px_per_mm, seed[1]))
    assert set(names(told)) == {"preview_segmentation", "commit_segmentation"}
    name, (point, radius), _ = told[-1]
    assert name == "commit_segmentation"
    assert radius == pytest.approx(9.0, abs=0.01)
    assert point[:2] == pytest.approx(scenes.CENTRE[:2], abs=0.01)


def test_that_esc_drops_a_radius_under_way(axial, grid, session, told):
    session.set_tool("node")
    seed = axial.screen_of(scenes.CENTRE)
    mouse.press(axial, seed)
    mouse.move(axial, (seed[0] + 30, seed[1]))
    grid.toolbox.escape()
    mouse.release(axial, (seed[0] + 30, seed[1]))
    assert "commit_segmentation" not in names(told)
    assert session.tool == "crosshair"


# ---- brush ---------------------------------------------------------------------------------
def test_that_one_stroke_is_one_step_with_dabs_without_gaps(axial, session, told):
    scenes.add_node(session)
    session.set_tool("brush")
    start = axial.screen_of(scenes.CENTRE)
    mouse.drag(axial, start, (start[0] + 80, start[1]), steps=2)
    assert names(told)[0] == "begin_stroke"
    assert names(told)[-1] == "end_stroke"
    assert names(told).count("begin_stroke") == 1
    points = np.array([args[0] for name, args, _ in told if name == "dab"])
    assert np.linalg.norm(np.diff(points, axis=0), axis=1).max() <= session.brush_radius_mm / 2 + 1e-6
    assert all(args[1:] == (True, 0) for name, args, _ in told if name == "dab")


@pytest.mark.parametrize(("tool", "modifiers", "adds"), [("brush", mouse.NONE, True), ("brush", CTRL, False), ("eraser", mouse.NONE, False), ("eraser", CTRL, True)])
def test_that_ctrl_is_the_other_one(axial, session, told, tool, modifiers, adds):
    scenes.add_node(session)
    session.set_tool(tool)
    mouse.click(axial, axial.screen_of(scenes.CENTRE), modifiers=modifiers)
    assert [args[1] for name, args, _ in told if name == "dab"] == [adds]


@pytest.mark.parametrize(("plane", "axis"), [("axial", 0), ("coronal", 1), ("sagittal", 2)])
def test_that_a_disc_lies_in_the_plane_it_was_painted_in(grid, session, told, plane, axis):
    scenes.add_node(session)
    session.set_tool("brush")
    mouse.click(grid.panes[plane], grid.panes[plane].screen_of(scenes.CENTRE))
    assert [args[2] for name, args, _ in told if name == "dab"] == [axis]
    session.set_brush(ball=True)
    mouse.click(grid.panes[plane], grid.panes[plane].screen_of(scenes.CENTRE))
    assert [args[2] for name, args, _ in told if name == "dab"][-1] is None


def test_that_the_brush_without_a_node_says_so_and_paints_nothing(axial, session, told, qtbot):
    session.set_tool("brush")
    with qtbot.waitSignal(session.notice, timeout=500) as notice:
        mouse.click(axial, axial.screen_of(scenes.CENTRE))
    assert notice.args[0] == "warning"
    assert told == []


def test_that_brush_sizes_go_up_and_down_and_stop(session):
    session.set_brush(radius_mm=3.0)
    step_size(session, True)
    assert session.brush_radius_mm == 4.0
    for _ in range(30):
        step_size(session, False)
    assert session.brush_radius_mm == 0.5


# ---- calipers ------------------------------------------------------------------------------
def test_that_a_caliper_is_drawn_by_a_drag_or_by_two_clicks(axial, session, told):
    session.set_tool("caliper")
    a, b = axial.screen_of(scenes.CENTRE), axial.screen_of(scenes.near(12.0, 0, 0))
    mouse.drag(axial, a, b)
    mouse.click(axial, a)
    mouse.click(axial, b)
    assert names(told) == ["add_caliper", "add_caliper"]
    for _, (points,), _ in told:
        assert np.linalg.norm(np.subtract(*points)) == pytest.approx(12.0, abs=0.01)


def test_that_the_ellipsoid_asks_for_each_diameter_and_proposes_the_perpendicular(axial, grid, session):
    scenes.add_node(session)
    session.set_tool("ellipsoid")
    tool = grid.toolbox.current
    state = session.nodes["a"]
    mouse.drag(axial, axial.screen_of(scenes.near(-10, 0, 0)), axial.screen_of(scenes.near(10, 0, 0)))
    assert tool.next_slot() == "depth_longitudinal"
    _, p, q = tool._proposal
    along, across = np.subtract(*state.calipers["length"].points), q - p
    assert abs(along @ across) < 1e-6 * np.linalg.norm(along) * np.linalg.norm(across)
    mouse.click(axial, axial.screen_of(p * 0.75 + q * 0.25))
    assert tool.next_slot() == "width"
    coronal = grid.panes["coronal"]
    mouse.drag(coronal, coronal.screen_of(scenes.near(0, 0, -8)), coronal.screen_of(scenes.near(0, 0, 8)))
    mouse.drag(coronal, coronal.screen_of(scenes.near(-6, 0, 0)), coronal.screen_of(scenes.near(6, 0, 0)))
    assert tool.next_slot() is None
    lengths = {slot: caliper.length_mm for slot, caliper in state.calipers.items()}
    assert lengths == pytest.approx({"length": 20.0, "depth_longitudinal": 12.0, "width": 16.0, "depth_transverse": 12.0}, abs=0.02)
    session.undo_stack.undo()
    assert tool.next_slot() == "depth_transverse"


def test_that_diameters_without_a_node_are_refused_aloud(axial, session, told, qtbot):
    session.set_tool("ellipsoid")
    with qtbot.waitSignal(session.notice, timeout=500):
        mouse.drag(axial, (100, 100), (160, 100))
    assert told == []


# ---- needles -------------------------------------------------------------------------------
def test_that_a_needle_is_placed_by_a_drag_from_entry_to_tip(axial, session):
    session.set_tool("needle")
    entry, tip = scenes.near(28, -20, 0), scenes.CENTRE
    mouse.drag(axial, axial.screen_of(entry), axial.screen_of(tip))
    (needle,) = session.plan.needles
    assert needle.entry_mm[:2] == pytest.approx(entry[:2], abs=0.01)
    assert needle.tip_mm[:2] == pytest.approx(tip[:2], abs=0.01)
    session.undo_stack.undo()
    assert session.plan.needles == ()


def test_that_entry_and_tip_may_be_clicked_in_two_panes(axial, grid, session):
    session.set_tool("needle")
    coronal = grid.panes["coronal"]
    entry = scenes.near(25, 0, 0)
    mouse.click(axial, axial.screen_of(entry))
    session.set_crosshair(scenes.near(0, 6, 0))
    tip = scenes.near(-3, 6, -16)
    mouse.click(coronal, coronal.screen_of(tip))
    (needle,) = session.plan.needles
    assert np.linalg.norm(np.subtract(needle.tip_mm, tip)) < 1.0
    assert np.linalg.norm(np.subtract(needle.entry_mm, entry)) < 1.1


def test_that_shift_begins_with_the_tip(axial, session):
    session.set_tool("needle")
    mouse.click(axial, axial.screen_of(scenes.CENTRE), modifiers=SHIFT)
    mouse.click(axial, axial.screen_of(scenes.near(25, 0, 0)))
    (needle,) = session.plan.needles
    assert needle.tip_mm[0] < needle.entry_mm[0]


def test_that_alt_keeps_a_needle_parallel_to_its_neighbour(axial, session):
    first = NeedleDraft("E1", tuple(scenes.CENTRE), tuple(scenes.near(20.0, -15.0, 30.0)), 15.0, 1.3)
    session.set_plan(PlanDraft().with_needle(first))
    session.set_tool("needle")
    entry = scenes.near(20, 12, 0)
    mouse.press(axial, axial.screen_of(entry), modifiers=ALT)
    mouse.move(axial, axial.screen_of(scenes.near(0, 12, 0)), modifiers=ALT)
    mouse.release(axial, axial.screen_of(scenes.near(0, 12, 0)), modifiers=ALT)
    second = session.plan.needles[1]
    a, b = np.subtract(first.entry_mm, first.tip_mm), np.subtract(second.entry_mm, second.tip_mm)
    assert np.dot(a, b) / np.linalg.norm(a) / np.linalg.norm(b) == pytest.approx(1.0)
    assert (second.exposure_mm, second.diameter_mm) == (15.0, 1.3)


@pytest.mark.parametrize(("taken", "moves_tip", "moves_entry"), [("tip", True, False), ("entry", False, True), ("shaft", True, True)])
def test_that_ends_and_shaft_can_be_dragged(axial, session, taken, moves_tip, moves_entry):
    z = axial.point_at(0, 0)[2]
    tip, entry = np.array([*scenes.CENTRE[:2], z]), np.array([*scenes.near(25, -10, 0)[:2], z])
    session.set_plan(PlanDraft().with_needle(NeedleDraft("E1", tuple(tip), tuple(entry))))
    session.set_tool("needle")
    where = {"tip": tip, "entry": entry, "shaft": (tip + entry) / 2}[taken]
    x, y = axial.screen_of(where)
    shift = 6.0 * axial.view.px_per_mm
    mouse.drag(axial, (x, y), (x, y + shift))
    (needle,) = session.plan.needles
    moved = np.array([0, 6.0, 0])
    assert needle.tip_mm == pytest.approx(tuple(tip + moved * moves_tip), abs=0.02)
    assert needle.entry_mm == pytest.approx(tuple(entry + moved * moves_entry), abs=0.02)
    session.undo_stack.undo()
    assert session.plan.needles[0].tip_mm == pytest.approx(tuple(tip))


def test_that_a_seventh_needle_is_not_begun(axial, session, qtbot):
    plan = PlanDraft()
    for n in range(6):
        plan = plan.with_needle(NeedleDraft(f"E{n + 1}", (900.0 + n, 0, 0), (900.0 + n, 50, 0)))
    session.set_plan(plan)
    session.set_tool("needle")
    with qtbot.waitSignal(session.notice, timeout=500):
        mouse.drag(axial, (200, 200), (260, 240))
    assert len(session.plan.needles) == 6


def test_that_esc_puts_a_dragged_needle_back(axial, grid, session):
    z = axial.point_at(0, 0)[2]
    tip, entry = np.array([*scenes.CENTRE[:2], z]), np.array([*scenes.near(25, -10, 0)[:2], z])
    session.set_plan(PlanDraft().with_needle(NeedleDraft("E1", tuple(tip), tuple(entry))))
    session.set_tool("needle")
    x, y = axial.screen_of(tip)
    mouse.press(axial, (x, y))
    mouse.move(axial, (x + 40, y))
    assert session.plan.needles[0].tip_mm != pytest.approx(tuple(tip))
    grid.toolbox.escape()
    assert session.plan.needles[0].tip_mm == pytest.approx(tuple(tip))


def test_that_a_click_grows_a_structure_from_there(axial, session, told):
    session.set_tool("structure")
    place = axial.screen_of(scenes.CENTRE)
    mouse.click(axial, place)
    name, args, _ = told[0]
    assert name == "outline_structure"
    assert args[0] == pytest.approx(scenes.CENTRE, abs=1.0)


def test_that_changing_the_brush_does_not_end_a_stroke(axial, session, told):
    scenes.add_node(session)
    session.set_tool("brush")
    mouse.press(axial, (100, 100))
    session.tool_changed.emit("brush")
    assert "end_stroke" not in names(told)
    mouse.release(axial, (100, 100))
    assert names(told)[-1] == "end_stroke"


def test_that_the_tool_in_hand_shows_its_cursor(axial, session):
    session.set_tool("brush")
    assert axial.cursor().shape() == Qt.CursorShape.BlankCursor
    session.set_tool("crosshair")
    assert axial.cursor().shape() == Qt.CursorShape.CrossCursor


def test_that_only_one_outline_is_made_at_a_time_and_the_last_radius_follows(axial, session, told, monkeypatch):
    busy = [False]
    monkeypatch.setattr(session.jobs, "is_busy", lambda key=None: busy[0] and key == "preview")
    session.set_tool("node")
    x, y = axial.screen_of(scenes.CENTRE)
    scale = axial.view.px_per_mm
    mouse.press(axial, (x, y))
    mouse.move(axial, (x + 5 * scale, y))
    busy[0] = True
    for mm in (6, 7, 8):
        mouse.move(axial, (x + mm * scale, y))
    busy[0] = False
    session.preview_changed.emit()
    assert [round(args[1], 3) for name, args, _ in told if name == "preview_segmentation"] == [5.0, 8.0]
    mouse.release(axial, (x + 8 * scale, y))
