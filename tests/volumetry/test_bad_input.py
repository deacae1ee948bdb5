"""Masks that cannot be measured, or not without a word: through ``measure_node`` and through ``nodus measure``."""

from __future__ import annotations

import gzip
import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from app.cli import EXIT_DONE, EXIT_REFUSED, EXIT_USAGE, main
from dicom_io.nifti import nifti_bytes
from tests.dicom_io.made import save, seg_file
from volumetry.errors import NodusError
from volumetry.geometry import ImageGeometry
from volumetry.mask import NodeMask
from volumetry.measure import measure_labels, measure_node

SHAPE, SPACING = (12, 13, 14), (1.0, 1.0, 1.0)


def block(*box, dtype=np.uint8) -> np.ndarray:
    """Zeros with ones in the boxes ``(k0, k1, j0, j1, i0, i1)``."""
    array = np.zeros(SHAPE, dtype)
    for k0, k1, j0, j1, i0, i1 in box:
        array[k0:k1, j0:j1, i0:i1] = 1
    return array


BODY = (2, 10, 2, 11, 2, 12)


# --- measurable, with a warning or without


@dataclass(frozen=True)
class Told:
    """A mask that is measured, and the warnings that must stand beside it."""

    array: np.ndarray
    warnings: frozenset[str]
    voxels: int


TOLD = {
    "a node as it should be": Told(block(BODY), frozenset(), 720),
    "one voxel": Told(block((5, 6, 5, 6, 5, 6)), frozenset({"thin"}), 1),
    "one slice of many": Told(block((5, 6, 2, 11, 2, 12)), frozenset({"thin"}), 90),
    "one line": Told(block((2, 10, 5, 6, 5, 6)), frozenset({"thin"}), 8),
    "at the border": Told(block((0, 8, 2, 11, 2, 12)), frozenset({"touches_border"}), 720),
    "the whole picture": Told(np.ones(SHAPE, np.uint8), frozenset({"touches_border"}), 12 * 13 * 14),
    "two pieces": Told(block((*BODY[:4], 2, 6), (*BODY[:4], 8, 12)), frozenset({"several_pieces"}), 576),
    "a float mask of ones": Told(block(BODY, dtype=np.float32), frozenset(), 720),
    "a float mask of threes": Told(3 * block(BODY, dtype=np.float64), frozenset(), 720),
}


@pytest.fixture
def measure(tmp_path, capsys):
    """``nodus measure`` of a file: (exit code, answer)."""

    def call(path, *more) -> tuple[int, dict]:
        code = main(["measure", str(path), *more, "--json"])
        out = capsys.readouterr().out
        return code, json.loads(out) if out else {}

    return call


def nifti(path: Path, array: np.ndarray, affine=None, edit=None) -> Path:
    """A NIfTI file; ``edit(raw)`` may spoil its bytes."""
    raw = bytearray(nifti_bytes(np.ascontiguousarray(array), np.diag([*SPACING, 1.0]) if affine is None else affine))
    if edit is not None:
        edit(raw)
    path.write_bytes(bytes(raw))
    return path


@pytest.mark.parametrize("name", TOLD)
def test_that_odd_masks_are_measured_and_their_oddness_told(name, measure, tmp_path):
    case = TOLD[name]
    m = measure_node(NodeMask(case.array.copy(), ImageGeometry.from_spacing(SHAPE, SPACING)))
    assert m.voxel_count == case.voxels
    assert {w.code for w in m.warnings} == case.warnings
    assert all(w.message.endswith(".") and len(w.message) > 20 for w in m.warnings)
    assert m.volume_interval_ml[0] <= m.voxel_volume_ml <= m.volume_interval_ml[1]
    code, answer = measure(nifti(tmp_path / "m.nii", case.array))
    assert code == EXIT_DONE
    (node,) = answer["nodes"]
    assert node["voxel_count"] == case.voxels
    assert {w["code"] for w in node["warnings"]} == case.warnings
    # no number that is no number reaches anybody
    assert all(v is None or isinstance(v, str | bool) or math.isfinite(v) for v in flat(node))


