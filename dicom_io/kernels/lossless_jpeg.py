"""The entropy-coded part of a lossless JPEG picture (ISO 10918-1 annex H, Huffman coding).

Whatever the bytes are, nothing outside the arrays is touched and the loop ends: each step uses up bits, and bits
beyond the data are counted and end it.
"""

from __future__ import annotations

import numba
import numpy as np

DONE, SHORT, BAD_CODE, BAD_RESTART = 0, 1, 2, 3


@numba.njit(cache=True, nogil=True)
def decode_scan(data, start, tables, components, predictor, precision, shift, restart_every, out):
    """Decode one scan of ``data`` (uint8) from ``start`` into ``out`` (uint16 ``[row, column, component]``).

    ``tables`` is int16 ``[component of the scan, 65536]``: for every 16 bits ahead the length of the code in the low
    five bits and the size of the difference above, -1 where no code fits. ``components`` are the places in ``out`` of
    the scan's components. ``restart_every`` counts samples between restart markers, 0: none.
    Returns (what ended it, place behind the data read).
    """
    rows, columns = out.shape[0], out.shape[1]
    count = components.shape[0]
    size = data.shape[0]
    at = start
    bits = np.uint64(0)
    held = 0
    padded = 0  # bits held that stand behind the end of the data
    left = restart_every
    fresh = True  # at the start of the scan and behind a restart marker
    first_row = 0
    start_value = 1 << (precision - shift - 1)
    next_marker = 0
    for row in range(rows):
        for column in range(columns):
            if restart_every and left == 0:
                # a marker must stand here; bits before it only fill the byte
                while at < size and data[at] == 0xFF and at + 1 < size and data[at + 1] == 0xFF:
                    at += 1
                if at + 1 >= size or data[at] != 0xFF or data[at + 1] != 0xD0 + next_marker:
                    return BAD_RESTART, at
                at += 2
                next_marker = (next_marker + 1) & 7
                bits = np.uint64(0)
                held = 0
                padded = 0
                left = restart_every
                fresh = True
                first_row = row
            for n in range(count):
                while held < 32:
                    if at < size and data[at] != 0xFF:
                        bits = (bits << np.uint64(8)) | np.uint64(data[at])
                        at += 1
                    elif at + 1 < size and data[at + 1] == 0:
                        bits = (bits << np.uint64(8)) | np.uint64(0xFF)
                        at += 2
                    else:  # a marker or the end: nothing more to come
                        bits = bits << np.uint64(8)
                        padded += 8
                    held += 8
                entry = tables[n, (bits >> np.uint64(held - 16)) & np.uint64(0xFFFF)]
                if entry < 0:
                    return (SHORT if padded > held - 16 else BAD_CODE), at
                length = entry & 31
                wide = entry >> 5
                held -= length
                if wide == 0:
                    difference = 0
                elif wide == 16:
                    difference = 32768
                else:
                    held -= wide
                    value = np.int64((bits >> np.uint64(held)) & np.uint64((1 << wide) - 1))
                    difference = value if value >= 1 << (wide - 1) else value - (1 << wide) + 1
                if held < padded:
                    return SHORT, at
                place = components[n]
                if fresh:
                    guess = np.int64(start_value)
                elif row == first_row:
                    guess = np.int64(out[row, column - 1, place])
                elif column == 0:
                    guess = np.int64(out[row - 1, 0, place])
                else:
                    a, b, c = np.int64(out[row, column - 1, place]), np.int64(out[row - 1, column, place]), np.int64(out[row - 1, column - 1, place])
                    if predictor == 1:
                        guess = a
                    elif predictor == 2:
                        guess = b
                    elif predictor == 3:
                        guess = c
                    elif predictor == 4:
                        guess = a + b - c
                    elif predictor == 5:
                        guess = a + ((b - c) >> 1)
                    elif predictor == 6:
                        guess = b + ((a - c) >> 1)
                    else:
                        guess = (a + b) >> 1
                out[row, column, place] = np.uint16((guess + difference) & 0xFFFF)
            fresh = False
            left -= 1
    return DONE, at
