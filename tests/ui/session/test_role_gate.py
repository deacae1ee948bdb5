"""Panel buttons that a role does not allow: off with the reason, and back for who may."""

from __future__ import annotations

import pytest

from app.study.store import StudyStore
from app.ui.panels import make_panel
from tests.ui.session.hands import CENTRE, RADIUS_MM, settle, two_needles
from tests.ui.session.users import ADMIN, READER, SITE, WORD, sign_in

WATCHER = "watcher"


@pytest.fixture
def watched(users_study):
    """The study with a monitor, too."""
    with StudyStore.open(users_study) as store:
        store.sign_in(ADMIN, WORD)
        store.add_user(WATCHER, "Mona Monitor", ["monitor"], WORD)
    return users_study


def show(qtbot, session, step: str):
    made = make_panel(step, session)
    qtbot.addWidget(made)
    made.show()
    return made


def test_that_a_monitor_finds_every_button_off_with_its_reason_and_a_site_reader_on(qtbot, session, told, watched):
    sign_in(qtbot, session, watched, WATCHER)
    qtbot.waitUntil(lambda: session.image is not None)
    settle(qtbot, session)
    plan, measure, report = (show(qtbot, session, step) for step in ("plan", "measure", "report"))
    two_needles(session)
    for panel in (plan, measure, report):
        panel.refresh()
    gates = (plan.gate, report.gate, *measure.gates)
    for gate in gates:
        for widget in gate.widgets:
            assert not widget.isEnabled(), widget.accessibleName()
            assert "Your role does not let you" in widget.toolTip(), widget.accessibleName()
    assert "keep plans" in plan.place.toolTip()
    assert plan.place.toolTip().startswith("Click entry then tip")
    assert "export" in report.csv_button.toolTip()
    with qtbot.waitSignal(session.sign_in_asked):
        session.sign_out()
    sign_in(qtbot, session, watched, SITE)
    qtbot.waitUntil(lambda: session.image is not None)
    settle(qtbot, session)
    two_needles(session)
    assert plan.place.isEnabled()
    assert plan.primary.isEnabled()
    assert plan.place.toolTip() == "Click entry then tip, or tip then entry, in any two panes (P)"
    assert measure.add_button.isEnabled()
    assert measure.tools.buttons["node"].isEnabled()
    assert not measure.tools.buttons["fill"].isEnabled()  # there is no outline yet
    assert "Your role" not in measure.tools.buttons["fill"].toolTip()
    assert not report.csv_button.isEnabled()
    session.close()


def test_that_a_blinded_reader_who_clicks_without_a_node_is_asked_for_it_with_side_and_level(qtbot, session, told, users_study):
    sign_in(qtbot, session, users_study, READER)
    session.open_next_case()
    qtbot.waitUntil(lambda: session.image is not None)
    settle(qtbot, session)
    panel = show(qtbot, session, "measure")
    session.select_node(None)
    session.commit_segmentation(CENTRE, RADIUS_MM)
    settle(qtbot, session)
    assert told.has("Add the node first")
    assert panel.dialog is not None
    assert panel.dialog.isVisible()
    assert [n.label for n in session.subject_nodes] == ["N1"]
    panel.dialog.reject()
    session.close()