def flat(value) -> list:
    """Every single value of an answer."""
    if isinstance(value, dict):
        return [v for item in value.values() for v in flat(item)]
    return [v for item in value for v in flat(item)] if isinstance(value, list) else [value]


def test_that_an_empty_mask_is_told_or_refused_never_measured(measure, tmp_path):
    empty = np.zeros(SHAPE, np.uint8)
    m = measure_node(NodeMask(empty, ImageGeometry.from_spacing(SHAPE, SPACING)))
    assert ([w.code for w in m.warnings], m.voxel_count, m.volume_interval_ml, m.uncertainty) == (["empty"], 0, None, None)
    code, answer = measure(nifti(tmp_path / "empty.nii", empty))
    assert (code, answer["error"]["code"]) == (EXIT_REFUSED, "empty_mask")
    # a segment that is there and empty keeps its place in the answer
    plane = np.ones((4, 4), bool)
    path = save(seg_file([(1, 0.0, plane), (1, 1.0, plane)], segments=[1, 2]), tmp_path / "seg.dcm")
    code, answer = measure(path)
    assert code == EXIT_DONE
    assert [(n["label"], n["voxel_count"]) for n in answer["nodes"]] == [(1, 32), (2, 0)]
    assert "empty" in [w["code"] for w in answer["nodes"][1]["warnings"]]


def test_that_one_slice_alone_gives_lengths_and_no_volume(measure, tmp_path):
    for header in (None, lambda raw: struct.pack_into("<8h", raw, 40, 2, SHAPE[2], SHAPE[1], 1, 1, 1, 1, 1)):
        code, answer = measure(nifti(tmp_path / "one.nii", block(BODY)[5:6], edit=header))
        (node,) = answer["nodes"]
        assert code == EXIT_DONE
        assert [w["code"] for w in node["warnings"]] == ["spacing_unknown"]
        assert (node["voxel_volume_ml"], node["volume_interval_ml"], node["uncertainty"]) == (None, None, None)
        assert node["long_axis_mm"] == pytest.approx(math.hypot(10, 8))


# --- values that are no mask


@pytest.mark.parametrize(
    ("values", "code"),
    [(math.nan, "nan"), (math.inf, "nan"), (-math.inf, "nan"), (0.3, "bad_labels"), (0.999, "bad_labels"), (2.5, "bad_labels")],
)
def test_that_shares_and_what_is_no_number_are_neither_in_nor_out(values, code, measure, tmp_path):
    array = block(BODY, dtype=np.float32)
    array[5, 5, 5] = values
    with pytest.raises(NodusError) as refusal:
        measure_node(NodeMask(array, ImageGeometry.from_spacing(SHAPE, SPACING)))
    assert refusal.value.code == code
    said, answer = measure(nifti(tmp_path / "m.nii", array))
    assert (said, answer["error"]["code"]) == (EXIT_REFUSED, "not_a_mask")
    assert "whole label numbers" in answer["error"]["message"]


def test_that_words_and_complex_numbers_are_no_mask():
    for array in (np.full((2, 2, 2), "1"), np.ones((2, 2, 2), complex)):
        with pytest.raises(NodusError) as refusal:
            NodeMask(array, ImageGeometry.from_spacing((2, 2, 2), SPACING))
        assert refusal.value.code == "nan"


def test_that_negative_labels_are_refused(measure, tmp_path):
    with pytest.raises(NodusError) as refusal:
        measure_labels(-block(BODY, dtype=np.int16), ImageGeometry.from_spacing(SHAPE, SPACING))
    assert refusal.value.code == "bad_labels"
    code, answer = measure(nifti(tmp_path / "m.nii", -block(BODY, dtype=np.int16)))
    assert (code, answer["error"]["code"]) == (EXIT_REFUSED, "not_a_mask")


def test_that_an_image_is_no_mask(measure, tmp_path):
    noise = np.random.default_rng(0).integers(0, 4000, SHAPE).astype(np.int16)
    code, answer = measure(nifti(tmp_path / "ct.nii", noise))
    assert (code, answer["error"]["code"]) == (EXIT_REFUSED, "not_a_mask")


# --- shapes and spacings


