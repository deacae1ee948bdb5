"""A plan from ultrasound alone in the window: a marked canvas that is never taken for a picture, and a plan kept apart from the visit's own."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from app.ui.panels.plan_schematic import SchematicSection
from app.ui.session_schematic import entering_on_skin
from app.usecases.kept_plans import draft_of
from app.usecases.plan import NeedleDraft, draft_to_plan, tissue_presets
from planning.plan import TreatmentPlan
from planning.schematic import Schematic
from planning.schematic_scene import node_shape
from tests.planning.test_schematic import FILE
from tests.ui import scenes

BARE = {**FILE, "structures": FILE["structures"][:2], "spacing_mm": 2.0}


@pytest.fixture
def told(session):
    out = []
    session.notice.connect(lambda severity, text: out.append(text))
    return out


@pytest.fixture
def shown(session, qtbot):
    """A session with a picture's plan, and a schematic on screen."""
    scenes.show_volume(session)
    scenes.add_node(session)
    session.set_plan(session.plan.with_needle(NeedleDraft("E1", (0.0, 0.0, 0.0), (0.0, -40.0, 0.0))))
    session.make_schematic(Schematic.from_dict(json.loads(json.dumps(BARE))))
    qtbot.waitUntil(lambda: session.is_schematic)
    return session


def test_that_a_schematic_takes_the_place_of_the_picture_and_its_plan_and_gives_both_back(shown):
    assert [n.id for n in shown.plan.needles] == ["E1", "E2"]
    assert [name for name, _, _ in shown.plan.at_risk] == ["left carotid", "left jugular"]
    assert shown.image.unit == "schematic"
    assert shown.crosshair_mm == pytest.approx(node_shape(shown.plan.schematic).center_mm, abs=0.5)
    mine = shown.plan
    shown._show(scenes.ball_volume())
    assert not shown.is_schematic
    assert [n.tip_mm for n in shown.plan.needles] != [n.tip_mm for n in mine.needles]
    assert shown.image.unit == "HU"
    shown.show_schematic()
    assert shown.plan is mine
    assert shown.image.unit == "schematic"


def test_that_nothing_is_outlined_measured_or_compared_on_a_schematic(shown, told):
    before = dict(shown.nodes)
    shown.commit_segmentation((0.0, 18.0, 0.0), 8.0)
    shown.add_caliper([(0.0, 10.0, 0.0), (0.0, 20.0, 0.0)])
    shown.outline_structure((0.0, 18.0, 0.0))
    shown.remove_structure("left carotid")
    shown.suggest_needles(2)
    assert len(told) == 5
    assert all("schematic" in text for text in told)
    assert shown.nodes == before
    assert shown.calipers == []
    assert len(shown.plan.at_risk) == 2
    assert shown.comparable_visits() == []


def test_that_needles_that_are_dragged_enter_on_the_skin_and_reach_the_plans_record(shown):
    moved = NeedleDraft("E1", (1.0, 26.0, -7.5), (6.0, 9.0, -7.5), 20.0, 1.0)
    shown.set_plan(shown.plan.with_needle(moved), "Move needle E1")
    needle = shown.plan.needles[0]
    assert needle.entry_mm[1] == 0.0
    assert np.cross(np.subtract(needle.entry_mm, needle.tip_mm), np.subtract(moved.entry_mm, moved.tip_mm)) == pytest.approx(np.zeros(3), abs=1e-9)
    written = draft_to_plan(shown.plan).electrodes[0]
    assert (written.tip_mm, written.entry_mm[1]) == ((1.0, 26.0, -7.5), 0.0)
    below = NeedleDraft("E1", (0.0, 20.0, 0.0), (0.0, 30.0, 0.0))
    assert entering_on_skin(below) is below


def test_that_a_schematic_placed_again_is_one_step_that_is_undone(shown, qtbot):
    first, canvas = shown.plan, shown.image
    changed = json.loads(json.dumps(BARE))
    changed["structures"][0]["distance_mm"] = 10
    shown.make_schematic(Schematic.from_dict(changed))
    qtbot.waitUntil(lambda: shown.plan is not first)
    assert shown.plan.schematic.structures[0].distance_mm == 10
    shown.undo_stack.undo()
    assert shown.plan is first
    assert shown.image is canvas
    shown.undo_stack.redo()
    assert shown.plan.schematic.structures[0].distance_mm == 10


def test_that_the_solved_plan_bears_the_mark(shown, qtbot):
    shown.solve()
    qtbot.waitUntil(lambda: shown.assessment is not None)
    assert shown.solved_plan.source.is_schematic
    assert shown.assessment.to_dict()["warnings"][0]["code"] == "schematic"
    assert not [c for c in shown.assessment.to_dict()["constraints"] if c["code"] == "structure_unknown"]


