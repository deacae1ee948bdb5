"""Run-length coded frames (PS3.5 annex G): the bytes of every segment to their places in the picture.

Whatever the bytes are, nothing outside the arrays is touched and the loop ends: each step uses up data.
"""

from __future__ import annotations

import numba

DONE, SHORT, LONG = 0, 1, 2
PAD = 1  # a segment is filled to an even length with one byte


@numba.njit(cache=True, nogil=True)
def decode_segments(data, starts, stops, places, step, count, out):
    """Decode the segments ``data[starts[n]:stops[n]]`` (uint8) into ``out`` (uint8, flat): the bytes of segment ``n``
    go to ``places[n]``, ``places[n] + step`` and so on, ``count`` of them.

    Returns ``DONE``; ``SHORT`` where a segment ends before its last byte or a code runs past it; ``LONG`` where codes
    go on behind it.
    """
    for n in range(starts.shape[0]):
        at, stop = starts[n], stops[n]
        place = places[n]
        left = count
        while left > 0:
            if at >= stop:
                return SHORT
            code = data[at]
            at += 1
            if code < 128:
                length = code + 1
                if length > left:
                    return LONG
                if at + length > stop:
                    return SHORT
                for m in range(length):
                    out[place + m * step] = data[at + m]
                at += length
            elif code > 128:
                length = 257 - code
                if length > left:
                    return LONG
                if at >= stop:
                    return SHORT
                value = data[at]
                at += 1
                for m in range(length):
                    out[place + m * step] = value
            else:
                continue  # 128 means nothing
            left -= length
            place += length * step
        if stop - at > PAD:
            return LONG
    return DONE
