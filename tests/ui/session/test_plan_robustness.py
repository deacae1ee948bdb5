"""Robustness in the window: run from the panel, its figures, its map, and when both go; kept with the plan run."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest

from app.ui.panels import make_panel
from app.ui.tools.box import ToolBox
from app.ui.views import probability_overlay
from app.ui.views.slice_pane import SlicePane
from planning.schematic import Schematic
from tests.planning.test_schematic import FILE
from tests.ui.panels.hands import HEIGHT_PX, WIDTH_PX
from tests.ui.session.hands import settle, solved, two_needles

SAMPLES = 3


@pytest.fixture
def ready(outlined):
    """Two needles about the node; a coarse grid, all in one process."""
    outlined.robustness_spacing_mm, outlined.robustness_processes = 2.5, 1
    two_needles(outlined)
    return outlined


@pytest.fixture
def panel(qtbot, ready):
    """The Plan step with its section open and few samples asked for."""
    made = make_panel("plan", ready)
    qtbot.addWidget(made)
    made.resize(WIDTH_PX, HEIGHT_PX)
    made.show()
    qtbot.waitExposed(made)
    made.robustness.set_open(True)
    made.robustness.samples.setValue(SAMPLES)
    return made.robustness


def run(qtbot, session, panel) -> dict:
    panel.start.click()
    settle(qtbot, session)
    return session.robustness.result.answer


def test_that_a_run_shows_percentiles_failed_samples_and_the_worst_needle(qtbot, ready, panel):
    said = []
    ready.jobs.progressed.connect(lambda event: said.append(event.message))
    panel.seed.setValue(7)
    answer = run(qtbot, ready, panel)
    assert any(text.startswith("Sample ") and text.endswith(f" of {SAMPLES}") for text in said)
    assert (answer["samples"], answer["seed"], answer["spread"]["tip_mm"]) == (SAMPLES, 7, 2.0)
    assert panel.fifth.figure.value == answer["coverage_pct"]["chosen"]["p5"]
    assert "500 V/cm" in panel.fifth.figure.label
    figures = {f.label: f for f in panel.figures.model_.rows}
    assert figures["5th perc., 700 V/cm"].value == answer["coverage_pct"]["compared"]["p5"]
    assert figures["Failed samples"].value == f"{SAMPLES - answer['solved']} / {SAMPLES}"
    assert (answer["worst_needle"] or "No single needle") in panel.worst.text()
    assert any(r.code == "few_samples" for r in panel.findings.rows)
    assert "seed 7" in panel.how.text()


def test_that_the_map_is_seen_with_named_lines_and_one_control_turns_back_to_the_field(qtbot, ready, panel):
    pane = SlicePane("axial", ready, ToolBox(ready))
    qtbot.addWidget(pane)
    pane.resize(420, 420)
    pane.show()
    qtbot.waitExposed(pane)
    solved(qtbot, ready)
    pane.zoom_to(ready.current.measurement.centroid_mm, 25.0)
    ready.set_crosshair(ready.current.measurement.centroid_mm)
    field = pane.grab().toImage()
    run(qtbot, ready, panel)
    assert ready.shown_map == "probability"
    shown = pane.grab().toImage()
    assert shown != field
    overlay = pane._probability
    assert [level for level, _ in overlay._lines] == list(probability_overlay.LEVELS)
    result = ready.robustness.result
    beside = np.add(ready.plan.needles[0].tip_mm, (3.0, 0.0, 8.0))  # half way up the metal, every sample reaches
    assert result.probability[tuple(result.geometry.world_to_index(beside).round().astype(int)[::-1])] == 1.0
    assert any("of samples" in text or "share of samples" in text for text, _ in overlay.notes())
    panel.switch["field"].click()
    assert pane.grab().toImage() == field
    panel.switch["probability"].click()
    assert pane.grab().toImage() == shown


def test_that_a_changed_plan_drops_figures_and_map(qtbot, ready, panel):
    run(qtbot, ready, panel)
    first = ready.plan.needles[0]
    ready.set_plan(ready.plan.with_needle(replace(first, exposure_mm=10.0)), "Exposure")
    assert ready.robustness is None
    assert ready.shown_map == "field"
    assert not panel.fifth.isVisible()
    assert "Run it again" in panel.state_text.text()
    ready.undo_stack.undo()
    assert ready.robustness is None  # run again, not remembered


def test_that_an_edited_outline_drops_it_too(qtbot, ready, panel):
    run(qtbot, ready, panel)
    ready.edit_mask("grow")
    qtbot.waitUntil(lambda: ready.robustness is None)


def test_that_a_run_under_way_ends_when_the_plan_changes_and_leaves_nothing_when_cancelled(qtbot, ready, panel, told):
    panel.samples.setValue(50)
    panel.start.click()
    assert panel.job.isVisible()
    ready.set_plan(ready.plan.without_needle("E2"), "One")
    assert not ready.is_sampling
    assert told.has("The robustness run was stopped")
    settle(qtbot, ready)
    ready.undo_stack.undo()
    panel.start.click()
    panel.job.stop.click()
    settle(qtbot, ready)
    assert ready.robustness is None
    assert panel.start.isVisible()
    assert not panel.job.isVisible()


def test_that_the_run_is_kept_with_the_plan(qtbot, ready, panel):
    solved(qtbot, ready)
    run(qtbot, ready, panel)
    ready.set_plan_session("day0")
    ready.save_plan()
    settle(qtbot, ready)
    (kept,) = ready.study.list_plan_runs("S-001")
    result = ready.robustness.result
    assert kept.content["robustness"]["coverage_pct"] == result.answer["coverage_pct"]
    with np.load(io.BytesIO(ready.study.get_blob(kept.blobs["coverage_probability"]))) as found:
        assert np.array_equal(found["probability"], result.probability)
        assert np.array_equal(found["affine"], result.geometry.affine)
    assert len(json.loads(ready.study.get_blob(kept.blobs["robustness_samples"]))) == SAMPLES
    assert len(kept.content["inputs"]["robustness_sha256"]) == 64


def test_that_a_schematic_is_run_with_a_wider_tip_until_it_is_set_by_hand(qtbot, ready, panel):
    assert panel.tip.value() == 2.0
    ready.make_schematic(Schematic.from_dict(FILE))
    settle(qtbot, ready)
    assert panel.tip.value() == 3.0
    assert run(qtbot, ready, panel)["spread"]["tip_mm"] == 3.0
    assert ready.shown_map == "probability"
    panel.tip.setValue(4.0)
    ready.plan_changed.emit()
    assert panel.tip.value() == 4.0


def test_that_a_cluster_that_cannot_be_had_is_refused_in_words(qtbot, ready, panel):
    panel.scheduler.setText("nonsense://nowhere")
    panel.start.click()
    settle(qtbot, ready)
    assert ready.robustness is None
    assert "Dask" in panel.state_text.text()


def test_that_bounds_the_wrong_way_round_are_refused_in_words(qtbot, ready, panel):
    panel.low.setValue(900)
    panel.start.click()
    settle(qtbot, ready)
    assert "the lower first" in panel.state_text.text()
