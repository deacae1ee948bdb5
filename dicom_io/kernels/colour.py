"""Luminance and colour differences to red, green and blue."""

from __future__ import annotations

import numba

# PS3.3 C.7.6.3.1.2 (ISO 10918-5 clause 7), times 2**24 so that whole numbers round as the exact ones do.
SHIFT = 24
HALF = 1 << (SHIFT - 1)
RED_CR = round(1.402 * (1 << SHIFT))
GREEN_CB = round(0.114 * 1.772 / 0.587 * (1 << SHIFT))
GREEN_CR = round(0.299 * 1.402 / 0.587 * (1 << SHIFT))
BLUE_CB = round(1.772 * (1 << SHIFT))


@numba.njit(cache=True, nogil=True)
def ybr_to_rgb(pixels):
    """Turn ``[pixel, 3]`` (uint8) of YBR_FULL into RGB in its place, rounded to the nearest level."""
    for n in range(pixels.shape[0]):
        y, cb, cr = int(pixels[n, 0]) << SHIFT, int(pixels[n, 1]) - 128, int(pixels[n, 2]) - 128
        pixels[n, 0] = min(max((y + RED_CR * cr + HALF) >> SHIFT, 0), 255)
        pixels[n, 1] = min(max((y - GREEN_CB * cb - GREEN_CR * cr + HALF) >> SHIFT, 0), 255)
        pixels[n, 2] = min(max((y + BLUE_CB * cb + HALF) >> SHIFT, 0), 255)
