"""One plane of the volume: painted from the array, with everything drawn over it, and the mouse."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QImage, QPainter

from app.ui import kernels
from app.ui.painting import painting
from app.ui.style import ACCENT, AT_RISK_COLOUR, MUTED, TEXT, node_colour, pixel_font
from app.ui.text import t
from app.ui.tools.base import PaneEvent, draft_mask
from app.ui.views import field_overlay, needles, overlays, probability_overlay
from app.ui.views.landmarks import draw_landmarks
from app.ui.views.pane import Pane, Pointer, times
from app.ui.views.plan_ghosts import RunOverlay, draw_planned
from app.ui.views.plane import PlaneView, body_box, plane_axes
from app.ui.views.proposal_ghosts import draw_ghosts
from app.ui.views.thermal_zones import ThermalOverlay
from app.ui.widgets.figures import number_text, volume_decimals

OUTSIDE = np.uint32(0xFF0A0C0D)
PLANE_TITLES = {"axial": "Axial", "coronal": "Coronal", "sagittal": "Sagittal"}
PLANE_AXIS_OF_INDEX = {2: 0, 1: 1, 0: 2}  # index axis (0 = i) to the session's plane_axis (0 = across k)


class SlicePane(Pane):
    """A slice with crosshair, outlines, calipers, needles and field.

    ``painted`` comes after every painting. ``heading`` stands above the corner's lines where two visits lie side by side.
    """

    painted = Signal()
    is_other_visit = False

    def __init__(self, plane: str, session, toolbox, parent=None):
        super().__init__(session, toolbox, parent)
        self.plane = plane
        self.view: PlaneView | None = None
        self.geometry = None
        self.linear = True
        self.heading = ""
        self._fitted_px_per_mm = 1.0
        self._image: QImage | None = None
        self._pixels: np.ndarray | None = None
        self._key: tuple | None = None
        self._array: np.ndarray | None = None
        self._body: tuple | None = None
        self._outlines: dict = {}
        self._risk_masks: dict = {}
        self._field: field_overlay.FieldPicture | None = None
        self._field_key: tuple | None = None
        self._field_solution = self._field_target = None
        self._kept = RunOverlay(self)
        self._thermal = ThermalOverlay(self)
        self._probability = probability_overlay.ProbabilityOverlay(self)
        self._mask_version = 0
        self._names: list[QRectF] = []
        self._outline_names: list[QRectF] = []
        self.setObjectName(f"pane_{plane}")
        self.setAccessibleName(t("{plane} slices").format(plane=t(PLANE_TITLES[plane])))
        s = session
        s.image_changed.connect(self._take_image)
        s.study_changed.connect(self._take_image)
        s.mask_changed.connect(self._forget_outline)
        s.nodes_changed.connect(self._forget_outlines)
        for signal in (s.crosshair_changed, s.window_changed, s.preview_changed, s.calipers_changed, s.plan_changed, s.field_changed, s.proposals_changed, s.robustness_changed, s.thermal_changed, s.display_changed, toolbox.changed):
            signal.connect(self.update)
        s.measurement_changed.connect(self._measured)
        s.tool_changed.connect(self._take_tool)
        self._take_image()
        self._take_tool()

    def _measured(self, _node_id: str) -> None:
        self.update()

    # ---- state -----------------------------------------------------------------------
    @property
    def image(self):
        """The volume that is cut here, or None."""
        return self.session.image

    @property
    def shown_plan(self):
        """The plan whose needles are drawn here."""
        return self.session.plan

    @property
    def shown_solution(self):
        """The field that is drawn here, or None."""
        return self.session.solution

    @property
    def shown_target(self):
        """The mask that is hatched where the field is below lethal, or None."""
        return self.session.shown_target()

    @property
    def has_picture(self) -> bool:
        """True while a volume is cut here."""
        return self.view is not None

    @property
    def crosshair_mm(self) -> np.ndarray:
        """The crosshair in this volume, LPS mm."""
        return self.session.crosshair_mm

    def move_crosshair(self, point_mm) -> None:
        """Put the crosshair at a point of this volume."""
        self.session.set_crosshair(point_mm)

    def set_heading(self, text: str) -> None:
        """Name what is seen here."""
        if text != self.heading:
            self.heading = text
            self.update()

    def _take_image(self) -> None:
        image = self.image
        old = self.geometry
        self._outlines.clear()
        self._key = self._field_key = None
        self._mask_version += 1
        if image is None:
            self.view = self.geometry = self._array = None
        else:
            self.geometry = image.geometry
            self._array = kernels.paintable(image.array)
            self._body = body_box(image)
            if self.view is None or old is None or not old.same_grid(image.geometry):
                self.view = PlaneView(plane_axes(image.geometry, self.plane, in_patient=image.source.in_patient_space), (0, 0), 1.0, max(1, self.width()), max(1, self.height()))
                self.fit()
        self.update()

    def _take_tool(self, *_) -> None:
        self.setCursor(self.toolbox.current.cursor)
        self.update()

    def _forget_outline(self, node_id: str) -> None:
        self._outlines = {key: value for key, value in self._outlines.items() if key[0] != node_id}
        self._mask_version += 1
        self.update()

    def _forget_outlines(self) -> None:
        self._outlines.clear()
        self._mask_version += 1
        self.update()

    @property
    def slice_number(self) -> int:
        """Index of the slice on screen: the one that the crosshair lies in."""
        if self.geometry is None:
            return 0
        axes = self.view.axes
        index = self.geometry.world_to_index(self.crosshair_mm)[axes.through]
        return int(np.clip(math.floor(index + 0.5), 0, axes.slices - 1))

    def set_linear(self, on: bool) -> None:
        """Blend between voxels, or show them as they are."""
        self.linear = on
        self.update()

    def fit(self) -> None:
        """The whole patient (the whole slice where that is not known)."""
        if self.view is not None:
            self.view.width, self.view.height = max(1, self.width()), max(1, self.height())
            self.view.fit(self._body)
            self._fitted_px_per_mm = self.view.px_per_mm
            self.update()

    def centre_on_crosshair(self) -> None:
        """Bring the crosshair to the middle."""
        if self.view is not None:
            index = self.geometry.world_to_index(self.crosshair_mm)
            self.view.middle = (float(index[self.view.axes.across]), float(index[self.view.axes.down]))
            self.update()

    def zoom_to(self, point_mm, reach_mm: float) -> None:
        """Bring a point to the middle with ``reach_mm`` around it."""
        if self.view is not None:
            index = self.geometry.world_to_index(point_mm)
            self.view.middle = (float(index[self.view.axes.across]), float(index[self.view.axes.down]))
            self.view.px_per_mm = min(self.view.width, self.view.height) / (2 * reach_mm)
            self.update()

    def scroll(self, steps: int) -> None:
        """Go by slices: positive towards head, front or the patient's left."""
        if self.geometry is None:
            return
        index = self.geometry.world_to_index(self.crosshair_mm)
        axes = self.view.axes
        index[axes.through] = np.clip(self.slice_number + steps * axes.through_sense, 0, axes.slices - 1)
        self.move_crosshair(self.geometry.index_to_world(index))

    def pan(self, dx: float, dy: float) -> None:
        """Move the picture by pixels."""
        if self.view is not None:
            self.view.pan(dx, dy)
            self.update()

    def zoom(self, factor: float, x: float | None = None, y: float | None = None) -> None:
        """Zoom about a pixel, or about the middle."""
        if self.view is not None:
            self.view.zoom_at(factor, self.width() / 2 if x is None else x, self.height() / 2 if y is None else y)
            self.update()

    # ---- coordinates -----------------------------------------------------------------
    def point_at(self, x: float, y: float) -> np.ndarray:
        """LPS point in mm of a pixel, on the slice on screen."""
        return self.geometry.index_to_world(self.view.index_point(x, y, self.slice_number))

    def screen_of(self, point_mm) -> tuple[float, float]:
        """Pixel of an LPS point, looking through the slice."""
        return self.view.from_index_point(self.geometry.world_to_index(point_mm))[:2]

    def value_at(self, point_mm) -> float | None:
        """Voxel value nearest to an LPS point; None outside."""
        if self.geometry is None or not self.geometry.contains(point_mm):
            return None
        i, j, k = np.clip(np.rint(self.geometry.world_to_index(point_mm)).astype(int), 0, np.array(self.geometry.shape[::-1]) - 1)
        return float(self.image.array[k, j, i])

    # ---- painting --------------------------------------------------------------------
    def resizeEvent(self, event) -> None:
        """The same part of the patient fills the new size; a pane that showed all shows all."""
        if self.view is not None:
            whole = abs(self.view.px_per_mm / self._fitted_px_per_mm - 1) < 1e-6
            before = min(self.view.width, self.view.height)
            self.view.width, self.view.height = max(1, self.width()), max(1, self.height())
            if whole:
                self.fit()
            else:
                self.view.px_per_mm *= min(self.view.width, self.view.height) / before

    def _paint_slice(self) -> None:
        ratio = self.devicePixelRatioF()
        width, height = max(1, round(self.width() * ratio)), max(1, round(self.height() * ratio))
        view, number = self.view, self.slice_number
        key = (number, view.middle, view.px_per_mm, self.session.window, width, height, self.linear)
        if key == self._key:  # a new image forgets the key
            return
        if self._pixels is None or self._pixels.shape != (height, width):
            self._pixels = np.empty((height, width), np.uint32)
            self._image = QImage(self._pixels.data, width, height, 4 * width, QImage.Format.Format_RGB32)
            self._image.setDevicePixelRatio(ratio)
        half = 0.5 / ratio  # a device pixel's middle
        across0, down0 = view.to_index(half, half)
        across1, down1 = view.to_index(half + 1 / ratio, half + 1 / ratio)
        centre, span = self.session.window
        kernels.paint_grey(view.axes.slice_of(self._array, number), across0, across1 - across0, down0, down1 - down0, centre - span / 2, span, self.linear, OUTSIDE, self._pixels)
        self._key = key

    def paintEvent(self, event) -> None:
        """Slice, field, outlines, needles, calipers, crosshair, corners, tool."""
        whole = False
        with painting(self) as painter:
            whole = self._paint(painter)
        if whole:
            self._was_painted()
            self.painted.emit()

    def _paint(self, painter: QPainter) -> bool:
        """Paint what there is; True where a picture is among it."""
        if self.view is None or self.image is None:
            painter.fillRect(self.rect(), QColor("#0A0C0D"))
            painter.setPen(QColor(MUTED))
            painter.setFont(pixel_font(12))
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, t("No volume is open"))
            return False
        self._paint_slice()
        # At a fractional scale the picture may end a device pixel short; what is below it is never memory's own.
        painter.fillRect(self.rect(), QColor("#0A0C0D"))
        painter.drawImage(QPointF(0, 0), self._image)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_over(painter)
        self._draw_corners(painter)
        tool = self.toolbox.current
        if tool.at is not None and tool.at.pane is self and (self.underMouse() or self._drag is not None):
            lines = tool.live_lines()
            if lines:
                overlays.draw_cursor_box(painter, tool.at.x, tool.at.y, self.width(), self.height(), lines)
        return True

    def _draw_over(self, painter: QPainter) -> None:
        """Everything on the slice but the corners."""
        self._draw_field(painter)
        self._draw_nodes(painter)
        self._kept.draw(painter)
        self._thermal.draw(painter)
        self._draw_needles(painter)
        self._name_field_lines(painter)
        for caliper in self.session.calipers:
            if len(caliper.points[0]) == 3:
                overlays.draw_caliper(painter, self.view, self.geometry, self.slice_number, caliper)
        draw_landmarks(painter, self)
        overlays.draw_crosshair(painter, self.view, *self.screen_of(self.crosshair_mm))
        self.toolbox.current.paint(painter, self)

    def _draw_field(self, painter: QPainter) -> None:
        s = self.session
        if self._probability.is_shown:
            self._field = self._field_key = self._field_solution = None
            self._probability.draw(painter)
            return
        solution, plan = self.shown_solution, self.shown_plan
        if solution is None or not s.show_field:
            self._field = self._field_key = self._field_solution = None
            return
        target = self.shown_target
        if target is not None and not target.geometry.same_grid(self.geometry):
            target = None  # outlined on another series: its outline is drawn, the hatching needs its own grid
        levels, lethal = plan.thresholds_v_per_cm, plan.lethal_v_per_cm
        view = self.view
        key = (self.slice_number, view.middle, view.px_per_mm, view.width, view.height, s.field_opacity, levels, lethal, self._mask_version, target is None)
        # The solution itself is kept and compared: an address could be used again by the next one.
        if key != self._field_key or solution is not self._field_solution or target is not self._field_target:
            self._field_solution, self._field_target = solution, target
            self._field = field_overlay.make(solution, self.geometry, view, self.slice_number, levels=levels, lethal=lethal, opacity=s.field_opacity, target=target)
            self._field_key = key
        field_overlay.draw(painter, self._field, lethal)

    def _name_field_lines(self, painter: QPainter) -> None:
        """Names of the iso-lines, clear of needle names and orientation letters."""
        if self._field is None and not self._probability.is_shown:
            return
        w, h = self.width(), self.height()
        plan, field = self.shown_plan, self._field
        bar = probability_overlay.draw_legend(painter, w, h) if field is None else field_overlay.draw_legend(painter, w, h, plan.thresholds_v_per_cm, plan.lethal_v_per_cm)
        avoid = [QRectF(0, 0, w, 36), QRectF(0, h - 40, w, 40), QRectF(w - 30, h / 2 - 12, 30, 24), QRectF(0, h / 2 - 12, 30, 24), bar, *self._names]
        if field is None:
            self._probability.name_lines(painter, avoid)
        else:
            field_overlay.name_lines(painter, field, self.view, plan.lethal_v_per_cm, avoid)

    def _draw_nodes(self, painter: QPainter) -> None:
        number = self.slice_number
        self._outline_names = []
        for order, (node_id, state) in enumerate(self.session.nodes.items()):
            mask = draft_mask(state)
            if mask is None:
                continue
            key = (node_id, number)
            if key not in self._outlines:
                if len(self._outlines) > 256:
                    self._outlines.clear()
                self._outlines[key] = overlays.outline_segments(mask, self.geometry, self.view, number)
            current = node_id == self.session.current_node_id
            colour = node_colour(order)
            overlays.draw_enhancing(painter, self.geometry, self.view, number, getattr(state, "enhancing", None), colour)
            overlays.draw_segments(painter, self.view, self._outlines[key], colour, 2.0 if current else 1.3)
            overlays.label_outline(painter, self.view, self._outlines[key], self._outline_name(state), colour, self._outline_names)
        for name, mask, _preset in self.shown_plan.at_risk:
            key = (f"risk:{name}", number)
            if key not in self._outlines or self._risk_masks.get(name) is not mask:  # a changed mask is another object
                self._outlines = {k: v for k, v in self._outlines.items() if k[0] != key[0]}
                self._outlines[key] = overlays.outline_segments(mask, self.geometry, self.view, number)
                self._risk_masks[name] = mask
            overlays.draw_segments(painter, self.view, self._outlines[key], QColor(AT_RISK_COLOUR), 1.3, dotted=True)
            overlays.label_outline(painter, self.view, self._outlines[key], name, QColor(AT_RISK_COLOUR), self._outline_names)
        if self.session.preview is not None and self.toolbox.is_outlining():
            segments = overlays.outline_segments(self.session.preview[0], self.geometry, self.view, number)
            overlays.draw_segments(painter, self.view, segments, QColor(ACCENT), 1.6)

    def _outline_name(self, state) -> str:
        """The node's label, and its volume where two visits are compared."""
        if not self.heading or state.measurement is None or not state.measurement.voxel_count:
            return state.node.label
        volume_ml = state.measurement.voxel_volume_ml
        return f"{state.node.label}  {number_text(volume_ml, volume_decimals(volume_ml))} ml"

    def _draw_needles(self, painter: QPainter) -> None:
        plan = self.session.plan
        bar = field_overlay.legend_box(self.width(), self.height(), plan.thresholds_v_per_cm, plan.lethal_v_per_cm) if self._field is not None or self._probability.is_shown else None
        self._names = list(self._outline_names)
        for needle in self.shown_plan.needles:
            needles.draw_needle(painter, needles.project(needle, self.view, self.geometry, self.slice_number), self.view, self._names, selected=self.session.tool == "needle", keep_off=bar)
        draw_ghosts(painter, self, self._names)
        draw_planned(painter, self, self._names)

    def _corner_lines(self) -> tuple[str, list[tuple[str, str]], list[tuple[str, str]]]:
        """The heading, and the lines of the upper and the lower left corner."""
        s = self.session
        upper = ([("", TEXT)] if self.heading else []) + overlays.source_lines(s, s.image.source) + overlays.finding_lines(s.image.findings)
        lower = [self._window_line()]
        if self._field is not None:
            lower = [*field_overlay.notes(self._field, s.plan.lethal_v_per_cm, preview=s.field_is_preview), *lower]
        elif self._probability.is_shown:
            lower = [*self._probability.notes(), *lower]
        return self.heading, upper, lower

    def _window_line(self) -> tuple[str, str]:
        centre, width = self.session.window
        return f"W {width:.0f}  L {centre:.0f}", MUTED

    def _draw_corners(self, painter: QPainter) -> None:
        axes, w, h = self.view.axes, self.width(), self.height()
        heading, upper, lower = self._corner_lines()
        overlays.draw_letters(painter, w, h, axes.letters())
        overlays.draw_heading(painter, w, heading)
        overlays.draw_corners(painter, w, h, {
            "tl": upper,
            "tr": [(t(PLANE_TITLES[self.plane]), TEXT), (f"{self.slice_number + 1} / {axes.slices} · {axes.position_text(self.point_at(0, 0))}", MUTED)],
            "bl": lower,
            "br": [(t("Investigational use"), MUTED)],
        })  # fmt: skip
        overlays.draw_scale_bar(painter, w, h, self.view.px_per_mm, len(lower))

    # ---- mouse and keys --------------------------------------------------------------
    def _event(self, event) -> PaneEvent:
        p = event.position()
        return PaneEvent(self, p.x(), p.y(), self.point_at(p.x(), p.y()), event.modifiers(), PLANE_AXIS_OF_INDEX[self.view.axes.through])

    def mousePressEvent(self, event) -> None:
        """Right: window. Middle or Space: pan. Left: the tool."""
        if self.view is None:
            return
        button = event.button()
        if button == Qt.MouseButton.RightButton:
            self._drag = ("window", event.position(), self.session.window)
        elif self._pans(event):
            self._drag = ("pan", event.position(), None)
            self.setCursor(Qt.CursorShape.ClosedHandCursor)
        elif button == Qt.MouseButton.LeftButton:
            self._drag = ("tool", event.position(), None)
            self.toolbox.current.press(self._event(event))
            self.toolbox.changed.emit()

    def mouseMoveEvent(self, event) -> None:
        """Drag on, or hover."""
        if self.view is None:
            return
        self._tell_pointer(event.position())
        if self._drag is None:
            tool = self.toolbox.current
            tool.hover(self._event(event))
            if tool.name != "crosshair":
                self.toolbox.changed.emit() if tool.name == "needle" else self.update()
            return
        kind, at, before = self._drag
        p = event.position()
        if kind == "window":
            # A pane's width of travel is one full window: fine at narrow windows, quick at wide ones.
            gain = max(0.5, before[1] / 300)
            self.session.set_window(before[0] + (p.y() - at.y()) * gain, before[1] + (p.x() - at.x()) * gain)
        elif kind == "pan":
            self.pan(p.x() - at.x(), p.y() - at.y())
            self._drag = (kind, p, None)
        else:
            self.toolbox.current.move(self._event(event))
            self.toolbox.changed.emit()

    def mouseReleaseEvent(self, event) -> None:
        """End of a drag."""
        if self.view is None or self._drag is None:
            return
        kind = self._drag[0]
        self._drag = None
        if kind == "tool":
            self.toolbox.current.release(self._event(event))
            self.toolbox.changed.emit()
        self._take_tool()

    def mouseDoubleClickEvent(self, event) -> None:
        """One large pane and back; with a tool in hand the second click is a click."""
        if event.button() == Qt.MouseButton.LeftButton and self.session.tool == "crosshair" and not self._space:
            self.enlarge.emit(self)
        else:
            self.mousePressEvent(event)

    def keyPressEvent(self, event) -> None:
        """PgUp, PgDn and arrows go by slices, Home and End to the ends; Space pans."""
        key, steps = event.key(), times(event)
        if self.view is not None and not self.is_other_visit and self.toolbox.current.key_pressed(self, key):
            self.toolbox.changed.emit()
        elif key in (Qt.Key.Key_PageUp, Qt.Key.Key_Up, Qt.Key.Key_Right):
            self.scroll(steps)
        elif key in (Qt.Key.Key_PageDown, Qt.Key.Key_Down, Qt.Key.Key_Left):
            self.scroll(-steps)
        elif key in (Qt.Key.Key_Home, Qt.Key.Key_End) and self.view is not None:
            self.scroll(self.view.axes.slices * (1 if key == Qt.Key.Key_Home else -1))
        elif not self._space_pressed(event):
            super().keyPressEvent(event)

    def _tell_pointer(self, position) -> None:
        point = self.point_at(position.x(), position.y())
        value = self.value_at(point)
        unit = self.image.unit
        text = "  ".join(f"{pair[0 if v >= 0 else 1]} {abs(v):.1f}" for v, pair in zip(point, self.view.axes.names, strict=True)) + " mm"
        text += f" · {value:.0f} {unit}" if value is not None else " · " + t("outside")
        text += f" · {t('zoom')} {100 * self.view.px_per_mm / self._fitted_px_per_mm:.0f} %"
        self.hovered.emit(Pointer(text))
