"""Which frames of a loop show the plane that is measured: flashes, frames beside the plane, frames out of the picture.

All limits come from the clip itself, with absolute floors beneath them, so that neither a noisy nor a very still clip
loses its good frames.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

# A frame whose likeness has fallen to this share of the usual one is kept whatever the spread ...
KEPT_SHARE = 0.85
# ... and one that has fallen below this share is not.
LOST_SHARE = 0.5
LEAST_LIKENESS = 0.2  # beneath it a registration is chance
SPREADS = 5.0
INSIDE_SHARE = 0.6

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


def likeness_limit(likeness: np.ndarray) -> float:
    """The likeness below which a frame counts as lying beside the plane.

    Worked in Fisher's z, in which the scatter does not depend on the level. The usual likeness is the crowded value of
    the clip, its scatter the median distance of the values above it (frames beside the plane lie below). The limit lies
    5 such standard deviations below, but never above 0.85 and never below 0.5 of the usual likeness, and never under 0.2.
    """
    z = np.arctanh(np.clip(likeness, -0.999, 0.999))
    usual_z = crowded_value(z)
    above = z[z >= usual_z] - usual_z
    spread = 1.4826 * float(np.median(above)) if len(above) else 0.0
    usual = float(np.tanh(usual_z))
    limit = float(np.tanh(usual_z - SPREADS * spread))
    return max(min(limit, KEPT_SHARE * usual), LOST_SHARE * usual, LEAST_LIKENESS)


def between_accepted(transforms: np.ndarray, accepted: np.ndarray) -> np.ndarray:
    """``transforms`` with the rows that are not accepted put between their accepted neighbours in time (linear; ends: the nearest)."""
    known = np.flatnonzero(accepted)
    if len(known) in (0, len(accepted)):
        return transforms
    out = transforms.copy()
    lost = np.flatnonzero(~accepted)
    for m in range(transforms.shape[1]):
        out[lost, m] = np.interp(lost, known, transforms[known, m])
    return out
