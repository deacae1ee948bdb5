"""The window: parts, steps, menus, jobs, notices, sizes; and that it closes clean."""

from __future__ import annotations

import threading
import time

import pytest
from PySide6.QtCore import QEvent, QPoint, QRect, Qt
from PySide6.QtGui import QFontMetrics
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QToolButton

from app import INVESTIGATIONAL_NOTICE
from app.ui.actions import GESTURES
from app.ui.dialogs.keys import KeysDialog, keys_html
from app.ui.main_window import MainWindow
from app.ui.session import STEPS
from app.ui.widgets.labels import ElidedLabel
from tests.ui import mouse, scenes


@pytest.fixture
def window(qtbot, session):
    made = MainWindow(session)
    qtbot.addWidget(made)
    made.show()
    qtbot.waitExposed(made)
    mouse.activate(qtbot, made)
    yield made
    made.close()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def test_that_the_notice_of_investigational_use_is_always_there(window):
    assert window.status.notice.text() == INVESTIGATIONAL_NOTICE
    assert window.status.notice.isVisible()


def test_that_every_step_opens_its_panel_from_any_other(window, session):
    for step in (*STEPS, "measure", "report", "images"):
        window.step_buttons[step].click()
        assert session.step == step
        assert window.side.currentWidget().isVisible()
        assert [s for s, b in window.step_buttons.items() if b.isChecked()] == [step]


def test_that_a_step_tells_what_it_still_needs(window, session, monkeypatch):
    monkeypatch.setattr(session, "step_needs", lambda step: "2 nodes without a reading" if step == "measure" else "")
    session.readings_changed.emit()
    assert "2 nodes without a reading" in window.step_buttons["measure"].toolTip()
    assert window.step_buttons["measure"].text().endswith("•")
    assert not window.step_buttons["plan"].text().endswith("•")


def test_that_no_two_actions_share_a_key(window):
    keys = [key for action in window.actions_list for key in action.shortcuts]
    assert len(keys) == len(set(keys))


def test_that_every_action_stands_in_a_menu(window):
    entries = {a for button in (*window.menus.values(), window.help_button) for a in button.menu().actions()}
    missing = [name for name, q in window.qactions.items() if q not in entries]
    assert missing == []


def test_that_tools_show_their_key_in_the_tooltip(window):
    for name, key in (("node", "N"), ("brush", "B"), ("eraser", "E"), ("caliper", "C"), ("needle", "P")):
        assert f"({key})" in window.tool_buttons[name].toolTip()


def test_that_the_list_of_keys_holds_every_key_and_gesture(window, qtbot):
    text = keys_html(window.actions_list)
    for action in window.actions_list:
        if action.shortcuts:
            assert action.title.rstrip("…") in text
            assert action.shortcut_text in text.replace("&amp;", "&")
    assert all(gesture in text for gesture, _ in GESTURES)
    qtbot.keyClick(window, Qt.Key.Key_F1)
    dialog = next(d for d in window._dialogs if isinstance(d, KeysDialog))
    assert dialog.isVisible()
    assert not dialog.isModal()
    dialog.close()


def test_that_keys_take_tools_and_esc_puts_them_away(window, session, qtbot):
    scenes.show_volume(session)
    for key, tool in ((Qt.Key.Key_N, "node"), (Qt.Key.Key_B, "brush"), (Qt.Key.Key_E, "eraser"), (Qt.Key.Key_C, "caliper"), (Qt.Key.Key_P, "needle")):
        qtbot.keyClick(window, key)
        assert session.tool == tool
    qtbot.keyClick(window, Qt.Key.Key_C, Qt.KeyboardModifier.ShiftModifier)
    assert session.tool == "ellipsoid"
    qtbot.keyClick(window, Qt.Key.Key_Escape)
    assert session.tool == "crosshair"
    assert window.tool_buttons["crosshair"].isChecked()


def test_that_brush_keys_change_size_and_shape(window, session, qtbot):
    scenes.show_volume(session)
    qtbot.keyClick(window, Qt.Key.Key_BracketRight)
    assert session.brush_radius_mm == 4.0
    qtbot.keyClick(window, Qt.Key.Key_D)
    assert session.brush_3d


