"""Pictures of a loop in the axes of its reference frame, and masks carried into its frames.

Contrast is averaged as echo power, never as grey levels. Marks that the scanner drew over the contrast pane have no value.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from volumetry.kernels import perfusion_resample as kernels
from volumetry.perfusion.loop import ContrastLoop
from volumetry.perfusion.motion import Motion, MotionRefused
from volumetry.perfusion.motion_field import at_places

CHUNK = 64
_GREY = np.arange(256, dtype=np.float32)
_GREY.setflags(write=False)  # as the loop's table: one compiled form serves both
Report = Callable[[str, float], None]


def _fields(motion: Motion, frames: np.ndarray) -> np.ndarray:
    return np.zeros((len(frames), 0, 0, 2), np.float32) if motion.field is None else motion.field[frames]


def _matching(loop: ContrastLoop, motion: Motion) -> None:
    if motion.frames != len(loop.levels):
        raise MotionRefused(f"The motion of {motion.frames} frames does not belong to a loop of {len(loop.levels)}.")


def _drawn(loop: ContrastLoop, tissue: bool) -> np.ndarray:
    shape = loop.levels.shape[1:]
    return np.zeros(shape, bool) if tissue or loop.drawn is None else np.array(loop.drawn)


def _pane(loop: ContrastLoop, tissue: bool) -> np.ndarray:
    if not tissue:
        return loop.levels
    if loop.tissue is None:
        raise MotionRefused("The loop has no B-mode half.", code="no_bmode")
    return loop.tissue


def resample_frame(loop: ContrastLoop, motion: Motion, frame: int, *, tissue: bool = False) -> np.ndarray:
    """One frame in the axes of the reference frame: float32 ``[row, column]``, NaN where it does not reach.

    Echo power of the contrast pane, or with ``tissue`` grey levels of the B-mode pane; bilinear. Frames that are not
    accepted are resampled too, by the motion between their neighbours. Raises ``MotionRefused``: ``no_bmode``, or motion of another loop.
    """
    _matching(loop, motion)
    out = np.empty(loop.levels.shape[1:], np.float32)
    table = _GREY if tissue else loop.power_table
    level = np.array(_pane(loop, tissue)[frame], order="C")
    kernels.resample(level, _drawn(loop, tissue), table, motion.matrices[frame], _fields(motion, np.array([frame]))[0], out)
    return out


def moved_points(points_px: np.ndarray, motion: Motion, frame: int, shape: tuple[int, int]) -> np.ndarray:
    """Where reference pixels ``(n, (x, y))`` lie in a frame, ``(n, (x, y))``; ``shape``: rows and columns of the pane."""
    matrix = motion.matrices[frame]
    points_px = np.asarray(points_px, float).reshape(-1, 2)
    there = points_px @ matrix[:, :2].T + matrix[:, 2]
    if motion.field is not None:
        there = there + at_places(motion.field[frame][None].astype(float), points_px, shape)[0]
    return there


def moved_mask(mask: np.ndarray, motion: Motion, frame: int) -> np.ndarray:
    """A mask of the reference frame (bool ``[row, column]``) as it lies in a frame: bool, nearest pixel."""
    mask = np.array(mask, bool, order="C")
    matrix = motion.matrices[frame]
    inverse = np.linalg.inv(np.vstack([matrix, [0.0, 0.0, 1.0]]))[:2]
    out = np.empty(mask.shape, bool)
    kernels.carry_mask(mask, matrix, np.ascontiguousarray(inverse), _fields(motion, np.array([frame]))[0], out)
    return out


def _gathered(
    loop: ContrastLoop, motion: Motion, frames: np.ndarray | None, tissue: bool, progress: Report | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sum, highest value and number of values at each pixel of the reference frame."""
    _matching(loop, motion)
    pane, table = _pane(loop, tissue), _GREY if tissue else loop.power_table
    numbers = np.flatnonzero(motion.accepted) if frames is None else np.asarray(frames)
    numbers = np.flatnonzero(numbers) if numbers.dtype == bool else numbers.astype(int)
    shape = pane.shape[1:]
    totals, highest, counts = np.zeros(shape), np.full(shape, -np.inf, np.float32), np.zeros(shape, np.int32)
    drawn = _drawn(loop, tissue)
    marked = bool(drawn.any())
    for first in range(0, len(numbers), CHUNK):
        if progress is not None:
            progress("Averaging the frames", first / len(numbers))
        part = numbers[first : first + CHUNK]
        kernels.gather(pane[part], drawn, marked, table, motion.matrices[part], _fields(motion, part), totals, highest, counts)
    return totals, highest, counts


def _mean(totals: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan).astype(np.float32)


def mean_power(loop: ContrastLoop, motion: Motion, frames: np.ndarray | None = None, progress: Report | None = None) -> np.ndarray:
    """Mean echo power of the contrast pane after correction: float32 ``[row, column]``, NaN where no frame has a value.

    ``frames``: their numbers, or bool ``[frame]`` (None: the accepted ones). Stopped by an exception out of ``progress(text, share)``.
    """
    totals, _, counts = _gathered(loop, motion, frames, False, progress)
    return _mean(totals, counts)


def highest_power(loop: ContrastLoop, motion: Motion, frames: np.ndarray | None = None, progress: Report | None = None) -> np.ndarray:
    """Highest echo power over the frames at each pixel after correction (a maximum intensity projection over time): float32
    ``[row, column]``, NaN where no frame has a value. It shows every bubble that passed, and all noise: for looking, not for measuring."""
    _, highest, counts = _gathered(loop, motion, frames, False, progress)
    return np.where(counts > 0, highest, np.float32(np.nan))


def mean_tissue(loop: ContrastLoop, motion: Motion, frames: np.ndarray | None = None, progress: Report | None = None) -> np.ndarray:
    """Mean grey level of the B-mode pane after correction, for looking at and drawing on: float32 ``[row, column]``, NaN where none.

    Levels, not power: the picture keeps the look of the scanner, and nothing is measured on it. Raises ``MotionRefused``: ``no_bmode``.
    """
    totals, _, counts = _gathered(loop, motion, frames, True, progress)
    return _mean(totals, counts)
