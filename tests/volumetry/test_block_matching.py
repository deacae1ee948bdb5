"""Blocks of one picture found again in another."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from volumetry.block_matching import correlation, refind_blocks, resampled
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume

GRID = ImageGeometry.from_spacing((40, 48, 48), (1.5, 1.5, 2.0), (-30, 12, 400))


def texture(seed: int = 1) -> np.ndarray:
    return ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 300, GRID.shape), 1.5).astype(np.float32)


def shift(vector) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, 3] = vector
    return matrix


def test_that_the_correlation_is_that_of_every_window():
    rng = np.random.default_rng(2)
    block, area = rng.normal(size=(3, 4, 5)), rng.normal(5, 2, size=(5, 7, 6))
    area[:3, :4, :5] = 7.0  # flat: no correlation is defined
    score = correlation(block, area)
    assert score.shape == (3, 4, 2)
    assert score[0, 0, 0] == -1
    for place in np.ndindex(*score.shape):
        window = area[tuple(slice(p, p + n) for p, n in zip(place, block.shape, strict=True))]
        if place != (0, 0, 0):
            assert score[place] == pytest.approx(np.corrcoef(block.ravel(), window.ravel())[0, 1])


def test_that_resampling_follows_the_matrix_through_both_grids():
    k, j, i = np.indices(GRID.shape)
    points = GRID.index_to_world(np.stack([i, j, k], axis=-1))
    linear = (points @ [0.3, -0.2, 0.5]).astype(np.float32)
    target = ImageGeometry.from_spacing((5, 6, 7), (1.1, 1.3, 1.7), (-10, 30, 425))
    kk, jj, ii = np.indices(target.shape)
    mapped = target.index_to_world(np.stack([ii, jj, kk], axis=-1)) + np.array([2, 3, -4])
    assert resampled(linear, GRID, target, shift((2, 3, -4))) == pytest.approx(mapped @ [0.3, -0.2, 0.5], abs=1e-3)


def test_that_a_rest_of_a_millimetre_or_two_is_measured_where_it_is():
    fixed = ImageVolume(texture(), GRID, "a.u.")
    region = np.ones(GRID.shape, dtype=bool)
    for rest in ((0.0, 0.0, 0.0), (1.4, -0.8, 2.2)):
        moving = ImageVolume(fixed.array, ImageGeometry(GRID.shape, shift((5, 5, 5)) @ GRID.affine), "a.u.")
        found = refind_blocks(fixed, moving, region, shift(np.array((5.0, 5, 5)) - rest))
        assert found.found_share == 1.0
        moves = found.moving_mm - found.fixed_mm
        assert moves.mean(axis=0) == pytest.approx([5, 5, 5], abs=0.1)
        assert np.abs(moves - 5).max() < 1.0  # every block nearer than half a step of the search


def test_that_other_texture_and_places_outside_are_not_found():
    fixed = ImageVolume(texture(), GRID, "a.u.")
    region = np.ones(GRID.shape, dtype=bool)
    other = refind_blocks(fixed, ImageVolume(texture(9), GRID, "a.u."), region, np.eye(4))
    assert other.searched > 10
    assert other.found_share < 0.1
    far = refind_blocks(fixed, fixed, region, shift((500, 0, 0)))
    assert (far.searched, len(far.fixed_mm), far.found_share) == (0, 0, 0.0)
    half = region.copy()
    half[:, :, :24] = False
    kept = refind_blocks(fixed, fixed, half, np.eye(4))
    assert kept.searched > 0
    assert (GRID.world_to_index(kept.fixed_mm)[:, 0] > 23).all()
