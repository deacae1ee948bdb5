"""Finding a template again in every frame: a search on the coarse level, then a rigid fit on both levels.

Transforms are rows ``(turn, tu, tv)``: radians and mm, around a turning point (``middle_mm``) in mm of the pane.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage

from volumetry.kernels import perfusion_motion as kernels
from volumetry.perfusion.motion_levels import CHUNK, Level, Report

CANDIDATES = 3
POINTS = 20_000  # more pixels than this add time and next to no certainty: neighbours show the same speckle
STEPS = 15
LIMIT_PX = 0.01
REACH_MM = 20.0  # breathing moves a cervical node by a few mm; a swallow or a slipping hand by more
LEAST_INSIDE = 0.4


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """A picture of the reference on one level, as the points that are looked for (see ``kernels.align``)."""

    level: Level
    middle_mm: np.ndarray
    us: np.ndarray
    vs: np.ndarray
    values: np.ndarray
    slopes: np.ndarray
    products: np.ndarray
    radius_mm: float

    def find_in(self, frames: np.ndarray, starts: np.ndarray, averaged: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Transforms ``(n, 3)``, likeness and share of points inside of int16 ``frames`` on the template's level.

        ``starts`` is ``(n, k, 3)``; rows of NaN are no starts. ``averaged`` (``(n,)``): where the template is a mean that holds the frame,
        of how many frames, else 0; such a frame is like the mean by its own noise, and its likeness is told against the mean of
        the others.
        """
        n = len(frames)
        ends, likeness, share, strength = np.zeros((n, 3)), np.zeros(n), np.zeros(n), np.ones(n)
        to_x, to_y = self.level.scales(self.middle_mm)
        kernels.align(
            frames, self.level.live, self.us, self.vs, self.values, self.slopes, self.products, to_x, to_y, self.radius_mm,
            LIMIT_PX * min(self.level.mm), STEPS, np.ascontiguousarray(starts, float), ends, likeness, share, strength,
        )  # fmt: skip
        return ends, likeness if averaged is None else without_itself(likeness, strength, averaged), share


def without_itself(likeness: np.ndarray, strength: np.ndarray, averaged: np.ndarray) -> np.ndarray:
    """Likeness of a frame to the mean of the other frames, from that to a mean of ``averaged`` frames that holds it (0: does not).

    From cov(f, nT - f) and var(nT - f); ``strength`` is the scatter of the frame over that of the mean."""
    n, r = averaged.astype(float), strength
    held = (n > 1) & (likeness > -1)
    left = np.sqrt(np.maximum(n * n - 2 * n * likeness * r + r * r, 1e-12))
    return np.where(held, np.clip((n * likeness - r) / left, -1.0, 1.0), likeness)


def make_template(level: Level, picture: np.ndarray, valid: np.ndarray, region: np.ndarray | None, middle_mm: np.ndarray) -> Template:
    """``picture`` (float32 ``[row, column]`` on ``level``) where ``valid`` and, if given, inside ``region`` (bool, same grid)."""
    inside = valid if region is None else valid & region
    # A slope needs both neighbours.
    inside = inside & ndimage.binary_erosion(valid, border_value=0)
    rows, columns = np.nonzero(inside)
    if len(rows) > POINTS:
        # A regular subset, the same every time.
        keep = np.unique(np.linspace(0, len(rows) - 1, POINTS).astype(int))
        rows, columns = rows[keep], columns[keep]
    d_row, d_column = np.gradient(picture)
    us = columns * level.mm[0] + (level.factor - 1) / 2 / level.factor * level.mm[0] - middle_mm[0]
    vs = rows * level.mm[1] + (level.factor - 1) / 2 / level.factor * level.mm[1] - middle_mm[1]
    gu, gv = d_column[rows, columns] / level.mm[0], d_row[rows, columns] / level.mm[1]
    slopes = np.stack([gu, gv, gv * us - gu * vs], axis=1).astype(np.float32)
    s = slopes.astype(float)
    products = (s.T @ s)[np.triu_indices(3)]
    radius = float(np.hypot(us, vs).max()) if len(us) else 0.0
    return Template(level, middle_mm, us.astype(np.float32), vs.astype(np.float32), picture[rows, columns].astype(np.float32), slopes, products, radius)


