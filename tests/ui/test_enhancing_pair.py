"""The enhancing part by a CT before and one after contrast in the window: proposed, taken, undone, kept; never of another outline."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from app.demo.dicom_files import Occasion, write_ct_series
from app.jobs import JobContext
from app.study.store import StudyStore
from app.ui.panels.enhancing import EnhancingSection
from app.ui.panels.enhancing_pair import PairBox
from app.ui.session import Session
from app.usecases.enhancing_pair import KEY, SOURCE
from app.usecases.import_images import import_folder
from app.usecases.readings import mask_of_reading, pack_mask, unpack_mask
from tests.ui.test_enhancing import READER, WAIT_MS, open_study, settle
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask


@dataclass(frozen=True)
class Case:
    """Pictures before and after contrast as int16, the node's outline and its part that enhances, in ml."""

    pre: np.ndarray
    post: np.ndarray
    node: NodeMask
    viable_ml: float


@pytest.fixture(scope="module")
def case() -> Case:
    """A node in tissue with a grain that pictures can be laid on each other by; half of it rises by 70 HU. The first picture lies 2 mm beside the second."""
    rng = np.random.default_rng(5)
    geometry = ImageGeometry.from_spacing((28, 56, 56), (1.0, 1.0, 1.5), (0.0, 0.0, 0.0))
    grain = ndimage.gaussian_filter(rng.normal(size=geometry.shape), (1.6, 2.5, 2.5))
    tissue = 45 + 25 * grain / grain.std()
    k, j, i = np.indices(geometry.shape)
    inside = ((k - 14) * 1.5) ** 2 + (j - 28) ** 2 + (i - 28) ** 2 <= 7.5**2
    tissue[inside] = 40
    vessel = (j - 41) ** 2 + (i - 41) ** 2 <= 5**2
    lit = inside & (i >= 28)
    after = tissue + 140 * vessel + 70 * lit
    pictures = [ndimage.gaussian_filter(p, (0, 0.6, 0.6)) + rng.normal(0, 4, p.shape) for p in (ndimage.shift(tissue, (0, 0, 2), order=1, mode="nearest"), after)]
    pre, post = (np.rint(p).astype(np.int16) for p in pictures)
    return Case(pre, post, NodeMask(inside, geometry), float(lit.sum()) * geometry.voxel_size_mm3 / 1000)


@pytest.fixture(scope="module")
def pair_template(tmp_path_factory, case) -> Path:
    """A study with both pictures at one visit and the node outlined on the second."""
    root = tmp_path_factory.mktemp("pair")
    for name, picture in (("after", case.post), ("before", case.pre)):
        write_ct_series(root / "in" / name, Occasion(1, "Baseline", date(2025, 1, 13)), picture, case.node.geometry, name)
    with StudyStore.create(root / "study") as store:
        import_folder(store, "S-001", "Baseline", root / "in", JobContext())
        node = store.add_node("S-001", "N1", "left", "II", seed_mm=(28.0, 28.0, 21.0))
        store.save_draft_mask(node.node_id, store.visits("S-001")[0].visit_id, pack_mask(case.node), reader=READER)
    return root / "study"


@pytest.fixture(scope="module")
def known() -> dict:
    """What was worked out once, for the tests after the first one."""
    return {}


@pytest.fixture
def worked_out(qtbot, session, pair_template, case, known, tmp_path) -> EnhancingSection:
    """The section, with the pair worked out and not taken."""
    study = Path(shutil.copytree(pair_template, tmp_path / "study"))
    open_study(qtbot, session, study)
    if not np.array_equal(session.image.array, case.post):
        session.open_series(session.pair_series()[0].series_id)
        settle(qtbot, session)
    section = EnhancingSection(session)
    qtbot.addWidget(section)
    for signal in (session.nodes_changed, session.measurement_changed, session.image_changed):
        signal.connect(lambda *_: section.refresh(session.current))
    section.refresh(session.current)
    if "pair" in known:
        session.enhancing_of(session.current_node_id).proposed = known["pair"]
        session.measurement_changed.emit(session.current_node_id)
    else:
        section.pair.work.click()
    settle(qtbot, session)
    known["pair"] = session.current.enhancing.proposed
    assert known["pair"] is not None, section.pair.state.text()
    return section


