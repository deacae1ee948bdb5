"""A vessel or an airway from one click, or a refusal where nothing parts it from its neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from app.usecases.structures import grow_structure
from volumetry.errors import SegmentationRefused
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageVolume

GRID = ImageGeometry.from_spacing((50, 50, 50), (1.0, 1.0, 1.5), (-25.0, -25.0, 0.0))
VESSEL_AT, AIRWAY_AT, VEIN_AT = (-10.0, 0.0), (10.0, 5.0), (-10.0, 12.0)


def radius_from(centre) -> np.ndarray:
    k, j, i = np.indices(GRID.shape)
    p = GRID.index_to_world(np.stack([i, j, k], -1))
    return np.hypot(p[..., 0] - centre[0], p[..., 1] - centre[1])


@pytest.fixture(scope="module")
def image() -> ImageVolume:
    hu = np.full(GRID.shape, 55.0)
    hu[radius_from(VESSEL_AT) <= 3.0] = 260.0
    hu[radius_from(VEIN_AT) <= 4.0] = 180.0
    hu[radius_from(AIRWAY_AT) <= 6.0] = -1000.0
    return ImageVolume(np.rint(hu + np.random.default_rng(1).normal(0, 8, GRID.shape)).astype(np.int16), GRID)


def test_that_a_bright_vessel_is_grown_along_its_course_and_no_further(image):
    mask = grow_structure(image, (*VESSEL_AT, 37.0), "carotid", reach_mm=20.0)
    true = radius_from(VESSEL_AT) <= 3.0
    k, j, i = np.indices(GRID.shape)
    near = np.linalg.norm(GRID.index_to_world(np.stack([i, j, k], -1)) - (*VESSEL_AT, 37.0), axis=-1) <= 20.0
    assert np.array_equal(mask.array, true & near)
    assert mask.name == "carotid"


def test_that_a_dark_airway_is_grown_downwards(image):
    mask = grow_structure(image, (*AIRWAY_AT, 37.0), "trachea", reach_mm=200.0)
    assert np.array_equal(mask.array, radius_from(AIRWAY_AT) <= 6.0)


def test_that_soft_tissue_has_nothing_to_grow_from(image):
    with pytest.raises(SegmentationRefused) as refused:
        grow_structure(image, (0.0, -15.0, 37.0), "nerve")
    assert refused.value.code == "no_contrast"
    assert "nerve" in refused.value.message


@pytest.mark.parametrize("seed", [(500.0, 0.0, 37.0), (0.0, 0.0, -9.0), (float("nan"), 0.0, 0.0)])
def test_that_a_click_outside_the_image_is_refused(image, seed):
    with pytest.raises(SegmentationRefused) as refused:
        grow_structure(image, seed, "carotid")
    assert refused.value.code == "seed_outside"


def test_that_one_noisy_voxel_does_not_decide_the_level(image):
    hu = image.array.copy()
    i, j, k = (round(float(v)) for v in GRID.world_to_index((*VESSEL_AT, 37.0)))
    hu[k, j, i] = 60  # a dark speck right under the click
    mask = grow_structure(ImageVolume(hu, GRID), (*VESSEL_AT, 38.5), "carotid", reach_mm=15.0)
    assert mask.array.sum() > 400
