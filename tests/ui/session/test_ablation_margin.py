"""The margin after an ablation in the window: two visits that are registered, a lesion, a zone, and nothing shown that no longer holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.ui.comparison import Comparison
from app.ui.panels.ablation_margin import AblationMarginSection
from app.ui.views.scene_pane import ScenePane, load_libraries
from app.usecases.compare_visits import OtherOutline
from app.usecases.field_colours import margin_colours
from tests.ui.session.hands import CENTRE, RADIUS_MM, settle
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.registration import RigidRegistration

MOVE_MM = np.array([25.0, -14.0, 9.0])
RESIDUAL_MM = 0.8


def ball(geometry: ImageGeometry, centre, radius_mm: float) -> NodeMask:
    k, j, i = np.indices(geometry.shape)
    return NodeMask(np.linalg.norm(geometry.index_to_world(np.stack([i, j, k], -1)) - centre, axis=-1) <= radius_mm, geometry)


def lay_beside(session, visit, masks: dict[str, NodeMask], method: str | None = "automatic") -> Comparison:
    """Another visit whose patient lies ``MOVE_MM`` away."""
    here = session.image
    affine = here.geometry.affine.copy()
    affine[:3, 3] += MOVE_MM
    geometry = ImageGeometry(here.geometry.shape, affine)
    there = ImageVolume(here.array, geometry, here.unit, replace(here.source, series_uid="1.2.3"))
    matrix = np.eye(4)
    matrix[:3, 3] = MOVE_MM
    outlines = {i: OtherOutline(replace(m, geometry=geometry), 1.0, None, None) for i, m in masks.items()}
    comparison = Comparison(visit, session.series[0], here, there, outlines, automatic=RigidRegistration(matrix, "mutual_information", RESIDUAL_MM), method=method)
    session.comparison = comparison
    session.comparison_changed.emit()
    return comparison


@pytest.fixture
def beside(outlined):
    """Baseline with its lesion on screen; beside it Day 30 with a zone of 14 mm radius about it."""
    node = outlined.current_node_id
    zone = ball(outlined.image.geometry, CENTRE, 14.0)
    lay_beside(outlined, outlined.visits[1], {node: zone})
    outlined.choose_ablation(zone=node)
    return outlined


@pytest.fixture
def section(qtbot, beside):
    made = AblationMarginSection(beside)
    qtbot.addWidget(made)
    made.resize(316, 700)
    made.show()
    return made


def test_that_a_margin_is_measured_through_the_registration_with_its_error_beside(qtbot, beside, section):
    assert section.measure.isEnabled()
    assert [section.boxes[k].currentText() for k in ("lesion", "zone", "liver")] == ["N1 · Baseline", "N1 · Day 30", "not outlined"]
    section.measure.click()
    assert beside.is_measuring_ablation
    settle(qtbot, beside)
    rows = {r.name: r for r in section.table.model_.rows}
    assert rows["Smallest"].whole == pytest.approx(14.0 - 8.0, abs=0.7)  # the longest half axis is 8 mm
    assert rows["Median"].whole > rows["5th percentile"].whole > rows["Smallest"].whole
    assert rows["Surface < 0 mm"].whole == 0
    assert 0 < rows["Surface < 10 mm"].whole <= 100
    assert all(r.away is None for r in rows.values())
    assert "error 0.8 mm" in section.error.text()
    assert "No liver" in section.error.text()
    answer = beside.ablation.answer.to_dict()
    assert answer["lesions"][0]["margin_less_residual_mm"] == pytest.approx(rows["Smallest"].whole - RESIDUAL_MM)


def test_that_a_zone_is_never_guessed_and_the_nodes_own_outline_is_doubted(beside, section):
    assert "what is left of the lesion" in section.doubt.text()  # one outline bears both names
    beside._ablation_choice = replace(beside.ablation_choice, zone=None)
    beside.comparison_changed.emit()
    assert section.boxes["zone"].currentIndex() == -1
    assert section.doubt.text() == ""
    assert "Choose the ablation zone" in section.why.text()
    assert not section.measure.isEnabled()


def test_that_the_later_visit_may_be_the_one_on_screen(qtbot, outlined):
    node = outlined.current_node_id
    outlined.open_visit(outlined.visits[1].visit_id)
    settle(qtbot, outlined)
    outlined.commit_segmentation(CENTRE, RADIUS_MM)
    settle(qtbot, outlined)
    lay_beside(outlined, outlined.visits[0], {node: ball(outlined.image.geometry, CENTRE, 2.0)})
    outlined.choose_ablation(zone=node)
    outlined.measure_ablation_margin()
    settle(qtbot, outlined)
    result = outlined.ablation
    assert (result.earlier.name, result.later.name, result.earlier_is_here) == ("Baseline", "Day 30", False)
    assert result.answer.lesions[0].figures.distance_mm.min() == pytest.approx(4.0 - 2.0, abs=0.8)  # the shortest half axis is 4 mm
    shown = result.points_mm @ result.to_screen[:3, :3].T + result.to_screen[:3, 3]
    assert shown.mean(axis=0) == pytest.approx(CENTRE, abs=0.7)


def test_that_the_capsule_is_left_out_of_the_second_figures(qtbot, beside, section):
    """The liver ends at the lesion's middle: half of the lesion's surface lies far outside it or at its capsule."""
    other = "liver"
    node = beside.current_node_id
    beside.nodes[other] = replace(beside.nodes[node], node=replace(beside.nodes[node].node, node_id=other, label="Liver"))
    geometry = beside.image.geometry
    k, j, i = np.indices(geometry.shape)
    from app.usecases.mask_draft import MaskDraft

    beside.nodes[other].draft = MaskDraft(geometry, NodeMask(geometry.index_to_world(np.stack([i, j, k], -1))[..., 0] > CENTRE[0], geometry))
    beside.choose_ablation(liver=other)
    section.measure.click()
    settle(qtbot, beside)
    row = beside.ablation.answer.to_dict()["lesions"][0]
    assert 0 < row["without_capsule"]["surface_points"] < row["surface_points"]
    assert section.table.model_.rows[0].away is not None
    beside.choose_ablation(liver=node)
    assert "same outline" in beside.why_no_ablation_margin()
    assert beside.ablation is None


@pytest.mark.parametrize(("method", "words"), [("position", "scanner position"), (None, "not registered")])
def test_that_nothing_is_measured_by_scanner_position_or_unlinked(qtbot, beside, section, told, method, words):
    beside.comparison.method = method
    beside.comparison_changed.emit()
    assert not section.measure.isEnabled()
    assert words in section.why.text()
    beside.measure_ablation_margin()
    assert told.has(words)
    assert not beside.is_measuring_ablation


def test_that_another_outline_or_link_drops_what_was_measured(qtbot, beside, section):
    beside.measure_ablation_margin()
    settle(qtbot, beside)
    assert beside.ablation is not None
    beside.commit_segmentation(CENTRE, RADIUS_MM)
    settle(qtbot, beside)
    assert beside.ablation is None
    assert section.measure.isVisibleTo(section)
    beside.measure_ablation_margin()
    settle(qtbot, beside)
    beside.use_link("position")
    assert beside.ablation is None
    beside.use_link("automatic")
    beside.measure_ablation_margin()
    settle(qtbot, beside)
    beside.end_comparison()
    assert beside.ablation is None
    assert "Compare" in section.why.text()


def test_that_it_can_be_stopped(qtbot, beside, section):
    section.measure.click()
    beside.stop_ablation_margin()
    settle(qtbot, beside)
    assert beside.ablation is None
    assert not beside.is_measuring_ablation
    assert section.measure.isEnabled()


def test_that_the_lesion_is_shown_in_bands_in_the_follow_up_step_alone(qtbot, beside):
    load_libraries()
    pane = ScenePane(beside)
    qtbot.addWidget(pane)
    pane.resize(320, 280)
    pane.prepare()
    try:
        beside.set_step("follow_up")
        beside.measure_ablation_margin()
        qtbot.waitUntil(lambda: pane.shows_ablation)
        settle(qtbot, beside)
        colours = np.unique(pane.scene._keep["ablation"][2], axis=0)
        assert {tuple(c) for c in colours.tolist()} <= {tuple(c) for c in margin_colours(np.array([5.5, 12.0])).tolist()}
        assert not pane.scene._actors[f"node:{beside.current_node_id}"][0].GetVisibility()
        assert not pane.grab().isNull()
        beside.set_step("plan")
        assert not pane.shows_ablation
        assert pane.scene._actors[f"node:{beside.current_node_id}"][0].GetVisibility()
        beside.set_step("follow_up")
        qtbot.waitUntil(lambda: pane.shows_ablation)
        beside.show_ablation_in_scene(False)
        assert not pane.shows_ablation
    finally:
        settle(qtbot, beside)
        pane.shutdown()
