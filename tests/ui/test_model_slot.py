"""A user's own network in the window: off by default, verified, in a process of its own, previewed, and recorded."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from app.demo.dicom_files import Occasion
from app.jobs import JobContext
from app.settings import Settings, load_settings, save_settings, settings_file
from app.study.audit import verify
from app.study.store import StudyStore
from app.ui.dialogs.model_slot import ModelSlotDialog, open_model_dialog
from app.usecases.import_images import import_folder
from app.usecases.readings import mask_of_reading
from tests.factories import ellipsoid_image, write_ellipsoid_ct
from tests.model_files import MANIFEST, endless_network, model_folder, threshold_network, wait_until_at_work
from volumetry.segmentation.model_slot import manifest_from

CENTRE = (12.3, -8.1, 105.2)
WAIT_MS = 40_000


@pytest.fixture(autouse=True)
def own_settings(tmp_path, monkeypatch) -> Path:
    """Nothing of the person who runs the tests is read or changed."""
    place = tmp_path / "config" / "settings.json"
    monkeypatch.setenv("NODUS_SETTINGS", str(place))
    return place


@pytest.fixture(scope="module")
def network() -> bytes:
    return threshold_network()


@pytest.fixture
def slot(tmp_path, network) -> Path:
    return model_folder(tmp_path / "slot", network)


@pytest.fixture(scope="module")
def templates(tmp_path_factory) -> Path:
    """Two studies of one CT and one node: the protocol of one allows outlines by a model, the other's does not."""
    root = tmp_path_factory.mktemp("model")
    write_ellipsoid_ct(root / "dicom" / "ct", occasion=Occasion(1, "Baseline", date(2025, 1, 13)))
    content = json.loads((Path(__file__).parents[2] / "resources" / "protocols" / "ire-cervical-ln.json").read_text("utf-8"))
    content["reading"]["allow_model_outlines"] = True
    (root / "allows.json").write_text(json.dumps(content))
    for name, protocol in (("allows", root / "allows.json"), ("forbids", "ire-cervical-ln")):
        with StudyStore.create(root / name, protocol=protocol) as store:
            import_folder(store, "S-001", "Baseline", root / "dicom", JobContext())
            store.add_node("S-001", "N1", "left", "II", seed_mm=CENTRE)
    return root


@pytest.fixture
def told(session) -> list[tuple[str, str]]:
    lines: list[tuple[str, str]] = []
    session.notice.connect(lambda severity, text: lines.append((severity, text)))
    session.jobs.failed.connect(lambda error, text: lines.append(("bug", text)))
    yield lines
    assert [text for severity, text in lines if severity == "bug"] == []


def opened(qtbot, session, folder: Path, tmp_path: Path):
    session.open_study(shutil.copytree(folder, tmp_path / "study"))
    qtbot.waitUntil(lambda: session.image is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    return session


def settle(qtbot, session) -> None:
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=WAIT_MS)


def switch_on(qtbot, session, folder: Path) -> None:
    session.set_model(str(folder), True)
    settle(qtbot, session)


@pytest.fixture
def study(qtbot, session, told, templates, tmp_path, slot):
    """A study that allows it, open, with the model switched on."""
    opened(qtbot, session, templates / "allows", tmp_path)
    switch_on(qtbot, session, slot)
    yield session
    session.close()


def propose(qtbot, session) -> None:
    session.outline_by_model(CENTRE)
    qtbot.waitUntil(lambda: session.proposal is not None, timeout=WAIT_MS)


# ---- the switch ----------------------------------------------------------------------------------
def test_that_nobody_has_a_model_switched_on_unless_they_did_it(own_settings):
    assert load_settings() == Settings() == Settings(False, None)
    for damaged in ("", "{", "[]", '{"model_on": "yes", "model_folder": 3}', '{"model_on": 1}'):
        own_settings.parent.mkdir(exist_ok=True)
        own_settings.write_text(damaged)
        assert load_settings() == Settings(False, None)


def test_that_the_switch_is_kept_and_leaves_other_choices_alone(own_settings):
    own_settings.parent.mkdir()
    own_settings.write_text('{"of_another_version": 7}')
    save_settings(Settings(True, "somewhere"))
    assert load_settings() == Settings(True, "somewhere")
    assert json.loads(settings_file().read_text())["of_another_version"] == 7
    assert [p.name for p in own_settings.parent.iterdir()] == ["settings.json"]


def test_that_a_switch_that_cannot_be_kept_does_not_hold(qtbot, session, told, slot, own_settings):
    own_settings.parent.mkdir()
    own_settings.mkdir()  # a folder stands where the file should
    switch_on(qtbot, session, slot)
    assert not session.model_is_on
    assert any("could not be kept" in text for _, text in told)


def test_that_without_the_switch_the_model_is_refused_and_no_process_starts(qtbot, session, told, templates, tmp_path):
    opened(qtbot, session, templates / "allows", tmp_path)
    session.outline_by_model(CENTRE)
    settle(qtbot, session)
    assert session.proposal is None
    assert any("switched off" in text for _, text in told)
    assert multiprocessing.active_children() == []
    session.close()


