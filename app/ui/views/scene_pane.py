"""The 3D pane: shows what ``Scene3D`` renders, keeps it up to date, turns it with the mouse."""

from __future__ import annotations

import importlib
import time

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QImage, QPainter, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from app.ui.painting import painting
from app.ui.style import ACCENT, AT_RISK_COLOUR, MUTED, TEXT, WARNING, node_colour, pixel_font, shadow_text
from app.ui.text import t
from app.ui.tools.base import draft_mask
from app.ui.views import overlays
from app.ui.views.plane import axis_names
from app.ui.views.scene_ablation import AblationInScene

SKIN_COLOUR = (0.80, 0.66, 0.58)
BONE_COLOUR = (0.90, 0.87, 0.80)
SLOW_FRAME_S = 0.05
TARGET = "target:"  # before the name of a schematic's target among the structures


def load_libraries(context=None) -> None:
    """Import VTK and what the surfaces need; slow the first time, so a job does it."""
    for module in ("app.ui.scene.scene3d", "app.ui.scene.surfaces", "scipy.ndimage", "scipy.sparse.csgraph", "vtkmodules.vtkFiltersCore"):
        importlib.import_module(module)


class ScenePane(AblationInScene, QWidget):
    """Nodes, needles, field and the patient's surface in space.

    ``prepare`` builds the scene on the GUI thread once the libraries are loaded; until then the
    pane says that it is being prepared. ``shutdown`` frees the graphics context.
    """

    hovered = Signal(object)
    enlarge = Signal(object)
    first_frame = Signal()

    def __init__(self, session, parent=None):
        super().__init__(parent)
        self.session = session
        self.scene = None
        self._image: QImage | None = None
        self._pixels: np.ndarray | None = None
        self._stale = True
        self._drag: tuple | None = None
        self._held: tuple | None = None
        self._context_of = None  # the image itself: kept, so that no address is mistaken for another
        self._surfaces_of: dict[str, object] = {}
        self._start_field()
        self._seen = False
        self._render_ratio = 1.0
        self._render_s = 0.0
        self.setObjectName("pane_3d")
        self.setAccessibleName(t("3D view"))
        self.setMinimumSize(160, 120)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        session.image_changed.connect(self._take_image)
        session.study_changed.connect(self._take_image)
        session.nodes_changed.connect(self._take_nodes)
        session.measurement_changed.connect(self._take_node)
        session.measurement_changed.connect(self._take_outlined)
        session.plan_changed.connect(self._take_needles)
        session.field_changed.connect(self._take_field)
        session.display_changed.connect(self._take_display)
        session.crosshair_changed.connect(self.update)

    # ---- life ------------------------------------------------------------------------
    def prepare(self) -> None:
        """Build the scene; call on the GUI thread after ``load_libraries``."""
        if self.scene is None:
            from app.ui.scene.scene3d import Scene3D

            self.scene = Scene3D()
            self._take_image()
            self._take_needles()
            self._take_field()

    def shutdown(self) -> None:
        """Free the graphics context; the pane stays empty."""
        if self.scene is not None:
            self.scene.finalize()
            self.scene = None
        self._image = self._pixels = None

    # ---- contents --------------------------------------------------------------------
    def _changed(self) -> None:
        self._stale = True
        self.update()

    def _take_image(self) -> None:
        image = self.session.image
        if self.scene is None:
            return
        if image is None:
            self.scene.remove_all("context:")
            self._context_of = None
            self._changed()
        elif self._context_of is not image:
            self._context_of = image
            from app.ui.scene.surfaces import context_surfaces

            self.session.jobs.start(
                t("Preparing the 3D view"), lambda context: (image, context_surfaces(image, context)), key="scene-context", quiet=True, on_done=self._show_context
            )
        self._take_nodes()

    def _show_context(self, result) -> None:
        image, surfaces = result
        if self.scene is None or image is not self.session.image:
            return
        for name, colour, opacity in (("bone", BONE_COLOUR, 1.0), ("skin", SKIN_COLOUR, 0.16)):
            self.scene.set_surface(f"context:{name}", *surfaces.get(name, (np.empty((0, 3)), np.empty((0, 3)))), colour, opacity)
        self.scene.look_from("oblique")
        self._show_parts()

    def _take_nodes(self) -> None:
        if self.scene is None:
            return
        known = set(self.session.nodes)
        for name in [n for n in self.scene.parts if n.startswith("node:") and n.removeprefix("node:") not in known]:
            self.scene.remove(name)
            self._surfaces_of.pop(name.removeprefix("node:"), None)
            self._coloured.discard(name.removeprefix("node:"))
        for node_id in known:
            self._take_node(node_id)
        self._changed()

    def _take_node(self, node_id: str) -> None:
        """Surface of one node from its outline, made in a job; the last wins. Not in the middle of a stroke:
        a view is slow to render without a graphics card, and the hand comes first."""
        if self.scene is None or self.session.is_painting:
            return
        draft = draft_mask(self.session.nodes.get(node_id))
        if draft is None:
            self.scene.remove(f"node:{node_id}")
            self._surfaces_of.pop(node_id, None)
            self._coloured.discard(node_id)
            self._changed()
            return
        margin = self._margin_of(node_id)
        made_of = (draft, self.session.nodes[node_id].measurement, margin)
        if all(a is b for a, b in zip(made_of, self._surfaces_of.get(node_id, (None,) * 3), strict=True)):
            return
        self._surfaces_of[node_id] = made_of
        from app.ui.scene.surfaces import mask_surface, nearest_values

        copy, geometry = draft.copy_later(), draft.geometry

        def work(_context):
            surface = mask_surface(copy(), geometry)
            values = None if margin is None else nearest_values(surface[0], margin.points_mm, margin.distance_mm)
            return node_id, surface, values

        self.session.jobs.start(t("Node surface"), work, key=f"scene-node-{node_id}", quiet=True, on_done=self._show_node)

    def _take_structures(self) -> None:
        """Surfaces of the structures at risk; a changed mask is another object."""
        wanted = {f"risk:{name}": mask for name, mask, _preset in self.session.plan.at_risk}
        if self.session.is_schematic:  # its target has no outline of its own
            wanted |= {f"risk:{TARGET}{name}": mask for name, mask, _preset in self.session.plan.targets}
        for name in [p for p in self.scene.parts if p.startswith("risk:") and p not in wanted]:
            self.scene.remove(name)
            self._surfaces_of.pop(name, None)
        from app.ui.scene.surfaces import mask_surface

        for name, mask in wanted.items():
            if self._surfaces_of.get(name) is not mask:
                self._surfaces_of[name] = mask
                self.session.jobs.start(
                    t("Structure surface"), lambda _, name=name, mask=mask: (name, mask, mask_surface(mask.array, mask.geometry)), key=f"scene-{name}", quiet=True, on_done=self._show_structure
                )

    def _show_structure(self, result) -> None:
        name, mask, surface = result
        if self.scene is None or self._surfaces_of.get(name) is not mask:
            return
        colour = node_colour(0) if name.startswith(f"risk:{TARGET}") else QColor(AT_RISK_COLOUR)
        self.scene.set_surface(name, *surface, (colour.redF(), colour.greenF(), colour.blueF()))
        self._changed()

    def _take_needles(self) -> None:
        if self.scene is None:
            return
        self._take_structures()
        names = {f"needle:{n.id}": n for n in self.session.plan.needles}
        for name in [p for p in self.scene.parts if p.startswith("needle:") and p not in names]:
            self.scene.remove(name)
        for name, n in names.items():
            self.scene.set_needle(name, n.tip_mm, n.entry_mm, n.exposure_mm, n.diameter_mm)
        self._changed()

    # ---- looking ---------------------------------------------------------------------
    def fit(self) -> None:
        """The whole patient, from the front left."""
        if self.scene is not None:
            self.scene.look_from("oblique")
            self._changed()

    def look_from(self, view: str) -> None:
        """One of the named directions."""
        if self.scene is not None:
            self.scene.look_from(view)
            self._changed()

    def zoom(self, factor: float) -> None:
        """Nearer or away."""
        if self.scene is not None:
            self.scene.zoom(factor)
            self._changed()

    def centre_on_crosshair(self) -> None:
        """Turn about the crosshair from now on."""
        if self.scene is not None:
            self.scene.focus_on(self.session.crosshair_mm)
            self._changed()

    def zoom_to(self, point_mm, reach_mm: float) -> None:
        """A point with ``reach_mm`` around it."""
        if self.scene is not None:
            self.scene.look_closely(point_mm, reach_mm)
            self._changed()

    # ---- painting --------------------------------------------------------------------
    def _render(self) -> None:
        # While it is turned on a machine without a graphics card, a coarser picture keeps up with the hand.
        coarse = self._drag is not None and self._held is None and self._render_s > SLOW_FRAME_S
        self._render_ratio = self.devicePixelRatioF() * (0.5 if coarse else 1.0)
        width, height = max(2, round(self.width() * self._render_ratio)), max(2, round(self.height() * self._render_ratio))
        started = time.perf_counter()
        self._pixels = self.scene.render(width, height)
        if not coarse:
            self._render_s = time.perf_counter() - started
        self._image = QImage(self._pixels.data, width, height, 4 * width, QImage.Format.Format_RGBX8888)
        self._image.setDevicePixelRatio(self._render_ratio)
        self._stale = False

    def resizeEvent(self, event) -> None:
        """Render at the new size."""
        self._stale = True

    def paintEvent(self, event) -> None:
        """The rendered picture with crosshair, needle names and corners."""
        whole = False
        with painting(self) as painter:
            whole = self._paint(painter)
        if whole and not self._seen:
            self._seen = True
            self.first_frame.emit()

    def _paint(self, painter: QPainter) -> bool:
        """Paint what there is; True where a picture is among it."""
        if self.scene is None or not self.scene.parts:
            painter.fillRect(self.rect(), QColor("#0A0C0D"))
            painter.setPen(QColor(MUTED))
            painter.setFont(pixel_font(12))
            text = t("The 3D view is being prepared") if self.session.image is not None else t("No volume is open")
            painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, text)
            return False
        if self._stale or self._image is None:
            self._render()
        # At a fractional scale the picture may end a device pixel short; what is below it is never memory's own.
        painter.fillRect(self.rect(), QColor("#0A0C0D"))
        painter.drawImage(QPointF(0, 0), self._image)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self._draw_crosshair(painter)
        self._draw_directions(painter)
        self._draw_field_legends(painter)
        painter.setFont(pixel_font(12, bold=True))
        taken: list[QRectF] = []
        for needle in self.session.plan.needles:
            x, y = self._screen_of(needle.entry_mm)
            shadow_text(painter, overlays.free_place(painter, self.width(), self.height(), x + 6, y - 5, needle.id, taken), needle.id, TEXT)
        w, h = self.width(), self.height()
        synthetic = self.session.image is not None and self.session.image.source.synthetic
        overlays.draw_corners(painter, w, h, {
            "tl": overlays.source_lines(self.session, self.session.image.source)[:1] if self.session.is_schematic and self.session.image is not None else [(t("SYNTHETIC"), WARNING)] if synthetic else [],
            "tr": [(t("3D"), TEXT)],
            "br": [(t("Investigational use"), MUTED)],
        })  # fmt: skip
        return True

    def _screen_of(self, point_mm) -> tuple[float, float]:
        x, y = self.scene.project(point_mm)[0] / self._render_ratio
        return float(x), float(y)

    def _draw_crosshair(self, painter: QPainter) -> None:
        x, y = self._screen_of(self.session.crosshair_mm)
        for pen in (QPen(overlays.HALO, 3), QPen(QColor(ACCENT), 1.3)):
            painter.setPen(pen)
            for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
                painter.drawLine(QPointF(x + 4 * dx, y + 4 * dy), QPointF(x + 12 * dx, y + 12 * dy))

    def _draw_directions(self, painter: QPainter) -> None:
        """Which way the patient lies: six letters round a point, those behind it dim."""
        centre, reach = QPointF(self.width() - 46, self.height() - 66), 26.0
        turned, image = self.scene.directions(), self.session.image
        painter.setFont(pixel_font(12, bold=True))
        marks = []
        for axis, (plus, minus) in enumerate(axis_names(image is None or image.source.in_patient_space)):
            right, up, toward = turned[:, axis]
            marks += [(toward, plus, right, up), (-toward, minus, -right, -up)]
        for toward, letter, right, up in sorted(marks):
            near = toward > -0.05
            end = centre + QPointF(right, -up) * reach
            colour = QColor(ACCENT if near else MUTED)
            colour.setAlpha(255 if near else 130)
            if abs(toward) < 0.95:
                painter.setPen(QPen(colour, 1.4 if near else 0.8))
                painter.drawLine(centre, centre + QPointF(right, -up) * (reach - 8))
            if near or abs(toward) < 0.95:  # one that lies straight behind would be written over another
                shadow_text(painter, QRectF(end.x() - 10, end.y() - 9, 20, 18), letter, colour, Qt.AlignmentFlag.AlignCenter)

    # ---- mouse -----------------------------------------------------------------------
    def mousePressEvent(self, event) -> None:
        """Left turns (or drags a needle's end with the needle tool), middle pans, right zooms."""
        if self.scene is None:
            return
        p = event.position()
        if event.button() == Qt.MouseButton.LeftButton and self.session.tool == "needle":
            self._held = self._needle_end_at(p)
        self._drag = (event.button(), p)

    def mouseMoveEvent(self, event) -> None:
        """Drag on."""
        if self.scene is None or self._drag is None:
            return
        button, at = self._drag
        p = event.position()
        dx, dy = p.x() - at.x(), p.y() - at.y()
        self._drag = (button, p)
        if self._held is not None:
            self.session.set_plan(self.session.plan.with_needle(self._moved(p)), live=True)
            return
        if button == Qt.MouseButton.LeftButton:
            self.scene.rotate(dx * 0.5, -dy * 0.5)
        elif button == Qt.MouseButton.MiddleButton:
            self.scene.pan(dx * self._render_ratio, -dy * self._render_ratio)
        else:
            self.scene.zoom(1.01 ** (-dy))
        self._changed()

    def mouseReleaseEvent(self, event) -> None:
        """End of a drag."""
        if self._held is not None:
            needle = self._moved(event.position())
            self._held = None
            self.session.set_plan(self.session.plan.with_needle(needle), t("Move needle {name}").format(name=needle.id))
        self._drag = None
        self._changed()  # a coarse picture becomes a fine one

    def mouseDoubleClickEvent(self, event) -> None:
        """One large pane and back."""
        if event.button() == Qt.MouseButton.LeftButton:
            self.enlarge.emit(self)

    def wheelEvent(self, event) -> None:
        """Zoom."""
        self.zoom(1.12 ** (event.angleDelta().y() / 120))
        event.accept()

    def keyPressEvent(self, event) -> None:
        """Arrows turn the patient."""
        turn = {Qt.Key.Key_Left: (-10, 0), Qt.Key.Key_Right: (10, 0), Qt.Key.Key_Up: (0, 10), Qt.Key.Key_Down: (0, -10)}.get(event.key())
        if turn is not None and self.scene is not None:
            self.scene.rotate(*turn)
            self._changed()
        else:
            super().keyPressEvent(event)

    def _needle_end_at(self, p) -> tuple | None:
        for needle in reversed(self.session.plan.needles):
            for part, point in (("tip_mm", needle.tip_mm), ("entry_mm", needle.entry_mm)):
                x, y = self._screen_of(point)
                if QRectF(x - 9, y - 9, 18, 18).contains(p):
                    return needle, part
        return None

    def _moved(self, p):
        """The held needle with its end moved in the plane that faces the viewer."""
        from dataclasses import replace

        needle, part = self._held
        point = self.scene.unproject(p.x() * self._render_ratio, p.y() * self._render_ratio, getattr(needle, part))
        moved = replace(needle, **{part: tuple(float(v) for v in point)})
        return moved if np.linalg.norm(np.subtract(moved.tip_mm, moved.entry_mm)) >= 5.0 else needle
