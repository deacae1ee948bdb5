"""Slice panes: what they paint, and what the hands do on them."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt

from app.ui.tools.box import ToolBox
from app.ui.views.pane_grid import PaneGrid
from tests.ui import mouse, scenes
from tests.ui.mouse import CTRL, MIDDLE, RIGHT, SHIFT


@pytest.fixture
def grid(qtbot, session):
    toolbox = ToolBox(session, centre_all=lambda: panes.centre_all())
    panes = PaneGrid(session, toolbox)
    panes.toolbox = toolbox
    qtbot.addWidget(panes, before_close_func=lambda w: w.shutdown())
    panes.resize(800, 600)
    scenes.show_volume(session)
    panes.show()
    qtbot.waitExposed(panes)
    return panes


@pytest.fixture
def axial(grid, qtbot):
    pane = grid.panes["axial"]
    qtbot.waitUntil(lambda: pane._seen, timeout=5000)
    return pane


def grey_at(pane, point_mm) -> int:
    x, y = pane.screen_of(point_mm)
    picture = pane.grab().toImage()
    ratio = picture.devicePixelRatio()
    return picture.pixelColor(round(x * ratio), round(y * ratio)).red()


def test_that_a_pane_paints_the_window_that_was_set(axial, session):
    session.set_window(0, 400)
    session.set_crosshair(scenes.near(30, 30, 0))  # out of the way
    assert grey_at(axial, scenes.near(5, 3, 0)) == pytest.approx(255 * 0.75, abs=2)
    assert grey_at(axial, scenes.near(20, 9, 0)) == pytest.approx(255 * 0.25, abs=2)


def test_that_the_wheel_goes_by_slices_and_shift_by_five(axial, session):
    number = axial.slice_number
    mouse.wheel(axial, (50, 50), 1)
    assert axial.slice_number == number + 1
    assert session.crosshair_mm[2] == pytest.approx(session.image.geometry.index_to_world((0, 0, number + 1))[2])
    number = axial.slice_number
    mouse.wheel(axial, (50, 50), -2)
    assert axial.slice_number == number - 2
    mouse.wheel(axial, (50, 50), 1, SHIFT)
    assert axial.slice_number == number + 3
    for _ in range(30):
        mouse.wheel(axial, (50, 50), 1, SHIFT)
    assert axial.slice_number == scenes.SHAPE[0] - 1


def test_that_keys_go_by_slices(axial, session, qtbot):
    number = axial.slice_number
    qtbot.keyClick(axial, Qt.Key.Key_PageUp)
    assert axial.slice_number == number + 1
    qtbot.keyClick(axial, Qt.Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    assert axial.slice_number == number - 4


def test_that_a_click_sets_the_crosshair_in_every_pane(axial, grid, session):
    point = scenes.near(8.0, -6.0, 0.0)
    session.set_crosshair(scenes.CENTRE)
    mouse.click(axial, axial.screen_of(point))
    assert session.crosshair_mm[:2] == pytest.approx(point[:2], abs=0.5)
    coronal, sagittal = grid.panes["coronal"], grid.panes["sagittal"]
    g = session.image.geometry
    assert coronal.slice_number == round(g.world_to_index(session.crosshair_mm)[1])
    assert sagittal.slice_number == round(g.world_to_index(session.crosshair_mm)[0])


def test_that_shift_and_click_bring_the_point_to_the_middle_of_every_pane(axial, grid, session):
    point = scenes.near(8.0, -6.0, 0.0)
    mouse.click(axial, axial.screen_of(point), modifiers=SHIFT)
    for pane in grid.slice_panes:
        x, y = pane.screen_of(session.crosshair_mm)
        assert (x, y) == (pytest.approx(pane.width() / 2, abs=1), pytest.approx(pane.height() / 2, abs=1))


def test_that_a_right_drag_changes_the_window_and_nothing_else(axial, session):
    session.set_window(40, 400)
    crosshair = session.crosshair_mm.copy()
    mouse.drag(axial, (100, 100), (130, 90), button=RIGHT)
    centre, width = session.window
    assert width > 400
    assert centre < 40
    assert (session.crosshair_mm == crosshair).all()


def test_that_middle_drag_and_space_drag_pan(axial, session, qtbot):
    point = axial.point_at(60, 60)
    mouse.drag(axial, (60, 60), (90, 75), button=MIDDLE)
    assert axial.screen_of(point) == (pytest.approx(90), pytest.approx(75))
    qtbot.keyPress(axial, Qt.Key.Key_Space)
    crosshair = session.crosshair_mm.copy()
    mouse.drag(axial, (90, 75), (60, 60))
    qtbot.keyRelease(axial, Qt.Key.Key_Space)
    assert axial.screen_of(point) == (pytest.approx(60), pytest.approx(60))
    assert (session.crosshair_mm == crosshair).all()


def test_that_ctrl_wheel_zooms_about_the_mouse_and_fit_takes_it_back(axial):
    scale, point = axial.view.px_per_mm, axial.point_at(80, 120)
    mouse.wheel(axial, (80, 120), 3, CTRL)
    assert axial.view.px_per_mm > 1.5 * scale
    assert axial.screen_of(point) == (pytest.approx(80), pytest.approx(120))
    axial.fit()
    assert axial.view.px_per_mm == pytest.approx(scale)


def test_that_a_double_click_makes_a_pane_large_and_back(axial, grid):
    assert grid.panes["coronal"].isVisible()
    mouse.double_click(axial, (100, 100))
    assert axial.isVisible()
    assert not grid.panes["coronal"].isVisible()
    mouse.double_click(axial, (100, 100))
    assert grid.panes["coronal"].isVisible()


def test_that_the_pointer_tells_position_and_value(axial, session):
    told = []
    axial.hovered.connect(told.append)
    mouse.move(axial, axial.screen_of(scenes.near(2, 2, 0)))
    assert "100 HU" in told[-1].text
    assert "L 6." in told[-1].text
    assert "A 5." in told[-1].text or "A 4." in told[-1].text


def test_that_an_outline_lies_where_the_node_is(axial, session):
    from app.ui.views import overlays

    draft = scenes.add_node(session, 10.0)
    lines = overlays.outline_segments(draft, session.image.geometry, axial.view, axial.slice_number)
    index = np.zeros((len(lines), 3))
    index[:, :2], index[:, 2] = lines[:, :2], axial.slice_number
    off = np.linalg.norm(session.image.geometry.index_to_world(index) - scenes.CENTRE, axis=1)
    assert np.abs(off - 10.0).max() < 1.0


def test_that_an_outline_from_another_grid_lands_at_the_same_place(axial, session):
    from app.ui.views import overlays
    from volumetry.geometry import ImageGeometry
    from volumetry.mask import NodeMask

    half = (np.array((60, 60, 60)) - 1) / 2 * 0.7
    other = ImageGeometry.from_spacing((60, 60, 60), (0.7,) * 3, scenes.CENTRE - half)
    mask = NodeMask(scenes.distances_mm(other) < 10, other)
    lines = overlays.outline_segments(mask, session.image.geometry, axial.view, axial.slice_number)
    index = np.zeros((len(lines), 3))
    index[:, :2], index[:, 2] = lines[:, :2], axial.slice_number
    off = np.linalg.norm(session.image.geometry.index_to_world(index) - scenes.CENTRE, axis=1)
    assert len(lines) > 20
    assert np.abs(off - 10.0).max() < 1.0


def test_that_the_field_is_sampled_at_its_own_values(axial, session):
    from app.ui.views import field_overlay

    field = field_overlay.sample(scenes.cone_field(), session.image.geometry, axial.view, axial.slice_number, 1.0)
    x, y = axial.screen_of(scenes.near(10, 0, 0))
    plane_off = axial.point_at(x, y)[2] - scenes.CENTRE[2]
    assert field[round(y), round(x)] == pytest.approx(1200 - 50 * np.hypot(10, plane_off), abs=12)


def test_that_uncovered_target_is_hatched_and_said_in_words(axial, session):
    from app.ui.views import field_overlay

    scenes.add_node(session, 18.0)
    session.solution = scenes.cone_field()
    session.field_changed.emit()
    axial.grab()
    assert axial._field.uncovered > 100  # 500 V/cm reaches 14 mm, the node 18 mm
    assert field_overlay.notes(axial._field, session.plan.lethal_v_per_cm, preview=False)
    session.nodes["a"].draft.edit(scenes.distances_mm(session.image.geometry) < 12.0, "Shrink")
    session.mask_changed.emit("a")
    axial.grab()
    assert axial._field.uncovered == 0


def test_that_a_hidden_field_is_not_drawn(axial, session):
    session.solution = scenes.cone_field()
    session.field_changed.emit()
    with_field = axial.grab().toImage()
    session.set_field_display(shown=False)
    without = axial.grab().toImage()
    assert with_field != without
    assert axial._field is None


def test_that_no_study_leaves_nothing_of_the_last_one(axial, session):
    session.image = None
    session.study_changed.emit()
    axial.grab()
    mouse.move(axial, (50, 50))
    mouse.wheel(axial, (50, 50), 1)
    assert axial.view is None


def test_that_the_pane_keeps_showing_all_when_it_grows(axial, grid, qtbot):
    scale = axial.view.px_per_mm
    grid.toggle_large("axial")
    qtbot.waitUntil(lambda: axial.width() > 600, timeout=2000)
    assert axial.view.px_per_mm > 1.5 * scale
    edge = axial.screen_of(scenes.CENTRE)
    assert edge == (pytest.approx(axial.width() / 2, abs=2), pytest.approx(axial.height() / 2, abs=2))


def test_that_a_zoomed_pane_shows_the_same_part_when_it_grows(axial, grid, qtbot):
    grid.zoom_to(scenes.near(3, 2, 0), 20.0)
    edge = axial.point_at(axial.width() / 2, axial.height() / 2 - min(axial.width(), axial.height()) / 2)
    grid.toggle_large("axial")
    qtbot.waitUntil(lambda: axial.width() > 600, timeout=2000)
    x, y = axial.screen_of(edge)
    assert x == pytest.approx(axial.width() / 2, abs=1)
    assert y == pytest.approx(axial.height() / 2 - min(axial.width(), axial.height()) / 2, abs=1)


def test_that_a_new_solution_never_shows_the_field_of_the_old_one(axial, session):
    for peak in (1200.0, 900.0, 1500.0):
        session.solution = scenes.cone_field(peak=peak)  # the old one is freed: its address may be used again
        session.field_changed.emit()
        axial.grab()
        line = dict(axial._field.lines)[500.0]
        centre = np.array(axial.screen_of(scenes.CENTRE)) / axial._field.step
        off = axial.point_at(0, 0)[2] - scenes.CENTRE[2]
        radius_mm = np.hypot(line[:, 0] - centre[0], line[:, 1] - centre[1]) * axial._field.step / axial.view.px_per_mm
        assert radius_mm == pytest.approx(np.sqrt(((peak - 500) / 50) ** 2 - off**2), abs=0.3)


def test_that_a_structure_at_risk_is_outlined_and_follows_a_change(axial, session):
    from volumetry.mask import NodeMask

    geometry = session.image.geometry
    pictures = []
    for radius in (6.0, 9.0):
        mask = NodeMask(scenes.distances_mm(geometry, scenes.near(15, 5, 0)) < radius, geometry)
        session.add_structure("carotid", mask, "vessel")
        pictures.append(axial.grab().toImage())
        assert axial._risk_masks["carotid"] is mask
    assert pictures[0] != pictures[1]
