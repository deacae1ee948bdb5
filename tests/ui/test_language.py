"""The window in Simplified Chinese: nothing in English in a walk through it, and a change of language that loses nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QFontInfo, QFontMetrics
from PySide6.QtWidgets import QApplication, QPushButton, QToolButton

from app.ui import text
from app.ui.languages import kept_language, use_language
from app.ui.main_window import MainWindow
from app.ui.session import STEPS, TOOLS
from app.ui.style import pixel_font
from tests.ui import panel_cases, scenes
from tests.ui.reading_aloud import english_in, texts_of
from volumetry.finding import Finding

LANGUAGE = "zh-CN"
CASE = ("S-014", "Reader A", "Neck with contrast", "A. Example", "Ball in a box", "cystic")


@pytest.fixture
def chinese(styled_qapp, tmp_path, monkeypatch):
    monkeypatch.setenv("NODUS_SETTINGS", str(tmp_path / "settings.json"))
    use_language(LANGUAGE)
    yield
    use_language("en")


@pytest.fixture
def window(qtbot, session, tmp_path, monkeypatch):
    monkeypatch.setenv("NODUS_SETTINGS", str(tmp_path / "settings.json"))
    made = MainWindow(session)
    made.show()
    qtbot.waitExposed(made)
    yield made
    last = made
    while last.successor is not None:
        last = last.successor
    last.close()
    use_language("en")
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)


def english_of(window, part=None) -> dict[str, list[str]]:
    names = (*CASE, *(v.name for v in window.session.visits))
    return {f"{where}: {said}": words for where, said in texts_of(part or window) if (words := english_in(said, names))}


def test_that_no_english_is_left_in_a_walk_through_the_window(chinese, window, session):
    panel_cases.fill(session)
    for signal in (session.image_changed, session.nodes_changed, session.readings_changed, session.findings_changed):
        signal.emit()
    session.select_node("a")
    session.findings = [
        Finding("synthetic", "The slice numbers run against the positions; slices are sorted by position.", "info"),
        Finding("gantry_tilt", "The gantry was tilted by 12.0 degrees: each slice is shifted 0.27 mm against its neighbour. Volumes use the true 1.25 mm between planes.", "warning"),
    ]
    session.findings_changed.emit()
    left = english_of(window)
    for step in STEPS:
        session.set_step(step)
        QApplication.processEvents()
        left |= english_of(window)
    session.set_step("measure")
    for tool in TOOLS:
        session.set_tool(tool)
        left |= english_of(window)
        assert not english_in(window.toolbox.current.hint()), tool
    session.set_tool("crosshair")
    window.show_keys()
    left |= english_of(window, window._dialogs[-1])
    window._dialogs[-1].close()
    for sentence in ("The node lies in 3 separate pieces; they are measured as one.", "Open a CT volume first; outlines are drawn on it."):
        session.notice.emit("warning", sentence)
        left |= english_of(window, window.notice_bar)
    assert not left


def test_that_the_notice_of_investigational_use_is_in_the_language_of_the_window(chinese, window):
    assert window.status.notice.text() == "仅供研究使用，不得用于临床决策"
    assert window.status.notice.isVisible()


def test_that_words_in_the_window_fit_their_buttons(chinese, window, session):
    panel_cases.fill(session)
    session.image_changed.emit()
    for width, height in ((1280, 800), (1920, 1080)):
        window.resize(width, height)
        for step in STEPS:
            session.set_step(step)
            QApplication.processEvents()
            for button in window.findChildren(QPushButton) + window.findChildren(QToolButton):
                if button.isVisible() and button.text() and not (isinstance(button, QToolButton) and button.toolButtonStyle() == Qt.ToolButtonStyle.ToolButtonIconOnly and not button.icon().isNull()):
                    needed = max(QFontMetrics(button.font()).horizontalAdvance(line.replace("&", "")) for line in button.text().splitlines())
                    assert needed <= button.width(), (step, button.text())


def test_that_the_fonts_hold_chinese(styled_qapp):
    metrics = QFontMetrics(pixel_font(12))
    assert metrics.horizontalAdvance("淋巴结") >= 3 * 10
    assert QFontInfo(pixel_font(12)).pixelSize() == 12


def test_that_another_language_keeps_what_is_open_and_drawn(window, session, qtbot):
    scenes.show_volume(session)
    panel_cases.fill(session)
    session.nodes_changed.emit()
    session.set_step("measure")
    done = []
    session._push("Remove caliper", lambda: done.append("redo"), lambda: done.append("undo"))
    drawn = session.nodes["a"].draft.array.copy()
    image, crosshair = session.image, np.array(session.crosshair_mm)
    window.panes.set_layout("1x2")
    qtbot.waitUntil(lambda: not session.jobs.is_busy())
    window.change_language(LANGUAGE)
    qtbot.waitUntil(lambda: window.successor is not None)
    new = window.successor
    assert text.language() == LANGUAGE == kept_language()
    assert new.session is session
    assert session.image is image
    np.testing.assert_array_equal(session.nodes["a"].draft.array, drawn)
    np.testing.assert_array_equal(session.crosshair_mm, crosshair)
    assert new.panes.layout_name == "1x2"
    assert new.panes.panes["axial"].has_picture
    assert new.isVisible()
    assert not window.isVisible()
    assert new.step_buttons["measure"].isChecked()
    assert new.step_buttons["images"].text().startswith("1 图像")
    assert "移除卡尺" in new.qactions["undo"].text()
    session.undo()
    assert done == ["undo"]
    # The window that has gone hears nothing any more.
    QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    for signal in (session.image_changed, session.plan_changed, session.readings_changed, session.display_changed):
        signal.emit()
    session.set_step("plan")
    QApplication.processEvents()
    assert new.side.currentWidget().isVisible()


def test_that_a_change_waits_for_what_is_running(window, session, qtbot):
    go_on = []

    def work(context):
        while not go_on:
            context.token.check()
        return 1

    answers = []
    session.jobs.start("Saving", work, on_done=answers.append)
    window.change_language(LANGUAGE)
    assert window.successor is None
    assert window.notice_bar.isVisible()
    go_on.append(1)
    qtbot.waitUntil(lambda: window.successor is not None)
    assert answers == [1]


def test_that_the_choice_is_kept_and_a_lost_one_is_english(tmp_path, monkeypatch):
    place = tmp_path / "settings.json"
    monkeypatch.setenv("NODUS_SETTINGS", str(place))
    assert kept_language() == "en"
    place.write_text(json.dumps({"language": LANGUAGE}))
    assert kept_language() == LANGUAGE
    place.write_text(json.dumps({"language": "tlh"}))
    assert kept_language() == "en"


def test_that_each_language_is_named_in_itself(window):
    titles = {a.title for a in window.actions_list if a.id.startswith("language_")}
    assert titles == {"English", "简体中文"}
    assert [window.qactions[f"language_{code}"].isChecked() for code in ("en", LANGUAGE)] == [True, False]
