"""The panes in the middle of the window: one, two or four, one of them large, or a picture."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QStackedWidget, QWidget

from app.ui.views.picture_pane import PicturePane
from app.ui.views.scene_pane import ScenePane
from app.ui.views.slice_pane import SlicePane

LAYOUTS = {"1": ("axial",), "1x2": ("axial", "coronal"), "2x2": ("axial", "coronal", "sagittal", "3d")}


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
        self.layout_name = "2x2"
        self.large: str | None = None
        for name, (row, column) in {"axial": (0, 0), "coronal": (0, 1), "sagittal": (1, 0), "3d": (1, 1)}.items():
            pane = self.panes[name]
            self._grid.addWidget(pane, row, column)
            pane.hovered.connect(self.hovered)
            pane.enlarge.connect(self._enlarge)
        self.picture.hovered.connect(self.hovered)
        self.addWidget(self._volume_page)
        self.addWidget(self.picture)
        session.picture_changed.connect(self._choose_page)
        session.image_changed.connect(self._choose_page)
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
        names = (self.large,) if self.large else LAYOUTS[self.layout_name]
        return [self.panes[n] for n in names]

    def active_pane(self):
        """The pane that keys and menu entries act on: with the focus, else the first one."""
        visible = self.visible_panes()
        return next((p for p in visible if p.hasFocus()), visible[0])

    def set_layout(self, name: str) -> None:
        """One of LAYOUTS."""
        self.layout_name, self.large = name, None
        self._arrange()

    def toggle_large(self, name: str) -> None:
        """Make one pane large, or go back."""
        self.large = None if self.large == name else name
        self._arrange()

    def fit_all(self) -> None:
        """Every pane shows everything."""
        for pane in (*self.panes.values(), self.picture):
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

    def _enlarge(self, pane) -> None:
        self.toggle_large(next(name for name, p in self.panes.items() if p is pane))

    def _arrange(self) -> None:
        shown = {self.large} if self.large else set(LAYOUTS[self.layout_name])
        for name, pane in self.panes.items():
            pane.setVisible(name in shown)
        for n in range(2):
            rows = {"axial": 0, "coronal": 0, "sagittal": 1, "3d": 1}
            columns = {"axial": 0, "coronal": 1, "sagittal": 0, "3d": 1}
            self._grid.setRowStretch(n, 1 if any(rows[name] == n for name in shown) else 0)
            self._grid.setColumnStretch(n, 1 if any(columns[name] == n for name in shown) else 0)
        self.layout_changed.emit("1" if self.large else self.layout_name)

    def _choose_page(self) -> None:
        self.setCurrentWidget(self.picture if self.session.picture is not None else self._volume_page)
