"""Slow twin of ``app.demo.kernels.paint``: one point at a time, no boxes, no short cuts."""

from __future__ import annotations

import numpy as np


def lattice_value(lattice, x, y, z):
    """Trilinear look-up with wrap-around."""
    n = lattice.shape[0]
    base = np.floor([z, y, x]).astype(int)
    w = np.array([z, y, x]) - base
    total = 0.0
    for dk in (0, 1):
        for dj in (0, 1):
            for di in (0, 1):
                weight = (w[0] if dk else 1 - w[0]) * (w[1] if dj else 1 - w[1]) * (w[2] if di else 1 - w[2])
                total += weight * lattice[(base[0] + dk) % n, (base[1] + dj) % n, (base[2] + di) % n]
    return total


def distance(row, x, y, z):
    """Signed distance to one shape, as the kernel defines it."""
    kind = int(row[0])
    if kind == 1:
        a, b, p = row[4:7], row[7:10], np.array([x, y, z])
        length2 = (b - a) @ (b - a)
        t = 0.0 if length2 == 0 else float(np.clip((p - a) @ (b - a) / length2, 0, 1))
        return float(np.linalg.norm(p - a - t * (b - a))) - (row[10] + t * (row[11] - row[10]))
    u = (x - row[4]) * row[8] + (y - row[5]) * row[9]
    v = -(x - row[4]) * row[9] + (y - row[5]) * row[8]
    a, b = row[6], row[7]
    power = 2.0 if kind == 2 else row[11]
    if kind == 0:
        v = v - row[10] * u * u
    s = np.abs([u / a, v / b])
    g = (s**power).sum()
    if kind == 2 and g > 1e-12 and (v / b) / np.sqrt(g) > row[11]:
        return 5.0
    if g ** (1 / power) < 1e-6:
        return b if kind == 2 else -min(a, b)
    radius = g ** (1 / power)
    gradient = g ** (1 / power - 1) * s ** (power - 1) / np.array([a, b])
    d = (radius - 1) / np.linalg.norm(gradient)
    return abs(d) - 0.5 * row[10] if kind == 2 else d


def paint(shape, x0, y0, pixel, z_sub, rows, skin, skin_centre, skin_row, air_hu, to_body, coarse, fine):
    """HU ``[k, j, i]`` by the kernel's rules."""
    out = np.zeros(shape)
    subs, angles = skin.shape[1:]
    for k, j, i in np.ndindex(*shape):
        x, y = x0 + i * pixel, y0 + j * pixel
        sums = np.zeros(3)
        for s in range(subs):
            dx, dy = x - skin_centre[k, s, 0], y - skin_centre[k, s, 1]
            r = np.hypot(dx, dy)
            turn = (np.arctan2(dy, dx) / (2 * np.pi) * angles) % angles
            m, w = int(turn), turn - int(turn)
            radius = skin[k, s, m % angles] * (1 - w) + skin[k, s, (m + 1) % angles] * w
            cover = np.clip(0.5 + (radius - r) / pixel, 0, 1)
            body = np.clip(0.5 + (radius - skin_row[1] - r) / pixel, 0, 1)
            tissue = skin_row[0] + body * (skin_row[2] - skin_row[0])
            now = np.array([air_hu + cover * (tissue - air_hu), 4.0 * body, body * skin_row[3]])
            for row in rows[k, s]:
                if row[0] < 0:
                    continue
                d = distance(row, x, y, z_sub[k, s])
                if row[12] > 0:
                    c = min(np.clip(0.5 - (d - row[12]) / pixel, 0, 1), body)
                    now[:2] += c * (np.array([skin_row[2], 4.0]) - now[:2])
                c = min(np.clip(0.5 - d / pixel, 0, 1), body)
                now += c * (row[1:4] - now)
            sums += now
        value, grain, strand = sums / subs
        if grain > 0.2 or abs(strand) > 0.2:
            p = to_body @ np.array([x, y, 0.5 * (z_sub[k, 0] + z_sub[k, -1]), 1.0])
            low = lattice_value(coarse, p[0] / 4.0, p[1] / 4.0, p[2] / 9.0)
            high = lattice_value(fine, p[0] / 1.1, p[1] / 1.1, p[2] / 2.5)
            value += grain * (0.6 * low + 0.8 * high)
            t = (low + 0.25 * high) / 0.11
            if t * t < 9:
                value += strand * np.exp(-t * t)
        out[k, j, i] = value
    return out
