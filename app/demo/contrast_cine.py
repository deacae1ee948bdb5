"""Synthetic contrast loops whose every answer is known: speckle of given power, compressed, coloured, moving.

The echo of a pixel is the sum of three complex Gaussian parts: bubbles (new from frame to frame), tissue that leaks
into the contrast pane (moves with the tissue, keeps its speckle) and the receiver's noise. So the mean power of a
region is exactly ``curve(t) + leak + floor``, in units of the display's black.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import ndimage

from app.demo import contrast_pictures
from app.demo.contrast_curves import Curve, NoContrast
from app.demo.contrast_scene import REGIONS, CineOptions, Section, TrueMotion, draw_curves, draw_motion, frame_intervals_s, make_section
from app.demo.kernels.contrast import paint_contrast_frame
from app.jobs.progress import JobContext
from volumetry.image import Cine
from volumetry.perfusion.loop import ContrastLoop

OVERSAMPLE, MARGIN = 2, 24  # of the tissue's own speckle: samples a pixel, pixels around the pane
FLASH_FRAMES = 2
FLASH_BMODE_DB, FLASH_LEAK_DB, FLASH_BUBBLE_DB = 9.0, 30.0, 10.0
REFILL_PER_S = 0.22  # of every region after a flash within a bolus


@dataclass(frozen=True, slots=True, eq=False)
class CineTruth:
    """What is true of a synthetic loop, in the reference frame.

    ``curves``: the contrast's own power of each region of ``REGIONS``; ``floor``: power of the receiver's noise, ``gain``
    of the contrast pane (both linear); tissue leaks ``gain * section.leak`` into it.
    ``accepted`` bool ``[frame]``: in plane and no flash. ``viable_fraction`` of the node's section, ``viable_ml`` of
    ``node_ml`` (the node as an ellipsoid). ``flash_frames``: their numbers.
    """

    section: Section
    curves: dict[str, Curve]
    floor: float
    gain: float
    motion: TrueMotion
    accepted: np.ndarray
    flash_frames: tuple[int, ...]
    flash_ends_s: tuple[float, ...]
    viable_fraction: float
    node_ml: float
    viable_ml: float

    def contrast_power(self, region: str, times_s) -> np.ndarray:
        """Mean contrast power of a region, with what flashes destroyed."""
        times = np.asarray(times_s, dtype=np.float64)
        return self.curves[region].power(times) * refilled(times, self.flash_ends_s, self.curves[region])

    def baseline(self, mask: np.ndarray) -> float:
        """Mean power of a part of the section without contrast: leak and noise."""
        return self.floor + self.gain * float(self.section.leak[mask].mean())

    def power(self, mask: np.ndarray | str, times_s) -> np.ndarray:
        """Mean echo power of a region, or of any mask of the section, as the contrast pane shows it in frames that are
        in plane and no flash: contrast, leak and noise."""
        mask = self.mask(mask) if isinstance(mask, str) else mask
        total = np.full(np.shape(times_s), self.baseline(mask))
        for number, region in enumerate(REGIONS):
            share = float(self.section.weights[mask & (self.section.labels == number)].sum()) / int(mask.sum())
            if share:
                total = total + share * self.contrast_power(region, times_s)
        return total

    def mask(self, region: str, margin_px: float = 0.0) -> np.ndarray:
        """Bool mask of a region of ``REGIONS`` or of the ``node``, ``margin_px`` within its border."""
        mask = self.section.node if region == "node" else self.section.mask(region)
        return mask if margin_px <= 0 else ndimage.distance_transform_edt(mask) > margin_px

    def matrices_from(self, frame: int) -> np.ndarray:
        """The matrices with ``frame`` as the reference: ``[frame, 2, 3]``."""
        full = np.concatenate([self.motion.matrices, np.tile([[[0.0, 0.0, 1.0]]], (len(self.accepted), 1, 1))], axis=1)
        return (full @ np.linalg.inv(full[frame]))[:, :2]


def refilled(times_s: np.ndarray, flash_ends_s: tuple[float, ...], curve: Curve) -> np.ndarray:
    """Share of the bubbles that are back after the flashes before each time; a replenishment curve tells it itself."""
    out = np.ones(times_s.shape)
    if hasattr(curve, "beta_per_s"):
        return out
    for end in flash_ends_s:
        out = out * np.where(times_s >= end, -np.expm1(-REFILL_PER_S * np.maximum(times_s - end, 0.0)), 1.0)
    return out


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticCine:
    """A synthetic loop: ``levels`` and ``tissue`` uint8 ``[frame, row, column]`` of both panes before colour and layout,
    ``intervals_s`` (0 first), how it was made and what is true."""

    options: CineOptions
    seed: int
    levels: np.ndarray
    tissue: np.ndarray
    intervals_s: np.ndarray
    truth: CineTruth = field(repr=False)

    @property
    def times_s(self) -> np.ndarray:
        """True time of each frame from the first."""
        return np.cumsum(self.intervals_s)

    def loop(self, *, one_pane: bool = False) -> ContrastLoop:
        """The loop as the numeric parts take it, straight from the panes."""
        px = self.options.mm_per_pixel
        tissue = None if one_pane else self.tissue
        return ContrastLoop(self.levels, tissue, self.times_s, self.options.range_db, (px, px), flash_frames=self.truth.flash_frames)

    @property
    def layout(self) -> contrast_pictures.Layout:
        """Where the panes and the colour bar lie in the picture."""
        return contrast_pictures.layout_of(self.options)

    def picture(self, frame: int) -> np.ndarray:
        """A frame as the machine stores it: uint8 ``[row, column]`` or ``[row, column, 3]``."""
        return contrast_pictures.compose(self.options, self.levels[frame], self.tissue[frame], float(self.times_s[frame]))

    def drawn(self) -> np.ndarray:
        """Bool mask of the contrast pane's pixels that hold letters."""
        return contrast_pictures.drawn_mask(self.options)

    def cine(self, **kwargs) -> Cine:
        """The loop as a ``Cine`` without a file; see ``contrast_pictures.as_cine``."""
        return contrast_pictures.as_cine(self, **kwargs)

    def write_dicom(self, path: Path, compression: str = "raw", **kwargs) -> None:
        """Write it as an ultrasound multi-frame file, ``raw`` or ``jpeg``; see ``contrast_pictures.write_dicom``."""
        contrast_pictures.write_dicom(self, path, compression, **kwargs)


