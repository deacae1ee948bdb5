"""Every way of outlining on the command line: what it gives, how it is recorded, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest

from app.cli import EXIT_DONE, EXIT_REFUSED, EXIT_USAGE, main
from dicom_io.masks import read_masks
from dicom_io.volume_files import write_volume
from tests.factories import write_ellipsoid_ct, write_ultrasound_still
from tests.model_files import model_folder, threshold_network
from volumetry.mask import NodeMask
from volumetry.overlap import overlap
from volumetry.segmentation.contours import outlines_mm

SEED = "--seed=12.3,-8.1,105.2"
CENTRE = np.array((12.3, -8.1, 105.2))
PX = "--seed=159.5,119.5"
ROUND = ["--anchor=159,80", "--anchor=219,119", "--anchor=159,160", "--anchor=100,119"]


def moved(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> list[float]:
    """A point so far from the node's middle, LPS mm."""
    return np.add(CENTRE, (x, y, z)).tolist()


@pytest.fixture(scope="module")
def place(ct, tmp_path_factory):
    """A folder with a CT volume, its true mask, a still, strokes and contours."""
    folder = tmp_path_factory.mktemp("methods")
    write_volume(ct.image, folder / "ct.nii.gz")
    write_volume(ct.truth, folder / "truth.nii.gz")
    write_ultrasound_still(folder / "still.dcm")
    side = [[moved(s * 14, -3), moved(s * 14, 3)] for s in (-1, 1)]
    (folder / "strokes.json").write_text(json.dumps({"inside": [[moved(), moved(2)]], "outside": side}))
    (folder / "contours.json").write_text(json.dumps({"axis": 0, "slices": contours(ct.truth, 2)}))
    return folder


def contours(truth: NodeMask, step: int) -> dict:
    """Every ``step``-th slice's outline of a mask, and its last one, in LPS mm."""
    drawn = np.flatnonzero(truth.array.any(axis=(1, 2)))
    numbers = sorted({*drawn[::step].tolist(), int(drawn[-1])})
    return {str(n): [line[:-1].tolist() for line in outlines_mm(truth.array, truth.geometry, 0, n)] for n in numbers}


def answer(capsys, *argv) -> tuple[int, dict]:
    """Exit code and the JSON object of a command."""
    code = main([*map(str, argv), "--json"])
    out = capsys.readouterr().out
    return code, json.loads(out) if out.strip() else {}


def refusal(capsys, *argv) -> str:
    code, told = answer(capsys, *argv)
    assert code == EXIT_REFUSED
    assert told["error"]["message"].endswith(".")
    return told["error"]["code"]


@pytest.mark.parametrize(
    ("method", "options", "dice", "details"),
    [
        (None, [SEED, "--radius-mm=9"], 0.97, {"method": "star_convex", "seed_mm": CENTRE.tolist(), "radius_mm": 9.0}),
        ("star_convex", [SEED], 0.97, {"radius_mm": None, "anchors_mm": []}),
        ("region_growing", [SEED, "--radius-mm=9"], 0.95, {"radius_mm": 9.0}),
        ("threshold", [SEED, "--radius-mm=12", "--range-hu=0,200"], 0.97, {"range_hu": [0.0, 200.0]}),
        ("scribbles", ["--strokes", "strokes.json"], 0.95, {"strokes": {"inside": 1, "outside": 2}}),
        ("contours", ["--contours", "contours.json"], 0.95, {"axis": 0}),
    ],
)
def test_that_every_method_on_a_volume_finds_the_node_and_says_how(place, ct, capsys, tmp_path, monkeypatch, method, options, dice, details):
    monkeypatch.chdir(place)
    out = tmp_path / "m.nii.gz"
    code, told = answer(capsys, "segment", "ct.nii.gz", *options, *(["--method", method] if method else []), "--out", out)
    assert code == EXIT_DONE
    assert told["method"] == told["segmentation"]["method"] == (method or "star_convex")
    assert told["segmentation"]["edited"] is False
    assert details.items() <= told["segmentation"].items()
    (mask,) = read_masks(out)
    assert overlap(mask, ct.truth).dice > dice
    (node,) = told["nodes"]
    assert node["voxel_count"] == int(mask.array.sum())
    assert (node["coverage_volume_ml"] is None) == (method in ("region_growing", "threshold", "scribbles"))


