"""A long series and a long loop open while the window goes on: nothing of them is read or decoded on its thread."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QTimer
from PySide6.QtWidgets import QApplication

import dicom_io.scan
import dicom_io.ultrasound
from app.ui.main_window import MainWindow
from dicom_io.pixels import FrameDecoder
from tests.dicom_io.made import add_pixels, ct_slice, region, save, us_picture

WAIT_MS = 60_000
SLICES, FRAMES = 300, 1000


class Beat:
    """Counts the turns of the event loop, and the longest time between two: by the clock, which other programs disturb, and
    of the window's own work."""

    def __init__(self):
        self.turns, self.longest_s, self.most_work_s = 0, 0.0, 0.0
        self._last = time.perf_counter(), time.thread_time()
        self.timer = QTimer()
        self.timer.timeout.connect(self._turn)
        self.timer.start(2)

    def _turn(self) -> None:
        now, worked = time.perf_counter(), time.thread_time()
        self.turns += 1
        self.longest_s = max(self.longest_s, now - self._last[0])
        self.most_work_s = max(self.most_work_s, worked - self._last[1])
        self._last = now, worked


class Watch:
    """Notes on which thread scanning and decoding run, and has some of them wait until the window has turned twice more:
    a window that waits for them in its turn would stand still for ever."""

    def __init__(self, beat: Beat, monkeypatch):
        self.beat, self.gui = beat, threading.get_ident()
        self.calls: dict[str, int] = {}
        self.on_gui: set[str] = set()
        self.stuck: list[str] = []
        for owner, name in (
            (dicom_io.scan, "read_facts"), (dicom_io.scan, "look_at_header"), (dicom_io.ultrasound, "read_header"),
            (FrameDecoder, "__init__"), (FrameDecoder, "raw"), (FrameDecoder, "read_plain"), (FrameDecoder, "picture"),
        ):  # fmt: skip
            monkeypatch.setattr(owner, name, self._watched(f"{owner.__name__}.{name}", getattr(owner, name)))

    def _watched(self, name: str, work):
        def watched(*args, **kwargs):
            self.calls[name] = self.calls.get(name, 0) + 1
            if threading.get_ident() == self.gui:
                self.on_gui.add(name)
            elif self.calls[name] % 100 == 1:
                self._wait_for_the_window(name)
            return work(*args, **kwargs)

        return watched

    def _wait_for_the_window(self, name: str) -> None:
        until, enough = time.monotonic() + 10.0, self.beat.turns + 2
        while self.beat.turns < enough:
            if time.monotonic() > until:
                self.stuck.append(name)
                return
            time.sleep(0.001)


@pytest.fixture
def window(qtbot, session):
    made = MainWindow(session)
    qtbot.addWidget(made)
    made.show()
    qtbot.waitExposed(made)
    yield made
    made.close()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def long_ct(folder: Path, side: int) -> Path:
    values = np.random.default_rng(1).integers(0, 2000, (side, side)).astype(np.int16)
    one = save(ct_slice((0.0, 0.0, 1000.0), 1000, array=values), folder / "000.dcm").read_bytes()
    for n in range(1, SLICES):  # its place and its identity are other ones; writing each anew would take seconds
        (folder / f"{n:03d}.dcm").write_bytes(one.replace(b"1000.0", b"%d.0" % (1000 + n)).replace(b".1.1000", b".1.%d" % (1000 + n)))
    return folder


def long_loop(path: Path, rows: int, columns: int) -> Path:
    ds = us_picture([region((0, 0, columns - 1, rows - 1))], frames=1, rows=rows, columns=columns, FrameTime=40.0)
    frames = np.empty((FRAMES, rows, columns, 3), np.uint8)
    frames[:] = (np.arange(FRAMES) % 200).astype(np.uint8)[:, None, None, None]
    return save(add_pixels(ds, frames, frames=FRAMES), path)


def opened_and_watched(qtbot, session, monkeypatch, ct: Path, loop: Path) -> Beat:
    told = []
    session.jobs.failed.connect(lambda _error, text: told.append(text))
    session.jobs.refused.connect(lambda error: told.append(error.message))
    session.series_found.connect(lambda found: told.append(f"{len(found.series)} series"))
    beat = Beat()
    watch = Watch(beat, monkeypatch)
    session.open_folder(ct)
    assert session.image is None  # it comes later
    qtbot.waitUntil(lambda: told or (session.image is not None and not session.jobs.is_busy()), timeout=WAIT_MS)
    assert told == []
    assert session.image.array.shape[0] == SLICES
    session.open_folder(loop)
    assert session.picture is None
    qtbot.waitUntil(lambda: told or (session.picture is not None and not session.jobs.is_busy()), timeout=WAIT_MS)
    assert told == []
    assert session.picture.frame_count == FRAMES
    decoded = watch.calls["FrameDecoder.picture"]
    assert decoded < 50  # what is on screen and a few ahead, not the loop
    for n in (1, 2, FRAMES // 2, FRAMES - 1):
        session.set_frame(n)
        qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=WAIT_MS)
    assert watch.calls["FrameDecoder.picture"] < decoded + 100
    beat.timer.stop()
    assert told == []
    assert watch.stuck == []
    assert watch.on_gui == set()
    assert watch.calls["dicom_io.scan.read_facts"] == SLICES + 1
    return beat


def test_that_a_long_series_and_a_long_loop_never_hold_the_window(qtbot, session, window, monkeypatch, tmp_path):
    ct, loop = long_ct(tmp_path / "ct", 24), long_loop(tmp_path / "loop.dcm", 24, 32)
    beat = opened_and_watched(qtbot, session, monkeypatch, ct, loop)
    print(f"{beat.turns} turns of the event loop, the longest gap {1000 * beat.longest_s:.0f} ms, of work {1000 * beat.most_work_s:.0f} ms")


@pytest.mark.long
def test_that_they_do_not_at_full_size(qtbot, session, window, monkeypatch, tmp_path):
    ct, loop = long_ct(tmp_path / "ct", 512), long_loop(tmp_path / "loop.dcm", 480, 640)
    beat = opened_and_watched(qtbot, session, monkeypatch, ct, loop)
    print(f"{beat.turns} turns of the event loop, the longest gap {1000 * beat.longest_s:.0f} ms, of work {1000 * beat.most_work_s:.0f} ms")
    session.close()
    loop.unlink()  # nearly a gigabyte
