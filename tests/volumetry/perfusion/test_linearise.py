import math

import numpy as np
import pytest

from app.demo.contrast_colours import colour_table, tinted
from tests.reference.perfusion_colour_twins import levels_by_search, tint_and_grey_by_search
from volumetry.kernels.perfusion_colour import UNSET, borrow_levels, grey_of, undo_overlay, watch_pixels
from volumetry.perfusion.flash import detect_flashes
from volumetry.perfusion.linearise import (
    GREY,
    ColourMap,
    clipped_share,
    colour_map_from_bar,
    drawn_pixels,
    find_bar,
    is_colourless,
    mean_power,
    overlay_level_error,
    overlay_mix,
    undo_colour_map,
)
from volumetry.perfusion.loop import ContrastLoop, PerfusionRefused, power_table

MAPS = ["copper", "gold", "blue", "rainbow"]
RAMP = np.arange(256, dtype=np.uint8)[None]


def noise(seed=0, shape=(60, 70), low=0, high=256):
    return np.random.default_rng(seed).integers(low, high, shape).astype(np.uint8)


def test_that_averaging_power_is_unbiased_where_averaging_decibels_loses_2_51():
    """The mean of the logarithm of an exponential variable lies Euler's constant below that of its mean."""
    rng = np.random.default_rng(4)
    true, range_db = 10 ** (38.0 / 10), 60.0
    power = rng.exponential(true, (400, 400))
    levels = np.clip(np.rint(2550.0 / range_db * np.log10(power)), 0, 255).astype(np.uint8)
    table = power_table(range_db)
    linear = 10 * math.log10(float(mean_power(levels, table)) / true)
    in_db = float(levels.mean()) * range_db / 255 - 38.0
    assert linear == pytest.approx(0.0, abs=0.03)
    assert in_db == pytest.approx(-10 / math.log(10) * np.euler_gamma, abs=0.03)
    assert in_db == pytest.approx(-2.51, abs=0.03)


def test_that_the_power_of_a_level_is_the_formula():
    table = power_table(48.0)
    assert table[0] == 1.0
    assert table[255] == pytest.approx(10**4.8, rel=1e-6)
    assert table[100] == pytest.approx(10 ** (100 * 48.0 / 2550), rel=1e-6)


@pytest.mark.parametrize("range_db", [0.0, -60.0, 5.0, 300.0, math.nan, math.inf])
def test_that_an_impossible_range_is_refused(range_db):
    with pytest.raises(PerfusionRefused) as refused:
        power_table(range_db)
    assert refused.value.code == "implausible_range"


@pytest.mark.parametrize("name", MAPS)
def test_that_a_colour_map_is_undone_exactly(name):
    colours = ColourMap(colour_table(name))
    levels = noise()
    undone = undo_colour_map(colours.table[levels], colours)
    assert (undone.levels == levels).all()
    assert undone.far_share == 0
    assert undone.grey is None


@pytest.mark.parametrize("name", MAPS)
def test_that_the_kernel_agrees_with_a_search_of_every_colour(name):
    colours = ColourMap(colour_table(name))
    picture = np.random.default_rng(2).integers(0, 256, (40, 40, 3)).astype(np.uint8)
    undone = undo_colour_map(picture, colours)
    levels, far = levels_by_search(picture, colours.table, 24.0)
    same = undone.levels == levels  # colours of a tie may fall on either neighbour
    assert same.mean() > 0.97
    assert ((undone.far == 1) == far)[same].all()


def test_that_letters_are_no_echo():
    colours = ColourMap(colour_table("copper"))
    picture = colours.table[noise(low=20, high=200)].copy()
    picture[5:9, 10:30] = (235, 235, 90)
    undone = undo_colour_map(picture, colours)
    assert (undone.far[5:9, 10:30] == 1).all()
    assert undone.far.sum() == 4 * 20


def test_that_a_map_with_levels_of_one_colour_gives_their_middle():
    table = np.repeat(colour_table("copper")[::8], 8, axis=0)
    colours = ColourMap(table)
    assert colours.worst_level_error == 4
    undone = undo_colour_map(table[RAMP], colours)
    assert np.abs(undone.levels.astype(int) - RAMP).max() <= 4
    assert float((undone.levels.astype(int) - RAMP).mean()) == pytest.approx(-0.5, abs=0.1)


