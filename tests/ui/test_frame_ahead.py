"""Frames of a loop are decoded ahead, a few at a time, in a small room."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from app.ui.tools.box import ToolBox
from app.ui.views.frame_ahead import AHEAD, BUDGET_BYTES, FEWEST, FramesAhead
from app.ui.views.picture_pane import PicturePane
from dicom_io.headers import DicomRefused
from volumetry.calibration import Calibration
from volumetry.image import Cine

FRAME = np.zeros((4, 4, 3), np.uint8)


def test_that_the_frame_waited_for_comes_first_then_those_ahead():
    frames = FramesAhead(100, 1000)
    frames.want(10)
    order = []
    while (n := frames.next_to_decode(set())) is not None:
        order.append(n)
        frames.put(n, FRAME)
    assert order == list(range(10, 11 + AHEAD))


def test_that_frames_ahead_follow_the_way_the_reader_goes():
    frames = FramesAhead(100, 1000)
    frames.want(50)
    frames.want(49)
    assert [frames.next_to_decode({49}), frames.next_to_decode({49, 48})] == [48, 47]
    frames.want(0)
    frames.want(99)  # backwards over the beginning
    assert frames.next_to_decode({99}) == 98
    frames.want(0)  # a loop that begins again
    assert frames.next_to_decode({0}) == 1


def test_that_the_room_is_small_and_what_is_ahead_stays():
    frames = FramesAhead(1000, BUDGET_BYTES)  # huge frames
    assert frames.room == FEWEST
    for n in range(300):
        frames.want(n)
        while (m := frames.next_to_decode(set())) is not None:
            frames.put(m, FRAME)
        assert len(frames) <= FEWEST
        assert all(k in frames for k in range(n, n + AHEAD + 1))


def test_that_a_room_of_ordinary_frames_stays_within_the_budget():
    frame_bytes = 800 * 600 * 3
    assert FramesAhead(1000, frame_bytes).room * frame_bytes <= BUDGET_BYTES


def test_that_a_damaged_frame_is_not_tried_for_ever():
    frames = FramesAhead(4, 10)
    frames.want(0)
    for n in (0, 1, 3):
        frames.put(n, FRAME)
    frames.fail(2)
    assert frames.next_to_decode(set()) is None
    frames.want(2)
    assert frames.next_to_decode(set()) == 2


class Decoder:
    """Counts what is decoded, and how many at once."""

    def __init__(self, wait_s: float = 0.0, bad: tuple[int, ...] = ()):
        self.wait_s, self.bad = wait_s, bad
        self.asked: list[int] = []
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, n: int) -> np.ndarray:
        with self._lock:
            self.asked.append(n)
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(self.wait_s)
        with self._lock:
            self.now -= 1
        if n in self.bad:
            raise DicomRefused(f"Frame {n} cannot be decoded.", code="decode_failed")
        return np.full((60, 80, 3), n % 250, np.uint8)


@pytest.fixture
def pane(session, qtbot) -> PicturePane:
    made = PicturePane(session, ToolBox(session))
    qtbot.addWidget(made, before_close_func=lambda w: w.shutdown())
    made.resize(400, 300)
    made.show()
    return made


def show(session, decoder, frames: int = 1000) -> None:
    session.frame_index = 0
    session.picture = Cine(frames, (60, 80), decoder, Calibration(), np.arange(frames) * 20.0)
    session.picture_changed.emit()


def test_that_a_long_loop_opens_with_one_frame_and_a_few_ahead(pane, session, qtbot):
    decoder = Decoder()
    show(session, decoder)
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=10_000)
    assert pane.frame.shown_frame == 0
    assert sorted(decoder.asked) == list(range(AHEAD + 1))
    assert decoder.most <= 2


def test_that_a_jump_is_decoded_before_what_was_ahead(pane, session, qtbot):
    decoder = Decoder(wait_s=0.02)
    show(session, decoder)
    session.set_frame(700)
    qtbot.waitUntil(lambda: pane.frame.shown_frame == 700, timeout=10_000)
    assert decoder.asked.index(700) <= 3  # not behind eight others
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=10_000)


def test_that_playing_finds_its_frames_decoded(pane, session, qtbot):
    decoder = Decoder(wait_s=0.004)
    show(session, decoder, frames=200)
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=10_000)
    late = []
    for n in range(1, 60):  # as the clock would, on a machine that has the time to decode between two frames
        late.append(n not in pane.frame._frames)
        session.set_frame(n)
        qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=10_000)
    assert sum(late) == 0
    assert len(pane.frame._frames) <= pane.frame._frames.room


def test_that_a_damaged_frame_is_said_and_the_others_play_on(pane, session, qtbot):
    decoder = Decoder(bad=(3,))
    show(session, decoder, frames=10)
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=10_000)
    assert pane.frame.problem == ""
    session.set_frame(3)
    qtbot.waitUntil(lambda: pane.frame.problem != "", timeout=10_000)
    assert "cannot be decoded" in pane.frame.problem
    session.set_frame(4)
    qtbot.waitUntil(lambda: pane.frame.shown_frame == 4, timeout=10_000)
    assert pane.frame.problem == ""
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=10_000)


def test_that_frames_of_the_picture_before_are_dropped(pane, session, qtbot):
    slow = Decoder(wait_s=0.05)
    show(session, slow)
    show(session, lambda n: np.full((60, 80), 9, np.uint8), frames=5)
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=10_000)
    assert all(pane.frame._frames[n].max() == 9 for n in range(5))
