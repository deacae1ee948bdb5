"""The picture kept with a reading: a true PNG, the outline where the edge is, the same bytes each time."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from app.usecases.key_picture import OUTLINE_COLOUR, node_picture
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageSource, ImageVolume
from volumetry.mask import NodeMask
from volumetry.measure import measure_node


def pixels_of(data: bytes) -> np.ndarray:
    picture = Image.open(io.BytesIO(data))
    picture.load()
    assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (480, 480))
    return np.asarray(picture).astype(int)


def is_outline(pixels: np.ndarray) -> np.ndarray:
    return (np.abs(pixels - np.array(OUTLINE_COLOUR)) <= 2).all(-1)


@pytest.fixture(scope="module")
def box():
    """A flat box of 30 x 18 mm, seen in slices of 1 x 0.5 mm pixels; one slice is wider."""
    grid = ImageGeometry.from_spacing((9, 120, 80), (1.0, 0.5, 3.0))
    array = np.zeros(grid.shape, bool)
    array[3:6, 40:76, 25:55] = True  # 36 rows of 0.5 mm, 30 columns of 1 mm
    image = ImageVolume(np.where(array, 120, -100).astype(np.int16), grid)
    return image, NodeMask(array, grid)


def test_that_the_outline_lies_on_the_edge_and_nowhere_else(box):
    image, mask = box
    marked = is_outline(pixels_of(node_picture(image, mask, None, label="N1")))
    rows, columns = np.nonzero(marked)
    assert len(rows) > 300
    # 480 px are 80 mm: half the box is 15 mm by 9 mm from the middle, which is at pixel 239.5.
    across, down = np.abs(columns - 239.5) / 6, np.abs(rows - 239.5) / 6
    distance = np.maximum(across - 15.0, down - 9.0)
    assert np.abs(distance).max() < 0.75
    for px, py in ((239 - 90, 239), (239 + 90, 239), (239, 239 - 54), (239, 239 + 54)):
        assert marked[py - 3 : py + 4, px - 3 : px + 4].any()


def test_that_the_grey_values_under_it_are_those_of_the_window(box):
    image, mask = box
    pixels = pixels_of(node_picture(image, mask, None, label="N1", window=(0.0, 400.0)))
    assert pixels[240, 240].tolist() == [204, 204, 204]  # (120 + 200) / 400
    assert pixels[240, 100].tolist() == [63, 63, 63]  # (-100 + 200) / 400


def test_that_the_same_reading_gives_the_same_bytes(ct):
    measurement = measure_node(ct.truth)
    assert node_picture(ct.image, ct.truth, measurement, label="N1") == node_picture(ct.image, ct.truth, measurement, label="N1")


def test_that_the_slice_of_the_long_axis_is_shown(box):
    image, mask = box
    marked_slice = image.array.copy()
    marked_slice[4, :, :30] = 900  # only slice 4 is bright on one side
    seen = pixels_of(node_picture(ImageVolume(marked_slice, image.geometry), mask, type("M", (), {"axial_slice_index": 4})(), label="N1"))
    other = pixels_of(node_picture(ImageVolume(marked_slice, image.geometry), mask, type("M", (), {"axial_slice_index": 3})(), label="N1"))
    assert seen[240, 60].tolist() == [255, 255, 255]
    assert other[240, 60].tolist() != [255, 255, 255]


def test_that_label_notice_and_synthetic_stamp_are_part_of_the_picture(box):
    image, mask = box
    plain = pixels_of(node_picture(image, mask, None, label=""))
    named = pixels_of(node_picture(image, mask, None, label="N1  Baseline"))
    stamped = pixels_of(node_picture(replace(image, source=ImageSource(synthetic=True)), mask, None, label=""))
    assert (plain[:30, :200] != named[:30, :200]).any()
    assert (plain[:30, 380:] != stamped[:30, 380:]).any()
    assert (plain[455:478, 5:200] > 200).any()  # the notice at the foot


def test_that_a_node_at_the_pictures_corner_is_shown_with_nothing_around_it():
    grid = ImageGeometry.from_spacing((3, 40, 40), (1.0, 1.0, 1.0))
    array = np.zeros(grid.shape, bool)
    array[1, :6, :6] = True
    pixels = pixels_of(node_picture(ImageVolume(np.full(grid.shape, 80, np.int16), grid), NodeMask(array, grid), None, label="N1"))
    assert is_outline(pixels).any()
    assert pixels[100, 100].tolist() == [0, 0, 0]  # outside the picture


def test_that_an_empty_mask_gives_a_picture_without_outline(box):
    image, mask = box
    empty = NodeMask(np.zeros_like(mask.array), mask.geometry)
    assert not is_outline(pixels_of(node_picture(image, empty, None, label="N1"))).any()
