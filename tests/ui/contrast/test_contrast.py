"""The contrast workspace through the window: panes, reading, marks, regions, analysis, and the way into a locked reading."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from app.ui.models.contrast import frame_states, map_picture, parameter_rows
from app.ui.panels.contrast_results import residual_figures
from app.usecases.contrast_panes import ColourProposal
from app.usecases.perfusion_regions import across, pane_of
from tests.ui import mouse
from tests.ui.contrast.conftest import open_loop
from tests.ui.contrast.hands import FRAMES, RANGE_DB, draw, keys, node_outline, read, screen, the_cine, truth_frame
from tests.ui.session.hands import WAIT_MS, lock, settle


def panel_of(window):
    return window.side.currentWidget()


def test_that_panes_are_proposed_with_reasons_and_nothing_is_read_before_the_reader_confirmed_them(qtbot, loop_window, told):
    session, section = loop_window.session, panel_of(loop_window).contrast
    state = session.contrast
    assert section.isVisible()
    assert section.is_open()
    assert not state.confirmed
    assert "proposed" in section.panes.text()
    assert "side by side" in section.why.text()
    assert (state.panes.contrast.x0, state.panes.bmode.x0) == (the_cine().layout.contrast.x0, the_cine().layout.bmode.x0)
    session.read_loop()
    assert told.has("Confirm which picture is the contrast")
    keys(loop_window, "Shift+Q")
    assert state.panes.contrast.x0 == the_cine().layout.bmode.x0
    keys(loop_window, "Shift+Q", "J")
    assert state.confirmed
    assert "confirmed" in section.panes.text()
    assert session.contrast_next()[0] == ""
    assert "dynamic range" in session.contrast_next()[1]
    session.state_range(900.0)
    assert state.range_db is None
    assert told.has("no dynamic range")


def test_that_a_loop_is_read_with_its_marks_and_a_strip_that_says_which_frames_count_and_why(qtbot, loop_window):
    session = loop_window.session
    read(qtbot, loop_window)
    state, strip = session.contrast, loop_window.panes.picture.strip
    assert strip.isVisible()
    out = the_cine().truth.motion.in_plane
    told = frame_states(state)
    assert len(told) == FRAMES
    left_out = {n for n, (why, _) in enumerate(told) if why}
    assert left_out
    assert left_out <= {n for n in range(FRAMES) if not out[n]} | set(state.loop.flash_frames)
    first = min(left_out)
    assert "left out" in strip.words_of(first)
    assert "likeness" in strip.words_of(first)
    assert "accepted" in strip.words_of(next(n for n in range(FRAMES) if n not in left_out))
    assert strip.grab().toImage().width() > 100
    times = np.asarray(session.picture.frame_times_ms) / 1000
    assert f"{times[first]:.2f} s" in strip.words_of(first)
    assert strip.frame_at(strip.x_of(17)) == 17
    mouse.click(strip, (strip.x_of(12), 25))
    assert session.frame_index == 12
    keys(loop_window, "F6")
    assert session.frame_index == state.marks["peak"]
    session.set_frame(9)
    keys(loop_window, "Shift+F5")
    assert state.marks["arrival"] == state.moved_marks["arrival"] == 9
    keys(loop_window, "Ctrl+Z")
    assert "arrival" not in state.moved_marks
    session.set_frame(3)
    keys(loop_window, "F8")
    settle(qtbot, session)
    assert state.trim == (3, FRAMES - 1)
    assert state.loop.frame_count == FRAMES - 3
    assert frame_states(state)[0][0] == "not_read"
    assert "not read" in strip.words_of(0)


def test_that_reading_can_be_cancelled_and_the_window_goes_on(qtbot, loop_window):
    session = loop_window.session
    keys(loop_window, "J")
    session.state_range(RANGE_DB)
    session.read_loop()
    assert session.contrast.job is not None
    assert panel_of(loop_window).contrast.next.text() == "Cancel"
    panel_of(loop_window).contrast.next.click()
    settle(qtbot, session)
    assert not session.contrast.is_read
    assert session.contrast.job is None
    session.read_loop()
    settle(qtbot, session)
    assert session.contrast.is_read


def test_that_a_region_drawn_in_one_pane_lies_in_both_follows_the_tissue_and_is_there_on_reopening(qtbot, loop_window, tmp_path):
    from app.ui.session import Session

    session = loop_window.session
    read(qtbot, loop_window)
    state = session.contrast
    reference = state.region_frame
    session.set_frame(reference)
    qtbot.waitUntil(lambda: loop_window.panes.picture.frame.shown_frame == reference, timeout=WAIT_MS)
    points = node_outline("bmode")
    draw(loop_window, "node", points)
    assert [r.role for r in session.regions_of()] == ["node"]
    region = session.regions_of()[0]
    assert pane_of(region.polygon_px, state.panes) == "bmode"
    there = session.region_points(region.polygon_px, reference, pane="contrast")
    assert np.allclose(there, across(np.array(region.polygon_px), state.panes, "bmode", "contrast"), atol=0.6)
    moved = next(n for n in range(FRAMES) if state.motion.accepted[n] and np.abs(state.motion.matrices[n][:, 2]).max() > 1.0)
    shift = session.region_points(region.polygon_px, moved) - np.array(region.polygon_px)
    assert np.abs(shift - state.motion.matrices[moved][:, 2]).max() < 1.5
    session.show_corrected(True)
    assert np.allclose(session.region_points(region.polygon_px, moved), region.polygon_px)
    session.set_frame(moved)
    settle(qtbot, session)
    assert loop_window.panes.picture.frame.contrast.is_corrected()
    assert loop_window.panes.picture.frame.grab().width() > 100
    session.show_corrected(False)
    session.set_tool("contrast_region")
    pane = loop_window.panes.picture.frame
    pane.setFocus()
    QTest.keyClick(pane, Qt.Key.Key_6)
    assert session.region_role == "vessel"
    for corner in ((20, 20), (30, 20), (30, 30)):
        mouse.click(pane, screen(loop_window, (state.panes.contrast.x0 + corner[0], state.panes.contrast.y0 + corner[1])))
    QTest.keyClick(pane, Qt.Key.Key_Backspace)
    assert len(session.open_region) == 2
    mouse.click(pane, screen(loop_window, (state.panes.contrast.x0 + 25, state.panes.contrast.y0 + 32)))
    QTest.keyClick(pane, Qt.Key.Key_Return)
    assert [r.role for r in session.regions_of()] == ["node", "vessel"]
    session.undo()
    assert [r.role for r in session.regions_of()] == ["node"]
    keys(loop_window, "Esc")
    session.set_mark("late", 30)
    settle(qtbot, session)
    kept = session.study.folder
    session.close()
    again = Session()
    try:
        again.open_study(kept)
        qtbot.waitUntil(lambda: again.image is not None, timeout=WAIT_MS)
        settle(qtbot, again)
        open_loop(qtbot, again)
        state = again.contrast
        assert state.confirmed
        assert state.range_db == RANGE_DB
        assert state.range_source == "stated"
        assert state.moved_marks == {"late": 30}
        assert state.regions[again.current_node_id] == (region,)
        again.read_loop()
        settle(qtbot, again)
        assert again.contrast.region_frame == reference
    finally:
        again.close()


def test_that_the_pointer_and_a_caliper_of_one_pane_stand_in_the_other(qtbot, loop_window):
    session, pane = loop_window.session, loop_window.panes.picture.frame
    keys(loop_window, "J")
    state, overlay = session.contrast, pane.contrast
    point = np.array([[state.panes.bmode.x0 + 31.0, state.panes.bmode.y0 + 42.0]])
    assert np.allclose(overlay._other_pane(point, state), [[state.panes.contrast.x0 + 31.0, state.panes.contrast.y0 + 42.0]])
    assert overlay._other_pane(np.array([[-3.0, 5.0]]), state) is None
    mouse.move(pane, screen(loop_window, point[0]), button=Qt.MouseButton.NoButton)
    assert overlay.pointer is not None
    before = pane.grab().toImage()
    session.add_caliper([(state.panes.bmode.x0 + 20, state.panes.bmode.y0 + 20), (state.panes.bmode.x0 + 60, state.panes.bmode.y0 + 20)])
    after = pane.grab().toImage()
    x, y = screen(loop_window, (state.panes.contrast.x0 + 40, state.panes.contrast.y0 + 20))
    row = [before.pixel(int(v), int(y + d)) != after.pixel(int(v), int(y + d)) for v in range(int(x) - 30, int(x) + 30) for d in (-1, 0, 1)]
    assert sum(row) > 20


def test_that_a_loop_is_analysed_taken_locked_and_told(qtbot, loop_window, told):
    session = loop_window.session
    read(qtbot, loop_window)
    session.set_frame(truth_frame())
    qtbot.waitUntil(lambda: loop_window.panes.picture.frame.shown_frame == truth_frame(), timeout=WAIT_MS)
    draw(loop_window, "node", node_outline("contrast"))
    assert session.contrast_next()[0] == "analyse"
    keys(loop_window, "J")
    settle(qtbot, session)
    result = session.contrast_result()
    truth = 100 * the_cine().truth.viable_fraction
    assert result.assessment.viable_pct == pytest.approx(truth, abs=6)
    panel = panel_of(loop_window)
    assert panel.contrast_results.isVisible()
    rows = {r.name: r for r in parameter_rows(result.region(session.current.node.label))}
    assert rows["ttp_s"].value is None or rows["ttp_s"].interval[0] <= rows["ttp_s"].value <= rows["ttp_s"].interval[1]
    assert panel.contrast_results.table.model_.rowCount() == len(rows)
    assert "\t" in panel.contrast_results.chart.as_text()
    made = map_picture(result, "peak")
    assert made is not None
    assert made.low < made.high
    assert made.rgba[..., 3].max() == 255
    keys(loop_window, "Shift+Y")
    assert session.contrast_overlay == "map"
    with_map = loop_window.panes.picture.frame.grab().toImage()
    keys(loop_window, "Y")
    assert loop_window.panes.picture.frame.grab().toImage() != with_map
    total, source = session.contrast_node_ml()
    assert source == "outline"
    figures = {f.label: f for f in residual_figures(result, total, source)}
    assert figures["Vv, enhancing"].value + figures["Va, not enhancing"].value == pytest.approx(total)
    proposed = session.proposed_grade()
    assert proposed in panel.contrast_results.grade.text()
    assert session.current.reading is None
    assert session.statement_of(session.current_node_id).grade is None
    keys(loop_window, "J")
    assert session.statement_of(session.current_node_id).grade == proposed
    keys(loop_window, "J")
    assert session.current.contrast_taken["residual"]["viable_pct"] == result.assessment.viable_pct
    assert "In the reading" in panel.contrast_results.taken.text()
    session.undo()
    assert session.current.contrast_taken is None
    session.redo()
    settle(qtbot, session)
    volume = next(s for s in session.series if s.kind == "volume")
    session.open_series(volume.series_id)
    qtbot.waitUntil(lambda: session.picture is None, timeout=WAIT_MS)
    settle(qtbot, session)
    lock(qtbot, session)
    reading = session.current.reading
    assert reading.enhancement_grade == proposed
    assert reading.viable_ml == pytest.approx(result.assessment.viable_pct / 100 * reading.volume_ml)
    assert reading.ablated_ml == pytest.approx(reading.volume_ml - reading.viable_ml)
    assert reading.viable_from == "enhancing_share"
    assert reading.measurement["perfusion"]["input_sha256"] == result.input_sha256
    assert reading.measurement["perfusion"]["range_source"] == "stated"
    assert any(w["code"] == "share_of_one_plane" for w in reading.warnings)


def test_that_another_grade_of_the_reader_stands_and_a_threshold_takes_the_place_of_the_share(qtbot, loop_window):
    session = loop_window.session
    read(qtbot, loop_window)
    session.set_frame(truth_frame())
    qtbot.waitUntil(lambda: loop_window.panes.picture.frame.shown_frame == truth_frame(), timeout=WAIT_MS)
    draw(loop_window, "node", node_outline("contrast"))
    session.analyse_contrast(maps=False)
    settle(qtbot, session)
    assert session.state_grade(session.current_node_id, "0") == ""
    session.take_contrast()
    part = session.contrast_part_work(session.current)(2.0)
    assert part.viable_ml is None
    assert [f.code for f in part.findings] == ["proposal_not_taken"]
    assert "Millilitres only where your grade agrees" in panel_of(loop_window).contrast_results.taken.text()
    session.draw_one_pane()  # nothing is under way: nothing happens
    draw(loop_window, "reference", [(session.contrast.panes.contrast.x0 + x, session.contrast.panes.contrast.y0 + y) for x, y in ((4, 30), (24, 30), (24, 60), (4, 60))])
    assert session.result_is_stale()
    assert "analyse it again" in session.why_not_take()
    session.set_enhancing(session.current_node_id, 80.0)
    assert session.current.contrast_taken is None


def test_that_unknown_colours_ask_for_the_bar_and_a_box_round_it_answers(qtbot, loop_window, told):
    session, pane, bar = loop_window.session, loop_window.panes.picture.frame, the_cine().layout.bar
    session.confirm_panes()
    session.state_range(RANGE_DB)
    state = session.contrast
    state.colours = ColourProposal(None, "none", 0.0)
    session.contrast_changed.emit()
    assert session.why_not_read() == "Drag a box round the contrast's colour bar."
    assert panel_of(loop_window).contrast.bar.isVisible()
    keys(loop_window, "J")
    assert session.tool == "contrast_bar"
    keys(loop_window, "Esc")
    assert session.tool == "crosshair"
    keys(loop_window, "Shift+K")
    mouse.drag(pane, screen(loop_window, (bar.x0 - 3, bar.y0 + 10)), screen(loop_window, (bar.x1 + 3, bar.y0 + 16)))
    settle(qtbot, session)
    assert told.has("The colour bar cannot be read")
    assert session.colours_unknown()
    mouse.drag(pane, screen(loop_window, (bar.x0 - 3, bar.y0 - 3)), screen(loop_window, (bar.x1 + 3, bar.y1 + 3)))
    settle(qtbot, session)
    assert session.tool == "crosshair"
    assert not session.colours_unknown()
    assert abs(state.panes.bar.y0 - bar.y0) <= 3
    assert session.why_not_read() == ""


def test_that_panes_can_be_drawn_and_a_picture_without_a_second_one_is_said_so(qtbot, loop_window, told):
    session, pane, layout = loop_window.session, loop_window.panes.picture.frame, the_cine().layout
    keys(loop_window, "Shift+B")
    box = layout.contrast
    mouse.drag(pane, screen(loop_window, (box.x0, box.y0)), screen(loop_window, (box.x1, box.y1)))
    state = session.contrast
    assert state.drawing is not None
    assert abs(state.drawing.x0 - box.x0) <= 1
    mouse.click(pane, screen(loop_window, (0.5 * (layout.bmode.x0 + layout.bmode.x1), 0.5 * (layout.bmode.y0 + layout.bmode.y1))))
    assert state.confirmed
    assert state.panes.layout == "side_by_side"
    assert abs(state.panes.bmode.x0 - layout.bmode.x0) <= 1
    assert state.panes.mm_per_pixel == pytest.approx((0.33, 0.33), rel=0.01)
    keys(loop_window, "Shift+B")
    mouse.drag(pane, screen(loop_window, (box.x0, box.y0)), screen(loop_window, (box.x1, box.y1)))
    QTest.keyClick(pane, Qt.Key.Key_Return)
    assert state.panes.layout == "single"
    assert state.panes.bmode is None
    session.state_range(RANGE_DB)
    session.read_loop()
    settle(qtbot, session)
    assert any(f.code == "motion_uncorrected" for f in state.motion.findings)
    assert any("no B-mode" in row.message for row in panel_of(loop_window).contrast.findings.rows)


def test_that_the_zone_of_an_earlier_visit_then_the_planned_one_is_laid_over_the_node_in_its_true_size_but_for_the_blinded(qtbot, loop_window, told, monkeypatch):
    from app.ui.panels.contrast_earlier import size_rows
    from app.usecases.contrast_draft import ContrastDraft, LoopDraft, save_contrast
    from app.usecases.perfusion_regions import PerfusionRegion
    from tests.usecases.zones import ZONE_MM, keep_zone

    session = loop_window.session
    read(qtbot, loop_window)
    session.set_frame(truth_frame())
    draw(loop_window, "node", node_outline("contrast"))
    keys(loop_window, "Shift+O")
    settle(qtbot, session)
    assert session.earlier_shape is None
    assert told.has("No ablated zone")
    panes, before = session.contrast.panes, session.visits[0]
    square = PerfusionRegion("ablated zone", "ablated_zone", ((10.0, 10.0), (40.0, 10.0), (40.0, 30.0), (10.0, 30.0)))
    draft = ContrastDraft({"L0": LoopDraft(panes, 60.0, region_frame=0, regions={session.current_node_id: (square,)})})
    save_contrast(session.study, before.visit_id, session.reader, draft)
    run = keep_zone(session.study, "S-001", node_id=session.current_node_id, session="day0")
    keys(loop_window, "Shift+O")
    settle(qtbot, session)
    width, height = np.ptp(session.earlier_shape.points_mm, axis=0)
    assert (width, height) == pytest.approx((30 * panes.mm_per_pixel[0], 20 * panes.mm_per_pixel[1]))
    assert session.earlier_shape.is_zone
    assert before.name in session.earlier_shape.label
    sizes = panel_of(loop_window).contrast_results.earlier_sizes
    keys(loop_window, "Shift+O")
    shape = session.earlier_shape
    assert shape.label == "planned zone of Day 0 (predicted): size only"
    assert told.has("Shown: planned zone of Day 0")
    assert np.ptp(shape.points_mm, axis=0) == pytest.approx(ZONE_MM[:2], abs=0.3)
    rows = {r.name: r for r in size_rows(session)}
    assert rows["Planned zone"].volume_ml == pytest.approx(np.pi / 6 * np.prod(ZONE_MM) / 1000)
    scale = session.contrast.panes.mm_per_pixel[0]
    assert rows["Node today"].diameters_mm[0] == pytest.approx(scale * np.ptp(np.array(node_outline("contrast")), axis=0).max(), rel=0.05)
    sizes.refresh()
    assert run.plan_run_id in sizes.meaning.text()
    assert "No delivery" in sizes.doubts.text()
    frame = loop_window.panes.picture.frame
    shown = frame.grab().toImage()
    session.state_plane("transverse")
    settle(qtbot, session)
    assert np.ptp(session.earlier_shape.points_mm, axis=0) == pytest.approx(ZONE_MM[1:], abs=0.3)
    assert frame.grab().toImage() != shown
    monkeypatch.setattr(type(session), "is_blinded", True)
    assert session.earlier_shape is None
    session.toggle_earlier_shape()
    assert told.has("Nothing of an earlier visit")
    assert session.earlier_found is None
    monkeypatch.undo()
    assert session.earlier_shape is not None
    keys(loop_window, "Shift+O")
    assert session.earlier_found is None
