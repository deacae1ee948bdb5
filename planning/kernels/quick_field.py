"""Kernels of the optimiser's quick model: needles as uniform line sources in one tissue.

Parallel needles only. Point sets are ``(3, m)`` LPS millimetres; strengths come as V/cm per volt of a pair.
Every needle is one line of even current over its exposed metal, whose field is closed; a pair's current
follows from the mean potentials on the two metals (Galerkin with one element a needle); needles that are
not of the pair are left out. On the reference rows the current is 3 % low and the field between the needles
4 % high. Each candidate is computed by itself, so the answer does not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

V_PER_MM = 10.0  # in V/cm
VIOLATION, SHORTFALL, UNCOVERED, RISK_ML, RISK_MEAN, COLLATERAL_ML, PAIRS, CURRENT_A, LOWEST = range(9)
FIGURES = 9


@njit(cache=True, nogil=True)
def line_field(points, tip, direction, length, out):
    """Field of a line source from ``tip`` over ``length`` along ``direction``: ``out[3, m]`` in 1/mm², to be
    multiplied by I / (4 pi sigma). The potential of an even line is ln((r1 + r2 + L) / (r1 + r2 - L)) / L."""
    ex, ey, ez = tip[0] + length * direction[0], tip[1] + length * direction[1], tip[2] + length * direction[2]
    for m in range(points.shape[1]):
        ax, ay, az = points[0, m] - tip[0], points[1, m] - tip[1], points[2, m] - tip[2]
        bx, by, bz = points[0, m] - ex, points[1, m] - ey, points[2, m] - ez
        ra = np.sqrt(ax * ax + ay * ay + az * az) + 1e-9
        rb = np.sqrt(bx * bx + by * by + bz * bz) + 1e-9
        s = ra + rb
        w = 2.0 / max(s * s - length * length, 1e-3)
        out[0, m] = w * (ax / ra + bx / rb)
        out[1, m] = w * (ay / ra + by / rb)
        out[2, m] = w * (az / ra + bz / rb)


@njit(cache=True, nogil=True)
def _twice(x, d):
    return x * np.arcsinh(x / d) - np.sqrt(x * x + d * d)


@njit(cache=True, nogil=True)
def mean_potential(la, lb, shift, distance):
    """Mean of 1/r over two parallel lines (1/mm): lengths ``la`` and ``lb``, the second's start ``shift`` further
    along, ``distance`` apart (for a needle with itself: its radius)."""
    total = _twice(shift + lb, distance) - _twice(shift + lb - la, distance) + _twice(shift - la, distance) - _twice(shift, distance)
    return total / (la * lb)


@njit(cache=True, nogil=True)
def path_gap(points, tip, direction, reach):
    """Smallest distance (mm) of ``(3, m)`` points to the axis from ``tip`` over ``reach``; infinity for no points."""
    best = np.inf
    for m in range(points.shape[1]):
        x, y, z = points[0, m] - tip[0], points[1, m] - tip[1], points[2, m] - tip[2]
        t = min(max(x * direction[0] + y * direction[1] + z * direction[2], 0.0), reach)
        x, y, z = x - t * direction[0], y - t * direction[1], z - t * direction[2]
        best = min(best, x * x + y * y + z * z)
    return np.sqrt(best)


@njit(cache=True, nogil=True)
def strongest(unit, volts, out):
    """Largest of ``volts[p] * unit[p, m]`` over the pairs into ``out[m]``."""
    out[:] = 0.0
    for p in range(unit.shape[0]):
        v = volts[p]
        if v > 0.0:
            for m in range(unit.shape[1]):
                out[m] = max(out[m], v * unit[p, m])


@njit(cache=True, nogil=True)
def least_voltages(unit, cap, least, goal, order, sweeps, volts, others):
    """Lower one pair after the other to the least voltage that keeps every point of ``unit[p, m]`` (V/cm per V) at
    ``goal`` with the others as they are, or to 0 where the others suffice. ``volts`` is changed in place and
    begins at a choice that covers; points that it leaves below the goal are not asked for."""
    strongest(unit, volts, others)
    asked = others >= goal
    for _ in range(sweeps):
        for n in range(order.size):
            p = order[n]
            if volts[p] <= 0.0:
                continue
            before = volts[p]
            volts[p] = 0.0
            strongest(unit, volts, others)
            needed = 0.0
            for m in range(unit.shape[1]):
                if asked[m] and others[m] < goal:
                    needed = max(needed, goal / max(unit[p, m], 1e-12))
            if needed > 0.0:
                volts[p] = min(max(needed, least), max(cap[p], before))


@njit(cache=True, nogil=True)
def pair_fields(points, factor, needles, direction, pairs, share, lines, unit):
    """|E| in V/cm per volt of each pair into ``unit[p, m]``: the closed form times ``factor[m]``. ``share[p]`` is 4 pi sigma
    over the pair's current per volt, upside down: 1 / (Qaa + Qcc - 2 Qac)."""
    for n in range(needles.shape[0]):
        line_field(points, needles[n, :3], direction, needles[n, 3], lines[n])
    for p in range(pairs.shape[0]):
        a, b = pairs[p, 0], pairs[p, 1]
        k = V_PER_MM * share[p]
        if k <= 0.0:
            unit[p, :] = 0.0
            continue
        for m in range(points.shape[1]):
            x, y, z = lines[a, 0, m] - lines[b, 0, m], lines[a, 1, m] - lines[b, 1, m], lines[a, 2, m] - lines[b, 2, m]
            unit[p, m] = k * factor[m] * np.sqrt(x * x + y * y + z * z)


