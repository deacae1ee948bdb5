"""Two loops of one node in the window: joined when the reader asks for it, taken into the reading, there again on reopening."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from app.jobs import JobContext
from app.study.store import StudyStore
from app.ui.panels.contrast_planes import joined_figures
from app.usecases.contrast_loop import load_loop
from app.usecases.export_edc import export_study
from app.usecases.import_images import import_folder
from app.usecases.perfusion import analyse_contrast
from app.usecases.perfusion_planes import join_again
from app.usecases.perfusion_regions import PerfusionRegion
from tests.ui.contrast.conftest import open_loop
from tests.ui.contrast.hands import FRAMES, RANGE_DB, keys, the_cine
from tests.ui.session.hands import WAIT_MS, lock, settle
from tests.ui.session.users import no_more_of
from tests.usecases.contrast_loops import ellipse, made

SHARES = {5: 25.0, 6: 45.0}


def cine_of(seed: int):
    return the_cine() if seed == 5 else made(6, frames=FRAMES, frame_s=1.2, residual="partial", viable_fraction=SHARES[6] / 100, out_of_plane=0.1)


@pytest.fixture
def planes_window(qtbot, session, told, contrast_template, tmp_path):
    """A window with one of two loops of the node on screen."""
    from app.ui.main_window import MainWindow

    folder = Path(shutil.copytree(contrast_template, tmp_path / "study"))
    (tmp_path / "us").mkdir()
    cine_of(6).write_dicom(tmp_path / "us" / "second.dcm")
    with StudyStore.open(folder) as store:
        import_folder(store, "S-001", "Day 30", tmp_path / "us", JobContext())
    window = MainWindow(session)
    window.resize(1280, 800)
    window.show()
    qtbot.waitExposed(window)
    session.open_study(folder)
    qtbot.waitUntil(lambda: session.image is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    open_loop(qtbot, session)
    yield window
    session.close()
    no_more_of(window)


def work_out(qtbot, session) -> None:
    """Everything from the panes to the analysis of the loop on screen, with the node's true outline."""
    seed = next(n for n in SHARES if np.allclose(np.diff(session.picture.frame_times_ms) / 1000, np.diff(cine_of(n).times_s), atol=1e-3))
    cine = cine_of(seed)
    session.confirm_panes()
    session.state_range(RANGE_DB)
    session.read_loop()
    settle(qtbot, session)
    state = session.contrast
    frame = cine.truth.motion.reference_frame
    session.add_region("node", session._in_reference(frame, np.array(ellipse(cine))[::2]))
    session.analyse_contrast(maps=False)
    settle(qtbot, session)
    assert state.results[session.current_node_id].assessment.viable_pct == pytest.approx(SHARES[seed], abs=8)


def other_series(session) -> str:
    return next(s.series_id for s in session.series if s.kind == "cine" and s.series_id != session.contrast.name)


def show(qtbot, session, name: str) -> None:
    session.open_series(name)
    qtbot.waitUntil(lambda: session.contrast is not None and session.contrast.name == name and session.contrast.panes is not None, timeout=WAIT_MS)
    settle(qtbot, session)


