"""Outlines packed and unpacked; readings saved, changed with a reason, corrected once locked."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from app.study.model import ReadingState, ReadingStatus
from app.usecases.readings import find_node, find_visit, mask_of_reading, pack_mask, save_reading, unpack_mask, write_mask_file
from dicom_io.masks import read_masks
from volumetry.errors import NodusError
from volumetry.finding import Finding
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask

OBLIQUE = np.array([[0.6, -0.8, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0]])


def refusal(call) -> str:
    with pytest.raises(NodusError) as refused:
        call()
    return refused.value.code


def mask_with(array, coverage=None, label=1) -> NodeMask:
    return NodeMask(array, ImageGeometry.from_spacing(array.shape, (0.7, 0.9, 2.5), (-10.25, 3.5, 99.0), OBLIQUE), label, coverage_volume_ml=coverage)


def some(shape=(5, 7, 11), seed=1) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) > 0.7


@pytest.mark.parametrize(
    ("array", "coverage"),
    [(some(), None), (some(), 1.2345678901234), (np.zeros((4, 5, 6), bool), None), (np.zeros((4, 5, 6), bool), 0.0), (np.ones((3, 3, 3), bool), 0.5), (np.pad(some((1, 1, 1), 3) | True, 4), None)],
)
def test_that_a_packed_mask_is_unpacked_bit_for_bit(array, coverage):
    mask = mask_with(array, coverage, label=7)
    back = unpack_mask(pack_mask(mask))
    assert np.array_equal(back.array, mask.array)
    assert back.geometry.shape == mask.geometry.shape
    assert np.array_equal(back.geometry.affine, mask.geometry.affine)
    assert (back.label, back.coverage_volume_ml) == (7, coverage)


def test_that_a_small_node_in_a_large_picture_packs_small():
    array = np.zeros((200, 300, 300), bool)
    array[100:110, 150:160, 150:160] = True
    assert len(pack_mask(mask_with(array))) < 4000


@pytest.mark.parametrize("damage", [b"", b"not a mask", b"PK\x03\x04" + bytes(60), b"\x93NUMPY\x01\x00"])
def test_that_bytes_that_are_no_mask_are_refused(damage):
    assert refusal(lambda: unpack_mask(damage)) == "mask_damaged"


def test_that_a_mask_cut_short_or_with_a_flipped_byte_is_never_another_mask():
    mask = mask_with(some())
    data = pack_mask(mask)
    for n in range(0, len(data), 23):
        assert refusal(lambda n=n: unpack_mask(data[:n])) == "mask_damaged"
    codes = set()
    for n in range(0, len(data), 11):
        broken = bytearray(data)
        broken[n] ^= 0x5A
        try:
            back = unpack_mask(bytes(broken))
        except NodusError as refused:
            codes.add(refused.code)
        else:  # a byte that only the archive's own bookkeeping holds
            assert np.array_equal(back.array, mask.array)
    assert codes == {"mask_damaged"}


# ---- readings --------------------------------------------------------------------------------


def save(case, ct, visit="Baseline", **more):
    return save_reading(case.store, case.visits[visit], case.node, reader="A", modality="CT", **{"mask": ct.truth, "image": ct.image, **more})


def test_that_a_reading_from_an_outline_carries_its_numbers_its_mask_and_its_picture(case, ct):
    reading = save(case, ct)
    assert reading.volume_ml == pytest.approx(ct.truth.array.sum() * ct.truth.geometry.voxel_size_mm3 / 1000)
    assert reading.volume_interval_ml[0] < ct.volume_ml < reading.volume_interval_ml[1]
    assert reading.long_axis_mm > reading.short_axis_mm > 0
    assert (reading.state, reading.status, reading.method) == (ReadingState.MEASURED, ReadingStatus.MEASURED, "voxel")
    assert np.array_equal(mask_of_reading(case.store, reading).array, ct.truth.array)
    assert Image.open(io.BytesIO(case.store.get_blob(reading.picture_sha256))).size == (480, 480)


def test_that_doubts_about_outline_and_files_travel_with_the_reading(case, ct):
    image = replace(ct.image, findings=(Finding("missing_slice", "One slice is missing.", "serious"), Finding("reversed_order", "Stored back to front.", "info")))
    thin = NodeMask(np.where(np.arange(36)[:, None, None] == 18, ct.truth.array, False), ct.truth.geometry)
    codes = [w["code"] for w in save(case, ct, mask=thin, image=image).warnings]
    assert "thin" in codes
    assert "missing_slice" in codes
    assert "reversed_order" not in codes  # merely worth knowing


def test_that_what_was_found_when_an_outline_was_read_from_a_file_travels_with_the_reading(case, ct):
    noted = replace(ct.truth, findings=(Finding("uneven_spacing", "The slices are uneven.", "warning"), Finding("overlap", "Worth knowing.", "info")))
    codes = [w["code"] for w in save(case, ct, mask=noted, image=None).warnings]
    assert codes.count("uneven_spacing") == 1
    assert "overlap" not in codes


def test_that_saving_the_same_outline_again_needs_no_reason_and_changes_nothing(case, ct):
    first = save(case, ct)
    assert save(case, ct) == first


def test_that_changing_a_measured_reading_needs_a_reason(case, ct):
    save(case, ct)
    smaller = NodeMask(ct.truth.array & (np.arange(64) > 30), ct.truth.geometry)
    assert refusal(lambda: save(case, ct, mask=smaller)) == "reason_missing"
    changed = save(case, ct, mask=smaller, reason="took in the vessel")
    assert (changed.version, changed.change_reason) == (1, "took in the vessel")
    assert changed.volume_ml < ct.volume_ml


def test_that_a_locked_reading_becomes_a_correction_with_a_reason(case, ct):
    locked = case.store.lock_reading(save(case, ct).reading_id, "Dr Reader", "confirmed")
    smaller = NodeMask(ct.truth.array & (np.arange(64) > 30), ct.truth.geometry)
    assert refusal(lambda: save(case, ct, mask=smaller)) == "reason_missing"
    corrected = save(case, ct, mask=smaller, reason="took in the vessel")
    assert (corrected.reading_id, corrected.version, corrected.state) == (locked.reading_id, 2, ReadingState.MEASURED)
    assert case.store.reading(locked.reading_id, 1) == locked  # untouched
    assert case.store.lock_reading(corrected.reading_id, "Dr Reader", "confirmed").version == 2
    assert case.store.reading(locked.reading_id, 1).state is ReadingState.SUPERSEDED


def test_that_a_node_that_disappeared_has_volume_0_and_nothing_of_an_earlier_outline(case, ct):
    save(case, ct)
    gone = save(case, ct, mask=None, status=ReadingStatus.DISAPPEARED_ASSESSED, reason="only fat is left", status_reason="only fat is left")
    assert gone.volume_ml == 0.0
    assert (gone.long_axis_mm, gone.short_axis_mm, gone.mask_sha256, gone.picture_sha256, gone.volume_interval_ml) == (None,) * 5
    assert gone.measurement == {}


def test_that_a_mask_of_a_node_that_disappeared_is_not_measured(case, ct):
    assert save(case, ct, status=ReadingStatus.DISAPPEARED_ASSESSED).volume_ml == 0.0


def test_that_a_node_not_evaluable_says_why_and_has_no_number(case, ct):
    assert refusal(lambda: save(case, ct, mask=None, status=ReadingStatus.NOT_EVALUABLE)) == "reason_missing"
    reading = save(case, ct, mask=None, status=ReadingStatus.NOT_EVALUABLE, status_reason="movement")
    assert (reading.volume_ml, reading.long_axis_mm, reading.status_reason) == (None, None, "movement")


def test_that_an_empty_outline_is_no_measured_node(case, ct):
    empty = NodeMask(np.zeros_like(ct.truth.array), ct.truth.geometry)
    assert refusal(lambda: save(case, ct, mask=empty)) == "zero_volume"


def test_that_warnings_of_an_ellipsoid_are_the_readings_own(case):
    warning = {"code": "common_diameter_differs", "message": "The depths differ."}
    reading = save_reading(
        case.store, case.visits["Baseline"], case.node, reader="A", modality="US", method="ellipsoid", volume_ml=1.5, volume_interval_ml=(1.0, 2.2), extra={"warnings": [warning]},
    )  # fmt: skip
    assert reading.warnings == (warning,)
    assert reading.volume_interval_ml == (1.0, 2.2)


def test_that_readings_by_two_methods_stand_side_by_side(case, ct):
    one = save(case, ct)
    two = save_reading(case.store, case.visits["Baseline"], case.node, reader="A", modality="US", method="ellipsoid", volume_ml=1.5)
    assert one.reading_id != two.reading_id
    assert len(case.store.readings("S-001")) == 2


def test_that_nodes_and_visits_are_found_by_name_or_identity_or_refused(case):
    assert find_node(case.store, "S-001", "N1") == case.node == find_node(case.store, "S-001", case.node.node_id)
    assert find_visit(case.store, "S-001", "Day 30") == case.visits["Day 30"]
    assert refusal(lambda: find_node(case.store, "S-001", "N9")) == "node_missing"
    assert refusal(lambda: find_visit(case.store, "S-001", "Month 99")) == "visit_missing"


def test_that_a_readings_outline_is_written_as_a_file_others_can_read(case, ct, tmp_path):
    reading = save(case, ct)
    write_mask_file(case.store, reading, tmp_path / "node.nii.gz")
    (mask,) = read_masks(tmp_path / "node.nii.gz")
    assert np.array_equal(mask.array, ct.truth.array)
    assert mask.geometry.same_grid(ct.truth.geometry)
    plain = save_reading(case.store, case.visits["Day 30"], case.node, reader="A", modality="CT", volume_ml=1.0)
    assert refusal(lambda: write_mask_file(case.store, plain, tmp_path / "none.nii.gz")) == "mask_missing"
