"""Undo across a reopening, anchor points and live numbers, as the window uses them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.jobs import JobContext
from app.study.model import ReadingState
from app.study.store import StudyStore
from app.ui.session import Session
from app.usecases.import_images import import_folder
from app.usecases.mask_draft import fingerprint, unpack_draft
from app.usecases.readings import pack_mask
from tests.factories import ellipsoid_image, write_ellipsoid_ct
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.measure import warm_up
from volumetry.outline_origin import OutlineOrigin

CENTRE = np.array((12.3, -8.1, 105.2))
WAIT_MS = 20_000
READER = "Reader A"
CARRIED = Finding("propagated", "This outline was carried over from another visit: check it slice by slice.", "warning")


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A study of one CT at two visits with two nodes; N1 is outlined at the first."""
    root = tmp_path_factory.mktemp("undo")
    warm_up()  # kernels that were never compiled on this machine take longer than a test waits
    write_ellipsoid_ct(root / "ct", semi_axes_mm=(8.0, 6.0, 5.0))
    with StudyStore.create(root / "study") as store:
        for visit in ("Baseline", "Day 30"):
            import_folder(store, "S-001", visit, root / "ct", JobContext())
        for label in ("N1", "N2"):
            store.add_node("S-001", label, "left", "II", seed_mm=tuple(CENTRE))
        truth = replace(ellipsoid_image().truth, coverage_volume_ml=ellipsoid_image().volume_ml)
        store.save_draft_mask(store.nodes()[0].node_id, store.visits("S-001")[0].visit_id, pack_mask(truth), reader=READER)
    return root / "study"


@pytest.fixture
def study(template, tmp_path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "study"))


class Windows:
    """Sessions on one study, one after the other; what each said aloud is in ``told``."""

    def __init__(self, qtbot, folder: Path):
        self.qtbot, self.folder, self.made, self.told = qtbot, folder, [], []

    def open(self) -> Session:
        session = Session()
        session.notice.connect(lambda severity, text: self.told.append((severity, text)))
        session.jobs.failed.connect(lambda error, text: self.told.append(("bug", text)))
        self.made.append(session)
        session.open_study(self.folder)
        self.qtbot.waitUntil(lambda: session.image is not None, timeout=WAIT_MS)
        self.idle(session)
        return session

    def idle(self, session) -> None:
        self.qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=WAIT_MS)

    def again(self, session) -> Session:
        assert session.close() == []
        return self.open()


@pytest.fixture
def windows(qtbot, styled_qapp, study):
    made = Windows(qtbot, study)
    yield made
    for session in made.made:
        session.close()
        session.deleteLater()
    assert [text for severity, text in made.told if severity == "bug"] == []


def at(x_mm: float, y_mm: float, z_mm: float) -> tuple[float, float, float]:
    """A point by its distance from the node's middle."""
    return tuple(float(v) for v in CENTRE + np.array([x_mm, y_mm, z_mm]))


def choose(session, label: str):
    session.select_node(next(i for i, s in session.nodes.items() if s.node.label == label))
    return session.current


def paint(session, *offset_mm, add: bool = True) -> np.ndarray:
    """One stroke on the current node; returns the outline after it."""
    session.set_brush(2.5, ball=True)
    session.begin_stroke("Brush" if add else "Eraser")
    session.dab(at(*offset_mm), add, None)
    session.end_stroke()
    return session.current.draft.array.copy()


def edit(windows, session, operation: str) -> np.ndarray:
    before = session.undo_stack.count()
    session.edit_mask(operation)
    windows.qtbot.waitUntil(lambda: session.undo_stack.count() > before, timeout=WAIT_MS)
    return session.current.draft.array.copy()


def arrays(session) -> dict[str, np.ndarray]:
    return {s.node.label: s.draft.array.copy() for s in session.nodes.values() if s.draft is not None and not s.draft.is_empty}


def same(a: dict, b: dict) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)


