"""Two visits side by side: linked by a registration whose residual is shown, never by a guess; outlines copied and marked."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QApplication

from app.demo.case import POSES, REACTIVE, nodes_at
from app.demo.dicom_files import Occasion, write_ct_series
from app.demo.neck import NeckScan, render_neck
from app.demo.shapes import rotation_from
from app.jobs import JobContext
from app.study.model import ReadingState
from app.study.protocol import load_protocol
from app.study.store import StudyStore
from app.ui.comparison import Landmarks
from app.ui.main_window import MainWindow
from app.ui.views.compare_pane import link_lines
from app.ui.views.pane_grid import COMPARE
from app.usecases.import_images import import_folder
from app.usecases.readings import pack_mask, save_reading
from app.usecases.register import register_volumes
from tests.ui import mouse
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.registration import RegistrationRefused

GRID = ImageGeometry.from_spacing((52, 150, 150), (1.5, 1.5, 2.5), (-111.75, -103.75, -64.0))
SEED = 2026
LARGE = len(REACTIVE)  # the first target comes after the harmless nodes
WAIT_MS = 60_000
VISITS = ("Baseline", "Day 30")


class Neck:
    """The demonstration's neck at a visit on a coarse grid, and the true outline of one node."""

    def __init__(self, visit: int):
        nodes = nodes_at(visit, SEED, POSES[visit])
        self.array = render_neck(NeckScan(GRID, POSES[visit], tuple(nodes), seed=visit))
        shape = nodes[LARGE].shape
        mask = np.zeros(GRID.shape, bool)
        box, cover = shape.coverage(GRID, samples=5)
        mask[box] = cover >= 0.5
        self.mask = NodeMask(mask, GRID)
        self.centre_mm = np.array(shape.centre_mm)


def true_motion() -> np.ndarray:
    """From Day 30 (on screen) to baseline (beside)."""
    poses = []
    for n in (0, 1):
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = rotation_from(*POSES[n].angles_deg), POSES[n].shift_mm
        poses.append(matrix)
    return poses[0] @ np.linalg.inv(poses[1])


@pytest.fixture(scope="module")
def necks():
    return Neck(0), Neck(1)


@pytest.fixture(scope="module")
def templates(necks, tmp_path_factory):
    """Studies with both visits and reader A's outline at baseline: by whether the protocol allows copies."""
    folder = tmp_path_factory.mktemp("compare")
    for n, neck in enumerate(necks):
        write_ct_series(folder / str(n), Occasion(SEED, str(n), date(2025, 1 + n, 13)), neck.array, GRID)
    for name, changes in {"allowed": {"allow_propagated_outlines": True}, "forbidden": {}, "blinded": {"compare_visits": False}}.items():
        content = copy.deepcopy(load_protocol("ire-cervical-ln").content)
        content["reading"].update(changes)
        (folder / "protocol.json").write_text(json.dumps(content))
        with StudyStore.create(folder / name, protocol=folder / "protocol.json") as store:
            for n, visit in enumerate(VISITS):
                import_folder(store, "S-001", visit, folder / str(n), JobContext())
            node = store.add_node("S-001", "N1", "left", "III", seed_mm=tuple(float(v) for v in necks[1].centre_mm))
            store.save_draft_mask(node.node_id, store.visits("S-001")[0].visit_id, pack_mask(necks[0].mask), reader="Reader A")
            save_reading(store, store.visits("S-001")[0], node, reader="Reader B", modality="CT", mask=necks[0].mask)
    return folder


class Told:
    def __init__(self, session):
        self.lines: list[tuple[str, str]] = []
        session.notice.connect(lambda severity, text: self.lines.append((severity, text)))
        session.jobs.failed.connect(lambda _error, text: self.lines.append(("bug", text)))

    def has(self, words: str) -> bool:
        return any(words in text for _, text in self.lines)


@pytest.fixture
def told(session):
    made = Told(session)
    yield made
    assert [text for severity, text in made.lines if severity == "bug"] == []


def settle(qtbot, session) -> None:
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=WAIT_MS)
    for _ in range(3):
        QApplication.processEvents()


