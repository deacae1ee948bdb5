"""Two visits side by side: linked by a registration whose residual is shown, never by a guess."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from app.ui.views.compare_pane import link_lines
from app.ui.views.pane_grid import COMPARE
from tests.ui import mouse
from tests.ui.compare.hands import (
    GRID,
    WAIT_MS,
    picture_of,
    pixel_of,
    settle,
    settle_paint,
    there_of,
)
from volumetry.finding import Finding


def test_that_the_earlier_visit_stands_at_the_left_named_and_with_the_residual(compared, session):
    panes = compared.panes
    assert panes.layout_name == compared.layout_on_screen == COMPARE
    here, other = panes.panes["axial"], panes.other
    assert panes.visible_panes() == [other, here]
    assert other.x() < here.x()
    assert abs(other.width() - here.width()) <= 2
    assert (other.heading, here.heading) == ("Baseline · read-only", "Day 30")
    assert not any("2025" in text for text in (other.heading, here.heading))
    ((line, _colour),) = link_lines(session)
    assert line == f"Registered: residual {session.comparison.automatic.residual_mm:.1f} mm"
    assert session.comparison.automatic.residual_mm < 2.0


def test_that_the_registration_finds_the_true_motion(qtbot, session, opened, necks):
    opened()
    session.compare_with()
    qtbot.waitUntil(lambda: session.comparison is not None and session.comparison.is_linked, timeout=WAIT_MS)
    near = necks[1].centre_mm + np.array([[0, 0, 0], [20, 10, -15], [-30, 5, 20], [10, -25, 5]])
    found = session.comparison.to_there(near)
    assert np.linalg.norm(found - np.array([there_of(p) for p in near]), axis=1).max() < 1.5
    assert session.comparison.to_here(found) == pytest.approx(near)


def test_that_the_crosshair_is_linked_in_both_directions(compared, session, necks):
    here, other = compared.panes.panes["axial"], compared.panes.other
    session.set_crosshair(necks[1].centre_mm)
    assert session.comparison.crosshair_mm == pytest.approx(session.comparison.to_there(necks[1].centre_mm))
    settle_paint()
    assert np.hypot(*np.subtract(pixel_of(other, session.comparison.crosshair_mm), pixel_of(here, session.crosshair_mm))) < 2.0
    mouse.click(other, (other.width() / 2 + 25, other.height() / 2 - 14))
    clicked = session.comparison.crosshair_mm
    assert np.hypot(*np.subtract(pixel_of(other, clicked), (other.width() / 2 + 25, other.height() / 2 - 14))) < 1.0
    assert session.crosshair_mm == pytest.approx(session.comparison.to_here(clicked), abs=1e-6)


def test_that_scrolling_zoom_pan_and_window_are_shared(compared, session, necks):
    here, other = compared.panes.panes["axial"], compared.panes.other
    session.set_crosshair(necks[1].centre_mm)
    settle_paint()
    number, before = other.slice_number, session.crosshair_mm.copy()
    mouse.wheel(other, (50, 50), 2)
    assert other.slice_number - number == 2
    assert session.crosshair_mm == pytest.approx(session.comparison.to_here(session.comparison.crosshair_mm))
    assert session.crosshair_mm[2] - before[2] == pytest.approx(2 * GRID.spacing_mm[2], abs=0.6 * GRID.spacing_mm[2])  # it snaps to whole slices there
    there = session.comparison.crosshair_mm[2]
    mouse.wheel(here, (50, 50), -2)
    assert session.comparison.crosshair_mm == pytest.approx(session.comparison.to_there(session.crosshair_mm))
    assert session.comparison.crosshair_mm[2] - there == pytest.approx(-2 * GRID.spacing_mm[2], abs=0.6 * GRID.spacing_mm[2])
    size = here.view.px_per_mm
    mouse.wheel(other, (60, 60), 3, mouse.CTRL)
    settle_paint()
    assert here.view.px_per_mm == pytest.approx(size * 1.2**3)
    assert other.view.px_per_mm == here.view.px_per_mm
    middle = here.view.middle
    mouse.drag(other, (100, 100), (140, 120), button=mouse.MIDDLE)
    settle_paint()
    assert np.subtract(here.view.middle, middle) == pytest.approx(np.array([-40, -20]) / here.view.px_per_mm / GRID.spacing_mm[0])
    compared.panes.centre_all()
    settle_paint()
    assert pixel_of(other, session.comparison.crosshair_mm) == pytest.approx(pixel_of(here, session.crosshair_mm), abs=0.01)
    mouse.drag(other, (100, 100), (130, 100), button=mouse.RIGHT)
    assert session.window != (80.0, 450.0)


def test_that_outlines_of_both_visits_are_drawn_and_the_other_is_read_only(compared, session, told, necks):
    other = compared.panes.other
    node_id = session.current_node_id
    outline = session.comparison.outlines[node_id]
    assert np.array_equal(outline.mask.array, necks[0].mask.array)
    assert outline.volume_ml == pytest.approx(necks[0].mask.array.sum() * GRID.voxel_size_mm3 / 1000)
    session.set_crosshair(necks[1].centre_mm)
    settle_paint()
    without = picture_of(other, session)
    session.comparison.outlines.clear()
    assert (without != picture_of(other, session)).sum() > 40
    session.set_tool("brush")
    mouse.drag(other, (other.width() / 2, other.height() / 2), (other.width() / 2 + 20, other.height() / 2))
    assert session.current.draft is None
    assert session.undo_stack.count() == 0
    assert told.has("open that visit to draw on it")


def test_that_the_plane_can_be_changed_and_one_pane_made_large(qtbot, compared, session):
    panes = compared.panes
    for plane in ("coronal", "sagittal"):
        compared.qactions["compare_plane"].trigger()
        assert session.compare_plane == plane
        assert panes.visible_panes() == [panes.other, panes.panes[plane]]
        assert panes.other.view.axes.plane == plane
    mouse.double_click(panes.other, (50, 50))
    assert panes.visible_panes() == [panes.other]
    mouse.double_click(panes.other, (50, 50))
    assert len(panes.visible_panes()) == 2
    compared.qactions["layout_compare"].trigger()
    assert panes.layout_name == "2x2"
    compared.qactions["layout_compare"].trigger()
    assert panes.layout_name == COMPARE
    qtbot.keyClick(panes.other, Qt.Key.Key_B, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier)
    assert panes.layout_name == "2x2"


def test_that_outside_the_other_picture_nothing_is_pointed_at(compared, session):
    g = session.image.geometry
    session.set_crosshair(g.index_to_world(np.array([0.0, 75, 0])))
    assert not session.comparison.there.geometry.contains(session.comparison.crosshair_mm)
    settle_paint()
    assert compared.panes.other.slice_number == 0  # the nearest one, and the corner says that it lies outside


def test_that_another_visit_on_screen_ends_the_comparison_and_it_comes_back_at_once(qtbot, compared, session):
    matrix = session.comparison.automatic.matrix
    compared.rail.visits.itemClicked.emit(compared.rail.visits.item(0))
    assert session.comparison is None
    assert compared.panes.layout_name == "2x2"
    qtbot.waitUntil(lambda: session.image is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    started = []
    session.jobs.progressed.connect(lambda event: started.append(event.title))
    session.compare_with()
    qtbot.waitUntil(lambda: session.comparison is not None, timeout=WAIT_MS)
    assert session.comparison.visit.name == "Day 30"
    assert session.comparison.automatic.matrix == pytest.approx(np.linalg.inv(matrix))
    assert not any("Registering" in title for title in started)
    assert compared.panes.visible_panes() == [compared.panes.panes["axial"], compared.panes.other]


def test_that_rail_and_follow_up_step_offer_it(qtbot, session, opened, quick):
    window = opened()
    assert window.rail.compare.isVisible()
    assert [a.text() for a in window.rail.compare.menu().actions()] == ["Baseline"]
    session.set_step("follow_up")
    section = window.side.currentWidget().compare
    assert [section.visits.itemText(n) for n in range(section.visits.count())] == ["Baseline"]
    section.start.click()
    qtbot.waitUntil(lambda: session.comparison is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    assert section.links["automatic"].isChecked()
    assert f"{session.comparison.automatic.residual_mm:.1f} mm" in section.links["automatic"].text()
    assert window.rail.visits.item(0).text().endswith("⇄")
    section.start.click()
    assert session.comparison is None
    window.rail.compare.menu().actions()[0].trigger()
    qtbot.waitUntil(lambda: session.comparison is not None, timeout=WAIT_MS)


def test_that_the_section_fits_the_panel_whatever_the_visits_are_called(compared, session):
    session.visits = [replace(v, name=f"Unscheduled visit after salvage number {n}") for n, v in enumerate(session.visits)]
    session.comparison.visit = session.visits[0]
    session.set_step("follow_up")
    panel = compared.side.currentWidget()
    panel.compare.refresh()
    QApplication.processEvents()
    assert panel.compare.minimumSizeHint().width() <= panel.scroll.viewport().width() - 20


def test_that_a_protocol_can_keep_other_visits_from_the_reader(session, told, opened):
    window = opened("blinded")
    assert not session.may_compare()
    assert not window.rail.compare.isVisible()
    assert not window.qactions["layout_compare"].isEnabled()
    session.set_step("follow_up")
    assert not window.side.currentWidget().compare.isVisible()
    session.compare_with(session.visits[0].visit_id)
    assert told.has("does not show other visits")
    assert session.comparison is None
    assert not session.jobs.is_busy("compare")


def test_that_a_cancelled_registration_leaves_the_visits_unlinked(qtbot, session, opened):
    window = opened()
    session.compare_with()
    qtbot.waitUntil(lambda: session.is_registering, timeout=WAIT_MS)
    assert "not linked yet" in link_lines(session)[0][0]
    session.jobs.cancel()
    settle(qtbot, session)
    assert not session.is_registering
    assert not session.comparison.is_linked
    assert "Not linked" in link_lines(session)[0][0]
    session.set_step("follow_up")
    section = window.side.currentWidget().compare
    assert section.again.isVisible()
    section.again.click()
    settle(qtbot, session)
    assert session.comparison.method == "automatic"


def test_that_without_a_registration_nothing_is_linked_until_the_reader_says_so(unlinked, session, told):
    other = unlinked.panes.other
    before, number = session.comparison.crosshair_mm.copy(), other.slice_number
    session.set_crosshair(session.crosshair_mm + np.array((10, 5, 5)))
    assert session.comparison.crosshair_mm == pytest.approx(before)
    here = session.crosshair_mm.copy()
    mouse.wheel(other, (50, 50), 3)
    assert session.crosshair_mm == pytest.approx(here)
    assert other.slice_number - number == 3
    assert told.has("could not be registered")
    assert link_lines(session)[0][0] == "! Not linked: no registration"
    assert [f.code for f in session.comparison.findings()] == ["registration_refused"]
    session.set_step("follow_up")
    unlinked.side.currentWidget().compare.links["position"].click()
    assert session.comparison.crosshair_mm == pytest.approx(session.crosshair_mm)
    assert "scanner position, not registered" in link_lines(session)[0][0]
    assert [f.code for f in session.comparison.findings()] == ["linked_by_position"]
    session.copy_outline()
    assert told.has("not by scanner position")
    assert session.current.draft is None
    session.end_comparison()


def test_that_a_poor_registration_is_told_in_the_corner_and_in_the_list(compared, session):
    c = session.comparison
    c.automatic = replace(c.automatic, residual_mm=4.2, findings=(Finding("registration_poor", "After registration the visits still differ by 4.2 mm: check the fit before it is used.", "warning"),))
    session.comparison_changed.emit()
    assert link_lines(session)[0][0] == "! Registered: residual 4.2 mm"
    session.set_step("follow_up")
    assert [row.code for row in compared.side.currentWidget().compare.warnings.rows] == ["registration_poor"]


def test_that_without_another_visit_nothing_is_compared(session, told):
    session.compare_with()
    assert told.has("no other visit")
    session.copy_outline()
    assert told.has("Compare with another visit first")