def test_that_contours_are_counted_by_their_areas_and_filled_between(place, ct, capsys, tmp_path):
    _, told = answer(capsys, "segment", place / "ct.nii.gz", "--method", "contours", "--contours", place / "contours.json", "--out", tmp_path / "m.nii.gz")
    (node,) = told["nodes"]
    assert node["coverage_volume_ml"] == pytest.approx(ct.volume_ml, rel=0.05)
    drawn, filled = told["segmentation"]["drawn_slices"], told["segmentation"]["filled_slices"]
    assert sorted({*drawn, *filled}) == list(range(drawn[0], drawn[-1] + 1))
    assert filled
    bare = json.loads((place / "contours.json").read_text())
    (tmp_path / "bare.json").write_text(json.dumps({**bare, "interpolate": False}))
    _, sparse = answer(capsys, "segment", place / "ct.nii.gz", "--method", "contours", "--contours", tmp_path / "bare.json", "--out", tmp_path / "s.nii.gz")
    assert sparse["segmentation"]["filled_slices"] == []
    assert sparse["nodes"][0]["coverage_volume_ml"] < 0.7 * node["coverage_volume_ml"]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_that_contours_in_millimetres_and_in_pixels_are_the_same_across_every_axis(place, ct, capsys, tmp_path, axis):
    truth = ct.truth
    number = int(np.median(np.flatnonzero(truth.array.any(axis=tuple(a for a in range(3) if a != axis)))))
    plane = ((0, 1), (0, 2), (1, 2))[axis]
    lines = [line[:-1] for line in outlines_mm(truth.array, truth.geometry, axis, number)]
    flat = [truth.geometry.world_to_index(line)[:, plane].tolist() for line in lines]
    masks = []
    for name, drawn in (("mm", [line.tolist() for line in lines]), ("px", flat)):
        (tmp_path / f"{name}.json").write_text(json.dumps({"axis": axis, "slices": {str(number): drawn}, "interpolate": False}))
        code, _ = answer(capsys, "segment", place / "ct.nii.gz", "--method", "contours", "--contours", tmp_path / f"{name}.json", "--out", tmp_path / f"{name}.nii.gz")
        assert code == EXIT_DONE
        masks.append(read_masks(tmp_path / f"{name}.nii.gz")[0].array)
    assert np.array_equal(masks[0], masks[1])
    only = np.zeros_like(truth.array)
    here = tuple(number if a == axis else slice(None) for a in range(3))
    only[here] = truth.array[here]
    assert np.array_equal(masks[0], only)


def test_that_anchors_pull_the_outline(place, ct, capsys, tmp_path):
    where = moved(z=9.0)
    call = ["segment", place / "ct.nii.gz", SEED, "--radius-mm=9", "--out", tmp_path / "m.nii.gz"]
    _, without = answer(capsys, *call)
    _, pulled = answer(capsys, *call, "--anchor=" + ",".join(map(str, where)))
    assert pulled["segmentation"]["anchors_mm"] == [where]
    assert pulled["nodes"][0]["coverage_volume_ml"] > 1.03 * without["nodes"][0]["coverage_volume_ml"]


@pytest.mark.parametrize(("method", "options"), [("polar", [PX, "--radius-px=55"]), ("livewire", ROUND)])
def test_that_a_picture_is_outlined_in_its_own_plane(place, capsys, tmp_path, method, options):
    code, told = answer(capsys, "segment", place / "still.dcm", *options, "--method", method, "--out", tmp_path / "m.nii.gz")
    assert code == EXIT_DONE
    assert told["method"] == told["segmentation"]["method"] == method
    (node,) = told["nodes"]
    assert node["long_axis_mm"] == pytest.approx(12.0, abs=0.8)
    assert node["voxel_volume_ml"] is None


def test_that_a_model_is_run_when_it_is_named_and_recorded_with_its_hash(tmp_path, capsys):
    case = write_ellipsoid_ct(tmp_path / "dicom")
    model = model_folder(tmp_path / "slot", threshold_network())
    call = ["segment", case.folder, SEED, "--method", "model", "--out", tmp_path / "m.nii.gz"]
    code, told = answer(capsys, *call, "--model", model)
    assert code == EXIT_DONE
    manifest = json.loads((model / "model.json").read_text())
    assert told["segmentation"] == {"method": "model", "edited": False, **{k: manifest[k] for k in ("name", "version", "licence", "sha256")}}
    assert "model_outline" in [w["code"] for w in told["nodes"][0]["warnings"]]
    assert overlap(read_masks(tmp_path / "m.nii.gz")[0], case.truth).dice > 0.93
    (model / "model.onnx").write_bytes(b"another network")
    (tmp_path / "m.nii.gz").unlink()
    assert refusal(capsys, *call, "--model", model) == "model_changed"
    assert not (tmp_path / "m.nii.gz").exists()
    assert refusal(capsys, *call) == "option_missing"
    assert refusal(capsys, *call, "--model", tmp_path / "nowhere") == "model_missing"


