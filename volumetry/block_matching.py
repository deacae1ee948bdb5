"""Finding small pieces of one picture again in another: what a registration is checked by.

Blocks with structure in all directions are looked for by normalised correlation around the place
where a transform puts them (Ourselin et al., Image Vis Comput 2000;19:25). Pictures of one modality
only: a block that looks different is not found, and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume

GRID_MM = 2.0
BLOCK_MM, REACH_MM = 14.0, 6.0
MAX_BLOCKS = 150
MIN_CORRELATION = 0.6


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Middle of each re-found block in the fixed and in the moving picture, (n, 3) LPS mm each;
    ``searched`` is how many were looked for."""

    fixed_mm: np.ndarray
    moving_mm: np.ndarray
    searched: int

    @property
    def found_share(self) -> float:
        """Re-found blocks over those looked for, 0 to 1."""
        return len(self.fixed_mm) / max(self.searched, 1)


def resampled(array: np.ndarray, geometry: ImageGeometry, grid: ImageGeometry, matrix: np.ndarray) -> np.ndarray:
    """``array`` on ``grid`` through ``matrix`` (4x4, from the grid's frame to the array's); float32,
    linear, 0 outside."""
    pull = np.linalg.inv(geometry.affine) @ matrix @ grid.affine
    flip = np.eye(3)[::-1]  # arrays are [k, j, i], points (i, j, k)
    return ndimage.affine_transform(
        array, flip @ pull[:3, :3] @ flip, offset=pull[:3, 3][::-1], output_shape=grid.shape, order=1, mode="constant", output=np.float32
    )


def correlation(block: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Normalised correlation (-1 to 1) of ``block`` at every place inside the larger ``area``."""
    windows = np.lib.stride_tricks.sliding_window_view(area, block.shape)
    flat = windows.reshape(*windows.shape[:3], -1)
    a = (block - block.mean()).ravel()
    b = flat - flat.mean(axis=-1, keepdims=True)
    scale = np.linalg.norm(a) * np.linalg.norm(b, axis=-1)
    return np.where(scale > 0, (b @ a) / np.where(scale > 0, scale, 1.0), -1.0)


def refind_blocks(fixed: ImageVolume, moving: ImageVolume, region: np.ndarray, matrix: np.ndarray) -> Blocks:
    """Blocks of ``fixed`` inside ``region`` (bool on its grid) that are found again in ``moving``
    within ``REACH_MM`` of where ``matrix`` (4x4, fixed to moving, LPS mm) puts them.

    Both volumes are orthogonal grids. The peak of correlation is refined by a parabola along each
    axis; a peak at the rim of the search, or below 0.6, counts as not found.
    """
    factors = GRID_MM / np.array(fixed.geometry.spacing_mm)
    shape = tuple(max(1, int(n / f)) for n, f in zip(fixed.array.shape, factors[::-1], strict=True))
    affine = fixed.geometry.affine.copy()
    affine[:3, :3] *= factors
    grid = ImageGeometry(shape, affine)
    here = resampled(fixed.array, fixed.geometry, grid, np.eye(4))
    inside = resampled(region.astype(np.float32), fixed.geometry, grid, np.eye(4)) > 0.5
    there = resampled(moving.array, moving.geometry, grid, matrix)
    known = resampled(np.ones(moving.array.shape, np.float32), moving.geometry, grid, matrix) > 0.999
    half, reach = int(BLOCK_MM / GRID_MM / 2), int(REACH_MM / GRID_MM)
    margin = half + reach

    def around(array: np.ndarray, centre, size: int) -> np.ndarray:
        return array[tuple(slice(c - size, c + size + 1) for c in centre)]

    candidates = []
    for centre in np.ndindex(*(max(0, (n - 2 * margin + 2 * half) // (2 * half + 1)) for n in shape)):
        centre = tuple(margin + c * (2 * half + 1) for c in centre)
        if inside[centre] and around(known, centre, margin).all():
            # structure in the poorest direction: along an edge alone a block can slide
            g = np.stack([d.ravel() for d in np.gradient(around(here, centre, half))])
            candidates.append((float(np.linalg.eigvalsh(g @ g.T)[0]), centre))
    candidates.sort(reverse=True)
    places, moves = [], []
    for _, centre in candidates[:MAX_BLOCKS]:
        score = correlation(around(here, centre, half), around(there, centre, margin))
        peak = np.unravel_index(int(score.argmax()), score.shape)
        if score[peak] < MIN_CORRELATION or any(p in (0, 2 * reach) for p in peak):
            continue
        fine = []
        for axis in range(3):
            line = [score[tuple(p + (d if a == axis else 0) for a, p in enumerate(peak))] for d in (-1, 0, 1)]
            bend = line[0] - 2 * line[1] + line[2]
            fine.append(peak[axis] - reach + (0.5 * (line[0] - line[2]) / bend if bend < 0 else 0.0))
        places.append(centre[::-1])
        moves.append(fine[::-1])
    places, moves = np.array(places, dtype=float).reshape(-1, 3), np.array(moves).reshape(-1, 3)
    start = grid.index_to_world(places)
    end = grid.index_to_world(places + moves)
    return Blocks(start, end @ matrix[:3, :3].T + matrix[:3, 3], min(len(candidates), MAX_BLOCKS))