def test_that_a_grey_picture_is_taken_as_it_is_in_one_channel_or_three():
    levels = noise()
    assert (undo_colour_map(levels, GREY).levels == levels).all()
    three = np.repeat(levels[..., None], 3, axis=2).copy()
    three[0, 0] = (255, 40, 40)
    undone = undo_colour_map(three, GREY)
    assert (undone.levels == levels)[1:].all()
    assert undone.far[0, 0] == 1
    assert is_colourless([three])
    assert not is_colourless([colour_table("blue")[levels]])


def test_that_a_coloured_map_for_a_grey_picture_is_refused():
    with pytest.raises(PerfusionRefused) as refused:
        undo_colour_map(noise(), ColourMap(colour_table("gold")))
    assert refused.value.code == "colour_map_unlike"


@pytest.mark.parametrize("name", MAPS)
def test_that_tint_and_b_mode_of_an_overlay_are_told_apart(name):
    colours = ColourMap(colour_table(name))
    levels, tissue = noise(1, high=220), noise(2, high=200)
    picture = tinted(levels, tissue, colours.table, 0.6, 0.4)
    undone = undo_colour_map(picture, colours, overlay=True, tint_share=0.6)
    clear = undone.far == 0
    assert clear.mean() > 0.9
    error = np.abs(undone.levels.astype(int) - levels)[clear]
    assert np.percentile(error, 95) <= 5
    assert np.percentile(np.abs(undone.grey.astype(int) - np.rint(0.4 * tissue))[clear], 95) <= 4


@pytest.mark.parametrize(("name", "share"), [("gold", 0.6), ("blue", 0.45), ("rainbow", 0.8), ("copper", None)])
def test_that_the_mix_of_an_overlay_is_known_only_where_the_map_tells_it(name, share):
    """The hues of a copper map run along a straight line: less of a brighter tint looks the same."""
    colours = ColourMap(colour_table(name))
    levels, tissue = noise(1, high=220), noise(2, high=200)
    mix = overlay_mix([tinted(levels, tissue, colours.table, share or 0.6, 0.4)], colours)
    assert mix.is_overlay
    assert mix.tint_share == (None if share is None else pytest.approx(share, abs=0.015))
    alone = overlay_mix([colours.table[levels]], colours)
    assert (alone.is_overlay, alone.tint_share) == (False, None)


def test_that_the_overlay_kernel_agrees_with_trying_every_tint_and_grey():
    colours = ColourMap(colour_table("blue"))
    picture = tinted(noise(3, (12, 12)), noise(4, (12, 12)), colours.table, 1.0, 0.5)
    levels, grey, far = (np.empty((12, 12), np.uint8) for _ in range(3))
    undo_overlay(picture, colours.table.astype(float), 255, 24.0**2, np.full(1 << 24, UNSET, np.uint32), levels, grey, far)
    searched = tint_and_grey_by_search(picture, colours.table)
    cost = [
        ((np.minimum(colours.table.astype(int)[a] + b.astype(int)[..., None], 255) - picture) ** 2).sum(axis=2) for a, b in ((levels, grey), searched)
    ]
    assert (cost[0] - cost[1]).max() <= 3  # the grey is rounded after the search, not within it
    clear = far == 0
    assert 0.3 < clear.mean() < 0.95  # a sum cut off at 255 in two channels is told as unclear
    assert np.abs(levels.astype(int) - searched[0])[clear].max() <= 10


def test_that_a_pixel_that_is_not_clear_borrows_from_the_nearest_that_is():
    levels, far = noise(5, (30, 30)), (np.random.default_rng(6).random((30, 30)) < 0.6).astype(np.uint8)
    far[20:, 20:] = 1
    made = levels.copy()
    borrow_levels(far, 3, made)
    clear_y, clear_x = np.nonzero(far == 0)
    for i in range(30):
        for j in range(30):
            distance = (clear_y - i) ** 2 + (clear_x - j) ** 2
            inside = (np.abs(clear_y - i) <= 3) & (np.abs(clear_x - j) <= 3)
            near = distance[inside]
            expected = {levels[i, j]} if far[i, j] == 0 or near.size == 0 or near.min() > 9 else set(levels[clear_y, clear_x][inside][near == near.min()].tolist())
            assert made[i, j] in expected


