"""The kernels of motion agree with their slow forms."""

from __future__ import annotations

import numpy as np
import pytest

from tests.reference import motion_twins as twins
from volumetry.kernels import perfusion_motion as kernels
from volumetry.kernels import perfusion_resample as pictures
from volumetry.perfusion import motion_align
from volumetry.perfusion.motion_levels import Level, triangle


@pytest.fixture(scope="module")
def frames():
    """Smooth random int16 pictures, and a live mask with a hole and a dead rim."""
    from scipy import ndimage

    rng = np.random.default_rng(5)
    smooth = ndimage.gaussian_filter(rng.normal(size=(3, 40, 50)), (0, 1.2, 1.2))
    return np.rint(smooth / smooth.std() * 900).astype(np.int16)


@pytest.fixture(scope="module")
def live():
    mask = np.ones((40, 50), bool)
    mask[:2] = mask[:, -3:] = False
    mask[10:14, 20:23] = False
    return mask


def turned(turn, tx, ty):
    return np.array([[np.cos(turn), -np.sin(turn), tx], [np.sin(turn), np.cos(turn), ty]])


def test_that_shrinking_takes_means_of_squares():
    frames = np.random.default_rng(1).integers(0, 256, (2, 11, 17)).astype(np.uint8)
    out = np.empty((2, 3, 5), np.float32)
    kernels.shrink(frames, 3, out)
    assert np.allclose(out, twins.shrink(frames, 3), atol=1e-4)


