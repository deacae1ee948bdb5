"""Slices left out between drawn ones: a gap in an outline that nobody filled."""

from __future__ import annotations

import numpy as np

from volumetry.finding import Finding


def empty_slices(array: np.ndarray, box: tuple[slice, slice, slice] | None) -> Finding | None:
    """Said where slices between the first and the last one of an outline hold none of it, along any axis.

    ``array`` is bool ``[k, j, i]``, ``box`` the slices around its voxels (None: there are none).
    """
    if box is None:
        return None
    part = array[box]
    gaps = [int(np.count_nonzero(~part.any(axis=tuple(a for a in range(3) if a != axis)))) for axis in range(3)]
    most = max(gaps)
    if not most:
        return None
    where = "1 slice" if most == 1 else f"{most} slices"
    return Finding("empty_slices", f"{where} between the first and the last one of the outline {'is' if most == 1 else 'are'} empty and not counted.", "warning")