def test_that_two_loops_are_joined_taken_kept_and_locked_as_one(qtbot, planes_window, told, tmp_path):
    from app.ui.session import Session

    session, section = planes_window.session, planes_window.side.currentWidget().contrast_planes
    first = session.contrast.name
    work_out(qtbot, session)
    assert not section.isVisible()
    second = other_series(session)
    show(qtbot, session, second)
    assert section.isVisible()
    assert "Analyse this loop too" in section.why.text()
    session.follow_in_parts(True)
    work_out(qtbot, session)
    assert session.contrast_result().motion.field is not None
    assert not session.result_is_stale()

    # nothing is joined before the reader said how the loops stand
    assert "tick that they stand at a right angle" in section.why.text()
    assert not section.join.isEnabled()
    planes_window.activateWindow()
    qtbot.waitUntil(planes_window.isActiveWindow, timeout=WAIT_MS)
    keys(planes_window, "Shift+L")
    assert not section.join.isEnabled()
    assert session.loop_here().plane == "longitudinal"
    section.right_angle.click()
    assert session.why_not_join() == ""
    session.state_plane("longitudinal", (first, 0))
    assert "one of them is not so" in session.why_not_join()
    session.state_plane("transverse", (first, 0))
    assert not section.right_angle.isVisible()
    assert session.contrast_next()[0] == "join"
    keys(planes_window, "J")
    joined = session.loops_joined()
    assert (joined.first.name, joined.second.name, joined.right_angle) == (second, first, "planes")
    shares = [p.viable_pct for p in joined.found.planes]
    assert min(shares) < joined.found.viable_pct < max(shares)
    node_ml, source = session.contrast_node_ml()
    figures = {f.label: f for f in joined_figures(joined.found, node_ml, source)}
    low, high = joined.found.viable_interval_ml
    assert low < joined.found.viable_pct / 100 * node_ml < high
    assert figures["Vv, enhancing"].value == f"{joined.found.viable_ml:.3f}\u00a0ml\u00a0[{low:.3f}–{high:.3f}]"
    assert any(row.message.startswith("The two sections disagree") for row in section.findings.rows)
    assert joined.found.grade in section.grade.text()

    # the reader decides; what is taken is both, and the key for one loop does not put one in their place
    session.undo()
    assert session.loops_joined() is None
    session.redo()
    assert session.statement_of(session.current_node_id).grade is None
    keys(planes_window, "J", "J")
    assert session.statement_of(session.current_node_id).grade == joined.found.grade
    record = session.current.contrast_taken
    assert record["residual"]["viable_pct"] == joined.found.viable_pct
    assert record["input_sha256"] == joined.input_sha256
    uids = {s.series_id: s.series_uid for s in session.series}
    assert [(loop["plane"], loop["series_uid"]) for loop in record["two_planes"]["loops"]] == [("longitudinal", uids[second]), ("transverse", uids[first])]
    assert [loop["motion_in_parts"] for loop in record["two_planes"]["loops"]] == [True, False]
    assert session.contrast_next()[0] == ""
    assert session.joined_is_taken()
    settle(qtbot, session)
    record, folder, node_id = session.current.contrast_taken, session.study.folder, session.current_node_id
    assert_made_again(session, record["two_planes"]["loops"][0])
    assert join_again(record).viable_pct == joined.found.viable_pct

    # there again when the visit is opened anew, without reading a loop
    session.close()
    again = Session()
    try:
        again.open_study(folder)
        qtbot.waitUntil(lambda: again.image is not None, timeout=WAIT_MS)
        settle(qtbot, again)
        again.open_visit(next(v for v in again.visits if v.name == "Day 30").visit_id)
        settle(qtbot, again)
        again.keep_reading(node_id)
        settle(qtbot, again)
        kept = again.current.reading
        assert kept.measurement["perfusion"]["two_planes"] == record["two_planes"]
        show(qtbot, again, second)
        assert not again.contrast.is_read
        assert again.contrast.in_parts
        assert again.loops_joined().input_sha256 == record["input_sha256"]
        again.set_mark("arrival", 9)
        assert again.loops_joined() is None
        assert "analyse it again" in again.why_not_join()
        again.undo()
        assert again.joined_is_taken()
        volume = next(s for s in again.series if s.kind == "volume")
        again.open_series(volume.series_id)
        qtbot.waitUntil(lambda: again.picture is None, timeout=WAIT_MS)
        settle(qtbot, again)
        lock(qtbot, again)
        reading = again.current.reading
        assert reading.viable_ml == pytest.approx(joined.found.viable_pct / 100 * reading.volume_ml)
        codes = {w["code"] for w in reading.warnings}
        assert {"share_of_two_planes", "planes_disagree"} <= codes
        assert "share_of_one_plane" not in codes
        export_study(again.study, "csv", tmp_path / "csv")
        with (tmp_path / "csv" / "readings.csv").open(encoding="utf-8-sig", newline="") as file:
            row = next(r for r in csv.DictReader(file) if r["perfusion_sha256"])
        assert (row["perfusion_sha256"], row["grade_proposed"], row["viable_from"]) == (record["input_sha256"], joined.found.grade, "enhancing_share")
        assert float(row["enhancing_pct"]) == pytest.approx(joined.found.viable_pct)
        curve = next(r for r in record["two_planes"]["loops"][0]["regions"] if r["role"] == "node")
        assert row["curve_model"] == curve["model"]
    finally:
        again.close()


def assert_made_again(session, loop: dict) -> None:
    """What the record holds of a loop is enough to work it out again, hash by hash."""
    series = next(s for s in session.series if s.series_uid == loop["series_uid"])
    state = session.contrast_states[series.series_id]
    asked = loop["asked"]
    read = load_loop(state.cine, state.panes, range_db=loop["range_db"], frames=(loop["first_frame"], loop["last_frame"]))
    regions = [PerfusionRegion(r["name"], r["role"], tuple(tuple(p) for p in r["polygon_px"])) for r in asked["regions"]]
    made_again = analyse_contrast(
        read, regions, state.panes, model=asked["model"], node_ml=asked["node_ml"], arrival_s=asked["arrival_s"], frame=asked["frame"], nonrigid=asked["nonrigid"]
    )
    assert made_again.input_sha256 == loop["input_sha256"]
    assert made_again.assessment.viable_pct == pytest.approx(loop["share"]["viable_pct"], rel=1e-9)
