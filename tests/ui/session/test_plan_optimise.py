"""The optimiser in the window: asked from the panel, beside the window, taken as one step, never over a plan changed by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import QTimer

from app.ui.panels import make_panel
from planning.optimise import Effort
from tests.ui.panels.hands import HEIGHT_PX, WIDTH_PX, texts
from tests.ui.session.hands import settle, two_needles

SMALL = Effort(layouts=60, generations=6, shortlist=1, solves=2, rounds=1)


@pytest.fixture
def ready(outlined):
    """Two needles that cover badly, a small search on a coarse grid."""
    outlined.search_effort, outlined.search_spacing_mm = SMALL, 2.5
    two_needles(outlined, 10.0)
    outlined.set_plan(replace(outlined.plan, pairs=(replace(outlined.plan.pairs[0], v_per_cm=700.0),)), "Weak")
    return outlined


@pytest.fixture
def panel(qtbot, ready):
    """The Plan step with its section open."""
    made = make_panel("plan", ready)
    qtbot.addWidget(made)
    made.resize(WIDTH_PX, HEIGHT_PX)
    made.show()
    qtbot.waitExposed(made)
    made.optimise.set_open(True)
    return made.optimise


class Turns:
    """Counts turns of the event loop while a job runs."""

    def __init__(self, session):
        self.count, self.session = 0, session
        self.timer = QTimer()
        self.timer.timeout.connect(self._turn)
        self.timer.start(5)

    def _turn(self) -> None:
        self.count += self.session.jobs.is_busy("optimise")


def test_that_proposals_are_shown_with_trade_offs_and_one_is_taken_as_one_step(qtbot, ready, panel):
    session, before, turns, said = ready, ready.plan, Turns(ready), []
    session.jobs.progressed.connect(lambda event: said.append(event.message))
    panel.start.click()
    assert session.is_searching
    assert not panel.start.isVisible()
    assert panel.job.isVisible()
    settle(qtbot, session)
    assert turns.count > 10  # the window went on
    assert any("arrangements looked at" in text for text in said)
    assert session.plan is before  # only shown
    answer = session.search.answer
    shown = texts(panel.table)
    assert len(shown) == len(answer["proposals"]) + 1
    assert shown[-1][0] == "○"
    best = answer["proposals"][0]
    assert best["trade_off"]["coverage_pct"] >= answer["start"]["coverage_pct"]
    assert str(best["trade_off"]["pairs"]) == shown[0][4]
    assert "No structure at risk is outlined" in panel.trouble.text()
    assert "Against the plan before" in panel.against.text()
    assert [n.id for n in session.ghost_needles] == [e["id"] for e in best["plan"]["electrodes"]]

    steps = session.undo_stack.count()
    panel.take.click()
    assert session.undo_stack.count() == steps + 1
    assert session.ghost_needles == ()
    assert [session.plan.voltage_v(p) for p in session.plan.pairs] == [p["voltage_v"] for p in best["plan"]["pulses"]]
    assert [n.tip_mm for n in session.plan.needles] == [tuple(e["tip_mm"]) for e in best["plan"]["electrodes"]]
    settle(qtbot, session)
    assert session.assessment is not None  # the field followed
    assert not panel.take.isEnabled()
    session.undo_stack.undo()
    assert session.plan == before
    assert panel.take.isEnabled()


def test_that_a_plan_changed_by_hand_while_the_search_ran_stays_and_is_named(qtbot, ready, panel):
    panel.start.click()
    first = ready.plan.needles[0]
    ready.set_plan(ready.plan.with_needle(replace(first, exposure_mm=25.0)), "By hand")
    by_hand = ready.plan
    ready.stop_search()
    settle(qtbot, ready)
    assert ready.plan is by_hand
    assert ready.search.answer["stopped_by"] == "cancelled"
    assert "Stopped: the best so far" in panel.state_text.text()
    assert "You changed the plan" in panel.state_text.text()
    assert any(r.code == "search_stopped" for r in panel.findings.rows)


def test_that_a_change_of_what_proposals_are_for_drops_them_and_ends_the_search(qtbot, ready, panel, told):
    panel.start.click()
    ready.set_plan(replace(ready.plan, lethal_v_per_cm=800.0), "Lethal field")
    assert not ready.is_searching
    assert told.has("The search was stopped")
    assert panel.start.isVisible()
    settle(qtbot, ready)
    assert ready.search is None


def test_that_limits_come_from_the_device_and_impossible_ones_are_refused_in_words(qtbot, ready, panel):
    asked = panel.asked_limits()
    assert asked["voltage_v"] == [500.0, 3000.0]
    assert asked["current_a"] == 45.0
    assert asked["needles"] == [2, 6]
    assert asked["path_clearance_mm"] == 2.0
    low, high = panel.limits["voltage_v"]
    low.setValue(2900)
    high.setValue(600)
    panel.start.click()
    settle(qtbot, ready)
    assert ready.search is None
    assert "voltage_v leaves nothing" in panel.state_text.text()


def test_that_full_cover_that_is_forbidden_says_by_what(qtbot, ready, panel):
    for key, value in (("needles", 2), ("voltage_v", 600)):
        panel.limits[key][1].setValue(value)
    panel.start.click()
    settle(qtbot, ready)
    answer = ready.search.answer
    assert answer["stopped_by"] == "limits"
    assert answer["forbidden_by"]
    assert panel.forbidden.isVisible()
    assert all(b["message"][1:] in panel.forbidden.text() for b in answer["forbidden_by"])
    assert all(p["voltage_v"] <= 600 for proposal in answer["proposals"] for p in proposal["plan"]["pulses"])


def test_that_a_search_needs_a_way_in(ready, panel):
    assert panel.start.isEnabled()
    ready.set_plan(ready.plan.without_needle("E2"), "One")
    assert not panel.start.isEnabled()
    assert "way in" in panel.start.toolTip()
