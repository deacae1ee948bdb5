"""Two volumes brought together from the command line: a known move of the demonstration CT comes back."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from app.cli import main
from app.demo.shapes import rotation_from
from app.jobs import JobContext
from app.usecases.register import LandmarkPair, read_landmarks, register_files, register_pairs, register_volumes
from dicom_io.masks import read_image
from dicom_io.volume_files import write_volume
from volumetry.block_matching import resampled
from volumetry.errors import Cancelled, NodusError
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageSource, ImageVolume
from volumetry.mask import NodeMask

ANGLES_DEG, SHIFT_MM = (3.0, -2.0, 5.0), (-7.5, 6.0, 8.0)


def moved(angles_deg=ANGLES_DEG, shift_mm=SHIFT_MM) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_from(*angles_deg)
    matrix[:3, 3] = shift_mm
    return matrix


def run(capsys, *argv) -> tuple[int, dict]:
    status = main([str(a) for a in argv])
    return status, json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def demonstration(demo_case, tmp_path_factory):
    """(DICOM folder of the baseline CT, file of the same body turned and shifted, points all over the neck)."""
    folder = demo_case.visit("Baseline").ct_folder
    image = read_image(folder)
    array = resampled(image.array.astype(np.float32) + 1024, image.geometry, image.geometry, np.linalg.inv(moved())) - 1024
    array += np.random.default_rng(7).normal(0, 10, array.shape).astype(np.float32)
    place = tmp_path_factory.mktemp("moved") / "moved.nii.gz"
    write_volume(replace(image, array=np.rint(array).astype(np.int16)), place)
    neck, _ = ndimage.label(ndimage.binary_opening(image.array[::2, ::4, ::4] > -200))
    inside = np.argwhere(neck == np.bincount(neck.ravel())[1:].argmax() + 1)[::97, ::-1] * (4, 4, 2)
    return folder, place, image.geometry.index_to_world(inside)


def error_mm(matrix, points) -> np.ndarray:
    matrix, truth = np.array(matrix), moved()
    return np.linalg.norm(points @ (matrix[:3, :3] - truth[:3, :3]).T + matrix[:3, 3] - truth[:3, 3], axis=1)


def test_that_a_known_shift_and_rotation_of_the_demonstration_ct_is_recovered_within_a_millimetre(capsys, demonstration):
    folder, place, neck = demonstration
    status, answer = run(capsys, "register", folder, place, "--json")
    assert status == 0
    assert len(neck) > 500
    assert error_mm(answer["matrix"], neck).max() < 1.0
    assert answer["residual_mm"] < 1.0
    assert answer["method"] == "mutual_information"
    assert answer["angle_deg"] == pytest.approx(np.degrees(np.arccos((np.trace(moved()[:3, :3]) - 1) / 2)), abs=0.3)
    centre = np.array(answer["centre_mm"])
    assert answer["shift_mm"] == pytest.approx(moved()[:3, :3] @ centre + moved()[:3, 3] - centre, abs=0.5)
    assert answer["warnings"] == []


# ---- small pictures -----------------------------------------------------------------------------


def blobs(matrix=None, seed=4, modality="CT") -> ImageVolume:
    """A smooth random picture defined in space; ``matrix`` moves the body."""
    rng = np.random.default_rng(seed)
    centres, sizes, heights = rng.uniform(-45, 45, (120, 3)), rng.uniform(3, 9, 120), rng.normal(0, 100, 120)
    shape, spacing = (32, 50, 50), (1.8, 1.8, 2.4)
    grid = ImageGeometry.from_spacing(shape, spacing, [-0.5 * s * (n - 1) for s, n in zip(spacing, shape[::-1], strict=True)])
    k, j, i = np.indices(shape)
    points = grid.index_to_world(np.stack([i, j, k], axis=-1))
    if matrix is not None:
        back = np.linalg.inv(matrix)
        points = points @ back[:3, :3].T + back[:3, 3]
    value = np.zeros(shape)
    for c, s, h in zip(centres, sizes, heights, strict=True):
        value += h * np.exp(-((points - c) ** 2).sum(axis=-1) / (2 * s * s))
    return ImageVolume(value.astype(np.float32), grid, "HU", ImageSource(modality=modality))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Files of a small picture and of the same one moved."""
    folder = tmp_path_factory.mktemp("pair")
    write_volume(blobs(), folder / "fixed.nii.gz")
    write_volume(blobs(moved()), folder / "moving.nii.gz")
    return folder / "fixed.nii.gz", folder / "moving.nii.gz"


POINTS = np.array([[20.0, 5, -10], [-15, 20, 4], [3, -22, 18], [-8, -9, -20]])


