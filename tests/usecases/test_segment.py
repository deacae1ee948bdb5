"""One click on a file: on a volume in millimetres, on a picture in pixels, and never one for the other."""

from __future__ import annotations

import numpy as np
import pytest

from app.jobs import JobContext
from app.usecases.measure import measure_file, measured_dict
from app.usecases.segment import segment_file
from dicom_io.volume_files import write_volume
from tests.factories import write_ultrasound_still
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask

MIDDLE_PX = (159.5, 119.5)  # of the dark ellipse of 12 x 8 mm at 0.1 mm a pixel


def refusal(call) -> str:
    with pytest.raises(NodusError) as refused:
        call()
    return refused.value.code


@pytest.fixture(scope="module")
def still(tmp_path_factory):
    return write_ultrasound_still(tmp_path_factory.mktemp("us") / "still.dcm")


@pytest.fixture(scope="module")
def volume(ct, tmp_path_factory):
    return write_volume(ct.image, tmp_path_factory.mktemp("ct") / "ct.nii.gz")


def segment(path, seed, out, **more):
    return segment_file(path, seed, out, JobContext(), **more)


def test_that_a_click_on_a_volume_measures_what_it_wrote(volume, ct, tmp_path):
    (node,), extra = segment(volume, (12.3, -8.1, 105.2), tmp_path / "m.nii.gz", radius_mm=9.0)
    assert node["voxel_volume_ml"] == pytest.approx(ct.volume_ml, rel=0.06)
    assert node["voxel_count"] == measure_file(tmp_path / "m.nii.gz", None, None)[0]["voxel_count"]
    assert 0 < extra["quality"] <= 1


def test_that_a_picture_gives_its_lengths_and_no_volume(still, tmp_path):
    (node,), _ = segment(still, MIDDLE_PX, tmp_path / "m.nii.gz", radius_px=55.0)
    assert node["long_axis_mm"] == pytest.approx(12.0, abs=0.8)
    assert node["short_axis_mm"] == pytest.approx(8.0, abs=0.8)
    for key in ("voxel_volume_mm3", "voxel_volume_ml", "mesh_volume_mm3", "volume_interval_ml", "ellipsoid_volume_ml", "max_3d_diameter_mm", "least_axis_mm"):
        assert node[key] is None, key
    assert [w["code"] for w in node["warnings"]] == ["spacing_unknown"]


def test_that_a_picture_without_scale_gives_counts_alone(tmp_path):
    path = write_ultrasound_still(tmp_path / "bare.dcm")
    import pydicom

    ds = pydicom.dcmread(path)
    del ds.SequenceOfUltrasoundRegions
    ds.save_as(path)
    (node,), _ = segment(path, MIDDLE_PX, tmp_path / "m.nii.gz", radius_px=55.0)
    assert node["voxel_count"] > 1000
    assert all(node[k] is None for k in ("long_axis_mm", "short_axis_mm", "slice_areas_mm2", "voxel_volume_ml", "centroid_mm"))
    assert [w["code"] for w in node["warnings"]] == ["spacing_unknown", "uncalibrated"]


@pytest.mark.parametrize(
    ("flat", "seed", "more", "code"),
    [
        (False, (12.3, -8.1, 105.2), {"radius_px": 9.0}, "bad_radius"), (True, MIDDLE_PX, {"radius_mm": 9.0}, "bad_radius"),
        (False, MIDDLE_PX, {}, "bad_seed"), (True, (1.0, 2.0, 3.0), {}, "bad_seed"),
        (False, (12.3, -8.1, 105.2), {"method": "polar"}, "unknown_method"), (True, MIDDLE_PX, {"method": "star_convex"}, "unknown_method"),
        (True, MIDDLE_PX, {"method": "magic"}, "unknown_method"), (False, (999.0, 0.0, 0.0), {}, "seed_outside"),
    ],
)  # fmt: skip
def test_that_a_click_in_the_wrong_words_is_refused_and_writes_nothing(still, volume, tmp_path, flat, seed, more, code):
    out = tmp_path / "m.nii.gz"
    assert refusal(lambda: segment(still if flat else volume, seed, out, **more)) == code
    assert not out.exists()


def test_that_a_slice_of_unknown_thickness_gives_no_volume():
    array = np.zeros((1, 20, 20), bool)
    array[0, 5:15, 5:12] = True
    mask = NodeMask(array, ImageGeometry.from_spacing(array.shape, (0.5, 0.5, 1.0)), findings=(Finding("spacing_unknown", "One plane."),))
    node = measured_dict(mask)
    assert (node["voxel_count"], node["voxel_volume_ml"], node["volume_interval_ml"]) == (70, None, None)
    assert node["long_axis_mm"] > 0
    assert [w["code"] for w in node["warnings"]] == ["spacing_unknown"]


def test_that_what_was_noticed_while_reading_a_mask_is_told_with_its_numbers(ct):
    mask = NodeMask(ct.truth.array, ct.truth.geometry, findings=(Finding("missing_slice", "One slice is missing.", "serious"), Finding("reversed_order", "Back to front.", "info")))
    assert [w["code"] for w in measured_dict(mask)["warnings"]] == ["missing_slice"]


def test_that_an_absent_file_and_an_absent_label_are_refused(ct, tmp_path):
    write_volume(ct.truth, tmp_path / "m.nii.gz")
    assert refusal(lambda: measure_file(tmp_path / "none.nii.gz", None, None)) == "file_missing"
    assert refusal(lambda: measure_file(tmp_path / "m.nii.gz", None, 4)) == "label_missing"
    assert [n["label"] for n in measure_file(tmp_path / "m.nii.gz", None, 1)] == [1]
