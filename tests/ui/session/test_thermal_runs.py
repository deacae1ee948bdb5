"""Plans of heat and cold in the window: kept as runs, opened with their zones, compared with their like, drawn in 3D."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.ui import session_thermal
from app.ui.panels import make_panel
from app.ui.views.compare_thermal import CompareThermalWindow
from app.ui.views.scene_pane import ScenePane, load_libraries
from tests.ui.panels.hands import HEIGHT_PX, WIDTH_PX
from tests.ui.session.hands import CENTRE, settle, solved, two_needles


@pytest.fixture
def ready(qtbot, outlined):
    """RFA with one needle through the node."""
    two_needles(outlined)
    outlined.set_plan(outlined.plan.without_needle("E2"), "One needle")
    needle = outlined.plan.needles[0]
    outlined.set_plan(outlined.plan.with_needle(replace(needle, tip_mm=(CENTRE[0], CENTRE[1], CENTRE[2] - 10), entry_mm=(CENTRE[0], CENTRE[1], CENTRE[2] + 60))), "Through")
    outlined.set_modality("rfa")
    settle(qtbot, outlined)
    return outlined


@pytest.fixture
def panel(qtbot, ready):
    made = make_panel("plan", ready)
    qtbot.addWidget(made)
    made.resize(WIDTH_PX, HEIGHT_PX)
    made.show()
    qtbot.waitExposed(made)
    return made


@pytest.fixture
def kept(qtbot, panel, ready):
    panel.thermal.keep.click()
    settle(qtbot, ready)
    return ready.kept_runs[0]


def test_that_the_zones_on_screen_are_kept_and_opened_again(qtbot, panel, ready, kept):
    assert (kept.thermal, kept.modality, kept.rounds, kept.node_id, kept.session) == (True, "rfa", (1,), ready.current_node_id, None)
    assert ready.thermal_run.plan_run_id == kept.plan_run_id
    assert not panel.thermal.keep.isVisible()
    before, zones = ready.thermal_choices, ready.thermal
    ready.set_needle_choice("E1", pull_back_mm=10.0)
    settle(qtbot, ready)
    assert ready.thermal_run is None
    ready.open_plan_run(kept.plan_run_id)
    settle(qtbot, ready)
    assert ready.thermal_run.plan_run_id == kept.plan_run_id
    assert ready.needle_choice("E1").pull_back_mm == 0
    assert ready.thermal.answer()["zone_ml"] == zones.answer()["zone_ml"]
    assert np.array_equal(ready.thermal.levels.whole >= 0, zones.levels.whole >= 0)
    assert kept.plan_run_id in panel.thermal.kept.text()
    assert before is not ready.thermal_choices
    ready.undo_stack.undo()
    settle(qtbot, ready)
    assert ready.needle_choice("E1").pull_back_mm == 10
    assert ready.thermal_run is None


def test_that_a_changed_outline_is_told_when_a_run_is_opened(qtbot, ready, kept, told):
    ready.commit_segmentation(CENTRE, 4.0)
    settle(qtbot, ready)
    ready.open_plan_run(kept.plan_run_id)
    settle(qtbot, ready)
    assert told.has("not outlined like this")


def test_that_opening_each_kind_brings_its_own_way_of_planning(qtbot, ready, kept):
    ready.set_modality("ire")
    two_needles(ready)
    ready.set_plan_session("day0")
    solved(qtbot, ready)
    ready.save_plan()
    settle(qtbot, ready)
    electric = next(r for r in ready.kept_runs if not r.thermal)
    assert electric.predecessor_id is None  # never a plan of the other kind
    ready.open_plan_run(kept.plan_run_id)
    settle(qtbot, ready)
    assert ready.modality == "rfa"
    assert ready.solution is None
    ready.open_plan_run(electric.plan_run_id)
    settle(qtbot, ready)
    assert (ready.modality, ready.field_run.plan_run_id) == ("ire", electric.plan_run_id)


def test_that_a_thermal_run_is_no_plan_of_a_field(qtbot, panel, ready, kept, told):
    runs = panel.runs
    assert runs.isVisible()
    assert not runs.which.isVisible()
    assert not runs.target.isVisible()
    assert all(row.role != "target" for row in panel.structures.model_.rows)
    runs.select(kept.plan_run_id)
    settle(qtbot, ready)
    assert not runs.lay.isEnabled()
    assert not runs.deliver.isEnabled()
    for use in (ready.start_placement, ready.ask_delivery):
        told.lines.clear()
        use(kept.plan_run_id)
        assert told.has("no pairs, pulses")


def test_that_two_thermal_plans_stand_side_by_side_and_two_kinds_do_not(qtbot, panel, ready, kept, told):
    shown = []
    ready.plans_side_by_side.connect(shown.append)
    ready.set_needle_choice("E1", pull_back_mm=12.0)
    settle(qtbot, ready)
    ready.compare_plan_runs(kept.plan_run_id, None)
    settle(qtbot, ready)
    assert shown[0].found["zone_ml"]["difference"] > 0
    window = CompareThermalWindow(ready, shown[0])
    qtbot.addWidget(window)
    assert "Chart zones" in [r.name for r in window.figures.model_.rows]
    ready.set_modality("ire")
    ready.compare_plan_runs(kept.plan_run_id, None)
    assert told.has("no figures in common")
    assert len(shown) == 1


def test_that_the_surfaces_of_the_course_stand_beside_the_chart_zone_with_names(qtbot, monkeypatch, ready):
    monkeypatch.setattr(session_thermal, "COARSE_MM", 3.0)
    load_libraries()
    pane = ScenePane(ready)
    qtbot.addWidget(pane)
    pane.resize(320, 280)
    pane.prepare()
    try:
        qtbot.waitUntil(lambda: "thermal" in pane.scene.parts)
        assert [b.text for b in pane._thermal_bands] == ["chart zone (prior)"]
        ready.set_modality("cryo_rf")
        settle(qtbot, ready)
        ready.solve_bioheat()
        settle(qtbot, ready)
        qtbot.waitUntil(lambda: len(pane._thermal_bands) == 4)
        assert [b.text.split(":")[0] for b in pane._thermal_bands] == ["chart zone (prior)", "0 °C", "−20 °C", "−40 °C"]
        assert {"thermal", "thermal:0 °C"} <= set(pane.scene.parts)
        assert not pane.grab().isNull()
        ready.set_modality("ire")
        assert not any(name.startswith("thermal") for name in pane.scene.parts)
        assert pane._thermal_bands == ()
    finally:
        settle(qtbot, ready)
        pane.shutdown()
