"""The enhancing part of a node: which voxels count, what is refused, what a reading keeps of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from app.study.audit import verify
from app.study.model import ReadingStatus
from app.study.protocol import load_protocol, protocol_from
from app.usecases.enhancing_part import by_outline, by_threshold, known_threshold, stated, values_in_outline
from app.usecases.readings import save_reading, unpack_mask
from volumetry.errors import NodusError
from volumetry.geometry import ImageGeometry
from volumetry.image import ImageSource, ImageVolume
from volumetry.mask import NodeMask

GRID = ImageGeometry.from_spacing((6, 8, 10), (0.5, 0.5, 2.0), (3.0, -2.0, 10.0))
VOXEL_ML = 0.5 * 0.5 * 2.0 / 1000


def half_and_half() -> tuple[ImageVolume, NodeMask]:
    """A block of 4 x 4 x 4 voxels, its lower half at 100 HU, its upper half at 30."""
    hu = np.full(GRID.shape, -100, np.int16)
    hu[1:3, 2:6, 3:7], hu[3:5, 2:6, 3:7] = 100, 30
    array = np.zeros(GRID.shape, bool)
    array[1:5, 2:6, 3:7] = True
    return ImageVolume(hu, GRID, source=ImageSource(modality="CT")), NodeMask(array, GRID)


def test_that_voxels_at_or_above_the_threshold_count_and_both_parts_make_the_whole():
    values = values_in_outline(*half_and_half())
    assert values.total_ml == pytest.approx(64 * VOXEL_ML)
    for threshold, count in ((30, 64), (30.5, 32), (100, 32), (100.5, 0), (-500, 64)):
        viable, ablated = values.volumes_ml(threshold)
        assert (viable, ablated) == (pytest.approx(count * VOXEL_ML), pytest.approx((64 - count) * VOXEL_ML))
    assert values.spread_hu() == (30, 65, 100)


def test_that_the_part_holds_its_voxels_its_threshold_and_who_stated_it():
    image, mask = half_and_half()
    part = by_threshold(values_in_outline(image, mask), 70, " charter 4.2 ")
    assert np.array_equal(part.mask.array, mask.array & (image.array >= 70))
    assert (part.viable_from, part.ablated_from, part.threshold_hu, part.source) == ("hu_threshold", "derived", 70.0, "charter 4.2")
    assert by_threshold(values_in_outline(image, mask), 70, "  ").source == "stated by the reader"


def test_that_a_mask_on_a_part_of_the_grid_or_turned_over_finds_the_same_voxels():
    image, mask = half_and_half()
    part = ImageGeometry((4, 8, 10), np.array(GRID.affine) @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1.0]]))
    cropped = NodeMask(mask.array[1:5].copy(), part)
    turned_affine = np.array(GRID.affine) @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 5], [0, 0, 0, 1.0]])
    turned = NodeMask(mask.array[::-1].copy(), ImageGeometry(GRID.shape, turned_affine))
    for other in (cropped, turned):
        assert values_in_outline(image, other).volumes_ml(70) == pytest.approx(values_in_outline(image, mask).volumes_ml(70))


@pytest.mark.parametrize(
    ("code", "image", "mask"),
    [
        ("not_in_hu", lambda i: replace(i, unit="SUV"), None),
        ("not_in_hu", lambda i: replace(i, source=ImageSource(modality="MR")), None),
        ("not_a_number", lambda i: replace(i, array=np.where(i.array == 30, np.nan, i.array).astype(np.float32)), None),
        ("empty_mask", None, lambda m: NodeMask(np.zeros_like(m.array), GRID)),
        ("wrong_grid", None, lambda m: NodeMask(m.array.copy(), ImageGeometry.from_spacing(GRID.shape, GRID.spacing_mm, (3.2, -2.0, 10.0)))),
        ("wrong_grid", None, lambda m: NodeMask(m.array.copy(), ImageGeometry.from_spacing(GRID.shape, (0.5, 0.5, 4.0), (3.0, -2.0, 10.0)))),
        ("wrong_grid", None, lambda m: NodeMask(m.array.copy(), ImageGeometry.from_spacing(GRID.shape, GRID.spacing_mm, (3.0, -2.0, 18.0)))),
    ],
)
def test_that_nothing_is_measured_on_what_is_no_ct_or_not_its_grid(code, image, mask):
    i, m = half_and_half()
    with pytest.raises(NodusError) as caught:
        values_in_outline(image(i) if image else i, mask(m) if mask else m)
    assert caught.value.code == code


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), None])
def test_that_a_threshold_is_stated_and_never_made_up(threshold):
    with pytest.raises(NodusError) as caught:
        values_in_outline(*half_and_half()).volumes_ml(threshold)
    assert caught.value.code == "threshold_missing"


def test_that_an_outline_of_its_own_gives_the_part_and_an_empty_one_says_none_enhances():
    _, mask = half_and_half()
    array = np.zeros(GRID.shape, bool)
    array[1:2, 2:6, 3:7] = True
    part = by_outline(mask, NodeMask(array, GRID))
    assert (part.viable_ml, part.ablated_ml) == (pytest.approx(16 * VOXEL_ML), pytest.approx(48 * VOXEL_ML))
    assert (part.viable_from, part.ablated_from, part.findings) == ("outlined", "derived", ())
    assert by_outline(mask, NodeMask(np.zeros(GRID.shape, bool), GRID)).viable_ml == 0.0


def test_that_a_part_beside_the_node_is_warned_of_and_then_refused():
    _, mask = half_and_half()
    array = np.zeros(GRID.shape, bool)
    array[1:2, 2:6, 3:7] = True
    array[0, 2, 3] = True  # one of 17 lies outside
    assert [f.code for f in by_outline(mask, NodeMask(array.copy(), GRID)).findings] == ["part_outside_node"]
    array[0] = True
    for other, code in ((NodeMask(array, GRID), "part_outside_node"), (NodeMask(np.ones((2, 2, 2), bool), ImageGeometry.from_spacing((2, 2, 2), (1, 1, 1), (0, 0, 0))), "wrong_grid")):
        with pytest.raises(NodusError) as caught:
            by_outline(mask, other)
        assert caught.value.code == code


def test_that_of_two_stated_parts_the_missing_one_is_derived():
    part = stated(2.0, viable_ml=0.5)
    assert (part.viable_ml, part.viable_from, part.ablated_ml, part.ablated_from) == (0.5, "stated", 1.5, "derived")
    part = stated(2.0, ablated_ml=0.0)
    assert (part.viable_ml, part.viable_from, part.ablated_ml, part.ablated_from) == (2.0, "derived", 0.0, "stated")
    part = stated(2.0, viable_ml=0.5, ablated_ml=0.5)
    assert (part.viable_from, part.ablated_from, [f.code for f in part.findings]) == ("stated", "stated", ["parts_do_not_add"])


def test_that_a_reading_keeps_the_part_with_its_voxels_and_saving_anew_without_it_is_not_assessed(case):
    image, mask = half_and_half()
    visit = case.visits["Day 30"]
    part = by_threshold(values_in_outline(image, mask), 70, "charter 4.2")
    saved = save_reading(case.store, visit, case.node, reader="reader-a", modality="CT", mask=mask, image=image, enhancing=part)
    assert (saved.volume_ml, saved.viable_ml, saved.ablated_ml) == (pytest.approx(64 * VOXEL_ML), pytest.approx(32 * VOXEL_ML), pytest.approx(32 * VOXEL_ML))
    assert (saved.enhancing_above_hu, saved.enhancing_source) == (70.0, "charter 4.2")
    assert np.array_equal(unpack_mask(case.store.get_blob(saved.viable_mask_sha256)).array, part.mask.array)
    assert verify(case.store).ok
    again = save_reading(case.store, visit, case.node, reader="reader-a", modality="CT", mask=mask, image=image, reason="plain phase")
    assert (again.viable_ml, again.ablated_ml, again.viable_from, again.enhancing_above_hu, again.viable_mask_sha256) == (None,) * 5
    gone = save_reading(case.store, case.visits["Month 3"], case.node, reader="reader-a", modality="CT", status=ReadingStatus.DISAPPEARED_ASSESSED)
    assert (gone.volume_ml, gone.viable_ml) == (0.0, None)


def test_that_a_missing_voxel_file_is_found_by_the_audit(case):
    image, mask = half_and_half()
    part = by_threshold(values_in_outline(image, mask), 70)
    saved = save_reading(case.store, case.visits["Day 30"], case.node, reader="reader-a", modality="CT", mask=mask, enhancing=part)
    (found,) = (case.store.folder / "blobs").rglob(f"*{saved.viable_mask_sha256[2:]}*")
    found.unlink()
    assert {f.code for f in verify(case.store).faults} == {"blob_missing"}


def test_that_a_threshold_to_begin_with_is_the_protocols_else_this_readers_last_else_none(case):
    protocol, names = case.store.protocol, {v.visit_id: name for name, v in case.visits.items()}
    assert known_threshold(protocol, case.store.readings(), "reader-a", names, case.node.node_id) is None
    case.lock("Baseline", viable_ml=1.0, viable_from="hu_threshold", ablated_ml=1.0, ablated_from="derived", enhancing_above_hu=65.0)
    assert known_threshold(protocol, case.store.readings(), "reader-a", names, case.node.node_id) == (65.0, "as at Baseline")
    assert known_threshold(protocol, case.store.readings(), "reader-b", names, case.node.node_id) is None
    content = load_protocol("ire-cervical-ln").content
    charter = protocol_from({**content, "reading": {**content["reading"], "enhancing_above_hu": 80}})
    assert known_threshold(charter, case.store.readings(), "reader-a", names, case.node.node_id) == (80.0, f"protocol {charter.stamp}")
