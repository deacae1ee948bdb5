"""Which frames of a loop show the plane that is measured: flashes, frames beside the plane, frames out of the picture.

All limits come from the clip itself, with absolute floors beneath them, so that neither a noisy nor a very still clip
loses its good frames.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy import ndimage

# A frame whose likeness has fallen to this share of the usual one is kept whatever the spread ...
KEPT_SHARE = 0.85
# ... and one that has fallen below this share is not.
LOST_SHARE = 0.5
BETTER_SHARE = 0.25
LEAST_LIKENESS = 0.2  # beneath it a registration is chance
SPREADS = 5.0
LEAST_POINTS = 0.3  # share of the points of a registration that must lie in the picture
NODE_INSIDE = 0.6  # share of the node itself

SHORTEST_SPELL, LONG_SPELL = 10, 40

FLASH_LEVELS = 6.0  # grey levels of the B-mode mean that no bolus adds from one frame to the next
FLASH_SPREADS = 8.0
FLASH_FRAMES = 9  # a flash is shorter than half of these


def flash_frames(contrast_means: np.ndarray, tissue_means: np.ndarray | None) -> np.ndarray:
    """Frames (bool ``[frame]``) in which both panes are suddenly brighter than in the frames around them.

    The means are grey levels of whole panes. A frame counts where each pane stands above the running median of
    9 frames by more than 6 levels and by more than 8 robust standard deviations of such differences. Where there is
    one pane only, that one decides alone.
    """
    flash = np.ones(len(contrast_means), bool)
    for means in (contrast_means,) if tissue_means is None else (contrast_means, tissue_means):
        above = means - ndimage.median_filter(means, FLASH_FRAMES, mode="nearest")
        spread = 1.4826 * np.median(np.abs(above - np.median(above)))
        flash &= above > max(FLASH_LEVELS, FLASH_SPREADS * spread)
    return flash


def crowded_value(values: np.ndarray) -> float:
    """Where the values lie closest together (half-sample mode, Bickel and Frühwirth 2006, Comput Stat Data Anal 50:3500).

    Unlike the median it stays with the good frames while up to half of the others lie below them."""
    values = np.sort(np.asarray(values, float))
    while len(values) > 3:
        half = (len(values) + 1) // 2
        widths = values[half - 1 :] - values[: len(values) - half + 1]
        start = int(widths.argmin())
        values = values[start : start + half]
    return float(np.median(values))


def _shortest(values: np.ndarray, share: float) -> float:
    """Width of the shortest stretch that holds ``share`` of the values."""
    values = np.sort(values)
    held = max(2, int(np.ceil(share * len(values))))
    return float((values[held - 1 :] - values[: len(values) - held + 1]).min()) if len(values) >= 2 else 0.0


def likeness_limit(likeness: np.ndarray) -> float:
    """The likeness below which a frame counts as lying beside the plane.

    Worked in Fisher's z, in which the scatter does not depend on the level. The usual likeness is the crowded value of
    the clip; where a quarter of the frames is clearly more alike still, theirs (they are of the reference's plane, the
    crowd is not). The scatter is told from the shortest stretch that holds a third of the frames (0.86 of a normal standard deviation),
    so that frames beside the plane do not widen it. The limit lies 5 such deviations below the usual, but never above
    0.85 and never below 0.5 of the usual likeness, and never under 0.2.
    """
    z = np.arctanh(np.clip(likeness, -0.999, 0.999))
    usual = float(np.tanh(crowded_value(z)))
    for _ in range(4):
        better = z[np.tanh(z) > usual / KEPT_SHARE]
        if usual > 0 and len(better) < BETTER_SHARE * len(z):
            break
        z = better if len(better) else z
        usual = float(np.tanh(crowded_value(z)))
    spread = _shortest(z, 1 / 3) / 0.861
    limit = float(np.tanh(np.arctanh(min(usual, 0.999)) - SPREADS * spread))
    return max(min(limit, KEPT_SHARE * usual), LOST_SHARE * usual, LEAST_LIKENESS)


def spells(likeness: np.ndarray, candidates: np.ndarray, below: float) -> list[tuple[int, int]]:
    """Runs ``(first, last + 1)`` of frames whose likeness lies under ``below`` for a while: by the running median of the
    ``candidates`` over 15 of them. Runs of less than 10 candidates are none; long ones are cut into pieces of 40 to 80."""
    numbers = np.flatnonzero(candidates)
    if len(numbers) < SHORTEST_SPELL:
        return []
    low = ndimage.median_filter(likeness[numbers], 15, mode="nearest") < below
    edges = np.flatnonzero(np.diff(np.concatenate([[False], low, [False]]).astype(int)))
    out = []
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        if b - a < SHORTEST_SPELL:
            continue
        cuts = np.linspace(a, b, max(1, (b - a) // LONG_SPELL) + 1).astype(int)
        out += [(int(numbers[c]), int(numbers[d - 1]) + 1) for c, d in pairwise(cuts)]
    return out


def between_accepted(values: np.ndarray, accepted: np.ndarray) -> np.ndarray:
    """``values`` (``[frame, ...]``) with the frames that are not accepted put between their accepted neighbours in time (linear;
    ends: the nearest)."""
    known, lost = np.flatnonzero(accepted), np.flatnonzero(~accepted)
    if len(known) == 0 or len(lost) == 0:
        return values
    out = values.copy()
    after = np.searchsorted(known, lost)
    a, b = known[np.maximum(after - 1, 0)], known[np.minimum(after, len(known) - 1)]
    share = np.where(b > a, (lost - a) / np.maximum(b - a, 1), 0.0).clip(0.0, 1.0).reshape(-1, *(1,) * (values.ndim - 1))
    out[lost] = values[a] * (1 - share) + values[b] * share
    return out
