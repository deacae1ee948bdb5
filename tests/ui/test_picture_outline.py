"""Outlines on ultrasound stills in the window: click, points, wire, planes, axes as calipers, and what is kept."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt

from app.demo.dicom_files import Occasion
from app.jobs import JobContext
from app.study.model import ReadingState
from app.study.store import StudyStore
from app.ui.tools.box import ToolBox
from app.ui.views.picture_pane import PicturePane
from app.usecases.import_images import import_folder
from tests.factories import write_ultrasound_cine, write_ultrasound_still
from tests.ui import mouse, panel_cases
from volumetry.calibration import Calibration

MIDDLE = np.array([159.5, 119.5])  # of the dark ellipse of 12 x 8 mm at 0.1 mm a pixel
WAIT_MS = 20_000
DAY = Occasion(1, "Baseline", date(2025, 1, 13))


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A study of stills: one of 12 x 8 mm, one of 10 x 8 mm, one of 10 x 5 mm, and a cine."""
    root = tmp_path_factory.mktemp("stills")
    for n, axes in enumerate(((12.0, 8.0), (10.0, 8.0), (10.0, 5.0))):
        (root / "us").mkdir(exist_ok=True)
        write_ultrasound_still(root / "us" / f"{n}.dcm", occasion=DAY, instance=n + 1, ellipse_mm=axes)
    write_ultrasound_cine(root / "us" / "cine.dcm", occasion=replace(DAY))
    with StudyStore.create(root / "study") as store:
        import_folder(store, "S-001", "Baseline", root / "us", JobContext())
        store.add_node("S-001", "N1", "left", "II")
    return root / "study"


def settle(qtbot, session) -> None:
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=WAIT_MS)


class Desk:
    """The session, its picture pane, and hands."""

    def __init__(self, qtbot, session):
        self.qtbot, self.session, self.told = qtbot, session, []
        session.notice.connect(lambda severity, text: self.told.append(text))
        session.jobs.failed.connect(lambda _error, text: self.told.append("bug: " + text))
        self.pane = PicturePane(session, ToolBox(session))
        qtbot.addWidget(self.pane, before_close_func=lambda w: w.shutdown())
        self.pane.resize(900, 700)
        self.pane.show()
        qtbot.waitExposed(self.pane)

    def open(self, study) -> None:
        self.session.open_study(study)
        self.qtbot.waitUntil(lambda: self.session.picture is not None, timeout=WAIT_MS)
        settle(self.qtbot, self.session)

    def reopen(self, study) -> None:
        """Close the study and open it again."""
        assert self.session.close() == []
        self.session.jobs.reopen()
        self.open(study)

    def show(self, width_mm: float, height_mm: float) -> None:
        """The still whose ellipse has these axes."""
        wanted_px = np.pi / 4 * 100 * width_mm * height_mm
        for record in (s for s in self.session.series if s.kind == "still"):
            self.session.open_series(record.series_id)
            settle(self.qtbot, self.session)
            dark_px = int((self.session.picture.read_frame(0)[70:170, 90:230] < 95).sum())
            if abs(dark_px - wanted_px) < 700:
                break
        assert abs(dark_px - wanted_px) < 700
        self.qtbot.waitUntil(lambda: self.pane.frame.shown_frame is not None, timeout=WAIT_MS)

    def at(self, x: float, y: float) -> tuple[float, float]:
        return self.pane.frame.screen_of((x, y))

    def drag(self, *places) -> None:
        mouse.drag(self.pane.frame, *(self.at(*p) for p in places))
        settle(self.qtbot, self.session)

    def click(self, x: float, y: float) -> None:
        mouse.move(self.pane.frame, self.at(x, y), button=Qt.MouseButton.NoButton)
        mouse.click(self.pane.frame, self.at(x, y))
        settle(self.qtbot, self.session)

    def key(self, key) -> None:
        self.qtbot.keyClick(self.pane.frame, key)
        settle(self.qtbot, self.session)

    def outline(self) -> None:
        """One click and drag on the still on screen."""
        self.session.set_tool("node")
        self.drag(MIDDLE, (MIDDLE[0] + 50, MIDDLE[1]))

    def said(self, words: str) -> bool:
        return any(words in text for text in self.told)


@pytest.fixture
def desk(qtbot, session, template, tmp_path) -> Desk:
    made = Desk(qtbot, session)
    made.open(shutil.copytree(template, tmp_path / "study"))
    made.show(12.0, 8.0)
    yield made
    settle(qtbot, session)
    session.close()
    assert [text for text in made.told if text.startswith("bug")] == []


def uncalibrate(session) -> None:
    session.picture = replace(session.picture, calibration=Calibration())