def landmark_file(folder, points=POINTS, targets=None):
    targets = points @ moved()[:3, :3].T + moved()[:3, 3] if targets is None else targets
    place = folder / "landmarks.json"
    place.write_text(json.dumps({"landmarks": [{"name": f"L{n}", "fixed_mm": list(a), "moving_mm": list(b)} for n, (a, b) in enumerate(zip(points, targets, strict=True))]}))
    return place


def test_that_landmarks_of_a_file_give_the_motion_and_each_residual(capsys, pair, tmp_path):
    status, answer = run(capsys, "register", *pair, "--landmarks", landmark_file(tmp_path), "--json")
    assert status == 0
    assert (answer["method"], answer["warnings"]) == ("landmarks", [])
    assert np.array(answer["matrix"]) == pytest.approx(moved(), abs=1e-9)
    assert answer["residual_mm"] < 1e-9
    assert len(answer["point_residuals_mm"]) == 4


def test_that_the_human_answer_names_residual_and_warnings(capsys, pair, tmp_path):
    assert main(["register", *map(str, pair), "--landmarks", str(landmark_file(tmp_path, POINTS[:3]))]) == 0
    out = capsys.readouterr().out
    assert "residual 0.00 mm (landmarks)" in out
    assert "! Three landmarks always fit well" in out


def test_that_a_mask_says_what_must_fit_and_goes_not_with_landmarks(capsys, pair, tmp_path):
    fixed = blobs()
    region = np.zeros(fixed.array.shape, bool)
    region[4:-4, 8:-8, 8:-8] = True
    write_volume(NodeMask(region, fixed.geometry), tmp_path / "mask.nii.gz")
    status, answer = run(capsys, "register", *pair, "--mask", tmp_path / "mask.nii.gz", "--json")
    assert status == 0
    assert error_mm(answer["matrix"], POINTS).max() < 1.0
    status, answer = run(capsys, "register", *pair, "--mask", tmp_path / "mask.nii.gz", "--landmarks", landmark_file(tmp_path), "--json")
    assert (status, answer["error"]["code"]) == (3, "landmarks_and_mask")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("[1, 2]", "bad_landmarks"),
        ('{"landmarks": [{"fixed_mm": [1, 2, 3]}]}', "bad_landmarks"),
        ('{"landmarks": [{"fixed_mm": [1, 2, 3], "moving_mm": [1, 2, true]}]}', "bad_landmarks"),
        ('{"landmarks": [{"fixed_mm": [1, 2, 3], "moving_mm": [1, 2, 3]}]}', "too_few_landmarks"),
        ('{"landmarks": [{"fixed_mm": [900, 2, 3], "moving_mm": [1, 2, 3]}]}', "outside_image"),
        ('{"landmarks": [{"fixed_mm": [0, 0, 0], "moving_mm": [0, 0, 0]}, {"fixed_mm": [5, 0, 0], "moving_mm": [5, 0, 0]}, {"fixed_mm": [9, 0, 0], "moving_mm": [9, 0, 0]}]}', "landmarks_in_line"),
    ],
)
def test_that_landmarks_that_fix_nothing_are_refused(capsys, pair, tmp_path, content, code):
    place = tmp_path / "landmarks.json"
    place.write_text(content)
    status, answer = run(capsys, "register", *pair, "--landmarks", place, "--json")
    assert (status, answer["error"]["code"]) == (3, code)


def test_that_names_of_landmarks_are_read(tmp_path):
    assert [p.name for p in read_landmarks(landmark_file(tmp_path))] == ["L0", "L1", "L2", "L3"]


def test_that_unlike_modalities_are_told_and_progress_is_reported(pair):
    told = []
    found = register_volumes(blobs(), blobs(moved(), modality="MR"), JobContext(lambda event: told.append((event.fraction, event.message))))
    assert "registration_unlike" in [f.code for f in found.findings]
    assert error_mm(found.matrix, POINTS).max() < 1.0
    fractions = [f for f, _ in told]
    assert fractions == sorted(fractions)
    assert len(set(fractions)) >= 5


def test_that_a_registration_under_way_can_be_cancelled(pair):
    context = JobContext(lambda event: context.token.cancel() if "together" in event.message else None)
    with pytest.raises(Cancelled):
        register_files(*pair, context)


def test_that_pairs_without_pictures_need_no_place():
    found = register_pairs(tuple(LandmarkPair(tuple(p), tuple(p + 500)) for p in POINTS))
    assert found.shift_mm == pytest.approx((500, 500, 500))
    with pytest.raises(NodusError) as refused:
        register_pairs(tuple(LandmarkPair(tuple(p), tuple(p + 500)) for p in POINTS), None, blobs())
    assert refused.value.code == "outside_image"
