"""Kernels that find where tissues meet and give those cells their own field formula.

Arrays are padded as in ``multigrid.py``; ``flag`` is uint8 of the same shape.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

from planning.kernels.conductivity import FIRST_NEEDLE_LABEL

NEAR_NEEDLE, AT_INTERFACE = 1, 2


@njit(cache=True, nogil=True, parallel=True)
def mark_interfaces(label, flag, counts):
    """Set AT_INTERFACE in the ``flag`` of tissue cells with another tissue across a face; ``counts[k]`` becomes
    the number of flagged cells of the plane."""
    first = np.uint8(FIRST_NEEDLE_LABEL)
    for k in prange(1, label.shape[0] - 1):
        count = 0
        for j in range(1, label.shape[1] - 1):
            own, out = label[k, j], flag[k, j]
            south, north, below, above = label[k, j - 1], label[k, j + 1], label[k - 1, j], label[k + 1, j]
            for i in range(1, label.shape[2] - 1):
                m = own[i]
                if m < first and (
                    (own[i - 1] != m and own[i - 1] < first) or (own[i + 1] != m and own[i + 1] < first)
                    or (south[i] != m and south[i] < first) or (north[i] != m and north[i] < first)
                    or (below[i] != m and below[i] < first) or (above[i] != m and above[i] < first)
                ):  # fmt: skip
                    out[i] |= AT_INTERFACE
                if out[i]:
                    count += 1
        counts[k] = count


@njit(cache=True, nogil=True, parallel=True, error_model="numpy")
def list_special(label, resting, cells, factors, planes, first, flag, out, out_factors):
    """Write the flagged cells in rising order with their factors (-i +i -j +j -k +k), and make their flag 1.

    ``cells``, ``factors``: those near needles, in rising order, ``planes[k]`` the first of plane k; ``first[k]``: where
    plane k begins in ``out``. ``resting``: conductivity of each label. A face to other tissue is multiplied by
    ``2 sigma_other / (sigma_own + sigma_other)``; in cells that are not near a needle, the box's wall closes a face.
    """
    nk, nj, ni = label.shape[0] - 2, label.shape[1] - 2, label.shape[2] - 2
    flat = label.reshape(-1)
    steps = (1, label.shape[2], label.shape[1] * label.shape[2])
    for k in prange(1, nk + 1):
        at, near = first[k], planes[k]
        for j in range(1, nj + 1):
            for i in range(1, ni + 1):
                kind = flag[k, j, i]
                if kind == 0:
                    continue
                c = k * steps[2] + j * steps[1] + i
                out[at] = c
                for n in range(6):
                    out_factors[at, n] = factors[near, n] if kind & NEAR_NEEDLE else np.float32(1.0)
                if kind & NEAR_NEEDLE:
                    near += 1
                if kind & AT_INTERFACE:
                    for n in range(6):
                        other = flat[c + steps[n // 2] * (1 if n % 2 else -1)]
                        if other < FIRST_NEEDLE_LABEL and other != flat[c]:
                            mine, theirs = resting[flat[c]], resting[other]
                            out_factors[at, n] *= np.float32(2.0) * theirs / max(mine + theirs, np.float32(1e-30))
                if not kind & NEAR_NEEDLE:
                    if i == 1:
                        out_factors[at, 0] = 0.0
                    if i == ni:
                        out_factors[at, 1] = 0.0
                    if j == 1:
                        out_factors[at, 2] = 0.0
                    if j == nj:
                        out_factors[at, 3] = 0.0
                    if k == 1:
                        out_factors[at, 4] = 0.0
                    if k == nk:
                        out_factors[at, 5] = 0.0
                flag[k, j, i] = 1
                at += 1