def _spectra(pictures: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return fft.rfft2(pictures.astype(np.float32), s=shape, workers=2)


def _padded(level: Level, reach: tuple[int, int]) -> tuple[int, int]:
    rows, columns = level.live.shape
    return fft.next_fast_len(rows + reach[1], real=True), fft.next_fast_len(columns + reach[0], real=True)


def reach_px(level: Level) -> tuple[int, int]:
    """How far the search goes on a level, (x, y): 20 mm, never more than half the pane."""
    rows, columns = level.live.shape
    return max(1, min(round(REACH_MM / level.mm[0]), columns // 2)), max(1, min(round(REACH_MM / level.mm[1]), rows // 2))


def search(level: Level, picture: np.ndarray, inside: np.ndarray, numbers: np.ndarray, report: Report) -> np.ndarray:
    """Where ``picture`` (``[row, column]`` of the level, where ``inside``) lies in the frames ``numbers``, by whole pixels.

    Normalised correlation over all shifts, of the template against what lies under it in each frame (Padfield, IEEE TIP
    2012;21:2706, without the means: flattened pictures have none). Returns starts ``(n, CANDIDATES, 3)``, the best first, NaN where there
    is no such candidate; a frame without any gets no motion as its only start.
    """
    reach = reach_px(level)
    shape = _padded(level, reach)
    picture = np.where(inside, picture, 0).astype(np.float32)
    template, window = np.conj(_spectra(picture, shape)), np.conj(_spectra(inside, shape))
    # How much of the template falls on live picture at each shift.
    energy = np.conj(_spectra(picture**2, shape)) * _spectra(level.live, shape)
    template_energy = fft.irfft2(energy, s=shape, workers=2)
    least = LEAST_INSIDE * float((picture.astype(float) ** 2).sum())
    n = len(numbers)
    places, scores = np.zeros((n, CANDIDATES, 2), np.int64), np.full((n, CANDIDATES), -2.0, np.float32)
    for first in range(0, n, CHUNK):
        report("Looking for the node in every frame", first / n)
        part = slice(first, first + CHUNK)
        frames = level.frames[numbers[part]].astype(np.float32)
        numerator = fft.irfft2(_spectra(frames, shape) * template, s=shape, workers=2)
        under = fft.irfft2(_spectra(frames**2, shape) * window, s=shape, workers=2)
        kernels.best_shifts(numerator, under, template_energy, max(least, 1.0), *reach, places[part], scores[part])
    starts = np.zeros((n, CANDIDATES, 3))
    starts[..., 1:] = places * np.array(level.mm)
    starts[scores <= -2.0] = np.nan
    starts[:, 0][np.isnan(starts[:, 0, 0])] = 0.0
    return starts


def choose_reference(level: Level, excluded: np.ndarray, sampled: int = 32) -> int:
    """The frame that is most like the others: highest mean peak of correlation with a sample of them.

    ``excluded`` (bool ``[frame]``) are not chosen and not asked. The peak falls as the tissue moves out of the
    picture, so of equal frames the one in the middle of the breath is taken.
    """
    usable = np.flatnonzero(~excluded)
    if len(usable) == 0:
        usable = np.arange(len(excluded))
    asked = usable[np.unique(np.linspace(0, len(usable) - 1, min(len(usable), sampled)).astype(int))]
    reach = reach_px(level)
    shape = _padded(level, reach)
    pictures = level.frames[asked].astype(np.float32)
    norms = np.sqrt((pictures.astype(float) ** 2).sum(axis=(1, 2)))
    spectra = _spectra(pictures, shape)
    near_y, near_x = (np.abs(fft.fftfreq(m, 1 / m)) <= r for m, r in zip(shape, reach[::-1], strict=True))
    likeness = np.zeros((len(asked), len(asked)))
    for a in range(len(asked) - 1):
        peaks = fft.irfft2(np.conj(spectra[a]) * spectra[a + 1 :], s=shape, workers=2)[:, near_y][:, :, near_x].max(axis=(1, 2))
        scale = norms[a] * norms[a + 1 :]
        likeness[a, a + 1 :] = np.where(scale > 0, peaks / np.where(scale > 0, scale, 1.0), 0.0)
    likeness += likeness.T
    return int(asked[int(likeness.sum(axis=1).argmax())])


def to_matrices(transforms: np.ndarray, middle_mm: np.ndarray, mm_per_pixel: tuple[float, float]) -> np.ndarray:
    """``(n, 3)`` transforms as ``[n, 2, 3]`` matrices between full pixels."""
    sx, sy = mm_per_pixel
    cos, sin = np.cos(transforms[:, 0]), np.sin(transforms[:, 0])
    out = np.empty((len(transforms), 2, 3))
    out[:, 0, 0], out[:, 0, 1] = cos, -sin * sy / sx
    out[:, 1, 0], out[:, 1, 1] = sin * sx / sy, cos
    mx, my = middle_mm
    out[:, 0, 2] = (mx + transforms[:, 1] - cos * mx + sin * my) / sx
    out[:, 1, 2] = (my + transforms[:, 2] - sin * mx - cos * my) / sy
    return out


def about(transforms: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Each transform after the inverse of ``base`` ``(3,)``: the same places, seen from another reference."""
    turn = transforms[:, 0] - base[0]
    cos, sin = np.cos(turn), np.sin(turn)
    return np.stack([turn, transforms[:, 1] - (cos * base[1] - sin * base[2]), transforms[:, 2] - (sin * base[1] + cos * base[2])], axis=1)


def after(transforms: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Each transform after ``base`` ``(3,)``: undoes ``about``."""
    cos, sin = np.cos(transforms[:, 0]), np.sin(transforms[:, 0])
    shift = np.stack([cos * base[1] - sin * base[2], sin * base[1] + cos * base[2]], axis=1)
    return np.column_stack([transforms[:, 0] + base[0], transforms[:, 1:] + shift])


def mean_picture(level: Level, matrices: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the ``chosen`` frames (numbers) through ``matrices`` (full pixels, all frames) in the reference's axes, float32, and
    where at least half of them have a value (bool)."""
    totals, counts = np.zeros(level.live.shape, np.float32), np.zeros(level.live.shape, np.float32)
    here = level.matrices(matrices)
    for first in range(0, len(chosen), CHUNK):
        part = chosen[first : first + CHUNK]
        kernels.add_frames(level.frames[part], level.live, here[part], totals, counts)
    valid = counts >= max(1, len(chosen) / 2)
    return np.where(valid, totals / np.maximum(counts, 1), 0).astype(np.float32), valid


def mean_and_reliability(level: Level, matrices: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """``mean_picture`` of the chosen frames, and how much of it is picture rather than noise (0 to 1): the correlation of two halves,
    stepped up to the whole (Spearman and Brown)."""
    (a, valid_a), (b, valid_b) = (mean_picture(level, matrices, chosen[first::2]) for first in (0, 1))
    both = valid_a & valid_b
    if np.count_nonzero(both) < 100:
        return a, both, 0.0
    r = float(np.corrcoef(a[both], b[both])[0, 1])
    return np.where(both, (a + b) / 2, 0).astype(np.float32), both, max(0.0, 2 * r / (1 + r)) if r > 0 else 0.0
