"""Three-dimensional ultrasound: genuine Enhanced US Volume files of ellipsoids, read, measured, told apart."""

from __future__ import annotations

import json

import numpy as np
import pytest

from app.cli import main
from dicom_io.ct import read_volume
from dicom_io.enhanced_us import transducer_mapping, unit_of
from dicom_io.masks import open_image, read_image
from dicom_io.scan import scan_folder
from tests.dicom_io.made import save
from tests.dicom_io.made_enhanced_us import BACKGROUND, INSIDE, OBLIQUE, ellipsoid_array, ellipsoid_ml, enhanced_us_volume
from tests.dicom_io.validators import dciodvfy_errors
from volumetry.errors import NodusError
from volumetry.mask import NodeMask
from volumetry.measure import measure_node

AXES = (18.0, 12.0, 9.0)
TURNED = np.linalg.qr(np.array([[0.9, 0.3, -0.2], [-0.35, 0.9, 0.25], [0.2, -0.1, 0.95]]))[0]
GEOMETRIES = {
    "straight": {},
    "anisotropic": {"spacing_mm": (0.3, 0.5, 1.1), "shape": (20, 44, 90)},
    "oblique": {"direction": OBLIQUE},
    "oblique, turned, 16 bit": {"direction": OBLIQUE, "turn": TURNED, "bits": 16, "spacing_mm": (0.4, 0.4, 0.8), "shape": (28, 50, 60)},
    "planes in any order": {"direction": OBLIQUE, "shuffle": True},
}
EVERY = pytest.mark.parametrize("name", GEOMETRIES)


@EVERY
def test_that_the_factory_writes_what_the_standard_asks_for(tmp_path, name):
    assert dciodvfy_errors(save(enhanced_us_volume(AXES, **GEOMETRIES[name]), tmp_path / "v.dcm")) == []


def test_that_a_file_of_many_volumes_is_what_the_standard_asks_for(tmp_path):
    made = enhanced_us_volume(AXES, shape=(10, 30, 40), offsets_s=(0.0, 0.25), data_types=("TISSUE_INTENSITY", "FLOW_VELOCITY"))
    assert dciodvfy_errors(save(made, tmp_path / "v.dcm")) == []


@EVERY
def test_that_every_voxel_lies_where_the_file_says(tmp_path, name):
    made = enhanced_us_volume(AXES, **GEOMETRIES[name])
    image = read_image(save(made, tmp_path / "v.dcm"))
    asked = {"shape": (30, 50, 60), "spacing_mm": (0.45, 0.4, 0.6), "direction": np.eye(3), "turn": None, "bits": 8, **GEOMETRIES[name]}
    assert image.geometry.shape == asked["shape"]
    assert image.geometry.spacing_mm == pytest.approx(asked["spacing_mm"])
    assert image.geometry.direction == pytest.approx(asked["direction"], abs=1e-9)
    assert image.geometry.origin_mm == pytest.approx((-12.0, 3.0, 25.0))
    expected = ellipsoid_array(asked["shape"], asked["spacing_mm"], AXES, turn=asked["turn"])
    assert np.array_equal(image.array, expected if asked["bits"] == 8 else expected * 257)


@EVERY
def test_that_an_ellipsoid_has_its_true_volume_within_1_5_percent_and_its_true_axes(tmp_path, name):
    image = read_image(save(enhanced_us_volume(AXES, **GEOMETRIES[name]), tmp_path / "v.dcm"))
    half = (BACKGROUND + INSIDE) / 2 * (1 if image.array.max() <= 255 else 257)
    found = measure_node(NodeMask(image.array >= half, image.geometry, label=1))
    assert found.voxel_volume_ml == pytest.approx(ellipsoid_ml(AXES), rel=0.015)
    # Four times the root of the covariance: of a full ellipsoid 2 / sqrt(5) of its axes.
    assert (found.major_axis_mm, found.minor_axis_mm, found.least_axis_mm) == pytest.approx(np.array(AXES) * 2 / np.sqrt(5), rel=0.015)


def test_that_the_reader_is_told_that_it_lies_in_a_frame_of_its_own(tmp_path):
    image = read_image(save(enhanced_us_volume(), tmp_path / "v.dcm"))
    assert image.unit == "grey"
    assert image.source.modality == "US"
    assert image.source.in_patient_space is False
    assert image.source.frame_of_reference_uid == "2.25.1.62.9"  # the volume's, not the header's other one
    assert [(f.code, f.severity) for f in image.findings] == [("own_frame_of_reference", "warning")]
    assert image.source.synthetic


def test_that_slice_thickness_is_never_the_spacing(tmp_path):
    series = scan_folder(save(enhanced_us_volume(spacing_mm=(0.4, 0.4, 0.6)), tmp_path / "v.dcm")).series[0]
    assert series.spacing_mm == pytest.approx((0.4, 0.4, 0.6))  # the header's thickness is 1.02


