"""A trial that treats nothing has no Plan step, and nothing of it is taken for IRE."""

from __future__ import annotations

from app.study.store import StudyStore
from app.ui.session_thermal import NOTHING
from tests.ui.session.hands import settle


def test_that_a_trial_without_treatment_has_no_plan_step_and_others_keep_theirs(qtbot, session, told, window, tmp_path, study):
    session.open_study(study)
    settle(qtbot, session)
    session.set_step("plan")
    window.refresh_actions()
    assert session.step == "plan"
    with StudyStore.create(tmp_path / "none", protocol="latc-neoadjuvant") as store:
        store.add_subject("S-001")
        store.add_visit("S-001", "Baseline")
    session.open_study(tmp_path / "none")
    settle(qtbot, session)
    window.refresh_actions()
    assert session.modality == NOTHING
    assert session.treats_nothing
    assert session.steps_here() == ("images", "measure", "follow_up", "report")
    assert session.step == "measure"
    assert session.step_needs("plan") == ""
    session.set_step("plan")
    assert session.step == "measure"
    for name in ("step_plan", "needle", "suggest", "solve"):
        assert not window.qactions[name].isEnabled(), name
        assert not window.qactions[name].isVisible(), name
        assert "treats nothing" in window.qactions[name].toolTip(), name
    assert window.step_buttons["plan"].isHidden()
    session.solve()
    assert told.has("treats nothing")
    session.open_study(study)
    settle(qtbot, session)
    window.refresh_actions()
    assert session.modality == "ire"
    assert window.qactions["needle"].isVisible()
    assert not window.step_buttons["plan"].isHidden()
    session.close()
