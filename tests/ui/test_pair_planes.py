"""The pair of planes in the window: proposed by a button, looked at, then stated by the reader in one undo step."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pydicom
import pytest

from app.demo.dicom_files import Occasion
from app.jobs import JobContext
from app.study.store import StudyStore
from app.ui.panels.pair_planes import PairBox
from app.usecases.import_images import import_folder
from tests.factories import write_ultrasound_still

WAIT_MS = 20_000
DAY = Occasion(1, "Baseline", date(2025, 1, 13))


def settle(qtbot, session) -> None:
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=WAIT_MS)


def made(root: Path, *comments: str) -> Path:
    """A study of stills with these words in their files."""
    (root / "us").mkdir()
    for n, comment in enumerate(comments):
        path = write_ultrasound_still(root / "us" / f"{n}.dcm", occasion=replace(DAY), instance=n + 1)
        ds = pydicom.dcmread(path)
        ds.ImageComments = f"SYNTHETIC; {comment}"
        ds.save_as(path)
    with StudyStore.create(root / "study") as store:
        import_folder(store, "S-001", "Baseline", root / "us", JobContext())
        store.add_node("S-001", "N1", "left", "II")
    return root / "study"


def opened(qtbot, session, study: Path) -> PairBox:
    session.open_study(study)
    qtbot.waitUntil(lambda: session.picture is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    session.select_node(session.subject_nodes[0].node_id)
    box = PairBox(session)
    qtbot.addWidget(box)
    return box


def test_that_a_proposal_states_nothing_until_both_stills_were_looked_at(qtbot, session, tmp_path):
    box = opened(qtbot, session, made(tmp_path, "N1 LONG", "N1 TRANS"))
    box.propose.click()
    settle(qtbot, session)
    pair = session.proposed_pair
    assert pair.confidence == "fair"
    assert "Taken one after the other." in box.told.text()
    assert session.still_planes == {}
    assert not box.confirm.isEnabled()  # one of them was not on screen yet
    session.confirm_pair()
    assert session.still_planes == {}
    for button in (box.long, box.short):
        button.click()
        settle(qtbot, session)
        assert button.isChecked()
    assert box.confirm.isEnabled()
    box.confirm.click()
    settle(qtbot, session)
    assert session.still_planes == {pair.long.still: "longitudinal", pair.short.still: "transverse"}
    assert "Both planes are stated." in box.told.text()
    session.undo_stack.undo()
    assert session.still_planes == {}
    settle(qtbot, session)


@pytest.mark.parametrize("comment", ["node", "N1 LONG"])
def test_that_without_both_planes_there_is_no_pair_and_it_is_said_why(qtbot, session, tmp_path, comment):
    box = opened(qtbot, session, made(tmp_path, comment, "another"))
    box.propose.click()
    settle(qtbot, session)
    assert session.proposed_pair is None
    assert box.told.text() == "No pair can be proposed."
    assert "there is no pair" in box.findings.text()
    assert box.confirm.isHidden()