def make_cine(seed: int, options: CineOptions | None = None, context: JobContext | None = None) -> SyntheticCine:
    """The loop of ``seed``; the same seed and options give the same loop. Cancelled through ``context``."""
    options = options or CineOptions()
    rng = np.random.default_rng([int(seed), 61])
    section = make_section(np.random.default_rng([int(seed), 62]), options, look=np.random.default_rng([int(seed), 63]))
    other = make_section(np.random.default_rng([int(seed), 62]), options, look=np.random.default_rng([int(seed), 64]), node_scale=0.55)
    return simulate((section, other), None, options, rng, int(seed), context or JobContext())


def simulate(
    sections: tuple[Section, Section], curves: dict[str, Curve] | None, options: CineOptions, rng: np.random.Generator, seed: int, context: JobContext
) -> SyntheticCine:
    """A loop of ``sections``: the one in plane, and what is seen beside it. ``curves`` None: drawn; then and with them
    ``rng`` draws times, motion and speckle."""
    section = sections[0]
    intervals = frame_intervals_s(rng, options)
    times = np.cumsum(intervals)
    flash, ends = _flashes(options, times)
    if curves is None:
        curves = draw_curves(rng, options, ends[0] if ends else 0.0)
    motion = draw_motion(rng, options, times, flash)
    levels, tissue = render(sections, curves, motion, flash, ends, times, options, rng, context)
    share = int((section.node & section.mask("viable")).sum()) / int(section.node.sum())
    node_ml, gain = float(section.facts["node_ml"]), 10 ** (options.overgain_db / 10)
    truth = CineTruth(
        section, curves, gain * 10 ** (options.floor_db / 10), gain, motion, motion.in_plane & ~flash, tuple(int(n) for n in np.flatnonzero(flash)),
        ends, share, node_ml, node_ml * share,
    )  # fmt: skip
    return SyntheticCine(options, seed, levels, tissue, intervals, truth)


