"""Frames of a loop one after the other: in order, a few at a time, stopped when asked."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from dicom_io.frames import iter_frames
from dicom_io.ultrasound import read_cine
from tests.dicom_io.made import save, us_picture
from volumetry.calibration import Calibration
from volumetry.errors import Cancelled, NodusError
from volumetry.image import Cine


def counting(count: int):
    """A loop that notes how many frames are decoded and not yet taken."""
    state = {"decoded": 0, "taken": 0, "most": 0}
    lock = threading.Lock()

    def read(n: int) -> np.ndarray:
        with lock:
            state["decoded"] += 1
            state["most"] = max(state["most"], state["decoded"] - state["taken"])
        if n == 999:
            raise NodusError("This frame is damaged.", code="decode_failed")
        return np.full((2, 2), n % 256, np.uint8)

    return Cine(count, (2, 2), read, Calibration()), state


def test_that_frames_come_in_order_and_only_a_few_are_held():
    cine, state = counting(200)
    for n, frame in enumerate(iter_frames(cine, workers=3)):
        assert frame[0, 0] == n
        state["taken"] += 1
    assert state["decoded"] == 200
    assert state["most"] <= 7


def test_that_chosen_frames_are_the_ones_of_the_file(tmp_path):
    cine = read_cine(save(us_picture(frames=9, FrameTime=40.0), tmp_path / "f.dcm"))
    assert [int(f[0, 0, 0]) for f in iter_frames(cine, [7, 0, 3])] == [7, 0, 3]


def test_that_cancelling_stops_and_leaves_no_thread_behind():
    cine, state = counting(10_000)
    asked = iter([False] * 20 + [True] * 10_000)
    with pytest.raises(Cancelled):
        list(iter_frames(cine, workers=2, should_cancel=lambda: next(asked)))
    assert state["decoded"] < 30
    assert not [t for t in threading.enumerate() if t.name.startswith("frames")]


def test_that_a_caller_who_stops_listening_stops_the_work():
    cine, state = counting(10_000)
    frames = iter_frames(cine, workers=2)
    next(frames)
    frames.close()
    assert state["decoded"] < 10


def test_that_a_damaged_frame_is_refused_in_its_turn():
    cine, _ = counting(1001)
    frames = iter_frames(cine, workers=4)
    before = [next(frames) for _ in range(999)]
    assert before[998][0, 0] == 998 % 256
    with pytest.raises(NodusError) as refusal:
        next(frames)
    assert refusal.value.code == "decode_failed"
