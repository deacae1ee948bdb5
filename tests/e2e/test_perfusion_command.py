"""``nodus perfusion`` as a script calls it: on files as machines write them, whole, cut off, without times, with one pane."""

from __future__ import annotations

import json

import numpy as np
import pytest

from app.usecases.files import sha256_of
from dicom_io.volume_files import read_volume_file
from tests.usecases.contrast_loops import beside, made, node


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A loop, raw and compressed, and its regions drawn in the B-mode half."""
    folder = tmp_path_factory.mktemp("perfusion")
    cine = made(residual="partial", viable_fraction=0.4, colour_map="copper")
    cine.write_dicom(folder / "raw.dcm")
    cine.write_dicom(folder / "jpeg.dcm", "jpeg", range_tag=True)
    roi = {"regions": [node(cine, "bmode").to_dict(), beside(cine).to_dict()], "frame": cine.truth.motion.reference_frame}
    (folder / "roi.json").write_text(json.dumps(roi))
    return folder, cine


def test_that_a_raw_and_a_compressed_file_give_the_truth_and_maps(nodus, files, tmp_path):
    folder, cine = files
    viable = {}
    for name, more in (("raw", ("--range-db", 60, "--maps", tmp_path / "maps")), ("jpeg", ())):
        answer = nodus("perfusion", folder / f"{name}.dcm", "--roi", folder / "roi.json", "--node-ml", cine.truth.node_ml, *more, "--json")
        assert answer.code == 0, answer.err
        found = answer.json
        assert found["range_source"] == ("stated" if name == "raw" else "DynamicRange")
        by_name = {r["name"]: r for r in found["regions"]}
        assert by_name["muscle"]["parameters"]["ttp_s"] == pytest.approx(cine.truth.curves["reference"].ttp_s, abs=0.3)
        low, high = by_name["muscle"]["intervals"]["ttp_s"]
        assert low < by_name["muscle"]["parameters"]["ttp_s"] < high
        assert by_name["muscle"]["r_squared"] > 0.9
        assert found["residual"]["grade"] == "3"
        viable[name] = found["residual"]["viable_ml"]
        assert viable[name] == pytest.approx(cine.truth.viable_ml, rel=0.1)
        assert {f["frame"] for f in found["frames_rejected"]} >= set(np.flatnonzero(~cine.truth.accepted).tolist())
        assert found["cine_sha256"] == sha256_of(folder / f"{name}.dcm")
    assert viable["raw"] == pytest.approx(viable["jpeg"], rel=0.03)
    array, grid, _ = read_volume_file(tmp_path / "maps" / "ttp_s.nii.gz")
    assert array.shape == (1, *cine.options.shape)
    assert grid.spacing_mm[:2] == pytest.approx((0.33, 0.33), rel=1e-3)
    assert np.nanmedian(array) == pytest.approx(cine.truth.curves["viable"].ttp_s, abs=0.6)
    told = json.loads((tmp_path / "maps" / "maps.json").read_text())
    assert told["units"]["ttp_s"] == "s"
    assert told["codes"][1] == "outside"


def test_that_the_text_says_the_same_and_names_the_proposal(nodus, files):
    folder, _ = files
    text = nodus("perfusion", folder / "jpeg.dcm", "--roi", folder / "roi.json", "--frames", "0:55", "--model", "auto").out
    assert "Proposed grade 3" in text
    assert "nobody confirmed it" in text


def refused(nodus, *args) -> dict:
    answer = nodus("perfusion", *args, "--json")
    assert answer.code == 3, answer.out + answer.err
    assert answer.json["error"]["message"].endswith(".")
    return answer.json["error"]


def test_that_an_unknown_range_is_asked_for_by_its_flag(nodus, files):
    folder, _ = files
    error = refused(nodus, folder / "raw.dcm", "--roi", folder / "roi.json")
    assert error["code"] == "range_unknown"
    assert "--range-db" in error["hint"]


def test_that_a_file_that_was_cut_off_keeps_what_is_whole(nodus, files, tmp_path):
    folder, cine = files
    data = (folder / "raw.dcm").read_bytes()
    (tmp_path / "cut.dcm").write_bytes(data[: int(0.8 * len(data))])
    found = nodus("perfusion", tmp_path / "cut.dcm", "--roi", folder / "roi.json", "--range-db", 60, "--json").json
    assert "truncated" in {f["code"] for f in found["findings"]}
    assert 45 < found["frames"] < cine.times_s.size
    assert found["regions"][1]["parameters"]["ttp_s"] == pytest.approx(cine.truth.curves["reference"].ttp_s, abs=0.3)
    (tmp_path / "short.dcm").write_bytes(data[: int(0.1 * len(data))])
    assert refused(nodus, tmp_path / "short.dcm", "--roi", folder / "roi.json", "--range-db", 60)["code"] in ("too_few_frames", "frame_out_of_range")


def test_that_a_loop_without_times_scale_or_second_pane_says_what_is_lacking(nodus, files, tmp_path):
    folder, cine = files
    cine.write_dicom(tmp_path / "timeless.dcm", times=False)
    assert refused(nodus, tmp_path / "timeless.dcm", "--roi", folder / "roi.json", "--range-db", 60)["code"] == "frame_times_missing"
    cine.write_dicom(tmp_path / "unscaled.dcm", regions=False)
    bar = cine.layout.bar
    boxes = "/".join(",".join(str(v) for v in (b.x0, b.y0, b.x1, b.y1)) for b in (cine.layout.contrast, cine.layout.bmode))
    found = nodus(
        "perfusion", tmp_path / "unscaled.dcm", "--roi", folder / "roi.json", "--range-db", 60, "--panes", boxes, "--colour-map", f"{bar.x0},{bar.y0},{bar.x1},{bar.y1}", "--json"
    ).json
    assert (found["residual"]["grade"], found["residual"]["viable_ml"], found["mm_per_pixel"]) == ("NE", None, None)
    assert found["regions"][1]["parameters"]["ttp_s"] == pytest.approx(cine.truth.curves["reference"].ttp_s, abs=0.3)
    alone = made(residual="none", layout="single", breathing_mm=(0.0, 0.0), out_of_plane=0.0)
    alone.write_dicom(tmp_path / "one.dcm")
    (tmp_path / "one.json").write_text(json.dumps({"regions": [node(alone).to_dict(), beside(alone).to_dict()]}))
    found = nodus("perfusion", tmp_path / "one.dcm", "--roi", tmp_path / "one.json", "--range-db", 60, "--node-ml", 1, "--json").json
    assert {"one_pane_only", "motion_uncorrected"} <= {f["code"] for f in found["findings"]}
    assert (found["residual"]["grade"], found["residual"]["viable_ml"], found["residual"]["ablated_ml"]) == ("0", 0.0, 1.0)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("--frames", "9"), "bad_frames"),
        (("--frames", "0:5"), "too_few_frames"),
        (("--frames", "0:12"), "frame_out_of_range"),
        (("--range-db", "2"), "implausible_range"),
        (("--panes", "1,2,3"), "bad_panes"),
        (("--panes", "0,0,9000,90"), "bad_panes"),
        (("--colour-map", "grey"), "colour_map_unlike"),
        (("--series", "1.2.3"), None),
    ],
)
def test_that_what_is_stated_wrongly_is_refused_with_its_code(nodus, files, more, code):
    folder, _ = files
    arguments = (folder / "jpeg.dcm", "--roi", folder / "roi.json", *more)
    if code is None:  # a single file needs no series
        assert nodus("perfusion", *arguments, "--json").code == 0
    else:
        assert refused(nodus, *arguments)["code"] == code


def test_that_panes_stated_the_wrong_way_round_are_told(nodus, files):
    folder, _ = files
    found = nodus("perfusion", folder / "jpeg.dcm", "--roi", folder / "roi.json", "--panes", "swapped", "--json").json
    assert "panes_against_picture" in {w["code"] for w in found["warnings"]}
    assert found["residual"]["grade"] == "NE"


def test_that_other_files_are_refused_in_plain_words(nodus, files, tmp_path):
    folder, _ = files
    assert refused(nodus, tmp_path / "none.dcm", "--roi", folder / "roi.json")["code"] == "file_missing"
    (tmp_path / "text.dcm").write_text("no picture")
    assert refused(nodus, tmp_path / "text.dcm", "--roi", folder / "roi.json")["code"] == "not_dicom"
    assert refused(nodus, folder / "jpeg.dcm", "--roi", tmp_path / "none.json")["code"] == "file_missing"
