"""The ultrasound pane: true times, dropped frames, calipers in pixels, aspect."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import Qt

from app.ui.tools.box import ToolBox
from app.ui.views.calibration_words import calibration_state, pixel_aspect, region_words
from app.ui.views.picture_pane import PicturePane
from tests.ui import mouse, scenes
from volumetry.calibration import Calibration

TIMES = np.array([0.0, 50, 100, 400, 450, 500, 550, 600, 650, 700, 750, 800])


@pytest.fixture
def pane(qtbot, session):
    made = PicturePane(session, ToolBox(session))
    qtbot.addWidget(made, before_close_func=lambda w: w.shutdown())
    made.resize(700, 500)
    made.show()
    qtbot.waitExposed(made)
    return made


def shown(pane, qtbot, index):
    qtbot.waitUntil(lambda: pane.frame.shown_frame == index, timeout=3000)


def test_that_the_frame_on_screen_is_the_one_asked_for(pane, session, qtbot):
    scenes.show_picture(session, scenes.cine(times_ms=TIMES))
    shown(pane, qtbot, 0)
    session.set_frame(7)
    shown(pane, qtbot, 7)
    picture = pane.frame.grab().toImage()
    x, y = pane.frame.screen_of((60, 40))
    assert picture.pixelColor(round(x * picture.devicePixelRatio()), round(y * picture.devicePixelRatio())).red() == 70


def test_that_playing_follows_the_true_times_of_uneven_frames(pane, session):
    scenes.show_picture(session, scenes.cine(times_ms=TIMES))
    assert pane.frame_at(99) == 1
    assert pane.frame_at(399) == 2
    assert pane.frame_at(401) == 3
    assert pane.duration_ms() == 850
    assert pane.frame_at(849) == 11
    assert pane.frame_at(850 + 120) == 2


def test_that_a_slow_decoder_drops_frames_instead_of_slowing_the_clock(pane, session, qtbot, monkeypatch):
    scenes.show_picture(session, scenes.cine(times_ms=TIMES))
    shown(pane, qtbot, 0)
    now = [0.0]
    monkeypatch.setattr(pane._clock, "nsecsElapsed", lambda: now[0] * 1e6, raising=False)
    pane.toggle_play()
    pane._timer.stop()  # the test turns the clock itself
    told = []
    session.frame_changed.connect(told.append)
    for now[0] in (10, 60, 405, 460, 700):
        pane._tick()
    assert told == [1, 3, 4, 9]


def test_that_play_stops_and_scrubbing_stops_it(pane, session, qtbot):
    scenes.show_picture(session, scenes.cine(times_ms=TIMES))
    shown(pane, qtbot, 0)
    pane.toggle_play()
    assert pane.is_playing
    qtbot.waitUntil(lambda: session.frame_index > 0, timeout=2000)
    pane.slider.setValue(5)
    assert not pane.is_playing
    shown(pane, qtbot, 5)


def test_that_a_still_has_no_play_button(pane, session, qtbot):
    scenes.show_picture(session, scenes.cine(frames=1))
    shown(pane, qtbot, 0)
    assert not pane.bar.isVisible()
    pane.toggle_play()
    assert not pane.is_playing


def test_that_a_cine_without_times_says_so(pane, session, qtbot):
    scenes.show_picture(session, scenes.cine(times_ms=None))
    shown(pane, qtbot, 0)
    assert pane.time.text() == "times unknown"


def test_that_frames_go_by_wheel_and_keys(pane, session, qtbot):
    scenes.show_picture(session, scenes.cine(times_ms=TIMES))
    mouse.wheel(pane.frame, (50, 50), -1)
    assert session.frame_index == 1
    mouse.wheel(pane.frame, (50, 50), -1, mouse.SHIFT)
    assert session.frame_index == 6
    qtbot.keyClick(pane.frame, Qt.Key.Key_Left)
    assert session.frame_index == 5


def test_that_pixels_that_are_taller_than_wide_are_shown_so(pane, session, qtbot):
    scenes.show_picture(session, scenes.cine(delta=(0.01, 0.02)))
    assert pane.frame.aspect == pytest.approx(2.0)
    a, b, c = (pane.frame.screen_of(p) for p in ((30, 30), (40, 30), (30, 40)))
    assert c[1] - a[1] == pytest.approx(2 * (b[0] - a[0]))


def test_that_a_caliper_is_told_in_picture_pixels_and_its_length_comes_from_the_region(pane, session, qtbot):
    scenes.show_picture(session, scenes.cine(delta=(0.01, 0.02)))
    shown(pane, qtbot, 0)
    session.set_tool("caliper")
    mouse.drag(pane.frame, pane.frame.screen_of((30, 20)), pane.frame.screen_of((60, 60)))
    (caliper,) = session.calipers
    assert caliper.points[0] == pytest.approx((30, 20), abs=0.01)
    assert caliper.length_mm == pytest.approx(np.hypot(30 * 0.1, 40 * 0.2), abs=0.01)


def test_that_a_line_out_of_the_region_stays_in_pixels_with_a_reason(pane, session, qtbot):
    scenes.show_picture(session, scenes.cine())
    shown(pane, qtbot, 0)
    session.set_tool("caliper")
    tool = pane.frame.toolbox.current
    mouse.press(pane.frame, pane.frame.screen_of((30, 20)))
    mouse.move(pane.frame, pane.frame.screen_of((5, 20)))
    text, refusal = tool.length_text(tool._start, tool.at)
    assert text == "25 px"
    assert "outside" in refusal
    mouse.release(pane.frame, pane.frame.screen_of((5, 20)))
    assert session.calipers[-1].length_mm is None


def test_that_the_corner_never_claims_a_calibration():
    picture = scenes.cine()
    assert calibration_state(picture.calibration)[0].startswith("Calibrated")
    assert calibration_state(Calibration())[0] == "Not calibrated: lengths in px only"
    assert calibration_state(Calibration(refusal=("regions_do_not_fit", "No.")))[0] == "Lengths in px only"
    assert pixel_aspect(Calibration(picture.calibration.regions, refusal=("regions_do_not_fit", "No."))) == 1.0
    assert "0.100 × 0.200 mm/px" in region_words(picture.calibration, 50, 40)
    assert region_words(picture.calibration, 5, 5) == "outside the calibrated part"


def test_that_a_frame_that_cannot_be_read_says_why(pane, session, qtbot):
    from dataclasses import replace

    from volumetry.errors import NodusError

    def refuse(_n):
        raise NodusError("The frame is damaged.")

    scenes.show_picture(session, replace(scenes.cine(), read_frame=refuse))
    qtbot.waitUntil(lambda: pane.frame.problem == "The frame is damaged.", timeout=3000)


def test_that_a_cine_is_not_read_by_the_gui_thread(pane, session, qtbot):
    import threading
    from dataclasses import replace

    threads = []

    def read(n):
        threads.append(threading.current_thread())
        return np.zeros((80, 120, 3), np.uint8)

    scenes.show_picture(session, replace(scenes.cine(), read_frame=read))
    shown(pane, qtbot, 0)
    assert threads
    assert threading.main_thread() not in threads
