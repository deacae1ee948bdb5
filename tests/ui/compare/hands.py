"""Two coarse necks with known motion, hands on the panes, and what was said."""

from __future__ import annotations

import numpy as np
from PySide6.QtWidgets import QApplication

from app.demo.case import POSES, REACTIVE, nodes_at
from app.demo.neck import NeckScan, render_neck
from app.demo.shapes import rotation_from
from tests.ui import mouse
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask

GRID = ImageGeometry.from_spacing((52, 150, 150), (1.5, 1.5, 2.5), (-111.75, -103.75, -64.0))
SEED = 2026
LARGE = len(REACTIVE)  # the first target comes after the harmless nodes
WAIT_MS = 60_000
VISITS = ("Baseline", "Day 30")


class Neck:
    """The demonstration's neck at a visit on a coarse grid, and the true outline of one node."""

    def __init__(self, visit: int):
        nodes = nodes_at(visit, SEED, POSES[visit])
        self.array = render_neck(NeckScan(GRID, POSES[visit], tuple(nodes), seed=visit))
        shape = nodes[LARGE].shape
        mask = np.zeros(GRID.shape, bool)
        box, cover = shape.coverage(GRID, samples=5)
        mask[box] = cover >= 0.5
        self.mask = NodeMask(mask, GRID)
        self.centre_mm = np.array(shape.centre_mm)


def true_motion() -> np.ndarray:
    """From Day 30 (on screen) to baseline (beside)."""
    poses = []
    for n in (0, 1):
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = rotation_from(*POSES[n].angles_deg), POSES[n].shift_mm
        poses.append(matrix)
    return poses[0] @ np.linalg.inv(poses[1])


class Told:
    def __init__(self, session):
        self.lines: list[tuple[str, str]] = []
        session.notice.connect(lambda severity, text: self.lines.append((severity, text)))
        session.jobs.failed.connect(lambda _error, text: self.lines.append(("bug", text)))

    def has(self, words: str) -> bool:
        return any(words in text for _, text in self.lines)


def settle(qtbot, session) -> None:
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=WAIT_MS)
    for _ in range(3):
        QApplication.processEvents()


def there_of(point) -> np.ndarray:
    return true_motion()[:3, :3] @ point + true_motion()[:3, 3]


def pixel_of(pane, point) -> tuple[float, float]:
    return pane.screen_of(point)


def settle_paint() -> None:
    for _ in range(4):
        QApplication.processEvents()


def picture_of(pane, session) -> np.ndarray:
    pane._outlines.clear()
    image = pane.grab().toImage()
    return np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1).copy()
OFFSETS = ((0.0, 0, 0), (24, 8, -10), (-18, 22, 10), (6, -20, 20))


def set_by_mouse(window, session, point_here, point_there) -> None:
    """One landmark by clicks, as a hand would: each visit scrolled to its place first."""
    for pane, point, go in ((window.panes.panes["axial"], point_here, session.set_crosshair), (window.panes.other, point_there, session.set_other_crosshair)):
        go(point)
        settle_paint()
        mouse.click(pane, pane.screen_of(point))


def mouse_escape(window) -> None:
    window.qactions["crosshair"].trigger()


def set_exactly(session, offsets=OFFSETS, necks_centre=None) -> None:
    for offset in offsets:
        point = necks_centre + np.array(offset)
        session.set_landmark("here", point)
        session.set_landmark("there", there_of(point))