def test_that_a_volume_file_says_what_it_shows_only_by_a_persons_word(place, capsys, tmp_path):
    model = model_folder(tmp_path / "slot", threshold_network())
    call = ["segment", place / "ct.nii.gz", SEED, "--method", "model", "--model", model, "--out", tmp_path / "m.nii.gz"]
    assert refusal(capsys, *call) == "model_modality"
    assert answer(capsys, *call, "--modality", "CT")[0] == EXIT_DONE
    case = write_ellipsoid_ct(tmp_path / "dicom")
    assert refusal(capsys, "segment", case.folder, *call[2:], "--modality", "MR") == "modality_contradicts"


@pytest.mark.parametrize(
    ("file", "options", "code"),
    [
        ("ct.nii.gz", ["--method=magic", SEED], "unknown_method"), ("ct.nii.gz", ["--method=polar", SEED], "unknown_method"),
        ("ct.nii.gz", ["--method=livewire", *ROUND], "unknown_method"), ("still.dcm", ["--method=threshold", PX], "unknown_method"),
        ("still.dcm", ["--method=model", PX, "--model=."], "unknown_method"),
        ("ct.nii.gz", ["--method=threshold", SEED, "--radius-mm=9"], "option_missing"), ("ct.nii.gz", ["--method=threshold", SEED, "--range-hu=0,200"], "option_missing"),
        ("ct.nii.gz", ["--method=scribbles"], "option_missing"), ("ct.nii.gz", ["--method=contours"], "option_missing"), ("still.dcm", ["--method=livewire"], "option_missing"),
        ("ct.nii.gz", [SEED, "--range-hu=0,200"], "option_unfitting"), ("ct.nii.gz", ["--method=contours", "--contours=contours.json", SEED], "option_unfitting"),
        ("ct.nii.gz", ["--method=region_growing", SEED, "--anchor=1,2,3"], "option_unfitting"), ("ct.nii.gz", [SEED, "--model=."], "option_unfitting"),
        ("ct.nii.gz", [SEED, "--frame=0"], "option_unfitting"), ("still.dcm", [PX, "--strokes=strokes.json"], "option_unfitting"),
        ("ct.nii.gz", [SEED, "--radius-px=9"], "bad_radius"), ("still.dcm", [PX, "--radius-mm=9"], "bad_radius"),
        ("ct.nii.gz", [PX], "bad_seed"), ("ct.nii.gz", [SEED, "--anchor=1,2"], "bad_seed"), ("still.dcm", ["--method=livewire", "--anchor=1,2,3"], "bad_seed"),
        ("ct.nii.gz", ["--seed=a,b,c"], "bad_seed"), ("ct.nii.gz", ["--method=threshold", SEED, "--radius-mm=9", "--range-hu=5"], "bad_threshold"),
        ("ct.nii.gz", ["--method=threshold", SEED, "--radius-mm=9", "--range-hu=200,0"], "bad_threshold"),
        ("ct.nii.gz", ["--method=threshold", SEED, "--radius-mm=9", "--range-hu=2000,2100"], "no_boundary"),
        ("still.dcm", [PX, "--frame=7"], "frame_out_of_range"), ("still.dcm", ["--method=livewire", *ROUND[:2]], "bad_contour"),
        ("ct.nii.gz", ["--method=scribbles", "--strokes=none.json"], "file_missing"), ("ct.nii.gz", ["--method=scribbles", "--strokes=ct.nii.gz"], "not_json"),
    ],
)  # fmt: skip
def test_that_what_does_not_fit_together_is_refused_in_words_and_writes_nothing(place, capsys, tmp_path, monkeypatch, file, options, code):
    monkeypatch.chdir(place)
    out = tmp_path / "m.nii.gz"
    assert refusal(capsys, "segment", file, *options, "--out", out) == code
    assert not out.exists()


@pytest.mark.parametrize(
    ("method", "content", "code"),
    [
        ("scribbles", [], "bad_stroke"), ("scribbles", {"inside": []}, "scribble_missing"), ("scribbles", {"inside": [[[1, 2]]]}, "bad_stroke"),
        ("scribbles", {"inside": [["x"]]}, "bad_stroke"), ("scribbles", {"inside": [[[1, 2, 3]]], "radius_mm": "thin"}, "bad_stroke"),
        ("contours", {"axis": 3, "slices": {"1": []}}, "bad_contour"), ("contours", {"slices": {}}, "bad_contour"), ("contours", {"slices": {"one": []}}, "bad_contour"),
        ("contours", {"slices": {"5": [[[1, 2], [3, 4]]]}}, "bad_contour"), ("contours", {"slices": {"999": [[[1, 2], [3, 4], [5, 2]]]}}, "bad_contour"),
        ("contours", {"slices": {"5": [[[20, 20], [30, 20], [25, 30]]]}}, "too_few_contours"),
        ("contours", {"slices": {"5": [[[12, -8, 105], [14, -8, 105], [13, -6, 105]]]}}, "contour_not_in_plane"),
    ],
)  # fmt: skip
def test_that_a_file_of_strokes_or_contours_that_means_nothing_is_refused(place, capsys, tmp_path, method, content, code):
    (tmp_path / "f.json").write_text(json.dumps(content))
    option = "--strokes" if method == "scribbles" else "--contours"
    assert refusal(capsys, "segment", place / "ct.nii.gz", "--method", method, option, tmp_path / "f.json", "--out", tmp_path / "m.nii.gz") == code


