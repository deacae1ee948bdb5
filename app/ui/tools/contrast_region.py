"""Two tools of a contrast loop: polygons of regions, drawn in either pane, and the boxes of the panes themselves."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

from app.ui.models.contrast import ROLE_LOOKS, role_names
from app.ui.session_contrast_regions import REGION_ROLES
from app.ui.style import ACCENT, MUTED, TEXT
from app.ui.text import t
from app.ui.tools.base import PaneEvent, Tool
from app.ui.views import overlays

NEAR_PX = 8.0
FREEHAND_PX = 9.0


class ContrastRegionTool(Tool):
    """Click corners, or drag along the border. Enter, a double click, the first corner or the end of a drag that comes round closes; Backspace takes a
    corner back; 1 to 6 choose what the region stands for. Esc puts the tool away and forgets an open polygon."""

    name = "contrast_region"
    works_on_pictures = True

    def __init__(self, session):
        super().__init__(session)
        self._last: tuple[float, float] | None = None  # where the last corner of a drag lies on the screen
        self._dragged = False

    def hint(self) -> str:
        """What the mouse does now."""
        session = self.session
        why = session.why_no_region()
        if why:
            return why
        role = role_names()[session.region_role]
        if not session.open_region:
            return t("{role}: click corners or drag round it, in either pane · 1 to 6: another role").format(role=role)
        return t("Enter or the first corner closes · Backspace: one back")

    def press(self, event: PaneEvent) -> None:
        """The next corner; on the first or the last one it closes."""
        if event.on_volume:
            return
        self.at, self._dragged = event, False
        corners, frame = self.session.open_region, event.pane.shown_frame
        if len(corners) >= 3 and (self._is_near(event, corners[0]) or self._is_near(event, corners[-1])):
            self.session.close_region()
            self._last = None
            return
        self.session.add_region_corner(frame, event.point)
        self._last = (event.x, event.y)

    def move(self, event: PaneEvent) -> None:
        """A drag leaves corners along its way."""
        self.at = event
        if self._last is not None and np.hypot(event.x - self._last[0], event.y - self._last[1]) >= FREEHAND_PX:
            self._dragged = True
            self.session.add_region_corner(event.pane.shown_frame, event.point)
            self._last = (event.x, event.y)

    def release(self, event: PaneEvent) -> None:
        """A drag closes the region."""
        self.at, self._last = event, None
        if self._dragged and len(self.session.open_region) >= 3:
            self._dragged = False
            self.session.close_region()

    def hover(self, event: PaneEvent) -> None:
        """The line to the mouse follows."""
        self.at = event

    def key_pressed(self, pane, key: int) -> bool:
        """Enter closes, Backspace takes a corner back, digits choose a role."""
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.session.close_region()
        elif key == Qt.Key.Key_Backspace:
            self.session.drop_region_corner()
        elif Qt.Key.Key_1 <= key < Qt.Key.Key_1 + len(REGION_ROLES):
            self.session.set_region_role(REGION_ROLES[key - Qt.Key.Key_1])
        else:
            return False
        return True

    def cancel(self) -> None:
        """Forget the polygon under way."""
        self._last, self._dragged = None, False
        self.session.drop_region_corners()

    def paint(self, painter: QPainter, pane) -> None:
        """The line from the last corner to the mouse."""
        session = self.session
        if self.at is None or self.at.pane is not pane or not session.open_region:
            return
        points = session.region_points(session.open_region, pane.shown_frame)
        if points is None:
            return
        pen = QPen(QColor(ROLE_LOOKS[session.region_role][0]), 1.2)
        pen.setDashPattern([3, 3])
        painter.setPen(pen)
        painter.drawLine(QLineF(QPointF(*pane.screen_of(points[-1])), QPointF(self.at.x, self.at.y)))

    def live_lines(self) -> list[tuple[str, str]]:
        """The role beside the cursor."""
        count = len(self.session.open_region)
        return [(role_names()[self.session.region_role], TEXT), *([(t("{n} points").format(n=count), MUTED)] if count else [])]

    def _is_near(self, event: PaneEvent, corner) -> bool:
        points = self.session.region_points((corner,), event.pane.shown_frame)
        return points is not None and float(np.hypot(*np.subtract(event.pane.screen_of(points[0]), (event.x, event.y)))) <= NEAR_PX


class ContrastPanesTool(Tool):
    """Drag a box round the contrast picture, then click the middle of the B-mode picture (or press Enter where there is none)."""

    name = "contrast_panes"
    works_on_pictures = True

    def __init__(self, session):
        super().__init__(session)
        self._start: PaneEvent | None = None

    def hint(self) -> str:
        """What the mouse does now."""
        state = self.session.contrast
        if state is None:
            return t("Open a contrast loop first.")
        if state.drawing is None:
            return t("Drag a box round the contrast picture, corner to corner")
        return t("Click the middle of the B-mode picture · Enter: there is none")

    def press(self, event: PaneEvent) -> None:
        """One corner."""
        if not event.on_volume:
            self.at = self._start = event

    def move(self, event: PaneEvent) -> None:
        """The other corner follows."""
        self.at = event

    def hover(self, event: PaneEvent) -> None:
        """The B-mode box follows."""
        self.at = event

    def release(self, event: PaneEvent) -> None:
        """Take the box."""
        start, self._start = self._start, None
        if start is not None:
            self.session.draw_pane(start.point, event.point)

    def key_pressed(self, pane, key: int) -> bool:
        """Enter: no B-mode; Backspace: the contrast box anew."""
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.session.draw_one_pane()
        elif key == Qt.Key.Key_Backspace:
            self.session.drop_pane_box()
        else:
            return False
        return True

    def cancel(self) -> None:
        """Nothing is changed."""
        self._start = None
        self.session.drop_pane_box()

    def paint(self, painter: QPainter, pane) -> None:
        """The box under way."""
        state = self.session.contrast
        if state is None or self.at is None or self.at.pane is not pane:
            return
        if state.drawing is not None:
            rows, columns = state.drawing.shape
            x, y = self.at.point
            a, b = pane.screen_of((x - columns / 2, y - rows / 2)), pane.screen_of((x + columns / 2, y + rows / 2))
        elif self._start is not None:
            a, b = (self._start.x, self._start.y), (self.at.x, self.at.y)
        else:
            return
        pen = QPen(QColor(ACCENT), 1.4)
        pen.setDashPattern([5, 4])
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for p in (QPen(overlays.HALO, 2.8), pen):
            painter.setPen(p)
            painter.drawRect(QRectF(QPointF(*a), QPointF(*b)).normalized())
