"""Which millimetres a line on an ultrasound picture may have."""

from __future__ import annotations

import math

import pytest

from volumetry.calibration import Calibration, CalibrationRefused, PictureRegion
from volumetry.ultrasound_length import length_on_picture, resolve_length


def region(index=0, box=(0, 0, 99, 99), *, spatial=1, data=1, flags=0, units=(3, 3), delta=(0.01, 0.02)) -> PictureRegion:
    return PictureRegion(index, spatial, data, flags, *box, *units, *delta)


def refused(calibration, *points) -> str:
    with pytest.raises(CalibrationRefused) as refusal:
        resolve_length(calibration, points)
    return refusal.value.code


def test_that_x_and_y_have_their_own_scale():
    found = length_on_picture(Calibration((region(),)), (10, 10), (13, 14))
    assert found.length_mm == pytest.approx(math.hypot(0.3, 0.8))
    assert found.length_px == 5
    assert found.as_dict() == {"length_mm": found.length_mm, "length_px": 5.0, "region": 0, "warnings": []}


def test_that_no_regions_means_no_length():
    assert refused(Calibration(), (1, 1), (2, 2)) == "uncalibrated"


def test_that_a_refused_picture_stays_refused():
    assert refused(Calibration((region(),), refusal=("regions_do_not_fit", "resized")), (1, 1), (2, 2)) == "regions_do_not_fit"


def test_that_two_panes_of_one_scale_are_still_two_pictures():
    panes = Calibration((region(0, (0, 0, 49, 99)), region(1, (50, 0, 99, 99))))
    assert refused(panes, (10, 10), (80, 10)) == "crosses_regions"
    assert resolve_length(panes, [(60, 10), (80, 10)]).region == 1


def test_that_points_outside_are_refused():
    assert refused(Calibration((region(box=(10, 10, 50, 50)),)), (20, 20), (60, 20)) == "outside_regions"


@pytest.mark.parametrize(
    "other",
    [
        {"spatial": 2, "units": (4, 3)},
        {"spatial": 3, "units": (4, 7)},
        {"data": 9},
        {"units": (3, 0)},
        {"delta": (0.0, 0.01)},
    ],
)
def test_that_only_two_dimensional_tissue_in_centimetres_is_a_length(other):
    assert refused(Calibration((region(**other),)), (1, 1), (2, 2)) == "not_a_length"


def test_that_a_screen_wide_region_without_units_is_no_scale():
    empty = region(0, (0, 0, 99, 99), spatial=0, data=0, units=(0, 0), delta=(1.0, 1.0), flags=3)
    picture = region(1, (20, 20, 60, 60), flags=3)
    assert resolve_length(Calibration((empty, picture)), [(30, 30), (40, 40)]).region == 1
    assert refused(Calibration((empty, picture)), (1, 1), (10, 1)) == "not_a_length"


def test_that_colour_flow_inside_tissue_of_one_scale_is_one_picture():
    tissue, flow = region(0), region(1, (40, 40, 60, 60), data=2)
    assert resolve_length(Calibration((tissue, flow)), [(10, 50), (50, 50)]).region == 0


def test_that_a_high_priority_region_wins_where_regions_overlap():
    wide, inset = region(0, flags=1), region(1, (40, 40, 60, 60), delta=(0.005, 0.005), flags=0)
    both = Calibration((wide, inset))
    assert resolve_length(both, [(45, 45), (55, 55)]).region == 1
    assert resolve_length(both, [(1, 1), (10, 1)]).region == 0
    # the line runs underneath the inset, where pixels have another size
    assert refused(both, (10, 50), (90, 50)) == "crosses_regions"


def test_that_a_low_priority_region_does_not_disturb_a_high_one():
    picture, below = region(0, flags=0), region(1, (40, 40, 60, 60), spatial=3, units=(4, 7), flags=1)
    assert resolve_length(Calibration((picture, below)), [(10, 50), (90, 50)]).region == 0


def test_that_equal_priority_with_another_meaning_is_refused():
    picture, strip = region(0), region(1, (0, 80, 99, 99), spatial=4, units=(4, 0))
    assert refused(Calibration((picture, strip)), (10, 10), (10, 90)) == "crosses_regions"


def test_that_a_contour_needs_one_region_for_all_of_it():
    panes = Calibration((region(0, (0, 0, 49, 99)), region(1, (50, 0, 99, 99))))
    assert refused(panes, (10, 10), (20, 20), (60, 20)) == "crosses_regions"


def test_that_the_readers_own_scale_is_used_and_marked():
    found = length_on_picture(Calibration(manual_mm_per_pixel=(0.1, 0.2)), (0, 0), (10, 0))
    assert found.length_mm == pytest.approx(1.0)
    assert found.region is None
    assert [w.code for w in found.warnings] == ["manual_calibration"]


def test_that_nonsense_points_are_refused():
    assert refused(Calibration((region(),)), (float("nan"), 1), (2, 2)) == "outside_regions"
    assert refused(Calibration(manual_mm_per_pixel=(0.0, 0.1)), (0, 0), (1, 1)) == "uncalibrated"
