"""Strokes of a brush for tests of outlines in work."""

from __future__ import annotations

from app.usecases.mask_draft import MaskDraft
from volumetry.segmentation.history import EditStep


def stroke(draft: MaskDraft, *voxels, value: bool = True, radius_mm: float = 0.01) -> EditStep | None:
    """One stroke with a dab at each voxel (k, j, i); the usual dab is so small that it changes that voxel only."""
    draft.begin_stroke()
    for k, j, i in voxels:
        draft.paint(draft.geometry.index_to_world((i, j, k)), radius_mm, value=value)
    return draft.end_stroke("Brush")
