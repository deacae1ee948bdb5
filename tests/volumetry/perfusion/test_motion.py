"""Motion of contrast loops against tissue whose movement is known, and the frames that are left out."""

from __future__ import annotations

import numpy as np
import pytest

from tests.volumetry.perfusion.motion_phantom import error_mm, moving_tissue, places_of
from volumetry.errors import Cancelled
from volumetry.perfusion import motion_frames, motion_pictures
from volumetry.perfusion.loop import ContrastLoop
from volumetry.perfusion.motion import Motion, MotionRefused, estimate_motion

SMALL = {"frames": 40, "shape": (160, 200), "mm": (0.12, 0.12)}


def rms(values):
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.fixture(scope="module")
def moved():
    """Breathing of 3 mm with turns, 6 frames of another plane, 2 flashes; echo that changes from frame to frame."""
    return moving_tissue(11, noise=0.4, beside=range(18, 24), flashes=(30, 31), **SMALL)


@pytest.fixture(scope="module")
def motion(moved):
    return estimate_motion(moved.loop)


def test_that_motion_is_found_to_a_tenth_of_a_millimetre(moved, motion):
    assert rms(error_mm(moved, motion)[motion.accepted]) < 0.1
    # ... of tissue that moves by far more.
    still = Motion.still(motion.frames)
    assert rms(error_mm(moved, still)[motion.accepted]) > 1.0


def test_that_motion_around_the_node_alone_is_as_sure(moved, motion):
    near = estimate_motion(moved.loop, region=moved.node, reference_frame=motion.reference_frame)
    assert near.reference_frame == motion.reference_frame
    assert rms(error_mm(moved, near)[near.accepted]) < 0.1
    assert not (near.accepted & (moved.beside | moved.flashes)).any()
    assert near.accepted.sum() >= (~moved.beside & ~moved.flashes).sum() - 1


def test_that_frames_of_another_plane_and_flashes_are_told_apart_from_good_ones(moved, motion):
    good = ~moved.beside & ~moved.flashes
    assert np.array_equal(motion.accepted, good)
    assert {motion.reasons[k] for k in np.flatnonzero(moved.beside)} == {"out_of_plane"}
    assert {motion.reasons[k] for k in np.flatnonzero(moved.flashes)} == {"flash"}
    assert {motion.reasons[k] for k in np.flatnonzero(good)} == {""}
    assert motion.rejected_frames == 8


def test_that_the_reference_frame_is_itself_and_none_of_the_bad_ones(moved, motion):
    k = motion.reference_frame
    assert not moved.beside[k]
    assert not moved.flashes[k]
    assert np.allclose(motion.matrices[k], [[1, 0, 0], [0, 1, 0]])


def test_that_a_rejected_frame_lies_between_its_neighbours(moved, motion):
    node = np.array([[100.0], [80.0]])
    places = np.hstack([places_of(motion, k, node, moved.node.shape) for k in range(17, 25)])
    steps = np.diff(places, axis=1)
    assert np.allclose(steps, steps.mean(axis=1, keepdims=True), atol=0.3)  # px; a turn is not quite even


def test_that_little_is_left_over_and_no_finding_says_otherwise(moved, motion):
    assert motion.residual_mm is not None
    assert motion.residual_mm < 0.15
    assert not motion.findings


@pytest.mark.parametrize(("seed", "settings"), [
    (1, {"noise": 1.0, "turn_deg": 1.0}),
    (2, {"turn_deg": 6.0, "amplitude_mm": (3.0, 3.0)}),
    (3, {"mm": (0.18, 0.1)}),
    (4, {"amplitude_mm": (0.0, 0.0), "turn_deg": 0.0, "noise": 0.05}),
])  # fmt: skip
def test_that_noise_turns_oblong_pixels_and_stillness_change_nothing(seed, settings):
    moved = moving_tissue(seed, **{**SMALL, "frames": 30, **settings})
    motion = estimate_motion(moved.loop, region=moved.node)
    assert motion.accepted.sum() >= 27
    assert rms(error_mm(moved, motion)[motion.accepted]) < 0.1


def test_that_a_hand_that_slides_off_the_plane_is_seen():
    kept = np.where(np.arange(40) < 28, 1.0, 0.4)
    moved = moving_tissue(5, kept=kept, noise=0.3, **SMALL)
    motion = estimate_motion(moved.loop, region=moved.node)
    assert np.array_equal(motion.accepted, kept == 1.0)