# ---- across a reopening ------------------------------------------------------------------------------


@pytest.mark.parametrize("away", ["close", "visit"])
def test_that_steps_are_undone_and_redone_after_coming_back(windows, away):
    session = windows.open()
    choose(session, "N1")
    states = [session.current.draft.array.copy(), paint(session, 9, 0, 0), edit(windows, session, "grow"), paint(session, 0, 0, 0, add=False)]
    if away == "close":
        session = windows.again(session)
    else:
        session.open_visit(session.visits[1].visit_id)
        windows.idle(session)
        assert session.undo_stack.count() == 0
        session.open_visit(session.visits[0].visit_id)
        windows.idle(session)
    choose(session, "N1")
    stack = session.undo_stack
    texts = [stack.text(n) for n in range(stack.count())]
    assert (texts[0], texts[1][:5], texts[2]) == ("Brush (N1)", "Grow ", "Eraser (N1)")
    for state in reversed(states[:-1]):
        stack.undo()
        assert np.array_equal(session.current.draft.array, state)
    assert not stack.canUndo()
    for state in states[1:]:
        stack.redo()
        assert np.array_equal(session.current.draft.array, state)


def test_that_steps_of_two_nodes_come_back_in_the_order_they_were_done_in(windows):
    session = windows.open()
    states = [arrays(session)]
    for label, offset in (("N1", 9), ("N2", 0), ("N1", 10), ("N2", 2), ("N2", 4)):
        choose(session, label)
        paint(session, offset, 0, 0)
        states.append(arrays(session))
    texts = [session.undo_stack.text(n) for n in range(5)]
    session = windows.again(session)
    assert [session.undo_stack.text(n) for n in range(session.undo_stack.count())] == texts
    for state in reversed(states[1:]):
        assert same(arrays(session), state)
        session.undo_stack.undo()
    assert same(arrays(session), states[0])


def test_that_what_was_taken_back_can_be_done_again_after_a_reopening(windows):
    session = windows.open()
    choose(session, "N1")
    first, second = paint(session, 9, 0, 0), paint(session, 10, 0, 0)
    session.undo_stack.undo()
    windows.idle(session)
    session = windows.again(session)
    assert np.array_equal(arrays(session)["N1"], first)
    assert (session.undo_stack.undoText(), session.undo_stack.redoText()) == ("Brush (N1)", "Brush (N1)")
    session.undo_stack.redo()
    assert np.array_equal(arrays(session)["N1"], second)
    session.undo_stack.undo()
    session.undo_stack.undo()
    windows.idle(session)
    session = windows.again(session)  # with every step taken back
    assert not session.undo_stack.canUndo()
    session.undo_stack.redo()
    assert np.array_equal(arrays(session)["N1"], first)


def test_that_a_step_done_after_an_undo_on_another_node_leaves_nothing_to_redo(windows):
    session = windows.open()
    choose(session, "N1")
    paint(session, 9, 0, 0)
    session.undo_stack.undo()
    choose(session, "N2")
    paint(session, 0, 0, 0)
    assert not session.undo_stack.canRedo()
    session = windows.again(session)
    assert not session.undo_stack.canRedo()
    assert session.undo_stack.undoText() == "Brush (N2)"


def test_that_work_goes_on_after_a_reopening_and_a_second_one(windows):
    session = windows.open()
    choose(session, "N1")
    states = [arrays(session)["N1"], paint(session, 9, 0, 0)]
    for n in range(2):
        session = windows.again(session)
        choose(session, "N1")
        states.append(paint(session, 10 + n, 0, 0))
    session = windows.again(session)
    for state in reversed(states[:-1]):
        session.undo_stack.undo()
        assert np.array_equal(arrays(session)["N1"], state)
    assert not session.undo_stack.canUndo()