def test_that_an_overlay_in_grey_is_refused_not_guessed():
    assert overlay_level_error(GREY) == math.inf
    with pytest.raises(PerfusionRefused) as refused:
        undo_colour_map(np.repeat(noise()[..., None], 3, axis=2), GREY, overlay=True)
    assert refused.value.code == "overlay_not_separable"


@pytest.mark.parametrize("name", [*MAPS, "grey"])
@pytest.mark.parametrize("turn", ["upright", "upside_down", "lying"])
def test_that_a_map_is_read_from_its_bar(name, turn):
    table = colour_table(name)
    bar = np.repeat(table[np.rint(np.linspace(255, 0, 150)).astype(int)][:, None], 8, axis=1)
    bar = {"upright": bar, "upside_down": bar[::-1], "lying": bar.transpose(1, 0, 2)}[turn]
    found = colour_map_from_bar(bar)
    assert np.abs(found.table.astype(int) - table).max() <= 4
    assert found.source == "bar"
    assert found.is_grey == (name == "grey")


@pytest.mark.parametrize(
    ("strip", "word"),
    [
        (np.zeros((20, 6, 3), np.uint8), "20 pixels"),
        (np.full((120, 6, 3), 90, np.uint8), "hardly change"),
        (np.repeat(np.concatenate([colour_table("copper")[::4], colour_table("copper")[::-4]])[:, None], 6, axis=1), "equally bright"),
    ],
)
def test_that_a_bar_that_tells_nothing_is_refused(strip, word):
    with pytest.raises(PerfusionRefused) as refused:
        colour_map_from_bar(strip)
    assert refused.value.code == "colour_bar_unclear"
    assert word in refused.value.message


@pytest.mark.parametrize("name", [*MAPS, "grey"])
def test_that_a_bar_beside_the_panes_is_found(name):
    table = colour_table(name)
    picture = np.zeros((200, 260, 3), np.uint8)
    picture[20:180, 20:200] = noise(5, (160, 180))[..., None]
    picture[30:160, 220:228] = table[np.rint(np.linspace(255, 0, 130)).astype(int)][:, None]
    x0, y0, x1, y1 = find_bar(picture, [(20, 20, 199, 179)])
    assert 220 <= x0 < x1 <= 227
    assert abs(y0 - 30) <= 1
    assert abs(y1 - 159) <= 2
    assert find_bar(picture, [(20, 20, 199, 179), (215, 20, 235, 170)]) is None


def test_that_pixels_are_watched_and_made_grey_as_plain_sums_say():
    levels, far = noise(7), (noise(8) > 200).astype(np.uint8)
    levels[0, :3] = (0, 255, 255)
    total, squares, count = (np.full(levels.shape, 5, dtype) for dtype in (np.uint32, np.uint32, np.uint16))
    assert watch_pixels(levels, far, total, squares, count) == (int(levels.sum()), int((levels == 0).sum()), int((levels == 255).sum()))
    assert (total == 5 + levels.astype(int)).all()
    assert (squares == 5 + levels.astype(int) ** 2).all()
    assert (count == 5 + far).all()
    picture, grey = np.random.default_rng(9).integers(0, 256, (30, 40, 3)).astype(np.uint8), np.empty((30, 40), np.uint8)
    assert grey_of(picture, grey) == grey.sum(dtype=int)
    assert np.abs(grey - picture @ (0.299, 0.587, 0.114)).max() <= 1.5


