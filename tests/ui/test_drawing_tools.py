"""Contour, scribble, region, threshold and cut with a real mouse on a CT of an ellipsoid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import Qt

from app.study.model import Reading, ReadingState, ReadingStatus, Side, TargetNode
from app.ui.main_window import MainWindow
from app.ui.session import NodeState
from app.ui.tools.box import ToolBox
from app.ui.tools.brush import step_size
from app.ui.views.pane_grid import PaneGrid
from app.usecases.drawing import Ball, Strokes
from tests.factories import ellipsoid_image
from tests.ui import mouse
from tests.ui.mouse import CTRL, SHIFT
from volumetry.segmentation.drawn_outlines import DrawnOutlines

CENTRE = np.array([12.3, -8.1, 105.2])
AXES_MM = (9.0, 7.0, 8.0)
TRUE_ML = 4 / 3 * np.pi * np.prod(AXES_MM) / 1000
WAIT_MS = 120_000  # a first run compiles the kernels


def near(x_mm: float, y_mm: float, z_mm: float) -> np.ndarray:
    """A point by its distance from CENTRE."""
    return CENTRE + np.array([x_mm, y_mm, z_mm], float)


@pytest.fixture(scope="module")
def case():
    return ellipsoid_image(semi_axes_mm=AXES_MM, angles_deg=(0.0, 0.0, 0.0), shape=(30, 56, 56))


@pytest.fixture
def grid(qtbot, session, case):
    toolbox = ToolBox(session)
    panes = PaneGrid(session, toolbox)
    panes.toolbox = toolbox
    qtbot.addWidget(panes, before_close_func=lambda w: w.shutdown())
    panes.resize(1000, 800)
    session.image = case.image
    session.image_changed.emit()
    session.nodes["a"] = NodeState(TargetNode("a", "S-1", "N1", Side.LEFT, "II"))
    session.current_node_id = "a"
    session.nodes_changed.emit()
    panes.show()
    qtbot.waitExposed(panes)
    for pane in panes.slice_panes:
        pane.zoom_to(CENTRE, 16.0)
    session.set_crosshair(CENTRE)
    return panes


@pytest.fixture
def told(session):
    lines = []
    session.notice.connect(lambda severity, text: lines.append((severity, text)))
    session.jobs.failed.connect(lambda _problem, trace: lines.append(("bug", trace)))
    yield lines
    assert [text for severity, text in lines if severity == "bug"] == []


@pytest.fixture
def axial(grid, told):
    return grid.panes["axial"]


def settle(qtbot, session) -> None:
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=WAIT_MS)


def section(case, plane_index: int, along_mm: float, count: int = 40) -> np.ndarray:
    """LPS points of the ellipsoid's border ``along_mm`` from its centre along x, y or z (0, 1, 2)."""
    size = np.sqrt(max(0.0, 1 - (along_mm / AXES_MM[plane_index]) ** 2))
    angle = np.arange(count) / count * 2 * np.pi
    a, b = (n for n in range(3) if n != plane_index)
    points = np.tile(CENTRE, (count, 1))
    points[:, plane_index] += along_mm
    points[:, a] += size * AXES_MM[a] * np.cos(angle)
    points[:, b] += size * AXES_MM[b] * np.sin(angle)
    return points


def draw_round(qtbot, pane, session, points_mm, *, modifiers=mouse.NONE) -> None:
    """One freehand line round these points, on the slice that they lie on."""
    session.set_crosshair(points_mm[0])
    session.set_tool("contour")
    places = [pane.screen_of(p) for p in points_mm]
    mouse.drag(pane, *places, steps=2, modifiers=modifiers)
    settle(qtbot, session)


def slice_z(session, number: int) -> float:
    return float(session.image.geometry.index_to_world((0, 0, number))[2])


def array_of(session) -> np.ndarray:
    return session.nodes["a"].draft.array.copy()