def test_that_time_points_and_data_types_are_volumes_of_their_own(tmp_path):
    made = enhanced_us_volume(AXES, offsets_s=(0.0, 0.25, 0.5), data_types=("FLOW_VELOCITY", "TISSUE_INTENSITY"), growth=0.9, shuffle=True)
    result = scan_folder(save(made, tmp_path / "v.dcm"))
    assert [(s.kind, s.part, s.parts, s.frames) for s in result.series] == [("volume", n, 6, 30) for n in range(1, 7)]
    told = [next(f.message for f in s.findings if f.code == "volume_part") for s in result.series]
    assert told[:2] == ["The volume of tissue intensity at 0 s.", "The volume of tissue intensity at 0.25 s."]
    assert told[5] == "The volume of flow velocity at 0.5 s."
    for series, factor in zip(result.series[:3], (1.0, 0.9, 0.81), strict=True):
        image = read_volume(series)
        found = measure_node(NodeMask(image.array >= (BACKGROUND + INSIDE) / 2, image.geometry, label=1))
        assert found.voxel_volume_ml == pytest.approx(ellipsoid_ml(AXES) * factor**3, rel=0.015)
    flow = read_volume(result.series[3])
    assert flow.unit == "flow velocity"
    assert flow.array.max() == 220
    with pytest.raises(NodusError) as refusal:
        open_image(tmp_path / "v.dcm")
    assert refusal.value.code == "several_series"
    chosen = open_image(tmp_path / "v.dcm", series_uid=result.series[2].key)
    assert chosen.geometry.shape == (30, 50, 60)


def test_that_sweeps_whose_frames_all_have_times_of_their_own_are_not_mixed(tmp_path):
    made = enhanced_us_volume(AXES, shape=(12, 30, 40), offsets_s=(0.0, 1.0), growth=0.7, spacing_mm=(0.6, 0.6, 1.5), shuffle=True)
    for one in made.PerFrameFunctionalGroupsSequence:
        k = one.FrameContentSequence[0].DimensionIndexValues[2]
        one.TemporalPositionSequence[0].TemporalPositionTimeOffset += 0.01 * (k - 1)
    first, second = scan_folder(save(made, tmp_path / "v.dcm")).series
    volumes = [int((read_volume(s).array >= (BACKGROUND + INSIDE) / 2).sum()) for s in (first, second)]
    assert volumes[1] / volumes[0] == pytest.approx(0.7**3, rel=0.05)


def test_that_frames_that_fan_out_are_refused_with_the_reason(tmp_path):
    made = enhanced_us_volume(shape=(6, 20, 20))
    for n, one in enumerate(made.PerFrameFunctionalGroupsSequence):
        angle = np.radians(5.0 * n)
        orientation = type(made)()
        orientation.ImageOrientationVolume = [float(np.cos(angle)), float(np.sin(angle)), 0.0, 0.0, 0.0, 1.0]
        one.PlaneOrientationVolumeSequence = [orientation]
    result = scan_folder(save(made, tmp_path / "v.dcm"))
    assert result.series == ()
    assert [s.code for s in result.skipped] == ["frames_not_parallel"]


def test_that_a_volume_that_was_cut_off_is_refused_not_shown_smaller(tmp_path):
    path = save(enhanced_us_volume(), tmp_path / "v.dcm")
    path.write_bytes(path.read_bytes()[:-20_000])
    result = scan_folder(path)
    assert [s.code for s in result.skipped] == ["truncated"]


def test_that_a_missing_plane_is_said(tmp_path):
    made = enhanced_us_volume()
    del made.PerFrameFunctionalGroupsSequence[11].PlanePositionVolumeSequence
    found = scan_folder(save(made, tmp_path / "v.dcm")).series[0]
    assert ("missing_slice", "serious") in [(f.code, f.severity) for f in found.findings]


def test_that_only_a_rigid_mapping_to_the_transducer_is_read(tmp_path):
    turn = np.eye(4)
    turn[:3, :3], turn[:3, 3] = OBLIQUE, (1.0, -2.0, 30.0)
    assert transducer_mapping(enhanced_us_volume(shape=(2, 4, 4), to_transducer=turn)) == pytest.approx(turn)
    turn[:3, :3] *= 1.1
    made = enhanced_us_volume(to_transducer=turn)
    assert transducer_mapping(made) is None
    series = scan_folder(save(made, tmp_path / "v.dcm")).series[0]
    assert [f.code for f in series.findings] == ["own_frame_of_reference", "transducer_mapping_unusable"]
    assert series.volume_to_transducer is None


def test_that_units_are_plain_words():
    assert [unit_of(None), unit_of("TISSUE_INTENSITY"), unit_of("FLOW_POWER")] == ["grey", "grey", "flow power"]


def test_that_the_commands_work_on_it(tmp_path, capsys):
    path = save(enhanced_us_volume(AXES, direction=OBLIQUE), tmp_path / "v.dcm")
    assert main(["scan", str(path), "--json"]) == 0
    (series,) = json.loads(capsys.readouterr().out)["series"]
    assert (series["kind"], series["shape"], series["in_patient_space"]) == ("volume", [60, 50, 30], False)
    assert series["volume_to_transducer"] == pytest.approx(np.eye(4).ravel())
    out = tmp_path / "v.nii.gz"
    assert main(["convert", str(path), str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["spacing_mm"] == pytest.approx([0.45, 0.4, 0.6])
    assert [w["code"] for w in answer["warnings"]] == ["own_frame_of_reference"]
    assert read_image(out).geometry.affine == pytest.approx(read_image(path).geometry.affine, abs=1e-4)
    image = read_image(path)
    seed = image.geometry.index_to_world((np.array(image.geometry.shape[::-1]) - 1) / 2)
    mask = tmp_path / "node.nii.gz"
    assert main(["segment", str(path), "--seed=" + ",".join(f"{v:.3f}" for v in seed), "--radius-mm", "8", "--out", str(mask), "--json"]) == 0
    capsys.readouterr()
    assert main(["measure", str(mask), "--image", str(path), "--json"]) == 0
    (node,) = json.loads(capsys.readouterr().out)["nodes"]
    assert node["voxel_volume_ml"] == pytest.approx(ellipsoid_ml(AXES), rel=0.05)
