"""The entropy-coded part of a JPEG-LS picture (ISO 14495-1 | ITU-T T.87), lossless and near-lossless.

Whatever the bytes are, nothing outside the arrays is touched and the loop ends: each sample uses up bits or is part of
a run, and bits beyond the data are counted and end it.

Bits are held from the left in a 64-bit word; ``held`` counts them, ``padded`` those of them that stand behind the data.
"""

from __future__ import annotations

import numba
import numpy as np

DONE, SHORT, BAD_CODE, BAD_RUN, TOO_LONG = 0, 1, 2, 3, 4
# Bits that may follow the last sample: they fill its byte, and one more where that is all ones.
LEFT_OVER = 14
RUN_ORDER = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13, 14, 15], dtype=np.int64)
ZEROS_AHEAD = np.array([8 - int(n).bit_length() for n in range(256)], dtype=np.int64)
SHIFT_LEAST, SHIFT_MOST, DEEPEST = -128, 127, 24


@numba.njit(cache=True, nogil=True)
def _fill(data, at, bits, held, padded):
    """Hold more than 48 bits. Behind a byte of ones one bit is stuffed; a marker or the end gives zeros, counted."""
    size = data.shape[0]
    while held <= 48:
        if at >= size or padded > 0 or (data[at] == 0xFF and (at + 1 >= size or data[at + 1] >= 0x80)):
            held += 8
            padded += 8
        elif data[at] == 0xFF:
            # fifteen bits: the byte of ones, and the next without the bit that was stuffed
            bits |= np.uint64(0xFF) << np.uint64(56 - held)
            bits |= np.uint64(data[at + 1] & 0x7F) << np.uint64(49 - held)
            held += 15
            at += 2
        else:
            bits |= np.uint64(data[at]) << np.uint64(56 - held)
            held += 8
            at += 1
    return at, bits, held, padded


@numba.njit(cache=True, nogil=True)
def _golomb(data, at, bits, held, padded, k, limit, wide):
    """A number in limited Golomb code (A.5.3), -1 where there is none; at least 32 bits are held."""
    zeros = 0
    while True:
        some = ZEROS_AHEAD[bits >> np.uint64(56)]
        zeros += some
        if some < 8:
            bits <<= np.uint64(some + 1)
            held -= some + 1
            break
        bits <<= np.uint64(8)
        held -= 8
        if zeros > limit or held < padded:
            return -1, at, bits, held, padded
        if held < 16:
            at, bits, held, padded = _fill(data, at, bits, held, padded)
    if held < DEEPEST:
        at, bits, held, padded = _fill(data, at, bits, held, padded)
    if zeros < limit - wide - 1:
        value = zeros << k
        if k > 0:
            value += np.int64(bits >> np.uint64(64 - k))
            bits <<= np.uint64(k)
            held -= k
        return value, at, bits, held, padded
    if zeros > limit:
        return -1, at, bits, held, padded
    value = np.int64(bits >> np.uint64(64 - wide)) + 1
    bits <<= np.uint64(wide)
    held -= wide
    return value, at, bits, held, padded


@numba.njit(cache=True, nogil=True)
def _steps(near, t1, t2, t3, most):
    """The step (-4 to 4) of every gradient from ``-most`` to ``most`` (A.3.3)."""
    out = np.empty(2 * most + 1, np.int64)
    for n in range(2 * most + 1):
        d = n - most
        size = abs(d)
        step = 0 if size <= near else 1 if size < t1 else 2 if size < t2 else 3 if size < t3 else 4
        out[n] = step if d >= 0 else -step
    return out


@numba.njit(cache=True, nogil=True)
def _rebuilt(guess, error, near, most, span):
    """Predicted value and error to the sample, modulo the range (A.4.4, A.4.5)."""
    value = guess + error * (2 * near + 1)
    if value < -near:
        value += span
    elif value > most + near:
        value -= span
    return 0 if value < 0 else most if value > most else value


