"""Slow, plain twins of the kernels of ``dicom_io``, written from the standard."""

from __future__ import annotations

import numpy as np


def unpacked_bits(segment: bytes, count: int) -> bytes | None:
    """``count`` bytes of a run-length coded segment (PS3.5 G.3.1); None where it has fewer or more.

    One byte that fills the segment to an even length may follow.
    """
    out, at = bytearray(), 0
    while len(out) < count:
        if at >= len(segment):
            return None
        code, at = segment[at], at + 1
        if code < 128:
            piece, at = segment[at : at + code + 1], at + code + 1
            if len(piece) != code + 1:
                return None
        elif code > 128:
            piece, at = segment[at : at + 1] * (257 - code), at + 1
            if not piece:
                return None
        else:
            piece = b""
        out += piece
    return bytes(out) if len(out) == count and len(segment) - at <= 1 else None


def reals_of_ybr(ybr: np.ndarray) -> np.ndarray:
    """Red, green and blue of YBR_FULL (PS3.3 C.7.6.3.1.2) as the real numbers of ISO 10918-5, neither rounded nor clipped."""
    y, cb, cr = (ybr[..., n].astype(np.float64) for n in range(3))
    green = y - (0.114 * 1.772 * (cb - 128) + 0.299 * 1.402 * (cr - 128)) / 0.587
    return np.stack([y + 1.402 * (cr - 128), green, y + 1.772 * (cb - 128)], axis=-1)


def rgb_of_ybr(ybr: np.ndarray) -> np.ndarray:
    """The same, rounded half up and clipped to 0..255."""
    return np.clip(np.floor(reals_of_ybr(ybr) + 0.5), 0, 255).astype(np.uint8)
