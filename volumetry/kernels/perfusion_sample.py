"""Echo power read from the grey levels of a moving pane: sums over a region, and rows of pixels over time.

The frames stay grey levels (uint8 ``[frame, row, column]``) with a table of what each is worth; a value
between pixels is the bilinear mean of powers, which keeps averages what they are. A pixel ``(x, y)`` of the
reference frame lies at ``matrix (x, y, 1)`` plus the field's displacement in the frame. A place is missing
where it leaves the pane or touches a drawn pixel.
"""

from __future__ import annotations

from numba import njit


@njit(cache=True, nogil=True, inline="always", error_model="numpy")
def place_in_frame(matrices, field, has_field, k, x, y, rows, columns):
    """Where reference pixel (x, y) lies in frame ``k``; the field's nodes ``[frame, gr, gc, 2]`` go corner to corner."""
    u = matrices[k, 0, 0] * x + matrices[k, 0, 1] * y + matrices[k, 0, 2]
    v = matrices[k, 1, 0] * x + matrices[k, 1, 1] * y + matrices[k, 1, 2]
    if has_field:
        gr, gc = field.shape[1], field.shape[2]
        a = x * (gc - 1.0) / max(columns - 1, 1)
        b = y * (gr - 1.0) / max(rows - 1, 1)
        i, j = min(int(a), max(gc - 2, 0)), min(int(b), max(gr - 2, 0))
        i1, j1 = min(i + 1, gc - 1), min(j + 1, gr - 1)
        fa, fb = a - i, b - j
        u += (field[k, j, i, 0] * (1 - fa) + field[k, j, i1, 0] * fa) * (1 - fb) + (field[k, j1, i, 0] * (1 - fa) + field[k, j1, i1, 0] * fa) * fb
        v += (field[k, j, i, 1] * (1 - fa) + field[k, j, i1, 1] * fa) * (1 - fb) + (field[k, j1, i, 1] * (1 - fa) + field[k, j1, i1, 1] * fa) * fb
    return u, v


@njit(cache=True, nogil=True, error_model="numpy")
def region_over_time(levels, table, frames, halves, matrices, field, has_field, drawn, has_drawn, ys, xs, sums, seen):
    """Sums over the region's pixels ``(ys, xs)`` in each of ``frames``, and over ``frames`` in each pixel.

    ``field`` and ``drawn`` (bool ``[row, column]``) are looked at where their ``has_`` is True.
    ``sums`` (frames, 5): pixels, sum of power, sum of its square, pixels that touch black, that touch white.
    ``halves`` (frames,) is 0 or 1; ``seen`` (pixels, 4) is added to: frames and sum of power of each half, in each pixel.
    """
    rows, columns = levels.shape[1], levels.shape[2]
    for n in range(frames.size):
        k = frames[n]
        h = 2 * halves[n]
        count = black = white = 0
        total = squares = 0.0
        for q in range(ys.size):
            u, v = place_in_frame(matrices, field, has_field, k, xs[q], ys[q], rows, columns)
            if not (u >= 0.0 and v >= 0.0 and u <= columns - 1 and v <= rows - 1):
                continue
            i, j = int(u), int(v)
            i1, j1 = min(i + 1, columns - 1), min(j + 1, rows - 1)
            if has_drawn and (drawn[j, i] or drawn[j, i1] or drawn[j1, i] or drawn[j1, i1]):
                continue
            fu, fv = u - i, v - j
            a, b, c, d = levels[k, j, i], levels[k, j, i1], levels[k, j1, i], levels[k, j1, i1]
            power = (table[a] * (1 - fu) + table[b] * fu) * (1 - fv) + (table[c] * (1 - fu) + table[d] * fu) * fv
            near = (d if fv >= 0.5 else b) if fu >= 0.5 else (c if fv >= 0.5 else a)
            count += 1
            total += power
            squares += power * power
            black += near == 0
            white += near == 255
            seen[q, h] += 1.0
            seen[q, h + 1] += power
        sums[n, 0], sums[n, 1], sums[n, 2], sums[n, 3], sums[n, 4] = count, total, squares, black, white
