"""The B-mode frames as motion is found on them: flattened, at about 0.2 mm and again coarser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from volumetry.kernels import perfusion_motion as kernels

Report = Callable[[str, float], None]

FINE_MM = 0.2  # motion is wanted to a few tenths of a millimetre, and finer pixels hold the machine's noise
COARSE_MM = 0.6
FLATTEN_MM = 3.0  # what changes over more than this is shadow, gain or bubbles, and stands still while tissue moves
SAMPLED = 32  # frames that are looked at to tell the picture from what is drawn on it
CHUNK = 64  # frames between two looks at whether to stop
BLACK = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """All frames at one resolution: ``frames`` int16 ``[frame, row, column]``, flattened (``kernels.STEPS`` to a grey
    level); ``live`` bool ``[row, column]`` where there is moving picture; ``factor`` full pixels to one pixel here;
    ``mm`` (x, y) of a pixel here."""

    frames: np.ndarray
    live: np.ndarray
    factor: int
    mm: tuple[float, float]

    def index(self, full: np.ndarray) -> np.ndarray:
        """Full pixel coordinates as coordinates here."""
        return (full - (self.factor - 1) / 2) / self.factor

    def scales(self, middle_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``(gain, offset)`` along x and along y: from mm around ``middle_mm`` to pixels here."""
        offsets = [middle_mm[a] / self.mm[a] - (self.factor - 1) / 2 / self.factor for a in (0, 1)]
        return np.array([1 / self.mm[0], offsets[0]]), np.array([1 / self.mm[1], offsets[1]])

    def matrices(self, full: np.ndarray) -> np.ndarray:
        """``[frame, 2, 3]`` between full pixels as the same transforms between pixels here."""
        here = full.copy()
        shift = (self.factor - 1) / 2
        here[:, :, 2] = (full[:, :, 0] * shift + full[:, :, 1] * shift + full[:, :, 2] - shift) / self.factor
        return here


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """``fine`` and ``coarse``, and the mean grey of each frame over the live picture (``means``, 0 to 255)."""

    fine: Level
    coarse: Level
    means: np.ndarray


def _shrunk(frames: np.ndarray, factor: int) -> np.ndarray:
    out = np.empty((len(frames), frames.shape[1] // factor, frames.shape[2] // factor), np.float32)
    kernels.shrink(np.ascontiguousarray(frames), factor, out)
    return out


def live_pixels(sample: np.ndarray) -> np.ndarray:
    """Where the pictures of ``sample`` (float32 ``[frame, row, column]``) show tissue: neither black throughout nor drawn on.

    A pixel whose grey varies over the clip by less than a fifth of what is usual stands still while the
    tissue moves: a mark, a scale, the rim of the sector. In a clip where next to nothing varies, every
    pixel that is not black counts.
    """
    seen = sample.max(axis=0) > BLACK
    if not seen.any():
        return seen
    spread = sample.std(axis=0)
    usual = float(np.median(spread[seen]))
    live = seen & (spread > 0.2 * usual) if usual > 0.25 else seen
    if np.count_nonzero(live) < 0.3 * np.count_nonzero(seen):
        live = seen
    # One pixel within: the rim of the sector and of a mark is half tissue.
    eroded = ndimage.binary_erosion(ndimage.binary_closing(np.pad(live, 2), iterations=1)[2:-2, 2:-2] & seen, border_value=1)
    return eroded if eroded.any() else live


def triangle(factor: int) -> np.ndarray:
    """Weights of a coarse pixel over fine ones: a box of its size, smeared twice (float32, sum 1)."""
    box = np.ones(factor)
    weights = np.convolve(np.convolve(box, box), box)
    return (weights / weights.sum()).astype(np.float32)


def build_levels(tissue: np.ndarray, mm_per_pixel: tuple[float, float], report: Report) -> Levels:
    """Both resolutions of ``tissue`` (uint8 ``[frame, row, column]``)."""
    n, rows, columns = tissue.shape
    size = min(mm_per_pixel)
    factor = max(1, min(round(FINE_MM / size), min(rows, columns) // 48))
    fine_mm = (mm_per_pixel[0] * factor, mm_per_pixel[1] * factor)
    sample = _shrunk(tissue[np.unique(np.linspace(0, n - 1, min(n, SAMPLED)).astype(int))], factor)
    live = live_pixels(sample)
    ratio = max(1, min(round(COARSE_MM / min(fine_mm)), min(live.shape) // 24))
    coarse_shape = live.shape[0] // ratio, live.shape[1] // ratio
    rx, ry = (max(2, round(FLATTEN_MM / mm)) for mm in fine_mm)
    weights = triangle(ratio)
    fine = np.empty((n, *live.shape), np.int16)
    coarse = np.empty((n, *coarse_shape), np.int16)
    means = np.empty(n)
    for first in range(0, n, CHUNK):
        report("Preparing the frames", first / n)
        part = _shrunk(tissue[first : first + CHUNK], factor)
        means[first : first + CHUNK] = part[:, live].mean(axis=1) if live.any() else 0.0
        kernels.flatten(part, live, rx, ry, fine[first : first + CHUNK])
        kernels.coarsen(fine[first : first + CHUNK], weights, ratio, coarse[first : first + CHUNK])
    groups = live[: coarse_shape[0] * ratio, : coarse_shape[1] * ratio].reshape(coarse_shape[0], ratio, coarse_shape[1], ratio)
    coarse_live = groups.mean(axis=(1, 3)) > 0.5
    return Levels(
        Level(fine, live, factor, fine_mm),
        Level(coarse, coarse_live, factor * ratio, (fine_mm[0] * ratio, fine_mm[1] * ratio)),
        means,
    )
