"""What the session holds of a node and of a drawn length."""

from __future__ import annotations

from dataclasses import dataclass, field

from app.study.model import Reading, TargetNode


@dataclass(frozen=True, slots=True)
class Caliper:
    """A drawn length. ``plane`` is None on a volume, else longitudinal or transverse on a still.
    ``points`` are LPS mm (volume) or pixels (picture); ``length_mm`` is None where refused.
    ``source`` names the picture it was drawn on."""

    points: tuple
    length_mm: float | None
    label: str
    plane: str | None = None
    frame: int = 0
    refusal: str | None = None
    source: str | None = None
    warnings: tuple = ()  # findings about the length


@dataclass(slots=True)
class NodeState:
    """A node at the visit on screen: its outline, numbers and reading."""

    node: TargetNode
    draft: object | None = None  # app.usecases.mask_draft.MaskDraft
    measurement: object | None = None  # volumetry.measure.NodeMeasurement
    reading: Reading | None = None
    outline_surface: tuple | None = None  # (vertices_mm (n, 3), faces (m, 3)) from the click, for 3D
    calipers: dict = field(default_factory=dict)  # "length" | "width" | "depth" -> Caliper
    ellipsoid: object | None = None
    contrast_taken: dict | None = None  # perfusion_reading.perfusion_record: what was taken of a contrast loop for the reading
    enhancing: object | None = None  # session_enhancing.Enhancing: the threshold stated for the enhancing part
    statement: object | None = None  # session_lesion.Statement: grade of what still enhances, the lesion
    lock_count: int = 0  # how often this reader locked it here; steps made before a lock are not undone

    @property
    def click(self):
        """The ``OutlineClick`` that drew the outline, while it is as the click and its points left it."""
        return None if self.draft is None else self.draft.click
