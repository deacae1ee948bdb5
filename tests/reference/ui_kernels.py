"""Slow twins of the painting kernels, written for reading: plain NumPy, one pixel after another."""

from __future__ import annotations

import math

import numpy as np


def paint_grey(plane, u0, du, v0, dv, low, width, linear, outside, shape):
    """What ``app.ui.kernels.paint_grey`` puts into a picture of ``shape``."""
    rows, columns = plane.shape
    out = np.empty(shape, np.uint32)
    for y in range(shape[0]):
        for x in range(shape[1]):
            u, v = u0 + x * du, v0 + y * dv
            if not (-0.5 <= u <= columns - 0.5 and -0.5 <= v <= rows - 0.5):
                out[y, x] = outside
                continue
            u, v = min(max(u, 0), columns - 1), min(max(v, 0), rows - 1)
            if linear:
                i, j = min(math.floor(u), max(columns - 2, 0)), min(math.floor(v), max(rows - 2, 0))
                i1, j1 = min(i + 1, columns - 1), min(j + 1, rows - 1)
                a, b = u - i, v - j
                value = (1 - b) * ((1 - a) * plane[j, i] + a * plane[j, i1]) + b * ((1 - a) * plane[j1, i] + a * plane[j1, i1])
            else:
                value = plane[math.floor(v + 0.5), math.floor(u + 0.5)]
            grey = min(max((float(value) - low) / width * 255, 0), 255)
            level = 0 if math.isnan(float(value)) else math.floor(grey + 0.5)
            out[y, x] = 0xFF000000 | level << 16 | level << 8 | level
    return out


def sample_volume(volume, start, step_x, step_y, shape):
    """Trilinear samples on a plane; NaN outside."""
    out = np.full(shape, np.nan, np.float32)
    top = np.array(volume.shape[::-1]) - 1
    for y in range(shape[0]):
        for x in range(shape[1]):
            p = np.asarray(start) + x * np.asarray(step_x) + y * np.asarray(step_y)
            if (p < 0).any() or (p > top).any():
                continue
            base = np.minimum(np.floor(p).astype(int), np.maximum(top - 1, 0))
            f = p - base
            total = 0.0
            for corner in np.ndindex(2, 2, 2):
                index = np.minimum(base + corner, top)
                weight = np.prod(np.where(corner, f, 1 - f))
                total += weight * volume[index[2], index[1], index[0]]
            out[y, x] = total
    return out


def colour_wash(field, table, low, high, opacity):
    """Premultiplied colours above ``low``."""
    out = np.zeros(field.shape, np.uint32)
    alpha = int(opacity * 255 + 0.5)
    for place, value in np.ndenumerate(field):
        if value >= low:
            n = min(int((float(value) - low) / (high - low) * (len(table) - 1) + 0.5), len(table) - 1)
            r, g, b = (int(c) * alpha // 255 for c in table[n])
            out[place] = alpha << 24 | r << 16 | g << 8 | b
    return out


def hatch_uncovered(field, plane, u0, du, v0, dv, lethal, period, colour):
    """(picture, number of uncovered pixels)."""
    out = np.zeros(field.shape, np.uint32)
    count = 0
    for (y, x), value in np.ndenumerate(field):
        u, v = math.floor(u0 + x * du + 0.5), math.floor(v0 + y * dv + 0.5)
        inside = 0 <= v < plane.shape[0] and 0 <= u < plane.shape[1] and plane[v, u]
        if inside and not value >= lethal:
            count += 1
            if (x + y) % period < max(1, period // 4):
                out[y, x] = colour
    return out, count
