"""Outlines on ultrasound pictures: speckle, shadow, anchors, refusals, and real lesions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from volumetry.errors import SegmentationRefused
from volumetry.segmentation.polar import outline_mask, segment_ellipse_2d


def speckled(axes=(40.0, 24.0), angle_deg=25.0, *, centre=(130.0, 110.0), ratio=3.0, seed=0, shape=(220, 260), shadow=False):
    """Hypoechoic ellipse in fully developed speckle (Rayleigh), log-compressed: (picture, truth)."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape)
    a = np.radians(angle_deg)
    dx, dy = x - centre[0], y - centre[1]
    u, v = (dx * np.cos(a) + dy * np.sin(a)) / axes[0], (-dx * np.sin(a) + dy * np.cos(a)) / axes[1]
    truth = u**2 + v**2 < 1
    echo = np.where(truth, 1.0, ratio)
    if shadow:
        echo = np.where((np.abs(dx - 15) < 9) & (dy > 0), 0.35, echo)
    field = ndimage.gaussian_filter(rng.normal(size=(2, *shape)), (0, 1.0, 2.0))
    amplitude = np.hypot(*(field / field.std())) * echo
    return np.clip(60 + 45 * np.log(amplitude + 0.05), 0, 255).astype(np.uint8), truth


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize("seed", range(5))
def test_that_a_node_in_speckle_is_outlined_from_one_click(seed):
    picture, truth = speckled(seed=seed)
    rng = np.random.default_rng(seed)
    click = np.array([130.0, 110.0]) + rng.normal(0, 4, 2)
    outline = segment_ellipse_2d(picture, click, 31 * rng.uniform(0.95, 1.3))
    assert dice(outline.mask, truth) > 0.9
    assert outline.area_px == pytest.approx(truth.sum(), rel=0.12)
    x, y, long_px, short_px, angle = outline.ellipse_px
    assert (x, y) == pytest.approx((130, 110), abs=3)
    assert long_px == pytest.approx(80, rel=0.1)
    assert short_px == pytest.approx(48, rel=0.1)
    assert angle == pytest.approx(25, abs=8)


def test_that_repeated_clicks_give_nearly_one_area():
    picture, _ = speckled(seed=9)
    rng = np.random.default_rng(1)
    areas = [segment_ellipse_2d(picture, np.array([130.0, 110.0]) + rng.normal(0, 4, 2), 31 * rng.uniform(0.95, 1.3)).area_px for _ in range(10)]
    assert np.std(areas) / np.mean(areas) < 0.04


def test_that_a_shadow_through_the_node_does_not_open_it():
    picture, truth = speckled(seed=3, shadow=True)
    assert dice(segment_ellipse_2d(picture, (128, 108), 33).mask, truth) > 0.85


def test_that_an_outline_that_hangs_on_the_length_of_the_drag_is_told():
    """A node whose lower border is missing over a second dark layer: some drags take that in, some do not."""
    told = {"whole border": 0, "border missing": 0}
    for seed in range(5):
        picture, truth = speckled(seed=seed)
        y, x = np.indices(picture.shape)
        below = ~truth & (np.abs(x - 130) < 34) & (y > 110) & (y < 180)
        open_below = np.where(below, speckled(seed=seed, ratio=1.0)[0], picture)
        for drag in (28, 32, 36, 40):
            for name, shown in (("whole border", picture), ("border missing", open_below)):
                told[name] += "unsteady_outline" in [f.code for f in segment_ellipse_2d(shown, (130, 110), drag).findings]
    assert told["whole border"] <= 1
    assert told["border missing"] >= 8  # of 20


def test_that_a_bright_lesion_is_found_too():
    picture, truth = speckled(seed=2)
    assert dice(segment_ellipse_2d(255 - picture, (129, 111), 33).mask, truth) > 0.88


def away_px(outline, point) -> float:
    """Distance of a point from the closed polygon."""
    a = outline.points_px
    along = np.roll(a, -1, axis=0) - a
    share = np.clip(((point - a) * along).sum(axis=1) / (along**2).sum(axis=1), 0, 1)
    return float(np.linalg.norm(a + share[:, None] * along - point, axis=1).min())


def test_that_an_anchor_draws_the_outline():
    picture, _ = speckled(seed=4)
    free = segment_ellipse_2d(picture, (130, 110), 33)
    anchor = np.array([130.0, 110.0 - 38.0])
    pulled = segment_ellipse_2d(picture, (130, 110), 33, anchors_px=[anchor])
    assert away_px(pulled, anchor) < 0.3
    assert away_px(free, anchor) > 9