# ---- one click ----------------------------------------------------------------------------------
def test_that_a_drag_outlines_the_node_with_axes_within_4_pct_and_one_undo_step(desk):
    session = desk.session
    desk.outline()
    axes = session.outline_on().axes
    assert axes.long_axis_mm == pytest.approx(12.0, rel=0.04)
    assert axes.short_axis_mm == pytest.approx(8.0, rel=0.04)
    assert axes.area_mm2 == pytest.approx(np.pi * 24, rel=0.05)
    assert session.undo_stack.count() == 1
    session.undo_stack.undo()
    assert session.outline_on() is None
    session.undo_stack.redo()
    assert session.outline_on().axes == axes


def test_that_the_outline_is_there_while_the_radius_is_dragged_and_esc_drops_only_the_drag(desk):
    session, frame = desk.session, desk.pane.frame
    desk.outline()
    before = session.outline_on()
    mouse.press(frame, desk.at(*MIDDLE))
    for x in (20, 35, 45):
        mouse.move(frame, desk.at(MIDDLE[0] + x, MIDDLE[1]))
    desk.qtbot.waitUntil(lambda: session.picture_preview is not None, timeout=WAIT_MS)
    assert next(text for text, _ in frame.toolbox.current.live_lines()).endswith("mm")
    frame.toolbox.escape()
    settle(desk.qtbot, session)
    assert session.tool == "crosshair"
    assert session.picture_preview is None
    mouse.release(frame, desk.at(MIDDLE[0] + 45, MIDDLE[1]))
    settle(desk.qtbot, session)
    assert session.outline_on() is before


def test_that_a_click_without_a_drag_outlines_nothing_and_says_what_to_do(desk):
    desk.session.set_tool("node")
    desk.click(*MIDDLE)
    assert desk.session.outline_on() is None
    assert desk.said("drag to its border")


def test_that_points_pull_the_outline_are_dragged_and_taken_back(desk):
    session = desk.session
    desk.outline()
    free = session.outline_on().outline
    desk.click(159.5, 72.0)
    pulled = session.outline_on().outline
    assert pulled.anchors_px == (pytest.approx((159.5, 72.0), abs=0.01),)
    assert np.abs(pulled.points_px - (159.5, 72.0)).sum(axis=1).min() < 3.5
    desk.drag((159.5, 72.0), (159.5, 86.0))
    moved = session.outline_on().outline
    assert moved.anchors_px == (pytest.approx((159.5, 86.0), abs=0.01),)
    assert moved.points_px[:, 1].min() > pulled.points_px[:, 1].min() + 5
    desk.key(Qt.Key.Key_Backspace)
    assert np.allclose(session.outline_on().outline.points_px, free.points_px)
    assert session.undo_stack.count() == 4
    session.undo_stack.undo()
    assert session.outline_on().outline is moved


def test_that_each_frame_and_node_has_its_own_outline(desk):
    session = desk.session
    desk.outline()
    first = session.current_node_id
    session.add_node("N2", "left", "III")
    assert session.outline_on() is None
    desk.outline()
    session.select_node(first)
    assert session.outline_on() is not None
    assert {key[0] for key in session.picture_outlines} == {first, session.subject_nodes[1].node_id}
    desk.show(10.0, 5.0)
    assert session.outline_on() is None


# ---- by a wire ----------------------------------------------------------------------------------
def around(count: int):
    angle = 2 * np.pi * np.arange(count) / count
    return MIDDLE + np.stack([60 * np.cos(angle), 40 * np.sin(angle)], axis=1)


def test_that_a_wire_is_clicked_taken_back_and_closed_by_enter(desk):
    session = desk.session
    session.set_tool("livewire")
    for place in (*around(6), (200.0, 200.0)):
        desk.click(*place)
    assert len(session.wire_on()) == 7
    desk.key(Qt.Key.Key_Backspace)
    assert session.undo_stack.count() == 0
    desk.key(Qt.Key.Key_Return)
    outline = session.outline_on()
    assert session.wire_on() == ()
    assert session.picture_preview is None
    assert outline.outline.method == "livewire"
    assert outline.axes.long_axis_mm == pytest.approx(12.0, rel=0.06)
    assert outline.axes.short_axis_mm == pytest.approx(8.0, rel=0.06)
    session.undo_stack.undo()
    assert session.outline_on() is None


@pytest.mark.parametrize("which", [0, -1])
def test_that_the_first_point_or_a_double_click_closes_the_wire(desk, which):
    desk.session.set_tool("livewire")
    places = around(5)
    for place in places:
        desk.click(*place)
    mouse.double_click(desk.pane.frame, desk.at(*places[which]))
    settle(desk.qtbot, desk.session)
    assert len(desk.session.outline_on().outline.anchors_px) == 5


