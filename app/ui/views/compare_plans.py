"""Two plans side by side in a window of their own: the same slice of both with needles and field, and their figures in columns."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtGui import QKeySequence, QPainter, QShortcut
from PySide6.QtWidgets import QComboBox, QDialog, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from app.ui.models.plan_runs import both_columns, both_rows, kind_names, moment, session_names, shift_columns
from app.ui.style import MUTED, TEXT, WARNING, node_colour
from app.ui.text import t
from app.ui.tools.crosshair import CrosshairTool
from app.ui.views import field_overlay, overlays
from app.ui.views.slice_pane import PLANE_TITLES, SlicePane
from app.ui.widgets.labels import WrapLabel
from app.ui.widgets.palette import PANEL_STYLE
from app.ui.widgets.tables import ValueTable

TABLE_PX = 400


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """One side in words and as it is drawn. ``target``: the mask that was planned for."""

    name: str
    plan: object
    field: object
    target: object


class LookingOnly(QObject):
    """In place of the window's tools: the crosshair, whatever is in hand there."""

    changed = Signal()

    def __init__(self, session, parent=None):
        super().__init__(parent)
        self.current = CrosshairTool(session, None)

    def is_outlining(self) -> bool:
        """Nothing is drawn here."""
        return False


def side_name(side) -> str:
    """``Day 0, planned, 2026-11-20 20:11 UTC``, or the plan on screen."""
    if side.run is None:
        return t("Plan on screen")
    run = side.run
    return f"{session_names().get(run.session, run.session)}, {kind_names().get(run.kind or 'planned', run.kind)}, {moment(run.created_utc)} UTC"


def short_name(side) -> str:
    """What stands over a picture."""
    return t("on screen") if side.run is None else kind_names().get(side.run.kind or "planned", side.run.kind)


class PlanPicturePane(SlicePane):
    """A slice of the volume on screen with the needles and the field of one of two plans; to look at only."""

    def __init__(self, plane: str, shown: Shown, session, toolbox, parent=None):
        self.shown = shown
        self.partner: PlanPicturePane | None = None
        super().__init__(plane, session, toolbox, parent)
        self.setAccessibleName(t("{plan}, {plane} slices").format(plan=shown.name, plane=t(PLANE_TITLES[plane])))
        self.set_heading(shown.name)

    @property
    def shown_plan(self):
        """This side's plan."""
        return self.shown.plan

    @property
    def shown_solution(self):
        """This side's field."""
        return self.shown.field

    @property
    def shown_target(self):
        """This side's target, where it lies on the grid of the pictures."""
        mask = self.shown.target
        return mask if mask is not None and self.geometry is not None and mask.geometry.same_grid(self.geometry) else None

    def _draw_over(self, painter: QPainter) -> None:
        self._draw_plan_field(painter)
        if self.shown.target is not None:
            segments = overlays.outline_segments(self.shown.target, self.geometry, self.view, self.slice_number)
            overlays.draw_segments(painter, self.view, segments, node_colour(0), 1.6)
        self._draw_plan_needles(painter)
        self._name_field_lines(painter)
        overlays.draw_crosshair(painter, self.view, *self.screen_of(self.crosshair_mm))

    def _draw_plan_field(self, painter: QPainter) -> None:
        s, view, plan = self.session, self.view, self.shown.plan
        if self.shown.field is None:
            self._field = None
            return
        levels, lethal = plan.thresholds_v_per_cm, plan.lethal_v_per_cm
        key = (self.slice_number, view.middle, view.px_per_mm, view.width, view.height, s.field_opacity)
        if key != self._field_key:
            self._field = field_overlay.make(self.shown.field, self.geometry, view, self.slice_number, levels=levels, lethal=lethal, opacity=s.field_opacity, target=self.shown_target)
            self._field_key = key
        field_overlay.draw(painter, self._field, lethal)

    def _draw_plan_needles(self, painter: QPainter) -> None:
        from app.ui.views.needles import draw_needle, project

        self._names = []
        for needle in self.shown.plan.needles:
            draw_needle(painter, project(needle, self.view, self.geometry, self.slice_number), self.view, self._names)

    def _corner_lines(self):
        notes = field_overlay.notes(self._field, self.shown.plan.lethal_v_per_cm, preview=False) if self._field is not None else [(t("no field was kept"), WARNING)]
        return self.heading, [("", TEXT), (t("lethal at {v} V/cm").format(v=f"{self.shown.plan.lethal_v_per_cm:g}"), MUTED)], [*notes, self._window_line()]

    # ---- hands: look, do not draw -----------------------------------------------------------
    def pan(self, dx: float, dy: float) -> None:
        """Both sides move."""
        super().pan(dx, dy)
        self._lead()

    def zoom(self, factor: float, x: float | None = None, y: float | None = None) -> None:
        """Both sides have one size."""
        super().zoom(factor, x, y)
        self._lead()

    def zoom_to(self, point_mm, reach_mm: float) -> None:
        """Both sides show the point."""
        super().zoom_to(point_mm, reach_mm)
        self._lead()

    def _lead(self) -> None:
        if self.partner is not None and self.partner.view is not None:
            self.partner.view.middle, self.partner.view.px_per_mm = self.view.middle, self.view.px_per_mm
            self.partner.update()

    def mousePressEvent(self, event) -> None:
        """Left puts the crosshair, whatever tool is in hand."""
        if event.button() == Qt.MouseButton.LeftButton and not self._space and self.view is not None:
            self.move_crosshair(self.point_at(event.position().x(), event.position().y()))
        else:
            super().mousePressEvent(event)

    def mouseMoveEvent(self, event) -> None:
        """Drag the crosshair, the window, or both pictures."""
        if self.view is not None and event.buttons() & Qt.MouseButton.LeftButton and self._drag is None:
            self.move_crosshair(self.point_at(event.position().x(), event.position().y()))
        elif self._drag is not None:
            super().mouseMoveEvent(event)

    def mouseReleaseEvent(self, event) -> None:
        """End of a drag."""
        if self._drag is not None:
            super().mouseReleaseEvent(event)

    def mouseDoubleClickEvent(self, event) -> None:
        """No pane is made large here."""


