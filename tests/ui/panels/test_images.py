"""The panel of step 1, driven by the widgets a reader uses."""

from __future__ import annotations

from tests.ui.panel_cases import fill
from tests.ui.panels.hands import Calls, click


def test_that_findings_stand_with_the_serious_ones_first_and_explain_themselves(show, session, qtbot):
    panel = show("images")
    fill(session)
    session.image_changed.emit()
    rows = panel.findings.rows
    assert [r.severity for r in rows] == ["serious", "warning", "info"]
    first = rows[0]
    assert not first.remedy.isVisible()
    click(qtbot, first.toggle)
    assert first.remedy.isVisible()
    assert "complete series" in first.remedy.text()
    assert "absent" in first.more.text()


def test_that_unfolded_findings_stay_unfolded_when_the_same_list_is_told_again(show, session, qtbot):
    fill(session)
    panel = show("images")
    click(qtbot, panel.findings.rows[0].toggle)
    session.findings_changed.emit()
    assert panel.findings.rows[0].remedy.isVisible()


def test_that_series_facts_have_units_and_say_where_spacing_comes_from(show, session):
    fill(session)
    panel = show("images")
    facts = {f.label: f for f in panel.facts.model_.rows}
    assert facts["Spacing"].text == "0.70 × 0.70 × 1.25 mm"
    assert facts["Columns × rows × slices"].text == "40 × 40 × 24"
    assert "never from the slice thickness" in facts["Spacing"].tip


def test_that_the_primary_button_opens_the_demonstration_only_while_nothing_is_open(show, session, qtbot, monkeypatch):
    calls = Calls(monkeypatch, "open_demo", "set_step")
    panel = show("images")
    click(qtbot, panel.primary)
    fill(session)
    session.image_changed.emit()
    click(qtbot, panel.primary)
    assert calls.made == [("open_demo",), ("set_step", "measure")]


def test_that_import_asks_for_folder_pseudonym_and_visit(show, session, qtbot, monkeypatch, tmp_path):
    calls = Calls(monkeypatch, "import_images")
    fill(session)
    panel = show("images")
    click(qtbot, panel.import_images)
    dialog = panel.dialog
    assert not dialog.accept_button.isEnabled()
    dialog.folder.setText(str(tmp_path))
    dialog.pseudonym.setText("Doe^Jane")
    dialog.visit.setCurrentText("Day 30")
    assert not dialog.accept_button.isEnabled()
    assert "Never a name" in dialog.missing.text()
    dialog.pseudonym.setText("S-014")
    click(qtbot, dialog.accept_button)
    qtbot.waitUntil(lambda: bool(calls.made), timeout=20_000)  # the pictures are looked at first, off the window's thread
    assert calls.made == [("import_images", str(tmp_path), "S-014", "Day 30", {}, False)]  # nothing to confirm, dates as they are
