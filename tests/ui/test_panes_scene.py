"""The 3D scene without Qt, and the pane that shows it."""

from __future__ import annotations

import numpy as np
import pytest

from app.ui.views.scene_pane import ScenePane, load_libraries
from app.usecases.plan import NeedleDraft, PlanDraft
from tests.ui import mouse, scenes


@pytest.fixture
def scene():
    from app.ui.scene.scene3d import Scene3D

    made = Scene3D()
    yield made
    made.finalize()


def ball(radius_mm: float = 10.0):
    from app.ui.scene.surfaces import mask_surface

    geometry = scenes.grid()
    return mask_surface(scenes.distances_mm(geometry) < radius_mm, geometry)


def reddish(picture: np.ndarray) -> np.ndarray:
    rgb = picture[..., :3].astype(int)
    return (rgb[..., 0] > 80) & (rgb[..., 1] < 60)


def test_that_a_node_surface_has_its_size_in_the_patient():
    vertices, faces = ball()
    off = np.linalg.norm(vertices - scenes.CENTRE, axis=1)
    assert np.abs(off - 10).max() < 2.0
    assert off.mean() == pytest.approx(10, abs=0.5)
    assert len(faces) > 200


def test_that_an_empty_mask_has_no_surface():
    from app.ui.scene.surfaces import mask_surface

    geometry = scenes.grid()
    vertices, faces = mask_surface(np.zeros(geometry.shape, bool), geometry)
    assert len(vertices) == len(faces) == 0


def test_that_the_field_surface_lies_at_its_level():
    from app.ui.scene.surfaces import iso_surface

    field = scenes.cone_field()
    vertices, _ = iso_surface(field.e_max_v_per_cm, field.geometry, 500.0)
    assert np.linalg.norm(vertices - scenes.CENTRE, axis=1) == pytest.approx(14.0, abs=0.1)


def test_that_crumbs_are_left_out_of_the_patients_surface():
    from app.jobs import JobContext
    from app.ui.scene.surfaces import context_surfaces

    surfaces = context_surfaces(scenes.ball_volume(), JobContext())
    assert set(surfaces) == {"bone", "skin"}
    assert len(surfaces["skin"][1]) > 100


def test_that_a_part_is_seen_where_it_is(scene):
    scene.set_surface("node", *ball(), (1.0, 0.0, 0.0))
    for view in ("front", "left", "feet"):
        scene.look_from(view)
        seen = reddish(scene.render(200, 160))
        assert seen.any()
        rows, columns = np.nonzero(seen)
        x, y = scene.project(scenes.CENTRE)[0]
        assert (columns.mean(), rows.mean()) == (pytest.approx(x, abs=3), pytest.approx(y, abs=3))


def test_that_the_patients_left_is_on_the_right_from_the_front(scene):
    scene.set_surface("node", *ball(), (1.0, 0.0, 0.0))
    scene.look_from("front")
    scene.render(200, 200)
    here, left, up = scene.project([scenes.CENTRE, scenes.near(5, 0, 0), scenes.near(0, 0, 5)])
    assert left[0] > here[0]
    assert up[1] < here[1]
    assert scene.directions()[0] == pytest.approx((1, 0, 0))


def test_that_a_removed_or_hidden_part_is_gone(scene):
    scene.set_surface("node", *ball(), (1.0, 0.0, 0.0))
    scene.look_from("front")
    scene.set_visible("node", False)
    assert not reddish(scene.render(100, 100)).any()
    scene.set_visible("node", True)
    assert reddish(scene.render(100, 100)).any()
    scene.remove("node")
    assert not reddish(scene.render(100, 100)).any()
    assert scene.parts == ()


def test_that_a_point_goes_to_the_screen_and_back(scene):
    scene.set_surface("node", *ball(), (1.0, 0.0, 0.0))
    scene.render(300, 200)
    point = scenes.near(3.0, -4.0, 6.0)
    x, y = scene.project(point)[0]
    assert scene.unproject(x, y, point) == pytest.approx(point, abs=1e-6)
    assert scene.project(scene.unproject(x + 10, y, point))[0] == pytest.approx((x + 10, y), abs=1e-6)


def test_that_panning_moves_by_pixels(scene):
    scene.set_surface("node", *ball(), (1.0, 0.0, 0.0))
    scene.render(300, 200)
    focal = np.array(scene._renderer.GetActiveCamera().GetFocalPoint())
    x, y = scene.project(focal)[0]
    scene.pan(20, -10)
    assert scene.project(focal)[0] == pytest.approx((x + 20, y + 10), abs=0.5)


@pytest.fixture
def pane(qtbot, session):
    load_libraries()
    made = ScenePane(session)
    qtbot.addWidget(made, before_close_func=lambda w: w.shutdown())
    made.resize(300, 240)
    made.show()
    qtbot.waitExposed(made)
    return made


