"""The other visit beside the one on screen: the same plane, window and zoom, to look at only."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QPainter

from app.ui import kernels
from app.ui.style import MUTED, TEXT, WARNING, node_colour
from app.ui.text import t
from app.ui.views import overlays
from app.ui.views.landmarks import draw_landmarks
from app.ui.views.plane import PlaneView, body_box, plane_axes
from app.ui.views.slice_pane import PLANE_TITLES, SlicePane
from app.ui.widgets.figures import number_text, volume_decimals


def link_lines(session) -> list[tuple[str, str]]:
    """What links the visits and how well, for a corner: (text, colour)."""
    c = session.comparison
    if c is None:
        return []
    colour = WARNING if c.is_doubtful else TEXT
    mark = "! " if c.is_doubtful else ""
    if c.registration is not None:
        found = c.registration
        how = t("Registered") if c.method == "automatic" else t("{n} landmarks").format(n=len(c.landmarks.pairs))
        left = t("residual not known") if found.residual_mm is None else t("residual {mm:.1f} mm").format(mm=found.residual_mm)
        return [(f"{mark}{how}: {left}", colour)]
    if c.method == "position":
        return [("! " + t("Linked by scanner position, not registered"), WARNING)]
    if session.is_registering:
        return [(t("Registering… not linked yet"), MUTED)]
    return [("! " + t("Not linked: no registration"), WARNING)]


class ComparePane(SlicePane):
    """Cuts ``session.comparison.there``. While the visits are linked it follows ``partner``, the pane
    of the visit on screen: the crosshair at the same place of the pane, the same size."""

    is_other_visit = True

    def __init__(self, session, toolbox, parent=None):
        self.partner: SlicePane | None = None
        self._followed: tuple | None = None
        super().__init__("axial", session, toolbox, parent)
        self.setObjectName("pane_other")
        self.setAccessibleName(t("The other visit"))
        session.comparison_changed.connect(self._take_image)
        session.other_crosshair_changed.connect(self.update)

    # ---- what is shown -----------------------------------------------------------------
    @property
    def comparison(self):
        """The session's, or None."""
        return self.session.comparison

    @property
    def image(self):
        """The volume of the other visit."""
        return None if self.comparison is None else self.comparison.there

    @property
    def crosshair_mm(self):
        """The crosshair there."""
        return self.session.crosshair_mm if self.comparison is None else self.comparison.crosshair_mm

    def move_crosshair(self, point_mm) -> None:
        """The crosshair there, and with it the one here."""
        self.session.set_other_crosshair(point_mm)

    def set_partner(self, pane: SlicePane) -> None:
        """The pane beside which this one is shown; its plane is taken over."""
        if self.partner is pane:
            return
        if self.partner is not None:
            self.partner.painted.disconnect(self._partner_painted)
        self.partner = pane
        self.plane = pane.plane
        self.setAccessibleName(t("The other visit, {plane} slices").format(plane=t(PLANE_TITLES[pane.plane])))
        pane.painted.connect(self._partner_painted)
        self.view = None
        self._take_image()

    def _take_image(self) -> None:
        image = self.image
        self._outlines.clear()
        if image is None:
            self.view = self.geometry = self._array = self._key = None
        elif self.view is None or self.geometry is not image.geometry:
            self._key = None
            self.geometry = image.geometry
            self._array = kernels.paintable(image.array)
            self._body = body_box(image)
            self.view = PlaneView(plane_axes(image.geometry, self.plane, in_patient=image.source.in_patient_space), (0, 0), 1.0, max(1, self.width()), max(1, self.height()))
            self.view.fit(self._body)
        self.update()

    def _partner_state(self) -> tuple:
        p, c = self.partner, self.comparison
        return (tuple(p.crosshair_mm), p.slice_number, p.view.middle, p.view.px_per_mm, self.width(), self.height(), c.registration, c.method)

    def _partner_painted(self) -> None:
        if self.view is not None and self.partner.view is not None and self._partner_state() != self._followed:
            self.update()

    def _follow(self) -> None:
        """Take over size and middle of the pane beside."""
        p, c = self.partner, self.comparison
        self.view.width, self.view.height = max(1, self.width()), max(1, self.height())
        if p is None or p.view is None or p.geometry is None:
            return
        self.view.px_per_mm, self._fitted_px_per_mm = p.view.px_per_mm, p._fitted_px_per_mm
        # The crosshair stands at the same place of both panes; where it is out of sight, the middle does.
        here, x, y = p.crosshair_mm, *p.screen_of(p.crosshair_mm)
        if not (0 <= x <= p.view.width and 0 <= y <= p.view.height):
            x, y = p.view.width / 2, p.view.height / 2
            here = p.point_at(x, y)
        there = c.to_there(here)
        if there is not None:
            index = self.geometry.world_to_index(there)
            self.view.middle = (float(index[self.view.axes.across]), float(index[self.view.axes.down]))
            self.view.pan(x - p.view.width / 2, y - p.view.height / 2)
        self._followed = self._partner_state()

    def resizeEvent(self, event) -> None:
        """Size and place are the partner's."""
        self.update()

    def paintEvent(self, event) -> None:
        """As beside it, of the other visit."""
        if self.view is not None and self.image is not None:
            self._follow()
        super().paintEvent(event)

    def _draw_over(self, painter: QPainter) -> None:
        for order, node_id in enumerate(self.session.nodes):
            outline = self.comparison.outlines.get(node_id)
            if outline is None:
                continue
            key = (node_id, self.slice_number)
            if key not in self._outlines:
                if len(self._outlines) > 256:
                    self._outlines.clear()
                self._outlines[key] = overlays.outline_segments(outline.mask, self.geometry, self.view, self.slice_number)
            colour = node_colour(order)
            overlays.draw_segments(painter, self.view, self._outlines[key], colour, 2.0 if node_id == self.session.current_node_id else 1.3)
            name = f"{self.session.nodes[node_id].node.label}  {number_text(outline.volume_ml, volume_decimals(outline.volume_ml))} ml"
            overlays.label_outline(painter, self.view, self._outlines[key], name, colour)
        draw_landmarks(painter, self)
        if self.geometry.contains(self.crosshair_mm):
            overlays.draw_crosshair(painter, self.view, *self.screen_of(self.crosshair_mm))
        if self.toolbox.current.works_on_other_visit:
            self.toolbox.current.paint(painter, self)

    def _corner_lines(self) -> tuple[str, list[tuple[str, str]], list[tuple[str, str]]]:
        c = self.comparison
        upper = [("", TEXT), (c.record.description or c.record.modality, TEXT)]
        upper += ([(t("SYNTHETIC"), WARNING)] if c.there.source.synthetic else []) + overlays.finding_lines(c.there.findings)
        lower = [*link_lines(self.session), self._window_line()]
        if not self.geometry.contains(self.crosshair_mm):
            lower.insert(0, ("! " + t("The crosshair lies outside this picture"), WARNING))
        elif c.is_linked and not c.here.geometry.contains(c.to_here(self.crosshair_mm)):
            lower.insert(0, ("! " + t("This place is not in the picture beside"), WARNING))
        return self.heading or c.visit.name, upper, lower

    # ---- hands -------------------------------------------------------------------------
    def fit(self) -> None:
        """As the pane beside; alone where nothing links them."""
        if self.view is not None and (self.comparison is None or not self.comparison.is_linked):
            self.view.fit(self._body)
        self.update()

    def zoom_to(self, point_mm, reach_mm: float) -> None:
        """The pane beside leads."""
        self.update()

    def pan(self, dx: float, dy: float) -> None:
        """Both pictures move, while they are linked."""
        if self.comparison is not None and self.comparison.is_linked and self.partner is not None:
            self.partner.pan(dx, dy)
            self.update()
        else:
            super().pan(dx, dy)

    def zoom(self, factor: float, x: float | None = None, y: float | None = None) -> None:
        """Both pictures always have the same size."""
        if self.partner is not None:
            self.partner.zoom(factor, x, y)
        self.update()

    def _take_tool(self, *_) -> None:
        tool = self.toolbox.current
        usable = tool.name == "crosshair" or tool.works_on_other_visit
        self.setCursor(tool.cursor if usable else Qt.CursorShape.ArrowCursor)
        self.update()

    def _is_for_tool(self, event) -> bool:
        return event.button() == Qt.MouseButton.LeftButton and not self._space

    def mousePressEvent(self, event) -> None:
        """Left: crosshair or landmark; nothing can be drawn on the other visit."""
        if self.view is None or not self._is_for_tool(event) or self.toolbox.current.works_on_other_visit:
            super().mousePressEvent(event)
        elif self.session.tool == "crosshair":
            self._drag = ("look", event.position(), None)
            self.move_crosshair(self.point_at(event.position().x(), event.position().y()))
            if event.modifiers() & Qt.KeyboardModifier.ShiftModifier and self.partner is not None:
                self.partner.centre_on_crosshair()
        else:
            self.session.notice.emit("info", t("{visit} is shown to compare: open that visit to draw on it.").format(visit=self.comparison.visit.name))

    def mouseMoveEvent(self, event) -> None:
        """Drag on; tools that draw are not told."""
        if self.view is None:
            return
        if self._drag is not None and self._drag[0] == "look":
            self._tell_pointer(event.position())
            if not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
                self.move_crosshair(self.point_at(event.position().x(), event.position().y()))
        elif self._drag is not None or self.toolbox.current.works_on_other_visit:
            super().mouseMoveEvent(event)
        else:
            self._tell_pointer(event.position())

    def mouseReleaseEvent(self, event) -> None:
        """End of a drag."""
        if self._drag is not None and self._drag[0] == "look":
            self._drag = None
            self._take_tool()
        else:
            super().mouseReleaseEvent(event)
