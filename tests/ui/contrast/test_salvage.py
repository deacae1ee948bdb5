"""From the contrast loop to the salvage decision: who treats locks a residual grade, and the deadline and the parts stand where they are looked for."""

from __future__ import annotations

import csv
import datetime as dt
import shutil
from pathlib import Path

import pytest

from app.ui.models.worklist import salvage_text
from app.usecases.export_edc import export_study
from tests.ui.contrast.conftest import open_loop
from tests.ui.contrast.hands import draw, keys, node_outline, read, the_cine, truth_frame
from tests.ui.session.hands import WAIT_MS, settle
from tests.ui.session.users import ADMIN, SITE, WORD, add_users, no_more_of, sign_in


@pytest.fixture
def site_window(qtbot, session, told, contrast_template, tmp_path):
    """A window where the reader who treats has the contrast loop on screen."""
    from app.ui.main_window import MainWindow

    folder = Path(shutil.copytree(contrast_template, tmp_path / "study"))
    add_users(folder)
    sign_in(qtbot, session, folder, SITE)
    session.select_subject("S-001")
    window = MainWindow(session)
    window.resize(1280, 800)
    window.show()
    settle(qtbot, session)
    open_loop(qtbot, session)
    yield window
    session.close()
    no_more_of(window)


def test_that_a_residual_that_the_site_locks_opens_the_salvage_window_and_its_parts_leave_with_every_export(qtbot, site_window, told, tmp_path):
    session = site_window.session
    read(qtbot, site_window)
    session.set_frame(truth_frame())
    qtbot.waitUntil(lambda: site_window.panes.picture.frame.shown_frame == truth_frame(), timeout=WAIT_MS)
    draw(site_window, "node", node_outline("contrast"))
    session.analyse_contrast(maps=False)
    settle(qtbot, session)
    grade, share = session.proposed_grade(), session.contrast_result().assessment.viable_pct
    assert grade in ("2", "3")
    assert share == pytest.approx(100 * the_cine().truth.viable_fraction, abs=6)
    keys(site_window, "J", "J")  # the grade is the reader's, the parts go into the reading
    volume = next(s for s in session.series if s.kind == "volume")
    session.open_series(volume.series_id)
    qtbot.waitUntil(lambda: session.picture is None, timeout=WAIT_MS)
    settle(qtbot, session)
    session.commit_segmentation(session.current.node.seed_mm, 9.0)
    settle(qtbot, session)
    session.board_day = dt.date(2025, 2, 20)  # six days after the scan
    keys(site_window, "F3")
    settle(qtbot, session)
    assert session.board.cells["S-001", ""].word == "Still open"  # nothing is found before it is locked
    keys(site_window, "Esc")
    session.lock_reading(session.current_node_id, "", next(iter(session.signing().meanings)), password=WORD)
    qtbot.waitUntil(lambda: session.current.reading is not None and session.current.reading.locked_utc is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    assert not told.has("could not be saved")
    reading = session.current.reading
    assert (reading.role, reading.enhancement_grade, reading.viable_from) == ("site", grade, "enhancing_share")

    keys(site_window, "F3")
    settle(qtbot, session)
    cell = session.board.cells["S-001", ""]
    assert cell.word == "Still enhances"
    assert cell.line == "8 days left"
    assert "Last day 2025-02-28" in cell.tip
    assert f"N1: grade {grade} · {reading.viable_ml:.2f} ml enhance" in cell.tip
    session.ask_worklist()
    settle(qtbot, session)
    item = next(i for i in session.worklist if i.visit == "Day 30")
    assert salvage_text(item).startswith("2025-02-28 · ")

    session.study.sign_in(ADMIN, WORD)
    session.study.add_user("manager", "Max Manager", ["trial_manager"], WORD)
    session.study.sign_in("manager", WORD)
    export_study(session.study, "csv", tmp_path / "csv")
    with (tmp_path / "csv" / "readings.csv").open(encoding="utf-8-sig", newline="") as file:
        row = next(csv.DictReader(file))
    assert (row["enhancement_grade"], row["grade_proposed"], row["viable_from"]) == (grade, grade, "enhancing_share")
    assert float(row["viable_ml"]) == pytest.approx(share / 100 * float(row["volume_ml"]), rel=1e-4)
    assert float(row["viable_ml"]) + float(row["ablated_ml"]) == pytest.approx(float(row["volume_ml"]), rel=1e-4)
    assert float(row["enhancing_pct"]) == pytest.approx(share, rel=1e-3)
    with (tmp_path / "csv" / "grades.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [r["site_grade"] for r in csv.DictReader(file)] == [grade]
    export_study(session.study, "redcap", tmp_path / "redcap")
    sent = "".join(p.read_text(encoding="utf-8-sig") for p in (tmp_path / "redcap").rglob("*.csv"))
    assert reading.reading_id in sent
    assert row["viable_ml"] in sent