def test_that_the_pane_says_it_is_being_prepared_and_then_shows_the_patient(pane, session, qtbot):
    scenes.show_volume(session)
    assert pane.scene is None
    pane.prepare()
    qtbot.waitUntil(lambda: "context:skin" in pane.scene.parts, timeout=10_000)
    assert pane.grab().toImage().pixelColor(150, 120).lightness() > 0
    pane.shutdown()
    assert pane.scene is None
    pane.grab()


def test_that_nodes_needles_and_field_come_and_go(pane, session, qtbot):
    scenes.show_volume(session)
    pane.prepare()
    scenes.add_node(session)
    qtbot.waitUntil(lambda: "node:a" in pane.scene.parts, timeout=10_000)
    session.set_plan(PlanDraft().with_needle(NeedleDraft("E1", tuple(scenes.CENTRE), tuple(scenes.near(0, -40, 0)))))
    assert "needle:E1" in pane.scene.parts
    session.solution = scenes.cone_field()
    session.field_changed.emit()
    qtbot.waitUntil(lambda: "field" in pane.scene.parts, timeout=10_000)
    session.solution = None
    session.field_changed.emit()
    session.set_plan(PlanDraft())
    del session.nodes["a"]
    session.nodes_changed.emit()
    assert not {"node:a", "needle:E1", "field"} & set(pane.scene.parts)


def test_that_a_drag_turns_and_a_needle_end_can_be_dragged_in_space(pane, session, qtbot):
    scenes.show_volume(session)
    pane.prepare()
    qtbot.waitUntil(lambda: "context:skin" in pane.scene.parts, timeout=10_000)
    pane.grab()
    before = pane.scene.directions()
    mouse.drag(pane, (100, 100), (160, 110))
    assert np.abs(pane.scene.directions() - before).max() > 0.1
    tip, entry = scenes.CENTRE, scenes.near(0, -40, 0)
    session.set_plan(PlanDraft().with_needle(NeedleDraft("E1", tuple(tip), tuple(entry))))
    session.set_tool("needle")
    turned = pane.scene.directions()
    x, y = pane._screen_of(tip)
    mouse.drag(pane, (x, y), (x + 15, y - 5))
    moved = np.array(session.plan.needles[0].tip_mm) - tip
    assert np.linalg.norm(moved) > 0.5
    assert abs(moved @ turned[2]) < 1e-6
    assert (pane.scene.directions() == turned).all()


def test_that_looking_closely_shows_the_asked_reach(scene):
    scene.set_surface("node", *ball(), (1.0, 0.0, 0.0))
    scene.look_from("left")
    scene.render(300, 200)
    scene.look_closely(scenes.CENTRE, 25.0)
    middle, above = scene.project([scenes.CENTRE, scenes.near(0, 0, 25)])
    assert middle == pytest.approx((150, 100), abs=0.5)
    assert above[1] == pytest.approx(0, abs=1.0)


def test_that_margin_colours_tell_uncovered_from_covered():
    from app.ui.views.colour_tables import margin_colours

    deep, uncovered, touching, covered, wide = margin_colours(np.array([-9.0, -0.01, 0.0, 5.0, 10.0])).astype(int)
    assert (deep == uncovered).all()
    assert uncovered[0] > 150 > uncovered[1]
    assert touching[1] > 150  # a margin of nothing is no uncovered one
    assert covered[2] > covered[0]
    assert wide[2] > covered[0]
    assert wide.sum() < covered.sum()


def test_that_the_solved_targets_surface_shows_its_margin(pane, session, qtbot):
    from types import SimpleNamespace

    scenes.show_volume(session)
    pane.prepare()
    scenes.add_node(session)
    qtbot.waitUntil(lambda: "node:a" in pane.scene.parts, timeout=10_000)
    session.show_in_scene("margin")
    assert not pane.shows_margin
    vertices, _ = ball()
    session.assessment = SimpleNamespace(margins={"N1": SimpleNamespace(points_mm=vertices, distance_mm=vertices[:, 0] - scenes.CENTRE[0])})
    session.field_changed.emit()
    qtbot.waitUntil(lambda: pane.shows_margin, timeout=10_000)
    pane.look_from("front")
    pane.zoom_to(scenes.CENTRE, 15.0)
    picture = pane.grab().toImage()
    ratio = picture.devicePixelRatio()
    right_of_patient, left_of_patient = (picture.pixelColor(round(x * ratio), round(120 * ratio)) for x in (110, 190))
    assert right_of_patient.red() > 2 * right_of_patient.green()  # uncovered there
    assert left_of_patient.green() > 1.5 * right_of_patient.green()
    session.assessment = None
    session.field_changed.emit()
    qtbot.waitUntil(lambda: not pane.shows_margin, timeout=10_000)
