"""Contours with a real mouse: drawn, clicked, filled between, taken back."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt

from tests.ui import mouse
from tests.ui.drawing.hands import (
    AXES_MM,
    CENTRE,
    TRUE_ML,
    array_of,
    draw_round,
    near,
    section,
    seed,
    session_square,
    settle,
    slice_z,
    slices_of_node,
    voxel_ml,
)
from tests.ui.mouse import CTRL
from volumetry.segmentation.drawn_outlines import DrawnOutlines


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
