import math

import numpy as np
import pytest

from app.demo.font import text_mask, write_text
from app.demo.ultrasound import (
    REFERENCE,
    NodeSection,
    Perfusion,
    cine_boxes,
    render_cine,
    render_still,
    speckle_db,
)
from app.jobs.progress import CancelToken, JobContext
from volumetry.errors import Cancelled

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


def test_that_the_bolus_peaks_when_and_as_high_as_it_says():
    bolus = Perfusion(8.0, 2.5, 0.6, 0.7)
    times = np.linspace(0, 60, 6001)
    curve = np.array([bolus.power(t) for t in times])
    assert (curve[times <= 8.0] == 0).all()
    assert curve.max() == pytest.approx(0.7, rel=1e-4)
    assert times[curve.argmax()] == pytest.approx(bolus.time_to_peak_s, abs=0.02)
    assert bolus.time_to_peak_s == pytest.approx(8.0 + math.exp(2.5 - 0.36))


def test_that_the_cine_shows_contrast_arriving_around_a_core_that_stays_dark():
    frames, intervals, (left, right), truth = render_cine(
        np.random.default_rng(3), SECTION, side="left", title="N1", visit="Day 30", frames=60, context=JobContext()
    )
    times = np.cumsum(intervals) / 1000
    assert truth["times_s"][-1] == pytest.approx(times[-1], abs=1e-3)
    assert intervals[0] == 0
    assert len(set(intervals[1:])) > 3
    assert intervals.max() > 900
    depth, lateral = cine_boxes()[1].grid_mm()
    r = np.hypot((lateral - SECTION.lateral_mm) / 7.0, (depth - SECTION.depth_mm) / 4.5)
    pane = frames[:, right.y0 : right.y1 + 1, right.x0 : right.x1 + 1].astype(float)
    core = pane[:, r < 0.5].mean(axis=1)
    far = pane[:, np.broadcast_to((depth > 25) & (depth < 31) & (lateral > -3), r.shape)].mean(axis=1)
    before, top = times < REFERENCE.arrival_s - 1, np.abs(times - REFERENCE.time_to_peak_s) < 2
    assert far[before].max() < 15
    assert far[top].mean() > 100
    assert core[top].mean() < 40
    assert far[-1] < far[top].mean() - 5  # washing out
    assert left.shape == right.shape


def test_that_a_cine_can_be_stopped():
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        render_cine(np.random.default_rng(3), SECTION, side="left", title="N1", visit="Day 30", frames=5, context=JobContext(None, token))
