import numpy as np
import pytest

from app.demo.font import text_mask, write_text
from app.demo.ultrasound import NodeSection, render_still, speckle_db

SECTION = NodeSection(14.0, 9.0, 1.5, 18.0)


def test_that_speckle_is_fully_developed():
    power = 10 ** (speckle_db(np.random.default_rng(1), (600, 600), 0.1) / 10)
    assert power.mean() == pytest.approx(1.0, rel=0.02)
    assert power.std() == pytest.approx(1.0, abs=0.08)  # exponential intensity


def test_that_the_still_shows_a_darker_ellipse_of_the_true_size():
    image, box = render_still(np.random.default_rng(2), SECTION, plane="transverse", side="left", title="N1", visit="Baseline")
    depth, lateral = box.grid_mm()
    r = np.hypot((lateral - 1.5) / 7.0, (depth - 18.0) / 4.5)
    pane = image[box.y0 : box.y1 + 1, box.x0 : box.x1 + 1].astype(float)
    inside, ring = pane[r < 0.95].mean(), pane[(r > 1.05) & (r < 1.2)].mean()
    assert ring - inside > 25
    # the border lies where the truth says: half way between the two levels
    levels = [pane[(r > a) & (r < a + 0.04)].mean() for a in (0.90, 1.02)]
    assert levels[0] < 0.5 * (inside + ring) < levels[1]


def test_that_a_vanished_node_leaves_no_ellipse():
    image, box = render_still(np.random.default_rng(2), None, plane="longitudinal", side="left", title="N3", visit="Month 12")
    assert image[box.y0 : box.y1, box.x0 : box.x1].std() > 10


def test_that_the_picture_says_synthetic():
    image, _ = render_still(np.random.default_rng(2), SECTION, plane="transverse", side="left", title="N1", visit="Baseline")
    mask = text_mask("SYNTHETIC", 3)
    corner = image[8 : 8 + mask.shape[0], 16 : 16 + mask.shape[1]]
    assert (corner[mask] == 235).all()
    assert (corner[~mask] == 0).all()


def test_that_text_is_cut_off_at_the_edge():
    image = np.zeros((10, 20), dtype=np.uint8)
    write_text(image, "SYNTHETIC", 5, 3, 9)
    assert image.any()
    assert not image[:5].any()
