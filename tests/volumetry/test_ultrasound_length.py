"""Which millimetres a line on an ultrasound picture may have."""

from __future__ import annotations

import math

import pytest

from volumetry.calibration import (
    Calibration,
    CalibrationRefused,
    PictureRegion,
    ReaderScale,
    ScaleLine,
    calibrated_by_reader,
    reader_scale_from,
    without_reader_scale,
)
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


def test_that_a_contour_round_a_part_of_another_meaning_is_refused():
    inset = Calibration((region(0, flags=1), region(1, (40, 40, 50, 50), data=15, units=(0, 0), delta=(0, 0))))
    around = [(20, 20), (70, 20), (70, 70), (20, 70), (20, 20)]
    assert refused(inset, *around) == "crosses_regions"
    assert resolve_length(inset, around[:-1]).region == 0  # an open line round it encloses nothing
    beside = [(52, 20), (90, 20), (90, 70), (52, 70), (52, 20)]
    assert resolve_length(inset, beside).region == 0


def test_that_the_readers_own_scale_is_used_and_marked():
    found = length_on_picture(Calibration(manual_mm_per_pixel=(0.1, 0.2)), (0, 0), (10, 0))
    assert found.length_mm == pytest.approx(1.0)
    assert found.region is None
    assert [w.code for w in found.warnings] == ["manual_calibration"]


def test_that_nonsense_points_are_refused():
    assert refused(Calibration((region(),)), (float("nan"), 1), (2, 2)) == "outside_regions"
    assert refused(Calibration(manual_mm_per_pixel=(0.0, 0.1)), (0, 0), (1, 1)) == "uncalibrated"


def by_hand(*lines, box=None, calibration=Calibration()) -> Calibration:  # noqa: B008  (a frozen value)
    return calibrated_by_reader(calibration, ReaderScale(tuple(ScaleLine(*line) for line in lines), box))


def test_that_one_drawn_scale_makes_square_pixels_and_says_so():
    found = length_on_picture(by_hand(((10, 20), (10, 228), 20.0)), (0, 0), (30, 40))
    assert found.length_mm == pytest.approx(50 * 20 / 208)
    assert [w.code for w in found.warnings] == ["manual_calibration", "square_pixels_assumed"]
    assert "20 mm over 208 px; one pixel off is 0.5 %" in found.warnings[0].message


def test_that_a_scale_across_and_one_down_give_each_direction_its_own():
    found = length_on_picture(by_hand(((0, 5), (100, 5), 30.0), ((5, 0), (5, 100), 20.0)), (0, 0), (10, 0))
    assert found.length_mm == pytest.approx(3.0)
    down = length_on_picture(by_hand(((5, 0), (5, 100), 20.0), ((0, 5), (100, 5), 30.0)), (0, 0), (0, 10))
    assert down.length_mm == pytest.approx(2.0)  # whichever was drawn first
    assert [w.code for w in down.warnings] == ["manual_calibration"]


def test_that_two_oblique_scales_are_solved_exactly():
    sx, sy = 0.21, 0.16

    def line(a, b):
        return a, b, math.hypot(sx * (b[0] - a[0]), sy * (b[1] - a[1]))

    scale = ReaderScale((ScaleLine(*line((10, 10), (120, 40))), ScaleLine(*line((10, 10), (40, 150)))))
    assert scale.mm_per_pixel == pytest.approx((sx, sy), rel=1e-12)


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([((0, 0), (0, 9), 2.0)], "scale_too_short"),
        ([((0, 0), (0, 100), 0.0)], "scale_length_missing"),
        ([((0, 0), (0, 100), float("nan"))], "scale_length_missing"),
        ([((0, 0), (0, float("inf")), 10.0)], "outside_regions"),
        ([((0, 0), (0, 200), 1.0)], "implausible_scale"),  # one centimetre typed as 1
        ([((0, 0), (0, 100), 20.0), ((0, 0), (30, 100), 20.0)], "scales_not_across"),
        ([((0, 0), (87, 50), 10.0), ((0, 0), (50, 87), 60.0)], "implausible_scale"),
        ([], "scale_length_missing"),
    ],
)
def test_that_a_scale_that_cannot_be_meant_is_refused(lines, code):
    with pytest.raises(CalibrationRefused) as refusal:
        by_hand(*lines)
    assert refusal.value.code == code


def test_that_a_scale_of_the_machine_is_never_overruled_by_hand():
    with pytest.raises(CalibrationRefused) as refusal:
        by_hand(((0, 0), (0, 100), 20.0), calibration=Calibration((region(),)))
    assert refusal.value.code == "already_calibrated"


def test_that_a_resized_picture_can_be_calibrated_by_hand_and_back():
    resized = Calibration((region(box=(0, 0, 20, 20), spatial=2),), refusal=("regions_do_not_fit", "resized"))
    scaled = by_hand(((0, 0), (0, 100), 20.0), calibration=resized)
    assert length_on_picture(scaled, (5, 5), (15, 5)).length_mm == pytest.approx(2.0)  # its boxes mean nothing
    assert refused(without_reader_scale(scaled), (5, 5), (15, 5)) == "regions_do_not_fit"


def test_that_a_scale_by_hand_holds_in_its_box_only():
    half = by_hand(((0, 0), (0, 100), 20.0), box=(0, 0, 49, 99))
    assert resolve_length(half, [(1, 1), (40, 90)]).mm_per_px_x == pytest.approx(0.2)
    assert refused(half, (1, 1), (60, 1)) == "outside_regions"


def test_that_no_scale_by_hand_makes_a_time_axis_a_length():
    strip = by_hand(((0, 0), (0, 100), 20.0), calibration=Calibration((region(0, (0, 50, 99, 99), spatial=2, units=(4, 3)),)))
    assert resolve_length(strip, [(1, 1), (40, 1)]).mm_per_px_x == pytest.approx(0.2)
    assert refused(strip, (1, 1), (1, 90)) == "not_a_length"


def test_that_a_kept_scale_comes_back_the_same():
    scale = ReaderScale((ScaleLine((1.5, 2.25), (1.5, 90.0), 30.0), ScaleLine((0.0, 0.0), (77.0, 1.0), 25.0)), (0.0, 0.0, 50.0, 60.0))
    assert reader_scale_from(scale.as_dict()) == scale