class ComparePlansWindow(QDialog):
    """Pictures of both plans on one slice, linked, where both lie on the visit on screen; their figures beside. Esc closes."""

    def __init__(self, session, found, parent: QWidget | None = None):
        super().__init__(parent)
        self.session, self.found = session, found
        self.setWindowTitle(t("Two plans side by side"))
        self.setStyleSheet(PANEL_STYLE)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowFlag(Qt.WindowType.WindowMaximizeButtonHint, True)
        names = [side_name(found.first), side_name(found.second)]
        self.words = WrapLabel(t("A: {a}\nB: {b}").format(a=names[0], b=names[1]))
        self.note = WrapLabel(small=True, tone="warning")
        self.plane = QComboBox()
        self.plane.setAccessibleName(t("Plane"))
        for plane, title in PLANE_TITLES.items():
            self.plane.addItem(t(title), plane)
        self.plane.activated.connect(lambda _n: self._set_plane(self.plane.currentData()))
        self.plane_caption = QLabel(t("&Plane"))
        self.plane_caption.setBuddy(self.plane)
        self.figures = ValueTable(both_columns("A", "B"), t("Figures of both plans"), max_rows=200, row_height=21)
        self.shifts = ValueTable(shift_columns(), t("Needles of B against A"), max_rows=6)
        self.shifts.set_rows(found.found["needles"])
        self.figures.set_rows(both_rows(found.found))
        self.figures.setMaximumHeight(16_000)
        self.figures.setMinimumHeight(160)
        self.figures.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        side = QWidget()
        side.setFixedWidth(TABLE_PX)
        column = QVBoxLayout(side)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(6)
        row = QHBoxLayout()
        row.addWidget(self.plane_caption)
        row.addWidget(self.plane, 1)
        column.addWidget(self.words)
        column.addWidget(self.note)
        column.addLayout(row)
        column.addWidget(self.shifts)
        column.addWidget(self.figures, 1)
        self.shifts.setVisible(bool(found.found["needles"]))
        self.panes: list[PlanPicturePane] = []
        self._pictures = QHBoxLayout()
        self._pictures.setSpacing(2)
        whole = QHBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(0)
        whole.addLayout(self._pictures, 1)
        whole.addWidget(side)
        self._toolbox = LookingOnly(session, self)
        self._show_pictures()
        QShortcut(QKeySequence.StandardKey.Close, self, self.close)
        session.image_changed.connect(self._image_changed)
        session.study_changed.connect(self.close)
        self.resize(1180 if self.panes else TABLE_PX, 640)

    def _why_no_pictures(self) -> str:
        s, f = self.session, self.found
        if not f.same_visit:
            return t("The plans lie on pictures of different visits, or do not say of which: only figures are compared, no places.")
        if s.visit is None or s.visit.visit_id != f.first.visit_id or s.image is None:
            return t("Open the visit of these plans to see them on its pictures.")
        return ""

    def _show_pictures(self) -> None:
        self.note.show_text(self._why_no_pictures())
        shows = not self.note.text()
        self.plane.setVisible(shows)
        self.plane_caption.setVisible(shows)
        if not shows:
            return
        for letter, side in (("A", self.found.first), ("B", self.found.second)):
            target = side.draft.targets[0][1] if side.draft.targets else None
            pane = PlanPicturePane(self.plane.currentData(), Shown(f"{letter}: {short_name(side)}", side.draft, side.field, target), self.session, self._toolbox)
            self._pictures.addWidget(pane, 1)
            self.panes.append(pane)
        self.panes[0].partner, self.panes[1].partner = self.panes[1], self.panes[0]

    def _set_plane(self, plane: str) -> None:
        self.plane.setCurrentIndex(self.plane.findData(plane))
        for pane in self.panes:
            self._pictures.removeWidget(pane)
            pane.deleteLater()
        self.panes = []
        self._show_pictures()
        self._zoom()

    def _zoom(self) -> None:
        needles = self.found.first.plan.electrodes
        tips = [e.tip_mm for e in needles]
        middle = tuple(sum(p[n] for p in tips) / len(tips) for n in range(3))
        if self.panes:
            self.panes[0].zoom_to(middle, 45.0)

    def showEvent(self, event) -> None:
        """Both sides begin close to the needles."""
        super().showEvent(event)
        if self.panes and not getattr(self, "_shown_once", False):
            self._shown_once = True
            target = self.panes[0].shown.target
            if target is not None:
                box = target.bounding_slices()
                self.session.set_crosshair(target.geometry.index_to_world([(s.start + s.stop - 1) / 2 for s in reversed(box)]))
            self._zoom()

    def _image_changed(self) -> None:
        if self.panes and self._why_no_pictures():
            self.close()
