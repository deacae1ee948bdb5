"""Each measured field is declared once, with a unit and decimals that can be printed."""

from __future__ import annotations

import math

import pytest

from volumetry.measure import NodeMeasurement
from volumetry.quantity import BY_KEY, QUANTITIES, VOLUME_METHODS, interval_text, quantity


def test_that_keys_are_unique_and_name_fields_of_a_measurement():
    assert len(BY_KEY) == len(QUANTITIES)
    fields = set(NodeMeasurement.__slots__) | {"voxel_volume_ml"}
    assert {q.key for q in QUANTITIES} - fields == {"vrr_pct"}


def test_that_every_single_number_of_a_measurement_is_declared():
    numbers = {"first_slice_index", "pieces", "label", "name"}
    single = {s for s in NodeMeasurement.__slots__ if not s.endswith(("points_mm", "axes_mm", "directions", "areas_mm2", "interval_ml"))}
    assert single - numbers - {"warnings", "centroid_mm", "uncertainty"} <= set(BY_KEY)


def test_that_units_agree_with_the_names():
    for q in QUANTITIES:
        for suffix, unit in (("_ml", "ml"), ("_mm3", "mm³"), ("_mm2", "mm²"), ("_per_mm", "1/mm"), ("_pct", "%")):
            if q.key.endswith(suffix):
                assert q.unit == unit
        if q.key.endswith("_mm") and not q.key.endswith("_per_mm"):
            assert q.unit == "mm"


def test_that_millilitres_are_coded_as_cubic_centimetres():
    assert quantity("voxel_volume_ml").ucum == "cm3"
    assert quantity("voxel_volume_ml").code.value == "118565006"


def test_that_numbers_are_printed_with_their_unit_and_unknown_ones_with_a_dash():
    assert quantity("voxel_volume_ml").text(1.23456) == "1.235 ml"
    assert quantity("sphericity").text(0.8429) == "0.843"
    assert quantity("long_axis_mm").text(None) == "–"
    assert quantity("long_axis_mm").text(math.nan) == "–"
    assert interval_text((0.9, 1.2346)) == "0.900–1.235 ml"
    assert interval_text(None) == "–"


def test_that_an_unknown_key_is_an_error():
    with pytest.raises(KeyError):
        quantity("weight_kg")


def test_that_methods_carry_their_dicom_code():
    assert {k: c.value for k, c in VOLUME_METHODS.items()} == {"ellipsoid": "126029", "voxel": "126030", "contours": "122503"}