def test_that_every_pane_says_that_it_is_a_schematic(shown, qtbot):
    from app.ui.tools.box import ToolBox
    from app.ui.views.overlays import source_lines
    from app.ui.views.slice_pane import SlicePane

    pane = SlicePane("axial", shown, ToolBox(shown))
    qtbot.addWidget(pane)
    assert pane._corner_lines()[1][0][0] == "SCHEMATIC – not image-registered"
    assert pane.view.axes.letters() == ("−x", "+x", "−y", "+y")  # no left, front or head of a patient
    assert source_lines(shown, shown.image.source)[0][0].startswith("SCHEMATIC")
    assert pane.shown_target is shown.plan.targets[0][1]


def test_that_a_run_opens_on_its_own_schematic_and_one_on_pictures_does_not(session, told, qtbot):
    schematic = Schematic.from_dict(json.loads(json.dumps(BARE)))
    plan = TreatmentPlan.from_dict(schematic.to_plan_dict(), tissue_presets())
    run = SimpleNamespace(plan_run_id="P-1", node_id=None, session=None, visit_id=None)
    scenes.show_volume(session)
    session._show_run(SimpleNamespace(plan=plan, run=run, draft=draft_of(plan)[0], field=None, answer=None, notes=()), None)
    qtbot.waitUntil(lambda: session.is_schematic)
    assert session.image.unit == "schematic"
    assert [n.tip_mm for n in session.plan.needles] == [e.tip_mm for e in plan.electrodes]
    assert [p.voltage_v for p in session.plan.pairs] == [2250.0]
    assert draft_to_plan(session.plan).regions[:-1] == plan.regions[:-1]  # the air ends where the box does
    picture = replace(plan, source=None)
    session._show_run(SimpleNamespace(plan=picture, run=run, draft=draft_of(picture)[0], field=None, answer=None, notes=()), None)
    assert session.is_schematic
    assert "lies on pictures" in told[-1]


def test_that_the_form_takes_nothing_for_measured_that_was_not_typed(session, qtbot):
    form = SchematicSection(session)
    qtbot.addWidget(form)
    wanted = ("side", "length_mm", "width_mm", "thickness_mm", "depth_mm", "distance_mm", "diameter_mm", "direction")
    steps = (
        lambda: form.side.setCurrentIndex(form.side.findData("left")), lambda: form.length.setValue(20), lambda: form.width_.setValue(14), lambda: form.thickness.setValue(12),
        lambda: form.depth.setValue(12), lambda: [r.distance.setValue(6) for r in form.structures], lambda: [r.diameter.setValue(7) for r in form.structures],
        lambda: [r.direction.setCurrentIndex(r.direction.findData(d)) for r, d in zip(form.structures, ("medial", "lateral"), strict=True)],
    )  # fmt: skip
    for missing, fill in zip(wanted, steps, strict=True):
        form.make()
        assert missing in form.trouble.text() or missing == "side", missing
        assert not session.is_schematic
        fill()
    form.make()
    assert form.trouble.text() == ""
    qtbot.waitUntil(lambda: session.is_schematic)
    assert [s.distance_mm for s in session.plan.schematic.structures] == [6, 6]
    assert not form.mark.isHidden()


def test_that_the_form_follows_a_dragged_needle_and_placing_again_moves_nothing(shown, qtbot):
    form = SchematicSection(shown)
    qtbot.addWidget(form)
    shown.set_plan(shown.plan.with_needle(NeedleDraft("E1", (1.234, 26.111, -7.5), (1.234, 0.0, -7.5), 20.0, 1.0)))
    assert form.needles[0].lateral.value() == pytest.approx(1.2)
    before = shown.plan
    form.make()
    qtbot.waitUntil(lambda: shown.plan is not before)
    assert shown.plan.needles[0].tip_mm == pytest.approx((1.234, 26.111, -7.5), abs=1e-9)
    assert [s.kind for s in shown.plan.schematic.structures] == ["carotid", "jugular"]


def test_that_a_structure_stated_to_be_far_is_a_statement_of_the_reader(session, qtbot):
    form = SchematicSection(session)
    qtbot.addWidget(form)
    form._fill(Schematic.from_dict({**BARE, "structures": BARE["structures"][:1], "farther_than": [{"kind": "jugular", "farther_than_mm": 30, "by": "Dr A"}]}))
    form.make()
    qtbot.waitUntil(lambda: session.is_schematic)
    stated = session.plan.stated_clear
    assert [(s.name, s.by, s.farther_than_mm) for s in stated] == [("left jugular", session.reader, 30)]
    assert draft_to_plan(session.plan).anatomy.stated_clear == stated


def test_that_the_form_opens_by_itself_where_a_visit_has_no_volume(session, qtbot):
    form = SchematicSection(session)
    qtbot.addWidget(form)
    assert not form.is_open()
    for kind, opened in (("cine", True), ("volume", False)):
        session.visit = SimpleNamespace(visit_id=kind)
        session.series = [SimpleNamespace(kind=kind)]
        form.refresh()
        assert form.is_open() is opened
