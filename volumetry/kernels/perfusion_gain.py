"""Brightness of the parts of a moving pane from frame to frame: medians of grey levels in a grid of blocks."""

from __future__ import annotations

import numpy as np
from numba import njit

from volumetry.kernels.perfusion_sample import place_in_frame


@njit(cache=True, nogil=True, error_model="numpy")
def block_medians(levels, frames, matrices, field, has_field, drawn, has_drawn, step, blocks, out):
    """Median grey level of each block in each of ``frames``: ``out`` float64 ``[frames, blocks rows * blocks columns]``.

    The pane of the reference frame is divided into ``blocks`` (rows, columns); of its pixels every ``step``-th in each direction is
    looked up where it lies in the frame (nearest pixel). Pixels outside the pane or drawn do not count. The median is told within
    the level that holds it, as if its pixels were spread evenly over it. NaN: less than half of a block's pixels are seen, or the
    median lies at an end of the display, where it is only a bound.
    """
    rows, columns = levels.shape[1], levels.shape[2]
    counts = np.zeros((blocks[0] * blocks[1], 256), np.int64)
    for n in range(frames.size):
        k = frames[n]
        counts[:] = 0
        out[n, :] = 0.0  # pixels that should be seen, first
        for y in range(step // 2, rows, step):
            for x in range(step // 2, columns, step):
                b = (y * blocks[0] // rows) * blocks[1] + x * blocks[1] // columns
                out[n, b] += 1.0
                u, v = place_in_frame(matrices, field, has_field, k, x, y, rows, columns)
                if not (u >= 0.0 and v >= 0.0 and u <= columns - 1 and v <= rows - 1):
                    continue
                i, j = int(u + 0.5), int(v + 0.5)
                if has_drawn and drawn[j, i]:
                    continue
                counts[b, levels[k, j, i]] += 1
        for b in range(counts.shape[0]):
            seen = 0
            for g in range(256):
                seen += counts[b, g]
            if seen == 0 or 2 * seen < out[n, b]:
                out[n, b] = np.nan
                continue
            below, g = 0, 0
            while 2 * (below + counts[b, g]) < seen:
                below += counts[b, g]
                g += 1
            out[n, b] = np.nan if g == 0 or g == 255 else g - 0.5 + (0.5 * seen - below) / counts[b, g]