def test_that_flattening_takes_off_the_mean_of_live_pixels(live):
    pictures_ = np.random.default_rng(2).uniform(0, 255, (2, 40, 50)).astype(np.float32)
    out = np.empty(pictures_.shape, np.int16)
    kernels.flatten(pictures_, live, 7, 4, out)
    assert np.abs(out / kernels.STEPS - twins.flatten(pictures_, live, 7, 4)).max() <= 0.5 / kernels.STEPS + 1e-3
    assert not out[:, ~live].any()


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_that_coarse_pixels_are_weighted_means_about_their_middle(frames, factor):
    shape = 40 // factor, 50 // factor
    out = np.empty((3, *shape), np.int16)
    weights = triangle(factor)
    kernels.coarsen(frames, weights, factor, out)
    assert np.abs(out - twins.coarsen(frames, weights, factor, shape)).max() <= 0.51
    assert np.allclose(weights, weights[::-1])
    assert np.isclose(weights.sum(), 1)
    # A ramp keeps its value at the middle of the group, so both levels speak of the same places.
    ramp = np.tile(np.arange(50, dtype=np.int16) * 100, (1, 40, 1))
    kernels.coarsen(ramp, weights, factor, out[:1])
    inner = slice(2, -2)
    assert np.abs(out[0, shape[0] // 2, inner] - 100 * (np.arange(shape[1]) * factor + (factor - 1) / 2)[inner]).max() <= 0.51


def test_that_the_search_finds_the_shift_a_slow_search_finds(frames):
    level = Level(frames, np.ones((40, 50), bool), 1, (1.0, 1.0))
    inside = np.zeros((40, 50), bool)
    inside[12:28, 15:35] = True
    moved = np.roll(frames[0], (-4, 6), axis=(0, 1))
    level = Level(np.stack([frames[0], moved, frames[1]]), level.live, 1, (1.0, 1.0))
    starts = motion_align.search(level, frames[0].astype(np.float32), inside, np.arange(3), lambda text, share: None)
    assert np.array_equal(starts[:2, 0], [[0, 0, 0], [0, 6, -4]])
    reach = motion_align.reach_px(level)
    for k in range(3):
        # Unrelated pictures too: the best place by chance is the same one.
        slow, _ = twins.best_shift(level.frames[k], frames[0], inside, min(reach))
        assert np.array_equal(starts[k, 0, 1:], slow)


def test_that_an_alignment_ends_where_no_neighbour_is_better(frames, live):
    level = Level(frames, live, 1, (0.5, 0.5))
    middle = np.array([12.0, 10.0])
    template = motion_align.make_template(level, frames[0].astype(np.float32), live, None, middle)
    x, y = np.meshgrid(np.arange(50.0), np.arange(40.0))
    truth = np.array([0.03, 0.6, -0.4])
    # The frame in which a pixel of the reference has moved by the truth shows the reference at the place moved back.
    matrix = motion_align.to_matrices(truth[None], middle, (0.5, 0.5))[0]
    back = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    moved = np.nan_to_num(twins.seen(frames[0], back, x, y))
    ends, likeness, share = template.find_in(np.rint(moved).astype(np.int16)[None], np.zeros((1, 1, 3)))
    assert np.abs(ends[0] - truth).max() < 0.02
    to_x, to_y = level.scales(middle)
    slow, inside = twins.rigid_likeness(np.rint(moved), live, template.us, template.vs, template.values, to_x, to_y, ends[0])
    assert likeness[0] == pytest.approx(slow, abs=1e-4)
    assert share[0] == pytest.approx(inside, abs=0.005)
    for step in np.vstack([np.eye(3), -np.eye(3)]) * (0.01, 0.1, 0.1):
        assert twins.rigid_likeness(np.rint(moved), live, template.us, template.vs, template.values, to_x, to_y, ends[0] + step)[0] < slow


def test_that_transforms_follow_one_another():
    rng = np.random.default_rng(3)
    transforms, base = rng.normal(size=(5, 3)) * 0.3, rng.normal(size=3) * 0.3
    assert np.allclose(motion_align.after(motion_align.about(transforms, base), base), transforms)
    full = [np.vstack([m, [0, 0, 1]]) for m in motion_align.to_matrices(np.vstack([transforms, base]), np.array([4.0, 7.0]), (0.2, 0.3))]
    seen_from_base = motion_align.to_matrices(motion_align.about(transforms, base), np.array([4.0, 7.0]), (0.2, 0.3))
    for k in range(5):
        assert np.allclose(seen_from_base[k], (full[k] @ np.linalg.inv(full[5]))[:2])


def test_that_frames_are_added_up_where_they_have_a_value(frames, live):
    matrices = np.stack([turned(0.05, 2.3, -1.7), turned(-0.1, -4.2, 3.3), turned(0.0, 0.0, 0.0)])
    totals, counts = np.zeros((40, 50), np.float32), np.zeros((40, 50), np.float32)
    kernels.add_frames(frames, live, matrices, totals, counts)
    x, y = np.meshgrid(np.arange(50.0), np.arange(40.0))
    slow = np.stack([twins.seen(f, m, x, y, live) for f, m in zip(frames, matrices, strict=True)])
    assert np.array_equal(counts, np.isfinite(slow).sum(axis=0))
    assert np.allclose(totals, np.nansum(slow, axis=0), atol=0.05)


def test_that_blocks_are_found_where_a_slow_search_finds_them(frames):
    template = frames[0].astype(np.float32)
    matrix = turned(0.02, 1.5, -0.5)
    shifted = np.roll(frames[0], (2, -1), axis=(0, 1))
    centres = np.array([[20, 18], [30, 22], [1, 1]])
    out = np.empty((2, 3, 3), np.float32)
    kernels.block_shifts(np.stack([shifted, frames[1]]), template, np.stack([matrix, turned(0, 0, 0)]), centres, 5, 4, 4, out)
    for f, (frame, m) in enumerate(((shifted, matrix), (frames[1], turned(0, 0, 0)))):
        for b in range(2):
            place, score = twins.block_shift(frame, template, m, centres[b], (5, 4), 4)
            if max(abs(place[0]), abs(place[1])) == 4:
                assert out[f, b, 2] == -2
                continue
            assert out[f, b, 2] == pytest.approx(score.max(), abs=1e-4)
            assert np.abs(out[f, b, :2] - place).max() <= 0.5
            j, i = np.array(place[::-1]) + 4
            a, c, e = score[j, i - 1 : i + 2]
            assert out[f, b, 0] == pytest.approx(place[0] + 0.5 * (a - e) / (a - 2 * c + e), abs=1e-3)
    assert (out[:, 2, 2] == -2).all()  # no room for the block


def test_that_the_likeness_through_a_field_is_the_slow_one(frames, live):
    xs, ys = (a.ravel().astype(np.float32) for a in np.meshgrid(np.arange(8, 40.0), np.arange(6, 30.0)))
    values = frames[0][ys.astype(int), xs.astype(int)].astype(np.float32)
    matrices = np.stack([turned(0.02, 0.5, -0.8), turned(0, 0, 0), turned(-0.03, 1.0, 1.0)])
    fields = np.random.default_rng(4).normal(size=(3, 4, 5, 2))
    out = np.empty(3)
    kernels.likeness_through(frames, live, xs, ys, values, matrices, fields, np.array([0.0, 49.0, 0.0, 39.0]), out)
    for f in range(3):
        fx, fy = twins.field_at(fields[f], xs, ys, (40, 50))
        m = matrices[f]
        px, py = m[0, 0] * xs + m[0, 1] * ys + m[0, 2] + fx, m[1, 0] * xs + m[1, 1] * ys + m[1, 2] + fy
        value = twins.seen(frames[f], turned(0, 0, 0), px, py, live)
        ok = np.isfinite(value)
        assert out[f] == pytest.approx(twins.correlation(value[ok], values[ok].astype(float)), abs=1e-4)


@pytest.mark.parametrize("bent", [False, True])
def test_that_pictures_through_the_motion_are_the_slow_ones(bent):
    rng = np.random.default_rng(6)
    levels = rng.integers(0, 256, (3, 24, 31)).astype(np.uint8)
    drawn = np.zeros((24, 31), bool)
    drawn[5:7, 8:12] = True
    table = np.power(10.0, np.arange(256) * 60 / 2550).astype(np.float32)
    matrices = np.stack([turned(0.1, 2.0, -3.0), turned(0, 0, 0), turned(-0.2, 4.5, 1.2)])
    fields = rng.normal(size=(3, 3, 4, 2)).astype(np.float32) if bent else np.zeros((3, 0, 0, 2), np.float32)
    for marks in (np.zeros((24, 31), bool), drawn):
        slow = np.stack([twins.resample(levels[f], marks, table, matrices[f], fields[f]) for f in range(3)])
        totals, highest, counts = np.zeros((24, 31)), np.full((24, 31), -np.inf, np.float32), np.zeros((24, 31), np.int32)
        pictures.gather(levels, marks, bool(marks.any()), table, matrices, fields, totals, highest, counts)
        assert np.array_equal(counts, np.isfinite(slow).sum(axis=0))
        assert np.allclose(totals, np.nansum(slow, axis=0), rtol=1e-4, atol=1.0)  # of up to 1e6
        some = counts > 0
        assert np.allclose(highest[some], np.nanmax(slow[:, some], axis=0), rtol=1e-4, atol=1.0)
    for f in range(3):
        out = np.empty((24, 31), np.float32)
        pictures.resample(levels[f], drawn, table, matrices[f], fields[f], out)
        assert np.allclose(out, slow[f], rtol=1e-4, equal_nan=True)


@pytest.mark.parametrize("bent", [False, True])
def test_that_a_carried_mask_covers_the_pixels_that_come_from_it(bent):
    y, x = np.mgrid[:60, :80]
    mask = np.hypot(x - 38, y - 30) < 14
    matrix = turned(0.2, 9.0, -6.0)
    field = np.zeros((0, 0, 2), np.float32)
    if bent:
        field = np.random.default_rng(7).normal(size=(4, 5, 2)).astype(np.float32) * 1.5
    inverse = np.linalg.inv(np.vstack([matrix, [0, 0, 1]]))[:2]
    out = np.empty(mask.shape, bool)
    pictures.carry_mask(mask, matrix, np.ascontiguousarray(inverse), field, out)
    # Forward: a fine cloud of points of the mask, moved, fills the carried mask and nothing beyond its rim.
    fy, fx = np.mgrid[0:59:237j, 0:79:317j]
    dx, dy = twins.field_at(field, fx, fy, mask.shape) if bent else (0.0, 0.0)
    px, py = matrix[0, 0] * fx + matrix[0, 1] * fy + matrix[0, 2] + dx, matrix[1, 0] * fx + matrix[1, 1] * fy + matrix[1, 2] + dy
    inside = mask[np.rint(fy).astype(int), np.rint(fx).astype(int)]
    forward = np.zeros(mask.shape, bool)
    ok = inside & (px > -0.5) & (py > -0.5) & (px < 79.5) & (py < 59.5)
    forward[np.rint(py[ok]).astype(int), np.rint(px[ok]).astype(int)] = True
    assert not (out & ~forward).any()
    assert np.count_nonzero(forward & ~out) < 0.2 * np.count_nonzero(out)  # pixels that a corner of the mask touches