def test_that_esc_keeps_the_open_wire_and_another_still_is_not_touched(desk):
    session = desk.session
    session.set_tool("livewire")
    for place in around(6)[:3]:
        desk.click(*place)
    desk.pane.frame.toolbox.escape()
    desk.show(10.0, 5.0)
    assert session.wire_on() == ()
    desk.show(12.0, 8.0)
    session.set_tool("livewire")
    for place in around(6)[3:]:
        desk.click(*place)
    desk.key(Qt.Key.Key_Enter)
    assert session.outline_on().axes.long_axis_mm == pytest.approx(12.0, rel=0.06)


def test_that_two_points_do_not_close_and_a_dragged_point_moves_a_wire(desk):
    session = desk.session
    session.set_tool("livewire")
    for place in around(6)[:2]:
        desk.click(*place)
    desk.key(Qt.Key.Key_Return)
    assert session.outline_on() is None
    assert desk.said("at least three")
    for place in around(6)[2:]:
        desk.click(*place)
    desk.key(Qt.Key.Key_Return)
    session.set_tool("node")
    desk.drag(around(6)[0], (205.0, 119.5))
    assert session.outline_on().outline.anchors_px[0] == pytest.approx((205.0, 119.5), abs=0.01)
    desk.click(159.5, 84.0)
    assert len(session.outline_on().outline.anchors_px) == 7
    assert session.outline_on().outline.method == "livewire"


# ---- planes and calipers ------------------------------------------------------------------------
def test_that_axes_become_calipers_only_with_a_stated_plane_and_in_one_undo_step(desk):
    session = desk.session
    desk.outline()
    session.use_as_calipers()
    assert session.current.calipers == {}
    assert desk.said("State first")
    session.state_plane("longitudinal")
    steps = session.undo_stack.count()
    session.use_as_calipers()
    assert session.undo_stack.count() == steps + 1
    filed = session.current.calipers
    assert set(filed) == {"length", "depth_longitudinal"}
    assert filed["length"].length_mm == pytest.approx(session.outline_on().axes.long_axis_mm)
    assert filed["depth_longitudinal"].length_mm == pytest.approx(session.outline_on().axes.short_axis_mm)
    assert session.uses_outline()
    session.undo_stack.undo()
    assert session.current.calipers == {}
    assert session.calipers == []


def test_that_two_stills_give_the_ellipsoid_and_the_reading_keeps_both_outlines(desk):
    session = desk.session
    desk.outline()
    session.state_plane("longitudinal")
    session.use_as_calipers()
    desk.show(10.0, 8.0)
    desk.outline()
    session.state_plane("transverse")
    session.use_as_calipers()
    ellipsoid = session.current.ellipsoid
    assert ellipsoid.volume_ml == pytest.approx(np.pi / 6 * 12 * 10 * 8 / 1000, rel=0.08)
    assert ellipsoid.warnings == ()
    session.keep_reading(session.current_node_id, method="ellipsoid")
    settle(desk.qtbot, session)
    kept = session.study.readings("S-001")[0].measurement
    assert [o["plane"] for o in kept["picture_outlines"]] == ["longitudinal", "transverse"]
    assert all(o["calipers_from_outline"] and len(o["polygon_px"]) > 50 and o["frame"] == 0 for o in kept["picture_outlines"])
    assert len({o["series_uid"] for o in kept["picture_outlines"]}) == 2
    assert {c["slot"] for c in kept["calipers"]} == {"length", "width", "depth_longitudinal", "depth_transverse"}


def test_that_unlike_depths_are_warned_of(desk):
    session = desk.session
    desk.outline()
    session.state_plane("longitudinal")
    session.use_as_calipers()
    desk.show(10.0, 5.0)
    desk.outline()
    session.state_plane("transverse")
    session.use_as_calipers()
    assert [w.code for w in session.current.ellipsoid.warnings] == ["common_diameter_differs"]


def test_that_a_still_stated_anew_gives_its_diameters_back_and_never_serves_twice(desk):
    session = desk.session
    desk.outline()
    session.state_plane("longitudinal")
    session.use_as_calipers()
    session.state_plane("transverse")
    assert session.current.calipers == {}
    assert desk.said("were removed")
    session.use_as_calipers()
    assert set(session.current.calipers) == {"width", "depth_transverse"}
    session.undo_stack.undo()
    session.undo_stack.undo()
    assert session.plane_of_still() == "longitudinal"
    assert set(session.current.calipers) == {"length", "depth_longitudinal"}


