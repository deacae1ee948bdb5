"""What is seen of a solved field: legends, surfaces, the uncovered part, the margin map, figures and charts, and what goes out."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PySide6.QtCore import QPointF, QRectF
from PySide6.QtGui import QColor, QImage, QPainter

from app.ui.panels.plan_display import margin_rows
from app.ui.scene.margin_surface import label_point, uncovered_surface
from app.ui.views import field_overlay
from app.ui.views.field_legend import Band, ColourBar, Tick, bar_box, bar_height, draw_bands, draw_colour_bar, spread_ticks
from app.ui.widgets.field_volume_chart import FieldVolumeChart, curves_of
from app.usecases.field_colours import MARGIN_BANDS, field_table, margin_colours
from tests.ui import scenes
from tests.ui.panel_cases import answer, fill, plan_of_needles
from tests.ui.panels.hands import WIDTH_PX

LEVELS, LETHAL = (400.0, 500.0, 600.0, 800.0), 500.0


def painted(draw, width: int = 200, height: int = 260) -> np.ndarray:
    """RGB [y, x, 3] of what ``draw(painter)`` leaves on black."""
    image = QImage(width, height, QImage.Format.Format_RGB32)
    image.fill(QColor("black"))
    painter = QPainter(image)
    draw(painter)
    painter.end()
    return np.frombuffer(image.constBits(), np.uint8).reshape(height, width, 4)[:, :, 2::-1].astype(int)


# ---- legends ---------------------------------------------------------------------------------------
def test_that_tick_names_keep_apart_and_stay_on_the_bar():
    assert spread_ticks([0, 10, 50], 0, 100, 12) == [0, 12, 50]
    assert spread_ticks([90, 95, 99], 0, 100, 12) == [76, 88, 100]
    assert spread_ticks([], 0, 100) == []


def test_that_the_bar_runs_from_low_below_to_high_above(styled_qapp):
    bar = ColourBar("P", "%", 0.0, 100.0, field_table(), (Tick(0, "0"), Tick(50, "50", bold=True), Tick(100, "100")))
    box = bar_box(bar, 150.0, 10.0, 150.0)
    picture = painted(lambda p: draw_colour_bar(p, bar, 150.0, 10.0, 150.0))
    end = round(box.bottom()) - 8  # room for a pointed end is kept below
    top, bottom = picture[end - 140, 146], picture[end - 8, 146]
    assert np.abs(top - field_table()[-1]).max() < 40
    assert np.abs(bottom - field_table()[0]).max() < 40
    drawn = np.argwhere(picture.sum(axis=2) > 60)
    assert drawn[:, 1].min() >= box.left() - 2
    assert drawn[:, 0].max() <= box.bottom() + 2
    assert bar_height(150) == 0.0


def test_that_bands_stand_beside_their_colours(styled_qapp):
    bands = [Band(b.text, b.rgb) for b in MARGIN_BANDS]
    picture = painted(lambda p: draw_bands(p, "Margin", bands, 10.0, 10.0))
    for band in bands:
        assert (np.abs(picture - band.rgb).sum(axis=2) == 0).sum() > 60, band.text


def test_that_no_band_of_the_margin_is_green_or_says_that_all_is_well():
    assert [b.text for b in MARGIN_BANDS] == ["< 0 mm", "0–5 mm", "5–10 mm", "≥ 10 mm"]
    for band in MARGIN_BANDS:
        r, g, b = band.rgb
        assert g < max(r, b)
    assert (margin_colours(np.array([-0.001, 0.0, 4.999, 5.0, 10.0])) == np.array([MARGIN_BANDS[n].rgb for n in (0, 1, 1, 2, 3)])).all()


def test_that_the_field_bar_has_ticks_at_the_thresholds_and_a_mark_at_the_lethal_one():
    bar = field_overlay.colour_bar(LEVELS, 550.0)
    assert [t.text for t in bar.ticks] == ["400", "500", "550", "600", "800", "1400"]
    assert [t.text for t in bar.ticks if t.bold] == ["550"]
    assert "◂" in next(t for t in bar.ticks if t.bold).mark


def test_that_a_coarse_field_and_uncovered_target_are_told_in_words():
    picture = SimpleNamespace(uncovered=3)
    told = [text for text, _ in field_overlay.notes(picture, LETHAL, preview=True)]
    assert "below 500 V/cm" in told[0]
    assert "preview" in told[1]
    assert field_overlay.notes(SimpleNamespace(uncovered=0), LETHAL, preview=False) == []


# ---- surfaces --------------------------------------------------------------------------------------
def test_that_the_uncovered_part_lies_in_the_target_and_out_of_the_lethal_field():
    geometry, field = scenes.grid(), scenes.cone_field()
    mask = scenes.distances_mm(geometry, scenes.near(8, 0, 0)) < 10.0  # it reaches 18 mm from the middle, the field 14
    surface = uncovered_surface(mask, geometry, field.e_max_v_per_cm, field.geometry, 500.0)
    vertices, faces = surface
    assert len(faces) > 50
    assert np.linalg.norm(vertices - scenes.CENTRE, axis=1).min() > 13.0
    assert np.linalg.norm(vertices - scenes.near(8, 0, 0), axis=1).max() < 11.5
    assert label_point(surface)[0] > scenes.CENTRE[0] + 13.0
    covered = uncovered_surface(scenes.distances_mm(geometry) < 10.0, geometry, field.e_max_v_per_cm, field.geometry, 500.0)
    assert len(covered[1]) == 0
    assert label_point(covered) is None


def test_that_target_beyond_the_solved_box_counts_as_uncovered():
    geometry, field = scenes.grid(), scenes.cone_field()
    mask = scenes.distances_mm(geometry, scenes.near(0, 0, 34)) < 5.0
    assert len(uncovered_surface(mask, geometry, np.full_like(field.e_max_v_per_cm, 900.0), field.geometry, 500.0)[1]) > 0


@pytest.fixture
def pane(session, qtbot):
    from app.ui.views.scene_pane import ScenePane, load_libraries

    load_libraries()
    made = ScenePane(session)
    qtbot.addWidget(made, before_close_func=lambda w: w.shutdown())
    made.resize(320, 260)
    made.show()
    qtbot.waitExposed(made)
    scenes.show_volume(session)
    made.prepare()
    return made


def test_that_space_shows_surfaces_and_the_uncovered_part_or_the_margin(pane, session, qtbot):
    scenes.add_node(session, 16.0)
    session.solution = scenes.cone_field()
    vertices = scenes.near(0, 0, 0) + 16.0 * np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    session.assessment = SimpleNamespace(margins={"N1": SimpleNamespace(points_mm=vertices, distance_mm=np.full(4, -2.0))})
    session.field_changed.emit()
    qtbot.waitUntil(lambda: {"field", "uncovered", "node:a"} <= set(pane.scene.parts))
    assert pane.shows_uncovered
    assert not pane.shows_margin
    session.show_surface(800.0, True)
    qtbot.waitUntil(lambda: "field:800" in pane.scene.parts)
    assert session.surfaces_in_scene() == [500.0, 800.0]
    session.show_surface(800.0, False)
    qtbot.waitUntil(lambda: "field:800" not in pane.scene.parts)
    session.show_in_scene("margin")
    qtbot.waitUntil(lambda: pane.shows_margin)
    assert not pane.shows_uncovered
    pane.grab()
    session.set_field_display(shown=False)
    session.show_in_scene("field")
    qtbot.waitUntil(lambda: not pane.shows_margin)
    assert not pane.shows_uncovered
    session.solution = session.assessment = None
    session.field_changed.emit()
    assert not {"field", "uncovered"} & set(pane.scene.parts)
    with pytest.raises(ValueError, match="elsewhere"):
        session.show_in_scene("elsewhere")


# ---- figures, chart, what goes out -----------------------------------------------------------------
def told(plan) -> dict:
    """An answer with margins and curves."""
    base = answer(plan)
    steps = [float(v) for v in range(0, 2001, 25)]
    curve = {"v_per_cm": steps, "volume_pct": [max(0.0, 100.0 - v / 10) for v in steps]}
    base["targets"][0] |= {
        "field_volume_histogram": curve, "margin_percentiles_mm": {"1": -0.7, "5": -0.2, "25": 1.0, "50": 2.5, "75": 4.0, "95": 6.0},
        "margin_surface_below_pct": {"0": 7.5, "5": 80.0, "10": 100.0},
    }  # fmt: skip
    base["at_risk"][0] |= {"field_volume_histogram": curve | {"volume_pct": [max(0.0, 50.0 - v / 10) for v in steps]}, "max_temperature_c": 41.5, "thermal_damage_ml": 0.0}
    return base


class Answer(SimpleNamespace):
    def to_dict(self) -> dict:
        return self.answer


def test_that_margin_figures_have_percentiles_and_shares_of_the_surface():
    rows = {f.label: f.value for f in margin_rows(told(plan_of_needles(2)))}
    assert rows["Smallest margin"] == -0.8
    assert rows["Margin, 50th percentile"] == 2.5
    assert (rows["Surface not covered"], rows["Surface below 5 mm"], rows["Surface below 10 mm"]) == (7.5, 80.0, 100.0)
    assert margin_rows({"targets": [{"name": "N1"}]}) == []


def test_that_the_chart_tells_values_and_copies_its_numbers(qtbot, styled_qapp):
    chart = FieldVolumeChart()
    qtbot.addWidget(chart)
    curves = curves_of(told(plan_of_needles(2)))
    assert [c.role for c in curves] == ["target", "at_risk"]
    chart.show_curves(curves, LEVELS, LETHAL)
    assert "500 V/cm" in chart.value.text()
    assert "N1 50.0 %" in chart.words(500.0)
    assert "carotid 18.8 %" in chart.words(312.5)
    chart.copy_numbers()
    lines = styled_qapp.clipboard().text().splitlines()
    assert lines[0].split("\t") == ["Field (V/cm)", "N1 (%)", "carotid (%)"]
    assert lines[21].split("\t") == ["500", "50", "0"]


def test_that_the_panel_shows_low_fields_and_heat_and_asks_for_a_kept_run_first(qtbot, session):
    from app.ui.panels.plan_display import PlanDisplay

    fill(session)
    session.plan = plan_of_needles(2)
    made = PlanDisplay(session)
    qtbot.addWidget(made)
    made.resize(WIDTH_PX, 900)
    assert made.out.isHidden()
    assert made.space.isHidden()
    session.solution, session.assessment = scenes.cone_field(), Answer(answer=told(session.plan), margins={"N1": object()})
    session.field_changed.emit()
    row = [made.exposed.proxy.index(0, c).data() for c in range(made.exposed.proxy.columnCount())]
    assert row[:3] == ["carotid", "1.20", "0.90"]
    assert row[4] == "41.5"
    assert not made.sheet_button.isEnabled()
    assert "Save the plan run" in made.why.text()
    made.shows["margin"].click()
    assert session.scene_shows == "margin"
    made.shows["margin"].click()  # pressed again it stays
    assert session.scene_shows == "margin"
    assert made.shows["margin"].isChecked()
    made.levels[800.0].click()
    assert session.surfaces_in_scene() == [500.0, 800.0]
    assert not made.levels[500.0].isEnabled()
    session._remember_kept(session.solution, session.assessment, "P-1")
    assert made.sheet_button.isEnabled()
    assert made.dicom_button.isEnabled()
    refused = told(session.plan) | {"constraints": [{"code": "current", "level": "refuse", "message": "Too much."}]}
    session.assessment = Answer(answer=refused, margins={})
    session._remember_kept(session.solution, session.assessment, "P-2")
    assert not made.sheet_button.isEnabled()
    assert "refused" in made.why.text()
    assert made.dicom_button.isEnabled()


def test_that_a_run_belongs_to_what_is_on_screen_only_while_nothing_changed(session):
    session.solution, session.assessment = object(), Answer(answer={}, margins={})
    session._remember_kept(session.solution, session.assessment, "P-1")
    assert session.shown_run_id == "P-1"
    session.assessment = replace_answer(session.assessment)  # its heat came later
    assert session.shown_run_id is None
    session.solution = session.assessment = None
    assert session.shown_run_id is None


def replace_answer(old: Answer) -> Answer:
    return Answer(answer=dict(old.answer), margins=old.margins)


def test_that_going_out_without_a_kept_run_is_told_and_does_nothing(session, qtbot, tmp_path):
    heard = []
    session.notice.connect(lambda severity, text: heard.append((severity, text)))
    session.export_plan_sheet(tmp_path / "sheet.pdf")
    session.export_plan_dicom(tmp_path)
    assert [severity for severity, _ in heard] == ["warning", "warning"]
    assert not session.jobs.is_busy()
    assert list(tmp_path.iterdir()) == []


def test_that_names_of_needles_stand_left_of_the_legend(styled_qapp):
    from app.ui.views.needles import ProjectedNeedle, draw_needle

    needle = SimpleNamespace(id="E1")
    projected = ProjectedNeedle(needle, QPointF(60, 150), QPointF(150, 100), QPointF(90, 130), 0.0, 0.0, 0.0)
    taken: list = []
    keep_off = QRectF(150, 40, 45, 160)
    painted(lambda p: draw_needle(p, projected, SimpleNamespace(width=200, height=260), taken, keep_off=keep_off))
    assert taken[0].right() <= keep_off.left()
    assert abs(taken[0].center().y() - 95) < 20


def test_that_a_plan_without_thresholds_above_lethal_still_has_its_bar():
    plan = replace(plan_of_needles(2), thresholds_v_per_cm=(400.0,), lethal_v_per_cm=900.0)
    bar = field_overlay.colour_bar(plan.thresholds_v_per_cm, plan.lethal_v_per_cm)
    assert (bar.low, bar.high) == (400.0, 700.0)
    assert [t.text for t in bar.ticks] == ["400", "700"]
