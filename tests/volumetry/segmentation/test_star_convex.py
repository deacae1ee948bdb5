"""One click and a drag: refusals, leak bound, anchors, and the volume of bodies known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from tests.volumetry.segmentation.bodies import ellipsoid_image
from volumetry.errors import SegmentationRefused
from volumetry.segmentation.star_convex import segment_node


def test_that_a_click_on_a_blurred_ellipsoid_outlines_it():
    image, truth, volume_ml, centre = ellipsoid_image((6.0, 5.0, 4.0), seed=1)
    result = segment_node(image, centre, 5.5)
    overlap = 2 * (result.mask.array & truth).sum() / (result.mask.array.sum() + truth.sum())
    assert overlap > 0.93
    assert result.volume_ml == result.mask.coverage_volume_ml
    assert abs(result.volume_ml / volume_ml - 1) < 0.15


@pytest.mark.parametrize(
    ("seed", "radius", "code"),
    [
        ((float("nan"), 0, 0), 5, "nan"),
        ((500, 0, 0), 5, "seed_outside"),
        ((20, 20, 20), 0.2, "radius_too_small"),
        ((20, 20, 20), 90, "radius_too_large"),
    ],
)
def test_that_a_click_that_means_nothing_is_refused_in_words(seed, radius, code):
    image, *_ = ellipsoid_image((6.0, 5.0, 4.0), seed=1)
    with pytest.raises(SegmentationRefused) as refusal:
        segment_node(image, seed, radius)
    assert refusal.value.code == code
    assert refusal.value.message.endswith(".")
