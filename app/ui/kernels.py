"""Kernels that paint slices: serial on purpose, because a parallel loop waits for busy cores longer
than a slice takes. They import NumPy and Numba only and have slow twins in the tests. Their types are
written out, so importing this module compiles them (or loads them from the cache) once, away from
the first mouse move.

Planes are ``[v, u]`` = rows, columns of a slice; output pixel ``(y, x)`` looks at the plane's index
``(v0 + y * dv, u0 + x * du)``. Colours are 32 bit ``0xAARRGGBB``, premultiplied where transparent.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

OPAQUE = 0xFF000000


def _plane(dtype):
    # One compiled form for every way of cutting the volume: any strides, read-only.
    return types.Array(dtype, 2, "A", readonly=True)


_PICTURE = types.Array(types.uint32, 2, "C")
_F32 = types.Array(types.float32, 2, "C")
_F64 = types.Array(types.float64, 1, "C")
_GREY_ARGUMENTS = (types.float64,) * 4 + (types.float64, types.float64, types.boolean, types.uint32, _PICTURE)


@njit([types.void(_plane(d), *_GREY_ARGUMENTS) for d in (types.int16, types.float32, types.uint8)], cache=True, nogil=True)
def paint_grey(plane, u0, du, v0, dv, low, width, linear, outside, out):
    """Fill ``out`` (uint32 [y, x]) with the plane in grey: ``low`` is black, ``low + width`` white.

    ``linear`` blends the four neighbours, else the nearest is taken. Pixels beyond the outer voxel
    faces get ``outside``.
    """
    rows, columns = plane.shape
    height, span = out.shape
    gain = 255.0 / width
    for y in range(height):
        v = v0 + y * dv
        if v < -0.5 or v > rows - 0.5:
            for x in range(span):
                out[y, x] = outside
            continue
        vc = min(max(v, 0.0), rows - 1.0)
        j0 = min(int(vc), max(rows - 2, 0))
        j1 = min(j0 + 1, rows - 1)
        fv = vc - j0
        jn = int(vc + 0.5)
        for x in range(span):
            u = u0 + x * du
            if u < -0.5 or u > columns - 0.5:
                out[y, x] = outside
                continue
            uc = min(max(u, 0.0), columns - 1.0)
            if linear:
                i0 = min(int(uc), max(columns - 2, 0))
                i1 = min(i0 + 1, columns - 1)
                fu = uc - i0
                top = plane[j0, i0] * (1.0 - fu) + plane[j0, i1] * fu
                bottom = plane[j1, i0] * (1.0 - fu) + plane[j1, i1] * fu
                value = top * (1.0 - fv) + bottom * fv
            else:
                value = float(plane[jn, int(uc + 0.5)])
            grey = (value - low) * gain
            if not grey > 0.0:  # also where the value is not a number
                g = 0
            elif grey > 255.0:
                g = 255
            else:
                g = int(grey + 0.5)
            out[y, x] = np.uint32(0xFF000000 | (g << 16) | (g << 8) | g)


@njit([types.void(types.Array(types.float32, 3, "C", readonly=True), _F64, _F64, _F64, _F32)], cache=True, nogil=True)
def sample_volume(volume, start, step_x, step_y, out):
    """Trilinear samples of ``volume`` (float32 [k, j, i]) on a plane of index points.

    ``out[y, x]`` is the value at ``start + x * step_x + y * step_y``, each (i, j, k); NaN outside
    the voxel centres' box.
    """
    nk, nj, ni = volume.shape
    height, width = out.shape
    for y in range(height):
        for x in range(width):
            i = start[0] + x * step_x[0] + y * step_y[0]
            j = start[1] + x * step_x[1] + y * step_y[1]
            k = start[2] + x * step_x[2] + y * step_y[2]
            if i < 0.0 or j < 0.0 or k < 0.0 or i > ni - 1 or j > nj - 1 or k > nk - 1:
                out[y, x] = np.nan
                continue
            i0, j0, k0 = min(int(i), max(ni - 2, 0)), min(int(j), max(nj - 2, 0)), min(int(k), max(nk - 2, 0))
            i1, j1, k1 = min(i0 + 1, ni - 1), min(j0 + 1, nj - 1), min(k0 + 1, nk - 1)
            fi, fj, fk = i - i0, j - j0, k - k0
            low = (volume[k0, j0, i0] * (1 - fi) + volume[k0, j0, i1] * fi) * (1 - fj) + (volume[k0, j1, i0] * (1 - fi) + volume[k0, j1, i1] * fi) * fj
            high = (volume[k1, j0, i0] * (1 - fi) + volume[k1, j0, i1] * fi) * (1 - fj) + (volume[k1, j1, i0] * (1 - fi) + volume[k1, j1, i1] * fi) * fj
            out[y, x] = low * (1 - fk) + high * fk


@njit([types.void(_F32, types.Array(types.uint8, 2, "C"), types.float64, types.float64, types.float64, _PICTURE)], cache=True, nogil=True)
def colour_wash(field, table, low, high, opacity, out):
    """Colour ``field`` (float32 [y, x]) by ``table`` (uint8 (n, 3)) over ``low .. high`` into
    premultiplied ``out``; nothing is painted below ``low`` or where there is no value."""
    height, width = field.shape
    last = table.shape[0] - 1
    alpha = int(opacity * 255.0 + 0.5)
    for y in range(height):
        for x in range(width):
            value = field[y, x]
            if not value >= low:
                out[y, x] = 0
                continue
            n = min(int((value - low) / (high - low) * last + 0.5), last)
            r = table[n, 0] * alpha // 255
            g = table[n, 1] * alpha // 255
            b = table[n, 2] * alpha // 255
            out[y, x] = np.uint32((alpha << 24) | (r << 16) | (g << 8) | b)


@njit([types.int64(_F32, _plane(types.uint8), *(types.float64,) * 5, types.int64, types.uint32, _PICTURE)], cache=True, nogil=True)
def hatch_uncovered(field, plane, u0, du, v0, dv, lethal, period, colour, out):
    """Stripe the pixels that lie in the target (``plane`` uint8 [v, u], non-zero) while ``field``
    is below ``lethal`` or has no value. Returns the number of such pixels."""
    rows, columns = plane.shape
    height, width = out.shape
    count = 0
    for y in range(height):
        v = int(np.floor(v0 + y * dv + 0.5))
        for x in range(width):
            out[y, x] = 0
            u = int(np.floor(u0 + x * du + 0.5))
            if v < 0 or u < 0 or v >= rows or u >= columns or plane[v, u] == 0:
                continue
            if not field[y, x] >= lethal:
                count += 1
                if (x + y) % period < max(1, period // 4):
                    out[y, x] = colour
    return count


@njit([types.int64(_F32, types.float64, types.Array(types.float64, 2, "C"))], cache=True, nogil=True)
def iso_segments(grid, level, out):
    """Marching squares: segments of the line ``grid = level`` on ``grid`` (float32 [v, u]).

    Writes ``(u0, v0, u1, v1)`` rows into ``out`` and returns how many there are, which may be more
    than ``out`` holds (then ask again with room). Cells that touch NaN are left out; a saddle is
    split by the mean of its corners.
    """
    rows, columns = grid.shape
    count = 0
    points = np.empty((4, 2))
    for v in range(rows - 1):
        for u in range(columns - 1):
            a, b, c, d = grid[v, u], grid[v, u + 1], grid[v + 1, u + 1], grid[v + 1, u]
            if not (a == a and b == b and c == c and d == d):
                continue
            sa, sb, sc, sd = a >= level, b >= level, c >= level, d >= level
            if sa == sb and sb == sc and sc == sd:
                continue
            # Crossings of the cell's sides in the order top, right, bottom, left.
            n = 0
            if sa != sb:
                points[n, 0], points[n, 1] = u + (level - a) / (b - a), v
                n += 1
            if sb != sc:
                points[n, 0], points[n, 1] = u + 1, v + (level - b) / (c - b)
                n += 1
            if sd != sc:
                points[n, 0], points[n, 1] = u + (level - d) / (c - d), v + 1
                n += 1
            if sa != sd:
                points[n, 0], points[n, 1] = u, v + (level - a) / (d - a)
                n += 1
            if n == 2:
                if count < out.shape[0]:
                    out[count, 0], out[count, 1], out[count, 2], out[count, 3] = points[0, 0], points[0, 1], points[1, 0], points[1, 1]
                count += 1
            else:
                # Saddle: the middle joins the two corners of its own side.
                joined = ((a + b + c + d) / 4.0 >= level) == sa
                for m in range(2):
                    if joined:
                        p, q = (0, 1) if m == 0 else (2, 3)
                    else:
                        p, q = (0, 3) if m == 0 else (1, 2)
                    if count < out.shape[0]:
                        out[count, 0], out[count, 1], out[count, 2], out[count, 3] = points[p, 0], points[p, 1], points[q, 0], points[q, 1]
                    count += 1
    return count


def contour_segments(grid: np.ndarray, level: float) -> np.ndarray:
    """Segments ``(n, 4)`` as ``(u0, v0, u1, v1)`` of the iso-line of ``grid`` at ``level``."""
    grid = np.ascontiguousarray(grid, dtype=np.float32)
    out = np.empty((4 * sum(grid.shape) + 64, 4))
    count = iso_segments(grid, level, out)
    if count > len(out):
        out = np.empty((count, 4))
        count = iso_segments(grid, level, out)
    return out[:count]


def paintable(array: np.ndarray) -> np.ndarray:
    """The array itself where a kernel takes its type, else a float32 copy."""
    if array.dtype in (np.int16, np.float32, np.uint8):
        return array
    return array.astype(np.float32)
