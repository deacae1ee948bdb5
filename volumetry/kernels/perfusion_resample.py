"""Kernels that look at frames of a loop through its motion: pictures in the axes of the reference frame.

``matrices[f, 2, 3]`` take a reference pixel ``(x, y, 1)`` to the frame's; ``fields[f, gr, gc, 2]`` (``gr`` 0: none) is a
further displacement, bilinear between nodes that are spread corner to corner. A place beyond the frame, or that touches a
``drawn`` pixel (bool ``[row, column]``), has no value.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange


@njit(cache=True, nogil=True, inline="always")
def _place(matrix, field, c, r, columns, rows):
    x = matrix[0, 0] * c + matrix[0, 1] * r + matrix[0, 2]
    y = matrix[1, 0] * c + matrix[1, 1] * r + matrix[1, 2]
    gr, gc = field.shape[0], field.shape[1]
    if gr > 1 and gc > 1:
        # Places beyond the pane take the displacement of its edge.
        gx, gy = min(max(c * (gc - 1.0) / (columns - 1.0), 0.0), gc - 1.0), min(max(r * (gr - 1.0) / (rows - 1.0), 0.0), gr - 1.0)
        i, j = min(int(gx), gc - 2), min(int(gy), gr - 2)
        fx, fy = gx - i, gy - j
        w00, w10, w01, w11 = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
        x += w00 * field[j, i, 0] + w10 * field[j, i + 1, 0] + w01 * field[j + 1, i, 0] + w11 * field[j + 1, i + 1, 0]
        y += w00 * field[j, i, 1] + w10 * field[j, i + 1, 1] + w01 * field[j + 1, i, 1] + w11 * field[j + 1, i + 1, 1]
    return x, y


@njit(cache=True, nogil=True, inline="always")
def _value(frame, drawn, table, x, y):
    # Bilinear in what the levels are worth; NaN beyond the frame and on marks.
    rows, columns = frame.shape
    if not (x >= 0 and y >= 0 and x <= columns - 1 and y <= rows - 1):
        return np.nan
    i, j = min(int(x), max(columns - 2, 0)), min(int(y), max(rows - 2, 0))
    i1, j1 = min(i + 1, columns - 1), min(j + 1, rows - 1)
    if drawn[j, i] or drawn[j, i1] or drawn[j1, i] or drawn[j1, i1]:
        return np.nan
    dx, dy = x - i, y - j
    top = table[frame[j, i]] * (1 - dx) + table[frame[j, i1]] * dx
    low = table[frame[j1, i]] * (1 - dx) + table[frame[j1, i1]] * dx
    return top * (1 - dy) + low * dy


@njit(cache=True, nogil=True)
def _gather_row(frame, table, matrix, r, totals, highest, counts):
    # A row of the reference through a matrix alone, no marks: most of the work of most loops.
    rows, columns = frame.shape
    ax, ay = np.float32(matrix[0, 0]), np.float32(matrix[1, 0])
    x0, y0 = np.float32(matrix[0, 1] * r + matrix[0, 2]), np.float32(matrix[1, 1] * r + matrix[1, 2])
    right, bottom = np.float32(columns - 1), np.float32(rows - 1)
    for c in range(totals.size):
        x, y = x0 + ax * np.float32(c), y0 + ay * np.float32(c)
        if x < 0 or y < 0 or x > right or y > bottom:
            continue
        i, j = min(np.int32(x), columns - 2), min(np.int32(y), rows - 2)
        dx, dy = x - np.float32(i), y - np.float32(j)
        a, b, low, d = table[frame[j, i]], table[frame[j, i + 1]], table[frame[j + 1, i]], table[frame[j + 1, i + 1]]
        top = a + dx * (b - a)
        v = top + dy * (low + dx * (d - low) - top)
        totals[c] += v
        counts[c] += 1
        highest[c] = max(highest[c], v)


@njit(cache=True, nogil=True, parallel=True)
def gather(levels, drawn, has_drawn, table, matrices, fields, totals, highest, counts):
    """Add what ``levels`` (uint8 ``[frame, row, column]``) are worth by ``table`` (float32 ``[256]``) to ``totals`` (float64),
    raise ``highest`` (float32) to it and count it in ``counts`` (int32), each ``[row, column]`` of the reference frame.
    ``drawn`` is looked at where ``has_drawn``."""
    rows, columns = totals.shape
    plain = not has_drawn and fields.shape[1] == 0 and rows > 1 and columns > 1
    for r in prange(rows):
        for f in range(levels.shape[0]):
            if plain:
                _gather_row(levels[f], table, matrices[f], r, totals[r], highest[r], counts[r])
                continue
            for c in range(columns):
                x, y = _place(matrices[f], fields[f], c, r, columns, rows)
                v = _value(levels[f], drawn, table, x, y)
                if v == v:
                    totals[r, c] += v
                    counts[r, c] += 1
                    if v > highest[r, c]:
                        highest[r, c] = v


@njit(cache=True, nogil=True)
def resample(frame, drawn, table, matrix, field, out):
    """One uint8 frame by ``table`` in the axes of the reference: ``out`` (float32 ``[row, column]``), NaN where the frame does not reach."""
    rows, columns = out.shape
    for r in range(rows):
        for c in range(columns):
            x, y = _place(matrix, field, c, r, columns, rows)
            out[r, c] = _value(frame, drawn, table, x, y)


@njit(cache=True, nogil=True)
def carry_mask(mask, matrix, inverse, field, out):
    """``mask`` (bool ``[row, column]`` of the reference) in the frame's own pixels: ``out`` (bool) at a pixel is the mask at the nearest
    reference pixel that comes to lie there. ``inverse`` undoes ``matrix``; the field is undone by iteration."""
    rows, columns = out.shape
    for r in range(rows):
        for c in range(columns):
            px = inverse[0, 0] * c + inverse[0, 1] * r + inverse[0, 2]
            py = inverse[1, 0] * c + inverse[1, 1] * r + inverse[1, 2]
            if field.shape[0] > 1:
                for _ in range(4):
                    x, y = _place(matrix, field, px, py, columns, rows)
                    ex, ey = c - x, r - y
                    px += inverse[0, 0] * ex + inverse[0, 1] * ey
                    py += inverse[1, 0] * ex + inverse[1, 1] * ey
            i, j = int(np.floor(px + 0.5)), int(np.floor(py + 0.5))
            out[r, c] = 0 <= i < columns and 0 <= j < rows and mask[j, i]
