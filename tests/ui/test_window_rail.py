"""The rail: visits with the state of their readings, series, thumbnails."""

from __future__ import annotations

import numpy as np
import pytest

from app.study.model import SeriesRecord
from app.ui.rail import ID, Rail
from app.usecases.thumbnail import letterbox
from tests.ui import panel_cases


@pytest.fixture
def rail(qtbot, session):
    made = Rail(session)
    qtbot.addWidget(made)
    made.show()
    return made


def rows(widget) -> list[str]:
    return [widget.item(n).text() for n in range(widget.count())]


def test_that_an_empty_rail_says_how_to_begin(rail):
    assert rail.empty.isVisible()
    assert not rail.visits.isVisible()


def test_that_visits_stand_in_order_with_their_state(rail, session):
    panel_cases.fill(session)
    session.study = None  # no files on disk: thumbnails are not asked for
    session.study_changed.emit()
    assert [text.split("   ")[0] for text in rows(rail.visits)] == list(panel_cases.VISITS)
    assert rail.visits.currentItem().data(ID) == session.visit.visit_id
    locked = {r.node_id for r in session.subject_readings if r.visit_id == "v1" and str(r.state) == "locked"}
    mark, meaning = rail.visit_state("v1")
    assert mark == f"{len(locked)}/{len(session.subject_nodes)}"
    assert "locked" in meaning


def test_that_choosing_a_visit_or_series_opens_it(rail, session, monkeypatch):
    panel_cases.fill(session)
    session.study = None
    session.series = [SeriesRecord("s1", "v1", "1.2", "CT", "volume", "Neck", "images/a", ("1",)), SeriesRecord("s2", "v1", "1.3", "US", "cine", "Node II", "images/b", ("1",))]
    session.study_changed.emit()
    opened = []
    monkeypatch.setattr(session, "open_visit", lambda v: opened.append(v))
    monkeypatch.setattr(session, "open_series", lambda s: opened.append(s))
    rail.visits.itemClicked.emit(rail.visits.item(3))
    rail.series.itemClicked.emit(rail.series.item(1))
    assert opened == ["v3", "s2"]
    assert rows(rail.series) == ["CT · Neck", "US · Node II"]


def test_that_a_thumbnail_keeps_the_shape_and_the_mean_of_the_picture():
    picture = np.zeros((100, 400))
    picture[:, 200:] = 200.0
    small = letterbox(picture, (40, 80))
    assert small.shape == (40, 80)
    assert (small[:10] == 0).all()
    assert (small[-10:] == 0).all()
    assert small[20, 10] == 0
    assert small[20, 70] == 200
    assert letterbox(picture.T, (40, 80)).mean() == pytest.approx(200 / 2 * 10 / 80, abs=3)


def test_that_a_stored_series_has_a_thumbnail(shared_data):
    from types import SimpleNamespace

    from app.usecases.thumbnail import thumbnail

    folder = shared_data / "ct_neck"
    files = tuple(sorted(p.name for p in folder.glob("*.dcm")))
    record = SeriesRecord("s1", "v1", "1.2", "CT", "volume", "Neck", "x", files)
    small = thumbnail(SimpleNamespace(series_folder=lambda _: folder), record, (68, 88))
    assert small.shape == (68, 88)
    assert small.max() > 200
    assert 0.02 < (small > 60).mean() < 0.5  # a neck in the middle of much air
