"""Agreement of two masks: two observers' published outlines, closed forms and a brute-force twin."""

from __future__ import annotations

import numpy as np
import pytest

from dicom_io.masks import read_masks
from tests.volumetry.ellipsoids import random_rotation
from volumetry.errors import MeasurementRefused
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask
from volumetry.overlap import overlap

# structure: voxels and ml of the oncologist, of the radiographer, Dice, Hausdorff mm, as stated with the files
OBSERVERS = {
    "Lacrimal-Rt": (269, 0.6459, 223, 0.5354, 0.6829, 3.733),
    "Parotid-Lt": (9291, 22.3077, 7855, 18.8599, 0.7949, 27.423),
    "Submandibular-Lt": (3147, 7.5559, 3379, 8.1130, 0.9074, 5.961),
    "Submandibular-Rt": (4035, 9.6880, 4447, 10.6772, 0.9073, 3.099),
}
GRID = ImageGeometry.from_spacing((12, 14, 16), (0.7, 0.9, 2.0))


def mask(array, geometry=GRID) -> NodeMask:
    return NodeMask(np.asarray(array, dtype=bool), geometry)


@pytest.mark.parametrize("structure", OBSERVERS)
def test_that_two_observers_agree_as_published(shared_data, structure):
    folder = shared_data / "reference_values" / "headneck_two_observers" / "0522c0057"
    (first,), (second,) = (read_masks(folder / f"{structure}_{who}.nrrd") for who in ("oncologist", "radiographer"))
    n_first, ml_first, n_second, ml_second, dice, hausdorff = OBSERVERS[structure]
    assert (int(first.array.sum()), int(second.array.sum())) == (n_first, n_second)
    found = overlap(first, second)
    assert (found.first_ml, found.second_ml) == pytest.approx((ml_first, ml_second), rel=2e-4)
    assert found.dice == pytest.approx(dice, abs=5.1e-5)
    assert found.hausdorff_mm == pytest.approx(hausdorff, abs=0.01)
    assert found.mean_surface_distance_mm < found.hausdorff_95_mm <= found.hausdorff_mm


def test_that_an_rtstruct_and_the_nifti_of_one_tumour_agree_fully(shared_data):
    folder = shared_data / "ct_rtstruct" / "STS_002"
    (nifti,) = read_masks(folder / "nifti" / "CT_mask.nii.gz")
    (drawn,) = read_masks(folder / "mask" / "RS.dcm", image=folder / "image")
    found = overlap(nifti, drawn)
    assert (found.dice, found.jaccard, found.hausdorff_mm, found.mean_surface_distance_mm) == (1.0, 1.0, 0.0, 0.0)
    assert found.common_ml == pytest.approx(53.2954, rel=2e-4)


def test_that_every_number_agrees_with_all_pairs_of_voxels():
    rng = np.random.default_rng(4)
    for n in range(12):
        affine = np.eye(4)
        affine[:3, :3] = random_rotation(rng) @ np.diag(rng.uniform(0.5, 3, 3))
        affine[0, 2] += 0.4 * (n % 2)  # sheared every other time
        grid = ImageGeometry((7, 8, 9), affine)
        a, b = (rng.random(grid.shape) < rng.uniform(0.02, 0.7) for _ in range(2))
        a[3, 3, 3] = b[4, 4, 4] = True
        found = overlap(mask(a, grid), mask(b, grid))

        def distances(x, y, grid=grid):
            p, q = (grid.index_to_world(np.argwhere(v)[:, ::-1]) for v in (x, y))
            return np.linalg.norm(p[:, None] - q[None], axis=2).min(axis=1)

        def surface(x):
            padded = np.pad(x, 1)
            inner = padded.copy()
            for axis in range(3):
                for step in (-1, 1):
                    inner &= np.roll(padded, step, axis)
            return x & ~inner[1:-1, 1:-1, 1:-1]

        assert found.dice == pytest.approx(2 * (a & b).sum() / (a.sum() + b.sum()))
        assert found.jaccard == pytest.approx((a & b).sum() / (a | b).sum())
        assert found.hausdorff_mm == pytest.approx(max(distances(a, b).max(), distances(b, a).max()))
        sa, sb = surface(a), surface(b)
        both = distances(sa, sb), distances(sb, sa)
        assert found.mean_surface_distance_mm == pytest.approx(np.concatenate(both).mean())
        assert found.hausdorff_95_mm == pytest.approx(max(np.percentile(d, 95) for d in both))
        turned = overlap(mask(b, grid), mask(a, grid))
        assert (turned.dice, turned.hausdorff_mm, turned.first_ml) == pytest.approx((found.dice, found.hausdorff_mm, found.second_ml))


def test_that_a_shifted_block_lies_its_shift_away():
    a, b = np.zeros(GRID.shape, bool), np.zeros(GRID.shape, bool)
    a[2:6, 3:8, 2:7] = True
    b[4:8, 3:8, 2:7] = True  # two slices of 2 mm up
    found = overlap(mask(a), mask(b))
    assert found.dice == pytest.approx(0.5)
    assert found.hausdorff_mm == pytest.approx(4.0)


def test_that_a_hole_is_a_difference_and_the_edge_of_the_picture_is_a_surface():
    full = np.ones(GRID.shape, bool)
    holed = full.copy()
    holed[6, 7, 8] = False
    found = overlap(mask(full), mask(holed))
    assert found.hausdorff_mm == pytest.approx(0.7)  # from the hole to the nearest voxel beside it
    assert overlap(mask(full), mask(full)).mean_surface_distance_mm == 0.0


def test_that_empty_masks_have_no_distance():
    some = np.zeros(GRID.shape, bool)
    some[1, 1, 1] = True
    none = mask(np.zeros(GRID.shape))
    one = overlap(mask(some), none)
    assert (one.dice, one.hausdorff_mm, one.mean_surface_distance_mm, one.second_ml) == (0.0, None, None, 0.0)
    assert overlap(none, none).dice == 1.0


def test_that_masks_on_two_grids_are_refused():
    other = ImageGeometry.from_spacing(GRID.shape, (0.7, 0.9, 2.1))
    with pytest.raises(MeasurementRefused) as refusal:
        overlap(mask(np.ones(GRID.shape)), mask(np.ones(GRID.shape), other))
    assert refusal.value.code == "bad_shape"