@numba.njit(cache=True, nogil=True)
def _interrupt(kind, k, mapped, size, count, negative, reset):
    """The error of a sample that ends a run, and what it teaches (A.7.2); ``kind`` 1: like its left neighbour above."""
    q = 365 + kind
    both = mapped + kind
    odd = both & 1
    error = (both + odd) >> 1
    if (k != 0 or 2 * negative[kind] >= count[q]) == (odd == 1):
        error = -error
    if error < 0:
        negative[kind] += 1
    size[q] += (mapped + 1 - kind) >> 1
    if count[q] == reset:
        size[q] >>= 1
        count[q] >>= 1
        negative[kind] >>= 1
    count[q] += 1
    return error


@numba.njit(cache=True, nogil=True)
def decode_scan(data, start, places, by_sample, near, most, t1, t2, t3, reset, out):
    """Decode one scan of ``data`` (uint8) from ``start`` into ``out`` (uint16 ``[row, column, component]``).

    ``places`` are the scan's components in ``out``; several of them stand line by line, or with ``by_sample`` pixel by
    pixel. ``near`` is the allowed error, ``most`` the largest sample, ``t1`` to ``t3`` the thresholds, ``reset`` the
    length of the contexts' memory. Returns (what ended it, place behind the data read).
    """
    rows, columns, many = out.shape[0], out.shape[1], places.shape[0]
    levels = (most + 2 * near) // (2 * near + 1) + 1
    span = levels * (2 * near + 1)
    wide = 1
    while (1 << wide) < levels:
        wide += 1
    deep = 2
    while (1 << deep) < most + 1:
        deep += 1
    limit = 2 * (deep + max(8, deep))
    step = _steps(near, t1, t2, t3, most)
    size, bias, shift, count = np.zeros(367, np.int64), np.zeros(365, np.int64), np.zeros(365, np.int64), np.ones(367, np.int64)
    size[:] = max(2, (levels + 32) >> 6)
    negative = np.zeros(2, np.int64)
    runs = np.zeros(many, np.int64)
    # Two lines of each component, with one sample more at both ends (A.2.1).
    lines = np.zeros((2, many, columns + 2), np.int64)
    at, bits, held, padded = start, np.uint64(0), np.int64(0), np.int64(0)
    together = many if by_sample else 1
    for row in range(rows):
        above, here = lines[(row + 1) & 1], lines[row & 1]
        for n in range(many):
            here[n, 0] = above[n, 1]
            above[n, columns + 1] = above[n, columns]
        for lane in range(1 if by_sample else many):
            x = 1
            up, now = above[lane], here[lane]
            while x <= columns:
                q, flat = 0, True
                if together == 1:
                    # Samples lie between 0 and ``most``; unsigned places need no look at whether they count from the end.
                    ux = np.uint64(x)
                    a, b, c = now[ux - np.uint64(1)], up[ux], up[ux - np.uint64(1)]
                    q = 81 * step[np.uint64(up[ux + np.uint64(1)] - b + most)] + 9 * step[np.uint64(b - c + most)] + step[np.uint64(c - a + most)]
                    flat = q == 0
                for n in range(lane, lane + together if together > 1 else lane):
                    b, c = above[n, x], above[n, x - 1]
                    # nought only where all three are
                    q = 81 * step[np.uint64(above[n, x + 1] - b + most)] + 9 * step[np.uint64(b - c + most)] + step[np.uint64(c - here[n, x - 1] + most)]
                    if q != 0:
                        flat = False
                        break
                if flat:
                    # how many samples (or pixels) are like the one to the left (A.7.1)
                    left, length, whole = columns + 1 - x, 0, False
                    order = RUN_ORDER[runs[lane]]
                    while not whole:
                        if held < 32:
                            at, bits, held, padded = _fill(data, at, bits, held, padded)
                        one = bits >> np.uint64(63)
                        bits <<= np.uint64(1)
                        held -= 1
                        order = RUN_ORDER[runs[lane]]
                        if one == 0:
                            break
                        if held < padded:
                            return SHORT, at
                        if length + (1 << order) <= left:
                            length += 1 << order
                            if runs[lane] < 31:
                                runs[lane] += 1
                        else:
                            length = left
                        whole = length == left
                    if not whole and order > 0:
                        length += np.int64(bits >> np.uint64(64 - order))
                        bits <<= np.uint64(order)
                        held -= order
                    if held < padded:
                        return SHORT, at
                    if length > left or (not whole and length >= left):
                        return BAD_RUN, at
                    for n in range(lane, lane + together):
                        value = here[n, x - 1]
                        for y in range(x, x + length):
                            here[n, y] = value
                    x += length
                    if whole:
                        continue
                    for n in range(lane, lane + together):
                        a, b = here[n, x - 1], above[n, x]
                        kind = 1 if not by_sample and abs(a - b) <= near else 0
                        q = 365 + kind
                        total = size[q] + ((count[q] >> 1) if kind == 1 else 0)
                        k = 0
                        while (count[q] << k) < total and k < DEEPEST:
                            k += 1
                        if held < 48:
                            at, bits, held, padded = _fill(data, at, bits, held, padded)
                        mapped, at, bits, held, padded = _golomb(data, at, bits, held, padded, k, limit - RUN_ORDER[runs[lane]] - 1, wide)
                        if mapped < 0 or held < padded:
                            return (SHORT if held < padded else BAD_CODE), at
                        error = _interrupt(kind, k, mapped, size, count, negative, reset)
                        if kind == 0 and b < a:
                            error = -error
                        here[n, x] = _rebuilt(a if kind == 1 else b, error, near, most, span)
                    if runs[lane] > 0:
                        runs[lane] -= 1
                    x += 1
                    continue
                for n in range(lane, lane + together):
                    a, b, c = here[n, x - 1], above[n, x], above[n, x - 1]
                    if together > 1:
                        q = 81 * step[np.uint64(above[n, x + 1] - b + most)] + 9 * step[np.uint64(b - c + most)] + step[np.uint64(c - a + most)]
                    sign = 1
                    if q < 0:
                        q, sign = -q, -1
                    place = np.uint64(q)
                    low, high = (a, b) if a < b else (b, a)
                    guess = low if c >= high else high if c <= low else a + b - c
                    guess += sign * shift[place]
                    guess = 0 if guess < 0 else most if guess > most else guess
                    times, total, drift = count[place], size[place], bias[place]
                    k = 0
                    while (times << k) < total and k < DEEPEST:
                        k += 1
                    if held < 32:
                        at, bits, held, padded = _fill(data, at, bits, held, padded)
                    zeros = ZEROS_AHEAD[bits >> np.uint64(56)]
                    if zeros < 8 and zeros < limit - wide - 1 and held >= 9 + k:
                        # the usual case of ``_golomb``, without a call
                        bits <<= np.uint64(zeros + 1)
                        mapped = zeros << k
                        if k > 0:
                            mapped += np.int64(bits >> np.uint64(64 - k))
                            bits <<= np.uint64(k)
                        held -= zeros + 1 + k
                    else:
                        mapped, at, bits, held, padded = _golomb(data, at, bits, held, padded, k, limit, wide)
                    if mapped < 0 or held < padded:
                        return (SHORT if held < padded else BAD_CODE), at
                    if near == 0 and k == 0 and 2 * drift <= -times:
                        error = (mapped - 1) >> 1 if mapped & 1 else -(mapped >> 1) - 1
                    else:
                        error = -((mapped + 1) >> 1) if mapped & 1 else mapped >> 1
                    drift += error * (2 * near + 1)
                    total += abs(error)
                    if times == reset:
                        total >>= 1
                        drift = drift >> 1 if drift >= 0 else -((1 - drift) >> 1)
                        times >>= 1
                    times += 1
                    if drift <= -times:
                        drift += times
                        if shift[place] > SHIFT_LEAST:
                            shift[place] -= 1
                        if drift <= -times:
                            drift = -times + 1
                    elif drift > 0:
                        drift -= times
                        if shift[place] < SHIFT_MOST:
                            shift[place] += 1
                        if drift > 0:
                            drift = 0
                    count[place], size[place], bias[place] = times, total, drift
                    here[n, x] = _rebuilt(guess, sign * error, near, most, span)
                x += 1
        for n in range(many):
            for x in range(columns):
                out[row, x, places[n]] = here[n, x + 1]
    if held - padded <= LEFT_OVER:
        at, bits, held, padded = _fill(data, at, bits, held, padded)
    return (TOO_LONG if held - padded > LEFT_OVER else DONE), at