def test_that_bubbles_in_the_b_mode_do_not_cost_the_frames():
    moved = moving_tissue(6, leak=0.6, noise=0.3, beside=(30, 31, 32), **{**SMALL, "frames": 60})
    followed = estimate_motion(moved.loop, region=moved.node)
    as_before = estimate_motion(moved.loop, region=moved.node, follow_change=False)
    assert followed.accepted[33:].sum() >= 24
    assert followed.accepted.sum() > as_before.accepted.sum()
    assert not followed.accepted[30:33].any()
    assert rms(error_mm(moved, followed)[followed.accepted]) < 0.15


def test_that_tissue_that_bends_is_followed_on_a_grid_and_rigid_tissue_gets_none(moved, motion):
    bent = moving_tissue(7, bend_mm=0.35, noise=0.2, **{**SMALL, "frames": 24})
    rigid, free = estimate_motion(bent.loop), estimate_motion(bent.loop, nonrigid=True)
    both = rigid.accepted & free.accepted
    assert free.field is not None
    assert rms(error_mm(bent, free)[both]) < 0.6 * rms(error_mm(bent, rigid)[both])
    assert free.residual_mm < rigid.residual_mm
    assert (free.accepted | ~rigid.accepted).all()
    assert not free.field[free.reference_frame].any()
    assert estimate_motion(moved.loop, nonrigid=True).field is None


def test_that_a_node_out_of_the_pane_is_outside():
    moved = moving_tissue(8, noise=0.1, marks=False, frames=24, shape=(160, 200), mm=(0.12, 0.12), amplitude_mm=(0.5, 0.5))
    tissue = moved.loop.tissue.copy()
    tissue[10:14] = np.roll(tissue[10:14], -75, axis=2)
    tissue[10:14, :, -75:] = 0
    loop = ContrastLoop(moved.loop.levels, tissue, moved.loop.times_s, 60.0, (0.12, 0.12))
    region = np.roll(moved.node, -30, axis=1)
    motion = estimate_motion(loop, region=region, reference_frame=3)
    assert not motion.accepted[10:14].any()
    assert motion.accepted.sum() == 20
    assert "outside" in {motion.reasons[k] for k in range(10, 14)}


def test_that_a_loop_without_b_mode_is_left_as_it_is_and_says_so(moved):
    alone = ContrastLoop(moved.loop.levels, None, moved.loop.times_s, 60.0, (0.12, 0.12))
    motion = estimate_motion(alone)
    assert [f.code for f in motion.findings] == ["motion_uncorrected"]
    assert np.array_equal(motion.matrices, Motion.still(40).matrices)
    assert np.array_equal(motion.accepted, ~moved.flashes)


def test_that_a_black_b_mode_is_none(moved):
    black = ContrastLoop(moved.loop.levels, np.zeros_like(moved.loop.levels), moved.loop.times_s, 60.0, (0.12, 0.12))
    assert [f.code for f in estimate_motion(black).findings] == ["motion_uncorrected"]


def test_that_a_loop_without_a_scale_is_followed_and_tells_no_millimetres(moved):
    loop = ContrastLoop(moved.loop.levels, moved.loop.tissue, moved.loop.times_s, 60.0, None)
    motion = estimate_motion(loop)
    assert motion.residual_mm is None
    assert rms(error_mm(moved, motion)[~moved.beside & ~moved.flashes]) < 0.1


def test_that_a_clip_of_noise_does_not_pass_silently():
    rng = np.random.default_rng(9)
    noise = rng.integers(0, 200, (30, 96, 96)).astype(np.uint8)
    motion = estimate_motion(ContrastLoop(noise, noise.copy(), np.arange(30.0), 60.0, (0.2, 0.2)))
    assert "few_frames_left" in {f.code for f in motion.findings if f.severity == "serious"}
    assert motion.accepted[motion.reference_frame]


@pytest.mark.parametrize("frames", [1, 3])
def test_that_the_shortest_loops_are_taken(frames):
    moved = moving_tissue(10, **{**SMALL, "frames": frames})
    motion = estimate_motion(moved.loop, nonrigid=True)
    assert motion.frames == frames
    assert motion.accepted.all()
    assert "few_frames_left" in {f.code for f in motion.findings}


def test_that_what_does_not_belong_to_the_loop_is_refused(moved, motion):
    with pytest.raises(MotionRefused):
        estimate_motion(moved.loop, reference_frame=40)
    with pytest.raises(MotionRefused):
        estimate_motion(moved.loop, region=np.ones((5, 5), bool))
    with pytest.raises(MotionRefused):
        estimate_motion(moved.loop, region=np.zeros(moved.node.shape, bool))
    with pytest.raises(MotionRefused):
        estimate_motion(moved.loop, flashes=np.zeros(3, bool))
    with pytest.raises(MotionRefused):
        motion_pictures.mean_power(moved.loop, Motion.still(12))
    with pytest.raises(MotionRefused):
        Motion(np.zeros((3, 2, 3)), None, np.ones(2), np.ones(3, bool), ("",) * 3, 0)


