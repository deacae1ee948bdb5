"""A real neck CT without contrast: the left nodal mass from one click, then a repair by hand.

There is no reference outline. The test holds the outline to what is plain to see (it is the soft mass,
not bone, fat or air) and to its own repeatability.
"""

from __future__ import annotations

import numpy as np
import pytest

from volumetry.mask import NodeMask
from volumetry.segmentation import editing
from volumetry.segmentation.star_convex import segment_node

CLICK_MM = np.array([38.0, -219.0, -702.0])  # in the mass, left of the hyoid
DRAG_MM = 19.0


@pytest.fixture(scope="module")
def neck(shared_data):
    from dicom_io.masks import read_image

    return read_image(shared_data / "ct_neck")


def test_that_one_click_and_a_repair_outline_the_left_nodal_mass(neck):
    result = segment_node(neck, CLICK_MM, DRAG_MM)
    assert 22 < result.volume_ml < 48
    assert np.linalg.norm(result.vertices_mm - CLICK_MM, axis=1).max() < 2 * DRAG_MM
    values = neck.array[result.mask.array]
    assert 15 < np.median(values) < 60
    # the repair: fat and bone that the star took in go, the mass stays
    repaired = editing.only_in_range(result.mask.array, neck, -60, 140)
    repaired = editing.fill_holes(editing.keep_largest(editing.smooth(repaired, neck.geometry, 1.0)))
    mask = NodeMask(repaired, neck.geometry)
    share = mask.array.sum() / result.mask.array.sum()
    assert 0.75 < share <= 1.02
    inside = neck.array[mask.array]
    assert np.mean((inside > -60) & (inside < 140)) > 0.95


@pytest.mark.slow
def test_that_twenty_clicks_into_the_mass_agree(neck):
    volumes = []
    for n in range(20):
        rng = np.random.default_rng(n)
        volumes.append(segment_node(neck, CLICK_MM + rng.normal(0, 1.5, 3), DRAG_MM * rng.uniform(0.95, 1.08)).volume_ml)
    assert np.std(volumes) / np.mean(volumes) < 0.045
