"""Registration between visits: known moves come back, and what cannot be registered is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pydicom
import pytest
from scipy import ndimage

from app.demo.case import POSES, ct_geometry
from app.demo.shapes import rotation_from
from tests.volumetry.ellipsoids import random_rotation
from volumetry.block_matching import resampled
from volumetry.errors import Cancelled
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume
from volumetry.mask import NodeMask
from volumetry.registration import RegistrationRefused, RigidRegistration, register_landmarks, register_rigid, resample_mask

NAMES = ["Baseline", "Day 30", "Month 3", "Month 6", "Month 12"]


def moved(angles_deg, shift_mm) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_from(*angles_deg)
    matrix[:3, 3] = shift_mm
    return matrix


def pose(n: int) -> np.ndarray:
    return moved(POSES[n].angles_deg, POSES[n].shift_mm)


def ct_of(visit) -> ImageVolume:
    """A visit's CT with pixels averaged two by two."""
    files = sorted((pydicom.dcmread(f) for f in visit.ct_folder.iterdir()), key=lambda d: float(d.ImagePositionPatient[2]))
    hu = np.stack([f.pixel_array + float(f.RescaleIntercept) for f in files]).astype(np.float32)
    grid = ct_geometry()
    affine = grid.affine.copy()
    affine[:3, :2] *= 2
    affine[:3, 3] = grid.index_to_world((0.5, 0.5, 0))
    k, j, i = hu.shape
    return ImageVolume(hu.reshape(k, j // 2, 2, i // 2, 2).mean(axis=(2, 4)), ImageGeometry((k, j // 2, i // 2), affine))


@pytest.fixture(scope="module")
def baseline(demo_case) -> ImageVolume:
    return ct_of(demo_case.visit("Baseline"))


@pytest.fixture(scope="module")
def neck_points(baseline) -> np.ndarray:
    """Points all over the neck (not the couch, not the stamp in the corner), LPS mm."""
    labels, _ = ndimage.label(ndimage.binary_opening(baseline.array > -200, iterations=2))
    return baseline.geometry.index_to_world(np.argwhere(labels == np.bincount(labels.ravel())[1:].argmax() + 1)[::997, ::-1])


def farthest_mm(registration: RigidRegistration, truth: np.ndarray, points: np.ndarray) -> float:
    return float(np.linalg.norm(registration.apply(points) - (points @ truth[:3, :3].T + truth[:3, 3]), axis=1).max())


def scanned_again(image: ImageVolume, matrix: np.ndarray, seed: int) -> ImageVolume:
    """The same body after ``matrix``, on the same grid, with noise of its own."""
    array = resampled(image.array + 1024, image.geometry, image.geometry, np.linalg.inv(matrix)) - 1024
    return replace(image, array=array + np.random.default_rng(seed).normal(0, 10, array.shape).astype(np.float32))


@pytest.mark.parametrize(
    ("angles_deg", "shift_mm"), [((2.0, -3.0, 5.0), (-8.0, 6.0, 6.5)), ((-6.0, 0.0, 0.0), (0.0, 0.0, 12.0)), ((0.0, 0.0, 6.0), (12.0, 0.0, 0.0))]
)
def test_that_a_known_move_of_the_neck_is_recovered_within_a_millimetre(baseline, neck_points, angles_deg, shift_mm):
    truth = moved(angles_deg, shift_mm)
    found = register_rigid(baseline, scanned_again(baseline, truth, 5))
    assert farthest_mm(found, truth, neck_points) < 1.0
    assert found.residual_mm < 1.0
    assert found.findings == ()
    assert found.angle_deg == pytest.approx(np.degrees(np.arccos((np.trace(truth[:3, :3]) - 1) / 2)), abs=0.3)


@pytest.mark.parametrize("name", ["Day 30", "Month 12"])
def test_that_two_visits_of_the_demonstration_are_brought_together(demo_case, baseline, neck_points, name):
    n = NAMES.index(name)
    truth = pose(n) @ np.linalg.inv(pose(0))
    turns = [np.array(demo_case.true_node("N2", v)["rotation"]) for v in ("Baseline", name)]
    assert turns[1] @ turns[0].T == pytest.approx(truth[:3, :3], abs=1e-9)  # the written truth says the same
    found = register_rigid(baseline, ct_of(demo_case.visit(name)))
    assert farthest_mm(found, truth, neck_points) < 1.0
    assert found.residual_mm < 1.0


def test_that_a_neck_that_bent_or_is_another_is_told(baseline):
    """No rigid move fits either picture; the residual says so, whatever the optimiser thinks."""
    k, j, i = np.indices(baseline.array.shape).astype(np.float32)
    height_mm = (k - k.mean()) * 1.25
    bent = ndimage.map_coordinates(baseline.array, [k, j - 0.002 * height_mm**2 / 1.25, i], order=1, mode="nearest")  # 8 mm at both ends
    for array in (bent, baseline.array[::-1].copy()):
        found = register_rigid(baseline, replace(baseline, array=array))
        assert found.residual_mm is None or found.residual_mm > 2.0
        assert {"registration_poor", "registration_unchecked"} & {f.code for f in found.findings}


def test_that_a_shorter_scan_on_another_table_is_found(baseline, neck_points):
    piece = (slice(18, 95), slice(None), slice(None))
    truth = moved((3.0, -2.0, 4.0), (9.0, -70.0, 35.0))
    again = scanned_again(baseline, moved((0, 0, 0), (1.0, 0.5, -0.8)), 8)
    grid = baseline.geometry.cropped(piece)
    found = register_rigid(baseline, ImageVolume(again.array[piece].copy(), ImageGeometry(grid.shape, truth @ grid.affine)))
    assert farthest_mm(found, truth @ moved((0, 0, 0), (1.0, 0.5, -0.8)), neck_points) < 1.0
    assert [f.code for f in found.findings] == ["registration_large"]


def test_that_a_registration_repeats_exactly_and_can_be_cancelled(baseline):
    corner = (slice(20, 80), slice(40, 150), slice(30, 150))
    small = ImageVolume(baseline.array[corner].copy(), baseline.geometry.cropped(corner))
    again = scanned_again(small, moved((1, 0, 2), (2.0, -3.0, 1.0)), 3)
    first, second = (register_rigid(small, again) for _ in range(2))
    assert np.array_equal(first.matrix, second.matrix)
    assert first.metric == second.metric
    asked = []

    def cancel() -> bool:
        asked.append(1)
        return len(asked) > 6

    with pytest.raises(Cancelled):
        register_rigid(small, again, should_cancel=cancel)
    assert len(asked) < 12  # it stopped where it was asked, not at the end


def blob_picture(shape=(40, 60, 60), spacing=(1.5, 1.5, 2.0), seed=4, unit="a.u.", affine=None) -> tuple[ImageVolume, np.ndarray]:
    """A random smooth picture defined in space, so that any grid can sample it exactly."""
    rng = np.random.default_rng(seed)
    centres, sizes, heights = rng.uniform(-45, 45, (150, 3)), rng.uniform(3, 9, 150), rng.normal(0, 100, 150)
    grid = ImageGeometry.from_spacing(shape, spacing, [-0.5 * s * (n - 1) for s, n in zip(spacing, shape[::-1], strict=True)])
    if affine is not None:
        grid = ImageGeometry(shape, affine)
    k, j, i = np.indices(shape)
    points = grid.index_to_world(np.stack([i, j, k], axis=-1))
    value = np.zeros(shape)
    for c, s, h in zip(centres, sizes, heights, strict=True):
        value += h * np.exp(-((points - c) ** 2).sum(axis=-1) / (2 * s * s))
    return ImageVolume(value.astype(np.float32), grid, unit), points.reshape(-1, 3)[::501]


def test_that_a_tilted_stack_is_registered_by_its_true_positions():
    fixed, points = blob_picture()
    affine = fixed.geometry.affine.copy()
    affine[1, 2] = 0.7  # a gantry tilt of 19 degrees
    affine[1, 3] -= 14.0
    tilted, _ = blob_picture(affine=affine)
    assert tilted.geometry.is_sheared
    inner = points[(np.abs(points) < 25).all(axis=1)]
    assert farthest_mm(register_rigid(fixed, tilted), np.eye(4), inner) < 0.5
    assert farthest_mm(register_rigid(tilted, fixed), np.eye(4), inner) < 0.5


def test_that_inverted_contrast_still_registers_but_says_that_it_is_unchecked():
    fixed, points = blob_picture()
    moving = replace(fixed, array=-fixed.array, geometry=ImageGeometry(fixed.array.shape, moved((2, 1, -2), (3.0, -2.0, 4.0)) @ fixed.geometry.affine))
    found = register_rigid(fixed, moving)
    assert farthest_mm(found, moved((2, 1, -2), (3.0, -2.0, 4.0)), points) < 1.0
    assert found.residual_mm is None
    assert [f.code for f in found.findings] == ["registration_unchecked"]


def test_that_a_mask_says_which_part_must_fit():
    """One half of the picture moved apart from the other: the mask decides which one is followed."""
    fixed, points = blob_picture(shape=(48, 64, 64))
    shift = np.array([0.0, 4.0, 0.0])
    near, far = (blob_picture(shape=(48, 64, 64), affine=moved((0, 0, 0), (0, s, 0)) @ fixed.geometry.affine)[0].array for s in (0.0, -4.0))
    half = np.zeros(fixed.array.shape, dtype=bool)
    half[:, :, 32:] = True
    moving = replace(fixed, array=np.where(half, far, near))
    for part, move in ((half, shift), (~half, 0 * shift)):
        side = points[(points[:, 0] > 12) if move.any() else (points[:, 0] < -12)]
        found = register_rigid(fixed, moving, mask=NodeMask(part, fixed.geometry))
        assert farthest_mm(found, moved((0, 0, 0), move), side[(np.abs(side) < 30).all(axis=1)]) < 1.0


def test_that_what_cannot_be_registered_is_refused():
    fixed, _ = blob_picture(shape=(16, 24, 24))
    flat = replace(fixed, array=np.full(fixed.array.shape, 3.0, dtype=np.float32))
    holed = fixed.array.copy()
    holed[3, 3, 3] = np.nan
    thin = ImageVolume(fixed.array[:2].copy(), fixed.geometry.cropped((slice(0, 2), slice(0, 24), slice(0, 24))), "a.u.")
    cases = (
        (fixed, flat, None, "constant_picture"),
        (replace(fixed, array=holed), fixed, None, "not_finite"),
        (thin, fixed, None, "bad_shape"),
        (fixed, fixed, NodeMask(np.zeros(fixed.array.shape, dtype=bool), fixed.geometry), "empty"),
        (fixed, fixed, NodeMask(np.ones((2, 2, 2)), ImageGeometry.from_spacing((2, 2, 2), (1, 1, 1), (900, 0, 0))), "outside_image"),
    )
    for a, b, mask, code in cases:
        with pytest.raises(RegistrationRefused) as refusal:
            register_rigid(a, b, mask=mask)
        assert refusal.value.code == code


def test_that_landmarks_give_back_rotation_shift_and_each_residual():
    rng = np.random.default_rng(8)
    for _ in range(20):
        truth = np.eye(4)
        truth[:3, :3], truth[:3, 3] = random_rotation(rng), rng.normal(0, 50, 3)
        fixed = rng.normal(0, 40, (rng.integers(3, 9), 3))
        moving = fixed @ truth[:3, :3].T + truth[:3, 3]
        found = register_landmarks(fixed, moving)
        assert found.matrix == pytest.approx(truth, abs=1e-9)
        assert found.residual_mm < 1e-9
        assert found.inverse().apply(moving) == pytest.approx(fixed, abs=1e-9)
        assert [f.code for f in found.findings] == (["registration_unchecked"] if len(fixed) == 3 else [])
    square = np.array([[10.0, 10, 0], [-10, 10, 0], [-10, -10, 0], [10, -10, 0]])
    bent = square + np.array([[0, 0, 4], [0, 0, -4], [0, 0, 4], [0, 0, -4]])  # no plane fits better than the middle one
    found = register_landmarks(square, bent)
    assert found.matrix == pytest.approx(np.eye(4), abs=1e-9)
    assert found.point_residuals_mm == pytest.approx([4, 4, 4, 4])
    assert [f.code for f in found.findings] == ["registration_poor"]


def test_that_mirrored_landmarks_are_never_taken_for_a_rotation():
    points = np.random.default_rng(1).normal(0, 30, (6, 3))
    found = register_landmarks(points, points * [-1, 1, 1])
    assert np.linalg.det(found.matrix[:3, :3]) == pytest.approx(1)
    assert found.residual_mm > 10


@pytest.mark.parametrize(
    ("fixed", "moving", "code"),
    [
        (np.eye(3)[:2], np.eye(3)[:2], "too_few_landmarks"),
        (np.outer(np.arange(5.0), [1, 2, 3]), np.outer(np.arange(5.0), [1, 2, 3]), "landmarks_in_line"),
        (np.ones((4, 3)), np.ones((4, 3)), "landmarks_in_line"),
        (np.eye(3), np.eye(4)[:, :3], "bad_landmarks"),
        (np.eye(3) * np.nan, np.eye(3), "bad_landmarks"),
        ([[1, 2, 3], [1]], [[1, 2, 3], [1, 2, 3]], "bad_landmarks"),
    ],
)
def test_that_landmarks_which_fix_nothing_are_refused(fixed, moving, code):
    with pytest.raises(RegistrationRefused) as refusal:
        register_landmarks(fixed, moving)
    assert refusal.value.code == code


def ball(grid: ImageGeometry, centre, radius: float) -> NodeMask:
    k, j, i = np.indices(grid.shape)
    return NodeMask(np.linalg.norm(grid.index_to_world(np.stack([i, j, k], axis=-1)) - centre, axis=-1) <= radius, grid, label=3, name="N3")


def test_that_a_carried_over_mask_lies_where_it_should_and_keeps_its_volume():
    source = ImageGeometry.from_spacing((40, 60, 60), (0.7, 0.7, 1.25), (-20, -20, -25))
    target = ImageGeometry.from_spacing((60, 70, 70), (0.6, 0.6, 1.0), (-30, -10, -40))
    truth = moved((4, -5, 10), (6.0, -9.0, 8.0))  # fixed (target) to moving (source)
    mask = ball(source, (1.0, 2.0, 0.5), 7.0)
    found = resample_mask(mask, RigidRegistration(truth, "landmarks", 0.4), target)
    assert (found.label, found.name, found.coverage_volume_ml) == (3, "N3", None)
    assert [f.code for f in found.findings] == ["propagated"]
    centre = target.index_to_world(np.argwhere(found.array)[:, ::-1]).mean(axis=0)
    assert centre @ truth[:3, :3].T + truth[:3, 3] == pytest.approx([1.0, 2.0, 0.5], abs=0.1)
    volumes = [m.array.sum() * m.geometry.voxel_size_mm3 for m in (mask, found)]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.015)


def test_that_the_identity_carries_every_voxel_over_unchanged():
    grid = ImageGeometry.from_spacing((6, 7, 8), (0.7, 0.8, 2.5), (-3, 4, 5))
    mask = NodeMask(np.random.default_rng(2).random(grid.shape) > 0.5, grid)
    assert np.array_equal(resample_mask(mask, RigidRegistration(np.eye(4), "landmarks", 0.0), grid).array, mask.array)


def test_that_an_empty_mask_and_one_that_leaves_the_picture_are_refused():
    grid = ImageGeometry.from_spacing((10, 10, 10), (1, 1, 1))
    for mask, matrix, code in (
        (NodeMask(np.zeros(grid.shape), grid), np.eye(4), "empty"),
        (ball(grid, (4, 4, 4), 2), moved((0, 0, 0), (50, 0, 0)), "outside_image"),
    ):
        with pytest.raises(RegistrationRefused) as refusal:
            resample_mask(mask, RigidRegistration(matrix, "landmarks", 0.0), grid)
        assert refusal.value.code == code