@pytest.fixture
def opened(qtbot, session, told, templates, tmp_path):
    """A function: the window with a template open on a visit."""
    windows = []

    def make(template="allowed", visit="Day 30"):
        shutil.copytree(templates / template, tmp_path / "study")
        window = MainWindow(session)
        windows.append(window)
        qtbot.addWidget(window)
        window.show()
        qtbot.waitExposed(window)
        mouse.activate(qtbot, window)
        session.open_study(tmp_path / "study")
        qtbot.waitUntil(lambda: session.image is not None, timeout=WAIT_MS)
        session.open_visit(next(v.visit_id for v in session.visits if v.name == visit))
        qtbot.waitUntil(lambda: session.image is not None, timeout=WAIT_MS)
        settle(qtbot, session)
        return window

    yield make
    for window in windows:
        window.close()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


@pytest.fixture(scope="module")
def registration(necks):
    """What the real registration finds, worked out once."""
    return register_volumes(*(ImageVolume(neck.array, GRID, "HU") for neck in necks[::-1]))


@pytest.fixture
def quick(monkeypatch, registration):
    """The registration answers at once, with what it found before."""
    monkeypatch.setattr("app.usecases.register.register_volumes", lambda *_arguments, **_more: registration)


@pytest.fixture
def compared(qtbot, session, opened, quick):
    """Day 30 on screen, baseline beside it, registered."""
    window = opened()
    session.compare_with()
    qtbot.waitUntil(lambda: session.comparison is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    assert session.comparison.automatic is not None
    return window


@pytest.fixture
def unlinked(qtbot, session, opened, monkeypatch):
    """The same where no registration could be found."""

    def refuse(*_arguments, **_more):
        raise RegistrationRefused("The two pictures have no place in common.", code="no_overlap")

    monkeypatch.setattr("app.usecases.register.register_volumes", refuse)
    window = opened()
    session.compare_with()
    qtbot.waitUntil(lambda: session.comparison is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    return window


def there_of(point) -> np.ndarray:
    return true_motion()[:3, :3] @ point + true_motion()[:3, 3]


def pixel_of(pane, point) -> tuple[float, float]:
    return pane.screen_of(point)


# ---- side by side ----------------------------------------------------------------------------


def test_that_the_earlier_visit_stands_at_the_left_named_and_with_the_residual(compared, session):
    panes = compared.panes
    assert panes.layout_name == compared.layout_on_screen == COMPARE
    here, other = panes.panes["axial"], panes.other
    assert panes.visible_panes() == [other, here]
    assert other.x() < here.x()
    assert abs(other.width() - here.width()) <= 2
    assert (other.heading, here.heading) == ("Baseline · read-only", "Day 30")
    assert not any("2025" in text for text in (other.heading, here.heading))
    ((line, _colour),) = link_lines(session)
    assert line == f"Registered: residual {session.comparison.automatic.residual_mm:.1f} mm"
    assert session.comparison.automatic.residual_mm < 2.0


def test_that_the_registration_finds_the_true_motion(qtbot, session, opened, necks):
    opened()
    session.compare_with()
    qtbot.waitUntil(lambda: session.comparison is not None and session.comparison.is_linked, timeout=WAIT_MS)
    near = necks[1].centre_mm + np.array([[0, 0, 0], [20, 10, -15], [-30, 5, 20], [10, -25, 5]])
    found = session.comparison.to_there(near)
    assert np.linalg.norm(found - np.array([there_of(p) for p in near]), axis=1).max() < 1.5
    assert session.comparison.to_here(found) == pytest.approx(near)


def test_that_the_crosshair_is_linked_in_both_directions(compared, session, necks):
    here, other = compared.panes.panes["axial"], compared.panes.other
    session.set_crosshair(necks[1].centre_mm)
    assert session.comparison.crosshair_mm == pytest.approx(session.comparison.to_there(necks[1].centre_mm))
    settle_paint()
    assert np.hypot(*np.subtract(pixel_of(other, session.comparison.crosshair_mm), pixel_of(here, session.crosshair_mm))) < 2.0
    mouse.click(other, (other.width() / 2 + 25, other.height() / 2 - 14))
    clicked = session.comparison.crosshair_mm
    assert np.hypot(*np.subtract(pixel_of(other, clicked), (other.width() / 2 + 25, other.height() / 2 - 14))) < 1.0
    assert session.crosshair_mm == pytest.approx(session.comparison.to_here(clicked), abs=1e-6)


def settle_paint() -> None:
    for _ in range(4):
        QApplication.processEvents()


def test_that_scrolling_zoom_pan_and_window_are_shared(compared, session, necks):
    here, other = compared.panes.panes["axial"], compared.panes.other
    session.set_crosshair(necks[1].centre_mm)
    settle_paint()
    number, before = other.slice_number, session.crosshair_mm.copy()
    mouse.wheel(other, (50, 50), 2)
    assert other.slice_number - number == 2
    assert session.crosshair_mm == pytest.approx(session.comparison.to_here(session.comparison.crosshair_mm))
    assert session.crosshair_mm[2] - before[2] == pytest.approx(2 * GRID.spacing_mm[2], abs=0.6 * GRID.spacing_mm[2])  # it snaps to whole slices there
    there = session.comparison.crosshair_mm[2]
    mouse.wheel(here, (50, 50), -2)
    assert session.comparison.crosshair_mm == pytest.approx(session.comparison.to_there(session.crosshair_mm))
    assert session.comparison.crosshair_mm[2] - there == pytest.approx(-2 * GRID.spacing_mm[2], abs=0.6 * GRID.spacing_mm[2])
    size = here.view.px_per_mm
    mouse.wheel(other, (60, 60), 3, mouse.CTRL)
    settle_paint()
    assert here.view.px_per_mm == pytest.approx(size * 1.2**3)
    assert other.view.px_per_mm == here.view.px_per_mm
    middle = here.view.middle
    mouse.drag(other, (100, 100), (140, 120), button=mouse.MIDDLE)
    settle_paint()
    assert np.subtract(here.view.middle, middle) == pytest.approx(np.array([-40, -20]) / here.view.px_per_mm / GRID.spacing_mm[0])
    compared.panes.centre_all()
    settle_paint()
    assert pixel_of(other, session.comparison.crosshair_mm) == pytest.approx(pixel_of(here, session.crosshair_mm), abs=0.01)
    mouse.drag(other, (100, 100), (130, 100), button=mouse.RIGHT)
    assert session.window != (80.0, 450.0)


def test_that_outlines_of_both_visits_are_drawn_and_the_other_is_read_only(compared, session, told, necks):
    other = compared.panes.other
    node_id = session.current_node_id
    outline = session.comparison.outlines[node_id]
    assert np.array_equal(outline.mask.array, necks[0].mask.array)
    assert outline.volume_ml == pytest.approx(necks[0].mask.array.sum() * GRID.voxel_size_mm3 / 1000)
    session.set_crosshair(necks[1].centre_mm)
    settle_paint()
    without = picture_of(other, session)
    session.comparison.outlines.clear()
    assert (without != picture_of(other, session)).sum() > 40
    session.set_tool("brush")
    mouse.drag(other, (other.width() / 2, other.height() / 2), (other.width() / 2 + 20, other.height() / 2))
    assert session.current.draft is None
    assert session.undo_stack.count() == 0
    assert told.has("open that visit to draw on it")


def picture_of(pane, session) -> np.ndarray:
    pane._outlines.clear()
    image = pane.grab().toImage()
    return np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1).copy()


def test_that_the_plane_can_be_changed_and_one_pane_made_large(qtbot, compared, session):
    panes = compared.panes
    for plane in ("coronal", "sagittal"):
        compared.qactions["compare_plane"].trigger()
        assert session.compare_plane == plane
        assert panes.visible_panes() == [panes.other, panes.panes[plane]]
        assert panes.other.view.axes.plane == plane
    mouse.double_click(panes.other, (50, 50))
    assert panes.visible_panes() == [panes.other]
    mouse.double_click(panes.other, (50, 50))
    assert len(panes.visible_panes()) == 2
    compared.qactions["layout_compare"].trigger()
    assert panes.layout_name == "2x2"
    compared.qactions["layout_compare"].trigger()
    assert panes.layout_name == COMPARE
    qtbot.keyClick(panes.other, Qt.Key.Key_B, Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier)
    assert panes.layout_name == "2x2"


def test_that_outside_the_other_picture_nothing_is_pointed_at(compared, session):
    g = session.image.geometry
    session.set_crosshair(g.index_to_world(np.array([0.0, 75, 0])))
    assert not session.comparison.there.geometry.contains(session.comparison.crosshair_mm)
    settle_paint()
    assert compared.panes.other.slice_number == 0  # the nearest one, and the corner says that it lies outside


# ---- opening and ending --------------------------------------------------------------------------


def test_that_another_visit_on_screen_ends_the_comparison_and_it_comes_back_at_once(qtbot, compared, session):
    matrix = session.comparison.automatic.matrix
    compared.rail.visits.itemClicked.emit(compared.rail.visits.item(0))
    assert session.comparison is None
    assert compared.panes.layout_name == "2x2"
    qtbot.waitUntil(lambda: session.image is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    started = []
    session.jobs.progressed.connect(lambda event: started.append(event.title))
    session.compare_with()
    qtbot.waitUntil(lambda: session.comparison is not None, timeout=WAIT_MS)
    assert session.comparison.visit.name == "Day 30"
    assert session.comparison.automatic.matrix == pytest.approx(np.linalg.inv(matrix))
    assert not any("Registering" in title for title in started)
    assert compared.panes.visible_panes() == [compared.panes.panes["axial"], compared.panes.other]


def test_that_rail_and_follow_up_step_offer_it(qtbot, session, opened, quick):
    window = opened()
    assert window.rail.compare.isVisible()
    assert [a.text() for a in window.rail.compare.menu().actions()] == ["Baseline"]
    session.set_step("follow_up")
    section = window.side.currentWidget().compare
    assert [section.visits.itemText(n) for n in range(section.visits.count())] == ["Baseline"]
    section.start.click()
    qtbot.waitUntil(lambda: session.comparison is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    assert section.links["automatic"].isChecked()
    assert f"{session.comparison.automatic.residual_mm:.1f} mm" in section.links["automatic"].text()
    assert window.rail.visits.item(0).text().endswith("⇄")
    section.start.click()
    assert session.comparison is None
    window.rail.compare.menu().actions()[0].trigger()
    qtbot.waitUntil(lambda: session.comparison is not None, timeout=WAIT_MS)


def test_that_the_section_fits_the_panel_whatever_the_visits_are_called(compared, session):
    session.visits = [replace(v, name=f"Unscheduled visit after salvage number {n}") for n, v in enumerate(session.visits)]
    session.comparison.visit = session.visits[0]
    session.set_step("follow_up")
    panel = compared.side.currentWidget()
    panel.compare.refresh()
    QApplication.processEvents()
    assert panel.compare.minimumSizeHint().width() <= panel.scroll.viewport().width() - 20


def test_that_a_protocol_can_keep_other_visits_from_the_reader(session, told, opened):
    window = opened("blinded")
    assert not session.may_compare()
    assert not window.rail.compare.isVisible()
    assert not window.qactions["layout_compare"].isEnabled()
    session.set_step("follow_up")
    assert not window.side.currentWidget().compare.isVisible()
    session.compare_with(session.visits[0].visit_id)
    assert told.has("does not show other visits")
    assert session.comparison is None
    assert not session.jobs.is_busy("compare")


def test_that_a_cancelled_registration_leaves_the_visits_unlinked(qtbot, session, opened):
    window = opened()
    session.compare_with()
    qtbot.waitUntil(lambda: session.is_registering, timeout=WAIT_MS)
    assert "not linked yet" in link_lines(session)[0][0]
    session.jobs.cancel()
    settle(qtbot, session)
    assert not session.is_registering
    assert not session.comparison.is_linked
    assert "Not linked" in link_lines(session)[0][0]
    session.set_step("follow_up")
    section = window.side.currentWidget().compare
    assert section.again.isVisible()
    section.again.click()
    settle(qtbot, session)
    assert session.comparison.method == "automatic"


# ---- without a registration ------------------------------------------------------------------------


def test_that_without_a_registration_nothing_is_linked_until_the_reader_says_so(unlinked, session, told):
    other = unlinked.panes.other
    before, number = session.comparison.crosshair_mm.copy(), other.slice_number
    session.set_crosshair(session.crosshair_mm + np.array((10, 5, 5)))
    assert session.comparison.crosshair_mm == pytest.approx(before)
    here = session.crosshair_mm.copy()
    mouse.wheel(other, (50, 50), 3)
    assert session.crosshair_mm == pytest.approx(here)
    assert other.slice_number - number == 3
    assert told.has("could not be registered")
    assert link_lines(session)[0][0] == "! Not linked: no registration"
    assert [f.code for f in session.comparison.findings()] == ["registration_refused"]
    session.set_step("follow_up")
    unlinked.side.currentWidget().compare.links["position"].click()
    assert session.comparison.crosshair_mm == pytest.approx(session.crosshair_mm)
    assert "scanner position, not registered" in link_lines(session)[0][0]
    assert [f.code for f in session.comparison.findings()] == ["linked_by_position"]
    session.copy_outline()
    assert told.has("not by scanner position")
    assert session.current.draft is None
    session.end_comparison()


def test_that_a_poor_registration_is_told_in_the_corner_and_in_the_list(compared, session):
    c = session.comparison
    c.automatic = replace(c.automatic, residual_mm=4.2, findings=(Finding("registration_poor", "After registration the visits still differ by 4.2 mm: check the fit before it is used.", "warning"),))
    session.comparison_changed.emit()
    assert link_lines(session)[0][0] == "! Registered: residual 4.2 mm"
    session.set_step("follow_up")
    assert [row.code for row in compared.side.currentWidget().compare.warnings.rows] == ["registration_poor"]


# ---- landmarks ---------------------------------------------------------------------------------------

OFFSETS = ((0.0, 0, 0), (24, 8, -10), (-18, 22, 10), (6, -20, 20))


def set_by_mouse(window, session, point_here, point_there) -> None:
    """One landmark by clicks, as a hand would: each visit scrolled to its place first."""
    for pane, point, go in ((window.panes.panes["axial"], point_here, session.set_crosshair), (window.panes.other, point_there, session.set_other_crosshair)):
        go(point)
        settle_paint()
        mouse.click(pane, pane.screen_of(point))


def test_that_three_landmarks_by_hand_link_the_visits_and_show_their_residual(unlinked, session, told, necks):
    unlinked.qactions["landmark"].trigger()
    assert session.tool == "landmark"
    for n, offset in enumerate(OFFSETS[:3]):
        set_by_mouse(unlinked, session, necks[1].centre_mm + offset, there_of(necks[1].centre_mm + offset))
        assert len(session.comparison.landmarks.pairs) == n + 1
    c = session.comparison
    assert c.method == "landmarks"
    assert told.has("3 pairs, residual")
    assert c.by_landmarks.residual_mm < 2.5  # clicks fall on whole slices, 2.5 mm apart
    assert np.linalg.norm(c.to_there(necks[1].centre_mm) - there_of(necks[1].centre_mm)) < 2.5
    assert link_lines(session)[0][0] == f"! 3 landmarks: residual {c.by_landmarks.residual_mm:.1f} mm"  # three always fit
    set_by_mouse(unlinked, session, necks[1].centre_mm + OFFSETS[3], there_of(necks[1].centre_mm + OFFSETS[3]))
    assert link_lines(session)[0][0] == f"4 landmarks: residual {c.by_landmarks.residual_mm:.1f} mm"
    mouse_escape(unlinked)
    assert session.tool == "crosshair"
    assert len(c.landmarks.pairs) == 4  # Esc loses nothing


def mouse_escape(window) -> None:
    window.qactions["crosshair"].trigger()


def set_exactly(session, offsets=OFFSETS, necks_centre=None) -> None:
    for offset in offsets:
        point = necks_centre + np.array(offset)
        session.set_landmark("here", point)
        session.set_landmark("there", there_of(point))


def test_that_the_reader_switches_between_automatic_and_landmarks(compared, session, told, necks):
    set_exactly(session, necks_centre=necks[1].centre_mm)
    c = session.comparison
    assert c.method == "automatic"  # nothing switches by itself
    session.set_step("follow_up")
    section = compared.side.currentWidget().compare
    assert section.links["landmarks"].isEnabled()
    section.links["landmarks"].click()
    assert c.method == "landmarks"
    assert c.to_there(necks[1].centre_mm) == pytest.approx(there_of(necks[1].centre_mm), abs=1e-6)
    assert "1: 0.0" in section.fits.text()
    compared.qactions["compare_switch"].trigger()
    assert c.method == "automatic"


def test_that_each_landmark_is_a_step_of_undo_and_can_be_moved(unlinked, session, necks):
    centre = necks[1].centre_mm
    set_exactly(session, OFFSETS[:3], centre)
    c = session.comparison
    full = c.landmarks
    session.undo_stack.undo()
    assert (len(c.landmarks.pairs), c.landmarks.half[0], c.method) == (2, "here", None)
    session.undo_stack.redo()
    assert (c.landmarks, c.method) == (full, "landmarks")
    session.set_tool("landmark")
    pane = unlinked.panes.panes["axial"]
    session.set_crosshair(centre)
    settle_paint()
    on_slice = pane.point_at(*pane.screen_of(centre))
    session.move_landmark(0, "here", on_slice)
    start = np.array(pane.screen_of(on_slice))
    mouse.drag(pane, start, start + np.array((12, 0)))
    assert len(c.landmarks.pairs) == 3
    assert c.landmarks.pairs[0].fixed_mm[0] - on_slice[0] == pytest.approx(12 / pane.view.px_per_mm, abs=0.1)
    mouse.click(pane, start + np.array((12, 0)))  # taken hold of and put back: no new one
    assert c.landmarks.half is None
    session.remove_landmark()
    assert len(c.landmarks.pairs) == 2
    assert not c.is_linked


def test_that_landmarks_in_one_line_link_nothing_and_say_why(unlinked, session, told, necks):
    set_exactly(session, ((0.0, 0, 0), (10, 0, 0), (20, 0, 0)), necks[1].centre_mm)
    assert not session.comparison.is_linked
    assert told.has("lie on one line")
    session.set_step("follow_up")
    assert "lie on one line" in unlinked.side.currentWidget().compare.fits.text()


def test_that_landmarks_are_kept_while_the_study_is_open(qtbot, unlinked, session, necks):
    set_exactly(session, OFFSETS, necks[1].centre_mm)
    pairs = session.comparison.landmarks.pairs
    session.open_visit(session.visits[0].visit_id)
    qtbot.waitUntil(lambda: session.image is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    session.compare_with()
    qtbot.waitUntil(lambda: session.comparison is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    assert [p.moving_mm for p in session.comparison.landmarks.pairs] == [p.fixed_mm for p in pairs]
    assert session.comparison.method == "landmarks"
    assert session.comparison.to_here(necks[1].centre_mm) == pytest.approx(there_of(necks[1].centre_mm), abs=1e-6)


def test_that_half_a_landmark_replaces_itself_and_swaps():
    one = Landmarks().with_point("here", (1, 2, 3)).with_point("here", (4, 5, 6))
    assert one.half == ("here", (4.0, 5.0, 6.0))
    both = one.with_point("there", (7, 8, 9))
    assert (both.pairs[0].fixed_mm, both.pairs[0].moving_mm) == ((4.0, 5.0, 6.0), (7.0, 8.0, 9.0))
    assert both.swapped().swapped() == both
    assert both.points("there") == [(0, (7.0, 8.0, 9.0))]


# ---- copy -----------------------------------------------------------------------------------------------


def test_that_a_copied_outline_is_a_marked_draft_in_one_step(qtbot, compared, session, necks):
    session.copy_outline()
    qtbot.waitUntil(lambda: session.current.draft is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    state = session.current
    centre = GRID.index_to_world(np.argwhere(state.draft.array).mean(axis=0)[::-1])
    assert np.linalg.norm(centre - necks[1].centre_mm) < 1.5
    assert state.draft.array.sum() == pytest.approx(necks[0].mask.array.sum(), rel=0.05)
    assert session.crosshair_mm == pytest.approx(centre, abs=0.01)
    origin = state.draft.origin
    assert (origin.method, origin.details["propagated_from"]["visit"]) == ("propagated", "Baseline")
    assert origin.details["registration"]["residual_mm"] == session.comparison.automatic.residual_mm
    session.set_step("measure")
    assert "propagated" in [row.code for row in compared.side.currentWidget().warnings.rows]
    session.undo_stack.undo()
    assert state.draft.is_empty
    session.undo_stack.redo()
    assert state.draft.origin.method == "propagated"
    session.begin_stroke("Brush")
    session.dab(centre + np.array((8, 0, 0)), True, 0)
    session.end_stroke()
    settle(qtbot, session)
    session.keep_reading(state.node.node_id)
    settle(qtbot, session)
    assert state.reading.state == ReadingState.MEASURED
    assert state.reading.measurement["propagated"] is True  # repaired or not
    assert state.reading.measurement["propagated_from"]["visit"] == "Baseline"
    assert state.reading.measurement["registration"]["method"] == "mutual_information"
    assert "propagated" in [w["code"] for w in state.reading.warnings]


def test_that_the_mark_outlives_the_window(qtbot, compared, session):
    session.copy_outline()
    qtbot.waitUntil(lambda: session.current.draft is not None, timeout=WAIT_MS)
    settle(qtbot, session)
    day30 = session.visit.visit_id
    session.open_visit(session.visits[0].visit_id)
    settle(qtbot, session)
    session.open_visit(day30)
    qtbot.waitUntil(lambda: session.current is not None and session.current.draft is not None, timeout=WAIT_MS)
    assert session.current.draft.origin.method == "propagated"
    session.set_step("measure")
    settle(qtbot, session)
    assert "propagated" in [row.code for row in compared.side.currentWidget().warnings.rows]


def test_that_a_protocol_without_copies_refuses_with_its_reason(qtbot, session, told, opened, quick):
    window = opened("forbidden")
    session.compare_with()
    settle(qtbot, session)
    session.copy_outline()
    settle(qtbot, session)
    assert told.has("does not let a central reading start from another visit's outline")
    assert session.current.draft is None
    session.set_step("follow_up")
    section = window.side.currentWidget().compare
    assert not section.copy.isEnabled()
    assert "allow_propagated_outlines" in section.why_no_copy.text()


def test_that_only_this_readers_outline_is_shown_and_copied(qtbot, session, told, opened, quick):
    session.reader = "Reader C"
    opened()
    session.compare_with()
    settle(qtbot, session)
    assert session.comparison.outlines == {}
    session.copy_outline()
    assert told.has("Reader C has no outline of N1 at Baseline")


def test_that_a_reading_is_never_replaced_by_a_copy(qtbot, compared, session, told):
    session.copy_outline()
    settle(qtbot, session)
    session.keep_reading(session.current_node_id)
    settle(qtbot, session)
    session.lock_reading(session.current_node_id, "Dr Reader", "I confirm this measurement")
    settle(qtbot, session)
    assert session.current.reading.state == ReadingState.LOCKED
    before = session.current.draft.array.copy()
    session.copy_outline()
    settle(qtbot, session)
    assert told.has("locked")
    assert np.array_equal(session.current.draft.array, before)


def test_that_without_another_visit_nothing_is_compared(session, told):
    session.compare_with()
    assert told.has("no other visit")
    session.copy_outline()
    assert told.has("Compare with another visit first")
