"""A study of one subject whose second visit has a contrast loop of the node, and windows that have it open."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from app.demo.dicom_files import Occasion
from app.jobs import JobContext
from app.study.store import StudyStore
from app.usecases.import_images import import_folder
from app.usecases.readings import pack_mask
from tests.factories import ellipsoid_image, write_ellipsoid_ct
from tests.ui.contrast.hands import FRAMES, the_cine
from tests.ui.session.hands import CENTRE, READER, WAIT_MS, Told, settle
from tests.ui.session.users import no_more_of


@pytest.fixture(scope="session")
def contrast_template(tmp_path_factory) -> Path:
    """Baseline with a CT; Day 30 with a CT, the node outlined on it, and a contrast loop whose header states no dynamic range."""
    root = tmp_path_factory.mktemp("contrast")
    for seed, (visit, day) in enumerate((("Baseline", date(2025, 1, 13)), ("Day 30", date(2025, 2, 14)))):
        folder = root / "dicom" / visit.replace(" ", "_")
        write_ellipsoid_ct(folder / "ct", occasion=Occasion(seed + 1, visit, day))
        if seed:
            (folder / "us").mkdir()
            the_cine().write_dicom(folder / "us" / "loop.dcm")
    with StudyStore.create(root / "study") as store:
        for visit in ("Baseline", "Day 30"):
            import_folder(store, "S-001", visit, root / "dicom" / visit.replace(" ", "_"), JobContext())
        store.add_node("S-001", "N1", "left", "II", seed_mm=CENTRE)
        truth = replace(ellipsoid_image().truth, coverage_volume_ml=ellipsoid_image().volume_ml)
        store.save_draft_mask(store.nodes()[0].node_id, store.visits("S-001")[1].visit_id, pack_mask(truth), reader=READER)
    return root / "study"


@pytest.fixture
def told(session) -> Told:
    """What the session says; a bug in a job fails the test."""
    made = Told(session)
    yield made
    assert [text for severity, text in made.lines if severity == "bug"] == []


@pytest.fixture
def loop_window(qtbot, session, told, contrast_template, tmp_path):
    """A window in step 2 with the contrast loop on screen, its panes proposed."""
    from app.ui.main_window import MainWindow

    folder = Path(shutil.copytree(contrast_template, tmp_path / "study"))
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


def open_loop(qtbot, session) -> None:
    """Go to Day 30, step 2, the contrast loop."""
    session.open_visit(next(v for v in session.visits if v.name == "Day 30").visit_id)
    settle(qtbot, session)
    session.set_step("measure")
    record = next(s for s in session.series if s.kind == "cine")
    session.open_series(record.series_id)
    qtbot.waitUntil(lambda: session.contrast is not None and session.contrast.proposal is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    assert session.picture.frame_count == FRAMES