def test_that_presets_are_on_alt_and_in_the_list(window, session, qtbot):
    qtbot.keyClick(window, Qt.Key.Key_3, Qt.KeyboardModifier.AltModifier)
    assert session.window == (500.0, 2000.0)
    assert window.presets.currentText() == "Bone"
    session.set_window(12, 345)
    assert window.presets.currentIndex() == -1


def test_that_tools_that_need_a_volume_wait_for_one(window, session):
    assert not window.qactions["node"].isEnabled()
    scenes.show_volume(session)
    assert window.qactions["node"].isEnabled()
    assert not window.qactions["livewire"].isEnabled()
    scenes.show_picture(session, scenes.cine())
    assert not window.qactions["brush"].isEnabled()
    assert window.qactions["node"].isEnabled()
    assert window.qactions["livewire"].isEnabled()
    assert window.qactions["caliper"].isEnabled()
    assert window.panes.shows_picture


def test_that_undo_says_what_it_undoes(window, session):
    from app.usecases.plan import NeedleDraft, PlanDraft

    assert not window.qactions["undo"].isEnabled()
    session.set_plan(PlanDraft().with_needle(NeedleDraft("E1", (0, 0, 0), (0, 50, 0))), "Place needle E1")
    assert window.qactions["undo"].isEnabled()
    assert window.qactions["undo"].text() == "Undo: Place needle E1"
    window.qactions["undo"].trigger()
    assert session.plan.needles == ()


def test_that_a_job_is_shown_and_can_be_cancelled(window, session, qtbot):
    stopped = []

    def work(context):
        try:
            while True:
                context.report("half way", 0.5)
                time.sleep(0.005)
        finally:
            stopped.append(True)

    session.jobs.start("Solving the field", work)
    qtbot.waitUntil(lambda: "50 %" in window.status.job.text(), timeout=3000)
    assert "Solving the field" in window.status.job.text()
    assert window.status.progress.value() == 50
    window.status.cancel.click()
    qtbot.waitUntil(lambda: not window.status.progress.isVisible(), timeout=3000)
    assert stopped


def test_that_a_refusal_is_a_sentence_without_a_dialog(window, session, qtbot):
    from volumetry.errors import NodusError

    def refuse(_context):
        raise NodusError("The series has no positions.", hint="Import it again.")

    session.jobs.start("Opening", refuse)
    qtbot.waitUntil(window.notice_bar.isVisible, timeout=3000)
    assert "The series has no positions." in window.notice_bar.label.text()
    assert QApplication.activeModalWidget() is None
    window.notice_bar.dismiss.click()
    assert not window.notice_bar.isVisible()


def test_that_a_bug_in_a_job_is_written_down_and_told(window, session, qtbot, tmp_path, monkeypatch):
    monkeypatch.setenv("NODUS_LOG_DIR", str(tmp_path))
    session.jobs.start("Opening", lambda _context: 1 / 0)
    qtbot.waitUntil(window.notice_bar.isVisible, timeout=3000)
    assert window.notice_bar.property("severity") == "serious"
    assert "ZeroDivisionError" in (tmp_path / "failures.log").read_text()


def test_that_an_unexpected_error_saves_the_drafts_first(window, session, tmp_path, monkeypatch):
    import sys

    from app.ui.application import install_excepthook

    monkeypatch.setenv("NODUS_LOG_DIR", str(tmp_path))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    saved = []
    monkeypatch.setattr(session, "save", lambda: saved.append(True))
    install_excepthook(window)
    try:
        raise RuntimeError("unforeseen")
    except RuntimeError:
        sys.excepthook(*sys.exc_info())
    assert saved
    assert "unforeseen" in (tmp_path / "failures.log").read_text()
    assert "your work is saved" in window.notice_bar.label.text()


def test_that_layouts_change_and_come_back(window, session):
    scenes.show_volume(session)
    for action, shown in (("layout_1", 1), ("layout_1x2", 2), ("layout_2x2", 4)):
        window.qactions[action].trigger()
        assert len([p for p in window.panes.panes.values() if p.isVisible()]) == shown
        assert window.qactions[action].isChecked()