def test_that_a_crash_keeps_the_steps_that_were_saved(windows, tmp_path):
    session = windows.open()
    choose(session, "N1")
    before, after = arrays(session)["N1"], paint(session, 9, 0, 0)
    windows.idle(session)
    windows.folder = Path(shutil.copytree(windows.folder, tmp_path / "as the crash left it"))
    session = windows.open()
    assert np.array_equal(arrays(session)["N1"], after)
    session.undo_stack.undo()
    assert np.array_equal(arrays(session)["N1"], before)


def test_that_a_write_refused_by_the_disk_loses_no_step(windows, monkeypatch):
    session = windows.open()
    choose(session, "N1")

    def full(*_args, **_kwargs):
        raise NodusError("The disk is full.", code="study_write_failed")

    states = [arrays(session)["N1"], paint(session, 9, 0, 0)]
    windows.idle(session)
    with monkeypatch.context() as patch:
        patch.setattr(session.study, "save_draft_mask", full)
        states.append(paint(session, 10, 0, 0))
        states.append(paint(session, 11, 0, 0))
        windows.idle(session)
        session.open_visit(session.visits[1].visit_id)  # kept in memory meanwhile
        windows.idle(session)
        session.open_visit(session.visits[0].visit_id)
        windows.idle(session)
        assert np.array_equal(arrays(session)["N1"], states[-1])
        session.undo_stack.undo()
        session.undo_stack.redo()
        windows.idle(session)
    assert any(severity == "serious" for severity, _ in windows.told)
    session = windows.again(session)
    for state in reversed(states[:-1]):
        session.undo_stack.undo()
        assert np.array_equal(arrays(session)["N1"], state)


def test_that_what_was_locked_is_not_undone_in_the_next_session_either(windows):
    session = windows.open()
    choose(session, "N1")
    paint(session, 9, 0, 0)
    windows.idle(session)
    session.lock_reading(session.current_node_id, "Dr Reader", "I confirm this measurement")
    windows.qtbot.waitUntil(lambda: session.current.reading is not None and session.current.reading.state == ReadingState.LOCKED, timeout=WAIT_MS)
    windows.idle(session)
    locked = arrays(session)["N1"]
    session = windows.again(session)
    assert session.undo_stack.count() == 0
    choose(session, "N1")
    session.correct_reading(session.current_node_id, "outlined again")
    windows.qtbot.waitUntil(lambda: session.current.reading.state != ReadingState.LOCKED, timeout=WAIT_MS)
    windows.idle(session)
    corrected = paint(session, 10, 0, 0)
    windows.idle(session)
    session = windows.again(session)
    assert session.undo_stack.count() == 1
    assert np.array_equal(arrays(session)["N1"], corrected)
    session.undo_stack.undo()
    assert np.array_equal(arrays(session)["N1"], locked)
    assert not session.undo_stack.canUndo()


def test_that_steps_of_another_outline_are_told_and_not_used(windows):
    session = windows.open()
    choose(session, "N1")
    paint(session, 9, 0, 0)
    windows.idle(session)
    node_id, visit_id, history = session.current_node_id, session.visit.visit_id, session.current.draft.history
    other = session.current.draft.as_mask()
    array = other.array.copy()
    array[0, 0, 0] = True
    session.close()
    with StudyStore.open(windows.folder) as store:
        store.save_draft_mask(node_id, visit_id, pack_mask(replace(other, array=array), undo=history.to_bytes(fingerprint(other))), reader=READER)
    session = windows.open()
    assert np.array_equal(arrays(session)["N1"], array)
    assert session.undo_stack.count() == 0
    assert any("cannot be undone any more" in text for _, text in windows.told)


def test_that_one_outline_that_cannot_be_read_does_not_keep_the_others_away(windows):
    session = windows.open()
    choose(session, "N2")
    drawn = paint(session, 0, 0, 0)
    n1, visit_id = next(i for i, s in session.nodes.items() if s.node.label == "N1"), session.visit.visit_id
    session.close()
    with StudyStore.open(windows.folder) as store:
        store.save_draft_mask(n1, visit_id, b"no mask", reader=READER)
    session = windows.open()
    assert same(arrays(session), {"N2": drawn})
    assert any(severity == "serious" and "outline of N1" in text for severity, text in windows.told)