# ---- a proposal ----------------------------------------------------------------------------------
def test_that_a_proposal_is_nobodys_outline_until_it_is_taken(qtbot, study):
    propose(qtbot, study)
    assert study.current.draft is None
    assert study.preview[0] is study.proposal.mask
    truth = ellipsoid_image().truth.array
    assert 2 * (study.proposal.mask.array & truth).sum() / (study.proposal.mask.array.sum() + truth.sum()) > 0.93
    study.drop_proposal()
    assert (study.proposal, study.preview, study.current.draft) == (None, None, None)
    assert study.undo_stack.count() == 0


def test_that_taking_it_is_one_step_that_can_be_undone(qtbot, study):
    study.commit_segmentation(CENTRE, 9.0)
    qtbot.waitUntil(lambda: study.current.measurement is not None, timeout=WAIT_MS)
    settle(qtbot, study)
    before, steps = study.current.draft.array.copy(), study.undo_stack.count()
    propose(qtbot, study)
    proposed = study.proposal.mask.array
    study.accept_proposal()
    settle(qtbot, study)
    assert study.undo_stack.count() == steps + 1
    assert np.array_equal(study.current.draft.array, proposed)
    assert study.current.draft.origin.method == "model"
    assert (study.proposal, study.preview, study.tool) == (None, None, "crosshair")
    study.undo_stack.undo()
    settle(qtbot, study)
    assert np.array_equal(study.current.draft.array, before)
    assert study.current.draft.origin.method == "star_convex"


def test_that_the_model_is_recorded_with_the_reading_through_repairs_and_into_the_export(qtbot, study, slot, tmp_path):
    from app.usecases.export_edc import export_study

    propose(qtbot, study)
    study.accept_proposal()
    settle(qtbot, study)
    node_id = study.current_node_id
    study.keep_reading(node_id)
    settle(qtbot, study)
    manifest = json.loads((slot / "model.json").read_text())
    record = {"method": "model", "edited": False, **{k: manifest[k] for k in ("name", "version", "licence", "sha256")}}
    first = study.current.reading
    assert first.measurement["segmentation"] == record
    assert "model_outline" in [w["code"] for w in first.warnings]
    study.edit_mask("grow")
    settle(qtbot, study)
    study.lock_reading(node_id, "Ann Example", "I made this reading and stand by it")
    settle(qtbot, study)
    locked = study.current.reading
    assert locked.measurement["segmentation"] == {**record, "edited": True}
    assert mask_of_reading(study.study, locked).origin.as_dict() == {**record, "edited": True}
    assert [w["code"] for w in locked.warnings].count("model_outline") == 1
    export_study(study.study, "csv", tmp_path / "out")
    header, row = (line.split(",") for line in (tmp_path / "out" / "readings.csv").read_text("utf-8-sig").splitlines()[:2])
    exported = dict(zip(header, row, strict=True))
    assert (exported["outlined_by"], exported["outline_edited"], exported["model_sha256"]) == ("model", "1", manifest["sha256"])
    assert (exported["model_name"], exported["model_licence"]) == ("soft tissue 1", "CC0-1.0")
    assert verify(study.study).ok


def test_that_the_protocol_decides_whether_a_study_takes_it(qtbot, session, told, templates, tmp_path, slot):
    opened(qtbot, session, templates / "forbids", tmp_path)
    switch_on(qtbot, session, slot)
    session.outline_by_model(CENTRE)
    settle(qtbot, session)
    assert session.proposal is None
    assert any("protocol does not let a central reading rest on an outline proposed by a model" in text for _, text in told)
    session.close()


def test_that_a_model_changed_since_it_was_switched_on_is_refused(qtbot, study, told, slot):
    (slot / "model.onnx").write_bytes(b"another network")
    study.outline_by_model(CENTRE)
    settle(qtbot, study)
    assert study.proposal is None
    assert any("not the one its manifest describes" in text for _, text in told)


def test_that_a_cancelled_model_leaves_no_process_and_no_proposal(qtbot, study, tmp_path):
    switch_on(qtbot, study, model_folder(tmp_path / "endless", endless_network()))
    study.outline_by_model(CENTRE)
    qtbot.waitUntil(lambda: len(multiprocessing.active_children()) == 1, timeout=WAIT_MS)
    (child,) = multiprocessing.active_children()
    wait_until_at_work(child.pid)
    assert child.is_alive()
    study.drop_proposal()
    qtbot.waitUntil(lambda: not study.model_is_working, timeout=WAIT_MS)
    assert multiprocessing.active_children() == []
    with pytest.raises(ValueError, match="closed"):  # ended, waited for and let go
        child.is_alive()
    assert study.proposal is None


def test_that_another_picture_discards_what_was_proposed_for_this_one(qtbot, study):
    propose(qtbot, study)
    study.open_visit(study.visit.visit_id)
    assert study.proposal is None
    qtbot.waitUntil(lambda: study.image is not None, timeout=WAIT_MS)
    settle(qtbot, study)
    study.accept_proposal()
    assert study.current.draft is None


