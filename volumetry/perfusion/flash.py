"""Frames of a high-power pulse: both pictures are bright in them for a moment, and bubbles are gone after."""

from __future__ import annotations

import numpy as np

# A flash lasts a few frames; the median of a window with twice as many does not follow it.
LONGEST_FLASH, WINDOW = 4, 9
# A jump in levels of the display: this many, and this many times the loop's own unrest.
JUMP_LEVELS, JUMP_SD = 10.0, 6.0
ALONE_FACTOR = 2.0  # without a second picture that agrees


def detect_flashes(contrast_mean: np.ndarray, bmode_mean: np.ndarray | None) -> tuple[int, ...]:
    """Frames in which the mean level of both panes jumps up for at most four frames.

    ``contrast_mean``, ``bmode_mean``: mean display level of each frame; None: no B-mode pane, then the contrast pane
    alone must jump twice as far. An arriving bolus brightens one pane and stays, so it is none.
    """
    jumps = _jumps(contrast_mean, ALONE_FACTOR if bmode_mean is None else 1.0)
    if bmode_mean is not None:
        jumps &= _jumps(bmode_mean, 1.0)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], jumps.astype(np.int8), [0]])))
    found = [n for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a <= LONGEST_FLASH for n in range(int(a), int(b))]
    return tuple(found)


def _jumps(mean: np.ndarray, factor: float) -> np.ndarray:
    values = np.asarray(mean, dtype=np.float64)
    half = min(WINDOW // 2, max(values.size - 1, 0) // 2)
    padded = np.pad(values, half, mode="reflect") if half else values
    calm = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1), axis=1)
    off = values - calm
    sd = 1.4826 * float(np.median(np.abs(off - np.median(off))))
    return off > factor * max(JUMP_LEVELS, JUMP_SD * sd)
