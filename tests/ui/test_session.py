"""The session without any widget: what opens, is edited, kept, locked, planned; and what must never happen."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from app.demo.dicom_files import Occasion
from app.jobs import JobContext
from app.study.model import ReadingState
from app.study.store import StudyStore
from app.ui.session import Session
from app.ui.session_drafts import UnsavedDraft
from app.usecases.import_images import import_folder
from app.usecases.plan import NeedleDraft
from app.usecases.readings import pack_mask, unpack_mask
from tests.factories import ellipsoid_image, write_ellipsoid_ct, write_ultrasound_still

CENTRE = (12.3, -8.1, 105.2)
RADIUS_MM = 9.0
WAIT_MS = 20_000
READER = "Reader A"


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    """A study of one subject: a CT with one node at two visits, and a still at the second."""
    root = tmp_path_factory.mktemp("session")
    for seed, (visit, day, axes) in enumerate((("Baseline", date(2025, 1, 13), (8.0, 6.0, 5.0)), ("Day 30", date(2025, 2, 14), (6.0, 5.0, 4.0)))):
        folder = root / "dicom" / visit.replace(" ", "_")
        write_ellipsoid_ct(folder / "ct", occasion=Occasion(seed + 1, visit, day), semi_axes_mm=axes)
        if seed:
            (folder / "us").mkdir()
            write_ultrasound_still(folder / "us" / "still.dcm", occasion=Occasion(seed + 1, visit, day))
    with StudyStore.create(root / "study") as store:
        for visit in ("Baseline", "Day 30"):
            import_folder(store, "S-001", visit, root / "dicom" / visit.replace(" ", "_"), JobContext())
        store.add_node("S-001", "N1", "left", "II", seed_mm=CENTRE)
    shutil.copytree(root / "study", root / "outlined")
    with StudyStore.open(root / "outlined") as store:
        truth = replace(ellipsoid_image().truth, coverage_volume_ml=ellipsoid_image().volume_ml)
        store.save_draft_mask(store.nodes()[0].node_id, store.visits("S-001")[0].visit_id, pack_mask(truth), reader=READER)
    return root


@pytest.fixture
def study(template, tmp_path) -> Path:
    """A copy of that study to work on."""
    return Path(shutil.copytree(template / "study", tmp_path / "study"))


@pytest.fixture
def outlined_study(template, tmp_path) -> Path:
    """A copy in which somebody outlined the node and went away without saving a reading."""
    return Path(shutil.copytree(template / "outlined", tmp_path / "outlined"))


class Told:
    """What a session said aloud."""

    def __init__(self, session: Session):
        self.lines: list[tuple[str, str]] = []
        session.notice.connect(lambda severity, text: self.lines.append((severity, text)))
        session.jobs.failed.connect(lambda error, text: self.lines.append(("bug", text)))

    def has(self, words: str) -> bool:
        return any(words in text for _, text in self.lines)


@pytest.fixture
def told(session) -> Told:
    made = Told(session)
    yield made
    assert [text for severity, text in made.lines if severity == "bug"] == []


def settle(qtbot, session) -> None:
    """Wait until every job has ended and its answer was taken."""
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=WAIT_MS)


@pytest.fixture
def opened(qtbot, session, told, study) -> Session:
    """The session with the study open on its first visit."""
    session.open_study(study)
    qtbot.waitUntil(lambda: session.image is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    yield session
    session.close()


@pytest.fixture
def outlined(qtbot, session, told, outlined_study) -> Session:
    """The session with the outlined study open."""
    session.open_study(outlined_study)
    qtbot.waitUntil(lambda: bool(session.nodes) and session.current.measurement is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    yield session
    session.close()


@pytest.fixture
def clicked(qtbot, opened) -> Session:
    """The session with the node outlined by one click just now."""
    opened.commit_segmentation(CENTRE, RADIUS_MM)
    qtbot.waitUntil(lambda: opened.current.measurement is not None, timeout=WAIT_MS)
    settle(qtbot, opened)
    return opened


def array_of(session) -> np.ndarray:
    return session.current.draft.array.copy()


def lock(qtbot, session, **more) -> None:
    session.lock_reading(session.current_node_id, "Dr Reader", "I confirm this measurement", **more)
    qtbot.waitUntil(lambda: session.current.reading is not None and session.current.reading.state == ReadingState.LOCKED, timeout=WAIT_MS)
    settle(qtbot, session)


def two_needles(session, spacing_mm: float = 12.0) -> None:
    plan = session.plan
    for n, x in enumerate((-spacing_mm / 2, spacing_mm / 2)):
        tip = (CENTRE[0] + x, CENTRE[1], CENTRE[2] - 8.0)
        plan = plan.with_needle(NeedleDraft(f"E{n + 1}", tip, (tip[0], tip[1], tip[2] + 50.0), 16.0))
    session.set_plan(plan, "Two needles")


def solved(qtbot, session) -> None:
    session.solve()
    qtbot.waitUntil(lambda: session.assessment is not None, timeout=WAIT_MS)
    settle(qtbot, session)


# ---- opening ---------------------------------------------------------------------------------


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


# ---- outlining -------------------------------------------------------------------------------


def test_that_one_click_outlines_and_measures_the_node(clicked):
    truth = ellipsoid_image().volume_ml
    assert clicked.current.measurement.voxel_volume_ml == pytest.approx(truth, rel=0.06)
    assert clicked.undo_stack.count() == 1


def test_that_undo_and_redo_of_a_click_are_exact(qtbot, clicked):
    drawn, surface = array_of(clicked), clicked.current.outline_surface
    clicked.undo_stack.undo()
    assert not clicked.current.draft.array.any()
    assert clicked.current.outline_surface is None
    assert clicked.current.measurement is None
    clicked.undo_stack.redo()
    assert np.array_equal(clicked.current.draft.array, drawn)
    assert clicked.current.outline_surface is surface
    qtbot.waitUntil(lambda: clicked.current.measurement is not None, timeout=WAIT_MS)


def test_that_a_brush_stroke_of_many_dabs_is_one_step(qtbot, outlined):
    before, coverage = array_of(outlined), outlined.current.draft.coverage_volume_ml
    steps = outlined.undo_stack.count()
    outlined.set_brush(3.0, ball=True)
    outlined.begin_stroke("Brush")
    for n in range(6):
        outlined.dab((CENTRE[0] + 6.0 + n, CENTRE[1], CENTRE[2]), True, None)
    outlined.end_stroke()
    after = array_of(outlined)
    assert outlined.undo_stack.count() == steps + 1
    assert after.sum() > before.sum()
    assert outlined.current.draft.coverage_volume_ml is None  # the outline's own volume no longer holds
    outlined.undo_stack.undo()
    assert np.array_equal(outlined.current.draft.array, before)
    assert outlined.current.draft.coverage_volume_ml == coverage
    outlined.undo_stack.redo()
    assert np.array_equal(outlined.current.draft.array, after)


def test_that_a_stroke_that_changes_nothing_is_no_step(outlined):
    steps = outlined.undo_stack.count()
    outlined.begin_stroke("Eraser")
    outlined.dab((CENTRE[0] + 20.0, CENTRE[1], CENTRE[2]), False, None)
    outlined.end_stroke()
    assert outlined.undo_stack.count() == steps


@pytest.mark.parametrize("operation", ["grow", "shrink", "clear"])
def test_that_repairs_of_the_whole_outline_are_steps_that_can_be_taken_back(qtbot, outlined, operation):
    before = array_of(outlined)
    outlined.edit_mask(operation)
    qtbot.waitUntil(lambda: outlined.undo_stack.count() == 1, timeout=WAIT_MS)
    assert not np.array_equal(outlined.current.draft.array, before)
    outlined.undo_stack.undo()
    assert np.array_equal(outlined.current.draft.array, before)


def test_that_a_repair_that_changes_nothing_says_so_and_is_no_step(qtbot, outlined, told):
    coverage = outlined.current.draft.coverage_volume_ml
    outlined.edit_mask("fill")
    settle(qtbot, outlined)
    assert told.has("stays as it is")
    assert outlined.undo_stack.count() == 0
    assert outlined.current.draft.coverage_volume_ml == coverage


def test_that_a_click_outside_the_node_is_refused_aloud_and_changes_nothing(qtbot, outlined, told):
    before = array_of(outlined)
    outlined.commit_segmentation((CENTRE[0] + 900.0, CENTRE[1], CENTRE[2]), RADIUS_MM)
    settle(qtbot, outlined)
    assert told.has("outside the picture")
    assert np.array_equal(outlined.current.draft.array, before)


def test_that_only_the_newest_of_several_quick_clicks_counts(qtbot, opened):
    for radius in (4.0, 6.0, RADIUS_MM):
        opened.commit_segmentation(CENTRE, radius)
    qtbot.waitUntil(lambda: opened.current.draft is not None, timeout=WAIT_MS)
    settle(qtbot, opened)
    assert opened.undo_stack.count() == 1
    assert opened.current.click[1] == RADIUS_MM


def test_that_a_result_for_a_picture_no_longer_on_screen_is_dropped(qtbot, opened):
    shown = []
    opened.preview_changed.connect(lambda: shown.append(opened.preview))
    opened.preview_segmentation(CENTRE, RADIUS_MM)
    opened.open_visit(opened.visits[1].visit_id)
    settle(qtbot, opened)
    assert [p for p in shown if p is not None] == []


def test_that_the_outline_of_one_grid_is_not_laid_on_another(qtbot, outlined):
    kept = array_of(outlined)
    first = outlined.image
    other = ellipsoid_image(shape=(30, 50, 50)).image
    outlined._show(other)
    settle(qtbot, outlined)
    assert outlined.current.draft is None
    assert outlined.undo_stack.count() == 0
    outlined._show(first)
    qtbot.waitUntil(lambda: outlined.current.draft is not None, timeout=WAIT_MS)
    assert np.array_equal(outlined.current.draft.array, kept)  # kept in the study meanwhile


# ---- keeping ---------------------------------------------------------------------------------


def test_that_an_outline_survives_the_program_without_being_saved_as_a_reading(qtbot, clicked, study):
    drawn, node_id = array_of(clicked), clicked.current_node_id
    settle(qtbot, clicked)
    with StudyStore.open(study) as store:  # what a killed program would leave
        kept = unpack_mask(store.load_draft_mask(node_id, clicked.visit.visit_id, reader=clicked.reader))
    assert np.array_equal(kept.array, drawn)
    clicked.close()
    again = Session()
    told = Told(again)
    again.open_study(study)
    qtbot.waitUntil(lambda: bool(again.nodes) and again.current.measurement is not None, timeout=WAIT_MS)
    assert np.array_equal(again.current.draft.array, drawn)
    again.close()
    again.deleteLater()
    assert told.lines == []


def test_that_the_newest_step_is_the_one_on_disk_however_fast_they_come(qtbot, outlined):
    outlined.set_brush(2.0, ball=True)
    for n in range(8):
        outlined.begin_stroke("Brush")
        outlined.dab((CENTRE[0] + n, CENTRE[1] - 6.0, CENTRE[2]), True, None)
        outlined.end_stroke()
    drawn = array_of(outlined)
    settle(qtbot, outlined)
    kept = unpack_mask(outlined.study.load_draft_mask(outlined.current_node_id, outlined.visit.visit_id, reader=outlined.reader))
    assert np.array_equal(kept.array, drawn)


def test_that_an_older_draft_never_lands_on_a_newer_one(qtbot, outlined):
    outlined.edit_mask("grow")
    settle(qtbot, outlined)
    key = (outlined.current_node_id, outlined.visit.visit_id, outlined.reader)
    newest = outlined.study.load_draft_mask(key[0], key[1], reader=key[2])
    empty = replace(outlined.current.draft.as_mask(), array=np.zeros(outlined.image.geometry.shape, bool))
    outlined._write_draft(key, UnsavedDraft(outlined.study, empty, 0))  # a slow writer of an earlier step comes late
    assert outlined.study.load_draft_mask(key[0], key[1], reader=key[2]) == newest


def test_that_closing_in_the_middle_of_a_stroke_keeps_the_stroke(outlined, outlined_study):
    node_id, visit_id, reader = outlined.current_node_id, outlined.visit.visit_id, outlined.reader
    outlined.begin_stroke("Brush")
    outlined.dab((CENTRE[0] + 9.0, CENTRE[1], CENTRE[2]), True, None)
    drawn = array_of(outlined)
    outlined.close()
    with StudyStore.open(outlined_study) as store:
        assert np.array_equal(unpack_mask(store.load_draft_mask(node_id, visit_id, reader=reader)).array, drawn)


def test_that_closing_leaves_no_thread_behind(qtbot, session, told, study):
    before = set(threading.enumerate())
    session.open_study(study)
    qtbot.waitUntil(lambda: session.image is not None, timeout=WAIT_MS)
    session.commit_segmentation(CENTRE, RADIUS_MM)
    session.close()  # in the middle of the work
    assert session.jobs._pool.activeThreadCount() == 0
    assert not session.jobs.is_busy()
    assert [t.name for t in threading.enumerate() if t not in before and not t.daemon] == []


# ---- readings --------------------------------------------------------------------------------


def test_that_locking_saves_and_locks_what_is_on_screen(qtbot, outlined):
    lock(qtbot, outlined)
    reading = outlined.current.reading
    assert reading.volume_ml == pytest.approx(outlined.current.measurement.voxel_volume_ml)
    assert (reading.locked_by, reading.reader, reading.modality) == ("Dr Reader", outlined.reader, "CT")
    assert reading.picture_sha256 is not None
    assert [r["state"] for r in outlined.follow_up_rows()] == ["locked"]


def test_that_a_locked_reading_takes_no_edit_and_says_so(qtbot, outlined, told):
    lock(qtbot, outlined)
    drawn = array_of(outlined)
    outlined.begin_stroke("Brush")
    outlined.dab((CENTRE[0] + 9.0, CENTRE[1], CENTRE[2]), True, None)
    outlined.end_stroke()
    outlined.commit_segmentation(CENTRE, 5.0)
    outlined.edit_mask("grow")
    settle(qtbot, outlined)
    assert np.array_equal(outlined.current.draft.array, drawn)
    assert told.has("is locked; begin a correction")


def test_that_undo_does_not_reach_behind_a_lock(qtbot, clicked, told):
    lock(qtbot, clicked)
    drawn = array_of(clicked)
    clicked.undo_stack.undo()
    assert np.array_equal(clicked.current.draft.array, drawn)
    assert told.has("was locked after this step")


def test_that_undo_does_not_reach_behind_a_lock_after_a_correction_began_either(qtbot, outlined):
    outlined.edit_mask("grow")
    settle(qtbot, outlined)
    lock(qtbot, outlined)
    outlined.correct_reading(outlined.current_node_id, "wrong slice")
    qtbot.waitUntil(lambda: outlined.current.reading.state == ReadingState.MEASURED, timeout=WAIT_MS)
    locked = array_of(outlined)
    outlined.edit_mask("shrink")
    settle(qtbot, outlined)
    for _ in range(5):
        outlined.undo_stack.undo()
    assert np.array_equal(outlined.current.draft.array, locked)  # the correction's own step, no further


def test_that_a_correction_keeps_the_reason_that_was_given(qtbot, outlined):
    lock(qtbot, outlined)
    outlined.correct_reading(outlined.current_node_id, "took in the jugular vein")
    qtbot.waitUntil(lambda: outlined.current.reading.state == ReadingState.MEASURED, timeout=WAIT_MS)
    settle(qtbot, outlined)
    outlined.edit_mask("shrink")
    settle(qtbot, outlined)
    lock(qtbot, outlined)
    assert (outlined.current.reading.version, outlined.current.reading.change_reason) == (2, "took in the jugular vein")


def test_that_a_reading_locked_as_it_was_saved_has_no_made_up_reason(qtbot, outlined):
    outlined.keep_reading(outlined.current_node_id)
    qtbot.waitUntil(lambda: outlined.current.reading is not None, timeout=WAIT_MS)
    settle(qtbot, outlined)
    lock(qtbot, outlined)
    assert outlined.current.reading.change_reason is None


def test_that_a_node_that_was_seen_to_be_gone_has_volume_0_and_keeps_nothing_of_an_earlier_outline(qtbot, outlined):
    outlined.keep_reading(outlined.current_node_id)
    qtbot.waitUntil(lambda: outlined.current.reading is not None, timeout=WAIT_MS)
    settle(qtbot, outlined)
    outlined.set_reading_status(outlined.current_node_id, "disappeared_assessed", "only fat where the node was")
    qtbot.waitUntil(lambda: outlined.current.reading.status == "disappeared_assessed", timeout=WAIT_MS)
    reading = outlined.current.reading
    assert (reading.volume_ml, reading.long_axis_mm, reading.mask_sha256) == (0.0, None, None)


def test_that_a_node_added_keeps_its_identity_at_every_visit(qtbot, opened):
    opened.add_node("N2", "right", "III")
    made = opened.current_node_id
    opened.open_visit(opened.visits[1].visit_id)
    settle(qtbot, opened)
    assert made in opened.nodes
    opened.add_node("N2", "right", "III")
    settle(qtbot, opened)
    assert [s.node.label for s in opened.nodes.values()] == ["N1", "N2"]  # the second was refused


# ---- planning --------------------------------------------------------------------------------


def test_that_a_plan_is_solved_for_the_outlined_node(qtbot, outlined):
    two_needles(outlined)
    solved(qtbot, outlined)
    answer = outlined.assessment.to_dict()
    assert answer["targets"][0]["name"] == "N1"
    assert 0.0 < answer["targets"][0]["coverage_pct"] <= 100.0
    assert not outlined.field_is_preview


def test_that_a_moved_needle_drops_the_field_and_undo_puts_the_needle_back(qtbot, outlined):
    two_needles(outlined)
    solved(qtbot, outlined)
    before = outlined.plan
    first = before.needles[0]
    outlined.set_plan(before.with_needle(replace(first, tip_mm=(first.tip_mm[0] - 1.0, *first.tip_mm[1:]))), "Move E1")
    assert outlined.assessment is None
    assert outlined.solution is None
    outlined.undo_stack.undo()
    assert outlined.plan == before
    assert outlined.assessment is None  # solved again, not remembered


def test_that_numbers_vanish_as_soon_as_a_needle_is_dragged_and_the_drag_is_one_step(qtbot, outlined):
    two_needles(outlined)
    solved(qtbot, outlined)
    before, steps = outlined.plan, outlined.undo_stack.count()
    first = before.needles[0]
    for n in range(1, 4):
        outlined.set_plan(before.with_needle(replace(first, tip_mm=(first.tip_mm[0] - n, *first.tip_mm[1:]))), live=True)
        assert outlined.assessment is None
    qtbot.waitUntil(lambda: outlined.solution is not None, timeout=WAIT_MS)
    assert outlined.field_is_preview
    assert outlined.assessment is None
    outlined.set_plan(outlined.plan, "Move E1")
    assert outlined.undo_stack.count() == steps + 1
    outlined.undo_stack.undo()
    assert outlined.plan == before


def test_that_a_needle_pressed_but_not_moved_keeps_the_field(qtbot, outlined):
    two_needles(outlined)
    solved(qtbot, outlined)
    steps = outlined.undo_stack.count()
    outlined.set_plan(outlined.plan, "Move E1")
    assert outlined.assessment is not None
    assert outlined.undo_stack.count() == steps


def test_that_an_edit_of_the_target_drops_what_was_solved_for_the_old_outline(qtbot, outlined):
    two_needles(outlined)
    solved(qtbot, outlined)
    outlined.edit_mask("grow")
    qtbot.waitUntil(lambda: outlined.assessment is None, timeout=WAIT_MS)


def test_that_a_field_solved_for_needles_that_moved_meanwhile_is_dropped(qtbot, outlined):
    two_needles(outlined)
    outlined.solve()
    first = outlined.plan.needles[0]
    outlined.set_plan(outlined.plan.with_needle(replace(first, exposure_mm=10.0)), "Exposure")
    settle(qtbot, outlined)
    assert outlined.solution is None
    assert outlined.assessment is None


def test_that_one_needle_is_refused_with_a_sentence(qtbot, outlined, told):
    outlined.set_plan(outlined.plan.with_needle(NeedleDraft("E1", CENTRE, (CENTRE[0], CENTRE[1], CENTRE[2] + 40.0))), "One")
    outlined.solve()
    settle(qtbot, outlined)
    assert told.has("at least two needles")


def test_that_a_plan_belongs_to_its_visit(qtbot, outlined):
    two_needles(outlined)
    solved(qtbot, outlined)
    plan, assessment = outlined.plan, outlined.assessment
    first, second = (v.visit_id for v in outlined.visits)
    outlined.open_visit(second)
    settle(qtbot, outlined)
    assert outlined.plan.needles == ()
    assert outlined.solution is None
    assert outlined.assessment is None
    outlined.open_visit(first)
    settle(qtbot, outlined)
    assert outlined.plan is plan
    assert outlined.assessment is assessment


def test_that_a_solved_plan_is_kept_in_the_study(qtbot, outlined):
    two_needles(outlined)
    solved(qtbot, outlined)
    outlined.save_plan()
    settle(qtbot, outlined)
    (run,) = outlined.study.list_plan_runs("S-001")
    assert run.content["assessment"]["targets"][0]["coverage_pct"] == outlined.assessment.to_dict()["targets"][0]["coverage_pct"]
    mask = unpack_mask(outlined.study.get_blob(run.blobs["mask: N1"]))
    assert np.array_equal(mask.array, outlined.current.draft.array)


def test_that_a_table_is_exported_of_locked_readings_only(qtbot, outlined, told, tmp_path):
    outlined.keep_reading(outlined.current_node_id)
    settle(qtbot, outlined)
    outlined.export("csv", tmp_path / "out")
    settle(qtbot, outlined)
    assert told.has("Exported 0 locked readings")
    lock(qtbot, outlined)
    outlined.export("csv", tmp_path / "out")
    settle(qtbot, outlined)
    assert told.has("Exported 1 locked readings")
