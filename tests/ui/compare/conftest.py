"""Studies with two visits, and a window that compares them."""

from __future__ import annotations

import copy
import json
import shutil
from datetime import date

import pytest
from PySide6.QtCore import QEvent
from PySide6.QtWidgets import QApplication

from app.demo.dicom_files import Occasion, write_ct_series
from app.jobs import JobContext
from app.study.protocol import load_protocol
from app.study.store import StudyStore
from app.ui.main_window import MainWindow
from app.usecases.import_images import import_folder
from app.usecases.readings import pack_mask, save_reading
from app.usecases.register import register_volumes
from tests.ui import mouse
from tests.ui.compare.hands import (
    GRID,
    SEED,
    VISITS,
    WAIT_MS,
    Neck,
    Told,
    settle,
)
from volumetry.image import ImageVolume
from volumetry.registration import RegistrationRefused


@pytest.fixture(scope="package")
def necks():
    return Neck(0), Neck(1)


@pytest.fixture(scope="package")
def templates(necks, tmp_path_factory):
    """Studies with both visits and reader A's outline at baseline: by whether the protocol allows copies."""
    folder = tmp_path_factory.mktemp("compare")
    for n, neck in enumerate(necks):
        write_ct_series(folder / str(n), Occasion(SEED, str(n), date(2025, 1 + n, 13)), neck.array, GRID)
    for name, changes in {"allowed": {"allow_propagated_outlines": True}, "forbidden": {}, "blinded": {"compare_visits": False}}.items():
        content = copy.deepcopy(load_protocol("ire-cervical-ln").content)
        content["reading"].update(changes)
        (folder / "protocol.json").write_text(json.dumps(content))
        with StudyStore.create(folder / name, protocol=folder / "protocol.json") as store:
            for n, visit in enumerate(VISITS):
                import_folder(store, "S-001", visit, folder / str(n), JobContext())
            node = store.add_node("S-001", "N1", "left", "III", seed_mm=tuple(float(v) for v in necks[1].centre_mm))
            store.save_draft_mask(node.node_id, store.visits("S-001")[0].visit_id, pack_mask(necks[0].mask), reader="Reader A")
            save_reading(store, store.visits("S-001")[0], node, reader="Reader B", modality="CT", mask=necks[0].mask)
    return folder


@pytest.fixture
def told(session):
    made = Told(session)
    yield made
    assert [text for severity, text in made.lines if severity == "bug"] == []


@pytest.fixture
def opened(qtbot, session, told, templates, tmp_path):
    """A function: the window with a template open on a visit."""
    windows = []

    def make(template="allowed", visit="Day 30"):
        shutil.copytree(templates / template, tmp_path / "study")
        window = MainWindow(session)
        windows.append(window)
        qtbot.addWidget(window)
        window.show()
        qtbot.waitExposed(window)
        mouse.activate(qtbot, window)
        session.open_study(tmp_path / "study")
        qtbot.waitUntil(lambda: session.image is not None, timeout=WAIT_MS)
        session.open_visit(next(v.visit_id for v in session.visits if v.name == visit))
        qtbot.waitUntil(lambda: session.image is not None, timeout=WAIT_MS)
        settle(qtbot, session)
        return window

    yield make
    for window in windows:
        window.close()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture(scope="package")
def registration(necks):
    """What the real registration finds, worked out once."""
    return register_volumes(*(ImageVolume(neck.array, GRID, "HU") for neck in necks[::-1]))


@pytest.fixture
def quick(monkeypatch, registration):
    """The registration answers at once, with what it found before."""
    monkeypatch.setattr("app.usecases.register.register_volumes", lambda *_arguments, **_more: registration)


@pytest.fixture
def compared(qtbot, session, opened, quick):
    """Day 30 on screen, baseline beside it, registered."""
    window = opened()
    session.compare_with()
    qtbot.waitUntil(lambda: session.comparison is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    assert session.comparison.automatic is not None
    return window


@pytest.fixture
def unlinked(qtbot, session, opened, monkeypatch):
    """The same where no registration could be found."""

    def refuse(*_arguments, **_more):
        raise RegistrationRefused("The two pictures have no place in common.", code="no_overlap")

    monkeypatch.setattr("app.usecases.register.register_volumes", refuse)
    window = opened()
    session.compare_with()
    qtbot.waitUntil(lambda: session.comparison is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    return window