def test_that_slices_and_zoom_are_in_the_menu_too(window, session):
    scenes.show_volume(session)
    for name in ("axial", "coronal"):
        pane = window.panes.panes[name]
        pane.setFocus()
        number, scale = pane.slice_number, pane.view.px_per_mm
        window.qactions["next_slice"].trigger()
        assert abs(pane.slice_number - number) == 1
        window.qactions["zoom_in"].trigger()
        assert pane.view.px_per_mm > scale
        window.qactions["reset"].trigger()
        assert pane.view.px_per_mm == pytest.approx(scale)


@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080), (1280, 720), (853, 533)])
@pytest.mark.parametrize("step", STEPS)
def test_that_no_text_is_cut_and_nothing_overlaps(window, session, size, step):
    scenes.show_volume(session)
    scenes.add_node(session)
    session.set_step(step)
    window.resize(*size)
    QApplication.processEvents()
    assert window.width() == size[0]
    cut = []
    for part in (*window.findChildren(QLabel), *window.findChildren(QAbstractButton)):
        if not part.isVisible() or not part.text() or isinstance(part, ElidedLabel):
            continue
        if isinstance(part, QLabel) and (part.wordWrap() or part.textFormat() == Qt.TextFormat.RichText):
            continue
        if isinstance(part, QToolButton) and not part.icon().isNull() and part.toolButtonStyle() == Qt.ToolButtonStyle.ToolButtonIconOnly:
            continue
        if QFontMetrics(part.font()).horizontalAdvance(part.text().replace("&", "")) > part.width() + 1:
            cut.append(part.text())
    assert cut == []
    for bar in (window.menus["study"].parentWidget(), window.strip, window.status):
        parts = [w for w in bar.children() if hasattr(w, "isVisible") and w.isVisible() and w.parentWidget() is bar]
        boxes = [QRect(w.mapTo(window, QPoint(0, 0)), w.size()) for w in parts if w.width() > 0]
        for n, a in enumerate(boxes):
            assert QRect(bar.mapTo(window, QPoint(0, 0)), bar.size()).contains(a)
            assert not any(a.intersects(b) for b in boxes[n + 1 :])


def test_that_the_header_names_subject_visit_and_reader(window, session):
    from app.study.model import Visit

    session.subject_id, session.visit = "S-014", Visit("v1", "S-014", "Month 3", 2)
    session.visit_changed.emit()
    assert window.case.text() == "Subject S-014 · Month 3 · Reader A"
    assert "S-014" in window.windowTitle()


def test_that_saving_is_told_with_its_time(window, session):
    session.saved.emit("Saved 10:42:31")
    assert window.status.saved.text() == "Saved 10:42:31"
    assert window.status.saved.isVisible()


def test_that_the_window_becomes_ready_and_closes_without_leaving_anything(qtbot, session):
    before = set(threading.enumerate())
    window = MainWindow(session)
    window.show()
    qtbot.waitExposed(window)
    with qtbot.waitSignal(window.ready, timeout=120_000):
        window.prepare()
    scenes.show_volume(session)
    qtbot.waitUntil(lambda: "context:skin" in window.panes.scene.scene.parts, timeout=20_000)
    scene = window.panes.scene.scene
    session.jobs.start("Long", lambda context: [context.report("", None) or time.sleep(0.005) for _ in range(100_000)])
    window.close()
    assert scene.finalized
    assert window.panes.scene.scene is None
    assert not session.jobs.is_busy()
    window.close()  # a second close does nothing
    session.image_changed.emit()
    window.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    # Threads that measure belong to the program, not to a window: they wait for the next node.
    left = {t for t in threading.enumerate() if not isinstance(t, threading._DummyThread) and not t.name.startswith("volumetry")} - before
    assert left == set()


def test_that_a_click_during_a_job_is_not_lost(window, session, qtbot):
    scenes.show_volume(session)
    go = threading.Event()
    session.jobs.start("Long", lambda _context: go.wait(5))
    axial = window.panes.panes["axial"]
    point = scenes.near(6, 5, 0)
    mouse.click(axial, axial.screen_of(point))
    assert session.crosshair_mm[:2] == pytest.approx(point[:2], abs=0.5)
    go.set()
