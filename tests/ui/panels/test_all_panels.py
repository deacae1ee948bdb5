"""What holds for the panels of all five steps."""

from __future__ import annotations

import pytest
from PySide6.QtCore import QEvent, QPoint, Qt
from PySide6.QtWidgets import QAbstractButton, QAbstractSpinBox, QApplication, QComboBox, QLabel, QLineEdit, QSlider, QWidget

from app.ui.panels import make_panel
from app.ui.session import STEPS
from tests.ui.panel_cases import answer, fill, plan_of_needles
from tests.ui.panels.hands import HEIGHT_PX, WIDTH_PX, settle


def test_that_an_unknown_step_is_refused(session):
    with pytest.raises(ValueError, match="dissect"):
        make_panel("dissect", session)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("filled", [False, True], ids=["empty", "filled"])
def test_that_nothing_is_wider_than_the_panel(show, session, step, filled):
    if filled:
        fill(session)
        session.plan = plan_of_needles(3)
        session.assessment = answer(session.plan, 63.0)
    panel = show(step)
    settle()
    body = panel.scroll.widget()
    assert body.width() == panel.scroll.viewport().width()
    for child in body.findChildren(QWidget):
        if child.isVisibleTo(panel) and not child.window().isModal() and child.parent() is not None and child.__class__.__module__.startswith("app."):
            right = child.mapTo(panel, QPoint(child.width(), 0)).x()
            assert right <= WIDTH_PX, f"{child.accessibleName() or child} ends at {right}"


@pytest.mark.parametrize("step", STEPS)
def test_that_wrapped_texts_have_room_for_all_their_lines(show, session, step):
    fill(session)
    session.plan = plan_of_needles(2)
    session.assessment = answer(session.plan)
    panel = show(step)
    settle()
    labels = [w for w in panel.findChildren(QLabel) if w.wordWrap() and w.isVisibleTo(panel) and w.text()]
    assert labels or step == "images"
    for label in labels:
        assert label.height() >= label.heightForWidth(label.width()), label.text()


@pytest.mark.parametrize("step", STEPS)
def test_that_every_control_has_a_name_for_screen_readers_and_takes_the_keyboard(show, session, step):
    fill(session)
    panel = show(step)
    controls = [w for w in panel.findChildren(QWidget) if isinstance(w, (QAbstractButton, QComboBox, QAbstractSpinBox, QSlider)) and w.isVisibleTo(panel)]
    controls += [w for w in panel.findChildren(QLineEdit) if w.isVisibleTo(panel) and not isinstance(w.parent(), (QAbstractSpinBox, QComboBox))]
    assert controls
    for control in controls:
        assert control.accessibleName() or getattr(control, "text", lambda: "")(), control
        assert control.focusPolicy() & Qt.FocusPolicy.TabFocus, control.accessibleName()


@pytest.mark.parametrize("step", STEPS)
def test_that_each_step_has_one_primary_button_at_the_same_place(show, session, step):
    fill(session)
    panel = show(step)
    settle()
    primary = [b for b in panel.findChildren(QAbstractButton) if b.property("primary")]
    assert primary == [panel.primary]
    bottom = panel.primary.mapTo(panel, QPoint(0, panel.primary.height())).y()
    assert bottom == HEIGHT_PX - 10
    assert not panel.scroll.widget().isAncestorOf(panel.primary)


def test_that_a_panel_that_is_gone_hears_nothing_more(session, qtbot):
    fill(session)
    for step in STEPS:
        panel = make_panel(step, session)
        panel.show()
        panel.close()
        panel.deleteLater()
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    with qtbot.captureExceptions() as problems:
        session.add_caliper([(0.0, 0.0, 0.0), (0.0, 11.2, 0.0)])
        session.set_tool("brush")
        session.set_plan(plan_of_needles(2))
        for signal in (session.nodes_changed, session.readings_changed, session.study_changed, session.visit_changed, session.image_changed, session.findings_changed):
            signal.emit()
        session.measurement_changed.emit("a")
        session.undo_stack.clear()
    assert problems == []
