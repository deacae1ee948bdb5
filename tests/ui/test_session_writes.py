"""Writes that must never be lost, and locks that never choose for the reader."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from app.jobs import JobContext
from app.study.model import ReadingState, ReadingStatus
from app.study.store import StudyStore
from app.ui.session import Session
from app.usecases.import_images import import_folder
from tests.factories import write_ellipsoid_ct
from volumetry.errors import NodusError


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A study of one subject with a CT and two nodes, and that CT's files."""
    root = tmp_path_factory.mktemp("writes")
    case = write_ellipsoid_ct(root / "ct")
    with StudyStore.create(root / "study") as store:
        import_folder(store, "S-001", "Baseline", root / "ct", JobContext())
        for label in ("N1", "N2"):
            store.add_node("S-001", label, "left", "III")
    return root, case


@pytest.fixture
def study(template, tmp_path):
    """A copy of that study to work on, and the case."""
    root, case = template
    shutil.copytree(root / "study", tmp_path / "study")
    return tmp_path / "study", case


def idle(qtbot, session) -> None:
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=20000)


@pytest.fixture
def session(qtbot, study):
    folder, _case = study
    session = Session()
    session.heard = []
    session.notice.connect(lambda severity, text: session.heard.append((severity, text)))
    session.open_study(folder)
    qtbot.waitUntil(lambda: session.image is not None, timeout=20000)
    idle(qtbot, session)
    yield session
    session.close()


def draw(session, label: str, radius_mm: float = 4.0) -> str:
    """A ball in the middle of the picture for the node of this label."""
    node_id = next(i for i, s in session.nodes.items() if s.node.label == label)
    session.select_node(node_id)
    g = session.image.geometry
    session.set_brush(radius_mm)
    session.begin_stroke("Brush")
    session.dab(g.index_to_world((np.array(g.shape[::-1]) - 1) / 2), True, None)
    session.end_stroke()
    return node_id


def stored(study) -> dict:
    with StudyStore.open(study[0]) as store:
        names = {n.node_id: n.label for n in store.nodes()}
        return {names[r.node_id]: r for r in store.readings()}


def test_that_two_locks_in_a_row_both_land(qtbot, session, study):
    first, second = draw(session, "N1"), draw(session, "N2")
    session.lock_reading(first, "A. Reader", "confirmed")
    session.lock_reading(second, "A. Reader", "confirmed")
    idle(qtbot, session)
    assert {label: r.state for label, r in stored(study).items()} == {"N1": ReadingState.LOCKED, "N2": ReadingState.LOCKED}
    assert session.nodes[first].reading.state == ReadingState.LOCKED


def test_that_closing_right_after_a_lock_keeps_the_lock(qtbot, session, study):
    node_id = draw(session, "N1")
    session.lock_reading(node_id, "A. Reader", "confirmed")
    assert session.close() == []
    assert stored(study)["N1"].state == ReadingState.LOCKED


def test_that_a_node_drawn_after_it_was_called_gone_is_not_locked_as_gone(qtbot, session, study):
    node_id = next(iter(session.nodes))
    session.set_reading_status(node_id, "disappeared_assessed", "nothing seen")
    idle(qtbot, session)
    draw(session, session.nodes[node_id].node.label)
    session.lock_reading(node_id, "A. Reader", "confirmed")
    idle(qtbot, session)
    assert stored(study)[session.nodes[node_id].node.label].state == ReadingState.MEASURED
    assert any("has an outline" in text for _severity, text in session.heard)


def test_that_a_status_alone_can_be_locked(qtbot, session, study):
    node_id = next(iter(session.nodes))
    session.set_reading_status(node_id, "disappeared_assessed", "nothing seen")
    idle(qtbot, session)
    session.lock_reading(node_id, "A. Reader", "confirmed")
    idle(qtbot, session)
    reading = stored(study)[session.nodes[node_id].node.label]
    assert (reading.state, reading.status, reading.volume_ml) == (ReadingState.LOCKED, ReadingStatus.DISAPPEARED_ASSESSED, 0.0)


def test_that_every_quick_press_of_grow_counts(qtbot, session):
    node_id = draw(session, "N1")
    idle(qtbot, session)
    counts = [int(session.nodes[node_id].draft.array.sum())]
    for _ in range(2):
        session.edit_mask("grow")
        idle(qtbot, session)
        counts.append(int(session.nodes[node_id].draft.array.sum()))
    session.undo()
    session.undo()
    session.edit_mask("grow")
    session.edit_mask("grow")
    qtbot.waitUntil(lambda: not session.is_drawing, timeout=20000)
    idle(qtbot, session)
    assert counts[0] < counts[1] < counts[2] == int(session.nodes[node_id].draft.array.sum())


def test_that_an_outline_the_disk_refused_is_kept_and_written_later(qtbot, session, study, monkeypatch):
    def full(*_args, **_kwargs):
        raise NodusError("The disk is full.", code="study_write_failed")

    with monkeypatch.context() as patch:
        patch.setattr(session.study, "save_draft_mask", full)
        node_id = draw(session, "N1")
        idle(qtbot, session)
        assert any(severity == "serious" and "disk is full" in text for severity, text in session.heard)
        assert [p.message for p in session.close()] == ["The disk is full."]
    assert session.study is not None  # still open, the outline in memory
    assert session.close() == []
    with StudyStore.open(study[0]) as store:
        visit = store.visits()[0]
        assert store.load_draft_mask(node_id, visit.visit_id, reader="Reader A") is not None


def test_that_a_node_of_unknown_side_waits_for_it(qtbot, session, study):
    session.current_node_id = None
    asked = []
    session.node_details_needed.connect(asked.append)
    g = session.image.geometry
    session.begin_stroke("Brush")
    session.dab(g.index_to_world((np.array(g.shape[::-1]) - 1) / 2), True, None)
    session.end_stroke()
    made = session.current_node_id
    assert asked == [made]
    assert session.lockable(made)[0] is None
    idle(qtbot, session)
    session.set_node(made, "right", "IV", "stated by the reader")
    idle(qtbot, session)
    assert session.lockable(made) == ("outline", "")


def test_that_two_imports_both_arrive(qtbot, session, study, tmp_path):
    _folder, case = study
    session.import_images(case.folder, "S-001", "Day 30")
    session.import_images(case.folder, "S-001", "Month 3")
    idle(qtbot, session)
    with StudyStore.open(study[0]) as store:
        assert {v.name: len(store.series(v.visit_id)) for v in store.visits("S-001")} == {"Baseline": 1, "Day 30": 1, "Month 3": 1}


def test_that_a_lock_does_not_change_what_was_seen(qtbot, session, study):
    node_id = draw(session, "N1", radius_mm=2.0)
    idle(qtbot, session)
    session.set_reading_status(node_id, "too_small", "below what can be measured")
    idle(qtbot, session)
    session.lock_reading(node_id, "A. Reader", "confirmed")
    idle(qtbot, session)
    reading = stored(study)["N1"]
    assert (reading.state, reading.status, reading.status_reason) == (ReadingState.LOCKED, ReadingStatus.TOO_SMALL, "below what can be measured")
    assert reading.volume_ml > 0


def test_that_numbers_being_worked_out_are_known(qtbot, session):
    node_id = draw(session, "N1")
    assert session.is_working_on(node_id)
    idle(qtbot, session)
    assert not session.is_working_on(node_id)
