"""Adjudication in its window: two readers under codes, their outlines on one slice, one selected with a reason, signed, once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget

from app.jobs import JobContext
from app.study.audit import verify
from app.study.model import ReadingStatus
from app.study.store import StudyStore
from app.ui.dialogs.adjudicate import AdjudicateWindow, open_adjudication
from app.ui.models.adjudicate import comparison, trigger_words, why_asked
from app.usecases.adjudication_pairs import _as_seen, outlines_of, waiting_pairs
from app.usecases.readings import pack_mask
from tests.factories import ellipsoid_image
from tests.study.builders import CaseBuilder
from tests.study.people import PASSWORD, add_people, as_user
from tests.study.test_store import refused
from tests.ui.session.hands import Told

CUT = 10  # columns that the second reader leaves out
NAMES = ("reader-a", "reader-b", "Dr Reader", "S-001")


@pytest.fixture
def store(tmp_path):
    """Two readers agree at baseline and differ at Month 3; Reader B gives no outline."""
    with StudyStore.create(tmp_path / "study", user="reader-a") as made:
        case = CaseBuilder(made)
        for reader, last in (("reader-a", 1.2), ("reader-b", 0.4)):
            case.lock(reader=reader)
            case.lock("Month 3", reader=reader, volume_ml=last, volume_interval_ml=None)
        yield made


@pytest.fixture
def at_work(session, store):
    """A session with that study open."""
    session.study = store
    yield session
    session.jobs.close()
    session.study = None


@pytest.fixture
def drawn(study):
    """A study with pictures in which two readers outlined the node at baseline, the second without some columns of it."""
    with StudyStore.open(study) as made:
        node, visit = made.nodes()[0], made.visits("S-001")[0]
        (record,) = (s for s in made.series(visit.visit_id) if s.kind == "volume")
        truth = ellipsoid_image().truth
        half = truth.array.copy()
        half[:, :, : int(np.argmax(truth.array.any(axis=(0, 1)))) + CUT] = False
        case = CaseBuilder(made, "S-002")
        for reader, mask in (("reader-a", truth), ("reader-b", replace(truth, array=half))):
            blob = made.put_blob(pack_mask(mask))
            volume = mask.array.sum() * float(np.prod(mask.geometry.spacing_mm)) / 1000.0
            values = {"subject_id": "S-001", "node_id": node.node_id, "visit_id": visit.visit_id, "volume_ml": volume, "volume_interval_ml": None}
            reading = made.save_reading(case.draft(reader=reader, series_uid=record.series_uid, mask_sha256=blob, **values))
            made.lock_reading(reading.reading_id, "Dr Reader", "I have reviewed this")
        yield made


def opened(qtbot, session) -> AdjudicateWindow:
    window = open_adjudication(session)
    window.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
    qtbot.addWidget(window)
    qtbot.waitUntil(lambda: window.pairs is not None)
    return window


def test_that_pairs_name_nobody_and_keep_each_readers_own_baseline(store):
    (pair,) = waiting_pairs(store)
    assert [s.code for s in pair.sides] == ["Reader A", "Reader B"]
    assert sorted(s.vrr_pct for s in pair.sides) == pytest.approx([40.0, 80.0])
    assert all(s.baseline.volume_ml == 2.0 for s in pair.sides)
    held = repr([(s.reading.reader, s.reading.locked_by, s.reading.signature_id) for s in pair.sides])
    assert not any(name in held for name in NAMES)
    asked = {line.name for line in comparison(pair) if line.asked}
    assert asked == {"Volume, ml", "Volume reduction, %"}
    assert all(trigger_words(x) != x for x in pair.triggers)


def test_that_responses_and_their_beginning_are_asked_about_with_what_they_rest_on(tmp_path):
    with StudyStore.create(tmp_path / "study", user="reader-a") as store:
        case = CaseBuilder(store)
        store.add_event("S-001", "IRE", "2026-01-12")
        other = store.add_node("S-001", "N2", "right", "IV")  # followed by eye
        for reader in ("reader-a", "reader-b"):
            state = "progressed" if reader == "reader-b" else "present"
            for node in (case.node, other):
                case.lock(reader=reader, node_id=node.node_id)
            case.lock("Day 30", reader=reader, node_id=other.node_id, measurement={"lesion": {"role": "non_target", "state": state}})
        pair = next(p for p in waiting_pairs(store) if p.node == "N2")
        assert set(pair.triggers) == {"response_differs", "response_date_differs"}
        assert pair.criteria == "RECIST_1_1"
        assert {s.response for s in pair.sides} == {"PD", "NON-CR/NON-PD"}
        assert {s.progressed_at for s in pair.sides} == {"Day 30", None}
        lines = {line.name: line for line in comparison(pair)}
        assert sorted(lines["Overall response (RECIST 1.1)"].texts) == ["NON-CR/NON-PD", "PD"]
        assert lines["Overall response (RECIST 1.1)"].asked
        assert sorted(lines["Progression since"].texts) == ["Day 30", "–"]
        assert sorted(lines["Lesion"].texts) == ["Counts as: non-target\nNon-target is: present", "Counts as: non-target\nNon-target is: progressed"]
        assert "2026" not in repr(pair.sides)
        assert "Progression begins at different visits" in why_asked(pair)


def test_that_outlines_lie_on_the_slice_where_both_cover_most(drawn):
    (pair,) = waiting_pairs(drawn)
    found = outlines_of(drawn, pair, JobContext())
    truth = ellipsoid_image().truth
    assert found.slice_index == int(np.argmax(truth.array.sum(axis=(1, 2))))
    spans = sorted(float(np.ptp(np.concatenate(lines)[:, 0])) for lines in found.outlines.values())
    columns = np.nonzero(truth.array[found.slice_index].any(axis=0))[0]
    assert spans[1] == columns[-1] - columns[0] + 1
    assert spans[0] == spans[1] - CUT
    rows, width = found.picture.shape
    assert all(line.min() >= 0 and line[:, 0].max() <= width and line[:, 1].max() <= rows for lines in found.outlines.values() for line in lines)


@pytest.mark.parametrize(
    ("across", "down", "turned", "edges"),
    [
        ((0.5, 0, 0), (0, 0.5, 0), (False, False), "RLAP"),
        ((-0.5, 0, 0.1), (0, 0.5, 0.1), (True, False), "RLAP"),
        ((-0.5, 0, 0), (0, -0.5, 0), (True, True), "RLAP"),
        ((0.5, 0, 0), (0, 0, -0.5), (False, False), "RLSI"),  # coronal
        ((0, 0.5, 0), (0, 0, 0.5), (False, True), "APSI"),  # sagittal
    ],
)
def test_that_a_slice_is_turned_as_a_radiologist_looks_at_it(across, down, turned, edges):
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = across, down
    assert _as_seen(affine) == (turned, tuple(edges))


def test_that_the_window_shows_both_sides_and_keeps_one_with_a_reason(qtbot, at_work, store):
    window = opened(qtbot, at_work)
    texts = " ".join(w.text() for w in window.findChildren(type(window.title)))
    assert "40.0" in texts
    assert "80.0" in texts
    assert "differ by more than the protocol allows" in window.why.text()
    assert not window.sign.isEnabled()
    window.choices.buttons()[1].setChecked(True)
    window.reason.setText("the rim was left out")
    assert not window.sign.isEnabled()
    window.name.setText("Dr J Judge")
    assert window.sign.isEnabled()
    qtbot.waitUntil(lambda: "stand alone" in window.pictures[0].words)
    window.sign.click()
    qtbot.waitUntil(lambda: window.pairs == ())
    (made,) = store.adjudications()
    assert (made.reason, made.adjudicator, made.signature_id) == ("the rim was left out", "Dr J Judge", None)
    assert "Nothing waits" in window.title.text()
    assert "Reader B counts" in window.said.text()


def test_that_a_blinded_adjudicator_sees_codes_and_signs(qtbot, at_work, store):
    add_people(store, "judge", "reader-a")
    as_user(store, "judge")
    window = opened(qtbot, at_work)
    shown = " ".join(str(getattr(w, "text", lambda: "")()) + w.accessibleName() + w.toolTip() for w in window.findChildren(QWidget) if callable(getattr(w, "text", lambda: "")))
    assert window.pair.case.startswith("C-")
    assert window.pair.case in shown
    assert not any(name in shown for name in NAMES)
    window.choices.buttons()[0].setChecked(True)
    window.reason.setText("the node ends at the vessel")
    window.password.setText("not the password")
    window.sign.click()
    qtbot.waitUntil(lambda: window.said.property("tone") == "danger")
    assert window.password.text() == ""
    assert len(window.pairs) == 1
    window.password.setText(PASSWORD)
    window.sign.click()
    qtbot.waitUntil(lambda: window.pairs == ())
    assert verify(store, files=False).signatures_checked == 1


def test_that_a_reader_has_no_way_to_the_pairs(qtbot, at_work, store):
    told = Told(at_work)
    window = opened(qtbot, at_work)
    add_people(store, "reader-a")
    as_user(store, "reader-a")
    at_work.user_changed.emit()
    assert not window.isVisible()
    assert open_adjudication(at_work) is None
    assert told.has("adjudicate")
    with refused("right_missing"):
        waiting_pairs(store)


def test_that_outlines_are_drawn_in_the_window(qtbot, session, drawn):
    session.study = drawn
    window = opened(qtbot, session)
    qtbot.waitUntil(lambda: window.pictures[0].found is not None)
    first, second = (p.grab().toImage() for p in window.pictures)
    assert first != second  # each reader's own outline is the firm one
    assert "slice" in window.pictures[0].words
    window.close()
    session.jobs.close()
    session.study = None


def test_that_a_missing_reading_is_told_in_words(store):
    case_node, visit = store.nodes()[0], store.visits("S-001")[1]
    for reader, status, volume in (("reader-a", ReadingStatus.NOT_EVALUABLE, None), ("reader-b", ReadingStatus.MEASURED, 1.0)):
        draft = replace(store.readings()[0], reading_id="", visit_id=visit.visit_id, node_id=case_node.node_id, reader=reader, status=status, volume_ml=volume, volume_interval_ml=None, status_reason="motion" if volume is None else None, state="measured", version=1, locked_utc=None, locked_by=None, lock_meaning=None)
        store.lock_reading(store.save_reading(draft).reading_id, "Dr Reader", "I have reviewed this")
    pair = next(p for p in waiting_pairs(store) if p.visit_id == visit.visit_id)
    texts = next(line.texts for line in comparison(pair) if line.name == "Finding")
    assert sorted(texts) == ["Measured", "Not evaluable: motion"]