def test_that_the_outline_passes_all_anchors_and_stays_calm_between_them():
    picture, _ = speckled(seed=4)
    free = segment_ellipse_2d(picture, (130, 110), 33)
    anchors = [(130.0, 80.0), (136.0, 79.0), (171.3, 128.4), (104.0, 118.5)]
    pulled = segment_ellipse_2d(picture, (130, 110), 33, anchors_px=anchors)
    for anchor in anchors:
        assert away_px(pulled, np.array(anchor)) < 0.3
    assert pulled.area_px == pytest.approx(free.area_px, rel=0.25)
    steps = np.linalg.norm(np.diff(pulled.points_px, axis=0), axis=1)
    assert steps.max() < 10


def test_that_anchors_that_contradict_each_other_are_met_halfway():
    picture, _ = speckled(seed=4)
    pulled = segment_ellipse_2d(picture, (130, 110), 33, anchors_px=[(130.0, 90.0), (130.0, 78.0)])
    gaps = [away_px(pulled, np.array(a)) for a in ((130.0, 90.0), (130.0, 78.0))]
    assert max(gaps) < 9
    assert pulled.area_px > 1000


@pytest.mark.parametrize("drag", [30, 45, 60])
def test_that_no_point_lies_beyond_twice_the_drag(drag):
    picture, _ = speckled(axes=(125.0, 105.0), seed=5)
    try:
        reach = np.linalg.norm(segment_ellipse_2d(picture, (130, 110), drag).points_px - [130, 110], axis=1).max()
    except SegmentationRefused:
        reach = 0.0  # deep inside there is nothing to find
    assert reach < 2 * drag


def test_that_a_node_at_the_border_is_said_to_be_cut():
    picture, _ = speckled(centre=(20.0, 110.0), seed=6)
    outline = segment_ellipse_2d(picture, (24, 110), 33)
    assert "touches_border" in [f.code for f in outline.findings]
    assert outline.points_px.min() >= -0.5


def test_that_an_outline_fills_the_pixels_it_holds():
    square = np.array([[1.5, 2.5], [6.5, 2.5], [6.5, 5.5], [1.5, 5.5]])
    mask = outline_mask(square, (9, 10))
    assert mask.sum() == 5 * 3
    assert mask[3:6, 2:7].all()
    assert not outline_mask(square + 100, (9, 10)).any()


@pytest.mark.parametrize(
    ("picture", "seed", "radius", "code"),
    [
        (np.zeros((50, 50, 3)), (25, 25), 9, "not_a_picture"),
        (np.zeros((50, 50)), (25, 25), 9, "no_boundary"),
        (np.zeros((50, 50)), (99, 25), 9, "seed_outside"),
        (np.zeros((50, 50)), (25, 25), 1, "radius_too_small"),
        (np.zeros((50, 50)), (np.nan, 25), 9, "nan"),
        (np.full((50, 50), np.nan), (25, 25), 9, "nan"),
    ],
)
def test_that_a_click_that_means_nothing_is_refused_in_words(picture, seed, radius, code):
    with pytest.raises(SegmentationRefused) as refusal:
        segment_ellipse_2d(picture, seed, radius)
    assert refusal.value.code == code
    assert refusal.value.message.endswith(".")


def test_that_real_lesions_are_outlined_about_as_a_radiologist_does(shared_data):
    """Eight breast lesions with expert outlines. This is a bound on what was measured (median 0.81 over 40
    clicks), not a claim of accuracy: the weight of the drag was chosen while looking at these same eight
    pictures, and some lack half of their border and need anchors."""
    from skimage.io import imread

    folder = shared_data / "us_lesion_png" / "breast_lesions_usg"
    scores = []
    for path in sorted((folder / "images").glob("*.png")):
        grey = imread(path)
        grey = grey[..., :3].mean(axis=-1) if grey.ndim == 3 else grey.astype(float)
        expert = imread(folder / "masks" / path.name)
        expert = (expert[..., :3].max(axis=-1) if expert.ndim == 3 else expert) > 127
        rows, columns = np.nonzero(expert)
        radius = np.sqrt(expert.sum() / np.pi)
        for n in range(3):
            rng = np.random.default_rng(n)
            click = np.array([columns.mean(), rows.mean()]) + rng.normal(0, 0.12 * radius, 2)
            scores.append(dice(segment_ellipse_2d(grey, click, radius * rng.uniform(0.95, 1.35)).mask, expert))
    assert len(scores) == 24
    assert np.median(scores) > 0.75
    assert min(scores) > 0.4