@pytest.mark.parametrize("shape", [(5, 5), (5,), (5, 5, 5, 1), (0, 5, 5)])
def test_that_a_mask_of_another_number_of_sides_is_refused(shape):
    with pytest.raises(NodusError) as refusal:
        NodeMask(np.ones(shape, bool), ImageGeometry.from_spacing(shape, SPACING))
    assert refusal.value.code == "bad_shape"


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_that_an_impossible_spacing_is_refused_wherever_it_comes_from(value, axis, measure, tmp_path):
    spacing = list(SPACING)
    spacing[axis] = value
    with pytest.raises(NodusError) as refusal:
        ImageGeometry.from_spacing(SHAPE, spacing)
    assert refusal.value.code == "bad_spacing"
    body = block(BODY)
    text = " ".join(f"{v:g}" for v in spacing)
    sizes = " ".join(str(n) for n in SHAPE[::-1])
    vectors = " ".join("(" + ",".join(f"{v if a == b else 0:g}" for b in range(3)) + ")" for a, v in enumerate(spacing))

    def without_sform(raw) -> None:
        struct.pack_into("<3f", raw, 80, *spacing)
        struct.pack_into("<2h", raw, 252, 0, 0)

    def beside_the_sform(raw) -> None:
        struct.pack_into("<3f", raw, 80, *spacing)

    def in_the_sform(raw) -> None:
        struct.pack_into("<f", raw, 280 + 16 * axis + 4 * axis, value)

    files = [nifti(tmp_path / "plain.nii", body, edit=without_sform)]
    if value != math.inf:
        files.append(nifti(tmp_path / "beside.nii", body, edit=beside_the_sform))
    if not math.isfinite(value) or value == 0:
        files.append(nifti(tmp_path / "sform.nii", body, edit=in_the_sform))
    header = f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: {sizes}\nencoding: raw\n"
    files.append(tmp_path / "plain.nrrd")
    files[-1].write_bytes(f"{header}spacings: {text}\n\n".encode() + body.tobytes())
    if not math.isfinite(value) or value == 0:  # a negative one is a direction
        files.append(tmp_path / "vectors.nrrd")
        files[-1].write_bytes(f"{header}space: left-posterior-superior\nspace directions: {vectors}\nspace origin: (0,0,0)\n\n".encode() + body.tobytes())
    files.append(tmp_path / "plain.mha")
    meta = f"ObjectType = Image\nNDims = 3\nBinaryData = True\nCompressedData = False\nElementSpacing = {text}\nDimSize = {sizes}\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    files[-1].write_bytes(meta.encode() + body.tobytes())
    for path in files:
        code, answer = measure(path)
        assert (code, answer["error"]["code"]) == (EXIT_REFUSED, "bad_spacing"), path.name


def test_that_a_file_that_states_no_voxel_size_is_not_taken_for_one_millimetre(measure, tmp_path):
    sizes = " ".join(str(n) for n in SHAPE[::-1])
    (tmp_path / "m.nrrd").write_bytes(f"NRRD0004\ntype: uint8\ndimension: 3\nsizes: {sizes}\nencoding: raw\n\n".encode() + block(BODY).tobytes())
    (tmp_path / "m.mha").write_bytes(f"ObjectType = Image\nNDims = 3\nBinaryData = True\nDimSize = {sizes}\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n".encode() + block(BODY).tobytes())
    for name in ("m.nrrd", "m.mha"):
        code, answer = measure(tmp_path / name)
        assert (code, answer["error"]["code"]) == (EXIT_REFUSED, "bad_spacing"), name


def test_that_a_mirrored_grid_is_a_direction_and_no_negative_spacing(measure, tmp_path):
    code, answer = measure(nifti(tmp_path / "m.nii", block(BODY), np.diag([-1.0, 1.0, -1.0, 1.0])))
    assert code == EXIT_DONE
    assert answer["nodes"][0]["voxel_volume_ml"] == pytest.approx(0.72)


