"""What the scripted walk relies on: it waits without sleeping, and leaves its case alone."""

from __future__ import annotations

import os
import sqlite3

import pytest
from PySide6.QtCore import QEvent, Qt, QTimer
from PySide6.QtWidgets import QWidget

from app.ui.walk import Album, Drag, WalkFailed, copy_case, main, wait_until


class Pad(QWidget):
    """Remembers what the mouse did."""

    def __init__(self):
        super().__init__()
        self.events = []
        self.setMouseTracking(True)
        self.resize(200, 100)

    def event(self, event) -> bool:
        if event.type() in (QEvent.Type.MouseButtonPress, QEvent.Type.MouseMove, QEvent.Type.MouseButtonRelease):
            self.events.append((event.type(), event.position().x(), event.position().y(), event.buttons()))
            return True
        return super().event(event)


def test_that_waiting_lets_the_event_loop_run(qapp):
    seen = []
    QTimer.singleShot(30, lambda: seen.append(1))
    wait_until(lambda: bool(seen), "the timer", seconds=5)
    assert seen == [1]


def test_that_waiting_in_vain_says_what_for(qapp):
    with pytest.raises(WalkFailed, match="the moon"):
        wait_until(lambda: False, "the moon", seconds=0.1)


def test_that_a_drag_presses_moves_and_releases(qtbot):
    pad = Pad()
    qtbot.addWidget(pad)
    pad.show()
    qtbot.waitExposed(pad)
    pad.events.clear()
    Drag(pad, (10, 20)).to((50, 20), steps=4).release()
    kinds = [e[0] for e in pad.events]
    assert kinds[1] == QEvent.Type.MouseButtonPress
    assert kinds[-1] == QEvent.Type.MouseButtonRelease
    assert [e[1] for e in pad.events[2:-1]] == [20.0, 30.0, 40.0, 50.0]
    assert all(e[3] == Qt.MouseButton.LeftButton for e in pad.events[2:-1])


def test_that_pictures_are_numbered_in_order(qtbot, tmp_path):
    pad = Pad()
    qtbot.addWidget(pad)
    album = Album(tmp_path / "album")
    album.take(pad, "first")
    album.take(pad, "second")
    assert [p.name for p in album.pictures] == ["01_first.png", "02_second.png"]
    assert all(p.stat().st_size > 0 for p in album.pictures)


def test_that_the_walk_works_on_a_copy_of_the_database(tmp_path):
    case = tmp_path / "case"
    (case / "study" / "images").mkdir(parents=True)
    (case / "study" / "images" / "slice.dcm").write_bytes(b"pixels")
    (case / "demonstration.json").write_text("{}", encoding="utf-8")
    with sqlite3.connect(case / "study" / "study.sqlite") as database:
        database.execute("CREATE TABLE readings (volume_ml REAL)")
    place = tmp_path / "place"
    place.mkdir()
    copy = copy_case(case, place)
    with sqlite3.connect(copy / "study" / "study.sqlite") as database:
        database.execute("INSERT INTO readings VALUES (1.2)")
    with sqlite3.connect(case / "study" / "study.sqlite") as database:
        assert database.execute("SELECT count(*) FROM readings").fetchone() == (0,)
    assert (copy / "study" / "images" / "slice.dcm").read_bytes() == b"pixels"
    assert (copy / "demonstration.json").exists()
    assert not os.path.samefile(copy / "study" / "study.sqlite", case / "study" / "study.sqlite")


def test_that_a_bad_size_is_wrong_usage(tmp_path, capsys):
    with pytest.raises(SystemExit) as problem:
        main([str(tmp_path), "--size", "large"])
    assert problem.value.code == 2
    assert "WIDTHxHEIGHT" in capsys.readouterr().err
