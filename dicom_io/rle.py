"""Run-length coded frames (transfer syntax .5; PS3.5 annex G)."""

from __future__ import annotations

import struct

import numpy as np

SYNTAX = "1.2.840.10008.1.2.5"
HEAD = 64  # bytes: the number of segments, and where each of at most fifteen begins


def decode(data: bytes, rows: int, columns: int, samples: int, dtype: np.dtype) -> np.ndarray | None:
    """Samples of a frame, ``[row, column]`` or ``[row, column, sample]``, of the given little-endian type.

    A segment holds one byte of each pixel's sample, the highest first. None where the frame is not of this size, is
    damaged, or says more than it should.
    """
    from dicom_io.kernels.rle import DONE, decode_segments

    size = dtype.itemsize
    count = samples * size
    if len(data) < HEAD or struct.unpack_from("<L", data)[0] != count or count > 15:
        return None
    starts = np.frombuffer(data, "<u4", count, 4).astype(np.int64)
    stops = np.append(starts[1:], len(data))
    if starts[0] != HEAD or (starts >= stops).any():
        return None
    places = np.array([s * size + size - 1 - b for s in range(samples) for b in range(size)], dtype=np.int64)
    out = np.empty(rows * columns * count, dtype=np.uint8)
    if decode_segments(np.frombuffer(data, np.uint8), starts, stops, places, count, rows * columns, out) != DONE:
        return None
    array = out.view(dtype.newbyteorder("<")).astype(dtype.newbyteorder("="), copy=False)
    return array.reshape((rows, columns) if samples == 1 else (rows, columns, samples))
