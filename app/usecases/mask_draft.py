"""An outline while it is being drawn: one writable array, and a patch for each step back.

Pure editing rules live in ``volumetry.segmentation.editing``; this class holds the working copy,
knows whether the sub-voxel volume of the last click still describes it, and hands out values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from volumetry.geometry import ImageGeometry
from volumetry.mask import MaskPatch, NodeMask
from volumetry.measure import NodeMeasurement, measure_node
from volumetry.outline_origin import NOT_RECORDED, OutlineOrigin


@dataclass(frozen=True, slots=True, eq=False)
class DraftStep:
    """One undoable step: the voxels that changed, and the outline volume and origin before and after."""

    text: str
    patch: MaskPatch | None
    coverage_before_ml: float | None
    coverage_after_ml: float | None
    origin_before: OutlineOrigin | None = None
    origin_after: OutlineOrigin | None = None


class MaskDraft:
    """The working outline of one node on one image grid.

    ``array`` is bool ``[k, j, i]``. ``coverage_volume_ml`` is the volume of the surface that the
    mask was rastered from; any hand edit drops it, because it no longer describes the voxels.
    ``origin`` says how the outline came about; a hand edit marks it ``edited``.
    """

    def __init__(self, geometry: ImageGeometry, mask: NodeMask | None = None):
        self.geometry = geometry
        self.array = np.zeros(geometry.shape, dtype=bool) if mask is None else mask.array.copy()
        self.coverage_volume_ml = None if mask is None else mask.coverage_volume_ml
        self.origin = None if mask is None else mask.origin

    @property
    def is_empty(self) -> bool:
        """True while nothing is outlined."""
        return not self.array.any()

    def as_mask(self, label: int = 1, name: str | None = None) -> NodeMask:
        """A read-only copy as a value."""
        return NodeMask(self.array.copy(), self.geometry, label, name, self.coverage_volume_ml, origin=self.origin)

    def measure(self) -> NodeMeasurement:
        """All numbers of the outline as it stands."""
        return measure_node(self.as_mask())

    def replace(self, new: NodeMask, text: str) -> DraftStep | None:
        """Take over a whole new outline (a click, a loaded mask); None if nothing changed."""
        return self._step(text, new.array, new.coverage_volume_ml, new.origin or OutlineOrigin(NOT_RECORDED))

    def edit(self, new: np.ndarray, text: str, *, method: str = "by_hand") -> DraftStep | None:
        """Take over hand-edited voxels; the sub-voxel volume no longer holds. None if no voxel changed.
        ``method`` is the origin's where nothing was outlined before."""
        return None if np.array_equal(self.array, new) else self._step(text, new, None, self._origin_after_edit(self.is_empty, method))

    def _origin_after_edit(self, was_empty: bool, method: str) -> OutlineOrigin:
        return OutlineOrigin(method) if was_empty else (self.origin or OutlineOrigin(NOT_RECORDED)).by_hand()

    def finish_stroke(self, before: np.ndarray, coverage_before_ml: float | None, text: str) -> DraftStep | None:
        """Close a stroke that painted into ``array`` in place; ``before`` is the copy taken at its start."""
        patch = MaskPatch.between(before, self.array)
        if patch is None:
            return None
        self.coverage_volume_ml = None
        step = DraftStep(text, patch, coverage_before_ml, None, self.origin, self._origin_after_edit(not before.any(), "brush"))
        self.origin = step.origin_after
        return step

    def _step(self, text: str, new: np.ndarray, coverage_ml: float | None, origin: OutlineOrigin) -> DraftStep | None:
        patch = MaskPatch.between(self.array, new)
        step = DraftStep(text, patch, self.coverage_volume_ml, coverage_ml, self.origin, origin)
        if patch is None and step.coverage_before_ml == step.coverage_after_ml and (self.origin or OutlineOrigin(NOT_RECORDED)).method == origin.method:
            return None
        self.redo(step)
        return step

    def redo(self, step: DraftStep) -> None:
        """Apply a step (again)."""
        if step.patch is not None:
            step.patch.apply(self.array)
        self.coverage_volume_ml = step.coverage_after_ml
        self.origin = step.origin_after

    def undo(self, step: DraftStep) -> None:
        """Take a step back, exactly."""
        if step.patch is not None:
            step.patch.revert(self.array)
        self.coverage_volume_ml = step.coverage_before_ml
        self.origin = step.origin_before