@pytest.mark.parametrize("spacing", [(0.0, 1.0), (-1.0, 1.0)])
def test_that_a_segmentation_without_a_pixel_size_is_refused(spacing, measure, tmp_path):
    ds = seg_file([(1, z, np.ones((4, 4), bool)) for z in (0.0, 1.0, 2.0)], segments=[1])
    shared = ds.SharedFunctionalGroupsSequence[0]
    shared.PixelMeasuresSequence[0].PixelSpacing = list(spacing)
    code, answer = measure(save(ds, tmp_path / "seg.dcm"))
    assert code == EXIT_REFUSED
    assert answer["error"]["code"] in ("bad_spacing", "position_missing")


# --- headers that lie, files that are cut, labels that are absent


def dims(*values):
    return lambda raw: struct.pack_into("<8h", raw, 40, *values)


LIES = {
    "huge.nii": (dims(3, 32767, 32767, 32767, 1, 1, 1, 1), "truncated"),
    "nothing.nii": (dims(3, 0, 13, 12, 1, 1, 1, 1), "unreadable"),
    "negative.nii": (dims(3, 14, -13, 12, 1, 1, 1, 1), "unreadable"),
    "sides.nii": (dims(9, 14, 13, 12, 1, 1, 1, 1), "unreadable"),
    "times.nii": (dims(4, 14, 13, 6, 2, 1, 1, 1), "not_a_volume"),
    "cut.nii": (lambda raw: raw.__delitem__(slice(700, None)), "truncated"),
    "void.nii": (lambda raw: raw.clear(), "not_nifti"),
}


@pytest.mark.parametrize("name", LIES)
def test_that_headers_that_lie_are_refused_before_memory_is_asked_for(name, measure, tmp_path):
    edit, expected = LIES[name]
    path = nifti(tmp_path / name, block(BODY), edit=edit)
    code, answer = measure(path)
    assert (code, answer["error"]["code"]) == (EXIT_REFUSED, expected)
    assert answer["error"]["message"].endswith(".")
    (tmp_path / "z.nii.gz").write_bytes(gzip.compress(path.read_bytes()))
    code, answer = measure(tmp_path / "z.nii.gz")
    assert (code, answer["error"]["code"]) == (EXIT_REFUSED, expected)


def test_that_huge_sizes_in_other_formats_are_refused(measure, tmp_path):
    meta = "ObjectType = Image\nNDims = 3\nBinaryData = True\nElementSpacing = 1 1 1\nDimSize = 100000 100000 100000\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    (tmp_path / "m.mha").write_bytes(meta.encode() + b"\0" * 100)
    (tmp_path / "m.nrrd").write_bytes(b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 90000 90000 90000\nspacings: 1 1 1\nencoding: raw\n\n1234")
    for name in ("m.mha", "m.nrrd"):
        code, answer = measure(tmp_path / name)
        assert (code, answer["error"]["code"]) == (EXIT_REFUSED, "truncated"), name


def test_that_a_flat_picture_file_is_refused(measure, tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(block(BODY)[5]), str(tmp_path / "flat.nrrd"))
    code, answer = measure(tmp_path / "flat.nrrd")
    assert (code, answer["error"]["code"]) == (EXIT_REFUSED, "not_a_volume")


@pytest.mark.parametrize("label", ["2", "0", "-1", "99999"])
def test_that_a_missing_label_is_refused(label, measure, tmp_path):
    code, answer = measure(nifti(tmp_path / "m.nii", block(BODY)), f"--label={label}")
    assert (code, answer["error"]["code"]) == (EXIT_REFUSED, "label_missing")


def test_that_wrong_use_and_absent_files_have_their_own_exit_codes(measure, tmp_path, capsys):
    path = nifti(tmp_path / "m.nii", block(BODY))
    assert main(["measure", str(path), "--label", "two"]) == EXIT_USAGE
    assert main(["measure"]) == EXIT_USAGE
    capsys.readouterr()
    for name, expected in ((tmp_path / "absent.nii", "file_missing"), (tmp_path, "not_a_mask")):
        code, answer = measure(name)
        assert (code, answer["error"]["code"]) == (EXIT_REFUSED, expected)
    (tmp_path / "note.txt").write_text("a note")
    code, answer = measure(tmp_path / "note.txt")
    assert (code, answer["error"]["code"]) == (EXIT_REFUSED, "not_a_mask")
