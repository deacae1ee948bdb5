"""Studies of one subject on disk, and sessions that have them open."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from app.demo.dicom_files import Occasion
from app.jobs import JobContext
from app.study.store import StudyStore
from app.ui.session import Session
from app.usecases.import_images import import_folder
from app.usecases.readings import pack_mask
from tests.factories import ellipsoid_image, write_ellipsoid_ct, write_ultrasound_still
from tests.ui.session.hands import CENTRE, RADIUS_MM, READER, WAIT_MS, Told, settle
from tests.ui.session.users import add_users, no_more_of


@pytest.fixture(scope="session")
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


@pytest.fixture
def told(session) -> Told:
    made = Told(session)
    yield made
    assert [text for severity, text in made.lines if severity == "bug"] == []


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


@pytest.fixture(scope="session")
def users_template(template, tmp_path_factory) -> Path:
    """The study with an administrator, a blinded reader, a site reader and one who is disabled."""
    folder = Path(shutil.copytree(template / "study", tmp_path_factory.mktemp("users") / "study"))
    add_users(folder)
    return folder


@pytest.fixture
def users_study(users_template, tmp_path) -> Path:
    """A copy of that study to work on."""
    return Path(shutil.copytree(users_template, tmp_path / "users"))


@pytest.fixture
def window(qtbot, session, told):
    """A window on the session, not shown."""
    from app.ui.main_window import MainWindow

    made = MainWindow(session)
    yield made
    no_more_of(made)
