"""Curves of a region: power is averaged, the region moves with the tissue, and trouble is told."""

from __future__ import annotations

import numpy as np
import pytest

from tests.reference.perfusion_twins import region_slowly
from volumetry.errors import NodusError
from volumetry.perfusion.curves import AcquisitionFacts, region_curve
from volumetry.perfusion.loop import ContrastLoop
from volumetry.perfusion.motion import Motion

RANGE_DB = 60.0


def levels_of(power):
    return np.clip(np.rint(2550 / RANGE_DB * np.log10(np.maximum(power, 1.0))), 0, 255).astype(np.uint8)


def box(shape, y0, y1, x0, x1):
    mask = np.zeros(shape, bool)
    mask[y0:y1, x0:x1] = True
    return mask


def moving(frames, rng, shape=(24, 30), field=True):
    motion = Motion.still(frames)
    matrices = motion.matrices.copy()
    matrices[:, :, 2] = rng.uniform(-3, 3, (frames, 2))
    matrices[:, 0, 1] = rng.uniform(-0.05, 0.05, frames)
    grid = rng.uniform(-1.5, 1.5, (frames, 3, 4, 2)).astype(np.float32) if field else None
    return Motion(matrices, grid, np.ones(frames), np.ones(frames, bool), ("",) * frames, 0)


@pytest.mark.parametrize("field", [False, True])
def test_that_a_curve_is_the_mean_power_along_the_motion(field):
    rng = np.random.default_rng(1)
    drawn = np.zeros((24, 30), bool)
    drawn[10, 14] = True
    loop = ContrastLoop(rng.integers(0, 256, (6, 24, 30)).astype(np.uint8), None, np.arange(6) * 0.5, RANGE_DB, (0.2, 0.2), drawn=drawn)
    motion = moving(6, rng, field=field)
    mask = rng.random((24, 30)) < 0.4
    curve = region_curve(loop, mask, motion)
    count, mean, spread = region_slowly(loop, motion, mask, curve.frames)
    assert curve.pixels.tolist() == count.astype(int).tolist()
    assert curve.power == pytest.approx(mean, rel=1e-5)
    assert curve.sd == pytest.approx(spread, rel=1e-5)
    assert count.min() < mask.sum()  # some leave the pane or lie under the mark


def test_that_averaging_power_has_not_the_bias_of_averaging_decibels():
    """Fully developed speckle: the mean of its decibels lies 2.51 dB (Euler's constant, 10/ln 10 of it) below its mean power."""
    rng = np.random.default_rng(2)
    power = 1e3 * rng.exponential(size=(1, 300, 300))
    loop = ContrastLoop(levels_of(power), None, np.zeros(1), RANGE_DB, (0.1, 0.1))
    curve = region_curve(loop, np.ones((300, 300), bool))
    decibels = float(np.mean(loop.levels * (RANGE_DB / 255)))
    assert 10 * np.log10(curve.power[0]) == pytest.approx(30.0, abs=0.05)
    assert decibels - 10 * np.log10(curve.power[0]) == pytest.approx(-2.51, abs=0.06)


def test_that_rejected_frames_and_flashes_take_no_part():
    loop = ContrastLoop(np.full((10, 8, 8), 100, np.uint8), None, np.cumsum([0, 0.3, 1, 0.2, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]), RANGE_DB, None, flash_frames=(4,))
    still = Motion.still(10)
    accepted = np.ones(10, bool)
    accepted[[1, 7]] = False
    motion = Motion(still.matrices, None, still.correlation, accepted, tuple("" if a else "out_of_plane" for a in accepted), 0)
    curve = region_curve(loop, np.ones((8, 8), bool), motion)
    assert curve.frames.tolist() == [0, 2, 3, 5, 6, 8, 9]
    assert curve.times_s.tolist() == loop.times_s[curve.frames].tolist()
    assert curve.flash_times_s == (float(loop.times_s[4]),)