def test_that_progress_grows_and_can_stop_the_work(moved):
    seen = []
    estimate_motion(moved.loop, nonrigid=True, progress=lambda text, share: seen.append(share))
    assert seen == sorted(seen)
    assert 0 <= seen[0] < seen[-1] <= 1

    def stop(text, share):
        if share > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        estimate_motion(moved.loop, progress=stop)


def test_that_the_same_loop_gives_the_same_motion(moved, motion):
    again = estimate_motion(moved.loop)
    assert np.array_equal(again.matrices, motion.matrices)
    assert np.array_equal(again.correlation, motion.correlation)


def test_that_the_mean_picture_is_sharp_and_the_mask_goes_with_the_tissue(moved, motion):
    picture = motion_pictures.mean_tissue(moved.loop, motion)
    blurred = motion_pictures.mean_tissue(moved.loop, Motion.still(motion.frames), motion.accepted)
    inner = slice(30, -30), slice(30, -30)
    assert np.nanstd(picture[inner]) > 1.3 * np.nanstd(blurred[inner])
    frame = int(np.flatnonzero(motion.accepted)[np.abs(motion.matrices[motion.accepted, :, 2]).sum(axis=1).argmax()])
    carried = motion_pictures.moved_mask(moved.node, motion, frame)
    rows, columns = np.nonzero(moved.node)
    middle = motion_pictures.moved_points([[columns.mean(), rows.mean()]], motion, frame, moved.node.shape)[0]
    there = np.nonzero(carried)
    assert np.allclose([there[1].mean(), there[0].mean()], middle, atol=0.3)
    assert carried.sum() == pytest.approx(moved.node.sum(), rel=0.02)


def test_that_contrast_is_averaged_as_power():
    # Levels 0 and 200 in turn: the mean power is half of the brighter one's, not the power of level 100.
    levels = np.zeros((10, 20, 20), np.uint8)
    levels[1::2] = 200
    drawn = np.zeros((20, 20), bool)
    drawn[5, 5] = True
    loop = ContrastLoop(levels, None, np.arange(10.0), 60.0, (0.1, 0.1), drawn=drawn)
    still = Motion.still(10)
    mean, highest = motion_pictures.mean_power(loop, still), motion_pictures.highest_power(loop, still)
    expected = (10 ** (200 * 60 / 2550) + 1) / 2
    assert np.nanmax(np.abs(mean - expected)) < 1e-3 * expected
    assert np.nanmin(highest) == pytest.approx(10 ** (200 * 60 / 2550), rel=1e-5)
    assert np.isnan(mean[5, 5])  # a mark is no echo
    assert np.nanmax(motion_pictures.mean_power(loop, still, np.array([0, 2]))) == pytest.approx(1.0)
    assert np.isnan(motion_pictures.resample_frame(loop, still, 1)[5, 5])


def test_that_the_usual_likeness_is_that_of_the_good_frames():
    rng = np.random.default_rng(12)
    good = 0.8 + 0.01 * rng.normal(size=70)
    bad = rng.uniform(0.1, 0.5, 60)
    limit = motion_frames.likeness_limit(np.concatenate([good, bad]))
    assert bad.max() < limit < good.min()
    # A crowd of frames beside the plane is not the usual, where enough frames are clearly more alike.
    limit = motion_frames.likeness_limit(np.concatenate([good[:40], 0.3 + 0.005 * rng.normal(size=80)]))
    assert 0.35 < limit < good.min()
    # A clip of frames that are nearly the same keeps them all, however little they scatter.
    assert motion_frames.likeness_limit(0.9 + 1e-4 * rng.normal(size=50)) == pytest.approx(0.85 * 0.9, abs=0.01)
    # Chance is never taken for likeness.
    assert motion_frames.likeness_limit(rng.normal(size=50) * 0.05) == motion_frames.LEAST_LIKENESS


def test_that_a_slow_wash_in_is_no_flash_and_a_jump_of_one_pane_is_none():
    times = np.arange(60)
    contrast, tissue = 20 + 100 / (1 + np.exp(-(times - 20) / 2.0)), np.full(60, 80.0)
    assert not motion_frames.flash_frames(contrast, tissue).any()
    contrast[40:42] += 90
    assert not motion_frames.flash_frames(contrast, tissue).any()
    tissue[40:42] += 25
    assert np.array_equal(np.flatnonzero(motion_frames.flash_frames(contrast, tissue)), [40, 41])