def test_that_a_pair_is_proposed_taken_undone_and_kept_with_how_it_was_made(qtbot, session, worked_out, case):
    box, node, folder = worked_out.pair, session.current_node_id, session.study.folder
    assert [box.before.itemText(n) for n in range(box.before.count())] == [f"{session.pair_before.description} · {1 + session.series.index(session.pair_before)}"]
    stated = session.current.enhancing
    assert stated.pair is None
    assert stated.proposed.record["viable_ml"] == pytest.approx(case.viable_ml, rel=0.25)
    assert stated.marked()[1] is stated.proposed.index
    assert stated.marked(taken_only=True) is None
    assert "Proposed grade: 2." in box.told.text() or "Proposed grade: 3." in box.told.text()
    assert box.take.isEnabled()

    uids = (session.shown_series.series_uid, session.pair_before.series_uid)
    box.take.click()
    settle(qtbot, session)
    assert worked_out.choice.currentData() == "pair"
    steps = session.undo_stack.count()
    session.undo_stack.undo()
    settle(qtbot, session)
    assert (stated.pair, steps, session.undo_stack.canUndo()) == (None, 1, False)
    session.undo_stack.redo()
    settle(qtbot, session)

    assert session.close() == []  # kept until a reading holds it
    again = Session()
    again.open_study(folder)
    qtbot.waitUntil(lambda: again.current is not None and again.current.measurement is not None and not again.jobs.is_busy(), timeout=WAIT_MS)
    assert again.current.enhancing.volumes_ml == stated.volumes_ml
    again.lock_reading(node, "A Reader", "read")
    settle(qtbot, again)
    reading, record = again.current.reading, again.current.reading.measurement[KEY]
    assert (reading.viable_from, reading.ablated_from, reading.enhancing_above_hu) == (SOURCE, "derived", None)
    assert reading.viable_ml + reading.ablated_ml == pytest.approx(reading.volume_ml)
    assert (record["series_uid"], record["pre_series_uid"]) == uids
    assert np.allclose(np.abs(record["registration"]["shift_mm"]), (2, 0, 0), atol=0.5)
    assert {"residual_mm", "method"} <= set(record["registration"])
    assert "before and after contrast" in reading.enhancing_source
    viable = unpack_mask(again.study.get_blob(reading.viable_mask_sha256)).array
    assert viable.sum() * case.node.geometry.voxel_size_mm3 / 1000 == pytest.approx(reading.viable_ml)
    assert not (viable & ~mask_of_reading(again.study, reading).array).any()
    again.close()
    again.deleteLater()


def test_that_another_outline_never_takes_the_part_a_threshold_replaces_it_and_a_cancelled_job_leaves_nothing(qtbot, session, worked_out):
    worked_out.pair.take.click()
    settle(qtbot, session)
    node, stated = session.current_node_id, session.current.enhancing
    session.edit_mask("shrink")
    settle(qtbot, session)
    assert stated.marked() is None
    assert session.lockable(node)[0] is None
    assert "outline was changed" in worked_out.pair.state.text()
    assert [f.value for f in worked_out.figures.model_.rows] == [None, None]
    with pytest.raises(Exception, match="outline was changed"):
        stated.pair.part(session.current.draft.as_mask())
    session.undo_stack.undo()
    settle(qtbot, session)
    assert session.lockable(node) == ("outline", "")
    session.set_enhancing(node, 70.0)
    settle(qtbot, session)
    assert (stated.pair, worked_out.choice.currentData()) == (None, "hu")
    session.undo_stack.undo()  # the step that took the pair takes no threshold back
    settle(qtbot, session)
    assert (stated.pair, stated.threshold_hu) == (None, 70.0)
    kept = len(session.study.events())
    worked_out.pair.work.click()
    session.jobs.cancel()
    settle(qtbot, session)
    assert (stated.proposed, stated.pair, len(session.study.events())) == (None, None, kept)
    assert worked_out.pair.work.isEnabled()


def test_that_a_visit_with_one_picture_offers_no_pair(styled_qapp, session):
    box = PairBox(session)
    box.refresh(None)
    assert (box.isHidden(), session.pair_series()) == (True, [])