def test_that_nothing_is_drawn_over_an_outline_that_is_still_being_loaded(windows, monkeypatch):
    session = windows.open()
    choose(session, "N1")
    monkeypatch.setattr(session.jobs, "is_busy", lambda key=None: key == "outlines")
    session.begin_stroke("Brush")
    assert session._stroke is None
    assert any("still being loaded" in text for _, text in windows.told)


# ---- what was noticed ------------------------------------------------------------------------------


@pytest.mark.parametrize("allowed", [True, False])
def test_that_a_copied_outline_repaired_reopened_and_locked_says_so_in_its_reading(windows, allowed, monkeypatch):
    session = windows.open()
    if allowed:
        monkeypatch.setattr("app.usecases.readings.check_propagation", lambda protocol, role: None)
    state = choose(session, "N1")
    mask = replace(state.draft.as_mask(), findings=(CARRIED,), coverage_volume_ml=None, origin=OutlineOrigin("propagated"))
    session._did(session.current_node_id, state.draft.replace(mask, "Copy outline"))
    paint(session, 9, 0, 0)
    session = windows.again(session)
    choose(session, "N1")
    paint(session, 0, 0, 0, add=False)
    windows.idle(session)
    session.lock_reading(session.current_node_id, "Dr Reader", "I confirm this measurement")
    windows.idle(session)
    if allowed:
        reading = session.current.reading
        assert reading.state == ReadingState.LOCKED
        assert reading.measurement["propagated"] is True
        assert "propagated" in {w["code"] for w in reading.warnings}
    else:
        assert session.current.reading is None
        assert any("start from another visit's outline" in text for _, text in windows.told)


# ---- anchor points ---------------------------------------------------------------------------------


def outline_by_click(windows, session):
    choose(session, "N2")
    session.commit_segmentation(CENTRE, 9.0)
    windows.qtbot.waitUntil(lambda: session.current.draft is not None, timeout=WAIT_MS)
    windows.idle(session)
    return session.current


def test_that_points_are_added_moved_and_removed_each_as_one_step(windows):
    session = windows.open()
    state = outline_by_click(windows, session)
    plain = state.draft.array.copy()
    a, b = at(10.0, 0, 0), at(0, 8.5, 0)
    for act in (lambda: session.add_anchor(a), lambda: session.move_anchor(0, b), lambda: session.remove_anchor(0)):
        act()
        windows.idle(session)
    texts = [session.undo_stack.text(n) for n in range(session.undo_stack.count())]
    assert texts == [f"{what} (N2)" for what in ("Outline by click", "Pull by a point", "Move a point", "Remove a point")]
    assert state.click.anchors_mm == ()
    assert np.array_equal(state.draft.array, plain)
    session.undo_stack.undo()
    assert state.click.anchors_mm == (b,)
    session.undo_stack.undo()
    assert state.click.anchors_mm == (a,)
    assert state.draft.array.sum() > plain.sum()


def test_that_every_one_of_several_quick_points_counts(windows):
    session = windows.open()
    state = outline_by_click(windows, session)
    a, b, c = at(10.0, 0, 0), at(0, 8.5, 0), at(0, -8.5, 0)
    session.add_anchor(a)
    session.add_anchor(b)
    session.add_anchor(c)
    windows.idle(session)
    session.remove_anchor(0)
    session.move_anchor(1, at(0, 8.0, 0))  # by what is on screen: b
    windows.idle(session)
    assert state.click.anchors_mm == (at(0, 8.0, 0), c)
    assert session.undo_stack.count() == 6