def test_that_clipping_small_regions_and_leaving_the_pane_are_told():
    levels = np.full((20, 20, 20), 40, np.uint8)
    levels[10:, :, :10] = 255
    loop = ContrastLoop(levels, None, np.arange(20.0), RANGE_DB, (0.5, 0.5))
    bright = region_curve(loop, box((20, 20), 0, 20, 0, 10))
    assert {f.code for f in bright.findings} == {"clipped_high"}
    assert bright.high_pct[-1] == 100
    assert bright.high_pct[0] == 0
    assert {f.code for f in region_curve(loop, box((20, 20), 5, 8, 12, 15)).findings} == {"small_region"}
    dark = ContrastLoop(np.zeros((20, 20, 20), np.uint8), None, np.arange(20.0), RANGE_DB, (0.5, 0.5))
    assert {f.code for f in region_curve(dark, np.ones((20, 20), bool)).findings} == {"clipped_low"}
    away = Motion.still(20)
    matrices = away.matrices.copy()
    matrices[15:, 0, 2] = 14.0
    gone = Motion(matrices, None, away.correlation, away.accepted.copy(), away.reasons, 0)
    curve = region_curve(loop, box((20, 20), 0, 20, 4, 14), gone)
    assert curve.frames.tolist() == list(range(15))
    assert "region_leaves_pane" in {f.code for f in curve.findings}


def test_that_depth_and_range_go_with_the_curve():
    loop = ContrastLoop(np.full((3, 40, 21), 90, np.uint8), None, np.arange(3.0), RANGE_DB, (0.5, 0.25))
    curve = region_curve(loop, box((40, 21), 20, 25, 14, 17), facts=AcquisitionFacts(system="one", gain_db=30.0))
    assert curve.facts == AcquisitionFacts(depth_mm=22 * 0.25, lateral_mm=5 * 0.5, system="one", gain_db=30.0)
    assert region_curve(loop, np.ones((40, 21), bool)).facts.range_db == RANGE_DB


def test_that_a_region_without_pixels_or_of_another_picture_is_refused():
    loop = ContrastLoop(np.full((3, 10, 10), 90, np.uint8), None, np.arange(3.0), RANGE_DB, None)
    for mask, motion, code in (
        (np.zeros((10, 10), bool), None, "empty_region"),
        (np.ones((5, 5), bool), None, "bad_shape"),
        (np.ones((10, 10), bool), Motion.still(4), "bad_shape"),
    ):
        with pytest.raises(NodusError) as refusal:
            region_curve(loop, mask, motion)
        assert refusal.value.code == code
    still = Motion.still(3)
    none = Motion(still.matrices, None, still.correlation, np.zeros(3, bool), ("outside",) * 3, 0)
    with pytest.raises(NodusError) as refusal:
        region_curve(loop, np.ones((10, 10), bool), none)
    assert refusal.value.code == "too_few_frames"


def test_that_a_curve_can_be_cancelled():
    loop = ContrastLoop(np.full((200, 4, 4), 90, np.uint8), None, np.arange(200.0), RANGE_DB, None)

    class Stop(Exception):
        pass

    def stop(_message, fraction):
        if fraction > 0.3:
            raise Stop

    with pytest.raises(Stop):
        region_curve(loop, np.ones((4, 4), bool), progress=stop)


def standing(rng, places, frames=40, pixels=40, fresh=0.3):
    """A loop whose speckle stands still on blocks of ``places`` pixels, with scatter that is new in each frame."""
    pattern = rng.gamma(4.0, 0.25, (pixels // places, pixels // places)).repeat(places, 0).repeat(places, 1)
    return levels_of(3000 * pattern * rng.gamma(1 / fresh**2, fresh**2, (frames, pixels, pixels))), pattern


def test_that_a_standing_pattern_is_told_from_scatter_that_changes():
    rng = np.random.default_rng(4)
    found, true = [], []
    for _ in range(8):
        levels, pattern = standing(rng, 4)
        curve = region_curve(ContrastLoop(levels, None, np.arange(40) * 1.0, RANGE_DB, None), np.ones((40, 40), bool))
        found.append(curve.pattern_pct)
        true.append(100 * pattern.std() / 10 / pattern.mean())
    assert np.mean(found) == pytest.approx(np.mean(true), rel=0.3)
    changing = levels_of(3000 * rng.gamma(4.0, 0.25, (40, 10, 10)).repeat(4, 1).repeat(4, 2))
    curve = region_curve(ContrastLoop(changing, None, np.arange(40) * 1.0, RANGE_DB, None), np.ones((40, 40), bool))
    assert curve.pattern_pct < 0.35 * np.mean(true)