@njit(cache=True, nogil=True)
def pair_shares(needles, direction, pairs, radius, least_mm, most_mm, share, distance):
    """``share`` of every pair (0 where its exposed middles are not ``least_mm`` to ``most_mm`` apart) and that distance."""
    for p in range(pairs.shape[0]):
        a, b = pairs[p, 0], pairs[p, 1]
        la, lb = needles[a, 3], needles[b, 3]
        x, y, z = needles[b, 0] - needles[a, 0], needles[b, 1] - needles[a, 1], needles[b, 2] - needles[a, 2]
        shift = x * direction[0] + y * direction[1] + z * direction[2]
        side = np.sqrt(max(x * x + y * y + z * z - shift * shift, 1e-6))
        middle = shift + 0.5 * (lb - la)
        distance[p] = np.sqrt(side * side + middle * middle)
        share[p] = 0.0
        if least_mm <= distance[p] <= most_mm:
            q = mean_potential(la, la, 0.0, radius) + mean_potential(lb, lb, 0.0, radius) - 2.0 * mean_potential(la, lb, shift, max(side, radius))
            share[p] = 1.0 / max(q, 1e-9)


@njit(cache=True, nogil=True)
def _violation(needles, direction, radius, obstacles, skin, clearance, skin_clearance, low, high, plane, least_mm):
    """How far the limits of place are broken, mm in all; 0 where none is."""
    total = 0.0
    for n in range(needles.shape[0]):
        tip, length = needles[n, :3], needles[n, 3]
        total += max(0.0, clearance - (path_gap(obstacles, tip, direction, 1e9) - radius))
        total += max(0.0, skin_clearance - (path_gap(skin, tip, direction, length) - radius))
        above = 0.0
        for axis in range(3):
            end = tip[axis] + length * direction[axis]
            total += max(0.0, low[axis] - min(tip[axis], end)) + max(0.0, max(tip[axis], end) - high[axis])
            above += (end - plane[0, axis]) * plane[1, axis]
        total += max(0.0, above)
        for o in range(n):
            x, y, z = tip[0] - needles[o, 0], tip[1] - needles[o, 1], tip[2] - needles[o, 2]
            along = x * direction[0] + y * direction[1] + z * direction[2]
            side = np.sqrt(max(x * x + y * y + z * z - along * along, 0.0))
            total += max(0.0, least_mm - side)
    return total