def test_that_a_point_set_while_the_click_is_worked_out_does_not_cost_the_click(windows):
    session = windows.open()
    state = outline_by_click(windows, session)
    session.commit_segmentation(CENTRE, 8.0)
    session.add_anchor(at(9.0, 0, 0))
    windows.idle(session)
    assert (state.click.radius_mm, state.click.anchors_mm) == (8.0, (at(9.0, 0, 0),))
    assert session.undo_stack.count() == 3


def test_that_points_go_on_pulling_after_a_reopening(windows):
    session = windows.open()
    outline_by_click(windows, session)
    a, b = at(10.0, 0, 0), at(0, 8.5, 0)
    session.add_anchor(a)
    windows.idle(session)
    session = windows.again(session)
    state = choose(session, "N2")
    assert state.click.anchors_mm == (a,)
    session.add_anchor(b)
    windows.idle(session)
    assert state.click.anchors_mm == (a, b)
    assert session.undo_stack.undoText() == "Pull by a point (N2)"


def test_that_a_point_too_far_away_is_told_and_not_kept(windows):
    session = windows.open()
    state = outline_by_click(windows, session)
    session.add_anchor(at(40.0, 0, 0))
    windows.idle(session)
    assert state.click.anchors_mm == ()
    assert session.undo_stack.count() == 1
    assert any("too far" in text for _, text in windows.told)


def test_that_a_repair_by_hand_meanwhile_is_not_overwritten_by_a_point(windows):
    session = windows.open()
    state = outline_by_click(windows, session)
    session.add_anchor(at(10.0, 0, 0))
    painted = paint(session, -12, 0, 0)
    windows.idle(session)
    assert np.array_equal(state.draft.array, painted)
    assert any("changed meanwhile" in text for _, text in windows.told)


# ---- live numbers ----------------------------------------------------------------------------------


def test_that_numbers_follow_a_stroke_while_it_runs_and_catch_up_when_the_hand_rests(windows):
    session = windows.open()
    state = choose(session, "N1")
    shown = []
    session.measurement_changed.connect(lambda _node: shown.append(state.measurement.voxel_count))
    session.set_brush(2.5, ball=True)
    session.begin_stroke("Brush")
    for n in range(12):  # faster than numbers can be worked out
        session.dab(at(6.0 + n, 0, 0), True, None)
    windows.qtbot.waitUntil(lambda: bool(shown) and shown[-1] == int(state.draft.array.sum()), timeout=WAIT_MS)
    assert session._stroke is not None
    for n in range(3):
        session.dab(at(0, 8.0 + n, 0), True, None)
        windows.qtbot.waitUntil(lambda: shown[-1] == int(state.draft.array.sum()), timeout=WAIT_MS)
    live = (state.measurement.voxel_volume_ml, state.measurement.centroid_mm, state.measurement.long_axis_mm, state.measurement.first_slice_index, state.measurement.volume_interval_ml)
    session.end_stroke()
    windows.idle(session)
    final = (state.measurement.voxel_volume_ml, state.measurement.centroid_mm, state.measurement.long_axis_mm, state.measurement.first_slice_index, state.measurement.volume_interval_ml)
    for a, b in zip(live, final, strict=True):
        assert a == pytest.approx(b)


def test_that_an_outline_erased_whole_shows_no_old_number(windows):
    session = windows.open()
    state = choose(session, "N1")
    edit(windows, session, "clear")
    windows.idle(session)
    assert state.measurement is None


def test_that_what_is_on_disk_is_what_is_on_screen_with_its_steps(windows):
    session = windows.open()
    choose(session, "N1")
    paint(session, 9, 0, 0)
    windows.idle(session)
    kept, trouble = unpack_draft(session.study.load_draft_mask(session.current_node_id, session.visit.visit_id, reader=READER))
    assert trouble is None
    assert np.array_equal(kept.array, session.current.draft.array)
    assert [s.text for s in kept.history.steps] == ["Brush"]
