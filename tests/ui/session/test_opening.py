"""What opens, and what must not stay of what was there before."""

from __future__ import annotations

import pytest

from app.study.store import StudyStore
from tests.ui.session.hands import CENTRE, RADIUS_MM, WAIT_MS, settle


def test_that_opening_a_study_brings_its_first_visit_its_volume_and_its_nodes(opened):
    assert (opened.subject_id, opened.visit.name) == ("S-001", "Baseline")
    assert opened.image.source.modality == "CT"
    assert [s.node.label for s in opened.nodes.values()] == ["N1"]
    assert opened.crosshair_mm == pytest.approx(CENTRE)  # at the node that is followed


def test_that_a_folder_without_a_study_is_refused_with_a_sentence(qtbot, session, told, tmp_path):
    session.open_study(tmp_path)
    settle(qtbot, session)
    assert told.has("There is no study in this folder.")
    assert session.study is None


def test_that_another_visit_never_shows_the_picture_of_the_one_before(qtbot, outlined):
    first = outlined.image
    outlined.open_visit(outlined.visits[1].visit_id)
    assert outlined.image is None  # at once, before anything was read
    assert outlined.current.draft is None
    assert outlined.current.measurement is None
    qtbot.waitUntil(lambda: outlined.image is not None, timeout=WAIT_MS)
    assert outlined.image is not first
    assert outlined.visit.name == "Day 30"


def test_that_an_outline_still_being_drawn_is_kept_at_its_own_visit_and_nowhere_else(qtbot, opened):
    here, other = opened.visit.visit_id, opened.visits[1].visit_id
    opened.commit_segmentation(CENTRE, RADIUS_MM)
    opened.open_visit(other)
    qtbot.waitUntil(lambda: opened.visit.visit_id == other and opened.image is not None, timeout=WAIT_MS)
    settle(qtbot, opened)
    assert opened.current.draft is None
    assert opened.study.load_draft_mask(opened.current_node_id, other, reader=opened.reader) is None
    assert opened.study.load_draft_mask(opened.current_node_id, here, reader=opened.reader) is not None


def test_that_a_still_takes_the_place_of_the_volume_and_the_volume_comes_back(qtbot, opened):
    opened.open_visit(opened.visits[1].visit_id)
    settle(qtbot, opened)
    still = next(s for s in opened.series if s.kind == "still")
    opened.open_series(still.series_id)
    qtbot.waitUntil(lambda: opened.picture is not None, timeout=WAIT_MS)
    opened.add_caliper(((100.0, 100.0), (200.0, 100.0)))
    assert opened.calipers[-1].length_mm == pytest.approx(10.0)
    volume = next(s for s in opened.series if s.kind == "volume")
    opened.open_series(volume.series_id)
    qtbot.waitUntil(lambda: opened.picture is None and opened.image is not None, timeout=WAIT_MS)
    assert opened.calipers == []  # a caliper of a still is not drawn on the volume


def test_that_a_caliper_where_the_picture_has_no_scale_is_told_and_has_no_length(qtbot, opened, told):
    opened.open_visit(opened.visits[1].visit_id)
    settle(qtbot, opened)
    opened.open_series(next(s for s in opened.series if s.kind == "still").series_id)
    qtbot.waitUntil(lambda: opened.picture is not None, timeout=WAIT_MS)
    opened.add_caliper(((5.0, 5.0), (20.0, 5.0)))
    assert opened.calipers[-1].length_mm is None
    assert opened.calipers[-1].refusal
    assert told.has(opened.calipers[-1].refusal)


def test_that_a_study_closed_and_another_opened_leaves_nothing_of_the_first(qtbot, outlined, tmp_path):
    with StudyStore.create(tmp_path / "empty"):
        pass
    outlined.open_study(tmp_path / "empty")
    qtbot.waitUntil(lambda: outlined.subject_id is None, timeout=WAIT_MS)
    settle(qtbot, outlined)
    assert outlined.image is None
    assert outlined.picture is None
    assert outlined.visit is None
    assert outlined.nodes == {}
    assert outlined.series == []
    assert outlined.plan.needles == ()
