"""Kernels that count tissue by sub-points: 4 x 4 x 4 in every voxel, one bit each.

Bit ``(a * 4 + b) * 4 + c`` of a voxel's uint64 is the point at offsets ``((n + 0.5) / 4 - 0.5)`` of
a voxel along k (a), j (b) and i (c). Field strength between voxel centres is trilinear. Arrays are
``[k, j, i]`` without ghosts.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange

SIDE = 4
POINTS = 64
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
BINS = 8192
LOWEST, HIGHEST = 1e-2, 1e6  # V/cm: range of the histogram; bins are equal in the logarithm


@njit(cache=True, nogil=True, inline="always")
def popcount(x):
    """Number of set bits."""
    n = 0
    while x:
        x &= x - np.uint64(1)
        n += 1
    return n


@njit(cache=True, nogil=True)
def sub_values(e, k, j, i, out):
    """Trilinear values at the 64 sub-points of a voxel (neighbours clamped at the grid's edge)."""
    nk, nj, ni = e.shape
    for a in range(SIDE):
        fk = (a + 0.5) / SIDE - 0.5
        k0 = k - 1 if fk < 0 else k
        wk = fk + 1.0 if fk < 0 else fk
        ka, kb = min(max(k0, 0), nk - 1), min(max(k0 + 1, 0), nk - 1)
        for b in range(SIDE):
            fj = (b + 0.5) / SIDE - 0.5
            j0 = j - 1 if fj < 0 else j
            wj = fj + 1.0 if fj < 0 else fj
            ja, jb = min(max(j0, 0), nj - 1), min(max(j0 + 1, 0), nj - 1)
            for c in range(SIDE):
                fi = (c + 0.5) / SIDE - 0.5
                i0 = i - 1 if fi < 0 else i
                wi = fi + 1.0 if fi < 0 else fi
                ia, ib = min(max(i0, 0), ni - 1), min(max(i0 + 1, 0), ni - 1)
                low = (1 - wj) * ((1 - wi) * e[ka, ja, ia] + wi * e[ka, ja, ib]) + wj * ((1 - wi) * e[ka, jb, ia] + wi * e[ka, jb, ib])
                high = (1 - wj) * ((1 - wi) * e[kb, ja, ia] + wi * e[kb, ja, ib]) + wj * ((1 - wi) * e[kb, jb, ia] + wi * e[kb, jb, ib])
                out[(a * SIDE + b) * SIDE + c] = (1 - wk) * low + wk * high


@njit(cache=True, nogil=True, parallel=True)
def count_above(e, bits, k0, j0, i0, thresholds, counts):
    """Sub-points of ``bits`` (a box of voxels that starts at k0, j0, i0) with value >= each
    threshold, into ``counts[k of the box, threshold]`` (int64)."""
    nk, nj, ni = e.shape
    nt = thresholds.size
    for kb in prange(bits.shape[0]):
        values = np.empty(POINTS)
        k = k0 + kb
        for t in range(nt):
            counts[kb, t] = 0
        for jb in range(bits.shape[1]):
            j = j0 + jb
            for ib in range(bits.shape[2]):
                b = bits[kb, jb, ib]
                if b == np.uint64(0):
                    continue
                i = i0 + ib
                lo, hi = e[k, j, i], e[k, j, i]
                for kk in range(max(k - 1, 0), min(k + 2, nk)):
                    for jj in range(max(j - 1, 0), min(j + 2, nj)):
                        for ii in range(max(i - 1, 0), min(i + 2, ni)):
                            v = e[kk, jj, ii]
                            lo, hi = min(lo, v), max(hi, v)
                full = -1
                sampled = False
                for t in range(nt):
                    if hi < thresholds[t]:
                        continue
                    if lo >= thresholds[t]:
                        if full < 0:
                            full = POINTS if b == ALL else popcount(b)
                        counts[kb, t] += full
                        continue
                    if not sampled:
                        sub_values(e, k, j, i, values)
                        sampled = True
                    for n in range(POINTS):
                        if (b >> np.uint64(n)) & np.uint64(1) and values[n] >= thresholds[t]:
                            counts[kb, t] += 1


@njit(cache=True, nogil=True, parallel=True)
def histogram(e, bits, k0, j0, i0, bins, extremes):
    """Histogram of the values at the sub-points of ``bits`` into ``bins[k of the box, BINS]`` and
    ``(smallest, largest)`` per plane into ``extremes[k of the box, 2]``."""
    per = BINS / np.log(HIGHEST / LOWEST)
    for kb in prange(bits.shape[0]):
        values = np.empty(POINTS)
        lo, hi = np.inf, -np.inf
        for n in range(BINS):
            bins[kb, n] = 0
        for jb in range(bits.shape[1]):
            for ib in range(bits.shape[2]):
                b = bits[kb, jb, ib]
                if b == np.uint64(0):
                    continue
                sub_values(e, k0 + kb, j0 + jb, i0 + ib, values)
                for n in range(POINTS):
                    if (b >> np.uint64(n)) & np.uint64(1):
                        v = values[n]
                        lo, hi = min(lo, v), max(hi, v)
                        m = int(np.log(max(v, LOWEST) / LOWEST) * per)
                        bins[kb, min(m, BINS - 1)] += 1
        extremes[kb, 0] = lo
        extremes[kb, 1] = hi


@njit(cache=True, nogil=True)
def count_bits(bits):
    """Number of set bits in a box."""
    total = 0
    for b in bits.ravel():
        total += POINTS if b == ALL else popcount(b)
    return total


@njit(cache=True, nogil=True)
def needle_bits(needles, origin, h, shape, cells, bits, count):
    """Voxels that share sub-points with a needle (metal or shaft) and which: flat indices and bits.

    ``needles`` as in ``embedding.py``. A voxel may be listed once per needle. Returns the new
    length (may pass the capacity).
    """
    nk, nj, ni = shape
    for m in range(needles.shape[0]):
        nd = needles[m]
        reach = nd[6] + h
        for k in range(nk):
            for j in range(nj):
                y, z = origin[1] + h * j - nd[1], origin[2] + h * k - nd[2]
                q = y * nd[4] + z * nd[5]
                a = 1.0 - nd[3] * nd[3]
                c = y * y + z * z - q * q - reach * reach
                lo, hi = 0, -1
                if a < 1e-9:
                    if c <= 0:
                        hi = ni - 1
                else:
                    bq = -nd[3] * q
                    disc = bq * bq - a * c
                    if disc >= 0:
                        x0 = origin[0] - nd[0]
                        lo = max(0, int(np.ceil(((-bq - np.sqrt(disc)) / a - x0) / h)))
                        hi = min(ni - 1, int(np.floor(((-bq + np.sqrt(disc)) / a - x0) / h)))
                for i in range(lo, hi + 1):
                    b = np.uint64(0)
                    for n in range(POINTS):
                        dz = z + h * ((n // 16 + 0.5) / SIDE - 0.5)
                        dy = y + h * ((n // 4 % 4 + 0.5) / SIDE - 0.5)
                        dx = origin[0] + h * i - nd[0] + h * ((n % 4 + 0.5) / SIDE - 0.5)
                        s = dx * nd[3] + dy * nd[4] + dz * nd[5]
                        if s >= 0.0 and dx * dx + dy * dy + dz * dz - s * s < nd[6] * nd[6]:
                            b |= np.uint64(1) << np.uint64(n)
                    if b:
                        if count < cells.size:
                            cells[count] = (k * nj + j) * ni + i
                            bits[count] = b
                        count += 1
    return count


@njit(cache=True, nogil=True)
def fill_needles(e, label, first_needle_label, metal):
    """Give needle cells a value so that interpolation across them stays sound: metal takes the
    largest of its settled neighbours, the insulated shaft their mean. ``e`` is changed in place."""
    nk, nj, ni = e.shape
    cells = np.flatnonzero(label.ravel() >= first_needle_label)
    done = np.zeros(cells.size, np.bool_)
    settled = (label < first_needle_label).ravel()
    flat, kinds = e.reshape(-1), label.reshape(-1)
    left = cells.size
    while left > 0:
        fresh = np.zeros(cells.size, np.bool_)
        for n in range(cells.size):
            if done[n]:
                continue
            c = cells[n]
            k = c // (nj * ni)
            j = (c - k * nj * ni) // ni
            i = c - k * nj * ni - j * ni
            top, total, count = 0.0, 0.0, 0
            for kk in range(max(k - 1, 0), min(k + 2, nk)):
                for jj in range(max(j - 1, 0), min(j + 2, nj)):
                    for ii in range(max(i - 1, 0), min(i + 2, ni)):
                        m = (kk * nj + jj) * ni + ii
                        if settled[m]:
                            top = max(top, flat[m])
                            total += flat[m]
                            count += 1
            if count:
                flat[c] = top if kinds[c] == metal else total / count
                fresh[n] = True
        moved = 0
        for n in range(cells.size):
            if fresh[n]:
                done[n] = True
                settled[cells[n]] = True
                moved += 1
        left -= moved
        if moved == 0:
            break


@njit(cache=True, nogil=True, parallel=True)
def quiet_air(e, label, silent, first_needle_label):
    """Air holds no field that means anything: 0 in it, and in the air cells that touch tissue the mean of that tissue,
    so that interpolation on the tissue's side of the wall stays sound. ``silent``: uint8, 1 for the labels that do
    not conduct. ``e`` is changed in place."""
    nk, nj, ni = e.shape
    for k in prange(nk):
        for j in range(nj):
            for i in range(ni):
                m = label[k, j, i]
                if m >= first_needle_label or silent[m] == 0:
                    continue
                total, count = 0.0, 0
                for kk in range(max(k - 1, 0), min(k + 2, nk)):
                    for jj in range(max(j - 1, 0), min(j + 2, nj)):
                        for ii in range(max(i - 1, 0), min(i + 2, ni)):
                            n = label[kk, jj, ii]
                            if n < first_needle_label and silent[n] == 0:
                                total += e[kk, jj, ii]
                                count += 1
                e[k, j, i] = total / count if count else 0.0