# ---- in the window -------------------------------------------------------------------------------
@pytest.fixture
def window(qtbot, study):
    from app.ui.main_window import MainWindow

    made = MainWindow(study)
    qtbot.addWidget(made)
    made.show()
    yield made
    made.close()


def test_that_the_keys_ask_take_and_discard(qtbot, window, study):
    for name in ("model", "model_accept", "model_discard"):
        window.refresh_actions()
        assert window.qactions[name].isEnabled() == (name == "model"), name
    study.set_crosshair(CENTRE)
    window.qactions["model"].trigger()
    assert study.tool == "model"
    qtbot.waitUntil(lambda: study.proposal is not None, timeout=WAIT_MS)
    assert window.qactions["model_accept"].isEnabled()
    assert "N1" in window.toolbox.current.hint()
    pane = window.panes.panes["axial"]
    with_proposal = pane.grab().toImage()
    qtbot.keyClick(pane, Qt.Key.Key_Escape)
    assert (study.proposal, study.tool, study.current.draft) == (None, "crosshair", None)
    assert pane.grab().toImage() != with_proposal
    window.qactions["model"].trigger()
    qtbot.waitUntil(lambda: study.proposal is not None, timeout=WAIT_MS)
    qtbot.keyClick(pane, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: study.current.draft is not None, timeout=WAIT_MS)
    assert not window.qactions["model_accept"].isEnabled()
    settle(qtbot, study)


def test_that_switched_off_the_key_does_nothing(qtbot, window, study, slot):
    study.set_model(str(slot), False)
    settle(qtbot, study)
    assert not window.qactions["model"].isEnabled()
    assert window.qactions["model_slot"].isEnabled()
    qtbot.keyClick(window.panes.panes["axial"], Qt.Key.Key_N, Qt.KeyboardModifier.ShiftModifier)
    QApplication.processEvents()
    assert study.tool == "crosshair"
    assert not study.model_is_working


# ---- the dialog ----------------------------------------------------------------------------------
def test_that_the_dialog_shows_what_was_verified_and_keeps_the_choice(qtbot, session, told, slot):
    dialog = open_model_dialog(session, None)  # deletes itself when it is closed
    assert not dialog.on.isChecked()
    dialog.on.setChecked(True)
    assert not dialog.accept_button.isEnabled()
    dialog.folder.setText(str(slot))
    qtbot.waitUntil(lambda: not dialog.is_checking, timeout=WAIT_MS)
    facts = {name: label.text() for name, label in dialog.facts.items()}
    assert (facts["name"], facts["version"], facts["licence"]) == ("soft tissue", "1", "CC0-1.0")
    assert facts["made_for"].startswith("CT")
    assert "verified" in facts["hash"]
    assert dialog.accept_button.isEnabled()
    dialog.accept()
    settle(qtbot, session)
    assert load_settings() == Settings(True, str(slot))
    assert session.model_is_on


def change_network(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"changed")


def remove_manifest(folder: Path) -> None:
    (folder / "model.json").unlink()


def leave_licence_out(folder: Path) -> None:
    (folder / "model.json").write_text(json.dumps({**MANIFEST, "sha256": "0" * 64, "licence": ""}))


def add_networks(folder: Path) -> None:
    for name in ("first.onnx", "second.onnx"):
        shutil.copy(folder / "model.onnx", folder / name)
    (folder / "model.onnx").unlink()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [(change_network, "not the one its manifest describes"), (remove_manifest, "no manifest"), (leave_licence_out, "no licence"), (add_networks, "2 files")],
)
def test_that_the_dialog_refuses_with_a_reason_and_cannot_switch_on(qtbot, session, told, slot, spoil, words):
    spoil(slot)
    dialog = ModelSlotDialog(str(slot), True, session.describe_model)
    qtbot.addWidget(dialog)
    qtbot.waitUntil(lambda: not dialog.is_checking, timeout=WAIT_MS)
    assert words in dialog.facts["hash"].text()
    assert not dialog.accept_button.isEnabled()
    dialog.on.setChecked(False)
    assert dialog.accept_button.isEnabled()  # switching off is always possible


def test_that_a_dialog_closed_while_it_checks_is_left_alone(qtbot, session, told, slot):
    answers = []
    dialog = ModelSlotDialog(str(slot), False, lambda folder, then: answers.append(then))
    dialog.open()
    dialog.reject()
    qtbot.wait(50)
    from app.usecases.segment_model import describe_model

    answers[0](describe_model(slot))  # the widget is gone by now


def test_that_the_manifest_of_the_documentation_is_a_valid_one():
    page = (Path(__file__).parents[2] / "resources" / "docs" / "segmentation.md").read_text("utf-8")
    example = page.split("```json", 1)[1].split("```", 1)[0]
    manifest = manifest_from(json.loads(example))
    assert manifest.modality == "CT"
