"""Small pictures with known answers for the panes."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from app.study.model import Side, TargetNode
from app.ui.session import NodeState
from app.usecases.mask_draft import MaskDraft
from volumetry.calibration import Calibration, PictureRegion
from volumetry.geometry import ImageGeometry
from volumetry.image import Cine, ImageSource, ImageVolume
from volumetry.mask import NodeMask

SHAPE = (40, 96, 80)
SPACING = (0.9, 0.8, 2.0)
CENTRE = np.array([4.0, -7.0, 11.0])


def near(x_mm: float, y_mm: float, z_mm: float) -> np.ndarray:
    """A point by its distance from CENTRE."""
    return CENTRE + np.array([x_mm, y_mm, z_mm], float)


def grid() -> ImageGeometry:
    half = (np.array(SHAPE[::-1]) - 1) / 2 * SPACING
    return ImageGeometry.from_spacing(SHAPE, SPACING, CENTRE - half)


def distances_mm(geometry: ImageGeometry, point=CENTRE) -> np.ndarray:
    k, j, i = np.indices(geometry.shape)
    return np.linalg.norm(geometry.index_to_world(np.stack([i, j, k], -1)) - point, axis=-1)


def ball_volume(radius_mm: float = 12.0) -> ImageVolume:
    """Air, a body of -100 HU, in it a ball of 100 HU about CENTRE."""
    geometry = grid()
    array = np.full(SHAPE, -100, np.int16)
    array[:, :3], array[:, -3:] = -1000, -1000
    array[distances_mm(geometry) < radius_mm] = 100
    return ImageVolume(array, geometry, source=ImageSource(modality="CT", description="Ball in a box", synthetic=True))


def show_volume(session) -> ImageVolume:
    session.image = ball_volume()
    session.image_changed.emit()
    session.set_crosshair(CENTRE)
    return session.image


def add_node(session, radius_mm: float = 10.0, node_id: str = "a", label: str = "N1") -> MaskDraft:
    geometry = session.image.geometry
    draft = MaskDraft(geometry, NodeMask(distances_mm(geometry) < radius_mm, geometry))
    session.nodes[node_id] = NodeState(TargetNode(node_id, "S-1", label, Side.LEFT, "II"), draft=draft, measurement=draft.measure())
    session.current_node_id = node_id
    session.nodes_changed.emit()
    return draft


def cone_field(step_mm: float = 1.0, peak: float = 1200.0) -> SimpleNamespace:
    """A field that falls by 50 V/cm a millimetre around CENTRE: 500 V/cm lies at 14 mm."""
    shape = (50, 50, 50)
    geometry = ImageGeometry.from_spacing(shape, (step_mm,) * 3, CENTRE - 24.5)
    return SimpleNamespace(geometry=geometry, e_max_v_per_cm=(peak - 50.0 * distances_mm(geometry)).astype(np.float32))


def cine(frames: int = 12, times_ms=None, *, delta=(0.01, 0.02)) -> Cine:
    """Frame n is grey level 10 n; one calibrated region of 0.1 x 0.2 mm pixels in the middle."""
    region = PictureRegion(0, 1, 1, 0, 20, 10, 99, 69, 3, 3, *delta)

    def read_frame(n: int) -> np.ndarray:
        return np.full((80, 120), 10 * n, np.uint8)

    return Cine(frames, (80, 120), read_frame, Calibration((region,)), times_ms, ImageSource(modality="US", description="Cine"))


def show_picture(session, picture: Cine) -> None:
    session.picture = picture
    session.frame_index = 0
    session.picture_changed.emit()
