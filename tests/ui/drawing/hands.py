"""An ellipsoid on CT, hands that draw on it, and what came of it."""

from __future__ import annotations

import numpy as np

from tests.ui import mouse

CENTRE = np.array([12.3, -8.1, 105.2])
AXES_MM = (9.0, 7.0, 8.0)
TRUE_ML = 4 / 3 * np.pi * np.prod(AXES_MM) / 1000
WAIT_MS = 120_000  # a first run compiles the kernels


def near(x_mm: float, y_mm: float, z_mm: float) -> np.ndarray:
    """A point by its distance from CENTRE."""
    return CENTRE + np.array([x_mm, y_mm, z_mm], float)


def settle(qtbot, session) -> None:
    qtbot.waitUntil(lambda: not session.jobs.is_busy(), timeout=WAIT_MS)


def section(case, plane_index: int, along_mm: float, count: int = 40) -> np.ndarray:
    """LPS points of the ellipsoid's border ``along_mm`` from its centre along x, y or z (0, 1, 2)."""
    size = np.sqrt(max(0.0, 1 - (along_mm / AXES_MM[plane_index]) ** 2))
    angle = np.arange(count) / count * 2 * np.pi
    a, b = (n for n in range(3) if n != plane_index)
    points = np.tile(CENTRE, (count, 1))
    points[:, plane_index] += along_mm
    points[:, a] += size * AXES_MM[a] * np.cos(angle)
    points[:, b] += size * AXES_MM[b] * np.sin(angle)
    return points


def draw_round(qtbot, pane, session, points_mm, *, modifiers=mouse.NONE) -> None:
    """One freehand line round these points, on the slice that they lie on."""
    session.set_crosshair(points_mm[0])
    session.set_tool("contour")
    places = [pane.screen_of(p) for p in points_mm]
    mouse.drag(pane, *places, steps=2, modifiers=modifiers)
    settle(qtbot, session)


def slice_z(session, number: int) -> float:
    return float(session.image.geometry.index_to_world((0, 0, number))[2])


def array_of(session) -> np.ndarray:
    return session.nodes["a"].draft.array.copy()


def voxel_ml(session) -> float:
    return np.count_nonzero(array_of(session)) * session.image.geometry.voxel_size_mm3 / 1000


def slices_of_node(session) -> list[int]:
    """Numbers of the axial slices that cut the ellipsoid."""
    return [k for k in range(session.image.geometry.shape[0]) if abs(slice_z(session, k) - CENTRE[2]) < AXES_MM[2]]


def session_square(session, x_mm: float) -> np.ndarray:
    """(column, row) corners of a square of 4 mm beside the centre."""
    corners = [near(x_mm + dx, dy, 0) for dx, dy in ((-2, -2), (2, -2), (2, 2), (-2, 2))]
    return np.array([session.image.geometry.world_to_index(c)[:2] for c in corners])


# ---- scribble ------------------------------------------------------------------------------------
def stroke(pane, *points_mm, modifiers=mouse.NONE) -> None:
    mouse.drag(pane, *(pane.screen_of(CENTRE + p) for p in points_mm), steps=6, modifiers=modifiers)


# ---- cut -----------------------------------------------------------------------------------------
def seed(session, case):
    """The node outlined by its true voxels."""
    from app.usecases.mask_draft import MaskDraft

    draft = session.nodes["a"].draft = MaskDraft(session.image.geometry, case.truth)
    session.mask_changed.emit("a")
    return draft