def test_that_diameters_drawn_by_hand_need_the_stated_plane_too(desk):
    session = desk.session
    session.set_tool("ellipsoid")
    desk.drag((100.0, 119.5), (219.0, 119.5))
    assert session.current.calipers == {}
    assert desk.said("State first")
    session.state_plane("transverse")
    desk.drag((100.0, 119.5), (219.0, 119.5))
    desk.drag((159.5, 80.0), (159.5, 159.0))
    assert set(session.current.calipers) == {"width", "depth_transverse"}
    desk.drag((102.0, 119.5), (219.0, 119.5))  # begins again and takes the place of the first
    assert session.current.calipers["width"].length_mm == pytest.approx(11.7, abs=0.05)
    assert len(session.calipers_on()) == 2


def test_that_a_tall_node_gives_its_upright_axis_as_depth(desk):
    session = desk.session
    session.picture = replace(session.picture, read_frame=lambda _n, read=session.picture.read_frame: np.ascontiguousarray(np.pad(read(0).T, ((0, 0), (40, 40)))))
    session.picture = replace(session.picture, shape=(320, 320), calibration=Calibration(manual_mm_per_pixel=(0.1, 0.1)))
    session.picture_changed.emit()
    settle(desk.qtbot, session)
    session.commit_picture_click(0, (159.5, 159.5), 50.0)
    settle(desk.qtbot, session)
    session.state_plane("transverse")
    roles = {p.slot: p.axis for p in session.proposed_calipers()}
    assert roles == {"width": "short", "depth_transverse": "long"}


# ---- where there are no millimetres ---------------------------------------------------------------
def test_that_an_uncalibrated_picture_gives_pixels_and_refuses_calipers(desk):
    session = desk.session
    uncalibrate(session)
    desk.outline()
    axes = session.outline_on().axes
    assert axes.long_axis_mm is None
    assert axes.long_axis_px == pytest.approx(120, rel=0.04)
    assert "no length scale" in axes.refusal
    session.state_plane("longitudinal")
    session.use_as_calipers()
    assert session.current.calipers == {}
    assert desk.said("no length scale")
    mouse.press(desk.pane.frame, desk.at(*MIDDLE))
    mouse.move(desk.pane.frame, desk.at(MIDDLE[0] + 50, MIDDLE[1]))
    settle(desk.qtbot, session)
    assert desk.pane.frame.toolbox.current.live_lines()[0][0].endswith("px")
    desk.pane.frame.toolbox.escape()


# ---- locked, kept, taken up -----------------------------------------------------------------------
def test_that_a_locked_reading_takes_no_outline_and_no_calipers(desk):
    session = desk.session
    desk.outline()
    session.state_plane("longitudinal")
    before = session.outline_on()
    session.current.reading = panel_cases.reading(session.current_node_id, session.visit.visit_id, 0.5, ReadingState.LOCKED)
    desk.outline()
    desk.click(159.5, 72.0)
    session.use_as_calipers()
    session.remove_picture_outline()
    session.set_tool("livewire")
    desk.click(100.0, 100.0)
    assert session.outline_on() is before
    assert session.current.calipers == {}
    assert session.wire_on() == ()
    assert desk.said("is locked")


def test_that_a_step_before_a_lock_is_not_taken_back_after_it(desk):
    session = desk.session
    desk.outline()
    session.current.lock_count += 1
    session.undo_stack.undo()
    assert session.outline_on() is not None
    assert desk.said("locked after this step")


def test_that_outlines_planes_and_calipers_are_there_again_after_reopening(desk):
    session = desk.session
    desk.outline()
    session.state_plane("longitudinal")
    session.use_as_calipers()
    settle(desk.qtbot, session)
    folder, points, length = session.study.folder, session.outline_on().outline.points_px, session.current.calipers["length"].length_mm
    desk.reopen(folder)
    desk.show(12.0, 8.0)
    assert np.allclose(session.outline_on().outline.points_px, points, atol=1e-3)
    assert session.plane_of_still() == "longitudinal"
    assert session.current.calipers["length"].length_mm == length
    assert session.uses_outline()


def test_that_an_outline_taken_away_stays_away_after_reopening(desk):
    session = desk.session
    desk.outline()
    session.remove_picture_outline()
    settle(desk.qtbot, session)
    folder = session.study.folder
    desk.reopen(folder)
    desk.show(12.0, 8.0)
    assert session.outline_on() is None


def test_that_a_tool_begun_on_a_running_cine_stops_it_and_stays_on_its_frame(desk):
    session = desk.session
    cine = next(s for s in session.series if s.kind == "cine")
    session.open_series(cine.series_id)
    settle(desk.qtbot, session)
    session.set_frame(3)
    desk.qtbot.waitUntil(lambda: desk.pane.frame.shown_frame == 3, timeout=WAIT_MS)
    desk.pane.toggle_play()
    session.set_tool("livewire")
    mouse.click(desk.pane.frame, desk.at(100, 100))
    assert not desk.pane.is_playing
    (key,) = session.open_wires
    assert key[2] == desk.pane.frame.shown_frame
