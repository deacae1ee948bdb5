import numpy as np
import pytest

from app.demo import anatomy, neck
from app.demo.case import POSES, REACTIVE, TARGETS, ct_geometry, node_shape, nodes_at
from app.demo.kernels.paint import paint_slices
from app.demo.neck import NeckScan, Pose, render_neck
from app.demo.noise import ct_noise
from tests.reference.demo_paint import paint as slow_paint
from volumetry.geometry import ImageGeometry


def small_scan(shape=(3, 26, 26), spacing=(4.4, 4.4, 6.0), origin=(-55.0, -52.0, 2.0), pose=POSES[1], **more):
    geometry = ImageGeometry.from_spacing(shape, spacing, origin)
    return NeckScan(geometry, pose, (), seed=5, **more)


@pytest.mark.parametrize("origin", [(-64.0, -6.0, 10.0), (-8.0, -50.0, 16.0), (8.0, 18.0, 3.0), (40.0, -30.0, 55.0)])
def test_that_the_painting_kernel_agrees_with_its_slow_twin(origin):
    scan = small_scan((2, 18, 18), (0.9, 0.9, 1.25), origin)
    z = origin[2] + 1.25 * np.arange(2)[:, None] + np.array([-0.3, 0.3])
    rows, (radius, centre) = neck._rows(scan, z), neck._skin(scan, z)
    middle = np.array([origin[0] + 8, origin[1] + 8])
    near = [n for n in range(rows.shape[2]) if np.linalg.norm(rows[0, 0, n, 4:6] - middle) < 16]
    rows = np.ascontiguousarray(rows[:, :, near[:: max(1, len(near) // 40)]])
    coarse, fine = np.random.default_rng(2).standard_normal((2, 8, 8, 8))
    turn = scan.pose.rotation
    to_body = np.column_stack([turn.T, -turn.T @ np.array(scan.pose.shift_mm)])
    arguments = (*origin[:2], 0.9, z, rows, radius, centre, np.array([30.0, 1.6, -102.0, 42.0]), -1000.0, to_body, coarse, fine)
    fast = np.empty(scan.geometry.shape, dtype=np.float32)
    paint_slices(fast, 0, 2, *arguments)
    slow = slow_paint(scan.geometry.shape, *arguments)
    assert slow.std() > 30
    assert np.abs(fast - slow).max() < 0.05


@pytest.fixture(scope="module")
def scan_and_hu():
    scan = NeckScan(ct_geometry(), POSES[0], tuple(nodes_at(0, 2026, POSES[0])), seed=3)
    return scan, render_neck(scan)


def value_at(scan, hu, body_point):
    i, j, k = np.round(scan.geometry.world_to_index(scan.pose.apply(body_point))).astype(int)
    return float(hu[k, j - 1 : j + 2, i - 1 : i + 2].mean())


def test_that_each_tissue_has_its_density(scan_and_hu):
    scan, hu = scan_and_hu
    carotid = next(p for p in scan.parts if p.name == "common carotid left").knots
    assert 180 < value_at(scan, hu, (*[np.interp(0, carotid[:, 0], carotid[:, c]) for c in (1, 2)], 0.0)) < 270
    assert value_at(scan, hu, (0.5, -17.5, -35.0)) < -900  # windpipe
    assert 40 < value_at(scan, hu, (47.0, -1.0, 25.0)) < 85  # sternocleidomastoid
    assert value_at(scan, hu, (0.0, 14.0, 22.5)) > 180  # a vertebra
    assert 0 < value_at(scan, hu, (0.0, 27.5, 5.0)) < 80  # spinal cord
    assert value_at(scan, hu, (100.0, -95.0, 40.0)) < -950  # air beside the neck


def test_that_the_skin_closes_the_neck_off_from_the_air(scan_and_hu):
    scan, hu = scan_and_hu
    k = 60
    body = hu[k] > -200
    rows, columns = np.flatnonzero(body.any(axis=1)), np.flatnonzero(body.any(axis=0))
    spacing = scan.geometry.spacing_mm
    assert 105 < (columns[-1] - columns[0]) * spacing[0] < 135
    assert 115 < (rows[-1] - rows[0]) * spacing[1] < 150
    shoulders = (hu[2] > -200).any(axis=0).sum() * spacing[0]
    assert shoulders > 200


def test_that_noise_has_its_strength_and_its_texture():
    noise = ct_noise(np.random.default_rng(1), (6, 128, 128), 0.625, 10.0)
    assert noise.std() == pytest.approx(10.0, rel=1e-3)
    assert abs(float(noise.mean())) < 0.5
    power = np.abs(np.fft.rfft2(noise, axes=(1, 2))).mean(axis=0) ** 2
    assert power[2, 2] < power[12, 12] > 4 * power[60, 60]  # little at low, most at middling, little at high


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.node.id)
def test_that_each_node_lies_in_fat_and_touches_a_vessel_or_muscle(target):
    bare = NeckScan(ct_geometry(), Pose(), (), seed=3)
    shape = node_shape(target, 0, 2026)
    centre = np.array(shape.centre_mm)
    geometry = bare.geometry
    low = np.floor(geometry.world_to_index(centre - 14)).astype(int)
    high = np.ceil(geometry.world_to_index(centre + 14)).astype(int)
    box = tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))
    part = NeckScan(geometry.cropped(box), Pose(), (), seed=3, noise_sd_hu=0.01)
    hu = render_neck(part)
    surface = shape.surface_points_mm(16)
    outward = (surface - centre) / np.linalg.norm(surface - centre, axis=1)[:, None]
    index = np.round(part.geometry.world_to_index(surface + 1.2 * outward)).astype(int)
    around = hu[index[:, 2], index[:, 1], index[:, 0]]
    assert (around < -20).mean() > 0.5
    assert (around > 20).mean() > 0.04
    middle = np.round(part.geometry.world_to_index(centre + 0.85 * (surface - centre))).astype(int)
    under = hu[middle[:, 2], middle[:, 1], middle[:, 0]]
    assert (under > 20).mean() < 0.25  # it pushes nothing hard


def test_that_no_harmless_node_runs_into_a_target():
    for centre, axes, _, _ in REACTIVE:
        for target in TARGETS:
            reach = max(axes) + max(node_shape(target, 0, 2026).semi_axes_mm)
            assert np.linalg.norm(np.array(centre) - target.centre_mm) > reach


def test_that_structures_follow_their_centre_line():
    parts = anatomy.neck_parts()
    pieces = anatomy.capsule_chain("common carotid left", parts, -60, 20)
    assert np.allclose(pieces[0]["to_mm"], pieces[1]["from_mm"])
    assert pieces[-1]["to_mm"][2] == pytest.approx(20)
    assert all(5 < p["diameter_mm"] < 12 for p in pieces)


def test_that_a_pose_moves_the_picture_with_the_body():
    one = render_neck(small_scan((5, 60, 60), (2.0, 2.0, 3.0), (-60, -55, 10), Pose(), noise_sd_hu=0.01)).astype(float)
    two = render_neck(small_scan((5, 60, 60), (2.0, 2.0, 3.0), (-60 + 6, -55 - 4, 10 + 3), Pose((0, 0, 0), (6, -4, 3)), noise_sd_hu=0.01)).astype(float)
    assert np.abs(one - two).max() <= 2.0
