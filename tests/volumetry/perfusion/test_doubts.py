"""What stands against a judgement is told: outlines too large or too small, references in the wrong place, loops that end too early."""

import numpy as np
import pytest
from scipy import ndimage

from app.demo.contrast_cine import make_cine
from app.demo.contrast_scene import CineOptions
from volumetry.perfusion.curves import TimeIntensityCurve, region_curve
from volumetry.perfusion.doubts import course_doubts, outline_doubts, reference_doubts, size_doubts, unlike_tissue
from volumetry.perfusion.enhancement import LEAST_AREA_MM2, assess_enhancement
from volumetry.perfusion.fit import fit_curve
from volumetry.perfusion.motion import Motion

MM = (0.3, 0.3)
Y, X = np.mgrid[-40:41, -40:41] * MM[0]
NODE = np.hypot(X, Y) <= 8.0
TIMES = np.arange(0.0, 50.0, 0.5)
BOLUS = 10 + 100 * np.where(TIMES > 8, np.exp(-((np.log(np.maximum(TIMES - 8, 1e-3) / 8)) ** 2) / 0.5), 0.0)


def codes(findings) -> set[str]:
    return {f.code for f in findings}


def test_that_a_crescent_at_the_outline_is_told_and_a_part_that_reaches_in_is_not():
    crescent = NODE & (np.hypot(X + 2.0, Y) > 8.0)  # as where the outline lies 2 mm to one side
    assert codes(outline_doubts(crescent, NODE, MM)) == {"only_at_outline"}
    assert outline_doubts(NODE & (X > 2.0), NODE, MM) == []
    assert outline_doubts(np.hypot(X, Y) < 2.0, NODE, MM) == []
    assert outline_doubts(NODE, NODE, MM) == []
    assert outline_doubts(np.zeros_like(NODE), NODE, MM) == []


def test_that_a_reference_in_the_node_and_one_unlike_the_tissue_beside_are_told():
    assert codes(reference_doubts(NODE, NODE & (X > 4))) == {"reference_in_node"}
    assert reference_doubts(NODE, np.hypot(X, Y) > 8.5) == []
    tissue, vessel = (TimeIntensityCurve.of_values(TIMES, height * BOLUS) for height in (1.0, 5.0))
    assert codes(unlike_tissue(vessel, tissue)) == codes(unlike_tissue(tissue, vessel)) == {"reference_unlike_tissue"}
    assert unlike_tissue(tissue, TimeIntensityCurve.of_values(TIMES, 1.5 * BOLUS)) == []


def test_that_a_loop_that_ends_at_its_brightest_and_a_late_stated_arrival_are_told():
    whole = TimeIntensityCurve.of_values(TIMES, BOLUS)
    risen = TIMES <= 14.0
    assert course_doubts(whole, 9.0, True) == []
    assert codes(course_doubts(TimeIntensityCurve.of_values(TIMES[risen], BOLUS[risen]), 9.0, False)) == {"passage_cut"}
    assert codes(course_doubts(whole, 14.0, True)) == {"arrival_unlike_curve"}
    assert course_doubts(whole, 14.0, False) == []


def test_that_a_curve_that_rises_is_never_said_not_to_enhance():
    paused = np.where(TIMES > 15, TIMES + 600, TIMES)
    found = fit_curve(TimeIntensityCurve.of_values(paused, BOLUS), "replenishment")
    assert "no_enhancement" not in codes(found.findings)
    step = np.where(TIMES > 20, 0.1, 1.0) * BOLUS  # the gain was turned down in the middle
    assert "no_enhancement" not in codes(fit_curve(TimeIntensityCurve.of_values(TIMES, step)).findings)


@pytest.fixture(scope="module")
def small():
    """A small loop of a node that enhances whole."""
    return make_cine(3, CineOptions(shape=(64, 80), mm_per_pixel=0.4, frames=48, frame_s=0.8, residual="whole", breathing_mm=(0.0, 0.0), out_of_plane=0.0))


def test_that_a_node_too_small_to_be_told_from_speckle_is_not_graded(small):
    node, reference = np.zeros(small.options.shape, bool), small.truth.mask("reference", 2.0)
    row, column = (int(v) for v in ndimage.center_of_mass(small.truth.section.node))
    node[row : row + 2, column : column + 2] = True
    found = assess_enhancement(small.loop(), node, reference, Motion.still(48))
    assert (found.grade, found.viable_pct) == ("NE", None)
    assert "node_too_small" in codes(found.findings)
    assert codes(size_doubts(2.0, LEAST_AREA_MM2)) == {"small_node"}
    assert size_doubts(100.0, LEAST_AREA_MM2) == []


def test_that_flashes_which_only_the_motion_saw_end_the_curve_like_any_other(small):
    still = Motion.still(48)
    accepted = np.ones(48, bool)
    accepted[20:22] = False
    seen = Motion(still.matrices, None, still.correlation, accepted, tuple("" if a else "flash" for a in accepted), 0)
    curve = region_curve(small.loop(), small.truth.section.node, seen)
    assert curve.flash_times_s == tuple(small.times_s[20:22])
