"""Run-length coded frames (PS3.5 annex G): the bytes of every segment to their places in the picture.

Whatever the bytes are, nothing outside the arrays is touched and the loop ends: each step uses up data.
"""

from __future__ import annotations

import numba
import numpy as np

DONE, SHORT, LONG = 0, 1, 2
NONE, ONE, NOTHING, RUN = np.uint64(0), np.uint64(1), np.uint64(128), np.uint64(257)


@numba.njit(cache=True, nogil=True)
def decode_segments(data, starts, stops, places, step, count, out):
    """Decode the segments ``data[starts[n]:stops[n]]`` (uint8) into ``out`` (uint8, flat): the bytes of segment ``n``
    go to ``places[n]``, ``places[n] + step`` and so on, ``count`` of them.

    Returns ``DONE``; ``SHORT`` where a segment ends before its last byte or a code runs past it; ``LONG`` where codes
    go on behind it (one byte that fills the segment to an even length is none).
    """
    # Unsigned places need no look at whether they count from the end, which takes as long as the copying.
    stride = np.uint64(step)
    for n in range(starts.shape[0]):
        at, stop = np.uint64(starts[n]), np.uint64(stops[n])
        place, left = np.uint64(places[n]), np.uint64(count)
        while left > NONE:
            if at >= stop:
                return SHORT
            code = np.uint64(data[at])
            at += ONE
            if code < NOTHING:
                length = code + ONE
                if length > left:
                    return LONG
                end = at + length
                if end > stop:
                    return SHORT
                while at < end:
                    out[place] = data[at]
                    place += stride
                    at += ONE
            elif code > NOTHING:
                length = RUN - code
                if length > left:
                    return LONG
                if at >= stop:
                    return SHORT
                value = data[at]
                at += ONE
                end = place + length * stride
                while place < end:
                    out[place] = value
                    place += stride
            else:
                continue
            left -= length
        if stop - at > ONE:
            return LONG
    return DONE