def test_that_a_click_left_out_is_wrong_usage(place, capsys, tmp_path):
    code, told = answer(capsys, "segment", place / "ct.nii.gz", "--out", tmp_path / "m.nii.gz")
    assert (code, told) == (EXIT_USAGE, {})


# ---- edit and overlap ----------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("operation", "options", "change"),
    [("grow", ["--mm=1.5"], (0.3, 2.0)), ("shrink", ["--mm=1.5"], (-0.9, -0.2)), ("smooth", [], (0.0, 0.0)), ("fill", [], (0.0, 0.0)), ("keep-largest", [], (0.0, 0.0)),
     ("cut", ["--point=12.3,-8.1,105.2", "--normal=1,0,0"], (-0.6, -0.4))],
)  # fmt: skip
def test_that_every_repair_does_what_it_says_and_is_measured(place, ct, capsys, tmp_path, operation, options, change):
    code, told = answer(capsys, "edit", place / "truth.nii.gz", "--operation", operation, *options, "--out", tmp_path / "e.nii.gz")
    assert code == EXIT_DONE
    before, after = int(ct.truth.array.sum()), told["nodes"][0]["voxel_count"]
    assert change[0] - 1e-9 <= after / before - 1 <= change[1] + 1e-9
    (mask,) = read_masks(tmp_path / "e.nii.gz")
    assert int(mask.array.sum()) == after
    if operation == "cut":
        k, j, i = np.nonzero(mask.array)
        assert mask.geometry.index_to_world(np.stack([i, j, k], axis=1))[:, 0].max() <= 12.3 + 1e-6


@pytest.mark.parametrize(
    ("options", "code"),
    [(["grow", "--mm=0"], "bad_distance"), (["grow", "--mm=nan"], "bad_distance"), (["shrink", "--mm=40"], "empty_mask"), (["fill", "--mm=1"], "option_unfitting"),
     (["cut"], "option_missing"), (["cut", "--point=0,0,0", "--normal=0,0,0"], "bad_plane"), (["cut", "--point=0,0", "--normal=1,0,0"], "bad_plane"),
     (["grow", "--label=4"], "label_missing")],
)  # fmt: skip
def test_that_a_repair_that_means_nothing_is_refused(place, capsys, tmp_path, options, code):
    out = tmp_path / "e.nii.gz"
    assert refusal(capsys, "edit", place / "truth.nii.gz", "--operation", *options, "--out", out) == code
    assert not out.exists()


def test_that_two_outlines_are_compared_and_the_sign_of_their_difference_is_second_less_first(place, ct, capsys, tmp_path):
    answer(capsys, "edit", place / "truth.nii.gz", "--operation", "shrink", "--mm=1.5", "--out", tmp_path / "small.nii.gz")
    (small,) = read_masks(tmp_path / "small.nii.gz")
    code, told = answer(capsys, "overlap", place / "truth.nii.gz", tmp_path / "small.nii.gz")
    assert code == EXIT_DONE
    a, b = int(ct.truth.array.sum()), int(small.array.sum())
    assert told["dice"] == pytest.approx(2 * b / (a + b))
    assert told["jaccard"] == pytest.approx(b / a)
    assert told["volume_difference_pct"] == pytest.approx(100 * (b - a) / a)
    assert told["volume_difference_ml"] == pytest.approx(told["second_ml"] - told["first_ml"])
    assert 0 < told["mean_surface_distance_mm"] <= told["hausdorff_95_mm"] <= told["hausdorff_mm"]
    same = answer(capsys, "overlap", place / "truth.nii.gz", place / "truth.nii.gz")[1]
    assert (same["dice"], same["hausdorff_mm"], same["volume_difference_ml"]) == (1.0, 0.0, 0.0)


def test_that_a_mask_of_several_labels_needs_one_named(place, ct, capsys, tmp_path):
    from dicom_io.volume_files import write_array

    both = ct.truth.array.astype(np.uint8)
    both[0, :3, :3] = 2
    write_array(both, ct.truth.geometry, tmp_path / "two.nii.gz")
    assert refusal(capsys, "overlap", place / "truth.nii.gz", tmp_path / "two.nii.gz") == "several_labels"
    assert answer(capsys, "overlap", place / "truth.nii.gz", tmp_path / "two.nii.gz", "--label", 1)[1]["dice"] == 1.0
    assert refusal(capsys, "overlap", place / "ct.nii.gz", place / "truth.nii.gz") == "not_a_mask"