def test_that_ink_is_found_and_tissue_at_rest_is_not():
    rng = np.random.default_rng(6)
    frames = rng.normal(110, 24, (40, 120, 150)).clip(0, 255)
    frames[:, 5:9, 5:25] = 246 + rng.normal(0, 3, (40, 4, 20))
    at_rest = rng.normal(120, 24, (8, 10)).clip(45, 250)
    frames[:, 30:38, 30:40] = at_rest
    levels = np.rint(frames.clip(0, 255)).astype(np.uint32)
    far = np.zeros((120, 150), np.uint16)
    far[45, 45] = 30
    drawn = drawn_pixels(40, levels.sum(axis=0), (levels**2).sum(axis=0), far)
    assert drawn[5:9, 5:25].all()
    assert drawn[45, 45]
    assert drawn[30:38, 30:40].mean() < 0.1
    assert drawn.sum() < 4 * 20 + 1 + 8
    frames[:, 10:22, 40:55] = 255  # a strong echo at the white end, and letters in white
    frames[:, 40:42, 5:25] = 255
    levels = np.rint(frames.clip(0, 255)).astype(np.uint32)
    drawn = drawn_pixels(40, levels.sum(axis=0), (levels**2).sum(axis=0), far)
    assert not drawn[10:22, 40:55].any()
    assert drawn[40:42, 5:25].all()


def test_that_clipped_pixels_are_counted_within_a_mask():
    levels = np.full((2, 10, 10), 100, np.uint8)
    levels[:, 0, :5], levels[:, 0, 5:] = 0, 255
    mask = np.zeros((10, 10), bool)
    mask[:2] = True
    assert clipped_share(levels, mask) == (0.25, 0.25)
    assert clipped_share(levels, np.zeros((10, 10), bool)) == (0.0, 0.0)


def test_that_a_flash_is_a_jump_of_both_panes_and_an_arriving_bolus_is_none():
    rng = np.random.default_rng(1)
    tissue = 110 + rng.normal(0, 0.5, 80)
    contrast = 40 + 90 / (1 + np.exp(-(np.arange(80) - 25) / 2.0)) + rng.normal(0, 0.6, 80)
    assert detect_flashes(contrast, tissue) == ()
    tissue[[40, 41]] += 30
    contrast[[40, 41]] += 50
    contrast[60] += 40  # one pane alone
    assert detect_flashes(contrast, tissue) == (40, 41)
    assert detect_flashes(contrast, None) == (40, 41, 60)
    assert detect_flashes(contrast[:3], tissue[:3]) == ()


def loop_of(**changes):
    values = {"levels": np.zeros((3, 4, 5), np.uint8), "tissue": None, "times_s": np.array([0.0, 0.5, 1.2]), "range_db": 60.0, "mm_per_pixel": (0.1, 0.2)}
    return ContrastLoop(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"levels": np.zeros((3, 4, 5), np.float32)}, "bad_shape"),
        ({"levels": np.zeros((3, 4), np.uint8)}, "bad_shape"),
        ({"tissue": np.zeros((3, 4, 6), np.uint8)}, "bad_shape"),
        ({"drawn": np.zeros((4, 4), bool)}, "bad_shape"),
        ({"times_s": np.array([0.0, 0.5])}, "bad_times"),
        ({"times_s": np.array([0.1, 0.5, 1.0])}, "bad_times"),
        ({"times_s": np.array([0.0, 0.5, 0.5])}, "bad_times"),
        ({"times_s": np.array([0.0, 0.5, np.nan])}, "bad_times"),
        ({"flash_frames": (3,)}, "bad_times"),
        ({"frame_numbers": np.arange(2)}, "bad_times"),
        ({"mm_per_pixel": (0.0, 0.1)}, "uncalibrated"),
        ({"range_db": 400.0}, "implausible_range"),
    ],
)
def test_that_a_loop_that_contradicts_itself_is_refused(changes, code):
    with pytest.raises(PerfusionRefused) as refused:
        loop_of(**changes)
    assert refused.value.code == code


def test_that_a_loop_gives_power_and_area_and_cannot_be_written_to():
    loop = loop_of(levels=np.full((3, 4, 5), 255, np.uint8))
    assert loop.power(1)[0, 0] == pytest.approx(1e6, rel=1e-5)
    assert loop.pixel_mm2 == pytest.approx(0.02)
    assert (loop.frame_count, loop.shape) == (3, (4, 5))
    assert loop.frame_numbers.tolist() == [0, 1, 2]
    for array in (loop.levels, loop.times_s, loop.power_table):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(PerfusionRefused) as refused:
        _ = loop_of(mm_per_pixel=None).pixel_mm2
    assert refused.value.code == "uncalibrated"
