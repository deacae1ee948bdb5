"""Kernels that find the tissue of one reference picture again in every frame of a loop.

Frames are ``[frame, row, column]``; places are ``(x, y)`` in pixels from the middle of the first one.
Each parallel loop runs over frames, one frame a thread. Flattened pictures are int16 in steps of
1 / ``STEPS`` of a grey level. Slow twins stand in the tests.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

STEPS = 32


@njit(cache=True, nogil=True, parallel=True)
def shrink(frames, factor, out):
    """Mean of ``factor`` x ``factor`` pixels of each uint8 frame into ``out`` (float32 ``[frame, row // factor, column // factor]``)."""
    rows, columns = out.shape[1], out.shape[2]
    scale = 1.0 / (factor * factor)
    for f in prange(frames.shape[0]):
        sums = np.empty(columns * factor, np.int32)
        for r in range(rows):
            sums[:] = 0
            for a in range(factor):
                for x in range(columns * factor):
                    sums[x] += frames[f, r * factor + a, x]
            for c in range(columns):
                total = 0
                for b in range(factor):
                    total += sums[c * factor + b]
                out[f, r, c] = total * scale


@njit(cache=True, nogil=True)
def _running_mean(picture, live, rx, ry, out):
    # Mean of the live pixels within +-rx, +-ry of each pixel; 0 where there are none.
    rows, columns = picture.shape
    sums = np.zeros(columns, np.float64)
    counts = np.zeros(columns, np.int64)
    for r in range(-ry, rows):
        enters, leaves = r + ry, r - ry - 1
        if 0 <= enters < rows:
            for c in range(columns):
                if live[enters, c]:
                    sums[c] += picture[enters, c]
                    counts[c] += 1
        if leaves >= 0:
            for c in range(columns):
                if live[leaves, c]:
                    sums[c] -= picture[leaves, c]
                    counts[c] -= 1
        if r < 0:
            continue
        total, number = 0.0, 0
        for c in range(-rx, columns):
            if 0 <= c + rx < columns:
                total += sums[c + rx]
                number += counts[c + rx]
            if c - rx - 1 >= 0:
                total -= sums[c - rx - 1]
                number -= counts[c - rx - 1]
            if c >= 0:
                out[r, c] = total / number if number > 0 else 0.0


@njit(cache=True, nogil=True, parallel=True)
def flatten(pictures, live, rx, ry, out):
    """``pictures`` (float32) less their mean over the ``live`` pixels (bool ``[row, column]``) within ``+-rx, +-ry``,
    times ``STEPS``, into ``out`` (int16); 0 where not live."""
    rows, columns = live.shape
    for f in prange(pictures.shape[0]):
        mean = np.empty((rows, columns), np.float32)
        _running_mean(pictures[f], live, rx, ry, mean)
        for r in range(rows):
            for c in range(columns):
                out[f, r, c] = np.int16(np.rint((pictures[f, r, c] - mean[r, c]) * STEPS)) if live[r, c] else np.int16(0)


@njit(cache=True, nogil=True, parallel=True)
def coarsen(pictures, weights, factor, out):
    """Flattened ``pictures`` (int16) on a grid ``factor`` times coarser, into ``out`` (int16).

    ``weights`` (float32, an odd or even number symmetric about the middle of a group of ``factor`` pixels) weigh
    the pixels around each group along a row and down a column; wider than the group, so that the coarse
    picture can be shifted by parts of its pixels without much loss. Beyond the picture counts as 0, its mean.
    """
    source_rows, source_columns = pictures.shape[1], pictures.shape[2]
    rows, columns = out.shape[1], out.shape[2]
    taps = weights.size
    first = -((taps - factor) // 2)
    for f in prange(pictures.shape[0]):
        line = np.empty(source_columns, np.float32)
        for r in range(rows):
            line[:] = 0
            for a in range(taps):
                y = r * factor + first + a
                if 0 <= y < source_rows:
                    for x in range(source_columns):
                        line[x] += weights[a] * pictures[f, y, x]
            for c in range(columns):
                total = np.float32(0.0)
                for a in range(taps):
                    x = c * factor + first + a
                    if 0 <= x < source_columns:
                        total += weights[a] * line[x]
                out[f, r, c] = np.int16(np.rint(total))


@njit(cache=True, nogil=True, parallel=True)
def best_shifts(numerator, energy, template_energy, least_energy, reach_x, reach_y, places, scores):
    """The best whole-pixel shifts by normalised correlation.

    ``numerator[f, dy, dx]`` (cyclic), ``energy[f, dy, dx]`` (of the frame under the template) and
    ``template_energy[dy, dx]`` (of the template inside the live picture), float32, give the score
    ``n / sqrt(e * t)``; shifts with less than ``least_energy`` of the template inside are left out.
    Fills ``places[f, k, (x, y)]`` with the ``k`` best that lie 3 or more pixels apart, and ``scores[f, k]``
    (-2 where there is no further one).
    """
    rows, columns = template_energy.shape
    height, width = 2 * reach_y + 1, 2 * reach_x + 1
    for f in prange(numerator.shape[0]):
        score = np.full((height, width), np.float32(-2.0), np.float32)
        for j in range(height):
            y = (j - reach_y) % rows
            for i in range(width):
                x = (i - reach_x) % columns
                t, e = template_energy[y, x], energy[f, y, x]
                if t >= least_energy and e > 1e-4 * t:
                    score[j, i] = numerator[f, y, x] / np.sqrt(np.float64(e) * t)
        for k in range(places.shape[1]):
            best, bj, bi = np.float32(-2.0), reach_y, reach_x
            for j in range(height):
                for i in range(width):
                    if score[j, i] > best:
                        best, bj, bi = score[j, i], j, i
            places[f, k, 0], places[f, k, 1], scores[f, k] = bi - reach_x, bj - reach_y, best
            for j in range(max(0, bj - 2), min(height, bj + 3)):
                for i in range(max(0, bi - 2), min(width, bi + 3)):
                    score[j, i] = -2.0


@njit(cache=True, nogil=True)
def _solve3(h, b, out):
    # Symmetric 3 x 3 (h: 00 01 02 11 12 22) by Cramer's rule; False where it is singular.
    m00, m01, m02 = h[3] * h[5] - h[4] * h[4], h[2] * h[4] - h[1] * h[5], h[1] * h[4] - h[2] * h[3]
    det = h[0] * m00 + h[1] * m01 + h[2] * m02
    if not det > 1e-9 * h[0] * h[3] * h[5]:
        return False
    m11, m12, m22 = h[0] * h[5] - h[2] * h[2], h[1] * h[2] - h[0] * h[4], h[0] * h[3] - h[1] * h[1]
    out[0] = (m00 * b[0] + m01 * b[1] + m02 * b[2]) / det
    out[1] = (m01 * b[0] + m11 * b[1] + m12 * b[2]) / det
    out[2] = (m02 * b[0] + m12 * b[1] + m22 * b[2]) / det
    return True


@njit(cache=True, nogil=True, fastmath=True)
def _look(frame, live, us, vs, values, slopes, to_x, to_y, transform, sums):
    # The frame seen through the transform at the points of the template. Sums over the points inside:
    # 0 n, 1 f, 2 ff, 3 ft, 4 t, 5 tt, 6-8 f * slopes, 9-11 slopes, 12-14 t * slopes
    rows, columns = frame.shape
    cos, sin, tu, tv = np.cos(transform[0]), np.sin(transform[0]), transform[1], transform[2]
    # All of it in one affine map from mm of the template to pixels of the frame.
    xu, xv, x0 = np.float32(cos * to_x[0]), np.float32(-sin * to_x[0]), np.float32(tu * to_x[0] + to_x[1])
    yu, yv, y0 = np.float32(sin * to_y[0]), np.float32(cos * to_y[0]), np.float32(tv * to_y[0] + to_y[1])
    n, s_f, s_ff, s_ft, s_t, s_tt = 0, 0.0, 0.0, 0.0, 0.0, 0.0
    f0, f1, f2, j0, j1, j2, t0, t1, t2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for p in range(us.size):
        x = xu * us[p] + xv * vs[p] + x0
        y = yu * us[p] + yv * vs[p] + y0
        if x < 0 or y < 0 or x >= columns - 1 or y >= rows - 1:
            continue
        i, j = int(x), int(y)
        if not live[j, i]:
            continue
        dx, dy = x - np.float32(i), y - np.float32(j)
        a0, a1, b0, b1 = np.float32(frame[j, i]), np.float32(frame[j, i + 1]), np.float32(frame[j + 1, i]), np.float32(frame[j + 1, i + 1])
        top = a0 + dx * (a1 - a0)
        f = top + dy * (b0 + dx * (b1 - b0) - top)
        t = values[p]
        a, b, c = slopes[p, 0], slopes[p, 1], slopes[p, 2]
        n += 1
        s_f += f
        s_ff += f * f
        s_ft += f * t
        s_t += t
        s_tt += t * t
        f0 += f * a
        f1 += f * b
        f2 += f * c
        j0 += a
        j1 += b
        j2 += c
        t0 += t * a
        t1 += t * b
        t2 += t * c
    sums[0], sums[1], sums[2], sums[3], sums[4], sums[5] = n, s_f, s_ff, s_ft, s_t, s_tt
    sums[6], sums[7], sums[8], sums[9], sums[10], sums[11] = f0, f1, f2, j0, j1, j2
    sums[12], sums[13], sums[14] = t0, t1, t2


@njit(cache=True, nogil=True)
def _likeness(sums):
    n = sums[0]
    if n < 16:
        return -2.0
    ff, tt = sums[2] - sums[1] * sums[1] / n, sums[5] - sums[4] * sums[4] / n
    if ff <= 0.0 or tt <= 0.0:
        return -2.0
    return (sums[3] - sums[1] * sums[4] / n) / np.sqrt(ff * tt)


@njit(cache=True, nogil=True, parallel=True)
def align(frames, live, us, vs, values, slopes, products, to_x, to_y, radius_mm, limit_mm, steps, starts, ends, likeness, share, strength):
    """Rigid alignment of one template to each frame: inverse compositional Gauss-Newton on the normalised
    difference (Baker and Matthews, Int J Comput Vis 2004;56:221), blind to brightness and contrast.

    The template is a list of points: ``us, vs`` (mm from the turning point), ``values``, ``slopes[point, 3]``
    (change of the value with a shift along u, along v, per mm, and with a turn, per radian), all float32, and
    ``products`` (float64 ``[6]``: sums of products of slopes 00 01 02 11 12 22). A transform is
    ``(turn, tu, tv)``: a point lies at ``R(turn) (u, v) + (tu, tv)`` mm, which is pixel ``x = mm * to_x[0] + to_x[1]``
    of the frame, y alike. Points that fall beyond the frame or on a pixel that is not ``live`` take no part.

    ``starts[f, k, 3]`` are the places to start from (NaN: none); the end with the highest correlation is kept in
    ``ends[f, 3]``, ``likeness[f]`` (-1 to 1; -2: none), ``share[f]`` (of points inside, 0 to 1) and ``strength[f]`` (scatter of the frame there over that
    of the template). A run ends after ``steps``
    steps, when none of the points (``radius_mm``: the farthest) moves by ``limit_mm`` any more, or when the likeness
    falls twice.
    """
    for f in prange(frames.shape[0]):
        sums, step, b, h = np.empty(15), np.empty(3), np.empty(3), np.empty(6)
        now = np.empty(3)
        likeness[f], share[f], strength[f] = -2.0, 0.0, 1.0
        for m in range(3):
            ends[f, m] = starts[f, 0, m]
        for k in range(starts.shape[1]):
            if np.isnan(starts[f, k, 0]):
                continue
            for m in range(3):
                now[m] = starts[f, k, m]
            run_best, falls, arrived = -2.0, 0, False
            for s in range(steps + 1):
                _look(frames[f], live, us, vs, values, slopes, to_x, to_y, now, sums)
                like = _likeness(sums)
                if like > likeness[f]:
                    likeness[f], share[f] = like, sums[0] / us.size
                    strength[f] = np.sqrt((sums[2] - sums[1] * sums[1] / sums[0]) / (sums[5] - sums[4] * sums[4] / sums[0]))
                    for m in range(3):
                        ends[f, m] = now[m]
                if like > run_best:
                    run_best, falls = like, 0
                else:
                    falls += 1
                if like <= -2.0 or falls > 1 or arrived or s == steps:
                    break
                n = sums[0]
                mean_f, mean_t = sums[1] / n, sums[4] / n
                gain = np.sqrt((sums[5] - n * mean_t * mean_t) / (sums[2] - n * mean_f * mean_f))
                for m in range(3):
                    b[m] = gain * (sums[6 + m] - mean_f * sums[9 + m]) - (sums[12 + m] - mean_t * sums[9 + m])
                for m in range(6):
                    h[m] = products[m] * n / us.size
                if not _solve3(h, b, step):
                    break
                # The transform after the inverse of the small step.
                now[0] -= step[2]
                cos, sin = np.cos(now[0]), np.sin(now[0])
                now[1] -= cos * step[0] - sin * step[1]
                now[2] -= sin * step[0] + cos * step[1]
                arrived = abs(step[2]) * radius_mm + np.sqrt(step[0] * step[0] + step[1] * step[1]) < limit_mm


@njit(cache=True, nogil=True, parallel=True)
def add_frames(frames, live, matrices, totals, counts):
    """Add flattened ``frames`` (int16), each seen through its ``matrices[f, 2, 3]`` (reference pixel to frame pixel),
    to ``totals`` and ``counts`` (float32 ``[row, column]`` of the reference). Runs over rows in parallel."""
    rows, columns = totals.shape
    for r in prange(rows):
        for f in range(frames.shape[0]):
            m = matrices[f]
            for c in range(columns):
                x = m[0, 0] * c + m[0, 1] * r + m[0, 2]
                y = m[1, 0] * c + m[1, 1] * r + m[1, 2]
                if not (x >= 0 and y >= 0 and x < columns - 1 and y < rows - 1):
                    continue
                i, j = int(x), int(y)
                if not live[j, i]:
                    continue
                dx, dy = x - i, y - j
                top = frames[f, j, i] + dx * (frames[f, j, i + 1] - frames[f, j, i])
                low = frames[f, j + 1, i] + dx * (frames[f, j + 1, i + 1] - frames[f, j + 1, i])
                totals[r, c] += top + dy * (low - top)
                counts[r, c] += 1


@njit(cache=True, nogil=True, parallel=True)
def likeness_through(frames, live, xs, ys, values, matrices, fields, span, likeness):
    """Correlation (-1 to 1; -2: too few points inside) of a template's points with each frame, seen through a matrix and a field.

    ``xs, ys, values`` (float32) are the points in pixels of the template; ``fields[f, gr, gc, 2]`` is added to the place in the frame, in
    its pixels, bilinear between nodes that are spread evenly from ``span[0]`` to ``span[1]`` along x and from ``span[2]`` to ``span[3]``
    along y.
    """
    rows, columns = frames.shape[1], frames.shape[2]
    gr, gc = fields.shape[1], fields.shape[2]
    for f in prange(frames.shape[0]):
        sums = np.zeros(6)
        m = matrices[f]
        for p in range(xs.size):
            gx = min(max((xs[p] - span[0]) * (gc - 1) / (span[1] - span[0]), 0.0), gc - 1.0)
            gy = min(max((ys[p] - span[2]) * (gr - 1) / (span[3] - span[2]), 0.0), gr - 1.0)
            i, j = min(int(gx), gc - 2), min(int(gy), gr - 2)
            fx, fy = gx - i, gy - j
            x = m[0, 0] * xs[p] + m[0, 1] * ys[p] + m[0, 2]
            y = m[1, 0] * xs[p] + m[1, 1] * ys[p] + m[1, 2]
            x += (fields[f, j, i, 0] * (1 - fx) + fields[f, j, i + 1, 0] * fx) * (1 - fy)
            x += (fields[f, j + 1, i, 0] * (1 - fx) + fields[f, j + 1, i + 1, 0] * fx) * fy
            y += (fields[f, j, i, 1] * (1 - fx) + fields[f, j, i + 1, 1] * fx) * (1 - fy)
            y += (fields[f, j + 1, i, 1] * (1 - fx) + fields[f, j + 1, i + 1, 1] * fx) * fy
            if not (x >= 0 and y >= 0 and x < columns - 1 and y < rows - 1):
                continue
            a, b = int(x), int(y)
            if not live[b, a]:
                continue
            dx, dy = x - a, y - b
            top = frames[f, b, a] + dx * (frames[f, b, a + 1] - frames[f, b, a])
            low = frames[f, b + 1, a] + dx * (frames[f, b + 1, a + 1] - frames[f, b + 1, a])
            v = top + dy * (low - top)
            sums[0] += 1
            sums[1] += v
            sums[2] += v * v
            sums[3] += v * values[p]
            sums[4] += values[p]
            sums[5] += values[p] * values[p]
        likeness[f] = _likeness(sums)


@njit(cache=True, nogil=True)
def _parabola(before, here, after):
    bend = before - 2.0 * here + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0


@njit(cache=True, nogil=True, parallel=True)
def block_shifts(frames, template, matrices, centres, half_x, half_y, reach, out):
    """Where small blocks of ``template`` (float32 ``[row, column]``) lie in each of ``frames`` (int16), beyond ``matrices``.

    Block ``b`` is ``+-half_x, +-half_y`` pixels around ``centres[b]`` (int ``(x, y)``) of the template. The frame is seen
    through its matrix on a window that is ``reach`` pixels wider, and the block's place is the peak of the
    normalised correlation there, refined by a parabola along each axis. ``out[f, b]`` (float32) is ``(dx, dy, score)`` in the
    template's axes; a window that leaves the frame, or a peak at the window's rim, scores -2.
    """
    rows, columns = template.shape
    frame_rows, frame_columns = frames.shape[1], frames.shape[2]
    width, height, side = 2 * half_x + 1, 2 * half_y + 1, 2 * reach + 1
    for f in prange(frames.shape[0]):
        window = np.empty((height + 2 * reach, width + 2 * reach), np.float32)
        block = np.empty((height, width), np.float32)
        score = np.empty((side, side))
        m = matrices[f]
        for b in range(centres.shape[0]):
            out[f, b, 0], out[f, b, 1], out[f, b, 2] = 0.0, 0.0, -2.0
            cx, cy = centres[b, 0], centres[b, 1]
            if cx < half_x or cy < half_y or cx + half_x >= columns or cy + half_y >= rows:
                continue
            inside = True
            for j in range(window.shape[0]):
                for i in range(window.shape[1]):
                    px, py = cx - half_x - reach + i, cy - half_y - reach + j
                    x = m[0, 0] * px + m[0, 1] * py + m[0, 2]
                    y = m[1, 0] * px + m[1, 1] * py + m[1, 2]
                    if not (x >= 0 and y >= 0 and x < frame_columns - 1 and y < frame_rows - 1):
                        inside = False
                        break
                    xi, yi = int(x), int(y)
                    dx, dy = x - xi, y - yi
                    top = frames[f, yi, xi] + dx * (frames[f, yi, xi + 1] - frames[f, yi, xi])
                    low = frames[f, yi + 1, xi] + dx * (frames[f, yi + 1, xi + 1] - frames[f, yi + 1, xi])
                    window[j, i] = top + dy * (low - top)
                if not inside:
                    break
            if not inside:
                continue
            mean = 0.0
            for j in range(height):
                for i in range(width):
                    mean += template[cy - half_y + j, cx - half_x + i]
            mean /= height * width
            own = 0.0
            for j in range(height):
                for i in range(width):
                    block[j, i] = template[cy - half_y + j, cx - half_x + i] - mean
                    own += block[j, i] * block[j, i]
            best, bj, bi = -2.0, 0, 0
            for sj in range(side):
                for si in range(side):
                    total, squares, both = np.float32(0.0), np.float32(0.0), np.float32(0.0)
                    for j in range(height):
                        for i in range(width):
                            w = window[sj + j, si + i]
                            total += w
                            squares += w * w
                            both += w * block[j, i]
                    left = squares - total * total / (height * width)
                    score[sj, si] = both / np.sqrt(left * own) if left > 0 and own > 0 else -2.0
                    if score[sj, si] > best:
                        best, bj, bi = score[sj, si], sj, si
            if best <= -2.0 or bj == 0 or bi == 0 or bj == side - 1 or bi == side - 1:
                continue
            out[f, b, 0] = bi - reach + _parabola(score[bj, bi - 1], best, score[bj, bi + 1])
            out[f, b, 1] = bj - reach + _parabola(score[bj - 1, bi], best, score[bj + 1, bi])
            out[f, b, 2] = best