@njit(cache=True, nogil=True)
def _soft(ratio):
    """0 below 0.9 of the lethal field, 1 above 1.1: a volume then moves with the needles and not in steps of a point."""
    return min(max((ratio - 0.9) / 0.2, 0.0), 1.0)


@njit(cache=True, nogil=True, parallel=True)
def score_candidates(needles, directions, pairs, radius, place, obstacles, skin, electric, target, target_factor, risk, risk_factor, risk_ml,
                     tissue, tissue_factor, tissue_ml, goal, lethal, figures, volts):
    """Judge ``c`` arrangements: ``needles[c, n, 4]`` (tip, exposure), ``directions[c, 3]`` (tip to entry), ``pairs[p, 2]``.

    ``place``: (6, 3) rows low corner, high corner, point of the entry plane, its outward normal, (clearance, skin clearance,
    least spacing), (most spacing, 0, 0). ``electric``: (most V, least V, most A, 4 pi sigma in S). Points are ``(3, m)``
    with factors of correction and volumes in ml. Writes ``figures[c, FIGURES]`` and ``volts[c, p]``; voltages are the least
    that hold the target at ``goal`` where it can be held, else the most.
    """
    for c in prange(needles.shape[0]):
        out = figures[c]
        out[:] = 0.0
        volts[c, :] = 0.0
        direction = directions[c]
        least_mm, most_mm = place[4, 2], place[5, 0]
        out[VIOLATION] = _violation(needles[c], direction, radius, obstacles, skin, place[4, 0], place[4, 1], place[0], place[1], place[2:4], least_mm)
        if out[VIOLATION] > 0.0:
            continue
        n, p = needles.shape[1], pairs.shape[0]
        share, distance, cap, amps = np.empty(p), np.empty(p), np.empty(p), np.empty(p)
        pair_shares(needles[c], direction, pairs, radius, least_mm, most_mm, share, distance)
        for q in range(p):
            amps[q] = electric[3] * share[q] * 1e-3  # A per V; lengths are mm
            cap[q] = min(electric[0], electric[2] / amps[q]) if amps[q] > 0.0 else 0.0
            if cap[q] < electric[1]:
                cap[q] = 0.0
        most = max(target.shape[1], max(risk.shape[1], tissue.shape[1]))
        lines, unit, field = np.empty((n, 3, most)), np.empty((p, most)), np.empty(most)
        nt = target.shape[1]
        pair_fields(target, target_factor, needles[c], direction, pairs, share, lines, unit)
        strongest(unit[:, :nt], cap, field[:nt])
        low, short, missing = np.inf, 0.0, 0
        for m in range(nt):
            low = min(low, field[m])
            if field[m] < goal:
                missing += 1
                short += 1.0 - field[m] / goal
        out[LOWEST] = low
        out[SHORTFALL] = short / nt
        out[UNCOVERED] = missing / nt
        volts[c, :] = cap
        if missing == 0:
            order = np.argsort(-(cap * amps))
            least_voltages(unit[:, :nt], cap, electric[1], goal, order, 2, volts[c], field[:nt])
        for q in range(p):
            if volts[c, q] > 0.0:
                out[PAIRS] += 1.0
                out[CURRENT_A] += volts[c, q] * amps[q]
        if risk.shape[1] > 0:
            pair_fields(risk, risk_factor, needles[c], direction, pairs, share, lines, unit)
            strongest(unit[:, :risk.shape[1]], volts[c], field[:risk.shape[1]])
            for m in range(risk.shape[1]):
                ratio = field[m] / lethal
                out[RISK_MEAN] += min(ratio * ratio, 4.0) / risk.shape[1]
                out[RISK_ML] += risk_ml[m] * _soft(ratio)
        pair_fields(tissue, tissue_factor, needles[c], direction, pairs, share, lines, unit)
        strongest(unit[:, :tissue.shape[1]], volts[c], field[:tissue.shape[1]])
        for m in range(tissue.shape[1]):
            out[COLLATERAL_ML] += tissue_ml[m] * _soft(field[m] / lethal)
