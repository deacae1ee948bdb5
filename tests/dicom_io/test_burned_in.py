"""Writing over tissue is found at many sizes; tissue, borders and pictures without writing raise no alarm."""

from __future__ import annotations

import numpy as np
import pytest

from app.demo.font import text_mask
from app.demo.ultrasound import NodeSection, render_still
from dicom_io.deidentify.burned_in import find_text
from dicom_io.deidentify.review import kept_mask
from tests.dicom_io.test_deidentify_pixels import speckle, squeezed, write


@pytest.fixture(scope="module")
def tissue():
    """Pictures of a neck with layers, vessels and speckle, and what of them is kept; four of them, all without writing inside."""
    made = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        node = NodeSection(depth_mm=16.0, lateral_mm=1.0, height_mm=8.0, width_mm=12.0) if seed % 2 else None
        picture, box = render_still(rng, node, plane=("longitudinal", "transverse")[seed % 2], side="left", title="N1", visit="Baseline")
        made.append((picture, kept_mask(((box.x0, box.y0, box.x1, box.y1),), *picture.shape)))
    return made


def _hit(found, at: tuple[int, int], size: int) -> bool:
    x, y = at
    return any(x0 < x + 3 * size and x1 > x and y0 < y + 2 * size and y1 > y for x0, y0, x1, y1 in found)


def test_that_tissue_is_no_writing_and_the_words_beside_it_are_not_looked_at(tissue):
    for picture, kept in tissue:
        assert find_text(picture, kept) == ()
        assert find_text(squeezed(picture, 80), kept) == ()
        assert find_text(picture)  # "SYNTHETIC" above it


@pytest.mark.parametrize("smooth", [False, True])
def test_that_words_over_tissue_are_found(tissue, smooth):
    missed, tried = [], 0
    for n, size in enumerate((12, 16, 24, 36)):
        picture, kept = tissue[n]
        for words, at in (("Zimmermann, Ida", (100, 200)), ("12.03.1957", (200, 300))):
            ground = np.percentile(picture[at[1] : at[1] + size, at[0] : at[0] + 5 * size], 75)
            planted = write(picture, words, at, size, int(min(ground + 90, 255)), smooth=smooth)
            for quality in (None, 85):
                tried += 1
                if not _hit(find_text(planted if quality is None else squeezed(planted, quality), kept), at, size):
                    missed.append((words, size, quality))
    assert len(missed) <= tried // 8, missed


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_that_a_scanners_dot_letters_are_found_from_seven_pixels(tissue, scale):
    picture, kept = tissue[2]
    planted = picture.copy()
    mask = text_mask("LI WEI 48151", scale)
    planted[300 : 300 + mask.shape[0], 150 : 150 + mask.shape[1]][mask] = 255
    assert _hit(find_text(planted, kept), (150, 300), 7 * scale)


def test_that_faint_writing_on_plain_ground_is_found():
    assert find_text(write(np.zeros((120, 200), np.uint8), "DOE", (60, 40), 18, 40, smooth=True))
    assert find_text(np.zeros((120, 200), np.uint8)) == ()


def test_that_a_line_that_the_border_of_the_kept_part_cuts_through_is_found():
    picture = write(speckle(200, 300), "ZIMMERMANN IDA", (40, 80), 24)
    top = int(np.nonzero((picture == 235).any(axis=1))[0].min())
    kept = np.zeros((200, 300), bool)
    kept[top + 4 :] = True
    assert find_text(picture, kept)


def test_that_a_bright_border_of_the_kept_part_is_no_writing():
    picture = np.zeros((200, 300), np.uint8)
    picture[50:] = speckle(150, 300)
    picture[50:55] = np.where(np.sin(np.arange(300) / 7) > 0, 255, 90)
    kept = np.zeros((200, 300), bool)
    kept[50:] = True
    assert find_text(picture, kept) == ()
    assert find_text(picture, np.zeros((200, 300), bool)) == ()