def voxel_ml(session) -> float:
    return np.count_nonzero(array_of(session)) * session.image.geometry.voxel_size_mm3 / 1000


def slices_of_node(session) -> list[int]:
    """Numbers of the axial slices that cut the ellipsoid."""
    return [k for k in range(session.image.geometry.shape[0]) if abs(slice_z(session, k) - CENTRE[2]) < AXES_MM[2]]


# ---- contour -------------------------------------------------------------------------------------
def test_that_three_contours_and_one_key_give_the_ellipsoid_and_undo_takes_each_back(axial, session, qtbot, case, told):
    inner = slices_of_node(session)
    states = []
    for number in (inner[0], inner[len(inner) // 2], inner[-1]):
        draw_round(qtbot, axial, session, section(case, 2, slice_z(session, number) - CENTRE[2]))
        states.append(array_of(session))
    drawn = session.current_drawing()
    assert isinstance(drawn, DrawnOutlines)
    assert sorted(drawn.drawn) == [inner[0], inner[len(inner) // 2], inner[-1]]
    session.fill_between()
    settle(qtbot, session)
    draft, measured = session.nodes["a"].draft, session.nodes["a"].measurement
    # Nothing is added beyond the outermost slices: the bias is to the small side.
    assert draft.coverage_volume_ml == pytest.approx(TRUE_ML, rel=0.04)
    assert draft.coverage_volume_ml < TRUE_ML * 1.005
    assert voxel_ml(session) == pytest.approx(TRUE_ML, rel=0.04)
    assert measured.coverage_volume_ml == draft.coverage_volume_ml
    assert draft.origin.method == "contours"
    filled = array_of(session)
    for before in reversed(states):
        session.undo_stack.undo()
        settle(qtbot, session)
        assert np.array_equal(array_of(session), before)
    session.undo_stack.undo()
    assert session.nodes["a"].draft.is_empty
    for _ in range(4):
        session.undo_stack.redo()
    assert np.array_equal(array_of(session), filled)
    assert sorted(session.current_drawing().between) == [n for n in inner if n not in drawn.drawn]


def test_that_one_contour_has_the_area_of_its_line_and_the_brush_drops_it(axial, session, qtbot, case):
    number = slices_of_node(session)[len(slices_of_node(session)) // 2]
    draw_round(qtbot, axial, session, section(case, 2, slice_z(session, number) - CENTRE[2], 90))
    draft = session.nodes["a"].draft
    size = 1 - ((slice_z(session, number) - CENTRE[2]) / AXES_MM[2]) ** 2
    area_mm2 = np.pi * AXES_MM[0] * AXES_MM[1] * size
    assert draft.coverage_volume_ml * 1000 / session.image.geometry.spacing_mm[2] == pytest.approx(area_mm2, rel=0.01)
    session.set_tool("brush")
    mouse.click(axial, axial.screen_of(near(10, 0, 0)))
    settle(qtbot, session)
    assert draft.coverage_volume_ml is None
    assert session.current_drawing() is None
    session.undo_stack.undo()
    settle(qtbot, session)
    assert draft.coverage_volume_ml is not None
    assert isinstance(session.current_drawing(), DrawnOutlines)


@pytest.mark.parametrize(("plane", "axis", "along"), [("coronal", 1, 1), ("sagittal", 2, 0)])
def test_that_contours_are_drawn_and_filled_in_every_plane(grid, session, qtbot, case, told, plane, axis, along):
    pane, geometry = grid.panes[plane], session.image.geometry
    for share in (-0.97, 0.0, 0.97):
        index = geometry.world_to_index(CENTRE + np.eye(3)[along] * share * AXES_MM[along])
        index[2 - axis] = np.rint(index[2 - axis])
        off = geometry.index_to_world(index)[along] - CENTRE[along]
        draw_round(qtbot, pane, session, section(case, along, off))
    session.fill_between()
    settle(qtbot, session)
    assert session.current_drawing().axis == axis
    assert session.nodes["a"].draft.coverage_volume_ml == pytest.approx(TRUE_ML, rel=0.05)


def test_that_clicked_corners_close_by_enter_by_the_first_corner_and_by_a_double_click(axial, session, qtbot, told):
    corners = [near(x, y, 0) for x, y in ((-5, -5), (5, -5), (5, 5), (-5, 5))]
    session.set_crosshair(CENTRE)
    session.set_tool("contour")
    counts = []
    for way in ("enter", "first", "double"):
        places = [axial.screen_of(p) for p in corners]
        for place in places[: 3 if way == "double" else 4]:
            mouse.click(axial, place)
        if way == "enter":
            qtbot.keyClick(axial, Qt.Key.Key_Return)
        elif way == "first":
            mouse.click(axial, places[0])
        else:
            mouse.double_click(axial, places[3])
        settle(qtbot, session)
        counts.append(np.count_nonzero(array_of(session)))
        assert session.nodes["a"].draft.coverage_volume_ml == pytest.approx(0.1 * session.image.geometry.spacing_mm[2], rel=0.02)
        session.undo_stack.undo()
        settle(qtbot, session)
    assert len(set(counts)) == 1


def test_that_backspace_takes_one_corner_back_and_a_line_is_not_lost_by_esc_or_scrolling(axial, grid, session, qtbot, told):
    session.set_crosshair(CENTRE)
    session.set_tool("contour")
    tool = grid.toolbox.tools["contour"]
    for x, y in ((-5, -5), (5, -5), (9, 9)):
        mouse.click(axial, axial.screen_of(near(x, y, 0)))
    qtbot.keyClick(axial, Qt.Key.Key_Backspace)
    assert len(tool.line_in(axial).points) == 2
    grid.toolbox.escape()
    assert session.tool == "crosshair"
    axial.scroll(2)
    session.set_tool("contour")
    assert tool.line_in(axial) is None  # it stays on its own slice
    axial.scroll(-2)
    for x, y in ((5, 5), (-5, 5)):
        mouse.click(axial, axial.screen_of(near(x, y, 0)))
    qtbot.keyClick(axial, Qt.Key.Key_Return)
    settle(qtbot, session)
    assert session.nodes["a"].draft.coverage_volume_ml == pytest.approx(0.1 * session.image.geometry.spacing_mm[2], rel=0.02)


def test_that_esc_in_the_middle_of_a_freehand_line_keeps_it_open(axial, grid, session, qtbot, told, case):
    session.set_tool("contour")
    places = [axial.screen_of(p) for p in section(case, 2, 0.0)]
    mouse.press(axial, places[0])
    for place in places[1:20]:
        mouse.move(axial, place)
    grid.toolbox.escape()
    mouse.release(axial, places[20])
    assert session.nodes["a"].draft is None
    session.set_tool("contour")
    assert len(grid.toolbox.tools["contour"].line_in(axial).points) == 20


def test_that_ctrl_takes_away_and_a_contour_on_a_filled_slice_takes_its_place(axial, session, qtbot, case, told):
    inner = slices_of_node(session)
    for number in (inner[0], inner[-1]):
        draw_round(qtbot, axial, session, section(case, 2, 0.0) + np.array([0, 0, slice_z(session, number) - CENTRE[2]]))
    session.fill_between()
    settle(qtbot, session)
    middle = inner[len(inner) // 2]
    full = np.count_nonzero(array_of(session)[middle])
    small = CENTRE + 0.5 * (section(case, 2, 0.0) - CENTRE) + np.array([0, 0, slice_z(session, middle) - CENTRE[2]])
    draw_round(qtbot, axial, session, small)
    assert np.count_nonzero(array_of(session)[middle]) == pytest.approx(full / 4, rel=0.08)
    assert np.count_nonzero(array_of(session)[middle - 1]) < full  # the slices beside it follow
    session.undo_stack.undo()
    draw_round(qtbot, axial, session, small, modifiers=CTRL)
    assert np.count_nonzero(array_of(session)[middle]) == pytest.approx(0.75 * full, rel=0.05)


def test_that_a_contour_repairs_an_outline_of_another_tool_and_counts_voxels(axial, session, qtbot, case, told):
    draft = seed(session, case)
    before = array_of(session)
    draw_round(qtbot, axial, session, 0.4 * (section(case, 2, 0.0) - CENTRE) + near(9, 0, 0))
    assert array_of(session).sum() > before.sum()
    assert draft.coverage_volume_ml is None
    assert session.current_drawing() is None


def test_that_painted_slices_are_filled_too(axial, session, qtbot, case, told):
    inner = slices_of_node(session)
    draft = seed(session, case)
    painted = np.zeros_like(draft.array)
    for number in (inner[0], inner[3], inner[len(inner) // 2], inner[-4], inner[-1]):
        painted[number] = case.truth.array[number]
    session._did("a", draft.edit(painted, "Painted"))
    session.fill_between()
    settle(qtbot, session)
    assert voxel_ml(session) == pytest.approx(TRUE_ML, rel=0.04)
    assert draft.coverage_volume_ml is None


def test_that_without_drawn_slices_nothing_is_filled_and_it_says_so(axial, session, qtbot, case, told):
    session.fill_between()
    assert "two slices" in told[-1][1]
    seed(session, case)
    session.fill_between()
    settle(qtbot, session)
    assert "no gap" in told[-1][1]


def test_that_drawing_across_another_plane_says_that_voxels_count_now(grid, session, qtbot, case, told):
    draw_round(qtbot, grid.panes["axial"], session, section(case, 2, 0.0))
    draw_round(qtbot, grid.panes["coronal"], session, section(case, 1, 0.0))
    assert "counted in voxels" in told[-1][1]
    assert session.nodes["a"].draft.coverage_volume_ml is None


def test_that_contours_drawn_quickly_one_after_the_other_are_all_there(axial, session, qtbot, case, told):
    for x in (-6, 0, 6):
        session.draw_contour(0, 14, session_square(session, x))
    settle(qtbot, session)
    assert session.nodes["a"].measurement.pieces == 3
    assert session.undo_stack.count() == 3


def session_square(session, x_mm: float) -> np.ndarray:
    """(column, row) corners of a square of 4 mm beside the centre."""
    corners = [near(x_mm + dx, dy, 0) for dx, dy in ((-2, -2), (2, -2), (2, 2), (-2, 2))]
    return np.array([session.image.geometry.world_to_index(c)[:2] for c in corners])


# ---- scribble ------------------------------------------------------------------------------------
def stroke(pane, *points_mm, modifiers=mouse.NONE) -> None:
    mouse.drag(pane, *(pane.screen_of(CENTRE + p) for p in points_mm), steps=6, modifiers=modifiers)


def test_that_strokes_inside_and_outside_find_the_node_each_one_step(axial, session, qtbot, told):
    session.set_tool("scribble")
    stroke(axial, [-5, 0, 0], [5, 0, 0])
    settle(qtbot, session)
    first = array_of(session)
    assert voxel_ml(session) == pytest.approx(TRUE_ML, rel=0.12)
    stroke(axial, [4, -3, 0], [4, 3, 0], modifiers=CTRL)
    settle(qtbot, session)
    assert array_of(session).sum() < first.sum()
    assert [s.outside for s in session.current_drawing().strokes] == [False, True]
    assert session.undo_stack.count() == 2
    session.undo_stack.undo()
    settle(qtbot, session)
    assert np.array_equal(array_of(session), first)
    assert [s.outside for s in session.current_drawing().strokes] == [False]  # its stroke went with it


def test_that_a_stroke_outside_alone_waits_and_backspace_takes_a_stroke_away(axial, session, qtbot, told):
    session.set_tool("scribble")
    stroke(axial, [13, -3, 0], [13, 3, 0], modifiers=CTRL)
    settle(qtbot, session)
    assert session.nodes["a"].draft.is_empty
    stroke(axial, [-4, 0, 0], [4, 0, 0])
    settle(qtbot, session)
    assert voxel_ml(session) == pytest.approx(TRUE_ML, rel=0.12)
    stroke(axial, [-4, 0, 0], [-4, 2, 0], modifiers=CTRL)
    settle(qtbot, session)
    qtbot.keyClick(axial, Qt.Key.Key_Backspace)
    settle(qtbot, session)
    assert isinstance(session.current_drawing(), Strokes)
    assert len(session.current_drawing().strokes) == 2
    assert voxel_ml(session) == pytest.approx(TRUE_ML, rel=0.12)


# ---- region and threshold --------------------------------------------------------------------------
def test_that_a_ball_around_the_node_outlines_it(axial, session, qtbot, told):
    session.set_tool("region")
    mouse.drag(axial, axial.screen_of(CENTRE), axial.screen_of(near(12, 0, 0)))
    settle(qtbot, session)
    assert voxel_ml(session) == pytest.approx(TRUE_ML, rel=0.08)
    assert session.nodes["a"].draft.origin.method == "region_growing"
    assert session.preview is None
    session.undo_stack.undo()
    assert session.nodes["a"].draft.is_empty


def test_that_nothing_beyond_the_ball_is_taken_and_shift_adds_and_ctrl_takes_away(axial, session, qtbot, told):
    session.set_tool("threshold")
    geometry = session.image.geometry
    mouse.drag(axial, axial.screen_of(CENTRE), axial.screen_of(near(4, 0, 0)))
    settle(qtbot, session)
    places = geometry.index_to_world(np.argwhere(array_of(session))[:, ::-1])
    assert np.linalg.norm(places - session.current_drawing().seed_mm, axis=1).max() <= 4.0 + 0.1
    small = voxel_ml(session)
    mouse.drag(axial, axial.screen_of(near(4, 0, 0)), axial.screen_of(near(8, 0, 0)), modifiers=SHIFT)
    settle(qtbot, session)
    larger = voxel_ml(session)
    assert larger > 1.2 * small
    mouse.drag(axial, axial.screen_of(CENTRE), axial.screen_of(near(2, 0, 0)), modifiers=CTRL)
    settle(qtbot, session)
    assert voxel_ml(session) < larger


def test_that_both_limits_of_the_threshold_change_what_the_last_ball_holds(axial, session, qtbot, told):
    session.set_tool("threshold")
    mouse.drag(axial, axial.screen_of(CENTRE), axial.screen_of(near(12, 0, 0)))
    settle(qtbot, session)
    low, high = session.threshold_range
    assert low < 100 < high  # the node's value
    first = voxel_ml(session)
    session.set_threshold(low=0.0)  # half-way between node and fat
    settle(qtbot, session)
    assert isinstance(session.current_drawing(), Ball)
    assert voxel_ml(session) == pytest.approx(TRUE_ML, rel=0.05)
    step_size(session, False)
    settle(qtbot, session)
    assert session.threshold_range[0] > 0.0
    assert session.threshold_range[1] < high
    for _ in range(2):
        session.undo_stack.undo()
    settle(qtbot, session)
    assert voxel_ml(session) == first


def test_that_half_way_limits_fill_the_last_ball_anew_as_one_step(axial, session, qtbot, told):
    session.threshold_half_way()
    assert any("threshold tool" in text for _, text in told)
    session.set_tool("threshold")
    mouse.drag(axial, axial.screen_of(CENTRE), axial.screen_of(near(12, 0, 0)))
    settle(qtbot, session)
    first, (low, _) = voxel_ml(session), session.threshold_range
    session.threshold_half_way()
    settle(qtbot, session)
    assert session.threshold_range[0] < low
    assert voxel_ml(session) > first
    assert voxel_ml(session) == pytest.approx(TRUE_ML, rel=0.05)
    assert session.undo_stack.count() == 2
    session.undo()
    assert voxel_ml(session) == first


def test_that_esc_drops_a_ball_under_way_and_keeps_the_outline(axial, grid, session, qtbot, case, told):
    seed(session, case)
    before = array_of(session)
    session.set_tool("region")
    mouse.press(axial, axial.screen_of(CENTRE))
    mouse.move(axial, axial.screen_of(near(6, 0, 0)))
    grid.toolbox.escape()
    mouse.release(axial, axial.screen_of(near(6, 0, 0)))
    settle(qtbot, session)
    assert np.array_equal(array_of(session), before)
    assert session.undo_stack.count() == 0


# ---- cut -----------------------------------------------------------------------------------------
def seed(session, case):
    """The node outlined by its true voxels."""
    from app.usecases.mask_draft import MaskDraft

    draft = session.nodes["a"].draft = MaskDraft(session.image.geometry, case.truth)
    session.mask_changed.emit("a")
    return draft


@pytest.mark.parametrize(("modifiers", "goes"), [(mouse.NONE, "smaller"), (CTRL, "larger")])
def test_that_a_line_cuts_off_the_smaller_side_through_all_slices(axial, session, qtbot, case, told, modifiers, goes):
    seed(session, case)
    before = array_of(session)
    session.set_tool("cut")
    mouse.drag(axial, axial.screen_of(near(4, -12, 0)), axial.screen_of(near(4, 12, 0)), modifiers=modifiers)
    settle(qtbot, session)
    x = session.image.geometry.index_to_world(np.argwhere(before)[:, ::-1])[:, 0]
    beyond = x > CENTRE[0] + 4
    left = array_of(session)[before]
    assert np.count_nonzero(left != (beyond if goes == "larger" else ~beyond)) <= 0.01 * len(x)
    session.undo_stack.undo()
    assert np.array_equal(array_of(session), before)


def test_that_the_part_that_goes_is_told_while_the_line_is_dragged(axial, grid, session, qtbot, case, told):
    seed(session, case)
    session.set_tool("cut")
    mouse.press(axial, axial.screen_of(near(4, -12, 0)))
    settle(qtbot, session)
    mouse.move(axial, axial.screen_of(near(4, 12, 0)))
    text = grid.toolbox.current.live_lines()[0][0]
    # cap of the ellipsoid beyond 4 of 9 mm
    h = 1 - 4 / 9
    assert f"({100 * h * h * (3 - h) / 4:.0f} %)" in text or f"({100 * h * h * (3 - h) / 4 + 1:.0f} %)" in text
    grid.toolbox.escape()
    mouse.release(axial, axial.screen_of(near(4, 12, 0)))
    settle(qtbot, session)
    assert session.undo_stack.count() == 0


def test_that_a_line_beside_the_outline_cuts_nothing_and_says_so(axial, session, qtbot, case, told):
    seed(session, case)
    before = array_of(session)
    session.set_tool("cut")
    mouse.drag(axial, axial.screen_of(near(12, -12, 0)), axial.screen_of(near(12, 12, 0)), modifiers=CTRL)
    settle(qtbot, session)
    assert np.array_equal(array_of(session), before)
    assert "does not cross" in told[-1][1]


# ---- all -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("tool", ["contour", "scribble", "region", "threshold", "cut"])
def test_that_a_locked_reading_is_not_drawn_on(axial, session, qtbot, case, told, tool):
    seed(session, case)
    before = array_of(session)
    reading = Reading("R1", "S-1", "V1", "a", "Reader A", "central", "CT", "voxel", ReadingStatus.MEASURED, ReadingState.LOCKED)
    session.nodes["a"] = replace(session.nodes["a"], reading=reading)
    session.set_tool(tool)
    mouse.drag(axial, *(axial.screen_of(CENTRE + p) for p in ([-8, 0, 0], [0, 8, 0], [8, 0, 0])))
    settle(qtbot, session)
    assert np.array_equal(array_of(session), before)
    assert told
    assert "locked" in told[0][1]


def test_that_every_drawing_tool_has_a_key_and_says_what_it_does(qtbot, session, case):
    window = MainWindow(session)
    qtbot.addWidget(window)
    window.show()
    qtbot.waitExposed(window)
    mouse.activate(qtbot, window)
    session.image = case.image
    session.image_changed.emit()
    session.nodes["a"] = NodeState(TargetNode("a", "S-1", "N1", Side.LEFT, "II"))
    session.current_node_id = "a"
    seed(session, case)
    session.nodes_changed.emit()
    for name, key, modifier in (
        ("contour", Qt.Key.Key_O, mouse.NONE), ("scribble", Qt.Key.Key_S, mouse.NONE), ("region", Qt.Key.Key_G, mouse.NONE),
        ("threshold", Qt.Key.Key_T, mouse.NONE), ("cut", Qt.Key.Key_X, SHIFT),
    ):  # fmt: skip
        qtbot.keyClick(window, key, modifier)
        assert session.tool == name
        assert window.toolbox.current.hint()
        qtbot.keyClick(window, Qt.Key.Key_Escape)
        assert session.tool == "crosshair"
    with qtbot.waitSignal(session.notice, timeout=WAIT_MS) as notice:
        qtbot.keyClick(window, Qt.Key.Key_I)
    assert "no gap" in notice.args[1]
    window.close()


def test_that_a_brush_stroke_and_a_contour_at_once_are_two_steps(axial, session, qtbot, case, told):
    seed(session, case)
    before = array_of(session)
    session.set_tool("brush")
    mouse.press(axial, axial.screen_of(near(11, 0, 0)))
    session.draw_contour(0, 14, session_square(session, -11.0))
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=WAIT_MS)  # the contour is worked out while the button is down
    mouse.move(axial, axial.screen_of(near(11, 4, 0)))
    mouse.release(axial, axial.screen_of(near(11, 4, 0)))
    settle(qtbot, session)
    assert session.undo_stack.count() == 2
    session.undo_stack.undo()
    session.undo_stack.undo()
    settle(qtbot, session)
    assert np.array_equal(array_of(session), before)


@pytest.mark.parametrize("tool", ["node", "brush", "contour", "scribble", "region", "threshold", "cut", "caliper", "needle"])
def test_that_a_picture_that_goes_while_a_tool_is_in_the_middle_of_a_gesture_takes_nothing_else_along(axial, session, qtbot, case, told, tool):
    seed(session, case)
    before = array_of(session)
    session.set_tool(tool)
    mouse.move(axial, axial.screen_of(near(6, 0, 0)), button=Qt.MouseButton.NoButton)
    mouse.press(axial, axial.screen_of(near(6, 0, 0)))
    mouse.move(axial, axial.screen_of(near(9, 2, 0)))
    session._clear_screen()
    assert isinstance(axial.toolbox.current.hint(), str)
    assert isinstance(axial.toolbox.current.live_lines(), list)
    mouse.release(axial, (10, 10))
    settle(qtbot, session)
    session.image = case.image
    session.image_changed.emit()
    settle(qtbot, session)
    axial.grab()
    if tool != "brush":  # its stroke ended as it was when the picture went
        assert np.array_equal(array_of(session), before)


def test_that_what_another_visit_brings_is_not_drawn_on_by_a_late_job(axial, session, qtbot, case, told):
    session.draw_contour(0, 14, session_square(session, 0.0))
    session._clear_screen()
    session.image = case.image
    settle(qtbot, session)
    assert session.nodes["a"].draft is None or session.nodes["a"].draft.is_empty
    assert not session.is_drawing
    session.draw_contour(0, 14, session_square(session, 0.0))
    settle(qtbot, session)
    assert not session.nodes["a"].draft.is_empty