def _flashes(options: CineOptions, times_s: np.ndarray) -> tuple[np.ndarray, tuple[float, ...]]:
    """Which frames flash, and the time from which bubbles flow in again after each flash (half a step after its last frame)."""
    count = max(options.flashes, 1 if options.model == "replenishment" else 0)
    flash, ends = np.zeros(times_s.size, dtype=bool), []
    for n in range(count):
        refill = options.model == "replenishment" and n == 0
        first = min(8, times_s.size // 4) if refill else round(times_s.size * (0.45 + 0.4 * n / count))
        last = min(first + FLASH_FRAMES, times_s.size - 1) - 1
        flash[first : last + 1] = True
        ends.append(float(0.5 * (times_s[last] + times_s[last + 1])))
    return flash, tuple(ends)


def gaussian_taps(sigma_px: float) -> np.ndarray:
    """A Gaussian with unit energy, so that white noise keeps its power."""
    half = max(1, math.ceil(3.0 * sigma_px))
    taps = np.exp(-0.5 * (np.arange(-half, half + 1) / max(sigma_px, 1e-3)) ** 2)
    return (taps / math.sqrt(float((taps**2).sum()))).astype(np.float32)


def _tissue_speckle(rng: np.random.Generator, options: CineOptions, sigma_px) -> np.ndarray:
    """Complex Gaussian field of unit power on the fine grid: float32 ``[2, row, column]``."""
    shape = tuple((n + 2 * MARGIN) * OVERSAMPLE for n in options.shape)
    out = np.empty((2, *shape), dtype=np.float32)
    taps = [gaussian_taps(s * OVERSAMPLE) for s in sigma_px]
    for part in out:
        noise = rng.standard_normal(shape, dtype=np.float32)
        for axis in range(2):
            noise = ndimage.correlate1d(noise, taps[axis], axis=axis, mode="wrap")
        part[:] = noise * np.float32(math.sqrt(0.5))
    return out


def render(
    sections: tuple[Section, Section], curves: dict[str, Curve], motion: TrueMotion, flash: np.ndarray, ends: tuple[float, ...],
    times_s: np.ndarray, options: CineOptions, rng: np.random.Generator, context: JobContext,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Contrast and B-mode levels, uint8 ``[frame, row, column]``. ``sections``: the one in plane, and what is seen out of it."""
    frames, shape = times_s.size, options.shape
    sigma = [mm / options.mm_per_pixel for mm in options.speckle_mm]
    taps = [gaussian_taps(s) for s in sigma]
    fine = [_tissue_speckle(rng, options, sigma), None]
    gain = 10 ** (options.overgain_db / 10)
    floor = gain * 10 ** (options.floor_db / 10)
    values = np.stack([curves[name].power(times_s) * refilled(times_s, ends, curves[name]) for name in REGIONS], axis=1).astype(np.float32)
    values[flash] *= 10 ** (FLASH_BUBBLE_DB / 10)  # bursting bubbles are loud
    silent = all(isinstance(c, NoContrast) for c in curves.values())
    ranges = (float(options.range_db), float(options.bmode_range_db))
    levels, tissue = np.empty((frames, *shape), dtype=np.uint8), np.empty((frames, *shape), dtype=np.uint8)
    bubbles, before = None, np.zeros(2, dtype=int)
    for n in range(frames):
        which = 0 if motion.in_plane[n] else 1
        if fine[which] is None:
            fine[which] = _tissue_speckle(rng, options, sigma)
        section = sections[which]
        fresh = rng.standard_normal((2, *shape), dtype=np.float32) * np.float32(math.sqrt(0.5))
        keep = math.exp(-float(times_s[n] - times_s[n - 1]) / options.bubble_life_s) if n else 0.0
        place = np.rint(motion.matrices[n, ::-1, 2]).astype(int)
        if bubbles is not None and keep > 0.02:  # the bubbles that are still there moved with the tissue
            fresh = np.float32(keep) * np.roll(bubbles, tuple(place - before), axis=(1, 2)) + np.float32(math.sqrt(1 - keep * keep)) * fresh
        bubbles, before = fresh, place
        power = np.zeros(shape, dtype=np.float32) if silent else values[n][section.labels] * section.weights
        leak, echo = section.leak, section.tissue
        if flash[n]:
            leak, echo = leak * np.float32(10 ** (FLASH_LEAK_DB / 10)), echo * np.float32(10 ** (FLASH_BMODE_DB / 10))
        full = np.vstack([motion.matrices[n], [0.0, 0.0, 1.0]])
        displacement = np.zeros((1, 1, 2), dtype=np.float32) if motion.field is None else motion.field[n]
        paint_contrast_frame(
            fresh.copy(), taps[0], taps[1], options.blur, np.ascontiguousarray(np.linalg.inv(full)[:2]), displacement, power,
            np.ascontiguousarray(leak * np.float32(gain)), np.ascontiguousarray(echo), fine[which], OVERSAMPLE, MARGIN, floor, 10.0, ranges,
            levels[n], tissue[n],
        )  # fmt: skip
        if n % 10 == 0:
            context.report("Simulating the contrast clip", n / frames)
    return levels, tissue
