"""The panes in the middle of the window: one, two or four, one of them large, or a picture."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QStackedWidget, QWidget

from app.ui.text import t
from app.ui.views.compare_pane import ComparePane
from app.ui.views.picture_pane import PicturePane
from app.ui.views.scene_pane import ScenePane
from app.ui.views.slice_pane import SlicePane

LAYOUTS = {"1": ("axial",), "1x2": ("axial", "coronal"), "2x2": ("axial", "coronal", "sagittal", "3d")}
COMPARE = "compare"  # the plane of ``session.compare_plane`` of two visits, the earlier one at the left
PLACES = {"axial": (0, 0), "coronal": (0, 1), "sagittal": (1, 0), "3d": (1, 1)}


class PaneGrid(QStackedWidget):
    """Holds every pane; ``layout_changed`` tells the name of the layout on screen."""

    hovered = Signal(object)
    layout_changed = Signal(str)

    def __init__(self, session, toolbox, parent=None):
        super().__init__(parent)
        self.setObjectName("panes")
        self.session = session
        self.panes = {
            "axial": SlicePane("axial", session, toolbox),
            "coronal": SlicePane("coronal", session, toolbox),
            "sagittal": SlicePane("sagittal", session, toolbox),
            "3d": ScenePane(session),
        }
        self.picture = PicturePane(session, toolbox)
        self._volume_page = QWidget()
        self._grid = QGridLayout(self._volume_page)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(2)
        self.other = ComparePane(session, toolbox)
        self.layout_name = "2x2"
        self._layout_before = "2x2"  # where a comparison goes back to
        self._compared: object | None = None
        self.large: str | None = None
        for pane in (*self.panes.values(), self.other):
            pane.hovered.connect(self.hovered)
            pane.enlarge.connect(self.toggle_large_pane)
        self.picture.hovered.connect(self.hovered)
        self.addWidget(self._volume_page)
        self.addWidget(self.picture)
        session.picture_changed.connect(self._choose_page)
        session.image_changed.connect(self._choose_page)
        session.comparison_changed.connect(self._take_comparison)
        self._arrange()
        self._choose_page()

    @property
    def slice_panes(self) -> tuple[SlicePane, ...]:
        """The three planes."""
        return tuple(p for p in self.panes.values() if isinstance(p, SlicePane))

    @property
    def scene(self) -> ScenePane:
        """The 3D pane."""
        return self.panes["3d"]

    @property
    def shows_picture(self) -> bool:
        """True while an ultrasound picture takes the place of the planes."""
        return self.currentWidget() is self.picture

    def visible_panes(self) -> list:
        """The panes on screen."""
        if self.shows_picture:
            return [self.picture]
        return [self._named()[n] for n in self._shown()]

    def _named(self) -> dict:
        return {**self.panes, "other": self.other}

    def _shown(self) -> tuple[str, ...]:
        """Names of the panes on screen, in reading order."""
        if self.large:
            return (self.large,)
        if self.layout_name != COMPARE:
            return LAYOUTS[self.layout_name]
        pair = (self.session.compare_plane, "other")
        return pair if self._is_earlier_here() else pair[::-1]

    def _is_earlier_here(self) -> bool:
        c, visit = self.session.comparison, self.session.visit
        return c is None or visit is None or visit.order <= c.visit.order

    def active_pane(self):
        """The pane that keys and menu entries act on: with the focus, else the first one."""
        visible = self.visible_panes()
        return next((p for p in visible if p.hasFocus()), visible[0])

    def set_layout(self, name: str) -> None:
        """One of LAYOUTS, or COMPARE where a visit is compared."""
        if name == COMPARE and self.session.comparison is None:
            return
        if name != COMPARE:
            self._layout_before = name
        self.layout_name, self.large = name, None
        self._arrange()

    def compare(self) -> None:
        """Two visits side by side, or back to the layout before."""
        if self.layout_name == COMPARE:
            self.set_layout(self._layout_before)
        elif self.session.comparison is not None:
            self.set_layout(COMPARE)
        else:
            self.session.compare_with()

    def _take_comparison(self) -> None:
        """A visit was laid beside, or taken away; otherwise only its words or its plane changed."""
        c = self.session.comparison
        if c is not self._compared:
            self._compared = c
            if c is not None:
                self.set_layout(COMPARE)
            elif self.layout_name == COMPARE:
                self.set_layout(self._layout_before)
        elif self.layout_name == COMPARE:
            if self.large in self.panes and self.large != self.session.compare_plane:
                self.large = None
            self._arrange()

    def toggle_large(self, name: str) -> None:
        """Make one pane large, or go back."""
        self.large = None if self.large == name else name
        self._arrange()

    def toggle_large_pane(self, pane) -> None:
        """The same for a pane itself; a picture fills the room anyway."""
        name = next((n for n, p in self._named().items() if p is pane), None)
        if name is not None:
            self.toggle_large(name)

    def fit_all(self) -> None:
        """Every pane shows everything."""
        for pane in (*self.panes.values(), self.other, self.picture):
            pane.fit()

    def zoom_to(self, point_mm, reach_mm: float) -> None:
        """Every pane shows a point with ``reach_mm`` around it."""
        self.session.set_crosshair(point_mm)
        for pane in self.slice_panes:
            pane.zoom_to(point_mm, reach_mm)
        self.scene.zoom_to(point_mm, 1.4 * reach_mm)

    def centre_all(self) -> None:
        """Every pane has the crosshair in its middle."""
        for pane in self.panes.values():
            pane.centre_on_crosshair()

    def shutdown(self) -> None:
        """Stop clocks and free the graphics context."""
        self.picture.shutdown()
        self.scene.shutdown()

    def _arrange(self) -> None:
        shown = self._shown()
        comparing = self.layout_name == COMPARE
        if comparing:
            self.other.set_partner(self.panes[self.session.compare_plane])
        for name, pane in self._named().items():
            if not comparing:
                row, column = PLACES.get(name, (0, 0))
            else:
                row, column = 0, shown.index(name) if name in shown else 0
            self._grid.addWidget(pane, row, column)  # again: it moves there
            pane.setVisible(name in shown)
        used = {(0, n) for n in range(len(shown))} if comparing else {PLACES.get(name, (0, 0)) for name in shown}
        for n in range(2):
            self._grid.setRowStretch(n, 1 if any(row == n for row, _ in used) else 0)
            self._grid.setColumnStretch(n, 1 if any(column == n for _, column in used) else 0)
        self._name_visits(comparing)
        self.layout_changed.emit("1" if self.large and not comparing else self.layout_name)

    def _name_visits(self, comparing: bool) -> None:
        s = self.session
        for name, pane in self.panes.items():
            if isinstance(pane, SlicePane):
                pane.set_heading(s.visit.name if comparing and name == s.compare_plane and s.visit is not None else "")
        if s.comparison is not None:
            self.other.set_heading(t("{visit} · read-only").format(visit=s.comparison.visit.name))

    def _choose_page(self) -> None:
        self.setCurrentWidget(self.picture if self.session.picture is not None else self._volume_page)
